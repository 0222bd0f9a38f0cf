//! The command line.

use camino::Utf8PathBuf;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands;

/// Build, boot and identify custom Linux kernels.
///
/// Kernels are declared in Cargo.toml, below [workspace.metadata.kernel]. Without names, the
/// default kernels are meant.
#[derive(Debug, Parser)]
#[command(
    name = "cargo kernel",
    bin_name = "cargo kernel",
    version,
    max_term_width = 100,
    propagate_version = true
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,

    /// What holds for every command.
    #[command(flatten)]
    pub(crate) global: Global,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Print data and errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Print every command and its output
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,

    /// When to use colours
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        env = "CARGO_TERM_COLOR",
        hide_env = true,
        value_name = "WHEN"
    )]
    pub(crate) color: ColorChoice,

    /// How to print messages: for people, or one JSON object a line
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    pub(crate) message_format: MessageFormat,

    /// The Cargo.toml to read
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) manifest_path: Option<Utf8PathBuf>,

    /// Use what is in the cache; download nothing
    #[arg(long, global = true)]
    pub(crate) offline: bool,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// How messages are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum MessageFormat {
    /// For people
    #[default]
    Human,
    /// One object a line, each with a `reason`
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a commented starter configuration
    Init(commands::init::Args),
    /// List the kernels with their identity and state
    List(commands::list::Args),
    /// Show what a build would do, without doing it
    Plan(commands::plan::Args),
    /// Build kernels, or find them already built
    Build(commands::build::Args),
    /// Boot a kernel in QEMU
    Boot(commands::boot::Args),
    /// Show a kernel's configuration, or check its requests
    Config(commands::config::Args),
    /// Show what names a build, field by field
    Identity(commands::identity::Args),
    /// Check that the tools are there that the kernels need
    Doctor(commands::doctor::Args),
    /// Look after the store of finished builds
    Store(commands::store::Args),
    /// Remove build directories
    Clean(commands::clean::Args),
    /// Print a shell completion script
    Completions(commands::completions::Args),
    /// Write the manual pages
    Man(commands::man::Args),
    /// Print the command reference as Markdown
    #[command(hide = true)]
    InternalDocs,
}

/// Which kernels, and what to change about them for this call.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Settings for this call")]
pub(crate) struct Kernels {
    /// Kernels by name or glob pattern; the default ones where none is given
    #[arg(value_name = "KERNEL", help_heading = "Arguments")]
    pub(crate) names: Vec<String>,

    #[command(flatten)]
    pub(crate) overrides: Overrides,
}

/// The settings of Cargo.toml as flags.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Overrides {
    /// Source: a directory, tarball, URL, `git+REPOSITORY#REF`, `debian:PACKAGE` or kernel.org version
    #[arg(long)]
    source: Option<String>,
    /// Patch file or glob, applied in order [repeatable]
    #[arg(long = "patch", value_name = "FILE")]
    patches: Vec<String>,
    /// Architecture
    #[arg(long)]
    arch: Option<String>,
    /// Start from a preset of the library
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// Start from a make goal such as defconfig [repeatable]
    #[arg(long = "make", value_name = "GOAL")]
    make: Vec<String>,
    /// Start from an existing .config
    #[arg(long, value_name = "FILE")]
    config: Option<String>,
    /// Merge a fragment on top [repeatable]
    #[arg(long = "fragment", value_name = "NAME")]
    fragments: Vec<String>,
    /// Look for fragments in this directory too [repeatable]
    #[arg(long = "fragment-dir", value_name = "DIR")]
    fragment_dirs: Vec<String>,
    /// Add the debug layer
    #[arg(long, overrides_with = "no_debug")]
    debug: bool,
    /// Leave the debug layer out
    #[arg(long, hide = true)]
    no_debug: bool,
    /// The words in `uname -r`
    #[arg(long)]
    label: Option<String>,
    /// gcc or clang
    #[arg(long)]
    compiler: Option<String>,
    /// Extra make variable, such as W=1 [repeatable]
    #[arg(long = "make-flag", value_name = "NAME=VALUE")]
    make_flags: Vec<String>,
    /// Make goal to build instead of everything [repeatable]
    #[arg(long = "target", value_name = "GOAL")]
    targets: Vec<String>,
    /// Jobs: auto, auto+1 or a number
    #[arg(short, long, value_name = "N")]
    jobs: Option<String>,
    /// Do not compile through ccache
    #[arg(long)]
    no_ccache: bool,
    /// Let the kernel embed the real time, user and host
    #[arg(long)]
    no_reproducible: bool,
    /// The time that the kernel embeds: fixed, commit, or a date
    #[arg(long, value_name = "TIME")]
    timestamp: Option<String>,
    /// Build even if this identity has been built before
    #[arg(long)]
    no_reuse: bool,
}

impl Overrides {
    /// As the library takes them.
    pub(crate) fn to_spec(&self) -> kernelkit::spec::Overrides {
        let off = |no: bool| no.then_some(false);
        kernelkit::spec::Overrides {
            source: self.source.clone(),
            patches: self.patches.clone(),
            arch: self.arch.clone(),
            preset: self.preset.clone(),
            make: self.make.clone(),
            config: self.config.clone(),
            fragments: self.fragments.clone(),
            fragment_dirs: self.fragment_dirs.clone(),
            debug: if self.debug {
                Some(true)
            } else {
                off(self.no_debug)
            },
            label: self.label.clone(),
            compiler: self.compiler.clone(),
            make_flags: self.make_flags.clone(),
            targets: self.targets.clone(),
            jobs: self.jobs.clone(),
            ccache: off(self.no_ccache),
            reproducible: off(self.no_reproducible),
            timestamp: self.timestamp.clone(),
            reuse: off(self.no_reuse),
            ..kernelkit::spec::Overrides::default()
        }
    }
}

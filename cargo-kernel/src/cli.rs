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
#[derive(Clone, Debug, Args)]
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

    /// Fail unless everything is as kernel.lock says, this machine's compiler included
    #[arg(long, global = true)]
    pub(crate) locked: bool,

    /// Run none of the tree's commands to plan: what `$(shell …)` prints is in FILE, or `none`
    ///
    /// A kernel tree runs commands of its own choice while its Kconfig files are read. With FILE, written by
    /// `cargo kernel plan --record-probes FILE`, none of them runs; with `none`, each is taken to fail, which
    /// shows symbols and structure, but not the values that depend on the tools.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) probes: Option<Utf8PathBuf>,
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
    /// List kernels as the matrix of a CI system
    Matrix(commands::matrix::Args),
    /// Pin sources, configurations and identities in kernel.lock
    Lock(commands::lock::Args),
    /// Show what a build would do, without doing it
    Plan(commands::plan::Args),
    /// Build kernels, or find them already built
    Build(commands::build::Args),
    /// Build kernels whenever their sources have moved: a branch, a point release, a package
    Watch(commands::watch::Args),
    /// Tell what a batch or single builds came to: as text, JSON, JUnit, HTML or a mail
    Report(commands::report::Args),
    /// Boot a kernel in QEMU
    Boot(commands::boot::Args),
    /// Build kernels a second time and compare every installed byte
    Verify(commands::verify::Args),
    /// Show, explain, compare and change a kernel's configuration
    Config(commands::config::Args),
    /// List the patches of kernels, and try them on other versions
    Patches(commands::patches::Args),
    /// Lay out a git worktree for a kernel, or move it to another commit
    Tree(commands::tree::Args),
    /// Show what names a build, field by field
    Identity(commands::identity::Args),
    /// Check that the tools are there that the kernels need
    Doctor(commands::doctor::Args),
    /// Look after the store of finished builds
    Store(commands::store::Args),
    /// Pin Debian packages as a toolchain, and unpack them for builds here and in Nix
    Toolchain(commands::toolchain::Args),
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

/// Which kernels, where the arguments are something else.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Settings for this call")]
pub(crate) struct KernelOption {
    /// Kernel by name or glob pattern; the default ones where none is given (repeatable)
    #[arg(
        short,
        long = "kernel",
        value_name = "KERNEL",
        help_heading = "Options"
    )]
    pub(crate) names: Vec<String>,

    #[command(flatten)]
    pub(crate) overrides: Overrides,
}

/// The settings of Cargo.toml as flags; a test holds them against the library's table.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Overrides {
    /// Source: a directory, tarball, URL, `git+REPOSITORY#REF`, `debian:PACKAGE` or kernel.org version
    #[arg(long)]
    source: Option<String>,
    /// Patch file, glob, directory or `series`, applied in order (repeatable)
    #[arg(long = "patch", value_name = "FILE")]
    patches: Vec<String>,
    /// Mailed series: a mailbox, a message-id or a URL
    #[arg(long)]
    series: Option<String>,
    /// Architecture
    #[arg(long)]
    arch: Option<String>,
    /// Start from a preset of the library
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// Start from a make goal such as defconfig (repeatable)
    #[arg(long, value_name = "GOAL")]
    make: Vec<String>,
    /// Start from an existing .config
    #[arg(long, value_name = "FILE")]
    config: Option<String>,
    /// Merge a fragment on top (repeatable)
    #[arg(long = "fragment", value_name = "NAME")]
    fragments: Vec<String>,
    /// Look for fragments in this directory too (repeatable)
    #[arg(long = "fragment-dir", value_name = "DIR")]
    fragment_dirs: Vec<String>,
    /// Label to put into the kernel release (`uname -r`)
    #[arg(long)]
    label: Option<String>,
    /// Compose the kernel release by this template, such as {version}-{build}.{dist}
    #[arg(long, value_name = "TEMPLATE")]
    release_template: Option<String>,
    /// Value of {build} in release and package names
    #[arg(long, value_name = "BUILD")]
    build_number: Option<String>,
    /// Value of {dist} in release and package names
    #[arg(long)]
    dist: Option<String>,
    /// gcc or clang
    #[arg(long)]
    compiler: Option<String>,
    /// host, nixpkgs, or the name of a pinned Debian root
    #[arg(long, value_name = "NAME")]
    toolchain: Option<String>,
    /// What builds: auto, host, shell or nix
    #[arg(long, value_name = "BACKEND", conflicts_with = "shell")]
    backend: Option<String>,
    /// Build in the environment of the flake's devShell: `--backend shell`
    #[arg(long)]
    shell: bool,
    /// Extra make variable, such as W=1 (repeatable)
    #[arg(long = "make-flag", value_name = "NAME=VALUE")]
    make_flags: Vec<String>,
    /// Make goal to build instead of everything (repeatable)
    #[arg(long = "make-target", value_name = "GOAL")]
    targets: Vec<String>,
    /// Jobs: auto, auto+1 or a number
    #[arg(short, long, value_name = "N")]
    jobs: Option<String>,
    /// Size limit of the ccache directory
    #[arg(long, value_name = "SIZE")]
    ccache_max_size: Option<String>,
    /// The time that the kernel embeds: fixed, commit, or a date
    #[arg(long, value_name = "TIME")]
    timestamp: Option<String>,
    /// Leave symbols that no fragment sets at n
    #[arg(long, overrides_with = "no_allnoconfig_base", hide = true)]
    allnoconfig_base: bool,
    /// Give symbols that no fragment sets their default
    #[arg(long)]
    no_allnoconfig_base: bool,
    /// Add the debug layer
    #[arg(long, overrides_with = "no_debug")]
    debug: bool,
    /// Leave the debug layer out
    #[arg(long, hide = true)]
    no_debug: bool,
    /// Compile through ccache
    #[arg(long, overrides_with = "no_ccache", hide = true)]
    ccache: bool,
    /// Do not compile through ccache
    #[arg(long)]
    no_ccache: bool,
    /// Embed a fixed time, user and host
    #[arg(long, overrides_with = "no_reproducible", hide = true)]
    reproducible: bool,
    /// Let the kernel embed the real time, user and host
    #[arg(long)]
    no_reproducible: bool,
    /// Write compile_commands.json
    #[arg(long, overrides_with = "no_compile_commands", hide = true)]
    compile_commands: bool,
    /// Do not write compile_commands.json
    #[arg(long)]
    no_compile_commands: bool,
    /// Write the GDB helpers
    #[arg(long, overrides_with = "no_gdb_scripts", hide = true)]
    gdb_scripts: bool,
    /// Do not write the GDB helpers
    #[arg(long)]
    no_gdb_scripts: bool,
    /// Write rust-project.json
    #[arg(long, overrides_with = "no_rust_analyzer", hide = true)]
    rust_analyzer: bool,
    /// Do not write rust-project.json
    #[arg(long)]
    no_rust_analyzer: bool,
    /// Install image, System.map and config
    #[arg(long, overrides_with = "no_install", hide = true)]
    pub(crate) install: bool,
    /// Do not install image, System.map and config
    #[arg(long)]
    no_install: bool,
    /// Install the modules
    #[arg(long, overrides_with = "no_modules_install", hide = true)]
    modules_install: bool,
    /// Do not install the modules
    #[arg(long)]
    no_modules_install: bool,
    /// Keep the modules' link to the source tree
    #[arg(long, overrides_with = "no_source_symlink")]
    source_symlink: bool,
    /// Drop the modules' link to the source tree
    #[arg(long, hide = true)]
    no_source_symlink: bool,
    /// Take a finished build of this identity
    #[arg(long, overrides_with = "no_reuse", hide = true)]
    reuse: bool,
    /// Build even if this identity has been built before, and do not store the result
    #[arg(long, visible_alias = "unstored")]
    no_reuse: bool,
    /// Start from the objects of a kernel that differs in its configuration alone
    #[arg(long, overrides_with = "no_borrow_objects", hide = true)]
    borrow_objects: bool,
    /// Compile everything, even if another kernel has the same objects
    #[arg(long)]
    no_borrow_objects: bool,
    /// Add a finished build to the Nix store, too
    #[arg(long, overrides_with = "no_publish")]
    publish: bool,
    /// Do not add finished builds to the Nix store
    #[arg(long, hide = true)]
    no_publish: bool,
}

impl Overrides {
    /// What the second build of `verify` goes by, and the rest.
    pub(crate) fn without_backend(&self) -> (Self, Option<String>) {
        let again = self.to_spec().backend;
        let rest = Overrides {
            backend: None,
            shell: false,
            ..self.clone()
        };
        (rest, again)
    }

    /// As the library takes them.
    pub(crate) fn to_spec(&self) -> kernelkit::spec::Overrides {
        let switch = |on: bool, off: bool| if on { Some(true) } else { off.then_some(false) };
        kernelkit::spec::Overrides {
            // Only the command line that describes a whole kernel may name it, by its preset.
            name: None,
            source: self.source.clone(),
            patches: self.patches.clone(),
            series: self.series.clone(),
            arch: self.arch.clone(),
            preset: self.preset.clone(),
            make: self.make.clone(),
            config: self.config.clone(),
            fragments: self.fragments.clone(),
            fragment_dirs: self.fragment_dirs.clone(),
            label: self.label.clone(),
            release: self.release_template.clone(),
            build: self.build_number.clone(),
            dist: self.dist.clone(),
            compiler: self.compiler.clone(),
            toolchain: self.toolchain.clone(),
            backend: match self.shell {
                true => Some("shell".to_owned()),
                false => self.backend.clone(),
            },
            make_flags: self.make_flags.clone(),
            targets: self.targets.clone(),
            jobs: self.jobs.clone(),
            ccache_max_size: self.ccache_max_size.clone(),
            timestamp: self.timestamp.clone(),
            allnoconfig_base: switch(self.allnoconfig_base, self.no_allnoconfig_base),
            debug: switch(self.debug, self.no_debug),
            ccache: switch(self.ccache, self.no_ccache),
            reproducible: switch(self.reproducible, self.no_reproducible),
            compile_commands: switch(self.compile_commands, self.no_compile_commands),
            gdb_scripts: switch(self.gdb_scripts, self.no_gdb_scripts),
            rust_analyzer: switch(self.rust_analyzer, self.no_rust_analyzer),
            install: switch(self.install, self.no_install),
            modules_install: switch(self.modules_install, self.no_modules_install),
            source_symlink: switch(self.source_symlink, self.no_source_symlink),
            reuse: switch(self.reuse, self.no_reuse),
            borrow_objects: switch(self.borrow_objects, self.no_borrow_objects),
            publish: switch(self.publish, self.no_publish),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;
    use kernelkit::spec::SETTINGS;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_setting_has_the_flags_that_its_reference_names() {
        let mut command = Cli::command();
        command.build();
        let build = command.find_subcommand("build").unwrap();
        let flags: Vec<_> = build
            .get_arguments()
            .filter_map(|argument| argument.get_long().map(|long| format!("--{long}")))
            .collect();
        for setting in SETTINGS {
            for flag in setting
                .flag
                .map(str::to_owned)
                .into_iter()
                .chain(setting.negative_flag())
            {
                assert!(flags.contains(&flag), "{flag} of `{}`", setting.key);
            }
        }
    }
}

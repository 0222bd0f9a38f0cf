//! `scripts/kconfig/conf` on kernelkit's own Kconfig engine: the same options,
//! environment variables, files and exit status.

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::process::ExitCode;

use camino::Utf8PathBuf;
use clap::{Args, Parser, ValueEnum};
use kernelkit::effect::environment::{self, Environment};
use kernelkit::effect::kconfig::conf::{self, Console, Goal, Options, Probes};
use kernelkit::kconfig::Dialect;

/// A drop-in for a kernel tree's scripts/kconfig/conf.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    goal: GoalArgs,
    /// Show warnings and errors only
    #[arg(short, long)]
    silent: bool,
    /// Take the output of $(shell …) from FILE and run nothing; a command that is not in it is an error
    #[arg(long, value_name = "FILE")]
    probes: Option<Utf8PathBuf>,
    /// Write the output of every $(shell …) to FILE, a line `COMMAND<TAB>OUTPUT` each
    #[arg(long, value_name = "FILE")]
    record_probes: Option<Utf8PathBuf>,
    /// Run every $(shell …) anew
    #[arg(long)]
    no_cache: bool,
    /// Rules to follow; they are read from the tree at $srctree where it has scripts/kconfig
    #[arg(long, env = "KERNELKIT_CONF_DIALECT", value_name = "VERSION")]
    dialect: Option<DialectName>,
    /// The first Kconfig file
    #[arg(default_value = "Kconfig")]
    root: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum DialectName {
    #[value(name = "6.1")]
    Old,
    #[value(name = "6.12")]
    V6_12,
    #[value(name = "7")]
    V7,
}

#[derive(Debug, Args)]
#[group(multiple = false)]
struct GoalArgs {
    /// Ask for what .config does not set yet
    #[arg(long)]
    oldconfig: bool,
    /// Ask for everything; the default
    #[arg(long)]
    oldaskconfig: bool,
    /// As --oldconfig, and bring auto.conf, autoconf.h and rustc_cfg up to date
    #[arg(long)]
    syncconfig: bool,
    /// Keep .config, defaults for what it does not set
    #[arg(long)]
    olddefconfig: bool,
    /// Start from FILE
    #[arg(long, value_name = "FILE")]
    defconfig: Option<Utf8PathBuf>,
    /// Write the smallest file that makes .config to FILE
    #[arg(long, value_name = "FILE")]
    savedefconfig: Option<Utf8PathBuf>,
    /// List what .config does not set yet
    #[arg(long)]
    listnewconfig: bool,
    /// List what .config does not set yet, with help texts
    #[arg(long)]
    helpnewconfig: bool,
    /// Defaults
    #[arg(long)]
    alldefconfig: bool,
    /// n wherever possible
    #[arg(long)]
    allnoconfig: bool,
    /// y wherever possible
    #[arg(long)]
    allyesconfig: bool,
    /// m wherever possible
    #[arg(long)]
    allmodconfig: bool,
    /// Random values
    #[arg(long)]
    randconfig: bool,
    /// Turn y into m where possible
    #[arg(long)]
    yes2modconfig: bool,
    /// Turn m into y
    #[arg(long)]
    mod2yesconfig: bool,
    /// Turn m into n
    #[arg(long)]
    mod2noconfig: bool,
}

impl GoalArgs {
    fn goal(self) -> Goal {
        if let Some(file) = self.defconfig {
            return Goal::Defconfig(file);
        }
        if let Some(file) = self.savedefconfig {
            return Goal::Savedefconfig(file);
        }
        let flags = [
            (self.oldconfig, Goal::Oldconfig),
            (self.syncconfig, Goal::Syncconfig),
            (self.olddefconfig, Goal::Olddefconfig),
            (self.listnewconfig, Goal::Listnewconfig),
            (self.helpnewconfig, Goal::Helpnewconfig),
            (self.alldefconfig, Goal::Alldefconfig),
            (self.allnoconfig, Goal::Allnoconfig),
            (self.allyesconfig, Goal::Allyesconfig),
            (self.allmodconfig, Goal::Allmodconfig),
            (self.randconfig, Goal::Randconfig),
            (self.yes2modconfig, Goal::Yes2modconfig),
            (self.mod2yesconfig, Goal::Mod2yesconfig),
            (self.mod2noconfig, Goal::Mod2noconfig),
        ];
        let given = flags
            .into_iter()
            .find_map(|(given, goal)| given.then_some(goal));
        given.unwrap_or(Goal::Oldaskconfig)
    }
}

fn run(cli: Cli) -> Result<conf::Outcome, Box<dyn std::error::Error>> {
    let environment = Environment::read()?;
    let options = Options {
        goal: cli.goal.goal(),
        silent: cli.silent,
        root: cli.root,
        probes: match cli.probes {
            Some(file) => Probes::Recorded(file),
            None => Probes::Run,
        },
        record: cli.record_probes,
        cache: (!cli.no_cache).then(|| environment.cache_dir.join("probes")),
        dialect: cli.dialect.map(|name| match name {
            DialectName::Old => Dialect::OLD,
            DialectName::V6_12 => Dialect::V6_12,
            DialectName::V7 => Dialect::V7,
        }),
        directory: environment.current_dir,
        variables: environment.variables,
        now: environment::now()
            .timestamp()
            .as_microsecond()
            .unsigned_abs(),
    };
    Ok(conf::run(&options, &mut Standard)?)
}

/// The program's own input and output.
struct Standard;

/// Longer lines are several answers, as the kernel's conf has it.
const LONGEST_LINE: u64 = 4095;

impl Console for Standard {
    fn show(&mut self, stdout: &[u8], stderr: &[u8]) {
        print(stdout, stderr);
    }

    fn read_line(&mut self) -> Vec<u8> {
        let mut line = Vec::new();
        let mut input = std::io::stdin().lock().take(LONGEST_LINE);
        // What cannot be read has ended.
        let _ = input.read_until(b'\n', &mut line);
        line
    }

    fn echoes(&self) -> bool {
        std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
    }
}

/// A reader that has gone away is no reason to fail.
fn print(stdout: &[u8], stderr: &[u8]) {
    let mut output = std::io::stdout();
    let _ = output.write_all(stdout).and_then(|()| output.flush());
    let _ = std::io::stderr().write_all(stderr);
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(outcome) => {
            print(&outcome.stdout, &outcome.stderr);
            ExitCode::from(outcome.status)
        }
        Err(error) => {
            let mut text = format!("error: {error}\n");
            let mut source = error.source();
            while let Some(cause) = source {
                text.push_str(&format!("  {cause}\n"));
                source = cause.source();
            }
            let _ = std::io::stderr().write_all(text.as_bytes());
            ExitCode::FAILURE
        }
    }
}

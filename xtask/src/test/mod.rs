//! `cargo xtask test`: every check and test of the project, in order, on a plain machine.

mod book;
mod nix;
mod packages;
mod tally;
mod trees;

use std::io::Write as _;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use kernelkit::effect::exec;
use kernelkit::process::Call;

use crate::workspace::Workspace;
use crate::{Result, describe, generated, oracle, stopwatch};
pub(crate) use packages::PACKAGES;
use tally::Tally;

/// Run every check and test.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Install nothing and fetch nothing; kernel trees come from KERNELKIT_TEST_TREES
    #[arg(long)]
    no_setup: bool,
    /// Run only these steps
    #[arg(long, value_name = "STEP", value_delimiter = ',', value_parser = PossibleValuesParser::new(STEPS.iter().map(|step| step.name)))]
    only: Vec<String>,
}

/// One step of the test run.
pub(crate) struct Step {
    /// What `--only` calls it.
    pub(crate) name: &'static str,
    /// What it holds, for the heading and the book.
    pub(crate) about: &'static str,
    /// Whether it changes the machine, so that `--no-setup` leaves it out.
    pub(crate) setup: bool,
    run: fn(&mut Session) -> Result,
}

/// In this order; a failed step does not stop the later ones.
pub(crate) const STEPS: &[Step] = &[
    Step {
        name: "packages",
        about: "install the Debian packages that the tests need",
        setup: true,
        run: |session| packages::install(session),
    },
    Step {
        name: "trees",
        about: "fetch and unpack the kernel trees that the tests build",
        setup: true,
        run: |session| trees::fetch(session),
    },
    Step {
        name: "nix",
        about: "unpack the Nix of later Debian releases beside this one's",
        setup: true,
        run: |session| nix::fetch(session),
    },
    Step {
        name: "fmt",
        about: "the sources are formatted",
        setup: false,
        run: |session| session.cargo(&["fmt", "--all", "--check"]),
    },
    Step {
        name: "clippy",
        about: "no compiler or clippy warning, in any target",
        setup: false,
        run: |session| {
            session.cargo(&[
                "clippy",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ])
        },
    },
    Step {
        name: "doc",
        about: "the API documentation builds without a warning",
        setup: false,
        run: |session| {
            let call = session
                .workspace
                .cargo(&["doc", "--workspace", "--no-deps"])
                .env("RUSTDOCFLAGS", "-D warnings");
            session.stream(&call)
        },
    },
    Step {
        name: "generated",
        about: "the generated pages are what `cargo xtask gen` writes",
        setup: false,
        run: |session| generated::check(&session.workspace),
    },
    Step {
        name: "book",
        about: "the book builds with mdbook",
        setup: false,
        run: |session| book::build(session),
    },
    Step {
        name: "unit",
        about: "unit tests of every crate",
        setup: false,
        run: |session| session.cargo_test(&["--lib", "--bins"]),
    },
    Step {
        name: "doctest",
        about: "the examples in the API documentation and in the book run",
        setup: false,
        run: |session| session.cargo_test(&["--doc"]),
    },
    Step {
        name: "integration",
        about: "the command line end to end, on small stand-in trees and on real kernels",
        setup: false,
        run: |session| session.cargo_test(&["--test", "*"]),
    },
    Step {
        name: "kconfig-oracle",
        about: "kernelkit-conf against the kernel trees' own conf, a sample",
        setup: false,
        run: |session| oracle::sample(&session.workspace),
    },
];

/// A test run under way.
pub(crate) struct Session {
    pub(crate) workspace: Workspace,
    tally: Tally,
}

impl Session {
    /// Runs a call, passing its output on as it comes.
    fn stream(&mut self, call: &Call) -> Result {
        let mut output = std::io::stdout().lock();
        let tally = &mut self.tally;
        exec::stream(call, None, &mut |line| {
            tally.read(&String::from_utf8_lossy(line));
            // A closed pipe must not stop the tests half-way.
            let _ = output
                .write_all(line)
                .and_then(|()| output.write_all(b"\n"));
        })?;
        Ok(())
    }

    fn cargo(&mut self, args: &[&str]) -> Result {
        let call = self.workspace.cargo(args);
        self.stream(&call)
    }

    fn cargo_test(&mut self, args: &[&str]) -> Result {
        let all = [&["test", "--workspace", "--no-fail-fast"], args].concat();
        self.cargo(&all)
    }
}

/// Runs the chosen steps.
pub(crate) fn run(args: &Args, workspace: Workspace) -> Result {
    let mut session = Session {
        workspace,
        tally: Tally::default(),
    };
    let mut results: Vec<(&Step, Duration, bool)> = Vec::new();
    for step in STEPS.iter().filter(|step| chosen(args, step)) {
        println!("\n==> {}: {}", step.name, step.about);
        let before = session.tally;
        let (done, duration) = stopwatch::time(|| (step.run)(&mut session));
        if let Err(error) = &done {
            eprintln!("{}", describe(&**error));
        }
        session.tally.end_step(before, done.is_ok());
        println!("==> {}: {:.1} s", step.name, duration.as_secs_f64());
        results.push((step, duration, done.is_ok()));
        if exec::interrupted() {
            return Err(exec::Error::Interrupted.into());
        }
    }
    println!("\n{}", summary(&results));
    println!("{}", session.tally);
    match session.tally.failed {
        0 => Ok(()),
        _ => Err("the test run failed".into()),
    }
}

fn chosen(args: &Args, step: &Step) -> bool {
    if args.only.is_empty() {
        !(args.no_setup && step.setup)
    } else {
        args.only.iter().any(|name| name == step.name)
    }
}

fn summary(results: &[(&Step, Duration, bool)]) -> String {
    let mut text: String = results
        .iter()
        .map(|(step, duration, passed)| {
            let word = if *passed { "ok" } else { "FAILED" };
            format!(
                "{:<12} {:>8.1} s  {word}\n",
                step.name,
                duration.as_secs_f64()
            )
        })
        .collect();
    let total: Duration = results.iter().map(|(_, duration, _)| duration).sum();
    text.push_str(&format!("{:<12} {:>8.1} s\n", "total", total.as_secs_f64()));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(no_setup: bool, only: &[&str]) -> Args {
        Args {
            no_setup,
            only: only.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    fn names(args: &Args) -> Vec<&'static str> {
        STEPS
            .iter()
            .filter(|step| chosen(args, step))
            .map(|step| step.name)
            .collect()
    }

    #[test]
    fn without_setup_nothing_changes_the_machine() {
        assert_eq!(names(&args(false, &[])).len(), STEPS.len());
        assert_eq!(names(&args(true, &[]))[0], "fmt");
        assert_eq!(names(&args(true, &["trees", "unit"])), ["trees", "unit"]);
    }

    #[test]
    fn the_summary_names_the_failed_step() {
        let step = |name| STEPS.iter().find(|step| step.name == name).unwrap();
        let results = [
            (step("fmt"), Duration::from_millis(640), true),
            (step("clippy"), Duration::from_secs(61), false),
        ];
        assert_eq!(
            summary(&results),
            "fmt               0.6 s  ok\nclippy           61.0 s  FAILED\ntotal            61.6 s\n"
        );
    }
}

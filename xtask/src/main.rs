//! What CI runs: `cargo xtask test`, `gen`, `bench` and `kconfig-oracle`.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a task runner's output is its job"
)]

mod bench;
mod generated;
mod oracle;
mod random;
mod stopwatch;
mod test;
mod torture;
mod workspace;

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;
use kernelkit::effect::exec;

use crate::workspace::Workspace;

/// Errors here only end a task; nothing matches on them.
type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// Tasks of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Task {
    /// Install what the tests need, then run every check and test
    Test(test::Args),
    /// Write the generated reference pages
    Gen(generated::Args),
    /// Measure side by side against the tools replaced
    Bench(bench::Args),
    /// Compare kernelkit-conf with the kernel trees' own conf
    KconfigOracle(oracle::Args),
    /// Change sources, toolchains, caches and stores under builds, and compare each kernel with one from nothing
    Torture(torture::Args),
}

fn main() -> ExitCode {
    let task = Task::parse();
    let done = exec::install_interrupt_handler()
        .map_err(Into::into)
        .and_then(|()| Workspace::read())
        .and_then(|workspace| match task {
            Task::Test(args) => test::run(&args, workspace),
            Task::Gen(args) => generated::run(&args, &workspace),
            Task::Bench(args) => bench::run(&args, &workspace),
            Task::KconfigOracle(args) => oracle::run(&args, &workspace),
            Task::Torture(args) => torture::run(&args, &workspace),
        });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", describe(&*error));
            ExitCode::FAILURE
        }
    }
}

/// The error, its causes, and the hint of a failed command.
fn describe(error: &(dyn Error + 'static)) -> String {
    let mut text = format!("error: {error}");
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(exec::Error::Failed { tail, .. }) = error.downcast_ref() {
            for line in tail {
                text.push_str("\n  | ");
                text.push_str(line);
            }
        }
        if let Some(hint) = error
            .downcast_ref::<exec::Error>()
            .and_then(exec::Error::hint)
        {
            text.push_str(&format!("\nhint: {hint}"));
        }
        cause = error.source();
        if let Some(cause) = cause {
            text.push_str(&format!("\n  caused by: {cause}"));
        }
    }
    text
}

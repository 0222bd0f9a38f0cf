//! `cargo kernel`: build, boot and identify custom Linux kernels.
//!
//! This crate reads arguments, calls [`kernelkit`] and prints; it decides nothing.

mod cli;
mod commands;
mod error;
mod refused;
mod ui;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::Cli;
use crate::error::Failure;
use crate::ui::Ui;

fn main() -> ExitCode {
    // Cargo runs `cargo-kernel kernel …`; `cargo run -- …` and a direct call may lack the word.
    let mut arguments: Vec<_> = std::env::args_os().collect();
    if arguments.get(1).is_some_and(|word| word == "kernel") {
        arguments.remove(1);
    }
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // A reader that has gone away is no failure.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() {
                error::USAGE
            } else {
                error::DONE
            });
        }
    };
    let ui = Ui::new(&cli.global);
    let result = match kernelkit::effect::exec::install_interrupt_handler() {
        Ok(()) => commands::run(&cli, &ui),
        Err(error) => Err(Failure::new(error)),
    };
    let code = match result {
        Ok(code) => code,
        Err(failure) => {
            // Whatever broke when the user stopped it is not the news.
            let failure = if kernelkit::effect::exec::interrupted() {
                kernelkit::effect::exec::Error::Interrupted.into()
            } else {
                failure
            };
            ui.failure(&failure);
            failure.code
        }
    };
    ui.finish(&cli.command, code);
    ExitCode::from(code)
}

//! `cargo kernel config`

mod check;
mod requests;
mod show;

use crate::cli::Global;
use crate::error::Failure;
use crate::ui::Ui;

/// Show a kernel's configuration, or check its requests
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Show(show::Args),
    Requests(requests::Args),
    Check(check::Args),
}

pub(crate) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<u8, Failure> {
    match &args.command {
        Command::Show(args) => show::run(args, global, ui),
        Command::Requests(args) => requests::run(args, global, ui),
        Command::Check(args) => check::run(args, global, ui),
    }
}

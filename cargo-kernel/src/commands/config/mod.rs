//! `cargo kernel config`

mod check;
mod explain;
mod requests;
mod search;
mod show;

use kernelkit::effect::configure::Native;
use kernelkit::plan::Facts;
use kernelkit::spec::KernelSpec;

use super::Workspace;
use crate::cli::Global;
use crate::error::Failure;
use crate::ui::Ui;

/// Show, check, search and explain a kernel's configuration
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
    Explain(explain::Args),
    Search(search::Args),
}

pub(crate) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<u8, Failure> {
    match &args.command {
        Command::Show(args) => show::run(args, global, ui),
        Command::Requests(args) => requests::run(args, global, ui),
        Command::Check(args) => check::run(args, global, ui),
        Command::Explain(args) => explain::run(args, global, ui),
        Command::Search(args) => search::run(args, global, ui),
    }
}

/// A kernel's facts and its Kconfig files, to be asked.
fn native(workspace: &Workspace, kernel: &KernelSpec, ui: &Ui) -> Result<(Facts, Native), Failure> {
    let facts = super::gather(workspace, kernel, ui)?;
    let native = workspace.session().native(kernel, &facts)?;
    let native = native.ok_or_else(|| {
        Failure::message(
            format!(
                "the configuration of `{}` comes from the kernel's own make, which explains nothing",
                kernel.name
            ),
            "start from a preset, from fragments or from a `.config` file",
        )
    })?;
    Ok((facts, native))
}

//! `cargo kernel doctor`

use kernelkit::spec::KernelSpec;

use super::Workspace;
use crate::cli::{Global, Kernels};
use crate::error::{DONE, Failure};
use crate::ui::Ui;

/// Check that the tools are there that the kernels need
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    kernels: Kernels,
    /// Install what is missing
    #[arg(long)]
    install: bool,
}

pub(crate) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<u8, Failure> {
    let _ = (args, global, ui);
    Ok(DONE)
}

pub(crate) fn set_up(workspace: &Workspace, kernels: &[&KernelSpec], boots: bool, ui: &Ui) -> Result<(), Failure> {
    let _ = (workspace, kernels, boots, ui);
    Ok(())
}

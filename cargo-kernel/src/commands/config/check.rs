//! `cargo kernel config check`

use kernelkit::merge;

use crate::cli::{Global, Kernels};
use crate::commands::{self, Workspace};
use crate::error::{DONE, Failure, NO};
use crate::refused;
use crate::ui::{STRONG, Ui};

/// Check that every requested symbol is in the result; exits with 100 where one is not
///
/// Each request that does not hold is shown at its line, with the reason and the smallest
/// fix. What a fragment calls optional is a note.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    kernels: Kernels,
}

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<u8, Failure> {
    let workspace = Workspace::load(global, &args.kernels.overrides)?;
    let mut code = DONE;
    let kernels = workspace.select(&args.kernels.names)?;
    for kernel in &kernels {
        let name = kernel.name.as_str();
        let facts = commands::gather(&workspace, kernel, ui)?;
        let merged = &facts.request.merged;
        let unmet = merge::verify(merged, &facts.config);
        let refused = workspace.session().refused(kernel, &facts, unmet)?;
        if kernels.len() > 1 && !refused.is_empty() && !ui.is_json() {
            ui.data(format_args!("{STRONG}{name}{STRONG:#}"));
        }
        for (index, refused) in refused.iter().enumerate() {
            ui.message("unmet", refused::to_json(name, refused));
            if !ui.is_json() {
                if index > 0 {
                    ui.data("");
                }
                ui.data(refused::render(refused));
            }
        }
        let requests = merged.requests().len();
        let lacking = refused
            .iter()
            .filter(|refused| !refused.request.optional)
            .count();
        if lacking > 0 {
            code = NO;
            ui.status(
                "Checked",
                format_args!("{name}: {lacking} of {requests} requests do not hold"),
            );
        } else if refused.is_empty() {
            ui.status(
                "Checked",
                format_args!("{name}: all {requests} requests hold"),
            );
        } else {
            ui.status(
                "Checked",
                format_args!(
                    "{name}: all {requests} requests hold but {} optional",
                    refused.len()
                ),
            );
        }
    }
    Ok(code)
}

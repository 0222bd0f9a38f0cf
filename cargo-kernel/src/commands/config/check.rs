//! `cargo kernel config check`

use kernelkit::merge;
use serde_json::json;

use crate::cli::{Global, Kernels};
use crate::commands::{self, Workspace};
use crate::error::{DONE, Failure, NO};
use crate::ui::Ui;

/// Check that every requested symbol is in the result; exits with 100 where one is not
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    kernels: Kernels,
}

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<u8, Failure> {
    let workspace = Workspace::load(global, &args.kernels.overrides)?;
    let mut code = DONE;
    for kernel in workspace.select(&args.kernels.names)? {
        let name = kernel.name.as_str();
        let facts = commands::gather(&workspace, kernel, ui)?;
        let unmet = merge::verify(&facts.request.merged, &facts.config);
        for unmet in &unmet {
            ui.message("unmet", json!({ "kernel": name, "unmet": unmet }));
            if !ui.is_json() {
                ui.data(format_args!(
                    "{unmet}{}",
                    if unmet.optional { " (optional)" } else { "" }
                ));
            }
        }
        if unmet.iter().any(|unmet| !unmet.optional) {
            code = NO;
        } else {
            ui.status(
                "Checked",
                format_args!(
                    "{name}: all {} requests hold",
                    facts.request.merged.requests().len()
                ),
            );
        }
    }
    Ok(code)
}

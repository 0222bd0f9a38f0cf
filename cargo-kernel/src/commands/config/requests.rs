//! `cargo kernel config requests`

use serde_json::json;

use crate::cli::{Global, Kernels};
use crate::commands::{self, Workspace};
use crate::error::{DONE, Failure};
use crate::ui::Ui;

/// Print what the fragments ask for, and which line asks
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    kernels: Kernels,
}

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<u8, Failure> {
    let workspace = Workspace::load(global, &args.kernels.overrides)?;
    for kernel in workspace.select(&args.kernels.names)? {
        let name = kernel.name.as_str();
        let facts = commands::gather(&workspace, kernel, ui)?;
        for request in facts.request.merged.requests() {
            ui.message("request", json!({ "kernel": name, "request": request }));
            if !ui.is_json() {
                ui.data(format_args!(
                    "{}={} ← {}",
                    request.symbol, request.asked.value, request.asked.place
                ));
                for other in &request.others {
                    ui.data(format_args!("    not {} ← {}", other.value, other.place));
                }
            }
        }
    }
    Ok(DONE)
}

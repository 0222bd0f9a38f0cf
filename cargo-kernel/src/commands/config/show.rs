//! `cargo kernel config show`

use serde_json::json;

use crate::cli::{Global, Kernels};
use crate::commands::{self, Workspace};
use crate::error::{DONE, Failure};
use crate::ui::Ui;

/// Print the resolved .config
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
        let text = facts.config.text();
        ui.message("config", json!({ "kernel": name, "text": text }));
        if !ui.is_json() {
            ui.data(text.trim_end());
        }
    }
    Ok(DONE)
}

//! `cargo kernel config`

use kernelkit::merge;
use serde_json::json;

use super::Workspace;
use crate::cli::{Global, Kernels};
use crate::error::{DONE, Failure, NO};
use crate::ui::Ui;

/// Show a kernel's configuration, or check its requests
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print the resolved .config
    Show(Kernels),
    /// Print what the fragments ask for, and which line asks
    Requests(Kernels),
    /// Check that every requested symbol is in the result; exits with 100 where one is not
    Check(Kernels),
}

pub(crate) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<u8, Failure> {
    let (Command::Show(kernels) | Command::Requests(kernels) | Command::Check(kernels)) =
        &args.command;
    let workspace = Workspace::load(global, &kernels.overrides)?;
    let mut code = DONE;
    for kernel in workspace.select(&kernels.names)? {
        let name = kernel.name.as_str();
        let facts = workspace
            .session()
            .gather(kernel, &mut |notice| super::notice(ui, name, notice));
        ui.clear();
        let facts = facts?;
        match &args.command {
            Command::Show(_) => {
                let text = facts.config.text();
                ui.message("config", json!({ "kernel": name, "text": text }));
                if !ui.is_json() {
                    ui.data(text.trim_end());
                }
            }
            Command::Requests(_) => {
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
            Command::Check(_) => {
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
        }
    }
    Ok(code)
}

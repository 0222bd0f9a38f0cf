//! `cargo kernel verify`

use kernelkit::effect::verify::{Verification, verify};
use kernelkit::spec::InvalidValue;
use serde_json::json;

use super::Workspace;
use crate::cli::{Global, Kernels};
use crate::error::{DONE, Failure, NO};
use crate::ui::Ui;

/// Build kernels a second time and compare every installed byte
///
/// The second build lies in another directory, goes without ccache and runs another number of
/// jobs; with `--backend`, that backend makes it. Exits with 100 where the bytes differ.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    kernels: Kernels,
}

pub(crate) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<u8, Failure> {
    let (overrides, again) = args.kernels.overrides.without_backend();
    let again = match again {
        Some(name) => Some(name.parse().map_err(|error: InvalidValue| {
            Failure::usage(&error, "`--backend` takes host, shell or nix")
        })?),
        None => None,
    };
    let workspace = Workspace::load(global, &overrides)?;
    let mut code = DONE;
    for kernel in workspace.select(&args.kernels.names)? {
        let name = kernel.name.as_str();
        let session = workspace.session();
        let result = verify(&session, kernel, again, &mut |notice| {
            super::notice(ui, name, notice)
        });
        ui.clear();
        let verification = result?;
        ui.message(
            "verified",
            json!({
                "kernel": name,
                "release": verification.first.record.release,
                "backends": verification.backends,
                "compared": verification.compared,
                "differences": verification.differences,
                "hazards": verification.hazards,
            }),
        );
        if !ui.is_json() {
            print(&verification, ui);
        }
        let by = match verification.backends {
            [first, again] if first == again => "twice".to_owned(),
            [first, again] => format!("by {first} and by {again}"),
        };
        if verification.differences.is_empty() {
            ui.status(
                "Verified",
                format_args!(
                    "{name} {}: {} files, the same bytes {by}",
                    verification.first.record.release, verification.compared
                ),
            );
        } else {
            code = NO;
            ui.status(
                "Differs",
                format_args!(
                    "{name} {}: {} of {} files; the second build is in {}",
                    verification.first.record.release,
                    verification.differences.len(),
                    verification.compared,
                    verification.directory
                ),
            );
        }
    }
    Ok(code)
}

fn print(verification: &Verification, ui: &Ui) {
    for difference in &verification.differences {
        ui.data(difference);
        if let Some(culprit) = &difference.culprit {
            ui.data(format_args!("    probably: {}", culprit.what));
            ui.data(format_args!("    cure: {}", culprit.cure));
        }
    }
}

//! `cargo kernel clean`

use kernelkit::effect::{fs, lock, tmpfs};

use super::Workspace;
use crate::cli::{Global, Overrides};
use crate::error::{DONE, Failure};
use crate::ui::Ui;

/// Remove build directories
///
/// Finished builds in the store, downloads and unpacked sources stay.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Kernels by name or glob pattern; the default ones where none is given
    #[arg(value_name = "KERNEL")]
    names: Vec<String>,
}

pub(crate) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<u8, Failure> {
    let workspace = Workspace::load(global, &Overrides::default())?;
    for kernel in workspace.select(&args.names)? {
        let state = workspace.session().state(kernel);
        if !state.exists() {
            continue;
        }
        let edits = workspace.session().edits(kernel)?;
        if !edits.is_empty() {
            return Err(Failure::message(
                format!(
                    "the tree of `{}` has edits: {}",
                    kernel.name,
                    edits.join(", ")
                ),
                format!(
                    "keep them with `git -C {} stash -u`, or drop them with `cargo kernel tree {} --recreate`",
                    workspace.session().warm_dir(kernel),
                    kernel.name
                ),
            ));
        }
        let purpose = format!("cargo kernel clean {}", kernel.name);
        let lock = lock::acquire(&state.join("lock"), &purpose, &mut |holder| {
            ui.warning(format!(
                "waiting for the build directory of `{}`, held by {holder}",
                kernel.name
            ));
        })?;
        tmpfs::remove(&state)?;
        fs::remove_dir_all(&state)?;
        drop(lock);
        ui.status("Removed", state);
    }
    Ok(DONE)
}

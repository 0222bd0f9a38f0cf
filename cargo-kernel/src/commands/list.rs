//! `cargo kernel list`

use kernelkit::request;
use serde_json::json;

use super::Workspace;
use crate::cli::{Global, Kernels};
use crate::error::{DONE, Failure};
use crate::ui::Ui;

/// List the kernels with their identity and state
///
/// Nothing is downloaded: a kernel whose source is not in the cache has no identity yet.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    kernels: Kernels,
}

struct Row {
    name: String,
    arch: &'static str,
    base: String,
    release: Option<String>,
    state: &'static str,
    /// Why it cannot be planned.
    error: Option<String>,
}

pub(crate) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<u8, Failure> {
    let mut workspace = Workspace::load(global, &args.kernels.overrides)?;
    workspace.offline = true;
    let names = if args.kernels.names.is_empty() {
        vec!["*".to_owned()]
    } else {
        args.kernels.names.clone()
    };
    let session = workspace.session();
    let mut rows = Vec::new();
    for kernel in workspace.select(&names)? {
        let plan = session.plan(kernel, &mut |_| {});
        let built = session.manifest(kernel)?;
        let mut why = None;
        let (release, state) = match (plan, built) {
            (Ok(plan), Some(manifest)) if manifest.record.release == plan.record.release => {
                (Some(plan.record.release), "built")
            }
            (Ok(plan), built) => {
                let stored = session.stored_manifest(&plan.record.release)?.is_some();
                let state = if stored {
                    "in the store"
                } else if built.is_some() {
                    "changed since it was built"
                } else {
                    "not built"
                };
                (Some(plan.record.release), state)
            }
            (Err(error), built) => {
                ui.note(format!("{}: {error}", kernel.name));
                why = Some(error.to_string());
                (
                    built.map(|manifest| manifest.record.release),
                    "cannot be planned",
                )
            }
        };
        let base = request::describe(&kernel.base.value);
        rows.push(Row {
            name: kernel.name.to_string(),
            arch: kernel.arch.name(),
            base,
            release,
            state,
            error: why,
        });
    }
    for row in &rows {
        ui.message("kernel", json!({ "name": row.name, "arch": row.arch, "base": row.base, "release": row.release, "state": row.state, "error": row.error }));
    }
    if !ui.is_json() {
        let width =
            |text: fn(&Row) -> &str| rows.iter().map(|row| text(row).len()).max().unwrap_or(0);
        let (name, arch, base) = (
            width(|row| &row.name),
            width(|row| row.arch),
            width(|row| &row.base),
        );
        for row in &rows {
            let release = row.release.as_deref().unwrap_or("-");
            ui.data(format_args!(
                "{:name$}  {:arch$}  {:base$}  {release}  ({})",
                row.name, row.arch, row.base, row.state
            ));
        }
    }
    Ok(DONE)
}

//! `cargo kernel build`

use kernelkit::effect::build::Outcome;
use kernelkit::effect::log::seconds;
use kernelkit::manifest::{Manifest, OutputKind};
use kernelkit::spec::KernelSpec;
use serde_json::json;

use super::Workspace;
use crate::cli::{Global, Kernels};
use crate::error::{DONE, Failure};
use crate::ui::Ui;

/// Build kernels, or find them already built
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    kernels: Kernels,

    /// Install missing tools first
    #[arg(long)]
    setup: bool,
}

pub(crate) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<u8, Failure> {
    let workspace = Workspace::load(global, &args.kernels.overrides)?;
    let kernels = workspace.select(&args.kernels.names)?;
    if args.setup {
        super::doctor::set_up(&workspace, &kernels, false, ui)?;
    }
    for kernel in kernels {
        build(&workspace, kernel, ui)?;
    }
    Ok(DONE)
}

/// Builds one kernel and says how it went.
pub(crate) fn build(
    workspace: &Workspace,
    kernel: &KernelSpec,
    ui: &Ui,
) -> Result<Manifest, Failure> {
    workspace.runs_the_tree()?;
    let name = kernel.name.as_str();
    let result = workspace
        .session()
        .build(kernel, &mut |notice| super::notice(ui, name, notice));
    ui.clear();
    let (outcome, manifest) = result?;
    let record = &manifest.record;
    let (verb, how) = match outcome {
        Outcome::Built => (
            "Built",
            format!(
                " in {}",
                seconds(u128::from(manifest.statistics.milliseconds))
            ),
        ),
        Outcome::Ready => ("Fresh", String::new()),
        Outcome::Reused => ("Reused", " from the store".to_owned()),
    };
    ui.status(verb, format_args!("{name} {}{how}", record.release));
    if let Some(image) = record.output_path(OutputKind::Image) {
        ui.status("Image", image);
    }
    if let (Outcome::Built, Some(hits), Some(misses)) = (
        &outcome,
        manifest.statistics.ccache_hits,
        manifest.statistics.ccache_misses,
    ) {
        ui.status("ccache", format_args!("{hits} hits, {misses} misses"));
    }
    if matches!(outcome, Outcome::Built) && manifest.statistics.warnings > 0 {
        ui.note(format!(
            "{} compiler warnings, in {}",
            manifest.statistics.warnings,
            record.dirs.logs().join("latest/compile.log")
        ));
    }
    ui.message(
        "kernel-finished",
        json!({ "kernel": name, "outcome": verb.to_lowercase(), "manifest": manifest }),
    );
    Ok(manifest)
}

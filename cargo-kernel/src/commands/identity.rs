//! `cargo kernel identity`

use camino::{Utf8Path, Utf8PathBuf};
use kernelkit::config::{DotConfig, Value};
use kernelkit::effect::fs;
use kernelkit::identity::Identity;
use kernelkit::manifest::{Manifest, OutputKind};
use serde_json::json;

use super::Workspace;
use crate::cli::{Global, Overrides};
use crate::error::{DONE, Failure, NO};
use crate::ui::Ui;

/// Show what names a build, field by field
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A kernel by name
    #[arg(value_name = "KERNEL")]
    name: Option<String>,

    /// Compare with another kernel, a manifest.json or a stored release; without a value, with
    /// the last build of the same kernel. Exits with 100 where they differ
    #[arg(long, value_name = "OTHER", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    diff: Option<String>,

    #[command(flatten)]
    overrides: Overrides,
}

/// An identity and, where it is at hand, the configuration behind it.
struct Side {
    name: String,
    /// The manifest's file, where it was read from one.
    path: Option<Utf8PathBuf>,
    identity: Identity,
    config: Option<DotConfig>,
}

pub(crate) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<u8, Failure> {
    let workspace = Workspace::load(global, &args.overrides)?;
    let names: Vec<_> = args.name.iter().cloned().collect();
    let Some(other) = &args.diff else {
        for kernel in workspace.select(&names)? {
            let session = workspace.session();
            let facts = session.gather(kernel, &mut |notice| {
                super::notice(ui, kernel.name.as_str(), notice)
            });
            ui.clear();
            let facts = facts?;
            let record = kernelkit::plan::plan(kernel, &facts)
                .map_err(kernelkit::effect::build::Error::from)?
                .record;
            ui.message("identity", json!({ "kernel": kernel.name, "release": record.release, "digest": record.digest, "base": record.base, "identity": record.identity, "text": record.identity.text() }));
            if !ui.is_json() {
                ui.data(format_args!("# {}: {}", kernel.name, record.release));
                ui.data(record.identity.text().trim_end());
                if let Some(base) = &record.base {
                    ui.data(format_args!(
                        "#   base      {base}: this text with the source before its edits, whose digest the release has"
                    ));
                }
                for line in facts.toolchain.explain(&facts.config) {
                    if line.counts {
                        ui.data(format_args!(
                            "#   {:<9} {}: {}",
                            line.role, line.program, line.version
                        ));
                    }
                }
            }
        }
        return Ok(DONE);
    };
    let kernel = match workspace.select(&names)?.as_slice() {
        [kernel] => *kernel,
        _ => {
            return Err(Failure::message(
                "`--diff` compares one kernel",
                "name it: `cargo kernel identity NAME --diff`",
            ));
        }
    };
    let session = workspace.session();
    let ours = planned(&workspace, kernel, ui)?;
    let theirs = if other.is_empty() {
        let manifest = session.manifest(kernel)?.ok_or_else(|| {
            Failure::message(
                format!("`{}` has not been built here", kernel.name),
                "give `--diff=` a kernel, a manifest.json or a stored release",
            )
        })?;
        from_manifest(manifest)
    } else if let Some(kernel) = workspace
        .spec
        .kernels
        .iter()
        .find(|kernel| kernel.name.as_str() == other)
    {
        planned(&workspace, kernel, ui)?
    } else if let Some(manifest) = session.stored_manifest(other)? {
        from_manifest(manifest)
    } else {
        let path = workspace.environment.current_dir.join(other);
        let ways = "give `--diff=` a kernel, a manifest.json or a stored release; `cargo kernel store list` lists those";
        let bytes = fs::read(&path).map_err(|error| Failure {
            hint: Some(ways.to_owned()),
            ..Failure::new(error)
        })?;
        let manifest = Manifest::parse(&bytes).map_err(|error| {
            let mut failure = Failure::message(format!("{path} is no manifest of a build"), ways);
            failure.causes.push(error.to_string());
            failure
        })?;
        Side {
            path: Some(path),
            ..from_manifest(manifest)
        }
    };
    compare(&theirs, &ours, ui)
}

fn planned(
    workspace: &Workspace,
    kernel: &kernelkit::spec::KernelSpec,
    ui: &Ui,
) -> Result<Side, Failure> {
    let facts = super::gather(workspace, kernel, ui)?;
    // A release that is taken, or a lock that is out of date, is what one compares for.
    let plan = kernelkit::plan::plan(kernel, &facts);
    let plan = plan.map_err(kernelkit::effect::build::Error::from)?;
    let config = DotConfig::parse(&plan.dot_config).ok();
    Ok(Side {
        name: plan.record.release,
        path: None,
        identity: plan.record.identity,
        config,
    })
}

fn from_manifest(manifest: Manifest) -> Side {
    let read = |path: &Utf8Path| {
        fs::read_to_string(path)
            .ok()
            .and_then(|text| DotConfig::parse(&text).ok())
    };
    let config = manifest
        .record
        .output_path(OutputKind::Config)
        .and_then(|path| read(&path));
    Side {
        name: manifest.record.release,
        path: None,
        identity: manifest.record.identity,
        config,
    }
}

/// Says what changes from `left` to `right`, which is what would be built now.
fn compare(left: &Side, right: &Side, ui: &Ui) -> Result<u8, Failure> {
    let differences = left.identity.differences(&right.identity);
    let symbols = match (&left.config, &right.config) {
        (Some(left), Some(right)) => changed_symbols(left, right),
        _ => Vec::new(),
    };
    ui.message("identity-diff", json!({ "left": left.name, "path": left.path, "right": right.name, "differences": differences, "symbols": symbols }));
    if !ui.is_json() {
        ui.data(format_args!("- {}\n+ {}", left.name, right.name));
        for difference in &differences {
            ui.data(difference.field);
            for (sign, text) in [('-', &difference.left), ('+', &difference.right)] {
                if !text.is_empty() {
                    ui.data(format_args!("  {sign} {text}"));
                }
            }
            if difference.field == "config" {
                for (symbol, left, right) in &symbols {
                    ui.data(format_args!("    {symbol}: {left} → {right}"));
                }
            }
        }
        if differences.is_empty() {
            ui.data("the identities are equal");
        }
    }
    Ok(if differences.is_empty() { DONE } else { NO })
}

/// Symbols whose values differ, the baked-in release aside.
fn changed_symbols(left: &DotConfig, right: &DotConfig) -> Vec<(String, String, String)> {
    let show = |value: Option<&Value>| value.map_or_else(|| "absent".to_owned(), Value::to_string);
    let names: std::collections::BTreeSet<_> =
        left.values().keys().chain(right.values().keys()).collect();
    names
        .into_iter()
        .filter(|name| left.get(name) != right.get(name) && name.as_str() != "LOCALVERSION")
        .map(|name| {
            (
                name.to_string(),
                show(left.get(name)),
                show(right.get(name)),
            )
        })
        .collect()
}

//! `cargo kernel patches`

use camino::Utf8Path;
use kernelkit::effect::build::Error;
use kernelkit::effect::patches::{Report, find};
use kernelkit::effect::source::{Checked, Outcome};
use kernelkit::patch::Misfit;
use kernelkit::spec::KernelSpec;
use serde_json::json;

use super::Workspace;
use crate::cli::{Global, Kernels};
use crate::error::{DONE, Failure, NO};
use crate::ui::{GOOD, Ui, WARN};

/// List the patches of kernels, and try them on other versions
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show which patches each kernel gets, in order, and why
    List {
        #[command(flatten)]
        kernels: Kernels,
    },
    /// Try the patches of every kernel; exits with 100 where one does not apply
    ///
    /// The trees are not touched: the files that patches name are copied, and patched elsewhere. A patch
    /// that does not apply is left out, and the next one tried.
    Check {
        #[command(flatten)]
        kernels: Kernels,

        /// Try them on this source, as for --source: a version, a directory, `debian:PACKAGE` …
        #[arg(long, value_name = "SOURCE")]
        to: Option<String>,
    },
}

pub(crate) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<u8, Failure> {
    match &args.command {
        Command::List { kernels } => list(kernels, global, ui),
        Command::Check { kernels, to } => check(kernels, to.as_deref(), global, ui),
    }
}

/// The kernels that are meant: without names, every one.
fn kernels<'a>(workspace: &'a Workspace, names: &[String]) -> Result<Vec<&'a KernelSpec>, Failure> {
    let every = ["*".to_owned()];
    workspace.select(if names.is_empty() { &every } else { names })
}

fn list(args: &Kernels, global: &Global, ui: &Ui) -> Result<u8, Failure> {
    let workspace = Workspace::load(global, &args.overrides)?;
    let root = &workspace.spec.root;
    for kernel in kernels(&workspace, &args.names)? {
        let name = kernel.name.as_str();
        let found = find(kernel, root).map_err(Error::from)?;
        // Only where a range asks for it is the tree needed.
        let version = match found.iter().any(|found| found.entry.version.is_some()) {
            false => None,
            true => {
                let tree = workspace
                    .session()
                    .unpatched(kernel, &mut |notice| super::notice(ui, name, notice));
                ui.clear();
                Some(tree?.version)
            }
        };
        if !ui.is_json() {
            let count = found.len();
            ui.data(format_args!("{name}: {count} patches"));
        }
        for found in &found {
            let skipped = match (&version, found.excluded) {
                (_, Some(reason)) => Some(reason.to_owned()),
                (Some(version), None) if !found.entry.is_for(version) => {
                    Some(format!("it is for other versions than {version}"))
                }
                _ => None,
            };
            let path = shown(&found.entry.path, root);
            let set = found.set.to_string();
            ui.message(
                "patch",
                json!({ "kernel": name, "patch": path, "set": set, "strip": found.entry.strip, "fuzz": found.entry.fuzz, "applied": skipped.is_none(), "why": skipped }),
            );
            if ui.is_json() {
                continue;
            }
            let options = match (found.entry.strip, found.entry.fuzz) {
                (1, 0) => String::new(),
                (strip, 0) => format!(" -p{strip}"),
                (strip, fuzz) => format!(" -p{strip} fuzz {fuzz}"),
            };
            match skipped {
                None => ui.data(format_args!("  {path}{options}  from {set}")),
                Some(why) => ui.data(format_args!("  (not {path}: {why}; from {set})")),
            }
        }
    }
    Ok(DONE)
}

fn check(args: &Kernels, to: Option<&str>, global: &Global, ui: &Ui) -> Result<u8, Failure> {
    let workspace = Workspace::load(global, &args.overrides)?;
    let to = to
        .map(|text| super::parse_source(&workspace, text))
        .transpose()?;
    let mut good = true;
    for kernel in kernels(&workspace, &args.names)? {
        let name = kernel.name.as_str();
        let report = workspace
            .session()
            .check_patches(kernel, to.as_ref(), &mut |notice| {
                super::notice(ui, name, notice);
            });
        ui.clear();
        let report = report?;
        good &= report.checked.iter().all(|one| one.outcome.is_good());
        show(name, &report, &workspace.spec.root, ui);
    }
    Ok(if good { DONE } else { NO })
}

fn show(kernel: &str, report: &Report, root: &Utf8Path, ui: &Ui) {
    let version = &report.tree.version;
    for Checked { patch, outcome } in &report.checked {
        ui.message(
            "patch-check",
            json!({ "kernel": kernel, "version": version, "source": report.tree.description, "patch": shown(patch, root), "result": outcome }),
        );
    }
    let count = |wanted: fn(&Outcome) -> bool| {
        report
            .checked
            .iter()
            .filter(|one| wanted(&one.outcome))
            .count()
    };
    let applies = count(|outcome| *outcome == Outcome::Applies);
    let upstream = count(|outcome| *outcome == Outcome::AlreadyApplied);
    let broken = count(|outcome| !outcome.is_good()) - upstream;
    if ui.is_json() {
        return;
    }
    ui.data(format_args!(
        "{kernel} on {version} ({}): {applies} apply, {upstream} are in the tree already, {broken} break",
        report.tree.description
    ));
    for Checked { patch, outcome } in &report.checked {
        let (style, word) = match outcome {
            Outcome::Applies => (GOOD, "applies"),
            Outcome::Letter => (GOOD, "letter"),
            Outcome::OtherVersion => (GOOD, "not for it"),
            Outcome::AlreadyApplied => (WARN, "upstream"),
            Outcome::NoEffect => (WARN, "no effect"),
            Outcome::Broken { .. } => (crate::ui::BAD, "breaks"),
            Outcome::Unusable { .. } => (crate::ui::BAD, "unusable"),
        };
        ui.data(format_args!(
            "{style}{word:>12}{style:#} {}",
            shown(patch, root)
        ));
        let lines = match outcome {
            Outcome::Broken {
                misfits,
                words,
                after,
            } => {
                let after = after
                    .iter()
                    .map(|earlier| format!("after {}, which does not apply", shown(earlier, root)));
                let rest: Vec<String> = match misfits.as_slice() {
                    [] => words.clone(),
                    misfits => misfits.iter().flat_map(Misfit::render).collect(),
                };
                after.chain(rest).collect()
            }
            Outcome::Unusable { message } => vec![message.clone()],
            _ => Vec::new(),
        };
        for line in lines {
            ui.data(format_args!("{:>12} {line}", ""));
        }
    }
}

/// A path as the settings would name it.
fn shown<'a>(path: &'a Utf8Path, root: &Utf8Path) -> &'a Utf8Path {
    path.strip_prefix(root).unwrap_or(path)
}

//! `cargo kernel plan`

use camino::{Utf8Path, Utf8PathBuf};
use kernelkit::effect::build::{self, Prepared, Session};
use kernelkit::effect::{fs, store};
use kernelkit::manifest::Resolver;
use kernelkit::plan::{Plan, Step};
use kernelkit::process::{Call, quote};
use kernelkit::spec::KernelSpec;
use kernelkit::store::Claims;
use serde_json::json;

use super::{Workspace, derivation};
use crate::cli::{Global, Kernels};
use crate::error::{DONE, Failure};
use crate::ui::Ui;

/// Show what a build would do, without doing it
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    kernels: Kernels,

    /// Write what the tree's commands print to FILE, for `--probes`; of one kernel
    #[arg(long, value_name = "FILE", conflicts_with = "drv")]
    record_probes: Option<Utf8PathBuf>,

    #[command(flatten)]
    derivations: derivation::Derivations,
}

pub(crate) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<u8, Failure> {
    if args.derivations.drv {
        return derivation::run(&args.derivations, &args.kernels, global, ui);
    }
    let workspace = Workspace::load(global, &args.kernels.overrides)?;
    if let Some(path) = &args.record_probes {
        record(path, &workspace, workspace.select_one(&args.kernels)?, ui)?;
    }
    let prepared = Prepared::default();
    let session = Session {
        prepared: Some(&prepared),
        ..workspace.session()
    };
    let mut releases = Claims::default();
    for (index, kernel) in workspace
        .select(&args.kernels.names)?
        .into_iter()
        .enumerate()
    {
        let name = kernel.name.as_str();
        let plan = session.plan(kernel, &mut |notice| super::notice(ui, name, notice));
        ui.clear();
        let plan = plan?;
        if plan.stored {
            let claimed = releases.claim(&plan.record).map_err(store::Error::from);
            claimed.map_err(build::Error::from)?;
        }
        ui.message("plan", json!({ "plan": plan }));
        if !ui.is_json() {
            if index > 0 {
                ui.data("");
            }
            print(&plan, ui);
        }
    }
    Ok(DONE)
}

fn record(
    path: &Utf8Path,
    workspace: &Workspace,
    kernel: &KernelSpec,
    ui: &Ui,
) -> Result<(), Failure> {
    let session = workspace.session();
    let name = kernel.name.as_str();
    let facts = session.gather(kernel, &mut |notice| super::notice(ui, name, notice))?;
    let native = session.native(kernel, &facts)?.ok_or_else(|| {
        Failure::message(
            format!("the probes of `{name}` cannot be recorded: the kernel's own make resolves it"),
            "record those of a kernel with another base, such as `make = \"defconfig\"`",
        )
    })?;
    Ok(fs::write_atomic(
        workspace.absolute(path),
        &native.record().to_text(),
    )?)
}

fn print(plan: &Plan, ui: &Ui) {
    let record = &plan.record;
    // What all make calls have in common stands once; `-v` shows each whole, to be pasted.
    let common: Vec<String> = match plan.steps.iter().find_map(|step| {
        if let Step::Compile { call } = step {
            Some(call)
        } else {
            None
        }
    }) {
        Some(call) if !ui.is_verbose() => call.args.clone(),
        _ => Vec::new(),
    };
    let show = |call: &Call| match common.as_slice() {
        [] => call.to_string(),
        _ => {
            let own = call
                .args
                .iter()
                .filter(|word| !common.contains(word))
                .map(|word| quote(word));
            std::iter::once(call.program.clone())
                .chain(own)
                .collect::<Vec<_>>()
                .join(" ")
        }
    };
    let row = |name: &str, value: &str| ui.data(format_args!("{name:<10} {value}"));
    row("kernel", record.name.as_str());
    row("release", &record.release);
    if let Some(base) = &record.base {
        row(
            "",
            &format!(
                "{base} is the tree before its edits; the identity of these files is {}",
                record.digest
            ),
        );
    }
    row("arch", record.arch.name());
    row(
        "source",
        &format!("{} ({})", record.source.description, record.identity.source),
    );
    row(
        "toolchain",
        &format!(
            "{} ({})",
            record.toolchain.version, record.identity.toolchain
        ),
    );
    if let Some(chosen) = &plan.toolchain_rule {
        row("", &format!("chosen by {}: {}", chosen.origin, chosen.rule));
    }
    row(
        "config",
        &format!(
            "{}, {} symbols requested by {} fragments",
            record.config.base,
            record.config.requests,
            record.config.fragments.len()
        ),
    );
    if ui.is_verbose() {
        row(
            "",
            match record.config.resolver {
                Resolver::Native => "resolved natively",
                Resolver::Make => "resolved by the kernel's own make",
            },
        );
    }
    row(
        "backend",
        &format!("{}: {}", record.backend, plan.backend_reason),
    );
    row(
        "reuse",
        match (plan.reuse, plan.stored) {
            (true, true) => "a finished build of this identity is taken",
            (true, false) => "in the build directory alone: the source is being edited",
            (false, _) => "off",
        },
    );
    for step in &plan.steps {
        match step {
            Step::Configure { path, confirm, .. } => {
                row("configure", &format!("write {path}"));
                row("", &show(confirm));
            }
            Step::Certificates { path, .. } => row("trust", &format!("write {path}")),
            Step::Compile { call } => row("compile", &show(call)),
            Step::InstallFile { from, to } => row("install", &format!("{from} as {to}")),
            Step::InstallModules { call, .. } => row("install", &show(call)),
            Step::Realise {
                derivation,
                outputs,
            } => {
                row("realise", derivation);
                for (name, path) in outputs {
                    row("", &format!("{name} {path}"));
                }
            }
            Step::Devtools { call, .. } => row("devtools", &show(call)),
        }
    }
    let mut words = common.iter();
    while let Some(word) = words.next() {
        match (word.as_str(), words.as_slice()) {
            ("-C", [directory, ..]) => {
                words.next();
                row("make", &format!("-C {}", quote(directory)));
            }
            _ => row("make", &quote(word)),
        }
    }
    for output in &record.outputs {
        row("output", record.dirs.destdir.join(&output.path).as_str());
    }
}

//! `cargo kernel lock`

use std::collections::BTreeMap;

use kernelkit::config::DotConfig;
use kernelkit::effect::build::{self, LockCheck, Session};
use kernelkit::effect::{lockfile, store};
use kernelkit::lock::{self, Change, FILE, Kernel, Lock};
use kernelkit::plan::Plan;
use kernelkit::source::AppliedPatch;
use kernelkit::sourced::Origin;
use kernelkit::spec::{KernelSpec, NamedCompiler, ToolchainName};
use kernelkit::store::Claims;
use serde_json::json;

use super::Workspace;
use crate::cli::{Global, Overrides};
use crate::error::{DONE, Failure, NO};
use crate::ui::Ui;

/// How many changed symbols are shown without `-v`.
const SHOWN: usize = 20;

/// Pin sources, configurations and identities in kernel.lock
///
/// Without names, every kernel is locked. Sources that are pinned already stay as they are.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Kernels by name or glob pattern
    #[arg(value_name = "KERNEL")]
    names: Vec<String>,

    /// Lock for this toolchain: `host`, `nixpkgs`, `nixpkgs-clang`, or the name of a Debian root. Without
    /// it, the one that Cargo.toml names, else the one that kernel.lock has
    #[arg(long, value_name = "NAME")]
    toolchain: Option<ToolchainName>,

    /// Take the newest source that Cargo.toml allows
    #[arg(long)]
    update: bool,

    /// Write nothing; exit with 100 where kernel.lock would change
    #[arg(long)]
    check: bool,
}

impl Args {
    /// Takes the newest source of one kernel.
    pub(super) fn update(kernel: &str) -> Self {
        Args {
            names: vec![kernel.to_owned()],
            toolchain: None,
            update: true,
            check: false,
        }
    }
}

pub(crate) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<u8, Failure> {
    // Being out of date is what this command is for, not an error.
    let global = Global {
        locked: false,
        ..global.clone()
    };
    let workspace = Workspace::load(&global, &Overrides::default())?;
    let root = &workspace.spec.root;
    let before = workspace.lock.clone().unwrap_or_default();
    let all = || workspace.spec.kernels.iter().collect();
    let kernels: Vec<&KernelSpec> = match args.names.as_slice() {
        [] => all(),
        names => {
            let named = workspace.select(names)?;
            // Of an earlier format no entry can stay.
            if before.is_outdated() { all() } else { named }
        }
    };
    let session = Session {
        lock: (!args.update).then_some(&before),
        lock_check: LockCheck::Pins,
        update: args.update,
        ..workspace.session()
    };
    let mut after = before.clone();
    let mut configs = BTreeMap::new();
    let mut mailed = Vec::new();
    let mut trusted = Vec::new();
    let mut changed = before.is_outdated();
    let mut releases = Claims::default();
    let mut skipped = 0;
    for kernel in kernels {
        let name = kernel.name.as_str();
        let old_config = lockfile::read_config(root, name)?;
        let mut kernel = kernel.clone();
        let locked = before.kernels.get(name);
        let is_open = kernel.toolchain.origin == Origin::Default;
        if let Some(toolchain) = match (&args.toolchain, locked) {
            (Some(toolchain), _) => Some(toolchain.clone()),
            (None, Some(locked)) if is_open => locked.toolchain.parse().ok(),
            (None, _) => None,
        } {
            if let Some(compiler) = toolchain.nixpkgs() {
                kernel.compiler.value = NamedCompiler::usual(compiler);
                kernel.rules = Vec::new();
            }
            kernel.toolchain.value = toolchain;
        }
        match entry(&session, &kernel, ui)? {
            Ok((entry, toolchain, plan, patches)) => {
                mailed.extend(patches);
                let claimed = releases.claim(&plan.record).map_err(store::Error::from);
                claimed.map_err(build::Error::from)?;
                let config = plan.dot_config;
                trusted.extend(entry.trust.clone().map(|trust| (trust, plan.trusted)));
                let changes = lock::changes(before.kernels.get(name), &entry);
                let files = lockfile::changes(root, name, &entry)?;
                let same = changes.is_empty() && files.is_empty();
                changed |= !same;
                report(name, &entry, &changes, old_config.as_deref(), &config, ui);
                after.insert(name, entry, toolchain);
                if !same {
                    configs.insert(name.to_owned(), config);
                }
            }
            Err(unlockable) => {
                ui.warning(&unlockable);
                skipped += 1;
                changed |= after.kernels.remove(name).is_some();
            }
        }
    }
    let declared = |name: &str| {
        let mut kernels = workspace.spec.kernels.iter();
        kernels.any(|kernel| kernel.name.as_str() == name)
    };
    for name in after.retain(declared) {
        changed = true;
        ui.message("unlocked", json!({ "kernel": name }));
        ui.status(
            "Dropped",
            format_args!("{name}: it is not declared any more"),
        );
    }
    if skipped > 0 && after == Lock::default() {
        return Err(Failure::message(
            "no kernel can be locked",
            "the warnings above say why",
        ));
    }
    let path = root.join(FILE);
    if !changed && workspace.lock.is_some() {
        ui.status("Unchanged", &path);
        return Ok(DONE);
    }
    if args.check {
        ui.status("Outdated", &path);
        return Ok(NO);
    }
    lockfile::write(root, &after, &configs, &mailed, &trusted)?;
    ui.status("Wrote", &path);
    Ok(DONE)
}

type Entry = (Kernel, lock::Toolchain, Plan, Vec<AppliedPatch>);

/// What the lock is to say of a kernel, or why it cannot say anything.
fn entry(
    session: &Session<'_>,
    kernel: &KernelSpec,
    ui: &Ui,
) -> Result<Result<Entry, String>, Failure> {
    let facts = session.gather(kernel, &mut |notice| {
        super::notice(ui, kernel.name.as_str(), notice)
    });
    ui.clear();
    let facts = facts?;
    let plan = kernelkit::plan::plan(kernel, &facts).map_err(build::Error::from)?;
    match session.lock_entry(kernel, &facts, &plan) {
        Ok((entry, toolchain)) => {
            let mut patches = facts.tree.patches;
            patches.retain(|patch| patch.mailed);
            Ok(Ok((entry, toolchain, plan, patches)))
        }
        Err(build::Error::Lock(error)) => Ok(Err(error.to_string())),
        Err(error) => Err(error.into()),
    }
}

fn report(
    name: &str,
    entry: &Kernel,
    changes: &[Change],
    old_config: Option<&str>,
    config: &str,
    ui: &Ui,
) {
    let symbols = match old_config.map(DotConfig::parse) {
        Some(Ok(old)) => DotConfig::parse(config)
            .map(|new| lock::config_changes(&old, &new))
            .unwrap_or_default(),
        _ => Vec::new(),
    };
    ui.message(
        "locked",
        json!({ "kernel": name, "release": entry.release, "changes": changes, "config-changes": symbols }),
    );
    if ui.is_json() {
        return;
    }
    let is_new = changes.iter().all(|change| change.old.is_none());
    if changes.is_empty() {
        ui.status("Fresh", format_args!("{name} {}", entry.release));
    } else if is_new && old_config.is_none() {
        ui.status("Locked", format_args!("{name} {}", entry.release));
    } else {
        ui.status("Changed", format_args!("{name} {}", entry.release));
        for change in changes {
            ui.data(line(change));
        }
    }
    let shown = if ui.is_verbose() { usize::MAX } else { SHOWN };
    for change in symbols.iter().take(shown) {
        ui.data(line(change));
    }
    if symbols.len() > shown {
        ui.data(format_args!(
            "    and {} symbols more (-v shows them)",
            symbols.len() - shown
        ));
    }
}

/// `field: old → new`.
pub(crate) fn line(change: &Change) -> String {
    let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "(none)".to_owned());
    format!(
        "    {}: {} → {}",
        change.field,
        side(&change.old),
        side(&change.new)
    )
}

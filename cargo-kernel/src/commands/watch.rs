//! `cargo kernel watch`

use std::sync::Arc;

use kernelkit::effect::{exec, lock as locking, source, watch as watching};
use kernelkit::spec::KernelSpec;
use kernelkit::watch::{self, Decision, Interval, Outcome, Round, short};
use serde_json::json;

use super::report::{Mail, MailOptions};
use super::{Workspace, batch, build, lock};
use crate::cli::{Global, Kernels};
use crate::error::{DONE, FAILED, Failure, NO};
use crate::ui::Ui;

/// Build kernels whenever their sources have moved: a branch, a point release, a package
///
/// Each round looks what the sources name now (`git ls-remote`, kernel.org's releases.json, apt's lists), prints a
/// line for each that has moved since it was last built, and builds these kernels as a batch. The first round
/// builds all. With `--once`, the exit code is 0 where something was built, 100 where nothing had moved, and 101
/// where something failed or could not be looked at.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    kernels: Kernels,

    /// How long to wait between two looks, such as 90s, 30m, `1h 30m` or 1d
    #[arg(long, value_name = "TIME", default_value = "1h")]
    interval: Interval,

    /// Look once, build what has moved, and end: for timers and CI
    #[arg(long, conflicts_with = "interval")]
    once: bool,

    /// Move kernel.lock along, as `cargo kernel lock --update` does; without it, locked kernels stay where they are
    #[arg(long)]
    update: bool,

    #[command(flatten)]
    batch: batch::Options,

    #[command(flatten)]
    place: build::Place,

    #[command(flatten)]
    mail: MailOptions,
}

pub(crate) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<u8, Failure> {
    let workspace = Workspace::load(global, &args.kernels.overrides)?;
    let _lock = alone(&workspace)?;
    let round = look_around(args, workspace, true, global, ui)?;
    if args.once {
        return Ok(match round.outcome() {
            Outcome::Built => DONE,
            Outcome::Nothing => NO,
            Outcome::Incomplete => FAILED,
        });
    }
    loop {
        ui.status("Waiting", format_args!("for {}", args.interval));
        if exec::wait(args.interval.duration()) {
            return Ok(DONE);
        }
        // What is declared may have changed meanwhile, and may be amiss for a while.
        let workspace = Workspace::load(global, &args.kernels.overrides);
        let round = workspace.and_then(|workspace| look_around(args, workspace, false, global, ui));
        if let Err(failure) = round {
            if exec::interrupted() {
                return Err(failure);
            }
            ui.failure(&failure);
        }
    }
}

/// Two that watch would build everything twice, and each would take the other's builds for its own.
fn alone(workspace: &Workspace) -> Result<locking::Lock, Failure> {
    watching::only_one(&workspace.session())?.map_err(|holder| {
        Failure::message(
            format!("the kernels of this workspace are watched already, by {holder}"),
            "stop that one first, or wait for it",
        )
    })
}

/// One round: looks at the sources and builds what has moved.
fn look_around(
    args: &Args,
    mut workspace: Workspace,
    is_first: bool,
    global: &Global,
    ui: &Ui,
) -> Result<Round, Failure> {
    let mail = Mail::new(&args.mail, &workspace)?;
    let mut round = Round::default();
    let mut moved = look(args, &workspace, is_first, &mut round, ui)?;
    if args.update && !moved.is_empty() {
        moved.retain(|(name, _)| move_lock(&workspace, name, &mut round, global, ui));
        workspace = Workspace::load(global, &args.kernels.overrides)?;
    }
    args.place.apply(&mut workspace, false)?;
    let declared = &workspace.spec.kernels;
    let (kernels, found): (Vec<&KernelSpec>, Vec<String>) = moved
        .into_iter()
        .filter_map(|(name, found)| {
            let kernel = declared.iter().find(|kernel| kernel.name.as_str() == name);
            Some((kernel?, found))
        })
        .unzip();
    if !kernels.is_empty() && !exec::interrupted() {
        let ran = batch::carry_out(&args.batch, false, &workspace, &kernels, ui)?;
        let session = workspace.session();
        for ((kernel, found), over) in kernels.iter().zip(&found).zip(&ran.kernels) {
            round.failed += usize::from(!over.end.is_good());
            let phase = over
                .failure
                .as_ref()
                .and_then(|failed| failed.phase.as_deref());
            if let Some(record) = watch::remember(found, over.end, phase) {
                watching::write(&session, kernel, &record)?;
            }
        }
        if let Err(failure) = mail.send(&ran.report, &ran.dir, &workspace, ui) {
            ui.failure(&failure);
            round.failed += 1;
        }
    }
    if exec::interrupted() {
        return Err(exec::Error::Interrupted.into());
    }
    let Round {
        watched,
        moved,
        failed,
        unknown,
    } = round;
    ui.message(
        "round-finished",
        json!({ "watched": watched, "moved": moved, "failed": failed, "unknown": unknown }),
    );
    if moved + unknown == 0 {
        ui.status("Unmoved", format_args!("{watched} kernels"));
    }
    Ok(round)
}

/// The kernels that are to be built, each with what its source names now.
fn look(
    args: &Args,
    workspace: &Workspace,
    is_first: bool,
    round: &mut Round,
    ui: &Ui,
) -> Result<Vec<(String, String)>, Failure> {
    let session = workspace.session();
    let kernels = watched(args, workspace, is_first, ui)?;
    round.watched = kernels.len();
    let mut moved = Vec::new();
    let mut unknown: Vec<(Arc<source::Error>, Vec<&str>)> = Vec::new();
    for (kernel, seen) in kernels.iter().zip(watching::look(&session, &kernels)) {
        let name = kernel.name.as_str();
        let found = match seen {
            None => continue,
            Some(Ok(found)) => found,
            Some(Err(error)) => {
                round.unknown += 1;
                match unknown
                    .iter_mut()
                    .find(|(known, _)| Arc::ptr_eq(known, &error))
                {
                    Some((_, names)) => names.push(name),
                    None => unknown.push((error, vec![name])),
                }
                continue;
            }
        };
        match watch::decide(watching::read(&session, kernel)?.as_ref(), &found) {
            Decision::Current => {}
            Decision::Broken => ui.note(format!(
                "{name} did not compile at {}, where its source still is; `cargo kernel build {name}` tries again",
                short(&found)
            )),
            Decision::Build { from } => {
                round.moved += 1;
                let source = &kernel.source.value;
                ui.message(
                    "source-moved",
                    json!({ "kernel": name, "source": source.to_string(), "from": from, "to": found }),
                );
                if !ui.is_json() {
                    let from = from.as_deref().map_or("(none)", short);
                    ui.data(format_args!("{name}: {from} → {} ({source})", short(&found)));
                }
                moved.push((name.to_owned(), found));
            }
        }
    }
    for (error, names) in unknown {
        let failure = Failure::from(&*error);
        ui.failure(&Failure {
            message: format!("{}: {}", names.join(", "), failure.message),
            ..failure
        });
    }
    Ok(moved)
}

/// The kernels whose sources may move.
fn watched<'w>(
    args: &Args,
    workspace: &'w Workspace,
    is_first: bool,
    ui: &Ui,
) -> Result<Vec<&'w KernelSpec>, Failure> {
    let session = workspace.session();
    let mut kernels = workspace.select(&args.kernels.names)?;
    let mut some_locked = false;
    kernels.retain(|kernel| {
        let source = &kernel.source.value;
        let locked = session.is_locked(kernel) && !args.update;
        let why = match watch::stays(source) {
            Some(why) => format!("its source {source} {why}"),
            None if locked => "kernel.lock pins its source".to_owned(),
            None => return true,
        };
        some_locked |= locked;
        if is_first {
            ui.note(format!("{} is not watched: {why}", kernel.name));
        }
        false
    });
    if kernels.is_empty() {
        let hint = match some_locked {
            true => {
                "with `--update`, kernel.lock is moved along, as `cargo kernel lock --update` does"
            }
            false => {
                "branches move, series such as `6.12.y`, `stable`, `mainline`, and Debian packages without a version"
            }
        };
        return Err(Failure::message(
            "there is nothing to watch: no source of these kernels moves",
            hint,
        ));
    }
    Ok(kernels)
}

/// Takes the newest source into the lock, where it has the kernel; whether the kernel can be built now.
fn move_lock(
    workspace: &Workspace,
    name: &str,
    round: &mut Round,
    global: &Global,
    ui: &Ui,
) -> bool {
    let mut kernels = workspace.spec.kernels.iter();
    let kernel = kernels.find(|kernel| kernel.name.as_str() == name);
    if !kernel.is_some_and(|kernel| workspace.session().is_locked(kernel)) {
        return true;
    }
    match lock::run(&lock::Args::update(name), global, ui) {
        Ok(_) => true,
        Err(failure) => {
            ui.failure(&Failure {
                message: format!("{name}: {}", failure.message),
                ..failure
            });
            round.failed += 1;
            false
        }
    }
}

//! `cargo kernel store`

use kernelkit::effect::environment::{self, Environment};
use kernelkit::effect::store::HostStore;
use kernelkit::store::{
    Check, Known, Lookup, Prune, Registered, SCHEMA, State, Store as _, Summary,
};
use serde_json::json;

use crate::error::{DONE, Failure, NO};
use crate::ui::Ui;

/// Look after the store of finished builds
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the stored builds
    List,
    /// Read every byte of the stored builds; exits with 100 where one is damaged
    Verify {
        /// Drop what is damaged, so that the next build makes it again
        #[arg(long)]
        repair: bool,
    },
    /// List the releases that name a kernel, and which of them are still stored
    Releases,
    /// Drop builds by release, digest or glob pattern; a release without a digest stays taken
    Forget {
        /// Such as 6.12.117-debian-0123456789ab, 0123456789ab or '6.1.*'
        #[arg(required_unless_present = "releases", value_name = "PATTERN")]
        patterns: Vec<String>,
        /// Free this release, too, so that another kernel can have it: where the first one is installed,
        /// two kernels have one name then
        #[arg(long = "release", value_name = "RELEASE")]
        releases: Vec<String>,
    },
    /// Drop the builds that limits do not allow, those unused for longest first
    #[command(group(clap::ArgGroup::new("limits").required(true).multiple(true).args(["keep", "unused_days", "max_size"])))]
    Prune {
        /// Keep at most so many
        #[arg(long, value_name = "COUNT")]
        keep: Option<usize>,
        /// Drop what has not been used for so many days
        #[arg(long, value_name = "DAYS")]
        unused_days: Option<u32>,
        /// Keep at most so many MiB
        #[arg(long, value_name = "MIB")]
        max_size: Option<u64>,
        /// Say what would go, and keep it
        #[arg(long)]
        dry_run: bool,
    },
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<u8, Failure> {
    let environment = Environment::read()?;
    let store = HostStore::new(&environment.store_dir);
    match &args.command {
        Command::List => {
            for entry in store.list()? {
                show(&entry, ui);
            }
        }
        Command::Verify { repair } => return verify(&store, *repair, ui),
        Command::Releases => {
            for known in store.releases()? {
                show_release(&known, ui);
            }
        }
        Command::Forget { patterns, releases } => {
            for release in releases {
                if !store.free(release)? {
                    return Err(Failure::message(
                        format!("no kernel has the release `{release}`"),
                        "`cargo kernel store releases` lists those that name one",
                    ));
                }
                ui.message("freed", json!({ "release": release }));
                ui.status("Freed", release);
                ui.note(format_args!(
                    "another kernel can be built as {release} now; where the first one is installed, two kernels have one name"
                ));
            }
            for pattern in patterns {
                let gone = store.forget(pattern)?;
                if gone.is_empty() {
                    return Err(Failure::message(
                        format!("no stored build matches `{pattern}`"),
                        "`cargo kernel store list` shows them",
                    ));
                }
                report(&store, &gone, false, ui);
            }
        }
        Command::Prune {
            keep,
            unused_days,
            max_size,
            dry_run,
        } => {
            let now = environment::now().timestamp().as_second();
            let limits = Prune {
                keep: *keep,
                unused_since: unused_days.map(|days| now - i64::from(days) * 24 * 60 * 60),
                max_size: max_size.map(|mebibytes| mebibytes << 20),
            };
            let gone = store.prune(&limits, *dry_run)?;
            report(&store, &gone, *dry_run, ui);
        }
    }
    Ok(DONE)
}

fn verify(store: &HostStore, repair: bool, ui: &Ui) -> Result<u8, Failure> {
    let mut code = DONE;
    for entry in store.list()? {
        let wrong = match store.find(&entry.release, Check::Full)? {
            Lookup::Hit(_) | Lookup::Miss => None,
            Lookup::Damaged { what, .. } => Some(what),
            Lookup::Newer { schema, .. } => {
                Some(format!("a newer kernelkit wrote it (schema {schema})"))
            }
        };
        ui.message(
            "verified",
            json!({ "release": entry.release, "wrong": wrong }),
        );
        match wrong {
            None => ui.status("Sound", &entry.release),
            Some(what) => {
                ui.warning(format!("{}: {what}", entry.release));
                if repair && store.repair(&entry.release)? {
                    ui.message("dropped", json!({ "entry": entry, "dry_run": false }));
                    ui.status("Dropped", &entry.release);
                } else {
                    code = NO;
                }
            }
        }
    }
    Ok(code)
}

fn show(entry: &Summary, ui: &Ui) {
    ui.message("stored", json!({ "entry": entry }));
    if ui.is_json() {
        return;
    }
    let now = environment::now().timestamp().as_second();
    let used = match (now - entry.last_used) / (24 * 60 * 60) {
        ..1 => "today".to_owned(),
        1 => "1 day ago".to_owned(),
        days => format!("{days} days ago"),
    };
    let state = match &entry.state {
        State::Complete if entry.schema < SCHEMA => format!(
            "  of an earlier kernelkit (schema {}), whose identities no kernel has any more",
            entry.schema
        ),
        State::Complete => String::new(),
        State::Damaged { what } => format!("  damaged: {what}"),
        State::Newer { schema } => format!("  of a newer kernelkit (schema {schema})"),
    };
    ui.data(format_args!(
        "{:<64}  {:>9.1} MiB  used {used}{state}",
        entry.release,
        entry.size as f64 / f64::from(1 << 20)
    ));
}

fn show_release(known: &Known, ui: &Ui) {
    let registered = known.registered.as_ref();
    ui.message(
        "release",
        json!({
            "release": known.release,
            "stored": known.is_stored,
            "kernel": registered.map(|one| &one.kernel),
            "digest": registered.map(|one| one.identity.digest()),
            "identity": registered.map(|one| &one.identity),
            "created": registered.map(|one| one.created),
            "exclusive": registered.is_none_or(Registered::is_exclusive),
        }),
    );
    if ui.is_json() {
        return;
    }
    let what = match registered {
        Some(one) => format!(
            "{}  {}  {}  {}",
            one.identity.digest(),
            environment::day(one.created),
            one.kernel,
            if known.is_stored {
                "stored"
            } else {
                "not stored"
            }
        ),
        None => "damaged: its line in the register cannot be read".to_owned(),
    };
    ui.data(format_args!("{:<64}  {what}", known.release));
}

/// What went, and which releases are still taken though.
fn report(store: &HostStore, entries: &[Summary], dry_run: bool, ui: &Ui) {
    let verb = if dry_run { "Would drop" } else { "Dropped" };
    let mut taken = Vec::new();
    for entry in entries {
        let registered = store.registered(&entry.release);
        // A line that cannot be read lets no second kernel have it either.
        let stays = registered.map_or(true, |one| one.is_some_and(|one| one.is_exclusive()));
        ui.message(
            "dropped",
            json!({ "entry": entry, "dry_run": dry_run, "taken": stays }),
        );
        ui.status(verb, &entry.release);
        if stays {
            taken.push(entry.release.as_str());
        }
    }
    match taken.as_slice() {
        [] => {}
        [release] => ui.note(format_args!(
            "the release {release} stays taken: no other kernel can have it; `cargo kernel store forget --release {release}` frees it"
        )),
        [first, rest @ ..] => ui.note(format_args!(
            "{first} and {} more releases stay taken: no other kernel can have them; `cargo kernel store releases` lists them, `cargo kernel store forget --release RELEASE` frees one",
            rest.len()
        )),
    }
}

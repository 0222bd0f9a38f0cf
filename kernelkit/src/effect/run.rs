//! Carries out a [`Plan`] on the host: configures, compiles, installs, reads back what the
//! kernel says of itself, and writes `manifest.json` last.
//!
//! Everything is written below the plan's `dirs.state`. A run that is stopped at any moment
//! leaves no manifest, and the next run of the same plan continues from the object files.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::time::{Instant, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};

use super::contents::{self, Changes, Stale, State};
use super::dependencies::{self, Uncovered};
use super::drift::{self, Change};
use super::fs::{self, Context as _};
use super::localversion;
use super::lock::{self, Lock};
use super::log::RunLog;
use super::places::{Mounts, Moved, Places};
use super::stage::Output as StageOutput;
use super::{borrow, environment, exec, image, source};
use crate::make::{self, Counts};
use crate::manifest::{Dirs, Manifest, Mismatch, Observed, Output, Record, Statistics};
use crate::plan::{Plan, Step, staging};
use crate::process::Call;
use crate::report::Ccache;
use crate::source::snapshot::Snapshot;
use crate::source::{Sha256, TreeId};
use crate::surroundings::Surroundings;
use crate::toolchain::Toolchain;
use crate::trust;

/// What a run tells while it goes on.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// Somebody else builds in this directory; the run waits for them.
    Waiting {
        /// In the holder's words.
        holder: &'a str,
    },
    /// A new build directory begins with the objects of another kernel.
    Borrowed {
        /// The kernel.
        from: &'a str,
        /// How many symbols of the configurations differ.
        symbols: usize,
    },
    /// An object was removed, and make compiles it again.
    Removed {
        /// From the top of the build directory.
        object: &'a Utf8Path,
        /// The file of the source that changed, from its top.
        changed: &'a Utf8Path,
    },
    /// A stage begins.
    Started {
        /// `configure`, `compile`, `install` or `devtools`.
        stage: &'static str,
        /// The call, where it is one.
        call: Option<&'a Call>,
    },
    /// Make shows a command.
    Command {
        /// `CC`, `LD` …
        verb: &'a str,
        /// What is made.
        target: &'a str,
        /// How many commands this stage has shown.
        count: u64,
        /// How many the last run of this kernel showed, if more than 0.
        expected: u64,
    },
    /// A line of a child's output, whole.
    Output {
        /// The line.
        line: &'a str,
    },
    /// Something the user should know that does not stop the build.
    Warning {
        /// The message.
        message: String,
    },
    /// A stage is over.
    Finished {
        /// As in `Started`.
        stage: &'static str,
        /// Wall time in milliseconds.
        milliseconds: u128,
    },
}

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file.
    #[error(transparent)]
    Fs(#[from] fs::Error),
    /// A process.
    #[error(transparent)]
    Exec(#[from] exec::Error),
    /// The source could not be looked at again.
    #[error(transparent)]
    Source(#[from] source::Error),
    /// Make failed.
    #[error("{stage} failed")]
    Make {
        /// The stage.
        stage: &'static str,
        /// The first error with its context.
        lines: Vec<String>,
        /// The call.
        call: Box<Call>,
        /// Its whole output.
        log: Utf8PathBuf,
        /// The build directory, where its file system is full: a shell's `printf` in a
        /// recipe says no more of that than `I/O error`.
        full: Option<Utf8PathBuf>,
    },
    /// The kernel's own conf changed the predicted configuration.
    #[error(
        "the kernel's own conf does not confirm the configuration: {}",
        shown(changes)
    )]
    ConfigDrift {
        /// What it changed.
        changes: Vec<Change>,
        /// Whether the reason is that the machine's tools have changed.
        tools_changed: bool,
        /// A file with everything that is needed to find out why.
        report: Utf8PathBuf,
    },
    /// The kernel says something else of itself than the plan did.
    #[error("the build contradicts its plan: {}", mismatches.iter().map(|mismatch| format!("{} is `{}`, predicted was `{}`", mismatch.field, mismatch.observed, mismatch.predicted)).collect::<Vec<_>>().join("; "))]
    Mismatch {
        /// Each contradiction.
        mismatches: Vec<Mismatch>,
    },
    /// The installed kernel carries another release, or cannot be read.
    #[error(transparent)]
    Image(#[from] image::Error),
    /// The source was edited while it was compiled.
    #[error("the source tree {path} changed while it was compiled (tree {before} became {after})")]
    SourceChanged {
        /// The tree.
        path: Utf8PathBuf,
        /// Planned.
        before: TreeId,
        /// Found after the build.
        after: TreeId,
    },
    /// A tree that builds share was written to while it was compiled.
    #[error(
        "{file} in the source tree {path}, which builds share, was written to while it was compiled"
    )]
    TreeTouched {
        /// The tree.
        path: Utf8PathBuf,
        /// The first such file.
        file: Utf8PathBuf,
    },
    /// A step failed, and its source is not what it was when the step began.
    #[error("{failure}, but {change}")]
    FailedMeanwhile {
        /// What failed.
        #[source]
        failure: Box<Error>,
        /// What became of the source.
        change: Box<Error>,
    },
    /// The source was written to while it was compiled, again and again.
    #[error("{file} in the source tree {path} was written to each time it was compiled")]
    SourceTouched {
        /// The tree.
        path: Utf8PathBuf,
        /// The first such file.
        file: Utf8PathBuf,
    },
    /// A program of the toolchain was exchanged while it was used, or something was mounted there.
    #[error("{program} was exchanged while the kernel was compiled with it")]
    ToolchainMoved {
        /// The file.
        program: Utf8PathBuf,
    },
    /// Files of the source were compiled that are no part of its id.
    #[error("{}", dependencies::describe(uncovered))]
    Uncovered {
        /// The tree.
        source_dir: Utf8PathBuf,
        /// At least one.
        uncovered: Vec<Uncovered>,
    },
    /// Make succeeded without making it.
    #[error("make succeeded, but {path} is not there")]
    NoOutput {
        /// What is missing.
        path: Utf8PathBuf,
    },
}

fn shown(changes: &[Change]) -> String {
    if changes.is_empty() {
        return "no symbol, but lines or comments differ".to_owned();
    }
    let shown: Vec<_> = changes.iter().take(5).map(Change::to_string).collect();
    let more = changes.len().saturating_sub(shown.len());
    match more {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Fs(error) => error.hint(),
            Error::Exec(error) => error.hint(),
            Error::Source(error) => error.hint(),
            Error::Image(error) => error.hint(),
            Error::Make { full: Some(directory), .. } => Some(fs::full_hint(directory)),
            Error::Make { call, log, .. } => Some(format!("the whole output is in {log}; to run it by hand: {call}")),
            Error::ConfigDrift { tools_changed: true, report, .. } => Some(format!("a tool was installed, removed or exchanged since the configuration was predicted: run the same command again, which asks the tools afresh; details are in {report}")),
            Error::ConfigDrift { report, .. } => Some(format!("this is a fault of cargo kernel: please report it with {report}, which holds what it takes to repeat it (look at it first: it names paths of this machine)")),
            Error::Mismatch { .. } => Some("run it again with `--no-reuse`; if it stays, please report it with the plan's JSON".to_owned()),
            Error::SourceChanged { .. } => Some("run the same command again: only what changed is compiled".to_owned()),
            Error::TreeTouched { path, .. } => Some(format!("find out what writes to {path}, and run the same command again: the tree is unpacked again where that is needed; to change a kernel, use a directory of your own")),
            Error::FailedMeanwhile { change, .. } => change.hint(),
            Error::SourceTouched { .. } => Some("find out what writes to it (an editor, a synchronization), and run the same command again".to_owned()),
            Error::ToolchainMoved { .. } => Some("when its installation is over, run the same command again: everything is compiled afresh".to_owned()),
            Error::Uncovered { source_dir, uncovered } => Some(dependencies::hint(source_dir, uncovered)),
            Error::NoOutput { .. } => Some("do the `targets` leave out what is installed?".to_owned()),
        }
    }
}

/// A failure whose reason may be that the source changed.
fn failed(failure: Option<Box<Error>>, change: Error) -> Error {
    match failure {
        None => change,
        Some(failure) => Error::FailedMeanwhile {
            failure,
            change: Box::new(change),
        },
    }
}

/// What came of the steps of a source that did not change.
fn ended<T>(made: T, failure: Option<Box<Error>>) -> Result<T, Error> {
    match failure {
        None => Ok(made),
        Some(failure) => Err(*failure),
    }
}

/// Takes the lock of a kernel's build directory.
pub fn lock(plan: &Plan, on_event: &mut dyn FnMut(Event<'_>)) -> Result<Lock, Error> {
    let purpose = format!("cargo kernel build {}", plan.record.name);
    let path = plan.record.dirs.state.join("lock");
    mark(&plan.record.dirs)?;
    Ok(lock::acquire(&path, &purpose, &mut |holder| {
        on_event(Event::Waiting { holder })
    })?)
}

/// Marks the directory of all kernels as a cache, where `dirs` are in one.
pub(super) fn mark(dirs: &Dirs) -> Result<(), fs::Error> {
    match dirs.state.parent() {
        Some(kernels) if kernels.file_name() == Some("kernel") => fs::mark_as_cache(kernels),
        _ => Ok(()),
    }
}

/// Gives the files whose content a tree's id covers, where they are known.
pub type Covered<'a> = &'a dyn Fn() -> Result<Option<Snapshot>, source::Error>;

/// What a build reads, and how it is looked at again.
pub struct Inputs<'a> {
    /// Its programs must be the same files from beginning to end.
    pub toolchain: &'a Toolchain,
    /// Gives the tree's id again after the compiler has read it.
    pub rescan: &'a mut dyn FnMut() -> Option<TreeId>,
    /// What was compiled must be among these files.
    pub covered: Covered<'a>,
}

/// Builds. The caller holds the [lock](fn@lock).
pub fn run(
    plan: &Plan,
    _lock: &Lock,
    surroundings: &Surroundings,
    inputs: Inputs<'_>,
    on_event: &mut dyn FnMut(Event<'_>),
) -> Result<Manifest, Error> {
    let mut run = Run::new(plan, surroundings, "builds", on_event)?;
    let result = run.carry_out(inputs);
    let statistics = result.as_ref().ok().map(|manifest| &manifest.statistics);
    let summary = run.summarize("passed", result.as_ref().err(), statistics);
    // The build's own failure says more than that of its report.
    let manifest = result?;
    summary?;
    Ok(manifest)
}

/// Has the kernel's own `conf` confirm the configuration and nothing more; the [run](fn@run) of the
/// same plan does not ask it again. The caller holds the [lock](fn@lock).
pub fn confirm(
    plan: &Plan,
    _lock: &Lock,
    surroundings: &Surroundings,
    on_event: &mut dyn FnMut(Event<'_>),
) -> Result<(), Error> {
    let mut run = Run::new(
        plan,
        surroundings,
        "confirms the configuration of",
        on_event,
    )?;
    let result = run.begin().and_then(|()| {
        plan.steps.iter().try_for_each(|step| match step {
            Step::Configure {
                path,
                sha256,
                confirm,
            } => run.configure(path, *sha256, confirm),
            _ => Ok(()),
        })
    });
    let summary = run.summarize("confirmed", result.as_ref().err(), None);
    result?;
    Ok(summary?)
}

struct Run<'a> {
    plan: &'a Plan,
    surroundings: &'a Surroundings,
    log: RunLog,
    counts: Counts,
    on_event: &'a mut dyn FnMut(Event<'_>),
}

impl<'a> Run<'a> {
    /// Opens the log. What was built here before is no longer what it was.
    fn new(
        plan: &'a Plan,
        surroundings: &'a Surroundings,
        does: &str,
        on_event: &'a mut dyn FnMut(Event<'_>),
    ) -> Result<Self, Error> {
        let dirs = &plan.record.dirs;
        fs::remove_file(dirs.manifest())?;
        let mut log = RunLog::create(&dirs.logs(), &environment::now())?;
        log.line(&format!(
            "cargo kernel {} {does} {} for {}",
            plan.record.kernelkit, plan.record.release, plan.record.arch
        ))?;
        Ok(Run {
            plan,
            surroundings,
            log,
            counts: Counts::default(),
            on_event,
        })
    }

    fn summarize(
        &self,
        passed: &str,
        error: Option<&Error>,
        statistics: Option<&Statistics>,
    ) -> Result<(), fs::Error> {
        let text = error.map_or(passed.to_owned(), |error| format!("failed: {error}"));
        summarize(&self.log, &self.plan.record, self.counts, &text, statistics)
    }

    /// Makes the build directory and the compiler cache ready.
    fn begin(&mut self) -> Result<(), Error> {
        let dirs = &self.plan.record.dirs;
        fs::create_dir_all(&dirs.build)?;
        fs::remove_file(dirs.beside_build(borrow::OBJECTS))?;
        fs::remove_dir_all(borrow::unfinished(dirs))?;
        self.drop_what_make_would_miss()?;
        let unfinished = fs::read_optional(dirs.beside_build(UNFINISHED))?;
        if unfinished.is_some_and(|of| of != environment::boot()) {
            self.begin_afresh("the machine stopped while it compiled here")?;
        }
        drop_unfinished(dirs)?;
        if let Some((ccache, config)) = &self.plan.ccache {
            let statistics = self.log.dir().join("ccache-statistics.log");
            fs::create_dir_all(&ccache.dir)?;
            let mut config = format!("{config}stats_log = {statistics}\n");
            if self.plan.volatile {
                let headers = dirs.beside_build(contents::HEADERS);
                config.push_str(&format!("extra_files_to_hash = {headers}\n"));
            }
            fs::write_atomic(&ccache.config, config.as_bytes())?;
        }
        Ok(())
    }

    fn carry_out(&mut self, mut inputs: Inputs<'_>) -> Result<Manifest, Error> {
        let plan = self.plan;
        let dirs = &plan.record.dirs;
        self.begin()?;
        if plan.trusted.is_empty() {
            fs::remove_file(dirs.build.join(trust::FILE))?;
        }
        let staging = staging(dirs);
        let before = self.begin_source(inputs.covered)?;
        let places = self.begin_places(&inputs, before.as_ref())?;
        let objects_of = self.borrow()?;
        let (devtools, covered) =
            self.compile_until_nothing_changes(&mut inputs, before, places, &staging)?;
        if let Some(covered) = &covered {
            let uncovered = dependencies::uncovered(dirs, covered)?;
            if !uncovered.is_empty() {
                dependencies::remove_objects(&uncovered)?;
                return Err(Error::Uncovered {
                    source_dir: dirs.source.clone(),
                    uncovered,
                });
            }
        }
        drop_stale_stamps(&dirs.build)?;
        let read_back =
            image::read_back(&plan.record, &staging, Some(&dirs.build.join("vmlinux")))?;
        let narrowed = read_back.is_none();
        let observed = match read_back {
            Some(observed) => observed,
            None => read_headers(&dirs.build)?,
        };
        let mismatches = plan.record.mismatches(&observed);
        let mismatches: Vec<_> = mismatches
            .into_iter()
            .filter(|mismatch| !narrowed || !mismatch.observed.is_empty())
            .collect();
        if !mismatches.is_empty() {
            return Err(Error::Mismatch { mismatches });
        }

        if staging.exists() {
            fs::usual_modes(&staging)?;
        }
        let mut record = plan.record.clone();
        for output in &mut record.outputs {
            measure(&staging, output)?;
        }
        fs::create_dir_all(&staging)?;
        fs::remove_dir_all(&dirs.destdir)?;
        fs::rename(&staging, &dirs.destdir)?;
        let (ccache_hits, ccache_misses) = match &plan.ccache {
            Some(_) => ccache_statistics(&self.log.dir().join("ccache-statistics.log"))?,
            None => (None, None),
        };
        let manifest = Manifest {
            record,
            observed,
            devtools,
            statistics: Statistics {
                milliseconds: u64::try_from(self.log.milliseconds()).unwrap_or(u64::MAX),
                commands: self.counts.commands,
                warnings: self.counts.warnings,
                ccache_hits,
                ccache_misses,
                objects_of,
            },
        };
        if let Some(objects) = plan.objects {
            let marker = dirs.beside_build(borrow::OBJECTS);
            fs::write_atomic(marker, objects.to_string().as_bytes())?;
        }
        if let Some(covered) = &covered {
            contents::write(dirs, State::Finished, covered)?;
        }
        Places::forget(dirs)?;
        fs::write_atomic(dirs.manifest(), manifest.to_json().as_bytes())?;
        Ok(manifest)
    }

    /// Carries the plan's steps out, again for as long as a source that its user edits changes meanwhile. `before` has
    /// the files of the source, where they are known; what comes back are the developer files, and the files of the source
    /// that were compiled: of a later look nobody knows whether make has read them.
    fn compile_until_nothing_changes(
        &mut self,
        inputs: &mut Inputs<'_>,
        mut before: Option<Snapshot>,
        mut places: Places,
        staging: &Utf8Path,
    ) -> Result<(Vec<Utf8PathBuf>, Option<Snapshot>), Error> {
        let plan = self.plan;
        let dirs = &plan.record.dirs;
        // Twice is enough for who saves a file while it is compiled; more is somebody who keeps on writing.
        for attempt in 1.. {
            fs::remove_dir_all(staging)?;
            let mounts = Mounts::watch()?;
            let (devtools, failure) = match self.confirmed_steps(staging) {
                Ok(made) => (made, None),
                // What make says of a source that changes under it is not the reason.
                Err(
                    error @ (Error::Make { full: None, .. }
                    | Error::ConfigDrift { .. }
                    | Error::NoOutput { .. }),
                ) => (Vec::new(), Some(Box::new(error))),
                Err(error) => return Err(error),
            };
            let now = self.look_at_places(inputs.toolchain, before.as_ref());
            let mut moved = places.moved(&now, dirs);
            moved.extend(mounts.finish(&places, dirs));
            if let Some(Moved::Program(program)) = moved.first() {
                self.distrust_ccache()?;
                self.forget_objects()?;
                let program = program.clone();
                return Err(failed(failure, Error::ToolchainMoved { program }));
            }
            let id = plan.record.identity.source;
            let path = dirs.source.clone();
            if let Some(after) = (inputs.rescan)().filter(|after| *after != id) {
                self.distrust_ccache()?;
                let before = id;
                let change = Error::SourceChanged {
                    path,
                    before,
                    after,
                };
                return Err(failed(failure, change));
            }
            let (seen, after) = match (before, (inputs.covered)()) {
                (None, _) => return ended((devtools, None), failure),
                (Some(seen), Ok(after)) => (seen, after.unwrap_or_default()),
                (Some(_), Err(change)) => {
                    self.distrust_ccache()?;
                    return Err(failed(failure, change.into()));
                }
            };
            let touched = contents::touched(&seen, &after);
            if touched.is_empty() && moved.is_empty() {
                return ended((devtools, Some(after)), failure);
            }
            self.distrust_ccache()?;
            let file = touched.first().unwrap_or(&dirs.source).to_owned();
            if !plan.volatile {
                let since = fs::modified(dirs.beside_build(COMPILED))?;
                let is_used = self.drop_stale(&after, &touched, since)?;
                // What is left is of the content that the tree had at first.
                contents::write(dirs, State::Finished, &seen)?;
                if !is_used && failure.is_none() {
                    return Ok((devtools, Some(after)));
                }
                return Err(failed(failure, Error::TreeTouched { path, file }));
            }
            if attempt == ATTEMPTS {
                return Err(failed(failure, Error::SourceTouched { path, file }));
            }
            self.drop_touched(&after, touched, &moved)?;
            contents::write(dirs, State::Building, &after)?;
            now.write(dirs)?;
            (before, places) = (Some(after), now);
        }
        unreachable!("the last attempt returns")
    }

    /// Removes what was made of files that were written to, or lay elsewhere, while make ran.
    fn drop_touched(
        &mut self,
        now: &Snapshot,
        mut touched: Changes,
        moved: &BTreeSet<Moved>,
    ) -> Result<(), Error> {
        if let Some(file) = touched.first() {
            self.log.line(&format!(
                "{file} was written to while it was compiled: what was made of it is compiled again"
            ))?;
        }
        for one in moved {
            let Moved::Directory(directory) = one else {
                continue;
            };
            if directory.as_str().is_empty() {
                return self.begin_afresh("another source was in the place of this one meanwhile");
            }
            self.log.line(&format!(
                "{directory} was exchanged, or something was mounted there, while it was compiled: what was made of its files is compiled again"
            ))?;
            touched.add_below(directory, now);
        }
        self.drop_stale(now, &touched, None)?;
        Ok(())
    }

    /// The toolchain's programs, and the directories of a source that its user edits; a tree that builds share can be
    /// exchanged for the same one.
    fn look_at_places(&self, toolchain: &Toolchain, source: Option<&Snapshot>) -> Places {
        let source = source.filter(|_| self.plan.volatile);
        Places::look(toolchain, &self.plan.record.dirs, source)
    }

    /// Looks at the places before make runs. Objects go that a run which did not finish made in other ones.
    fn begin_places(
        &mut self,
        inputs: &Inputs<'_>,
        now: Option<&Snapshot>,
    ) -> Result<Places, Error> {
        let dirs = &self.plan.record.dirs;
        let places = self.look_at_places(inputs.toolchain, now);
        if let Some(before) = Places::read(dirs)? {
            if !before.same_programs(&places) {
                self.distrust_ccache()?;
                self.begin_afresh(
                    "programs of the toolchain were exchanged since a build that did not finish",
                )?;
            }
            let moved = before.moved(&places, dirs);
            if let Some(now) = now
                && !moved.is_empty()
            {
                self.distrust_ccache()?;
                self.drop_touched(now, Changes::default(), &moved)?;
            }
        }
        places.write(dirs)?;
        Ok(places)
    }

    /// Has the next run begin afresh, whatever the toolchain is then.
    fn forget_objects(&mut self) -> Result<(), Error> {
        let marker = self.plan.record.dirs.beside_build(COMPILED);
        Ok(fs::write_atomic(marker, b"exchanged")?)
    }

    /// [`Run::steps`], and the configuration is still the plan's.
    fn confirmed_steps(&mut self, staging: &Utf8Path) -> Result<Vec<Utf8PathBuf>, Error> {
        let devtools = self.steps(staging)?;
        let config = self.plan.record.dirs.build.join(".config");
        self.confirm_config(&config, &self.plan.dot_config)?;
        Ok(devtools)
    }

    /// Carries the plan's steps out; the developer files that were written.
    fn steps(&mut self, staging: &Utf8Path) -> Result<Vec<Utf8PathBuf>, Error> {
        let plan = self.plan;
        let dirs = &plan.record.dirs;
        let mut devtools = Vec::new();
        for step in &plan.steps {
            match step {
                Step::Configure {
                    path,
                    sha256,
                    confirm,
                } => self.configure(path, *sha256, confirm)?,
                Step::Certificates { path, .. } => {
                    fs::write_if_changed(path, plan.trusted.as_bytes())?;
                }
                Step::Compile { call } => self.compile(call)?,
                Step::InstallFile { from, to } => {
                    self.stage("install", None, |_| install_file(from, &staging.join(to)))?
                }
                Step::InstallModules {
                    call,
                    directory,
                    source_symlink,
                } => {
                    self.stage("install", Some(call), |run| run.make("install", call))?;
                    let directory = staging.join(directory);
                    for link in ["build", "source"] {
                        fs::remove_file(directory.join(link))?;
                    }
                    if *source_symlink {
                        let link = directory.join("source");
                        std::os::unix::fs::symlink(&dirs.source, &link).context("link", &link)?;
                    }
                }
                // Nix carries it out; nobody hands it in here.
                Step::Realise { .. } => {}
                Step::Devtools { call, path } => {
                    match self.stage("devtools", Some(call), |run| run.make("devtools", call)) {
                        Ok(()) => devtools.push(path.clone()),
                        Err(Error::Exec(exec::Error::Interrupted)) => {
                            return Err(exec::Error::Interrupted.into());
                        }
                        Err(error) => {
                            let message = format!(
                                "{} was not written: {error}",
                                path.file_name().unwrap_or_default()
                            );
                            self.log.line(&format!("warning: {message}"))?;
                            (self.on_event)(Event::Warning { message });
                        }
                    }
                }
            }
        }
        Ok(devtools)
    }

    /// What the source is before make runs; objects of other content are removed. `None` where that is not known.
    fn begin_source(&mut self, covered: Covered<'_>) -> Result<Option<Snapshot>, Error> {
        let dirs = &self.plan.record.dirs;
        let now = covered()?;
        if self.plan.volatile {
            contents::write_headers(dirs, now.as_ref())?;
        }
        let Some(now) = now else {
            contents::forget(dirs)?;
            return Ok(None);
        };
        // Written to between the look at it and now.
        if !self.plan.volatile && now.tree_id() != self.plan.record.identity.source {
            return Err(Error::Source(source::Error::Changed {
                dir: dirs.source.clone(),
                what: "it was written to as the build began".to_owned(),
            }));
        }
        if let Some(record) = contents::read(dirs)? {
            let changes = contents::changed(&record, &now);
            if record.state() == State::Building && !changes.is_empty() {
                self.distrust_ccache()?;
            }
            let since = fs::modified(dirs.beside_build(COMPILED))?;
            self.drop_stale(&now, &changes, since)?;
        }
        contents::write(dirs, State::Building, &now)?;
        Ok(Some(now))
    }

    /// Removes the objects that were made of what changed; all of them where that is not known. Whether there were
    /// any.
    fn drop_stale(
        &mut self,
        now: &Snapshot,
        changes: &Changes,
        since: Option<SystemTime>,
    ) -> Result<bool, Error> {
        let dirs = &self.plan.record.dirs;
        match contents::stale(dirs, now, changes, since)? {
            Stale::Nothing => return Ok(false),
            Stale::Objects(objects) => {
                for one in &objects {
                    let (object, changed) = (one.object.as_path(), one.changed.as_path());
                    self.log
                        .line(&format!("{object} is removed: {changed} changed"))?;
                    (self.on_event)(Event::Removed { object, changed });
                }
                contents::remove(dirs, &objects)?;
            }
            Stale::Everything(file) => {
                self.begin_afresh(&format!("{file} changed, and make would not notice"))?;
            }
        }
        Ok(true)
    }

    fn begin_afresh(&mut self, reason: &str) -> Result<(), Error> {
        let dirs = &self.plan.record.dirs;
        let message = format!("{reason}: compiling afresh");
        self.log.line(&format!("warning: {message}"))?;
        (self.on_event)(Event::Warning { message });
        fs::remove_dir_all(&dirs.build)?;
        fs::remove_file(dirs.beside_build(COMPILED))?;
        fs::create_dir_all(&dirs.build)?;
        Ok(())
    }

    /// The source changed while it was compiled, and ccache may have an object of another text than it hashed.
    fn distrust_ccache(&mut self) -> Result<(), Error> {
        let dirs = &self.plan.record.dirs;
        if let Some((ccache, _)) = &self.plan.ccache
            && let Some(since) = fs::modified(dirs.beside_build(COMPILED))?
        {
            let gone = contents::drop_from_ccache(&ccache.dir, since)?;
            self.log.line(&format!(
                "the source changed under the compiler: {gone} entries of the compiler cache are dropped"
            ))?;
        }
        Ok(())
    }

    /// Begins with a neighbour's objects where there are none of this tree yet. Tells whose they are.
    fn borrow(&mut self) -> Result<Option<String>, Error> {
        let plan = self.plan;
        let dirs = &plan.record.dirs;
        let Some(objects) = plan.objects else {
            return Ok(None);
        };
        // In memory there is no room for more than what was asked for.
        if !fs::is_directory(&dirs.build) || borrow::has_own(dirs)? {
            return Ok(None);
        }
        let Some(neighbour) = borrow::find(dirs, objects, &plan.dot_config) else {
            return Ok(None);
        };
        match neighbour.copy_to(dirs) {
            Ok(()) => {
                let (from, symbols) = (neighbour.name.as_str(), neighbour.symbols);
                self.log.line(&format!(
                    "begins with the objects of {from}, whose configuration differs in {symbols} symbols"
                ))?;
                (self.on_event)(Event::Borrowed { from, symbols });
                Ok(Some(neighbour.name))
            }
            Err(Error::Exec(exec::Error::Interrupted)) => Err(exec::Error::Interrupted.into()),
            // It was for speed.
            Err(error) => {
                let message = format!(
                    "the objects of {} were not copied, so everything is compiled: {error}",
                    neighbour.name
                );
                fs::remove_dir_all(borrow::unfinished(dirs))?;
                fs::create_dir_all(&dirs.build)?;
                self.log.line(&format!("warning: {message}"))?;
                (self.on_event)(Event::Warning { message });
                Ok(None)
            }
        }
    }

    /// Runs `work` as one stage: events around it, its time in the report.
    fn stage<T>(
        &mut self,
        stage: &'static str,
        call: Option<&Call>,
        work: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        (self.on_event)(Event::Started { stage, call });
        let started = Instant::now();
        let result = work(self);
        let milliseconds = started.elapsed().as_millis();
        self.log.finished(stage, milliseconds);
        (self.on_event)(Event::Finished {
            stage,
            milliseconds,
        });
        result
    }

    fn configure(&mut self, path: &Utf8Path, sha256: Sha256, confirm: &Call) -> Result<(), Error> {
        let present = fs::read_optional(path)?;
        let dirs = &self.plan.record.dirs;
        let marker = dirs.beside_build(CONFIRMED);
        // The digest stands for the tools, which `conf` asks.
        let [file, identity, inputs] = [
            sha256.to_string(),
            self.plan.record.digest.to_string(),
            self.plan.config_inputs.to_string(),
        ];
        let confirmed = [&file, &identity, &inputs].map(String::as_str).join(" ");
        let before = fs::read_optional(&marker)?.unwrap_or_default();
        let before = String::from_utf8_lossy(&before);
        let present = present.map(|bytes| Sha256::of(&bytes).to_string());
        if present.as_ref() == Some(&file)
            && (before == confirmed || dirs.build.join("include/config/auto.conf").exists())
        {
            return Ok(());
        }
        let before: Vec<&str> = before.split(' ').collect();
        let has_another_release = match before.as_slice() {
            [file, _, asked] => present.as_deref() == Some(*file) && *asked == inputs,
            _ => false,
        };
        if has_another_release && localversion::replace(&dirs.build, &self.plan.dot_config)? {
            self.log.line(
                "configure: nothing but CONFIG_LOCALVERSION differs from the configuration that conf has confirmed here",
            )?;
            return Ok(fs::write_atomic(&marker, confirmed.as_bytes())?);
        }
        self.stage("configure", Some(confirm), |run| {
            fs::write_atomic(path, run.plan.dot_config.as_bytes())?;
            run.make("configure", confirm)?;
            run.confirm_config(path, &run.plan.dot_config)
        })?;
        Ok(fs::write_atomic(&marker, confirmed.as_bytes())?)
    }

    fn confirm_config(&self, path: &Utf8Path, predicted: &str) -> Result<(), Error> {
        let confirmed = String::from_utf8_lossy(&fs::read(path)?).into_owned();
        if confirmed == predicted {
            return Ok(());
        }
        let report = self.log.dir().join("config-drift.txt");
        let drift = drift::investigate(self.plan, &confirmed, &report)?;
        Err(Error::ConfigDrift {
            changes: drift.changes,
            tools_changed: drift.tools_changed,
            report,
        })
    }

    fn compile(&mut self, call: &Call) -> Result<(), Error> {
        let dirs = &self.plan.record.dirs;
        let marker = dirs.beside_build(UNFINISHED);
        fs::write_atomic(&marker, &environment::boot())?;
        let compiled = Compiled::now(self.plan).to_string();
        fs::write_atomic(dirs.beside_build(COMPILED), compiled.as_bytes())?;
        let result = self.stage("compile", Some(call), |run| run.make("compile", call));
        // After a failure that make itself reported every object file is whole.
        if matches!(result, Ok(()) | Err(Error::Make { .. })) {
            fs::remove_file(&marker)?;
        }
        result
    }

    /// Begins afresh where the objects are those of another toolchain: make knows a compiler by what it says of its
    /// version, and the identity knows it by its content.
    fn drop_what_make_would_miss(&mut self) -> Result<(), Error> {
        let dirs = &self.plan.record.dirs;
        let Some(before) = Compiled::before(dirs)? else {
            return match dirs.beside_build(COMPILED).exists() {
                true => self.begin_afresh("it is not known which toolchain made the objects"),
                false => Ok(()),
            };
        };
        let now = Compiled::now(self.plan);
        if before.toolchain != now.toolchain {
            return self.begin_afresh("the toolchain is another one than the objects were made by");
        }
        let is_known = !self.plan.volatile || contents::read(dirs)?.is_some();
        match is_known || before.directory != now.directory {
            true => Ok(()),
            false => self.begin_afresh("it is not known what the objects were compiled from"),
        }
    }

    /// Runs a make call into the stage's log.
    fn make(&mut self, stage: &'static str, call: &Call) -> Result<(), Error> {
        self.log.line(&format!("{stage}: {call}"))?;
        let mut output = StageOutput::open(&self.log, stage, &self.plan.record.dirs.state)?;
        let log = output.path().to_owned();
        let (counts, on_event) = (&mut self.counts, &mut *self.on_event);
        let surrounded = self
            .surroundings
            .around(call, &self.plan.record.dirs.source);
        let result = exec::stream(&surrounded, Some(&log), &mut |bytes| {
            output.line(bytes, counts, on_event);
        });
        let (log, lines) = output.close(result.is_ok())?;
        match result {
            Ok(()) => Ok(()),
            Err(exec::Error::Failed { .. }) => Err(Error::Make {
                stage,
                lines: make::first_error(&lines),
                call: Box::new(call.clone()),
                log,
                full: fs::is_full(&self.plan.record.dirs.build)
                    .then(|| self.plan.record.dirs.build.clone()),
            }),
            Err(error) => Err(error.into()),
        }
    }
}

/// Writes the reports of a run: one for people, one for [`report`](super::report).
pub(super) fn summarize(
    log: &RunLog,
    record: &Record,
    counts: Counts,
    result: &str,
    statistics: Option<&Statistics>,
) -> Result<(), fs::Error> {
    let mut facts = super::log::machine();
    facts.push(("kernel release", record.release.clone()));
    facts.push(("identity", record.digest.to_string()));
    facts.push(("backend", record.backend.to_string()));
    facts.push(("source", record.source.description.clone()));
    facts.push(("toolchain", record.toolchain.version.clone()));
    let ccache = statistics.and_then(Statistics::ccache);
    if let Some(Ccache { hits, misses }) = ccache {
        facts.push(("ccache", format!("{hits} hits, {misses} misses")));
    }
    super::report::note(log, record, result, ccache)?;
    log.summarize(result, counts, &facts)
}

/// Present while make compiles; found at the start of a run, it says that the last one was
/// killed in the middle. It names the [`boot`](environment::boot): of files that were written when a machine stopped, any can be without
/// its content.
const UNFINISHED: &str = "compiling";

/// Which configuration the kernel's own `conf` has confirmed in the build directory, for which identity,
/// and what its answer hung on.
const CONFIRMED: &str = "confirmed";

/// How often a source is compiled that is written to meanwhile.
const ATTEMPTS: u32 = 3;

/// Holds a [`Compiled`]; its time is when that began.
const COMPILED: &str = "compiled";

/// Which tree is compiled in a build directory, by what, and where it lies.
pub(super) struct Compiled {
    source: String,
    toolchain: String,
    pub(super) directory: Utf8PathBuf,
}

impl Compiled {
    fn now(plan: &Plan) -> Self {
        Compiled {
            source: plan.record.identity.source.to_string(),
            toolchain: plan.record.identity.toolchain.clone(),
            directory: plan.record.dirs.source.clone(),
        }
    }

    /// What was compiled last.
    pub(super) fn before(dirs: &Dirs) -> Result<Option<Self>, fs::Error> {
        let marker = fs::read_optional(dirs.beside_build(COMPILED))?;
        Ok(marker.and_then(|bytes| {
            let (source, rest) = std::str::from_utf8(&bytes).ok()?.split_once(' ')?;
            let (toolchain, directory) = rest.split_once(' ')?;
            Some(Compiled {
                source: source.to_owned(),
                toolchain: toolchain.to_owned(),
                directory: directory.into(),
            })
        }))
    }
}

impl fmt::Display for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.source, self.toolchain, self.directory)
    }
}

/// After a kill an object file can be half written, and Kbuild would take it for finished.
/// Kbuild writes `.x.o.cmd` once `x.o` is whole, so an object that is newer than its `.cmd`
/// file, or has none, or one that was cut off, is removed and made again.
fn drop_unfinished(dirs: &Dirs) -> Result<(), fs::Error> {
    let marker = dirs.beside_build(UNFINISHED);
    if !marker.exists() {
        return Ok(());
    }
    for entry in fs::below(&dirs.build) {
        let entry = entry?;
        let kind = entry.file_type().context("look at", entry.path())?;
        if !kind.is_file() || entry.file_name().starts_with('.') {
            continue;
        }
        let path = entry.path();
        let command = path.with_file_name(format!(".{}.cmd", entry.file_name()));
        let unfinished = match fs::modified(&command)? {
            Some(finished) => {
                fs::modified(path)?.is_some_and(|written| written > finished)
                    || !dependencies::is_whole(&String::from_utf8_lossy(&fs::read(&command)?))
            }
            None => matches!(path.extension(), Some("o" | "a" | "ko")),
        };
        if unfinished {
            fs::remove_file(path)?;
        }
    }
    fs::remove_file(&marker)
}

/// Removes the stamps of symbols that are off. In a new directory `conf` makes none for them; in one where they
/// were on it leaves them, and trees for out-of-tree modules would differ. Every object has been made by now.
fn drop_stale_stamps(build: &Utf8Path) -> Result<(), fs::Error> {
    let directory = build.join("include/config");
    let Some(config) = fs::read_optional(directory.join("auto.conf"))? else {
        return Ok(());
    };
    let config = String::from_utf8_lossy(&config);
    let set: HashSet<&str> = config
        .lines()
        .filter_map(|line| line.strip_prefix("CONFIG_")?.split('=').next())
        .collect();
    for name in fs::file_names(&directory)? {
        // The other files there have lower-case names.
        if !set.contains(name.as_str()) && !name.contains(|letter: char| letter.is_lowercase()) {
            let stamp = directory.join(&name);
            if std::fs::metadata(&stamp)
                .is_ok_and(|metadata| metadata.is_file() && metadata.len() == 0)
            {
                fs::remove_file(&stamp)?;
            }
        }
    }
    Ok(())
}

fn install_file(from: &Utf8Path, to: &Utf8Path) -> Result<(), Error> {
    if !from.exists() {
        return Err(Error::NoOutput {
            path: from.to_owned(),
        });
    }
    if let Some(directory) = to.parent() {
        fs::create_dir_all(directory)?;
    }
    Ok(fs::copy(from, to)?)
}

/// What a build without an image will call itself.
fn read_headers(build: &Utf8Path) -> Result<Observed, Error> {
    let mut headers = String::new();
    for name in ["utsrelease.h", "utsversion.h", "compile.h"] {
        if let Some(bytes) = fs::read_optional(build.join("include/generated").join(name))? {
            headers.push_str(&String::from_utf8_lossy(&bytes));
            headers.push('\n');
        }
    }
    Ok(Observed::parse(&headers))
}

/// Fills in size and SHA-256 of an output below `root`.
pub(super) fn measure(root: &Utf8Path, output: &mut Output) -> Result<(), Error> {
    let path = root.join(&output.path);
    if path.is_dir() {
        let mut files = Vec::new();
        list_files(&path, &mut files)?;
        files.sort();
        let (mut size, mut listing) = (0, String::new());
        for file in files {
            let bytes = fs::read(&file)?;
            size += bytes.len() as u64;
            let name = file.strip_prefix(&path).unwrap_or(&file);
            listing.push_str(&format!("{}  {name}\n", Sha256::of(&bytes)));
        }
        output.size = Some(size);
        output.sha256 = Some(Sha256::of(listing.as_bytes()));
    } else {
        let bytes = fs::read(&path)?;
        output.size = Some(bytes.len() as u64);
        output.sha256 = Some(Sha256::of(&bytes));
    }
    Ok(())
}

fn list_files(directory: &Utf8Path, files: &mut Vec<Utf8PathBuf>) -> Result<(), Error> {
    for entry in directory.read_dir_utf8().context("read", directory)? {
        let entry = entry.context("read", directory)?;
        let kind = entry.file_type().context("read", entry.path())?;
        if kind.is_dir() {
            list_files(entry.path(), files)?;
        } else if kind.is_file() {
            files.push(entry.into_path());
        }
    }
    Ok(())
}

/// Hits and misses from ccache's statistics log: one event a line below a `# file` line.
pub(super) fn ccache_statistics(path: &Utf8Path) -> Result<(Option<u64>, Option<u64>), fs::Error> {
    let Some(bytes) = fs::read_optional(path)? else {
        return Ok((Some(0), Some(0)));
    };
    let text = String::from_utf8_lossy(&bytes);
    let count = |names: &[&str]| text.lines().filter(|line| names.contains(line)).count() as u64;
    Ok((
        Some(count(&["direct_cache_hit", "preprocessed_cache_hit"])),
        Some(count(&["cache_miss"])),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_of_symbols_that_are_off_go() {
        let directory = tempfile::tempdir().unwrap();
        let build = Utf8Path::from_path(directory.path()).unwrap();
        let config = build.join("include/config");
        drop_stale_stamps(build).unwrap();
        for (name, text) in [
            ("auto.conf", "CONFIG_A=y\nCONFIG_NR_CPUS=8\nCONFIG_E=\n"),
            ("auto.conf.cmd", ""),
            ("kernel.release", ""),
            ("A", ""),
            ("AB", ""),
            ("NR_CPUS", ""),
            ("E", ""),
            ("X86_64", ""),
            ("README", "kept"),
        ] {
            fs::write_atomic(config.join(name), text.as_bytes()).unwrap();
        }
        drop_stale_stamps(build).unwrap();
        assert_eq!(
            fs::file_names(&config).unwrap(),
            [
                "A",
                "E",
                "NR_CPUS",
                "README",
                "auto.conf",
                "auto.conf.cmd",
                "kernel.release"
            ]
        );
    }

    #[test]
    fn only_objects_without_a_newer_cmd_file_are_dropped_after_a_kill() {
        let directory = tempfile::tempdir().unwrap();
        let state = Utf8Path::from_path(directory.path()).unwrap();
        let dirs = Dirs::new("/source".into(), state);
        let build = &dirs.build;
        fs::create_dir_all(build.join("init")).unwrap();
        let time = |path: &Utf8Path, seconds: u64| {
            let file = std::fs::File::create(path).unwrap();
            file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds))
                .unwrap();
        };
        for (object, command) in [
            ("whole.o", Some(20)),
            ("cut.o", Some(20)),
            ("half.o", Some(5)),
            ("first.o", None),
        ] {
            time(&build.join("init").join(object), 10);
            if let Some(seconds) = command {
                let command = build.join("init").join(format!(".{object}.cmd"));
                time(&command, seconds);
                let text = if object == "cut.o" {
                    "savedcmd"
                } else {
                    "savedcmd_x.o := x\n"
                };
                fs::write_atomic(&command, text.as_bytes()).unwrap();
                let file = std::fs::File::options()
                    .append(true)
                    .open(&command)
                    .unwrap();
                file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds))
                    .unwrap();
            }
        }
        let left = || {
            let mut names: Vec<_> = build
                .join("init")
                .read_dir_utf8()
                .unwrap()
                .map(|entry| entry.unwrap().file_name().to_owned())
                .collect();
            names.retain(|name| !name.starts_with('.'));
            names.sort();
            names
        };
        drop_unfinished(&dirs).unwrap();
        assert_eq!(
            left(),
            ["cut.o", "first.o", "half.o", "whole.o"],
            "nothing was killed"
        );
        fs::write_atomic(state.join(UNFINISHED), b"").unwrap();
        drop_unfinished(&dirs).unwrap();
        assert_eq!(left(), ["whole.o"]);
        assert!(!state.join(UNFINISHED).exists());
    }
}

//! Builds many kernels: carries out what [`crate::batch`] decides, with one jobserver for all
//! makes.
//!
//! ```text
//! target/kernel/batches/<id>/batch.json       which kernels, how many runs, whether it is done
//! target/kernel/batches/<id>/<kernel>.json    how far a kernel has come
//! target/kernel/batches/<id>/report.*         what the last run came to
//! ```
//!
//! These files tell; nothing is decided by them. What is finished is what its manifest in the build
//! directory or the store says, so that a batch may be killed at any moment and is begun again by the
//! same command.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;

use super::build::layers::Layer;
use super::build::{self, Notice, Origin, Prepared, Session};
use super::jobserver::{Jobserver, Token};
use super::run::{self, Event as RunEvent};
use super::{borrow, environment, exec, fs, lock, report as reporting, store, tmpfs};
use crate::batch::{self, Batch, Budget, End, Estimate, KernelRecord, Planned, Record, Stage};
use crate::manifest::{self, Backend, Manifest};
use crate::plan::Plan;
use crate::report::{self, Report};
use crate::reuse::Decision;
use crate::sourced;
use crate::spec::{Jobs, KernelSpec};
use crate::store::Claims;
use crate::tmpfs::Place;

/// How a batch is run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Build the others where one fails.
    pub keep_going: bool,
    /// What may be used at once.
    pub budget: Budget,
    /// Bring what was built into the Nix store, as `build --register` does.
    pub register: bool,
}

/// Why a batch could not begin or tell what it came to. What is wrong with a kernel is in its
/// [`Finished`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file.
    #[error(transparent)]
    Fs(#[from] fs::Error),
    /// No pipe.
    #[error("cannot make a jobserver")]
    Jobserver(#[source] std::io::Error),
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Fs(error) => error.hint(),
            Error::Jobserver(_) => None,
        }
    }
}

/// What a batch tells while it goes on. It comes from several threads at once.
#[derive(Debug)]
pub enum Event<'a> {
    /// It begins, or goes on.
    Begun(&'a Record),
    /// A kernel begins a stage.
    Stage(Stage),
    /// A kernel is planned.
    Planned(&'a manifest::Record),
    /// What planning and building tell.
    Notice(Notice<'a>),
    /// A kernel is over.
    Ended(&'a Finished),
    /// Why it failed, after it is over.
    Failed(build::Error),
}

/// How a kernel ended.
#[derive(Debug)]
pub struct Finished {
    /// The word for it.
    pub end: End,
    /// When its last stage was begun, since the batch was: the build, where it came to that.
    pub start: Duration,
    /// How long it took from there.
    pub took: Duration,
    /// What of the build was done there.
    pub phases: Vec<report::Phase>,
    /// What was planned, where that succeeded.
    pub planned: Option<manifest::Record>,
    /// What is there now.
    pub manifest: Option<Manifest>,
    /// Where it was taken from; [`None`] for the build directory, too.
    pub from: Option<Origin>,
    /// What was added to the Nix store.
    pub layers: Vec<Layer>,
    /// Why it failed.
    pub failure: Option<report::Failure>,
}

/// What a run of a batch came to.
#[derive(Debug)]
pub struct Ran {
    /// As it is on disk.
    pub record: Record,
    /// Where.
    pub dir: Utf8PathBuf,
    /// The kernels, as they were handed in.
    pub kernels: Vec<Finished>,
    /// The whole of it.
    pub report: Report,
}

/// Cores and memory that are there now. `jobs` is what the kernels ask for at most.
pub fn budget(kernels: &[&KernelSpec], memory: Option<u64>, builds: Option<usize>) -> Budget {
    let cores = environment::cores();
    let jobs = kernels.iter().map(|kernel| match kernel.jobs.value {
        Jobs::Auto => cores,
        Jobs::AutoPlusOne => cores + 1,
        Jobs::Exactly(jobs) => jobs as usize,
    });
    let available = environment::memory().available;
    let budget = Budget::new(jobs.max().unwrap_or(cores), memory.unwrap_or(available));
    Budget {
        builds: builds.unwrap_or(budget.builds).clamp(1, budget.cores),
        ..budget
    }
}

/// Builds the kernels. `notify` gets what goes on, with the number of the kernel that it is about;
/// [`Event::Begun`] is about none, and comes with 0.
pub fn run(
    session: &Session<'_>,
    kernels: &[&KernelSpec],
    options: &Options,
    notify: &(dyn Fn(usize, Event<'_>) + Sync),
) -> Result<Ran, Error> {
    let names = || kernels.iter().map(|kernel| kernel.name.as_str());
    let id = batch::id(names());
    let dir = fs::real_path(&session.spec.target_dir).join(format!("kernel/batches/{id}"));
    let _lock = lock::acquire(&dir.join("lock"), "cargo kernel build", &mut |holder| {
        let text = format!("waiting for the same batch, held by {holder}");
        notify(0, Event::Notice(Notice::Warning(text)));
    })?;
    let before: Option<Record> = fs::read_optional(dir.join("batch.json"))?
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let runs = match before {
        Some(before) if !before.done => before.runs + 1,
        _ => 1,
    };
    let record = Record {
        schema: batch::SCHEMA,
        id,
        started: environment::now().timestamp().as_second(),
        runs,
        done: false,
        kernels: names().map(str::to_owned).collect(),
    };
    let inherited = Jobserver::inherited(session.environment);
    let jobserver = match inherited {
        Some(jobserver) => jobserver,
        None => Jobserver::new(options.budget.cores).map_err(Error::Jobserver)?,
    };
    let mut session = session.clone();
    session.surroundings.makeflags = Some(jobserver.makeflags().to_owned());
    let mut budget = options.budget;
    if let Some(Ok(room)) = &mut session.tmpfs {
        room.memory = budget.memory;
        budget.tmpfs = room.free;
    }
    let options = &Options { budget, ..*options };
    let mut work = Work {
        session: &session,
        kernels,
        options,
        notify,
        jobserver: &jobserver,
        began: Instant::now(),
        dir,
        progress: kernels.iter().map(|_| Mutex::default()).collect(),
        prepared: Prepared::default(),
        releases: Mutex::default(),
        record,
    };
    work.write_record()?;
    for name in names() {
        work.write_kernel(name, &KernelRecord::waiting())?;
    }
    notify(0, Event::Begun(&work.record));
    let finished = work.carry_out()?;
    let interrupted = finished
        .iter()
        .any(|finished| finished.end == End::Interrupted);
    work.record.done = !interrupted;
    let report = work.report(&finished);
    let written = reporting::write(&report, &work.dir)?;
    // With what the logs have besides.
    let report = Report::parse(&fs::read(written.json)?).unwrap_or(report);
    work.write_record()?;
    Ok(Ran {
        record: work.record,
        dir: work.dir,
        kernels: finished,
        report,
    })
}

/// A batch that is being carried out.
struct Work<'a> {
    session: &'a Session<'a>,
    kernels: &'a [&'a KernelSpec],
    options: &'a Options,
    notify: &'a (dyn Fn(usize, Event<'_>) + Sync),
    jobserver: &'a Jobserver,
    began: Instant,
    dir: Utf8PathBuf,
    progress: Vec<Mutex<Progress>>,
    /// What the plans, which are made in one go, were made of.
    prepared: Prepared,
    /// What the releases of its kernels name, before any of them is built.
    releases: Mutex<Claims>,
    record: Record,
}

/// What is known of a kernel while it is worked on.
#[derive(Debug, Default)]
struct Progress {
    /// When its stage was begun, planning aside: that is for all of them.
    start: Option<Duration>,
    planned: Option<manifest::Record>,
    phases: Vec<report::Phase>,
}

/// What a stage came to.
enum Step {
    Planned(Planned),
    Confirmed,
    Built {
        outcome: build::Outcome,
        manifest: Box<Manifest>,
        layers: Vec<Layer>,
    },
}

type Worked = Result<Step, build::Error>;

impl<'a> Work<'a> {
    fn carry_out(&self) -> Result<Vec<Finished>, Error> {
        let budget = self.options.budget;
        let mut batch = Batch::new(self.kernels.len(), budget, self.options.keep_going);
        let mut finished: Vec<Option<Finished>> = self.kernels.iter().map(|_| None).collect();
        std::thread::scope(|scope| -> Result<(), Error> {
            let (sender, results) = mpsc::channel();
            // A job that a kernel gives back goes to the next one rather than to the makes that run:
            // they would not soon give it back.
            let mut free: Vec<Token<'_>> = Vec::new();
            loop {
                while let Some((kernel, stage)) = batch.next() {
                    self.begin(kernel, stage)?;
                    let token = match stage {
                        Stage::Plan => None,
                        _ if self.is_for_nix(kernel) => None,
                        Stage::Confirm | Stage::Build => match free.pop() {
                            Some(token) => Some(token),
                            None => self.jobserver.try_acquire().map_err(Error::Jobserver)?,
                        },
                    };
                    let sender = sender.clone();
                    scope.spawn(move || {
                        let mut token = token;
                        let result = catch_unwind(AssertUnwindSafe(|| {
                            self.work_on(kernel, stage, &mut token)
                        }));
                        // Nobody listens any more only where another one has panicked.
                        let _ = sender.send((kernel, stage, result, token));
                    });
                }
                free.clear();
                if batch.is_over() {
                    return Ok(());
                }
                let Ok((kernel, stage, result, token)) = results.recv() else {
                    unreachable!("the sender above lives as long as the receiver")
                };
                free.extend(token);
                if exec::interrupted() {
                    batch.interrupt();
                }
                let result = result.unwrap_or_else(|panic| resume_unwind(panic));
                let outcome = match result {
                    Ok(Step::Planned(planned)) => batch::Outcome::Planned(planned),
                    Ok(Step::Confirmed) => batch::Outcome::Confirmed,
                    over => {
                        let over = self.end(kernel, stage, over)?;
                        let end = over.end;
                        finished[kernel] = Some(over);
                        batch::Outcome::End(end)
                    }
                };
                batch.finish(kernel, outcome);
            }
        })?;
        let mut all = Vec::new();
        for (kernel, over) in finished.into_iter().enumerate() {
            all.push(match (over, batch.state(kernel)) {
                (Some(over), _) => over,
                (None, batch::State::Ended(end)) => self.left_out(kernel, end)?,
                (None, _) => unreachable!("a batch that is over has ended everywhere"),
            });
        }
        Ok(all)
    }

    fn progress(&self, kernel: usize) -> std::sync::MutexGuard<'_, Progress> {
        let progress = self.progress[kernel].lock();
        progress.unwrap_or_else(PoisonError::into_inner)
    }

    fn is_for_nix(&self, kernel: usize) -> bool {
        let progress = self.progress(kernel);
        let planned = progress.planned.as_ref();
        planned.is_some_and(|planned| planned.backend == Backend::Nix)
    }

    fn begin(&self, kernel: usize, stage: Stage) -> Result<(), Error> {
        (self.notify)(kernel, Event::Stage(stage));
        let mut progress = self.progress(kernel);
        if stage == Stage::Plan {
            return Ok(());
        }
        // Between a confirmed configuration and its build a kernel waits for its turn.
        let start = self.began.elapsed();
        progress.start = Some(start);
        progress.phases.clear();
        let record = KernelRecord {
            release: progress
                .planned
                .as_ref()
                .map(|planned| planned.release.clone()),
            ..KernelRecord::started(milliseconds(start))
        };
        self.write_kernel(self.kernels[kernel].name.as_str(), &record)
    }

    /// Carries out a stage; in a thread of its own.
    fn work_on(&self, kernel: usize, stage: Stage, token: &mut Option<Token<'a>>) -> Worked {
        let spec = self.kernels[kernel];
        let notify = &mut |notice: Notice<'_>| {
            self.watch(kernel, &notice);
            (self.notify)(kernel, Event::Notice(notice));
        };
        if stage != Stage::Plan && token.is_none() && !self.is_for_nix(kernel) {
            // The makes that run have all jobs; the first one that they put back is for this one.
            let acquired = self.jobserver.acquire().map_err(build::Error::Jobserver)?;
            *token = Some(acquired);
        }
        match stage {
            Stage::Plan => self.plan(kernel, spec, notify),
            Stage::Confirm => self
                .session()
                .confirm(spec, notify)
                .map(|()| Step::Confirmed),
            Stage::Build => self.build(spec, notify),
        }
    }

    /// For what comes after the plans.
    fn session(&self) -> Session<'_> {
        Session {
            planned: Some(&self.prepared),
            ..self.session.clone()
        }
    }

    fn plan(&self, kernel: usize, spec: &KernelSpec, notify: &mut dyn FnMut(Notice<'_>)) -> Worked {
        let session = Session {
            prepared: Some(&self.prepared),
            ..self.session.clone()
        };
        let facts = session.gather(spec, notify)?;
        let plan = session.decide(spec, &facts, notify)?;
        self.claim(&plan)?;
        (self.notify)(kernel, Event::Planned(&plan.record));
        self.progress(kernel).planned = Some(plan.record.clone());
        let release = plan.record.release.clone();
        let nothing = Estimate {
            cores: 1,
            ..Estimate::default()
        };
        let (stage, estimate) = match self.session.look_up(spec, &plan)? {
            Decision::Ready(manifest) => {
                return Ok(Step::Built {
                    outcome: build::Outcome::Ready,
                    manifest,
                    layers: Vec::new(),
                });
            }
            Decision::Reuse(_) => (Stage::Build, nothing),
            Decision::Build(_) if plan.record.backend == Backend::Nix => {
                let estimate = Estimate {
                    cores: self.options.budget.cores,
                    ..batch::predict(&facts.config)
                };
                (Stage::Build, estimate)
            }
            Decision::Build(_) => {
                let predicted = batch::predict(&facts.config);
                let milliseconds = self.measured(spec, &plan)?;
                let tmpfs = facts.place.as_ref().map_or(0, Place::size);
                let estimate = Estimate {
                    milliseconds: milliseconds.unwrap_or(predicted.milliseconds),
                    memory: predicted.memory.saturating_add(tmpfs),
                    tmpfs,
                    ..predicted
                };
                (Stage::Confirm, estimate)
            }
        };
        let builds = stage == Stage::Confirm && !matches!(facts.place, Some(Place::Memory { .. }));
        let objects = match builds {
            true => borrow::objects(&plan)?,
            false => None,
        };
        Ok(Step::Planned(Planned {
            stage,
            estimate,
            release,
            objects,
        }))
    }

    /// Refuses a release that names another kernel of this batch.
    fn claim(&self, plan: &Plan) -> Result<(), store::Error> {
        if !plan.stored {
            return Ok(());
        }
        let releases = self.releases.lock();
        let mut releases = releases.unwrap_or_else(PoisonError::into_inner);
        Ok(releases.claim(&plan.record)?)
    }

    /// How long a build from nothing of this kernel took, whatever its identity was.
    fn measured(&self, spec: &KernelSpec, plan: &Plan) -> Result<Option<u64>, build::Error> {
        let text = fs::read_optional(plan.record.dirs.state.join(DURATION))?;
        let text = text.and_then(|bytes| String::from_utf8(bytes).ok());
        if let Some(milliseconds) = text.and_then(|text| text.trim().parse().ok()) {
            return Ok(Some(milliseconds));
        }
        let manifest = self.session.manifest(spec)?;
        Ok(manifest
            .map(|manifest| manifest.statistics.milliseconds)
            .filter(|milliseconds| *milliseconds > 0))
    }

    fn build(&self, spec: &KernelSpec, notify: &mut dyn FnMut(Notice<'_>)) -> Worked {
        let session = self.session();
        let (outcome, manifest) = session.build(spec, notify)?;
        let mut layers = Vec::new();
        if manifest.record.backend != Backend::Nix {
            let asked = matches!(spec.publish.origin, sourced::Origin::CommandLine { .. });
            let is_new = !matches!(outcome, build::Outcome::Ready);
            if spec.publish.value && (is_new || asked) {
                match session.publish_layers(spec, &manifest, notify) {
                    Ok(published) => layers.extend(published),
                    Err(error) if asked => return Err(error),
                    Err(error) => notify(Notice::Warning(format!(
                        "the build is not in the Nix store: {error}"
                    ))),
                }
            }
            if self.options.register {
                layers.extend(session.register(spec, &manifest, notify)?);
            }
        }
        Ok(Step::Built {
            outcome,
            manifest: Box::new(manifest),
            layers,
        })
    }

    /// Keeps the times of the build's own stages.
    fn watch(&self, kernel: usize, notice: &Notice<'_>) {
        let Notice::Run(RunEvent::Finished {
            stage,
            milliseconds,
        }) = notice
        else {
            return;
        };
        let now = self.began.elapsed().as_millis();
        let start = now.saturating_sub(*milliseconds);
        let phases = &mut self.progress(kernel).phases;
        reporting::add_phase(phases, stage, start, *milliseconds);
    }

    /// A kernel is over.
    fn end(&self, kernel: usize, stage: Stage, result: Worked) -> Result<Finished, Error> {
        let spec = self.kernels[kernel];
        let mut finished = self.unfinished(kernel, End::Failed);
        let mut failed = None;
        match result {
            Ok(Step::Built {
                outcome,
                manifest,
                layers,
            }) => {
                finished.end = match outcome {
                    build::Outcome::Built => End::Passed,
                    build::Outcome::Ready | build::Outcome::Reused(_) => End::Reused,
                };
                if let build::Outcome::Reused(from) = outcome {
                    finished.from = Some(from);
                }
                let is_from_nothing = manifest.statistics.objects_of.is_none();
                if finished.end == End::Passed && stage == Stage::Build && is_from_nothing {
                    let took = milliseconds(finished.took).to_string();
                    let state = &manifest.record.dirs.state;
                    fs::write_atomic(state.join(DURATION), took.as_bytes())?;
                }
                finished.manifest = Some(*manifest);
                finished.layers = layers;
            }
            Ok(Step::Planned(_) | Step::Confirmed) => {
                unreachable!("a kernel has not ended before it is built")
            }
            // Whatever broke when the user stopped it is not the news.
            Err(_) if exec::interrupted() => finished.end = End::Interrupted,
            Err(error) => {
                finished.failure = Some(failure(&error, stage));
                failed = Some(error);
            }
        }
        let record = KernelRecord {
            release: finished
                .planned
                .as_ref()
                .map(|planned| planned.release.clone()),
            milliseconds: Some(milliseconds(finished.took)),
            error: finished
                .failure
                .as_ref()
                .map(|failure| failure.message.clone()),
            ..KernelRecord::started(milliseconds(finished.start))
        };
        self.write_kernel(spec.name.as_str(), &record.ended(finished.end))?;
        self.sweep(spec)?;
        (self.notify)(kernel, Event::Ended(&finished));
        if let Some(error) = failed {
            (self.notify)(kernel, Event::Failed(error));
        }
        Ok(finished)
    }

    /// A configuration that was confirmed in memory stays there for the build, which may never come.
    fn sweep(&self, spec: &KernelSpec) -> Result<(), Error> {
        match self.session.tmpfs {
            Some(_) => Ok(tmpfs::sweep(&self.session.state(spec))?),
            None => Ok(()),
        }
    }

    /// A kernel that nothing more was done about.
    fn left_out(&self, kernel: usize, end: End) -> Result<Finished, Error> {
        let finished = self.unfinished(kernel, end);
        let name = self.kernels[kernel].name.as_str();
        self.write_kernel(name, &KernelRecord::waiting().ended(end))?;
        self.sweep(self.kernels[kernel])?;
        (self.notify)(kernel, Event::Ended(&finished));
        Ok(finished)
    }

    fn unfinished(&self, kernel: usize, end: End) -> Finished {
        let now = self.began.elapsed();
        let progress = self.progress(kernel);
        let start = progress.start.unwrap_or(now);
        Finished {
            end,
            start,
            took: now.saturating_sub(start),
            phases: progress.phases.clone(),
            planned: progress.planned.clone(),
            manifest: None,
            from: None,
            layers: Vec::new(),
            failure: None,
        }
    }

    fn write_record(&self) -> Result<(), fs::Error> {
        write_json(self.dir.join("batch.json"), &self.record)
    }

    fn write_kernel(&self, name: &str, record: &KernelRecord) -> Result<(), Error> {
        Ok(write_json(self.dir.join(format!("{name}.json")), record)?)
    }

    fn report(&self, finished: &[Finished]) -> Report {
        let kernels = self.kernels.iter().zip(finished);
        reporting::report_over(
            self.record.started,
            self.began.elapsed().as_secs_f64(),
            kernels.map(|(spec, over)| describe(spec, over)).collect(),
        )
    }
}

/// How long the last build of a kernel took, in milliseconds; beside its build directory.
const DURATION: &str = "duration";

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn write_json(path: Utf8PathBuf, value: &impl serde::Serialize) -> Result<(), fs::Error> {
    let mut text = serde_json::to_string_pretty(value).expect("a record is plain data");
    text.push('\n');
    fs::write_atomic(path, text.as_bytes())
}

/// What a report says of a kernel.
fn describe(spec: &KernelSpec, over: &Finished) -> report::Kernel {
    let status = match over.end {
        End::Passed => report::Status::Passed,
        End::Reused => report::Status::Reused,
        End::Failed => report::Status::Failed,
        End::Skipped => report::Status::Skipped,
        End::Interrupted => report::Status::Interrupted,
    };
    let built = over.manifest.as_ref();
    let record = built.map(|built| &built.record).or(over.planned.as_ref());
    let mut kernel = match record {
        Some(record) => reporting::of_record(record, status),
        None => report::Kernel::new(spec.name.as_str(), spec.arch.value.name(), status),
    };
    kernel.flavour = spec
        .flavour
        .as_ref()
        .map(|flavour| flavour.value.to_string());
    kernel.debug = spec.debug.value;
    kernel.start = over.start.as_secs_f64();
    kernel.seconds = over.took.as_secs_f64();
    kernel.phases.clone_from(&over.phases);
    kernel.note = match (over.end, &over.from) {
        (End::Reused, Some(from)) => Some(format!("from {from}")),
        (End::Reused, None) => Some("it was there".to_owned()),
        (End::Passed, _) => built
            .and_then(|built| built.statistics.objects_of.as_ref())
            .map(|other| format!("with objects of {other}")),
        (End::Skipped, _) => Some("another kernel had failed".to_owned()),
        _ => None,
    };
    if let Some(record) = record {
        reporting::add_sizes(&mut kernel, record);
        let log = record.dirs.logs().join("latest");
        if over.end != End::Skipped && log.exists() {
            let log = fs::real_path(&log);
            kernel.log = Some(log.to_string());
        }
    }
    if let Some(built) = built.filter(|_| over.end == End::Passed) {
        kernel.warnings.count = built.statistics.warnings;
        kernel.ccache = built.statistics.ccache();
    }
    kernel.error.clone_from(&over.failure);
    kernel
}

fn failure(error: &build::Error, stage: Stage) -> report::Failure {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        message.push_str(&format!(": {error}"));
        cause = error.source();
    }
    let (phase, context, log) = match error {
        build::Error::Run(run::Error::Make {
            stage, lines, log, ..
        }) => (
            Some((*stage).to_owned()),
            lines.clone(),
            Some(log.to_string()),
        ),
        build::Error::Run(run::Error::ConfigDrift { report, .. }) => (
            Some("configure".to_owned()),
            Vec::new(),
            Some(report.to_string()),
        ),
        _ => (Some(stage.to_string()), Vec::new(), None),
    };
    report::Failure {
        phase,
        message,
        context,
        log,
    }
}

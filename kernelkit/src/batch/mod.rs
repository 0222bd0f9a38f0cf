//! Many kernels as one batch: what is worked on next, and what has become of each.
//!
//! Pure: no clock, no process, no file. [`effect::batch`](crate::effect::batch) carries out what
//! [`Batch::next`] says and tells it how it went.
//!
//! The order is that in which failures show soonest: every kernel is planned before anything
//! is compiled, then the kernel's own `conf` confirms the configurations, then come the builds, the
//! shortest first. Nothing here depends on time or chance: the same answers in the same order
//! lead to the same order of work.

mod estimate;
mod record;
#[cfg(test)]
mod tests;

use std::hash::{DefaultHasher, Hasher as _};

use serde::Serialize;

use crate::source::Sha256;

pub use estimate::{Estimate, predict};
pub use record::{KernelRecord, Record, SCHEMA, id};

/// A step of a kernel's way through a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Its source is prepared and its configuration resolved.
    Plan,
    /// The kernel's own `conf` confirms the configuration.
    Confirm,
    /// It is compiled and installed, or taken from where it was built before.
    Build,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Stage::Plan => "plan",
            Stage::Confirm => "confirm",
            Stage::Build => "build",
        })
    }
}

/// What has become of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// It was built in this batch.
    Passed,
    /// It had been built before.
    Reused,
    /// It could not be planned or built.
    Failed,
    /// It was not begun, because another one failed.
    Skipped,
    /// The user stopped the batch.
    Interrupted,
}

impl End {
    /// Whether the kernel is there.
    pub fn is_good(self) -> bool {
        matches!(self, End::Passed | End::Reused)
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            End::Passed => "passed",
            End::Reused => "reused",
            End::Failed => "failed",
            End::Skipped => "skipped",
            End::Interrupted => "interrupted",
        })
    }
}

/// Where a kernel stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// For its turn in this stage.
    Waiting(Stage),
    /// In this stage.
    Running(Stage),
    /// For good.
    Ended(End),
}

/// What may be used at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Jobs of all makes together.
    pub cores: usize,
    /// Bytes.
    pub memory: u64,
    /// Bytes of the file system where build directories in memory lie.
    pub tmpfs: u64,
    /// Kernels.
    pub builds: usize,
}

impl Budget {
    /// Cores stand idle while a kernel is linked, so that two kernels share even two of them; more
    /// than one for four cores only costs memory.
    pub fn new(cores: usize, memory: u64) -> Self {
        let cores = cores.max(1);
        Budget {
            cores,
            memory,
            tmpfs: 0,
            builds: (cores / 4).max(2).min(cores),
        }
    }
}

/// How a stage of a kernel went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is known what there is to do.
    Planned(Planned),
    /// The kernel's own tools agree with its configuration: it can be built.
    Confirmed,
    /// It is over.
    End(End),
}

/// What there is to do for a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The next stage.
    pub stage: Stage,
    /// What that and the stages after it take.
    pub estimate: Estimate,
    /// What names the build: of kernels that share it only the first is built, and the
    /// others wait for it.
    pub release: String,
    /// The objects it makes, where others can begin with them.
    pub objects: Option<Objects>,
}

/// What a kernel compiles, but for what its configuration changes. A kernel waits for another one that makes
/// objects that are much nearer to its own than all there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objects {
    /// Names them; kernels with the same name can begin with each other's.
    pub id: Sha256,
    /// What they are made for.
    pub settings: Settings,
    /// How far those are that it can begin with; `None` where there are none.
    pub nearest: Option<usize>,
}

/// The settings of a configuration, to tell how far it is from another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings(Vec<u64>);

impl Settings {
    /// Those of a `.config`, but for its `CONFIG_LOCALVERSION`.
    pub fn of(config: &str) -> Self {
        let is_setting = |line: &&str| {
            line.trim_start_matches("# ").starts_with("CONFIG_")
                && !line.starts_with("CONFIG_LOCALVERSION=")
        };
        let hash = |line: &str| {
            let mut hasher = DefaultHasher::new();
            hasher.write(line.as_bytes());
            hasher.finish()
        };
        let mut hashes: Vec<u64> = config.lines().filter(is_setting).map(hash).collect();
        hashes.sort_unstable();
        hashes.dedup();
        Settings(hashes)
    }

    /// How many settings only one of them has.
    pub fn distance(&self, other: &Self) -> usize {
        let (mut ours, mut theirs) = (self.0.as_slice(), other.0.as_slice());
        let mut distance = 0;
        while let ([our, our_rest @ ..], [their, their_rest @ ..]) = (ours, theirs) {
            distance += usize::from(our != their);
            if our <= their {
                ours = our_rest;
            }
            if their <= our {
                theirs = their_rest;
            }
        }
        distance + ours.len() + theirs.len()
    }
}

#[derive(Clone, Debug)]
struct Job {
    state: State,
    planned: Option<Planned>,
}

impl Job {
    fn estimate(&self) -> Estimate {
        let planned = self.planned.as_ref();
        planned.map_or_else(Estimate::default, |planned| planned.estimate)
    }

    fn objects(&self) -> Option<&Objects> {
        self.planned.as_ref()?.objects.as_ref()
    }
}

/// A batch under way. Kernels are numbered as they were handed in.
#[derive(Clone, Debug)]
pub struct Batch {
    jobs: Vec<Job>,
    budget: Budget,
    keep_going: bool,
    interrupted: bool,
}

impl Batch {
    /// So many kernels, none begun. Without `keep_going` nothing new is begun after a failure.
    pub fn new(kernels: usize, budget: Budget, keep_going: bool) -> Self {
        let job = Job {
            state: State::Waiting(Stage::Plan),
            planned: None,
        };
        Batch {
            jobs: vec![job; kernels],
            budget,
            keep_going,
            interrupted: false,
        }
    }

    /// Where each kernel stands.
    pub fn states(&self) -> impl Iterator<Item = State> + '_ {
        self.jobs.iter().map(|job| job.state)
    }

    /// Where a kernel stands.
    pub fn state(&self, kernel: usize) -> State {
        self.jobs[kernel].state
    }

    /// Whether every kernel has ended.
    pub fn is_over(&self) -> bool {
        self.states().all(|state| matches!(state, State::Ended(_)))
    }

    /// Begins what is to be begun next; `None` where that has to wait for what runs.
    ///
    /// Plans go one at a time, and nothing is compiled before they all are over: what is wrong with
    /// a declaration is told within seconds.
    #[allow(
        clippy::should_implement_trait,
        reason = "it begins a job, and is no iterator"
    )]
    pub fn next(&mut self) -> Option<(usize, Stage)> {
        let mut waiting: Vec<(Stage, u64, usize)> = Vec::new();
        for (kernel, job) in self.jobs.iter().enumerate() {
            match job.state {
                State::Running(Stage::Plan) => return None,
                State::Waiting(Stage::Plan) => return Some(self.begin(kernel, Stage::Plan)),
                State::Waiting(stage) => waiting.push((stage, job.estimate().milliseconds, kernel)),
                State::Running(_) | State::Ended(_) => {}
            }
        }
        waiting.sort_unstable();
        let &(stage, _, kernel) = waiting.iter().find(|(stage, _, kernel)| {
            self.fits(*kernel)
                && !self.repeats(*kernel)
                && !(*stage == Stage::Build && self.is_to_borrow(*kernel))
        })?;
        Some(self.begin(kernel, stage))
    }

    fn begin(&mut self, kernel: usize, stage: Stage) -> (usize, Stage) {
        self.jobs[kernel].state = State::Running(stage);
        (kernel, stage)
    }

    /// Whether the budget has room beside what runs. What is larger than all of it runs alone.
    fn fits(&self, kernel: usize) -> bool {
        let running = || {
            let running = |job: &&Job| matches!(job.state, State::Running(_));
            self.jobs.iter().filter(running).map(Job::estimate)
        };
        let wanted = self.jobs[kernel].estimate();
        let cores: usize = running().map(|estimate| estimate.cores).sum();
        let memory = running().fold(0_u64, |sum, estimate| sum.saturating_add(estimate.memory));
        let tmpfs = running().fold(0_u64, |sum, estimate| sum.saturating_add(estimate.tmpfs));
        running().next().is_none()
            || (running().count() < self.budget.builds
                && cores + wanted.cores <= self.budget.cores
                && memory.saturating_add(wanted.memory) <= self.budget.memory
                && tmpfs.saturating_add(wanted.tmpfs) <= self.budget.tmpfs)
    }

    /// Whether another kernel is the same build, and goes first.
    fn repeats(&self, kernel: usize) -> bool {
        let release = |kernel: usize| {
            let planned = self.jobs[kernel].planned.as_ref()?;
            Some(planned.release.as_str())
        };
        self.jobs.iter().enumerate().any(|(other, job)| {
            let goes_first = match job.state {
                State::Running(_) => other != kernel,
                State::Waiting(_) => other < kernel,
                State::Ended(_) => false,
            };
            goes_first && release(kernel).is_some() && release(other) == release(kernel)
        })
    }

    /// Whether another kernel makes the objects right now that this one is to begin with: there are none, or
    /// those are at most half as far.
    fn is_to_borrow(&self, kernel: usize) -> bool {
        let Some(wanted) = self.jobs[kernel].objects() else {
            return false;
        };
        let is_built = |job: &&Job| job.state == State::Running(Stage::Build);
        let made = self.jobs.iter().filter(is_built).filter_map(Job::objects);
        let mut near = made.filter(|made| made.id == wanted.id);
        near.any(|made| {
            let distance = made.settings.distance(&wanted.settings);
            wanted
                .nearest
                .is_none_or(|nearest| 2 * distance <= nearest && distance < nearest)
        })
    }

    /// Others can begin with what this kernel has made.
    fn offer(&mut self, kernel: usize) {
        let Some(made) = self.jobs[kernel].objects().cloned() else {
            return;
        };
        let planned = self.jobs.iter_mut().filter_map(|job| job.planned.as_mut());
        for wanted in planned.filter_map(|planned| planned.objects.as_mut()) {
            if wanted.id == made.id {
                let distance = made.settings.distance(&wanted.settings);
                wanted.nearest = Some(wanted.nearest.map_or(distance, |one| one.min(distance)));
            }
        }
    }

    /// Takes in how a stage went. `kernel` is one that [`Batch::next`] has begun.
    pub fn finish(&mut self, kernel: usize, outcome: Outcome) {
        let job = &mut self.jobs[kernel];
        debug_assert!(matches!(job.state, State::Running(_)));
        match outcome {
            Outcome::Planned(planned) => {
                job.state = State::Waiting(planned.stage);
                job.planned = Some(planned);
            }
            Outcome::Confirmed => job.state = State::Waiting(Stage::Build),
            Outcome::End(end) => {
                job.state = State::Ended(end);
                if end == End::Passed {
                    self.offer(kernel);
                }
            }
        }
        let failed = self
            .states()
            .any(|state| state == State::Ended(End::Failed));
        if self.interrupted {
            self.end_waiting(End::Interrupted);
        } else if failed && !self.keep_going {
            self.end_waiting(End::Skipped);
        }
    }

    /// The user stops it: nothing is begun any more. What runs is still to be finished.
    pub fn interrupt(&mut self) {
        self.interrupted = true;
        self.end_waiting(End::Interrupted);
    }

    fn end_waiting(&mut self, end: End) {
        for job in &mut self.jobs {
            if matches!(job.state, State::Waiting(_)) {
                job.state = State::Ended(end);
            }
        }
    }
}

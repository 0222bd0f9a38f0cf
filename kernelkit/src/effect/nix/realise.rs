//! Has Nix build a kernel's derivation, with the logs and the events of a build on the host.

use std::time::Instant;

use camino::{Utf8Path, Utf8PathBuf};

use super::daemon::{self, Activity, Daemon, Mode, Status, Target};
use super::wire::plain;
use crate::effect::fs;
use crate::effect::log::RunLog;
use crate::effect::run::Event;
use crate::effect::stage::Output;
use crate::make::{self, Counts};
use crate::nix::failure::Cause;
use crate::nix::store_path::StorePath;

/// Why Nix did not build it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The daemon.
    #[error(transparent)]
    Daemon(#[from] daemon::Error),
    /// A log.
    #[error(transparent)]
    Fs(#[from] fs::Error),
    /// The build.
    #[error("{stage} failed in Nix")]
    Failed {
        /// The stage.
        stage: &'static str,
        /// What says why: the first error of the build, or Nix' own words.
        lines: Vec<String>,
        /// The whole output of the stage.
        log: Utf8PathBuf,
        /// What stands behind it, where that is known.
        cause: Option<Cause>,
    },
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Daemon(error) => error.hint(),
            Error::Fs(error) => error.hint(),
            Error::Failed { cause, log, .. } => Some(match cause {
                Some(cause) => format!("{}; the whole output is in {log}", cause.hint()),
                None => format!(
                    "the whole output is in {log}; `--backend host` builds the same where it can be looked at"
                ),
            }),
        }
    }
}

/// What Nix did.
#[derive(Clone, Debug)]
pub(in crate::effect) struct Realised {
    /// Built, taken from a cache, or there already.
    pub(in crate::effect) status: Status,
    /// The cache.
    pub(in crate::effect) cache: Option<String>,
    /// What the build printed.
    pub(in crate::effect) counts: Counts,
}

/// The words in which `nix/build-kernel.sh` says what it begins.
const STAGES: [(&str, &str); 5] = [
    ("kernel: unpacking ", "unpack"),
    ("kernel: applying ", "unpack"),
    ("kernel: configuring ", "configure"),
    ("kernel: building ", "compile"),
    ("kernel: installing", "install"),
];

/// What Nix is asked for.
pub(in crate::effect) enum Work<'a> {
    /// The outputs of a derivation whose `.drv` is in the store.
    Build(Target, Mode),
    /// Paths, from caches alone.
    Fetch(&'a [&'a StorePath]),
}

/// Has Nix do it. `state` is the kernel's directory.
pub(in crate::effect) fn realise(
    daemon: &mut Daemon,
    work: Work<'_>,
    log: &mut RunLog,
    state: &Utf8Path,
    on_event: &mut dyn FnMut(Event<'_>),
) -> Result<Realised, Error> {
    let mut run = Run {
        derivation: match &work {
            Work::Build(target, _) => Some(target.derivation.to_string()),
            Work::Fetch(_) => None,
        },
        builder: None,
        cache: None,
        counts: Counts::default(),
        stage: None,
        last: None,
        problem: None,
        log,
        state,
        on_event,
    };
    let mut take = |event: daemon::Event<'_>| {
        if let Err(error) = run.take(event) {
            run.problem.get_or_insert(error);
        }
    };
    let outcomes = match work {
        Work::Build(target, mode) => daemon.build(&[target], mode, &mut take),
        Work::Fetch(paths) => daemon.substitute(paths.iter().copied(), &mut take),
    };
    run.finish(matches!(&outcomes, Ok(all) if all.iter().all(|one| one.status.is_success())))?;
    if let Some(error) = run.problem {
        return Err(error.into());
    }
    let outcomes = outcomes?;
    let failed = outcomes.iter().find(|outcome| !outcome.status.is_success());
    if let Some(outcome) = failed {
        let (stage, path, lines) = run.last.unwrap_or_else(|| {
            let path = run.log.dir().join("build.log");
            ("preparing", path, Vec::new())
        });
        run.log.line(&outcome.message)?;
        let cause = outcome
            .cause()
            .or_else(|| lines.iter().rev().take(20).find_map(|line| said(line)));
        return Err(Error::Failed {
            stage,
            lines: match make::first_error(&lines) {
                lines if lines.is_empty() => outcome.message.lines().map(str::to_owned).collect(),
                lines => lines,
            },
            log: path,
            cause,
        });
    }
    Ok(Realised {
        status: outcomes
            .first()
            .map_or(Status::AlreadyValid, |one| one.status),
        cache: run.cache,
        counts: run.counts,
    })
}

/// The cause that a builder's own line tells; a compiler may say anything else.
fn said(line: &str) -> Option<Cause> {
    Cause::of(line).filter(|cause| matches!(cause, Cause::NoUserNamespaces | Cause::StoreFull))
}

struct Run<'a> {
    derivation: Option<String>,
    builder: Option<u64>,
    cache: Option<String>,
    counts: Counts,
    stage: Option<(&'static str, Instant, Output)>,
    last: Option<(&'static str, Utf8PathBuf, Vec<String>)>,
    problem: Option<fs::Error>,
    log: &'a mut RunLog,
    state: &'a Utf8Path,
    on_event: &'a mut dyn FnMut(Event<'_>),
}

impl Run<'_> {
    fn take(&mut self, event: daemon::Event<'_>) -> Result<(), fs::Error> {
        match event {
            daemon::Event::Started { id, activity, .. } => match activity {
                Activity::Build { derivation }
                    if self
                        .derivation
                        .as_ref()
                        .is_some_and(|own| derivation.ends_with(own)) =>
                {
                    self.builder = Some(id);
                    self.begin("unpack")
                }
                Activity::Substitute { cache, .. } => {
                    self.cache = Some(cache.to_owned());
                    self.begin("fetch")
                }
                Activity::Build { .. } | Activity::Fetch { .. } if self.builder.is_none() => {
                    self.begin("fetch")
                }
                _ => Ok(()),
            },
            daemon::Event::Line { id, line } if Some(id) == self.builder => {
                let begun = STAGES.iter().find(|(words, _)| line.starts_with(words));
                if let Some((_, stage)) = begun {
                    self.begin(stage)?;
                }
                if let Some((_, _, output)) = &mut self.stage {
                    output.line(line.as_bytes(), &mut self.counts, self.on_event);
                }
                Ok(())
            }
            daemon::Event::Line { line, .. } => self.log.line(line),
            daemon::Event::Message(text) => {
                let text = plain(text);
                self.log.line(&text)?;
                // A cache that is not believed is passed over; only this says why.
                let cause = Cause::of(&text);
                if let Some(cause @ (Cause::Unsigned | Cause::Unreachable | Cause::Damaged)) = cause
                {
                    let said = text
                        .trim_start_matches("warning: ")
                        .trim_start_matches("error: ");
                    // The message about an archive does not say whose it is.
                    let from = match (&self.cache, cause) {
                        (Some(cache), Cause::Damaged) => format!("from the cache {cache}: "),
                        _ => String::new(),
                    };
                    (self.on_event)(Event::Warning {
                        message: format!("{from}{said}\nhint: {}", cause.hint()),
                    });
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, stage: &'static str) -> Result<(), fs::Error> {
        if self.stage.as_ref().is_some_and(|(now, ..)| *now == stage) {
            return Ok(());
        }
        self.finish(true)?;
        (self.on_event)(Event::Started { stage, call: None });
        let output = Output::open(self.log, stage, self.state)?;
        self.stage = Some((stage, Instant::now(), output));
        Ok(())
    }

    fn finish(&mut self, well: bool) -> Result<(), fs::Error> {
        if let Some((stage, begun, output)) = self.stage.take() {
            let milliseconds = begun.elapsed().as_millis();
            self.log.finished(stage, milliseconds);
            let (path, lines) = output.close(well)?;
            self.last = Some((stage, path, lines));
            (self.on_event)(Event::Finished {
                stage,
                milliseconds,
            });
        }
        Ok(())
    }
}

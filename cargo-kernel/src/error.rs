//! Failures as the user sees them, and exit codes.

use std::error::Error;
use std::fmt;

use kernelkit::effect::explain::Refused;
use kernelkit::effect::nix::{daemon, debian_root, locked, program, realise};
use kernelkit::effect::{
    batch, boot, build, doctor, environment, exec, fs, isolation, library, lockfile, menu, patches,
    report, run, save, source, store, toolchain, tree, workspace,
};
use kernelkit::{fragment, plan, spec};

/// Done (a reader that closed the pipe included).
pub(crate) const DONE: u8 = 0;
/// The command line is wrong.
pub(crate) const USAGE: u8 = 2;
/// The question was answered with no: `doctor`, `boot --check`, `config check`, `config diff`.
pub(crate) const NO: u8 = 100;
/// It could not be completed.
pub(crate) const FAILED: u8 = 101;

/// A message, what is behind it, and what to do next.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The message, without `error:`.
    pub(crate) message: String,
    /// The messages of the causes, outermost first.
    pub(crate) causes: Vec<String>,
    /// Lines that belong to the message: a compiler's error, unmet requests.
    pub(crate) details: Vec<String>,
    /// Requests of a kernel that do not hold.
    pub(crate) refused: Box<[(String, Refused)]>,
    /// What to do next.
    pub(crate) hint: Option<String>,
    /// The exit code.
    pub(crate) code: u8,
}

impl Failure {
    /// From an error without a hint.
    pub(crate) fn new(error: impl Error) -> Self {
        let mut causes = Vec::new();
        let mut details = Vec::new();
        let mut cause = error.source();
        while let Some(error) = cause {
            causes.push(error.to_string());
            // What the program that failed said last is the cause of all.
            let failed = error.downcast_ref::<exec::Error>();
            let failed = failed.or_else(|| error.downcast_ref::<Box<exec::Error>>().map(|b| &**b));
            if let Some(exec::Error::Failed { tail, .. }) = failed {
                details.clone_from(tail);
            }
            cause = error.source();
        }
        Failure {
            message: error.to_string(),
            causes,
            details,
            refused: Box::default(),
            hint: None,
            code: FAILED,
        }
    }

    /// A message of our own with what to do next.
    pub(crate) fn message(message: impl fmt::Display, hint: impl fmt::Display) -> Self {
        Failure {
            message: message.to_string(),
            causes: Vec::new(),
            details: Vec::new(),
            refused: Box::default(),
            hint: Some(hint.to_string()),
            code: FAILED,
        }
    }

    /// The command line is wrong in a way that only its words show.
    pub(crate) fn usage(message: impl fmt::Display, hint: impl fmt::Display) -> Self {
        Failure {
            code: USAGE,
            ..Failure::message(message, hint)
        }
    }

    fn hinted(error: impl Error, hint: Option<String>) -> Self {
        Failure {
            hint,
            ..Failure::new(error)
        }
    }

    fn detailed(mut self, details: Vec<String>) -> Self {
        self.details.extend(details);
        self
    }

    /// Several problems under one message, each with its own hint.
    fn list(message: String, problems: impl IntoIterator<Item = (String, Option<String>)>) -> Self {
        let details = problems.into_iter().flat_map(|(problem, hint)| {
            std::iter::once(problem).chain(hint.map(|hint| format!("  hint: {hint}")))
        });
        Failure {
            message,
            causes: Vec::new(),
            details: details.collect(),
            refused: Box::default(),
            hint: None,
            code: FAILED,
        }
    }
}

/// Errors that carry nothing but a hint.
macro_rules! hinted {
    ($($error:ty),* $(,)?) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                let hint = error.hint();
                Failure::hinted(error, hint)
            }
        })*
    };
}

hinted!(
    batch::Error,
    boot::Error,
    daemon::Error,
    debian_root::Error,
    doctor::Error,
    fs::Error,
    isolation::Error,
    library::Error,
    locked::Error,
    lockfile::Error,
    menu::Error,
    patches::Error,
    program::Error,
    report::Error,
    save::Error,
    store::Error,
    toolchain::Error
);

impl From<tree::Error> for Failure {
    fn from(error: tree::Error) -> Self {
        match error {
            tree::Error::Build(error) => error.into(),
            error => {
                let hint = error.hint();
                Failure::hinted(error, hint)
            }
        }
    }
}

impl From<environment::Error> for Failure {
    fn from(error: environment::Error) -> Self {
        Failure::new(error)
    }
}

impl From<spec::Error> for Failure {
    /// One problem is the message; of several, each comes with its own hint.
    fn from(error: spec::Error) -> Self {
        if let [problem] = error.problems.as_slice() {
            return Failure {
                hint: problem.hint.clone(),
                ..Failure::hinted(error, None)
            };
        }
        let message = format!(
            "the kernels' settings have {} problems",
            error.problems.len()
        );
        let problem = |problem: &spec::Problem| (problem.to_string(), problem.hint.clone());
        Failure::list(message, error.problems.iter().map(problem))
    }
}

impl From<fragment::Error> for Failure {
    fn from(error: fragment::Error) -> Self {
        match &error {
            fragment::Error::Malformed { diagnostics } if diagnostics.len() > 1 => Failure::list(
                format!("{} lines of fragments cannot be used", diagnostics.len()),
                diagnostics
                    .iter()
                    .map(|line| (line.to_string(), line.hint())),
            ),
            _ => {
                let hint = error.hint();
                Failure::hinted(error, hint)
            }
        }
    }
}

impl From<exec::Error> for Failure {
    fn from(error: exec::Error) -> Self {
        let hint = error.hint();
        let tail = match &error {
            exec::Error::Failed { tail, .. } => tail.clone(),
            _ => Vec::new(),
        };
        Failure::hinted(error, hint).detailed(tail)
    }
}

impl From<source::Error> for Failure {
    fn from(error: source::Error) -> Self {
        Failure::from(&error)
    }
}

impl From<&source::Error> for Failure {
    fn from(error: &source::Error) -> Self {
        let hint = error.hint();
        let details = match error {
            source::Error::Patch(error) => error.details(),
            _ => Vec::new(),
        };
        Failure::hinted(error, hint).detailed(details)
    }
}

impl From<workspace::Error> for Failure {
    fn from(error: workspace::Error) -> Self {
        match error {
            workspace::Error::Spec(error) => error.into(),
            error => {
                let hint = error.hint();
                Failure::hinted(error, hint)
            }
        }
    }
}

impl From<build::Error> for Failure {
    fn from(error: build::Error) -> Self {
        match error {
            build::Error::Fragment(error) => error.into(),
            build::Error::Run(run::Error::Exec(error)) => error.into(),
            build::Error::Realise(realise::Error::Daemon(error)) => {
                build::Error::Daemon(error).into()
            }
            build::Error::Source(error) => error.into(),
            build::Error::Refused {
                ref kernel,
                ref refused,
                ..
            } => {
                let refused = refused
                    .iter()
                    .map(|refused| (kernel.clone(), refused.clone()));
                let refused = refused.collect();
                let hint = error.hint();
                Failure {
                    refused,
                    ..Failure::hinted(error, hint)
                }
            }
            error => {
                let details = match &error {
                    build::Error::Plan(plan::Error::Unmet { unmet, .. }) => {
                        unmet.iter().map(ToString::to_string).collect()
                    }
                    build::Error::Run(run::Error::Make { lines, .. })
                    | build::Error::Realise(realise::Error::Failed { lines, .. }) => lines.clone(),
                    build::Error::Stale { changes, .. } => {
                        changes.iter().map(crate::commands::lock::line).collect()
                    }
                    _ => Vec::new(),
                };
                let hint = error.hint();
                Failure::hinted(error, hint).detailed(details)
            }
        }
    }
}

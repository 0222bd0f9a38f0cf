//! From a kernel's spec to a finished build: gather, plan, decide, act.

use camino::Utf8PathBuf;

use super::environment::{self, Environment};
use super::run::{self, Event};
use super::source::{self as sources, Progress};
use super::{configure, exec, fs, store, toolchain};
use crate::fragment::{self, Library};
use crate::manifest::{Dirs, Manifest, OutputKind};
use crate::plan::{self, Ccache, Facts, Plan};
use crate::request;
use crate::reuse::{self, Decision};
use crate::spec::{KernelSpec, Spec};

/// What every step of one command shares.
pub struct Session<'a> {
    /// The caller's environment.
    pub environment: &'a Environment,
    /// What the workspace declares.
    pub spec: &'a Spec,
    /// The fragments at hand.
    pub library: &'a Library,
    /// No download, no `apt`: what is in the cache must do.
    pub offline: bool,
}

/// Why a kernel could not be planned or built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The source.
    #[error(transparent)]
    Source(#[from] sources::Error),
    /// The toolchain.
    #[error(transparent)]
    Toolchain(#[from] toolchain::Error),
    /// The fragments.
    #[error(transparent)]
    Fragment(#[from] fragment::Error),
    /// The configuration.
    #[error(transparent)]
    Configure(#[from] configure::Error),
    /// The plan.
    #[error(transparent)]
    Plan(#[from] plan::Error),
    /// The build.
    #[error(transparent)]
    Run(#[from] run::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A file.
    #[error(transparent)]
    Fs(#[from] fs::Error),
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Source(error) => error.hint(),
            Error::Toolchain(error) => error.hint(),
            Error::Fragment(error) => error.hint(),
            Error::Configure(error) => error.hint(),
            Error::Plan(error) => error.hint(),
            Error::Run(error) => error.hint(),
            Error::Store(error) => error.hint(),
            Error::Fs(error) => error.hint(),
        }
    }

    /// Whether the user stopped it.
    pub fn is_interrupt(&self) -> bool {
        exec::interrupted()
    }
}

//! Whether a plan has to be carried out at all.
//!
//! Pure: what lies on disk comes in through closures.

use std::fmt;

use serde::Serialize;

use crate::manifest::{Manifest, Output};
use crate::plan::Plan;

/// What to do with a plan.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision<E> {
    /// The build directory has it, finished and whole.
    Ready(Box<Manifest>),
    /// The store has it.
    Reuse(E),
    /// It has to be built.
    Build(Reason),
}

/// Why a plan has to be built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Reason {
    /// The user, or an irreproducible build, said so.
    Forced,
    /// Nobody has built this identity here.
    Unknown,
    /// The store's copy is damaged.
    Damaged {
        /// What is wrong with it.
        what: String,
    },
    /// The store's copy has less than this plan installs.
    Incomplete {
        /// What it lacks.
        missing: String,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Forced => f.write_str("reuse is off"),
            Reason::Unknown => f.write_str("this identity has not been built here"),
            Reason::Damaged { what } => write!(f, "the store's copy is damaged: {what}"),
            Reason::Incomplete { missing } => write!(f, "the store's copy has no {missing}"),
        }
    }
}

/// What the store answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Lookup<E> {
    /// An entry and the manifest it was published with.
    Hit(E, Box<Manifest>),
    /// None.
    Miss,
    /// One that cannot be trusted.
    Damaged(String),
}

/// Decides. `local` is the build directory's manifest, `intact` whether an output of it is
/// still there as it was written, `find` asks the store.
pub fn decide<E>(plan: &Plan, local: Option<Manifest>, intact: impl Fn(&Manifest, &Output) -> bool, find: impl FnOnce() -> Lookup<E>) -> Decision<E> {
    if !plan.reuse {
        return Decision::Build(Reason::Forced);
    }
    let lacks = |manifest: &Manifest| {
        let has = |wanted: &&Output| manifest.record.outputs.iter().any(|output| output.kind == wanted.kind && output.path == wanted.path);
        plan.record.outputs.iter().find(|wanted| !has(wanted)).map(|output| output.path.to_string())
    };
    if let Some(manifest) = local
        && manifest.record.release == plan.record.release
        && manifest.record.identity == plan.record.identity
        && lacks(&manifest).is_none()
        && manifest.record.outputs.iter().all(|output| intact(&manifest, output))
    {
        return Decision::Ready(Box::new(manifest));
    }
    match find() {
        Lookup::Miss => Decision::Build(Reason::Unknown),
        Lookup::Damaged(what) => Decision::Build(Reason::Damaged { what }),
        Lookup::Hit(_, manifest) if manifest.record.identity != plan.record.identity => Decision::Build(Reason::Unknown),
        Lookup::Hit(entry, manifest) => match lacks(&manifest) {
            None => Decision::Reuse(entry),
            Some(missing) => Decision::Build(Reason::Incomplete { missing }),
        },
    }
}

//! Whether a plan has to be carried out at all.
//!
//! Pure: what lies on disk comes in through closures.

use std::fmt;

use serde::Serialize;

use crate::manifest::{Manifest, Output};
use crate::plan::Plan;
use crate::store::{Entry, Lookup};

/// What to do with a plan.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// The build directory has it, finished and whole.
    Ready(Box<Manifest>),
    /// The store has it.
    Reuse(Box<Entry>),
    /// It has to be built.
    Build(Reason),
}

/// Why a plan has to be built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Reason {
    /// The user, or an irreproducible build, said so.
    Forced,
    /// The source is being edited: such a build is neither stored nor taken from a store.
    Edited,
    /// Nobody has built this identity here.
    Unknown,
    /// The store's copy is damaged.
    Damaged {
        /// What is wrong with it.
        what: String,
    },
    /// A newer kernelkit wrote the store's copy.
    Newer,
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
            Reason::Edited => f.write_str("the source is being edited"),
            Reason::Unknown => f.write_str("this identity has not been built here"),
            Reason::Damaged { what } => write!(f, "the store's copy is damaged: {what}"),
            Reason::Newer => f.write_str("a newer kernelkit wrote the store's copy"),
            Reason::Incomplete { missing } => write!(f, "the store's copy has no {missing}"),
        }
    }
}

/// Decides. `local` is the build directory's manifest, `intact` whether an output of it is
/// still there as it was written, `find` asks the store for a release.
pub fn decide(
    plan: &Plan,
    local: Option<Manifest>,
    intact: impl Fn(&Manifest, &Output) -> bool,
    find: impl FnOnce(&str) -> Lookup,
) -> Decision {
    if !plan.reuse {
        return Decision::Build(Reason::Forced);
    }
    if let Some(manifest) = local
        && manifest.record.release == plan.record.release
        && manifest.record.identity == plan.record.identity
        && lacks(plan, &manifest).is_none()
        && manifest
            .record
            .outputs
            .iter()
            .all(|output| intact(&manifest, output))
    {
        return Decision::Ready(Box::new(manifest));
    }
    if !plan.stored {
        return Decision::Build(Reason::Edited);
    }
    match find(&plan.record.release) {
        Lookup::Miss => Decision::Build(Reason::Unknown),
        Lookup::Damaged { what, .. } => Decision::Build(Reason::Damaged { what }),
        Lookup::Newer { .. } => Decision::Build(Reason::Newer),
        Lookup::Hit(entry) => match serde_json::from_value::<Manifest>(entry.manifest.clone()) {
            Err(error) => Decision::Build(Reason::Damaged {
                what: format!("its manifest cannot be read: {error}"),
            }),
            Ok(manifest) if manifest.record.identity != plan.record.identity => {
                Decision::Build(Reason::Unknown)
            }
            Ok(manifest) => match lacks(plan, &manifest) {
                None => Decision::Reuse(entry),
                Some(missing) => Decision::Build(Reason::Incomplete { missing }),
            },
        },
    }
}

/// The first output of `plan` that the build of `manifest` did not have.
fn lacks(plan: &Plan, manifest: &Manifest) -> Option<String> {
    let has = |wanted: &&Output| {
        manifest
            .record
            .outputs
            .iter()
            .any(|output| output.kind == wanted.kind && output.path == wanted.path)
    };
    plan.record
        .outputs
        .iter()
        .find(|wanted| !has(wanted))
        .map(|output| output.path.to_string())
}

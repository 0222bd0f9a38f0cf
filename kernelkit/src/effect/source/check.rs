//! Tries patches on a tree without touching or copying it: the files that they name are copied
//! into a scratch directory, and git applies them there.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use super::patch::{Error as PatchError, Loaded};
use super::{Context, Error, Tree};
use crate::effect::fs::{self, Context as _};
use crate::patch::{Entry, Misfit};

/// What came of a patch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Its file.
    pub patch: Utf8PathBuf,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What came of a patch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum Outcome {
    /// It applies.
    Applies,
    /// It is for other versions.
    OtherVersion,
    /// A cover letter.
    Letter,
    /// The tree has all of it.
    AlreadyApplied,
    /// It applies and changes nothing.
    NoEffect,
    /// It does not fit.
    Broken {
        /// What does not fit.
        misfits: Vec<Misfit>,
        /// git's words, where nothing better is known.
        words: Vec<String>,
        /// An earlier patch that did not apply and changes the same files.
        after: Option<Utf8PathBuf>,
    },
    /// It is not a patch that could be used.
    Unusable {
        /// Why not.
        message: String,
    },
}

impl Outcome {
    /// Whether a kernel with this patch builds.
    pub fn is_good(&self) -> bool {
        matches!(
            self,
            Outcome::Applies | Outcome::OtherVersion | Outcome::Letter
        )
    }
}

/// What would come of `patches` on `tree`, one after the other; one that does not apply is left
/// out, and the next one tried.
pub fn check(tree: &Tree, patches: &[Entry], context: &Context<'_>) -> Result<Vec<Checked>, Error> {
    let temp_dir = &context.environment.temp_dir;
    fs::create_dir_all(temp_dir)?;
    let guard = tempfile::Builder::new()
        .prefix("kernelkit-")
        .tempdir_in(temp_dir)
        .context("write", temp_dir)?;
    let scratch = Utf8Path::from_path(guard.path())
        .expect("below a directory of UTF-8, with a name of ASCII")
        .join("tree");
    fs::create_dir_all(&scratch)?;
    let mut laid = BTreeSet::new();
    let mut broken: BTreeMap<Utf8PathBuf, Utf8PathBuf> = BTreeMap::new();
    let mut checked = Vec::new();
    for entry in patches {
        let outcome = if entry.is_for(&tree.version) {
            one(tree, entry, &scratch, &mut laid, &mut broken, context)?
        } else {
            Outcome::OtherVersion
        };
        checked.push(Checked {
            patch: entry.path.clone(),
            outcome,
        });
    }
    Ok(checked)
}

fn one(
    tree: &Tree,
    entry: &Entry,
    scratch: &Utf8Path,
    laid: &mut BTreeSet<Utf8PathBuf>,
    broken: &mut BTreeMap<Utf8PathBuf, Utf8PathBuf>,
    context: &Context<'_>,
) -> Result<Outcome, Error> {
    let unusable = |error: &PatchError| {
        let cause = std::error::Error::source(error);
        Outcome::Unusable {
            message: cause.map_or_else(|| error.to_string(), ToString::to_string),
        }
    };
    let patch = match Loaded::read(entry) {
        Ok(patch) if patch.is_letter() => return Ok(Outcome::Letter),
        Ok(patch) => patch,
        Err(Error::Patch(error)) => return Ok(unusable(&error)),
        Err(error) => return Err(error),
    };
    let paths = patch.diff.paths();
    for path in &paths {
        if laid.insert(path.clone()) {
            lay(&tree.dir, scratch, path)?;
        }
    }
    let outcome = match patch.apply(scratch, context) {
        Ok(()) => return Ok(Outcome::Applies),
        Err(Error::Patch(error)) => match error {
            PatchError::AlreadyApplied { .. } => return Ok(Outcome::AlreadyApplied),
            PatchError::NoEffect { .. } => return Ok(Outcome::NoEffect),
            PatchError::Rejected { misfits, words, .. } => Outcome::Broken {
                misfits,
                words,
                after: paths.iter().find_map(|path| broken.get(path)).cloned(),
            },
            error => unusable(&error),
        },
        Err(error) => return Err(error),
    };
    for path in paths {
        broken.entry(path).or_insert_with(|| entry.path.clone());
    }
    Ok(outcome)
}

/// Puts a file of the tree at the same place in the scratch directory. A link on the way stays a link,
/// so that git refuses to go through it as it would in the tree.
fn lay(tree: &Utf8Path, scratch: &Utf8Path, path: &Utf8Path) -> Result<(), Error> {
    let parents: Vec<_> = path.ancestors().skip(1).collect();
    let steps = parents
        .into_iter()
        .rev()
        .filter(|step| !step.as_str().is_empty());
    for step in steps.chain([path]) {
        let (from, to) = (tree.join(step), scratch.join(step));
        let Ok(metadata) = std::fs::symlink_metadata(&from) else {
            return Ok(());
        };
        if metadata.is_symlink() {
            if std::fs::symlink_metadata(&to).is_err() {
                let target = std::fs::read_link(&from).context("read", &from)?;
                std::os::unix::fs::symlink(target, &to).context("write", &to)?;
            }
            return Ok(());
        }
        if metadata.is_dir() {
            fs::create_dir_all(&to)?;
        } else {
            fs::copy(&from, &to)?;
        }
    }
    Ok(())
}

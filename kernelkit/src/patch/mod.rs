//! Patches as text: which files they change, hunk by hunk, and why one does not fit.
//!
//! Pure. [`effect::source`](crate::effect::source) has git apply them; what is read here tells
//! which files a patch touches, keeps it inside the tree, and explains what git refuses.

mod fit;
pub mod mail;
mod read;
pub mod series;

pub use fit::{Found, Misfit, NearLine, misfits};
pub use read::{Change, Diff, Error, Hunk, Line, has_diff, header, subject};

use camino::Utf8PathBuf;

use crate::version::{KernelVersion, VersionRange};

/// A patch file, and how and when it is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The file.
    pub path: Utf8PathBuf,
    /// How many leading components of the names in it go, as `patch -p` has it.
    pub strip: u32,
    /// How many lines of context at either end of a hunk may differ.
    pub fuzz: u32,
    /// Whether it came by mail: it lies in the cache, not in the workspace.
    pub mailed: bool,
    /// The versions that it is for; all where absent.
    pub version: Option<VersionRange>,
}

impl Entry {
    /// As `git format-patch` writes it, for every version, without fuzz.
    pub fn new(path: impl Into<Utf8PathBuf>) -> Self {
        Entry {
            path: path.into(),
            strip: 1,
            fuzz: 0,
            mailed: false,
            version: None,
        }
    }

    /// Whether it is for a tree of this version.
    pub fn is_for(&self, version: &KernelVersion) -> bool {
        self.version
            .as_ref()
            .is_none_or(|range| range.contains(version))
    }
}

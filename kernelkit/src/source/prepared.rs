//! What is known of a tree once it is there: the facts that a plan is made of.

use camino::Utf8PathBuf;
use serde::Serialize;

use super::{Sha256, Source, TreeId};
use crate::version::KernelVersion;

/// A kernel tree that is there, and everything a plan needs to know of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tree {
    /// Where it lies. Never to be written to.
    pub dir: Utf8PathBuf,
    /// Names the files' bytes, names and modes.
    pub id: TreeId,
    /// From its Makefile.
    pub version: KernelVersion,
    /// What `localversion*` files in it add to the version, without white space.
    pub localversion: String,
    /// Names the files that a configuration can hang on, where the tree can change; elsewhere `id` does.
    #[serde(skip)]
    pub config_inputs: Option<Sha256>,
    /// The commit it was taken from, where one is known.
    pub commit: Option<Commit>,
    /// What the release could be labelled.
    pub label: LabelHint,
    /// The tree id of that commit, where the files are those of a work tree.
    #[serde(skip)]
    pub head: Option<TreeId>,
    /// Whether files differ from the commit's.
    pub dirty: bool,
    /// Whether `resolved` always gives this tree; a directory can change at any time.
    pub pinned: bool,
    /// How sure it is that these are the bytes that were asked for.
    pub verification: Verification,
    /// What was found for what the user named, exactly: to be locked.
    pub resolved: Source,
    /// The archive that others can fetch; [`Tree::patches`] go on top of it.
    pub archive: Option<Archive>,
    /// The patches that were applied, in order.
    pub patches: Vec<AppliedPatch>,
    /// What the mailed ones among them are.
    pub series: Option<MailedSeries>,
    /// For people: `linux-source-6.12 6.12.117-1~deb12u1`.
    pub description: String,
}

/// A file on a server that holds a tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Archive {
    /// Where it is.
    pub url: String,
    /// What it hashes to.
    pub sha256: Sha256,
    /// For a Debian package: the tarball in it.
    pub member: Option<String>,
}

/// A patch on top of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AppliedPatch {
    /// The file.
    pub path: Utf8PathBuf,
    /// What it hashes to.
    pub sha256: Sha256,
    /// How many leading components its names lose.
    pub strip: u32,
    /// How many lines at either end of its hunks may differ.
    pub fuzz: u32,
    /// Whether it came by mail: it lies in the cache, not in the workspace.
    pub mailed: bool,
}

/// The mailed series that the first of a tree's patches are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MailedSeries {
    /// As it was asked for: a path, a message-id or a URL.
    pub requested: String,
    /// Of the cover letter, or of the first patch.
    pub subject: String,
    /// The `N` of `[PATCH vN]`.
    pub revision: u32,
    /// Of the patches, in order.
    pub message_ids: Vec<String>,
    /// The commit, or else the source, that it is applied to.
    pub base: String,
}

/// A git commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Commit {
    /// 40 hexadecimal digits.
    pub id: String,
    /// Seconds since 1970-01-01 00:00:00 UTC. Not the committer's date, which is
    /// the wall clock for every commit that `git am` makes.
    pub author_date: i64,
}

/// Where the middle part of a release can come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum LabelHint {
    /// A release as it was published, with nothing on top.
    Vanilla,
    /// A branch, a commit, a distribution's revision.
    Reference {
        /// As it was named.
        name: String,
    },
    /// Patches on top.
    Series {
        /// Subject of the cover letter, or of the first patch.
        subject: String,
        /// 1, or what `[PATCH vN]` says.
        revision: u32,
    },
    /// A directory that no version control looks after.
    Directory,
}

/// How a tree's bytes were checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Verification {
    /// They have the SHA-256 that was asked for.
    Sha256Pinned,
    /// A signed list has their SHA-256, and the signature is good.
    SignedSums {
        /// Fingerprint of the key.
        key: String,
    },
    /// A list from the same server has their SHA-256, but no keyring was at hand to
    /// check the list's signature.
    UnsignedSums,
    /// apt checked them against the signed lists of the distribution.
    Apt,
    /// They are what a commit's id names.
    Commit,
    /// Nothing says what they should be.
    Unverified,
}

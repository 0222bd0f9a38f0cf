//! What is asked of the daemon, and what it says.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use super::super::wire::{read_bool, read_number, read_string, read_strings};
use crate::nix::failure::Cause;
use crate::nix::nar::NarHash;
use crate::nix::narinfo::Signature;
use crate::nix::store_path::{ContentAddress, StoreDir, StorePath};

/// What the daemon does for this client alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Derivations built at once.
    pub max_jobs: u64,
    /// `NIX_BUILD_CORES` of each; 0 means all.
    pub cores: u64,
    /// Whether build directories of failed builds are kept.
    pub keep_failed: bool,
    /// Whether caches are asked.
    pub substitute: bool,
    /// Settings by their names in nix.conf. From users that are not trusted the daemon
    /// ignores most of them.
    pub settings: BTreeMap<String, String>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            max_jobs: 1,
            cores: 0,
            keep_failed: false,
            substitute: true,
            settings: BTreeMap::new(),
        }
    }
}

/// What happens while the daemon works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// For the user.
    Message(&'a str),
    /// Something began.
    Started {
        /// Names it until it stops.
        id: u64,
        /// What it is.
        activity: Activity<'a>,
        /// For the user.
        about: &'a str,
    },
    /// Something ended.
    Stopped {
        /// What.
        id: u64,
    },
    /// A line of a builder's output.
    Line {
        /// The activity.
        id: u64,
        /// Without its newline.
        line: &'a str,
    },
    /// A builder of nixpkgs began a phase.
    Phase {
        /// The activity.
        id: u64,
        /// Such as `buildPhase`.
        name: &'a str,
    },
    /// Bytes or items.
    Progress {
        /// The activity.
        id: u64,
        /// Done.
        done: u64,
        /// Of.
        expected: u64,
    },
}

/// What the daemon is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity<'a> {
    /// A builder runs.
    Build {
        /// The `.drv`, with its directory.
        derivation: &'a str,
    },
    /// A path is taken from a cache.
    Substitute {
        /// With its directory.
        path: &'a str,
        /// Its address.
        cache: &'a str,
    },
    /// A path is copied.
    Copy {
        /// With its directory.
        path: &'a str,
    },
    /// Something is downloaded.
    Fetch {
        /// From where.
        url: &'a str,
    },
    /// Anything else.
    Other,
}

/// Outputs of a derivation that are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The `.drv`.
    pub derivation: StorePath,
    /// Empty: all.
    pub outputs: BTreeSet<String>,
}

impl Target {
    /// All outputs of a derivation.
    pub fn all(derivation: StorePath) -> Self {
        Target {
            derivation,
            outputs: BTreeSet::new(),
        }
    }

    /// As every Nix since 2.8 understands it.
    pub(super) fn text(&self, store: &StoreDir) -> String {
        let outputs: Vec<_> = self.outputs.iter().map(String::as_str).collect();
        let outputs = match outputs.is_empty() {
            true => "*".to_owned(),
            false => outputs.join(","),
        };
        format!("{}!{outputs}", store.display(&self.derivation))
    }
}

/// How much is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// What is not there.
    Normal = 0,
    /// What is there already, again, and the bytes are compared.
    Check = 2,
}

/// How building one target ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It was built.
    Built,
    /// It came from a cache.
    Substituted,
    /// It was there.
    AlreadyValid,
    /// Other bytes than the first time.
    NotDeterministic,
    /// Silent for too long, or too long altogether.
    TimedOut,
    /// Something that it needs failed.
    DependencyFailed,
    /// It failed otherwise.
    Failed,
}

impl Status {
    pub(super) fn from_number(number: u64) -> Self {
        match number {
            0 => Status::Built,
            1 => Status::Substituted,
            2 | 13 => Status::AlreadyValid,
            8 => Status::TimedOut,
            10 => Status::DependencyFailed,
            12 => Status::NotDeterministic,
            _ => Status::Failed,
        }
    }

    /// Whether the outputs are there.
    pub fn is_success(self) -> bool {
        matches!(
            self,
            Status::Built | Status::Substituted | Status::AlreadyValid
        )
    }
}

/// The end of building one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What was wanted, as `<path>.drv!<outputs>`.
    pub target: String,
    /// How it ended.
    pub status: Status,
    /// Nix' words, where it failed.
    pub message: String,
}

impl Outcome {
    /// What stands behind a failure, where that is known.
    pub fn cause(&self) -> Option<Cause> {
        match self.status {
            Status::NotDeterministic => Some(Cause::NotDeterministic),
            status if status.is_success() => None,
            _ => Cause::of(&self.message),
        }
    }
}

/// What the store knows of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathInfo {
    /// What it was built from.
    pub deriver: Option<StorePath>,
    /// Hash and size of its archive.
    pub nar: NarHash,
    /// What it refers to.
    pub references: BTreeSet<StorePath>,
    /// Whether it was built here.
    pub ultimate: bool,
    /// Who vouches for it.
    pub signatures: Vec<Signature>,
    /// How it follows from its content.
    pub content: Option<ContentAddress>,
}

/// What building targets would take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// Derivations that would be built.
    pub build: BTreeSet<StorePath>,
    /// Paths that would come from caches.
    pub substitute: BTreeSet<StorePath>,
    /// Paths that nobody can make.
    pub unknown: BTreeSet<StorePath>,
    /// Bytes to download, compressed.
    pub download: u64,
}

pub(super) fn read_info(input: &mut impl Read, store: &StoreDir) -> io::Result<PathInfo> {
    let deriver = read_string(input)?;
    let hash = read_string(input)?;
    let references = read_strings(input)?;
    let _registered = read_number(input)?;
    let size = read_number(input)?;
    let ultimate = read_bool(input)?;
    let signatures = read_strings(input)?;
    let content = read_string(input)?;
    let path = |text: &String| store.parse(text).map_err(io::Error::other);
    Ok(PathInfo {
        deriver: (!deriver.is_empty()).then(|| path(&deriver)).transpose()?,
        nar: NarHash {
            sha256: hash
                .trim_start_matches("sha256:")
                .parse()
                .map_err(io::Error::other)?,
            size,
        },
        references: references.iter().map(path).collect::<io::Result<_>>()?,
        ultimate,
        signatures: signatures
            .iter()
            .map(|text| text.parse().map_err(io::Error::other))
            .collect::<io::Result<_>>()?,
        content: (!content.is_empty())
            .then(|| content.parse().map_err(io::Error::other))
            .transpose()?,
    })
}

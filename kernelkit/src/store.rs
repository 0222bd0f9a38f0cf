//! The store of finished builds: what an entry is, and which entries may go.
//!
//! An entry is found again by its release (`6.12.117-tiny-0123456789ab`). Most releases have the digest of the
//! identity in them; for those that do not, the register says which identity a release names, for good. So equal
//! release, equal bytes. This module holds the rules; the store on disk is [`effect::store`](crate::effect::store).

use std::collections::BTreeMap;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::identity::{Digest, Identity};
use crate::manifest::Record;
use crate::release::OPEN_DIGEST;
use crate::source::Sha256;

/// Version of `entry.json`; it changes when a reader of the old one would misread the new one.
pub const SCHEMA: u32 = 2;

/// Where finished builds are kept and found again.
///
/// The seam between the store on this machine and others, such as the Nix store.
pub trait Store {
    /// What can fail.
    type Error: std::error::Error;

    /// Looks for a release, or for the newest entry of a digest.
    fn find(&self, key: &str, check: Check) -> Result<Lookup, Self::Error>;

    /// Takes in the files below `dir` under the name of a release. The entry appears at once and
    /// complete, or not at all. Where a sound entry of that release exists, it stays and is returned.
    fn publish(
        &self,
        release: &str,
        dir: &Utf8Path,
        manifest_json: &[u8],
    ) -> Result<Entry, Self::Error>;

    /// Puts an entry's files below `dest`. Nothing done to them there reaches the store.
    fn materialize(&self, entry: &Entry, dest: &Utf8Path) -> Result<(), Self::Error>;
}

/// How closely an entry is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Kinds, sizes and times; a file whose time is not the recorded one is read.
    Quick,
    /// Every byte.
    Full,
}

/// What a look-up found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// A sound entry.
    Hit(Box<Entry>),
    /// Nothing.
    Miss,
    /// An entry that is not what was published. Publishing the release again replaces it.
    Damaged {
        /// The release.
        release: String,
        /// What is wrong with it, as a clause: `boot/config is missing`.
        what: String,
    },
    /// An entry that a newer kernelkit wrote; it is left alone.
    Newer {
        /// The release.
        release: String,
        /// Its schema.
        schema: u32,
    },
}

/// A finished build in the store: the content of `entry.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// [`SCHEMA`].
    pub schema: u32,
    /// What names it.
    pub release: String,
    /// When it was published, in seconds since 1970.
    pub created: i64,
    /// Every file, in order of paths; a directory comes before what is in it.
    pub files: Vec<File>,
    /// The build's `manifest.json`.
    pub manifest: serde_json::Value,
}

/// One file of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Below the destination.
    pub path: Utf8PathBuf,
    /// What it is.
    #[serde(flatten)]
    pub kind: Kind,
}

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File {
        /// Bytes.
        size: u64,
        /// Permission bits when it was published; in the store nobody may write.
        mode: u32,
        /// Modification time in the store, in nanoseconds since 1970.
        mtime: i64,
        /// Its content.
        sha256: Sha256,
    },
    /// A symbolic link.
    Symlink {
        /// Where it points, verbatim.
        target: String,
    },
}

/// What a release names: a line of the register, which keeps it when the entry is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The release.
    pub release: String,
    /// What it names.
    pub identity: Identity,
    /// The kernel's name in the workspace that built it.
    pub kernel: String,
    /// When it was registered, in seconds since 1970.
    pub created: i64,
}

/// A release that names another kernel already.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the release {release} is taken: it names the identity {taken} of {}", self.parties())]
pub struct Taken {
    /// The release.
    pub release: String,
    /// The digest of the identity that it names.
    pub taken: Digest,
    /// The kernel that was built under it.
    pub by: String,
    /// The kernel that is planned.
    pub kernel: String,
    /// The digest of its identity.
    pub wanted: Digest,
    /// The fields in which the two differ, as a list.
    pub fields: String,
    /// Whether the other one has been built, and is not planned together with this one.
    pub is_built: bool,
}

impl Taken {
    fn parties(&self) -> String {
        let Taken {
            by,
            kernel,
            wanted,
            fields,
            ..
        } = self;
        if self.is_built && by == kernel {
            format!("an earlier build of `{by}`, which is {wanted} now: {fields} changed")
        } else {
            format!("`{by}`, and `{kernel}` has the identity {wanted}; they differ in {fields}")
        }
    }

    /// What to do next.
    pub fn hint(&self) -> String {
        let ways = "a release names one identity for good: raise `{build}`, put `{digest}` into the template `release`, or build with `--unstored`";
        match self.is_built {
            true => format!(
                "{ways}; `cargo kernel store forget --release {}` frees it where no kernel of that name is in use",
                self.release
            ),
            false => ways.to_owned(),
        }
    }
}

impl Registered {
    /// A line of the register, in the format of this kernelkit.
    pub fn new(kernel: &str, release: &str, identity: &Identity, created: i64) -> Self {
        Registered {
            schema: SCHEMA,
            release: release.to_owned(),
            identity: identity.clone(),
            kernel: kernel.to_owned(),
            created,
        }
    }

    /// Whether the release says nothing about its identity, so that a second one could want it.
    pub fn is_exclusive(&self) -> bool {
        let pattern = &self.identity.release;
        // In format 1 each had the digest in it.
        !pattern.is_empty() && !pattern.contains(OPEN_DIGEST)
    }

    /// Whether the release may name `identity`, too.
    ///
    /// # Errors
    /// It names another one.
    pub fn admits(&self, kernel: &str, identity: &Identity) -> Result<(), Box<Taken>> {
        let differences = self.identity.differences(identity);
        if differences.is_empty() {
            return Ok(());
        }
        let fields: Vec<_> = differences.iter().map(|one| one.field).collect();
        Err(Box::new(Taken {
            release: self.release.clone(),
            taken: self.identity.digest(),
            by: self.kernel.clone(),
            kernel: kernel.to_owned(),
            wanted: identity.digest(),
            fields: and(&fields),
            is_built: self.created != 0,
        }))
    }
}

/// `a, b and c`.
fn and(words: &[&str]) -> String {
    match words {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        _ => words.concat(),
    }
}

/// A release that the store knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The release.
    pub release: String,
    /// What it names; `None` where its line in the register cannot be read.
    pub registered: Option<Registered>,
    /// Whether a build of it is in the store.
    pub is_stored: bool,
}

/// What the releases of several kernels name that are planned together, before any of them is built.
#[derive(Debug, Default)]
pub struct Claims(BTreeMap<String, Registered>);

impl Claims {
    /// Has a release name the identity of a planned kernel.
    ///
    /// # Errors
    /// It names that of another one.
    pub fn claim(&mut self, record: &Record) -> Result<(), Box<Taken>> {
        let kernel = record.name.as_str();
        let claimed = self
            .0
            .entry(record.release.clone())
            .or_insert_with(|| Registered::new(kernel, &record.release, &record.identity, 0));
        claimed.admits(kernel, &record.identity)
    }
}

impl Entry {
    /// The digest of what it is a build of, as its manifest has it.
    pub fn digest(&self) -> Option<&str> {
        self.manifest.get("digest")?.as_str()
    }

    /// Bytes of all its files.
    pub fn size(&self) -> u64 {
        self.files
            .iter()
            .map(|file| match file.kind {
                Kind::File { size, .. } => size,
                _ => 0,
            })
            .sum()
    }

    /// Reads `entry.json`. `release` is what the entry's directory is called.
    ///
    /// # Errors
    /// What is wrong, as [`Lookup`] says it.
    pub fn parse(release: &str, json: &[u8]) -> Result<Entry, Lookup> {
        #[derive(Deserialize)]
        struct Head {
            schema: u32,
        }
        let damaged = |what: String| Lookup::Damaged {
            release: release.to_owned(),
            what,
        };
        let broken = |error| damaged(format!("entry.json cannot be understood ({error})"));
        let head: Head = serde_json::from_slice(json).map_err(broken)?;
        if head.schema > SCHEMA {
            return Err(Lookup::Newer {
                release: release.to_owned(),
                schema: head.schema,
            });
        }
        let entry: Entry = serde_json::from_slice(json).map_err(broken)?;
        if entry.release != release {
            return Err(damaged(format!("entry.json is that of {}", entry.release)));
        }
        match entry.files.iter().find(|file| !stays_below(&file.path)) {
            Some(file) => Err(damaged(format!("entry.json names the path {}", file.path))),
            None => Ok(entry),
        }
    }
}

fn stays_below(path: &Utf8Path) -> bool {
    path.components()
        .all(|component| matches!(component, Utf8Component::Normal(_)))
        && !path.as_str().is_empty()
}

/// Whether `release` can name an entry: a plain file name that is not hidden.
pub fn is_entry_name(release: &str) -> bool {
    !release.is_empty() && !release.starts_with('.') && !release.contains(['/', '\0'])
}

/// One line of the store's list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// What names the entry.
    pub release: String,
    /// Whether it can be used.
    pub state: State,
    /// Its format: [`SCHEMA`], or an older one, whose identities nothing has any more. 0 where its record cannot be
    /// read.
    pub schema: u32,
    /// The digest of what it is a build of; empty where its record cannot be read.
    pub digest: String,
    /// Bytes of all its files; 0 where its record cannot be read.
    pub size: u64,
    /// When it was published, in seconds since 1970; 0 where its record cannot be read.
    pub created: i64,
    /// When it was last found or published, in seconds since 1970.
    pub last_used: i64,
}

/// What a list says of an entry without looking at its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "state")]
pub enum State {
    /// Its record is in order.
    Complete,
    /// Its record is not.
    Damaged {
        /// As in [`Lookup::Damaged`].
        what: String,
    },
    /// A newer kernelkit wrote it.
    Newer {
        /// Its schema.
        schema: u32,
    },
}

/// Limits that hold after pruning; an absent one does not limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prune {
    /// At most so many entries.
    pub keep: Option<usize>,
    /// None that was last used before this time, in seconds since 1970.
    pub unused_since: Option<i64>,
    /// At most so many bytes in all.
    pub max_size: Option<u64>,
}

/// Which entries must go for the limits to hold, and no more than those, in order of releases.
/// Where some must go for number or size, damaged ones go first, then those unused for longest. Entries of a newer kernelkit neither go nor
/// count.
pub fn select<'a>(entries: &'a [Summary], limits: &Prune) -> Vec<&'a Summary> {
    let mut entries: Vec<&Summary> = entries
        .iter()
        .filter(|entry| !matches!(entry.state, State::Newer { .. }))
        .collect();
    entries.sort_by_key(|entry| {
        let sound = entry.state == State::Complete;
        std::cmp::Reverse((sound, entry.last_used, entry.release.as_str()))
    });
    let mut kept = 0;
    let mut bytes = 0u64;
    let mut full = false;
    let mut gone: Vec<&Summary> = entries
        .into_iter()
        .filter(|entry| {
            let stale = limits
                .unused_since
                .is_some_and(|time| entry.last_used < time);
            full |= limits.keep.is_some_and(|keep| kept >= keep)
                || limits
                    .max_size
                    .is_some_and(|limit| bytes.saturating_add(entry.size) > limit);
            if stale || full {
                return true;
            }
            kept += 1;
            bytes += entry.size;
            false
        })
        .collect();
    gone.sort_by_key(|entry| entry.release.as_str());
    gone
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn summary(release: &str, size: u64, last_used: i64) -> Summary {
        Summary {
            release: release.to_owned(),
            state: State::Complete,
            schema: SCHEMA,
            digest: String::new(),
            size,
            created: 0,
            last_used,
        }
    }

    #[test]
    fn a_record_is_believed_only_where_it_is_its_own() {
        let entry = |schema: u32, release: &str, path: &str| {
            serde_json::json!({
                "schema": schema, "release": release, "created": 0, "manifest": {},
                "files": [{"path": path, "kind": "directory"}],
            })
            .to_string()
        };
        let rows = [
            (entry(1, "6.1-a", "boot"), "hit"),
            (entry(2, "6.1-a", "boot"), "hit"),
            (entry(3, "6.1-a", "boot"), "newer 3"),
            (r#"{"schema":7,"shape":"unknown"}"#.to_owned(), "newer 7"),
            (entry(1, "6.1-b", "boot"), "entry.json is that of 6.1-b"),
            (entry(1, "6.1-a", "../x"), "entry.json names the path ../x"),
            (entry(1, "6.1-a", "/etc"), "entry.json names the path /etc"),
            (entry(1, "6.1-a", ""), "entry.json names the path "),
            (
                "{".to_owned(),
                "entry.json cannot be understood (EOF while parsing an object at line 1 column 1)",
            ),
        ];
        for (json, expected) in rows {
            let said = match Entry::parse("6.1-a", json.as_bytes()) {
                Ok(_) => "hit".to_owned(),
                Err(Lookup::Newer { schema, .. }) => format!("newer {schema}"),
                Err(Lookup::Damaged { what, .. }) => what,
                Err(other) => panic!("{other:?}"),
            };
            assert_eq!(said, expected, "{json}");
        }
    }

    #[test]
    fn the_longest_unused_go_first() {
        let mut entries = [
            summary("a", 10, 3),
            summary("b", 10, 1),
            summary("c", 10, 2),
            summary("d", 10, 9),
            summary("e", 10, 0),
        ];
        entries[3].state = State::Damaged {
            what: String::new(),
        };
        entries[4].state = State::Newer { schema: 2 };
        let rows: [(Prune, &[&str]); 7] = [
            (Prune::default(), &[]),
            (limits(Some(4), None, None), &[]),
            (limits(Some(3), None, None), &["d"]),
            (limits(Some(1), None, None), &["b", "c", "d"]),
            (limits(None, Some(2), None), &["b"]),
            (limits(None, None, Some(29)), &["b", "d"]),
            (limits(Some(1), Some(3), Some(100)), &["b", "c", "d"]),
        ];
        for (limits, expected) in rows {
            let gone: Vec<_> = select(&entries, &limits)
                .into_iter()
                .map(|entry| entry.release.as_str())
                .collect();
            assert_eq!(gone, expected, "{limits:?}");
        }
    }

    fn limits(keep: Option<usize>, unused_since: Option<i64>, max_size: Option<u64>) -> Prune {
        Prune {
            keep,
            unused_since,
            max_size,
        }
    }

    proptest! {
        #[test]
        fn pruning_reaches_the_limits_and_stops_there(
            sizes in prop::collection::vec((0u64..100, 0i64..20), 0..12),
            keep in prop::option::of(0usize..12),
            unused_since in prop::option::of(0i64..20),
            max_size in prop::option::of(0u64..600),
        ) {
            let entries: Vec<_> = sizes
                .iter()
                .enumerate()
                .map(|(index, (size, used))| summary(&format!("{index:02}"), *size, *used))
                .collect();
            let limits = limits(keep, unused_since, max_size);
            let gone = select(&entries, &limits);
            let stay: Vec<_> = entries.iter().filter(|entry| !gone.contains(entry)).collect();
            let total: u64 = stay.iter().map(|entry| entry.size).sum();
            let holds = |count: usize, total: u64, oldest: Option<i64>| {
                keep.is_none_or(|keep| count <= keep)
                    && max_size.is_none_or(|limit| total <= limit)
                    && unused_since.is_none_or(|time| oldest.is_none_or(|used| used >= time))
            };
            let oldest = stay.iter().map(|entry| entry.last_used).min();
            prop_assert!(holds(stay.len(), total, oldest));
            // No entry that went was used after one that stayed, and the last to go had to.
            if let Some(last) = gone.iter().max_by_key(|entry| (entry.last_used, &entry.release)) {
                prop_assert!(oldest.is_none_or(|used| last.last_used <= used));
                prop_assert!(!holds(stay.len() + 1, total + last.size, Some(last.last_used)));
            }
        }
    }
}

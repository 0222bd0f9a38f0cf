//! What was seen of a tree's files at one moment, so that the next look needs to
//! read only what changed since.
//!
//! Pure: [`effect::source`](crate::effect::source) fills, keeps and compares snapshots.

use std::time::SystemTime;

use sha2::{Digest as _, Sha256 as Hasher};

use super::tree::{BlobId, Entry, Kind, tree_id};
use super::{Sha256, TreeId};

/// What the file system says of a file without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Regular, executable or link.
    pub kind: Kind,
    /// Bytes.
    pub size: u64,
    /// Time of the last change of content.
    pub modified: Time,
    /// Time of the last change of content or inode; zero where it is not kept.
    pub changed: Time,
    /// Device and inode in one number; zero where it is not kept.
    pub inode: u64,
}

impl Stamp {
    /// Whether two stamps agree in all that survives a copy: kind, size and time of
    /// modification, but not inode and time of inode change.
    pub fn same_content(&self, other: &Stamp) -> bool {
        (self.kind, self.size, self.modified) == (other.kind, other.size, other.modified)
    }

    /// Whether two stamps agree in all but the time of inode change, which goes on when a file gets or loses a name.
    pub fn same_but_for_names(&self, other: &Stamp) -> bool {
        self.same_content(other) && self.inode == other.inode
    }
}

/// Seconds since 1970-01-01 00:00:00 UTC, and nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Whole seconds.
    pub seconds: i64,
    /// The rest.
    pub nanoseconds: u32,
}

impl From<SystemTime> for Time {
    /// Times before 1970 become 1970.
    fn from(time: SystemTime) -> Self {
        let since = time
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Time {
            seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            nanoseconds: since.subsec_nanos(),
        }
    }
}

/// One file of a [`Directory`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    start: u32,
    end: u32,
    /// As it was seen.
    pub stamp: Stamp,
    /// Its content; `None` where the file does not belong to the tree (git ignores
    /// it) or has not been read yet.
    pub blob: Option<BlobId>,
    /// Whether an equal stamp means equal content. A file touched about when it was
    /// looked at can change once more without its times showing it.
    pub trusted: bool,
    /// Whether git does not list it, and it belongs to the tree because a build reads it.
    pub unlisted: bool,
    /// Whether a link that leads out of the tree leads to it: its content is that of another place.
    pub followed: bool,
}

/// The files of one directory; directories in it are listed on their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    /// Relative to the root, ending in `/`; empty for the root.
    pub path: Vec<u8>,
    names: Vec<u8>,
    /// Sorted by name, once [`Directory::sort`] was called.
    pub files: Vec<File>,
}

impl Directory {
    /// One without files.
    pub fn new(path: Vec<u8>) -> Self {
        Directory {
            path,
            ..Directory::default()
        }
    }

    /// Adds a file.
    pub fn push(&mut self, name: &[u8], stamp: Stamp, blob: Option<BlobId>) {
        let start = self.names.len() as u32;
        self.names.extend_from_slice(name);
        self.files.push(File {
            start,
            end: self.names.len() as u32,
            stamp,
            blob,
            trusted: true,
            unlisted: false,
            followed: false,
        });
    }

    /// A file's name.
    pub fn name(&self, file: &File) -> &[u8] {
        &self.names[file.start as usize..file.end as usize]
    }

    /// A file's path from the root.
    pub fn path_of(&self, file: &File) -> Vec<u8> {
        [&self.path, self.name(file)].concat()
    }

    /// Brings the files in order.
    pub fn sort(&mut self) {
        let names = &self.names;
        let name = |file: &File| &names[file.start as usize..file.end as usize];
        self.files.sort_unstable_by(|a, b| name(a).cmp(name(b)));
    }
}

/// Whether a file of this name is nothing to Kconfig, wherever but in `scripts/`.
fn is_compiled_or_read(name: &[u8]) -> bool {
    const EXTENSIONS: [&[u8]; 9] = [
        b"c", b"h", b"S", b"rs", b"dts", b"dtsi", b"dtso", b"rst", b"txt",
    ];
    let extension = name.rsplit(|byte| *byte == b'.').next();
    extension.is_some_and(|extension| extension != name && EXTENSIONS.contains(&extension))
}

/// All files of a tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Sorted by path.
    pub directories: Vec<Directory>,
    /// What decided which files belong to the tree, for comparison; zero where all do.
    pub selection: [u8; 32],
}

impl Snapshot {
    /// From files in any order.
    pub fn from_files<'a>(
        files: impl IntoIterator<Item = (&'a [u8], Stamp, Option<BlobId>)>,
    ) -> Self {
        let mut directories = std::collections::BTreeMap::<&[u8], Directory>::new();
        for (path, stamp, blob) in files {
            let split = path
                .iter()
                .rposition(|byte| *byte == b'/')
                .map_or(0, |at| at + 1);
            directories
                .entry(&path[..split])
                .or_insert_with(|| Directory::new(path[..split].to_vec()))
                .push(&path[split..], stamp, blob);
        }
        let mut directories: Vec<_> = directories.into_values().collect();
        directories.iter_mut().for_each(Directory::sort);
        Snapshot {
            directories,
            selection: [0; 32],
        }
    }

    /// Every file with its directory.
    pub fn files(&self) -> impl Iterator<Item = (&Directory, &File)> {
        self.directories
            .iter()
            .flat_map(|directory| directory.files.iter().map(move |file| (directory, file)))
    }

    /// The files that belong to the tree though git does not list them.
    pub fn unlisted(&self) -> impl Iterator<Item = Vec<u8>> {
        self.files()
            .filter(|(_, file)| file.unlisted && file.blob.is_some())
            .map(|(directory, file)| directory.path_of(file))
    }

    /// The file at a path.
    pub fn find(&self, path: &[u8]) -> Option<&File> {
        let split = path
            .iter()
            .rposition(|byte| *byte == b'/')
            .map_or(0, |at| at + 1);
        let (parent, name) = path.split_at(split);
        let at = self
            .directories
            .binary_search_by(|directory| directory.path[..].cmp(parent))
            .ok()?;
        let directory = &self.directories[at];
        let file = directory
            .files
            .binary_search_by(|file| directory.name(file).cmp(name))
            .ok()?;
        Some(&directory.files[file])
    }

    /// Takes out the files at the paths that `is_gone` names; most trees have few links, and few leave.
    pub fn remove(&mut self, is_gone: impl Fn(&[u8]) -> bool) {
        for directory in &mut self.directories {
            let (path, names) = (&directory.path, &directory.names);
            directory.files.retain(|file| {
                file.stamp.kind != Kind::Symlink
                    || !is_gone(&[path, &names[file.start as usize..file.end as usize]].concat())
            });
        }
    }

    /// Adds files that a link leads to. The directories are out of order afterwards.
    pub fn add_followed(&mut self, added: Directory) {
        let mut directory = match self
            .directories
            .iter()
            .position(|one| one.path == added.path)
        {
            Some(at) => self.directories.swap_remove(at),
            None => Directory::new(added.path.clone()),
        };
        for file in &added.files {
            directory.push(added.name(file), file.stamp, None);
            if let Some(last) = directory.files.last_mut() {
                last.followed = true;
            }
        }
        directory.sort();
        self.directories.push(directory);
    }

    /// The id of the tree of all files whose content is known.
    pub fn tree_id(&self) -> TreeId {
        self.tree_id_with(std::iter::empty())
    }

    /// The id with other files among them.
    pub fn tree_id_with<'a>(
        &self,
        others: impl Iterator<Item = (&'a [u8], Kind, BlobId)>,
    ) -> TreeId {
        let mut files: Vec<(Vec<u8>, Kind, BlobId)> = self
            .files()
            .filter_map(|(directory, file)| {
                Some((directory.path_of(file), file.stamp.kind, file.blob?))
            })
            .chain(others.map(|(path, kind, blob)| (path.to_vec(), kind, blob)))
            .collect();
        files.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        tree_id(files.iter().map(|(path, kind, blob)| Entry {
            path,
            kind: *kind,
            blob: *blob,
        }))
    }

    /// Names the files of the tree that a configuration can hang on: Kconfig files, scripts, everything
    /// but what is only compiled or read by people.
    pub fn config_inputs(&self) -> Sha256 {
        let mut hasher = Hasher::new();
        for (directory, file) in self.files() {
            let Some(blob) = file.blob else { continue };
            let name = directory.name(file);
            if !directory.path.starts_with(b"scripts/") && is_compiled_or_read(name) {
                continue;
            }
            hasher.update(&directory.path);
            hasher.update(name);
            // No name has a NUL in it, and every id has the same length.
            hasher.update([0, file.stamp.kind as u8]);
            hasher.update(blob.0);
        }
        Sha256::from_bytes(hasher.finalize().into())
    }

    /// Whether both hold the same paths, whatever the files' stamps are.
    pub fn same_paths(&self, other: &Snapshot) -> bool {
        self.directories.len() == other.directories.len()
            && self
                .directories
                .iter()
                .zip(&other.directories)
                .all(|(a, b)| {
                    a.path == b.path
                        && a.files.len() == b.files.len()
                        && a.files
                            .iter()
                            .zip(&b.files)
                            .all(|(x, y)| a.name(x) == b.name(y))
                })
    }

    /// Gives files the stamps that they had in `earlier`, where the content is the same and `same` says that the
    /// stamps differ in nothing that matters.
    pub fn forgive(&mut self, earlier: &Snapshot, same: impl Fn(&Stamp, &Stamp) -> bool) {
        for directory in &mut self.directories {
            let (path, names) = (&directory.path, &directory.names);
            for file in &mut directory.files {
                let name = &names[file.start as usize..file.end as usize];
                if let Some(before) = earlier.find(&[path, name].concat())
                    && before.blob == file.blob
                    && same(&before.stamp, &file.stamp)
                {
                    file.stamp = before.stamp;
                }
            }
        }
    }

    /// Takes the content over from `earlier` wherever a file is unchanged by `same`
    /// and was trusted; calls `changed` for the others. Both are in order.
    pub fn carry_over(&mut self, earlier: &Snapshot, same: impl Fn(&Stamp, &Stamp) -> bool) {
        let mut directories = earlier.directories.iter().peekable();
        for directory in &mut self.directories {
            while directories
                .next_if(|earlier| earlier.path < directory.path)
                .is_some()
            {}
            let Some(before) = directories.next_if(|earlier| earlier.path == directory.path) else {
                continue;
            };
            let mut files = before.files.iter().peekable();
            let names = &directory.names;
            for file in &mut directory.files {
                let name = &names[file.start as usize..file.end as usize];
                while files.next_if(|file| before.name(file) < name).is_some() {}
                if let Some(known) = files.next_if(|file| before.name(file) == name)
                    && known.trusted
                    && same(&known.stamp, &file.stamp)
                {
                    file.blob = known.blob;
                }
            }
        }
    }
}

const MAGIC: &[u8] = b"kernelkit snapshot 1\n";

impl Snapshot {
    /// As bytes for a cache, with a checksum at the end. `header` comes back from
    /// [`Snapshot::decode`].
    pub fn encode(&self, header: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(128 * self.files().count() + 4096);
        out.extend_from_slice(MAGIC);
        put_bytes(&mut out, header);
        out.extend_from_slice(&self.selection);
        put_u32(&mut out, self.directories.len());
        for directory in &self.directories {
            put_bytes(&mut out, &directory.path);
            put_u32(&mut out, directory.files.len());
            for file in &directory.files {
                put_bytes(&mut out, directory.name(file));
                let stamp = &file.stamp;
                out.push(stamp.kind as u8);
                let flags = [
                    file.trusted,
                    file.blob.is_some(),
                    file.unlisted,
                    file.followed,
                ];
                let bits = flags.iter().rev();
                out.push(bits.fold(0, |bits, flag| bits << 1 | u8::from(*flag)));
                out.extend_from_slice(&stamp.size.to_le_bytes());
                out.extend_from_slice(&stamp.inode.to_le_bytes());
                for time in [stamp.modified, stamp.changed] {
                    out.extend_from_slice(&time.seconds.to_le_bytes());
                    out.extend_from_slice(&time.nanoseconds.to_le_bytes());
                }
                out.extend_from_slice(&file.blob.unwrap_or(BlobId([0; 20])).0);
            }
        }
        let checksum = Hasher::digest(&out);
        out.extend_from_slice(&checksum);
        out
    }

    /// Header and snapshot; `None` where the bytes are not what [`Snapshot::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Option<(Vec<u8>, Self)> {
        let (body, checksum) = bytes.split_last_chunk::<32>()?;
        if Hasher::digest(body)[..] != checksum[..] {
            return None;
        }
        let mut input = body.strip_prefix(MAGIC)?;
        let header = take_bytes(&mut input)?.to_vec();
        let selection = take(&mut input)?;
        let count = take_u32(&mut input)?;
        let mut directories = Vec::with_capacity(count);
        for _ in 0..count {
            let mut directory = Directory::new(take_bytes(&mut input)?.to_vec());
            let files = take_u32(&mut input)?;
            directory.files.reserve(files);
            for _ in 0..files {
                let name = take_bytes(&mut input)?;
                let [kind, flags] = take(&mut input)?;
                let size = u64::from_le_bytes(take(&mut input)?);
                let inode = u64::from_le_bytes(take(&mut input)?);
                let stamp = Stamp {
                    kind: Kind::from_byte(kind)?,
                    size,
                    inode,
                    modified: take_time(&mut input)?,
                    changed: take_time(&mut input)?,
                };
                let blob = BlobId(take(&mut input)?);
                directory.push(name, stamp, (flags & 2 != 0).then_some(blob));
                let file = directory.files.last_mut()?;
                file.trusted = flags & 1 != 0;
                file.unlisted = flags & 4 != 0;
                file.followed = flags & 8 != 0;
            }
            directories.push(directory);
        }
        input.is_empty().then_some((
            header,
            Snapshot {
                directories,
                selection,
            },
        ))
    }
}

fn put_u32(out: &mut Vec<u8>, value: usize) {
    let value = u32::try_from(value).expect("names and counts are far below 4 GiB");
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u32(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn take<const N: usize>(input: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = input.split_first_chunk()?;
    *input = rest;
    Some(*head)
}

fn take_u32(input: &mut &[u8]) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(take(input)?)).ok()
}

fn take_time(input: &mut &[u8]) -> Option<Time> {
    Some(Time {
        seconds: i64::from_le_bytes(take(input)?),
        nanoseconds: u32::from_le_bytes(take(input)?),
    })
}

fn take_bytes<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = take_u32(input)?;
    let (head, rest) = input.split_at_checked(length)?;
    *input = rest;
    Some(head)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stamps() -> impl Strategy<Value = Stamp> {
        let time = || {
            (any::<i64>(), any::<u32>()).prop_map(|(seconds, nanoseconds)| Time {
                seconds,
                nanoseconds,
            })
        };
        (0..3_u8, any::<u64>(), time(), time(), any::<u64>()).prop_map(
            |(kind, size, modified, changed, inode)| Stamp {
                kind: Kind::from_byte(kind).expect("one of three"),
                size,
                modified,
                changed,
                inode,
            },
        )
    }

    fn snapshots() -> impl Strategy<Value = Snapshot> {
        let path = prop::collection::vec(prop::collection::vec(1..=255_u8, 1..4), 1..4)
            .prop_map(|parts| parts.join(&b'/'));
        let file = (stamps(), any::<Option<[u8; 20]>>());
        (
            prop::collection::btree_map(path, file, 0..20),
            any::<[u8; 32]>(),
        )
            .prop_map(|(files, selection)| {
                let mut snapshot = Snapshot::from_files(
                    files
                        .iter()
                        .map(|(path, (stamp, blob))| (&path[..], *stamp, blob.map(BlobId))),
                );
                snapshot.selection = selection;
                for directory in &mut snapshot.directories {
                    for file in &mut directory.files {
                        file.trusted = file.stamp.size % 2 == 0;
                    }
                }
                snapshot
            })
    }

    #[test]
    fn what_is_only_compiled_or_read_is_no_input_of_a_configuration() {
        let stamp = Stamp {
            kind: Kind::Regular,
            size: 1,
            modified: Time::default(),
            changed: Time::default(),
            inode: 0,
        };
        let inputs = |files: &[(&str, &[u8])]| {
            let files = files.iter().map(|(path, bytes)| {
                let blob = BlobId::of(bytes);
                (path.as_bytes(), stamp, Some(blob))
            });
            Snapshot::from_files(files).config_inputs()
        };
        let before = [
            ("Kconfig", &b"a"[..]),
            ("arch/x86/tools/check.sh", b"a"),
            ("init/main.c", b"a"),
            ("rust", b"a"),
            ("scripts/basic/fixdep.c", b"a"),
            ("scripts/min-tool-version.sh", b"a"),
        ];
        for (changed, (path, _)) in before.iter().enumerate() {
            let mut after = before;
            after[changed].1 = b"b";
            assert_eq!(
                inputs(&after) == inputs(&before),
                *path == "init/main.c",
                "{path}"
            );
            let mut fewer = before.to_vec();
            fewer.remove(changed);
            assert_eq!(
                inputs(&fewer) == inputs(&before),
                *path == "init/main.c",
                "{path}"
            );
        }
    }

    proptest! {
        #[test]
        fn decode_gives_back_what_was_encoded(snapshot in snapshots(), header: Vec<u8>) {
            let bytes = snapshot.encode(&header);
            let (read_header, read) = Snapshot::decode(&bytes).expect("just encoded");
            prop_assert_eq!(read_header, header);
            // Names may lie in another order in memory.
            prop_assert_eq!(read.encode(&[]), snapshot.encode(&[]));
            prop_assert!(read.same_paths(&snapshot));
            for (directory, file) in snapshot.files() {
                let found = read.find(&directory.path_of(file)).expect("same paths");
                prop_assert_eq!(
                    (found.stamp, found.blob, found.trusted),
                    (file.stamp, file.blob, file.trusted)
                );
            }
        }

        #[test]
        fn damaged_bytes_are_not_decoded(
            snapshot in snapshots(),
            at: prop::sample::Index,
            flip in 1..=255_u8,
        ) {
            let mut bytes = snapshot.encode(b"");
            let at = at.index(bytes.len());
            prop_assert!(Snapshot::decode(&bytes[..at]).is_none());
            bytes[at] ^= flip;
            prop_assert!(Snapshot::decode(&bytes).is_none());
        }

        #[test]
        fn content_carries_over_to_equal_and_trusted_files_only(
            mut earlier in snapshots(),
            changed: prop::sample::Index,
        ) {
            let mut now = earlier.clone();
            let count = earlier.files().count();
            prop_assume!(count > 0);
            let changed = changed.index(count);
            for (index, file) in now.directories.iter_mut().flat_map(|d| &mut d.files).enumerate() {
                file.blob = None;
                file.stamp.inode = file.stamp.inode.wrapping_add(u64::from(index == changed));
            }
            now.carry_over(&earlier, |a, b| a == b);
            let before: Vec<_> = earlier.directories.iter_mut().flat_map(|d| &d.files).collect();
            for (index, (_, file)) in now.files().enumerate() {
                let expected = before[index].blob.filter(|_| index != changed && before[index].trusted);
                prop_assert_eq!(file.blob, expected);
            }
        }
    }
}

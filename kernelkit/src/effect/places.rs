//! What a build relies on besides the content of the source's files: that paths lead to the same directories while
//! make runs, and that the programs of the toolchain are the same files.
//!
//! A directory that is exchanged for another and put back changes no file's stamp; the times of its inode and of
//! its parent's change. A mount changes none at all: the kernel tells of mounts while they happen.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::thread::JoinHandle;

use camino::{Utf8Path, Utf8PathBuf};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use serde::{Deserialize, Serialize};

use super::fs::{self, Context as _};
use crate::manifest::Dirs;
use crate::source::snapshot::Snapshot;
use crate::toolchain::Toolchain;

/// The places of a build that has not finished, beside the build directory.
const RECORD: &str = "places";

/// A look at the places of a build.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Places {
    /// Every program of the toolchain, every file that counts with it, and the links that lead to them.
    programs: BTreeMap<Utf8PathBuf, Option<Place>>,
    /// Every directory of the source and above it, and the links that lead there. Empty for a source that
    /// nobody edits.
    directories: BTreeMap<Utf8PathBuf, Place>,
}

/// Device, inode, the time of the inode's last change in seconds and nanoseconds, and how many names it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Place(u64, u64, i64, i64, u64);

impl Place {
    fn of(path: &Utf8Path) -> Option<Self> {
        let metadata = std::fs::symlink_metadata(path).ok()?;
        Some(Place(
            metadata.dev(),
            metadata.ino(),
            metadata.ctime(),
            metadata.ctime_nsec(),
            metadata.nlink(),
        ))
    }

    fn is_same_inode(&self, other: &Place) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }

    /// Whether nothing happened to a file but that it got another name, or lost one. `perf record` and
    /// `nix-store --optimise` give names to programs, and the time of the inode changes.
    fn is_same_file(&self, other: &Place) -> bool {
        self == other || self.is_same_inode(other) && self.4 != other.4
    }
}

fn is_same(one: &Option<Place>, other: &Option<Place>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.is_same_file(other),
        _ => one == other,
    }
}

/// A path, and each that its links lead to in turn.
fn ways(path: &Utf8Path) -> Vec<Utf8PathBuf> {
    // More links than this are an error to the kernel (path_resolution(7)).
    const LINKS: usize = 40;
    let next = |path: &Utf8PathBuf| {
        let target = path.read_link_utf8().ok()?;
        Some(path.parent()?.join(target))
    };
    std::iter::successors(Some(path.to_owned()), next)
        .take(LINKS)
        .collect()
}

/// What is not what it was.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Moved {
    /// A file of the toolchain.
    Program(Utf8PathBuf),
    /// A directory of the source, from its top; empty for the whole source.
    Directory(Utf8PathBuf),
}

impl Places {
    /// Looks. `source` has the files of a source that can change.
    pub(super) fn look(toolchain: &Toolchain, dirs: &Dirs, source: Option<&Snapshot>) -> Self {
        let programs = toolchain.tools.iter().flat_map(|tool| {
            let parts = tool.parts.iter().map(|part| &part.path);
            std::iter::once(&tool.path).chain(parts)
        });
        let mut directories = BTreeMap::new();
        if let Some(source) = source {
            let real = fs::real_path(&dirs.source);
            let mut add = |path: &Utf8Path| {
                if let Some(place) = Place::of(path) {
                    directories.insert(path.to_owned(), place);
                }
            };
            real.ancestors()
                .chain(dirs.source.ancestors())
                .for_each(&mut add);
            let mut below = BTreeSet::new();
            for directory in &source.directories {
                let path = String::from_utf8_lossy(&directory.path);
                let parents = Utf8Path::new(path.trim_end_matches('/')).ancestors();
                below.extend(
                    parents
                        .filter(|path| *path != "")
                        .map(|path| real.join(path)),
                );
            }
            below.iter().for_each(|path| add(path));
        }
        let programs = programs.flat_map(|path| ways(path));
        Places {
            programs: programs
                .map(|path| {
                    let place = Place::of(&path);
                    (path, place)
                })
                .collect(),
            directories,
        }
    }

    /// What moved between two looks: each program, and the topmost directories.
    pub(super) fn moved(&self, now: &Places, dirs: &Dirs) -> BTreeSet<Moved> {
        let mut moved = BTreeSet::new();
        for (path, place) in &self.programs {
            if now
                .programs
                .get(path)
                .is_some_and(|now| !is_same(place, now))
            {
                moved.insert(Moved::Program(path.clone()));
            }
        }
        let real = fs::real_path(&dirs.source);
        let has_changed = |path: &Utf8Path| {
            let (before, now) = (self.directories.get(path), now.directories.get(path));
            before.is_some() && now.is_some() && before != now
        };
        let mut last: Option<&Utf8Path> = None;
        for (path, before) in &self.directories {
            // A directory that is not there any more had files, and they tell.
            let Some(after) = now.directories.get(path) else {
                continue;
            };
            // A file that comes or goes changes its directory; one that is renamed changes its parent, too.
            let is_moved = !before.is_same_inode(after)
                || has_changed(path) && path.parent().is_some_and(has_changed);
            if !is_moved || last.is_some_and(|last| path.starts_with(last)) {
                continue;
            }
            last = Some(path);
            let inside = path.strip_prefix(&real).unwrap_or(Utf8Path::new(""));
            moved.insert(Moved::Directory(inside.to_owned()));
        }
        moved
    }

    /// Keeps them for the run after this one, should this one not finish.
    pub(super) fn write(&self, dirs: &Dirs) -> Result<(), fs::Error> {
        let bytes = serde_json::to_vec(self).expect("places have only string keys");
        fs::write_atomic(dirs.beside_build(RECORD), &bytes)
    }

    /// Those of a run that did not finish. What cannot be read is as if every program had moved.
    pub(super) fn read(dirs: &Dirs) -> Result<Option<Self>, fs::Error> {
        let Some(bytes) = fs::read_optional(dirs.beside_build(RECORD))? else {
            return Ok(None);
        };
        Ok(Some(serde_json::from_slice(&bytes).unwrap_or_else(|_| {
            let path = dirs.beside_build(RECORD);
            Places {
                programs: [(path, None)].into(),
                directories: BTreeMap::new(),
            }
        })))
    }

    /// Removes the record: the run finished.
    pub(super) fn forget(dirs: &Dirs) -> Result<(), fs::Error> {
        fs::remove_file(dirs.beside_build(RECORD))
    }

    /// Whether every program of these is the file it was.
    pub(super) fn same_programs(&self, now: &Places) -> bool {
        let same = |(path, place)| {
            now.programs
                .get(path)
                .is_some_and(|now| is_same(place, now))
        };
        self.programs.len() == now.programs.len() && self.programs.iter().all(same)
    }

    /// The paths whose mounts matter.
    fn watched(&self, dirs: &Dirs) -> Vec<Utf8PathBuf> {
        let programs = self.programs.keys().cloned();
        match self.directories.is_empty() {
            true => programs.collect(),
            false => programs.chain([fs::real_path(&dirs.source)]).collect(),
        }
    }
}

/// Notices what is mounted and unmounted until it is asked.
pub(super) struct Mounts {
    stop: OwnedFd,
    thread: Option<JoinHandle<BTreeSet<Utf8PathBuf>>>,
}

const MOUNTS: &str = "/proc/self/mountinfo";

impl Mounts {
    /// Begins. What comes and goes within the milliseconds that a thread needs to wake up is missed.
    pub(super) fn watch() -> Result<Self, fs::Error> {
        let table = File::open(MOUNTS).context("read", MOUNTS)?;
        let stop = eventfd(0, EventfdFlags::CLOEXEC).map_err(std::io::Error::from);
        let stop = stop.context("watch", MOUNTS)?;
        let stopped = stop.try_clone().context("watch", MOUNTS)?;
        let mut before = points(&fs::read_to_string(MOUNTS)?);
        let thread = std::thread::spawn(move || {
            let mut seen = BTreeSet::new();
            loop {
                let mut fds = [
                    PollFd::new(&table, PollFlags::PRI | PollFlags::ERR),
                    PollFd::new(&stopped, PollFlags::IN),
                ];
                let result = poll(&mut fds, None);
                let is_over = !fds[1].revents().is_empty();
                if let Ok(text) = fs::read_to_string(MOUNTS) {
                    let now = points(&text);
                    seen.extend(before.symmetric_difference(&now).map(|one| one.1.clone()));
                    before = now;
                }
                if is_over || result.is_err_and(|error| error != rustix::io::Errno::INTR) {
                    return seen;
                }
            }
        });
        let thread = Some(thread);
        Ok(Mounts { stop, thread })
    }

    /// Ends: where something was mounted or unmounted on the way to a place or below it.
    pub(super) fn finish(mut self, places: &Places, dirs: &Dirs) -> BTreeSet<Moved> {
        let seen = self.end();
        let real = fs::real_path(&dirs.source);
        let watched = places.watched(dirs);
        let concerned = watched.iter().flat_map(|path| {
            let points = seen.iter();
            points.filter_map(move |point| concerns(point, path).then_some((point, path)))
        });
        concerned
            .map(|(point, path)| match *path == real {
                true => {
                    let inside = point.strip_prefix(&real).unwrap_or(Utf8Path::new(""));
                    Moved::Directory(inside.to_owned())
                }
                false => Moved::Program(path.clone()),
            })
            .collect()
    }
}

impl Mounts {
    fn end(&mut self) -> BTreeSet<Utf8PathBuf> {
        let Some(thread) = self.thread.take() else {
            return BTreeSet::new();
        };
        // A counter that has room takes eight bytes.
        let _ = rustix::io::write(&self.stop, &1u64.to_ne_bytes());
        thread.join().unwrap_or_default()
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        self.end();
    }
}

fn concerns(point: &Utf8Path, path: &Utf8Path) -> bool {
    path.starts_with(point) || point.starts_with(path)
}

/// Id and place of each mount in a table (proc_pid_mountinfo(5)): fields 1 and 5, with `\040` for a space.
fn points(table: &str) -> BTreeSet<(u64, Utf8PathBuf)> {
    let line = |line: &str| {
        let mut fields = line.split(' ');
        let id = fields.next()?.parse().ok()?;
        let point = fields.nth(3)?;
        Some((id, unescape(point).into()))
    };
    table.lines().filter_map(line).collect()
}

fn unescape(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.as_bytes();
    while let [first, rest @ ..] = bytes {
        let octal = match bytes {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] => {
                Some((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'))
            }
            _ => None,
        };
        out.push(octal.unwrap_or(*first));
        bytes = if octal.is_some() { &bytes[4..] } else { rest };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir_all, rename, write};
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::source::Sha256;
    use crate::spec::Compiler;
    use crate::toolchain::{Role, Tool};

    #[test]
    fn a_mount_table_is_read_with_its_escapes() {
        let table = "23 28 0:21 / /proc rw shared:12 - proc proc rw\n\
            99 28 8:1 /a\\040b /mnt/a\\040b\\134c rw - ext4 /dev/sda rw\nno line\n";
        let expected = [(23, "/proc".into()), (99, "/mnt/a b\\c".into())];
        assert_eq!(points(table), expected.into());
    }

    #[test]
    fn a_mount_concerns_what_is_below_it_and_above() {
        let rows = [
            ("/home", "/home/u/linux", true),
            ("/home/u/linux/fs", "/home/u/linux", true),
            ("/home/u/linux", "/home/u/linux", true),
            ("/home/u/linux2", "/home/u/linux", false),
            ("/media/stick", "/home/u/linux", false),
        ];
        for (point, path, expected) in rows {
            assert_eq!(concerns(point.into(), path.into()), expected, "{point}");
        }
    }

    struct Tree {
        _guard: tempfile::TempDir,
        dirs: Dirs,
    }

    impl Tree {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let root = Utf8Path::from_path(directory.path()).unwrap();
            let root = root.canonicalize_utf8().unwrap();
            for place in ["linux/fs/ext4", "linux/mm", "other/ext4", "bin", "state"] {
                create_dir_all(root.join(place)).unwrap();
            }
            write(root.join("bin/gcc-12"), "").unwrap();
            symlink("gcc-12", root.join("bin/gcc")).unwrap();
            let dirs = Dirs::new(&root.join("linux"), &root.join("state"));
            Tree {
                _guard: directory,
                dirs,
            }
        }

        fn path(&self, path: &str) -> Utf8PathBuf {
            self.dirs.source.parent().unwrap().join(path)
        }

        fn look(&self) -> Places {
            let paths: [&[u8]; 3] = [b"fs/ext4/inode.c", b"mm/slab.c", b"Makefile"];
            let stamp = super::super::contents::tests::stamp();
            let snapshot = Snapshot::from_files(paths.map(|path| (path, stamp, None)));
            let toolchain = Toolchain {
                arch: "x86_64".parse().unwrap(),
                compiler: Compiler::Gcc,
                prefix: String::new(),
                suffix: String::new(),
                cc_version_text: String::new(),
                tools: vec![Tool {
                    role: Role::Cc,
                    program: "gcc".to_owned(),
                    path: self.path("bin/gcc"),
                    version: String::new(),
                    sha256: Sha256::of(b""),
                    parts: Vec::new(),
                    arguments: Vec::new(),
                }],
            };
            Places::look(&toolchain, &self.dirs, Some(&snapshot))
        }

        /// What moves where `work` is done between two looks.
        fn moved(&self, work: impl FnOnce(&Self)) -> Vec<Moved> {
            let before = self.look();
            // Times have the grain of the clock's tick.
            std::thread::sleep(std::time::Duration::from_millis(20));
            work(self);
            before.moved(&self.look(), &self.dirs).into_iter().collect()
        }
    }

    #[test]
    fn a_directory_that_was_away_and_is_back_has_moved_and_one_with_a_new_file_has_not() {
        let tree = Tree::new();
        let there_and_back = |tree: &Tree, one: &str, other: &str| {
            let (one, other) = (tree.path(one), tree.path(other));
            let away = one.with_extension("away");
            for (from, to) in [(&one, &away), (&other, &one), (&one, &other), (&away, &one)] {
                rename(from, to).unwrap();
            }
        };
        let directory = |path: &str| vec![Moved::Directory(path.into())];
        assert_eq!(tree.moved(|_| {}), []);
        assert_eq!(
            tree.moved(|tree| there_and_back(tree, "linux/fs/ext4", "other/ext4")),
            directory("fs/ext4")
        );
        assert_eq!(
            tree.moved(|tree| there_and_back(tree, "linux", "other")),
            directory("")
        );
        assert_eq!(
            tree.moved(|tree| write(tree.path("linux/fs/ext4/.swp"), "").unwrap()),
            []
        );
        assert_eq!(
            tree.moved(|tree| write(tree.path("linux/mm/x"), "").unwrap()),
            []
        );
    }

    #[test]
    fn a_program_that_was_away_and_is_back_has_moved() {
        let tree = Tree::new();
        // The link that leads to it, and the file.
        for name in ["bin/gcc", "bin/gcc-12"] {
            let path = tree.path(name);
            let moved = tree.moved(|tree| {
                rename(&path, tree.path("bin/kept")).unwrap();
                rename(tree.path("bin/kept"), &path).unwrap();
            });
            assert_eq!(moved, [Moved::Program(path)]);
        }
        let more = tree.moved(|tree| {
            std::fs::hard_link(tree.path("bin/gcc-12"), tree.path("bin/perf")).unwrap();
        });
        assert_eq!(more, []);
    }

    #[test]
    fn a_record_comes_back_and_a_damaged_one_is_of_no_programs() {
        let tree = Tree::new();
        assert_eq!(Places::read(&tree.dirs).unwrap(), None);
        let places = tree.look();
        places.write(&tree.dirs).unwrap();
        assert_eq!(Places::read(&tree.dirs).unwrap().as_ref(), Some(&places));
        write(tree.path("state/places"), "{").unwrap();
        let damaged = Places::read(&tree.dirs).unwrap().unwrap();
        assert!(!damaged.same_programs(&places));
        Places::forget(&tree.dirs).unwrap();
        assert_eq!(Places::read(&tree.dirs).unwrap(), None);
    }
}

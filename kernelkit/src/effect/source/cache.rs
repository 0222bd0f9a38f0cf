//! Unpacked trees that builds share, who may write them, and who reads them.
//!
//! ```text
//! <cache>/tree/<name>/            the tree: linux-6.12.117-e849faf31ca3; nobody writes to it once it is there
//! <cache>/tree/<name>.files       its files: what the file system said of each, and its content
//! <cache>/tree/<name>.directories when each directory was last written to
//! <cache>/tree/<name>.lock        held while a tree is put there
//! <cache>/tree/<key>.json         which tree a source is, written last: without it there is none
//! <cache>/tree/<key>.lock         held while the source is unpacked
//! <cache>/tree/.tmp-<key>/        a tree in the making
//! <cache>/tree/.old-<name>-<n>/   a tree that another was put in the place of, until its last reader is done
//! ```
//!
//! A tree is looked over each time it is used: were a file added, removed or replaced by renaming (as editors do),
//! the time of its directory would tell. Then, and before every build, each file is looked at, and those are read
//! that the file system says anything new of. A tree whose files have the content that its id names is as it was
//! made, whatever their times are; any other is unpacked again.
//!
//! It is unpacked beside, and exchanged with the damaged one in one step (renameat2(2), `RENAME_EXCHANGE`): the path
//! stays the same, so that what other directories compiled from it stays valid, and it leads to a whole tree at every
//! moment. Who reads from a tree for longer than a moment shares a lock on its directory itself, which follows it
//! through the exchange; the damaged one is removed when nobody holds it any more.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{
    AtFlags, CWD, FlockOperation, Mode, OFlags, RenameFlags, flock, openat, renameat_with, statat,
};
use serde::{Deserialize, Serialize};

use super::{Error, Progress, kernel, scan};
use crate::effect::fs::{self, Context as _};
use crate::effect::{environment, exec, lock, record};
use crate::source::TreeId;
use crate::source::snapshot::{Directory, Snapshot, Stamp};
use crate::version::KernelVersion;

/// Bump it when a tree made by an older kernelkit must not be used any more.
const FORMAT: u32 = 2;

/// How long to wait before a lock is asked for again.
const PAUSE: Duration = Duration::from_millis(50);

/// What `<key>.json` says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    /// Of the tree's directory.
    name: String,
    pub(super) id: TreeId,
    pub(super) version: KernelVersion,
    pub(super) localversion: String,
}

/// A tree in the cache.
pub(super) struct Cached {
    pub(super) dir: Utf8PathBuf,
    pub(super) record: Record,
}

/// What is known of a tree before it is asked for.
enum Found {
    Whole(Cached),
    /// Not there.
    Nothing,
    /// There, and not as it was unpacked.
    Damaged {
        dir: Utf8PathBuf,
        what: String,
    },
}

/// The tree named `key`, made by `fill` in an empty directory where there is none yet.
pub(super) fn tree(
    cache: &Utf8Path,
    key: &str,
    progress: &mut dyn FnMut(Progress<'_>),
    fill: impl FnOnce(&Utf8Path, &mut dyn FnMut(Progress<'_>)) -> Result<Snapshot, Error>,
) -> Result<Cached, Error> {
    let trees = cache.join("tree");
    if let Found::Whole(cached) = find(&trees, key)? {
        return Ok(cached);
    }
    fs::create_dir_all(&trees)?;
    let _lock = Lock::take(&trees.join(format!("{key}.lock")), progress)?;
    // Somebody else may have made it while we waited.
    match find(&trees, key)? {
        Found::Whole(cached) => return Ok(cached),
        Found::Nothing => {}
        Found::Damaged { dir, what } => progress(Progress::Note(&format!(
            "{dir} is not as it was unpacked ({what}): it is unpacked again"
        ))),
    }
    let earlier = trees.join(key);
    if earlier.is_dir() {
        progress(Progress::Note(&format!(
            "{earlier} is of an earlier version and not used any more: remove it to have its space back"
        )));
    }
    remove_abandoned(&trees)?;
    let temporary = Temporary(trees.join(format!(".tmp-{key}")));
    fs::remove_dir_all(&temporary.0)?;
    fs::create_dir_all(&temporary.0)?;
    let made = fill(&temporary.0, progress)?;
    let (version, localversion) = kernel::identify(&temporary.0)?;
    // With what the file system says of each file now.
    let files = scan::rescan(&temporary.0, &made)?;
    let id = files.tree_id();
    let name = name(&trees, &version, id);
    let cached = Cached {
        dir: trees.join(&name),
        record: Record {
            name,
            id,
            version,
            localversion,
        },
    };
    put(&trees, &cached.record, &temporary.0, &files, progress)?;
    record::write(&trees.join(format!("{key}.json")), FORMAT, &cached.record)?;
    Ok(cached)
}

/// What a tree's directory is called: as people call the kernel, with the first digits of its id, or all of them
/// where another tree has these.
fn name(trees: &Utf8Path, version: &KernelVersion, id: TreeId) -> String {
    let plain = |letter: char| match letter {
        'A'..='Z' | 'a'..='z' | '0'..='9' | '.' | '_' | '+' | '-' => letter,
        _ => '-',
    };
    let kernel: String = version.tree_name().chars().map(plain).take(100).collect();
    let id_text = id.to_string();
    let name = format!("{kernel}-{}", &id_text[..12]);
    let other = header(trees, &name).is_some_and(|other| other != id.as_bytes());
    match other {
        true => format!("{kernel}-{id_text}"),
        false => name,
    }
}

/// Moves a tree that was made at `new` to where it belongs, and notes what its files are.
fn put(
    trees: &Utf8Path,
    record: &Record,
    new: &Utf8Path,
    files: &Snapshot,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(), Error> {
    let Record { name, id, .. } = record;
    let _lock = Lock::take(&trees.join(format!("{name}.lock")), progress)?;
    let dir = trees.join(name);
    if dir.symlink_metadata().is_ok() {
        // Other sources of the same files: an archive packed in two ways, a repository.
        if let Ok(Look::Whole(_)) = look(trees, name, *id, By::Stamps) {
            return Ok(());
        }
        fs::remove_file(trees.join(format!("{name}.directories")))?;
        exchange(new, &dir, progress, |new, dir| {
            renameat_with(CWD, new, CWD, dir, RenameFlags::EXCHANGE)
        })?;
        // What was at `dir` is at `new`: out of the way of who makes the next tree there.
        fs::rename(new, free_name(trees, name))?;
    } else {
        fs::rename(new, &dir)?;
    }
    // The tree is what it was made as until the machine is started again: whether what was written has reached the
    // disk is known afterwards.
    let directories = directories(&dir, files)?;
    write_lists(trees, name, *id, files, &directories, &environment::boot())?;
    remove_replaced(trees);
    Ok(())
}

/// Puts `new` in the place of `dir` and the other way round. Where the file system cannot do that in one step, it
/// waits until nobody reads from `dir`.
fn exchange(
    new: &Utf8Path,
    dir: &Utf8Path,
    progress: &mut dyn FnMut(Progress<'_>),
    at_once: impl Fn(&std::path::Path, &std::path::Path) -> rustix::io::Result<()>,
) -> Result<(), Error> {
    use rustix::io::Errno;
    match at_once(new.as_std_path(), dir.as_std_path()) {
        Ok(()) => return Ok(()),
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
        Err(error) => Err(std::io::Error::from(error)).context("rename to", dir)?,
    }
    let mut told = false;
    let _alone = loop {
        match lock::own_directory(dir) {
            lock::Owned::Alone(alone) => break Some(alone),
            lock::Owned::Unknown => break None,
            lock::Owned::InUse => {}
        }
        if !told {
            progress(Progress::Waiting { lock: dir });
            told = true;
        }
        if exec::interrupted() {
            return Err(Error::Interrupted);
        }
        std::thread::sleep(PAUSE);
    };
    let aside = Utf8PathBuf::from(format!("{new}.aside"));
    fs::rename(dir, &aside)?;
    fs::rename(new, dir)?;
    Ok(fs::rename(aside, new)?)
}

/// The tree named `key`, where it is complete and as it was made.
fn find(trees: &Utf8Path, key: &str) -> Result<Found, Error> {
    let path = trees.join(format!("{key}.json"));
    let Some(record) = record::read::<Record>(&path, FORMAT) else {
        return Ok(Found::Nothing);
    };
    let dir = trees.join(&record.name);
    if at_a_glance(trees, &record.name, &dir) {
        return Ok(Found::Whole(Cached { dir, record }));
    }
    Ok(match look(trees, &record.name, record.id, By::Stamps)? {
        Look::Whole(_) => Found::Whole(Cached { dir, record }),
        Look::Damaged { what } => Found::Damaged { dir, what },
    })
}

/// Whether no file was added, removed or replaced, as the times of the directories have it.
fn at_a_glance(trees: &Utf8Path, name: &str, dir: &Utf8Path) -> bool {
    // The list of files is read when it is needed; that it is there costs nothing to know.
    let is_listed = trees.join(format!("{name}.files")).is_file() && fs::is_directory(dir);
    let directories = fs::read_optional(trees.join(format!("{name}.directories")))
        .ok()
        .flatten();
    is_listed
        && directories
            .and_then(|bytes| Snapshot::decode(&bytes))
            .is_some_and(|(since, directories)| is_kept(&since) && as_recorded(dir, &directories))
}

/// What a look at every file of a tree says.
pub(super) enum Look {
    /// As it was made, with what the file system says of each file now.
    Whole(Snapshot),
    /// Not as it was made.
    Damaged {
        /// What is wrong, as part of a sentence.
        what: String,
    },
}

/// Which files are believed without reading them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// Those of which the file system says what it said before.
    Stamps,
    /// None.
    Content,
}

/// Looks at every file of the tree `name`, which is to have the id `id`, and reads those that may have changed. What
/// it saw is kept for the next look.
fn look(trees: &Utf8Path, name: &str, id: TreeId, by: By) -> Result<Look, Error> {
    let dir = trees.join(name);
    let damaged = |what: String| Ok(Look::Damaged { what });
    if !fs::is_directory(&dir) {
        return damaged("it is gone".to_owned());
    }
    let list = fs::read_optional(trees.join(format!("{name}.files")))
        .ok()
        .flatten()
        .and_then(|bytes| Snapshot::decode(&bytes))
        .filter(|(header, _)| header == id.as_bytes())
        .map(|(_, files)| files);
    let since = fs::read_optional(trees.join(format!("{name}.directories")))
        .ok()
        .flatten()
        .and_then(|bytes| Snapshot::decode(&bytes))
        .map(|(since, _)| since);
    let by = match since.is_none_or(|since| is_kept(&since)) {
        true => by,
        // A loss of power leaves files that have their sizes and not their content.
        false => By::Content,
    };
    let walk = || match scan::walk(&dir) {
        Err(scan::Error::Interrupted) => Err(Error::Interrupted),
        Err(error) => Ok(Err(error)),
        Ok(files) => Ok(Ok(files)),
    };
    // Times of directories before their files: what is written in between shows the next time.
    let before = match &list {
        Some(list) => list.clone(),
        None => match walk()? {
            Ok(files) => files,
            Err(_) => return damaged("it cannot be read".to_owned()),
        },
    };
    let now = SystemTime::now();
    let Ok(directories) = directories(&dir, &before) else {
        return damaged("a directory is missing".to_owned());
    };
    let mut files = match walk()? {
        Ok(files) => files,
        Err(_) => return damaged("it cannot be read".to_owned()),
    };
    if by == By::Stamps
        && let Some(list) = &list
    {
        files.carry_over(list, |before, now| before == now);
    }
    if let Some(what) = scan::complete(&dir, &mut files, now)? {
        return damaged(what);
    }
    if files.tree_id() != id {
        return damaged(match &list {
            Some(list) => difference(list, &files),
            None => "its files have another content".to_owned(),
        });
    }
    let is_new = list.as_ref() != Some(&files) || !at_a_glance(trees, name, &dir);
    if is_new && before.same_paths(&files) {
        // Without these the next look takes longer, and that is all.
        let _ = write_lists(trees, name, id, &files, &directories, b"");
    }
    Ok(Look::Whole(files))
}

/// The first file that is not what it was, as part of a sentence.
fn difference(made: &Snapshot, now: &Snapshot) -> String {
    let content = |snapshot: &Snapshot, path: &[u8]| {
        let file = snapshot.find(path)?;
        Some((file.stamp.kind, file.blob))
    };
    let paths = |snapshot: &Snapshot| -> Vec<Vec<u8>> {
        snapshot
            .files()
            .map(|(directory, file)| directory.path_of(file))
            .collect()
    };
    let shown = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
    for path in paths(made) {
        match content(now, &path) {
            None => return format!("{} is gone", shown(&path)),
            there if there != content(made, &path) => {
                return format!("{} was changed", shown(&path));
            }
            Some(_) => {}
        }
    }
    match paths(now).iter().find(|path| made.find(path).is_none()) {
        Some(path) => format!("{} was added", shown(path)),
        None => "its list of files is another one's".to_owned(),
    }
}

/// The files of a cached tree, as they were when they were last looked at; looked at now where that is not known.
pub(super) fn files(dir: &Utf8Path, id: TreeId) -> Result<Snapshot, Error> {
    let path = Utf8PathBuf::from(format!("{dir}.files"));
    let list = fs::read_optional(path).ok().flatten();
    let list = list.and_then(|bytes| Snapshot::decode(&bytes));
    match list.filter(|(header, _)| header == id.as_bytes()) {
        Some((_, files)) => Ok(files),
        None => whole(dir, id),
    }
}

/// Whether a directory is a tree of this cache.
pub(super) fn has(cache: &Utf8Path, dir: &Utf8Path) -> bool {
    let trees = cache.join("tree");
    dir.parent()
        .is_some_and(|parent| parent == trees || parent == fs::real_path(&trees))
}

/// Looks at every file of a cached tree. Where one is not as it was made that is an error, and the tree is made again
/// when it is wanted next.
pub(super) fn whole(dir: &Utf8Path, id: TreeId) -> Result<Snapshot, Error> {
    let trees = dir.parent().unwrap_or(Utf8Path::new("/"));
    let name = dir.file_name().unwrap_or_default();
    match look(trees, name, id, By::Stamps)? {
        Look::Whole(files) => Ok(files),
        Look::Damaged { what } => {
            fs::remove_file(trees.join(format!("{name}.directories")))?;
            Err(Error::Changed {
                dir: dir.to_owned(),
                what,
            })
        }
    }
}

/// A tree that is read from: it stays until this is dropped, and what becomes of it is noticed.
#[derive(Debug)]
pub(super) struct Held {
    dir: Utf8PathBuf,
    id: TreeId,
    /// `None` where the file system has no locks.
    lock: Option<lock::Lock>,
    /// As they were when it was taken.
    files: Snapshot,
    /// How many names a file of the tree had then: patched trees share files, and take and give up names.
    links: Option<u64>,
}

impl Held {
    /// Takes a tree, after a look at all its files.
    pub(super) fn take(dir: &Utf8Path, id: TreeId) -> Result<Self, Error> {
        let lock = match lock::share_directory(dir) {
            Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => None,
            lock => lock?,
        };
        let files = whole(dir, id)?;
        Ok(Held {
            dir: dir.to_owned(),
            id,
            links: links(dir),
            lock,
            files,
        })
    }

    /// Its files, each with the stamp that it had when the tree was taken unless somebody has written to it since.
    pub(super) fn files(&self) -> Result<Snapshot, Error> {
        let damaged = |what: String| Error::Changed {
            dir: self.dir.clone(),
            what,
        };
        // The directory that was taken, wherever it is by now.
        let taken = match &self.lock {
            Some(lock) => Utf8PathBuf::from(format!("/proc/self/fd/{}", lock.as_raw_fd())),
            None => self.dir.clone(),
        };
        let now = SystemTime::now();
        let mut files = match scan::walk(&taken) {
            Err(scan::Error::Interrupted) => return Err(Error::Interrupted),
            Err(_) => return Err(damaged("it cannot be read".to_owned())),
            Ok(files) => files,
        };
        files.carry_over(&self.files, |before, now| before == now);
        if let Some(what) = scan::complete(&taken, &mut files, now)? {
            return Err(damaged(what));
        }
        if links(&taken) != self.links {
            files.forgive(&self.files, Stamp::same_but_for_names);
        }
        let is_there = |dir: &Utf8Path| std::fs::metadata(dir).ok().map(|it| (it.dev(), it.ino()));
        if is_there(&taken) != is_there(&self.dir) {
            // Another tree was put there, maybe more than one, and read from since: no file counts as the one it was.
            return whole(&self.dir, self.id);
        }
        Ok(files)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.lock = None;
        if let Some(trees) = self.dir.parent() {
            remove_replaced(trees);
        }
    }
}

/// How many names a file has that every kernel tree has.
fn links(dir: &Utf8Path) -> Option<u64> {
    std::fs::metadata(dir.join("Makefile"))
        .ok()
        .map(|it| it.nlink())
}

/// The id that the list of files of `name` is of.
fn header(trees: &Utf8Path, name: &str) -> Option<Vec<u8>> {
    let bytes = fs::read_optional(trees.join(format!("{name}.files"))).ok()??;
    Some(Snapshot::decode(&bytes)?.0)
}

/// Writes what the files and directories of a tree are; `since` is when the machine was started that wrote them, and
/// empty for those that are known to be on the disk.
fn write_lists(
    trees: &Utf8Path,
    name: &str,
    id: TreeId,
    files: &Snapshot,
    directories: &Snapshot,
    since: &[u8],
) -> Result<(), Error> {
    let path = |kind: &str| trees.join(format!("{name}.{kind}"));
    fs::write_atomic(path("files"), &files.encode(id.as_bytes()))?;
    Ok(fs::write_atomic(
        path("directories"),
        &directories.encode(since),
    )?)
}

/// Whether nothing can have been lost since then that was written.
fn is_kept(since: &[u8]) -> bool {
    since.is_empty() || since == environment::boot()
}

/// The directories of a tree with their times.
fn directories(root: &Utf8Path, files: &Snapshot) -> Result<Snapshot, Error> {
    let mut paths = std::collections::BTreeSet::from([&b"."[..]]);
    for directory in &files.directories {
        for (end, _) in directory
            .path
            .iter()
            .enumerate()
            .filter(|(_, b)| **b == b'/')
        {
            paths.insert(&directory.path[..end]);
        }
    }
    let root_fd = scan::open_root(root)?;
    let mut list = Directory::new(Vec::new());
    for path in paths {
        let stat = statat(&root_fd, path, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(std::io::Error::from)
            .context("read", root.join(String::from_utf8_lossy(path).as_ref()))?;
        list.push(path, scan::stamp_of(&stat), None);
    }
    Ok(Snapshot {
        directories: vec![list],
        selection: [0; 32],
    })
}

fn as_recorded(root: &Utf8Path, directories: &Snapshot) -> bool {
    let Ok(root_fd) = scan::open_root(root) else {
        return false;
    };
    directories.files().all(|(list, directory)| {
        statat(&root_fd, list.name(directory), AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| scan::stamp_of(&stat).modified == directory.stamp.modified)
    })
}

/// Removes what killed processes left behind: temporaries whose lock nobody holds.
fn remove_abandoned(trees: &Utf8Path) -> Result<(), Error> {
    for entry in trees.read_dir_utf8().context("read", trees)? {
        let entry = entry.context("read", trees)?;
        let Some(key) = entry.file_name().strip_prefix(".tmp-") else {
            continue;
        };
        let lock = trees.join(format!("{key}.lock"));
        if lock.exists() && Lock::attempt(&lock)?.is_some() {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Removes trees that others were put in the place of, once nobody reads from them.
fn remove_replaced(trees: &Utf8Path) {
    let Ok(names) = fs::file_names(trees) else {
        return;
    };
    for name in names.iter().filter(|name| name.starts_with(".old-")) {
        let path = trees.join(name);
        // Whoever comes next tries again.
        let _ = match fs::is_directory(&path) {
            false => fs::remove_file(&path),
            true => match lock::own_directory(&path) {
                lock::Owned::Alone(_alone) => fs::remove_dir_all(&path),
                lock::Owned::InUse | lock::Owned::Unknown => Ok(()),
            },
        };
    }
}

/// A name for a tree that another is put in the place of.
fn free_name(trees: &Utf8Path, name: &str) -> Utf8PathBuf {
    let mut number = 1;
    loop {
        let path = trees.join(format!(".old-{name}-{number}"));
        if path.symlink_metadata().is_err() {
            return path;
        }
        number += 1;
    }
}

/// Removed again, unless it was renamed before.
struct Temporary(Utf8PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // The error that brought us here says more than one about the clean-up would.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A lock file, held until it is dropped. The file stays: were it removed, two
/// processes could hold locks on two files of one name.
pub(super) struct Lock(#[expect(dead_code, reason = "closing it releases the lock")] File);

impl Lock {
    /// Waits for whoever holds it, and says so.
    pub(super) fn take(
        path: &Utf8Path,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Lock, Error> {
        let mut told = false;
        loop {
            if let Some(lock) = Self::attempt(path)? {
                return Ok(lock);
            }
            if !told {
                progress(Progress::Waiting { lock: path });
                told = true;
            }
            if exec::interrupted() {
                return Err(Error::Interrupted);
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn attempt(path: &Utf8Path) -> Result<Option<Lock>, Error> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o644);
        let file = openat(rustix::fs::CWD, path.as_std_path(), flags, mode)
            .map(File::from)
            .map_err(std::io::Error::from)
            .context("lock", path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Lock(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(std::io::Error::from(error)).context("lock", path)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::tree::BlobId;

    fn temporary() -> (tempfile::TempDir, Utf8PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(directory.path().to_owned()).unwrap();
        (directory, path)
    }

    #[test]
    fn without_an_exchange_in_one_step_who_reads_is_waited_for() {
        let (_guard, root) = temporary();
        let (new, dir) = (root.join("new"), root.join("dir"));
        fs::write_atomic(new.join("a"), b"new").unwrap();
        fs::write_atomic(dir.join("a"), b"old").unwrap();
        let mut reader = lock::share_directory(&dir).unwrap();
        assert!(reader.is_some());
        let mut waited = 0;
        let mut progress = |progress: Progress<'_>| {
            assert_eq!(progress, Progress::Waiting { lock: &dir });
            assert_eq!(fs::read(dir.join("a")).unwrap(), b"old");
            waited += 1;
            reader = None;
        };
        exchange(&new, &dir, &mut progress, |_, _| {
            Err(rustix::io::Errno::INVAL)
        })
        .unwrap();
        assert_eq!(waited, 1);
        assert_eq!(fs::read(dir.join("a")).unwrap(), b"new");
        assert_eq!(fs::read(new.join("a")).unwrap(), b"old");
    }

    #[test]
    fn a_tree_that_was_exchanged_stays_until_its_last_reader_is_done() {
        let (_guard, root) = temporary();
        let old = root.join(".old-linux-1");
        fs::write_atomic(old.join("a"), b"old").unwrap();
        fs::write_atomic(root.join("linux/a"), b"of others").unwrap();
        let readers = [lock::share_directory(&old), lock::share_directory(&old)];
        for reader in readers {
            remove_replaced(&root);
            assert!(old.join("a").exists());
            drop(reader.unwrap());
        }
        remove_replaced(&root);
        assert_eq!(fs::file_names(&root).unwrap(), ["linux"]);
    }

    #[test]
    fn what_was_written_before_a_restart_is_read_once() {
        let (_guard, trees) = temporary();
        let dir = trees.join("linux");
        // The size and times are there; the content was not on the disk when the power went.
        fs::write_atomic(dir.join("kernel/a.c"), b"\0\0\0").unwrap();
        let with = |content: &[u8]| {
            let mut files = scan::walk(&dir).unwrap();
            for directory in &mut files.directories {
                for file in &mut directory.files {
                    file.blob = Some(BlobId::of(content));
                }
            }
            files
        };
        let check = |content: &[u8], since: &[u8], whole: bool| {
            let files = with(content);
            let id = files.tree_id();
            let directories = directories(&dir, &files).unwrap();
            write_lists(&trees, "linux", id, &files, &directories, since).unwrap();
            let is_believed = at_a_glance(&trees, "linux", &dir);
            assert_eq!(is_believed, is_kept(since));
            let look = look(&trees, "linux", id, By::Stamps).unwrap();
            assert_eq!(matches!(look, Look::Whole(_)), whole);
            if whole {
                assert!(at_a_glance(&trees, "linux", &dir), "it is read once");
            }
        };
        check(b"abc", b"another start", false);
        check(b"\0\0\0", b"another start", true);
        check(b"abc", &environment::boot(), true);
        check(b"abc", b"", true);
    }

    #[test]
    fn trees_whose_ids_begin_alike_have_two_names() {
        let (_guard, trees) = temporary();
        let version: KernelVersion = "6.12.117".parse().unwrap();
        let id: TreeId = "e849faf31ca3000000000000000000000000000a".parse().unwrap();
        assert_eq!(name(&trees, &version, id), "linux-6.12.117-e849faf31ca3");
        let other: TreeId = "e849faf31ca3000000000000000000000000000b".parse().unwrap();
        let nothing = Snapshot::default();
        write_lists(
            &trees,
            "linux-6.12.117-e849faf31ca3",
            other,
            &nothing,
            &nothing,
            b"",
        )
        .unwrap();
        assert_eq!(name(&trees, &version, id), format!("linux-6.12.117-{id}"));
        assert_eq!(name(&trees, &version, other), "linux-6.12.117-e849faf31ca3");
    }
}

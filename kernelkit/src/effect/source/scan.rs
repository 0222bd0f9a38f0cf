//! Looks at every file of a directory and names its content, reading only what
//! changed since the last look.
//!
//! A file counts as unchanged where kind, size, both times (nanoseconds), device and inode
//! are the same *and* it had been left alone for [`SETTLED`] when it was read: within the
//! clock's granularity a file can change again without its times showing it
//! (git's "racily clean" problem). The directory itself is never written to.

use std::collections::HashSet;
use std::io::{self, Read as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, RawDir, Timespec, Timestamps, openat, readlinkat, statat,
    utimensat,
};

use sha2::{Digest as _, Sha256};

use super::links::{self, Inner, Link};
use crate::effect::{environment, exec, fs};
use crate::source::TreeId;
use crate::source::snapshot::{Directory, File, Snapshot, Stamp, Time};
use crate::source::tree::{BlobHasher, BlobId, Kind};
use crate::source::unlisted::Unlisted;

/// How long a file must have been left alone to be trusted by its stamp: more than
/// the two seconds of the coarsest file systems.
const SETTLED: Duration = Duration::from_secs(3);

/// Why a directory could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory cannot be read.
    #[error(transparent)]
    Fs(#[from] fs::Error),
    /// Somebody writes to the tree at this moment.
    #[error("{path} changes while it is read")]
    Changing {
        /// The file.
        path: Utf8PathBuf,
    },
    /// What a link leads to holds the tree itself.
    #[error("{path} is a link to {target}, which holds the tree itself")]
    Around {
        /// The link.
        path: Utf8PathBuf,
        /// Where it leads.
        target: Utf8PathBuf,
    },
    /// The user stopped it.
    #[error("interrupted")]
    Interrupted,
}

/// Which files of a directory make up the tree.
pub(super) trait Selection {
    /// Names whatever decides, so that an equal name means an equal answer for the
    /// same set of paths. `walked` has the stamps of every file.
    fn name(&self, walked: &Snapshot) -> Result<[u8; 32], super::Error>;
    /// Whether every file counts, whatever the tree holds.
    fn takes_all(&self) -> bool {
        false
    }
    /// The paths that count; `None` means all.
    fn select(&self) -> Result<Option<HashSet<Vec<u8>>>, super::Error>;
    /// Which of these paths count.
    fn select_among(&self, paths: &[&[u8]]) -> Result<HashSet<Vec<u8>>, super::Error>;
}

/// Every file counts.
pub(super) struct Everything;

impl Selection for Everything {
    fn takes_all(&self) -> bool {
        true
    }
    fn name(&self, _: &Snapshot) -> Result<[u8; 32], super::Error> {
        Ok([0; 32])
    }
    fn select(&self) -> Result<Option<HashSet<Vec<u8>>>, super::Error> {
        Ok(None)
    }
    fn select_among(&self, paths: &[&[u8]]) -> Result<HashSet<Vec<u8>>, super::Error> {
        Ok(paths.iter().map(|path| path.to_vec()).collect())
    }
}

/// What a look at a directory found.
pub(super) struct Scan {
    /// The id of the files that count.
    pub(super) id: TreeId,
    /// All files.
    pub(super) snapshot: Snapshot,
    /// The paths that are no part of the tree.
    pub(super) own: Vec<Vec<u8>>,
    /// The links whose targets' content counts, as it is elsewhere.
    pub(super) links: Vec<Link>,
}

/// Names the content of `root` less the `excluded` paths in it, which are those of a workspace, and cargo's
/// target directories, as long as there are such paths; keeping what it saw in `cache`. `now` is
/// no later than this moment. `progress` gets files read and files to read.
pub(super) fn scan(
    root: &Utf8Path,
    excluded: &[Vec<u8>],
    cache: &Utf8Path,
    selection: &dyn Selection,
    now: SystemTime,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Scan, super::Error> {
    let (walked, earlier) = std::thread::scope(|scope| {
        let earlier = scope.spawn(|| load(cache, root));
        let walked = walk_without(root, excluded);
        let earlier = earlier.join().expect("decoding a snapshot does not panic");
        (walked, earlier)
    });
    let mut snapshot = walked?;
    let mut own = excluded.to_vec();
    // Whatever chose the place of one, today or another day.
    if !own.is_empty() {
        let targets = target_directories(root, &snapshot);
        let is_in_one = |path: &[u8]| targets.iter().any(|target| path.starts_with(target));
        snapshot.directories.retain(|one| !is_in_one(&one.path));
        own.extend(targets);
    }
    let links = links::follow(root, &mut snapshot, selection)?;
    snapshot.selection = selection.name(&snapshot)?;
    // Where every file counts, those that links lead to do, too.
    let inner = match selection.takes_all() {
        true => Vec::new(),
        false => links::within(root, &snapshot),
    };
    if !links.is_empty() || !inner.is_empty() {
        let mut hasher = Sha256::new();
        hasher.update(snapshot.selection);
        hasher.update(format!("{links:?}{inner:?}"));
        snapshot.selection = hasher.finalize().into();
    }
    let earlier = earlier.unwrap_or_else(|| Earlier {
        id: None,
        snapshot: Snapshot::default(),
    });
    if let Some(id) = earlier.id
        && earlier.snapshot.selection == snapshot.selection
        && unchanged(&earlier.snapshot, &snapshot)
    {
        return Ok(Scan {
            id,
            snapshot: earlier.snapshot,
            own,
            links,
        });
    }

    let chosen = chosen_files(&mut snapshot, &earlier.snapshot, selection, &links, &inner)?;
    snapshot.carry_over(&earlier.snapshot, |before, now| before == now);
    let root_fd = open_root(root)?;
    read_unknown(root, &root_fd, &mut snapshot, &chosen, progress)?;
    let settled = settled_before(now);
    for directory in &mut snapshot.directories {
        for file in &mut directory.files {
            // What a link leads to can be exchanged with no stamp in the tree telling.
            file.trusted =
                file.stamp.changed < settled && file.stamp.modified < settled && !file.followed;
        }
    }
    let id = snapshot.tree_id();
    fs::write_atomic(cache, &snapshot.encode(&header(root, id)))?;
    Ok(Scan {
        id,
        snapshot,
        own,
        links,
    })
}

/// The directories that cargo has marked as its own, with the slash.
fn target_directories(root: &Utf8Path, walked: &Snapshot) -> Vec<Vec<u8>> {
    let tag = fs::CACHE_TAG.as_bytes();
    let directories = walked.directories.iter();
    directories
        .filter(|directory| !directory.path.is_empty())
        .filter(|directory| {
            let found = directory
                .files
                .binary_search_by(|file| directory.name(file).cmp(tag));
            found.is_ok_and(|at| {
                let path = [&directory.path[..], tag].concat();
                directory.files[at].stamp.kind != Kind::Symlink
                    && fs::is_cargos_cache_tag(&shown(root, &path))
            })
        })
        .map(|directory| directory.path.clone())
        .collect()
}

/// The files of `root` as [`scan`] last saw them.
pub(super) fn seen(root: &Utf8Path, cache: &Utf8Path) -> Option<Snapshot> {
    Some(load(cache, root)?.snapshot)
}

/// All files of a tree that nobody else writes to, most of them as in `before`: equal by
/// what survives a copy.
pub(super) fn rescan(root: &Utf8Path, before: &Snapshot) -> Result<Snapshot, super::Error> {
    let mut snapshot = walk(root)?;
    snapshot.carry_over(before, Stamp::same_content);
    let chosen = vec![true; snapshot.files().count()];
    read_unknown(
        root,
        &open_root(root)?,
        &mut snapshot,
        &chosen,
        &mut |_, _| {},
    )?;
    Ok(snapshot)
}

/// Reads the files whose content is not known yet. What is wrong with one, as part of a sentence, where it cannot be
/// read. `now` is no later than the moment when the stamps were taken.
pub(super) fn complete(
    root: &Utf8Path,
    snapshot: &mut Snapshot,
    now: SystemTime,
) -> Result<Option<String>, super::Error> {
    let settled = settled_before(now);
    for file in snapshot
        .directories
        .iter_mut()
        .flat_map(|one| &mut one.files)
    {
        let is_settled = file.stamp.changed < settled && file.stamp.modified < settled;
        file.trusted = file.blob.is_some() || is_settled;
    }
    let chosen = vec![true; snapshot.files().count()];
    let read = open_root(root)
        .and_then(|root_fd| read_unknown(root, &root_fd, snapshot, &chosen, &mut |_, _| {}));
    let inside = |path: &Utf8Path| path.strip_prefix(root).unwrap_or(path).to_owned();
    match read {
        Ok(()) => Ok(None),
        Err(Error::Interrupted) => Err(super::Error::Interrupted),
        Err(Error::Changing { path }) => Ok(Some(format!("{} was changed", inside(&path)))),
        Err(Error::Fs(error)) => Ok(Some(format!("{} cannot be read", inside(&error.path)))),
        Err(error @ Error::Around { .. }) => Err(error.into()),
    }
}

struct Earlier {
    id: Option<TreeId>,
    snapshot: Snapshot,
}

fn header(root: &Utf8Path, id: TreeId) -> Vec<u8> {
    [id.as_bytes(), root.as_str().as_bytes()].concat()
}

/// A cache that cannot be read, is damaged or is about another directory is no cache.
fn load(cache: &Utf8Path, root: &Utf8Path) -> Option<Earlier> {
    let bytes = fs::read_optional(cache).ok()??;
    let (header, snapshot) = Snapshot::decode(&bytes)?;
    let (id, path) = header.split_first_chunk::<20>()?;
    (path == root.as_str().as_bytes()).then(|| Earlier {
        id: Some(TreeId::from_bytes(*id)),
        snapshot,
    })
}

fn unchanged(earlier: &Snapshot, now: &Snapshot) -> bool {
    earlier.directories.len() == now.directories.len()
        && earlier
            .directories
            .iter()
            .zip(&now.directories)
            .all(|(before, now)| {
                before.path == now.path
                    && before.files.len() == now.files.len()
                    && before.files.iter().zip(&now.files).all(|(a, b)| {
                        a.trusted && a.stamp == b.stamp && before.name(a) == now.name(b)
                    })
            })
}

/// For each file in order, whether it counts. Marks those that git does not list.
fn chosen_files(
    now: &mut Snapshot,
    earlier: &Snapshot,
    selection: &dyn Selection,
    links: &[Link],
    inner: &[Inner],
) -> Result<Vec<bool>, super::Error> {
    if earlier.selection == now.selection && earlier.same_paths(now) {
        let files = now.directories.iter_mut().flat_map(|one| &mut one.files);
        return Ok(files
            .zip(earlier.files())
            .map(|(file, (_, before))| {
                file.unlisted = before.unlisted;
                before.blob.is_some()
            })
            .collect());
    }
    let Some(listed) = selection.select()? else {
        return Ok(vec![true; now.files().count()]);
    };
    let unlisted = Unlisted::new(now, &listed);
    let is_listed = |file: &File, path: &Vec<u8>| {
        listed.contains(path)
            || (file.followed && links.iter().any(|link| link.listed && link.leads_to(path)))
    };
    // Whether it is listed, and whether it counts.
    let (listed, mut chosen): (Vec<bool>, Vec<bool>) = now
        .files()
        .map(|(directory, file)| {
            let path = directory.path_of(file);
            let listed = is_listed(file, &path);
            (listed, listed || unlisted.counts(&path))
        })
        .unzip();
    links::choose(&mut chosen, now, &unlisted, inner);
    let files = now.directories.iter_mut().flat_map(|one| &mut one.files);
    for ((file, listed), counts) in files.zip(listed).zip(&chosen) {
        file.unlisted = *counts && !listed;
    }
    Ok(chosen)
}

/// Reads every file that counts and whose content is not known.
fn read_unknown(
    root: &Utf8Path,
    root_fd: &OwnedFd,
    snapshot: &mut Snapshot,
    chosen: &[bool],
    progress: &mut dyn FnMut(usize, usize),
) -> Result<(), Error> {
    let mut counts = chosen.iter();
    let mut todo = Vec::new();
    for (at, directory) in snapshot.directories.iter_mut().enumerate() {
        for index in 0..directory.files.len() {
            let file = &mut directory.files[index];
            if !*counts.next().expect("one answer a file") {
                file.blob = None;
            } else if file.blob.is_none() {
                todo.push((at, index));
            }
        }
    }
    if todo.is_empty() {
        return Ok(());
    }
    progress(0, todo.len());
    let next = AtomicUsize::new(0);
    let directories = &snapshot.directories;
    let work = || -> Result<Vec<(usize, BlobId)>, Error> {
        let mut done = Vec::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let job = next.fetch_add(1, Ordering::Relaxed);
            let Some((at, index)) = todo.get(job) else {
                return Ok(done);
            };
            if exec::interrupted() {
                return Err(Error::Interrupted);
            }
            let directory = &directories[*at];
            let file = &directory.files[*index];
            let path = directory.path_of(file);
            let blob = read_blob(root_fd, &path, file, &mut buffer)
                .map_err(|source| unreadable(root, &path, source))?
                .ok_or_else(|| Error::Changing {
                    path: shown(root, &path),
                });
            match blob {
                Ok(blob) => done.push((job, blob)),
                Err(error) => {
                    // The others need not go on.
                    next.store(todo.len(), Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
    };
    let results = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..environment::cores().min(todo.len()))
            .map(|_| scope.spawn(work))
            .collect();
        while threads.iter().any(|thread| !thread.is_finished()) {
            progress(next.load(Ordering::Relaxed).min(todo.len()), todo.len());
            std::thread::park_timeout(Duration::from_millis(20));
        }
        threads
            .into_iter()
            .map(|thread| thread.join().expect("reading a file does not panic"))
            .collect::<Result<Vec<_>, _>>()
    })?;
    for (job, blob) in results.into_iter().flatten() {
        let (at, index) = todo[job];
        snapshot.directories[at].files[index].blob = Some(blob);
    }
    Ok(())
}

/// `None` where the file's length is not what the stamp says.
fn read_blob(
    root: &OwnedFd,
    path: &[u8],
    file: &File,
    buffer: &mut [u8],
) -> io::Result<Option<BlobId>> {
    let stamp = &file.stamp;
    if stamp.kind == Kind::Symlink {
        let target = readlinkat(root, path, Vec::new())?;
        return Ok(Some(BlobId::of(target.as_bytes())));
    }
    let mut flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    flags.set(OFlags::NOFOLLOW, !file.followed);
    let mut file = std::fs::File::from(openat(root, path, flags, Mode::empty())?);
    let mut hasher = BlobHasher::new(stamp.size);
    let mut length = 0;
    loop {
        match file.read(buffer)? {
            0 => return Ok((length == stamp.size).then(|| hasher.finish())),
            count => {
                hasher.update(&buffer[..count]);
                length += count as u64;
            }
        }
    }
}

pub(super) fn open_root(root: &Utf8Path) -> Result<OwnedFd, Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, root.as_std_path(), flags, Mode::empty())
        .map_err(|source| unreadable(root, b"", source.into()))
}

fn shown(root: &Utf8Path, path: &[u8]) -> Utf8PathBuf {
    root.join(String::from_utf8_lossy(path).as_ref())
}

fn unreadable(root: &Utf8Path, path: &[u8], source: io::Error) -> Error {
    Error::Fs(fs::Error {
        action: "read",
        path: shown(root, path),
        source,
    })
}

/// Whether a file with this stamp had been left alone for long enough at `now`.
pub(super) fn is_settled(stamp: &Stamp, now: SystemTime) -> bool {
    let settled = settled_before(now);
    stamp.changed < settled && stamp.modified < settled
}

fn settled_before(now: SystemTime) -> Time {
    let since = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .saturating_sub(SETTLED);
    Time {
        seconds: since.as_secs().cast_signed(),
        nanoseconds: since.subsec_nanos(),
    }
}

struct Queue {
    /// Directories to look at.
    waiting: Vec<Vec<u8>>,
    /// Directories some thread is looking at.
    busy: usize,
    error: Option<Error>,
}

/// Every regular file and symbolic link below `root`, in order, with its stamp.
/// Whatever is named `.git` is left out, as are sockets, pipes and devices, which
/// git does not know either.
pub(super) fn walk(root: &Utf8Path) -> Result<Snapshot, Error> {
    walk_without(root, &[])
}

/// The same less the `excluded` paths and what is below them.
pub(super) fn walk_without(root: &Utf8Path, excluded: &[Vec<u8>]) -> Result<Snapshot, Error> {
    let root_fd = open_root(root)?;
    let queue = Mutex::new(Queue {
        waiting: vec![Vec::new()],
        busy: 0,
        error: None,
    });
    let wake = Condvar::new();
    let work = || {
        let mut found = Vec::new();
        let mut buffer = vec![MaybeUninit::uninit(); 1 << 15];
        let lock = || {
            queue
                .lock()
                .expect("no thread panics while it holds the queue")
        };
        let mut guard = lock();
        loop {
            if guard.error.is_some() || (guard.waiting.is_empty() && guard.busy == 0) {
                wake.notify_all();
                return found;
            }
            let Some(path) = guard.waiting.pop() else {
                guard = wake.wait(guard).expect("as above");
                continue;
            };
            guard.busy += 1;
            drop(guard);
            let result = list(&root_fd, path, excluded, &mut buffer);
            guard = lock();
            guard.busy -= 1;
            match result {
                Ok((directory, below)) => {
                    if below.len() > 1 {
                        wake.notify_all();
                    }
                    guard.waiting.extend(below);
                    found.push(directory);
                }
                Err((path, source)) => {
                    guard.error = Some(unreadable(root, &path, source));
                }
            }
        }
    };
    let mut directories = std::thread::scope(|scope| {
        let threads: Vec<_> = (1..environment::cores())
            .map(|_| scope.spawn(work))
            .collect();
        let mut directories = work();
        for thread in threads {
            directories.extend(thread.join().expect("listing a directory does not panic"));
        }
        directories
    });
    if let Some(error) = queue.into_inner().expect("as above").error {
        return Err(error);
    }
    directories.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(Snapshot {
        directories,
        selection: [0; 32],
    })
}

type Failure = (Vec<u8>, io::Error);

/// The files of one directory and the directories in it.
fn list(
    root: &OwnedFd,
    path: Vec<u8>,
    excluded: &[Vec<u8>],
    buffer: &mut [MaybeUninit<u8>],
) -> Result<(Directory, Vec<Vec<u8>>), Failure> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = if path.is_empty() {
        openat(root, c".", flags, Mode::empty())
    } else {
        openat(root, &path[..], flags, Mode::empty())
    };
    let fd = match open {
        Ok(fd) => fd,
        Err(source) => return Err((path, source.into())),
    };
    let mut directory = Directory::new(path);
    let mut below = Vec::new();
    let mut entries = RawDir::new(&fd, buffer);
    while let Some(entry) = entries.next() {
        let fail = |directory: &Directory, name: &[u8], source: rustix::io::Errno| {
            ([&directory.path, name].concat(), source.into())
        };
        let entry = entry.map_err(|source| fail(&directory, b"", source))?;
        let name = entry.file_name().to_bytes();
        let is_excluded = |path: &Vec<u8>| path.strip_prefix(&directory.path[..]) == Some(name);
        if matches!(name, b"." | b".." | b".git") || excluded.iter().any(is_excluded) {
            continue;
        }
        let mut file_type = entry.file_type();
        let stat = if file_type == FileType::Directory {
            None
        } else {
            let stat = statat(&fd, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|source| fail(&directory, name, source))?;
            file_type = FileType::from_raw_mode(stat.st_mode);
            Some(stat)
        };
        match (file_type, stat) {
            (FileType::Directory, _) => below.push([&directory.path, name, b"/"].concat()),
            (FileType::RegularFile | FileType::Symlink, Some(stat)) => {
                directory.push(name, stamp_of(&stat), None);
            }
            _ => {}
        }
    }
    directory.sort();
    Ok((directory, below))
}

pub(super) fn stamp_of(stat: &rustix::fs::Stat) -> Stamp {
    Stamp {
        kind: if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
            Kind::Symlink
        } else {
            Kind::of_permissions(stat.st_mode)
        },
        size: stat.st_size.cast_unsigned(),
        modified: Time {
            seconds: stat.st_mtime,
            nanoseconds: stat.st_mtime_nsec as u32,
        },
        changed: Time {
            seconds: stat.st_ctime,
            nanoseconds: stat.st_ctime_nsec as u32,
        },
        // Inodes are numbered by each file system, from one; the numbers of devices are short.
        inode: stat.st_ino ^ stat.st_dev.rotate_right(16),
    }
}

/// Sets both times of a file, not following a link.
pub(super) fn set_time(directory: impl AsFd, path: &[u8], time: Time) -> io::Result<()> {
    let path = if path.is_empty() { b"." } else { path };
    utimensat(directory, path, &times(time), AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(())
}

/// A time as both times of a file.
pub(super) fn times(time: Time) -> Timestamps {
    let time = Timespec {
        tv_sec: time.seconds,
        tv_nsec: time.nanoseconds.into(),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

/// The stamp of the file at `path`; `None` where there is none.
pub(super) fn stamp(path: &Utf8Path) -> Result<Option<Stamp>, fs::Error> {
    match statat(CWD, path.as_std_path(), AtFlags::empty()) {
        Ok(stat) => Ok(Some(stamp_of(&stat))),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(None),
        Err(source) => Err(fs::Error {
            action: "read",
            path: path.to_owned(),
            source: source.into(),
        }),
    }
}

//! Unpacked trees that builds share, and who may write them.
//!
//! ```text
//! <cache>/tree/<key>/            the tree; nobody writes to it once it is there
//! <cache>/tree/<key>.json        what it is, written last: without it there is no tree
//! <cache>/tree/<key>.files       its snapshot
//! <cache>/tree/<key>.directories when each directory was last written to
//! <cache>/tree/<key>.lock        held while the tree is made
//! <cache>/tree/.tmp-<key>/       a tree in the making
//! ```
//!
//! A tree is looked over each time it is used: were a file added, removed or replaced by
//! renaming (as editors do), the time of its directory would tell, and the tree is made again.

use std::fs::File;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, flock, openat, statat};
use serde::{Deserialize, Serialize};

use super::{Error, Progress, kernel, scan};
use crate::effect::exec;
use crate::effect::fs::{self, Context as _};
use crate::source::TreeId;
use crate::source::snapshot::{Directory, Snapshot};
use crate::version::KernelVersion;

/// Bump it when a tree made by an older kernelkit must not be used any more.
const FORMAT: u32 = 1;

/// What `<key>.json` says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    format: u32,
    pub(super) id: TreeId,
    pub(super) version: KernelVersion,
    pub(super) localversion: String,
}

/// A tree in the cache.
pub(super) struct Cached {
    pub(super) dir: Utf8PathBuf,
    pub(super) record: Record,
}

/// The tree named `key`, made by `fill` in an empty directory where there is none yet.
pub(super) fn tree(
    cache: &Utf8Path,
    key: &str,
    progress: &mut dyn FnMut(Progress<'_>),
    fill: impl FnOnce(&Utf8Path, &mut dyn FnMut(Progress<'_>)) -> Result<Snapshot, Error>,
) -> Result<Cached, Error> {
    if let Some(cached) = find(cache, key)? {
        return Ok(cached);
    }
    let trees = cache.join("tree");
    fs::create_dir_all(&trees)?;
    let _lock = Lock::take(&trees.join(format!("{key}.lock")), progress)?;
    // Somebody else may have made it while we waited.
    if let Some(cached) = find(cache, key)? {
        return Ok(cached);
    }
    let dir = trees.join(key);
    fs::remove_file(trees.join(format!("{key}.json")))?;
    if dir.exists() {
        progress(Progress::Note(&format!(
            "{dir} was changed or is incomplete: it is made again"
        )));
        fs::remove_dir_all(&dir)?;
    }
    remove_abandoned(&trees)?;
    let temporary = Temporary(trees.join(format!(".tmp-{key}")));
    fs::remove_dir_all(&temporary.0)?;
    fs::create_dir_all(&temporary.0)?;
    let snapshot = fill(&temporary.0, progress)?;
    let (version, localversion) = kernel::identify(&temporary.0)?;
    let record = Record {
        format: FORMAT,
        id: snapshot.tree_id(),
        version,
        localversion,
    };
    let directories = directories(&temporary.0, &snapshot)?;
    fs::write_atomic(trees.join(format!("{key}.files")), &snapshot.encode(b""))?;
    fs::write_atomic(
        trees.join(format!("{key}.directories")),
        &directories.encode(b""),
    )?;
    fs::rename(&temporary.0, &dir)?;
    let json = serde_json::to_vec_pretty(&record).expect("a record is plain data");
    fs::write_atomic(trees.join(format!("{key}.json")), &json)?;
    Ok(Cached { dir, record })
}

/// The tree named `key`, where it is complete and as it was made.
pub(super) fn find(cache: &Utf8Path, key: &str) -> Result<Option<Cached>, Error> {
    let trees = cache.join("tree");
    let dir = trees.join(key);
    let Some(json) = fs::read_optional(trees.join(format!("{key}.json")))? else {
        return Ok(None);
    };
    let record = serde_json::from_slice::<Record>(&json)
        .ok()
        .filter(|record| record.format == FORMAT);
    let Some(record) = record else {
        return Ok(None);
    };
    let directories = fs::read_optional(trees.join(format!("{key}.directories")))?
        .and_then(|bytes| Snapshot::decode(&bytes));
    let intact = directories.is_some_and(|(_, directories)| as_recorded(&dir, &directories));
    Ok(intact.then_some(Cached { dir, record }))
}

/// Has the tree made again the next time it is asked for.
pub(super) fn forget(cache: &Utf8Path, key: &str) -> Result<(), Error> {
    Ok(fs::remove_file(
        cache.join("tree").join(format!("{key}.json")),
    )?)
}

/// The files of a cached tree, as they were made.
pub(super) fn files(cache: &Utf8Path, key: &str) -> Result<Snapshot, Error> {
    let path = cache.join("tree").join(format!("{key}.files"));
    let (_, files) = Snapshot::decode(&fs::read(&path)?).ok_or(Error::Cache { path })?;
    Ok(files)
}

/// Looks at every file of a cached tree. One that is not as it was made is an error,
/// and the tree is forgotten, to be made again when it is wanted next.
pub(super) fn verify(cache: &Utf8Path, dir: &Utf8Path) -> Result<(), Error> {
    let trees = cache.join("tree");
    let Some(key) = dir.strip_prefix(&trees).ok().map(Utf8Path::as_str) else {
        return Ok(());
    };
    let made = files(cache, key)?;
    let now = scan::walk(dir)?;
    let intact = |path: &[u8], snapshot: &Snapshot| snapshot.find(path).map(|file| file.stamp);
    let differs = made
        .files()
        .chain(now.files())
        .map(|(directory, file)| directory.path_of(file))
        .find(|path| match (intact(path, &made), intact(path, &now)) {
            (Some(made), Some(now)) => !made.same_content(&now),
            _ => true,
        });
    let Some(path) = differs else {
        return Ok(());
    };
    fs::remove_file(trees.join(format!("{key}.json")))?;
    Err(Error::Changed {
        path: dir.join(String::from_utf8_lossy(&path).as_ref()),
    })
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
            std::thread::sleep(Duration::from_millis(50));
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

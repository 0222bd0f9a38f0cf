//! One writer at a time: advisory locks that name their holder.
//!
//! The lock's descriptor is inherited by the processes that are started while it is held.
//! So when a build is killed with `kill -9` and its `make` lives on for a moment, the lock
//! is free only once that `make` has ended too: two builds never share a tree.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use camino::Utf8Path;
use rustix::fs::{FlockOperation, flock};
use rustix::io::{FdFlags, fcntl_setfd};

use super::fs::{self, Context as _, Error};

/// How long to wait before trying again. A blocking `flock` would not notice Ctrl-C: signal
/// handlers restart it.
const PAUSE: Duration = Duration::from_millis(50);

/// A held lock; dropping it frees it.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Takes the lock at `path`, waiting where somebody else has it; `waiting` is then called
/// once with the holder's own words. `purpose` is what others will be told of us.
///
/// # Errors
/// Of kind [`Interrupted`](std::io::ErrorKind::Interrupted) where the user stops the waiting.
pub fn acquire(
    path: &Utf8Path,
    purpose: &str,
    waiting: &mut dyn FnMut(&str),
) -> Result<Lock, Error> {
    let mut told = false;
    loop {
        if let Some(lock) = try_acquire(path, purpose)? {
            return Ok(lock);
        }
        if !told {
            waiting(&holder(path));
            told = true;
        }
        if super::exec::interrupted() {
            return Err(ErrorKind::Interrupted.into()).context("lock", path);
        }
        std::thread::sleep(PAUSE);
    }
}

/// Takes the lock at `path` if it is free.
pub fn try_acquire(path: &Utf8Path, purpose: &str) -> Result<Option<Lock>, Error> {
    loop {
        let file = open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(errno) => return Err(errno.into()).context("lock", path),
        }
        // Whoever had it may have removed it together with what it guards.
        if is_at(&file, path) {
            return claim(file, purpose).context("lock", path).map(Some);
        }
    }
}

fn is_at(file: &File, path: &Utf8Path) -> bool {
    let id = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(held), Ok(there)) => id(held) == id(there),
        _ => false,
    }
}

fn open(path: &Utf8Path) -> Result<File, Error> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .context("open", path)
}

fn claim(mut file: File, purpose: &str) -> std::io::Result<Lock> {
    file.set_len(0)?;
    file.rewind()?;
    write!(file, "process {}, {purpose}", std::process::id())?;
    fcntl_setfd(&file, FdFlags::empty())?;
    Ok(Lock { _file: file })
}

fn holder(path: &Utf8Path) -> String {
    match std::fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "another process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_names_its_holder_and_is_free_again_after() {
        let directory = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(directory.path())
            .unwrap()
            .join("a/lock");
        let held = acquire(&path, "cargo kernel build tiny", &mut |_| {
            panic!("nobody holds it")
        })
        .unwrap();
        assert!(try_acquire(&path, "second").unwrap().is_none());
        assert!(holder(&path).ends_with("cargo kernel build tiny"));
        drop(held);
        assert!(try_acquire(&path, "second").unwrap().is_some());
    }

    #[test]
    fn a_lock_that_was_removed_while_it_was_held_is_no_lock() {
        let directory = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(directory.path()).unwrap().join("lock");
        let removed = open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let _held = acquire(&path, "first", &mut |_| panic!("nobody holds it")).unwrap();
        assert!(!is_at(&removed, &path));
        assert!(try_acquire(&path, "second").unwrap().is_none());
    }
}

//! One writer at a time: advisory locks that name their holder.
//!
//! The lock's descriptor is inherited by the processes that are started while it is held.
//! So when a build is killed with `kill -9` and its `make` lives on for a moment, the lock
//! is free only once that `make` has ended too: two builds never share a tree.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};

use camino::Utf8Path;
use rustix::fs::{FlockOperation, flock};
use rustix::io::{FdFlags, fcntl_setfd};

use super::fs::{self, Context as _, Error};

/// A held lock; dropping it frees it.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Takes the lock at `path`, waiting where somebody else has it; `waiting` is then called
/// once with the holder's own words. `purpose` is what others will be told of us.
pub fn acquire(
    path: &Utf8Path,
    purpose: &str,
    waiting: &mut dyn FnMut(&str),
) -> Result<Lock, Error> {
    let mut file = open(path)?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        waiting(&holder(&mut file));
        loop {
            match flock(&file, FlockOperation::LockExclusive) {
                Ok(()) => break,
                Err(rustix::io::Errno::INTR) if !super::exec::interrupted() => {}
                Err(errno) => return Err(errno.into()).context("lock", path),
            }
        }
    }
    claim(file, purpose).context("lock", path)
}

/// Takes the lock at `path` if it is free.
pub fn try_acquire(path: &Utf8Path, purpose: &str) -> Result<Option<Lock>, Error> {
    let file = open(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => claim(file, purpose).context("lock", path).map(Some),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(errno.into()).context("lock", path),
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

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    match file.read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
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
        let mut file = open(&path).unwrap();
        assert!(holder(&mut file).ends_with("cargo kernel build tiny"));
        drop(held);
        assert!(try_acquire(&path, "second").unwrap().is_some());
    }
}

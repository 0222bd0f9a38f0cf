//! One writer at a time: advisory locks that name their holder.
//!
//! The lock's descriptor is inherited by the processes that its thread starts while it is held.
//! So when a build is killed with `kill -9` and its `make` lives on for a moment, the lock
//! is free only once that `make` has ended too: two builds never share a tree. What another thread
//! starts for another kernel does not keep it.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Seek as _, Write as _};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use camino::Utf8Path;
use rustix::fs::{FlockOperation, flock};
use rustix::io::{FdFlags, fcntl_setfd};

use super::fs::{self, Context as _, Error};
use super::inside::{self, Last};

/// How long to wait before trying again. A blocking `flock` would not notice Ctrl-C: signal
/// handlers restart it.
const PAUSE: Duration = Duration::from_millis(50);

/// A held lock; dropping it frees it. It stays with the thread that took it.
#[derive(Debug)]
pub struct Lock {
    file: Rc<File>,
}

thread_local! {
    static HELD: RefCell<Vec<Rc<File>>> = const { RefCell::new(Vec::new()) };
}

/// One process is started at a time, so that none inherits what is open for another.
static STARTING: Mutex<()> = Mutex::new(());

/// Runs what starts a process, which inherits the locks of this thread and of no other.
pub(super) fn handing_on<T>(start: impl FnOnce() -> std::io::Result<T>) -> std::io::Result<T> {
    let _one = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    let held = HELD.with_borrow(Clone::clone);
    for file in &held {
        fcntl_setfd(file, FdFlags::empty())?;
    }
    let started = start();
    for file in &held {
        fcntl_setfd(file, FdFlags::CLOEXEC)?;
    }
    started
}

impl Lock {
    fn new(file: File) -> Self {
        let file = Rc::new(file);
        HELD.with_borrow_mut(|held| held.push(Rc::clone(&file)));
        Lock { file }
    }
}

impl AsRawFd for Lock {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        HELD.with_borrow_mut(|held| held.retain(|file| !Rc::ptr_eq(file, &self.file)));
    }
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
    try_lock(path, purpose, FlockOperation::NonBlockingLockExclusive)
}

/// Takes the lock at `path` together with others who only read what it guards, if nobody writes there.
pub fn try_share(path: &Utf8Path, purpose: &str) -> Result<Option<Lock>, Error> {
    try_lock(path, purpose, FlockOperation::NonBlockingLockShared)
}

/// Whether a directory is nobody's.
#[derive(Debug)]
pub(super) enum Owned {
    /// Nobody shares it, and nobody can until this is dropped.
    Alone(File),
    /// Somebody shares it.
    InUse,
    /// The file system has no locks of directories.
    Unknown,
}

/// Shares the directory at `path`, which a lock follows when it is renamed; `None` where the file system has no
/// locks of directories. Nobody [owns](own_directory) it until this is dropped.
pub(super) fn share_directory(path: &Utf8Path) -> Result<Option<Lock>, Error> {
    loop {
        let file = open_directory(path).context("open", path)?;
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) if is_at(&file, path) => return Ok(Some(Lock::new(file))),
            // It was exchanged, or is being removed, and another is in its place in a moment.
            Ok(()) | Err(rustix::io::Errno::WOULDBLOCK) => {}
            Err(_) => return Ok(None),
        }
        if super::exec::interrupted() {
            return Err(ErrorKind::Interrupted.into()).context("lock", path);
        }
        std::thread::sleep(PAUSE);
    }
}

/// Takes the directory at `path` from everybody, if nobody shares it.
pub(super) fn own_directory(path: &Utf8Path) -> Owned {
    let Ok(file) = open_directory(path) else {
        return Owned::Unknown;
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Owned::Alone(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Owned::InUse,
        Err(_) => Owned::Unknown,
    }
}

fn open_directory(path: &Utf8Path) -> std::io::Result<File> {
    let flags = rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::NOFOLLOW;
    OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
}

fn try_lock(
    path: &Utf8Path,
    purpose: &str,
    operation: FlockOperation,
) -> Result<Option<Lock>, Error> {
    loop {
        let file = open(path)?;
        match flock(&file, operation) {
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
    inside::check(path, Last::Followed).context("open", path)?;
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
    Ok(Lock::new(file))
}

/// Who has the lock at `path`, in the holder's own words.
pub fn holder(path: &Utf8Path) -> String {
    match fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "another process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_thread_starts_keeps_its_own_locks_and_no_others() {
        let directory = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(directory.path()).unwrap();
        let hold = move |name: &str| acquire(&dir.join(name), "test", &mut |_| {}).unwrap();
        let (own, other) = (dir.join("own"), dir.join("other"));
        let (held, wait) = std::sync::mpsc::channel::<()>();
        let (ready, is_ready) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let lock = hold("other");
                ready.send(()).unwrap();
                wait.recv().unwrap();
                drop(lock);
            });
            is_ready.recv().unwrap();
            let lock = hold("own");
            let child = handing_on(|| {
                std::process::Command::new("cat")
                    .stdin(std::process::Stdio::piped())
                    .spawn()
            });
            let mut child = child.unwrap();
            drop(lock);
            held.send(()).unwrap();
            // The thread's end is not the news of its lock's: wait for that.
            acquire(&other, "test", &mut |_| {}).unwrap();
            assert!(try_acquire(&own, "test").unwrap().is_none());
            drop(child.stdin.take());
            child.wait().unwrap();
            assert!(try_acquire(&own, "test").unwrap().is_some());
        });
    }

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

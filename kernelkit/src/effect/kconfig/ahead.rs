//! Reads a tree's files on a second core while the first one parses them.
//!
//! Which files those are is known from the load before. A list that is out of date costs
//! time, nothing else: what is not on it is read when it is asked for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use camino::{Utf8Path, Utf8PathBuf};
use sha2::Digest as _;

use super::super::{environment, fs};
use crate::limits;

/// How many files of the list may have gone before it is taken for that of another tree.
const LOOKAHEAD: usize = 16;

#[derive(Debug)]
enum Slot {
    Unread,
    Read(Vec<u8>),
    /// Handed out, or read by the one who asked.
    Taken,
}

#[derive(Debug)]
struct Shared {
    files: Vec<(Utf8PathBuf, Mutex<Slot>)>,
    stop: AtomicBool,
}

/// The list of one tree's files, and the thread that reads them.
#[derive(Debug)]
pub(super) struct Ahead {
    list: Utf8PathBuf,
    shared: Arc<Shared>,
    next: usize,
    /// What was read in this load, in order.
    seen: Vec<Utf8PathBuf>,
}

impl Ahead {
    /// Begins to read what the last load of `tree` read; lists are kept below `cache`.
    pub(super) fn start(cache: &Utf8Path, tree: &str) -> Self {
        let name = sha2::Sha256::digest(tree.as_bytes());
        let name: String = name[..12]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let list = cache.join(format!("{name}.files"));
        let text = fs::read_optional(&list).ok().flatten().unwrap_or_default();
        let text = String::from_utf8(text).unwrap_or_default();
        let files = text
            .lines()
            .map(|path| (Utf8PathBuf::from(path), Mutex::new(Slot::Unread)));
        let shared = Arc::new(Shared {
            files: files.collect(),
            stop: AtomicBool::new(false),
        });
        if environment::cores() > 1 && !shared.files.is_empty() {
            let shared = Arc::clone(&shared);
            // Without the thread everything is read in time.
            let _ = std::thread::Builder::new().spawn(move || read(&shared));
        }
        Ahead {
            list,
            shared,
            next: 0,
            seen: Vec::new(),
        }
    }

    /// The file, if it was read ahead.
    pub(super) fn take(&mut self, path: &Utf8Path) -> Option<Vec<u8>> {
        let rest = &self.shared.files[self.next..];
        let at = rest
            .iter()
            .take(LOOKAHEAD)
            .position(|(file, _)| file == path)?;
        self.next += at + 1;
        let mut slot = rest[at].1.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *slot, Slot::Taken) {
            Slot::Read(bytes) => Some(bytes),
            Slot::Unread | Slot::Taken => None,
        }
    }

    /// Remembers a file that was read; the first one again is a load that begins anew.
    pub(super) fn note(&mut self, path: &Utf8Path) {
        if self.seen.first().is_some_and(|first| first == path) {
            self.seen.clear();
        }
        self.seen.push(path.to_owned());
    }

    /// Keeps the list for the next load, if it is another one.
    pub(super) fn save(&self) {
        let files = self.shared.files.iter().map(|(file, _)| file);
        if !files.eq(&self.seen) && self.seen.iter().all(|path| !path.as_str().contains('\n')) {
            let text: String = self.seen.iter().map(|path| format!("{path}\n")).collect();
            // The next load is slower without it, and that is all.
            let _ = fs::write_atomic(&self.list, text.as_bytes());
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

fn read(shared: &Shared) {
    for (path, slot) in &shared.files {
        if shared.stop.load(Ordering::Relaxed) {
            return;
        }
        let lock = || slot.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(*lock(), Slot::Unread) {
            continue;
        }
        let Ok(bytes) = fs::read_within(path, limits::INPUT) else {
            continue;
        };
        let mut slot = lock();
        if matches!(*slot, Slot::Unread) {
            *slot = Slot::Read(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::TreeReader;
    use super::*;
    use crate::kconfig::Reader as _;

    #[test]
    fn files_are_what_they_are_whatever_the_list_says() {
        let directory = tempfile::tempdir().unwrap();
        let directory = Utf8Path::from_path(directory.path()).unwrap();
        let path = |name: &str| directory.join(name);
        for name in ["a", "b", "c", "d"] {
            fs::write_atomic(path(name), name.as_bytes()).unwrap();
        }
        let load = |order: &str| {
            let reader = TreeReader::reading_ahead(directory, directory, "tree");
            for name in order.split(' ') {
                let bytes = reader.read(&path(name)).unwrap();
                assert_eq!(
                    bytes,
                    std::fs::read(path(name)).unwrap(),
                    "{name} of {order}"
                );
            }
            assert!(reader.read(&path("gone")).is_err());
            reader.save();
        };
        for order in ["a b c", "a b c", "b d c a", "c", "a b c d"] {
            load(order);
        }
        fs::write_atomic(path("b"), b"changed").unwrap();
        std::fs::remove_file(path("d")).unwrap();
        load("a b c");
    }

    #[test]
    fn the_list_is_that_of_the_last_load() {
        let directory = tempfile::tempdir().unwrap();
        let directory = Utf8Path::from_path(directory.path()).unwrap();
        let mut ahead = Ahead::start(directory, "tree");
        for name in ["/a", "/b", "/a", "/b", "/c"] {
            ahead.note(Utf8Path::new(name));
        }
        ahead.save();
        let again = Ahead::start(directory, "tree");
        let files = again.shared.files.iter().map(|(file, _)| file.as_str());
        assert_eq!(files.collect::<Vec<_>>(), ["/a", "/b", "/c"]);
    }
}

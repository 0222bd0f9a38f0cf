//! Archives of directories, streamed: hashed, written, unpacked.
//!
//! A kernel tree is 90,000 small files, and opening them costs more than hashing them.
//! So threads read ahead, each a run of neighbouring files into one piece of the archive,
//! and the caller's thread takes the pieces in order.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};

use camino::{Utf8Path, Utf8PathBuf};
use nix_archive::nar::{CaseHack, restore_reader};
use rustix::buffer::spare_capacity;
use rustix::fs::{AtFlags, FileType, statat};

use crate::effect::environment;
use crate::nix::nar::{self, Hasher, NarHash};

/// Contents of files in one piece, unless one file is larger.
const PIECE: u64 = 1 << 20;
/// Pieces that may be ready and not yet taken: this many MiB of memory.
const AHEAD: usize = 16;

/// Why a directory cannot be archived or an archive not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A file was written to while it was read.
    #[error("{path} changed while it was read")]
    Changed {
        /// The file.
        path: String,
    },
    /// A socket, a device or a pipe.
    #[error("{path} is neither a file, a directory nor a symbolic link")]
    Kind {
        /// The file.
        path: String,
    },
    /// Whoever takes the archive cannot.
    #[error("cannot pass the archive of {path} on")]
    Write {
        /// What is archived.
        path: Utf8PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The archive is damaged, or its files cannot be written.
    #[error("cannot unpack an archive to {path}: {reason}")]
    Unpack {
        /// Where to.
        path: Utf8PathBuf,
        /// Why.
        reason: String,
    },
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Changed { .. } => {
                Some("run it again when nothing writes to the directory any more".to_owned())
            }
            Error::Kind { path } => Some(format!("the Nix store cannot hold it: remove {path}")),
            Error::Read { .. } | Error::Write { .. } | Error::Unpack { .. } => None,
        }
    }
}

/// Hash and length of the archive of a file, link or directory.
pub fn hash(path: &Utf8Path) -> Result<NarHash, Error> {
    let mut hasher = Hasher::default();
    stream(path, &mut |bytes| {
        hasher.update(bytes);
        Ok(())
    })?;
    Ok(hasher.finish())
}

/// Writes the archive and returns its hash.
pub fn write(path: &Utf8Path, output: &mut dyn io::Write) -> Result<NarHash, Error> {
    let mut hasher = Hasher::default();
    stream(path, &mut |bytes| {
        hasher.update(bytes);
        output.write_all(bytes)
    })?;
    Ok(hasher.finish())
}

/// Unpacks an archive to `path`, which must not exist. The archive must end where `input` does.
pub fn unpack(input: impl io::Read, path: &Utf8Path) -> Result<(), Error> {
    let mut input = io::BufReader::with_capacity(1 << 16, input);
    restore_reader(&mut input, path.as_std_path(), CaseHack::Disabled).map_err(|error| {
        Error::Unpack {
            path: path.to_owned(),
            reason: error.to_string(),
        }
    })
}

/// Hands the archive over piece by piece, in order, on this thread.
pub fn stream(path: &Utf8Path, take: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> Result<(), Error> {
    let queue = Queue::default();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut plan = Plan::new(&queue);
            nar::start(plan.bytes());
            let walked = plan.node(path.as_std_path());
            plan.finish(walked);
        });
        for _ in 0..environment::cores() {
            scope.spawn(|| {
                while let Some((index, piece, buffer)) = queue.claim() {
                    queue.put(index, piece.read(buffer));
                }
            });
        }
        let _stop = StopOnDrop(&queue);
        for index in 0.. {
            let Some(piece) = queue.take(index) else {
                break;
            };
            let piece = piece?;
            take(&piece).map_err(|source| Error::Write {
                path: path.to_owned(),
                source,
            })?;
            queue.recycle(piece);
        }
        Ok(())
    })
}

/// What one piece is made of, in order.
#[derive(Default)]
struct Piece {
    parts: Vec<Part>,
    /// Contents in it, in bytes.
    size: u64,
}

enum Part {
    /// Framing, links and names.
    Bytes(Vec<u8>),
    /// A whole file's contents.
    File { path: PathBuf, size: u64 },
    /// A part of a large file's contents.
    Range {
        path: PathBuf,
        at: u64,
        size: u64,
        of: u64,
    },
}

impl Piece {
    fn read(&self, mut buffer: Vec<u8>) -> Result<Vec<u8>, Error> {
        buffer.clear();
        for part in &self.parts {
            match part {
                Part::Bytes(bytes) => buffer.extend_from_slice(bytes),
                Part::File { path, size } => append(&mut buffer, path, 0, *size, *size)?,
                Part::Range { path, at, size, of } => append(&mut buffer, path, *at, *size, *of)?,
            }
        }
        Ok(buffer)
    }
}

/// Appends `size` bytes of the file from `at`; the file must have `of` bytes.
fn append(buffer: &mut Vec<u8>, path: &Path, at: u64, size: u64, of: u64) -> Result<(), Error> {
    let start = buffer.len();
    let mut read = || -> io::Result<()> {
        let mut file = File::open(path)?;
        // Room for one byte more than there should be, to see that there is none.
        buffer.reserve(size as usize + 1);
        if size < of {
            file.seek(io::SeekFrom::Start(at))?;
            file.take(size).read_to_end(buffer)?;
            return Ok(());
        }
        // A read that leaves room has met the end, so most files take one.
        loop {
            let count = rustix::io::read(&file, spare_capacity(buffer))?;
            if count == 0 || (buffer.len() - start) as u64 >= size {
                return Ok(());
            }
        }
    };
    let name = || path.display().to_string();
    read().map_err(|source| Error::Read {
        path: name(),
        source,
    })?;
    match (buffer.len() - start) as u64 == size {
        true => Ok(()),
        false => Err(Error::Changed { path: name() }),
    }
}

/// Walks the tree and makes the pieces, with files in place of their contents.
struct Plan<'a> {
    queue: &'a Queue,
    piece: Piece,
    made: usize,
}

impl<'a> Plan<'a> {
    fn new(queue: &'a Queue) -> Self {
        Plan {
            queue,
            piece: Piece::default(),
            made: 0,
        }
    }

    fn finish(mut self, walked: Result<(), Error>) {
        self.next_piece();
        match walked {
            Ok(()) => self.queue.end(self.made),
            Err(error) => {
                self.queue.put(self.made, Err(error));
                self.queue.end(self.made + 1);
            }
        }
    }

    fn next_piece(&mut self) {
        let piece = std::mem::take(&mut self.piece);
        self.queue.plan(self.made, piece);
        self.made += 1;
    }

    /// Where framing goes.
    fn bytes(&mut self) -> &mut Vec<u8> {
        let parts = &mut self.piece.parts;
        if !matches!(parts.last(), Some(Part::Bytes(_))) {
            parts.push(Part::Bytes(Vec::new()));
        }
        match parts.last_mut() {
            Some(Part::Bytes(bytes)) => bytes,
            _ => unreachable!("it was just pushed"),
        }
    }

    /// Adds contents, in a new piece where the last one is full.
    fn contents(&mut self, part: Part, size: u64) {
        self.piece.parts.push(part);
        self.piece.size += size;
        if self.piece.size >= PIECE {
            self.next_piece();
        }
    }

    fn node(&mut self, path: &Path) -> Result<(), Error> {
        let metadata =
            std::fs::symlink_metadata(path).map_err(|source| unreadable(path, source))?;
        let mode = metadata.mode();
        self.any(path.to_owned(), mode, metadata.len())
    }

    fn any(&mut self, path: PathBuf, mode: u32, size: u64) -> Result<(), Error> {
        match FileType::from_raw_mode(mode) {
            FileType::Directory => self.directory(&path)?,
            FileType::Symlink => {
                let target =
                    std::fs::read_link(&path).map_err(|source| unreadable(&path, source))?;
                nar::link(self.bytes(), target.as_os_str().as_bytes());
            }
            FileType::RegularFile => {
                nar::file_start(self.bytes(), mode & 0o100 != 0, size);
                self.file(path, size);
                nar::file_end(self.bytes(), size);
            }
            _ => {
                return Err(Error::Kind {
                    path: path.display().to_string(),
                });
            }
        }
        Ok(())
    }

    fn directory(&mut self, path: &Path) -> Result<(), Error> {
        let failed = |source| unreadable(path, source);
        nar::directory_start(self.bytes());
        // Asked by name below an open directory, the system has a shorter way to each file.
        let directory = File::open(path).map_err(failed)?;
        let mut entries = BTreeMap::new();
        for entry in std::fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let stat = statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|error| unreadable(&entry.path(), error.into()))?;
            entries.insert(name.into_vec(), (entry.path(), stat));
        }
        drop(directory);
        for (name, (path, stat)) in entries {
            if self.queue.is_stopped() {
                break;
            }
            nar::entry_start(self.bytes(), &name);
            self.any(path, stat.st_mode, stat.st_size as u64)?;
            nar::entry_end(self.bytes());
        }
        nar::directory_end(self.bytes());
        Ok(())
    }

    fn file(&mut self, path: PathBuf, size: u64) {
        if size <= 4 * PIECE {
            return self.contents(Part::File { path, size }, size);
        }
        for at in (0..size).step_by(PIECE as usize) {
            let part = Part::Range {
                path: path.clone(),
                at,
                size: PIECE.min(size - at),
                of: size,
            };
            self.contents(part, PIECE);
        }
    }
}

fn unreadable(path: &Path, source: io::Error) -> Error {
    Error::Read {
        path: path.display().to_string(),
        source,
    }
}

/// Pieces on their way from the planner to the readers and to the one who takes them.
#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    planned: VecDeque<(usize, Piece)>,
    /// How many pieces there are, as soon as that is known.
    total: Option<usize>,
    taken: usize,
    ready: BTreeMap<usize, Result<Vec<u8>, Error>>,
    spare: Vec<Vec<u8>>,
    stopped: bool,
}

impl Queue {
    fn wait_until<T>(&self, mut ready: impl FnMut(&mut State) -> Option<T>) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(value) = ready(&mut state) {
                return value;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
        result
    }

    fn plan(&self, index: usize, piece: Piece) {
        self.change(|state| state.planned.push_back((index, piece)));
    }

    fn end(&self, total: usize) {
        self.change(|state| state.total = Some(total));
    }

    fn is_stopped(&self) -> bool {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .stopped
    }

    /// The next piece to read, with a buffer for it, as soon as there is room ahead.
    fn claim(&self) -> Option<(usize, Piece, Vec<u8>)> {
        self.wait_until(|state| {
            if state.stopped || state.total.is_some() && state.planned.is_empty() {
                return Some(None);
            }
            let room = state.taken + AHEAD;
            state.planned.front().filter(|(index, _)| *index < room)?;
            let (index, piece) = state.planned.pop_front()?;
            Some(Some((index, piece, state.spare.pop().unwrap_or_default())))
        })
    }

    fn put(&self, index: usize, piece: Result<Vec<u8>, Error>) {
        self.change(|state| drop(state.ready.insert(index, piece)));
    }

    /// `None` after the last one.
    fn take(&self, index: usize) -> Option<Result<Vec<u8>, Error>> {
        self.wait_until(|state| match state.ready.remove(&index) {
            Some(piece) => Some(Some(piece)),
            None => (state.total.is_some_and(|total| index >= total)).then_some(None),
        })
    }

    fn recycle(&self, buffer: Vec<u8>) {
        self.change(|state| {
            state.taken += 1;
            state.spare.push(buffer);
        });
    }
}

/// Lets the readers go, however the taking ends.
struct StopOnDrop<'a>(&'a Queue);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.change(|state| state.stopped = true);
    }
}

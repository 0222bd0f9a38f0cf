//! Archives of directories, streamed: hashed, written, unpacked.
//!
//! A kernel tree is 90,000 small files, and opening them costs more than hashing them.
//! So threads read ahead, each a run of neighbouring files into one piece of the archive,
//! and the caller's thread takes the pieces in order.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};

use camino::{Utf8Path, Utf8PathBuf};
use nix_archive::nar::{CaseHack, restore_reader};

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
    let plan = Plan::new(path)?;
    let queue = Queue::new(plan.pieces.len());
    let readers = super::super::environment::cores().min(plan.pieces.len());
    std::thread::scope(|scope| {
        for _ in 0..readers {
            scope.spawn(|| {
                while let Some((index, buffer)) = queue.claim() {
                    let piece = plan.pieces[index].read(buffer);
                    queue.put(index, piece);
                }
            });
        }
        let _stop = StopOnDrop(&queue);
        for index in 0..plan.pieces.len() {
            let piece = queue.take(index)?;
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
    let mut read = || -> io::Result<u64> {
        let mut file = File::open(path)?;
        if at > 0 {
            file.seek(io::SeekFrom::Start(at))?;
        }
        // One byte more than there should be, to see that there is none.
        let last = at + size == of;
        let limit = size + u64::from(last);
        buffer.reserve(limit as usize);
        file.take(limit).read_to_end(buffer).map(|read| read as u64)
    };
    match read() {
        Ok(read) if read == size => Ok(()),
        Ok(_) => Err(Error::Changed {
            path: path.display().to_string(),
        }),
        Err(source) => Err(Error::Read {
            path: path.display().to_string(),
            source,
        }),
    }
}

/// The whole archive, with files in place of their contents.
#[derive(Default)]
struct Plan {
    pieces: Vec<Piece>,
}

impl Plan {
    fn new(path: &Utf8Path) -> Result<Self, Error> {
        let mut plan = Plan {
            pieces: vec![Piece::default()],
        };
        nar::start(plan.bytes());
        plan.node(path.as_std_path().to_owned())?;
        Ok(plan)
    }

    /// Where framing goes.
    fn bytes(&mut self) -> &mut Vec<u8> {
        let piece = self.pieces.last_mut().expect("there is always one");
        if !matches!(piece.parts.last(), Some(Part::Bytes(_))) {
            piece.parts.push(Part::Bytes(Vec::new()));
        }
        match piece.parts.last_mut() {
            Some(Part::Bytes(bytes)) => bytes,
            _ => unreachable!("it was just pushed"),
        }
    }

    /// Adds contents, in a new piece where the last one is full.
    fn contents(&mut self, part: Part, size: u64) {
        let piece = self.pieces.last_mut().expect("there is always one");
        piece.parts.push(part);
        piece.size += size;
        if piece.size >= PIECE {
            self.pieces.push(Piece::default());
        }
    }

    fn node(&mut self, path: PathBuf) -> Result<(), Error> {
        let failed = |source| Error::Read {
            path: path.display().to_string(),
            source,
        };
        let metadata = std::fs::symlink_metadata(&path).map_err(failed)?;
        let kind = metadata.file_type();
        if kind.is_dir() {
            nar::directory_start(self.bytes());
            let mut names = BTreeMap::new();
            for entry in std::fs::read_dir(&path).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                names.insert(entry.file_name().into_vec(), entry.path());
            }
            for (name, path) in names {
                nar::entry_start(self.bytes(), &name);
                self.node(path)?;
                nar::entry_end(self.bytes());
            }
            nar::directory_end(self.bytes());
        } else if kind.is_symlink() {
            let target = std::fs::read_link(&path).map_err(failed)?;
            nar::link(self.bytes(), target.as_os_str().as_bytes());
        } else if kind.is_file() {
            let size = metadata.len();
            nar::file_start(self.bytes(), metadata.mode() & 0o100 != 0, size);
            self.file(path, size);
            nar::file_end(self.bytes(), size);
        } else {
            return Err(Error::Kind {
                path: path.display().to_string(),
            });
        }
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

/// Pieces on their way from the readers to the one who takes them.
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    total: usize,
}

struct State {
    claimed: usize,
    taken: usize,
    ready: BTreeMap<usize, Result<Vec<u8>, Error>>,
    spare: Vec<Vec<u8>>,
    stopped: bool,
}

impl Queue {
    fn new(total: usize) -> Self {
        Queue {
            state: Mutex::new(State {
                claimed: 0,
                taken: 0,
                ready: BTreeMap::new(),
                spare: Vec::new(),
                stopped: false,
            }),
            changed: Condvar::new(),
            total,
        }
    }

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

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    /// The next piece to read, with a buffer for it, as soon as there is room ahead.
    fn claim(&self) -> Option<(usize, Vec<u8>)> {
        self.wait_until(|state| {
            if state.stopped || state.claimed == self.total {
                return Some(None);
            }
            (state.claimed < state.taken + AHEAD).then(|| {
                state.claimed += 1;
                Some((state.claimed - 1, state.spare.pop().unwrap_or_default()))
            })
        })
    }

    fn put(&self, index: usize, piece: Result<Vec<u8>, Error>) {
        self.change(|state| drop(state.ready.insert(index, piece)));
    }

    fn take(&self, index: usize) -> Result<Vec<u8>, Error> {
        self.wait_until(|state| state.ready.remove(&index))
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

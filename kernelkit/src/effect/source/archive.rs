//! Unpacks a tar archive of a kernel tree and hashes its files on the way.
//!
//! Members may not leave the tree, by name or through a link; devices are refused;
//! an archive that ends early is refused. Owners are not restored, permissions are
//! reduced to what git knows (0644 or 0755), times of modification are kept.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, mkdirat, openat, symlinkat};
use tar::EntryType;

use super::scan::{set_time, times};
use crate::effect::fs::{self, Context as _};
use crate::effect::{environment, exec};
use crate::limits::{self, Exceeded, Limit};
use crate::source::snapshot::{Snapshot, Stamp, Time};
use crate::source::tree::{BlobHasher, BlobId, Kind};

/// Why an archive was not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading the archive or writing the tree failed.
    #[error(transparent)]
    Fs(#[from] fs::Error),
    /// Not an archive, damaged, or it ends early.
    #[error("{archive} is damaged or incomplete")]
    Damaged {
        /// The archive.
        archive: Utf8PathBuf,
        /// What the decoder said.
        #[source]
        source: io::Error,
    },
    /// A compression that kernelkit does not read.
    #[error("{archive} is compressed with {name}")]
    Compression {
        /// The archive.
        archive: Utf8PathBuf,
        /// `bzip2` …
        name: &'static str,
    },
    /// A member that must not be unpacked.
    #[error("{archive} has a member that {reason}: `{member}`")]
    Refused {
        /// The archive.
        archive: Utf8PathBuf,
        /// Its name; bytes that are not UTF-8 are replaced.
        member: String,
        /// Such as `leaves the tree`.
        reason: &'static str,
    },
    /// A Debian package without a kernel source in it.
    #[error("{archive} holds no `usr/src/linux-source-*.tar`")]
    NoSource {
        /// The package.
        archive: Utf8PathBuf,
    },
    /// Larger than any archive of a kernel.
    #[error("{archive} is refused: {limit}{}", within(member))]
    Limit {
        /// The archive.
        archive: Utf8PathBuf,
        /// At which member, as far as it has a name.
        member: Option<String>,
        /// What is beyond its limit.
        limit: Exceeded,
    },
    /// The user stopped it.
    #[error("interrupted")]
    Interrupted,
}

fn within(member: &Option<String>) -> String {
    member
        .as_ref()
        .map_or_else(String::new, |member| format!(", at `{member}`"))
}

/// What an archive may hold.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    header: Limit,
    members: Limit,
    member: Limit,
    total: Limit,
}

/// Those of the table.
const BOUNDS: Bounds = Bounds {
    header: limits::TAR_HEADER,
    members: limits::TAR_MEMBERS,
    member: limits::TAR_MEMBER,
    total: limits::TAR_TOTAL,
};

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Fs(error) => error.hint(),
            Error::Damaged { archive, .. } => Some(format!(
                "fetch it again, or check it with `tar -tf {archive}`"
            )),
            Error::Compression { .. } => {
                Some("use the .tar.xz, .tar.gz, .tar.zst or plain .tar of it".to_owned())
            }
            Error::Limit { .. } => {
                Some("no archive of a kernel is like that: where does it come from?".to_owned())
            }
            Error::Refused { .. } => {
                Some("kernel archives have no such members: where does this one come from?".into())
            }
            Error::NoSource { .. } => {
                Some("the package must be one of Debian's linux-source-*".to_owned())
            }
            Error::Interrupted => None,
        }
    }
}

/// Unpacks `archive` into `into`, an empty directory, without the archive's single
/// top directory. Returns the files in order. `read` counts the archive's bytes.
pub(super) fn unpack_file(
    archive: &Utf8Path,
    into: &Utf8Path,
    read: &AtomicU64,
) -> Result<Snapshot, Error> {
    let (file, _) = fs::open(archive).context("read", archive)?;
    unpack(archive, into, move |pump| {
        pump.all(decoder(archive, Counted { inner: file, read })?)
            .map_err(|source| damaged(archive, source))
    })
}

/// The same from the `usr/src/linux-source-*.tar.*` inside a Debian package.
pub(super) fn unpack_package(
    package: &Utf8Path,
    into: &Utf8Path,
    read: &AtomicU64,
) -> Result<Snapshot, Error> {
    let (file, _) = fs::open(package).context("read", package)?;
    unpack(package, into, move |pump| {
        let damaged = |source| damaged(package, source);
        let data = data_member(Counted { inner: file, read }).map_err(damaged)?;
        let (data, budget) = Budgeted::new(decoder(package, data)?, BOUNDS.header);
        let mut outer = tar::Archive::new(data);
        let mut members = outer.entries().map_err(damaged)?;
        while let Some(member) = budget.header(|| members.next()) {
            let mut member = member.map_err(damaged)?;
            let name = member.path_bytes();
            let name = name.strip_prefix(b"./").unwrap_or(&name);
            if name.starts_with(b"usr/src/linux-source-")
                && name.windows(4).any(|part| part == b".tar")
                && member.header().entry_type() == EntryType::Regular
            {
                return pump.all(decoder(package, member)?).map_err(damaged);
            }
            // What is passed over is no part of the next header.
            io::copy(&mut member, &mut io::sink()).map_err(damaged)?;
        }
        Err(Error::NoSource {
            archive: package.to_owned(),
        })
    })
}

/// A file of a commit.
pub(super) struct Blob {
    pub(super) path: Vec<u8>,
    pub(super) kind: Kind,
    pub(super) id: BlobId,
}

/// Lays out `blobs` in `into`, an empty directory, from what `git cat-file --batch` answers for them
/// in their order. Every file and directory gets `time`; content is compared with its id.
pub(super) fn lay_out(
    name: &Utf8Path,
    blobs: &[Blob],
    answers: &mut dyn Read,
    time: i64,
    into: &Utf8Path,
) -> Result<Snapshot, Error> {
    let mut unpacker = Unpacker::new(name, into, BOUNDS)?;
    let time = Time {
        seconds: time,
        nanoseconds: 0,
    };
    let mut answers = BufReader::with_capacity(1 << 18, answers);
    for blob in blobs {
        if exec::interrupted() {
            return Err(Error::Interrupted);
        }
        unpacker.blob(blob, &mut answers, time)?;
    }
    let mut directories: Vec<_> = unpacker.directories.iter().cloned().collect();
    directories.sort_unstable();
    unpacker
        .directory_times
        .extend(directories.into_iter().map(|path| (path, time)));
    unpacker.finish()
}

fn damaged(archive: &Utf8Path, source: io::Error) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&source);
    while let Some(error) = cause {
        // The tar crate hands errors on inside of its own.
        let inner = error.downcast_ref::<io::Error>();
        let inner = inner.and_then(|error| error.get_ref()?.downcast_ref());
        if let Some(limit) = inner.or_else(|| error.downcast_ref::<Exceeded>()) {
            return Error::Limit {
                archive: archive.to_owned(),
                member: None,
                limit: *limit,
            };
        }
        cause = error.source();
    }
    Error::Damaged {
        archive: archive.to_owned(),
        source,
    }
}

/// A reader that gives no more than a limit while the header of a member is read: extension records may
/// claim any length, and are read into memory.
struct Budgeted<R> {
    inner: R,
    left: Rc<Cell<u64>>,
    limit: Limit,
}

/// What a [`Budgeted`] reader may still give.
struct Budget {
    left: Rc<Cell<u64>>,
    limit: Limit,
}

impl<R> Budgeted<R> {
    fn new(inner: R, limit: Limit) -> (Self, Budget) {
        let left = Rc::new(Cell::new(u64::MAX));
        let budget = Budget {
            left: Rc::clone(&left),
            limit,
        };
        (Budgeted { inner, left, limit }, budget)
    }
}

impl Budget {
    /// Runs `read`, which reads a header.
    fn header<T>(&self, read: impl FnOnce() -> T) -> T {
        // The padding of the member before, the header itself and those of the extensions.
        self.left.set(self.limit.most + 8 * 512);
        let header = read();
        self.left.set(u64::MAX);
        header
    }
}

impl<R: Read> Read for Budgeted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.get();
        if left == 0 && !buffer.is_empty() {
            return Err(io::Error::other(Exceeded { limit: self.limit }));
        }
        let room = usize::try_from(left).unwrap_or(usize::MAX);
        let room = room.min(buffer.len());
        let count = self.inner.read(&mut buffer[..room])?;
        if left < u64::MAX {
            self.left.set(left - count as u64);
        }
        Ok(count)
    }
}

/// A reader that ends in an error where it would give more than a limit.
struct Limited<R> {
    inner: R,
    given: u64,
    limit: Limit,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.given += count as u64;
        self.limit.check(self.given).map_err(io::Error::other)?;
        Ok(count)
    }
}

/// Positions a reader at the `data.tar.*` member of an ar archive (ar(5), deb(5)).
pub(in crate::effect) fn data_member<R: Read>(mut package: R) -> io::Result<impl Read> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidData, "not a Debian package");
    let mut magic = [0; 8];
    package.read_exact(&mut magic)?;
    if &magic != b"!<arch>\n" {
        return Err(invalid());
    }
    loop {
        let mut header = [0; 60];
        package.read_exact(&mut header)?;
        let size: u64 = std::str::from_utf8(&header[48..58])
            .ok()
            .and_then(|text| text.trim_ascii().parse().ok())
            .ok_or_else(invalid)?;
        if header.starts_with(b"data.tar") {
            return Ok(package.take(size));
        }
        // Members are aligned to even offsets.
        let skip = size + size % 2;
        if io::copy(&mut (&mut package).take(skip), &mut io::sink())? != skip {
            return Err(invalid());
        }
    }
}

struct Counted<'a, R> {
    inner: R,
    read: &'a AtomicU64,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Decompresses by what the first bytes say, whatever the file is called.
pub(in crate::effect) fn decoder<'a>(
    archive: &Utf8Path,
    input: impl Read + 'a,
) -> Result<Box<dyn Read + 'a>, Error> {
    let damaged = |source| damaged(archive, source);
    let mut input = BufReader::with_capacity(1 << 18, input);
    let mut magic = Vec::new();
    (&mut input)
        .take(6)
        .read_to_end(&mut magic)
        .map_err(damaged)?;
    let input = BufReader::with_capacity(1 << 18, io::Cursor::new(magic.clone()).chain(input));
    let unsupported = |name| Error::Compression {
        archive: archive.to_owned(),
        name,
    };
    let decoded: Box<dyn Read + 'a> = match &magic[..] {
        [0xfd, b'7', b'z', b'X', b'Z', 0] => {
            let stream = liblzma::stream::MtStreamBuilder::new()
                .threads(u32::try_from(environment::cores()).unwrap_or(1))
                .memlimit_threading(1 << 30)
                .memlimit_stop(u64::MAX)
                .decoder()
                .map_err(|error| damaged(error.into()))?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(input, stream))
        }
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            Box::new(zstd::stream::read::Decoder::with_buffer(input).map_err(damaged)?)
        }
        [b'B', b'Z', b'h', ..] => return Err(unsupported("bzip2")),
        [0x1f, 0x9d, ..] => return Err(unsupported("compress")),
        [b'L', b'Z', b'I', b'P', ..] => return Err(unsupported("lzip")),
        _ => Box::new(input),
    };
    Ok(Box::new(Limited {
        inner: decoded,
        given: 0,
        limit: limits::UNPACKED,
    }))
}

/// `feed` runs on a thread of its own, so that decompressing and writing overlap.
fn unpack(
    archive: &Utf8Path,
    into: &Utf8Path,
    feed: impl FnOnce(&Pump) -> Result<(), Error> + Send,
) -> Result<Snapshot, Error> {
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::sync_channel(16);
        let feeder = scope.spawn(move || feed(&Pump(sender)));
        let chunks = Chunks {
            receiver,
            chunk: Vec::new(),
            at: 0,
            ended: false,
        };
        let unpacked =
            Unpacker::new(archive, into, BOUNDS).and_then(|unpacker| unpacker.run(chunks));
        // Where the feeder failed, the unpacker saw no more than an early end.
        feeder.join().expect("a decoder does not panic")?;
        unpacked
    })
}

struct Pump(mpsc::SyncSender<Vec<u8>>);

impl Pump {
    /// Sends all of `input`, as long as anyone listens.
    fn all(&self, mut input: impl Read) -> io::Result<()> {
        loop {
            let mut chunk = vec![0; 1 << 18];
            match input.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(count) => {
                    chunk.truncate(count);
                    if self.0.send(chunk).is_err() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

struct Chunks {
    receiver: mpsc::Receiver<Vec<u8>>,
    chunk: Vec<u8>,
    at: usize,
    ended: bool,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.chunk.len() {
            let Ok(chunk) = self.receiver.recv() else {
                self.ended = true;
                return Ok(0);
            };
            (self.chunk, self.at) = (chunk, 0);
        }
        let count = buffer.len().min(self.chunk.len() - self.at);
        buffer[..count].copy_from_slice(&self.chunk[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

struct Unpacker<'a> {
    archive: &'a Utf8Path,
    into: &'a Utf8Path,
    root: OwnedFd,
    /// The archive's top directory, once known.
    top: Option<Vec<u8>>,
    /// Made by us, so a member below one of them cannot be below a link.
    directories: HashSet<Vec<u8>>,
    directory_times: Vec<(Vec<u8>, Time)>,
    /// The directory of the last member, kept open.
    parent: Option<(Vec<u8>, OwnedFd)>,
    files: Vec<(Vec<u8>, Stamp, BlobId)>,
    /// Where a file before is in `files`.
    places: HashMap<Vec<u8>, usize>,
    buffer: Vec<u8>,
    bounds: Bounds,
    /// Members seen, and the size of all of them.
    members: u64,
    total: u64,
}

impl<'a> Unpacker<'a> {
    fn new(archive: &'a Utf8Path, into: &'a Utf8Path, bounds: Bounds) -> Result<Self, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(CWD, into.as_std_path(), flags, Mode::empty())
            .map_err(io::Error::from)
            .context("open", into)?;
        Ok(Unpacker {
            archive,
            into,
            root,
            top: None,
            directories: HashSet::from([Vec::new()]),
            directory_times: Vec::new(),
            parent: None,
            files: Vec::new(),
            places: HashMap::new(),
            buffer: vec![0; 1 << 20],
            bounds,
            members: 0,
            total: 0,
        })
    }

    fn run(mut self, chunks: Chunks) -> Result<Snapshot, Error> {
        let damaged = |source| damaged(self.archive, source);
        let (chunks, budget) = Budgeted::new(chunks, self.bounds.header);
        let mut archive = tar::Archive::new(chunks);
        let mut members = archive.entries().map_err(damaged)?;
        while let Some(member) = budget.header(|| members.next()) {
            if exec::interrupted() {
                return Err(Error::Interrupted);
            }
            let mut member = member.map_err(damaged)?;
            self.member(&mut member)?;
            // What is passed over is no part of the next header.
            io::copy(&mut member, &mut io::sink()).map_err(damaged)?;
        }
        let mut chunks = archive.into_inner().inner;
        if chunks.ended {
            return Err(damaged(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the end mark is missing",
            )));
        }
        // What follows the end mark is padding, but the decoder's checksum comes last.
        io::copy(&mut chunks, &mut io::sink()).map_err(damaged)?;
        self.finish()
    }

    fn finish(self) -> Result<Snapshot, Error> {
        for (path, time) in self.directory_times.iter().rev() {
            set_time(&self.root, path, *time).context("set the time of", self.shown(path))?;
        }
        Ok(Snapshot::from_files(self.files.iter().map(
            |(path, stamp, blob)| (&path[..], *stamp, Some(*blob)),
        )))
    }

    fn shown(&self, path: &[u8]) -> Utf8PathBuf {
        self.into.join(String::from_utf8_lossy(path).as_ref())
    }

    fn refuse(&self, member: &[u8], reason: &'static str) -> Error {
        Error::Refused {
            archive: self.archive.to_owned(),
            member: cut(member),
            reason,
        }
    }

    /// Counts a member of so many bytes, with the holes of a sparse one.
    fn count(&mut self, member: &[u8], size: u64) -> Result<(), Error> {
        self.members += 1;
        self.total = self.total.saturating_add(size);
        let bounds = self.bounds;
        let checked = bounds.members.check(self.members);
        let checked = checked.and_then(|()| bounds.member.check(size));
        let checked = checked.and_then(|()| bounds.total.check(self.total));
        checked.map_err(|limit| Error::Limit {
            archive: self.archive.to_owned(),
            member: Some(cut(member)),
            limit,
        })
    }

    fn keep(&mut self, path: Vec<u8>, stamp: Stamp, blob: BlobId) {
        self.places.insert(path.clone(), self.files.len());
        self.files.push((path, stamp, blob));
    }

    fn member<R: Read>(&mut self, member: &mut tar::Entry<'_, R>) -> Result<(), Error> {
        self.count(&member.path_bytes(), member.size())?;
        let entry_type = member.header().entry_type();
        if entry_type == EntryType::XGlobalHeader {
            return Ok(());
        }
        let name = member.path_bytes().into_owned();
        let path = self.inside(&name, &name)?;
        // Git's own files are no part of a tree, here as in a directory.
        if path.split(|byte| *byte == b'/').any(|part| part == b".git") {
            return Ok(());
        }
        let time = Time {
            seconds: i64::try_from(member.header().mtime().unwrap_or(0)).unwrap_or(0),
            nanoseconds: 0,
        };
        if entry_type.is_dir() {
            self.make_directory(&name, &path)?;
            self.directory_times.push((path, time));
            return Ok(());
        }
        if path.is_empty() {
            return Err(self.refuse(&name, "is not below one top directory"));
        }
        let split = self.enter_parent(&name, &path)?;
        let target = match member.link_name_bytes() {
            Some(target) if entry_type == EntryType::Link => self.inside(&name, &target)?,
            target => target.unwrap_or_default().into_owned(),
        };
        let parent = &self.parent.as_ref().expect("just entered").1;
        let file = &path[split..];
        let mut stamp = Stamp {
            kind: Kind::Regular,
            size: 0,
            modified: time,
            changed: Time::default(),
            inode: 0,
        };
        let blob;
        match entry_type {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let mode = member.header().mode().unwrap_or(0o644);
                stamp.kind = Kind::of_permissions(mode);
                stamp.size = member.size();
                blob = self.write_file(member, &name, &path, file, &stamp)?;
            }
            EntryType::Symlink => {
                blob = self.make_link(&target, &name, &path, split, time)?;
                stamp.kind = Kind::Symlink;
                stamp.size = target.len() as u64;
            }
            EntryType::Link => {
                let linked = self.places.get(&target).map(|at| &self.files[*at]);
                let Some((_, linked, content)) =
                    linked.filter(|(_, stamp, _)| stamp.kind != Kind::Symlink)
                else {
                    return Err(self.refuse(&name, "is a hard link to nothing before it"));
                };
                (stamp, blob) = (*linked, *content);
                linkat(&self.root, &target[..], parent, file, AtFlags::empty())
                    .map_err(|error| self.not_made(&name, &path, error))?;
            }
            _ => return Err(self.refuse(&name, "is a device, a pipe or of an unknown kind")),
        }
        self.keep(path, stamp, blob);
        Ok(())
    }

    /// Makes one file of a commit from what `git cat-file --batch` says of it.
    fn blob(&mut self, blob: &Blob, answers: &mut impl BufRead, time: Time) -> Result<(), Error> {
        let path = &blob.path;
        let is_odd = |part: &[u8]| matches!(part, b"" | b"." | b".." | b".git");
        if path.split(|byte| *byte == b'/').any(is_odd) {
            return Err(self.refuse(path, "leaves the tree"));
        }
        let damaged = |source| damaged(self.archive, source);
        let mut head = Vec::new();
        answers.read_until(b'\n', &mut head).map_err(damaged)?;
        let size = std::str::from_utf8(&head)
            .ok()
            .and_then(|head| head.trim_end().split_once(" blob "))
            .and_then(|(_, size)| size.parse().ok())
            .ok_or_else(|| self.refuse(path, "is missing"))?;
        self.count(path, size)?;
        let split = self.enter_parent(path, path)?;
        let mut stamp = Stamp {
            kind: blob.kind,
            size,
            modified: time,
            changed: Time::default(),
            inode: 0,
        };
        let found = if blob.kind == Kind::Symlink {
            let target = fs::limited(answers.by_ref().take(size), self.bounds.header, size)
                .map_err(damaged)?;
            stamp.size = target.len() as u64;
            self.make_link(&target, path, path, split, time)?
        } else {
            self.write_file(answers, path, path, &path[split..], &stamp)?
        };
        let mut end = [0];
        answers.read_exact(&mut end).map_err(damaged)?;
        if found != blob.id {
            return Err(self.refuse(path, "has other bytes than its id names"));
        }
        self.keep(path.clone(), stamp, found);
        Ok(())
    }

    /// Opens the directory of a member; tells where the name in its path begins.
    fn enter_parent(&mut self, member: &[u8], path: &[u8]) -> Result<usize, Error> {
        let split = path
            .iter()
            .rposition(|byte| *byte == b'/')
            .map_or(0, |at| at + 1);
        self.enter(member, &path[..split.saturating_sub(1)])?;
        Ok(split)
    }

    /// Makes a symbolic link in the directory that was entered, unless it leads out of the tree.
    fn make_link(
        &self,
        target: &[u8],
        member: &[u8],
        path: &[u8],
        split: usize,
        time: Time,
    ) -> Result<BlobId, Error> {
        let depth = path[..split].iter().filter(|byte| **byte == b'/').count();
        if leaves(target, depth) {
            return Err(self.refuse(member, "links out of the tree"));
        }
        let parent = &self.parent.as_ref().expect("entered before").1;
        symlinkat(target, parent, &path[split..])
            .map_err(|error| self.not_made(member, path, error))?;
        set_time(parent, &path[split..], time).context("set the time of", self.shown(path))?;
        Ok(BlobId::of(target))
    }

    /// `name` below the archive's one top directory, which is cut off.
    fn inside(&mut self, member: &[u8], name: &[u8]) -> Result<Vec<u8>, Error> {
        if name.starts_with(b"/") {
            return Err(self.refuse(member, "has an absolute path"));
        }
        let mut parts = name
            .split(|byte| *byte == b'/')
            .filter(|part| !part.is_empty() && *part != b".")
            .peekable();
        if parts.clone().any(|part| part == b"..") {
            return Err(self.refuse(member, "leaves the tree"));
        }
        // `./` itself may come first.
        let Some(first) = parts.next() else {
            return Ok(Vec::new());
        };
        match &self.top {
            None => self.top = Some(first.to_vec()),
            Some(top) if top == first => {}
            Some(_) => return Err(self.refuse(member, "is not below one top directory")),
        }
        Ok(parts.collect::<Vec<_>>().join(&b'/'))
    }

    fn make_directory(&mut self, member: &[u8], path: &[u8]) -> Result<(), Error> {
        let ends = path
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'/')
            .map(|(at, _)| at)
            .chain([path.len()]);
        for end in ends {
            let directory = &path[..end];
            if !self.directories.contains(directory) {
                mkdirat(&self.root, directory, Mode::from_raw_mode(0o755))
                    .map_err(|error| self.not_made(member, directory, error))?;
                self.directories.insert(directory.to_vec());
            }
        }
        Ok(())
    }

    /// Opens the directory a member lies in.
    fn enter(&mut self, member: &[u8], directory: &[u8]) -> Result<(), Error> {
        if self
            .parent
            .as_ref()
            .is_some_and(|(path, _)| path == directory)
        {
            return Ok(());
        }
        self.make_directory(member, directory)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let path = if directory.is_empty() {
            b"."
        } else {
            directory
        };
        let fd = openat(&self.root, path, flags, Mode::empty())
            .map_err(io::Error::from)
            .context("open", self.shown(directory))?;
        self.parent = Some((directory.to_vec(), fd));
        Ok(())
    }

    fn write_file(
        &mut self,
        member: &mut impl Read,
        name: &[u8],
        path: &[u8],
        file: &[u8],
        stamp: &Stamp,
    ) -> Result<BlobId, Error> {
        let parent = &self.parent.as_ref().expect("entered before").1;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = if stamp.kind == Kind::Executable {
            0o755
        } else {
            0o644
        };
        let mut out = openat(parent, file, flags, Mode::from_raw_mode(mode))
            .map(File::from)
            .map_err(|error| self.not_made(name, path, error))?;
        let mut hasher = BlobHasher::new(stamp.size);
        let mut left = stamp.size;
        while left > 0 {
            let room = self
                .buffer
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            let mut filled = 0;
            while filled < room {
                let count = member
                    .read(&mut self.buffer[filled..room])
                    .map_err(|source| damaged(self.archive, source))?;
                if count == 0 {
                    return Err(damaged(self.archive, io::ErrorKind::UnexpectedEof.into()));
                }
                filled += count;
            }
            hasher.update(&self.buffer[..filled]);
            out.write_all(&self.buffer[..filled])
                .context("write", self.shown(path))?;
            left -= filled as u64;
        }
        rustix::fs::futimens(&out, &times(stamp.modified))
            .map_err(io::Error::from)
            .context("set the time of", self.shown(path))?;
        Ok(hasher.finish())
    }

    /// What is already there was made from this archive, so it is the archive's fault.
    fn not_made(&self, member: &[u8], path: &[u8], error: rustix::io::Errno) -> Error {
        use rustix::io::Errno;
        if matches!(error, Errno::EXIST | Errno::NOTDIR | Errno::LOOP) {
            self.refuse(member, "meets another member on its path")
        } else {
            Error::Fs(fs::Error {
                action: "write",
                path: self.shown(path),
                source: error.into(),
            })
        }
    }
}

/// A name as a message shows it.
fn cut(name: &[u8]) -> String {
    const SHOWN: usize = 200;
    let text = String::from_utf8_lossy(&name[..name.len().min(SHOWN)]).into_owned();
    match name.len() > SHOWN {
        true => format!("{text}…"),
        false => text,
    }
}

/// Whether a link's target, read from `depth` directories below the top, is absolute
/// or climbs above it. A `..` after a name is taken for climbing too: the name may be
/// a link, and then nobody can tell where it leads.
pub(super) fn leaves(target: &[u8], depth: usize) -> bool {
    let mut parts = target
        .split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".");
    let climbs = parts.by_ref().take_while(|part| *part == b"..").count();
    target.starts_with(b"/") || climbs > depth || parts.any(|part| part == b"..")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Bounds = Bounds {
        header: limits::TAR_HEADER.with(4096),
        members: limits::TAR_MEMBERS.with(5),
        member: limits::TAR_MEMBER.with(3000),
        total: limits::TAR_TOTAL.with(8000),
    };

    /// One member: its kind, its name, what it claims to hold and what follows.
    fn member(kind: u8, name: &str, size: u64, data: &[u8]) -> Vec<u8> {
        let mut header = tar::Header::new_gnu();
        header.set_path(name).unwrap();
        header.set_mode(0o644);
        header.set_size(size);
        header.set_entry_type(EntryType::new(kind));
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend_from_slice(data);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }

    fn file(name: &str, size: usize) -> Vec<u8> {
        member(b'0', name, size as u64, &vec![b'x'; size])
    }

    /// A file of `size` bytes that are all a hole but for the last 512.
    fn sparse(name: &str, size: u64) -> Vec<u8> {
        let mut header = tar::Header::new_gnu();
        header.set_path(name).unwrap();
        header.set_mode(0o644);
        header.set_size(512);
        header.set_entry_type(EntryType::GNUSparse);
        let gnu = header.as_gnu_mut().unwrap();
        let octal = |number: u64| format!("{number:011o}\0");
        gnu.realsize.copy_from_slice(octal(size).as_bytes());
        gnu.sparse[0]
            .offset
            .copy_from_slice(octal(size - 512).as_bytes());
        gnu.sparse[0]
            .numbytes
            .copy_from_slice(octal(512).as_bytes());
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend([b'y'; 512]);
        bytes
    }

    fn unpacked(members: &[Vec<u8>]) -> Result<Snapshot, Error> {
        let directory = tempfile::tempdir().unwrap();
        let into = Utf8Path::from_path(directory.path()).unwrap();
        let (sender, receiver) = mpsc::sync_channel(1 << 10);
        for part in members {
            sender.send(part.clone()).unwrap();
        }
        sender.send(vec![0; 1024]).unwrap();
        drop(sender);
        let chunks = Chunks {
            receiver,
            chunk: Vec::new(),
            at: 0,
            ended: false,
        };
        Unpacker::new(Utf8Path::new("x.tar"), into, SMALL)?.run(chunks)
    }

    #[test]
    fn an_archive_at_its_limits_is_unpacked_and_beyond_them_refused() {
        let long = |kind, length: usize| member(kind, "long", length as u64, &vec![b'a'; length]);
        let pax = |length: usize| {
            let record = format!("{length} comment={}\n", "c".repeat(length - 14));
            assert_eq!(record.len(), length);
            member(b'x', "pax", length as u64, record.as_bytes())
        };
        let files = |count: usize| {
            (0..count)
                .map(|at| file(&format!("linux/{at}"), 1))
                .collect()
        };
        /// What it is, the members, and the limit that they break.
        type Row = (&'static str, Vec<Vec<u8>>, Option<Limit>);
        let rows: Vec<Row> = vec![
            ("members", files(5), None),
            ("one member more", files(6), Some(SMALL.members)),
            ("a member", vec![file("linux/a", 3000)], None),
            (
                "a byte more",
                vec![file("linux/a", 3001)],
                Some(SMALL.member),
            ),
            ("holes", vec![sparse("linux/a", 2560)], None),
            (
                "more holes",
                vec![sparse("linux/a", 1 << 32)],
                Some(SMALL.member),
            ),
            (
                "all members",
                vec![
                    file("linux/a", 3000),
                    file("linux/b", 3000),
                    file("linux/c", 2000),
                ],
                None,
            ),
            (
                "a byte more of all",
                vec![
                    file("linux/a", 3000),
                    file("linux/b", 3000),
                    file("linux/c", 2001),
                ],
                Some(SMALL.total),
            ),
            ("a comment", vec![pax(4000), file("linux/a", 1)], None),
            (
                "a long comment",
                vec![pax(9000), file("linux/a", 1)],
                Some(SMALL.header),
            ),
            (
                "a long name",
                vec![long(b'L', 9000), file("linux/a", 1)],
                Some(SMALL.header),
            ),
            (
                "a long target",
                vec![long(b'K', 9000), file("linux/a", 1)],
                Some(SMALL.header),
            ),
            // What is claimed is not there: it is refused all the same, and nothing of that size is made.
            (
                "a name of 4 GiB",
                vec![member(b'L', "long", 1 << 32, &[b'a'; 9000])],
                Some(SMALL.header),
            ),
        ];
        for (name, members, expected) in rows {
            match (unpacked(&members), expected) {
                (Ok(_), None) => {}
                (Err(Error::Limit { limit, .. }), Some(expected)) => {
                    assert_eq!(limit, Exceeded { limit: expected }, "{name}");
                }
                (got, _) => panic!("{name}: {got:?}"),
            }
        }
    }

    #[test]
    fn a_bomb_ends_at_the_limit() {
        let limit = limits::UNPACKED.with(100);
        let read = |count: u64| {
            let inner = io::repeat(0).take(count);
            let mut limited = Limited {
                inner,
                given: 0,
                limit,
            };
            io::copy(&mut limited, &mut io::sink())
        };
        assert_eq!(read(100).unwrap(), 100);
        let error = damaged(Utf8Path::new("x.tar"), read(101).unwrap_err());
        assert!(matches!(error, Error::Limit { .. }), "{error}");
    }

    #[test]
    fn a_name_in_a_message_is_cut() {
        assert_eq!(cut(b"linux/a"), "linux/a");
        assert_eq!(cut(&[b'a'; 5000]).chars().count(), 201);
    }
}

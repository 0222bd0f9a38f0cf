//! Files, with the path in every error and atomic writes.

use std::fs;
use std::io::{self, Read as _, Write};
use std::time::SystemTime;

use camino::{ReadDirUtf8, Utf8DirEntry, Utf8Path, Utf8PathBuf};

use super::inside::{self, Last, LeadsOut};
use crate::limits::{self, Exceeded, Limit};
use crate::source::Sha256;

/// What a path leads to instead of a file.
#[derive(Debug, thiserror::Error)]
#[error("it is {0}, not a regular file")]
pub struct NotAFile(pub &'static str);

/// What went wrong, on which path.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}")]
pub struct Error {
    /// What was tried: `read`, `write`, `create directory` …
    pub action: &'static str,
    /// On which path.
    pub path: Utf8PathBuf,
    /// The system's answer.
    #[source]
    pub source: io::Error,
}

impl Error {
    /// What the user can do, where the system's answer tells.
    pub fn hint(&self) -> Option<String> {
        let inner = self.source.get_ref();
        if inner.is_some_and(|inner| inner.is::<NotAFile>()) {
            return Some("name a regular file, or put one there".to_owned());
        }
        if let Some(link) = inner.and_then(|inner| inner.downcast_ref::<LeadsOut>()) {
            return Some(link.hint());
        }
        if inner.is_some_and(|inner| inner.is::<Exceeded>()) {
            return Some("files of this kind are far smaller: is it the right one?".to_owned());
        }
        match self.source.kind() {
            io::ErrorKind::StorageFull => Some(full_hint(&self.path)),
            io::ErrorKind::PermissionDenied => {
                Some(format!("check the permissions of {}", self.path))
            }
            io::ErrorKind::ReadOnlyFilesystem => {
                Some(format!("{} lies on a read-only file system", self.path))
            }
            _ => None,
        }
    }
}

/// What to do about a full file system.
pub(super) fn full_hint(path: &Utf8Path) -> String {
    format!("the file system that holds {path} is full: free some space and run it again")
}

/// Whether the file system that holds `path` has less than a MiB left: programs that fail for
/// want of space remove what they began to write, so some of it is free again afterwards.
pub(super) fn is_full(path: &Utf8Path) -> bool {
    rustix::fs::statvfs(path.as_std_path())
        .is_ok_and(|stat| stat.f_bavail.saturating_mul(stat.f_frsize) < 1 << 20)
}

/// Names the path and the action in an I/O error.
pub trait Context<T> {
    /// Attaches `action` and `path`.
    fn context(self, action: &'static str, path: impl AsRef<Utf8Path>) -> Result<T, Error>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, action: &'static str, path: impl AsRef<Utf8Path>) -> Result<T, Error> {
        self.map_err(|source| Error {
            action,
            path: path.as_ref().to_owned(),
            source,
        })
    }
}

/// The whole of a file that a build made or that was written here before.
pub fn read(path: impl AsRef<Utf8Path>) -> Result<Vec<u8>, Error> {
    read_within(path.as_ref(), limits::PRODUCT).context("read", path)
}

/// The same as UTF-8.
pub fn read_to_string(path: impl AsRef<Utf8Path>) -> Result<String, Error> {
    text(read(path.as_ref())?).context("read", path)
}

/// The whole of a file of a workspace, of a source or of the user.
pub fn input(path: impl AsRef<Utf8Path>) -> Result<Vec<u8>, Error> {
    read_within(path.as_ref(), limits::INPUT).context("read", path)
}

/// The same as UTF-8.
pub fn input_text(path: impl AsRef<Utf8Path>) -> Result<String, Error> {
    text(input(path.as_ref())?).context("read", path)
}

/// The same as [`input`] for a path of the command line, which may be a pipe that the caller holds:
/// `/dev/stdin`, or what `<(command)` becomes in a shell.
pub fn argument(path: impl AsRef<Utf8Path>) -> Result<Vec<u8>, Error> {
    let path = path.as_ref();
    let held = ["/dev/fd/", "/dev/stdin", "/proc/self/fd/"];
    if !held.iter().any(|prefix| path.as_str().starts_with(prefix)) {
        return input(path);
    }
    let read = || limited(fs::File::open(path)?, limits::INPUT, 0);
    read().context("read", path)
}

/// The same as [`argument`] as UTF-8.
pub fn argument_text(path: impl AsRef<Utf8Path>) -> Result<String, Error> {
    text(argument(path.as_ref())?).context("read", path)
}

fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

/// The whole of a regular file that is not larger than `limit`. Anything else is refused at once:
/// a device or a pipe may have no end, or wait for one.
pub(super) fn read_within(path: &Utf8Path, limit: Limit) -> io::Result<Vec<u8>> {
    let (file, size) = open(path)?;
    limit.check(size).map_err(io::Error::other)?;
    limited(file, limit, size)
}

/// Opens a regular file; tells its size, too.
pub(super) fn open(path: &Utf8Path) -> io::Result<(fs::File, u64)> {
    use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
    let metadata = fs::metadata(path)?;
    let kind = metadata.file_type();
    let other = match () {
        () if kind.is_file() => None,
        () if kind.is_dir() => Some("a directory"),
        () if kind.is_char_device() => Some("a character device"),
        () if kind.is_block_device() => Some("a block device"),
        () if kind.is_fifo() => Some("a named pipe"),
        () if kind.is_socket() => Some("a socket"),
        () => Some("something else"),
    };
    if let Some(other) = other {
        let kind = match kind.is_dir() {
            true => io::ErrorKind::IsADirectory,
            false => io::ErrorKind::InvalidInput,
        };
        return Err(io::Error::new(kind, NotAFile(other)));
    }
    // Where another file has taken its place meanwhile, opening it does not wait either.
    let wait_not = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let flags = i32::try_from(wait_not.bits()).unwrap_or_default();
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    Ok((file, metadata.len()))
}

/// All that `input` has, unless that is more than `limit`.
pub(super) fn limited(input: impl io::Read, limit: Limit, expected: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let expected = usize::try_from(expected).unwrap_or(0).min(limit.length());
    bytes.try_reserve_exact(expected.saturating_add(1))?;
    input.take(limit.most + 1).read_to_end(&mut bytes)?;
    limit.check(bytes.len() as u64).map_err(io::Error::other)?;
    Ok(bytes)
}

/// When a file was written last, or `None` where there is none.
pub fn modified(path: impl AsRef<Utf8Path>) -> Result<Option<SystemTime>, Error> {
    let path = path.as_ref();
    match fs::metadata(path).and_then(|metadata| metadata.modified()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        time => time.map(Some).context("look at", path),
    }
}

/// As [`read`], or `None` where there is no file.
pub fn read_optional(path: impl AsRef<Utf8Path>) -> Result<Option<Vec<u8>>, Error> {
    optional(path.as_ref(), limits::PRODUCT)
}

/// As [`input`], or `None` where there is no file.
pub fn optional_input(path: impl AsRef<Utf8Path>) -> Result<Option<Vec<u8>>, Error> {
    optional(path.as_ref(), limits::INPUT)
}

fn optional(path: &Utf8Path, limit: Limit) -> Result<Option<Vec<u8>>, Error> {
    match read_within(path, limit) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(source) => Err(Error {
            action: "read",
            path: path.to_owned(),
            source,
        }),
    }
}

/// The SHA-256 of a file's bytes, read piece by piece.
pub fn sha256(path: impl AsRef<Utf8Path>) -> Result<Sha256, Error> {
    use sha2::Digest as _;
    let read = || -> io::Result<Sha256> {
        let (mut file, _) = open(path.as_ref())?;
        let mut hasher = sha2::Sha256::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(Sha256::from_bytes(hasher.finalize().into())),
                count => hasher.update(&buffer[..count]),
            }
        }
    };
    read().context("read", path.as_ref())
}

/// Writes through a temporary file in the same directory and a rename: a reader
/// sees the old bytes or the new ones, never a part. The directory is made.
pub fn write_atomic(path: impl AsRef<Utf8Path>, bytes: &[u8]) -> Result<(), Error> {
    replace(path.as_ref(), bytes, false)
}

/// [`write_atomic`], and the bytes are on the disk before the name leads to them, and the name when it returns: for
/// files of the user's, which nothing can make again after a loss of power. It costs a wait for the disk.
pub fn write_durable(path: impl AsRef<Utf8Path>, bytes: &[u8]) -> Result<(), Error> {
    replace(path.as_ref(), bytes, true)
}

fn replace(path: &Utf8Path, bytes: &[u8], durably: bool) -> Result<(), Error> {
    let directory = path
        .parent()
        .filter(|parent| !parent.as_str().is_empty())
        .unwrap_or(Utf8Path::new("."));
    create_dir_all(directory)?;
    inside::check(path, Last::Itself).context("write", path)?;
    let write = || -> io::Result<()> {
        let mut temporary = tempfile::Builder::new()
            .prefix(".tmp-")
            .tempfile_in(directory)?;
        temporary.write_all(bytes)?;
        use std::os::unix::fs::PermissionsExt as _;
        temporary
            .as_file()
            .set_permissions(fs::Permissions::from_mode(0o644))?;
        if durably {
            temporary.as_file().sync_all()?;
        }
        temporary.persist(path).map_err(|error| error.error)?;
        // Some file systems cannot wait for a directory, and have it on the disk all the same.
        if durably && let Ok(directory) = fs::File::open(directory) {
            let _ = directory.sync_all();
        }
        Ok(())
    };
    write().context("write", path)
}

/// Writes a file that is not there yet, complete and on disk before its name appears. The directory is made.
/// `false`, and nothing written, where the name is taken.
pub fn write_new(path: impl AsRef<Utf8Path>, bytes: &[u8]) -> Result<bool, Error> {
    let path = path.as_ref();
    let directory = path.parent().unwrap_or(Utf8Path::new("."));
    create_dir_all(directory)?;
    let write = || -> io::Result<bool> {
        let mut temporary = tempfile::Builder::new()
            .prefix(".tmp-")
            .tempfile_in(directory)?;
        temporary.write_all(bytes)?;
        temporary.as_file().sync_all()?;
        match temporary.persist_noclobber(path) {
            Ok(_) => Ok(true),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error.error),
        }
    };
    write().context("write", path)
}

/// What every tag of a cache directory begins with (<https://bford.info/cachedir/>).
const CACHE_SIGNATURE: &str = "Signature: 8a477f597d28d172789f06886806bc55";

/// The name of such a tag.
pub const CACHE_TAG: &str = "CACHEDIR.TAG";

/// Marks the directory that holds the directories of kernels as a cache, as cargo does its target directory:
/// backups leave it out, and so does a source that it is in.
pub fn mark_as_cache(kernels: &Utf8Path) -> Result<(), Error> {
    let text = format!(
        "{CACHE_SIGNATURE}\n# This file is a cache directory tag created by cargo kernel.\n# For information about cache directory tags see https://bford.info/cachedir/\n"
    );
    write_new(kernels.join(CACHE_TAG), text.as_bytes())?;
    Ok(())
}

/// Whether a file is such a tag, by cargo or by [`mark_as_cache`]. One that cannot be read is none.
pub fn is_cargos_cache_tag(path: &Utf8Path) -> bool {
    use std::io::Read as _;
    let mut text = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(1 << 10).read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text);
    read.is_ok() && text.starts_with(CACHE_SIGNATURE) && text.contains("created by cargo")
}

/// Writes only where the bytes differ, so that an unchanged file keeps its time.
/// Returns whether it wrote.
pub fn write_if_changed(path: impl AsRef<Utf8Path>, bytes: &[u8]) -> Result<bool, Error> {
    if read_optional(path.as_ref())?.as_deref() == Some(bytes) {
        return Ok(false);
    }
    write_atomic(path, bytes)?;
    Ok(true)
}

/// The path without symbolic links, `.` and `..`; what does not exist yet is kept as it is.
pub fn real_path(path: impl AsRef<Utf8Path>) -> Utf8PathBuf {
    let path = path.as_ref();
    path.ancestors()
        .find_map(|ancestor| {
            let real = ancestor.canonicalize_utf8().ok()?;
            let rest = path.strip_prefix(ancestor).ok()?;
            Some(if rest.as_str().is_empty() {
                real
            } else {
                real.join(rest)
            })
        })
        .unwrap_or_else(|| path.to_owned())
}

/// Makes a directory and its parents.
pub fn create_dir_all(path: impl AsRef<Utf8Path>) -> Result<(), Error> {
    inside::check(path.as_ref(), Last::Followed)
        .and_then(|()| fs::create_dir_all(path.as_ref()))
        .context("create directory", path)
}

/// Removes a tree; one that is not there is no error. Read-only directories inside are opened up.
pub fn remove_dir_all(path: impl AsRef<Utf8Path>) -> Result<(), Error> {
    let path = path.as_ref();
    inside::check(path, Last::Itself).context("remove", path)?;
    match fs::remove_dir_all(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => make_writable(path)
            .and_then(|()| fs::remove_dir_all(path))
            .context("remove", path),
        Err(source) => Err(Error {
            action: "remove",
            path: path.to_owned(),
            source,
        }),
    }
}

fn make_writable(directory: &Utf8Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755))?;
    for entry in directory.read_dir_utf8()? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            make_writable(entry.path())?;
        }
    }
    Ok(())
}

/// Names of what lies in a directory, sorted; those that are not UTF-8 are left out.
pub fn file_names(directory: impl AsRef<Utf8Path>) -> Result<Vec<String>, Error> {
    let directory = directory.as_ref();
    let entries = fs::read_dir(directory).context("read", directory)?;
    let mut names = entries
        .map(|entry| Ok(entry?.file_name().into_string().ok()))
        .filter_map(Result::transpose)
        .collect::<io::Result<Vec<_>>>()
        .context("read", directory)?;
    names.sort_unstable();
    Ok(names)
}

/// Everything below a directory, in no order; names that are not UTF-8 are left out.
pub fn below(directory: impl Into<Utf8PathBuf>) -> Below {
    Below {
        open: vec![directory.into()],
        reading: None,
    }
}

/// An iterator over everything below a directory; links are not followed.
#[derive(Debug)]
pub struct Below {
    open: Vec<Utf8PathBuf>,
    reading: Option<(Utf8PathBuf, ReadDirUtf8)>,
}

impl Iterator for Below {
    type Item = Result<Utf8DirEntry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((directory, entries)) = &mut self.reading else {
                let directory = self.open.pop()?;
                match directory.read_dir_utf8().context("read", &directory) {
                    Ok(entries) => self.reading = Some((directory, entries)),
                    Err(error) => return Some(Err(error)),
                }
                continue;
            };
            let entry = match entries.next() {
                Some(Ok(entry)) => entry,
                Some(Err(error)) if error.kind() == io::ErrorKind::InvalidData => continue,
                Some(Err(error)) => return Some(Err(error).context("read", directory)),
                None => {
                    self.reading = None;
                    continue;
                }
            };
            match entry.file_type().context("look at", entry.path()) {
                Ok(kind) if kind.is_dir() => self.open.push(entry.path().to_owned()),
                Ok(_) => {}
                Err(error) => return Some(Err(error)),
            }
            return Some(Ok(entry));
        }
    }
}

/// The permissions of what is installed, whatever the umask was: 0755 for directories and for what runs, 0644 for
/// the rest.
pub fn usual_mode(mode: u32) -> u32 {
    match mode & 0o111 {
        0 => 0o644,
        _ => 0o755,
    }
}

/// Gives a directory and everything below it the permissions of [`usual_mode`]; links are left alone.
pub fn usual_modes(directory: &Utf8Path) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt as _;
    let set = |path: &Utf8Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).context("write", path)
    };
    inside::check(directory, Last::Followed).context("write", directory)?;
    set(directory, 0o755)?;
    for entry in below(directory) {
        let entry = entry?;
        let metadata = entry.metadata().context("look at", entry.path())?;
        let mode = match metadata.is_dir() {
            true => 0o755,
            false => usual_mode(metadata.permissions().mode()),
        };
        if !metadata.is_symlink() && metadata.permissions().mode() & 0o7777 != mode {
            set(entry.path(), mode)?;
        }
    }
    Ok(())
}

/// Removes a file; one that is not there is no error.
pub fn remove_file(path: impl AsRef<Utf8Path>) -> Result<(), Error> {
    inside::check(path.as_ref(), Last::Itself).context("remove", path.as_ref())?;
    match fs::remove_file(path.as_ref()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.context("remove", path),
    }
}

/// Copies a file's bytes and permission bits.
pub fn copy(from: impl AsRef<Utf8Path>, to: impl AsRef<Utf8Path>) -> Result<(), Error> {
    inside::check(to.as_ref(), Last::Followed)
        .and_then(|()| fs::copy(from.as_ref(), to.as_ref()))
        .context("copy to", to)
        .map(drop)
}

/// Copies a file's bytes to a new file, and returns what they hash to: what was written is what was hashed.
pub fn copy_hashing(from: impl AsRef<Utf8Path>, to: impl AsRef<Utf8Path>) -> Result<Sha256, Error> {
    use sha2::Digest as _;
    let (from, to) = (from.as_ref(), to.as_ref());
    let (mut source, _) = open(from).context("read", from)?;
    inside::check(to, Last::Itself).context("write", to)?;
    let mut target = fs::File::create_new(to).context("write", to)?;
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match source.read(&mut buffer).context("read", from)? {
            0 => return Ok(Sha256::from_bytes(hasher.finalize().into())),
            count => {
                hasher.update(&buffer[..count]);
                target.write_all(&buffer[..count]).context("write", to)?;
            }
        }
    }
}

/// Makes a symbolic link, through a temporary one and a rename where the name is taken.
/// The directory is made.
pub fn symlink_atomic(
    target: impl AsRef<Utf8Path>,
    link: impl AsRef<Utf8Path>,
) -> Result<(), Error> {
    let link = link.as_ref();
    if let Some(directory) = link.parent() {
        create_dir_all(directory)?;
    }
    let temporary = Utf8PathBuf::from(format!("{link}.tmp-{}", std::process::id()));
    remove_file(&temporary)?;
    std::os::unix::fs::symlink(target.as_ref(), &temporary).context("write", &temporary)?;
    rename(&temporary, link)
}

/// Whether a directory is there, and no link to one.
pub(super) fn is_directory(path: &Utf8Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

/// Renames within one file system.
pub fn rename(from: impl AsRef<Utf8Path>, to: impl AsRef<Utf8Path>) -> Result<(), Error> {
    inside::check(from.as_ref(), Last::Itself)
        .and_then(|()| inside::check(to.as_ref(), Last::Itself))
        .and_then(|()| fs::rename(from.as_ref(), to.as_ref()))
        .context("rename to", to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn temporary() -> (tempfile::TempDir, Utf8PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(directory.path().to_owned()).unwrap();
        (directory, path)
    }

    #[test]
    fn errors_name_the_path() {
        let error = read("/does/not/exist").unwrap_err();
        assert_eq!(error.to_string(), "cannot read /does/not/exist");
    }

    #[test]
    fn what_is_no_regular_file_is_refused_at_once_by_what_it_is() {
        let (_guard, directory) = temporary();
        let pipe = directory.join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, pipe.as_std_path(), 0o600.into()).unwrap();
        std::os::unix::fs::symlink("/dev/zero", directory.join("zero")).unwrap();
        let socket = directory.join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for (path, expected) in [
            (pipe, "a named pipe"),
            (directory.join("zero"), "a character device"),
            ("/dev/zero".into(), "a character device"),
            (socket, "a socket"),
            (directory.clone(), "a directory"),
        ] {
            for error in [
                read(&path).unwrap_err(),
                input_text(&path).unwrap_err(),
                optional_input(&path).unwrap_err(),
                sha256(&path).unwrap_err(),
                copy_hashing(&path, directory.join("copy")).unwrap_err(),
            ] {
                let why = error.source.to_string();
                assert_eq!(why, format!("it is {expected}, not a regular file"));
                assert!(error.hint().unwrap().contains("regular file"), "{path}");
            }
        }
    }

    #[test]
    fn a_file_may_be_as_long_as_its_limit_and_no_longer() {
        let (_guard, directory) = temporary();
        let path = directory.join("file");
        // Sparse: nothing of it is on disk, and nothing is read where it is too long.
        let file = fs::File::create(&path).unwrap();
        file.set_len(limits::INPUT.most + 1).unwrap();
        let error = input(&path).unwrap_err();
        assert_eq!(
            error.source.to_string(),
            "the size of the file exceeds 64 MiB"
        );
        assert!(error.hint().is_some());
        file.set_len(limits::INPUT.most).unwrap();
        assert_eq!(input(&path).unwrap().len() as u64, limits::INPUT.most);
        file.set_len(limits::PRODUCT.most + 1).unwrap();
        assert!(read(&path).is_err() && read_optional(&path).is_err());
        // What tells no size is read no further than that.
        let endless = || limited(io::repeat(0), limits::INPUT.with(9), 0);
        assert!(endless().is_err());
        let nine = limited(io::repeat(0).take(9), limits::INPUT.with(9), 0).unwrap();
        assert_eq!(nine.len(), 9);
    }

    #[test]
    fn a_real_path_has_no_links_and_need_not_exist() {
        let (_guard, directory) = temporary();
        let directory = directory.canonicalize_utf8().unwrap();
        create_dir_all(directory.join("a/b")).unwrap();
        std::os::unix::fs::symlink("a/b", directory.join("link")).unwrap();
        let rows = [
            ("a/../a/b", "a/b"),
            ("link", "a/b"),
            ("link/new/file", "a/b/new/file"),
            ("a/b", "a/b"),
        ];
        for (path, expected) in rows {
            assert_eq!(
                real_path(directory.join(path)),
                directory.join(expected),
                "{path}"
            );
        }
    }

    #[test]
    fn an_unchanged_file_keeps_its_time() {
        let (_guard, directory) = temporary();
        let path = directory.join("a/b");
        assert!(write_if_changed(&path, b"x").unwrap());
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        assert!(!write_if_changed(&path, b"x").unwrap());
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);
        assert!(write_if_changed(&path, b"y").unwrap());
    }

    #[test]
    fn a_durable_write_leaves_the_file_and_nothing_else() {
        let (_guard, directory) = temporary();
        let path = directory.join("a/b");
        for text in [&b"x"[..], b"longer"] {
            write_durable(&path, text).unwrap();
            assert_eq!(read(&path).unwrap(), text);
        }
        assert_eq!(file_names(directory.join("a")).unwrap(), ["b"]);
    }

    #[test]
    fn a_failed_write_leaves_nothing_behind() {
        let (_guard, directory) = temporary();
        create_dir_all(directory.join("taken")).unwrap();
        write_atomic(directory.join("taken"), b"x").unwrap_err();
        write_durable(directory.join("taken"), b"x").unwrap_err();
        let left: Vec<_> = directory
            .read_dir_utf8()
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_owned())
            .collect();
        assert_eq!(left, ["taken"]);
    }
}

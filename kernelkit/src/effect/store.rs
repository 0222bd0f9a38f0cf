//! The store of finished builds on this machine's disk.
//!
//! ```text
//! <root>/<release>/entry.json    written last: what is below files/
//! <root>/<release>/files/…       read-only
//! <root>/<release>/last-used     its time is when the entry was last found
//! <root>/.nix/<release>/…        links to the same build in the Nix store, which keep it there
//! <root>/.releases/<release>     which identity a release names: written once, kept when the entry is pruned
//! <root>/.tmp-…/                 an entry on its way in or out, locked by whoever is at it
//! ```
//!
//! Files are *copied* in and out, never linked: the build directory and the destination belong to
//! the user, who may strip or sign in place, and a hard link would carry that into the store.
//! Where the file system can share blocks (btrfs, XFS) the copy is a reflink and costs nothing. Any
//! other name in `<root>` is none of ours and is left alone.

use std::collections::BTreeSet;
use std::fs::{File as Handle, FileTimes, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::time::{SystemTime, UNIX_EPOCH};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{FlockOperation, flock};

use super::fs::{self, Context as _};
use super::inside;
use crate::identity::Identity;
use crate::manifest::Manifest;
use crate::store::{
    self, Check, Entry, File, Kind, Known, Lookup, Prune, Registered, SCHEMA, State, Store,
    Summary, Taken, is_entry_name,
};

const RECORD: &str = "entry.json";
const FILES: &str = "files";
const LAST_USED: &str = "last-used";
const TEMPORARY: &str = ".tmp-";

/// Links into the Nix store, by release: they go with their entry.
pub(super) const NIX_ROOTS: &str = ".nix";

/// What releases name, a file each.
const REGISTER: &str = ".releases";

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// A release that cannot name a directory.
    #[error("`{0}` cannot name a store entry")]
    Name(String),
    /// The release names another identity.
    #[error(transparent)]
    Taken(#[from] Box<Taken>),
    /// A line of the register cannot be read.
    #[error("{path}, which says what this release names, cannot be understood")]
    Register {
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Something else is where a line of the register belongs.
    #[error("{path} should be a file that says what this release names")]
    RegisterPlace {
        /// What is there.
        path: Utf8PathBuf,
    },
    /// The manifest is not JSON.
    #[error("the manifest of {release} is not JSON")]
    Manifest {
        /// The release.
        release: String,
        /// Where it is not.
        #[source]
        source: serde_json::Error,
    },
    /// Devices, pipes and sockets cannot be published.
    #[error("{path} is neither a file nor a directory nor a link")]
    Special {
        /// The path.
        path: Utf8PathBuf,
    },
    /// The entry was written by a newer kernelkit.
    #[error("the store entry {release} has schema {schema}; this version knows up to {SCHEMA}")]
    Newer {
        /// The release.
        release: String,
        /// Its schema.
        schema: u32,
    },
    /// A file of an entry is not what was published.
    #[error("the store entry {release} is damaged: {what}")]
    Damaged {
        /// The release.
        release: String,
        /// What is wrong with it, as a clause.
        what: String,
    },
    /// The pattern cannot be read.
    #[error("`{pattern}` is not a pattern")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// Why.
        #[source]
        source: glob::PatternError,
    },
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::File(error) => error.hint(),
            Error::Newer { release, .. } => Some(format!(
                "update cargo-kernel, or drop the entry with `cargo kernel store forget {release}`"
            )),
            Error::Pattern { .. } => {
                Some("use `*` for any characters, such as `6.12.*-tiny-*`".to_owned())
            }
            Error::Taken(error) => Some(error.hint()),
            Error::Damaged { .. } => Some(
                "`cargo kernel store verify --repair` drops what is damaged; the next build makes it again"
                    .to_owned(),
            ),
            Error::Register { path, .. } | Error::RegisterPlace { path } => Some(format!(
                "a newer kernelkit wrote it, or it is damaged; where no kernel of that name is in use, `cargo kernel store forget --release {}` frees the release",
                path.file_name().unwrap_or_default()
            )),
            Error::Name(_) | Error::Manifest { .. } | Error::Special { .. } => None,
        }
    }
}

/// The store below a directory, which is made when the first entry is published.
#[derive(Clone, Debug)]
pub struct HostStore {
    root: Utf8PathBuf,
}

impl HostStore {
    /// The store below `root`, such as
    /// [`Environment::store_dir`](super::environment::Environment::store_dir).
    pub fn new(root: impl Into<Utf8PathBuf>) -> Self {
        let root = root.into();
        inside::keep(&root, &root);
        HostStore { root }
    }

    /// Where it lies.
    pub fn root(&self) -> &Utf8Path {
        &self.root
    }

    /// Every entry, in order of releases; their files are not looked at.
    pub fn list(&self) -> Result<Vec<Summary>, Error> {
        let mut summaries = self
            .entry_names()?
            .into_iter()
            .map(|release| self.summarize(release))
            .collect::<Result<Vec<_>, _>>()?;
        summaries.sort_by(|a, b| a.release.cmp(&b.release));
        Ok(summaries)
    }

    /// Drops the entries whose release matches the shell pattern, or is of that digest. Returns
    /// what went.
    pub fn forget(&self, pattern: &str) -> Result<Vec<Summary>, Error> {
        let glob = glob::Pattern::new(pattern).map_err(|source| Error::Pattern {
            pattern: pattern.to_owned(),
            source,
        })?;
        let mut gone = self.list()?;
        gone.retain(|entry| glob.matches(&entry.release) || entry.digest == pattern);
        for entry in &gone {
            self.discard(&entry.release)?;
        }
        Ok(gone)
    }

    /// Drops what the limits do not allow, and what killed runs left behind. Returns what
    /// went, or would have gone where `dry_run`.
    pub fn prune(&self, limits: &Prune, dry_run: bool) -> Result<Vec<Summary>, Error> {
        let entries = self.list()?;
        let gone: Vec<Summary> = store::select(&entries, limits)
            .into_iter()
            .cloned()
            .collect();
        if !dry_run {
            self.clean();
            for entry in &gone {
                self.discard(&entry.release)?;
            }
        }
        Ok(gone)
    }

    /// What a release names; `None` where no build has had it.
    ///
    /// # Errors
    /// The register cannot be read.
    pub fn registered(&self, release: &str) -> Result<Option<Registered>, Error> {
        if !is_entry_name(release) {
            return Err(Error::Name(release.to_owned()));
        }
        let path = self.root.join(REGISTER).join(release);
        // A pipe in its place would be waited for.
        let json = match std::fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_file() => fs::read_optional(&path)?,
            Ok(_) => return Err(Error::RegisterPlace { path }),
            Err(_) => None,
        };
        let Some(json) = json else {
            // What a copy of the store lost is in the entry.
            let entry = self.read_record(release)?.ok();
            let manifest = entry.and_then(|entry| {
                let manifest: Manifest = serde_json::from_value(entry.manifest).ok()?;
                Some((manifest.record, entry.created))
            });
            return Ok(manifest
                .filter(|(record, _)| !record.identity.release.is_empty())
                .map(|(record, created)| {
                    Registered::new(record.name.as_str(), release, &record.identity, created)
                }));
        };
        let registered = serde_json::from_slice(&json);
        registered
            .map(Some)
            .map_err(|source| Error::Register { path, source })
    }

    /// Every release that is registered or stored, in order.
    ///
    /// # Errors
    /// The register cannot be read.
    pub fn releases(&self) -> Result<Vec<Known>, Error> {
        let stored: BTreeSet<String> = self.entry_names()?.into_iter().collect();
        let mut names = stored.clone();
        let register = self.root.join(REGISTER);
        match register.read_dir_utf8() {
            Ok(entries) => names.extend(
                entries
                    .filter_map(Result::ok)
                    .map(|entry| entry.file_name().to_owned())
                    .filter(|name| is_entry_name(name)),
            ),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(source).context("read", register).map_err(Error::File),
        }
        let known = |release: String| {
            let registered = match self.registered(&release) {
                Err(Error::Register { .. } | Error::RegisterPlace { .. }) => None,
                Err(error) => return Err(error),
                Ok(registered) => Some(registered),
            };
            Ok(match registered {
                // Of format 1, whose releases name no identity of today, or damaged.
                Some(None) => None,
                registered => Some(Known {
                    is_stored: stored.contains(&release),
                    registered: registered.flatten(),
                    release,
                }),
            })
        };
        names
            .into_iter()
            .map(known)
            .filter_map(Result::transpose)
            .collect()
    }

    /// Has a release name nothing any more, and drops the build that is stored under it. `false` where it was
    /// not known. Two kernels can have the release afterwards.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn free(&self, release: &str) -> Result<bool, Error> {
        if !is_entry_name(release) {
            return Err(Error::Name(release.to_owned()));
        }
        // What is stored says what its release names, too: the line goes last.
        let is_stored = self.entry_dir(release).join(RECORD).is_file();
        if is_stored {
            self.discard(release)?;
        }
        let line = self.root.join(REGISTER).join(release);
        let is_registered = match std::fs::symlink_metadata(&line) {
            Ok(metadata) if metadata.is_dir() => return Err(Error::RegisterPlace { path: line }),
            Ok(_) => true,
            Err(_) => false,
        };
        fs::remove_file(&line)?;
        Ok(is_stored || is_registered)
    }

    /// Has a release name an identity, for good.
    ///
    /// # Errors
    /// It names another one, or the register cannot be written.
    pub fn register(&self, kernel: &str, release: &str, identity: &Identity) -> Result<(), Error> {
        loop {
            let registered = self.registered(release)?;
            if let Some(registered) = &registered {
                registered.admits(kernel, identity)?;
            }
            let path = self.root.join(REGISTER).join(release);
            if registered.is_some() && path.exists() {
                return Ok(());
            }
            let now = seconds(SystemTime::now());
            let line = Registered::new(kernel, release, identity, now);
            let json = serde_json::to_vec(&line).expect("a line has only string keys");
            // Of two that write at once the second finds the first one's.
            if fs::write_new(&path, &json)? {
                return Ok(());
            }
        }
    }

    fn entry_dir(&self, release: &str) -> Utf8PathBuf {
        self.root.join(release)
    }

    /// Directories that have a record. One without is either not ours or was never complete.
    fn entry_names(&self) -> Result<Vec<String>, Error> {
        let entries = match self.root.read_dir_utf8() {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(source).context("read", &self.root).map_err(Error::File),
        };
        Ok(entries
            // A name that is not UTF-8 is not ours either.
            .filter_map(Result::ok)
            .map(|entry| entry.file_name().to_owned())
            .filter(|name| is_entry_name(name) && self.entry_dir(name).join(RECORD).is_file())
            .collect())
    }

    /// The newest entry of a digest, where `key` is none.
    fn resolve(&self, key: &str) -> Result<Option<String>, Error> {
        if !is_entry_name(key) {
            return Err(Error::Name(key.to_owned()));
        }
        if self.entry_dir(key).is_dir() {
            return Ok(Some(key.to_owned()));
        }
        let mut found: Vec<Summary> = self
            .entry_names()?
            .into_iter()
            .map(|release| self.summarize(release))
            .collect::<Result<_, _>>()?;
        found.retain(|entry| entry.digest == key);
        found.sort_by_key(|entry| (entry.created, entry.release.clone()));
        Ok(found.pop().map(|entry| entry.release))
    }

    fn read_record(&self, release: &str) -> Result<Result<Entry, Lookup>, Error> {
        let json = fs::read_optional(self.entry_dir(release).join(RECORD))?;
        Ok(match json {
            Some(json) => Entry::parse(release, &json),
            None => Err(Lookup::Damaged {
                release: release.to_owned(),
                what: format!("{RECORD} is missing"),
            }),
        })
    }

    fn summarize(&self, release: String) -> Result<Summary, Error> {
        let mut summary = Summary {
            release,
            state: State::Complete,
            schema: 0,
            digest: String::new(),
            size: 0,
            created: 0,
            last_used: 0,
        };
        match self.read_record(&summary.release)? {
            Ok(entry) => {
                summary.schema = entry.schema;
                summary.digest = entry.digest().unwrap_or_default().to_owned();
                summary.size = entry.size();
                summary.created = entry.created;
            }
            Err(Lookup::Newer { schema, .. }) => summary.state = State::Newer { schema },
            Err(Lookup::Damaged { what, .. }) => summary.state = State::Damaged { what },
            Err(Lookup::Hit(_) | Lookup::Miss) => unreachable!("a record is sound or it is not"),
        }
        let used = std::fs::metadata(self.entry_dir(&summary.release).join(LAST_USED));
        summary.last_used = used.map_or(summary.created, |metadata| metadata.mtime());
        Ok(summary)
    }

    /// The difference between the record and the files, as a clause.
    fn damage(&self, entry: &Entry, check: Check) -> Option<String> {
        let files = self.entry_dir(&entry.release).join(FILES);
        entry
            .files
            .iter()
            .find_map(|file| Some(format!("{} {}", file.path, differs(&files, file, check)?)))
    }

    /// Drops an entry that is damaged; `false` where it is sound, gone, or of a newer kernelkit.
    ///
    /// # Errors
    /// It cannot be read or removed.
    pub fn repair(&self, release: &str) -> Result<bool, Error> {
        match self.find(release, Check::Full)? {
            Lookup::Damaged { release, .. } => self.discard(&release).map(|()| true),
            Lookup::Hit(_) | Lookup::Miss | Lookup::Newer { .. } => Ok(false),
        }
    }

    /// Takes an entry out of sight at once, then deletes it.
    fn discard(&self, release: &str) -> Result<(), Error> {
        fs::remove_dir_all(self.root.join(NIX_ROOTS).join(release))?;
        let temporary = Temporary::new(&self.root)?;
        match fs::rename(self.entry_dir(release), temporary.path.join("gone")) {
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => Ok(()),
            result => Ok(result?),
        }
    }

    /// Deletes temporaries that nobody holds. What resists is left for the next time.
    fn clean(&self) {
        let Ok(entries) = self.root.read_dir_utf8() else {
            return;
        };
        for entry in entries.filter_map(Result::ok) {
            if entry.file_name().starts_with(TEMPORARY)
                && let Ok(directory) = Handle::open(entry.path())
                && flock(&directory, FlockOperation::NonBlockingLockExclusive).is_ok()
            {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    /// Best effort: a store that cannot be written to is still good for reading.
    fn record_use(&self, release: &str) {
        let _ = touch(&self.entry_dir(release).join(LAST_USED), SystemTime::now());
    }
}

impl Store for HostStore {
    type Error = Error;

    /// A hit is recorded as the entry's last use.
    fn find(&self, key: &str, check: Check) -> Result<Lookup, Error> {
        let Some(release) = self.resolve(key)? else {
            return Ok(Lookup::Miss);
        };
        let entry = match self.read_record(&release)? {
            Ok(entry) => entry,
            Err(lookup) => return Ok(lookup),
        };
        if let Some(what) = self.damage(&entry, check) {
            return Ok(Lookup::Damaged { release, what });
        }
        self.record_use(&release);
        Ok(Lookup::Hit(Box::new(entry)))
    }

    fn publish(&self, release: &str, dir: &Utf8Path, manifest_json: &[u8]) -> Result<Entry, Error> {
        if !is_entry_name(release) {
            return Err(Error::Name(release.to_owned()));
        }
        let manifest = serde_json::from_slice(manifest_json).map_err(|source| Error::Manifest {
            release: release.to_owned(),
            source,
        })?;
        self.clean();
        if let Some(entry) = self.standing(release)? {
            return Ok(entry);
        }
        let temporary = Temporary::new(&self.root)?;
        let new = temporary.path.join("new");
        let mut files = Vec::new();
        fs::create_dir_all(new.join(FILES))?;
        take_in(dir, &new.join(FILES), Utf8Path::new(""), &mut files)?;
        let entry = Entry {
            schema: SCHEMA,
            release: release.to_owned(),
            created: seconds(SystemTime::now()),
            files,
            manifest,
        };
        let json = serde_json::to_vec(&entry).expect("an entry has only string keys");
        touch(&new.join(LAST_USED), SystemTime::now()).context("write", new.join(LAST_USED))?;
        fs::write_atomic(new.join(RECORD), &json)?;
        let place = self.entry_dir(release);
        loop {
            match std::fs::rename(&new, &place) {
                Ok(()) => return Ok(entry),
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::DirectoryNotEmpty
                            | io::ErrorKind::AlreadyExists
                            | io::ErrorKind::NotADirectory
                    ) => {}
                Err(source) => {
                    return Err(source)
                        .context("publish to", &place)
                        .map_err(Error::File);
                }
            }
            // Somebody else was first, or a damaged entry is in the way.
            match self.standing(release)? {
                Some(entry) => return Ok(entry),
                None => self.discard(release)?,
            }
        }
    }

    fn materialize(&self, entry: &Entry, dest: &Utf8Path) -> Result<(), Error> {
        let files = self.entry_dir(&entry.release).join(FILES);
        fs::create_dir_all(dest)?;
        for file in &entry.files {
            let to = dest.join(&file.path);
            match &file.kind {
                Kind::Directory => fs::create_dir_all(&to)?,
                Kind::Symlink { target } => {
                    if to.read_link_utf8().is_ok_and(|link| link == *target) {
                        continue;
                    }
                    let temporary = beside(&to);
                    fs::remove_file(&temporary)?;
                    symlink(target, &temporary).context("write", &temporary)?;
                    fs::rename(temporary, to)?;
                }
                Kind::File {
                    mode,
                    mtime,
                    sha256,
                    ..
                } => {
                    let temporary = beside(&to);
                    fs::remove_file(&temporary)?;
                    let from = files.join(&file.path);
                    let found = fs::copy_hashing(&from, &temporary)?;
                    if found != *sha256 {
                        fs::remove_file(&temporary)?;
                        return Err(Error::Damaged {
                            release: entry.release.clone(),
                            what: format!("{} has other content", file.path),
                        });
                    }
                    let mode = fs::usual_mode(*mode);
                    finish(&temporary, mode, *mtime).context("write", &temporary)?;
                    fs::rename(temporary, to)?;
                }
            }
        }
        Ok(())
    }
}

impl HostStore {
    /// The sound entry that is there already.
    fn standing(&self, release: &str) -> Result<Option<Entry>, Error> {
        if !self.entry_dir(release).exists() {
            return Ok(None);
        }
        match self.find(release, Check::Quick)? {
            Lookup::Hit(entry) => Ok(Some(*entry)),
            Lookup::Newer { release, schema } => Err(Error::Newer { release, schema }),
            Lookup::Miss | Lookup::Damaged { .. } => Ok(None),
        }
    }
}

/// A directory that is deleted when this is dropped, or by the next run when this one is killed:
/// the lock on it says that somebody is still there.
struct Temporary {
    path: Utf8PathBuf,
    _lock: Handle,
}

impl Temporary {
    fn new(root: &Utf8Path) -> Result<Self, fs::Error> {
        fs::create_dir_all(root)?;
        loop {
            let directory = tempfile::Builder::new()
                .prefix(TEMPORARY)
                .tempdir_in(root)
                .context("write to", root)?;
            // Another run may take the new directory for a forgotten one before it is locked.
            let lock = match Handle::open(directory.path()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                lock => lock.context("write to", root)?,
            };
            let taken = flock(&lock, FlockOperation::NonBlockingLockExclusive)
                .is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
            if !taken && directory.path().exists() {
                let path = Utf8PathBuf::from_path_buf(directory.keep())
                    .expect("a path below a UTF-8 root is UTF-8");
                return Ok(Temporary { path, _lock: lock });
            }
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // What cannot be deleted now is deleted by the next run.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Copies what is in `from` to `to`, read-only, and records it. `below` is the path so far.
fn take_in(
    from: &Utf8Path,
    to: &Utf8Path,
    below: &Utf8Path,
    files: &mut Vec<File>,
) -> Result<(), Error> {
    let mut names = from
        .read_dir_utf8()
        .and_then(|entries| {
            entries
                .map(|entry| Ok(entry?.file_name().to_owned()))
                .collect::<io::Result<Vec<_>>>()
        })
        .context("read", from)?;
    names.sort();
    for name in names {
        let (source, copy, path) = (from.join(&name), to.join(&name), below.join(&name));
        let metadata = std::fs::symlink_metadata(&source).context("read", &source)?;
        let kind = if metadata.is_dir() {
            fs::create_dir_all(&copy)?;
            files.push(File {
                path: path.clone(),
                kind: Kind::Directory,
            });
            take_in(&source, &copy, &path, files)?;
            continue;
        } else if metadata.is_symlink() {
            let target = source
                .read_link_utf8()
                .context("read", &source)?
                .into_string();
            symlink(&target, &copy).context("write", &copy)?;
            Kind::Symlink { target }
        } else if metadata.is_file() {
            fs::copy(&source, &copy)?;
            let mode = fs::usual_mode(metadata.mode());
            std::fs::set_permissions(&copy, Permissions::from_mode(mode & 0o555))
                .context("write", &copy)?;
            // The copy is what is hashed: what the store has, not what the source had.
            let sha256 = fs::sha256(&copy)?;
            let stored = std::fs::metadata(&copy).context("read", &copy)?;
            Kind::File {
                size: stored.size(),
                mode,
                mtime: nanoseconds(&stored),
                sha256,
            }
        } else {
            return Err(Error::Special { path: source });
        };
        files.push(File { path, kind });
    }
    Ok(())
}

/// How a file differs from its record, as the rest of a sentence.
fn differs(files: &Utf8Path, file: &File, check: Check) -> Option<String> {
    let path = files.join(&file.path);
    let metadata = match std::fs::symlink_metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Some("is missing".into()),
        Err(error) => return Some(format!("cannot be read ({error})")),
    };
    match &file.kind {
        Kind::Directory => (!metadata.is_dir()).then(|| "is no directory".into()),
        Kind::Symlink { target } => match path.read_link_utf8() {
            Ok(now) if now == *target => None,
            Ok(now) => Some(format!("points to {now} and not to {target}")),
            Err(_) => Some("is no link".into()),
        },
        Kind::File { .. } if !metadata.is_file() => Some("is no file".into()),
        Kind::File { size, .. } if metadata.size() != *size => {
            Some(format!("has {} bytes and not {size}", metadata.size()))
        }
        // A copied store has other times and the same bytes.
        Kind::File { mtime, .. } if check == Check::Quick && nanoseconds(&metadata) == *mtime => {
            None
        }
        Kind::File { sha256, .. } => match fs::sha256(&path) {
            Ok(now) if now == *sha256 => None,
            Ok(_) => Some("has other content".into()),
            Err(error) => Some(format!("cannot be read ({})", error.source)),
        },
    }
}

fn beside(path: &Utf8Path) -> Utf8PathBuf {
    let name = path.file_name().unwrap_or_default();
    path.with_file_name(format!("{TEMPORARY}{name}"))
}

fn finish(path: &Utf8Path, mode: u32, mtime: i64) -> io::Result<()> {
    std::fs::set_permissions(path, Permissions::from_mode(mode | 0o200))?;
    let time = UNIX_EPOCH + std::time::Duration::from_nanos(mtime.unsigned_abs());
    Handle::options()
        .write(true)
        .open(path)?
        .set_times(FileTimes::new().set_modified(time))?;
    std::fs::set_permissions(path, Permissions::from_mode(mode))
}

fn touch(path: &Utf8Path, time: SystemTime) -> io::Result<()> {
    Handle::options()
        .create(true)
        .append(true)
        .open(path)?
        .set_times(FileTimes::new().set_modified(time))
}

fn nanoseconds(metadata: &std::fs::Metadata) -> i64 {
    metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec()
}

fn seconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs().cast_signed())
}

#[cfg(test)]
mod tests;

//! Turns a [`Source`] into a directory with a kernel tree and the id of its files.
//!
//! Archives are verified, unpacked once into the user's cache and shared; a
//! directory of the user's is read where it lies and never written to.

pub(in crate::effect) mod archive;
mod cache;
mod check;
mod debian;
mod directory;
pub(in crate::effect) mod download;
mod git;
pub(in crate::effect) mod hash;
mod kernel;
mod links;
mod look;
pub mod mailbox;
mod mirror;
mod patch;
mod scan;
mod sums;
mod tarball;
pub mod worktree;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};

pub use archive::Error as ArchiveError;
pub use check::{Checked, Outcome, check};
pub use debian::Error as DebianError;
pub(in crate::effect) use debian::{apt, permanent_url};
pub use download::Error as DownloadError;
pub use git::Error as GitError;
pub use look::Looks;
pub use mailbox::Error as MailboxError;
pub use patch::Error as PatchError;
pub use scan::Error as ScanError;
pub use sums::Error as SumsError;

use crate::effect::environment::Environment;
use crate::effect::{exec, fs, lock};
use crate::nix::debian_root::MIRROR;
use crate::patch::Entry;
use crate::source::snapshot::Snapshot;
pub use crate::source::{Commit, LabelHint, Tree, Verification};
use crate::source::{Sha256, Source};
use crate::version::{InvalidSelector, KernelVersion, MakefileError, Mirror};

/// What is going on; often called with the same variant and higher numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress<'a> {
    /// Another process holds this lock.
    Waiting {
        /// The lock file.
        lock: &'a Utf8Path,
    },
    /// Bytes arrive.
    Downloading {
        /// File name.
        name: &'a str,
        /// Bytes, those of an earlier run included.
        done: u64,
        /// Bytes in all, where the server says.
        total: Option<u64>,
    },
    /// An archive is unpacked.
    Unpacking {
        /// File name.
        name: &'a str,
        /// Bytes of the archive.
        done: u64,
        /// Bytes of the archive in all.
        total: u64,
    },
    /// Files of a directory are read that are new or changed.
    Reading {
        /// Files.
        done: usize,
        /// Files in all.
        total: usize,
    },
    /// A patch is applied.
    Patching {
        /// Its file.
        patch: &'a Utf8Path,
        /// How many are applied.
        done: usize,
        /// How many there are.
        total: usize,
    },
    /// Something worth a line.
    Note(&'a str),
}

/// What preparing a source depends on besides the source.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    /// Directories, `PATH`, proxies.
    pub environment: &'a Environment,
    /// Where kernel.org is.
    pub mirror: Mirror,
    /// Where Debian keeps every version of every package: <https://snapshot.debian.org>.
    pub snapshot: String,
    /// A mirror of Debian's archive, which is asked before `snapshot`: <http://deb.debian.org/debian>.
    pub debian: String,
    /// The keys that may sign kernel.org's lists of hashes, as `gpg --export` writes
    /// them; `None` means `kernelkit/kernel.org.gpg` in the user's configuration
    /// directory, where that is.
    pub keyring: Option<Utf8PathBuf>,
    /// Never touch the network; use what is in the cache.
    pub offline: bool,
    /// This moment or an earlier one. A file touched shortly before it is read again each
    /// time, because it may change once more without its times showing it.
    pub now: SystemTime,
    /// How often a request is sent, at most, that fails but may go better the next time.
    pub attempts: u32,
    /// Files and directories that are no part of a source that they lie in: the workspace's own.
    /// Absolute paths.
    pub own: Vec<Utf8PathBuf>,
    /// How long to wait before a failed request is sent again; doubled each time.
    pub retry_pause: Duration,
}

impl<'a> Context<'a> {
    /// With kernel.org or the environment's mirror of it, online, and now.
    pub fn new(environment: &'a Environment) -> Self {
        Context {
            environment,
            mirror: environment.mirror.clone(),
            snapshot: "https://snapshot.debian.org".to_owned(),
            debian: MIRROR.to_owned(),
            keyring: None,
            offline: false,
            now: SystemTime::now(),
            attempts: 5,
            own: Vec::new(),
            retry_pause: Duration::from_secs(1),
        }
    }
}

/// Why there is no tree.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file.
    #[error(transparent)]
    Fs(#[from] fs::Error),
    /// A tool.
    #[error(transparent)]
    Exec(#[from] exec::Error),
    /// A directory could not be looked at.
    #[error(transparent)]
    Scan(ScanError),
    /// An archive was not unpacked.
    #[error(transparent)]
    Archive(ArchiveError),
    /// apt has no such package.
    #[error(transparent)]
    Debian(#[from] DebianError),
    /// Something was not downloaded.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// A repository lacks something.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A patch does not apply.
    #[error(transparent)]
    Patch(#[from] PatchError),
    /// A mailed series is not there.
    #[error(transparent)]
    Mailbox(#[from] MailboxError),
    /// A list of hashes is not believed.
    #[error(transparent)]
    Sums(#[from] SumsError),
    /// Not a selector.
    #[error(transparent)]
    Selector(InvalidSelector),
    /// No such release.
    #[error(transparent)]
    Releases(crate::version::Error),
    /// A URL with nothing that says what it should hold.
    #[error("nothing says which SHA-256 {url} should have")]
    Unpinned {
        /// The URL.
        url: String,
        /// What it has now.
        actual: Sha256,
    },
    /// kernel.org's list of hashes lacks the release.
    #[error("the list of hashes beside {url} does not have it")]
    NotListed {
        /// Where the release would be.
        url: String,
        /// The release.
        version: KernelVersion,
    },
    /// Something else than a kernel tree.
    #[error("{dir} is not a kernel tree: it has no {missing}")]
    NotAKernel {
        /// The directory.
        dir: Utf8PathBuf,
        /// `Makefile` or `Kconfig`.
        missing: &'static str,
    },
    /// The tree's Makefile tells no version.
    #[error("{dir} is not a kernel tree")]
    Makefile {
        /// The directory.
        dir: Utf8PathBuf,
        /// What is wrong with it.
        #[source]
        source: MakefileError,
    },
    /// Somebody ran `make` in the tree.
    #[error("{dir} was built in place: {found} is there")]
    BuiltInPlace {
        /// The directory.
        dir: Utf8PathBuf,
        /// What gives it away.
        found: Utf8PathBuf,
    },
    /// Not the bytes that were asked for.
    #[error("{path} has SHA-256 {actual}, not {expected}")]
    Hash {
        /// The file.
        path: Utf8PathBuf,
        /// What was asked for.
        expected: Sha256,
        /// What it has.
        actual: Sha256,
    },
    /// A tree in the cache is not as it was made.
    #[error("{dir}, which builds share, is not as it was unpacked: {what}")]
    Changed {
        /// The tree.
        dir: Utf8PathBuf,
        /// The first file that was added, removed or written to, and which of these.
        what: String,
    },
    /// The user stopped it.
    #[error("interrupted")]
    Interrupted,
}

impl From<ScanError> for Error {
    fn from(error: ScanError) -> Self {
        match error {
            ScanError::Interrupted => Error::Interrupted,
            error => Error::Scan(error),
        }
    }
}

impl From<ArchiveError> for Error {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Interrupted => Error::Interrupted,
            error => Error::Archive(error),
        }
    }
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Fs(error) | Error::Scan(ScanError::Fs(error)) => error.hint(),
            Error::Exec(error) => error.hint(),
            Error::Scan(ScanError::Changing { .. }) => {
                Some("run it again when nothing writes to the tree any more".to_owned())
            }
            Error::Scan(ScanError::Around { path, .. }) => Some(format!(
                "what links lead to is part of the source: remove {path}, or have git ignore it"
            )),
            Error::Archive(error) => error.hint(),
            Error::Debian(error) => error.hint(),
            Error::Download(error) => error.hint(),
            Error::Git(error) => error.hint(),
            Error::Patch(error) => error.hint(),
            Error::Mailbox(error) => error.hint(),
            Error::Sums(error) => error.hint(),
            Error::Selector(error) => error.hint(),
            Error::Releases(error) => error.hint(),
            Error::Unpinned { actual, .. } => Some(format!(
                "it has `sha256 = \"{actual}\"` now: write that if you trust it"
            )),
            Error::NotListed { version, .. } => {
                Some(format!("is {version} released? `cargo kernel` takes a selector such as `6.12.y` too"))
            }
            Error::NotAKernel { .. } => Some(
                "name the top directory of a kernel tree, the one with MAINTAINERS in it"
                    .to_owned(),
            ),
            Error::Makefile { source, .. } => source.hint(),
            Error::BuiltInPlace { dir, .. } => Some(format!(
                "`make -C {dir} mrproper` cleans it; it removes the .config there, so save that first"
            )),
            Error::Hash { .. } => Some(
                "the file is damaged or not the one you meant: remove it, or correct the sha256"
                    .to_owned(),
            ),
            Error::Changed { .. } => Some(
                "run it again: the tree is unpacked again; find out what wrote to it, and to change a kernel use a directory of your own".to_owned(),
            ),
            Error::Interrupted | Error::Scan(ScanError::Interrupted) => {
                Some("run the same command again: it continues where it stopped".to_owned())
            }
        }
    }
}

/// Makes `source` available with those of `patches` that are for its version applied in order.
///
/// A patch is a file as `git format-patch` or `diff -u` writes it, and each must change
/// something. A file that has a subject but no diff is the series' cover letter.
pub fn prepare(
    source: &Source,
    patches: &[Entry],
    context: &Context<'_>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Tree, Error> {
    let source = &context.environment.credentials.learn(source);
    let tree = base(source, context, progress)?;
    if patches.is_empty() {
        return Ok(tree.tree);
    }
    match patch::apply(tree, patches, context, progress) {
        // The tree below is damaged, and unpacked again when it is asked for.
        Err(Error::Changed { .. }) => {
            let tree = base(source, context, progress)?;
            Ok(patch::apply(tree, patches, context, progress)?.tree)
        }
        patched => Ok(patched?.tree),
    }
}

/// `source` without patches.
fn base(
    source: &Source,
    context: &Context<'_>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Prepared, Error> {
    Ok(match source {
        Source::Directory { path } => directory::prepare(path, context, progress)?,
        Source::Debian { package, version } => {
            debian::prepare(package, version.as_deref(), context, progress)?.into()
        }
        Source::Tarball { location, sha256 } => {
            tarball::prepare(location, *sha256, context, progress)?.into()
        }
        Source::Release { selector } => {
            tarball::prepare_release(selector, context, progress)?.into()
        }
        Source::Git {
            repository,
            reference,
        } => git::prepare(repository, reference, context, progress)?.into(),
    })
}

/// The file that a tree was unpacked from, where it is still in the cache.
pub(in crate::effect) fn archive_of(
    tree: &Tree,
    context: &Context<'_>,
) -> Result<Option<Utf8PathBuf>, Error> {
    let Some(archive) = &tree.archive else {
        return Ok(None);
    };
    let file = match &tree.resolved {
        Source::Debian {
            package,
            version: Some(version),
        } => debian::package_file(package, version, context),
        _ => tarball::target(&archive.url, context),
    };
    if !file.exists() || fs::sha256(&file)? != archive.sha256 {
        return Ok(None);
    }
    Ok(Some(file))
}

/// Looks at every file of a tree in the cache, which [`prepare`] does not: it notices
/// files that were added, removed, replaced or written to. A tree that was changed is an error, and the
/// next [`prepare`] unpacks it again. Directories of the user's are not looked at: their id says what they are.
pub fn verify(tree: &Tree, context: &Context<'_>) -> Result<(), Error> {
    match cached(tree, context) {
        Some(dir) => cache::whole(dir, tree.id).map(drop),
        None => Ok(()),
    }
}

/// The directory of a tree that is in the cache, where builds share it.
fn cached<'a>(tree: &'a Tree, context: &Context<'_>) -> Option<&'a Utf8Path> {
    let is_there = tree.pinned && cache::has(&context.environment.cache_dir, &tree.dir);
    is_there.then_some(&*tree.dir)
}

/// Keeps a tree of the cache where it is while somebody reads from it for a moment; `None` for other
/// directories, and where the file system has no locks of directories.
pub(in crate::effect) fn share(
    tree: &Tree,
    context: &Context<'_>,
) -> Result<Option<lock::Lock>, Error> {
    match cached(tree, context) {
        // One that is gone is missed by who reads it.
        Some(dir) if dir.is_dir() => Ok(lock::share_directory(dir)?),
        _ => Ok(None),
    }
}

/// A tree that somebody builds from. One of the cache stays where it is until this is dropped.
#[derive(Debug)]
pub struct Held<'a> {
    tree: &'a Tree,
    cached: Option<cache::Held>,
}

/// Takes a tree to build from, after a look at every file of one in the cache: [`verify`].
pub fn hold<'a>(tree: &'a Tree, context: &Context<'_>) -> Result<Held<'a>, Error> {
    let cached = match cached(tree, context) {
        Some(dir) => Some(cache::Held::take(dir, tree.id)?),
        None => None,
    };
    Ok(Held { tree, cached })
}

impl Held<'_> {
    /// Whether other builds share the tree, and so nobody may write to it.
    pub fn is_shared(&self) -> bool {
        self.cached.is_some()
    }

    /// The files whose content the id of the tree covers, with what the file system says of them: what it said when
    /// the tree was taken where nobody has written to a file since. `None` where they are not known any more.
    pub fn covered(&self, context: &Context<'_>) -> Result<Option<Snapshot>, Error> {
        match &self.cached {
            Some(cached) => cached.files().map(Some),
            None => covered(self.tree, context),
        }
    }
}

/// The files whose content the id of a prepared tree covers; `None` where they are not known any more.
pub fn covered(tree: &Tree, context: &Context<'_>) -> Result<Option<Snapshot>, Error> {
    match cached(tree, context) {
        Some(dir) => cache::files(dir, tree.id).map(Some),
        None => Ok(scan::seen(&tree.dir, &directory::cache(&tree.dir, context))),
    }
}

/// A tree, and where its list of files is.
struct Prepared {
    tree: Tree,
    files: Files,
}

enum Files {
    /// In the cache, beside the tree.
    Cached,
    /// Just looked at.
    Scanned(Snapshot),
}

impl From<Tree> for Prepared {
    fn from(tree: Tree) -> Self {
        Prepared {
            tree,
            files: Files::Cached,
        }
    }
}

/// The user's configuration directory (XDG Base Directory Specification).
fn config_dir(environment: &Environment) -> Utf8PathBuf {
    environment
        .variables
        .get("XDG_CONFIG_HOME")
        .filter(|dir| dir.starts_with('/'))
        .map_or_else(|| environment.home.join(".config"), Utf8PathBuf::from)
}

/// Runs `unpack` on a thread and reports the bytes that it counts.
fn with_unpack_progress<T: Send>(
    archive: &Utf8Path,
    progress: &mut dyn FnMut(Progress<'_>),
    unpack: impl FnOnce(&AtomicU64) -> T + Send,
) -> Result<T, Error> {
    let total = scan::stamp(archive)?.map_or(0, |stamp| stamp.size);
    let name = archive.file_name().unwrap_or(archive.as_str());
    let read = AtomicU64::new(0);
    Ok(std::thread::scope(|scope| {
        let worker = scope.spawn(|| unpack(&read));
        loop {
            progress(Progress::Unpacking {
                name,
                done: read.load(Ordering::Relaxed).min(total),
                total,
            });
            if worker.is_finished() {
                break;
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
        worker.join().expect("unpacking does not panic")
    }))
}

//! Patches on top of a tree: a copy of the tree in the cache, patched by `git apply`.
//!
//! git is strict: without fuzz every line of context must be there, a patch is applied whole or not at
//! all, and nothing outside the directory is written, through links neither. It knows
//! renames, modes and binary files. What it refuses is explained by [`crate::patch`].
//!
//! The copy of a cached tree shares its unchanged files through hard links. git removes the old file and
//! writes a new one, so the tree underneath stays as it is.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{AtFlags, Mode, OFlags, linkat, mkdirat, openat, readlinkat, symlinkat};

use super::{
    Context, Error as SourceError, Files, LabelHint, Prepared, Progress, Tree, archive, cache,
    hold, scan,
};
use crate::effect::exec;
use crate::effect::fs;
use crate::patch::{self, Diff, Entry, Misfit};
use crate::process::Call;
use crate::source::snapshot::{File, Snapshot};
use crate::source::tree::{BlobId, Kind};
use crate::source::{AppliedPatch, Sha256};

/// Why a patch was not applied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A hunk does not fit, or the file is not there.
    #[error("{patch} does not apply{}", place(misfits))]
    Rejected {
        /// The patch.
        patch: Utf8PathBuf,
        /// What does not fit, and what is there instead.
        misfits: Vec<Misfit>,
        /// git's own words.
        words: Vec<String>,
    },
    /// The tree has all of it.
    #[error("{patch} is already applied")]
    AlreadyApplied {
        /// The patch.
        patch: Utf8PathBuf,
    },
    /// It applies, and no file is another one afterwards.
    #[error("{patch} changes nothing")]
    NoEffect {
        /// The patch.
        patch: Utf8PathBuf,
    },
    /// The tree that it goes on top of cannot be copied.
    #[error("{path} links out of the tree, which a patched copy of it cannot")]
    LinksOut {
        /// The link.
        path: Utf8PathBuf,
    },
    /// No diff in it, and it is no cover letter either.
    #[error("{patch} has no diff in it")]
    Empty {
        /// The file.
        patch: Utf8PathBuf,
    },
    /// Not what a patch looks like, or one that leaves the tree.
    #[error("{patch} cannot be used")]
    Unreadable {
        /// The file.
        patch: Utf8PathBuf,
        /// What is wrong with it, with its line.
        #[source]
        source: patch::Error,
    },
}

fn place(misfits: &[Misfit]) -> String {
    match misfits {
        [] => String::new(),
        [first, ..] if first.hunk == 0 => format!(" to {}", first.file),
        [first, ..] => format!(" to {}, hunk {}", first.file, first.hunk),
    }
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Error::Rejected { misfits, .. } => {
                let applied = |misfit: &&Misfit| matches!(misfit.found, patch::Found::Applied { .. });
                if misfits.iter().filter(applied).count() > 0 {
                    "a part of it is in the tree already: drop that part, or the patch for this version"
                        .to_owned()
                } else {
                    "was it made for this version, and are the patches in order? `cargo kernel patches check` tries them all"
                        .to_owned()
                }
            }
            Error::AlreadyApplied { .. } => {
                "drop it for this version: `{ path = \"…\", version = \"<…\" }` keeps it for older ones"
                    .to_owned()
            }
            Error::LinksOut { path } => format!(
                "replace {path} by what it leads to, or by a relative link within the tree"
            ),
            Error::NoEffect { .. } => "remove it from `patches`".to_owned(),
            Error::Empty { .. } => {
                "patches are as `git format-patch` or `diff -u` write them".to_owned()
            }
            Error::Unreadable { source, .. } => match source {
                patch::Error::Truncated { .. } => "it was cut off on its way: get it again".to_owned(),
                patch::Error::Encoded { .. } => {
                    "`git am` and `series` take mails as they are; as a patch, save what `git format-patch` writes".to_owned()
                }
                patch::Error::Strip { .. } => {
                    "in a `series` file, `-p0` after its name keeps the names as they are".to_owned()
                }
                patch::Error::Outside { .. } => {
                    "patches change files of the tree only, named from its top".to_owned()
                }
                patch::Error::Line { .. } | patch::Error::Header { .. } => {
                    "patches are as `git format-patch` or `diff -u` write them".to_owned()
                }
            },
        })
    }

    /// The hunks that do not fit with what the tree has instead, for people.
    pub fn details(&self) -> Vec<String> {
        match self {
            Error::Rejected { misfits, words, .. } if misfits.is_empty() => words.clone(),
            Error::Rejected { misfits, .. } => misfits.iter().flat_map(Misfit::render).collect(),
            _ => Vec::new(),
        }
    }
}

/// A patch as it was read.
pub(super) struct Loaded<'a> {
    pub(super) entry: &'a Entry,
    bytes: Vec<u8>,
    pub(super) diff: Diff,
}

impl<'a> Loaded<'a> {
    /// Reads a patch; one without a diff must at least be a cover letter.
    pub(super) fn read(entry: &'a Entry) -> Result<Self, SourceError> {
        let bytes = fs::input(&entry.path)?;
        let patch = || entry.path.clone();
        let diff = Diff::parse(&bytes, entry.strip).map_err(|source| Error::Unreadable {
            patch: patch(),
            source,
        })?;
        if !patch::has_diff(&bytes) && patch::subject(&bytes).is_none() {
            return Err(Error::Empty { patch: patch() }.into());
        }
        Ok(Loaded { entry, bytes, diff })
    }

    pub(super) fn is_letter(&self) -> bool {
        !patch::has_diff(&self.bytes)
    }

    /// Names what it does to a tree.
    pub(super) fn sum(&self) -> String {
        let Entry { strip, fuzz, .. } = self.entry;
        format!("{} {strip} {fuzz}\n", Sha256::of(&self.bytes))
    }

    fn call(&self, tree: &Utf8Path, context: &Context<'_>) -> Call {
        let file = context.environment.current_dir.join(&self.entry.path);
        // Nothing of the user's settings may change what a patch does, nor a repository around the cache.
        let mut call = Call::new("git", tree)
            .envs(&context.environment.tool_variables())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env(
                "GIT_CEILING_DIRECTORIES",
                tree.parent().unwrap_or(tree).as_str(),
            )
            .args(["apply", "--whitespace=nowarn"])
            .arg(format!("-p{}", self.entry.strip));
        if self.entry.fuzz > 0 {
            call = call.arg(format!("-C{}", self.context()));
        }
        call.arg(file)
    }

    /// How many lines of context on either side of a change must be there.
    fn context(&self) -> usize {
        self.diff.context().saturating_sub(self.entry.fuzz as usize)
    }

    /// Applies it to the files in `tree`: all of it, or nothing.
    pub(super) fn apply(&self, tree: &Utf8Path, context: &Context<'_>) -> Result<(), SourceError> {
        let patch = || self.entry.path.clone();
        let before = self.state(tree)?;
        let (output, status) = exec::capture_unchecked(&self.call(tree, context))?;
        if status.success() {
            return if self.state(tree)? == before {
                Err(Error::NoEffect { patch: patch() }.into())
            } else {
                Ok(())
            };
        }
        let mut reverse = self.call(tree, context);
        reverse
            .args
            .splice(1..1, ["--reverse", "--check"].map(str::to_owned));
        if exec::capture_unchecked(&reverse)?.1.success() {
            return Err(Error::AlreadyApplied { patch: patch() }.into());
        }
        let mut misfits = Vec::new();
        for change in &self.diff.changes {
            let file = change.old.as_deref().unwrap_or(change.name());
            let file = fs::optional_input(tree.join(file))?;
            misfits.extend(patch::misfits(change, file.as_deref(), self.context()));
        }
        let words = String::from_utf8_lossy(&output.stderr);
        Err(Error::Rejected {
            patch: patch(),
            misfits,
            words: words
                .lines()
                .map(|line| line.strip_prefix("error: ").unwrap_or(line).to_owned())
                .collect(),
        }
        .into())
    }

    /// What the files that it names are at this moment.
    fn state(&self, tree: &Utf8Path) -> Result<BTreeMap<Utf8PathBuf, (Kind, BlobId)>, SourceError> {
        let mut state = BTreeMap::new();
        for path in self.diff.paths() {
            if let Some(file) = content(&tree.join(&path))? {
                state.insert(path, file);
            }
        }
        Ok(state)
    }
}

/// Kind and content of a file; `None` where there is none.
fn content(path: &Utf8Path) -> Result<Option<(Kind, BlobId)>, fs::Error> {
    use fs::Context as _;
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => return Ok(None),
        Ok(metadata) => metadata,
        Err(_) => return Ok(None),
    };
    if metadata.is_symlink() {
        let target = std::fs::read_link(path).context("read", path)?;
        let bytes = target.as_os_str().as_encoded_bytes();
        return Ok(Some((Kind::Symlink, BlobId::of(bytes))));
    }
    let kind = Kind::of_permissions(metadata.permissions().mode());
    Ok(Some((kind, BlobId::of(&fs::read(path)?))))
}

/// The tree with those of `patches` on top that are for its version.
pub(super) fn apply(
    base: Prepared,
    patches: &[Entry],
    context: &Context<'_>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Prepared, SourceError> {
    let patches = patches
        .iter()
        .filter(|patch| patch.is_for(&base.tree.version))
        .map(Loaded::read)
        .collect::<Result<Vec<_>, _>>()?;
    let (letters, diffs): (Vec<_>, Vec<_>) = patches.iter().partition(|patch| patch.is_letter());
    if diffs.is_empty() {
        return Ok(base);
    }
    let sums: String = diffs.iter().map(|patch| patch.sum()).collect();
    let key = format!("patched-{}-{}", base.tree.id, Sha256::of(sums.as_bytes()));
    let cache_dir = &context.environment.cache_dir;
    let cached = cache::tree(cache_dir, &key, progress, |into, progress| {
        let held = hold(&base.tree, context)?;
        let (files, shared) = match &base.files {
            Files::Scanned(files) => (files.clone(), false),
            Files::Cached => (held.covered(context)?.unwrap_or_default(), true),
        };
        copy(&base.tree.dir, &files, into, shared)?;
        for (at, patch) in diffs.iter().enumerate() {
            progress(Progress::Patching {
                patch: &patch.entry.path,
                done: at,
                total: diffs.len(),
            });
            patch.apply(into, context)?;
        }
        scan::rescan(into, &files)
    })?;
    let series = letters
        .iter()
        .chain(&diffs)
        .find_map(|patch| patch::subject(&patch.bytes));
    let first = diffs[0].entry.path.file_stem().unwrap_or_default();
    let (subject, revision) = series.unwrap_or_else(|| (first.to_owned(), 1));
    Ok(Prepared {
        tree: Tree {
            dir: cached.dir,
            id: cached.record.id,
            version: cached.record.version,
            localversion: cached.record.localversion,
            config_inputs: None,
            label: LabelHint::Series { subject, revision },
            patches: diffs
                .iter()
                .map(|patch| AppliedPatch {
                    path: patch.entry.path.clone(),
                    sha256: Sha256::of(&patch.bytes),
                    strip: patch.entry.strip,
                    fuzz: patch.entry.fuzz,
                    mailed: patch.entry.mailed,
                })
                .collect(),
            description: format!("{} with {} patches", base.tree.description, diffs.len()),
            ..base.tree
        },
        files: Files::Cached,
    })
}

/// Copies the files that belong to the tree; links them where both are the cache's.
fn copy(from: &Utf8Path, files: &Snapshot, to: &Utf8Path, shared: bool) -> Result<(), SourceError> {
    let (from_fd, to_fd) = (scan::open_root(from)?, scan::open_root(to)?);
    for directory in &files.directories {
        if exec::interrupted() {
            return Err(SourceError::Interrupted);
        }
        let counted = || directory.files.iter().filter(|file| file.blob.is_some());
        if counted().next().is_none() {
            continue;
        }
        make_directories(&to_fd, &directory.path).map_err(|source| fs::Error {
            action: "write",
            path: to.join(String::from_utf8_lossy(&directory.path).as_ref()),
            source,
        })?;
        for file in counted() {
            let path = directory.path_of(file);
            copy_file(&from_fd, &to_fd, &path, file, shared).map_err(|source| fs::Error {
                action: "copy",
                path: from.join(String::from_utf8_lossy(&path).as_ref()),
                source,
            })?;
            if file.stamp.kind == Kind::Symlink && !shared {
                refuse_outward(from, &to_fd, &path)?;
            }
        }
    }
    Ok(())
}

/// The copy lies elsewhere: a link out of the tree would lead to something else, or the same through the
/// back door. What such links lead to was copied in their place; one that leads nowhere is left.
fn refuse_outward(from: &Utf8Path, to: &OwnedFd, path: &[u8]) -> Result<(), SourceError> {
    let shown = from.join(String::from_utf8_lossy(path).as_ref());
    let target = readlinkat(to, path, Vec::new()).map_err(|source| fs::Error {
        action: "read",
        path: shown.clone(),
        source: source.into(),
    })?;
    let depth = path.iter().filter(|byte| **byte == b'/').count();
    match archive::leaves(target.as_bytes(), depth) {
        true => Err(Error::LinksOut { path: shown }.into()),
        false => Ok(()),
    }
}

fn make_directories(root: &OwnedFd, path: &[u8]) -> io::Result<()> {
    for (end, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
        match mkdirat(root, &path[..end], Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn copy_file(
    from: &OwnedFd,
    to: &OwnedFd,
    path: &[u8],
    file: &File,
    shared: bool,
) -> io::Result<()> {
    use rustix::io::Errno;
    let stamp = &file.stamp;
    if shared {
        match linkat(from, path, to, path, AtFlags::empty()) {
            // A file system limits the links of a file, or has none.
            Err(Errno::MLINK | Errno::XDEV | Errno::PERM | Errno::OPNOTSUPP) => {}
            result => return Ok(result?),
        }
    }
    if stamp.kind == Kind::Symlink {
        let target = readlinkat(from, path, Vec::new())?;
        symlinkat(&target, to, path)?;
    } else {
        let mut flags = OFlags::RDONLY | OFlags::CLOEXEC;
        flags.set(OFlags::NOFOLLOW, !file.followed);
        let mut source = std::fs::File::from(openat(from, path, flags, Mode::empty())?);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = if stamp.kind == Kind::Executable {
            0o755
        } else {
            0o644
        };
        let mode = Mode::from_raw_mode(mode);
        let mut target = std::fs::File::from(openat(to, path, flags, mode)?);
        // The kernel copies, and shares the blocks where the file system can.
        io::copy(&mut source, &mut target)?;
    }
    scan::set_time(to, path, stamp.modified)
}

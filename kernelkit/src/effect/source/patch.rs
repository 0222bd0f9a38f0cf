//! Patches on top of a tree: a copy of the tree in the cache, patched with patch(1).
//!
//! The copy of a cached tree shares its unchanged files through hard links. patch writes
//! a new file and renames it over the old one, so the tree underneath stays as it is.

use std::io;
use std::os::fd::OwnedFd;

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{AtFlags, Mode, OFlags, linkat, mkdirat, openat, readlinkat, symlinkat};

use super::{
    Context, Error as SourceError, Files, LabelHint, Prepared, Progress, Tree, cache, scan,
};
use crate::effect::exec;
use crate::effect::fs;
use crate::process::Call;
use crate::source::snapshot::{Snapshot, Stamp};
use crate::source::tree::Kind;
use crate::source::{AppliedPatch, Sha256};

/// Why a patch was not applied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A hunk does not fit, or the file is not there.
    #[error("{patch} does not apply{}", place(file.as_deref(), *hunk))]
    Rejected {
        /// The patch.
        patch: Utf8PathBuf,
        /// In which file, where patch says so.
        file: Option<String>,
        /// Which of the file's hunks, counted from 1.
        hunk: Option<u32>,
        /// patch's own words.
        words: Vec<String>,
    },
    /// No diff in it, and it is no cover letter either.
    #[error("{patch} has no diff in it")]
    Empty {
        /// The file.
        patch: Utf8PathBuf,
    },
}

fn place(file: Option<&str>, hunk: Option<u32>) -> String {
    let file = file.map_or(String::new(), |file| format!(" to {file}"));
    let hunk = hunk.map_or(String::new(), |hunk| format!(", hunk {hunk}"));
    file + &hunk
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Rejected { words, .. } => {
                let words = words.join("\n");
                Some(if words.contains("previously applied") {
                    format!("the tree seems to have it already; patch said:\n{words}")
                } else {
                    format!(
                        "was it made for this version, and are the patches in order? patch said:\n{words}"
                    )
                })
            }
            Error::Empty { .. } => {
                Some("patches are as `git format-patch` or `diff -u` write them".to_owned())
            }
        }
    }
}

/// A patch as it was read.
struct Patch<'a> {
    path: &'a Utf8Path,
    bytes: Vec<u8>,
}

impl Patch<'_> {
    fn has_diff(&self) -> bool {
        let mut lines = self.bytes.split(|byte| *byte == b'\n').peekable();
        while let Some(line) = lines.next() {
            if line.starts_with(b"diff --git ")
                || (line.starts_with(b"--- ")
                    && lines.peek().is_some_and(|next| next.starts_with(b"+++ ")))
            {
                return true;
            }
        }
        false
    }

    /// Subject without what stands in brackets, and the `N` of `[PATCH vN]`.
    fn subject(&self) -> Option<(String, u32)> {
        let text = String::from_utf8_lossy(&self.bytes);
        let mut lines = text.lines().take_while(|line| !line.is_empty());
        let mut subject = lines
            .by_ref()
            .find_map(|line| line.strip_prefix("Subject:"))?
            .to_owned();
        // A header goes on in lines that begin with white space (RFC 5322, 2.2.3).
        for line in lines.take_while(|line| line.starts_with([' ', '\t'])) {
            subject.push_str(line);
        }
        let mut rest = subject.trim();
        let mut revision = 1;
        while let Some((bracket, after)) = rest.strip_prefix('[').and_then(|b| b.split_once(']')) {
            let number = |word: &str| word.strip_prefix(['v', 'V'])?.parse().ok();
            revision = bracket
                .split_whitespace()
                .find_map(number)
                .unwrap_or(revision);
            rest = after.trim_start();
        }
        Some((rest.to_owned(), revision))
    }
}

/// The tree with `patches` on top.
pub(super) fn apply(
    base: Prepared,
    patches: &[Utf8PathBuf],
    context: &Context<'_>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Prepared, SourceError> {
    let patches = patches
        .iter()
        .map(|path| {
            let bytes = fs::read(path)?;
            Ok(Patch { path, bytes })
        })
        .collect::<Result<Vec<_>, fs::Error>>()?;
    let (diffs, letters): (Vec<_>, Vec<_>) = patches.iter().partition(|patch| patch.has_diff());
    if let Some(neither) = letters.iter().find(|letter| letter.subject().is_none()) {
        return Err(Error::Empty {
            patch: neither.path.to_owned(),
        }
        .into());
    }
    if diffs.is_empty() {
        return Ok(base);
    }
    let sums: String = diffs
        .iter()
        .map(|patch| format!("{}\n", Sha256::of(&patch.bytes)))
        .collect();
    let key = format!("patched-{}-{}", base.tree.id, Sha256::of(sums.as_bytes()));
    let cache_dir = &context.environment.cache_dir;
    let cached = cache::tree(cache_dir, &key, progress, |into, progress| {
        let (files, shared) = match &base.files {
            Files::Scanned(files) => (files.clone(), false),
            Files::Cached(key) => (cache::files(cache_dir, key)?, true),
        };
        copy(&base.tree.dir, &files, into, shared)?;
        for (at, patch) in diffs.iter().enumerate() {
            progress(Progress::Patching {
                patch: patch.path,
                done: at,
                total: diffs.len(),
            });
            run(patch.path, into, context)?;
        }
        scan::rescan(into, &files)
    })?;
    let series = letters
        .iter()
        .chain(&diffs)
        .find_map(|patch| patch.subject());
    let first = diffs[0].path.file_stem().unwrap_or_default();
    let (subject, revision) = series.unwrap_or_else(|| (first.to_owned(), 1));
    Ok(Prepared {
        tree: Tree {
            dir: cached.dir,
            id: cached.record.id,
            version: cached.record.version,
            localversion: cached.record.localversion,
            label: LabelHint::Series { subject, revision },
            patches: diffs
                .iter()
                .map(|patch| AppliedPatch {
                    path: patch.path.to_owned(),
                    sha256: Sha256::of(&patch.bytes),
                })
                .collect(),
            description: format!("{} with {} patches", base.tree.description, diffs.len()),
            ..base.tree
        },
        files: Files::Cached(key),
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
            copy_file(&from_fd, &to_fd, &path, &file.stamp, shared).map_err(|source| {
                fs::Error {
                    action: "copy",
                    path: from.join(String::from_utf8_lossy(&path).as_ref()),
                    source,
                }
            })?;
        }
    }
    Ok(())
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
    stamp: &Stamp,
    shared: bool,
) -> io::Result<()> {
    use rustix::io::Errno;
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
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
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

/// Applies one patch, or says in patch's words where it does not fit.
fn run(path: &Utf8Path, tree: &Utf8Path, context: &Context<'_>) -> Result<(), SourceError> {
    let environment = context.environment;
    let file = environment.current_dir.join(path);
    let call = Call::new("patch", tree)
        .envs(&environment.tool_variables())
        .args(["--strip=1", "--fuzz=0", "--forward", "--batch", "--unified"])
        .args(["--no-backup-if-mismatch", "--reject-file=-", "--input"])
        .arg(file);
    let (output, status) = exec::capture_unchecked(&call)?;
    if status.success() {
        return Ok(());
    }
    let text = output.text() + &String::from_utf8_lossy(&output.stderr);
    Err(rejected(path, &text).into())
}

/// Reads `patching file F` and `Hunk #N FAILED at L.`
fn rejected(patch: &Utf8Path, text: &str) -> Error {
    let mut file = None;
    let mut failed = None;
    for line in text.lines() {
        if let Some(name) = line
            .strip_prefix("patching file ")
            .or_else(|| line.strip_prefix("checking file "))
        {
            if failed.is_some() {
                break;
            }
            file = Some(name.trim_matches('\'').to_owned());
        } else if failed.is_none()
            && let Some(rest) = line.strip_prefix("Hunk #")
            && let Some((number, _)) = rest.split_once(" FAILED")
        {
            failed = number.parse().ok();
        }
    }
    // The context of a rejected hunk says no more than the patch itself does.
    let words = text
        .lines()
        .filter(|line| !line.starts_with(['+', '-', '@', ' ']) && !line.is_empty())
        .filter(|line| {
            !line.starts_with("patching file ") || line.ends_with(file.as_deref().unwrap_or(""))
        })
        .map(str::to_owned)
        .collect();
    Error::Rejected {
        patch: patch.to_owned(),
        file,
        hunk: failed,
        words,
    }
}

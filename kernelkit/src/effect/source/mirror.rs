//! The bare repositories in the cache: one for each repository that kernels name. Of a URL it holds
//! what was fetched, of a path it borrows the objects. Worktrees borrow theirs from it in turn.
//!
//! A repository is written to under its lock only, so what an interrupted git has left there (locks,
//! half a pack) is nobody's, and is swept away first. git itself makes objects visible whole or not at
//! all, and moves references last.

use camino::{Utf8Path, Utf8PathBuf};

use super::git::{self, Error, git};
use super::{Context, Error as SourceError, Progress, cache};
use crate::effect::fs::{self, Context as _};
use crate::effect::{exec, source::cache::Lock};
use crate::source::Sha256;

/// Where the mirror of `repository` lies.
pub(super) fn dir(repository: &str, context: &Context<'_>) -> Utf8PathBuf {
    let digest = Sha256::of(repository.as_bytes()).to_string();
    let cache_dir = &context.environment.cache_dir;
    cache_dir.join("git").join(&digest[..16])
}

/// Switches off every attribute that changes bytes. An encoding that is `unset` would be an error.
const ATTRIBUTES: &[u8] =
    b"* -text !eol -crlf -ident -filter !working-tree-encoding -export-subst -export-ignore\n";

/// Takes the mirror's lock, and makes the mirror where there is none.
pub(super) fn open(
    dir: &Utf8Path,
    context: &Context<'_>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Lock, SourceError> {
    fs::create_dir_all(dir)?;
    let lock = cache::Lock::take(&dir.with_extension("lock"), progress)?;
    sweep(dir)?;
    exec::capture(&git(context, dir).args(["init", "--quiet", "--bare", "--template=", "."]))?;
    // The bytes of a worktree are those of the repository whatever the user's settings make of them,
    // and nothing that worktrees borrow goes.
    for (key, value) in [
        ("core.autocrlf", "false"),
        ("core.eol", "lf"),
        ("core.symlinks", "true"),
        ("core.fileMode", "true"),
        ("core.sparseCheckout", "false"),
        ("submodule.recurse", "false"),
        ("gc.auto", "0"),
        ("maintenance.auto", "false"),
    ] {
        exec::capture(&git(context, dir).args(["config", key, value]))?;
    }
    // No .gitattributes may change them either: this file has the last word (gitattributes(5)).
    fs::write_if_changed(dir.join("info/attributes"), ATTRIBUTES)?;
    // An index that is written into a worktree is no edit of it.
    fs::write_if_changed(dir.join("info/exclude"), b"/compile_commands.json\n")?;
    Ok(lock)
}

/// The mirror of a repository at hand, which borrows its objects.
pub(super) fn borrow(
    repository: &Utf8Path,
    context: &Context<'_>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(Utf8PathBuf, Lock), SourceError> {
    let mirror = dir(repository.as_str(), context);
    let lock = open(&mirror, context, progress)?;
    let output =
        exec::capture(&git(context, repository).args(["rev-parse", "--git-path", "objects"]))?;
    let objects = fs::real_path(repository.join(output.text().trim_end()));
    let alternates = mirror.join("objects/info/alternates");
    fs::write_if_changed(alternates, format!("{objects}\n").as_bytes())?;
    Ok((mirror, lock))
}

/// Fetches one reference or commit under the name `kept`; with `history`, all commits before it too.
pub(super) fn fetch(
    mirror: &Utf8Path,
    url: &str,
    (wanted, kept): (&str, &str),
    history: bool,
    context: &Context<'_>,
) -> Result<(), SourceError> {
    let depth = match (history, mirror.join("shallow").exists()) {
        (false, _) => Some("--depth=1"),
        (true, true) => Some("--unshallow"),
        (true, false) => None,
    };
    let call = git::remote_git(context, mirror)?
        .args(["fetch", "--quiet", "--no-tags"])
        .args(depth)
        .args([
            "--no-write-fetch-head",
            "--recurse-submodules=no",
            "--end-of-options",
        ])
        .arg(url)
        .arg(format!("+{wanted}:{kept}"));
    exec::capture(&call)
        .map(drop)
        .map_err(|error| explain(url, wanted, error))
}

/// What a failed conversation with a server means.
pub(super) fn explain(url: &str, reference: &str, error: exec::Error) -> SourceError {
    let tail = match &error {
        exec::Error::Failed { tail, .. } => tail,
        exec::Error::Slow { .. } => {
            return Error::Unreachable {
                repository: url.to_owned(),
                source: Box::new(error),
            }
            .into();
        }
        _ => return error.into(),
    };
    let words = tail.join("\n").to_lowercase();
    let has = |signs: &[&str]| signs.iter().any(|sign| words.contains(sign));
    let repository = url.to_owned();
    let source = Box::new(error);
    if has(&[
        "could not resolve",
        "connection refused",
        "unable to connect",
        "failed to connect",
        "timed out",
        "no route to host",
        "network is unreachable",
    ]) {
        Error::Unreachable { repository, source }.into()
    } else if has(&[
        "authentication failed",
        "could not read username",
        "could not read password",
        "permission denied",
        "access denied",
        "returned error: 401",
        "returned error: 403",
    ]) {
        Error::Refused { repository, source }.into()
    } else if has(&["couldn't find remote ref", "not our ref", "no such ref"]) {
        Error::UnknownReference {
            repository,
            reference: git::short(reference).to_owned(),
        }
        .into()
    } else if has(&[
        "early eof",
        "unexpected disconnect",
        "hung up",
        "rpc failed",
        "index-pack",
        "connection reset",
        "transfer closed",
        "unexpected eof",
        "unexpected flush",
        "expected flush",
        "protocol error",
        "could not read from remote repository",
        "body are still expected",
    ]) {
        Error::CutOff { repository, source }.into()
    } else {
        SourceError::Exec(*source)
    }
}

/// Removes what an interrupted git has left: the lock that is held here says that none is running.
fn sweep(mirror: &Utf8Path) -> Result<(), SourceError> {
    for directory in ["", "refs", "objects/pack"] {
        sweep_directory(&mirror.join(directory), directory == "refs")?;
    }
    Ok(())
}

fn sweep_directory(directory: &Utf8Path, deep: bool) -> Result<(), SourceError> {
    if !directory.is_dir() {
        return Ok(());
    }
    for entry in directory.read_dir_utf8().context("read", directory)? {
        let entry = entry.context("read", directory)?;
        let (path, name) = (entry.path(), entry.file_name());
        if name.ends_with(".lock") || name.starts_with("tmp_") {
            fs::remove_file(path)?;
        } else if deep && path.is_dir() {
            sweep_directory(path, true)?;
        }
    }
    Ok(())
}

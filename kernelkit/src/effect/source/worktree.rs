//! Worktrees: a commit of a repository laid out in a directory that stays, so that moving on to the next
//! commit touches only the files that differ, and make compiles only those.
//!
//! They belong to the mirror in the cache and borrow its objects. What somebody has edited there is
//! kept: a worktree with edits does not move.

use camino::{Utf8Path, Utf8PathBuf};

use super::git::{self, Error, Resolved, git};
use super::{Context, Error as SourceError, Progress, Tree, directory, mirror};
use crate::effect::{exec, fs};
use crate::source::{LabelHint, Source, TreeId, Verification};

/// How a worktree is laid out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Layout {
    /// Remove what is there, edits too, and lay it out anew.
    pub recreate: bool,
    /// Fetch the commits before it, too; without it, a mirror of a URL has only those asked for.
    pub history: bool,
}

/// What was done to a worktree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Laid {
    /// It was made.
    Created,
    /// It was moved.
    Moved {
        /// The commit that was there.
        from: String,
    },
    /// It was there.
    Current,
}

/// Lays `reference` of `repository` out in `dir`, or moves what is there to it. Returns the commit.
/// `moving` is called before files change.
///
/// # Errors
/// A directory that is no worktree of this repository; one with edits that would have to move.
pub fn lay(
    dir: &Utf8Path,
    repository: &str,
    reference: &str,
    layout: Layout,
    context: &Context<'_>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(String, Laid), SourceError> {
    let (resolved, laid) = lay_resolved(dir, repository, reference, layout, context, progress)?;
    Ok((resolved.commit, laid))
}

fn lay_resolved(
    dir: &Utf8Path,
    repository: &str,
    reference: &str,
    layout: Layout,
    context: &Context<'_>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(Resolved, Laid), SourceError> {
    let published = published(repository, reference, context)?;
    // What a series is applied to is there already.
    let (git_dir, resolved) = match published {
        Some(found) => found,
        None => git::resolve(repository, reference, layout.history, context, progress)?,
    };
    let (mirror, _lock) = if git::is_url(repository) {
        let lock = mirror::open(&git_dir, context, progress)?;
        (git_dir, lock)
    } else {
        let path = context.environment.current_dir.join(repository);
        if git_dir == path {
            git::fetch_missing(&git_dir, &resolved, context)?;
        }
        mirror::borrow(&path, context, progress)?
    };
    exec::capture(&git(context, &mirror).args(["worktree", "prune"]))?;
    let commit = &resolved.commit;
    let mut there = dir.exists();
    if there {
        if !is_ours(dir, &mirror, context)? {
            return Err(Error::NotAWorktree {
                path: dir.to_owned(),
                repository: repository.to_owned(),
            }
            .into());
        }
        // What was never finished holds nobody's edits.
        if layout.recreate || !mark(dir, context)?.exists() {
            fs::remove_dir_all(dir)?;
            exec::capture(&git(context, &mirror).args(["worktree", "prune"]))?;
            there = false;
        }
    }
    let mut laid = Laid::Created;
    if there {
        let head = git::commit_of(context, dir, "HEAD")?.unwrap_or_default();
        if head == *commit {
            return Ok((resolved, Laid::Current));
        }
        let edits = edits(dir, context)?;
        if !edits.is_empty() {
            return Err(Error::Edited {
                path: dir.to_owned(),
                reference: reference.to_owned(),
                edits,
            }
            .into());
        }
        progress(Progress::Note(&format!(
            "moving {dir} to {}",
            &commit[..12]
        )));
        fs::remove_file(mark(dir, context)?)?;
        exec::capture(&git(context, dir).args(["checkout", "--quiet", "--detach", commit]))?;
        laid = Laid::Moved { from: head };
    } else {
        progress(Progress::Note(&format!(
            "laying {} out in {dir}",
            &commit[..12]
        )));
        let call = git(context, &mirror)
            .args(["worktree", "add", "--quiet", "--detach", "--force"])
            .args([dir.as_str(), commit]);
        exec::capture(&call)?;
    }
    fs::write_atomic(mark(dir, context)?, b"")?;
    Ok((resolved, laid))
}

/// A kernel's tree in its worktree, moved to the commit; what is edited there counts.
pub fn prepare(
    dir: &Utf8Path,
    repository: &str,
    reference: &str,
    context: &Context<'_>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Tree, SourceError> {
    let layout = Layout::default();
    let (resolved, _) = lay_resolved(dir, repository, reference, layout, context, progress)?;
    let tree = directory::prepare(dir, context, progress)?.tree;
    if tree.dirty {
        let name = reference.to_owned();
        return Ok(Tree {
            label: LabelHint::Reference { name },
            ..tree
        });
    }
    Ok(Tree {
        label: git::label(&resolved, reference),
        verification: Verification::Commit,
        description: format!("{repository} {reference}"),
        resolved: Source::Git {
            repository: repository.to_owned(),
            reference: resolved.commit,
        },
        ..tree
    })
}

/// Where the branches of mailed series are, in a mirror.
const SERIES: &str = "refs/heads/";

fn mirror_dir(repository: &str, context: &Context<'_>) -> Utf8PathBuf {
    if git::is_url(repository) {
        return mirror::dir(repository, context);
    }
    let path = context.environment.current_dir.join(repository);
    mirror::dir(path.as_str(), context)
}

/// The commit of a branch `b4/…` that was published here.
fn published(
    repository: &str,
    reference: &str,
    context: &Context<'_>,
) -> Result<Option<(Utf8PathBuf, Resolved)>, SourceError> {
    let mirror = mirror_dir(repository, context);
    if !reference.starts_with("b4/") || !mirror.is_dir() {
        return Ok(None);
    }
    let Some(commit) = git::commit_of(context, &mirror, &format!("{SERIES}{reference}"))? else {
        return Ok(None);
    };
    let resolved = git::describe(context, &mirror, commit, false)?;
    Ok(Some((mirror, resolved)))
}

/// Applies a mailed series with `git am` on `base` and publishes it as `branch` in the mirror. The
/// commits are the same whenever and by whomever it is done: the committer is fixed, and the
/// committer's date is the author's. Returns the commit and its tree.
pub fn publish(
    repository: &str,
    base: &str,
    branch: &str,
    mails: &[&Utf8Path],
    context: &Context<'_>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(String, TreeId), SourceError> {
    let reference = format!("{SERIES}{branch}");
    let note = format!(
        "{base}\n{}",
        mails
            .iter()
            .map(|mail| format!("{mail}\n"))
            .collect::<String>()
    );
    let (git_dir, resolved) = git::resolve(repository, base, false, context, progress)?;
    let (mirror, _lock) = if git::is_url(repository) {
        let lock = mirror::open(&git_dir, context, progress)?;
        (git_dir, lock)
    } else {
        git::fetch_missing(&git_dir, &resolved, context)?;
        mirror::borrow(&git_dir, context, progress)?
    };
    let noted = mirror.join("kernelkit").join(format!("{branch}.published"));
    if fs::read_optional(&noted)?.as_deref() == Some(note.as_bytes())
        && let Some(commit) = git::commit_of(context, &mirror, &reference)?
    {
        let there = git::describe(context, &mirror, commit, false)?;
        return Ok((there.commit, there.tree));
    }
    progress(Progress::Note(&format!("publishing {branch} in {mirror}")));
    // git am needs no file in its worktree: those that a patch touches are checked out for it.
    let work = mirror.join("kernelkit/am");
    fs::remove_dir_all(&work)?;
    exec::capture(&git(context, &mirror).args(["worktree", "prune"]))?;
    exec::capture(
        &git(context, &mirror)
            .args(["worktree", "add", "--quiet", "--detach", "--no-checkout"])
            .args([work.as_str(), &resolved.commit]),
    )?;
    exec::capture(&git(context, &work).args(["read-tree", "HEAD"]))?;
    let call = git(context, &work)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_COMMITTER_NAME", "cargo kernel")
        .env("GIT_COMMITTER_EMAIL", "cargo-kernel@localhost")
        .args([
            "am",
            "--quiet",
            "--committer-date-is-author-date",
            "--no-3way",
        ])
        .args(["--whitespace=nowarn", "--no-gpg-sign", "--keep-non-patch"])
        .args(mails.iter().map(|mail| mail.as_str()));
    exec::capture(&call)?;
    let head = git::commit_of(context, &work, "HEAD")?.unwrap_or_default();
    exec::capture(&git(context, &mirror).args(["update-ref", &reference, &head]))?;
    fs::remove_dir_all(&work)?;
    exec::capture(&git(context, &mirror).args(["worktree", "prune"]))?;
    fs::write_atomic(noted, note.as_bytes())?;
    let there = git::describe(context, &mirror, head, false)?;
    Ok((there.commit, there.tree))
}

/// The files of a worktree that differ from its commit, as `git status` has them; none where there is
/// no worktree.
pub fn edits(dir: &Utf8Path, context: &Context<'_>) -> Result<Vec<String>, SourceError> {
    if !dir.join(".git").exists() {
        return Ok(Vec::new());
    }
    let call = git(context, dir).args([
        "status",
        "--porcelain",
        "--no-renames",
        "--untracked-files=normal",
    ]);
    let text = exec::capture(&call)?.text();
    Ok(text.lines().map(str::to_owned).collect())
}

/// Written once all files are there.
fn mark(dir: &Utf8Path, context: &Context<'_>) -> Result<Utf8PathBuf, SourceError> {
    let call = git(context, dir).args(["rev-parse", "--git-path", "kernelkit-complete"]);
    Ok(dir.join(exec::capture(&call)?.text().trim_end()))
}

fn is_ours(dir: &Utf8Path, mirror: &Utf8Path, context: &Context<'_>) -> Result<bool, SourceError> {
    if !dir.join(".git").is_file() {
        return Ok(false);
    }
    let common = git::ask(&git(context, dir).args(["rev-parse", "--git-common-dir"]))?;
    Ok(common.is_some_and(|common| fs::real_path(dir.join(common)) == fs::real_path(mirror)))
}

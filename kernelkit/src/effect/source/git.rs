//! A git repository and a reference as source, through the git program.
//!
//! A repository of the user's is only read (save that a partial clone fetches what it
//! lacks); of a URL, the one commit that is needed is kept in a bare repository in the cache.

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::{
    Commit, Context, Error as SourceError, LabelHint, Progress, Tree, Verification, archive, cache,
};
use crate::effect::{exec, fs};
use crate::process::Call;
use crate::source::{Sha256, Source, TreeId};
use crate::version::KernelVersion;

/// What a repository does not have.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It would be read as an option, or cannot be a reference.
    #[error("`{reference}` cannot be a git reference")]
    InvalidReference {
        /// What was asked for.
        reference: String,
    },
    /// Neither tag nor branch nor commit.
    #[error("{repository} has no tag, branch or commit `{reference}`")]
    UnknownReference {
        /// Where.
        repository: String,
        /// What was asked for.
        reference: String,
    },
    /// Several remotes have a branch of this name, at different commits.
    #[error("`{reference}` is a branch of several remotes in {repository}")]
    Ambiguous {
        /// Where.
        repository: String,
        /// What was asked for.
        reference: String,
        /// The branches.
        branches: Vec<String>,
    },
    /// Not a repository.
    #[error("{path} is not a git repository")]
    NotARepository {
        /// The path.
        path: Utf8PathBuf,
    },
    /// git answered something unforeseen.
    #[error("cannot understand what git says of {repository}: `{answer}`")]
    Answer {
        /// Where.
        repository: String,
        /// The line.
        answer: String,
    },
    /// Offline, and not in the cache.
    #[error("`{reference}` of {repository} is not in the cache, and kernelkit is offline")]
    Offline {
        /// Where.
        repository: String,
        /// What was asked for.
        reference: String,
    },
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::InvalidReference { .. } => Some("name a tag, a branch or a commit".to_owned()),
            Error::UnknownReference { repository, .. } => Some(if is_url(repository) {
                format!(
                    "`git ls-remote {repository}` lists what there is; a commit needs all its 40 digits"
                )
            } else {
                format!("`git -C {repository} fetch --tags` gets what is new")
            }),
            Error::Ambiguous { branches, .. } => {
                Some(format!("name one of {}", branches.join(", ")))
            }
            Error::NotARepository { .. } => {
                Some("name a git repository, or use the directory as it is".to_owned())
            }
            Error::Answer { .. } => None,
            Error::Offline { .. } => Some("run it once without `--offline`".to_owned()),
        }
    }
}

/// A commit and what a reference to it says.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Resolved {
    commit: String,
    tree: TreeId,
    author_date: i64,
    tag: bool,
}

pub(super) fn prepare(
    repository: &str,
    reference: &str,
    context: &Context<'_>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Tree, SourceError> {
    let odd = |byte: u8| byte.is_ascii_control() || byte == b' ';
    if reference.is_empty() || reference.starts_with('-') || reference.bytes().any(odd) {
        return Err(Error::InvalidReference {
            reference: reference.to_owned(),
        }
        .into());
    }
    let (git_dir, resolved) = if is_url(repository) {
        remote(repository, reference, context, progress)?
    } else {
        let path = context.environment.current_dir.join(repository);
        let resolved = local(&path, repository, reference, context)?;
        (path, resolved)
    };
    let cache_dir = &context.environment.cache_dir;
    let key = format!("git-{}", resolved.tree);
    let cached = cache::tree(cache_dir, &key, progress, |into, progress| {
        check_out(&git_dir, &resolved, into, context, progress)
    })?;
    let label = if resolved.tag && is_release(reference) {
        LabelHint::Vanilla
    } else {
        LabelHint::Reference {
            name: reference.to_owned(),
        }
    };
    Ok(Tree {
        dir: cached.dir,
        id: cached.record.id,
        version: cached.record.version,
        localversion: cached.record.localversion,
        commit: Some(Commit {
            id: resolved.commit.clone(),
            author_date: resolved.author_date,
        }),
        label,
        dirty: false,
        pinned: true,
        verification: Verification::Commit,
        description: format!("{repository} {reference}"),
        archive: None,
        patches: Vec::new(),
        resolved: Source::Git {
            repository: repository.to_owned(),
            reference: resolved.commit,
        },
    })
}

/// Whether a tag is that of a release: `v6.12.117`.
pub(super) fn is_release(tag: &str) -> bool {
    tag.starts_with('v') && tag.parse::<KernelVersion>().is_ok()
}

/// `https://…`, `ssh://…`, `file://…` or `host:path`.
fn is_url(repository: &str) -> bool {
    match repository.split_once(':') {
        Some((before, _)) => !before.contains('/'),
        None => false,
    }
}

/// git in `dir`, with nothing of the caller's environment that changes what it answers.
pub(super) fn git(context: &Context<'_>, dir: &Utf8Path) -> Call {
    const PASSED_ON: [&str; 7] = [
        "GIT_ASKPASS",
        "GIT_SSH",
        "GIT_SSH_COMMAND",
        "GIT_SSL_CAINFO",
        "SSH_AUTH_SOCK",
        "SSL_CERT_FILE",
        "XDG_CONFIG_HOME",
    ];
    let environment = context.environment;
    let mut call = Call::new("git", dir).envs(&environment.tool_variables());
    for (name, value) in &environment.variables {
        if PASSED_ON.contains(&name.as_str()) || name.to_ascii_lowercase().ends_with("_proxy") {
            call = call.env(name, value);
        }
    }
    call.env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_TERMINAL_PROMPT", "0")
}

/// Standard output of a call that may answer "no": `None` where it fails.
pub(super) fn ask(call: &Call) -> Result<Option<String>, exec::Error> {
    let (output, status) = exec::capture_unchecked(call)?;
    Ok(status
        .success()
        .then(|| output.text().trim_end().to_owned()))
}

/// The commit that `revision` names.
fn commit_of(
    context: &Context<'_>,
    dir: &Utf8Path,
    revision: &str,
) -> Result<Option<String>, exec::Error> {
    ask(&git(context, dir)
        .args(["rev-parse", "--verify", "--quiet", "--end-of-options"])
        .arg(format!("{revision}^{{commit}}")))
}

fn describe(
    context: &Context<'_>,
    dir: &Utf8Path,
    commit: String,
    tag: bool,
) -> Result<Resolved, SourceError> {
    let output = exec::capture(
        &git(context, dir)
            .args(["log", "-1", "--no-show-signature", "--format=%T %at"])
            .args(["--end-of-options", commit.as_str()]),
    )?
    .text();
    let parse = || {
        let (tree, date) = output.trim_end().split_once(' ')?;
        Some((tree.parse().ok()?, date.parse().ok()?))
    };
    let (tree, author_date) = parse().ok_or_else(|| Error::Answer {
        repository: dir.to_string(),
        answer: output.trim_end().to_owned(),
    })?;
    Ok(Resolved {
        commit,
        tree,
        author_date,
        tag,
    })
}

/// In a repository at hand: as a tag, then as a branch of a remote, then literally.
fn local(
    path: &Utf8Path,
    repository: &str,
    reference: &str,
    context: &Context<'_>,
) -> Result<Resolved, SourceError> {
    if !path.is_dir() {
        return Err(Error::NotARepository {
            path: path.to_owned(),
        }
        .into());
    }
    if let Some(commit) = commit_of(context, path, &format!("refs/tags/{reference}"))? {
        return describe(context, path, commit, true);
    }
    // A remote's HEAD is not what anybody means by it.
    if reference != "HEAD"
        && let Some(commit) = remote_branch(path, repository, reference, context)?
    {
        return describe(context, path, commit, false);
    }
    if let Some(commit) = commit_of(context, path, reference)? {
        return describe(context, path, commit, false);
    }
    // Where it is no repository at all, or another user's, git's own words are best.
    exec::capture(&git(context, path).args(["rev-parse", "--git-dir"]))?;
    Err(Error::UnknownReference {
        repository: repository.to_owned(),
        reference: reference.to_owned(),
    }
    .into())
}

fn remote_branch(
    path: &Utf8Path,
    repository: &str,
    reference: &str,
    context: &Context<'_>,
) -> Result<Option<String>, SourceError> {
    let list = git(context, path)
        .args(["for-each-ref", "--format=%(objectname) %(refname:lstrip=2)"])
        .arg("refs/remotes/");
    let text = ask(&list)?.unwrap_or_default();
    let found: Vec<(&str, &str)> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter(|(_, name)| {
            name.strip_suffix(reference).is_some_and(|remote| {
                remote.ends_with('/') && !remote[..remote.len() - 1].contains('/')
            })
        })
        .collect();
    let origin = found
        .iter()
        .find(|(_, name)| name.starts_with("origin/"))
        .or(found.first());
    match origin {
        None => Ok(None),
        Some((commit, name))
            if name.starts_with("origin/") || found.iter().all(|(other, _)| other == commit) =>
        {
            Ok(Some((*commit).to_owned()))
        }
        Some(_) => Err(Error::Ambiguous {
            repository: repository.to_owned(),
            reference: reference.to_owned(),
            branches: found.iter().map(|(_, name)| (*name).to_owned()).collect(),
        }
        .into()),
    }
}

/// At a URL: the same order, with the branches of the repository there. Fetches the commit
/// into a bare repository of ours, unless it is there already.
fn remote(
    url: &str,
    reference: &str,
    context: &Context<'_>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(Utf8PathBuf, Resolved), SourceError> {
    if url.starts_with('-') {
        return Err(Error::UnknownReference {
            repository: url.to_owned(),
            reference: reference.to_owned(),
        }
        .into());
    }
    let cache_dir = &context.environment.cache_dir;
    let digest = Sha256::of(url.as_bytes()).to_string();
    let dir = cache_dir.join("git").join(&digest[..16]);
    let known_at = cache_dir.join("known").join(format!(
        "git-{}.json",
        Sha256::of(format!("{url} {reference}").as_bytes())
    ));
    let known = fs::read_optional(&known_at)?
        .and_then(|bytes| serde_json::from_slice::<Resolved>(&bytes).ok())
        // Tags and commits stay; branches move on.
        .filter(|known| known.tag || is_commit(reference) || context.offline)
        .filter(|_| dir.is_dir());
    if let Some(known) = known {
        return Ok((dir, known));
    }
    if context.offline {
        return Err(Error::Offline {
            repository: url.to_owned(),
            reference: reference.to_owned(),
        }
        .into());
    }
    fs::create_dir_all(&dir)?;
    let _lock = cache::Lock::take(&dir.with_extension("lock"), progress)?;
    let base = || git(context, &dir);
    exec::capture(&base().args(["init", "--quiet", "--bare", "."]))?;
    let (wanted, tag) = if is_commit(reference) {
        (reference.to_owned(), false)
    } else {
        find_remote(url, reference, &dir, context)?
    };
    progress(Progress::Note(&format!("fetching {reference} from {url}")));
    let kept = format!(
        "refs/kernelkit/{}",
        wanted.strip_prefix("refs/").unwrap_or(&wanted)
    );
    exec::capture(
        &base()
            .args(["fetch", "--quiet", "--depth=1", "--no-tags"])
            .args([
                "--no-write-fetch-head",
                "--recurse-submodules=no",
                "--end-of-options",
            ])
            .arg(url)
            .arg(format!("+{wanted}:{kept}")),
    )?;
    let commit = commit_of(context, &dir, &kept)?.ok_or_else(|| Error::UnknownReference {
        repository: url.to_owned(),
        reference: reference.to_owned(),
    })?;
    let resolved = describe(context, &dir, commit, tag)?;
    let json = serde_json::to_vec(&resolved).expect("a resolution is plain data");
    fs::write_atomic(&known_at, &json)?;
    Ok((dir, resolved))
}

fn is_commit(reference: &str) -> bool {
    reference.len() == 40 && reference.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The full name of the reference at `url`, and whether it is a tag.
fn find_remote(
    url: &str,
    reference: &str,
    dir: &Utf8Path,
    context: &Context<'_>,
) -> Result<(String, bool), SourceError> {
    let names = [
        (format!("refs/tags/{reference}"), true),
        (format!("refs/heads/{reference}"), false),
        (reference.to_owned(), false),
    ];
    let call = git(context, dir)
        .args(["ls-remote", "--quiet", "--end-of-options", url])
        .args(names.iter().map(|(name, _)| name));
    let text = exec::capture(&call)?.text();
    let there = |wanted: &str| {
        text.lines().any(|line| {
            line.split_once('\t')
                .is_some_and(|(_, name)| name == wanted)
        })
    };
    let found = names.into_iter().find(|(name, _)| there(name));
    found.ok_or_else(|| {
        Error::UnknownReference {
            repository: url.to_owned(),
            reference: reference.to_owned(),
        }
        .into()
    })
}

fn check_out(
    git_dir: &Utf8Path,
    resolved: &Resolved,
    into: &Utf8Path,
    context: &Context<'_>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<crate::source::snapshot::Snapshot, SourceError> {
    progress(Progress::Note(&format!(
        "checking out {} of {git_dir}",
        &resolved.commit[..12]
    )));
    fetch_missing(git_dir, resolved, context)?;
    // Of the commit rather than its tree, for then every file has the commit's time. The bytes
    // are to be those of the repository, whatever the user's settings make of line ends.
    let call = git(context, git_dir)
        .args([
            "-c",
            "core.autocrlf=false",
            "-c",
            "core.eol=lf",
            "-c",
            "tar.umask=0022",
        ])
        .args(["archive", "--format=tar", "--prefix=tree/"])
        .arg(&resolved.commit);
    let name = git_dir.join(&resolved.commit);
    exec::pipe(&call, |stream| archive::unpack_stream(&name, stream, into))?.map_err(Into::into)
}

/// A partial clone fetches a file at a time when it is asked for all of them, which takes
/// hours: so what is missing is fetched first, many files a call.
fn fetch_missing(
    git_dir: &Utf8Path,
    resolved: &Resolved,
    context: &Context<'_>,
) -> Result<(), SourceError> {
    let call =
        git(context, git_dir).args(["config", "--get-regexp", r"^remote\..*\.promisor$", "true"]);
    let promisors = ask(&call)?.unwrap_or_default();
    let Some(remote) = promisors
        .lines()
        .next()
        .and_then(|line| line.split_whitespace().next())
        .and_then(|name| name.strip_prefix("remote.")?.strip_suffix(".promisor"))
    else {
        return Ok(());
    };
    let call = git(context, git_dir)
        .args([
            "rev-list",
            "--objects",
            "--no-object-names",
            "--missing=print",
        ])
        .arg(resolved.tree.to_string());
    let text = exec::capture(&call)?.text();
    let missing: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix('?'))
        .collect();
    // A command line may have 2 MiB, and a name takes 41 bytes.
    for names in missing.chunks(16_384) {
        exec::capture(
            &git(context, git_dir)
                .args(["-c", "fetch.negotiationAlgorithm=noop", "fetch", "--quiet"])
                .args([
                    "--no-tags",
                    "--no-write-fetch-head",
                    "--recurse-submodules=no",
                ])
                .args(["--filter=blob:none", remote])
                .args(names.iter().copied()),
        )?;
    }
    Ok(())
}

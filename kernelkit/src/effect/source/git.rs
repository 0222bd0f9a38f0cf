//! A git repository and a reference as source, through the git program.
//!
//! A repository of the user's is only read (save that a partial clone fetches what it
//! lacks); of a URL, the one commit that is needed is kept in a bare repository in the cache.

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::{
    Commit, Context, Error as SourceError, LabelHint, Progress, Tree, Verification, archive, cache,
    mirror,
};
use crate::credentials;
use crate::effect::environment::Probing;
use crate::effect::{exec, record};
use crate::limits;
use crate::process::Call;
use crate::source::tree::{BlobId, Kind};
use crate::source::{Sha256, Source, TreeId, is_commit};
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
    /// A commit that holds another repository.
    #[error("{member} of {commit} is a submodule, which is not fetched")]
    Submodule {
        /// The commit.
        commit: String,
        /// Its path.
        member: String,
    },
    /// A file that would not be what the commit's tree says.
    #[error("{member} of {commit} cannot be laid out as the commit has it: its mode is {mode}")]
    Mode {
        /// The commit.
        commit: String,
        /// Its path.
        member: String,
        /// As `git ls-tree` has it.
        mode: String,
    },
    /// The files that were laid out are not the commit's.
    #[error("the files of {commit} have the tree {found}, not the commit's {expected}")]
    OtherTree {
        /// The commit.
        commit: String,
        /// What the commit names.
        expected: TreeId,
        /// What was laid out.
        found: TreeId,
    },
    /// What a reference named is there no more.
    #[error("{repository} has `{reference}` no more")]
    Vanished {
        /// Where.
        repository: String,
        /// What was asked for.
        reference: String,
        /// What it was when it was last seen.
        commit: String,
    },
    /// The server cannot be talked to.
    #[error("{repository} cannot be reached")]
    Unreachable {
        /// Where.
        repository: String,
        /// git's words.
        #[source]
        source: Box<exec::Error>,
    },
    /// The server does not let us in.
    #[error("{repository} refuses access")]
    Refused {
        /// Where.
        repository: String,
        /// git's words.
        #[source]
        source: Box<exec::Error>,
    },
    /// The server stopped in the middle.
    #[error("the connection to {repository} was cut off")]
    CutOff {
        /// Where.
        repository: String,
        /// git's words.
        #[source]
        source: Box<exec::Error>,
    },
    /// A partial clone, where nothing may be run.
    #[error(
        "{repository} is a partial clone and lacks {count} files of {commit}; fetching them would run what its configuration names"
    )]
    Lacking {
        /// Where.
        repository: String,
        /// The commit.
        commit: String,
        /// How many.
        count: usize,
    },
    /// Something else where a worktree was to be.
    #[error("{path} is there, and no worktree of {repository} that cargo kernel has made")]
    NotAWorktree {
        /// The directory.
        path: Utf8PathBuf,
        /// The repository.
        repository: String,
    },
    /// A worktree that would lose work.
    #[error("{path} has edits and cannot move to `{reference}`: {}", edits.join(", "))]
    Edited {
        /// The worktree.
        path: Utf8PathBuf,
        /// Where it was to move.
        reference: String,
        /// As `git status --porcelain` has them.
        edits: Vec<String>,
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
            Error::Submodule { .. } => Some(
                "check it out with `git submodule update --init` and name the directory as source"
                    .to_owned(),
            ),
            Error::Mode { .. } | Error::OtherTree { .. } => {
                Some("check the repository with `git fsck`".to_owned())
            }
            Error::Vanished { commit, .. } => Some(format!(
                "it was {commit} when it was last seen: name that commit to build it again"
            )),
            Error::Unreachable { .. } => Some(
                "check the network and the URL; `--offline` uses what is in the cache".to_owned(),
            ),
            Error::Refused { .. } => Some(
                "check that you may read it: `git ls-remote` with the same URL must work without a question"
                    .to_owned(),
            ),
            Error::CutOff { .. } => {
                Some("run it again: what was there before is intact".to_owned())
            }
            Error::Lacking { .. } => Some(
                "leave out `--probes`, if the repository may run its commands, or name a whole clone"
                    .to_owned(),
            ),
            Error::NotAWorktree { .. } => Some("remove it, or name another directory".to_owned()),
            Error::Edited { path, .. } => Some(format!(
                "commit or stash them (`git -C {path} stash -u`); `cargo kernel tree --recreate` drops those of a kernel's own tree"
            )),
            Error::Offline { .. } => Some("run it once without `--offline`".to_owned()),
        }
    }
}

/// The form of what is kept of a reference.
const FORMAT: u32 = 1;

/// A commit and what a reference to it says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Resolved {
    pub(super) commit: String,
    pub(super) tree: TreeId,
    author_date: i64,
    tag: bool,
}

pub(super) fn prepare(
    repository: &str,
    reference: &str,
    context: &Context<'_>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Tree, SourceError> {
    let (git_dir, resolved) = resolve(repository, reference, false, context, progress)?;
    let cache_dir = &context.environment.cache_dir;
    let key = format!("git-{}", resolved.tree);
    let cached = cache::tree(cache_dir, &key, progress, |into, progress| {
        check_out(&git_dir, &resolved, into, context, progress)
    })?;
    let label = label(&resolved, reference);
    Ok(Tree {
        dir: cached.dir,
        id: cached.record.id,
        version: cached.record.version,
        localversion: cached.record.localversion,
        config_inputs: None,
        head: None,
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
        series: None,
        resolved: Source::Git {
            repository: repository.to_owned(),
            reference: resolved.commit,
        },
    })
}

/// The commit that `reference` names, and a repository that has it; with `history`, with
/// the commits before it.
pub(super) fn resolve(
    repository: &str,
    reference: &str,
    history: bool,
    context: &Context<'_>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(Utf8PathBuf, Resolved), SourceError> {
    check_reference(reference)?;
    if is_url(repository) {
        return remote(repository, reference, history, context, progress);
    }
    let path = context.environment.current_dir.join(repository);
    let resolved = local(&path, repository, reference, context)?;
    Ok((path, resolved))
}

/// The commit that `reference` names now. Of a URL, nothing is fetched; a tag that is known stays.
pub(super) fn look(
    repository: &str,
    reference: &str,
    context: &Context<'_>,
) -> Result<String, SourceError> {
    check_reference(reference)?;
    if !is_url(repository) {
        let path = context.environment.current_dir.join(repository);
        return Ok(local(&path, repository, reference, context)?.commit);
    }
    let seen = seen(repository, reference, context);
    match seen.as_ref().filter(|seen| stays(seen, reference)) {
        Some(known) => return Ok(known.commit.clone()),
        None if context.offline => {
            return Err(Error::Offline {
                repository: repository.to_owned(),
                reference: reference.to_owned(),
            }
            .into());
        }
        None => {}
    }
    let found = find_remote(repository, reference, Utf8Path::new("/"), context);
    Ok(found
        .map_err(|error| vanished(error, repository, reference, seen.as_ref()))?
        .commit)
}

fn check_reference(reference: &str) -> Result<(), Error> {
    let odd = |byte: u8| byte.is_ascii_control() || byte == b' ';
    if reference.is_empty() || reference.starts_with('-') || reference.bytes().any(odd) {
        return Err(Error::InvalidReference {
            reference: reference.to_owned(),
        });
    }
    Ok(())
}

/// What a release of this commit could be labelled.
pub(super) fn label(resolved: &Resolved, reference: &str) -> LabelHint {
    if resolved.tag && is_release(reference) {
        LabelHint::Vanilla
    } else {
        LabelHint::Reference {
            name: reference.to_owned(),
        }
    }
}

/// A reference without the directories that git keeps it in.
pub(super) fn short(reference: &str) -> &str {
    ["refs/tags/", "refs/heads/"]
        .iter()
        .find_map(|prefix| reference.strip_prefix(prefix))
        .unwrap_or(reference)
}

/// Whether a tag is that of a release: `v6.12.117`.
pub(super) fn is_release(tag: &str) -> bool {
    tag.starts_with('v') && tag.parse::<KernelVersion>().is_ok()
}

/// `https://…`, `ssh://…`, `file://…` or `host:path`.
pub(super) fn is_url(repository: &str) -> bool {
    match repository.split_once(':') {
        Some((before, _)) => !before.contains('/'),
        None => false,
    }
}

/// git in `dir`, with nothing of the caller's environment that changes what it answers.
pub(super) fn git(context: &Context<'_>, dir: &Utf8Path) -> Call {
    // Programs of the user's that git would run or ask have no say in which bytes a commit has. An empty
    // core.fsmonitor is off in every version of git.
    caller("git", context, dir).args(["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor="])
}

/// A program that calls git in `dir`: the environment of [`git`].
pub(super) fn caller(program: &str, context: &Context<'_>, dir: &Utf8Path) -> Call {
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
    let mut call = Call::new(program, dir).envs(&environment.tool_variables());
    for (name, value) in &environment.variables {
        if PASSED_ON.contains(&name.as_str()) || name.to_ascii_lowercase().ends_with("_proxy") {
            call = call.env(name, value);
        }
    }
    // A server that sends a byte a minute is left alone after a while.
    let mut settings = vec![
        ("http.lowSpeedLimit".to_owned(), limits::SLOWEST.to_string()),
        (
            "http.lowSpeedTime".to_owned(),
            limits::SLOW_TIME.most.to_string(),
        ),
    ];
    let logins = environment.credentials.logins();
    for (url, login) in &logins {
        settings.push((
            format!("http.{url}.extraHeader"),
            format!("Authorization: {}", credentials::basic(login)),
        ));
    }
    if !logins.is_empty() {
        // A redirect would take the login to another server.
        settings.push(("http.followRedirects".to_owned(), "false".to_owned()));
    }
    // Beside the command line, which every user of the machine can read (git-config(1), "Environment").
    call = call.env("GIT_CONFIG_COUNT", settings.len().to_string());
    for (index, (key, value)) in settings.into_iter().enumerate() {
        call = call
            .env(format!("GIT_CONFIG_KEY_{index}"), key)
            .env(format!("GIT_CONFIG_VALUE_{index}"), value);
    }
    if !runs(context) {
        // What fetches runs what the repository's configuration names.
        call = call.env("GIT_NO_LAZY_FETCH", "1");
    }
    // Objects that stand in for others have no say either.
    call.env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_NO_REPLACE_OBJECTS", "1")
}

/// Whether a source's own commands may run: then what a repository's configuration says may run, too.
fn runs(context: &Context<'_>) -> bool {
    matches!(context.environment.probing, Probing::Run)
}

/// git for a conversation with a server: ssh asks nobody anything, and gives up on a server that is silent.
pub(super) fn remote_git(context: &Context<'_>, dir: &Utf8Path) -> Result<Call, exec::Error> {
    let call = git(context, dir);
    let chosen = ["GIT_SSH_COMMAND", "GIT_SSH"]
        .iter()
        .any(|name| context.environment.variables.contains_key(*name));
    // An ssh that the user has chosen knows its own options.
    if chosen || ask(&call.clone().args(["config", "--get", "core.sshCommand"]))?.is_some() {
        return Ok(call);
    }
    Ok(call.env("GIT_SSH_COMMAND", SSH))
}

/// ssh_config(5): no questions, 30 s for a connection, and four unanswered probes of 15 s end it.
const SSH: &str =
    "ssh -oBatchMode=yes -oConnectTimeout=30 -oServerAliveInterval=15 -oServerAliveCountMax=4";

/// Standard output of a call that may answer "no": `None` where it fails.
pub(super) fn ask(call: &Call) -> Result<Option<String>, exec::Error> {
    let (output, status) = exec::capture_unchecked(call)?;
    Ok(status
        .success()
        .then(|| output.text().trim_end().to_owned()))
}

/// The commit that `revision` names.
pub(super) fn commit_of(
    context: &Context<'_>,
    dir: &Utf8Path,
    revision: &str,
) -> Result<Option<String>, exec::Error> {
    ask(&git(context, dir)
        .args(["rev-parse", "--verify", "--quiet", "--end-of-options"])
        .arg(format!("{revision}^{{commit}}")))
}

pub(super) fn describe(
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
    history: bool,
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
    let dir = mirror::dir(url, context);
    let seen = seen(url, reference, context);
    let usable = |known: &&Resolved| stays(known, reference) || context.offline;
    let deep = !history || !dir.join("shallow").exists();
    if let Some(known) = seen.as_ref().filter(usable).filter(|_| deep) {
        return Ok((dir, known.clone()));
    }
    if context.offline {
        return Err(Error::Offline {
            repository: url.to_owned(),
            reference: reference.to_owned(),
        }
        .into());
    }
    let _lock = mirror::open(&dir, context, progress)?;
    let vanished = |error| vanished(error, url, reference, seen.as_ref());
    let (wanted, tag) = if is_commit(reference) {
        (reference.to_owned(), false)
    } else {
        let found = find_remote(url, reference, &dir, context).map_err(vanished)?;
        (found.name, found.tag)
    };
    progress(Progress::Note(&format!("fetching {reference} from {url}")));
    let kept = format!(
        "refs/kernelkit/{}",
        wanted.strip_prefix("refs/").unwrap_or(&wanted)
    );
    mirror::fetch(&dir, url, (&wanted, &kept), history, context).map_err(vanished)?;
    let commit = commit_of(context, &dir, &kept)?.ok_or_else(|| Error::UnknownReference {
        repository: url.to_owned(),
        reference: reference.to_owned(),
    })?;
    let resolved = describe(context, &dir, commit, tag)?;
    record::write(&known_at(url, reference, context), FORMAT, &resolved)?;
    Ok((dir, resolved))
}

/// Where it is kept what a reference at a URL was when it was last fetched.
fn known_at(url: &str, reference: &str, context: &Context<'_>) -> Utf8PathBuf {
    let digest = Sha256::of(format!("{url} {reference}").as_bytes());
    let known = context.environment.cache_dir.join("known");
    known.join(format!("git-{digest}.json"))
}

/// What a reference at a URL was when it was last fetched, where that is still in the mirror.
fn seen(url: &str, reference: &str, context: &Context<'_>) -> Option<Resolved> {
    record::read(&known_at(url, reference, context), FORMAT)
        .filter(|_| mirror::dir(url, context).is_dir())
}

/// Tags and commits stay; branches move on.
fn stays(known: &Resolved, reference: &str) -> bool {
    known.tag || is_commit(reference)
}

/// The same error, or that the reference was there once.
fn vanished(
    error: SourceError,
    url: &str,
    reference: &str,
    seen: Option<&Resolved>,
) -> SourceError {
    match (error, seen) {
        (SourceError::Git(Error::UnknownReference { .. }), Some(seen)) => Error::Vanished {
            repository: url.to_owned(),
            reference: reference.to_owned(),
            commit: seen.commit.clone(),
        }
        .into(),
        (error, _) => error,
    }
}

/// A reference at a URL.
struct Found {
    /// In full.
    name: String,
    tag: bool,
    commit: String,
}

/// The reference at `url`: a tag, then a branch, then literally.
fn find_remote(
    url: &str,
    reference: &str,
    dir: &Utf8Path,
    context: &Context<'_>,
) -> Result<Found, SourceError> {
    let names = [
        (format!("refs/tags/{reference}"), true),
        (format!("refs/heads/{reference}"), false),
        (reference.to_owned(), false),
    ];
    // An annotated tag is an object of its own; what it names has this suffix (gitrevisions(7)).
    let peeled = |name: &str| format!("{name}^{{}}");
    let call = remote_git(context, dir)?
        .args(["ls-remote", "--quiet", "--end-of-options", url])
        .args(names.iter().map(|(name, _)| name))
        .arg(peeled(&names[0].0));
    let output = exec::capture_in(&call, limits::GIT_LIST_TIME);
    let text = output
        .map_err(|error| mirror::explain(url, reference, error))?
        .text();
    let there = |wanted: &str| {
        text.lines().find_map(|line| {
            let (id, name) = line.split_once('\t')?;
            (name == wanted).then(|| id.to_owned())
        })
    };
    let found = names.into_iter().find_map(|(name, tag)| {
        let commit = there(&name)?;
        Some(Found {
            commit: there(&peeled(&name)).unwrap_or(commit),
            name,
            tag,
        })
    });
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
    let commit = &resolved.commit;
    let time = exec::capture(
        &git(context, git_dir)
            .args(["log", "-1", "--no-show-signature", "--format=%ct"])
            .args(["--end-of-options", commit]),
    )?
    .text();
    let time = time.trim_end().parse().map_err(|_| Error::Answer {
        repository: git_dir.to_string(),
        answer: time.trim_end().to_owned(),
    })?;
    let list = git(context, git_dir)
        .args(["ls-tree", "-r", "-z", "--full-tree", "--end-of-options"])
        .arg(resolved.tree.to_string());
    let blobs = parse_tree(&exec::capture(&list)?.stdout, commit, git_dir)?;
    let names: String = blobs.iter().map(|(id, _)| format!("{id}\n")).collect();
    let blobs: Vec<archive::Blob> = blobs.into_iter().map(|(_, blob)| blob).collect();
    // The bytes of the repository: `git archive` and `git checkout` would make of them what
    // .gitattributes and the user's settings say.
    let call = git(context, git_dir).args(["cat-file", "--batch", "--buffer"]);
    let name = git_dir.join(commit);
    let files = exec::pipe_from(&call, names.into_bytes(), |answers| {
        archive::lay_out(&name, &blobs, answers, time, into)
    })??;
    let found = files.tree_id();
    if found != resolved.tree {
        return Err(Error::OtherTree {
            commit: commit.clone(),
            expected: resolved.tree,
            found,
        }
        .into());
    }
    Ok(files)
}

/// The files of a tree, with their ids as git writes them: `<mode> <type> <id><TAB><path><NUL>` (git-ls-tree(1)).
pub(super) fn parse_tree(
    list: &[u8],
    commit: &str,
    git_dir: &Utf8Path,
) -> Result<Vec<(String, archive::Blob)>, SourceError> {
    let mut blobs = Vec::new();
    for line in list
        .split(|byte| *byte == 0)
        .filter(|line| !line.is_empty())
    {
        let parse = || {
            let tab = line.iter().position(|byte| *byte == b'\t')?;
            let head = std::str::from_utf8(&line[..tab]).ok()?;
            let mut words = head.split(' ');
            let (mode, _, id) = (words.next()?, words.next()?, words.next()?);
            let raw: TreeId = id.parse().ok()?;
            Some((mode, id, BlobId(*raw.as_bytes()), &line[tab + 1..]))
        };
        let (mode, id, blob, path) = parse().ok_or_else(|| Error::Answer {
            repository: git_dir.to_string(),
            answer: String::from_utf8_lossy(line).into_owned(),
        })?;
        let member = || String::from_utf8_lossy(path).into_owned();
        let commit = || commit.to_owned();
        let kind = match mode {
            "100644" => Kind::Regular,
            "100755" => Kind::Executable,
            "120000" => Kind::Symlink,
            "160000" => {
                return Err(Error::Submodule {
                    commit: commit(),
                    member: member(),
                }
                .into());
            }
            mode => {
                return Err(Error::Mode {
                    commit: commit(),
                    member: member(),
                    mode: mode.to_owned(),
                }
                .into());
            }
        };
        blobs.push((
            id.to_owned(),
            archive::Blob {
                path: path.to_vec(),
                kind,
                id: blob,
            },
        ));
    }
    Ok(blobs)
}

/// A partial clone fetches a file at a time when it is asked for all of them, which takes
/// hours: so what is missing is fetched first, many files a call.
pub(super) fn fetch_missing(
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
    if !missing.is_empty() && !runs(context) {
        return Err(Error::Lacking {
            repository: git_dir.to_string(),
            commit: resolved.commit.clone(),
            count: missing.len(),
        }
        .into());
    }
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

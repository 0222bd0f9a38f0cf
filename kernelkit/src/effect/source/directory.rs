//! A directory of the user's as source: a plain one, or a git work tree.
//!
//! In a work tree the files count that git would commit with `git add --all`: what it tracks
//! or would track, as it lies there now; and of those that git ignores, what a build reads
//! ([`unlisted`](crate::source::unlisted)). In a plain directory every file counts. The workspace's own
//! files in it do not.

use std::collections::HashSet;

use camino::{Utf8Path, Utf8PathBuf};
use sha2::{Digest as _, Sha256 as Hasher};

use super::{Commit, Context, Error, LabelHint, Prepared, Progress, Tree, Verification};
use super::{git, kernel, scan};
use crate::effect::{exec, fs};
use crate::source::snapshot::{Snapshot, Stamp};
use crate::source::{Sha256, Source, TreeId};

pub(super) fn prepare(
    path: &Utf8Path,
    context: &Context<'_>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Prepared, Error> {
    let (version, localversion) = kernel::identify(path)?;
    kernel::refuse_built(path)?;
    let cache = cache(path, context);
    let own = own(path, context);
    let work_tree = WorkTree::open(path, context)?;
    let selection: &dyn scan::Selection = match &work_tree {
        Some(work_tree) => work_tree,
        None => &scan::Everything,
    };
    let scan = scan::scan(
        path,
        &own,
        &cache,
        selection,
        context.now,
        &mut |done, total| {
            progress(Progress::Reading { done, total });
        },
    )?;
    tell(
        [
            "a link leads out of the tree, and what is there counts",
            "links lead out of the tree, and what is there counts",
        ],
        scan.links.iter().map(ToString::to_string),
        progress,
    );
    let unlisted = scan.snapshot.unlisted();
    let unlisted = unlisted.map(|path| String::from_utf8_lossy(&path).into_owned());
    tell(
        [
            "a file that git ignores counts, for a build reads it",
            "files that git ignores count, for a build reads them",
        ],
        unlisted,
        progress,
    );
    let (head, dirty) = match &work_tree {
        Some(work_tree) => {
            let head = work_tree.head()?;
            let dirty = match &head {
                Some(head) => work_tree.is_dirty(head, &scan)?,
                None => false,
            };
            (head, dirty)
        }
        None => (None, false),
    };
    let tree = Tree {
        dir: path.to_owned(),
        id: scan.id,
        version,
        localversion,
        config_inputs: Some(scan.snapshot.config_inputs()),
        label: head
            .as_ref()
            .map_or(LabelHint::Directory, |head| head.label(dirty)),
        head: head.as_ref().map(|head| head.tree),
        commit: head.map(|head| head.commit),
        dirty,
        pinned: false,
        verification: Verification::Unverified,
        archive: None,
        patches: Vec::new(),
        series: None,
        resolved: Source::Directory {
            path: path.to_owned(),
        },
        description: path.to_string(),
    };
    Ok(Prepared {
        tree,
        files: super::Files::Scanned(scan.snapshot),
    })
}

/// Where it is kept what was seen of a directory.
pub(super) fn cache(path: &Utf8Path, context: &Context<'_>) -> Utf8PathBuf {
    let name = Sha256::of(path.as_str().as_bytes()).to_string();
    context.environment.cache_dir.join("scan").join(name)
}

/// What lies in a directory and is no part of the source, from its top.
pub(super) fn own(path: &Utf8Path, context: &Context<'_>) -> Vec<Vec<u8>> {
    let top = fs::real_path(path);
    let inside = context
        .own
        .iter()
        .filter_map(|own| own.strip_prefix(&top).ok());
    inside
        .filter(|own| !own.as_str().is_empty())
        .map(|own| own.as_str().as_bytes().to_vec())
        .collect()
}

/// A note with the first few of many; one and several are said differently.
fn tell(
    [one, several]: [&str; 2],
    of: impl Iterator<Item = String>,
    progress: &mut dyn FnMut(Progress<'_>),
) {
    let all: Vec<String> = of.collect();
    let (first, more) = all.split_at(all.len().min(3));
    let first = first.join(", ");
    let note = match (all.len(), more.len()) {
        (0, _) => return,
        (1, _) => format!("{one}: {first}"),
        (count, 0) => format!("{count} {several}: {first}"),
        (count, more) => format!("{count} {several}: {first} and {more} more"),
    };
    progress(Progress::Note(&note));
}

/// A git work tree with its top at `dir`.
struct WorkTree<'a> {
    dir: &'a Utf8Path,
    context: &'a Context<'a>,
    /// Files other than `.gitignore` that decide which files count.
    deciding: Vec<Utf8PathBuf>,
}

impl<'a> WorkTree<'a> {
    /// `None` where `dir` is not the top of a work tree. A kernel inside a larger
    /// repository is a plain directory: that repository need not be about it.
    fn open(dir: &'a Utf8Path, context: &'a Context<'a>) -> Result<Option<Self>, Error> {
        if !dir.join(".git").exists() {
            return Ok(None);
        }
        let paths = ["index", "info/exclude"];
        let mut call = git::git(context, dir).arg("rev-parse");
        for path in paths {
            call = call.args(["--git-path", path]);
        }
        let mut deciding: Vec<Utf8PathBuf> = exec::capture(&call)?
            .text()
            .lines()
            .map(|path| dir.join(path))
            .collect();
        let call = git::git(context, dir).args(["config", "--type=path", "core.excludesFile"]);
        deciding.push(match git::ask(&call)? {
            Some(path) => dir.join(path),
            None => super::config_dir(context.environment).join("git/ignore"),
        });
        Ok(Some(WorkTree {
            dir,
            context,
            deciding,
        }))
    }

    /// What git tracks or would track, all of it or among `paths`.
    fn list(&self, paths: &[&[u8]]) -> Result<HashSet<Vec<u8>>, Error> {
        let call = git::git(self.context, self.dir)
            .env("GIT_LITERAL_PATHSPECS", "1")
            .args(["ls-files", "-z", "--cached", "--others"])
            .args(["--exclude-standard", "--"])
            .args(paths.iter().map(|path| String::from_utf8_lossy(path)));
        let output = exec::capture(&call)?;
        let paths = output.stdout.split(|byte| *byte == 0);
        Ok(paths.map(<[u8]>::to_vec).collect())
    }

    /// Whether the files differ from the commit's. Those of the workspace do not matter.
    fn is_dirty(&self, head: &Head, scan: &scan::Scan) -> Result<bool, Error> {
        let own = &scan.own;
        if head.tree == scan.id {
            return Ok(false);
        }
        if own.is_empty() {
            return Ok(true);
        }
        let call = git::git(self.context, self.dir)
            .args(["ls-tree", "-r", "-z", "--full-tree", "--end-of-options"])
            .arg(head.tree.to_string())
            .args(own.iter().map(|path| String::from_utf8_lossy(path)));
        let committed = git::parse_tree(&exec::capture(&call)?.stdout, &head.commit.id, self.dir)?;
        let committed = committed
            .iter()
            .map(|(_, blob)| (&blob.path[..], blob.kind, blob.id));
        Ok(head.tree != scan.snapshot.tree_id_with(committed))
    }

    /// The commit that is checked out; `None` before the first.
    fn head(&self) -> Result<Option<Head>, Error> {
        let call = git::git(self.context, self.dir)
            .args(["log", "-1", "--no-show-signature", "--decorate=full"])
            .arg("--format=%H%n%at%n%T%n%D");
        let Some(text) = git::ask(&call)? else {
            return Ok(None);
        };
        let mut lines = text.lines();
        let mut line = || lines.next().unwrap_or_default();
        let (id, date, tree, names) = (line(), line(), line(), line());
        let answer = || git::Error::Answer {
            repository: self.dir.to_string(),
            answer: text.clone(),
        };
        let mut branch = None;
        let mut tags = Vec::new();
        for name in names.split(", ") {
            if let Some(name) = name.strip_prefix("HEAD -> refs/heads/") {
                branch = Some(name.to_owned());
            } else if let Some(name) = name.strip_prefix("tag: refs/tags/") {
                tags.push(name.to_owned());
            }
        }
        Ok(Some(Head {
            commit: Commit {
                id: id.to_owned(),
                author_date: date.parse().map_err(|_| answer())?,
            },
            tree: tree.parse().map_err(|_| answer())?,
            branch,
            tags,
        }))
    }
}

impl scan::Selection for WorkTree<'_> {
    fn name(&self, walked: &Snapshot) -> Result<[u8; 32], Error> {
        let mut hasher = Hasher::new();
        // Bump it when other files count than did.
        hasher.update(b"3\n");
        let mut settled = true;
        let mut note = |name: &[u8], stamp: Option<Stamp>| {
            hasher.update(name);
            hasher.update(format!("\0{stamp:?}\n"));
            settled &= stamp.is_none_or(|stamp| scan::is_settled(&stamp, self.context.now));
        };
        for (directory, file) in walked.files() {
            if directory.name(file) == b".gitignore" {
                note(&directory.path, Some(file.stamp));
            }
        }
        for path in &self.deciding {
            note(path.as_str().as_bytes(), scan::stamp(path)?);
        }
        // What was touched just now can change again without its times showing it.
        if !settled {
            hasher.update(format!("{:?}", std::time::SystemTime::now()));
        }
        Ok(hasher.finalize().into())
    }

    fn select(&self) -> Result<Option<HashSet<Vec<u8>>>, Error> {
        self.list(&[]).map(Some)
    }

    fn select_among(&self, paths: &[&[u8]]) -> Result<HashSet<Vec<u8>>, Error> {
        self.list(paths)
    }
}

struct Head {
    commit: Commit,
    tree: TreeId,
    branch: Option<String>,
    tags: Vec<String>,
}

impl Head {
    fn label(&self, dirty: bool) -> LabelHint {
        let release = self.tags.iter().find(|tag| git::is_release(tag));
        let name = match (release, &self.branch, self.tags.first()) {
            (Some(_), ..) if !dirty => return LabelHint::Vanilla,
            (_, Some(branch), _) => branch,
            (Some(tag), None, _) | (None, None, Some(tag)) => tag,
            (None, None, None) => &self.commit.id[..12],
        };
        LabelHint::Reference {
            name: name.to_owned(),
        }
    }
}

//! A directory of the user's as source: a plain one, or a git work tree.
//!
//! In a work tree the files count that git would commit with `git add --all`: what it tracks
//! or would track, as it lies there now. In a plain directory every file counts.

use std::collections::HashSet;

use camino::{Utf8Path, Utf8PathBuf};
use sha2::{Digest as _, Sha256 as Hasher};

use super::{Commit, Context, Error, LabelHint, Prepared, Progress, Tree, Verification};
use super::{git, kernel, scan};
use crate::effect::exec;
use crate::source::snapshot::{Snapshot, Stamp};
use crate::source::{Sha256, Source, TreeId};

pub(super) fn prepare(
    path: &Utf8Path,
    context: &Context<'_>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Prepared, Error> {
    let (version, localversion) = kernel::identify(path)?;
    kernel::refuse_built(path)?;
    let cache = context
        .environment
        .cache_dir
        .join("scan")
        .join(Sha256::of(path.as_str().as_bytes()).to_string());
    let work_tree = WorkTree::open(path, context)?;
    let selection: &dyn scan::Selection = match &work_tree {
        Some(work_tree) => work_tree,
        None => &scan::Everything,
    };
    let scan = scan::scan(path, &cache, selection, context.now, &mut |done, total| {
        progress(Progress::Reading { done, total });
    })?;
    let head = match &work_tree {
        Some(work_tree) => work_tree.head()?,
        None => None,
    };
    let dirty = head.as_ref().is_some_and(|head| head.tree != scan.id);
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
        let call = git::git(self.context, self.dir)
            .args(["ls-files", "-z", "--cached", "--others"])
            .arg("--exclude-standard");
        let output = exec::capture(&call)?;
        Ok(Some(
            output
                .stdout
                .split(|byte| *byte == 0)
                .map(<[u8]>::to_vec)
                .collect(),
        ))
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

//! A home, a cache and small kernel trees in a temporary directory.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use kernelkit::effect::environment::Environment;
use kernelkit::effect::source::{Context, Error, Progress, Tree, prepare};
use kernelkit::patch::Entry;
use kernelkit::source::{Source, TreeId};
use kernelkit::version::Mirror;

pub(crate) struct World {
    _guard: tempfile::TempDir,
    pub(crate) root: Utf8PathBuf,
    pub(crate) environment: Environment,
    pub(crate) mirror: Mirror,
    pub(crate) snapshot: String,
    pub(crate) debian: String,
    pub(crate) keyring: Option<Utf8PathBuf>,
    pub(crate) offline: bool,
    /// What `Context::now` is ahead of the clock: with enough of it a file just written
    /// counts as left alone for long.
    pub(crate) ahead: Duration,
}

/// What happened on the way.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) files_read: usize,
    pub(crate) unpacked: bool,
    pub(crate) downloaded: bool,
    pub(crate) notes: Vec<String>,
}

impl World {
    pub(crate) fn new() -> Self {
        let guard = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(guard.path().canonicalize().unwrap()).unwrap();
        let variables = BTreeMap::from([
            ("HOME".to_owned(), root.join("home").to_string()),
            ("PATH".to_owned(), std::env::var("PATH").unwrap()),
        ]);
        World {
            _guard: guard,
            environment: Environment::from_variables(root.clone(), variables),
            root,
            mirror: Mirror::default(),
            // Nobody listens there: no test goes outside.
            snapshot: "http://127.0.0.1:9".to_owned(),
            debian: "http://127.0.0.1:9/debian".to_owned(),
            keyring: None,
            offline: false,
            ahead: Duration::ZERO,
        }
    }

    pub(crate) fn context(&self) -> Context<'_> {
        Context {
            mirror: self.mirror.clone(),
            snapshot: self.snapshot.clone(),
            debian: self.debian.clone(),
            keyring: self.keyring.clone(),
            offline: self.offline,
            retry_pause: Duration::ZERO,
            now: SystemTime::now() + self.ahead,
            ..Context::new(&self.environment)
        }
    }

    pub(crate) fn prepare(&self, source: &Source) -> Result<Tree, Error> {
        self.watch(source, &[]).0
    }

    pub(crate) fn watch(
        &self,
        source: &Source,
        patches: &[Utf8PathBuf],
    ) -> (Result<Tree, Error>, Seen) {
        let patches: Vec<Entry> = patches.iter().map(Entry::new).collect();
        self.watch_entries(source, &patches)
    }

    pub(crate) fn watch_entries(
        &self,
        source: &Source,
        patches: &[Entry],
    ) -> (Result<Tree, Error>, Seen) {
        let mut seen = Seen::default();
        let tree = prepare(
            source,
            patches,
            &self.context(),
            &mut |progress| match progress {
                Progress::Reading { total, .. } => seen.files_read = total,
                Progress::Unpacking { .. } => seen.unpacked = true,
                Progress::Downloading { .. } => seen.downloaded = true,
                Progress::Note(note) => seen.notes.push(note.to_owned()),
                Progress::Waiting { .. } | Progress::Patching { .. } => {}
            },
        );
        (tree, seen)
    }

    /// What the cache has of trees, temporaries and downloads, less locks.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let mut found = Vec::new();
        for directory in ["tree", "download"] {
            let directory = self.environment.cache_dir.join(directory);
            collect(directory.as_std_path(), &mut found);
        }
        found.retain(|name| !name.ends_with(".lock"));
        found
    }

    /// A kernel tree in `name`, with every kind of name and file that matters.
    pub(crate) fn kernel(&self, name: &str) -> Utf8PathBuf {
        let dir = self.root.join(name);
        write(&dir, "Makefile", MAKEFILE);
        write(&dir, "Kconfig", "config X\n\tbool\n");
        write(&dir, "kernel/fork.c", "int fork(void)\n{\n\treturn 0;\n}\n");
        // A directory sorts as if its name ended in a slash.
        for path in ["a/x", "a-b/x", "a.c", "a0", "empty"] {
            write(&dir, path, if path == "empty" { "" } else { path });
        }
        write(&dir, "scripts/run.sh", "#!/bin/sh\n");
        chmod(&dir.join("scripts/run.sh"), 0o755);
        symlink("../kernel/fork.c", dir.join("scripts/fork.c")).unwrap();
        let odd = OsStr::from_bytes(b"odd-\xff\xfe name\n.txt");
        fs::write(dir.as_std_path().join(odd), "odd").unwrap();
        dir
    }
}

pub(crate) const MAKEFILE: &str = "# SPDX-License-Identifier: GPL-2.0
VERSION = 6
PATCHLEVEL = 12
SUBLEVEL = 117
EXTRAVERSION =
NAME = Baby Opossum Posse
";

fn collect(directory: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().unwrap().len() == 16 {
            collect(&path, found);
        } else {
            found.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
}

pub(crate) fn write(dir: &Utf8Path, path: &str, text: &str) {
    let path = dir.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

pub(crate) fn chmod(path: &Utf8Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

pub(crate) fn directory(path: &Utf8Path) -> Source {
    Source::Directory {
        path: path.to_owned(),
    }
}

pub(crate) fn tarball(location: impl ToString) -> Source {
    Source::Tarball {
        location: location.to_string(),
        sha256: None,
    }
}

/// Runs a tool in `dir` with a fixed environment and returns its output.
pub(crate) fn run(dir: &Utf8Path, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(dir)
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap())
        .env("HOME", "/nonexistent")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_AUTHOR_NAME", "a")
        .env("GIT_AUTHOR_EMAIL", "a@example.org")
        .env("GIT_AUTHOR_DATE", "@1000000000 +0000")
        .env("GIT_COMMITTER_NAME", "c")
        .env("GIT_COMMITTER_EMAIL", "c@example.org")
        .env("GIT_COMMITTER_DATE", "@1500000000 +0000")
        .output()
        .unwrap_or_else(|error| panic!("{program}, which these tests need: {error}"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout)
        .unwrap()
        .trim_end()
        .to_owned()
}

pub(crate) fn git(dir: &Utf8Path, arguments: &[&str]) -> String {
    let quiet = [
        "-c",
        "advice.detachedHead=false",
        "-c",
        "init.defaultBranch=main",
    ];
    run(dir, "git", &[&quiet, arguments].concat())
}

/// A repository of the files of `dir`, with one commit.
pub(crate) fn commit_all(dir: &Utf8Path) {
    git(dir, &["init", "--quiet"]);
    git(dir, &["add", "--all"]);
    git(dir, &["commit", "--quiet", "--message", "first"]);
}

/// What git says of the files of `dir`, asked in a copy.
pub(crate) fn oracle(dir: &Utf8Path, add: &[&str]) -> TreeId {
    let copy = tempfile::tempdir().unwrap();
    let copy = Utf8Path::from_path(copy.path()).unwrap().join("copy");
    run(
        Utf8Path::new("/"),
        "cp",
        &["-a", dir.as_str(), copy.as_str()],
    );
    git(&copy, &["init", "--quiet"]);
    git(&copy, &[&["add", "--all"], add].concat());
    git(&copy, &["write-tree"]).parse().unwrap()
}

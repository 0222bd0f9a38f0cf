//! What objects were compiled from, as the `.cmd` files beside them have it, compared with what the
//! identity covers. It finds what no rule about names foresaw: an `#include` of an ignored file, a link that
//! leads to one.
//!
//! Kbuild writes sources and headers in full where they are in the source tree, and relative to the build
//! directory where they were generated there (scripts/basic/fixdep.c writes `source_X` and `deps_X`).

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};

use super::{environment, exec, fs};
use crate::manifest::Dirs;
use crate::source::snapshot::Snapshot;
use crate::source::tree::Kind;

/// An object that was compiled from a file that the identity does not cover.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Uncovered {
    /// From the top of the source.
    pub dependency: Utf8PathBuf,
    /// From the top of the build directory.
    pub object: Utf8PathBuf,
    /// The `.cmd` file that says so.
    command: Utf8PathBuf,
    why: Why,
}

/// Why the identity does not cover a file. What to do about it depends on that.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Why {
    /// Git ignores it, and nothing says that a build reads it.
    Ignored,
    /// It belongs to a repository inside the source, from the top of which it is.
    Repository(Utf8PathBuf),
    /// It was not there when the source was looked at, or is among what belongs to no source: `.git`, the
    /// workspace's own files.
    Unseen,
    /// A link leads to it.
    Linked {
        /// From the top of the source, or in full where it is elsewhere.
        target: Utf8PathBuf,
        /// Why that is not covered; nothing where it is elsewhere.
        why: Option<Box<Why>>,
    },
}

/// The files that were compiled in the build directory, are in the source tree, and are not `covered`, each
/// with one object.
pub(super) fn uncovered(
    dirs: &Dirs,
    covered: &Snapshot,
) -> Result<Vec<Uncovered>, super::run::Error> {
    let commands = command_files(&dirs.build)?;
    let tree = Tree {
        dirs,
        covered,
        real: fs::real_path(&dirs.source),
    };
    let next = AtomicUsize::new(0);
    let found = Mutex::new(BTreeSet::new());
    let work = || -> Result<(), super::run::Error> {
        // Every object names nearly the same headers.
        let mut known = HashSet::new();
        loop {
            if exec::interrupted() {
                return Err(exec::Error::Interrupted.into());
            }
            let Some(command) = commands.get(next.fetch_add(1, Ordering::Relaxed)) else {
                return Ok(());
            };
            let text = fs::read(command)?;
            let text = String::from_utf8_lossy(&text);
            for line in lines(&text) {
                if known.contains(line) {
                    continue;
                }
                known.insert(line.to_owned());
                for (dependency, why) in paths(line).filter_map(|path| tree.uncovered(path)) {
                    let mut found = found.lock().expect("no thread panics while it holds it");
                    found.insert(Uncovered {
                        dependency,
                        why,
                        object: object_of(command, &dirs.build),
                        command: command.clone(),
                    });
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..environment::cores().min(commands.len()))
            .map(|_| scope.spawn(work))
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().expect("reading a file does not panic"))
    })?;
    let found = found.into_inner().expect("as above");
    Ok(found.into_iter().collect())
}

/// Every `.cmd` file of a build directory; none where there is no directory.
pub(super) fn command_files(build: &Utf8Path) -> Result<Vec<Utf8PathBuf>, fs::Error> {
    let mut commands = Vec::new();
    if !build.is_dir() {
        return Ok(commands);
    }
    for entry in fs::below(build) {
        let entry = entry?;
        if entry.file_name().starts_with('.') && entry.file_name().ends_with(".cmd") {
            commands.push(entry.into_path());
        }
    }
    Ok(commands)
}

/// Has the objects compiled again if they are wanted again: were one of them switched off instead, its
/// `.cmd` file would go on saying what it was made of.
pub(super) fn remove_objects(uncovered: &[Uncovered]) -> Result<(), fs::Error> {
    for Uncovered {
        command, object, ..
    } in uncovered
    {
        if let (Some(directory), Some(name)) = (command.parent(), object.file_name()) {
            fs::remove_file(directory.join(name))?;
        }
        fs::remove_file(command)?;
    }
    Ok(())
}

/// What is wrong, in one line.
pub(super) fn describe(uncovered: &[Uncovered]) -> String {
    let mut text = String::new();
    if let Some(Uncovered {
        dependency,
        object,
        why,
        ..
    }) = uncovered.first()
    {
        let target = match why {
            Why::Linked { target, .. } => format!(" (by a link, it is {target})"),
            _ => String::new(),
        };
        text = format!(
            "{object} was compiled from {dependency}{target}, which the identity does not cover"
        );
    }
    let files: BTreeSet<_> = uncovered.iter().map(|one| &one.dependency).collect();
    match files.len() {
        0 | 1 => text,
        count => format!("{text}; so are {} more files", count - 1),
    }
}

/// How many files a hint names of each kind.
const NAMED: usize = 8;

/// What to do about it, for each kind of file.
pub(super) fn hint(source: &Utf8Path, uncovered: &[Uncovered]) -> String {
    let (mut ignored, mut unseen, mut foreign) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut repositories = BTreeMap::<&Utf8Path, BTreeSet<&Utf8Path>>::new();
    for one in uncovered {
        let (file, why) = match &one.why {
            Why::Linked { target, why } => (target, why.as_deref()),
            why => (&one.dependency, Some(why)),
        };
        match why {
            Some(Why::Repository(top)) => {
                repositories.entry(top).or_default().insert(file);
            }
            Some(Why::Unseen) => drop(unseen.insert(file.as_path())),
            Some(Why::Ignored | Why::Linked { .. }) => drop(ignored.insert(file.as_path())),
            None => drop(foreign.insert((one.dependency.as_path(), file.as_path()))),
        }
    }
    let names = |files: &BTreeSet<&Utf8Path>| {
        let shown = files.iter().take(NAMED);
        shown
            .map(|file| file.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let mut hints = Vec::new();
    if !ignored.is_empty() {
        hints.push(format!(
            "git ignores it: `git -C {source} add --force {}` has it counted",
            names(&ignored)
        ));
    }
    for (top, files) in repositories {
        hints.push(format!(
            "{} belongs to the repository {top} inside of the source, of which the kinds of files count that a build reads (such as *.c, *.h, *.S): give it the suffix of its kind there, or copy it into the source itself",
            names(&files)
        ));
    }
    for (dependency, target) in foreign.iter().take(NAMED) {
        hints.push(format!(
            "the link on the way of {dependency} has no place in the source of its own: put {target} itself there, or commit the link"
        ));
    }
    if !unseen.is_empty() {
        hints.push(format!(
            "{} was not there when the source was read, or belongs to git or to the workspace: what a build makes belongs into the build directory, what it reads among the files of the source",
            names(&unseen)
        ));
    }
    hints.join("; ")
}

struct Tree<'a> {
    dirs: &'a Dirs,
    covered: &'a Snapshot,
    /// The source without links.
    real: Utf8PathBuf,
}

impl Tree<'_> {
    /// The path in the tree of what a `.cmd` file names, where it is there and not covered, and why not.
    fn uncovered(&self, word: &str) -> Option<(Utf8PathBuf, Why)> {
        let path = match word.strip_prefix("../") {
            Some(_) => {
                let real = self.dirs.build.join(word).canonicalize_utf8().ok()?;
                self.dirs.source.join(real.strip_prefix(&self.real).ok()?)
            }
            None => word.into(),
        };
        let inside = path.strip_prefix(&self.dirs.source).ok()?;
        if path.starts_with(&self.dirs.state) {
            return None;
        }
        match self.covered.find(inside.as_str().as_bytes()) {
            Some(file) if file.blob.is_some() && file.stamp.kind != Kind::Symlink => return None,
            _ => {}
        }
        // Through a link or `..`, or not covered, or gone since.
        let real = path.canonicalize_utf8().ok()?;
        if real.is_dir() || real.starts_with(fs::real_path(&self.dirs.state)) {
            return None;
        }
        let Ok(target) = real.strip_prefix(&self.real) else {
            let target = real.clone();
            return Some((inside.to_owned(), Why::Linked { target, why: None }));
        };
        let found = self.covered.find(target.as_str().as_bytes());
        if found.is_some_and(|file| file.blob.is_some()) {
            return None;
        }
        let repository = target
            .ancestors()
            .skip(1)
            .filter(|top| !top.as_str().is_empty())
            .find(|top| self.real.join(top).join(".git").exists());
        let why = match (found, repository) {
            (None, _) => Why::Unseen,
            (Some(_), Some(top)) => Why::Repository(top.to_owned()),
            (Some(_), None) => Why::Ignored,
        };
        let why = match folded(inside) == target {
            true => why,
            false => Why::Linked {
                target: target.to_owned(),
                why: Some(Box::new(why)),
            },
        };
        Some((inside.to_owned(), why))
    }
}

/// A path without `.` and `..`, whatever links are on its way.
fn folded(path: &Utf8Path) -> Utf8PathBuf {
    let mut folded = Utf8PathBuf::new();
    for component in path.components() {
        match component {
            Utf8Component::ParentDir => drop(folded.pop()),
            Utf8Component::CurDir => {}
            other => folded.push(other),
        }
    }
    folded
}

/// The lines of a `.cmd` file with what an object was made of, less those about symbols.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').filter_map(|line| {
        if line.starts_with(' ') || line.starts_with('\t') {
            let line = line.trim_start();
            return (!line.starts_with('$')).then_some(line);
        }
        let named = line.starts_with("deps_") || line.starts_with("source_");
        let parts = if named { line.split_once(" := ") } else { None };
        parts.map(|(_, words)| words)
    })
}

/// What of a line can be in the source tree: absolute paths, and such as lead up from the build directory.
pub(super) fn paths(line: &str) -> impl Iterator<Item = &str> {
    line.split_ascii_whitespace()
        .filter(|word| word.starts_with('/') || word.starts_with("../"))
}

/// Whether nothing is missing at the end of a `.cmd` file. Kbuild writes it after the object and piece by piece; of one
/// that was cut off, make believes the command and misses files that the object depends on.
pub(super) fn is_whole(text: &str) -> bool {
    let has = |start: &str| text.lines().any(|line| line.starts_with(start));
    let names_files = has("source_") || has("deps_");
    let command = text.lines().next().unwrap_or_default();
    // The compiler was told to list them.
    let lists_files = ["-Wp,-MMD,", "-Wp,-MD,"]
        .iter()
        .any(|option| command.contains(option));
    text.ends_with('\n') && (!names_files && !lists_files || has("$(deps_"))
}

/// `a/.x.o.cmd` is about `a/x.o`.
pub(super) fn object_of(command: &Utf8Path, build: &Utf8Path) -> Utf8PathBuf {
    let name = command.file_name().unwrap_or_default();
    let name = name.strip_prefix('.').unwrap_or(name);
    let object = command.with_file_name(name.strip_suffix(".cmd").unwrap_or(name));
    object.strip_prefix(build).unwrap_or(&object).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::snapshot::{Stamp, Time};
    use crate::source::tree::BlobId;

    #[test]
    fn a_file_that_was_cut_off_anywhere_is_not_whole() {
        let compiled = "savedcmd_a/x.o := gcc -Wp,-MMD,a/.x.o.d -c -o a/x.o /s/a/x.c\n\nsource_a/x.o := /s/a/x.c\n\ndeps_a/x.o := \\\n  /s/x.h \\\n\na/x.o: $(deps_a/x.o)\n\n$(deps_a/x.o):\n";
        let linked = "savedcmd_a/built-in.a := rm -f a/built-in.a; ar cDPrST a/built-in.a a/x.o\n";
        let more = format!("{compiled}\na/x.o: ./tools/objtool/objtool\n");
        for text in [compiled, linked, &more] {
            assert!(is_whole(text), "{text}");
        }
        for end in 0..compiled.len() {
            assert!(!is_whole(&compiled[..end]), "{}", &compiled[..end]);
        }
        for end in 0..linked.len() {
            assert!(!is_whole(&linked[..end]), "{}", &linked[..end]);
        }
    }

    #[test]
    fn sources_and_headers_are_read_and_generated_ones_are_not() {
        let text = "savedcmd_a/x.o := gcc -I/s/include -c -o a/x.o /s/a/x.c ; /s/tools/objtool\n\nsource_a/x.o := /s/a/x.c\n\ndeps_a/x.o := \\\n    $(wildcard include/config/SMP) \\\n  /s/include/linux/types.h \\\n  include/generated/autoconf.h \\\n  ../../s/up.h \\\n\na/x.o: $(deps_a/x.o)\n\n$(deps_a/x.o):\n";
        let words: Vec<_> = lines(text).flat_map(paths).collect();
        assert_eq!(
            words,
            ["/s/a/x.c", "/s/include/linux/types.h", "../../s/up.h"]
        );
        // Of a time before the sources were named apart, on one line.
        let words: Vec<_> = lines("deps_a.o := /s/a.c /s/b.h\n")
            .flat_map(paths)
            .collect();
        assert_eq!(words, ["/s/a.c", "/s/b.h"]);
    }

    #[test]
    fn what_is_compiled_and_not_covered_is_named() {
        let guard = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(guard.path().canonicalize().unwrap()).unwrap();
        let source = root.join("linux");
        let write = |path: &str| fs::write_atomic(source.join(path), b"").unwrap();
        for path in ["a.c", "covered.h", "ignored.h", "dir/in.h", "include/to.h"] {
            write(path);
        }
        fs::write_atomic(root.join("out.h"), b"").unwrap();
        for (link, target) in [
            ("prefixes", "dir"),
            ("linked.h", "ignored.h"),
            ("good.h", "covered.h"),
            ("out.h", "../out.h"),
            ("followed.h", "../out.h"),
        ] {
            std::os::unix::fs::symlink(target, source.join(link)).unwrap();
        }
        let stamp = |kind| Stamp {
            kind,
            size: 0,
            modified: Time::default(),
            changed: Time::default(),
            inode: 0,
        };
        let blob = Some(BlobId::of(b""));
        let (file, link) = (stamp(Kind::Regular), stamp(Kind::Symlink));
        let covered = Snapshot::from_files(
            [
                ("a.c", file, blob),
                ("covered.h", file, blob),
                ("ignored.h", file, None),
                ("dir/in.h", file, blob),
                ("prefixes", link, blob),
                ("linked.h", link, blob),
                ("good.h", link, blob),
                ("out.h", link, blob),
                ("followed.h", file, blob),
            ]
            .iter()
            .map(|(path, stamp, blob)| (path.as_bytes(), *stamp, *blob)),
        );
        // The build directory may be in the source.
        for state in [root.join("state"), source.join("target/kernel/a")] {
            let dirs = Dirs::new(&source, &state);
            let check = |word: &str, expected: Option<&str>| {
                let command = dirs.build.join("x/.a.o.cmd");
                let text = format!(
                    "savedcmd_x/a.o := gcc\n\nsource_x/a.o := {source}/a.c\n\ndeps_x/a.o := \\\n  {word} \\\n"
                );
                fs::write_atomic(&command, text.as_bytes()).unwrap();
                let found = uncovered(&dirs, &covered).unwrap();
                let names: Vec<_> = found.iter().map(|one| one.dependency.as_str()).collect();
                assert_eq!(names, expected.into_iter().collect::<Vec<_>>(), "{word}");
                if let Some(expected) = expected {
                    let text = describe(&found);
                    let start = format!("x/a.o was compiled from {expected}");
                    assert!(
                        text.starts_with(&start)
                            && text.ends_with(", which the identity does not cover"),
                        "{text}"
                    );
                    remove_objects(&found).unwrap();
                    assert!(!command.exists());
                }
            };
            let inside = |path: &str| format!("{source}/{path}");
            for path in [
                "covered.h",
                "dir/../covered.h",
                "dir//in.h",
                "prefixes/in.h",
                "good.h",
                "followed.h",
                "removed-since.h",
                "dir",
            ] {
                check(&inside(path), None);
            }
            for path in ["ignored.h", "include/to.h", "linked.h", "out.h"] {
                check(&inside(path), Some(path));
            }
            check("include/generated/autoconf.h", None);
            check("/usr/include/stdio.h", None);
            fs::write_atomic(dirs.build.join("generated.h"), b"").unwrap();
            check(&format!("{}/generated.h", dirs.build), None);
        }
    }

    #[test]
    fn a_hint_says_what_to_do_about_each_kind_of_file() {
        let guard = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(guard.path().canonicalize().unwrap()).unwrap();
        let source = root.join("linux");
        for path in [
            "ignored.txt",
            "kernel/module/.git/HEAD",
            "kernel/module/src/table.txt",
            ".git/hook.h",
        ] {
            fs::write_atomic(source.join(path), b"").unwrap();
        }
        fs::write_atomic(root.join("out.h"), b"").unwrap();
        for (link, target) in [
            ("linked.h", "ignored.txt"),
            ("module", "kernel/module"),
            ("hook.h", ".git/hook.h"),
            ("out.h", "../out.h"),
        ] {
            std::os::unix::fs::symlink(target, source.join(link)).unwrap();
        }
        let stamp = Stamp {
            kind: Kind::Regular,
            size: 0,
            modified: Time::default(),
            changed: Time::default(),
            inode: 0,
        };
        let known = ["ignored.txt", "kernel/module/src/table.txt"];
        let covered = Snapshot::from_files(known.map(|path| (path.as_bytes(), stamp, None)));
        let dirs = Dirs::new(&source, &root.join("state"));
        let hint_for = |path: &str| {
            let command = dirs.build.join(".a.o.cmd");
            fs::write_atomic(
                &command,
                format!("source_a.o := {source}/{path}\n").as_bytes(),
            )
            .unwrap();
            let found = uncovered(&dirs, &covered).unwrap();
            (describe(&found), hint(&source, &found))
        };
        let cases = [
            ("ignored.txt", "", "add --force ignored.txt`"),
            ("kernel/../ignored.txt", "", "add --force"),
            ("linked.h", "ignored.txt", "add --force ignored.txt`"),
            (
                "kernel/module/src/table.txt",
                "",
                "table.txt belongs to the repository kernel/module inside",
            ),
            (
                "module/src/table.txt",
                "kernel/module/src/table.txt",
                "kernel/module/src/table.txt belongs to the repository kernel/module inside",
            ),
            ("hook.h", ".git/hook.h", ".git/hook.h was not there"),
            (".git/hook.h", "", ".git/hook.h was not there"),
            ("out.h", "/out.h", "/out.h itself there, or commit the link"),
        ];
        for (path, target, expected) in cases {
            let (described, hint) = hint_for(path);
            assert!(hint.contains(expected), "{path}: {hint}");
            let link = "(by a link, it is ";
            assert_eq!(described.contains(link), !target.is_empty(), "{described}");
            assert!(described.contains(target), "{described}");
            let is_for_git = expected.contains("--force");
            assert_eq!(hint.contains("--force"), is_for_git, "{path}: {hint}");
        }
    }

    #[test]
    fn a_path_that_leads_up_from_the_build_directory_is_found() {
        let guard = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(guard.path().canonicalize().unwrap()).unwrap();
        let source = root.join("linux");
        fs::write_atomic(source.join("up.h"), b"").unwrap();
        let dirs = Dirs::new(&source, &root.join("state"));
        let command = dirs.build.join(".a.o.cmd");
        fs::write_atomic(&command, b"deps_a.o := \\\n  ../../linux/up.h \\\n").unwrap();
        let found = uncovered(&dirs, &Snapshot::default()).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].dependency, "up.h");
    }
}

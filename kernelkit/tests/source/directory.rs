use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use camino::Utf8Path;
use kernelkit::effect::source::{Error, LabelHint};
use proptest::prelude::*;

use crate::world::{World, chmod, commit_all, directory, git, oracle, write};

const LONG: Duration = Duration::from_secs(3600);

#[test]
fn a_tree_is_named_as_git_names_it() {
    let world = World::new();
    let dir = world.kernel("linux");
    let tree = world.prepare(&directory(&dir)).unwrap();
    assert_eq!(tree.id, oracle(&dir, &["--force"]));
    assert_eq!(tree.version, "6.12.117".parse().unwrap());
    assert_eq!(
        (
            tree.label,
            tree.dirty,
            tree.pinned,
            tree.localversion.as_str()
        ),
        (LabelHint::Directory, false, false, "")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever the names, contents and modes are.
    #[test]
    fn any_tree_is_named_as_git_names_it(
        files in prop::collection::btree_map(
            "[a-c.0-]{1,3}(/[a-c.0-]{1,3}){0,2}",
            (prop::collection::vec(any::<u8>(), 0..64), 0..3_u8),
            0..24,
        )
    ) {
        let world = World::new();
        let dir = world.kernel("linux");
        for (path, (content, kind)) in files {
            // A name may be `.`, lead up, or be taken by a directory: then there is no such file.
            let inside = path.split('/').all(|part| !matches!(part, "." | ".."));
            let path = dir.join(path);
            if !inside || fs::create_dir_all(path.parent().unwrap()).is_err() || path.exists() {
                continue;
            }
            if kind == 2 {
                symlink("some/where", &path).ok();
            } else if fs::write(&path, content).is_ok() && kind == 1 {
                chmod(&path, 0o755);
            }
        }
        prop_assert_eq!(
            world.prepare(&directory(&dir)).unwrap().id,
            oracle(&dir, &["--force"])
        );
    }
}

/// Changes a tree that has been looked at, and looks again.
fn check(claim: &str, change: impl FnOnce(&Utf8Path), changes_id: bool, files_read: usize) {
    for ahead in [Duration::ZERO, LONG] {
        let mut world = World::new();
        world.ahead = ahead;
        let dir = world.kernel("linux");
        let before = world.prepare(&directory(&dir)).unwrap().id;
        if ahead == LONG {
            change(&dir);
            let (after, seen) = world.watch(&directory(&dir), &[]);
            let after = after.unwrap().id;
            assert_eq!(after, oracle(&dir, &["--force"]), "{claim}");
            assert_eq!(after != before, changes_id, "{claim}");
            assert_eq!(seen.files_read, files_read, "{claim}");
            let (again, seen) = world.watch(&directory(&dir), &[]);
            assert_eq!((again.unwrap().id, seen.files_read), (after, 0), "{claim}");
            return;
        }
        // Files touched just now are not trusted: all are read again.
        let (again, seen) = world.watch(&directory(&dir), &[]);
        assert_eq!(again.unwrap().id, before);
        assert!(seen.files_read > 8, "{}", seen.files_read);
    }
}

#[test]
fn what_changed_is_read_again_and_nothing_else() {
    let set_modified = |path: &Utf8Path, time: SystemTime| {
        let file = fs::File::options().append(true).open(path).unwrap();
        file.set_modified(time).unwrap();
    };
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    check("nothing", |_| {}, false, 0);
    check(
        "touched",
        |dir| set_modified(&dir.join("a.c"), long_ago),
        false,
        1,
    );
    check("edited", |dir| write(dir, "a.c", "other text"), true, 1);
    check("edited, same size", |dir| write(dir, "a.c", "c.a"), true, 1);
    check(
        "edited, same size and time",
        |dir| {
            let path = dir.join("a.c");
            let time = fs::metadata(&path).unwrap().modified().unwrap();
            write(dir, "a.c", "c.a");
            set_modified(&path, time);
        },
        true,
        1,
    );
    check("added", |dir| write(dir, "new/file.c", "x"), true, 1);
    check(
        "added with a known content",
        |dir| write(dir, "b.c", "a.c"),
        true,
        1,
    );
    check(
        "removed",
        |dir| fs::remove_file(dir.join("a.c")).unwrap(),
        true,
        0,
    );
    check(
        "renamed",
        |dir| fs::rename(dir.join("a.c"), dir.join("z.c")).unwrap(),
        true,
        1,
    );
    check(
        "two files swapped",
        |dir| {
            fs::rename(dir.join("a.c"), dir.join("t")).unwrap();
            fs::rename(dir.join("a0"), dir.join("a.c")).unwrap();
            fs::rename(dir.join("t"), dir.join("a0")).unwrap();
        },
        true,
        2,
    );
    check(
        "a directory renamed",
        |dir| fs::rename(dir.join("a"), dir.join("b")).unwrap(),
        true,
        1,
    );
    check(
        "made executable",
        |dir| chmod(&dir.join("a.c"), 0o755),
        true,
        1,
    );
    check("read-only", |dir| chmod(&dir.join("a.c"), 0o444), false, 1);
    check(
        "a file became a link",
        |dir| {
            fs::remove_file(dir.join("a.c")).unwrap();
            symlink("a0", dir.join("a.c")).unwrap();
        },
        true,
        1,
    );
    check(
        "a link leads elsewhere",
        |dir| {
            fs::remove_file(dir.join("scripts/fork.c")).unwrap();
            symlink("run.sh", dir.join("scripts/fork.c")).unwrap();
        },
        true,
        1,
    );
    check(
        "an empty directory",
        |dir| fs::create_dir(dir.join("void")).unwrap(),
        false,
        0,
    );
    check(
        "a file of git's",
        |dir| {
            fs::create_dir(dir.join("a/.git")).unwrap();
            write(dir, "a/.git/x", "x");
        },
        false,
        0,
    );
}

#[test]
fn a_damaged_snapshot_is_no_snapshot() {
    let mut world = World::new();
    world.ahead = LONG;
    let dir = world.kernel("linux");
    let id = world.prepare(&directory(&dir)).unwrap().id;
    let kept = world.environment.cache_dir.join("scan");
    let kept = kept.read_dir_utf8().unwrap().next().unwrap().unwrap();
    let mut bytes = fs::read(kept.path()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(kept.path(), bytes).unwrap();
    let (again, seen) = world.watch(&directory(&dir), &[]);
    assert_eq!(again.unwrap().id, id);
    assert!(seen.files_read > 8);
}

#[test]
fn localversion_files_are_read_as_setlocalversion_reads_them() {
    let world = World::new();
    let dir = world.kernel("linux");
    write(&dir, "localversion-rt", "-rt20\n");
    write(&dir, "localversion-a", " -next \n");
    write(&dir, "localversion-rt~", "-old\n");
    assert_eq!(
        world.prepare(&directory(&dir)).unwrap().localversion,
        "-next-rt20"
    );
}

#[test]
fn what_is_no_clean_kernel_tree_is_refused() {
    let refused = |change: &dyn Fn(&Utf8Path)| {
        let world = World::new();
        let dir = world.kernel("linux");
        change(&dir);
        world.prepare(&directory(&dir)).unwrap_err()
    };
    for path in [
        ".config",
        "include/config/x",
        "arch/x86/include/generated/x",
    ] {
        let error = refused(&|dir| write(dir, path, ""));
        assert!(matches!(error, Error::BuiltInPlace { .. }), "{error}");
        assert!(error.hint().unwrap().contains("mrproper"));
    }
    for missing in ["Kconfig", "Makefile"] {
        let error = refused(&|dir| fs::remove_file(dir.join(missing)).unwrap());
        assert!(
            error.to_string().ends_with(&format!("it has no {missing}")),
            "{error}"
        );
    }
    let error = refused(&|dir| write(dir, "Makefile", "all:\n"));
    assert!(matches!(error, Error::Makefile { .. }), "{error}");
    let error = refused(&|dir| fs::remove_dir_all(dir).unwrap());
    assert!(matches!(error, Error::NotAKernel { .. }), "{error}");
}

/// Root reads everything, so the tree is looked at as somebody else.
#[test]
fn an_unreadable_file_is_named() {
    const INNER: &str = "KERNELKIT_TEST_UNREADABLE";
    if let Ok(dir) = std::env::var(INNER) {
        let world = World::new();
        let error = world.prepare(&directory(Utf8Path::new(&dir))).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot read {dir}/a.c"));
        assert!(error.hint().unwrap().contains("permissions"));
        return;
    }
    let world = World::new();
    let dir = world.kernel("linux");
    chmod(&dir.join("a.c"), 0);
    chmod(&world.root, 0o755);
    let name = "directory::an_unreadable_file_is_named";
    let inner = std::env::current_exe().unwrap();
    let copy = world.root.join("test");
    fs::copy(inner, &copy).unwrap();
    let mut command = if rustix::process::geteuid().is_root() {
        let mut command = std::process::Command::new("setpriv");
        command.args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            copy.as_str(),
        ]);
        command
    } else {
        std::process::Command::new(&copy)
    };
    let output = command
        .args(["--exact", name])
        .env(INNER, &dir)
        .env("TMPDIR", "/tmp")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

/// What git would commit, asked in a copy.
fn check_work_tree(world: &World, dir: &Utf8Path, claim: &str) {
    let expected = oracle(dir, &[]);
    let before = git_dir_state(dir);
    let id = || {
        let (tree, seen) = world.watch(&directory(dir), &[]);
        (tree.unwrap().id, seen.files_read)
    };
    assert_eq!(id().0, expected, "{claim}");
    assert_eq!(id(), (expected, 0), "{claim}");
    assert_eq!(
        git_dir_state(dir),
        before,
        "{claim}: the repository was written to"
    );
}

fn git_dir_state(dir: &Utf8Path) -> String {
    crate::world::run(dir, "find", &[".git", "-printf", "%p %s %T@ %C@\n"])
}

#[test]
fn in_a_work_tree_the_files_count_that_git_would_commit() {
    let mut world = World::new();
    world.ahead = LONG;
    let dir = world.kernel("linux");
    write(&dir, ".gitignore", "*.o\n/ignored/\n");
    commit_all(&dir);
    check_work_tree(&world, &dir, "clean");
    let changes: [(&str, &dyn Fn()); 12] = [
        ("ignored files", &|| {
            write(&dir, "kernel/fork.o", "x");
            write(&dir, "ignored/x", "x");
        }),
        ("a new file", &|| write(&dir, "kernel/new.c", "x")),
        ("an edit", &|| write(&dir, "a.c", "edit")),
        ("staged", &|| {
            drop(git(&dir, &["add", "a.c", "kernel/new.c"]))
        }),
        ("removed, but tracked", &|| {
            fs::remove_file(dir.join("a0")).unwrap()
        }),
        ("ignored, but tracked", &|| {
            drop(git(&dir, &["add", "--force", "kernel/fork.o"]))
        }),
        ("an edit of that", &|| write(&dir, "kernel/fork.o", "y")),
        ("no longer ignored", &|| write(&dir, ".gitignore", "*.o\n")),
        ("ignored deeper down", &|| {
            write(&dir, "ignored/.gitignore", "x\n")
        }),
        ("ignored by info/exclude", &|| {
            write(&dir, ".git/info/exclude", "new.c\n*.c\n")
        }),
        ("untracked", &|| {
            drop(git(&dir, &["rm", "--quiet", "--cached", "a.c"]))
        }),
        ("a mode", &|| chmod(&dir.join("Kconfig"), 0o755)),
    ];
    for (claim, change) in changes {
        change();
        check_work_tree(&world, &dir, claim);
        // With the clock as it is nothing is trusted, and the answer is the same.
        let trusting = world.prepare(&directory(&dir)).unwrap();
        world.ahead = Duration::ZERO;
        assert_eq!(
            world.prepare(&directory(&dir)).unwrap(),
            trusting,
            "{claim}"
        );
        world.ahead = LONG;
    }
}

#[test]
fn the_users_own_ignore_file_counts_and_its_changes_too() {
    let mut world = World::new();
    world.ahead = LONG;
    let dir = world.kernel("linux");
    commit_all(&dir);
    write(&dir, "notes.txt", "mine");
    let with = world.prepare(&directory(&dir)).unwrap().id;
    write(&world.root, "home/.config/git/ignore", "notes.txt\n");
    let without = world.prepare(&directory(&dir)).unwrap();
    assert_ne!(without.id, with);
    assert!(!without.dirty);
    write(&world.root, "home/.config/git/ignore", "");
    assert_eq!(world.prepare(&directory(&dir)).unwrap().id, with);
    write(&world.root, "mine", "notes.txt\n");
    write(
        &world.root,
        "home/.gitconfig",
        &format!("[core]\nexcludesFile = {}/mine\n", world.root),
    );
    assert_eq!(world.prepare(&directory(&dir)).unwrap().id, without.id);
}

#[test]
fn a_work_tree_knows_its_commit_and_label() {
    let world = World::new();
    let dir = world.kernel("linux");
    git(&dir, &["init", "--quiet"]);
    let unborn = world.prepare(&directory(&dir)).unwrap();
    assert_eq!((unborn.commit, unborn.label), (None, LabelHint::Directory));
    commit_all(&dir);
    let check = |label: LabelHint, dirty: bool| {
        let tree = world.prepare(&directory(&dir)).unwrap();
        assert_eq!((&tree.label, tree.dirty), (&label, dirty));
        let commit = tree.commit.unwrap();
        assert_eq!(commit.id, git(&dir, &["rev-parse", "HEAD"]));
        assert_eq!(commit.author_date, 1_000_000_000);
    };
    let reference = |name: &str| LabelHint::Reference {
        name: name.to_owned(),
    };
    check(reference("main"), false);
    git(&dir, &["tag", "v6.12.117"]);
    check(LabelHint::Vanilla, false);
    write(&dir, "a.c", "edit");
    check(reference("main"), true);
    git(&dir, &["checkout", "--quiet", "--detach"]);
    check(reference("v6.12.117"), true);
    git(&dir, &["commit", "--quiet", "--all", "--message", "second"]);
    let id = git(&dir, &["rev-parse", "HEAD"]);
    check(reference(&id[..12]), false);
    git(&dir, &["tag", "mine"]);
    check(reference("mine"), false);
}

#[test]
fn a_linked_work_tree_is_one_too() {
    let mut world = World::new();
    world.ahead = LONG;
    let dir = world.kernel("linux");
    write(&dir, ".gitignore", "*.o\n");
    commit_all(&dir);
    let linked = world.root.join("linked");
    git(&dir, &["worktree", "add", "--quiet", linked.as_str()]);
    write(&linked, "x.o", "x");
    let tree = world.prepare(&directory(&linked)).unwrap();
    assert_eq!(tree.id, world.prepare(&directory(&dir)).unwrap().id);
    write(&linked, "x.c", "x");
    git(&linked, &["add", "--force", "x.o"]);
    let tree = world.prepare(&directory(&linked)).unwrap();
    git(&linked, &["add", "--all"]);
    assert_eq!(tree.id.to_string(), git(&linked, &["write-tree"]));
}

/// A repository that ignores `*.local.*`, `/top/`, `build/`, `.hidden/` and `sub/local.h` by its own
/// means, by `.git/info/exclude` and by the user's.
fn ignoring(world: &World) -> camino::Utf8PathBuf {
    let dir = world.kernel("linux");
    write(&dir, ".gitignore", "*.local.*\n/top/\nbuild/\n.hidden/\n");
    write(&dir, "kernel/.gitignore", "nested.h\n");
    commit_all(&dir);
    write(&dir, ".git/info/exclude", "excluded.c\n");
    let ignore = world.root.join("home/.config/git/ignore");
    write(ignore.parent().unwrap(), "ignore", "Kconfig.mine\n");
    dir
}

#[test]
fn a_file_that_git_ignores_and_a_build_reads_changes_the_identity() {
    let mut world = World::new();
    world.ahead = LONG;
    let dir = ignoring(&world);
    let source = directory(&dir);
    let clean = world.prepare(&source).unwrap();
    assert_eq!(
        clean.id.to_string(),
        git(&dir, &["rev-parse", "HEAD^{tree}"])
    );
    let mut before = clean.id;
    for path in [
        "kernel/a.local.h",
        "kernel/nested.h",
        "kernel/excluded.c",
        "kernel/Kconfig.mine",
        "scripts/a.local.sh",
    ] {
        write(&dir, path, "1");
        let (tree, seen) = world.watch(&source, &[]);
        let tree = tree.unwrap();
        assert_ne!(tree.id, before, "{path} was added");
        assert!(tree.dirty, "{path}");
        let note = seen.notes.join("\n");
        assert!(
            note.contains("that git ignores") && note.contains(path),
            "{note}"
        );
        write(&dir, path, "2");
        let edited = world.prepare(&source).unwrap().id;
        assert_ne!(edited, tree.id, "{path} was edited");
        // Nothing is read a second time, and it is told a second time.
        let (again, seen) = world.watch(&source, &[]);
        assert_eq!((again.unwrap().id, seen.files_read), (edited, 0));
        assert_eq!(seen.notes.len(), 1);
        fs::remove_file(dir.join(path)).unwrap();
        before = world.prepare(&source).unwrap().id;
        assert_eq!(before, clean.id, "{path} was removed");
    }
    // The files count as if git listed them.
    write(&dir, "kernel/a.local.h", "1");
    let tree = world.prepare(&source).unwrap();
    assert_eq!(tree.id, oracle(&dir, &["--force"]));
}

#[test]
fn what_git_ignores_and_no_build_reads_does_not_matter() {
    let mut world = World::new();
    world.ahead = LONG;
    let dir = ignoring(&world);
    let source = directory(&dir);
    let clean = world.prepare(&source).unwrap();
    for path in [
        "kernel/a.local.o",
        "kernel/a.local.txt",
        "a.local.c",
        "top/usr/include/a.h",
        "build/.config",
        "build/Makefile",
        "build/include/generated/autoconf.h",
        "kernel/build/.config",
        "kernel/build/a.c",
        ".hidden/a.c",
    ] {
        write(&dir, path, "1");
        let (tree, seen) = world.watch(&source, &[]);
        assert_eq!(tree.unwrap(), clean, "{path}");
        assert_eq!(seen.notes, [""; 0], "{path}");
    }
}

#[test]
fn what_git_does_not_look_at_is_looked_at() {
    let mut world = World::new();
    world.ahead = LONG;
    let dir = ignoring(&world);
    let source = directory(&dir);
    for (flag, path) in [("--assume-unchanged", "a.c"), ("--skip-worktree", "a0")] {
        let before = world.prepare(&source).unwrap().id;
        git(&dir, &["update-index", flag, path]);
        assert_eq!(world.prepare(&source).unwrap().id, before, "{flag}");
        write(&dir, path, "edited");
        let tree = world.prepare(&source).unwrap();
        assert!(tree.id != before && tree.dirty, "{flag}");
    }
    // A sparse checkout lacks files, and is not the commit's tree.
    git(&dir, &["update-index", "--no-skip-worktree", "a0"]);
    git(&dir, &["update-index", "--no-assume-unchanged", "a.c"]);
    git(&dir, &["checkout", "--quiet", "--", "."]);
    assert!(!world.prepare(&source).unwrap().dirty);
    git(&dir, &["sparse-checkout", "set", "kernel", "scripts"]);
    assert!(!dir.join("a/x").exists());
    assert!(world.prepare(&source).unwrap().dirty);
}

#[test]
fn a_repository_inside_of_the_tree_counts() {
    let mut world = World::new();
    world.ahead = LONG;
    let dir = ignoring(&world);
    let source = directory(&dir);
    let other = dir.join("kernel/other");
    write(&other, "a.c", "1");
    write(&other, "README", "1");
    commit_all(&other);
    let check = |what: &str| {
        let before = world.prepare(&source).unwrap();
        write(&other, "a.c", what);
        let after = world.prepare(&source).unwrap();
        assert!(before.id != after.id && after.dirty, "{what}");
        write(&other, "README", what);
        assert_eq!(world.prepare(&source).unwrap().id, after.id, "{what}");
    };
    check("a repository");
    git(
        &dir,
        &["-c", "advice.addEmbeddedRepo=false", "add", "kernel/other"],
    );
    git(&dir, &["commit", "--quiet", "--message", "submodule"]);
    check("a submodule");
    // One of another kernel is not entered.
    let tree = world.prepare(&source).unwrap();
    git(&dir, &["worktree", "add", "--quiet", "other-tree", "HEAD"]);
    assert_eq!(world.prepare(&source).unwrap(), tree);
}

/// Outside of the tree: a file, a directory with a link in it, and what that leads to.
fn outside(world: &World) {
    write(&world.root, "out/a.h", "1");
    write(&world.root, "out/dir/b.h", "1");
    write(&world.root, "out/dir/deep/c.h", "1");
    write(&world.root, "out/further/d.h", "1");
    symlink("../further", world.root.join("out/dir/further")).unwrap();
    symlink("b.h", world.root.join("out/dir/near.h")).unwrap();
    symlink(".", world.root.join("out/dir/circle")).unwrap();
    symlink("../../linux", world.root.join("out/dir/back")).unwrap();
}

#[test]
fn content_behind_links_that_lead_out_of_the_tree_changes_the_identity() {
    for repository in [false, true] {
        let mut world = World::new();
        world.ahead = LONG;
        outside(&world);
        let dir = world.kernel("linux");
        let absolute = world.root.join("out/a.h");
        symlink("../../out/a.h", dir.join("kernel/a.h")).unwrap();
        symlink(&absolute, dir.join("absolute.h")).unwrap();
        symlink("../../out/dir", dir.join("kernel/dir")).unwrap();
        symlink("../../nowhere.h", dir.join("kernel/nowhere.h")).unwrap();
        if repository {
            commit_all(&dir);
        }
        let source = directory(&dir);
        let (first, seen) = world.watch(&source, &[]);
        let first = first.unwrap();
        assert_eq!(first.dirty, repository);
        let note = seen.notes.join("\n");
        assert!(note.contains("links lead out of the tree"), "{note}");

        // As if it were there.
        let copy = world.root.join("copy");
        crate::world::run(&world.root, "cp", &["-a", dir.as_str(), copy.as_str()]);
        fs::remove_dir_all(copy.join(".git")).ok();
        for (path, from) in [("kernel/a.h", "out/a.h"), ("absolute.h", "out/a.h")] {
            fs::remove_file(copy.join(path)).unwrap();
            fs::copy(world.root.join(from), copy.join(path)).unwrap();
        }
        fs::remove_file(copy.join("kernel/dir")).unwrap();
        let (from, to) = (world.root.join("out/dir"), copy.join("kernel/dir"));
        crate::world::run(&world.root, "cp", &["-a", from.as_str(), to.as_str()]);
        fs::remove_file(to.join("further")).unwrap();
        let (from, to) = (world.root.join("out/further"), to.join("further"));
        crate::world::run(&world.root, "cp", &["-a", from.as_str(), to.as_str()]);
        fs::remove_file(copy.join("kernel/nowhere.h")).unwrap();
        fs::remove_file(dir.join("kernel/nowhere.h")).unwrap();
        let copied = world.prepare(&directory(&copy)).unwrap();
        let mut before = world.prepare(&source).unwrap().id;
        assert_eq!(copied.id, before);
        symlink("../../nowhere.h", dir.join("kernel/nowhere.h")).unwrap();
        assert_eq!(world.prepare(&source).unwrap().id, first.id);

        for path in [
            "out/a.h",
            "out/dir/b.h",
            "out/dir/deep/c.h",
            "out/dir/new.c",
            "out/further/d.h",
            "nowhere.h",
        ] {
            write(&world.root, path, "2");
            let after = world.prepare(&source).unwrap().id;
            assert_ne!(after, before, "{path}");
            assert_eq!(world.prepare(&source).unwrap().id, after, "{path}");
            before = after;
        }
        // Content decides: a link that leads to the same elsewhere names the same.
        let (from, to) = (world.root.join("out/dir"), world.root.join("out/dir2"));
        crate::world::run(&world.root, "cp", &["-a", from.as_str(), to.as_str()]);
        let switch = |to: &str| {
            fs::remove_file(dir.join("kernel/dir")).unwrap();
            symlink(to, dir.join("kernel/dir")).unwrap();
            world.prepare(&source).unwrap().id
        };
        assert_eq!(switch("../../out/dir2"), before);
        write(&world.root, "out/dir2/b.h", "3");
        let other = world.prepare(&source).unwrap().id;
        assert_ne!(other, before);
        assert_eq!(switch("../../out/dir"), before);
    }
}

#[test]
fn a_link_that_git_ignores_counts_where_a_build_reads_what_is_behind_it() {
    let mut world = World::new();
    world.ahead = LONG;
    outside(&world);
    write(&world.root, "built/.config", "");
    write(&world.root, "built/Makefile", "");
    write(&world.root, "built/a.h", "");
    let dir = ignoring(&world);
    let source = directory(&dir);
    let clean = world.prepare(&source).unwrap();
    write(&dir, ".git/info/exclude", "link\nlink.h\nlink.txt\n");
    for (link, target) in [
        ("link", "../built"),
        ("kernel/link", "../../built"),
        ("link", "../out"),
        ("link", ".."),
        ("kernel/link.txt", "../../out/a.h"),
    ] {
        symlink(target, dir.join(link)).unwrap();
        assert_eq!(world.prepare(&source).unwrap(), clean, "{link} to {target}");
        fs::remove_file(dir.join(link)).unwrap();
    }
    let mut before = clean.id;
    for (link, target) in [
        ("kernel/link", "../../out"),
        ("kernel/link.h", "../../out/a.h"),
    ] {
        symlink(target, dir.join(link)).unwrap();
        let after = world.prepare(&source).unwrap();
        assert!(after.id != before && after.dirty, "{link}");
        before = after.id;
    }
    write(&world.root, "out/a.h", "3");
    assert_ne!(world.prepare(&source).unwrap().id, before);
}

#[test]
fn a_file_that_git_ignores_counts_where_a_link_within_the_tree_leads_to_it() {
    let mut world = World::new();
    world.ahead = LONG;
    let dir = ignoring(&world);
    for path in ["top/a.h", "top/data.bin", "top/.config", "top/unread.txt"] {
        write(&dir, path, "1");
    }
    for path in [
        "a.c", "Makefile", "Kbuild", "Kconfig", "deep/b.h", "a.o", ".a.c",
    ] {
        write(&dir, &format!("top/dir/{path}"), "1");
    }
    write(&dir, "top/more/c.h", "1");
    write(&dir, "top/second.h", "1");
    write(&world.root, "out/README", "");
    let link = |target: &str, path: &str| symlink(target, dir.join(path)).unwrap();
    // What a link leads to can be another link.
    link("../../more/c.h", "top/dir/deep/c.h");
    link("../second.h", "top/more/d.h");
    link("../top/more/d.h", "kernel/d.h");
    link("../top/a.h", "kernel/a.h");
    link("../top/data.bin", "kernel/table");
    link("../top/dir", "kernel/dir");
    // By way of a directory outside.
    write(&dir, "top/back.h", "1");
    symlink("../linux/top/back.h", world.root.join("out/back.h")).unwrap();
    link("../../out", "kernel/out");
    git(&dir, &["add", "--all"]);
    git(&dir, &["commit", "--quiet", "--message", "links"]);
    let source = directory(&dir);
    let mut before = world.prepare(&source).unwrap();
    let mut changed = |path: &str, text: &str, counts: bool| {
        write(&dir, path, text);
        let after = world.prepare(&source).unwrap();
        assert_eq!(after.id != before.id, counts, "{path}: {text}");
        assert!(after.dirty, "{path}");
        assert_eq!(world.prepare(&source).unwrap(), after, "{path}");
        before = after;
    };
    for path in [
        "top/a.h",
        "top/data.bin",
        "top/second.h",
        "top/back.h",
        "top/more/c.h",
        "top/dir/a.c",
        "top/dir/Makefile",
        "top/dir/Kbuild",
        "top/dir/Kconfig",
        "top/dir/deep/b.h",
        "top/dir/deep/new.c",
    ] {
        changed(path, "2", true);
    }
    for path in [
        "top/unread.txt",
        "top/.config",
        "top/dir/a.o",
        "top/dir/.a.c",
    ] {
        changed(path, "2", false);
    }
    // A link on the way that leads elsewhere, to what counts already.
    fs::remove_file(dir.join("top/more/d.h")).unwrap();
    link("../a.h", "top/more/d.h");
    let switched = world.prepare(&source).unwrap().id;
    assert_ne!(switched, before.id);
    // The files count as if git listed them; then Kbuild can enter `top`.
    fs::remove_file(dir.join("top/second.h")).unwrap();
    assert_eq!(world.prepare(&source).unwrap().id, switched);
    let mut counted = vec!["add", "--force"];
    counted.extend(["top/a.h", "top/data.bin", "top/back.h", "top/more"]);
    let below =
        ["a.c", "Makefile", "Kbuild", "Kconfig", "deep"].map(|path| format!("top/dir/{path}"));
    counted.extend(below.iter().map(String::as_str));
    git(&dir, &counted);
    assert_eq!(world.prepare(&source).unwrap().id, switched);
}

#[test]
fn a_link_within_the_tree_that_git_ignores_counts_where_a_build_reads_what_is_behind_it() {
    let mut world = World::new();
    world.ahead = LONG;
    let dir = ignoring(&world);
    write(&dir, "top/module/Makefile", "1");
    write(&dir, "top/module/a.c", "1");
    write(&dir, "top/notes/a.txt", "1");
    write(&dir, "top/built/.config", "1");
    write(&dir, "top/built/a.c", "1");
    write(&dir, ".git/info/exclude", "link\nlink.h\n");
    let source = directory(&dir);
    let clean = world.prepare(&source).unwrap();
    for (target, link) in [
        ("../top/notes", "kernel/link"),
        ("../top/built", "kernel/link"),
        ("top/notes", "link"),
        ("top", "link"),
        ("..", "kernel/link"),
        (".", "kernel/link"),
        ("link", "kernel/link"),
        ("../scripts/none", "kernel/link"),
    ] {
        symlink(target, dir.join(link)).unwrap();
        assert_eq!(world.prepare(&source).unwrap(), clean, "{link} to {target}");
        fs::remove_file(dir.join(link)).unwrap();
    }
    for (target, link, file) in [
        ("../top/module", "kernel/link", "top/module/a.c"),
        ("top/module", "link", "top/module/a.c"),
        ("../top/notes/a.txt", "kernel/link.h", "top/notes/a.txt"),
    ] {
        symlink(target, dir.join(link)).unwrap();
        let linked = world.prepare(&source).unwrap();
        assert!(linked.id != clean.id && linked.dirty, "{link}");
        write(&dir, file, "2");
        let edited = world.prepare(&source).unwrap();
        assert_ne!(edited.id, linked.id, "{file}");
        // Both were there before: what names them is the link.
        fs::remove_file(dir.join(link)).unwrap();
        write(&dir, file, "1");
    }
    symlink("../scripts", dir.join("kernel/link")).unwrap();
    let first = world.prepare(&source).unwrap().id;
    fs::remove_file(dir.join("kernel/link")).unwrap();
    symlink("../kernel/../scripts", dir.join("kernel/link")).unwrap();
    assert_ne!(world.prepare(&source).unwrap().id, first);
}

#[test]
fn a_link_to_what_holds_the_tree_is_refused() {
    let world = World::new();
    let dir = world.kernel("linux");
    symlink("..", dir.join("up")).unwrap();
    let error = world.prepare(&directory(&dir)).unwrap_err();
    assert!(
        error.to_string().contains("holds the tree itself"),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("up"));
    fs::remove_file(dir.join("up")).unwrap();
    symlink(".", dir.join("up")).unwrap();
    world.prepare(&directory(&dir)).unwrap();
}

#[test]
fn a_patched_copy_holds_what_is_behind_links() {
    let world = World::new();
    outside(&world);
    let dir = world.kernel("linux");
    symlink("../../out/a.h", dir.join("kernel/a.h")).unwrap();
    symlink("../../out/further", dir.join("kernel/further")).unwrap();
    let source = directory(&dir);
    write(
        &world.root,
        "1.patch",
        "--- a/a0\n+++ b/a0\n@@ -1 +1 @@\n-a0\n\\ No newline at end of file\n+b0\n",
    );
    let patch = [world.root.join("1.patch")];
    let patched = world.watch(&source, &patch).0.unwrap();
    for (path, is_link) in [
        ("kernel/a.h", false),
        ("kernel/further", false),
        ("scripts/fork.c", true),
    ] {
        assert_eq!(patched.dir.join(path).is_symlink(), is_link, "{path}");
    }
    assert_eq!(
        patched.id,
        world.prepare(&directory(&patched.dir)).unwrap().id
    );
    write(&world.root, "out/further/d.h", "2");
    assert_ne!(world.watch(&source, &patch).0.unwrap().id, patched.id);

    symlink("../../nowhere", dir.join("kernel/nowhere")).unwrap();
    let error = world.watch(&source, &patch).0.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("kernel/nowhere links out of the tree"),
        "{error}"
    );
    assert!(error.hint().is_some());
}

#[test]
fn what_is_the_workspaces_own_is_no_part_of_a_source() {
    for repository in [false, true] {
        let mut world = World::new();
        world.ahead = LONG;
        let dir = world.kernel("linux");
        if repository {
            commit_all(&dir);
        }
        let source = directory(&dir);
        let clean = world.prepare(&source).unwrap();
        let own = [
            "target",
            "Cargo.toml",
            "my/kernel.lock.d",
            "/elsewhere/Cargo.toml",
        ];
        let prepare = || {
            let context = kernelkit::effect::source::Context {
                own: own.iter().map(|path| dir.join(path)).collect(),
                ..world.context()
            };
            kernelkit::effect::source::prepare(&source, &[], &context, &mut |_| {}).unwrap()
        };
        for text in ["1", "2"] {
            write(&dir, "target/kernel/a/build/a.c", text);
            write(&dir, "Cargo.toml", text);
            write(&dir, "my/kernel.lock.d/a", text);
            assert_eq!(prepare(), clean);
        }
        // What cargo has marked as its target directory, wherever it was chosen to be.
        let tag = "Signature: 8a477f597d28d172789f06886806bc55\n# This file is a cache directory tag created by cargo.\n";
        for text in ["1", "2"] {
            write(&dir, "out/CACHEDIR.TAG", tag);
            write(&dir, "out/kernel/tiny/build/a.c", text);
            write(&dir, "kernel/out/CACHEDIR.TAG", tag);
            write(&dir, "kernel/out/debug/a.h", text);
            assert_eq!(prepare(), clean);
        }
        for (path, text) in [
            (
                "kernel/out/CACHEDIR.TAG",
                tag.replace("cargo", "somebody else"),
            ),
            ("kernel/out/CACHEDIR.TAG", tag.replace("Signature", "Sign")),
            ("CACHEDIR.TAG", tag.to_owned()),
        ] {
            write(&dir, path, &text);
            assert_ne!(prepare().id, clean.id, "{path}: {text}");
        }
        fs::remove_file(dir.join("CACHEDIR.TAG")).unwrap();
        fs::remove_dir_all(dir.join("kernel/out")).unwrap();
        // Where the workspace is elsewhere it is a directory like any other.
        assert_ne!(world.prepare(&source).unwrap().id, clean.id);
        fs::remove_dir_all(dir.join("out")).unwrap();
        // Names that only begin or end alike count.
        write(&dir, "my/Cargo.toml", "");
        write(&dir, "targets.c", "");
        assert_ne!(prepare().id, clean.id);
        fs::remove_dir_all(dir.join("my")).unwrap();
        fs::remove_file(dir.join("targets.c")).unwrap();
        // A link in its place leads nowhere of interest.
        fs::remove_dir_all(dir.join("target")).unwrap();
        write(&world.root, "big/a.c", "");
        symlink("../big", dir.join("target")).unwrap();
        assert_eq!(prepare(), clean);

        if repository {
            // Where the commit has them, what is edited there is no edit of the kernel.
            write(&dir, "Cargo.toml", "committed");
            git(&dir, &["add", "--all", "Cargo.toml"]);
            git(&dir, &["commit", "--quiet", "--message", "workspace"]);
            write(&dir, "Cargo.toml", "edited");
            let tree = prepare();
            assert_eq!((tree.id, tree.dirty), (clean.id, false));
            write(&dir, "a.c", "edited");
            assert!(prepare().dirty);
        }
    }
}

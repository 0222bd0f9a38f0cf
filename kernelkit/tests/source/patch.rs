use std::fs;
use std::os::unix::fs::MetadataExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use kernelkit::effect::source::{Error, LabelHint, PatchError, verify};
use kernelkit::source::Source;

use crate::archive::tar_of;
use crate::world::{World, chmod, commit_all, directory, git, oracle, tarball, write};

const EDIT: &str = "\
--- a/kernel/fork.c
+++ b/kernel/fork.c
@@ -1,4 +1,4 @@
 int fork(void)
 {
-\treturn 0;
+\treturn 1;
 }
";

fn patch(world: &World, name: &str, text: &str) -> Utf8PathBuf {
    write(&world.root, name, text);
    world.root.join(name)
}

/// A pinned source and a directory of the same tree.
fn sources(world: &World) -> [Source; 2] {
    let dir = world.kernel("linux");
    let file = world.root.join("linux.tar");
    fs::write(&file, tar_of(&dir)).unwrap();
    [tarball(&file), directory(&dir)]
}

#[test]
fn a_patched_tree_is_what_git_makes_of_it_and_the_source_stays() {
    let world = World::new();
    let patched = world.kernel("patched");
    commit_all(&patched);
    write(
        &patched,
        "kernel/fork.c",
        "int fork(void)\n{\n\treturn 1;\n}\n",
    );
    write(&patched, "kernel/new.c", "new\n");
    fs::remove_file(patched.join("a0")).unwrap();
    fs::rename(patched.join("a.c"), patched.join("b.c")).unwrap();
    chmod(&patched.join("b.c"), 0o755);
    git(&patched, &["add", "--all"]);
    git(&patched, &["commit", "--quiet", "--message", "change it"]);
    write(&patched, "kernel/new.c", "newer\n");
    git(
        &patched,
        &["commit", "--quiet", "--all", "--message", "once more"],
    );
    let out = world.root.join("out");
    git(
        &patched,
        &[
            "format-patch",
            "--quiet",
            "-M",
            "-2",
            "-v3",
            "--output-directory",
            out.as_str(),
        ],
    );
    let patches = [
        out.join("v3-0001-change-it.patch"),
        out.join("v3-0002-once-more.patch"),
    ];
    for source in sources(&world) {
        let base = world.prepare(&source).unwrap();
        let (tree, _) = world.watch(&source, &patches);
        let tree = tree.unwrap();
        assert_eq!(tree.id, oracle(&patched, &["--force"]));
        assert_eq!(
            tree.label,
            LabelHint::Series {
                subject: "change it".to_owned(),
                revision: 3
            }
        );
        verify(&tree, &world.context()).unwrap();
        // Nothing was written through the links.
        assert_eq!(world.prepare(&source).unwrap(), base);
        verify(&base, &world.context()).unwrap();
        assert_eq!(world.prepare(&directory(&base.dir)).unwrap().id, base.id);
        let (again, _) = world.watch(&source, &patches);
        assert_eq!(again.unwrap(), tree);
    }
}

#[test]
fn unchanged_files_of_a_shared_tree_are_links_and_of_a_directory_copies() {
    let world = World::new();
    for (source, linked) in sources(&world).into_iter().zip([true, false]) {
        let base = world.prepare(&source).unwrap();
        let patches = [patch(
            &world,
            &format!("edit-{linked}"),
            &format!("{linked}\n{EDIT}"),
        )];
        let tree = world.watch(&source, &patches).0.unwrap();
        let inode = |dir: &Utf8Path, path| fs::metadata(dir.join(path)).unwrap().ino();
        assert_eq!(inode(&base.dir, "a.c") == inode(&tree.dir, "a.c"), linked);
        assert_ne!(
            inode(&base.dir, "kernel/fork.c"),
            inode(&tree.dir, "kernel/fork.c")
        );
    }
}

#[test]
fn a_patch_that_does_not_fit_is_named_with_file_and_hunk() {
    let check = |text: &str, message: &str, hint: &str| {
        let world = World::new();
        let [source, _] = sources(&world);
        let good = patch(&world, "0001-good", EDIT);
        let base = world.prepare(&source).unwrap();
        let before = world.leftovers();
        let bad = patch(&world, "0002-bad", text);
        let error = world.watch(&source, &[good, bad.clone()]).0.unwrap_err();
        assert_eq!(error.to_string(), format!("{bad} {message}"));
        assert!(error.hint().unwrap().contains(hint), "{:?}", error.hint());
        assert_eq!(world.leftovers(), before);
        verify(&base, &world.context()).unwrap();
    };
    check(EDIT, "does not apply to kernel/fork.c", "have it already");
    check(
        "--- a/kernel/fork.c\n+++ b/kernel/fork.c\n@@ -1,2 +1,2 @@\n-int spoon(void)\n+int knife(void)\n {\n",
        "does not apply to kernel/fork.c, hunk 1",
        "Hunk #1 FAILED",
    );
    // The first and the last line of its context differ: fuzz would let it pass.
    check(
        "--- a/kernel/fork.c\n+++ b/kernel/fork.c\n@@ -1,4 +1,4 @@\n long fork(void)\n {\n-\treturn 1;\n+\treturn 2;\n ]\n",
        "does not apply to kernel/fork.c, hunk 1",
        "Hunk #1 FAILED",
    );
    check(
        "--- a/none.c\n+++ b/none.c\n@@ -1 +1 @@\n-a\n+b\n",
        "does not apply",
        "none.c",
    );
    check("no diff at all\n", "has no diff in it", "format-patch");
}

#[test]
fn a_patch_cannot_leave_the_tree() {
    let world = World::new();
    let [source, _] = sources(&world);
    let evil = |name: &str| {
        let text = format!("--- /dev/null\n+++ b/{name}\n@@ -0,0 +1 @@\n+x\n");
        world.watch(&source, &[patch(&world, "evil", &text)]).0
    };
    for name in ["../evil.c", "kernel/../../evil.c"] {
        evil(name).unwrap_err();
        let trees = world.environment.cache_dir.join("tree");
        assert!(!trees.join("evil.c").exists());
    }
    // An absolute name loses its slash.
    let name = world.root.join("evil.c");
    let tree = evil(name.as_str()).unwrap();
    assert!(
        !name.exists()
            && tree
                .dir
                .join(name.as_str().trim_start_matches('/'))
                .exists()
    );
}

#[test]
fn a_cover_letter_labels_the_series() {
    let world = World::new();
    let [source, _] = sources(&world);
    let cover = patch(
        &world,
        "0000",
        "From: me\nSubject: [RFC PATCH v12 0/1] mm: faster\n than light\n\nblurb\n",
    );
    let edit = patch(
        &world,
        "0001",
        &format!("Subject: [PATCH] x\n\n---\n{EDIT}"),
    );
    let tree = world.watch(&source, &[cover.clone(), edit]).0.unwrap();
    let subject = "mm: faster than light".to_owned();
    assert_eq!(
        tree.label,
        LabelHint::Series {
            subject,
            revision: 12
        }
    );
    // On its own it changes nothing.
    let alone = world.watch(&source, &[cover]).0.unwrap();
    assert_eq!(alone, world.prepare(&source).unwrap());
}

#[test]
fn a_missing_patch_is_named() {
    let world = World::new();
    let [source, _] = sources(&world);
    let error = world
        .watch(&source, &["/no/such.patch".into()])
        .0
        .unwrap_err();
    assert_eq!(error.to_string(), "cannot read /no/such.patch");
    let none = world
        .watch(&source, &[patch(&world, "empty", "")])
        .0
        .unwrap_err();
    assert!(matches!(none, Error::Patch(PatchError::Empty { .. })));
}

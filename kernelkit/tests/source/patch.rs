use std::fs;
use std::os::unix::fs::MetadataExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use kernelkit::effect::source::{Error, LabelHint, PatchError, verify};
use kernelkit::patch::Entry;
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

/// What is said of a second patch, after one that applies; nothing may be left behind.
fn refused(text: &str, message: &str, detail: &str) {
    let world = World::new();
    let [source, _] = sources(&world);
    let good = patch(&world, "0001-good", EDIT);
    let base = world.prepare(&source).unwrap();
    let before = world.leftovers();
    let bad = patch(&world, "0002-bad", text);
    let error = world.watch(&source, &[good, bad.clone()]).0.unwrap_err();
    assert_eq!(error.to_string(), format!("{bad} {message}"));
    assert!(error.hint().is_some());
    let Error::Patch(error) = error else {
        panic!("{error}")
    };
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    let details = error.details().join("\n") + &cause.unwrap_or_default();
    assert!(details.contains(detail), "{details}");
    assert_eq!(world.leftovers(), before);
    verify(&base, &world.context()).unwrap();
}

#[test]
fn a_patch_that_does_not_fit_is_shown_with_what_the_tree_has() {
    refused(EDIT, "is already applied", "");
    refused(
        "--- a/kernel/fork.c\n+++ b/kernel/fork.c\n@@ -1,2 +1,2 @@\n-int spoon(void)\n+int knife(void)\n {\n",
        "does not apply to kernel/fork.c, hunk 1",
        "-int spoon(void)\n    +int knife(void)\n     {\n  the tree has nothing like it",
    );
    // The first line of its context differs: fuzz would let it pass.
    refused(
        FUZZY,
        "does not apply to kernel/fork.c, hunk 1",
        "the tree has at line 1 (`!` marks what differs):\n   !int fork(void)\n    {\n    \treturn 1;\n    }",
    );
    refused(
        "--- a/none.c\n+++ b/none.c\n@@ -1 +1 @@\n-a\n+b\n",
        "does not apply to none.c",
        "none.c is not in the tree",
    );
    refused(
        "--- /dev/null\n+++ b/a.c\n@@ -0,0 +1 @@\n+other\n",
        "does not apply to a.c",
        "a.c is in the tree already",
    );
    refused("no diff at all\n", "has no diff in it", "");
    refused("", "has no diff in it", "");
}

#[test]
fn a_patch_without_effect_is_refused() {
    refused(
        "--- a/kernel/fork.c\n+++ b/kernel/fork.c\n@@ -1,4 +1,4 @@\n int fork(void)\n-{\n+{\n \treturn 1;\n }\n",
        "changes nothing",
        "",
    );
    refused(
        "diff --git a/scripts/run.sh b/scripts/run.sh\nold mode 100644\nnew mode 100755\n",
        "changes nothing",
        "",
    );
}

#[test]
fn a_damaged_patch_is_refused_with_its_line() {
    refused(
        "--- a/kernel/fork.c\n+++ b/kernel/fork.c\n@@ -1,4 +1,4 @@\n int fork(void)\n {\n-\treturn 1;\n",
        "cannot be used",
        "line 3: the hunk that begins here is cut off",
    );
    refused(
        &format!("Subject: x\nContent-Transfer-Encoding: base64\n\n{EDIT}"),
        "cannot be used",
        "encoded for mail",
    );
}

const FUZZY: &str = "--- a/kernel/fork.c\n+++ b/kernel/fork.c\n@@ -1,4 +1,4 @@\n long fork(void)\n {\n-\treturn 1;\n+\treturn 2;\n }\n";

#[test]
fn fuzz_and_strip_are_as_asked() {
    let world = World::new();
    let [source, _] = sources(&world);
    let good = Entry::new(patch(&world, "good", EDIT));
    let fuzzy = Entry {
        fuzz: 1,
        ..Entry::new(patch(&world, "fuzzy", FUZZY))
    };
    let plain = EDIT
        .replace("a/kernel", "kernel")
        .replace("b/kernel", "kernel");
    let bare = Entry {
        strip: 0,
        ..Entry::new(patch(&world, "bare", &plain))
    };
    let tree = |patches: &[Entry]| world.watch_entries(&source, patches).0.unwrap();
    let text = fs::read_to_string(tree(&[good.clone(), fuzzy]).dir.join("kernel/fork.c")).unwrap();
    assert_eq!(text, "int fork(void)\n{\n\treturn 2;\n}\n");
    assert_eq!(tree(&[bare]).id, tree(std::slice::from_ref(&good)).id);
    // The tree is 6.12.117.
    for (range, applied) in [("<6.12", 0), (">=6.12", 1)] {
        let version = Some(range.parse().unwrap());
        let entry = Entry {
            version,
            ..good.clone()
        };
        assert_eq!(tree(&[entry]).patches.len(), applied, "{range}");
    }
}

#[test]
fn a_binary_file_is_patched_or_the_patch_is_refused() {
    let world = World::new();
    let [source, _] = sources(&world);
    let work = world.kernel("work");
    commit_all(&work);
    fs::write(work.join("a.c"), [0, 1, 2, 0xff]).unwrap();
    for (arguments, applies) in [(&["diff", "--binary"][..], true), (&["diff"], false)] {
        let text = git(&work, arguments) + "\n\n";
        let file = patch(&world, &format!("binary-{applies}"), &text);
        let tree = world.watch(&source, &[file]).0;
        match tree {
            Ok(tree) if applies => assert_eq!(tree.id, oracle(&work, &["--force"])),
            Err(error) if !applies => {
                assert!(error.to_string().ends_with("does not apply"), "{error}")
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_patch_cannot_leave_the_tree() {
    let world = World::new();
    let [source, _] = sources(&world);
    let evil = |text: &str| {
        let error = world
            .watch(&source, &[patch(&world, "evil", text)])
            .0
            .unwrap_err();
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        format!("{error} {}", cause.unwrap_or_default())
    };
    let absolute = world.root.join("evil.c");
    for name in ["b/../evil.c", "b/kernel/../../evil.c", absolute.as_str()] {
        let said = evil(&format!("--- /dev/null\n+++ {name}\n@@ -0,0 +1 @@\n+x\n"));
        assert!(
            said.ends_with(&format!("`{name}` is outside the tree")),
            "{said}"
        );
    }
    let outside = world.root.join("outside");
    fs::create_dir(&outside).unwrap();
    let link = format!(
        "diff --git a/door b/door\nnew file mode 120000\n--- /dev/null\n+++ b/door\n@@ -0,0 +1 @@\n+{outside}\n\\ No newline at end of file\n"
    );
    let through = "diff --git a/door/evil.c b/door/evil.c\nnew file mode 100644\n--- /dev/null\n+++ b/door/evil.c\n@@ -0,0 +1 @@\n+x\n";
    let said = evil(&format!("{link}{through}"));
    assert!(said.contains("does not apply"), "{said}");
    // In a patch of its own, the link is there when the second one comes.
    let two = [
        patch(&world, "link", &link),
        patch(&world, "through", through),
    ];
    world.watch(&source, &two).0.unwrap_err();
    assert!(!absolute.exists() && outside.read_dir().unwrap().next().is_none());
}

#[test]
fn a_repository_around_the_cache_and_settings_do_not_change_what_a_patch_does() {
    let world = World::new();
    let [source, _] = sources(&world);
    git(&world.root, &["init", "--quiet"]);
    let home = world.environment.home.join(".gitconfig");
    fs::create_dir_all(&world.environment.home).unwrap();
    fs::write(
        home,
        "[core]\n\tautocrlf = true\n[apply]\n\twhitespace = fix\n",
    )
    .unwrap();
    let trailing = EDIT.replace("+\treturn 1;", "+\treturn 1; \t");
    let tree = world
        .watch(&source, &[patch(&world, "edit", &trailing)])
        .0
        .unwrap();
    assert_eq!(
        fs::read_to_string(tree.dir.join("kernel/fork.c")).unwrap(),
        "int fork(void)\n{\n\treturn 1; \t\n}\n"
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

//! What a release names: templates and the register, and trees that are being edited.

use super::lock::{commit, git};
use super::{TINY, run, run_json, tiny};
use crate::support::{Sandbox, StandIn};

fn declare(sandbox: &Sandbox, settings: &str) {
    let text = format!("[workspace]\nmembers = []\n\n{TINY}{settings}");
    sandbox.write("project/Cargo.toml", &text);
}

/// The release that `plan` gives.
fn planned(sandbox: &Sandbox) -> String {
    let plan = run_json(sandbox, &["plan"], 0).message("plan");
    plan["plan"]["release"].as_str().unwrap().to_owned()
}

/// The manifest of a build that must succeed.
fn built(sandbox: &Sandbox, args: &[&str]) -> serde_json::Value {
    let said = run_json(sandbox, &[&["build"], args].concat(), 0);
    said.message("kernel-finished")["manifest"].clone()
}

fn image(sandbox: &Sandbox) -> Vec<u8> {
    let boot = sandbox.path("project/target/kernel/tiny/destdir/boot");
    let images: Vec<_> = boot
        .read_dir_utf8()
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name().starts_with("vmlinu"))
        .collect();
    assert_eq!(images.len(), 1, "{images:?}");
    std::fs::read(images[0].path()).unwrap()
}

const TEMPLATE: &str = "release = \"{version}-{build}.{dist}\"\ndist = \"el8\"\n";

#[test]
fn a_release_without_a_digest_names_one_identity_for_good() {
    let (sandbox, tree) = tiny("");
    declare(&sandbox, &format!("{TEMPLATE}build = 1000\n"));
    let manifest = built(&sandbox, &[]);
    assert_eq!(manifest["release"], "6.12.117-1000.el8");
    assert_eq!(manifest["observed"]["uts_release"], "6.12.117-1000.el8");
    let first = manifest["digest"].as_str().unwrap();

    // Another kernel, by its source, its configuration, its flags: refused before anything is compiled.
    let others = [
        "make-flags = [\"KCFLAGS=-Wall\"]\n",
        "timestamp = 0\n",
        "debug = true\n",
    ];
    for other in others {
        declare(&sandbox, &format!("{TEMPLATE}build = 1000\n{other}"));
        for command in ["plan", "build"] {
            let said = run(&sandbox, &[command]);
            assert_eq!(said.code, 101, "{other}: {}", said.stderr);
            for part in [
                "the release 6.12.117-1000.el8 is taken",
                "it names the identity [digest] of an earlier build of `tiny`, which is [digest] now",
                "`{build}`",
                "`{digest}`",
                "`--unstored`",
            ] {
                assert!(
                    said.stderr.contains(part),
                    "{other}: {part}: {}",
                    said.stderr
                );
            }
        }
    }
    // What pruning and forgetting leave of the store still knows the release.
    for command in [&["store", "prune", "--keep", "0"][..], &["clean"]] {
        assert_eq!(run(&sandbox, command).code, 0, "{command:?}");
    }
    assert_eq!(run(&sandbox, &["plan"]).code, 101);
    // The ways out.
    assert_eq!(run(&sandbox, &["build", "--unstored"]).code, 0);
    assert_eq!(run(&sandbox, &["build", "--build-number", "1001"]).code, 0);
    let digest = built(
        &sandbox,
        &["--release-template", "{version}-{build}.{dist}.{digest}"],
    );
    let release = digest["release"].as_str().unwrap();
    assert_eq!(
        release,
        format!("6.12.117-1000.el8.{}", digest["digest"].as_str().unwrap())
    );
    // The first kernel keeps its name.
    declare(&sandbox, &format!("{TEMPLATE}build = 1000\n"));
    assert_eq!(built(&sandbox, &[])["digest"], first);
    let _tree = tree.edit("lib/string.c", |text| format!("{text}/* edited */\n"));
    assert_eq!(run(&sandbox, &["plan"]).code, 101);
}

#[test]
fn a_template_that_cannot_be_a_release_is_refused_at_its_place() {
    let rows = [
        (
            "release = \"{version}-{build}\"\n",
            "names `{build}`, but `build` is not set",
        ),
        (
            "release = \"{version}-{dist}\"\n",
            "names `{dist}`, but `dist` is not set",
        ),
        (
            "release = \"{version}-{flavour}\"\n",
            "names `{flavour}`, but `flavour` is not set",
        ),
        (
            "release = \"{version}-{date}\"\n",
            "a release has no field `{date}`",
        ),
        ("release = \"{label}\"\n", "does not begin with `{version}`"),
        (
            "release = \"{version} {label}\"\n",
            "` ` cannot be part of a release",
        ),
        ("build = \"a b\"\n", "`a b` cannot be part of a release"),
        ("dist = \"\"\n", "`dist` holds an empty string"),
        ("dirty-release = \"sometimes\"\n", "use `stable` or `exact`"),
    ];
    for (settings, wrong) in rows {
        let (sandbox, _tree) = tiny(settings);
        let said = run(&sandbox, &["plan"]);
        assert_eq!(said.code, 101, "{settings}");
        assert!(
            said.stderr.contains(wrong) && said.stderr.contains("Cargo.toml:8"),
            "{settings}: {}",
            said.stderr
        );
    }
    let long = "x".repeat(22);
    let (sandbox, _tree) = tiny(&format!(
        "release = \"{{version}}-{long}-{long}-{{digest}}\"\n"
    ));
    let said = run(&sandbox, &["plan"]);
    assert_eq!(said.code, 101);
    assert!(
        said.stderr.contains("is longer than the 64 characters"),
        "{}",
        said.stderr
    );
}

/// The stand-in as a git work tree with one commit on `main`.
fn committed() -> (Sandbox, StandIn) {
    let (sandbox, tree) = tiny("");
    git(tree.dir(), &["init", "-q", "-b", "main"]);
    commit(&tree);
    (sandbox, tree)
}

fn stored(sandbox: &Sandbox) -> usize {
    let entries = std::fs::read_dir(sandbox.path("store"));
    let visible = |entry: &std::fs::DirEntry| !entry.file_name().to_string_lossy().starts_with('.');
    entries.map_or(0, |entries| {
        entries.map(Result::unwrap).filter(visible).count()
    })
}

#[test]
fn a_dirty_tree_keeps_the_release_of_its_commit_and_is_not_stored() {
    let (sandbox, tree) = committed();
    let clean = built(&sandbox, &[]);
    let release = clean["release"].as_str().unwrap().to_owned();
    assert_eq!(stored(&sandbox), 1);

    let tree = tree.edit("lib/string.c", |text| format!("{text}int one;\n"));
    let first = built(&sandbox, &[]);
    assert_eq!(first["release"], format!("{release}-dirty"));
    assert_eq!(first["base"], clean["digest"]);
    assert_ne!(first["digest"], clean["digest"]);
    assert_eq!(first["observed"]["uts_release"], first["release"]);
    let image_of_first = image(&sandbox);

    // The next edit compiles what it changes, and nothing that has the release in it.
    let tree = tree.edit("lib/string.c", |text| format!("{text}int two;\n"));
    let second = built(&sandbox, &[]);
    assert_eq!(second["release"], first["release"]);
    assert_ne!(second["digest"], first["digest"]);
    assert_ne!(image(&sandbox), image_of_first);
    let log = sandbox.path("project/target/kernel/tiny/log/latest/compile.log");
    let log = std::fs::read_to_string(log).unwrap();
    assert!(
        log.contains("lib/string.o") && !log.contains("init/version.o"),
        "{log}"
    );
    // Nothing to do is nothing done.
    let said = run(&sandbox, &["build"]);
    assert!(said.stderr.contains("Fresh tiny"), "{}", said.stderr);

    // A file that is new to git, too; and back again.
    let tree = tree.edit("lib/new.c", |_| "int three;\n".to_owned());
    assert_eq!(planned(&sandbox), format!("{release}-dirty"));
    assert_eq!(stored(&sandbox), 1, "no dirty build is stored");
    let said = run(&sandbox, &["build", "--publish"]);
    assert_eq!(said.code, 101);
    assert!(
        said.stderr
            .contains("the build of `tiny` is not published: its source has uncommitted edits"),
        "{}",
        said.stderr
    );
    let said = run(&sandbox, &["lock"]);
    assert!(
        said.code != 0 && said.stderr.contains("cannot be locked"),
        "{}",
        said.stderr
    );
    std::fs::remove_file(tree.dir().join("lib/new.c")).unwrap();
    git(tree.dir(), &["checkout", "-q", "."]);
    assert_eq!(planned(&sandbox), release);
    let said = run(&sandbox, &["build"]);
    assert!(said.stderr.contains("Reused tiny"), "{}", said.stderr);
}

#[test]
fn an_exact_release_is_that_of_the_commit_to_come() {
    let (sandbox, tree) = committed();
    declare(&sandbox, "dirty-release = \"exact\"\n");
    let clean = planned(&sandbox);
    let tree = tree.edit("lib/string.c", |text| format!("{text}int one;\n"));
    let exact = built(&sandbox, &[]);
    assert_ne!(exact["release"], clean);
    declare(&sandbox, "");
    let stable = built(&sandbox, &[]);
    assert_eq!(stable["release"], format!("{clean}-dirty"));
    commit(&tree);
    let committed = built(&sandbox, &[]);
    assert_eq!(committed["digest"], exact["digest"]);
    assert_eq!(committed["release"], exact["release"]);
    // A dirty tree and the commit made of it are two identities, with a release each.
    assert_ne!(committed["digest"], stable["digest"]);
    assert_ne!(committed["release"], stable["release"]);
}

#[test]
fn a_detached_head_keeps_its_exact_identity_where_a_label_is_set() {
    for label in ["", "label = \"mine\"\n"] {
        let (sandbox, tree) = committed();
        git(tree.dir(), &["checkout", "-q", "--detach"]);
        declare(&sandbox, &format!("dirty-release = \"exact\"\n{label}"));
        let tree = tree.edit("lib/string.c", |text| format!("{text}int one;\n"));
        let exact = planned(&sandbox);
        commit(&tree);
        assert_eq!(planned(&sandbox) == exact, !label.is_empty(), "{label}");
    }
}

#[test]
fn patches_on_a_dirty_tree_are_part_of_its_base() {
    let (sandbox, tree) = committed();
    let _tree = tree.edit("kernel/sched.c", |text| format!("{text}int one;\n"));
    let bare = planned(&sandbox);
    let patch = "--- a/lib/string.c\n+++ b/lib/string.c\n@@ -1,3 +1,4 @@\n // SPDX-License-Identifier: MIT OR Apache-2.0\n+/* patched */\n #include <linux/stand_in.h>\n \n";
    sandbox.write("project/lib.patch", patch);
    declare(&sandbox, "label = \"main\"\npatches = [\"lib.patch\"]\n");
    let patched = planned(&sandbox);
    assert!(
        patched.ends_with("-dirty") && bare.ends_with("-dirty"),
        "{patched} {bare}"
    );
    assert_ne!(patched, bare);
}

#[test]
fn a_directory_that_is_being_edited_is_called_by_its_name() {
    let (sandbox, tree) = tiny("edit = \"mine\"\n");
    let first = built(&sandbox, &[]);
    let release = first["release"].as_str().unwrap();
    assert!(
        release.starts_with("6.12.117-tree-") && release.ends_with("-dirty"),
        "{release}"
    );
    let _tree = tree.edit("lib/string.c", |text| format!("{text}int one;\n"));
    let second = built(&sandbox, &[]);
    assert_eq!(second["release"], release);
    assert_ne!(second["digest"], first["digest"]);
    assert_eq!(stored(&sandbox), 0);
    declare(&sandbox, "edit = \"other\"\n");
    assert_ne!(planned(&sandbox), release);
    // Configuration and flags are no edits.
    declare(
        &sandbox,
        "edit = \"mine\"\nmake-flags = [\"KCFLAGS=-Wall\"]\n",
    );
    assert_ne!(planned(&sandbox), release);
    // A flag that names another kind of source does not trip over the name.
    let other = Sandbox::with_kernels(
        "[workspace.metadata.kernel.kernels.tiny]\nsource = \"../tree.tar\"\npreset = \"tiny\"\nedit = \"mine\"\n",
    );
    StandIn::new(&other, "tree");
    let tar = std::process::Command::new("tar")
        .current_dir(other.path(""))
        .args(["-cf", "tree.tar", "tree"])
        .status();
    assert!(tar.unwrap().success());
    let said = run(&other, &["plan"]);
    assert_eq!(said.code, 101);
    assert!(
        said.stderr.contains("`tiny` has `edit`") && said.stderr.contains("not a directory"),
        "{}",
        said.stderr
    );
}

#[test]
fn a_dirty_tree_has_its_place_in_the_64_characters() {
    let (sandbox, tree) = committed();
    declare(
        &sandbox,
        "label = \"one-two-three-four-five-six-seven-eight\"\n",
    );
    assert!(planned(&sandbox).len() <= 64);
    let _tree = tree.edit("lib/string.c", |text| format!("{text}int one;\n"));
    let manifest = built(&sandbox, &[]);
    let release = manifest["release"].as_str().unwrap();
    assert!(
        release.len() <= 64 && release.ends_with("-dirty"),
        "{release}"
    );
    assert_eq!(manifest["observed"]["uts_release"], release);
}

#[test]
fn two_kernels_of_one_batch_cannot_have_one_release() {
    let (sandbox, _tree) = tiny("");
    let matrix = "[workspace]\nmembers = []\n\n[workspace.metadata.kernel.matrix.lts]\nsource = \"../tree\"\npreset = \"tiny\"\nbuild = 1\nrelease = \"{version}-{build}\"\naxes = { debug = [false, true] }\n";
    sandbox.write("project/Cargo.toml", matrix);
    let said = run(&sandbox, &["plan"]);
    assert_eq!(said.code, 101);
    assert!(
        said.stderr.contains("the release 6.12.117-1 is taken"),
        "{}",
        said.stderr
    );
    let said = run(&sandbox, &["build", "--all", "--keep-going"]);
    assert_ne!(said.code, 0);
    let report = run(&sandbox, &["report"]).stdout;
    assert!(
        report.contains("the release 6.12.117-1 is taken"),
        "{report}"
    );
    assert!(report.contains("1 passed"), "{report}");
    sandbox.write(
        "project/Cargo.toml",
        &matrix.replace("{build}\"", "{build}.{digest}\""),
    );
    assert_eq!(run(&sandbox, &["build", "--all"]).code, 0);
}

#[test]
fn two_kernels_that_are_planned_or_locked_together_cannot_have_one_release() {
    let (sandbox, _tree) = committed();
    let kernel = |name: &str, build: u32, debug: bool| {
        format!(
            "[workspace.metadata.kernel.kernels.{name}]\nsource = \"git+../tree#main\"\npreset = \"tiny\"\nrelease = \"{{version}}-{{build}}\"\nbuild = {build}\ndebug = {debug}\n"
        )
    };
    let workspace = |kernels: [String; 2]| {
        let text = format!("[workspace]\nmembers = []\n\n{}", kernels.concat());
        sandbox.write("project/Cargo.toml", &text);
    };
    workspace([kernel("a", 1, false), kernel("b", 1, true)]);
    for args in [
        &["plan", "a", "b"][..],
        &["plan", "b", "a"],
        &["plan"],
        &["lock"],
    ] {
        let said = run(&sandbox, args);
        assert_eq!(said.code, 101, "{args:?}: {}", said.stderr);
        for part in ["the release 6.12.117-1 is taken", "of `", "they differ in "] {
            assert!(
                said.stderr.contains(part),
                "{args:?}: {part}: {}",
                said.stderr
            );
        }
        // Nothing is registered yet that could be freed.
        assert!(!said.stderr.contains("store forget"), "{}", said.stderr);
    }
    assert!(!sandbox.path("project/kernel.lock").exists());
    for name in ["a", "b"] {
        assert_eq!(run(&sandbox, &["plan", name]).code, 0, "{name}");
    }
    // One identity under two names is one kernel.
    workspace([kernel("a", 1, false), kernel("b", 1, false)]);
    assert_eq!(run(&sandbox, &["plan", "a", "b"]).code, 0);
    workspace([kernel("a", 1, false), kernel("b", 2, true)]);
    for args in [&["plan", "a", "b"][..], &["lock"]] {
        let said = run(&sandbox, args);
        assert_eq!(said.code, 0, "{args:?}: {}", said.stderr);
    }
}

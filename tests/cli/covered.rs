//! What is compiled is what the identity covers.

use std::os::unix::fs::symlink;
use std::process::Command;

use camino::Utf8Path;

use super::{Said, TINY, run, run_json, said, tiny};
use crate::support::{Sandbox, StandIn};

fn git(directory: &Utf8Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=a", "-c", "user.email=a@example.org"])
        .args(args)
        .current_dir(directory)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    assert!(output.status.success(), "{args:?}: {}", text(output.stderr));
    text(output.stdout).trim_end().to_owned()
}

fn commit_all(directory: &Utf8Path) {
    git(directory, &["init", "--quiet"]);
    git(directory, &["add", "--all"]);
    git(directory, &["commit", "--quiet", "--message", "first"]);
}

/// `kernel/sched.c` includes `header` and returns what it defines.
fn including(tree: StandIn, header: &str) -> StandIn {
    tree.edit("kernel/sched.c", |text| {
        text.replace("return 2", "return LOCAL")
            .replace("return 1", "return LOCAL")
            .replace("#include", &format!("#include <{header}>\n#include"))
    })
}

/// A build with JSON messages: the source's id and SHA-256 of the image.
fn built(sandbox: &Sandbox) -> (String, String) {
    of(&run_json(sandbox, &["build"], 0))
}

fn of(said: &Said) -> (String, String) {
    let manifest = &said.message("kernel-finished")["manifest"];
    let outputs = manifest["outputs"].as_array().unwrap();
    let image = outputs.iter().find(|output| output["kind"] == "image");
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    (
        text(&manifest["identity"]["source"]),
        text(&image.unwrap()["sha256"]),
    )
}

#[test]
fn an_ignored_header_that_is_compiled_is_part_of_the_identity() {
    let (sandbox, tree) = tiny("");
    let tree = including(tree, "linux/local.h");
    sandbox.write("tree/.gitignore", "local.h\n");
    commit_all(tree.dir());
    sandbox.write("tree/include/linux/local.h", "#define LOCAL 2\n");
    let plan = run(&sandbox, &["plan"]);
    let note = "a file that git ignores counts, for a build reads it: include/linux/local.h";
    assert!(plan.stderr.contains(note), "{}", plan.stderr);
    let first = built(&sandbox);
    sandbox.write("tree/include/linux/local.h", "#define LOCAL 9\n");
    let second = built(&sandbox);
    assert!(first.0 != second.0 && first.1 != second.1, "{second:?}");
}

#[test]
fn what_no_rule_foresaw_fails_the_build_by_name() {
    let (sandbox, tree) = tiny("");
    // Git ignores both, and Kbuild enters neither: only the compiler does.
    let tree = including(tree, "../notes/local.h");
    sandbox.write("tree/.gitignore", "/notes/\n/elsewhere\n");
    commit_all(tree.dir());
    sandbox.write("tree/notes/local.h", "#define LOCAL 2\n");
    let message = "kernel/sched.o was compiled from include/../notes/local.h, which the identity does not cover";
    // It fails again, and is not found in a store.
    for _ in 0..2 {
        let failed = run(&sandbox, &["build"]);
        assert_eq!(failed.code, 101);
        assert!(failed.stderr.contains(message), "{}", failed.stderr);
        assert!(failed.stderr.contains("add --force"), "{}", failed.stderr);
    }
    git(tree.dir(), &["add", "--force", "notes"]);
    let first = built(&sandbox);
    sandbox.write("tree/notes/local.h", "#define LOCAL 3\n");
    assert_ne!(built(&sandbox), first);

    // What is excluded as the workspace's own, through a link.
    let tree = tree.edit("kernel/sched.c", |text| {
        text.replace("../notes/local.h", "linux/link.h")
    });
    let link = tree.dir().join("include/linux/link.h");
    symlink("../../.git/local.h", &link).unwrap();
    sandbox.write("tree/.git/local.h", "#define LOCAL 2\n");
    let failed = run(&sandbox, &["build"]);
    let message =
        "kernel/sched.o was compiled from include/linux/link.h (by a link, it is .git/local.h)";
    assert!(
        failed.stderr.contains(message) && !failed.stderr.contains("add --force"),
        "{}",
        failed.stderr
    );
}

#[test]
fn an_ignored_file_behind_a_link_within_the_tree_is_part_of_the_identity() {
    let (sandbox, tree) = tiny("");
    let tree = including(tree, "linux/link.h");
    sandbox.write("tree/.gitignore", "/notes/\n/module/\n");
    sandbox.write("tree/notes/local.txt", "#define LOCAL 2\n");
    let link = tree.dir().join("include/linux/link.h");
    symlink("../../notes/local.txt", link).unwrap();
    // What Kbuild enters by a link.
    sandbox.write("tree/module/linked.c", "int linked(void) { return 1; }\n");
    symlink("../module", tree.dir().join("kernel/module")).unwrap();
    let tree = tree.edit("Makefile", |text| {
        text.replace("kernel/sched.o", "kernel/sched.o kernel/module/linked.o")
    });
    commit_all(tree.dir());
    let first = built(&sandbox);
    sandbox.write("tree/notes/local.txt", "#define LOCAL 9\n");
    let second = built(&sandbox);
    sandbox.write("tree/module/linked.c", "int linked(void) { return 2; }\n");
    let third = built(&sandbox);
    for (one, other) in [(&first, &second), (&second, &third)] {
        assert!(one.0 != other.0 && one.1 != other.1, "{one:?} {other:?}");
    }
}

#[test]
fn what_a_link_out_of_the_tree_leads_to_is_part_of_the_identity() {
    let (sandbox, tree) = tiny("");
    let tree = including(tree, "linux/local.h");
    sandbox.write("out/local.h", "#define LOCAL 2\n");
    symlink(
        "../../../out/local.h",
        tree.dir().join("include/linux/local.h"),
    )
    .unwrap();
    let kernel = sandbox.path("kernel.a");
    std::fs::rename(tree.dir().join("kernel"), &kernel).unwrap();
    symlink("../kernel.a", tree.dir().join("kernel")).unwrap();
    let first = built(&sandbox);
    sandbox.write("out/local.h", "#define LOCAL 9\n");
    let second = built(&sandbox);
    let text = std::fs::read_to_string(kernel.join("sched.c")).unwrap();
    sandbox.write(
        "kernel.a/sched.c",
        &text.replace("return LOCAL", "return LOCAL + 1"),
    );
    let third = built(&sandbox);
    for (one, other) in [(&first, &second), (&second, &third)] {
        assert!(one.0 != other.0 && one.1 != other.1, "{one:?} {other:?}");
    }

    // A link to another directory with the same content names the same, one with other content does not.
    let identity = || run(&sandbox, &["identity"]).stdout;
    let switch = |to: &str| {
        std::fs::remove_file(tree.dir().join("kernel")).unwrap();
        symlink(to, tree.dir().join("kernel")).unwrap();
        identity()
    };
    let before = identity();
    let copied = Command::new("cp")
        .args(["-a", kernel.as_str()])
        .arg(sandbox.path("kernel.b"))
        .status();
    assert!(copied.unwrap().success());
    assert_eq!(switch("../kernel.b"), before);
    sandbox.write("kernel.b/sched.c", &text);
    assert_ne!(identity(), before);
    assert_eq!(switch("../kernel.a"), before);
}

/// A kernel that is declared in its own tree, in a repository or in none.
#[test]
fn a_workspace_in_the_tree_builds_what_it_planned_and_is_fresh_then() {
    for repository in [true, false] {
        let sandbox = Sandbox::new();
        let tree = StandIn::new(&sandbox, "tree");
        if repository {
            commit_all(tree.dir());
        }
        let manifest = format!("[workspace]\n{}", TINY.replace("../tree", "."));
        let with_manifest = sandbox.write("tree/Cargo.toml", &manifest);
        let here = |args: &[&str]| {
            said(
                &sandbox,
                sandbox.kernel_in(tree.dir(), args).output().unwrap(),
            )
        };
        let build = |args: &[&str]| {
            let said = here(&[args, &["--message-format", "json"]].concat());
            assert_eq!(said.code, 0, "{}", said.stderr);
            said
        };
        let source = || {
            let shown = here(&["identity"]).stdout;
            shown
                .lines()
                .find(|line| line.starts_with("source "))
                .unwrap()
                .to_owned()
        };
        let planned = build(&["plan"]).message("plan")["plan"]["release"].clone();
        let before = source();
        if repository {
            let tree_id = git(tree.dir(), &["rev-parse", "HEAD^{tree}"]);
            assert_eq!(before, format!("source {tree_id}"));
        }
        let finished = build(&["build"]).message("kernel-finished");
        assert_eq!(planned, finished["manifest"]["release"]);
        let again = here(&["build"]);
        assert!(again.stderr.contains("Fresh"), "{}", again.stderr);
        // Nothing was written into the source.
        assert!(!tree.dir().join("target").exists());
        for (path, text) in [
            ("Cargo.toml", format!("# A comment.\n{manifest}")),
            ("Cargo.lock", "version = 4\n".to_owned()),
            ("kernel.lock.d/a", "1".to_owned()),
            (".cargo/config.toml", "[term]\nquiet = true\n".to_owned()),
            ("target/debug/build/a/out/a.h", "1".to_owned()),
        ] {
            sandbox.write(&format!("tree/{path}"), &text);
            assert_eq!(source(), before, "{path}");
        }
        assert!(here(&["build"]).stderr.contains("Fresh"));

        if !repository {
            continue;
        }

        // A target directory that was chosen there is left out too.
        let build_in = |name: &str, args: &[&str]| {
            let mut command = sandbox.kernel_in(tree.dir(), args);
            let output = command.env("CARGO_TARGET_DIR", name).output().unwrap();
            said(&sandbox, output)
        };
        assert_eq!(build_in("out", &["build", "--no-reuse"]).code, 0);
        assert!(tree.dir().join("out/kernel/tiny/manifest.json").exists());
        let again = build_in("out", &["build"]);
        assert!(again.stderr.contains("Fresh"), "{}", again.stderr);
        // So is one that is not chosen any more, and then it is chosen again.
        assert_eq!(build_in("kernel/more", &["build", "--no-reuse"]).code, 0);
        assert_eq!(source(), before);
        assert!(build_in("out", &["build"]).stderr.contains("Fresh"));
        for directory in ["out", "kernel/more"] {
            std::fs::remove_dir_all(tree.dir().join(directory)).unwrap();
        }

        // Without a manifest, and from a directory of the tree.
        std::fs::remove_file(with_manifest).unwrap();
        let flags = ["build", "--source", ".", "--preset", "tiny"];
        assert_eq!(here(&flags).code, 0);
        let again = here(&flags);
        assert!(again.stderr.contains("Fresh"), "{}", again.stderr);
        // They are another workspace's now.
        std::fs::remove_file(tree.dir().join("Cargo.lock")).unwrap();
        for directory in [".cargo", "kernel.lock.d", "target"] {
            std::fs::remove_dir_all(tree.dir().join(directory)).unwrap();
        }
        let inner = tree.dir().join("kernel");
        let flags = ["identity", "--source", "..", "--preset", "tiny"];
        let said = said(
            &sandbox,
            sandbox.kernel_in(&inner, &flags).output().unwrap(),
        );
        assert!(said.stdout.contains(&before), "{}", said.stderr);
        let flags = ["build", "--source", "..", "--preset", "tiny"];
        assert_eq!(
            sandbox
                .kernel_in(&inner, &flags)
                .output()
                .unwrap()
                .status
                .code(),
            Some(0)
        );
        assert!(!inner.join("target").exists());
    }
}

use std::process::Command;

use camino::Utf8Path;

use super::{run, run_json};
use crate::support::{Sandbox, StandIn};

pub(super) fn git(dir: &Utf8Path, args: &[&str]) {
    let output = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.org"])
        .args(args)
        .current_dir(dir)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {args:?}: {stderr}");
}

/// A kernel `tiny` from the branch `main` of a repository beside the project.
pub(super) fn from_branch() -> (Sandbox, StandIn) {
    let sandbox = Sandbox::new();
    let tree = StandIn::new(&sandbox, "tree");
    git(tree.dir(), &["init", "-q", "-b", "main"]);
    commit(&tree);
    sandbox.write("project/fragments/core/own.config", "CONFIG_SMP=y\n");
    declare(&sandbox, "main", "");
    (sandbox, tree)
}

pub(super) fn declare(sandbox: &Sandbox, reference: &str, settings: &str) {
    sandbox.write(
        "project/Cargo.toml",
        &format!(
            "[workspace]\nmembers = []\nresolver = \"3\"\n\n\
             [workspace.metadata.kernel]\nfragment-dirs = [\"fragments\"]\n\n\
             [workspace.metadata.kernel.kernels.tiny]\n\
             source = {{ git = \"../tree\", ref = \"{reference}\" }}\npreset = \"tiny\"\n{settings}"
        ),
    );
}

pub(super) fn commit(tree: &StandIn) {
    git(tree.dir(), &["add", "-A"]);
    git(tree.dir(), &["commit", "-q", "-m", "tree"]);
}

fn version(sandbox: &Sandbox) -> String {
    let plan = run_json(sandbox, &["plan"], 0).message("plan")["plan"].clone();
    plan["version"].as_str().unwrap().to_owned()
}

#[test]
fn a_locked_branch_stays_where_it_was_until_it_is_updated() {
    let (sandbox, tree) = from_branch();
    run_json(&sandbox, &["lock"], 0);
    run_json(&sandbox, &["lock", "--check"], 0);
    let tree = tree.version(["6", "12", "118", ""]);
    commit(&tree);
    assert_eq!(version(&sandbox), "6.12.117");
    let before = std::fs::read_to_string(sandbox.path("project/kernel.lock")).unwrap();
    run_json(&sandbox, &["lock"], 0);
    let after = std::fs::read_to_string(sandbox.path("project/kernel.lock")).unwrap();
    assert_eq!(before, after);
    let message = run_json(&sandbox, &["lock", "--update"], 0).message("locked");
    let changes = message["changes"].as_array().unwrap();
    let changed = changes
        .iter()
        .find(|change| change["field"] == "version")
        .unwrap();
    assert_eq!(changed["old"], "6.12.117");
    assert_eq!(changed["new"], "6.12.118");
    assert_eq!(version(&sandbox), "6.12.118");
}

#[test]
fn a_stale_lock_is_an_error_that_says_what_changed() {
    let rows: [(&str, &str, &str); 3] = [
        ("v9", "", "source.requested: git+"),
        ("main", "label = \"other\"\n", "label: main → other"),
        ("main", "fragments = [\"core/own\"]\n", "config.request: "),
    ];
    for (reference, settings, expected) in rows {
        let (sandbox, _tree) = from_branch();
        run_json(&sandbox, &["lock"], 0);
        declare(&sandbox, reference, settings);
        for command in ["plan", "build"] {
            let said = run(&sandbox, &[command]);
            assert_eq!(said.code, 101, "{command} {reference} {settings}");
            assert!(
                said.stderr
                    .contains("kernel.lock is out of date for `tiny`")
                    && said.stderr.contains(expected)
                    && said.stderr.contains("`cargo kernel lock` writes it anew"),
                "{}",
                said.stderr
            );
        }
    }
}

#[test]
fn flags_ask_for_something_else_than_the_lock() {
    let (sandbox, _tree) = from_branch();
    run_json(&sandbox, &["lock"], 0);
    run_json(&sandbox, &["plan", "--label", "other"], 0);
    let said = run(&sandbox, &["plan", "--label", "other", "--locked"]);
    assert_eq!(said.code, 101);
    assert!(
        said.stderr.contains("label: main → other"),
        "{}",
        said.stderr
    );
}

#[test]
fn check_writes_nothing_and_says_no() {
    let (sandbox, _tree) = from_branch();
    assert_eq!(run(&sandbox, &["lock", "--check"]).code, 100);
    assert!(!sandbox.path("project/kernel.lock").exists());
    assert!(!sandbox.path("project/kernel.lock.d").exists());
}

#[test]
fn the_config_beside_the_lock_is_the_one_that_is_built() {
    let (sandbox, _tree) = from_branch();
    run_json(&sandbox, &["lock"], 0);
    let locked = std::fs::read_to_string(sandbox.path("project/kernel.lock.d/tiny.config"));
    run_json(&sandbox, &["build", "--locked"], 0);
    let built = sandbox.path("project/target/kernel/tiny/build/.config");
    assert_eq!(locked.unwrap(), std::fs::read_to_string(built).unwrap());
    // It was edited by hand: the lock's hash tells.
    sandbox.write("project/kernel.lock.d/tiny.config", "CONFIG_X=y\n");
    assert_eq!(run(&sandbox, &["lock", "--check"]).code, 100);
}

#[test]
fn a_kernel_that_is_not_declared_any_more_leaves_the_lock() {
    let (sandbox, _tree) = from_branch();
    run_json(&sandbox, &["lock"], 0);
    let text = std::fs::read_to_string(sandbox.path("project/Cargo.toml")).unwrap();
    sandbox.write(
        "project/Cargo.toml",
        &text.replace("kernels.tiny", "kernels.small"),
    );
    let said = run_json(&sandbox, &["lock"], 0);
    assert_eq!(said.message("unlocked")["kernel"], "tiny");
    let names: Vec<_> = std::fs::read_dir(sandbox.path("project/kernel.lock.d"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names, ["small.config"]);
}

#[test]
fn what_cannot_be_locked_says_why() {
    let sandbox = Sandbox::with_kernels(super::TINY);
    let _tree = StandIn::new(&sandbox, "tree");
    let said = run(&sandbox, &["lock"]);
    assert_eq!(said.code, 101);
    assert!(
        said.stderr
            .contains("`tiny` cannot be locked: its source [sandbox]/tree is a directory, which can change at any time"),
        "{}",
        said.stderr
    );
    let said = run(&sandbox, &["plan", "--locked"]);
    assert_eq!(said.code, 101);
    assert!(
        said.stderr.contains("`cargo kernel lock` writes it"),
        "{}",
        said.stderr
    );
}

#[test]
fn a_lock_that_is_none_is_refused_with_its_line() {
    let (sandbox, _tree) = from_branch();
    sandbox.write(
        "project/kernel.lock",
        "version = 1\n[kernels.tiny]\narch = 7\n",
    );
    let said = run(&sandbox, &["plan"]);
    assert_eq!(said.code, 101);
    assert!(
        said.stderr
            .contains("[sandbox]/project/kernel.lock is not a lock")
            && said.stderr.contains("line 3"),
        "{}",
        said.stderr
    );
}

#[test]
fn a_lock_of_the_earlier_format_is_upgraded_by_one_command_with_the_same_sources() {
    let (sandbox, tree) = from_branch();
    run_json(&sandbox, &["lock"], 0);
    let path = sandbox.path("project/kernel.lock");
    let current = std::fs::read_to_string(&path).unwrap();
    // As it was written then, without what the new format added.
    let earlier: String = current
        .lines()
        .filter(|line| !line.starts_with("pattern = "))
        .map(|line| format!("{line}\n").replace("version = 2\n", "version = 1\n"))
        .collect();
    std::fs::write(&path, &earlier).unwrap();
    // The branch has moved on since.
    let tree = tree.version(["6", "12", "118", ""]);
    commit(&tree);
    for args in [&["plan"][..], &["build"], &["plan", "--locked"]] {
        let said = run(&sandbox, args);
        assert_eq!(said.code, 101, "{args:?}");
        assert!(
            said.stderr.contains("kernel.lock has format 1")
                && said.stderr.contains("`cargo kernel lock` rewrites it"),
            "{}",
            said.stderr
        );
    }
    assert_eq!(run(&sandbox, &["lock", "--check"]).code, 100);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), earlier);
    run_json(&sandbox, &["lock"], 0);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), current);
    assert_eq!(version(&sandbox), "6.12.117");
    assert_eq!(run(&sandbox, &["build", "--locked"]).code, 0);
}

#[test]
fn nothing_is_written_behind_a_link_that_leads_out() {
    for (link, args) in [
        ("project/kernel.lock.d", &["lock"][..]),
        ("project/target/kernel", &["plan"]),
        ("project/target/kernel/tiny", &["build"]),
        ("project/target/kernel/tiny", &["clean"]),
        ("project/target/kernel/tiny/build", &["build"]),
        ("project/target/kernel/tiny/destdir", &["build"]),
        ("cache/tree", &["build"]),
        ("store/tmp", &["build"]),
    ] {
        let (sandbox, _tree) = from_branch();
        let precious = sandbox.write("precious/old.config", "mine");
        sandbox.write("precious/lock", "mine");
        let at = sandbox.path(link);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(sandbox.path("precious"), &at).unwrap();
        let said = run(&sandbox, args);
        let mut left = names(&sandbox.path("precious"));
        left.sort();
        assert_eq!(left, ["lock", "old.config"], "{link}: {}", said.stderr);
        assert_eq!(std::fs::read_to_string(&precious).unwrap(), "mine");
        let lock = sandbox.path("precious/lock");
        assert_eq!(std::fs::read_to_string(lock).unwrap(), "mine", "{link}");
        if link != "store/tmp" && link != "project/target/kernel/tiny/destdir" {
            let told = format!("the link [sandbox]/{link} leads out of ");
            assert!(said.stderr.contains(&told), "{link}: {}", said.stderr);
            assert!(
                said.stderr
                    .contains("hint: nothing is written or removed behind it")
            );
            assert_eq!(said.code, 101, "{link}");
        }
    }
}

#[test]
fn a_target_directory_a_store_and_a_cache_on_another_disk_are_the_users_own() {
    let (sandbox, _tree) = from_branch();
    for name in ["project/target", "store", "cache"] {
        let disk = sandbox.path("disk").join(name);
        std::fs::create_dir_all(&disk).unwrap();
        let _ = std::fs::remove_dir_all(sandbox.path(name));
        std::os::unix::fs::symlink(&disk, sandbox.path(name)).unwrap();
    }
    for args in [&["build"][..], &["lock"], &["clean"]] {
        let said = run(&sandbox, args);
        assert_eq!(said.code, 0, "{args:?}: {}", said.stderr);
    }
}

fn names(directory: &Utf8Path) -> Vec<String> {
    let entries = directory.read_dir_utf8().unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().to_owned())
        .collect()
}

use super::lock::{commit, from_branch, git};
use super::{run, run_json};

fn release(sandbox: &crate::support::Sandbox) -> String {
    let plan = run_json(sandbox, &["plan"], 0).message("plan")["plan"].clone();
    plan["release"].as_str().unwrap().to_owned()
}

#[test]
fn a_kernels_own_tree_is_built_moved_and_keeps_edits() {
    let (sandbox, tree) = from_branch();
    let archived = release(&sandbox);
    let laid = run_json(&sandbox, &["tree"], 0).message("tree");
    assert_eq!(laid["action"], "created");
    let dir = sandbox.path("project/target/kernel/tiny/tree");
    assert_eq!(laid["dir"], dir.as_str());
    // The same files, the same name.
    assert_eq!(release(&sandbox), archived);
    let built = run_json(&sandbox, &["build"], 0).message("kernel-finished");
    assert_eq!(built["manifest"]["dirs"]["source"], dir.as_str());
    // A new commit on the branch: the build moves the tree.
    let tree = tree.version(["6", "12", "118", ""]);
    commit(&tree);
    assert!(release(&sandbox).starts_with("6.12.118-"));
    assert!(
        std::fs::read_to_string(dir.join("Makefile"))
            .unwrap()
            .contains("SUBLEVEL = 118")
    );
    // An edit is built; with it, the tree does not move.
    let clean = release(&sandbox);
    std::fs::write(dir.join("new.c"), "int x;\n").unwrap();
    assert_ne!(release(&sandbox), clean);
    let tree = tree.version(["6", "12", "119", ""]);
    commit(&tree);
    let said = run(&sandbox, &["build"]);
    assert_eq!(said.code, 101);
    assert!(
        said.stderr
            .contains("has edits and cannot move to `main`: ?? new.c"),
        "{}",
        said.stderr
    );
    assert_eq!(run(&sandbox, &["clean"]).code, 101);
    assert!(dir.join("new.c").exists());
    let laid = run_json(&sandbox, &["tree", "tiny", "--recreate"], 0).message("tree");
    assert_eq!(laid["action"], "created");
    assert!(
        !dir.join("new.c").exists() && !sandbox.path("project/target/kernel/tiny/build").exists()
    );
    assert_eq!(run(&sandbox, &["clean"]).code, 0);
    assert!(release(&sandbox).starts_with("6.12.119-"));
}

#[test]
fn a_developers_tree_lies_beside_and_is_indexed() {
    let (sandbox, tree) = from_branch();
    git(tree.dir(), &["tag", "first"]);
    let at = sandbox.path("dev");
    let args = ["tree", "tiny", "--at", at.as_str(), "--ref", "first"];
    let said = run(&sandbox, &[&args[..], &["--index"]].concat());
    assert_eq!(said.code, 101);
    assert!(said.stderr.contains("nothing to index"), "{}", said.stderr);
    run_json(&sandbox, &["build"], 0);
    let laid = run_json(&sandbox, &[&args[..], &["--index"]].concat(), 0).message("tree");
    assert_eq!(laid["action"], "current");
    let index = std::fs::read_to_string(at.join("compile_commands.json")).unwrap();
    let index: Vec<serde_json::Value> = serde_json::from_str(&index).unwrap();
    assert_eq!(laid["indexed"], index.len());
    let file = at.join("kernel/sched.c");
    let entry = index.iter().find(|entry| entry["file"] == file.as_str());
    let command = entry.unwrap()["command"].as_str().unwrap();
    assert!(
        command.contains(at.as_str()) && !command.contains("cache/tree"),
        "{command}"
    );
    // An index is no edit.
    let laid = run_json(&sandbox, &["tree", "tiny", "--at", at.as_str()], 0).message("tree");
    assert_eq!(laid["action"], "current");
    assert!(at.join("kernel/sched.c").exists());
    let other = sandbox.path("project/fragments");
    let said = run(&sandbox, &["tree", "tiny", "--at", other.as_str()]);
    assert!(said.stderr.contains("no worktree of"), "{}", said.stderr);
    let said = run(&sandbox, &["tree", "tiny", "--ref", "gone"]);
    assert!(
        said.stderr.contains("has no tag, branch or commit `gone`"),
        "{}",
        said.stderr
    );
}

//! `--tmpfs`: build directories in memory.

use camino::Utf8PathBuf;
use serde_json::Value;

use super::build::installed;
use super::{Said, said, tiny};
use crate::support::{Disk, Sandbox};

/// A build with JSON messages whose directory may lie in `dir`; its exit code must be 0.
fn build(sandbox: &Sandbox, dir: &str, args: &[&str]) -> Said {
    let args = [&["build", "--tmpfs", "--message-format", "json"], args].concat();
    let mut command = sandbox.kernel(&args);
    command.env("KERNELKIT_TMPFS_DIR", sandbox.path(dir));
    let said = said(sandbox, command.output().unwrap());
    assert_eq!(said.code, 0, "{args:?}: {}{}", said.stdout, said.stderr);
    said
}

/// Why it was not built in memory each time that this was told; an empty text where it was.
fn reasons(said: &Said) -> Vec<String> {
    let messages = said.messages();
    let told = messages
        .iter()
        .filter(|message| message["reason"] == "build-directory");
    told.map(|message| {
        // The reason of the message is the message's own.
        let why = &message["why"];
        assert_eq!(why.is_null(), message["tmpfs"].is_string(), "{message}");
        why["kind"].as_str().unwrap_or_default().to_owned()
    })
    .collect()
}

/// What is left in memory.
fn left(sandbox: &Sandbox) -> Vec<Utf8PathBuf> {
    let own = sandbox.path("memory").read_dir_utf8().unwrap();
    own.flat_map(|own| own.unwrap().path().read_dir_utf8().unwrap())
        .map(|entry| entry.unwrap().into_path())
        .collect()
}

#[test]
fn a_kernel_that_was_built_in_memory_is_the_same_and_leaves_nothing_there() {
    let (sandbox, _tree) = tiny("");
    let Some(_disk) = Disk::mount(&sandbox, "memory", 1 << 20) else {
        return;
    };
    let state = sandbox.path("project/target/kernel/tiny");
    let release = |said: &Said| {
        let manifest = said.message("kernel-finished")["manifest"].clone();
        manifest["release"].as_str().unwrap().to_owned()
    };
    let on_disk = super::run_json(&sandbox, &["build"], 0);
    let bytes = installed(&state);
    std::fs::remove_dir_all(&state).unwrap();

    let in_memory = build(&sandbox, "memory", &["--no-reuse", "--timings"]);
    assert_eq!(reasons(&in_memory), [""]);
    let messages = in_memory.messages();
    let compiles = |message: &&Value| message["stage"] == "compile" && !message["call"].is_null();
    let call = messages.iter().find(compiles).unwrap()["call"].to_string();
    let place = format!("O={}", sandbox.path("memory/kernelkit-"));
    assert!(call.contains(&place), "{call}");
    assert_eq!(release(&in_memory), release(&on_disk));
    assert!(installed(&state) == bytes, "the bytes differ");
    assert_eq!(left(&sandbox), [""; 0]);
    assert!(!state.join("build").exists() && !state.join("tmpfs").exists());
    assert!(state.join("tmpfs.size").exists());
    assert!(state.join("log/latest/timings.json").exists());

    // What is there is taken, wherever it was built; of its objects nothing is left.
    assert!(reasons(&build(&sandbox, "memory", &[])).is_empty());
    let fresh = super::run_json(&sandbox, &["build"], 0).message("kernel-finished");
    assert_eq!(fresh["outcome"], "fresh");

    // A failure leaves nothing, either; nor does a batch.
    let failing = ["build", "--tmpfs", "--no-reuse", "--make-target", "none"];
    let mut command = sandbox.kernel(&failing);
    command.env("KERNELKIT_TMPFS_DIR", sandbox.path("memory"));
    assert_eq!(command.output().unwrap().status.code(), Some(101));
    assert_eq!(left(&sandbox), [""; 0]);
    let toml = std::fs::read_to_string(sandbox.path("project/Cargo.toml")).unwrap();
    let two = toml.clone()
        + &toml[toml.find("[workspace.metadata").unwrap()..].replace("tiny]", "other]");
    sandbox.write("project/Cargo.toml", &two);
    let batch = build(&sandbox, "memory", &["--all", "--no-reuse"]);
    assert_eq!(reasons(&batch), ["", ""]);
    assert_eq!(batch.message("batch-finished")["passed"], 2);
    assert_eq!(left(&sandbox), [""; 0]);
    assert!(installed(&state) == bytes, "the bytes differ");
}

#[test]
fn what_does_not_fit_is_told_and_built_on_disk() {
    let (sandbox, _tree) = tiny("");
    let state = sandbox.path("project/target/kernel/tiny");
    let on_disk = |said: &Said, why: &[&str]| {
        assert_eq!(reasons(said), why);
        assert!(state.join("build/vmlinux").exists());
        std::fs::remove_dir_all(&state).unwrap();
    };
    for (dir, why) in [("nowhere", "missing"), ("/proc", "not-in-memory")] {
        on_disk(&build(&sandbox, dir, &["--no-reuse"]), &[why]);
    }
    let Some(_disk) = Disk::mount(&sandbox, "memory", 100) else {
        return;
    };
    on_disk(&build(&sandbox, "memory", &["--no-reuse"]), &["too-small"]);
    // What was expected is wrong.
    sandbox.write("project/target/kernel/tiny/tmpfs.size", "1000");
    on_disk(&build(&sandbox, "memory", &["--no-reuse"]), &["", "filled"]);
    assert_eq!(left(&sandbox), [""; 0]);
    let mut command = sandbox.kernel(&["build", "--tmpfs", "--no-reuse"]);
    command.env("KERNELKIT_TMPFS_DIR", sandbox.path("memory"));
    let people = said(&sandbox, command.output().unwrap());
    assert!(
        people
            .stderr
            .contains("note: tiny is not built in memory: it will have "),
        "{}",
        people.stderr
    );
}

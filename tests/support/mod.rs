//! What integration tests have in common.

mod disk;
#[path = "../../kernelkit/tests/source/server.rs"]
pub(crate) mod git_server;
#[path = "../../kernelkit/tests/source/http.rs"]
#[allow(dead_code, reason = "the library's own tests use the rest of it")]
pub(crate) mod http;
mod sandbox;
mod stand_in;

use camino::{Utf8Path, Utf8PathBuf};
use kernelkit::effect::exec;
use kernelkit::version::KernelVersion;

pub(crate) use disk::Disk;
pub(crate) use sandbox::Sandbox;
pub(crate) use stand_in::StandIn;

/// The repository.
pub(crate) fn root() -> &'static Utf8Path {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("cargo-kernel lies in the workspace")
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

/// Without `what`, a test is left out with a word about it; in CI it fails, so that
/// nothing is skipped there unseen.
pub(crate) fn without(what: &str) {
    assert!(
        variable("CI").is_empty(),
        "{what} is needed, and this is CI"
    );
    eprintln!("skipped: {what} is needed");
}

/// Whether `tool` is on PATH. `if !require_tool("nix") { return; }`
pub(crate) fn require_tool(tool: &str) -> bool {
    let found = exec::find_on_path(tool, &variable("PATH")).is_some();
    if !found {
        without(&format!("`{tool}`"));
    }
    found
}

/// Whether user namespaces can be made.
pub(crate) fn require_user_namespaces() -> bool {
    let allowed = std::process::Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "true"])
        .status()
        .is_ok_and(|status| status.success());
    if !allowed {
        without("a user namespace");
    }
    allowed
}

/// Waits until `condition` holds, for half a minute at most.
pub(crate) fn wait_for(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..3000 {
        if condition() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("waited in vain for {what}");
}

/// Sends a signal, such as `INT`, to a process or, as `-` and its id, to a process group.
pub(crate) fn signal(name: &str, process: impl std::fmt::Display) {
    let command = format!("kill -{name} {process}");
    let status = std::process::Command::new("sh")
        .args(["-c", &command])
        .status()
        .unwrap();
    assert!(status.success(), "{command}");
}

/// Whether the test is run by root: it mounts, or takes rights away from what it starts.
pub(crate) fn require_root() -> bool {
    let root = is_root();
    if !root {
        without("root");
    }
    root
}

/// Whether file permissions do not bite.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

/// The kernel tree of `series` (such as `6.12`) among KERNELKIT_TEST_TREES. It is
/// shared: tests read it and build out of it, never in it.
/// `let Some(tree) = require_tree("6.12") else { return };`
pub(crate) fn require_tree(series: &str) -> Option<Utf8PathBuf> {
    let trees = variable("KERNELKIT_TEST_TREES");
    let tree = trees
        .split(':')
        .filter(|tree| !tree.is_empty())
        .map(Utf8PathBuf::from)
        .find(|tree| is_of_series(tree, series));
    if tree.is_none() {
        without(&format!(
            "a kernel tree of {series} in KERNELKIT_TEST_TREES"
        ));
    }
    tree
}

fn is_of_series(tree: &Utf8Path, series: &str) -> bool {
    let makefile = std::fs::read_to_string(tree.join("Makefile")).unwrap_or_default();
    KernelVersion::from_makefile(&makefile)
        .is_ok_and(|version| version.to_string().starts_with(&format!("{series}.")))
}

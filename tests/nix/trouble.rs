//! What goes wrong with Nix while a kernel is built: each has a message, a way out and an exit code.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use super::Project;
use crate::support::{Disk, require_root, signal, wait_for};

/// Runs at the end of a test that has the kernel `tiny` and everything that it is built from in its store.
pub(super) fn is_said_with_the_way_out(project: &Project<'_>) {
    a_daemon_that_dies(project);
    if require_root() {
        builders_without_a_group(project);
        a_sandbox_that_cannot_be(project);
        a_store_that_is_read_only(project);
        a_store_that_is_full(project);
        a_user_who_is_not_trusted(project);
    }
}

const BUILD: [&str; 5] = ["build", "tiny", "--backend", "nix", "--no-reuse"];

fn assert_refused(project: &Project<'_>, store: &str, words: &[&str]) {
    assert_refused_with(project, store, "", words);
}

/// With more settings of Nix.
fn assert_refused_with(project: &Project<'_>, store: &str, settings: &str, words: &[&str]) {
    let output = project.try_kernel(store, settings, &BUILD);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(101), "{said}");
    for words in words {
        assert!(said.contains(words), "{words}: {said}");
    }
}

/// Runs the daemon by these words of sh instead of `exec`.
fn with_daemon(project: &Project<'_>, words: &str, check: impl FnOnce()) {
    let sandbox = project.nix.sandbox;
    let path = std::env::var("PATH").unwrap();
    let daemon = kernelkit::effect::exec::find_on_path("nix-daemon", &path).unwrap();
    let script = sandbox.tool("nix-daemon", &format!("{words} {daemon} \"$@\""));
    check();
    std::fs::remove_file(script).unwrap();
}

fn a_daemon_that_dies(project: &Project<'_>) {
    let sandbox = project.nix.sandbox;
    let id = sandbox.path("daemon.pid");
    with_daemon(project, &format!("echo $$ > {id}; exec"), || {
        let mut build = project.process("nix/root", "", &BUILD);
        build.args(["--message-format", "json"]);
        let mut build = build.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(build.stdout.take().unwrap()).lines();
        let mut next = |words: &str| {
            let line = lines.find(|line| line.as_ref().unwrap().contains(words));
            line.unwrap_or_else(|| panic!("no {words}")).unwrap()
        };
        next("stage-started");
        let id = std::fs::read_to_string(&id).unwrap();
        signal("KILL", id.trim());
        let error = next("\"reason\":\"error\"");
        assert!(error.contains("the Nix daemon went away"), "{error}");
        assert!(error.contains("run the same command again"), "{error}");
        assert_eq!(build.wait().unwrap().code(), Some(101));
    });
    // As it says.
    project.kernel(&["build", "tiny", "--backend", "nix"]);
}

/// As root builds without a daemon where nobody has created Nix' users.
fn builders_without_a_group(project: &Project<'_>) {
    let says = [
        "the group 'nixbld-none' specified in 'build-users-group' does not exist",
        "groupadd -r nixbld",
        "`build-users-group =` (empty)",
    ];
    let settings = "build-users-group = nixbld-none\n";
    assert_refused_with(project, "nix/root", settings, &says);
}

fn a_sandbox_that_cannot_be(project: &Project<'_>) {
    // Neither a namespace of its own nor the right to make one without.
    let words = "exec unshare --user --map-root-user sh -c 'echo 0 > /proc/sys/user/max_user_namespaces; \
                 exec setpriv --bounding-set=-all --inh-caps=-all \"$@\"' -";
    with_daemon(project, words, || {
        let says = [
            "namespaces are missing here",
            "run the container with more rights",
        ];
        assert_refused(project, "nix/root", &says);
    });
}

fn a_store_that_is_read_only(project: &Project<'_>) {
    let store = project.nix.sandbox.path("nix/root");
    let words = format!(
        "exec unshare --mount sh -c 'mount --bind {store} {store} && mount -o remount,ro,bind {store} && exec \"$@\"' -"
    );
    with_daemon(project, &words, || {
        let says = ["the store is mounted read-only", "--backend host"];
        assert_refused(project, "nix/root", &says);
    });
}

fn a_store_that_is_full(project: &Project<'_>) {
    let sandbox = project.nix.sandbox;
    // The toolchain has more than 200 MiB.
    let Some(_disk) = Disk::mount(sandbox, "nix/full", 40 << 10) else {
        return;
    };
    let says = ["No space left on device", "nix-collect-garbage"];
    assert_refused(project, "nix/full", &says);
}

/// Over the socket of a daemon that trusts somebody else.
fn a_user_who_is_not_trusted(project: &Project<'_>) {
    let sandbox = project.nix.sandbox;
    let socket = sandbox.path("socket");
    let store = sandbox.path("nix/untrusting");
    let mut daemon = project.nix.command("nix-daemon", &[]);
    let mut daemon = daemon
        .env("NIX_REMOTE", &store)
        .env("NIX_CONFIG", "trusted-users = nobody")
        .env("NIX_DAEMON_SOCKET_PATH", &socket)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the daemon", || socket.exists());
    let args = [
        "build",
        "tiny",
        "--backend",
        "host",
        "--no-reuse",
        "--register",
    ];
    let output = project
        .process("nix/untrusting", "", &args)
        .env("NIX_REMOTE", format!("unix://{socket}?root={store}"))
        .output();
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(101), "{said}");
    for words in ["this user is not trusted", "`trusted-users` in nix.conf"] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

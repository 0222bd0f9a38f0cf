//! What builds a kernel, where Nix is not there or not well; with a real Nix: `tests/nix.rs`.

use super::{Said, path_without, run, run_json, said, tiny};
use crate::support::Sandbox;

/// Runs with a Nix of these stand-ins.
fn with_nix(sandbox: &Sandbox, version: &str, daemon: &str, args: &[&str]) -> Said {
    sandbox.tool("nix-store", &format!("echo 'nix-store (Nix) {version}'"));
    sandbox.tool("nix-daemon", daemon);
    let mut command = sandbox.kernel(args);
    said(
        sandbox,
        command.env("NIX_REMOTE", "local").output().unwrap(),
    )
}

#[test]
fn without_nix_everything_is_as_it_was_and_asking_for_it_is_an_error() {
    let (sandbox, _tree) = tiny("");
    let path = path_without(&sandbox, &["nix-store"]);
    let with_path = |args: &[&str]| {
        let mut command = sandbox.kernel(args);
        said(&sandbox, command.env("PATH", &path).output().unwrap())
    };
    let plan = with_path(&["plan"]);
    assert!(
        plan.stdout
            .contains("\nbackend    host: it is not in kernel.lock\n"),
        "{}",
        plan.stdout
    );
    let hint =
        "hint: install Nix (Debian: `apt-get install nix-bin`), or build with `--backend host`";
    let nix = with_path(&["build", "--backend", "nix"]);
    assert_eq!(
        (nix.code, nix.stderr),
        (
            101,
            format!(
                "error: `tiny` cannot be built by the backend nix: Nix cannot be used: `nix-store` was not found on PATH\n{hint}"
            )
        )
    );
    let shell = with_path(&["build", "--shell"]);
    assert_eq!(
        (shell.code, shell.stderr),
        (
            101,
            format!("error: `nix-store` was not found on PATH\n{hint}")
        )
    );
}

#[test]
fn what_nix_cannot_build_as_the_host_does_is_refused_before_nix_is_asked() {
    let (sandbox, _tree) = tiny("");
    let rows: &[(&[&str], &str)] = &[
        (
            &["--make-target", "bzImage"],
            "`targets` is not for derivations\nhint: leave `targets` at its default, or build with `--backend host`",
        ),
        (
            &["--no-reproducible"],
            "it is not to be reproducible\nhint: leave `reproducible` on, or build with `--backend host`",
        ),
    ];
    for (args, why) in rows {
        let said = run(&sandbox, &[&["plan", "--backend", "nix"], *args].concat());
        let expected = format!("error: `tiny` cannot be built by the backend nix: {why}");
        assert_eq!((said.code, said.stderr), (101, expected));
    }
    let unknown = run(&sandbox, &["plan", "--backend", "nixx"]);
    assert!(
        unknown.stderr.contains("unknown backend `nixx`") && unknown.stderr.contains("`nix`"),
        "{}",
        unknown.stderr
    );
}

#[test]
fn a_nix_that_is_too_old_or_dies_is_named_with_the_way_out() {
    let (sandbox, _tree) = tiny("");
    let nix = ["plan", "--backend", "nix"];
    for (version, daemon, message) in [
        ("2.3.10", "exit 1", "Nix 2.3 is older than 2.8"),
        (
            "2.34.8",
            "exit 1",
            "the Nix daemon went away during the greeting",
        ),
        (
            "2.34.8",
            "head -c 8 > /dev/null; echo what is this thing",
            "does not answer as a Nix daemon does",
        ),
    ] {
        let said = with_nix(&sandbox, version, daemon, &nix);
        assert_eq!(said.code, 101);
        assert!(
            said.stderr.contains(message) && said.stderr.contains("--backend host"),
            "{}",
            said.stderr
        );
    }
    // Who did not ask for Nix is not stopped by it.
    let said = with_nix(&sandbox, "2.34.8", "exit 1", &["build"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let said = with_nix(&sandbox, "2.34.8", "exit 1", &["build", "--publish"]);
    assert_eq!(said.code, 101, "{}", said.stderr);
    let settings = run_json(&sandbox, &["plan"], 0).message("plan")["plan"].clone();
    assert_eq!(settings["backend_reason"]["kind"], "not-locked");
}

use super::{run, run_json};
use crate::support::{Sandbox, StandIn};

/// Runs `init` in a project whose Cargo.toml is `before`, and lists what is declared then.
fn check(before: Option<&str>, args: &[&str]) -> Sandbox {
    let sandbox = Sandbox::new();
    StandIn::new(&sandbox, "tree");
    if let Some(before) = before {
        sandbox.write("project/Cargo.toml", before);
        sandbox.write("project/src/lib.rs", "");
    }
    let args = [&["init"], args, &["--source", "../tree"]].concat();
    let said = run(&sandbox, &args);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let written = std::fs::read_to_string(sandbox.path("project/Cargo.toml")).unwrap();
    assert!(written.starts_with(before.unwrap_or_default()), "{written}");
    let listed = run_json(&sandbox, &["list"], 0).message("kernel");
    assert_eq!(listed["state"], "not built", "{listed}");

    let again = run(&sandbox, &args);
    assert_eq!(again.code, 101);
    assert!(
        again.stderr.contains("declares kernels already"),
        "{}",
        again.stderr
    );
    assert_eq!(
        std::fs::read_to_string(sandbox.path("project/Cargo.toml")).unwrap(),
        written
    );
    sandbox
}

const PACKAGE: &str = "[package]\nname = \"a\"\nversion = \"0.1.0\"\nedition = \"2021\"";

#[test]
fn a_starter_is_added_to_whatever_is_there_once() {
    check(None, &[]);
    check(Some(PACKAGE), &[]);
    check(Some("[workspace]\nmembers = []\n"), &["my-kernel"]);
    check(Some(&format!("{PACKAGE}\n\n[workspace]\n")), &[]);
}

#[test]
fn what_init_wrote_builds() {
    let sandbox = check(None, &["mine", "--preset", "tiny"]);
    let built = run(&sandbox, &["build"]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    assert!(
        built.stderr.contains("Built mine 6.12.117-tree-"),
        "{}",
        built.stderr
    );
}

#[test]
fn names_and_sources_are_checked_before_anything_is_written() {
    for args in [
        &["init", "my kernel"][..],
        &["init", "--source", ""],
        &["init", "--preset", "tinny"],
    ] {
        let sandbox = Sandbox::new();
        let said = run(&sandbox, args);
        assert_eq!(said.code, 101, "{args:?}: {}", said.stderr);
        assert!(!sandbox.path("project/Cargo.toml").exists(), "{args:?}");
    }
}

//! Make's configuration goals, resolved without make: the same bytes as the kernel's own make
//! writes, on real trees.

use std::process::Command;

use camino::Utf8Path;
use serde_json::Value;

use super::{run, run_json};
use crate::support::{Sandbox, require_tool, require_tree};

/// A make that only says its version, and what it was asked otherwise.
fn forbid_make(sandbox: &Sandbox) {
    let real = which("make");
    let log = sandbox.path("make.log");
    sandbox.tool(
        "make",
        &format!("test \"$1\" = --version && exec {real} --version\necho \"$*\" >>{log}\nexit 9"),
    );
}

fn which(tool: &str) -> String {
    let path = std::env::var("PATH").unwrap();
    kernelkit::effect::exec::find_on_path(tool, &path)
        .unwrap()
        .to_string()
}

/// What the tree's own make writes, with the plan's variables.
fn of_make(sandbox: &Sandbox, tree: &Utf8Path, variables: &Value, goals: &[&str]) -> String {
    let out = sandbox.path("out");
    let _ = std::fs::remove_dir_all(&out);
    std::fs::create_dir(&out).unwrap();
    let cargo = Utf8Path::new(env!("CARGO")).parent().unwrap();
    let output = Command::new(which("make"))
        .args(["-C", tree.as_str(), &format!("O={out}")])
        .args(
            variables
                .as_array()
                .unwrap()
                .iter()
                .map(|word| word.as_str().unwrap()),
        )
        .args(goals)
        .env_clear()
        .env(
            "PATH",
            format!("{cargo}:{}", std::env::var("PATH").unwrap()),
        )
        .env("HOME", sandbox.path("home"))
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{goals:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    std::fs::read_to_string(out.join(".config")).unwrap()
}

fn goals_are_those_of_make(series: &str, arch: &str, rows: &[&[&str]]) {
    let Some(tree) = require_tree(series) else {
        return;
    };
    if arch == "arm64" && !require_tool("aarch64-linux-gnu-gcc") {
        return;
    }
    for goals in rows {
        let sandbox = Sandbox::with_kernels(&format!(
            "[workspace.metadata.kernel.kernels.k]\nsource = \"{tree}\"\narch = \"{arch}\"\nmake = {goals:?}\n"
        ));
        forbid_make(&sandbox);
        let plan = run_json(&sandbox, &["plan"], 0).message("plan")["plan"].clone();
        assert_eq!(plan["config"]["resolver"], "native", "{goals:?}");
        let said = run(&sandbox, &["config", "show"]);
        assert_eq!(said.code, 0, "{goals:?}: {}", said.stderr);
        assert!(
            !sandbox.path("make.log").exists(),
            "{goals:?}: make was run"
        );
        let expected = of_make(&sandbox, &tree, &plan["toolchain"]["variables"], goals);
        let differs = said
            .stdout
            .lines()
            .zip(expected.lines())
            .find(|(ours, makes)| ours != makes);
        assert_eq!(differs, None, "{series} {arch} {goals:?}");
        assert!(said.stdout == expected, "{series} {arch} {goals:?}");
    }
}

#[test]
fn goals_of_6_1_are_those_of_make() {
    goals_are_those_of_make(
        "6.1",
        "x86_64",
        &[
            &["defconfig", "kvm_guest.config"],
            &["tinyconfig"],
            &["allnoconfig", "debug.config", "mod2noconfig"],
        ],
    );
}

#[test]
fn goals_of_6_12_are_those_of_make() {
    goals_are_those_of_make(
        "6.12",
        "x86_64",
        &[
            &["defconfig", "xen.config", "hardening.config"],
            &["i386_defconfig", "yes2modconfig"],
            &["tinyconfig", "kvm_guest.config"],
        ],
    );
    goals_are_those_of_make("6.12", "arm64", &[&["virtconfig"]]);
}

#[test]
fn goals_that_only_make_knows_are_still_planned() {
    let Some(tree) = require_tree("6.12") else {
        return;
    };
    let sandbox = Sandbox::with_kernels(&format!(
        "[workspace.metadata.kernel.kernels.k]\nsource = \"{tree}\"\narch = \"x86_64\"\nmake = [\"defconfig\", \"randconfig\"]\n"
    ));
    let plan = run_json(&sandbox, &["plan"], 0).message("plan")["plan"].clone();
    assert_eq!(plan["config"]["resolver"], "make");
    let again = run_json(&sandbox, &["plan"], 0).message("plan")["plan"].clone();
    assert_eq!(again["config"]["sha256"], plan["config"]["sha256"]);
}

#[test]
fn a_configuration_that_a_kernel_does_not_have_is_refused_with_the_nearest() {
    let Some(tree) = require_tree("6.12") else {
        return;
    };
    let check = |goal: &str, expected: &str| {
        let sandbox = Sandbox::with_kernels(&format!(
            "[workspace.metadata.kernel.kernels.k]\nsource = \"{tree}\"\narch = \"x86_64\"\nmake = \"{goal}\"\n"
        ));
        forbid_make(&sandbox);
        let said = run(&sandbox, &["plan"]);
        assert_eq!((said.code, said.stderr.as_str()), (101, expected));
        assert!(!sandbox.path("make.log").exists());
    };
    check(
        "x86_46_defconfig",
        "error: this kernel has no configuration `x86_46_defconfig` for x86_64\nhint: did you mean `x86_64_defconfig`?",
    );
    check(
        "kvm_gest.config",
        "error: this kernel has no configuration `kvm_gest.config` for x86_64\nhint: did you mean `kvm_guest.config`?",
    );
    // That of another architecture.
    check(
        "virtconfig",
        "error: this kernel has no configuration `virtconfig` for x86_64\nhint: `make ARCH=x86_64 help` in the source tree lists the goals",
    );
}

#[test]
fn a_tree_that_is_not_trusted_is_planned_without_running_its_commands() {
    let Some(tree) = require_tree("6.12") else {
        return;
    };
    let kernel = |make: &str| {
        Sandbox::with_kernels(&format!(
            "[workspace.metadata.kernel.kernels.k]\nsource = \"{tree}\"\narch = \"x86_64\"\nmake = \"{make}\"\n"
        ))
    };
    let sandbox = kernel("defconfig");
    let recorded = run(&sandbox, &["plan", "--record-probes", "probes"]);
    assert_eq!(recorded.code, 0, "{}", recorded.stderr);
    let shown = run(&sandbox, &["config", "show"]).stdout;
    std::fs::remove_dir_all(sandbox.path("cache/config")).unwrap();
    std::fs::remove_dir_all(sandbox.path("cache/probes")).unwrap();
    let again = run(&sandbox, &["config", "show", "--probes", "probes"]);
    assert_eq!(
        (again.code, again.stdout == shown),
        (0, true),
        "{}",
        again.stderr
    );
    let without = run(&sandbox, &["config", "show", "--probes", "none"]);
    assert_eq!(without.code, 0, "{}", without.stderr);
    assert!(without.stdout.contains("\nCONFIG_SMP=y\n"));
    assert!(!sandbox.path("cache/probes").exists() && !sandbox.path("cache/config").exists());

    sandbox.write("project/probes", "echo\t1\n");
    let missing = run(&sandbox, &["plan", "--probes", "probes"]);
    assert_eq!(missing.code, 101);
    assert!(
        missing
            .stderr
            .contains("caused by: the command is not among the recorded probes"),
        "{}",
        missing.stderr
    );
    sandbox.write("project/probes", "no tab\n");
    let malformed = run(&sandbox, &["plan", "--probes", "probes"]);
    assert_eq!(
        malformed.stderr,
        "error: [sandbox]/project/probes:1: not a recorded probe\nhint: write the file with `cargo kernel plan --record-probes FILE`"
    );
    let built = run(&sandbox, &["build", "--probes", "none"]);
    assert_eq!(
        (built.code, built.stderr.as_str()),
        (
            101,
            "error: `--probes` is for plans: a build runs the tree's own commands\nhint: leave it out"
        )
    );
    let by_make = run(&kernel("randconfig"), &["plan", "--probes", "none"]);
    assert_eq!(
        (by_make.code, by_make.stderr.as_str()),
        (
            101,
            "error: only the kernel's own make knows this configuration\nhint: leave out `--probes`, if the tree may run its commands"
        )
    );
}

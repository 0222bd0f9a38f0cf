use camino::Utf8Path;

use super::build::installed;
use crate::support::{Sandbox, require_tool, require_tree};

/// Builds `tiny` of a real kernel, boots it, and compares what it calls itself with the plan.
fn check(series: &str) -> Option<Sandbox> {
    let tree = require_tree(series)?;
    if !require_tool("qemu-system-x86_64") || !require_tool("ccache") {
        return None;
    }
    let sandbox = Sandbox::with_kernels(&format!(
        "[workspace.metadata.kernel.kernels.tiny]\nsource = \"{tree}\"\npreset = \"tiny\"\narch = \"x86_64\"\ndebug = true\n"
    ));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let plan = sandbox
        .kernel(&["plan", "--message-format", "json"])
        .output()
        .unwrap();
    assert!(plan.status.success(), "{}", text(plan.stderr));
    let first = text(plan.stdout);
    let plan: serde_json::Value = serde_json::from_str(first.lines().next().unwrap()).unwrap();
    let booted = sandbox
        .kernel(&["boot", "tiny", "--check", "--accel", "tcg"])
        .output()
        .unwrap();
    let messages = text(booted.stderr);
    assert!(booted.status.success(), "{messages}");
    assert!(messages.contains("Loaded"), "{messages}");
    assert_eq!(
        text(booted.stdout).trim(),
        plan["plan"]["release"].as_str().unwrap()
    );
    Some(sandbox)
}

#[test]
fn tiny_6_1_boots_as_predicted_and_loads_its_module() {
    check("6.1");
}

/// With debug information, which is where directories would show.
#[test]
fn tiny_6_12_has_the_same_bytes_in_another_directory_and_boots() {
    let Some(sandbox) = check("6.12") else {
        return;
    };
    let toml = std::fs::read_to_string(sandbox.path("project/Cargo.toml")).unwrap();
    sandbox.write("deep/er/elsewhere/Cargo.toml", &toml);
    let elsewhere = sandbox.path("deep/er/elsewhere");
    sandbox
        .kernel_in(&elsewhere, &["build", "--no-reuse", "--no-ccache"])
        .assert()
        .success();
    let state = "target/kernel/tiny";
    let (one, other) = (sandbox.path("project").join(state), elsewhere.join(state));
    for file in ["vmlinux", "System.map", "Module.symvers"] {
        let read = |state: &Utf8Path| std::fs::read(state.join("build").join(file)).unwrap();
        assert!(read(&one) == read(&other), "{file} differs");
    }
    let (one, other) = (installed(&one), installed(&other));
    assert!(
        one.keys()
            .any(|name| name.as_str().ends_with("test_module.ko"))
    );
    assert!(one.keys().eq(other.keys()));
    for (name, bytes) in &one {
        assert!(bytes == &other[name], "{name} differs");
    }
}

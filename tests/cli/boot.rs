use crate::support::{Sandbox, require_tool, require_tree};

/// Builds `tiny` of a real kernel, boots it, and compares what it calls itself with the plan.
fn check(series: &str) {
    let Some(tree) = require_tree(series) else {
        return;
    };
    if !require_tool("qemu-system-x86_64") {
        return;
    }
    let sandbox = Sandbox::with_kernels(&format!(
        "[workspace.metadata.kernel.kernels.tiny]\nsource = \"{tree}\"\npreset = \"tiny\"\narch = \"x86_64\"\n"
    ));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let plan = sandbox
        .kernel(&["plan", "--message-format", "json"])
        .output()
        .unwrap();
    assert!(plan.status.success(), "{}", text(plan.stderr));
    let plan: serde_json::Value = serde_json::from_slice(&plan.stdout).unwrap();
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
}

#[test]
fn tiny_6_1_boots_as_predicted_and_loads_its_module() {
    check("6.1");
}

#[test]
fn tiny_6_12_boots_as_predicted_and_loads_its_module() {
    check("6.12");
}

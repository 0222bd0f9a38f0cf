use super::{TINY, run, run_json};
use crate::support::{Sandbox, StandIn};

#[test]
fn the_state_of_each_kernel_is_told() {
    let second = TINY
        .replace("kernels.tiny", "kernels.other")
        .replace("../tree", "../nothing");
    let sandbox = Sandbox::with_kernels(&format!("{TINY}{second}"));
    let tree = StandIn::new(&sandbox, "tree");
    let states = || {
        let said = run_json(&sandbox, &["list"], 0);
        let mut states = Vec::new();
        for kernel in said.messages() {
            assert_eq!(
                kernel["release"].is_null(),
                kernel["name"] == "other",
                "{kernel}"
            );
            let error = kernel["error"].as_str().unwrap_or_default();
            assert_eq!(
                error.contains("is not a kernel tree"),
                kernel["name"] == "other",
                "{kernel}"
            );
            states.push(format!(
                "{}: {}",
                kernel["name"].as_str().unwrap(),
                kernel["state"].as_str().unwrap()
            ));
        }
        states.sort();
        states.join(", ")
    };
    assert_eq!(states(), "other: cannot be planned, tiny: not built");
    assert_eq!(run(&sandbox, &["build", "tiny"]).code, 0);
    assert_eq!(states(), "other: cannot be planned, tiny: built");
    assert_eq!(run(&sandbox, &["clean"]).code, 0);
    assert_eq!(states(), "other: cannot be planned, tiny: in the store");
    assert_eq!(run(&sandbox, &["build", "tiny"]).code, 0);
    let _tree = tree.edit("lib/string.c", |text| format!("{text}/* edited */\n"));
    assert_eq!(
        states(),
        "other: cannot be planned, tiny: changed since it was built"
    );
}

#[test]
fn a_list_is_a_table() {
    let second = TINY
        .replace("kernels.tiny", "kernels.a-longer-name")
        .replace("preset = \"tiny\"", "make = \"defconfig\"");
    let sandbox = Sandbox::with_kernels(&format!(
        "{TINY}arch = \"x86_64\"\n{second}arch = \"x86_64\"\n"
    ));
    let _tree = StandIn::new(&sandbox, "tree");
    let said = run(&sandbox, &["list"]);
    insta::assert_snapshot!(sandbox.redact(&said.stdout), @r"
    tiny           x86_64  preset tiny     6.12.117-tree-[digest]  (not built)
    a-longer-name  x86_64  make defconfig  6.12.117-tree-[digest]  (not built)
    ");
    let one = run(&sandbox, &["list", "a-*"]);
    assert_eq!(one.stdout.lines().count(), 1, "{}", one.stdout);
}

use insta::assert_snapshot;
use serde_json::Value;

use super::{TINY, left_behind, run, run_json, tiny};
use crate::support::{Sandbox, StandIn};

fn edit(old: &str, new: &str) -> String {
    format!(
        "--- a/kernel/sched.c\n+++ b/kernel/sched.c\n@@ -4,7 +4,7 @@\n int schedule(void)\n {{\n #ifdef CONFIG_SMP\n-\treturn {old};\n+\treturn {new};\n #else\n \treturn 1;\n #endif\n"
    )
}

/// Two kernels with patches of every kind, and a later version of the tree beside theirs.
fn patched() -> (Sandbox, [StandIn; 2]) {
    let settings = r#"patches = [
    "patches/6.12",
    { path = "patches/old.patch", version = "<6.12" },
    { path = "patches/arm.patch", arch = "arm64" },
]
"#;
    let sandbox = Sandbox::with_kernels(&format!(
        "{TINY}arch = \"x86_64\"\n{settings}\n{}arch = \"arm64\"\n{settings}",
        TINY.replace("tiny]", "other]")
    ));
    sandbox.write(
        "project/patches/6.12/series",
        "two.patch # first\nthree.patch -p1\n",
    );
    sandbox.write("project/patches/6.12/two.patch", &edit("2", "3"));
    sandbox.write("project/patches/6.12/three.patch", &edit("3", "4"));
    sandbox.write("project/patches/old.patch", &edit("2", "0"));
    sandbox.write(
        "project/patches/arm.patch",
        "--- /dev/null\n+++ b/arch/arm64/new\n@@ -0,0 +1 @@\n+x\n",
    );
    let tree = StandIn::new(&sandbox, "tree");
    let later = StandIn::new(&sandbox, "later")
        .version(["6", "12", "120", ""])
        .edit("kernel/sched.c", |text| {
            text.replace("return 2;", "return 3;")
        });
    (sandbox, [tree, later])
}

#[test]
fn each_kernel_says_which_patches_it_gets_and_why() {
    let (sandbox, _trees) = patched();
    let said = run(&sandbox, &["patches", "list"]);
    assert_snapshot!(said.stdout, @r"
    tiny: 4 patches
      (not patches/arm.patch: it is for other architectures; from patches/arm.patch (arm64))
      patches/6.12/two.patch  from patches/6.12
      patches/6.12/three.patch  from patches/6.12
      (not patches/old.patch: it is for other versions than 6.12.117; from patches/old.patch (<6.12))
    other: 4 patches
      patches/arm.patch  from patches/arm.patch (arm64)
      patches/6.12/two.patch  from patches/6.12
      patches/6.12/three.patch  from patches/6.12
      (not patches/old.patch: it is for other versions than 6.12.117; from patches/old.patch (<6.12))
    ");
}

#[test]
fn patches_of_a_flavour_are_for_its_kernels() {
    let settings = "patches = [\"all.patch\", { path = \"kvm.patch\", flavour = \"kvm\" }]\n";
    let sandbox = Sandbox::with_kernels(&format!(
        "[workspace.metadata.kernel.flavours.kvm]\n{TINY}{settings}{}{settings}flavour = \"kvm\"\n",
        TINY.replace("tiny]", "guest]")
    ));
    let _tree = StandIn::new(&sandbox, "tree");
    sandbox.write("project/all.patch", &edit("2", "3"));
    sandbox.write(
        "project/kvm.patch",
        "--- /dev/null\n+++ b/kernel/kvm\n@@ -0,0 +1 @@\n+x\n",
    );
    assert_snapshot!(run(&sandbox, &["patches", "list"]).stdout, @r"
    tiny: 2 patches
      (not kvm.patch: it is for other flavours; from kvm.patch (kvm))
      all.patch  from all.patch
    guest: 2 patches
      kvm.patch  from kvm.patch (kvm)
      all.patch  from all.patch
    ");
    // A flavour that nobody declares is a slip.
    let wrong = Sandbox::with_kernels(&format!(
        "[workspace.metadata.kernel.flavours.kvm]\n{TINY}{}",
        settings.replace("\"kvm\"", "\"kvn\"")
    ));
    let said = run(&wrong, &["patches", "list"]).stderr;
    assert!(
        said.contains("are for an unknown flavour `kvn`") && said.contains("did you mean `kvm`?"),
        "{said}"
    );
}

#[test]
fn what_a_later_version_breaks_is_told_for_all_kernels_at_once() {
    let (sandbox, _trees) = patched();
    assert_eq!(run(&sandbox, &["patches", "check"]).code, 0);
    // The first patch is in the later tree, and so the second one applies.
    let said = run_json(&sandbox, &["patches", "check", "--to", "../later"], 100);
    let results: Vec<(String, String)> = said
        .messages()
        .iter()
        .filter(|message| message["reason"] == "patch-check")
        .map(|message| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            assert_eq!(message["version"], "6.12.120");
            (text(&message["patch"]), text(&message["result"]["outcome"]))
        })
        .collect();
    let expect = |path: &str, outcome: &str| (path.to_owned(), outcome.to_owned());
    let common = [
        expect("patches/6.12/two.patch", "already-applied"),
        expect("patches/6.12/three.patch", "applies"),
        expect("patches/old.patch", "other-version"),
    ];
    assert_eq!(results[..3], common);
    assert_eq!(results[3], expect("patches/arm.patch", "applies"));
    assert_eq!(results[4..], common);
    sandbox.write("project/patches/6.12/two.patch", &edit("7", "8"));
    let said = run(&sandbox, &["patches", "check", "tiny"]);
    assert_eq!(said.code, 100);
    for part in [
        "0 apply, 0 are in the tree already, 2 break\n      breaks patches/6.12/two.patch\n",
        "                 -\treturn 7;\n                 +\treturn 8;\n",
        "                !\treturn 2;\n",
        "      breaks patches/6.12/three.patch\n             after patches/6.12/two.patch, which does not apply\n",
        "  not for it patches/old.patch\n",
    ] {
        assert!(said.stdout.contains(part), "{part} in {}", said.stdout);
    }
    assert_eq!(left_behind(&sandbox), [""; 0]);
}

#[test]
fn a_broken_patch_is_refused_with_its_hunk() {
    let (sandbox, _tree) = tiny("patches = [\"bad.patch\"]\n");
    sandbox.write("project/bad.patch", &edit("7", "8"));
    let said = run(&sandbox, &["build"]);
    assert_eq!(said.code, 101);
    assert_eq!(
        said.stderr,
        "error: [sandbox]/project/bad.patch does not apply to kernel/sched.c, hunk 1\n  \
         kernel/sched.c, hunk 1\n      \
         @@ -4,7 +4,7 @@\n       \
         int schedule(void)\n       \
         {\n       \
         #ifdef CONFIG_SMP\n      \
         -\treturn 7;\n      \
         +\treturn 8;\n       \
         #else\n      \x20\treturn 1;\n       \
         #endif\n    \
         the tree has at line 4 (`!` marks what differs):\n      \
         int schedule(void)\n      \
         {\n      \
         #ifdef CONFIG_SMP\n     \
         !\treturn 2;\n      \
         #else\n      \treturn 1;\n      \
         #endif\n\
         hint: was it made for this version, and are the patches in order? `cargo kernel patches check` tries them all"
    );
    sandbox.write("project/bad.patch", &edit("1", "2"));
    let said = run(&sandbox, &["plan"]);
    assert_snapshot!(said.stderr, @r#"
    error: [sandbox]/project/bad.patch is already applied
    hint: drop it for this version: `{ path = "…", version = "<…" }` keeps it for older ones
    "#);
    assert_eq!(left_behind(&sandbox), [""; 0]);
}

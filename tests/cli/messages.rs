//! `--message-format json`, and the page that documents it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Said, TINY, run, run_json, tiny};
use crate::support::{Sandbox, StandIn, root};

/// The reasons in the table of the book's page.
fn documented() -> BTreeSet<String> {
    let page = std::fs::read_to_string(root().join("book/src/reference/interface.md")).unwrap();
    let table = page.split_once("| Reason |").unwrap().1;
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let reasons: BTreeSet<_> = rows
        .map(|row| row.split('`').nth(1).unwrap().to_owned())
        .collect();
    assert!(reasons.len() > 10, "{reasons:?}");
    reasons
}

fn reasons(said: &Said) -> Vec<String> {
    let messages = said.messages();
    messages
        .iter()
        .map(|message| message["reason"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn every_reason_is_documented_and_seen() {
    let (sandbox, tree) = tiny(
        "fragments = [\"fs/mine\"]\n\n[workspace.metadata.kernel]\nfragment-dirs = [\"fragments\"]\n",
    );
    // One that warns, and one whose wish is not granted.
    sandbox.write(
        "project/fragments/fs/mine.config",
        "# summary: mine\n# optional: GONE\n# CONFIG_PRINTK is not set\nCONFIG_GONE=y\n",
    );
    sandbox.tool("sendmail", "cat >/dev/null");
    let mut seen = BTreeSet::new();
    let build = ["build", "--release-template", "{version}"];
    seen.extend(reasons(&run_json(&sandbox, &build, 0)));
    let free = ["store", "forget", "--release", "6.12.117"];
    seen.extend(reasons(&run_json(&sandbox, &free, 0)));
    let tree = tree.edit("lib/string.c", |text| format!("{text}int one;\n"));
    seen.extend(reasons(&run_json(
        &sandbox,
        &["build", "--label", "other"],
        0,
    )));
    for (args, code) in [
        (&["list"][..], 0),
        (&["matrix"], 0),
        (&["plan"], 0),
        (&["build", "--tmpfs"], 0),
        (&["report", "--mail", "you@example.org"], 0),
        (&["identity"], 0),
        (&["identity", "--diff"], 0),
        (&["config", "show"], 0),
        (&["config", "requests"], 0),
        (&["config", "check"], 0),
        (&["doctor"], 0),
        (&["store", "list"], 0),
        (&["store", "verify"], 0),
        (&["store", "prune", "--keep", "0"], 0),
        (&["store", "releases"], 0),
        (&["build", "nobody"], 101),
    ] {
        seen.extend(reasons(&run_json(&sandbox, args, code)));
    }
    sandbox.write(
        "project/new.patch",
        "--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+x\n",
    );
    for command in ["list", "check"] {
        let args = ["patches", command, "--patch", "new.patch"];
        seen.extend(reasons(&run_json(&sandbox, &args, 0)));
    }
    // The native engine reads trees that say which rules they follow.
    sandbox.write("tree/scripts/kconfig/symbol.c", "/* choice_members */\n");
    sandbox.write("project/other.config", "CONFIG_SMP=y\n");
    for (args, code) in [
        (&["config", "explain", "PRINTK"][..], 0),
        (&["config", "search", "printk"], 0),
        (&["config", "diff", "tiny", "other.config"], 100),
        (&["config", "upgrade", "tiny", "--to", "../tree"], 0),
        (&["config", "save", "tiny", "--defconfig"], 0),
    ] {
        seen.extend(reasons(&run_json(&sandbox, args, code)));
    }
    // Of two kernels one cannot be planned, so that nothing is built.
    let two = Sandbox::with_kernels(&format!(
        "{TINY}[workspace.metadata.kernel.kernels.other]\nsource = \"../gone\"\npreset = \"tiny\"\n"
    ));
    let _tree = StandIn::new(&two, "tree");
    let batch = run_json(&two, &["build", "--all", "--fail-fast"], 101);
    seen.extend(reasons(&batch));
    // They take a kernel that boots, one from a repository that may move, or Nix.
    let others = [
        "boot",
        "boot-started",
        "console",
        "locked",
        "tree",
        "unlocked",
        "published",
        "registered",
        "derivation",
        "source-moved",
        "round-finished",
        "objects-borrowed",
    ]
    .map(str::to_owned);
    seen.extend(others);
    assert_eq!(seen, documented());
    drop(tree);
}

#[test]
fn a_build_ends_with_its_success() {
    let (sandbox, tree) = tiny("");
    let finished = |said: &Said, success: bool| {
        let messages = said.messages();
        let last = messages.last().unwrap();
        assert_eq!(
            *last,
            serde_json::json!({"reason": "build-finished", "success": success})
        );
        assert_eq!(said.stderr, "");
    };
    let built = run_json(&sandbox, &["build"], 0);
    finished(&built, true);
    let stages: Vec<Value> = built
        .messages()
        .into_iter()
        .filter(|message| message["reason"] == "stage-finished")
        .collect();
    let names: Vec<_> = stages
        .iter()
        .map(|message| message["stage"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "configure",
            "compile",
            "install",
            "install",
            "install",
            "install",
            "devtools"
        ]
    );
    finished(&run_json(&sandbox, &["build"], 0), true);
    finished(&run_json(&sandbox, &["plan"], 0), true);

    let _tree = tree.edit("lib/string.c", |text| format!("{text}#error on fire\n"));
    let failed = run_json(&sandbox, &["build"], 101);
    finished(&failed, false);
    let error = failed.message("error");
    assert_eq!(error["message"], "compile failed");
    let details = error["details"].as_array().unwrap();
    assert!(
        details
            .iter()
            .any(|line| line.as_str().unwrap().contains("#error on fire")),
        "{error}"
    );
    assert!(
        error["hint"].as_str().unwrap().contains("compile.log"),
        "{error}"
    );
    finished(
        &run_json(&sandbox, &["plan", "--preset", "tinny"], 101),
        false,
    );
}

#[test]
fn data_is_on_standard_output_and_everything_else_is_not() {
    let (sandbox, _tree) = tiny("");
    let built = run(&sandbox, &["build"]);
    assert_eq!(built.stdout, "");
    let lines: Vec<_> = built
        .stderr
        .lines()
        .map(|line| line.split_whitespace().next().unwrap())
        .collect();
    assert_eq!(
        lines[..3],
        ["Building", "Built", "Image"],
        "{}",
        built.stderr
    );
    let quiet = run(&sandbox, &["build", "-q", "--no-reuse"]);
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
    let loud = run(&sandbox, &["build", "-v", "--no-reuse"]);
    assert!(loud.stderr.contains(" make -C "), "{}", loud.stderr);
    assert!(!run(&sandbox, &["plan"]).stdout.is_empty());
}

#[test]
fn colours_follow_the_flag_then_the_environment() {
    let (sandbox, _tree) = tiny("");
    let coloured = |args: &[&str], variables: &[(&str, &str)]| {
        let mut command = sandbox.kernel(&[&["build"], args].concat());
        let output = command.envs(variables.iter().copied()).output().unwrap();
        assert!(output.status.success());
        output.stderr.contains(&0x1b)
    };
    assert!(!coloured(&[], &[]), "no terminal");
    assert!(coloured(
        &["--color", "always"],
        &[("NO_COLOR", "1"), ("CARGO_TERM_COLOR", "never")]
    ));
    assert!(coloured(&[], &[("CARGO_TERM_COLOR", "always")]));
    assert!(!coloured(
        &["--color", "never"],
        &[("CARGO_TERM_COLOR", "always")]
    ));
}

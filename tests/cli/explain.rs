//! `config explain`, `search` and `check`, on a tree that the native engine reads.

use insta::assert_snapshot;

use super::{TINY, run, run_json, tiny};
use crate::support::{Sandbox, StandIn};

/// A kernel `tiny` with a fragment `fs/mine` of the user's, and a tree whose sources say which
/// Kconfig rules it follows.
fn mine(fragment: &str) -> (Sandbox, StandIn) {
    let (sandbox, tree) = tiny(
        "fragments = [\"fs/mine\"]\n\n[workspace.metadata.kernel]\nfragment-dirs = [\"fragments\"]\n",
    );
    sandbox.write("project/fragments/fs/mine.config", fragment);
    sandbox.write("tree/scripts/kconfig/symbol.c", "/* choice_members */\n");
    sandbox.write(
        "tree/arch/arm64/Kconfig",
        "# Only this architecture has it.\nconfig ARM64_THING\n\tbool \"thing\"\n",
    );
    (sandbox, tree)
}

fn explain(fragment: &str, symbols: &[&str]) -> String {
    let (sandbox, _tree) = mine(fragment);
    let said = run(&sandbox, &[&["config", "explain"], symbols].concat());
    assert_eq!(said.code, 0, "{}", said.stderr);
    sandbox.redact(&said.stdout)
}

const NOTHING: &str = "# summary: mine\n";

#[test]
fn a_value_is_explained_from_its_lines() {
    assert_snapshot!(explain(NOTHING, &["CONFIG_GDB_SCRIPTS"]), @r"
    GDB_SCRIPTS=n  bool, not in .config
    because     nothing sets it
    prompt      GDB helpers (not visible)
    defined     Kconfig:161
    depends on  n  DEBUG_INFO_DWARF5 && !DEBUG_INFO_REDUCED  Kconfig:163
                ├─ n  DEBUG_INFO_DWARF5  Kconfig:129, nothing sets it
                └─ y  !DEBUG_INFO_REDUCED  Kconfig:157, nothing sets it
    ");
    assert_snapshot!(explain("# summary: mine\nCONFIG_BLOCK=y\nCONFIG_EXT4_FS=m\n", &["EXT4_FS"]), @r"
    EXT4_FS=m  tristate
    because     set at [sandbox]/project/fragments/fs/mine.config:3
    prompt      ext4
    defined     Kconfig:100
    depends on  y  BLOCK  Kconfig:102
                └─ y  BLOCK  Kconfig:96, set at [sandbox]/project/fragments/fs/mine.config:2
    asked for   m at [sandbox]/project/fragments/fs/mine.config:3
    ");
}

#[test]
fn what_a_value_would_take_is_told() {
    assert_snapshot!(explain(NOTHING, &["GDB_SCRIPTS=y"]), @r"
    GDB_SCRIPTS=n  bool, not in .config
    because     nothing sets it
    prompt      GDB helpers (not visible)
    defined     Kconfig:161
    depends on  n  DEBUG_INFO_DWARF5 && !DEBUG_INFO_REDUCED  Kconfig:163
                ├─ n  DEBUG_INFO_DWARF5  Kconfig:129, nothing sets it
                └─ y  !DEBUG_INFO_REDUCED  Kconfig:157, nothing sets it
    CONFIG_GDB_SCRIPTS=y does not hold: its prompt is not visible: it depends on `DEBUG_INFO_DWARF5 && !DEBUG_INFO_REDUCED` (Kconfig:163), but DEBUG_INFO_DWARF5 is n
    help: add to a fragment
    CONFIG_DEBUG_KERNEL=y
    CONFIG_DEBUG_INFO_DWARF5=y
    CONFIG_GDB_SCRIPTS=y
    ");
    assert_snapshot!(explain(NOTHING, &["PRINTK=y"]), @r"
    PRINTK=y  bool
    because     set at core/boot.config:4
    prompt      printk
    defined     Kconfig:35
    default     y  Kconfig:37
    asked for   y at core/boot.config:4
    CONFIG_PRINTK=y holds
    ");
}

#[test]
fn symbols_that_are_not_there_lead_to_those_that_are() {
    let (sandbox, _tree) = mine(NOTHING);
    let said = run(
        &sandbox,
        &[
            "config",
            "explain",
            "EXT4FS",
            "ARM64_THING",
            "RETPOLINE",
            "NONSENSE",
        ],
    );
    assert_eq!(said.code, 100, "{}", said.stderr);
    assert_snapshot!(sandbox.redact(&said.stdout), @r"
    EXT4FS  no Kconfig file of this kernel defines it
    similar     EXT4_FS

    ARM64_THING  ARM64_THING exists only for arm64 (arch/arm64/Kconfig:2)

    RETPOLINE  it is gone by 6.12; MITIGATION_RETPOLINE took its place

    NONSENSE  no Kconfig file of this kernel defines it
    ");
}

#[test]
fn each_request_that_does_not_hold_is_shown_at_its_line() {
    let (sandbox, _tree) = mine(
        "# summary: mine\n# optional: GONE\n\nCONFIG_GDB_SCRIPTS=y\nCONFIG_EXT4_FSS=m\nCONFIG_ARM64_THING=y\nCONFIG_GONE=y\n",
    );
    let said = run(&sandbox, &["config", "check"]);
    assert_eq!(said.code, 100, "{}", said.stderr);
    assert_snapshot!(sandbox.redact(&said.stdout), @r"
    error: request CONFIG_GDB_SCRIPTS=y does not hold
     --> [sandbox]/project/fragments/fs/mine.config:4:1
      |
    4 | CONFIG_GDB_SCRIPTS=y
      | ^^^^^^^^^^^^^^^^^^^^ it is not in the configuration
      |
      = note: its prompt is not visible: it depends on `DEBUG_INFO_DWARF5 && !DEBUG_INFO_REDUCED` (Kconfig:163), but DEBUG_INFO_DWARF5 is n
    help: add to fs/mine.config
    CONFIG_DEBUG_KERNEL=y
    CONFIG_DEBUG_INFO_DWARF5=y

    error: request CONFIG_EXT4_FSS=m does not hold
     --> [sandbox]/project/fragments/fs/mine.config:5:1
      |
    5 | CONFIG_EXT4_FSS=m
      | ^^^^^^^^^^^^^^^^^ it is not in the configuration
      |
      = note: no Kconfig file of this kernel mentions EXT4_FSS; did you mean EXT4_FS?

    error: request CONFIG_ARM64_THING=y does not hold
     --> [sandbox]/project/fragments/fs/mine.config:6:1
      |
    6 | CONFIG_ARM64_THING=y
      | ^^^^^^^^^^^^^^^^^^^^ it is not in the configuration
      |
      = note: ARM64_THING exists only for arm64 (arch/arm64/Kconfig:2)

    note: optional request CONFIG_GONE=y does not hold
     --> [sandbox]/project/fragments/fs/mine.config:7:1
      |
    7 | CONFIG_GONE=y
      | ^^^^^^^^^^^^^ it is not in the configuration
      |
      = note: no Kconfig file of this kernel mentions GONE
    ");
    let said = run(&sandbox, &["build"]);
    assert_eq!(said.code, 101, "{}", said.stdout);
    assert_snapshot!(said.stderr, @r"
    error: request CONFIG_GDB_SCRIPTS=y does not hold
     --> [sandbox]/project/fragments/fs/mine.config:4:1
      |
    4 | CONFIG_GDB_SCRIPTS=y
      | ^^^^^^^^^^^^^^^^^^^^ it is not in the configuration
      |
      = note: its prompt is not visible: it depends on `DEBUG_INFO_DWARF5 && !DEBUG_INFO_REDUCED` (Kconfig:163), but DEBUG_INFO_DWARF5 is n
    help: add to fs/mine.config
    CONFIG_DEBUG_KERNEL=y
    CONFIG_DEBUG_INFO_DWARF5=y

    error: request CONFIG_EXT4_FSS=m does not hold
     --> [sandbox]/project/fragments/fs/mine.config:5:1
      |
    5 | CONFIG_EXT4_FSS=m
      | ^^^^^^^^^^^^^^^^^ it is not in the configuration
      |
      = note: no Kconfig file of this kernel mentions EXT4_FSS; did you mean EXT4_FS?

    error: request CONFIG_ARM64_THING=y does not hold
     --> [sandbox]/project/fragments/fs/mine.config:6:1
      |
    6 | CONFIG_ARM64_THING=y
      | ^^^^^^^^^^^^^^^^^^^^ it is not in the configuration
      |
      = note: ARM64_THING exists only for arm64 (arch/arm64/Kconfig:2)

    error: 3 requested symbols are not in the configuration of `tiny`
    hint: `cargo kernel config explain GDB_SCRIPTS --kernel tiny` shows every condition
    ");

    let unmet = run_json(&sandbox, &["config", "check"], 100).messages();
    assert_eq!(unmet.len(), 4);
    assert_eq!(unmet[0]["unmet"]["line"], "CONFIG_GDB_SCRIPTS=y");
    assert_eq!(
        unmet[0]["unmet"]["repair"]["add"][0]["symbol"],
        "CONFIG_DEBUG_KERNEL"
    );
    let plan = run_json(&sandbox, &["plan"], 101).messages();
    let reasons: Vec<_> = plan
        .iter()
        .map(|message| message["reason"].as_str().unwrap())
        .collect();
    assert_eq!(
        reasons,
        ["unmet", "unmet", "unmet", "error", "build-finished"]
    );
    assert_eq!(plan[0]["kernel"], "tiny");
}

#[test]
fn the_fix_that_is_shown_makes_the_request_hold() {
    let asked = "# summary: mine\n\nCONFIG_GDB_SCRIPTS=y\n";
    let (sandbox, _tree) = mine(asked);
    let said = run(&sandbox, &["config", "check"]);
    assert_eq!(said.code, 100, "{}", said.stderr);
    let (_, lines) = said
        .stdout
        .split_once("help: add to fs/mine.config\n")
        .unwrap();
    sandbox.write(
        "project/fragments/fs/mine.config",
        &format!("{asked}{lines}"),
    );
    let said = run(&sandbox, &["config", "check"]);
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
}

#[test]
fn optional_requests_are_notes() {
    let (sandbox, _tree) = mine("# summary: mine\n# optional: GONE\n\nCONFIG_GONE=y\n");
    let said = run(&sandbox, &["config", "check"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert_snapshot!(sandbox.redact(&said.stdout), @r"
    note: optional request CONFIG_GONE=y does not hold
     --> [sandbox]/project/fragments/fs/mine.config:4:1
      |
    4 | CONFIG_GONE=y
      | ^^^^^^^^^^^^^ it is not in the configuration
      |
      = note: no Kconfig file of this kernel mentions GONE
    ");
}

#[test]
fn symbols_are_found_by_words() {
    let (sandbox, _tree) = mine(NOTHING);
    let said = run(&sandbox, &["config", "search", "serial", "console"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert_snapshot!(said.stdout, @r"
    SERIAL_8250_CONSOLE=y  Console on an 8250 serial port
        Kconfig:54
    SERIAL_AMBA_PL011_CONSOLE=n  Console on a PL011 serial port
        Kconfig:66
    ");
    let found = run_json(&sandbox, &["config", "search", "--limit", "1", "EXT4"], 0).messages();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["symbol"]["symbol"], "EXT4_FS");
    assert_eq!(
        run(&sandbox, &["config", "search", "no such word"]).code,
        100
    );
}

#[test]
fn an_explanation_is_data_too() {
    let (sandbox, _tree) = mine("# summary: mine\nCONFIG_BLOCK=y\nCONFIG_EXT4_FS=y\n");
    let said = run_json(
        &sandbox,
        &["config", "explain", "EXT4_FS=n", "NONSENSE"],
        100,
    );
    let messages = said.messages();
    assert_eq!(messages.len(), 2);
    let explanation = &messages[0]["explanation"];
    assert_eq!(explanation["value"], "y");
    assert_eq!(explanation["kind"], "tristate");
    assert_eq!(explanation["origin"]["input"]["line"], 3);
    assert_eq!(explanation["dependencies"][0]["term"]["is"], "symbol");
    assert_eq!(messages[0]["refusal"]["reason"]["overwritten"]["line"], 3);
    assert_eq!(messages[1]["explanation"], serde_json::Value::Null);
    assert!(messages[1]["absent"].is_object());
}

#[test]
fn questions_that_make_no_sense_are_refused() {
    let (sandbox, _tree) = mine(NOTHING);
    for (args, code) in [
        (&["config", "explain"][..], 2),
        (&["config", "explain", ""], 2),
        (&["config", "explain", "EXT4-FS"], 2),
        (&["config", "explain", "=y"], 2),
        (&["config", "explain", "EXT4_FS", "--kernel", "none"], 101),
        (&["config", "search"], 2),
        (&["config", "search", ""], 100),
        (&["config", "check", "none"], 101),
    ] {
        let said = run(&sandbox, args);
        assert_eq!(said.code, code, "{args:?}: {}{}", said.stdout, said.stderr);
        assert!(
            !said.stderr.contains("panicked"),
            "{args:?}: {}",
            said.stderr
        );
    }
}

#[test]
fn a_tree_that_cannot_be_asked_is_named() {
    let (sandbox, _tree) = mine(NOTHING);
    std::fs::remove_file(sandbox.path("tree/Kconfig")).unwrap();
    let said = run(&sandbox, &["config", "explain", "EXT4_FS"]);
    assert_eq!(said.code, 101, "{}", said.stdout);
    assert!(said.stderr.contains("Kconfig"), "{}", said.stderr);

    let sandbox = Sandbox::with_kernels(TINY);
    let _tree = StandIn::new(&sandbox, "tree");
    let said = run(&sandbox, &["config", "explain", "EXT4_FS"]);
    assert_eq!(said.code, 101, "{}", said.stdout);
    assert_snapshot!(said.stderr, @r"
    error: the configuration of `tiny` comes from the kernel's own make, which explains nothing
    hint: start from a preset, from fragments or from a `.config` file
    ");
}

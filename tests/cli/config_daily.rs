//! `config diff`, `upgrade`, `save` and `menu`, on a stand-in that the native engine reads.

use std::io::Read as _;
use std::process::Stdio;

use insta::assert_snapshot;

use super::{TINY, run, run_json, said};
use crate::support::{Sandbox, StandIn, signal, wait_for};

/// What the fixture's Kconfig lacks: menus, a choice, a module that is on by default.
const MENUS: &str = r#"
menu "Drivers"
config NET
	bool "Networking"
config E1000
	tristate "Intel E1000"
	depends on NET
	default m
config E1000_HELPER
	tristate
	default E1000
choice
	prompt "Timer frequency"
	default HZ_250
config HZ_100
	bool "100 Hz"
config HZ_250
	bool "250 Hz"
endchoice
endmenu
"#;

/// A stand-in with menus at `relative`, whose `conf` is of the kind that the engine knows.
fn tree(sandbox: &Sandbox, relative: &str) -> StandIn {
    let tree = StandIn::new(sandbox, relative);
    let marker = format!("{relative}/scripts/kconfig/symbol.c");
    sandbox.write(&marker, "choice_members\n");
    tree.edit("Kconfig", |text| format!("{text}{MENUS}"))
}

/// The kernel `tiny` of such a tree, with fragments of the project's own.
fn project(settings: &str) -> (Sandbox, StandIn) {
    let sandbox = Sandbox::with_kernels(&format!(
        "[workspace.metadata.kernel]\nfragment-dirs = [\"fragments\"]\n\n{TINY}{settings}"
    ));
    std::fs::create_dir(sandbox.path("project/fragments")).unwrap();
    let tree = tree(&sandbox, "tree");
    (sandbox, tree)
}

fn read(sandbox: &Sandbox, path: &str) -> String {
    std::fs::read_to_string(sandbox.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The resolved `.config`.
fn shown(sandbox: &Sandbox) -> String {
    let said = run(sandbox, &["config", "show"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    said.stdout
}

/// A tree of another version: two symbols are gone, one of them under another name, one is
/// new, and a default is another one.
fn newer(sandbox: &Sandbox) -> StandIn {
    let tree = tree(sandbox, "newer").version(["6", "18", "3", ""]);
    tree.edit("Kconfig", |text| {
        let text = text
            .replace("config NET\n", "config NETWORK\n")
            .replace("depends on NET\n", "depends on NETWORK\n")
            .replace(
                "config FRAME_WARN\n",
                "config ODD\n\tbool \"Odd\"\n\nconfig FRAME_WARN\n",
            )
            .replace("default 2048", "default 1024")
            .replace(
                "config SLUB_TINY\n\tbool \"Allocate for little memory\"\n",
                "",
            );
        assert!(
            text.contains("NETWORK") && !text.contains("SLUB_TINY"),
            "{text}"
        );
        text
    })
}

#[test]
fn versions_are_compared_by_menu_and_say_which_tree_lacks_a_symbol() {
    let (sandbox, _tree) = project("fragments = [\"net/mine\"]\n");
    sandbox.write(
        "project/fragments/net/mine.config",
        "# optional: NET\nCONFIG_NET=y\nCONFIG_SLUB_TINY=y\n",
    );
    let _newer = newer(&sandbox);
    let said = run(&sandbox, &["config", "diff", "tiny", "tiny@../newer"]);
    assert_eq!(said.code, 100, "{}", said.stderr);
    assert_snapshot!(said.stdout, @r"
    Main menu
      ~ CONFIG_FRAME_WARN: 2048 → 1024  Largest stack frame in bytes
      - CONFIG_SLUB_TINY=y              Allocate for little memory (not in 6.18.3)
    Drivers
      - CONFIG_NET=y  Networking (not in 6.18.3)
    ");
    assert_snapshot!(said.stderr.trim_start(), @r"
    Compared tiny 6.12.117 with tiny 6.18.3: 1 changed, 0 added, 2 removed; 3 off on one side and not there on the other (`--all`)
    ");
    let all = run(
        &sandbox,
        &["config", "diff", "tiny", "tiny@../newer", "--all"],
    );
    assert!(all.stdout.contains("+ CONFIG_ODD=n"), "{}", all.stdout);
    let json = run_json(&sandbox, &["config", "diff", "tiny", "tiny@../newer"], 100);
    let change = json.message("change");
    assert_eq!(change["change"]["in_new_tree"], true, "{change}");
    assert_eq!(json.message("diff")["removed"], 2);

    let same = run(&sandbox, &["config", "diff", "tiny", "tiny@../tree"]);
    assert_eq!(
        (same.code, same.stdout.as_str()),
        (0, ""),
        "{}",
        same.stderr
    );
}

#[test]
fn files_are_compared_on_a_tree_or_as_text() {
    let (sandbox, _tree) = project("");
    sandbox.write(
        "project/a",
        "CONFIG_NET=y\nCONFIG_OTHER=\"x\"\nCONFIG_N=1\n",
    );
    sandbox.write("project/b", "# CONFIG_NET is not set\nCONFIG_OTHER=\"y\"\n");
    let text = run(&sandbox, &["config", "diff", "a", "b"]);
    assert_eq!(text.code, 100, "{}", text.stderr);
    assert_snapshot!(text.stdout, @r#"
    - CONFIG_N=1
    ~ CONFIG_NET: y → n
    ~ CONFIG_OTHER: "x" → "y"
    "#);
    // No workspace is needed for that.
    let elsewhere = sandbox.path("project/a");
    let mut command = sandbox.kernel_in(
        &sandbox.path("home"),
        &["config", "diff", elsewhere.as_str(), "../project/b"],
    );
    let outside = said(&sandbox, command.output().unwrap());
    assert_eq!(outside.stdout, text.stdout, "{}", outside.stderr);

    let on_tree = run(&sandbox, &["config", "diff", "a", "b", "--kernel", "tiny"]);
    assert_snapshot!(on_tree.stdout, @r"
    Drivers
      ~ CONFIG_NET: y → n  Networking
      - CONFIG_E1000=y     Intel E1000 (no longer in view)
    ");
    sandbox.write("project/c", &shown(&sandbox));
    let same = run(&sandbox, &["config", "diff", "tiny", "c"]);
    assert_eq!(same.code, 0, "{}{}", same.stdout, same.stderr);
}

#[test]
fn what_cannot_be_compared_is_named() {
    let (sandbox, _tree) = project("");
    let failed = |args: &[&str]| {
        let said = run(&sandbox, &[&["config"], args].concat());
        assert_eq!(said.code, 101, "{args:?}: {}{}", said.stdout, said.stderr);
        said.stderr
    };
    assert_snapshot!(failed(&["diff", "tiny", "tinny"]), @r"
    error: `tinny` is neither a kernel nor a file
    hint: kernels here: tiny; one of them from another source is `NAME@SOURCE`
    ");
    assert_snapshot!(failed(&["diff", "tiny", "tiny@6.x"]), @r"
    error: `6.x` selects no kernel version
    hint: write a version (`6.12.117`, `7.3-rc4`), a series (`6.12`, `6.12.y`), `stable`, `longterm` or `mainline`; a directory of that name is `./6.x`
    ");
    assert_snapshot!(failed(&["diff", "tiny", "tiny@../none"]), @r"
    error: [sandbox]/none is not a kernel tree: it has no Makefile
    hint: name the top directory of a kernel tree, the one with MAINTAINERS in it
    ");
    std::fs::create_dir(sandbox.path("empty")).unwrap();
    assert_snapshot!(failed(&["diff", "tiny", "tiny@../empty"]), @r"
    error: [sandbox]/empty is not a kernel tree: it has no Makefile
    hint: name the top directory of a kernel tree, the one with MAINTAINERS in it
    ");
    sandbox.write("project/words", "these are words\n");
    assert_snapshot!(failed(&["diff", "words", "words"]), @r"
    error: [sandbox]/project/words is not a kernel configuration
      caused by: line 1 of the config is neither a setting nor a comment: `these are words`
    hint: name a `.config` as the kernel's make leaves it, or a defconfig
    ");
    assert_snapshot!(failed(&["diff", "words", "words", "--kernel", "tinny"]), @r"
    error: unknown kernel `tinny`
    hint: did you mean `tiny`?
    ");
    assert_snapshot!(failed(&["upgrade", "tiny", "--to", "../empty"]), @r"
    error: [sandbox]/empty is not a kernel tree: it has no Makefile
    hint: name the top directory of a kernel tree, the one with MAINTAINERS in it
    ");
    assert_snapshot!(failed(&["upgrade", "nope", "--to", "../tree"]), @r"
    error: unknown kernel `nope`
    hint: there is: tiny
    ");
    assert_snapshot!(failed(&["save", "nope"]), @r"
    error: unknown kernel `nope`
    hint: there is: tiny
    ");
    assert_snapshot!(failed(&["save", "tiny", "--from", "gone"]), @r"
    error: cannot read [sandbox]/project/gone
      caused by: No such file or directory (os error 2)
    ");
    assert_snapshot!(failed(&["menu", "nope"]), @r"
    error: unknown kernel `nope`
    hint: there is: tiny
    ");
}

#[test]
fn an_upgrade_tells_what_is_new_gone_renamed_and_lost() {
    let (sandbox, _tree) = project("fragments = [\"net/mine\"]\n");
    sandbox.write(
        "project/fragments/net/mine.config",
        "# summary: mine\nCONFIG_NET=y\nCONFIG_SLUB_TINY=y\n",
    );
    let _newer = newer(&sandbox);
    let said = run(&sandbox, &["config", "upgrade", "tiny", "--to", "../newer"]);
    assert_eq!(said.code, 100, "{}", said.stderr);
    assert_snapshot!(sandbox.redact(&said.stdout), @r"
    Requests that do not hold
      [sandbox]/project/fragments/net/mine.config:2: CONFIG_NET should be y, but is not in the configuration
        no Kconfig file of this kernel mentions NET
        it is probably CONFIG_NETWORK now
      version/tiny-slub.config:5: CONFIG_SLUB_TINY should be y, but is not in the configuration
        no Kconfig file of this kernel mentions SLUB_TINY
    To decide about
      Main menu
        CONFIG_ODD=n                         Odd
      Drivers
        CONFIG_NETWORK=n                     Networking
    Renamed
      CONFIG_NET=y is probably CONFIG_NETWORK=n now
    Removed
      CONFIG_SLUB_TINY=y                     Allocate for little memory
    Changed
      CONFIG_FRAME_WARN: 2048 → 1024                 default at Kconfig:117, was default at Kconfig:114
    ");
    assert_snapshot!(said.stderr.trim_start(), @r"
    Compared tiny 6.12.117 with 6.18.3: 2 symbols to decide about, 1 removed, 1 renamed, 1 changed, 2 requests lost
    ");
    let json = run_json(&sandbox, &["config", "upgrade", "--to", "../newer"], 100);
    let upgrade = json.message("upgrade");
    assert_eq!(
        (&upgrade["from"], &upgrade["to"]),
        (&"6.12.117".into(), &"6.18.3".into())
    );
    assert_eq!(upgrade["lost"][0]["unmet"]["symbol"], "CONFIG_NET");
    assert_eq!(upgrade["renamed"][0]["guess"], true);
    // The kernel itself is as it was.
    assert!(shown(&sandbox).contains("CONFIG_NET=y"));

    let held = run(&sandbox, &["config", "upgrade", "tiny", "--to", "../tree"]);
    assert_eq!(
        (held.code, held.stdout.as_str()),
        (0, ""),
        "{}",
        held.stderr
    );
}

#[test]
fn a_saved_defconfig_and_a_saved_fragment_give_the_configuration_again() {
    let (sandbox, _tree) = project("fragments = [\"net/mine\"]\n");
    sandbox.write(
        "project/fragments/net/mine.config",
        "# summary: mine\nCONFIG_NET=y\nCONFIG_HZ_100=y\n# CONFIG_BLOCK is not set\n",
    );
    let config = shown(&sandbox);
    let defconfig = run(&sandbox, &["config", "save", "-o", "small_defconfig"]);
    assert_eq!(defconfig.code, 0, "{}", defconfig.stderr);
    let lines = read(&sandbox, "project/small_defconfig");
    assert!(
        lines.contains("CONFIG_HZ_100=y\n") && !lines.contains("HZ_250"),
        "{lines}"
    );
    assert!(lines.lines().count() < config.lines().count(), "{lines}");
    let again = run(&sandbox, &["config", "diff", "tiny", "small_defconfig"]);
    assert_eq!(again.code, 0, "{}{}", again.stdout, again.stderr);

    // BLOCK is off in the base already; E1000 would be m by default, but the base leaves out what is not asked for.
    let fragment = run(&sandbox, &["config", "save", "tiny", "--fragment"]);
    assert_snapshot!(fragment.stdout, @r"
    # summary: what tiny has over preset tiny

    CONFIG_NET=y
    CONFIG_HZ_100=y
    ");
    let saved = run_json(&sandbox, &["config", "save", "--fragment"], 0).message("saved");
    assert_eq!(saved["text"], fragment.stdout);

    let edited = config.replace("# CONFIG_DEBUG_FS is not set", "CONFIG_DEBUG_FS=y");
    assert_ne!(edited, config);
    sandbox.write(
        "project/edited",
        &format!("{edited}CONFIG_E1000=y\nCONFIG_NONE=y\n"),
    );
    let from = run(
        &sandbox,
        &["config", "save", "--fragment", "--from", "edited"],
    );
    assert_eq!(from.code, 0, "{}", from.stderr);
    assert_snapshot!(from.stdout, @r"
    # summary: what tiny has over preset tiny

    CONFIG_DEBUG_FS=y
    CONFIG_NET=y
    CONFIG_E1000=y
    CONFIG_HZ_100=y
    ");
    assert!(
        from.stderr.contains("unknown symbol: NONE"),
        "{}",
        from.stderr
    );
}

#[test]
fn nothing_is_overwritten_in_silence() {
    let (sandbox, _tree) = project("");
    sandbox.write("project/there", "mine\n");
    for args in [&["save", "-o", "there"][..], &["menu", "-o", "there"]] {
        let said = run(&sandbox, &[&["config"], args].concat());
        assert_eq!(said.code, 101);
        assert_eq!(
            said.stderr,
            "error: [sandbox]/project/there exists already\n\
             hint: name another file with `-o`, or replace this one with `--force`"
        );
        assert_eq!(read(&sandbox, "project/there"), "mine\n");
    }
    let forced = run(&sandbox, &["config", "save", "-o", "there", "--force"]);
    assert_eq!(forced.code, 0, "{}", forced.stderr);
    assert!(read(&sandbox, "project/there").contains("CONFIG_"));
    sandbox.write("project/file", "");
    let unwritable = run(&sandbox, &["config", "save", "-o", "file/below"]);
    assert_eq!(unwritable.code, 101);
    assert_snapshot!(unwritable.stderr, @r"
    error: cannot create directory [sandbox]/project/file
      caused by: File exists (os error 17)
    ");
}

/// A `menuconfig` that does `script` with the `.config` it is given, in `$KCONFIG_CONFIG`.
fn menu(tree: StandIn, script: &str) -> StandIn {
    let rule = format!("\nmenuconfig:\n\t@{script}\n");
    tree.edit("Makefile", |text| match text.split_once("\nmenuconfig:") {
        Some((before, _)) => format!("{before}{rule}"),
        None => format!("{text}{rule}"),
    })
}

/// Sets a line of the `.config`.
fn set(symbol: &str, line: &str) -> String {
    format!("sed -i 's/.*CONFIG_{symbol}[= ].*/{line}/' $(KCONFIG_CONFIG)")
}

#[test]
fn what_is_changed_in_a_menu_becomes_a_fragment_and_holds() {
    let (sandbox, tree) = project("");
    let before = shown(&sandbox);
    // What depends on NET is seen with it, and would be off by the base: its default is a decision.
    let tree = menu(tree, &set("NET", "CONFIG_NET=y"));
    let edited = run(&sandbox, &["config", "menu", "tiny"]);
    assert_eq!(edited.code, 0, "{}", edited.stderr);
    assert_snapshot!(edited.stdout, @r"
    CONFIG_NET=y
    CONFIG_E1000=m
    ");
    assert_snapshot!(edited.stderr, @r#"
           Wrote [sandbox]/project/fragments/local/tiny.config (2 settings, 3 symbols differ in the result)
    note: to use it, add "local/tiny" to the `fragments` of `tiny` in Cargo.toml
    "#);
    let path = "project/fragments/local/tiny.config";
    assert_snapshot!(read(&sandbox, path), @r"
    # summary: settings of tiny alone

    CONFIG_NET=y
    CONFIG_E1000=m
    ");
    assert_eq!(shown(&sandbox), before, "not used yet");

    let manifest = read(&sandbox, "project/Cargo.toml");
    sandbox.write(
        "project/Cargo.toml",
        &format!("{manifest}fragments = [\"local/tiny\"]\n"),
    );
    let with = shown(&sandbox);
    assert!(with.contains("CONFIG_NET=y\nCONFIG_E1000=m\n"), "{with}");

    // The second time, lines are replaced where they stand.
    let tree = menu(tree, &set("E1000", "# CONFIG_E1000 is not set"));
    let again = run(&sandbox, &["config", "menu", "tiny"]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert!(again.stderr.contains("Updated"), "{}", again.stderr);
    assert_snapshot!(read(&sandbox, path), @r"
    # summary: settings of tiny alone

    CONFIG_NET=y
    # CONFIG_E1000 is not set
    ");
    let with = shown(&sandbox);
    assert!(
        with.contains("CONFIG_NET=y\n# CONFIG_E1000 is not set\n"),
        "{with}"
    );

    // Nothing changed, nothing written.
    let text = read(&sandbox, path);
    let _tree = menu(tree, "true");
    let unchanged = run(&sandbox, &["config", "menu", "tiny"]);
    assert_eq!(unchanged.stderr, "   Unchanged tiny");
    assert_eq!(read(&sandbox, path), text);
}

#[test]
fn a_demotion_and_requests_that_fall_away_are_kept_in_a_fragment_that_wins() {
    let (sandbox, tree) = project("fragments = [\"net/mine\"]\n");
    sandbox.write(
        "project/fragments/net/mine.config",
        "# summary: mine\nCONFIG_NET=y\nCONFIG_E1000=y\nCONFIG_MODULES=y\n",
    );
    let tree = menu(tree, &set("E1000", "CONFIG_E1000=m"));
    let demoted = run(&sandbox, &["config", "menu", "tiny"]);
    assert_eq!(demoted.code, 0, "{}", demoted.stderr);
    let path = "project/fragments/builtin/tiny.config";
    assert!(read(&sandbox, path).ends_with("\nCONFIG_E1000=m\n"));
    std::fs::remove_file(sandbox.path(path)).unwrap();

    // Without NET there is no E1000: the other fragment's request is taken back.
    let _tree = menu(tree, &set("NET", "# CONFIG_NET is not set"));
    let off = run(&sandbox, &["config", "menu", "tiny"]);
    assert_eq!(off.code, 0, "{}", off.stderr);
    assert_snapshot!(read(&sandbox, "project/fragments/local/tiny.config"), @r"
    # summary: settings of tiny alone

    # CONFIG_NET is not set
    # CONFIG_E1000 is not set
    ");
}

#[test]
fn a_menu_that_fails_or_is_interrupted_writes_nothing() {
    let (sandbox, tree) = project("");
    let nothing = |sandbox: &Sandbox| {
        let fragments = sandbox.path("project/fragments");
        assert_eq!(fragments.read_dir_utf8().unwrap().count(), 0);
    };
    let change = set("NET", "CONFIG_NET=y");
    let tree = menu(tree, &format!("{change}; exit 3"));
    let failed = run(&sandbox, &["config", "menu", "tiny"]);
    assert_eq!(failed.code, 101);
    assert!(
        failed
            .stderr
            .contains("error: `make menuconfig` failed with exit status 2"),
        "{}",
        failed.stderr
    );
    nothing(&sandbox);

    let started = sandbox.path("started");
    let _tree = menu(tree, &format!("{change}; touch {started}; exec sleep 600"));
    let mut command = sandbox.process(&sandbox.path("project"), &["config", "menu", "tiny"]);
    let mut process = command
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the menu", || started.exists());
    signal("INT", process.id());
    let mut stderr = String::new();
    let status = process.wait().unwrap();
    process
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    assert_eq!(status.code(), Some(101), "{stderr}");
    assert!(stderr.contains("error: interrupted\n"), "{stderr}");
    nothing(&sandbox);

    let json = run_json(&sandbox, &["config", "menu", "tiny"], 101);
    assert!(
        json.message("error")["message"]
            .as_str()
            .unwrap()
            .contains("terminal")
    );
}

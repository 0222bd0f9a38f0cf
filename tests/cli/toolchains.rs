//! Compilers by rule, and tools that are too old or not there.

use std::os::unix::fs::PermissionsExt as _;

use insta::assert_snapshot;

use super::{path_without, run, run_json, said, tiny};
use crate::support::{Sandbox, StandIn};

/// Two versions of the stand-in, and rules that tell them apart.
fn ruled(rules: &str) -> Sandbox {
    let kernel = |name: &str, tree: &str| {
        format!(
            "[workspace.metadata.kernel.kernels.{name}]\nsource = \"../{tree}\"\npreset = \"tiny\"\narch = \"x86_64\"\n"
        )
    };
    let sandbox = Sandbox::with_kernels(&format!(
        "[workspace.metadata.kernel]\ntoolchains = [\n{rules}\n]\n{}{}",
        kernel("new", "tree"),
        kernel("old", "old-tree")
    ));
    StandIn::new(&sandbox, "tree");
    StandIn::new(&sandbox, "old-tree").version(["6", "1", "150", ""]);
    // As real as it gets: the machine's own compiler under another name.
    for name in ["gcc", "gcc-98"] {
        let gcc = which("gcc");
        sandbox.tool(name, &format!("exec {gcc} \"$@\""));
    }
    sandbox
}

fn which(program: &str) -> String {
    let path = std::env::var("PATH").unwrap();
    let mut places = path
        .split(':')
        .map(|directory| format!("{directory}/{program}"));
    places
        .find(|place| std::path::Path::new(place).is_file())
        .unwrap()
}

#[test]
fn plan_names_the_rule_that_chose_the_compiler() {
    let sandbox = ruled("  { when = \"<6.6\", use = \"gcc-98\" },\n  { use = \"gcc\" },");
    let of = |kernel: &str| {
        let said = run(&sandbox, &["plan", kernel, "--no-ccache"]);
        assert_eq!(said.code, 0, "{}", said.stderr);
        let lines = said.stdout.lines().map(str::trim);
        let chosen = lines.clone().find(|line| line.starts_with("chosen by"));
        let cc = lines
            .clone()
            .find(|line| line.contains("CC="))
            .unwrap_or_default();
        (chosen.unwrap_or_default().to_owned(), cc.to_owned())
    };
    assert_eq!(
        of("old"),
        (
            "chosen by Cargo.toml:7:3: <6.6: gcc-98".to_owned(),
            "make       CC=gcc-98".to_owned()
        )
    );
    assert_eq!(of("new").0, "chosen by Cargo.toml:8:3: any kernel: gcc");

    let plan = run_json(&sandbox, &["plan", "old"], 0).message("plan")["plan"].clone();
    assert_eq!(
        plan["toolchain_rule"],
        serde_json::json!({ "origin": "Cargo.toml:7:3", "rule": "<6.6: gcc-98", "compiler": "gcc-98" })
    );
    assert_eq!(plan["toolchain"]["cc"], "gcc-98");
    // What is built with it says so.
    let built =
        run_json(&sandbox, &["build", "old"], 0).message("kernel-finished")["manifest"].clone();
    assert_eq!(built["toolchain"]["cc"], "gcc-98");
    // A flag wins over the rules.
    let said = run(&sandbox, &["plan", "old", "--compiler", "gcc"]);
    assert!(!said.stdout.contains("chosen by"), "{}", said.stdout);
}

#[test]
fn a_kernel_without_a_rule_and_a_rule_without_a_kernel_are_told() {
    let sandbox = ruled("  { when = \"<6.6\", use = \"gcc-98\" },");
    assert_eq!(run(&sandbox, &["plan", "old"]).code, 0);
    let said = run(&sandbox, &["plan", "new"]);
    assert_eq!(said.code, 101);
    assert_snapshot!(said.stderr, @r#"
    error: no rule of `toolchains` is for `new`: version 6.12.117, x86_64
    hint: add a last rule for all other kernels, such as `{ use = "gcc" }`, or set `compiler` in `defaults`; the rules are: <6.6: gcc-98 (Cargo.toml:7:3)
    "#);
    let said = run(
        &ruled("  { arch = \"arm64\", use = \"gcc\" },"),
        &["plan", "new"],
    );
    assert_eq!(said.code, 101);
    for part in [
        "Cargo.toml:7:3: the toolchain rule `arm64: gcc` matches no kernel of this workspace",
        "hint: remove it, or widen `when` and `arch` to kernels that are declared",
    ] {
        assert!(said.stderr.contains(part), "{}", said.stderr);
    }
}

#[test]
fn an_architecture_without_a_compiler_is_told_with_what_has_one() {
    let sandbox = Sandbox::with_kernels(
        "[workspace.metadata.kernel.kernels.k]\nsource = \"../tree\"\nfragments = [\"core/boot\"]\n",
    );
    StandIn::new(&sandbox, "tree");
    let compiler = |arguments: &[&str]| {
        let said = run(&sandbox, &[&["plan"], arguments].concat());
        assert_eq!(said.code, 101, "{}", said.stdout);
        said.stderr
    };
    assert_snapshot!(compiler(&["--arch", "csky"]), @r"
    error: `csky-linux-gcc` was not found on PATH; it builds kernels for csky with gcc
    hint: Debian has no such compiler for csky: kernel.org has one (https://mirrors.edge.kernel.org/pub/tools/crosstool/), to be declared in `compilers` with its `path` and `prefix`
    ");
    assert_snapshot!(compiler(&["--arch", "hexagon"]), @r#"
    error: no gcc builds kernels for hexagon
    hint: set `compiler = "clang"`
    "#);
    assert_snapshot!(compiler(&["--arch", "s390x", "--compiler", "gcc-97"]), @r"
    error: `s390x-linux-gnu-gcc-97` was not found on PATH; it builds kernels for s390x with gcc-97
    hint: `cargo kernel doctor --install` installs what is missing; on Debian it is in: gcc-97-s390x-linux-gnu
    ");
}

#[test]
fn tools_that_are_too_old_are_told_before_anything_is_built() {
    let (sandbox, tree) = tiny("arch = \"x86_64\"\n");
    let tree = tree.edit("scripts/min-tool-version.sh", |text| {
        text.replace("echo 5.1.0", "echo 97.1.0")
            .replace("echo 2.25.0", "echo 98.0")
    });
    let said = run(&sandbox, &["build"]);
    assert_eq!(said.code, 101);
    for part in [
        "tools are too old for Linux 6.12.117: gcc ",
        "is older than gcc 97.1.0, as ",
        "is older than binutils 98.0, ld ",
        "hint: install newer ones, choose another compiler than `gcc`",
        "scripts/min-tool-version.sh",
    ] {
        assert!(said.stderr.contains(part), "{part}: {}", said.stderr);
    }
    assert!(!sandbox.path("project/target/kernel/tiny/build").exists());

    // The doctor says the same.
    let said = run(&sandbox, &["doctor"]);
    assert_eq!(said.code, 100);
    let told = |start: &str, end: &str| {
        let found = said
            .stdout
            .lines()
            .any(|line| line.contains(start) && line.contains(end));
        assert!(found, "{start}: {}", said.stdout);
    };
    told("gcc", "97.1.0");
    told("ld", "98.0");

    // The script is understood, and so nothing of the tree runs; one that is not understood
    // runs where the tree's commands may.
    run(&sandbox, &["clean"]);
    let ran = sandbox.path("ran");
    let spy = format!("touch {ran}\n[ \"$1\" = gcc ] && echo 96.0\n");
    let _tree = tree.edit("scripts/min-tool-version.sh", |_| spy);
    let without = run(&sandbox, &["config", "show", "--probes", "none"]);
    assert!(!ran.exists(), "{}", without.stderr);
    let said = run(&sandbox, &["plan"]);
    assert!(
        said.stderr.contains("is older than gcc 96.0"),
        "{}",
        said.stderr
    );
    assert!(ran.exists());
}

/// In the manner of the kernel's: it asks the programs that the Makefile names.
const RUST_IS_AVAILABLE: &str = "\
#!/bin/sh
command -v \"$RUSTC\" > /dev/null && command -v \"$BINDGEN\" > /dev/null && exit
echo '***' >&2
echo \"*** Rust bindings generator '$BINDGEN' could not be found.\" >&2
echo '***' >&2
echo '*** Please see Documentation/rust/quick-start.rst for details' >&2
exit 1
";

#[test]
fn rust_that_would_vanish_is_told_in_the_trees_own_words() {
    let (sandbox, tree) = tiny(
        "arch = \"x86_64\"\nfragments = [\"rust/mine\"]\n[workspace.metadata.kernel]\nfragment-dirs = [\"fragments\"]\n",
    );
    sandbox.write(
        "project/fragments/rust/mine.config",
        "# summary: mine\nCONFIG_RUST=y\n",
    );
    sandbox.write("tree/scripts/kconfig/symbol.c", "/* choice_members */\n");
    let script = sandbox.write("tree/scripts/rust_is_available.sh", RUST_IS_AVAILABLE);
    std::fs::set_permissions(script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let _tree = tree.edit("Kconfig", |text| {
        format!(
            "{text}\nconfig RUST_IS_AVAILABLE\n\tdef_bool $(success,$(srctree)/scripts/rust_is_available.sh)\n\nconfig RUST\n\tbool \"Rust support\"\n\tdepends on RUST_IS_AVAILABLE\n"
        )
        .replacen(
            "config CC_VERSION_TEXT",
            "success = $(shell,{ $(1); } >/dev/null 2>&1 && echo y || echo n)\nconfig CC_VERSION_TEXT",
            1,
        )
    });
    let path = path_without(&sandbox, &["bindgen"]);
    let plan = |arguments: &[&str]| {
        let arguments = [&["plan"], arguments].concat();
        let mut command = sandbox.kernel(&arguments);
        said(&sandbox, command.env("PATH", &path).output().unwrap())
    };
    let refused = plan(&[]);
    assert_eq!(refused.code, 101, "{}", refused.stdout);
    for part in [
        "request CONFIG_RUST=y does not hold",
        "RUST_IS_AVAILABLE",
        "Rust bindings generator 'bindgen' could not be found.",
    ] {
        assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
    }
    assert!(!refused.stderr.contains("Please see"), "{}", refused.stderr);
    let refused = plan(&["--message-format", "json"]);
    let messages = refused.messages();
    let rust = messages
        .iter()
        .find(|message| message["unmet"]["note"].is_string())
        .unwrap();
    assert_eq!(
        rust["unmet"]["note"],
        "Rust bindings generator 'bindgen' could not be found."
    );
    // Where the tree's commands must not run, that one does not.
    let without = plan(&["--probes", "none"]);
    assert!(
        !without.stderr.contains("could not be found"),
        "{}",
        without.stderr
    );
}

#[test]
fn a_configuration_needs_no_compiler_where_nothing_may_run() {
    let (sandbox, _tree) = tiny(
        "arch = \"x86_64\"\ncompiler = \"gone\"\n[workspace.metadata.kernel.compilers.gone]\nfamily = \"gcc\"\nprefix = \"nowhere-\"\n",
    );
    sandbox.write("tree/scripts/kconfig/symbol.c", "/* choice_members */\n");
    let checked = run(&sandbox, &["config", "check", "--probes", "none"]);
    assert_eq!(checked.code, 0, "{}", checked.stderr);
    let shown = run(&sandbox, &["config", "show", "--probes", "none"]);
    assert!(shown.stdout.contains("CONFIG_"), "{}", shown.stderr);
    // What has an identity needs the compiler, and says so; so does what may ask it.
    for args in [&["plan", "--probes", "none"][..], &["config", "check"]] {
        let said = run(&sandbox, args);
        assert_eq!(said.code, 101, "{args:?}");
        assert!(
            said.stderr.contains("nowhere-gcc"),
            "{args:?}: {}",
            said.stderr
        );
    }
}

//! A configuration that the kernel's own `conf` does not confirm.

use super::{left_behind, run, tiny};
use crate::support::{Sandbox, StandIn};

/// A kernel whose conf does `change` to the file when it confirms, not when it predicts.
fn drifting(change: &str) -> (Sandbox, StandIn) {
    let (sandbox, tree) = tiny("");
    let tree = tree.edit("scripts/resolve", |text| {
        format!("{text}case $KCONFIG_CONFIG in */configure/*) ;; *) {change} ;; esac\n")
    });
    (sandbox, tree)
}

/// The report below the project, as it was named to the user.
fn report(sandbox: &Sandbox) -> String {
    let logs = sandbox.path("project/target/kernel/tiny/log");
    let mut reports: Vec<_> = logs
        .read_dir_utf8()
        .unwrap()
        .map(|entry| entry.unwrap().path().join("config-drift.txt"))
        .filter(|path| path.exists())
        .collect();
    reports.sort();
    reports.dedup_by_key(|path| path.canonicalize_utf8().unwrap());
    std::fs::read_to_string(reports.pop().expect("there is a report")).unwrap()
}

#[test]
fn a_changed_symbol_fails_the_build_before_anything_is_compiled() {
    let (sandbox, _tree) = drifting(
        "sed -i 's/^CONFIG_FRAME_WARN=.*/CONFIG_FRAME_WARN=77/; /^CONFIG_PRINTK=y/d' \"$KCONFIG_CONFIG\"",
    );
    let said = run(&sandbox, &["build"]);
    assert_eq!(said.code, 101, "{}", said.stderr);
    let error = said
        .stderr
        .lines()
        .find(|line| line.starts_with("error: "))
        .unwrap();
    assert!(
        error.starts_with(
            "error: the kernel's own conf does not confirm the configuration: CONFIG_FRAME_WARN 2048 → 77 (Kconfig:"
        ) && error.contains("CONFIG_PRINTK y → absent (Kconfig:"),
        "{error}"
    );
    assert!(said.stderr.contains("hint: this is a fault of cargo kernel: please report it with [sandbox]/project/target/kernel/tiny/log/"), "{}", said.stderr);
    assert!(
        !sandbox
            .path("project/target/kernel/tiny/build/init/main.o")
            .exists()
    );
    assert_eq!(left_behind(&sandbox), [""; 0]);
    let report = report(&sandbox);
    for part in [
        "\nkernel       6.12.117 of ",
        "\ntree         ",
        "\narch         x86_64\n",
        "\ntoolchain    ",
        "\nbase         preset tiny\n",
        "\nresolver     make\n",
        "\ndialect      Dialect {",
        "\ncause        not known",
        "\n  CONFIG_FRAME_WARN 2048 → 77 (Kconfig:",
        "\n----- requests\n",
        "\nCONFIG_PRINTK=y\n",
        "\n----- probes: COMMAND<TAB>OUTPUT\n",
        "\n----- predicted .config\n",
        "\nCONFIG_FRAME_WARN=2048\n",
        "\n----- confirmed .config\n",
        "\nCONFIG_FRAME_WARN=77\n",
    ] {
        assert!(report.contains(part), "{part:?} is not in\n{report}");
    }
}

#[test]
fn a_changed_comment_is_a_drift_too() {
    let (sandbox, _tree) = drifting("echo '# more' >>\"$KCONFIG_CONFIG\"");
    let said = run(&sandbox, &["build"]);
    assert_eq!(said.code, 101);
    assert!(
        said.stderr.contains(
            "does not confirm the configuration: no symbol, but lines or comments differ"
        ),
        "{}",
        said.stderr
    );
}

#[test]
fn after_a_drift_the_next_plan_asks_afresh() {
    let (sandbox, tree) = drifting("echo 'CONFIG_FRAME_WARN=9' >>\"$KCONFIG_CONFIG\"");
    assert_eq!(run(&sandbox, &["build"]).code, 101);
    let kept = |directory: &str| {
        sandbox
            .path("cache")
            .join(directory)
            .read_dir_utf8()
            .map_or(0, Iterator::count)
    };
    assert_eq!((kept("config"), kept("probes")), (0, 0));
    let _tree = tree.edit("scripts/resolve", |text| {
        text.lines()
            .filter(|line| !line.starts_with("case $KCONFIG_CONFIG in"))
            .map(|line| format!("{line}\n"))
            .collect()
    });
    let said = run(&sandbox, &["build"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
}

/// Whether conf was asked in the last build.
fn was_asked(sandbox: &Sandbox) -> bool {
    let log = sandbox.path("project/target/kernel/tiny/log/latest");
    assert!(log.join("compile.log").exists());
    log.join("configure.log").exists()
}

#[test]
fn an_edit_changes_the_release_and_conf_is_asked_only_where_it_could_answer_otherwise() {
    let (sandbox, tree) = tiny("");
    let release = || {
        let build = sandbox.path("project/target/kernel/tiny/build");
        let read = |name: &str| std::fs::read_to_string(build.join(name)).unwrap();
        let release = read("include/config/kernel.release").trim().to_owned();
        let (_, localversion) = release.split_once("6.12.117").unwrap();
        let line = format!("CONFIG_LOCALVERSION=\"{localversion}\"\n");
        assert!(read(".config").contains(&line), "{line}");
        release
    };
    assert_eq!(run(&sandbox, &["build"]).code, 0);
    assert!(was_asked(&sandbox));
    let mut before = release();
    let append = |text: &str| format!("{text}\n");
    let mut tree = Some(tree);
    for (file, asks) in [
        ("lib/string.c", false),
        ("init/main.c", false),
        ("Kconfig", true),
        ("lib/string.c", false),
        ("scripts/resolve", true),
    ] {
        tree = tree.take().map(|tree| tree.edit(file, append));
        let said = run(&sandbox, &["build"]);
        assert_eq!(said.code, 0, "{file}: {}", said.stderr);
        assert_eq!(was_asked(&sandbox), asks, "{file}");
        let now = release();
        assert_ne!(now, before, "{file}");
        before = now;
    }
}

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

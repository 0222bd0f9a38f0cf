use super::{run, run_json, tiny};

#[test]
fn the_configuration_is_what_is_built() {
    let (sandbox, _tree) = tiny("");
    let shown = run(&sandbox, &["config", "show"]).stdout;
    assert_eq!(
        run_json(&sandbox, &["config", "show"], 0).message("config")["text"],
        shown
    );
    let release =
        run_json(&sandbox, &["build"], 0).message("kernel-finished")["manifest"]["release"].clone();
    let built =
        std::fs::read_to_string(sandbox.path("project/target/kernel/tiny/build/.config")).unwrap();
    let local = |line: &&str| {
        !line.starts_with("CONFIG_LOCALVERSION=") && !line.contains("CONFIG_LOCALVERSION_AUTO")
    };
    let rest = |text: &str| {
        text.lines()
            .filter(local)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(rest(&shown), rest(&built));
    let suffix = release
        .as_str()
        .unwrap()
        .strip_prefix("6.12.117")
        .unwrap()
        .to_owned();
    assert!(
        built.contains(&format!("CONFIG_LOCALVERSION=\"{suffix}\"")),
        "{built}"
    );
}

#[test]
fn each_request_names_its_line_and_whom_it_overrides() {
    let (sandbox, _tree) = tiny(
        "fragments = [\"fs/mine\"]\n\n[workspace.metadata.kernel]\nfragment-dirs = [\"fragments\"]\n",
    );
    sandbox.write(
        "project/fragments/fs/mine.config",
        "# summary: mine\n\nCONFIG_FRAME_WARN=1024\n# CONFIG_PRINTK is not set\n",
    );
    let said = run(&sandbox, &["config", "requests"]);
    let shown = sandbox.redact(&said.stdout);
    assert!(
        shown.contains("CONFIG_FRAME_WARN=1024 ← [sandbox]/project/fragments/fs/mine.config:3\n"),
        "{shown}"
    );
    assert!(shown.contains("CONFIG_PRINTK=n ← [sandbox]/project/fragments/fs/mine.config:4\n    not y ← core/boot.config:"), "{shown}");
    let checked = run(&sandbox, &["config", "check"]);
    assert_eq!(checked.code, 0, "{}", checked.stderr);
}

#[test]
fn a_request_that_does_not_hold_is_the_answer_no() {
    let (sandbox, _tree) = tiny(
        "fragments = [\"fs/mine\"]\n\n[workspace.metadata.kernel]\nfragment-dirs = [\"fragments\"]\n",
    );
    sandbox.write(
        "project/fragments/fs/mine.config",
        "# summary: mine\n# optional: GONE\nCONFIG_MISSING=y\nCONFIG_GONE=y\n",
    );
    let said = run(&sandbox, &["config", "check"]);
    assert_eq!(said.code, 100, "{}", said.stderr);
    insta::assert_snapshot!(sandbox.redact(&said.stdout), @r"
    error: request CONFIG_MISSING=y does not hold
     --> [sandbox]/project/fragments/fs/mine.config:3:1
      |
    3 | CONFIG_MISSING=y
      | ^^^^^^^^^^^^^^^^ it is not in the configuration

    note: optional request CONFIG_GONE=y does not hold
     --> [sandbox]/project/fragments/fs/mine.config:4:1
      |
    4 | CONFIG_GONE=y
      | ^^^^^^^^^^^^^ it is not in the configuration
    ");
    let unmet = run_json(&sandbox, &["config", "check"], 100);
    assert_eq!(unmet.messages().len(), 2);
}

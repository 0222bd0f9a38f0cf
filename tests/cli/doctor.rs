use super::{path_without, run, said, tiny};

#[test]
fn a_machine_that_builds_is_healthy() {
    let (sandbox, _tree) = tiny("");
    let healthy = run(&sandbox, &["doctor"]);
    assert_eq!(healthy.code, 0, "{}{}", healthy.stdout, healthy.stderr);
    assert!(
        healthy
            .stdout
            .lines()
            .any(|line| line.starts_with("      ok gcc ")),
        "{}",
        healthy.stdout
    );
}

#[test]
fn a_missing_tool_is_the_answer_no_and_its_package_is_named() {
    let (sandbox, _tree) = tiny("");
    let mut command = sandbox.kernel(&["doctor"]);
    let path = path_without(&sandbox, &["bc", "gcc"]);
    command.env("PATH", &path);
    let sick = said(&sandbox, command.output().unwrap());
    assert_eq!(sick.code, 100, "{}{}", sick.stdout, sick.stderr);
    for tool in ["bc", "gcc"] {
        let line = sick
            .stdout
            .lines()
            .find(|line| line.starts_with(&format!(" missing {tool} ")));
        assert!(line.is_some(), "{tool}: {}", sick.stdout);
    }
    assert!(
        sick.stderr
            .contains("`cargo kernel doctor --install` runs: "),
        "{}",
        sick.stderr
    );
    assert!(sick.stderr.contains(" bc"), "{}", sick.stderr);

    let mut command = sandbox.kernel(&["doctor", "--message-format", "json"]);
    let json = said(&sandbox, command.env("PATH", &path).output().unwrap());
    assert_eq!(json.code, 100);
    let messages = json.messages();
    let bc = messages
        .iter()
        .find(|message| message["finding"]["need"]["name"] == "bc")
        .unwrap();
    assert_eq!(
        (
            &bc["blocks"],
            &bc["finding"]["state"],
            &bc["finding"]["package"]
        ),
        (&true.into(), &"missing".into(), &"bc".into())
    );
}

#[test]
fn without_a_source_what_it_takes_to_get_one_is_checked() {
    let (sandbox, tree) = tiny("");
    std::fs::remove_dir_all(tree.dir()).unwrap();
    let said = run(&sandbox, &["doctor"]);
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
}

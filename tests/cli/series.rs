use super::lock::{declare, from_branch, git};
use super::{run, run_json};

#[test]
fn a_mailed_series_is_labelled_locked_and_built_from_the_lock() {
    let (sandbox, tree) = from_branch();
    git(tree.dir(), &["tag", "base"]);
    let tree = tree.edit("kernel/sched.c", |text| {
        text.replace("return 2;", "return 3;")
    });
    git(tree.dir(), &["commit", "-qam", "sched: one more"]);
    let range = [
        "format-patch",
        "-q",
        "-v2",
        "--add-header=Message-ID: <1@x>",
        "-o",
        "../mails",
        "base",
    ];
    git(tree.dir(), &range);
    git(tree.dir(), &["reset", "-q", "--hard", "base"]);
    let mail = sandbox.path("mails/v2-0001-sched-one-more.patch");
    // From a list, through b4.
    sandbox.tool(
        "b4",
        &format!("[ -n \"$3\" ] && cp {mail} \"$3/series.mbx\""),
    );
    declare(&sandbox, "base", "series = \"1@x\"\n");
    let plan = |args: &[&str]| {
        let plan =
            run_json(&sandbox, &[&["plan"], args].concat(), 0).message("plan")["plan"].clone();
        plan["release"].as_str().unwrap().to_owned()
    };
    let release = plan(&[]);
    assert!(
        release.starts_with("6.12.117-sched-one-more-v2-"),
        "{release}"
    );
    let base = {
        let output = std::process::Command::new("git")
            .args(["rev-parse", "base"])
            .current_dir(tree.dir())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    run_json(&sandbox, &["lock"], 0);
    let lock = std::fs::read_to_string(sandbox.path("project/kernel.lock")).unwrap();
    for part in [
        "requested = \"1@x\"".to_owned(),
        format!("base = \"{base}\""),
        "message-ids = [\"1@x\"]".to_owned(),
        "path = \"kernel.lock.d/series/".to_owned(),
    ] {
        assert!(lock.contains(&part), "{part} in {lock}");
    }
    // Whoever has the lock needs neither b4 nor the cache.
    sandbox.tool("b4", "exit 9");
    std::fs::remove_dir_all(sandbox.path("cache")).unwrap();
    assert_eq!(plan(&[]), release);
    run_json(&sandbox, &["lock", "--check"], 0);
    let laid = run_json(&sandbox, &["tree"], 0).message("tree");
    let dir = laid["dir"].as_str().unwrap();
    let text = std::fs::read_to_string(format!("{dir}/kernel/sched.c")).unwrap();
    assert!(text.contains("return 3;"));
    assert_eq!(plan(&[]), release);
    // The same mails in a file give the same name.
    sandbox.write("project/one.mbox", &std::fs::read_to_string(&mail).unwrap());
    declare(&sandbox, "base", "series = \"one.mbox\"\n");
    std::fs::remove_file(sandbox.path("project/kernel.lock")).unwrap();
    assert_eq!(plan(&[]), release);
    let said = run(&sandbox, &["plan", "--series", "none.mbox"]);
    assert!(
        said.stderr
            .contains("cannot read [sandbox]/project/none.mbox"),
        "{}",
        said.stderr
    );
}

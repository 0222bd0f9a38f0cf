//! `cargo kernel watch`

use std::process::{Command, Stdio};

use kernelkit::source::Sha256;
use serde_json::Value;

use super::lock::{commit, from_branch, git};
use super::{Said, said};
use crate::support::http::Server;
use crate::support::{Sandbox, StandIn, signal, wait_for};

/// Where nobody listens.
const DOWN: &str = "http://127.0.0.1:9";

/// A round with JSON messages, with kernel.org at `mirror`; its exit code must be `code`.
fn round_at(sandbox: &Sandbox, mirror: &str, args: &[&str], code: i32) -> Said {
    let args = [&["watch", "--once", "--message-format", "json"], args].concat();
    let mut command = sandbox.kernel(&args);
    command.env("KERNELKIT_MIRROR", mirror);
    let said = said(sandbox, command.output().unwrap());
    assert_eq!(said.code, code, "{args:?}: {}{}", said.stdout, said.stderr);
    said
}

fn round(sandbox: &Sandbox, args: &[&str], code: i32) -> Said {
    round_at(sandbox, DOWN, args, code)
}

/// What a round tells to have moved: kernel, and the beginnings of what it named before and names now.
fn moved(said: &Said) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let messages = said.messages();
    let moved = messages
        .iter()
        .filter(|message| message["reason"] == "source-moved");
    moved
        .map(|message| {
            (
                text(&message["kernel"]),
                text(&message["from"]),
                text(&message["to"]),
            )
        })
        .collect()
}

/// The kernels that were built.
fn built(said: &Said) -> Vec<String> {
    let messages = said.messages();
    let ended = messages
        .iter()
        .filter(|message| message["reason"] == "kernel-ended" && message["state"] == "passed");
    let mut names: Vec<_> = ended
        .map(|message| message["kernel"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

/// Publishes 6.12.`sublevel` as kernel.org does.
fn release(sandbox: &Sandbox, server: &Server, sublevel: &str) {
    let name = format!("linux-6.12.{sublevel}");
    let tree = StandIn::new(sandbox, &name).version(["6", "12", sublevel, ""]);
    let status = Command::new("tar")
        .args(["-cf", "linux.tar", &name])
        .current_dir(sandbox.path(""))
        .status()
        .unwrap();
    assert!(status.success());
    std::fs::remove_dir_all(tree.dir()).unwrap();
    let bytes = std::fs::read(sandbox.path("linux.tar")).unwrap();
    let directory = "/pub/linux/kernel/v6.x";
    let sums = format!("{}  {name}.tar.xz\n", Sha256::of(&bytes));
    server.put(&format!("{directory}/sha256sums.asc"), sums);
    server.put(&format!("{directory}/{name}.tar.xz"), bytes);
    let index = format!(
        r#"{{"latest_stable": {{"version": "6.12.{sublevel}"}}, "releases": [{{"version": "6.12.{sublevel}",
            "moniker": "longterm", "source": null, "pgp": null, "iseol": false}}]}}"#
    );
    server.put("/releases.json", index);
}

#[test]
fn only_kernels_are_built_whose_sources_have_moved() {
    let sandbox = Sandbox::with_kernels(
        "[workspace.metadata.kernel.defaults]\npreset = \"tiny\"\nccache = false\n\
         [workspace.metadata.kernel.kernels.point]\nversion = \"6.12.y\"\n\
         [workspace.metadata.kernel.kernels.still]\nsource = \"../tree\"\n\
         [workspace.metadata.kernel.kernels.tip]\nsource = { git = \"file://REPOSITORY\", ref = \"main\" }\n",
    );
    let tree = StandIn::new(&sandbox, "tree").edit("localversion", |_| "-tip\n".to_owned());
    git(tree.dir(), &["init", "-q", "-b", "main"]);
    commit(&tree);
    let toml = sandbox.path("project/Cargo.toml");
    let text = std::fs::read_to_string(&toml).unwrap();
    std::fs::write(&toml, text.replace("REPOSITORY", tree.dir().as_str())).unwrap();
    let server = Server::start();
    release(&sandbox, &server, "117");
    let look = |code| round_at(&sandbox, &server.url, &["*"], code);

    let first = look(0);
    assert_eq!(built(&first), ["point", "tip"]);
    let news = moved(&first);
    assert_eq!(news.len(), 2);
    assert_eq!(news[0], ("point".into(), String::new(), "6.12.117".into()));
    let finished = first.message("round-finished");
    assert_eq!(
        (&finished["watched"], &finished["moved"]),
        (&2.into(), &2.into())
    );

    server.requests();
    let second = look(100);
    assert!(moved(&second).is_empty() && built(&second).is_empty());
    assert_eq!(server.requests(), ["GET /releases.json"]);

    release(&sandbox, &server, "118");
    let third = look(0);
    assert_eq!(built(&third), ["point"]);
    let news = [("point".into(), "6.12.117".into(), "6.12.118".into())];
    assert_eq!(moved(&third), news);
    assert_eq!(third.message("batch-finished")["passed"], 1);

    // A server that is down is told, and keeps nobody else from being built.
    let tree = tree.version(["6", "12", "200", ""]);
    commit(&tree);
    release(&sandbox, &server, "119");
    let fourth = round_at(&sandbox, DOWN, &["*"], 101);
    assert_eq!(built(&fourth), ["tip"]);
    let error = fourth.message("error");
    assert_eq!(
        error["message"],
        format!("point: cannot reach {DOWN}/releases.json")
    );
    assert!(error["hint"].as_str().unwrap().contains("online"));
    assert_eq!(fourth.message("round-finished")["unknown"], 1);
    assert_eq!(built(&look(0)), ["point"]);
    look(100);

    // What is cleaned away is built again, or found again.
    assert_eq!(
        sandbox
            .kernel(&["clean", "tip"])
            .output()
            .unwrap()
            .status
            .code(),
        Some(0)
    );
    assert_eq!(moved(&look(0)).len(), 1);

    git(tree.dir(), &["branch", "-m", "main", "other"]);
    let gone = look(101).message("error");
    let message = gone["message"].as_str().unwrap();
    assert!(
        message.starts_with("tip: ") && message.ends_with("has `main` no more"),
        "{gone}"
    );
}

#[test]
fn a_locked_kernel_stays_unless_its_lock_is_moved_along() {
    let (sandbox, tree) = from_branch();
    let version = || {
        let lock = std::fs::read_to_string(sandbox.path("project/kernel.lock")).unwrap();
        let line = lock.lines().find(|line| line.starts_with("version = \""));
        line.unwrap().to_owned()
    };
    super::run_json(&sandbox, &["lock"], 0);
    let refused = round(&sandbox, &[], 101).message("error");
    let hint = refused["hint"].as_str().unwrap();
    assert!(hint.contains("`--update`"), "{refused}");
    assert_eq!(built(&round(&sandbox, &["--update"], 0)), ["tiny"]);
    commit(&tree.version(["6", "12", "118", ""]));
    assert_eq!(version(), "version = \"6.12.117\"");
    let said = round(&sandbox, &["--update"], 0);
    assert_eq!(built(&said), ["tiny"]);
    assert_eq!(said.message("locked")["kernel"], "tiny");
    assert_eq!(version(), "version = \"6.12.118\"");
    round(&sandbox, &["--update"], 100);
    super::run_json(&sandbox, &["build", "--locked"], 0);
}

#[test]
fn what_does_not_compile_waits_for_its_source_and_all_else_is_tried_again() {
    let (sandbox, tree) = from_branch();
    let toml = sandbox.path("project/Cargo.toml");
    let text = std::fs::read_to_string(&toml).unwrap();
    let wish = text.clone() + "fragments = [\"core/wish\"]\n";
    sandbox.write("project/fragments/core/wish.config", "CONFIG_NO_SUCH=y\n");
    std::fs::write(&toml, wish).unwrap();
    for _ in 0..2 {
        let said = round(&sandbox, &[], 101);
        assert_eq!(moved(&said).len(), 1);
    }
    std::fs::write(&toml, text).unwrap();
    // The mail server being down is told, and is no reason to build again.
    let mail = ["--mail", "you@example.org", "--mail-server", "127.0.0.1:9"];
    let said = round(&sandbox, &mail, 101);
    assert_eq!(built(&said), ["tiny"]);
    let error = said.message("error");
    assert!(
        error["hint"]
            .as_str()
            .unwrap()
            .contains("the mail is kept in"),
        "{error}"
    );
    round(&sandbox, &mail, 100);

    let broken = tree.edit("lib/string.c", |text| format!("{text}#error on fire\n"));
    commit(&broken);
    let said = round(&sandbox, &[], 101);
    assert_eq!(said.message("error")["message"], "tiny: compile failed");
    let said = super::run(&sandbox, &["watch", "--once"]);
    assert_eq!((said.code, said.stdout.as_str()), (100, ""));
    assert!(
        said.stderr.contains("did not compile at"),
        "{}",
        said.stderr
    );
    commit(&broken.edit("lib/string.c", |text| text.replace("#error on fire\n", "")));
    let said = super::run(&sandbox, &["watch", "--once", "-q"]);
    assert_eq!((said.code, said.stderr.as_str()), (0, ""));
    let line = said.stdout.trim_end();
    assert!(line.starts_with("tiny: ") && line.contains(" → "), "{line}");
}

#[test]
fn it_waits_for_the_next_look_until_it_is_stopped() {
    let (sandbox, _tree) = from_branch();
    let log = std::fs::File::create(sandbox.path("log")).unwrap();
    let mut process = sandbox
        .process(&sandbox.path("project"), &["watch", "--interval", "1h 30m"])
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let text = || std::fs::read_to_string(sandbox.path("log")).unwrap();
    wait_for("the end of the first round", || text().contains("Waiting"));
    assert!(text().contains("for 1h 30m"), "{}", text());
    let other = super::run(&sandbox, &["watch", "--once"]);
    assert_eq!(other.code, 101);
    assert!(
        other.stderr.contains("are watched already, by process "),
        "{}",
        other.stderr
    );
    signal("INT", process.id());
    assert_eq!(process.wait().unwrap().code(), Some(0), "{}", text());
    assert!(!text().contains("error"), "{}", text());
}

#[test]
fn a_workspace_where_nothing_moves_is_told_at_once() {
    let (sandbox, _tree) = super::tiny("");
    let said = super::run(&sandbox, &["watch"]);
    assert_eq!(said.code, 101);
    assert!(
        said.stderr.contains(
            "note: tiny is not watched: its source [sandbox]/project/../tree is a directory"
        ) && said.stderr.contains("error: there is nothing to watch")
            && said.stderr.contains("hint: branches move"),
        "{}",
        said.stderr
    );
    for args in [
        &["watch", "--interval", "soon"][..],
        &["watch", "--once", "--interval", "1h"],
    ] {
        assert_eq!(super::run(&sandbox, args).code, 2, "{args:?}");
    }
}

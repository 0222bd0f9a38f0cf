use std::process::Command;

use kernelkit::source::Sha256;

use super::{TINY, run, run_json, tiny};
use crate::support::http::Server;
use crate::support::{Sandbox, StandIn};

const PASSWORD: &str = "hunter2";

/// A server with the tarball of a tree, which wants a login.
fn serve(sandbox: &Sandbox) -> (Server, Sha256) {
    let tree = StandIn::new(sandbox, "linux-6.12.117");
    let status = Command::new("tar")
        .args(["-cf", "linux.tar", "linux-6.12.117"])
        .current_dir(sandbox.path(""))
        .status()
        .unwrap();
    assert!(status.success());
    std::fs::remove_dir_all(tree.dir()).unwrap();
    let bytes = std::fs::read(sandbox.path("linux.tar")).unwrap();
    let server = Server::start();
    let sha256 = Sha256::of(&bytes);
    server.put("/linux.tar", bytes);
    server.demand_login(&format!("me:{PASSWORD}"));
    (server, sha256)
}

fn declare(sandbox: &Sandbox, source: &str) {
    let tiny = TINY
        .lines()
        .map(|line| match line.starts_with("source") {
            true => format!("source = \"{source}\"\n"),
            false => format!("{line}\n"),
        })
        .collect::<String>();
    sandbox.write(
        "project/Cargo.toml",
        &format!("[workspace]\nmembers = []\n\n{tiny}"),
    );
}

#[test]
fn the_login_of_a_source_is_written_and_shown_nowhere() {
    let (sandbox, _tree) = tiny("");
    let (server, sha256) = serve(&sandbox);
    let open = format!("{}/linux.tar#sha256={sha256}", server.url);
    let secret = open.replacen("://", &format!("://me:{PASSWORD}@"), 1);
    declare(&sandbox, &secret);
    for args in [
        &["lock"][..],
        &["build", "-v", "--locked"],
        &["plan", "--message-format", "json"],
        &["list", "--message-format", "json"],
        &["identity"],
        &["report"],
    ] {
        let said = run(&sandbox, args);
        assert_eq!(said.code, 0, "{args:?} {}", said.stderr);
        let text = format!("{}{}", said.stdout, said.stderr);
        assert!(!text.contains(PASSWORD), "{args:?}: {text}");
    }
    // Nor where something is wrong.
    for args in [
        &["plan", "--source", &secret.replace("#sha256=", "?x=")][..],
        &["plan", "--source", &secret.replace("#sha256=", "#sha256=0")],
        &[
            "plan",
            "--source",
            &secret.replace("linux.tar", "linux.git"),
        ],
        &["plan", "--source", &secret.replace("http", "git+http")],
    ] {
        let said = run(&sandbox, args);
        assert_eq!(said.code, 101, "{args:?}");
        let text = format!("{}{}", said.stdout, said.stderr);
        assert!(!text.contains(PASSWORD), "{args:?}: {text}");
    }
    let lock = std::fs::read_to_string(sandbox.path("project/kernel.lock")).unwrap();
    assert!(lock.contains(&format!("requested = \"{open}\"")), "{lock}");
    let found = Command::new("grep")
        .args([
            "-rlF",
            PASSWORD,
            "--exclude=Cargo.toml",
            sandbox.path("").as_str(),
        ])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(found.stdout).unwrap(), "");

    // Who has the login elsewhere uses the same lock.
    declare(&sandbox, &open);
    std::fs::remove_dir_all(sandbox.path("cache")).unwrap();
    let said = run(&sandbox, &["plan", "--locked"]);
    assert_eq!(said.code, 101, "{}", said.stdout);
    assert!(said.stderr.contains(".netrc"), "{}", said.stderr);
    sandbox.write(
        "home/.netrc",
        &format!("machine 127.0.0.1 login me password {PASSWORD}\n"),
    );
    run_json(&sandbox, &["plan", "--locked"], 0);
}

//! Names, passwords and keys in URLs: they reach the server and nothing else.

use std::fs;
use std::path::Path;

use camino::Utf8Path;
use kernelkit::effect::environment::Environment;
use kernelkit::effect::source::{Error, GitError, Looks};
use kernelkit::source::{Sha256, Source};

use crate::archive::tar_of;
use crate::http::Server;
use crate::world::{World, run};

const PASSWORD: &str = "hunter2";

/// A server that wants a login for all that it has, a tarball of a kernel among it.
fn site() -> (World, Server, Sha256) {
    let (world, server) = (World::new(), Server::start());
    let bytes = tar_of(&world.kernel("linux-6.12.117"));
    let sha256 = Sha256::of(&bytes);
    server.put("/a/linux.tar", bytes.clone());
    let directory = "/pub/linux/kernel/v6.x";
    server.put(&format!("{directory}/linux-6.12.117.tar.xz"), bytes);
    let sums = format!("{sha256}  linux-6.12.117.tar.xz\n");
    server.put(&format!("{directory}/sha256sums.asc"), sums);
    server.demand_login(&format!("me:{PASSWORD}"));
    (world, server, sha256)
}

/// The server's address with something before the host.
fn with(user: &str, url: &str) -> String {
    url.replacen("://", &format!("://{user}@"), 1)
}

fn tarball(location: String, sha256: Sha256) -> Source {
    Source::Tarball {
        location,
        sha256: Some(sha256),
    }
}

/// The files below `directory` whose bytes or names hold `secret`.
fn holders(directory: &Path, secret: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let entry = entry.unwrap();
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            found.extend(holders(&path, secret));
        }
        let bytes = fs::read(&path).unwrap_or_default();
        let in_bytes = bytes
            .windows(secret.len())
            .any(|window| window == secret.as_bytes());
        if in_bytes || path.to_string_lossy().contains(secret) {
            found.push(path.display().to_string());
        }
    }
    found
}

fn assert_kept_secret(world: &World, tree: &kernelkit::effect::source::Tree) {
    let shown = serde_json::to_string(&tree.resolved).unwrap()
        + &tree.description
        + &tree.resolved.to_string()
        + tree.archive.as_ref().map_or("", |archive| &archive.url);
    assert!(!shown.contains(PASSWORD), "{shown}");
    let cache = world.environment.cache_dir.as_std_path();
    assert_eq!(holders(cache, PASSWORD), [""; 0]);
}

#[test]
fn a_login_in_a_url_reaches_the_server_and_nothing_else() {
    let (world, server, sha256) = site();
    let url = format!("{}/a/linux.tar", server.url);
    let tree = world
        .prepare(&tarball(with(&format!("me:{PASSWORD}"), &url), sha256))
        .unwrap();
    assert_eq!(tree.archive.as_ref().unwrap().url, url);
    assert_kept_secret(&world, &tree);
    // What a lock has is enough once the login is known.
    let other = World::new();
    other
        .environment
        .credentials
        .learn_url(&with(&format!("me:{PASSWORD}"), &url));
    assert_eq!(other.prepare(&tree.resolved).unwrap().id, tree.id);
}

#[test]
fn a_key_in_a_query_reaches_the_server_and_nothing_else() {
    let world = World::new();
    let server = Server::start();
    let bytes = tar_of(&world.kernel("linux-6.12.117"));
    let sha256 = Sha256::of(&bytes);
    server.put("/linux.tar", bytes);
    server.demand_key(&format!("access_token={PASSWORD}"));
    let url = format!("{}/linux.tar", server.url);
    let tree = world
        .prepare(&tarball(format!("{url}?access_token={PASSWORD}"), sha256))
        .unwrap();
    assert_eq!(tree.archive.as_ref().unwrap().url, url);
    assert_kept_secret(&world, &tree);
}

#[test]
fn a_netrc_and_a_mirror_have_logins_too() {
    let (world, server, sha256) = site();
    let url = format!("{}/a/linux.tar", server.url);
    let netrc = format!("machine 127.0.0.1 login me password {PASSWORD}\n");
    fs::create_dir_all(&world.environment.home).unwrap();
    fs::write(world.environment.home.join(".netrc"), netrc).unwrap();
    let tree = world.prepare(&tarball(url, sha256)).unwrap();
    assert_kept_secret(&world, &tree);

    let mut world = World::new();
    let mut variables = world.environment.variables.clone();
    variables.insert(
        "KERNELKIT_MIRROR".to_owned(),
        with(&format!("me:{PASSWORD}"), &server.url),
    );
    world.environment = Environment::from_variables(world.root.clone(), variables);
    world.mirror = world.environment.mirror.clone();
    let release = Source::Release {
        selector: "6.12.117".to_owned(),
    };
    let tree = world.prepare(&release).unwrap();
    assert_kept_secret(&world, &tree);
}

fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!("\n{error}");
        source = error.source();
    }
    text
}

#[test]
fn errors_show_no_login() {
    let (world, server, sha256) = site();
    let wrong = with("me:wrong-hunter2", &server.url);
    let error = world
        .prepare(&tarball(format!("{wrong}/a/linux.tar"), sha256))
        .unwrap_err();
    let text = words(&error);
    assert!(
        text.contains("/a/linux.tar was answered with HTTP status 401"),
        "{text}"
    );
    assert!(!text.contains(PASSWORD), "{text}");
    assert!(error.hint().unwrap().contains(".netrc"));

    let down = Source::Tarball {
        location: format!("http://me:{PASSWORD}@127.0.0.1:9/linux.tar"),
        sha256: None,
    };
    let text = words(&world.prepare(&down).unwrap_err());
    assert!(!text.contains(PASSWORD), "{text}");
    for place in [
        format!("{wrong}/linux.git"),
        format!("http://me:{PASSWORD}@127.0.0.1:9/x.git"),
    ] {
        let source = Source::Git {
            repository: place,
            reference: "main".to_owned(),
        };
        let error = world.prepare(&source).unwrap_err();
        let text = words(&error);
        assert!(!text.contains(PASSWORD), "{text}");
        assert!(
            matches!(
                error,
                Error::Git(GitError::Refused { .. } | GitError::Unreachable { .. })
            ),
            "{text}"
        );
    }
    assert_eq!(
        holders(world.environment.cache_dir.as_std_path(), PASSWORD),
        [""; 0]
    );
}

#[test]
fn git_is_given_the_login_beside_its_command_line() {
    let world = World::new();
    let server = Server::start();
    let dir = world.kernel("linux");
    crate::world::commit_all(&dir);
    run(&dir, "git", &["update-server-info"]);
    for file in ["HEAD", "info/refs"] {
        let bytes = fs::read(Utf8Path::new(&dir).join(".git").join(file)).unwrap();
        server.put(&format!("/linux.git/{file}"), bytes);
    }
    server.demand_login(&format!("me:{PASSWORD}"));
    let url = format!("{}/linux.git", server.url);
    let look = |repository: String| {
        let source = Source::Git {
            repository,
            reference: "main".to_owned(),
        };
        Looks::new(world.context()).look(&source).unwrap()
    };
    let error = look(url.clone()).unwrap_err().to_string();
    assert!(error.contains("refuses access"), "{error}");
    let commit = run(&dir, "git", &["rev-parse", "HEAD"]);
    let found = look(with(&format!("me:{PASSWORD}"), &url));
    assert_eq!(
        found.map_err(|error| words(&error)),
        Ok(commit.trim().to_owned())
    );
}

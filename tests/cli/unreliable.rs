//! Disks that are full, files that nobody may read, downloads that break off, archives that are
//! damaged: a command fails with a word about it, leaves nothing half done, and works the next time.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use camino::Utf8Path;
use kernelkit::source::Sha256;

use super::{Said, TINY, left_behind, run, said, tiny};
use crate::support::http::{Fault, Server};
use crate::support::{Disk, Sandbox, StandIn, is_root, wait_for};

fn build(sandbox: &Sandbox) -> Said {
    run(sandbox, &["build"])
}

fn assert_refused(sandbox: &Sandbox, said: &Said, words: &[&str]) {
    assert_eq!(said.code, 101, "{}", said.stderr);
    for word in words {
        assert!(said.stderr.contains(word), "{word}: {}", said.stderr);
    }
    assert_eq!(left_behind(sandbox), [""; 0], "{}", said.stderr);
}

fn assert_built(said: &Said) {
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stderr.contains("       Built tiny"), "{}", said.stderr);
}

#[test]
fn a_full_disk_under_the_build_directory_is_said_and_the_next_build_goes_on() {
    let (sandbox, _tree) = tiny("");
    let Some(disk) = Disk::mount(&sandbox, "project/target", 4) else {
        return;
    };
    for kib in [4, 40, 100] {
        disk.resize(kib);
        let full = build(&sandbox);
        assert_eq!(full.code, 101, "{kib}: {}", full.stderr);
        let says = ["No space left on device", "is full"];
        assert!(
            says.iter().any(|words| full.stderr.contains(words)),
            "{kib}: {}",
            full.stderr
        );
        assert_eq!(left_behind(&sandbox), [""; 0], "{kib}: {}", full.stderr);
    }
    disk.resize(1 << 16);
    assert_built(&build(&sandbox));
}

#[test]
fn a_full_disk_under_the_cache_is_said_and_leaves_no_tree() {
    let sandbox = Sandbox::with_kernels(&TINY.replace("../tree", "../linux.tar"));
    pack(&sandbox, &[]);
    let Some(disk) = Disk::mount(&sandbox, "cache", 16) else {
        return;
    };
    assert_refused(&sandbox, &build(&sandbox), &["[sandbox]/cache", "is full"]);
    disk.resize(1 << 16);
    assert_built(&build(&sandbox));
}

/// Runs a build that may not do what files' permissions forbid, as root may.
fn build_without_rights(sandbox: &Sandbox) -> Said {
    let process = sandbox.process(&sandbox.path("project"), &["build"]);
    if !is_root() {
        return said(sandbox, { process }.output().unwrap());
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--bounding-set=-all", "--inh-caps=-all"])
        .arg(process.get_program())
        .args(process.get_args())
        .current_dir(process.get_current_dir().unwrap())
        .env_clear()
        .envs(
            process
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
    said(sandbox, command.output().unwrap())
}

fn chmod(path: &Utf8Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_may_not_be_read_or_written_is_named() {
    let (sandbox, _tree) = tiny("");
    for (path, mode) in [
        ("tree/lib/string.c", 0o000),
        ("tree/lib", 0o000),
        ("tree/Makefile", 0o000),
        ("project/Cargo.toml", 0o000),
        ("project", 0o555),
        ("cache", 0o555),
    ] {
        let path = sandbox.path(path);
        let before = std::fs::metadata(&path).unwrap().permissions().mode();
        chmod(&path, mode);
        let refused = build_without_rights(&sandbox);
        chmod(&path, before);
        let name = sandbox.redact(path.as_str());
        assert_refused(
            &sandbox,
            &refused,
            &[&name, "Permission denied", "hint: check the permissions of"],
        );
    }
    assert_built(&build_without_rights(&sandbox));
}

#[test]
fn a_store_that_cannot_be_written_to_costs_only_the_reuse() {
    let (sandbox, _tree) = tiny("");
    chmod(&sandbox.path("store"), 0o555);
    let built = build_without_rights(&sandbox);
    chmod(&sandbox.path("store"), 0o755);
    assert_built(&built);
    let warning = "warning: the build is not in the store: cannot create directory [sandbox]/store/.releases: Permission denied";
    assert!(built.stderr.contains(warning), "{}", built.stderr);
    assert!(build(&sandbox).stderr.contains("       Fresh tiny"));
}

/// Writes `linux.tar` with a stand-in tree as kernel.org packs it; `more` goes to `tar`.
fn pack(sandbox: &Sandbox, more: &[&str]) -> Vec<u8> {
    let tree = StandIn::new(sandbox, "linux-6.12.117");
    let status = Command::new("tar")
        .args(["--absolute-names", "-cf", "linux.tar"])
        .args(more)
        .arg("linux-6.12.117")
        .current_dir(sandbox.path(""))
        .status()
        .unwrap();
    assert!(status.success());
    std::fs::remove_dir_all(tree.dir()).unwrap();
    std::fs::read(sandbox.path("linux.tar")).unwrap()
}

#[test]
fn archives_that_are_damaged_or_hostile_leave_nothing() {
    let cut = |bytes: Vec<u8>| bytes[..bytes.len() / 3].to_vec();
    let escape = "--transform=s,^linux-6.12.117/lib/string.c,linux-6.12.117/../../../escaped,";
    let absolute = "--transform=s,^linux-6.12.117/lib/string.c,/tmp/escaped,";
    let none = format!(
        "source = {{ tarball = \"../linux.tar\", sha256 = \"{}\" }}",
        "0".repeat(64)
    );
    let plain = "source = \"../linux.tar\"";
    type Change = fn(Vec<u8>) -> Vec<u8>;
    let rows: [(&str, &[&str], Change, &str); 5] = [
        (plain, &[], cut, "linux.tar is damaged or incomplete"),
        (
            plain,
            &[],
            |_| b"words".to_vec(),
            "linux.tar is damaged or incomplete",
        ),
        (
            plain,
            &[escape],
            |bytes| bytes,
            "has a member that leaves the tree: `linux-6.12.117/../../../escaped`",
        ),
        (
            plain,
            &[absolute],
            |bytes| bytes,
            "has a member that has an absolute path: `/tmp/escaped`",
        ),
        (
            &none,
            &[],
            |bytes| bytes,
            "has SHA-256 [digest], not [digest]",
        ),
    ];
    for (source, more, change, words) in rows {
        let sandbox = Sandbox::with_kernels(&TINY.replace("source = \"../tree\"", source));
        let bytes = pack(&sandbox, more);
        std::fs::write(sandbox.path("linux.tar"), change(bytes)).unwrap();
        assert_refused(&sandbox, &build(&sandbox), &[words, "hint: "]);
        assert!(!sandbox.path("escaped").exists());
    }
    let sandbox = Sandbox::with_kernels(&TINY.replace("../tree", "../linux.tar"));
    let whole = pack(&sandbox, &[]);
    std::fs::write(sandbox.path("linux.tar"), cut(whole)).unwrap();
    assert_refused(&sandbox, &build(&sandbox), &["damaged"]);
    pack(&sandbox, &[]);
    assert_built(&build(&sandbox));
}

#[test]
fn an_interrupted_download_is_resumed_by_the_next_build() {
    let server = Server::start();
    let directory = "/pub/linux/kernel/v6.x";
    let tarball = format!("{directory}/linux-6.12.117.tar.xz");
    let url = format!("{}{tarball}", server.url);
    let sandbox = Sandbox::with_kernels(&TINY.replace("../tree", &url));
    let bytes = pack(&sandbox, &[]);
    let sums = format!("{}  linux-6.12.117.tar.xz\n", Sha256::of(&bytes));
    server.put(&format!("{directory}/sha256sums.asc"), sums);
    server.put(&tarball, bytes);

    // After the cut it would try again in a second.
    server.fail([Fault::CutAfter(20_000)]);
    let mut first = sandbox.process(&sandbox.path("project"), &["build"]);
    let first = first.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let arrived = |path: &Utf8Path| {
        path.metadata()
            .is_ok_and(|metadata| metadata.len() == 20_000)
    };
    wait_for("the first part", || {
        let downloads = sandbox.path("cache/download");
        let parts = downloads.read_dir_utf8().into_iter().flatten();
        parts
            .flatten()
            .any(|entry| arrived(&entry.path().join("linux-6.12.117.tar.xz.part")))
    });
    crate::support::signal("INT", first.id());
    let first = said(&sandbox, first.wait_with_output().unwrap());
    assert_refused(
        &sandbox,
        &first,
        &["error: interrupted", "it continues where it stopped"],
    );

    assert_built(&build(&sandbox));
    let requests = server.requests();
    assert_eq!(
        requests.last().unwrap(),
        &format!("GET {tarball} from 20000")
    );
}

#[test]
fn a_damaged_manifest_is_as_good_as_none() {
    let (sandbox, _tree) = tiny("");
    assert_built(&build(&sandbox));
    let manifest = sandbox.path("project/target/kernel/tiny/manifest.json");
    let whole = std::fs::read_to_string(&manifest).unwrap();
    let newer = whole.replacen("\"schema\": 2", "\"schema\": 99", 1);
    for text in ["", "{", "null", &whole[..whole.len() / 2], &newer] {
        std::fs::write(&manifest, text).unwrap();
        let again = build(&sandbox);
        assert!(
            again.stderr.contains("      Reused tiny"),
            "{}",
            again.stderr
        );
    }
    std::fs::write(&manifest, "{").unwrap();
    std::fs::remove_dir_all(sandbox.path("store")).unwrap();
    assert_built(&build(&sandbox));
}

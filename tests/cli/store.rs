use camino::Utf8PathBuf;

use super::{run, run_json, tiny};
use crate::support::Sandbox;

fn built() -> (Sandbox, String) {
    let (sandbox, _tree) = tiny("");
    let message = run_json(&sandbox, &["build"], 0).message("kernel-finished");
    let release = message["manifest"]["release"].as_str().unwrap().to_owned();
    (sandbox, release)
}

/// Changes one byte of the stored image, and nothing that a quick look would see.
fn flip_a_byte(sandbox: &Sandbox, release: &str) -> Utf8PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let image = sandbox.path(&format!("store/{release}/files/boot/vmlinuz-{release}"));
    let metadata = std::fs::metadata(&image).unwrap();
    std::fs::set_permissions(&image, std::fs::Permissions::from_mode(0o644)).unwrap();
    let mut bytes = std::fs::read(&image).unwrap();
    bytes[0] ^= 1;
    std::fs::write(&image, bytes).unwrap();
    std::fs::File::options()
        .write(true)
        .open(&image)
        .unwrap()
        .set_modified(metadata.modified().unwrap())
        .unwrap();
    std::fs::set_permissions(&image, metadata.permissions()).unwrap();
    image
}

#[test]
fn builds_are_listed_with_size_and_use() {
    let (sandbox, release) = built();
    let list = run(&sandbox, &["store", "list"]);
    assert!(
        list.stdout.starts_with(&release) && list.stdout.ends_with("MiB  used today\n"),
        "{}",
        list.stdout
    );
    let entry = run_json(&sandbox, &["store", "list"], 0).message("stored")["entry"].clone();
    assert_eq!(entry["release"], release.as_str());
    assert!(entry["size"].as_u64().unwrap() > 1000, "{entry}");
}

#[test]
fn builds_are_forgotten_by_release_digest_or_pattern() {
    let (sandbox, release) = built();
    let digest = &release[release.len() - 12..];
    for pattern in [release.as_str(), digest, "6.12.*-tree-*"] {
        let gone = run_json(&sandbox, &["store", "forget", pattern], 0).message("dropped");
        assert_eq!(gone["entry"]["release"], release.as_str());
        assert_eq!(run(&sandbox, &["store", "list"]).stdout, "");
        let unknown = run(&sandbox, &["store", "forget", pattern]);
        assert_eq!(unknown.code, 101);
        let error = format!(
            "error: no stored build matches `{pattern}`\nhint: `cargo kernel store list` shows them"
        );
        assert_eq!(unknown.stderr, sandbox.redact(&error));
        assert_eq!(run(&sandbox, &["clean"]).code, 0);
        assert_eq!(
            run_json(&sandbox, &["build"], 0).message("kernel-finished")["outcome"],
            "built"
        );
    }
}

#[test]
fn a_release_stays_taken_until_it_is_freed() {
    let settings = "release = \"{version}-{build}\"\nbuild = 7\n";
    let (sandbox, _tree) = tiny(settings);
    assert_eq!(run(&sandbox, &["build"]).code, 0);
    let release = "6.12.117-7";
    let listed = run(&sandbox, &["store", "releases"]).stdout;
    assert!(
        listed.starts_with(release) && listed.ends_with("  tiny  stored\n"),
        "{listed}"
    );
    let way = format!("`cargo kernel store forget --release {release}` frees it");
    for (args, verb) in [
        (&["prune", "--keep", "0", "--dry-run"][..], "Would drop"),
        (&["forget", "6.12.*"], "Dropped"),
    ] {
        let gone = run(&sandbox, &[&["store"], args].concat());
        for part in [verb, &format!("the release {release} stays taken"), &way] {
            assert!(gone.stderr.contains(part), "{part}: {}", gone.stderr);
        }
    }
    let known = run_json(&sandbox, &["store", "releases"], 0).message("release");
    assert_eq!(known["release"], release);
    assert_eq!(known["stored"], false);
    assert_eq!(known["kernel"], "tiny");
    assert!(known["created"].as_i64().unwrap() > 0);
    assert_eq!(known["digest"].as_str().unwrap().len(), 12, "{known}");

    // Another identity is refused, with the way out, and has the release then.
    let flags = ["plan", "--make-flag", "KCFLAGS=-Wall"];
    let refused = run(&sandbox, &flags);
    assert_eq!(refused.code, 101);
    for part in [
        "of an earlier build of `tiny`, which is",
        "now: flags changed",
        &way.replace(
            "frees it",
            "frees it where no kernel of that name is in use",
        ),
    ] {
        assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
    }
    let freed = run(&sandbox, &["store", "forget", "--release", release]);
    assert_eq!(freed.code, 0, "{}", freed.stderr);
    assert!(
        freed.stderr.contains("two kernels have one name"),
        "{}",
        freed.stderr
    );
    assert_eq!(run(&sandbox, &["store", "releases"]).stdout, "");
    assert_eq!(run(&sandbox, &flags).code, 0);
    let unknown = run(&sandbox, &["store", "forget", "--release", release]);
    assert_eq!(unknown.code, 101);
    assert!(
        unknown.stderr.contains("`cargo kernel store releases`"),
        "{}",
        unknown.stderr
    );

    // One that has its digest in it is not taken from anybody.
    let (sandbox, release) = built();
    let gone = run(&sandbox, &["store", "forget", &release]);
    assert!(!gone.stderr.contains("stays taken"), "{}", gone.stderr);
    assert!(
        run(&sandbox, &["store", "releases"])
            .stdout
            .ends_with("not stored\n")
    );
}

#[test]
fn a_dry_run_drops_nothing() {
    let (sandbox, release) = built();
    let limits = ["store", "prune", "--keep", "0"];
    let dry = run(&sandbox, &[&limits[..], &["--dry-run"]].concat());
    assert_eq!(
        dry.stderr,
        sandbox.redact(&format!("  Would drop {release}"))
    );
    let dry = run_json(&sandbox, &[&limits[..], &["--dry-run"]].concat(), 0);
    assert_eq!(dry.message("dropped")["dry_run"], true);
    assert_ne!(run(&sandbox, &["store", "list"]).stdout, "");
    let kept = run(
        &sandbox,
        &[
            "store",
            "prune",
            "--keep",
            "1",
            "--unused-days",
            "1",
            "--max-size",
            "100",
        ],
    );
    assert_eq!((kept.code, kept.stderr.as_str()), (0, ""));
    assert_eq!(
        run_json(&sandbox, &limits, 0).message("dropped")["dry_run"],
        false
    );
    assert_eq!(run(&sandbox, &["store", "list"]).stdout, "");
}

#[test]
fn one_flipped_byte_is_found() {
    let (sandbox, release) = built();
    let sound = run(&sandbox, &["store", "verify"]);
    assert_eq!(
        (sound.code, sound.stderr),
        (0, sandbox.redact(&format!("       Sound {release}")))
    );
    flip_a_byte(&sandbox, &release);
    let damaged = run(&sandbox, &["store", "verify"]);
    assert_eq!(damaged.code, 100);
    assert!(
        damaged
            .stderr
            .contains(&sandbox.redact(&format!("boot/vmlinuz-{release}"))),
        "{}",
        damaged.stderr
    );
    let verified = run_json(&sandbox, &["store", "verify"], 100).message("verified");
    assert!(verified["wrong"].is_string(), "{verified}");
}

#[test]
fn a_damaged_build_is_built_again() {
    let (sandbox, release) = built();
    let image = sandbox.path(&format!("store/{release}/files/boot/vmlinuz-{release}"));
    let whole = std::fs::read(&image).unwrap();
    std::fs::remove_file(&image).unwrap();
    assert_eq!(run(&sandbox, &["clean"]).code, 0);
    let again = run(&sandbox, &["build"]);
    assert!(
        again.stderr.contains("the store's copy is damaged"),
        "{}",
        again.stderr
    );
    assert!(std::fs::read(&image).unwrap() == whole);
}

#[test]
fn a_stored_image_that_has_rotted_is_reported_and_built_again() {
    let (sandbox, release) = built();
    let image = sandbox.path(&format!(
        "project/target/kernel/tiny/destdir/boot/vmlinuz-{release}"
    ));
    let right = std::fs::read(&image).unwrap();
    flip_a_byte(&sandbox, &release);
    assert_eq!(run(&sandbox, &["clean"]).code, 0);
    let said = run(&sandbox, &["build"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(
        said.stderr.contains("is damaged: boot/vmlinuz-")
            && said.stderr.contains("it is built again")
            && said.stderr.contains("Built tiny"),
        "{}",
        said.stderr
    );
    assert_eq!(std::fs::read(&image).unwrap(), right);
    // The store has the right one now.
    assert_eq!(run(&sandbox, &["store", "verify"]).code, 0);
    assert_eq!(run(&sandbox, &["clean"]).code, 0);
    let said = run(&sandbox, &["build"]);
    assert!(said.stderr.contains("Reused tiny"), "{}", said.stderr);
    assert_eq!(std::fs::read(&image).unwrap(), right);

    flip_a_byte(&sandbox, &release);
    assert_eq!(run(&sandbox, &["store", "verify"]).code, 100);
    assert_eq!(run(&sandbox, &["store", "verify", "--repair"]).code, 0);
    assert_eq!(run(&sandbox, &["store", "list"]).stdout, "");
}

#[test]
fn permissions_do_not_depend_on_the_umask() {
    use std::os::unix::fs::PermissionsExt as _;
    let modes = |umask: &str| -> Vec<(String, u32)> {
        let (sandbox, _tree) = tiny("fragments = [\"core/modules\"]\nlabel = \"x\"\n");
        let kernel = sandbox.process(&sandbox.path("project"), &["build"]);
        let mut shell = std::process::Command::new("/bin/sh");
        shell
            .args(["-c", &format!("umask {umask} && exec \"$0\" \"$@\"")])
            .arg(kernel.get_program())
            .args(kernel.get_args())
            .current_dir(sandbox.path("project"))
            .env_clear()
            .envs(
                kernel
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            );
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let mut found = Vec::new();
        let mut open = vec![sandbox.path("project/target/kernel/tiny/destdir")];
        while let Some(directory) = open.pop() {
            for entry in directory.read_dir_utf8().unwrap() {
                let entry = entry.unwrap();
                let metadata = entry.metadata().unwrap();
                if metadata.is_dir() {
                    open.push(entry.path().to_owned());
                }
                let mode = metadata.permissions().mode() & 0o7777;
                found.push((entry.file_name().to_owned(), mode));
            }
        }
        found.sort();
        found
    };
    let usual = modes("022");
    assert!(usual.len() > 6, "{usual:?}");
    assert_eq!(modes("077"), usual);
    assert_eq!(modes("000"), usual);
}

use kernelkit::source::Sha256;

use super::{TINY, run, run_json, said, tiny};
use crate::support::{Sandbox, StandIn};

/// The digest that `cargo kernel identity` gives with more arguments.
fn digest(sandbox: &Sandbox, args: &[&str]) -> String {
    let said = run_json(sandbox, &[&["identity"], args].concat(), 0);
    said.message("identity")["digest"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn the_digest_is_the_head_of_the_sha256_of_the_text() {
    let (sandbox, _tree) = tiny("make-flags = [\"W=1\", \"KCFLAGS=-g -Og\"]\n");
    let message = run_json(&sandbox, &["identity"], 0).message("identity");
    let text = message["text"].as_str().unwrap();
    let digest = message["digest"].as_str().unwrap();
    assert_eq!(Sha256::of(text.as_bytes()).to_string()[..12], *digest);
    assert!(message["release"].as_str().unwrap().ends_with(digest));
    let keys: Vec<_> = text
        .lines()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(
        keys,
        [
            "kernelkit-identity",
            "release",
            "trust",
            "source",
            "config",
            "toolchain",
            "flags"
        ]
    );
    let flags = text.lines().last().unwrap();
    assert!(
        flags.contains("'KCFLAGS=-g -Og'") && flags.contains(" W=1"),
        "{flags}"
    );

    // For people the same text stands between comments.
    let shown = run(&sandbox, &["identity"]).stdout;
    let lines = shown.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(
        lines.map(|line| format!("{line}\n")).collect::<String>(),
        text
    );
}

/// What `identity --diff` says: the exit code, and what follows the two releases.
fn diff(sandbox: &Sandbox, args: &[&str]) -> (i32, String) {
    let said = run(sandbox, &[&["identity", "tiny", "--diff"], args].concat());
    assert_ne!(said.code, 101, "{}", said.stderr);
    let shown = sandbox.redact(&said.stdout);
    (
        said.code,
        shown.lines().skip(2).collect::<Vec<_>>().join("\n"),
    )
}

/// Settles for other settings after `cargo kernel build`.
fn declare(sandbox: &Sandbox, settings: &str) {
    let text = format!("[workspace]\nmembers = []\n\n{TINY}{settings}");
    sandbox.write("project/Cargo.toml", &text);
}

const PATCH: &str = "--- a/lib/string.c\n+++ b/lib/string.c\n@@ -1,3 +1,4 @@\n // SPDX-License-Identifier: MIT OR Apache-2.0\n+/* patched */\n #include <linux/stand_in.h>\n \n";

#[test]
fn what_decides_the_bytes_changes_the_identity_and_is_named() {
    let (sandbox, tree) = tiny("");
    assert_eq!(run(&sandbox, &["build"]).code, 0);
    sandbox.write("project/lib.patch", PATCH);
    sandbox.write(
        "project/fragments/fs/mine.config",
        "# summary: mine\nCONFIG_STACKTRACE=y\nCONFIG_FRAME_WARN=1024\n",
    );
    let digests = "\n  - [digest]\n  + [digest]";
    let rows = [
        (
            "patches = [\"lib.patch\"]\nlabel = \"tree\"\n",
            format!("source{digests}"),
        ),
        (
            "label = \"other\"\n",
            "release\n  - 6.12.117-tree-{digest}\n  + 6.12.117-other-{digest}".to_owned(),
        ),
        (
            "release = \"{version}-{digest}.{dist}\"\ndist = \"el8\"\n",
            "release\n  - 6.12.117-tree-{digest}\n  + 6.12.117-{digest}.el8".to_owned(),
        ),
        (
            "fragments = [\"fs/mine\"]\n[workspace.metadata.kernel]\nfragment-dirs = [\"fragments\"]\n",
            format!("config{digests}\n    CONFIG_FRAME_WARN: 2048 → 1024\n    CONFIG_STACKTRACE: n → y"),
        ),
        (
            "make-flags = [\"KCFLAGS=-Wall\"]\n",
            "flags\n  + KCFLAGS=-Wall".to_owned(),
        ),
        (
            "timestamp = 0\n",
            "flags\n  - 'KBUILD_BUILD_TIMESTAMP=Sun Aug 25 20:57:08 UTC 1991'\n  + 'KBUILD_BUILD_TIMESTAMP=Thu Jan  1 00:00:00 UTC 1970'".to_owned(),
        ),
    ];
    for (settings, difference) in rows {
        declare(&sandbox, settings);
        assert_eq!(diff(&sandbox, &[]), (100, difference), "{settings}");
    }
    declare(&sandbox, "");
    let _tree = tree.edit("lib/string.c", |text| format!("{text}/* edited */\n"));
    assert_eq!(diff(&sandbox, &[]), (100, format!("source{digests}")));
}

#[test]
fn what_does_not_reach_the_bytes_is_no_difference() {
    let (sandbox, tree) = tiny("");
    assert_eq!(run(&sandbox, &["build"]).code, 0);
    let settings =
        "jobs = 1\nccache = false\nbuild = 7\ndist = \"el8\"\ncompile-commands = false\n";
    declare(&sandbox, settings);
    // Written again, with the same bytes.
    let _tree = tree.edit("lib/string.c", str::to_owned);
    let equal = (0, "the identities are equal".to_owned());
    assert_eq!(diff(&sandbox, &["--no-reuse"]), equal);
}

#[test]
fn another_directory_user_or_day_has_the_same_identity() {
    let (sandbox, _tree) = tiny("");
    let here = digest(&sandbox, &[]);
    assert_eq!(digest(&sandbox, &["--jobs", "7", "--no-ccache"]), here);
    let other = Sandbox::with_kernels(&TINY.replace("../tree", "../a/tree"));
    StandIn::new(&other, "a/tree");
    assert_eq!(digest(&other, &[]), here);
    let mut command = other.kernel(&["identity", "--message-format", "json"]);
    command.envs([
        ("USER", "somebody"),
        ("LOGNAME", "somebody"),
        ("HOSTNAME", "elsewhere"),
    ]);
    command.envs([
        ("TZ", "Asia/Tokyo"),
        ("LANG", "de_DE.UTF-8"),
        ("SOURCE_DATE_EPOCH", "1"),
    ]);
    command.envs([("KCFLAGS", "-O3"), ("ARCH", "arm64"), ("MAKEFLAGS", "-j9")]);
    let said = said(&other, command.output().unwrap());
    assert_eq!(said.message("identity")["digest"], here.as_str());
}

#[test]
fn a_diff_needs_something_to_compare_with() {
    let (sandbox, _tree) = tiny("");
    let nothing = run(&sandbox, &["identity", "--diff"]);
    assert_eq!(nothing.code, 101);
    assert!(
        nothing.stderr.contains("`tiny` has not been built here"),
        "{}",
        nothing.stderr
    );
    let built = run_json(&sandbox, &["build"], 0).message("kernel-finished");
    let release = built["manifest"]["release"].as_str().unwrap();
    let manifest = "target/kernel/tiny/manifest.json";
    for other in ["tiny", release, &release[release.len() - 12..], manifest] {
        let equal = run(&sandbox, &["identity", "tiny", &format!("--diff={other}")]);
        assert_eq!(equal.code, 0, "{other}: {}{}", equal.stdout, equal.stderr);
    }
    // The file that was read is named, and what an earlier kernelkit wrote says what it lacks.
    let text = std::fs::read_to_string(sandbox.path(&format!("project/{manifest}"))).unwrap();
    let mut earlier: serde_json::Value = serde_json::from_str(&text).unwrap();
    let identity = earlier["identity"].as_object_mut().unwrap();
    assert!(identity.remove("release").is_some() && identity.remove("trust").is_some());
    sandbox.write("project/earlier.json", &earlier.to_string());
    let flags = ["identity", "tiny", "--diff=earlier.json"];
    let said = run(&sandbox, &flags);
    assert_eq!(said.code, 100, "{}", said.stderr);
    assert!(
        said.stdout
            .contains("\n  - not part of it, in format 1\n  + 6.12.117-"),
        "{}",
        said.stdout
    );
    let said = run_json(&sandbox, &flags, 100).message("identity-diff");
    assert_eq!(said["path"], sandbox.path("project/earlier.json").as_str());

    let unknown = run(&sandbox, &["identity", "tiny", "--diff=nothing"]);
    assert_eq!(unknown.code, 101);
    assert!(
        unknown.stderr.contains("`cargo kernel store list`"),
        "{}",
        unknown.stderr
    );
    sandbox.write("project/other.json", "version = 1\n");
    for file in ["other.json", "Cargo.toml"] {
        let other = run(&sandbox, &["identity", "tiny", &format!("--diff={file}")]);
        let message = format!("project/{file} is no manifest of a build");
        assert!(
            other.code == 101 && other.stderr.contains(&message) && other.stderr.contains("hint"),
            "{}",
            other.stderr
        );
    }
}

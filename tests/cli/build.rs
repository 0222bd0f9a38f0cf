use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

use crate::support::{Sandbox, StandIn, require_tool};

/// A sandbox with a stand-in tree in `tree` and a kernel `tiny` made of it.
fn tiny(settings: &str) -> (Sandbox, StandIn) {
    let sandbox = Sandbox::with_kernels(&format!(
        "[workspace.metadata.kernel.kernels.tiny]\nsource = \"../tree\"\npreset = \"tiny\"\n{settings}"
    ));
    let tree = StandIn::new(&sandbox, "tree");
    (sandbox, tree)
}

/// What a build said, and what it left.
struct Built {
    reasons: Vec<String>,
    /// What make compiled, linked and copied.
    commands: u64,
    manifest: Value,
}

impl Built {
    fn release(&self) -> &str {
        self.manifest["release"].as_str().unwrap()
    }
}

/// Runs `cargo kernel build` in the sandbox's project; it must succeed.
fn build(sandbox: &Sandbox, args: &[&str]) -> Built {
    build_in(sandbox, &sandbox.path("project"), args)
}

fn build_in(sandbox: &Sandbox, directory: &Utf8Path, args: &[&str]) -> Built {
    let args = [&["build", "--message-format", "json"], args].concat();
    let output = sandbox.kernel_in(directory, &args).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{stdout}");
    let messages: Vec<Value> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let reasons: Vec<_> = messages
        .iter()
        .map(|message| message["reason"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(reasons.last().unwrap(), "build-finished", "{stdout}");
    let finished = messages
        .iter()
        .find(|message| message["reason"] == "kernel-finished")
        .unwrap();
    let manifest = finished["manifest"].clone();
    let stages = reasons.iter().filter(|reason| *reason == "stage-finished");
    let commands = match stages.count() {
        0 => 0,
        _ => manifest["statistics"]["commands"].as_u64().unwrap(),
    };
    Built {
        reasons,
        commands,
        manifest,
    }
}

/// The standard error of a `cargo kernel build` that fails with `code`.
fn failure(sandbox: &Sandbox, code: i32) -> String {
    let output = sandbox.kernel(&["build"]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    sandbox.redact(&stderr)
}

/// Every installed file with its bytes.
pub(super) fn installed(state: &Utf8Path) -> BTreeMap<Utf8PathBuf, Vec<u8>> {
    fn walk(directory: &Utf8Path, root: &Utf8Path, files: &mut BTreeMap<Utf8PathBuf, Vec<u8>>) {
        for entry in directory.read_dir_utf8().unwrap() {
            let path = entry.unwrap().into_path();
            if path.is_dir() {
                walk(&path, root, files);
            } else {
                let name = path.strip_prefix(root).unwrap().to_owned();
                files.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    let mut files = BTreeMap::new();
    let destdir = state.join("destdir");
    walk(&destdir, &destdir, &mut files);
    assert!(files.len() > 3, "{:?}", files.keys());
    files
}

#[test]
fn a_second_build_compiles_nothing() {
    let (sandbox, _tree) = tiny("");
    let first = build(&sandbox, &[]);
    assert!(first.commands > 5, "{}", first.manifest);
    let again = build(&sandbox, &[]);
    assert_eq!((again.commands, again.release()), (0, first.release()));
    assert!(
        !again.reasons.iter().any(|reason| reason == "stage-started"),
        "{:?}",
        again.reasons
    );
}

#[test]
fn what_is_in_the_store_is_not_built_in_another_directory() {
    for settings in ["", "debug = true\n"] {
        let (sandbox, _tree) = tiny(settings);
        let first = build(&sandbox, &[]);
        let toml = std::fs::read_to_string(sandbox.path("project/Cargo.toml")).unwrap();
        sandbox.write("elsewhere/Cargo.toml", &toml);
        let elsewhere = sandbox.path("elsewhere");
        let reused = build_in(&sandbox, &elsewhere, &[]);
        assert_eq!((reused.commands, reused.release()), (0, first.release()));
        assert_eq!(
            installed(&sandbox.path("project/target/kernel/tiny")),
            installed(&elsewhere.join("target/kernel/tiny"))
        );
    }
}

#[test]
fn a_kernel_without_modules_is_taken_from_the_store() {
    let (sandbox, _tree) = tiny("");
    sandbox.write(
        "project/Cargo.toml",
        "[workspace]\nmembers = []\n\n[workspace.metadata.kernel.kernels.small]\nsource = \"../tree\"\nfragments = [\"core/boot\"]\n",
    );
    let first = build(&sandbox, &[]);
    assert_eq!(first.manifest["config"]["modules"], false);
    std::fs::remove_dir_all(sandbox.path("project/target")).unwrap();
    assert_eq!(build(&sandbox, &[]).commands, 0);
}

#[test]
fn neither_directory_nor_ccache_nor_jobs_change_the_bytes() {
    if !require_tool("ccache") {
        return;
    }
    let (sandbox, _tree) = tiny("debug = true\nlabel = \"same\"\n");
    let toml = std::fs::read_to_string(sandbox.path("project/Cargo.toml")).unwrap();
    sandbox.write("deep/er/elsewhere/Cargo.toml", &toml);
    StandIn::new(&sandbox, "deep/er/tree");
    let first = build(&sandbox, &["--no-reuse"]);
    // Kbuild follows a link to the place where objects really lie, as here on a faster disk.
    let elsewhere = sandbox.path("deep/er/elsewhere");
    std::fs::create_dir(sandbox.path("disk")).unwrap();
    std::os::unix::fs::symlink(sandbox.path("disk"), elsewhere.join("target")).unwrap();
    let second = build_in(
        &sandbox,
        &elsewhere,
        &["--no-reuse", "--no-ccache", "--jobs", "1"],
    );
    assert!(second.commands > 5, "{}", second.manifest);
    assert_eq!(first.release(), second.release());
    let names = |files: &BTreeMap<Utf8PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    let (one, other) = (
        installed(&sandbox.path("project/target/kernel/tiny")),
        installed(&elsewhere.join("target/kernel/tiny")),
    );
    assert_eq!(names(&one), names(&other));
    for (name, bytes) in &one {
        assert!(bytes == &other[name], "{name} differs");
    }
}

#[test]
fn an_edit_gives_another_release_and_compiles_what_it_touches() {
    let (sandbox, tree) = tiny("");
    let first = build(&sandbox, &[]);
    let _tree = tree.edit("lib/string.c", |text| format!("{text}/* edited */\n"));
    let second = build(&sandbox, &[]);
    assert_ne!(first.release(), second.release());
    assert!(second.commands < first.commands, "{}", second.manifest);
}

#[test]
fn another_compiler_of_the_same_version_gives_another_release() {
    let (sandbox, _tree) = tiny("");
    let first = build(&sandbox, &[]);
    let path = std::env::var("PATH").unwrap();
    let gcc = kernelkit::effect::exec::find_on_path("gcc", &path).unwrap();
    sandbox.tool("gcc", &format!("exec {gcc} \"$@\""));
    let second = build(&sandbox, &[]);
    assert_ne!(first.release(), second.release());
    assert!(second.commands > 5, "{}", second.manifest);
}

#[test]
fn the_kernel_says_what_was_predicted() {
    let (sandbox, tree) = tiny("label = \"my-words\"\n");
    let _tree = tree
        .version(["7", "3", "0", "-rc4"])
        .edit("localversion-next", |_| "-next-20260801\n".to_owned());
    let built = build(&sandbox, &[]);
    assert!(
        built
            .release()
            .starts_with("7.3.0-rc4-next-20260801-my-words-"),
        "{}",
        built.release()
    );
    let observed = &built.manifest["observed"];
    assert_eq!(observed["uts_release"], built.release());
    assert_ne!(observed["uts_machine"], "");
    let notes = std::process::Command::new("readelf")
        .args(["-n", "target/kernel/tiny/build/vmlinux"])
        .current_dir(sandbox.path("project"))
        .output()
        .unwrap();
    let notes = String::from_utf8(notes.stdout).unwrap();
    let build_id = observed["build_id"].as_str().unwrap();
    assert!(
        notes.contains(&format!("Build ID: {build_id}\n")),
        "{notes}"
    );
}

/// The generated header says what was planned in each of these.
#[test]
fn a_built_file_of_another_release_fails_the_build_and_is_named() {
    let banner = "const char linux_banner[] = \"Linux version \" ";
    let vermagic = "\"vermagic=\" ";
    let rows = [
        (
            (
                "scripts/bzimage",
                "'%s\\000' \"$2\"",
                "'6.12.117-other (a@b) #1\\000'",
            ),
            "the x86 setup header says `6.12.117-other`",
        ),
        (
            (
                "init/version-timestamp.c",
                &*format!("{banner}UTS_RELEASE"),
                &*format!("{banner}\"6.12.117-other\""),
            ),
            "the kernel's banner `Linux version …` says `6.12.117-other`",
        ),
        (
            (
                "init/version-timestamp.c",
                "\"(none)\", UTS_RELEASE,",
                "\"(none)\", \"6.12.117-other\",",
            ),
            "the kernel's answer to uname(2) says `6.12.117-other`",
        ),
        (
            (
                "lib/test_module.c",
                &*format!("{vermagic}UTS_RELEASE"),
                &*format!("{vermagic}\"6.12.117-other\""),
            ),
            "kernel/lib/test_module.ko says `6.12.117-other`",
        ),
    ];
    for ((file, from, to), expected) in rows {
        let (sandbox, tree) = tiny("arch = \"x86_64\"\n");
        let _tree = tree.edit(file, |text| {
            assert!(text.contains(from), "{file}: {from}");
            text.replace(from, to)
        });
        let error = failure(&sandbox, 101);
        assert!(
            error.contains(" the planned `6.12.117-tree-") && error.contains(expected),
            "{error}"
        );
        assert!(
            !sandbox
                .path("project/target/kernel/tiny/manifest.json")
                .exists()
        );
    }
}

#[test]
fn a_failed_compile_shows_the_compilers_error() {
    let (sandbox, tree) = tiny("");
    let _tree = tree.edit("lib/string.c", |text| format!("{text}int broken(\n"));
    let error = failure(&sandbox, 101);
    assert!(
        error.contains("lib/string.c:") && error.contains(": error: "),
        "{error}"
    );
    assert!(error.lines().count() < 30, "{error}");
}

#[test]
fn a_request_that_vanishes_is_named_with_its_line() {
    let (sandbox, _tree) = tiny("fragments = [\"fs/mine\"]\n");
    let toml = std::fs::read_to_string(sandbox.path("project/Cargo.toml")).unwrap();
    sandbox.write(
        "project/Cargo.toml",
        &format!("{toml}\n[workspace.metadata.kernel]\nfragment-dirs = [\"fragments\"]\n"),
    );
    sandbox.write(
        "project/fragments/fs/mine.config",
        "# summary: ext4\n\nCONFIG_EXT4_FS=y\n",
    );
    let error = failure(&sandbox, 101);
    assert!(
        error.contains("fs/mine.config:3:1\n") && error.contains("3 | CONFIG_EXT4_FS=y\n"),
        "{error}"
    );
}

#[test]
fn a_tree_that_was_built_in_place_is_refused() {
    let (sandbox, _tree) = tiny("");
    sandbox.write("tree/.config", "");
    let error = failure(&sandbox, 101);
    assert!(error.contains("tree/.config is there"), "{error}");
    assert!(error.contains("hint: "), "{error}");
}

//! What a user can get wrong: what is said, and that nothing of it looks finished.

use std::os::unix::ffi::OsStrExt as _;

use insta::assert_snapshot;

use super::lock::{commit, git};
use super::{Said, TINY, left_behind, path_without, run, said, tiny};
use crate::support::git_server::GitServer;
use crate::support::{Sandbox, StandIn};

/// The standard error of a build that cannot be completed and leaves nothing behind.
fn refused(sandbox: &Sandbox, args: &[&str]) -> String {
    let said = run(sandbox, &[&["build"], args].concat());
    unfinished(sandbox, said)
}

fn unfinished(sandbox: &Sandbox, said: Said) -> String {
    assert_eq!(said.code, 101, "{}{}", said.stdout, said.stderr);
    assert_eq!(left_behind(sandbox), [""; 0]);
    said.stderr
}

/// The same of [`TINY`] with more settings.
fn refused_with(settings: &str) -> String {
    let (sandbox, _tree) = tiny(settings);
    refused(&sandbox, &[])
}

/// The same with a fragment `fs/mine` of the user's.
fn refused_with_fragment(text: &str) -> String {
    let (sandbox, _tree) = tiny(
        "fragments = [\"fs/mine\"]\n\n[workspace.metadata.kernel]\nfragment-dirs = [\"fragments\"]\n",
    );
    sandbox.write("project/fragments/fs/mine.config", text);
    refused(&sandbox, &[])
}

#[test]
fn words_that_nobody_knows_are_named_with_the_nearest() {
    assert_snapshot!(refused_with("lable = \"x\"\n"), @r"
    error: Cargo.toml:8:1: unknown key `lable` in `workspace.metadata.kernel.kernels.tiny`
    hint: did you mean `label`?
    ");
    assert_snapshot!(refused_with("arch = \"x86_46\"\n"), @r"
    error: Cargo.toml:8:8: unknown architecture `x86_46`
    hint: did you mean `x86_64`?
    ");
    assert_snapshot!(refused_with("compiler = \"icc\"\n"), @r"
    error: Cargo.toml:8:12: unknown compiler `icc`
    hint: did you mean `gcc`?
    ");
    assert_snapshot!(refused_with("fragments = [\"fs/ext5\"]\n"), @r"
    error: there is no fragment `fs/ext5`
    hint: did you mean `fs/ext4` or `builtin/fs/ext4`?
    ");
    assert_snapshot!(refused_with("timestamp = \"yesterday\"\n"), @r"
    error: Cargo.toml:8:13: `yesterday` is not a timestamp
    hint: use `fixed`, `commit`, a time with its offset such as `2026-01-31T12:00:00Z`, or seconds since 1970
    ");
    assert_snapshot!(refused_with("lable = \"x\"\njobs = 0\n"), @r"
    error: the kernels' settings have 2 problems
      Cargo.toml:8:1: unknown key `lable` in `workspace.metadata.kernel.kernels.tiny`
        hint: did you mean `label`?
      Cargo.toml:9:8: `0` is not a number of jobs
        hint: use `auto`, `auto+1` or a number from 1 on
    ");
    let (sandbox, _tree) = tiny("");
    assert_snapshot!(refused(&sandbox, &["tinny"]), @r"
    error: unknown kernel `tinny`
    hint: did you mean `tiny`?
    ");
    assert_snapshot!(refused(&sandbox, &["--preset", "tinny"]), @r"
    error: there is no fragment `preset/tinny`
    hint: did you mean `preset/tiny`?
    ");
    assert_snapshot!(refused(&sandbox, &["--source", "6.x"]), @r"
    error: --source: `6.x` selects no kernel version
    hint: write a version (`6.12.117`, `7.3-rc4`), a series (`6.12`, `6.12.y`), `stable`, `longterm` or `mainline`; a directory of that name is `./6.x`
    ");
    assert_snapshot!(refused(&sandbox, &["--make", "all"]), @r"
    error: --make: `all` does not make a configuration
    hint: a configuration starts from a goal such as `defconfig`; what make builds are `targets`
    ");
    assert_snapshot!(refused(&sandbox, &["--make", "menuconfig"]), @r"
    error: --make: `menuconfig` is interactive
    hint: start from `defconfig`, or save what you choose there and name the file as `config`
    ");
    assert_snapshot!(refused(&sandbox, &["--make", "nopeconfig"]), @r"
    error: the kernel's own configuration failed
      caused by: `make` failed with exit status 2
      make: *** No rule to make target 'nopeconfig'.  Stop.
    hint: to run it by hand: [call]
    ");
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    let (sandbox, _tree) = tiny("");
    for args in [
        &["bild"][..],
        &["build", "--fragmnet", "fs/ext4"],
        &["build", "--fragment"],
        &["identity", "a", "b"],
        &["store", "prune"],
        &[],
    ] {
        let said = run(&sandbox, args);
        assert_eq!(said.code, 2, "{args:?}: {}", said.stderr);
        assert!(said.stderr.contains("--help"), "{}", said.stderr);
    }
}

#[test]
fn labels_and_releases_have_limits() {
    let long = "a-label-that-is-longer-than-forty-characters";
    assert_snapshot!(refused_with(&format!("label = \"{long}\"\n")), @r"
    error: Cargo.toml:8:9: `a-label-that-is-longer-than-forty-characters` cannot be a label
    hint: use letters, digits, `.`, `_` and `-`, at most 40
    ");
    assert_snapshot!(refused_with("label = \"…\"\n"), @r"
    error: Cargo.toml:8:9: `…` cannot be a label
    hint: use letters, digits, `.`, `_` and `-`, at most 40
    ");
    let (sandbox, tree) = tiny("");
    let _tree = tree.edit("localversion-x", |_| format!("-{}\n", "x".repeat(50)));
    assert_snapshot!(refused(&sandbox, &[]), @r"
    error: release `6.12.117-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx-{digest}` is longer than the 64 characters of `uname -r`
    hint: shorten CONFIG_LOCALVERSION, the tree's localversion files, or the template `release`: version and localversions (`6.12.117-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx`) may take 51 characters
    ");
}

#[test]
fn malformed_fragments_are_pointed_at() {
    assert_snapshot!(refused_with_fragment("CONFIG_EXT4_FS=yes\n"), @r"
    error: [sandbox]/project/fragments/fs/mine.config:1: `CONFIG_EXT4_FS=yes` is neither a setting nor a comment
    hint: a value is y, m, n, a number, or a text in double quotes
    ");
    let text = "# sumary: x\nCONFIG_ext4=y\n CONFIG_A=y\n#CONFIG_B is not set\nCONFIG_C = y\nwords\nCONFIG_D=y\nCONFIG_D=n\n";
    assert_snapshot!(refused_with_fragment(text), @r"
    error: 6 lines of fragments cannot be used
      [sandbox]/project/fragments/fs/mine.config:1: unknown header key `sumary`
        hint: did you mean `summary`?
      [sandbox]/project/fragments/fs/mine.config:3: blanks around `CONFIG_A=y`
        hint: remove them: some kernels ignore such a line, others cut the value
      [sandbox]/project/fragments/fs/mine.config:4: `#CONFIG_B is not set` is neither a setting nor a comment
        hint: to switch it off, write `# CONFIG_B is not set`
      [sandbox]/project/fragments/fs/mine.config:5: `CONFIG_C = y` is neither a setting nor a comment
        hint: a value is y, m, n, a number, or a text in double quotes
      [sandbox]/project/fragments/fs/mine.config:6: `words` is neither a setting nor a comment
        hint: write `CONFIG_NAME=value` or `# CONFIG_NAME is not set`
      [sandbox]/project/fragments/fs/mine.config:8: CONFIG_D was set on line 7 already
        hint: keep one of the two lines
    ");
}

#[test]
fn requests_that_no_kernel_can_meet_are_all_named() {
    let text = "# summary: impossible\nCONFIG_NO_SUCH_SYMBOL=y\n# CONFIG_BLOCK is not set\nCONFIG_EXT4_FS=y\n";
    assert_snapshot!(refused_with_fragment(text), @r"
    error: request CONFIG_NO_SUCH_SYMBOL=y does not hold
     --> [sandbox]/project/fragments/fs/mine.config:2:1
      |
    2 | CONFIG_NO_SUCH_SYMBOL=y
      | ^^^^^^^^^^^^^^^^^^^^^^^ it is not in the configuration

    error: request CONFIG_EXT4_FS=y does not hold
     --> [sandbox]/project/fragments/fs/mine.config:4:1
      |
    4 | CONFIG_EXT4_FS=y
      | ^^^^^^^^^^^^^^^^ it is not in the configuration

    error: 2 requested symbols are not in the configuration of `tiny`
    hint: a symbol vanishes when it does not exist in this version or architecture, or when something it depends on is off: set that too, or drop the request
    ");
}

#[test]
fn a_source_must_be_a_kernel() {
    let sandbox = Sandbox::with_kernels(TINY);
    assert_snapshot!(refused(&sandbox, &[]), @r"
    error: [sandbox]/tree is not a kernel tree: it has no Makefile
    hint: name the top directory of a kernel tree, the one with MAINTAINERS in it
    ");
    sandbox.write("tree/Makefile", "all:\n");
    assert_snapshot!(refused(&sandbox, &[]), @r"
    error: [sandbox]/tree is not a kernel tree: it has no Kconfig
    hint: name the top directory of a kernel tree, the one with MAINTAINERS in it
    ");
    sandbox.write("tree/Kconfig", "");
    assert_snapshot!(refused(&sandbox, &[]), @r"
    error: [sandbox]/tree is not a kernel tree
      caused by: the Makefile does not set VERSION
    hint: is this the Makefile at the root of a kernel tree?
    ");
    assert_snapshot!(refused(&sandbox, &["--patch", "none/*.patch"]), @r"
    error: no patch matches `none/*.patch`, which --patch names
    hint: patches are files, globs, directories or `series` files, relative to the workspace root
    ");
}

#[test]
fn without_a_manifest_a_kernel_must_be_described() {
    let sandbox = Sandbox::new();
    let tree = StandIn::new(&sandbox, "tree");
    assert_snapshot!(refused(&sandbox, &[]), @r"
    error: there is no Cargo.toml in [sandbox]/project or above it
    hint: `cargo kernel init` writes one; without one, name a source and a configuration: `--source DIR --preset tiny`
    ");
    sandbox.write("project/Cargo.toml", "[workspace\n");
    assert_snapshot!(refused(&sandbox, &[]), @r"
    error: Cargo.toml:1:11: unclosed table, expected `]`
    hint: the file is not valid TOML (https://toml.io); text, versions too, stands in quotes
    ");
    sandbox.write("project/Cargo.toml", "[workspace]\nmembers = [\"gone\"]\n");
    let error = refused(&sandbox, &[]);
    assert!(
        error.contains("gone/Cargo.toml"),
        "cargo's own words: {error}"
    );
    std::fs::remove_file(sandbox.path("project/Cargo.toml")).unwrap();
    let described = run(
        &sandbox,
        &["build", "--source", tree.dir().as_str(), "--preset", "tiny"],
    );
    assert_eq!(described.code, 0, "{}", described.stderr);
}

#[test]
fn without_a_compiler_its_package_is_named() {
    let (sandbox, _tree) = tiny("");
    let mut command = sandbox.kernel(&["build"]);
    command.env("PATH", path_without(&sandbox, &["gcc"]));
    let without = said(&sandbox, command.output().unwrap());
    assert_snapshot!(unfinished(&sandbox, without), @r"
    error: `gcc` was not found on PATH; it builds kernels for x86_64 with gcc
    hint: `cargo kernel doctor --install` installs what is missing; on Debian it is in: gcc binutils
    ");
}

#[test]
fn a_matrix_that_gives_one_name_twice_is_refused() {
    let matrix = |name: &str, labels: &str| {
        let axes = format!("axes = {{ arch = [\"x86_64\"], label = [{labels}] }}");
        let rest = "source = \"../tree\"\npreset = \"tiny\"\nname = \"k-{arch}\"";
        format!("[workspace.metadata.kernel.matrix.{name}]\n{rest}\n{axes}\n")
    };
    let refused = |text: &str| {
        let sandbox = Sandbox::with_kernels(text);
        refused(&sandbox, &["--all"])
    };
    assert_snapshot!(refused(&matrix("t", "\"a\", \"b\"")), @r"
    error: Cargo.toml:5:35: the matrix `t` has two kernels `k-x86_64`: (x86_64, a) and (x86_64, b)
    hint: let `name` use every axis, and give each value a name of its own
    ");
    assert_snapshot!(refused(&(matrix("t", "\"a\"") + &matrix("u", "\"a\""))), @r#"
    error: Cargo.toml:10:35: kernel `k-x86_64` is declared twice, first at Cargo.toml:5:35
    hint: kernels of a matrix are called by its `name`: in `u`, write `name = "u-{arch}-{label}"`
    "#);
}

#[test]
fn a_repository_that_stops_in_the_middle_or_loses_a_branch_is_told_and_the_next_call_goes_on() {
    let sandbox = Sandbox::new();
    let tree = StandIn::new(&sandbox, "tree");
    git(tree.dir(), &["init", "-q", "-b", "main"]);
    commit(&tree);
    git(tree.dir(), &["branch", "topic"]);
    let server = GitServer::start(tree.dir());
    let source = format!("source = {{ git = \"{}\", ref = \"topic\" }}", server.url);
    let kernel = TINY.replace("source = \"../tree\"", &source);
    sandbox.write(
        "project/Cargo.toml",
        &format!("[workspace]\nmembers = []\n{kernel}"),
    );
    let cut_off = format!("the connection to {} was cut off", server.url);

    // What asks for the references goes through, and what fetches is cut.
    server.cut(&[usize::MAX, 300]);
    let error = refused(&sandbox, &[]);
    assert!(error.contains(&format!("error: {cut_off}")), "{error}");
    assert!(error.contains("hint: run it again"), "{error}");
    let watch = |code| {
        let said = run(&sandbox, &["watch", "--once"]);
        assert_eq!(said.code, code, "{}", said.stderr);
        said.stderr
    };
    watch(0);
    server.cut(&[20]);
    let error = watch(101);
    assert!(
        error.contains(&format!("error: tiny: {cut_off}")),
        "{error}"
    );
    watch(100);

    git(tree.dir(), &["branch", "-D", "topic"]);
    let gone = run(&sandbox, &["build"]);
    assert_eq!(gone.code, 101);
    let message = format!("error: {} has `topic` no more", server.url);
    assert!(gone.stderr.contains(&message), "{}", gone.stderr);
    let hint = "hint: it was [digest] when it was last seen: name that commit to build it again";
    assert!(gone.stderr.contains(hint), "{}", gone.stderr);
    let offline = run(&sandbox, &["build", "--offline"]);
    assert_eq!(offline.code, 0, "{}", offline.stderr);
}

#[test]
fn what_make_says_is_shown() {
    let (sandbox, tree) = tiny("");
    let tree = tree.edit("Makefile", |text| format!("{text}$(error on fire)\n"));
    assert_snapshot!(refused(&sandbox, &[]), @r"
    error: the kernel's own configuration failed
      caused by: `make` failed with exit status 2
      Makefile:198: *** on fire.  Stop.
    hint: to run it by hand: [call]
    ");
    let tree = tree.edit("Makefile", |text| text.replace("$(error on fire)\n", ""));
    let _tree = tree.edit("lib/string.c", |text| format!("{text}#error on fire\n"));
    let error = refused(&sandbox, &[]);
    assert!(error.starts_with("    Building "), "{error}");
    assert!(error.contains("#error on fire"), "{error}");
    assert!(error.contains("compile.log"), "{error}");
}

#[test]
fn make_cannot_work_where_names_have_blanks() {
    let (sandbox, tree) = tiny("");
    std::fs::rename(tree.dir(), sandbox.path("my tree")).unwrap();
    std::os::unix::fs::symlink("my tree", sandbox.path("link")).unwrap();
    for source in ["../my tree", "../link"] {
        assert_eq!(
            refused(&sandbox, &["--source", source]),
            "error: Kbuild cannot work with the source directory `[sandbox]/my tree`: its path has white space, a colon or a character that is special to make\n\
             hint: move the tree; a symbolic link does not help, because Kbuild goes by the real path"
        );
    }
    std::fs::rename(sandbox.path("my tree"), sandbox.path("tree")).unwrap();
    std::fs::rename(sandbox.path("project"), sandbox.path("my project")).unwrap();
    let project = sandbox.path("my project");
    let mut command = sandbox.kernel_in(&project, &["build"]);
    let refused = said(&sandbox, command.output().unwrap());
    assert_snapshot!(unfinished(&sandbox, refused), @r"
    error: Kbuild cannot work with the build directory `[sandbox]/my project/target/kernel/tiny/build`: its path has white space, a colon or a character that is special to make
    hint: set CARGO_TARGET_DIR to a directory without such characters in its path
    ");
    command.env("CARGO_TARGET_DIR", sandbox.path("target"));
    let built = said(&sandbox, command.output().unwrap());
    assert_eq!(built.code, 0, "{}", built.stderr);
}

#[test]
fn names_in_the_tree_need_not_be_text() {
    let (sandbox, tree) = tiny("");
    let first = run(&sandbox, &["identity"]);
    let name = std::ffi::OsStr::from_bytes(b"odd-\xff\xfe name\n.txt");
    std::fs::write(tree.dir().as_std_path().join(name), "odd").unwrap();
    assert_ne!(run(&sandbox, &["identity"]).stdout, first.stdout);
    let built = run(&sandbox, &["build"]);
    assert_eq!(built.code, 0, "{}", built.stderr);
}

#[test]
fn a_symbol_as_a_make_flag_is_refused_with_the_way_to_say_it() {
    let (sandbox, _tree) = tiny("");
    assert_snapshot!(refused(&sandbox, &["--make-flag", "CONFIG_SMP=y"]), @r"
    error: --make-flag: `CONFIG_SMP` is a symbol of the configuration, not a variable of make
    hint: put `CONFIG_SMP=y` into a fragment, and the fragment into `fragments`
    ");
}

#[test]
fn secrets_are_shown_nowhere() {
    let (sandbox, _tree) = tiny("");
    for args in [
        &["plan", "--make-flag", "KBUILD_SIGN_PIN=hunter2"][..],
        &["plan", "-v", "--make-flag", "MY_TOKEN:=hunter2"],
        &[
            "build",
            "--message-format",
            "json",
            "--make-flag",
            "KEY_PASSWORD=hunter2",
        ],
    ] {
        let said = run(&sandbox, args);
        assert_eq!(said.code, 101, "{args:?}");
        let text = format!("{}{}", said.stdout, said.stderr);
        assert!(text.contains("holds a secret"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
    // Wherever else one is written, in the right type or not.
    for (settings, said) in [
        ("make-flags = \"KBUILD_SIGN_PIN=hunter2\"\n", "not a string"),
        ("targets = \"MY_TOKEN=hunter2\"\n", "not a string"),
        (
            "targets = [\"KBUILD_SIGN_PIN=hunter2\"]\n",
            "holds a secret",
        ),
        ("label = \"KBUILD_SIGN_PIN=hunter2\"\n", "holds a secret"),
        (
            "dist = \"MY_PASSWORD=hunter2\"\n",
            "cannot be part of a release",
        ),
        ("make = [\"KBUILD_SIGN_PIN=hunter2\"]\n", "holds a secret"),
        (
            "fragments = [\"KBUILD_SIGN_PIN=hunter2\"]\n",
            "KBUILD_SIGN_PIN",
        ),
    ] {
        let stderr = refused_with(settings);
        assert!(stderr.contains(said), "{settings}: {stderr}");
        assert!(!stderr.contains("hunter2"), "{settings}: {stderr}");
    }
    for command in ["build", "plan", "identity", "clean", "boot"] {
        for json in [&[][..], &["--message-format", "json"]] {
            let args = [&[command, "KBUILD_SIGN_PIN=hunter2"], json].concat();
            let said = run(&sandbox, &args);
            assert_eq!(said.code, 101, "{args:?}");
            let text = format!("{}{}", said.stdout, said.stderr);
            assert!(text.contains("is not the name of a kernel"), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }
    // From the environment none reaches a tool: neither the build's bytes nor its log.
    let output = sandbox
        .kernel(&["build", "-v"])
        .env("KBUILD_SIGN_PIN", "hunter2")
        .env("CONFIG_SMP", "y")
        .output()
        .unwrap();
    let said = super::said(&sandbox, output);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(!format!("{}{}", said.stdout, said.stderr).contains("hunter2"));
    let found = std::process::Command::new("grep")
        .args(["-rlF", "hunter2"])
        .arg(sandbox.path(""))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(found.stdout).unwrap(), "");
}

#[test]
fn what_make_would_take_among_its_arguments_is_no_kernel_and_says_where_it_belongs() {
    let (sandbox, _tree) = tiny("");
    for (argument, hint) in [
        ("CONFIG_SMP=y", "put `CONFIG_SMP=y` into a fragment"),
        ("config_smp=m", "put `CONFIG_SMP=m` into a fragment"),
        ("W=1", "`--make-flag W=1`, or in `make-flags`"),
        ("KCFLAGS=-O3 -g", "`--make-flag 'KCFLAGS=-O3 -g'`"),
        ("ARCH=arm64", "use `arch`"),
        ("O=/tmp/build", "cargo's target directory"),
        ("CC=clang", "use `compiler`"),
    ] {
        let said = run(&sandbox, &["build", "tiny", argument]);
        assert_eq!(said.code, 101, "{argument}");
        let message = format!("`{argument}` is not the name of a kernel");
        assert!(
            said.stderr.contains(&message) && said.stderr.contains(hint),
            "{argument}: {}",
            said.stderr
        );
    }
}

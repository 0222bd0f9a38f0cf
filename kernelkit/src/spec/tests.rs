//! What users write, and what they are told.

use camino::Utf8Path;
use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;
use crate::sourced::Origin;

mod matrix;
mod toolchains;

fn context() -> Context {
    Context {
        root: "/ws".into(),
        current_dir: "/ws/sub".into(),
        target_dir: "/ws/target".into(),
        host: Some("x86_64".parse().unwrap()),
    }
}

fn manifest(path: &str, text: &str, table: ManifestTable) -> Manifest {
    Manifest {
        path: path.into(),
        text: text.into(),
        table,
    }
}

fn workspace(text: &str) -> Manifest {
    manifest("Cargo.toml", text, ManifestTable::Workspace)
}

fn parse_text(text: &str, overrides: &Overrides) -> Result<Spec, Error> {
    parse(&[workspace(text)], overrides, &context())
}

/// One kernel `k` with `lines`, after a source and a preset.
fn kernel(lines: &str) -> String {
    format!(
        "[workspace.metadata.kernel.kernels.k]\nversion = \"6.12\"\npreset = \"tiny\"\n{lines}\n"
    )
}

fn spec(lines: &str) -> Spec {
    parse_text(&kernel(lines), &Overrides::default()).unwrap()
}

fn render(error: &Error) -> String {
    let lines = error.problems.iter().map(|problem| match &problem.hint {
        Some(hint) => format!("{problem}\n  hint: {hint}"),
        None => problem.to_string(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// What is wrong with a manifest.
fn wrong(text: &str) -> String {
    render(&parse_text(text, &Overrides::default()).unwrap_err())
}

/// What is wrong with a kernel that has `lines` on line 4.
fn wrong_kernel(lines: &str) -> String {
    wrong(&kernel(lines))
}

#[test]
fn unknown_keys_name_the_nearest_one_and_their_place() {
    assert_snapshot!(wrong_kernel("fragmets = []"), @r#"
    Cargo.toml:4:1: unknown key `fragmets` in `workspace.metadata.kernel.kernels.k`
      hint: did you mean `fragments`?
    "#);
    assert_snapshot!(wrong_kernel("make_flags = []"), @r#"
    Cargo.toml:4:1: unknown key `make_flags` in `workspace.metadata.kernel.kernels.k`
      hint: did you mean `make-flags`?
    "#);
    assert_snapshot!(wrong_kernel("zzz = 1"), @r#"
    Cargo.toml:4:1: unknown key `zzz` in `workspace.metadata.kernel.kernels.k`
      hint: the keys here are: source, version, patches, series, patch-fuzz, arch, preset, make, config, fragments, allnoconfig-base, flavour, debug, label, release, build, dist, sign, edit, dirty-release, compiler, toolchain, backend, make-flags, targets, jobs, ccache, ccache-max-size, reproducible, timestamp, compile-commands, gdb-scripts, rust-analyzer, install, modules-install, source-symlink, reuse, borrow-objects, publish
    "#);
    assert_snapshot!(wrong_kernel("ref = \"v6.12\""), @r#"
    Cargo.toml:4:1: unknown key `ref` in `workspace.metadata.kernel.kernels.k`
      hint: `ref` is the source's: write `source = { ref = … }`
    "#);
    assert_snapshot!(wrong_kernel("fragment-dirs = []"), @r#"
    Cargo.toml:4:1: unknown key `fragment-dirs` in `workspace.metadata.kernel.kernels.k`
      hint: `fragment-dirs` is the workspace's: put it into the table above
    "#);
    assert_snapshot!(wrong("[workspace.metadata.kernel]\narch = \"arm64\""), @r#"
    Cargo.toml:2:1: unknown key `arch` in `workspace.metadata.kernel`
      hint: `arch` is a kernel's: put it into the table `defaults`, or into `kernels.<name>`
    "#);
    assert_snapshot!(wrong("[workspace.metadata.kernel.tiny]\npreset = \"tiny\""), @r#"
    Cargo.toml:1:28: unknown key `tiny` in `workspace.metadata.kernel`
      hint: a kernel is declared as `[workspace.metadata.kernel.kernels.tiny]`
    "#);
    assert_snapshot!(wrong("[workspace.metadata.kernel.kernels]\nk = { source = { git = \"../linux\", rev = \"v6.12\" }, preset = \"tiny\" }"), @r#"
    Cargo.toml:2:36: unknown key `rev` in `workspace.metadata.kernel.kernels.k.source`
      hint: did you mean `ref`?
    "#);
}

#[test]
fn unknown_values_say_what_there_is() {
    assert_snapshot!(wrong_kernel("arch = \"arm65\""), @r#"
    Cargo.toml:4:8: unknown architecture `arm65`
      hint: did you mean `arm64`?
    "#);
    assert_snapshot!(wrong_kernel("compiler = \"icc\""), @r#"
    Cargo.toml:4:12: unknown compiler `icc`
      hint: did you mean `gcc`?
    "#);
    assert_snapshot!(wrong_kernel("jobs = 0"), @r#"
    Cargo.toml:4:8: `0` is not a number of jobs
      hint: use `auto`, `auto+1` or a number from 1 on
    "#);
    assert_snapshot!(wrong_kernel("timestamp = 2026-01-31"), @r#"
    Cargo.toml:4:13: `2026-01-31` is not a timestamp
      hint: use `fixed`, `commit`, a time with its offset such as `2026-01-31T12:00:00Z`, or seconds since 1970
    "#);
    assert_snapshot!(wrong_kernel("label = \"my label\""), @r#"
    Cargo.toml:4:9: `my label` cannot be a label
      hint: use letters, digits, `.`, `_` and `-`, at most 40
    "#);
    assert_snapshot!(wrong_kernel("ccache-max-size = \"lots\""), @r#"
    Cargo.toml:4:19: `lots` is not a size
      hint: use a number and a unit, such as `10G` or `512M`; `0` means no limit
    "#);
    assert_snapshot!(wrong("[workspace.metadata.kernel]\ndefault = \"tiny\"\n[workspace.metadata.kernel.kernels.tyni]\nversion = \"6.12\"\npreset = \"tiny\""), @r#"
    Cargo.toml:2:1: unknown kernel `tiny`
      hint: did you mean `tyni`?
    "#);
    assert_snapshot!(wrong("[workspace.metadata.kernel.kernels.\"my kernel\"]\nversion = \"6.12\"\npreset = \"tiny\""), @r#"
    Cargo.toml:1:36: `my kernel` cannot name a kernel: use letters, digits, `_`, `-` and `.`, starting with a letter or digit, at most 64 bytes
      hint: rename it, for example to `tiny-arm64`
    "#);
}

#[test]
fn bad_sources_say_what_is_missing() {
    let wrong = |source: &str| {
        wrong(&format!(
            "[workspace.metadata.kernel.kernels.k]\npreset = \"tiny\"\n{source}\n"
        ))
    };
    assert_snapshot!(wrong(""), @r#"
    Cargo.toml:1:36: kernel `k` has neither `source` nor `version`
      hint: set one, such as `version = "6.12"` or `source = "../linux"`
    "#);
    assert_snapshot!(wrong("version = \"6.x\""), @r#"
    Cargo.toml:3:11: `6.x` selects no kernel version
      hint: write a version (`6.12.117`, `7.3-rc4`), a series (`6.12`, `6.12.y`), `stable`, `longterm` or `mainline`
    "#);
    assert_snapshot!(wrong("version = 6.10"), @r#"
    Cargo.toml:3:11: `version` must be a string, not a float
      hint: write `version = "6.10"`
    "#);
    assert_snapshot!(wrong("version = \"6.12\"\nsource = \"../linux\""), @r#"
    Cargo.toml:4:1: `source` and `version` both say where the tree comes from
      hint: keep one of them
    "#);
    assert_snapshot!(wrong("source = \"6.12-tree\""), @r#"
    Cargo.toml:3:10: kernel.org has no release `6.12-tree`
      hint: it has releases such as `6.12.117` and candidates such as `7.3-rc4`; other trees are taken from git or as a tarball; a directory of that name is `./6.12-tree`
    "#);
    assert_snapshot!(wrong("source = \"git+../linux\""), @r#"
    Cargo.toml:3:10: `git+../linux` names no tag, branch or commit
      hint: append it: `git+../linux#v6.12`
    "#);
    assert_snapshot!(wrong("source = \"git+../linux#-x\""), @r#"
    Cargo.toml:3:10: `-x` is not a tag, branch or commit
      hint: name one such as `v6.12`, `mainline/master` or a commit's id
    "#);
    assert_snapshot!(wrong("source = \"https://example.org/linux.git\""), @r#"
    Cargo.toml:3:10: `https://example.org/linux.git` is a git repository, not a tarball
      hint: write `git+https://example.org/linux.git#v6.12`
    "#);
    assert_snapshot!(wrong("source = \"debian:linux-image-6.12\""), @r#"
    Cargo.toml:3:10: `linux-image-6.12` is not a Debian package of kernel source
      hint: such a package is called `linux-source-6.12`; `apt-cache search linux-source` lists them
    "#);
    assert_snapshot!(wrong("source = \"linux.tar.xz#sha256=12\""), @r#"
    Cargo.toml:3:10: `12` is not 64 hexadecimal digits
      hint: `sha256sum FILE` prints it; kernel.org lists it in sha256sums.asc
    "#);
    assert_snapshot!(wrong("source = { git = \"../linux\" }"), @r#"
    Cargo.toml:3:12: `git` needs a `ref`
      hint: name a tag, a branch or a commit: `ref = "v6.12"`
    "#);
    assert_snapshot!(wrong("source = { dir = \"../linux\", tarball = \"a.tar\" }"), @r#"
    Cargo.toml:3:10: `source` must hold one of `dir`, `tarball`, `git` and `debian`
      hint: a release of kernel.org is set by `version`, outside of `source`
    "#);
    assert_snapshot!(wrong("[workspace.metadata.kernel.kernels.k.source]\ndir = \"../linux\"\nref = \"v6.12\""), @r#"
    Cargo.toml:5:1: `ref` goes with `git` only
      hint: remove `ref`, or use `git`
    "#);
    assert_snapshot!(wrong("source = { tarball = \"linux.zip\" }"), @r#"
    Cargo.toml:3:12: `linux.zip` is not a tarball by its name
      hint: it must end in one of .tar, .tar.xz, .tar.gz, .tar.zst, .tgz, .txz
    "#);
    assert_snapshot!(wrong("source = \"\""), @r#"
    Cargo.toml:3:10: `source` holds an empty string
      hint: write it like `source = "../linux"`, or leave it out
    "#);
}

#[test]
fn a_toolchain_of_nixpkgs_decides_the_compiler() {
    let compiler = |lines: &str| spec(lines).kernels[0].compiler.value.family;
    assert_eq!(compiler("toolchain = \"nixpkgs\""), Compiler::Gcc);
    assert_eq!(compiler("toolchain = \"nixpkgs-clang\""), Compiler::Clang);
    assert_eq!(
        compiler("toolchain = \"debian-12\"\ncompiler = \"clang\""),
        Compiler::Clang
    );
    assert_snapshot!(wrong_kernel("toolchain = \"nixpkgs\"\ncompiler = \"clang\""), @r#"
    Cargo.toml:5:1: the compiler of the toolchain `nixpkgs` is gcc
      hint: leave `compiler` out, or set `toolchain = "nixpkgs-clang"`
    "#);
}

#[test]
fn a_configuration_starts_from_one_base() {
    assert_snapshot!(wrong_kernel("make = \"defconfig\""), @r#"
    Cargo.toml:4:1: `preset` and `make` both say where the configuration starts from
      hint: keep one of them; `fragments` are merged on top of it
    "#);
    assert_snapshot!(wrong_kernel("allnoconfig-base = false"), @r#"
    Cargo.toml:4:1: `allnoconfig-base` has no effect on kernel `k`, which starts from preset `tiny`
      hint: remove it; it is for kernels that are made of `fragments` alone
    "#);
    assert_snapshot!(wrong("[workspace.metadata.kernel.kernels.k]\nversion = \"6.12\""), @r#"
    Cargo.toml:1:36: kernel `k` says nothing about its configuration
      hint: set `preset`, `make`, `config` or `fragments`, such as `preset = "tiny"`
    "#);
    assert_snapshot!(wrong("[workspace.metadata.kernel.kernels.k]\nversion = \"6.12\"\nmake = []"), @r#"
    Cargo.toml:3:8: `make` holds no goal
      hint: write it like `make = "defconfig"`
    "#);
    assert_snapshot!(wrong("[workspace.metadata.kernel.kernels.k]\nversion = \"6.12\"\nmake = [\"defconfig\", \"-k\"]"), @r#"
    Cargo.toml:3:22: `-k` is not a goal of make
      hint: write one goal an item, such as `defconfig`; variables belong into `make-flags`
    "#);
}

#[test]
fn make_variables_that_have_a_setting_are_refused() {
    assert_snapshot!(wrong_kernel("make-flags = [\"W=1\", \"ARCH=arm64\",\n  \"O=/tmp/out\", \"CC=clang\", \"KBUILD_BUILD_USER=me\",\n  \"INSTALL_MOD_PATH=/\", \"LOCALVERSION=-x\", \"KCONFIG_CONFIG=x\", \"M=.\"]"), @r#"
    Cargo.toml:4:22: the make variable `ARCH` is set by cargo kernel
      hint: use `arch`
    Cargo.toml:5:3: the make variable `O` is set by cargo kernel
      hint: builds lie in cargo's target directory: move it with `build.target-dir` or CARGO_TARGET_DIR
    Cargo.toml:5:17: the make variable `CC` chooses a program, which is part of the toolchain
      hint: use `compiler`; the linker and the other binutils come with it
    Cargo.toml:5:29: the make variable `KBUILD_BUILD_USER` is set by cargo kernel
      hint: use `reproducible` and `timestamp`
    Cargo.toml:6:3: the make variable `INSTALL_MOD_PATH` is set by cargo kernel
      hint: use `install` and `modules-install`; finished builds are installed below cargo's target directory
    Cargo.toml:6:25: the make variable `LOCALVERSION` is set by cargo kernel
      hint: the version is that of the source; use `label` to add to the release
    Cargo.toml:6:44: the make variable `KCONFIG_CONFIG` is set by cargo kernel
      hint: use `preset`, `make`, `config` or `fragments`
    Cargo.toml:6:64: the make variable `M` is set by cargo kernel
      hint: there is no command for modules outside of the tree yet; `make -C target/kernel/NAME/build M=DIR modules` builds them against a finished build
    "#);
    assert_snapshot!(wrong_kernel("make-flags = [\"-j8\", \"-k\", \"bzImage\", \"X:=1\", \"MAKEFLAGS=-k\"]"), @r#"
    Cargo.toml:4:15: `-j8` is an option of make itself, not a variable of the build
      hint: use `jobs`
    Cargo.toml:4:22: `-k` is an option of make itself, not a variable of the build
      hint: only `VARIABLE=value` is taken here; how make runs is set by `jobs`
    Cargo.toml:4:28: `bzImage` is not `VARIABLE=value`
      hint: write it like `W=1`; a goal of make belongs into `targets`
    Cargo.toml:4:39: `X:=1` is not `VARIABLE=value`
      hint: write it like `W=1`; a goal of make belongs into `targets`
    Cargo.toml:4:47: `MAKEFLAGS` is a variable of make itself, not of the build
      hint: use `jobs`, and `make-flags` for variables
    "#);
}

#[test]
fn wrong_types_say_what_is_expected() {
    assert_snapshot!(wrong_kernel("debug = \"true\""), @r#"
    Cargo.toml:4:9: `debug` must be a boolean, not a string
      hint: write `debug = true`, without quotes
    "#);
    assert_snapshot!(wrong_kernel("fragments = \"fs/ext4\""), @r#"
    Cargo.toml:4:13: `fragments` must be a list of strings, not a string
      hint: write `fragments = ["fs/ext4"]`
    "#);
    assert_snapshot!(wrong_kernel("fragments = [\n  \"fs/ext4\",\n  4,\n]"), @r#"
    Cargo.toml:6:3: `fragments` must hold strings, not an integer
      hint: write it like `fragments = ["fs/ext4", "fs/overlayfs"]`
    "#);
    assert_snapshot!(wrong_kernel("label = 5"), @r#"
    Cargo.toml:4:9: `label` must be a string, not an integer
      hint: write `label = "5"`
    "#);
    assert_snapshot!(wrong_kernel("label = \"\""), @r#"
    Cargo.toml:4:9: `label` holds an empty string
      hint: write it like `label = "experiment"`, or leave it out
    "#);
    assert_snapshot!(wrong_kernel("timestamp = true"), @r#"
    Cargo.toml:4:13: `timestamp` must be a string, integer or time, not a boolean
      hint: write it like `timestamp = "commit"`
    "#);
    assert_snapshot!(wrong("[workspace.metadata]\nkernel = 1"), @r#"
    Cargo.toml:2:1: `kernel` must be a table
      hint: kernels are declared as `[workspace.metadata.kernel.kernels.<name>]`, with a key a line below
    "#);
    assert_snapshot!(wrong("[workspace.metadata.kernel]\nkernels = [\"tiny\"]"), @r#"
    Cargo.toml:2:1: `kernels` must be a table
      hint: kernels are declared as `[workspace.metadata.kernel.kernels.<name>]`, with a key a line below
    "#);
    assert_snapshot!(wrong("[workspace.metadata.kernel.kernels]\ntiny = \"6.12\""), @r#"
    Cargo.toml:2:1: `tiny` must be a table
      hint: kernels are declared as `[workspace.metadata.kernel.kernels.<name>]`, with a key a line below
    "#);
}

#[test]
fn syntax_errors_have_a_place() {
    assert_snapshot!(wrong("[workspace]\nmembers = [\n"), @r#"
    Cargo.toml:2:12: unclosed array, expected `]`
      hint: the file is not valid TOML (https://toml.io); text, versions too, stands in quotes
    "#);
    assert_snapshot!(wrong("[workspace]\nmembers = []\n\n[workspace.metadata.kernel.kernels.k]\nversion = 6.12.117\n"), @r#"
    Cargo.toml:5:15: invalid float
      hint: the file is not valid TOML (https://toml.io); text, versions too, stands in quotes
    "#);
    assert_snapshot!(wrong("[a]\nx = 1\nx = 2\n"), @r#"
    Cargo.toml:3:1: duplicate key
      hint: the file is not valid TOML (https://toml.io); text, versions too, stands in quotes
    "#);
}

#[test]
fn everything_wrong_is_reported_at_once() {
    let text = "[workspace.metadata.kernel]\nfragment-dir = []\n\n[workspace.metadata.kernel.defaults]\ncompiler = \"gc\"\n\n[workspace.metadata.kernel.kernels.a]\nversion = \"x\"\narch = \"z80\"\n\n[workspace.metadata.kernel.kernels.b]\npreset = \"tiny\"\n";
    let overrides = Overrides {
        jobs: Some("many".into()),
        ..Overrides::default()
    };
    assert_snapshot!(render(&parse_text(text, &overrides).unwrap_err()), @r#"
    Cargo.toml:2:1: unknown key `fragment-dir` in `workspace.metadata.kernel`
      hint: did you mean `fragment-dirs`?
    Cargo.toml:5:12: unknown compiler `gc`
      hint: did you mean `gcc`?
    Cargo.toml:8:11: `x` selects no kernel version
      hint: write a version (`6.12.117`, `7.3-rc4`), a series (`6.12`, `6.12.y`), `stable`, `longterm` or `mainline`
    Cargo.toml:9:8: unknown architecture `z80`
      hint: the architectures are alpha, arc, arm, arm64, csky, hexagon, i386, ia64, loongarch32, loongarch64, m68k, microblaze, mips, mips64, mips64el, mipsel, nios2, openrisc, parisc, parisc64, powerpc, powerpc64, powerpc64le, riscv32, riscv64, s390x, sh, sparc, sparc64, um, x86_64, xtensa
    --jobs: `many` is not a number of jobs
      hint: use `auto`, `auto+1` or a number from 1 on
    "#);
}

#[test]
fn a_name_is_used_once_in_a_workspace() {
    let member = kernel("").replace("workspace.", "package.");
    let manifests = [
        workspace(&kernel("")),
        manifest(
            "a/Cargo.toml",
            &format!("\n{member}"),
            ManifestTable::Package,
        ),
    ];
    let error = parse(&manifests, &Overrides::default(), &context()).unwrap_err();
    assert_snapshot!(render(&error), @r#"
    a/Cargo.toml:2:34: kernel `k` is declared twice, first at Cargo.toml:1:36
      hint: rename one of them, for example to `k-2`
    "#);
}

#[test]
fn the_nearest_table_wins() {
    let root = "[workspace.metadata.kernel.defaults]\nversion = \"6.12\"\nmake = \"defconfig\"\narch = \"arm64\"\njobs = 2\nfragments = [\"a\"]\n[workspace.metadata.kernel.kernels.one]\n[workspace.metadata.kernel.kernels.two]\nsource = \"../linux\"\npreset = \"tiny\"\njobs = \"auto+1\"\nfragments = [\"b\"]\n";
    let member = "[package.metadata.kernel]\ndefaults = { arch = \"riscv64\" }\nkernels = { three = { jobs = 4 } }\n";
    let manifests = [
        workspace(root),
        manifest("m/Cargo.toml", member, ManifestTable::Package),
    ];
    let overrides = Overrides {
        fragments: vec!["c".into(), "b".into()],
        ..Overrides::default()
    };
    let spec = parse(&manifests, &overrides, &context()).unwrap();
    let rows: Vec<String> = spec
        .kernels
        .iter()
        .map(|kernel| {
            format!(
                "{} {} {} {} {:?} {:?}",
                kernel.name,
                *kernel.arch,
                kernel.arch.origin,
                *kernel.jobs,
                kernel.base.value,
                kernel.fragments.value,
            )
        })
        .collect();
    assert_snapshot!(rows.join("\n"), @r#"
    one arm64 Cargo.toml:4:1 2 Make { goals: ["defconfig"] } ["a", "c", "b"]
    two arm64 Cargo.toml:4:1 auto+1 Preset { name: "tiny" } ["c", "b"]
    three riscv64 m/Cargo.toml:2:14 4 Make { goals: ["defconfig"] } ["a", "c", "b"]
    "#);
}

#[test]
fn make_flags_of_the_command_line_replace_the_same_variable() {
    let overrides = Overrides {
        make_flags: vec!["W=2".into()],
        patches: vec!["x.patch".into(), "/y.patch".into()],
        ..Overrides::default()
    };
    let text = kernel("make-flags = [\"W=1\", \"C=1\"]\npatches = [\"p/*.patch\"]");
    let spec = parse_text(&text, &overrides).unwrap();
    assert_eq!(spec.kernels[0].make_flags.value, ["C=1", "W=2"]);
    assert_eq!(
        spec.kernels[0].patches.value,
        ["p/*.patch", "/ws/sub/x.patch", "/y.patch"].map(PatchSet::new)
    );
}

#[test]
fn values_are_read() {
    let check = |lines: &str, holds: fn(&KernelSpec) -> bool| {
        let spec = spec(lines);
        assert!(holds(&spec.kernels[0]), "{lines}: {:?}", spec.kernels[0]);
    };
    check("", |k| {
        *k.jobs == Jobs::Auto && k.jobs.origin == Origin::Default
    });
    check("jobs = 8", |k| *k.jobs == Jobs::Exactly(8));
    check("jobs = \"auto+1\"", |k| *k.jobs == Jobs::AutoPlusOne);
    check("timestamp = \"commit\"", |k| {
        *k.timestamp == Timestamp::Commit
    });
    check("timestamp = 86400", |k| {
        *k.timestamp == Timestamp::At(86400)
    });
    check("timestamp = \"@86400\"", |k| {
        *k.timestamp == Timestamp::At(86400)
    });
    check("timestamp = 1970-01-02T01:00:00+01:00", |k| {
        *k.timestamp == Timestamp::At(86400)
    });
    check("compiler = \"clang\"", |k| {
        k.compiler.family == Compiler::Clang
    });
    check("ccache-max-size = \"1.5Gi\"", |k| {
        *k.ccache_max_size == "1.5Gi"
    });
    check("reuse = false", |k| !*k.reuse);
}

#[test]
fn without_a_base_the_fragments_are_the_configuration() {
    let text =
        "[workspace.metadata.kernel.kernels.k]\nversion = \"6.12\"\nfragments = [\"core/64bit\"]\n";
    let base = |text: &str| {
        parse_text(text, &Overrides::default()).unwrap().kernels[0]
            .base
            .clone()
    };
    assert_eq!(*base(text), ConfigBase::Fragments { allnoconfig: true });
    let chosen = base(&format!("{text}allnoconfig-base = false"));
    assert_eq!(*chosen, ConfigBase::Fragments { allnoconfig: false });
    assert_eq!(chosen.origin.to_string(), "Cargo.toml:4:1");
}

#[test]
fn sources_are_told_apart_by_their_form() {
    let hash = "0".repeat(64);
    let directory = |path: &str| Source::Directory { path: path.into() };
    let release = |selector: &str| Source::Release {
        selector: selector.into(),
    };
    let tarball = |location: &str, sha256: Option<&str>| Source::Tarball {
        location: location.into(),
        sha256: sha256.map(|text| text.parse().unwrap()),
    };
    let git = |repository: &str, reference: &str| Source::Git {
        repository: repository.into(),
        reference: reference.into(),
    };
    let rows = [
        ("../linux", directory("/ws/../linux")),
        ("linux", directory("/ws/linux")),
        (".", directory("/ws")),
        ("./stable", directory("/ws/stable")),
        ("~/linux", directory("/ws/~/linux")),
        ("/src/a b", directory("/src/a b")),
        ("linux#1", directory("/ws/linux#1")),
        ("a.tar.xz", tarball("/ws/a.tar.xz", None)),
        ("linux-6.12.tar.gz", tarball("/ws/linux-6.12.tar.gz", None)),
        ("6.12.tar", tarball("/ws/6.12.tar", None)),
        (
            "https://example.org/t/linux",
            tarball("https://example.org/t/linux", None),
        ),
        (
            &format!("https://example.org/a.tar.xz#sha256={hash}"),
            tarball("https://example.org/a.tar.xz", Some(&hash)),
        ),
        ("git+../linux#v6.12", git("/ws/../linux", "v6.12")),
        (
            "git+https://example.org/a#b.git#main",
            git("https://example.org/a#b.git", "main"),
        ),
        (
            "git+me@example.org:linux.git#main",
            git("me@example.org:linux.git", "main"),
        ),
        (
            "debian:linux-source-6.12",
            Source::Debian {
                package: "linux-source-6.12".into(),
                version: None,
            },
        ),
        (
            "debian:linux-source-6.12=6.12.117-1~deb12u1",
            Source::Debian {
                package: "linux-source-6.12".into(),
                version: Some("6.12.117-1~deb12u1".into()),
            },
        ),
        ("stable", release("stable")),
        ("6.12.y", release("6.12.y")),
        ("v7.3-rc4", release("7.3-rc4")),
    ];
    for (text, expected) in rows {
        assert_eq!(
            parse_source(text, Utf8Path::new("/ws")),
            Ok(expected),
            "{text}"
        );
    }
}

#[test]
fn a_source_table_says_the_same_as_its_string() {
    let rows = [
        ("{ dir = \"../linux\" }", "../linux"),
        ("{ tarball = \"a.tar\" }", "a.tar"),
        (
            "{ git = \"../linux\", ref = \"v6.12\" }",
            "git+../linux#v6.12",
        ),
        (
            "{ debian = \"linux-source-6.12\" }",
            "debian:linux-source-6.12",
        ),
        (
            "{ debian = \"linux-source-6.12\", version = \"6.12.1-1\" }",
            "debian:linux-source-6.12=6.12.1-1",
        ),
    ];
    for (table, text) in rows {
        let text = parse_source(text, Utf8Path::new("/ws")).unwrap();
        let lines =
            format!("[workspace.metadata.kernel.kernels.k]\npreset = \"x\"\nsource = {table}\n");
        let spec = parse_text(&lines, &Overrides::default()).unwrap();
        assert_eq!(*spec.kernels[0].source, text, "{table}");
    }
}

#[test]
fn kernels_are_selected_by_name_and_pattern() {
    let text = |default: &str| {
        let mut text = format!("[workspace.metadata.kernel]\n{default}\n");
        for name in ["tiny", "vm-arm64", "vm-x86"] {
            text.push_str(&format!(
                "[workspace.metadata.kernel.kernels.{name}]\nversion = \"6.12\"\npreset = \"tiny\"\n"
            ));
        }
        parse_text(&text, &Overrides::default()).unwrap()
    };
    let select = |default: &str, patterns: &str| {
        let patterns: Vec<String> = patterns.split_whitespace().map(str::to_owned).collect();
        match text(default).select(&patterns) {
            Ok(kernels) => {
                let names: Vec<&str> = kernels.iter().map(|kernel| kernel.name.as_str()).collect();
                names.join(" ")
            }
            Err(error) => render(&error),
        }
    };
    assert_eq!(select("", ""), "tiny vm-arm64 vm-x86");
    assert_eq!(select("default = \"vm-x86\"", ""), "vm-x86");
    assert_eq!(
        select("default = [\"vm-x86\", \"tiny\"]", ""),
        "vm-x86 tiny"
    );
    assert_eq!(select("default = \"tiny\"", "vm-*"), "vm-arm64 vm-x86");
    assert_eq!(select("", "vm-x86 * vm-x86"), "vm-x86 tiny vm-arm64");
    assert_snapshot!(select("", "tinny rv-* ["), @r#"
    unknown kernel `tinny`
      hint: did you mean `tiny`?
    no kernel matches `rv-*`
      hint: there is: tiny, vm-arm64, vm-x86
    `[` is not a pattern: invalid range pattern
      hint: quote special characters in brackets, such as `[*]`
    "#);
    let none = parse_text("[workspace]\n", &Overrides::default()).unwrap();
    assert_snapshot!(render(&none.select(&[]).unwrap_err()), @r#"
    no kernel is declared
      hint: `cargo kernel init` writes a starter into Cargo.toml; without one, name a source and a configuration: `--source DIR --preset tiny`
    "#);
}

#[test]
fn the_command_line_alone_makes_a_kernel() {
    let overrides = Overrides {
        source: Some("../linux".into()),
        preset: Some("preset/tiny".into()),
        reuse: Some(false),
        ..Overrides::default()
    };
    let spec = Spec::from_overrides(&overrides, &context()).unwrap();
    let kernel = &spec.kernels[0];
    assert_eq!(kernel.name.as_str(), "tiny");
    // On the command line, a path is relative to where the user is.
    assert_eq!(
        *kernel.source,
        Source::Directory {
            path: "/ws/sub/../linux".into()
        }
    );
    assert_eq!(kernel.source.origin.to_string(), "--source");
    assert_eq!(kernel.reuse.origin.to_string(), "--no-reuse");

    let goals = Overrides {
        preset: None,
        make: vec!["defconfig".into()],
        ..overrides.clone()
    };
    let spec = Spec::from_overrides(&goals, &context()).unwrap();
    assert_eq!(spec.kernels[0].name.as_str(), "kernel");

    let wrong = |overrides| render(&Spec::from_overrides(&overrides, &context()).unwrap_err());
    assert_snapshot!(wrong(Overrides::default()), @r#"
    no kernel is declared
      hint: `cargo kernel init` writes a starter into Cargo.toml; without one, name a source and a configuration: `--source DIR --preset tiny`
    "#);
    assert_snapshot!(wrong(Overrides { preset: None, ..overrides.clone() }), @r#"
    kernel `kernel` says nothing about its configuration
      hint: set `preset`, `make`, `config` or `fragments`, such as `preset = "tiny"`
    "#);
    assert_snapshot!(wrong(Overrides { arch: Some("arm65".into()), config: Some("x".into()), ..overrides }), @r#"
    --arch: unknown architecture `arm65`
      hint: did you mean `arm64`?
    --config: `preset` and `config` both say where the configuration starts from
      hint: keep one of them; `fragments` are merged on top of it
    "#);
}

#[test]
fn the_starter_parses_back() {
    let name: KernelName = "tiny".parse().unwrap();
    for (place, table, source) in [
        (StarterPlace::NewWorkspace, ManifestTable::Workspace, "6.12"),
        (
            StarterPlace::Workspace,
            ManifestTable::Workspace,
            "../a \"b\"",
        ),
        (StarterPlace::Package, ManifestTable::Package, "stable"),
    ] {
        let text = starter(place, &name, source, "tiny");
        let manifests = [manifest("Cargo.toml", &text, table)];
        let spec = parse(&manifests, &Overrides::default(), &context()).unwrap();
        let kernel = spec.select(&[]).unwrap()[0];
        assert_eq!(kernel.name, name);
        assert_eq!(
            *kernel.source,
            parse_source(source, Utf8Path::new("/ws")).unwrap()
        );
        assert_eq!(
            *kernel.base,
            ConfigBase::Preset {
                name: "tiny".into()
            }
        );
    }
}

#[test]
fn every_setting_stands_in_the_starter() {
    let name = "tiny".parse().unwrap();
    let text = starter(StarterPlace::Workspace, &name, "6.12", "tiny");
    for Setting { key, kind, .. } in SETTINGS
        .iter()
        .filter(|one| matches!(one.table(), Table::Workspace | Table::Kernel))
    {
        let stands = text.lines().any(|line| {
            line.strip_prefix('#')
                .unwrap_or(line)
                .starts_with(&format!("{key} = "))
        });
        assert_eq!(stands, *kind != "table", "{key}");
    }
}

#[test]
fn the_example_of_every_setting_is_valid() {
    for setting in SETTINGS {
        let Setting { key, example, .. } = setting;
        let kernel = |lines: &str| {
            format!("[workspace.metadata.kernel.kernels.tiny]\n{lines}\n{key} = {example}\n")
        };
        let kernel_with = |line: &str| {
            format!(
                "[workspace.metadata.kernel.kernels.tiny]\nversion = \"6.12\"\npreset = \"tiny\"\n{line}\n"
            )
        };
        let source = "version = \"6.12\"";
        let base = "preset = \"tiny\"";
        let text = match (setting.table(), *key) {
            (Table::Workspace, "kernels" | "matrix") => {
                format!("[workspace.metadata.kernel]\n{key} = {example}\n")
            }
            (Table::Workspace, _) => format!(
                "[workspace.metadata.kernel]\n{key} = {example}\n[workspace.metadata.kernel.kernels.tiny]\n{source}\n{base}\n"
            ),
            (Table::Matrix, _) => {
                let axes = match *key {
                    "axes" => "",
                    _ => "axes = { arch = [\"x86_64\", \"arm64\"], debug = [true] }",
                };
                format!(
                    "[workspace.metadata.kernel.matrix.t]\n{source}\n{base}\n{axes}\n{key} = {example}\n"
                )
            }
            (Table::Kernel, "flavour") => format!(
                "[workspace.metadata.kernel.flavours.kvm]\n{}",
                kernel(&format!("{source}\n{base}"))
            ),
            (Table::Kernel, "source" | "version") => kernel(base),
            (Table::Kernel, "preset" | "make" | "config") => kernel(source),
            (Table::Kernel, "allnoconfig-base") => {
                kernel(&format!("{source}\nfragments = [\"a\"]"))
            }
            (Table::Kernel, _) => kernel(&format!("{source}\n{base}")),
            (Table::Compiler, _) => {
                format!("[workspace.metadata.kernel.compilers.gcc-7]\n{key} = {example}\n")
            }
            (Table::Rule, _) => {
                let with = match *key {
                    "use" => "",
                    _ => ", use = \"gcc-7\"",
                };
                format!(
                    "[workspace.metadata.kernel]\ntoolchains = [{{ {key} = {example}{with} }}]\n[workspace.metadata.kernel.kernels.tiny]\nsource = \"linux\"\narch = \"arm64\"\n{base}\n"
                )
            }
            (Table::Patch, "path") => kernel_with(&format!("patches = [{{ {key} = {example} }}]")),
            (Table::Patch, "flavour") => format!(
                "[workspace.metadata.kernel.flavours.kvm]\n{}",
                kernel_with(&format!(
                    "patches = [{{ path = \"x\", {key} = {example} }}]"
                ))
            ),
            (Table::Patch, _) => kernel_with(&format!(
                "patches = [{{ path = \"x\", {key} = {example} }}]"
            )),
            (Table::Source, _) => {
                let with = match *key {
                    "sha256" => "tarball = \"a.tar\", ",
                    "ref" => "git = \"x\", ",
                    "version" => "debian = \"linux-source\", ",
                    "git" => "ref = \"x\", ",
                    _ => "",
                };
                format!(
                    "[workspace.metadata.kernel.kernels.tiny]\n{base}\nsource = {{ {with}{key} = {example} }}\n"
                )
            }
        };
        if let Err(error) = parse_text(&text, &Overrides::default()) {
            panic!("{text}\n{}", render(&error));
        }
    }
}

#[test]
fn the_reference_has_every_setting_once() {
    let page = reference_markdown();
    for setting in SETTINGS {
        let heading = format!("\n### `{}`\n", setting.key);
        let expected = SETTINGS
            .iter()
            .filter(|other| other.key == setting.key)
            .count();
        assert_eq!(page.matches(&heading).count(), expected, "{}", setting.key);
        assert!(page.contains(setting.doc), "{}", setting.key);
    }
}

#[test]
fn every_flag_of_the_table_is_an_override() {
    let text = || Some("x".to_owned());
    let all = Overrides {
        name: None,
        source: text(),
        patches: vec!["x".into()],
        series: text(),
        arch: text(),
        preset: text(),
        make: vec!["x".into()],
        config: text(),
        allnoconfig_base: Some(true),
        fragments: vec!["x".into()],
        fragment_dirs: vec!["x".into()],
        debug: Some(true),
        label: text(),
        release: text(),
        build: text(),
        dist: text(),
        compiler: text(),
        toolchain: Some("debian-12".to_owned()),
        backend: Some("host".to_owned()),
        make_flags: vec!["x".into()],
        targets: vec!["x".into()],
        jobs: text(),
        ccache: Some(true),
        ccache_max_size: text(),
        reproducible: Some(true),
        timestamp: text(),
        compile_commands: Some(true),
        gdb_scripts: Some(true),
        rust_analyzer: Some(true),
        install: Some(true),
        modules_install: Some(true),
        source_symlink: Some(true),
        reuse: Some(true),
        borrow_objects: Some(true),
        publish: Some(true),
    };
    let mut overridden: Vec<&str> = all.values().into_iter().map(|(key, _)| key).collect();
    let flags = SETTINGS.iter().filter(|setting| setting.flag.is_some());
    let mut expected: Vec<&str> = flags.map(|setting| setting.key).collect();
    overridden.sort_unstable();
    expected.sort_unstable();
    assert_eq!(overridden, expected);
}

/// Any setting of a kernel that takes a value, with two valid ones: in a file, on the command line.
fn any_setting() -> impl Strategy<Value = (&'static str, String, String)> {
    let switch = (
        prop::sample::select(vec![
            "debug",
            "ccache",
            "reproducible",
            "compile-commands",
            "gdb-scripts",
            "rust-analyzer",
            "install",
            "modules-install",
            "source-symlink",
            "reuse",
            "borrow-objects",
            "publish",
        ]),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(key, file, flag)| (key, file.to_string(), flag.to_string()));
    let text = |key: &'static str, values: &'static str| {
        (Just(key), values, values).prop_map(|(key, file, flag)| (key, format!("\"{file}\""), flag))
    };
    prop_oneof![
        switch,
        text("label", "[a-z]{1,8}"),
        text("release", "\\{version\\}[-.]\\{(label|digest|arch)\\}"),
        text("build", "[1-9][0-9]{0,3}"),
        text("dist", "el[7-9]"),
        text("arch", "(x86_64|arm64|riscv64)"),
        text("compiler", "(gcc|clang)"),
        text("jobs", "(auto|auto\\+1|[1-9][0-9]?)"),
        text("timestamp", "(fixed|commit|@[0-9]{1,9})"),
        text("ccache-max-size", "[1-9]{1,2}[MG]"),
    ]
}

fn set(overrides: &mut Overrides, key: &str, value: &str) {
    let text = Some(value.to_owned());
    let switch = value.parse().ok();
    match key {
        "debug" => overrides.debug = switch,
        "ccache" => overrides.ccache = switch,
        "reproducible" => overrides.reproducible = switch,
        "compile-commands" => overrides.compile_commands = switch,
        "gdb-scripts" => overrides.gdb_scripts = switch,
        "rust-analyzer" => overrides.rust_analyzer = switch,
        "install" => overrides.install = switch,
        "modules-install" => overrides.modules_install = switch,
        "source-symlink" => overrides.source_symlink = switch,
        "reuse" => overrides.reuse = switch,
        "borrow-objects" => overrides.borrow_objects = switch,
        "publish" => overrides.publish = switch,
        "label" => overrides.label = text,
        "release" => overrides.release = text,
        "build" => overrides.build = text,
        "dist" => overrides.dist = text,
        "arch" => overrides.arch = text,
        "compiler" => overrides.compiler = text,
        "jobs" => overrides.jobs = text,
        "timestamp" => overrides.timestamp = text,
        "ccache-max-size" => overrides.ccache_max_size = text,
        _ => panic!("{key}"),
    }
}

/// The values and origins of a kernel's settings, by field name.
fn fields(kernel: &KernelSpec) -> serde_json::Map<String, serde_json::Value> {
    match serde_json::to_value(kernel).unwrap() {
        serde_json::Value::Object(fields) => fields,
        other => panic!("{other}"),
    }
}

proptest! {
    #[test]
    fn overrides_always_win(
        (key, file, flag) in any_setting(),
        in_defaults in any::<bool>(),
        in_kernel in any::<bool>(),
    ) {
        let line = format!("{key} = {file}\n");
        let text = format!(
            "[workspace.metadata.kernel.defaults]\n{}{}",
            if in_defaults { &line } else { "" },
            kernel(if in_kernel { &line } else { "" }),
        );
        let mut overrides = Overrides::default();
        set(&mut overrides, key, &flag);
        let field = key.replace('-', "_");
        let with_files = parse_text(&text, &overrides).unwrap();
        let alone = parse_text(&kernel(""), &overrides).unwrap();
        let (with_files, alone) = (fields(&with_files.kernels[0]), fields(&alone.kernels[0]));
        prop_assert_eq!(&with_files[&field], &alone[&field]);
        prop_assert_eq!(&with_files[&field]["origin"]["kind"], "command-line");
    }

    #[test]
    fn an_origin_points_at_a_line_that_holds_the_key(
        settings in prop::collection::hash_map(
            prop::sample::select(SETTINGS.iter().map(|setting| (setting.key, setting.example, setting.table())).filter(|(key, _, table)| {
                *table == Table::Kernel && !matches!(*key, "source" | "version" | "make" | "config" | "allnoconfig-base")
            }).map(|(key, example, _)| (key, example)).collect::<Vec<_>>()),
            any::<bool>(),
            0..8,
        ),
        gap in "(\n|# ä ö\n| *\n){0,3}",
        inline in any::<bool>(),
    ) {
        let mut settings: Vec<_> = settings.into_iter().filter(|((key, _), _)| *key != "preset").collect();
        settings.push((("preset", "\"tiny\""), true));
        settings.push((("version", "\"6.12\""), true));
        let mut text = gap.clone();
        let mut items = settings.iter().map(|((key, example), spaced)| {
            if *spaced { format!("\"{key}\"   = {example}") } else { format!("{key}={example}") }
        });
        if inline {
            text.push_str(&format!("workspace.metadata.kernel.kernels.k = {{ {} }}\n", items.by_ref().collect::<Vec<_>>().join(", ")));
        } else {
            text.push_str("[workspace.metadata.kernel.kernels.k]\n");
            for item in items {
                text.push_str(&format!("{gap}  {item}\n"));
            }
        }
        text.push_str(match inline {
            true => "workspace.metadata.kernel.flavours.kvm = {}\n",
            false => "[workspace.metadata.kernel.flavours.kvm]\n",
        });
        let spec = parse_text(&text, &Overrides::default()).unwrap();
        let mut pointed = 0;
        for (_, field) in fields(&spec.kernels[0]) {
            let Some(origin) = field.get("origin").filter(|origin| origin["kind"] == "file") else {
                continue;
            };
            let number = |name: &str| usize::try_from(origin[name].as_u64().unwrap()).unwrap();
            let key = origin["key"].as_str().unwrap().rsplit('.').next().unwrap();
            let line = text.lines().nth(number("line") - 1).unwrap();
            let rest: String = line.chars().skip(number("column") - 1).collect();
            prop_assert!(rest.trim_start_matches('"').starts_with(key), "{key} at {origin} in\n{text}");
            pointed += 1;
        }
        prop_assert_eq!(pointed, settings.len());
    }

    #[test]
    fn a_printed_value_parses_back(jobs in 1u32.., seconds in -1_000_000_000_000i64..200_000_000_000) {
        for jobs in [Jobs::Auto, Jobs::AutoPlusOne, Jobs::Exactly(jobs)] {
            prop_assert_eq!(jobs.to_string().parse(), Ok(jobs));
        }
        // jiff's range begins in the year -9999.
        let seconds = seconds.max(-377_000_000_000);
        for timestamp in [Timestamp::Fixed, Timestamp::Commit, Timestamp::At(seconds)] {
            prop_assert_eq!(timestamp.to_string().parse(), Ok(timestamp));
        }
        for compiler in [Compiler::Gcc, Compiler::Clang] {
            prop_assert_eq!(compiler.to_string().parse(), Ok(compiler));
        }
    }

    #[test]
    fn no_text_makes_reading_panic(text in "(\\PC|\n|\\[workspace.metadata.kernel\\]\n|kernels = |\\{|\\}|\"){0,40}") {
        let _ = parse_text(&text, &Overrides::default());
    }
}

#[test]
fn a_password_that_ends_the_host_is_refused_and_not_shown() {
    for url in [
        "http://user:TOK/EN@example.org/linux.tar.xz",
        "https://user:TOK?EN@example.org/linux.tar.xz",
        "git+https://user:TOK#EN@example.org/linux.git#v6.12",
        "git+https://user:TOK/EN@example.org/linux.git#v6.12",
    ] {
        let error = parse_source(url, "/ws".into()).unwrap_err();
        let hint = error.hint().unwrap();
        assert!(
            error.to_string().contains("cannot be told from its host"),
            "{error}"
        );
        assert!(hint.contains("%2F"), "{hint}");
        assert!(!error.to_string().contains("TOK") && !hint.contains("TOK"));
    }
    for url in [
        "https://user:TOKEN@example.org/a@b.tar.xz",
        "https://example.org:8080/a@b.tar.xz",
        "https://[::1]:80/a@b.tar.xz",
        "https://[::1]/a@b.tar.xz",
    ] {
        parse_source(url, "/ws".into()).unwrap();
    }
}

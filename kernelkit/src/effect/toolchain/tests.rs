use super::*;
use crate::config::DotConfig;

/// A machine of small shell scripts: a directory on `PATH` with one program each.
struct Machine {
    _guard: tempfile::TempDir,
    root: Utf8PathBuf,
    path: Vec<Utf8PathBuf>,
}

impl Machine {
    fn new() -> Self {
        let guard = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(guard.path().canonicalize().unwrap()).unwrap();
        let path = vec![root.join("bin")];
        let machine = Machine {
            _guard: guard,
            root,
            path,
        };
        // What the scripts themselves need, and the loader's own tool.
        for program in ["sh", "ldd", "bash", "cat"] {
            let place = exec::find_on_path(program, "/usr/bin:/bin").unwrap();
            machine.link(&place, &format!("bin/{program}"));
        }
        machine
    }

    fn link(&self, target: &Utf8Path, name: &str) {
        let place = self.root.join(name);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, place).unwrap();
    }

    /// Written by a child: a file that this process held open for writing could not be
    /// started while another test's child still has the descriptor (ETXTBSY).
    fn script(&self, name: &str, body: &str) -> Utf8PathBuf {
        let place = self.root.join(name);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        let write = Call::new("/bin/sh", "/")
            .args(["-c", r#"printf '#!/bin/sh\n%s\n' "$1" > "$0.new" && /bin/chmod 755 "$0.new" && /bin/mv "$0.new" "$0""#])
            .arg(place.as_str())
            .arg(body);
        exec::capture(&write).unwrap();
        place
    }

    /// GCC, binutils and make under the names with `prefix`, natively too.
    fn gcc(&self, prefix: &str) {
        for tool in [
            "as", "ld", "ar", "nm", "objcopy", "objdump", "readelf", "strip",
        ] {
            self.script(&format!("bin/{prefix}{tool}"), &format!("echo {tool} 2.40"));
        }
        let cc1 = self.script("lib/cc1", "echo cc1 12");
        let driver = format!(
            "case $1 in\n--version) echo '{prefix}gcc 12.2.0';;\n-print-prog-name=cc1) echo {cc1};;\n\
             -print-prog-name=*) echo \"${{1#*=}}\";;\n*) echo specs;;\nesac"
        );
        self.script(&format!("bin/{prefix}gcc"), &driver);
        self.script("bin/gcc", &driver);
        self.script("bin/make", "echo GNU Make 4.3");
    }

    fn environment(&self) -> Environment {
        let path: Vec<_> = self.path.iter().map(|path| path.as_str()).collect();
        let variables = [("HOME", self.root.as_str()), ("PATH", &path.join(":"))]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        Environment::from_variables(self.root.clone(), variables.into())
    }

    fn detect(&self, arch: &str, compiler: Compiler) -> Result<Toolchain, Error> {
        self.detect_named(arch, &NamedCompiler::usual(compiler))
    }

    fn detect_named(&self, arch: &str, compiler: &NamedCompiler) -> Result<Toolchain, Error> {
        detect(
            arch.parse().unwrap(),
            compiler,
            &within(&self.environment(), compiler),
            &self.root.join("cache"),
        )
    }
}

const CROSS: &str = "s390x-linux-gnu-";

fn tiny() -> DotConfig {
    DotConfig::parse("").unwrap()
}

#[test]
fn a_missing_program_is_named_with_its_package() {
    let machine = Machine::new();
    let error = machine.detect("s390x", Compiler::Gcc).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`s390x-linux-gnu-gcc` was not found on PATH; it builds kernels for s390x with gcc"
    );
    assert!(error.hint().unwrap().ends_with("gcc-s390x-linux-gnu"));
    machine.gcc(CROSS);
    fs::remove_file(machine.root.join("bin/s390x-linux-gnu-ld")).unwrap();
    let error = machine.detect("s390x", Compiler::Gcc).unwrap_err();
    assert!(error.to_string().starts_with("`s390x-linux-gnu-ld` was"));
    let error = machine.detect("arm64", Compiler::Clang).unwrap_err();
    assert!(error.to_string().starts_with("`clang` was"));
    let error = machine.detect("hexagon", Compiler::Gcc).unwrap_err();
    assert!(error.hint().unwrap().contains("clang"));
}

#[test]
fn compilers_that_lie_side_by_side_share_binutils_and_have_ids_of_their_own() {
    let machine = Machine::new();
    machine.gcc(CROSS);
    let usual = machine.detect("s390x", Compiler::Gcc).unwrap();
    let eleven = NamedCompiler {
        name: "gcc-11".to_owned(),
        suffix: "-11".to_owned(),
        ..NamedCompiler::usual(Compiler::Gcc)
    };
    let error = machine.detect_named("s390x", &eleven).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`s390x-linux-gnu-gcc-11` was not found on PATH; it builds kernels for s390x with gcc-11"
    );
    let hint = error.hint().unwrap();
    assert!(hint.ends_with("in: gcc-11-s390x-linux-gnu"), "{hint}");
    let driver = |version: &str| {
        format!("case $1 in\n--version) echo gcc {version};;\n*) echo \"${{1#*=}}\";;\nesac")
    };
    machine.script("bin/s390x-linux-gnu-gcc-11", &driver("11.3.0"));
    let second = machine.detect_named("s390x", &eleven).unwrap();
    assert_eq!(
        (&second.cc_version_text, second.tool(Role::Ld)),
        (&"gcc 11.3.0".to_owned(), usual.tool(Role::Ld))
    );
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    // Where this machine has depmod off PATH, make is told that, too.
    let mut variables = second.make_variables();
    variables.retain(|(name, _)| name != "DEPMOD");
    assert_eq!(
        variables,
        [
            variable("ARCH", "s390"),
            variable("CROSS_COMPILE", CROSS),
            variable("CC", "s390x-linux-gnu-gcc-11"),
        ]
    );
    // In a directory of its own, under names of its own.
    let vendor = NamedCompiler {
        name: "vendor".to_owned(),
        prefix: Some("v-".to_owned()),
        path: Some(machine.root.join("vendor")),
        ..NamedCompiler::usual(Compiler::Gcc)
    };
    for tool in [
        "as", "ld", "ar", "nm", "objcopy", "objdump", "readelf", "strip",
    ] {
        machine.script(&format!("vendor/v-{tool}"), &format!("echo {tool} 2.30"));
    }
    machine.script("vendor/v-gcc", &driver("7.5.0"));
    let third = machine.detect_named("s390x", &vendor).unwrap();
    assert_eq!(third.cc_version_text, "gcc 7.5.0");
    assert_eq!(third.tool(Role::Ld).unwrap().version, "ld 2.30");
    let ids = [&usual, &second, &third].map(|toolchain| toolchain.id(&tiny()));
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
}

#[test]
fn every_way_to_change_a_program_is_noticed() {
    let machine = Machine::new();
    machine.gcc(CROSS);
    let id = || machine.detect("s390x", Compiler::Gcc).unwrap().id(&tiny());
    let first = id();
    assert_eq!(id(), first);
    // What the compiler starts.
    machine.script("lib/cc1", "echo cc1 12, patched");
    let second = id();
    assert_ne!(second, first);
    machine.script("lib/cc1", "echo cc1 12");
    assert_eq!(id(), first, "the id is content, not history");
    // A program that does not reach the bytes.
    machine.script("bin/make", "echo GNU Make 4.4");
    assert_eq!(id(), first);
}

#[test]
fn a_program_earlier_on_path_is_noticed() {
    let mut machine = Machine::new();
    machine.gcc(CROSS);
    machine.path.insert(0, machine.root.join("local"));
    let before = machine.detect("s390x", Compiler::Gcc).unwrap();
    machine.script("local/s390x-linux-gnu-ld", "echo ld 2.41");
    let after = machine.detect("s390x", Compiler::Gcc).unwrap();
    assert_eq!(after.tool(Role::Ld).unwrap().version, "ld 2.41");
    assert_ne!(before.id(&tiny()), after.id(&tiny()));
}

#[test]
fn a_compiler_cache_in_front_changes_nothing() {
    let mut machine = Machine::new();
    machine.gcc(CROSS);
    let plain = machine.detect("s390x", Compiler::Gcc).unwrap();
    let ccache = machine.script("opt/ccache", "exit 1");
    machine.link(&ccache, "masquerade/s390x-linux-gnu-gcc");
    machine.link(&ccache, "masquerade/gcc");
    machine.path.insert(0, machine.root.join("masquerade"));
    assert_eq!(machine.detect("s390x", Compiler::Gcc).unwrap(), plain);
}

#[test]
fn the_newest_versioned_clang_with_a_linker_is_taken() {
    let machine = Machine::new();
    machine.script("bin/make", "echo GNU Make 4.3");
    for version in [9, 14, 15] {
        machine.script(&format!("bin/clang-{version}"), "echo clang 1.0");
    }
    for version in [9, 14] {
        for row in ROLES
            .iter()
            .filter(|row| row.prefixed && row.required && row.role != Role::Cc)
        {
            machine.script(
                &format!("bin/{}-{version}", row.llvm),
                "echo LLVM; echo 1.0",
            );
        }
    }
    let toolchain = machine.detect("arm64", Compiler::Clang).unwrap();
    assert_eq!(
        toolchain.make_variables()[..2],
        [("ARCH", "arm64"), ("LLVM", "-14")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
    assert_eq!(toolchain.tool(Role::Nm).unwrap().version, "1.0");
    assert_eq!(toolchain.tool(Role::As), None);
}

#[test]
fn rustup_is_asked_for_the_real_compiler() {
    let machine = Machine::new();
    machine.gcc(CROSS);
    let rust = DotConfig::parse("CONFIG_RUST=y\n").unwrap();
    let real = machine.script("toolchains/stable/bin/rustc", "echo rustc 1.85.0");
    machine.script("toolchains/beta/bin/rustc", "echo rustc 1.86.0-beta");
    let proxy = machine.script(
        "cargo/rustup",
        &format!(
            "read -r name < {0}/.rustup/settings.toml; echo {0}/toolchains/$name",
            machine.root
        ),
    );
    machine.link(&proxy, "bin/rustc");
    let choose = |name: &str| {
        fs::write_atomic(
            machine.root.join(".rustup/settings.toml"),
            format!("{name}\n").as_bytes(),
        )
        .unwrap();
        machine.detect("s390x", Compiler::Gcc).unwrap()
    };
    assert_eq!(
        choose("stable").tool(Role::Rustc),
        None,
        "no use without bindgen"
    );
    machine.script("bin/bindgen", "echo bindgen 0.71.1");
    let stable = choose("stable");
    assert_eq!(stable.tool(Role::Rustc).unwrap().version, "rustc 1.85.0");
    assert!(
        stable
            .make_variables()
            .contains(&("RUSTC".to_owned(), real.to_string()))
    );
    let beta = choose("beta");
    assert_ne!(stable.id(&rust), beta.id(&rust));
    assert_eq!(stable.id(&tiny()), beta.id(&tiny()));
}

#[test]
fn a_broken_or_unwritable_record_only_costs_time() {
    let machine = Machine::new();
    machine.gcc(CROSS);
    let first = machine.detect("s390x", Compiler::Gcc).unwrap();
    let record = machine.root.join("cache/toolchain/s390x-gcc.json");
    let whole = fs::read_to_string(&record).unwrap();
    let hash = first.tools[0].sha256.to_string();
    let flipped = whole.replace(&hash, &hash.chars().rev().collect::<String>());
    assert_ne!(flipped, whole);
    for text in [
        "{\"schema\":1",
        "{\"schema\":0}",
        "",
        &flipped,
        &whole[..whole.len() / 2],
    ] {
        fs::write_atomic(&record, text.as_bytes()).unwrap();
        assert_eq!(machine.detect("s390x", Compiler::Gcc).unwrap(), first);
    }
    let environment = machine.environment();
    let arch = "s390x".parse().unwrap();
    let nowhere = detect(
        arch,
        &NamedCompiler::usual(Compiler::Gcc),
        &environment,
        "/proc/nowhere".into(),
    );
    assert_eq!(nowhere.unwrap(), first);
}

impl Machine {
    /// A driver of GCC's in `directory` that says what it is, with a `cc1` of its own.
    fn driver(&self, directory: &str, version: &str) -> Utf8PathBuf {
        let cc1 = self.script(&format!("{directory}/cc1"), &format!("echo cc1 {version}"));
        let body = format!(
            "case $1 in\n--version) echo gcc 12.2.0;;\n-print-prog-name=cc1) echo {cc1};;\n\
             '-###') echo COLLECT_GCC=$0 >&2; echo \"COLLECT_GCC_OPTIONS='$*'\" >&2;;\n\
             *) echo \"${{1#*=}}\";;\nesac"
        );
        self.script(&format!("{directory}/gcc"), &body)
    }
}

/// In each row `front` stands before two compilers as `gcc`, and its own bytes stay the same;
/// then what is behind it changes from `one` to `two`.
#[test]
fn a_compiler_behind_a_wrapper_is_noticed_however_it_is_named() {
    type Change = fn(&Machine);
    let rows: &[(&str, &str, Change)] = &[
        ("in place", "exec ROOT/one/gcc \"$@\"", |machine| {
            let gcc = fs::read_to_string(machine.root.join("one/gcc")).unwrap();
            machine.script(
                "one/gcc",
                &format!("{}\n# patched", gcc.trim_start_matches("#!/bin/sh\n")),
            );
        }),
        ("by a link", "exec ROOT/current/gcc \"$@\"", |machine| {
            fs::remove_file(machine.root.join("current")).unwrap();
            machine.link("two".into(), "current");
        }),
        (
            "by a file that it reads",
            "read -r to < ROOT/which\nexec \"$to/gcc\" \"$@\"",
            |machine| {
                fs::write_atomic(
                    machine.root.join("which"),
                    format!("{}/two\n", machine.root).as_bytes(),
                )
                .unwrap();
            },
        ),
        (
            "by flags that it reads",
            "read -r flags < ROOT/flags\nexec ROOT/one/gcc \"$@\" $flags",
            |machine| {
                fs::write_atomic(machine.root.join("flags"), b"-fno-ident\n").unwrap();
            },
        ),
        ("by another script", "exec ROOT/middle \"$@\"", |machine| {
            machine.script(
                "middle",
                &format!("exec {}/one/gcc \"$@\" -Wl,-O1", machine.root),
            );
        }),
        ("by name", "exec ccache my-gcc \"$@\"", |machine| {
            machine.script(
                "bin/my-gcc",
                &format!("exec {}/two/gcc \"$@\"", machine.root),
            );
        }),
    ];
    for (name, front, change) in rows {
        let machine = Machine::new();
        machine.gcc(CROSS);
        machine.driver("one", "1");
        machine.driver("two", "2");
        machine.link("one".into(), "current");
        let root = machine.root.as_str();
        machine.script("middle", &format!("exec {root}/one/gcc \"$@\""));
        machine.script("bin/my-gcc", &format!("exec {root}/one/gcc \"$@\""));
        machine.script("bin/ccache", "exec \"$@\"");
        fs::write_atomic(
            machine.root.join("which"),
            format!("{root}/one\n").as_bytes(),
        )
        .unwrap();
        fs::write_atomic(machine.root.join("flags"), b"\n").unwrap();
        machine.script("bin/s390x-linux-gnu-gcc", &front.replace("ROOT", root));
        let id = || machine.detect("s390x", Compiler::Gcc).unwrap().id(&tiny());
        let before = id();
        assert_eq!(id(), before, "{name}: nothing changed");
        change(&machine);
        assert_ne!(id(), before, "{name}");
    }
}

#[test]
fn a_linker_behind_a_wrapper_is_noticed() {
    let machine = Machine::new();
    machine.gcc(CROSS);
    let real = machine.script("real/ld", "echo ld 2.40");
    machine.script("bin/s390x-linux-gnu-ld", &format!("exec {real} \"$@\""));
    let id = || machine.detect("s390x", Compiler::Gcc).unwrap().id(&tiny());
    let before = id();
    assert_eq!(id(), before);
    machine.script("real/ld", "echo ld 2.40 # patched");
    assert_ne!(id(), before);
}

#[test]
fn a_linker_that_a_file_chooses_is_noticed() {
    let machine = Machine::new();
    machine.gcc(CROSS);
    let one = machine.script("real/one", "echo ld 2.40");
    let other = machine.script("real/other", "echo ld 2.40 # patched");
    let choice = machine.root.join("choice");
    let log = machine.root.join("log");
    let choose = |program: &str| std::fs::write(&choice, program).unwrap();
    choose(one.as_str());
    let script = format!("echo $$ >> {log}; exec $(cat {choice}) \"$@\"");
    machine.script("bin/s390x-linux-gnu-ld", &script);
    let id = || machine.detect("s390x", Compiler::Gcc).unwrap().id(&tiny());
    let before = id();
    assert_eq!(id(), before, "what it writes does not count");
    choose(other.as_str());
    let chosen = id();
    assert_ne!(chosen, before);
    // And what is chosen, too.
    machine.script("real/other", "echo ld 2.40 # patched again");
    assert_ne!(id(), chosen);
}

#[test]
fn a_wrappers_words_are_those_that_the_compiler_lacks_without_it() {
    let machine = Machine::new();
    machine.gcc(CROSS);
    let real = machine.driver("one", "1");
    let front = "bin/s390x-linux-gnu-gcc";
    machine.script(front, &format!("exec {real} \"$@\""));
    let arguments = || {
        let toolchain = machine.detect("s390x", Compiler::Gcc).unwrap();
        toolchain.tool(Role::Cc).unwrap().arguments.clone()
    };
    assert_eq!(arguments(), [""; 0]);
    machine.script(front, &format!("exec {real} \"$@\" -march=z15"));
    assert_eq!(arguments(), ["-march=z15"]);
}

#[test]
fn without_a_wrapper_nothing_is_asked_again() {
    let machine = Machine::new();
    machine.gcc(CROSS);
    // A program of the machine's, not a script: one that fails whatever it is asked.
    for name in ["s390x-linux-gnu-gcc", "gcc"] {
        let place = machine.root.join(format!("bin/{name}"));
        fs::remove_file(&place).unwrap();
        std::fs::copy("/bin/true", place).unwrap();
    }
    let first = machine.detect("s390x", Compiler::Gcc).unwrap();
    let record = machine.root.join("cache/toolchain/s390x-gcc.json");
    let text = fs::read_to_string(&record).unwrap();
    assert!(text.contains("\"asked\": null"), "{text}");
    assert_eq!(machine.detect("s390x", Compiler::Gcc).unwrap(), first);
}

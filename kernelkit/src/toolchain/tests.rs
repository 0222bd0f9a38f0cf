use super::*;
use proptest::prelude::*;

fn config(text: &str) -> DotConfig {
    DotConfig::parse(text).unwrap()
}

fn toolchain(directory: &str, roles: &[Role]) -> Toolchain {
    let tool = |role: Role| {
        let name = role.row().name;
        Tool {
            role,
            program: format!("{directory}{name}"),
            path: format!("{directory}/{name}").into(),
            version: format!("{name} 1.0"),
            sha256: Sha256::of(name.as_bytes()),
            parts: vec![Part {
                name: "libbfd.so".to_owned(),
                path: format!("{directory}/libbfd.so").into(),
                sha256: Sha256::of(b"bfd"),
            }],
            arguments: Vec::new(),
        }
    };
    Toolchain {
        arch: "arm64".parse().unwrap(),
        compiler: Compiler::Gcc,
        prefix: "aarch64-linux-gnu-".to_owned(),
        suffix: String::new(),
        cc_version_text: "cc 1.0".to_owned(),
        tools: roles.iter().copied().map(tool).collect(),
    }
}

fn all() -> Vec<Role> {
    ROLES.iter().map(|row| row.role).collect()
}

#[test]
fn the_table_is_in_the_order_of_the_roles() {
    for (index, row) in ROLES.iter().enumerate() {
        assert_eq!(row.role as usize, index);
        assert_eq!(
            serde_json::to_value(row.role).unwrap(),
            row.name,
            "a role is called the same in every text"
        );
    }
}

#[test]
fn a_config_decides_which_tools_count() {
    let base = [
        "cc", "as", "ld", "ar", "nm", "objcopy", "objdump", "readelf", "strip",
    ];
    let rows: [(&str, &[&str]); 6] = [
        ("", &[]),
        ("CONFIG_DEBUG_INFO_BTF=y\n", &["pahole"]),
        ("CONFIG_RUST=y\n", &["rustc", "bindgen"]),
        ("CONFIG_KERNEL_XZ=y\nCONFIG_IKCONFIG=m\n", &["gzip", "xz"]),
        ("CONFIG_IKHEADERS=m\n", &["xz", "tar"]),
        ("CONFIG_MODULES=y\n# CONFIG_RUST is not set\n", &["depmod"]),
    ];
    let toolchain = toolchain("/bin", &all());
    for (text, extra) in rows {
        let canonical = toolchain.canonical(&config(text));
        let counted: Vec<_> = canonical
            .lines()
            .skip(2)
            .filter_map(|line| line.split(' ').next())
            .filter(|name| !name.contains('/'))
            .collect();
        assert_eq!(counted, [&base[..], extra].concat(), "{text}");
        let explained: Vec<_> = toolchain
            .explain(&config(text))
            .into_iter()
            .filter_map(|line| line.counts.then_some(line.role))
            .collect();
        assert_eq!(explained, counted, "{text}");
    }
}

#[test]
fn a_tool_that_is_asked_for_and_missing_is_a_line_too() {
    let without: Vec<_> = all()
        .into_iter()
        .filter(|role| *role != Role::Pahole)
        .collect();
    let with_btf = config("CONFIG_DEBUG_INFO_BTF=y\n");
    let text = toolchain("/bin", &without).canonical(&with_btf);
    assert!(text.contains("\npahole -\n"), "{text}");
}

#[test]
fn make_variables_select_the_toolchain() {
    let rows = [
        (Compiler::Gcc, "", "", None),
        (
            Compiler::Gcc,
            "s390x-linux-",
            "",
            Some("CROSS_COMPILE=s390x-linux-"),
        ),
        (Compiler::Clang, "", "", Some("LLVM=1")),
        (Compiler::Clang, "", "-14", Some("LLVM=-14")),
    ];
    for (compiler, prefix, suffix, expected) in rows {
        let toolchain = Toolchain {
            compiler,
            prefix: prefix.to_owned(),
            suffix: suffix.to_owned(),
            ..toolchain("", &[Role::Cc])
        };
        let variables: Vec<_> = toolchain
            .make_variables()
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let expected: Vec<_> = std::iter::once("ARCH=arm64").chain(expected).collect();
        assert_eq!(variables, expected);
    }
    let elsewhere = toolchain("/opt/", &[Role::Rustc, Role::Depmod]).make_variables();
    assert_eq!(
        elsewhere[2..],
        [
            ("RUSTC".to_owned(), "/opt/rustc".to_owned()),
            ("DEPMOD".to_owned(), "/opt/depmod".to_owned())
        ]
    );
}

#[test]
fn gnu_programs_are_looked_for_under_every_prefix_in_use() {
    let arch = |name: &str| name.parse::<Arch>().unwrap();
    let rows: [(&str, &str, &[&str]); 4] = [
        ("x86_64", "x86_64", &[""]),
        ("i386", "x86_64", &[""]),
        (
            "arm64",
            "x86_64",
            &[
                "aarch64-linux-gnu-",
                "aarch64-unknown-linux-gnu-",
                "aarch64-linux-",
            ],
        ),
        (
            "x86_64",
            "arm64",
            &[
                "x86_64-linux-gnu-",
                "x86_64-unknown-linux-gnu-",
                "x86_64-linux-",
            ],
        ),
    ];
    for (target, host, expected) in rows {
        assert_eq!(prefixes(arch(target), arch(host)), expected, "{target}");
    }
    for target in Arch::all() {
        assert_eq!(
            prefixes(target, arch("x86_64")).is_empty(),
            target.row().cross_prefix.is_none() && target.row().srcarch != "x86",
            "{target}"
        );
    }
}

#[test]
fn ldd_lists_what_computes_and_not_what_serves() {
    let output = "\
\tlinux-vdso.so.1 (0x00007f4eb916e000)
\tlibbfd-2.40-arm64.so => /lib/x86_64-linux-gnu/libbfd-2.40-arm64.so (0x00007f4eb8e69000)
\tlibjansson.so.4 => /lib/x86_64-linux-gnu/libjansson.so.4 (0x00007f4eb8e2b000)
\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f4eb8c49000)
\tlibz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007f4eb8c2a000)
\tlibmpc.so.3 => not found
\t/lib64/ld-linux-x86-64.so.2 (0x00007f4eb9170000)
";
    let names: Vec<_> = parse_ldd(output)
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["libbfd-2.40-arm64.so", "libz.so.1"]);
    for name in [
        "libc.musl-x86_64.so.1",
        "ld-musl-x86_64.so.1",
        "libstdc++.so.6",
        "libm.so.6",
    ] {
        assert!(is_runtime_library(name), "{name}");
    }
    for name in [
        "libmpfr.so.6",
        "libclang-cpp.so.14",
        "libLLVM-14.so.1",
        "libctf-arm64.so.0",
    ] {
        assert!(!is_runtime_library(name), "{name}");
    }
}

proptest! {
    #[test]
    fn the_id_ignores_paths_and_program_names(
        here in "/[a-z]{1,8}", there in "/[a-z/]{1,8}", rust in any::<bool>(),
    ) {
        let config = config(if rust { "CONFIG_RUST=y\n" } else { "" });
        prop_assert_eq!(
            toolchain(&here, &all()).id(&config),
            toolchain(&there, &all()).id(&config)
        );
    }

    #[test]
    fn the_id_follows_the_content_of_what_counts(
        role in 0..ROLES.len(), part in any::<bool>(), enabled in any::<bool>(),
    ) {
        let text = if enabled {
            "CONFIG_DEBUG_INFO_BTF=y\nCONFIG_RUST=y\nCONFIG_MODULES=y\nCONFIG_KERNEL_ZSTD=y\n"
        } else {
            ""
        };
        let config = config(text);
        let before = toolchain("/bin", &all());
        let mut after = before.clone();
        let tool = &mut after.tools[role];
        if part {
            tool.parts[0].sha256 = Sha256::of(b"patched");
        } else {
            tool.sha256 = Sha256::of(b"patched");
        }
        prop_assert_eq!(
            before.id(&config) != after.id(&config),
            ROLES[role].reach.counts(&config)
        );
    }
}

#[test]
fn a_driver_says_what_it_is_and_what_it_would_run() {
    let gcc = "\
Using built-in specs.
COLLECT_GCC=/usr/bin/gcc
Target: x86_64-linux-gnu
COLLECT_GCC_OPTIONS='-S' '-O2'
 /usr/lib/gcc/x86_64-linux-gnu/12/cc1 -quiet /dev/null \"-mtune=generic\" -O2
";
    let driver = Driver::parse(gcc);
    assert_eq!(driver.program.as_deref(), Some("/usr/bin/gcc"));
    assert_eq!(
        driver.words,
        ["-S", "-O2", "-quiet", "/dev/null", "-mtune=generic", "-O2"]
    );
    let clang = "\
Debian clang version 19.1.7
InstalledDir: /usr/bin
Configuration file: /etc/clang/clang.cfg
 (in-process)
 \"/usr/lib/llvm-19/bin/clang\" \"-cc1\" \"-triple\" \"x86_64-pc-linux-gnu\"
";
    let driver = Driver::parse(clang);
    assert_eq!(
        driver.program.as_deref(),
        Some("/usr/lib/llvm-19/bin/clang")
    );
    assert_eq!(driver.configs, ["/etc/clang/clang.cfg"]);
    let plain = Driver {
        words: vec!["-cc1".into(), "-triple".into()],
        ..Driver::default()
    };
    assert_eq!(driver.added_to(&plain), ["x86_64-pc-linux-gnu"]);
    assert_eq!(Driver::parse(""), Driver::default());
}

#[test]
fn a_script_names_what_it_starts() {
    let rows: &[(&str, &[&str])] = &[
        (
            "#!/bin/sh\nexec /usr/bin/gcc-12 \"$@\"\n",
            &["/usr/bin/gcc-12"],
        ),
        (
            "#!/bin/sh\n\"/opt/a b/gcc\"\nexec gcc-12 $*",
            &["/opt/a", "gcc-12"],
        ),
        (
            "#!/bin/bash -e\nexec -a gcc ccache gcc-11 \"$@\"",
            &["gcc-11"],
        ),
        (
            "#!/bin/sh\nexec $CC \"$@\"; x=$(/usr/bin/readlink $0)",
            &["/usr/bin/readlink"],
        ),
        (
            "#!/usr/bin/env bash\nexec env A=b /bin/sh /opt/x",
            &["/opt/x"],
        ),
        (
            "#!/bin/sh\n. /etc/opts\nexec $(cat /etc/which) 2>/dev/null >>/tmp/log; </etc/in cat > /tmp/o",
            &["/etc/opts", "/etc/which", "/etc/in"],
        ),
        ("\x7fELF", &[]),
    ];
    for (script, expected) in rows {
        assert_eq!(named_programs(script), *expected, "{script}");
    }
}

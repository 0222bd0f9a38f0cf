use super::*;

fn arch(name: &str) -> Arch {
    name.parse().unwrap()
}

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

#[test]
fn a_version_is_found_in_what_each_program_prints() {
    let rows = [
        ("gcc (Debian 12.2.0-14+deb12u1) 12.2.0", "12.2.0"),
        ("aarch64-linux-gnu-gcc (Debian 12.2.0-14) 12.2.0", "12.2.0"),
        ("gcc (crosstool-NG 1.24.0) 8.3.0", "8.3.0"),
        ("gcc (GCC) 13.2.1 20230801 (Red Hat 13.2.1-1)", "13.2.1"),
        ("GNU ld (GNU Binutils for Debian) 2.40", "2.40"),
        ("GNU ld version 2.38-14.fc36", "2.38"),
        (
            "GNU ld (GNU Binutils; SUSE) 2.41.0.20230908-150100",
            "2.41.0.20230908",
        ),
        ("Debian clang version 14.0.6", "14.0.6"),
        (
            "clang version 17.0.0 (https://example.org/llvm 1.2)",
            "17.0.0",
        ),
        ("Debian LLD 14.0.6 (compatible with GNU linkers)", "14.0.6"),
        ("Debian LLVM version 14.0.6", "14.0.6"),
        ("flex 2.6.4", "2.6.4"),
        ("bison (GNU Bison) 3.8.2", "3.8.2"),
        ("bc 1.07.1", "1.7.1"),
        (
            "This is perl 5, version 36, subversion 0 (v5.36.0) built for x86_64-linux-gnu-thread-multi",
            "5.36.0",
        ),
        ("v1.24", "1.24"),
        ("GNU Make 4.3", "4.3"),
        ("rustc 1.95.0 (59807616e 2026-04-14)", "1.95.0"),
        ("rustc 1.88.0-nightly (5e17a2a91 2025-04-05)", "1.88.0"),
        ("bindgen 0.71.1", "0.71.1"),
        ("kmod version 30", "30"),
        (
            "OpenSSL 3.0.22 25 Aug 2026 (Library: OpenSSL 3.0.22 25 Aug 2026)",
            "3.0.22",
        ),
        ("cpio (GNU cpio) 2.13", "2.13"),
        ("xz (XZ Utils) 5.4.1", "5.4.1"),
        (
            "*** Zstandard CLI (64-bit) v1.5.4, by Yann Collet ***",
            "1.5.4",
        ),
        (
            "*** LZ4 command line interface 64-bits v1.9.4, by Yann Collet ***",
            "1.9.4",
        ),
        (
            "bzip2, a block-sorting file compressor.  Version 1.0.8, 13-Jul-2019.",
            "1.0.8",
        ),
        ("Python 3.11.7", "3.11.7"),
        (
            "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)",
            "7.2.22",
        ),
        ("ccache version 4.7.5", "4.7.5"),
        (
            "Debian 'dpkg-deb' package archive backend version 1.21.22 (amd64).",
            "1.21.22",
        ),
        ("git version 2.47.3", "2.47.3"),
        ("rsync  version 3.5.0  protocol version 32", "3.5.0"),
        ("tar (GNU tar) 1.34", "1.34"),
        (
            "GNU bash, version 5.2.15(1)-release (x86_64-pc-linux-gnu)",
            "5.2.15",
        ),
        ("mawk 1.3.4 20200120", "1.3.4"),
        ("apt 2.6.1 (amd64)", "2.6.1"),
    ];
    for (output, expected) in rows {
        assert_eq!(Version::find(output), Some(version(expected)), "{output}");
    }
    assert_eq!(Version::find("usage: tool [options]"), None);
}

#[test]
fn versions_compare_number_by_number() {
    let rows = [
        ("1.24", "1.26", false),
        ("1.26", "1.26", true),
        ("1.26.0", "1.26", true),
        ("2.9", "2.25.0", false),
        ("1.07.1", "1.06.95", true),
        ("30", "13", true),
        ("5.1", "5.1.0", true),
    ];
    for (have, minimum, expected) in rows {
        assert_eq!(
            version(have).satisfies(&version(minimum)),
            expected,
            "{have} {minimum}"
        );
    }
}

/// Made after the table in `Documentation/process/changes.rst`.
const CHANGES: &str = "\
Words before it
====================== ===============  ========================================
        Program        Minimal version       Command to check the version
====================== ===============  ========================================
GNU C                  5.1              gcc --version
Clang/LLVM (optional)  13.0.1           clang --version
GNU make               4.0              make --version
binutils               2.25             ld -v
pahole                 1.26             pahole --version
util-linux             2.10o            mount --version
kmod                   13               depmod -V
openssl & libcrypto    1.0.0            openssl version
cpio                   any              cpio --version
Python (optional)      3.5.x            python3 --version
Sphinx\\ [#f1]_         2.4.4            sphinx-build --version
====================== ===============  ========================================
words behind it
";

#[test]
fn the_trees_own_table_says_what_is_too_old() {
    let minimums = Minimums::parse(CHANGES);
    let rows = [
        ("gcc", Some("5.1"), true),
        ("llvm", Some("13.0.1"), false),
        ("make", Some("4.0"), true),
        ("binutils", Some("2.25"), true),
        ("kmod", Some("13"), true),
        ("openssl", Some("1.0.0"), true),
        ("python3", Some("3.5"), false),
        ("util-linux", None, false),
        ("cpio", None, false),
        ("Words", None, false),
    ];
    for (name, expected, mandatory) in rows {
        assert_eq!(minimums.get(name), expected.map(version).as_ref(), "{name}");
        assert_eq!(minimums.is_mandatory(name), mandatory, "{name}");
    }
    assert_eq!(Minimums::parse("no table"), Minimums::default());
}

fn names(
    target: &str,
    compiler: Compiler,
    config: Option<&str>,
    features: &[Feature],
) -> Vec<(String, bool)> {
    let config = config.map(|text| DotConfig::parse(text).unwrap());
    let affixes = Affixes {
        prefix: toolchain::prefixes(arch(target), arch("x86_64")).remove(0),
        suffix: String::new(),
    };
    needs(&Query {
        arch: arch(target),
        host: arch("x86_64"),
        compiler,
        affixes: &affixes,
        config: config.as_ref(),
        minimums: None,
        features,
    })
    .into_iter()
    .map(|need| (need.name, need.certain))
    .collect()
}

#[test]
fn the_config_decides_what_is_needed() {
    let certain = |config| -> Vec<String> {
        names("x86_64", Compiler::Gcc, Some(config), &[])
            .into_iter()
            .filter_map(|(name, certain)| certain.then_some(name))
            .collect()
    };
    let base = certain("");
    let rows: [(&str, &[&str]); 6] = [
        ("CONFIG_OBJTOOL=y\n", &["libelf"]),
        ("CONFIG_DEBUG_INFO_BTF=y\n", &["pahole", "libelf", "zlib"]),
        (
            "CONFIG_MODULES=y\nCONFIG_MODULE_SIG=y\nCONFIG_MODULE_SIG_FORMAT=y\n",
            &["depmod", "openssl", "libcrypto"],
        ),
        ("CONFIG_RUST=y\n", &["rustc", "bindgen", "rust-src"]),
        ("CONFIG_KERNEL_ZSTD=y\n", &["zstd"]),
        ("CONFIG_IKHEADERS=m\n", &["xz", "tar", "cpio"]),
    ];
    for (config, expected) in rows {
        let extra: Vec<_> = certain(config)
            .into_iter()
            .filter(|name| !base.contains(name))
            .collect();
        assert_eq!(extra, expected, "{config}");
    }
    for name in ["gcc", "ld", "make", "flex", "bison", "bc", "libc"] {
        assert!(base.contains(&name.to_owned()), "{name}");
    }
}

#[test]
fn without_a_config_nothing_is_left_out_and_little_is_certain() {
    let unknown = names("x86_64", Compiler::Gcc, None, &[]);
    assert!(unknown.contains(&("libelf".to_owned(), false)));
    assert!(unknown.contains(&("pahole".to_owned(), false)));
    assert!(unknown.contains(&("gcc".to_owned(), true)));
    let mut once = unknown.clone();
    once.dedup();
    assert_eq!(once.len(), unknown.len());
}

#[test]
fn cross_clang_and_features_ask_for_their_own() {
    let has = |target, compiler, features: &[Feature], name: &str| {
        names(target, compiler, Some(""), features)
            .iter()
            .any(|(known, certain)| known == name && *certain)
    };
    assert!(has("arm64", Compiler::Gcc, &[], "aarch64-linux-gnu-ld"));
    assert!(
        has("arm64", Compiler::Gcc, &[], "gcc"),
        "for the host's programs"
    );
    assert!(has("arm64", Compiler::Clang, &[], "ld.lld"));
    assert!(!has("arm64", Compiler::Clang, &[], "gcc"));
    assert!(has(
        "arm64",
        Compiler::Gcc,
        &[Feature::Boot],
        "qemu-system-aarch64"
    ));
    assert!(!has("arm64", Compiler::Gcc, &[], "qemu-system-aarch64"));
    assert!(has(
        "x86_64",
        Compiler::Gcc,
        &[Feature::RpmPackage],
        "rsync"
    ));
    assert!(has("x86_64", Compiler::Gcc, &[Feature::Ccache], "ccache"));
}

#[test]
fn every_need_of_every_architecture_has_a_debian_package() {
    for target in Arch::all() {
        for compiler in [Compiler::Gcc, Compiler::Clang] {
            let Some(prefix) = toolchain::prefixes(target, arch("x86_64"))
                .into_iter()
                .next()
            else {
                continue;
            };
            let affixes = Affixes {
                prefix,
                suffix: String::new(),
            };
            for need in needs(&Query {
                arch: target,
                host: arch("x86_64"),
                compiler,
                affixes: &affixes,
                config: None,
                minimums: None,
                features: &[
                    Feature::Boot,
                    Feature::Ccache,
                    Feature::DebPackage,
                    Feature::RpmPackage,
                ],
            }) {
                // Debian has no compiler for a few; then the kernel.org ones are the way.
                let known = !need.packages.with(PackageManager::Apt).is_empty();
                let foreign = compiler == Compiler::Gcc && target.row().cross_package.is_none();
                assert!(known || foreign, "{target} {compiler:?} {}", need.name);
            }
        }
    }
}

#[test]
fn the_package_manager_follows_from_os_release() {
    let rows = [
        (
            "NAME=\"Debian GNU/Linux\"\nID=debian\n",
            Some(PackageManager::Apt),
        ),
        (
            "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n",
            Some(PackageManager::Apt),
        ),
        ("ID=fedora\n", Some(PackageManager::Dnf)),
        (
            "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n",
            Some(PackageManager::Dnf),
        ),
        ("ID=manjaro\nID_LIKE=arch\n", Some(PackageManager::Pacman)),
        (
            "ID=\"opensuse-tumbleweed\"\nID_LIKE=\"opensuse suse\"\n",
            Some(PackageManager::Zypper),
        ),
        ("ID=nixos\n", Some(PackageManager::Nix)),
        ("ID=haiku\n", None),
        ("", None),
    ];
    for (text, expected) in rows {
        assert_eq!(PackageManager::of_system(text), expected, "{text}");
    }
}

#[test]
fn missing_packages_are_installed_in_one_call_and_old_ones_are_not() {
    let finding = |name: &str, state: State| Finding {
        need: Need {
            name: name.to_owned(),
            probe: Probe::Program {
                program: name.to_owned(),
            },
            minimum: Some(version("2.0")),
            why: "needed".to_owned(),
            certain: true,
            packages: Packages::default(),
        },
        state,
        package: Some(format!("{name}-package")),
    };
    let old = State::TooOld {
        path: "/bin/old".into(),
        version: version("1.0"),
    };
    let findings = [
        finding("b", State::Missing),
        finding("old", old),
        finding("a", State::Missing),
        finding("b", State::Missing),
    ];
    assert_eq!(
        findings[0].to_string(),
        "b is missing, package b-package (needed)"
    );
    assert_eq!(
        findings[1].to_string(),
        "old 1.0 is too old, 2.0 is needed (needed)"
    );
    let rows = [
        (
            Some(PackageManager::Apt),
            Privilege::Root,
            true,
            "apt-get update\nenv DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends a-package b-package",
        ),
        (
            Some(PackageManager::Dnf),
            Privilege::Sudo,
            true,
            "sudo dnf install --assumeyes a-package b-package",
        ),
        (
            Some(PackageManager::Pacman),
            Privilege::None,
            false,
            "pacman --sync --refresh --needed --noconfirm a-package b-package",
        ),
        (
            Some(PackageManager::Zypper),
            Privilege::Root,
            false,
            "zypper --non-interactive install a-package b-package",
        ),
        (Some(PackageManager::Nix), Privilege::Root, false, ""),
        (None, Privilege::Root, false, ""),
    ];
    for (manager, privilege, lists_missing, expected) in rows {
        let system = System {
            manager,
            privilege,
            lists_missing,
            variables: BTreeMap::new(),
        };
        let calls: Vec<_> = install_calls(&findings, &system)
            .into_iter()
            .map(|call| [vec![call.program], call.args].concat().join(" "))
            .collect();
        assert_eq!(calls.join("\n"), expected);
        assert_eq!(install_calls(&findings[1..2], &system), []);
    }
}

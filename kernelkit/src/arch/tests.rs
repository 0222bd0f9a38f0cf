use std::collections::BTreeSet;

use super::*;

fn arch(text: &str) -> Arch {
    text.parse()
        .unwrap_or_else(|error: UnknownArch| panic!("{error}"))
}

#[test]
fn the_table_is_sorted_by_name() {
    assert!(ROWS.is_sorted_by_key(|row| row.name));
}

#[test]
fn every_name_and_alias_means_one_row() {
    let names: Vec<&str> = Arch::all().flat_map(Arch::names).collect();
    let unique: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(unique.len(), names.len());
    for name in names {
        assert_eq!(name, name.to_ascii_lowercase());
        assert!(arch(name).names().any(|other| other == name));
    }
}

#[test]
fn names_round_trip() {
    for arch in Arch::all() {
        assert_eq!(arch.to_string().parse(), Ok(arch));
        let json = serde_json::to_string(&arch).unwrap();
        assert_eq!(json, format!("\"{}\"", arch.name()));
        assert_eq!(serde_json::from_str::<Arch>(&json).unwrap(), arch);
    }
}

#[test]
fn every_row_is_filled_in() {
    for row in ROWS {
        let name = row.name;
        for word in [
            row.kernel_arch,
            row.srcarch,
            row.machine,
            row.defconfig,
            row.image_target,
        ] {
            assert!(
                !word.is_empty() && !word.contains(char::is_whitespace),
                "{name}: `{word}`"
            );
        }
        assert!([32, 64].contains(&row.bits), "{name}");
        assert_ne!(row.elf_machine, 0, "{name}");
        assert!(
            row.cross_prefix.is_none_or(|prefix| prefix.ends_with('-')),
            "{name}"
        );
        assert!(
            row.cross_prefix.is_some() || row.llvm_target.is_some(),
            "{name} has no compiler"
        );
        assert!(
            ["vmlinuz", "vmlinux", "linux"].contains(&row.install_name),
            "{name}"
        );
        for path in [row.image_path, row.kbuild_image] {
            assert!(
                !path.contains("/boot/") || path.starts_with(&format!("arch/{}/", row.srcarch)),
                "{name}: {path}"
            );
        }
        if let (Some(prefix), Some(package)) = (row.cross_prefix, row.cross_package) {
            // Debian's package names have no underscore.
            assert_eq!(
                format!("gcc-{prefix}"),
                format!("{}-", package.replace("x86-64", "x86_64"))
            );
        }
        if let Some(qemu) = row.qemu {
            assert!(
                qemu.binary.starts_with("qemu-system-") && !qemu.packages.is_empty(),
                "{name}"
            );
            assert!(
                qemu.append.contains(&format!("console={}", qemu.console)),
                "{name}"
            );
        }
    }
}

#[test]
fn rows_of_one_directory_differ_in_width_or_byte_order() {
    let forms: BTreeSet<(&str, u8, bool)> = ROWS
        .iter()
        .map(|row| (row.srcarch, row.bits, row.endian == Endian::Big))
        .collect();
    assert_eq!(forms.len(), ROWS.len());
}

#[test]
fn a_nix_system_is_one_rows() {
    let systems: Vec<&str> = ROWS.iter().filter_map(|row| row.nix_system).collect();
    assert_eq!(systems.iter().collect::<BTreeSet<_>>().len(), systems.len());
}

#[test]
fn aliases_are_what_people_write() {
    for (text, name) in [
        ("amd64", "x86_64"),
        ("x86-64", "x86_64"),
        ("aarch64", "arm64"),
        ("ppc64le", "powerpc64le"),
        ("ppc64el", "powerpc64le"),
        ("riscv", "riscv64"),
        ("i686", "i386"),
        ("armhf", "arm"),
        ("s390", "s390x"),
        ("hppa", "parisc"),
    ] {
        assert_eq!(arch(text).name(), name);
    }
}

#[test]
fn arch_for_make_is_not_always_the_name() {
    for (name, kernel_arch, srcarch) in [
        ("x86_64", "x86_64", "x86"),
        ("i386", "i386", "x86"),
        ("riscv64", "riscv", "riscv"),
        ("powerpc64le", "powerpc", "powerpc"),
        ("s390x", "s390", "s390"),
        ("sparc64", "sparc64", "sparc"),
        ("parisc64", "parisc64", "parisc"),
        ("loongarch64", "loongarch", "loongarch"),
    ] {
        let row = arch(name).row();
        assert_eq!((row.kernel_arch, row.srcarch), (kernel_arch, srcarch));
    }
}

#[test]
fn a_host_is_known_by_its_machine() {
    for (machine, name) in [
        ("x86_64", "x86_64"),
        ("i686", "i386"),
        ("i586", "i386"),
        ("aarch64", "arm64"),
        ("armv6l", "arm"),
        ("armv7l", "arm"),
        ("armv8l", "arm"),
        ("ppc64le", "powerpc64le"),
        ("ppc64", "powerpc64"),
        ("riscv64", "riscv64"),
        ("s390x", "s390x"),
        ("sh4a", "sh"),
        ("loongarch64", "loongarch64"),
        ("parisc64", "parisc64"),
    ] {
        assert_eq!(Arch::host(machine).map(Arch::name), Ok(name));
    }
    assert_eq!(Arch::host("vax"), Err(UnknownArch("vax".to_owned())));
}

#[test]
fn every_rows_machine_is_a_host_of_its_directory() {
    for row in ROWS.iter().filter(|row| row.name != "um") {
        let host = Arch::host(row.machine).unwrap().row();
        assert_eq!(
            (host.srcarch, host.bits),
            (row.srcarch, row.bits),
            "{}",
            row.name
        );
    }
}

#[test]
fn an_unknown_architecture_is_answered_with_the_nearest() {
    let check = |text: &str, hint: &str| {
        let error = text.parse::<Arch>().unwrap_err();
        assert_eq!(error.hint().as_deref(), Some(hint));
    };
    check("x86_46", "did you mean `x86_64`?");
    check("X86_64", "did you mean `x86_64`?");
    check("arch64", "did you mean `arm64`?");
    check("riscv46", "did you mean `riscv64`?");
    check("x86", "did you mean `i386` or `x86_64`?");
    let error = "pdp11".parse::<Arch>().unwrap_err();
    assert_eq!(error.to_string(), "unknown architecture `pdp11`");
    let hint = error.hint().unwrap();
    assert!(Arch::all().all(|arch| hint.contains(arch.name())), "{hint}");
}

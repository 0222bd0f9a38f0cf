//! The table of architectures against the trees it describes.
#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use kernelkit::arch::{Arch, Row};
use kernelkit::version::{KernelVersion, VersionRange};

mod trees;

/// One architecture's directory in one tree.
struct Directory {
    path: Utf8PathBuf,
    makefile: String,
}

/// Calls `check` for every row in every tree that has its directory.
fn walk(check: impl Fn(&Row, &Directory)) {
    for tree in trees::trees() {
        for arch in Arch::all() {
            let path = tree.join("arch").join(arch.row().srcarch);
            if let Ok(makefile) = fs::read_to_string(path.join("Makefile")) {
                check(arch.row(), &Directory { path, makefile });
            }
        }
    }
}

fn names_in(directory: &Utf8Path) -> BTreeSet<String> {
    directory
        .read_dir_utf8()
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().join("Makefile").is_file())
        .map(|entry| entry.file_name().to_owned())
        .collect()
}

/// Words as make separates them, functions and paths taken apart.
fn words(makefile: &str) -> BTreeSet<&str> {
    makefile
        .split(|c: char| c.is_whitespace() || ":$(),/'".contains(c))
        .collect()
}

/// The script that `make install` runs, less its comments.
fn install_script(directory: &Utf8Path) -> Option<String> {
    let text = ["install.sh", "boot/install.sh"]
        .into_iter()
        .find_map(|name| fs::read_to_string(directory.join(name)).ok())?;
    Some(
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .collect::<Vec<_>>()
            .join("\n"),
    )
}

#[test]
fn every_directory_of_a_tree_has_a_row() {
    let known: BTreeSet<String> = Arch::all()
        .map(|arch| arch.row().srcarch.to_owned())
        .collect();
    for tree in trees::trees() {
        let unknown: Vec<String> = names_in(&tree.join("arch"))
            .difference(&known)
            .cloned()
            .collect();
        assert!(
            unknown.is_empty(),
            "{tree} has {unknown:?}, which the table lacks"
        );
    }
}

#[test]
fn every_row_is_in_a_tree() {
    let trees = trees::trees();
    let present: BTreeSet<String> = trees
        .iter()
        .flat_map(|tree| names_in(&tree.join("arch")))
        .collect();
    let with_ia64: VersionRange = "<6.7".parse().unwrap();
    let any_old = trees.iter().any(|tree| {
        let makefile = fs::read_to_string(tree.join("Makefile")).unwrap();
        with_ia64.contains(&KernelVersion::from_makefile(&makefile).unwrap())
    });
    for row in Arch::all().map(Arch::row).filter(|_| !trees.is_empty()) {
        let expected = row.srcarch != "ia64" || any_old;
        assert_eq!(present.contains(row.srcarch), expected, "{}", row.name);
    }
}

#[test]
fn make_maps_arch_to_the_rows_directory() {
    for tree in trees::trees() {
        let makefile = fs::read_to_string(tree.join("Makefile")).unwrap();
        for row in Arch::all().map(Arch::row) {
            let mapped = makefile
                .lines()
                .skip_while(|line| line.trim() != format!("ifeq ($(ARCH),{})", row.kernel_arch))
                .nth(1)
                .and_then(|line| line.trim().strip_prefix("SRCARCH := "));
            assert_eq!(
                mapped.unwrap_or(row.kernel_arch),
                row.srcarch,
                "{tree}: {}",
                row.name
            );
        }
    }
}

#[test]
fn image_targets_are_in_the_makefile() {
    walk(|row, directory| {
        let found =
            row.image_target == "vmlinux" || words(&directory.makefile).contains(row.image_target);
        assert!(found, "{} has no goal {}", directory.path, row.image_target);
    });
}

#[test]
fn kbuild_image_is_the_makefiles() {
    walk(|row, directory| {
        let assigns = |line: &str| line.trim_start().starts_with("KBUILD_IMAGE");
        if directory.makefile.lines().any(assigns) {
            let name = row
                .kbuild_image
                .strip_prefix(&format!("arch/{}/boot/", row.srcarch));
            let name = name.unwrap_or_else(|| panic!("{} sets another", directory.path));
            // LoongArch puts the name together from two parts.
            let name = name.strip_suffix(".efi").unwrap_or(name);
            assert!(
                words(&directory.makefile).contains(name),
                "{} has no {name}",
                directory.path
            );
        } else {
            assert_eq!(
                row.kbuild_image, "vmlinux",
                "{} leaves the default",
                directory.path
            );
        }
    });
}

#[test]
fn install_names_are_the_install_scripts() {
    walk(|row, directory| {
        let Some(script) = install_script(&directory.path) else {
            let installs = directory
                .makefile
                .lines()
                .any(|line| line.starts_with("install"));
            let own = format!("$(INSTALL_PATH)/{}", row.install_name);
            let image_name = "$(INSTALL_PATH)/$(image-name-y)";
            let named =
                directory.makefile.contains(&own) || directory.makefile.contains(image_name);
            assert!(
                !installs || named,
                "{} installs something else",
                directory.path
            );
            return;
        };
        let image = row.image_path.rsplit('/').next().unwrap();
        let name = if script.contains("$image_name") {
            image
        } else if !script.contains("base=") || compressed(&script, image) {
            "vmlinuz"
        } else {
            "vmlinux"
        };
        assert_eq!(
            row.install_name, name,
            "{} installs {image} so",
            directory.path
        );
    });
}

/// Whether a script that chooses between two names takes the image for a compressed one: whether it
/// names that image, or a pattern for it, in the branch that ends in `base=vmlinuz`.
fn compressed(script: &str, image: &str) -> bool {
    let base = script.find("base=vmlinuz").unwrap();
    let test = &script[..base];
    let branch = test
        .rfind("base=vmlinux")
        .map_or(test, |other| &test[other..]);
    let kind = image.split_once('.').map(|(stem, _)| format!("{stem}.*"));
    branch.contains(&format!("\"{image}\""))
        || branch.contains(&format!("{image})"))
        || kind.is_some_and(|kind| branch.contains(&kind))
}

#[test]
fn defconfigs_are_there() {
    walk(|row, directory| {
        let configs = directory.path.join("configs");
        let goal = row.defconfig;
        let found = if goal == "defconfig" {
            directory.makefile.contains("KBUILD_DEFCONFIG") || configs.join(goal).is_file()
        } else if row.srcarch == "mips" {
            // 64r2el_defconfig is made of generic/64r2.config and generic/el.config.
            let name = goal.trim_end_matches("_defconfig");
            let (isa, order) = name
                .strip_suffix("el")
                .map_or((name, "eb"), |isa| (isa, "el"));
            [isa, order]
                .iter()
                .all(|part| configs.join(format!("generic/{part}.config")).is_file())
        } else if row.name == "loongarch32" && !configs.join("loongson64_defconfig").is_file() {
            // A tree from before the 32-bit port.
            true
        } else {
            configs.join(goal).is_file()
                || directory
                    .makefile
                    .lines()
                    .any(|line| line.starts_with(&format!("{goal}:")))
        };
        assert!(found, "{} has no {goal}", directory.path);
    });
}

#[test]
fn device_trees_are_where_the_table_says() {
    walk(|row, directory| {
        assert_eq!(
            directory.path.join("boot/dts").is_dir(),
            row.dtbs,
            "{}",
            directory.path
        );
    });
}

#[test]
fn llvm_targets_are_the_kernels() {
    for tree in trees::trees() {
        let text = fs::read_to_string(tree.join("scripts/Makefile.clang")).unwrap();
        for row in Arch::all().map(Arch::row).filter(|row| row.srcarch != "um") {
            let variable = format!("CLANG_TARGET_FLAGS_{}", row.srcarch);
            let target = text.lines().find_map(|line| {
                let (name, value) = line.split_once(":=")?;
                (name.trim() == variable).then(|| value.trim())
            });
            // Newer kernels build more architectures with clang.
            assert!(
                target.is_none() || target == row.llvm_target,
                "{tree}: {}",
                row.name
            );
        }
    }
}

#[test]
fn elf_machines_are_the_kernels() {
    for tree in trees::trees() {
        let header = fs::read_to_string(tree.join("include/uapi/linux/elf-em.h")).unwrap();
        let value = |name: &str| {
            let words = |line: &str| -> Option<u16> {
                let mut words = line.split_whitespace();
                let defines = words.next() == Some("#define") && words.next() == Some(name);
                words.next().filter(|_| defines).and_then(number)
            };
            header.lines().find_map(words)
        };
        for row in Arch::all().map(Arch::row) {
            let directory = tree.join("arch").join(row.srcarch);
            if !directory.is_dir() {
                continue;
            }
            // User mode Linux takes its host's.
            let places = match row.srcarch {
                "um" => vec![
                    tree.join("arch/x86/um/asm"),
                    tree.join("arch/x86/include/asm"),
                ],
                _ => vec![
                    directory.join("include/asm"),
                    directory.join("include/uapi/asm"),
                ],
            };
            let machines: BTreeSet<u16> = places
                .iter()
                .flat_map(|place| ["elf.h", "elf_32.h", "elf_64.h"].map(|name| place.join(name)))
                .filter_map(|path| fs::read_to_string(path).ok())
                .flat_map(|text| {
                    words(&text)
                        .into_iter()
                        .filter_map(value)
                        .collect::<Vec<_>>()
                })
                .collect();
            assert!(
                machines.contains(&row.elf_machine),
                "{directory} has {machines:?}"
            );
        }
    }
}

fn number(text: &str) -> Option<u16> {
    match text.strip_prefix("0x") {
        Some(digits) => u16::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

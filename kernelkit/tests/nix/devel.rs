//! The devel layer as the build script lays it out; this needs bash and no Nix.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use kernelkit::arch::{Arch, Endian};
use kernelkit::nix::kernel::build_script;

/// The beginning of an ELF file of an architecture; for x86_64, where the builder's own programs
/// are looked into, a whole one.
fn elf(arch: &str) -> Vec<u8> {
    if arch == "x86_64" {
        return fs::read("/bin/true").unwrap();
    }
    let row = arch.parse::<Arch>().unwrap().row();
    let mut head = b"\x7fELF".to_vec();
    head.push(if row.bits == 64 { 2 } else { 1 });
    let (order, machine) = match row.endian {
        Endian::Little => (1, row.elf_machine.to_le_bytes()),
        Endian::Big => (2, row.elf_machine.to_be_bytes()),
    };
    head.push(order);
    head.resize(16, 0);
    head.extend([2, 0]);
    head.extend(machine);
    head.resize(64, 0);
    head
}

fn write(path: Utf8PathBuf, bytes: &[u8], mode: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}

/// The files of the devel tree of a kernel for `arch`, built on x86_64.
fn devel(arch: &str) -> Vec<String> {
    let guard = tempfile::tempdir().unwrap();
    let root = Utf8Path::from_path(guard.path()).unwrap();
    let config = "CONFIG_MODULES=y\n";
    for (file, bytes, mode) in [
        ("source/Makefile", b"all:\n".to_vec(), 0o644),
        ("source/include/a.h", b"\n".to_vec(), 0o644),
        ("source/scripts/check.sh", b"#!/bin/sh\n".to_vec(), 0o755),
        ("build/Makefile", b"all:\n".to_vec(), 0o644),
        ("build/.config", config.into(), 0o644),
        ("build/Module.symvers", b"\n".to_vec(), 0o644),
        ("build/vmlinux", elf(arch), 0o755),
        ("build/scripts/basic/fixdep", elf("x86_64"), 0o755),
        ("build/scripts/mod/modpost", elf("x86_64"), 0o755),
        ("build/scripts/target", elf(arch), 0o755),
        ("build/scripts/run.sh", b"#!/bin/sh\n".to_vec(), 0o755),
        ("files/boot/image-r", b"i".to_vec(), 0o644),
        ("files/boot/System.map-r", b"s".to_vec(), 0o644),
        ("files/boot/config-r", config.into(), 0o644),
    ] {
        write(root.join(file), &bytes, mode);
    }
    let mut bash = std::process::Command::new("bash");
    bash.env_clear()
        .env("PATH", std::env::var("PATH").unwrap())
        .env("NIX_BUILD_TOP", root)
        .env("NIX_STORE", "/nix/store")
        .env("image", "arch/x/boot/image")
        .env("config", root.join("build/.config"))
        .args(["-c", build_script()]);
    for (name, place) in [
        ("out", "out"),
        ("modules", "modules"),
        ("dev", "dev"),
        ("layerFiles", "files"),
        ("layerBuild", "build"),
        ("layerSource", "source"),
        ("layerDev", "dev"),
    ] {
        bash.env(name, root.join(place));
    }
    for name in ["debug", "installModules"] {
        bash.env(name, "");
    }
    for name in [
        "kernelName",
        "kernelVersion",
        "digest",
        "toolchainId",
        "UTS_RELEASE",
        "UTS_VERSION",
        "UTS_MACHINE",
        "LINUX_COMPILER",
        "LINUX_COMPILE_BY",
        "LINUX_COMPILE_HOST",
    ] {
        bash.env(name, "x");
    }
    bash.env("arch", arch)
        .env("release", "r")
        .env("imageName", "image");
    let output = bash.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let build = root.join("dev/lib/modules/r/build");
    let listing = std::process::Command::new("find")
        .args([build.as_str(), "-type", "f", "-printf", "%P\n"])
        .output()
        .unwrap();
    let text = String::from_utf8(listing.stdout).unwrap();
    let mut files: Vec<String> = text.lines().map(str::to_owned).collect();
    files.sort();
    files
}

#[test]
fn the_devel_tree_of_another_machine_holds_no_programs_of_the_builder() {
    let text = [".config", "Makefile", "Module.symvers", "scripts/run.sh"];
    for arch in ["arm64", "riscv64", "i386", "s390x", "powerpc64le", "mips"] {
        let mut expected = text.to_vec();
        expected.push("scripts/target");
        assert_eq!(devel(arch), expected, "{arch}");
    }
    let mut expected = text.to_vec();
    expected.extend([
        "scripts/basic/fixdep",
        "scripts/mod/modpost",
        "scripts/target",
    ]);
    expected.sort_unstable();
    assert_eq!(devel("x86_64"), expected);
}

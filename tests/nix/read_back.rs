//! What `nix/build-kernel.sh` reads back from the files that it built. It needs no Nix for that.

use std::process::{Command, Output};

use serde_json::Value;

use crate::support::{Sandbox, StandIn, root};

const RELEASE: &str = "6.12.117-planned";
const REQUEST: &str = "CONFIG_MODULES=y\nCONFIG_RUNTIME_TESTING_MENU=y\nCONFIG_TEST_LKM=m\n\
    CONFIG_LOCALVERSION=\"-planned\"\n# CONFIG_LOCALVERSION_AUTO is not set\n";

/// Runs the script on the stand-in tree in the sandbox.
fn build(sandbox: &Sandbox, tree: &StandIn) -> Output {
    let path = |name: &str| sandbox.path(name).to_string();
    sandbox.write("build/.config", REQUEST);
    let configured = Command::new("make")
        .args(["-s", "-C", tree.dir().as_str(), "olddefconfig"])
        .args([&format!("O={}", path("build")), "ARCH=x86_64"])
        .status()
        .unwrap();
    assert!(configured.success());
    std::fs::rename(sandbox.path("build/.config"), sandbox.path("config")).unwrap();
    std::fs::remove_dir_all(sandbox.path("build")).unwrap();
    Command::new("bash")
        .arg(root().join("nix/build-kernel.sh"))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("NIX_BUILD_TOP", sandbox.path(""))
        .envs(["out", "modules"].map(|name| (name, path(name))))
        .envs([("src", tree.dir().as_str()), ("config", &*path("config"))])
        .envs([("release", RELEASE), ("kernelVersion", "6.12.117")])
        .envs([
            ("arch", "x86_64"),
            ("sourceKind", "path"),
            ("NIX_STORE", "/nix/store"),
        ])
        .envs([("image", "arch/x86/boot/bzImage"), ("imageName", "vmlinuz")])
        .envs([(
            "makeVariables",
            "ARCH=x86_64\nKBUILD_BUILD_USER=me\nKBUILD_BUILD_HOST=here",
        )])
        .envs([("makeGoals", "all"), ("installModules", "1")])
        .envs(["toolchainVariables", "patches", "dev", "debug", "digest"].map(|name| (name, "")))
        .envs([("kernelName", "tiny"), ("toolchainId", "host")])
        .output()
        .unwrap()
}

#[test]
fn the_sandboxs_script_reads_what_was_built() {
    let sandbox = Sandbox::new();
    let output = build(&sandbox, &StandIn::new(&sandbox, "tree"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let manifest = std::fs::read(sandbox.path("out/manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let observed = &manifest["observed"];
    assert_eq!(observed["uts_release"], RELEASE);
    assert_eq!(observed["uts_machine"], "x86_64");
    assert_eq!(observed["linux_compile_by"], "me");
    assert_eq!(observed["linux_compile_host"], "here");
    assert!(
        observed["linux_compiler"]
            .as_str()
            .unwrap()
            .contains("GNU ld"),
        "{observed}"
    );
    assert!(
        observed["uts_version"].as_str().unwrap().starts_with("#1 "),
        "{observed}"
    );
    assert_eq!(observed["build_id"].as_str().unwrap().len(), 40);
}

#[test]
fn the_sandboxs_script_refuses_a_built_file_of_another_release() {
    let rows = [
        (
            (
                "init/version-timestamp.c",
                "\"Linux version \" UTS_RELEASE",
                "\"Linux version 6.12.117-other\"",
            ),
            "The banner in vmlinux carries the release 6.12.117-other,",
        ),
        (
            ("scripts/bzimage", "\"$2\"", "'6.12.117-other (me@here) #1'"),
            "The setup header of arch/x86/boot/bzImage carries the release 6.12.117-other,",
        ),
        (
            (
                "scripts/bzimage",
                "gzip -n -9 <\"$1\"",
                "sed s/-planned/-another/g \"$1\" | gzip -n -9",
            ),
            "The banner in arch/x86/boot/bzImage carries the release 6.12.117-another,",
        ),
        (
            (
                "scripts/bzimage",
                "cat \"$payload\"",
                "head -c 99 \"$payload\"",
            ),
            "The payload of arch/x86/boot/bzImage cannot be decompressed.",
        ),
        (
            (
                "lib/test_module.c",
                "\"vermagic=\" UTS_RELEASE",
                "\"vermagic=6.12.117-other\"",
            ),
            "The module kernel/lib/test_module.ko carries the release 6.12.117-other,",
        ),
        (
            (
                "lib/test_module.c",
                "\"vermagic=\" UTS_RELEASE",
                "\"nothing\"",
            ),
            "The module kernel/lib/test_module.ko carries the release (none),",
        ),
    ];
    for ((file, from, to), expected) in rows {
        let sandbox = Sandbox::new();
        let tree = StandIn::new(&sandbox, "tree").edit(file, |text| {
            assert!(text.contains(from), "{file}: {from}");
            text.replace(from, to)
        });
        let output = build(&sandbox, &tree);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && said.contains(expected),
            "{file}: {said}"
        );
        assert!(!sandbox.path("out/manifest.json").exists());
    }
}

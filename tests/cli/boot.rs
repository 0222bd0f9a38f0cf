use camino::Utf8Path;

use super::build::installed;
use super::run_json;
use crate::support::{Sandbox, require_tool, require_tree};

/// Two versions for two architectures, built by one command. With debug information, which is
/// where directories would show.
#[test]
fn a_matrix_of_real_kernels_boots_as_predicted_and_has_the_same_bytes_elsewhere() {
    let (Some(old), Some(new)) = (require_tree("6.1"), require_tree("6.12")) else {
        return;
    };
    let tools = [
        "qemu-system-x86_64",
        "qemu-system-aarch64",
        "aarch64-linux-gnu-gcc",
        "ccache",
    ];
    if !tools.iter().all(|tool| require_tool(tool)) {
        return;
    }
    let sandbox = Sandbox::with_kernels(&format!(
        "[workspace.metadata.kernel.matrix.tiny]\npreset = \"tiny\"\ndebug = true\n\
         fragments = [\"core/sysfs\"]\n\
         axes = {{ source = {{ old = \"{old}\", new = \"{new}\" }}, arch = [\"x86_64\", \"arm64\"] }}\n\
         [workspace.metadata.kernel.kernels.flavour]\npreset = \"tiny\"\ndebug = true\nsource = \"{new}\"\n\
         fragments = [\"fs/overlayfs\", \"core/sysfs\"]\n\
         [workspace.metadata.kernel]\nfragment-dirs = [\"fragments\"]\n"
    ));
    sandbox.write(
        "project/fragments/core/sysfs.config",
        "# summary: build ids of the running kernel and its modules\n\nCONFIG_SYSFS=y\n",
    );
    let releases: Vec<(String, String)> = run_json(&sandbox, &["plan"], 0)
        .messages()
        .into_iter()
        .filter(|message| message["reason"] == "plan")
        .map(|message| {
            let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
            let plan = &message["plan"];
            (text(&plan["name"]), text(&plan["release"]))
        })
        .collect();
    assert_eq!(releases.len(), 5, "{releases:?}");
    let built = run_json(&sandbox, &["build", "--all"], 0);
    let borrowed = built.message("objects-borrowed");
    let pair = [&borrowed["kernel"], &borrowed["from"]].map(|name| name.as_str().unwrap());
    // Whichever was built first: the other one began with its objects.
    let (flavour, plain) = ("flavour", "tiny-new-x86_64");
    assert!(
        pair == [flavour, plain] || pair == [plain, flavour],
        "{borrowed}"
    );
    for (kernel, release) in &releases {
        let booted = sandbox
            .kernel(&["boot", kernel, "--check", "--accel", "tcg"])
            .output()
            .unwrap();
        let messages = String::from_utf8(booted.stderr).unwrap();
        assert!(booted.status.success(), "{kernel}: {messages}");
        assert!(messages.contains("Loaded"), "{kernel}: {messages}");
        assert!(!messages.contains("build id"), "{kernel}: {messages}");
        let said = String::from_utf8(booted.stdout).unwrap();
        assert_eq!(said.trim(), release, "{kernel}");
    }

    // The release is the same, and the build another.
    let path = format!("project/target/kernel/{flavour}/manifest.json");
    let manifest = std::fs::read_to_string(sandbox.path(&path)).unwrap();
    let parsed: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let build_id = parsed["observed"]["build_id"].as_str().unwrap();
    sandbox.write(&path, &manifest.replace(build_id, &"0".repeat(40)));
    let check = ["boot", flavour, "--no-build", "--check", "--accel", "tcg"];
    let booted = sandbox.kernel(&check).output().unwrap();
    let messages = String::from_utf8(booted.stderr).unwrap();
    assert_eq!(booted.status.code(), Some(100), "{messages}");
    let problem = format!("the kernel has the build id {build_id}, not 0000");
    assert!(messages.contains(&problem), "{messages}");
    sandbox.write(&path, &manifest);

    let toml = std::fs::read_to_string(sandbox.path("project/Cargo.toml")).unwrap();
    sandbox.write("deep/er/elsewhere/Cargo.toml", &toml);
    let elsewhere = sandbox.path("deep/er/elsewhere");
    std::os::unix::fs::symlink(
        sandbox.path("project/fragments"),
        elsewhere.join("fragments"),
    )
    .unwrap();
    let kernel = pair[0];
    sandbox
        .kernel_in(&elsewhere, &["build", kernel, "--no-reuse", "--no-ccache"])
        .assert()
        .success();
    let state = Utf8Path::new("target/kernel").join(kernel);
    let (one, other) = (sandbox.path("project").join(&state), elsewhere.join(&state));
    for file in ["vmlinux", "System.map", "Module.symvers"] {
        let read = |state: &Utf8Path| std::fs::read(state.join("build").join(file)).unwrap();
        assert!(read(&one) == read(&other), "{file} differs");
    }
    let (one, other) = (installed(&one), installed(&other));
    assert!(
        one.keys()
            .any(|name| name.as_str().ends_with("test_module.ko"))
    );
    assert!(one.keys().eq(other.keys()));
    for (name, bytes) in &one {
        assert!(bytes == &other[name], "{name} differs");
    }
}

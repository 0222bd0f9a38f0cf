use std::collections::BTreeSet;

use serde_json::Value;

use super::{run, run_json, said, tiny};
use crate::support::root;

fn keys(value: &Value) -> BTreeSet<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

#[test]
fn a_plan_is_what_the_manifest_will_say() {
    let (sandbox, _tree) = tiny("debug = true\n");
    let plan = run_json(&sandbox, &["plan"], 0).message("plan")["plan"].clone();
    assert!(
        !sandbox
            .path("project/target/kernel/tiny/build/init")
            .exists(),
        "nothing is built"
    );
    let mut manifest =
        run_json(&sandbox, &["build"], 0).message("kernel-finished")["manifest"].clone();
    let written = std::fs::read(sandbox.path("project/target/kernel/tiny/manifest.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&written).unwrap(), manifest);

    // Observed after the build, and of no meaning before.
    for output in manifest["outputs"].as_array_mut().unwrap() {
        let output = output.as_object_mut().unwrap();
        assert!(output.remove("size").is_some() && output.remove("sha256").is_some());
    }
    let plan_only = BTreeSet::from(["backend_reason", "steps", "reuse", "stored", "hazards"]);
    let build_only = BTreeSet::from(["observed", "devtools", "statistics"]);
    let common: BTreeSet<_> = keys(&plan).difference(&plan_only).copied().collect();
    assert_eq!(
        common,
        keys(&manifest).difference(&build_only).copied().collect()
    );
    for key in common {
        assert_eq!(plan[key], manifest[key], "{key}");
    }

    let schema = std::fs::read(root().join("book/src/reference/manifest.schema.json")).unwrap();
    let schema: Value = serde_json::from_slice(&schema).unwrap();
    assert_eq!(keys(&manifest), keys(&schema["properties"]));
    let required = schema["required"].as_array().unwrap();
    assert!(
        required
            .iter()
            .all(|key| manifest.get(key.as_str().unwrap()).is_some())
    );
}

#[test]
fn a_plan_reads_well() {
    let (sandbox, _tree) = tiny("");
    let said = run(&sandbox, &["plan", "--no-ccache", "--jobs", "3"]);
    let plan = sandbox.redact(&said.stdout);
    let plan: Vec<_> = plan
        .lines()
        .filter(|line| !line.starts_with("toolchain"))
        .collect();
    insta::assert_snapshot!(plan.join("\n"), @r"
    kernel     tiny
    release    6.12.117-tree-[digest]
    arch       x86_64
    source     [sandbox]/tree ([digest])
    config     preset tiny, 15 symbols requested by 8 fragments
    backend    host: it is not in kernel.lock
    reuse      a finished build of this identity is taken
    configure  write [sandbox]/project/target/kernel/tiny/build/.config
               make olddefconfig
    compile    make
    install    [sandbox]/project/target/kernel/tiny/build/arch/x86/boot/bzImage as boot/vmlinuz-6.12.117-tree-[digest]
    install    [sandbox]/project/target/kernel/tiny/build/System.map as boot/System.map-6.12.117-tree-[digest]
    install    [sandbox]/project/target/kernel/tiny/build/.config as boot/config-6.12.117-tree-[digest]
    install    make modules_install INSTALL_MOD_PATH=[sandbox]/project/target/kernel/tiny/destdir.new
    devtools   make compile_commands.json
    make       -C [sandbox]/tree
    make       O=[sandbox]/project/target/kernel/tiny/build
    make       --no-print-directory
    make       -j3
    make       ARCH=x86_64
    make       'KBUILD_BUILD_TIMESTAMP=Sun Aug 25 20:57:08 UTC 1991'
    make       KBUILD_BUILD_USER=kernelkit
    make       KBUILD_BUILD_HOST=kernelkit
    make       KBUILD_BUILD_VERSION=1
    make       LOCALVERSION=
    make       'KCFLAGS=-fdebug-prefix-map=[sandbox]/tree=/usr/src/linux -fdebug-prefix-map=[sandbox]/project/target/kernel/tiny/build=/usr/src/linux/build'
    make       'KAFLAGS=-fdebug-prefix-map=[sandbox]/tree=/usr/src/linux -fdebug-prefix-map=[sandbox]/project/target/kernel/tiny/build=/usr/src/linux/build'
    output     [sandbox]/project/target/kernel/tiny/destdir/boot/vmlinuz-6.12.117-tree-[digest]
    output     [sandbox]/project/target/kernel/tiny/destdir/boot/System.map-6.12.117-tree-[digest]
    output     [sandbox]/project/target/kernel/tiny/destdir/boot/config-6.12.117-tree-[digest]
    output     [sandbox]/project/target/kernel/tiny/destdir/lib/modules/6.12.117-tree-[digest]
    ");
}

#[test]
fn verbose_calls_can_be_pasted_into_a_shell() {
    let (sandbox, _tree) = tiny("");
    let shown = run(&sandbox, &["plan", "-v"]).stdout;
    let call = |stage: &str| {
        let line = shown.lines().find(|line| line.starts_with(stage)).unwrap();
        line.strip_prefix(stage).unwrap().trim().to_owned()
    };
    run(&sandbox, &["build"]);
    let output = std::process::Command::new("sh")
        .args(["-c", &call("compile")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn goals_that_leave_nothing_behind_are_made_each_time() {
    let (sandbox, _tree) = tiny("");
    assert_eq!(run(&sandbox, &["build"]).code, 0);
    let goal = run_json(&sandbox, &["build", "--make-target", "headers"], 0);
    assert_eq!(goal.message("kernel-finished")["outcome"], "built");
    assert!(
        sandbox
            .path("project/target/kernel/tiny/build/usr/include/linux")
            .exists()
    );
    let image = run_json(&sandbox, &["build", "--make-target", "bzImage"], 0);
    assert_eq!(image.message("kernel-finished")["outcome"], "reused");
}

#[test]
fn a_whole_build_takes_the_place_of_a_narrow_one_in_the_store() {
    let (sandbox, _tree) = tiny("");
    for (args, outcome) in [
        (&["build", "--make-target", "bzImage"][..], "built"),
        (&["build"], "built"),
        (&["clean"], ""),
        (&["build"], "reused"),
    ] {
        let said = run_json(&sandbox, args, 0);
        if !outcome.is_empty() {
            assert_eq!(
                said.message("kernel-finished")["outcome"],
                outcome,
                "{args:?}"
            );
        }
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let (sandbox, _tree) = tiny("");
    let mut command = sandbox.process(&sandbox.path("project"), &["plan"]);
    let mut process = command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(process.stdout.take());
    let said = said(&sandbox, process.wait_with_output().unwrap());
    assert_eq!((said.code, said.stderr.as_str()), (0, ""));
}

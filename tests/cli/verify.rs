use serde_json::Value;

use super::{run, run_json, tiny};

#[test]
fn a_kernel_built_twice_has_the_same_bytes() {
    let (sandbox, _tree) = tiny("");
    let message = run_json(&sandbox, &["verify"], 0).message("verified");
    assert_eq!(message["differences"], Value::Array(Vec::new()));
    assert!(message["compared"].as_u64().unwrap() > 4, "{message}");
    assert!(!sandbox.path("project/target/kernel/tiny/verify").exists());
}

#[test]
fn a_path_in_the_image_is_found_and_the_second_build_is_kept() {
    let (sandbox, tree) = tiny("");
    let _tree = tree.edit("Makefile", |text| {
        // The image of x86, and that of others.
        ["utsversion.h)\" > $@\n", "&& cp $< $@\n"]
            .iter()
            .fold(text.to_owned(), |text, end| {
                let more = format!("{} && printf '%s' $(objtree) >> $@\n", end.trim_end());
                text.replace(end, &more)
            })
    });
    let said = run(&sandbox, &["verify"]);
    assert_eq!(said.code, 100, "{}", said.stderr);
    let shown = sandbox.redact(&said.stdout);
    let expected = "boot/vmlinuz-6.12.117-tree-[digest]: differs from byte ";
    assert!(shown.starts_with(expected), "{shown}");
    assert!(
        shown.contains("probably: the path [sandbox]/project/target/kernel/tiny/build is in it")
            && shown.contains("    cure: map the path away"),
        "{shown}"
    );
    assert!(
        said.stderr.contains("1 of ")
            && said
                .stderr
                .contains("the second build is in [sandbox]/project/target/kernel/tiny/verify"),
        "{}",
        said.stderr
    );
    assert!(sandbox.path("project/target/kernel/tiny/verify").exists());
}

#[test]
fn what_no_identity_covers_is_told_and_kept_out_of_the_store() {
    let (sandbox, tree) = tiny(
        "fragments = [\"core/random\"]\n\n\
         [workspace.metadata.kernel]\nfragment-dirs = [\"fragments\"]\n",
    );
    sandbox.write(
        "project/fragments/core/random.config",
        "CONFIG_GCC_PLUGIN_LATENT_ENTROPY=y\n",
    );
    let _tree = tree.edit("Kconfig", |text| {
        format!("{text}\nconfig GCC_PLUGIN_LATENT_ENTROPY\n\tbool \"Latent entropy\"\n")
    });
    let plan = run_json(&sandbox, &["plan"], 0).message("plan")["plan"].clone();
    assert_eq!(plan["reuse"], false);
    assert_eq!(plan["hazards"][0]["symbol"], "GCC_PLUGIN_LATENT_ENTROPY");
    let native = ["plan", "--make-flag", "KCFLAGS=-march=native"];
    let plan = run_json(&sandbox, &native, 0).message("plan")["plan"].clone();
    assert_eq!(plan["reuse"], false);
    assert_eq!(plan["hazards"][1]["word"], "-march=native");
    let said = run(&sandbox, &["build"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(
        said.stderr.contains(
            "warning: CONFIG_GCC_PLUGIN_LATENT_ENTROPY=y: the compiler plugin puts random numbers"
        ),
        "{}",
        said.stderr
    );
    let stored = run(&sandbox, &["store", "list"]).stdout;
    assert_eq!(stored, "");
}

#[test]
fn types_that_pahole_writes_in_any_order_are_told_and_not_stored() {
    let (sandbox, tree) = tiny(
        "fragments = [\"debug/types\"]\n\n\
         [workspace.metadata.kernel]\nfragment-dirs = [\"fragments\"]\n",
    );
    let script = "if [ \"${pahole_ver}\" -ge \"122\" ]; then\n\textra_paholeopt=\"${extra_paholeopt} -j\"\nfi\n";
    sandbox.write("tree/scripts/pahole-flags.sh", script);
    let with = |version: u32| {
        format!(
            "\nconfig DEBUG_INFO_BTF\n\tbool \"BTF\"\n\tdefault y\n\nconfig PAHOLE_VERSION\n\tint\n\tdefault {version}\n"
        )
    };
    let tree = tree.edit("Kconfig", |text| format!("{text}{}", with(124)));
    // Presets leave nothing on that they do not ask for.
    sandbox.write(
        "project/fragments/debug/types.config",
        "# summary: types\nCONFIG_DEBUG_INFO_BTF=y\n",
    );
    let hazards = || run_json(&sandbox, &["plan"], 0).message("plan")["plan"]["hazards"].clone();
    let found = hazards();
    assert_eq!(found[0]["symbol"], "DEBUG_INFO_BTF", "{found}");
    let effect = found[0]["effect"].as_str().unwrap();
    assert!(effect.contains("pahole 1.24 with `-j`"), "{effect}");
    let built = run(&sandbox, &["build"]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    assert_eq!(run(&sandbox, &["store", "list"]).stdout, "");

    // A tree that keeps threads apart, and a pahole that does.
    sandbox.write("tree/scripts/pahole-flags.sh", &script.replace("-j", "-j1"));
    assert_eq!(hazards(), serde_json::json!([]));
    sandbox.write("tree/scripts/pahole-flags.sh", script);
    let _tree = tree.edit("Kconfig", |text| text.replace("default 124", "default 129"));
    assert_eq!(hazards(), serde_json::json!([]));
}

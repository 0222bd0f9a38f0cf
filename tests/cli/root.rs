use super::{run, run_json, tiny};
use crate::support::{Sandbox, StandIn, require_user_namespaces};

/// [`tiny`] with this machine's own `/usr` as the root `debian-12`; `None` where user namespaces
/// are off, which CI must not be.
fn rooted() -> Option<(Sandbox, StandIn)> {
    if !require_user_namespaces() {
        return None;
    }
    let (sandbox, tree) = tiny("");
    let digest = "0".repeat(64);
    sandbox.write(
        "project/kernel.lock.d/debian-12.toml",
        &format!(
            "system = \"x86_64-linux\"\nsuite = \"bookworm\"\nname = \"debian-12\"\nsha256 = \"{digest}\"\npackage = []\n"
        ),
    );
    // What is in the cache is not made again.
    let root = sandbox.path(&format!("cache/root/{}/debian-12", &digest[..16]));
    std::fs::create_dir_all(&root).unwrap();
    std::os::unix::fs::symlink("/usr", root.join("usr")).unwrap();
    Some((sandbox, tree))
}

#[test]
fn the_same_tools_in_a_root_give_the_same_identity_and_bytes() {
    let Some((sandbox, _tree)) = rooted() else {
        return;
    };
    // Probes of rustc see another PATH in the root.
    let identity = |args: &[&str]| {
        let message = run_json(&sandbox, &[&["identity"], args].concat(), 0).message("identity");
        message["identity"]["toolchain"].clone()
    };
    assert_eq!(identity(&[]), identity(&["--toolchain", "debian-12"]));
    let built = run_json(&sandbox, &["build", "--toolchain", "debian-12"], 0);
    let manifest = built.message("kernel-finished")["manifest"].clone();
    let rebuilt = run_json(&sandbox, &["build", "--no-reuse"], 0);
    let other = rebuilt.message("kernel-finished")["manifest"].clone();
    assert_eq!(manifest["outputs"], other["outputs"]);
}

#[test]
fn a_program_in_the_root_sees_the_directories_of_the_machine() {
    let Some((sandbox, tree)) = rooted() else {
        return;
    };
    let _tree = tree.edit("Makefile", |text| {
        text.replace(
            "\t@$(NM) -n $@",
            "\t@id -u > $(objtree)/who && printenv PATH >> $(objtree)/who\n\t@$(NM) -n $@",
        )
    });
    run_json(&sandbox, &["build", "--toolchain", "debian-12"], 0);
    let who = std::fs::read_to_string(sandbox.path("project/target/kernel/tiny/build/who"));
    assert_eq!(who.unwrap(), "0\n/usr/sbin:/usr/bin\n");
}

#[test]
fn a_root_that_is_not_here_is_an_error_with_the_way_to_it() {
    let (sandbox, _tree) = tiny("toolchain = \"debian-13\"\n");
    let said = run(&sandbox, &["plan"]);
    assert_eq!(said.code, 101);
    assert_eq!(
        said.stderr,
        "error: the toolchain `debian-13` of `tiny` is not pinned: [sandbox]/project/kernel.lock.d/debian-13.toml is not there\n\
         hint: `cargo kernel toolchain pin debian-13` writes it; `host` is this machine's own"
    );
    let said = run(&sandbox, &["plan", "--toolchain", "Debian 12"]);
    assert_eq!(said.code, 101);
    assert!(
        said.stderr
            .contains("`Debian 12` cannot be the name of a toolchain"),
        "{}",
        said.stderr
    );
}

use super::{run, run_json};
use crate::support::{Sandbox, StandIn};

const MATRIX: &str = "\
[workspace.metadata.kernel.flavours.traced]
make-flags = [\"W=1\"]
[workspace.metadata.kernel.matrix.t]
source = \"../tree\"
preset = \"tiny\"
arch = \"x86_64\"
axes = { flavour = { plain = \"none\", traced = \"traced\" } }
[workspace.metadata.kernel.flavours.none]
";

#[test]
fn kernels_of_a_matrix_are_kernels() {
    let sandbox = Sandbox::with_kernels(MATRIX);
    let _tree = StandIn::new(&sandbox, "tree");
    let said = run_json(&sandbox, &["list"], 0);
    let releases: std::collections::BTreeSet<String> = said
        .messages()
        .into_iter()
        .filter(|message| message["reason"] == "kernel")
        .map(|kernel| kernel["release"].to_string())
        .collect();
    assert_eq!(releases.len(), 2, "{releases:?}");
    assert_eq!(run(&sandbox, &["build", "t-traced"]).code, 0);
    let listed = run(&sandbox, &["list"]).stdout;
    assert!(
        listed.contains("t-traced  x86_64") && listed.contains("(built)"),
        "{listed}"
    );
}

#[test]
fn ci_systems_get_their_own_form() {
    let sandbox = Sandbox::with_kernels(MATRIX);
    let print = |format: &str| run(&sandbox, &["matrix", "--format", format]).stdout;
    insta::assert_snapshot!(print("github"), @r#"{"include":[{"kernel":"t-plain","arch":"x86_64","flavour":"plain"},{"kernel":"t-traced","arch":"x86_64","flavour":"traced"}]}"#);
    insta::assert_snapshot!(print("gitlab"), @r#"[{"KERNEL":["t-plain","t-traced"]}]"#);
    let json: serde_json::Value = serde_json::from_str(&print("json")).unwrap();
    assert_eq!(json[1]["axes"]["flavour"], "traced");
    let said = run_json(&sandbox, &["matrix", "--format", "gitlab", "t-p*"], 0);
    let message = said.messages().into_iter().next().unwrap();
    assert_eq!(message["matrix"][0]["KERNEL"][0], "t-plain");
}

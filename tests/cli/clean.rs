use super::{TINY, run};
use crate::support::{Sandbox, StandIn};

#[test]
fn build_directories_go_and_everything_else_stays() {
    let second = TINY.replace("kernels.tiny", "kernels.other");
    let sandbox = Sandbox::with_kernels(&format!("{TINY}{second}"));
    let _tree = StandIn::new(&sandbox, "tree");
    assert_eq!(run(&sandbox, &["build"]).code, 0);
    let exists = |name: &str| sandbox.path("project/target/kernel").join(name).exists();
    assert!(exists("tiny") && exists("other"));
    let cleaned = run(&sandbox, &["clean", "other"]);
    assert_eq!(
        (cleaned.code, cleaned.stderr.as_str()),
        (0, "     Removed [sandbox]/project/target/kernel/other")
    );
    assert!(exists("tiny") && !exists("other"));
    assert_eq!(run(&sandbox, &["clean"]).code, 0);
    assert!(!exists("tiny"));
    assert_ne!(run(&sandbox, &["store", "list"]).stdout, "");
    let nothing = run(&sandbox, &["clean"]);
    assert_eq!((nothing.code, nothing.stderr.as_str()), (0, ""));
    assert!(!sandbox.path("project/target/kernel/tiny").exists());
    assert_eq!(run(&sandbox, &["clean", "nobody"]).code, 101);
}

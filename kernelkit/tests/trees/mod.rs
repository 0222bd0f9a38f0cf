//! The kernel trees that a test may read: `KERNELKIT_TEST_TREES`, directories with colons between them.

use camino::Utf8PathBuf;

/// The trees, or nothing where none are given; in CI that is a failure, so that no test passes unseen.
pub(crate) fn trees() -> Vec<Utf8PathBuf> {
    let given = std::env::var("KERNELKIT_TEST_TREES").unwrap_or_default();
    let trees: Vec<Utf8PathBuf> = given
        .split(':')
        .filter(|path| !path.is_empty())
        .map(Utf8PathBuf::from)
        .collect();
    if trees.is_empty() {
        assert!(
            std::env::var_os("CI").is_none(),
            "KERNELKIT_TEST_TREES must name kernel trees where CI is set"
        );
        println!("skipped: KERNELKIT_TEST_TREES names no kernel tree");
    }
    for tree in &trees {
        assert!(tree.join("Kbuild").is_file(), "{tree} is no kernel tree");
    }
    trees
}

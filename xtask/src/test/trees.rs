//! The kernel trees that the tests read and build, unpacked once into the user's cache.

use camino::Utf8PathBuf;
use kernelkit::effect::source::{self, Progress};
use kernelkit::source::Source;

use crate::Result;
use crate::test::Session;
use crate::test::packages::{apt_is_here, with_fresh_lists};
use crate::workspace::{TEST_TREES, Workspace};

/// One tree for each Kconfig model and build system generation that the tests cover.
const PACKAGES: &[&str] = &["linux-source-6.1", "linux-source-6.12"];

/// Sets [`TEST_TREES`] for the later steps, unless the user did.
pub(super) fn fetch(session: &mut Session) -> Result {
    if !session.workspace.test_trees().is_empty() {
        println!("{TEST_TREES} is set: using those");
    } else if apt_is_here(&session.workspace) {
        let mut trees = Vec::new();
        for package in PACKAGES {
            trees.push(with_fresh_lists(session, |session| {
                debian_tree(&session.workspace, package)
            })?);
        }
        let joined = trees
            .iter()
            .map(|tree| tree.as_str())
            .collect::<Vec<_>>()
            .join(":");
        session
            .workspace
            .variables
            .insert(TEST_TREES.to_owned(), joined);
    } else {
        println!("no apt here: set {TEST_TREES}=DIR:DIR to kernel trees (6.1 and 6.12)");
        return Ok(());
    }
    for tree in session.workspace.test_trees() {
        println!("{tree}");
    }
    Ok(())
}

/// The tree of a Debian `linux-source-*` package, from the cache or unpacked into it.
fn debian_tree(workspace: &Workspace, package: &str) -> Result<Utf8PathBuf> {
    let source = Source::Debian {
        package: package.to_owned(),
        version: None,
    };
    let context = source::Context::new(&workspace.environment);
    let tree = source::prepare(&source, &[], &context, &mut |progress| {
        if let Progress::Note(note) = progress {
            println!("{note}");
        }
    })?;
    println!("{}", tree.description);
    Ok(tree.dir)
}

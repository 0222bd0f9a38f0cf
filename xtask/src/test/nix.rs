//! Other versions of Nix than the installed one, for what must be the same with all.

use crate::Result;
use crate::test::Session;
use crate::test::packages::apt_is_here;

/// Directories with `bin/nix`, as the tests take them.
const TEST_NIX: &str = "KERNELKIT_TEST_NIX";

/// Debian's releases whose Nix the tests run beside the oldest that is supported: 2.26 and
/// the newest.
const SUITES: [&str; 2] = ["trixie", "sid"];

/// Sets [`TEST_NIX`] for the later steps, unless the user did.
pub(super) fn fetch(session: &mut Session) -> Result {
    if session.workspace.variables.contains_key(TEST_NIX) {
        println!("{TEST_NIX} is set: using those");
        return Ok(());
    }
    if !apt_is_here(&session.workspace) {
        println!("no apt here: set {TEST_NIX}=DIR:DIR to directories with bin/nix");
        return Ok(());
    }
    let script = session.workspace.root.join("tests/tools/get-nix.sh");
    let cache = session.workspace.environment.cache_dir.join("test/nix");
    let directories = SUITES.map(|suite| cache.join(suite).into_string());
    for (suite, directory) in SUITES.iter().zip(&directories) {
        let call = session
            .workspace
            .call("bash")
            .args([script.as_str(), suite, directory]);
        session.stream(&call)?;
    }
    session
        .workspace
        .variables
        .insert(TEST_NIX.to_owned(), directories.join(":"));
    Ok(())
}

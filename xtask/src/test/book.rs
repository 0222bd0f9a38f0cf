//! Builds the book with mdbook itself.

use kernelkit::effect::exec;

use crate::Result;
use crate::test::Session;

/// Debian 12 has no mdbook: this version is built once from the crates registry.
const MDBOOK: &str = "0.5.4";

/// Builds `book/` into the target directory. A page that SUMMARY.md names and that is
/// not there is an error (`create-missing = false`).
pub(super) fn build(session: &mut Session) -> Result {
    let tools = session
        .workspace
        .environment
        .cache_dir
        .join(format!("tools/mdbook-{MDBOOK}"));
    let mdbook = tools.join("bin/mdbook");
    if !mdbook.exists() {
        println!("building mdbook {MDBOOK}, once");
        session.cargo(&[
            "install",
            "--quiet",
            "--locked",
            "--no-default-features",
            "--root",
            tools.as_str(),
            &format!("mdbook@{MDBOOK}"),
        ])?;
    }
    let output = session.workspace.target.join("book");
    let build = session.workspace.call(mdbook.as_str()).args([
        "build",
        "book",
        "--dest-dir",
        output.as_str(),
    ]);
    let printed = exec::capture(&build)?;
    // mdbook warns of what it cannot resolve and still succeeds.
    let log = String::from_utf8_lossy(&printed.stderr).into_owned();
    print!("{log}");
    match log.lines().any(|line| line.contains("WARN")) {
        true => Err("mdbook warned".into()),
        false => Ok(()),
    }
}

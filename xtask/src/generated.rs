//! `cargo xtask gen`: pages that are written from the code, so that they cannot lag behind it.

use kernelkit::effect::fs;

use crate::Result;
use crate::test::{PACKAGES, STEPS};
use crate::workspace::Workspace;

/// Write the generated pages.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write nothing; fail where a page is not current
    #[arg(long)]
    check: bool,
}

/// Makes a page's text.
type Generator = fn(&Workspace) -> Result<String>;

/// Path from the root, and what writes it.
const PAGES: &[(&str, Generator)] = &[("book/src/contributing/checks.md", |_| Ok(checks()))];

/// Writes every page, or checks that all are current.
pub(crate) fn run(args: &Args, workspace: &Workspace) -> Result {
    if args.check {
        return check(workspace);
    }
    for (path, generate) in PAGES {
        if fs::write_if_changed(workspace.root.join(path), generate(workspace)?.as_bytes())? {
            println!("wrote {path}");
        }
    }
    Ok(())
}

/// Fails with the names of the pages that are not what their generator writes.
pub(crate) fn check(workspace: &Workspace) -> Result {
    let mut stale = Vec::new();
    for (path, generate) in PAGES {
        let written = fs::read_optional(workspace.root.join(path))?;
        if written.as_deref() != Some(generate(workspace)?.as_bytes()) {
            stale.push(*path);
        }
    }
    if stale.is_empty() {
        println!("{} pages are current", PAGES.len());
        return Ok(());
    }
    Err(format!(
        "not current: {}; run `cargo xtask gen` and commit the result",
        stale.join(", ")
    )
    .into())
}

/// What `cargo xtask test` does, from its own tables.
fn checks() -> String {
    let mut page = String::from(
        "# Checks\n\n<!-- Written by `cargo xtask gen`. -->\n\n\
         `cargo xtask test` runs these steps in order and ends with a table of what each took. A step that fails\n\
         does not stop the later ones. `--only STEP,STEP` runs some of them; `--no-setup` leaves the machine as it is.\n\n\
         | Step | What it does or holds |\n|---|---|\n",
    );
    for step in STEPS {
        page.push_str(&format!("| `{}` | {} |\n", step.name, step.about));
    }
    page.push_str("\n## Packages\n\nInstalled by `packages` on Debian; elsewhere install what they hold by hand.\n\n| Package | Needed for |\n|---|---|\n");
    for (package, need) in PACKAGES {
        page.push_str(&format!("| `{package}` | {need} |\n"));
    }
    page
}

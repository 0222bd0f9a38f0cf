//! `cargo xtask gen`: pages that are written from the code, so that they cannot lag behind it.

use kernelkit::arch::Arch;
use kernelkit::effect::{exec, fs};
use kernelkit::fragment::{Fragment, Layer, Library};
use kernelkit::{manifest, spec};

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

/// Stands in every page that is written here.
const WRITTEN: &str = "<!-- Written by `cargo xtask gen`. -->";

/// Makes a page's text.
type Generator = fn(&Workspace) -> Result<String>;

/// Path from the root, and what writes it.
const PAGES: &[(&str, Generator)] = &[
    ("book/src/reference/cli.md", command_line),
    ("book/src/reference/settings.md", |_| {
        Ok(spec::reference_markdown())
    }),
    ("book/src/reference/fragments.md", |_| Ok(fragments())),
    ("book/src/reference/architectures.md", |_| {
        Ok(architectures())
    }),
    ("book/src/reference/manifest.schema.json", |_| {
        Ok(manifest::json_schema())
    }),
    ("book/src/contributing/checks.md", |_| Ok(checks())),
];

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

/// The commands, from the command line's own definitions.
fn command_line(workspace: &Workspace) -> Result<String> {
    let call = workspace.cargo(&[
        "run",
        "--quiet",
        "--package",
        "cargo-kernel",
        "--",
        "kernel",
        "internal-docs",
    ]);
    Ok(exec::capture(&call)?.text())
}

/// The library, in the canonical order.
fn fragments() -> String {
    let library = Library::embedded();
    let mut page = format!(
        "# Fragments\n\n{WRITTEN}\n\nThe library that is built into `cargo kernel`, in the order of merging. \
         *Only* says which architectures and\nversions a fragment applies to.\n"
    );
    for (layer, directory, about) in Layer::TABLE {
        let mut rows = String::new();
        for fragment in library.iter().filter(|one| one.name().layer() == layer) {
            let summary = fragment.header().summary.as_deref().unwrap_or_default();
            rows.push_str(&format!(
                "| `{}` | {summary} | {} |\n",
                fragment.name(),
                applies_to(fragment)
            ));
        }
        if !rows.is_empty() {
            page.push_str(&format!(
                "\n## {directory}: {about}\n\n| Fragment | Gives | Only |\n|---|---|---|\n{rows}"
            ));
        }
    }
    page
}

fn applies_to(fragment: &Fragment) -> String {
    let header = fragment.header();
    let arch = header.arch.iter().map(|arch| arch.name().to_owned());
    let versions = header.versions.iter().map(|range| format!("`{range}`"));
    arch.chain(versions).collect::<Vec<_>>().join(" ")
}

/// The table of architectures, as far as it matters to a user.
fn architectures() -> String {
    let mut page = format!(
        "# Architectures\n\n{WRITTEN}\n\nWhat the setting `arch` takes. *Image* is what a build installs, as a file \
         of the object directory.\nWithout a QEMU there is no `cargo kernel boot`. *Clang* says for which \
         `compiler = \"clang\"` serves, and *tiny* for which the preset does.\n\n\
         | Name | Also | `ARCH=` | Cross prefix | Debian package | Clang | Image | QEMU | tiny |\n\
         |---|---|---|---|---|---|---|---|---|\n"
    );
    let library = Library::embedded();
    let tiny = "preset/tiny".parse().expect("a fragment's name");
    let tiny = library.get(&tiny).expect("the library has it");
    let yes = |yes: bool| if yes { "yes" } else { "" };
    let code = |text: &str| format!("`{text}`");
    let optional = |text: Option<&str>| text.map(code).unwrap_or_default();
    for arch in Arch::all() {
        let row = arch.row();
        let aliases: Vec<_> = row.aliases.iter().map(|alias| code(alias)).collect();
        page.push_str(&format!(
            "| `{}` | {} | `{}` | {} | {} | {} | `{}` | {} | {} |\n",
            row.name,
            aliases.join(" "),
            row.kernel_arch,
            optional(row.cross_prefix),
            optional(row.cross_package),
            yes(row.llvm_target.is_some()),
            row.image_path,
            optional(row.qemu.as_ref().map(|qemu| qemu.binary)),
            yes(tiny.header().applies_to_arch(arch)),
        ));
    }
    page
}

/// What `cargo xtask test` does, from its own tables.
fn checks() -> String {
    let mut page = format!(
        "# Checks\n\n{WRITTEN}\n\n\
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

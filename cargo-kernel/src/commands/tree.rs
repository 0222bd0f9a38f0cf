//! `cargo kernel tree`

use camino::Utf8PathBuf;
use kernelkit::effect::source::worktree::Laid;
use kernelkit::effect::tree::Request;
use serde_json::json;

use super::Workspace;
use crate::cli::{Global, Kernels, Overrides};
use crate::error::{DONE, Failure};
use crate::ui::Ui;

/// Lay out a git worktree for a kernel, or move it to another commit
///
/// The kernel's own worktree is what its builds use from then on: moving it touches only the files that
/// differ, so that only those are compiled. It is moved by every build; one with edits is not moved, and
/// its edits are built. With --at, a worktree for a developer is laid out beside it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A kernel by name
    #[arg(value_name = "KERNEL")]
    name: Option<String>,

    /// A tag, branch or commit instead of that of the settings
    #[arg(long = "ref", value_name = "REF")]
    reference: Option<String>,

    /// Lay a developer's worktree out in this directory
    #[arg(long, value_name = "DIR")]
    at: Option<Utf8PathBuf>,

    /// Remove what is there, edits included, and lay it out anew
    #[arg(long)]
    recreate: bool,

    /// Remove the kernel's build directory, so that everything is compiled
    #[arg(long)]
    wipe: bool,

    /// Fetch the whole history, not the commit alone
    #[arg(long)]
    history: bool,

    /// Write compile_commands.json for clangd, from the last build
    #[arg(long)]
    index: bool,
}

pub(crate) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<u8, Failure> {
    let workspace = Workspace::load(global, &Overrides::default())?;
    let kernel = workspace.select_one(&Kernels {
        names: args.name.iter().cloned().collect(),
        overrides: Overrides::default(),
    })?;
    let name = kernel.name.as_str();
    let at = args.at.as_deref().map(|at| workspace.absolute(at));
    let request = Request {
        dir: at.as_deref(),
        reference: args.reference.as_deref(),
        recreate: args.recreate,
        wipe: args.wipe,
        history: args.history,
        index: args.index,
    };
    let laid = workspace
        .session()
        .lay_tree(kernel, request, &mut |notice| {
            super::notice(ui, name, notice);
        });
    ui.clear();
    let tree = laid?;
    let (verb, from) = match &tree.laid {
        Laid::Created => ("Created", None),
        Laid::Moved { from } => ("Moved", Some(from)),
        Laid::Current => ("Current", None),
    };
    ui.message(
        "tree",
        json!({ "kernel": name, "dir": tree.dir, "commit": tree.commit, "action": verb.to_lowercase(), "from": from, "indexed": tree.indexed }),
    );
    ui.status(verb, format_args!("{name} at {}", &tree.commit[..12]));
    if let Some(count) = tree.indexed {
        ui.status("Indexed", format_args!("{count} files"));
    }
    if !ui.is_json() {
        ui.data(&tree.dir);
    }
    Ok(DONE)
}

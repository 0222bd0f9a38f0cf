//! `cargo kernel config save`

use camino::Utf8PathBuf;
use kernelkit::effect::{fs, save};
use kernelkit::fragment::Layer;
use kernelkit::spec::KernelSpec;
use serde_json::json;

use super::warn_of_doubts;
use crate::cli::{Global, Kernels, Overrides};
use crate::commands::{self, Workspace};
use crate::error::{DONE, Failure};
use crate::ui::Ui;

/// Save a configuration as a minimal defconfig, or as a fragment
///
/// A defconfig is what `make savedefconfig` writes. A fragment has just what differs from the
/// kernel's base (its preset, make goals or .config). Both are tried out before they are
/// printed or written.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A kernel by name
    #[arg(value_name = "KERNEL")]
    name: Option<String>,

    /// As a defconfig; this is the default
    #[arg(long, conflicts_with = "fragment")]
    defconfig: bool,

    /// As a fragment over the kernel's base
    #[arg(long)]
    fragment: bool,

    /// Save this .config, edited by hand or from elsewhere, instead of the kernel's own
    #[arg(long, value_name = "FILE")]
    from: Option<Utf8PathBuf>,

    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<Utf8PathBuf>,

    /// Replace the file where it is there already
    #[arg(long, requires = "output")]
    force: bool,
}

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<u8, Failure> {
    let workspace = Workspace::load(global, &Overrides::default())?;
    let current = &workspace.environment.current_dir;
    let kernel = workspace.select_one(&Kernels {
        names: args.name.iter().cloned().collect(),
        overrides: Overrides::default(),
    })?;
    let output = args.output.as_ref().map(|path| current.join(path));
    if let Some(path) = &output
        && !args.force
        && path.exists()
    {
        return Err(save::Error::Exists { path: path.clone() }.into());
    }
    let from = match &args.from {
        Some(path) => Some((path, fs::argument(current.join(path))?)),
        None => None,
    };
    let opened = commands::open(&workspace, kernel, None, ui)?;
    let wanted = match &from {
        Some((path, text)) => {
            let resolution = opened.read(path.as_str(), text);
            warn_of_doubts(&resolution, ui);
            resolution
        }
        None => opened.resolve(),
    };
    let (kind, text) = if args.fragment {
        (
            "fragment",
            fragment(&workspace, kernel, &wanted.dot_config(), ui)?,
        )
    } else {
        let (text, same) = save::defconfig(&opened, &wanted);
        if !same {
            ui.warning(
                "`make defconfig` does not turn this defconfig into the whole configuration \
                 again: compare with `cargo kernel config diff`",
            );
        }
        let text = String::from_utf8(text).map_err(Failure::new)?;
        ("defconfig", text)
    };
    ui.message(
        "saved",
        json!({ "kernel": kernel.name, "kind": kind, "path": output, "text": text }),
    );
    match &output {
        Some(path) => {
            fs::write_durable(path, text.as_bytes())?;
            ui.status("Wrote", path);
        }
        None if !ui.is_json() => ui.data(text.trim_end()),
        None => {}
    }
    Ok(DONE)
}

/// The fragment over the kernel's base that gives `wanted`.
fn fragment(
    workspace: &Workspace,
    kernel: &KernelSpec,
    wanted: &[u8],
    ui: &Ui,
) -> Result<String, Failure> {
    let session = workspace.session();
    let spec = save::base_of(kernel);
    let base = session.open(&spec, None, &mut |_| {})?;
    let settings = save::settings(&base, wanted).map_err(save::Error::from)?;
    let text = std::str::from_utf8(wanted).map_err(Failure::new)?;
    let settings = match save::placed(&session, &spec, &base.facts, &settings, text)? {
        Some((name, settings)) => {
            if name.layer() == Layer::Builtin {
                ui.note("it makes modules of what its base has built in: only in a directory `builtin/` does a fragment win with that");
            }
            settings
        }
        None => {
            ui.warning("other fragments win over some of these settings, wherever the file lies");
            settings
        }
    };
    let over = save::describe_base(&kernel.base.value);
    let summary = format!("what {} has over {over}", kernel.name);
    Ok(save::to_text(&summary, &settings))
}

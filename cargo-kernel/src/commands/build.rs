//! `cargo kernel build`

use camino::Utf8PathBuf;
use kernelkit::effect::build::Outcome;
use kernelkit::effect::build::layers::{Layer, State};
use kernelkit::effect::log::seconds;
use kernelkit::effect::{environment, isolation, timings, tmpfs};
use kernelkit::manifest::{Backend, Manifest, OutputKind};
use kernelkit::report::Ccache;
use kernelkit::sourced::Origin;
use kernelkit::spec::KernelSpec;
use kernelkit::tmpfs::Reason;
use serde_json::json;

use super::Workspace;
use crate::cli::{Global, Kernels};
use crate::error::{DONE, Failure};
use crate::ui::Ui;

/// Build kernels, or find them already built
///
/// Several kernels are a batch: all are planned first, then built within this machine's cores and memory, the shortest
/// first. The makes share one jobserver, the one of the make above where there is one. A batch that was
/// stopped goes on when it is called again; what it came to is written below target/kernel/batches.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    kernels: Kernels,

    /// Install missing tools first
    #[arg(long)]
    setup: bool,

    /// Bring what was built here into the Nix store as the outputs of the kernel's derivation, so that
    /// `nix build` has nothing to do; for users that Nix trusts
    #[arg(long)]
    pub(super) register: bool,

    /// Build every kernel that is declared
    #[arg(long, conflicts_with = "names")]
    all: bool,

    #[command(flatten)]
    pub(super) batch: super::batch::Options,

    #[command(flatten)]
    place: Place,

    /// Tell where the time of a build went, by directory, tool and file, as HTML and JSON
    #[arg(long)]
    timings: bool,

    /// Say of each object that was removed, to be compiled again, which file of the source changed
    #[arg(long)]
    explain_rebuild: bool,
}

/// What builds run in.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Place {
    /// Keep make from the network, by a user namespace
    #[arg(long)]
    no_network: bool,

    /// Let make find the source mounted read-only, in a user namespace
    #[arg(long)]
    source_readonly: bool,

    /// Have the build directory in memory, in /dev/shm, where it fits; it is gone after the build
    #[arg(long)]
    tmpfs: bool,
}

impl Place {
    /// Has the builds of a workspace run there; `registers` says that they become layers afterwards.
    pub(super) fn apply(self, workspace: &mut Workspace, registers: bool) -> Result<(), Failure> {
        workspace.tmpfs = self.tmpfs.then(|| match registers {
            true => Err(Reason::Layers),
            false => tmpfs::room(&workspace.environment),
        });
        workspace.surroundings.isolation = isolation::isolation(
            &workspace.environment,
            self.no_network,
            self.source_readonly,
        )?;
        Ok(())
    }
}

pub(crate) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<u8, Failure> {
    let mut workspace = Workspace::load(global, &args.kernels.overrides)?;
    args.place.apply(&mut workspace, args.register)?;
    if args.explain_rebuild {
        ui.explain_rebuilds();
    }
    if args.timings {
        workspace.recorder = Some(recorder()?);
    }
    let kernels = match args.all {
        true => workspace.select(&["*".to_owned()])?,
        false => workspace.select(&args.kernels.names)?,
    };
    if args.setup {
        super::doctor::set_up(&workspace, &kernels, false, ui)?;
    }
    let [kernel] = kernels.as_slice() else {
        return super::batch::run(args, &workspace, &kernels, ui);
    };
    let manifest = build(&workspace, kernel, ui)?;
    if args.register && manifest.record.backend != Backend::Nix {
        register(&workspace, kernel, &manifest, ui)?;
    }
    Ok(DONE)
}

/// The program that times commands; it is installed beside this one.
fn recorder() -> Result<Utf8PathBuf, Failure> {
    let path = environment::sibling(timings::RECORDER);
    path.ok_or_else(|| {
        Failure::message(
            format!("{} does not lie beside cargo-kernel", timings::RECORDER),
            "`cargo install` brings both",
        )
    })
}

/// Builds one kernel and says how it went.
pub(crate) fn build(
    workspace: &Workspace,
    kernel: &KernelSpec,
    ui: &Ui,
) -> Result<Manifest, Failure> {
    workspace.runs_the_tree()?;
    let name = kernel.name.as_str();
    let result = workspace
        .session()
        .build(kernel, &mut |notice| super::notice(ui, name, notice));
    ui.clear();
    let (outcome, manifest) = result?;
    let record = &manifest.record;
    let from = match &outcome {
        Outcome::Reused(from) => Some(from),
        Outcome::Built | Outcome::Ready => None,
    };
    let (verb, how) = match &outcome {
        Outcome::Built => (
            "Built",
            format!(
                " in {}",
                seconds(u128::from(manifest.statistics.milliseconds))
            ),
        ),
        Outcome::Ready => ("Fresh", String::new()),
        Outcome::Reused(from) => ("Reused", format!(" from {from}")),
    };
    ui.status(verb, format_args!("{name} {}{how}", record.release));
    if let Some(image) = record.output_path(OutputKind::Image) {
        ui.status("Image", image);
    }
    if let (Outcome::Built, Some(Ccache { hits, misses })) =
        (&outcome, manifest.statistics.ccache())
    {
        ui.status("ccache", format_args!("{hits} hits, {misses} misses"));
    }
    if workspace.recorder.is_some() {
        let page = record.dirs.logs().join("latest/timings.html");
        match outcome {
            Outcome::Built if page.exists() => ui.status("Timings", page),
            // It has been told why.
            Outcome::Built if record.backend != Backend::Nix => {}
            _ => ui.note(format!(
                "{name} was not compiled here, so that there is no time to tell of (`--no-reuse` compiles it)"
            )),
        }
    }
    if matches!(outcome, Outcome::Built) && manifest.statistics.warnings > 0 {
        ui.note(format!(
            "{} compiler warnings, in {}",
            manifest.statistics.warnings,
            record.dirs.logs().join("latest/compile.log")
        ));
    }
    // What was published when it was built is there already, unless somebody asks for it now.
    let asked = matches!(kernel.publish.origin, Origin::CommandLine { .. });
    let is_new = !matches!(outcome, Outcome::Ready) || asked;
    if kernel.publish.value && is_new && record.backend != Backend::Nix {
        publish(workspace, kernel, &manifest, ui)?;
    }
    ui.message(
        "kernel-finished",
        json!({ "kernel": name, "outcome": verb.to_lowercase(), "from": from, "manifest": manifest }),
    );
    Ok(manifest)
}

/// Adds the layers to the Nix store. The build is done: unless the command line asks for it, not
/// being able to is only a warning.
fn publish(
    workspace: &Workspace,
    kernel: &KernelSpec,
    manifest: &Manifest,
    ui: &Ui,
) -> Result<(), Failure> {
    let session = workspace.session();
    let name = kernel.name.as_str();
    let result = session.publish_layers(kernel, manifest, &mut |notice| {
        super::notice(ui, name, notice)
    });
    ui.clear();
    match result {
        Ok(layers) => show("published", "Published", kernel, &layers, ui),
        Err(error) if matches!(kernel.publish.origin, Origin::CommandLine { .. }) => {
            return Err(error.into());
        }
        Err(error) => ui.warning(format!("the build is not in the Nix store: {error}")),
    }
    Ok(())
}

fn register(
    workspace: &Workspace,
    kernel: &KernelSpec,
    manifest: &Manifest,
    ui: &Ui,
) -> Result<(), Failure> {
    let session = workspace.session();
    let name = kernel.name.as_str();
    let layers = session.register(kernel, manifest, &mut |notice| {
        super::notice(ui, name, notice)
    });
    ui.clear();
    show("registered", "Registered", kernel, &layers?, ui);
    Ok(())
}

pub(super) fn show(reason: &str, verb: &str, kernel: &KernelSpec, layers: &[Layer], ui: &Ui) {
    ui.message(reason, json!({ "kernel": kernel.name, "layers": layers }));
    for Layer {
        output,
        path,
        state,
    } in layers
    {
        match state {
            State::Added | State::Present => {
                ui.status(verb, format_args!("{output} {path} ({state})"));
            }
            State::Differs | State::Names { .. } => {
                ui.warning(format!("{output} {path}: {state}"));
            }
        }
    }
}

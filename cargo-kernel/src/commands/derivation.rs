//! `cargo kernel plan --drv`

use camino::Utf8PathBuf;
use kernelkit::effect::nix::daemon::{Daemon, Options};
use kernelkit::effect::nix::locked::{Planner, Store};
use kernelkit::effect::nix::program::Nix;
use kernelkit::nix::store_path::StoreDir;
use kernelkit::spec::ToolchainName;
use serde_json::json;

use super::{Workspace, no_lock};
use crate::cli::{Global, Kernels, Overrides};
use crate::error::{DONE, Failure};
use crate::ui::Ui;

/// What `plan` takes with `--drv`.
#[derive(Debug, clap::Args)]
pub(crate) struct Derivations {
    /// Write the Nix derivations that the flake has for kernels of kernel.lock, all without names
    ///
    /// They are those of `nix build .#kernel-NAME`, byte for byte, without Nix; for the toolchain `nixpkgs` the
    /// flake's evaluator is asked. Printed are their store paths. Of the settings only `--toolchain`
    /// applies.
    #[arg(long)]
    pub(crate) drv: bool,

    /// Where the derivations are written, instead of target/kernel/NAME/drv
    #[arg(long, value_name = "DIR", requires = "drv")]
    out: Option<Utf8PathBuf>,

    /// Add the derivations to a Nix store as well: `auto` for Nix' own, or as `nix --store` takes it
    #[arg(long, value_name = "STORE", requires = "drv")]
    store: Option<String>,
}

pub(crate) fn run(
    args: &Derivations,
    kernels: &Kernels,
    global: &Global,
    ui: &Ui,
) -> Result<u8, Failure> {
    let mut others = kernels.overrides.to_spec();
    let toolchain = others.toolchain.take();
    if others != kernelkit::spec::Overrides::default() {
        return Err(Failure::usage(
            "`--drv` is for kernels as kernel.lock has them: of the settings only `--toolchain` applies",
            "change Cargo.toml and run `cargo kernel lock`",
        ));
    }
    if let Some(name) = &toolchain {
        let parsed = name.parse::<ToolchainName>();
        parsed.map_err(|error| {
            Failure::usage(
                error,
                "`host`, `nixpkgs`, or a root that `cargo kernel toolchain list` shows",
            )
        })?;
    }
    let workspace = Workspace::load(global, &Overrides::default())?;
    let lock = workspace
        .lock
        .as_ref()
        .ok_or_else(|| no_lock(&workspace.spec))?;
    let names: Vec<&str> = match kernels.names.as_slice() {
        [] => lock.kernels.keys().map(String::as_str).collect(),
        names => {
            let selected = workspace.select(names)?;
            selected.iter().map(|kernel| kernel.name.as_str()).collect()
        }
    };
    let environment = &workspace.environment;
    let store = Store::new(args.store.as_deref());
    let mut daemon = match args.store {
        Some(_) => {
            let address = store.address(&Nix::find(environment)?);
            let options = Options::default();
            Some(Daemon::connect(&address, &StoreDir::default(), &options)?)
        }
        None => None,
    };
    let mut planner = Planner::new(&workspace.spec.root, lock, environment, store);
    for name in names {
        let plan = planner.plan(name, toolchain.as_deref())?;
        let directory = match &args.out {
            Some(directory) => workspace.absolute(directory),
            None => workspace
                .spec
                .target_dir
                .join("kernel")
                .join(name)
                .join("drv"),
        };
        planner.write(&plan, &directory)?;
        if let Some(daemon) = &mut daemon {
            planner.add(&plan, daemon)?;
        }
        let store = StoreDir::default();
        let outputs = plan.derivation.outputs().iter();
        let outputs: serde_json::Map<_, _> = outputs
            .filter_map(|(name, path)| Some((name.clone(), json!(store.display(path.as_ref()?)))))
            .collect();
        let path = store.display(&plan.path);
        ui.message(
            "derivation",
            json!({ "kernel": name, "path": path, "outputs": outputs, "directory": directory }),
        );
        if !ui.is_json() {
            ui.data(path);
        }
    }
    Ok(DONE)
}

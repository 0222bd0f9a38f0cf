//! `cargo kernel toolchain`

use camino::Utf8Path;
use kernelkit::effect::environment::Environment;
use kernelkit::effect::nix::debian_root;
use kernelkit::effect::source::{Context, Progress};
use kernelkit::effect::{exec, fs, workspace};
use kernelkit::lock::DIRECTORY;
use kernelkit::nix::debian_root::{MIRROR, to_text};
use kernelkit::nix::kernel::Pin;
use serde_json::json;

use super::source_progress;
use crate::cli::Global;
use crate::error::{DONE, Failure, NO};
use crate::ui::Ui;

/// Pin Debian packages as a toolchain, and unpack them for builds here and in Nix
///
/// A pin is the file kernel.lock.d/NAME.toml. Its store path follows from name and content, so it is
/// the same whether this command adds it or the flake builds it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the pinned toolchains of this workspace
    List,
    /// Write a pin of the newest packages, or update it
    Pin {
        /// Of the toolchain, such as debian-12
        name: String,
        /// Debian's release
        #[arg(long, value_name = "SUITE")]
        suite: Option<String>,
        /// Debian mirror to get packages from; the pin has their addresses on snapshot.debian.org
        #[arg(long, value_name = "URL", default_value = MIRROR)]
        mirror: String,
        /// Keep the pinned packages and write only their permanent addresses, which earlier pins lack
        #[arg(long, conflicts_with = "suite")]
        keep: bool,
        /// Write nothing; exit with 100 where the pin would change
        #[arg(long)]
        check: bool,
    },
    /// Unpack a pinned toolchain for builds here and, where Nix is, add it to its store
    Add {
        /// Of the toolchain, such as debian-12
        name: String,
        /// Another store than Nix' own, as `nix-store --store` takes it
        #[arg(long, value_name = "STORE")]
        store: Option<String>,
    },
}

pub(crate) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<u8, Failure> {
    let environment = Environment::read()?;
    let overrides = kernelkit::spec::Overrides::default();
    let manifest = global.manifest_path.as_deref();
    let directory = workspace::load(&environment, manifest, &overrides)?
        .root
        .join(DIRECTORY);
    let context = Context {
        offline: global.offline,
        ..Context::new(&environment)
    };
    let path = |name: &str| directory.join(format!("{name}.toml"));
    let mut progress = |progress: Progress<'_>| source_progress(ui, progress);
    match &args.command {
        Command::List => list(&directory, ui),
        Command::Pin {
            name,
            suite,
            mirror,
            keep,
            check,
        } => {
            let path = path(name);
            let known = match path.exists() || *keep {
                true => Some(debian_root::read(&path)?),
                false => None,
            };
            let context = Context {
                debian: mirror.clone(),
                ..context
            };
            let pin = match known {
                Some(mut pin) if *keep => {
                    debian_root::renew_urls(&mut pin, &context, &mut progress)?;
                    pin
                }
                known => {
                    let suite = suite.clone().or(known.map(|pin| pin.suite));
                    let mut pin = Pin {
                        system: "x86_64-linux".to_owned(),
                        suite: suite.unwrap_or_else(|| "bookworm".to_owned()),
                        name: name.clone(),
                        sha256: kernelkit::source::Sha256::of(b""),
                        package: Vec::new(),
                    };
                    ui.status("Asking", format!("apt for the packages of {}", pin.suite));
                    pin.package = debian_root::resolve(&pin.suite, mirror, &context)?;
                    pin.sha256 = debian_root::make(&pin, None, &context, &mut progress)?.sha256;
                    debian_root::set_permanent_urls(&mut pin, &context)?;
                    pin
                }
            };
            ui.clear();
            let text = to_text(&pin);
            let changed = fs::read_optional(&path)?.is_none_or(|old| old != text.as_bytes());
            ui.message(
                "toolchain-pinned",
                json!({ "path": path, "changed": changed }),
            );
            if *check {
                return Ok(if changed { NO } else { DONE });
            }
            fs::write_durable(&path, text.as_bytes())?;
            ui.status(
                "Pinned",
                format!("{} packages in {path}", pin.package.len()),
            );
            Ok(DONE)
        }
        Command::Add { name, store } => {
            let pin = debian_root::read(&path(name))?;
            let tree = debian_root::cached(&pin, &context, &mut progress)?;
            ui.clear();
            let has_nix = exec::find_on_path("nix-store", &environment.path).is_some();
            let stored = match has_nix || store.is_some() {
                true => Some(debian_root::add(&tree, store.as_deref(), &environment)?),
                false => None,
            };
            ui.message(
                "toolchain-added",
                json!({ "name": name, "path": tree, "store-path": stored }),
            );
            ui.status("Added", stored.as_deref().unwrap_or(tree.as_str()));
            Ok(DONE)
        }
    }
}

fn list(directory: &Utf8Path, ui: &Ui) -> Result<u8, Failure> {
    for pin in debian_root::list(directory)? {
        ui.message("toolchain", json!({ "pin": pin }));
        if !ui.is_json() {
            let Pin {
                name,
                system,
                suite,
                sha256,
                package,
            } = &pin;
            let count = package.len();
            ui.data(format!(
                "{name}  {count} packages of {suite} for {system}, sha256 {sha256}"
            ));
        }
    }
    Ok(DONE)
}

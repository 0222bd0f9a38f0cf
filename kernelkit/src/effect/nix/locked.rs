//! Kernels of `kernel.lock` as derivations, with the files beside the lock: what
//! [`nix::kernel`](crate::nix::kernel) plans, found, written and added to stores.
//!
//! Nix runs only for a toolchain that its evaluator alone knows.

use std::collections::BTreeMap;
use std::env::consts::ARCH;

use camino::{Utf8Path, Utf8PathBuf};

use super::daemon::{self, Address, Daemon};
use super::debian_root;
use super::flake::Flake;
use super::program::{self, Nix};
use crate::effect::environment::Environment;
use crate::effect::{exec, fs};
use crate::lock::{self, FILE, Kernel, Lock, LockedPatch, ToolchainKind};
use crate::nix::derivation::{self, Derivation, Known};
use crate::nix::failure::Cause;
use crate::nix::kernel::{self, Description, Plan, Toolchain};
use crate::nix::store_path::{self, StoreDir, StorePath};

/// Why a locked kernel has no derivation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not in the lock.
    #[error("{FILE} has no kernel `{kernel}`")]
    NotLocked {
        /// Its name.
        kernel: String,
        /// Those that are locked.
        locked: Vec<String>,
    },
    /// Neither in the lock nor pinned beside it.
    #[error("{FILE} has no toolchain `{name}`, and there is no {pin}")]
    UnknownToolchain {
        /// Its name.
        name: String,
        /// Where its pin would be.
        pin: Utf8PathBuf,
    },
    /// A patch was changed after it was locked.
    #[error("{path} is not the file that {FILE} names")]
    Patch {
        /// The patch.
        path: Utf8PathBuf,
    },
    /// The flake does not say what its toolchain is made of.
    #[error("the flake of {root} does not describe the toolchain `{name}`")]
    Describe {
        /// The workspace.
        root: Utf8PathBuf,
        /// The toolchain.
        name: String,
        /// What Nix said.
        #[source]
        source: Box<exec::Error>,
    },
    /// The lock.
    #[error(transparent)]
    Lock(#[from] lock::Error),
    /// A file.
    #[error(transparent)]
    Fs(#[from] fs::Error),
    /// A pin.
    #[error(transparent)]
    Pin(#[from] debian_root::Error),
    /// What the lock says makes no derivation.
    #[error(transparent)]
    Kernel(#[from] kernel::Error),
    /// A derivation of the toolchain cannot be read.
    #[error(transparent)]
    Derivation(#[from] derivation::Error),
    /// A store path cannot be read.
    #[error(transparent)]
    StorePath(#[from] store_path::Error),
    /// Nix is not there.
    #[error(transparent)]
    Nix(#[from] program::Error),
    /// The store did not take it.
    #[error(transparent)]
    Daemon(#[from] daemon::Error),
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::NotLocked { kernel, locked } => Some(match locked.as_slice() {
                [] => format!("run `cargo kernel lock {kernel}`"),
                _ => format!(
                    "run `cargo kernel lock {kernel}`; there is: {}",
                    locked.join(", ")
                ),
            }),
            Error::UnknownToolchain { name, .. } => Some(format!(
                "`host`, `nixpkgs` and `nixpkgs-clang` need no pin; `cargo kernel toolchain pin {name}` writes one of Debian packages"
            )),
            Error::Patch { .. } => Some("run `cargo kernel lock`".to_owned()),
            Error::Describe { source, .. } => {
                let hint = program::cause(source).map_or(
                    "its devShells must be kernelkit's `lib.devShells`, and git must know flake.nix and flake.lock (`git add`)",
                    Cause::hint,
                );
                Some(hint.to_owned())
            }
            Error::Lock(error) => error.hint(),
            Error::Fs(error) => error.hint(),
            Error::Pin(error) => error.hint(),
            Error::Kernel(error) => error.hint(),
            Error::Derivation(error) => error.hint(),
            Error::StorePath(error) => error.hint(),
            Error::Nix(error) => error.hint(),
            Error::Daemon(error) => error.hint(),
        }
    }
}

/// A Nix store.
#[derive(Clone, Debug, Default)]
pub struct Store {
    /// As Nix' `--store` takes it; `None` is Nix' own.
    url: Option<String>,
}

impl Store {
    /// `auto` is Nix' own.
    pub fn new(url: Option<&str>) -> Self {
        Store {
            url: url.filter(|url| *url != "auto").map(str::to_owned),
        }
    }

    /// A connection's address.
    pub fn address(&self, nix: &Nix) -> Address {
        match &self.url {
            None => nix.daemon(),
            Some(url) => Address::Process(
                nix.call("nix-daemon")
                    .arg("--stdio")
                    .env("NIX_REMOTE", url.as_str()),
            ),
        }
    }

    /// Where the files of the store are, before `/nix/store`.
    fn prefix<'a>(&'a self, environment: &'a Environment) -> &'a Utf8Path {
        let remote = environment.variables.get("NIX_REMOTE");
        match self.url.as_ref().or(remote) {
            Some(url) if url.starts_with('/') => Utf8Path::new(url),
            _ => Utf8Path::new("/"),
        }
    }
}

/// Makes derivations of one lock; each toolchain is looked up once.
#[derive(Debug)]
pub struct Planner<'a> {
    root: &'a Utf8Path,
    lock: &'a Lock,
    environment: &'a Environment,
    store: Store,
    toolchains: BTreeMap<(String, String), Toolchain>,
}

impl<'a> Planner<'a> {
    /// For the lock of the workspace at `root`. `store` is where the evaluator puts the derivations of
    /// a toolchain that it describes.
    pub fn new(
        root: &'a Utf8Path,
        lock: &'a Lock,
        environment: &'a Environment,
        store: Store,
    ) -> Self {
        Planner {
            root,
            lock,
            environment,
            store,
            toolchains: BTreeMap::new(),
        }
    }

    /// The derivation that the flake has for this kernel; with `toolchain`, the one that it has
    /// where that is asked for instead of the lock's.
    pub fn plan(&mut self, name: &str, toolchain: Option<&str>) -> Result<Plan, Error> {
        let lock = self.lock;
        let kernel = lock.kernels.get(name).ok_or_else(|| Error::NotLocked {
            kernel: name.to_owned(),
            locked: lock.kernels.keys().cloned().collect(),
        })?;
        lock.check_format(&self.root.join(crate::lock::FILE))?;
        let toolchain = toolchain.unwrap_or(&kernel.toolchain);
        let config = fs::input_text(self.root.join(&kernel.config.path))?;
        let trusted = match &kernel.trust {
            Some(trust) => fs::input_text(self.root.join(&trust.path))?,
            None => String::new(),
        };
        let toolchain = self.toolchain(kernel, toolchain)?;
        Ok(kernel::plan(
            &StoreDir::default(),
            name,
            kernel,
            &config,
            &trusted,
            toolchain,
        )?)
    }

    fn toolchain(&mut self, kernel: &Kernel, id: &str) -> Result<&Toolchain, Error> {
        let key = (id.to_owned(), kernel.arch.clone());
        if !self.toolchains.contains_key(&key) {
            let toolchain = self.find(&kernel.arch, id)?;
            self.toolchains.insert(key.clone(), toolchain);
        }
        Ok(&self.toolchains[&key])
    }

    /// As `nix/default.nix` finds it.
    fn find(&self, arch: &str, id: &str) -> Result<Toolchain, Error> {
        let table = self.lock.toolchains.get(id);
        let kind = match (table, id) {
            (Some(table), _) => table.kind,
            (None, "host") => ToolchainKind::Host,
            (None, "nixpkgs" | "nixpkgs-clang") => ToolchainKind::Nixpkgs,
            (None, _) => ToolchainKind::DebianRoot,
        };
        let store = StoreDir::default();
        match kind {
            ToolchainKind::Host => Ok(Toolchain::host(&store, &system())?),
            ToolchainKind::DebianRoot => {
                let pin = table
                    .and_then(|table| table.pin.clone())
                    .unwrap_or_else(|| crate::lock::pin_path(id));
                let path = self.root.join(&pin);
                if table.is_none() && !path.exists() {
                    return Err(Error::UnknownToolchain {
                        name: id.to_owned(),
                        pin,
                    });
                }
                let pin = debian_root::read(&path)?;
                Ok(Toolchain::debian_root(&store, id, &pin)?)
            }
            ToolchainKind::Nixpkgs => {
                let nix = Nix::find(self.environment)?;
                let id = match table.and_then(|table| table.compiler.as_deref()) {
                    Some("clang") => "nixpkgs-clang",
                    Some(_) => "nixpkgs",
                    None => id,
                };
                describe(self.root, &nix, &self.store, self.environment, id, arch)
            }
        }
    }

    /// Writes everything of a plan that is no output of something else into `directory`, each file
    /// named as in the store.
    pub fn write(&self, plan: &Plan, directory: &Utf8Path) -> Result<(), Error> {
        fs::create_dir_all(directory)?;
        for text in &plan.texts {
            fs::write_if_changed(directory.join(text.path.to_string()), &text.contents)?;
        }
        for (patch, path) in &plan.files {
            fs::write_if_changed(directory.join(path.to_string()), &self.patch(patch)?)?;
        }
        Ok(())
    }

    /// Adds to the store what it needs to build the plan, as far as it is not there.
    pub fn add(&self, plan: &Plan, daemon: &mut Daemon) -> Result<(), Error> {
        let texts = plan.texts.iter().map(|text| &text.path);
        let there = daemon.valid(texts.chain(plan.files.iter().map(|(_, path)| path)), false)?;
        for (patch, path) in &plan.files {
            if !there.contains(path) {
                self.patch(patch)?;
                daemon.add_file(path.name(), &self.root.join(&patch.path))?;
            }
        }
        for text in &plan.texts {
            if !there.contains(&text.path) {
                daemon.add_text(text)?;
            }
        }
        Ok(())
    }

    /// The bytes of a patch, which are still those that were locked.
    fn patch(&self, patch: &LockedPatch) -> Result<Vec<u8>, Error> {
        let path = self.root.join(&patch.path);
        let bytes = fs::input(&path)?;
        match crate::source::Sha256::of(&bytes) == patch.sha256 {
            true => Ok(bytes),
            false => Err(Error::Patch { path }),
        }
    }
}

/// A toolchain of nixpkgs, from the evaluator of the flake in `root`, which writes what it is derived
/// from to the store.
pub(in crate::effect) fn describe(
    root: &Utf8Path,
    nix: &Nix,
    store: &Store,
    environment: &Environment,
    id: &str,
    arch: &str,
) -> Result<Toolchain, Error> {
    let flake = Flake::open(root, environment)?;
    let attribute = format!("{}#devShells.{}.{id}-{arch}.describe", flake.dir, system());
    let call = nix
        .call("nix")
        .args(["--extra-experimental-features", "nix-command flakes"])
        .args(["eval", "--json", &attribute])
        .args(store.url.iter().flat_map(|url| ["--store", url]));
    let output = exec::capture(&call).map_err(|source| Error::Describe {
        root: root.to_owned(),
        name: id.to_owned(),
        source: Box::new(source),
    })?;
    let prefix = store.prefix(environment);
    let store = &nix.store;
    let description = Description::parse(&output.text())?;
    let inputs = description.inputs(store)?;
    let mut known = Known::default();
    for path in inputs.derivations.keys() {
        known.read(path, &mut |path: &StorePath| -> Result<_, Error> {
            let file = store.join(path);
            let bytes = fs::read(prefix.join(file.as_str().trim_start_matches('/')))?;
            Ok(Derivation::parse_at(&bytes, path, store)?)
        })?;
    }
    Ok(Toolchain::described(description, inputs, known))
}

/// This machine, in Nix' words.
pub(in crate::effect) fn system() -> String {
    format!("{ARCH}-linux")
}

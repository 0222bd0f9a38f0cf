//! From a kernel's spec to a finished build: gather, plan, decide, act.

pub mod layers;
mod memory;
mod nix;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use super::environment::{self, Environment};
use super::explain::{self, Refused};
use super::inside;
use super::nix::program::{self, Nix};
use super::nix::{daemon, debian_root, layer, locked, realise, shell};
use super::run::{self, Event};
use super::source::mailbox::{self, Series};
use super::source::{self as sources, Progress, worktree};
use super::store::{self, HostStore};
use super::timings::Timer;
use super::{
    certificates, configure, doctor, exec, fs, lock as locking, lockfile, minimum, patches,
    toolchain,
};
use crate::arch::Arch;
use crate::backend;
use crate::fragment::{self, Library};
use crate::limits;
use crate::lock::{self, Change, Lock};
use crate::manifest::{Backend, Dirs, Manifest, OutputKind, Record};
use crate::merge;
use crate::minimum::{SCRIPT, TABLE, TooOld, too_old};
use crate::nix::kernel;
use crate::pahole;
use crate::patch::{Entry as PatchEntry, mail};
use crate::plan::{self, Ccache, Facts, Plan};
use crate::request::{self, ConfigRequest};
use crate::reuse::{self, Decision};
use crate::root::Root;
use crate::source::{LabelHint, MailedSeries, Source, Tree, TreeId};
use crate::sourced;
use crate::sourced::Sourced;
use crate::spec::{self, BackendChoice, KernelSpec, NamedCompiler, Spec, ToolchainRule};
use crate::store::{Check, Entry, Lookup, Store as _, is_entry_name};
use crate::surroundings::Surroundings;
use crate::tmpfs::{self, Place, Room};
use crate::toolchain::Toolchain;
use crate::version::KernelVersion;

/// What every step of one command shares.
#[derive(Clone)]
pub struct Session<'a> {
    /// The caller's environment.
    pub environment: &'a Environment,
    /// What the workspace declares.
    pub spec: &'a Spec,
    /// The fragments at hand.
    pub library: &'a Library,
    /// No download, no `apt`: what is in the cache must do.
    pub offline: bool,
    /// The workspace's lock: what it pins is what is built.
    pub lock: Option<&'a Lock>,
    /// How much of the lock must hold.
    pub lock_check: LockCheck,
    /// Fetch mailed series again.
    pub update: bool,
    /// What builds run in.
    pub surroundings: Surroundings,
    /// Sources that were prepared before in this command, for what plans many kernels of one
    /// tree; a build looks at its source itself.
    pub prepared: Option<&'a Prepared>,
    /// Sources that were prepared for the plans of what is built now: a branch or a selector means what it
    /// meant then.
    pub planned: Option<&'a Prepared>,
    /// The program that times the commands of builds; none are timed without it.
    pub recorder: Option<&'a Utf8Path>,
    /// Have build directories in memory where they fit: the room that there is, or why there is none.
    pub tmpfs: Option<Result<Room, tmpfs::Reason>>,
}

/// Sources that were prepared and read a moment ago: of many kernels of one tree, the first looks at its
/// files for all of them.
#[derive(Debug, Default)]
pub struct Prepared {
    sources: Mutex<BTreeMap<String, sources::Tree>>,
    models: configure::Models,
}

impl Prepared {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, sources::Tree>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, key: &str) -> Option<sources::Tree> {
        self.lock().get(key).cloned()
    }

    /// Has every source prepared and read again.
    fn forget(&self) {
        self.lock().clear();
        self.models.forget();
    }
}

/// How much of a lock must hold for a kernel to be planned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LockCheck {
    /// Sources come from it; the rest is about to be written anew, or changed for this call.
    Pins,
    /// Everything that `Cargo.toml` and the fragments decide; not what this machine's
    /// compiler does.
    #[default]
    Inputs,
    /// Everything.
    All,
}

/// Why a kernel could not be planned or built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The source.
    #[error(transparent)]
    Source(#[from] sources::Error),
    /// The toolchain.
    #[error(transparent)]
    Toolchain(#[from] toolchain::Error),
    /// The fragments.
    #[error(transparent)]
    Fragment(#[from] fragment::Error),
    /// The configuration.
    #[error(transparent)]
    Configure(#[from] configure::Error),
    /// The plan.
    #[error(transparent)]
    Plan(#[from] plan::Error),
    /// The plan, because requests do not hold.
    #[error("{plan}")]
    Refused {
        /// The kernel.
        kernel: String,
        /// [`plan::Error::Unmet`].
        plan: plan::Error,
        /// Why each does not hold.
        refused: Vec<Refused>,
    },
    /// The build.
    #[error(transparent)]
    Run(#[from] run::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// `git am` and `git apply` made different trees.
    #[error(
        "the series makes the tree {published} of {commit} as commits, and {applied} as patches"
    )]
    Series {
        /// The last commit.
        commit: String,
        /// Its tree.
        published: TreeId,
        /// The tree of the patches.
        applied: TreeId,
    },
    /// No rule says which compiler is for it.
    #[error("no rule of `toolchains` is for `{kernel}`: version {version}, {arch}")]
    NoRule {
        /// The kernel.
        kernel: String,
        /// Its version.
        version: KernelVersion,
        /// What it is built for.
        arch: Arch,
        /// The rules, with their places.
        rules: Vec<String>,
    },
    /// Tools are older than the tree takes.
    #[error(transparent)]
    Outdated(Box<Outdated>),
    /// What the tree takes could not be found out.
    #[error(transparent)]
    Minimums(#[from] doctor::Error),
    /// The patches.
    #[error(transparent)]
    Patches(#[from] patches::Error),
    /// The lock says something else.
    #[error("kernel.lock is out of date for `{kernel}`")]
    Stale {
        /// The kernel.
        kernel: String,
        /// How it changed.
        changes: Vec<Change>,
    },
    /// The lock does not have it.
    #[error("kernel.lock does not have `{kernel}`")]
    NotLocked {
        /// The kernel.
        kernel: String,
    },
    /// The files beside the lock.
    #[error(transparent)]
    LockFile(#[from] lockfile::Error),
    /// The certificates that the kernel is to trust.
    #[error(transparent)]
    Certificates(#[from] certificates::Error),
    /// The kernel cannot be locked.
    #[error(transparent)]
    Lock(#[from] lock::Error),
    /// Nothing says what the Debian root is made of.
    #[error("the toolchain `{name}` of `{kernel}` is not pinned: {pin} is not there")]
    NoPin {
        /// The kernel.
        kernel: String,
        /// The root's name.
        name: String,
        /// Where its pin would be.
        pin: Utf8PathBuf,
    },
    /// The Debian root.
    #[error(transparent)]
    Root(#[from] debian_root::Error),
    /// The backend that was asked for cannot build it.
    #[error(
        "`{kernel}` cannot be built by the backend {}: {reason}",
        backend_name(wanted)
    )]
    Backend {
        /// The kernel.
        kernel: String,
        /// The backend.
        wanted: BackendChoice,
        /// Why not.
        reason: backend::Reason,
    },
    /// No derivation follows from it.
    #[error(transparent)]
    Derivation(#[from] kernel::Error),
    /// Nix.
    #[error(transparent)]
    Nix(#[from] program::Error),
    /// Its daemon.
    #[error(transparent)]
    Daemon(#[from] daemon::Error),
    /// The devShell.
    #[error(transparent)]
    Shell(#[from] shell::Error),
    /// The toolchain that the flake describes.
    #[error(transparent)]
    Locked(Box<locked::Error>),
    /// The build by Nix.
    #[error(transparent)]
    Realise(#[from] realise::Error),
    /// What is in the Nix store.
    #[error(transparent)]
    Layer(#[from] layer::Error),
    /// A layer cannot be laid out.
    #[error(transparent)]
    Exec(#[from] exec::Error),
    /// A build that only its build directory may have.
    #[error("the build of `{kernel}` is not published: its source has uncommitted edits")]
    Edited {
        /// The kernel.
        kernel: String,
    },
    /// It is no kernel that boots.
    #[error("`{kernel}` has no image, System.map and config to publish")]
    NothingToPublish {
        /// The kernel.
        kernel: String,
    },
    /// A file.
    #[error(transparent)]
    Fs(#[from] fs::Error),
    /// The jobserver that builds share.
    #[error("the jobserver has gone away")]
    Jobserver(#[source] std::io::Error),
}

/// Tools that are older than a tree takes.
#[derive(Debug, thiserror::Error)]
#[error("{} too old for Linux {version}: {}", match old.len() { 1 => "a tool is", _ => "tools are" }, list(old))]
pub struct Outdated {
    /// The kernel's version.
    pub version: KernelVersion,
    /// Its tree.
    pub tree: Utf8PathBuf,
    /// Its compiler.
    pub compiler: NamedCompiler,
    /// At least one.
    pub old: Vec<TooOld>,
}

impl Outdated {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(format!(
            "install newer ones, choose another compiler than `{}` (`--compiler`, or a rule of `toolchains`), or build an older kernel; {SCRIPT} and {TABLE} of the tree say what it takes",
            self.compiler
        ))
    }
}

impl From<locked::Error> for Error {
    fn from(error: locked::Error) -> Self {
        Error::Locked(Box::new(error))
    }
}

impl Error {
    /// Whether the cause is a modified tree in the cache, which is unpacked again on its next use.
    fn is_of_a_shared_tree(&self) -> bool {
        let is_damage = |error: &run::Error| {
            let damaged = matches!(error, run::Error::Source(sources::Error::Changed { .. }));
            damaged || matches!(error, run::Error::TreeTouched { .. })
        };
        match self {
            Error::Source(sources::Error::Changed { .. }) => true,
            Error::Run(run::Error::FailedMeanwhile { change, .. }) => is_damage(change),
            Error::Run(error) => is_damage(error),
            _ => false,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Source(error) => error.hint(),
            Error::Toolchain(error) => error.hint(),
            Error::Fragment(error) => error.hint(),
            Error::Configure(error) => error.hint(),
            Error::Plan(error) => error.hint(),
            Error::Refused {
                kernel,
                plan,
                refused,
            } => match refused.iter().find(|refused| refused.refusal.is_some()) {
                Some(refused) => Some(format!(
                    "`cargo kernel config explain {} --kernel {kernel}` shows every condition",
                    refused.request.symbol.as_str()
                )),
                None => plan.hint(),
            },
            Error::Run(error) => error.hint(),
            Error::Store(error) => error.hint(),
            Error::NoRule { rules, .. } => Some(format!(
                "add a last rule for all other kernels, such as `{{ use = \"gcc\" }}`, or set `compiler` in `defaults`; the rules are: {}",
                rules.join("; ")
            )),
            Error::Outdated(error) => error.hint(),
            Error::Minimums(error) => error.hint(),
            Error::Patches(error) => error.hint(),
            Error::Series { .. } => Some("`git am` and `git apply` read one of the mails differently: use `patches`".to_owned()),
            Error::Stale { .. } => Some(
                "`cargo kernel lock` writes it anew; with `--update`, newer sources are taken as well"
                    .to_owned(),
            ),
            Error::NotLocked { .. } => Some("`cargo kernel lock` adds it".to_owned()),
            Error::LockFile(error) => error.hint(),
            Error::Certificates(error) => error.hint(),
            Error::Lock(error) => error.hint(),
            Error::NoPin { name, .. } => Some(format!(
                "`cargo kernel toolchain pin {name}` writes it; `host` is this machine's own"
            )),
            Error::Root(error) => error.hint(),
            Error::Backend { reason, .. } => reason.hint(),
            Error::Derivation(error) => error.hint(),
            Error::Nix(error) => error.hint(),
            Error::Daemon(error) => error.hint(),
            Error::Realise(error) => error.hint(),
            Error::Shell(error) => error.hint(),
            Error::Locked(error) => error.hint(),
            Error::Layer(error) => error.hint(),
            Error::Exec(error) => error.hint(),
            Error::Edited { .. } => Some(
                "commit them and build again, or set `dirty-release = \"exact\"`".to_owned(),
            ),
            Error::NothingToPublish { .. } => {
                Some("leave `targets` and `install` at their defaults".to_owned())
            }
            Error::Fs(error) => error.hint(),
            Error::Jobserver(_) => Some("run the same command again".to_owned()),
        }
    }
}

/// What building a kernel came to.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It was built now.
    Built,
    /// The build directory had it.
    Ready,
    /// It was taken from where it had been built before.
    Reused(Origin),
}

/// Where a finished build was taken from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Origin {
    /// The store of this machine.
    Store,
    /// The Nix store.
    NixStore,
    /// A cache, by Nix, which has checked that its key is trusted.
    Cache {
        /// Its address.
        url: String,
    },
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::Store => f.write_str("the store"),
            Origin::NixStore => f.write_str("the Nix store"),
            Origin::Cache { url } => write!(f, "the cache {url}"),
        }
    }
}

fn backend_name(wanted: &BackendChoice) -> String {
    match wanted {
        BackendChoice::Auto => "auto".to_owned(),
        BackendChoice::Only(backend) => backend.to_string(),
    }
}

/// What gathering and building tell while they go on.
#[derive(Clone, Debug)]
pub enum Notice<'a> {
    /// The source is being prepared.
    Source(Progress<'a>),
    /// Fragments contradict each other and the like.
    Warning(String),
    /// The decision to build, and why.
    Building(&'a Plan, &'a reuse::Reason),
    /// Where the build directory lies, where it was to be in memory.
    Placed(&'a Place),
    /// The build.
    Run(Event<'a>),
}

/// Refuses tools that are older than the tree takes: it would say so itself, later and
/// in other words, or fail with no words at all.
fn check_minimums(
    tree: &Tree,
    compiler: &NamedCompiler,
    toolchain: &Toolchain,
    request: &ConfigRequest,
    environment: &Environment,
) -> Result<(), Error> {
    let minimums = minimum::read(&tree.dir, toolchain.arch, environment)?;
    let old = too_old(toolchain, &minimums, |symbol| request.merged.asks(symbol));
    match old.is_empty() {
        true => Ok(()),
        false => Err(Error::Outdated(Box::new(Outdated {
            version: tree.version.clone(),
            tree: tree.dir.clone(),
            compiler: compiler.clone(),
            old,
        }))),
    }
}

fn list(old: &[TooOld]) -> String {
    let old: Vec<String> = old.iter().map(ToString::to_string).collect();
    old.join(", ")
}

/// The rule that chooses the kernel's compiler; `None` where no rules do.
fn choose_compiler(
    spec: &KernelSpec,
    tree: &Tree,
    request: &ConfigRequest,
) -> Result<Option<Sourced<ToolchainRule>>, Error> {
    let (version, arch) = (&tree.version, spec.arch.value);
    let rule = spec::choose(&spec.rules, version, arch, &request.merged);
    if rule.is_none() && !spec.rules.is_empty() {
        let rules = spec.rules.iter();
        return Err(Error::NoRule {
            kernel: spec.name.to_string(),
            version: version.clone(),
            arch,
            rules: rules
                .map(|rule| format!("{} ({})", rule.value, rule.origin))
                .collect(),
        });
    }
    Ok(rule.cloned())
}

impl<'a> Session<'a> {
    /// Online, and without a lock.
    pub fn new(environment: &'a Environment, spec: &'a Spec, library: &'a Library) -> Self {
        inside::keep(&spec.target_dir.join("kernel"), &spec.target_dir);
        inside::keep(&spec.root.join(crate::lock::DIRECTORY), &spec.root);
        for directory in [&environment.cache_dir, &environment.store_dir] {
            inside::keep(directory, directory);
        }
        Session {
            environment,
            spec,
            library,
            offline: false,
            lock: None,
            lock_check: LockCheck::default(),
            update: false,
            surroundings: Surroundings::default(),
            prepared: None,
            planned: None,
            recorder: None,
            tmpfs: None,
        }
    }
}

impl Session<'_> {
    /// Gathers the facts about one kernel: prepares its source, looks at the toolchain,
    /// resolves its configuration.
    pub fn gather(
        &self,
        spec: &KernelSpec,
        notify: &mut dyn FnMut(Notice<'_>),
    ) -> Result<Facts, Error> {
        self.gather_in(spec, &self.state(spec), notify)
    }

    /// The same with another directory for what is made on the way.
    pub(super) fn gather_in(
        &self,
        spec: &KernelSpec,
        state: &Utf8Path,
        notify: &mut dyn FnMut(Notice<'_>),
    ) -> Result<Facts, Error> {
        for _ in 1..ATTEMPTS {
            match self.gather_once(spec, state, notify) {
                // It is unpacked again.
                Err(Error::Source(sources::Error::Changed { .. })) => {
                    if let Some(prepared) = self.prepared {
                        prepared.forget();
                    }
                }
                gathered => return gathered,
            }
        }
        self.gather_once(spec, state, notify)
    }

    fn gather_once(
        &self,
        spec: &KernelSpec,
        state: &Utf8Path,
        notify: &mut dyn FnMut(Notice<'_>),
    ) -> Result<Facts, Error> {
        let mut tree = self.prepare_source(spec, notify)?;
        // Kbuild goes by real paths, and debug information must not tell which they are.
        tree.dir = fs::real_path(&tree.dir);
        let _reading = sources::share(&tree, &self.source_context())?;
        let dirs = Dirs::new(&tree.dir, state);
        plan::check_dirs(&dirs)?;
        let request = request::request(spec, self.library, &tree)?;
        for warning in &request.warnings {
            notify(Notice::Warning(warning.clone()));
        }
        let rule = choose_compiler(spec, &tree, &request)?;
        let compiler = match &rule {
            Some(rule) => rule.compiler.clone(),
            None => spec.compiler.value.clone(),
        };
        let environment = &*self.tool_environment(spec, &compiler, notify)?;
        let toolchain = toolchain::detect(
            spec.arch.value,
            &compiler,
            environment,
            &self.environment.cache_dir,
        )?;
        check_minimums(&tree, &compiler, &toolchain, &request, environment)?;
        let cores = environment::cores();
        let resolved = configure::resolve(
            &request,
            &tree,
            &toolchain,
            &dirs,
            environment,
            cores,
            self.prepared.map(|prepared| &prepared.models),
        );
        // What was read from the tree is kept under its id, and is to be what that names. And what a damaged tree
        // has wrong with it is not what the user did.
        let is_read = !matches!(resolved, Ok(configure::Resolved { kept: true, .. }));
        if is_read && let Err(error) = sources::verify(&tree, &self.source_context()) {
            if resolved.is_ok() {
                configure::forget(&request, &tree, &toolchain, environment)?;
            }
            return Err(error.into());
        }
        let configure::Resolved {
            config, resolver, ..
        } = resolved?;
        let place = self.build_place(spec, state, &config)?;
        let trust = certificates::read(spec, &self.spec.root)?;
        let pahole = match config.is_enabled("DEBUG_INFO_BTF") {
            true => pahole_options(&tree.dir),
            false => None,
        };
        let ccache = exec::find_on_path("ccache", &environment.path).map(|_| Ccache {
            dir: self.environment.cache_dir.join("ccache"),
            config: state.join("ccache.conf"),
        });
        Ok(Facts {
            tree,
            compiler,
            rule,
            toolchain,
            config,
            pahole,
            resolver,
            request,
            trust,
            environment: environment.tool_variables(),
            cores,
            ccache,
            target_dir: self.target_dir(),
            place,
        })
    }

    /// The environment in which the tools of `spec` are looked for and run.
    pub(super) fn tool_environment(
        &self,
        spec: &KernelSpec,
        compiler: &NamedCompiler,
        notify: &mut dyn FnMut(Notice<'_>),
    ) -> Result<Cow<'_, Environment>, Error> {
        let place = self.tool_place(spec, notify)?;
        Ok(match compiler.path {
            Some(_) => Cow::Owned(toolchain::within(&place, compiler)),
            None => place,
        })
    }

    fn tool_place(
        &self,
        spec: &KernelSpec,
        notify: &mut dyn FnMut(Notice<'_>),
    ) -> Result<Cow<'_, Environment>, Error> {
        let Some(pin) = self.pin(spec)? else {
            let toolchain = &spec.toolchain.value;
            let nixpkgs = toolchain.nixpkgs().is_some();
            let shell = match spec.backend.value {
                _ if nixpkgs => format!("{toolchain}-{}", spec.arch.value.name()),
                BackendChoice::Only(Backend::Shell) => "build".to_owned(),
                _ => return Ok(Cow::Borrowed(self.environment)),
            };
            let nix = Nix::find(self.environment)?;
            let inner = shell::enter(&self.spec.root, &shell, nixpkgs, &nix, self.environment)?;
            return Ok(Cow::Owned(inner));
        };
        let dir = debian_root::cached(&pin, &self.source_context(), &mut |progress| {
            notify(Notice::Source(progress))
        })?;
        let root = Root::new(fs::real_path(&dir));
        Ok(Cow::Owned(self.environment.inside(root)))
    }

    /// The Kconfig files of a kernel whose facts were gathered, to look values up and have
    /// them explained; `None` where the native engine does not serve.
    pub fn native(
        &self,
        spec: &KernelSpec,
        facts: &Facts,
    ) -> Result<Option<configure::Native>, Error> {
        let dirs = Dirs::new(&facts.tree.dir, &self.state(spec));
        Ok(configure::native(
            &facts.request,
            &facts.tree,
            &facts.toolchain,
            &dirs,
            &*self.tool_environment(spec, &facts.compiler, &mut |_| {})?,
        )?)
    }

    /// The plan of one kernel.
    pub fn plan(
        &self,
        spec: &KernelSpec,
        notify: &mut dyn FnMut(Notice<'_>),
    ) -> Result<Plan, Error> {
        let facts = self.gather(spec, notify)?;
        self.decide(spec, &facts, notify)
    }

    /// The plan; where requests do not hold, why.
    pub(super) fn decide(
        &self,
        spec: &KernelSpec,
        facts: &Facts,
        notify: &mut dyn FnMut(Notice<'_>),
    ) -> Result<Plan, Error> {
        let environment = toolchain::within(self.environment, &facts.compiler);
        toolchain::require(&facts.toolchain, &facts.compiler, &environment)?;
        let mut plan = plan::plan(spec, facts).map_err(|error| match error {
            plan::Error::Unmet { ref unmet, .. } => {
                match self.refused(spec, facts, unmet.clone()) {
                    Ok(refused) => Error::Refused {
                        kernel: spec.name.to_string(),
                        plan: error,
                        refused,
                    },
                    // That they do not hold is the news.
                    Err(_) => error.into(),
                }
            }
            error => error.into(),
        })?;
        self.check(spec, facts, &plan, notify)?;
        self.choose(spec, facts, &mut plan)?;
        Ok(plan)
    }

    /// Why each of `unmet` does not hold, and what would help. Reads the kernel's Kconfig
    /// files again, so it is asked only where something is amiss.
    pub fn refused(
        &self,
        spec: &KernelSpec,
        facts: &Facts,
        unmet: Vec<merge::Unmet>,
    ) -> Result<Vec<Refused>, Error> {
        let native = match unmet.as_slice() {
            [] => None,
            _ => self.native(spec, facts)?,
        };
        let mut refused = explain::refused(
            unmet,
            native.as_ref(),
            &facts.request,
            self.library,
            &facts.tree.dir,
        )?;
        let rust = refused
            .iter_mut()
            .find(|refused| refused.request.symbol.as_str() == "RUST");
        if let (Some(rust), Some(native)) = (rust, &native) {
            rust.note = minimum::rust_is_missing(
                &facts.tree.dir,
                &self.state(spec).join("configure"),
                &native.loaded.variables,
                self.environment,
            );
        }
        Ok(refused)
    }

    /// The manifest of the last finished build of a kernel; `None` where there is none, or
    /// one that this kernelkit cannot read.
    pub fn manifest(&self, spec: &KernelSpec) -> Result<Option<Manifest>, Error> {
        let bytes = fs::read_optional(self.state(spec).join("manifest.json"))?;
        Ok(bytes.and_then(|bytes| Manifest::parse(&bytes).ok()))
    }

    /// The store of finished builds.
    pub fn store(&self) -> HostStore {
        HostStore::new(&self.environment.store_dir)
    }

    /// The manifest of a stored build, by release or digest.
    pub fn stored_manifest(&self, key: &str) -> Result<Option<Manifest>, Error> {
        if !is_entry_name(key) {
            return Ok(None);
        }
        Ok(match self.store().find(key, Check::Quick)? {
            Lookup::Hit(entry) => serde_json::from_value(entry.manifest).ok(),
            _ => None,
        })
    }

    /// `target/kernel/<name>`.
    pub fn state(&self, spec: &KernelSpec) -> Utf8PathBuf {
        self.target_dir().join("kernel").join(spec.name.as_str())
    }

    fn target_dir(&self) -> Utf8PathBuf {
        fs::real_path(&self.spec.target_dir)
    }

    /// The build directory's own build of the plan.
    pub(super) fn ready(&self, spec: &KernelSpec, plan: &Plan) -> Result<Option<Manifest>, Error> {
        let decision = reuse::decide(plan, self.manifest(spec)?, is_intact, |_| Lookup::Miss);
        Ok(match decision {
            Decision::Ready(manifest) => Some(*manifest),
            Decision::Reuse(_) | Decision::Build(_) => None,
        })
    }

    /// Whether the plan has to be carried out.
    pub(super) fn look_up(&self, spec: &KernelSpec, plan: &Plan) -> Result<Decision, Error> {
        let mut found = Ok(());
        let decision = reuse::decide(plan, self.manifest(spec)?, is_intact, |release| {
            let found_there = self.store().find(release, Check::Quick);
            found_there.unwrap_or_else(|error| {
                found = Err(error);
                Lookup::Miss
            })
        });
        found?;
        Ok(decision)
    }

    /// Has the kernel's own `conf` confirm the configuration, ahead of the build. Where the
    /// build is there already, or is Nix' affair, nothing is done.
    pub fn confirm(
        &self,
        spec: &KernelSpec,
        notify: &mut dyn FnMut(Notice<'_>),
    ) -> Result<(), Error> {
        let facts = self.gather(spec, notify)?;
        let plan = self.decide(spec, &facts, &mut |_| {})?;
        if plan.record.backend == Backend::Nix {
            return Ok(());
        }
        let lock = run::lock(&plan, &mut |event| notify(Notice::Run(event)))?;
        if !matches!(self.look_up(spec, &plan)?, Decision::Build(_)) {
            return Ok(());
        }
        let held = sources::hold(&facts.tree, &self.source_context())?;
        self.enter(spec, &facts)?;
        let confirmed = run::confirm(&plan, &lock, &self.surroundings, &mut |event| {
            notify(Notice::Run(event));
        });
        drop(held);
        self.forget_drift(&confirmed, &facts)?;
        Ok(confirmed?)
    }

    /// Forgets a configuration that the kernel's own `conf` does not confirm.
    fn forget_drift<T>(&self, done: &Result<T, run::Error>, facts: &Facts) -> Result<(), Error> {
        let is_drift = |error: &run::Error| matches!(error, run::Error::ConfigDrift { .. });
        let drifted = match done {
            Err(run::Error::FailedMeanwhile { failure, .. }) => is_drift(failure),
            Err(error) => is_drift(error),
            Ok(_) => false,
        };
        if drifted {
            configure::forget(
                &facts.request,
                &facts.tree,
                &facts.toolchain,
                self.environment,
            )?;
        }
        Ok(())
    }

    /// Builds one kernel, or finds it built.
    pub fn build(
        &self,
        spec: &KernelSpec,
        notify: &mut dyn FnMut(Notice<'_>),
    ) -> Result<(Outcome, Manifest), Error> {
        let (mut looks, mut attempts) = (1, 1);
        while looks < LOOKS && attempts < ATTEMPTS {
            match self.build_once(spec, notify) {
                // Nothing was made of it. It is unpacked again, which says why.
                Err(Error::Source(sources::Error::Changed { .. })) => looks += 1,
                // What was made of it is gone, and the tree is looked at again and unpacked where that is needed.
                Err(error) if error.is_of_a_shared_tree() => {
                    attempts += 1;
                    notify(Notice::Warning(format!(
                        "{error}: what was made of it is compiled again"
                    )));
                }
                built => return built,
            }
        }
        self.build_once(spec, notify)
    }

    fn build_once(
        &self,
        spec: &KernelSpec,
        notify: &mut dyn FnMut(Notice<'_>),
    ) -> Result<(Outcome, Manifest), Error> {
        let facts = self.gather(spec, notify)?;
        let mut plan = self.decide(spec, &facts, notify)?;
        if let Some(manifest) = self.ready(spec, &plan)? {
            return Ok((Outcome::Ready, manifest));
        }
        let lock = run::lock(&plan, &mut |event| notify(Notice::Run(event)))?;
        let store = self.store();
        // Whoever held the lock may have built just this.
        let mut decision = self.look_up(spec, &plan)?;
        if let Decision::Reuse(entry) = &decision {
            match take(&store, entry, &plan) {
                Ok(manifest) => return Ok((Outcome::Reused(Origin::Store), manifest)),
                Err(Error::Store(error @ store::Error::Damaged { .. })) => {
                    notify(Notice::Warning(format!("{error}; it is built again")));
                    let store::Error::Damaged { what, .. } = error else {
                        unreachable!("it was matched above")
                    };
                    decision = Decision::Build(reuse::Reason::Damaged { what });
                }
                Err(error) => return Err(error),
            }
        }
        match decision {
            Decision::Ready(manifest) => Ok((Outcome::Ready, *manifest)),
            Decision::Reuse(_) => unreachable!("it was taken, or is built again"),
            Decision::Build(reason) => {
                if plan.stored
                    && let Some(manifest) = self.take_from_index(&plan)
                {
                    if let Err(error) = publish(&store, &manifest, &reason) {
                        notify(Notice::Warning(describe(&error)));
                    }
                    return Ok((Outcome::Reused(Origin::NixStore), manifest));
                }
                if plan.record.backend == Backend::Nix {
                    if self.tmpfs.is_some() {
                        notify(Notice::Placed(&Place::Disk(tmpfs::Reason::Nix)));
                    }
                    return self.build_with_nix(spec, &facts, &plan, &reason, notify);
                }
                notify(Notice::Building(&plan, &reason));
                if let Some(place) = &facts.place {
                    notify(Notice::Placed(place));
                }
                // What is shared must still be what its id names before it is compiled.
                let context = self.source_context();
                let held = sources::hold(&facts.tree, &context)?;
                self.enter(spec, &facts)?;
                let mut timer = self.timer(&mut plan, notify)?;
                let mut rescanned = Ok(None);
                let mut rescan = || {
                    if plan.volatile {
                        rescanned = self.look_again(spec, &facts.tree).map(Some);
                    }
                    rescanned.as_ref().ok().copied().flatten()
                };
                let surroundings = &self.surroundings;
                let covered = || held.covered(&context);
                let mut on_event = |event: Event<'_>| {
                    if let Some(timer) = &mut timer {
                        timer.see(&event);
                    }
                    notify(Notice::Run(event))
                };
                let built = run::run(
                    &plan,
                    &lock,
                    surroundings,
                    run::Inputs {
                        toolchain: &facts.toolchain,
                        rescan: &mut rescan,
                        covered: &covered,
                    },
                    &mut on_event,
                );
                let timed = timer.map(|timer| timer.finish(&plan));
                self.forget_drift(&built, &facts)?;
                if let Some(filled) = self.leave(&plan, &facts, &built)? {
                    drop(lock);
                    return filled.build(spec, notify);
                }
                if built.is_err() {
                    // Says that it is damaged, where it is, to who prepares it next.
                    let _ = sources::verify(&facts.tree, &context);
                }
                let manifest = built?;
                rescanned?;
                timed.transpose()?;
                // The build is done and usable; at worst the next one will not find it.
                if plan.stored
                    && let Err(error) = publish(&store, &manifest, &reason)
                {
                    // Somebody else was first with the release.
                    if matches!(error, store::Error::Taken(_)) {
                        fs::remove_file(manifest.record.dirs.manifest())?;
                        return Err(error.into());
                    }
                    notify(Notice::Warning(describe(&error)));
                }
                Ok((Outcome::Built, manifest))
            }
        }
    }

    /// What times the build, where that is asked for and can be done.
    fn timer(
        &self,
        plan: &mut Plan,
        notify: &mut dyn FnMut(Notice<'_>),
    ) -> Result<Option<Timer>, Error> {
        let Some(recorder) = self.recorder else {
            return Ok(None);
        };
        let timer = Timer::start(recorder, plan)?;
        if timer.is_none() {
            notify(Notice::Warning(format!(
                "the build is not timed: {recorder} does not start where the kernel is compiled"
            )));
        }
        Ok(timer)
    }

    /// What the lock has of a kernel whose source it decides. A flag asks for something else.
    fn locked(&self, spec: &KernelSpec) -> Option<&lock::Kernel> {
        let asked_by_flag = matches!(spec.source.origin, sourced::Origin::CommandLine { .. });
        self.lock
            .and_then(|lock| lock.kernels.get(spec.name.as_str()))
            .filter(|_| !asked_by_flag)
    }

    /// Whether the lock decides which source is built.
    pub fn is_locked(&self, spec: &KernelSpec) -> bool {
        self.locked(spec).is_some()
    }

    /// The source that the lock has for what `spec` asks for, and its label.
    fn pinned(
        &self,
        spec: &KernelSpec,
        source: &Source,
    ) -> Result<Option<(Source, Option<String>)>, Error> {
        let Some(locked) = self.locked(spec) else {
            return Ok(None);
        };
        match locked.source.pinned(source) {
            Some(pinned) => Ok(Some((pinned, locked.source.label.clone()))),
            None if self.lock_check == LockCheck::Pins => Ok(None),
            None => Err(Error::Stale {
                kernel: spec.name.to_string(),
                changes: vec![Change {
                    field: "source.requested".to_owned(),
                    old: Some(locked.source.requested.clone()),
                    new: Some(source.to_string()),
                }],
            }),
        }
    }

    /// Holds the plan against the lock, and tells what its identity does not cover.
    fn check(
        &self,
        spec: &KernelSpec,
        facts: &Facts,
        plan: &Plan,
        notify: &mut dyn FnMut(Notice<'_>),
    ) -> Result<(), Error> {
        self.check_lock(spec, facts, plan)?;
        // Whoever turns the store off has his reasons.
        if spec.reuse.value
            && let Some(registered) = self.store().registered(&plan.record.release)?
        {
            registered
                .admits(spec.name.as_str(), &plan.record.identity)
                .map_err(store::Error::from)?;
        }
        for hazard in &plan.hazards {
            notify(Notice::Warning(format!(
                "{hazard}; the build is not reproducible and does not go to the store\nhint: {}",
                hazard.cure
            )));
        }
        Ok(())
    }

    /// Holds the plan against the lock.
    fn check_lock(&self, spec: &KernelSpec, facts: &Facts, plan: &Plan) -> Result<(), Error> {
        let Some(lock) = self.lock else {
            return Ok(());
        };
        let locked = lock.kernels.get(spec.name.as_str());
        if self.lock_check != LockCheck::Pins && locked.is_some() {
            lock.check_format(&self.spec.root.join(crate::lock::FILE))?;
        }
        // Uncommitted edits are another kernel than the locked one, and say so in their release.
        if self.lock_check == LockCheck::Inputs && plan.record.base.is_some() {
            return Ok(());
        }
        let changes = match (self.lock_check, locked) {
            (LockCheck::Pins, _) | (LockCheck::Inputs, None) => return Ok(()),
            (LockCheck::All, None) => {
                return Err(Error::NotLocked {
                    kernel: spec.name.to_string(),
                });
            }
            (check, Some(locked)) => {
                let (now, _) = self.lock_entry(spec, facts, plan)?;
                let mut changes = lock::changes(Some(locked), &now);
                changes.retain(|change| {
                    check == LockCheck::All || !lock::is_of_the_toolchain(&change.field)
                });
                changes
            }
        };
        let changes = match (self.lock_check, locked) {
            (LockCheck::All, Some(locked)) => {
                let mut changes = changes;
                changes.extend(lockfile::changes(
                    &self.spec.root,
                    spec.name.as_str(),
                    locked,
                )?);
                changes
            }
            _ => changes,
        };
        if changes.is_empty() {
            return Ok(());
        }
        Err(Error::Stale {
            kernel: spec.name.to_string(),
            changes,
        })
    }

    /// What the lock would say of a planned kernel.
    pub fn lock_entry(
        &self,
        spec: &KernelSpec,
        facts: &Facts,
        plan: &Plan,
    ) -> Result<(lock::Kernel, lock::Toolchain), Error> {
        let root = &self.spec.root;
        Ok(lock::kernel(spec, &spec.source.value, facts, plan, root)?)
    }

    pub(super) fn source_context(&self) -> sources::Context<'_> {
        sources::Context {
            offline: self.offline,
            own: self.own_files(),
            ..sources::Context::new(self.environment)
        }
    }

    /// What is the workspace's own and no part of a source that it lies in.
    fn own_files(&self) -> Vec<Utf8PathBuf> {
        let root = fs::real_path(&self.spec.root);
        let mut own: Vec<_> = OWN_FILES.iter().map(|name| root.join(name)).collect();
        let target = &self.spec.target_dir;
        // Where it is a link, that is left out as well as what it leads to.
        if let (Some(parent), Some(name)) = (target.parent(), target.file_name()) {
            own.push(fs::real_path(parent).join(name));
        }
        own.push(self.target_dir());
        own
    }

    pub(super) fn prepare_source(
        &self,
        spec: &KernelSpec,
        notify: &mut dyn FnMut(Notice<'_>),
    ) -> Result<sources::Tree, Error> {
        let series = self.series(spec, notify)?;
        let mut patches = series
            .as_ref()
            .map_or_else(Vec::new, |one| one.patches.clone());
        patches.extend(patches::entries(spec, &self.spec.root)?);
        let tree = self.prepare_with(spec, &patches, notify)?;
        match series {
            Some(series) => self.with_series(spec, tree, series, notify),
            None => Ok(tree),
        }
    }

    /// The mailed series of `spec`: as the lock has it, where that is for the same one.
    pub(super) fn series(
        &self,
        spec: &KernelSpec,
        notify: &mut dyn FnMut(Notice<'_>),
    ) -> Result<Option<Series>, Error> {
        let Some(requested) = &spec.series else {
            return Ok(None);
        };
        let root = &self.spec.root;
        let kernel = self
            .lock
            .and_then(|lock| lock.kernels.get(spec.name.as_str()));
        if let Some(source) = kernel.map(|kernel| &kernel.source)
            && let Some(locked) = &source.series
            && locked.requested == requested.value
            && mail::is_on_a_list(&requested.value)
        {
            let mailed = source.patches.iter().take(locked.message_ids.len());
            let entry = |patch: &lock::LockedPatch| PatchEntry {
                mailed: true,
                ..PatchEntry::new(root.join(&patch.path))
            };
            return Ok(Some(Series {
                requested: locked.requested.clone(),
                slug: mail::slug(&locked.requested),
                subject: locked.subject.clone(),
                revision: locked.revision,
                message_ids: locked.message_ids.clone(),
                patches: mailed.map(entry).collect(),
            }));
        }
        let series = mailbox::read(
            &requested.value,
            root,
            self.update,
            &self.source_context(),
            &mut |progress| notify(Notice::Source(progress)),
        )?;
        Ok(Some(series))
    }

    /// Labels a tree by its series, and publishes that in the mirror where there is one.
    fn with_series(
        &self,
        spec: &KernelSpec,
        tree: sources::Tree,
        series: Series,
        notify: &mut dyn FnMut(Notice<'_>),
    ) -> Result<sources::Tree, Error> {
        let base = match &tree.commit {
            Some(commit) if !tree.dirty => commit.id.clone(),
            _ => tree.resolved.to_string(),
        };
        if let Source::Git { repository, .. } = &tree.resolved {
            let mails: Vec<_> = series
                .patches
                .iter()
                .map(|patch| patch.path.as_path())
                .collect();
            let (commit, published) = worktree::publish(
                repository,
                &base,
                &format!("b4/{}", series.slug),
                &mails,
                &self.source_context(),
                &mut |progress| notify(Notice::Source(progress)),
            )?;
            if published != tree.id && spec.patches.is_empty() {
                return Err(Error::Series {
                    commit,
                    published,
                    applied: tree.id,
                });
            }
        }
        Ok(sources::Tree {
            label: LabelHint::Series {
                subject: series.subject.clone(),
                revision: series.revision,
            },
            series: Some(MailedSeries {
                requested: series.requested,
                subject: series.subject,
                revision: series.revision,
                message_ids: series.message_ids,
                base,
            }),
            ..tree
        })
    }

    /// The source that is built: what the lock pins for what `spec` asks for.
    pub(super) fn resolve_source(&self, spec: &KernelSpec) -> Result<Source, Error> {
        let pinned = self.pinned(spec, &spec.source.value)?;
        Ok(match (&spec.source.value, pinned) {
            (_, Some((pinned, _))) => pinned,
            (Source::Directory { path }, None) => Source::Directory {
                path: fs::real_path(path),
            },
            (source, None) => source.clone(),
        })
    }

    /// The kernel's own worktree, moved to where it is to be.
    fn prepare_warm(
        &self,
        spec: &KernelSpec,
        dir: &Utf8Path,
        repository: &str,
        reference: &str,
        notify: &mut dyn FnMut(Notice<'_>),
    ) -> Result<sources::Tree, Error> {
        // A build that is going on must not have its tree moved.
        let lock = self.state(spec).join("lock");
        let _lock = locking::acquire(&lock, "a look at the tree", &mut |holder| {
            notify(Notice::Warning(format!(
                "waiting for the tree of `{}`, held by {holder}",
                spec.name
            )));
        })?;
        let context = self.source_context();
        let tree = worktree::prepare(dir, repository, reference, &context, &mut |progress| {
            notify(Notice::Source(progress));
        })?;
        Ok(tree)
    }

    /// The id of a tree's files now; a kernel's own worktree is looked at where it is, and not moved.
    fn look_again(&self, spec: &KernelSpec, tree: &sources::Tree) -> Result<TreeId, Error> {
        if tree.dir != fs::real_path(self.warm_dir(spec)) {
            return Ok(self.prepare_source(spec, &mut |_| {})?.id);
        }
        let source = Source::Directory {
            path: tree.dir.clone(),
        };
        Ok(sources::prepare(&source, &[], &self.source_context(), &mut |_| {})?.id)
    }

    /// The source of `spec` with these patches on top.
    pub(super) fn prepare_with(
        &self,
        spec: &KernelSpec,
        patches: &[PatchEntry],
        notify: &mut dyn FnMut(Notice<'_>),
    ) -> Result<sources::Tree, Error> {
        let pinned = self.pinned(spec, &spec.source.value)?;
        let source = self.resolve_source(spec)?;
        // The kernel's own worktree, where `cargo kernel tree` has laid one out.
        let warm = Some(self.warm_dir(spec)).filter(|dir| {
            let is_git = matches!(source, Source::Git { .. });
            is_git && patches.is_empty() && dir.join(".git").exists()
        });
        let key = match &warm {
            Some(dir) => dir.to_string(),
            None => format!("{source:?} {patches:?}"),
        };
        let then = self.planned.and_then(|planned| planned.get(&key));
        // Directories mean what they hold now.
        let then = then.filter(|then| !matches!(then.resolved, Source::Directory { .. }));
        let source = then.as_ref().map_or(&source, |then| &then.resolved);
        let before = self.prepared.and_then(|prepared| prepared.get(&key));
        let mut tree = match (before, &warm, source) {
            (Some(tree), _, _) => tree,
            (
                None,
                Some(dir),
                Source::Git {
                    repository,
                    reference,
                },
            ) => self.prepare_warm(spec, dir, repository, reference, notify)?,
            (None, _, source) => {
                let context = self.source_context();
                sources::prepare(source, patches, &context, &mut |progress| {
                    notify(Notice::Source(progress));
                })?
            }
        };
        if let Some(then) = then
            && then.dirty == tree.dirty
        {
            (tree.label, tree.description) = (then.label, then.description);
        }
        if let Some(prepared) = self.prepared {
            prepared.lock().insert(key, tree.clone());
        }
        if let Some((_, Some(label))) = pinned
            && tree.patches.is_empty()
        {
            tree.label = LabelHint::Reference { name: label };
        }
        Ok(tree)
    }
}

/// How often a tree in the cache is unpacked again, at most, before a kernel is built from it.
const LOOKS: usize = 100;

/// How often a kernel is built, at most, whose tree in the cache is damaged meanwhile.
const ATTEMPTS: usize = 10;

/// The text of a tree's file with pahole's options; of one that cannot be read nothing is known.
fn pahole_options(tree: &Utf8Path) -> Option<String> {
    let files = pahole::FILES.iter().map(|name| tree.join(name));
    let path = files.into_iter().find(|path| path.is_file())?;
    let text = fs::read_within(&path, limits::SCRIPT).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// In the workspace's root.
const OWN_FILES: [&str; 6] = [
    ".cargo",
    "Cargo.lock",
    "Cargo.toml",
    "kernel.lock",
    "kernel.lock.d",
    "target",
];

/// Keeps a finished build, instead of one that has less.
fn publish(
    store: &HostStore,
    manifest: &Manifest,
    reason: &reuse::Reason,
) -> Result<(), store::Error> {
    let record = &manifest.record;
    if record.outputs.is_empty() {
        return Ok(());
    }
    store.register(record.name.as_str(), &record.release, &record.identity)?;
    // What is there has less, or other bytes behind the right times.
    let is_worse = matches!(
        reason,
        reuse::Reason::Incomplete { .. } | reuse::Reason::Damaged { .. }
    );
    if is_worse {
        store.forget(&record.release)?;
    }
    let json = manifest.to_json();
    store
        .publish(&record.release, &record.dirs.destdir, json.as_bytes())
        .map(drop)
}

fn describe(error: &store::Error) -> String {
    let mut text = format!("the build is not in the store: {error}");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// Puts a stored build into the build directory, as if it had been built there.
fn take(store: &HostStore, entry: &Entry, plan: &Plan) -> Result<Manifest, Error> {
    let dirs = &plan.record.dirs;
    let stored: Manifest = serde_json::from_value(entry.manifest.clone())
        .expect("the decision to reuse has read the manifest");
    fs::remove_file(dirs.manifest())?;
    fs::remove_dir_all(&dirs.destdir)?;
    store.materialize(entry, &dirs.destdir)?;
    let outputs = stored.record.outputs;
    let manifest = Manifest {
        record: Record {
            outputs,
            backend: stored.record.backend,
            ..plan.record.clone()
        },
        devtools: Vec::new(),
        ..stored
    };
    fs::write_atomic(dirs.manifest(), manifest.to_json().as_bytes())?;
    Ok(manifest)
}

fn is_intact(manifest: &Manifest, output: &crate::manifest::Output) -> bool {
    let path = manifest.record.dirs.destdir.join(&output.path);
    match std::fs::metadata(path) {
        Ok(metadata) if output.kind == OutputKind::Modules => metadata.is_dir(),
        Ok(metadata) => metadata.is_file() && output.size == Some(metadata.len()),
        Err(_) => false,
    }
}

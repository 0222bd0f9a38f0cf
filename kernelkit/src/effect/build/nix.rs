//! Which backend builds a kernel, and the build by Nix.

use std::time::Instant;

use camino::Utf8PathBuf;

use super::{Error, Notice, Origin, Outcome, Session, describe, publish};
use crate::backend;
use crate::effect::environment;
use crate::effect::fs;
use crate::effect::log::RunLog;
use crate::effect::nix::daemon::{Daemon, Mode, Options, Status, Target};
use crate::effect::nix::program::Nix;
use crate::effect::nix::realise::{self, Realised, Work};
use crate::effect::nix::{debian_root, layer, locked};
use crate::effect::run;
use crate::effect::source as sources;
use crate::lock;
use crate::manifest::{Backend, Manifest, Statistics};
use crate::nix::failure::Cause;
use crate::nix::kernel::{self, Pin, Toolchain};
use crate::nix::store_path::{ContentAddress, StorePath};
use crate::plan::{Facts, Plan, Step};
use crate::reuse;
use crate::spec::{Jobs, KernelSpec};

/// The outputs that a build is: of what is for modules and debuggers nothing is fetched.
const WANTED: [&str; 2] = ["out", "modules"];

/// A kernel as a derivation, with what goes into it.
pub(in crate::effect) struct Derived {
    pub(in crate::effect) nix: Nix,
    pub(in crate::effect) plan: kernel::Plan,
    source: (String, StorePath),
    root: Option<(Pin, StorePath)>,
}

impl Derived {
    pub(in crate::effect) fn output(&self, name: &str) -> &StorePath {
        let path = self.plan.derivation.output(name);
        path.expect("a kernel's outputs have their paths from the start")
    }

    fn wanted(&self) -> Target {
        Target {
            derivation: self.plan.path.clone(),
            outputs: WANTED.map(str::to_owned).into(),
        }
    }
}

impl Session<'_> {
    /// Writes into the plan what builds it, and why; with Nix, what Nix is to do.
    pub(in crate::effect) fn choose(
        &self,
        spec: &KernelSpec,
        facts: &Facts,
        plan: &mut Plan,
    ) -> Result<(), Error> {
        let lock = self.lock_state(spec, facts, plan);
        let machine = locked::system();
        let system = match spec.toolchain.value.nixpkgs() {
            Some(_) => Some(machine.clone()),
            None => self.pin(spec)?.map(|pin| pin.system),
        };
        let (backend, reason) = backend::choose(spec, lock, system.as_deref(), &machine, || {
            let nix = match Nix::find(self.environment) {
                Ok(nix) => nix,
                Err(error) => return Some(with_causes(&error)),
            };
            nix.connect(&Options::default())
                .err()
                .map(|error| with_causes(&error))
        })
        .map_err(|reason| Error::Backend {
            kernel: spec.name.to_string(),
            wanted: spec.backend.value,
            reason,
        })?;
        plan.record.backend = backend;
        plan.backend_reason = reason;
        if backend == Backend::Nix {
            let derived = self.derive(spec, facts, plan)?;
            let store = &derived.nix.store;
            let outputs = derived.plan.derivation.outputs().iter();
            plan.ccache = None;
            plan.steps = vec![Step::Realise {
                derivation: store.display(&derived.plan.path),
                outputs: outputs
                    .filter_map(|(name, path)| Some((name.clone(), store.display(path.as_ref()?))))
                    .collect(),
            }];
        }
        Ok(())
    }

    /// Whether a planned kernel is the one in the lock.
    pub(super) fn lock_state(
        &self,
        spec: &KernelSpec,
        facts: &Facts,
        plan: &Plan,
    ) -> backend::Lock {
        let locked = self
            .lock
            .and_then(|lock| lock.kernels.get(spec.name.as_str()));
        match locked {
            None => backend::Lock::Missing,
            Some(locked) => match self.lock_entry(spec, facts, plan) {
                Ok((now, _)) if lock::changes(Some(locked), &now).is_empty() => backend::Lock::Same,
                _ => backend::Lock::Differs,
            },
        }
    }

    /// The pin of a kernel's toolchain; `None` where it needs none.
    pub(super) fn pin(&self, spec: &KernelSpec) -> Result<Option<Pin>, Error> {
        let name = &spec.toolchain.value;
        let Some(pin) = name.pin() else {
            return Ok(None);
        };
        let path = self.spec.root.join(pin);
        match path.exists() {
            true => Ok(Some(debian_root::read(&path)?)),
            false => Err(Error::NoPin {
                kernel: spec.name.to_string(),
                name: name.to_string(),
                pin: path,
            }),
        }
    }

    /// The derivation of a planned kernel: that of its entry in the lock, as the lock has it or
    /// would have it.
    pub(in crate::effect) fn derive(
        &self,
        spec: &KernelSpec,
        facts: &Facts,
        plan: &Plan,
    ) -> Result<Derived, Error> {
        let nix = Nix::find(self.environment)?;
        let store = &nix.store;
        let (entry, _) = self.lock_entry(spec, facts, plan)?;
        let pin = self.pin(spec)?;
        let id = spec.toolchain.value.as_str();
        let toolchain = match &pin {
            Some(pin) => Toolchain::debian_root(store, id, pin)?,
            None if spec.toolchain.value.is_host() => Toolchain::host(store, &locked::system())?,
            None => {
                let (own, arch) = (locked::Store::default(), spec.arch.value.name());
                locked::describe(&self.spec.root, &nix, &own, self.environment, id, arch)?
            }
        };
        let name = spec.name.as_str();
        let (config, trusted) = (&plan.dot_config, &plan.trusted);
        let plan = kernel::plan(store, name, &entry, config, trusted, &toolchain)?;
        let source = &entry.source;
        let sha256 = source
            .sha256
            .expect("a source without a hash has no derivation");
        let source_path = store.file_path(&source.name, sha256);
        let root = pin.map(|pin| {
            let content = ContentAddress::recursive(pin.sha256);
            let path = store.content_path(&pin.name, &content, []);
            path.map(|path| (pin, path))
        });
        Ok(Derived {
            source: (
                source.name.clone(),
                source_path.map_err(kernel::Error::from)?,
            ),
            root: root.transpose().map_err(kernel::Error::from)?,
            plan,
            nix,
        })
    }

    /// A connection for builds.
    pub(in crate::effect) fn daemon(
        &self,
        spec: &KernelSpec,
        derived: &Derived,
    ) -> Result<Daemon, Error> {
        Ok(derived.nix.connect(&self.options(spec))?)
    }

    fn options(&self, spec: &KernelSpec) -> Options {
        Options {
            cores: match spec.jobs.value {
                Jobs::Exactly(jobs) => u64::from(jobs),
                Jobs::Auto | Jobs::AutoPlusOne => environment::cores() as u64,
            },
            substitute: !self.offline,
            ..Options::default()
        }
    }

    /// Puts the derivation into the store, with the texts and the patches that it names.
    pub(in crate::effect) fn place(
        &self,
        daemon: &mut Daemon,
        derived: &Derived,
    ) -> Result<(), Error> {
        let plan = &derived.plan;
        let texts = plan.texts.iter().map(|text| &text.path);
        let there = daemon.valid(texts.chain(plan.files.iter().map(|(_, path)| path)), false)?;
        for (patch, path) in &plan.files {
            if !there.contains(path) {
                let name = patch.path.file_name().unwrap_or_default();
                daemon.add_file(name, &self.spec.root.join(&patch.path))?;
            }
        }
        for text in &plan.texts {
            if !there.contains(&text.path) {
                daemon.add_text(text)?;
            }
        }
        Ok(())
    }

    /// Puts the source and the toolchain into the store, as far as they are at hand: what is
    /// here is not downloaded again.
    fn place_inputs(
        &self,
        daemon: &mut Daemon,
        derived: &Derived,
        facts: &Facts,
        notify: &mut dyn FnMut(Notice<'_>),
    ) -> Result<(), Error> {
        if let Some((pin, path)) = &derived.root
            && !daemon.is_valid(path)?
        {
            let tree = debian_root::cached(pin, &self.source_context(), &mut |progress| {
                notify(Notice::Source(progress))
            })?;
            daemon.add_directory(&pin.name, &tree)?;
        }
        let (name, path) = &derived.source;
        if !daemon.is_valid(path)?
            && let Some(file) = sources::archive_of(&facts.tree, &self.source_context())?
        {
            daemon.add_file(name, &file)?;
        }
        Ok(())
    }

    /// Takes the plan's kernel from the index of what is in the Nix store.
    pub(super) fn take_from_index(&self, plan: &Plan) -> Option<Manifest> {
        let nix = Nix::find(self.environment).ok();
        let [out, modules] = layer::find(&self.store(), nix.as_ref(), &plan.record.release)?;
        layer::take(plan, &out, &modules, Statistics::default()).ok()
    }

    /// Has Nix build it, or take it from where it is. The caller holds the lock of the
    /// kernel's directory.
    pub(super) fn build_with_nix(
        &self,
        spec: &KernelSpec,
        facts: &Facts,
        plan: &Plan,
        reason: &reuse::Reason,
        notify: &mut dyn FnMut(Notice<'_>),
    ) -> Result<(Outcome, Manifest), Error> {
        let derived = self.derive(spec, facts, plan)?;
        let mut daemon = self.daemon(spec, &derived)?;
        let begun = Instant::now();
        let wanted = WANTED.map(|name| derived.output(name));
        let is_there = daemon.valid(wanted, false)?.len() == wanted.len();
        let (outcome, statistics) = if is_there && plan.reuse {
            let from = Origin::NixStore;
            (Outcome::Reused(from), Statistics::default())
        } else {
            self.place(&mut daemon, &derived)?;
            // What is there already is built once more and compared.
            let mode = if is_there { Mode::Check } else { Mode::Normal };
            let missing = daemon.missing(&[derived.wanted()])?;
            let fetched = if is_there || missing.build.contains(&derived.plan.path) {
                None
            } else {
                match realise(&mut daemon, &derived, Work::Fetch(&wanted), plan, notify) {
                    Ok(fetched) => Some(fetched),
                    // A cache said that it has it, and Nix did not take it; why is told by now.
                    Err(Error::Realise(realise::Error::Failed { .. })) => {
                        let options = Options {
                            substitute: false,
                            ..self.options(spec)
                        };
                        daemon = derived.nix.connect(&options)?;
                        None
                    }
                    Err(error) => return Err(error),
                }
            };
            let realised = match fetched {
                Some(fetched) => fetched,
                None => {
                    notify(Notice::Building(plan, reason));
                    self.place_inputs(&mut daemon, &derived, facts, notify)?;
                    let work = Work::Build(derived.wanted(), mode);
                    realise(&mut daemon, &derived, work, plan, notify)?
                }
            };
            let statistics = Statistics {
                milliseconds: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
                commands: realised.counts.commands,
                warnings: realised.counts.warnings,
                ..Statistics::default()
            };
            let outcome = match (realised.status, realised.cache) {
                (Status::Substituted, Some(url)) => Outcome::Reused(Origin::Cache { url }),
                (Status::Substituted | Status::AlreadyValid, _) => {
                    Outcome::Reused(Origin::NixStore)
                }
                _ => Outcome::Built,
            };
            (outcome, statistics)
        };
        let [out, modules] = wanted.map(|path| derived.nix.place(path));
        let manifest = layer::take(plan, &out, &modules, statistics)?;
        if plan.stored {
            let store = self.store();
            if let Err(error) = publish(&store, &manifest, reason) {
                notify(Notice::Warning(describe(&error)));
            }
            let outputs = derived.plan.derivation.outputs();
            let valid = daemon.valid(outputs.values().flatten(), false)?;
            let kept = outputs
                .iter()
                .filter_map(|(name, path)| Some((name.as_str(), path.as_ref()?)))
                .filter(|(_, path)| valid.contains(path));
            layer::keep(&mut daemon, &store, &plan.record.release, kept)?;
        }
        Ok((outcome, manifest))
    }
}

impl Session<'_> {
    /// Has Nix build it for certain, whatever is there already, and without caches; returns `out`
    /// and `modules`, where they really lie. Where the bytes are not those that the store
    /// had, the new ones.
    pub(in crate::effect) fn build_again_with_nix(
        &self,
        spec: &KernelSpec,
        facts: &Facts,
        plan: &Plan,
        notify: &mut dyn FnMut(Notice<'_>),
    ) -> Result<[Utf8PathBuf; 2], Error> {
        let derived = self.derive(spec, facts, plan)?;
        let options = Options {
            keep_failed: true,
            substitute: false,
            ..self.options(spec)
        };
        let mut daemon = derived.nix.connect(&options)?;
        let wanted = WANTED.map(|name| derived.output(name));
        let is_there = daemon.valid(wanted, false)?.len() == wanted.len();
        self.place(&mut daemon, &derived)?;
        self.place_inputs(&mut daemon, &derived, facts, notify)?;
        let mode = if is_there { Mode::Check } else { Mode::Normal };
        notify(Notice::Building(plan, &reuse::Reason::Forced));
        let places = wanted.map(|path| derived.nix.place(path));
        let work = Work::Build(derived.wanted(), mode);
        match realise(&mut daemon, &derived, work, plan, notify) {
            Ok(_) => Ok(places),
            Err(Error::Realise(realise::Error::Failed {
                cause: Some(Cause::NotDeterministic),
                ..
            })) => Ok(places.map(|place| {
                let new = Utf8PathBuf::from(format!("{place}.check"));
                if new.exists() { new } else { place }
            })),
            Err(error) => Err(error),
        }
    }
}

/// Realises the wanted outputs, with logs below the plan's directory.
fn realise(
    daemon: &mut Daemon,
    derived: &Derived,
    work: Work<'_>,
    plan: &Plan,
    notify: &mut dyn FnMut(Notice<'_>),
) -> Result<Realised, Error> {
    let dirs = &plan.record.dirs;
    fs::create_dir_all(&dirs.state)?;
    fs::remove_file(dirs.manifest())?;
    let mut log = RunLog::create(&dirs.logs(), &environment::now())?;
    log.line(&format!(
        "cargo kernel {} has Nix {} realise {}",
        plan.record.kernelkit,
        daemon.nix_version(),
        derived.nix.store.display(&derived.plan.path)
    ))?;
    let result = realise::realise(daemon, work, &mut log, &dirs.state, &mut |event| {
        notify(Notice::Run(event))
    });
    let text = match &result {
        Ok(_) => "passed".to_owned(),
        Err(error) => format!("failed: {error}"),
    };
    let counts = result.as_ref().map(|one| one.counts).unwrap_or_default();
    let summary = run::summarize(&log, &plan.record, counts, &text, None);
    let realised = result?;
    summary?;
    Ok(realised)
}

/// An error with what is behind it, on one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

//! One module a command: read arguments, call kernelkit, print.

mod batch;
pub(crate) mod boot;
pub(crate) mod build;
pub(crate) mod clean;
pub(crate) mod completions;
pub(crate) mod config;
mod derivation;
pub(crate) mod doctor;
pub(crate) mod identity;
pub(crate) mod init;
pub(crate) mod internal_docs;
pub(crate) mod list;
pub(crate) mod lock;
pub(crate) mod man;
pub(crate) mod matrix;
pub(crate) mod patches;
pub(crate) mod plan;
pub(crate) mod report;
pub(crate) mod store;
pub(crate) mod toolchain;
pub(crate) mod tree;
pub(crate) mod verify;
pub(crate) mod watch;

use camino::{Utf8Path, Utf8PathBuf};
use kernelkit::effect::build::{LockCheck, Notice, Session};
use kernelkit::effect::environment::{Environment, Probing};
use kernelkit::effect::jobserver::Jobserver;
use kernelkit::effect::kconfig::probe::Record;
use kernelkit::effect::open::Opened;
use kernelkit::effect::source::Progress;
use kernelkit::effect::{fs, library, lockfile, workspace};
use kernelkit::fragment::Library;
use kernelkit::lock::Lock;
use kernelkit::plan::Facts;
use kernelkit::report::bytes;
use kernelkit::source::Source;
use kernelkit::spec::{KernelSpec, Spec};
use kernelkit::surroundings::Surroundings;
use kernelkit::tmpfs::{self, Place, Room};
use serde_json::json;

use crate::cli::{Cli, Command, Global, Kernels, Overrides};
use crate::error::Failure;
use crate::ui::Ui;

/// Runs the command and gives the exit code.
pub(crate) fn run(cli: &Cli, ui: &Ui) -> Result<u8, Failure> {
    let global = &cli.global;
    match &cli.command {
        Command::Init(args) => init::run(args, global, ui),
        Command::List(args) => list::run(args, global, ui),
        Command::Matrix(args) => matrix::run(args, global, ui),
        Command::Lock(args) => lock::run(args, global, ui),
        Command::Plan(args) => plan::run(args, global, ui),
        Command::Build(args) => build::run(args, global, ui),
        Command::Watch(args) => watch::run(args, global, ui),
        Command::Report(args) => report::run(args, global, ui),
        Command::Boot(args) => boot::run(args, global, ui),
        Command::Verify(args) => verify::run(args, global, ui),
        Command::Config(args) => config::run(args, global, ui),
        Command::Patches(args) => patches::run(args, global, ui),
        Command::Tree(args) => tree::run(args, global, ui),
        Command::Identity(args) => identity::run(args, global, ui),
        Command::Doctor(args) => doctor::run(args, global, ui),
        Command::Store(args) => store::run(args, ui),
        Command::Toolchain(args) => toolchain::run(args, global, ui),
        Command::Clean(args) => clean::run(args, global, ui),
        Command::Completions(args) => completions::run(args, ui),
        Command::Man(args) => man::run(args, ui),
        Command::InternalDocs => internal_docs::run(ui),
    }
}

/// What `--probes` says.
fn probing(global: &Global, environment: &Environment) -> Result<Probing, Failure> {
    let Some(path) = &global.probes else {
        return Ok(Probing::Run);
    };
    if path == "none" {
        return Ok(Probing::Nothing);
    }
    let path = environment.current_dir.join(path);
    let record = Record::parse(path.as_str(), &fs::read(&path)?);
    record.map(Probing::Recorded).map_err(|error| {
        Failure::message(
            error,
            "write the file with `cargo kernel plan --record-probes FILE`",
        )
    })
}

fn no_lock(spec: &Spec) -> Failure {
    Failure::message(
        format!("{} is not there", spec.root.join(kernelkit::lock::FILE)),
        "`cargo kernel lock` writes it",
    )
}

/// What a command that deals with kernels has at hand.
pub(crate) struct Workspace {
    environment: Environment,
    spec: Spec,
    library: Library,
    offline: bool,
    recorder: Option<Utf8PathBuf>,
    lock: Option<Lock>,
    lock_check: LockCheck,
    surroundings: Surroundings,
    tmpfs: Option<Result<Room, tmpfs::Reason>>,
}

impl Workspace {
    /// Reads the environment, `Cargo.toml` and the fragments.
    pub(crate) fn load(global: &Global, overrides: &Overrides) -> Result<Self, Failure> {
        let mut environment = Environment::read()?;
        environment.probing = probing(global, &environment)?;
        let spec = workspace::load(
            &environment,
            global.manifest_path.as_deref(),
            &overrides.to_spec(),
        )?;
        let directories: Vec<Utf8PathBuf> = spec
            .fragment_dirs
            .iter()
            .map(|directory| directory.value.clone())
            .collect();
        let library = library::load(&directories)?;
        let lock = lockfile::read(&spec.root)?;
        if global.locked && lock.is_none() {
            return Err(no_lock(&spec));
        }
        let jobserver = Jobserver::inherited(&environment);
        let overridden = overrides.to_spec() != kernelkit::spec::Overrides::default();
        Ok(Workspace {
            lock,
            lock_check: match (global.locked, overridden) {
                (true, _) => LockCheck::All,
                (false, true) => LockCheck::Pins,
                (false, false) => LockCheck::Inputs,
            },
            environment,
            spec,
            library,
            offline: global.offline,
            surroundings: Surroundings {
                makeflags: jobserver.map(|jobserver| jobserver.makeflags().to_owned()),
                isolation: None,
            },
            recorder: None,
            tmpfs: None,
        })
    }

    /// The session in which kernels are planned and built.
    pub(crate) fn session(&self) -> Session<'_> {
        Session {
            offline: self.offline,
            recorder: self.recorder.as_deref(),
            lock: self.lock.as_ref(),
            lock_check: self.lock_check,
            surroundings: self.surroundings.clone(),
            tmpfs: self.tmpfs.clone(),
            ..Session::new(&self.environment, &self.spec, &self.library)
        }
    }

    /// A path of the command line.
    pub(crate) fn absolute(&self, path: &Utf8Path) -> Utf8PathBuf {
        self.environment.current_dir.join(path)
    }

    /// Refuses `--probes` for what runs the tree's commands anyway.
    pub(crate) fn runs_the_tree(&self) -> Result<(), Failure> {
        match self.environment.probing {
            Probing::Run => Ok(()),
            _ => Err(Failure::message(
                "`--probes` is for plans: a build runs the tree's own commands",
                "leave it out",
            )),
        }
    }

    /// The kernels that are meant.
    pub(crate) fn select(&self, names: &[String]) -> Result<Vec<&KernelSpec>, Failure> {
        Ok(self.spec.select(names)?)
    }

    /// The one kernel that is meant.
    pub(crate) fn select_one(&self, kernels: &Kernels) -> Result<&KernelSpec, Failure> {
        match self.select(&kernels.names)?.as_slice() {
            [kernel] => Ok(kernel),
            several => {
                let names: Vec<_> = several.iter().map(|kernel| kernel.name.as_str()).collect();
                Err(Failure::message(
                    format!("this needs one kernel, not {}", several.len()),
                    format!("name one of: {}", names.join(", ")),
                ))
            }
        }
    }
}

/// The facts about one kernel; what gathering tells is shown.
pub(crate) fn gather(
    workspace: &Workspace,
    kernel: &KernelSpec,
    ui: &Ui,
) -> Result<Facts, Failure> {
    let name = kernel.name.as_str();
    let facts = workspace
        .session()
        .gather(kernel, &mut |said| notice(ui, name, said));
    ui.clear();
    Ok(facts?)
}

/// The facts about one kernel with its Kconfig files; with `source`, those of that source.
pub(crate) fn open(
    workspace: &Workspace,
    kernel: &KernelSpec,
    source: Option<Source>,
    ui: &Ui,
) -> Result<Opened, Failure> {
    let name = kernel.name.as_str();
    let opened = workspace
        .session()
        .open(kernel, source, &mut |said| notice(ui, name, said));
    ui.clear();
    Ok(opened?)
}

/// A source from the command line, where relative paths are relative to the current directory.
pub(crate) fn parse_source(workspace: &Workspace, text: &str) -> Result<Source, Failure> {
    kernelkit::spec::parse_source(text, &workspace.environment.current_dir)
        .map(|source| workspace.environment.credentials.learn(&source))
        .map_err(|error| Failure::message(&error, error.hint().unwrap_or_default()))
}

/// Shows what gathering and building tell.
pub(crate) fn notice(ui: &Ui, name: &str, notice: Notice<'_>) {
    match notice {
        Notice::Source(progress) => source_progress(ui, progress),
        Notice::Warning(message) => ui.warning(message),
        Notice::Building(plan, reason) => {
            ui.clear();
            ui.status(
                "Building",
                format_args!(
                    "{name} {} for {}: {reason}",
                    plan.record.release, plan.record.arch
                ),
            );
        }
        Notice::Placed(place) => placed(ui, name, place),
        Notice::Run(event) => ui.event(name, event),
    }
}

/// Where a build directory lies that was to be in memory.
fn placed(ui: &Ui, name: &str, place: &Place) {
    let (dir, size, reason) = match place {
        Place::Memory { dir, size } => (Some(dir), Some(size), None),
        Place::Disk(reason) => (None, None, Some(reason)),
    };
    ui.message(
        "build-directory",
        json!({ "kernel": name, "tmpfs": dir, "expected": size, "why": reason }),
    );
    match place {
        Place::Memory { dir, size } => {
            let size = bytes(*size);
            ui.note(format!(
                "{name} is built in memory, in {dir}; {size} are expected"
            ));
        }
        Place::Disk(reason) => ui.note(format!("{name} is not built in memory: {reason}")),
    }
}

fn source_progress(ui: &Ui, progress: Progress<'_>) {
    match progress {
        Progress::Waiting { lock } => ui.note(format!("waiting for {lock}")),
        Progress::Downloading {
            name: _,
            done,
            total,
        } => ui.advance("Downloading", done, total.unwrap_or(0)),
        Progress::Unpacking {
            name: _,
            done,
            total,
        } => ui.advance("Unpacking", done, total),
        Progress::Reading { done, total } => ui.advance("Reading", done as u64, total as u64),
        Progress::Patching {
            patch: _,
            done,
            total,
        } => ui.advance("Patching", done as u64, total as u64),
        Progress::Note(text) => ui.note(text),
    }
}

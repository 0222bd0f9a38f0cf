//! The decision: what will be built, under which name, by which calls.
//!
//! [`plan`] is pure: it sees what the user asked for, the fragments at hand and the facts
//! that were gathered, and reads nothing itself. Equal inputs give equal plans.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use schemars::JsonSchema;
use serde::Serialize;

use crate::backend;
use crate::config::DotConfig;
use crate::hazard::{self, Hazard};
use crate::identity::{Digest, Identity};
use crate::make::{self, Kbuild};
use crate::manifest::{
    Backend, ConfigRecord, Dirs, Output, OutputKind, Predicted, Record, Resolver, SCHEMA,
    SourceRecord, ToolchainRecord,
};
use crate::process::Call;
use crate::release::{DIRTY, InvalidLabel, Label, Pattern, Release, ReleaseTooLong, Words};
use crate::request::{self, ConfigRequest};
use crate::source::{LabelHint, Sha256, Source, Tree};
use crate::sourced::{Origin, Sourced};
use crate::spec::{
    BackendChoice, DirtyRelease, Jobs, KernelSpec, NamedCompiler, Timestamp, ToolchainRule,
};
use crate::tmpfs::Place;
use crate::toolchain::{Role, Toolchain};
use crate::trust::{self, Trust};

/// The announcement of Linux in comp.os.minix, the timestamp of every build that asks for none.
pub const FIXED_TIMESTAMP: &str = "Sun Aug 25 20:57:08 UTC 1991";

/// `KBUILD_BUILD_USER` and `KBUILD_BUILD_HOST` of a reproducible build.
const BUILDER: &str = "kernelkit";

/// `KBUILD_BUILD_VERSION` of a reproducible build.
const BUILD_VERSION: &str = "1";

/// What was found on the machine for one kernel.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The prepared source tree.
    pub tree: Tree,
    /// What its compiler is called.
    pub compiler: NamedCompiler,
    /// The rule that chose the compiler.
    pub rule: Option<Sourced<ToolchainRule>>,
    /// The compiler and its tools.
    pub toolchain: Toolchain,
    /// The configuration that answers [`Facts::request`].
    pub config: DotConfig,
    /// The tree's file with [pahole's options](crate::pahole::FILES), where the configuration asks for BTF.
    pub pahole: Option<String>,
    /// Who resolved it.
    pub resolver: Resolver,
    /// What the configuration was asked to be.
    pub request: ConfigRequest,
    /// The certificates that the kernel is to trust.
    pub trust: Trust,
    /// The environment every tool gets.
    pub environment: BTreeMap<String, String>,
    /// Cores this process may use.
    pub cores: usize,
    /// Where ccache is, and its directory; absent where it is not installed.
    pub ccache: Option<Ccache>,
    /// Cargo's target directory.
    pub target_dir: Utf8PathBuf,
    /// Where the build directory lies, where it is to be in memory.
    pub place: Option<Place>,
}

/// The compiler cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ccache {
    /// `CCACHE_DIR`.
    pub dir: Utf8PathBuf,
    /// `CCACHE_CONFIGPATH`, written before the build.
    pub config: Utf8PathBuf,
}

/// What will be done.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Plan {
    /// What the manifest will say, as far as it is known before the build.
    #[serde(flatten)]
    pub record: Record,
    /// Why it is built by this backend.
    pub backend_reason: backend::Reason,
    /// The rule that chose its compiler; absent where the kernel names it itself, and where there
    /// are no rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub toolchain_rule: Option<ChosenBy>,
    /// In order.
    pub steps: Vec<Step>,
    /// Whether a finished build of this identity may be taken instead.
    pub reuse: bool,
    /// Whether finished builds are taken from the store, and this one is put there.
    pub stored: bool,
    /// What the identity does not cover, where the build is to be reproducible.
    pub hazards: Vec<Hazard>,
    /// The configuration, complete.
    #[serde(skip)]
    pub dot_config: String,
    /// The merged fragments, as they were asked for.
    #[serde(skip)]
    pub requests: String,
    /// The certificates that the kernel is to trust, as the build reads them; empty where there are none.
    #[serde(skip)]
    pub trusted: String,
    /// The compiler cache's configuration, where one is used.
    #[serde(skip)]
    pub ccache: Option<(Ccache, String)>,
    /// Names all that `conf`'s answer hangs on: the `.config` but for its `CONFIG_LOCALVERSION`, the tree's
    /// files, the tools, the call.
    #[serde(skip)]
    pub config_inputs: Sha256,
    /// Names what the objects hang on beside the configuration: a neighbour may have the same. `None` where none
    /// are to be borrowed.
    #[serde(skip)]
    pub objects: Option<Sha256>,
    /// Whether the source can change under the build and must be looked at again after it.
    #[serde(skip)]
    pub volatile: bool,
}

/// The rule that chose a compiler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ChosenBy {
    /// Where it stands: `Cargo.toml:12:5`.
    pub origin: String,
    /// What it says: `>=4.2, <4.19, arm64: gcc-7`.
    pub rule: String,
    /// The compiler's name.
    pub compiler: String,
}

impl ChosenBy {
    fn new(rule: &Sourced<ToolchainRule>) -> Self {
        ChosenBy {
            origin: rule.origin.to_string(),
            rule: rule.value.to_string(),
            compiler: rule.compiler.name.clone(),
        }
    }
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "step")]
pub enum Step {
    /// Writes the predicted `.config` and has the kernel's own `conf` confirm it: after
    /// the call the file must be unchanged. Not called where `conf` has confirmed the file here
    /// before, or one that differs in nothing but `CONFIG_LOCALVERSION`.
    Configure {
        /// The file.
        #[schemars(with = "String")]
        path: Utf8PathBuf,
        /// Its SHA-256.
        #[schemars(with = "String")]
        sha256: Sha256,
        /// `make olddefconfig`.
        confirm: Call,
    },
    /// Puts the certificates that the kernel is to trust where the build reads them.
    Certificates {
        /// The file.
        #[schemars(with = "String")]
        path: Utf8PathBuf,
        /// Its SHA-256.
        #[schemars(with = "String")]
        sha256: Sha256,
    },
    /// Compiles.
    Compile {
        /// `make`.
        call: Call,
    },
    /// Installs one file of the build.
    InstallFile {
        /// Absolute.
        #[schemars(with = "String")]
        from: Utf8PathBuf,
        /// Below the destination directory.
        #[schemars(with = "String")]
        to: Utf8PathBuf,
    },
    /// Installs the modules.
    InstallModules {
        /// `make modules_install`.
        call: Call,
        /// `lib/modules/<release>`.
        #[schemars(with = "String")]
        directory: Utf8PathBuf,
        /// Keep the `source` link to the source tree; `build` is always dropped.
        source_symlink: bool,
    },
    /// Has Nix build a derivation, or take its outputs from where they are.
    Realise {
        /// The `.drv`, with its directory.
        derivation: String,
        /// Where each output will be, with its directory.
        outputs: BTreeMap<String, String>,
    },
    /// Writes files for editors and debuggers. A failure is a warning.
    Devtools {
        /// The call.
        call: Call,
        /// What it leaves in the build directory.
        #[schemars(with = "String")]
        path: Utf8PathBuf,
    },
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Requested symbols are not in the configuration.
    #[error("{} requested symbol{} not in the configuration of `{kernel}`", unmet.len(), if unmet.len() == 1 { " is" } else { "s are" })]
    Unmet {
        /// The kernel.
        kernel: String,
        /// What was asked for and what came out.
        unmet: Vec<crate::merge::Unmet>,
    },
    /// The release is too long.
    #[error(transparent)]
    Release(#[from] ReleaseTooLong),
    /// The label is unusable.
    #[error(transparent)]
    Label(#[from] InvalidLabel),
    /// Only directories are edited.
    #[error("`{kernel}` has `edit`, which {origin} sets, but its source is not a directory")]
    NotEdited {
        /// The kernel.
        kernel: String,
        /// Who sets it.
        origin: String,
    },
    /// The build would make a key.
    #[error(
        "`{kernel}` is to be reproducible, but its build would make a key of its own: CONFIG_MODULE_SIG_KEY=\"{}\"",
        hazard::SIGNING_KEY
    )]
    OwnKey {
        /// The kernel.
        kernel: String,
    },
    /// Nobody says which certificates.
    #[error(
        "`{kernel}` is to trust the certificates of CONFIG_SYSTEM_TRUSTED_KEYS=\"{}\", but has no `sign.trust`",
        trust::FILE
    )]
    NoTrust {
        /// The kernel.
        kernel: String,
    },
    /// Something else than the library's fragment decides where certificates come from.
    #[error(
        "`{kernel}` is to trust the certificates of `sign.trust`, but CONFIG_SYSTEM_TRUSTED_KEYS is \"{found}\""
    )]
    OtherTrust {
        /// The kernel.
        kernel: String,
        /// Its value.
        found: String,
    },
    /// A path that make would split.
    #[error(
        "Kbuild cannot work with the {role} directory `{path}`: its path has white space, a colon or a character that is special to make"
    )]
    Path {
        /// `source` or `build`.
        role: &'static str,
        /// The path.
        path: Utf8PathBuf,
    },
    /// No commit to take a date from.
    #[error(
        "`{kernel}` takes its timestamp from the source's commit, but {source_description} has none"
    )]
    NoCommit {
        /// The kernel.
        kernel: String,
        /// The source in words.
        source_description: String,
    },
    /// A timestamp out of range.
    #[error("timestamp {0} is not a time")]
    Timestamp(i64),
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Unmet { .. } => Some(
                "a symbol vanishes when it does not exist in this version or architecture, or when something it depends on is off: set that too, or drop the request".to_owned(),
            ),
            Error::Release(error) => Some(error.hint()),
            Error::Label(_) => Some("choose another `label`".to_owned()),
            Error::NotEdited { .. } => Some(
                "remove it; git work trees with uncommitted edits need no name".to_owned(),
            ),
            Error::OwnKey { .. } => Some(format!(
                "{}; `reproducible = false` lets the build make its key",
                hazard::TRUST
            )),
            Error::NoTrust { .. } => Some(format!(
                "name them in `sign.trust`; the fragment `{}` comes with it",
                trust::FRAGMENT
            )),
            Error::OtherTrust { .. } => Some(format!(
                "leave CONFIG_SYSTEM_TRUSTED_KEYS to the fragment `{}`",
                trust::FRAGMENT
            )),
            Error::Path { role: "build", .. } => Some("set CARGO_TARGET_DIR to a directory without such characters in its path".to_owned()),
            Error::Path { .. } => Some("move the tree; a symbolic link does not help, because Kbuild goes by the real path".to_owned()),
            Error::NoCommit { .. } => Some("use a git source, or `timestamp = \"fixed\"`".to_owned()),
            Error::Timestamp(_) => None,
        }
    }
}

/// Decides how `spec` is built.
///
/// The fragments have been merged before: [`Facts::request`] is what
/// [`request`](request::request) made of `spec` and the library, and the configuration in
/// the facts answers it.
pub fn plan(spec: &KernelSpec, facts: &Facts) -> Result<Plan, Error> {
    let mut dirs = Dirs::new(
        &facts.tree.dir,
        &facts.target_dir.join("kernel").join(spec.name.as_str()),
    );
    let in_memory = match &facts.place {
        Some(Place::Memory { dir, .. }) => {
            dirs.build = dir.join("build");
            true
        }
        Some(Place::Disk(_)) | None => false,
    };
    check_dirs(&dirs)?;
    let unmet = crate::merge::verify(&facts.request.merged, &facts.config);
    let unmet: Vec<_> = unmet.into_iter().filter(|unmet| !unmet.optional).collect();
    if !unmet.is_empty() {
        return Err(Error::Unmet {
            kernel: spec.name.to_string(),
            unmet,
        });
    }

    check_keys(spec, facts)?;
    let predicted = predicted(spec, &facts.tree)?;
    let row = spec.arch.row();
    let label = label(spec, &facts.tree)?;
    let version = facts.tree.version.to_string();
    let Named {
        identity,
        release,
        base,
    } = name(spec, facts, label.as_ref(), predicted.as_ref())?;
    let digest = identity.digest();
    let config = facts.config.with_localversion(&release.localversion);
    let modules = config.is_enabled("MODULES");

    let wants = |goals: &[&str]| {
        spec.targets.is_empty()
            || spec
                .targets
                .iter()
                .any(|target| goals.contains(&target.as_str()))
    };
    let installs_image = spec.install.value && wants(&["all", row.image_target]);
    let installs_modules = modules && spec.modules_install.value && wants(&["all", "modules"]);

    let ccache = facts.ccache.as_ref().filter(|_| spec.ccache.value);
    let kbuild = kbuild(spec, facts, &dirs, predicted.as_ref(), ccache);
    let confirm = kbuild.call(&["olddefconfig"]);
    let inputs = facts.tree.config_inputs;
    let config_inputs = Sha256::of(
        format!(
            "{}\n{}\n{}\n{confirm}",
            inputs.map_or_else(|| identity.source.to_string(), |inputs| inputs.to_string()),
            identity.config,
            identity.toolchain,
        )
        .as_bytes(),
    );
    let compile = kbuild.call(&spec.targets.value);
    // Nobody has looked into what Rust's objects hold of the directory they were made in.
    let borrows = spec.borrow_objects.value && !config.is_enabled("RUST");
    let objects = borrows.then(|| objects(&identity, &dirs, &compile));
    let mut steps = vec![Step::Configure {
        path: dirs.build.join(".config"),
        sha256: Sha256::of(config.text().as_bytes()),
        confirm,
    }];
    let trusted = facts.trust.pem();
    if !facts.trust.is_empty() {
        steps.push(Step::Certificates {
            path: dirs.build.join(trust::FILE),
            sha256: Sha256::of(trusted.as_bytes()),
        });
    }
    steps.push(Step::Compile { call: compile });
    let mut outputs = Vec::new();
    let mut output = |kind, path: Utf8PathBuf| {
        outputs.push(Output {
            kind,
            path,
            size: None,
            sha256: None,
        })
    };
    if installs_image {
        let files = [
            (
                OutputKind::Image,
                dirs.build.join(row.image_path),
                format!("{}-{}", row.install_name, release.text),
            ),
            (
                OutputKind::SystemMap,
                dirs.build.join("System.map"),
                format!("System.map-{}", release.text),
            ),
            (
                OutputKind::Config,
                dirs.build.join(".config"),
                format!("config-{}", release.text),
            ),
        ];
        for (kind, from, name) in files {
            let to = Utf8Path::new("boot").join(name);
            steps.push(Step::InstallFile {
                from,
                to: to.clone(),
            });
            output(kind, to);
        }
    }
    if installs_modules {
        let directory = Utf8Path::new("lib/modules").join(&release.text);
        steps.push(Step::InstallModules {
            call: kbuild
                .call(&["modules_install"])
                .arg(format!("INSTALL_MOD_PATH={}", staging(&dirs))),
            directory: directory.clone(),
            source_symlink: spec.source_symlink.value,
        });
        output(OutputKind::Modules, directory);
    }
    let devtools = [
        (
            spec.compile_commands.value,
            "compile_commands.json",
            "compile_commands.json",
        ),
        (
            spec.gdb_scripts.value && config.is_enabled("GDB_SCRIPTS"),
            "scripts_gdb",
            "vmlinux-gdb.py",
        ),
        (
            spec.rust_analyzer.value && config.is_enabled("RUST"),
            "rust-analyzer",
            "rust-project.json",
        ),
    ];
    for (wanted, goal, file) in devtools {
        // What is gone after the build is of no use to an editor.
        if wanted && !in_memory {
            steps.push(Step::Devtools {
                call: kbuild.call(&[goal]),
                path: dirs.build.join(file),
            });
        }
    }

    let record = Record {
        schema: SCHEMA,
        kernelkit: env!("CARGO_PKG_VERSION").to_owned(),
        name: spec.name.clone(),
        arch: spec.arch.value,
        version,
        release: release.text,
        label,
        digest,
        base,
        identity,
        backend: Backend::Host,
        source: SourceRecord {
            description: facts.tree.description.clone(),
            commit: facts.tree.commit.as_ref().map(|commit| commit.id.clone()),
            dirty: facts.tree.dirty,
            patches: spec.patches.iter().map(ToString::to_string).collect(),
        },
        toolchain: ToolchainRecord {
            compiler: facts.toolchain.compiler,
            cc: match &facts.compiler.path {
                Some(path) => path.join(program(&facts.toolchain, Role::Cc)).into_string(),
                None => program(&facts.toolchain, Role::Cc).to_owned(),
            },
            version: facts.toolchain.cc_version_text.clone(),
            variables: facts
                .toolchain
                .make_variables()
                .into_iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
        },
        config: ConfigRecord {
            base: request::describe(&spec.base.value),
            resolver: facts.resolver,
            fragments: facts.request.fragments.clone(),
            requests: facts.request.merged.requests().len(),
            modules,
            sha256: Sha256::of(config.text().as_bytes()),
        },
        predicted,
        dirs,
        outputs,
    };
    let ccache = ccache.map(|ccache| (ccache.clone(), ccache_config(spec)));
    // Of other goals nothing is kept, so only make knows whether they are done.
    let kept = ["all", "modules", row.image_target];
    let only_kept = spec
        .targets
        .iter()
        .all(|goal| kept.contains(&goal.as_str()));
    let hazards = if spec.reproducible.value {
        hazard::hazards(
            &config,
            !facts.trust.is_empty(),
            &spec.make_flags,
            facts.pahole.as_deref(),
        )
    } else {
        Vec::new()
    };
    let reuse = spec.reuse.value && spec.reproducible.value && only_kept && hazards.is_empty();
    let stored = reuse && record.base.is_none();
    Ok(Plan {
        record,
        backend_reason: backend::Reason::NotLocked,
        toolchain_rule: facts.rule.as_ref().map(ChosenBy::new),
        steps,
        reuse,
        stored,
        hazards,
        dot_config: config.text().to_owned(),
        requests: facts.request.merged.to_config_text(),
        trusted,
        ccache,
        config_inputs,
        objects,
        volatile: !facts.tree.pinned,
    })
}

/// What a kernel is called, and by what.
struct Named {
    identity: Identity,
    release: Release,
    /// Where the tree is being edited: the digest that the release has.
    base: Option<Digest>,
}

/// The identity and the release, each of which has a part of the other.
fn name(
    spec: &KernelSpec,
    facts: &Facts,
    label: Option<&Label>,
    predicted: Option<&Predicted>,
) -> Result<Named, Error> {
    let tree = &facts.tree;
    let version = tree.version.to_string();
    let series = tree.version.series().to_string();
    let words = Words {
        version: &version,
        in_tree: &tree.localversion,
        existing: facts.config.text_of("LOCALVERSION").unwrap_or_default(),
        series: &series,
        flavour: spec.flavour.as_ref().map(|flavour| flavour.value.as_str()),
        arch: spec.arch.name(),
        dist: spec.dist.as_ref().map(|dist| dist.value.as_str()),
        build: spec.build.as_ref().map(|build| build.value.as_str()),
        label,
    };
    let identity = |release: &Pattern| {
        Identity::new(
            release,
            facts.trust.hashes(),
            tree.id,
            &facts.config,
            facts.toolchain.id(&facts.config),
            identity_flags(spec, spec.arch.row().kernel_arch, predicted),
        )
    };
    let base = edited(spec, tree)?;
    let room = base.as_ref().map_or(0, |_| DIRTY.len());
    let clean = spec.release.pattern(&words, room)?;
    let named = identity(&clean);
    Ok(match base {
        None => Named {
            release: clean.with(&named.digest()),
            identity: named,
            base: None,
        },
        Some(base) => {
            let base = named.digest_with(&base);
            let pattern = clean.dirty(&base);
            let named = identity(&pattern);
            Named {
                release: pattern.with(&named.digest()),
                identity: named,
                base: Some(base),
            }
        }
    })
}

/// What stands for the source of a tree that is being edited, in the digest that its release has: the name that
/// the directory was given, or the tree of the commit that was edited, and the patches on top. `None` where the
/// release is that of the files.
fn edited(spec: &KernelSpec, tree: &Tree) -> Result<Option<String>, Error> {
    let is_flag = matches!(spec.source.origin, Origin::CommandLine { .. });
    let named = match (&spec.edit, &tree.resolved) {
        (None, _) => None,
        (Some(name), Source::Directory { .. }) => Some(name),
        (Some(_), _) if is_flag => None,
        (Some(name), _) => {
            return Err(Error::NotEdited {
                kernel: spec.name.to_string(),
                origin: name.origin.to_string(),
            });
        }
    };
    // A derivation is named by its inputs alone.
    if spec.backend.value == BackendChoice::Only(Backend::Nix) {
        return Ok(None);
    }
    let commit = tree.head.filter(|_| tree.dirty);
    let commit = commit.filter(|_| spec.dirty_release.value == DirtyRelease::Stable);
    let mut base = match (named, commit) {
        (Some(name), _) => name.value.clone(),
        (None, Some(commit)) => commit.to_string(),
        (None, None) => return Ok(None),
    };
    for patch in &tree.patches {
        base.push_str(&format!(" {} {} {}", patch.sha256, patch.strip, patch.fuzz));
    }
    Ok(Some(base))
}

/// Refuses keys that are made in the build, and certificates that are not those that were asked for.
fn check_keys(spec: &KernelSpec, facts: &Facts) -> Result<(), Error> {
    let kernel = || spec.name.to_string();
    let is = |symbol: &str, value: &str| facts.config.text_of(symbol) == Some(value);
    if spec.reproducible.value && is("MODULE_SIG_KEY", hazard::SIGNING_KEY) {
        return Err(Error::OwnKey { kernel: kernel() });
    }
    if facts.trust.is_empty() && is("SYSTEM_TRUSTED_KEYS", trust::FILE) {
        return Err(Error::NoTrust { kernel: kernel() });
    }
    if !facts.trust.is_empty() && !is("SYSTEM_TRUSTED_KEYS", trust::FILE) {
        let found = facts.config.text_of("SYSTEM_TRUSTED_KEYS");
        return Err(Error::OtherTrust {
            kernel: kernel(),
            found: found.unwrap_or_default().to_owned(),
        });
    }
    Ok(())
}

/// Names what the objects of a build hang on, but for the configuration and where they lie.
fn objects(identity: &Identity, dirs: &Dirs, compile: &Call) -> Sha256 {
    let mut call = compile.clone();
    // As many jobs as there are make the same objects.
    call.args.retain(|argument| !argument.starts_with("-j"));
    let call = call.to_string().replace(dirs.state.as_str(), "@");
    let source = identity.source;
    Sha256::of(format!("{source} {}\n{}\n{call}", dirs.source, identity.toolchain).as_bytes())
}

/// Refuses directories that make would split; nothing is to run in them.
pub fn check_dirs(dirs: &Dirs) -> Result<(), Error> {
    for (role, path) in [("source", &dirs.source), ("build", &dirs.build)] {
        if make::unusable(path) {
            return Err(Error::Path {
                role,
                path: path.clone(),
            });
        }
    }
    Ok(())
}

/// Where modules are installed before they take the place of the old ones.
pub fn staging(dirs: &Dirs) -> Utf8PathBuf {
    dirs.state.join("destdir.new")
}

fn kbuild(
    spec: &KernelSpec,
    facts: &Facts,
    dirs: &Dirs,
    predicted: Option<&Predicted>,
    ccache: Option<&Ccache>,
) -> Kbuild {
    let mut kbuild = Kbuild {
        source: dirs.source.clone(),
        build: dirs.build.clone(),
        variables: Vec::new(),
        environment: facts.environment.clone(),
        jobs: match spec.jobs.value {
            Jobs::Auto => facts.cores,
            Jobs::AutoPlusOne => facts.cores + 1,
            Jobs::Exactly(jobs) => jobs as usize,
        },
    };
    let mut variables = toolchain_variables(&facts.toolchain, ccache.is_some());
    variables.extend(own_variables(spec, predicted));
    if let Some(ccache) = ccache {
        kbuild
            .environment
            .insert("CCACHE_DIR".to_owned(), ccache.dir.to_string());
        kbuild
            .environment
            .insert("CCACHE_CONFIGPATH".to_owned(), ccache.config.to_string());
    }
    let maps = if spec.reproducible.value {
        kbuild.prefix_maps()
    } else {
        String::new()
    };
    for flags in ["KCFLAGS", "KAFLAGS"] {
        let value = [maps.as_str(), &own_flags(spec, flags)]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(" ");
        if !value.is_empty() {
            variables.push(format!("{flags}={value}"));
        }
    }
    kbuild.variables = variables;
    kbuild
}

/// The make variables of a build besides those that choose the toolchain, without `KCFLAGS` and
/// `KAFLAGS`: what they hold depends on where the build lies.
pub(crate) fn own_variables(spec: &KernelSpec, predicted: Option<&Predicted>) -> Vec<String> {
    let mut variables: Vec<_> = predicted
        .into_iter()
        .flat_map(reproducible_variables)
        .collect();
    // An empty LOCALVERSION on the command line keeps setlocalversion from adding `+`.
    variables.push("LOCALVERSION=".to_owned());
    let merged = |flag: &&String| !flag.starts_with("KCFLAGS=") && !flag.starts_with("KAFLAGS=");
    variables.extend(spec.make_flags.iter().filter(merged).cloned());
    variables
}

/// What the user adds to `KCFLAGS` or `KAFLAGS`.
pub(crate) fn own_flags(spec: &KernelSpec, name: &str) -> String {
    spec.make_flags
        .iter()
        .filter_map(|flag| flag.strip_prefix(name)?.strip_prefix('='))
        .collect::<Vec<_>>()
        .join(" ")
}

/// The make variables that choose the toolchain; with ccache, compilers are called through it.
pub fn toolchain_variables(toolchain: &Toolchain, ccache: bool) -> Vec<String> {
    let mut variables: Vec<_> = toolchain
        .make_variables()
        .into_iter()
        .filter(|(name, _)| !(ccache && name == "CC"))
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    if ccache {
        variables.push(format!("CC=ccache {}", program(toolchain, Role::Cc)));
        variables.push(format!(
            "HOSTCC=ccache {}",
            program(toolchain, Role::Hostcc)
        ));
    }
    variables
}

fn program(toolchain: &Toolchain, role: Role) -> &str {
    toolchain
        .tool(role)
        .map_or("cc", |tool| tool.program.as_str())
}

fn reproducible_variables(predicted: &Predicted) -> [String; 4] {
    [
        format!("KBUILD_BUILD_TIMESTAMP={}", predicted.timestamp),
        format!("KBUILD_BUILD_USER={}", predicted.compile_by),
        format!("KBUILD_BUILD_HOST={}", predicted.compile_host),
        format!("KBUILD_BUILD_VERSION={}", predicted.build_version),
    ]
}

fn predicted(spec: &KernelSpec, tree: &Tree) -> Result<Option<Predicted>, Error> {
    if !spec.reproducible.value {
        return Ok(None);
    }
    let timestamp = match spec.timestamp.value {
        Timestamp::Fixed => FIXED_TIMESTAMP.to_owned(),
        Timestamp::At(seconds) => date(seconds)?,
        Timestamp::Commit => match &tree.commit {
            Some(commit) => date(commit.author_date)?,
            None => {
                return Err(Error::NoCommit {
                    kernel: spec.name.to_string(),
                    source_description: tree.description.clone(),
                });
            }
        },
    };
    Ok(Some(Predicted {
        timestamp,
        build_version: BUILD_VERSION.to_owned(),
        compile_by: BUILDER.to_owned(),
        compile_host: BUILDER.to_owned(),
    }))
}

/// The form that `date` gives a time in the C locale and UTC, which `uname -v` shows.
fn date(seconds: i64) -> Result<String, Error> {
    let time = jiff::Timestamp::from_second(seconds).map_err(|_| Error::Timestamp(seconds))?;
    Ok(time.strftime("%a %b %e %H:%M:%S UTC %Y").to_string())
}

fn identity_flags(
    spec: &KernelSpec,
    kernel_arch: &str,
    predicted: Option<&Predicted>,
) -> Vec<String> {
    let mut flags = vec![format!("ARCH={kernel_arch}")];
    match predicted {
        Some(predicted) => flags.extend(reproducible_variables(predicted)),
        None => flags.push("reproducible=false".to_owned()),
    }
    // How much make prints reaches no byte.
    flags.extend(
        spec.make_flags
            .iter()
            .filter(|flag| !flag.starts_with("V="))
            .cloned(),
    );
    flags
}

/// The user's own label, else what the tree is called.
fn label(spec: &KernelSpec, tree: &Tree) -> Result<Option<Label>, Error> {
    match &spec.label {
        Some(label) => Ok(Some(label.value.parse()?)),
        None => Ok(derived_label(tree)),
    }
}

/// The label of a kernel that has none of its own.
pub(crate) fn derived_label(tree: &Tree) -> Option<Label> {
    match &tree.label {
        LabelHint::Vanilla => Label::slug("vanilla"),
        LabelHint::Reference { name } => Label::slug(name),
        LabelHint::Series {
            subject,
            revision: 0 | 1,
        } => Label::slug(subject),
        LabelHint::Series { subject, revision } => Label::slug(&format!("{subject}-v{revision}")),
        LabelHint::Directory => tree.dir.file_name().and_then(Label::slug),
    }
}

fn ccache_config(spec: &KernelSpec) -> String {
    format!(
        "# Written by cargo kernel before each build.\nmax_size = {}\n# The compiler is named by its content, so that an upgrade is noticed whatever its time stamp.\ncompiler_check = content\n",
        spec.ccache_max_size.value
    )
}

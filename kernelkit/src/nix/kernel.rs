//! A kernel of `kernel.lock` as a derivation: the mirror of `nix/kernel.nix`.
//!
//! The lock says everything a derivation needs, so the evaluator and this module come to
//! the same `.drv`, byte for byte: nothing is read here but what the lock holds, and the
//! scripts of `nix/` are compiled in. What of it lies in a store already is not asked;
//! [`Plan::texts`] and [`Plan::files`] are what a store must have before it builds.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::debian_root;
use super::derivation::{self, Derivation, Inputs, Known, Recipe};
use super::store_path::{self, ContentAddress, StoreDir, StorePath};
use crate::lock::{Kernel, LockedPatch, LockedSource, SourceKind};
use crate::source::Sha256;

/// Why no derivation follows from a lock.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The config file was changed after it was locked.
    #[error("{path} is not the file that kernel.lock names")]
    Config {
        /// Of the file, relative to the lock.
        path: Utf8PathBuf,
    },
    /// Only files can be fetched by hash; a git repository cannot.
    #[error("the source {name} has no sha256")]
    Source {
        /// Of the store object.
        name: String,
    },
    /// The certificates were changed after they were locked.
    #[error("{path} is not the file that kernel.lock names")]
    Trust {
        /// Of the file, relative to the lock.
        path: Utf8PathBuf,
    },
    /// A patch that no store file can be named after.
    #[error("the patch {path} has no file name")]
    Patch {
        /// Of the patch, relative to the lock.
        path: Utf8PathBuf,
    },
    /// No shell and tools are known that unpack a Debian root there.
    #[error(
        "no shell and tools are known for {system}, which the derivation of the toolchain `{toolchain}` needs"
    )]
    System {
        /// Key of the toolchain.
        toolchain: String,
        /// In Nix' words.
        system: String,
        /// The systems of `nix/bootstrap.toml`.
        supported: Vec<String>,
    },
    /// What the evaluator said of a toolchain cannot be read.
    #[error("the description of the toolchain cannot be read: {reason}")]
    Description {
        /// Why.
        reason: String,
    },
    /// A derivation cannot be made.
    #[error(transparent)]
    Derivation(#[from] derivation::Error),
}

impl From<store_path::Error> for Error {
    fn from(error: store_path::Error) -> Self {
        Error::Derivation(error.into())
    }
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Config { .. } | Error::Trust { .. } => {
                Some("run `cargo kernel lock`".to_owned())
            }
            Error::Derivation(error) => error.hint(),
            Error::Description { .. } => {
                Some("the flake and cargo-kernel must be of one version".to_owned())
            }
            Error::Source { .. } => Some(
                "Nix fetches by hash: use a tarball or a Debian package, or `--backend host`"
                    .to_owned(),
            ),
            Error::System { supported, .. } => {
                Some(format!("supported are {}", supported.join(" and ")))
            }
            Error::Patch { .. } => None,
        }
    }
}

/// A pinned set of Debian packages: `kernel.lock.d/<id>.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// Of the machine that runs it, in Nix' words: `x86_64-linux`.
    pub system: String,
    /// Such as `bookworm`.
    pub suite: String,
    /// Of the store object.
    pub name: String,
    /// Of the archive of the unpacked tree.
    pub sha256: Sha256,
    /// Sorted by name.
    pub package: Vec<Package>,
}

/// A Debian package of a [`Pin`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Of the package.
    pub name: String,
    /// As Debian writes it.
    pub version: String,
    /// Path on Debian's mirrors, which drop old versions: `pool/main/b/bash/bash_5.2.15-2_amd64.deb`. Nix
    /// does not read it; pins of earlier versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Permanent address.
    pub url: String,
    /// Of the `.deb`.
    pub sha256: Sha256,
}

/// The builder.
const BUILD_KERNEL: Script = Script {
    name: "build-kernel.sh",
    text: include_str!("../../nix/build-kernel.sh"),
};
/// Makes a Debian root the root directory.
const ENTER_ROOT: Script = Script {
    name: "enter-root.sh",
    text: include_str!("../../nix/enter-root.sh"),
};
/// Makes a Debian root.
const UNPACK_DEBS: Script = Script {
    name: "unpack-debs.sh",
    text: include_str!("../../nix/unpack-debs.sh"),
};

/// The store file of the certificates that a kernel is to trust.
const TRUSTED: &str = "trusted-certificates.pem";

/// A script of `nix/`; its bytes are part of every derivation.
struct Script {
    name: &'static str,
    text: &'static str,
}

/// The script that builds a kernel in the sandbox, and lays its outputs out.
pub fn build_script() -> &'static str {
    BUILD_KERNEL.text
}

impl Script {
    fn text(&self, store: &StoreDir) -> Result<Text, store_path::Error> {
        Text::file(store, self.name, self.text)
    }
}

/// A store object that is text: a derivation, a script, a config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// Name of the store object.
    pub name: String,
    /// Its bytes.
    pub contents: Vec<u8>,
    /// What it refers to.
    pub references: BTreeSet<StorePath>,
    /// Where it lies.
    pub path: StorePath,
}

impl Text {
    /// What `builtins.toFile` makes.
    pub fn file(store: &StoreDir, name: &str, contents: &str) -> Result<Self, store_path::Error> {
        Ok(Text {
            name: name.to_owned(),
            path: store.text_path(name, contents.as_bytes(), [])?,
            contents: contents.into(),
            references: BTreeSet::new(),
        })
    }

    /// A `.drv` file.
    pub fn derivation(derivation: &Derivation) -> Result<Self, derivation::Error> {
        let path = derivation.path()?;
        Ok(Text {
            name: path.name().to_owned(),
            contents: derivation.to_bytes(),
            references: derivation.references(),
            path,
        })
    }
}

/// What a toolchain contributes to a kernel's derivation.
#[derive(Clone, Debug)]
pub struct Toolchain {
    /// Where it runs.
    pub system: String,
    /// What starts the build script.
    pub builder: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// More of the environment.
    pub environment: BTreeMap<String, String>,
    /// What the strings above refer to.
    pub inputs: Inputs,
    /// Store objects that it needs, each after what it refers to.
    pub texts: Vec<Text>,
    known: Known,
}

/// A string list as Nix puts it into the environment.
fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().collect::<Vec<_>>().join(" ")
}

/// The mirror of `nix/fetch.nix`, for a file that is hashed as it is.
fn fetch(store: &StoreDir, name: &str, url: &str, sha256: Sha256) -> Result<Derivation, Error> {
    let hash = sha256.to_string();
    fetch_to(store, name, url, &ContentAddress::flat(sha256), hash)
}

/// The mirror of `nix/fetch.nix`, where a recursive hash stands for an executable. `hash` is the text of the hash
/// as the evaluator reads it.
fn fetch_to(
    store: &StoreDir,
    name: &str,
    url: &str,
    address: &ContentAddress,
    hash: String,
) -> Result<Derivation, Error> {
    let mut recipe = Recipe::new(name, "builtin", "builtin:fetchurl");
    recipe.fixed = Some(address.clone());
    let (mode, executable) = match address.is_recursive() {
        true => ("recursive", "1"),
        false => ("flat", ""),
    };
    let proxies = [
        "http_proxy",
        "https_proxy",
        "ftp_proxy",
        "all_proxy",
        "no_proxy",
    ];
    let env = [
        ("url", url.to_owned()),
        ("urls", url.to_owned()),
        ("outputHashMode", mode.to_owned()),
        ("outputHashAlgo", "sha256".to_owned()),
        ("outputHash", hash),
        ("unpack", String::new()),
        ("executable", executable.to_owned()),
        ("preferLocalBuild", "1".to_owned()),
        ("impureEnvVars", list(proxies)),
    ];
    set(&mut recipe, env);
    Ok(recipe.derive(store, |_| None)?)
}

/// The shell and the tools that unpack a Debian root for `system`: the mirror of their `fetch` in
/// `nix/debian-root.nix`.
fn bootstrap(store: &StoreDir, id: &str, system: &str) -> Result<[Derivation; 2], Error> {
    let systems = debian_root::bootstrap();
    let files = systems.get(system).ok_or_else(|| Error::System {
        toolchain: id.to_owned(),
        system: system.to_owned(),
        supported: systems.keys().cloned().collect(),
    })?;
    let (busybox, tools) = (&files.busybox, &files.tools);
    Ok([
        fetch_to(
            store,
            "busybox",
            &busybox.url,
            &ContentAddress::recursive(busybox.hash.clone()),
            busybox.hash.to_sri(),
        )?,
        fetch_to(
            store,
            "bootstrap-tools.tar.xz",
            &tools.url,
            &ContentAddress::flat(tools.hash.clone()),
            tools.hash.to_sri(),
        )?,
    ])
}

fn set<const N: usize>(recipe: &mut Recipe, env: [(&str, String); N]) {
    let env = env.map(|(name, value)| (name.to_owned(), value.into_bytes()));
    recipe.env.extend(env);
}

/// The variables of a fixed output that is a tree.
fn recursive(sha256: Sha256) -> [(&'static str, String); 3] {
    [
        ("outputHashMode", "recursive".to_owned()),
        ("outputHashAlgo", "sha256".to_owned()),
        ("outputHash", sha256.to_string()),
    ]
}

/// The path of the output `out`, with its directory.
fn out(store: &StoreDir, derivation: &Derivation) -> String {
    let path = derivation
        .output("out")
        .expect("a fixed output has its path from the start");
    store.display(path)
}

impl Toolchain {
    /// A Debian root: the mirror of `nix/debian-root.nix` and of the kind `debian-root` in
    /// `nix/toolchains.nix`. `id` is its key in `[toolchains]`.
    pub fn debian_root(store: &StoreDir, id: &str, pin: &Pin) -> Result<Self, Error> {
        let mut known = Known::default();
        let mut texts = Vec::new();
        let unpack = UNPACK_DEBS.text(store)?;
        let enter = ENTER_ROOT.text(store)?;

        let [busybox, tools] = bootstrap(store, id, &pin.system)?;
        let mut recipe = Recipe::new(&pin.name, &pin.system, out(store, &busybox));
        let script = store.display(&unpack.path);
        recipe
            .args
            .extend(["ash".to_owned(), "-e".to_owned(), script]);
        recipe.inputs.sources.insert(unpack.path.clone());
        for file in [&busybox, &tools] {
            recipe.inputs.output(known.insert(file)?, "out");
            texts.push(Text::derivation(file)?);
        }
        recipe.fixed = Some(ContentAddress::recursive(pin.sha256));
        let mut debs = Vec::new();
        for package in &pin.package {
            let name = format!("{}.deb", package.name);
            let deb = fetch(store, &name, &package.url, package.sha256)?;
            recipe.inputs.output(known.insert(&deb)?, "out");
            debs.push(out(store, &deb));
            texts.push(Text::derivation(&deb)?);
        }
        set(&mut recipe, recursive(pin.sha256));
        set(
            &mut recipe,
            [
                ("debs", list(debs.iter().map(String::as_str))),
                ("tools", out(store, &tools)),
                ("toolchain", id.to_owned()),
            ],
        );
        let root = recipe.derive(store, |path| known.get(path))?;
        let mut inputs = Inputs::default();
        inputs.output(known.insert(&root)?, "out");
        inputs.sources.insert(enter.path.clone());
        let directory = out(store, &root);
        let libraries = format!("{directory}/usr/lib/x86_64-linux-gnu");
        let enter_script = store.display(&enter.path);
        texts.extend([unpack, Text::derivation(&root)?, enter]);
        Ok(Toolchain {
            system: pin.system.clone(),
            builder: format!("{libraries}/ld-linux-x86-64.so.2"),
            arguments: vec![
                "--inhibit-cache".to_owned(),
                "--library-path".to_owned(),
                libraries,
                format!("{directory}/usr/bin/bash"),
                enter_script.clone(),
            ],
            environment: BTreeMap::from([
                ("root".to_owned(), directory),
                ("enterScript".to_owned(), enter_script),
                ("toolchainVariables".to_owned(), String::new()),
            ]),
            inputs,
            texts,
            known,
        })
    }

    /// The machine's own programs, through Nix' `sandbox-paths`.
    pub fn host(store: &StoreDir, system: &str) -> Result<Self, Error> {
        let script = BUILD_KERNEL.text(store)?;
        Ok(Toolchain {
            system: system.to_owned(),
            builder: "/bin/bash".to_owned(),
            arguments: vec!["-e".to_owned(), store.display(&script.path)],
            environment: BTreeMap::from([
                (
                    "PATH".to_owned(),
                    "/usr/bin:/usr/sbin:/bin:/sbin".to_owned(),
                ),
                ("toolchainVariables".to_owned(), String::new()),
            ]),
            inputs: Inputs::default(),
            texts: Vec::new(),
            known: Known::default(),
        })
    }

    /// A toolchain that only the evaluator knows: its strings and their context. `known`
    /// has the derivations of the context; [`Description::inputs`] says which.
    pub fn described(description: Description, inputs: Inputs, known: Known) -> Self {
        Toolchain {
            system: description.value.system,
            builder: description.value.builder,
            arguments: description.value.arguments,
            environment: description.value.environment,
            inputs,
            texts: Vec::new(),
            known,
        }
    }
}

/// What the evaluator says of a toolchain: `{ value, context }`, where `value` has
/// the strings of `nix/toolchains.nix` and `context` is their `builtins.getContext`.
#[derive(Clone, Debug, Deserialize)]
pub struct Description {
    value: Value,
    context: BTreeMap<String, Context>,
}

#[derive(Clone, Debug, Deserialize)]
struct Value {
    system: String,
    builder: String,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Context {
    #[serde(default)]
    path: bool,
    #[serde(default)]
    outputs: Vec<String>,
}

impl Description {
    /// Reads the evaluator's JSON.
    pub fn parse(json: &str) -> Result<Self, Error> {
        serde_json::from_str(json).map_err(|error| Error::Description {
            reason: error.to_string(),
        })
    }

    /// What its strings refer to.
    pub fn inputs(&self, store: &StoreDir) -> Result<Inputs, Error> {
        let mut inputs = Inputs::default();
        for (text, context) in &self.context {
            let path = store.parse(text)?;
            for output in &context.outputs {
                inputs.output(path.clone(), output);
            }
            if context.path {
                inputs.sources.insert(path);
            }
        }
        Ok(inputs)
    }
}

/// A kernel's derivation, with what a store must have before it can be built.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The kernel.
    pub derivation: Derivation,
    /// Its `.drv`.
    pub path: StorePath,
    /// Derivations, scripts and the config, each after what it refers to; the last one is
    /// the kernel's own `.drv`. The toolchain's come first.
    pub texts: Vec<Text>,
    /// Files beside the lock that are added by their flat hash: the patches.
    pub files: Vec<(LockedPatch, StorePath)>,
}

/// The derivation of a kernel: the mirror of `nix/kernel.nix`.
///
/// `name` is its key in `[kernels]`, `config` the text of [`Kernel::config`], `trusted` that of [`Kernel::trust`].
pub fn plan(
    store: &StoreDir,
    name: &str,
    kernel: &Kernel,
    config: &str,
    trusted: &str,
    toolchain: &Toolchain,
) -> Result<Plan, Error> {
    if Sha256::of(config.as_bytes()) != kernel.config.sha256 {
        return Err(Error::Config {
            path: kernel.config.path.clone(),
        });
    }
    let trusted = match &kernel.trust {
        Some(trust) if Sha256::of(trusted.as_bytes()) != trust.sha256 => {
            return Err(Error::Trust {
                path: trust.path.clone(),
            });
        }
        Some(_) => Some(Text::file(store, TRUSTED, trusted)?),
        None => None,
    };
    let config = Text::file(store, &format!("{name}.config"), config)?;
    let script = BUILD_KERNEL.text(store)?;
    let source = source(store, &kernel.source)?;
    let source_text = Text::derivation(&source)?;
    let source_modulo = source.modulo(|_| None)?;
    let files = kernel
        .source
        .patches
        .iter()
        .map(|patch| patch_path(store, patch))
        .collect::<Result<Vec<_>, _>>()?;
    // The script's usual options are not said.
    let patches: Vec<_> = files
        .iter()
        .zip(&kernel.source.patches)
        .map(|((_, path), patch)| match patch.is_usual() {
            true => store.display(path),
            false => format!("{} {} {}", store.display(path), patch.strip, patch.fuzz),
        })
        .collect();

    let mut recipe = Recipe::new(
        // A release may have `~`, a store name may not.
        format!("linux-{}", kernel.release.replace('~', "-")),
        &toolchain.system,
        &toolchain.builder,
    );
    recipe.args.clone_from(&toolchain.arguments);
    recipe.outputs = ["out", "modules", "dev", "debug"].map(str::to_owned).into();
    recipe.inputs = toolchain.inputs.clone();
    recipe.inputs.output(source_text.path.clone(), "out");
    recipe
        .inputs
        .sources
        .extend([config.path.clone(), script.path.clone()]);
    recipe
        .inputs
        .sources
        .extend(files.iter().map(|(_, path)| path.clone()));
    recipe.env = toolchain
        .environment
        .iter()
        .map(|(name, value)| (name.clone(), value.clone().into_bytes()))
        .collect();
    let kind = match kernel.source.kind {
        SourceKind::Deb => "deb",
        SourceKind::Tarball => "tarball",
        SourceKind::Git => "git",
    };
    let modules = if kernel.install.modules { "1" } else { "" };
    set(
        &mut recipe,
        [
            ("buildScript", store.display(&script.path)),
            ("kernelName", name.to_owned()),
            ("arch", kernel.arch.clone()),
            ("release", kernel.release.clone()),
            ("digest", kernel.digest.clone()),
            ("kernelVersion", kernel.version.clone()),
            ("toolchainId", kernel.toolchain_id.clone()),
            ("src", out(store, &source)),
            ("sourceKind", kind.to_owned()),
            (
                "sourceMember",
                kernel.source.member.clone().unwrap_or_default(),
            ),
            ("patches", patches.join("\n")),
            ("config", store.display(&config.path)),
            ("makeVariables", kernel.make.variables.join("\n")),
            ("makeGoals", kernel.make.goals.join("\n")),
            ("kcflags", kernel.make.kcflags.clone()),
            ("kaflags", kernel.make.kaflags.clone()),
            ("image", kernel.install.image.clone()),
            ("imageName", kernel.install.name.clone()),
            ("installModules", modules.to_owned()),
            ("enableParallelBuilding", "1".to_owned()),
        ],
    );
    // Only kernels that need it have the attribute.
    if let Some(trusted) = &trusted {
        recipe.inputs.sources.insert(trusted.path.clone());
        set(
            &mut recipe,
            [("trustedCertificates", store.display(&trusted.path))],
        );
    }
    let derivation = recipe.derive(store, |path| {
        (path == &source_text.path)
            .then_some(source_modulo)
            .or_else(|| toolchain.known.get(path))
    })?;
    let drv = Text::derivation(&derivation)?;
    let path = drv.path.clone();
    let mut texts = toolchain.texts.clone();
    texts.extend([source_text, config, script]);
    texts.extend(trusted);
    texts.push(drv);
    Ok(Plan {
        derivation,
        path,
        texts,
        files,
    })
}

fn source(store: &StoreDir, source: &LockedSource) -> Result<Derivation, Error> {
    let sha256 = source.sha256.ok_or_else(|| Error::Source {
        name: source.name.clone(),
    })?;
    fetch(store, &source.name, &source.url, sha256)
}

/// What `builtins.path` makes of a patch.
fn patch_path(store: &StoreDir, patch: &LockedPatch) -> Result<(LockedPatch, StorePath), Error> {
    let name = Utf8Path::file_name(&patch.path).ok_or_else(|| Error::Patch {
        path: patch.path.clone(),
    })?;
    Ok((patch.clone(), store.file_path(name, patch.sha256)?))
}

//! `kernel.lock`: what a workspace's kernels were resolved to.
//!
//! An entry says everything that a build needs and that does not follow from `Cargo.toml`
//! alone: the archive behind a selector, the predicted configuration, the identity. It is
//! what the Nix evaluator reads, which runs neither apt nor the kernel's Kconfig files, and
//! what a review sees change. Configurations stand beside the lock, a file each.
//!
//! Pure: [`effect::lockfile`](crate::effect::lockfile) reads and writes.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::arch::Arch;
use crate::config::DotConfig;
use crate::plan::{self, Facts, Plan};
use crate::source::{Sha256, Source, Tree, TreeId};
use crate::spec::KernelSpec;

/// The file's name, in the workspace's root.
pub const FILE: &str = "kernel.lock";

/// The directory of the configurations, beside it.
pub const DIRECTORY: &str = "kernel.lock.d";

/// Version of the format; it changes when a reader of the old one would misread the new one.
const VERSION: u32 = 2;

/// The oldest format whose sources can be taken over; everything else in it is written again.
const OLDEST: u32 = 1;

const HEADER: &str = "# Written by `cargo kernel lock`; commit it together with kernel.lock.d.\n";

/// The whole file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    version: u32,
    /// By name.
    #[serde(default)]
    pub kernels: BTreeMap<String, Kernel>,
    /// The toolchains that the kernels name.
    #[serde(default)]
    pub toolchains: BTreeMap<String, Toolchain>,
}

/// One kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Kernel {
    /// The architecture's name.
    pub arch: String,
    /// What `make kernelversion` prints.
    pub version: String,
    /// The predicted `uname -r`.
    pub release: String,
    /// The same with the digest left open, as the identity has it; empty in locks of format 1.
    #[serde(default)]
    pub pattern: String,
    /// The words in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The short name of the identity.
    pub digest: String,
    /// A key of [`Lock::toolchains`].
    pub toolchain: String,
    /// What the toolchain's content hashes to, as the identity has it.
    pub toolchain_id: String,
    /// The identity's flags.
    pub flags: Vec<String>,
    /// The source.
    pub source: LockedSource,
    /// The configuration.
    pub config: Config,
    /// The certificates that the kernel is to trust.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<LockedTrust>,
    /// What make is told.
    pub make: Make,
    /// What is installed.
    pub install: Install,
}

/// Where a locked tree comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LockedSource {
    /// What `Cargo.toml` asked for when this was locked.
    pub requested: String,
    /// How it is fetched.
    pub kind: SourceKind,
    /// A name for the archive that the Nix store takes, or the repository's.
    pub name: String,
    /// The archive, or the repository.
    pub url: String,
    /// The archive's hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    /// The tarball inside a Debian package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// The package's name and version, for apt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<(String, String)>,
    /// The commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// What the release is labelled, where no patches are; a commit does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The git tree id of what is compiled, patches included.
    pub tree: TreeId,
    /// The patches, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patches: Vec<LockedPatch>,
    /// The mailed series that the first of them are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<LockedSeries>,
}

/// A mailed series.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LockedSeries {
    /// What `Cargo.toml` asked for when this was locked.
    pub requested: String,
    /// Of the cover letter, or of the first patch.
    pub subject: String,
    /// The `N` of `[PATCH vN]`.
    pub revision: u32,
    /// What it is applied to: a commit, or else the source.
    pub base: String,
    /// Of the patches, in order.
    pub message_ids: Vec<String>,
}

/// How a source is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceKind {
    /// A Debian package with a tarball in it.
    Deb,
    /// A tarball.
    Tarball,
    /// A commit of a git repository.
    Git,
}

/// A patch file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedPatch {
    /// Relative to the lock.
    pub path: Utf8PathBuf,
    /// Its hash.
    pub sha256: Sha256,
    /// How many directories its names have before the tree's own: `-p1`.
    #[serde(default = "usual_strip", skip_serializing_if = "is_usual_strip")]
    pub strip: u32,
    /// How many lines at either end of a hunk may differ.
    #[serde(default, skip_serializing_if = "is_exact")]
    pub fuzz: u32,
}

impl LockedPatch {
    /// Whether it is applied as most are: with `-p1`, and nothing may differ.
    pub fn is_usual(&self) -> bool {
        is_usual_strip(&self.strip) && is_exact(&self.fuzz)
    }
}

fn usual_strip() -> u32 {
    1
}

fn is_usual_strip(strip: &u32) -> bool {
    *strip == usual_strip()
}

fn is_exact(fuzz: &u32) -> bool {
    *fuzz == 0
}

/// The predicted configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Relative to the lock.
    pub path: Utf8PathBuf,
    /// Its hash.
    pub sha256: Sha256,
    /// The hash of what was asked for: it changes with the fragments, not with the compiler.
    pub request: Sha256,
}

/// The certificates that a kernel is to trust.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedTrust {
    /// The file that the build reads, relative to the lock.
    pub path: Utf8PathBuf,
    /// Its hash.
    pub sha256: Sha256,
    /// SHA-256 of each certificate (DER) in it, sorted: what the identity has.
    pub certificates: Vec<Sha256>,
}

/// What make is told, wherever the build lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Make {
    /// `NAME=value`, in order; all but `KCFLAGS` and `KAFLAGS`, which the builder adds to.
    pub variables: Vec<String>,
    /// The user's own `KCFLAGS`.
    pub kcflags: String,
    /// The user's own `KAFLAGS`.
    pub kaflags: String,
    /// Empty: make's default.
    pub goals: Vec<String>,
}

/// What is installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Install {
    /// The image, below the build directory.
    pub image: String,
    /// Its name in `/boot`, before the release.
    pub name: String,
    /// Whether there are modules.
    pub modules: bool,
}

/// A toolchain that kernels name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Toolchain {
    /// What it is made of.
    pub kind: ToolchainKind,
    /// The packages of a Debian root, relative to the lock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<Utf8PathBuf>,
    /// `gcc` or `clang`, from nixpkgs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compiler: Option<String>,
}

/// Where a toolchain comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToolchainKind {
    /// The machine's own.
    Host,
    /// Debian packages, pinned by hash and unpacked into a root of their own.
    DebianRoot,
    /// The flake's nixpkgs.
    Nixpkgs,
}

/// Why a lock cannot be read, or a kernel not be locked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a lock.
    #[error("{path} is not a lock of this kernelkit")]
    Invalid {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong, with its line.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A later format.
    #[error("{path} has format {found}; this kernelkit reads {OLDEST} to {VERSION}")]
    Version {
        /// The file.
        path: Utf8PathBuf,
        /// Its format.
        found: u32,
    },
    /// An earlier format: its identities are no longer those of the kernels.
    #[error("{path} has format {found}, and this kernelkit writes {VERSION}")]
    Outdated {
        /// The file.
        path: Utf8PathBuf,
        /// Its format.
        found: u32,
    },
    /// Nothing pins the source.
    #[error("`{kernel}` cannot be locked: its source {tree} {why}")]
    Unpinned {
        /// The kernel.
        kernel: String,
        /// The source in words.
        tree: String,
        /// Why not.
        why: &'static str,
    },
    /// A patch that the lock cannot name.
    #[error("`{kernel}` cannot be locked: its patch {path} lies outside the workspace")]
    PatchOutside {
        /// The kernel.
        kernel: String,
        /// The patch.
        path: Utf8PathBuf,
    },
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Error::Invalid { .. } => {
                "`cargo kernel lock` writes a new one when this one is removed".to_owned()
            }
            Error::Version { .. } => "use the kernelkit that wrote it, or a later one".to_owned(),
            Error::Outdated { .. } => {
                "`cargo kernel lock` rewrites it; sources stay as they are, releases change"
                    .to_owned()
            }
            Error::Unpinned { .. } => {
                "name a version, a Debian package, a URL with its sha256, or a git commit; \
                 kernels from directories build without a lock"
                    .to_owned()
            }
            Error::PatchOutside { .. } => {
                "copy it into the workspace, so that whoever has the lock has it too".to_owned()
            }
        })
    }
}

impl Default for Lock {
    fn default() -> Self {
        Lock {
            version: VERSION,
            kernels: BTreeMap::new(),
            toolchains: BTreeMap::new(),
        }
    }
}

impl Lock {
    /// Reads a lock; `path` is for messages.
    pub fn parse(text: &str, path: &Utf8Path) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Format {
            version: u32,
        }
        let invalid = |source| Error::Invalid {
            path: path.to_owned(),
            source: Box::new(source),
        };
        let Format { version } = toml::from_str(text).map_err(invalid)?;
        if !(OLDEST..=VERSION).contains(&version) {
            return Err(Error::Version {
                path: path.to_owned(),
                found: version,
            });
        }
        toml::from_str(text).map_err(invalid)
    }

    /// Whether it is of an earlier format: its sources are good, and nothing else.
    pub fn is_outdated(&self) -> bool {
        self.version != VERSION
    }

    /// Refuses a lock of an earlier format; `path` is for messages.
    ///
    /// # Errors
    /// It is of one.
    pub fn check_format(&self, path: &Utf8Path) -> Result<(), Error> {
        match self.is_outdated() {
            true => Err(Error::Outdated {
                path: path.to_owned(),
                found: self.version,
            }),
            false => Ok(()),
        }
    }

    /// The file's text, in the format of this kernelkit.
    pub fn to_text(&self) -> String {
        let current = Lock {
            version: VERSION,
            ..self.clone()
        };
        let body = toml::to_string_pretty(&current).expect("a lock has only string keys");
        format!("{HEADER}{body}")
    }

    /// Puts a kernel in, and drops the toolchains that no kernel names any more.
    pub fn insert(&mut self, name: &str, kernel: Kernel, toolchain: Toolchain) {
        self.toolchains.insert(kernel.toolchain.clone(), toolchain);
        self.kernels.insert(name.to_owned(), kernel);
        self.drop_unused();
    }

    /// Drops kernels that are not declared any more; their names.
    pub fn retain(&mut self, declared: impl Fn(&str) -> bool) -> Vec<String> {
        let gone: Vec<_> = self
            .kernels
            .keys()
            .filter(|name| !declared(name))
            .cloned()
            .collect();
        self.kernels.retain(|name, _| declared(name));
        self.drop_unused();
        gone
    }

    fn drop_unused(&mut self) {
        let kernels = &self.kernels;
        self.toolchains
            .retain(|name, _| kernels.values().any(|kernel| kernel.toolchain == *name));
    }
}

impl LockedSource {
    /// What `tree` was made of; `root` is the workspace.
    fn new(kernel: &str, requested: &Source, tree: &Tree, root: &Utf8Path) -> Result<Self, Error> {
        let unpinned = |why| Error::Unpinned {
            kernel: kernel.to_owned(),
            tree: tree.description.clone(),
            why,
        };
        let patches = tree.patches.iter().map(|patch| {
            if patch.mailed {
                return Ok(LockedPatch {
                    path: mailed_path(patch.sha256),
                    sha256: patch.sha256,
                    strip: patch.strip,
                    fuzz: patch.fuzz,
                });
            }
            let path = patch
                .path
                .strip_prefix(root)
                .map_err(|_| Error::PatchOutside {
                    kernel: kernel.to_owned(),
                    path: patch.path.clone(),
                })?;
            Ok(LockedPatch {
                path: path.to_owned(),
                sha256: patch.sha256,
                strip: patch.strip,
                fuzz: patch.fuzz,
            })
        });
        let mut locked = LockedSource {
            requested: requested.to_string(),
            kind: SourceKind::Tarball,
            name: String::new(),
            url: String::new(),
            sha256: None,
            member: None,
            package: None,
            commit: None,
            label: plan::derived_label(tree)
                .filter(|_| tree.patches.is_empty())
                .map(|label| label.to_string()),
            tree: tree.id,
            patches: patches.collect::<Result<_, Error>>()?,
            series: tree.series.as_ref().map(|series| LockedSeries {
                requested: series.requested.clone(),
                subject: series.subject.clone(),
                revision: series.revision,
                base: series.base.clone(),
                message_ids: series.message_ids.clone(),
            }),
        };
        match (&tree.resolved, &tree.archive) {
            _ if tree.dirty => return Err(unpinned("has uncommitted edits")),
            (Source::Directory { .. }, _) => {
                return Err(unpinned("is a directory, which can change at any time"));
            }
            (
                Source::Git {
                    repository,
                    reference,
                },
                _,
            ) => {
                locked.kind = SourceKind::Git;
                locked.name = "linux".to_owned();
                locked.url = repository.clone();
                locked.commit = Some(reference.clone());
            }
            (_, None) => return Err(unpinned("is a file of this machine, with no URL")),
            (resolved, Some(archive)) => {
                locked.name = store_name(&archive.url);
                if let Source::Debian {
                    package,
                    version: Some(version),
                } = resolved
                {
                    locked.kind = SourceKind::Deb;
                    locked.package = Some((package.clone(), version.clone()));
                    // The permanent address says nothing to people. A file has no epoch in its name.
                    let (_, version) = version.split_once(':').unwrap_or(("", version));
                    locked.name = store_name(&format!("{package}_{version}_all.deb"));
                }
                locked.url.clone_from(&archive.url);
                locked.sha256 = Some(archive.sha256);
                locked.member.clone_from(&archive.member);
            }
        }
        Ok(locked)
    }

    /// The source that gives this tree, where `Cargo.toml` still asks for the same.
    pub fn pinned(&self, requested: &Source) -> Option<Source> {
        if requested.to_string() != self.requested {
            return None;
        }
        Some(match (self.kind, &self.package, &self.commit) {
            (SourceKind::Deb, Some((package, version)), _) => Source::Debian {
                package: package.clone(),
                version: Some(version.clone()),
            },
            (SourceKind::Git, _, Some(commit)) => Source::Git {
                repository: self.url.clone(),
                reference: commit.clone(),
            },
            _ => Source::Tarball {
                location: self.url.clone(),
                sha256: Some(self.sha256?),
            },
        })
    }
}

/// The last part of a URL, as a name that the Nix store takes: letters, digits and `+-._?=`.
fn store_name(url: &str) -> String {
    let name = url.rsplit('/').next().unwrap_or(url);
    name.replace("%7e", "~")
        .chars()
        .map(|character| {
            if character.is_ascii_alphanumeric() || "+-._?=".contains(character) {
                character
            } else {
                '-'
            }
        })
        .collect()
}

/// Where a kernel's configuration stands, relative to the lock.
pub fn config_path(kernel: &str) -> Utf8PathBuf {
    Utf8Path::new(DIRECTORY).join(format!("{kernel}.config"))
}

/// Where a mailed patch stands, relative to the lock.
pub fn mailed_path(sha256: Sha256) -> Utf8PathBuf {
    Utf8Path::new(DIRECTORY).join(format!("series/{sha256}.patch"))
}

/// Where certificates stand, relative to the lock; `sha256` is that of the file.
pub fn trust_path(sha256: Sha256) -> Utf8PathBuf {
    Utf8Path::new(DIRECTORY).join(format!("trust/{sha256}.pem"))
}

/// Where the pin of a Debian root stands, relative to the lock.
pub fn pin_path(toolchain: &str) -> Utf8PathBuf {
    Utf8Path::new(DIRECTORY).join(format!("{toolchain}.toml"))
}

/// What the lock says of a planned kernel; `requested` is the source as `Cargo.toml` has it and
/// `root` the workspace.
pub fn kernel(
    spec: &KernelSpec,
    requested: &Source,
    facts: &Facts,
    plan: &Plan,
    root: &Utf8Path,
) -> Result<(Kernel, Toolchain), Error> {
    let record = &plan.record;
    let name = spec.name.as_str();
    let row = spec.arch.row();
    let mut variables = plan::toolchain_variables(&facts.toolchain, false);
    variables.extend(plan::own_variables(spec, record.predicted.as_ref()));
    let kernel = Kernel {
        arch: Arch::name(record.arch).to_owned(),
        version: record.version.clone(),
        release: record.release.clone(),
        pattern: record.identity.release.clone(),
        label: record.label.as_ref().map(ToString::to_string),
        digest: record.digest.to_string(),
        toolchain: spec.toolchain.to_string(),
        toolchain_id: record.identity.toolchain.clone(),
        flags: record.identity.flags.clone(),
        source: LockedSource::new(name, requested, &facts.tree, root)?,
        config: Config {
            path: config_path(name),
            sha256: record.config.sha256,
            request: Sha256::of(facts.request.text().as_bytes()),
        },
        trust: (!facts.trust.is_empty()).then(|| {
            let sha256 = Sha256::of(plan.trusted.as_bytes());
            LockedTrust {
                path: trust_path(sha256),
                sha256,
                certificates: facts.trust.hashes(),
            }
        }),
        make: Make {
            variables,
            kcflags: plan::own_flags(spec, "KCFLAGS"),
            kaflags: plan::own_flags(spec, "KAFLAGS"),
            goals: spec.targets.value.clone(),
        },
        install: Install {
            image: row.image_path.to_owned(),
            name: row.install_name.to_owned(),
            modules: record.config.modules,
        },
    };
    let chosen = &spec.toolchain.value;
    let toolchain = Toolchain {
        kind: match chosen.nixpkgs() {
            Some(_) => ToolchainKind::Nixpkgs,
            None if chosen.is_host() => ToolchainKind::Host,
            None => ToolchainKind::DebianRoot,
        },
        pin: chosen.pin(),
        compiler: chosen.nixpkgs().map(|compiler| compiler.to_string()),
    };
    Ok((kernel, toolchain))
}

/// Whether a field follows from the toolchain, so that it may differ from one machine to the next,
/// and from the lock's toolchain to the one of a build at hand.
pub fn is_of_the_toolchain(field: &str) -> bool {
    const FIELDS: [&str; 5] = [
        "toolchain",
        "toolchain-id",
        "release",
        "digest",
        "config.sha256",
    ];
    FIELDS.contains(&field)
}

/// One thing that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The field, such as `source.sha256`, or the symbol, such as `CONFIG_EXT4_FS`.
    pub field: String,
    /// What it was; nothing where it was not there.
    pub old: Option<String>,
    /// What it is.
    pub new: Option<String>,
}

/// How an entry changed, field by field, in the order of the file.
pub fn changes(old: Option<&Kernel>, new: &Kernel) -> Vec<Change> {
    fn flatten(prefix: &str, value: &serde_json::Value, into: &mut Vec<(String, String)>) {
        let join = |key: &str| match prefix {
            "" => key.to_owned(),
            prefix => format!("{prefix}.{key}"),
        };
        match value {
            serde_json::Value::Object(map) => {
                for (key, value) in map {
                    flatten(&join(key), value, into);
                }
            }
            serde_json::Value::Array(items) => {
                let items: Vec<_> = items
                    .iter()
                    .map(|item| item.as_str().map_or(item.to_string(), str::to_owned))
                    .collect();
                into.push((prefix.to_owned(), items.join(" ")));
            }
            serde_json::Value::String(text) => into.push((prefix.to_owned(), text.clone())),
            serde_json::Value::Null => {}
            other => into.push((prefix.to_owned(), other.to_string())),
        }
    }
    let fields = |kernel: &Kernel| {
        let value = serde_json::to_value(kernel).expect("an entry is plain data");
        let mut fields = Vec::new();
        flatten("", &value, &mut fields);
        fields
    };
    let old = old.map(fields).unwrap_or_default();
    compare(&old, &fields(new))
}

/// How two configurations differ, by symbol.
pub fn config_changes(old: &DotConfig, new: &DotConfig) -> Vec<Change> {
    let fields = |config: &DotConfig| {
        config
            .values()
            .iter()
            .map(|(symbol, value)| (format!("{symbol}"), format!("{value}")))
            .collect::<Vec<_>>()
    };
    compare(&fields(old), &fields(new))
}

fn compare(old: &[(String, String)], new: &[(String, String)]) -> Vec<Change> {
    let value = |fields: &[(String, String)], field: &str| {
        fields
            .iter()
            .position(|(name, _)| name == field)
            .map(|index| fields[index].1.clone())
    };
    let gone = old
        .iter()
        .filter(|(field, _)| value(new, field).is_none())
        .map(|(field, old)| Change {
            field: field.clone(),
            old: Some(old.clone()),
            new: None,
        });
    new.iter()
        .map(|(field, new)| Change {
            field: field.clone(),
            old: value(old, field),
            new: Some(new.clone()),
        })
        .filter(|change| change.old != change.new)
        .chain(gone)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# Written by `cargo kernel lock`; commit it together with kernel.lock.d.
version = 2

[kernels.tiny]
arch = "x86_64"
version = "6.12.117"
release = "6.12.117-debian-1-0123456789ab"
pattern = "6.12.117-debian-1-{digest}"
label = "debian-1"
digest = "0123456789ab"
toolchain = "host"
toolchain-id = "gcc-12"
flags = ["ARCH=x86_64"]

[kernels.tiny.source]
requested = "debian:linux-source-6.12"
kind = "deb"
name = "linux-source-6.12_6.12.117-1-deb12u1_all.deb"
url = "https://deb.debian.org/debian/pool/main/l/linux/linux-source-6.12_6.12.117-1%7edeb12u1_all.deb"
sha256 = "e849faf31ca3555757f3a8877cb01af92122f744f75d1f3102734651c4e14703"
member = "usr/src/linux-source-6.12.tar.xz"
package = [
    "linux-source-6.12",
    "6.12.117-1~deb12u1",
]
tree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"

[kernels.tiny.config]
path = "kernel.lock.d/tiny.config"
sha256 = "e849faf31ca3555757f3a8877cb01af92122f744f75d1f3102734651c4e14703"
request = "e849faf31ca3555757f3a8877cb01af92122f744f75d1f3102734651c4e14703"

[kernels.tiny.make]
variables = [
    "ARCH=x86_64",
    "LOCALVERSION=",
]
kcflags = ""
kaflags = ""
goals = []

[kernels.tiny.install]
image = "arch/x86/boot/bzImage"
name = "vmlinuz"
modules = true

[toolchains.host]
kind = "host"
"#;

    fn lock() -> Lock {
        Lock::parse(TEXT, Utf8Path::new(FILE)).unwrap()
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        assert_eq!(lock().to_text(), TEXT);
    }

    #[test]
    fn a_locked_source_stands_for_what_was_asked_for_and_for_nothing_else() {
        let source = &lock().kernels["tiny"].source;
        let debian = |package: &str, version: Option<&str>| Source::Debian {
            package: package.to_owned(),
            version: version.map(str::to_owned),
        };
        assert_eq!(
            source.pinned(&debian("linux-source-6.12", None)),
            Some(debian("linux-source-6.12", Some("6.12.117-1~deb12u1")))
        );
        assert_eq!(source.pinned(&debian("linux-source-6.1", None)), None);
    }

    #[test]
    fn an_unknown_key_or_format_is_refused() {
        let check = |text: String, expected: &str| {
            let error = Lock::parse(&text, Utf8Path::new("w/kernel.lock")).unwrap_err();
            assert_eq!(error.to_string(), expected);
            assert!(error.hint().is_some());
        };
        check(
            TEXT.replace("digest =", "digets ="),
            "w/kernel.lock is not a lock of this kernelkit",
        );
        check(
            TEXT.replace("version = 2\n", "version = 3\n"),
            "w/kernel.lock has format 3; this kernelkit reads 1 to 2",
        );
        check(
            String::new(),
            "w/kernel.lock is not a lock of this kernelkit",
        );
    }

    #[test]
    fn sources_of_the_earlier_format_are_taken_over_and_nothing_else() {
        let earlier = TEXT
            .replace("version = 2\n", "version = 1\n")
            .replace("pattern = \"6.12.117-debian-1-{digest}\"\n", "");
        let earlier = Lock::parse(&earlier, Utf8Path::new(FILE)).unwrap();
        assert_eq!(
            earlier.kernels["tiny"].source,
            lock().kernels["tiny"].source
        );
        let path = Utf8Path::new("w/kernel.lock");
        let error = earlier.check_format(path).unwrap_err();
        assert_eq!(
            error.to_string(),
            "w/kernel.lock has format 1, and this kernelkit writes 2"
        );
        assert!(lock().check_format(path).is_ok());
        assert!(earlier.to_text().contains("\nversion = 2\n"));
        let fields = changes(earlier.kernels.get("tiny"), &lock().kernels["tiny"]);
        assert_eq!(fields.len(), 1, "{fields:?}");
        assert_eq!(fields[0].field, "pattern");
    }

    #[test]
    fn changes_name_the_fields_that_differ() {
        let old = &lock().kernels["tiny"];
        assert_eq!(changes(Some(old), old), []);
        let mut new = old.clone();
        new.version = "6.12.118".to_owned();
        new.source.member = None;
        let change = |field: &str, old: Option<&str>, new: Option<&str>| Change {
            field: field.to_owned(),
            old: old.map(str::to_owned),
            new: new.map(str::to_owned),
        };
        assert_eq!(
            changes(Some(old), &new),
            [
                change("version", Some("6.12.117"), Some("6.12.118")),
                change(
                    "source.member",
                    Some("usr/src/linux-source-6.12.tar.xz"),
                    None
                ),
            ]
        );
        assert_eq!(changes(None, old).len(), 27);
    }

    #[test]
    fn toolchains_go_with_the_last_kernel_that_names_them() {
        let mut lock = lock();
        assert_eq!(lock.retain(|_| true), Vec::<String>::new());
        assert_eq!(lock.toolchains.len(), 1);
        assert_eq!(lock.retain(|_| false), ["tiny"]);
        assert_eq!(lock, Lock::default());
    }

    #[test]
    fn a_store_name_has_only_what_nix_allows() {
        assert_eq!(
            store_name("https://x/linux-source_6.12.117-1%7edeb12u1_all.deb"),
            "linux-source_6.12.117-1-deb12u1_all.deb"
        );
    }
}

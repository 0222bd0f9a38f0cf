//! What the user asked for: kernels declared in `Cargo.toml`, with defaults and
//! command-line overrides. Every value knows where it came from.
//!
//! [`parse`] reads manifests and [`Overrides`] into a [`Spec`]; every setting is a row
//! of [`SETTINGS`]. This module never reads a file: [`effect::workspace`](crate::effect::workspace)
//! finds the manifests and hands their text in.

mod compiler;
mod error;
mod input;
mod layer;
mod mail;
mod make_flag;
mod matrix;
mod overrides;
mod patch;
mod read;
mod reference;
mod settings;
mod sign;
mod source;
mod starter;
#[cfg(test)]
mod tests;
mod value;

use std::fmt;
use std::str::FromStr;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use crate::arch::Arch;
use crate::manifest::Backend;
use crate::release::Template;
use crate::source::Source;
use crate::sourced::Sourced;

pub use compiler::{NamedCompiler, ToolchainRule, choose};
pub use error::{Error, Problem};
pub use mail::Mail;
pub use matrix::Cell;
pub use overrides::Overrides;
pub use patch::PatchSet;
pub use read::{Context, Manifest, ManifestTable, parse};
pub use reference::reference_markdown;
pub use settings::{SETTINGS, Setting, Table};
pub use source::parse_source;
pub use starter::{StarterPlace, starter};
pub use value::InvalidValue;

/// Everything a workspace declares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Spec {
    /// What relative paths are relative to: the workspace root.
    pub root: Utf8PathBuf,
    /// Cargo's target directory; build state lies in `<target_dir>/kernel/<name>`.
    pub target_dir: Utf8PathBuf,
    /// The kernels that are meant when none is named.
    pub default_kernels: Vec<Sourced<KernelName>>,
    /// The user's own fragment directories, later ones winning over earlier ones and over ours.
    pub fragment_dirs: Vec<Sourced<Utf8PathBuf>>,
    /// Where mails with reports go.
    pub mail: Mail,
    /// The kernels in the order they are declared.
    pub kernels: Vec<KernelSpec>,
}

/// One kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KernelSpec {
    /// Its name: the table's key.
    pub name: KernelName,
    /// Which cell of a matrix it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cell: Option<Cell>,
    /// Whose settings are over its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flavour: Option<Sourced<KernelName>>,
    /// Where the tree comes from.
    pub source: Sourced<Source>,
    /// Patches: those of a variant first, then the others, each in order.
    pub patches: Sourced<Vec<PatchSet>>,
    /// A mailed series under the patches: a mailbox, a message-id or a URL.
    pub series: Option<Sourced<String>>,
    /// How many lines at either end of a hunk may differ.
    pub patch_fuzz: Sourced<u32>,
    /// The architecture it is built for.
    pub arch: Sourced<Arch>,
    /// Where the configuration starts from.
    pub base: Sourced<ConfigBase>,
    /// Fragments merged on top of the base, in canonical order whatever their order here.
    pub fragments: Sourced<Vec<String>>,
    /// Adds the debug layer.
    pub debug: Sourced<bool>,
    /// The middle part of the release, instead of the derived one.
    pub label: Option<Sourced<String>>,
    /// How the release is composed.
    pub release: Sourced<Template>,
    /// `{build}` in templates: the number of a build, such as `1000`.
    pub build: Option<Sourced<String>>,
    /// `{dist}` in templates: the distribution that it is for, such as `el8`.
    pub dist: Option<Sourced<String>>,
    /// Files with certificates that the kernel is to trust; absolute.
    pub trust: Sourced<Vec<Utf8PathBuf>>,
    /// The name of a source directory that is being edited: its release does not change with its files.
    pub edit: Option<Sourced<String>>,
    /// The release of a tree with uncommitted edits.
    pub dirty_release: Sourced<DirtyRelease>,
    /// Its compiler; where there are rules, the one they choose takes its place.
    pub compiler: Sourced<NamedCompiler>,
    /// What chooses its compiler when its version and what it asks for are known: the first
    /// rule that matches. None where it names its compiler itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Sourced<ToolchainRule>>,
    /// The machine's own tools, or those of a pinned Debian root.
    pub toolchain: Sourced<ToolchainName>,
    /// What builds it.
    pub backend: Sourced<BackendChoice>,
    /// Extra make variables and flags, such as `W=1`; they are part of the identity.
    pub make_flags: Sourced<Vec<String>>,
    /// Make goals; empty means the kernel's default goal.
    pub targets: Sourced<Vec<String>>,
    /// How many jobs make runs at once.
    pub jobs: Sourced<Jobs>,
    /// Compile through ccache where it is installed.
    pub ccache: Sourced<bool>,
    /// Size limit of the ccache directory, such as `10G`.
    pub ccache_max_size: Sourced<String>,
    /// Fix the timestamp, user, host and version that the kernel embeds.
    pub reproducible: Sourced<bool>,
    /// Which timestamp, where `reproducible` is on.
    pub timestamp: Sourced<Timestamp>,
    /// Write compile_commands.json.
    pub compile_commands: Sourced<bool>,
    /// Write the GDB helper scripts.
    pub gdb_scripts: Sourced<bool>,
    /// Write rust-project.json where CONFIG_RUST is on.
    pub rust_analyzer: Sourced<bool>,
    /// Install the image, System.map and config.
    pub install: Sourced<bool>,
    /// Install the modules.
    pub modules_install: Sourced<bool>,
    /// Keep `/lib/modules/<release>/source` as a link to the source tree.
    pub source_symlink: Sourced<bool>,
    /// Take a finished build of the same identity from the store.
    pub reuse: Sourced<bool>,
    /// Start a new build directory from the objects of a kernel that differs in its configuration alone.
    pub borrow_objects: Sourced<bool>,
    /// Add a finished build to the Nix store, too.
    pub publish: Sourced<bool>,
}

/// A kernel's name: letters, digits, `_`, `-` and `.`, starting with a letter or digit, at most 64 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KernelName(String);

/// A name that cannot name a directory or a Nix attribute.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` cannot name a kernel: use letters, digits, `_`, `-` and `.`, starting with a letter or digit, at most 64 bytes"
)]
pub struct InvalidName(pub String);

impl KernelName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KernelName {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let valid = text.len() <= 64
            && text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
        if valid {
            Ok(KernelName(text.to_owned()))
        } else {
            Err(InvalidName(text.to_owned()))
        }
    }
}

impl AsRef<str> for KernelName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KernelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for KernelName {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<KernelName> for String {
    fn from(name: KernelName) -> String {
        name.0
    }
}

/// Where a configuration starts from; fragments are merged on top.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum ConfigBase {
    /// A whole-kernel configuration of the library: its symbols are forced
    /// (`KCONFIG_ALLCONFIG`), the rest takes the base that the preset declares.
    Preset {
        /// `tiny` is `preset/tiny.config`.
        name: String,
    },
    /// The kernel's own make goals, such as `defconfig` or `["defconfig", "kvm_guest.config"]`.
    Make {
        /// In order.
        goals: Vec<String>,
    },
    /// An existing `.config`, brought up to date with `olddefconfig`.
    File {
        /// Absolute path.
        path: Utf8PathBuf,
    },
    /// Nothing but the fragments.
    Fragments {
        /// Unset symbols are `n` (allnoconfig) rather than their default (alldefconfig).
        allnoconfig: bool,
    },
}

/// Where the tools come from: `host`, or the name of a pinned Debian root such as `debian-12`:
/// lower-case letters, digits, `-` and `.`, starting with a letter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ToolchainName(std::borrow::Cow<'static, str>);

/// Not a toolchain's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` cannot be the name of a toolchain")]
pub struct InvalidToolchainName(String);

impl ToolchainName {
    /// The machine's own.
    pub const HOST: ToolchainName = ToolchainName(std::borrow::Cow::Borrowed("host"));

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the machine's own.
    pub fn is_host(&self) -> bool {
        *self == ToolchainName::HOST
    }

    /// The compiler, where it is a toolchain of the flake's nixpkgs: `nixpkgs` is GCC,
    /// `nixpkgs-clang` is Clang (`nix/unpinned.nix`).
    pub fn nixpkgs(&self) -> Option<Compiler> {
        match self.as_str() {
            "nixpkgs" => Some(Compiler::Gcc),
            "nixpkgs-clang" => Some(Compiler::Clang),
            _ => None,
        }
    }

    /// The packages of a Debian root, relative to `kernel.lock`; `None` for what needs no pin.
    pub fn pin(&self) -> Option<Utf8PathBuf> {
        (!self.is_host() && self.nixpkgs().is_none()).then(|| crate::lock::pin_path(self.as_str()))
    }
}

impl std::str::FromStr for ToolchainName {
    type Err = InvalidToolchainName;
    fn from_str(text: &str) -> Result<Self, InvalidToolchainName> {
        let allowed = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
        };
        if text.starts_with(|first: char| first.is_ascii_lowercase()) && text.bytes().all(allowed) {
            Ok(ToolchainName(text.to_owned().into()))
        } else {
            Err(InvalidToolchainName(text.to_owned()))
        }
    }
}

impl std::fmt::Display for ToolchainName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is to build a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendChoice {
    /// Nix where it can be used for this kernel, else the host.
    Auto,
    /// This one, or none.
    Only(Backend),
}

/// Which compiler family builds the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compiler {
    /// GCC and GNU binutils.
    Gcc,
    /// Clang, LLD and the LLVM tools (`LLVM=1`).
    Clang,
}

/// How many jobs make runs at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Jobs {
    /// One a core.
    Auto,
    /// One a core and one more.
    AutoPlusOne,
    /// Exactly so many.
    Exactly(u32),
}

/// How a tree with uncommitted edits is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DirtyRelease {
    /// By the commit it was made from, with `-dirty` at the end: the release stays while one edits.
    Stable,
    /// By its files, as if they were committed.
    Exact,
}

/// Which time the kernel embeds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Timestamp {
    /// The same for every build: the announcement of Linux, 25 August 1991, 20:57:08 UTC.
    Fixed,
    /// The author date of the source's commit.
    Commit,
    /// Seconds since 1970-01-01 00:00:00 UTC.
    At(i64),
}

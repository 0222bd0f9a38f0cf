//! `manifest.json`: what a plan predicted and what the build then observed.
//!
//! [`Record`] is the part a [`Plan`](crate::plan::Plan) and a [`Manifest`] share, so a plan
//! printed as JSON reads like the manifest it will become. The manifest is written last:
//! where it exists, the build it describes is complete.

use camino::{Utf8Path, Utf8PathBuf};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::arch::Arch;
use crate::identity::{Digest, Identity};
use crate::image::BuildId;
use crate::release::Label;
use crate::report::Ccache;
use crate::source::Sha256;
use crate::spec::{Compiler, KernelName};

/// Version of the schema; it changes when a reader of the old one would misread the new one.
pub const SCHEMA: u32 = 2;

/// What plan and manifest have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Version of kernelkit that planned it.
    pub kernelkit: String,
    /// The kernel's name in the workspace.
    #[schemars(with = "String")]
    pub name: KernelName,
    /// The architecture.
    #[schemars(with = "String")]
    pub arch: Arch,
    /// What `make kernelversion` prints.
    pub version: String,
    /// The predicted `uname -r`.
    pub release: String,
    /// The words in it; absent where there was no room.
    pub label: Option<Label>,
    /// The short name of the identity.
    pub digest: Digest,
    /// Where the tree is being edited: the digest that the release has, which is that of the tree before the edits.
    #[serde(default)]
    pub base: Option<Digest>,
    /// What decides the bytes.
    pub identity: Identity,
    /// How it is built.
    pub backend: Backend,
    /// Where the tree came from.
    pub source: SourceRecord,
    /// What compiles it.
    pub toolchain: ToolchainRecord,
    /// How it is configured.
    pub config: ConfigRecord,
    /// What the kernel will say of its build; absent where the build is not reproducible.
    pub predicted: Option<Predicted>,
    /// Where things lie.
    pub dirs: Dirs,
    /// What the build leaves under `dirs.destdir`.
    pub outputs: Vec<Output>,
}

/// How a plan is carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// Make, here.
    #[default]
    Host,
    /// Make, in the environment of the flake's devShell.
    Shell,
    /// Nix, in its sandbox.
    Nix,
}

impl std::fmt::Display for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Backend::Host => "host",
            Backend::Shell => "shell",
            Backend::Nix => "nix",
        })
    }
}

/// The source tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SourceRecord {
    /// In words, such as `linux-source-6.12 6.12.117-1~deb12u1`.
    pub description: String,
    /// The commit, where the tree is one of a git repository.
    pub commit: Option<String>,
    /// Whether the tree differs from that commit.
    pub dirty: bool,
    /// Patches applied on top, in order.
    pub patches: Vec<String>,
}

/// The toolchain, as make is told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ToolchainRecord {
    /// The family.
    pub compiler: Compiler,
    /// The C compiler's program name.
    pub cc: String,
    /// First line of its `--version`.
    pub version: String,
    /// Make variables that choose it.
    pub variables: Vec<String>,
}

/// The configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigRecord {
    /// In words, such as `preset tiny` or `make defconfig`.
    pub base: String,
    /// Who resolved it.
    #[serde(default)]
    pub resolver: Resolver,
    /// The fragments merged on top, in canonical order.
    pub fragments: Vec<String>,
    /// How many symbols the fragments ask for.
    pub requests: usize,
    /// Whether the kernel loads modules.
    pub modules: bool,
    /// SHA-256 of the whole `.config`, identity baked in.
    #[schemars(with = "String")]
    pub sha256: Sha256,
}

/// Who turns a request into a `.config`; the kernel's own `conf` confirms it in the build.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Resolver {
    /// The engine of this library, in the plan.
    #[default]
    Native,
    /// The kernel's own make, in a directory beside the build.
    Make,
}

impl std::fmt::Display for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Resolver::Native => "native",
            Resolver::Make => "make",
        })
    }
}

/// What a reproducible kernel says of its own build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Predicted {
    /// `KBUILD_BUILD_TIMESTAMP`; `uname -v` ends with it.
    pub timestamp: String,
    /// `KBUILD_BUILD_VERSION`; `uname -v` begins with `#` and it.
    pub build_version: String,
    /// `KBUILD_BUILD_USER`.
    pub compile_by: String,
    /// `KBUILD_BUILD_HOST`.
    pub compile_host: String,
}

/// Absolute paths of one build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Dirs {
    /// The kernel tree, read only.
    #[schemars(with = "String")]
    pub source: Utf8PathBuf,
    /// `target/kernel/<name>`: everything below is this build's own.
    #[schemars(with = "String")]
    pub state: Utf8PathBuf,
    /// Make's object directory.
    #[schemars(with = "String")]
    pub build: Utf8PathBuf,
    /// The installed files.
    #[schemars(with = "String")]
    pub destdir: Utf8PathBuf,
}

impl Dirs {
    /// The layout below `state`.
    pub fn new(source: &Utf8Path, state: &Utf8Path) -> Self {
        Dirs {
            source: source.to_owned(),
            state: state.to_owned(),
            build: state.join("build"),
            destdir: state.join("destdir"),
        }
    }

    /// A file that speaks of the build directory, beside it.
    pub fn beside_build(&self, name: &str) -> Utf8PathBuf {
        self.build.with_file_name(name)
    }

    /// The success marker.
    pub fn manifest(&self) -> Utf8PathBuf {
        self.state.join("manifest.json")
    }

    /// The directory of one run's logs.
    pub fn logs(&self) -> Utf8PathBuf {
        self.state.join("log")
    }
}

/// One thing a build leaves behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// What it is.
    pub kind: OutputKind,
    /// Below `dirs.destdir`.
    #[schemars(with = "String")]
    pub path: Utf8PathBuf,
    /// Bytes; of a directory, of all files in it. Absent in a plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// SHA-256 of the file; of a directory, of its sorted `sha256  path` lines. Absent in a plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub sha256: Option<Sha256>,
}

/// The kinds of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OutputKind {
    /// The bootable image.
    Image,
    /// `System.map`.
    SystemMap,
    /// The `.config`.
    Config,
    /// The directory of modules.
    Modules,
}

/// A finished build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Manifest {
    /// The plan's part.
    #[serde(flatten)]
    pub record: Record,
    /// What the kernel says of itself.
    pub observed: Observed,
    /// Editor and debugger files, absolute.
    #[schemars(with = "Vec<String>")]
    pub devtools: Vec<Utf8PathBuf>,
    /// Wall time of the build in seconds, and what it met.
    pub statistics: Statistics,
}

/// Read back from the built image; without one, from the generated headers (`utsrelease.h`,
/// `utsversion.h`, `compile.h`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Observed {
    /// `UTS_RELEASE`: `uname -r`.
    pub uts_release: String,
    /// `UTS_VERSION`: `uname -v`.
    pub uts_version: String,
    /// `UTS_MACHINE`: `uname -m`.
    pub uts_machine: String,
    /// `LINUX_COMPILER`.
    pub linux_compiler: String,
    /// `LINUX_COMPILE_BY`.
    pub linux_compile_by: String,
    /// `LINUX_COMPILE_HOST`.
    pub linux_compile_host: String,
    /// The build id of vmlinux, which the running kernel has in `/sys/kernel/notes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub build_id: Option<BuildId>,
}

/// What a build cost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Statistics {
    /// Wall time in milliseconds.
    pub milliseconds: u64,
    /// Commands make showed (`CC`, `LD` …).
    pub commands: u64,
    /// Compiler warnings.
    pub warnings: u64,
    /// Calls that ccache answered; absent without ccache.
    pub ccache_hits: Option<u64>,
    /// Calls that ccache passed on; absent without ccache.
    pub ccache_misses: Option<u64>,
    /// The kernel whose objects it was begun with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects_of: Option<String>,
}

impl Statistics {
    /// What ccache had of the calls; `None` without ccache.
    pub fn ccache(&self) -> Option<Ccache> {
        Some(Ccache {
            hits: self.ccache_hits?,
            misses: self.ccache_misses?,
        })
    }
}

/// The part of a run layer's `manifest.json` that is read back from the Nix store.
#[derive(Clone, Debug, Deserialize)]
pub struct Layer {
    /// What names it.
    pub release: String,
    /// What built it.
    #[serde(default)]
    pub backend: Backend,
    /// What the kernel says of itself.
    pub observed: Observed,
    /// The files.
    pub outputs: Vec<Output>,
}

/// A kernel says of itself something else than the plan did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mismatch {
    /// Such as `UTS_RELEASE`.
    pub field: &'static str,
    /// The prediction.
    pub predicted: String,
    /// The observation.
    pub observed: String,
}

impl Observed {
    /// Reads `#define NAME "value"` lines of the three generated headers, in any order.
    pub fn parse(headers: &str) -> Observed {
        let mut observed = Observed::default();
        for line in headers.lines() {
            let Some((name, value)) = line
                .strip_prefix("#define ")
                .and_then(|rest| rest.split_once(char::is_whitespace))
            else {
                continue;
            };
            let value = value.trim().trim_matches('"').to_owned();
            match name {
                "UTS_RELEASE" => observed.uts_release = value,
                "UTS_VERSION" => observed.uts_version = value,
                "UTS_MACHINE" => observed.uts_machine = value,
                "LINUX_COMPILER" => observed.linux_compiler = value,
                "LINUX_COMPILE_BY" => observed.linux_compile_by = value,
                "LINUX_COMPILE_HOST" => observed.linux_compile_host = value,
                _ => {}
            }
        }
        observed
    }
}

impl Record {
    /// Where the observation contradicts the prediction. `uname -v` is cut at 64 bytes by
    /// the kernel's `init/Makefile`, so a cut timestamp is compared as far as it goes.
    pub fn mismatches(&self, observed: &Observed) -> Vec<Mismatch> {
        let mut mismatches = Vec::new();
        let mut check = |field, predicted: &str, seen: &str, agrees: bool| {
            if !agrees {
                mismatches.push(Mismatch {
                    field,
                    predicted: predicted.to_owned(),
                    observed: seen.to_owned(),
                });
            }
        };
        check(
            "UTS_RELEASE",
            &self.release,
            &observed.uts_release,
            self.release == observed.uts_release,
        );
        let compiler = &observed.linux_compiler;
        check(
            "LINUX_COMPILER",
            &self.toolchain.version,
            compiler,
            compiler.starts_with(&self.toolchain.version),
        );
        if let Some(predicted) = &self.predicted {
            let version = &observed.uts_version;
            let begins = version.starts_with(&format!("#{} ", predicted.build_version));
            let ends = version.ends_with(&predicted.timestamp) || version.len() >= 64;
            let expected = format!("#{} … {}", predicted.build_version, predicted.timestamp);
            check("UTS_VERSION", &expected, version, begins && ends);
            let by = &observed.linux_compile_by;
            check(
                "LINUX_COMPILE_BY",
                &predicted.compile_by,
                by,
                by == &predicted.compile_by,
            );
            let host = &observed.linux_compile_host;
            check(
                "LINUX_COMPILE_HOST",
                &predicted.compile_host,
                host,
                host == &predicted.compile_host,
            );
        }
        mismatches
    }

    /// The output of `kind`, where the build has one.
    pub fn output(&self, kind: OutputKind) -> Option<&Output> {
        self.outputs.iter().find(|output| output.kind == kind)
    }

    /// The absolute path of the output of `kind`.
    pub fn output_path(&self, kind: OutputKind) -> Option<Utf8PathBuf> {
        self.output(kind)
            .map(|output| self.dirs.destdir.join(&output.path))
    }
}

/// A file is not a manifest of this schema.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not JSON of the right shape.
    #[error("not a manifest")]
    Json(#[from] serde_json::Error),
    /// Written by another generation of kernelkit.
    #[error("manifest has schema {0}, this kernelkit reads up to {SCHEMA}")]
    Schema(u64),
}

impl Manifest {
    /// Reads `manifest.json`.
    pub fn parse(bytes: &[u8]) -> Result<Manifest, Error> {
        let value: serde_json::Value = serde_json::from_slice(bytes)?;
        match value.get("schema").and_then(serde_json::Value::as_u64) {
            Some(schema) if schema > u64::from(SCHEMA) => Err(Error::Schema(schema)),
            _ => Ok(serde_json::from_value(value)?),
        }
    }

    /// The file's text, with a final newline.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self)
            .expect("a manifest has no map with keys that are not strings");
        text.push('\n');
        text
    }
}

/// The JSON schema of `manifest.json`, generated from the types above.
pub fn json_schema() -> String {
    let schema = schemars::schema_for!(Manifest);
    let mut text = serde_json::to_string_pretty(&schema).expect("a JSON schema is JSON");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_headers_are_read_back() {
        let observed = Observed::parse(
            "#define UTS_RELEASE \"6.12.117-tiny-0123456789ab\"\n#define UTS_VERSION \"#1 SMP Sun Aug 25 20:57:08 UTC 1991\"\n\
             #define UTS_MACHINE\t\t\"x86_64\"\n#define LINUX_COMPILE_BY\t\"kernelkit\"\n#define LINUX_COMPILE_HOST\t\"kernelkit\"\n\
             #define LINUX_COMPILER\t\t\"gcc (Debian 12.2.0-14) 12.2.0, GNU ld (GNU Binutils for Debian) 2.40\"\n",
        );
        assert_eq!(observed.uts_machine, "x86_64");
        assert_eq!(
            observed.linux_compiler,
            "gcc (Debian 12.2.0-14) 12.2.0, GNU ld (GNU Binutils for Debian) 2.40"
        );
        assert_eq!(observed.uts_version, "#1 SMP Sun Aug 25 20:57:08 UTC 1991");
    }

    #[test]
    fn a_manifest_of_another_schema_is_refused() {
        let error = Manifest::parse(br#"{"schema": 99}"#).unwrap_err();
        assert_eq!(
            error.to_string(),
            "manifest has schema 99, this kernelkit reads up to 2"
        );
    }
}

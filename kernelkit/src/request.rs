//! What is asked of the kernel's configuration: a base and the merged fragments.

use camino::Utf8PathBuf;

use crate::config;
use crate::fragment::{self, Base, Library, Selection};
use crate::merge::{self, Merged};
use crate::source::Tree;
use crate::spec::{ConfigBase, KernelSpec};

/// A configuration before it is resolved.
#[derive(Clone, Debug)]
pub struct ConfigRequest {
    /// How the kernel's make turns it into a `.config`.
    pub method: Method,
    /// The merged fragments.
    pub merged: Merged,
    /// The fragments' names, in canonical order.
    pub fragments: Vec<String>,
    /// Conflicts among the fragments and the like: for the user to read.
    pub warnings: Vec<String>,
}

/// How a request becomes a `.config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// `make KCONFIG_ALLCONFIG=<merged> <goal>`.
    AllConfig {
        /// What becomes of symbols that are not merged.
        base: Base,
    },
    /// The goals, then the merged fragments on top, then `olddefconfig`.
    Goals {
        /// In order.
        goals: Vec<String>,
    },
    /// The file, then the merged fragments on top, then `olddefconfig`.
    File {
        /// Absolute.
        path: Utf8PathBuf,
    },
}

impl ConfigRequest {
    /// The request in full, as text: the same text asks for the same, wherever it is read. Of
    /// a file only its name is in it.
    pub fn text(&self) -> String {
        let base = match &self.method {
            Method::AllConfig { base } => base.make_goal().to_owned(),
            Method::Goals { goals } => goals.join(" "),
            Method::File { path } => path.file_name().unwrap_or_default().to_owned(),
        };
        format!("{base}\n{}", self.merged.to_config_text())
    }
}

/// Merges what `spec` asks for.
pub fn request(
    spec: &KernelSpec,
    library: &Library,
    tree: &Tree,
) -> Result<ConfigRequest, fragment::Error> {
    let preset = match &spec.base.value {
        ConfigBase::Preset { name } => Some(name.as_str()),
        _ => None,
    };
    let layers = library.select(&Selection {
        preset,
        fragments: &spec.fragments.value,
        debug: spec.debug.value,
        trust: !spec.trust.is_empty(),
        arch: spec.arch.value,
        version: &tree.version,
    })?;
    let method = match &spec.base.value {
        ConfigBase::Preset { .. } => Method::AllConfig {
            base: layers.base.unwrap_or(Base::AllDefConfig),
        },
        ConfigBase::Fragments { allnoconfig: true } => Method::AllConfig {
            base: Base::AllNoConfig,
        },
        ConfigBase::Fragments { allnoconfig: false } => Method::AllConfig {
            base: Base::AllDefConfig,
        },
        ConfigBase::Make { goals } => Method::Goals {
            goals: goals.clone(),
        },
        ConfigBase::File { path } => Method::File { path: path.clone() },
    };
    let fragments = layers
        .fragments()
        .map(|fragment| fragment.name().to_string())
        .collect();
    let merged = merge::merge(layers.fragments());
    let warnings = merged
        .diagnostics()
        .iter()
        .map(ToString::to_string)
        .collect();
    Ok(ConfigRequest {
        method,
        merged,
        fragments,
        warnings,
    })
}

/// The base in words.
pub fn describe(base: &ConfigBase) -> String {
    match base {
        ConfigBase::Preset { name } => format!("preset {name}"),
        ConfigBase::Make { goals } => format!("make {}", goals.join(" ")),
        ConfigBase::File { path } => format!("file {path}"),
        ConfigBase::Fragments { allnoconfig: true } => "fragments over allnoconfig".to_owned(),
        ConfigBase::Fragments { allnoconfig: false } => "fragments over alldefconfig".to_owned(),
    }
}

/// `base` with the merged settings on top: lines of the same symbols are dropped and the
/// settings appended, as `olddefconfig` then reads the last of each.
pub fn overlay(base: &str, merged: &Merged) -> String {
    let overridden = |line: &str| matches!(config::parse_line(line), Some(Ok((symbol, _))) if merged.get(&symbol).is_some());
    let mut text: String = base
        .lines()
        .filter(|line| !overridden(line))
        .flat_map(|line| [line, "\n"])
        .collect();
    text.push_str(&merged.to_config_text());
    text
}

//! What `patches` holds: a path, or a table that says for which kernels it is.

use std::fmt;

use serde::Serialize;
use toml::de::{DeTable, DeValue};

use super::input::{Input, Outcome};
use super::layer::PatchParts;
use super::settings::{Read, Table};
use super::value::InvalidValue;
use super::{KernelName, read, source};
use crate::arch::Arch;
use crate::version::VersionRange;

/// Patches that are applied together, and the kernels that they are for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PatchSet {
    /// A file, a glob, a directory or a quilt `series` file, relative to the root.
    pub path: String,
    /// The versions that it is for; all where absent.
    pub version: Option<VersionRange>,
    /// The architectures that it is for; all where none is named.
    pub arches: Vec<Arch>,
    /// The flavours that it is for; all kernels, those without one too, where none is named.
    pub flavours: Vec<KernelName>,
    /// Whether it is for kernels with the debug layer, or for those without; both where absent.
    pub debug: Option<bool>,
    /// How many lines at either end of a hunk may differ, instead of the kernel's `patch-fuzz`.
    pub fuzz: Option<u32>,
}

impl PatchSet {
    /// For every kernel.
    pub fn new(path: impl Into<String>) -> Self {
        PatchSet {
            path: path.into(),
            ..PatchSet::default()
        }
    }

    /// Whether it is a variant's: for some architectures or flavours, or for debug kernels or
    /// the others.
    /// What a variant has of its own lies below what belongs to a version, and that below what
    /// is for all.
    pub fn is_variant(&self) -> bool {
        !self.arches.is_empty() || !self.flavours.is_empty() || self.debug.is_some()
    }
}

impl fmt::Display for PatchSet {
    /// The path, and the conditions in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        let arches = self.arches.iter().map(|arch| arch.name().to_owned());
        let conditions: Vec<String> = self
            .version
            .iter()
            .map(ToString::to_string)
            .chain(arches)
            .chain(self.flavours.iter().map(ToString::to_string))
            .chain(self.debug.map(|debug| format!("debug = {debug}")))
            .collect();
        match conditions.as_slice() {
            [] => Ok(()),
            conditions => write!(f, " ({})", conditions.join(", ")),
        }
    }
}

/// Reads `patches`; everything that is wrong with it is reported.
pub(super) fn read(input: &Input<'_>) -> Outcome<Vec<PatchSet>> {
    let DeValue::Array(items) = input.value.get_ref() else {
        return Err(input.wrong_type(input.value));
    };
    let mut sets = Vec::new();
    let mut problems = Vec::new();
    for item in items.iter() {
        let set = match item.get_ref() {
            DeValue::Table(table) => read_table(input, table),
            _ => input
                .text_of(item)
                .map(|text| PatchSet::new(resolved(text, input))),
        };
        match set {
            Ok(set) => sets.push(set),
            Err(wrong) => problems.extend(wrong),
        }
    }
    if problems.is_empty() {
        Ok(sets)
    } else {
        Err(problems)
    }
}

/// Relative to the root, as errors and listings show it; on the command line, relative to the
/// current directory.
fn resolved(text: &str, input: &Input<'_>) -> String {
    if input.base == input.root {
        text.to_owned()
    } else {
        source::resolve(input.base, text).into_string()
    }
}

fn read_table(input: &Input<'_>, table: &DeTable<'_>) -> Outcome<PatchSet> {
    let mut parts = PatchParts::default();
    read::read_table(
        &input.place,
        table,
        Table::Patch,
        (input.base, input.root),
        &mut |setting, inner| match setting.read {
            Read::Patch(read) => read(&mut parts, inner),
            _ => unreachable!("a row of the patch table is read as one"),
        },
    )?;
    let Some(path) = parts.path else {
        return Err(vec![
            input
                .problem("a table in `patches` needs a `path`")
                .hint("write it like `{ path = \"patches/arm64\", arch = \"arm64\" }`".to_owned()),
        ]);
    };
    Ok(PatchSet {
        path: resolved(&path.value, input),
        version: parts.version.map(|version| version.value),
        arches: parts.arches,
        flavours: parts.flavours,
        debug: parts.debug.map(|debug| debug.value),
        fuzz: parts.fuzz.map(|fuzz| fuzz.value),
    })
}

/// A range of versions.
pub(super) fn range(text: &str) -> Result<VersionRange, InvalidValue> {
    text.parse().map_err(|error: crate::version::InvalidRange| {
        InvalidValue::new(error.to_string(), error.hint().unwrap_or_default())
    })
}

/// A number of lines. git writes three lines of context; more cannot differ.
pub(super) fn fuzz(text: &str) -> Result<u32, InvalidValue> {
    text.parse().ok().filter(|fuzz| *fuzz <= 2).ok_or_else(|| {
        InvalidValue::new(
            format!("`{text}` is not a fuzz"),
            "use 0, 1 or 2: so many lines of context at either end of a hunk may differ",
        )
    })
}

//! The kernel's configuration language, without the kernel's own reader.
//!
//! A tree is read once into an immutable [`Kconfig`]; every [`Request`] then costs a
//! few milliseconds and gives a [`Resolution`], byte for byte what
//! `scripts/kconfig/conf` of the same tree writes. The rules are those of
//! Documentation/kbuild/kconfig-language.rst, kconfig-macro-language.rst and
//! kconfig.rst; where trees of different age disagree, [`Dialect`] says which
//! rule holds, and it is read from the tree, not from its version.
//!
//! This module is pure: files come through a [`Reader`], the output of `$(shell …)`
//! through a closure. [`effect::kconfig`](crate::effect::kconfig) has both for real trees.
mod config_file;
mod diagnostic;
mod diff;
mod eval;
mod explain;
mod fix;
mod intern;
mod lex;
mod link;
mod merge_config;
mod model;
mod number;
mod output;
mod parse;
mod preprocess;
mod random;
mod refusal;
mod renames;
mod resolve;
mod save;
mod search;
mod sentence;
mod show;
#[cfg(test)]
mod situations;
#[cfg(test)]
mod tests;
mod upgrade;
mod ways;

use std::collections::BTreeMap;
use std::sync::Arc;

use camino::Utf8Path;

pub use diagnostic::{Diagnostic, Severity};
pub use diff::{Change, diff, diff_texts, spell};
pub use explain::{Dependency, Dropped, Explanation, Origin, Selector, Term, Unmet};
pub use fix::{Fix, Lost, Setting};
pub use merge_config::{MergeNote, MergeNoteKind, MergeOptions, MergeRules, Merged, merge_config};
pub use model::{NodeId, Position, SymbolId, Tristate, Type};
pub use preprocess::ProbeResult;
pub use random::{Probability, ProbabilityError, parse_seed};
pub use refusal::{Cause, DefaultLine, Leaf, Reason, Refusal};
pub use renames::{RENAMES, Rename, renamed};
pub use resolve::{Input, Mode, Request, Resolution, Value};
pub use save::Unreachable;
pub use search::{Found, Match};
pub use show::Place;
pub use upgrade::{Changed, New, Renamed, Upgrade, upgrade};

/// Where files come from. A path is first asked for as it is written (relative to
/// the directory a build runs in), then below the source tree.
pub trait Reader {
    /// The whole file; [`NotFound`](std::io::ErrorKind::NotFound) makes the caller look elsewhere.
    fn read(&self, path: &Utf8Path) -> std::io::Result<Vec<u8>>;
}

impl<F: Fn(&Utf8Path) -> std::io::Result<Vec<u8>>> Reader for F {
    fn read(&self, path: &Utf8Path) -> std::io::Result<Vec<u8>> {
        self(path)
    }
}

/// Which rules a tree follows, where they changed over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// A choice is itself a bool or tristate symbol that its members depend on
    /// (before 6.9), not a plain selection among its visible members.
    pub choice_is_symbol: bool,
    /// `optional` is a keyword of choices (before 6.9).
    pub optional_choices: bool,
    /// `bool "prompt"` may stand in a choice (before 7.0).
    pub choice_bool: bool,
    /// There are `transitional` symbols (from 7.0 on); entries are checked more strictly.
    pub transitional: bool,
    /// `depends on A if B` (from 7.0 on).
    pub conditional_depends: bool,
    /// A file may be included once only (from 7.0 on).
    pub repeated_inclusion_is_error: bool,
}

impl Dialect {
    /// Rules of 6.1.
    pub const OLD: Dialect = Dialect {
        choice_is_symbol: true,
        optional_choices: true,
        choice_bool: true,
        transitional: false,
        conditional_depends: false,
        repeated_inclusion_is_error: false,
    };
    /// Rules of 6.12.
    pub const V6_12: Dialect = Dialect {
        choice_is_symbol: false,
        optional_choices: false,
        ..Dialect::OLD
    };
    /// Rules of 7.2 and later.
    pub const V7: Dialect = Dialect {
        choice_is_symbol: false,
        optional_choices: false,
        choice_bool: false,
        transitional: true,
        conditional_depends: true,
        repeated_inclusion_is_error: true,
    };
}

/// Why a tree could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A statement that is none, or a macro that cannot be expanded.
    #[error("{file}:{line}: {message}")]
    Syntax {
        /// The Kconfig file.
        file: String,
        /// Line, from 1.
        line: u32,
        /// What is wrong.
        message: String,
    },
    /// A file that is not there.
    #[error("{file}:{line}: cannot read `{name}`")]
    Source {
        /// The file that includes it.
        file: String,
        /// Line of the `source` statement, or 0 for the first file.
        line: u32,
        /// The name as written.
        name: String,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// A file that includes itself.
    #[error("recursive inclusion of `{name}`")]
    RecursiveInclusion {
        /// The name as written.
        name: String,
        /// File and line of each `source`, innermost first.
        path: Vec<(String, u32)>,
    },
    /// A file that is included a second time.
    #[error("{file}:{line}: repeated inclusion of {name}")]
    RepeatedInclusion {
        /// The file with the second `source`.
        file: String,
        /// Its line.
        line: u32,
        /// The name as written.
        name: String,
        /// The file with the first `source`.
        first_file: String,
        /// Its line.
        first_line: u32,
    },
    /// The output of a `$(shell …)` could not be had.
    #[error("{file}:{line}: no output of `{command}`")]
    Probe {
        /// The Kconfig file.
        file: String,
        /// Line, from 1.
        line: u32,
        /// The command.
        command: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Entries that contradict the rules; the errors are among the diagnostics.
    #[error("the Kconfig files have errors")]
    Invalid {
        /// All errors, and the warnings so far.
        diagnostics: Vec<Diagnostic>,
    },
    /// Symbols that depend on each other in a circle.
    #[error("recursive dependency: {}", circles[0].join(", "))]
    RecursiveDependency {
        /// Each circle, one sentence a link: `symbol A depends on B`. Never empty.
        circles: Vec<Vec<String>>,
    },
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Syntax { .. } | Error::Invalid { .. } => Some(
                "the rules are in Documentation/kbuild/kconfig-language.rst of the tree".to_owned(),
            ),
            Error::Source { name, .. } => Some(format!(
                "is this a whole kernel tree? `{name}` belongs to it"
            )),
            Error::RecursiveInclusion { path, .. } => {
                let path: Vec<_> = path
                    .iter()
                    .map(|(file, line)| format!("{file}:{line}"))
                    .collect();
                Some(format!("included from {}", path.join(", from ")))
            }
            Error::RepeatedInclusion {
                name,
                first_file,
                first_line,
                ..
            } => Some(format!(
                "{name} is first included at {first_file}:{first_line}"
            )),
            Error::Probe { .. } => Some("record the probes again, or let them run".to_owned()),
            Error::RecursiveDependency { .. } => Some(
                "see \"Kconfig recursive dependency limitations\" in \
                 Documentation/kbuild/kconfig-language.rst"
                    .to_owned(),
            ),
        }
    }
}

/// A tree's symbols, menus and rules; made once, then only read.
#[derive(Debug)]
pub struct Kconfig {
    model: model::Model,
    dialect: Dialect,
    files: Vec<String>,
    contents: Vec<Arc<[u8]>>,
    main_menu: Vec<u8>,
    prefix: String,
    referenced: Vec<(String, String)>,
    diagnostics: Vec<Diagnostic>,
}

impl Kconfig {
    /// Reads the tree whose first file is `root` (the kernel's is `Kconfig`).
    ///
    /// `variables` is the environment that `$(NAME)` sees; `srctree` in it is where
    /// included files are looked for, and `CONFIG_` replaces the prefix of that name.
    /// `probe` answers `$(shell …)` with a command's standard output.
    pub fn load(
        reader: &dyn Reader,
        root: &str,
        probe: &mut dyn FnMut(&[u8]) -> ProbeResult,
        variables: &BTreeMap<String, String>,
        dialect: Dialect,
    ) -> Result<Self, Error> {
        let macros = preprocess::Macros::new(variables, probe);
        let source_tree = variables.get("srctree").map(String::as_str);
        let parsed = parse::parse(reader, root, macros, source_tree, dialect)?;
        Ok(Kconfig {
            model: parsed.model,
            dialect,
            files: parsed.files,
            contents: parsed.contents,
            main_menu: parsed.main_menu,
            prefix: variables
                .get("CONFIG_")
                .map_or("CONFIG_", String::as_str)
                .to_owned(),
            referenced: parsed.referenced,
            diagnostics: parsed.diagnostics,
        })
    }

    /// The rules it was read by.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Names of the files, in the order they were first included.
    pub fn files(&self) -> &[String] {
        &self.files
    }

    /// The name of a [`Position`]'s file.
    pub fn file_name(&self, file: u32) -> &str {
        &self.files[file as usize]
    }

    /// Environment variables the files asked for and what they were, in order;
    /// without those that were not set.
    pub fn referenced_variables(&self) -> &[(String, String)] {
        &self.referenced
    }

    /// Warnings about the Kconfig files.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// The symbol `name`, without `CONFIG_`, if any file mentions it.
    pub fn find(&self, name: &str) -> Option<SymbolId> {
        self.model.names.find(name.as_bytes(), false)
    }
}

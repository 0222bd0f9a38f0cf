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
//!
//! # All of it on a tree in memory
//!
//! [`Kconfig::load`] reads a tree and [`Kconfig::resolve`] answers; [`Mode`] has what
//! `make olddefconfig`, `make allnoconfig` and their kin do. [`Resolution::explain`] and
//! [`Resolution::check`] say why, [`diff`] and [`upgrade`] compare,
//! [`Resolution::savedefconfig`] and [`Kconfig::fragment`] save.
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use camino::Utf8Path;
//! use kernelkit::kconfig::{Dialect, Input, Kconfig, Mode, Request, Resolution};
//!
//! /// A tree in memory; nothing in it needs a `$(shell …)`.
//! fn load(text: &'static str) -> Result<Kconfig, kernelkit::kconfig::Error> {
//!     let reader = move |path: &Utf8Path| match path.as_str() {
//!         "Kconfig" => Ok(text.as_bytes().to_vec()),
//!         _ => Err(std::io::ErrorKind::NotFound.into()),
//!     };
//!     let mut probe = |_: &[u8]| Ok(Vec::new());
//!     Kconfig::load(&reader, "Kconfig", &mut probe, &BTreeMap::new(), Dialect::V7)
//! }
//!
//! /// What `make olddefconfig` makes of a `.config`.
//! fn resolve<'k>(kconfig: &'k Kconfig, text: &str) -> Resolution<'k> {
//!     kconfig.resolve(&Request {
//!         mode: Mode::Olddefconfig,
//!         inputs: &[Input { name: "mine.config", text: text.as_bytes() }],
//!         warn_unknown: true,
//!     })
//! }
//!
//! let kconfig = load(
//!     "config NET\n\tbool \"Networking\"\n\
//!      config E1000\n\tbool \"Intel E1000\"\n\tdepends on NET\n\
//!      config QUEUES\n\tint \"Queues\"\n\tdefault 4 if NET\n\tdefault 1\n",
//! )?;
//! let resolution = resolve(&kconfig, "CONFIG_NET=y\n");
//! let config = String::from_utf8(resolution.dot_config())?;
//! assert!(config.ends_with("CONFIG_NET=y\n# CONFIG_E1000 is not set\nCONFIG_QUEUES=4\n"));
//!
//! // Where a value comes from:
//! let queues = resolution.explain("QUEUES").unwrap();
//! assert_eq!(queues.origin.to_string(), "default at Kconfig:8");
//!
//! // Why a request is not honoured, and the smallest change that helps:
//! let resolution = resolve(&kconfig, "CONFIG_E1000=y\n");
//! let refusal = resolution.check("E1000", "y").unwrap();
//! assert!(refusal.sentence.contains("it depends on `NET`"), "{}", refusal.sentence);
//! let fix = refusal.fix.unwrap();
//! assert_eq!(fix.settings[0].to_string(), "CONFIG_NET=y");
//!
//! // Two configurations, of one tree or of two:
//! use kernelkit::kconfig::diff;
//! let (off, on) = (resolve(&kconfig, ""), resolve(&kconfig, "CONFIG_NET=y\n"));
//! let changes = diff(&off, &on);
//! let told: Vec<String> = changes
//!     .iter()
//!     .map(|change| format!("{}: {:?} {:?}", change.symbol, change.old_text(), change.new_text()))
//!     .collect();
//! assert_eq!(
//!     told,
//!     [
//!         r#"NET: Some("n") Some("y")"#,
//!         r#"E1000: None Some("n")"#,
//!         r#"QUEUES: Some("1") Some("4")"#,
//!     ]
//! );
//!
//! // As a defconfig, or as a fragment over another configuration:
//! let wanted = resolve(&kconfig, "CONFIG_NET=y\nCONFIG_QUEUES=1\n");
//! assert_eq!(wanted.savedefconfig(), b"CONFIG_NET=y\nCONFIG_QUEUES=1\n");
//! let base = Request {
//!     mode: Mode::Olddefconfig,
//!     inputs: &[Input { name: "base", text: b"CONFIG_NET=y\n" }],
//!     warn_unknown: false,
//! };
//! let settings = kconfig.fragment(&base, &wanted)?;
//! let lines: Vec<String> = settings.iter().map(ToString::to_string).collect();
//! assert_eq!(lines, ["CONFIG_QUEUES=1"]);
//!
//! // What becomes of a configuration on another tree:
//! let newer = load(
//!     "config NET\n\tbool \"Networking\"\n\
//!      config E1000E\n\tbool \"Intel E1000\"\n\tdepends on NET\n",
//! )?;
//! use kernelkit::kconfig::upgrade;
//! let old = resolve(&kconfig, "CONFIG_NET=y\nCONFIG_E1000=y\n");
//! let new = resolve(&newer, "CONFIG_NET=y\nCONFIG_E1000=y\n");
//! let upgrade = upgrade(&old, &new);
//! assert_eq!(upgrade.renamed[0].new, ["E1000E"]);
//! assert!(upgrade.renamed[0].guess);
//! assert_eq!(upgrade.removed[0].symbol, "QUEUES");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
mod about;
mod ask;
mod check;
mod config_file;
mod diagnostic;
mod diff;
mod eval;
mod explain;
mod fix;
mod image;
mod intern;
mod lex;
mod link;
mod memory;
mod menus;
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
mod simplify;
#[cfg(test)]
mod situations;
#[cfg(test)]
mod tests;
mod upgrade;
mod ways;

use std::collections::BTreeMap;

use camino::Utf8Path;

pub use ask::{Answer, Extent, Interview, Member, Question, Unanswered};
pub use diagnostic::{Diagnostic, Severity};
pub use diff::{Change, diff, diff_texts, spell};
pub use explain::{Dependency, Dropped, Explanation, Origin, Selector, Term, Unmet};
pub use fix::{Fix, Lost, Setting};
use image::Contents;
pub use image::ReadFile;
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
    /// An entry that needs the one before it to be off is not shown below that (from 7.3 on).
    pub negations_end_submenus: bool,
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
        negations_end_submenus: false,
    };
    /// Rules of 6.12.
    pub const V6_12: Dialect = Dialect {
        choice_is_symbol: false,
        optional_choices: false,
        ..Dialect::OLD
    };
    /// Rules of 7.3 and later; 7.2 only shows its menus otherwise.
    pub const V7: Dialect = Dialect {
        choice_is_symbol: false,
        optional_choices: false,
        choice_bool: false,
        transitional: true,
        conditional_depends: true,
        repeated_inclusion_is_error: true,
        negations_end_submenus: true,
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
    #[error("{}:{}: recursive inclusion of `{name}`", path[0].0, path[0].1)]
    RecursiveInclusion {
        /// The name as written.
        name: String,
        /// File and line of each `source`, innermost first. Never empty.
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
    #[error("{}", recursive_dependency(&circles[0]))]
    RecursiveDependency {
        /// Each circle, link by link. Neither is ever empty.
        circles: Vec<Vec<CircleLink>>,
    },
}

/// Why a symbol of a circle depends on the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CircleLink {
    /// The file that defines the symbol, or selects it.
    pub file: String,
    /// The line there.
    pub line: u32,
    /// In the kernel's words: `symbol A depends on B`.
    pub text: String,
}

fn recursive_dependency(circle: &[CircleLink]) -> String {
    let texts: Vec<_> = circle.iter().map(|link| link.text.as_str()).collect();
    let CircleLink { file, line, .. } = &circle[0];
    format!("{file}:{line}: recursive dependency: {}", texts.join(", "))
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
    contents: Contents,
    main_menu: Vec<u8>,
    prefix: String,
    referenced: Vec<(String, String)>,
    unset: Vec<String>,
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
            contents: Contents::of(parsed.contents),
            main_menu: parsed.main_menu,
            prefix: variables
                .get("CONFIG_")
                .map_or("CONFIG_", String::as_str)
                .to_owned(),
            referenced: parsed.referenced,
            unset: parsed.unset,
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

    /// Environment variables the files asked for that were not set.
    pub fn unset_variables(&self) -> &[String] {
        &self.unset
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

//! Real kernel trees for [`crate::kconfig`]: files, probes and the drop-in for `conf`.
//!
//! [`load_tree`] reads a tree once; then everything that [`crate::kconfig`] offers can be
//! asked, without a process and without a file. `examples/resolve.rs` is a program of it.
//!
//! ```no_run
//! use std::collections::BTreeMap;
//!
//! use kernelkit::effect::environment::Environment;
//! use kernelkit::effect::fs;
//! use kernelkit::effect::kconfig::{Probes, Tree, load_tree};
//! use kernelkit::kconfig::{Input, Mode, Request};
//!
//! let environment = Environment::read()?;
//! let loaded = load_tree(
//!     &Tree {
//!         source: "/usr/src/linux".into(),
//!         directory: "/tmp/scratch".into(),
//!         arch: "arm64",
//!         make_variables: &BTreeMap::from([(
//!             "CROSS_COMPILE".to_owned(),
//!             "aarch64-linux-gnu-".to_owned(),
//!         )]),
//!         environment: &environment.tool_variables(),
//!     },
//!     // The tree's probes run, and what they say is kept for the next time. A tree that
//!     // is not trusted is read with `Probes::Recorded` or `Probes::None`.
//!     &Probes::Run(Some("/tmp/probes".into())),
//! )?;
//! let defconfig = fs::read("/usr/src/linux/arch/arm64/configs/defconfig")?;
//! let resolution = loaded.kconfig.resolve(&Request {
//!     mode: Mode::Defconfig,
//!     inputs: &[Input { name: "defconfig", text: &defconfig }],
//!     warn_unknown: false,
//! });
//! fs::write_atomic("/tmp/.config", &resolution.dot_config())?;
//! if let Some(refusal) = resolution.check("KVM", "m") {
//!     println!("{}", refusal.sentence);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod ahead;
pub mod conf;
mod image;
pub mod probe;
mod shell;
mod tree;

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};

use super::fs;
use ahead::Ahead;
pub use tree::{Error, Loaded, Probes, Tree, load_tree};

use crate::kconfig::{Dialect, Reader};
use crate::limits;

/// Finds which rules a tree follows, by the words its own reader's sources contain.
///
/// A directory without those sources (a test's, say) gets `otherwise`.
pub fn detect_dialect(tree: &Utf8Path, otherwise: Dialect) -> Result<Dialect, fs::Error> {
    let read = |name: &str| fs::optional_input(tree.join("scripts/kconfig").join(name));
    let contains = |text: &Option<Vec<u8>>, word: &str| {
        text.as_ref().is_some_and(|text| {
            text.windows(word.len())
                .any(|window| window == word.as_bytes())
        })
    };
    let symbol = read("symbol.c")?;
    if symbol.is_none() {
        return Ok(otherwise);
    }
    let lexer = read("lexer.l")?;
    let util = read("util.c")?;
    let menu = read("menu.c")?;
    let language = fs::optional_input(tree.join("Documentation/kbuild/kconfig-language.rst"))?;
    let transitional = contains(&lexer, "transitional");
    Ok(Dialect {
        choice_is_symbol: !contains(&symbol, "choice_members"),
        optional_choices: contains(&lexer, "\"optional\""),
        choice_bool: !transitional,
        transitional,
        conditional_depends: contains(&language, "\"depends on\" <expr> [\"if\" <expr>]"),
        repeated_inclusion_is_error: contains(&util, "repeated inclusion"),
        negations_end_submenus: contains(&menu, "negat"),
    })
}

/// Reads files relative to a directory, and knows which directories are not there:
/// most included files are only found in the source tree, and asking for each
/// of them in the build directory first would double the system calls.
#[derive(Debug)]
pub struct TreeReader {
    directory: Utf8PathBuf,
    known: RefCell<HashMap<Utf8PathBuf, bool>>,
    ahead: Option<RefCell<Ahead>>,
}

impl TreeReader {
    /// A reader for relative paths below `directory`.
    pub fn new(directory: impl Into<Utf8PathBuf>) -> Self {
        TreeReader {
            directory: directory.into(),
            known: RefCell::new(HashMap::new()),
            ahead: None,
        }
    }

    /// The same, where what the last load of `tree` read is read by another thread; lists of
    /// files are kept below `cache`.
    pub fn reading_ahead(directory: impl Into<Utf8PathBuf>, cache: &Utf8Path, tree: &str) -> Self {
        TreeReader {
            ahead: Some(RefCell::new(Ahead::start(cache, tree))),
            ..TreeReader::new(directory)
        }
    }

    /// After a load: keeps the list of files for the next one.
    pub fn save(&self) {
        if let Some(ahead) = &self.ahead {
            ahead.borrow().save();
        }
    }

    /// The path below the directory, unless it is certain that nothing is there.
    fn place(&self, path: &Utf8Path) -> Option<Utf8PathBuf> {
        // A file of the working directory itself is rare enough to just ask.
        let asked = path.parent().is_none_or(|parent| self.exists(parent));
        (path.is_absolute() || asked).then(|| self.directory.join(path))
    }

    fn exists(&self, directory: &Utf8Path) -> bool {
        if directory.as_str().is_empty() {
            return true;
        }
        if let Some(exists) = self.known.borrow().get(directory) {
            return *exists;
        }
        let exists = directory.parent().is_none_or(|parent| self.exists(parent))
            && self.directory.join(directory).is_dir();
        self.known.borrow_mut().insert(directory.to_owned(), exists);
        exists
    }
}

impl Reader for TreeReader {
    fn read(&self, path: &Utf8Path) -> io::Result<Vec<u8>> {
        if path.is_absolute() {
            let Some(ahead) = &self.ahead else {
                return fs::read_within(path, limits::INPUT);
            };
            let mut ahead = ahead.borrow_mut();
            let bytes = match ahead.take(path) {
                Some(bytes) => bytes,
                None => fs::read_within(path, limits::INPUT)?,
            };
            ahead.note(path);
            return Ok(bytes);
        }
        match self.place(path) {
            Some(path) => fs::read_within(&path, limits::INPUT),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

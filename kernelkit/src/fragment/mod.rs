//! Fragments: pieces of a kernel configuration, and the library that holds them.
//!
//! A fragment is a file that the kernel's own tools read as well: settings
//! (`CONFIG_X=y`, `# CONFIG_X is not set`), comments, empty lines. The comments
//! before the first other line are its header. A header line `# key: value`, the
//! key being lower-case letters, is metadata ([`KEYS`]); the rest is prose.
//!
//! ```text
//! # summary: ext4 with ACLs and security labels
//! # versions: >=5.10
//! # optional: EXT4_USE_FOR_EXT2
//! # The driver for ext2 has left the kernel; this one reads it too.
//!
//! CONFIG_BLOCK=y
//! CONFIG_EXT4_FS=m
//! CONFIG_EXT4_USE_FOR_EXT2=y
//! ```
//!
//! A symbol that some kernels lack is named in `optional`, not marked on its line:
//! a setting with anything behind it would mean something else to the kernel's tools.
//!
//! Reading is strict. A line that the kernel's tools would skip in silence, or read
//! differently from one version to the next, is a [`Diagnostic`]: an unknown key, a
//! value that is missing or malformed, blanks around a setting, a near miss of `is
//! not set`, a symbol set twice, a byte order mark. Lines may end in CR LF.
//!
//! Nothing here reads a file; [`effect::library`](crate::effect::library) does.

mod embedded;
mod library;
mod name;

use std::collections::HashMap;
use std::fmt;

use camino::Utf8PathBuf;
use serde::Serialize;

use crate::arch::{Arch, UnknownArch};
use crate::config::{self, InvalidSymbol, Symbol, Value};
use crate::version::{InvalidRange, KernelVersion, VersionRange};

pub use library::{Error, Layers, Library, Reason, Selected, Selection};
pub use name::{FragmentName, InvalidName, Layer};

/// What a symbol gets in a whole-kernel configuration that does not name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Base {
    /// `n`, where the symbol has a prompt (`make allnoconfig`).
    AllNoConfig,
    /// Its default (`make alldefconfig`).
    AllDefConfig,
}

impl Base {
    /// Each base and the make goal of its name.
    pub const ALL: [(Base, &'static str); 2] = [
        (Base::AllNoConfig, "allnoconfig"),
        (Base::AllDefConfig, "alldefconfig"),
    ];

    /// The kernel's make goal, which takes the forced symbols from `KCONFIG_ALLCONFIG`.
    pub fn make_goal(self) -> &'static str {
        match self {
            Base::AllNoConfig => "allnoconfig",
            Base::AllDefConfig => "alldefconfig",
        }
    }
}

/// One header key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// As it is written before the colon.
    pub name: &'static str,
    /// The value's form.
    pub value: &'static str,
    /// A list: the words of several lines add up.
    pub list: bool,
    /// The only layer where it means something.
    pub only_in: Option<Layer>,
    /// What it is for.
    pub meaning: &'static str,
}

/// Every header key.
pub const KEYS: [Key; 7] = [
    Key {
        name: "summary",
        value: "TEXT",
        list: false,
        only_in: None,
        meaning: "what the fragment gives, in one line",
    },
    Key {
        name: "arch",
        value: "ARCH…",
        list: true,
        only_in: None,
        meaning: "the architectures it applies to; without it, all",
    },
    Key {
        name: "versions",
        value: "RANGE",
        list: false,
        only_in: None,
        meaning: "the kernel versions it applies to; without it, all",
    },
    Key {
        name: "optional",
        value: "SYMBOL…",
        list: true,
        only_in: None,
        meaning: "symbols it sets that a kernel may lack or refuse",
    },
    Key {
        name: "base",
        value: "allnoconfig|alldefconfig",
        list: false,
        only_in: Some(Layer::Preset),
        meaning: "what every other symbol gets; without it, alldefconfig",
    },
    Key {
        name: "with",
        value: "NAME…",
        list: true,
        only_in: Some(Layer::Preset),
        meaning: "fragments it pulls in where they apply; `@arch` stands for the architecture",
    },
    Key {
        name: "extends",
        value: "NAME…",
        list: true,
        only_in: Some(Layer::Version),
        meaning: "the fragments it is added to, for the versions it names",
    },
];

/// What a fragment's header says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Header {
    /// What the fragment gives, in one line.
    pub summary: Option<String>,
    /// The architectures it applies to; empty means all.
    pub arch: Vec<Arch>,
    /// The versions it applies to.
    pub versions: Option<VersionRange>,
    /// Symbols that it sets and a kernel may lack or refuse.
    pub optional: Vec<Symbol>,
    /// A preset's base.
    pub base: Option<Base>,
    /// The fragments a preset pulls in, with `@arch` as written.
    pub with: Vec<String>,
    /// The fragments that a `version/` fragment is added to.
    pub extends: Vec<FragmentName>,
}

impl Header {
    /// Whether the fragment applies to an architecture.
    pub fn applies_to_arch(&self, arch: Arch) -> bool {
        self.arch.is_empty() || self.arch.contains(&arch)
    }

    /// Whether the fragment applies to a kernel version.
    pub fn applies_to_version(&self, version: &KernelVersion) -> bool {
        self.versions
            .as_ref()
            .is_none_or(|range| range.contains(version))
    }
}

/// Where a fragment was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Part of kernelkit.
    Embedded,
    /// A file of the user's.
    File(Utf8PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Embedded => f.write_str("the built-in library"),
            Origin::File(path) => f.write_str(path.as_str()),
        }
    }
}

/// A line of a fragment.
///
/// `Display` gives `debug/kasan.config:3`, with the whole path for a file of the user's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The fragment.
    pub fragment: FragmentName,
    /// Its file, unless it is embedded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Utf8PathBuf>,
    /// Counted from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "{path}:{}", self.line),
            None => write!(f, "{}.config:{}", self.fragment, self.line),
        }
    }
}

/// One symbol that a fragment sets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// The symbol.
    pub symbol: Symbol,
    /// The value asked for.
    pub value: Value,
    /// Counted from 1.
    pub line: usize,
    /// The header lists it as `optional`.
    pub optional: bool,
}

/// A parsed fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    name: FragmentName,
    origin: Origin,
    text: String,
    header: Header,
    settings: Vec<Setting>,
    diagnostics: Vec<Diagnostic>,
}

/// Something wrong in a fragment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize)]
#[error("{place}: {problem}")]
pub struct Diagnostic {
    /// The line.
    pub place: Place,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a line of a fragment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Problem {
    /// A header line looks like metadata, but no key has that name.
    #[error("unknown header key `{key}`")]
    UnknownKey {
        /// As written.
        key: String,
        /// The key that was probably meant.
        nearest: Option<&'static str>,
    },
    /// A key that is no list was given before.
    #[error("header key `{key}` was given on line {first} already")]
    RepeatedKey {
        /// The key.
        key: &'static str,
        /// Where it was given first.
        first: usize,
    },
    /// A key that means nothing in this layer.
    #[error("header key `{key}` means nothing outside of `{directory}/`")]
    MisplacedKey {
        /// The key.
        key: &'static str,
        /// Where it belongs.
        directory: &'static str,
    },
    /// A key without which a fragment of this layer makes no sense.
    #[error("header key `{key}` is missing")]
    MissingKey {
        /// The key.
        key: &'static str,
    },
    /// A value that the key does not take.
    #[error("header key `{key}` cannot be `{value}`")]
    InvalidValue {
        /// The key.
        key: &'static str,
        /// The word that does not fit.
        value: String,
        /// What it takes.
        expected: String,
    },
    /// A symbol is declared optional, but never set.
    #[error("{symbol} is optional, but the fragment does not set it")]
    OptionalNotSet {
        /// The symbol.
        symbol: Symbol,
    },
    /// The fragment sets a symbol a second time.
    #[error("{symbol} was set on line {first} already")]
    Repeated {
        /// The symbol.
        symbol: Symbol,
        /// Where it was set first.
        first: usize,
    },
    /// Neither a setting nor a comment.
    #[error("`{text}` is neither a setting nor a comment")]
    Malformed {
        /// The line.
        text: String,
    },
    /// Blanks before or behind a setting.
    #[error("blanks around `{text}`")]
    Blanks {
        /// The line without them.
        text: String,
    },
    /// The file starts with a byte order mark.
    #[error("the file starts with a byte order mark")]
    ByteOrderMark,
}

impl Diagnostic {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match &self.problem {
            Problem::UnknownKey { nearest, .. } => Some(match nearest {
                Some(key) => format!("did you mean `{key}`?"),
                None => format!(
                    "the keys are {}; prose belongs below the first empty line",
                    KEYS.map(|key| key.name).join(", ")
                ),
            }),
            Problem::RepeatedKey { .. } | Problem::Repeated { .. } => {
                Some("keep one of the two lines".to_owned())
            }
            Problem::MissingKey { key } => Some(format!("add a line `# {key}: …` at the top")),
            Problem::InvalidValue { expected, .. } => Some(expected.clone()),
            Problem::Malformed { text } => hint_for_malformed(text),
            Problem::Blanks { .. } => Some(
                "remove them: some kernels ignore such a line, others cut the value".to_owned(),
            ),
            Problem::ByteOrderMark => Some("save it as plain UTF-8".to_owned()),
            Problem::MisplacedKey { .. } | Problem::OptionalNotSet { .. } => {
                Some("remove it".to_owned())
            }
        }
    }
}

fn hint_for_malformed(text: &str) -> Option<String> {
    if let Some(comment) = text.strip_prefix('#') {
        let name = comment.split_whitespace().next()?;
        return Some(format!("to switch it off, write `# {name} is not set`"));
    }
    match text.split_once('=') {
        Some((name, _)) if !name.starts_with("CONFIG_") => {
            Some("a symbol is written with its prefix `CONFIG_`".to_owned())
        }
        Some((name, "")) => Some(format!(
            "for an empty text, write `{name}=\"\"`; to switch it off, `# {name} is not set`"
        )),
        Some(_) => Some("a value is y, m, n, a number, or a text in double quotes".to_owned()),
        None => Some("write `CONFIG_NAME=value` or `# CONFIG_NAME is not set`".to_owned()),
    }
}

/// A comment that was surely meant to be a setting: all but `# CONFIG_X is not set`
/// to the letter is a comment to the kernel's tools.
fn is_near_miss(line: &str) -> bool {
    line.strip_prefix('#')
        .and_then(|comment| comment.trim_start().strip_prefix("CONFIG_"))
        .and_then(|rest| rest.split_once(char::is_whitespace))
        .is_some_and(|(_, rest)| rest.trim_start().starts_with("is not set"))
}

/// The key and value of a header line that looks like metadata.
fn metadata(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.strip_prefix("# ")?.split_once(':')?;
    let is_key = !key.is_empty()
        && key
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    (is_key && (value.is_empty() || value.starts_with(' '))).then(|| (key, value.trim()))
}

impl Fragment {
    /// Reads a fragment. What is wrong with it is in [`Fragment::diagnostics`].
    pub fn parse(name: FragmentName, origin: Origin, text: impl Into<String>) -> Fragment {
        let mut fragment = Fragment {
            name,
            origin,
            text: text.into(),
            header: Header::default(),
            settings: Vec::new(),
            diagnostics: Vec::new(),
        };
        let text = std::mem::take(&mut fragment.text);
        fragment.read(&text);
        fragment.text = text;
        fragment
    }

    fn read(&mut self, text: &str) {
        if text.starts_with('\u{feff}') {
            self.report(1, Problem::ByteOrderMark);
        }
        let text = text.trim_start_matches('\u{feff}');
        let mut keys: HashMap<&'static str, usize> = HashMap::new();
        let mut optional: Vec<(Symbol, usize)> = Vec::new();
        let mut first_set: HashMap<Symbol, usize> = HashMap::new();
        let mut in_header = true;
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            if in_header && let Some((key, value)) = metadata(line) {
                self.read_key(number, key, value, &mut keys, &mut optional);
                continue;
            }
            match self.read_line(number, line) {
                Some((symbol, value)) => {
                    in_header = false;
                    if let Some(first) = first_set.get(&symbol) {
                        let first = *first;
                        self.report(number, Problem::Repeated { symbol, first });
                        continue;
                    }
                    first_set.insert(symbol.clone(), number);
                    self.settings.push(Setting {
                        symbol,
                        value,
                        line: number,
                        optional: false,
                    });
                }
                None => in_header &= line.starts_with('#'),
            }
        }
        for (symbol, line) in optional {
            if first_set.contains_key(&symbol) {
                self.header.optional.push(symbol);
            } else {
                self.report(line, Problem::OptionalNotSet { symbol });
            }
        }
        for setting in &mut self.settings {
            setting.optional = self.header.optional.contains(&setting.symbol);
        }
        if self.name.layer() == Layer::Version {
            for key in ["versions", "extends"] {
                if !keys.contains_key(key) {
                    self.report(1, Problem::MissingKey { key });
                }
            }
        }
    }

    fn read_line(&mut self, number: usize, line: &str) -> Option<(Symbol, Value)> {
        let trimmed = line.trim();
        let problem = match config::parse_line(trimmed) {
            Some(Err(text)) => Problem::Malformed { text },
            None if is_near_miss(trimmed) => Problem::Malformed {
                text: trimmed.to_owned(),
            },
            None if trimmed.is_empty() || !line.starts_with(char::is_whitespace) => return None,
            Some(Ok(set)) if trimmed == line => return Some(set),
            _ => Problem::Blanks {
                text: trimmed.to_owned(),
            },
        };
        self.report(number, problem);
        None
    }

    fn read_key(
        &mut self,
        number: usize,
        key: &str,
        value: &str,
        keys: &mut HashMap<&'static str, usize>,
        optional: &mut Vec<(Symbol, usize)>,
    ) {
        let Some(key) = KEYS.iter().find(|row| row.name == key) else {
            let nearest = KEYS
                .iter()
                .map(|row| (strsim::damerau_levenshtein(row.name, key), row.name))
                .min()
                .filter(|(distance, _)| *distance <= 2)
                .map(|(_, name)| name);
            let key = key.to_owned();
            return self.report(number, Problem::UnknownKey { key, nearest });
        };
        let name = key.name;
        if let Some(layer) = key.only_in
            && layer != self.name.layer()
        {
            let directory = Layer::TABLE
                .iter()
                .find(|row| row.0 == layer)
                .map_or("", |row| row.1);
            return self.report(
                number,
                Problem::MisplacedKey {
                    key: name,
                    directory,
                },
            );
        }
        let first = *keys.entry(name).or_insert(number);
        if first != number && !key.list {
            return self.report(number, Problem::RepeatedKey { key: name, first });
        }
        let words: Vec<&str> = if key.list {
            value.split_whitespace().collect()
        } else {
            vec![value]
        };
        let header = &mut self.header;
        let mut invalid = Vec::new();
        if words.is_empty() {
            invalid.push((String::new(), None));
        }
        for word in words {
            // What is wrong with the word, and what would be right if its type knows.
            let read = match name {
                "summary" => Some(word.to_owned())
                    .filter(|summary| !summary.is_empty())
                    .map(|summary| header.summary = Some(summary))
                    .ok_or(None),
                "arch" => word
                    .parse()
                    .map(|arch| header.arch.push(arch))
                    .map_err(|error: UnknownArch| error.hint()),
                "versions" => word
                    .parse()
                    .map(|range| header.versions = Some(range))
                    .map_err(|error: InvalidRange| error.hint()),
                "optional" if word.starts_with("CONFIG_") => {
                    Err(Some("symbols stand here without `CONFIG_`".to_owned()))
                }
                "optional" => word
                    .parse()
                    .map(|symbol| optional.push((symbol, number)))
                    .map_err(|_: InvalidSymbol| None),
                "base" => Base::ALL
                    .iter()
                    .find(|(_, goal)| *goal == word)
                    .map(|(base, _)| header.base = Some(*base))
                    .ok_or(None),
                "with" => word
                    .replace("@arch", "arch")
                    .parse()
                    .map(|_: FragmentName| header.with.push(word.to_owned()))
                    .map_err(|error| error.hint()),
                "extends" => word
                    .parse()
                    .map(|name| header.extends.push(name))
                    .map_err(|error: InvalidName| error.hint()),
                _ => unreachable!("every row of KEYS has an arm"),
            };
            if let Err(hint) = read {
                invalid.push((word.to_owned(), hint));
            }
        }
        for (value, hint) in invalid {
            let expected = hint.unwrap_or_else(|| format!("write `# {name}: {}`", key.value));
            let key = name;
            self.report(
                number,
                Problem::InvalidValue {
                    key,
                    value,
                    expected,
                },
            );
        }
    }

    fn report(&mut self, line: usize, problem: Problem) {
        let place = self.place(line);
        self.diagnostics.push(Diagnostic { place, problem });
    }

    /// Its name.
    pub fn name(&self) -> &FragmentName {
        &self.name
    }

    /// Where it was read.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The text it was read from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its metadata.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What it sets, in the order of its lines; each symbol once.
    pub fn settings(&self) -> &[Setting] {
        &self.settings
    }

    /// What is wrong with it. [`Library::select`] refuses a fragment that has any.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// One of its lines, counted from 1.
    pub fn place(&self, line: usize) -> Place {
        Place {
            fragment: self.name.clone(),
            path: match &self.origin {
                Origin::Embedded => None,
                Origin::File(path) => Some(path.clone()),
            },
            line,
        }
    }
}

impl fmt::Display for Fragment {
    /// The header and the settings as a fragment file, without its other comments.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn words<T: ToString>(items: &[T]) -> Option<String> {
            let words: Vec<_> = items.iter().map(T::to_string).collect();
            (!words.is_empty()).then(|| words.join(" "))
        }
        let header = &self.header;
        let optional: Vec<_> = header.optional.iter().map(Symbol::as_str).collect();
        for key in KEYS {
            let value = match key.name {
                "summary" => header.summary.clone(),
                "arch" => words(&header.arch),
                "versions" => header.versions.as_ref().map(ToString::to_string),
                "optional" => words(&optional),
                "base" => header.base.map(|base| base.make_goal().to_owned()),
                "with" => words(&header.with),
                "extends" => words(&header.extends),
                _ => unreachable!("every row of KEYS has an arm"),
            };
            if let Some(value) = value {
                writeln!(f, "# {}: {value}", key.name)?;
            }
        }
        writeln!(f)?;
        for setting in &self.settings {
            writeln!(f, "{}", config::line(&setting.symbol, &setting.value))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

//! Values that remember where they came from.
//!
//! Every setting of a [`Spec`](crate::spec::Spec) is a [`Sourced`] value, so that
//! an error can point at the line to change and `plan` can say who decided.

use std::fmt;

use camino::Utf8PathBuf;
use serde::Serialize;

/// Where a value was set. The order is the order of precedence: a later variant
/// wins over an earlier one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Origin {
    /// Built into kernelkit.
    Default,
    /// A key in a TOML file.
    File {
        /// The file, as given to the reader.
        path: Utf8PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// Column in characters, counted from 1.
        column: usize,
        /// The key's dotted path, such as `workspace.metadata.kernel.kernels.tiny.arch`.
        key: String,
    },
    /// A flag on the command line, such as `--arch`.
    CommandLine {
        /// The flag as the user would type it.
        flag: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File {
                path, line, column, ..
            } => write!(f, "{path}:{line}:{column}"),
            Origin::CommandLine { flag } => f.write_str(flag),
        }
    }
}

/// A value and the place that set it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Who set it.
    pub origin: Origin,
}

impl<T> Sourced<T> {
    /// A built-in default.
    pub fn default_value(value: T) -> Self {
        Sourced {
            value,
            origin: Origin::Default,
        }
    }

    /// A value from the command line.
    pub fn flag(value: T, flag: &str) -> Self {
        Sourced {
            value,
            origin: Origin::CommandLine {
                flag: flag.to_owned(),
            },
        }
    }

    /// The same origin for another value.
    pub fn map<U>(self, convert: impl FnOnce(T) -> U) -> Sourced<U> {
        Sourced {
            value: convert(self.value),
            origin: self.origin,
        }
    }
}

impl<T> std::ops::Deref for Sourced<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

//! Warnings and errors as data; nothing here is ever printed by the library.

use std::fmt;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Text that a Kconfig file asked to print (`$(info,…)`).
    Info,
    /// The result stands, but look at it.
    Warning,
    /// No result.
    Error,
}

/// One message about a Kconfig tree or a configuration file.
///
/// `Display` has the form of the kernel's own messages.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The file's name as it was given or sourced; empty where none is concerned.
    pub file: String,
    /// Line, from 1; 0 where none is concerned.
    pub line: u32,
    /// What is wrong.
    pub message: String,
    /// Whether a Kconfig file asked for it by `$(warning-if,…)`: shown without the word.
    pub requested: bool,
}

impl Diagnostic {
    pub(super) fn info(message: String) -> Self {
        Diagnostic {
            severity: Severity::Info,
            file: String::new(),
            line: 0,
            message,
            requested: true,
        }
    }

    pub(super) fn requested_warning(file: &str, line: u32, message: String) -> Self {
        Diagnostic {
            requested: true,
            ..Self::warning(file, line, message)
        }
    }

    pub(super) fn warning(file: &str, line: u32, message: impl Into<String>) -> Self {
        Diagnostic {
            severity: Severity::Warning,
            file: file.to_owned(),
            line,
            message: message.into(),
            requested: false,
        }
    }

    pub(super) fn error(file: &str, line: u32, message: impl Into<String>) -> Self {
        Diagnostic {
            severity: Severity::Error,
            ..Self::warning(file, line, message)
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}:{}:", self.file, self.line)?;
        }
        match (self.severity, self.requested) {
            (Severity::Info, _) => {}
            (_, true) => write!(f, " ")?,
            (Severity::Warning, _) if self.file.is_empty() => {}
            (Severity::Warning, _) => write!(f, "warning: ")?,
            (Severity::Error, _) => write!(f, " error: ")?,
        }
        f.write_str(&self.message)
    }
}

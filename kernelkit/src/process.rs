//! Processes as values: what would be run, printable as shell, before anything runs.
//!
//! This module never starts a process; [`effect::exec`](crate::effect::exec) does.

use std::collections::BTreeMap;
use std::fmt;

use camino::Utf8PathBuf;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::credentials::redact;
use crate::root;

/// A command: program, arguments, directory and the *whole* environment.
///
/// Nothing is inherited from the caller's environment: a variable that is not in
/// [`Call::env`] is not set for the child. That keeps a stray `KCFLAGS` or
/// `ARCH` of the user's shell out of a build.
///
/// `Display` gives a line that can be pasted into a POSIX shell; only credentials are not in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Call {
    /// Program name, looked up on `PATH` of [`Call::env`], or a path.
    pub program: String,
    /// Arguments after the program name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Working directory.
    #[schemars(with = "String")]
    pub dir: Utf8PathBuf,
    /// The child's environment, complete.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
}

impl Call {
    /// A call of `program` in `dir` with nothing but the arguments.
    pub fn new(program: impl Into<String>, dir: impl Into<Utf8PathBuf>) -> Self {
        Call {
            program: program.into(),
            args: Vec::new(),
            dir: dir.into(),
            env: BTreeMap::new(),
        }
    }

    /// Appends one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Appends arguments in order.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets one environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Adds every variable of `env`, replacing those of the same name.
    #[must_use]
    pub fn envs(mut self, env: &BTreeMap<String, String>) -> Self {
        self.env.extend(
            env.iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        self
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(entered) = root::enter(self) {
            return entered.fmt(f);
        }
        write!(f, "cd {} && env -i", quote(self.dir.as_str()))?;
        for (name, value) in &self.env {
            write!(f, " {name}={}", redact(&quote(value)))?;
        }
        write!(f, " {}", quote(&self.program))?;
        for arg in &self.args {
            write!(f, " {}", redact(&quote(arg)))?;
        }
        Ok(())
    }
}

/// Quotes `word` for a POSIX shell; plain words stay as they are.
pub fn quote(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./=:,@%+".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The words that a shell makes of a text: split at white space outside of quotes, quotes and backslashes taken off.
/// Nothing is expanded; a quote without its twin goes to the end.
pub fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => {
                let next = characters.next();
                word.get_or_insert_default().extend(next);
            }
            (None, _) if character.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_a_shell() {
        let rows: [(&str, &[&str]); 7] = [
            ("a  b", &["a", "b"]),
            ("-march=\"native\"", &["-march=native"]),
            ("-march=nat\\ive", &["-march=native"]),
            ("-i\"nclude\" x", &["-include", "x"]),
            ("'a b'c \"\"", &["a bc", ""]),
            ("\"a\\\"b", &["a\"b"]),
            ("", &[]),
        ];
        for (text, expected) in rows {
            assert_eq!(words(text), expected, "{text}");
        }
    }

    #[test]
    fn display_is_pasteable_shell() {
        let call = Call::new("make", "/tmp/a b")
            .arg("O=x'y")
            .arg("-j2")
            .env("LC_ALL", "C")
            .env("PATH", "/bin");
        assert_eq!(
            call.to_string(),
            r"cd '/tmp/a b' && env -i LC_ALL=C PATH=/bin make 'O=x'\''y' -j2"
        );
    }

    #[test]
    fn empty_words_are_quoted() {
        assert_eq!(quote(""), "''");
    }
}

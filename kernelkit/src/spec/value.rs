//! The values of settings as text: what each may be, and how it is written.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp as Instant;

use super::error::suggest;
use super::make_flag;
use super::{
    BackendChoice, Compiler, DirtyRelease, InvalidToolchainName, Jobs, KernelName, Timestamp,
    ToolchainName,
};
use crate::arch::{Arch, UnknownArch};
use crate::credentials::redact;
use crate::goal;
use crate::manifest::Backend;
use crate::release::{InvalidTemplate, Template, WORD_LENGTH, is_plain};

/// A value that is not what its setting takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InvalidValue {
    message: String,
    hint: String,
}

impl InvalidValue {
    pub(super) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        InvalidValue {
            message: redact(&message.into()).into_owned(),
            hint: redact(&hint.into()).into_owned(),
        }
    }

    /// The same, with another way out.
    pub(super) fn or(mut self, hint: String) -> Self {
        self.hint = format!("{}; {hint}", self.hint);
        self
    }

    /// What it may be instead.
    pub fn hint(&self) -> Option<String> {
        Some(self.hint.clone())
    }
}

impl FromStr for Compiler {
    type Err = InvalidValue;
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        match text {
            "gcc" => Ok(Compiler::Gcc),
            "clang" => Ok(Compiler::Clang),
            _ => Err(InvalidValue::new(
                format!("unknown compiler `{text}`"),
                suggest(text, ["gcc", "clang"]),
            )),
        }
    }
}

impl FromStr for BackendChoice {
    type Err = InvalidValue;
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        Ok(match text {
            "auto" => BackendChoice::Auto,
            "host" => BackendChoice::Only(Backend::Host),
            "shell" => BackendChoice::Only(Backend::Shell),
            "nix" => BackendChoice::Only(Backend::Nix),
            _ => {
                return Err(InvalidValue::new(
                    format!("unknown backend `{text}`"),
                    suggest(text, ["auto", "host", "shell", "nix"]),
                ));
            }
        })
    }
}

impl fmt::Display for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Compiler::Gcc => "gcc",
            Compiler::Clang => "clang",
        })
    }
}

impl FromStr for Jobs {
    type Err = InvalidValue;
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        match text {
            "auto" => Ok(Jobs::Auto),
            "auto+1" => Ok(Jobs::AutoPlusOne),
            _ => match text.parse() {
                Ok(jobs @ 1..) => Ok(Jobs::Exactly(jobs)),
                _ => Err(InvalidValue::new(
                    format!("`{text}` is not a number of jobs"),
                    "use `auto`, `auto+1` or a number from 1 on",
                )),
            },
        }
    }
}

impl fmt::Display for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Jobs::Auto => f.write_str("auto"),
            Jobs::AutoPlusOne => f.write_str("auto+1"),
            Jobs::Exactly(jobs) => jobs.fmt(f),
        }
    }
}

impl FromStr for Timestamp {
    type Err = InvalidValue;

    /// `fixed`, `commit`, seconds since 1970 (with or without a leading `@`), or an
    /// RFC 3339 time with its offset.
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        match text {
            "fixed" => return Ok(Timestamp::Fixed),
            "commit" => return Ok(Timestamp::Commit),
            _ => {}
        }
        let seconds = text.strip_prefix('@').unwrap_or(text).parse().ok();
        seconds
            .or_else(|| Some(text.parse::<Instant>().ok()?.as_second()))
            // What `date` can print, and so what the kernel's build can embed.
            .filter(|seconds| Instant::from_second(*seconds).is_ok())
            .map(Timestamp::At)
            .ok_or_else(|| {
                InvalidValue::new(
                    format!("`{text}` is not a timestamp"),
                    "use `fixed`, `commit`, a time with its offset such as `2026-01-31T12:00:00Z`, or seconds since 1970",
                )
            })
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Timestamp::Fixed => f.write_str("fixed"),
            Timestamp::Commit => f.write_str("commit"),
            Timestamp::At(seconds) => write!(f, "@{seconds}"),
        }
    }
}

/// An architecture of the table.
pub(super) fn arch(text: &str) -> Result<Arch, InvalidValue> {
    text.parse().map_err(|error: UnknownArch| {
        InvalidValue::new(error.to_string(), error.hint().unwrap_or_default())
    })
}

/// The middle part of a release. What `uname -r` cannot carry is refused rather than
/// rewritten, so that the name one reads is the name one wrote.
pub(super) fn label(text: &str) -> Result<String, InvalidValue> {
    const LONGEST: usize = 40;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if !text.is_empty() && text.len() <= LONGEST && text.bytes().all(fits) {
        return Ok(text.to_owned());
    }
    if let Some(refusal) = make_flag::refused_secret(text) {
        return Err(refusal);
    }
    Err(InvalidValue::new(
        format!("`{text}` cannot be a label"),
        format!("use letters, digits, `.`, `_` and `-`, at most {LONGEST}"),
    ))
}

/// The template of a release.
pub(super) fn release(text: &str) -> Result<Template, InvalidValue> {
    text.parse()
        .map_err(|error: InvalidTemplate| InvalidValue::new(error.to_string(), error.hint()))
}

/// What `{build}` and `{dist}` stand for.
pub(super) fn word(text: &str) -> Result<String, InvalidValue> {
    if !text.is_empty() && text.len() <= WORD_LENGTH && text.chars().all(is_plain) {
        return Ok(text.to_owned());
    }
    Err(InvalidValue::new(
        format!("`{text}` cannot be part of a release"),
        format!("use letters, digits, `.`, `_`, `+`, `~` and `-`, at most {WORD_LENGTH}"),
    ))
}

/// The release of a tree with uncommitted edits.
pub(super) fn dirty_release(text: &str) -> Result<DirtyRelease, InvalidValue> {
    match text {
        "stable" => Ok(DirtyRelease::Stable),
        "exact" => Ok(DirtyRelease::Exact),
        _ => Err(InvalidValue::new(
            format!("`{text}` is not a way to name a tree with uncommitted edits"),
            "use `stable` or `exact`",
        )),
    }
}

pub(super) fn toolchain(text: &str) -> Result<ToolchainName, InvalidValue> {
    text.parse().map_err(|error: InvalidToolchainName| {
        InvalidValue::new(
            error.to_string(),
            "use `host`, `nixpkgs`, `nixpkgs-clang`, or the name of a Debian root such as `debian-12`".to_owned(),
        )
    })
}

/// What stands around the names of programs.
pub(super) fn affix(text: &str) -> Result<String, InvalidValue> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte);
    match text.bytes().all(allowed) {
        true => Ok(text.to_owned()),
        false => Err(InvalidValue::new(
            format!("`{text}` cannot be part of a program's name"),
            "use letters, digits, `-`, `_`, `.` and `+`; a directory belongs into `path`",
        )),
    }
}

/// A size as ccache takes it: a number and one of `k M G T Ki Mi Gi Ti`.
pub(super) fn ccache_size(text: &str) -> Result<String, InvalidValue> {
    let unit = text.trim_start_matches(|digit: char| digit.is_ascii_digit() || digit == '.');
    let number = &text[..text.len() - unit.len()];
    let units = ["", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti"];
    if number.parse::<f64>().is_ok() && units.contains(&unit) {
        return Ok(text.to_owned());
    }
    Err(InvalidValue::new(
        format!("`{text}` is not a size"),
        "use a number and a unit, such as `10G` or `512M`; `0` means no limit",
    ))
}

/// A goal of make: not an option, not a variable.
pub(super) fn make_goal(text: &str) -> Result<String, InvalidValue> {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'=';
    if !text.is_empty() && !text.starts_with('-') && text.bytes().all(plain) {
        return Ok(text.to_owned());
    }
    if let Some(refusal) = make_flag::refused_secret(text) {
        return Err(refusal);
    }
    Err(InvalidValue::new(
        format!("`{text}` is not a goal of make"),
        "write one goal an item, such as `defconfig`; variables belong into `make-flags`",
    ))
}

/// A goal of make that makes a configuration.
pub(super) fn config_goal(text: &str) -> Result<String, InvalidValue> {
    let goal = make_goal(text)?;
    goal::check(&goal).map_err(|error| {
        let hint = error.hint().unwrap_or_default();
        InvalidValue::new(error.to_string(), hint)
    })?;
    Ok(goal)
}

/// A kernel's name.
pub(super) fn kernel_name(text: &str) -> Result<KernelName, InvalidValue> {
    text.parse().map_err(|error: super::InvalidName| {
        InvalidValue::new(error.to_string(), "rename it, for example to `tiny-arm64`")
    })
}

//! Kernel versions: how they are written and ordered, where kernel.org keeps
//! them, ranges of them for rules, and which is the newest of a series.
//!
//! Pure: `releases.json` arrives as text, URLs leave as text.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod mirror;
mod range;
mod releases;

pub use mirror::Mirror;
pub use range::{InvalidRange, VersionRange};
pub use releases::{Error, InvalidSelector, Moniker, Release, Releases, Selector};

/// A kernel version such as `6.12.117`, `7.3-rc4` or `6.1.71-rt20`.
///
/// It prints as it was written, less a leading `v`. `6.12` and `6.12.0` are two
/// spellings of one release, as `7.3-rc4` and `7.3.0-rc4` are: tags and file
/// names have the short one, `make kernelversion` prints the long one. They
/// are equal, and hash alike.
///
/// # Order
///
/// By the three numbers, a missing one being 0. With the same numbers:
///
/// 1. a candidate (`-rc4`), by number, before what is not one; after each of them what is made of it:
/// 2. a distribution's version (`-427.el9`, any other `EXTRAVERSION`), numbers in it compared as numbers;
/// 3. the realtime tree's (`-rt20`), by number;
/// 4. linux-next's (`-next-20260801`), by day.
///
/// So `6.6-rc1 < 6.6.0-rc1-next-20260801 < 6.6-rc2 < 6.6 < 6.6-rt1 < 6.6.1`.
/// [Semantic Versioning](https://semver.org) agrees on plain releases and on rc's being earlier,
/// but it puts `-rt20` before its base.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct KernelVersion {
    major: u32,
    patchlevel: u32,
    sublevel: Option<u32>,
    /// Empty, or begins with one of `-+~_`, or with a dot and a digit.
    extra: String,
}

/// Not a kernel version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a kernel version")]
pub struct InvalidVersion(pub String);

impl InvalidVersion {
    /// What one looks like.
    pub fn hint(&self) -> Option<String> {
        Some("versions look like `6.12.117`, `7.3-rc4` or `6.1.71-rt20`".to_owned())
    }
}

/// A Makefile that does not say which version of the kernel it builds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MakefileError {
    /// An assignment is not there.
    #[error("the Makefile does not set {variable}")]
    Missing {
        /// The variable.
        variable: &'static str,
    },
    /// The assignments do not make a version.
    #[error("the Makefile's VERSION, PATCHLEVEL, SUBLEVEL and EXTRAVERSION make no version")]
    Invalid(#[from] InvalidVersion),
}

impl MakefileError {
    /// The next step.
    pub fn hint(&self) -> Option<String> {
        match self {
            MakefileError::Missing { .. } => {
                Some("is this the Makefile at the root of a kernel tree?".to_owned())
            }
            MakefileError::Invalid(invalid) => invalid.hint(),
        }
    }
}

/// What [`KernelVersion`]'s extra part says, as far as it orders versions.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Suffix<'a> {
    stage: Stage,
    next: Option<u32>,
    realtime: Option<u32>,
    rest: Natural<'a>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Candidate(u32),
    Released,
}

/// Text in which numbers compare as numbers, whole and then byte by byte.
#[derive(PartialEq, Eq)]
struct Natural<'a>(&'a str);

impl KernelVersion {
    /// The version of a kernel tree, from its Makefile: what `make kernelversion` prints there.
    ///
    /// Files named `localversion*` are no part of it, so linux-next and realtime trees
    /// give the version they are based on.
    pub fn from_makefile(text: &str) -> Result<KernelVersion, MakefileError> {
        let value = |variable: &'static str| {
            text.lines()
                .find_map(|line| {
                    let rest = line.strip_prefix(variable)?.trim_start();
                    let value = rest.strip_prefix(":=").or_else(|| rest.strip_prefix('='))?;
                    Some(value.split('#').next().unwrap_or_default().trim())
                })
                .ok_or(MakefileError::Missing { variable })
        };
        let (version, patchlevel) = (value("VERSION")?, value("PATCHLEVEL")?);
        let (sublevel, extra) = (value("SUBLEVEL")?, value("EXTRAVERSION")?);
        let dot = if sublevel.is_empty() { "" } else { "." };
        Ok(format!("{version}.{patchlevel}{dot}{sublevel}{extra}").parse()?)
    }

    /// The first number.
    pub fn major(&self) -> u32 {
        self.major
    }

    /// The second number.
    pub fn patchlevel(&self) -> u32 {
        self.patchlevel
    }

    /// The third number: 0 where it is not written.
    pub fn sublevel(&self) -> u32 {
        self.sublevel.unwrap_or(0)
    }

    /// What follows the numbers: empty, `-rc4`, `-rt20`, or a distribution's own.
    pub fn extra(&self) -> &str {
        &self.extra
    }

    /// The number of the release candidate, for one or for what is based on one.
    pub fn candidate(&self) -> Option<u32> {
        match self.suffix().stage {
            Stage::Candidate(number) => Some(number),
            Stage::Released => None,
        }
    }

    /// The series that it belongs to: `6.12.y`.
    pub fn series(&self) -> Series {
        Series {
            major: self.major,
            patchlevel: self.patchlevel,
        }
    }

    /// As tags and file names spell it: `6.12` for `6.12.0`, `7.3-rc4` for `7.3.0-rc4`.
    pub fn short(&self) -> KernelVersion {
        KernelVersion {
            sublevel: self.sublevel.filter(|sublevel| *sublevel != 0),
            ..self.clone()
        }
    }

    /// The git tag: `v6.12.117`.
    pub fn tag(&self) -> String {
        format!("v{}", self.short())
    }

    /// The directory that kernel.org's tarball unpacks to, and what its file names begin with: `linux-6.12.117`.
    pub fn tree_name(&self) -> String {
        format!("linux-{}", self.short())
    }

    fn suffix(&self) -> Suffix<'_> {
        let mut rest = self.extra.as_str();
        let mut number = |prefix: &str| {
            let tail = rest.strip_prefix(prefix)?;
            let digits = tail.bytes().take_while(u8::is_ascii_digit).count();
            let number = tail[..digits].parse().ok()?;
            rest = &tail[digits..];
            Some(number)
        };
        let stage = number("-rc").map_or(Stage::Released, Stage::Candidate);
        let next = number("-next-");
        let realtime = number("-rt");
        Suffix {
            stage,
            next,
            realtime,
            rest: Natural(rest),
        }
    }

    fn numbers(&self) -> (u32, u32, u32) {
        (self.major, self.patchlevel, self.sublevel())
    }
}

impl Ord for KernelVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        self.numbers()
            .cmp(&other.numbers())
            .then_with(|| self.suffix().cmp(&other.suffix()))
            // `-rc04` and `-rc4` are one candidate, but not one text.
            .then_with(|| self.extra.cmp(&other.extra))
    }
}

impl PartialOrd for KernelVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for KernelVersion {
    fn eq(&self, other: &Self) -> bool {
        self.numbers() == other.numbers() && self.extra == other.extra
    }
}

impl Eq for KernelVersion {}

impl Hash for KernelVersion {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.numbers().hash(state);
        self.extra.hash(state);
    }
}

impl Ord for Natural<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let (mut left, mut right) = (self.0, other.0);
        while let (Some(a), Some(b)) = (left.bytes().next(), right.bytes().next()) {
            let order = if a.is_ascii_digit() && b.is_ascii_digit() {
                let a = take_digits(&mut left);
                let b = take_digits(&mut right);
                a.len().cmp(&b.len()).then_with(|| a.cmp(b))
            } else {
                (left, right) = (&left[1..], &right[1..]);
                a.cmp(&b)
            };
            if order.is_ne() {
                return order;
            }
        }
        left.len()
            .cmp(&right.len())
            .then_with(|| self.0.cmp(other.0))
    }
}

impl PartialOrd for Natural<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Takes a number off the front, without its leading zeros: of any length, so that it never overflows.
fn take_digits<'a>(text: &mut &'a str) -> &'a str {
    let length = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at(length);
    *text = rest;
    digits.trim_start_matches('0')
}

impl FromStr for KernelVersion {
    type Err = InvalidVersion;
    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        parse(text.strip_prefix('v').unwrap_or(text)).ok_or_else(|| InvalidVersion(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<KernelVersion> {
    let (major, rest) = number(text)?;
    let (patchlevel, rest) = number(rest.strip_prefix('.')?)?;
    let (sublevel, extra) = match rest.strip_prefix('.') {
        Some(rest) => number(rest).map(|(sublevel, rest)| (Some(sublevel), rest))?,
        None => (None, rest),
    };
    let mut bytes = extra.bytes();
    let starts_well = match bytes.next() {
        None | Some(b'-' | b'+' | b'~' | b'_') => true,
        Some(b'.') => bytes.next().is_some_and(|byte| byte.is_ascii_digit()),
        Some(_) => false,
    };
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-+~_.".contains(&byte);
    (starts_well && extra.bytes().all(safe) && extra != "-").then(|| KernelVersion {
        major,
        patchlevel,
        sublevel,
        extra: extra.to_owned(),
    })
}

/// A number without leading zeros, which would not print as they were written, and what follows it.
fn number(text: &str) -> Option<(u32, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    if number.len() > 1 && number.starts_with('0') {
        return None;
    }
    Some((number.parse().ok()?, rest))
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.patchlevel)?;
        if let Some(sublevel) = self.sublevel {
            write!(f, ".{sublevel}")?;
        }
        f.write_str(&self.extra)
    }
}

impl fmt::Debug for KernelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KernelVersion({self})")
    }
}

impl TryFrom<String> for KernelVersion {
    type Error = InvalidVersion;
    fn try_from(text: String) -> Result<Self, InvalidVersion> {
        text.parse()
    }
}

impl From<KernelVersion> for String {
    fn from(version: KernelVersion) -> String {
        version.to_string()
    }
}

/// A series of releases that share their first two numbers: `6.12.y`.
///
/// The kernels before 3.0 had series of three numbers (`2.6.32.y`), which this does not tell apart.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
pub struct Series {
    major: u32,
    patchlevel: u32,
}

/// Not a series.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a series of kernels")]
pub struct InvalidSeries(pub String);

impl InvalidSeries {
    /// What one looks like.
    pub fn hint(&self) -> Option<String> {
        Some("a series looks like `6.12.y` or `6.12`".to_owned())
    }
}

impl Series {
    /// Whether the version belongs to it, its candidates and derivatives included.
    pub fn contains(self, version: &KernelVersion) -> bool {
        version.series() == self
    }
}

impl FromStr for Series {
    type Err = InvalidSeries;

    /// Takes `6.12` for `6.12.y` too.
    fn from_str(text: &str) -> Result<Self, InvalidSeries> {
        let bare = text.strip_prefix('v').unwrap_or(text);
        parse(bare.strip_suffix(".y").unwrap_or(bare))
            .filter(|version| version.sublevel.is_none() && version.extra.is_empty())
            .map(|version| version.series())
            .ok_or_else(|| InvalidSeries(text.to_owned()))
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.y", self.major, self.patchlevel)
    }
}

impl TryFrom<String> for Series {
    type Error = InvalidSeries;
    fn try_from(text: String) -> Result<Self, InvalidSeries> {
        text.parse()
    }
}

impl From<Series> for String {
    fn from(series: Series) -> String {
        series.to_string()
    }
}

#[cfg(test)]
mod tests;

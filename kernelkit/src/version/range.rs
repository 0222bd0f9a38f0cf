//! Ranges of versions, for rules.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{KernelVersion, Series};

/// A range of versions, for rules: `>=4.2, <4.19`, `6.12.y`, `6.12.117`, `*`.
///
/// Comparators with commas between them, all of which must hold. It is written as a requirement of
/// the [`semver`] crate is and means the same for plain releases; kernel versions differ where
///
/// - **a candidate is in the range** that its place in the order says. semver leaves pre-releases out of
///   every range that does not name one: a rule for `>=6.12` would skip `7.3-rc4`.
/// - **two numbers name a series**, from its first candidate on, and compare as series do: `6.12-rc1`
///   has what came with 6.12, so it is `>=6.12` and not `<6.12`. Three numbers, or a suffix, name one
///   version: `<6.12.0` holds for `6.12-rc1`. (`>6.12` begins at 6.13 and `<=6.12` holds for `6.12.117`,
///   in semver too.)
/// - **nothing is compatible by default**: a bare `6.12` is that series (as `=6.12` is in semver, not `^6.12`),
///   and there is neither `^` nor `~`: major numbers of the kernel promise nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct VersionRange(Vec<Comparator>);

/// Not a range of versions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{comparator}` in `{range}` compares with no kernel version")]
pub struct InvalidRange {
    /// The whole text.
    pub range: String,
    /// The part that is wrong.
    pub comparator: String,
}

impl InvalidRange {
    /// What one looks like.
    pub fn hint(&self) -> Option<String> {
        Some("ranges look like `>=4.2, <4.19`, `6.12.y`, `6.12.117` or `*`".to_owned())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Comparator {
    operator: Operator,
    bound: Bound,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Operator {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Bound {
    Major(u32),
    Series(Series),
    Version(KernelVersion),
}

impl VersionRange {
    /// The range that holds for every version: `*`.
    pub const ANY: VersionRange = VersionRange(Vec::new());

    /// Whether the version is in the range.
    pub fn contains(&self, version: &KernelVersion) -> bool {
        self.0.iter().all(|comparator| comparator.holds(version))
    }
}

impl Comparator {
    fn holds(&self, version: &KernelVersion) -> bool {
        let order = match &self.bound {
            Bound::Major(major) => version.major().cmp(major),
            Bound::Series(series) => version.series().cmp(series),
            Bound::Version(bound) => version.cmp(bound),
        };
        match self.operator {
            Operator::Equal => order.is_eq(),
            Operator::Less => order.is_lt(),
            Operator::LessOrEqual => order.is_le(),
            Operator::Greater => order.is_gt(),
            Operator::GreaterOrEqual => order.is_ge(),
        }
    }
}

impl FromStr for VersionRange {
    type Err = InvalidRange;
    fn from_str(text: &str) -> Result<Self, InvalidRange> {
        if text.trim() == "*" {
            return Ok(VersionRange::ANY);
        }
        text.split(',')
            .map(|part| {
                parse(part.trim()).ok_or_else(|| InvalidRange {
                    range: text.to_owned(),
                    comparator: part.trim().to_owned(),
                })
            })
            .collect::<Result<_, _>>()
            .map(VersionRange)
    }
}

/// Two characters before one, so that `>=` is not taken for `>`.
const OPERATORS: [(&str, Operator); 5] = [
    (">=", Operator::GreaterOrEqual),
    ("<=", Operator::LessOrEqual),
    (">", Operator::Greater),
    ("<", Operator::Less),
    ("=", Operator::Equal),
];

fn parse(text: &str) -> Option<Comparator> {
    let (operator, bound) = OPERATORS
        .into_iter()
        .find_map(|(sign, operator)| Some((operator, text.strip_prefix(sign)?.trim_start())))
        .unwrap_or((Operator::Equal, text));
    let (name, wildcard) = match bound.strip_suffix(".*") {
        Some(name) => (name, true),
        None => (bound, false),
    };
    let major = super::number(name.strip_prefix('v').unwrap_or(name));
    let bound = if let Some((major, "")) = major {
        Bound::Major(major)
    } else if let Ok(series) = name.parse() {
        Bound::Series(series)
    } else if wildcard {
        return None;
    } else {
        Bound::Version(name.parse().ok()?)
    };
    Some(Comparator { operator, bound })
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("*");
        }
        for (place, comparator) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{comparator}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Comparator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let equal = self.operator == Operator::Equal;
        if !equal {
            let sign = OPERATORS
                .iter()
                .find(|(_, operator)| *operator == self.operator);
            f.write_str(sign.map_or("", |(sign, _)| sign))?;
        }
        match &self.bound {
            Bound::Major(major) if equal => write!(f, "{major}.*"),
            Bound::Major(major) => write!(f, "{major}"),
            Bound::Series(series) if equal => write!(f, "{series}"),
            Bound::Series(series) => write!(f, "{}.{}", series.major, series.patchlevel),
            Bound::Version(version) => write!(f, "{version}"),
        }
    }
}

impl TryFrom<String> for VersionRange {
    type Error = InvalidRange;
    fn try_from(text: String) -> Result<Self, InvalidRange> {
        text.parse()
    }
}

impl From<VersionRange> for String {
    fn from(range: VersionRange) -> String {
        range.to_string()
    }
}

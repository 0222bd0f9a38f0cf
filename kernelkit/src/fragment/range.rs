//! Stands in for `version::VersionRange` until that has arrived.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::version::KernelVersion;

/// Comparisons that must all hold, such as `>=6.4, <6.9`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VersionRange(String);

/// Not a range.
#[derive(Debug)]
pub struct InvalidRange;

fn numbers(text: &str) -> Option<Vec<u32>> {
    text.split('-')
        .next()?
        .split('.')
        .map(|part| part.parse().ok())
        .collect()
}

impl VersionRange {
    fn bounds(&self) -> impl Iterator<Item = Option<(bool, Vec<u32>)>> {
        self.0.split(',').map(|part| {
            let part = part.trim();
            match (part.strip_prefix(">="), part.strip_prefix('<')) {
                (Some(least), _) => Some((true, numbers(least)?)),
                (None, Some(bound)) => Some((false, numbers(bound)?)),
                (None, None) => None,
            }
        })
    }

    /// Whether every comparison holds.
    pub fn contains(&self, version: &KernelVersion) -> bool {
        let version = numbers(&version.to_string()).unwrap_or_default();
        self.bounds()
            .flatten()
            .all(|(at_least, bound)| (version >= bound) == at_least)
    }
}

impl FromStr for VersionRange {
    type Err = InvalidRange;
    fn from_str(text: &str) -> Result<Self, InvalidRange> {
        let range = VersionRange(text.to_owned());
        let valid = range.bounds().all(|bound| bound.is_some());
        valid.then_some(range).ok_or(InvalidRange)
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

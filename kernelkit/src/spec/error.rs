//! What is wrong with the settings: all of it at once, each with its place.

use std::collections::HashSet;
use std::fmt;

use crate::sourced::Origin;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong: lower case, without full stop.
    pub message: String,
    /// Where; `None` where nothing that the user wrote is at fault.
    pub origin: Option<Origin>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    pub(super) fn new(message: impl Into<String>, origin: impl Into<Option<Origin>>) -> Self {
        Problem {
            message: message.into(),
            origin: origin.into(),
            hint: None,
        }
    }

    /// Line and column.
    pub(super) fn place(&self) -> Option<(usize, usize)> {
        match &self.origin {
            Some(Origin::File { line, column, .. }) => Some((*line, *column)),
            _ => None,
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<Option<String>>) -> Self {
        self.hint = hint.into();
        self
    }
}

impl fmt::Display for Problem {
    /// `Cargo.toml:4:1: message`, as compilers write it; without the hint.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// Everything that is wrong with the settings, in the order of the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// At least one.
    pub problems: Vec<Problem>,
}

impl Error {
    /// The hints of all problems, one a line. Where each is to stand with its
    /// problem, go through [`Error::problems`] instead.
    pub fn hint(&self) -> Option<String> {
        let mut seen = HashSet::new();
        let hints = self.problems.iter().filter_map(|one| one.hint.as_deref());
        let hints: Vec<&str> = hints.filter(|hint| seen.insert(*hint)).collect();
        (!hints.is_empty()).then(|| hints.join("\n"))
    }

    /// `Ok` where nothing is wrong. A problem that was found twice (in a defaults
    /// table that several kernels share) is kept once.
    pub(super) fn check(problems: Vec<Problem>) -> Result<(), Error> {
        let mut seen = HashSet::new();
        let mut kept = problems;
        kept.retain(|problem| seen.insert((problem.to_string(), problem.hint.clone())));
        if kept.is_empty() {
            Ok(())
        } else {
            Err(Error { problems: kept })
        }
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Error {
            problems: vec![problem],
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// The candidate that `name` was most likely meant to be. Case, and `_` for `-`,
/// do not count; about one letter in three may differ.
pub(super) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let folded = |text: &str| text.to_lowercase().replace('_', "-");
    let name = folded(name);
    candidates
        .into_iter()
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(&name, &folded(candidate));
            (distance, candidate)
        })
        .filter(|(distance, _)| *distance <= name.chars().count().div_ceil(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `did you mean …?`, or else what there is.
pub(super) fn suggest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str> + Clone,
) -> String {
    match nearest(name, candidates.clone()) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None => {
            let all: Vec<&str> = candidates.into_iter().collect();
            format!("there is: {}", all.join(", "))
        }
    }
}

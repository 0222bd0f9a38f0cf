//! Why a hunk does not fit a file, for people: where its text would be, and what is there.
//!
//! Nothing is applied here. A hunk fits where its old lines stand somewhere in the file, one
//! after the other; that is what git asks for, too.

use serde::Serialize;

use super::read::{Change, Hunk, Line};

/// A hunk that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Misfit {
    /// The file, from the top of the tree.
    pub file: String,
    /// Which of the file's hunks, counted from 1; 0 where it is about the file as a whole.
    pub hunk: usize,
    /// `@@ -1,4 +1,4 @@ int fork(void)`, or nothing.
    pub header: String,
    /// The hunk's lines with their signs.
    pub lines: Vec<String>,
    /// What the tree has instead.
    pub found: Found,
}

/// What a tree has where a hunk does not fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Found {
    /// No such file.
    Missing,
    /// A file that the patch wants to create.
    Exists,
    /// The hunk's new lines.
    Applied {
        /// The first of them in the file, counted from 1.
        line: usize,
    },
    /// Lines that are most like the old ones.
    Near {
        /// The first of them, counted from 1.
        line: usize,
        /// As many as the hunk has old ones.
        text: Vec<NearLine>,
    },
    /// Nothing like it.
    Nothing,
}

/// A line of a file beside the line that a hunk wants there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NearLine {
    /// The line.
    pub text: String,
    /// Whether it is what the hunk wants.
    pub same: bool,
}

/// The hunks of `change` that do not fit `file`, whose bytes are `None` where it is not there.
/// Of the context at either end of a hunk, only `context` lines next to the change must be there.
pub fn misfits(change: &Change, file: Option<&[u8]>, context: usize) -> Vec<Misfit> {
    let whole = |found| {
        vec![Misfit {
            file: change.name().to_owned(),
            hunk: 0,
            header: String::new(),
            lines: Vec::new(),
            found,
        }]
    };
    let Some(file) = file else {
        return match change.old {
            Some(_) => whole(Found::Missing),
            None => Vec::new(),
        };
    };
    if change.old.is_none() {
        return whole(Found::Exists);
    }
    let mut text: Vec<&[u8]> = file.split(|byte| *byte == b'\n').collect();
    if text.last().is_some_and(|last| last.is_empty()) {
        text.pop();
    }
    let misfit = |(index, hunk): (usize, &Hunk)| {
        let found = look(hunk, &text, context)?;
        Some(Misfit {
            file: change.name().to_owned(),
            hunk: index + 1,
            header: hunk.header.clone(),
            lines: hunk.lines.iter().map(Line::shown).collect(),
            found,
        })
    };
    change.hunks.iter().enumerate().filter_map(misfit).collect()
}

/// `None` where the hunk fits.
fn look(hunk: &Hunk, text: &[&[u8]], context: usize) -> Option<Found> {
    let lines = without_ends(&hunk.lines, context);
    let old: Vec<&[u8]> = lines.iter().filter_map(Line::before).collect();
    if position(text, &old, hunk.start).is_some() {
        return None;
    }
    let new: Vec<&[u8]> = hunk.lines.iter().filter_map(Line::after).collect();
    if let Some(at) = position(text, &new, hunk.start) {
        return Some(Found::Applied { line: at + 1 });
    }
    let old: Vec<&[u8]> = hunk.lines.iter().filter_map(Line::before).collect();
    let (same, at) = (0..text.len())
        .map(|at| {
            let pairs = text[at..].iter().zip(&old);
            // An empty line or a brace is like any other.
            let weight = |line: &[u8]| line.trim_ascii().len().min(8);
            let same: usize = pairs
                .filter(|(found, wanted)| found == wanted)
                .map(|(found, _)| weight(found))
                .sum();
            (same, at)
        })
        .max_by_key(|(same, at)| (*same, std::cmp::Reverse(at.abs_diff(hunk.start))))?;
    if same < 4 {
        return Some(Found::Nothing);
    }
    let shown = text[at..].iter().zip(&old).map(|(found, wanted)| NearLine {
        text: String::from_utf8_lossy(found).into_owned(),
        same: found == wanted,
    });
    Some(Found::Near {
        line: at + 1,
        text: shown.collect(),
    })
}

/// The hunk with at most `kept` lines of context at either end.
fn without_ends(lines: &[Line], kept: usize) -> &[Line] {
    let context = |line: &&Line| matches!(line, Line::Context(_));
    let leading = lines.iter().take_while(context).count();
    let lines = &lines[leading.saturating_sub(kept)..];
    let trailing = lines.iter().rev().take_while(context).count();
    &lines[..lines.len() - trailing.saturating_sub(kept)]
}

/// Where `wanted` stands in `text`, nearest to the line `start`.
fn position(text: &[&[u8]], wanted: &[&[u8]], start: usize) -> Option<usize> {
    if wanted.is_empty() {
        return None;
    }
    text.windows(wanted.len())
        .enumerate()
        .filter(|(_, window)| *window == wanted)
        .map(|(at, _)| at)
        .min_by_key(|at| (at + 1).abs_diff(start))
}

impl Misfit {
    /// For people: the hunk, and beside it what the tree has.
    pub fn render(&self) -> Vec<String> {
        let mut shown = Vec::new();
        if self.hunk > 0 {
            shown.push(format!("{}, hunk {}", self.file, self.hunk));
            shown.push(format!("    {}", self.header));
            shown.extend(self.lines.iter().map(|line| format!("    {line}")));
        }
        match &self.found {
            Found::Missing => shown.push(format!("{} is not in the tree", self.file)),
            Found::Exists => shown.push(format!("{} is in the tree already", self.file)),
            Found::Applied { line } => shown.push(format!(
                "  the tree has the new lines already, at line {line}"
            )),
            Found::Nothing => shown.push("  the tree has nothing like it".to_owned()),
            Found::Near { line, text } => {
                shown.push(format!(
                    "  the tree has at line {line} (`!` marks what differs):"
                ));
                let mark = |near: &NearLine| if near.same { ' ' } else { '!' };
                shown.extend(
                    text.iter()
                        .map(|near| format!("   {}{}", mark(near), near.text)),
                );
            }
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch::Diff;

    const FILE: &str = "int zero;\nint fork(void)\n{\n\treturn 0;\n}\nint last;\n";

    fn check(hunk: &str, file: Option<&str>, fuzz: usize) -> Vec<Found> {
        let text = format!("--- a/f\n+++ b/f\n{hunk}");
        let diff = Diff::parse(text.as_bytes(), 1).unwrap();
        misfits(
            &diff.changes[0],
            file.map(str::as_bytes),
            diff.context() - fuzz,
        )
        .into_iter()
        .map(|misfit| misfit.found)
        .collect()
    }

    #[test]
    fn a_hunk_that_stands_elsewhere_fits() {
        let hunk = "@@ -90,3 +90,3 @@\n {\n-\treturn 0;\n+\treturn 1;\n }\n";
        assert_eq!(check(hunk, Some(FILE), 0), []);
    }

    #[test]
    fn a_hunk_that_is_there_already_is_told_from_one_that_is_not() {
        let applied = "@@ -2,3 +2,3 @@\n int fork(void)\n {\n-\treturn 7;\n+\treturn 0;\n";
        assert_eq!(check(applied, Some(FILE), 0), [Found::Applied { line: 2 }]);
        let none = "@@ -1 +1 @@\n-unheard of\n+y\n";
        assert_eq!(check(none, Some(FILE), 0), [Found::Nothing]);
        assert_eq!(check(none, None, 0), [Found::Missing]);
    }

    #[test]
    fn the_nearest_lines_are_shown_with_their_difference() {
        let hunk = "@@ -1,3 +1,3 @@\n int fork(void)\n {\n-\treturn 3;\n+\treturn 1;\n";
        let near = |text: &str, same| NearLine {
            text: text.to_owned(),
            same,
        };
        let text = vec![
            near("int fork(void)", true),
            near("{", true),
            near("\treturn 0;", false),
        ];
        assert_eq!(check(hunk, Some(FILE), 0), [Found::Near { line: 2, text }]);
    }

    #[test]
    fn fuzz_lets_the_ends_differ_and_nothing_else() {
        let ends = "@@ -2,4 +2,4 @@\n long fork(void)\n {\n-\treturn 0;\n+\treturn 1;\n }\n";
        assert_eq!(check(ends, Some(FILE), 0).len(), 1);
        assert_eq!(check(ends, Some(FILE), 1), []);
        let middle = "@@ -2,3 +2,3 @@\n int fork(void)\n (\n-\treturn 0;\n+\treturn 1;\n";
        assert_eq!(check(middle, Some(FILE), 1).len(), 1);
    }
}

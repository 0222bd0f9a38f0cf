//! Reads unified diffs, with git's extended headers and with whatever mail stands around them.
//! The format is that of diff(1), "Detailed Unified", and of git-diff(1), "Generating patch text
//! with -p".

use std::collections::BTreeSet;

use camino::Utf8PathBuf;

use super::mail::Subject;

/// What a patch file says it changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// In order; a file may come more than once.
    pub changes: Vec<Change>,
}

/// The change of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Its name before, from the top of the tree; `None` where it is new.
    pub old: Option<String>,
    /// Its name after; `None` where it goes.
    pub new: Option<String>,
    /// In order; none where only name or mode change, or the file is not text.
    pub hunks: Vec<Hunk>,
}

impl Change {
    /// The name to speak of it by.
    pub fn name(&self) -> &str {
        self.new
            .as_deref()
            .or(self.old.as_deref())
            .unwrap_or_default()
    }
}

/// One hunk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hunk {
    /// `@@ -1,4 +1,4 @@ int fork(void)`.
    pub header: String,
    /// The first line that it is about in the old file, counted from 1; 0 where there is none.
    pub start: usize,
    /// In order.
    pub lines: Vec<Line>,
}

/// A line of a hunk, without its sign and its line feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// In both files.
    Context(Vec<u8>),
    /// In the old file only.
    Removed(Vec<u8>),
    /// In the new file only.
    Added(Vec<u8>),
}

impl Line {
    /// In the old file, where it is there.
    pub fn before(&self) -> Option<&[u8]> {
        match self {
            Line::Context(text) | Line::Removed(text) => Some(text),
            Line::Added(_) => None,
        }
    }

    /// In the new file, where it is there.
    pub fn after(&self) -> Option<&[u8]> {
        match self {
            Line::Context(text) | Line::Added(text) => Some(text),
            Line::Removed(_) => None,
        }
    }

    /// With its sign, as the patch has it.
    pub fn shown(&self) -> String {
        let (sign, text) = match self {
            Line::Context(text) => (' ', text),
            Line::Removed(text) => ('-', text),
            Line::Added(text) => ('+', text),
        };
        format!("{sign}{}", String::from_utf8_lossy(text))
    }
}

impl Hunk {
    /// The most lines of context at either end.
    pub fn context(&self) -> usize {
        let context = |line: &&Line| matches!(line, Line::Context(_));
        let leading = self.lines.iter().take_while(context).count();
        let trailing = self.lines.iter().rev().take_while(context).count();
        leading.max(trailing)
    }
}

/// Why a patch cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It ends inside a hunk.
    #[error("line {line}: the hunk that begins here is cut off")]
    Truncated {
        /// Of the hunk's header, counted from 1.
        line: usize,
    },
    /// Something in a hunk that belongs to none.
    #[error("line {line}: this is not a line of a hunk")]
    Line {
        /// Counted from 1.
        line: usize,
    },
    /// A header of a hunk without numbers.
    #[error("line {line}: this is not the header of a hunk")]
    Header {
        /// Counted from 1.
        line: usize,
    },
    /// A file that is not in the tree.
    #[error("line {line}: `{name}` is outside the tree")]
    Outside {
        /// Counted from 1.
        line: usize,
        /// As the patch has it.
        name: String,
    },
    /// A name with fewer components than are to go.
    #[error("line {line}: `{name}` has nothing left without {strip} leading components")]
    Strip {
        /// Counted from 1.
        line: usize,
        /// As the patch has it.
        name: String,
        /// How many were to go.
        strip: u32,
    },
    /// Not the bytes of the patch, but what a mail program made of them.
    #[error("the patch is encoded for mail ({encoding})")]
    Encoded {
        /// `base64` or `quoted-printable`.
        encoding: String,
    },
}

/// Whether there is a diff in it at all; a cover letter has none.
pub fn has_diff(bytes: &[u8]) -> bool {
    let mut lines = bytes.split(|byte| *byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        if line.starts_with(b"diff --git ")
            || (line.starts_with(b"--- ")
                && lines.peek().is_some_and(|next| next.starts_with(b"+++ ")))
        {
            return true;
        }
    }
    false
}

/// The subject of a mailed patch without what stands in brackets, and the `N` of `[PATCH vN]`.
pub fn subject(bytes: &[u8]) -> Option<(String, u32)> {
    let Subject { text, revision, .. } = Subject::parse(&header(bytes, "Subject")?);
    Some((text, revision))
}

/// A header of the mail that a patch is, its continuation lines included (RFC 5322, 2.2.3).
pub fn header(bytes: &[u8], name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines().take_while(|line| !line.is_empty());
    let mut value = lines
        .by_ref()
        .find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })?
        .to_owned();
    for line in lines.take_while(|line| line.starts_with([' ', '\t'])) {
        value.push_str(line);
    }
    Some(value)
}

impl Diff {
    /// Reads a patch whose names lose `strip` leading components.
    ///
    /// # Errors
    /// What git would misread or refuse with fewer words: see [`Error`].
    pub fn parse(bytes: &[u8], strip: u32) -> Result<Self, Error> {
        if let Some(encoding) = header(bytes, "Content-Transfer-Encoding") {
            let encoding = encoding.trim().to_ascii_lowercase();
            if matches!(encoding.as_str(), "base64" | "quoted-printable") {
                return Err(Error::Encoded { encoding });
            }
        }
        let mut reader = Reader {
            lines: bytes.split(|byte| *byte == b'\n').collect(),
            at: 0,
            strip,
        };
        // What follows the last line feed is no line.
        if reader.lines.last().is_some_and(|last| last.is_empty()) {
            reader.lines.pop();
        }
        reader.read()
    }

    /// Every file that is read or written.
    pub fn paths(&self) -> BTreeSet<Utf8PathBuf> {
        self.changes
            .iter()
            .flat_map(|change| [&change.old, &change.new])
            .flatten()
            .map(Utf8PathBuf::from)
            .collect()
    }

    /// The most lines of context that a hunk has at either end.
    pub fn context(&self) -> usize {
        let hunks = self.changes.iter().flat_map(|change| &change.hunks);
        hunks.map(Hunk::context).max().unwrap_or(0)
    }
}

struct Reader<'a> {
    lines: Vec<&'a [u8]>,
    at: usize,
    strip: u32,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<&'a [u8]> {
        self.lines.get(self.at).copied()
    }

    fn read(&mut self) -> Result<Diff, Error> {
        let mut diff = Diff::default();
        while let Some(line) = self.peek() {
            if line.starts_with(b"diff --git ") {
                let change = self.git()?;
                diff.changes.push(change);
            } else if line.starts_with(b"--- ") && self.next_starts(b"+++ ") {
                let change = self.traditional()?;
                diff.changes.push(change);
            } else {
                self.at += 1;
            }
        }
        Ok(diff)
    }

    fn next_starts(&self, prefix: &[u8]) -> bool {
        self.lines
            .get(self.at + 1)
            .is_some_and(|next| next.starts_with(prefix))
    }

    fn git(&mut self) -> Result<Change, Error> {
        let line = self.lines[self.at];
        let mut change = Change::default();
        // Where only the mode changes or an empty file comes or goes, no other line has its name.
        let both = self.both_names(&line[b"diff --git ".len()..])?;
        change.old.clone_from(&both);
        change.new = both;
        self.at += 1;
        while let Some(line) = self.peek() {
            let after = |prefix: &[u8]| line.strip_prefix(prefix);
            if line.starts_with(b"diff --git ") || line.starts_with(b"@@ ") {
                break;
            } else if line.starts_with(b"--- ") && self.next_starts(b"+++ ") {
                let named = self.traditional()?;
                change.old = named.old;
                change.new = named.new;
                change.hunks = named.hunks;
                break;
            } else if after(b"new file mode ").is_some() {
                change.old = None;
            } else if after(b"deleted file mode ").is_some() {
                change.new = None;
            } else if let Some(name) = after(b"rename from ").or_else(|| after(b"copy from ")) {
                change.old = Some(self.name(name, self.strip.saturating_sub(1))?);
            } else if let Some(name) = after(b"rename to ").or_else(|| after(b"copy to ")) {
                change.new = Some(self.name(name, self.strip.saturating_sub(1))?);
            } else if !is_extended(line) {
                break;
            }
            self.at += 1;
        }
        Ok(change)
    }

    /// `a/x b/x`: the name, where it is the same twice.
    fn both_names(&self, text: &[u8]) -> Result<Option<String>, Error> {
        let halves: Vec<(&[u8], &[u8])> = text
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b' ')
            .map(|(at, _)| (&text[..at], &text[at + 1..]))
            .collect();
        for (old, new) in halves {
            if let (Ok(old), Ok(new)) = (self.name(old, self.strip), self.name(new, self.strip))
                && old == new
            {
                return Ok(Some(old));
            }
        }
        Ok(None)
    }

    fn traditional(&mut self) -> Result<Change, Error> {
        let old = self.file_name(b"--- ".len())?;
        self.at += 1;
        let new = self.file_name(b"+++ ".len())?;
        self.at += 1;
        let mut change = Change {
            old,
            new,
            hunks: Vec::new(),
        };
        while self.peek().is_some_and(|line| line.starts_with(b"@@ ")) {
            let hunk = self.hunk()?;
            change.hunks.push(hunk);
        }
        Ok(change)
    }

    /// The name in a `---` or `+++` line, without the time that may follow it.
    fn file_name(&self, skip: usize) -> Result<Option<String>, Error> {
        let text = &self.lines[self.at][skip..];
        let end = match text.first() {
            Some(b'"') => text.len(),
            _ => text
                .iter()
                .position(|byte| *byte == b'\t')
                .unwrap_or(text.len()),
        };
        let text = text[..end].trim_ascii_end();
        if text == b"/dev/null" {
            return Ok(None);
        }
        self.name(text, self.strip).map(Some)
    }

    fn name(&self, text: &[u8], strip: u32) -> Result<String, Error> {
        let line = self.at + 1;
        let name = String::from_utf8_lossy(&unquote(text)).into_owned();
        let outside = |name: String| Error::Outside { line, name };
        if name.starts_with('/') {
            return Err(outside(name));
        }
        let parts: Vec<&str> = name
            .split('/')
            .filter(|part| !part.is_empty() && *part != ".")
            .collect();
        let kept = parts.get(strip as usize..).unwrap_or_default();
        if kept.is_empty() {
            return Err(Error::Strip { line, name, strip });
        }
        if kept.contains(&"..") {
            return Err(outside(name));
        }
        Ok(kept.join("/"))
    }

    fn hunk(&mut self) -> Result<Hunk, Error> {
        let begin = self.at;
        let header = String::from_utf8_lossy(self.lines[begin]).into_owned();
        let (start, mut old, mut new) =
            numbers(&header).ok_or(Error::Header { line: begin + 1 })?;
        self.at += 1;
        let mut lines = Vec::new();
        while old > 0 || new > 0 {
            let line = self.peek().ok_or(Error::Truncated { line: begin + 1 })?;
            let text = || line[1..].to_vec();
            let line = match line.first() {
                // Mail programs take the space of an empty context line away.
                Some(b' ') => Line::Context(text()),
                None => Line::Context(Vec::new()),
                Some(b'-') => Line::Removed(text()),
                Some(b'+') => Line::Added(text()),
                Some(b'\\') => {
                    self.at += 1;
                    continue;
                }
                Some(_) => return Err(Error::Line { line: self.at + 1 }),
            };
            let (in_old, in_new) = (line.before().is_some(), line.after().is_some());
            if (in_old && old == 0) || (in_new && new == 0) {
                return Err(Error::Line { line: self.at + 1 });
            }
            old -= usize::from(in_old);
            new -= usize::from(in_new);
            lines.push(line);
            self.at += 1;
        }
        if self.peek().is_some_and(|line| line.starts_with(b"\\")) {
            self.at += 1;
        }
        Ok(Hunk {
            header,
            start,
            lines,
        })
    }
}

/// A line between `diff --git` and the first hunk.
fn is_extended(line: &[u8]) -> bool {
    [
        &b"old mode "[..],
        b"new mode ",
        b"similarity index ",
        b"dissimilarity index ",
        b"index ",
    ]
    .iter()
    .any(|prefix| line.starts_with(prefix))
}

/// `@@ -start,old +_,new @@`; a count that is not given is 1.
fn numbers(header: &str) -> Option<(usize, usize, usize)> {
    let (old, rest) = header.strip_prefix("@@ -")?.split_once(" +")?;
    let (new, _) = rest.split_once(" @@")?;
    let pair = |text: &str| -> Option<(usize, usize)> {
        match text.split_once(',') {
            Some((start, count)) => Some((start.parse().ok()?, count.parse().ok()?)),
            None => Some((text.parse().ok()?, 1)),
        }
    };
    let (start, old) = pair(old)?;
    let (_, new) = pair(new)?;
    Some((start, old, new))
}

/// A name as git quotes it: in double quotes, with C's escapes (git-config(1), core.quotePath).
fn unquote(text: &[u8]) -> Vec<u8> {
    let Some(inner) = text
        .strip_prefix(b"\"")
        .and_then(|text| text.strip_suffix(b"\""))
    else {
        return text.to_vec();
    };
    let mut bytes = Vec::new();
    let mut rest = inner;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let octal = rest.first_chunk::<3>().and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 8).ok()
        });
        if let Some(byte) = octal {
            bytes.push(byte);
            rest = &rest[3..];
        } else if let Some((escaped, after)) = rest.split_first() {
            bytes.push(match escaped {
                b'n' => b'\n',
                b't' => b'\t',
                b'r' => b'\r',
                other => *other,
            });
            rest = after;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str, strip: u32) -> Vec<(Option<String>, Option<String>, usize)> {
        Diff::parse(text.as_bytes(), strip)
            .unwrap()
            .changes
            .into_iter()
            .map(|change| (change.old, change.new, change.hunks.len()))
            .collect()
    }

    #[test]
    fn every_form_names_its_files() {
        let some = |text: &str| Some(text.to_owned());
        let hunk = "@@ -1 +1 @@\n-a\n+b\n";
        let check = |text: String, strip, expected: &[_]| {
            assert_eq!(names(&text, strip), expected, "{text}");
        };
        let plain = [(some("k/f.c"), some("k/f.c"), 1)];
        check(
            format!("--- a/k/f.c\t2024-01-01\n+++ b/k/f.c\t2024-01-02\n{hunk}"),
            1,
            &plain,
        );
        check(
            format!("Index: k/f.c\n--- k/f.c\n+++ k/f.c\n{hunk}"),
            0,
            &plain,
        );
        check(
            format!("--- x/y/k/f.c\n+++ x/y/./k//f.c\n{hunk}"),
            2,
            &plain,
        );
        check(
            format!("--- \"a/k/\\146.c\"\n+++ \"b/k/f.c\"\n{hunk}"),
            1,
            &plain,
        );
        check(
            "diff --git a/k/f g b/k/f g\nold mode 100644\nnew mode 100755\n".to_owned(),
            1,
            &[(some("k/f g"), some("k/f g"), 0)],
        );
        check(
            format!(
                "Subject: x\n\ntext\n---\n f | 2 +-\n\ndiff --git a/f b/g\nsimilarity index 90%\nrename from f\nrename to g\nindex 1..2 100644\n--- a/f\n+++ b/g\n{hunk}-- \n2.47\n"
            ),
            1,
            &[(some("f"), some("g"), 1)],
        );
        check(
            "diff --git a/e b/e\nnew file mode 100644\nindex 0..1\ndiff --git a/d b/d\ndeleted file mode 100644\n".to_owned(),
            1,
            &[(None, some("e"), 0), (some("d"), None, 0)],
        );
        check(
            "diff --git a/n b/n\nnew file mode 100644\n--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+x\n\\ No newline at end of file\n".to_owned(),
            1,
            &[(None, some("n"), 1)],
        );
    }

    #[test]
    fn what_looks_like_a_header_inside_a_hunk_is_a_line_of_it() {
        let text = "--- a/f\n+++ b/f\n@@ -1,2 +1,2 @@ s\n--- a/x\n+++ b/x\n\n@@ -9 +9 @@\n-a\n+b\n";
        let diff = Diff::parse(text.as_bytes(), 1).unwrap();
        assert_eq!(diff.changes.len(), 1);
        assert_eq!(diff.changes[0].hunks.len(), 2);
        assert_eq!(
            diff.changes[0].hunks[0].lines[2],
            Line::Context(Vec::new()),
            "an empty line is an empty line of context"
        );
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_line() {
        let check = |text: &str, expected: &str| {
            let error = Diff::parse(text.as_bytes(), 1).unwrap_err();
            assert_eq!(error.to_string(), expected, "{text}");
        };
        let start = "--- a/f\n+++ b/f\n";
        check(
            &format!("{start}@@ -1,3 +1,3 @@\n a\n-b\n"),
            "line 3: the hunk that begins here is cut off",
        );
        check(
            &format!("{start}@@ -1,2 +1,2 @@\n a\n*b\n"),
            "line 5: this is not a line of a hunk",
        );
        check(
            &format!("{start}@@ -1 +1 @@\n-a\n-b\n+c\n"),
            "line 5: this is not a line of a hunk",
        );
        check(
            &format!("{start}@@ what @@\n"),
            "line 3: this is not the header of a hunk",
        );
        for name in ["../f", "k/../../f"] {
            check(
                &format!("--- a/f\n+++ b/{name}\n"),
                &format!("line 2: `b/{name}` is outside the tree"),
            );
        }
        check(
            "--- /dev/null\n+++ /etc/f\n",
            "line 2: `/etc/f` is outside the tree",
        );
        check(
            "--- f\n+++ f\n",
            "line 1: `f` has nothing left without 1 leading components",
        );
        check(
            "Subject: x\nContent-Transfer-Encoding: Quoted-Printable\n\n--- a/f\n+++ b/f\n",
            "the patch is encoded for mail (quoted-printable)",
        );
    }

    #[test]
    fn a_subject_loses_its_brackets_and_tells_the_revision() {
        let check = |text: &str, expected: Option<(&str, u32)>| {
            let found = subject(text.as_bytes());
            let found = found
                .as_ref()
                .map(|(subject, revision)| (subject.as_str(), *revision));
            assert_eq!(found, expected, "{text}");
        };
        check(
            "From: me\nsubject: [RFC PATCH v12 0/1] mm: faster\n than light\n\nSubject: no\n",
            Some(("mm: faster than light", 12)),
        );
        check("Subject: [PATCH] x\n", Some(("x", 1)));
        check("--- a/f\n", None);
    }
}

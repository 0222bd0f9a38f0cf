//! Mailed series: what a subject line says, and what a series is called.

/// What `[PATCH v3 2/5] mm: faster` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// `mm: faster`.
    pub text: String,
    /// 3; 1 where it is not given.
    pub revision: u32,
    /// 2 of 5; `None` where it is not given.
    pub place: Option<(u32, u32)>,
}

impl Subject {
    /// Reads a subject; everything in brackets at its begin is about the series.
    pub fn parse(text: &str) -> Self {
        let mut subject = Subject {
            text: String::new(),
            revision: 1,
            place: None,
        };
        let mut rest = text.trim();
        while let Some((bracket, after)) = rest.strip_prefix('[').and_then(|b| b.split_once(']')) {
            for word in bracket.split_whitespace() {
                if let Some(revision) = word.strip_prefix(['v', 'V']) {
                    subject.revision = revision.parse().unwrap_or(subject.revision);
                } else if let Some((number, count)) = word.split_once('/')
                    && let (Ok(number), Ok(count)) = (number.parse(), count.parse())
                {
                    subject.place = Some((number, count));
                }
            }
            rest = after.trim_start();
        }
        rest.clone_into(&mut subject.text);
        subject
    }
}

/// Whether a series is named by message-id or URL, for b4 to get, rather than by a path.
pub fn is_on_a_list(series: &str) -> bool {
    series.contains("://") || (series.contains('@') && !series.contains('/'))
}

/// A name for a series' branch: of a URL or message-id what stands before the `@`, of a path the file's
/// stem; letters, digits, `.`, `_` and `-`, at most 48.
pub fn slug(series: &str) -> String {
    const LONGEST: usize = 48;
    let name = series.trim_matches(['<', '>']);
    let mut parts = name.trim_end_matches('/').rsplit('/');
    let last = if is_on_a_list(series) {
        parts.find(|part| part.contains('@')).unwrap_or(name)
    } else {
        parts.next().unwrap_or(name)
    };
    let stem = match last.split_once('@') {
        Some((before, _)) => before,
        None => last.split_once(".mb").map_or(last, |(stem, _)| stem),
    };
    let mut slug: String = stem
        .chars()
        .map(|character| match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-' => character,
            _ => '-',
        })
        .take(LONGEST)
        .collect();
    // git-check-ref-format(1).
    while slug.contains("..") {
        slug = slug.replace("..", ".");
    }
    let slug = slug.trim_matches(['.', '-']).trim_end_matches(".lock");
    if slug.is_empty() { "series" } else { slug }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_tells_revision_and_place() {
        let check = |text: &str, expected: (&str, u32, Option<(u32, u32)>)| {
            let subject = Subject::parse(text);
            let read = (subject.text.as_str(), subject.revision, subject.place);
            assert_eq!(read, expected, "{text}");
        };
        check("[PATCH v3 2/5] mm: a [b]", ("mm: a [b]", 3, Some((2, 5))));
        check("[RFC][PATCH 00/12] x", ("x", 1, Some((0, 12))));
        check("mm: v2 of it", ("mm: v2 of it", 1, None));
    }

    #[test]
    fn a_slug_names_a_branch() {
        for (series, expected) in [
            ("20240101.12345-1-me@example.org", "20240101.12345-1-me"),
            ("<a b@x>", "a-b"),
            (
                "https://lore.kernel.org/all/2024-me@example.org/T/#u",
                "2024-me",
            ),
            ("mails/fast path.mbox", "fast-path"),
            ("mails/dir/", "dir"),
            ("..lock@x", "lock"),
            ("@x", "series"),
        ] {
            assert_eq!(slug(series), expected, "{series}");
        }
        assert_eq!(slug(&"x".repeat(90)).len(), 48);
    }
}

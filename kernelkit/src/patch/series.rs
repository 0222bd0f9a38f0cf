//! The `series` file of quilt(1): patches in order, one a line, each with options of patch.

/// One line of a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The patch's file, relative to the series.
    pub name: String,
    /// `-pN`; 1 where it is not given.
    pub strip: u32,
    /// Counted from 1.
    pub line: usize,
}

/// A line that cannot be honoured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: the option `{option}` of `{name}` cannot be honoured")]
pub struct InvalidOption {
    /// Counted from 1.
    pub line: usize,
    /// The patch.
    pub name: String,
    /// The option.
    pub option: String,
}

/// Reads a series. Empty lines and what follows a `#` that begins a word are comments. Of the
/// options only `-pN` (also `-p N`, and `-pab`, which is quilt's other name of `-p1`) is known.
///
/// # Errors
/// Any other option: what it asks for would silently not happen.
pub fn parse(text: &str) -> Result<Vec<Item>, InvalidOption> {
    let mut items = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mut words = line
            .split_whitespace()
            .take_while(|word| !word.starts_with('#'));
        let Some(name) = words.next() else { continue };
        let mut item = Item {
            name: name.to_owned(),
            strip: 1,
            line: index + 1,
        };
        while let Some(option) = words.next() {
            let invalid = |option: String| InvalidOption {
                line: index + 1,
                name: name.to_owned(),
                option,
            };
            let count = match option {
                "-p" => words.next().ok_or_else(|| invalid(option.to_owned()))?,
                _ => option
                    .strip_prefix("-p")
                    .or_else(|| option.strip_prefix("--strip="))
                    .ok_or_else(|| invalid(option.to_owned()))?,
            };
            item.strip = match count {
                "ab" => 1,
                _ => count.parse().map_err(|_| invalid(option.to_owned()))?,
            };
        }
        items.push(item);
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_skipped_and_strip_levels_read() {
        let text = "# heading\n\na.patch\n  b/c.patch -p0 # old\nd.patch -p 2\ne.patch -pab\n#f.patch\ng#h.patch --strip=3\n";
        let items = parse(text).unwrap();
        let read: Vec<_> = items
            .iter()
            .map(|item| (item.name.as_str(), item.strip, item.line))
            .collect();
        assert_eq!(
            read,
            [
                ("a.patch", 1, 3),
                ("b/c.patch", 0, 4),
                ("d.patch", 2, 5),
                ("e.patch", 1, 6),
                ("g#h.patch", 3, 8)
            ]
        );
    }

    #[test]
    fn an_option_that_cannot_be_honoured_is_named() {
        for (line, option) in [
            ("a.patch -R", "-R"),
            ("a.patch -p1 --fuzz=2", "--fuzz=2"),
            ("a.patch -px", "-px"),
            ("a.patch -p", "-p"),
            ("a.patch b.patch", "b.patch"),
        ] {
            let error = parse(&format!("\n{line}\n")).unwrap_err();
            assert_eq!((error.line, error.option.as_str()), (2, option), "{line}");
        }
    }
}

//! Text in XML and HTML.

use std::fmt;

/// Text as it may stand between tags and in quoted attributes of XML 1.0 and HTML.
///
/// Characters that XML 1.0 cannot have at all (section 2.2 of the recommendation), such as a
/// terminal's escape sequences, become U+FFFD.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut plain = 0;
        for (index, character) in self.0.char_indices() {
            let instead = match character {
                '&' => "&amp;",
                '<' => "&lt;",
                '>' => "&gt;",
                '"' => "&quot;",
                '\'' => "&#39;",
                '\t' | '\n' => continue,
                '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => "\u{fffd}",
                _ => continue,
            };
            f.write_str(&self.0[plain..index])?;
            f.write_str(instead)?;
            plain = index + character.len_utf8();
        }
        f.write_str(&self.0[plain..])
    }
}

//! What `scripts/kconfig/merge_config.sh` makes of a base and fragments.
//!
//! The script works on lines, not on symbols, and so does this: up to 6.x it looks
//! for words anywhere in a line, comments included; from 7.0 on only
//! at the start of lines. The merged text is no configuration yet: resolve it with
//! [`Mode::Olddefconfig`](super::Mode::Olddefconfig) (`-m`) or
//! [`Mode::Alldefconfig`](super::Mode::Alldefconfig).

use std::collections::HashMap;

use super::config_file::{Line, parse_line};
use super::resolve::Input;

/// Which of the two scripts is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeRules {
    /// Up to 6.x: words anywhere in a line.
    Words,
    /// From 7.0 on: settings at the start of a line.
    Settings,
}

/// The script's options that change what is merged or said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MergeOptions {
    /// `-y`: a `y` is not demoted to `m`.
    pub keep_builtin: bool,
    /// `-r`: say what a fragment repeats.
    pub report_redundant: bool,
}

/// Something the script says about a symbol.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct MergeNote {
    /// What happened.
    pub kind: MergeNoteKind,
    /// The symbol, with its prefix.
    pub symbol: String,
    /// The fragment's name.
    pub fragment: String,
    /// The lines that were there.
    pub previous: String,
    /// The fragment's lines.
    pub new: String,
}

/// What happened to a symbol that was set before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MergeNoteKind {
    /// The fragment has another value, which now holds: an error under `-s`.
    Redefined,
    /// The fragment repeats the value.
    Redundant,
    /// The fragment's `m` is left out for a `y`.
    NotDemoted,
}

/// The merged text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// Base, then fragments, without what later ones replace.
    pub text: Vec<u8>,
    /// What was replaced, in order.
    pub notes: Vec<MergeNote>,
}

/// Merges `fragments` one after the other into `base`.
pub fn merge_config(
    base: &[u8],
    fragments: &[Input<'_>],
    prefix: &str,
    rules: MergeRules,
    options: MergeOptions,
) -> Merged {
    let mut notes = Vec::new();
    let mut result = Lines::new(prefix);
    result.append(base);
    for fragment in fragments {
        match rules {
            MergeRules::Words => result.merge_words(fragment, options, &mut notes),
            MergeRules::Settings => result.merge_settings(fragment, options, &mut notes),
        }
    }
    Merged {
        text: result.text(),
        notes,
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// A place where a symbol's name stands in a line.
#[derive(Clone, Copy)]
struct Mention {
    line: u32,
    /// No word character stands before it.
    whole: bool,
    /// A blank or an equals sign follows.
    setting: bool,
}

/// Lines, the ones that are gone, and where each symbol is mentioned.
struct Lines<'a> {
    prefix: &'a str,
    /// With their newlines; empty once deleted.
    lines: Vec<Vec<u8>>,
    mentions: HashMap<Vec<u8>, Vec<Mention>>,
}

impl<'a> Lines<'a> {
    fn new(prefix: &'a str) -> Self {
        Lines {
            prefix,
            lines: Vec::new(),
            mentions: HashMap::new(),
        }
    }

    fn append(&mut self, text: &[u8]) {
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            match self.lines.last_mut() {
                // Text without a last newline goes on where it ended.
                Some(last) if !last.is_empty() && last.last() != Some(&b'\n') => {
                    last.extend_from_slice(line);
                }
                _ => self.lines.push(line.to_vec()),
            }
            self.index(self.lines.len() - 1);
        }
    }

    fn index(&mut self, line: usize) {
        let text = &self.lines[line];
        let prefix = self.prefix.as_bytes();
        let mut start = 0;
        while let Some(found) = find(&text[start..], prefix) {
            let at = start + found;
            let name = &text[at..];
            let length = name.iter().position(|byte| !is_word(*byte));
            let name = &name[..length.unwrap_or(name.len())];
            let mention = Mention {
                line: line as u32,
                whole: at == 0 || !is_word(text[at - 1]),
                setting: matches!(text.get(at + name.len()), Some(b' ' | b'=')),
            };
            self.mentions
                .entry(name.to_vec())
                .or_default()
                .push(mention);
            start = at + prefix.len().max(1);
        }
    }

    fn text(&self) -> Vec<u8> {
        self.lines.concat()
    }

    /// The lines with `symbol` as a whole word, as `$(grep -w)` has them.
    fn grep(&self, symbol: &[u8]) -> Option<Vec<u8>> {
        let mentions = self.mentions.get(symbol)?;
        let mut out = Vec::new();
        let mut last = None;
        let mut any = false;
        for mention in mentions.iter().filter(|mention| mention.whole) {
            let line = &self.lines[mention.line as usize];
            if line.is_empty() || last == Some(mention.line) {
                continue;
            }
            last = Some(mention.line);
            any = true;
            out.extend_from_slice(line);
            if line.last() != Some(&b'\n') {
                out.push(b'\n');
            }
        }
        while out.last() == Some(&b'\n') {
            out.pop();
        }
        any.then_some(out)
    }

    /// Deletes every line with `symbol` and a blank or equals sign behind it.
    fn delete(&mut self, symbol: &[u8]) {
        let Some(mentions) = self.mentions.get_mut(symbol) else {
            return;
        };
        // What is gone is not looked at again: a symbol may be set a million times.
        mentions.retain(|mention| {
            if mention.setting {
                self.lines[mention.line as usize].clear();
            }
            !self.lines[mention.line as usize].is_empty()
        });
    }

    fn merge_words(
        &mut self,
        fragment: &Input<'_>,
        options: MergeOptions,
        notes: &mut Vec<MergeNote>,
    ) {
        let mut added = Lines::new(self.prefix);
        added.append(fragment.text);
        for line in fragment.text.split(|byte| *byte == b'\n') {
            let Some(symbol) = setting_of(line, self.prefix, MergeRules::Words) else {
                continue;
            };
            let Some(previous) = self.grep(&symbol) else {
                continue;
            };
            let new = added.grep(&symbol).unwrap_or_default();
            let value = |text: &[u8]| {
                let text = text.strip_prefix(symbol.as_slice())?.strip_prefix(b"=")?;
                Some(text.to_vec())
            };
            let kind = if options.keep_builtin
                && value(&new).as_deref() == Some(b"m")
                && value(&previous).as_deref() == Some(b"y")
            {
                added.delete(&symbol);
                MergeNoteKind::NotDemoted
            } else {
                self.delete(&symbol);
                if previous == new {
                    MergeNoteKind::Redundant
                } else {
                    MergeNoteKind::Redefined
                }
            };
            if kind != MergeNoteKind::Redundant || options.report_redundant {
                notes.push(note(kind, &symbol, fragment.name, &previous, &new));
            }
        }
        self.append(b"\n");
        self.append(&added.text());
    }

    fn merge_settings(
        &mut self,
        fragment: &Input<'_>,
        options: MergeOptions,
        notes: &mut Vec<MergeNote>,
    ) {
        let mut last: HashMap<Vec<u8>, &[u8]> = HashMap::new();
        let mut order = Vec::new();
        for line in fragment.text.split(|byte| *byte == b'\n') {
            if let Some(symbol) = setting_of(line, self.prefix, MergeRules::Settings)
                && last.insert(symbol.clone(), line).is_none()
            {
                order.push(symbol);
            }
        }
        let mut left_out: Vec<Vec<u8>> = Vec::new();
        // The lines that are there are gone through in their order, not the fragment's.
        let mut present: Vec<(u32, &Vec<u8>)> = order
            .iter()
            .flat_map(|symbol| {
                let mentions = self.mentions.get(symbol).into_iter().flatten();
                mentions.map(move |mention| (mention.line, symbol))
            })
            .collect();
        present.sort_unstable();
        present.dedup();
        for (line, symbol) in present {
            let old = self.lines[line as usize].clone();
            let old = old.strip_suffix(b"\n").unwrap_or(&old);
            if setting_of(old, self.prefix, MergeRules::Settings).as_ref() != Some(symbol) {
                continue;
            }
            let new = last[symbol];
            let value = |line: &[u8]| match parse_line(line, self.prefix.as_bytes(), true) {
                Line::Set(_, value) => value.to_vec(),
                Line::Unset(_) => b"n".to_vec(),
                _ => Vec::new(),
            };
            if options.keep_builtin && value(new) == b"m" && value(old) == b"y" {
                left_out.push(symbol.clone());
                notes.push(note(
                    MergeNoteKind::NotDemoted,
                    symbol,
                    fragment.name,
                    old,
                    new,
                ));
                continue;
            }
            if old == new {
                if options.report_redundant {
                    notes.push(note(
                        MergeNoteKind::Redundant,
                        symbol,
                        fragment.name,
                        old,
                        new,
                    ));
                }
            } else if old.ends_with(b"=n") && !new.ends_with(b"=n") && value(new) == b"n" {
                // `=n` stays beside `is not set`; the other way round is a new value.
                continue;
            } else {
                notes.push(note(
                    MergeNoteKind::Redefined,
                    symbol,
                    fragment.name,
                    old,
                    new,
                ));
            }
            self.lines[line as usize].clear();
        }
        self.end_line();
        self.append(b"\n");
        for line in fragment.text.split_inclusive(|byte| *byte == b'\n') {
            let bare = line.strip_suffix(b"\n").unwrap_or(line);
            let setting = setting_of(bare, self.prefix, MergeRules::Settings);
            if !setting.is_some_and(|symbol| left_out.contains(&symbol)) {
                self.append(line);
            }
        }
        self.end_line();
    }

    /// Gives the last line its newline, as awk prints it.
    fn end_line(&mut self) {
        if let Some(last) = self.lines.iter_mut().rfind(|line| !line.is_empty())
            && last.last() != Some(&b'\n')
        {
            last.push(b'\n');
        }
    }
}

/// The symbol, with its prefix, that a line is about. The older script wants a whole
/// setting but no name; the newer one a name, whatever follows it.
fn setting_of(line: &[u8], prefix: &str, rules: MergeRules) -> Option<Vec<u8>> {
    let name = match (parse_line(line, prefix.as_bytes(), true), rules) {
        (Line::Unset(name), _) | (Line::Set(name, _), MergeRules::Words) => name,
        (Line::Set(..) | Line::Valueless, MergeRules::Settings) => {
            let rest = &line[prefix.len()..];
            let length = rest.iter().position(|byte| !is_word(*byte));
            &rest[..length.unwrap_or(rest.len())]
        }
        _ => return None,
    };
    let named = rules == MergeRules::Words || !name.is_empty();
    let named = named && name.iter().all(|byte| is_word(*byte));
    named.then(|| [prefix.as_bytes(), name].concat())
}

fn note(
    kind: MergeNoteKind,
    symbol: &[u8],
    fragment: &str,
    previous: &[u8],
    new: &[u8],
) -> MergeNote {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    MergeNote {
        kind,
        symbol: text(symbol),
        fragment: fragment.to_owned(),
        previous: text(previous),
        new: text(new),
    }
}

fn find(text: &[u8], pattern: &[u8]) -> Option<usize> {
    let first = *pattern.first()?;
    let mut start = 0;
    while let Some(found) = text[start..].iter().position(|byte| *byte == first) {
        if text[start + found..].starts_with(pattern) {
            return Some(start + found);
        }
        start += found + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merge(rules: MergeRules, options: MergeOptions, base: &str, fragments: &[&str]) -> Merged {
        let inputs: Vec<_> = fragments
            .iter()
            .map(|text| Input {
                name: "f",
                text: text.as_bytes(),
            })
            .collect();
        merge_config(base.as_bytes(), &inputs, "CONFIG_", rules, options)
    }

    fn check(
        rules: MergeRules,
        base: &str,
        fragments: &[&str],
        expected: &str,
        kinds: &[MergeNoteKind],
    ) {
        let options = MergeOptions {
            keep_builtin: true,
            report_redundant: true,
        };
        let merged = merge(rules, options, base, fragments);
        assert_eq!(String::from_utf8(merged.text).unwrap(), expected);
        let found: Vec<_> = merged.notes.iter().map(|note| note.kind).collect();
        assert_eq!(found, kinds);
    }

    #[test]
    fn words_are_found_anywhere_in_a_line() {
        use MergeNoteKind::*;
        let words = MergeRules::Words;
        check(
            words,
            "CONFIG_A=y\n",
            &["CONFIG_B=y\n"],
            "CONFIG_A=y\n\nCONFIG_B=y\n",
            &[],
        );
        check(
            words,
            "CONFIG_A=y\n",
            &["CONFIG_A=n\n"],
            "\nCONFIG_A=n\n",
            &[Redefined],
        );
        check(
            words,
            "CONFIG_A=y\n",
            &["CONFIG_A=y\n"],
            "\nCONFIG_A=y\n",
            &[Redundant],
        );
        check(
            words,
            "CONFIG_A=y\n",
            &["CONFIG_A=m\n"],
            "CONFIG_A=y\n\n",
            &[NotDemoted],
        );
        check(
            words,
            "# about CONFIG_A here\nCONFIG_AB=y\n",
            &["CONFIG_A=y\n"],
            "CONFIG_AB=y\n\nCONFIG_A=y\n",
            &[Redefined],
        );
        check(
            words,
            "CONFIG_A=y",
            &["CONFIG_B=y"],
            "CONFIG_A=y\nCONFIG_B=y",
            &[],
        );
    }

    #[test]
    fn settings_are_found_at_the_start_of_a_line() {
        use MergeNoteKind::*;
        let settings = MergeRules::Settings;
        check(
            settings,
            "CONFIG_A=y\n",
            &["CONFIG_A=n\n"],
            "\nCONFIG_A=n\n",
            &[Redefined],
        );
        check(
            settings,
            "CONFIG_A=y\n",
            &["CONFIG_A=y\n"],
            "\nCONFIG_A=y\n",
            &[Redundant],
        );
        check(
            settings,
            "# about CONFIG_A here\n",
            &["CONFIG_A=y\n"],
            "# about CONFIG_A here\n\nCONFIG_A=y\n",
            &[],
        );
        check(
            settings,
            "CONFIG_A=n",
            &["# CONFIG_A is not set"],
            "CONFIG_A=n\n\n# CONFIG_A is not set\n",
            &[],
        );
        check(
            settings,
            "# CONFIG_A is not set\n",
            &["CONFIG_A=n\n"],
            "\nCONFIG_A=n\n",
            &[Redefined],
        );
    }

    #[test]
    fn without_options_nothing_is_left_out_or_reported_twice() {
        let options = MergeOptions::default();
        for rules in [MergeRules::Words, MergeRules::Settings] {
            let merged = merge(
                rules,
                options,
                "CONFIG_A=y\n",
                &["CONFIG_A=m\n", "CONFIG_A=m\n"],
            );
            assert_eq!(merged.text, b"\n\nCONFIG_A=m\n");
            assert_eq!(merged.notes.len(), 1);
        }
    }
}

//! One setting's value on its way in: its type is checked, and every complaint names its place.

use std::ops::Range;

use camino::Utf8Path;
use toml::Spanned;
use toml::de::DeValue;

use super::error::Problem;
use super::make_flag;
use super::settings::Setting;
use super::value::InvalidValue;
use crate::sourced::{Origin, Sourced};

/// What reading gives: a value, or everything that is wrong with it.
pub(super) type Outcome<T> = Result<T, Vec<Problem>>;

/// A TOML file.
#[derive(Clone, Copy)]
pub(super) struct Document<'a> {
    path: &'a Utf8Path,
    text: &'a str,
    lines: &'a [usize],
}

/// Where each line of a text begins, in bytes. Every setting has a place, so a place must not
/// take a look at the whole text.
pub(super) fn line_starts(text: &str) -> Vec<usize> {
    let after_newlines = text.match_indices('\n').map(|(at, _)| at + 1);
    std::iter::once(0).chain(after_newlines).collect()
}

impl<'a> Document<'a> {
    /// `lines` are the [`line_starts`] of `text`.
    pub(super) fn new(path: &'a Utf8Path, text: &'a str, lines: &'a [usize]) -> Self {
        Document { path, text, lines }
    }

    /// The place of a byte of the text.
    pub(super) fn origin(&self, offset: usize, key: &str) -> Origin {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = self.lines.partition_point(|start| *start <= before.len());
        Origin::File {
            path: self.path.to_owned(),
            line,
            column: before[self.lines[line - 1]..].chars().count() + 1,
            key: key.to_owned(),
        }
    }
}

/// Who sets a value.
#[derive(Clone)]
pub(super) enum Place<'a> {
    /// A key in a file.
    File {
        document: Document<'a>,
        /// Of the key.
        span: Range<usize>,
        /// The key's dotted path.
        key: String,
    },
    /// A flag.
    CommandLine { flag: String },
}

impl Place<'_> {
    /// The place of the key.
    pub(super) fn origin(&self) -> Origin {
        match self {
            Place::File { span, .. } => self.at(span.clone()),
            Place::CommandLine { .. } => self.at(0..0),
        }
    }

    /// The place of a part of the value.
    pub(super) fn at(&self, part: Range<usize>) -> Origin {
        match self {
            Place::File { document, key, .. } => document.origin(part.start, key),
            Place::CommandLine { flag } => Origin::CommandLine { flag: flag.clone() },
        }
    }

    /// The place of a key inside the value, which is a table.
    pub(super) fn inside(&self, key: &Spanned<impl AsRef<str>>) -> Self {
        match self {
            Place::File {
                document,
                key: table,
                ..
            } => Place::File {
                document: *document,
                span: key.span(),
                key: format!("{table}.{}", toml_key(key.get_ref().as_ref())),
            },
            Place::CommandLine { .. } => self.clone(),
        }
    }
}

/// A key as TOML writes it: in quotes where it has to be.
pub(super) fn toml_key(key: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if !key.is_empty() && key.bytes().all(bare) {
        key.to_owned()
    } else {
        toml_string(key)
    }
}

/// A string as TOML writes it.
pub(super) fn toml_string(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// A setting's value.
pub(super) struct Input<'a> {
    pub(super) setting: &'static Setting,
    pub(super) value: &'a Spanned<DeValue<'a>>,
    pub(super) place: Place<'a>,
    /// What relative paths in it are relative to.
    pub(super) base: &'a Utf8Path,
    /// The workspace root.
    pub(super) root: &'a Utf8Path,
}

impl<'a> Input<'a> {
    /// The value with its origin, as a layer keeps it.
    pub(super) fn sourced<T>(&self, value: T) -> Option<Sourced<T>> {
        Some(Sourced {
            value,
            origin: self.place.origin(),
        })
    }

    /// A boolean.
    pub(super) fn boolean(&self) -> Outcome<bool> {
        self.value
            .get_ref()
            .as_bool()
            .ok_or_else(|| self.wrong_type(self.value))
    }

    /// A string that is not empty.
    pub(super) fn text(&self) -> Outcome<&'a str> {
        self.text_of(self.value)
    }

    /// A string, read by `parse`.
    pub(super) fn parsed<T>(
        &self,
        parse: impl FnOnce(&str) -> Result<T, InvalidValue>,
    ) -> Outcome<T> {
        self.text()
            .and_then(|text| self.accept(self.value, parse(text)))
    }

    /// A string, an integer or a time, read by `parse` from its text.
    pub(super) fn parsed_scalar<T>(
        &self,
        parse: impl FnOnce(&str) -> Result<T, InvalidValue>,
    ) -> Outcome<T> {
        let text = match self.value.get_ref() {
            DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str().to_owned(),
            DeValue::Datetime(time) => time.to_string(),
            _ => self.text()?.to_owned(),
        };
        self.accept(self.value, parse(&text))
    }

    /// A list of strings, each read by `parse`; all that are wrong are reported.
    pub(super) fn list<T>(
        &self,
        parse: impl Fn(&str) -> Result<T, InvalidValue>,
    ) -> Outcome<Vec<Sourced<T>>> {
        let DeValue::Array(items) = self.value.get_ref() else {
            return Err(self.wrong_type(self.value));
        };
        let mut read = Vec::new();
        let mut problems = Vec::new();
        for item in items.iter() {
            match self
                .text_of(item)
                .and_then(|text| self.accept(item, parse(text)))
            {
                Ok(value) => read.push(Sourced {
                    value,
                    origin: self.place.origin(),
                }),
                Err(wrong) => problems.extend(wrong),
            }
        }
        if problems.is_empty() {
            Ok(read)
        } else {
            Err(problems)
        }
    }

    /// A list of strings, without the origin of each.
    pub(super) fn values<T>(
        &self,
        parse: impl Fn(&str) -> Result<T, InvalidValue>,
    ) -> Outcome<Vec<T>> {
        let items = self.list(parse)?;
        Ok(items.into_iter().map(|item| item.value).collect())
    }

    /// One string, or a list of them.
    pub(super) fn one_or_more<T>(
        &self,
        parse: impl Fn(&str) -> Result<T, InvalidValue>,
    ) -> Outcome<Vec<Sourced<T>>> {
        match self.value.get_ref() {
            DeValue::String(_) => Ok(self.sourced(self.parsed(parse)?).into_iter().collect()),
            _ => self.list(parse),
        }
    }

    /// A complaint about the value.
    pub(super) fn problem(&self, message: impl Into<String>) -> Problem {
        Problem::new(message, self.place.at(self.value.span()))
    }

    /// Turns what is wrong with `part` of the value into a problem there.
    pub(super) fn accept<T>(
        &self,
        part: &Spanned<DeValue<'_>>,
        result: Result<T, InvalidValue>,
    ) -> Outcome<T> {
        result.map_err(|error| {
            vec![Problem::new(error.to_string(), self.place.at(part.span())).hint(error.hint())]
        })
    }

    pub(super) fn text_of(&self, part: &'a Spanned<DeValue<'a>>) -> Outcome<&'a str> {
        match part.get_ref() {
            DeValue::String(text) if text.is_empty() => Err(vec![
                Problem::new(
                    format!("`{}` holds an empty string", self.setting.key),
                    self.place.at(part.span()),
                )
                .hint(format!(
                    "write it like `{} = {}`, or leave it out",
                    self.setting.key, self.setting.example
                )),
            ]),
            DeValue::String(text) => Ok(text),
            _ => Err(self.wrong_type(part)),
        }
    }

    /// Says what is expected, what is there and, for the common slips, how to write it.
    pub(super) fn wrong_type(&self, part: &Spanned<DeValue<'_>>) -> Vec<Problem> {
        let Setting {
            key, kind, example, ..
        } = self.setting;
        let found = match part.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let quoted = match part.get_ref() {
            DeValue::Float(float) => Some(float.as_str().to_owned()),
            DeValue::Integer(integer) => Some(integer.to_string()),
            _ => None,
        };
        let hint = match (quoted, part.get_ref()) {
            (Some(number), _) if *kind == "string" => format!("write `{key} = \"{number}\"`"),
            (_, DeValue::String(text))
                if matches!(&**text, "true" | "false") && *kind == "boolean" =>
            {
                format!("write `{key} = {text}`, without quotes")
            }
            (_, DeValue::String(text))
                if kind.starts_with("list") && make_flag::refused_secret(text).is_none() =>
            {
                format!("write `{key} = [{}]`", toml_string(text))
            }
            _ => format!("write it like `{key} = {example}`"),
        };
        let message = if part.span() == self.value.span() {
            format!("`{key}` must be {}, not {found}", with_article(kind))
        } else {
            format!("`{key}` must hold strings, not {found}")
        };
        vec![Problem::new(message, self.place.at(part.span())).hint(hint)]
    }
}

fn with_article(kind: &str) -> String {
    let article = if kind.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {kind}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_what_counting_from_the_beginning_gives() {
        for text in [
            "",
            "a",
            "\n",
            "a\n",
            "\n\nä = 1\r\n\nb = 2",
            "[a]\nb = \"ö\"\n",
        ] {
            let lines = line_starts(text);
            let document = Document::new(Utf8Path::new("Cargo.toml"), text, &lines);
            for offset in (0..=text.len()).filter(|at| text.is_char_boundary(*at)) {
                let before = &text[..offset];
                let last = before.rsplit('\n').next().unwrap_or_default();
                let expected = (before.split('\n').count(), last.chars().count() + 1);
                let Origin::File { line, column, .. } = document.origin(offset, "") else {
                    panic!("a file has a place");
                };
                assert_eq!((line, column), expected, "{text:?} {offset}");
            }
            // Past the end it is the end.
            assert_eq!(
                document.origin(text.len() + 9, ""),
                document.origin(text.len(), "")
            );
        }
    }
}

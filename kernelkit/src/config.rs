//! The kernel's `.config` as data: symbols, values, a parsed file.
//!
//! Never reads a file; `effect` hands the text in.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The name of a Kconfig symbol, without the `CONFIG_` prefix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Symbol(String);

/// A symbol's name holds something but `A-Z a-z 0-9 _`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the name of a Kconfig symbol")]
pub struct InvalidSymbol(pub String);

impl Symbol {
    /// The name without prefix.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Symbol {
    type Err = InvalidSymbol;

    /// Accepts the name with or without `CONFIG_`.
    fn from_str(text: &str) -> Result<Self, InvalidSymbol> {
        let name = text.strip_prefix("CONFIG_").unwrap_or(text);
        let valid = !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if valid {
            Ok(Symbol(name.to_owned()))
        } else {
            Err(InvalidSymbol(text.to_owned()))
        }
    }
}

impl fmt::Display for Symbol {
    /// With the prefix, as in `.config`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CONFIG_{}", self.0)
    }
}

impl TryFrom<String> for Symbol {
    type Error = InvalidSymbol;
    fn try_from(text: String) -> Result<Self, InvalidSymbol> {
        text.parse()
    }
}

impl From<Symbol> for String {
    fn from(symbol: Symbol) -> String {
        symbol.to_string()
    }
}

/// A symbol's value as `.config` writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Value {
    /// `# CONFIG_X is not set`, or `=n`.
    No,
    /// `=m`.
    Module,
    /// `=y`.
    Yes,
    /// `="text"`; the text is unescaped.
    Text(String),
    /// A number, decimal or hexadecimal, verbatim.
    Number(String),
}

impl Value {
    /// Reads the right-hand side of `CONFIG_X=`.
    pub fn parse(text: &str) -> Option<Value> {
        match text {
            "y" => Some(Value::Yes),
            "m" => Some(Value::Module),
            "n" => Some(Value::No),
            _ if text.starts_with('"') => parse_quoted(text).map(Value::Text),
            _ => is_number(text).then(|| Value::Number(text.to_owned())),
        }
    }
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    match digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"))
    {
        Some(hex) => !hex.is_empty() && hex.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
    }
}

fn parse_quoted(text: &str) -> Option<String> {
    let mut value = String::new();
    let mut characters = text.strip_prefix('"')?.chars();
    loop {
        match characters.next()? {
            '"' => return characters.next().is_none().then_some(value),
            '\\' => value.push(characters.next()?),
            other => value.push(other),
        }
    }
}

impl fmt::Display for Value {
    /// The right-hand side as `.config` writes it; [`Value::No`] as `n`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::No => f.write_str("n"),
            Value::Module => f.write_str("m"),
            Value::Yes => f.write_str("y"),
            Value::Number(number) => f.write_str(number),
            Value::Text(text) => {
                f.write_str("\"")?;
                for character in text.chars() {
                    if matches!(character, '"' | '\\') {
                        f.write_str("\\")?;
                    }
                    write!(f, "{character}")?;
                }
                f.write_str("\"")
            }
        }
    }
}

/// One `.config` line for `symbol`, without newline.
pub fn line(symbol: &Symbol, value: &Value) -> String {
    match value {
        Value::No => format!("# {symbol} is not set"),
        _ => format!("{symbol}={value}"),
    }
}

/// What one line of a config file sets: `None` for a comment or an empty line.
pub fn parse_line(text: &str) -> Option<Result<(Symbol, Value), String>> {
    let text = text.trim_end();
    if let Some(comment) = text.strip_prefix('#') {
        let name = comment.strip_prefix(' ')?.strip_suffix(" is not set")?;
        let symbol: Symbol = name
            .strip_prefix("CONFIG_")
            .and_then(|_| name.parse().ok())?;
        return Some(Ok((symbol, Value::No)));
    }
    if text.is_empty() {
        return None;
    }
    let parsed = text.split_once('=').and_then(|(name, value)| {
        name.strip_prefix("CONFIG_")?;
        Some((name.parse().ok()?, Value::parse(value)?))
    });
    Some(parsed.ok_or_else(|| text.to_owned()))
}

/// A resolved `.config`: its exact text and the values in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DotConfig {
    text: String,
    values: BTreeMap<Symbol, Value>,
}

/// A line of a `.config` is neither a setting nor a comment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the config is neither a setting nor a comment: `{text}`")]
pub struct InvalidLine {
    /// Counted from 1.
    pub line: usize,
    /// The line.
    pub text: String,
}

impl DotConfig {
    /// Parses a complete config file. The last of several settings of a symbol wins.
    pub fn parse(text: &str) -> Result<Self, InvalidLine> {
        let mut values = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            match parse_line(line) {
                None => {}
                Some(Ok((symbol, value))) => {
                    values.insert(symbol, value);
                }
                Some(Err(text)) => {
                    return Err(InvalidLine {
                        line: index + 1,
                        text,
                    });
                }
            }
        }
        Ok(DotConfig {
            text: text.to_owned(),
            values,
        })
    }

    /// The file's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A symbol's value; `None` where the file does not mention it.
    pub fn get(&self, symbol: &Symbol) -> Option<&Value> {
        self.values.get(symbol)
    }

    /// Whether the symbol `name` (without prefix) is `y` or `m`.
    pub fn is_enabled(&self, name: &str) -> bool {
        name.parse().is_ok_and(|symbol| {
            matches!(self.values.get(&symbol), Some(Value::Yes | Value::Module))
        })
    }

    /// A string symbol's text, without quotes.
    pub fn text_of(&self, name: &str) -> Option<&str> {
        match self.values.get(&name.parse().ok()?)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Every symbol the file mentions, in name order.
    pub fn values(&self) -> &BTreeMap<Symbol, Value> {
        &self.values
    }

    /// The same file with `CONFIG_LOCALVERSION` set to `localversion` and
    /// `CONFIG_LOCALVERSION_AUTO` off: what carries the identity into `uname -r`.
    ///
    /// Both lines are replaced where they stand; a missing one is appended.
    #[must_use]
    pub fn with_localversion(&self, localversion: &str) -> DotConfig {
        let baked = [
            ("LOCALVERSION", Value::Text(localversion.to_owned())),
            ("LOCALVERSION_AUTO", Value::No),
        ]
        .map(|(name, value)| (Symbol(name.to_owned()), value));
        let mut text = String::with_capacity(self.text.len() + 64);
        let mut seen = [false; 2];
        for original in self.text.lines() {
            let place = match parse_line(original) {
                Some(Ok((symbol, _))) => baked.iter().position(|(name, _)| *name == symbol),
                _ => None,
            };
            match place {
                Some(index) => {
                    seen[index] = true;
                    text.push_str(&line(&baked[index].0, &baked[index].1));
                }
                None => text.push_str(original),
            }
            text.push('\n');
        }
        for (index, (symbol, value)) in baked.iter().enumerate() {
            if !seen[index] {
                text.push_str(&line(symbol, value));
                text.push('\n');
            }
        }
        let mut values = self.values.clone();
        values.extend(baked);
        DotConfig { text, values }
    }

    /// What the identity hashes: the text without its `CONFIG_LOCALVERSION=` line,
    /// with `CONFIG_LOCALVERSION_AUTO` off.
    pub fn identity_text(&self) -> String {
        let baked = self.with_localversion("");
        baked
            .text
            .lines()
            .filter(|line| !line.starts_with("CONFIG_LOCALVERSION="))
            .flat_map(|line| [line, "\n"])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_are_settings_comments_or_errors() {
        let set = |name: &str, value| Some(Ok((name.parse().unwrap(), value)));
        let rows = [
            ("CONFIG_A=y", set("A", Value::Yes)),
            ("CONFIG_A=n", set("A", Value::No)),
            ("# CONFIG_A is not set", set("A", Value::No)),
            ("CONFIG_A=\"x\\\"y\"", set("A", Value::Text("x\"y".into()))),
            ("CONFIG_A=0x1f", set("A", Value::Number("0x1f".into()))),
            ("CONFIG_A=-7", set("A", Value::Number("-7".into()))),
            ("# a comment", None),
            ("", None),
            ("CONFIG_A=maybe", Some(Err("CONFIG_A=maybe".into()))),
            ("CONFIG_A", Some(Err("CONFIG_A".into()))),
            ("A=y", Some(Err("A=y".into()))),
        ];
        for (text, expected) in rows {
            assert_eq!(parse_line(text), expected, "{text}");
        }
    }

    #[test]
    fn localversion_does_not_change_the_identity_text() {
        let plain = DotConfig::parse(
            "CONFIG_A=y\nCONFIG_LOCALVERSION=\"-x\"\nCONFIG_LOCALVERSION_AUTO=y\n",
        )
        .unwrap();
        let baked = plain.with_localversion("-tiny-0123456789ab");
        assert_eq!(baked.text_of("LOCALVERSION"), Some("-tiny-0123456789ab"));
        assert_eq!(plain.identity_text(), baked.identity_text());
        assert_eq!(
            plain.identity_text(),
            "CONFIG_A=y\n# CONFIG_LOCALVERSION_AUTO is not set\n"
        );
    }

    proptest! {
        #[test]
        fn a_printed_value_parses_back(text in ".{0,20}", number in any::<i64>()) {
            for value in [Value::No, Value::Module, Value::Yes, Value::Text(text.replace(['\n', '\r'], "")), Value::Number(number.to_string())] {
                prop_assert_eq!(Value::parse(&value.to_string()), Some(value));
            }
        }

        #[test]
        fn baking_is_idempotent(name in "[a-z.-]{0,12}") {
            let config = DotConfig::parse("CONFIG_A=y\n").unwrap().with_localversion(&name);
            prop_assert_eq!(config.with_localversion(&name), config);
        }
    }
}

//! Reading `.config`, defconfig and fragment files.

use super::diagnostic::Diagnostic;
use super::eval::{User, Values};
use super::model::{NONE, SymbolId, Type};
use super::resolve::Input;

/// One line of a configuration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// `CONFIG_NAME=VALUE`.
    Set(&'a [u8], &'a [u8]),
    /// `# CONFIG_NAME is not set`.
    Unset(&'a [u8]),
    /// A comment or nothing.
    Nothing,
    /// `CONFIG_NAME` without a value.
    Valueless,
    /// Anything else.
    Unexpected,
}

/// What a line says. `exact` is off for kernels before 6.12, which take any text
/// behind `is not set`.
pub(super) fn parse_line<'a>(line: &'a [u8], prefix: &[u8], exact: bool) -> Line<'a> {
    if line.is_empty() {
        return Line::Nothing;
    }
    if let Some(comment) = line.strip_prefix(b"#") {
        let named = comment
            .strip_prefix(b" ")
            .and_then(|comment| comment.strip_prefix(prefix));
        let Some(named) = named else {
            return Line::Nothing;
        };
        let Some(end) = named.iter().position(|byte| *byte == b' ') else {
            return Line::Nothing;
        };
        let (name, rest) = (&named[..end], &named[end + 1..]);
        let is_unset = if exact {
            rest == b"is not set"
        } else {
            rest.starts_with(b"is not set")
        };
        return if is_unset {
            Line::Unset(name)
        } else {
            Line::Nothing
        };
    }
    match line.strip_prefix(prefix) {
        None => Line::Unexpected,
        Some(setting) => match setting.iter().position(|byte| *byte == b'=') {
            None => Line::Valueless,
            Some(end) => Line::Set(&setting[..end], &setting[end + 1..]),
        },
    }
}

/// The lines of a file, each without its newline and one carriage return before it.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        match rest.iter().position(|byte| *byte == b'\n') {
            None => Some(std::mem::take(&mut rest)),
            Some(end) => {
                let line = &rest[..end];
                rest = &rest[end + 1..];
                Some(line.strip_suffix(b"\r").unwrap_or(line))
            }
        }
    })
}

/// A value that a symbol's type allows, as it is stored.
enum Value {
    Tristate(u8),
    Text(Vec<u8>),
}

enum Refused {
    Silently,
    Invalid,
    UnterminatedString,
}

fn parse_value(kind: Type, value: &[u8]) -> Result<Value, Refused> {
    match kind {
        Type::Unknown => Err(Refused::Silently),
        Type::Bool | Type::Tristate => match value.first() {
            Some(b'n') => Ok(Value::Tristate(0)),
            Some(b'm') if kind == Type::Tristate => Ok(Value::Tristate(1)),
            Some(b'y') => Ok(Value::Tristate(2)),
            _ => Err(Refused::Invalid),
        },
        Type::Int if is_int(value) => Ok(Value::Text(value.to_vec())),
        Type::Hex if is_hex(value) => Ok(Value::Text(value.to_vec())),
        Type::Int | Type::Hex => Err(Refused::Invalid),
        Type::String => {
            let Some(rest) = value.strip_prefix(b"\"") else {
                return Err(Refused::Silently);
            };
            let mut text = Vec::with_capacity(rest.len());
            let mut bytes = rest.iter();
            loop {
                match bytes.next() {
                    None => return Err(Refused::UnterminatedString),
                    Some(b'"') => return Ok(Value::Text(text)),
                    Some(b'\\') => match bytes.next() {
                        None => return Err(Refused::UnterminatedString),
                        Some(byte) => text.push(*byte),
                    },
                    Some(byte) => text.push(*byte),
                }
            }
        }
    }
}

/// Decimal digits with an optional minus sign, no leading zeros.
pub(super) fn is_int(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    match digits {
        [b'0'] => true,
        [b'0', ..] | [] => false,
        digits => digits.iter().all(u8::is_ascii_digit),
    }
}

/// Hexadecimal digits with an optional `0x`.
pub(super) fn is_hex(text: &[u8]) -> bool {
    let digits = match text {
        [b'0', b'x' | b'X', digits @ ..] => digits,
        digits => digits,
    };
    !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit)
}

/// Takes user values from `input`, later lines over earlier ones.
pub(super) fn read(
    values: &mut Values<'_>,
    index: u32,
    input: &Input<'_>,
    warn_unknown: bool,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let kconfig = values.kconfig;
    let prefix = kconfig.prefix.as_bytes();
    let old = kconfig.dialect.choice_is_symbol;
    for (number, line) in (1..).zip(lines(input.text)) {
        let mut warn = |message: String| {
            diagnostics.push(Diagnostic::warning(input.name, number, message));
        };
        let (name, value) = match parse_line(line, prefix, !old) {
            Line::Set(name, value) => (name, Some(value)),
            Line::Unset(name) => (name, None),
            Line::Nothing => continue,
            Line::Valueless if old => continue,
            Line::Unexpected if old && line.starts_with(b"\r") => continue,
            Line::Valueless | Line::Unexpected => {
                warn(format!(
                    "unexpected data: {}",
                    String::from_utf8_lossy(line)
                ));
                continue;
            }
        };
        let Some(symbol) = kconfig.model.names.find(name, false) else {
            if warn_unknown {
                warn(format!("unknown symbol: {}", String::from_utf8_lossy(name)));
            }
            continue;
        };
        let kind = kconfig.model.symbol(symbol).kind;
        if symbol <= 2 || kind == Type::Unknown {
            continue;
        }
        // Also where the value is no use, and the old one stays.
        if values.user[symbol as usize].is_set() {
            warn(format!(
                "override: reassigning to symbol {}",
                String::from_utf8_lossy(name)
            ));
        }
        // "Is not set" says n: no value of a number or string.
        let value = value.unwrap_or(b"n");
        let parsed = match parse_value(kind, value) {
            Ok(parsed) => parsed,
            Err(Refused::Silently) => continue,
            Err(Refused::UnterminatedString) => {
                warn("invalid string found".to_owned());
                continue;
            }
            Err(Refused::Invalid) => {
                warn(format!(
                    "symbol value '{}' invalid for {}",
                    String::from_utf8_lossy(value),
                    String::from_utf8_lossy(name)
                ));
                continue;
            }
        };
        let mut user = User {
            input: index,
            line: number,
            ..User::NONE
        };
        match parsed {
            Value::Tristate(value) => user.tristate = value,
            Value::Text(text) => user.text = values.add_text(&text),
        }
        values.user[symbol as usize] = user;
        if let Some(value) = user.tristate() {
            note_member(values, symbol, value, &mut warn);
        }
    }
}

/// What an assignment to a choice's member means for the choice.
fn note_member(
    values: &mut Values<'_>,
    member: SymbolId,
    value: u8,
    warn: &mut impl FnMut(String),
) {
    let model = values.model();
    let choice = model.symbol(member).choice;
    if choice == NONE {
        return;
    }
    if !values.kconfig.dialect.choice_is_symbol {
        values.prefer(choice, member);
        return;
    }
    let symbol = model.choices[choice as usize].symbol as usize;
    let name = || String::from_utf8_lossy(model.names.get(member)).into_owned();
    match value {
        1 if values.choice_value[choice as usize] == 2 => {
            warn(format!("{} creates inconsistent choice state", name()));
            values.user[symbol] = User::NONE;
        }
        2 => {
            if values.choice_value[choice as usize] != 0 {
                warn(format!("override: {} changes choice state", name()));
            }
            values.picked[choice as usize] = member;
        }
        _ => {}
    }
    let state = &mut values.choice_value[choice as usize];
    *state = value.max(*state);
    if values.user[symbol].is_set() {
        values.user[symbol].tristate = *state;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_what_they_set() {
        let check = |line: &str, exact, expected| {
            assert_eq!(
                parse_line(line.as_bytes(), b"CONFIG_", exact),
                expected,
                "{line}"
            );
        };
        check("", true, Line::Nothing);
        check("CONFIG_A=y", true, Line::Set(b"A", b"y"));
        check("CONFIG_A=\"a=b\"", true, Line::Set(b"A", b"\"a=b\""));
        check("CONFIG_A=", true, Line::Set(b"A", b""));
        check("CONFIG_A", true, Line::Valueless);
        check(" CONFIG_A=y", true, Line::Unexpected);
        check("A=y", true, Line::Unexpected);
        check("# CONFIG_A is not set", true, Line::Unset(b"A"));
        check("# CONFIG_A is not set ", true, Line::Nothing);
        check("# CONFIG_A is not set at all", false, Line::Unset(b"A"));
        check("#CONFIG_A is not set", true, Line::Nothing);
        check("# CONFIG_A=y", true, Line::Nothing);
        check("# a comment", true, Line::Nothing);
    }

    #[test]
    fn one_carriage_return_is_dropped_before_a_newline_only() {
        let check = |text: &[u8], expected: &[&[u8]]| {
            assert_eq!(lines(text).collect::<Vec<_>>(), expected);
        };
        check(b"a\r\nb\r\r\nc\r", &[b"a", b"b\r", b"c\r"]);
        check(b"\n\na", &[b"", b"", b"a"]);
        check(b"", &[]);
    }

    #[test]
    fn numbers_are_checked_by_their_spelling() {
        for text in ["0", "-0", "10", "-3"] {
            assert!(is_int(text.as_bytes()), "{text}");
        }
        for text in ["", "-", "01", "0x1", "1a", "+1"] {
            assert!(!is_int(text.as_bytes()), "{text}");
        }
        for text in ["ff", "0xff", "0XFF", "00"] {
            assert!(is_hex(text.as_bytes()), "{text}");
        }
        for text in ["", "0x", "xf", "-1"] {
            assert!(!is_hex(text.as_bytes()), "{text}");
        }
    }
}

//! The macro language: variables, functions, `$(shell …)`.
//!
//! Rules: Documentation/kbuild/kconfig-macro-language.rst. Expansion happens while
//! lexing, strictly in file order, so all of this is one sequential state. Depth and
//! work are bounded: a hostile tree gets an error, not the machine.

use std::collections::{BTreeMap, HashMap};

use super::Error;
use super::diagnostic::Diagnostic;

/// What the command line of a probe printed, or why it could not be had.
pub type ProbeResult = Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>>;

/// Longest output of a command that counts; the rest is cut off.
const SHELL_OUTPUT: usize = 4095;
const MAX_ARGUMENTS: usize = 16;
/// Nested references, which cost stack. The kernel's own reader gives up at 1000
/// and its trees need less than ten.
const MAX_DEPTH: u32 = 250;
/// Nested parentheses inside one reference; each costs stack.
const MAX_NESTING: u32 = 200;
/// Bytes of one expansion, and references in one load: the kernel's trees need some
/// kilobytes and some thousands.
const MAX_EXPANSION: usize = 1 << 20;
const MAX_EXPANSIONS: u64 = 1_000_000;

struct Variable {
    value: Box<[u8]>,
    recursive: bool,
    expanding: bool,
}

/// Where an expansion stands, for messages, `$(filename)` and `$(lineno)`.
#[derive(Clone, Copy)]
pub(super) struct Site<'a> {
    pub(super) file: &'a str,
    pub(super) line: u32,
}

impl Site<'_> {
    fn error(self, message: impl Into<String>) -> Error {
        Error::Syntax {
            file: self.file.to_owned(),
            line: self.line,
            message: message.into(),
        }
    }
}

pub(super) struct Macros<'a> {
    variables: HashMap<Vec<u8>, Variable>,
    environment: &'a BTreeMap<String, String>,
    /// Environment variables that were referenced, in order of first reference.
    pub(super) referenced: Vec<(String, String)>,
    /// Those that were asked for and not set.
    pub(super) unset: Vec<String>,
    probe: &'a mut dyn FnMut(&[u8]) -> ProbeResult,
    pub(super) diagnostics: Vec<Diagnostic>,
    expansions: u64,
    depth: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Assignment {
    Recursive,
    Simple,
    Append,
}

impl<'a> Macros<'a> {
    pub(super) fn new(
        environment: &'a BTreeMap<String, String>,
        probe: &'a mut dyn FnMut(&[u8]) -> ProbeResult,
    ) -> Self {
        Macros {
            variables: HashMap::new(),
            environment,
            referenced: Vec::new(),
            unset: Vec::new(),
            probe,
            diagnostics: Vec::new(),
            expansions: 0,
            depth: 0,
        }
    }

    pub(super) fn assign(
        &mut self,
        name: &[u8],
        operator: Assignment,
        value: &[u8],
        site: Site<'_>,
    ) -> Result<(), Error> {
        let old = match operator {
            Assignment::Append => self.variables.get(name),
            _ => None,
        };
        let recursive = match operator {
            Assignment::Simple => false,
            Assignment::Recursive => true,
            Assignment::Append => old.is_none_or(|variable| variable.recursive),
        };
        let mut stored = Vec::new();
        if let Some(old) = old {
            stored.extend_from_slice(&old.value);
            stored.push(b' ');
        }
        if recursive {
            stored.extend_from_slice(value);
        } else {
            self.expand_text(value, &[], site, &mut stored)?;
        }
        if stored.len() > MAX_EXPANSION {
            return Err(site.error("variable is too long"));
        }
        let variable = Variable {
            value: stored.into(),
            recursive,
            expanding: false,
        };
        self.variables.insert(name.to_vec(), variable);
        Ok(())
    }

    /// Appends `text` with every `$(…)` expanded.
    pub(super) fn expand_text(
        &mut self,
        text: &[u8],
        arguments: &[Vec<u8>],
        site: Site<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let mut rest = text;
        while let Some(dollar) = rest.iter().position(|byte| *byte == b'$') {
            out.extend_from_slice(&rest[..dollar]);
            rest = &rest[dollar..];
            if rest.get(1) == Some(&b'(') {
                let length = reference_length(rest, site)?;
                self.expand_reference(&rest[2..length - 1], arguments, site, out)?;
                rest = &rest[length..];
            } else {
                out.push(b'$');
                rest = &rest[1..];
            }
        }
        out.extend_from_slice(rest);
        if out.len() > MAX_EXPANSION {
            return Err(site.error("expansion is too long"));
        }
        Ok(())
    }

    /// Appends what `$(clause)` stands for.
    pub(super) fn expand_reference(
        &mut self,
        clause: &[u8],
        arguments: &[Vec<u8>],
        site: Site<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        self.expansions += 1;
        if self.expansions > MAX_EXPANSIONS {
            return Err(site.error("too many macro expansions"));
        }
        if self.depth >= MAX_DEPTH {
            return Err(site.error("too deep recursive expansion"));
        }
        self.depth += 1;
        let result = self.expand_clause(clause, arguments, site, out);
        self.depth -= 1;
        result
    }

    fn expand_clause(
        &mut self,
        clause: &[u8],
        arguments: &[Vec<u8>],
        site: Site<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let mut pieces = Vec::new();
        for piece in split_arguments(clause) {
            if pieces.len() == MAX_ARGUMENTS {
                return Err(site.error("too many function arguments"));
            }
            let mut expanded = Vec::new();
            self.expand_text(piece, arguments, site, &mut expanded)?;
            pieces.push(expanded);
        }
        let name = pieces.remove(0);
        let own = pieces;
        if own.is_empty()
            && let Some(number) = argument_number(&name)
            && let Some(argument) = arguments.get(number - 1)
        {
            out.extend_from_slice(argument);
            return Ok(());
        }
        if let Some(variable) = self.variables.get_mut(&name) {
            if !variable.recursive {
                out.extend_from_slice(&variable.value);
                return Ok(());
            }
            if own.is_empty() && variable.expanding {
                return Err(site.error(format!(
                    "Recursive variable '{}' references itself (eventually)",
                    String::from_utf8_lossy(&name)
                )));
            }
            if own.is_empty() {
                variable.expanding = true;
            }
            let value = variable.value.clone();
            let result = self.expand_text(&value, &own, site, out);
            if own.is_empty()
                && let Some(variable) = self.variables.get_mut(&name)
            {
                variable.expanding = false;
            }
            return result;
        }
        if self.call_builtin(&name, &own, site, out)? || !own.is_empty() {
            return Ok(());
        }
        let Ok(name) = str::from_utf8(&name) else {
            return Ok(());
        };
        match self.environment.get(name) {
            Some(value) => {
                if !self.referenced.iter().any(|(known, _)| known == name) {
                    self.referenced.push((name.to_owned(), value.clone()));
                }
                out.extend_from_slice(value.as_bytes());
            }
            None => {
                if !self.unset.iter().any(|known| known == name) {
                    self.unset.push(name.to_owned());
                }
            }
        }
        Ok(())
    }

    /// Whether `name` is a built-in function; then its result is appended.
    fn call_builtin(
        &mut self,
        name: &[u8],
        arguments: &[Vec<u8>],
        site: Site<'_>,
        out: &mut Vec<u8>,
    ) -> Result<bool, Error> {
        let wanted = match name {
            b"error-if" | b"warning-if" => 2,
            b"shell" | b"info" => 1,
            b"filename" | b"lineno" => 0,
            _ => return Ok(false),
        };
        if arguments.len() != wanted {
            let amount = if arguments.len() < wanted {
                "few"
            } else {
                "many"
            };
            return Err(site.error(format!(
                "too {amount} function arguments passed to '{}'",
                String::from_utf8_lossy(name)
            )));
        }
        match name {
            b"shell" => {
                let mut output = (self.probe)(&arguments[0]).map_err(|source| Error::Probe {
                    file: site.file.to_owned(),
                    line: site.line,
                    command: String::from_utf8_lossy(&arguments[0]).into_owned(),
                    source,
                })?;
                normalize_output(&mut output);
                out.extend_from_slice(&output);
            }
            b"info" => self.diagnostics.push(Diagnostic::info(
                String::from_utf8_lossy(&arguments[0]).into_owned(),
            )),
            b"error-if" if arguments[0] == b"y" => {
                return Err(site.error(String::from_utf8_lossy(&arguments[1])));
            }
            b"warning-if" if arguments[0] == b"y" => {
                self.diagnostics.push(Diagnostic::requested_warning(
                    site.file,
                    site.line,
                    String::from_utf8_lossy(&arguments[1]).into_owned(),
                ));
            }
            b"filename" => out.extend_from_slice(site.file.as_bytes()),
            b"lineno" => out.extend_from_slice(site.line.to_string().as_bytes()),
            _ => {}
        }
        Ok(true)
    }
}

/// What a command's raw output becomes in a Kconfig file: the first 4095 bytes,
/// without the newlines at the end, those inside turned into blanks.
pub(super) fn normalize_output(output: &mut Vec<u8>) {
    output.truncate(SHELL_OUTPUT);
    // The text ends at a NUL byte, for the kernel's reader keeps C strings.
    if let Some(end) = output.iter().position(|byte| *byte == 0) {
        output.truncate(end);
    }
    while output.last() == Some(&b'\n') {
        output.pop();
    }
    for byte in output.iter_mut().filter(|byte| **byte == b'\n') {
        *byte = b' ';
    }
}

/// Length of the reference at the start of `text`, from `$(` to its `)`.
pub(super) fn reference_length(text: &[u8], site: Site<'_>) -> Result<usize, Error> {
    let mut nesting = 0u32;
    for (index, byte) in text.iter().enumerate().skip(1) {
        match byte {
            b'(' => nesting += 1,
            b')' => nesting -= 1,
            b'\n' => break,
            _ => {}
        }
        if nesting == 0 {
            return Ok(index + 1);
        }
        if nesting > MAX_NESTING {
            return Err(site.error("parentheses are nested too deeply"));
        }
    }
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or(text);
    Err(site.error(format!(
        "unterminated reference to '{}': missing ')'",
        String::from_utf8_lossy(line.get(2..).unwrap_or_default())
    )))
}

fn split_arguments(clause: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut nesting = 0i64;
    clause.split(move |byte| {
        match byte {
            b'(' => nesting += 1,
            b')' => nesting -= 1,
            b',' => return nesting == 0,
            _ => {}
        }
        false
    })
}

fn argument_number(name: &[u8]) -> Option<usize> {
    let text = str::from_utf8(name).ok()?;
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && *number > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(lines: &[(&str, Assignment, &str)], text: &str) -> Result<String, Error> {
        let environment = BTreeMap::from([("HOME".to_owned(), "/h".to_owned())]);
        let mut probe = |command: &[u8]| -> ProbeResult { Ok([command, b"\n1\n\n"].concat()) };
        let mut macros = Macros::new(&environment, &mut probe);
        let site = Site {
            file: "Kconfig",
            line: 7,
        };
        for (name, operator, value) in lines {
            macros.assign(name.as_bytes(), *operator, value.as_bytes(), site)?;
        }
        let mut out = Vec::new();
        macros.expand_text(text.as_bytes(), &[], site, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn references_expand() {
        use Assignment::*;
        let check = |lines: &[_], text: &str, expected: &str| {
            assert_eq!(expand(lines, text).unwrap(), expected, "{text}");
        };
        check(&[], "a$b$$(HOME)$(NOT)$", "a$b$/h$");
        check(&[("X", Recursive, "$(Y)"), ("Y", Simple, "1")], "$(X)", "1");
        check(
            &[("f", Recursive, "<$(2)|$(1)>")],
            "$(f,a(b,c), d)",
            "< d|a(b,c)>",
        );
        check(&[("f", Recursive, "[$(1)]")], "$(f,$(f,x))", "[[x]]");
        check(&[("f", Recursive, "[$(3)]")], "$(f,x)", "[]");
        check(&[("X", Append, "a"), ("X", Append, "b")], "$(X)", "a b");
        check(
            &[("d", Simple, "$"), ("X", Recursive, "$(d)(d)")],
            "$(X)",
            "$(d)",
        );
        check(&[], "$(shell,x)-$(lineno)-$(filename)", "x 1-7-Kconfig");
        check(&[], "$(error-if,n,no)$(nothing,x)", "");
    }

    #[test]
    fn runaway_expansions_are_errors() {
        use Assignment::*;
        let check = |lines: &[_], text: &str, expected: &str| {
            let error = expand(lines, text).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        };
        check(&[("X", Recursive, "$(X)")], "$(X)", "references itself");
        check(&[("f", Recursive, "$(f,x)")], "$(f,x)", "too deep");
        check(&[], "$(X", "unterminated reference to 'X'");
        check(&[], &"$(".repeat(100_000), "nested too deeply");
        check(&[], "$(error-if,y,stop)", "stop");
        check(&[], "$(shell)", "too few function arguments");
        check(&[], "$(shell,echo a,b)", "too many function arguments");
        let doubling: Vec<_> = (0..60)
            .map(|number| (format!("V{number}"), format!("$(V{0})$(V{0})", number + 1)))
            .collect();
        let mut lines: Vec<_> = doubling
            .iter()
            .map(|(name, value)| (name.as_str(), Recursive, value.as_str()))
            .collect();
        lines.push(("V60", Recursive, "xxxxxxxxxxxxxxxxxxxxxxxx"));
        check(&lines, "$(V0)", "too long");
    }
}

//! `$(shell …)`: run, recorded, or taken from a record.

use std::collections::{BTreeMap, HashMap};

use camino::Utf8PathBuf;

use super::super::exec;
use crate::kconfig::ProbeResult;
use crate::process::Call;

/// A record has no answer for a command, and nothing may be run.
#[derive(Debug, thiserror::Error)]
#[error("the command is not among the recorded probes")]
pub struct NotRecorded;

/// A line of a record is not `COMMAND<TAB>OUTPUT`.
#[derive(Debug, thiserror::Error)]
#[error("{name}:{line}: not a recorded probe")]
pub struct RecordError {
    /// The file.
    pub name: String,
    /// Line, from 1.
    pub line: usize,
}

/// Commands and what they print, in the order they were first asked for.
///
/// As text, a line each: `COMMAND<TAB>OUTPUT`, where newline, tab and backslash
/// are written `\n`, `\t` and `\\`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    order: Vec<Vec<u8>>,
    outputs: HashMap<Vec<u8>, Vec<u8>>,
}

impl Record {
    /// Reads the text form; `name` is for errors.
    pub fn parse(name: &str, text: &[u8]) -> Result<Self, RecordError> {
        let mut record = Record::default();
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            if line.is_empty() {
                continue;
            }
            let error = || RecordError {
                name: name.to_owned(),
                line: index + 1,
            };
            let tab = line.iter().position(|byte| *byte == b'\t');
            let tab = tab.ok_or_else(error)?;
            let command = unescape(&line[..tab]).ok_or_else(error)?;
            let output = unescape(&line[tab + 1..]).ok_or_else(error)?;
            record.insert(command, output);
        }
        Ok(record)
    }

    /// The text form.
    pub fn to_text(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for command in &self.order {
            escape(command, &mut out);
            out.push(b'\t');
            escape(&self.outputs[command], &mut out);
            out.push(b'\n');
        }
        out
    }

    /// What `command` prints, if it is known.
    pub fn get(&self, command: &[u8]) -> Option<&[u8]> {
        self.outputs.get(command).map(Vec::as_slice)
    }

    /// Adds an answer; the first one stays.
    pub fn insert(&mut self, command: Vec<u8>, output: Vec<u8>) {
        if !self.outputs.contains_key(&command) {
            self.order.push(command.clone());
            self.outputs.insert(command, output);
        }
    }

    /// How many commands it knows.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether it knows none.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

fn escape(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            byte => out.push(*byte),
        }
    }
}

fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'\\' => match bytes.next()? {
                b'n' => b'\n',
                b't' => b'\t',
                b'\\' => b'\\',
                _ => return None,
            },
            byte => *byte,
        });
    }
    Some(out)
}

/// Runs commands as the kernel's reader does: `/bin/sh -c`, exit status ignored.
#[derive(Debug)]
pub struct Runner {
    /// Where commands run: the build directory.
    pub directory: Utf8PathBuf,
    /// Their whole environment.
    pub variables: BTreeMap<String, String>,
    /// What they wrote to standard error, for the caller to show.
    pub stderr: Vec<u8>,
}

impl Runner {
    /// Standard output of `command`.
    pub fn run(&mut self, command: &[u8]) -> ProbeResult {
        let call = Call::new("/bin/sh", self.directory.clone())
            .args(["-c".to_owned(), String::from_utf8(command.to_vec())?])
            .envs(&self.variables);
        let (output, _) = exec::capture_unchecked(&call)?;
        self.stderr.extend_from_slice(&output.stderr);
        Ok(output.stdout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_its_text_form() {
        let mut record = Record::default();
        record.insert(b"printf 'a\\tb'\n".to_vec(), b"a\tb\\\n\n".to_vec());
        record.insert(b"true".to_vec(), Vec::new());
        let text = record.to_text();
        assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 2);
        assert_eq!(Record::parse("r", &text).unwrap(), record);
        assert!(Record::parse("r", b"no tab\n").is_err());
        assert!(Record::parse("r", b"a\\x\tb\n").is_err());
    }
}

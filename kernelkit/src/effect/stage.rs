//! What a stage of a build prints: into its log, line by line, and on as events.

use std::fs::File;
use std::io::{self, LineWriter, Write as _};

use camino::{Utf8Path, Utf8PathBuf};

use super::fs::{self, Context as _, Error};
use super::log::RunLog;
use super::run::Event;
use crate::make::{self, Counts, Line};

/// The output of one stage.
pub(super) struct Output {
    path: Utf8PathBuf,
    file: LineWriter<File>,
    counter: Utf8PathBuf,
    expected: u64,
    shown: u64,
    lines: Vec<String>,
    written: io::Result<()>,
}

impl Output {
    /// `state` is the kernel's, where it is kept how much the last run printed.
    pub(super) fn open(log: &RunLog, stage: &str, state: &Utf8Path) -> Result<Self, Error> {
        let (path, file) = log.open(stage)?;
        let counter = state.join(format!("{stage}.commands"));
        let expected = fs::read_optional(&counter)?
            .and_then(|bytes| String::from_utf8(bytes).ok()?.trim().parse().ok())
            .unwrap_or(0);
        Ok(Output {
            path,
            file,
            counter,
            expected,
            shown: 0,
            lines: Vec::new(),
            written: Ok(()),
        })
    }

    /// The log.
    pub(super) fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// Takes a line.
    pub(super) fn line(
        &mut self,
        bytes: &[u8],
        counts: &mut Counts,
        on_event: &mut dyn FnMut(Event<'_>),
    ) {
        let file = &mut self.file;
        if self.written.is_ok() {
            self.written = file.write_all(bytes).and_then(|()| file.write_all(b"\n"));
        }
        let text = String::from_utf8_lossy(bytes);
        let class = make::classify(&text);
        counts.add(class);
        on_event(Event::Output { line: &text });
        match class {
            Line::Command { verb, target } => {
                self.shown += 1;
                on_event(Event::Command {
                    verb,
                    target,
                    count: self.shown,
                    expected: self.expected,
                });
            }
            _ => self.lines.push(text.into_owned()),
        }
    }

    /// Where the log is, and its lines but for make's commands.
    pub(super) fn close(mut self, finished: bool) -> Result<(Utf8PathBuf, Vec<String>), Error> {
        let file = &mut self.file;
        self.written
            .and_then(|()| file.flush())
            .context("write", &self.path)?;
        // A rebuild shows few commands; the count of a whole build is the useful estimate.
        if finished && self.shown > self.expected {
            fs::write_atomic(&self.counter, self.shown.to_string().as_bytes())?;
        }
        Ok((self.path, self.lines))
    }
}

//! The one place that prints. Standard output is data, standard error is everything else.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anstyle::{AnsiColor, Style};
use camino::Utf8Path;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use kernelkit::credentials::redact;
use kernelkit::doctor::{Finding, State};
use kernelkit::effect::run::Event;
use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::{ColorChoice, Command, Global, MessageFormat};
use crate::error::{DONE, Failure};
use crate::refused;

pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
pub(crate) const WARN: Style = AnsiColor::Yellow.on_default().bold();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
const NOTE: Style = AnsiColor::Cyan.on_default().bold();
pub(crate) const STRONG: Style = Style::new().bold();

/// Prints messages, data and progress.
pub(crate) struct Ui {
    quiet: bool,
    verbose: bool,
    json: bool,
    bars: MultiProgress,
    bar: Mutex<ProgressBar>,
    draws: bool,
    explains: AtomicBool,
}

impl Ui {
    /// The flag wins over `CARGO_TERM_COLOR` and `NO_COLOR`, which win over the terminal.
    pub(crate) fn new(global: &Global) -> Self {
        match global.color {
            ColorChoice::Always => anstream::ColorChoice::AlwaysAnsi.write_global(),
            ColorChoice::Never => anstream::ColorChoice::Never.write_global(),
            ColorChoice::Auto => {}
        }
        let json = global.message_format == MessageFormat::Json;
        let draws = !global.quiet && !global.verbose && !json && std::io::stderr().is_terminal();
        Ui {
            quiet: global.quiet,
            verbose: global.verbose,
            json,
            bars: MultiProgress::with_draw_target(match draws {
                true => ProgressDrawTarget::stderr_with_hz(10),
                false => ProgressDrawTarget::hidden(),
            }),
            bar: Mutex::new(ProgressBar::hidden()),
            draws,
            explains: AtomicBool::new(false),
        }
    }

    /// Whether messages are JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether everything is to be shown.
    pub(crate) fn is_verbose(&self) -> bool {
        self.verbose
    }

    /// From now on says why objects are compiled again.
    pub(crate) fn explain_rebuilds(&self) {
        self.explains.store(true, Ordering::Relaxed);
    }

    /// An object is compiled again because a file changed.
    pub(crate) fn removed(&self, name: &str, object: &Utf8Path, changed: &Utf8Path) {
        self.message(
            "object-removed",
            json!({ "kernel": name, "object": object, "changed": changed }),
        );
        if self.explains.load(Ordering::Relaxed) {
            self.status("Rebuilding", format_args!("{object}: {changed} changed"));
        }
    }

    /// A line of data on standard output.
    pub(crate) fn data(&self, text: impl Display) {
        self.suspend(|| {
            // A reader that has gone away is no failure.
            let _ = writeln!(anstream::stdout(), "{text}");
        });
    }

    /// A value as one line of JSON on standard output.
    pub(crate) fn json(&self, value: &impl Serialize) {
        match serde_json::to_string(value) {
            Ok(line) => self.data(line),
            Err(error) => self.warning(format!("cannot print as JSON: {error}")),
        }
    }

    /// A message object, in JSON mode only.
    pub(crate) fn message(&self, reason: &str, fields: Value) {
        if self.json {
            let mut object = json!({ "reason": reason });
            if let (Some(object), Value::Object(fields)) = (object.as_object_mut(), fields) {
                object.extend(fields);
            }
            self.json(&object);
        }
    }

    /// What is being done, in cargo's form: `   Compiling tiny`.
    pub(crate) fn status(&self, verb: &str, text: impl Display) {
        if !self.quiet && !self.json {
            self.err(format_args!("{GOOD}{verb:>12}{GOOD:#} {text}"));
        }
    }

    /// A build begins with the objects of another kernel.
    pub(crate) fn borrowed(&self, name: &str, from: &str, symbols: usize) {
        self.message(
            "objects-borrowed",
            json!({ "kernel": name, "from": from, "symbols": symbols }),
        );
        let differ = match symbols {
            1 => "1 symbol differs".to_owned(),
            symbols => format!("{symbols} symbols differ"),
        };
        self.status(
            "Borrowing",
            format_args!("the objects of {from} for {name}: {differ}"),
        );
    }

    /// Something to know that stops nothing.
    pub(crate) fn warning(&self, text: impl Display) {
        let text = redact(&text.to_string()).into_owned();
        self.message("warning", json!({ "message": &text }));
        if !self.json {
            self.err(format_args!("{WARN}warning{WARN:#}: {text}"));
        }
    }

    /// Something to know that asks for nothing.
    pub(crate) fn note(&self, text: impl Display) {
        if !self.quiet && !self.json {
            self.err(format_args!("{NOTE}note{NOTE:#}: {text}"));
        }
    }

    /// The state of a tool, as data.
    pub(crate) fn finding(&self, finding: &Finding) {
        let (style, mark) = match finding.state {
            State::Found { .. } => (GOOD, "ok"),
            _ if finding.blocks() => (BAD, "missing"),
            _ => (WARN, "maybe"),
        };
        self.data(format_args!("{style}{mark:>8}{style:#} {finding}"));
        if let Some(hint) = finding.hint() {
            self.data(format_args!("{:>8} {hint}", ""));
        }
    }

    /// What went wrong and what to do next.
    pub(crate) fn failure(&self, failure: &Failure) {
        // The words of libraries and programs are in it.
        let shown = |text: &String| redact(text).into_owned();
        let Failure {
            message,
            causes,
            details,
            refused,
            hint,
            ..
        } = failure;
        let (message, hint) = (shown(message), hint.as_ref().map(shown));
        let causes: Vec<_> = causes.iter().map(shown).collect();
        let details: Vec<_> = details.iter().map(shown).collect();
        for (kernel, refused) in refused {
            self.message("unmet", refused::to_json(kernel, refused));
            if !self.json {
                self.err(format_args!("{}\n", refused::render(refused)));
            }
        }
        self.message(
            "error",
            json!({ "message": message, "causes": causes, "details": details, "hint": hint }),
        );
        if self.json {
            return;
        }
        self.err(format_args!("{BAD}error{BAD:#}: {message}"));
        for cause in causes {
            self.err(format_args!("  caused by: {cause}"));
        }
        for line in details {
            self.err(format_args!("  {line}"));
        }
        if let Some(hint) = hint {
            self.err(format_args!("{NOTE}hint{NOTE:#}: {hint}"));
        }
    }

    /// The last message of a command.
    pub(crate) fn finish(&self, command: &Command, code: u8) {
        self.clear();
        if matches!(
            command,
            Command::Build(_) | Command::Boot(_) | Command::Plan(_)
        ) {
            self.message("build-finished", json!({ "success": code == DONE }));
        }
    }

    /// Shows a build's events.
    pub(crate) fn event(&self, name: &str, event: Event<'_>) {
        match event {
            Event::Waiting { holder } => self.warning(format!(
                "waiting for the build directory of `{name}`, held by {holder}"
            )),
            Event::Started { stage, call } => {
                self.message(
                    "stage-started",
                    json!({ "kernel": name, "stage": stage, "call": call }),
                );
                if self.verbose
                    && let Some(call) = call
                {
                    self.err(format_args!("{NOTE}{stage:>12}{NOTE:#} {call}"));
                }
                self.progress(stage);
            }
            Event::Command {
                verb,
                target,
                count,
                expected,
            } => {
                let bar = self.bar();
                if expected > 0 {
                    bar.set_length(expected.max(count));
                }
                bar.set_position(count);
                bar.set_message(format!("{verb} {target}"));
            }
            Event::Output { line } => {
                if self.verbose && !self.json {
                    self.err(line);
                }
            }
            Event::Warning { message } => self.warning(message),
            Event::Borrowed { from, symbols } => self.borrowed(name, from, symbols),
            Event::Removed { object, changed } => self.removed(name, object, changed),
            Event::Finished {
                stage,
                milliseconds,
            } => {
                self.clear();
                self.message(
                    "stage-finished",
                    json!({ "kernel": name, "stage": stage, "milliseconds": milliseconds }),
                );
            }
        }
    }

    /// Shows a long step of known length in bytes or files, or of unknown length where it is 0.
    pub(crate) fn advance(&self, what: &str, done: u64, total: u64) {
        if self.bar().is_hidden() {
            self.progress(what);
        }
        let bar = self.bar();
        bar.set_prefix(what.to_owned());
        bar.set_length(total.max(done));
        bar.set_position(done);
    }

    fn progress(&self, what: &str) {
        if !self.draws {
            return;
        }
        let bar = self.bars.add(ProgressBar::no_length());
        let style = ProgressStyle::with_template(
            "{prefix:>12.cyan.bold} {bar:24} {percent:>3}% {elapsed:>4} {wide_msg}",
        );
        bar.set_style(style.expect("the template above is well-formed"));
        bar.set_prefix(what.to_owned());
        self.replace(bar);
    }

    /// A progress line beside others, for one kernel of several; hidden where none is drawn.
    pub(crate) fn line(&self, name: &str) -> ProgressBar {
        if !self.draws {
            return ProgressBar::hidden();
        }
        let bar = self.bars.add(ProgressBar::no_length());
        let style = ProgressStyle::with_template(&format!(
            "{{prefix:>12.cyan.bold}} {name} {{elapsed}} {{wide_msg}}"
        ));
        bar.set_style(style.expect("names of kernels have no braces"));
        bar
    }

    /// Takes the progress line away.
    pub(crate) fn clear(&self) {
        self.replace(ProgressBar::hidden());
    }

    fn replace(&self, bar: ProgressBar) {
        let old = std::mem::replace(&mut *self.bar(), bar);
        old.finish_and_clear();
        self.bars.remove(&old);
    }

    fn bar(&self) -> MutexGuard<'_, ProgressBar> {
        self.bar.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Text for people, as it is.
    pub(crate) fn text(&self, text: impl Display) {
        if !self.quiet && !self.json {
            self.err(text);
        }
    }

    fn err(&self, text: impl Display) {
        self.suspend(|| {
            let _ = writeln!(anstream::stderr(), "{text}");
        });
    }

    fn suspend(&self, print: impl FnOnce()) {
        self.bars.suspend(print);
    }
}

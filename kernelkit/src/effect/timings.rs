//! Times the commands of a build: a program of ours stands in for make's shell, starts the real
//! one, and notes when each command began and ended.
//!
//! Make hands `SHELL=` of its command line on to every make below it, and Kbuild uses its own
//! `CONFIG_SHELL` for scripts, so that nothing a compiler sees, and no `.cmd` file, is different.

use std::ffi::OsString;
use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use camino::{Utf8Path, Utf8PathBuf};

use super::run::Event;
use super::{environment, exec, fs};
use crate::plan::{Plan, Step};
use crate::process::Call;
use crate::report::timings::{self, Build, Recorded, Shown, Timings};

/// The name of the program that calls [`record`], beside `cargo-kernel`.
pub const RECORDER: &str = "kernelkit-shell";

/// The variable that names the file which commands are noted in.
const VARIABLE: &str = "KERNELKIT_TIMINGS";

/// The shell that make would use.
const SHELL: &str = "/bin/sh";

/// How much of a command is noted: what tells it stands at its beginning.
const HEAD: usize = 1000;

/// What the recorder does: runs the shell with `arguments`, notes what it was and how long it
/// took, and gives the exit code to end with. What is no unit becomes the shell at once: most of
/// make's commands are such, and over in a millisecond.
pub fn record(arguments: &[OsString]) -> u8 {
    use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
    let mut shell = std::process::Command::new(SHELL);
    shell.args(arguments);
    let is_unit = |command: &OsString| timings::is_unit(&command.to_string_lossy());
    if !arguments.last().is_some_and(is_unit) {
        // It returns only where there is no shell.
        let _error = shell.exec();
        return 127;
    }
    let start = now();
    let Ok(status) = shell.status() else {
        return 127;
    };
    let end = now();
    if let Some(path) = std::env::var_os(VARIABLE) {
        // A build does not fail for what is only told of it.
        let _ = note(path.as_ref(), start, end, arguments.last());
    }
    let signal = || status.signal().map_or(1, |signal| 128 + signal);
    u8::try_from(status.code().unwrap_or_else(signal)).unwrap_or(1)
}

fn now() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Appends a line. It is written at once, and writes to a file that is open for appending do
/// not mix (write(2)).
fn note(
    path: &std::path::Path,
    start: u64,
    end: u64,
    command: Option<&OsString>,
) -> std::io::Result<()> {
    use ::nix::sys::resource::{UsageWho, getrusage};
    use ::nix::sys::time::TimeValLike as _;
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let cpu = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    let command = command
        .map(|command| command.to_string_lossy())
        .unwrap_or_default();
    let recorded = Recorded {
        start,
        end,
        cpu: cpu.unsigned_abs(),
        memory: usage.max_rss().unsigned_abs(),
        command: command.chars().take(HEAD).collect(),
    };
    let mut line = serde_json::to_vec(&recorded)?;
    line.push(b'\n');
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)?;
    file.write_all(&line)
}

/// Where the timings of a build are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// `timings.json`.
    pub json: Utf8PathBuf,
    /// `timings.html`.
    pub html: Utf8PathBuf,
}

/// Times one build.
#[derive(Debug)]
pub struct Timer {
    records: Utf8PathBuf,
    shown: Vec<Shown>,
    started: i64,
}

impl Timer {
    /// Has the compile step of `plan` go through `recorder`; `None` where that does not start in
    /// the surroundings in which the plan compiles.
    ///
    /// # Errors
    /// A file cannot be removed, or the user stops it.
    pub fn start(recorder: &Utf8Path, plan: &mut Plan) -> Result<Option<Timer>, super::run::Error> {
        let state = &plan.record.dirs.state;
        let records = state.join("timings.jsonl");
        fs::remove_file(&records)?;
        // Make spares itself the command `:` where its shell is called `sh`, and Kbuild has
        // thousands of them.
        let shell = state.join("timings/sh");
        fs::create_dir_all(state.join("timings"))?;
        fs::symlink_atomic(recorder, &shell)?;
        for step in &mut plan.steps {
            let Step::Compile { call } = step else {
                continue;
            };
            let trial = Call::new(shell.as_str(), call.dir.clone())
                .args(["-c", "exit 7"])
                .envs(&call.env);
            match exec::capture_unchecked(&trial) {
                Ok((_, status)) if status.code() == Some(7) => {}
                Err(exec::Error::Interrupted) => return Err(exec::Error::Interrupted.into()),
                _ => return Ok(None),
            }
            *call = call
                .clone()
                .arg(format!("SHELL={shell}"))
                .env(VARIABLE, records.as_str());
        }
        Ok(Some(Timer {
            records,
            shown: Vec::new(),
            started: environment::now().timestamp().as_second(),
        }))
    }

    /// Takes what the build tells.
    pub fn see(&mut self, event: &Event<'_>) {
        if let Event::Command { verb, target, .. } = event {
            self.shown.push(Shown {
                at: now(),
                verb: (*verb).to_owned(),
                target: (*target).to_owned(),
            });
        }
    }

    /// Puts the timings together and writes them beside the logs of the run.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub fn finish(self, plan: &Plan) -> Result<(Timings, Written), fs::Error> {
        let bytes = fs::read_optional(&self.records)?.unwrap_or_default();
        // A line that a killed command has left half written is none.
        let records: Vec<Recorded> = bytes
            .split(|byte| *byte == b'\n')
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect();
        fs::remove_file(&self.records)?;
        let build = Build {
            tool: format!("cargo kernel {}", env!("CARGO_PKG_VERSION")),
            kernel: plan.record.name.to_string(),
            release: plan.record.release.clone(),
            started: self.started,
            jobs: jobs(plan),
            cores: environment::cores(),
        };
        let timings = timings::analyze(
            build,
            plan.record.dirs.build.as_str(),
            &records,
            &self.shown,
        );
        let directory = fs::real_path(plan.record.dirs.logs().join("latest"));
        let written = Written {
            json: directory.join("timings.json"),
            html: directory.join("timings.html"),
        };
        fs::write_atomic(&written.json, timings.to_json().as_bytes())?;
        fs::write_atomic(&written.html, timings::html(&timings).as_bytes())?;
        Ok((timings, written))
    }
}

/// `-j` of the compile step.
fn jobs(plan: &Plan) -> usize {
    let calls = plan.steps.iter().filter_map(|step| match step {
        Step::Compile { call } => Some(call),
        _ => None,
    });
    calls
        .flat_map(|call| &call.args)
        .find_map(|arg| arg.strip_prefix("-j")?.parse().ok())
        .unwrap_or_else(environment::cores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recorder_gives_the_shells_answer() {
        for (script, code) in [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137)] {
            // Anything else would become the shell, and this test with it.
            let unit = format!(": echo '  CC      a.o'; {script}");
            assert_eq!(record(&["-c".into(), unit.into()]), code, "{script}");
        }
    }

    #[test]
    fn a_note_is_a_line_that_comes_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("timings");
        let long = OsString::from(format!(
            "set -e; echo '  CC      a.o'; {}",
            "ü".repeat(HEAD)
        ));
        for start in [5, 6] {
            note(&path, start, 9, Some(&long)).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let starts: Vec<_> = text
            .lines()
            .map(|line| serde_json::from_str::<Recorded>(line).unwrap())
            .inspect(|recorded| assert_eq!(recorded.command.chars().count(), HEAD))
            .map(|recorded| recorded.start)
            .collect();
        assert_eq!(starts, [5, 6]);
    }
}

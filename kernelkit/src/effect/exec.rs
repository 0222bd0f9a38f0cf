//! Runs [`Call`]s: the one place that starts processes.
//!
//! Every child gets an explicit directory and environment, no standard input, and
//! a process group of its own, so that stopping it stops its grandchildren too.
//! [`install_interrupt_handler`] stops every running group on Ctrl-C.

use std::collections::VecDeque;
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use camino::Utf8PathBuf;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::process::Call;

/// Last lines of a failed child's output that an error keeps.
const TAIL_LINES: usize = 20;

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program is not on `PATH`.
    #[error("`{program}` was not found on PATH")]
    NotFound {
        /// The program.
        program: String,
        /// The whole command.
        call: Box<Call>,
    },
    /// The process could not be started.
    #[error("cannot start `{call}`")]
    Start {
        /// The command.
        call: Box<Call>,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The process ended with a failure.
    #[error("`{program}` failed with {status}", program = call.program)]
    Failed {
        /// The command.
        call: Box<Call>,
        /// `exit status 2` or `signal 9`.
        status: String,
        /// The last lines of its output.
        tail: Vec<String>,
        /// Where the whole output is, when it was logged.
        log: Option<Utf8PathBuf>,
    },
    /// Reading the child's output failed.
    #[error("cannot read the output of `{call}`")]
    Output {
        /// The command.
        call: Box<Call>,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The user stopped it.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::NotFound { .. } => Some(
                "`cargo kernel doctor` says which package has it; `--setup` installs it".to_owned(),
            ),
            Error::Failed { call, log, .. } => Some(match log {
                Some(log) => format!("the whole output is in {log}; to run it by hand: {call}"),
                None => format!("to run it by hand: {call}"),
            }),
            Error::Start { call, .. } | Error::Output { call, .. } => {
                Some(format!("to run it by hand: {call}"))
            }
            Error::Interrupted => {
                Some("run the same command again: it continues where it stopped".to_owned())
            }
        }
    }
}

/// What a successful child printed.
#[derive(Clone, Debug)]
pub struct Output {
    /// Standard output, as bytes.
    pub stdout: Vec<u8>,
    /// Standard error, as bytes.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Standard output as text; bytes that are not UTF-8 are replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static GROUPS: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// From now on SIGINT, SIGTERM and SIGHUP stop every running child's group; the
/// calls then end in [`Error::Interrupted`]. A second signal ends this process at once.
pub fn install_interrupt_handler() -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(|| {
        let signal = if INTERRUPTED.swap(true, Ordering::SeqCst) {
            Signal::KILL
        } else {
            Signal::TERM
        };
        signal_groups(signal);
        if signal == Signal::KILL {
            std::process::exit(130);
        }
    })
}

/// Whether the user asked to stop.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

fn groups() -> std::sync::MutexGuard<'static, Vec<Pid>> {
    GROUPS
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn signal_groups(signal: Signal) {
    for group in groups().iter() {
        // A group that has just ended is no error.
        let _ = kill_process_group(*group, signal);
    }
}

/// A running child's process group, stopped when this is dropped.
struct Group(Pid);

impl Group {
    fn register(id: u32) -> Option<Self> {
        let pid = Pid::from_raw(i32::try_from(id).ok()?)?;
        groups().push(pid);
        Some(Group(pid))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        groups().retain(|group| group != &self.0);
    }
}

fn expression(call: &Call) -> Result<duct::Expression, Error> {
    if interrupted() {
        return Err(Error::Interrupted);
    }
    let program = find_program(call).ok_or_else(|| Error::NotFound {
        program: call.program.clone(),
        call: Box::new(call.clone()),
    })?;
    Ok(duct::cmd(program.as_std_path(), &call.args)
        .dir(&call.dir)
        .full_env(&call.env)
        .stdin_null()
        .unchecked()
        .before_spawn(|command| {
            command.process_group(0);
            Ok(())
        }))
}

/// Where `PATH` of the call's environment has the program.
pub fn find_program(call: &Call) -> Option<Utf8PathBuf> {
    if call.program.contains('/') {
        return Some(call.dir.join(&call.program));
    }
    find_on_path(&call.program, call.env.get("PATH")?)
}

/// The first executable file named `program` in the directories of `path`.
pub fn find_on_path(program: &str, path: &str) -> Option<Utf8PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    path.split(':')
        .filter(|directory| !directory.is_empty())
        .map(|directory| Utf8PathBuf::from(directory).join(program))
        .find(|candidate| {
            std::fs::metadata(candidate).is_ok_and(|metadata| {
                metadata.is_file() && metadata.permissions().mode() & 0o111 != 0
            })
        })
}

fn describe(status: std::process::ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

fn tail_of(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..]
        .iter()
        .map(|line| (*line).to_owned())
        .collect()
}

/// Runs to the end and returns the output; a non-zero exit is an error that
/// carries the last lines of standard error (or output, where that is empty).
pub fn capture(call: &Call) -> Result<Output, Error> {
    let (output, status) = capture_unchecked(call)?;
    if status.success() {
        return Ok(output);
    }
    let tail = tail_of(if output.stderr.is_empty() {
        &output.stdout
    } else {
        &output.stderr
    });
    Err(Error::Failed {
        call: Box::new(call.clone()),
        status: describe(status),
        tail,
        log: None,
    })
}

/// Runs to the end and returns output and status, whatever the status is.
pub fn capture_unchecked(call: &Call) -> Result<(Output, std::process::ExitStatus), Error> {
    let handle = expression(call)?
        .stdout_capture()
        .stderr_capture()
        .start()
        .map_err(|source| Error::Start {
            call: Box::new(call.clone()),
            source,
        })?;
    let _groups: Vec<_> = handle
        .pids()
        .into_iter()
        .filter_map(Group::register)
        .collect();
    let output = handle.wait().map_err(|source| Error::Output {
        call: Box::new(call.clone()),
        source,
    })?;
    if interrupted() {
        return Err(Error::Interrupted);
    }
    Ok((
        Output {
            stdout: output.stdout.clone(),
            stderr: output.stderr.clone(),
        },
        output.status,
    ))
}

/// Runs to the end, handing each line of output and error output (in the order
/// written, without its newline) to `line`. The error of a failed child carries the last lines.
pub fn stream(
    call: &Call,
    log: Option<&Utf8PathBuf>,
    line: &mut dyn FnMut(&[u8]),
) -> Result<(), Error> {
    let reader = expression(call)?
        .stderr_to_stdout()
        .reader()
        .map_err(|source| Error::Start {
            call: Box::new(call.clone()),
            source,
        })?;
    let _groups: Vec<_> = reader
        .pids()
        .into_iter()
        .filter_map(Group::register)
        .collect();
    let mut tail: VecDeque<Vec<u8>> = VecDeque::with_capacity(TAIL_LINES);
    let mut lines = BufReader::new(&reader);
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        let count = lines
            .read_until(b'\n', &mut buffer)
            .map_err(|source| Error::Output {
                call: Box::new(call.clone()),
                source,
            })?;
        if count == 0 {
            break;
        }
        let text = buffer.strip_suffix(b"\n").unwrap_or(&buffer);
        line(text);
        if tail.len() == TAIL_LINES {
            tail.pop_front();
        }
        tail.push_back(text.to_owned());
    }
    let output = reader.try_wait().map_err(|source| Error::Output {
        call: Box::new(call.clone()),
        source,
    })?;
    if interrupted() {
        return Err(Error::Interrupted);
    }
    match output.map(|output| output.status) {
        Some(status) if status.success() => Ok(()),
        status => Err(Error::Failed {
            call: Box::new(call.clone()),
            status: status.map_or_else(|| "no status".to_owned(), describe),
            tail: tail
                .iter()
                .map(|line| String::from_utf8_lossy(line).into_owned())
                .collect(),
            log: log.cloned(),
        }),
    }
}

/// Runs to the end and hands standard output to `consume` while it comes. The error
/// of a failed child carries the last lines of its standard error.
pub fn pipe<T>(
    call: &Call,
    consume: impl FnOnce(&mut (dyn io::Read + Send)) -> T,
) -> Result<T, Error> {
    let failed = |source| Error::Output {
        call: Box::new(call.clone()),
        source,
    };
    let reader = expression(call)?
        .stderr_capture()
        .reader()
        .map_err(|source| Error::Start {
            call: Box::new(call.clone()),
            source,
        })?;
    let _groups: Vec<_> = reader
        .pids()
        .into_iter()
        .filter_map(Group::register)
        .collect();
    let consumed = consume(&mut &reader);
    // A child must not wait for somebody to read the rest.
    io::copy(&mut &reader, &mut io::sink()).map_err(failed)?;
    let output = reader.try_wait().map_err(failed)?;
    if interrupted() {
        return Err(Error::Interrupted);
    }
    match output {
        Some(output) if output.status.success() => Ok(consumed),
        output => Err(Error::Failed {
            call: Box::new(call.clone()),
            status: output.map_or_else(|| "no status".to_owned(), |output| describe(output.status)),
            tail: output.map_or_else(Vec::new, |output| tail_of(&output.stderr)),
            log: None,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Call {
        Call::new("sh", "/")
            .arg("-c")
            .arg(script)
            .env("PATH", "/usr/bin:/bin")
    }

    #[test]
    fn the_child_sees_only_the_calls_environment() {
        let output = capture(
            &Call::new("env", "/")
                .env("PATH", "/usr/bin:/bin")
                .env("A", "b"),
        )
        .unwrap();
        assert_eq!(output.text(), "A=b\nPATH=/usr/bin:/bin\n");
    }

    #[test]
    fn a_failure_carries_command_status_and_last_lines() {
        let error = capture(&shell("echo one >&2; echo two >&2; exit 3")).unwrap_err();
        let Error::Failed { status, tail, .. } = &error else {
            panic!("{error:?}")
        };
        assert_eq!(
            (status.as_str(), tail.as_slice()),
            (
                "exit status 3",
                ["one".to_owned(), "two".to_owned()].as_slice()
            )
        );
        assert!(error.hint().unwrap().contains("sh -c"));
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = capture(&Call::new("no-such-tool", "/").env("PATH", "/bin")).unwrap_err();
        assert_eq!(error.to_string(), "`no-such-tool` was not found on PATH");
    }

    #[test]
    fn piped_bytes_arrive_and_a_failure_has_the_childs_words() {
        let read = |input: &mut (dyn io::Read + Send)| {
            let mut bytes = Vec::new();
            input.read_to_end(&mut bytes).unwrap();
            bytes
        };
        assert_eq!(pipe(&shell("printf 'a\\0b'"), read).unwrap(), b"a\0b");
        let error = pipe(&shell("printf a; echo why >&2; exit 4"), read).unwrap_err();
        let Error::Failed { status, tail, .. } = error else {
            panic!("{error:?}")
        };
        assert_eq!(
            (status.as_str(), tail),
            ("exit status 4", vec!["why".to_owned()])
        );
    }

    #[test]
    fn streamed_lines_arrive_in_order_and_undecoded() {
        let mut lines = Vec::new();
        stream(
            &shell(r"echo a; echo b >&2; printf '\377'"),
            None,
            &mut |line| lines.push(line.to_vec()),
        )
        .unwrap();
        assert_eq!(lines, [b"a".to_vec(), b"b".to_vec(), vec![0xff]]);
    }
}

//! Runs [`Call`]s: the one place that starts processes.
//!
//! Every child gets an explicit directory and environment, no standard input, and
//! a process group of its own, so that stopping it stops its grandchildren too.
//! Only [`interactive`] differs: its child shares the caller's terminal, and so
//! the caller's group.
//! [`install_interrupt_handler`] stops every running child on Ctrl-C.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

use super::lock;
use crate::credentials::redact;
use crate::limits::{self, Exceeded, Limit};
use crate::process::Call;
use crate::root;

/// Last lines of a failed child's output that an error keeps.
const TAIL_LINES: usize = 20;

/// How long [`stream_until`] lets a child end by itself after SIGTERM before it sends SIGKILL.
const TERM_GRACE: Duration = Duration::from_secs(2);

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
    /// It took too long, and was stopped.
    #[error("`{call}` was stopped: {limit}")]
    Slow {
        /// The command.
        call: Box<Call>,
        /// How long it may take.
        limit: Exceeded,
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
            Error::Failed { call, tail, .. }
                if call.env.contains_key(root::VARIABLE)
                    && tail.iter().any(|line| line.contains("unshare")) =>
            {
                Some(
                    "this machine does not let you make a user namespace, which the toolchain's root needs: as root, \
                     `sysctl -w kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000` (and \
                     kernel.apparmor_restrict_unprivileged_userns=0 where there is such a key), or use `toolchain = \"host\"`"
                        .to_owned(),
                )
            }
            Error::Failed { call, log, .. } => Some(match log {
                Some(log) => format!("the whole output is in {log}; to run it by hand: {call}"),
                None => format!("to run it by hand: {call}"),
            }),
            Error::Start { call, .. } | Error::Output { call, .. } | Error::Slow { call, .. } => {
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
static RUNNING: Mutex<Vec<Target>> = Mutex::new(Vec::new());
static WAITING: Mutex<()> = Mutex::new(());
static WOKEN: Condvar = Condvar::new();

/// From now on SIGINT, SIGTERM and SIGHUP stop every running child; the
/// calls then end in [`Error::Interrupted`]. A second signal ends this process at once.
pub fn install_interrupt_handler() -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(|| {
        let signal = if INTERRUPTED.swap(true, Ordering::SeqCst) {
            Signal::KILL
        } else {
            Signal::TERM
        };
        signal_running(signal);
        drop(waiting());
        WOKEN.notify_all();
        if signal == Signal::KILL {
            std::process::exit(130);
        }
    })
}

/// Whether the user asked to stop.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// Waits so long, without doing anything meanwhile, or until the user asks to stop; whether they did.
pub fn wait(time: Duration) -> bool {
    let stopped = WOKEN.wait_timeout_while(waiting(), time, |()| !interrupted());
    drop(stopped);
    interrupted()
}

/// Held while somebody decides to wait, so that a signal does not go by unnoticed in between.
fn waiting() -> std::sync::MutexGuard<'static, ()> {
    WAITING
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// What a signal to a running child goes to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    /// The child's own process group.
    Group(Pid),
    /// The child alone, where its group is also ours.
    Process(Pid),
}

impl Target {
    fn signal(self, signal: Signal) {
        // A child that has just ended is no error.
        let _ = match self {
            Target::Group(pid) => kill_process_group(pid, signal),
            Target::Process(pid) => kill_process(pid, signal),
        };
    }
}

fn running() -> std::sync::MutexGuard<'static, Vec<Target>> {
    RUNNING
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn signal_running(signal: Signal) {
    for target in running().iter() {
        target.signal(signal);
    }
}

/// A running child that the interrupt handler stops, until this is dropped.
pub(super) struct Running(Target);

impl Running {
    fn register(target: fn(Pid) -> Target, id: u32) -> Option<Self> {
        let target = target(Pid::from_raw(i32::try_from(id).ok()?)?);
        running().push(target);
        // The handler may have run between the start and the registration.
        if interrupted() {
            target.signal(Signal::TERM);
        }
        Some(Running(target))
    }

    /// Of a child in a process group of its own.
    pub(super) fn register_group(id: u32) -> Option<Self> {
        Running::register(Target::Group, id)
    }

    fn register_all(target: fn(Pid) -> Target, ids: Vec<u32>) -> Vec<Self> {
        ids.into_iter()
            .filter_map(|id| Running::register(target, id))
            .collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        running().retain(|target| target != &self.0);
    }
}

/// The call as an expression that inherits our standard streams and process group.
fn attached(call: &Call) -> Result<duct::Expression, Error> {
    if interrupted() {
        return Err(Error::Interrupted);
    }
    let program = find_program(call).ok_or_else(|| Error::NotFound {
        program: call.program.clone(),
        call: Box::new(call.clone()),
    })?;
    let (program, call) = match root::enter(call) {
        Some(entered) => (entered.program.clone().into(), Cow::Owned(entered)),
        None => (program, Cow::Borrowed(call)),
    };
    Ok(duct::cmd(program.as_std_path(), &call.args)
        .dir(&call.dir)
        .full_env(&call.env)
        .unchecked())
}

/// The call as an expression without standard input, in a process group of its own.
fn expression(call: &Call) -> Result<duct::Expression, Error> {
    Ok(apart(attached(call)?.stdin_null()))
}

/// In a process group of its own.
fn apart(expression: duct::Expression) -> duct::Expression {
    expression.before_spawn(|command| {
        command.process_group(0);
        Ok(())
    })
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

/// `exit status 2` or `signal 9`.
pub(super) fn describe(status: ExitStatus) -> String {
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
        .map(|line| redact(line).into_owned())
        .collect()
}

/// Runs to the end and returns the output; a non-zero exit is an error that
/// carries the last lines of standard error (or output, where that is empty).
pub fn capture(call: &Call) -> Result<Output, Error> {
    let (output, status) = capture_unchecked(call)?;
    succeeded(call, output, status)
}

/// The output of a call that ended well, or why it did not.
fn succeeded(call: &Call, output: Output, status: ExitStatus) -> Result<Output, Error> {
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

/// Starts what `call` describes, with the locks that are held for it.
fn begin<T>(call: &Call, start: impl FnOnce() -> io::Result<T>) -> Result<T, Error> {
    lock::handing_on(start).map_err(|source| Error::Start {
        call: Box::new(call.clone()),
        source,
    })
}

/// Runs to the end and returns output and status, whatever the status is.
pub fn capture_unchecked(call: &Call) -> Result<(Output, ExitStatus), Error> {
    let expression = expression(call)?.stdout_capture().stderr_capture();
    let handle = begin(call, || expression.start())?;
    let _running = Running::register_all(Target::Group, handle.pids());
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

/// Runs to the end, but no longer than `time`, and returns the first of what it prints, whatever its status
/// is: at most `stdout` and `stderr` of the streams. Then the pipe of its output is closed, as the kernel's
/// `conf` does, and the rest of its error output is dropped.
pub fn capture_bounded(
    call: &Call,
    stdout: Limit,
    stderr: Limit,
    time: Limit,
) -> Result<Output, Error> {
    Ok(bounded(call, stdout, stderr, time)?.0)
}

/// As [`capture`], but no longer than `time`.
pub fn capture_in(call: &Call, time: Limit) -> Result<Output, Error> {
    let (output, status) = bounded(call, limits::INPUT, limits::INPUT, time)?;
    succeeded(call, output, status)
}

fn bounded(
    call: &Call,
    stdout: Limit,
    stderr: Limit,
    time: Limit,
) -> Result<(Output, ExitStatus), Error> {
    let failed = |source| Error::Output {
        call: Box::new(call.clone()),
        source,
    };
    let (output, into_output) = io::pipe().map_err(failed)?;
    let (errors, into_errors) = io::pipe().map_err(failed)?;
    let expression = expression(call)?
        .stdout_file(into_output)
        .stderr_file(into_errors);
    let handle = begin(call, || expression.start())?;
    // The children's ends are theirs alone now.
    drop(expression);
    let running = Running::register_all(Target::Group, handle.pids());
    let deadline = Instant::now() + time.time();
    let (sender, ended) = mpsc::channel();
    let first = |mut from: io::PipeReader, limit: Limit, rest: bool| {
        let sender = sender.clone();
        // They end when the pipes close; they are not joined, so that none delays the deadline.
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let mut read = (&mut from).take(limit.most).read_to_end(&mut bytes);
            if rest && read.is_ok() {
                read = io::copy(&mut from, &mut io::sink()).map(|_| 0);
            }
            drop(from);
            let _ = sender.send((rest, read.map(|_| bytes)));
        });
    };
    first(output, stdout, false);
    first(errors, stderr, true);
    let mut streams = [Vec::new(), Vec::new()];
    for _ in 0..2 {
        let left = deadline.saturating_duration_since(Instant::now());
        match ended.recv_timeout(left) {
            Ok((is_errors, bytes)) => streams[usize::from(is_errors)] = bytes.map_err(failed)?,
            Err(_) => break,
        }
    }
    let left = deadline.saturating_duration_since(Instant::now());
    let ended = handle.wait_timeout(left).map_err(failed)?;
    let status = ended.map(|output| output.status);
    if status.is_none() {
        signal_all(&running, Signal::KILL);
    }
    if interrupted() {
        return Err(Error::Interrupted);
    }
    let [stdout, stderr] = streams;
    match status {
        Some(status) => Ok((Output { stdout, stderr }, status)),
        None => Err(Error::Slow {
            call: Box::new(call.clone()),
            limit: Exceeded { limit: time },
        }),
    }
}

/// Runs to the end, handing each line of output and error output (in the order
/// written, without its newline) to `line`. The error of a failed child carries the last lines.
pub fn stream(
    call: &Call,
    log: Option<&Utf8PathBuf>,
    line: &mut dyn FnMut(&[u8]),
) -> Result<(), Error> {
    let expression = expression(call)?.stderr_to_stdout();
    let reader = begin(call, || expression.reader())?;
    let _running = Running::register_all(Target::Group, reader.pids());
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
                .map(|line| redact(&String::from_utf8_lossy(line)).into_owned())
                .collect(),
            log: log.cloned(),
        }),
    }
}

/// What [`stream_until`] tells its watcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch<'a> {
    /// Output or error output, as it came: not cut at lines.
    Output(&'a [u8]),
    /// The deadline has passed without output.
    Deadline,
}

/// Runs until the child ends or `watch` wants no more of it. `watch` is called for
/// every piece of output, and when the deadline passes in silence; it answers with
/// the next deadline, or with `None` to stop the child: SIGTERM to its group, and
/// SIGKILL two seconds later. What a stopping child still prints is not handed on.
///
/// Returns the child's status, or `None` where it was stopped.
pub fn stream_until(
    call: &Call,
    mut deadline: Instant,
    watch: &mut dyn FnMut(Watch<'_>) -> Option<Instant>,
) -> Result<Option<ExitStatus>, Error> {
    let output_error = |source| Error::Output {
        call: Box::new(call.clone()),
        source,
    };
    let expression = expression(call)?.stderr_to_stdout();
    let reader = begin(call, || expression.reader())?;
    let running = Running::register_all(Target::Group, reader.pids());
    let (sender, pieces) = mpsc::channel();
    let stopped = std::thread::scope(|scope| {
        // The scope waits for the reading thread, and the thread for the child:
        // leaving the scope early, by a panic of `watch` too, must end the child.
        let mut guard = KillUnlessEnded(Some(&running));
        let reader = &reader;
        scope.spawn(move || read_pieces(reader, &sender));
        let stopped = loop {
            let wait = deadline.saturating_duration_since(Instant::now());
            let seen = match pieces.recv_timeout(wait) {
                Ok(Ok(piece)) => watch(Watch::Output(&piece)),
                Ok(Err(source)) => return Err(output_error(source)),
                Err(RecvTimeoutError::Timeout) => watch(Watch::Deadline),
                Err(RecvTimeoutError::Disconnected) => break false,
            };
            match seen {
                Some(next) => deadline = next,
                None => break true,
            }
        };
        if stopped {
            signal_all(&running, Signal::TERM);
            let kill_at = Instant::now() + TERM_GRACE;
            while let Ok(_) | Err(RecvTimeoutError::Timeout) =
                pieces.recv_timeout(kill_at.saturating_duration_since(Instant::now()))
            {
                if Instant::now() >= kill_at {
                    return Ok(true);
                }
            }
        }
        guard.0 = None;
        Ok(stopped)
    })?;
    let output = reader.try_wait().map_err(output_error)?;
    if interrupted() {
        return Err(Error::Interrupted);
    }
    Ok(output.map(|output| output.status).filter(|_| !stopped))
}

/// Sends what `reader` has, piece by piece, until the child has ended.
fn read_pieces(mut reader: &duct::ReaderHandle, sender: &mpsc::Sender<io::Result<Vec<u8>>>) {
    let mut buffer = [0; 4096];
    loop {
        let piece = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => Ok(buffer[..count].to_vec()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let failed = piece.is_err();
        // Once nobody listens the child is being stopped: read on until it has ended.
        let _ = sender.send(piece);
        if failed {
            break;
        }
    }
}

fn signal_all(running: &[Running], signal: Signal) {
    for child in running {
        child.0.signal(signal);
    }
}

/// Kills the children when dropped, unless emptied before.
struct KillUnlessEnded<'a>(Option<&'a [Running]>);

impl Drop for KillUnlessEnded<'_> {
    fn drop(&mut self) {
        signal_all(self.0.unwrap_or_default(), Signal::KILL);
    }
}

/// Runs to the end on the caller's own terminal: standard streams and process
/// group are the caller's, so that the child may read the keyboard. The
/// terminal's modes are put back afterwards, however the child ended.
pub fn interactive(call: &Call) -> Result<ExitStatus, Error> {
    let expression = attached(call)?;
    let stdin = io::stdin();
    // No terminal, no modes.
    let modes = tcgetattr(&stdin).ok();
    let handle = begin(call, || expression.start())?;
    let running = Running::register_all(Target::Process, handle.pids());
    let result = handle.wait().map(|output| output.status);
    drop(running);
    if let Some(modes) = modes {
        // Where this fails the terminal is gone, and nobody is left to tell.
        let _ = tcsetattr(&stdin, OptionalActions::Drain, &modes);
    }
    if interrupted() {
        return Err(Error::Interrupted);
    }
    result.map_err(|source| Error::Output {
        call: Box::new(call.clone()),
        source,
    })
}

/// Runs to the end and hands standard output to `consume` while it comes. The error
/// of a failed child carries the last lines of its standard error.
pub fn pipe<T>(
    call: &Call,
    consume: impl FnOnce(&mut (dyn io::Read + Send)) -> T,
) -> Result<T, Error> {
    pipe_from(call, Vec::new(), consume)
}

/// The same with `input` as the child's standard input.
pub fn pipe_from<T>(
    call: &Call,
    input: Vec<u8>,
    consume: impl FnOnce(&mut (dyn io::Read + Send)) -> T,
) -> Result<T, Error> {
    let failed = |source| Error::Output {
        call: Box::new(call.clone()),
        source,
    };
    let expression = match input.is_empty() {
        true => expression(call)?,
        false => apart(attached(call)?.stdin_bytes(input)),
    };
    let reader = expression
        .stderr_capture()
        .reader()
        .map_err(|source| Error::Start {
            call: Box::new(call.clone()),
            source,
        })?;
    let _running = Running::register_all(Target::Group, reader.pids());
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

    /// Runs `script` with the deadline `seconds` from now and stops it there, or at
    /// the first output where `at_output`.
    fn stream_for(
        script: &str,
        seconds: f64,
        at_output: bool,
    ) -> (String, Result<Option<ExitStatus>, Error>) {
        let mut seen = Vec::new();
        let deadline = Instant::now() + Duration::from_secs_f64(seconds);
        let result = stream_until(&shell(script), deadline, &mut |watch| match watch {
            Watch::Output(bytes) => {
                seen.extend_from_slice(bytes);
                (!at_output).then_some(deadline)
            }
            Watch::Deadline => None,
        });
        (String::from_utf8(seen).unwrap(), result)
    }

    /// Every child below sleeps for ten minutes and holds the output open, and the
    /// call ends only where nobody holds it: being back early shows that all are gone.
    fn assert_back_early(started: Instant) {
        assert!(started.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn a_child_that_ends_in_time_keeps_its_status() {
        let (text, result) = stream_for("echo a; echo b >&2; exit 3", 60.0, false);
        assert_eq!(text, "a\nb\n");
        assert_eq!(result.unwrap().and_then(|status| status.code()), Some(3));
    }

    #[test]
    fn silence_is_over_at_the_deadline_and_no_grandchild_is_left() {
        let started = Instant::now();
        let (_, result) = stream_for("sleep 600 & sleep 600", 0.5, false);
        assert_eq!(result.unwrap(), None);
        assert_back_early(started);
    }

    #[test]
    fn a_child_that_ignores_sigterm_is_killed() {
        let started = Instant::now();
        let (_, result) = stream_for("trap '' TERM; echo; sleep 600; sleep 600", 60.0, true);
        assert_eq!(result.unwrap(), None);
        assert!(started.elapsed() >= TERM_GRACE);
        assert_back_early(started);
    }

    #[test]
    fn a_prompt_without_a_newline_is_seen_at_once() {
        let (text, _) = stream_for("printf '> '; sleep 600", 60.0, true);
        assert_eq!(text, "> ");
    }

    #[test]
    fn a_panicking_watcher_leaves_no_child() {
        let started = Instant::now();
        std::panic::catch_unwind(|| {
            stream_until(&shell("sleep 600 & sleep 600"), started, &mut |_| {
                panic!("the watcher's own fault")
            })
        })
        .unwrap_err();
        assert_back_early(started);
    }

    const KILO: Limit = Limit {
        name: "the output",
        most: 1024,
        unit: crate::limits::Unit::Bytes,
    };
    const MINUTE: Limit = Limit {
        name: "the time",
        most: 60,
        unit: crate::limits::Unit::Seconds,
    };

    #[test]
    fn bounded_output_is_cut_at_its_limit_and_the_child_sees_a_closed_pipe() {
        let run = |script| capture_bounded(&shell(script), KILO, KILO, MINUTE).unwrap();
        let output = run("printf %01024d 7; printf %02000d 8 >&2");
        assert_eq!((output.stdout.len(), output.stderr.len()), (1024, 1024));
        assert!(output.stdout.ends_with(b"7"));
        let output = run("printf %01025d 7; exit 3");
        assert_eq!(output.stdout, [b'0'; 1024]);
        // Without an end: `yes` ends with the pipe.
        let started = Instant::now();
        assert_eq!(run("yes").stdout.len(), 1024);
        assert_eq!(run("yes >&2 & sleep 0.1; kill $!").stderr.len(), 1024);
        assert_back_early(started);
    }

    #[test]
    fn what_runs_beyond_its_time_is_killed_with_its_children() {
        let none = Limit { most: 0, ..MINUTE };
        let started = Instant::now();
        for script in ["sleep 600 & sleep 600", "exec sleep 600 >&- 2>&-"] {
            let error = capture_bounded(&shell(script), KILO, KILO, none).unwrap_err();
            assert!(
                error.to_string().ends_with("the time exceeds 0 s"),
                "{error}"
            );
            assert!(error.hint().unwrap().contains("sleep 600"));
        }
        assert_back_early(started);
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
}

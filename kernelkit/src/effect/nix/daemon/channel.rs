//! The way to the daemon: its socket, or a process of our own.

use std::fs::File;
use std::io::{self, Read, Seek as _, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use rustix::process::{Pid, Signal};

use crate::effect::nix::wire::plain;
use crate::effect::{exec, lock};
use crate::process::Call;

/// How long a process has to end once it is asked to.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where a daemon is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Its socket, usually `/nix/var/nix/daemon-socket/socket`.
    Socket(Utf8PathBuf),
    /// A process that speaks on its standard streams: `nix-daemon --stdio`.
    Process(Call),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Socket(path) => path.fmt(f),
            Address::Process(call) => write!(f, "`{call}`"),
        }
    }
}

/// The two ends of a connection.
pub(super) enum Channel {
    Socket(UnixStream),
    Process {
        child: Child,
        input: ChildStdin,
        output: ChildStdout,
        errors: File,
        _running: Option<exec::Running>,
    },
}

impl Channel {
    /// Why the process that is gone could not go on, in its own words.
    pub(super) fn last_words(&mut self) -> Option<String> {
        let Channel::Process { errors, .. } = self else {
            return None;
        };
        let mut text = String::new();
        errors.rewind().ok()?;
        errors.read_to_string(&mut text).ok()?;
        let text = plain(&text);
        let (_, words) = text.rsplit_once("error: ")?;
        Some(words.trim().to_owned())
    }
}

impl Read for Channel {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let result = match self {
                Channel::Socket(socket) => socket.read(buffer),
                Channel::Process { output, .. } => output.read(buffer),
            };
            match result {
                // The socket's time-out is there to look for Ctrl-C.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && !exec::interrupted() => {
                }
                result => return result,
            }
        }
    }
}

impl Write for Channel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Channel::Socket(socket) => socket.write(bytes),
            Channel::Process { input, .. } => input.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Channel::Socket(socket) => socket.flush(),
            Channel::Process { input, .. } => input.flush(),
        }
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        if let Channel::Process { child, .. } = self {
            // It stops its builders when it is asked to, and has nothing to save. A signal that comes just before it
            // waits for the next request is lost on it (nix-daemon 2.8 was seen to wait for ever), so it is asked
            // again, and then not any more.
            let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            let signal = |signal| {
                if let Some(group) = group {
                    let _ = rustix::process::kill_process_group(group, signal);
                }
            };
            let begun = Instant::now();
            while begun.elapsed() < PATIENCE {
                signal(Signal::TERM);
                for _ in 0..20 {
                    if !matches!(child.try_wait(), Ok(None)) {
                        return;
                    }
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
            signal(Signal::KILL);
            let _ = child.wait();
        }
    }
}

/// Connects, or starts.
pub(super) fn open(address: &Address) -> io::Result<Channel> {
    match address {
        Address::Socket(path) => {
            let socket = UnixStream::connect(path)?;
            socket.set_read_timeout(Some(Duration::from_millis(200)))?;
            Ok(Channel::Socket(socket))
        }
        Address::Process(call) => start(call),
    }
}

/// Starts a process that speaks the protocol on its standard streams, in a group of its own.
fn start(call: &Call) -> io::Result<Channel> {
    let program = exec::find_program(call).ok_or(io::ErrorKind::NotFound)?;
    let errors = tempfile::tempfile()?;
    let mut command = Command::new(program.as_std_path());
    command
        .args(&call.args)
        .current_dir(&call.dir)
        .env_clear()
        .envs(&call.env)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(errors.try_clone()?)
        .process_group(0);
    let mut child = lock::handing_on(|| command.spawn())?;
    let id = child.id();
    let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        unreachable!("both were asked for")
    };
    Ok(Channel::Process {
        child,
        input,
        output,
        errors,
        _running: exec::Running::register_group(id),
    })
}

//! GNU make's jobserver: the makes of several kernels take their jobs from one pool.
//!
//! A pool is a pipe that holds a byte for each job but one; whoever runs a make holds one job for
//! it, and the make takes a byte for every job beyond that and puts it back (GNU make's manual,
//! "POSIX Jobserver Interaction"). Ours is a pipe that makes inherit, which every make since 4.2 takes;
//! where `cargo kernel` itself runs beneath a make, that make's own is used, a pipe or, since
//! make 4.4, a named one.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::OFlags;
use rustix::io::{FdFlags, fcntl_setfd};

use super::environment::Environment;
use super::exec;
use crate::make::{self, JobserverAuth};

/// How long to wait before looking for a free job again. Whoever waits in a read would not
/// notice Ctrl-C.
const PAUSE: Duration = Duration::from_millis(10);

/// A pool of jobs.
#[derive(Debug)]
pub struct Jobserver {
    /// Opened anew, so that not to wait at it is our own affair.
    reader: File,
    writer: File,
    makeflags: String,
    /// Whether the job that whoever starts us holds for us is taken.
    first_taken: AtomicBool,
    /// Keeps the ends open that makes inherit.
    _pipe: Option<(PipeReader, PipeWriter)>,
}

/// A job; dropping it puts it back.
#[derive(Debug)]
pub struct Token<'a> {
    jobserver: &'a Jobserver,
    /// What was read for it; the first job is in no pipe.
    byte: Option<u8>,
}

impl Jobserver {
    /// A pool of our own.
    pub fn new(jobs: usize) -> io::Result<Self> {
        let jobs = jobs.max(1);
        let (reader, mut writer) = io::pipe()?;
        writer.write_all(&vec![b'+'; jobs - 1])?;
        for fd in [
            fcntl_setfd(&reader, FdFlags::empty()),
            fcntl_setfd(&writer, FdFlags::empty()),
        ] {
            fd?;
        }
        let (read, write) = (reader.as_raw_fd(), writer.as_raw_fd());
        Ok(Jobserver {
            reader: open(&descriptor(read))?,
            writer: open(&descriptor(write))?,
            makeflags: format!(" -j{jobs} --jobserver-auth={read},{write}"),
            first_taken: AtomicBool::new(false),
            _pipe: Some((reader, writer)),
        })
    }

    /// That of the make which runs us, where it lets us take part: it does for recipes that begin
    /// with `+` or name `$(MAKE)`.
    pub fn inherited(environment: &Environment) -> Option<Self> {
        let makeflags = environment.variables.get("MAKEFLAGS")?;
        let (reader, writer) = match make::jobserver_auth(makeflags)? {
            JobserverAuth::Pipe { read, write } => (inherited_pipe(read)?, inherited_pipe(write)?),
            JobserverAuth::Fifo { path } => {
                let path = Utf8PathBuf::from(path);
                (path.clone(), path)
            }
        };
        let is_pipe = |path: &Utf8Path| {
            std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo())
        };
        if !is_pipe(&reader) || !is_pipe(&writer) {
            return None;
        }
        Some(Jobserver {
            reader: open(&reader).ok()?,
            writer: open(&writer).ok()?,
            makeflags: make::only_jobs(makeflags),
            first_taken: AtomicBool::new(false),
            _pipe: None,
        })
    }

    /// What a make finds it by, as `MAKEFLAGS`.
    pub fn makeflags(&self) -> &str {
        &self.makeflags
    }

    /// A job, if one is free now.
    pub fn try_acquire(&self) -> io::Result<Option<Token<'_>>> {
        let token = |byte| Token {
            jobserver: self,
            byte,
        };
        if !self.first_taken.swap(true, Ordering::SeqCst) {
            return Ok(Some(token(None)));
        }
        let mut byte = [0];
        loop {
            return match (&self.reader).read(&mut byte) {
                Ok(1) => Ok(Some(token(Some(byte[0])))),
                Ok(_) => Err(ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
                Err(error) => Err(error),
            };
        }
    }

    /// A job, as soon as one is free.
    ///
    /// # Errors
    /// Of kind [`Interrupted`](ErrorKind::Interrupted) where the user stops the waiting.
    pub fn acquire(&self) -> io::Result<Token<'_>> {
        loop {
            if let Some(token) = self.try_acquire()? {
                return Ok(token);
            }
            if exec::interrupted() {
                return Err(ErrorKind::Interrupted.into());
            }
            std::thread::sleep(PAUSE);
        }
    }
}

impl Drop for Token<'_> {
    fn drop(&mut self) {
        match self.byte {
            None => self.jobserver.first_taken.store(false, Ordering::SeqCst),
            // A pipe that is gone takes its jobs with it.
            Some(byte) => drop((&self.jobserver.writer).write_all(&[byte])),
        }
    }
}

fn descriptor(number: i32) -> Utf8PathBuf {
    format!("/proc/self/fd/{number}").into()
}

/// The descriptor of that number, if we were started with it: one of our own that happens to have
/// the number is closed on exec, and an inherited one is not (proc_pid_fdinfo(5)).
fn inherited_pipe(number: i32) -> Option<Utf8PathBuf> {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).ok()?;
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
    let flags = u32::from_str_radix(flags.trim(), 8).ok()?;
    (flags & OFlags::CLOEXEC.bits() == 0).then(|| descriptor(number))
}

/// Opens a pipe once more: not to wait at it holds for this opening alone. Read and write, because
/// a named pipe is not opened for writing alone before somebody reads.
fn open(path: &Utf8Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Call;

    #[test]
    fn there_are_as_many_jobs_as_it_was_made_with() {
        let jobserver = Jobserver::new(3).unwrap();
        let mut held: Vec<_> = (0..3).map(|_| jobserver.acquire().unwrap()).collect();
        assert!(jobserver.try_acquire().unwrap().is_none());
        held.pop();
        assert!(jobserver.try_acquire().unwrap().is_some());
        drop(held);
        let held: Vec<_> = (0..3).map(|_| jobserver.acquire().unwrap()).collect();
        assert_eq!(held.len(), 3);
    }

    /// What a make finds that is started with `makeflags`: `make -j2` of two recipes that look
    /// whether the other one runs.
    #[test]
    fn a_make_takes_its_jobs_from_the_pool() {
        let directory = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(directory.path()).unwrap();
        // Each recipe waits for the other one: both end only where both run at once.
        std::fs::write(
            dir.join("Makefile"),
            "all: a b\na b:\n\t@touch $@.begun; for i in 1 2 3 4 5 6 7 8 9 10; do \
             test -e a.begun -a -e b.begun && { echo together; exit; }; sleep 0.1; done; echo alone\n",
        )
        .unwrap();
        let run = |jobserver: &Jobserver| {
            for name in ["a.begun", "b.begun"] {
                let _ = std::fs::remove_file(dir.join(name));
            }
            let path = std::env::var("PATH").unwrap();
            let call = Call::new("make", dir)
                .env("PATH", path)
                .env("MAKEFLAGS", jobserver.makeflags());
            exec::capture(&call).unwrap()
        };
        let jobserver = Jobserver::new(2).unwrap();
        let own = jobserver.acquire().unwrap();
        let output = run(&jobserver);
        assert_eq!(output.text(), "together\ntogether\n");
        assert_eq!(output.stderr, b"");
        // Another kernel's make has the other job.
        let other = jobserver.acquire().unwrap();
        assert!(run(&jobserver).text().contains("alone"));
        drop((own, other));
    }

    #[test]
    fn a_pipe_of_our_own_is_not_taken_for_one_of_the_make_above() {
        let (reader, writer) = io::pipe().unwrap();
        let flags = format!(
            " -j4 --jobserver-auth={},{}",
            reader.as_raw_fd(),
            writer.as_raw_fd()
        );
        let environment = |flags: &str| {
            Environment::from_variables(
                "/".into(),
                [("MAKEFLAGS".to_owned(), flags.to_owned())].into(),
            )
        };
        assert!(Jobserver::inherited(&environment(&flags)).is_none());
        assert!(Jobserver::inherited(&environment("k")).is_none());

        let outer = Jobserver::new(2).unwrap();
        let inner = Jobserver::inherited(&environment(outer.makeflags())).unwrap();
        assert_eq!(inner.makeflags(), outer.makeflags());
        let held = (inner.acquire().unwrap(), inner.acquire().unwrap());
        assert!(inner.try_acquire().unwrap().is_none());
        drop(held);
    }
}

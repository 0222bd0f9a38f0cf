//! Boots kernels in QEMU: builds init and the initramfs, runs the guest, watches its console.
//!
//! What is run and what the console means is decided in [`crate::boot`]; see there.

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};

use super::environment::{Environment, cores};
use super::exec::{self, Watch};
use super::fs;
use crate::arch::{Arch, Qemu};
use crate::boot::console;
use crate::boot::module::{self, Modules};
use crate::boot::qemu::{self, Console, Guest};
use crate::boot::{
    self, Accel, Accelerator, Ended, Expectation, GuestModule, INIT_SOURCE, Outcome, Request,
};
use crate::image::{self, BuildId};
use crate::process::Call;

/// How long a guest under KVM may say nothing before it counts as hung. Its processor is
/// the host's, so that a kernel prints its first line well within a second; under some
/// hypervisors /dev/kvm opens and makes a guest that never runs an instruction.
pub const KVM_SILENCE: Duration = Duration::from_secs(3);

/// How long a guest may take to end after its last word.
pub const END_GRACE: Duration = Duration::from_secs(5);

/// Modules that the interactive initramfs holds at most, in bytes: it lies in the guest's memory twice
/// while it is unpacked.
const MODULES_LIMIT: usize = 64 << 20;

/// Why a kernel could not be booted at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// QEMU emulates no machine of this architecture.
    #[error("QEMU runs no kernel for {arch}")]
    NoMachine {
        /// The architecture.
        arch: Arch,
    },
    /// The emulator is not installed.
    #[error("`{program}` was not found on PATH")]
    NoQemu {
        /// The program.
        program: &'static str,
        /// Debian's packages that hold it, the newest release's first.
        packages: &'static [&'static str],
    },
    /// The kernel's headers could not be made.
    #[error("cannot make the kernel's headers in {directory}")]
    Headers {
        /// Where.
        directory: Utf8PathBuf,
        /// What make said.
        #[source]
        source: exec::Error,
    },
    /// The tree has no nolibc.
    #[error("{source_tree} has no tools/include/nolibc")]
    NoNolibc {
        /// The kernel tree.
        source_tree: Utf8PathBuf,
    },
    /// init could not be compiled.
    #[error("cannot compile the guest's init in {directory}")]
    Init {
        /// Where.
        directory: Utf8PathBuf,
        /// What the compiler said.
        #[source]
        source: exec::Error,
    },
    /// The modules were installed without their dependencies.
    #[error("{directory} holds modules and no modules.dep")]
    NoDependencies {
        /// The modules' directory.
        directory: Utf8PathBuf,
    },
    /// There is no module of that name.
    #[error("no module `{name}` in {directory}")]
    NoModule {
        /// As the user wrote it.
        name: String,
        /// The modules' directory.
        directory: Utf8PathBuf,
        /// The nearest name there is.
        nearest: Option<String>,
        /// Whether it is part of the image.
        builtin: bool,
    },
    /// A module was asked for, and the kernel has none.
    #[error("no module `{name}`: the kernel has no modules")]
    NoModules {
        /// As the user wrote it.
        name: String,
    },
    /// A compressed module is damaged.
    #[error("cannot unpack {path}")]
    Unpack {
        /// The module.
        path: Utf8PathBuf,
        /// What is wrong with it.
        #[source]
        source: std::io::Error,
    },
    /// QEMU could not be run.
    #[error(transparent)]
    Run(exec::Error),
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] fs::Error),
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::NoMachine { .. } => None,
            Error::NoQemu { packages, .. } => Some(format!(
                "install QEMU: `apt install {}`; `cargo kernel doctor` knows other systems",
                packages.join("` or `apt install ")
            )),
            Error::Headers { source, .. } | Error::Init { source, .. } => source.hint(),
            Error::NoNolibc { .. } => {
                Some("the kernel's own small C library came with 5.1, in this place; boot older kernels with an initramfs of your own (`--initrd`)".to_owned())
            }
            Error::NoDependencies { .. } => Some(
                "depmod (package kmod) was missing when the modules were installed: install it and build again".to_owned(),
            ),
            Error::NoModule { builtin: true, .. } => {
                Some("it is built into the image: choose another".to_owned())
            }
            Error::NoModule { nearest, .. } => {
                nearest.as_ref().map(|name| format!("did you mean `{name}`?"))
            }
            Error::NoModules { .. } => Some("set CONFIG_MODULES=y and a driver to `m`".to_owned()),
            Error::Unpack { .. } => Some("install the modules again".to_owned()),
            Error::Run(source) => source.hint(),
            Error::File(source) => source.hint(),
        }
    }

    /// Whether the user stopped it.
    pub fn is_interrupted(&self) -> bool {
        matches!(
            self,
            Error::Run(exec::Error::Interrupted)
                | Error::Headers {
                    source: exec::Error::Interrupted,
                    ..
                }
                | Error::Init {
                    source: exec::Error::Interrupted,
                    ..
                }
        )
    }
}

/// What happens while a kernel is booted.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The kernel's headers are being made, which takes a while.
    Headers,
    /// The guest starts.
    Start {
        /// How its processor is run.
        accelerator: Accelerator,
        /// QEMU's command.
        call: Box<Call>,
    },
    /// A line of the guest's console.
    Console(String),
    /// Something worth a word, such as that KVM does not work here.
    Note(String),
    /// The guest waits for this debugger, to be started by the user.
    Debugger(String),
}

/// Boots the kernel, compares it with what is expected, loads a module if there is one,
/// and ends the guest. A kernel that fails is no error: see [`Outcome::problems`].
///
/// [`Request::initrd`] and [`Request::gdb`] are for [`interactive`].
pub fn check(
    request: &Request,
    environment: &Environment,
    on_event: &mut dyn FnMut(Event),
) -> Result<Outcome, Error> {
    let qemu = find_qemu(request, environment)?;
    let modules = check_modules(request)?;
    let initrd = build_initramfs(request, environment, &modules, true, on_event)?;
    let lab = Lab {
        request,
        environment,
        qemu,
        initrd: &initrd,
    };
    let mut notes = Vec::new();
    let mut run = None;
    if may_use_kvm(request) {
        let attempt = lab.attempt(Accelerator::Kvm, Some(KVM_SILENCE), on_event)?;
        match lab.kvm_failure(&attempt)? {
            None => run = Some((Accelerator::Kvm, attempt)),
            Some(note) => {
                on_event(Event::Note(note.clone()));
                notes.push(note);
            }
        }
    }
    let (accelerator, attempt) = match run {
        Some(run) => run,
        None => {
            let accelerator = match request.accel {
                Accel::Kvm => Accelerator::Kvm,
                Accel::Auto | Accel::Tcg => Accelerator::Tcg,
            };
            (accelerator, lab.attempt(accelerator, None, on_event)?)
        }
    };
    let console_log = request.work.join("console.log");
    fs::write_atomic(&console_log, &attempt.output)?;
    let transcript = console::read(&attempt.output);
    let target = modules.list.last().and_then(|module| module.files.last());
    let (problems, more) = boot::judge(
        &transcript,
        &attempt.ended,
        &Expectation {
            release: &request.release,
            build_id: request.build_id.as_ref(),
            module_build_ids: &modules.build_ids,
            module: target.map(String::as_str),
            named: request.module.is_some(),
            qemu,
        },
    );
    for note in more {
        on_event(Event::Note(note.clone()));
        notes.push(note);
    }
    Ok(Outcome {
        passed: problems.is_empty(),
        expected: request.release.clone(),
        module: transcript
            .modules
            .into_iter()
            .find(|load| Some(&load.path) == target),
        uname_r: transcript.release,
        uname_v: transcript.version,
        uname_m: transcript.machine,
        build_id: transcript
            .build_ids
            .into_iter()
            .find(|reported| reported.module.is_none())
            .and_then(|reported| reported.id),
        accelerator,
        seconds: attempt.seconds.as_secs_f64(),
        problems,
        notes,
        last_lines: transcript.last_lines,
        console_log,
    })
}

/// Boots the kernel with its serial console on the caller's terminal, and returns when QEMU
/// has ended. Without an initramfs of the user's there is ours: a small command loop, and the
/// kernel's modules as far as they fit.
pub fn interactive(
    request: &Request,
    environment: &Environment,
    on_event: &mut dyn FnMut(Event),
) -> Result<(), Error> {
    let qemu = find_qemu(request, environment)?;
    let mut accelerator = match request.accel {
        Accel::Kvm => Accelerator::Kvm,
        Accel::Auto | Accel::Tcg => Accelerator::Tcg,
    };
    if may_use_kvm(request) {
        // Nobody can watch a console that belongs to the user: KVM is tried before.
        let initrd = build_initramfs(request, environment, &Selection::default(), true, on_event)?;
        let lab = Lab {
            request,
            environment,
            qemu,
            initrd: &initrd,
        };
        let attempt = lab.attempt(Accelerator::Kvm, Some(KVM_SILENCE), &mut |_| {})?;
        match lab.kvm_failure(&attempt)? {
            None => accelerator = Accelerator::Kvm,
            Some(note) => on_event(Event::Note(note)),
        }
    }
    let initrd = match &request.initrd {
        Some(initrd) => environment.current_dir.join(initrd),
        None => {
            let modules = all_modules(request, on_event)?;
            build_initramfs(request, environment, &modules, false, on_event)?
        }
    };
    let lab = Lab {
        request,
        environment,
        qemu,
        initrd: &initrd,
    };
    let call = lab.call(accelerator, Console::Terminal, request.gdb);
    if let Some(port) = request.gdb {
        on_event(Event::Debugger(boot::debugger(request, port, host())));
    }
    on_event(Event::Start {
        accelerator,
        call: Box::new(call.clone()),
    });
    let status = exec::interactive(&call).map_err(Error::Run)?;
    if status.success() {
        return Ok(());
    }
    Err(Error::Run(exec::Error::Failed {
        call: Box::new(call),
        status: exec::describe(status),
        tail: Vec::new(),
        log: None,
    }))
}

fn host() -> Option<Arch> {
    Arch::host(std::env::consts::ARCH).ok()
}

/// Whether KVM is worth a try that falls back.
fn may_use_kvm(request: &Request) -> bool {
    let opens = || {
        std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/kvm")
            .is_ok()
    };
    request.accel == Accel::Auto && host() == Some(request.arch) && opens()
}

fn find_qemu(request: &Request, environment: &Environment) -> Result<&'static Qemu, Error> {
    let qemu = request
        .arch
        .row()
        .qemu
        .as_ref()
        .ok_or(Error::NoMachine { arch: request.arch })?;
    match exec::find_on_path(qemu.binary, &environment.path) {
        Some(_) => Ok(qemu),
        None => Err(Error::NoQemu {
            program: qemu.binary,
            packages: qemu.packages,
        }),
    }
}

/// Modules for the guest: bytes of each file once, and the list for init.
#[derive(Default)]
struct Selection {
    files: Vec<(String, Vec<u8>)>,
    list: Vec<GuestModule>,
    /// Of the files that have one.
    build_ids: Vec<(String, BuildId)>,
}

/// The installed modules; `None` where the kernel has none.
fn installed(directory: &Utf8Path) -> Result<Option<Modules>, Error> {
    let Some(text) = fs::read_optional(directory.join("modules.dep"))? else {
        return if directory.join("kernel").is_dir() {
            Err(Error::NoDependencies {
                directory: directory.to_owned(),
            })
        } else {
            Ok(None)
        };
    };
    let modules = Modules::parse(&String::from_utf8_lossy(&text));
    Ok((!modules.is_empty()).then_some(modules))
}

/// The module that a check loads, after everything it needs.
fn check_modules(request: &Request) -> Result<Selection, Error> {
    let found = match &request.modules {
        Some(directory) => installed(directory)?.map(|modules| (directory, modules)),
        None => None,
    };
    let Some((directory, modules)) = found else {
        return match &request.module {
            None => Ok(Selection::default()),
            Some(name) => Err(Error::NoModules { name: name.clone() }),
        };
    };
    let path = match &request.module {
        None => modules.choose(),
        Some(name) => Some(match modules.find(name) {
            Some(path) => path,
            None => return Err(no_module(name, directory, &modules)?),
        }),
    };
    let mut selection = Selection::default();
    if let Some(path) = path {
        selection.add(request, directory, &modules, path)?;
    }
    Ok(selection)
}

fn no_module(name: &str, directory: &Utf8Path, modules: &Modules) -> Result<Error, Error> {
    let builtin = fs::read_optional(directory.join("modules.builtin"))?.unwrap_or_default();
    let wanted = module::name_of(name);
    Ok(Error::NoModule {
        name: name.to_owned(),
        directory: directory.to_owned(),
        nearest: modules
            .paths()
            .map(module::name_of)
            .map(|known| (strsim::damerau_levenshtein(&wanted, &known), known))
            .filter(|(distance, _)| *distance <= 3)
            .min()
            .map(|(_, known)| known),
        builtin: String::from_utf8_lossy(&builtin)
            .lines()
            .any(|path| module::name_of(path) == wanted),
    })
}

/// Every module, or those of the alphabet's beginning that fit.
fn all_modules(request: &Request, on_event: &mut dyn FnMut(Event)) -> Result<Selection, Error> {
    let mut selection = Selection::default();
    let Some(directory) = &request.modules else {
        return Ok(selection);
    };
    let modules = installed(directory)?.unwrap_or_default();
    for path in modules.paths() {
        if selection.bytes() > MODULES_LIMIT {
            let count = modules.paths().count() - selection.list.len();
            on_event(Event::Note(format!(
                "{count} modules after {} MiB are left out of the initramfs",
                MODULES_LIMIT >> 20
            )));
            break;
        }
        selection.add(request, directory, &modules, path)?;
    }
    Ok(selection)
}

impl Selection {
    fn bytes(&self) -> usize {
        self.files.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    fn add(
        &mut self,
        request: &Request,
        directory: &Utf8Path,
        modules: &Modules,
        path: &str,
    ) -> Result<(), Error> {
        let mut files = Vec::new();
        for path in modules.load_order(path) {
            let guest = format!(
                "/lib/modules/{}/{}",
                request.release,
                module::unpacked(path)
            );
            if !self.files.iter().any(|(file, _)| *file == guest) {
                let source = directory.join(path);
                let bytes =
                    module::unpack(path, fs::read(&source)?).map_err(|error| Error::Unpack {
                        path: source,
                        source: error,
                    })?;
                // A file that is no module is refused by the kernel, which says more.
                if let Ok(Some(id)) = image::build_id(bytes.as_slice()) {
                    self.build_ids.push((guest.clone(), id));
                }
                self.files.push((guest.clone(), bytes));
            }
            files.push(guest);
        }
        self.list.push(GuestModule {
            name: module::name_of(path),
            files,
        });
        Ok(())
    }
}

/// Builds init and writes the initramfs; returns its path.
fn build_initramfs(
    request: &Request,
    environment: &Environment,
    modules: &Selection,
    check: bool,
    on_event: &mut dyn FnMut(Event),
) -> Result<Utf8PathBuf, Error> {
    let nolibc = request.source.join("tools/include/nolibc");
    if !nolibc.is_dir() {
        return Err(Error::NoNolibc {
            source_tree: request.source.clone(),
        });
    }
    let work = &request.work;
    fs::create_dir_all(work)?;
    let variables = environment.tool_variables();
    let headers = work.join("headers");
    let stamp_path = work.join("headers.stamp");
    let stamp = request.tree.as_ref().map(|tree| {
        format!(
            "{tree}\n{}\n{}\n",
            request.arch,
            request.make_variables.join("\n")
        )
    });
    let made = fs::read_optional(&stamp_path)?;
    if stamp.is_none() || made.as_deref() != stamp.as_ref().map(String::as_bytes) {
        on_event(Event::Headers);
        if stamp.is_some() {
            // Another tree's headers would stay where this tree has none.
            fs::remove_file(&stamp_path)?;
            fs::remove_dir_all(&headers)?;
        }
        fs::create_dir_all(&headers)?;
        exec::capture(&boot::headers(request, &headers, cores()).envs(&variables)).map_err(
            |source| Error::Headers {
                directory: headers.clone(),
                source,
            },
        )?;
        if let Some(stamp) = stamp {
            fs::write_atomic(&stamp_path, stamp.as_bytes())?;
        }
    }
    fs::write_if_changed(work.join("init.c"), INIT_SOURCE.as_bytes())?;
    let init_error = |source| Error::Init {
        directory: work.clone(),
        source,
    };
    let own =
        exec::capture(&boot::compiler_headers(request).envs(&variables)).map_err(init_error)?;
    exec::capture(&boot::compile(request, own.text().trim(), &headers).envs(&variables))
        .map_err(init_error)?;
    let archive = boot::initramfs(
        &fs::read(work.join("init"))?,
        &modules.files,
        &modules.list,
        check,
    );
    let path = work.join(if check { "check.cpio" } else { "console.cpio" });
    fs::write_atomic(&path, &archive)?;
    Ok(path)
}

/// A guest with everything it needs.
struct Lab<'a> {
    request: &'a Request,
    environment: &'a Environment,
    qemu: &'static Qemu,
    initrd: &'a Utf8Path,
}

/// A guest's run.
struct Attempt {
    output: Vec<u8>,
    ended: Ended,
    seconds: Duration,
}

impl Lab<'_> {
    fn call(&self, accelerator: Accelerator, console: Console, gdb: Option<u16>) -> Call {
        let guest = Guest {
            qemu: self.qemu,
            image: &self.request.image,
            initrd: self.initrd,
            memory: &self.request.memory,
            append: self.request.append.as_deref(),
            accelerator,
            console,
            gdb,
        };
        qemu::call(&guest, &self.request.work).envs(&self.environment.tool_variables())
    }

    /// Runs the guest to its end, to the time limit, or until it says nothing for `silence`.
    fn attempt(
        &self,
        accelerator: Accelerator,
        silence: Option<Duration>,
        on_event: &mut dyn FnMut(Event),
    ) -> Result<Attempt, Error> {
        let call = self.call(accelerator, Console::Pipe, None);
        on_event(Event::Start {
            accelerator,
            call: Box::new(call.clone()),
        });
        let timeout = self.request.timeout;
        let started = Instant::now();
        let limit = started + timeout;
        let mut output = Vec::new();
        let mut line_start = 0;
        // When the guest has to be gone, once its last word has been said.
        let mut end_by = None;
        let mut ended = Ended::TimeLimit(timeout);
        let next = |end_by: Option<Instant>| {
            let silent_by = silence.map(|silence| Instant::now() + silence);
            end_by.or(silent_by).map_or(limit, |by| by.min(limit))
        };
        let status = exec::stream_until(&call, next(None), &mut |watch| match watch {
            Watch::Output(bytes) => {
                output.extend_from_slice(bytes);
                while let Some(length) = output[line_start..].iter().position(|b| *b == b'\n') {
                    let line = &output[line_start..line_start + length];
                    if end_by.is_none() && console::is_final(line) {
                        end_by = Some(Instant::now() + END_GRACE);
                    }
                    on_event(Event::Console(console::plain(&String::from_utf8_lossy(
                        line,
                    ))));
                    line_start += length + 1;
                }
                Some(next(end_by))
            }
            Watch::Deadline => {
                ended = match silence {
                    _ if end_by.is_some() => Ended::Lingered,
                    Some(silence) if Instant::now() < limit => Ended::Silent(silence),
                    _ => Ended::TimeLimit(timeout),
                };
                None
            }
        })
        .map_err(Error::Run)?;
        if let Some(status) = status {
            ended = ended_by_itself(status);
        }
        Ok(Attempt {
            output,
            ended,
            seconds: started.elapsed(),
        })
    }

    /// Why an attempt under KVM does not count, as a note; its console is kept beside the
    /// one that counts. A report or a panic is the kernel's own doing and does count.
    fn kvm_failure(&self, attempt: &Attempt) -> Result<Option<String>, Error> {
        let transcript = console::read(&attempt.output);
        if transcript.complete || transcript.panic.is_some() {
            return Ok(None);
        }
        fs::write_atomic(self.request.work.join("console-kvm.log"), &attempt.output)?;
        let what = match &attempt.ended {
            Ended::Silent(silence) => {
                let since = transcript.last_lines.last();
                let after = since.map_or(String::new(), |line| format!(" after `{line}`"));
                format!("the guest said nothing for {} s{after}", silence.as_secs())
            }
            Ended::Failed(status) => match transcript.last_lines.last() {
                Some(line) => format!("QEMU failed: {line}"),
                None => format!("QEMU failed with {status}"),
            },
            Ended::Off | Ended::Lingered => "the guest ended early".to_owned(),
            Ended::TimeLimit(limit) => format!("no report within {} s", limit.as_secs()),
        };
        Ok(Some(format!(
            "KVM does not run this guest here ({what}): it runs under TCG, emulated"
        )))
    }
}

fn ended_by_itself(status: ExitStatus) -> Ended {
    if status.success() {
        Ended::Off
    } else {
        Ended::Failed(exec::describe(status))
    }
}

#[cfg(test)]
mod tests;

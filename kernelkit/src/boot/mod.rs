//! Booting a kernel in QEMU: what is run, and what its console meant.
//!
//! This module is pure; [`effect::boot`](crate::effect::boot) carries it out. A check
//! boots an initramfs of two files: our [`INIT_SOURCE`], built against the kernel's own
//! nolibc, and a list of modules. Its report on the serial console is compared with
//! what was expected ([`judge`]).

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::arch::{Arch, Qemu};
use crate::image::BuildId;
use crate::process::{Call, quote};

pub mod archive;
pub mod console;
pub mod module;
pub mod qemu;

pub use console::{ModuleLoad, ReportedBuildId, Transcript};
pub use qemu::Accelerator;

/// The first process of the guest, in C.
pub const INIT_SOURCE: &str = include_str!("init.c");

/// Where the guest's list of modules lies in the initramfs.
const MODULE_LIST: &str = "kernelkit/modules";

/// The file that makes init report and end instead of waiting for commands.
const CHECK_FILE: &str = "kernelkit/check";

/// What to boot, and with what. Every path is absolute but [`Request::initrd`].
#[derive(Clone, Debug)]
pub struct Request {
    /// The kernel's architecture.
    pub arch: Arch,
    /// The kernel image that QEMU's `-kernel` takes.
    pub image: Utf8PathBuf,
    /// The `uname -r` that the kernel must have.
    pub release: String,
    /// The build id that the kernel must have, where it is known.
    pub build_id: Option<BuildId>,
    /// Its installed modules: a directory `…/lib/modules/<release>`.
    pub modules: Option<Utf8PathBuf>,
    /// The kernel's source tree, read only: its nolibc and its headers go into init.
    pub source: Utf8PathBuf,
    /// An id of that tree's content. With it, headers that were made before are used again;
    /// without, make is asked every time.
    pub tree: Option<String>,
    /// A directory of our own, for headers, init, initramfs and console log.
    pub work: Utf8PathBuf,
    /// The compiler for the guest's architecture and its first arguments, such as
    /// `aarch64-linux-gnu-gcc` or `clang --target=aarch64-linux-gnu`.
    pub cc: Vec<String>,
    /// The build's make variables: `ARCH=arm64`, `CROSS_COMPILE=…`.
    pub make_variables: Vec<String>,
    /// More words for the kernel's command line.
    pub append: Option<String>,
    /// For the interactive console: this initramfs instead of ours. It may be relative to the
    /// current directory, as users write it.
    pub initrd: Option<Utf8PathBuf>,
    /// The guest's memory as QEMU's `-m` takes it: `256M`.
    pub memory: String,
    /// For the interactive console: wait for gdb on this port.
    pub gdb: Option<u16>,
    /// The kernel with symbols, for the debugger.
    pub vmlinux: Option<Utf8PathBuf>,
    /// How the guest's processor is run.
    pub accel: Accel,
    /// How long a check may take from QEMU's start to its end.
    pub timeout: Duration,
    /// The module a check loads; without it, [`module::Modules::choose`] picks one.
    pub module: Option<String>,
}

/// The user's choice of [`Accelerator`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accel {
    /// KVM where the host can and the guest really runs under it, else TCG.
    #[default]
    Auto,
    /// KVM and nothing else.
    Kvm,
    /// TCG and nothing else.
    Tcg,
}

/// `make headers`: the kernel's interface to programs, in `<directory>/usr/include`.
/// It needs no configuration.
pub fn headers(request: &Request, directory: &Utf8Path, jobs: usize) -> Call {
    Call::new("make", directory)
        .args(["-s", "-C", request.source.as_str()])
        .arg(format!("O={directory}"))
        .arg(format!("-j{jobs}"))
        .args(request.make_variables.iter().cloned())
        .arg("headers")
}

/// Asks the compiler where its own headers are (`stddef.h`).
pub fn compiler_headers(request: &Request) -> Call {
    compiler(request).arg("-print-file-name=include")
}

/// Compiles `init.c` of the working directory to `init` there: static, with no C library
/// but the kernel's nolibc. `own` is the answer to [`compiler_headers`], `headers` the
/// directory of [`headers`].
pub fn compile(request: &Request, own: &str, headers: &Utf8Path) -> Call {
    let mut call = compiler(request)
        .args(["-Os", "-s", "-static", "-nostdlib", "-nostdinc"])
        .args([
            "-fno-builtin",
            "-fno-asynchronous-unwind-tables",
            "-fno-ident",
            "-fno-stack-protector",
        ])
        .args(["-Wl,--build-id=none", "-isystem", own])
        .arg(format!("-I{}", request.source.join("tools/include/nolibc")))
        .arg(format!("-I{}", headers.join("usr/include")));
    let row = request.arch.row();
    if row.srcarch == "x86" {
        call = call.arg(format!("-m{}", row.bits));
    }
    call = call.args(["-o", "init", "init.c"]);
    // 32-bit processors divide with libgcc's help; clang comes without it when it crosses, and
    // a compiler for 64-bit PCs has it for 32-bit ones only in a package of its own.
    let clang = request.cc.iter().any(|word| word.contains("clang"));
    match (clang, row.srcarch) {
        // Like the kernel: lld up to 14 does not relax, and refuses what asks for it.
        (true, "riscv") => call.args(["-mno-relax", "-fuse-ld=lld"]),
        (true, _) => call.arg("-fuse-ld=lld"),
        (false, "x86") => call,
        (false, _) => call.arg("-lgcc"),
    }
}

fn compiler(request: &Request) -> Call {
    let (program, first) = request
        .cc
        .split_first()
        .map_or(("cc", &[][..]), |(program, first)| {
            (program.as_str(), first)
        });
    Call::new(program, request.work.clone()).args(first.iter().cloned())
}

/// A module in the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestModule {
    /// Its name, for the interactive console.
    pub name: String,
    /// Files of the guest in load order, with a leading slash; the module's own is the last.
    pub files: Vec<String>,
}

/// The initramfs: console, init, the modules' `files` (guest path and bytes) and their list.
pub fn initramfs(
    init: &[u8],
    files: &[(String, Vec<u8>)],
    modules: &[GuestModule],
    check: bool,
) -> Vec<u8> {
    let mut archive = archive::Archive::default();
    // The kernel opens it as init's standard streams before anything can be mounted.
    archive.character_device("dev/console", 5, 1);
    archive.file("init", 0o755, init);
    for (path, bytes) in files {
        archive.file(path.trim_start_matches('/'), 0o644, bytes);
    }
    if !modules.is_empty() {
        let list: String = modules
            .iter()
            .map(|module| format!("{} {}\n", module.name, module.files.join(" ")))
            .collect();
        archive.file(MODULE_LIST, 0o644, list.as_bytes());
    }
    if check {
        archive.file(CHECK_FILE, 0o644, b"");
    }
    archive.finish()
}

/// What to paste into another terminal to debug the guest that waits on `port`.
pub fn debugger(request: &Request, port: u16, host: Option<Arch>) -> String {
    let program = if host == Some(request.arch) {
        "gdb"
    } else {
        "gdb-multiarch"
    };
    let mut line = program.to_owned();
    if let Some(vmlinux) = &request.vmlinux {
        // The kernel's own gdb commands (lx-…) lie beside it.
        if let Some(directory) = vmlinux.parent() {
            line += &format!(
                " -iex {}",
                quote(&format!("add-auto-load-safe-path {directory}"))
            );
        }
        line += &format!(" {}", quote(vmlinux.as_str()));
    }
    line + &format!(" -ex {}", quote(&format!("target remote 127.0.0.1:{port}")))
}

/// How a guest's run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// QEMU ended well: the guest switched off or restarted.
    Off,
    /// QEMU failed, with this status.
    Failed(String),
    /// It was stopped some seconds after its last word, which was final.
    Lingered,
    /// It was stopped at the time limit.
    TimeLimit(Duration),
    /// It was stopped because nothing came for this long.
    Silent(Duration),
}

/// What is wrong with a kernel that was booted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Problem {
    /// QEMU did not run.
    #[error("QEMU failed with {status}")]
    Qemu {
        /// `exit status 1` or `signal 9`.
        status: String,
    },
    /// The serial console stayed empty.
    #[error("the kernel printed nothing on {console}")]
    Silent {
        /// The guest's serial console: `ttyS0`.
        console: String,
    },
    /// The kernel panicked.
    #[error("kernel panic: {reason}")]
    Panic {
        /// The kernel's words.
        reason: String,
    },
    /// An oops or a BUG, after which the kernel went on.
    #[error("the kernel crashed: {message}")]
    Crash {
        /// The crash's first line.
        message: String,
    },
    /// Time was up before init's report was complete.
    #[error("no report from init within {seconds} s")]
    TimeLimit {
        /// The limit.
        seconds: u64,
    },
    /// The guest ended before init's report was complete.
    #[error("the guest ended without a report from init")]
    NoReport,
    /// Another kernel than expected.
    #[error("the kernel calls itself `{found}`, not `{expected}`")]
    Release {
        /// What was to be booted.
        expected: String,
        /// `uname -r` of what was booted.
        found: String,
    },
    /// The release is right, and the kernel is of another build.
    #[error("the kernel has the build id {found}, not {expected}")]
    BuildId {
        /// Of the build that was to be booted.
        expected: BuildId,
        /// In `/sys/kernel/notes` of the guest.
        found: BuildId,
    },
    /// A module that was loaded is of another build.
    #[error("the module {path} has the build id {found}, not {expected}")]
    ModuleBuildId {
        /// The module's file in the guest.
        path: String,
        /// In the file that was installed.
        expected: BuildId,
        /// In `/sys/module` of the guest.
        found: BuildId,
    },
    /// A module was refused.
    #[error("the module {path} does not load: {}", std::io::Error::from_raw_os_error(*errno))]
    Module {
        /// The module's file in the guest.
        path: String,
        /// The error number of finit_module(2).
        errno: i32,
    },
}

impl Problem {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Problem::Qemu { .. } => "the last lines above are QEMU's own words".to_owned(),
            Problem::Silent { console } => {
                let driver = match console.trim_end_matches(|c: char| c.is_ascii_digit()) {
                    "ttyS" => " and CONFIG_SERIAL_8250_CONSOLE (with CONFIG_SERIAL_OF_PLATFORM where a device tree describes the machine)",
                    "ttyAMA" => " and CONFIG_SERIAL_AMBA_PL011_CONSOLE",
                    "hvc" => " and CONFIG_HVC_CONSOLE",
                    _ => " and the driver of that port, with its console",
                };
                format!(
                    "a serial console needs CONFIG_PRINTK, CONFIG_TTY{driver}; a built-in command \
                     line (CONFIG_CMDLINE_OVERRIDE, CONFIG_CMDLINE_FORCE) hides `console={console}`"
                )
            }
            Problem::Panic { reason } if reason.starts_with("VFS: Unable to mount root fs") => {
                "the initramfs was not used: the kernel needs CONFIG_BLK_DEV_INITRD".to_owned()
            }
            Problem::Panic { reason } if reason.starts_with("No working init found") => {
                "the kernel could not run /init of the initramfs: it needs CONFIG_BLK_DEV_INITRD, \
                 CONFIG_BINFMT_ELF, and the width of programs (32 or 64 bits) it was built for"
                    .to_owned()
            }
            Problem::Panic { .. } | Problem::Crash { .. } => {
                "`cargo kernel boot --gdb` stops the guest before its first instruction".to_owned()
            }
            Problem::TimeLimit { .. } => {
                "the last lines above show where it stopped; a slow guest may need more time, and \
                 one that printed nothing of init needs CONFIG_BLK_DEV_INITRD and CONFIG_BINFMT_ELF"
                    .to_owned()
            }
            Problem::NoReport => {
                "the last lines above show where it ended; init's report needs CONFIG_TTY and a \
                 /dev/console that can be written to"
                    .to_owned()
            }
            Problem::ModuleBuildId { .. } => {
                "the kernel had loaded another module of that name before: does its initramfs bring one along?".to_owned()
            }
            Problem::Release { .. } | Problem::BuildId { .. } => {
                "image and manifest are of two builds: build the kernel again".to_owned()
            }
            // errno(3), as finit_module(2) uses it.
            Problem::Module { errno, .. } => match errno {
                2 => "the kernel lacks a symbol that the module needs: the console names it",
                8 | 22 => "the module is of another build or configuration: install the modules of this build",
                38 => "the kernel has no loadable modules (CONFIG_MODULES)",
                126..=129 => "the kernel demands a signature that it trusts (CONFIG_MODULE_SIG_FORCE)",
                _ => "the console may say why",
            }
            .to_owned(),
        };
        Some(hint)
    }
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// Whether there is no problem.
    pub passed: bool,
    /// `uname -r` as it had to be.
    pub expected: String,
    /// `uname -r` of the guest.
    pub uname_r: Option<String>,
    /// `uname -v` of the guest.
    pub uname_v: Option<String>,
    /// `uname -m` of the guest.
    pub uname_m: Option<String>,
    /// The build id of the guest's kernel, where it gives one.
    pub build_id: Option<BuildId>,
    /// The module that was to be loaded, and how that went.
    pub module: Option<ModuleLoad>,
    /// How the guest's processor was run.
    pub accelerator: Accelerator,
    /// From QEMU's start to its end, in seconds.
    pub seconds: f64,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// What is worth a word and no problem.
    pub notes: Vec<String>,
    /// The console's last lines.
    pub last_lines: Vec<String>,
    /// The whole console.
    pub console_log: Utf8PathBuf,
}

/// What a guest was asked to do.
#[derive(Clone, Copy, Debug)]
pub struct Expectation<'a> {
    /// The `uname -r` that the kernel must have.
    pub release: &'a str,
    /// The build id that the kernel must have, where it is known.
    pub build_id: Option<&'a BuildId>,
    /// The build ids of modules by their files in the guest, where they have one.
    pub module_build_ids: &'a [(String, BuildId)],
    /// The guest's file of the module to load.
    pub module: Option<&'a str>,
    /// Whether the user named that module; one that we chose need not find its device.
    pub named: bool,
    /// The emulator.
    pub qemu: &'a Qemu,
}

/// Problems and notes of a guest that was to do `expected`, said `transcript` and `ended` so.
pub fn judge(
    transcript: &Transcript,
    ended: &Ended,
    expected: &Expectation<'_>,
) -> (Vec<Problem>, Vec<String>) {
    let mut problems = Vec::new();
    let mut notes = Vec::new();
    if let Some(reason) = &transcript.panic {
        problems.push(Problem::Panic {
            reason: reason.clone(),
        });
    } else if !transcript.complete {
        problems.push(match ended {
            Ended::Failed(status) => Problem::Qemu {
                status: status.clone(),
            },
            _ if transcript.last_lines.is_empty() => Problem::Silent {
                console: expected.qemu.console.to_owned(),
            },
            Ended::TimeLimit(limit) | Ended::Silent(limit) => Problem::TimeLimit {
                seconds: limit.as_secs(),
            },
            Ended::Off | Ended::Lingered => Problem::NoReport,
        });
    } else if *ended != Ended::Off {
        notes.push("the guest did not end by itself after init's report".to_owned());
    }
    // The first is the cause; what follows a crash is often its consequence.
    problems.extend(transcript.crashes.first().map(|message| Problem::Crash {
        message: message.clone(),
    }));
    if let Some(found) = &transcript.release
        && found != expected.release
    {
        problems.push(Problem::Release {
            expected: expected.release.to_owned(),
            found: found.clone(),
        });
    }
    compare_build_ids(transcript, expected, &mut problems, &mut notes);
    for load in &transcript.modules {
        let chosen = expected.module == Some(load.path.as_str());
        match load.errno {
            0 => {}
            NO_DEVICE | NO_DEVICE_OR_ADDRESS if chosen && !expected.named => notes.push(format!(
                "the module {} was accepted and found no device of its own",
                load.path
            )),
            errno => problems.push(Problem::Module {
                path: load.path.clone(),
                errno,
            }),
        }
    }
    notes.extend(
        transcript
            .warnings
            .iter()
            .map(|warning| format!("the kernel said: {warning}")),
    );
    (problems, notes)
}

/// A release does not tell two states of an edited tree apart; build ids do.
fn compare_build_ids(
    transcript: &Transcript,
    expected: &Expectation<'_>,
    problems: &mut Vec<Problem>,
    notes: &mut Vec<String>,
) {
    let alone = "its release alone was compared";
    match (transcript.has_sysfs, expected.build_id) {
        (None, _) => return,
        (Some(false), _) => {
            notes.push(format!(
                "the kernel has no SYSFS (CONFIG_SYSFS), so its build id cannot be read: {alone}"
            ));
            return;
        }
        (Some(true), None) => {
            notes.push(format!("no build id of this build was recorded: {alone}"))
        }
        (Some(true), Some(_)) => {}
    }
    for ReportedBuildId { module, id } in &transcript.build_ids {
        let expected = match module {
            None => expected.build_id,
            Some(path) => {
                let mut known = expected.module_build_ids.iter();
                known.find(|(known, _)| known == path).map(|(_, id)| id)
            }
        };
        let Some(expected) = expected else {
            continue;
        };
        match (module, id) {
            (_, Some(found)) if found == expected => {}
            (None, Some(found)) => problems.push(Problem::BuildId {
                expected: expected.clone(),
                found: found.clone(),
            }),
            (Some(path), Some(found)) => problems.push(Problem::ModuleBuildId {
                path: path.clone(),
                expected: expected.clone(),
                found: found.clone(),
            }),
            (None, None) => notes.push(format!("the kernel shows no build id: {alone}")),
            (Some(path), None) => notes.push(format!(
                "the kernel shows no build id of the module {path} (CONFIG_KALLSYMS)"
            )),
        }
    }
}

/// `ENXIO` of errno(3).
const NO_DEVICE_OR_ADDRESS: i32 = 6;
/// `ENODEV` of errno(3).
const NO_DEVICE: i32 = 19;

#[cfg(test)]
mod tests;

//! What a guest's serial console said: the report of `init.c`, and the kernel's own last words.

use serde::Serialize;

use crate::image::BuildId;

/// What every line of the report begins with.
const MARK: &str = "@kernelkit ";

/// Lines that are shown of a console where something went wrong.
const LAST_LINES: usize = 20;

/// What loading one module gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModuleLoad {
    /// The module's file in the guest.
    pub path: String,
    /// The error number of finit_module(2), 0 for success.
    pub errno: i32,
}

/// The build id that the running kernel gives of itself or of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportedBuildId {
    /// The module's file in the guest; `None` for the kernel.
    pub module: Option<String>,
    /// `None` where it gives none.
    pub id: Option<BuildId>,
}

/// A console's transcript, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transcript {
    /// `uname -r`.
    pub release: Option<String>,
    /// `uname -v`.
    pub version: Option<String>,
    /// `uname -m`.
    pub machine: Option<String>,
    /// Whether the kernel has SYSFS, where build ids are.
    pub has_sysfs: Option<bool>,
    /// The kernel's build id, and those of the modules that were loaded.
    pub build_ids: Vec<ReportedBuildId>,
    /// The modules in the order they were loaded.
    pub modules: Vec<ModuleLoad>,
    /// Whether the report is complete.
    pub complete: bool,
    /// The reason of a kernel panic.
    pub panic: Option<String>,
    /// The first line of every other crash: an oops, a BUG.
    pub crashes: Vec<String>,
    /// The kernel's warnings (WARN_ON).
    pub warnings: Vec<String>,
    /// The last lines, without control characters; empty where nothing was printed.
    pub last_lines: Vec<String>,
}

/// Reads a transcript. Bytes that are not UTF-8 are replaced; a last line without a
/// newline counts as output and never as part of the report.
pub fn read(bytes: &[u8]) -> Transcript {
    let text = String::from_utf8_lossy(bytes);
    let mut transcript = Transcript::default();
    let mut lines = Vec::new();
    for (raw, whole) in text
        .split_inclusive('\n')
        .map(|raw| (raw, raw.ends_with('\n')))
    {
        let line = plain(raw);
        if line.is_empty() {
            continue;
        }
        match line.split_once(MARK) {
            Some((_, report)) if whole => transcript.report(report),
            _ => transcript.kernel_line(message(&line)),
        }
        lines.push(line);
    }
    transcript.last_lines = lines.split_off(lines.len().saturating_sub(LAST_LINES));
    transcript
}

/// Whether nothing of interest follows `line`: the report's end, or a panic.
pub fn is_final(line: &[u8]) -> bool {
    let transcript = read(&[line, b"\n"].concat());
    transcript.complete || transcript.panic.is_some()
}

impl Transcript {
    fn report(&mut self, report: &str) {
        let (key, value) = report.split_once(' ').unwrap_or((report, ""));
        let text = || Some(value.to_owned());
        match key {
            "release" => self.release = text(),
            "version" => self.version = text(),
            "machine" => self.machine = text(),
            "module" => {
                if let Some((result, path)) = value.split_once(' ')
                    && let Ok(result) = result.parse::<i32>()
                {
                    self.modules.push(ModuleLoad {
                        path: path.to_owned(),
                        errno: result.saturating_neg(),
                    });
                }
            }
            "sysfs" => self.has_sysfs = Some(value == "yes"),
            "build-id" => {
                if let Some((of, id)) = value.rsplit_once(' ') {
                    self.build_ids.push(ReportedBuildId {
                        module: (of != "kernel").then(|| of.to_owned()),
                        id: id.parse().ok(),
                    });
                }
            }
            "end" => self.complete = true,
            _ => {}
        }
    }

    fn kernel_line(&mut self, message: &str) {
        if let Some(reason) = message.strip_prefix("Kernel panic - not syncing: ") {
            self.panic.get_or_insert_with(|| reason.to_owned());
        } else if is_crash(message) {
            self.crashes.push(message.to_owned());
        } else if message.starts_with("WARNING: ") {
            self.warnings.push(message.to_owned());
        }
    }
}

/// The first line of a crash. Every architecture's `die()` prints how many there have
/// been as `[#1]`; checkers (KASAN, lockup detectors, list debugging) print `BUG:`.
fn is_crash(message: &str) -> bool {
    let counted = message
        .split_once("[#")
        .and_then(|(_, rest)| rest.split_once(']'))
        .is_some_and(|(count, _)| count.parse::<u32>().is_ok());
    counted
        || ["BUG: ", "kernel BUG at ", "watchdog: BUG: "]
            .iter()
            .any(|start| message.starts_with(start))
}

/// The message after the kernel's time stamp and caller: `[    0.51][    T1] `.
fn message(line: &str) -> &str {
    let mut rest = line;
    while let Some((stamp, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let is_stamp = stamp
            .trim_start()
            .trim_start_matches(['T', 'C'])
            .chars()
            .all(|character| character.is_ascii_digit() || character == '.');
        if !is_stamp {
            break;
        }
        rest = after;
    }
    rest.trim_start()
}

/// The line without escape sequences (ECMA-48 CSI) and control characters.
pub fn plain(raw: &str) -> String {
    let mut plain = String::with_capacity(raw.len());
    let mut characters = raw.chars();
    while let Some(character) = characters.next() {
        if character == '\x1b' {
            if characters.next() == Some('[') {
                let _ = characters.find(|character| ('@'..='~').contains(character));
            }
        } else if character == '\t' || !character.is_control() {
            plain.push(character);
        }
    }
    plain.truncate(plain.trim_end().len());
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_is_read_whatever_surrounds_it() {
        let transcript = read(
            b"[    0.5][    T1] Run /init as init process\r\n\
              \x1b[2J@kernelkit release 6.12.117-tiny\r\n\
              @kernelkit version #1 SMP Thu Jan  1 00:00:00 UTC 2026\r\n\
              @kernelkit machine x86_64\r\n\
              [    0.7] test_module: Hello, world\r\n\
              @kernelkit module 0 /lib/modules/a.ko\r\n\
              @kernelkit module -8 /lib/modules/b.ko\r\n\
              @kernelkit end .\r\n[    0.9] reboot: Restarting system\r\n",
        );
        let load = |path: &str, errno| ModuleLoad {
            path: path.to_owned(),
            errno,
        };
        assert_eq!(transcript.release.as_deref(), Some("6.12.117-tiny"));
        assert_eq!(
            transcript.version.as_deref(),
            Some("#1 SMP Thu Jan  1 00:00:00 UTC 2026")
        );
        assert_eq!(transcript.machine.as_deref(), Some("x86_64"));
        assert_eq!(
            transcript.modules,
            [load("/lib/modules/a.ko", 0), load("/lib/modules/b.ko", 8)]
        );
        assert!(transcript.complete);
        assert_eq!(transcript.panic, None);
        assert_eq!(transcript.last_lines.len(), 9);
    }

    #[test]
    fn build_ids_are_of_the_kernel_or_of_a_module() {
        let transcript = read(
            b"@kernelkit sysfs yes\r\n@kernelkit build-id kernel 00ff\r\n\
              @kernelkit build-id /lib/a.ko -\r\n@kernelkit build-id broken\r\n",
        );
        let reported = |module: Option<&str>, id: Option<&str>| ReportedBuildId {
            module: module.map(str::to_owned),
            id: id.map(|id| id.parse().unwrap()),
        };
        assert_eq!(transcript.has_sysfs, Some(true));
        assert_eq!(
            transcript.build_ids,
            [
                reported(None, Some("00ff")),
                reported(Some("/lib/a.ko"), None)
            ]
        );
        assert_eq!(read(b"@kernelkit sysfs no\n").has_sysfs, Some(false));
    }

    #[test]
    fn a_line_that_was_cut_off_is_no_report() {
        let transcript = read(b"@kernelkit release 6.12.1\n@kernelkit end");
        assert_eq!(transcript.release.as_deref(), Some("6.12.1"));
        assert!(!transcript.complete);
    }

    #[test]
    fn crashes_of_every_kind_are_told_from_ordinary_lines() {
        let crash = |line: &str| {
            let transcript = read(format!("{line}\n").as_bytes());
            (
                transcript.panic.is_some(),
                transcript.crashes.len(),
                transcript.warnings.len(),
            )
        };
        let rows = [
            (
                "[    1.2] Kernel panic - not syncing: No working init found.",
                (true, 0, 0),
            ),
            (
                "[    1.2][    T1] Kernel panic - not syncing: x",
                (true, 0, 0),
            ),
            ("Kernel panic - not syncing: x", (true, 0, 0)),
            (
                "[ 1.2] Oops: general protection fault: 0000 [#1] SMP",
                (false, 1, 0),
            ),
            (
                "[ 1.2] Internal error: Oops: 0000000096000004 [#1] SMP",
                (false, 1, 0),
            ),
            ("[ 1.2] Oops [#12]", (false, 1, 0)),
            (
                "[ 1.2] BUG: kernel NULL pointer dereference, address: 0",
                (false, 1, 0),
            ),
            ("[ 1.2] kernel BUG at mm/slub.c:1!", (false, 1, 0)),
            (
                "[ 1.2] watchdog: BUG: soft lockup - CPU#0 stuck for 22s!",
                (false, 1, 0),
            ),
            (
                "[ 1.2] WARNING: CPU: 0 PID: 1 at kernel/x.c:1 f+0x1/0x2",
                (false, 0, 1),
            ),
            (
                "[ 1.2] Linux version 6.12.117 (u@h) (gcc) #1 SMP",
                (false, 0, 0),
            ),
            (
                "[ 1.2] pci [#] DEBUG: Kernel panic - not syncing",
                (false, 0, 0),
            ),
            ("[mem 0x0-0xfff] DEBUG: nothing", (false, 0, 0)),
        ];
        for (line, expected) in rows {
            assert_eq!(crash(line), expected, "{line}");
        }
    }

    #[test]
    fn silence_leaves_no_last_line() {
        assert_eq!(read(b"\r\n\x1b[m\r\n"), Transcript::default());
    }

    #[test]
    fn only_the_end_and_a_panic_are_final() {
        for (line, expected) in [
            ("@kernelkit end .\r", true),
            ("[ 0.1] Kernel panic - not syncing: x\r", true),
            ("@kernelkit release 6.12\r", false),
            ("[ 0.1] Oops: x [#1]\r", false),
        ] {
            assert_eq!(is_final(line.as_bytes()), expected, "{line}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_can_be_read(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let transcript = read(&bytes);
            proptest::prop_assert!(transcript.last_lines.len() <= LAST_LINES);
        }
    }
}

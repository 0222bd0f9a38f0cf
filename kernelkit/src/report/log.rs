//! What the log of a build tells: warnings of every kind, each once, and the first error.

use std::collections::{HashMap, VecDeque};

use super::{Failure, Finding, Findings, TOP};
use crate::make::{self, Line};

/// How many lines before and after the first sign of an error are looked at.
const AROUND: usize = 64;

/// What was found in the logs of one build so far; lines go in one by one.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    sources: Vec<String>,
    warnings: Group,
    section_mismatches: Group,
    dtc_warnings: Group,
    before: VecDeque<String>,
    around: Vec<String>,
    complained: bool,
}

/// Findings with how often each was said, and when first.
#[derive(Clone, Debug, Default)]
struct Group {
    count: u64,
    found: HashMap<Said, (u64, usize)>,
}

/// File, line and message.
type Said = (Option<String>, Option<u32>, String);

impl Group {
    fn add(&mut self, file: Option<&str>, line: Option<u32>, message: &str) {
        self.count += 1;
        let next = self.found.len();
        let key = (file.map(str::to_owned), line, message.to_owned());
        self.found.entry(key).or_insert((0, next)).0 += 1;
    }

    fn findings(&self) -> Findings {
        let mut all: Vec<(&Said, &(u64, usize))> = self.found.iter().collect();
        all.sort_by_key(|(_, (count, first))| (std::cmp::Reverse(*count), *first));
        let finding = |((file, line, message), (count, _)): (&Said, &(u64, usize))| Finding {
            file: file.clone(),
            line: *line,
            message: message.clone(),
            count: *count,
        };
        Findings {
            count: self.count,
            top: all.into_iter().take(TOP).map(finding).collect(),
        }
    }
}

impl Scan {
    /// Paths below `directories`, those of the source and of the build, are shown without them.
    pub fn new<S: AsRef<str>>(directories: &[S]) -> Scan {
        let mut sources: Vec<String> = directories
            .iter()
            .map(|directory| format!("{}/", directory.as_ref().trim_end_matches('/')))
            .collect();
        // The build directory may lie in the source's.
        sources.sort_by_key(|directory| std::cmp::Reverse(directory.len()));
        Scan {
            sources,
            ..Scan::default()
        }
    }

    /// Takes a line, without its end.
    pub fn line(&mut self, line: &str) {
        let class = make::classify(line);
        let group = match class {
            Line::Command { .. } => return,
            Line::Warning => Some(&mut self.warnings),
            Line::SectionMismatch => Some(&mut self.section_mismatches),
            Line::DtsWarning => Some(&mut self.dtc_warnings),
            Line::Error | Line::Other => None,
        };
        if let Some(group) = group {
            let (file, number, message) = place(line);
            let file = file.map(|file| {
                let shown = self
                    .sources
                    .iter()
                    .find_map(|directory| file.strip_prefix(directory));
                shown
                    .unwrap_or(file)
                    .trim_start_matches("../")
                    .trim_start_matches("./")
            });
            group.add(file, number, message);
        }
        self.complained |= class == Line::Error || line.contains("*** ");
        if !self.complained {
            self.before.push_back(line.to_owned());
            if self.before.len() > AROUND {
                self.before.pop_front();
            }
        } else if self.around.len() < 2 * AROUND {
            self.around.push(line.to_owned());
        }
    }

    /// A line without the directories that everything lies in.
    pub fn short(&self, line: &str) -> String {
        let without = |line: String, directory: &String| line.replace(directory, "");
        self.sources.iter().fold(line.to_owned(), without)
    }

    /// Warnings of compiler, assembler, linker, objtool and modpost.
    pub fn warnings(&self) -> Findings {
        self.warnings.findings()
    }

    /// References between sections.
    pub fn section_mismatches(&self) -> Findings {
        self.section_mismatches.findings()
    }

    /// Warnings of the device tree compiler.
    pub fn dtc_warnings(&self) -> Findings {
        self.dtc_warnings.findings()
    }

    /// The first error with the lines around it. Whether the build failed for it, its caller
    /// knows: a kernel's build goes on after some.
    pub fn failure(&self) -> Option<Failure> {
        if !self.complained {
            return None;
        }
        let lines: Vec<String> = self.before.iter().chain(&self.around).cloned().collect();
        let context = make::first_error(&lines);
        let said = context
            .iter()
            .find(|line| make::is_error(line) && !line.contains("*** "));
        let message = said.or_else(|| context.iter().find(|line| line.contains("*** ")))?;
        Some(Failure {
            phase: None,
            message: self.short(message.trim()),
            context: context.iter().map(|line| self.short(line)).collect(),
            log: None,
        })
    }
}

/// Splits a warning into file, line and message.
fn place(line: &str) -> (Option<&str>, Option<u32>, &str) {
    // modpost and older scripts put the file behind the word.
    if let Some(rest) = line
        .strip_prefix("WARNING: modpost: ")
        .or_else(|| line.strip_prefix("ERROR: modpost: "))
    {
        return match rest.split_once(": ") {
            Some((file, message)) if !file.contains(' ') => (Some(file), None, message),
            _ => (None, None, rest),
        };
    }
    for mark in [": warning: ", ": Warning "] {
        let Some((before, message)) = line.split_once(mark) else {
            continue;
        };
        // What ld says of an object has the section in brackets, and dtc a range of columns.
        let mut parts = before.split(':');
        let file = parts.next().unwrap_or(before);
        let number = parts.next().and_then(|number| {
            let digits = number
                .find(|byte: char| !byte.is_ascii_digit())
                .unwrap_or(number.len());
            number[..digits].parse().ok()
        });
        return match file.contains(['/', '.']) {
            true => (Some(file), number, message),
            false => (None, None, line),
        };
    }
    (None, None, line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(log: &str) -> Scan {
        let mut scan = Scan::new(&["/src/linux", "/w/build"]);
        for line in log.lines() {
            scan.line(line);
        }
        scan
    }

    #[test]
    fn warnings_are_told_with_file_and_line() {
        let rows = [
            // (line, file, line, message)
            (
                "/src/linux/init/main.c:103:13: warning: unused variable 'x' [-Wunused-variable]",
                Some("init/main.c"),
                Some(103),
                "unused variable 'x' [-Wunused-variable]",
            ),
            (
                "../init/main.c:103:13: warning: unused variable 'x' [-Wunused-variable]",
                Some("init/main.c"),
                Some(103),
                "unused variable 'x' [-Wunused-variable]",
            ),
            (
                "vmlinux.o: warning: objtool: start_kernel+0x1f: unreachable instruction",
                Some("vmlinux.o"),
                None,
                "objtool: start_kernel+0x1f: unreachable instruction",
            ),
            (
                "ld: warning: vmlinux has a LOAD segment with RWX permissions",
                None,
                None,
                "ld: warning: vmlinux has a LOAD segment with RWX permissions",
            ),
            (
                "WARNING: modpost: missing MODULE_DESCRIPTION() in lib/test_module.o",
                None,
                None,
                "missing MODULE_DESCRIPTION() in lib/test_module.o",
            ),
        ];
        for (line, file, number, message) in rows {
            let found = scan(line).warnings();
            let expected = Finding {
                file: file.map(str::to_owned),
                line: number,
                message: message.to_owned(),
                count: 1,
            };
            assert_eq!((found.count, found.top), (1, vec![expected]), "{line}");
        }
    }

    #[test]
    fn what_is_said_often_comes_first_and_once() {
        let log =
            "a.c:1:1: warning: one\nb.c:2:1: warning: two\n  CC      c.o\nb.c:2:1: warning: two";
        let found = scan(log).warnings();
        let shown: Vec<_> = found
            .top
            .iter()
            .map(|one| (one.message.as_str(), one.count))
            .collect();
        assert_eq!((found.count, shown), (3, vec![("two", 2), ("one", 1)]));
    }

    #[test]
    fn mismatches_and_device_trees_are_counted_apart() {
        let log = "WARNING: modpost: vmlinux: section mismatch in reference: f+0x4 (section: .text) -> g (section: .init.text)\n\
                   /src/linux/arch/arm64/boot/dts/a.dts:12.5-9: Warning (reg_format): /soc:reg: property has invalid length";
        let scan = scan(log);
        assert_eq!(scan.warnings().count, 0);
        let mismatch = &scan.section_mismatches().top[0];
        assert_eq!(mismatch.file.as_deref(), Some("vmlinux"));
        assert!(
            mismatch
                .message
                .starts_with("section mismatch in reference: f+0x4")
        );
        let dts = &scan.dtc_warnings().top[0];
        assert_eq!(
            (dts.file.as_deref(), dts.line),
            (Some("arch/arm64/boot/dts/a.dts"), Some(12))
        );
        assert_eq!(
            dts.message,
            "(reg_format): /soc:reg: property has invalid length"
        );
        assert_eq!(scan.failure(), None);
    }

    #[test]
    fn the_first_error_is_what_a_person_would_name() {
        let rows = [
            // (log, message)
            (
                "  CC      init/main.o\n/src/linux/init/main.c: In function 'f':\n/src/linux/init/main.c:7:9: error: 'y' undeclared (first use in this function)\n    7 | return y;\nmake[3]: *** [/src/linux/scripts/Makefile.build:229: init/main.o] Error 1",
                "init/main.c:7:9: error: 'y' undeclared (first use in this function)",
            ),
            (
                "ld: vmlinux.o: in function `start_kernel':\nmain.c:(.init.text+0x4): undefined reference to `no_such_function'\nmake[2]: *** [/src/linux/scripts/Makefile.vmlinux:34: vmlinux] Error 1",
                "main.c:(.init.text+0x4): undefined reference to `no_such_function'",
            ),
            (
                "ERROR: modpost: \"no_such_function\" [lib/test_module.ko] undefined!\nmake[2]: *** [/src/linux/scripts/Makefile.modpost:145: Module.symvers] Error 1",
                "ERROR: modpost: \"no_such_function\" [lib/test_module.ko] undefined!",
            ),
            (
                "BTF: .tmp_vmlinux1: pahole (pahole) is not available\nFailed to generate BTF for vmlinux\nTry to disable CONFIG_DEBUG_INFO_BTF\nmake[2]: *** [/src/linux/scripts/Makefile.vmlinux:34: vmlinux] Error 1",
                "BTF: .tmp_vmlinux1: pahole (pahole) is not available",
            ),
            (
                "vmlinux.o: error: objtool: f+0x1: unreachable instruction\nmake[2]: *** [scripts/Makefile.vmlinux_o:62: vmlinux.o] Error 1",
                "vmlinux.o: error: objtool: f+0x1: unreachable instruction",
            ),
            (
                "a.c:1:1: internal compiler error: Segmentation fault\nmake[3]: *** [scripts/Makefile.build:229: a.o] Error 1",
                "a.c:1:1: internal compiler error: Segmentation fault",
            ),
            (
                "Error: arch/arm64/boot/dts/a.dts:12.5-9 syntax error\nFATAL ERROR: Unable to parse input tree\nmake[3]: *** [scripts/Makefile.lib:423: a.dtb] Error 1",
                "Error: arch/arm64/boot/dts/a.dts:12.5-9 syntax error",
            ),
            (
                "make[3]: *** No rule to make target 'init/none.o', needed by 'init/built-in.a'.  Stop.",
                "make[3]: *** No rule to make target 'init/none.o', needed by 'init/built-in.a'.  Stop.",
            ),
            (
                "sh: 1: bison: not found\nmake[2]: *** [scripts/Makefile.host:17: scripts/kconfig/parser.tab.h] Error 127",
                "make[2]: *** [scripts/Makefile.host:17: scripts/kconfig/parser.tab.h] Error 127",
            ),
        ];
        for (log, message) in rows {
            let failure = scan(log).failure().unwrap();
            assert_eq!(failure.message, message);
            assert!(
                failure.context.iter().any(|line| line.trim() == message),
                "{failure:?}"
            );
        }
    }

    #[test]
    fn a_long_log_takes_little_memory() {
        let mut scan = Scan::new::<&str>(&[]);
        for number in 0..10_000 {
            scan.line(&format!("line {number}"));
        }
        scan.line("a.c:1:1: error: no");
        for number in 0..10_000 {
            scan.line(&format!("a.c:{number}:1: error: no"));
        }
        assert!(scan.before.len() <= AROUND && scan.around.len() <= 2 * AROUND);
        assert_eq!(scan.failure().unwrap().message, "a.c:1:1: error: no");
    }
}

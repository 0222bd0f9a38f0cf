//! Kbuild: make calls as values, and what make's output means.
//!
//! Pure: [`effect::run`](crate::effect::run) runs the calls and hands their output back in.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::process::Call;

/// Where debug information says that the sources lie. GDB finds them again with
/// `set substitute-path /usr/src/linux <source>`.
pub const MAPPED_SOURCE: &str = "/usr/src/linux";

/// Where debug information says that the object files lie.
pub const MAPPED_BUILD: &str = "/usr/src/linux/build";

/// Everything a make call of one build has in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kbuild {
    /// The kernel tree.
    pub source: Utf8PathBuf,
    /// The object directory (`O=`).
    pub build: Utf8PathBuf,
    /// `NAME=value` words, in order.
    pub variables: Vec<String>,
    /// The environment, complete.
    pub environment: BTreeMap<String, String>,
    /// `-j`.
    pub jobs: usize,
}

impl Kbuild {
    /// `make -C <source> O=<build> -j<jobs> <variables> <goals>`.
    pub fn call<S: AsRef<str>>(&self, goals: &[S]) -> Call {
        Call::new("make", self.build.parent().unwrap_or(&self.build))
            .arg("-C")
            .arg(self.source.as_str())
            .arg(format!("O={}", self.build))
            .arg("--no-print-directory")
            .arg(format!("-j{}", self.jobs))
            .args(self.variables.iter().cloned())
            .args(goals.iter().map(|goal| goal.as_ref().to_owned()))
            .envs(&self.environment)
    }

    /// Configuration goals, with a file for `KCONFIG_ALLCONFIG`.
    pub fn config_call<S: AsRef<str>>(&self, allconfig: Option<&Utf8Path>, goals: &[S]) -> Call {
        let call = self.call(goals);
        match allconfig {
            Some(allconfig) => call.arg(format!("KCONFIG_ALLCONFIG={allconfig}")),
            None => call,
        }
    }

    /// The variables that make debug information independent of where the build lies.
    /// `-fdebug-prefix-map` is understood by GCC and Clang and left out of
    /// `DW_AT_producer`; the last match wins, so the object directory, which may lie
    /// inside the source directory, comes last.
    pub fn prefix_maps(&self) -> String {
        format!(
            "-fdebug-prefix-map={}={MAPPED_SOURCE} -fdebug-prefix-map={}={MAPPED_BUILD}",
            self.source, self.build
        )
    }
}

/// Kbuild cannot work in a directory whose path make would split.
pub fn unusable(path: &Utf8Path) -> bool {
    path.as_str().contains(|character: char| {
        character.is_whitespace() || matches!(character, ':' | '#' | '$' | '\'' | '"' | '\\' | '%')
    })
}

/// How a make finds the jobserver that it takes part in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobserverAuth {
    /// By descriptors that it inherits.
    Pipe {
        /// Jobs are taken here.
        read: i32,
        /// And put back here.
        write: i32,
    },
    /// By name, since make 4.4.
    Fifo {
        /// The pipe.
        path: String,
    },
}

/// What `MAKEFLAGS` says of a jobserver: the last word that does. Before 4.2 make called it
/// `--jobserver-fds`; a negative number says that it is not for this recipe.
pub fn jobserver_auth(makeflags: &str) -> Option<JobserverAuth> {
    let value = makeflags.split_whitespace().rev().find_map(|word| {
        let value = word.strip_prefix("--jobserver-auth=");
        value.or_else(|| word.strip_prefix("--jobserver-fds="))
    })?;
    if let Some(path) = value.strip_prefix("fifo:") {
        return Some(JobserverAuth::Fifo {
            path: path.to_owned(),
        });
    }
    let (read, write) = value.split_once(',')?;
    let (read, write) = (read.parse().ok()?, write.parse().ok()?);
    (read >= 0 && write >= 0).then_some(JobserverAuth::Pipe { read, write })
}

/// `MAKEFLAGS` less everything but the jobs: what else the caller's make was told is none of a
/// kernel's business.
pub fn only_jobs(makeflags: &str) -> String {
    makeflags
        .split_whitespace()
        .filter(|word| word.starts_with("-j") || word.starts_with("--jobserver-"))
        .map(|word| format!(" {word}"))
        .collect()
}

/// The call with its jobs from a jobserver instead of ones of its own.
#[must_use]
pub fn with_jobserver(call: &Call, makeflags: &str) -> Call {
    let mut call = call.clone().env("MAKEFLAGS", makeflags);
    // A make that is told a number makes a pool of its own.
    call.args.retain(|word| !is_jobs(word));
    call
}

fn is_jobs(word: &str) -> bool {
    word.strip_prefix("-j")
        .is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What a line of make's output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// `  CC      init/main.o`.
    Command {
        /// `CC`, `LD`, `AR` …
        verb: &'a str,
        /// What is made.
        target: &'a str,
    },
    /// A compiler's warning.
    Warning,
    /// modpost found a reference between sections.
    SectionMismatch,
    /// A device tree compiler's warning.
    DtsWarning,
    /// An error of a compiler, linker or of make itself.
    Error,
    /// Anything else.
    Other,
}

/// Classifies one line.
pub fn classify(line: &str) -> Line<'_> {
    if let Some(rest) = line.strip_prefix("  ") {
        let mut words = rest.split_whitespace();
        if let (Some(verb), Some(mut target)) = (words.next(), words.next()) {
            if target == "[M]" {
                target = words.next().unwrap_or(target);
            }
            let is_verb = verb.bytes().all(|byte| {
                byte.is_ascii_uppercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-')
            });
            if is_verb && !rest.starts_with(' ') {
                return Line::Command { verb, target };
            }
        }
    }
    if line.contains("Section mismatch") || line.contains("section mismatch") {
        Line::SectionMismatch
    } else if line.contains(": warning: ")
        || line.starts_with("warning: ")
        || line.starts_with("WARNING: ")
    {
        Line::Warning
    } else if line.contains(": Warning (") {
        Line::DtsWarning
    } else if is_error(line) {
        Line::Error
    } else {
        Line::Other
    }
}

/// Whether a line is an error of a compiler, an assembler, a linker, `dtc`, `modpost`, `objtool`,
/// `resolve_btfids`, the scripts that link a kernel, or make's own about a target.
pub fn is_error(line: &str) -> bool {
    const MARKS: [&str; 7] = [
        ": error: ",
        ": fatal error: ",
        ": internal compiler error: ",
        ": undefined reference to ",
        ": multiple definition of ",
        ": Error: ",
        ": *** [",
    ];
    MARKS.iter().any(|mark| line.contains(mark))
        || [
            "error: ",
            "error[",
            "ERROR: ",
            "FAILED: ",
            "Error: ",
            "FATAL ERROR: ",
            "BTF: ",
            "Failed to generate BTF",
        ]
        .iter()
        .any(|mark| line.starts_with(mark))
}

/// Counts over a whole output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Commands shown.
    pub commands: u64,
    /// Compiler warnings.
    pub warnings: u64,
    /// Section mismatches.
    pub section_mismatches: u64,
    /// Device tree warnings.
    pub dts_warnings: u64,
}

impl Counts {
    /// Counts one line.
    pub fn add(&mut self, line: Line<'_>) {
        match line {
            Line::Command { .. } => self.commands += 1,
            Line::Warning => self.warnings += 1,
            Line::SectionMismatch => self.section_mismatches += 1,
            Line::DtsWarning => self.dts_warnings += 1,
            Line::Error | Line::Other => {}
        }
    }
}

/// How many lines [`first_error`] shows at most.
const ERROR_LINES: usize = 24;

/// How many of them stand before make's own words, where nothing else is known for an error.
const SAID_LINES: usize = 5;

/// The part of a failed make's output that says what is wrong: from the first error's
/// context (`In file included from`, `In function`) to make's own `***` line.
pub fn first_error(output: &[String]) -> Vec<String> {
    let real = |line: &String| is_error(line) && !line.contains(": *** [");
    let compiler = output.iter().position(real);
    let only_make = compiler.is_none();
    let Some(error) = compiler.or_else(|| output.iter().position(|line| line.contains("*** ")))
    else {
        return output[output.len().saturating_sub(ERROR_LINES)..].to_vec();
    };
    let context = |line: &String| {
        let line = line.trim_start();
        line.starts_with("In file included from")
            || line.starts_with("from ")
            || line.contains(": In function ")
            || line.contains(": At top level:")
    };
    // Where only make complains, what a shell or a script said stands before.
    let said = |line: &String| context(line) || only_make && classify(line) == Line::Other;
    let start = output[..error]
        .iter()
        .rposition(|line| !said(line))
        .map_or(0, |before| before + 1);
    let start = match only_make {
        true => start.max(error.saturating_sub(SAID_LINES)),
        false => start,
    };
    let rest = &output[start..];
    let end = rest
        .iter()
        .position(|line| line.contains("*** "))
        .map_or(rest.len(), |stop| stop + 1);
    let shown = rest[..end.min(ERROR_LINES)]
        .iter()
        .filter(|line| !matches!(classify(line), Line::Command { .. }));
    shown.cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kbuild() -> Kbuild {
        Kbuild {
            source: "/src/linux".into(),
            build: "/w/target/kernel/tiny/build".into(),
            variables: vec!["ARCH=x86_64".into()],
            environment: [("LC_ALL".to_owned(), "C".to_owned())].into(),
            jobs: 2,
        }
    }

    #[test]
    fn calls_are_complete_values() {
        insta::assert_snapshot!(kbuild().call(&["vmlinux"]), @"cd /w/target/kernel/tiny && env -i LC_ALL=C make -C /src/linux O=/w/target/kernel/tiny/build --no-print-directory -j2 ARCH=x86_64 vmlinux");
    }

    #[test]
    fn makeflags_tell_the_jobserver() {
        let pipe = |read, write| Some(JobserverAuth::Pipe { read, write });
        let rows = [
            ("", None),
            ("k", None),
            (" -j4 --jobserver-auth=3,4", pipe(3, 4)),
            ("w -j4 --jobserver-fds=5,6 -- A=b", pipe(5, 6)),
            ("--jobserver-auth=3,4 --jobserver-auth=7,8", pipe(7, 8)),
            (" -j4 --jobserver-auth=-2,-2", None),
            (
                "-j8 --jobserver-auth=fifo:/tmp/GMfifo7",
                Some(JobserverAuth::Fifo {
                    path: "/tmp/GMfifo7".to_owned(),
                }),
            ),
        ];
        for (makeflags, expected) in rows {
            assert_eq!(jobserver_auth(makeflags), expected, "{makeflags}");
        }
        assert_eq!(
            only_jobs("kw -j4 --jobserver-auth=3,4 W=1"),
            " -j4 --jobserver-auth=3,4"
        );
    }

    #[test]
    fn with_a_jobserver_a_call_has_no_jobs_of_its_own() {
        let call = with_jobserver(&kbuild().call(&["all"]), " -j4 --jobserver-auth=3,4");
        assert!(!call.args.contains(&"-j2".to_owned()), "{call}");
        assert_eq!(call.env["MAKEFLAGS"], " -j4 --jobserver-auth=3,4");
    }

    #[test]
    fn the_inner_directory_is_mapped_last() {
        assert!(
            kbuild()
                .prefix_maps()
                .ends_with("-fdebug-prefix-map=/w/target/kernel/tiny/build=/usr/src/linux/build")
        );
    }

    #[test]
    fn lines_are_classified() {
        let rows = [
            (
                "  CC      init/main.o",
                Line::Command {
                    verb: "CC",
                    target: "init/main.o",
                },
            ),
            (
                "  CC [M]  lib/test_module.o",
                Line::Command {
                    verb: "CC",
                    target: "lib/test_module.o",
                },
            ),
            (
                "  HOSTCC  scripts/kallsyms",
                Line::Command {
                    verb: "HOSTCC",
                    target: "scripts/kallsyms",
                },
            ),
            ("  from a function called main", Line::Other),
            (
                "init/main.c:3:5: warning: unused variable 'x' [-Wunused-variable]",
                Line::Warning,
            ),
            ("init/main.c:3:5: error: expected ';'", Line::Error),
            (
                "ld: init/main.o: in function `f': main.c:(.text+0x1): undefined reference to `g'",
                Line::Error,
            ),
            (
                "WARNING: modpost: vmlinux: section mismatch in reference: a (section: .text) -> b",
                Line::SectionMismatch,
            ),
            (
                "arch/arm64/boot/dts/x.dts:5.3-7: Warning (reg_format): bad",
                Line::DtsWarning,
            ),
            (
                "make[3]: *** [scripts/Makefile.build:229: init/main.o] Error 1",
                Line::Error,
            ),
            ("Kernel: arch/x86/boot/bzImage is ready  (#1)", Line::Other),
        ];
        for (line, expected) in rows {
            assert_eq!(classify(line), expected, "{line}");
        }
    }

    #[test]
    fn the_first_error_comes_with_its_context_and_nothing_else() {
        let output = "  CC      a.o\n  CC      b.o\nIn file included from include/x.h:3,\n                 from init/b.c:1:\ninit/b.c:7:3: error: expected ';' before '}' token\n    7 | return 0\n  CC      c.o\nmake[3]: *** [scripts/Makefile.build:229: b.o] Error 1\nmake[2]: *** Waiting for unfinished jobs....\n  CC      d.o";
        let output: Vec<String> = output.lines().map(str::to_owned).collect();
        insta::assert_snapshot!(first_error(&output).join("\n"), @r"
        In file included from include/x.h:3,
                         from init/b.c:1:
        init/b.c:7:3: error: expected ';' before '}' token
            7 | return 0
        make[3]: *** [scripts/Makefile.build:229: b.o] Error 1
        ");
    }

    #[test]
    fn where_only_make_complains_the_words_before_are_shown() {
        let output = "  CC      a.o\none\n  CC      b.o\n1\n2\n3\n4\nsh: 1: printf: I/O error\nmake: *** [Makefile:123: b.o] Error 1";
        let output: Vec<String> = output.lines().map(str::to_owned).collect();
        insta::assert_snapshot!(first_error(&output).join("\n"), @r"
        1
        2
        3
        4
        sh: 1: printf: I/O error
        make: *** [Makefile:123: b.o] Error 1
        ");
        insta::assert_snapshot!(first_error(&output[..3]).join("\n"), @r"
          CC      a.o
        one
          CC      b.o
        ");
    }

    #[test]
    fn make_cannot_work_in_every_directory() {
        for (path, expected) in [
            ("/a/b-c_d.e", false),
            ("/a b", true),
            ("/a:b", true),
            ("/a$b", true),
        ] {
            assert_eq!(unusable(path.into()), expected, "{path}");
        }
    }
}

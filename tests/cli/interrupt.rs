//! Builds that are stopped, killed, or meet another build of the same kernel.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStderr, Stdio};

use super::{left_behind, run, tiny};
use crate::support::{Sandbox, StandIn, signal, wait_for};

/// A build of a tree whose `lib/string.o` is half written until [`Hanging::release`].
struct Hanging {
    sandbox: Sandbox,
    _tree: StandIn,
}

/// A running `cargo kernel build -v`.
struct Build {
    process: Child,
    said: BufReader<ChildStderr>,
}

impl Hanging {
    fn new() -> Self {
        let (sandbox, tree) = tiny("");
        let gate = sandbox.path("gate");
        let status = std::process::Command::new("mkfifo")
            .arg(&gate)
            .status()
            .unwrap();
        assert!(status.success());
        // Whatever is written to the gate goes on; a shell that waits at it does nothing else.
        let wait = format!(
            "\t@case $@ in *lib/string.o) test ! -p {gate} || {{ echo half > $@; echo \"at the gate $$$$\"; read -r word < {gate}; }};; esac\n\t@$(compile)\n"
        );
        let tree = tree.edit("Makefile", |text| {
            let changed = text.replace("; $(compile)\n", &format!("\n{wait}"));
            assert_ne!(changed, text);
            changed
        });
        Hanging {
            sandbox,
            _tree: tree,
        }
    }

    fn start(&self) -> Build {
        let mut command = self
            .sandbox
            .process(&self.sandbox.path("project"), &["build", "-v"]);
        let mut process = command
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let said = BufReader::new(process.stderr.take().unwrap());
        Build { process, said }
    }

    /// Lets the waiting compiler go on, and every later one.
    fn release(&self) {
        let gate = self.sandbox.path("gate");
        std::fs::write(&gate, "on\n").unwrap();
        std::fs::remove_file(gate).unwrap();
    }

    /// Builds what is left, and compares it with what a build from scratch makes.
    fn finish(&self) {
        let _ = std::fs::remove_file(self.sandbox.path("gate"));
        let continued = run(&self.sandbox, &["build", "--no-reuse"]);
        assert_eq!(continued.code, 0, "{}", continued.stderr);
        let image = || {
            let boot = self.sandbox.path("project/target/kernel/tiny/destdir/boot");
            let names = boot
                .read_dir_utf8()
                .unwrap()
                .map(|entry| entry.unwrap().into_path());
            let image = names
                .into_iter()
                .find(|path| path.as_str().contains("vmlinuz"));
            std::fs::read(image.unwrap()).unwrap()
        };
        let image_of_continued = image();
        std::fs::remove_dir_all(self.sandbox.path("project/target")).unwrap();
        let afresh = run(&self.sandbox, &["build", "--no-reuse", "--no-ccache"]);
        assert_eq!(afresh.code, 0, "{}", afresh.stderr);
        assert!(image() == image_of_continued);
    }
}

impl Build {
    /// Reads on to a line with `words` and gives what follows them.
    fn until(&mut self, words: &str) -> String {
        let mut all = String::new();
        loop {
            let start = all.len();
            let read = self.said.read_line(&mut all).unwrap();
            assert_ne!(read, 0, "no `{words}` in {all}");
            if let Some((_, rest)) = all[start..].split_once(words) {
                return rest.trim().to_owned();
            }
        }
    }

    /// Waits for its end: the exit code, where it was not killed, and what it said last.
    fn end(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.said.read_to_string(&mut rest).unwrap();
        (self.process.wait().unwrap().code(), rest)
    }
}

impl Drop for Build {
    /// A test that fails leaves no compiler at the gate.
    fn drop(&mut self) {
        if self.process.try_wait().unwrap().is_none() {
            signal("TERM", self.process.id());
            self.process.wait().unwrap();
        }
    }
}

/// Whether a process runs, rather than waiting to be buried.
fn is_alive(process: &str) -> bool {
    field(process, 0).is_some_and(|state| state != "Z" && state != "X")
}

/// A field of `/proc/PID/stat` (proc_pid_stat(5)), counted from the state.
fn field(process: &str, index: usize) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(index).map(str::to_owned)
}

#[test]
fn an_interrupted_build_leaves_no_process_and_the_next_one_goes_on() {
    for name in ["INT", "TERM", "HUP"] {
        let hanging = Hanging::new();
        let mut build = hanging.start();
        let compiler = build.until("at the gate ");
        signal(name, build.process.id());
        let (code, said) = build.end();
        assert_eq!(code, Some(101), "{said}");
        assert!(said.contains("error: interrupted\n"), "{said}");
        wait_for("the compiler's end", || !is_alive(&compiler));
        assert_eq!(left_behind(&hanging.sandbox), [""; 0]);
        if name == "INT" {
            hanging.finish();
        }
    }
}

#[test]
fn what_a_killed_build_has_half_written_is_not_trusted() {
    let hanging = Hanging::new();
    let mut build = hanging.start();
    let compiler = build.until("at the gate ");
    let group = field(&compiler, 2).unwrap();
    signal("KILL", build.process.id());
    signal("KILL", format!("-{group}"));
    assert_eq!(build.end().0, None);
    assert_eq!(left_behind(&hanging.sandbox), [""; 0]);
    let half = hanging
        .sandbox
        .path("project/target/kernel/tiny/build/lib/string.o");
    assert_eq!(std::fs::read_to_string(half).unwrap(), "half\n");
    hanging.finish();
}

#[test]
fn a_build_waits_for_the_make_that_a_killed_one_left() {
    let hanging = Hanging::new();
    let mut killed = hanging.start();
    killed.until("at the gate ");
    signal("KILL", killed.process.id());
    killed.process.wait().unwrap();
    let mut next = hanging.start();
    let holder = next.until("waiting for the build directory of `tiny`, held by ");
    assert_eq!(
        holder,
        format!("process {}, cargo kernel build tiny", killed.process.id())
    );
    hanging.release();
    let (code, said) = next.end();
    assert_eq!(code, Some(0), "{said}");
    hanging.finish();
}

#[test]
fn of_two_builds_of_one_kernel_the_second_finds_it_finished() {
    let hanging = Hanging::new();
    let mut first = hanging.start();
    first.until("at the gate ");
    let mut second = hanging.start();
    let holder = second.until("waiting for the build directory of `tiny`, held by ");
    assert_eq!(
        holder,
        format!("process {}, cargo kernel build tiny", first.process.id())
    );

    let mut impatient = hanging.start();
    impatient.until("held by ");
    signal("INT", impatient.process.id());
    let (code, said) = impatient.end();
    assert_eq!(code, Some(101), "{said}");
    assert!(said.contains("error: interrupted\n"), "{said}");

    // A plan does not wait: it takes nothing from the build directory.
    let plan = run(&hanging.sandbox, &["plan"]);
    assert_eq!(plan.code, 0, "{}", plan.stderr);

    hanging.release();
    for (build, word) in [(first, "       Built tiny"), (second, "       Fresh tiny")] {
        let (code, said) = build.end();
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains(word), "{said}");
    }
}

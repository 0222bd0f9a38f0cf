//! The command line end to end, a file for each command or theme.

mod backend;
mod bad_input;
mod batch;
mod boot;
mod build;
mod cached;
mod clean;
mod config;
mod config_daily;
mod content;
mod covered;
mod credentials;
mod doctor;
mod drift;
mod explain;
mod goals;
mod help;
mod identity;
mod init;
mod interrupt;
mod list;
mod lock;
mod matrix;
mod messages;
mod patches;
mod plan;
mod release;
mod report;
mod root;
mod series;
mod sign;
mod store;
mod tmpfs;
mod toolchains;
mod tree;
mod unreliable;
mod verify;
mod watch;

use serde_json::Value;

use crate::support::{Sandbox, StandIn};

/// A kernel `tiny` of a stand-in tree beside the project.
const TINY: &str =
    "[workspace.metadata.kernel.kernels.tiny]\nsource = \"../tree\"\npreset = \"tiny\"\n";

/// A sandbox with [`TINY`] and its tree; `settings` go on with its table.
fn tiny(settings: &str) -> (Sandbox, StandIn) {
    let sandbox = Sandbox::with_kernels(&format!("{TINY}{settings}"));
    let tree = StandIn::new(&sandbox, "tree");
    (sandbox, tree)
}

/// What a command said.
struct Said {
    code: i32,
    stdout: String,
    /// Redacted, less the environment of calls to paste.
    stderr: String,
}

impl Said {
    /// Its messages, each a line with a reason.
    fn messages(&self) -> Vec<Value> {
        let message = |line: &str| -> Value {
            let message: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
            assert!(message["reason"].is_string(), "{line}");
            message
        };
        self.stdout.lines().map(message).collect()
    }

    /// The first message with that reason.
    fn message(&self, reason: &str) -> Value {
        let messages = self.messages();
        let found = messages.iter().find(|message| message["reason"] == reason);
        found
            .unwrap_or_else(|| panic!("no {reason} in {}{}", self.stdout, self.stderr))
            .clone()
    }
}

/// Runs a command in the sandbox's project.
fn run(sandbox: &Sandbox, args: &[&str]) -> Said {
    said(sandbox, sandbox.kernel(args).output().unwrap())
}

/// Runs a command with JSON messages; its exit code must be `code`.
fn run_json(sandbox: &Sandbox, args: &[&str], code: i32) -> Said {
    let said = run(sandbox, &[args, &["--message-format", "json"]].concat());
    assert_eq!(said.code, code, "{args:?}: {}{}", said.stdout, said.stderr);
    said
}

fn said(sandbox: &Sandbox, output: std::process::Output) -> Said {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let stderr = sandbox.redact(&text(output.stderr));
    let stderr: Vec<_> = stderr
        .lines()
        .map(|line| match line.split_once("to run it by hand: ") {
            Some((before, _)) => format!("{before}to run it by hand: [call]"),
            None => line.to_owned(),
        })
        .collect();
    Said {
        code: output.status.code().expect("it was not killed"),
        stdout: text(output.stdout),
        stderr: stderr.join("\n"),
    }
}

/// What only a finished build leaves, and what nothing should leave: manifests, entries of
/// the store, trees of the cache, temporaries.
fn left_behind(sandbox: &Sandbox) -> Vec<String> {
    fn walk(directory: &std::path::Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(directory).into_iter().flatten() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name.starts_with(".tmp-") || name == "manifest.json" {
                found.push(path.to_string_lossy().into_owned());
            } else if path.is_dir() && !path.is_symlink() {
                walk(&path, found);
            }
        }
    }
    let mut found = Vec::new();
    walk(sandbox.path("").as_std_path(), &mut found);
    for directory in ["store", "cache/tree"] {
        let entries = std::fs::read_dir(sandbox.path(directory))
            .into_iter()
            .flatten();
        let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        // A lock is held or free, never half written.
        found.extend(names.filter(|name| !name.ends_with(".lock")));
    }
    found
}

/// A directory with every program on PATH but `missing`, to be the whole of PATH.
fn path_without(sandbox: &Sandbox, missing: &[&str]) -> String {
    let directory = sandbox.path("programs");
    std::fs::create_dir(&directory).unwrap();
    for source in std::env::var("PATH").unwrap().split(':') {
        for entry in std::fs::read_dir(source).into_iter().flatten() {
            let entry = entry.unwrap();
            let name = entry.file_name();
            if !missing.iter().any(|missing| name == *missing) {
                // The first on PATH wins, as it does there.
                let _ = std::os::unix::fs::symlink(
                    entry.path(),
                    directory.join(name.to_string_lossy().as_ref()),
                );
            }
        }
    }
    directory.into_string()
}

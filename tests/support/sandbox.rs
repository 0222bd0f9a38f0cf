//! The program under test with a home, a cache and a store of its own.

use std::os::unix::fs::PermissionsExt as _;

use assert_cmd::Command;
use camino::{Utf8Path, Utf8PathBuf};

/// A directory that is gone after the test, with everything the program writes below it:
///
/// ```text
/// home/ cache/ store/ tmp/
/// bin/       first on PATH: stand-ins for tools
/// project/   the directory the program is started in
/// ```
pub(crate) struct Sandbox {
    root: Utf8PathBuf,
    _guard: tempfile::TempDir,
}

impl Sandbox {
    /// With an empty project.
    pub(crate) fn new() -> Self {
        let guard = tempfile::Builder::new()
            .prefix("kernelkit-")
            .tempdir()
            .unwrap();
        let root = Utf8PathBuf::from_path_buf(guard.path().canonicalize().unwrap()).unwrap();
        for directory in ["home", "cache", "store", "tmp", "bin", "project"] {
            std::fs::create_dir(root.join(directory)).unwrap();
        }
        Sandbox {
            root,
            _guard: guard,
        }
    }

    /// With a project that holds nothing but kernels: `kernel` is what follows
    /// `[workspace.metadata.kernel]`.
    pub(crate) fn with_kernels(kernel: &str) -> Self {
        let sandbox = Sandbox::new();
        sandbox.write(
            "project/Cargo.toml",
            &format!("[workspace]\nmembers = []\nresolver = \"3\"\n\n{kernel}"),
        );
        sandbox
    }

    /// Of the sandbox itself, or of something in it.
    pub(crate) fn path(&self, relative: &str) -> Utf8PathBuf {
        self.root.join(relative)
    }

    /// Writes a file below the sandbox, with its directories.
    pub(crate) fn write(&self, relative: &str, text: &str) -> Utf8PathBuf {
        let path = self.path(relative);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Puts a shell script before the tool of that name on the program's PATH.
    pub(crate) fn tool(&self, name: &str, script: &str) -> Utf8PathBuf {
        let path = self.write(&format!("bin/{name}"), &format!("#!/bin/sh\n{script}\n"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// `cargo kernel …`, started in the project, as cargo starts it.
    pub(crate) fn kernel(&self, args: &[&str]) -> Command {
        self.kernel_in(&self.path("project"), args)
    }

    /// `cargo kernel …`, started in `directory`.
    pub(crate) fn kernel_in(&self, directory: &Utf8Path, args: &[&str]) -> Command {
        Command::from_std(self.process(directory, args))
    }

    /// The same as a process that can be watched while it runs. Of the caller's environment it
    /// sees nothing but PATH: the toolchain's own directory is put before it, because rustup's
    /// `cargo` would look for its toolchains in the sandbox's home.
    pub(crate) fn process(&self, directory: &Utf8Path, args: &[&str]) -> std::process::Command {
        let cargo = Utf8Path::new(env!("CARGO"));
        let path = format!(
            "{}:{}:{}",
            self.path("bin"),
            cargo.parent().expect("cargo lies in a directory"),
            std::env::var("PATH").unwrap_or_default()
        );
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_cargo-kernel"));
        command
            .arg("kernel")
            .args(args)
            .current_dir(directory)
            .env_clear()
            .env("PATH", path)
            .env("CARGO", cargo)
            .env("CARGO_HOME", self.path("home/.cargo"))
            .env("HOME", self.path("home"))
            .env("KERNELKIT_CACHE_DIR", self.path("cache"))
            .env("KERNELKIT_STORE_DIR", self.path("store"))
            .env("TMPDIR", self.path("tmp"))
            .env("TERM", "dumb");
        command
    }

    /// `text` without what differs from run to run: the sandbox's path and digests (12, 40 or
    /// 64 hexadecimal digits).
    pub(crate) fn redact(&self, text: &str) -> String {
        redact(&text.replace(self.root.as_str(), "[sandbox]"))
    }
}

fn redact(text: &str) -> String {
    let mut redacted = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_word = |character: char| character.is_ascii_alphanumeric() || character == '_';
        let length = match rest.find(|character| !is_word(character)) {
            Some(0) => first.len_utf8(),
            Some(end) => end,
            None => rest.len(),
        };
        let (word, after) = rest.split_at(length);
        let digest = matches!(word.len(), 12 | 40 | 64)
            && word
                .bytes()
                .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        redacted.push_str(if digest { "[digest]" } else { word });
        rest = after;
    }
    redacted
}

#[test]
fn digests_and_paths_are_redacted() {
    let sandbox = Sandbox::new();
    let text = format!("{}/x 6.12.117-tiny-0123456789ab", sandbox.path("project"));
    assert_eq!(
        sandbox.redact(&text),
        "[sandbox]/project/x 6.12.117-tiny-[digest]"
    );
    assert_eq!(
        redact("decade ääßß 0123456789abc"),
        "decade ääßß 0123456789abc"
    );
}

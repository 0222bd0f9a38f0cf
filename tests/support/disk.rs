//! A disk that is soon full.

use std::process::Command;

use camino::Utf8PathBuf;

use super::{Sandbox, require_root};

/// A file system of a few KiB in the sandbox, until it is dropped; to be declared after
/// the sandbox, so that it is gone before the sandbox is removed.
pub(crate) struct Disk {
    at: Utf8PathBuf,
}

impl Disk {
    /// At `relative` in the sandbox; `None` where nobody may mount.
    pub(crate) fn mount(sandbox: &Sandbox, relative: &str, kib: u32) -> Option<Self> {
        if !require_root() {
            return None;
        }
        let at = sandbox.path(relative);
        std::fs::create_dir_all(&at).unwrap();
        run(
            "mount",
            &[
                "-t",
                "tmpfs",
                "-o",
                &format!("size={kib}k"),
                "none",
                at.as_str(),
            ],
        );
        Some(Disk { at })
    }

    /// Gives it another size.
    pub(crate) fn resize(&self, kib: u32) {
        run(
            "mount",
            &["-o", &format!("remount,size={kib}k"), self.at.as_str()],
        );
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", &["--lazy", self.at.as_str()]);
    }
}

fn run(program: &str, args: &[&str]) {
    let status = Command::new(program).args(args).status().unwrap();
    assert!(status.success(), "{program} {args:?}: {status}");
}

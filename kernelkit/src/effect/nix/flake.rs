//! The flake of a workspace, as Nix is to read it.

use camino::{Utf8Path, Utf8PathBuf};
use tempfile::TempDir;

use crate::effect::environment::Environment;
use crate::effect::fs::{self, Context as _};

/// A directory with `flake.nix` that Nix may copy to its store.
///
/// Of a git repository Nix takes what git knows; of any other directory everything, so that a
/// build directory of gigabytes would go to the store with it. There Nix is given a copy that lacks
/// what is not written by hand; it goes with this value.
#[derive(Debug)]
pub struct Flake {
    /// Where it is.
    pub dir: Utf8PathBuf,
    _copy: Option<TempDir>,
}

impl Flake {
    /// The flake in `root`.
    pub fn open(root: &Utf8Path, environment: &Environment) -> Result<Self, fs::Error> {
        let is_in_git = root
            .ancestors()
            .any(|directory| directory.join(".git").exists());
        if is_in_git {
            return Ok(Flake {
                dir: root.to_owned(),
                _copy: None,
            });
        }
        let below = environment.cache_dir.join("shell");
        fs::create_dir_all(&below)?;
        let copy = tempfile::Builder::new()
            .prefix("flake-")
            .tempdir_in(&below)
            .context("write to", &below)?;
        let name = copy.path().file_name().and_then(|name| name.to_str());
        let dir = below.join(name.expect("it was made of ASCII"));
        copy_written(root, &dir)?;
        Ok(Flake {
            dir,
            _copy: Some(copy),
        })
    }
}

/// Copies all but hidden files and what builds leave: `target`, directories that are marked as caches
/// (<https://bford.info/cachedir/>), and the links `result` of Nix.
fn copy_written(from: &Utf8Path, to: &Utf8Path) -> Result<(), fs::Error> {
    for entry in from.read_dir_utf8().context("read", from)? {
        let entry = entry.context("read", from)?;
        let (name, path) = (entry.file_name(), entry.path());
        let kind = entry.file_type().context("read", path)?;
        let copy = to.join(name);
        if name.starts_with('.') {
            continue;
        } else if kind.is_dir() {
            if name != "target" && !path.join("CACHEDIR.TAG").exists() {
                fs::create_dir_all(&copy)?;
                copy_written(path, &copy)?;
            }
        } else if kind.is_symlink() {
            if !name.starts_with("result") {
                fs::symlink_atomic(path.read_link_utf8().context("read", path)?, &copy)?;
            }
        } else if kind.is_file() {
            fs::copy(path, &copy)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn without_git_nix_gets_what_is_written_by_hand() {
        let directory = tempfile::tempdir().unwrap();
        let base = Utf8Path::from_path(directory.path()).unwrap();
        let root = base.join("project");
        for file in [
            "flake.nix",
            "nix/shell.nix",
            "target/kernel/tiny/build/vmlinux",
            "out/CACHEDIR.TAG",
            ".direnv/x",
        ] {
            fs::write_atomic(root.join(file), b"").unwrap();
        }
        fs::symlink_atomic("/nix/store/x", root.join("result")).unwrap();
        let variables = [("HOME", base), ("KERNELKIT_CACHE_DIR", &base.join("cache"))]
            .map(|(name, value)| (name.to_owned(), value.to_string()));
        let environment = Environment::from_variables(root.clone(), BTreeMap::from(variables));

        let flake = Flake::open(&root, &environment).unwrap();
        let mut names: Vec<_> = flake
            .dir
            .read_dir_utf8()
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_owned())
            .collect();
        names.sort();
        assert_eq!(names, ["flake.nix", "nix"]);
        assert!(flake.dir.join("nix/shell.nix").exists());
        let copy = flake.dir.clone();
        drop(flake);
        assert!(!copy.exists());

        fs::create_dir_all(base.join(".git")).unwrap();
        assert_eq!(Flake::open(&root, &environment).unwrap().dir, root);
    }
}

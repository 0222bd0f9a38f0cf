//! Reads and writes `kernel.lock` and the configurations beside it.

use std::collections::{BTreeMap, HashSet};

use camino::{Utf8Path, Utf8PathBuf};

use super::{fs, inside};
use crate::lock::{
    Change, DIRECTORY, Error as LockError, FILE, Kernel, Lock, LockedTrust, config_path,
    mailed_path,
};
use crate::source::{AppliedPatch, Sha256};

/// Why a lock could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file.
    #[error(transparent)]
    Fs(#[from] fs::Error),
    /// Its content.
    #[error(transparent)]
    Lock(#[from] LockError),
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Fs(error) => error.hint(),
            Error::Lock(error) => error.hint(),
        }
    }
}

/// The lock of the workspace at `root`; `None` where there is none.
pub fn read(root: &Utf8Path) -> Result<Option<Lock>, Error> {
    let path = root.join(FILE);
    match path.exists() {
        false => Ok(None),
        true => Ok(Some(Lock::parse(&fs::input_text(&path)?, &path)?)),
    }
}

/// The locked configuration of a kernel; `None` where the file is gone.
pub fn read_config(root: &Utf8Path, kernel: &str) -> Result<Option<String>, Error> {
    let bytes = fs::optional_input(root.join(config_path(kernel)))?;
    Ok(bytes.and_then(|bytes| String::from_utf8(bytes).ok()))
}

/// The files of `kernel.lock.d` that are not what the lock's entry of a kernel says: changed, or gone.
pub fn changes(root: &Utf8Path, name: &str, kernel: &Kernel) -> Result<Vec<Change>, Error> {
    let config = [(config_path(name), kernel.config.sha256)];
    let trust = kernel.trust.iter();
    let trust = trust.map(|trust| (trust.path.clone(), trust.sha256));
    let series = Utf8Path::new(DIRECTORY).join("series");
    let patches = kernel.source.patches.iter();
    let mailed = patches.filter(|patch| patch.path.starts_with(&series));
    let mailed = mailed.map(|patch| (patch.path.clone(), patch.sha256));
    let mut changes = Vec::new();
    for (path, sha256) in config.into_iter().chain(trust).chain(mailed) {
        let bytes = fs::optional_input(root.join(&path))?;
        let found = bytes.map(|bytes| Sha256::of(&bytes));
        if found != Some(sha256) {
            changes.push(Change {
                field: path.into_string(),
                old: Some(sha256.to_string()),
                new: found.map(|found| found.to_string()),
            });
        }
    }
    Ok(changes)
}

/// Writes the configurations in `configs`, by kernel, the mailed `patches` and the certificates in `trusted`, then
/// the lock, and removes the files of kernels that it does not have. The lock comes after what it names, so that
/// being stopped in between leaves a lock whose hashes tell.
pub fn write(
    root: &Utf8Path,
    lock: &Lock,
    configs: &BTreeMap<String, String>,
    patches: &[AppliedPatch],
    trusted: &[(LockedTrust, String)],
) -> Result<(), Error> {
    let directory = root.join(DIRECTORY);
    inside::keep(&directory, root);
    fs::create_dir_all(&directory)?;
    for (kernel, text) in configs {
        fs::write_durable(root.join(config_path(kernel)), text.as_bytes())?;
    }
    let series = directory.join("series");
    for patch in patches {
        let path = root.join(mailed_path(patch.sha256));
        if patch.path != path {
            fs::write_if_changed(path, &fs::input(&patch.path)?)?;
        }
    }
    for (trust, pem) in trusted {
        fs::write_if_changed(root.join(&trust.path), pem.as_bytes())?;
    }
    fs::write_durable(root.join(FILE), lock.to_text().as_bytes())?;
    let kernels = lock.kernels.values();
    let patches = kernels.clone().flat_map(|kernel| &kernel.source.patches);
    let patches = patches.map(|patch| root.join(&patch.path));
    let trusted = kernels.filter_map(|kernel| kernel.trust.as_ref());
    let trusted = trusted.map(|trust| root.join(&trust.path));
    let named: HashSet<_> = patches.chain(trusted).collect();
    for (directory, suffix) in [(series, ".patch"), (directory.join("trust"), ".pem")] {
        drop_unnamed(&directory, suffix, &named)?;
    }
    for name in fs::file_names(&directory)? {
        if let Some(kernel) = name.strip_suffix(".config")
            && !lock.kernels.contains_key(kernel)
        {
            fs::remove_file(directory.join(&name))?;
        }
    }
    Ok(())
}

/// Removes what was written here before and is not named any more: files that are called by a hash.
fn drop_unnamed(
    directory: &Utf8Path,
    suffix: &str,
    named: &HashSet<Utf8PathBuf>,
) -> Result<(), Error> {
    // Behind a link lie somebody else's files.
    if !std::fs::symlink_metadata(directory).is_ok_and(|metadata| metadata.is_dir()) {
        return Ok(());
    }
    for name in fs::file_names(directory)? {
        let hash = name.strip_suffix(suffix).map(str::parse::<Sha256>);
        let path = directory.join(&name);
        if matches!(hash, Some(Ok(_))) && !named.contains(&path) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

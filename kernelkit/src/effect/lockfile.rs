//! Reads and writes `kernel.lock` and the configurations beside it.

use std::collections::BTreeMap;

use camino::Utf8Path;

use super::fs;
use crate::lock::{DIRECTORY, Error as LockError, FILE, Lock, config_path, mailed_path};
use crate::source::AppliedPatch;

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
    match fs::read_optional(&path)? {
        None => Ok(None),
        Some(_) => Ok(Some(Lock::parse(&fs::read_to_string(&path)?, &path)?)),
    }
}

/// The locked configuration of a kernel; `None` where the file is gone.
pub fn read_config(root: &Utf8Path, kernel: &str) -> Result<Option<String>, Error> {
    let bytes = fs::read_optional(root.join(config_path(kernel)))?;
    Ok(bytes.and_then(|bytes| String::from_utf8(bytes).ok()))
}

/// Writes the configurations in `configs`, by kernel, and the mailed `patches`, then the lock, and removes the
/// configurations of kernels that it does not have. The lock comes after what it names, so that
/// being stopped in between leaves a lock whose hashes tell.
pub fn write(
    root: &Utf8Path,
    lock: &Lock,
    configs: &BTreeMap<String, String>,
    patches: &[AppliedPatch],
) -> Result<(), Error> {
    let directory = root.join(DIRECTORY);
    fs::create_dir_all(&directory)?;
    for (kernel, text) in configs {
        fs::write_atomic(root.join(config_path(kernel)), text.as_bytes())?;
    }
    let series = directory.join("series");
    let mailed = |name: &str| series.join(name);
    for patch in patches {
        let path = root.join(mailed_path(patch.sha256));
        if patch.path != path {
            fs::write_if_changed(path, &fs::read(&patch.path)?)?;
        }
    }
    fs::write_atomic(root.join(FILE), lock.to_text().as_bytes())?;
    if series.is_dir() {
        let kernels = lock.kernels.values();
        let named: Vec<_> = kernels
            .flat_map(|kernel| &kernel.source.patches)
            .map(|patch| root.join(&patch.path))
            .collect();
        for name in fs::file_names(&series)? {
            if !named.contains(&mailed(&name)) {
                fs::remove_file(mailed(&name))?;
            }
        }
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

//! Binary caches in directories, which any web server can serve.
//!
//! Taking from a cache is left to Nix, which checks signatures by its own settings.

use std::fs::File;
use std::io::{self, Write as _};

use camino::Utf8Path;

use super::nar;
use crate::effect::fs;
use crate::nix::narinfo::{self, CacheInfo, NarInfo, SecretKey};
use crate::nix::store_path::StoreDir;

/// Why a cache cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the cache cannot be read or written.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// What is published cannot be read, or its archive not written.
    #[error(transparent)]
    Nar(#[from] nar::Error),
    /// A file of the cache has no sense.
    #[error(transparent)]
    Format(#[from] narinfo::Error),
    /// What is published is not what its description says.
    #[error("{path} is not what the .narinfo says: its archive has another hash")]
    OtherContent {
        /// What was read.
        path: String,
    },
    /// The directory is a cache for another store.
    #[error("the cache is for the store {found}, not {expected}")]
    OtherStore {
        /// Of the cache.
        found: String,
        /// Of the paths.
        expected: String,
    },
    /// No random numbers.
    #[error("cannot make a key")]
    Random(#[source] io::Error),
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Nar(error) => error.hint(),
            Error::Format(error) => error.hint(),
            Error::OtherStore { .. } => Some("choose another directory for this cache".to_owned()),
            Error::File(_) | Error::OtherContent { .. } | Error::Random(_) => None,
        }
    }
}

/// Makes the directory a cache; one that is a cache for the same store stays as it is.
pub fn create(directory: &Utf8Path, info: &CacheInfo) -> Result<(), Error> {
    let file = directory.join("nix-cache-info");
    match fs::read_optional(&file)? {
        None => fs::write_atomic(&file, info.to_string().as_bytes())?,
        Some(bytes) => {
            let found = CacheInfo::parse(&String::from_utf8_lossy(&bytes))?.store_dir;
            if found != info.store_dir {
                return Err(Error::OtherStore {
                    found: found.to_string(),
                    expected: info.store_dir.to_string(),
                });
            }
        }
    }
    Ok(fs::create_dir_all(directory.join("nar"))?)
}

/// Writes the archive of `path`, then the `.narinfo`, so that no reader sees one without
/// the other. `info` describes an uncompressed archive, as [`NarInfo::new`] makes it.
pub fn publish(
    directory: &Utf8Path,
    store: &StoreDir,
    info: &NarInfo,
    path: &Utf8Path,
) -> Result<(), Error> {
    let text = info.to_text(store)?;
    let archive = directory.join(&info.url);
    let partial = directory.join(format!("{}.tmp-{}", info.url, std::process::id()));
    let failed = |source| nar::Error::Write {
        path: path.to_owned(),
        source,
    };
    let mut file = File::create(&partial).map_err(failed)?;
    let written = nar::write(path, &mut file);
    let synced = file.flush().and_then(|()| file.sync_all()).map_err(failed);
    if written.as_ref().ok() != Some(&info.nar) || synced.is_err() {
        fs::remove_file(&partial)?;
        written?;
        synced?;
        return Err(Error::OtherContent {
            path: path.to_string(),
        });
    }
    fs::rename(&partial, &archive)?;
    Ok(fs::write_atomic(
        directory.join(info.file_name()),
        text.as_bytes(),
    )?)
}

/// A new key of the kernel's random numbers. The name usually ends in a number that grows
/// when the key is replaced: `kernels.example.org-1`.
pub fn generate_key(name: &str) -> Result<SecretKey, Error> {
    let mut seed = [0; 32];
    File::open("/dev/urandom")
        .and_then(|mut file| io::Read::read_exact(&mut file, &mut seed))
        .map_err(Error::Random)?;
    Ok(SecretKey::from_seed(name, seed))
}

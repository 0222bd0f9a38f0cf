//! SHA-256 of files.

use std::fs::File;
use std::io::Read as _;

use camino::Utf8Path;
use sha2::{Digest as _, Sha256 as Hasher};

use crate::effect::fs::{self, Context as _};
use crate::source::Sha256;

/// Of the whole file.
pub(super) fn sha256(path: &Utf8Path) -> Result<Sha256, fs::Error> {
    let mut file = File::open(path).context("read", path)?;
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).context("read", path)? {
            0 => return Ok(Sha256::from_bytes(hasher.finalize().into())),
            count => hasher.update(&buffer[..count]),
        }
    }
}

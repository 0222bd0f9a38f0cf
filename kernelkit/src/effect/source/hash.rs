//! Hashes of files.

use std::io::Read as _;

use camino::Utf8Path;
use sha2::{Digest as _, Sha256 as Hasher};

use crate::effect::fs::{self, Context as _};
use crate::source::Sha256;

/// Of the whole file.
pub(super) fn sha256(path: &Utf8Path) -> Result<Sha256, fs::Error> {
    let mut hasher = Hasher::new();
    pieces(path, &mut |piece| hasher.update(piece))?;
    Ok(Sha256::from_bytes(hasher.finalize().into()))
}

/// The SHA-1 of the whole file, in hexadecimal digits.
pub(in crate::effect) fn sha1(path: &Utf8Path) -> Result<String, fs::Error> {
    let mut hasher = sha1::Sha1::new();
    pieces(path, &mut |piece| hasher.update(piece))?;
    let digest = hasher.finalize();
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn pieces(path: &Utf8Path, take: &mut dyn FnMut(&[u8])) -> Result<(), fs::Error> {
    let (mut file, _) = fs::open(path).context("read", path)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).context("read", path)? {
            0 => return Ok(()),
            count => take(&buffer[..count]),
        }
    }
}

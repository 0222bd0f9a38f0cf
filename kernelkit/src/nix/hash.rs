//! Digests as Nix writes them.
//!
//! Nix manual, "Nix base-32" and "Content-addressing store objects": the digits of
//! nixbase32 leave out `e`, `o`, `t` and `u`, and the text starts with the last bits.

use std::fmt;
use std::str::FromStr;

use nix_derivation::{NixHash, nixbase32};
use serde::{Deserialize, Serialize};

use crate::source::Sha256;

/// The nixbase32 text of `bytes`.
pub fn to_base32(bytes: &[u8]) -> String {
    nixbase32::encode(bytes)
}

/// The bytes of a nixbase32 text; the one text of each value is accepted, and no other.
pub fn from_base32(text: &str) -> Result<Vec<u8>, InvalidHash> {
    nixbase32::decode(text.as_bytes()).map_err(|error| InvalidHash {
        text: text.to_owned(),
        reason: error.to_string(),
    })
}

/// A digest with its algorithm.
///
/// It reads `sha256-<base64>` (SRI) and `sha256:` followed by hexadecimal, nixbase32 or
/// base64; `Display` is `sha256:<nixbase32>`.
///
/// ```
/// use kernelkit::nix::hash::Hash;
/// use kernelkit::source::Sha256;
///
/// let hash = Hash::from(Sha256::of(b"linux"));
/// assert_eq!(hash.to_sri().parse::<Hash>()?, hash);
/// assert_eq!(hash.to_string().parse::<Hash>()?, hash);
/// assert_eq!(hash.algorithm(), "sha256");
/// # Ok::<(), kernelkit::nix::hash::InvalidHash>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hash(pub(super) NixHash);

/// A text that is no digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a hash: {reason}")]
pub struct InvalidHash {
    text: String,
    reason: String,
}

impl InvalidHash {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some("a hash is written `sha256-<base64>` or `sha256:<hexadecimal or nixbase32>`".into())
    }
}

impl Hash {
    /// `md5`, `sha1`, `sha256`, `sha512` or `blake3`.
    pub fn algorithm(&self) -> &'static str {
        self.0.algorithm().as_str()
    }

    /// The bytes.
    pub fn digest(&self) -> &[u8] {
        self.0.digest_as_bytes()
    }

    /// `sha256-<base64>`.
    pub fn to_sri(&self) -> String {
        self.0.to_sri_string()
    }

    /// The hexadecimal digits alone.
    pub fn to_hex(&self) -> String {
        self.digest()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// The nixbase32 digits alone.
    pub fn to_base32(&self) -> String {
        to_base32(self.digest())
    }

    /// The digest, where the algorithm is SHA-256.
    pub fn sha256(&self) -> Option<Sha256> {
        match &self.0 {
            NixHash::Sha256(bytes) => Some(Sha256::from_bytes(*bytes)),
            _ => None,
        }
    }
}

impl From<Sha256> for Hash {
    fn from(sha256: Sha256) -> Self {
        Hash(NixHash::Sha256(*sha256.as_bytes()))
    }
}

impl FromStr for Hash {
    type Err = InvalidHash;

    fn from_str(text: &str) -> Result<Self, InvalidHash> {
        text.parse().map(Hash).map_err(|error| InvalidHash {
            text: text.to_owned(),
            reason: nix_derivation::hash::Error::to_string(&error),
        })
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_nix_nixbase32_string())
    }
}

impl TryFrom<String> for Hash {
    type Error = InvalidHash;

    fn try_from(text: String) -> Result<Self, InvalidHash> {
        text.parse()
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> String {
        hash.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_nix_manuals_digests_are_read_in_every_form() {
        // `nix hash file` of an empty file.
        let empty = Hash::from(Sha256::of(b""));
        let rows = [
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73",
            "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        ];
        for text in rows {
            assert_eq!(text.parse::<Hash>().unwrap(), empty, "{text}");
        }
        assert_eq!(empty.to_string(), rows[1]);
        assert_eq!(empty.to_sri(), rows[2]);
        assert_eq!(format!("sha256:{}", empty.to_hex()), rows[0]);
    }

    #[test]
    fn what_is_no_hash_is_refused_with_a_hint() {
        let rows = [
            "",
            "sha256:",
            "sha256-47DEQpj8HBSa",
            "sha3:00",
            "0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73",
            // The last digit of 52 holds one bit.
            "sha256:zmdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73",
        ];
        for text in rows {
            let error = text.parse::<Hash>().unwrap_err();
            assert!(error.hint().unwrap().contains("sha256"), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn base32_reads_what_it_writes(bytes: Vec<u8>) {
            prop_assert_eq!(from_base32(&to_base32(&bytes)).unwrap(), bytes);
        }

        #[test]
        fn hashes_read_what_they_write(bytes: [u8; 32]) {
            let hash = Hash::from(Sha256::from_bytes(bytes));
            prop_assert_eq!(&hash.to_string().parse::<Hash>().unwrap(), &hash);
            prop_assert_eq!(&hash.to_sri().parse::<Hash>().unwrap(), &hash);
            prop_assert_eq!(hash.sha256(), Some(Sha256::from_bytes(bytes)));
        }
    }
}

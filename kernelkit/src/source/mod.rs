//! Where a kernel tree comes from, and what names its content.
//!
//! Pure: [`effect::source`](crate::effect::source) does the reading and writing.

mod prepared;
pub mod snapshot;
pub mod sums;
pub mod tree;
pub mod unlisted;

pub use prepared::{AppliedPatch, Archive, Commit, LabelHint, MailedSeries, Tree, Verification};

use std::fmt;
use std::str::FromStr;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize, Serializer};

use crate::credentials::public;

/// What the user named as source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Source {
    /// A directory; it is read, never written to.
    Directory {
        /// Absolute path.
        path: Utf8PathBuf,
    },
    /// A tarball, as a file or a URL.
    Tarball {
        /// An absolute path or an `http(s)://` URL.
        #[serde(serialize_with = "without_credentials")]
        location: String,
        /// What it must hash to; needed for a URL unless the server's signed sums are used.
        sha256: Option<Sha256>,
    },
    /// A Debian `linux-source-*` package, through apt.
    Debian {
        /// Such as `linux-source-6.12`.
        package: String,
        /// Such as `6.12.117-1~deb12u1`; the candidate where absent.
        version: Option<String>,
    },
    /// A git repository and a tag, branch or commit.
    Git {
        /// Path or URL.
        #[serde(serialize_with = "without_credentials")]
        repository: String,
        /// Resolved as tag, then remote branch, then literally.
        reference: String,
    },
    /// A release of kernel.org: `6.12.117`, `6.12`, `6.12.y`, `stable`, `longterm`, `mainline`.
    Release {
        /// The selector's text.
        selector: String,
    },
}

impl fmt::Display for Source {
    /// As a user would write it, a path in full, a URL without credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Directory { path } => write!(f, "{path}"),
            Source::Tarball { location, sha256 } => {
                f.write_str(&public(location))?;
                sha256.map_or(Ok(()), |sha256| write!(f, "#sha256={sha256}"))
            }
            Source::Debian { package, version } => {
                write!(f, "debian:{package}")?;
                version
                    .as_ref()
                    .map_or(Ok(()), |version| write!(f, " {version}"))
            }
            Source::Git {
                repository,
                reference,
            } => write!(f, "git+{}#{reference}", public(repository)),
            Source::Release { selector } => write!(f, "{selector}"),
        }
    }
}

fn without_credentials<S: Serializer>(url: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&public(url))
}

/// Whether a git reference is the whole id of a commit, which never names another one.
pub fn is_commit(reference: &str) -> bool {
    reference.len() == 40 && reference.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The git tree object id of the files that get compiled: 40 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TreeId([u8; 20]);

/// A SHA-256: 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256([u8; 32]);

/// Not the right number of hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {digits} hexadecimal digits")]
pub struct InvalidDigest {
    text: String,
    digits: usize,
}

macro_rules! digest {
    ($name:ident, $bytes:literal) => {
        impl $name {
            /// From raw bytes.
            pub fn from_bytes(bytes: [u8; $bytes]) -> Self {
                $name(bytes)
            }
            /// The raw bytes.
            pub fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }
        }
        impl FromStr for $name {
            type Err = InvalidDigest;
            fn from_str(text: &str) -> Result<Self, InvalidDigest> {
                let invalid = || InvalidDigest {
                    text: text.to_owned(),
                    digits: $bytes * 2,
                };
                if text.len() != $bytes * 2 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    return Err(invalid());
                }
                let mut bytes = [0; $bytes];
                for (index, byte) in bytes.iter_mut().enumerate() {
                    *byte = u8::from_str_radix(&text[index * 2..index * 2 + 2], 16)
                        .map_err(|_| invalid())?;
                }
                Ok($name(bytes))
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
        impl TryFrom<String> for $name {
            type Error = InvalidDigest;
            fn try_from(text: String) -> Result<Self, InvalidDigest> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(digest: $name) -> String {
                digest.to_string()
            }
        }
    };
}

digest!(TreeId, 20);
digest!(Sha256, 32);

impl Sha256 {
    /// The SHA-256 of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Sha256(sha2::Sha256::digest(bytes).into())
    }
}

//! Store paths and how they follow from content (Nix manual, "Store path specification").

use std::fmt;
use std::str::FromStr;

use camino::Utf8PathBuf;
use nix_derivation::{CAHash, StoreDir as Directory, StorePath as Path, store_path};
use serde::{Deserialize, Serialize};

use super::hash::{Hash, to_base32};
use crate::source::Sha256;

/// Why a text is no store path, or no path follows from a content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not `<32 digits>-<name>`, in the right directory.
    #[error("`{text}` is not a store path: {reason}")]
    Path {
        /// The text.
        text: String,
        /// Why.
        reason: String,
    },
    /// A store directory must be absolute, without `.`, `..` or a trailing slash.
    #[error("`{0}` is not a store directory")]
    Directory(String),
    /// Neither `fixed:…` nor `text:…`.
    #[error("`{text}` is not a content address: {reason}")]
    ContentAddress {
        /// The text.
        text: String,
        /// Why.
        reason: String,
    },
    /// A store object of this name and content cannot be.
    #[error("no store path can be made for `{name}`: {reason}")]
    Name {
        /// The name.
        name: String,
        /// Why.
        reason: String,
    },
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Path { .. } => Some(
                "a store path is the store's directory, 32 digits, `-` and a name, as in /nix/store/<digits>-linux-6.12"
                    .to_owned(),
            ),
            Error::Directory(_) => Some("write it as an absolute path, as in /nix/store".to_owned()),
            Error::Name { .. } => Some(
                "a name has 1 to 211 characters: letters, digits and `+-._?=`".to_owned(),
            ),
            Error::ContentAddress { .. } => None,
        }
    }
}

/// The name of a store object: 32 digits of nixbase32, `-`, a name; without its directory.
///
/// `FromStr` and `Display` are that text; [`StoreDir`] adds and takes off the directory.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StorePath(pub(super) Path);

impl StorePath {
    /// The 32 digits: what a binary cache files it under.
    pub fn digits(&self) -> String {
        to_base32(self.0.digest())
    }

    /// What follows the digits.
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// Whether it names a derivation.
    pub fn is_derivation(&self) -> bool {
        self.0.is_derivation()
    }
}

impl fmt::Display for StorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_basename())
    }
}

impl fmt::Debug for StorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StorePath({self})")
    }
}

impl FromStr for StorePath {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Path::from_basename(text.as_bytes())
            .map(StorePath)
            .map_err(|error| Error::Path {
                text: text.to_owned(),
                reason: error.to_string(),
            })
    }
}

impl TryFrom<String> for StorePath {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<StorePath> for String {
    fn from(path: StorePath) -> String {
        path.to_string()
    }
}

/// How the content of a store object is hashed to name it: what Nix writes in the `ca`
/// field, such as `fixed:r:sha256:…`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContentAddress(pub(super) CAHash);

impl ContentAddress {
    /// One file without the executable bit, by the hash of its bytes.
    pub fn flat(hash: impl Into<Hash>) -> Self {
        ContentAddress(CAHash::Flat(hash.into().0))
    }

    /// Anything, by the hash of its archive.
    pub fn recursive(hash: impl Into<Hash>) -> Self {
        ContentAddress(CAHash::Nar(hash.into().0))
    }

    /// One file that may refer to other store objects; derivations and `builtins.toFile`.
    pub fn text(sha256: Sha256) -> Self {
        ContentAddress(CAHash::Text(*sha256.as_bytes()))
    }

    /// Whether the hash is that of an archive (NAR).
    pub fn is_recursive(&self) -> bool {
        matches!(self.0, CAHash::Nar(_))
    }

    /// The hash.
    pub fn hash(&self) -> Hash {
        Hash(self.0.hash())
    }

    /// The method and algorithm without the hash, as the worker protocol has them:
    /// `text:sha256`, `fixed:sha256`, `fixed:r:sha256`.
    pub fn method(&self) -> String {
        let text = self.to_string();
        match text.rsplit_once(':') {
            Some((method, _)) => method.to_owned(),
            None => text,
        }
    }
}

impl fmt::Display for ContentAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_nix_string())
    }
}

impl FromStr for ContentAddress {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        CAHash::parse(text)
            .map(ContentAddress)
            .map_err(|error| Error::ContentAddress {
                text: text.to_owned(),
                reason: error.to_string(),
            })
    }
}

impl TryFrom<String> for ContentAddress {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<ContentAddress> for String {
    fn from(address: ContentAddress) -> String {
        address.to_string()
    }
}

/// The directory that store paths lie in, as the store itself knows it; it is hashed into
/// every path. `/nix/store` by default.
///
/// ```
/// use kernelkit::nix::store_path::StoreDir;
///
/// let store = StoreDir::default();
/// let path = store.parse("/nix/store/3wbl7d4qnjwq8dlgkz0hmv63bj02p8lb-config")?;
/// assert_eq!(path.name(), "config");
/// assert_eq!(store.join(&path), "/nix/store/3wbl7d4qnjwq8dlgkz0hmv63bj02p8lb-config");
/// # Ok::<(), kernelkit::nix::store_path::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreDir(pub(super) Directory);

impl StoreDir {
    /// The path with its directory, as text.
    pub fn display(&self, path: &StorePath) -> String {
        self.0.render_path(&path.0)
    }

    /// The path with its directory.
    pub fn join(&self, path: &StorePath) -> Utf8PathBuf {
        self.display(path).into()
    }

    /// A store path directly in this directory; files inside of it are not accepted.
    pub fn parse(&self, text: &str) -> Result<StorePath, Error> {
        self.0
            .parse_path(text.as_bytes())
            .map(StorePath)
            .map_err(|error| Error::Path {
                text: text.to_owned(),
                reason: error.to_string(),
            })
    }

    /// Where an object of this name and content lies.
    ///
    /// # Errors
    /// When the name breaks the rules, or when references are given for a content address
    /// that admits none (everything but text and recursive SHA-256).
    pub fn content_path<'a>(
        &self,
        name: &str,
        content: &ContentAddress,
        references: impl IntoIterator<Item = &'a StorePath>,
    ) -> Result<StorePath, Error> {
        let references = references.into_iter().map(|path| &path.0);
        self.0
            .build_ca_path(name, &content.0, references, false)
            .map(StorePath)
            .map_err(|error| invalid_name(name, &error))
    }

    /// Where `builtins.toFile name text` lies.
    pub fn text_path<'a>(
        &self,
        name: &str,
        text: &[u8],
        references: impl IntoIterator<Item = &'a StorePath>,
    ) -> Result<StorePath, Error> {
        self.content_path(name, &ContentAddress::text(Sha256::of(text)), references)
    }

    /// Where a tree with this archive hash lies when it is added as a source, as by
    /// `nix-store --add`.
    pub fn source_path(&self, name: &str, archive: Sha256) -> Result<StorePath, Error> {
        self.content_path(name, &ContentAddress::recursive(archive), [])
    }

    /// Where a fetched file with this hash lies, as by `nix-store --add-fixed sha256`.
    pub fn file_path(&self, name: &str, file: Sha256) -> Result<StorePath, Error> {
        self.content_path(name, &ContentAddress::flat(file), [])
    }
}

fn invalid_name(name: &str, error: &store_path::Error) -> Error {
    Error::Name {
        name: name.to_owned(),
        reason: error.to_string(),
    }
}

impl fmt::Display for StoreDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl FromStr for StoreDir {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Directory::new(text)
            .map(StoreDir)
            .map_err(|_| Error::Directory(text.to_owned()))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::nix::nar;

    /// Names that every supported Nix accepts.
    pub(in crate::nix) fn names() -> impl Strategy<Value = String> {
        "[a-zA-Z0-9+_=?][a-zA-Z0-9+._?=-]{0,40}"
    }

    pub(in crate::nix) fn store_paths() -> impl Strategy<Value = StorePath> {
        (any::<[u8; 20]>(), names())
            .prop_map(|(digest, name)| StorePath(Path::from_parts(digest, &name).unwrap()))
    }

    #[test]
    fn paths_that_nix_has_made_are_made_again() {
        // What Nix 2.8 answers to `builtins.toFile`, `nix-store --add-fixed sha256` and
        // `nix-store --add` of the text `hello`.
        let store = StoreDir::default();
        let hello = Sha256::of(b"hello");
        let rows = [
            (store.text_path("a", b"hello", []), TEXT),
            (store.file_path("a", hello), FLAT),
            (
                store.source_path("a", nar::of_file(b"hello", false).sha256),
                SOURCE,
            ),
        ];
        for (path, expected) in rows {
            assert_eq!(store.display(&path.unwrap()), expected);
        }
    }

    const TEXT: &str = "/nix/store/vmg5na96ajnh1v932j9jdzfc3022vbh9-a";
    const SOURCE: &str = "/nix/store/gw80lp9prdc4zdcvv2pw1dvaimr90gjs-a";
    const FLAT: &str = "/nix/store/yn0imyg01yh7hbz09bq44znz672ny7a8-a";

    #[test]
    fn what_is_no_store_path_is_refused() {
        let store = StoreDir::default();
        let rows = [
            "/nix/store",
            "/nix/store/",
            "/nix/store/3wbl7d4qnjwq8dlgkz0hmv63bj02p8lb",
            "/nix/store/3wbl7d4qnjwq8dlgkz0hmv63bj02p8lb-",
            "/nix/store/3wbl7d4qnjwq8dlgkz0hmv63bj02p8lb-a/b",
            "/nix/store/3wbl7d4qnjwq8dlgkz0hmv63bj02p8lb-a b",
            "/nix/store/3wbl7d4qnjwq8dlgkz0hmv63bj02p8l-a",
            "/nix/store/ewbl7d4qnjwq8dlgkz0hmv63bj02p8lb-a",
            "/gnu/store/3wbl7d4qnjwq8dlgkz0hmv63bj02p8lb-a",
            "3wbl7d4qnjwq8dlgkz0hmv63bj02p8lb-a",
        ];
        for text in rows {
            let error = store.parse(text).unwrap_err();
            assert!(error.to_string().contains(text));
            assert!(error.hint().is_some());
        }
    }

    #[test]
    fn names_have_at_most_211_characters() {
        let store = StoreDir::default();
        assert!(store.text_path(&"a".repeat(211), b"", []).is_ok());
        for name in [
            "a".repeat(212),
            String::new(),
            "ä".to_owned(),
            "a/b".to_owned(),
        ] {
            let error = store.text_path(&name, b"", []).unwrap_err();
            assert!(error.hint().unwrap().contains("211"), "{name}");
        }
    }

    #[test]
    fn the_directory_is_part_of_the_path() {
        let other: StoreDir = "/tmp/store".parse().unwrap();
        let here = StoreDir::default().text_path("a", b"", []).unwrap();
        assert_ne!(other.text_path("a", b"", []).unwrap(), here);
        for text in ["", "nix/store", "/nix/store/", "/nix/../store"] {
            assert!(text.parse::<StoreDir>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_method_is_an_address_without_its_hash() {
        let hash = Sha256::of(b"");
        let rows = [
            (ContentAddress::flat(hash), "fixed:sha256"),
            (ContentAddress::recursive(hash), "fixed:r:sha256"),
            (ContentAddress::text(hash), "text:sha256"),
        ];
        for (address, method) in rows {
            assert_eq!(address.method(), method);
            assert_eq!(
                address.to_string().parse::<ContentAddress>().unwrap(),
                address
            );
        }
        assert!("source:sha256:0".parse::<ContentAddress>().is_err());
    }

    proptest! {
        #[test]
        fn store_paths_read_what_they_write(path in store_paths()) {
            prop_assert_eq!(&path.to_string().parse::<StorePath>().unwrap(), &path);
            let store = StoreDir::default();
            prop_assert_eq!(&store.parse(&store.display(&path)).unwrap(), &path);
            prop_assert_eq!(path.to_string(), format!("{}-{}", path.digits(), path.name()));
        }

        #[test]
        fn the_order_of_references_does_not_matter(
            mut references in proptest::collection::vec(store_paths(), 0..6),
            text: Vec<u8>,
        ) {
            let store = StoreDir::default();
            let path = store.text_path("a", &text, &references).unwrap();
            references.reverse();
            prop_assert_eq!(store.text_path("a", &text, &references).unwrap(), path);
        }
    }
}

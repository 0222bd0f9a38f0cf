//! The files of a binary cache: `<digits>.narinfo`, `nix-cache-info`, and the signatures
//! that make a path of somebody else's store acceptable (Nix manual, "Serving a Nix store"
//! and "HTTP binary cache protocol").

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signer as _, SigningKey};
use nix_derivation::NixHash;
use nix_narinfo::{self as nix, NixSignature, TrustedPublicKey};

use super::hash::Hash;
use super::nar::NarHash;
use super::store_path::{ContentAddress, StoreDir, StorePath};
use crate::source::Sha256;

/// Why a file of a cache or a key cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a `.narinfo`.
    #[error("not a .narinfo file: {0}")]
    NarInfo(String),
    /// It cannot be written: a field would break the format.
    #[error("the .narinfo of {path} cannot be written: {reason}")]
    Unwritable {
        /// What it describes.
        path: StorePath,
        /// Which field, and why.
        reason: String,
    },
    /// Not `<name>:<base64>`.
    #[error("not a {what}: {reason}")]
    Key {
        /// `secret key`, `public key` or `signature`.
        what: &'static str,
        /// Why. A secret key's text is never in here.
        reason: String,
    },
    /// Not a `nix-cache-info`.
    #[error("not a nix-cache-info: `{line}`")]
    CacheInfo {
        /// The line.
        line: String,
    },
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::NarInfo(_) | Error::CacheInfo { .. } => Some(
                "is this the address of a Nix binary cache? It has a file `nix-cache-info` at its top"
                    .to_owned(),
            ),
            Error::Key { .. } => Some(
                "keys are written `<name>:<base64>`; `nix-store --generate-binary-cache-key NAME SECRET PUBLIC` makes a pair"
                    .to_owned(),
            ),
            Error::Unwritable { .. } => None,
        }
    }
}

fn key_error(what: &'static str) -> impl Fn(&dyn fmt::Display) -> Error {
    move |reason| Error::Key {
        what,
        reason: reason.to_string(),
    }
}

/// A signature with the name of its key: `<name>:<base64>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signature(NixSignature);

impl Signature {
    /// The name of the key that made it.
    pub fn key_name(&self) -> &str {
        &self.0.key_name
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Signature {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        NixSignature::parse(text)
            .map(Signature)
            .map_err(|error| key_error("signature")(&error))
    }
}

/// A key that signatures are checked with, as in the setting `trusted-public-keys`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(TrustedPublicKey);

impl PublicKey {
    /// Such as `cache.example.org-1`.
    pub fn name(&self) -> &str {
        &self.0.name
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoded = BASE64.encode(self.0.key.as_bytes());
        write!(f, "{}:{encoded}", self.0.name)
    }
}

impl FromStr for PublicKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        TrustedPublicKey::parse(text.trim())
            .map(PublicKey)
            .map_err(|error| key_error("public key")(&error))
    }
}

/// A key that signs. Its text is not shown by `Debug`; [`SecretKey::expose`] gives it.
#[derive(Clone)]
pub struct SecretKey {
    name: String,
    key: SigningKey,
}

impl SecretKey {
    /// The key that follows from 32 random bytes.
    pub fn from_seed(name: impl Into<String>, seed: [u8; 32]) -> Self {
        SecretKey {
            name: name.into(),
            key: SigningKey::from_bytes(&seed),
        }
    }

    /// The key that checks what this one signs.
    pub fn public(&self) -> PublicKey {
        PublicKey(TrustedPublicKey {
            name: self.name.clone(),
            key: self.key.verifying_key(),
        })
    }

    /// The text of a secret key file.
    pub fn expose(&self) -> String {
        format!(
            "{}:{}",
            self.name,
            BASE64.encode(self.key.to_keypair_bytes())
        )
    }

    /// Signs a text, such as [`NarInfo::fingerprint`].
    pub fn sign(&self, text: &str) -> Signature {
        let signature = self.key.sign(text.as_bytes());
        Signature(NixSignature {
            key_name: self.name.clone(),
            encoded: BASE64.encode(signature.to_bytes()),
        })
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.name)
    }
}

impl FromStr for SecretKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let error = |reason: &dyn fmt::Display| key_error("secret key")(reason);
        let (name, encoded) = text
            .trim()
            .split_once(':')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| error(&"it has no name"))?;
        let bytes: [u8; 64] = BASE64
            .decode(encoded)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| error(&"it is not the base64 of 64 bytes"))?;
        let key = SigningKey::from_keypair_bytes(&bytes)
            .map_err(|_| error(&"its two halves do not belong together"))?;
        Ok(SecretKey {
            name: name.to_owned(),
            key,
        })
    }
}

/// What a cache, or a store, knows of a store object: a `.narinfo` file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NarInfo {
    /// What it describes.
    pub path: StorePath,
    /// Where its archive is, relative to the cache.
    pub url: String,
    /// How the archive is compressed: `none`, `xz`, `zstd`, `bzip2` …
    pub compression: String,
    /// Hash and size of the compressed archive.
    pub file: Option<(Hash, u64)>,
    /// Hash and size of the archive.
    pub nar: NarHash,
    /// What it refers to; may be itself.
    pub references: BTreeSet<StorePath>,
    /// The derivation that it was built from.
    pub deriver: Option<StorePath>,
    /// Who vouches for it.
    pub signatures: Vec<Signature>,
    /// How its path follows from its content; such a path needs no signature.
    pub content: Option<ContentAddress>,
}

impl NarInfo {
    /// An uncompressed archive under the usual address, without references.
    pub fn new(path: StorePath, nar: NarHash) -> Self {
        let digits = Hash::from(nar.sha256).to_base32();
        NarInfo {
            path,
            url: format!("nar/{digits}.nar"),
            compression: "none".to_owned(),
            file: Some((nar.sha256.into(), nar.size)),
            nar,
            references: BTreeSet::new(),
            deriver: None,
            signatures: Vec::new(),
            content: None,
        }
    }

    /// Its name in the cache.
    pub fn file_name(&self) -> String {
        format!("{}.narinfo", self.path.digits())
    }

    /// Reads a `.narinfo`. Fields that this version does not know are left out.
    pub fn parse(bytes: &[u8], store: &StoreDir) -> Result<Self, Error> {
        let wrong = |reason: &dyn fmt::Display| Error::NarInfo(reason.to_string());
        let info = nix::NarInfo::parse_in(&store.0, bytes).map_err(|error| wrong(&error))?;
        let NixHash::Sha256(sha256) = info.nar_hash() else {
            return Err(wrong(&"NarHash is not a SHA-256"));
        };
        Ok(NarInfo {
            path: StorePath(info.store_path().clone()),
            url: info.url().to_owned(),
            compression: info.compression().to_string(),
            file: info.file_hash().cloned().map(Hash).zip(info.file_size()),
            nar: NarHash {
                sha256: Sha256::from_bytes(*sha256),
                size: info.nar_size(),
            },
            references: info.references().iter().cloned().map(StorePath).collect(),
            deriver: info.deriver().cloned().map(StorePath),
            signatures: info.signatures().iter().cloned().map(Signature).collect(),
            content: info.content_address().cloned().map(ContentAddress),
        })
    }

    fn inner(&self, store: &StoreDir) -> Result<nix::NarInfo, Error> {
        let (hash, size) = self.file.clone().unzip();
        nix::NarInfo::builder_in(
            store.0.clone(),
            self.path.0.clone(),
            &self.url,
            NixHash::Sha256(*self.nar.sha256.as_bytes()),
            self.nar.size,
        )
        .compression(nix::Compression::parse(&self.compression))
        .references(self.references.iter().map(|path| path.0.clone()))
        .deriver(self.deriver.as_ref().map(|path| path.0.clone()))
        .signatures(self.signatures.iter().map(|signature| signature.0.clone()))
        .content_address(self.content.as_ref().map(|content| content.0.clone()))
        .file_hash(hash.map(|Hash(hash)| hash))
        .file_size(size)
        .build()
        .map_err(|error| Error::Unwritable {
            path: self.path.clone(),
            reason: error.to_string(),
        })
    }

    /// The file, as Nix writes it.
    pub fn to_text(&self, store: &StoreDir) -> Result<String, Error> {
        let bytes = self.inner(store)?.to_canonical_bytes();
        Ok(String::from_utf8(bytes).expect("every field is text"))
    }

    /// What is signed: path, archive and references.
    pub fn fingerprint(&self, store: &StoreDir) -> String {
        let references: Vec<_> = self
            .references
            .iter()
            .map(|path| store.display(path))
            .collect();
        format!(
            "1;{};{};{};{}",
            store.display(&self.path),
            Hash::from(self.nar.sha256),
            self.nar.size,
            references.join(",")
        )
    }

    /// Adds a signature, in place of an earlier one by a key of that name.
    pub fn sign(&mut self, store: &StoreDir, key: &SecretKey) {
        let signature = key.sign(&self.fingerprint(store));
        self.signatures
            .retain(|earlier| earlier.key_name() != signature.key_name());
        self.signatures.push(signature);
    }

    /// The first of `keys` that vouches for it; `None` where none does.
    pub fn verify<'a>(&self, store: &StoreDir, keys: &'a [PublicKey]) -> Option<&'a PublicKey> {
        let fingerprint = self.fingerprint(store);
        keys.iter().find(|key| {
            self.signatures.iter().any(|signature| {
                signature
                    .0
                    .verify(fingerprint.as_bytes(), std::slice::from_ref(&key.0))
                    .unwrap_or(false)
            })
        })
    }

    /// Whether its path follows from its content, so that no signature is needed.
    pub fn is_content_addressed(&self, store: &StoreDir) -> bool {
        self.inner(store)
            .is_ok_and(|info| info.is_content_addressed(&store.0))
    }
}

/// `nix-cache-info`, the file that says that a directory is a binary cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheInfo {
    /// Of the paths in it.
    pub store_dir: StoreDir,
    /// Whether it is quick enough to be asked for every path.
    pub want_mass_query: bool,
    /// Caches with a lower number are asked first; cache.nixos.org has 40.
    pub priority: u32,
}

impl Default for CacheInfo {
    fn default() -> Self {
        CacheInfo {
            store_dir: StoreDir::default(),
            want_mass_query: false,
            priority: 50,
        }
    }
}

impl CacheInfo {
    /// Reads the file; unknown fields are left out.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wrong = |line: &str| Error::CacheInfo {
            line: line.to_owned(),
        };
        let mut info = CacheInfo::default();
        let mut fields = BTreeMap::new();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let (name, value) = line.split_once(':').ok_or_else(|| wrong(line))?;
            fields.insert(name, (value.trim(), line));
        }
        let (directory, line) = fields
            .get("StoreDir")
            .ok_or_else(|| wrong("StoreDir is missing"))?;
        info.store_dir = directory.parse().map_err(|_| wrong(line))?;
        if let Some((value, _)) = fields.get("WantMassQuery") {
            info.want_mass_query = *value == "1";
        }
        if let Some((value, line)) = fields.get("Priority") {
            info.priority = value.parse().map_err(|_| wrong(line))?;
        }
        Ok(info)
    }
}

impl fmt::Display for CacheInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "StoreDir: {}", self.store_dir)?;
        writeln!(f, "WantMassQuery: {}", u8::from(self.want_mass_query))?;
        writeln!(f, "Priority: {}", self.priority)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_set;
    use proptest::prelude::*;

    use super::*;
    use crate::nix::store_path::tests::store_paths;

    /// Made by Nix 2.8, as are the files below.
    const SECRET: &str = "test-1:S474z1goMoIYuvuFEZv1q2KeYp6IzcKEuHlNNW8osT6P4iiUG52W04VTY0qjJtQ9cHwhYkdavt2LD8rYo8TL6g==";
    const PUBLIC: &str = "test-1:j+IolBudltOFU2NKoybUPXB8IWJHWr7diw/K2KPEy+o=";
    const BUILT: &str = "\
StorePath: /nix/store/55qx4qfffz8qjkg6rvbfnfi63p08a5n7-w
URL: nar/0ibs7y5mmwd7ancrz5v02ygh9j98x0m8jdg88jlkhzmz9f90375a.nar.xz
Compression: xz
FileHash: sha256:0ibs7y5mmwd7ancrz5v02ygh9j98x0m8jdg88jlkhzmz9f90375a
FileSize: 204
NarHash: sha256:1f4557180d5vx2pvdl0sxhrkrqgs8p59s3rwnyd7ap8vkn8xb52n
NarSize: 208
References: 55qx4qfffz8qjkg6rvbfnfi63p08a5n7-w sms4nm2ljfxsa1qs30408nskzc6vgzrg-b
Deriver: 9naka7afy74rayridkxzybiid5vmqvkz-w.drv
Sig: test-1:accijwR4GK9g797nT6dWtbUhji/kTeO1j/dXLVBnWqAXdZnz0DL9IntVe95BRkjCRd8aLNj+ig/oPjmSWPF9AQ==
";
    const ADDED: &str = "\
StorePath: /nix/store/gw80lp9prdc4zdcvv2pw1dvaimr90gjs-a
URL: nar/0sg9f58l1jj88w6pdrfdpj5x9b1zrwszk84j81zvby36q9whhhqa.nar
Compression: none
FileHash: sha256:0sg9f58l1jj88w6pdrfdpj5x9b1zrwszk84j81zvby36q9whhhqa
FileSize: 120
NarHash: sha256:0sg9f58l1jj88w6pdrfdpj5x9b1zrwszk84j81zvby36q9whhhqa
NarSize: 120
References: 
Sig: test-1:n4zq+dvC4gppZi08kDQY42/opB++F8GQwcTY1QXmc7GusfQDqmXVcu+tKjuOlpBFFuMCvW7UwYOglX2ngTKXCQ==
CA: fixed:r:sha256:0sg9f58l1jj88w6pdrfdpj5x9b1zrwszk84j81zvby36q9whhhqa
";

    fn read(text: &str) -> NarInfo {
        NarInfo::parse(text.as_bytes(), &StoreDir::default()).unwrap()
    }

    #[test]
    fn nixs_files_are_read_written_signed_and_verified() {
        let store = StoreDir::default();
        let secret: SecretKey = SECRET.parse().unwrap();
        let public: PublicKey = PUBLIC.parse().unwrap();
        for (text, content_addressed) in [(BUILT, false), (ADDED, true)] {
            let mut info = read(text);
            assert_eq!(info.to_text(&store).unwrap(), text);
            assert_eq!(info.is_content_addressed(&store), content_addressed);
            let keys = [public.clone()];
            assert_eq!(info.verify(&store, &keys), Some(&public));
            info.signatures.clear();
            assert_eq!(info.verify(&store, &keys), None);
            info.sign(&store, &secret);
            info.sign(&store, &secret);
            assert_eq!(info.to_text(&store).unwrap(), text);
        }
        assert_eq!(secret.public(), public);
        assert_eq!(secret.expose(), SECRET);
        assert_eq!(public.to_string(), PUBLIC);
        assert_eq!(format!("{secret:?}"), "SecretKey(test-1)");
    }

    #[test]
    fn a_new_file_is_what_nix_writes() {
        let added = read(ADDED);
        let mut info = NarInfo::new(added.path.clone(), added.nar);
        info.content = added.content.clone();
        info.signatures = added.signatures.clone();
        assert_eq!(info, added);
        assert_eq!(info.file_name(), "gw80lp9prdc4zdcvv2pw1dvaimr90gjs.narinfo");
    }

    #[test]
    fn nobody_vouches_for_a_changed_file_or_with_another_key() {
        let store = StoreDir::default();
        let public: PublicKey = PUBLIC.parse().unwrap();
        let other = SecretKey::from_seed("other-1", [7; 32]).public();
        let same_name = SecretKey::from_seed("test-1", [7; 32]).public();
        assert_eq!(read(BUILT).verify(&store, &[other, same_name]), None);
        type Change = fn(&mut NarInfo);
        let changes: [(&str, Change); 3] = [
            ("size", |info| info.nar.size += 1),
            ("references", |info| info.references.clear()),
            ("hash", |info| info.nar.sha256 = Sha256::of(b"")),
        ];
        for (what, change) in changes {
            let mut info = read(BUILT);
            change(&mut info);
            assert_eq!(
                info.verify(&store, std::slice::from_ref(&public)),
                None,
                "{what}"
            );
        }
    }

    #[test]
    fn what_is_no_key_is_refused_and_a_secret_is_not_repeated() {
        for text in ["", "a", ":", "a:b", PUBLIC] {
            let error = text.parse::<SecretKey>().unwrap_err();
            assert!(error.hint().is_some());
            assert!(!error.to_string().contains("j+IolB"), "{error}");
        }
        for text in ["", "a", ":", "a:b", SECRET] {
            assert!(text.parse::<PublicKey>().is_err(), "{text}");
        }
        for text in ["", "a", "a:", "a:*"] {
            assert!(text.parse::<Signature>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_no_narinfo_is_refused() {
        let rows = [
            String::new(),
            "<html>".to_owned(),
            BUILT.replace("NarHash", "Hash"),
            BUILT.replace("NarSize: 208", "NarSize: x"),
            BUILT.replace("/nix/store/", "/gnu/store/"),
            BUILT.replace(
                "NarHash: sha256:1f4557180d5vx2pvdl0sxhrkrqgs8p59s3rwnyd7ap8vkn8xb52n",
                "NarHash: md5:d41d8cd98f00b204e9800998ecf8427e",
            ),
        ];
        for text in rows {
            let error = NarInfo::parse(text.as_bytes(), &StoreDir::default()).unwrap_err();
            assert!(error.hint().unwrap().contains("nix-cache-info"), "{error}");
        }
    }

    #[test]
    fn cache_infos_are_read_and_written() {
        let text = "StoreDir: /nix/store\nWantMassQuery: 1\nPriority: 30\n";
        let info = CacheInfo::parse(text).unwrap();
        assert!(info.want_mass_query);
        assert_eq!(info.to_string(), text);
        // What Nix 2.8 writes for a new cache.
        assert_eq!(
            CacheInfo::parse("StoreDir: /nix/store\n"),
            Ok(CacheInfo::default())
        );
        for text in [
            "",
            "Priority: 1\n",
            "StoreDir: x\n",
            "StoreDir: /a\nPriority: x\n",
            "<html>\n",
        ] {
            assert!(CacheInfo::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn narinfos_read_what_they_write_and_trust_only_their_key(
            path in store_paths(),
            references in btree_set(store_paths(), 0..4),
            digest: [u8; 32],
            size in 1..u64::MAX,
            deriver in proptest::option::of(store_paths()),
            seed: [u8; 32],
        ) {
            let store = StoreDir::default();
            let nar = NarHash { sha256: Sha256::from_bytes(digest), size };
            let mut info = NarInfo::new(path, nar);
            info.references = references;
            info.deriver = deriver;
            let key = SecretKey::from_seed("a-1", seed);
            info.sign(&store, &key);
            let text = info.to_text(&store).unwrap();
            let again = NarInfo::parse(text.as_bytes(), &store).unwrap();
            prop_assert_eq!(&again, &info);
            prop_assert!(again.verify(&store, &[key.public()]).is_some());
            prop_assert_eq!(key.expose().parse::<SecretKey>().unwrap().public(), key.public());
        }
    }
}

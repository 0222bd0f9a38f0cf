//! Nix archives: the one byte sequence of a tree, which names and checks store objects
//! (Nix manual, "Nix Archive (NAR) format").
//!
//! It holds names, contents, symbolic links and the executable bit; no times, owners or
//! other permissions. [`effect::nix::nar`](crate::effect::nix::nar) does it for
//! directories.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use nix_archive::nar::{Event, decode_events};

use crate::source::Sha256;

/// SHA-256 and length of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NarHash {
    /// Of all bytes.
    pub sha256: Sha256,
    /// In bytes.
    pub size: u64,
}

/// Not an archive.
#[derive(Debug, thiserror::Error)]
#[error("not a Nix archive: {reason}")]
pub struct NotAnArchive {
    reason: String,
}

/// A tree in memory.
///
/// ```
/// use kernelkit::nix::nar::Node;
///
/// let tree = Node::directory([
///     ("hello", Node::file("hello\n")),
///     ("link", Node::Link(b"hello".to_vec())),
/// ]);
/// assert_eq!(Node::parse(&tree.to_bytes())?, tree);
/// # Ok::<(), kernelkit::nix::nar::NotAnArchive>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub enum Node {
    /// A regular file.
    File {
        /// Whether its owner may run it.
        executable: bool,
        /// Its bytes.
        contents: Vec<u8>,
    },
    /// A symbolic link, with its target.
    Link(Vec<u8>),
    /// A directory. A name is not empty, `.` or `..` and has no `/` or NUL in it.
    Directory(Entries),
}

/// What a directory holds, by name.
pub type Entries = BTreeMap<Vec<u8>, Node>;

impl Node {
    /// A file that is not executable.
    pub fn file(contents: impl Into<Vec<u8>>) -> Self {
        Node::File {
            executable: false,
            contents: contents.into(),
        }
    }

    /// A directory with these entries.
    pub fn directory<N: Into<Vec<u8>>>(entries: impl IntoIterator<Item = (N, Node)>) -> Self {
        Node::Directory(
            entries
                .into_iter()
                .map(|(name, node)| (name.into(), node))
                .collect(),
        )
    }

    /// The archive.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        start(&mut bytes);
        self.append_to(&mut bytes);
        bytes
    }

    fn append_to(&self, bytes: &mut Vec<u8>) {
        match self {
            Node::File {
                executable,
                contents,
            } => {
                file_start(bytes, *executable, contents.len() as u64);
                bytes.extend_from_slice(contents);
                file_end(bytes, contents.len() as u64);
            }
            Node::Link(target) => link(bytes, target),
            Node::Directory(entries) => {
                directory_start(bytes);
                for (name, node) in entries {
                    entry_start(bytes, name);
                    node.append_to(bytes);
                    entry_end(bytes);
                }
                directory_end(bytes);
            }
        }
    }

    /// Hash and length of the archive.
    pub fn hash(&self) -> NarHash {
        let mut hasher = Hasher::default();
        hasher.update(&self.to_bytes());
        hasher.finish()
    }

    /// Reads a whole archive; names must be sorted, paddings zero, and nothing may follow.
    pub fn parse(bytes: &[u8]) -> Result<Self, NotAnArchive> {
        let mut open: Vec<(Vec<u8>, Entries)> = Vec::new();
        let mut root = None;
        decode_events(bytes, |event| {
            let (name, node) = match event {
                Event::DirectoryStart { name } => {
                    open.push((name.unwrap_or_default().to_vec(), Entries::new()));
                    return Ok(());
                }
                Event::DirectoryEnd { .. } => {
                    let (name, entries) = open.pop().expect("an end follows its start");
                    (name, Node::Directory(entries))
                }
                Event::Regular {
                    name,
                    executable,
                    contents,
                } => {
                    let contents = contents.to_vec();
                    let file = Node::File {
                        executable,
                        contents,
                    };
                    (name.unwrap_or_default().to_vec(), file)
                }
                Event::Symlink { name, target } => (
                    name.unwrap_or_default().to_vec(),
                    Node::Link(target.to_vec()),
                ),
            };
            match open.last_mut() {
                Some((_, entries)) => drop(entries.insert(name, node)),
                None => root = Some(node),
            }
            Ok(())
        })
        .map_err(|error| NotAnArchive {
            reason: error.to_string(),
        })?;
        Ok(root.expect("an archive has a root"))
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::File {
                executable,
                contents,
            } => write!(f, "File({executable}, \"{}\")", contents.escape_ascii()),
            Node::Link(target) => write!(f, "Link(\"{}\")", target.escape_ascii()),
            Node::Directory(entries) => f
                .debug_map()
                .entries(
                    entries
                        .iter()
                        .map(|(name, node)| (name.escape_ascii().to_string(), node)),
                )
                .finish(),
        }
    }
}

/// Hash and length of the archive of one file.
pub fn of_file(contents: &[u8], executable: bool) -> NarHash {
    Node::File {
        executable,
        contents: contents.to_vec(),
    }
    .hash()
}

/// Hashes an archive that comes in pieces.
#[derive(Clone, Default)]
pub struct Hasher {
    sha256: sha2::Sha256,
    size: u64,
}

impl Hasher {
    /// The next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        sha2::Digest::update(&mut self.sha256, bytes);
        self.size += bytes.len() as u64;
    }

    /// Of all bytes so far.
    pub fn finish(self) -> NarHash {
        let digest: [u8; 32] = sha2::Digest::finalize(self.sha256).into();
        NarHash {
            sha256: Sha256::from_bytes(digest),
            size: self.size,
        }
    }
}

impl io::Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A string: its length as eight bytes, its bytes, zeros up to a multiple of eight.
fn string(bytes: &mut Vec<u8>, text: &[u8]) {
    bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
    bytes.extend_from_slice(text);
    pad(bytes, text.len() as u64);
}

fn strings(bytes: &mut Vec<u8>, texts: &[&str]) {
    for text in texts {
        string(bytes, text.as_bytes());
    }
}

fn pad(bytes: &mut Vec<u8>, size: u64) {
    let zeros = (8 - size % 8) % 8;
    bytes.extend_from_slice(&[0; 8][..zeros as usize]);
}

/// What every archive starts with; a node follows.
pub(crate) fn start(bytes: &mut Vec<u8>) {
    strings(bytes, &["nix-archive-1"]);
}

/// A file up to its contents, which are `size` bytes.
pub(crate) fn file_start(bytes: &mut Vec<u8>, executable: bool, size: u64) {
    strings(bytes, &["(", "type", "regular"]);
    if executable {
        strings(bytes, &["executable", ""]);
    }
    strings(bytes, &["contents"]);
    bytes.extend_from_slice(&size.to_le_bytes());
}

/// What follows the contents of a file.
pub(crate) fn file_end(bytes: &mut Vec<u8>, size: u64) {
    pad(bytes, size);
    strings(bytes, &[")"]);
}

/// A symbolic link.
pub(crate) fn link(bytes: &mut Vec<u8>, target: &[u8]) {
    strings(bytes, &["(", "type", "symlink", "target"]);
    string(bytes, target);
    strings(bytes, &[")"]);
}

/// A directory up to its entries, which come sorted by the bytes of their names.
pub(crate) fn directory_start(bytes: &mut Vec<u8>) {
    strings(bytes, &["(", "type", "directory"]);
}

/// An entry up to its node.
pub(crate) fn entry_start(bytes: &mut Vec<u8>, name: &[u8]) {
    strings(bytes, &["entry", "(", "name"]);
    string(bytes, name);
    strings(bytes, &["node"]);
}

/// What follows the node of an entry.
pub(crate) fn entry_end(bytes: &mut Vec<u8>) {
    strings(bytes, &[")"]);
}

/// What follows the entries of a directory.
pub(crate) fn directory_end(bytes: &mut Vec<u8>) {
    strings(bytes, &[")"]);
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::*;
    use crate::nix::hash::Hash;

    /// Trees of a few levels, whose names have every byte that a name may have.
    pub(crate) fn trees() -> impl Strategy<Value = Node> {
        let byte = prop_oneof![8 => b'a'..=b'e', 1 => b'.'..=b'.', 1 => 1..=255_u8];
        let name = vec(byte, 1..5).prop_filter("a name", |name| {
            !name.contains(&b'/') && name != b"." && name != b".."
        });
        let file = (any::<bool>(), vec(any::<u8>(), 0..40)).prop_map(|(executable, contents)| {
            Node::File {
                executable,
                contents,
            }
        });
        let leaf = prop_oneof![
            4 => file,
            1 => "[a-z./]{1,20}".prop_map(|target| Node::Link(target.into_bytes())),
        ];
        leaf.prop_recursive(4, 60, 8, move |inner| {
            btree_map(name.clone(), inner, 0..8).prop_map(Node::Directory)
        })
    }

    #[test]
    fn an_archive_is_what_nix_dumps() {
        // `nix-store --dump` of a file with the contents `hello`, and its hash.
        let bytes = Node::file("hello").to_bytes();
        let text = bytes.escape_ascii().to_string();
        assert_eq!(
            text.replace(r"\x00", ""),
            r"\rnix-archive-1\x01(\x04type\x07regular\x08contents\x05hello\x01)"
        );
        let hash = of_file(b"hello", false);
        assert_eq!(hash.size, 120);
        assert_eq!(
            Hash::from(hash.sha256).to_string(),
            "sha256:0sg9f58l1jj88w6pdrfdpj5x9b1zrwszk84j81zvby36q9whhhqa"
        );
    }

    #[test]
    fn a_damaged_archive_is_refused() {
        let tree = Node::directory([("a", Node::file("x")), ("b", Node::Link(b"a".to_vec()))]);
        let good = tree.to_bytes();
        let mut trailing = good.clone();
        trailing.extend_from_slice(&[0; 8]);
        let mut padding = good.clone();
        let at = good
            .windows(8)
            .position(|bytes| bytes == b"x\0\0\0\0\0\0\0");
        padding[at.unwrap() + 7] = 1;
        let mut unsorted = good.clone();
        let at = good
            .windows(8)
            .position(|bytes| bytes == b"a\0\0\0\0\0\0\0");
        unsorted[at.unwrap()] = b'c';
        let mut slash = good.clone();
        slash[at.unwrap()] = b'/';
        for (what, bytes) in [
            ("empty", &[][..]),
            ("cut", &good[..good.len() - 1]),
            ("trailing", &trailing),
            ("padding", &padding),
            ("unsorted", &unsorted),
            ("slash", &slash),
        ] {
            assert!(Node::parse(bytes).is_err(), "{what}");
        }
    }

    proptest! {
        #[test]
        fn archives_read_what_they_write(tree in trees()) {
            let bytes = tree.to_bytes();
            prop_assert_eq!(bytes.len() % 8, 0);
            prop_assert_eq!(tree.hash().size, bytes.len() as u64);
            prop_assert_eq!(Node::parse(&bytes).unwrap(), tree);
        }
    }
}

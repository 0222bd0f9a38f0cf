//! Git object ids of files and trees, without git.
//!
//! An id here is what `git hash-object` and `git write-tree` give for the same
//! bytes in a SHA-1 repository, with no filters and no submodules. See
//! gitformat-index(5) for the order of entries and git-mktree(1) for the modes.

use sha1::{Digest as _, Sha1};

use super::TreeId;

/// What git records of a file's mode: nothing but the owner's execute bit and
/// whether it is a symbolic link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// `100644`
    Regular = 0,
    /// `100755`
    Executable = 1,
    /// `120000`; the content is the link's target.
    Symlink = 2,
}

impl Kind {
    /// A regular file by its permission bits.
    pub fn of_permissions(mode: u32) -> Self {
        if mode & 0o100 == 0 {
            Kind::Regular
        } else {
            Kind::Executable
        }
    }

    /// The inverse of `kind as u8`.
    pub fn from_byte(byte: u8) -> Option<Self> {
        [Kind::Regular, Kind::Executable, Kind::Symlink]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }

    fn octal(self) -> &'static [u8] {
        match self {
            Kind::Regular => b"100644",
            Kind::Executable => b"100755",
            Kind::Symlink => b"120000",
        }
    }
}

/// The git blob id of a file's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlobId(pub [u8; 20]);

impl BlobId {
    /// Of bytes at hand.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = BlobHasher::new(bytes.len() as u64);
        hasher.update(bytes);
        hasher.finish()
    }
}

/// Hashes a blob piece by piece; its length has to be known first, for git
/// hashes it before the content.
pub struct BlobHasher(Sha1);

impl BlobHasher {
    /// For a blob of `length` bytes.
    pub fn new(length: u64) -> Self {
        let mut hasher = Sha1::new();
        hasher.update(format!("blob {length}\0").as_bytes());
        BlobHasher(hasher)
    }

    /// The next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The id, once `length` bytes have been given.
    pub fn finish(self) -> BlobId {
        BlobId(self.0.finalize().into())
    }
}

/// One file of a tree.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Bytes, relative to the tree, with `/` between the components.
    pub path: &'a [u8],
    /// Mode.
    pub kind: Kind,
    /// Content.
    pub blob: BlobId,
}

/// The id of the tree that holds `entries`, which are sorted by the bytes of
/// their paths, each path once.
///
/// That order is git's own: a directory sorts as if its name ended in `/`.
/// Directories without files do not exist for git.
pub fn tree_id<'a>(entries: impl IntoIterator<Item = Entry<'a>>) -> TreeId {
    // The directories that are open, outermost first: how much of the current
    // path leads to each, and the entries written so far.
    let mut open: Vec<(usize, Vec<u8>)> = vec![(0, Vec::new())];
    let mut current: &[u8] = b"";
    for entry in entries {
        debug_assert!(current < entry.path, "sorted and unique");
        while let (prefix, _) = open.last().expect("the root stays open")
            && !entry.path.starts_with(&current[..*prefix])
        {
            close_last(&mut open, current);
        }
        let mut start = open.last().expect("the root stays open").0;
        while let Some(slash) = entry.path[start..].iter().position(|byte| *byte == b'/') {
            start += slash + 1;
            open.push((start, Vec::new()));
        }
        let (_, buffer) = open.last_mut().expect("the root stays open");
        write_entry(
            buffer,
            entry.kind.octal(),
            &entry.path[start..],
            &entry.blob.0,
        );
        current = entry.path;
    }
    while open.len() > 1 {
        close_last(&mut open, current);
    }
    TreeId::from_bytes(hash_tree(&open[0].1))
}

/// Hashes the innermost open directory and enters it into the one around it.
fn close_last(open: &mut Vec<(usize, Vec<u8>)>, path: &[u8]) {
    let (end, buffer) = open.pop().expect("only called below the root");
    let (start, parent) = open.last_mut().expect("the root stays open");
    write_entry(
        parent,
        b"40000",
        &path[*start..end - 1],
        &hash_tree(&buffer),
    );
}

fn write_entry(buffer: &mut Vec<u8>, mode: &[u8], name: &[u8], id: &[u8; 20]) {
    buffer.extend_from_slice(mode);
    buffer.push(b' ');
    buffer.extend_from_slice(name);
    buffer.push(0);
    buffer.extend_from_slice(id);
}

fn hash_tree(entries: &[u8]) -> [u8; 20] {
    let mut hasher = Sha1::new();
    hasher.update(format!("tree {}\0", entries.len()).as_bytes());
    hasher.update(entries);
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(files: &[(&str, Kind, &str)], expected: &str) {
        let mut files = files.to_vec();
        files.sort_by_key(|(path, ..)| path.as_bytes());
        let id = tree_id(files.iter().map(|(path, kind, content)| Entry {
            path: path.as_bytes(),
            kind: *kind,
            blob: BlobId::of(content.as_bytes()),
        }));
        assert_eq!(id.to_string(), expected);
    }

    #[test]
    fn the_empty_tree_has_gits_well_known_id() {
        check(&[], "4b825dc642cb6eb9a060e54bf8d69288fbee4904");
    }
}

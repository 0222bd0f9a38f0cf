//! The initramfs archive: cpio's `newc` format, as the kernel's own
//! `Documentation/driver-api/early-userspace/buffer-format.rst` gives it.
//!
//! Every time is the epoch and every owner is root, so that equal contents give
//! equal bytes; device nodes need no privilege, because nothing is unpacked here.

use std::collections::BTreeSet;

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

/// An archive under construction. Directories above an entry are made with it.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    entries: u32,
    directories: BTreeSet<String>,
}

impl Archive {
    /// Appends a regular file with the permission bits `mode`. `path` has no leading slash.
    ///
    /// # Panics
    /// Where `content` has 4 GiB or more: the format's sizes have 32 bits.
    pub fn file(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.parents(path);
        self.entry(path, REGULAR | mode, (0, 0), content);
    }

    /// Appends a character device that only root may open.
    pub fn character_device(&mut self, path: &str, major: u32, minor: u32) {
        self.parents(path);
        self.entry(path, CHARACTER_DEVICE | 0o600, (major, minor), &[]);
    }

    /// The finished archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn parents(&mut self, path: &str) {
        for (end, _) in path.match_indices('/') {
            let parent = &path[..end];
            if self.directories.insert(parent.to_owned()) {
                self.entry(parent, DIRECTORY | 0o755, (0, 0), &[]);
            }
        }
    }

    fn entry(&mut self, path: &str, mode: u32, (major, minor): (u32, u32), content: &[u8]) {
        let size = |length: usize| u32::try_from(length).expect("sizes in an archive have 32 bits");
        self.entries += 1;
        let fields = [
            self.entries, // inode
            mode,
            0, // owner
            0, // group
            1, // links
            0, // modification time
            size(content.len()),
            0, // the archive's own device
            0,
            major,
            minor,
            size(path.len() + 1),
            0, // checksum, unused in this format
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes
                .extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    /// Names and contents end on a multiple of four bytes from the archive's start.
    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut archive = Archive::default();
        archive.character_device("dev/console", 5, 1);
        archive.file("lib/modules/a/b.ko", 0o644, b"odd length");
        archive.file("lib/modules/a/empty", 0o644, b"");
        archive.file("init", 0o755, b"#!");
        archive.finish()
    }

    #[test]
    fn equal_contents_give_equal_bytes() {
        assert_eq!(sample(), sample());
    }

    #[test]
    fn a_header_has_six_magic_bytes_and_thirteen_numbers() {
        let bytes = sample();
        let (header, name) = bytes[..114].split_at(110);
        assert_eq!(
            std::str::from_utf8(header).unwrap(),
            concat!(
                "070701", "00000001", "000041ed", "00000000", "00000000", "00000001", "00000000",
                "00000000", "00000000", "00000000", "00000000", "00000000", "00000004", "00000000",
            )
        );
        assert_eq!(name, b"dev\0");
        assert_eq!(bytes.len() % 4, 0);
    }

    proptest::proptest! {
        #[test]
        fn the_next_header_follows_whatever_the_lengths_are(
            name in "[a-z]{1,9}",
            content in proptest::collection::vec(0u8..255, 0..9),
        ) {
            let mut archive = Archive::default();
            archive.file(&name, 0o644, &content);
            let start = archive.bytes.len();
            proptest::prop_assert_eq!(&archive.finish()[start..start + 6], b"070701");
        }
    }
}

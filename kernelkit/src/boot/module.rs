//! Which module a boot check loads, and what must be loaded before it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use camino::Utf8Path;

use crate::image::LIMIT;

/// The kernel's own do-nothing module (`CONFIG_TEST_LKM`): the best one to try.
const TEST_MODULE: &str = "test_module";

/// Directories whose modules work without a device, best first.
const DEVICELESS: [&str; 3] = ["kernel/lib/", "kernel/crypto/", "kernel/fs/"];

/// The modules of a release and what each needs: `modules.dep`, see depmod(8).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Modules {
    /// Path below the release's directory → paths of every module it needs.
    needs: BTreeMap<String, Vec<String>>,
}

impl Modules {
    /// Reads `modules.dep`: a line is `path: path path …`.
    pub fn parse(text: &str) -> Self {
        let needs = text
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(path, needed)| {
                let needed = needed.split_whitespace().map(str::to_owned).collect();
                (path.trim().to_owned(), needed)
            })
            .collect();
        Modules { needs }
    }

    /// Whether there is no module.
    pub fn is_empty(&self) -> bool {
        self.needs.is_empty()
    }

    /// Every module's path, in alphabetical order.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.needs.keys().map(String::as_str)
    }

    /// The path of the module `name`; `-` and `_` are the same in it, as for modprobe(8).
    pub fn find(&self, name: &str) -> Option<&str> {
        self.paths().find(|path| name_of(path) == name_of(name))
    }

    /// The module to try when none is named: the kernel's test module, else one that
    /// runs no test of its own when loaded, with the fewest dependencies, that is
    /// likely to need no device.
    pub fn choose(&self) -> Option<&str> {
        self.needs
            .iter()
            .min_by_key(|(path, needed)| {
                let name = name_of(path);
                let is_test = name.split('_').any(|word| {
                    matches!(word, "test" | "tests" | "kunit" | "selftest" | "benchmark")
                });
                let area = DEVICELESS.iter().position(|area| path.starts_with(area));
                (
                    name != TEST_MODULE,
                    is_test,
                    needed.len(),
                    area.unwrap_or(DEVICELESS.len()),
                )
            })
            .map(|(path, _)| path.as_str())
    }

    /// `path` after everything it needs, each once.
    ///
    /// The order is worked out from the modules' own lines, and does not rely on the
    /// order within a line. A circle, which depmod refuses, is cut somewhere.
    pub fn load_order<'a>(&'a self, path: &'a str) -> Vec<&'a str> {
        let mut order = Vec::new();
        self.visit(path, &mut BTreeSet::new(), &mut order);
        order
    }

    fn visit<'a>(&'a self, path: &'a str, seen: &mut BTreeSet<&'a str>, order: &mut Vec<&'a str>) {
        if seen.insert(path) {
            for needed in self.needs.get(path).into_iter().flatten() {
                self.visit(needed, seen, order);
            }
            order.push(path);
        }
    }
}

/// The module's name as `lsmod` shows it: no directories, no `.ko` or compression, `_` for `-`.
pub fn name_of(path: &str) -> String {
    let file = Utf8Path::new(path).file_name().unwrap_or(path);
    let stem = file.split_once(".ko").map_or(file, |(stem, _)| stem);
    stem.replace('-', "_")
}

/// The path without the ending of a compression: where the unpacked module goes.
pub fn unpacked(path: &str) -> &str {
    [".gz", ".xz", ".zst"]
        .iter()
        .find_map(|ending| path.strip_suffix(ending))
        .unwrap_or(path)
}

/// The module's own bytes, unpacked by the ending of `path`: at most [`LIMIT`] of them.
///
/// Unpacking here makes the guest independent of `CONFIG_MODULE_DECOMPRESS`; a
/// signature stays valid, because it is made before the compression.
pub fn unpack(path: &str, bytes: Vec<u8>) -> io::Result<Vec<u8>> {
    unpack_within(path, bytes, LIMIT)
}

fn unpack_within(path: &str, bytes: Vec<u8>, limit: u64) -> io::Result<Vec<u8>> {
    let packed = bytes.as_slice();
    let reader: Box<dyn Read + '_> = match path.rsplit_once('.').map(|(_, ending)| ending) {
        Some("gz") => Box::new(flate2::read::MultiGzDecoder::new(packed)),
        Some("xz") => Box::new(liblzma::read::XzDecoder::new_multi_decoder(packed)),
        Some("zst") => Box::new(zstd::stream::read::Decoder::new(packed)?),
        _ => return Ok(bytes),
    };
    let mut unpacked = Vec::new();
    reader.take(limit + 1).read_to_end(&mut unpacked)?;
    if unpacked.len() as u64 > limit {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it gives more than {} MiB", limit >> 20),
        ));
    }
    Ok(unpacked)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXT4: &str = "\
kernel/fs/ext4/ext4.ko.xz: kernel/fs/jbd2/jbd2.ko.xz kernel/fs/mbcache.ko.xz kernel/lib/crc16.ko.xz
kernel/fs/jbd2/jbd2.ko.xz: kernel/lib/crc16.ko.xz
kernel/fs/mbcache.ko.xz:
kernel/lib/crc16.ko.xz:
kernel/drivers/block/brd.ko.xz:
";

    #[test]
    fn dependencies_are_loaded_first_and_once() {
        let modules = Modules::parse(EXT4);
        let ext4 = modules.find("ext4").unwrap();
        let order: Vec<_> = modules.load_order(ext4).into_iter().map(name_of).collect();
        assert_eq!(order, ["crc16", "jbd2", "mbcache", "ext4"]);
    }

    #[test]
    fn a_circle_ends() {
        let modules = Modules::parse("a.ko: b.ko\nb.ko: a.ko\n");
        assert_eq!(modules.load_order("a.ko"), ["b.ko", "a.ko"]);
    }

    #[test]
    fn the_choice_prefers_the_test_module_then_few_dependencies_then_no_device() {
        let rows = [
            (EXT4, Some("kernel/lib/crc16.ko.xz")),
            (
                "kernel/drivers/a.ko:\nkernel/fs/b.ko:\n",
                Some("kernel/fs/b.ko"),
            ),
            (
                "kernel/lib/a.ko: kernel/lib/b.ko\nkernel/zz.ko:\n",
                Some("kernel/zz.ko"),
            ),
            (
                "kernel/lib/test_bpf.ko:\nkernel/net/z.ko:\n",
                Some("kernel/net/z.ko"),
            ),
            (
                "kernel/lib/list-test.ko:\nkernel/net/z.ko:\n",
                Some("kernel/net/z.ko"),
            ),
            (
                "kernel/a.ko:\nkernel/lib/test_module.ko:\n",
                Some("kernel/lib/test_module.ko"),
            ),
            ("", None),
        ];
        for (text, expected) in rows {
            assert_eq!(Modules::parse(text).choose(), expected, "{text}");
        }
    }

    #[test]
    fn names_ignore_directories_dashes_and_compression() {
        for path in [
            "crc-itu-t",
            "crc_itu_t",
            "kernel/lib/crc-itu-t.ko",
            "crc-itu-t.ko.zst",
        ] {
            assert_eq!(name_of(path), "crc_itu_t");
        }
    }

    #[test]
    fn every_compression_of_modules_is_unpacked() {
        use std::io::Write as _;
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(b"ELF").unwrap();
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 0);
        xz.write_all(b"ELF").unwrap();
        let rows = [
            ("a.ko", b"ELF".to_vec()),
            ("a.ko.gz", gz.finish().unwrap()),
            ("a.ko.xz", xz.finish().unwrap()),
            ("a.ko.zst", zstd::encode_all(&b"ELF"[..], 0).unwrap()),
        ];
        for (path, bytes) in rows {
            assert_eq!(unpack(path, bytes).unwrap(), b"ELF", "{path}");
            assert_eq!(unpacked(path), "a.ko");
        }
    }

    #[test]
    fn no_more_is_unpacked_than_the_limit() {
        let bomb = zstd::encode_all(vec![0; 4 << 20].as_slice(), 0).unwrap();
        let unpacked = |limit| unpack_within("a.ko.zst", bomb.clone(), limit);
        assert_eq!(unpacked(4 << 20).unwrap().len(), 4 << 20);
        let error = unpacked((4 << 20) - 1).unwrap_err();
        assert_eq!(error.to_string(), "it gives more than 3 MiB");
    }

    #[test]
    fn damaged_compression_is_an_error() {
        for path in ["a.ko.gz", "a.ko.xz", "a.ko.zst"] {
            assert!(unpack(path, b"no such thing".to_vec()).is_err(), "{path}");
        }
    }
}

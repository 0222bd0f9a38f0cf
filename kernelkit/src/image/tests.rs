use std::io::Write as _;

use proptest::prelude::*;

use super::*;

pub(crate) const RELEASE: &str = "6.12.117-tiny-0123456789ab";
const COMPILER: &str = "gcc (Debian 12.2.0-14) 12.2.0, GNU ld (GNU Binutils for Debian) 2.40";
const VERSION: &str = "#1 SMP Sun Aug 25 20:57:08 UTC 1991";

/// A kernel as the linker lays it out: code, read-only data with the banner and what only looks
/// like one, data with the names of uname(2), and another kernel in an initramfs.
pub(crate) fn kernel(release: &str) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..30_000_u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    bytes.extend(
        b"\0Linux version %s (%s)\0Linux version \0%s version %s (kernelkit@kernelkit)\n\0",
    );
    bytes.extend(banner(release).bytes().chain([0]));
    bytes.extend([0; 50_000]);
    for name in ["Linux", "(none)", release, VERSION, "x86_64", "(none)"] {
        bytes.extend(name.bytes().chain(std::iter::repeat(0)).take(65));
    }
    bytes.extend(banner("5.4.0-other").bytes());
    bytes
}

fn banner(release: &str) -> String {
    format!("Linux version {release} (kernelkit@kernelkit) ({COMPILER}) {VERSION}\n")
}

/// What the kernel's build makes of `bytes`, with the size that it appends to all but gzip.
pub(crate) fn compress(compression: Compression, bytes: &[u8]) -> Vec<u8> {
    use liblzma::stream::{LzmaOptions, Stream};
    let xz = |stream| {
        let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let mut packed = match compression {
        Compression::Gzip => {
            let level = flate2::Compression::best();
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(bytes).unwrap();
            return encoder.finish().unwrap();
        }
        Compression::Bzip2 => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Lzma => {
            xz(Stream::new_lzma_encoder(&LzmaOptions::new_preset(0).unwrap()).unwrap())
        }
        Compression::Xz => xz(Stream::new_easy_encoder(0, liblzma::stream::Check::Crc32).unwrap()),
        Compression::Lzo => lzop(bytes),
        Compression::Lz4 => {
            let mut packed = b"\x02\x21\x4c\x18".to_vec();
            for block in bytes.chunks(8 << 20) {
                let block = lz4_flex::block::compress(block);
                packed.extend(u32::try_from(block.len()).unwrap().to_le_bytes());
                packed.extend(block);
            }
            packed
        }
        Compression::Zstd => zstd::encode_all(bytes, 3).unwrap(),
    };
    packed.extend(u32::try_from(bytes.len()).unwrap().to_le_bytes());
    packed
}

/// A file of lzop 1.04 with `-9`: version, library and needed version, method, level, flags (the
/// checksum of what comes out), mode, time, name, checksum; then blocks.
fn lzop(bytes: &[u8]) -> Vec<u8> {
    let mut file = b"\x89LZO\x00\x0d\x0a\x1a\x0a".to_vec();
    file.extend(
        b"\x10\x40\x20\xa0\x09\x40\x03\x09\x03\x00\x00\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    );
    for block in bytes.chunks(256 << 10) {
        let packed = lzokay::compress::compress(block).unwrap();
        let packed = if packed.len() < block.len() {
            packed.as_slice()
        } else {
            block
        };
        for number in [block.len(), packed.len(), 0xabcd] {
            file.extend(u32::try_from(number).unwrap().to_be_bytes());
        }
        file.extend(packed);
    }
    file.extend([0; 4]);
    file
}

/// An x86 image: boot sector, two sectors of setup code with the version text, the payload.
pub(crate) fn bzimage(release: &str, payload: &[u8]) -> Vec<u8> {
    let text = format!("{release} (kernelkit@kernelkit) {VERSION}\0");
    let mut image = vec![0; 3 * 512];
    image[0x1f1] = 2;
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x206..0x208].copy_from_slice(&0x020f_u16.to_le_bytes());
    image[0x20e..0x210].copy_from_slice(&0x0140_u16.to_le_bytes());
    image[0x248..0x24c].copy_from_slice(&100_u32.to_le_bytes());
    let length = u32::try_from(payload.len()).unwrap();
    image[0x24c..0x250].copy_from_slice(&length.to_le_bytes());
    image[0x340..0x340 + text.len()].copy_from_slice(text.as_bytes());
    image.extend([0xcc; 100]);
    image.extend(payload);
    image.extend([0xcc; 100]);
    image
}

const COMPRESSIONS: [Compression; 7] = [
    Compression::Gzip,
    Compression::Bzip2,
    Compression::Lzma,
    Compression::Xz,
    Compression::Lzo,
    Compression::Lz4,
    Compression::Zstd,
];

#[track_caller]
fn check(image: &[u8], is_x86: bool, compression: Option<Compression>) {
    let facts = read(image, is_x86).unwrap_or_else(|error| panic!("{compression:?}: {error:?}"));
    assert_eq!(facts.compression, compression);
    assert_eq!(facts.differences(RELEASE), [], "{compression:?}");
    assert_eq!(facts.setup_release.is_some(), is_x86);
    let Banner {
        by, host, compiler, ..
    } = &facts.banner;
    assert_eq!([by, host], ["kernelkit", "kernelkit"]);
    assert_eq!(
        (compiler.as_str(), &*facts.banner.version),
        (COMPILER, VERSION)
    );
    let uname = facts.uname.unwrap();
    assert_eq!([&*uname.machine, &*uname.version], ["x86_64", VERSION]);
}

#[track_caller]
fn fails(image: &[u8], is_x86: bool, expected: &str) {
    use std::error::Error as _;
    let error = read(image, is_x86).unwrap_err();
    let source = error
        .source()
        .map_or(String::new(), |source| format!(": {source}"));
    assert_eq!(format!("{error}{source}"), expected);
}

#[test]
fn every_compression_of_an_x86_image_is_read() {
    for compression in COMPRESSIONS {
        let payload = compress(compression, &kernel(RELEASE));
        check(&bzimage(RELEASE, &payload), true, Some(compression));
    }
}

#[test]
fn images_without_a_setup_header_are_read_however_they_hold_the_kernel() {
    check(&kernel(RELEASE), false, None);
    for compression in COMPRESSIONS {
        let payload = compress(compression, &kernel(RELEASE));
        // `Image.gz` and its like.
        check(&payload, false, Some(compression));
        // A program that decompresses its data, with magic numbers in it that mean nothing.
        let mut stub =
            b"stub \x1f\x8b\x08 BZh91AY&SY \xfd7zXZ\x00 \x28\xb5\x2f\xfd \x02\x21\x4c\x18".to_vec();
        stub.extend(compress(Compression::Gzip, b"the kernel's configuration"));
        stub.extend(&payload);
        stub.extend([0xcc; 100]);
        check(&stub, false, Some(compression));
        // `vmlinuz.efi`
        let mut efi = b"MZ\0\0zimg".to_vec();
        efi.extend(40_u32.to_le_bytes());
        efi.extend(u32::try_from(payload.len()).unwrap().to_le_bytes());
        efi.resize(40, 0);
        efi.extend(payload);
        check(&efi, false, Some(compression));
    }
}

/// The lz4 format has nothing that marks its end, and the size that follows is a block's size too.
#[test]
fn lz4_ends_after_a_whole_block_and_after_a_part() {
    for size in [8 << 20, (8 << 20) + 1] {
        let mut bytes = kernel(RELEASE);
        bytes.resize(size, 0);
        let mut payload = compress(Compression::Lz4, &bytes);
        check(&payload, false, Some(Compression::Lz4));
        payload.extend([0xcc; 100]);
        check(&payload, false, Some(Compression::Lz4));
    }
}

#[test]
fn every_place_that_carries_another_release_is_named() {
    let said = |setup: &str, kernel: Vec<u8>| {
        let image = bzimage(setup, &compress(Compression::Gzip, &kernel));
        let differences = read(&image, true).unwrap().differences(RELEASE);
        differences
            .iter()
            .map(Difference::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        said("6.12.117-a", kernel(RELEASE)),
        ["the x86 setup header says `6.12.117-a`"]
    );
    assert_eq!(
        said(RELEASE, kernel("6.12.117-b")),
        [
            "the kernel's banner `Linux version …` says `6.12.117-b`",
            "the kernel's answer to uname(2) says `6.12.117-b`"
        ]
    );
    let mut other = banner("6.12.117-c").into_bytes();
    other.extend(kernel(RELEASE));
    assert_eq!(
        said(RELEASE, other),
        ["the kernel's banner `Linux version …` says `6.12.117-c`"]
    );
    // A release that begins as the planned one does, or is its beginning.
    let longer = format!("{RELEASE}c");
    assert_eq!(said(&longer, kernel(RELEASE)).len(), 1);
    assert_eq!(
        said(&RELEASE[..RELEASE.len() - 1], kernel(RELEASE)).len(),
        1
    );
}

#[test]
fn a_banner_between_two_pieces_is_found() {
    let banner = banner(RELEASE);
    for before in [0, 1, banner.len() / 2, banner.len() - 1, 4095, 4096, 4097] {
        let mut bytes = vec![0; compression::PIECE - before];
        bytes.extend(banner.bytes());
        for names in ["Linux", "(none)", RELEASE, VERSION, "arm64", "(none)"] {
            bytes.extend(names.bytes().chain(std::iter::repeat(0)).take(65));
        }
        let facts = read(&bytes, false).unwrap();
        assert_eq!(
            (facts.banner.release.as_str(), facts.uname.is_some()),
            (RELEASE, true)
        );
    }
}

#[test]
fn format_strings_and_parts_are_no_banner() {
    let rows = [
        "Linux version %s (%s@%s) (%s) %s",
        "Linux version 6.12",
        "Linux version 6.12 (me@here) (gcc)",
        "Linux version 6.12 (me) (gcc) #1 SMP",
        "Linux version  (me@here) (gcc) #1 SMP",
        "Linux version 6.12 and later (me@here) (gcc) #1 SMP",
        "linux version 6.12 (me@here) (gcc) #1 SMP",
    ];
    for row in rows {
        assert_eq!(Banner::parse(row), None, "{row}");
    }
    let parsed =
        Banner::parse("Linux version 6.1 (me@here) (gcc (a@b) (c) #2, ld) #1 SMP").unwrap();
    assert_eq!(
        [&*parsed.host, &*parsed.compiler],
        ["here", "gcc (a@b) (c) #2, ld"]
    );
}

#[test]
fn malformed_images_are_refused_with_a_reason() {
    let payload = compress(Compression::Gzip, &kernel(RELEASE));
    let whole = bzimage(RELEASE, &payload);
    let with = |at: usize, bytes: &[u8]| {
        let mut image = whole.clone();
        image[at..at + bytes.len()].copy_from_slice(bytes);
        image
    };
    let length = whole.len();
    let end = length + 512;
    fails(
        &[],
        true,
        "it has no x86 setup header: no `HdrS` at offset 0x202",
    );
    fails(
        &kernel(RELEASE),
        true,
        "it has no x86 setup header: no `HdrS` at offset 0x202",
    );
    fails(
        &whole[..0x24a],
        true,
        "the x86 setup header is at bytes 497 to 592, and the file has 586",
    );
    fails(
        &with(0x206, &[7, 2]),
        true,
        "its x86 setup header has version 2.07; 2.08 is the first that locates the kernel",
    );
    fails(
        &whole[..0x300],
        true,
        "the version text of the x86 setup header is at bytes 832 to 833, and the file has 768",
    );
    fails(
        &with(0x340, &[b'x'; 1100]),
        true,
        "the version text of the x86 setup header is no text",
    );
    fails(
        &with(0x340, &[0xff, 0xfe]),
        true,
        "the version text of the x86 setup header is no text",
    );
    fails(
        &with(0x248, &[0xff; 4]),
        true,
        &format!(
            "the payload of the x86 image is at bytes {} to {}, and the file has {length}",
            1536 + u64::from(u32::MAX),
            1536 + u64::from(u32::MAX) + payload.len() as u64
        ),
    );
    fails(
        &with(0x24c, &u32::MAX.to_le_bytes()),
        true,
        &format!(
            "the payload of the x86 image is at bytes 1636 to {}, and the file has {length}",
            1636 + u64::from(u32::MAX)
        ),
    );
    // Four sectors of setup code instead of two.
    fails(
        &with(0x1f1, &[0]),
        true,
        &format!(
            "the payload of the x86 image is at bytes 2660 to {}, and the file has {length}",
            end + 412
        ),
    );
    fails(
        &with(0x248, &0_u32.to_le_bytes()),
        true,
        "its payload begins with the bytes cc cc cc cc, which no known compression does",
    );
    fails(
        &bzimage(RELEASE, b""),
        true,
        "its payload begins with the bytes , which no known compression does",
    );
    fails(
        &bzimage(RELEASE, &compress(Compression::Xz, b"no kernel")),
        true,
        "no banner `Linux version …` was found in it (decompressed: xz)",
    );
    fails(
        b"nothing",
        false,
        "no banner `Linux version …` was found in it",
    );
    fails(
        b"MZ\0\0zimg\0",
        false,
        "the header of the EFI image is at bytes 0 to 16, and the file has 9",
    );
    fails(
        b"MZ\0\0zimg\xff\xff\xff\xff\xff\xff\xff\xff",
        false,
        "the payload of the EFI image is at bytes 4294967295 to 8589934590, and the file has 16",
    );
}

#[test]
fn a_truncated_or_damaged_payload_is_an_error_in_every_compression() {
    for compression in COMPRESSIONS {
        let payload = compress(compression, &kernel(RELEASE));
        for length in [16, payload.len() / 2] {
            let image = bzimage(RELEASE, &payload[..length]);
            let error = read(&image, true).unwrap_err();
            assert!(
                matches!(error, Error::Damaged { .. } | Error::NoBanner { .. }),
                "{compression}, {length}: {error:?}"
            );
            assert!(
                read(&payload[..length], false).is_err(),
                "{compression}, {length}"
            );
        }
    }
}

#[test]
fn no_more_is_decompressed_than_the_limit() {
    let mut bytes = vec![0; 3 << 20];
    bytes.extend(banner(RELEASE).bytes());
    for compression in COMPRESSIONS {
        let payload = compress(compression, &bytes);
        let images = [(bzimage(RELEASE, &payload), true), (payload, false)];
        for (image, is_x86) in images {
            let error = read_within(&image, is_x86, 2 << 20).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("its payload gives more than 2 MiB as {compression}")
            );
            assert!(
                read_within(&image, is_x86, 4 << 20).is_ok(),
                "{compression}"
            );
        }
    }
}

/// A block's size is from outside: no memory is taken for it before the file has as much.
#[test]
fn absurd_block_sizes_are_refused() {
    let mut lz4 = b"\x02\x21\x4c\x18".to_vec();
    lz4.extend([0xff; 8]);
    fails(
        &lz4,
        false,
        "its payload cannot be decompressed as lz4: a block has an impossible size",
    );
    let mut lzo = lzop(b"");
    lzo.truncate(lzo.len() - 4);
    lzo.extend([0xff; 12]);
    fails(
        &lzo,
        false,
        "its payload cannot be decompressed as lzo: a block has an impossible size",
    );
}

/// A note as linkers write it.
pub(crate) fn note(
    name: &[u8],
    kind: u32,
    description: &[u8],
    number: fn(u32) -> [u8; 4],
) -> Vec<u8> {
    let size = |bytes: &[u8]| number(u32::try_from(bytes.len()).unwrap());
    let mut bytes = [size(name), size(description), number(kind)].concat();
    for part in [name, description] {
        bytes.extend(part);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

/// A big-endian or little-endian ELF file of 64 bits with two sections and a program header.
pub(crate) fn elf(is_big: bool, kind: u32, name: &str, content: &[u8], more: &[u8]) -> Vec<u8> {
    let number: fn(u64, usize, bool) -> Vec<u8> = |value, size, is_big| match is_big {
        true => value.to_be_bytes()[8 - size..].to_vec(),
        false => value.to_le_bytes()[..size].to_vec(),
    };
    let n = |value: usize, size| number(value as u64, size, is_big);
    let names = format!("\0{name}\0");
    let start = 64 + 56;
    let mut file = [&b"\x7fELF\x02"[..], &[1 + u8::from(is_big), 1], &[0; 9]].concat();
    let sections = start + content.len() + names.len() + more.len();
    for (value, size) in [
        (2, 2),
        (62, 2),
        (1, 4),
        (0, 8),
        (64, 8),
        (sections, 8),
        (0, 4),
        (64, 2),
        (56, 2),
        (1, 2),
        (64, 2),
        (3, 2),
        (2, 2),
    ] {
        file.extend(n(value, size));
    }
    for (value, size) in [
        (4, 4),
        (4, 4),
        (start, 8),
        (0, 8),
        (0, 8),
        (content.len(), 8),
        (0, 8),
        (4, 8),
    ] {
        file.extend(n(value, size));
    }
    file.extend(content);
    file.extend(names.bytes());
    file.extend(more);
    file.extend([0; 64]);
    let section = |name: usize, kind: usize, offset: usize, length: usize| {
        [
            (name, 4),
            (kind, 4),
            (0, 8),
            (0, 8),
            (offset, 8),
            (length, 8),
            (0, 4),
            (0, 4),
            (4, 8),
            (0, 8),
        ]
        .into_iter()
        .flat_map(|(value, size)| n(value, size))
        .collect::<Vec<_>>()
    };
    file.extend(section(1, kind as usize, start, content.len()));
    file.extend(section(0, 3, start + content.len(), names.len()));
    file
}

#[test]
fn a_build_id_is_read_from_notes_of_either_byte_order_and_from_a_compressed_kernel() {
    let id: Vec<u8> = (1..=20).collect();
    let text = "0102030405060708090a0b0c0d0e0f1011121314";
    for (is_big, number) in [
        (false, u32::to_le_bytes as fn(u32) -> [u8; 4]),
        (true, u32::to_be_bytes),
    ] {
        let notes = [
            note(b"Linux\0", 3, b"another", number),
            note(b"GNU\0", 1, b"another", number),
            note(b"GNU\0", 3, &id, number),
        ]
        .concat();
        let file = elf(is_big, 7, ".notes", &notes, &kernel(RELEASE));
        assert_eq!(build_id(&*file).unwrap().unwrap().to_string(), text);
        let payload = compress(Compression::Zstd, &file);
        let facts = read(&bzimage(RELEASE, &payload), true).unwrap();
        assert_eq!(facts.build_id, Some(text.parse().unwrap()));
        let without = elf(is_big, 7, ".notes", &notes[..notes.len() - 36], b"");
        assert_eq!(build_id(&*without).unwrap(), None);
    }
    for text in ["", "0", "xy", "é", "+1", &"00".repeat(65)] {
        assert!(text.parse::<BuildId>().is_err(), "{text}");
    }
}

#[test]
fn a_modules_release_is_the_first_word_of_its_vermagic() {
    let rows: [(&[u8], Option<&str>); 5] = [
        (
            b"license=GPL\0vermagic=6.12.117-tiny SMP mod_unload \0name=a\0",
            Some("6.12.117-tiny"),
        ),
        (b"vermagic=6.12.117-tiny\0", Some("6.12.117-tiny")),
        (b"vermagic=6.12.117-tiny", Some("6.12.117-tiny")),
        (b"description=no vermagic=6.12 here\0", None),
        (b"", None),
    ];
    for (info, expected) in rows {
        let file = elf(false, 1, ".modinfo", info, b"");
        assert_eq!(module_release(&*file).unwrap().as_deref(), expected);
    }
    let elsewhere = elf(false, 1, ".rodata", b"vermagic=6.12.117-tiny\0", b"");
    assert_eq!(module_release(&*elsewhere).unwrap(), None);
    assert!(module_release(&b"no ELF file"[..]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Bytes from outside give an error or a result, and never a panic.
    #[test]
    fn damaged_files_never_panic(
        index in 0..COMPRESSIONS.len(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        keep in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let mut bytes = kernel(RELEASE).split_off(119_000);
        bytes.truncate(2_000);
        bytes.extend(banner(RELEASE).bytes());
        let payload = compress(COMPRESSIONS[index], &bytes);
        let notes = note(b"GNU\0", 3, &[7; 20], u32::to_le_bytes);
        let files = [
            bzimage(RELEASE, &payload),
            payload,
            elf(false, 7, ".modinfo", &notes, b"vermagic=6"),
        ];
        for mut file in files {
            for (at, byte) in &damage {
                // Half of the damage hits the headers.
                let length = if byte % 2 == 0 { file.len() } else { file.len().min(64) };
                let at = at.index(length);
                file[at] = *byte;
            }
            if cut {
                file.truncate(keep.index(file.len()));
            }
            for is_x86 in [false, true] {
                let _ = read_within(&file, is_x86, 4 << 20);
            }
            let _ = (build_id(&*file), module_release(&*file));
        }
    }

    #[test]
    fn random_bytes_never_panic(
        index in 0..COMPRESSIONS.len(),
        bytes in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let magic = &compress(COMPRESSIONS[index], b"")[..6];
        for file in [bytes.clone(), [magic, &bytes].concat()] {
            let _ = read_within(&file, false, 4 << 20);
            let _ = read_within(&bzimage(RELEASE, &file), true, 4 << 20);
            let _ = (build_id(&*file), module_release(&*file));
        }
    }

    #[test]
    fn a_build_id_is_written_as_it_is_read(bytes in prop::collection::vec(any::<u8>(), 1..=64)) {
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        prop_assert_eq!(text.parse::<BuildId>().unwrap().to_string(), text);
    }
}

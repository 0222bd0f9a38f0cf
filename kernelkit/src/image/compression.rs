//! The compressions that a kernel can be told to use (`CONFIG_KERNEL_*`), by their magic numbers.

use std::fmt;
use std::io::{self, Read};

/// Bytes that are decompressed at once.
pub(super) const PIECE: usize = 1 << 18;

/// Memory that a decoder of xz or lzma may take: the kernel's own tools choose dictionaries of up
/// to 128 MiB.
const MEMORY: u64 = 512 << 20;

/// A block of lz4's legacy format has this many bytes, but for the last.
const LZ4_BLOCK: usize = 8 << 20;

/// A block of lzop has no more bytes.
const LZO_BLOCK: usize = 64 << 20;

/// How a kernel is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// `CONFIG_KERNEL_GZIP`
    Gzip,
    /// `CONFIG_KERNEL_BZIP2`
    Bzip2,
    /// `CONFIG_KERNEL_LZMA`
    Lzma,
    /// `CONFIG_KERNEL_XZ`
    Xz,
    /// `CONFIG_KERNEL_LZO`, in the format of lzop(1)
    Lzo,
    /// `CONFIG_KERNEL_LZ4`, in the legacy format of lz4(1)
    Lz4,
    /// `CONFIG_KERNEL_ZSTD`
    Zstd,
}

impl Compression {
    /// Every one, with what it begins with.
    const ALL: [(Compression, &'static [u8]); 7] = [
        (Compression::Gzip, b"\x1f\x8b\x08"),
        (Compression::Bzip2, b"BZh"),
        // Properties 3, 0, 2 and a dictionary of at least 64 KiB; see also `is`.
        (Compression::Lzma, b"\x5d\x00\x00"),
        (Compression::Xz, b"\xfd7zXZ\x00"),
        (Compression::Lzo, LZOP_MAGIC),
        (Compression::Lz4, &LZ4_MAGIC),
        (Compression::Zstd, b"\x28\xb5\x2f\xfd"),
    ];

    /// By the first bytes.
    pub fn of(bytes: &[u8]) -> Option<Compression> {
        Compression::ALL
            .into_iter()
            .find(|(compression, magic)| bytes.starts_with(magic) && compression.confirms(bytes))
            .map(|(compression, _)| compression)
    }

    /// Short magic numbers are confirmed by what follows them in every file.
    fn confirms(self, bytes: &[u8]) -> bool {
        match self {
            Compression::Bzip2 => {
                bytes
                    .get(3)
                    .is_some_and(|level| (b'1'..=b'9').contains(level))
                    && bytes.get(4..10) == Some(b"1AY&SY")
            }
            // The size is unknown, or less than 4 GiB.
            Compression::Lzma => bytes.get(5..13).is_some_and(|size| {
                size == [0xff; 8] || (size[4..] == [0; 4] && size[..4] != [0; 4])
            }),
            _ => true,
        }
    }

    /// Decompresses one stream at the beginning of `bytes`. Whatever follows it is not looked at: the kernel's
    /// build appends the size to all but gzip.
    pub(super) fn reader(self, bytes: &[u8]) -> io::Result<Box<dyn Read + '_>> {
        use liblzma::stream::Stream;
        Ok(match self {
            Compression::Gzip => Box::new(flate2::bufread::GzDecoder::new(bytes)),
            Compression::Bzip2 => Box::new(bzip2::bufread::BzDecoder::new(bytes)),
            Compression::Lzma => Box::new(liblzma::bufread::XzDecoder::new_stream(
                bytes,
                Stream::new_lzma_decoder(MEMORY)?,
            )),
            Compression::Xz => Box::new(liblzma::bufread::XzDecoder::new_stream(
                bytes,
                Stream::new_stream_decoder(MEMORY, 0)?,
            )),
            Compression::Lzo => Box::new(Blocks::new(Lzop::open(bytes)?)),
            Compression::Lz4 => Box::new(Blocks::new(Lz4::open(bytes)?)),
            Compression::Zstd => {
                Box::new(zstd::stream::read::Decoder::with_buffer(bytes)?.single_frame())
            }
        })
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Compression::Gzip => "gzip",
            Compression::Bzip2 => "bzip2",
            Compression::Lzma => "lzma",
            Compression::Xz => "xz",
            Compression::Lzo => "lzo",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        })
    }
}

/// Where a compressed stream may begin in `bytes`, in order.
pub(super) fn starts(bytes: &[u8]) -> impl Iterator<Item = (usize, Compression)> {
    let mut found: Vec<_> = Compression::ALL
        .into_iter()
        .flat_map(|(compression, magic)| {
            memchr::memmem::find_iter(bytes, magic)
                .filter(move |at| compression.confirms(&bytes[*at..]))
                .map(move |at| (at, compression))
        })
        .collect();
    found.sort_by_key(|(at, _)| *at);
    found.into_iter()
}

/// A format of blocks that are decompressed one by one.
trait Format {
    /// Decompresses the next block into `block`; `false` at the end.
    fn next(&mut self, block: &mut Vec<u8>) -> io::Result<bool>;
}

/// Reads a [`Format`] as a stream.
struct Blocks<F> {
    format: F,
    block: Vec<u8>,
    position: usize,
}

impl<F> Blocks<F> {
    fn new(format: F) -> Self {
        Blocks {
            format,
            block: Vec::new(),
            position: 0,
        }
    }
}

impl<F: Format> Read for Blocks<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.position == self.block.len() {
            self.position = 0;
            if !self.format.next(&mut self.block)? {
                self.block.clear();
                return Ok(0);
            }
        }
        let mut rest = &self.block[self.position..];
        let count = rest.read(buffer)?;
        self.position += count;
        Ok(count)
    }
}

fn invalid(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

fn truncated() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "it is truncated")
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> io::Result<&'a [u8]> {
    rest.split_off(..count).ok_or_else(truncated)
}

fn take_u32(rest: &mut &[u8], from: fn([u8; 4]) -> u32) -> io::Result<u32> {
    let bytes = rest.split_off(..4).and_then(|bytes| bytes.try_into().ok());
    bytes.map(from).ok_or_else(truncated)
}

const LZ4_MAGIC: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];

/// lz4's legacy format (doc/lz4_Frame_format.md): the magic number, then blocks after their sizes,
/// little-endian. Nothing marks the end; only the last block is shorter than 8 MiB.
struct Lz4<'a> {
    rest: &'a [u8],
    /// Bytes that came out.
    total: usize,
    has_ended: bool,
}

impl<'a> Lz4<'a> {
    fn open(bytes: &'a [u8]) -> io::Result<Self> {
        Ok(Lz4 {
            rest: bytes.strip_prefix(&LZ4_MAGIC).ok_or_else(truncated)?,
            total: 0,
            has_ended: false,
        })
    }
}

impl Format for Lz4<'_> {
    fn next(&mut self, block: &mut Vec<u8>) -> io::Result<bool> {
        if self.has_ended {
            return Ok(false);
        }
        let is_first = self.total == 0;
        let size = match take_u32(&mut self.rest, u32::from_le_bytes) {
            Ok(size) => size as usize,
            Err(_) if !is_first => return Ok(false),
            Err(error) => return Err(error),
        };
        let is_possible = (1..=lz4_flex::block::get_maximum_output_size(LZ4_BLOCK)).contains(&size);
        if is_first && !is_possible {
            return Err(invalid("a block has an impossible size"));
        }
        // After a whole last block comes the size of everything, which the kernel's build appends,
        // or code.
        if !is_first && (!is_possible || size == self.total) {
            return Ok(false);
        }
        let compressed = take(&mut self.rest, size)?;
        block.resize(LZ4_BLOCK, 0);
        let count = lz4_flex::block::decompress_into(compressed, block)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        block.truncate(count);
        self.total += count;
        self.has_ended = count < LZ4_BLOCK;
        Ok(true)
    }
}

const LZOP_MAGIC: &[u8] = b"\x89LZO\x00\x0d\x0a\x1a\x0a";

/// lzop's format: a header, then blocks after their two sizes and checksums, big-endian; a size
/// of 0 ends it.
struct Lzop<'a> {
    rest: &'a [u8],
    /// Checksums of a block: one of what comes out, and one of what is compressed.
    checksums: [usize; 2],
}

impl<'a> Lzop<'a> {
    fn open(bytes: &'a [u8]) -> io::Result<Self> {
        const ADLER32: u32 = 1;
        const ADLER32_COMPRESSED: u32 = 1 << 1;
        const EXTRA_FIELD: u32 = 1 << 6;
        const CRC32: u32 = 1 << 8;
        const CRC32_COMPRESSED: u32 = 1 << 9;
        const FILTER: u32 = 1 << 11;
        /// Since then the header has a needed version, a level, and a time of 64 bits.
        const LONG_HEADER: u16 = 0x0940;
        let mut rest = bytes.strip_prefix(LZOP_MAGIC).ok_or_else(truncated)?;
        let version = take(&mut rest, 2)?;
        let version = u16::from_be_bytes([version[0], version[1]]);
        let is_long = version >= LONG_HEADER;
        // The library's version; the needed version.
        take(&mut rest, if is_long { 4 } else { 2 })?;
        // Method and level.
        take(&mut rest, if is_long { 2 } else { 1 })?;
        let flags = take_u32(&mut rest, u32::from_be_bytes)?;
        if flags & (FILTER | EXTRA_FIELD) != 0 {
            return Err(invalid("its header has fields that no kernel's has"));
        }
        // Mode and time.
        take(&mut rest, if is_long { 12 } else { 8 })?;
        let name = take(&mut rest, 1)?[0];
        take(&mut rest, usize::from(name))?;
        // The header's own checksum.
        take(&mut rest, 4)?;
        let count = |flag| usize::from(flags & flag != 0);
        Ok(Lzop {
            rest,
            checksums: [
                count(ADLER32) + count(CRC32),
                count(ADLER32_COMPRESSED) + count(CRC32_COMPRESSED),
            ],
        })
    }
}

impl Format for Lzop<'_> {
    fn next(&mut self, block: &mut Vec<u8>) -> io::Result<bool> {
        let size = take_u32(&mut self.rest, u32::from_be_bytes)? as usize;
        if size == 0 {
            return Ok(false);
        }
        let stored = take_u32(&mut self.rest, u32::from_be_bytes)? as usize;
        if size > LZO_BLOCK || stored > size || stored == 0 {
            return Err(invalid("a block has an impossible size"));
        }
        // A block that does not get smaller is stored, and has no second checksum.
        let is_compressed = stored < size;
        let [of_result, of_compressed] = self.checksums;
        let checksums = of_result + if is_compressed { of_compressed } else { 0 };
        take(&mut self.rest, 4 * checksums)?;
        let bytes = take(&mut self.rest, stored)?;
        block.clear();
        if !is_compressed {
            block.extend_from_slice(bytes);
            return Ok(true);
        }
        block.resize(size, 0);
        let count = lzokay::decompress::decompress(bytes, block)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("{error:?}")))?;
        if count != size {
            return Err(invalid("a block is shorter than it says"));
        }
        Ok(true)
    }
}

//! What a built kernel says of itself: the release in its image, build ids, the release of a module.
//!
//! A generated header tells what the next compilation will use, and the image what was compiled.
//! The places where a kernel carries its release:
//!
//! ```text
//! setup header   x86: what boot loaders and file(1) show            (Documentation/arch/x86/boot.rst)
//! banner         `Linux version …`, the first line of the log       (init/version-timestamp.c)
//! utsname        `init_uts_ns`, what uname(2) answers               (init/version-timestamp.c)
//! vermagic       of a module: what the loader compares              (.modinfo)
//! ```
//!
//! Banner and utsname are in the kernel proper, which most images hold compressed. This module
//! is pure: it reads bytes that were read elsewhere. They are not trusted: every offset is checked,
//! and no more than [`LIMIT`] bytes are decompressed, piece by piece.

use std::io::{self, Read};

mod compression;
mod elf;
mod scan;
mod setup;

pub use compression::Compression;
pub use elf::{BuildId, build_id, module_release};
pub use scan::{Banner, Uname};

use scan::Scan;
use setup::Setup;

/// Bytes that are decompressed of one image or module at most. Kernels with everything built in
/// have about 200 MiB.
pub const LIMIT: u64 = crate::limits::IMAGE.most;

/// Compressed streams that are tried in an image that does not tell where its own begins.
const ATTEMPTS: usize = 32;

/// Why an image cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An x86 image without the boot protocol's header.
    #[error("it has no x86 setup header: no `HdrS` at offset 0x202")]
    NoSetupHeader,
    /// The boot protocol is older than 2.08 of Linux 2.6.26, which cannot tell where the kernel begins.
    #[error("its x86 setup header has version {}.{:02}; 2.08 is the first that locates the kernel", version >> 8, version & 0xff)]
    OldSetupHeader {
        /// Major version in the high byte.
        version: u16,
    },
    /// Something lies outside of the file.
    #[error("{what} is at bytes {start} to {end}, and the file has {length}")]
    Outside {
        /// What lies there.
        what: &'static str,
        /// Its first byte.
        start: u64,
        /// The byte after its last.
        end: u64,
        /// Bytes of the file.
        length: usize,
    },
    /// A text of the header has no end or no UTF-8.
    #[error("{what} is no text")]
    NoText {
        /// Which.
        what: &'static str,
    },
    /// The payload begins as no known compression does.
    #[error("its payload begins with the bytes {begins}, which no known compression does")]
    UnknownCompression {
        /// In hexadecimal.
        begins: String,
    },
    /// The payload is damaged, or truncated.
    #[error("its payload cannot be decompressed as {compression}")]
    Damaged {
        /// By its magic number.
        compression: Compression,
        /// What is wrong with it.
        #[source]
        source: io::Error,
    },
    /// More comes out of it than a kernel has.
    #[error("its payload gives more than {} MiB as {compression}", limit >> 20)]
    TooLarge {
        /// By its magic number.
        compression: Compression,
        /// Bytes.
        limit: u64,
    },
    /// Nothing in it begins like a kernel's log.
    #[error("no banner `Linux version …` was found in it{}", tried(attempts))]
    NoBanner {
        /// Compressed streams that were looked into.
        attempts: Vec<Compression>,
    },
    /// Not an ELF file, or a damaged one.
    #[error("not a readable ELF file")]
    Elf(#[from] object::read::Error),
}

fn tried(attempts: &[Compression]) -> String {
    if attempts.is_empty() {
        return String::new();
    }
    let names: Vec<_> = attempts.iter().map(Compression::to_string).collect();
    format!(" (decompressed: {})", names.join(", "))
}

/// What an image says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// How the kernel is compressed in it.
    pub compression: Option<Compression>,
    /// The release in the x86 setup header.
    pub setup_release: Option<String>,
    /// The kernel's banner.
    pub banner: Banner,
    /// The answer to uname(2).
    pub uname: Option<Uname>,
    /// The build id of the kernel, where the image holds an ELF file with program headers.
    pub build_id: Option<BuildId>,
}

/// A place in a built kernel that carries another release than planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The place, such as `the x86 setup header`.
    pub place: String,
    /// The release there.
    pub found: String,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} says `{}`", self.place, self.found)
    }
}

impl Facts {
    /// The places that carry another release than `release`.
    pub fn differences(&self, release: &str) -> Vec<Difference> {
        let uname = self.uname.as_ref().map(|uname| &uname.release);
        [
            ("the x86 setup header", self.setup_release.as_ref()),
            (
                "the kernel's banner `Linux version …`",
                Some(&self.banner.release),
            ),
            ("the kernel's answer to uname(2)", uname),
        ]
        .into_iter()
        .filter_map(|(place, found)| Some((place, found?)))
        .filter(|(_, found)| *found != release)
        .map(|(place, found)| Difference {
            place: place.to_owned(),
            found: found.clone(),
        })
        .collect()
    }
}

/// Reads an image. One for x86 must have a setup header (`has_setup_header`), which locates the
/// kernel; in others the kernel may be as it is, or compressed anywhere.
pub fn read(image: &[u8], has_setup_header: bool) -> Result<Facts, Error> {
    read_within(image, has_setup_header, LIMIT)
}

fn read_within(image: &[u8], has_setup_header: bool, limit: u64) -> Result<Facts, Error> {
    if has_setup_header {
        let Setup { release, payload } = Setup::read(image)?;
        let facts = read_payload(payload, limit)?;
        return Ok(Facts {
            setup_release: Some(release),
            ..facts
        });
    }
    if let Some(payload) = efi_payload(image)? {
        return read_payload(payload, limit);
    }
    let mut scan = Scan::default();
    for piece in image.chunks(compression::PIECE) {
        scan.feed(piece);
    }
    let plain = scan.finish(None);
    // The banner survives some compressions as it is; names of uname(2) padded with NULs do not.
    if let Some(facts) = plain.as_ref().filter(|facts| facts.uname.is_some()) {
        return Ok(facts.clone());
    }
    let mut attempts = Vec::new();
    let mut left = limit;
    for (offset, compression) in compression::starts(image).take(ATTEMPTS) {
        let mut scan = Scan::default();
        let result = decompress(compression, &image[offset..], left, &mut scan);
        let facts = scan.finish(Some(compression));
        match (result, facts) {
            (Ok(_), Some(facts)) => return Ok(facts),
            // A file that begins with the magic number is what that says.
            (Err(error), _) if offset == 0 => return Err(error),
            (Err(error @ Error::TooLarge { .. }), _) => return Err(error),
            (Err(error), Some(_)) => return Err(error),
            // Bytes that look like a magic number by chance, or something else that is compressed.
            (Err(_), None) => {}
            (Ok(count), None) => {
                left = left.saturating_sub(count);
                attempts.push(compression);
            }
        }
    }
    plain.ok_or(Error::NoBanner { attempts })
}

/// Reads a payload whose place is known.
fn read_payload(payload: &[u8], limit: u64) -> Result<Facts, Error> {
    let Some(compression) = Compression::of(payload) else {
        let begins: Vec<_> = payload
            .iter()
            .take(4)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        return Err(Error::UnknownCompression {
            begins: begins.join(" "),
        });
    };
    let mut scan = Scan::default();
    decompress(compression, payload, limit, &mut scan)?;
    scan.finish(Some(compression)).ok_or(Error::NoBanner {
        attempts: vec![compression],
    })
}

/// Feeds what comes out of `bytes` to `scan`; bytes after the stream's end do not count. How many
/// came out.
fn decompress(
    compression: Compression,
    bytes: &[u8],
    limit: u64,
    scan: &mut Scan,
) -> Result<u64, Error> {
    let damaged = |source| Error::Damaged {
        compression,
        source,
    };
    let mut reader = compression.reader(bytes).map_err(damaged)?;
    let mut piece = vec![0; compression::PIECE];
    let mut total = 0;
    loop {
        let count = match reader.read(&mut piece) {
            Ok(0) => return Ok(total),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(damaged(error)),
        };
        total += count as u64;
        if total > limit {
            return Err(Error::TooLarge { compression, limit });
        }
        scan.feed(&piece[..count]);
    }
}

/// The compressed kernel of an EFI image that decompresses itself (`vmlinuz.efi`): `MZ`, `zimg` at
/// offset 4, then the payload's offset and size (drivers/firmware/efi/libstub/zboot-header.S).
fn efi_payload(image: &[u8]) -> Result<Option<&[u8]>, Error> {
    if !image.starts_with(b"MZ") || image.get(4..8) != Some(b"zimg") {
        return Ok(None);
    }
    let what = "the payload of the EFI image";
    let [start, size] = [8, 12].map(|at| u32_at(image, at).map(u64::from));
    match (start, size) {
        (Some(start), Some(size)) => within(image, what, start, size).map(Some),
        _ => Err(Error::Outside {
            what: "the header of the EFI image",
            start: 0,
            end: 16,
            length: image.len(),
        }),
    }
}

/// `size` bytes from `start` on.
fn within<'a>(
    image: &'a [u8],
    what: &'static str,
    start: u64,
    size: u64,
) -> Result<&'a [u8], Error> {
    let end = start.saturating_add(size);
    usize::try_from(start)
        .ok()
        .zip(usize::try_from(end).ok())
        .and_then(|(start, end)| image.get(start..end))
        .ok_or(Error::Outside {
            what,
            start,
            end,
            length: image.len(),
        })
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(
        bytes.get(at..at.checked_add(4)?)?.try_into().ok()?,
    ))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(
        bytes.get(at..at.checked_add(2)?)?.try_into().ok()?,
    ))
}

#[cfg(test)]
pub(crate) mod tests;

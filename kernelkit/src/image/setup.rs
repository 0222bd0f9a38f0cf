//! The setup header of an x86 image, as Documentation/arch/x86/boot.rst has it.

use super::{Error, u16_at, u32_at, within};

/// Of the setup header: the release, and the compressed kernel.
pub(super) struct Setup<'a> {
    pub(super) release: String,
    pub(super) payload: &'a [u8],
}

/// `setup_sects`, one byte: sectors of the real-mode code after the first.
const SETUP_SECTORS: usize = 0x1f1;
/// `header`: `HdrS`.
const MAGIC: usize = 0x202;
/// `version` of the boot protocol, two bytes.
const VERSION: usize = 0x206;
/// `kernel_version`, two bytes: where the version text is, less 0x200.
const KERNEL_VERSION: usize = 0x20e;
/// `payload_offset`, four bytes, from the protected-mode code on.
const PAYLOAD_OFFSET: usize = 0x248;
/// `payload_length`, four bytes.
const PAYLOAD_LENGTH: usize = 0x24c;
/// Bytes that a version text has at most: of the release 64, then user, host, date.
const TEXT_LIMIT: usize = 1024;

impl Setup<'_> {
    pub(super) fn read(image: &[u8]) -> Result<Setup<'_>, Error> {
        if image.get(MAGIC..MAGIC + 4) != Some(b"HdrS") {
            return Err(Error::NoSetupHeader);
        }
        let truncated = Error::Outside {
            what: "the x86 setup header",
            start: SETUP_SECTORS as u64,
            end: (PAYLOAD_LENGTH + 4) as u64,
            length: image.len(),
        };
        let fields = || {
            Some((
                *image.get(SETUP_SECTORS)?,
                u16_at(image, VERSION)?,
                u16_at(image, KERNEL_VERSION)?,
                u32_at(image, PAYLOAD_OFFSET)?,
                u32_at(image, PAYLOAD_LENGTH)?,
            ))
        };
        let (sectors, version, text, offset, length) = fields().ok_or(truncated)?;
        if version < 0x0208 {
            return Err(Error::OldSetupHeader { version });
        }
        let what = "the version text of the x86 setup header";
        let text = within(image, what, u64::from(text) + 0x200, 1).and_then(|_| {
            let text = &image[usize::from(text) + 0x200..];
            let text = &text[..text.len().min(TEXT_LIMIT)];
            let end = memchr::memchr(0, text).ok_or(Error::NoText { what })?;
            std::str::from_utf8(&text[..end]).map_err(|_| Error::NoText { what })
        })?;
        // For old loaders 0 means 4.
        let sectors = if sectors == 0 { 4 } else { sectors };
        let start = (u64::from(sectors) + 1) * 512 + u64::from(offset);
        Ok(Setup {
            release: text.split(' ').next().unwrap_or_default().to_owned(),
            payload: within(
                image,
                "the payload of the x86 image",
                start,
                u64::from(length),
            )?,
        })
    }
}

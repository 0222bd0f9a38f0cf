//! Build ids and the release of a module, from sections of ELF files. Nothing but the section
//! headers and these sections is read, so that a file can be of any size.

use std::fmt;
use std::str::FromStr;

use object::elf::{FileHeader32, FileHeader64, NT_GNU_BUILD_ID, SHT_NOTE, SectionType};
use object::read::elf::{FileHeader, SectionHeader as _};
use object::{Endian as _, Endianness, FileKind, ReadRef};
use serde::{Deserialize, Serialize};

use super::Error;

/// The linker's digest of what it linked (`--build-id`): 20 bytes for a kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct BuildId(Vec<u8>);

/// A text is no build id.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no build id: 2 to 128 hexadecimal digits, an even number of them")]
pub struct BuildIdError(String);

impl fmt::Display for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for BuildId {
    type Err = BuildIdError;

    fn from_str(text: &str) -> Result<Self, BuildIdError> {
        let error = || BuildIdError(text.to_owned());
        let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !digits || text.is_empty() || text.len() > 128 || !text.len().is_multiple_of(2) {
            return Err(error());
        }
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| error()))
            .collect::<Result<_, _>>()
            .map(BuildId)
    }
}

impl From<BuildId> for String {
    fn from(id: BuildId) -> String {
        id.to_string()
    }
}

impl TryFrom<String> for BuildId {
    type Error = BuildIdError;

    fn try_from(text: String) -> Result<Self, BuildIdError> {
        text.parse()
    }
}

/// The build id in the notes of a kernel, a module or a program.
pub fn build_id<'a, R: ReadRef<'a>>(file: R) -> Result<Option<BuildId>, Error> {
    let notes = sections(file, |_, kind| kind == SHT_NOTE)?;
    Ok(notes
        .into_iter()
        .find_map(|(endian, bytes)| build_id_in(endian, bytes)))
}

/// The first word of a module's `vermagic`: the release of the kernel that it is for.
pub fn module_release<'a, R: ReadRef<'a>>(file: R) -> Result<Option<String>, Error> {
    let info = sections(file, |name, _| name == b".modinfo")?;
    Ok(info.into_iter().find_map(|(_, bytes)| {
        let vermagic = bytes
            .split(|byte| *byte == 0)
            .find_map(|text| text.strip_prefix(b"vermagic="))?;
        let word = vermagic.split(|byte| *byte == b' ').next()?;
        Some(String::from_utf8_lossy(word).into_owned())
    }))
}

/// Looks through notes: name size, description size and type, four bytes each, then both, each
/// padded to four bytes.
pub(super) fn build_id_in(endian: Endianness, notes: &[u8]) -> Option<BuildId> {
    let mut rest = notes;
    loop {
        let mut number = || Some(endian.read_u32(rest.split_off(..4)?.try_into().ok()?));
        let [name_size, size, kind] = [number()?, number()?, number()?];
        let [name_size, size] = [name_size, size].map(|size| size as usize);
        let name = rest.split_off(..name_size.checked_next_multiple_of(4)?)?;
        let description = rest.get(..size)?;
        if kind == NT_GNU_BUILD_ID.0 && &name[..name_size] == b"GNU\0" && (1..=64).contains(&size) {
            return Some(BuildId(description.to_owned()));
        }
        rest.split_off(..size.checked_next_multiple_of(4)?.min(rest.len()))?;
    }
}

/// The sections for which `wanted` holds, asked with a name and a type.
fn sections<'a, R: ReadRef<'a>>(
    file: R,
    wanted: impl Fn(&[u8], SectionType) -> bool,
) -> Result<Vec<(Endianness, &'a [u8])>, object::read::Error> {
    match FileKind::parse(file)? {
        FileKind::Elf32 => sections_of::<FileHeader32<Endianness>, R>(file, wanted),
        // What is neither is no ELF file either, which this one says.
        _ => sections_of::<FileHeader64<Endianness>, R>(file, wanted),
    }
}

fn sections_of<'a, Elf: FileHeader<Endian = Endianness>, R: ReadRef<'a>>(
    file: R,
    wanted: impl Fn(&[u8], SectionType) -> bool,
) -> Result<Vec<(Endianness, &'a [u8])>, object::read::Error> {
    let header = Elf::parse(file)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, file)?;
    let mut found = Vec::new();
    for section in sections.iter() {
        if wanted(
            sections.section_name(endian, section)?,
            section.sh_type(endian),
        ) {
            found.push((endian, section.data(endian, file)?));
        }
    }
    Ok(found)
}

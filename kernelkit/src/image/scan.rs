//! Looks for a kernel's banner, names and build id in the bytes of a kernel, piece by piece.

use memchr::memmem;
use object::elf::{FileHeader32, FileHeader64, PT_NOTE};
use object::read::elf::{FileHeader, ProgramHeader as _};
use object::{Endianness, FileKind};

use super::elf::build_id_in;
use super::{Compression, Facts};

/// What the banner begins with.
const BANNER: &[u8] = b"Linux version ";

/// Bytes that a banner has at most, with its newline.
const BANNER_LIMIT: usize = 4096;

/// Bytes of a name of uname(2), with the NUL (`__NEW_UTS_LEN` + 1).
const NAME: usize = 65;

/// Bytes of notes that are looked at; kernels have some hundred.
const NOTES_LIMIT: u64 = 1 << 16;

/// `Linux version <release> (<by>@<host>) (<compiler>) <version>`, the first line of a kernel's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Banner {
    /// `UTS_RELEASE`
    pub release: String,
    /// `LINUX_COMPILE_BY`
    pub by: String,
    /// `LINUX_COMPILE_HOST`
    pub host: String,
    /// `LINUX_COMPILER`
    pub compiler: String,
    /// `UTS_VERSION`
    pub version: String,
}

impl Banner {
    /// Reads a line. A format string such as `Linux version %s` is none.
    pub fn parse(line: &str) -> Option<Banner> {
        let (release, rest) = line.strip_prefix("Linux version ")?.split_once(" (")?;
        let (by, rest) = rest.split_once('@')?;
        let (host, rest) = rest.split_once(") (")?;
        // What the compiler calls itself has parentheses of its own.
        let (compiler, version) = rest.rsplit_once(") #")?;
        let is_word = |text: &str| {
            let is_letter = |byte: u8| byte.is_ascii_graphic() && byte != b'%';
            !text.is_empty() && text.bytes().all(is_letter)
        };
        (is_word(release) && is_word(host) && !line.contains(char::is_control)).then(|| Banner {
            release: release.to_owned(),
            by: by.to_owned(),
            host: host.to_owned(),
            compiler: compiler.to_owned(),
            version: format!("#{version}"),
        })
    }
}

/// `struct new_utsname` of `init_uts_ns`: what uname(2) answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uname {
    /// `uname -r`
    pub release: String,
    /// `uname -v`
    pub version: String,
    /// `uname -m`
    pub machine: String,
}

impl Uname {
    /// Reads six names of 65 bytes: sysname, nodename, release, version, machine, domainname.
    fn parse(bytes: &[u8]) -> Option<Uname> {
        let mut names = bytes.chunks_exact(NAME).take(6).map(|field| {
            let end = memchr::memchr(0, field)?;
            let (name, padding) = field.split_at(end);
            let name = std::str::from_utf8(name).ok()?;
            let is_name = padding.iter().all(|byte| *byte == 0) && !name.contains(char::is_control);
            is_name.then(|| name.to_owned())
        });
        let (system, _node) = (names.next()??, names.next()??);
        let (release, version) = (names.next()??, names.next()??);
        let (machine, _domain) = (names.next()??, names.next()??);
        let is_whole = system == "Linux" && version.starts_with('#') && !release.is_empty();
        is_whole.then_some(Uname {
            release,
            version,
            machine,
        })
    }
}

/// Bytes that are kept, so that nothing is missed between two pieces.
const KEPT: usize = BANNER_LIMIT;

/// The first banner and the first names win: the kernel's own read-only data and data lie before
/// everything that could bring others along, such as an initramfs.
#[derive(Default)]
pub(super) struct Scan {
    window: Vec<u8>,
    /// Where the window begins.
    start: u64,
    has_begun: bool,
    banner: Option<Banner>,
    uname: Option<Uname>,
    notes: Option<Notes>,
}

/// The notes of an ELF file that is read piece by piece.
struct Notes {
    endian: Endianness,
    at: u64,
    size: u64,
    bytes: Vec<u8>,
}

impl Scan {
    pub(super) fn feed(&mut self, piece: &[u8]) {
        if !self.has_begun && !piece.is_empty() {
            self.has_begun = true;
            self.notes = find_notes(piece);
        }
        let at = self.start + self.window.len() as u64;
        if let Some(notes) = &mut self.notes {
            notes.feed(at, piece);
        }
        self.window.extend_from_slice(piece);
        let complete = self.window.len().saturating_sub(KEPT);
        self.search(complete);
        self.window.drain(..complete);
        self.start += complete as u64;
    }

    /// Looks at what begins in the first `complete` bytes of the window.
    fn search(&mut self, complete: usize) {
        if self.banner.is_none() {
            self.banner = memmem::find_iter(&self.window, BANNER)
                .take_while(|at| *at < complete)
                .find_map(|at| {
                    let line = &self.window[at..self.window.len().min(at + BANNER_LIMIT)];
                    let end = memchr::memchr2(b'\n', 0, line)?;
                    Banner::parse(std::str::from_utf8(&line[..end]).ok()?)
                });
        }
        if self.uname.is_none() {
            let mut system = [0; NAME];
            system[..5].copy_from_slice(b"Linux");
            self.uname = memmem::find_iter(&self.window, &system)
                .take_while(|at| *at < complete)
                .find_map(|at| Uname::parse(self.window.get(at..at + 6 * NAME)?));
        }
    }

    /// What was found; `None` without a banner.
    pub(super) fn finish(mut self, compression: Option<Compression>) -> Option<Facts> {
        self.search(self.window.len());
        Some(Facts {
            compression,
            setup_release: None,
            banner: self.banner?,
            uname: self.uname,
            build_id: self
                .notes
                .and_then(|notes| build_id_in(notes.endian, &notes.bytes)),
        })
    }
}

impl Notes {
    /// Keeps the part of `piece` that belongs to the notes; it begins at `at`.
    fn feed(&mut self, at: u64, piece: &[u8]) {
        let [from, to] = [self.at, self.at.saturating_add(self.size)].map(|place| {
            usize::try_from(place.saturating_sub(at)).map_or(piece.len(), |n| n.min(piece.len()))
        });
        self.bytes.extend_from_slice(&piece[from..to]);
    }
}

/// Where the first notes of the ELF file are that begins with `head`.
fn find_notes(head: &[u8]) -> Option<Notes> {
    match FileKind::parse(head).ok()? {
        FileKind::Elf32 => find_notes_in::<FileHeader32<Endianness>>(head),
        FileKind::Elf64 => find_notes_in::<FileHeader64<Endianness>>(head),
        _ => None,
    }
}

fn find_notes_in<Elf: FileHeader<Endian = Endianness>>(head: &[u8]) -> Option<Notes> {
    let header = Elf::parse(head).ok()?;
    let endian = header.endian().ok()?;
    let program_headers = header.program_headers(endian, head).ok()?;
    let notes = program_headers
        .iter()
        .find(|program| program.p_type(endian) == PT_NOTE)?;
    Some(Notes {
        endian,
        at: notes.p_offset(endian).into(),
        size: notes.p_filesz(endian).into().min(NOTES_LIMIT),
        bytes: Vec::new(),
    })
}

//! Whether a kernel's build directory fits into memory.
//!
//! Pure: [`effect::tmpfs`](crate::effect::tmpfs) looks at the machine, makes the directories and takes them
//! away again. Where a build directory lies reaches no byte of the kernel: the maps of paths see to that, and its
//! identity does not know of it.

use std::fmt;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use crate::config::{DotConfig, Value};
use crate::report::bytes;
use crate::source::Sha256;

/// Room in memory for build directories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// The directory that is for those of this user alone.
    pub dir: Utf8PathBuf,
    /// Bytes that its file system takes.
    pub free: u64,
    /// Bytes of memory for build directories and what compiles in them, all together.
    pub memory: u64,
}

impl Room {
    /// Where the build of a kernel lies whose other files are in `state`: at the same place each time, so
    /// that ccache finds its way, and at another one for every workspace.
    pub fn of(&self, state: &Utf8Path) -> Utf8PathBuf {
        let digest = Sha256::of(state.as_str().as_bytes()).to_string();
        let name = state.file_name().unwrap_or("kernel");
        self.dir.join(format!("{name}-{}", &digest[..12]))
    }
}

/// Why a build directory that was to be in memory is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Reason {
    /// There is no such directory.
    Missing {
        /// The directory.
        dir: Utf8PathBuf,
    },
    /// Its files are on a disk.
    NotInMemory {
        /// The directory.
        dir: Utf8PathBuf,
    },
    /// No program can be run from it, and a build runs some that it has compiled.
    NoExec {
        /// The directory.
        dir: Utf8PathBuf,
    },
    /// Somebody else made it, or may write into it.
    NotOurs {
        /// The directory.
        dir: Utf8PathBuf,
    },
    /// The file system is too small.
    TooSmall {
        /// The directory.
        dir: Utf8PathBuf,
        /// Bytes that the build directory will have.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// There is not enough memory.
    TooLittleMemory {
        /// Bytes that the build directory and what compiles in it will have.
        needed: u64,
        /// Bytes that may be used.
        available: u64,
    },
    /// It was tried, and what was expected was wrong.
    Filled {
        /// The directory.
        dir: Utf8PathBuf,
    },
    /// It is still needed after the build: layers for the Nix store are made of it.
    Layers,
    /// Nix builds in a directory of its own.
    Nix,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Missing { dir } => write!(f, "there is no {dir}"),
            Reason::NotInMemory { dir } => write!(f, "{dir} is no tmpfs"),
            Reason::NoExec { dir } => write!(f, "{dir} is mounted `noexec`"),
            Reason::NotOurs { dir } => write!(f, "{dir} is not this user's alone"),
            Reason::TooSmall { dir, needed, free } => write!(
                f,
                "it will have {}, and {dir} has room for {}",
                bytes(*needed),
                bytes(*free)
            ),
            Reason::TooLittleMemory { needed, available } => write!(
                f,
                "it will take {} with what compiles in it, and {} of memory may be used",
                bytes(*needed),
                bytes(*available)
            ),
            Reason::Filled { dir } => write!(f, "{dir} was full before the build was done"),
            Reason::Layers => f.write_str("what is published is made of it"),
            Reason::Nix => f.write_str("Nix builds it in a directory of its own"),
        }
    }
}

/// Where a build directory lies that is in memory if it fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In memory.
    Memory {
        /// Its parent, which is this kernel's own and gone after the build.
        dir: Utf8PathBuf,
        /// Bytes that are expected.
        size: u64,
    },
    /// Where it always is.
    Disk(Reason),
}

impl Place {
    /// Bytes of memory that its files will take.
    pub fn size(&self) -> u64 {
        match self {
            Place::Memory { size, .. } => *size,
            Place::Disk(_) => 0,
        }
    }
}

/// Decides. `size` is what the directory will have, `peak` what compiles and links beside it; both are
/// bytes.
pub fn place(room: &Room, state: &Utf8Path, size: u64, peak: u64) -> Place {
    if size > room.free {
        return Place::Disk(Reason::TooSmall {
            dir: room.dir.clone(),
            needed: size,
            free: room.free,
        });
    }
    let needed = size.saturating_add(peak);
    if needed > room.memory {
        return Place::Disk(Reason::TooLittleMemory {
            needed,
            available: room.memory,
        });
    }
    Place::Memory {
        dir: room.of(state),
        size,
    }
}

const MIB: u64 = 1 << 20;

/// What the build directory of a kernel that nobody has built here will have, in bytes: 64 MiB, half of one
/// for each symbol that is built in, one for each module, and five times all that with debug information.
/// Rather more than less, for what does not fit is built twice.
pub fn predict(config: &DotConfig) -> u64 {
    let values = || config.values().values();
    let built_in = values().filter(|value| **value == Value::Yes).count() as u64;
    let modules = values().filter(|value| **value == Value::Module).count() as u64;
    let size = 64 * MIB + built_in * MIB / 2 + modules * MIB;
    match config.is_enabled("DEBUG_INFO") {
        true => 5 * size,
        false => size,
    }
}

/// What it will have where the last one had `measured` bytes: a configuration grows.
pub fn with_margin(measured: u64) -> u64 {
    measured.saturating_add(measured / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_directory_is_in_memory_where_both_have_room() {
        let room = Room {
            dir: "/m".into(),
            free: 100,
            memory: 150,
        };
        let state = Utf8Path::new("/w/target/kernel/tiny");
        let check = |size, peak, expected: &str| {
            let said = match place(&room, state, size, peak) {
                Place::Memory { dir, size } => {
                    assert_eq!(dir, room.of(state));
                    format!("{size}")
                }
                Place::Disk(reason) => reason.to_string(),
            };
            assert_eq!(said, expected, "{size} {peak}");
        };
        check(100, 50, "100");
        check(101, 0, "it will have 101 B, and /m has room for 100 B");
        check(
            100,
            51,
            "it will take 151 B with what compiles in it, and 150 B of memory may be used",
        );
        check(
            1,
            u64::MAX,
            &format!(
                "it will take {} with what compiles in it, and 150 B of memory may be used",
                bytes(u64::MAX)
            ),
        );
    }

    #[test]
    fn every_workspace_has_a_place_of_its_own_and_keeps_it() {
        let room = Room {
            dir: "/m".into(),
            free: 0,
            memory: 0,
        };
        let of = |state: &str| room.of(state.into());
        assert_eq!(of("/a/tiny"), of("/a/tiny"));
        assert_ne!(of("/a/tiny"), of("/b/tiny"));
        assert!(of("/a/tiny").as_str().starts_with("/m/tiny-"));
    }

    #[test]
    fn more_symbols_and_debug_information_take_more_room() {
        let of = |text: &str| predict(&DotConfig::parse(text).unwrap());
        let small = of("CONFIG_A=y\n");
        assert_eq!(small, 64 * MIB + MIB / 2);
        assert_eq!(of("CONFIG_A=y\nCONFIG_B=m\n"), small + MIB);
        assert!(of("CONFIG_DEBUG_INFO=y\n") > 5 * 64 * MIB);
    }
}

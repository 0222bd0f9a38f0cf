//! The limits of what is read from outside: one table, from which every reader takes its own.
//!
//! Outside is whatever somebody else may have written: workspaces, source trees, archives,
//! mails, servers, commands of a tree. Real inputs stay far below; what is beyond a limit is
//! refused with [`Exceeded`], before it takes memory or disk space. This module reads nothing.

use std::fmt;
use std::time::Duration;

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Things of the kind that the limit names.
    Count,
    /// Seconds.
    Seconds,
}

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What is limited, as a message names it.
    pub name: &'static str,
    /// The most that is accepted, in `unit`.
    pub most: u64,
    /// What `most` counts.
    pub unit: Unit,
}

/// Something is beyond its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} {limit}", limit.name)]
pub struct Exceeded {
    /// Which one.
    pub limit: Limit,
}

impl Limit {
    const fn bytes(name: &'static str, most: u64) -> Self {
        let unit = Unit::Bytes;
        Limit { name, most, unit }
    }

    const fn count(name: &'static str, most: u64) -> Self {
        let unit = Unit::Count;
        Limit { name, most, unit }
    }

    const fn seconds(name: &'static str, most: u64) -> Self {
        let unit = Unit::Seconds;
        Limit { name, most, unit }
    }

    /// Refuses more than [`Limit::most`].
    ///
    /// # Errors
    /// [`Exceeded`].
    pub fn check(self, amount: u64) -> Result<(), Exceeded> {
        match amount <= self.most {
            true => Ok(()),
            false => Err(Exceeded { limit: self }),
        }
    }

    /// The limit as a length in memory.
    pub fn length(self) -> usize {
        usize::try_from(self.most).unwrap_or(usize::MAX)
    }

    /// A limit in seconds as a time.
    pub const fn time(self) -> Duration {
        Duration::from_secs(self.most)
    }

    /// The same limit with another amount, for tests that cannot make gigabytes.
    #[cfg(test)]
    pub(crate) const fn with(self, most: u64) -> Self {
        Limit { most, ..self }
    }
}

impl fmt::Display for Limit {
    /// `exceeds 64 MiB`, `exceeds 10000`, `exceeds 60 s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = self.most;
        match self.unit {
            Unit::Bytes => write!(f, "exceeds {}", size(most)),
            Unit::Count => write!(f, "exceeds {most}"),
            Unit::Seconds => write!(f, "exceeds {most} s"),
        }
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        _ if bytes > 0 && bytes.is_multiple_of(1 << 30) => format!("{} GiB", bytes >> 30),
        _ if bytes > 0 && bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ if bytes > 0 && bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} bytes"),
    }
}

/// A file of a workspace, of a source tree or of the user: configurations, fragments, patches,
/// Kconfig files, `Cargo.toml`, `kernel.lock`.
pub const INPUT: Limit = Limit::bytes("the size of the file", 64 << 20);
/// A file that a build made or that was written here before: images, modules, records.
pub const PRODUCT: Limit = Limit::bytes("the size of the file", 4 << 30);
/// A mailbox or a directory of mails, all of it.
pub const MAILBOX: Limit = Limit::bytes("the size of the mailbox", 256 << 20);
/// Mails of a mailbox.
pub const MAILS: Limit = Limit::count("the number of mails", 10_000);
/// The file of certificates that a kernel is to trust.
pub const CERTIFICATES: Limit = Limit::bytes("the size of the file of certificates", 1 << 20);
/// A script that stands before a compiler, or in a source, and is read for what it says.
pub const SCRIPT: Limit = Limit::bytes("the size of the script", 256 << 10);
/// Files that one glob pattern names.
pub const MATCHES: Limit = Limit::count("the number of files that the pattern matches", 10_000);
/// Names and other extension records before one member of a tar archive (`PATH_MAX` is 4096).
pub const TAR_HEADER: Limit = Limit::bytes("the size of a member's name or header", 1 << 20);
/// Members of a tar archive; Linux 6.12 has 92,000.
pub const TAR_MEMBERS: Limit = Limit::count("the number of members", 2_000_000);
/// One member of a tar archive, with the holes of a sparse one.
pub const TAR_MEMBER: Limit = Limit::bytes("the size of a member", 2 << 30);
/// All members of a tar archive, with the holes of sparse ones.
pub const TAR_TOTAL: Limit = Limit::bytes("the total size of the members", 32 << 30);
/// What a decompressor makes of an archive.
pub const UNPACKED: Limit = Limit::bytes("the decompressed size", 40 << 30);
/// What is decompressed of an image or a module.
pub const IMAGE: Limit = Limit::bytes("the decompressed size", 1 << 30);
/// What is read of the output of a `$(shell …)` in Kconfig: as much as the kernel's `conf` reads
/// (`do_shell` in `scripts/kconfig/preprocess.c`). The rest is not an error, there and here.
pub const SHELL_OUTPUT: Limit = Limit::bytes("the output of the command", 4095);
/// What is kept of the standard error of such a command.
pub const SHELL_COMPLAINT: Limit = Limit::bytes("the standard error of the command", 64 << 10);
/// How long such a command may run.
pub const SHELL_TIME: Limit = Limit::seconds("the running time of the command", 600);
/// A list or a signature that a server sends.
pub const HTTP_TEXT: Limit = Limit::bytes("the size of the answer", 64 << 20);
/// An archive that a server sends.
pub const HTTP_FILE: Limit = Limit::bytes("the size of the answer", 8 << 30);
/// Redirects that a request follows.
pub const HTTP_REDIRECTS: Limit = Limit::count("the number of redirects", 10);
/// How long a download may be slower than [`SLOWEST`].
pub const SLOW_TIME: Limit = Limit::seconds("the time for a slow transfer", 60);
/// How long a git server may take to list its references.
pub const GIT_LIST_TIME: Limit = Limit::seconds("the time for the list of references", 300);
/// A string that the Nix daemon sends.
pub const NIX_STRING: Limit = Limit::bytes("the length of a string of the Nix daemon", 64 << 20);

/// The least bytes a second of a transfer, over [`SLOW_TIME`].
pub const SLOWEST: u64 = 1024;

/// Every row.
pub const TABLE: &[Limit] = &[
    INPUT,
    PRODUCT,
    MAILBOX,
    MAILS,
    CERTIFICATES,
    SCRIPT,
    MATCHES,
    TAR_HEADER,
    TAR_MEMBERS,
    TAR_MEMBER,
    TAR_TOTAL,
    UNPACKED,
    IMAGE,
    SHELL_OUTPUT,
    SHELL_COMPLAINT,
    SHELL_TIME,
    HTTP_TEXT,
    HTTP_FILE,
    HTTP_REDIRECTS,
    SLOW_TIME,
    GIT_LIST_TIME,
    NIX_STRING,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_accepts_its_most_and_no_more() {
        for limit in TABLE {
            assert_eq!(limit.check(limit.most), Ok(()), "{limit:?}");
            let refused = limit.check(limit.most + 1).unwrap_err();
            assert!(refused.to_string().starts_with(limit.name), "{refused}");
            assert!(limit.check(u64::MAX).is_err() && limit.check(0).is_ok());
        }
    }

    #[test]
    fn a_limit_is_said_in_its_unit() {
        for (limit, expected) in [
            (INPUT, "the size of the file exceeds 64 MiB"),
            (SHELL_OUTPUT, "the output of the command exceeds 4095 bytes"),
            (MAILS, "the number of mails exceeds 10000"),
            (SLOW_TIME, "the time for a slow transfer exceeds 60 s"),
        ] {
            assert_eq!(Exceeded { limit }.to_string(), expected);
        }
    }
}

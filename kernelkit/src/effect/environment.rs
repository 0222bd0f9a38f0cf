//! The caller's environment and the machine, read once and handed on as values.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};

use super::fs;
use super::kconfig::Probes;
use super::kconfig::probe::Record;

use crate::credentials::Credentials;
use crate::root::{self, Root};
use crate::version::Mirror;

/// What kernelkit takes from the process environment. Anything not named here
/// has no influence on a build.
#[derive(Clone, Debug)]
pub struct Environment {
    /// The directory the command was started in.
    pub current_dir: Utf8PathBuf,
    /// `HOME`, or `/` when unset.
    pub home: Utf8PathBuf,
    /// `PATH`, or the POSIX default when unset.
    pub path: String,
    /// Where downloads and shared trees are kept: `KERNELKIT_CACHE_DIR`, else
    /// `$XDG_CACHE_HOME/kernelkit`, else `~/.cache/kernelkit`.
    pub cache_dir: Utf8PathBuf,
    /// Where finished builds are kept: `KERNELKIT_STORE_DIR`, else
    /// `$XDG_DATA_HOME/kernelkit/store`, else `~/.local/share/kernelkit/store`.
    pub store_dir: Utf8PathBuf,
    /// Where releases come from: `KERNELKIT_MIRROR`, else kernel.org.
    pub mirror: Mirror,
    /// Temporary files: `TMPDIR`, else `/tmp`.
    pub temp_dir: Utf8PathBuf,
    /// Files in memory: `KERNELKIT_TMPFS_DIR`, else `/dev/shm`.
    pub tmpfs_dir: Utf8PathBuf,
    /// True where `CI` is set to anything but an empty string.
    pub ci: bool,
    /// The Debian root that tools run in, instead of the machine's own `/usr`.
    pub root: Option<Root>,
    /// Variables of the flake's devShell that its tools read.
    pub shell: BTreeMap<String, String>,
    /// A directory of nixpkgs' compilers without their wrappers, the first of `path`. What runs in
    /// the build itself is then compiled by `cc`, the wrapped one.
    pub unwrapped: Option<Utf8PathBuf>,
    /// Where the output of trees' `$(shell …)` comes from.
    pub probing: Probing,
    /// The logins of URLs that the user named.
    pub credentials: Credentials,
    /// Every variable whose value is UTF-8, for the few places that pass one on by name.
    pub variables: BTreeMap<String, String>,
}

/// Where the output of a tree's `$(shell …)` comes from.
///
/// A tree's Kconfig files run commands while they are read, any that they like; so do the
/// goals of its Makefiles. Whoever only wants to look at a tree that is not trusted takes a
/// record, or nothing.
#[derive(Clone, Debug, Default)]
pub enum Probing {
    /// The commands run, unless it is known what they print.
    #[default]
    Run,
    /// From a record; a command that is not in it is an error.
    Recorded(Record),
    /// As if every command failed: symbols and their structure are right, values that hang on the
    /// tools are not.
    Nothing,
}

impl Probing {
    /// The same for one tree, with outputs kept below `cache`.
    pub fn probes<'a>(&'a self, cache: &'a Utf8Path) -> Probes<'a> {
        match self {
            Probing::Run => Probes::Run(Some(cache)),
            Probing::Recorded(record) => Probes::Recorded(record),
            Probing::Nothing => Probes::None,
        }
    }
}

/// The current directory is not UTF-8 or does not exist.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the current directory")]
pub struct Error {
    #[source]
    source: std::io::Error,
}

impl Environment {
    /// Reads the process environment.
    pub fn read() -> Result<Self, Error> {
        let current_dir = std::env::current_dir().map_err(|source| Error { source })?;
        let current_dir = Utf8PathBuf::from_path_buf(current_dir).map_err(|path| Error {
            source: std::io::Error::other(format!("{} is not UTF-8", path.display())),
        })?;
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Ok(Self::from_variables(current_dir, variables))
    }

    /// The same from given variables: what the tests and embedders use.
    pub fn from_variables(current_dir: Utf8PathBuf, variables: BTreeMap<String, String>) -> Self {
        let get = |name: &str| variables.get(name).filter(|value| !value.is_empty());
        let dir = |name: &str| get(name).map(|value| current_dir.join(value));
        let home = dir("HOME").unwrap_or_else(|| "/".into());
        let cache_dir = dir("KERNELKIT_CACHE_DIR").unwrap_or_else(|| {
            dir("XDG_CACHE_HOME")
                .unwrap_or_else(|| home.join(".cache"))
                .join("kernelkit")
        });
        let store_dir = dir("KERNELKIT_STORE_DIR").unwrap_or_else(|| {
            dir("XDG_DATA_HOME")
                .unwrap_or_else(|| home.join(".local/share"))
                .join("kernelkit/store")
        });
        let credentials = Credentials::default();
        Environment {
            path: get("PATH")
                .cloned()
                .unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".to_owned()),
            mirror: get("KERNELKIT_MIRROR").map_or_else(Mirror::default, |url| {
                Mirror::at(&credentials.learn_url(url))
            }),
            temp_dir: dir("TMPDIR").unwrap_or_else(|| "/tmp".into()),
            tmpfs_dir: dir("KERNELKIT_TMPFS_DIR").unwrap_or_else(|| "/dev/shm".into()),
            ci: get("CI").is_some(),
            probing: Probing::Run,
            current_dir,
            home,
            cache_dir,
            store_dir,
            root: None,
            shell: BTreeMap::new(),
            unwrapped: None,
            credentials,
            variables,
        }
    }

    /// The same with tools that run inside `root`.
    #[must_use]
    pub fn inside(&self, root: Root) -> Self {
        Environment {
            path: root.path(),
            root: Some(root),
            ..self.clone()
        }
    }

    /// The environment every tool is started with: `PATH`, `HOME`, `TMPDIR`, the C
    /// locale, UTC, no byte code of Python's, the root where there is one, what a devShell's
    /// compilers read, and nothing else.
    pub fn tool_variables(&self) -> BTreeMap<String, String> {
        [
            ("HOME", self.home.as_str()),
            ("LC_ALL", "C"),
            ("PATH", self.path.as_str()),
            // The kernel's Python scripts lie in trees that are shared and never written to.
            ("PYTHONDONTWRITEBYTECODE", "1"),
            ("TMPDIR", self.temp_dir.as_str()),
            ("TZ", "UTC"),
        ]
        .into_iter()
        .chain(
            self.root
                .as_ref()
                .map(|root| (root::VARIABLE, root.dir().as_str())),
        )
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .chain(self.shell.clone())
        .collect()
    }
}

/// Cores this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Memory of the machine, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// All of it.
    pub total: u64,
    /// What can be had without swapping.
    pub available: u64,
}

/// What `/proc/meminfo` says (proc_meminfo(5)); zero where it cannot be read.
pub fn memory() -> Memory {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let of = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap_or_default() * 1024
    };
    Memory {
        total: of("MemTotal:"),
        available: of("MemAvailable:"),
    }
}

/// The program of that name beside the running one.
pub fn sibling(program: &str) -> Option<Utf8PathBuf> {
    let own = Utf8PathBuf::from_path_buf(std::env::current_exe().ok()?).ok()?;
    let path = own.parent()?.join(program);
    path.is_file().then_some(path)
}

/// Names the time from one start of the machine to the next (random(4), `boot_id`); empty where nothing does.
pub(super) fn boot() -> Vec<u8> {
    fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

/// Now.
pub fn now() -> jiff::Zoned {
    jiff::Zoned::now()
}

/// The day of a time in seconds since 1970, in this machine's time zone: `2026-12-01`.
pub fn day(seconds: i64) -> String {
    let time = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    time.to_zoned(jiff::tz::TimeZone::system())
        .date()
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        let variables = variables
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        Environment::from_variables("/work".into(), variables)
    }

    #[test]
    fn own_variables_win_over_xdg_over_home() {
        assert_eq!(
            environment(&[("HOME", "/h")]).cache_dir,
            "/h/.cache/kernelkit"
        );
        assert_eq!(
            environment(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")]).cache_dir,
            "/x/kernelkit"
        );
        let own = environment(&[
            ("HOME", "/h"),
            ("XDG_CACHE_HOME", "/x"),
            ("KERNELKIT_CACHE_DIR", "mine"),
        ]);
        assert_eq!(own.cache_dir, "/work/mine");
    }

    #[test]
    fn tools_see_no_other_variable() {
        let strays = [
            ("HOME", "/h"),
            ("KCFLAGS", "-O3"),
            ("KBUILD_SIGN_PIN", "1234"),
            ("SOURCE_DATE_EPOCH", "1"),
            ("PAHOLE_FLAGS", "-j"),
            ("GITHUB_TOKEN", "x"),
        ];
        let names: Vec<_> = environment(&strays).tool_variables().into_keys().collect();
        assert_eq!(
            names,
            [
                "HOME",
                "LC_ALL",
                "PATH",
                "PYTHONDONTWRITEBYTECODE",
                "TMPDIR",
                "TZ"
            ]
        );
    }
}

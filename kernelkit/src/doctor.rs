//! What a build needs from the machine, and which package has it.
//!
//! [`needs`] says what a kernel asks for, from one closed table; it looks at nothing.
//! [`effect::doctor`](crate::effect::doctor) compares that with the machine, and [`install_calls`]
//! says how to get what is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use camino::Utf8PathBuf;
use serde::{Serialize, Serializer};

use crate::arch::Arch;
use crate::config::DotConfig;
use crate::process::Call;
use crate::spec::Compiler;
use crate::toolchain::{self, Affixes, ROLES, Reach, Role, is_native};

mod table;

use table::{HELPERS, ROLE_PACKAGES};

/// A program's version: numbers between dots.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version(Vec<u64>);

/// Not numbers between dots.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a version")]
pub struct InvalidVersion(pub String);

impl FromStr for Version {
    type Err = InvalidVersion;

    /// Accepts a trailing `.x`, as the kernel's documentation writes it.
    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        text.trim_end_matches(".x")
            .split('.')
            .map(|number| number.parse().ok())
            .collect::<Option<_>>()
            .map(Version)
            .ok_or_else(|| InvalidVersion(text.to_owned()))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<_> = self.0.iter().map(u64::to_string).collect();
        f.write_str(&numbers.join("."))
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Version {
    /// Whether this is `minimum` or newer; a missing number is 0.
    pub fn satisfies(&self, minimum: &Version) -> bool {
        let length = self.0.len().max(minimum.0.len());
        let padded = |version: &Version| {
            let mut numbers = version.0.clone();
            numbers.resize(length, 0);
            numbers
        };
        padded(self) >= padded(minimum)
    }

    /// Finds the version in what a program prints about itself: the first dotted number outside
    /// parentheses (which hold the distribution's own version), else the first dotted
    /// number, else the first number.
    pub fn find(output: &str) -> Option<Version> {
        let mut depth = 0usize;
        let outside: String = output
            .chars()
            .map(|character| match character {
                '(' => {
                    depth += 1;
                    ' '
                }
                ')' => {
                    depth = depth.saturating_sub(1);
                    ' '
                }
                '\n' => '\n',
                _ if depth > 0 => ' ',
                other => other,
            })
            .collect();
        numbers(&outside)
            .find(|number| number.contains('.'))
            .or_else(|| numbers(output).find(|number| number.contains('.')))
            .or_else(|| numbers(&outside).next())?
            .parse()
            .ok()
    }
}

/// Words that start with a digit, or a digit after `v`, cut behind the last digit that belongs.
fn numbers(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character: char| character.is_whitespace() || "(),;".contains(character))
        .filter_map(|word| {
            let word = word.strip_prefix('v').unwrap_or(word);
            let end = word
                .find(|character: char| !character.is_ascii_digit() && character != '.')
                .unwrap_or(word.len());
            let number = word[..end].trim_end_matches('.');
            number
                .starts_with(|first: char| first.is_ascii_digit())
                .then_some(number)
        })
}

/// The oldest tools that a kernel tree accepts, by the names of `scripts/min-tool-version.sh`
/// and, in lower case, of `Documentation/process/changes.rst`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Minimums {
    versions: BTreeMap<String, Version>,
    optional: BTreeSet<String>,
}

impl Minimums {
    /// Reads the table in `Documentation/process/changes.rst`; a row it cannot read is left out.
    pub fn parse(changes: &str) -> Self {
        let mut minimums = Minimums::default();
        let is_rule = |line: &&str| line.starts_with("====") && line.contains(' ');
        let rows = changes
            .lines()
            .skip_while(|line| !is_rule(line))
            .skip(1)
            .skip_while(|line| !is_rule(line))
            .skip(1)
            .take_while(|line| !is_rule(line));
        for row in rows {
            let mut cells = row
                .split("  ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty());
            let (Some(program), Some(version)) = (cells.next(), cells.next()) else {
                continue;
            };
            let name = program.trim_end_matches("(optional)").trim();
            let name = match name {
                "GNU C" => "gcc",
                "GNU make" => "make",
                "GNU tar" => "tar",
                "Clang/LLVM" => "llvm",
                "Rust" => "rustc",
                "openssl & libcrypto" => "openssl",
                "Python" => "python3",
                name => name,
            };
            if program.ends_with("(optional)") {
                minimums.optional.insert(name.to_owned());
            }
            if let Ok(version) = version.parse() {
                minimums.set(name, version);
            }
        }
        minimums
    }

    /// Replaces the minimum of `name`: what the tree's script says wins over its documentation.
    pub fn set(&mut self, name: &str, version: Version) {
        self.versions.insert(name.to_owned(), version);
    }

    /// The oldest version accepted.
    pub fn get(&self, name: &str) -> Option<&Version> {
        self.versions.get(name)
    }

    /// Whether the tree lists the tool as needed for every kernel.
    pub fn is_mandatory(&self, name: &str) -> bool {
        self.versions.contains_key(name) && !self.optional.contains(name)
    }
}

/// What will be done beyond compiling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Feature {
    /// Start the kernel in QEMU.
    Boot,
    /// Compile through ccache.
    Ccache,
    /// Build Debian packages.
    DebPackage,
    /// Build RPM packages.
    RpmPackage,
    /// Take the source from a git repository, or apply patches.
    Git,
    /// Take the source from a Debian package.
    DebianSource,
    /// The kernel's own menus.
    Menuconfig,
}

/// What to find the needs for.
#[derive(Clone, Debug)]
pub struct Query<'a> {
    /// Built for.
    pub arch: Arch,
    /// Built on.
    pub host: Arch,
    /// With which compiler.
    pub compiler: Compiler,
    /// What its programs are called here.
    pub affixes: &'a Affixes,
    /// The resolved config; without it, what only some configs need is not certain.
    pub config: Option<&'a DotConfig>,
    /// What the tree accepts; without it, no version is too old.
    pub minimums: Option<&'a Minimums>,
    /// What else will be done.
    pub features: &'a [Feature],
}

/// How the machine is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Probe {
    /// A program on `PATH`.
    Program {
        /// Its name.
        program: String,
    },
    /// A header of the host's C compiler.
    Header {
        /// As in `#include <…>`.
        header: String,
        /// The compiler.
        compiler: String,
    },
    /// The source of Rust's core library, below the compiler's sysroot.
    RustSource,
}

/// A package's name by package manager; several are alternatives, the preferred first, and
/// none means that we do not know it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Packages(BTreeMap<PackageManager, Vec<String>>);

impl Packages {
    /// The names with one package manager.
    pub fn with(&self, manager: PackageManager) -> &[String] {
        self.0.get(&manager).map_or(&[], Vec::as_slice)
    }

    /// From a table row in the order of [`PackageManager::ALL`]; `-` is unknown.
    fn row(names: [&str; 5]) -> Self {
        let names = PackageManager::ALL
            .into_iter()
            .zip(names)
            .filter(|(_, name)| *name != "-")
            .map(|(manager, name)| (manager, vec![name.to_owned()]));
        Packages(names.collect())
    }

    fn set(mut self, manager: PackageManager, names: Vec<String>) -> Self {
        self.0.insert(manager, names);
        self
    }
}

/// One thing a build needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Need {
    /// A short name, such as `gcc` or `libelf`.
    pub name: String,
    /// How to look for it.
    pub probe: Probe,
    /// The oldest version that the tree accepts.
    pub minimum: Option<Version>,
    /// What it is for.
    pub why: String,
    /// False where it depends on a config that is not known yet.
    pub certain: bool,
    /// Where to get it.
    pub packages: Packages,
}

/// The state of a need on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum State {
    /// There.
    Found {
        /// Where.
        path: Utf8PathBuf,
        /// Absent where it does not say.
        version: Option<Version>,
    },
    /// There, and older than the tree accepts.
    TooOld {
        /// Where.
        path: Utf8PathBuf,
        /// Its version.
        version: Version,
    },
    /// Not there.
    Missing,
}

/// A need and its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The need.
    pub need: Need,
    /// What was found.
    #[serde(flatten)]
    pub state: State,
    /// The package that has it, with this machine's package manager.
    pub package: Option<String>,
}

impl Finding {
    /// Whether a build would fail for it.
    pub fn blocks(&self) -> bool {
        self.need.certain && !matches!(self.state, State::Found { .. })
    }

    /// What to do about it, where no package can be named.
    pub fn hint(&self) -> Option<String> {
        let name = &self.need.name;
        match (&self.state, &self.need.minimum) {
            (State::Missing, _) if self.package.is_some() => None,
            (State::Missing, _) if self.need.probe == Probe::RustSource => {
                Some("run `rustup component add rust-src`".to_owned())
            }
            (State::Missing, _) => Some(format!("put `{name}` on PATH")),
            (State::TooOld { path, .. }, Some(minimum)) => Some(format!(
                "put {name} {minimum} or newer on PATH before {path}, or build an older kernel"
            )),
            _ => None,
        }
    }
}

impl fmt::Display for Finding {
    /// One line, such as `pahole 1.24 is too old, 1.26 is needed (CONFIG_DEBUG_INFO_BTF: …)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.need.name)?;
        match &self.state {
            State::Found { path, version } => {
                if let Some(version) = version {
                    write!(f, " {version}")?;
                }
                write!(f, " at {path}")?;
            }
            State::TooOld { version, .. } => {
                write!(f, " {version} is too old")?;
                if let Some(minimum) = &self.need.minimum {
                    write!(f, ", {minimum} is needed")?;
                }
            }
            State::Missing => {
                f.write_str(" is missing")?;
                if let Some(package) = &self.package {
                    write!(f, ", package {package}")?;
                }
            }
        }
        write!(f, " ({})", self.need.why)
    }
}

/// When a row of the table is needed.
#[derive(Clone, Copy, Debug)]
enum When {
    Always,
    /// Where the tree's documentation does not call it optional.
    Mandatory,
    Symbols(&'static [&'static str]),
    Feature(Feature),
}

/// Everything the query's build needs, each once.
pub fn needs(query: &Query<'_>) -> Vec<Need> {
    let roles = ROLES.iter().filter_map(|row| {
        let Affixes { prefix, suffix } = query.affixes;
        let program = toolchain::program(row, query.compiler, prefix, suffix);
        let when = match row.reach {
            _ if row.required || row.role == Role::As => When::Always,
            Reach::Always | Reach::Never => When::Always,
            Reach::When(symbols) => When::Symbols(symbols),
        };
        let (certain, reason) = applies(when, row.name, query)?;
        let minimum = match (row.role, query.compiler) {
            (Role::Cc | Role::Hostcc, Compiler::Gcc) => "gcc",
            (_, Compiler::Gcc) if row.prefixed => "binutils",
            (_, Compiler::Clang) if row.prefixed || row.role == Role::Hostcc => "llvm",
            (Role::Depmod, _) => "kmod",
            _ => row.name,
        };
        (!program.is_empty()).then(|| Need {
            name: program.clone(),
            probe: Probe::Program { program },
            minimum: query
                .minimums
                .and_then(|minimums| minimums.get(minimum))
                .cloned(),
            why: format!("{reason}{}", row.why),
            certain,
            packages: role_packages(row.role, query),
        })
    });
    let helpers = HELPERS.iter().filter_map(|row| {
        let (certain, reason) = applies(row.when, row.name, query)?;
        Some(Need {
            name: row.name.to_owned(),
            probe: match row.probe {
                table::Probe::Program(program) => Probe::Program {
                    program: program.to_owned(),
                },
                table::Probe::Header(header) => Probe::Header {
                    header: header.to_owned(),
                    compiler: toolchain::program(
                        Role::Hostcc.row(),
                        query.compiler,
                        "",
                        &query.affixes.suffix,
                    ),
                },
                table::Probe::RustSource => Probe::RustSource,
            },
            minimum: query
                .minimums
                .and_then(|minimums| minimums.get(row.name))
                .cloned(),
            why: format!("{reason}{}", row.why),
            certain,
            packages: Packages::row(row.packages),
        })
    });
    let mut needs: Vec<Need> = Vec::new();
    for need in roles.chain(helpers).chain(qemu(query)) {
        // Natively, cc and hostcc are one program.
        if needs.iter().all(|known| known.probe != need.probe) {
            needs.push(need);
        }
    }
    needs
}

/// Whether a row applies: with certainty or not, and the reason to put before its `why`.
fn applies(when: When, name: &str, query: &Query<'_>) -> Option<(bool, String)> {
    match when {
        When::Always => Some((true, String::new())),
        When::Mandatory => {
            let mandatory = query
                .minimums
                .is_some_and(|minimums| minimums.is_mandatory(name));
            Some((mandatory, String::new()))
        }
        When::Feature(feature) => query
            .features
            .contains(&feature)
            .then(|| (true, String::new())),
        When::Symbols(symbols) => match query.config {
            None => Some((false, String::new())),
            Some(config) => symbols
                .iter()
                .find(|symbol| config.is_enabled(symbol))
                .map(|symbol| (true, format!("CONFIG_{symbol}: "))),
        },
    }
}

fn role_packages(role: Role, query: &Query<'_>) -> Packages {
    let row = role.row();
    let target = row.prefixed || role == Role::Hostcc;
    if target && query.compiler == Compiler::Clang {
        let suffix = &query.affixes.suffix;
        let package = match role {
            Role::Cc | Role::Hostcc => "clang",
            Role::Ld => "lld",
            _ => "llvm",
        };
        let nix = if package == "llvm" {
            "llvmPackages.llvm"
        } else {
            package
        };
        return Packages::row([package, package, package, package, nix])
            .set(PackageManager::Apt, vec![format!("{package}{suffix}")]);
    }
    if target && role != Role::Hostcc && !is_native(query.arch, query.host) {
        return cross_packages(query.arch);
    }
    match ROLE_PACKAGES.iter().find(|(known, _)| *known == role) {
        Some((_, packages)) => Packages::row(*packages),
        None if target => Packages::row(["binutils"; 5]),
        None => Packages::row([row.name; 5]),
    }
}

/// The cross compiler, whose package brings its binutils everywhere.
fn cross_packages(arch: Arch) -> Packages {
    let apt = arch.row().cross_package.map(str::to_owned);
    let triple = arch
        .row()
        .cross_prefix
        .unwrap_or_default()
        .trim_end_matches('-');
    let packages = Packages::default().set(PackageManager::Apt, apt.into_iter().collect());
    match arch.name() {
        // The architectures that the other distributions have cross compilers for.
        "arm64" | "riscv64" => packages
            .set(PackageManager::Dnf, vec![format!("gcc-{triple}")])
            .set(PackageManager::Pacman, vec![format!("{triple}-gcc")]),
        "powerpc64le" | "s390x" | "x86_64" => {
            packages.set(PackageManager::Dnf, vec![format!("gcc-{triple}")])
        }
        _ => packages,
    }
}

fn qemu(query: &Query<'_>) -> Option<Need> {
    let qemu = query
        .arch
        .row()
        .qemu
        .filter(|_| query.features.contains(&Feature::Boot))?;
    let debian: Vec<String> = qemu.packages.iter().map(|&name| name.to_owned()).collect();
    Some(Need {
        name: qemu.binary.to_owned(),
        probe: Probe::Program {
            program: qemu.binary.to_owned(),
        },
        minimum: None,
        why: "runs the kernel".to_owned(),
        certain: true,
        packages: Packages::row(["-", "qemu", "qemu-full", "qemu", "qemu"])
            .set(PackageManager::Apt, debian),
    })
}

/// What installs packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PackageManager {
    /// Debian, Ubuntu and their kin.
    Apt,
    /// Fedora, RHEL and their kin.
    Dnf,
    /// Arch Linux and its kin.
    Pacman,
    /// openSUSE and SLES.
    Zypper,
    /// NixOS.
    Nix,
}

impl PackageManager {
    /// All of them, in the order of the tables.
    pub const ALL: [PackageManager; 5] = [
        PackageManager::Apt,
        PackageManager::Dnf,
        PackageManager::Pacman,
        PackageManager::Zypper,
        PackageManager::Nix,
    ];

    /// From the text of `/etc/os-release` (os-release(5)): `ID`, else what it is like.
    pub fn of_system(os_release: &str) -> Option<Self> {
        let value = |key: &str| {
            os_release
                .lines()
                .filter_map(|line| line.trim().split_once('='))
                .find(|(name, _)| *name == key)
                .map(|(_, value)| value.trim_matches(['"', '\'']))
                .unwrap_or_default()
        };
        value("ID")
            .split(' ')
            .chain(value("ID_LIKE").split(' '))
            .find_map(|id| match id {
                "debian" | "ubuntu" => Some(PackageManager::Apt),
                "fedora" | "rhel" | "centos" => Some(PackageManager::Dnf),
                "arch" => Some(PackageManager::Pacman),
                "suse" | "opensuse" | "opensuse-tumbleweed" | "opensuse-leap" | "sles" => {
                    Some(PackageManager::Zypper)
                }
                "nixos" => Some(PackageManager::Nix),
                _ => None,
            })
    }
}

/// What installing takes on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct System {
    /// Absent where we do not know it.
    pub manager: Option<PackageManager>,
    /// How the package manager may write.
    pub privilege: Privilege,
    /// apt has no list of packages yet, as in a fresh container.
    pub lists_missing: bool,
    /// The environment for the package manager: [`tool_variables`] and the user's proxies.
    ///
    /// [`tool_variables`]: crate::effect::environment::Environment::tool_variables
    pub variables: BTreeMap<String, String>,
}

/// Who we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// Root.
    Root,
    /// A user with `sudo` at hand.
    Sudo,
    /// A user without; the calls are for an administrator.
    None,
}

/// The calls that install what is missing for certain; none where nothing is, or where no package is known.
/// Programs that are too old stay: the same package would bring the same version. Nothing is
/// installed with Nix, whose profiles bring programs but not headers: use a shell instead.
pub fn install_calls(findings: &[Finding], system: &System) -> Vec<Call> {
    let packages: BTreeSet<&str> = findings
        .iter()
        .filter(|finding| finding.need.certain && finding.state == State::Missing)
        .filter_map(|finding| finding.package.as_deref())
        .collect();
    let call = |words: &[&str]| {
        let mut words = words.to_vec();
        if system.privilege == Privilege::Sudo {
            words.insert(0, "sudo");
        }
        Call::new(words[0], "/")
            .args(words[1..].iter().copied())
            .envs(&system.variables)
    };
    let commands: &[&[&str]] = match system.manager {
        _ if packages.is_empty() => &[],
        Some(PackageManager::Apt) if system.lists_missing => &[
            &["apt-get", "update"],
            &[
                "env",
                "DEBIAN_FRONTEND=noninteractive",
                "apt-get",
                "install",
                "--yes",
                "--no-install-recommends",
            ],
        ],
        Some(PackageManager::Apt) => &[&[
            "env",
            "DEBIAN_FRONTEND=noninteractive",
            "apt-get",
            "install",
            "--yes",
            "--no-install-recommends",
        ]],
        Some(PackageManager::Dnf) => &[&["dnf", "install", "--assumeyes"]],
        Some(PackageManager::Pacman) => {
            &[&["pacman", "--sync", "--refresh", "--needed", "--noconfirm"]]
        }
        Some(PackageManager::Zypper) => &[&["zypper", "--non-interactive", "install"]],
        Some(PackageManager::Nix) | None => &[],
    };
    let mut calls: Vec<Call> = commands.iter().map(|words| call(words)).collect();
    if let Some(last) = calls.last_mut() {
        last.args.extend(packages.into_iter().map(str::to_owned));
    }
    calls
}

#[cfg(test)]
mod tests;

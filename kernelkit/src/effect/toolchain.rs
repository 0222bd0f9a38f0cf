//! Finds the machine's toolchain and fingerprints it.
//!
//! Looking at every program takes a second or so; the result is kept in the cache directory and
//! holds as long as every look-up on `PATH` ends at the same file and every file
//! has the same inode, size and times.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::environment::Environment;
use super::exec;
use super::fs::{self, Context as _};
use crate::arch::{Arch, UnknownArch};
use crate::process::Call;
use crate::source::Sha256;
use crate::spec::{Compiler, NamedCompiler};
use crate::toolchain::{self, Affixes, Part, ROLES, Role, RoleRow, Tool, Toolchain};

/// Increased when a record of an older kernelkit must not be believed any more.
const SCHEMA: u32 = 1;

/// Programs that stand in for a compiler under its name and start the next one on `PATH`
/// (`/usr/lib/ccache/gcc`). They are looked through, so that a cache never changes the id.
const MASQUERADES: [&str; 5] = ["ccache", "sccache", "distcc", "icecc", "fastbuild"];

/// Why there is no toolchain.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program that every build needs is not on `PATH`.
    #[error("`{program}` was not found on PATH; it builds kernels for {arch} with {compiler}")]
    Missing {
        /// The program.
        program: String,
        /// What for.
        arch: Arch,
        /// What it is called.
        compiler: String,
        /// The Debian packages that have it.
        packages: String,
    },
    /// There is no GCC for the architecture.
    #[error("no gcc builds kernels for {arch}")]
    OnlyClang {
        /// The architecture.
        arch: Arch,
    },
    /// This machine is none that the kernel runs on.
    #[error("cannot tell which compiler is native here")]
    Host(#[source] UnknownArch),
    /// A program could not be asked.
    #[error(transparent)]
    Exec(#[from] exec::Error),
    /// A program could not be read.
    #[error(transparent)]
    File(#[from] fs::Error),
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Missing { packages, arch, .. } if packages.is_empty() => Some(format!(
                "Debian has no such compiler for {arch}: kernel.org has one (https://mirrors.edge.kernel.org/pub/tools/crosstool/), to be declared in `compilers` with its `path` and `prefix`"
            )),
            Error::Missing { packages, .. } => Some(format!(
                "`cargo kernel doctor --install` installs what is missing; on Debian it is in: {packages}"
            )),
            Error::OnlyClang { .. } => Some("set `compiler = \"clang\"`".to_owned()),
            Error::Host(_) => None,
            Error::Exec(error) => error.hint(),
            Error::File(error) => error.hint(),
        }
    }
}

/// The architecture that this machine's compilers build for without being asked: that of its
/// programs, which a 64-bit kernel may run as 32-bit ones.
pub fn host_arch() -> Result<Arch, Error> {
    let little = cfg!(target_endian = "little");
    let machine = match std::env::consts::ARCH {
        "x86" => "i686",
        "powerpc64" if little => "ppc64le",
        "mips" if little => "mipsel",
        "mips64" if little => "mips64el",
        machine => machine,
    };
    Arch::host(machine).map_err(Error::Host)
}

/// The toolchain of this machine for `arch` with a compiler of that name; its directory is
/// on `environment`'s `PATH` already ([`within`]).
///
/// `cache` is a directory for the record of earlier runs; one that cannot be written to only costs time.
pub fn detect(
    arch: Arch,
    named: &NamedCompiler,
    environment: &Environment,
    cache: &Utf8Path,
) -> Result<Toolchain, Error> {
    let compiler = named.family;
    let found = look_up(arch, named, environment)?;
    let root = environment.root.as_ref();
    let place = root.map_or(String::new(), |root| {
        format!("{}-", root.dir().file_name().unwrap_or_default())
    });
    let record_path = cache.join(format!("toolchain/{place}{arch}-{}.json", named.name));
    let record: Option<Record> = fs::read_optional(&record_path)
        .ok()
        .flatten()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .filter(|record: &Record| record.schema == SCHEMA);
    if let Some(record) = &record
        && record.found == found
        && record
            .stamps
            .iter()
            .all(|(path, stamp)| Stamp::of(path).is_ok_and(|now| now == *stamp))
    {
        return Ok(record.toolchain.clone());
    }
    let known = record.map(Record::hashes).unwrap_or_default();
    let (toolchain, stamps) = examine(arch, compiler, environment, &found, &known)?;
    let record = Record {
        schema: SCHEMA,
        found,
        stamps,
        toolchain,
    };
    let bytes = serde_json::to_vec(&record).expect("a record has only string keys");
    // Without the record the next run looks again; that is no reason to fail this one.
    let _ = fs::write_atomic(&record_path, &bytes);
    Ok(record.toolchain)
}

/// The environment with a compiler's own directory before all others.
#[must_use]
pub fn within(environment: &Environment, compiler: &NamedCompiler) -> Environment {
    let mut environment = environment.clone();
    if let Some(directory) = &compiler.path {
        environment.path = format!("{directory}:{}", environment.path);
    }
    environment
}

/// What an earlier run found.
#[derive(Serialize, Deserialize)]
struct Record {
    schema: u32,
    found: Found,
    stamps: BTreeMap<Utf8PathBuf, Stamp>,
    toolchain: Toolchain,
}

impl Record {
    /// Hashes that still hold for files with the same stamp.
    fn hashes(self) -> BTreeMap<(Utf8PathBuf, Stamp), Sha256> {
        let stamps = self.stamps;
        self.toolchain
            .tools
            .into_iter()
            .flat_map(|tool| {
                let parts = tool.parts.into_iter().map(|part| (part.path, part.sha256));
                std::iter::once((tool.path, tool.sha256)).chain(parts)
            })
            .filter_map(|(path, hash)| {
                let stamp = *stamps.get(&path)?;
                Some(((path, stamp), hash))
            })
            .collect()
    }
}

/// Inode, size, modification and change time: what tells a file from its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Stamp([i64; 6]);

impl Stamp {
    fn of(path: &Utf8Path) -> Result<Self, fs::Error> {
        let metadata = std::fs::metadata(path).context("read", path)?;
        Ok(Stamp([
            metadata.ino().cast_signed(),
            metadata.size().cast_signed(),
            metadata.mtime(),
            metadata.mtime_nsec(),
            metadata.ctime(),
            metadata.ctime_nsec(),
        ]))
    }
}

/// Where the look-ups ended: all that can change without any known file changing.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
struct Found {
    prefix: String,
    suffix: String,
    programs: BTreeMap<Role, Utf8PathBuf>,
    /// What rustup's proxies go by.
    rustup: BTreeMap<String, String>,
}

/// What stands before and behind the names of the programs here; the usual where there are none.
pub fn affixes(
    arch: Arch,
    compiler: &NamedCompiler,
    environment: &Environment,
) -> Result<Affixes, Error> {
    let path = environment.path.as_str();
    let suffix = compiler.suffix.clone();
    match compiler.family {
        Compiler::Gcc => {
            let known = match &compiler.prefix {
                Some(prefix) => vec![prefix.clone()],
                None => toolchain::prefixes(arch, host_arch()?),
            };
            let mut prefixes = known.into_iter().peekable();
            let usual = prefixes.peek().cloned();
            let prefix = prefixes
                .find(|prefix| find_compiler(&format!("{prefix}gcc{suffix}"), path).is_some())
                .or(usual)
                .ok_or(Error::OnlyClang { arch })?;
            Ok(Affixes { prefix, suffix })
        }
        Compiler::Clang => Ok(Affixes {
            prefix: String::new(),
            suffix: match suffix.is_empty() {
                true => llvm_suffix(path),
                false => suffix,
            },
        }),
    }
}

fn look_up(arch: Arch, named: &NamedCompiler, environment: &Environment) -> Result<Found, Error> {
    let host = host_arch()?;
    let path = environment.path.as_str();
    let compiler = named.family;
    let Affixes { prefix, suffix } = affixes(arch, named, environment)?;
    let mut programs = BTreeMap::new();
    for row in &ROLES {
        let program = toolchain::program(row, compiler, &prefix, &suffix);
        if program.is_empty() {
            continue;
        }
        let place = match row.role {
            Role::Cc | Role::Hostcc => find_compiler(&program, path),
            // Debian keeps /usr/sbin off the PATH of ordinary users.
            Role::Depmod if environment.root.is_none() => {
                exec::find_on_path(&program, &format!("{path}:/usr/sbin:/sbin"))
            }
            _ => exec::find_on_path(&program, path),
        };
        match place {
            Some(place) => {
                programs.insert(row.role, place);
            }
            None if row.required => {
                return Err(Error::Missing {
                    program,
                    arch,
                    compiler: named.name.clone(),
                    packages: packages(row, arch, host, compiler, &suffix),
                });
            }
            None => {}
        }
    }
    // The kernel cannot use rustc without bindgen, and rustc is the largest program of all.
    if !programs.contains_key(&Role::Bindgen) {
        programs.remove(&Role::Rustc);
    }
    let rustup = ["RUSTUP_HOME", "RUSTUP_TOOLCHAIN"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), environment.variables.get(name)?.clone())))
        .collect();
    Ok(Found {
        prefix,
        suffix,
        programs,
        rustup,
    })
}

fn packages(row: &RoleRow, arch: Arch, host: Arch, compiler: Compiler, suffix: &str) -> String {
    if row.role == Role::Make {
        return "make".to_owned();
    }
    toolchain::debian_packages(arch, host, compiler, suffix).join(" ")
}

/// Like [`exec::find_on_path`], looking through compiler caches.
fn find_compiler(program: &str, path: &str) -> Option<Utf8PathBuf> {
    path.split(':')
        .filter_map(|directory| exec::find_on_path(program, directory))
        .find(|place| {
            let target = place.canonicalize_utf8().unwrap_or_else(|_| place.clone());
            !target
                .file_name()
                .is_some_and(|name| MASQUERADES.contains(&name))
        })
}

/// Empty where `clang` is on `PATH` or no clang is; else `-14` where only `clang-14` is, the
/// newest that has its linker too.
fn llvm_suffix(path: &str) -> String {
    if exec::find_on_path("clang", path).is_some() {
        return String::new();
    }
    path.split(':')
        .filter(|directory| !directory.is_empty())
        .filter_map(|directory| Utf8Path::new(directory).read_dir_utf8().ok())
        .flatten()
        .filter_map(|entry| {
            entry
                .ok()?
                .file_name()
                .strip_prefix("clang-")?
                .parse::<u32>()
                .ok()
        })
        .map(|version| {
            let linker = exec::find_on_path(&format!("ld.lld-{version}"), path);
            (linker.is_some(), version)
        })
        .max()
        .map(|(_, version)| format!("-{version}"))
        .unwrap_or_default()
}

/// A program that was found and asked, not yet read.
struct Sighting {
    role: Role,
    program: String,
    path: Utf8PathBuf,
    version: String,
    parts: BTreeMap<String, Utf8PathBuf>,
    /// Files that decide which program this is without being part of it.
    witnesses: Vec<Utf8PathBuf>,
}

type Stamps = BTreeMap<Utf8PathBuf, Stamp>;

fn examine(
    arch: Arch,
    compiler: Compiler,
    environment: &Environment,
    found: &Found,
    known: &BTreeMap<(Utf8PathBuf, Stamp), Sha256>,
) -> Result<(Toolchain, Stamps), Error> {
    let examiner = Examiner {
        environment,
        compiler,
        cc: &found.programs[&Role::Cc],
    };
    let places: Vec<_> = found.programs.iter().collect();
    let sightings: Vec<Sighting> = in_parallel(&places, |(role, place)| {
        let row = role.row();
        let program = toolchain::program(row, compiler, &found.prefix, &found.suffix);
        examiner.sight(row, program, place)
    })?
    .into_iter()
    .flatten()
    .collect();

    let files: Vec<&Utf8Path> = sightings
        .iter()
        .flat_map(|sighting| std::iter::once(&sighting.path).chain(sighting.parts.values()))
        .map(Utf8PathBuf::as_path)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    // The stamp is taken before the bytes are read: a file that changes meanwhile does not
    // match its record.
    let hashes: BTreeMap<&Utf8Path, (Stamp, Sha256)> = in_parallel(&files, |path| {
        let stamp = Stamp::of(path)?;
        let hash = match known.get(&(path.to_path_buf(), stamp)) {
            Some(hash) => *hash,
            None => fs::sha256(path)?,
        };
        Ok::<_, Error>((*path, (stamp, hash)))
    })?
    .into_iter()
    .collect();
    let mut stamps: Stamps = hashes
        .iter()
        .map(|(path, (stamp, _))| (path.to_path_buf(), *stamp))
        .collect();
    for witness in sightings.iter().flat_map(|sighting| &sighting.witnesses) {
        stamps.insert(witness.clone(), Stamp::of(witness)?);
    }

    let tools = sightings
        .iter()
        .map(|sighting| Tool {
            role: sighting.role,
            program: sighting.program.clone(),
            path: sighting.path.clone(),
            version: sighting.version.clone(),
            sha256: hashes[sighting.path.as_path()].1,
            parts: sighting
                .parts
                .iter()
                .map(|(name, path)| Part {
                    name: name.clone(),
                    path: path.clone(),
                    sha256: hashes[path.as_path()].1,
                })
                .collect(),
        })
        .collect();
    let toolchain = Toolchain {
        arch,
        compiler,
        prefix: found.prefix.clone(),
        suffix: found.suffix.clone(),
        cc_version_text: examiner.first_line(examiner.cc, "--version")?,
        tools,
    };
    Ok((toolchain, stamps))
}

/// `work` on every item, in order of the items; the work waits for other programs, so there are
/// more threads than cores.
pub(super) fn in_parallel<T: Sync, R: Send, E: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let work = &work;
    std::thread::scope(|scope| {
        let threads: Vec<_> = items
            .iter()
            .map(|item| scope.spawn(move || work(item)))
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    })
}

/// Asks programs about themselves.
struct Examiner<'a> {
    environment: &'a Environment,
    compiler: Compiler,
    cc: &'a Utf8Path,
}

impl Examiner<'_> {
    /// `None` where the program turns out to be of no use.
    fn sight(
        &self,
        row: &RoleRow,
        mut program: String,
        place: &Utf8Path,
    ) -> Result<Option<Sighting>, Error> {
        let mut path = place.to_owned();
        let mut witnesses = Vec::new();
        let mut others = Vec::new();
        match row.role {
            Role::Cc if self.compiler == Compiler::Gcc => {
                for question in [
                    "-print-prog-name=cc1",
                    "-print-libgcc-file-name",
                    // A file that replaces what is built into the driver.
                    "-print-file-name=specs",
                ] {
                    others.extend(self.ask_for_file(question)?);
                }
            }
            Role::As => {
                if let Some(answer) = self.ask_for_file("-print-prog-name=as")? {
                    path = answer;
                }
            }
            Role::Depmod if exec::find_on_path(&program, &self.environment.path).is_none() => {
                program = path.to_string();
            }
            Role::Rustc if is_rustup(place) => {
                // A rustup without a toolchain is a machine without rustc.
                let Ok(sysroot) = self.first_line(place, "--print=sysroot") else {
                    return Ok(None);
                };
                path = Utf8PathBuf::from(sysroot).join("bin/rustc");
                program = path.to_string();
                let settings = self.rustup_home().join("settings.toml");
                witnesses.push(place.to_owned());
                witnesses.extend(settings.is_file().then_some(settings));
            }
            _ => {}
        }
        let mut parts = BTreeMap::new();
        for file in std::iter::once(&path).chain(&others) {
            parts.extend(self.libraries(file)?);
        }
        for file in others {
            let name = file.file_name().unwrap_or(file.as_str()).to_owned();
            parts.insert(name, file);
        }
        let version = self.version(row.role, &path)?;
        Ok(Some(Sighting {
            role: row.role,
            program,
            path,
            version,
            parts,
            witnesses,
        }))
    }

    /// Where the compiler has one of its own files; a bare name is how gcc says that it has none.
    fn ask_for_file(&self, question: &str) -> Result<Option<Utf8PathBuf>, Error> {
        let answer = Utf8PathBuf::from(self.first_line(self.cc, question)?);
        Ok(Some(answer)
            .filter(|answer| answer.is_absolute())
            .map(|answer| self.outside(answer))
            .filter(|answer| answer.is_file()))
    }

    /// Where a file that a tool names is, seen from here.
    fn outside(&self, path: Utf8PathBuf) -> Utf8PathBuf {
        match &self.environment.root {
            Some(root) => root.outside(&path),
            None => path,
        }
    }

    fn call(&self, program: &Utf8Path, arg: &str) -> Call {
        let mut call = Call::new(program.as_str(), "/")
            .arg(arg)
            .envs(&self.environment.tool_variables());
        for name in ["RUSTUP_HOME", "RUSTUP_TOOLCHAIN"] {
            if let Some(value) = self.environment.variables.get(name) {
                call = call.env(name, value);
            }
        }
        call
    }

    fn first_line(&self, program: &Utf8Path, arg: &str) -> Result<String, Error> {
        let output = exec::capture(&self.call(program, arg))?;
        Ok(output.text().lines().next().unwrap_or_default().to_owned())
    }

    /// The first line that has a digit in it: LLVM's tools say their name in a line of its own.
    fn version(&self, role: Role, path: &Utf8Path) -> Result<String, Error> {
        // bzip2 prints its version and goes on to compress.
        let arg = if role == Role::Bzip2 {
            "--help"
        } else {
            "--version"
        };
        let (output, _) = exec::capture_unchecked(&self.call(path, arg))?;
        let text = output.text() + &String::from_utf8_lossy(&output.stderr);
        Ok(text
            .lines()
            .find(|line| line.bytes().any(|byte| byte.is_ascii_digit()))
            .unwrap_or_default()
            .trim()
            .to_owned())
    }

    /// What the dynamic loader would load for `file`; nothing for a script or a static program.
    fn libraries(&self, file: &Utf8Path) -> Result<Vec<(String, Utf8PathBuf)>, Error> {
        let call = match &self.environment.root {
            // What ldd does, without the package that has it (ld.so(8)).
            Some(root) => {
                let loader = root.outside("/usr/lib64/ld-linux-x86-64.so.2".into());
                self.call(&loader, "--list")
                    .arg(root.inside(file).into_string())
            }
            None => self.call("ldd".into(), file.as_str()),
        };
        let (output, _) = exec::capture_unchecked(&call)?;
        let libraries = toolchain::parse_ldd(&output.text()).into_iter();
        Ok(libraries
            .map(|(name, path)| (name, self.outside(path)))
            .collect())
    }

    fn rustup_home(&self) -> Utf8PathBuf {
        match self.environment.variables.get("RUSTUP_HOME") {
            Some(home) => home.into(),
            None => self.environment.home.join(".rustup"),
        }
    }
}

/// Whether a program is one of rustup's proxies, which run what its settings choose.
pub(super) fn is_rustup(place: &Utf8Path) -> bool {
    place
        .canonicalize_utf8()
        .is_ok_and(|target| target.file_name() == Some("rustup"))
}

#[cfg(test)]
mod tests;

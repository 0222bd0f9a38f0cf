//! Finds the machine's toolchain and fingerprints it.
//!
//! Looking at every program takes a second or so; the result is kept in the cache directory and
//! holds as long as every look-up on `PATH` ends at the same file and every file
//! has the same device, inode, size and times. Of a compiler behind a wrapper no file tells
//! whether it is still the same: it is asked each time.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::environment::{Environment, Probing};
use super::fs::{self, Context as _};
use super::{exec, record};
use crate::arch::{Arch, UnknownArch};
use crate::process::Call;
use crate::source::Sha256;
use crate::spec::{Compiler, NamedCompiler};
use crate::toolchain::{
    self, Affixes, Driver, HEADERS, Part, ROLES, Reach, Role, RoleRow, Tool, Toolchain,
};

/// Increased when a record of an older kernelkit must not be believed any more.
const SCHEMA: u32 = 2;

/// What a script may take; more is a program in another guise, which counts as it is.
const SCRIPT_LIMIT: u64 = crate::limits::SCRIPT.most;

/// A chain of scripts is followed this far.
const SCRIPT_DEPTH: usize = 8;

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
    let found = match look_up(arch, named, environment) {
        // Where no command of the source runs, its Kconfig asks the compiler nothing.
        Err(Error::Missing { .. }) if !matches!(environment.probing, Probing::Run) => {
            return Ok(absent(arch, named));
        }
        found => found?,
    };
    let root = environment.root.as_ref().map(|root| root.dir());
    let elsewhere = root.or(environment.unwrapped.as_deref());
    let place = elsewhere.map_or(String::new(), |place| {
        format!("{}-", place.file_name().unwrap_or_default())
    });
    let record_path = cache.join(format!("toolchain/{place}{arch}-{}.json", named.name));
    let record: Option<Record> = record::read(&record_path, SCHEMA);
    if let Some(record) = &record
        && record.found == found
        && record
            .stamps
            .iter()
            .all(|(path, stamp)| Stamp::of(path).is_ok_and(|now| now == *stamp))
        && (record.asked.as_ref()).is_none_or(|asked| {
            let examiner = Examiner::new(environment, compiler, &found);
            examiner
                .transcript(examiner.cc)
                .is_ok_and(|now| now == *asked)
        })
    {
        return Ok(record.toolchain.clone());
    }
    let known = record.map(Record::hashes).unwrap_or_default();
    let (toolchain, stamps, asked) = examine(arch, compiler, environment, &found, &known)?;
    let record = Record {
        found,
        stamps,
        asked,
        toolchain,
    };
    // Without the record the next run looks again; that is no reason to fail this one.
    let _ = record::write(&record_path, SCHEMA, &record);
    Ok(record.toolchain)
}

/// A toolchain without a program: enough for a configuration, and for nothing else ([`require`]).
fn absent(arch: Arch, named: &NamedCompiler) -> Toolchain {
    Toolchain {
        arch,
        compiler: named.family,
        prefix: named.prefix.clone().unwrap_or_default(),
        suffix: named.suffix.clone(),
        cc_version_text: String::new(),
        tools: Vec::new(),
    }
}

/// Refuses a toolchain that was not there when it was looked for: what it builds has no identity.
///
/// # Errors
/// As [`detect`], where commands of the source may run.
pub(super) fn require(
    toolchain: &Toolchain,
    named: &NamedCompiler,
    environment: &Environment,
) -> Result<(), Error> {
    match toolchain.tool(Role::Cc) {
        Some(_) => Ok(()),
        None => look_up(toolchain.arch, named, environment).map(drop),
    }
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
    found: Found,
    stamps: BTreeMap<Utf8PathBuf, Stamp>,
    /// What a compiler behind a wrapper said of itself.
    asked: Option<String>,
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

/// Device, inode, size, modification and change time: what tells a file from its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Stamp([i64; 7]);

impl Stamp {
    fn of(path: &Utf8Path) -> Result<Self, fs::Error> {
        let metadata = std::fs::metadata(path).context("read", path)?;
        Ok(Stamp([
            metadata.dev().cast_signed(),
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
        let program = match row.role {
            Role::Hostcc if environment.unwrapped.is_some() => "cc".to_owned(),
            _ => toolchain::program(row, compiler, &prefix, &suffix),
        };
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
                .is_some_and(|name| toolchain::MASQUERADES.contains(&name))
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
    arguments: Vec<String>,
    /// What the compiler said of itself, where it has to be asked again.
    asked: Option<String>,
    /// Files and directories that decide which program this is without being part of it.
    witnesses: Vec<Utf8PathBuf>,
}

type Stamps = BTreeMap<Utf8PathBuf, Stamp>;

fn examine(
    arch: Arch,
    compiler: Compiler,
    environment: &Environment,
    found: &Found,
    known: &BTreeMap<(Utf8PathBuf, Stamp), Sha256>,
) -> Result<(Toolchain, Stamps, Option<String>), Error> {
    let examiner = Examiner::new(environment, compiler, found);
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
            arguments: sighting.arguments.clone(),
        })
        .collect();
    let asked = sightings.into_iter().find_map(|sighting| sighting.asked);
    let toolchain = Toolchain {
        arch,
        compiler,
        prefix: found.prefix.clone(),
        suffix: found.suffix.clone(),
        cc_version_text: examiner.first_line(examiner.cc, "--version")?,
        tools,
    };
    Ok((toolchain, stamps, asked))
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

impl<'a> Examiner<'a> {
    fn new(environment: &'a Environment, compiler: Compiler, found: &'a Found) -> Self {
        Examiner {
            environment,
            compiler,
            cc: &found.programs[&Role::Cc],
        }
    }

    /// `None` where the program turns out to be of no use.
    fn sight(
        &self,
        row: &RoleRow,
        mut program: String,
        place: &Utf8Path,
    ) -> Result<Option<Sighting>, Error> {
        let mut path = place.to_owned();
        let mut witnesses = Vec::new();
        let mut parts = BTreeMap::new();
        let (mut arguments, mut asked) = (Vec::new(), None);
        // What the program loads libraries for, beside itself.
        let mut loaders = Vec::new();
        match row.role {
            Role::Cc => {
                let wrapper = self.wrapper(place)?;
                loaders.extend(wrapper.driver.clone());
                parts.extend(wrapper.driver.map(|driver| ("driver".to_owned(), driver)));
                parts.extend(wrapper.configs.into_iter().map(named));
                witnesses.extend(wrapper.witnesses);
                (arguments, asked) = (wrapper.arguments, wrapper.asked);
                for file in self.own_files()? {
                    if !HEADERS.contains(&file.file_name().unwrap_or_default()) {
                        loaders.push(file.clone());
                    }
                    if file.file_name() == Some("cc1") {
                        // A file that is put beside it may come before others.
                        witnesses.extend(file.parent().map(Utf8Path::to_owned));
                    }
                    let (name, file) = named(file);
                    parts.insert(name, file);
                }
            }
            Role::As => {
                if let Some(answer) = self.ask_for_file("-print-prog-name=as")? {
                    path = answer;
                }
            }
            Role::Hostcc if self.environment.unwrapped.is_some() => program = "cc".to_owned(),
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
        if row.reach != Reach::Never {
            for (index, file) in self.behind(&path)?.into_iter().enumerate() {
                loaders.push(file.clone());
                parts.insert(format!("behind-{}", index + 1), file);
            }
        }
        loaders.insert(0, path.clone());
        parts.extend(self.libraries(&loaders)?);
        let version = self.version(row.role, &path)?;
        Ok(Some(Sighting {
            role: row.role,
            program,
            path,
            version,
            parts,
            arguments,
            asked,
            witnesses,
        }))
    }

    /// What belongs to the compiler beside its driver. GCC prints the name alone of what it
    /// has none of.
    fn own_files(&self) -> Result<Vec<Utf8PathBuf>, Error> {
        let questions: &[&str] = match self.compiler {
            Compiler::Gcc => &[
                "-print-prog-name=cc1",
                "-print-prog-name=collect2",
                // What it links with, where that is its own.
                "-print-prog-name=ld",
                "-print-file-name=liblto_plugin.so",
                "-print-libgcc-file-name",
                // A file that replaces what is built into the driver.
                "-print-file-name=specs",
            ],
            Compiler::Clang => &[],
        };
        let answers = in_parallel(questions, |question| self.ask_for_file(question))?;
        let headers = self.ask_for_path("-print-file-name=include")?;
        let headers = headers.into_iter().flat_map(|directory| {
            HEADERS
                .iter()
                .map(move |header| directory.join(header))
                .filter(|header| header.is_file())
        });
        Ok(answers.into_iter().flatten().chain(headers).collect())
    }

    /// What stands in front of the compiler at `place`, by what the compiler says of itself.
    fn wrapper(&self, place: &Utf8Path) -> Result<Wrapper, Error> {
        let transcript = self.transcript(place)?;
        let said = Driver::parse(&transcript);
        let mut wrapper = Wrapper::default();
        let driver = said
            .program
            .as_ref()
            .and_then(|program| match program.contains('/') {
                true => Some(self.outside(program.into())),
                false => exec::find_on_path(program, &self.environment.path),
            });
        if let Some(driver) = &driver
            && !is_same(driver, place)
        {
            let plain = Driver::parse(&self.transcript(driver)?);
            wrapper.arguments = said.added_to(&plain);
            wrapper.driver = Some(driver.clone());
        }
        if self.compiler == Compiler::Clang {
            wrapper.configs = said
                .configs
                .iter()
                .map(|file| self.outside(file.into()))
                .filter(|file| file.is_file())
                .collect();
            // Where a configuration file of Clang's may come to be.
            for program in [Some(place), driver.as_deref()].into_iter().flatten() {
                let target = program.canonicalize_utf8();
                let target = target.unwrap_or_else(|_| program.to_owned());
                wrapper
                    .witnesses
                    .extend(target.parent().map(Utf8Path::to_owned));
            }
        }
        if wrapper.driver.is_some() || script(place)?.is_some() {
            wrapper.asked = Some(transcript);
        }
        Ok(wrapper)
    }

    /// What a compiler says that it would do for a file of C.
    fn transcript(&self, cc: &Utf8Path) -> Result<String, Error> {
        let call = self
            .call(cc, "-###")
            .args(["-S", "-x", "c", "/dev/null", "-o", "/dev/null"]);
        let (output, _) = exec::capture_unchecked(&call)?;
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// The programs that a script starts and the files that it reads, with those that these name in turn: a settings
    /// file, or one that says which program to start.
    fn behind(&self, start: &Utf8Path) -> Result<Vec<Utf8PathBuf>, Error> {
        let mut found: Vec<Utf8PathBuf> = Vec::new();
        let mut level = vec![start.to_owned()];
        for _ in 0..SCRIPT_DEPTH {
            let mut next = Vec::new();
            for file in level {
                let text = match script(&file)? {
                    Some(text) => text,
                    None if is_same(&file, start) => continue,
                    None => match settings(&file)? {
                        Some(text) => text,
                        None => continue,
                    },
                };
                for program in toolchain::named_programs(&text) {
                    let place = match program.starts_with('/') {
                        true => {
                            Some(self.outside(program.into())).filter(|place| is_content(place))
                        }
                        false => exec::find_on_path(&program, &self.environment.path),
                    };
                    let is_new = |place: &Utf8PathBuf| {
                        !found.iter().any(|known| is_same(known, place)) && !is_same(place, &file)
                    };
                    if let Some(place) = place.filter(is_new) {
                        found.push(place.clone());
                        next.push(place);
                    }
                }
            }
            level = next;
        }
        Ok(found)
    }

    /// Where the compiler has one of its own files; a bare name is how gcc says that it has none.
    fn ask_for_file(&self, question: &str) -> Result<Option<Utf8PathBuf>, Error> {
        Ok(self.ask_for_path(question)?.filter(|path| path.is_file()))
    }

    fn ask_for_path(&self, question: &str) -> Result<Option<Utf8PathBuf>, Error> {
        let answer = Utf8PathBuf::from(self.first_line(self.cc, question)?);
        Ok(Some(answer)
            .filter(|answer| answer.is_absolute())
            .map(|answer| self.outside(answer)))
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

    /// What the dynamic loader would load for `files`; nothing for a script or a static program.
    fn libraries(&self, files: &[Utf8PathBuf]) -> Result<Vec<(String, Utf8PathBuf)>, Error> {
        let loadable = |file: &&Utf8PathBuf| {
            !matches!(file.extension(), Some("a" | "h")) && file.file_name() != Some("specs")
        };
        let files: Vec<_> = files.iter().filter(loadable).collect();
        let calls: Vec<Call> = match (&self.environment.root, files.as_slice()) {
            // What ldd does, without the package that has it (ld.so(8)).
            (Some(root), files) => {
                let loader = root.outside("/usr/lib64/ld-linux-x86-64.so.2".into());
                files
                    .iter()
                    .map(|file| {
                        let inside = root.inside(file).into_string();
                        self.call(&loader, "--list").arg(inside)
                    })
                    .collect()
            }
            (None, []) => Vec::new(),
            (None, [first, rest @ ..]) => {
                let call = self.call("ldd".into(), first.as_str());
                vec![call.args(rest.iter().map(|file| file.to_string()))]
            }
        };
        let mut libraries = Vec::new();
        for call in calls {
            let (output, _) = exec::capture_unchecked(&call)?;
            libraries.extend(toolchain::parse_ldd(&output.text()));
        }
        Ok(libraries
            .into_iter()
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

/// What stands in front of a compiler under its name.
#[derive(Default)]
struct Wrapper {
    /// The compiler's own driver, where something stands in front of it.
    driver: Option<Utf8PathBuf>,
    /// See [`Tool::arguments`].
    arguments: Vec<String>,
    /// Files that Clang takes more options from.
    configs: Vec<Utf8PathBuf>,
    witnesses: Vec<Utf8PathBuf>,
    asked: Option<String>,
}

fn named(file: Utf8PathBuf) -> (String, Utf8PathBuf) {
    let name = file.file_name().unwrap_or(file.as_str()).to_owned();
    (name, file)
}

/// Whether two paths lead to one file.
fn is_same(one: &Utf8Path, other: &Utf8Path) -> bool {
    match (std::fs::metadata(one), std::fs::metadata(other)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => one == other,
    }
}

/// Whether a file has content of its own, unlike devices and what the kernel makes up.
fn is_content(path: &Utf8Path) -> bool {
    let made_up = ["/dev", "/proc", "/sys"]
        .iter()
        .any(|top| path.starts_with(top));
    !made_up && std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file())
}

/// The text of a short file that a script reads, from its second line on as scripts are read; `None` for programs.
fn settings(path: &Utf8Path) -> Result<Option<String>, Error> {
    let (file, _) = fs::open(path).context("read", path)?;
    let mut text = Vec::new();
    file.take(SCRIPT_LIMIT)
        .read_to_end(&mut text)
        .context("read", path)?;
    Ok(match String::from_utf8(text) {
        Ok(text) if !text.contains('\0') => Some(format!("\n{text}")),
        _ => None,
    })
}

/// The text of a script; `None` for any other file.
fn script(path: &Utf8Path) -> Result<Option<String>, Error> {
    let (mut file, _) = fs::open(path).context("read", path)?;
    let mut start = [0; 2];
    let is_script = match file.read_exact(&mut start) {
        Ok(()) => &start == b"#!",
        Err(_) => false,
    };
    if !is_script {
        return Ok(None);
    }
    let mut text = Vec::new();
    file.take(SCRIPT_LIMIT)
        .read_to_end(&mut text)
        .context("read", path)?;
    // The mark counts as part of the first line.
    Ok(Some(format!("#!{}", String::from_utf8_lossy(&text))))
}

/// Whether a program is one of rustup's proxies, which run what its settings choose.
pub(super) fn is_rustup(place: &Utf8Path) -> bool {
    place
        .canonicalize_utf8()
        .is_ok_and(|target| target.file_name() == Some("rustup"))
}

#[cfg(test)]
mod tests;

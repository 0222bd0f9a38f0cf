//! A kernel tree's Kconfig as the tree's own Makefile would have it read.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};

use super::super::{exec, fs};
use super::probe::{NotRecorded, Prober, Record, Runner};
use super::{TreeReader, detect_dialect, image, shell};
use crate::kconfig::{self, Dialect, Kconfig, ProbeResult};
use crate::process::Call;

/// What a tree is read for.
#[derive(Clone, Debug)]
pub struct Tree<'a> {
    /// The source tree.
    pub source: &'a Utf8Path,
    /// Where probes run and make temporary directories: the build directory, or any other.
    pub directory: &'a Utf8Path,
    /// `ARCH`, as make takes it.
    pub arch: &'a str,
    /// Variables of make's command line: `CROSS_COMPILE`, `LLVM`, `CC` …
    pub make_variables: &'a BTreeMap<String, String>,
    /// What probes see besides: `PATH`, `HOME` and the like.
    pub environment: &'a BTreeMap<String, String>,
}

/// Where the output of `$(shell …)` comes from.
///
/// Running it runs whatever the tree says: a tree that is not trusted is read
/// with [`Probes::Recorded`] or [`Probes::None`], which start no process.
#[derive(Clone, Debug)]
pub enum Probes<'a> {
    /// Commands run, those of earlier calls kept below the directory.
    Run(Option<&'a Utf8Path>),
    /// From a record; a command that is not in it is an error. What the Makefile
    /// asks the tools for (`CC_VERSION_TEXT`, `RUSTC_VERSION_TEXT`, `PAHOLE_VERSION`)
    /// is then empty unless it is among the make variables.
    Recorded(&'a Record),
    /// Every command fails, and prints what it prints then or `0`; no process starts: good enough to list symbols and explain
    /// structure, not to predict a configuration.
    None,
}

/// A tree that was read.
#[derive(Debug)]
pub struct Loaded {
    /// Its model.
    pub kconfig: Kconfig,
    /// The environment it was read in.
    pub variables: BTreeMap<String, String>,
    /// What its probes printed: enough to read it again anywhere.
    pub record: Record,
    /// What its probes complained about.
    pub stderr: Vec<u8>,
}

/// Why a tree could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of it could not be read.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// Its Kconfig files are wrong.
    #[error(transparent)]
    Kconfig(#[from] kconfig::Error),
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::File(error) => error.hint(),
            Error::Kconfig(error) => error.hint(),
        }
    }
}

/// Reads a tree's Kconfig files in the environment its Makefile would set up.
pub fn load_tree(tree: &Tree<'_>, probes: &Probes<'_>) -> Result<Loaded, Error> {
    let dialect = detect_dialect(tree.source, Dialect::V7)?;
    let reader = TreeReader::new(tree.directory);
    let runs = matches!(probes, Probes::Run(_));
    let variables = makefile_variables(tree, runs)?;
    let load = |probe: &mut dyn FnMut(&[u8]) -> ProbeResult| {
        Kconfig::load(&reader, "Kconfig", probe, &variables, dialect)
    };
    let (kconfig, record, stderr) = match probes {
        Probes::Run(cache) => {
            let runner = Runner {
                directory: tree.directory.to_owned(),
                variables: variables.clone(),
            };
            let mut prober = Prober::new(runner, *cache);
            let question = image::Question {
                directory: tree.directory,
                root: "Kconfig",
                variables: &variables,
                dialect,
            };
            let kconfig = image::load(&question, &mut prober, *cache)?;
            (kconfig, prober.record, prober.stderr)
        }
        Probes::Recorded(record) => {
            let kconfig = load(&mut |command| {
                let output = record.get(command).ok_or(NotRecorded)?;
                Ok(output.to_vec())
            })?;
            (kconfig, (*record).clone(), Vec::new())
        }
        Probes::None => {
            let kconfig = load(&mut |command| Ok(failed(command)))?;
            (kconfig, Record::default(), Vec::new())
        }
    };
    Ok(Loaded {
        kconfig,
        variables,
        record,
        stderr,
    })
}

/// What a command prints on a machine where every program is there and none of them does
/// what it is asked: the text behind the last `|| echo`. One without that prints `0`, since
/// nothing at all would leave a statement without its value.
fn failed(command: &[u8]) -> Vec<u8> {
    let command = String::from_utf8_lossy(command);
    let answer = shell::answer(&command, |_| true, |_| false);
    if let Some(output) = answer.filter(|output| output != b"\n") {
        return output;
    }
    let text = match command.rsplit_once("|| echo ") {
        Some((_, text)) => text.trim().trim_matches('"'),
        None => "0",
    };
    text.as_bytes().to_vec()
}

/// The directory below `arch/` of an `ARCH`.
fn source_arch(arch: &str) -> &str {
    match arch {
        "i386" | "x86_64" => "x86",
        "sparc32" | "sparc64" => "sparc",
        "parisc64" => "parisc",
        arch => arch,
    }
}

/// Target triples clang is given where no `CROSS_COMPILE` names one.
const CLANG_TARGETS: &[(&str, &str)] = &[
    ("arm", "arm-linux-gnueabi"),
    ("arm64", "aarch64-linux-gnu"),
    ("hexagon", "hexagon-linux-musl"),
    ("loongarch", "loongarch64-linux-gnusf"),
    ("m68k", "m68k-linux-gnu"),
    ("mips", "mipsel-linux-gnu"),
    ("powerpc", "powerpc64le-linux-gnu"),
    ("riscv", "riscv64-linux-gnu"),
    ("s390", "s390x-linux-gnu"),
    ("sparc", "sparc64-linux-gnu"),
    ("x86", "x86_64-linux-gnu"),
];

/// The environment the kernel's top Makefile exports to its Kconfig reader.
fn makefile_variables(tree: &Tree<'_>, runs: bool) -> Result<BTreeMap<String, String>, Error> {
    let mut variables = tree.environment.clone();
    // The Makefile takes messages in the user's language, but sorts and counts in C.
    variables.remove("LC_ALL");
    variables.remove("CONFIG_");
    let get = |name: &str| tree.make_variables.get(name).map(String::as_str);
    let cross = get("CROSS_COMPILE").unwrap_or("");
    let source_arch = source_arch(tree.arch);
    let llvm = get("LLVM").filter(|llvm| !llvm.is_empty());
    let (prefix, suffix) = match llvm {
        Some(llvm) if llvm.ends_with('/') => (llvm, ""),
        Some(llvm) if llvm.starts_with('-') => ("", llvm),
        _ => ("", ""),
    };
    let mut set = |name: &str, value: String| {
        let value = get(name).map_or(value, str::to_owned);
        variables.insert(name.to_owned(), value);
    };
    let tool = |gnu: &str, clang: &str| match llvm {
        Some(_) => format!("{prefix}{clang}{suffix}"),
        None => format!("{cross}{gnu}"),
    };
    set("ARCH", tree.arch.to_owned());
    set("SRCARCH", source_arch.to_owned());
    set("CROSS_COMPILE", cross.to_owned());
    set("CC", tool("gcc", "clang"));
    set("LD", tool("ld", "ld.lld"));
    set("AR", tool("ar", "llvm-ar"));
    set("NM", tool("nm", "llvm-nm"));
    set("OBJCOPY", tool("objcopy", "llvm-objcopy"));
    set("OBJDUMP", tool("objdump", "llvm-objdump"));
    set("READELF", tool("readelf", "llvm-readelf"));
    set("STRIP", tool("strip", "llvm-strip"));
    let host = match llvm {
        Some(_) => format!("{prefix}clang{suffix}"),
        None => "gcc".to_owned(),
    };
    set("HOSTCC", host);
    set("RUSTC", "rustc".to_owned());
    set("BINDGEN", "bindgen".to_owned());
    set("PAHOLE", "pahole".to_owned());
    set("PYTHON3", "python3".to_owned());
    set("CROSS_COMPILE_COMPAT", String::new());
    set("srctree", tree.source.to_string());
    set("KERNELVERSION", kernel_version(tree.source)?);
    set("LC_COLLATE", "C".to_owned());
    set("LC_NUMERIC", "C".to_owned());
    set("RUSTC_BOOTSTRAP", "1".to_owned());
    if tree.arch == "um" {
        set("HEADER_ARCH", "x86".to_owned());
        set("SUBARCH", "x86_64".to_owned());
    }
    for (name, value) in tree.make_variables {
        variables
            .entry(name.clone())
            .or_insert_with(|| value.clone());
    }
    let first_line = |command: &str| -> String {
        let mut words = command.split_whitespace().map(str::to_owned);
        let call = Call::new(words.next().unwrap_or_default(), tree.directory)
            .args(words)
            .envs(&variables)
            .env("LC_ALL", "C");
        // A compiler that is not there has an empty version: the tree itself complains.
        let output = runs.then(|| exec::capture_unchecked(&call).ok()).flatten();
        let text = output.map(|(output, _)| output.text()).unwrap_or_default();
        text.lines().next().unwrap_or("").replace('#', "")
    };
    let compiler = first_line(&format!("{} --version", variables["CC"]));
    let rust = first_line(&format!("{} --version", variables["RUSTC"]));
    let script = tree.source.join("scripts/pahole-version.sh");
    let pahole = match runs {
        true => first_line(&format!("{script} {}", variables["PAHOLE"])),
        false => "0".to_owned(),
    };
    let clang_flags = if compiler.contains("clang") {
        let triple = match cross.trim_end_matches('-') {
            "" => CLANG_TARGETS
                .iter()
                .find(|(arch, _)| *arch == source_arch)
                .map_or("", |(_, triple)| triple),
            named => named.rsplit('/').next().unwrap_or(named),
        };
        let triple = if tree.arch == "i386" {
            "i386-linux-gnu"
        } else {
            triple
        };
        let assembler = if get("LLVM_IAS") == Some("0") {
            "-fno-integrated-as"
        } else {
            "-fintegrated-as"
        };
        format!(
            "--target={triple} {assembler} -Werror=unknown-warning-option \
             -Werror=ignored-optimization-argument -Werror=option-ignored \
             -Werror=unused-command-line-argument"
        )
    } else {
        String::new()
    };
    for (name, value) in [
        ("CC_VERSION_TEXT", compiler),
        ("RUSTC_VERSION_TEXT", rust),
        ("PAHOLE_VERSION", pahole),
        ("CLANG_FLAGS", clang_flags),
    ] {
        variables.entry(name.to_owned()).or_insert(value);
    }
    Ok(variables)
}

/// `make kernelversion`.
fn kernel_version(source: &Utf8Path) -> Result<String, Error> {
    let path: Utf8PathBuf = source.join("Makefile");
    let text = fs::input_text(&path)?;
    let value = |name: &str| {
        let line = text.lines().find(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.trim_start().starts_with('='))
        });
        let value = line.and_then(|line| line.split_once('='));
        value.map_or("", |(_, value)| value.trim())
    };
    Ok(format!(
        "{}.{}.{}{}",
        value("VERSION"),
        value("PATCHLEVEL"),
        value("SUBLEVEL"),
        value("EXTRAVERSION")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_tree_runs_nothing_without_probes() {
        let temporary = tempfile::tempdir().unwrap();
        let directory = Utf8Path::from_path(temporary.path()).unwrap();
        let text = "A := $(shell,touch ran)\nconfig A\n\tstring\n\tdefault \"$(shell,echo x >ran; cat ran)\"\n";
        fs::write_atomic(directory.join("Kconfig"), text.as_bytes()).unwrap();
        fs::write_atomic(
            directory.join("Makefile"),
            b"VERSION = 6\nPATCHLEVEL = 12\n",
        )
        .unwrap();
        let (none, environment) = (
            BTreeMap::new(),
            BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
        );
        let tree = Tree {
            source: directory,
            directory,
            arch: "x86_64",
            make_variables: &none,
            environment: &environment,
        };
        let ran = |probes: &Probes<'_>| {
            let loaded = load_tree(&tree, probes);
            (loaded.is_ok(), directory.join("ran").exists())
        };
        assert_eq!(ran(&Probes::None), (true, false));
        let empty = Record::default();
        assert_eq!(ran(&Probes::Recorded(&empty)), (false, false));
        // Which the test would see.
        assert_eq!(ran(&Probes::Run(None)), (true, true));
    }
}

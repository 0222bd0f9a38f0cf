//! The environment of a devShell of the flake, asked for once and kept until the flake or
//! its lock changes.
//!
//! ```text
//! <cache>/shell/<key>.json    the variables
//! <cache>/shell/<key>         a link to the shell in the Nix store, which keeps its tools there
//! <cache>/shell/<key>-tools   links to the compilers that the shell names besides its PATH
//! ```

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;

use super::flake::Flake;
use super::program::{self, Nix};
use crate::effect::environment::Environment;
use crate::effect::{exec, fs, record};
use crate::source::Sha256;

/// Why there is no environment.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file.
    #[error(transparent)]
    Fs(#[from] fs::Error),
    /// No flake.
    #[error("{root} has no flake.nix, whose devShell `{shell}` is asked for")]
    NoFlake {
        /// The workspace.
        root: Utf8PathBuf,
        /// The name.
        shell: String,
    },
    /// Nix could not make it.
    #[error("Nix does not give the devShell `{shell}` of {root}")]
    Nix {
        /// The workspace.
        root: Utf8PathBuf,
        /// The name.
        shell: String,
        /// What it said.
        #[source]
        source: Box<exec::Error>,
    },
    /// Another answer than expected.
    #[error("`nix print-dev-env` of {root} cannot be read")]
    Answer {
        /// The workspace.
        root: Utf8PathBuf,
        /// Where.
        #[source]
        source: serde_json::Error,
    },
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Error::Fs(error) => return error.hint(),
            Error::NoFlake { .. } => {
                "a pinned toolchain needs no flake (`--toolchain debian-12`); `nix flake init` with kernelkit's template writes one"
                    .to_owned()
            }
            Error::Nix {
                shell,
                root,
                source,
            } => match program::cause(source) {
                Some(cause) => cause.hint().to_owned(),
                None => format!(
                    "`nix develop {root}#{shell}` shows the same; git must know flake.nix and flake.lock, and its devShells be kernelkit's `lib.devShells`"
                ),
            },
            Error::Answer { .. } => "Nix 2.8 or newer is needed".to_owned(),
        })
    }
}

/// What `nix print-dev-env --json` says.
#[derive(Deserialize)]
struct Answer {
    variables: BTreeMap<String, Variable>,
}

#[derive(Deserialize)]
struct Variable {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    value: serde_json::Value,
}

/// The variable of a toolchain's shell that names compilers for make, one a line.
const COMPILERS: &str = "toolchainVariables";

/// The form of what is kept of a shell.
const FORMAT: u32 = 1;

/// `environment` with the tools of a devShell of the flake in `root`. The variables that compiler wrappers of
/// nixpkgs read go along, as they do in `nix/build-kernel.sh`; no other does. With `unwrapped`
/// compilers are those that the kernel's derivation names.
pub fn enter(
    root: &Utf8Path,
    shell: &str,
    unwrapped: bool,
    nix: &Nix,
    environment: &Environment,
) -> Result<Environment, Error> {
    let directory = environment.cache_dir.join("shell");
    let key = key(root, shell, nix)?;
    let (file, link) = (directory.join(format!("{key}.json")), directory.join(&key));
    let kept = record::read::<BTreeMap<String, String>>(&file, FORMAT)
        // Without its root the collector may have taken the tools away.
        .filter(|_| link.is_symlink());
    let variables = match kept {
        Some(variables) => variables,
        None => {
            fs::create_dir_all(&directory)?;
            let flake = Flake::open(root, environment)?;
            let variables = ask(root, &flake, shell, nix, &link)?;
            record::write(&file, FORMAT, &variables)?;
            variables
        }
    };
    let mut inner = environment.clone();
    for (name, value) in variables {
        match name.as_str() {
            "PATH" => {
                let directories = value.split(':').map(Utf8Path::new);
                let outside: Vec<_> = directories
                    .map(|directory| nix.outside(directory).into_string())
                    .collect();
                inner.path = outside.join(":");
            }
            COMPILERS if unwrapped => inner.unwrapped = Some(link_compilers(&value, nix, &link)?),
            COMPILERS => {}
            _ => {
                inner.shell.insert(name, value);
            }
        }
    }
    if let Some(unwrapped) = &inner.unwrapped {
        inner.path = format!("{unwrapped}:{}", inner.path);
    }
    Ok(inner)
}

/// A directory with every program that `assignments` give to make by its path.
fn link_compilers(assignments: &str, nix: &Nix, link: &Utf8Path) -> Result<Utf8PathBuf, fs::Error> {
    let directory = Utf8PathBuf::from(format!("{link}-tools"));
    fs::create_dir_all(&directory)?;
    let values = assignments.lines().filter_map(|line| line.split_once('='));
    for program in values.map(|(_, program)| Utf8Path::new(program)) {
        if let (true, Some(name)) = (program.is_absolute(), program.file_name()) {
            fs::symlink_atomic(nix.outside(program), directory.join(name))?;
        }
    }
    Ok(directory)
}

/// Whatever can change the shell: the lock, the flake and its parts, Nix.
fn key(root: &Utf8Path, shell: &str, nix: &Nix) -> Result<String, Error> {
    let flake = root.join("flake.nix");
    if !flake.exists() {
        return Err(Error::NoFlake {
            root: root.to_owned(),
            shell: shell.to_owned(),
        });
    }
    let mut files = vec![flake, root.join("flake.lock")];
    let parts = root.join("nix");
    if parts.is_dir() {
        let mut names = fs::file_names(&parts)?;
        names.sort();
        files.extend(names.iter().map(|name| parts.join(name)));
    }
    let mut text = format!("{root} {shell} {} {}\n", nix.version, nix.store);
    for file in files {
        if let Some(bytes) = fs::read_optional(&file).unwrap_or_default() {
            text.push_str(&format!("{} {file}\n", Sha256::of(&bytes)));
        }
    }
    Ok(Sha256::of(text.as_bytes()).to_string()[..32].to_owned())
}

fn ask(
    root: &Utf8Path,
    flake: &Flake,
    shell: &str,
    nix: &Nix,
    link: &Utf8Path,
) -> Result<BTreeMap<String, String>, Error> {
    let call = nix.call("nix").args([
        "--extra-experimental-features",
        "nix-command flakes",
        "print-dev-env",
        "--json",
        "--profile",
        link.as_str(),
        &format!("{}#{shell}", flake.dir),
    ]);
    let output = exec::capture(&call).map_err(|source| Error::Nix {
        root: root.to_owned(),
        shell: shell.to_owned(),
        source: Box::new(source),
    })?;
    let answer: Answer =
        serde_json::from_slice(&output.stdout).map_err(|source| Error::Answer {
            root: root.to_owned(),
            source,
        })?;
    let wanted = |name: &str| {
        const BEGINNINGS: [&str; 8] = [
            "NIX_CC_",
            "NIX_CFLAGS_",
            "NIX_LDFLAGS",
            "NIX_BINTOOLS_",
            "NIX_PKG_CONFIG_",
            "NIX_HARDENING_",
            "NIX_ENFORCE_",
            "PKG_CONFIG",
        ];
        matches!(name, "PATH" | "NIX_STORE" | COMPILERS)
            || BEGINNINGS
                .iter()
                .any(|beginning| name.starts_with(beginning))
    };
    let variables = answer.variables.into_iter();
    Ok(variables
        .filter(|(name, variable)| variable.kind == "exported" && wanted(name))
        .filter_map(|(name, variable)| Some((name, variable.value.as_str()?.to_owned())))
        .collect())
}

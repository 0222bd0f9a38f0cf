//! What builds a kernel, and why just that.
//!
//! Nix builds only what it can build as the host would: the same identity, the same files.
//! Where nobody chose, it is taken only for a kernel that is as `kernel.lock` says, so that
//! having Nix installed changes nothing for those who do not use it.
//!
//! Pure: whether Nix is here comes in through a closure, asked only where it matters.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use crate::manifest::Backend;
use crate::nix::failure::Cause;
use crate::sourced::Sourced;
use crate::spec::{BackendChoice, KernelSpec};

/// Why a kernel is built by its backend, or cannot be by another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Reason {
    /// Somebody said so.
    Asked {
        /// Who.
        by: String,
    },
    /// The kernel is as `kernel.lock` says, its toolchain is pinned, and Nix is here.
    Locked,
    /// `kernel.lock` does not have it.
    NotLocked,
    /// It is another kernel than the one in `kernel.lock`.
    Changed,
    /// The kernel embeds the time, user and host of its build.
    NotReproducible,
    /// A setting that the derivation does not know.
    Setting {
        /// Its key.
        key: String,
    },
    /// The toolchain is this machine's.
    HostToolchain,
    /// The Debian root runs on other machines.
    OtherSystem {
        /// In Nix' words.
        system: String,
    },
    /// Nix cannot be used.
    NoNix {
        /// Why.
        what: String,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Asked { by } => write!(f, "{by} asks for it"),
            Reason::Locked => f.write_str("it is as kernel.lock says, and Nix is here"),
            Reason::NotLocked => f.write_str("it is not in kernel.lock"),
            Reason::Changed => f.write_str("kernel.lock has another kernel under this name"),
            Reason::NotReproducible => f.write_str("it is not to be reproducible"),
            Reason::Setting { key } => write!(f, "`{key}` is not for derivations"),
            Reason::HostToolchain => f.write_str("its toolchain is this machine's own"),
            Reason::OtherSystem { system } => write!(f, "its toolchain runs on {system}"),
            Reason::NoNix { what } => write!(f, "Nix cannot be used: {what}"),
        }
    }
}

impl Reason {
    /// What to do where it keeps the wanted backend from being used.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Reason::NoNix { what } => Cause::of(what)
                .map_or(
                    "install Nix (Debian: `apt-get install nix-bin`), or build with `--backend host`",
                    Cause::hint,
                )
                .to_owned(),
            Reason::OtherSystem { system } => format!(
                "build on {system}, or pin a toolchain for this machine with `cargo kernel toolchain pin`"
            ),
            Reason::NotReproducible => {
                "leave `reproducible` on, or build with `--backend host`".to_owned()
            }
            Reason::Setting { key } => {
                format!("leave `{key}` at its default, or build with `--backend host`")
            }
            _ => return None,
        })
    }
}

/// The derivation's own view of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// The lock does not have it.
    Missing,
    /// The lock has another.
    Differs,
    /// The lock has it.
    Same,
}

/// Chooses the backend of a kernel. `toolchain_system` is where its pinned toolchain runs,
/// `None` for the machine's own; `machine` is this machine, both in Nix' words. `nix` says
/// why Nix cannot be used.
///
/// # Errors
/// What keeps the backend that was asked for from building it.
pub fn choose(
    spec: &KernelSpec,
    lock: Lock,
    toolchain_system: Option<&str>,
    machine: &str,
    nix: impl FnOnce() -> Option<String>,
) -> Result<(Backend, Reason), Reason> {
    let asked = || Reason::Asked {
        by: spec.backend.origin.to_string(),
    };
    let unfit = || unfit(spec, toolchain_system, machine);
    let no_nix = || nix().map(|what| Reason::NoNix { what });
    match spec.backend.value {
        BackendChoice::Only(Backend::Nix) => match unfit().or_else(no_nix) {
            None => Ok((Backend::Nix, asked())),
            Some(reason) => Err(reason),
        },
        // In a pinned root the shell needs no Nix.
        BackendChoice::Only(Backend::Shell) if toolchain_system.is_none() => match no_nix() {
            None => Ok((Backend::Shell, asked())),
            Some(reason) => Err(reason),
        },
        BackendChoice::Only(backend) => Ok((backend, asked())),
        BackendChoice::Auto => {
            let reason = match lock {
                Lock::Missing => Some(Reason::NotLocked),
                _ if toolchain_system.is_none() => Some(Reason::HostToolchain),
                Lock::Differs => Some(Reason::Changed),
                Lock::Same => None,
            };
            Ok(match reason.or_else(unfit).or_else(no_nix) {
                None => (Backend::Nix, Reason::Locked),
                Some(reason) => (Backend::Host, reason),
            })
        }
    }
}

/// What a derivation cannot do as the host does.
fn unfit(spec: &KernelSpec, toolchain_system: Option<&str>, machine: &str) -> Option<Reason> {
    fn differs<T: PartialEq>(
        key: &str,
        setting: &Sourced<T>,
        default: impl Into<T>,
    ) -> Option<String> {
        (setting.value != default.into()).then(|| key.to_owned())
    }
    if !spec.reproducible.value {
        return Some(Reason::NotReproducible);
    }
    let key = differs("targets", &spec.targets, Vec::new())
        .or_else(|| differs("install", &spec.install, true))
        .or_else(|| differs("modules-install", &spec.modules_install, true))
        .or_else(|| differs("source-symlink", &spec.source_symlink, false));
    if let Some(key) = key {
        return Some(Reason::Setting { key });
    }
    toolchain_system
        .filter(|system| *system != machine)
        .map(|system| Reason::OtherSystem {
            system: system.to_owned(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Context, Manifest, ManifestTable, Overrides, parse};

    /// A kernel with these settings from line 4 on.
    fn parsed(settings: &str) -> KernelSpec {
        let manifest = Manifest {
            path: "Cargo.toml".into(),
            text: format!(
                "[workspace.metadata.kernel.kernels.k]\nversion = \"6.12\"\npreset = \"tiny\"\n{settings}\n"
            ),
            table: ManifestTable::Workspace,
        };
        let context = Context {
            root: "/ws".into(),
            current_dir: "/ws".into(),
            target_dir: "/ws/target".into(),
            host: Some("x86_64".parse().unwrap()),
        };
        let spec = parse(&[manifest], &Overrides::default(), &context).unwrap();
        spec.kernels.into_iter().next().unwrap()
    }

    #[test]
    fn nix_is_chosen_for_what_it_builds_as_the_host_does_and_for_nothing_else() {
        let debian = Some("x86_64-linux");
        let rows: &[(&str, Lock, Option<&str>, bool, &str)] = &[
            (
                "",
                Lock::Same,
                debian,
                true,
                "nix: it is as kernel.lock says, and Nix is here",
            ),
            (
                "",
                Lock::Same,
                debian,
                false,
                "host: Nix cannot be used: gone",
            ),
            (
                "",
                Lock::Missing,
                debian,
                true,
                "host: it is not in kernel.lock",
            ),
            (
                "",
                Lock::Differs,
                debian,
                true,
                "host: kernel.lock has another kernel under this name",
            ),
            (
                "",
                Lock::Same,
                None,
                true,
                "host: its toolchain is this machine's own",
            ),
            (
                "",
                Lock::Same,
                Some("aarch64-linux"),
                true,
                "host: its toolchain runs on aarch64-linux",
            ),
            (
                "reproducible = false",
                Lock::Same,
                debian,
                true,
                "host: it is not to be reproducible",
            ),
            (
                "targets = [\"bzImage\"]",
                Lock::Same,
                debian,
                true,
                "host: `targets` is not for derivations",
            ),
            (
                "backend = \"host\"",
                Lock::Same,
                debian,
                true,
                "host: Cargo.toml:4:1 asks for it",
            ),
            (
                "backend = \"shell\"",
                Lock::Missing,
                debian,
                false,
                "shell: Cargo.toml:4:1 asks for it",
            ),
            (
                "backend = \"shell\"",
                Lock::Missing,
                None,
                false,
                "no: Nix cannot be used: gone",
            ),
            (
                "backend = \"nix\"",
                Lock::Missing,
                None,
                true,
                "nix: Cargo.toml:4:1 asks for it",
            ),
            (
                "backend = \"nix\"",
                Lock::Same,
                debian,
                false,
                "no: Nix cannot be used: gone",
            ),
            (
                "backend = \"nix\"\ninstall = false",
                Lock::Same,
                debian,
                true,
                "no: `install` is not for derivations",
            ),
        ];
        for (settings, lock, system, has_nix, expected) in rows {
            let spec = parsed(settings);
            let chosen = choose(&spec, *lock, *system, "x86_64-linux", || {
                (!has_nix).then(|| "gone".to_owned())
            });
            let said = match chosen {
                Ok((backend, reason)) => format!("{backend}: {reason}"),
                Err(reason) => format!("no: {reason}"),
            };
            assert_eq!(said, *expected, "{settings} {lock:?}");
        }
    }
}

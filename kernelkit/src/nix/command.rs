//! Nix' own programs: which version they are, and what differs by version.
//!
//! What can be done with all supported versions alike is done so: outputs are realised with
//! `nix-store --realise 'X.drv!out'`, derivations are read as files, never as JSON.
//! [`effect::nix::program`](crate::effect::nix::program) finds and asks them.

use std::fmt;
use std::str::FromStr;

use super::store_path::{StoreDir, StorePath};
use crate::process::Call;

/// The oldest version that is supported.
pub const OLDEST: Version = Version { major: 2, minor: 8 };

/// A version of Nix; its patch level changes nothing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 2.
    pub major: u32,
    /// What counts.
    pub minor: u32,
}

/// Not what `nix-store --version` prints.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` does not name a version of Nix")]
pub struct NoVersion {
    text: String,
}

impl FromStr for Version {
    type Err = NoVersion;

    /// Reads `2.8.0`, `2.35.0pre20260901_abc` or a line such as `nix-store (Nix) 2.8.0`.
    fn from_str(text: &str) -> Result<Self, NoVersion> {
        let words = text.split_whitespace().next_back().unwrap_or_default();
        let mut numbers = words.split('.').map(|part| {
            let digits = part
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(part.len());
            part[..digits].parse().ok()
        });
        match (numbers.next().flatten(), numbers.next().flatten()) {
            (Some(major), Some(minor)) => Ok(Version { major, minor }),
            _ => Err(NoVersion {
                text: text.to_owned(),
            }),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What some versions have and others not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// `nix build X.drv` means the file itself; its outputs are `X.drv^*`.
    CaretOutputs,
    /// `nix build --print-out-paths`.
    PrintOutPaths,
    /// The daemon says whether it trusts its user.
    TrustTold,
}

/// Since when each is there.
const FEATURES: &[(Feature, Version)] = &[
    (
        Feature::CaretOutputs,
        Version {
            major: 2,
            minor: 15,
        },
    ),
    (Feature::PrintOutPaths, Version { major: 2, minor: 9 }),
    (
        Feature::TrustTold,
        Version {
            major: 2,
            minor: 15,
        },
    ),
];

impl Version {
    /// Whether this version has it.
    pub fn has(self, feature: Feature) -> bool {
        FEATURES
            .iter()
            .any(|(known, since)| *known == feature && self >= *since)
    }

    /// What `nix build` calls all outputs of a derivation.
    pub fn installable(self, store: &StoreDir, derivation: &StorePath) -> String {
        let path = store.display(derivation);
        match self.has(Feature::CaretOutputs) {
            true => format!("{path}^*"),
            false => path,
        }
    }
}

/// Builds or substitutes one output and keeps it by a GC root, the same with every version.
pub fn realise(
    call: Call,
    store: &StoreDir,
    derivation: &StorePath,
    output: &str,
    root: &str,
) -> Call {
    let target = format!("{}!{output}", store.display(derivation));
    call.args(["--realise", &target, "--add-root", root])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_nix_prints_them() {
        let rows = [
            ("nix-store (Nix) 2.8.0\n", Some((2, 8))),
            ("nix (Nix) 2.26.3", Some((2, 26))),
            ("nix (Nix) 2.35.0pre20260901_0123abc", Some((2, 35))),
            ("nix (Lix, like Nix) 2.91.1", Some((2, 91))),
            ("2.34.8", Some((2, 34))),
            ("", None),
            ("bash: nix: command not found", None),
        ];
        for (text, expected) in rows {
            let found = text.parse::<Version>().ok();
            assert_eq!(
                found.map(|version| (version.major, version.minor)),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn outputs_are_named_as_the_version_understands_them() {
        let store = StoreDir::default();
        let path: StorePath = "9naka7afy74rayridkxzybiid5vmqvkz-w.drv".parse().unwrap();
        let old: Version = "2.8.0".parse().unwrap();
        let new: Version = "2.26.3".parse().unwrap();
        assert!(old >= OLDEST && new > old);
        assert_eq!(old.installable(&store, &path), store.display(&path));
        assert_eq!(
            new.installable(&store, &path),
            format!("{}^*", store.display(&path))
        );
        assert!(!old.has(Feature::PrintOutPaths) && new.has(Feature::PrintOutPaths));
        let call = realise(Call::new("nix-store", "/"), &store, &path, "out", "/tmp/r");
        assert!(call.args[1].ends_with("-w.drv!out"), "{call}");
    }
}

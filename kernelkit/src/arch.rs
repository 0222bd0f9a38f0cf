//! Every architecture of the kernel tree, in one table.
//!
//! (The table's full form is under way on its own branch.)

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An architecture: a row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(into = "String")]
pub struct Arch(&'static str);

/// No such architecture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown architecture `{0}`")]
pub struct UnknownArch(pub String);

impl Arch {
    /// Our name, which is also the kernel's `ARCH=`.
    pub fn name(self) -> &'static str {
        self.0
    }
}

impl FromStr for Arch {
    type Err = UnknownArch;
    fn from_str(text: &str) -> Result<Self, UnknownArch> {
        ["x86_64", "arm64", "riscv64"]
            .into_iter()
            .find(|name| *name == text)
            .map(Arch)
            .ok_or_else(|| UnknownArch(text.to_owned()))
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl<'de> Deserialize<'de> for Arch {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl TryFrom<String> for Arch {
    type Error = UnknownArch;
    fn try_from(text: String) -> Result<Self, UnknownArch> {
        text.parse()
    }
}

impl From<Arch> for String {
    fn from(arch: Arch) -> String {
        arch.0.to_owned()
    }
}

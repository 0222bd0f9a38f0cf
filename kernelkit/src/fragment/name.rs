//! Fragment names, and the canonical order that lives in them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A fragment's place in the canonical order. The order of the variants *is* the
/// order of merging: a later layer wins over an earlier one.
///
/// A preset is the floor that everything else stands on. `version/` comes after
/// the category fragments it corrects for some kernels, and `builtin/` last, so
/// that it can promote what a category fragment made a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// `preset/`: whole-kernel configurations.
    Preset,
    /// `core/`.
    Core,
    /// `arch/`.
    Arch,
    /// `mem/`.
    Mem,
    /// `security/`.
    Security,
    /// `storage/`.
    Storage,
    /// `fs/`.
    Fs,
    /// `net/`.
    Net,
    /// `virt/`.
    Virt,
    /// `debug/`.
    Debug,
    /// `test/`.
    Test,
    /// `rust/`.
    Rust,
    /// `perf/`.
    Perf,
    /// Every other directory.
    Other,
    /// `version/`: what only some kernel versions need.
    Version,
    /// `builtin/`: mirrors of other fragments, with `y` for `m`.
    Builtin,
}

impl Layer {
    /// Every layer that has a directory of its own, in canonical order: the
    /// directory and what belongs into it.
    pub const TABLE: [(Layer, &'static str, &'static str); 15] = [
        (Layer::Preset, "preset", "whole-kernel configurations"),
        (Layer::Core, "core", "what a kernel is made of"),
        (Layer::Arch, "arch", "one architecture's needs"),
        (Layer::Mem, "mem", "memory management"),
        (Layer::Security, "security", "hardening and signing"),
        (Layer::Storage, "storage", "block devices"),
        (Layer::Fs, "fs", "file systems"),
        (Layer::Net, "net", "networking"),
        (Layer::Virt, "virt", "guests and hosts"),
        (Layer::Debug, "debug", "debugging and sanitizers"),
        (Layer::Test, "test", "in-kernel tests"),
        (Layer::Rust, "rust", "Rust in the kernel"),
        (Layer::Perf, "perf", "profiling and tuning"),
        (
            Layer::Version,
            "version",
            "what only some kernel versions need",
        ),
        (
            Layer::Builtin,
            "builtin",
            "mirrors of other fragments with `y` for `m`",
        ),
    ];

    /// The layer of a top directory.
    pub fn of(directory: &str) -> Layer {
        Layer::TABLE
            .iter()
            .find(|(_, name, _)| *name == directory)
            .map_or(Layer::Other, |(layer, _, _)| *layer)
    }
}

/// The order inside `core/`: what the others build on comes first, and the
/// version suffix last. Names that are not listed stand at [`CORE_OTHER`].
const CORE_ORDER: [(&str, u8); 7] = [
    ("64bit", 0),
    ("modules", 1),
    ("core", 2),
    ("systemd", 3),
    ("initrd", 4),
    ("localversion", 80),
    ("localversion-noauto", 81),
];
const CORE_OTHER: u8 = 50;

/// A fragment's name: its path below the library without `.config`, such as
/// `fs/ext4` or `builtin/fs/ext4`.
///
/// Names compare in the canonical order of merging, not as text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FragmentName {
    // The derived order reads the fields from the top: this is the canonical order.
    layer: Layer,
    /// Below `builtin/`, the layer of the fragment that is mirrored.
    mirrored: Layer,
    core: u8,
    text: Arc<str>,
}

/// Not a fragment's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a fragment's name")]
pub struct InvalidName(pub String);

impl InvalidName {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(
            "a name is `category/name`, as in `fs/ext4`: letters, digits, `_`, `-`, `.` and `+`, \
             each part starting with a letter or digit"
                .to_owned(),
        )
    }
}

impl FragmentName {
    /// The name, such as `fs/ext4`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The layer it is merged in.
    pub fn layer(&self) -> Layer {
        self.layer
    }
}

impl FromStr for FragmentName {
    type Err = InvalidName;

    /// Accepts the name with or without `.config`.
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let name = text.strip_suffix(".config").unwrap_or(text);
        let valid = |part: &str| {
            part.starts_with(|first: char| first.is_ascii_alphanumeric())
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"_-.+".contains(&byte))
        };
        let (directory, rest) = name
            .split_once('/')
            .filter(|_| name.split('/').all(valid))
            .ok_or_else(|| InvalidName(text.to_owned()))?;
        let layer = Layer::of(directory);
        let (mirrored, rest) = match rest.split_once('/') {
            Some((directory, rest)) if layer == Layer::Builtin => (Layer::of(directory), rest),
            _ => (layer, rest),
        };
        let core = CORE_ORDER
            .iter()
            .find(|(name, _)| mirrored == Layer::Core && *name == rest)
            .map_or(CORE_OTHER, |(_, rank)| *rank);
        Ok(FragmentName {
            layer,
            mirrored,
            core,
            text: name.into(),
        })
    }
}

impl fmt::Display for FragmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for FragmentName {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<FragmentName> for String {
    fn from(name: FragmentName) -> String {
        name.text.as_ref().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> FragmentName {
        text.parse().unwrap()
    }

    #[test]
    fn the_canonical_order_is_the_documented_one() {
        let sorted = [
            "preset/tiny",
            "core/64bit",
            "core/modules",
            "core/core",
            "core/systemd",
            "core/initrd",
            "core/boot",
            "core/localversion",
            "core/localversion-noauto",
            "arch/x86_64",
            "mem/zram",
            "security/hardening",
            "storage/nvme",
            "fs/9p",
            "fs/ext4",
            "net/core",
            "virt/guest",
            "debug/kasan",
            "test/module",
            "rust/rust",
            "perf/profiling",
            "aaa/mine",
            "local/mine",
            "version/a",
            "builtin/core/core",
            "builtin/fs/ext4",
            "builtin/virt/guest",
            "builtin/mine",
        ];
        let mut names: Vec<_> = sorted.iter().rev().map(|text| name(text)).collect();
        names.sort();
        assert_eq!(
            names.iter().map(FragmentName::as_str).collect::<Vec<_>>(),
            sorted
        );
    }

    #[test]
    fn the_table_lists_each_layer_once_and_in_order() {
        assert!(Layer::TABLE.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for (layer, directory, _) in Layer::TABLE {
            assert_eq!(name(&format!("{directory}/x")).layer(), layer);
        }
        assert_eq!(name("elsewhere/x").layer(), Layer::Other);
    }

    #[test]
    fn names_need_a_category_and_plain_parts() {
        for text in [
            "",
            "ext4",
            "/ext4",
            "fs/",
            "fs//ext4",
            "fs/.config",
            "../fs/ext4",
            "fs/../x",
            "fs/e t",
            "fs/ext4\n",
            "@arch/x",
        ] {
            assert_eq!(
                text.parse::<FragmentName>(),
                Err(InvalidName(text.into())),
                "{text}"
            );
        }
        assert_eq!(name("fs/ext4.config"), name("fs/ext4"));
    }

    proptest! {
        #[test]
        fn display_parses_back(text in "[a-z][a-z0-9+_.-]{0,8}(/[a-z0-9][a-z0-9+_-]{0,8}){1,3}") {
            let parsed = name(&text);
            prop_assert_eq!(name(&parsed.to_string()), parsed);
        }
    }
}

//! Configurations that no identity can name: what a build makes up by itself, or takes from a
//! file of the machine.
//!
//! Two builds of one identity have the same bytes. With these symbols they need not: they are
//! told before anything is compiled, and such a build is neither kept in the store nor taken
//! from it. The source of the rules is Documentation/kbuild/reproducible-builds.rst and the
//! Makefiles it speaks of.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::DotConfig;
use crate::trust;

/// A setting that keeps a build from being reproducible.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hazard {
    /// The symbol, without prefix.
    pub symbol: String,
    /// Its value.
    pub value: String,
    /// What it does.
    pub effect: String,
    /// What cures it.
    pub cure: String,
}

/// When a row of the table holds.
#[derive(Clone, Copy)]
enum When {
    /// The symbol is `y` or `m`.
    Enabled,
    /// The string is neither empty nor this one.
    Names(&'static str),
}

struct Row {
    symbol: &'static str,
    when: When,
    effect: &'static str,
    cure: &'static str,
}

/// The key that the build makes where it is not there (`certs/Makefile`).
pub const SIGNING_KEY: &str = "certs/signing_key.pem";

/// How a kernel takes signed modules without a key in its build.
pub const TRUST: &str = "sign after the build: name the certificates in `sign.trust`, which empties \
                         CONFIG_MODULE_SIG_KEY and turns CONFIG_MODULE_SIG_ALL off";
const IN_TREE: &str = "put the file into the source tree, whose id covers it";

const ROWS: &[Row] = &[
    Row {
        symbol: "MODULE_SIG_KEY",
        when: When::Names(SIGNING_KEY),
        effect: "the image holds the certificate of a key that is no part of the identity",
        cure: TRUST,
    },
    Row {
        symbol: "SYSTEM_TRUSTED_KEYS",
        when: When::Names(""),
        effect: "the image holds certificates of a file that is no part of the identity",
        cure: "name the certificates in `sign.trust`, or put the file into the source tree, whose id covers it",
    },
    Row {
        symbol: "SYSTEM_REVOCATION_KEYS",
        when: When::Names(""),
        effect: "the image holds certificates of a file that is no part of the identity",
        cure: IN_TREE,
    },
    Row {
        symbol: "RANDSTRUCT",
        when: When::Enabled,
        effect: "each build directory lays structures out by a random seed of its own",
        cure: "set CONFIG_RANDSTRUCT_NONE=y",
    },
    Row {
        symbol: "GCC_PLUGIN_RANDSTRUCT",
        when: When::Enabled,
        effect: "each build directory lays structures out by a random seed of its own",
        cure: "set CONFIG_RANDSTRUCT_NONE=y, or CONFIG_GCC_PLUGIN_RANDSTRUCT=n before 5.19",
    },
    Row {
        symbol: "GCC_PLUGIN_LATENT_ENTROPY",
        when: When::Enabled,
        effect: "the compiler plugin puts random numbers into the code",
        cure: "set CONFIG_GCC_PLUGIN_LATENT_ENTROPY=n",
    },
    Row {
        symbol: "INITRAMFS_SOURCE",
        when: When::Names(""),
        effect: "the image holds files of this machine that are no part of the identity",
        cure: "load the initramfs at boot instead of building it in",
    },
    Row {
        symbol: "EXTRA_FIRMWARE",
        when: When::Names(""),
        effect: "the image holds firmware files that are no part of the identity",
        cure: "put the firmware into the initramfs",
    },
    Row {
        symbol: "BOOT_CONFIG_EMBED_FILE",
        when: When::Names(""),
        effect: "the image holds a file that is no part of the identity",
        cure: "pass the boot configuration with the initramfs",
    },
];

/// Everything in `config` that an identity does not cover. `trusted` says whether the certificates of
/// [`trust::FILE`] are those that the identity names.
pub fn hazards(config: &DotConfig, trusted: bool) -> Vec<Hazard> {
    ROWS.iter()
        .filter_map(|row| {
            let value = match row.when {
                When::Enabled => config.is_enabled(row.symbol).then_some("y"),
                When::Names(text) => config
                    .text_of(row.symbol)
                    .filter(|value| !value.is_empty() && *value != text),
            }?;
            if trusted && row.symbol == "SYSTEM_TRUSTED_KEYS" && value == trust::FILE {
                return None;
            }
            Some(Hazard {
                symbol: row.symbol.to_owned(),
                value: value.to_owned(),
                effect: row.effect.to_owned(),
                cure: row.cure.to_owned(),
            })
        })
        .collect()
}

impl std::fmt::Display for Hazard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Hazard {
            symbol,
            value,
            effect,
            ..
        } = self;
        match value.as_str() {
            "y" => write!(f, "CONFIG_{symbol}=y: {effect}"),
            value => write!(f, "CONFIG_{symbol}=\"{value}\": {effect}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line that the row is about, and one that it lets pass.
    fn lines(row: &Row) -> (String, String) {
        let symbol = row.symbol;
        match row.when {
            When::Enabled => (
                format!("CONFIG_{symbol}=y"),
                format!("# CONFIG_{symbol} is not set"),
            ),
            When::Names(text) => (
                format!("CONFIG_{symbol}=\"/etc/x\""),
                format!("CONFIG_{symbol}=\"{text}\""),
            ),
        }
    }

    #[test]
    fn every_row_is_told_where_it_holds_and_only_there() {
        for row in ROWS {
            let told = |text: &str| {
                hazards(&DotConfig::parse(text).unwrap(), false)
                    .iter()
                    .any(|hazard| hazard.symbol == row.symbol && hazard.effect == row.effect)
            };
            let (bad, good) = lines(row);
            assert!(told(&bad), "{bad}");
            assert!(!told(&good), "{good}");
            assert!(!told(""), "{}", row.symbol);
        }
    }

    #[test]
    fn certificates_of_the_identity_are_no_hazard_and_others_are() {
        let told = |path: &str, trusted| {
            let config = format!("CONFIG_SYSTEM_TRUSTED_KEYS=\"{path}\"\n");
            hazards(&DotConfig::parse(&config).unwrap(), trusted).len()
        };
        assert_eq!(told(trust::FILE, true), 0);
        assert_eq!(told(trust::FILE, false), 1);
        assert_eq!(told("certs/other.pem", true), 1);
    }
}

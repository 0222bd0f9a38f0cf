//! Configurations and flags that no identity can name: what a build makes up by itself, or takes from
//! the machine.
//!
//! Two builds of one identity have the same bytes. With these symbols they need not: they are
//! told before anything is compiled, and such a build is neither kept in the store nor taken
//! from it. The source of the rules is Documentation/kbuild/reproducible-builds.rst and the
//! Makefiles it speaks of.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{DotConfig, Value};
use crate::{pahole, trust};

/// A setting that keeps a build from being reproducible.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hazard {
    /// The setting.
    #[serde(flatten)]
    pub cause: Cause,
    /// What it does.
    pub effect: String,
    /// What cures it.
    pub cure: String,
}

/// What a hazard comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Cause {
    /// The configuration.
    Symbol {
        /// The symbol, without prefix.
        symbol: String,
        /// Its value.
        value: String,
    },
    /// An item of `make-flags`.
    Flag {
        /// The make variable.
        variable: String,
        /// The word of its value.
        word: String,
    },
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

const NATIVE_CODE: &str = "the code is for the processor of the machine that builds";
const NAMED_PROCESSOR: &str =
    "switch it off, and name the processor in make-flags, such as `KCFLAGS=-march=x86-64-v3`";

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
    // arch/x86/Makefile since 6.16.
    Row {
        symbol: "X86_NATIVE_CPU",
        when: When::Enabled,
        effect: NATIVE_CODE,
        cure: NAMED_PROCESSOR,
    },
    // A patch that many builds carry names them so.
    Row {
        symbol: "MNATIVE_INTEL",
        when: When::Enabled,
        effect: NATIVE_CODE,
        cure: NAMED_PROCESSOR,
    },
    Row {
        symbol: "MNATIVE_AMD",
        when: When::Enabled,
        effect: NATIVE_CODE,
        cure: NAMED_PROCESSOR,
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

/// The options by which GCC, Clang and rustc make code for the machine that they run on. What `native` stands
/// for depends on the processor, and below a hypervisor on what that lets through.
const NATIVE: &[&str] = &[
    "-march=native",
    "-mcpu=native",
    "-mtune=native",
    "target-cpu=native",
    "tune-cpu=native",
];

/// Everything in `config` and in the `make-flags` that an identity does not cover. `trusted` says whether
/// the certificates of [`trust::FILE`] are those that the identity names; `pahole` is the text of the tree's
/// file with [pahole's options](pahole::FILES), where there is one.
pub fn hazards(
    config: &DotConfig,
    trusted: bool,
    make_flags: &[String],
    pahole: Option<&str>,
) -> Vec<Hazard> {
    let mut hazards = of_config(config, trusted);
    hazards.extend(of_pahole(config, make_flags, pahole));
    hazards.extend(make_flags.iter().flat_map(|flag| of_flag(flag)));
    hazards
}

/// Types that threads write in the order in which they end.
fn of_pahole(config: &DotConfig, make_flags: &[String], text: Option<&str>) -> Option<Hazard> {
    const SYMBOL: &str = "DEBUG_INFO_BTF";
    if !config.is_enabled(SYMBOL) {
        return None;
    }
    let version = config.values().iter().find_map(|(symbol, value)| {
        let Value::Number(number) = value else {
            return None;
        };
        (symbol.as_str() == "PAHOLE_VERSION").then(|| number.parse().ok())?
    });
    // Trees before 5.16 do not ask for the version, and pass no such option.
    let version: u32 = version?;
    let given = make_flags
        .iter()
        .find_map(|flag| flag.strip_prefix("PAHOLE_FLAGS="));
    let is_unsettled = match given {
        Some(options) => {
            let options: Vec<_> = options.split_whitespace().map(str::to_owned).collect();
            version < pahole::SETTLED && pahole::is_parallel(&options)
        }
        None => pahole::is_unsettled(text?, version),
    };
    is_unsettled.then(|| Hazard {
        cause: Cause::Symbol {
            symbol: SYMBOL.to_owned(),
            value: "y".to_owned(),
        },
        effect: format!(
            "this tree runs pahole {}.{} with `-j`, whose threads write the types in the order in which they end",
            version / 100,
            version % 100
        ),
        cure: "use pahole 1.29 or later, or set CONFIG_DEBUG_INFO_BTF=n".to_owned(),
    })
}

fn of_flag(flag: &str) -> Vec<Hazard> {
    let (variable, value) = flag.split_once('=').unwrap_or((flag, ""));
    // What runs in the build has output that the kernel's sources define.
    let in_kernel = !variable.starts_with("HOST") && !variable.starts_with("KBUILD_HOST");
    let words = crate::process::words(value);
    let words = words.iter().flat_map(|word| word.split(','));
    words
        .filter(|word| in_kernel && is_native(word))
        .map(|word| Hazard {
            cause: Cause::Flag {
                variable: variable.to_owned(),
                word: word.to_owned(),
            },
            effect: NATIVE_CODE.to_owned(),
            cure: "name the processor, such as `-march=x86-64-v3`; `gcc -march=native -Q --help=target` says what this one is called"
                .to_owned(),
        })
        .collect()
}

/// `-Ctarget-cpu=native` and `--codegen=target-cpu=native` have the option at their end, `-target-cpu native` is two words.
fn is_native(word: &str) -> bool {
    // `-mcpu=native+nofp` takes an extension away.
    let (word, _) = word.split_once('+').unwrap_or((word, ""));
    word == "native" || NATIVE.iter().any(|option| word.ends_with(option))
}

fn of_config(config: &DotConfig, trusted: bool) -> Vec<Hazard> {
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
                cause: Cause::Symbol {
                    symbol: row.symbol.to_owned(),
                    value: value.to_owned(),
                },
                effect: row.effect.to_owned(),
                cure: row.cure.to_owned(),
            })
        })
        .collect()
}

impl std::fmt::Display for Hazard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let effect = &self.effect;
        match &self.cause {
            Cause::Symbol { symbol, value } if value == "y" => {
                write!(f, "CONFIG_{symbol}=y: {effect}")
            }
            Cause::Symbol { symbol, value } => write!(f, "CONFIG_{symbol}=\"{value}\": {effect}"),
            Cause::Flag { variable, word } => write!(f, "`{word}` in {variable}: {effect}"),
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
                hazards(&DotConfig::parse(text).unwrap(), false, &[], None)
                    .iter()
                    .any(|hazard| {
                        matches!(&hazard.cause, Cause::Symbol { symbol, .. } if symbol == row.symbol)
                            && hazard.effect == row.effect
                    })
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
            hazards(&DotConfig::parse(&config).unwrap(), trusted, &[], None).len()
        };
        assert_eq!(told(trust::FILE, true), 0);
        assert_eq!(told(trust::FILE, false), 1);
        assert_eq!(told("certs/other.pem", true), 1);
    }

    #[test]
    fn flags_for_this_processor_are_told_and_named_ones_are_not() {
        let told = |flag: &str| {
            let hazards = hazards(
                &DotConfig::parse("").unwrap(),
                false,
                &[flag.to_owned()],
                None,
            );
            hazards.iter().map(Hazard::to_string).collect::<Vec<_>>()
        };
        for (flag, word) in [
            ("KCFLAGS=-O3 -march=native", "-march=native"),
            ("KCPPFLAGS=-mtune=native", "-mtune=native"),
            ("KAFLAGS='-mcpu=native+nofp'", "-mcpu=native+nofp"),
            ("KBUILD_CFLAGS_MODULE=-march=native", "-march=native"),
            ("KRUSTFLAGS=-Ctarget-cpu=native", "-Ctarget-cpu=native"),
            ("KRUSTFLAGS=-C target-cpu=native", "target-cpu=native"),
            ("RUSTFLAGS_KERNEL=-Ztune-cpu=native", "-Ztune-cpu=native"),
        ] {
            let (variable, _) = flag.split_once('=').unwrap();
            let expected = format!("`{word}` in {variable}: {NATIVE_CODE}");
            assert_eq!(told(flag), [expected], "{flag}");
        }
        for flag in [
            "KCFLAGS=-march=x86-64-v3 -mtune=generic",
            "KCFLAGS=-DNAME=native",
            "HOSTCFLAGS=-march=native",
            "W=1",
        ] {
            assert_eq!(told(flag), [""; 0], "{flag}");
        }
    }

    #[test]
    fn types_that_threads_write_are_told_of_a_pahole_and_a_tree_that_do_so() {
        let script = "if [ \"${pahole_ver}\" -ge \"122\" ]; then\n\textra_paholeopt=\"-j\"\nfi\n";
        let told = |config: &str, flags: &[&str], text| {
            let flags: Vec<_> = flags.iter().map(|flag| (*flag).to_owned()).collect();
            let hazards = hazards(&DotConfig::parse(config).unwrap(), false, &flags, text);
            hazards.iter().map(Hazard::to_string).collect::<String>()
        };
        let of =
            |version: u32| format!("CONFIG_DEBUG_INFO_BTF=y\nCONFIG_PAHOLE_VERSION={version}\n");
        assert_eq!(
            told(&of(124), &[], Some(script)),
            "CONFIG_DEBUG_INFO_BTF=y: this tree runs pahole 1.24 with `-j`, whose threads write the types in the order in which they end"
        );
        for (config, flags, text) in [
            (of(121), &[][..], Some(script)),
            (of(129), &[], Some(script)),
            (of(124), &[], None),
            (of(124), &[], Some("")),
            (of(124), &["PAHOLE_FLAGS=--btf_gen_floats"], Some(script)),
            ("CONFIG_PAHOLE_VERSION=124\n".to_owned(), &[], Some(script)),
            ("CONFIG_DEBUG_INFO_BTF=y\n".to_owned(), &[], Some(script)),
        ] {
            assert_eq!(told(&config, flags, text), "", "{config} {flags:?}");
        }
        assert!(!told(&of(128), &["PAHOLE_FLAGS=-j8"], None).is_empty());
    }

    #[test]
    fn a_hazard_is_written_with_what_it_comes_from() {
        let config = DotConfig::parse("CONFIG_RANDSTRUCT=y\n").unwrap();
        let flags = ["KCFLAGS=-march=native".to_owned()];
        let json = serde_json::to_value(hazards(&config, false, &flags, None)).unwrap();
        assert_eq!(json[0]["symbol"], "RANDSTRUCT");
        assert_eq!(json[1]["variable"], "KCFLAGS");
        let read: Vec<Hazard> = serde_json::from_value(json).unwrap();
        assert_eq!(read, hazards(&config, false, &flags, None));
    }
}

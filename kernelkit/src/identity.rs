//! The identity: the inputs that decide a kernel's bytes, as one canonical text, and the digest that names it.
//!
//! Two builds with one identity have the same release and the same bytes; the directory, the
//! user, the host, the day, the job count and ccache are not part of it. The inputs are
//! written as one canonical text ([`Identity::text`]) and the digest is taken over that
//! text, so that anybody can check it with `sha256sum`.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::DotConfig;
use crate::release::{DIGEST_LENGTH, Pattern};
use crate::source::{Sha256, TreeId};

/// First line of the canonical text; the number changes when its meaning does.
pub const FORMAT: &str = "kernelkit-identity 2";

/// The inputs that decide the bytes of a kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Identity {
    /// The release with the digest left open, such as `6.12.117-tiny-{digest}`; empty in manifests of format 1.
    #[serde(default)]
    pub release: String,
    /// SHA-256 of each certificate (DER) that the kernel is to trust, sorted.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub trust: Vec<Sha256>,
    /// Git tree id of the files that get compiled, patches and uncommitted edits included.
    #[schemars(with = "String")]
    pub source: TreeId,
    /// SHA-256 of the `.config` without `CONFIG_LOCALVERSION=`, `CONFIG_LOCALVERSION_AUTO` off.
    #[schemars(with = "String")]
    pub config: Sha256,
    /// The toolchain's id.
    pub toolchain: String,
    /// Make variables that reach the bytes, sorted.
    pub flags: Vec<String>,
}

/// One field in which two identities differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The field's name in the canonical text: `release`, `trust`, `source`, `config`, `toolchain` or `flags`.
    pub field: &'static str,
    /// What only the first has.
    pub left: String,
    /// What only the second has.
    pub right: String,
}

impl Identity {
    /// Puts the inputs together; certificates and flags are sorted and doubles dropped.
    pub fn new(
        release: &Pattern,
        mut trust: Vec<Sha256>,
        source: TreeId,
        config: &DotConfig,
        toolchain: String,
        mut flags: Vec<String>,
    ) -> Self {
        trust.sort();
        trust.dedup();
        flags.sort();
        flags.dedup();
        Identity {
            release: release.to_string(),
            trust,
            source,
            config: Sha256::of(config.identity_text().as_bytes()),
            toolchain,
            flags,
        }
    }

    /// The canonical text: the format, then one `key value` a line.
    pub fn text(&self) -> String {
        self.text_with(&self.source)
    }

    /// The text with another source.
    fn text_with(&self, source: &dyn fmt::Display) -> String {
        format!(
            "{FORMAT}\nrelease {}\ntrust{}\nsource {source}\nconfig {}\ntoolchain {}\nflags{}\n",
            self.release,
            words(self.trust.iter().map(Sha256::to_string)),
            self.config,
            self.toolchain,
            words(self.flags.iter().map(|flag| crate::process::quote(flag))),
        )
    }

    /// The first 12 hexadecimal digits of the SHA-256 of [`Identity::text`].
    pub fn digest(&self) -> Digest {
        Digest::of(&Sha256::of(self.text().as_bytes()))
    }

    /// The digest of the same kernel made from `source` instead: what a tree that is being edited is called by.
    /// `source` is a git tree id, or the name that an edited directory was given.
    pub fn digest_with(&self, source: &dyn fmt::Display) -> Digest {
        Digest::of(&Sha256::of(self.text_with(source).as_bytes()))
    }

    fn pattern(&self) -> String {
        match self.release.is_empty() {
            true => "not part of it, in format 1".to_owned(),
            false => self.release.clone(),
        }
    }

    /// The fields in which `other` differs.
    pub fn differences(&self, other: &Identity) -> Vec<Difference> {
        let quoted = |flag: &String| crate::process::quote(flag);
        let rows = [
            ("release", self.pattern(), other.pattern()),
            (
                "trust",
                only(&self.trust, &other.trust, Sha256::to_string),
                only(&other.trust, &self.trust, Sha256::to_string),
            ),
            ("source", self.source.to_string(), other.source.to_string()),
            ("config", self.config.to_string(), other.config.to_string()),
            ("toolchain", self.toolchain.clone(), other.toolchain.clone()),
            (
                "flags",
                only(&self.flags, &other.flags, quoted),
                only(&other.flags, &self.flags, quoted),
            ),
        ];
        rows.into_iter()
            .filter(|(_, left, right)| left != right)
            .map(|(field, left, right)| Difference { field, left, right })
            .collect()
    }
}

/// Each with a space before it.
fn words(items: impl Iterator<Item = String>) -> String {
    items.map(|item| format!(" {item}")).collect()
}

/// What only `ours` has.
fn only<T: PartialEq>(ours: &[T], theirs: &[T], show: impl Fn(&T) -> String) -> String {
    let own = ours.iter().filter(|item| !theirs.contains(item));
    own.map(show).collect::<Vec<_>>().join(" ")
}

/// Twelve hexadecimal digits: the short name of an [`Identity`].
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Digest(String);

impl Digest {
    /// The first digits of a hash.
    pub(crate) fn of(hash: &Sha256) -> Self {
        let mut hex = hash.to_string();
        hex.truncate(DIGEST_LENGTH);
        Digest(hex)
    }

    /// Whether a text has the form of a digest.
    pub(crate) fn is_one(text: &str) -> bool {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        text.len() == DIGEST_LENGTH && text.bytes().all(is_digit)
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::{Label, Template, Words};
    use proptest::prelude::*;

    fn pattern(template: &str, label: &str) -> Pattern {
        let template: Template = template.parse().unwrap();
        let label = Label::slug(label);
        let words = Words {
            version: "6.12.117",
            dist: Some("el8"),
            label: label.as_ref(),
            ..Words::default()
        };
        template.pattern(&words, 0).unwrap()
    }

    fn identity() -> Identity {
        let config = DotConfig::parse("CONFIG_A=y\n").unwrap();
        Identity::new(
            &pattern("{version}-{label}-{digest}", "tiny"),
            vec![Sha256::of(b"a certificate")],
            TreeId::from_bytes([1; 20]),
            &config,
            "host-0123".into(),
            vec!["W=1".into(), "ARCH=x86_64".into()],
        )
    }

    #[test]
    fn the_text_is_canonical() {
        insta::assert_snapshot!(identity().text(), @r"
        kernelkit-identity 2
        release 6.12.117-tiny-{digest}
        trust 81acd762140fa692a142822d2fbe4dc6f54bcaa501f68ab37e5aeed0bafe4d99
        source 0101010101010101010101010101010101010101
        config 67ef0fcaa96edb00361191654ae8b017584507502542870aea28815c28b5470d
        toolchain host-0123
        flags ARCH=x86_64 W=1
        ");
    }

    #[test]
    fn the_digest_is_the_head_of_the_texts_sha256() {
        let whole = Sha256::of(identity().text().as_bytes()).to_string();
        assert_eq!(identity().digest().as_str(), &whole[..12]);
    }

    #[test]
    fn differences_name_the_field_and_what_is_in_it() {
        let mut other = identity();
        other.flags = vec!["ARCH=x86_64".into(), "W=2".into()];
        other.trust = Vec::new();
        let differences = identity().differences(&other);
        let rows: Vec<_> = differences
            .iter()
            .map(|difference| (difference.field, difference.right.as_str()))
            .collect();
        assert_eq!(rows, [("trust", ""), ("flags", "W=2")]);
    }

    #[test]
    fn an_identity_of_format_1_says_that_it_has_no_release() {
        let mut earlier = identity();
        earlier.release = String::new();
        let [difference] = &earlier.differences(&identity())[..] else {
            panic!("one field differs");
        };
        assert_eq!(difference.left, "not part of it, in format 1");
        assert_eq!(difference.right, "6.12.117-tiny-{digest}");
    }

    #[test]
    fn the_base_of_an_edited_tree_differs_in_its_source_alone() {
        let edited = identity();
        let base = Identity {
            source: TreeId::from_bytes([2; 20]),
            ..identity()
        };
        assert_eq!(edited.digest_with(&base.source), base.digest());
        assert_ne!(edited.digest_with(&"mine"), edited.digest_with(&"other"));
    }

    fn any_identity() -> impl Strategy<Value = Identity> {
        let template = prop::sample::select(vec![
            "{version}-{label}-{digest}",
            "{version}-{digest}",
            "{version}-{label}.{dist}",
            "{version}",
        ]);
        let flags = proptest::collection::vec("[A-Z]=[a-z]", 0..4);
        let trust = proptest::collection::vec(any::<u8>(), 0..3);
        (
            template,
            "[a-z]{1,30}",
            trust,
            any::<[u8; 20]>(),
            "[A-Z]{1,3}",
            "[a-z]{1,4}",
            flags,
            any::<bool>(),
        )
            .prop_map(
                |(template, label, trust, source, symbol, toolchain, flags, dirty)| {
                    let config = DotConfig::parse(&format!("CONFIG_{symbol}=y\n")).unwrap();
                    let clean = pattern(template, &label);
                    let identity = |release: &Pattern| {
                        let trust = trust.iter().map(|byte| Sha256::of(&[*byte])).collect();
                        Identity::new(
                            release,
                            trust,
                            TreeId::from_bytes(source),
                            &config,
                            toolchain.clone(),
                            flags.clone(),
                        )
                    };
                    match dirty {
                        false => identity(&clean),
                        true => identity(&clean.dirty(&identity(&clean).digest_with(&"base"))),
                    }
                },
            )
    }

    proptest! {
        #[test]
        fn equal_identities_have_equal_digests_and_any_other_field_another(a in any_identity(), b in any_identity()) {
            prop_assert_eq!(a == b, a.digest() == b.digest());
            prop_assert_eq!(a == b, a.differences(&b).is_empty());
            // One field exchanged, each in turn.
            let rows = [
                Identity { release: b.release.clone(), ..a.clone() },
                Identity { trust: b.trust.clone(), ..a.clone() },
                Identity { source: b.source, ..a.clone() },
                Identity { config: b.config, ..a.clone() },
                Identity { toolchain: b.toolchain.clone(), ..a.clone() },
                Identity { flags: b.flags.clone(), ..a.clone() },
            ];
            for other in rows {
                prop_assert_eq!(other == a, other.digest() == a.digest(), "{:?}", other);
            }
        }

        #[test]
        fn order_does_not_matter(flags in proptest::collection::vec("[A-Z]=[a-z]", 0..6), trust in proptest::collection::vec(any::<u8>(), 0..4)) {
            let config = DotConfig::parse("").unwrap();
            let release = pattern("{version}-{digest}", "");
            let make = |flags: Vec<String>, trust: Vec<u8>| {
                let trust = trust.iter().map(|byte| Sha256::of(&[*byte])).collect();
                Identity::new(&release, trust, TreeId::from_bytes([0; 20]), &config, String::new(), flags)
            };
            let reversed = |list: &[u8]| list.iter().rev().copied().collect::<Vec<_>>();
            let back = flags.iter().rev().cloned().collect();
            prop_assert_eq!(make(flags.clone(), trust.clone()).digest(), make(back, reversed(&trust)).digest());
        }
    }
}

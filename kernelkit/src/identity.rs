//! What names a build: the identity, its digest, the label, and the kernel release
//! that carries both into `uname -r`.
//!
//! Two builds with one identity and one label have the same bytes; the directory, the
//! user, the host, the day, the job count and ccache are not part of it. The inputs are
//! written as one canonical text ([`Identity::text`]) and the digest is taken over that
//! text, so that anybody can check it with `sha256sum`.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::DotConfig;
use crate::source::{Sha256, TreeId};

/// First line of the canonical text; the number changes when its meaning does.
pub const FORMAT: &str = "kernelkit-identity 1";

/// `uname -r` holds at most this many bytes (`__NEW_UTS_LEN`, `include/uapi/linux/utsname.h`).
pub const RELEASE_LENGTH: usize = 64;

/// A label given by the user is at most this long, in bytes.
pub const LABEL_LENGTH: usize = 40;

/// Hexadecimal digits of the digest that enter the release.
const DIGEST_LENGTH: usize = 12;

/// The inputs that decide the bytes of a kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Identity {
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
    /// `source`, `config`, `toolchain` or `flags`.
    pub field: &'static str,
    /// What only the first has.
    pub left: String,
    /// What only the second has.
    pub right: String,
}

impl Identity {
    /// Puts the inputs together; flags are sorted and doubles dropped.
    pub fn new(
        source: TreeId,
        config: &DotConfig,
        toolchain: String,
        mut flags: Vec<String>,
    ) -> Self {
        flags.sort();
        flags.dedup();
        Identity {
            source,
            config: Sha256::of(config.identity_text().as_bytes()),
            toolchain,
            flags,
        }
    }

    /// The canonical text: the format, then one `key value` a line.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{FORMAT}\nsource {}\nconfig {}\ntoolchain {}\nflags",
            self.source, self.config, self.toolchain
        );
        for flag in &self.flags {
            text.push(' ');
            text.push_str(&crate::process::quote(flag));
        }
        text.push('\n');
        text
    }

    /// The first 12 hexadecimal digits of the SHA-256 of [`Identity::text`].
    pub fn digest(&self) -> Digest {
        let mut hex = Sha256::of(self.text().as_bytes()).to_string();
        hex.truncate(DIGEST_LENGTH);
        Digest(hex)
    }

    /// The fields in which `other` differs.
    pub fn differences(&self, other: &Identity) -> Vec<Difference> {
        let only = |ours: &[String], theirs: &[String]| {
            ours.iter()
                .filter(|flag| !theirs.contains(flag))
                .map(|flag| crate::process::quote(flag))
                .collect::<Vec<_>>()
                .join(" ")
        };
        let rows = [
            ("source", self.source.to_string(), other.source.to_string()),
            ("config", self.config.to_string(), other.config.to_string()),
            ("toolchain", self.toolchain.clone(), other.toolchain.clone()),
            (
                "flags",
                only(&self.flags, &other.flags),
                only(&other.flags, &self.flags),
            ),
        ];
        rows.into_iter()
            .filter(|(_, left, right)| left != right)
            .map(|(field, left, right)| Difference { field, left, right })
            .collect()
    }
}

/// Twelve hexadecimal digits: the short name of an [`Identity`].
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Digest(String);

impl Digest {
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

/// The words of a release: what a person reads in `uname -r`.
///
/// A slug: runs of anything but `A-Za-z0-9._-` become one `-`, `-._` are stripped at both
/// ends, lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Label(String);

/// Nothing is left of a label once it is a slug, or it is too long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLabel {
    /// No letter or digit.
    #[error("label `{0}` has no letter or digit")]
    Empty(String),
    /// Over the limit.
    #[error("label `{0}` is longer than {LABEL_LENGTH} characters")]
    TooLong(String),
}

impl Label {
    /// The slug.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The slug of `text`, cut to [`LABEL_LENGTH`]; `None` where nothing is left.
    pub fn slug(text: &str) -> Option<Label> {
        let mut slug = String::with_capacity(text.len());
        for character in text.chars() {
            if character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-') {
                slug.push(character.to_ascii_lowercase());
            } else if !slug.ends_with('-') {
                slug.push('-');
            }
        }
        let slug = slug.trim_matches(['-', '.', '_']);
        cut(slug, LABEL_LENGTH).map(Label)
    }
}

impl FromStr for Label {
    type Err = InvalidLabel;

    /// A label as the user gives it: too long is an error, not a cut.
    fn from_str(text: &str) -> Result<Self, InvalidLabel> {
        if text.chars().count() > LABEL_LENGTH {
            return Err(InvalidLabel::TooLong(text.to_owned()));
        }
        Label::slug(text).ok_or_else(|| InvalidLabel::Empty(text.to_owned()))
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Shortens a slug to `limit` bytes, at its last `-` where it has one; a series revision
/// `-v2` and up survives the cut.
fn cut(slug: &str, limit: usize) -> Option<String> {
    if slug.len() <= limit {
        return (!slug.is_empty()).then(|| slug.to_owned());
    }
    let revision = slug
        .rfind("-v")
        .map(|start| &slug[start..])
        .filter(|tail| tail[2..].parse().is_ok_and(|number: u32| number >= 2));
    let revision = revision.filter(|tail| tail.len() < limit).unwrap_or("");
    let room = limit - revision.len();
    let head = &slug[..room.min(slug.len())];
    let whole_word = slug[head.len()..].starts_with('-');
    let head = if whole_word {
        head
    } else {
        head.rfind('-').map_or(head, |dash| &head[..dash])
    };
    let head = head.trim_end_matches(['-', '.', '_']);
    let shortened = format!("{head}{revision}");
    let shortened = shortened.trim_matches(['-', '.', '_']);
    (!shortened.is_empty()).then(|| shortened.to_owned())
}

/// What a kernel calls itself: `<version><in-tree localversion files><config's own
/// localversion>-<label>-<digest>`, at most [`RELEASE_LENGTH`] bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Release {
    /// The whole of `uname -r`.
    pub text: String,
    /// What `CONFIG_LOCALVERSION` has to be for it.
    pub localversion: String,
}

/// Version and digest alone do not fit into a release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("release `{prefix}-{digest}` is longer than the {RELEASE_LENGTH} characters of `uname -r`")]
pub struct ReleaseTooLong {
    /// Version and localversions.
    pub prefix: String,
    /// The digest, which is never cut.
    pub digest: Digest,
}

impl ReleaseTooLong {
    /// What to change.
    pub fn hint(&self) -> String {
        let most = RELEASE_LENGTH - DIGEST_LENGTH - 1;
        format!(
            "shorten CONFIG_LOCALVERSION or the tree's localversion files: version and localversions may take {most} characters"
        )
    }
}

/// Composes the release. The label is shortened, or dropped, to make room; the digest never is.
///
/// `version` is what `make kernelversion` prints, `in_tree` the content of the tree's
/// `localversion*` files, `existing` the configuration's own `CONFIG_LOCALVERSION`, from
/// which an earlier baked `-<label>-<digest>` is taken off first, so that baking twice is
/// baking once.
pub fn release(
    version: &str,
    in_tree: &str,
    existing: &str,
    label: Option<&Label>,
    digest: &Digest,
) -> Result<Release, ReleaseTooLong> {
    let own = strip_baked(existing, label);
    let prefix = format!("{version}{in_tree}{own}");
    let room = RELEASE_LENGTH.checked_sub(prefix.len() + DIGEST_LENGTH + 1);
    let Some(room) = room else {
        return Err(ReleaseTooLong {
            prefix,
            digest: digest.clone(),
        });
    };
    let label = label.and_then(|label| cut(label.as_str(), room.saturating_sub(1)));
    let tail = match label {
        Some(label) => format!("-{label}-{digest}"),
        None => format!("-{digest}"),
    };
    Ok(Release {
        text: format!("{prefix}{tail}"),
        localversion: format!("{own}{tail}"),
    })
}

fn strip_baked<'a>(existing: &'a str, label: Option<&Label>) -> &'a str {
    let is_digest = |text: &str| {
        text.len() == DIGEST_LENGTH
            && text
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    match existing.rsplit_once('-') {
        Some((rest, digest)) if is_digest(digest) => {
            let label = label.map(|label| format!("-{label}")).unwrap_or_default();
            rest.strip_suffix(&label).unwrap_or(rest)
        }
        _ => existing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn identity() -> Identity {
        let config = DotConfig::parse("CONFIG_A=y\n").unwrap();
        Identity::new(
            TreeId::from_bytes([1; 20]),
            &config,
            "host-0123".into(),
            vec!["W=1".into(), "ARCH=x86_64".into()],
        )
    }

    #[test]
    fn the_text_is_canonical() {
        insta::assert_snapshot!(identity().text(), @r"
        kernelkit-identity 1
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
    fn differences_name_the_field_and_the_flag() {
        let mut other = identity();
        other.flags = vec!["ARCH=x86_64".into(), "W=2".into()];
        let differences = identity().differences(&other);
        assert_eq!(
            differences,
            [Difference {
                field: "flags",
                left: "W=1".into(),
                right: "W=2".into()
            }]
        );
    }

    #[test]
    fn labels_are_slugs() {
        let rows = [
            ("Vanilla", Some("vanilla")),
            ("mirror/hch misc", Some("mirror-hch-misc")),
            ("[PATCH v3] mm: faster", Some("patch-v3-mm-faster")),
            ("--x._", Some("x")),
            ("ü€", None),
            ("", None),
        ];
        for (text, expected) in rows {
            assert_eq!(
                Label::slug(text).as_ref().map(Label::as_str),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn a_cut_falls_between_words_and_keeps_the_revision() {
        assert_eq!(cut("one-two-three", 9), Some("one-two".into()));
        assert_eq!(cut("one-two-three", 7), Some("one-two".into()));
        assert_eq!(cut("one-two-three-v12", 12), Some("one-two-v12".into()));
        assert_eq!(cut("one-two-three-v1", 8), Some("one-two".into()));
        assert_eq!(cut("onetwothree", 5), Some("onetw".into()));
        assert_eq!(cut("one", 0), None);
    }

    #[test]
    fn a_release_fits_or_is_refused() {
        let digest = identity().digest();
        let label = Label::slug("a-rather-long-label-of-a-series-v3").unwrap();
        let composed = release(
            "6.6.0-rc1-next-20260801",
            "-next-20260801",
            "-mine",
            Some(&label),
            &digest,
        )
        .unwrap();
        assert_eq!(
            composed.text,
            format!("6.6.0-rc1-next-20260801-next-20260801-mine-a-v3-{digest}")
        );
        assert_eq!(composed.localversion, format!("-mine-a-v3-{digest}"));
        let error = release("6.12.1", "", &"x".repeat(46), Some(&label), &digest).unwrap_err();
        assert_eq!(error.prefix.len(), 52);
        let barely = release("6.12.1", "", &"x".repeat(45), Some(&label), &digest).unwrap();
        assert_eq!(barely.text.len(), RELEASE_LENGTH);
    }

    proptest! {
        #[test]
        fn a_release_never_exceeds_the_limit_and_keeps_the_digest(version in "[0-9.]{1,12}", existing in "(-[a-z0-9]{0,20}){0,2}", label in "[a-z0-9.-]{0,60}") {
            let digest = identity().digest();
            if let Ok(release) = release(&version, "", &existing, Label::slug(&label).as_ref(), &digest) {
                prop_assert!(release.text.len() <= RELEASE_LENGTH);
                let tail = format!("-{digest}");
                prop_assert!(release.text.ends_with(&tail));
                prop_assert_eq!(version + &release.localversion, release.text);
            }
        }

        #[test]
        fn baking_twice_is_baking_once(existing in "(-[a-z]{1,5}){0,2}", label in "[a-z]{1,10}") {
            let (digest, label) = (identity().digest(), Label::slug(&label).unwrap());
            let once = release("6.12", "", &existing, Some(&label), &digest).unwrap();
            let twice = release("6.12", "", &once.localversion, Some(&label), &digest).unwrap();
            prop_assert_eq!(once, twice);
        }

        #[test]
        fn flag_order_does_not_matter(flags in proptest::collection::vec("[A-Z]=[a-z]", 0..6)) {
            let config = DotConfig::parse("").unwrap();
            let mut reversed = flags.clone();
            reversed.reverse();
            let make = |flags| Identity::new(TreeId::from_bytes([0; 20]), &config, String::new(), flags);
            prop_assert_eq!(make(flags).digest(), make(reversed).digest());
        }
    }
}

//! The kernel release: what `uname -r` prints, and the template that composes it.
//!
//! A release is the kernel's version, the content of the tree's `localversion*` files, the configuration's own
//! `CONFIG_LOCALVERSION`, and what the template adds: `6.12.117-tiny-0123456789ab`. Kbuild composes the same text
//! (`scripts/setlocalversion`), so a template always begins with `{version}`, and everything after it goes into
//! `CONFIG_LOCALVERSION`.
//!
//! The digest of the identity is part of most releases, and the release is part of the identity. So the identity
//! covers the [`Pattern`]: the release with the digest left open.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::identity::Digest;

/// `uname -r` holds at most this many bytes (`__NEW_UTS_LEN`, `include/uapi/linux/utsname.h`).
pub const RELEASE_LENGTH: usize = 64;

/// A label given by the user is at most this long, in bytes.
pub const LABEL_LENGTH: usize = 40;

/// Longest value of `{dist}` and `{build}`, in bytes.
pub const WORD_LENGTH: usize = 24;

/// Hexadecimal digits of the digest that enter the release.
pub(crate) const DIGEST_LENGTH: usize = 12;

/// What stands for the digest in a pattern. Braces cannot be part of a release.
pub(crate) const OPEN_DIGEST: &str = "{digest}";

/// What stand for a build number and a `dist` of which only the form is known.
const OPEN_BUILD: &str = "{build}";
const OPEN_DIST: &str = "{dist}";

/// The end of the release of a tree that is being edited.
pub const DIRTY: &str = "-dirty";

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

/// A value that a template can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// What `make kernelversion` prints, with the tree's and the configuration's own localversions.
    Version,
    /// The version's series: `6.12`.
    Series,
    /// The kernel's `flavour`.
    Flavour,
    /// The architecture's name.
    Arch,
    /// The kernel's `dist`, such as `el8`.
    Dist,
    /// The kernel's `build`, such as `1000`.
    Build,
    /// The kernel's label.
    Label,
    /// The digest of the identity.
    Digest,
}

impl Field {
    /// Every field, in the order of the reference.
    pub const ALL: [Field; 8] = [
        Field::Version,
        Field::Series,
        Field::Flavour,
        Field::Arch,
        Field::Dist,
        Field::Build,
        Field::Label,
        Field::Digest,
    ];

    /// Its name between the braces.
    pub fn name(self) -> &'static str {
        match self {
            Field::Version => "version",
            Field::Series => "series",
            Field::Flavour => "flavour",
            Field::Arch => "arch",
            Field::Dist => "dist",
            Field::Build => "build",
            Field::Label => "label",
            Field::Digest => "digest",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(Field),
}

/// How a release is composed: `{version}-{label}-{digest}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

/// Why a text is not the template of a release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    /// A brace without its twin.
    #[error("`{0}` has a brace without its twin")]
    Brace(String),
    /// A field that is not there.
    #[error("a release has no field `{{{0}}}`")]
    Unknown(String),
    /// A field that is named twice.
    #[error("`{{{0}}}` stands twice in it")]
    Twice(&'static str),
    /// It does not begin with the version.
    #[error("`{0}` does not begin with `{{version}}`, as every kernel release does")]
    Start(String),
    /// A character that cannot be part of a release.
    #[error("`{0}` cannot be part of a release")]
    Character(char),
}

impl InvalidTemplate {
    /// What to write instead.
    pub fn hint(&self) -> String {
        match self {
            InvalidTemplate::Unknown(_) => {
                let names: Vec<_> = Field::ALL
                    .iter()
                    .map(|field| format!("{{{}}}", field.name()))
                    .collect();
                format!("the fields are {}", names.join(", "))
            }
            InvalidTemplate::Character(_) => {
                "use letters, digits and `.`, `_`, `+`, `~`, `-` between the fields".to_owned()
            }
            InvalidTemplate::Brace(_) | InvalidTemplate::Twice(_) | InvalidTemplate::Start(_) => {
                format!("write it like `{}`", Template::default())
            }
        }
    }
}

impl Default for Template {
    fn default() -> Self {
        Template(vec![
            Part::Field(Field::Version),
            Part::Text("-".to_owned()),
            Part::Field(Field::Label),
            Part::Text("-".to_owned()),
            Part::Field(Field::Digest),
        ])
    }
}

impl FromStr for Template {
    type Err = InvalidTemplate;

    fn from_str(text: &str) -> Result<Self, InvalidTemplate> {
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if let Some(inside) = rest.strip_prefix('{') {
                let brace = || InvalidTemplate::Brace(text.to_owned());
                let (name, after) = inside.split_once('}').ok_or_else(brace)?;
                let field = Field::ALL.into_iter().find(|field| field.name() == name);
                let field = field.ok_or_else(|| InvalidTemplate::Unknown(name.to_owned()))?;
                if parts.contains(&Part::Field(field)) {
                    return Err(InvalidTemplate::Twice(field.name()));
                }
                parts.push(Part::Field(field));
                rest = after;
            } else {
                let (plain, after) = rest.split_at(rest.find('{').unwrap_or(rest.len()));
                if plain.contains('}') {
                    return Err(InvalidTemplate::Brace(text.to_owned()));
                }
                if let Some(other) = plain.chars().find(|character| !is_plain(*character)) {
                    return Err(InvalidTemplate::Character(other));
                }
                parts.push(Part::Text(plain.to_owned()));
                rest = after;
            }
        }
        match parts.first() {
            Some(Part::Field(Field::Version)) => Ok(Template(parts)),
            _ => Err(InvalidTemplate::Start(text.to_owned())),
        }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Field(field) => write!(f, "{{{}}}", field.name()),
        })
    }
}

impl Serialize for Template {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Whether a release may hold it; `CONFIG_LOCALVERSION` reads the same in make, C and Rust then.
pub(crate) fn is_plain(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-._+~".contains(character)
}

/// What the fields of a template stand for.
#[derive(Clone, Debug, Default)]
pub struct Words<'a> {
    /// What `make kernelversion` prints.
    pub version: &'a str,
    /// The content of the tree's `localversion*` files.
    pub in_tree: &'a str,
    /// The configuration's own `CONFIG_LOCALVERSION`, before or after an earlier release was baked into it.
    pub existing: &'a str,
    /// `6.12`.
    pub series: &'a str,
    /// The flavour's name; its absence takes the separator before the field along.
    pub flavour: Option<&'a str>,
    /// The architecture's name.
    pub arch: &'a str,
    /// As for the flavour.
    pub dist: Option<&'a str>,
    /// As for the flavour.
    pub build: Option<&'a str>,
    /// As for the flavour; it is shortened, or left out, where there is no room.
    pub label: Option<&'a Label>,
}

/// The release with the digest left open, and everything else as it will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// Version and in-tree localversions.
    start: String,
    /// `CONFIG_LOCALVERSION`.
    localversion: String,
}

/// What a kernel calls itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Release {
    /// The whole of `uname -r`.
    pub text: String,
    /// What `CONFIG_LOCALVERSION` has to be for it.
    pub localversion: String,
}

/// A release does not fit, even without its label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("release `{pattern}` is longer than the {RELEASE_LENGTH} characters of `uname -r`")]
pub struct ReleaseTooLong {
    /// The release, its digest left open.
    pub pattern: String,
    /// Version and localversions, which no template can shorten.
    pub prefix: String,
    /// How many characters they may have under this template.
    pub room: usize,
}

impl ReleaseTooLong {
    /// What to change.
    pub fn hint(&self) -> String {
        format!(
            "shorten CONFIG_LOCALVERSION, the tree's localversion files, or the template `release`: version and localversions (`{}`) may take {} characters",
            self.prefix, self.room
        )
    }
}

impl Template {
    /// Whether it names a field.
    pub fn names(&self, field: Field) -> bool {
        self.0.contains(&Part::Field(field))
    }

    /// The release's pattern. The label is shortened, or left out, to make room; the digest never is. `reserved`
    /// characters stay free for what is appended.
    ///
    /// An earlier release that was baked into [`Words::existing`] is taken off first, so that baking twice is
    /// baking once.
    ///
    /// # Errors
    /// The release is longer than [`RELEASE_LENGTH`] even without its label.
    pub fn pattern(&self, words: &Words<'_>, reserved: usize) -> Result<Pattern, ReleaseTooLong> {
        let own = self.strip_baked(words);
        let start = format!("{}{}", words.version, words.in_tree);
        let limit = RELEASE_LENGTH - reserved;
        let bare = self.tail(words, None);
        let rest = length(&bare);
        let prefix = start.len() + own.len();
        let Some(room) = limit.checked_sub(prefix + rest) else {
            return Err(ReleaseTooLong {
                pattern: format!("{start}{own}{bare}"),
                prefix: format!("{start}{own}"),
                room: limit.saturating_sub(rest),
            });
        };
        // What the field adds beside the label itself: the separator that its absence takes along.
        let frame =
            length(&self.tail(words, Some("x"))) - rest - usize::from(self.names(Field::Label));
        let label = words.label.filter(|_| self.names(Field::Label));
        let label = label.and_then(|label| cut(label.as_str(), room.saturating_sub(frame)));
        Ok(Pattern {
            start,
            localversion: format!("{own}{}", self.tail(words, label.as_deref())),
        })
    }

    /// What follows version and localversions.
    fn tail(&self, words: &Words<'_>, label: Option<&str>) -> String {
        let mut tail = String::new();
        let mut separated = false;
        for part in &self.0 {
            let value = match part {
                Part::Text(text) => {
                    tail.push_str(text);
                    separated = true;
                    continue;
                }
                Part::Field(Field::Version) => continue,
                Part::Field(Field::Series) => Some(words.series),
                Part::Field(Field::Flavour) => words.flavour,
                Part::Field(Field::Arch) => Some(words.arch),
                Part::Field(Field::Dist) => words.dist,
                Part::Field(Field::Build) => words.build,
                Part::Field(Field::Label) => label,
                Part::Field(Field::Digest) => Some(OPEN_DIGEST),
            };
            match value {
                Some(value) => tail.push_str(value),
                None if separated && tail.ends_with(['-', '.', '_', '+', '~']) => {
                    tail.pop();
                }
                None => {}
            }
            separated = false;
        }
        tail
    }

    /// The configuration's own localversion without the release of an earlier build.
    fn strip_baked<'a>(&self, words: &Words<'a>) -> &'a str {
        let existing = words.existing;
        let clean = existing.strip_suffix(DIRTY).unwrap_or(existing);
        // The label may have been shortened then, or left out.
        let label = words.label.map_or("", Label::as_str);
        // Without a digest nothing shows that a shorter one was not the user's own.
        let limits = match self.names(Field::Digest) {
            true => 1..label.len(),
            false => 0..0,
        };
        let shortened = limits.rev().filter_map(|limit| cut(label, limit));
        let labels = std::iter::once(label.to_owned()).chain(shortened);
        let labels = labels.map(Some).chain([None]);
        let labels = labels.filter(|label| label.as_deref() != Some(""));
        let labels: Vec<Option<String>> = labels.collect();
        for label in &labels {
            if let Some(own) = strip_tail(clean, &self.tail(words, label.as_deref())) {
                return own;
            }
        }
        // Of a build with another number. A `dist` alone, or a label, could be the user's own.
        if self.names(Field::Build) {
            let open = Words {
                build: words.build.map(|_| OPEN_BUILD),
                dist: words.dist.map(|_| OPEN_DIST),
                ..words.clone()
            };
            for label in &labels {
                if let Some(own) = strip_open(clean, &self.tail(&open, label.as_deref())) {
                    return own;
                }
            }
        }
        // Of a build with another label, or another template, the digest alone is known for what it is.
        match clean.rsplit_once('-') {
            Some((own, digest)) if Digest::is_one(digest) => own,
            _ if self.tail(words, None).is_empty() => clean,
            _ => existing,
        }
    }
}

/// Takes a tail off, in which the digest may be any.
fn strip_tail<'a>(text: &'a str, tail: &str) -> Option<&'a str> {
    if tail.is_empty() {
        return None;
    }
    let Some((before, after)) = tail.split_once(OPEN_DIGEST) else {
        return text.strip_suffix(tail);
    };
    let text = text.strip_suffix(after)?;
    let (text, digest) = text.split_at_checked(text.len().checked_sub(DIGEST_LENGTH)?)?;
    Digest::is_one(digest).then(|| text.strip_suffix(before))?
}

/// Takes a tail off in which build number, `dist` and digest may be any: the whole text, or what has a letter
/// beside the number. A number alone at the end of other words is the user's own as well as not.
fn strip_open<'a>(text: &'a str, tail: &str) -> Option<&'a str> {
    fn is_word(text: &str) -> bool {
        text.len() <= WORD_LENGTH && text.chars().all(|one| is_plain(one) && one != '-')
    }
    /// What may be before `tail`, each with whether it has a letter elsewhere than in the number.
    fn rests<'a>(text: &'a str, tail: &str, has_letter: bool, found: &mut Vec<(&'a str, bool)>) {
        let Some(at) = tail.rfind('}') else {
            let has_letter = has_letter || tail.contains(|one: char| one.is_ascii_alphabetic());
            found.extend(text.strip_suffix(tail).map(|rest| (rest, has_letter)));
            return;
        };
        let (open, after) = tail.split_at(at + 1);
        let Some(text) = text.strip_suffix(after) else {
            return;
        };
        let has_letter = has_letter || after.contains(|one: char| one.is_ascii_alphabetic());
        let splits = text.char_indices().rev().map(|(at, _)| text.split_at(at));
        for (rest, value) in splits {
            if let Some(before) = open.strip_suffix(OPEN_DIGEST) {
                if value.len() == DIGEST_LENGTH && Digest::is_one(value) {
                    rests(rest, before, true, found);
                }
            } else if !is_word(value) {
                return;
            } else if let Some(before) = open.strip_suffix(OPEN_BUILD) {
                if value.starts_with(|one: char| one.is_ascii_digit()) {
                    rests(rest, before, has_letter, found);
                }
            } else if let Some(before) = open.strip_suffix(OPEN_DIST) {
                let letters = value.contains(|one: char| one.is_ascii_alphabetic());
                rests(rest, before, has_letter || letters, found);
            }
        }
    }
    let mut found = Vec::new();
    if tail.contains(OPEN_BUILD) {
        rests(text, tail, false, &mut found);
    }
    found.retain(|(rest, has_letter)| rest.is_empty() || *has_letter);
    found
        .into_iter()
        .map(|(rest, _)| rest)
        .min_by_key(|rest| rest.len())
}

/// Characters of a pattern once the digest is in it.
fn length(pattern: &str) -> usize {
    match pattern.contains(OPEN_DIGEST) {
        true => pattern.len() - OPEN_DIGEST.len() + DIGEST_LENGTH,
        false => pattern.len(),
    }
}

impl Pattern {
    /// Whether the release depends on the digest.
    pub fn has_digest(&self) -> bool {
        self.localversion.contains(OPEN_DIGEST)
    }

    /// The release with this digest.
    pub fn with(&self, digest: &Digest) -> Release {
        let localversion = self.localversion.replace(OPEN_DIGEST, digest.as_str());
        Release {
            text: format!("{}{localversion}", self.start),
            localversion,
        }
    }

    /// The pattern of a tree that is being edited: the digest is that of `base`, and [`DIRTY`] follows.
    pub fn dirty(&self, base: &Digest) -> Pattern {
        Pattern {
            start: self.start.clone(),
            localversion: format!("{}{DIRTY}", self.with(base).localversion),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.start, self.localversion)
    }
}

#[cfg(test)]
mod tests;

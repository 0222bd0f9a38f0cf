//! Two builds of one identity, held against each other: which files differ, where in them, and
//! what probably made them differ.
//!
//! Pure: [`effect::verify`](crate::effect::verify) reads the files.

use std::collections::BTreeMap;
use std::fmt;

use camino::{Utf8Path, Utf8PathBuf};
use object::{Object as _, ObjectSection as _};
use serde::Serialize;

use crate::hazard::Hazard;

/// What a directory holds at one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A regular file, and whether it can be executed.
    File {
        /// Its content.
        bytes: Vec<u8>,
        /// The owner's execute bit.
        executable: bool,
    },
    /// A symbolic link's target.
    Link(String),
}

/// One path at which two builds differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Relative to what was compared.
    pub path: Utf8PathBuf,
    /// How it differs.
    #[serde(flatten)]
    pub kind: Kind,
    /// What probably made it differ, and what cures it, where that can be told.
    pub culprit: Option<Culprit>,
}

/// How a path differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Kind {
    /// Only the first build has it.
    Missing,
    /// Only the second build has it.
    Added,
    /// A file here and a link there, another mode, or another target.
    Type,
    /// Other bytes.
    Content {
        /// The sections of an ELF file that differ; empty for other files.
        sections: Vec<String>,
        /// Offset of the first byte that differs, from 0.
        offset: usize,
        /// Sizes in bytes, first and second.
        sizes: (usize, usize),
    },
}

/// Why bytes differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Culprit {
    /// In words.
    pub what: String,
    /// What to do.
    pub cure: String,
}

/// What is known of the two builds besides their files.
#[derive(Clone, Copy, Debug)]
pub struct Background<'a> {
    /// What the configuration has that no identity covers.
    pub hazards: &'a [Hazard],
    /// The directories that the builds lay in: they should not be in any file.
    pub directories: &'a [&'a Utf8Path],
}

/// The paths at which `first` and `second` differ, in their order.
pub fn compare(
    first: &BTreeMap<Utf8PathBuf, Item>,
    second: &BTreeMap<Utf8PathBuf, Item>,
    background: Background<'_>,
) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut found = |path: &Utf8Path, kind, culprit| {
        differences.push(Difference {
            path: path.to_owned(),
            kind,
            culprit,
        });
    };
    for (path, item) in first {
        match (item, second.get(path)) {
            (_, None) => found(path, Kind::Missing, None),
            (one, Some(other)) if one == other => {}
            (
                Item::File {
                    bytes: one,
                    executable,
                },
                Some(Item::File {
                    bytes: other,
                    executable: also,
                }),
            ) if executable == also => {
                let sections = sections(one, other);
                let culprit = culprit(one, other, &sections, background);
                let kind = Kind::Content {
                    offset: first_difference(one, other),
                    sizes: (one.len(), other.len()),
                    sections,
                };
                found(path, kind, culprit);
            }
            _ => found(path, Kind::Type, None),
        }
    }
    for path in second.keys().filter(|path| !first.contains_key(*path)) {
        found(path, Kind::Added, None);
    }
    differences.sort_by(|one, other| one.path.cmp(&other.path));
    differences
}

fn first_difference(one: &[u8], other: &[u8]) -> usize {
    let pairs = one.iter().zip(other);
    pairs.take_while(|(one, other)| one == other).count()
}

/// What `modinfo` calls a signature: it stands behind the ELF file (`kernel/module_signature.c`).
const SIGNATURE: &[u8] = b"~Module signature appended~\n";

/// Names of the sections that differ, those that only one file has included.
fn sections(one: &[u8], other: &[u8]) -> Vec<String> {
    let (Ok(one_elf), Ok(other_elf)) = (object::File::parse(one), object::File::parse(other))
    else {
        return Vec::new();
    };
    let read = |file: &object::File<'_>| -> BTreeMap<(String, usize), Vec<u8>> {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        file.sections()
            .map(|section| {
                let name = section.name().unwrap_or("?").to_owned();
                let count = seen.entry(name.clone()).or_default();
                *count += 1;
                ((name, *count), section.data().unwrap_or_default().to_vec())
            })
            .collect()
    };
    let (ours, theirs) = (read(&one_elf), read(&other_elf));
    let mut names: Vec<String> = ours
        .iter()
        .filter(|(key, data)| theirs.get(*key) != Some(*data))
        .map(|((name, _), _)| name.clone())
        .chain(
            theirs
                .keys()
                .filter(|key| !ours.contains_key(*key))
                .map(|(name, _)| name.clone()),
        )
        .collect();
    names.dedup();
    if one.ends_with(SIGNATURE) || other.ends_with(SIGNATURE) {
        names.push("(signature)".to_owned());
    }
    names
}

/// What a section's name says of the cause, where nothing better is known.
const BY_SECTION: &[(&str, &str, &str)] = &[
    (
        "(signature)",
        "the modules are signed with different keys or at different times",
        "sign after the build: CONFIG_MODULE_SIG_ALL=n",
    ),
    (
        ".BTF",
        "pahole writes types in the order in which its threads end",
        "use pahole 1.29 or later, or CONFIG_DEBUG_INFO_BTF=n",
    ),
    (
        ".comment",
        "two compilers",
        "the toolchains differ: compare `cargo kernel identity --diff`",
    ),
    (
        ".modinfo",
        "another release or other module parameters",
        "compare the two configurations",
    ),
];

fn culprit(
    one: &[u8],
    other: &[u8],
    sections: &[String],
    background: Background<'_>,
) -> Option<Culprit> {
    // A random seed or key reaches everything, so it comes first.
    if let Some(hazard) = background.hazards.first() {
        return Some(Culprit {
            what: hazard.to_string(),
            cure: hazard.cure.clone(),
        });
    }
    for directory in background.directories {
        if contains(one, directory.as_str().as_bytes())
            || contains(other, directory.as_str().as_bytes())
        {
            return Some(Culprit {
                what: format!("the path {directory} is in it"),
                cure: "map the path away with -ffile-prefix-map in KCFLAGS, or find what writes it"
                    .to_owned(),
            });
        }
    }
    if let Some((_, what, cure)) = BY_SECTION
        .iter()
        .find(|(section, ..)| sections.iter().any(|name| name == section))
    {
        return Some(Culprit {
            what: (*what).to_owned(),
            cure: (*cure).to_owned(),
        });
    }
    let dates = |bytes: &[u8]| stamps(bytes);
    let (ours, theirs) = (dates(one), dates(other));
    if ours != theirs {
        return Some(Culprit {
            what: format!(
                "a time is in it: `{}` and `{}`",
                ours.first().map_or("", String::as_str),
                theirs.first().map_or("", String::as_str)
            ),
            cure: "something in the build asks the clock instead of KBUILD_BUILD_TIMESTAMP"
                .to_owned(),
        });
    }
    match sections {
        [only] if only == ".note.gnu.build-id" => Some(Culprit {
            what: "the build id alone: it was made from other bytes than are here".to_owned(),
            cure: "compare vmlinux before it was stripped".to_owned(),
        }),
        _ => None,
    }
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    !needle.is_empty() && bytes.windows(needle.len()).any(|window| window == needle)
}

/// Times as `date` and `__TIME__` write them: runs of `HH:MM:SS` with the printable text around.
fn stamps(bytes: &[u8]) -> Vec<String> {
    let digit = |byte: u8| byte.is_ascii_digit();
    bytes
        .windows(8)
        .enumerate()
        .filter(|(_, window)| {
            window[2] == b':'
                && window[5] == b':'
                && [0, 1, 3, 4, 6, 7].iter().all(|index| digit(window[*index]))
        })
        .map(|(start, _)| {
            let printable = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
            let before = bytes[..start]
                .iter()
                .rev()
                .take(16)
                .take_while(|byte| printable(byte))
                .count();
            let after = bytes[start..]
                .iter()
                .take(24)
                .take_while(|byte| printable(byte))
                .count();
            String::from_utf8_lossy(&bytes[start - before..start + after]).into_owned()
        })
        .take(16)
        .collect()
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match &self.kind {
            Kind::Missing => write!(f, "{path}: only in the first build"),
            Kind::Added => write!(f, "{path}: only in the second build"),
            Kind::Type => write!(f, "{path}: another type, mode or link"),
            Kind::Content {
                sections,
                offset,
                sizes: (one, other),
            } => {
                write!(f, "{path}: ")?;
                match sections.as_slice() {
                    [] => write!(f, "differs from byte {offset} on")?,
                    sections => write!(f, "differs in {}", sections.join(", "))?,
                }
                if one != other {
                    write!(f, " ({one} and {other} bytes)")?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: &[u8]) -> Item {
        Item::File {
            bytes: bytes.to_vec(),
            executable: false,
        }
    }

    fn check(first: &[(&str, Item)], second: &[(&str, Item)], expected: &[&str]) {
        let tree = |items: &[(&str, Item)]| {
            items
                .iter()
                .map(|(path, item)| (Utf8PathBuf::from(path), item.clone()))
                .collect()
        };
        let found = compare(
            &tree(first),
            &tree(second),
            Background {
                hazards: &[],
                directories: &[Utf8Path::new("/home/a/build")],
            },
        );
        let found: Vec<_> = found
            .iter()
            .map(|difference| match &difference.culprit {
                Some(culprit) => format!("{difference}: {}", culprit.what),
                None => difference.to_string(),
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn equal_trees_do_not_differ() {
        let items = [("boot/x", file(b"x")), ("y", Item::Link("x".to_owned()))];
        check(&items, &items, &[]);
    }

    #[test]
    fn each_kind_of_difference_is_named() {
        let script = Item::File {
            bytes: b"x".to_vec(),
            executable: true,
        };
        check(
            &[
                ("a", file(b"x")),
                ("b", file(b"x")),
                ("c", file(b"same1")),
                ("d", file(b"at /home/a/build/x")),
                ("e", file(b"Sun Aug 25 20:57:08 UTC 1991")),
                ("f", Item::Link("x".to_owned())),
            ],
            &[
                ("b", script),
                ("c", file(b"same22")),
                ("d", file(b"at /home/b/build/x")),
                ("e", file(b"Mon Aug 26 20:57:09 UTC 1991")),
                ("f", Item::Link("y".to_owned())),
                ("g", file(b"")),
            ],
            &[
                "a: only in the first build",
                "b: another type, mode or link",
                "c: differs from byte 4 on (5 and 6 bytes)",
                "d: differs from byte 9 on: the path /home/a/build is in it",
                "e: differs from byte 0 on: a time is in it: `Sun Aug 25 20:57:08 UTC 1991` and `Mon Aug 26 20:57:09 UTC 1991`",
                "f: another type, mode or link",
                "g: only in the second build",
            ],
        );
    }

    #[test]
    fn a_hazard_of_the_configuration_is_the_first_suspect() {
        let hazards = crate::hazard::hazards(
            &crate::config::DotConfig::parse("CONFIG_RANDSTRUCT=y\n").unwrap(),
            false,
            &[],
            None,
        );
        let tree = |bytes: &[u8]| BTreeMap::from([(Utf8PathBuf::from("x"), file(bytes))]);
        let background = Background {
            hazards: &hazards,
            directories: &[],
        };
        let found = compare(&tree(b"1"), &tree(b"2"), background);
        let culprit = found[0].culprit.as_ref().unwrap();
        assert_eq!(culprit.cure, "set CONFIG_RANDSTRUCT_NONE=y");
    }

    #[test]
    fn the_sections_of_elf_files_are_told() {
        // The test itself is an ELF file that is at hand.
        let own = super::super::effect::fs::read("/proc/self/exe").unwrap();
        let elf = object::File::parse(&*own).unwrap();
        let section = elf.section_by_name(".rodata").unwrap();
        let (start, _) = section.file_range().unwrap();
        let mut other = own.clone();
        other[start as usize] ^= 1;
        assert_eq!(sections(&own, &other), [".rodata"]);
        let mut signed = own.clone();
        signed.extend_from_slice(SIGNATURE);
        assert_eq!(sections(&own, &signed), ["(signature)"]);
    }
}

//! The fragments at hand, and which of them make up one kernel.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use serde::Serialize;

use super::{Base, Diagnostic, Fragment, FragmentName, InvalidName, Layer, Origin, embedded};
use crate::arch::Arch;
use crate::trust;
use crate::version::KernelVersion;

/// Adding this fragment is what `debug = true` means.
const DEBUG: &str = "debug/debug";

/// Fragments by name: ours, and the user's in their place.
#[derive(Clone, Debug)]
pub struct Library {
    fragments: BTreeMap<FragmentName, Fragment>,
    directories: Vec<Utf8PathBuf>,
    replaced: Vec<(FragmentName, Origin)>,
}

/// What a kernel asks for. Names are taken as the user wrote them.
#[derive(Clone, Copy, Debug)]
pub struct Selection<'a> {
    /// `tiny` or `preset/tiny`.
    pub preset: Option<&'a str>,
    /// In any order; the canonical one is imposed.
    pub fragments: &'a [String],
    /// Adds `debug/debug`.
    pub debug: bool,
    /// Adds [`trust::FRAGMENT`].
    pub trust: bool,
    /// The kernel's architecture.
    pub arch: Arch,
    /// The kernel's version.
    pub version: &'a KernelVersion,
}

/// Why a fragment is part of a selection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The user named it.
    Named,
    /// A preset pulls it in.
    With(FragmentName),
    /// `debug = true`.
    Debug,
    /// The kernel is to trust certificates.
    Trust,
    /// It extends a selected fragment for this kernel version.
    Extends(FragmentName),
}

/// A fragment of a selection.
#[derive(Clone, Debug)]
pub struct Selected<'a> {
    /// The fragment.
    pub fragment: &'a Fragment,
    /// Why it is there.
    pub reason: Reason,
}

/// The fragments of one kernel.
#[derive(Clone, Debug, Default)]
pub struct Layers<'a> {
    /// What the preset says of every symbol that no fragment names.
    pub base: Option<Base>,
    /// In canonical order, each once.
    pub selected: Vec<Selected<'a>>,
    /// What the preset wanted to pull in and does not apply to this kernel.
    pub skipped: Vec<&'a FragmentName>,
}

impl<'a> Layers<'a> {
    /// The fragments in canonical order.
    pub fn fragments(&self) -> impl Iterator<Item = &'a Fragment> {
        self.selected.iter().map(|selected| selected.fragment)
    }
}

/// Why a selection is impossible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A name of the wrong form.
    #[error(transparent)]
    InvalidName(#[from] InvalidName),
    /// No fragment of that name.
    #[error("there is no fragment `{name}`{}", by.as_ref().map(|by| format!(", which `{by}` pulls in")).unwrap_or_default())]
    Unknown {
        /// The name.
        name: String,
        /// The preset that wants it.
        by: Option<FragmentName>,
        /// Names that are spelled alike, the best first.
        nearest: Vec<FragmentName>,
        /// The user's directories that were searched.
        searched: Vec<Utf8PathBuf>,
    },
    /// A fragment that was named does not apply to the architecture.
    #[error("fragment `{name}` does not apply to {arch}")]
    NotForArch {
        /// The fragment.
        name: FragmentName,
        /// The kernel's architecture.
        arch: Arch,
        /// The ones it applies to.
        applies_to: Vec<Arch>,
    },
    /// A fragment that was named does not apply to the kernel's version.
    #[error("fragment `{name}` does not apply to kernel {version}")]
    NotForVersion {
        /// The fragment.
        name: FragmentName,
        /// The kernel's version.
        version: KernelVersion,
        /// The range it applies to.
        applies_to: String,
    },
    /// A preset stands among the fragments.
    #[error("`{0}` is a preset, not a fragment to add")]
    PresetAsFragment(FragmentName),
    /// Selected fragments cannot be read.
    #[error("{}", first_of(diagnostics))]
    Malformed {
        /// What is wrong with them; at least one.
        diagnostics: Vec<Diagnostic>,
    },
}

fn first_of(diagnostics: &[Diagnostic]) -> String {
    match diagnostics {
        [] => String::new(),
        [only] => only.to_string(),
        [first, more @ ..] => format!("{first} (and {} more)", more.len()),
    }
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::InvalidName(error) => error.hint(),
            Error::Unknown {
                nearest, searched, ..
            } => Some(match nearest.split_first() {
                Some((first, rest)) => rest
                    .iter()
                    .fold(format!("did you mean `{first}`"), |text, name| {
                        format!("{text} or `{name}`")
                    })
                    + "?",
                None if searched.is_empty() => {
                    "the built-in library was searched; `fragment-dirs` names directories of your own"
                        .to_owned()
                }
                None => format!(
                    "searched the built-in library and {}",
                    searched.iter().map(|path| path.as_str()).collect::<Vec<_>>().join(", ")
                ),
            }),
            Error::NotForArch { applies_to, .. } => Some(format!(
                "it applies to {}",
                applies_to.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            )),
            Error::NotForVersion { applies_to, .. } => Some(format!("it applies to {applies_to}")),
            Error::PresetAsFragment(name) => Some(format!(
                "write `preset = \"{}\"`; a kernel has one preset at most",
                name.as_str().trim_start_matches("preset/")
            )),
            Error::Malformed { diagnostics } => diagnostics.first()?.hint(),
        }
    }
}

impl Selection<'_> {
    fn applies(&self, fragment: &Fragment) -> bool {
        fragment.header.applies_to_arch(self.arch)
            && fragment.header.applies_to_version(self.version)
    }
}

impl Library {
    /// The fragments that are part of kernelkit.
    pub fn embedded() -> Library {
        let fragments = embedded::FILES
            .iter()
            .map(|(name, text)| {
                let name: FragmentName = name
                    .parse()
                    .expect("a test reads every embedded fragment's name");
                (name.clone(), Fragment::parse(name, Origin::Embedded, *text))
            })
            .collect();
        Library {
            fragments,
            directories: Vec::new(),
            replaced: Vec::new(),
        }
    }

    /// Adds the fragments of one directory of the user's: each takes the place of
    /// one of the same name that is there already.
    pub fn add_directory(
        &mut self,
        directory: Utf8PathBuf,
        files: impl IntoIterator<Item = (FragmentName, Utf8PathBuf, String)>,
    ) {
        self.directories.push(directory);
        for (name, path, text) in files {
            let fragment = Fragment::parse(name.clone(), Origin::File(path), text);
            if let Some(old) = self.fragments.insert(name.clone(), fragment) {
                self.replaced.push((name, old.origin));
            }
        }
    }

    /// Every fragment in canonical order.
    pub fn iter(&self) -> impl Iterator<Item = &Fragment> {
        self.fragments.values()
    }

    /// A fragment by its name.
    pub fn get(&self, name: &FragmentName) -> Option<&Fragment> {
        self.fragments.get(name)
    }

    /// The fragments that gave way to one of the same name, and where they were read.
    pub fn replaced(&self) -> &[(FragmentName, Origin)] {
        &self.replaced
    }

    /// The fragments that make up one kernel.
    ///
    /// - A fragment that the user named must exist and apply to the architecture and
    ///   the version. One that the preset pulls in must exist; where it does not
    ///   apply it is left out, and noted in [`Layers::skipped`].
    /// - Of `version/`, those that apply and extend a selected fragment are added
    ///   without being named.
    /// - A selected fragment must be free of [`Diagnostic`]s; the others may be anything.
    pub fn select(&self, selection: &Selection<'_>) -> Result<Layers<'_>, Error> {
        let mut chosen: BTreeMap<&FragmentName, Selected<'_>> = BTreeMap::new();
        let mut layers = Layers::default();
        let mut choose = |fragment, reason| {
            let selected = Selected { fragment, reason };
            chosen.entry(&fragment.name).or_insert(selected);
        };

        for name in selection.fragments {
            let fragment = self.applicable(name, selection)?;
            if fragment.name.layer() == Layer::Preset {
                return Err(Error::PresetAsFragment(fragment.name.clone()));
            }
            choose(fragment, Reason::Named);
        }
        if let Some(name) = selection.preset {
            let name = name.strip_prefix("preset/").unwrap_or(name);
            let preset = self.applicable(&format!("preset/{name}"), selection)?;
            layers.base = Some(preset.header.base.unwrap_or(Base::AllDefConfig));
            choose(preset, Reason::Named);
            for name in &preset.header.with {
                let name = name.replace("@arch", selection.arch.name());
                let fragment = self.find(&name, Some(&preset.name))?;
                if selection.applies(fragment) {
                    choose(fragment, Reason::With(preset.name.clone()));
                } else {
                    layers.skipped.push(&fragment.name);
                }
            }
        }
        if selection.debug {
            choose(self.applicable(DEBUG, selection)?, Reason::Debug);
        }
        if selection.trust {
            choose(self.applicable(trust::FRAGMENT, selection)?, Reason::Trust);
        }
        let extending: Vec<_> = self
            .iter()
            .filter(|fragment| {
                fragment.name.layer() == Layer::Version && selection.applies(fragment)
            })
            .filter_map(|fragment| {
                let extended = &fragment.header.extends;
                let base = extended.iter().find(|name| chosen.contains_key(name))?;
                Some((fragment, Reason::Extends(base.clone())))
            })
            .collect();
        for (fragment, reason) in extending {
            let selected = Selected { fragment, reason };
            chosen.entry(&fragment.name).or_insert(selected);
        }

        layers.selected = chosen.into_values().collect();
        let diagnostics: Vec<_> = layers
            .fragments()
            .flat_map(Fragment::diagnostics)
            .cloned()
            .collect();
        if diagnostics.is_empty() {
            Ok(layers)
        } else {
            Err(Error::Malformed { diagnostics })
        }
    }

    fn find(&self, text: &str, by: Option<&FragmentName>) -> Result<&Fragment, Error> {
        // A word without its category cannot be a fragment's name, but one that is
        // spelled well deserves a better answer than that.
        let name = match text.parse() {
            Ok(name) => Some(name),
            Err(_)
                if !text.contains('/') && format!("x/{text}").parse::<FragmentName>().is_ok() =>
            {
                None
            }
            Err(invalid) => return Err(Error::InvalidName(invalid)),
        };
        name.and_then(|name: FragmentName| self.fragments.get(&name))
            .ok_or_else(|| Error::Unknown {
                name: text.to_owned(),
                by: by.cloned(),
                nearest: self.nearest(text),
                searched: self.directories.clone(),
            })
    }

    /// The names that are spelled alike, at most three; those that only lack their
    /// category come first.
    fn nearest(&self, text: &str) -> Vec<FragmentName> {
        let text = text.strip_suffix(".config").unwrap_or(text);
        let last = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
        let mut scored: Vec<_> = self
            .fragments
            .keys()
            .filter_map(|name| {
                let whole = strsim::damerau_levenshtein(name.as_str(), text);
                let tail = strsim::damerau_levenshtein(&last(name.as_str()), &last(text));
                let near = tail <= 1.max(last(text).len() / 3);
                near.then_some((tail, whole, name))
            })
            .collect();
        scored.sort();
        scored
            .into_iter()
            .take(3)
            .map(|(_, _, name)| name.clone())
            .collect()
    }

    fn applicable(&self, name: &str, selection: &Selection<'_>) -> Result<&Fragment, Error> {
        let fragment = self.find(name, None)?;
        let header = &fragment.header;
        let name = || fragment.name.clone();
        if !header.applies_to_arch(selection.arch) {
            return Err(Error::NotForArch {
                name: name(),
                arch: selection.arch,
                applies_to: header.arch.clone(),
            });
        }
        if let Some(range) = &header.versions
            && !range.contains(selection.version)
        {
            return Err(Error::NotForVersion {
                name: name(),
                version: selection.version.clone(),
                applies_to: range.to_string(),
            });
        }
        Ok(fragment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(files: &[(&str, &str)]) -> Library {
        let mut library = Library::embedded();
        let files = files.iter().map(|(name, text)| {
            let path = Utf8PathBuf::from(format!("mine/{name}.config"));
            (name.parse().unwrap(), path, (*text).to_owned())
        });
        library.add_directory("mine".into(), files);
        library
    }

    /// The names selected, in order, or the error and its hint.
    fn select(
        library: &Library,
        preset: Option<&str>,
        fragments: &[&str],
        debug: bool,
        kernel: (&str, &str),
    ) -> Result<String, (String, String)> {
        let fragments: Vec<_> = fragments.iter().map(ToString::to_string).collect();
        let selection = Selection {
            preset,
            fragments: &fragments,
            debug,
            trust: false,
            arch: kernel.0.parse().unwrap(),
            version: &kernel.1.parse().unwrap(),
        };
        match library.select(&selection) {
            Ok(layers) => Ok(layers
                .fragments()
                .map(|fragment| fragment.name().as_str())
                .collect::<Vec<_>>()
                .join(" ")),
            Err(error) => Err((error.to_string(), error.hint().unwrap_or_default())),
        }
    }

    const X86: (&str, &str) = ("x86_64", "6.12.1");

    #[test]
    fn a_selection_is_ordered_and_complete() {
        let library = library(&[
            (
                "preset/mine",
                "# arch: x86_64 arm64\n# with: fs/mine arch/mine-@arch net/new\n",
            ),
            ("fs/mine", ""),
            ("arch/mine-x86_64", ""),
            ("arch/mine-arm64", ""),
            ("net/new", "# versions: >=6.6\n"),
            ("version/fix", "# versions: >=6.4\n# extends: fs/mine\n"),
            ("version/other", "# versions: >=6.4\n# extends: fs/other\n"),
        ]);
        let rows = [
            (
                X86,
                false,
                "preset/mine core/modules arch/mine-x86_64 fs/mine net/new version/fix",
            ),
            (
                ("arm64", "6.1"),
                false,
                "preset/mine core/modules arch/mine-arm64 fs/mine",
            ),
            (
                ("arm64", "6.1"),
                true,
                "preset/mine core/modules arch/mine-arm64 fs/mine debug/debug",
            ),
        ];
        for (kernel, debug, expected) in rows {
            let names = select(
                &library,
                Some("mine"),
                &["core/modules.config"],
                debug,
                kernel,
            );
            assert_eq!(names, Ok(expected.to_owned()));
        }
    }

    #[test]
    fn what_cannot_be_selected_says_why() {
        let library = library(&[
            ("preset/mine", "# with: fs/nowhere\n"),
            ("preset/arm", "# arch: arm64\n"),
            ("arch/mine", "# arch: arm64 riscv64\n"),
            ("fs/new", "# versions: >=6.6\n"),
            ("fs/broken", "CONFIG_A=\nCONFIG_B=y\nCONFIG_B=n\n"),
        ]);
        type Row<'a> = (
            Option<&'a str>,
            &'a [&'a str],
            (&'a str, &'a str),
            &'a str,
            &'a str,
        );
        let rows: &[Row<'_>] = &[
            (
                None,
                &["fs/exd4"],
                X86,
                "there is no fragment `fs/exd4`",
                "did you mean `fs/ext4` or `builtin/fs/ext4`?",
            ),
            (
                None,
                &["ext4"],
                X86,
                "there is no fragment `ext4`",
                "did you mean `fs/ext4` or `builtin/fs/ext4`?",
            ),
            (
                None,
                &["zzz/yyyyyyyyy"],
                X86,
                "there is no fragment `zzz/yyyyyyyyy`",
                "searched the built-in library and mine",
            ),
            (
                None,
                &["../fs"],
                X86,
                "`../fs` is not a fragment's name",
                "",
            ),
            (
                Some("tinny"),
                &[],
                X86,
                "there is no fragment `preset/tinny`",
                "did you mean `preset/tiny`?",
            ),
            (
                Some("mine"),
                &[],
                X86,
                "there is no fragment `fs/nowhere`, which `preset/mine` pulls in",
                "",
            ),
            (
                Some("arm"),
                &[],
                X86,
                "fragment `preset/arm` does not apply to x86_64",
                "it applies to arm64",
            ),
            (
                None,
                &["arch/mine"],
                X86,
                "fragment `arch/mine` does not apply to x86_64",
                "it applies to arm64, riscv64",
            ),
            (
                None,
                &["fs/new"],
                ("arm64", "6.1"),
                "fragment `fs/new` does not apply to kernel 6.1",
                "it applies to >=6.6",
            ),
            (
                None,
                &["preset/tiny"],
                X86,
                "`preset/tiny` is a preset, not a fragment to add",
                "write `preset = \"tiny\"`; a kernel has one preset at most",
            ),
            (
                None,
                &["fs/broken"],
                X86,
                "mine/fs/broken.config:1: `CONFIG_A=` is neither a setting nor a comment (and 1 more)",
                "for an empty text, write `CONFIG_A=\"\"`; to switch it off, `# CONFIG_A is not set`",
            ),
        ];
        for (preset, fragments, kernel, message, hint) in rows {
            let error = select(&library, *preset, fragments, false, *kernel).unwrap_err();
            assert_eq!(error.0, *message);
            assert!(error.1.contains(hint), "{message}: {}", error.1);
        }
    }

    #[test]
    fn the_users_fragment_takes_the_place_of_ours() {
        let library = library(&[("fs/ext4", "CONFIG_EXT4_FS=y\n")]);
        let name: FragmentName = "fs/ext4".parse().unwrap();
        assert_eq!(library.get(&name).unwrap().settings().len(), 1);
        assert_eq!(library.replaced(), [(name, Origin::Embedded)]);
    }
}

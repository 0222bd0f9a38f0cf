//! Which patch files a kernel's settings mean.

use camino::{Utf8Path, Utf8PathBuf};

use super::build::{Error as BuildError, Notice, Session};
use super::fs;
use super::source::{self as sources, Checked};
use crate::limits::{self, Exceeded};
use crate::patch::{Entry, series};
use crate::source::{Source, Tree};
use crate::spec::{KernelSpec, PatchSet};

/// Why the patches of a kernel are not known.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A patch that is not there.
    #[error("no patch matches `{pattern}`, which {origin} names")]
    NoPatch {
        /// The pattern.
        pattern: String,
        /// Who named it.
        origin: String,
    },
    /// A pattern that is none.
    #[error("`{pattern}` is not a pattern for patches")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        #[source]
        source: glob::PatternError,
    },
    /// A pattern that matches more than anybody patches with.
    #[error("`{pattern}` is refused: {limit}")]
    Limit {
        /// The pattern.
        pattern: String,
        /// What is beyond its limit.
        limit: Exceeded,
    },
    /// A series that cannot be honoured.
    #[error("the series {path} cannot be used")]
    Series {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong with it, with its line.
        #[source]
        source: series::InvalidOption,
    },
    /// A series that names what is not there.
    #[error("{path}:{line}: there is no patch `{name}`")]
    NotThere {
        /// The series.
        path: Utf8PathBuf,
        /// Counted from 1.
        line: usize,
        /// As it is written there.
        name: String,
    },
    /// A file.
    #[error(transparent)]
    Fs(#[from] fs::Error),
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::NoPatch { .. } => Some(
                "patches are files, globs, directories or `series` files, relative to the workspace root".to_owned(),
            ),
            Error::Pattern { .. } => None,
            Error::Limit { .. } => Some("write a pattern that only patches match".to_owned()),
            Error::Series { .. } => {
                Some("only `-pN` is known; reversed or fuzzy patches are to be refreshed".to_owned())
            }
            Error::NotThere { path, .. } => Some(format!(
                "names in a series are relative to {}",
                path.parent().unwrap_or(path)
            )),
            Error::Fs(error) => error.hint(),
        }
    }
}

/// A patch file of a kernel's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The file, and how it is applied.
    pub entry: Entry,
    /// The item of `patches` that means it.
    pub set: PatchSet,
    /// Why it is not applied whatever the version: it is for other kernels.
    pub excluded: Option<&'static str>,
}

/// Every patch file that the settings of `spec` mean, in the order of application: those of a
/// variant, then the others, each in the order of the settings. `root` is the workspace.
///
/// # Errors
/// What is named and not there, for other kernels than this one, too.
pub fn find(spec: &KernelSpec, root: &Utf8Path) -> Result<Vec<Found>, Error> {
    let (variant, common): (Vec<_>, Vec<_>) = spec.patches.iter().partition(|set| set.is_variant());
    let flavour = spec.flavour.as_ref().map(|flavour| &flavour.value);
    let mut found = Vec::new();
    for set in variant.into_iter().chain(common) {
        let paths = paths(&set.path, root)?;
        if paths.is_empty() {
            return Err(Error::NoPatch {
                pattern: set.path.clone(),
                origin: spec.patches.origin.to_string(),
            });
        }
        let excluded = if !set.arches.is_empty() && !set.arches.contains(&spec.arch.value) {
            Some("it is for other architectures")
        } else if !set.flavours.is_empty()
            && !flavour.is_some_and(|flavour| set.flavours.contains(flavour))
        {
            Some("it is for other flavours")
        } else if set.debug.is_some_and(|debug| debug != spec.debug.value) {
            Some("it is for kernels with another `debug`")
        } else {
            None
        };
        let mut add = |path: Utf8PathBuf, strip| {
            found.push(Found {
                entry: Entry {
                    path,
                    strip,
                    mailed: false,
                    fuzz: set.fuzz.unwrap_or(spec.patch_fuzz.value),
                    version: set.version.clone(),
                },
                set: set.clone(),
                excluded,
            });
        };
        for path in paths {
            if path.is_dir() {
                let series = path.join("series");
                if series.is_file() {
                    quilt(&series, &mut add)?;
                    continue;
                }
                let names: Vec<_> = fs::file_names(&path)?
                    .into_iter()
                    .filter(|name| name.ends_with(".patch") || name.ends_with(".diff"))
                    .collect();
                if names.is_empty() {
                    return Err(Error::NoPatch {
                        pattern: format!("{}/*.patch", set.path),
                        origin: spec.patches.origin.to_string(),
                    });
                }
                for name in names {
                    add(path.join(name), 1);
                }
            } else if path.file_name() == Some("series") {
                quilt(&path, &mut add)?;
            } else {
                add(path, 1);
            }
        }
    }
    Ok(found)
}

/// The patches of [`find`] that are for this kernel, as far as the tree's version allows.
pub fn entries(spec: &KernelSpec, root: &Utf8Path) -> Result<Vec<Entry>, Error> {
    let found = find(spec, root)?;
    let ours = found.into_iter().filter(|found| found.excluded.is_none());
    Ok(ours.map(|found| found.entry).collect())
}

/// What [`Session::check_patches`] found.
#[derive(Clone, Debug)]
pub struct Report {
    /// The tree that the patches were tried on, without any of them.
    pub tree: Tree,
    /// What came of each, in order.
    pub checked: Vec<Checked>,
}

impl Session<'_> {
    /// The tree of a kernel without its patches.
    pub fn unpatched(
        &self,
        spec: &KernelSpec,
        notify: &mut dyn FnMut(Notice<'_>),
    ) -> Result<Tree, BuildError> {
        self.prepare_with(spec, &[], notify)
    }

    /// Tries the patches of a kernel on its tree, or on that of another source, without
    /// touching or copying the tree.
    pub fn check_patches(
        &self,
        spec: &KernelSpec,
        to: Option<&Source>,
        notify: &mut dyn FnMut(Notice<'_>),
    ) -> Result<Report, BuildError> {
        let series = self.series(spec, notify)?;
        let mut entries_of_all = series.map_or_else(Vec::new, |series| series.patches);
        entries_of_all.extend(entries(spec, &self.spec.root)?);
        let tree = match to {
            None => self.unpatched(spec, notify)?,
            Some(source) => {
                sources::prepare(source, &[], &self.source_context(), &mut |progress| {
                    notify(Notice::Source(progress));
                })?
            }
        };
        let checked = sources::check(&tree, &entries_of_all, &self.source_context())?;
        Ok(Report { tree, checked })
    }
}

/// What a pattern matches, by name; a file of exactly this name is meant before any pattern.
fn paths(pattern: &str, root: &Utf8Path) -> Result<Vec<Utf8PathBuf>, Error> {
    let literal = root.join(pattern);
    if literal.exists() {
        return Ok(vec![literal]);
    }
    let absolute = Utf8Path::new(&glob::Pattern::escape(root.as_str())).join(pattern);
    let paths = glob::glob(absolute.as_str()).map_err(|source| Error::Pattern {
        pattern: pattern.to_owned(),
        source,
    })?;
    let mut found = Vec::new();
    for path in paths {
        found.extend(
            path.ok()
                .and_then(|path| Utf8PathBuf::from_path_buf(path).ok()),
        );
        limits::MATCHES
            .check(found.len() as u64)
            .map_err(|limit| Error::Limit {
                pattern: pattern.to_owned(),
                limit,
            })?;
    }
    Ok(found)
}

fn quilt(path: &Utf8Path, add: &mut dyn FnMut(Utf8PathBuf, u32)) -> Result<(), Error> {
    let items = series::parse(&fs::input_text(path)?).map_err(|source| Error::Series {
        path: path.to_owned(),
        source,
    })?;
    let directory = path.parent().unwrap_or(path);
    for item in items {
        let file = directory.join(&item.name);
        if !file.is_file() {
            return Err(Error::NotThere {
                path: path.to_owned(),
                line: item.line,
                name: item.name,
            });
        }
        add(file, item.strip);
    }
    Ok(())
}

//! A kernel's own worktree, which stays warm from build to build, and developers' worktrees beside it.

use camino::{Utf8Path, Utf8PathBuf};

use super::build::{Error as BuildError, Notice, Session};
use super::source::worktree::{self, Laid, Layout};
use super::{fs, index, lock};
use crate::source::Source;
use crate::spec::KernelSpec;

/// Why there is no worktree.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The source is not git's.
    #[error("the source of `{kernel}` is no git repository: {requested}")]
    NotGit {
        /// The kernel.
        kernel: String,
        /// Its source.
        requested: String,
    },
    /// Nothing was compiled that could be indexed.
    #[error("`{kernel}` has not been built here, so there is nothing to index")]
    NotBuilt {
        /// The kernel.
        kernel: String,
    },
    /// Everything else.
    #[error(transparent)]
    Build(#[from] BuildError),
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::NotGit { .. } => Some(
                "worktrees are of `source = { git = \"…\", ref = \"…\" }`; a directory is built as it lies"
                    .to_owned(),
            ),
            Error::NotBuilt { kernel } => Some(format!("`cargo kernel build {kernel}` comes first")),
            Error::Build(error) => error.hint(),
        }
    }
}

/// What is asked of a worktree.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// Where; the kernel's own where absent.
    pub dir: Option<&'a Utf8Path>,
    /// Another tag, branch or commit than that of the settings.
    pub reference: Option<&'a str>,
    /// Remove what is there; of the kernel's own, the build too.
    pub recreate: bool,
    /// Remove the build directory, so that everything is compiled.
    pub wipe: bool,
    /// Fetch all commits before it, too.
    pub history: bool,
    /// Write `compile_commands.json` into it.
    pub index: bool,
}

/// A worktree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Laidout {
    /// Where it is.
    pub dir: Utf8PathBuf,
    /// 40 hexadecimal digits.
    pub commit: String,
    /// What was done.
    pub laid: Laid,
    /// How many files were indexed.
    pub indexed: Option<usize>,
}

impl Session<'_> {
    /// Where a kernel's own worktree is, or would be.
    pub fn warm_dir(&self, spec: &KernelSpec) -> Utf8PathBuf {
        self.state(spec).join("tree")
    }

    /// What is edited in a kernel's own worktree, as `git status` has it.
    pub fn edits(&self, spec: &KernelSpec) -> Result<Vec<String>, BuildError> {
        Ok(worktree::edits(
            &self.warm_dir(spec),
            &self.source_context(),
        )?)
    }

    /// Lays out a worktree for a kernel, or moves it to where it should be. Builds use the kernel's own
    /// from then on, and move it themselves.
    pub fn lay_tree(
        &self,
        spec: &KernelSpec,
        request: Request<'_>,
        notify: &mut dyn FnMut(Notice<'_>),
    ) -> Result<Laidout, Error> {
        let state = self.state(spec);
        let mut source = self.resolve_source(spec)?;
        if let Source::Git { reference, .. } = &mut source {
            if let Some(other) = request.reference {
                other.clone_into(reference);
            } else if let Some(series) = self.series(spec, notify)? {
                // Preparing the tree publishes the branch.
                self.prepare_source(spec, notify)?;
                *reference = format!("b4/{}", series.slug);
            }
        }
        let Source::Git {
            repository,
            reference,
        } = source
        else {
            return Err(Error::NotGit {
                kernel: spec.name.to_string(),
                requested: spec.source.value.to_string(),
            });
        };
        let dir = request
            .dir
            .map_or_else(|| self.warm_dir(spec), fs::real_path);
        let _lock = lock::acquire(&state.join("lock"), "cargo kernel tree", &mut |holder| {
            notify(Notice::Warning(format!(
                "waiting for the build directory of `{}`, held by {holder}",
                spec.name
            )));
        })
        .map_err(BuildError::from)?;
        let layout = Layout {
            recreate: request.recreate,
            history: request.history,
        };
        let (commit, laid) = worktree::lay(
            &dir,
            &repository,
            &reference,
            layout,
            &self.source_context(),
            &mut |progress| notify(Notice::Source(progress)),
        )
        .map_err(BuildError::from)?;
        if request.wipe || (request.recreate && request.dir.is_none()) {
            fs::remove_file(state.join("manifest.json")).map_err(BuildError::from)?;
            fs::remove_dir_all(state.join("build")).map_err(BuildError::from)?;
            fs::remove_dir_all(state.join("destdir")).map_err(BuildError::from)?;
        }
        let indexed = match request.index {
            false => None,
            true => {
                let manifest = self.manifest(spec)?;
                // One that was built in memory, or found in the store, has left no objects.
                let manifest = manifest.filter(|built| built.record.dirs.build.exists());
                let manifest = manifest.ok_or_else(|| Error::NotBuilt {
                    kernel: spec.name.to_string(),
                })?;
                let dirs = &manifest.record.dirs;
                Some(index::write(&dirs.build, &dirs.source, &dir).map_err(BuildError::from)?)
            }
        };
        Ok(Laidout {
            dir,
            commit,
            laid,
            indexed,
        })
    }
}

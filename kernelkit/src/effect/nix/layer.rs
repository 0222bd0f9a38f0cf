//! The layers of a kernel as they lie in the Nix store, and an index of them by release.
//!
//! ```text
//! <store>/.nix/<release>/{out,modules,dev,debug}    links into the Nix store, its GC roots
//! ```

use std::os::unix::fs::{PermissionsExt as _, symlink};

use camino::{Utf8Path, Utf8PathBuf};

use super::daemon::{self, Daemon};
use super::program::Nix;
use crate::effect::fs::{self, Context as _};
use crate::effect::store::{HostStore, NIX_ROOTS};
use crate::effect::{image, run};
use crate::manifest::{Layer, Manifest, Mismatch, OutputKind, Record, Statistics};
use crate::nix::store_path::StorePath;
use crate::plan::{Plan, staging};

/// Why a layer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file.
    #[error(transparent)]
    Fs(#[from] fs::Error),
    /// The daemon.
    #[error(transparent)]
    Daemon(#[from] daemon::Error),
    /// What it says of itself cannot be read.
    #[error("{path} is no description of a kernel")]
    Manifest {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// It is another kernel.
    #[error("{path} is {found}, not {expected}")]
    OtherRelease {
        /// The layer.
        path: Utf8PathBuf,
        /// What it is.
        found: String,
        /// What was wanted.
        expected: String,
    },
    /// Its files are not what it says.
    #[error("{path} is not the file that its manifest.json names")]
    Damaged {
        /// The file.
        path: Utf8PathBuf,
    },
    /// Its files carry another release, or cannot be read.
    #[error(transparent)]
    Image(#[from] image::Error),
    /// The kernel says something else of itself than the plan did.
    #[error("the kernel in {path} contradicts the plan: {}", mismatches.iter().map(|mismatch| format!("{} is `{}`, predicted was `{}`", mismatch.field, mismatch.observed, mismatch.predicted)).collect::<Vec<_>>().join("; "))]
    Mismatch {
        /// The layer.
        path: Utf8PathBuf,
        /// Each contradiction.
        mismatches: Vec<Mismatch>,
    },
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Fs(error) => error.hint(),
            Error::Daemon(error) => error.hint(),
            Error::Image(error) => error.hint(),
            Error::Damaged { .. } => Some(
                "`nix-store --verify --check-contents --repair` mends the store; `--no-reuse` builds it again"
                    .to_owned(),
            ),
            Error::Manifest { .. } | Error::OtherRelease { .. } | Error::Mismatch { .. } => {
                Some("build it with `--no-reuse`".to_owned())
            }
        }
    }
}

/// The file of the run layer that says what it is.
pub(in crate::effect) const MANIFEST: &str = "manifest.json";

/// Takes a kernel out of the Nix store into the plan's directories, as if it had been built
/// there. `out` and `modules` are the layers, where they really lie.
pub(in crate::effect) fn take(
    plan: &Plan,
    out: &Utf8Path,
    modules: &Utf8Path,
    statistics: Statistics,
) -> Result<Manifest, Error> {
    let record = &plan.record;
    let path = out.join(MANIFEST);
    let layer: Layer = serde_json::from_slice(&fs::read(&path)?)
        .map_err(|source| Error::Manifest { path, source })?;
    if layer.release != record.release {
        return Err(Error::OtherRelease {
            path: out.to_owned(),
            found: layer.release,
            expected: record.release.clone(),
        });
    }
    let mismatches = record.mismatches(&layer.observed);
    if !mismatches.is_empty() {
        return Err(Error::Mismatch {
            path: out.to_owned(),
            mismatches,
        });
    }
    let staging = staging(&record.dirs);
    fs::remove_file(record.dirs.manifest())?;
    fs::remove_dir_all(&staging)?;
    fs::create_dir_all(&staging)?;
    let mut record = Record {
        backend: layer.backend,
        ..record.clone()
    };
    for output in &mut record.outputs {
        let layer_dir = match output.kind {
            OutputKind::Modules => modules,
            _ => out,
        };
        copy(&layer_dir.join(&output.path), &staging.join(&output.path))?;
        run::measure(&staging, output).map_err(|error| match error {
            run::Error::Fs(error) => error,
            _ => unreachable!("measuring reads files and nothing else"),
        })?;
        let said = layer.outputs.iter().find(|said| said.kind == output.kind);
        if said.is_none_or(|said| said.sha256 != output.sha256 || said.path != output.path) {
            return Err(Error::Damaged {
                path: layer_dir.join(&output.path),
            });
        }
    }
    image::read_back(&record, &staging, None)?;
    fs::remove_dir_all(&record.dirs.destdir)?;
    fs::rename(&staging, &record.dirs.destdir)?;
    let manifest = Manifest {
        record,
        observed: layer.observed,
        devtools: Vec::new(),
        statistics,
    };
    let dirs = &manifest.record.dirs;
    fs::write_atomic(dirs.manifest(), manifest.to_json().as_bytes())?;
    Ok(manifest)
}

/// Copies a file or a tree, for its user to do with as they like.
fn copy(from: &Utf8Path, to: &Utf8Path) -> Result<(), fs::Error> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    let metadata = from.symlink_metadata().context("read", from)?;
    if metadata.is_dir() {
        fs::create_dir_all(to)?;
        for entry in from.read_dir_utf8().context("read", from)? {
            let entry = entry.context("read", from)?;
            copy(entry.path(), &to.join(entry.file_name()))?;
        }
        Ok(())
    } else if metadata.is_symlink() {
        let target = from.read_link_utf8().context("read", from)?;
        symlink(target, to).context("link", to)
    } else {
        fs::copy(from, to)?;
        let mode = 0o644 | metadata.permissions().mode() & 0o111;
        std::fs::set_permissions(to, std::fs::Permissions::from_mode(mode)).context("write", to)
    }
}

/// What the index has of a release: `out` and `modules`, where they really lie.
pub(in crate::effect) fn find(
    store: &HostStore,
    nix: Option<&Nix>,
    release: &str,
) -> Option<[Utf8PathBuf; 2]> {
    let links = store.root().join(NIX_ROOTS).join(release);
    let found = ["out", "modules"].map(|output| {
        let target = links.join(output).read_link_utf8().ok()?;
        let place = match nix {
            Some(nix) => nix.place(&nix.store.parse(target.as_str()).ok()?),
            None => target,
        };
        place.is_dir().then_some(place)
    });
    match found {
        [Some(out), Some(modules)] => Some([out, modules]),
        _ => None,
    }
}

/// Enters layers into the index, where they stay as long as their release is in the store.
pub(in crate::effect) fn keep<'a>(
    daemon: &mut Daemon,
    store: &HostStore,
    release: &str,
    layers: impl IntoIterator<Item = (&'a str, &'a StorePath)>,
) -> Result<(), Error> {
    let links = store.root().join(NIX_ROOTS).join(release);
    fs::create_dir_all(&links)?;
    for (output, path) in layers {
        daemon.add_root(&links.join(output), path)?;
    }
    Ok(())
}

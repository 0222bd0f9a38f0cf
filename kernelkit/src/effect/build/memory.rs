//! Build directories in memory: entered before a build, left after it, whatever its end was.

use camino::Utf8Path;

use super::Session;
use crate::batch;
use crate::config::DotConfig;
use crate::effect::run;
use crate::effect::{fs, tmpfs as on_tmpfs};
use crate::manifest::Manifest;
use crate::plan::{Facts, Plan};
use crate::spec::KernelSpec;
use crate::tmpfs::{self, Place, Reason};

impl Session<'_> {
    /// Where the build directory of a kernel with this configuration lies, where it is to be in memory.
    pub(super) fn build_place(
        &self,
        spec: &KernelSpec,
        state: &Utf8Path,
        config: &DotConfig,
    ) -> Result<Option<Place>, fs::Error> {
        let room = match &self.tmpfs {
            None => return Ok(None),
            Some(Err(reason)) => return Ok(Some(Place::Disk(reason.clone()))),
            Some(Ok(_)) if spec.publish.value => {
                return Ok(Some(Place::Disk(Reason::Layers)));
            }
            Some(Ok(room)) => room,
        };
        let size = match on_tmpfs::measured(state)? {
            Some(measured) => tmpfs::with_margin(measured),
            None => tmpfs::predict(config),
        };
        let peak = batch::predict(config).memory;
        Ok(Some(tmpfs::place(room, state, size, peak)))
    }

    /// Makes a kernel's build directory ready where it lies in memory. The caller holds the lock.
    pub(super) fn enter(&self, spec: &KernelSpec, facts: &Facts) -> Result<(), fs::Error> {
        let state = self.state(spec);
        match &facts.place {
            Some(Place::Memory { dir, .. }) => on_tmpfs::make(dir, &state),
            // A build that was killed has left something there.
            Some(Place::Disk(_)) | None => on_tmpfs::remove(&state),
        }
    }

    /// Takes a build directory away that lies in memory. A session that builds on disk instead, where the
    /// build failed for want of room there.
    pub(super) fn leave(
        &self,
        plan: &Plan,
        facts: &Facts,
        built: &Result<Manifest, run::Error>,
    ) -> Result<Option<Self>, fs::Error> {
        let Some(Place::Memory { dir, .. }) = &facts.place else {
            return Ok(None);
        };
        let dirs = &plan.record.dirs;
        let is_filled = is_filled(built, dir);
        if built.is_ok() {
            on_tmpfs::note_size(&dirs.build, &dirs.state)?;
        }
        on_tmpfs::remove(&dirs.state)?;
        Ok(is_filled.then(|| Session {
            tmpfs: Some(Err(Reason::Filled { dir: dir.clone() })),
            ..self.clone()
        }))
    }
}

/// Whether a build failed for want of room in `dir`.
fn is_filled(built: &Result<Manifest, run::Error>, dir: &Utf8Path) -> bool {
    match built {
        Err(run::Error::Make { full, .. }) => full.is_some(),
        Err(run::Error::Fs(_)) => fs::is_full(dir),
        _ => false,
    }
}

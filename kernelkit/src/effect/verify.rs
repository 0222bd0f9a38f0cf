//! Builds a kernel a second time, elsewhere and otherwise, and compares every installed byte.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use super::build::{Error, Notice, Session};
use super::fs::{self, Context as _};
use super::run;
use crate::compare::{self, Background, Difference, Item};
use crate::hazard::Hazard;
use crate::manifest::Manifest;
use crate::plan;
use crate::spec::{Jobs, KernelSpec};

/// What a second build came to.
#[derive(Clone, Debug, Serialize)]
pub struct Verification {
    /// The first build.
    pub first: Manifest,
    /// The second build's directory.
    pub directory: Utf8PathBuf,
    /// How many files and links were compared.
    pub compared: usize,
    /// Where the builds differ; empty where they are the same.
    pub differences: Vec<Difference>,
    /// What the configuration has that no identity covers.
    pub hazards: Vec<Hazard>,
}

/// Builds `spec`, or finds it built, then builds it again: in another directory, without ccache
/// and with another number of jobs, so that what depends on these shows.
///
/// The second build stays in `target/kernel/<name>/verify` where the two differ, to be looked
/// at; where they do not, it is removed.
pub fn verify(
    session: &Session<'_>,
    spec: &KernelSpec,
    notify: &mut dyn FnMut(Notice<'_>),
) -> Result<Verification, Error> {
    let (_, first) = session.build(spec, notify)?;
    let directory = session.state(spec).join("verify");
    fs::remove_dir_all(&directory)?;
    let mut again = spec.clone();
    again.ccache.value = false;
    again.jobs.value = Jobs::AutoPlusOne;
    // What is kept for editors is not installed.
    again.compile_commands.value = false;
    again.gdb_scripts.value = false;
    again.rust_analyzer.value = false;
    let mut facts = session.gather(spec, notify)?;
    facts.target_dir = directory.clone();
    facts.ccache = None;
    let plan = plan::plan(&again, &facts)?;
    let (before, after) = (first.record.identity.source, facts.tree.id);
    if before != after {
        return Err(run::Error::SourceChanged {
            path: facts.tree.dir,
            before,
            after,
        }
        .into());
    }
    let lock = run::lock(&plan, &mut |event| notify(Notice::Run(event)))?;
    run::run(&plan, &lock, &mut || Some(facts.tree.id), &mut |event| {
        notify(Notice::Run(event))
    })?;
    let one = read(&first.record.dirs.destdir)?;
    let other = read(&plan.record.dirs.destdir)?;
    let differences = compare::compare(
        &one,
        &other,
        Background {
            hazards: &plan.hazards,
            directories: &[
                &first.record.dirs.build,
                &plan.record.dirs.build,
                &plan.record.dirs.source,
            ],
        },
    );
    drop(lock);
    if differences.is_empty() {
        fs::remove_dir_all(&directory)?;
    }
    Ok(Verification {
        first,
        directory,
        compared: one.len(),
        differences,
        hazards: plan.hazards,
    })
}

/// Everything below a directory but the directories.
fn read(root: &Utf8Path) -> Result<BTreeMap<Utf8PathBuf, Item>, fs::Error> {
    let mut items = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in directory.read_dir_utf8().context("read", &directory)? {
            let entry = entry.context("read", &directory)?;
            let path = entry.path();
            let metadata = path.symlink_metadata().context("read", path)?;
            if metadata.is_dir() {
                open.push(path.to_owned());
                continue;
            }
            let item = if metadata.is_symlink() {
                Item::Link(path.read_link_utf8().context("read", path)?.into_string())
            } else {
                Item::File {
                    bytes: fs::read(path)?,
                    executable: metadata.permissions().mode() & 0o100 != 0,
                }
            };
            let relative = path.strip_prefix(root).expect("it was found below");
            items.insert(relative.to_owned(), item);
        }
    }
    Ok(items)
}

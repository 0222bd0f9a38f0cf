//! Builds a kernel a second time, elsewhere and otherwise, and compares every installed byte.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use super::build::{Error, Notice, Session};
use super::fs::{self, Context as _};
use super::{run, source};
use crate::compare::{self, Background, Difference, Item};
use crate::hazard::Hazard;
use crate::manifest::{Backend, Manifest};
use crate::plan;
use crate::sourced::{Origin, Sourced};
use crate::spec::{BackendChoice, Jobs, KernelSpec};

/// What a second build came to.
#[derive(Clone, Debug, Serialize)]
pub struct Verification {
    /// The first build.
    pub first: Manifest,
    /// The second build's directory.
    pub directory: Utf8PathBuf,
    /// What built it first, and then.
    pub backends: [Backend; 2],
    /// How many files and links were compared.
    pub compared: usize,
    /// Where the builds differ; empty where they are the same.
    pub differences: Vec<Difference>,
    /// What the configuration has that no identity covers.
    pub hazards: Vec<Hazard>,
}

/// Builds `spec`, or finds it built, then builds it again: in another directory, without ccache
/// and with another number of jobs, so that what depends on these shows; or by the backend
/// `again`.
///
/// The second build stays in `target/kernel/<name>/verify` where the two differ, to be looked
/// at; where they do not, it is removed. What Nix builds stays in its store.
pub fn verify(
    session: &Session<'_>,
    spec: &KernelSpec,
    again: Option<BackendChoice>,
    notify: &mut dyn FnMut(Notice<'_>),
) -> Result<Verification, Error> {
    let (_, first) = session.build(spec, notify)?;
    let state = session.state(spec).join("verify");
    let mut other_spec = spec.clone();
    other_spec.ccache.value = false;
    other_spec.borrow_objects.value = false;
    other_spec.jobs.value = Jobs::AutoPlusOne;
    // What is kept for editors is not installed.
    other_spec.compile_commands.value = false;
    other_spec.gdb_scripts.value = false;
    other_spec.rust_analyzer.value = false;
    if let Some(again) = again {
        other_spec.backend = Sourced {
            value: again,
            origin: Origin::CommandLine {
                flag: "--backend".to_owned(),
            },
        };
    }
    let mut facts = session.gather(&other_spec, notify)?;
    facts.target_dir = state.clone();
    facts.ccache = None;
    let mut plan = plan::plan(&other_spec, &facts)?;
    let (before, after) = (first.record.identity.source, facts.tree.id);
    if before != after {
        return Err(run::Error::SourceChanged {
            path: facts.tree.dir,
            before,
            after,
        }
        .into());
    }
    if again.is_some() {
        session.choose(&other_spec, &facts, &mut plan)?;
    }
    let one = read(&first.record.dirs.destdir)?;
    let (other, directory) = match plan.record.backend {
        Backend::Nix => {
            let [out, modules] =
                session.build_again_with_nix(&other_spec, &facts, &plan, notify)?;
            let mut other = read_below(&out, "boot")?;
            other.extend(read_below(&modules, "lib")?);
            (other, out)
        }
        Backend::Host | Backend::Shell => {
            fs::remove_dir_all(&state)?;
            let context = session.source_context();
            let held = source::hold(&facts.tree, &context)?;
            let lock = run::lock(&plan, &mut |event| notify(Notice::Run(event)))?;
            run::run(
                &plan,
                &lock,
                &session.surroundings,
                run::Inputs {
                    toolchain: &facts.toolchain,
                    rescan: &mut || Some(facts.tree.id),
                    covered: &|| held.covered(&context),
                },
                &mut |event| notify(Notice::Run(event)),
            )?;
            (read(&plan.record.dirs.destdir)?, state.clone())
        }
    };
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
    if differences.is_empty() {
        fs::remove_dir_all(&state)?;
    }
    Ok(Verification {
        compared: one.len(),
        backends: [first.record.backend, plan.record.backend],
        first,
        directory,
        differences,
        hazards: plan.hazards,
    })
}

/// What a layer has below one of its directories, if anything.
fn read_below(layer: &Utf8Path, directory: &str) -> Result<BTreeMap<Utf8PathBuf, Item>, fs::Error> {
    let below = layer.join(directory);
    if !below.exists() {
        return Ok(BTreeMap::new());
    }
    let items = read(&below)?.into_iter();
    Ok(items
        .map(|(path, item)| (Utf8Path::new(directory).join(path), item))
        .collect())
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

//! A finished build as layers in the Nix store: under names that follow from their content, or
//! as the outputs of the kernel's derivation.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use super::{Error, Notice, Session};
use crate::arch::Arch;
use crate::backend::Lock;
use crate::effect::exec;
use crate::effect::fs::{self, Context as _};
use crate::effect::nix::daemon::Options;
use crate::effect::nix::program::Nix;
use crate::effect::nix::{daemon, layer, nar};
use crate::image::BuildId;
use crate::manifest::{Manifest, OutputKind};
use crate::nix::failure::Cause;
use crate::nix::kernel::build_script;
use crate::nix::narinfo::NarInfo;
use crate::nix::store_path::{StoreDir, StorePath};
use crate::plan;
use crate::process::Call;
use crate::spec::KernelSpec;

/// A layer of a build and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Layer {
    /// `out`, `modules`, `dev` or `debug`.
    pub output: String,
    /// Its path in the Nix store.
    pub path: String,
    /// What became of it.
    #[serde(flatten)]
    pub state: State,
}

/// What became of a layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum State {
    /// It is there now.
    Added,
    /// It was there, with these bytes.
    Present,
    /// It was there, with other bytes.
    Differs,
    /// It names a directory of this machine, so the sandbox makes other bytes.
    Names {
        /// Relative to the layer.
        file: Utf8PathBuf,
        /// What it names.
        directory: Utf8PathBuf,
    },
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            State::Added => f.write_str("added"),
            State::Present => f.write_str("was there"),
            State::Differs => f.write_str("left alone: the store has other bytes"),
            State::Names { file, directory } => {
                write!(f, "left out: {file} names {directory}")
            }
        }
    }
}

/// What a derivation of a kernel puts out.
const OUTPUTS: [&str; 4] = ["out", "modules", "dev", "debug"];

/// A build of uncommitted edits is nobody else's.
fn refuse_edited(manifest: &Manifest) -> Result<(), Error> {
    match manifest.record.base {
        None => Ok(()),
        Some(_) => Err(Error::Edited {
            kernel: manifest.record.name.to_string(),
        }),
    }
}

impl Session<'_> {
    /// Adds the run layer and the modules of a finished build to the Nix store, under names that
    /// follow from their content, so that nobody has to be trusted; keeps them there by release.
    pub fn publish_layers(
        &self,
        spec: &KernelSpec,
        manifest: &Manifest,
        notify: &mut dyn FnMut(Notice<'_>),
    ) -> Result<Vec<Layer>, Error> {
        refuse_edited(manifest)?;
        let nix = Nix::find(self.environment)?;
        let mut daemon = nix.connect(&Options::default())?;
        let release = &manifest.record.release;
        let outputs = &OUTPUTS[..2];
        let directory = self.lay_out(spec, manifest, &nix.store, None, notify)?;
        let mut layers = Vec::new();
        let mut paths = Vec::new();
        for output in outputs {
            let name = match *output {
                "out" => format!("linux-{release}"),
                output => format!("linux-{release}-{output}"),
            };
            let place = directory.join(output);
            let hash = nar::hash(&place).map_err(daemon::Error::from)?;
            let path = nix
                .store
                .source_path(&name, hash.sha256)
                .map_err(crate::nix::kernel::Error::from)?;
            let present = daemon.is_valid(&path)?;
            if !present {
                daemon.add_directory(&name, &place)?;
            }
            layers.push(Layer {
                output: (*output).to_owned(),
                path: nix.store.display(&path),
                state: if present {
                    State::Present
                } else {
                    State::Added
                },
            });
            paths.push((*output, path));
        }
        let kept = paths.iter().map(|(output, path)| (*output, path));
        layer::keep(&mut daemon, &self.store(), release, kept)?;
        fs::remove_dir_all(&directory)?;
        Ok(layers)
    }

    /// Brings a finished build of a locked kernel into the Nix store as the outputs of its
    /// derivation, so that Nix has nothing to build. Nix believes only users that it trusts
    /// that these bytes are those of the derivation; [`verify`](crate::effect::verify) proves it.
    ///
    /// What of the build names directories of this machine is left out.
    pub fn register(
        &self,
        spec: &KernelSpec,
        manifest: &Manifest,
        notify: &mut dyn FnMut(Notice<'_>),
    ) -> Result<Vec<Layer>, Error> {
        refuse_edited(manifest)?;
        let facts = self.gather(spec, notify)?;
        let planned = plan::plan(spec, &facts)?;
        if self.lock_state(spec, &facts, &planned) != Lock::Same {
            return Err(Error::NotLocked {
                kernel: spec.name.to_string(),
            });
        }
        let derived = self.derive(spec, &facts, &planned)?;
        let store = &derived.nix.store;
        let mut daemon = self.daemon(spec, &derived)?;
        if daemon.is_trusted() == Some(false) {
            return Err(not_trusted().into());
        }
        self.place(&mut daemon, &derived)?;
        let dev = derived.output("dev");
        let directory = self.lay_out(spec, manifest, store, Some(dev), notify)?;
        let outputs: BTreeSet<&StorePath> = OUTPUTS.map(|name| derived.output(name)).into();
        let inputs = derived.plan.derivation.references();
        let candidates: BTreeSet<&StorePath> =
            outputs.iter().copied().chain(inputs.iter()).collect();
        let dirs = &manifest.record.dirs;
        let foreign = [&dirs.state, &dirs.source];
        let mut layers = Vec::new();
        let mut kept = Vec::new();
        for output in OUTPUTS {
            let place = directory.join(output);
            if !place.exists() {
                continue;
            }
            let path = derived.output(output);
            let hash = nar::hash(&place).map_err(daemon::Error::from)?;
            let state = if let Some(info) = daemon.info(path)? {
                match info.nar == hash {
                    true => State::Present,
                    false => State::Differs,
                }
            } else {
                let found = scan(&place, &candidates, &foreign)?;
                match found.names {
                    Some((file, directory)) => State::Names { file, directory },
                    None => {
                        let info = NarInfo {
                            references: found.references,
                            deriver: Some(derived.plan.path.clone()),
                            ..NarInfo::new(path.clone(), hash)
                        };
                        daemon.import(&info, &place).map_err(|error| match error {
                            // What an older Nix says instead of whom it trusts.
                            daemon::Error::Refused {
                                cause: Some(Cause::Unsigned),
                                ..
                            } => not_trusted(),
                            error => error,
                        })?;
                        State::Added
                    }
                }
            };
            if matches!(state, State::Added | State::Present) {
                kept.push((output, path));
            }
            layers.push(Layer {
                output: output.to_owned(),
                path: store.display(path),
                state,
            });
        }
        let release = &manifest.record.release;
        layer::keep(&mut daemon, &self.store(), release, kept)?;
        fs::remove_dir_all(&directory)?;
        Ok(layers)
    }

    /// Lays a build out as its derivation does, by the derivation's own script; all of it where
    /// `dev` says where that output will be and the build directory is still there, else the
    /// run layer and the modules. Returns the directory of the layers.
    fn lay_out(
        &self,
        spec: &KernelSpec,
        manifest: &Manifest,
        store: &StoreDir,
        dev: Option<&StorePath>,
        notify: &mut dyn FnMut(Notice<'_>),
    ) -> Result<Utf8PathBuf, Error> {
        let record = &manifest.record;
        let kinds = [OutputKind::Image, OutputKind::SystemMap, OutputKind::Config];
        if kinds.iter().any(|kind| record.output(*kind).is_none()) {
            return Err(Error::NothingToPublish {
                kernel: spec.name.to_string(),
            });
        }
        let directory = self.state(spec).join("layers");
        fs::remove_dir_all(&directory)?;
        fs::create_dir_all(&directory)?;
        let script = directory.join("build-kernel.sh");
        fs::write_atomic(&script, build_script().as_bytes())?;
        let dirs = &record.dirs;
        let row = record.arch.row();
        let built = fs::read_optional(dirs.build.join("include/config/kernel.release"))?
            .is_some_and(|bytes| bytes.trim_ascii() == record.release.as_bytes());
        let whole = dev.filter(|_| built && dirs.build.join("vmlinux").exists());
        let place = |name: &str| directory.join(name).into_string();
        let more = |name: &str| whole.map_or(String::new(), |_| place(name));
        let has_modules = record.output(OutputKind::Modules).is_some();
        let observed = &manifest.observed;
        let config = format!("boot/config-{}", record.release);
        let mut call = Call::new("bash", &directory)
            .arg(script)
            .envs(&self.tool_place(spec, notify)?.tool_variables());
        let variables = [
            ("NIX_BUILD_TOP", directory.to_string()),
            ("NIX_STORE", store.to_string()),
            ("out", place("out")),
            ("modules", place("modules")),
            ("dev", more("dev")),
            ("debug", more("debug")),
            ("layerFiles", dirs.destdir.to_string()),
            ("layerBuild", dirs.build.to_string()),
            ("layerSource", dirs.source.to_string()),
            (
                "layerBackend",
                dev.map_or(record.backend.to_string(), |_| "nix".to_owned()),
            ),
            (
                "layerDev",
                dev.map_or(String::new(), |path| store.display(path)),
            ),
            ("kernelName", record.name.to_string()),
            ("arch", Arch::name(record.arch).to_owned()),
            ("kernelVersion", record.version.clone()),
            ("release", record.release.clone()),
            ("digest", record.digest.to_string()),
            ("toolchainId", record.identity.toolchain.clone()),
            ("config", dirs.destdir.join(config).into_string()),
            ("image", row.image_path.to_owned()),
            ("imageName", row.install_name.to_owned()),
            (
                "installModules",
                if has_modules { "1" } else { "" }.to_owned(),
            ),
            ("UTS_RELEASE", observed.uts_release.clone()),
            ("UTS_VERSION", observed.uts_version.clone()),
            ("UTS_MACHINE", observed.uts_machine.clone()),
            ("LINUX_COMPILER", observed.linux_compiler.clone()),
            ("LINUX_COMPILE_BY", observed.linux_compile_by.clone()),
            ("LINUX_COMPILE_HOST", observed.linux_compile_host.clone()),
            (
                "BUILD_ID",
                observed
                    .build_id
                    .as_ref()
                    .map_or(String::new(), BuildId::to_string),
            ),
        ];
        for (name, value) in variables {
            call = call.env(name, value);
        }
        exec::capture(&call)?;
        Ok(directory)
    }
}

fn not_trusted() -> daemon::Error {
    daemon::Error::Refused {
        during: "to register outputs",
        message: "this user is not trusted".to_owned(),
        traces: Vec::new(),
        cause: Some(Cause::Untrusted),
    }
}

/// What the files of a layer name.
struct Found {
    references: BTreeSet<StorePath>,
    /// The first file that names a directory which the sandbox does not have.
    names: Option<(Utf8PathBuf, Utf8PathBuf)>,
}

/// Looks for store paths, as Nix does by their digits, and for directories.
fn scan(
    layer: &Utf8Path,
    candidates: &BTreeSet<&StorePath>,
    directories: &[&Utf8PathBuf],
) -> Result<Found, fs::Error> {
    let mut found = Found {
        references: BTreeSet::new(),
        names: None,
    };
    let mut open = vec![layer.to_owned()];
    while let Some(path) = open.pop() {
        let metadata = path.symlink_metadata().context("read", &path)?;
        let bytes = if metadata.is_dir() {
            for entry in path.read_dir_utf8().context("read", &path)? {
                open.push(entry.context("read", &path)?.into_path());
            }
            continue;
        } else if metadata.is_symlink() {
            let target = std::fs::read_link(&path).context("read", &path)?;
            target.as_os_str().as_bytes().to_vec()
        } else {
            fs::read(&path)?
        };
        for candidate in candidates {
            if contains(&bytes, candidate.digits().as_bytes()) {
                found.references.insert((*candidate).clone());
            }
        }
        if found.names.is_none()
            && let Some(directory) = directories
                .iter()
                .find(|directory| contains(&bytes, directory.as_str().as_bytes()))
        {
            let file = path.strip_prefix(layer).unwrap_or(&path);
            found.names = Some((file.to_owned(), (*directory).clone()));
        }
    }
    Ok(found)
}

/// Whether `needle` is in `bytes`. Its last byte is looked for first: most steps are as long as
/// the needle.
fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    let mut steps = [needle.len(); 256];
    for (index, byte) in needle.iter().enumerate().take(needle.len() - 1) {
        steps[usize::from(*byte)] = needle.len() - 1 - index;
    }
    let mut at = 0;
    while let Some(window) = bytes.get(at..at + needle.len()) {
        if window == needle {
            return true;
        }
        at += steps[usize::from(window[needle.len() - 1])];
    }
    false
}

#[cfg(test)]
mod tests {
    use super::contains;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_there_is_found(bytes in "[ab/]{0,40}", needle in "[ab/]{1,5}") {
            prop_assert_eq!(
                contains(bytes.as_bytes(), needle.as_bytes()),
                bytes.contains(&needle)
            );
        }
    }
}

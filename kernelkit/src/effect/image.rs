//! Reads back from installed files what the kernel says of itself, and compares the release.
//!
//! What the bytes mean is decided in [`crate::image`].

use std::fs::File;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};

use camino::{Utf8Path, Utf8PathBuf};
use object::read::ReadCache;

use super::environment::cores;
use super::fs::{self, Context as _};
use crate::boot::module;
use crate::image::{self, BuildId, Difference, Facts};
use crate::manifest::{Observed, OutputKind, Record};

/// Modules named in a message.
const SHOWN: usize = 3;

/// Why an installed kernel is not the planned one, or cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file.
    #[error(transparent)]
    Fs(#[from] fs::Error),
    /// An image that cannot be read.
    #[error("cannot read the kernel in {path}")]
    Image {
        /// The image.
        path: Utf8PathBuf,
        /// What is wrong with it.
        #[source]
        source: image::Error,
    },
    /// An ELF file that cannot be read.
    #[error("cannot read {path}")]
    Elf {
        /// A module, or vmlinux.
        path: Utf8PathBuf,
        /// What is wrong with it.
        #[source]
        source: image::Error,
    },
    /// A compressed module that cannot be unpacked.
    #[error("cannot unpack {path}")]
    Unpack {
        /// The module.
        path: Utf8PathBuf,
        /// What is wrong with it.
        #[source]
        source: std::io::Error,
    },
    /// The image carries another release.
    #[error("{path} is not the planned `{expected}`: {}", listed(differences))]
    Release {
        /// The image.
        path: Utf8PathBuf,
        /// The planned release.
        expected: String,
        /// Every place that says otherwise.
        differences: Vec<Difference>,
    },
    /// Modules are for another release.
    #[error(
        "{count} of the installed modules are not for the planned `{expected}`: {}",
        listed(first)
    )]
    Modules {
        /// The planned release.
        expected: String,
        /// How many.
        count: usize,
        /// The first of them.
        first: Vec<Difference>,
    },
    /// A module without `vermagic`.
    #[error("the module {path} has no `vermagic`, which tells the release it is for")]
    NoVermagic {
        /// The module.
        path: Utf8PathBuf,
    },
    /// The image holds another kernel than the one that was linked.
    #[error("{path} holds the kernel with the build id {found}; {vmlinux} has {expected}")]
    OtherKernel {
        /// The image.
        path: Utf8PathBuf,
        /// The build id in it.
        found: BuildId,
        /// What it should have been made of.
        vmlinux: Utf8PathBuf,
        /// The build id there.
        expected: BuildId,
    },
}

fn listed(differences: &[Difference]) -> String {
    let listed: Vec<_> = differences.iter().map(Difference::to_string).collect();
    listed.join(", ")
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Fs(error) => error.hint(),
            Error::Image { .. } | Error::Elf { .. } | Error::Unpack { .. } => Some(
                "run it again with `--no-reuse`; if it stays, please report it with the kernel's version and compression"
                    .to_owned(),
            ),
            Error::Release { .. } | Error::Modules { .. } | Error::OtherKernel { .. } => Some(
                "either the tree or a patch sets a release of its own, or make kept a file of another build: `cargo kernel clean` removes those"
                    .to_owned(),
            ),
            Error::NoVermagic { .. } => {
                Some("the kernel does not load such a module: does the tree or a patch change how modules are linked?".to_owned())
            }
        }
    }
}

/// Reads the image and the modules of `record` below `root` and compares their releases. The result
/// is what the image says; `None` where the build has none.
pub(super) fn read_back(record: &Record, root: &Utf8Path) -> Result<Option<Observed>, Error> {
    let observed = match record.output(OutputKind::Image) {
        Some(output) => Some(observe(record, &root.join(&output.path))?),
        None => None,
    };
    if let Some(output) = record.output(OutputKind::Modules) {
        check_modules(&root.join(&output.path), &record.release)?;
    }
    Ok(observed)
}

fn observe(record: &Record, path: &Utf8Path) -> Result<Observed, Error> {
    let bytes = fs::read(path)?;
    let facts =
        image::read(&bytes, record.arch.row().srcarch == "x86").map_err(|source| Error::Image {
            path: path.to_owned(),
            source,
        })?;
    let differences = facts.differences(&record.release);
    if !differences.is_empty() {
        return Err(Error::Release {
            path: path.to_owned(),
            expected: record.release.clone(),
            differences,
        });
    }
    let Facts {
        banner,
        uname,
        build_id,
        ..
    } = facts;
    Ok(Observed {
        uts_release: banner.release,
        uts_version: banner.version,
        uts_machine: uname.map(|uname| uname.machine).unwrap_or_default(),
        linux_compiler: banner.compiler,
        linux_compile_by: banner.by,
        linux_compile_host: banner.host,
        build_id,
    })
}

/// The build id of the kernel that was linked in `record`'s build directory. Where the image has one too, it
/// must be the same: `in_image`.
pub(super) fn linked(
    record: &Record,
    root: &Utf8Path,
    in_image: Option<BuildId>,
) -> Result<Option<BuildId>, Error> {
    let vmlinux = record.dirs.build.join("vmlinux");
    if !vmlinux.exists() {
        return Ok(in_image);
    }
    match (build_id(&vmlinux)?, in_image) {
        (Some(expected), Some(found)) if found != expected => Err(Error::OtherKernel {
            path: record
                .output(OutputKind::Image)
                .map_or(root.to_owned(), |output| root.join(&output.path)),
            found,
            vmlinux,
            expected,
        }),
        (linked, in_image) => Ok(linked.or(in_image)),
    }
}

/// The build id of an ELF file, of any size: only its notes are read.
pub(super) fn build_id(path: &Utf8Path) -> Result<Option<BuildId>, Error> {
    let cache = ReadCache::new(File::open(path).context("read", path)?);
    image::build_id(&cache).map_err(|source| Error::Elf {
        path: path.to_owned(),
        source,
    })
}

/// Compares the release of every module in `directory`, on all processors.
fn check_modules(directory: &Utf8Path, expected: &str) -> Result<(), Error> {
    let mut modules = Vec::new();
    for entry in fs::below(directory) {
        let entry = entry?;
        let kind = entry.file_type().context("look at", entry.path())?;
        if kind.is_file() && module::unpacked(entry.file_name()).ends_with(".ko") {
            modules.push(entry.into_path());
        }
    }
    modules.sort();
    let next = AtomicUsize::new(0);
    let workers = NonZero::new(cores().min(modules.len().div_ceil(16)));
    let work = || -> Result<Vec<Difference>, Error> {
        let mut differences = Vec::new();
        while let Some(path) = modules.get(next.fetch_add(1, Ordering::Relaxed)) {
            let found = module_release(path)?;
            if found != expected {
                let place = path.strip_prefix(directory).unwrap_or(path).to_string();
                differences.push(Difference { place, found });
            }
        }
        Ok(differences)
    };
    let results = std::thread::scope(|scope| {
        let others: Vec<_> = (1..workers.map_or(1, NonZero::get))
            .map(|_| scope.spawn(work))
            .collect();
        let mut results = vec![work()];
        results.extend(others.into_iter().map(|other| {
            other
                .join()
                .expect("reading a module never panics: its bytes are not trusted")
        }));
        results
    });
    let mut differences = Vec::new();
    for result in results {
        differences.append(&mut result?);
    }
    differences.sort_by(|one, other| one.place.cmp(&other.place));
    let count = differences.len();
    differences.truncate(SHOWN);
    match count {
        0 => Ok(()),
        count => Err(Error::Modules {
            expected: expected.to_owned(),
            count,
            first: differences,
        }),
    }
}

fn module_release(path: &Utf8Path) -> Result<String, Error> {
    let release = if module::unpacked(path.as_str()) == path.as_str() {
        let cache = ReadCache::new(File::open(path).context("read", path)?);
        image::module_release(&cache)
    } else {
        let bytes =
            module::unpack(path.as_str(), fs::read(path)?).map_err(|source| Error::Unpack {
                path: path.to_owned(),
                source,
            })?;
        image::module_release(bytes.as_slice())
    };
    release
        .map_err(|source| Error::Elf {
            path: path.to_owned(),
            source,
        })?
        .ok_or_else(|| Error::NoVermagic {
            path: path.to_owned(),
        })
}

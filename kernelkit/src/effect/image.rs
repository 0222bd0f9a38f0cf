//! Reads back from installed files what the kernel says of itself, and compares the release.
//!
//! What the bytes mean is decided in [`crate::image`].

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
/// is what the image says; `None` where the build has none. `vmlinux` is what the image was made of, where
/// that is here.
pub(super) fn read_back(
    record: &Record,
    root: &Utf8Path,
    vmlinux: Option<&Utf8Path>,
) -> Result<Option<Observed>, Error> {
    let is_x86 = record.arch.row().srcarch == "x86";
    let observed = match record.output(OutputKind::Image) {
        Some(output) => {
            let path = root.join(&output.path);
            let observed = observe(&path, is_x86, &record.release)?;
            Some(match vmlinux {
                Some(vmlinux) => Observed {
                    build_id: linked(vmlinux, &path, observed.build_id)?,
                    ..observed
                },
                None => observed,
            })
        }
        None => None,
    };
    if let Some(output) = record.output(OutputKind::Modules) {
        check_modules(&root.join(&output.path), &record.release)?;
    }
    Ok(observed)
}

fn observe(path: &Utf8Path, is_x86: bool, expected: &str) -> Result<Observed, Error> {
    let facts = image::read(&fs::read(path)?, is_x86).map_err(|source| Error::Image {
        path: path.to_owned(),
        source,
    })?;
    let differences = facts.differences(expected);
    if !differences.is_empty() {
        return Err(Error::Release {
            path: path.to_owned(),
            expected: expected.to_owned(),
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

/// The build id of `vmlinux`, of which the image in `path` was made; that of the image, where it has one and
/// there is no vmlinux. Both must be the same.
pub(super) fn linked(
    vmlinux: &Utf8Path,
    path: &Utf8Path,
    in_image: Option<BuildId>,
) -> Result<Option<BuildId>, Error> {
    if !vmlinux.exists() {
        return Ok(in_image);
    }
    match (build_id(vmlinux)?, in_image) {
        (Some(expected), Some(found)) if found != expected => Err(Error::OtherKernel {
            path: path.to_owned(),
            found,
            vmlinux: vmlinux.to_owned(),
            expected,
        }),
        (linked, in_image) => Ok(linked.or(in_image)),
    }
}

/// The build id of an ELF file, of any size: only its notes are read.
pub(super) fn build_id(path: &Utf8Path) -> Result<Option<BuildId>, Error> {
    let cache = ReadCache::new(fs::open(path).context("read", path)?.0);
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
        let cache = ReadCache::new(fs::open(path).context("read", path)?.0);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Compression;
    use crate::image::tests::{RELEASE, bzimage, compress, elf, kernel, note};

    fn module(release: &str) -> Vec<u8> {
        let info = format!("license=GPL\0vermagic={release} SMP mod_unload \0");
        elf(false, 1, ".modinfo", info.as_bytes(), &[7; 5000])
    }

    /// The module as `modules_install` leaves it in a file of that name.
    fn packed(name: &str, bytes: &[u8]) -> Vec<u8> {
        match name.rsplit_once('.').unwrap().1 {
            "gz" => compress(Compression::Gzip, bytes),
            "xz" => {
                let mut packed = compress(Compression::Xz, bytes);
                packed.truncate(packed.len() - 4);
                packed
            }
            "zst" => zstd::encode_all(bytes, 1).unwrap(),
            _ => bytes.to_owned(),
        }
    }

    /// Compares the modules in a directory with these files.
    fn compare(files: &[(String, Vec<u8>)]) -> Result<(), String> {
        use std::error::Error as _;
        let guard = tempfile::tempdir().unwrap();
        let directory = Utf8Path::from_path(guard.path()).unwrap();
        for (name, bytes) in files {
            fs::write_atomic(directory.join(name), bytes).unwrap();
        }
        fs::write_atomic(directory.join("modules.dep"), b"kernel/a.ko:").unwrap();
        std::os::unix::fs::symlink("nowhere", directory.join("build.ko")).unwrap();
        check_modules(directory, RELEASE).map_err(|error| {
            let source = error
                .source()
                .map_or(String::new(), |source| format!(": {source}"));
            format!("{error}{source}").replace(directory.as_str(), "[dir]")
        })
    }

    #[test]
    fn modules_of_another_release_are_counted_and_the_first_are_named() {
        let endings = ["ko", "ko.gz", "ko.xz", "ko.zst"];
        let files = |wrong: &[usize]| {
            (0..60)
                .map(|n| {
                    let name = format!("kernel/m{n:02}.{}", endings[n % 4]);
                    let release = if wrong.contains(&n) {
                        "6.1-old"
                    } else {
                        RELEASE
                    };
                    let bytes = packed(&name, &module(release));
                    (name, bytes)
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(compare(&[]), Ok(()));
        assert_eq!(compare(&files(&[])), Ok(()));
        let cases: [(&[usize], &str); 5] = [
            (
                &[8],
                "1 of the installed modules are not for the planned `6.12.117-tiny-0123456789ab`: kernel/m08.ko says `6.1-old`",
            ),
            (
                &[9],
                "1 of the installed modules are not for the planned `6.12.117-tiny-0123456789ab`: kernel/m09.ko.gz says `6.1-old`",
            ),
            (
                &[58],
                "1 of the installed modules are not for the planned `6.12.117-tiny-0123456789ab`: kernel/m58.ko.xz says `6.1-old`",
            ),
            (
                &[59],
                "1 of the installed modules are not for the planned `6.12.117-tiny-0123456789ab`: kernel/m59.ko.zst says `6.1-old`",
            ),
            (
                &[50, 3, 40, 12, 41],
                "5 of the installed modules are not for the planned `6.12.117-tiny-0123456789ab`: kernel/m03.ko.zst says `6.1-old`, kernel/m12.ko says `6.1-old`, kernel/m40.ko says `6.1-old`",
            ),
        ];
        for (wrong, expected) in cases {
            assert_eq!(compare(&files(wrong)).unwrap_err(), expected);
        }
    }

    #[test]
    fn a_module_that_cannot_be_read_is_named() {
        let no_info = elf(false, 1, ".text", b"vermagic=6.12", b"");
        let rows = [
            (
                "a.ko",
                no_info,
                "the module [dir]/a.ko has no `vermagic`, which tells the release it is for",
            ),
            (
                "a.ko",
                b"text".to_vec(),
                "cannot read [dir]/a.ko: not a readable ELF file",
            ),
            (
                "a.ko",
                module(RELEASE)[..200].to_vec(),
                "cannot read [dir]/a.ko: not a readable ELF file",
            ),
            (
                "a.ko.gz",
                b"text".to_vec(),
                "cannot unpack [dir]/a.ko.gz: unexpected end of file",
            ),
        ];
        for (name, bytes, expected) in rows {
            assert_eq!(compare(&[(name.to_owned(), bytes)]).unwrap_err(), expected);
        }
    }

    #[test]
    fn the_image_is_made_of_the_kernel_that_was_linked() {
        let guard = tempfile::tempdir().unwrap();
        let directory = Utf8Path::from_path(guard.path()).unwrap();
        let (vmlinux, image) = (directory.join("vmlinux"), directory.join("bzImage"));
        let linked_as = |digit: u8| {
            let notes = note(b"GNU\0", 3, &[digit; 20], u32::to_le_bytes);
            elf(false, 7, ".notes", &notes, &kernel(RELEASE))
        };
        let payload = compress(Compression::Gzip, &linked_as(0x11));
        fs::write_atomic(&image, &bzimage(RELEASE, &payload)).unwrap();
        let observed = observe(&image, true, RELEASE).unwrap();
        let in_image = observed.build_id.clone();
        assert_eq!(in_image.clone().unwrap().to_string(), "11".repeat(20));
        let compare = || linked(&vmlinux, &image, in_image.clone());
        assert_eq!(compare().unwrap(), in_image);
        fs::write_atomic(&vmlinux, &linked_as(0x11)).unwrap();
        assert_eq!(compare().unwrap(), in_image);
        fs::write_atomic(&vmlinux, &linked_as(0x22)).unwrap();
        let error = compare().unwrap_err().to_string();
        assert!(
            error.ends_with(&format!("vmlinux has {}", "22".repeat(20))),
            "{error}"
        );
        let error = observe(&image, true, "6.1-old").unwrap_err();
        assert!(
            error.to_string().contains("the x86 setup header says"),
            "{error}"
        );
    }
}

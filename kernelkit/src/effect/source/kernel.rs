//! What a kernel tree says of itself.

use camino::Utf8Path;

use super::Error;
use crate::effect::fs::{self, Context as _};
use crate::version::KernelVersion;

/// Version and local version of the tree in `dir`; an error where it is none.
pub(super) fn identify(dir: &Utf8Path) -> Result<(KernelVersion, String), Error> {
    for missing in ["Makefile", "Kconfig"] {
        if !dir.join(missing).is_file() {
            return Err(Error::NotAKernel {
                dir: dir.to_owned(),
                missing,
            });
        }
    }
    let makefile = fs::input(dir.join("Makefile"))?;
    let version =
        KernelVersion::from_makefile(&String::from_utf8_lossy(&makefile)).map_err(|source| {
            Error::Makefile {
                dir: dir.to_owned(),
                source,
            }
        })?;
    Ok((version, localversion(dir)?))
}

/// What `scripts/setlocalversion` takes from the tree: the files `localversion*` in
/// the order of their names, less those with a `~` in it, without white space.
fn localversion(dir: &Utf8Path) -> Result<String, Error> {
    let mut names = Vec::new();
    for entry in dir.read_dir().context("read", dir)? {
        let name = entry.context("read", dir)?.file_name();
        if let Some(name) = name.to_str()
            && name.starts_with("localversion")
            && !name.contains('~')
        {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    let mut text = String::new();
    for name in names {
        text.push_str(&fs::input_text(dir.join(name))?);
    }
    text.retain(|character| !character.is_whitespace());
    Ok(text)
}

/// Refuses a tree that was built in place: the kernel's own Makefile refuses to build
/// it out of tree, and what was generated there would win over what is generated here.
pub(super) fn refuse_built(dir: &Utf8Path) -> Result<(), Error> {
    let found = [".config", "include/config"]
        .map(|path| dir.join(path))
        .into_iter()
        .find(|path| path.exists());
    let found = match found {
        Some(found) => Some(found),
        None => {
            let arch = dir.join("arch");
            let mut found = None;
            for entry in arch.read_dir_utf8().into_iter().flatten().flatten() {
                let generated = entry.path().join("include/generated");
                if generated.is_dir() {
                    found = Some(generated);
                }
            }
            found
        }
    };
    match found {
        None => Ok(()),
        Some(found) => Err(Error::BuiltInPlace {
            dir: dir.to_owned(),
            found,
        }),
    }
}

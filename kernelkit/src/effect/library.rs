//! Reads the user's fragment directories.

use camino::{Utf8Path, Utf8PathBuf};

use super::fs::{self, Context as _};
use crate::fragment::{FragmentName, InvalidName, Library};

/// Why a directory of fragments cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory cannot be read.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// A file's path below the directory is no fragment's name.
    #[error("{path} cannot be a fragment")]
    Name {
        /// The file.
        path: Utf8PathBuf,
        /// Its name.
        #[source]
        source: InvalidName,
    },
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::File(error) => error.hint(),
            Error::Name { path, source } if !source.0.contains('/') => Some(format!(
                "fragments lie in directories that name their category: move it to core/{}",
                path.file_name().unwrap_or_default()
            )),
            Error::Name { source, .. } => source.hint(),
        }
    }
}

/// The built-in fragments and those of `directories`; a later directory wins over an
/// earlier one, and all of them over the built-in ones.
pub fn load(directories: &[Utf8PathBuf]) -> Result<Library, Error> {
    let mut library = Library::embedded();
    for directory in directories {
        library.add_directory(directory.clone(), read_directory(directory)?);
    }
    Ok(library)
}

/// Every `*.config` below `directory`, in the order of the paths, as name, path and
/// text. Hidden files and directories, links to directories and files of other names are
/// passed over.
pub fn read_directory(
    directory: &Utf8Path,
) -> Result<Vec<(FragmentName, Utf8PathBuf, String)>, Error> {
    let mut paths = Vec::new();
    find_configs(directory, &mut paths)?;
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let relative = path
                .strip_prefix(directory)
                .expect("the path was made by joining to the directory");
            let name = relative.as_str().parse().map_err(|source| Error::Name {
                path: path.clone(),
                source,
            })?;
            let text = fs::read_to_string(&path)?;
            Ok((name, path, text))
        })
        .collect()
}

fn find_configs(directory: &Utf8Path, found: &mut Vec<Utf8PathBuf>) -> Result<(), fs::Error> {
    let entries = directory
        .read_dir_utf8()
        .context("read directory", directory)?;
    for entry in entries {
        let entry = entry.context("read directory", directory)?;
        if entry.file_name().starts_with('.') {
            continue;
        }
        let path = entry.into_path();
        if path.symlink_metadata().context("read", &path)?.is_dir() {
            find_configs(&path, found)?;
        } else if path.extension() == Some("config") {
            found.push(path);
        }
    }
    Ok(())
}

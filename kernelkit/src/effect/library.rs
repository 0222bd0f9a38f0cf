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
            let text = fs::input_text(&path)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(files: &[(&str, &str)]) -> (tempfile::TempDir, Utf8PathBuf) {
        let guard = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(guard.path().to_owned()).unwrap();
        for (name, text) in files {
            fs::write_atomic(path.join(name), text.as_bytes()).unwrap();
        }
        (guard, path)
    }

    #[test]
    fn every_fragment_of_our_own_is_embedded() {
        let own = Utf8Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fragments"));
        let files = read_directory(own).unwrap();
        let library = Library::embedded();
        for (name, path, text) in &files {
            let embedded = library.get(name).map(|fragment| fragment.text());
            assert_eq!(embedded, Some(text.as_str()), "list {path} in embedded.rs");
        }
        assert_eq!(files.len(), library.iter().count());
    }

    #[test]
    fn a_later_directory_wins() {
        let (_first, first) = directory(&[("fs/x.config", "CONFIG_A=y\n"), ("fs/y.config", "")]);
        let (_second, second) = directory(&[
            ("fs/x.config", "CONFIG_A=m\n"),
            ("fs/README.md", "not a fragment"),
            ("fs/.#x.config", "an editor's lock"),
            ("deep/er/x.config", ""),
        ]);
        let library = load(&[first.clone(), second.clone()]).unwrap();
        let path = |name: &str| match library.get(&name.parse().unwrap())?.origin() {
            crate::fragment::Origin::File(path) => Some(path.clone()),
            crate::fragment::Origin::Embedded => None,
        };
        assert_eq!(path("fs/x"), Some(second.join("fs/x.config")));
        assert_eq!(path("fs/y"), Some(first.join("fs/y.config")));
        assert_eq!(path("deep/er/x"), Some(second.join("deep/er/x.config")));
        assert_eq!(path("fs/ext4"), None);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let rows: [(&[u8], &str, &str); 3] = [
            (b"", "x.config", "move it to core/x.config"),
            (b"", "fs/a b.config", "a name is `category/name`"),
            (b"\xff", "fs/x.config", ""),
        ];
        for (bytes, name, hint) in rows {
            let (_guard, path) = directory(&[]);
            fs::write_atomic(path.join(name), bytes).unwrap();
            let error = read_directory(&path).unwrap_err();
            assert!(error.to_string().contains(path.join(name).as_str()));
            assert!(error.hint().unwrap_or_default().contains(hint), "{error}");
        }
        let error = read_directory(Utf8Path::new("/does/not/exist")).unwrap_err();
        assert_eq!(error.to_string(), "cannot read directory /does/not/exist");
    }
}

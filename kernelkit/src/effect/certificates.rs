//! Reads the certificates that a kernel is to trust.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};

use super::fs;
use crate::limits;
use crate::spec::KernelSpec;
use crate::trust::{self, FILE_LENGTH, Trust};

/// Why certificates could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that is not there, or may not be read.
    #[error("{path}, which {origin} names in `sign.trust`, cannot be read")]
    Unreadable {
        /// The file.
        path: Utf8PathBuf,
        /// Who names it.
        origin: String,
        /// Why.
        source: io::Error,
    },
    /// A file that others do not have.
    #[error("{path}, which {origin} names in `sign.trust`, lies outside of the workspace {root}")]
    Outside {
        /// The file.
        path: Utf8PathBuf,
        /// Who names it.
        origin: String,
        /// The workspace.
        root: Utf8PathBuf,
    },
    /// A directory, a device, a pipe.
    #[error("{path}, which {origin} names in `sign.trust`, is not a regular file")]
    Special {
        /// The file.
        path: Utf8PathBuf,
        /// Who names it.
        origin: String,
    },
    /// A file that is no list of certificates.
    #[error("{path}, which {origin} names in `sign.trust`, is longer than {FILE_LENGTH} bytes")]
    TooLong {
        /// The file.
        path: Utf8PathBuf,
        /// Who names it.
        origin: String,
    },
    /// Its content.
    #[error("{path}, which {origin} names in `sign.trust`: {source}")]
    Content {
        /// The file.
        path: Utf8PathBuf,
        /// Who names it.
        origin: String,
        /// What is wrong with it.
        source: trust::Error,
    },
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Unreadable { source, .. } if source.kind() == io::ErrorKind::NotFound => Some(
                "put the certificate there, or correct the path, which begins at the directory of the file that names it"
                    .to_owned(),
            ),
            Error::Unreadable { .. } => {
                Some("make it readable for the user who builds; a certificate is no secret".to_owned())
            }
            Error::Outside { .. } => Some(
                "copy the certificate into the workspace, so that whoever has the workspace has it too"
                    .to_owned(),
            ),
            Error::Special { .. } | Error::TooLong { .. } => {
                Some("name files with certificates in PEM or DER".to_owned())
            }
            Error::Content { source, .. } => Some(source.hint()),
        }
    }
}

/// The certificates of `sign.trust`; `root` is the workspace.
pub(super) fn read(spec: &KernelSpec, root: &Utf8Path) -> Result<Trust, Error> {
    let mut certificates = Vec::new();
    let origin = || spec.trust.origin.to_string();
    for path in spec.trust.iter() {
        let real = fs::real_path(path);
        if !real.starts_with(fs::real_path(root)) {
            return Err(Error::Outside {
                path: path.clone(),
                origin: origin(),
                root: root.to_owned(),
            });
        }
        let bytes = content(path, &real, &origin)?;
        let read = trust::read(&bytes).map_err(|source| Error::Content {
            path: path.clone(),
            origin: origin(),
            source,
        })?;
        certificates.extend(read);
    }
    Ok(Trust::new(certificates))
}

fn content(
    path: &Utf8Path,
    real: &Utf8Path,
    origin: &dyn Fn() -> String,
) -> Result<Vec<u8>, Error> {
    let unreadable = |source| Error::Unreadable {
        path: path.to_owned(),
        origin: origin(),
        source,
    };
    let metadata = std::fs::metadata(real).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Error::Special {
            path: path.to_owned(),
            origin: origin(),
        });
    }
    if metadata.len() > FILE_LENGTH {
        return Err(Error::TooLong {
            path: path.to_owned(),
            origin: origin(),
        });
    }
    fs::read_within(real, limits::CERTIFICATES).map_err(unreadable)
}

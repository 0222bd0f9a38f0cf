//! Certificates that a kernel is to trust: read, checked, and written as the one file that the build compiles in.
//!
//! `CONFIG_SYSTEM_TRUSTED_KEYS` names a PEM file, which `certs/Makefile` puts into the kernel's builtin trusted
//! keyring. Its path is part of the `.config`, so it is the same for every kernel on every machine ([`FILE`], below
//! the build directory); its content is part of the identity, certificate by certificate.
//!
//! Only certificates are taken. A file that holds a private key is refused: no key is needed to plan, lock or
//! build, and none is to reach a lock, a store or a derivation.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use x509_cert::Certificate as X509;
use x509_cert::der::Decode as _;

use crate::source::Sha256;

/// Where the build has the certificates, below the build directory: the value of `CONFIG_SYSTEM_TRUSTED_KEYS`.
pub const FILE: &str = "certs/kernelkit-trusted.pem";

/// The fragment of the library that makes a kernel trust [`FILE`].
pub const FRAGMENT: &str = "security/trusted-certificates";

/// A file with certificates is at most this long, in bytes.
pub const FILE_LENGTH: u64 = crate::limits::CERTIFICATES.most;

const BEGIN: &str = "-----BEGIN ";
const CERTIFICATE: &str = "CERTIFICATE";

/// A certificate that a kernel is to trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    /// SHA-256 of its DER form: what the identity has of it.
    pub sha256: Sha256,
    /// Whose key it vouches for, as RFC 4514 writes a name: `CN=Example modules,O=Example`.
    pub subject: String,
}

/// Why a file is no file of certificates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No certificate is in it.
    #[error("it holds no certificate")]
    Empty,
    /// A private key is in it.
    #[error("line {line} begins a private key; only certificates belong here")]
    PrivateKey {
        /// Counted from 1.
        line: usize,
    },
    /// Something else is in it.
    #[error("line {line} begins `{label}`, which is not a certificate")]
    Other {
        /// Counted from 1.
        line: usize,
        /// What the PEM header calls it.
        label: String,
    },
    /// A certificate that cannot be read.
    #[error("the certificate that begins on line {line} cannot be read: {reason}")]
    Damaged {
        /// Counted from 1.
        line: usize,
        /// Why.
        reason: String,
    },
    /// Neither PEM nor DER.
    #[error("it is neither a PEM file nor a DER certificate: {reason}")]
    Format {
        /// What is wrong with it as a DER certificate.
        reason: String,
    },
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> String {
        match self {
            Error::PrivateKey { .. } => {
                "keep the key out of the workspace, and name a file that has the certificate alone: \
                 `openssl x509 -in FILE -out certificate.pem` writes it"
            }
            Error::Empty | Error::Other { .. } | Error::Damaged { .. } | Error::Format { .. } => {
                "`openssl x509 -in FILE -noout -subject` says what a file holds"
            }
        }
        .to_owned()
    }
}

impl Certificate {
    fn from_der(der: Vec<u8>) -> Result<Self, String> {
        let read = X509::from_der(&der).map_err(|error| error.to_string())?;
        Ok(Certificate {
            sha256: Sha256::of(&der),
            subject: read.tbs_certificate().subject().to_string(),
            der,
        })
    }

    /// Its PEM block: lines of 64 characters, ending in a newline.
    fn pem(&self) -> String {
        let text = STANDARD.encode(&self.der);
        let mut pem = format!("{BEGIN}{CERTIFICATE}-----\n");
        for line in text.as_bytes().chunks(64) {
            pem.push_str(std::str::from_utf8(line).expect("base64 is ASCII"));
            pem.push('\n');
        }
        let _ = writeln!(pem, "-----END {CERTIFICATE}-----");
        pem
    }
}

/// The certificates of a file: PEM, one or more, with any text around them, or one in DER.
///
/// # Errors
/// It holds no certificate, something that cannot be read, or anything else in PEM.
pub fn read(bytes: &[u8]) -> Result<Vec<Certificate>, Error> {
    // Comments may be in any encoding.
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    if !text.lines().any(|line| line.starts_with(BEGIN)) {
        return match bytes.is_empty() {
            true => Err(Error::Empty),
            false => Certificate::from_der(bytes.to_vec())
                .map(|certificate| vec![certificate])
                .map_err(|reason| Error::Format { reason }),
        };
    }
    let mut certificates = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(label) = line.strip_prefix(BEGIN) else {
            continue;
        };
        let (line, label) = (number + 1, label.trim_end().trim_end_matches('-'));
        if label.contains("PRIVATE KEY") {
            return Err(Error::PrivateKey { line });
        }
        if label != CERTIFICATE {
            let label = label.to_owned();
            return Err(Error::Other { line, label });
        }
        let damaged = |reason: String| Error::Damaged { line, reason };
        let mut block = String::new();
        let end = format!("-----END {CERTIFICATE}-----");
        let is_whole = lines.by_ref().any(|(_, text)| {
            let text = text.trim();
            if text != end {
                block.push_str(text);
            }
            text == end
        });
        if !is_whole {
            return Err(damaged("it has no end".to_owned()));
        }
        let der = STANDARD.decode(&block);
        let der = der.map_err(|error| damaged(error.to_string()))?;
        certificates.push(Certificate::from_der(der).map_err(damaged)?);
    }
    Ok(certificates)
}

/// What one kernel trusts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    certificates: Vec<Certificate>,
}

impl Trust {
    /// Puts certificates together: each once, in the order of their hashes.
    pub fn new(mut certificates: Vec<Certificate>) -> Self {
        certificates.sort_by_key(|certificate| certificate.sha256);
        certificates.dedup_by_key(|certificate| certificate.sha256);
        Trust { certificates }
    }

    /// In the order of their hashes.
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty()
    }

    /// What the identity has of them.
    pub fn hashes(&self) -> Vec<Sha256> {
        let hashes = self.certificates.iter();
        hashes.map(|certificate| certificate.sha256).collect()
    }

    /// The content of [`FILE`]: the same for the same certificates, however their files were written.
    pub fn pem(&self) -> String {
        self.certificates.iter().map(Certificate::pem).collect()
    }
}

#[cfg(test)]
mod tests;

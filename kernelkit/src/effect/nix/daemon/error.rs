//! Why the daemon did not do it.

use std::io;

use super::super::nar;
use super::super::wire::Refusal;
use crate::effect::exec;
use crate::nix::failure::Cause;
use crate::nix::store_path::StorePath;

/// Why the daemon did not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens.
    #[error("cannot connect to the Nix daemon at {address}")]
    Connect {
        /// Socket or command.
        address: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// Whoever answered does not speak the protocol.
    #[error("{address} does not answer as a Nix daemon does")]
    NotADaemon {
        /// Socket or command.
        address: String,
    },
    /// Older than Nix 2.8.
    #[error("the Nix daemon at {address} speaks protocol {major}.{minor}, which is too old")]
    TooOld {
        /// Socket or command.
        address: String,
        /// 1.
        major: u64,
        /// Below 34.
        minor: u64,
    },
    /// It was killed, or it crashed.
    #[error("the Nix daemon went away during {during}")]
    Lost {
        /// What it was asked.
        during: &'static str,
    },
    /// The connection failed otherwise.
    #[error("cannot talk to the Nix daemon during {during}")]
    Connection {
        /// What it was asked.
        during: &'static str,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// It said no.
    #[error("Nix refused {during}: {message}")]
    Refused {
        /// What it was asked.
        during: &'static str,
        /// Its words.
        message: String,
        /// Where it came from, outermost first.
        traces: Vec<String>,
        /// What stands behind it, where that is known.
        cause: Option<Cause>,
    },
    /// The store put it somewhere else than was computed.
    #[error("the Nix store put {expected} at {found}")]
    OtherPath {
        /// As computed.
        expected: StorePath,
        /// As stored.
        found: String,
    },
    /// What is added cannot be read.
    #[error(transparent)]
    Nar(#[from] nar::Error),
    /// A file beside the store, such as a GC root, cannot be written.
    #[error(transparent)]
    File(#[from] crate::effect::fs::Error),
    /// The user stopped it.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Connect { .. } => Some(Cause::NoDaemon.hint().to_owned()),
            Error::NotADaemon { address } => {
                Some(format!("NIX_REMOTE and NIX_DAEMON_SOCKET_PATH say where the daemon is; is it {address}?"))
            }
            Error::TooOld { .. } => Some("Nix 2.8 or newer is needed".to_owned()),
            Error::Lost { .. } => Some(
                "`journalctl -u nix-daemon` says why (out of memory?); what was built before is in the store, so run the same command again"
                    .to_owned(),
            ),
            Error::Refused { cause, .. } => cause.map(|cause| cause.hint().to_owned()),
            Error::OtherPath { .. } => Some(
                "the store's directory is another one: set NIX_STORE_DIR as the daemon has it".to_owned(),
            ),
            Error::Nar(error) => error.hint(),
            Error::Interrupted => exec::Error::Interrupted.hint(),
            Error::Connection { .. } | Error::File(_) => None,
        }
    }
}

pub(super) fn refused(during: &'static str, refusal: Refusal) -> Error {
    let cause = Cause::of(&refusal.message)
        .or_else(|| refusal.traces.iter().find_map(|trace| Cause::of(trace)));
    Error::Refused {
        during,
        message: refusal.message,
        traces: refusal.traces,
        cause,
    }
}

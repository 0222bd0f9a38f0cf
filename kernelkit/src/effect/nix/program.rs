//! Finds Nix' programs and asks for their version.

use camino::Utf8PathBuf;

use super::daemon::Address;
use crate::effect::environment::Environment;
use crate::effect::exec;
use crate::nix::command::{NoVersion, OLDEST, Version};
use crate::process::Call;

/// Why Nix cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not there, or it fails.
    #[error(transparent)]
    Run(#[from] exec::Error),
    /// It is something else.
    #[error(transparent)]
    Version(#[from] NoVersion),
    /// It is too old.
    #[error("Nix {found} is older than {OLDEST}")]
    TooOld {
        /// Its version.
        found: Version,
    },
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Error::Run(exec::Error::NotFound { .. }) => {
                "install Nix (Debian: `apt-get install nix-bin`), or build with `--backend host`"
                    .to_owned()
            }
            Error::Run(error) => return error.hint(),
            Error::Version(_) | Error::TooOld { .. } => {
                format!("Nix {OLDEST} or newer is needed: https://nixos.org/download")
            }
        })
    }
}

/// Nix as it is installed.
#[derive(Clone, Debug)]
pub struct Nix {
    /// Its version.
    pub version: Version,
    environment: Environment,
}

impl Nix {
    /// The Nix on PATH.
    pub fn find(environment: &Environment) -> Result<Self, Error> {
        let call = call(environment, "nix-store").arg("--version");
        let version: Version = exec::capture(&call)?.text().parse()?;
        if version < OLDEST {
            return Err(Error::TooOld { found: version });
        }
        Ok(Nix {
            version,
            environment: environment.clone(),
        })
    }

    /// A call of one of its programs, with the variables that say where the store is.
    pub fn call(&self, program: &str) -> Call {
        call(&self.environment, program)
    }

    /// How a daemon for the store is reached: by the socket of the one that runs, else by
    /// one of our own.
    pub fn daemon(&self) -> Address {
        let variable = |name: &str| self.environment.variables.get(name);
        let socket = variable("NIX_DAEMON_SOCKET_PATH").map_or_else(
            || "/nix/var/nix/daemon-socket/socket".to_owned(),
            String::clone,
        );
        let remote = variable("NIX_REMOTE").map(String::as_str);
        let socket = Utf8PathBuf::from(socket);
        match remote {
            None | Some("" | "auto" | "daemon") if socket.exists() => Address::Socket(socket),
            _ => Address::Process(self.call("nix-daemon").arg("--stdio")),
        }
    }
}

fn call(environment: &Environment, program: &str) -> Call {
    let nix = environment.variables.iter().filter(|(name, _)| {
        name.starts_with("NIX_")
            || name.starts_with("XDG_")
            || ["HOME", "USER", "TMPDIR"].contains(&name.as_str())
    });
    let mut call = Call::new(program, &environment.current_dir).envs(&environment.tool_variables());
    for (name, value) in nix {
        call = call.env(name, value);
    }
    call
}

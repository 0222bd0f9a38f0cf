//! Finds Nix' programs and asks for their version.

use camino::{Utf8Path, Utf8PathBuf};

use super::daemon::{self, Address, Daemon, Options};
use crate::effect::environment::Environment;
use crate::effect::exec;
use crate::nix::command::{NoVersion, OLDEST, Version};
use crate::nix::failure::Cause;
use crate::nix::store_path::{self, StoreDir, StorePath};
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
    /// NIX_STORE_DIR.
    #[error(transparent)]
    StoreDir(#[from] store_path::Error),
    /// Its daemon.
    #[error(transparent)]
    Daemon(#[from] daemon::Error),
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
            Error::StoreDir(error) => return error.hint(),
            Error::Daemon(error) => return error.hint(),
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
    /// The directory of its store's paths, as the store knows it.
    pub store: StoreDir,
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
        let store = match environment.variables.get("NIX_STORE_DIR") {
            Some(directory) if !directory.is_empty() => directory.parse()?,
            _ => StoreDir::default(),
        };
        Ok(Nix {
            version,
            store,
            environment: environment.clone(),
        })
    }

    /// A call of one of its programs, with the variables that say where the store is.
    pub fn call(&self, program: &str) -> Call {
        call(&self.environment, program)
    }

    /// A connection to its daemon.
    pub fn connect(&self, options: &Options) -> Result<Daemon, daemon::Error> {
        Daemon::connect(&self.daemon(), &self.store, options)
    }

    /// Where a path of the store is on this machine: a store that `NIX_REMOTE` names by a
    /// directory has its own root.
    pub fn place(&self, path: &StorePath) -> Utf8PathBuf {
        self.outside(&self.store.join(path))
    }

    /// The same for a path below one of the store, or any other, which is where it says.
    pub fn outside(&self, path: &Utf8Path) -> Utf8PathBuf {
        if !path.starts_with(self.store.to_string()) {
            return path.to_owned();
        }
        let remote = self.environment.variables.get("NIX_REMOTE");
        let root = remote.and_then(|remote| {
            let (_, options) = remote.split_once('?').unwrap_or((remote, ""));
            options
                .split('&')
                .find_map(|option| option.strip_prefix("root="))
                .or_else(|| remote.starts_with('/').then_some(remote.as_str()))
        });
        match root {
            Some(root) => Utf8PathBuf::from(root).join(path.as_str().trim_start_matches('/')),
            None => path.to_owned(),
        }
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

/// The cause that the last lines of a failed program of Nix tell.
pub(super) fn cause(error: &exec::Error) -> Option<Cause> {
    match error {
        exec::Error::Failed { tail, .. } => Cause::of(&tail.join("\n")),
        _ => None,
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

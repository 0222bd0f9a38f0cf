//! Whether this machine can keep builds from the network and from their sources.

use camino::Utf8Path;

use super::environment::Environment;
use super::exec;
use crate::process::Call;
use crate::surroundings::Isolation;

/// Why it cannot.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program is missing.
    #[error("`{program}` was not found on PATH")]
    NotFound {
        /// Which.
        program: &'static str,
    },
    /// No namespaces.
    #[error("this machine does not let you make the namespaces that keep builds apart")]
    NotAllowed(#[source] exec::Error),
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Error::NotFound { .. } => "it is in the packages util-linux and mount".to_owned(),
            Error::NotAllowed(_) => "as root, `sysctl -w kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000` (and \
                 kernel.apparmor_restrict_unprivileged_userns=0 where there is such a key), or leave out `--no-network` and \
                 `--source-readonly`"
                .to_owned(),
        })
    }
}

/// What keeps builds apart here; it is tried before anything is built.
pub fn isolation(
    environment: &Environment,
    no_network: bool,
    source_readonly: bool,
) -> Result<Option<Isolation>, Error> {
    if !no_network && !source_readonly {
        return Ok(None);
    }
    let find =
        |program| exec::find_on_path(program, &environment.path).ok_or(Error::NotFound { program });
    let isolation = Isolation {
        no_network,
        source_readonly,
        unshare: find("unshare")?,
        mount: find("mount")?,
        sh: find("sh")?,
    };
    let root = Utf8Path::new("/");
    let call = Call::new("true", root).env("PATH", environment.path.as_str());
    exec::capture(&isolation.around(call, &environment.temp_dir)).map_err(Error::NotAllowed)?;
    Ok(Some(isolation))
}

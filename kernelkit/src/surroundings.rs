//! What the calls of a build run in, beyond their plan: another's jobs, less of the machine. None
//! of it reaches a byte of the kernel.
//!
//! Pure: a [`Call`] becomes another [`Call`].

use camino::{Utf8Path, Utf8PathBuf};

use crate::make;
use crate::process::Call;
use crate::root;

/// What surrounds the calls of a build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// `MAKEFLAGS` with a jobserver: make takes its jobs from there, and `jobs` does not count.
    pub makeflags: Option<String>,
    /// What the calls cannot do.
    pub isolation: Option<Isolation>,
}

/// What calls cannot do, and the programs that see to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Isolation {
    /// They reach no network, not even this machine by it.
    pub no_network: bool,
    /// They cannot write into the source.
    pub source_readonly: bool,
    /// `unshare` of util-linux.
    pub unshare: Utf8PathBuf,
    /// `mount`.
    pub mount: Utf8PathBuf,
    /// A POSIX shell.
    pub sh: Utf8PathBuf,
}

/// In a mount namespace: `$1` is mount, `$2` the source, then comes the command. A remount keeps what
/// else the file system is mounted with, which a user namespace must not take away.
const READONLY: &str =
    r#""$1" --bind "$2" "$2" && "$1" -o remount,bind,ro "$2" && shift 2 && exec "$@""#;

impl Surroundings {
    /// The call as it runs here. `source` is the kernel's tree.
    #[must_use]
    pub fn around(&self, call: &Call, source: &Utf8Path) -> Call {
        let call = match &self.makeflags {
            Some(makeflags) => make::with_jobserver(call, makeflags),
            None => call.clone(),
        };
        match &self.isolation {
            Some(isolation) => isolation.around(call, source),
            None => call,
        }
    }
}

impl Isolation {
    /// The call in namespaces of its own (user_namespaces(7), unshare(1)).
    #[must_use]
    pub fn around(&self, call: Call, source: &Utf8Path) -> Call {
        // A root ends in a chroot, from where no user namespace can be made: it is entered inside.
        let call = root::enter(&call).unwrap_or(call);
        let mut words = vec!["--user".to_owned(), "--map-root-user".to_owned()];
        if self.no_network {
            words.push("--net".to_owned());
        }
        if self.source_readonly {
            words.extend(["--mount", self.sh.as_str(), "-c", READONLY, "sh"].map(str::to_owned));
            words.extend([self.mount.to_string(), source.to_string()]);
        }
        words.push(call.program);
        words.extend(call.args);
        Call {
            program: self.unshare.to_string(),
            args: words,
            ..call
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn isolation(no_network: bool, source_readonly: bool) -> Surroundings {
        Surroundings {
            makeflags: None,
            isolation: Some(Isolation {
                no_network,
                source_readonly,
                unshare: "/bin/unshare".into(),
                mount: "/bin/mount".into(),
                sh: "/bin/sh".into(),
            }),
        }
    }

    fn shown(surroundings: &Surroundings) -> String {
        let call = Call::new("make", "/w").arg("-C").arg("/src").arg("-j2");
        surroundings.around(&call, "/src".into()).to_string()
    }

    #[test]
    fn calls_run_in_namespaces_of_their_own() {
        assert_eq!(
            shown(&Surroundings::default()),
            "cd /w && env -i make -C /src -j2"
        );
        assert_eq!(
            shown(&isolation(true, false)),
            "cd /w && env -i /bin/unshare --user --map-root-user --net make -C /src -j2"
        );
        assert!(shown(&isolation(false, true)).ends_with(" sh /bin/mount /src make -C /src -j2"));
    }

    #[test]
    fn a_root_is_entered_inside() {
        let call = Call::new("make", "/w").env(root::VARIABLE, "/r");
        let call = isolation(true, false).around(&call, "/src".into());
        assert_eq!(call.program, "/bin/unshare");
        assert!(!call.env.contains_key(root::VARIABLE));
        assert!(call.args.iter().any(|word| word == "/r"), "{call}");
    }
}

//! Why Nix refused, as a cause with a way out, read from what it says.
//!
//! Nix has no error codes: the text is all there is. A text that is not in the table has
//! no cause, and its message is shown as it is.

/// What stands behind a message of Nix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The user may not do this with the daemon.
    Untrusted,
    /// A path of a cache has no signature by a key that is trusted.
    Unsigned,
    /// No space is left.
    StoreFull,
    /// The store, or its database, may not be written to.
    ReadOnly,
    /// The kernel or the container has no namespaces for the sandbox.
    NoSandbox,
    /// Unprivileged user namespaces are off.
    NoUserNamespaces,
    /// The sandbox has none of the machine's programs, which the toolchain `host` needs.
    NoHostPrograms,
    /// The group of build users is missing or has no members.
    NoBuildUsers,
    /// No daemon answers.
    NoDaemon,
    /// The machine cannot run builders for this system.
    WrongSystem,
    /// Building twice gave different bytes.
    NotDeterministic,
    /// A cache's archive is not the one that its signature is for.
    Damaged,
    /// What was fetched or built is not what its hash says.
    HashMismatch,
    /// The archive that a pinned file is fetched from cannot be reached.
    NoArchive,
    /// A cache or server cannot be reached.
    Unreachable,
}

/// Texts of Nix 2.8 to 2.34 and of the kernel, in lower case; the first that is found counts.
const TEXTS: &[(&str, Cause)] = &[
    // The kernel's words for a limit of user namespaces are those for a full disk.
    (
        "unshare failed: no space left on device",
        Cause::NoUserNamespaces,
    ),
    (
        "cannot create a user namespace in the nix sandbox",
        Cause::NoUserNamespaces,
    ),
    ("executing '/bin/bash'", Cause::NoHostPrograms),
    ("executing '/bin/sh'", Cause::NoHostPrograms),
    ("no space left on device", Cause::StoreFull),
    ("database or disk is full", Cause::StoreFull),
    ("disk quota exceeded", Cause::StoreFull),
    ("read-only file system", Cause::ReadOnly),
    ("attempt to write a readonly database", Cause::ReadOnly),
    // Nix as root tries to change that first.
    ("remounting ", Cause::ReadOnly),
    ("lacks a valid signature", Cause::Unsigned),
    ("lacks a signature by a trusted key", Cause::Unsigned),
    (
        "not signed by any of the keys in 'trusted-public-keys'",
        Cause::Unsigned,
    ),
    ("does not have a valid signature", Cause::Unsigned),
    ("because you are not privileged", Cause::Untrusted),
    ("because it requires trust", Cause::Untrusted),
    ("you are not a trusted user", Cause::Untrusted),
    ("not a trusted user", Cause::Untrusted),
    ("not allowed to connect to the nix daemon", Cause::Untrusted),
    ("you are not privileged", Cause::Untrusted),
    ("unshare: operation not permitted", Cause::NoUserNamespaces),
    (
        "unshare failed: operation not permitted",
        Cause::NoUserNamespaces,
    ),
    ("write failed /proc/self/uid_map", Cause::NoUserNamespaces),
    ("user namespaces", Cause::NoUserNamespaces),
    ("max_user_namespaces", Cause::NoUserNamespaces),
    ("unprivileged_userns_clone", Cause::NoUserNamespaces),
    ("kernel does not support namespaces", Cause::NoSandbox),
    ("does not support the kernel namespaces", Cause::NoSandbox),
    ("cannot set host name", Cause::NoSandbox),
    ("unable to start any build: sandbox", Cause::NoSandbox),
    ("unable to start build process", Cause::NoSandbox),
    ("cloning builder process", Cause::NoSandbox),
    ("creating sandboxed builder process", Cause::NoSandbox),
    ("setting up a private mount namespace", Cause::NoSandbox),
    ("unsharing filesystem state", Cause::NoSandbox),
    ("the build users group", Cause::NoBuildUsers),
    ("the group 'nixbld", Cause::NoBuildUsers),
    ("in 'build-users-group' does not exist", Cause::NoBuildUsers),
    ("cannot connect to socket", Cause::NoDaemon),
    ("cannot connect to daemon", Cause::NoDaemon),
    ("is required to build", Cause::WrongSystem),
    ("may not be deterministic", Cause::NotDeterministic),
    ("hash mismatch importing path", Cause::Damaged),
    ("hash mismatch", Cause::HashMismatch),
    (
        "unable to download 'https://snapshot.debian.org/",
        Cause::NoArchive,
    ),
    (
        "unable to download 'http://tarballs.nixos.org/",
        Cause::NoArchive,
    ),
    ("unable to download", Cause::Unreachable),
    // curl before and since 8.
    ("couldn't resolve host", Cause::Unreachable),
    ("could not resolve host", Cause::Unreachable),
    ("couldn't connect to server", Cause::Unreachable),
    ("could not connect to server", Cause::Unreachable),
];

impl Cause {
    /// The cause behind a message or the last lines of a log.
    ///
    /// ```
    /// use kernelkit::nix::failure::Cause;
    ///
    /// let message = "writing to file: No space left on device";
    /// assert_eq!(Cause::of(message), Some(Cause::StoreFull));
    /// ```
    pub fn of(message: &str) -> Option<Self> {
        let message = message.to_lowercase();
        TEXTS
            .iter()
            .find(|(text, _)| message.contains(text))
            .map(|(_, cause)| *cause)
    }

    /// The way out.
    pub fn hint(self) -> &'static str {
        match self {
            Cause::Untrusted => {
                "the daemon does not trust this user: add it to `trusted-users` in nix.conf and restart nix-daemon, or sign what is imported"
            }
            Cause::Unsigned => {
                "the cache's key is not trusted here: add it to `trusted-public-keys` in nix.conf (as `name:base64`), or build without the cache (`--option substituters ''`)"
            }
            Cause::StoreFull => {
                "make room with `nix-collect-garbage`, or move builds off the full disk with TMPDIR (`build-dir` in newer nix.conf)"
            }
            Cause::ReadOnly => {
                "the store is mounted read-only: go through the daemon (NIX_REMOTE=daemon), or build with `--backend host`"
            }
            Cause::NoSandbox => {
                "namespaces are missing here, as in many containers: run the container with more rights, or set `sandbox = false` in nix.conf and do not expect the same bytes"
            }
            Cause::NoUserNamespaces => {
                "allow them with `sysctl -w kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000` (and kernel.apparmor_restrict_unprivileged_userns=0 on Ubuntu), or choose the toolchain `nixpkgs`"
            }
            Cause::NoHostPrograms => {
                "the toolchain `host` needs the machine's programs in the sandbox: set `sandbox-paths = /bin /usr /lib /lib64 /etc/alternatives` in nix.conf, or choose a pinned toolchain"
            }
            Cause::NoBuildUsers => {
                "create the group and its users, as the Nix manual says under \"Multi-User Mode\" (`groupadd -r nixbld`, then `useradd -r -g nixbld -G nixbld nixbld1` and so on), or set `build-users-group =` (empty) in nix.conf to build as yourself"
            }
            Cause::NoArchive => {
                "check the network, and that nix-daemon has the proxy (http_proxy) in its environment; `cargo kernel toolchain add NAME` and `cargo kernel build` get the files from a Debian mirror and add them to the store"
            }
            Cause::NoDaemon => {
                "start it with `systemctl start nix-daemon`, or as root without one with NIX_REMOTE=local"
            }
            Cause::WrongSystem => {
                "build on such a machine, name one in `builders`, or add the system to `extra-platforms` where it can be emulated"
            }
            Cause::NotDeterministic => {
                "`cargo kernel verify` says which file, and which setting cures it; `--keep-failed` keeps the other output"
            }
            Cause::Damaged => {
                "what the cache sent is damaged, or was changed after it was signed, and is not used: tell whoever keeps the cache"
            }
            Cause::HashMismatch => {
                "the file behind the URL changed or is damaged: `cargo kernel lock --update` takes the new one, after you have checked it"
            }
            Cause::Unreachable => {
                "check the network and the address; without a network, seed the file with `nix-store --add-fixed sha256 FILE`"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nix_says_has_a_cause() {
        let rows = [
            (
                "error: cannot add path '/nix/store/x-a' because it lacks a valid signature",
                Some(Cause::Unsigned),
            ),
            (
                "error: cannot add path '/nix/store/x-a' because it lacks a signature by a trusted key",
                Some(Cause::Unsigned),
            ),
            (
                "warning: substituter 'http://127.0.0.1:1' does not have a valid signature for path '/nix/store/x-a'",
                Some(Cause::Unsigned),
            ),
            (
                "warning: the substitute for '/nix/store/x-a' from 'file:///c' is not signed by any of the keys in 'trusted-public-keys'",
                Some(Cause::Unsigned),
            ),
            (
                "error: hash mismatch importing path '/nix/store/x-a';\n  specified: sha256:0\n  got:       sha256:1",
                Some(Cause::Damaged),
            ),
            (
                "error: creating directory '/nix/store': Read-only file system",
                Some(Cause::ReadOnly),
            ),
            (
                "error: executing SQLite statement: database or disk is full (in '/nix/var/nix/db/db.sqlite')",
                Some(Cause::StoreFull),
            ),
            (
                "error: the group 'nixbld' specified in 'build-users-group' does not exist",
                Some(Cause::NoBuildUsers),
            ),
            (
                "error: cannot connect to socket at '/nix/var/nix/daemon-socket/socket': Connection refused",
                Some(Cause::NoDaemon),
            ),
            (
                "error: a 'aarch64-linux' with features {} is required to build '/nix/store/x.drv', but I am a 'x86_64-linux' with features {}",
                Some(Cause::WrongSystem),
            ),
            (
                "error: this system's kernel does not support namespaces, which are required for sandboxing; use '--no-sandbox' to disable sandboxing",
                Some(Cause::NoSandbox),
            ),
            (
                "error: unshare failed: Operation not permitted",
                Some(Cause::NoUserNamespaces),
            ),
            (
                "error: this system does not support the kernel namespaces that are required for sandboxing; use '--no-sandbox' to disable sandboxing",
                Some(Cause::NoSandbox),
            ),
            (
                "unshare: unshare failed: No space left on device",
                Some(Cause::NoUserNamespaces),
            ),
            (
                "error: executing '/bin/bash': No such file or directory",
                Some(Cause::NoHostPrograms),
            ),
            (
                "error: unable to download 'https://snapshot.debian.org/archive/debian/x': Could not resolve hostname (6) Could not resolve host: snapshot.debian.org",
                Some(Cause::NoArchive),
            ),
            (
                "error: unable to download 'http://tarballs.nixos.org/stdenv/x': Couldn't resolve host name (6)",
                Some(Cause::NoArchive),
            ),
            (
                "error: unable to download 'http://127.0.0.1:1/none': Could not connect to server (7) Failed to connect to 127.0.0.1 port 1 after 0 ms: Could not connect to server",
                Some(Cause::Unreachable),
            ),
            (
                "error: the build users group 'nixbld' has no members",
                Some(Cause::NoBuildUsers),
            ),
            (
                "error: builder for '/nix/store/x.drv' failed with exit code 2",
                None,
            ),
        ];
        for (message, cause) in rows {
            assert_eq!(Cause::of(message), cause, "{message}");
        }
    }

    #[test]
    fn every_text_of_the_table_is_reached() {
        for (text, cause) in TEXTS {
            assert_eq!(*text, text.to_lowercase());
            assert_eq!(Cause::of(text), Some(*cause), "{text}");
            assert!(!cause.hint().is_empty());
        }
    }
}

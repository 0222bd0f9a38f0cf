//! A Debian root as the place where programs run: the same toolchain on every machine, without
//! Nix and without root.
//!
//! The root's own loader starts the root's own `unshare`, which makes a user namespace; in it the
//! root takes the place of `/usr`, and every other directory of the machine stays where it is,
//! so that sources and build directories keep their paths (user_namespaces(7), unshare(1)).
//!
//! Pure: a [`Call`] becomes another [`Call`].

use camino::{Utf8Path, Utf8PathBuf};

use crate::process::Call;

/// The variable of a call's environment that says that it runs inside a root, and in which.
pub const VARIABLE: &str = "KERNELKIT_ROOT";

/// `PATH` inside.
const INNER_PATH: &str = "/usr/sbin:/usr/bin";

/// What the root's bash does in the new namespace: `$1` is the root, then comes the command.
const ENTER: &str = r#"set -eu
root=$1; shift
libraries=$root/usr/lib/x86_64-linux-gnu
run() {
    local program=$1; shift
    "$libraries/ld-linux-x86-64.so.2" --inhibit-cache --library-path "$libraries" "$root/usr/$program" "$@"
}
directory=$PWD
new=${TMPDIR:-/tmp}/kernelkit-root-$UID
run bin/mkdir -p "$new"
run bin/mount -n -t tmpfs root "$new"
directories=()
for path in /*; do
    case ${path#/} in
        usr | bin | sbin | lib | lib32 | lib64 | libx32 | libo32 | '*') ;;
        *) if [ -d "$path" ] && [ ! -L "$path" ]; then directories+=("$path"); fi ;;
    esac
done
run bin/mkdir "$new/usr" "${directories[@]/#/$new}"
for path in bin sbin lib lib64; do run bin/ln -s "usr/$path" "$new/$path"; done
for path in "${directories[@]}"; do run bin/mount -n --rbind "$path" "$new$path"; done
run bin/mount -n --rbind "$root/usr" "$new/usr"
export PATH=/usr/sbin:/usr/bin
exec "$libraries/ld-linux-x86-64.so.2" --inhibit-cache --library-path "$libraries" \
    "$root/usr/sbin/chroot" "$new" /usr/bin/bash -c 'cd "$1" && shift && exec "$@"' enter "$directory" "$@""#;

/// A Debian root on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    dir: Utf8PathBuf,
}

impl Root {
    /// The root that lies at `dir`, an absolute path.
    pub fn new(dir: impl Into<Utf8PathBuf>) -> Self {
        Root { dir: dir.into() }
    }

    /// Where it lies.
    pub fn dir(&self) -> &Utf8Path {
        &self.dir
    }

    /// Where its programs are, seen from outside.
    pub fn path(&self) -> String {
        format!("{0}/usr/sbin:{0}/usr/bin", self.dir)
    }

    /// What `path` inside is outside.
    pub fn outside(&self, path: &Utf8Path) -> Utf8PathBuf {
        let inner = path.strip_prefix("/").unwrap_or(path);
        let first = inner.components().next().map(|first| first.as_str());
        match first {
            Some("usr") => self.dir.join(inner),
            Some("bin" | "sbin" | "lib" | "lib64") => self.dir.join("usr").join(inner),
            _ => path.to_owned(),
        }
    }

    /// What `path` outside is inside.
    pub fn inside(&self, path: &Utf8Path) -> Utf8PathBuf {
        match path.strip_prefix(&self.dir) {
            Ok(inner) => Utf8Path::new("/").join(inner),
            Err(_) => path.to_owned(),
        }
    }
}

/// The call that runs `call` inside the root that its environment names; `None` where it names
/// none.
pub fn enter(call: &Call) -> Option<Call> {
    let root = call.env.get(VARIABLE)?;
    let libraries = format!("{root}/usr/lib/x86_64-linux-gnu");
    let loader = format!("{libraries}/ld-linux-x86-64.so.2");
    let start = |program: &str| {
        [
            loader.clone(),
            "--inhibit-cache".to_owned(),
            "--library-path".to_owned(),
            libraries.clone(),
            format!("{root}/usr/bin/{program}"),
        ]
    };
    let mut words = start("unshare").into_iter();
    let mut entered = Call::new(words.next()?, call.dir.clone())
        .args(words)
        .args(["--user", "--map-root-user", "--mount"])
        .args(start("bash"))
        .args(["-c", ENTER, "enter", root.as_str()])
        .arg(Root::new(root.as_str()).inside(Utf8Path::new(&call.program)))
        .args(call.args.iter().cloned())
        .envs(&call.env)
        .env("PATH", INNER_PATH);
    entered.env.remove(VARIABLE);
    Some(entered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_without_a_root_stays_as_it_is() {
        assert_eq!(enter(&Call::new("make", "/b").env("PATH", "/bin")), None);
    }

    #[test]
    fn a_call_in_a_root_starts_with_the_roots_own_loader() {
        let call = Call::new("/r/usr/bin/gcc", "/b")
            .arg("--version")
            .env(VARIABLE, "/r")
            .env("PATH", "/r/usr/bin");
        let entered = enter(&call).unwrap();
        assert_eq!(
            entered.program,
            "/r/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
        );
        assert_eq!(
            entered.args[entered.args.len() - 3..],
            ["/r", "/usr/bin/gcc", "--version"]
        );
        assert_eq!(entered.dir, call.dir);
        assert_eq!(entered.env.get("PATH").unwrap(), INNER_PATH);
        assert_eq!(entered.env.get(VARIABLE), None);
    }

    #[test]
    fn paths_inside_and_outside_are_told_apart() {
        let root = Root::new("/r");
        let rows = [
            ("/usr/bin/gcc", "/r/usr/bin/gcc"),
            (
                "/lib/x86_64-linux-gnu/libc.so.6",
                "/r/usr/lib/x86_64-linux-gnu/libc.so.6",
            ),
            ("/home/a/linux", "/home/a/linux"),
            ("/tmp", "/tmp"),
        ];
        for (inside, outside) in rows {
            assert_eq!(root.outside(Utf8Path::new(inside)), outside);
        }
        assert_eq!(root.inside(Utf8Path::new("/r/usr/bin/gcc")), "/usr/bin/gcc");
        assert_eq!(root.inside(Utf8Path::new("/home/a")), "/home/a");
    }
}

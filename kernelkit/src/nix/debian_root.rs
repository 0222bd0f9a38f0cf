//! A Debian root: pinned packages unpacked to one tree, a toolchain in a single store path.
//!
//! The tree's rules are here, [`effect::nix::debian_root`](crate::effect::nix::debian_root)
//! carries them out. They are those of `nix/unpack-debs.sh`, which makes the same tree with
//! `ar` and `tar`: no maintainer scripts, one `/usr`, nothing of `/etc` and `/var`,
//! no documentation. Packages are unpacked in the order of the pin. The script's own shell and
//! tools are the files of `nix/bootstrap.toml`, see [`bootstrap`].

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Deserialize;

use super::hash::Hash;
use super::kernel::{Package, Pin};
use crate::source::Sha256;

/// What a kernel is built with, for x86_64, arm64 and riscv64, by the names of Debian's packages.
pub const WANTED: &[&str] = &[
    "bash",
    "bc",
    "binutils",
    "bison",
    "bzip2",
    "coreutils",
    "cpio",
    "dash",
    "debianutils",
    "diffutils",
    "dwarves",
    "findutils",
    "flex",
    "gcc",
    "gcc-aarch64-linux-gnu",
    "gcc-riscv64-linux-gnu",
    "grep",
    "gzip",
    "hostname",
    "kmod",
    "libc6-dev",
    "libelf-dev",
    "libssl-dev",
    "lz4",
    "lzop",
    "make",
    "mawk",
    "mount",
    "openssl",
    "patch",
    "perl-base",
    "python3",
    "rsync",
    "sed",
    "tar",
    "util-linux",
    "xz-utils",
    "zstd",
];

/// Packages that the wanted ones depend on and that a kernel's build never runs: what sets a
/// system up, asks questions, or is linked to programs for users. A trailing `*` stands for
/// the rest of a name.
const LEFT_OUT: &[&str] = &[
    "base-files",
    "base-passwd",
    "debconf",
    "dpkg",
    "gcc-12-base",
    "gcc-12-cross-base*",
    "gcc-12-aarch64-linux-gnu-base",
    "gcc-12-riscv64-linux-gnu-base",
    "init-system-helpers",
    "libasan*",
    "libatomic*",
    "libaudit*",
    "libcap-ng0",
    "libcc1-0",
    "libcom-err2",
    "libfile-find-rule-perl",
    "libgcrypt20",
    "libgdbm*",
    "libgomp*",
    "libgpg-error0",
    "libgprofng0",
    "libgssapi*",
    "libhwasan*",
    "libitm*",
    "libk5*",
    "libkeyutils1",
    "libkrb5*",
    "liblsan*",
    "libnsl*",
    "libnumber-compare-perl",
    "libpam*",
    "libperl5*",
    "libquadmath*",
    "libsemanage*",
    "libstdc++6-*",
    "libsystemd0",
    "libtext-glob-perl",
    "libtirpc*",
    "libtsan*",
    "libubsan*",
    "lsb-base",
    "mailcap",
    "media-types",
    "mime-support",
    "perl",
    "perl-modules*",
    "readline-common",
    "rpcsvc-proto",
    "sysvinit-utils",
    "tzdata",
    "usrmerge",
    "util-linux-extra",
];

/// Top directories that lie below `usr`, and a link at the top.
pub const MERGED: [&str; 4] = ["bin", "sbin", "lib", "lib64"];

/// What is left out of every package.
const DROPPED: &[&str] = &[
    "etc",
    "var",
    "usr/share/doc",
    "usr/share/man",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/lintian",
    "usr/share/bug",
];

/// Links in `usr/bin` and the programs they lead to, as update-alternatives would make them.
pub const ALTERNATIVES: [(&str, &str); 6] = [
    ("awk", "mawk"),
    ("cc", "gcc"),
    ("lzma", "xz"),
    ("unlzma", "xz"),
    ("which", "which.debianutils"),
    ("yacc", "bison.yacc"),
];

/// Shell and tools that run `nix/unpack-debs.sh` on one system.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bootstrap {
    /// A static executable with `ash`, `mkdir`, `tar` and `unxz`; the hash is that of its archive (NAR).
    pub busybox: BootstrapFile,
    /// A `.tar.xz` of programs in `bin`, libraries and their loader in `lib`.
    pub tools: BootstrapFile,
}

/// A file that Nix fetches by hash.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootstrapFile {
    /// Address of the file.
    pub url: String,
    /// SHA-256.
    pub hash: Hash,
}

/// What `nix/bootstrap.toml` names, by system in Nix' words (`x86_64-linux`).
pub fn bootstrap() -> BTreeMap<String, Bootstrap> {
    toml::from_str(include_str!("../../nix/bootstrap.toml"))
        .expect("a test reads the file that is compiled in")
}

/// Whether a package that apt wants for [`WANTED`] goes into a root.
pub fn is_kept(package: &str) -> bool {
    !LEFT_OUT.iter().any(|name| match name.strip_suffix('*') {
        Some(start) => package.starts_with(start),
        None => package == *name,
    })
}

/// Where a member of a package lies in the tree; nothing for what is left out.
///
/// Refused are members that would leave the tree.
pub fn place(member: &str) -> Result<Option<String>, Outside> {
    let outside = || Outside {
        member: member.to_owned(),
    };
    if member.starts_with('/') {
        return Err(outside());
    }
    let mut parts: Vec<&str> = member
        .split('/')
        .filter(|part| !matches!(*part, "" | "."))
        .collect();
    if parts.contains(&"..") {
        return Err(outside());
    }
    if parts.first().is_some_and(|first| MERGED.contains(first)) {
        parts.insert(0, "usr");
    }
    let path = parts.join("/");
    let is_dropped = DROPPED.iter().any(|dropped| {
        path.strip_prefix(dropped)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    Ok((!path.is_empty() && !is_dropped).then_some(path))
}

/// A member that would leave the tree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("member `{member}` leaves the tree")]
pub struct Outside {
    /// Its name.
    pub member: String,
}

/// The file `kernel.lock.d/<id>.toml`.
pub fn to_text(pin: &Pin) -> String {
    let mut text =
        "# Written by `cargo kernel toolchain pin`: a toolchain made of Debian packages.\n"
            .to_owned();
    let mut line = |key: &str, value: &str| {
        // What stands here are names, versions, URLs and digits, none of which is escaped.
        writeln!(text, "{key} = \"{value}\"").expect("writing to a string succeeds");
    };
    line("system", &pin.system);
    line("suite", &pin.suite);
    line("name", &pin.name);
    line("sha256", &pin.sha256.to_string());
    for Package {
        name,
        version,
        path,
        url,
        sha256,
    } in &pin.package
    {
        text.push_str("\n[[package]]\n");
        let path = path.iter().map(|path| ("path", path));
        let lines = [("name", name), ("version", version)].into_iter();
        for (key, value) in lines.chain(path).chain([("url", url)]) {
            writeln!(text, "{key} = \"{value}\"").expect("writing to a string succeeds");
        }
        writeln!(text, "sha256 = \"{sha256}\"").expect("writing to a string succeeds");
    }
    text
}

/// Mirror of Debian's archive that stands for all of them. The hash of a file decides, so it needs no TLS.
pub const MIRROR: &str = "http://deb.debian.org/debian";

/// The path on any mirror of a file that one of them has at `url`.
pub fn mirror_path(url: &str) -> Option<String> {
    let start = url.find("/debian/pool/")? + "/debian/".len();
    Some(url[start..].to_owned())
}

/// The packages in what `apt-get --print-uris install` says, sorted by name, without those that
/// are left out; nothing where a line is none of apt's. URLs are those of apt's mirror.
pub fn parse_uris(output: &str) -> Option<Vec<Package>> {
    let mut packages: Vec<Package> = output
        .lines()
        .filter(|line| line.starts_with('\''))
        .map(|line| {
            let mut words = line.split_whitespace();
            let url = words.next()?.trim_matches('\'');
            let mut file = words.next()?.split('_');
            let sha256: Sha256 = words.nth(1)?.strip_prefix("SHA256:")?.parse().ok()?;
            Some(Package {
                name: file.next()?.to_owned(),
                version: file.next()?.replace("%3a", ":"),
                path: Some(mirror_path(url)?),
                url: url.to_owned(),
                sha256,
            })
        })
        .collect::<Option<_>>()?;
    packages.retain(|package| is_kept(&package.name));
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    (!packages.is_empty()).then_some(packages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_lie_below_usr_or_are_left_out() {
        let rows = [
            ("./usr/bin/gcc", Some("usr/bin/gcc")),
            ("./bin/sh", Some("usr/bin/sh")),
            (
                "lib/x86_64-linux-gnu/libc.so.6",
                Some("usr/lib/x86_64-linux-gnu/libc.so.6"),
            ),
            ("./lib64/", Some("usr/lib64")),
            ("./library", Some("library")),
            ("./", None),
            ("./etc/passwd", None),
            ("./etc", None),
            ("./usr/share/doc/gcc/README", None),
            ("./usr/share/documents", Some("usr/share/documents")),
        ];
        for (member, expected) in rows {
            assert_eq!(place(member).unwrap().as_deref(), expected, "{member}");
        }
        for member in ["/bin/sh", "./../x", "usr/../../x"] {
            assert_eq!(place(member).unwrap_err().member, member);
        }
    }

    #[test]
    fn every_wanted_package_is_kept() {
        assert_eq!(WANTED.iter().find(|name| !is_kept(name)), None);
    }

    #[test]
    fn what_apt_says_becomes_a_pin() {
        let hash = "1896a2aacf4ad681ff5eacc24a5b0ca4d5d9c9b9c9e4b6de5197bc1e116ea619";
        let line = |name: &str, version: &str| {
            format!(
                "'http://mirror.example/debian/pool/main/x/{name}_{version}_amd64.deb' {name}_{version}_amd64.deb 37596 SHA256:{hash}\n"
            )
        };
        let output = format!(
            "Reading lists\n{}{}{}",
            line("make", "4.3-4.1"),
            line("bison", "2%3a3.8.2"),
            line("perl", "5.36")
        );
        let package = parse_uris(&output).unwrap();
        let pin = Pin {
            system: "x86_64-linux".into(),
            suite: "bookworm".into(),
            name: "debian-12".into(),
            sha256: hash.parse().unwrap(),
            package,
        };
        let text = to_text(&pin);
        insta::assert_snapshot!(text, @r#"
        # Written by `cargo kernel toolchain pin`: a toolchain made of Debian packages.
        system = "x86_64-linux"
        suite = "bookworm"
        name = "debian-12"
        sha256 = "1896a2aacf4ad681ff5eacc24a5b0ca4d5d9c9b9c9e4b6de5197bc1e116ea619"

        [[package]]
        name = "bison"
        version = "2:3.8.2"
        path = "pool/main/x/bison_2%3a3.8.2_amd64.deb"
        url = "http://mirror.example/debian/pool/main/x/bison_2%3a3.8.2_amd64.deb"
        sha256 = "1896a2aacf4ad681ff5eacc24a5b0ca4d5d9c9b9c9e4b6de5197bc1e116ea619"

        [[package]]
        name = "make"
        version = "4.3-4.1"
        path = "pool/main/x/make_4.3-4.1_amd64.deb"
        url = "http://mirror.example/debian/pool/main/x/make_4.3-4.1_amd64.deb"
        sha256 = "1896a2aacf4ad681ff5eacc24a5b0ca4d5d9c9b9c9e4b6de5197bc1e116ea619"
        "#);
        assert_eq!(toml::from_str::<Pin>(&text).unwrap(), pin);
        assert_eq!(parse_uris("'http://x/y.deb' y.deb 1 MD5Sum:0\n"), None);
    }

    #[test]
    fn each_system_has_files_of_nixpkgs_bootstrap() {
        let systems = bootstrap();
        let names: Vec<_> = systems.keys().map(String::as_str).collect();
        assert_eq!(names, ["aarch64-linux", "x86_64-linux"]);
        for (system, files) in &systems {
            let (machine, _) = system.split_once('-').unwrap();
            let start = format!("http://tarballs.nixos.org/stdenv/{machine}-unknown-linux-gnu/");
            for (file, name) in [
                (&files.busybox, "/busybox"),
                (&files.tools, "/bootstrap-tools.tar.xz"),
            ] {
                assert!(file.url.starts_with(&start), "{}", file.url);
                assert!(file.url.ends_with(name), "{}", file.url);
                assert!(file.hash.sha256().is_some(), "{}", file.url);
            }
        }
    }

    /// `nix/unpack-debs.sh` says the same in shell.
    #[test]
    fn the_script_of_the_flake_has_the_same_rules() {
        let script = include_str!("../../nix/unpack-debs.sh");
        for dropped in DROPPED {
            assert!(
                script.contains(&format!("--exclude=./{dropped}")),
                "{dropped}"
            );
        }
        let excluded = script.matches("--exclude=").count();
        assert_eq!(excluded, DROPPED.len());
        for (link, program) in ALTERNATIVES {
            assert!(script.contains(&format!("\n{link} {program}\n")), "{link}");
        }
        assert!(script.contains(&format!("for directory in {}; do", MERGED.join(" "))));
    }
}

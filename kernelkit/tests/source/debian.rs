use std::fs;
use std::io::Write as _;

use camino::Utf8PathBuf;
use kernelkit::effect::nix::debian_root;
use kernelkit::effect::source::{DebianError, Error, LabelHint, Verification};
use kernelkit::nix::debian_root::to_text;
use kernelkit::nix::kernel::{Package, Pin};
use kernelkit::source::{Sha256, Source, TreeId};
use sha1::Digest as _;

use crate::archive::tar_of;
use crate::http::Server;
use crate::world::{World, chmod, oracle, write};

/// A world with an apt of its own that knows one package.
struct Apt {
    world: World,
    deb: Utf8PathBuf,
    id: TreeId,
}

const FILE: &str = "linux-source-6.12_6.12.117-1~deb12u1_all.deb";

impl Apt {
    fn new() -> Self {
        let mut world = World::new();
        let dir = world.kernel("linux-source-6.12");
        let id = oracle(&dir, &["--force"]);
        let deb = world.root.join(FILE);
        fs::write(&deb, package(&tar_of(&dir))).unwrap();
        for directory in ["lists", "etc", "bin"] {
            fs::create_dir(world.root.join(directory)).unwrap();
        }
        world.environment.path = format!("{}:{}", world.root.join("bin"), world.environment.path);
        let apt = Apt { world, deb, id };
        apt.tool(
            "apt-config",
            &format!(
                "echo \"LISTS='{0}/lists'\"; echo \"ETC='{0}/etc'\"",
                apt.world.root
            ),
        );
        apt.tool("apt-cache", APT_CACHE);
        apt.serve(Sha256::of(&fs::read(&apt.deb).unwrap()));
        apt
    }

    fn tool(&self, name: &str, script: &str) {
        let log = self.world.root.join("log");
        write(
            &self.world.root,
            &format!("bin/{name}"),
            &format!("#!/bin/sh\necho {name} \"$@\" >> {log}\n{script}\n"),
        );
        chmod(&self.world.root.join("bin").join(name), 0o755);
    }

    /// apt-get that offers the package under this hash.
    fn serve(&self, sha256: Sha256) {
        self.serve_from("http://example", sha256);
    }

    /// The same with a mirror's directory.
    fn serve_from(&self, mirror: &str, sha256: Sha256) {
        self.tool(
            "apt-get",
            &format!(
                "case \"$*\" in\n\
                 *--print-uris*linux-source-6.12|*--print-uris*=6.12.117-1~deb12u1)\n\
                 echo \"'{mirror}/{FILE}' {FILE} 100 SHA256:{sha256}\" ;;\n\
                 *--print-uris*) echo 'E: Unable to locate package' >&2; exit 100 ;;\n\
                 *) cp {} . ;;\nesac",
                self.deb
            ),
        );
    }

    /// The tools that ran since.
    fn log(&self) -> Vec<String> {
        let log = self.world.root.join("log");
        let text = fs::read_to_string(&log).unwrap_or_default();
        fs::write(&log, "").unwrap();
        text.lines()
            .map(|line| line.split(' ').next().unwrap().to_owned())
            .collect()
    }
}

const APT_CACHE: &str = "case \"$*\" in
'pkgnames linux-source-') printf 'linux-source-6.12\\nlinux-source-6.1\\n' ;;
madison*) echo 'linux-source-6.12 | 6.12.117-1~deb12u1 | http://example main' ;;
esac";

/// An ar archive with the members of a Debian package.
fn package(source: &[u8]) -> Vec<u8> {
    let mut data = tar::Builder::new(Vec::new());
    for (name, bytes) in [
        ("./usr/share/doc/copyright", &b"free"[..]),
        ("./usr/src/linux-source-6.12.tar.xz", source),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        data.append_data(&mut header, name, bytes).unwrap();
    }
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(&data.into_inner().unwrap()).unwrap();
    let mut deb = b"!<arch>\n".to_vec();
    for (name, bytes) in [
        ("debian-binary", b"2.0\n".to_vec()),
        ("control.tar.xz", vec![0; 7]),
        ("data.tar.xz", xz.finish().unwrap()),
    ] {
        writeln!(
            deb,
            "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`",
            0,
            0,
            0,
            "100644",
            bytes.len()
        )
        .unwrap();
        deb.extend_from_slice(&bytes);
        if bytes.len() % 2 == 1 {
            deb.push(b'\n');
        }
    }
    deb
}

fn debian(package: &str, version: Option<&str>) -> Source {
    Source::Debian {
        package: package.to_owned(),
        version: version.map(str::to_owned),
    }
}

#[test]
fn the_candidate_is_resolved_fetched_and_kept() {
    let apt = Apt::new();
    let source = debian("linux-source-6.12", None);
    let tree = apt.world.prepare(&source).unwrap();
    assert_eq!((tree.id, tree.pinned), (apt.id, true));
    assert_eq!(tree.verification, Verification::Apt);
    assert_eq!(
        tree.label,
        LabelHint::Reference {
            name: "debian-1~deb12u1".to_owned()
        }
    );
    assert_eq!(
        tree.resolved,
        debian("linux-source-6.12", Some("6.12.117-1~deb12u1"))
    );
    assert_eq!(apt.log(), ["apt-config", "apt-get", "apt-get"]);
    // Nothing runs again until apt's lists change.
    assert_eq!(apt.world.prepare(&source).unwrap(), tree);
    assert_eq!(apt.log(), [""; 0]);
    write(&apt.world.root, "lists/new", "x");
    assert_eq!(apt.world.prepare(&source).unwrap(), tree);
    assert_eq!(apt.log(), ["apt-config", "apt-get"]);
    write(&apt.world.root, "etc/preferences.d/pin", "x");
    apt.world.prepare(&source).unwrap();
    assert_eq!(apt.log(), ["apt-config", "apt-get"]);
    // A version never changes.
    apt.world.prepare(&tree.resolved).unwrap();
    apt.log();
    write(&apt.world.root, "lists/newer", "x");
    assert_eq!(apt.world.prepare(&tree.resolved).unwrap(), tree);
    assert_eq!(apt.log(), [""; 0]);
}

#[test]
fn what_apt_does_not_have_is_said_with_what_it_has() {
    let apt = Apt::new();
    let refused = |package: &str, version: Option<&str>| {
        let error = apt.world.prepare(&debian(package, version)).unwrap_err();
        let Error::Debian(inner) = error else {
            panic!("{error}")
        };
        inner
    };
    let unknown = refused("linux-source-9.9", None);
    assert!(
        matches!(unknown, DebianError::UnknownPackage { .. }),
        "{unknown}"
    );
    assert_eq!(
        unknown.hint().unwrap(),
        "there are linux-source-6.1, linux-source-6.12"
    );
    let version = refused("linux-source-6.12", Some("1"));
    assert_eq!(
        version.hint().unwrap(),
        "there are 6.12.117-1~deb12u1; snapshot.debian.org, which keeps old versions, does not have it or cannot be reached"
    );
    for name in ["", "-o=evil", "a b", "../x"] {
        assert!(matches!(
            refused(name, None),
            DebianError::InvalidName { .. }
        ));
    }
    apt.tool("apt-cache", "");
    let nothing = refused("linux-source-6.12.9", None);
    assert!(matches!(nothing, DebianError::NoLists { .. }), "{nothing}");
    assert!(nothing.hint().unwrap().contains("apt-get update"));
    assert_eq!(apt.world.leftovers(), [""; 0]);
}

#[test]
fn a_package_with_other_bytes_is_refused() {
    let apt = Apt::new();
    apt.serve(Sha256::of(b""));
    let error = apt
        .world
        .prepare(&debian("linux-source-6.12", None))
        .unwrap_err();
    assert!(matches!(error, Error::Hash { .. }), "{error}");
    assert_eq!(apt.world.leftovers(), [""; 0]);
}

#[test]
fn a_package_without_a_source_is_refused() {
    let apt = Apt::new();
    for bytes in [&b"!<arch>\n"[..], b"no package at all", b""] {
        fs::write(&apt.deb, bytes).unwrap();
        apt.serve(Sha256::of(bytes));
        write(&apt.world.root, &format!("lists/{}", bytes.len()), "x");
        let error = apt
            .world
            .prepare(&debian("linux-source-6.12", None))
            .unwrap_err();
        assert!(matches!(error, Error::Archive(_)), "{error}");
    }
}

#[test]
fn a_version_that_apt_has_dropped_comes_from_the_archive() {
    let mut apt = Apt::new();
    let server = Server::start();
    apt.world.snapshot = server.url.clone();
    let bytes = fs::read(&apt.deb).unwrap();
    let hash: String = sha1::Sha1::digest(&bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let list = "/mr/binary/linux-source-6.12/6.12.50-1%7edeb12u1/binfiles";
    let source = Source::Debian {
        package: "linux-source-6.12".to_owned(),
        version: Some("6.12.50-1~deb12u1".to_owned()),
    };
    // It does not know it either.
    let error = apt.world.prepare(&source).unwrap_err();
    assert!(
        matches!(error, Error::Debian(DebianError::UnknownVersion { .. })),
        "{error}"
    );
    let answer = format!(r#"{{"result": [{{"architecture": "all", "hash": "{hash}"}}]}}"#);
    server.put(list, answer.clone());
    server.put(&format!("/file/{hash}"), b"something else".to_vec());
    let error = apt.world.prepare(&source).unwrap_err();
    assert!(
        matches!(error, Error::Debian(DebianError::Damaged { .. })),
        "{error}"
    );
    server.put(&format!("/file/{hash}"), bytes.clone());
    let tree = apt.world.prepare(&source).unwrap();
    assert_eq!(tree.id, apt.id);
    assert_eq!(tree.verification, Verification::Unverified);
    let archive = tree.archive.clone().unwrap();
    assert_eq!(archive.sha256, Sha256::of(&bytes));
    assert_eq!(archive.url, format!("{}/file/{hash}", server.url));
    // The second time nobody is asked for more than the file.
    server.remove(list);
    forget(&apt.world);
    assert_eq!(apt.world.prepare(&source).unwrap(), tree);
    apt.world.offline = true;
    assert_eq!(apt.world.prepare(&source).unwrap(), tree);
}

/// Removes trees and packages from the cache.
fn forget(world: &World) {
    for name in ["tree", "download"] {
        let directory = world.environment.cache_dir.join(name);
        let status = std::process::Command::new("rm")
            .args(["-rf", directory.as_str()])
            .status();
        assert!(status.unwrap().success());
    }
}

fn sha1_of(bytes: &[u8]) -> String {
    let digest = sha1::Sha1::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn what_is_locked_of_a_package_does_not_depend_on_the_mirror() {
    let mut apt = Apt::new();
    let server = Server::start();
    apt.world.snapshot = server.url.clone();
    let bytes = fs::read(&apt.deb).unwrap();
    let sha256 = Sha256::of(&bytes);
    let source = debian("linux-source-6.12", None);
    let url = |apt: &Apt| apt.world.prepare(&source).unwrap().archive.unwrap().url;
    let permanent = format!("{}/file/{}", server.url, sha1_of(&bytes));
    for (index, (mirror, expected)) in [
        ("http://mirror.example/debian/pool/main/l", &permanent),
        ("http://other.example/x/debian/pool/main/l", &permanent),
        (
            "http://mirror.example/debian-security/pool/updates/main/l",
            &permanent,
        ),
        // What others publish is not in Debian's archive.
        (
            "http://ours.example/pool",
            &format!("http://ours.example/pool/{FILE}"),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        apt.serve_from(mirror, sha256);
        write(&apt.world.root, &format!("lists/{index}"), "x");
        assert_eq!(&url(&apt), expected);
    }
    // An earlier kernelkit kept a tree and no such address.
    apt.serve_from("http://mirror.example/debian/pool/main/l", sha256);
    write(&apt.world.root, "lists/again", "x");
    let resolution = apt
        .world
        .environment
        .cache_dir
        .join("debian/linux-source-6.12.json");
    apt.world.prepare(&source).unwrap();
    let text = fs::read_to_string(&resolution).unwrap();
    let without = text.replace(&format!("\"{}\"", sha1_of(&bytes)), "null");
    assert_ne!(text, without);
    fs::write(&resolution, &without).unwrap();
    assert_eq!(url(&apt), permanent);
    assert_eq!(fs::read_to_string(&resolution).unwrap(), text);
}

#[test]
fn a_package_that_its_mirror_has_dropped_comes_from_its_permanent_address() {
    let mut apt = Apt::new();
    let server = Server::start();
    apt.world.snapshot = server.url.clone();
    let bytes = fs::read(&apt.deb).unwrap();
    let sha256 = Sha256::of(&bytes);
    apt.serve_from("http://mirror.example/debian/pool/main/l", sha256);
    let source = debian("linux-source-6.12", Some("6.12.117-1~deb12u1"));
    let tree = apt.world.prepare(&source).unwrap();
    forget(&apt.world);
    apt.tool(
        "apt-get",
        "echo 'E: Failed to fetch it  404  Not Found' >&2; exit 100",
    );
    let error = apt.world.prepare(&source).unwrap_err();
    let said = error.to_string();
    let permanent = format!("{}/file/{}", server.url, sha1_of(&bytes));
    for words in ["from apt", "404  Not Found", &permanent] {
        assert!(said.contains(words), "{words}: {said}");
    }
    server.put(&format!("/file/{}", sha1_of(&bytes)), bytes);
    assert_eq!(apt.world.prepare(&source).unwrap(), tree);
}

#[test]
fn pinned_packages_come_from_a_mirror_or_from_their_permanent_address() {
    let mut apt = Apt::new();
    apt.tool("apt-get", "exit 100");
    let (mirror, snapshot) = (Server::start(), Server::start());
    apt.world.snapshot = snapshot.url.clone();
    apt.world.debian = format!("{}/debian", mirror.url);
    let bytes = fs::read(&apt.deb).unwrap();
    let path = "pool/main/l/linux/a_1_amd64.deb".to_owned();
    let pin = Pin {
        system: "x86_64-linux".into(),
        suite: "bookworm".into(),
        name: "few".into(),
        sha256: Sha256::of(b""),
        package: vec![Package {
            name: "a".into(),
            version: "1".into(),
            // As apt says it.
            url: format!("{}/debian/{path}", mirror.url),
            path: Some(path.clone()),
            sha256: Sha256::of(&bytes),
        }],
    };
    let make = |pin: &Pin| debian_root::make(pin, None, &apt.world.context(), &mut |_| {});
    mirror.put(&format!("/debian/{path}"), bytes.clone());
    let sha256 = make(&pin).unwrap().sha256;
    let mut pinned = pin.clone();
    debian_root::set_permanent_urls(&mut pinned, &apt.world.context()).unwrap();
    let permanent = format!("/file/{}", sha1_of(&bytes));
    assert_eq!(
        pinned.package[0].url,
        format!("{}{permanent}", snapshot.url)
    );
    assert!(to_text(&pinned).contains(&format!("path = \"{path}\"\nurl = ")));
    let text = to_text(&pinned);
    debian_root::set_permanent_urls(&mut pinned, &apt.world.context()).unwrap();
    assert_eq!(to_text(&pinned), text);
    // A pin of an earlier kernelkit has neither.
    let mut earlier = pin.clone();
    earlier.package[0].path = None;
    debian_root::renew_urls(&mut earlier, &apt.world.context(), &mut |_| {}).unwrap();
    assert_eq!(to_text(&earlier), text);
    assert_eq!(mirror.requests(), [format!("GET /debian/{path}")]);
    assert_eq!(snapshot.requests(), [""; 0]);

    let file = apt
        .world
        .environment
        .cache_dir
        .join(format!("download/debs/{}.deb", pin.package[0].sha256));
    // The mirror has another file there, or none.
    snapshot.put(&permanent, bytes);
    for other in [Some(&b"something else"[..]), None] {
        fs::remove_file(&file).unwrap();
        match other {
            Some(bytes) => mirror.put(&format!("/debian/{path}"), bytes),
            None => mirror.remove(&format!("/debian/{path}")),
        }
        assert_eq!(make(&pinned).unwrap().sha256, sha256);
    }
    fs::remove_file(&file).unwrap();
    snapshot.remove(&permanent);
    let error = make(&pinned).unwrap_err();
    let said = error.to_string();
    for words in [
        format!("{}/debian/{path} does not exist", mirror.url),
        format!("{}{permanent} does not exist", snapshot.url),
    ] {
        assert!(said.contains(&words), "{words}: {said}");
    }
}

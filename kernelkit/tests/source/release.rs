use std::fs;

use camino::Utf8PathBuf;
use kernelkit::effect::source::{DownloadError, Error, LabelHint, SumsError, Verification};
use kernelkit::source::{Sha256, Source};
use kernelkit::version::Mirror;

use crate::archive::tar_of;
use crate::http::{Fault, Server};
use crate::world::{World, oracle, run, tarball};

const TARBALL: &str = "/pub/linux/kernel/v6.x/linux-6.12.117.tar.xz";
const SUMS: &str = "/pub/linux/kernel/v6.x/sha256sums.asc";

/// A server laid out as kernel.org is, and a world that takes it for that.
struct Site {
    world: World,
    server: Server,
    bytes: Vec<u8>,
    id: kernelkit::source::TreeId,
}

impl Site {
    fn new() -> Self {
        let mut world = World::new();
        let server = Server::start();
        let dir = world.kernel("linux-6.12.117");
        // Large enough to be cut in the middle.
        fs::write(dir.join("big"), vec![7; 300_000]).unwrap();
        let bytes = tar_of(&dir);
        let id = oracle(&dir, &["--force"]);
        server.put(TARBALL, bytes.clone());
        server.put(SUMS, list(&bytes));
        let release = |moniker: &str, version: &str| {
            serde_json::json!({
                "iseol": false, "version": version, "moniker": moniker, "source": null, "pgp": null,
                "released": {"timestamp": 0, "isodate": "2026-01-01"}, "gitweb": null,
                "changelog": null, "diffview": null, "patch": {"full": null, "incremental": null},
            })
        };
        let releases = serde_json::json!({
            "latest_stable": {"version": "6.18.3"},
            "releases": [release("stable", "6.18.3"), release("longterm", "6.12.117")],
        });
        server.put("/releases.json", releases.to_string());
        world.mirror = Mirror::at(&server.url);
        Site {
            world,
            server,
            bytes,
            id,
        }
    }

    fn url(&self) -> String {
        format!("{}{TARBALL}", self.server.url)
    }

    fn pinned(&self, sha256: Sha256) -> Source {
        Source::Tarball {
            location: self.url(),
            sha256: Some(sha256),
        }
    }
}

fn list(bytes: &[u8]) -> String {
    format!("{}  linux-6.12.117.tar.xz\n", Sha256::of(bytes))
}

fn release(selector: &str) -> Source {
    Source::Release {
        selector: selector.to_owned(),
    }
}

#[test]
fn a_selector_resolves_downloads_and_is_served_from_the_cache() {
    let mut site = Site::new();
    for selector in ["6.12.y", "6.12", "longterm", "6.12.117"] {
        let tree = site.world.prepare(&release(selector)).unwrap();
        assert_eq!((tree.id, tree.label), (site.id, LabelHint::Vanilla));
        assert_eq!(tree.verification, Verification::UnsignedSums);
        let pinned = site.pinned(Sha256::of(&site.bytes));
        assert_eq!(tree.resolved, pinned);
    }
    site.server.requests();
    // An exact version that is there asks nobody anything.
    let (_, seen) = site.world.watch(&release("6.12.117"), &[]);
    assert!(!seen.downloaded && !seen.unpacked);
    assert_eq!(site.server.requests(), [""; 0]);
    // The last list does where there is no other, and its age is said.
    site.world.offline = true;
    let (tree, seen) = site.world.watch(&release("6.12.y"), &[]);
    assert_eq!(tree.unwrap().id, site.id);
    assert!(
        seen.notes[0].ends_with("the list of releases is 0 minutes old"),
        "{:?}",
        seen.notes
    );
    site.world.offline = false;
    site.server.remove("/releases.json");
    let (tree, seen) = site.world.watch(&release("6.12.y"), &[]);
    assert_eq!((tree.unwrap().id, seen.notes.len()), (site.id, 1));
}

#[test]
fn redirects_without_end_fail_at_once_with_their_addresses() {
    let site = Site::new();
    let url = format!("{}/{}", site.server.url, "a.tar");
    let tarball = |url: &str| Source::Tarball {
        location: url.to_owned(),
        sha256: Some(Sha256::of(&site.bytes)),
    };
    site.server.redirect("/a.tar", "/b.tar?key=secret");
    site.server.redirect("/b.tar", "/a.tar");
    let error = site.world.prepare(&tarball(&url)).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("leads from address to address"), "{text}");
    assert!(
        text.contains("/a.tar, then ") && text.contains("/b.tar"),
        "{text}"
    );
    assert!(!text.contains("secret"), "{text}");
    // Not once more for each attempt.
    let requests = site.server.requests();
    assert!(requests.len() <= 12, "{requests:?}");
    // As many as the limit are followed, and no more.
    for (hops, arrives) in [(10, true), (11, false)] {
        let first = format!("/{hops}-0.tar");
        for hop in 0..hops {
            let to = format!("/{hops}-{}.tar", hop + 1);
            let to = if hop + 1 == hops {
                TARBALL.to_owned()
            } else {
                to
            };
            site.server.redirect(&format!("/{hops}-{hop}.tar"), &to);
        }
        let url = format!("{}{first}", site.server.url);
        let world = World::new();
        let got = world.prepare(&tarball(&url));
        assert_eq!(got.is_ok(), arrives, "{hops}: {:?}", got.err());
    }
}

#[test]
fn what_is_not_released_is_said() {
    let site = Site::new();
    let check = |selector: &str, says: &str| {
        let error = site.world.prepare(&release(selector)).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
        assert!(error.hint().is_some(), "{error}");
    };
    check("6.12.118", "does not have it");
    check("9.9", "lists no release");
    check("latest", "selects no kernel version");
    check("6.6.1-rt2", "has no tarball");
    assert_eq!(site.world.leftovers(), [""; 0]);
}

#[test]
fn a_candidate_has_no_list_and_is_unverified() {
    let site = Site::new();
    site.server
        .put("/torvalds/t/linux-6.13-rc1.tar.gz", site.bytes.clone());
    let tree = site.world.prepare(&release("6.13-rc1")).unwrap();
    assert_eq!(tree.verification, Verification::Unverified);
    let Source::Tarball { sha256, .. } = tree.resolved else {
        panic!()
    };
    assert_eq!(sha256, Some(Sha256::of(&site.bytes)));
}

#[test]
fn a_cut_download_goes_on_where_it_stopped() {
    let site = Site::new();
    site.server.fail([
        Fault::CutAfter(100_000),
        Fault::Status(503),
        Fault::CutAfter(50_000),
    ]);
    let tree = site
        .world
        .prepare(&site.pinned(Sha256::of(&site.bytes)))
        .unwrap();
    assert_eq!(
        (tree.id, tree.verification),
        (site.id, Verification::Sha256Pinned)
    );
    let asked = ["", " from 100000", " from 100000", " from 150000"];
    assert_eq!(
        site.server.requests(),
        asked.map(|from| format!("GET {TARBALL}{from}"))
    );
    let left = site.world.leftovers();
    assert!(!left.iter().any(|name| name.contains("part")), "{left:?}");
}

#[test]
fn an_interrupted_download_is_resumed_by_the_next_run() {
    let site = Site::new();
    let source = site.pinned(Sha256::of(&site.bytes));
    site.server.fail([Fault::CutAfter(1000); 5]);
    let error = site.world.prepare(&source).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Download(DownloadError::Broken { done: 5000, .. })
        ),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("continues where it stopped"));
    site.server.requests();
    assert_eq!(site.world.prepare(&source).unwrap().id, site.id);
    assert_eq!(site.server.requests(), [format!("GET {TARBALL} from 5000")]);
}

#[test]
fn a_part_of_another_file_is_not_continued() {
    let site = Site::new();
    let source = site.pinned(Sha256::of(&site.bytes));
    let mut other = site.bytes.clone();
    other.reverse();
    site.server.put(TARBALL, other);
    site.server.fail([Fault::CutAfter(1000); 5]);
    site.world.prepare(&source).unwrap_err();
    site.server.put(TARBALL, site.bytes.clone());
    assert_eq!(site.world.prepare(&source).unwrap().id, site.id);
}

#[test]
fn a_server_without_ranges_starts_over() {
    let site = Site::new();
    site.server.ignore_range();
    site.server.fail([Fault::CutAfter(1000)]);
    assert_eq!(
        site.world.prepare(&release("6.12.117")).unwrap().id,
        site.id
    );
}

#[test]
fn a_part_that_is_whole_already_is_used() {
    let site = Site::new();
    // As if the run had been killed between the last byte and the renaming.
    let digest = Sha256::of(site.url().as_bytes()).to_string();
    let target = site
        .world
        .environment
        .cache_dir
        .join("download")
        .join(&digest[..16]);
    fs::create_dir_all(&target).unwrap();
    fs::write(target.join("linux-6.12.117.tar.xz.part"), &site.bytes).unwrap();
    let state = serde_json::json!({"url": site.url(), "validator": null});
    fs::write(
        target.join("linux-6.12.117.tar.xz.part.json"),
        state.to_string(),
    )
    .unwrap();
    let tree = site
        .world
        .prepare(&site.pinned(Sha256::of(&site.bytes)))
        .unwrap();
    assert_eq!(tree.id, site.id);
}

#[test]
fn wrong_bytes_are_refused_and_thrown_away() {
    let site = Site::new();
    let mut wrong = site.bytes.clone();
    wrong[1000] ^= 1;
    site.server.put(TARBALL, wrong);
    let error = site.world.prepare(&release("6.12.117")).unwrap_err();
    assert!(
        matches!(error, Error::Download(DownloadError::Hash { .. })),
        "{error}"
    );
    assert_eq!(site.world.leftovers(), [""; 0]);
}

#[test]
fn failures_to_reach_the_server_are_told_apart() {
    let mut site = Site::new();
    let check = |world: &World, url: &str, expected: fn(&DownloadError) -> bool| {
        let source = Source::Tarball {
            location: url.to_owned(),
            sha256: Some(Sha256::of(b"")),
        };
        let error = world.prepare(&source).unwrap_err();
        let Error::Download(inner) = &error else {
            panic!("{error}")
        };
        assert!(expected(inner), "{inner:?}");
        assert!(
            error.to_string().contains(url) && error.hint().is_some(),
            "{error}"
        );
        assert_eq!(world.leftovers(), [""; 0]);
    };
    let missing = format!("{}/none.tar.xz", site.server.url);
    check(&site.world, &missing, |error| {
        matches!(error, DownloadError::NotFound { .. })
    });
    let nowhere = "http://no-such-host.invalid/a.tar.xz";
    check(&site.world, nowhere, |error| {
        matches!(error, DownloadError::Host { .. })
    });
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let closed = format!("http://{closed}/a.tar.xz");
    check(&site.world, &closed, |error| {
        matches!(error, DownloadError::Connection { .. })
    });
    site.server.fail([Fault::Status(403)]);
    check(&site.world, &site.url(), |error| {
        matches!(error, DownloadError::Status { status: 403, .. })
    });
    site.world.offline = true;
    check(&site.world, &site.url(), |error| {
        matches!(error, DownloadError::Offline { .. })
    });
}

#[test]
fn a_url_that_nothing_pins_is_not_used_but_its_hash_is_said() {
    let site = Site::new();
    site.server.put("/mine.tar", site.bytes.clone());
    let url = format!("{}/mine.tar", site.server.url);
    let error = site.world.prepare(&tarball(&url)).unwrap_err();
    let hash = Sha256::of(&site.bytes);
    assert!(error.hint().unwrap().contains(&hash.to_string()));
    site.server.requests();
    let source = Source::Tarball {
        location: url,
        sha256: Some(hash),
    };
    let tree = site.world.prepare(&source).unwrap();
    assert_eq!(
        tree.label,
        LabelHint::Reference {
            name: "mine".to_owned()
        }
    );
    // What was fetched to hash it is not fetched again.
    assert_eq!(site.server.requests(), [""; 0]);
}

#[test]
fn a_proxy_is_used_unless_the_host_is_excluded() {
    let mut site = Site::new();
    let source = Source::Tarball {
        location: format!("http://kernel.example{TARBALL}"),
        sha256: Some(Sha256::of(&site.bytes)),
    };
    let variables = &mut site.world.environment.variables;
    variables.insert("http_proxy".to_owned(), site.server.url.clone());
    variables.insert("no_proxy".to_owned(), "kernel.example".to_owned());
    site.world.prepare(&source).unwrap_err();
    assert_eq!(site.server.requests(), [""; 0]);
    site.world.environment.variables.remove("no_proxy");
    assert_eq!(site.world.prepare(&source).unwrap().id, site.id);
    let asked = ["CONNECT kernel.example:80", &format!("GET {TARBALL}")];
    assert_eq!(site.server.requests(), asked);
}

/// A key of its own, and what it makes of a text.
fn signer(world: &World, name: &str) -> (Utf8PathBuf, impl Fn(&str) -> String + use<>) {
    let home = world.root.join(name);
    fs::create_dir(&home).unwrap();
    crate::world::chmod(&home, 0o700);
    let gpg = {
        let home = home.clone();
        move |arguments: &[&str]| {
            let always = [
                "--homedir",
                home.as_str(),
                "--batch",
                "--quiet",
                "--pinentry-mode=loopback",
                "--passphrase=",
            ];
            run(&home, "gpg", &[&always, arguments].concat())
        }
    };
    gpg(&["--quick-generate-key", name, "ed25519", "sign", "never"]);
    let keyring = home.join("keys.gpg");
    gpg(&["--output", keyring.as_str(), "--export"]);
    let sign = move |text: &str| {
        fs::write(home.join("text"), text).unwrap();
        gpg(&[
            "--yes",
            "--output",
            home.join("signed").as_str(),
            "--clear-sign",
            home.join("text").as_str(),
        ]);
        fs::read_to_string(home.join("signed")).unwrap()
    };
    (keyring, sign)
}

#[test]
fn signed_lists_are_verified_where_there_is_a_keyring() {
    let mut site = Site::new();
    let (keyring, sign) = signer(&site.world, "kernel.org");
    let (other, _) = signer(&site.world, "other");
    let signed = sign(&list(&site.bytes));
    site.server.put(SUMS, signed.clone());
    let source = release("6.12.117");

    let tree = site.world.prepare(&source).unwrap();
    assert_eq!(tree.verification, Verification::UnsignedSums);

    // What was not verified is asked for again once it can be.
    site.world.keyring = Some(other);
    let error = site.world.prepare(&source).unwrap_err();
    assert!(
        matches!(error, Error::Sums(SumsError::UnknownKey { .. })),
        "{error}"
    );

    site.world.keyring = Some(keyring.clone());
    site.server
        .put(SUMS, signed.replacen("linux-6.12.117", "linux-6.12.118", 1));
    let error = site.world.prepare(&source).unwrap_err();
    assert!(
        matches!(error, Error::Sums(SumsError::BadSignature { .. })),
        "{error}"
    );

    // A line outside of what is signed does not count.
    let empty = sign("nothing\n");
    site.server
        .put(SUMS, format!("{}{empty}", list(&site.bytes)));
    let error = site.world.prepare(&source).unwrap_err();
    assert!(
        matches!(error, Error::NotListed { .. } | Error::Sums(_)),
        "{error}"
    );

    site.server.put(SUMS, list(&site.bytes));
    let error = site.world.prepare(&source).unwrap_err();
    assert!(
        matches!(error, Error::Sums(SumsError::BadSignature { .. })),
        "{error}"
    );

    site.server.put(SUMS, signed);
    let tree = site.world.prepare(&source).unwrap();
    let Verification::SignedSums { key } = tree.verification else {
        panic!("{:?}", tree.verification)
    };
    assert_eq!(key.len(), 40);

    // The user's own keyring is found where it belongs.
    let mut fresh = Site::new();
    let config = fresh.world.root.join("home/.config/kernelkit");
    fs::create_dir_all(&config).unwrap();
    fs::copy(&keyring, config.join("kernel.org.gpg")).unwrap();
    fresh.server.put(SUMS, sign(&list(&fresh.bytes)));
    let tree = fresh.world.prepare(&source).unwrap();
    assert_eq!(tree.verification, Verification::SignedSums { key });

    fresh.world.keyring = Some("/no/keyring.gpg".into());
    let error = fresh.world.prepare(&source).unwrap_err();
    assert!(
        matches!(error, Error::Sums(SumsError::NoKeyring { .. })),
        "{error}"
    );
}

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::source::{Sha256, TreeId};

const RELEASE: &str = "6.12.117-tiny-0123456789ab";

struct Bench {
    _guard: tempfile::TempDir,
    root: Utf8PathBuf,
    store: HostStore,
}

impl Bench {
    fn new() -> Self {
        let guard = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(guard.path().to_owned()).unwrap();
        let store = HostStore::new(root.join("store"));
        Bench {
            _guard: guard,
            root,
            store,
        }
    }

    /// A build's files: a kernel, a module, links that dangle, an empty directory.
    fn build(&self) -> Utf8PathBuf {
        let dir = self.root.join("build");
        fs::remove_dir_all(&dir).unwrap();
        for (path, content) in [
            ("boot/vmlinuz-6.12.117", "image"),
            ("boot/config-6.12.117", ""),
            ("lib/modules/6.12.117/kernel/a b/ü.ko", "module"),
        ] {
            fs::write_atomic(dir.join(path), content.as_bytes()).unwrap();
        }
        set_mode(&dir.join("boot/vmlinuz-6.12.117"), 0o755);
        fs::create_dir_all(dir.join("lib/modules/6.12.117/extra")).unwrap();
        symlink("/nowhere", dir.join("lib/modules/6.12.117/source")).unwrap();
        dir
    }

    fn publish(&self, release: &str) -> Entry {
        let (_, digest) = release.rsplit_once('-').unwrap();
        let manifest = format!(r#"{{"name":"tiny","digest":"{digest}"}}"#);
        self.store
            .publish(release, &self.build(), manifest.as_bytes())
            .unwrap()
    }

    fn stored(&self, path: &str) -> Utf8PathBuf {
        self.root.join("store").join(RELEASE).join(path)
    }

    fn names_in_store(&self) -> Vec<String> {
        names(&self.root.join("store"))
    }
}

fn names(dir: &Utf8Path) -> Vec<String> {
    let mut names: Vec<_> = dir
        .read_dir_utf8()
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_owned())
        .collect();
    names.sort();
    names
}

fn set_mode(path: &Utf8Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Every file below `dir`: mode and content, or where it points.
fn snapshot(dir: &Utf8Path) -> BTreeMap<Utf8PathBuf, String> {
    fn walk(dir: &Utf8Path, root: &Utf8Path, into: &mut BTreeMap<Utf8PathBuf, String>) {
        for name in names(dir) {
            let path = dir.join(name);
            let metadata = std::fs::symlink_metadata(&path).unwrap();
            let what = if metadata.is_dir() {
                walk(&path, root, into);
                "directory".to_owned()
            } else if metadata.is_symlink() {
                format!("-> {}", path.read_link_utf8().unwrap())
            } else {
                let content = fs::read(&path).unwrap();
                format!("{:o} {content:?}", metadata.mode() & 0o777)
            };
            into.insert(path.strip_prefix(root).unwrap().to_owned(), what);
        }
    }
    let mut files = BTreeMap::new();
    walk(dir, dir, &mut files);
    files
}

fn what(lookup: Lookup) -> String {
    match lookup {
        Lookup::Hit(entry) => format!("hit {}", entry.release),
        Lookup::Miss => "miss".to_owned(),
        Lookup::Damaged { what, .. } => what,
        Lookup::Newer { schema, .. } => format!("newer {schema}"),
    }
}

#[test]
fn what_is_published_is_found_by_release_and_by_digest() {
    let bench = Bench::new();
    let find = |key| bench.store.find(key, Check::Full).unwrap();
    assert_eq!(find(RELEASE), Lookup::Miss);
    let entry = bench.publish(RELEASE);
    for key in [RELEASE, "0123456789ab"] {
        assert_eq!(find(key), Lookup::Hit(Box::new(entry.clone())));
    }
    for key in ["6.12.117-tiny", "0123456789", "ffffffffffff"] {
        assert_eq!(find(key), Lookup::Miss, "{key}");
    }
    assert_eq!(entry.manifest["name"], "tiny");
    let dest = bench.root.join("dest");
    bench.store.materialize(&entry, &dest).unwrap();
    assert_eq!(snapshot(&dest), snapshot(&bench.build()));
    assert_eq!(bench.names_in_store(), [RELEASE]);
}

#[test]
fn a_kernel_without_modules_is_an_entry_like_any_other() {
    let bench = Bench::new();
    let dir = bench.root.join("build");
    fs::write_atomic(dir.join("boot/Image-6.12"), b"image").unwrap();
    let entry = bench.store.publish(RELEASE, &dir, b"{}").unwrap();
    assert_eq!(
        what(bench.store.find(RELEASE, Check::Full).unwrap()),
        format!("hit {RELEASE}")
    );
    assert_eq!(entry.size(), 5);
}

#[test]
fn nothing_done_to_the_build_or_the_destination_reaches_the_store() {
    let bench = Bench::new();
    let entry = bench.publish(RELEASE);
    let dest = bench.root.join("dest");
    bench.store.materialize(&entry, &dest).unwrap();
    for dir in [bench.build(), dest.clone()] {
        let image = dir.join("boot/vmlinuz-6.12.117");
        let mut file = Handle::options().append(true).open(&image).unwrap();
        io::Write::write_all(&mut file, b" signed in place").unwrap();
        fs::remove_dir_all(dir.join("lib")).unwrap();
    }
    assert_eq!(
        bench.store.find(RELEASE, Check::Full).unwrap(),
        Lookup::Hit(Box::new(entry.clone()))
    );
    // And a destination that was changed is put right again.
    bench.store.materialize(&entry, &dest).unwrap();
    assert_eq!(snapshot(&dest), snapshot(&bench.build()));
}

/// Changes bytes behind the same size and time, as a disk does.
fn rot(path: &Utf8Path) {
    let metadata = std::fs::metadata(path).unwrap();
    let mut bytes = fs::read(path).unwrap();
    bytes[0] ^= 1;
    set_mode(path, 0o644);
    std::fs::write(path, bytes).unwrap();
    let file = Handle::options().write(true).open(path).unwrap();
    file.set_modified(metadata.modified().unwrap()).unwrap();
    set_mode(path, metadata.mode() & 0o777);
}

#[test]
fn what_has_rotted_behind_its_time_is_not_given_out() {
    for name in [
        "boot/vmlinuz-6.12.117",
        "lib/modules/6.12.117/kernel/a b/ü.ko",
    ] {
        let bench = Bench::new();
        let entry = bench.publish(RELEASE);
        rot(&bench.stored(&format!("files/{name}")));
        // A quick look believes it.
        let found = bench.store.find(RELEASE, Check::Quick).unwrap();
        assert_eq!(what(found), format!("hit {RELEASE}"));
        let dest = bench.root.join("dest");
        let error = bench.store.materialize(&entry, &dest).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("the store entry {RELEASE} is damaged: {name} has other content")
        );
        assert!(!dest.join(name).exists());
        assert!(bench.store.repair(RELEASE).unwrap());
        assert_eq!(
            bench.store.find(RELEASE, Check::Full).unwrap(),
            Lookup::Miss
        );
        assert!(!bench.store.repair(RELEASE).unwrap());
    }
}

#[test]
fn permissions_do_not_depend_on_who_published() {
    let mut entries = Vec::new();
    for (image, config) in [(0o755, 0o644), (0o700, 0o600), (0o775, 0o666)] {
        let bench = Bench::new();
        let dir = bench.build();
        set_mode(&dir.join("boot/vmlinuz-6.12.117"), image);
        set_mode(&dir.join("boot/config-6.12.117"), config);
        let entry = bench.store.publish(RELEASE, &dir, b"{}").unwrap();
        let dest = bench.root.join("dest");
        bench.store.materialize(&entry, &dest).unwrap();
        entries.push(snapshot(&dest));
    }
    assert!(
        entries.iter().all(|entry| *entry == entries[0]),
        "{entries:?}"
    );
}

#[test]
fn damage_is_noticed_and_replaced() {
    let image = "files/boot/vmlinuz-6.12.117";
    type Harm = fn(&Utf8Path);
    let rows: [(&str, Harm, Check, &str); 9] = [
        (
            image,
            |path| fs::remove_file(path).unwrap(),
            Check::Quick,
            "boot/vmlinuz-6.12.117 is missing",
        ),
        (
            image,
            |path| fs::write_atomic(path, b"im").unwrap(),
            Check::Quick,
            "boot/vmlinuz-6.12.117 has 2 bytes and not 5",
        ),
        (
            image,
            |path| fs::write_atomic(path, b"IMAGE").unwrap(),
            Check::Quick,
            "boot/vmlinuz-6.12.117 has other content",
        ),
        (
            image,
            |path| {
                let time = std::fs::metadata(path).unwrap().modified().unwrap();
                fs::write_atomic(path, b"IMAGE").unwrap();
                let file = Handle::options().write(true).open(path).unwrap();
                file.set_modified(time).unwrap();
            },
            Check::Full,
            "boot/vmlinuz-6.12.117 has other content",
        ),
        (
            "files/lib",
            |path| fs::remove_dir_all(path).unwrap(),
            Check::Quick,
            "lib is missing",
        ),
        (
            "files/lib/modules/6.12.117/source",
            |path| {
                fs::remove_file(path).unwrap();
                symlink("/elsewhere", path).unwrap();
            },
            Check::Quick,
            "lib/modules/6.12.117/source points to /elsewhere and not to /nowhere",
        ),
        (
            "entry.json",
            |path| fs::remove_file(path).unwrap(),
            Check::Quick,
            "entry.json is missing",
        ),
        (
            "entry.json",
            |path| fs::write_atomic(path, b"").unwrap(),
            Check::Quick,
            "entry.json cannot be understood (EOF while parsing a value at line 1 column 0)",
        ),
        (
            "",
            |path| {
                fs::remove_dir_all(path).unwrap();
                fs::write_atomic(path, b"").unwrap();
            },
            Check::Quick,
            "miss",
        ),
    ];
    for (path, harm, check, expected) in rows {
        let bench = Bench::new();
        bench.publish(RELEASE);
        harm(bench.stored(path).as_str().trim_end_matches('/').into());
        assert_eq!(what(bench.store.find(RELEASE, check).unwrap()), expected);
        if check == Check::Quick {
            bench.publish(RELEASE);
            assert_eq!(
                what(bench.store.find(RELEASE, Check::Full).unwrap()),
                format!("hit {RELEASE}"),
                "after: {expected}"
            );
            assert_eq!(bench.names_in_store(), [RELEASE]);
        }
    }
}

#[test]
fn a_store_copied_without_its_times_is_sound() {
    let bench = Bench::new();
    bench.publish(RELEASE);
    touch(&bench.stored("files/boot/vmlinuz-6.12.117"), UNIX_EPOCH).unwrap();
    let found = bench.store.find(RELEASE, Check::Quick).unwrap();
    assert_eq!(what(found), format!("hit {RELEASE}"));
}

#[test]
fn an_entry_of_a_newer_kernelkit_is_left_alone() {
    let bench = Bench::new();
    bench.publish(RELEASE);
    let newer = br#"{"schema":3,"everything":"different"}"#;
    fs::write_atomic(bench.stored(RECORD), newer).unwrap();
    assert_eq!(
        what(bench.store.find(RELEASE, Check::Full).unwrap()),
        "newer 3"
    );
    let error = bench
        .store
        .publish(RELEASE, &bench.build(), b"{}")
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("the store entry {RELEASE} has schema 3; this version knows up to 2")
    );
    assert!(error.hint().unwrap().contains("update"));
    let limits = Prune {
        keep: Some(0),
        ..Prune::default()
    };
    assert_eq!(bench.store.prune(&limits, false).unwrap(), []);
    assert_eq!(fs::read(bench.stored(RECORD)).unwrap(), newer);
}

fn identity(label: &str) -> Identity {
    Identity {
        release: format!("6.12.117-{label}"),
        trust: Vec::new(),
        source: TreeId::from_bytes([1; 20]),
        config: Sha256::of(b""),
        toolchain: "gcc".to_owned(),
        flags: Vec::new(),
    }
}

#[test]
fn a_release_names_one_identity_even_after_its_entry_is_gone() {
    let bench = Bench::new();
    let store = &bench.store;
    assert_eq!(store.registered("6.12.117-el8").unwrap(), None);
    let (one, other) = (
        identity("el8"),
        Identity {
            toolchain: "clang".to_owned(),
            ..identity("el8")
        },
    );
    store.register("tiny", "6.12.117-el8", &one).unwrap();
    store.register("again", "6.12.117-el8", &one).unwrap();
    bench.publish("6.12.117-el8");
    store.forget("*").unwrap();
    store
        .prune(
            &Prune {
                keep: Some(0),
                ..Prune::default()
            },
            false,
        )
        .unwrap();
    let error = store.register("vm", "6.12.117-el8", &other).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the release 6.12.117-el8 is taken: it names the identity {} of `tiny`, and `vm` has the identity {}; they differ in toolchain",
            one.digest(),
            other.digest()
        )
    );
    let hint = error.hint().unwrap();
    for way in ["{build}", "{digest}", "--unstored"] {
        assert!(hint.contains(way), "{hint}");
    }
    store.register("vm", "6.12.117-el9", &other).unwrap();
    assert_eq!(store.list().unwrap(), []);
    // Of the same kernel there is one name in it.
    let error = store.register("tiny", "6.12.117-el8", &other).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the release 6.12.117-el8 is taken: it names the identity {} of an earlier build of `tiny`, which is {} now: toolchain changed",
            one.digest(),
            other.digest()
        )
    );
}

#[test]
fn the_register_is_listed_and_a_release_is_freed_on_purpose() {
    let bench = Bench::new();
    let store = &bench.store;
    assert_eq!(store.releases().unwrap(), []);
    let (one, other) = (identity("el8"), identity("other"));
    store.register("tiny", "6.12.117-el8", &one).unwrap();
    bench.publish("6.12.117-el8");
    store.register("vm", "6.12.117-el9", &other).unwrap();
    fs::write_atomic(bench.root.join("store/.releases/6.12.117-broken"), b"{").unwrap();
    let rows = || -> Vec<(String, Option<String>, bool)> {
        let known = store.releases().unwrap().into_iter();
        known
            .map(|one| {
                let kernel = one.registered.map(|registered| registered.kernel);
                (one.release, kernel, one.is_stored)
            })
            .collect()
    };
    let row = |release: &str, kernel: Option<&str>, is_stored| {
        (release.to_owned(), kernel.map(str::to_owned), is_stored)
    };
    let (broken, el9) = (
        row("6.12.117-broken", None, false),
        row("6.12.117-el9", Some("vm"), false),
    );
    let stored = row("6.12.117-el8", Some("tiny"), true);
    assert_eq!(rows(), [broken.clone(), stored, el9.clone()]);
    store.forget("*").unwrap();
    let taken = row("6.12.117-el8", Some("tiny"), false);
    assert_eq!(rows(), [broken, taken, el9.clone()]);

    store.register("vm", "6.12.117-el8", &other).unwrap_err();
    for (release, known) in [
        ("6.12.117-el8", true),
        ("6.12.117-el8", false),
        ("6.12.117-broken", true),
    ] {
        assert_eq!(store.free(release).unwrap(), known, "{release}");
    }
    assert_eq!(rows(), [el9]);
    store.register("vm", "6.12.117-el8", &other).unwrap();
    // What is stored goes, too, for it says what its release names.
    bench.publish("6.12.117-el8");
    assert!(store.free("6.12.117-el8").unwrap());
    assert_eq!(store.list().unwrap(), []);
    store.register("tiny", "6.12.117-el8", &one).unwrap();
    for name in ["", "..", "a/b", ".releases"] {
        assert!(matches!(store.free(name), Err(Error::Name(_))), "{name}");
    }
    // Whatever is where a line belongs is neither waited for nor followed.
    let place = bench.root.join("store/.releases/6.12.117-link");
    symlink("../../elsewhere", &place).unwrap();
    let error = store.register("vm", "6.12.117-link", &other).unwrap_err();
    assert!(matches!(error, Error::RegisterPlace { .. }), "{error}");
    assert!(error.hint().unwrap().contains("--release 6.12.117-link"));
    assert!(store.free("6.12.117-link").unwrap());
    store.register("vm", "6.12.117-link", &other).unwrap();
}

#[test]
fn a_release_with_its_digest_in_it_is_nobody_elses() {
    let registered = |label: &str| Registered::new("tiny", "6.12.117", &identity(label), 1);
    assert!(!registered("tiny-{digest}").is_exclusive());
    assert!(registered("1000.el8").is_exclusive());
}

#[test]
fn of_two_that_register_a_release_at_once_one_has_it() {
    let bench = Bench::new();
    let identities = ["a", "b", "c", "d", "e", "f"].map(|toolchain| Identity {
        toolchain: toolchain.to_owned(),
        ..identity("x")
    });
    let won: Vec<bool> = std::thread::scope(|scope| {
        let threads: Vec<_> = identities
            .iter()
            .map(|identity| scope.spawn(|| bench.store.register("k", "6.12-x", identity).is_ok()))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    let standing = bench.store.registered("6.12-x").unwrap().unwrap();
    let winner = won.iter().position(|won| *won).unwrap();
    assert_eq!(standing.identity, identities[winner]);
}

#[test]
fn a_line_of_the_register_that_cannot_be_read_names_no_identity_by_accident() {
    let bench = Bench::new();
    bench
        .store
        .register("tiny", "6.12-x", &identity("x"))
        .unwrap();
    let line = bench.root.join("store/.releases/6.12-x");
    fs::write_atomic(&line, b"{\"schema\":").unwrap();
    let error = bench
        .store
        .register("tiny", "6.12-x", &identity("x"))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{line}, which says what this release names, cannot be understood")
    );
    assert_eq!(fs::read(&line).unwrap(), b"{\"schema\":");
    for name in ["", "..", "a/b"] {
        let error = bench
            .store
            .register("tiny", name, &identity("x"))
            .unwrap_err();
        assert!(matches!(error, Error::Name(_)), "{name}");
    }
}

#[test]
fn publishers_of_one_release_agree_on_one_entry() {
    let bench = Bench::new();
    let dir = bench.build();
    let entries: Vec<Entry> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| bench.store.publish(RELEASE, &dir, b"{}").unwrap()))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let Lookup::Hit(standing) = bench.store.find(RELEASE, Check::Full).unwrap() else {
        panic!("no entry")
    };
    for entry in entries {
        assert_eq!(entry, *standing);
    }
    assert_eq!(bench.names_in_store(), [RELEASE]);
}

#[test]
fn what_a_killed_run_left_is_cleaned_and_what_a_running_one_holds_is_not() {
    let bench = Bench::new();
    let root = bench.root.join("store");
    fs::write_atomic(root.join(".tmp-killed/new/files/boot/vmlinuz"), b"half").unwrap();
    fs::write_atomic(root.join("notes.txt"), b"the user's").unwrap();
    fs::write_atomic(root.join("not-ours/file"), b"the user's").unwrap();
    let running = Temporary::new(&root).unwrap();
    bench.publish(RELEASE);
    let running_name = running.path.file_name().unwrap();
    assert_eq!(
        bench.names_in_store(),
        [running_name, RELEASE, "not-ours", "notes.txt"]
    );
    let listed = bench.store.list().unwrap();
    assert_eq!(listed.len(), 1, "only what is ours is listed");
    drop(running);
    assert_eq!(bench.store.forget("*").unwrap(), listed);
    assert_eq!(bench.names_in_store(), ["not-ours", "notes.txt"]);
}

#[test]
fn a_failed_publication_leaves_nothing() {
    let bench = Bench::new();
    let dir = bench.build();
    let _socket = std::os::unix::net::UnixListener::bind(dir.join("lib/socket")).unwrap();
    let error = bench.store.publish(RELEASE, &dir, b"{}").unwrap_err();
    assert!(matches!(error, Error::Special { path } if path.ends_with("lib/socket")));
    let error = bench.store.publish(RELEASE, &dir, b"{").unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("the manifest of {RELEASE} is not JSON")
    );
    for name in ["", "..", ".tmp-x", "a/b"] {
        let error = bench.store.publish(name, &dir, b"{}").unwrap_err();
        assert!(matches!(error, Error::Name(_)), "{name}");
    }
    assert_eq!(bench.names_in_store(), [""; 0]);
    let nowhere = HostStore::new("/proc/nowhere");
    let error = nowhere.publish(RELEASE, &dir, b"{}").unwrap_err();
    assert_eq!(error.to_string(), "cannot create directory /proc/nowhere");
    assert_eq!(nowhere.list().unwrap(), []);
}

#[test]
fn a_hit_is_a_use_and_leaves_the_record_as_it_is() {
    let bench = Bench::new();
    bench.publish(RELEASE);
    touch(
        &bench.stored(LAST_USED),
        UNIX_EPOCH + Duration::from_secs(7),
    )
    .unwrap();
    let record = std::fs::metadata(bench.stored(RECORD)).unwrap();
    assert_eq!(bench.store.list().unwrap()[0].last_used, 7);
    bench.store.find(RELEASE, Check::Quick).unwrap();
    let listed = bench.store.list().unwrap();
    assert!(listed[0].last_used >= listed[0].created);
    assert_eq!(listed[0].size, 11);
    let after = std::fs::metadata(bench.stored(RECORD)).unwrap();
    assert_eq!(
        (record.ino(), nanoseconds(&record)),
        (after.ino(), nanoseconds(&after))
    );
}

#[test]
fn pruning_and_forgetting_take_what_they_say() {
    let bench = Bench::new();
    let releases = [
        "6.1-a-000000000001",
        "6.1-b-000000000002",
        "6.12-a-000000000003",
    ];
    for (index, release) in releases.iter().enumerate() {
        bench.publish(release);
        let used = UNIX_EPOCH + Duration::from_secs(index as u64);
        touch(&bench.store.entry_dir(release).join(LAST_USED), used).unwrap();
    }
    let limits = Prune {
        keep: Some(2),
        ..Prune::default()
    };
    let gone = |summaries: Vec<Summary>| -> Vec<String> {
        summaries.into_iter().map(|entry| entry.release).collect()
    };
    assert_eq!(
        gone(bench.store.prune(&limits, true).unwrap()),
        releases[..1]
    );
    assert_eq!(bench.names_in_store(), releases);
    assert_eq!(
        gone(bench.store.prune(&limits, false).unwrap()),
        releases[..1]
    );
    assert_eq!(bench.names_in_store(), releases[1..]);
    assert_eq!(gone(bench.store.forget("6.13*").unwrap()), [""; 0]);
    assert_eq!(
        gone(bench.store.forget("000000000003").unwrap()),
        releases[2..]
    );
    assert_eq!(gone(bench.store.forget("6.1-*").unwrap()), releases[1..2]);
    assert!(bench.store.forget("[").unwrap_err().hint().is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn publishing_and_materializing_is_the_identity(
        files in prop::collection::btree_map(
            prop::collection::vec("[a-c]", 1..4),
            (prop::collection::vec(any::<u8>(), 0..32), prop::sample::select(vec![0o644u32, 0o600, 0o755, 0o444])),
            0..8,
        ),
    ) {
        let bench = Bench::new();
        let dir = bench.root.join("build");
        fs::create_dir_all(&dir).unwrap();
        for (path, (content, mode)) in &files {
            let path = dir.join(path.join("/") + "/file");
            fs::write_atomic(&path, content).unwrap();
            set_mode(&path, *mode);
        }
        let entry = bench.store.publish(RELEASE, &dir, b"{}").unwrap();
        let found = bench.store.find(RELEASE, Check::Full).unwrap();
        prop_assert_eq!(found, Lookup::Hit(Box::new(entry.clone())));
        let dest = bench.root.join("dest");
        bench.store.materialize(&entry, &dest).unwrap();
        fs::usual_modes(&dir).unwrap();
        prop_assert_eq!(snapshot(&dest), snapshot(&dir));
    }
}

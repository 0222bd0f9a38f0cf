use std::fs;
use std::io::Write as _;
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use kernelkit::effect::source::{ArchiveError, Error, LabelHint, Verification, verify};
use kernelkit::source::{Sha256, Source};
use tar::{EntryType, Header};

use crate::world::{World, commit_all, directory, oracle, run, tarball, write};

/// A tar of `dir` with one top directory, as kernel.org's are.
pub(crate) fn tar_of(dir: &Utf8Path) -> Vec<u8> {
    let parent = dir.parent().unwrap();
    let file = parent.join("of.tar");
    let name = dir.file_name().unwrap();
    run(
        parent,
        "tar",
        &[
            "--sort=name",
            "--mtime=@1600000000",
            "-cf",
            file.as_str(),
            name,
        ],
    );
    fs::read(file).unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zst(bytes: &[u8]) -> Vec<u8> {
    // The command line tool adds a checksum, which is what notices a cut end.
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn plain(bytes: &[u8]) -> Vec<u8> {
    bytes.to_vec()
}

type Compress = fn(&[u8]) -> Vec<u8>;
const COMPRESSIONS: [(&str, Compress); 4] =
    [("xz", xz), ("gz", gz), ("zst", zst), ("plain", plain)];

#[test]
fn a_tarball_has_the_id_of_a_checkout() {
    for (name, compress) in COMPRESSIONS {
        let world = World::new();
        let dir = world.kernel("linux-6.12.117");
        let file = world.root.join("linux-6.12.117.tar.any");
        fs::write(&file, compress(&tar_of(&dir))).unwrap();
        let tree = world.prepare(&tarball(&file)).unwrap();
        assert_eq!(tree.id, oracle(&dir, &["--force"]), "{name}");
        assert_eq!(tree.id, world.prepare(&directory(&tree.dir)).unwrap().id);
        assert_eq!(tree.label, LabelHint::Vanilla);
        assert_eq!(tree.verification, Verification::Unverified);
        assert!(tree.pinned);
        let modified = fs::metadata(tree.dir.join("kernel/fork.c"))
            .unwrap()
            .modified()
            .unwrap();
        assert_eq!(
            modified,
            SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000)
        );
        // What it was resolved to gives the same again, from the cache.
        let (again, seen) = world.watch(&tree.resolved, &[]);
        assert_eq!((again.unwrap().dir, seen.unpacked), (tree.dir, false));
    }
}

#[test]
fn an_archive_cut_anywhere_is_refused_and_leaves_nothing() {
    for (name, compress) in COMPRESSIONS {
        let world = World::new();
        let whole = compress(&tar_of(&world.kernel("linux")));
        let file = world.root.join("linux.tar");
        // The padding after a plain tar's end mark may be missing: tar itself does not mind.
        let end = if name == "plain" {
            whole.len() - whole.iter().rev().take_while(|byte| **byte == 0).count()
        } else {
            whole.len()
        };
        for cut in (0..16).map(|part| end * part / 16).chain([end - 1]) {
            fs::write(&file, &whole[..cut]).unwrap();
            let error = world.prepare(&tarball(&file)).unwrap_err();
            assert!(
                matches!(error, Error::Archive(ArchiveError::Damaged { .. })),
                "{name} {cut}: {error}"
            );
            assert_eq!(world.leftovers(), [""; 0], "{name} {cut}");
        }
    }
}

#[test]
fn a_flipped_byte_is_refused() {
    for (name, compress) in &COMPRESSIONS[..3] {
        let world = World::new();
        let mut bytes = compress(&tar_of(&world.kernel("linux")));
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        let file = world.root.join("linux.tar");
        fs::write(&file, bytes).unwrap();
        let error = world.prepare(&tarball(&file)).unwrap_err();
        assert!(matches!(error, Error::Archive(_)), "{name}: {error}");
        assert_eq!(world.leftovers(), [""; 0], "{name}");
    }
}

#[test]
fn the_hash_is_checked_before_anything_is_unpacked() {
    let world = World::new();
    let file = world.root.join("linux.tar");
    let bytes = tar_of(&world.kernel("linux"));
    fs::write(&file, &bytes).unwrap();
    let source = |sha256| Source::Tarball {
        location: file.to_string(),
        sha256: Some(sha256),
    };
    let (error, seen) = world.watch(&source(Sha256::of(b"")), &[]);
    assert!(matches!(error.unwrap_err(), Error::Hash { .. }));
    assert!(!seen.unpacked && world.leftovers().is_empty());
    let tree = world.prepare(&source(Sha256::of(&bytes))).unwrap();
    assert_eq!(tree.verification, Verification::Sha256Pinned);
}

#[test]
fn a_changed_tarball_is_hashed_again() {
    let mut world = World::new();
    world.ahead = Duration::from_secs(3600);
    let dir = world.kernel("linux");
    let file = world.root.join("linux.tar");
    fs::write(&file, tar_of(&dir)).unwrap();
    let before = world.prepare(&tarball(&file)).unwrap();
    write(&dir, "a.c", "c.a");
    fs::write(&file, tar_of(&dir)).unwrap();
    let after = world.prepare(&tarball(&file)).unwrap();
    assert_ne!(before.id, after.id);
    assert_eq!(after.id, oracle(&dir, &["--force"]));
}

/// One member of a hostile archive: type, name, link target.
type Member = (EntryType, &'static [u8], &'static [u8]);

fn hostile(members: &[Member]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let makefile = (EntryType::Regular, &b"linux/Makefile"[..], &b""[..]);
    for (kind, name, target) in [&[makefile], members].concat() {
        let mut header = Header::new_gnu();
        // The tar crate would refuse such names.
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target);
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_size(0);
        header.set_cksum();
        bytes.extend_from_slice(header.as_bytes());
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

#[test]
fn members_that_leave_the_tree_are_refused() {
    use EntryType as T;
    let rows: [(&str, &[Member]); 17] = [
        ("leaves the tree", &[(T::Regular, b"linux/../../evil", b"")]),
        ("leaves the tree", &[(T::Regular, b"../evil", b"")]),
        ("leaves the tree", &[(T::Directory, b"linux/../..", b"")]),
        ("absolute path", &[(T::Regular, b"/tmp/evil", b"")]),
        ("one top directory", &[(T::Regular, b"other/evil", b"")]),
        ("one top directory", &[(T::Regular, b"linux", b"")]),
        (
            "links out of the tree",
            &[(T::Symlink, b"linux/l", b"/etc")],
        ),
        (
            "links out of the tree",
            &[(T::Symlink, b"linux/l", b"../evil")],
        ),
        (
            "links out of the tree",
            &[(T::Symlink, b"linux/a/l", b"../../evil")],
        ),
        (
            "links out of the tree",
            &[(T::Symlink, b"linux/l", b"a/../../evil")],
        ),
        (
            "meets another member",
            &[
                (T::Symlink, b"linux/l", b"a"),
                (T::Regular, b"linux/l/evil", b""),
            ],
        ),
        (
            "meets another member",
            &[
                (T::Symlink, b"linux/l", b"Makefile"),
                (T::Regular, b"linux/l", b""),
            ],
        ),
        (
            "meets another member",
            &[(T::Regular, b"linux/Makefile/evil", b"")],
        ),
        (
            "leaves the tree",
            &[(T::Link, b"linux/l", b"../../etc/passwd")],
        ),
        (
            "hard link to nothing",
            &[(T::Link, b"linux/l", b"linux/none")],
        ),
        ("device", &[(T::Block, b"linux/sda", b"")]),
        ("device", &[(T::Fifo, b"linux/pipe", b"")]),
    ];
    for (reason, members) in rows {
        let world = World::new();
        let file = world.root.join("linux.tar");
        fs::write(&file, hostile(members)).unwrap();
        let error = world.prepare(&tarball(&file)).unwrap_err();
        assert!(
            error.to_string().contains(reason),
            "{error} is not {reason}"
        );
        assert_eq!(world.leftovers(), [""; 0], "{reason}");
        assert!(!world.root.join("evil").exists());
    }
}

#[test]
fn gits_own_files_are_not_unpacked() {
    let world = World::new();
    let dir = world.kernel("linux");
    let id = oracle(&dir, &["--force"]);
    commit_all(&dir);
    let file = world.root.join("linux.tar");
    fs::write(&file, tar_of(&dir)).unwrap();
    let tree = world.prepare(&tarball(&file)).unwrap();
    assert!(tree.id == id && !tree.dir.join(".git").exists());
}

#[test]
fn hard_links_inside_the_tree_are_files() {
    let world = World::new();
    let dir = world.kernel("linux");
    fs::hard_link(dir.join("a.c"), dir.join("z.c")).unwrap();
    let file = world.root.join("linux.tar");
    fs::write(&file, tar_of(&dir)).unwrap();
    assert_eq!(
        world.prepare(&tarball(&file)).unwrap().id,
        oracle(&dir, &["--force"])
    );
}

#[test]
fn what_is_no_kernel_archive_is_refused() {
    let check = |bytes: &[u8], says: &str| {
        let world = World::new();
        let file = world.root.join("linux.tar");
        fs::write(&file, bytes).unwrap();
        let error = world.prepare(&tarball(&file)).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
        assert!(error.hint().is_some());
        assert_eq!(world.leftovers(), [""; 0]);
    };
    check(&hostile(&[]), "is not a kernel tree: it has no Kconfig");
    check(b"BZh9", "is compressed with bzip2");
    check(b"hello", "is damaged or incomplete");
    let world = World::new();
    let error = world.prepare(&tarball("/no/such.tar")).unwrap_err();
    assert_eq!(error.to_string(), "cannot read /no/such.tar");
}

fn unpacked(world: &World) -> (Utf8PathBuf, Source) {
    let file = world.root.join("linux.tar");
    fs::write(&file, tar_of(&world.kernel("linux"))).unwrap();
    let source = tarball(&file);
    (world.prepare(&source).unwrap().dir, source)
}

#[test]
fn a_damaged_tree_is_made_again() {
    let damages: [fn(&Utf8Path); 4] = [
        |dir| write(dir, "kernel/new.c", "x"),
        |dir| fs::remove_file(dir.join("kernel/fork.c")).unwrap(),
        |dir| {
            write(dir, "t", "x");
            fs::rename(dir.join("t"), dir.join("a.c")).unwrap();
        },
        |dir| fs::remove_dir_all(dir).unwrap(),
    ];
    for damage in damages {
        let world = World::new();
        let (dir, source) = unpacked(&world);
        damage(&dir);
        let (tree, seen) = world.watch(&source, &[]);
        let tree = tree.unwrap();
        assert!(seen.unpacked);
        assert_eq!(world.prepare(&directory(&tree.dir)).unwrap().id, tree.id);
    }
}

#[test]
fn a_file_written_to_in_place_is_found_when_asked_for() {
    let world = World::new();
    let (_, source) = unpacked(&world);
    let tree = world.prepare(&source).unwrap();
    verify(&tree, &world.context()).unwrap();
    fs::write(tree.dir.join("a.c"), "c.a").unwrap();
    let error = verify(&tree, &world.context()).unwrap_err();
    assert!(error.to_string().contains("a.c was changed"), "{error}");
    let tree = world.prepare(&source).unwrap();
    verify(&tree, &world.context()).unwrap();
}

#[test]
fn what_a_killed_run_left_is_removed() {
    let world = World::new();
    let trees = world.environment.cache_dir.join("tree");
    write(&trees, ".tmp-sha256-dead/part", "x");
    write(&trees, "sha256-dead.lock", "");
    // The tree itself may be there without the record that is written last.
    let (dir, source) = unpacked(&world);
    assert!(!trees.join(".tmp-sha256-dead").exists());
    for entry in trees.read_dir_utf8().unwrap() {
        let path = entry.unwrap().into_path();
        if path.extension() == Some("json") {
            fs::remove_file(path).unwrap();
        }
    }
    let (tree, seen) = world.watch(&source, &[]);
    assert_eq!((tree.unwrap().dir, seen.unpacked), (dir, true));
}

#[test]
fn two_at_once_unpack_once() {
    let world = World::new();
    let file = world.root.join("linux.tar");
    fs::write(&file, tar_of(&world.kernel("linux"))).unwrap();
    let source = tarball(&file);
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| world.watch(&source, &[])))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let unpacked = results.iter().filter(|(_, seen)| seen.unpacked).count();
    assert_eq!(unpacked, 1);
    let ids: Vec<_> = results
        .into_iter()
        .map(|(tree, _)| tree.unwrap().id)
        .collect();
    assert!(ids.iter().all(|id| *id == ids[0]));
}

/// In a mount namespace of its own, with a cache on a file system of one megabyte.
#[test]
fn a_full_disk_is_said_and_leaves_nothing() {
    const INNER: &str = "KERNELKIT_TEST_FULL_DISK";
    if let Ok(cache) = std::env::var(INNER) {
        let mut world = World::new();
        world.environment.cache_dir = cache.into();
        let dir = world.kernel("linux");
        for number in 0..40 {
            write(&dir, &format!("big/{number}"), &"x".repeat(100_000));
        }
        let file = world.root.join("linux.tar.xz");
        fs::write(&file, xz(&tar_of(&dir))).unwrap();
        let error = world.prepare(&tarball(&file)).unwrap_err();
        assert!(error.hint().unwrap().contains("is full"), "{error}");
        assert_eq!(world.leftovers(), [""; 0]);
        return;
    }
    let world = World::new();
    let cache = world.root.join("small");
    fs::create_dir(&cache).unwrap();
    let script = "mount -t tmpfs -o size=1m tmpfs \"$1\" && exec \"$2\" --exact \"$3\"";
    let output = std::process::Command::new("unshare")
        .args([
            "--mount",
            "--map-root-user",
            "sh",
            "-c",
            script,
            "sh",
            cache.as_str(),
        ])
        .arg(std::env::current_exe().unwrap())
        .arg("archive::a_full_disk_is_said_and_leaves_nothing")
        .env(INNER, &cache)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}{errors}"
    );
}

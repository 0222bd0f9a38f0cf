use super::*;
use crate::source::snapshot::Stamp;
use crate::source::tree::BlobId;

fn file(content: &str, inode: u64) -> (Stamp, Option<BlobId>) {
    let time = Time {
        seconds: 1_000_000_000,
        nanoseconds: 5,
    };
    let stamp = Stamp {
        kind: Kind::Regular,
        size: content.len() as u64,
        modified: time,
        changed: time,
        inode,
    };
    (stamp, Some(BlobId::of(content.as_bytes())))
}

pub(in crate::effect) fn stamp() -> Stamp {
    file("", 1).0
}

fn snapshot(files: &[(&str, &str, u64)]) -> Snapshot {
    Snapshot::from_files(files.iter().map(|(path, content, inode)| {
        let (stamp, blob) = file(content, *inode);
        (path.as_bytes(), stamp, blob)
    }))
}

struct Build {
    _guard: tempfile::TempDir,
    dirs: Dirs,
}

/// A build directory with the `.cmd` files of these objects.
fn build(objects: &[(&str, &[&str])]) -> Build {
    let guard = tempfile::tempdir().unwrap();
    let root = Utf8PathBuf::from_path_buf(guard.path().canonicalize().unwrap()).unwrap();
    let source = root.join("linux");
    fs::create_dir_all(&source).unwrap();
    let dirs = Dirs::new(&source, &root.join("state"));
    for (object, files) in objects {
        let object = dirs.build.join(object);
        let name = object.file_name().unwrap();
        let files: Vec<_> = files
            .iter()
            .map(|file| format!("  {source}/{file} \\\n"))
            .collect();
        let text = format!(
            "savedcmd_x := gcc\n\nsource_x := {source}/main.c\n\ndeps_x := \\\n{}\n",
            files.concat()
        );
        fs::write_atomic(
            object.with_file_name(format!(".{name}.cmd")),
            text.as_bytes(),
        )
        .unwrap();
        fs::write_atomic(&object, b"").unwrap();
    }
    Build {
        _guard: guard,
        dirs,
    }
}

fn record(state: State, files: Snapshot) -> Record {
    Record { state, files }
}

#[test]
fn of_a_finished_build_content_counts_and_of_another_every_time() {
    let before = [("a.c", "a", 1), ("b.c", "b", 2)];
    // Copied over: another inode.
    let copied = [("a.c", "a", 7), ("b.c", "b", 2)];
    let edited = [("a.c", "x", 1), ("b.c", "b", 2)];
    let rows = [
        (State::Finished, &copied, 0),
        (State::Finished, &edited, 1),
        (State::Building, &before, 0),
        (State::Building, &copied, 1),
        (State::Building, &edited, 1),
    ];
    for (state, now, expected) in rows {
        let changes = changed(&record(state, snapshot(&before)), &snapshot(now));
        assert_eq!(changes.files.len(), expected, "{state:?} {now:?}");
    }
}

#[test]
fn objects_go_by_the_files_that_they_name() {
    let build = build(&[
        ("kernel/one.o", &["include/one.h", "include/both.h"]),
        ("kernel/two.o", &["include/two.h", "include/both.h"]),
    ]);
    let all = [
        ("Kconfig", "k", 1),
        ("Makefile", "m", 2),
        ("include/both.h", "b", 3),
        ("include/one.h", "1", 4),
        ("include/two.h", "2", 5),
        ("kernel/unused.c", "u", 6),
        ("scripts/run.sh", "s", 7),
        ("tools/objtool/check.c", "o", 8),
        ("tools/perf/perf.c", "p", 9),
    ];
    let stale_of = |path: &str, since: Option<u64>| {
        let now: Vec<_> = all
            .iter()
            .map(|(file, content, inode)| match *file == path {
                true => (*file, "changed", *inode),
                false => (*file, *content, *inode),
            })
            .collect();
        let now = snapshot(&now);
        let changes = changed(&record(State::Finished, snapshot(&all)), &now);
        let since =
            since.map(|seconds| SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds));
        match stale(&build.dirs, &now, &changes, since).unwrap() {
            Stale::Nothing => "nothing".to_owned(),
            Stale::Objects(objects) => objects
                .iter()
                .map(|one| format!("{} ", one.object))
                .collect(),
            Stale::Everything(file) => format!("everything by {file}"),
        }
    };
    // Compiled before and after the time of the files.
    let (before, after) = (Some(999_999_999), Some(2_000_000_000));
    let rows = [
        ("include/one.h", after, "kernel/one.o "),
        ("include/both.h", before, "kernel/one.o kernel/two.o "),
        ("kernel/unused.c", after, "nothing"),
        ("Makefile", after, "nothing"),
        ("Kconfig", after, "nothing"),
        ("scripts/run.sh", before, "nothing"),
        ("scripts/run.sh", after, "everything by scripts/run.sh"),
        ("scripts/run.sh", None, "everything by scripts/run.sh"),
        (
            "tools/objtool/check.c",
            after,
            "everything by tools/objtool/check.c",
        ),
        ("tools/perf/perf.c", after, "nothing"),
    ];
    for (path, since, expected) in rows {
        assert_eq!(stale_of(path, since), expected, "{path} {since:?}");
    }
    assert_eq!(stale_of("nowhere", after), "nothing");
}

#[test]
fn what_is_written_is_what_is_read_and_of_one_source_only() {
    let build = build(&[]);
    let files = snapshot(&[("a.c", "a", 1)]);
    for state in [State::Building, State::Finished] {
        write(&build.dirs, state, &files).unwrap();
        let read_back = read(&build.dirs).unwrap().unwrap();
        assert_eq!((read_back.state(), read_back.files), (state, files.clone()));
    }
    let elsewhere = Dirs {
        source: "/elsewhere".into(),
        ..build.dirs.clone()
    };
    assert!(read(&elsewhere).unwrap().is_none());
    forget(&build.dirs).unwrap();
    assert!(read(&build.dirs).unwrap().is_none());
}

#[test]
fn only_what_the_cache_took_since_is_dropped_from_it() {
    let guard = tempfile::tempdir().unwrap();
    let root = Utf8PathBuf::from_path_buf(guard.path().to_owned()).unwrap();
    let names = ["0/1/oldR", "0/1/newR", "f/newM", "0/stats", "ccache.conf"];
    for name in names {
        fs::write_atomic(root.join(name), b"").unwrap();
    }
    let since = SystemTime::now() - std::time::Duration::from_secs(60);
    let old = std::fs::File::options()
        .write(true)
        .open(root.join("0/1/oldR"))
        .unwrap();
    old.set_modified(since - std::time::Duration::from_secs(60))
        .unwrap();
    assert_eq!(drop_from_ccache(&root, since).unwrap(), 2);
    let left: Vec<_> = names
        .iter()
        .filter(|name| root.join(name).exists())
        .collect();
    assert_eq!(left, [&"0/1/oldR", &"0/stats", &"ccache.conf"]);
    assert_eq!(drop_from_ccache(&root.join("nowhere"), since).unwrap(), 0);
}

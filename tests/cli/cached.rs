//! Trees that builds share, and the records that the cache keeps: damage changes no kernel and fails no build.

use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Command, Stdio};

use camino::{Utf8Path, Utf8PathBuf};

use super::{Said, run, said};
use crate::support::{Sandbox, StandIn, wait_for};

/// A kernel `a` of a stand-in tree in an archive; `settings` go on with its table.
fn packed(settings: &str) -> Sandbox {
    let kernel = format!(
        "[workspace.metadata.kernel.kernels.a]\nsource = \"../linux.tar.gz\"\npreset = \"tiny\"\n{settings}"
    );
    let sandbox = Sandbox::with_kernels(&kernel);
    let tree = StandIn::new(&sandbox, "linux");
    sh(&sandbox, "tar -czf linux.tar.gz linux");
    std::fs::remove_dir_all(tree.dir()).unwrap();
    sandbox
}

/// Runs a shell line in the sandbox; `TREE` there is the cached tree.
fn sh(sandbox: &Sandbox, line: &str) {
    let mut command = Command::new("sh");
    if let Some(tree) = trees(sandbox).first() {
        command.env("TREE", tree);
    }
    let status = command
        .args(["-ec", line])
        .current_dir(sandbox.path(""))
        .status();
    assert!(status.unwrap().success(), "{line}");
}

/// The directories of trees in the cache.
fn trees(sandbox: &Sandbox) -> Vec<Utf8PathBuf> {
    let entries = sandbox.path("cache/tree").read_dir_utf8();
    let paths = entries
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().into_path());
    let mut trees: Vec<_> = paths.filter(|path| path.is_dir()).collect();
    trees.sort();
    trees
}

fn inode(path: impl AsRef<Utf8Path>) -> u64 {
    std::fs::metadata(path.as_ref()).unwrap().ino()
}

/// The images below a project's destination directory, with their names.
fn images(project: &Utf8Path) -> Vec<(String, Vec<u8>)> {
    let boot = project.join("target/kernel/a/destdir/boot");
    let mut images: Vec<_> = boot
        .read_dir_utf8()
        .unwrap()
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.file_name().unwrap().starts_with("vmlinuz-"))
        .map(|path| {
            (
                path.file_name().unwrap().to_owned(),
                std::fs::read(&path).unwrap(),
            )
        })
        .collect();
    images.sort();
    assert_eq!(images.len(), 1);
    images
}

/// Builds afresh; the image must be `expected` where that is known.
fn build(sandbox: &Sandbox, what: &str, expected: Option<&[(String, Vec<u8>)]>) -> Said {
    let target = sandbox.path("project/target/kernel");
    if target.exists() {
        std::fs::remove_dir_all(target).unwrap();
    }
    let said = run(sandbox, &["build", "--no-reuse"]);
    assert_eq!(said.code, 0, "{what}: {}", said.stderr);
    if let Some(expected) = expected {
        let built = images(&sandbox.path("project"));
        assert_eq!(built[0].0, expected[0].0, "{what}");
        assert!(
            built == expected,
            "{what}: {} names two kernels",
            built[0].0
        );
    }
    said
}

#[test]
fn a_tree_is_called_as_people_call_the_kernel() {
    let sandbox = packed("");
    build(&sandbox, "first", None);
    let trees = trees(&sandbox);
    let name = trees[0].file_name().unwrap();
    let id = name.strip_prefix("linux-6.12.117-").expect(name);
    assert!(
        id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{name}"
    );
    // The same files in another archive are the same tree.
    sh(
        &sandbox,
        "mkdir new; tar -C new -xzf linux.tar.gz; tar -C new -cf linux.tar linux; rm linux.tar.gz; sed -i s/linux.tar.gz/linux.tar/ project/Cargo.toml",
    );
    build(&sandbox, "another archive", None);
    assert_eq!(self::trees(&sandbox), trees);
}

/// Every file that the cache keeps records in.
fn records(sandbox: &Sandbox) -> Vec<Utf8PathBuf> {
    let mut records = Vec::new();
    for directory in ["tree", "known", "toolchain", "config", "probes"] {
        let entries = sandbox.path("cache").join(directory).read_dir_utf8();
        let paths = entries
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().into_path());
        records.extend(paths.filter(|path| path.is_file() && path.extension() != Some("lock")));
    }
    records.sort();
    let has = |part: &str| records.iter().any(|path| path.as_str().contains(part));
    for part in [
        ".files",
        ".directories",
        "/tree/sha256-",
        "/toolchain/",
        "/config/",
    ] {
        assert!(has(part), "{part}: {records:?}");
    }
    records
}

/// What becomes of a file's bytes; `None` where it is removed.
type Damage = fn(&[u8]) -> Option<Vec<u8>>;

/// Another digit in the record's id, or somewhere.
fn digit(from: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(from);
    let at = text.find("\"id\": \"").map_or(from.len() / 3, |at| at + 7);
    let mut bytes = from.to_vec();
    bytes[at] = if bytes[at] == b'1' { b'2' } else { b'1' };
    bytes
}

#[test]
fn a_record_that_is_damaged_changes_nothing_and_blocks_nothing() {
    let sandbox = packed("");
    build(&sandbox, "first", None);
    let expected = images(&sandbox.path("project"));
    let damages: [(&str, Damage); 5] = [
        ("a digit", |from| Some(digit(from))),
        ("two bytes in the middle", |from| {
            let mut bytes = from.to_vec();
            let half = bytes.len() / 2;
            bytes[half..]
                .iter_mut()
                .take(2)
                .for_each(|byte| *byte = 0xff);
            Some(bytes)
        }),
        ("cut off", |from| Some(from[..from.len() / 2].to_vec())),
        ("empty", |_| Some(Vec::new())),
        ("gone", |_| None),
    ];
    for (name, damage) in damages {
        let hurt = |paths: &[Utf8PathBuf]| {
            for path in paths {
                match damage(&std::fs::read(path).unwrap()) {
                    Some(bytes) => std::fs::write(path, bytes).unwrap(),
                    None => std::fs::remove_file(path).unwrap(),
                }
            }
        };
        hurt(&records(&sandbox));
        build(&sandbox, &format!("all records, {name}"), Some(&expected));
        // One by one, those that have nothing else to be found out from.
        let of_the_tree = |path: &Utf8PathBuf| {
            path.as_str().contains("/tree/") && matches!(name, "gone" | "a digit")
        };
        for path in records(&sandbox).into_iter().filter(of_the_tree) {
            hurt(std::slice::from_ref(&path));
            build(&sandbox, &format!("{path}, {name}"), Some(&expected));
        }
    }
}

#[test]
fn what_differs_in_a_tree_is_said_and_repaired() {
    let sandbox = packed("");
    build(&sandbox, "first", None);
    let expected = images(&sandbox.path("project"));
    let edit = "sed -i 's/return 2;/return 3;/; s/return 1;/return 4;/' $TREE/kernel/sched.c";
    let in_place = "cp -p $TREE/kernel/sched.c old; sed 's/return 2;/return 3;/; s/return 1;/return 4;/' old > new; cat new > $TREE/kernel/sched.c";
    let rows = [
        (edit.to_owned(), "kernel/sched.c was changed"),
        (in_place.to_owned(), "kernel/sched.c was changed"),
        // With size and time kept.
        (
            format!("{in_place}; touch -r old $TREE/kernel/sched.c"),
            "kernel/sched.c was changed",
        ),
        ("rm $TREE/lib/string.c".to_owned(), "lib/string.c is gone"),
        (
            "echo '#error' > $TREE/include/linux/aaa.h".to_owned(),
            "include/linux/aaa.h was added",
        ),
        ("chmod +x $TREE/Kconfig".to_owned(), "Kconfig was changed"),
        (
            "rm $TREE/lib/string.c; ln -s ../init/main.c $TREE/lib/string.c".to_owned(),
            "lib/string.c was changed",
        ),
        ("rm -r $TREE".to_owned(), "it is gone"),
        (
            "mv $TREE elsewhere; ln -s ../../elsewhere $TREE".to_owned(),
            "it is gone",
        ),
    ];
    for (damage, what) in rows {
        sh(&sandbox, &damage);
        let said = build(&sandbox, &damage, Some(&expected));
        let is_it = |line: &&str| line.contains("is not as it was unpacked");
        let lines: Vec<_> = said.stderr.lines().filter(is_it).collect();
        assert_eq!(lines.len(), 1, "{damage}: {}", said.stderr);
        assert!(
            lines[0].contains(&format!("({what}): it is unpacked again")),
            "{}",
            lines[0]
        );
        assert_eq!(trees(&sandbox).len(), 1, "{damage}");
        std::fs::remove_dir_all(sandbox.path("elsewhere")).ok();
    }
}

#[test]
fn where_only_times_differ_nothing_is_unpacked() {
    let sandbox = packed("");
    build(&sandbox, "first", None);
    let expected = images(&sandbox.path("project"));
    let tree = trees(&sandbox).remove(0);
    let before = [inode(&tree), inode(tree.join("Makefile"))];
    let rows = [
        "touch $TREE/x; rm $TREE/x",
        "mkdir $TREE/kernel/x; rmdir $TREE/kernel/x",
        "touch $TREE/kernel/sched.c",
        "touch -d 2001-01-01 $TREE/include/linux/stand_in.h $TREE/include",
        "mv $TREE/kernel $TREE/k; mv $TREE/k $TREE/kernel",
        "cp -p $TREE/lib/string.c x; mv x $TREE/lib/string.c",
    ];
    for row in rows {
        sh(&sandbox, row);
        let said = build(&sandbox, row, Some(&expected));
        assert!(!said.stderr.contains("unpacked"), "{row}: {}", said.stderr);
        assert_eq!(
            [inode(&tree), inode(tree.join("Makefile"))],
            before,
            "{row}"
        );
    }
}

/// A compiler that is the same whatever [`before_compiling`] has it do first.
fn with_hook(sandbox: &Sandbox) {
    sandbox.tool(
        "gcc",
        "hook=${0%/*}/../hook; test ! -f \"$hook\" || . \"$hook\"\nexec /usr/bin/gcc \"$@\"",
    );
}

/// Has every compile of `file` begin with `line`, where `TREE` is the cached tree; none where that is empty.
fn before_compiling(sandbox: &Sandbox, file: &str, line: &str) {
    if line.is_empty() {
        std::fs::remove_file(sandbox.path("hook")).ok();
        return;
    }
    let tree = trees(sandbox).remove(0);
    let hook = format!(
        "case \" $* \" in *' -c '*{file}*) TREE={tree}; from=$PWD; cd {}\n{line}\ncd \"$from\";; esac\n",
        sandbox.path("")
    );
    sandbox.write("hook.new", &hook);
    std::fs::rename(sandbox.path("hook.new"), sandbox.path("hook")).unwrap();
}

/// Begins a build that waits at `kernel/sched.c` until something is written to `go`.
fn waiting_build(sandbox: &Sandbox) -> Child {
    std::fs::remove_dir_all(sandbox.path("project/target/kernel")).unwrap();
    sh(sandbox, "rm -rf go reached; mkfifo go");
    before_compiling(
        sandbox,
        "kernel/sched.c",
        "if mkdir reached 2>/dev/null; then read line < go; fi",
    );
    let child = sandbox
        .process(&sandbox.path("project"), &["build", "--no-reuse"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("the compile of sched.c", || {
        sandbox.path("reached").exists()
    });
    child
}

#[test]
fn a_tree_that_is_unpacked_again_stays_for_who_builds_from_it() {
    let sandbox = packed("ccache = false\n");
    with_hook(&sandbox);
    build(&sandbox, "first", None);
    let expected = images(&sandbox.path("project"));
    let rows = [
        // Nothing but the time of the directory: nobody unpacks it.
        ("touch $TREE/x; rm $TREE/x", false),
        // Files that nobody compiles.
        ("echo > $TREE/fs/README", true),
        ("echo '# more' >> $TREE/kernel/configs/tiny.config", true),
    ];
    for (line, again) in rows {
        before_compiling(&sandbox, "", "");
        build(&sandbox, line, Some(&expected));
        let child = waiting_build(&sandbox);
        let tree = trees(&sandbox).remove(0);
        let before = inode(&tree);
        sh(&sandbox, line);
        let planned = run(&sandbox, &["plan"]);
        assert_eq!(planned.code, 0, "{line}: {}", planned.stderr);
        assert_eq!(
            planned.stderr.contains("unpacked again"),
            again,
            "{line}: {}",
            planned.stderr
        );
        assert_eq!(inode(&tree) != before, again, "{line}");
        // The one that is built from is still there.
        assert_eq!(trees(&sandbox).len(), if again { 2 } else { 1 }, "{line}");
        sh(&sandbox, "echo > go");
        let said = said(&sandbox, child.wait_with_output().unwrap());
        assert_eq!(said.code, 0, "{line}: {}", said.stderr);
        assert!(images(&sandbox.path("project")) == expected, "{line}");
        assert_eq!(trees(&sandbox), [tree], "{line}");
    }
}

#[test]
fn what_is_damaged_while_it_is_compiled_is_repaired_and_compiled_again() {
    let rows = [
        // The compiler reads another text.
        (
            "kernel/sched.c",
            "sed -i 's/return 2;/return 3;/; s/return 1;/return 4;/' $TREE/kernel/sched.c",
            "kernel/sched.c in the source tree",
        ),
        // In place, with the time kept, and taken back afterwards by nobody.
        (
            "kernel/sched.c",
            "f=$TREE/kernel/sched.c; cp -p $f k; sed 's/return 2;/return 3;/; s/return 1;/return 4;/' k > n; cat n > $f; touch -r k $f",
            "kernel/sched.c in the source tree",
        ),
        // The compiler reads nothing.
        (
            "lib/string.c",
            "rm $TREE/lib/string.c",
            "compile failed, but lib/string.c",
        ),
        ("init/main.c", "rm -r $TREE", "compile failed, but"),
        // A header comes before another.
        (
            "kernel/sched.c",
            "echo '#error another' > $TREE/include/linux/stand_in.h",
            "compile failed, but include/linux/stand_in.h",
        ),
    ];
    for ccache in ["ccache = false\n", ""] {
        let sandbox = packed(ccache);
        with_hook(&sandbox);
        build(&sandbox, "first", None);
        let expected = images(&sandbox.path("project"));
        // ccache reads before the compiler does; the other rows are the same with it.
        let rows = &rows[..if ccache.is_empty() { 2 } else { rows.len() }];
        for (file, line, says) in rows {
            std::fs::remove_dir_all(sandbox.path("cache/ccache")).ok();
            std::fs::remove_dir(sandbox.path("once")).ok();
            before_compiling(&sandbox, "", "");
            before_compiling(
                &sandbox,
                file,
                &format!("if mkdir once 2>/dev/null; then {line}; fi"),
            );
            let said = build(&sandbox, line, Some(&expected));
            assert!(said.stderr.contains(says), "{line}: {}", said.stderr);
            assert!(sandbox.path("once").exists(), "{line}");
            assert_eq!(trees(&sandbox).len(), 1, "{line}");
        }
    }
}

#[test]
fn who_damages_a_tree_each_time_is_blamed_and_not_the_compiler() {
    let sandbox = packed("ccache = false\n");
    with_hook(&sandbox);
    build(&sandbox, "first", None);
    before_compiling(&sandbox, "lib/string.c", "rm $TREE/lib/string.c");
    std::fs::remove_dir_all(sandbox.path("project/target/kernel")).unwrap();
    let said = run(&sandbox, &["build", "--no-reuse"]);
    assert_eq!(said.code, 101, "{}", said.stderr);
    let error = said.stderr.lines().find(|line| line.starts_with("error: "));
    let error = error.unwrap_or_else(|| panic!("{}", said.stderr));
    assert!(
        error.contains("compile failed, but lib/string.c in the source tree"),
        "{error}"
    );
    assert!(
        said.stderr.contains("find out what writes to"),
        "{}",
        said.stderr
    );
}

#[test]
fn a_directory_of_the_users_that_changes_under_a_failing_compile_is_blamed() {
    let sandbox = Sandbox::with_kernels(
        "[workspace.metadata.kernel.kernels.a]\nsource = \"../tree\"\npreset = \"tiny\"\nccache = false\n",
    );
    let tree = StandIn::new(&sandbox, "tree");
    let script = format!(
        "case \" $* \" in *' -c '*kernel/sched.c*) echo '#error half' >> {}/kernel/sched.c;; esac\nexec /usr/bin/gcc \"$@\"",
        tree.dir()
    );
    sandbox.tool("gcc", &script);
    let said = run(&sandbox, &["build"]);
    assert_eq!(said.code, 101, "{}", said.stderr);
    assert!(
        said.stderr
            .contains("error: compile failed, but the source tree"),
        "{}",
        said.stderr
    );
}

/// Workspaces that build from one tree while it is damaged: every few compiles somebody's compiler does something to it.
#[test]
fn builds_of_one_tree_that_is_disturbed_all_come_out_the_same() {
    let sandbox = packed("ccache = false\n");
    with_hook(&sandbox);
    build(&sandbox, "first", None);
    let expected = images(&sandbox.path("project"));
    let tree = trees(&sandbox).remove(0);
    sandbox.write("count", "");
    let disturb = [
        "touch $TREE/x; rm -f $TREE/x",
        "echo > $TREE/fs/README",
        "mkdir $TREE/y; rmdir $TREE/y",
        "rm -f $TREE/lib/string.c",
        "touch $TREE/kernel/sched.c",
        "echo '#error' > $TREE/kernel/sched.c",
    ];
    let cases: String = disturb
        .iter()
        .enumerate()
        .map(|(at, line)| format!("{}) {line};;\n", at * 9 + 4))
        .collect();
    before_compiling(
        &sandbox,
        ".c",
        &format!("echo >> count; n=$(wc -l < count); case $((n % 54)) in\n{cases}esac 2>/dev/null"),
    );
    let manifest = std::fs::read_to_string(sandbox.path("project/Cargo.toml")).unwrap();
    let projects: Vec<_> = (0..4)
        .map(|number| {
            sandbox.write(&format!("{number}/Cargo.toml"), &manifest);
            sandbox.path(&number.to_string())
        })
        .collect();
    for round in 0..2 {
        let children: Vec<_> = projects
            .iter()
            .map(|project| {
                std::fs::remove_dir_all(project.join("target")).ok();
                let mut command = sandbox.process(project, &["build", "--no-reuse"]);
                command.stdout(Stdio::piped()).stderr(Stdio::piped());
                command.spawn().unwrap()
            })
            .collect();
        for (child, project) in children.into_iter().zip(&projects) {
            let said = said(&sandbox, child.wait_with_output().unwrap());
            assert_eq!(said.code, 0, "{round} {project}: {}", said.stderr);
            assert!(images(project) == expected, "{round} {project}");
        }
    }
    before_compiling(&sandbox, "", "");
    build(&sandbox, "afterwards", Some(&expected));
    assert_eq!(trees(&sandbox), [tree]);
}

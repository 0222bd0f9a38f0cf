//! Content decides what is compiled again: whatever times say, an image is that of its source.

use std::os::unix::fs::PermissionsExt as _;

use super::{TINY, run, tiny};
use crate::support::{Sandbox, StandIn};

/// The release and image in the destination directory.
fn image(sandbox: &Sandbox) -> (String, Vec<u8>) {
    let boot = sandbox.path("project/target/kernel/tiny/destdir/boot");
    let entry = boot
        .read_dir_utf8()
        .unwrap()
        .map(Result::unwrap)
        .find(|entry| entry.file_name().starts_with("vmlinuz-"))
        .expect("an image is installed");
    (
        entry.file_name().to_owned(),
        std::fs::read(entry.path()).unwrap(),
    )
}

fn build(sandbox: &Sandbox) {
    let said = run(sandbox, &["build"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
}

/// Compares what was built with a build from nothing: no objects, no store, no compiler cache.
fn is_that_of_its_source(sandbox: &Sandbox) {
    let built = image(sandbox);
    assert_eq!(run(sandbox, &["clean"]).code, 0);
    for directory in ["store", "cache/ccache"] {
        let path = sandbox.path(directory);
        if path.exists() {
            let _ = std::process::Command::new("chmod")
                .args(["-R", "u+w", path.as_str()])
                .status();
            std::fs::remove_dir_all(path).unwrap();
        }
    }
    build(sandbox);
    let fresh = image(sandbox);
    assert_eq!(built.0, fresh.0);
    assert!(built.1 == fresh.1, "{} names two kernels", built.0);
}

/// Has the next compile of `kernel/sched.c` do something to it once, as an editor would at that moment.
/// `before` and `after` are shell lines; the object is newer than what they write. What comes and goes is below
/// `$away` for them: a file that a compiler's wrapper names by its path is part of the toolchain.
fn meddle(sandbox: &Sandbox, before: &str, after: &str) {
    let top = sandbox.path("");
    sandbox.write("away/once", "");
    let script = format!(
        "#!/bin/sh\ntop={top}\naway=$top/away\ncase \" $* \" in\n*' -c '*kernel/sched.c*)\n  if rm $away/once 2>/dev/null; then\n    cd $top/tree/kernel; object=; for word; do test \"$last\" = -o && object=$word; last=$word; done\n    {before}\n    (cd - >/dev/null; /usr/bin/gcc \"$@\") || exit\n    {after}\n    sleep 0.02; touch \"$object\" 2>/dev/null; exit 0\n  fi;;\nesac\nexec /usr/bin/gcc \"$@\"\n"
    );
    let path = sandbox.write("bin/gcc", &script);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

const EDIT: &str = "sed -i 's/return 2;/return 3;/; s/return 1;/return 4;/' sched.c";

#[test]
fn a_file_that_is_edited_while_it_is_compiled_is_compiled_again() {
    for ccache in ["", "ccache = false\n"] {
        let (sandbox, _tree) = tiny(ccache);
        meddle(&sandbox, "", EDIT);
        let said = run(&sandbox, &["build"]);
        assert_eq!(said.code, 101, "{}", said.stderr);
        assert!(
            said.stderr.contains("changed while it was compiled"),
            "{}",
            said.stderr
        );
        build(&sandbox);
        is_that_of_its_source(&sandbox);
    }
}

#[test]
fn an_edit_that_is_taken_back_leaves_no_object_of_it() {
    // What happens while `sched.c` is compiled, after it, and what is said of it. The same bytes and the same time
    // of modification in the end.
    let edit = (
        format!("cp -p sched.c $away/kept.c; {EDIT}"),
        "cat $away/kept.c > sched.c; touch -r $away/kept.c sched.c",
        "kernel/sched.c was written to while it was compiled",
    );
    let directory = (
        format!(
            "mv $top/tree/kernel $away/kept; cp -rp $away/kept $top/tree/kernel; cd $top/tree/kernel; {EDIT}"
        ),
        "rm -r $top/tree/kernel; mv $away/kept $top/tree/kernel",
        "kernel was exchanged, or something was mounted there",
    );
    let tree = (
        format!(
            "mv $top/tree $away/kept; cp -rp $away/kept $top/tree; cd $top/tree/kernel; {EDIT}"
        ),
        "rm -r $top/tree; mv $away/kept $top/tree",
        "another source was in the place of this one meanwhile",
    );
    let mount = (
        format!(
            "cp -rp $top/tree/kernel $away/other; mount --bind $away/other $top/tree/kernel; cd $top/tree/kernel; {EDIT}"
        ),
        "cd /; sleep 0.1; umount $top/tree/kernel",
        "kernel was exchanged, or something was mounted there",
    );
    let mut rows = vec![
        ("ccache = false\n", &edit),
        ("", &edit),
        ("", &directory),
        ("", &tree),
    ];
    if crate::support::is_root() {
        rows.push(("", &mount));
    }
    for (ccache, (before, after, said)) in rows {
        let (sandbox, _tree) = tiny(ccache);
        meddle(&sandbox, before, after);
        build(&sandbox);
        let log = sandbox.path("project/target/kernel/tiny/log/latest/build.log");
        let log = std::fs::read_to_string(log).unwrap();
        assert!(log.contains(said), "{log}");
        is_that_of_its_source(&sandbox);
    }
}

#[test]
fn a_compiler_that_was_exchanged_meanwhile_made_no_objects_to_keep() {
    let (sandbox, _tree) = tiny("");
    meddle(
        &sandbox,
        "mv $top/bin/gcc $away/gcc; cp $away/gcc $top/bin/gcc",
        "mv $away/gcc $top/bin/gcc",
    );
    let said = run(&sandbox, &["build"]);
    assert_eq!(said.code, 101, "{}", said.stderr);
    let expected = "[sandbox]/bin/gcc was exchanged while the kernel was compiled with it";
    assert!(said.stderr.contains(expected), "{}", said.stderr);
    let said = run(&sandbox, &["build"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let afresh = "it is not known which toolchain made the objects: compiling afresh";
    assert!(said.stderr.contains(afresh), "{}", said.stderr);
    is_that_of_its_source(&sandbox);
}

#[test]
fn what_is_exchanged_behind_makes_back_is_compiled_again() {
    let sh = |sandbox: &Sandbox, line: &str| {
        let status = std::process::Command::new("sh")
            .args(["-ec", line])
            .current_dir(sandbox.path(""))
            .status();
        assert!(status.unwrap().success(), "{line}");
    };
    const CHANGE: &str =
        "sed -i 's/return 2;/return 3;/; s/return 1;/return 4;/' tree.b/kernel/sched.c";
    // What is there before the first build, and what happens after it.
    let rows: [(&str, &str); 7] = [
        // Directories renamed: the files keep inodes and times.
        (
            "cp -rp tree tree.b; CHANGE",
            "mv tree tree.a; mv tree.b tree",
        ),
        (
            "cp -rp tree tree.b; CHANGE",
            "mv tree/kernel old; mv tree.b/kernel tree/kernel",
        ),
        // A file with a date before the last build.
        (
            "cp -rp tree tree.b; CHANGE; touch -d 2001-01-01 tree.b/kernel/sched.c",
            "mv tree.b/kernel/sched.c tree/kernel/sched.c",
        ),
        // A link that leads elsewhere.
        (
            "cp -rp tree tree.b; CHANGE; mv tree/kernel kernel.a; mv tree.b/kernel kernel.b; ln -s ../kernel.a tree/kernel",
            "ln -sfn ../kernel.b tree/kernel",
        ),
        // A link inside the tree.
        (
            "cp -rp tree tree.b; CHANGE; mv tree/kernel tree/k.a; mv tree.b/kernel tree/k.b; ln -s k.a tree/kernel",
            "ln -sfn k.b tree/kernel",
        ),
        // A header behind the same time and size.
        (
            "echo '#define ONE 1' > tree/include/linux/one.h; sed -i '1i #include <linux/one.h>\\nint one = ONE;' tree/kernel/sched.c; touch -d 2001-01-01 tree/include/linux/one.h",
            "echo '#define ONE 7' > one.h; touch -d 2001-01-01 one.h; mv one.h tree/include/linux/one.h",
        ),
        // A script that no object names.
        (
            "cp -rp tree tree.b; touch -d 2001-01-01 tree.b/scripts/release; echo '# more' >> tree.b/scripts/bzimage; touch -d 2001-01-01 tree.b/scripts/bzimage",
            "mv tree.b/scripts/bzimage tree/scripts/bzimage",
        ),
    ];
    for (first, then) in rows {
        let (sandbox, _tree) = tiny("");
        sh(&sandbox, &first.replace("CHANGE", CHANGE));
        build(&sandbox);
        let before = image(&sandbox);
        sh(&sandbox, then);
        build(&sandbox);
        assert_ne!(image(&sandbox).0, before.0, "{then}");
        is_that_of_its_source(&sandbox);
    }
}

#[test]
fn a_header_that_stands_in_for_another_is_noticed() {
    let (sandbox, tree) = tiny("");
    let tree = tree
        .edit("kernel/sched.c", |text| {
            format!("#include \"value.h\"\nint value = VALUE;\n{text}")
        })
        .edit("include/value.h", |_| "#define VALUE 1\n".to_owned());
    build(&sandbox);
    let before = image(&sandbox);
    // Beside the file, it comes before the one of the include directories.
    let _tree = tree.edit("kernel/value.h", |_| "#define VALUE 2\n".to_owned());
    build(&sandbox);
    assert!(image(&sandbox).1 != before.1);
    is_that_of_its_source(&sandbox);
}

#[test]
fn objects_of_another_compiler_are_not_kept() {
    let (sandbox, _tree) = tiny("ccache = false\n");
    let compiler = |flags: &str| {
        let script = format!("#!/bin/sh\nexec /usr/bin/gcc \"$@\" {flags}\n");
        let path = sandbox.write("bin/gcc", &script);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    compiler("");
    build(&sandbox);
    compiler("-fno-ident");
    let said = run(&sandbox, &["build"]);
    assert!(
        said.stderr
            .contains("the toolchain is another one than the objects were made by"),
        "{}",
        said.stderr
    );
    is_that_of_its_source(&sandbox);
}

#[test]
fn a_build_directory_without_a_record_or_with_a_damaged_one_is_begun_afresh() {
    let harms: [fn(&camino::Utf8Path); 3] = [
        |record| std::fs::remove_file(record).unwrap(),
        |record| std::fs::write(record, "").unwrap(),
        |record| {
            let mut bytes = std::fs::read(record).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(record, bytes).unwrap();
        },
    ];
    for harm in harms {
        let (sandbox, tree) = tiny("");
        build(&sandbox);
        harm(&sandbox.path("project/target/kernel/tiny/contents"));
        let _tree = tree.edit("lib/string.c", |text| format!("{text}int one;\n"));
        let said = run(&sandbox, &["build"]);
        assert_eq!(said.code, 0, "{}", said.stderr);
        assert!(
            said.stderr
                .contains("it is not known what the objects were compiled from: compiling afresh"),
            "{}",
            said.stderr
        );
        is_that_of_its_source(&sandbox);
    }
}

#[test]
fn what_was_being_compiled_when_the_machine_stopped_is_compiled_afresh() {
    let (sandbox, tree) = tiny("");
    build(&sandbox);
    // An object that the disk never got, and the note of a build in another boot.
    let state = sandbox.path("project/target/kernel/tiny");
    std::fs::write(state.join("build/lib/string.o"), "").unwrap();
    std::fs::write(state.join("compiling"), "of another boot\n").unwrap();
    let _tree = tree.edit("kernel/sched.c", |text| format!("{text}int one;\n"));
    let said = run(&sandbox, &["build"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let afresh = "the machine stopped while it compiled here: compiling afresh";
    assert!(said.stderr.contains(afresh), "{}", said.stderr);
    is_that_of_its_source(&sandbox);
}

#[test]
fn an_edit_compiles_what_depends_on_it_and_nothing_else() {
    let sandbox = Sandbox::with_kernels(&format!("{TINY}edit = \"mine\"\nccache = false\n"));
    let tree = StandIn::new(&sandbox, "tree");
    build(&sandbox);
    let _tree = tree.edit("lib/string.c", |text| format!("{text}int one;\n"));
    let said = run(&sandbox, &["build", "--explain-rebuild"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let removed: Vec<&str> = said
        .stderr
        .lines()
        .filter(|line| line.contains("Rebuilding"))
        .collect();
    assert_eq!(removed, ["  Rebuilding lib/string.o: lib/string.c changed"]);
    let log = sandbox.path("project/target/kernel/tiny/log/latest");
    let read = |name: &str| std::fs::read_to_string(log.join(name)).unwrap();
    assert!(read("build.log").contains("lib/string.o is removed: lib/string.c changed"));
    let compiled = read("compile.log");
    assert!(compiled.contains("lib/string.o"), "{compiled}");
    for other in ["init/main.o", "kernel/sched.o", "init/version.o"] {
        assert!(!compiled.contains(other), "{compiled}");
    }
    is_that_of_its_source(&sandbox);
}

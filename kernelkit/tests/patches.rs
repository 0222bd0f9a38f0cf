//! Which files the `patches` of a kernel mean, and what trying them on a tree says.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

use std::collections::BTreeMap;
use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use kernelkit::effect::environment::Environment;
use kernelkit::effect::patches::{Error, find};
use kernelkit::spec::{Context, KernelSpec, Manifest, ManifestTable, Overrides, parse};

struct World {
    _guard: tempfile::TempDir,
    root: Utf8PathBuf,
}

impl World {
    /// With empty files of these names.
    fn new(files: &[&str]) -> Self {
        let guard = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(guard.path().canonicalize().unwrap()).unwrap();
        let world = World {
            _guard: guard,
            root,
        };
        for file in files {
            world.write(file, "");
        }
        world
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn kernel(&self, settings: &str) -> KernelSpec {
        let manifest = Manifest {
            path: "Cargo.toml".into(),
            text: format!(
                "[workspace.metadata.kernel.kernels.k]\nsource = \"x\"\npreset = \"tiny\"\narch = \"arm64\"\n{settings}\n"
            ),
            table: ManifestTable::Workspace,
        };
        let context = Context {
            root: self.root.clone(),
            current_dir: self.root.clone(),
            target_dir: self.root.join("target"),
            host: None,
        };
        let mut spec = parse(&[manifest], &Overrides::default(), &context).unwrap();
        spec.kernels.remove(0)
    }

    /// `path -pN` of each that is applied to a kernel with these settings, `(path)` of the others.
    fn found(&self, settings: &str) -> Result<Vec<String>, Error> {
        let found = find(&self.kernel(settings), &self.root)?;
        Ok(found
            .into_iter()
            .map(|found| {
                let path = found
                    .entry
                    .path
                    .strip_prefix(&self.root)
                    .unwrap()
                    .to_owned();
                match (found.excluded, found.entry.strip) {
                    (Some(_), _) => format!("({path})"),
                    (None, 1) => path.into_string(),
                    (None, strip) => format!("{path} -p{strip}"),
                }
            })
            .collect())
    }
}

#[test]
fn files_globs_directories_and_series_come_in_order() {
    let world = World::new(&[
        "z.patch",
        "odd[1].patch",
        "d/b.patch",
        "d/a.diff",
        "d/README",
        "q/one",
        "q/sub/two.patch",
        "q/unused.patch",
    ]);
    world.write("q/series", "# all\nsub/two.patch -p0\none\n");
    let check = |patches: &str, expected: &[&str]| {
        assert_eq!(
            world.found(&format!("patches = {patches}")).unwrap(),
            expected,
            "{patches}"
        );
    };
    check(r#"["z.patch", "d"]"#, &["z.patch", "d/a.diff", "d/b.patch"]);
    check(
        r#"["d/*.patch", "odd[1].patch"]"#,
        &["d/b.patch", "odd[1].patch"],
    );
    check(r#"["q"]"#, &["q/sub/two.patch -p0", "q/one"]);
    check(r#"["*/series"]"#, &["q/sub/two.patch -p0", "q/one"]);
    check(r#"[{ path = "z.patch" }]"#, &["z.patch"]);
}

#[test]
fn variants_come_first_and_other_kernels_patches_not_at_all() {
    let world = World::new(&["all", "debug", "release", "arm", "x86", "old"]);
    let settings = r#"patches = [
        "all",
        { path = "old", version = "<6.1" },
        { path = "x86", arch = ["x86_64", "i386"] },
        { path = "arm", arch = "arm64" },
        { path = "debug", debug = true },
        { path = "release", debug = false },
    ]"#;
    assert_eq!(
        world.found(settings).unwrap(),
        ["(x86)", "arm", "(debug)", "release", "all", "old"]
    );
    assert_eq!(
        world.found(&format!("debug = true\n{settings}")).unwrap(),
        ["(x86)", "arm", "debug", "(release)", "all", "old"]
    );
}

#[test]
fn a_sets_fuzz_wins_over_the_kernels() {
    let world = World::new(&["a", "b"]);
    let spec = world.kernel("patch-fuzz = 1\npatches = [\"a\", { path = \"b\", fuzz = 0 }]");
    let found = find(&spec, &world.root).unwrap();
    assert_eq!([found[0].entry.fuzz, found[1].entry.fuzz], [1, 0]);
}

#[test]
fn what_is_not_there_or_cannot_be_honoured_is_an_error() {
    let world = World::new(&["q/one", "d/README"]);
    let check = |patches: &str, expected: &str| {
        let error = world.found(&format!("patches = {patches}")).unwrap_err();
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        let text = format!("{error}{}", cause.unwrap_or_default());
        let text = text.replace(world.root.as_str(), "ROOT");
        assert_eq!(text, expected);
        assert!(error.hint().is_some());
    };
    check(
        r#"["none"]"#,
        "no patch matches `none`, which Cargo.toml:5:1 names",
    );
    // For another architecture, but a slip all the same.
    check(
        r#"[{ path = "none", arch = "x86_64" }]"#,
        "no patch matches `none`, which Cargo.toml:5:1 names",
    );
    check(
        r#"["d"]"#,
        "no patch matches `d/*.patch`, which Cargo.toml:5:1 names",
    );
    world.write("q/series", "one\ngone.patch\n");
    check(
        r#"["q"]"#,
        "ROOT/q/series:2: there is no patch `gone.patch`",
    );
    world.write("q/series", "one -R\n");
    check(
        r#"["q"]"#,
        "the series ROOT/q/series cannot be used: line 1: the option `-R` of `one` cannot be honoured",
    );
}

mod check {
    use super::*;
    use kernelkit::effect::source::{self, Context, Outcome};
    use kernelkit::patch::{Entry, Found};
    use kernelkit::source::Source;

    const MAKEFILE: &str = "VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 120\nEXTRAVERSION =\n";

    fn edit(old: &str, new: &str) -> String {
        format!("--- a/k/f.c\n+++ b/k/f.c\n@@ -1,3 +1,3 @@\n one\n-{old}\n+{new}\n three\n")
    }

    fn outcomes(patches: &[(&str, &str)]) -> (Vec<Outcome>, World) {
        let world = World::new(&["linux/Kconfig"]);
        world.write("linux/Makefile", MAKEFILE);
        world.write("linux/k/f.c", "one\ntwo\nthree\n");
        let entries: Vec<_> = patches
            .iter()
            .map(|(name, text)| {
                world.write(name, text);
                Entry::new(world.root.join(name))
            })
            .collect();
        let variables = BTreeMap::from([
            ("HOME".to_owned(), world.root.join("home").to_string()),
            ("TMPDIR".to_owned(), world.root.join("tmp").to_string()),
            ("PATH".to_owned(), std::env::var("PATH").unwrap()),
        ]);
        let environment = Environment::from_variables(world.root.clone(), variables);
        let context = Context::new(&environment);
        let path = world.root.join("linux");
        let tree =
            source::prepare(&Source::Directory { path }, &[], &context, &mut |_| {}).unwrap();
        let checked = source::check(&tree, &entries, &context).unwrap();
        // Nothing is left of the scratch directory, and the tree is as it was.
        assert_eq!(names(&world.root.join("tmp")), [""; 0]);
        assert_eq!(
            fs::read_to_string(tree.dir.join("k/f.c")).unwrap(),
            "one\ntwo\nthree\n"
        );
        (checked.into_iter().map(|one| one.outcome).collect(), world)
    }

    fn names(directory: &Utf8Path) -> Vec<String> {
        let names = directory.read_dir_utf8().unwrap();
        names
            .map(|entry| entry.unwrap().file_name().to_owned())
            .collect()
    }

    #[test]
    fn every_patch_is_tried_and_what_hangs_on_a_broken_one_says_so() {
        let (outcomes, world) = outcomes(&[
            ("1", &edit("two", "2")),
            ("2", &edit("zwei", "II")),
            ("3", &edit("II", "ii")),
            ("4", "--- /dev/null\n+++ b/new.c\n@@ -0,0 +1 @@\n+x\n"),
            ("5", &edit("2", "zwei")),
        ]);
        let after = |outcome: &Outcome| match outcome {
            Outcome::Broken { after, misfits, .. } => {
                assert!(matches!(misfits[0].found, Found::Near { line: 1, .. }));
                after.clone()
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(outcomes[0], Outcome::Applies);
        assert_eq!(after(&outcomes[1]), None);
        assert_eq!(after(&outcomes[2]), Some(world.root.join("2")));
        assert_eq!(outcomes[3..], [Outcome::Applies, Outcome::Applies]);
    }

    #[test]
    fn what_is_upstream_or_no_patch_is_told() {
        let (outcomes, world) = outcomes(&[
            ("1", &edit("zwei", "two")),
            ("2", "From: me\nSubject: [PATCH 0/3] all\n\nwords\n"),
            ("3", ""),
            ("4", &edit("two", "two")),
            ("5", "--- a/k/f.c\n+++ b/k/f.c\n@@ -1,3 +1,3 @@\n one\n"),
        ]);
        assert_eq!(
            outcomes,
            [
                Outcome::AlreadyApplied,
                Outcome::Letter,
                Outcome::Unusable {
                    message: format!("{} has no diff in it", world.root.join("3"))
                },
                Outcome::NoEffect,
                Outcome::Unusable {
                    message: "line 3: the hunk that begins here is cut off".to_owned()
                },
            ]
        );
    }
}

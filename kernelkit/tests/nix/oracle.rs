//! Store paths, hashes, derivations and archives against what Nix makes of them.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use kernelkit::effect::nix::nar;
use kernelkit::nix::derivation::{Known, Recipe};
use kernelkit::nix::hash::Hash;
use kernelkit::nix::nar::Node;
use kernelkit::nix::store_path::{ContentAddress, StoreDir};
use kernelkit::source::Sha256;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::json;

use crate::world::with_each_nix;

/// `count` values, the same in every run.
fn samples<S: Strategy>(strategy: &S, count: usize) -> Vec<S::Value> {
    let mut runner = TestRunner::deterministic();
    (0..count)
        .map(|_| strategy.new_tree(&mut runner).unwrap().current())
        .collect()
}

/// A derivation in words that both sides understand. Numbers name earlier ones.
#[derive(Debug)]
struct Sample {
    name: String,
    builder: String,
    args: Vec<String>,
    env: BTreeMap<String, String>,
    outputs: BTreeSet<String>,
    fixed: Option<(bool, [u8; 32])>,
    dependencies: BTreeSet<usize>,
    files: BTreeMap<String, String>,
}

fn sample() -> impl Strategy<Value = Sample> {
    let text = "[ -~\n\t\r\"\\\\äß€${}']{0,24}";
    let name = "[a-zA-Z0-9+_=?][a-zA-Z0-9+._?=-]{0,30}";
    (
        name,
        "/[a-z/ \"\\\\]{1,20}",
        vec(text, 0..4),
        btree_map("x[a-zA-Z_]{1,8}", text, 0..5),
        btree_set("[a-z]{2,6}", 0..4),
        proptest::option::weighted(0.3, any::<(bool, [u8; 32])>()),
        btree_set(0..1000_usize, 0..4),
        btree_map("[a-z]{1,5}", text, 0..3),
    )
        .prop_map(
            |(name, builder, args, env, outputs, fixed, dependencies, files)| Sample {
                name,
                builder,
                args,
                env,
                outputs: match fixed {
                    Some(_) => BTreeSet::new(),
                    None => outputs
                        .into_iter()
                        .filter(|name| !RESERVED.contains(&name.as_str()))
                        .collect(),
                },
                fixed,
                dependencies,
                files,
            },
        )
}

/// Names that mean something to `derivation`, or to the expression below.
const RESERVED: [&str; 7] = [
    "name", "args", "system", "builder", "drv", "files", "outputs",
];

const EXPRESSION: &str = r#"
{ samples }:
let
  read = builtins.fromJSON (builtins.readFile samples);
  make = sample: derivation (sample.env // sample.fixed // {
    inherit (sample) name builder args;
    system = "x86_64-linux";
    files = map (file: builtins.toFile file.name file.text) sample.files;
    dependencies = map (index: builtins.elemAt made index) sample.dependencies;
  } // (if sample.outputs == [ ] then { } else { inherit (sample) outputs; }));
  made = map make read;
in
map (derivation: derivation.drvPath) made
"#;

fn to_json(index: usize, sample: &Sample) -> serde_json::Value {
    let fixed = match sample.fixed {
        None => json!({}),
        Some((recursive, digest)) => json!({
            "outputHashMode": if recursive { "recursive" } else { "flat" },
            "outputHashAlgo": "sha256",
            "outputHash": Sha256::from_bytes(digest).to_string(),
        }),
    };
    let files: Vec<_> = sample
        .files
        .iter()
        .map(|(name, text)| json!({ "name": name, "text": text }))
        .collect();
    json!({
        "name": sample.name,
        "builder": sample.builder,
        "args": sample.args,
        "env": sample.env,
        "outputs": sample.outputs,
        "fixed": fixed,
        "dependencies": dependencies(index, sample),
        "files": files,
    })
}

fn dependencies(index: usize, sample: &Sample) -> BTreeSet<usize> {
    sample
        .dependencies
        .iter()
        .filter(|_| index > 0)
        .map(|number| number % index)
        .collect()
}

#[test]
fn random_derivations_are_what_the_evaluator_writes() {
    let samples = samples(&sample(), 150);
    let store = StoreDir::default();
    let mut known = Known::default();
    let mut made = Vec::new();
    let mut derivations = Vec::new();
    for (index, sample) in samples.iter().enumerate() {
        let mut recipe =
            Recipe::new(&sample.name, "x86_64-linux", &sample.builder).args(&sample.args);
        let mut words = Vec::new();
        for number in dependencies(index, sample) {
            let (path, first, output) = &made[number];
            recipe.inputs.output(Clone::clone(path), first);
            words.push(store.display(output));
        }
        let mut files = Vec::new();
        for (name, text) in &sample.files {
            let path = store.text_path(name, text.as_bytes(), []).unwrap();
            files.push(store.display(&path));
            recipe.inputs.sources.insert(path);
        }
        recipe = recipe
            .env("dependencies", words.join(" "))
            .env("files", files.join(" "));
        for (name, value) in &sample.env {
            recipe = recipe.env(name, value.as_bytes());
        }
        recipe.outputs = sample.outputs.iter().cloned().collect();
        if let Some((recursive, digest)) = sample.fixed {
            let sha256 = Sha256::from_bytes(digest);
            recipe.fixed = Some(match recursive {
                true => ContentAddress::recursive(sha256),
                false => ContentAddress::flat(sha256),
            });
            let mode = if recursive { "recursive" } else { "flat" };
            recipe = recipe
                .env("outputHashMode", mode)
                .env("outputHashAlgo", "sha256")
                .env("outputHash", sha256.to_string());
        }
        // What a derivation is as a string: its first output.
        let first = sample
            .outputs
            .first()
            .map_or("out", String::as_str)
            .to_owned();
        let derivation = recipe.derive(&store, |path| known.get(path)).unwrap();
        let path = known.insert(&derivation).unwrap();
        let output = derivation.output(&first).unwrap().clone();
        made.push((path.clone(), first, output));
        derivations.push((path, derivation.to_bytes()));
    }
    let json: Vec<_> = samples
        .iter()
        .enumerate()
        .map(|(index, sample)| to_json(index, sample))
        .collect();
    with_each_nix(|nix| {
        let file = nix.write("samples.json", serde_json::to_vec(&json).unwrap());
        let paths = nix.evaluate(EXPRESSION, &[("samples", &file)]);
        let paths: Vec<String> = serde_json::from_value(paths).unwrap();
        assert_eq!(paths.len(), derivations.len());
        for (expected, (path, bytes)) in paths.iter().zip(&derivations) {
            let real = nix.real(&store.parse(expected).unwrap());
            assert_eq!(
                String::from_utf8_lossy(bytes),
                String::from_utf8_lossy(&std::fs::read(real).unwrap())
            );
            assert_eq!(&store.display(path), expected);
        }
    });
}

#[test]
fn hashes_have_the_texts_that_nix_gives_them() {
    let hashes: Vec<_> = samples(&any::<[u8; 32]>(), 40)
        .into_iter()
        .map(|bytes| Hash::from(Sha256::from_bytes(bytes)))
        .collect();
    let hex: Vec<_> = hashes.iter().map(Hash::to_hex).collect();
    let words: Vec<_> = hex.iter().map(String::as_str).collect();
    with_each_nix(|nix| {
        let args = [&["--type", "sha256", "--to-base32"][..], &words].concat();
        let expected: Vec<_> = hashes.iter().map(Hash::to_base32).collect();
        let found = nix.run("nix-hash", &args).stdout;
        assert_eq!(found.lines().collect::<Vec<_>>(), expected);
        let args = [&["hash", "to-sri", "--type", "sha256"][..], &words].concat();
        let expected: Vec<_> = hashes.iter().map(Hash::to_sri).collect();
        let found = nix.run("nix", &args).stdout;
        assert_eq!(found.lines().collect::<Vec<_>>(), expected);
    });
}

#[test]
fn fixed_paths_are_those_that_nix_prints() {
    let rows = samples(
        &("[a-zA-Z0-9+_=?][a-zA-Z0-9+._?=-]{0,60}", any::<[u8; 32]>()),
        8,
    );
    let store = StoreDir::default();
    with_each_nix(|nix| {
        for (name, digest) in &rows {
            let sha256 = Sha256::from_bytes(*digest);
            let hex = sha256.to_string();
            for (recursive, path) in [
                (false, store.file_path(name, sha256)),
                (true, store.source_path(name, sha256)),
            ] {
                let mut args = vec!["--print-fixed-path"];
                args.extend(recursive.then_some("--recursive"));
                args.extend(["sha256", &hex, name]);
                let found = nix.run("nix-store", &args).stdout;
                assert_eq!(found.trim(), store.display(&path.unwrap()));
            }
        }
    });
}

fn node() -> impl Strategy<Value = Node> {
    let name = "[a-zA-Z0-9 ._~äß-]{1,6}"
        .prop_filter("a name", |name| name != "." && name != "..")
        .prop_map(String::into_bytes);
    let leaf = prop_oneof![
        4 => (any::<bool>(), vec(any::<u8>(), 0..300))
            .prop_map(|(executable, contents)| Node::File { executable, contents }),
        1 => "[a-z./]{1,20}".prop_map(|target| Node::Link(target.into_bytes())),
    ];
    leaf.prop_recursive(5, 120, 10, move |inner| {
        btree_map(name.clone(), inner, 0..10).prop_map(Node::Directory)
    })
}

/// Random trees, and files whose sizes are at the edges of the reader's pieces.
fn forest() -> Node {
    let random = samples(&node(), 40);
    let mut entries: Vec<_> = random
        .into_iter()
        .enumerate()
        .map(|(index, node)| (format!("random-{index}"), node))
        .collect();
    for size in [
        0,
        1,
        7,
        8,
        9,
        1 << 20,
        (1 << 20) + 1,
        4 << 20,
        (4 << 20) + 1,
        (5 << 20) + 3,
    ] {
        let contents: Vec<_> = (0..size).map(|index: u32| (index % 251) as u8).collect();
        entries.push((format!("size-{size}"), Node::file(contents)));
    }
    Node::directory(entries)
}

fn unpacked(root: &Utf8Path) -> (Node, Utf8PathBuf) {
    let forest = forest();
    let path = root.join("forest");
    nar::unpack(forest.to_bytes().as_slice(), &path).unwrap();
    (forest, path)
}

#[test]
fn archives_of_random_trees_are_what_nix_dumps() {
    with_each_nix(|nix| {
        let (forest, path) = unpacked(&nix.root);
        let bytes = forest.to_bytes();
        let mut written = Vec::new();
        let hash = nar::write(&path, &mut written).unwrap();
        assert!(written == bytes);
        assert_eq!(hash, forest.hash());
        assert_eq!(nar::hash(&path).unwrap(), hash);
        let printed = nix
            .run("nix", &["hash", "path", "--base32", path.as_str()])
            .stdout;
        assert_eq!(printed.trim(), Hash::from(hash.sha256).to_base32());
        let dump = format!("nix-store --dump {path} > dump");
        nix.run("sh", &["-c", &dump]);
        assert!(std::fs::read(nix.root.join("dump")).unwrap() == bytes);
        let added = nix.run("nix-store", &["--add", path.as_str()]).stdout;
        let store = StoreDir::default();
        let expected = store.source_path("forest", hash.sha256).unwrap();
        assert_eq!(added.trim(), store.display(&expected));
    });
}

#[test]
fn a_tree_comes_back_from_its_archive() {
    let guard = tempfile::tempdir().unwrap();
    let root = Utf8PathBuf::from_path_buf(guard.path().to_owned()).unwrap();
    let (forest, path) = unpacked(&root);
    let again = root.join("again");
    let mut bytes = Vec::new();
    nar::write(&path, &mut bytes).unwrap();
    nar::unpack(bytes.as_slice(), &again).unwrap();
    assert_eq!(nar::hash(&again).unwrap(), forest.hash());
    let error = nar::unpack(&bytes[..bytes.len() - 8], &root.join("cut")).unwrap_err();
    assert!(error.to_string().contains("cut"), "{error}");
}

#[test]
fn only_the_owners_executable_bit_counts() {
    let guard = tempfile::tempdir().unwrap();
    let root = Utf8PathBuf::from_path_buf(guard.path().to_owned()).unwrap();
    let file = root.join("file");
    std::fs::write(&file, "x").unwrap();
    for (mode, executable) in [(0o644, false), (0o744, true), (0o655, false), (0o500, true)] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let contents = b"x".to_vec();
        let expected = Node::File {
            executable,
            contents,
        };
        assert_eq!(nar::hash(&file).unwrap(), expected.hash(), "{mode:o}");
    }
}

#[test]
fn what_no_archive_can_hold_is_named() {
    let guard = tempfile::tempdir().unwrap();
    let root = Utf8PathBuf::from_path_buf(guard.path().to_owned()).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    let error = nar::hash(&root).unwrap_err();
    assert!(error.to_string().contains("socket"), "{error}");
    assert!(error.hint().unwrap().contains("remove"));
    let error = nar::hash(&root.join("missing")).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot read {root}/missing"));
}

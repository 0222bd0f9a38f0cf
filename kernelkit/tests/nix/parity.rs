//! The same `.drv` from `nix/kernel.nix` and from `kernelkit::nix::kernel`.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use kernelkit::lock::{Lock, ToolchainKind};
use kernelkit::nix::derivation::{self, Derivation, Known};
use kernelkit::nix::kernel::{Description, Pin, Toolchain, plan};
use kernelkit::nix::store_path::{StoreDir, StorePath};
use serde::Deserialize;

use crate::world::{Nix, with_each_nix};

/// All kernels with the lock's own toolchains and with each of them.
const EXPRESSION: &str = r#"
{ directory, nix, stub }:
let
  nixpkgs = system: ((import (stub + "/flake.nix")).outputs { self = stub; }).legacyPackages.${system};
  lock = builtins.fromTOML (builtins.readFile (directory + "/kernel.lock"));
  kernels = toolchain: builtins.mapAttrs (_: kernel: kernel.drvPath)
    (import nix { inherit directory nixpkgs toolchain; }).kernels;
  describe = id: table: builtins.mapAttrs
    (_: kernel: import (nix + "/describe.nix") {
      inherit directory id table nixpkgs;
      inherit (kernel) arch;
      system = "x86_64-linux";
    })
    lock.kernels;
in
{
  own = kernels null;
  each = builtins.mapAttrs (id: _: kernels id) lock.toolchains;
  descriptions = builtins.mapAttrs describe lock.toolchains;
}
"#;

#[derive(Deserialize)]
struct Evaluated {
    own: BTreeMap<String, String>,
    each: BTreeMap<String, BTreeMap<String, String>>,
    descriptions: BTreeMap<String, BTreeMap<String, serde_json::Value>>,
}

fn repository() -> Utf8PathBuf {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn evaluate(nix: &Nix, directory: &Utf8Path) -> Evaluated {
    let repository = repository();
    let value = nix.evaluate(
        EXPRESSION,
        &[
            ("directory", directory),
            ("nix", &repository.join("nix")),
            ("stub", &repository.join("tests/fixtures/nixpkgs")),
        ],
    );
    serde_json::from_value(value).unwrap()
}

fn read(path: impl AsRef<Utf8Path>) -> String {
    std::fs::read_to_string(path.as_ref()).unwrap()
}

/// A toolchain as the lock and, of nixpkgs, the evaluator have it.
fn toolchain(
    nix: &Nix,
    directory: &Utf8Path,
    lock: &Lock,
    id: &str,
    description: &serde_json::Value,
) -> Toolchain {
    let store = StoreDir::default();
    let table = &lock.toolchains[id];
    match table.kind {
        ToolchainKind::Host => Toolchain::host(&store, "x86_64-linux").unwrap(),
        ToolchainKind::DebianRoot => {
            let pin = read(directory.join(table.pin.as_ref().unwrap()));
            let pin: Pin = toml::from_str(&pin).unwrap();
            Toolchain::debian_root(&store, id, &pin).unwrap()
        }
        ToolchainKind::Nixpkgs => described(nix, description),
    }
}

fn described(nix: &Nix, description: &serde_json::Value) -> Toolchain {
    let store = StoreDir::default();
    let description = Description::parse(&description.to_string()).unwrap();
    let inputs = description.inputs(&store).unwrap();
    let mut known = Known::default();
    for path in inputs.derivations.keys() {
        let mut read = |path: &StorePath| -> Result<_, derivation::Error> {
            let bytes = std::fs::read(nix.real(path)).unwrap();
            Derivation::parse_at(&bytes, path, &store)
        };
        known.read(path, &mut read).unwrap();
    }
    Toolchain::described(description, inputs, known)
}

fn check(nix: &Nix, directory: &Utf8Path, least: usize) {
    let store = StoreDir::default();
    let file = directory.join("kernel.lock");
    let lock = Lock::parse(&read(&file), &file).unwrap();
    let evaluated = evaluate(nix, directory);
    let mut compared = 0;
    let own = evaluated
        .own
        .iter()
        .map(|(name, path)| (lock.kernels[name].toolchain.as_str(), name, path));
    let each = evaluated.each.iter().flat_map(|(id, kernels)| {
        kernels
            .iter()
            .map(move |(name, path)| (id.as_str(), name, path))
    });
    for (id, name, expected) in own.chain(each) {
        let kernel = &lock.kernels[name];
        let config = read(directory.join(&kernel.config.path));
        let description = &evaluated.descriptions[id][name];
        let toolchain = toolchain(nix, directory, &lock, id, description);
        // The evaluator can describe every kind, and nothing is lost on the way.
        let described = described(nix, description);
        assert_eq!(
            (
                &described.builder,
                &described.arguments,
                &described.environment
            ),
            (
                &toolchain.builder,
                &toolchain.arguments,
                &toolchain.environment
            )
        );
        let trust = kernel.trust.as_ref();
        let trusted = trust.map_or_else(String::new, |trust| read(directory.join(&trust.path)));
        let plan = plan(&store, name, kernel, &config, &trusted, &toolchain).unwrap();
        for text in &plan.texts {
            // Differences show as text before they show as another path.
            let real = nix.real(&text.path);
            if !real.exists() || text.path == plan.path {
                let expected = nix.real(&store.parse(expected).unwrap());
                assert_eq!(
                    String::from_utf8_lossy(&plan.derivation.to_bytes()),
                    read(expected),
                    "{name} with {id}"
                );
            }
            assert_eq!(
                std::fs::read(&real).unwrap(),
                text.contents,
                "{}",
                text.path
            );
        }
        for (_, path) in &plan.files {
            assert!(plan.derivation.references().contains(path));
        }
        assert_eq!(&store.display(&plan.path), expected, "{name} with {id}");
        plan.derivation
            .output("debug")
            .expect("all four outputs have paths");
        compared += 1;
    }
    assert!(compared >= least, "{compared}");
}

#[test]
fn the_evaluator_and_kernelkit_write_the_same_derivations() {
    let fixture = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nix/fixture");
    with_each_nix(|nix| check(nix, &fixture, 15));
}

#[test]
fn a_root_of_each_system_brings_its_own_shell_and_tools() {
    let fixture = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nix/fixture");
    let file = fixture.join("kernel.lock.d/root-12.toml");
    let expression = r#"{ nix, file }:
        let
          pin = fromTOML (builtins.readFile file);
          root = system: (import (nix + "/debian-root.nix") { id = "root-12"; pin = pin // { inherit system; }; }).drvPath;
        in
        map root [ "x86_64-linux" "aarch64-linux" ]"#;
    let store = StoreDir::default();
    with_each_nix(|nix| {
        let args = [("nix", &*repository().join("nix")), ("file", &file)];
        let paths: Vec<String> = serde_json::from_value(nix.evaluate(expression, &args)).unwrap();
        for (expected, system) in paths.iter().zip(["x86_64-linux", "aarch64-linux"]) {
            let mut pin: Pin = toml::from_str(&read(&file)).unwrap();
            pin.system = system.to_owned();
            let toolchain = Toolchain::debian_root(&store, "root-12", &pin).unwrap();
            let paths = toolchain.texts.iter().map(|text| store.display(&text.path));
            assert!(paths.clone().any(|path| &path == expected), "{system}");
            for name in ["-busybox.drv", "-bootstrap-tools.tar.xz.drv"] {
                assert!(paths.clone().any(|path| path.ends_with(name)), "{name}");
            }
        }
        let unknown = r#"{ nix, file }: (import (nix + "/debian-root.nix")
            { id = "root-12"; pin = fromTOML (builtins.readFile file) // { system = "mips-linux"; }; }).drvPath"#;
        let words = [("nix", &args[0].1), ("file", &args[1].1)]
            .into_iter()
            .flat_map(|(name, path)| ["--arg", name, path.as_str()]);
        let words: Vec<_> = ["--eval", "--expr", unknown]
            .into_iter()
            .chain(words)
            .collect();
        let said = nix.try_run("nix-instantiate", &words);
        assert!(
            !said.success && said.stderr.contains("no shell and tools for mips-linux"),
            "{}",
            said.stderr
        );
    });
    let mut pin: Pin = toml::from_str(&read(&file)).unwrap();
    pin.system = "mips-linux".to_owned();
    let error = Toolchain::debian_root(&store, "root-12", &pin).unwrap_err();
    assert!(
        error.to_string().contains("known for mips-linux"),
        "{error}"
    );
    assert_eq!(
        error.hint().unwrap(),
        "supported are aarch64-linux and x86_64-linux"
    );
}

#[test]
fn a_changed_config_is_an_error_that_names_the_cure() {
    let fixture = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nix/fixture");
    let file = fixture.join("kernel.lock");
    let lock = Lock::parse(&read(&file), &file).unwrap();
    let store = StoreDir::default();
    let toolchain = Toolchain::host(&store, "x86_64-linux").unwrap();
    let error = plan(
        &store,
        "tiny",
        &lock.kernels["tiny"],
        "CONFIG_B=y\n",
        "",
        &toolchain,
    )
    .unwrap_err();
    assert!(error.to_string().contains("kernel.lock.d/tiny.config"));
    assert_eq!(error.hint().unwrap(), "run `cargo kernel lock`");
}

//! What the flake evaluates to, offline, with each version of Nix.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};

use super::{Nix, printed};
use crate::support::{Sandbox, require_tool, root};

/// The packages that are kernels.
const DERIVATIONS: &str = "packages: builtins.listToAttrs (map \
    (name: { name = builtins.substring 7 (-1) name; value = packages.${name}.drvPath; }) \
    (builtins.filter (name: builtins.substring 0 7 name == \"kernel-\") (builtins.attrNames packages)))";

type Paths = BTreeMap<String, String>;

fn stub() -> String {
    format!("path:{}/tests/fixtures/nixpkgs", root())
}

fn locked() -> Vec<String> {
    let lock = std::fs::read_to_string(root().join("kernel.lock")).unwrap();
    let lock = kernelkit::lock::Lock::parse(&lock, Utf8Path::new("kernel.lock")).unwrap();
    lock.kernels.into_keys().collect()
}

#[test]
fn the_flake_needs_neither_network_nor_nixpkgs_to_be_evaluated() {
    let sandbox = Sandbox::new();
    if !require_tool("git") {
        return;
    }
    let flake = format!("git+file://{}", root());
    let packages = format!("{flake}#packages.x86_64-linux");
    let mut first: Option<Paths> = None;
    for nix in Nix::each(&sandbox) {
        // The first of them copies the repository to the store; a busy machine gets three tries.
        let timed: Vec<_> = (0..4)
            .map(|_| {
                let begun = Instant::now();
                let args = [
                    "eval",
                    "--offline",
                    "--json",
                    &packages,
                    "--apply",
                    DERIVATIONS,
                ];
                let paths: Paths = serde_json::from_str(&nix.run("nix", &args)).unwrap();
                (begun.elapsed(), paths)
            })
            .collect();
        let fastest = timed.iter().map(|(time, _)| *time).min().unwrap();
        assert!(fastest < Duration::from_secs(2), "{fastest:?}");
        let paths = timed.into_iter().next().unwrap().1;
        assert_eq!(paths.keys().cloned().collect::<Vec<_>>(), locked());
        assert_eq!(first.get_or_insert_with(|| paths.clone()), &paths);

        let stub = stub();
        let offline = ["--offline", "--override-input", "nixpkgs", &stub];
        let run = |args: &[&str]| nix.run_in_place(root(), "nix", &[args, &offline[..]].concat());
        run(&["flake", "check", "--no-build", &flake]);
        let shown = run(&["flake", "show", &flake]);
        for output in [
            "kernel-x86_64",
            "kernel-arm64",
            "kernel-riscv64",
            "toolchain-debian-12",
            "cargo-kernel",
            "templates",
        ] {
            assert!(shown.contains(output), "{output} is not in {shown}");
        }
        let program = format!("{flake}#apps.x86_64-linux.default.program");
        let program = run(&["eval", "--raw", &program]);
        assert!(program.ends_with("/bin/cargo-kernel"), "{program}");
    }
}

/// This repository's flake, with the stand-in for nixpkgs, and its lock as a workspace.
struct Workspace<'a> {
    sandbox: &'a Sandbox,
}

impl<'a> Workspace<'a> {
    fn new(nix: &Nix<'a>) -> Option<Self> {
        let sandbox = nix.sandbox;
        if !require_tool("git") {
            return None;
        }
        for name in [
            "Cargo.toml",
            "kernel.lock",
            "kernel.lock.d",
            "nix",
            "flake.nix",
        ] {
            let copied = Command::new("cp")
                .args(["-r", root().join(name).as_str()])
                .arg(sandbox.path("project"))
                .status();
            assert!(copied.unwrap().success());
        }
        // Its members are not here, and a workspace of kernels needs none.
        let edit = |name: &str, old: &str, new: &str| {
            let path = sandbox.path("project").join(name);
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.contains(old), "{old}");
            std::fs::write(path, text.replace(old, new)).unwrap();
        };
        edit(
            "Cargo.toml",
            "members = [\"kernelkit\", \"cargo-kernel\", \"xtask\"]",
            "members = []",
        );
        edit("flake.nix", "github:NixOS/nixpkgs/nixos-26.05", &stub());
        let workspace = Workspace { sandbox };
        for args in [&["init", "-q"][..], &["add", "."]] {
            let mut git = Command::new("git");
            git.args(args).current_dir(workspace.directory());
            assert!(git.status().unwrap().success());
        }
        let directory = workspace.directory();
        nix.run("nix", &["flake", "lock", directory.as_str()]);
        Some(workspace)
    }

    fn directory(&self) -> Utf8PathBuf {
        self.sandbox.path("project")
    }

    /// Evaluates a function of the flake to JSON.
    fn evaluate(&self, nix: &Nix<'_>, function: &str) -> serde_json::Value {
        let expression = format!(
            "({function}) (builtins.getFlake \"git+file://{}\")",
            self.directory()
        );
        let args = [
            "--eval",
            "--strict",
            "--json",
            "--read-write-mode",
            "--expr",
        ];
        let text = nix.run("nix-instantiate", &[&args[..], &[&expression]].concat());
        serde_json::from_str(&text).unwrap()
    }

    /// `cargo kernel plan --drv` with this Nix first on PATH and its store as Nix' own.
    fn plan(&self, nix: &Nix<'_>, args: &[&str]) -> std::process::Output {
        let args = [&["plan", "--drv"], args].concat();
        let mut command = self.sandbox.process(&self.directory(), &args);
        if let Some(programs) = &nix.programs {
            let path = std::env::var("PATH").unwrap();
            let cargo = Utf8Path::new(env!("CARGO")).parent().unwrap();
            command.env("PATH", format!("{programs}:{cargo}:{path}"));
        }
        nix.settings(&mut command);
        command.env("NIX_REMOTE", nix.store()).output().unwrap()
    }
}

#[test]
fn a_plan_has_the_derivations_of_the_flake_byte_for_byte() {
    let sandbox = Sandbox::new();
    let each = Nix::each(&sandbox);
    let Some(workspace) = each.first().and_then(Workspace::new) else {
        return;
    };
    for (index, nix) in each.iter().enumerate() {
        for toolchain in [None, Some("debian-12"), Some("host"), Some("nixpkgs")] {
            let id = toolchain.map_or("null".to_owned(), |id| format!("\"{id}\""));
            let function = format!(
                "flake: builtins.mapAttrs (_: kernel: kernel.drvPath) (flake.lib.mkKernels {{ \
                 directory = flake; toolchain = {id}; }})"
            );
            let evaluated = workspace.evaluate(nix, &function);
            let expected: Paths = serde_json::from_value(evaluated).unwrap();
            assert_eq!(expected.keys().cloned().collect::<Vec<_>>(), locked());

            let directory = sandbox.path(&format!("drv-{index}-{}", toolchain.unwrap_or("own")));
            let mut args = vec!["--out", directory.as_str()];
            args.extend(toolchain.iter().flat_map(|id| ["--toolchain", id]));
            let output = printed(workspace.plan(nix, &args));
            assert_eq!(
                output.lines().collect::<Vec<_>>(),
                expected.values().collect::<Vec<_>>(),
                "{toolchain:?}"
            );
            let mut compared = 0;
            for entry in directory.read_dir_utf8().unwrap() {
                let entry = entry.unwrap();
                let stored = nix.place("/nix/store").join(entry.file_name());
                let bytes = std::fs::read(entry.path()).unwrap();
                assert_eq!(bytes, std::fs::read(stored).unwrap(), "{}", entry.path());
                compared += 1;
            }
            // The kernels, their configs, their sources, the builder.
            assert!(compared > 2 * expected.len(), "{compared}");
        }

        // A store that has nothing takes what the plan consists of.
        let store = sandbox.path(&format!("nix/empty-{index}"));
        let output = workspace.plan(nix, &["x86_64", "arm64", "--store", store.as_str()]);
        let mut references = nix.command("nix-store", &["--store", store.as_str(), "--query"]);
        references
            .args(["--references"])
            .args(printed(output).lines());
        assert!(printed(references.output().unwrap()).contains("-debian-12.drv"));
    }
}

//! What the flake evaluates to, offline, with each version of Nix.

use std::collections::BTreeMap;
use std::process::{Command, Output};
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

        // The roots run on x86_64, so do the kernels; evaluating them fails nowhere.
        let systems = format!("{flake}#packages.aarch64-linux");
        let names = [
            "eval",
            "--offline",
            "--json",
            &systems,
            "--apply",
            "builtins.attrNames",
        ];
        assert_eq!(nix.run("nix", &names), "[\"cargo-kernel\",\"default\"]");

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
        let text = printed(self.try_evaluate(nix, function));
        serde_json::from_str(&text).unwrap()
    }

    fn try_evaluate(&self, nix: &Nix<'_>, function: &str) -> Output {
        let directory = self.directory();
        let expression = format!("({function}) (builtins.getFlake \"git+file://{directory}\")");
        let args = [
            "--eval",
            "--strict",
            "--json",
            "--read-write-mode",
            "--expr",
        ];
        nix.output("nix-instantiate", &[&args[..], &[&expression]].concat())
    }

    /// `cargo kernel plan --drv` with this Nix first on PATH and its store as Nix' own.
    fn plan(&self, nix: &Nix<'_>, args: &[&str]) -> Output {
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
        for toolchain in [
            None,
            Some("debian-12"),
            Some("host"),
            Some("nixpkgs"),
            Some("nixpkgs-clang"),
        ] {
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

/// What somebody did to a workspace, and what both writers of derivations say.
struct Mistake {
    arrange: fn(&Sandbox),
    kernel: &'static str,
    toolchain: Option<&'static str>,
    evaluator: &'static str,
    program: &'static str,
    hint: &'static str,
}

fn edit(sandbox: &Sandbox, name: &str, edit: impl Fn(String) -> String) {
    let path = sandbox.path("project").join(name);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(path, edit(text)).unwrap();
}

#[test]
fn what_is_wrong_with_a_lock_is_said_with_the_way_out() {
    let mistakes = [
        Mistake {
            arrange: |_| {},
            kernel: "vm",
            toolchain: Some("debian-99"),
            evaluator: "kernel.lock has no toolchain `debian-99`, and there is no kernel.lock.d/debian-99.toml",
            program: "kernel.lock has no toolchain `debian-99`, and there is no kernel.lock.d/debian-99.toml",
            hint: "`cargo kernel toolchain pin debian-99` writes one",
        },
        Mistake {
            arrange: |sandbox| {
                edit(sandbox, "Cargo.toml", |text| {
                    format!(
                        "{text}\n[workspace.metadata.kernel.kernels.new]\nversion = \"6.12\"\npreset = \"tiny\"\n"
                    )
                });
            },
            kernel: "new",
            toolchain: None,
            evaluator: "kernel.lock has no kernel `new`; it has arm64 riscv64 vm x86_64 x86_64-6_1",
            program: "kernel.lock has no kernel `new`",
            hint: "run `cargo kernel lock new`",
        },
        Mistake {
            arrange: |sandbox| {
                edit(sandbox, "kernel.lock.d/vm.config", |text| {
                    text + "# edited\n"
                });
            },
            kernel: "vm",
            toolchain: None,
            evaluator: "kernel.lock.d/vm.config is not the file that kernel.lock names; run `cargo kernel lock`",
            program: "kernel.lock.d/vm.config is not the file that kernel.lock names",
            hint: "run `cargo kernel lock`",
        },
        Mistake {
            arrange: |sandbox| {
                edit(sandbox, "kernel.lock", |text| {
                    text.replace("version = 2\n", "version = 9\n")
                });
            },
            kernel: "vm",
            toolchain: None,
            evaluator: "kernel.lock has format 9; this flake reads format 2",
            program: "has format 9; this kernelkit reads 1 to 2",
            hint: "use the kernelkit that wrote it, or a later one",
        },
        Mistake {
            arrange: |sandbox| {
                edit(sandbox, "kernel.lock", |text| {
                    text.replace("version = 2\n", "version = 1\n")
                });
            },
            kernel: "vm",
            toolchain: None,
            evaluator: "kernel.lock has format 1; run `cargo kernel lock`",
            program: "kernel.lock has format 1, and this kernelkit writes 2",
            hint: "`cargo kernel lock` rewrites it; sources stay as they are, releases change",
        },
        Mistake {
            arrange: |sandbox| {
                edit(sandbox, "kernel.lock", |text| {
                    text.replace("kind = \"debian-root\"", "kind = \"cloud\"")
                });
            },
            kernel: "vm",
            toolchain: None,
            evaluator: "toolchain `debian-12` has the unknown kind `cloud`; supported are debian-root host nixpkgs",
            program: "is not a lock of this kernelkit",
            hint: "`cargo kernel lock` writes a new one when this one is removed",
        },
        Mistake {
            arrange: |sandbox| std::fs::remove_file(sandbox.path("project/kernel.lock")).unwrap(),
            kernel: "vm",
            toolchain: None,
            evaluator: "there is no kernel.lock; run `cargo kernel lock`, and `git add` what it writes",
            program: "kernel.lock is not there",
            hint: "`cargo kernel lock` writes it",
        },
    ];
    for mistake in mistakes {
        let sandbox = Sandbox::new();
        let each = Nix::each(&sandbox);
        let Some(workspace) = each.first().and_then(Workspace::new) else {
            return;
        };
        (mistake.arrange)(&sandbox);
        let name = mistake.kernel;
        let id = mistake
            .toolchain
            .map_or("null".to_owned(), |id| format!("\"{id}\""));
        let function = format!(
            "flake: (flake.lib.mkKernel {{ directory = flake; name = \"{name}\"; toolchain = {id}; }}).drvPath"
        );
        for nix in &each {
            let output = workspace.try_evaluate(nix, &function);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                !output.status.success() && said.contains(mistake.evaluator),
                "{said}"
            );
        }
        let mut args = vec![name];
        args.extend(mistake.toolchain.iter().flat_map(|id| ["--toolchain", id]));
        let output = workspace.plan(&each[0], &args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(101), "{said}");
        for words in [mistake.program, mistake.hint] {
            assert!(said.contains(words), "{words}: {said}");
        }
    }
}

#[test]
fn only_the_toolchain_can_be_another_than_the_lock_says() {
    let sandbox = Sandbox::with_kernels("");
    let said = |args: &[&str]| {
        let output = sandbox
            .kernel(&[&["plan", "--drv"], args].concat())
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, text) = said(&["--preset", "vm", "--toolchain", "host"]);
    assert!(
        code == Some(2) && text.contains("run `cargo kernel lock`"),
        "{text}"
    );
    let (code, text) = said(&["--toolchain", "no\" such"]);
    assert!(
        code == Some(2) && text.contains("cannot be the name of a toolchain"),
        "{text}"
    );
}

#[test]
fn a_kernel_has_what_nixpkgs_and_nixos_ask_of_one() {
    let sandbox = Sandbox::new();
    let each = Nix::each(&sandbox);
    let Some(workspace) = each.first().and_then(Workspace::new) else {
        return;
    };
    // As nixpkgs' linuxPackagesFor, its module builds and NixOS' boot.kernelPackages use them.
    let function = r#"flake:
    let
      overlaid = flake.overlays.default pkgs pkgs;
      pkgs = flake.inputs.nixpkgs.legacyPackages.x86_64-linux;
      kernel = (flake.lib.mkKernel { directory = flake; name = "vm"; }).override { features = { }; };
    in
    {
      release = kernel.modDirVersion;
      inherit (kernel) version isZen;
      older = kernel.kernelOlder "6.13" && !kernel.kernelOlder "6.12" && kernel.kernelAtLeast "6.12";
      config = with kernel.config; isYes "MODULES" && isEnabled "CONFIG_VIRTIO_BLK" && isDisabled "NO_SUCH" && isNo "NO_SUCH";
      outputs = kernel.outputs;
      dev = "${kernel.dev}/lib/modules/${kernel.modDirVersion}/build";
      modules = "${kernel.modules}";
      configfile = builtins.isString "${kernel.configfile}";
      passthru = kernel.passthru.modDirVersion == kernel.modDirVersion;
      stdenv = (flake.lib.mkKernel { directory = flake; name = "vm"; toolchain = "nixpkgs"; }).stdenv.cc.targetPrefix;
      overlay = builtins.attrNames overlaid.kernelkit.kernels;
      overlay-same = overlaid.kernelkit.kernels.vm.drvPath == kernel.drvPath;
      overlay-program = overlaid.cargo-kernel.name;
      described = flake.devShells.x86_64-linux.nixpkgs-clang-arm64.describe;
    }"#;
    for nix in &each {
        let found = workspace.evaluate(nix, function);
        let release = found["release"].as_str().unwrap();
        assert!(release.starts_with("6.12."), "{found}");
        assert!(
            release.starts_with(found["version"].as_str().unwrap()),
            "{found}"
        );
        for truth in ["older", "config", "configfile", "passthru", "overlay-same"] {
            assert_eq!(found[truth], true, "{truth}: {found}");
        }
        assert_eq!(found["isZen"], false);
        assert_eq!(
            found["outputs"],
            serde_json::json!(["out", "modules", "dev", "debug"])
        );
        assert_eq!(found["stdenv"], "");
        assert_eq!(found["overlay"], serde_json::json!(locked()));
        assert_eq!(found["overlay-program"], "cargo-kernel-0.1.0");
        assert_eq!(found["described"]["value"]["system"], "x86_64-linux");
        assert!(
            found["modules"].as_str().unwrap().ends_with("-modules"),
            "{found}"
        );
    }
}

#[test]
fn a_repository_begins_with_the_template() {
    let sandbox = Sandbox::new();
    let flake = format!("git+file://{}", root());
    for (index, nix) in Nix::each(&sandbox).into_iter().enumerate() {
        let directory = sandbox.path(&format!("new-{index}"));
        std::fs::create_dir(&directory).unwrap();
        nix.run_in_place(
            &directory,
            "nix",
            &["flake", "init", "--offline", "-t", &flake],
        );
        // `cargo kernel lock` writes these; vm is the template's kernel.
        for name in ["kernel.lock", "kernel.lock.d"] {
            let mut copy = Command::new("cp");
            copy.args(["-r", root().join(name).as_str(), directory.as_str()]);
            assert!(copy.status().unwrap().success());
        }
        let stub = stub();
        let evaluate = |attribute: &str, inputs: &[&str]| {
            let installable = format!("{attribute}#packages.x86_64-linux.kernel-vm.drvPath");
            let args = [&["eval", "--offline", "--raw", &installable], inputs].concat();
            nix.run_in_place(root(), "nix", &args)
        };
        let inputs = [
            "--no-write-lock-file",
            "--override-input",
            "kernelkit",
            &flake,
            "--override-input",
            "kernelkit/nixpkgs",
            &stub,
        ];
        let own = evaluate(&format!("path:{directory}"), &inputs);
        assert_eq!(own, evaluate(&flake, &[]));
    }
}

//! What kernelkit computes of Nix against Nix: the same tree, the same lock.

use camino::{Utf8Path, Utf8PathBuf};
use kernelkit::effect::{exec, fs};
use kernelkit::lock::Lock;
use kernelkit::process::Call;

use crate::Result;
use crate::bench::kernel::Project;
use crate::bench::{Goal, Row, Setting, Side, Sides};

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "nar-hash",
        about: "hash of a kernel tree's archive / nix hash path",
        goal: Some(Goal::Ratio(0.5)),
        prepare: nar_hash,
    },
    Row {
        name: "drv-100",
        about: "derivations of a lock of 100 kernels / nix-instantiate of the same",
        goal: Some(Goal::Ratio(0.5)),
        prepare: drv_100,
    },
    Row {
        name: "nix-overhead",
        about: "build by the backend nix / plain make in the same sandbox",
        goal: None,
        prepare: overhead,
    },
];

/// Unpacks and makes as one would by hand; the environment is that of the kernel's derivation.
const PLAIN_MAKE: &str = r#"set -eu
cd "$NIX_BUILD_TOP"
mkdir source build
ar p "$src" data.tar.xz | tar -xJOf - "./$sourceMember" | tar -xJf - -C source --strip-components=1
cp "$config" build/.config
chmod u+w build/.config
mapfile -t variables < <(printf '%s\n' "$makeVariables" "$toolchainVariables" | grep .)
plain_make() {
    env -i PATH="$PATH" HOME="$NIX_BUILD_TOP" make -C source O="$NIX_BUILD_TOP/build" \
        -j"$NIX_BUILD_CORES" "${variables[@]}" "$@"
}
plain_make olddefconfig
plain_make $makeGoals
plain_make modules_install INSTALL_MOD_PATH="$out"
cp "build/$image" "$out/"
"#;

/// The lock that the tests compare with the evaluator.
const FIXTURE: &str = "kernelkit/tests/nix/fixture";

fn ours(setting: &Setting<'_>, args: [&str; 2]) -> Call {
    let program = setting.workspace.target.join("release/examples/nix");
    setting.workspace.call(program.as_str()).args(args)
}

/// A program of Nix, with an empty store and no configuration but this.
fn nix(setting: &Setting<'_>, program: &str) -> Call {
    let scratch = setting.scratch.join("nix");
    setting
        .workspace
        .call(program)
        .env("NIX_REMOTE", scratch.join("root"))
        .env("NIX_CONF_DIR", scratch.join("conf"))
        .env("NIX_CONFIG", "experimental-features = nix-command")
}

fn side(call: Call) -> Side {
    Side {
        before: Vec::new(),
        timed: vec![call],
    }
}

/// Both sides, once they have said the same.
fn compared(ours: Call, reference: Call) -> Result<Sides> {
    let [left, right] = [&ours, &reference].map(|call| {
        exec::capture(call).map(|output| {
            let mut words: Vec<_> = output
                .text()
                .split([' ', '\n', '[', ']', '"', ','])
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
                .collect();
            words.sort_unstable();
            words
        })
    });
    let (left, right) = (left?, right?);
    if left.is_empty() || left != right {
        return Err(format!("{ours} and {reference} do not agree").into());
    }
    Ok(Sides {
        ours: side(ours),
        reference: Some(side(reference)),
        goal: None,
        holds: None,
    })
}

fn nar_hash(setting: &Setting<'_>) -> Result<Sides> {
    let tree = setting.tree.as_str();
    compared(
        ours(setting, ["hash", tree]),
        nix(setting, "nix").args(["hash", "path", "--base32", tree]),
    )
}

fn drv_100(setting: &Setting<'_>) -> Result<Sides> {
    let lock = lock_of_100(setting)?;
    let nix_files = setting.workspace.root.join("nix");
    let directory = lock.parent().ok_or("a lock lies in a directory")?;
    let expression = format!(
        "map (kernel: kernel.drvPath) (builtins.attrValues (import {nix_files} {{ directory = {directory}; }}).kernels)"
    );
    compared(
        ours(setting, ["plan", lock.as_str()]),
        nix(setting, "nix-instantiate")
            .args(["--eval", "--strict", "--json", "--expr"])
            .arg(expression),
    )
}

/// From nothing both times: what the store has of the kernel is deleted before.
fn overhead(setting: &Setting<'_>) -> Result<Sides> {
    let settings = "toolchain = \"debian-12\"\nbackend = \"nix\"\nreuse = false\n";
    let project = Project::single(
        setting,
        "nix-overhead",
        "debian:linux-source-6.12",
        settings,
    )?;
    let environment = nix(setting, "nix").env;
    let conf = &environment["NIX_CONF_DIR"];
    fs::write_atomic(
        Utf8Path::new(conf).join("nix.conf"),
        b"build-users-group =\nsandbox = true\nsandbox-fallback = false\nsandbox-paths =\nsubstituters =\n",
    )?;
    let build = project.build().envs(&environment);
    exec::capture(&project.kernel(&["lock"]).envs(&environment))?;
    exec::capture(&build)?;
    let nix_files = setting.workspace.root.join("nix");
    let script = project.dir.join("plain.sh");
    fs::write_atomic(&script, PLAIN_MAKE.as_bytes())?;
    let expression = |of: &str| {
        format!(
            "let kernel = (import {nix_files} {{ directory = {}; }}).kernels.bench; in {of}",
            project.dir
        )
    };
    let plain = expression(&format!(
        "derivation (kernel.drvAttrs // {{ name = \"plain-make\"; outputs = [ \"out\" ]; buildScript = {script}; }})"
    ));
    let instantiated = |expression: &str| -> Result<String> {
        let call = nix(setting, "nix-instantiate").args(["--expr", expression]);
        Ok(exec::capture(&call)?.text().trim().to_owned())
    };
    let [kernel, plain] = [instantiated(&expression("kernel"))?, instantiated(&plain)?];
    let forget = |derivation: &str| {
        nix(setting, "sh").args([
            "-c",
            "rm -rf \"$2\"; for path in $(nix-store --query --outputs \"$1\"); do nix-store --delete --ignore-liveness \"$path\" || ! nix-store --check-validity \"$path\"; done",
            "sh",
            derivation,
            project.state().as_str(),
        ])
    };
    Ok(Sides {
        ours: Side {
            before: vec![forget(kernel.trim_end_matches("!out"))],
            timed: vec![build],
        },
        reference: Some(Side {
            before: vec![forget(&plain)],
            timed: vec![nix(setting, "nix-store").args(["--realise", &plain])],
        }),
        goal: None,
        holds: None,
    })
}

/// A hundred kernels that differ in their names and releases.
fn lock_of_100(setting: &Setting<'_>) -> Result<Utf8PathBuf> {
    let fixture = setting.workspace.root.join(FIXTURE);
    let directory = setting.scratch.join("nix/lock");
    for directory_name in ["kernel.lock.d", "patches"] {
        fs::create_dir_all(directory.join(directory_name))?;
    }
    let file = fixture.join("kernel.lock");
    let read = Lock::parse(&fs::read_to_string(&file)?, &file)?;
    let kernel = &read.kernels["tiny"];
    let toolchain = &read.toolchains[&kernel.toolchain];
    let patches = kernel.source.patches.iter().map(|patch| &patch.path);
    for path in patches.chain([&kernel.config.path]).chain(&toolchain.pin) {
        fs::copy(fixture.join(path), directory.join(path))?;
    }
    let mut lock = Lock::default();
    for number in 0..100 {
        let mut kernel = kernel.clone();
        kernel.release = format!("{}-{number}", kernel.version);
        lock.insert(&format!("k{number}"), kernel, toolchain.clone());
    }
    let file = directory.join("kernel.lock");
    fs::write_atomic(&file, lock.to_text().as_bytes())?;
    Ok(file)
}

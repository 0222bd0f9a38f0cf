//! The flake and `nix/` with a real Nix: a store of its own, no network, no nixpkgs.
//!
//! The kernels are those of the stand-in tree, built in Nix' sandbox, into which nothing of
//! the machine reaches, with the pinned Debian packages as toolchain.

mod flake;

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use camino::{Utf8Path, Utf8PathBuf};
use kernelkit::nix::failure::Cause;
use kernelkit::source::Sha256;

use crate::support::http::Server;
use crate::support::{
    Sandbox, StandIn, require_root, require_tool, require_tree, require_user_namespaces, root,
    wait_for, without,
};

/// A Nix whose store and settings lie in a sandbox.
struct Nix<'a> {
    sandbox: &'a Sandbox,
    /// Where its programs are, if not on PATH.
    programs: Option<Utf8PathBuf>,
    store: Utf8PathBuf,
}

impl<'a> Nix<'a> {
    /// `None` where there is no Nix, or no user namespace to make a sandbox with.
    fn new(sandbox: &'a Sandbox) -> Option<Self> {
        if !require_tool("nix") || !require_user_namespaces() {
            return None;
        }
        sandbox.write(
            "nix/nix.conf",
            "build-users-group =\nsandbox = true\nsandbox-fallback = false\nsandbox-paths =\n\
             substituters =\nflake-registry =\nexperimental-features = nix-command flakes\n",
        );
        Some(Nix {
            sandbox,
            programs: None,
            store: sandbox.path("nix/root"),
        })
    }

    /// The Nix on PATH, then those of other versions: KERNELKIT_TEST_NIX, directories with
    /// `bin/nix`. Each has a store of its own.
    fn each(sandbox: &'a Sandbox) -> Vec<Self> {
        let Some(installed) = Nix::new(sandbox) else {
            return Vec::new();
        };
        let directories = std::env::var("KERNELKIT_TEST_NIX").unwrap_or_default();
        let others = directories
            .split(':')
            .filter(|directory| !directory.is_empty())
            .enumerate()
            .map(|(index, directory)| Nix {
                sandbox,
                programs: Some(Utf8Path::new(directory).join("bin")),
                store: sandbox.path(&format!("nix/root-{index}")),
            });
        let found: Vec<_> = std::iter::once(installed).chain(others).collect();
        if found.len() == 1 {
            without("KERNELKIT_TEST_NIX, which `cargo xtask test` sets,");
        }
        found
    }

    fn store(&self) -> Utf8PathBuf {
        self.store.clone()
    }

    /// Where a path of the store lies.
    fn place(&self, path: &str) -> Utf8PathBuf {
        self.store().join(path.trim_start_matches('/'))
    }

    fn settings(&self, command: &mut Command) {
        command
            .env("NIX_CONF_DIR", self.sandbox.path("nix"))
            .env("XDG_CACHE_HOME", self.sandbox.path("nix/cache"))
            .env("HOME", self.sandbox.path("home"))
            .env("TMPDIR", self.sandbox.path("tmp"));
    }

    fn command(&self, program: &str, args: &[&str]) -> Command {
        let program = match &self.programs {
            Some(directory) => directory.join(program),
            None => program.into(),
        };
        let mut command = Command::new(program);
        command.args(args).current_dir(root());
        self.settings(&mut command);
        command
    }

    fn output(&self, program: &str, args: &[&str]) -> Output {
        let mut command = self.command(program, args);
        command.args(["--store", self.store().as_str()]);
        command.output().unwrap()
    }

    /// What a program of Nix' prints; it must succeed.
    fn run(&self, program: &str, args: &[&str]) -> String {
        printed(self.output(program, args))
    }

    /// Builds once more what is built, where Nix can make the one user namespace of its sandbox and the
    /// build none; what it says.
    fn without_more_namespaces(&self, derivation: &str) -> String {
        let script = "read go; exec bash -c 'echo 1 > /proc/sys/user/max_user_namespaces; exec \"$@\"' - \"$@\"";
        let target = format!("{derivation}!out");
        let mut command = Command::new("unshare");
        command.args(["--user", "--mount", "bash", "-c", script, "-", "nix-store"]);
        command.args(["--realise", "--check", &target, "--store"]);
        command.arg(self.store());
        self.settings(&mut command);
        let pipes = command.stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut process = pipes.stdout(Stdio::null()).spawn().unwrap();
        // Users of the new namespace are given from outside, when it is there.
        let own = std::fs::read_link("/proc/self/ns/user").unwrap();
        let its = format!("/proc/{}/ns/user", process.id());
        wait_for("a user namespace", || {
            std::fs::read_link(&its).is_ok_and(|namespace| namespace != own)
        });
        for map in ["uid_map", "gid_map"] {
            std::fs::write(format!("/proc/{}/{map}", process.id()), "0 0 4294967295").unwrap();
        }
        process.stdin.take().unwrap().write_all(b"go\n").unwrap();
        let output = process.wait_with_output().unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// As [`Nix::run`], with a store that is where it says it is, instead of below `/nix/store` of a
    /// root: templates need that.
    fn run_in_place(&self, directory: &Utf8Path, program: &str, args: &[&str]) -> String {
        let mut command = self.command(program, args);
        for name in ["STORE", "STATE", "LOG"] {
            let part = format!("in-place/{}", name.to_lowercase());
            command.env(format!("NIX_{name}_DIR"), self.store().join(part));
        }
        printed(command.current_dir(directory).output().unwrap())
    }
}

/// What a command that must succeed prints.
fn printed(output: Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).trim().to_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// A project that locks a stand-in kernel for the Debian root, with all that Nix needs to
/// build it in the store.
struct Project<'a> {
    nix: Nix<'a>,
    _server: Option<Server>,
}

const KERNELS: [&str; 2] = ["tiny", "tiny-arm64"];

impl<'a> Project<'a> {
    fn new(sandbox: &'a Sandbox) -> Option<Self> {
        let nix = Nix::new(sandbox)?;
        StandIn::new(sandbox, "linux-6.12.117");
        let tarball = sandbox.path("linux-6.12.117.tar.gz");
        let mut tar = Command::new("tar");
        tar.args(["-czf", tarball.as_str(), "linux-6.12.117"]);
        assert!(
            tar.current_dir(sandbox.path(""))
                .status()
                .unwrap()
                .success()
        );
        let bytes = std::fs::read(&tarball).unwrap();
        let server = Server::start();
        let source = format!(
            "{}/linux-6.12.117.tar.gz#sha256={}",
            server.url,
            Sha256::of(&bytes)
        );
        server.put("/linux-6.12.117.tar.gz", bytes);
        let kernel = |name: &str, arch: &str| {
            format!(
                "[workspace.metadata.kernel.kernels.{name}]\nsource = \"{source}\"\narch = \"{arch}\"\npreset = \"tiny\"\ntoolchain = \"debian-12\"\n"
            )
        };
        let [first, second] = KERNELS;
        sandbox.write(
            "project/Cargo.toml",
            &format!(
                "[workspace]\nmembers = []\nresolver = \"3\"\n\n{}{}",
                kernel(first, "x86_64"),
                kernel(second, "arm64")
            ),
        );
        let pin = std::fs::read_to_string(root().join("kernel.lock.d/debian-12.toml")).unwrap();
        sandbox.write("project/kernel.lock.d/debian-12.toml", &pin);
        let project = Project {
            nix,
            _server: Some(server),
        };
        project.kernel(&["lock"]);
        project
            .nix
            .run("nix-store", &["--add-fixed", "sha256", tarball.as_str()]);
        Some(project)
    }

    /// Runs `cargo kernel`; it must succeed.
    fn kernel(&self, args: &[&str]) -> String {
        let sandbox = self.nix.sandbox;
        let mut command = sandbox.process(&sandbox.path("project"), args);
        command.env("NIX_CONF_DIR", sandbox.path("nix"));
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        assert!(
            output.status.success(),
            "{args:?}: {}",
            text(&output.stderr)
        );
        text(&output.stdout)
    }

    /// The derivation of a kernel, with another toolchain than the lock's where one is given.
    fn instantiate(&self, name: &str, toolchain: &str) -> String {
        let directory = self.nix.sandbox.path("project");
        let stub = root().join("tests/fixtures/nixpkgs/flake.nix");
        let expression = format!(
            "(import {}/nix {{ directory = {directory}; toolchain = {toolchain}; \
             nixpkgs = system: ((import {stub}).outputs {{ self = null; }}).legacyPackages.${{system}}; \
             }}).kernels.{name}",
            root()
        );
        self.nix.run("nix-instantiate", &["--expr", &expression])
    }

    /// Builds a derivation; `out` and `modules` on disk.
    fn realise(&self, derivation: &str, options: &[&str]) -> [Utf8PathBuf; 2] {
        let paths = |output: &str| {
            let path = self.nix.run(
                "nix-store",
                &[
                    &["--realise"],
                    options,
                    &[&format!("{derivation}!{output}")],
                ]
                .concat(),
            );
            self.nix.place(path.lines().last().unwrap())
        };
        ["out", "modules"].map(paths)
    }
}

/// Every file below `directory`, with its bytes.
fn files(directory: &Utf8Path, below: &str) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in directory.join(below).read_dir_utf8().unwrap() {
        let entry = entry.unwrap();
        let relative = format!("{below}/{}", entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files(directory, &relative));
        } else if kind.is_file() {
            found.push((relative, std::fs::read(entry.path()).unwrap()));
        }
    }
    found.sort();
    found
}

#[test]
fn a_kernel_of_the_sandbox_has_the_bytes_of_a_build_outside() {
    let sandbox = Sandbox::new();
    let Some(project) = Project::new(&sandbox) else {
        return;
    };
    let store = project.nix.store();
    let added = project.kernel(&[
        "toolchain",
        "add",
        "debian-12",
        "--store",
        store.as_str(),
        "--message-format",
        "json",
    ]);
    assert!(added.contains("-debian-12\""), "{added}");
    project.kernel(&[&["build"], &KERNELS[..]].concat());
    for name in KERNELS {
        let derivation = project.instantiate(name, "null");
        let [out, modules] = project.realise(&derivation, &[]);
        let host = sandbox.path(&format!("project/target/kernel/{name}/destdir"));
        assert_eq!(files(&out, "boot"), files(&host, "boot"), "{name}");
        assert_eq!(files(&modules, "lib"), files(&host, "lib"), "{name}");
        let manifest = std::fs::read_to_string(out.join("manifest.json")).unwrap();
        let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
        let built = std::fs::read_to_string(host.parent().unwrap().join("manifest.json")).unwrap();
        let built: serde_json::Value = serde_json::from_str(&built).unwrap();
        for key in [
            "release", "version", "arch", "digest", "outputs", "observed",
        ] {
            assert_eq!(manifest[key], built[key], "{name}: {key}");
        }
        let references = project.nix.run(
            "nix-store",
            &[
                "--query",
                "--references",
                &format!("/{}", out.strip_prefix(&store).unwrap()),
            ],
        );
        assert_eq!(references, "", "the run layer keeps nothing alive");
    }
    if require_root() {
        let derivation = project.instantiate(KERNELS[0], "null");
        let said = project.nix.without_more_namespaces(&derivation);
        for words in [
            "does not let the build make a user namespace",
            "As root: sysctl -w",
        ] {
            assert!(said.contains(words), "{said}");
        }
        assert_eq!(Cause::of(&said), Some(Cause::NoUserNamespaces));
    }

    // The machine's own tools, through the code for nixpkgs: the same bytes where they are
    // the root's.
    let version = Command::new("gcc")
        .arg("--version")
        .output()
        .unwrap()
        .stdout;
    let version = String::from_utf8_lossy(&version)
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned();
    let config =
        std::fs::read_to_string(sandbox.path("project/kernel.lock.d/tiny.config")).unwrap();
    if config.contains(&version) {
        let usr = [
            "--option",
            "sandbox-paths",
            "/bin /usr /lib /lib64 /etc/alternatives",
        ];
        for toolchain in ["\"nixpkgs\"", "\"host\""] {
            let derivation = project.instantiate("tiny", toolchain);
            let [out, modules] = project.realise(&derivation, &usr);
            let host = sandbox.path("project/target/kernel/tiny/destdir");
            assert_eq!(files(&out, "boot"), files(&host, "boot"), "{toolchain}");
            assert_eq!(files(&modules, "lib"), files(&host, "lib"), "{toolchain}");
        }
    }

    let config = sandbox.path("project/kernel.lock.d/tiny.config");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text + "# edited\n").unwrap();
    let expression = format!(
        "(import {}/nix {{ directory = {}; }}).kernels.tiny.drvPath",
        root(),
        sandbox.path("project")
    );
    let evaluate = ["--eval", "--expr", expression.as_str()];
    let output = project.nix.output("nix-instantiate", &evaluate);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.contains("run `cargo kernel lock`"),
        "{said}"
    );
}

#[test]
fn a_kernel_of_the_sandbox_boots() {
    let Some(tree) = require_tree("6.12") else {
        return;
    };
    if !require_tool("qemu-system-x86_64") {
        return;
    }
    let sandbox = Sandbox::new();
    let Some(nix) = Nix::new(&sandbox) else {
        return;
    };
    // The trees of `cargo xtask test` come from packages in the same cache.
    let cache = tree.parent().and_then(Utf8Path::parent).unwrap();
    let hash = tree.file_name().unwrap().trim_start_matches("sha256-");
    let package = cache
        .join("download")
        .read_dir_utf8()
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.extension() == Some("deb"))
        .find(|path| Sha256::of(&std::fs::read(path).unwrap()).to_string() == hash);
    let Some(package) = package else {
        without("a kernel tree in kernelkit's cache");
        return;
    };
    std::fs::remove_dir(sandbox.path("cache")).unwrap();
    std::os::unix::fs::symlink(cache, sandbox.path("cache")).unwrap();

    sandbox.write(
        "project/Cargo.toml",
        "[workspace]\nmembers = []\nresolver = \"3\"\n\n[workspace.metadata.kernel.kernels.tiny]\n\
         source = \"debian:linux-source-6.12\"\narch = \"x86_64\"\npreset = \"tiny\"\ntoolchain = \"debian-12\"\n",
    );
    let pin = std::fs::read_to_string(root().join("kernel.lock.d/debian-12.toml")).unwrap();
    sandbox.write("project/kernel.lock.d/debian-12.toml", &pin);
    let project = Project { nix, _server: None };
    project.kernel(&["lock"]);
    let lock = std::fs::read_to_string(sandbox.path("project/kernel.lock")).unwrap();
    let value = |key: &str| {
        let line = lock
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{key} = \"")));
        line.unwrap().trim_end_matches('"').to_owned()
    };
    let named = sandbox.path(&value("name"));
    std::fs::copy(package, &named).unwrap();
    project
        .nix
        .run("nix-store", &["--add-fixed", "sha256", named.as_str()]);
    let store = project.nix.store();
    project.kernel(&["toolchain", "add", "debian-12", "--store", store.as_str()]);
    let derivation = project.instantiate("tiny", "null");
    let [out, modules] = project.realise(&derivation, &[]);

    let release = value("release");
    assert!(
        modules
            .join("lib/modules")
            .join(&release)
            .join("modules.dep")
            .exists()
    );
    let console = Command::new("timeout")
        .args([
            "120",
            "qemu-system-x86_64",
            "-accel",
            "tcg",
            "-cpu",
            "max",
            "-m",
            "256M",
        ])
        .args([
            "-nodefaults",
            "-display",
            "none",
            "-no-reboot",
            "-serial",
            "stdio",
        ])
        .args([
            "-kernel",
            out.join(format!("boot/vmlinuz-{release}")).as_str(),
        ])
        .args(["-append", "console=ttyS0 panic=-1"])
        .output()
        .unwrap();
    let console = String::from_utf8_lossy(&console.stdout).into_owned();
    // There is no root file system: what it says of that is its last word.
    for words in [
        &format!("Linux version {release} "),
        "No working init found",
    ] {
        assert!(console.contains(words), "{console}");
    }
}

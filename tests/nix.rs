//! The flake and `nix/` with a real Nix: a store of its own, no network, no nixpkgs.
//!
//! The kernels are those of the stand-in tree, built in Nix' sandbox, into which nothing of
//! the machine reaches, with the pinned Debian packages as toolchain.

mod alone;
mod flake;
mod read_back;
mod trouble;

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
        if let Some(programs) = &self.programs {
            // An unpacked Nix takes its loader for itself, and that is no hook.
            let hook = format!("build-hook = {programs}/nix __build-remote");
            command.env("NIX_CONFIG", hook);
        }
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
        // What it remembers of a commit are paths of the other store.
        command.env("XDG_CACHE_HOME", self.store().join("in-place/cache"));
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

/// A release without a digest, and a certificate.
const TEMPLATE_AND_TRUST: &str = "release = \"{version}-{build}.{dist}\"\nbuild = 1000\ndist = \"el8\"\n\
                                  fragments = [\"core/modules\"]\nsign.trust = [\"certs/ours.pem\"]\n";

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
                "[workspace]\nmembers = []\nresolver = \"3\"\n\n{}{}{TEMPLATE_AND_TRUST}",
                kernel(first, "x86_64"),
                kernel(second, "arm64")
            ),
        );
        let certificate =
            std::fs::read_to_string(root().join("tests/fixtures/certificates/one.pem"));
        sandbox.write("project/certs/ours.pem", &certificate.unwrap());
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
        let output = self.try_kernel("nix/root", "", args);
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        assert!(
            output.status.success(),
            "{args:?}: {}",
            text(&output.stderr)
        );
        text(&output.stdout)
    }

    /// Runs `cargo kernel` with a store below the sandbox and more settings of Nix.
    fn try_kernel(&self, store: &str, settings: &str, args: &[&str]) -> Output {
        self.process(store, settings, args).output().unwrap()
    }

    fn process(&self, store: &str, settings: &str, args: &[&str]) -> Command {
        let sandbox = self.nix.sandbox;
        let mut command = sandbox.process(&sandbox.path("project"), args);
        command
            .env("NIX_CONF_DIR", sandbox.path("nix"))
            .env("NIX_REMOTE", sandbox.path(store))
            .env("NIX_CONFIG", settings);
        command
    }

    /// Forgets what was built here and builds again, as above; its `kernel-finished`, and all
    /// that was said.
    fn rebuild(&self, store: &str, settings: &str, args: &[&str]) -> (serde_json::Value, String) {
        let entries = self.nix.sandbox.path("store");
        std::fs::remove_dir_all(&entries).unwrap();
        std::fs::create_dir(&entries).unwrap();
        self.kernel(&["clean", "tiny"]);
        let json = ["--message-format", "json"];
        let args = [&["build", "tiny"], args, &json].concat();
        let output = self.try_kernel(store, settings, &args);
        let said = String::from_utf8(output.stdout).unwrap();
        let finished = said
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .find(|message| message["reason"] == "kernel-finished");
        (finished.unwrap_or_else(|| panic!("{said}")), said)
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
    // To that store; below, Nix makes the same of the packages.
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
    project.kernel(&[&["build", "--backend", "host"], &KERNELS[..]].concat());
    alone::a_kernel_is_built_from_an_empty_store(&project);
    backends(&project);
    for name in KERNELS {
        let derivation = project.instantiate(name, "null");
        let [out, modules] = project.realise(&derivation, &[]);
        let host = sandbox.path(&format!("project/target/kernel/{name}/destdir"));
        assert_eq!(files(&out, "boot"), files(&host, "boot"), "{name}");
        assert_eq!(files(&modules, "lib"), files(&host, "lib"), "{name}");
        let is_templated = out.as_str().ends_with("-linux-6.12.117-1000.el8");
        assert_eq!(is_templated, name == KERNELS[1], "{out}");
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
            "Cannot create a user namespace in the Nix sandbox",
            "as root: sysctl -w",
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

    trouble::is_said_with_the_way_out(&project);

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

/// One kernel by the backends, taken from wherever it is, and given to Nix.
fn backends(project: &Project<'_>) {
    let sandbox = project.nix.sandbox;
    let first = std::fs::read(sandbox.path("project/target/kernel/tiny/manifest.json")).unwrap();
    let first: serde_json::Value = serde_json::from_slice(&first).unwrap();
    let release = first["release"].as_str().unwrap();

    // A locked kernel with a pinned toolchain is Nix'.
    let (built, _) = project.rebuild("nix/root", "", &[]);
    assert_eq!(
        (&built["outcome"], &built["manifest"]["backend"]),
        (&"built".into(), &"nix".into()),
        "{built}"
    );
    for key in ["identity", "outputs", "observed"] {
        assert_eq!(built["manifest"][key], first[key], "{key}");
    }
    let log = sandbox.path("project/target/kernel/tiny/log/latest");
    assert!(log.join("compile.log").exists() && log.join("report-summary.log").exists());
    let link = |output: &str| {
        let link = sandbox.path(&format!("store/.nix/{release}/{output}"));
        std::fs::read_link(link)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    };
    let outputs = ["out", "modules", "dev", "debug"].map(link);
    let stored = project
        .try_kernel("nix/root", "", &["store", "list"])
        .stdout;
    assert!(String::from_utf8_lossy(&stored).contains(release));
    let (again, _) = project.rebuild("nix/root", "", &[]);
    assert_eq!(again["from"]["kind"], "nix-store", "{again}");
    assert_eq!(again["manifest"]["outputs"], first["outputs"]);

    // From caches, as far as their keys are trusted.
    let secret = sandbox.path("key");
    let public = sandbox.path("key.pub");
    let key = ["--generate-binary-cache-key", "test-1"];
    project.nix.run(
        "nix-store",
        &[&key[..], &[secret.as_str(), public.as_str()]].concat(),
    );
    let trusted = format!(
        "trusted-public-keys = {}",
        std::fs::read_to_string(&public).unwrap()
    );
    let cache = |name: &str, options: &str| {
        let directory = sandbox.path(name);
        let url = format!("file://{directory}{options}");
        let copy = ["copy", "--no-check-sigs", "--to", &url];
        project
            .nix
            .run("nix", &[&copy[..], &[&outputs[0], &outputs[1]]].concat());
        directory
    };
    let options = format!("?compression=none&secret-key={secret}");
    let signed = cache("signed", &options);
    let serve = |cache: &Utf8Path| {
        let server = Server::start();
        for (path, bytes) in files(cache, ".") {
            server.put(path.trim_start_matches('.'), bytes);
        }
        server
    };
    let server = serve(&signed);
    let file = format!("file://{signed}");
    for (store, url) in [("nix/second", &file), ("nix/third", &server.url)] {
        let settings = format!("substituters = {url}\n{trusted}\n");
        let (found, _) = project.rebuild(store, &settings, &[]);
        assert_eq!(found["from"]["kind"], "cache", "{found}");
        assert_eq!(found["from"]["url"], url.as_str());
        assert_eq!(found["manifest"]["outputs"], first["outputs"]);
    }
    // One that has no key, one with a key that nobody knows, one whose archive was changed after it
    // was signed: each is passed over, and said to be.
    let stranger = [sandbox.path("stranger"), sandbox.path("stranger.pub")];
    let args = ["--generate-binary-cache-key", "stranger-1"];
    project.nix.run(
        "nix-store",
        &[&args[..], &stranger.each_ref().map(|path| path.as_str())].concat(),
    );
    let unsigned = cache("unsigned", "?compression=none");
    let foreign = cache(
        "foreign",
        &format!("?compression=none&secret-key={}", stranger[0]),
    );
    let corrupt = cache("corrupt", &options);
    for (path, mut bytes) in files(&corrupt, "nar") {
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        std::fs::write(corrupt.join(path), bytes).unwrap();
    }
    let caches = [unsigned, foreign, corrupt];
    let servers = caches.each_ref().map(|cache| serve(cache));
    let rows = [
        caches.each_ref().map(|cache| format!("file://{cache}")),
        servers.each_ref().map(|server| server.url.clone()),
    ];
    for (index, urls) in rows.into_iter().enumerate() {
        let settings = format!("substituters = {}\n{trusted}\n", urls.join(" "));
        let store = format!("nix/refusing-{index}");
        let (found, said) = project.rebuild(&store, &settings, &[]);
        assert_eq!(found["outcome"], "built", "{found}");
        assert_eq!(found["manifest"]["outputs"], first["outputs"]);
        let [unsigned, foreign, corrupt] = &urls;
        let said_of_keys = "the cache's key is not trusted here";
        for words in [unsigned, foreign, corrupt, said_of_keys, "is damaged"] {
            assert!(said.contains(words), "{words}: {said}");
        }
    }

    // What the host built, under names of its own and as the derivation's outputs.
    let host = ["--backend", "host", "--publish", "--register"];
    let (_, said) = project.rebuild("nix/fifth", "", &host);
    let layers = |reason: &str| -> Vec<(String, String)> {
        let mut messages = said
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let message = messages.find(|message| message["reason"] == reason);
        let message = message.unwrap_or_else(|| panic!("{said}"));
        let layers = message["layers"].as_array().unwrap();
        assert!(
            layers.iter().all(|layer| layer["state"] == "added"),
            "{message}"
        );
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        layers
            .iter()
            .map(|layer| (text(&layer["output"]), text(&layer["path"])))
            .collect()
    };
    assert_eq!(layers("published").len(), 2);
    let registered = layers("registered");
    assert_eq!(registered.len(), 4);
    for ((output, path), expected) in registered.iter().zip(&outputs) {
        assert_eq!(path, expected);
        let other = sandbox.path(&format!("nix/fifth{path}"));
        let same = files(&project.nix.place(path), ".") == files(&other, ".");
        assert!(same, "{output}");
    }
    let (found, _) = project.rebuild("nix/fifth", "", &[]);
    assert_eq!(found["from"]["kind"], "nix-store", "{found}");

    // Each proves the other.
    let verified = project.kernel(&[
        "verify",
        "tiny",
        "--backend",
        "host",
        "--message-format",
        "json",
    ]);
    assert!(
        verified.contains("\"backends\":[\"nix\",\"host\"]")
            && verified.contains("\"differences\":[]"),
        "{verified}"
    );
    project.kernel(&["build", "tiny", "--backend", "host", "--no-reuse"]);
    let verified = project.kernel(&[
        "verify",
        "tiny",
        "--backend",
        "nix",
        "--message-format",
        "json",
    ]);
    assert!(
        verified.contains("\"backends\":[\"host\",\"nix\"]")
            && verified.contains("\"differences\":[]"),
        "{verified}"
    );
}

#[test]
fn the_shell_is_asked_for_once_and_again_when_the_flake_changes() {
    let table = |name| {
        format!(
            "[workspace.metadata.kernel.kernels.{name}]\nsource = \"../tree\"\npreset = \"tiny\"\n"
        )
    };
    let sandbox = Sandbox::with_kernels(&format!(
        "{}{}{TEMPLATE_AND_TRUST}",
        table("tiny"),
        table("certified")
    ));
    if Nix::new(&sandbox).is_none() {
        return;
    }
    StandIn::new(&sandbox, "tree");
    let certificate = std::fs::read(root().join("tests/fixtures/certificates/one.pem"));
    let certificate = String::from_utf8(certificate.unwrap()).unwrap();
    sandbox.write("project/certs/ours.pem", &certificate);
    let flake = |path: &str| {
        let text = format!(
            "{{ outputs = {{ self }}: let shell = derivation {{ name = \"shell\"; system = \"x86_64-linux\"; \
             builder = \"/bin/bash\"; outputs = [ \"out\" ]; PATH = \"{path}\"; args = [ \"-c\" \"exit 1\" ]; \
             toolchainVariables = \"HOSTCC=cc\\nCC=/usr/bin/gcc\"; }}; \
             in {{ devShells.x86_64-linux = {{ build = shell; nixpkgs-x86_64 = shell; }}; }}; }}\n"
        );
        sandbox.write("project/flake.nix", &text);
    };
    let lock = "{\"nodes\":{\"root\":{}},\"root\":\"root\",\"version\":7}\n";
    sandbox.write("project/flake.lock", lock);
    let build = |args: &[&str]| {
        let args = [&["build", "--message-format", "json"], args].concat();
        let output = sandbox
            .process(&sandbox.path("project"), &args)
            .env("NIX_CONF_DIR", sandbox.path("nix"))
            .env("NIX_REMOTE", sandbox.path("nix/root"))
            .env("NIX_CONFIG", "sandbox-paths = /bin /usr /lib /lib64\n")
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let message = |line| serde_json::from_str::<serde_json::Value>(line).unwrap();
        let finished = said
            .lines()
            .map(message)
            .find(|message| message["reason"] == "kernel-finished");
        finished.unwrap_or_else(|| panic!("{said}"))["manifest"].clone()
    };
    let asked = || {
        let entries = std::fs::read_dir(sandbox.path("cache/shell")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name());
        names
            .filter(|name| name.to_string_lossy().ends_with(".json"))
            .count()
    };
    flake("/usr/bin:/bin");
    let shell = build(&["tiny", "--shell", "--no-reuse"]);
    assert_eq!(shell["backend"], "shell");
    assert_eq!(asked(), 1);
    build(&["tiny", "--shell"]);
    assert_eq!(asked(), 1);
    flake("/bin:/usr/bin");
    build(&["tiny", "--shell"]);
    assert_eq!(asked(), 2);
    let host = build(&["tiny", "--no-reuse"]);
    assert_eq!(host["backend"], "host");
    // A toolchain of nixpkgs is used outside of the sandbox as in it: the kernel's compiler is the
    // one that the derivation names, and the build's own is the wrapped one.
    let nixpkgs = build(&["tiny", "--toolchain", "nixpkgs", "--no-reuse"]);
    let variables = nixpkgs["toolchain"]["variables"].as_array().unwrap();
    assert!(variables.contains(&"HOSTCC=cc".into()), "{nixpkgs}");
    for key in ["identity", "outputs"] {
        assert_eq!(host[key], shell[key], "{key}");
        assert_eq!(host[key], nixpkgs[key], "{key}");
    }
    // So it is with a release by a template and a certificate.
    let [shell, host] = [&["--shell"][..], &[]]
        .map(|backend| build(&[&["certified", "--unstored"], backend].concat()));
    assert_eq!(shell["release"], "6.12.117-1000.el8");
    assert_eq!(
        (&shell["backend"], &host["backend"]),
        (&"shell".into(), &"host".into())
    );
    for key in ["release", "identity", "outputs"] {
        assert_eq!(host[key], shell[key], "{key}");
    }
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
    let name = format!("\"{}\"", tree.file_name().unwrap());
    let hash = cache
        .join("tree")
        .read_dir_utf8()
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.extension() == Some("json"))
        .find(|path| std::fs::read_to_string(path).is_ok_and(|text| text.contains(&name)));
    let hash = hash.as_ref().and_then(|path| path.file_stem());
    let hash = hash.unwrap_or_default().trim_start_matches("sha256-");
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

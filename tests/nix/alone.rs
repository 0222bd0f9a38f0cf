//! `nix build .#kernel-NAME` in an empty store, with nothing added before: a server on this machine stands in for
//! nixpkgs' bootstrap files, for snapshot.debian.org and for the kernel's source.

use std::collections::BTreeMap;
use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};
use kernelkit::effect::environment::Environment;
use kernelkit::effect::nix::debian_root;
use kernelkit::effect::source::Context;
use kernelkit::nix::debian_root::to_text;

use super::{Nix, Project, files, printed};
use crate::support::http::Server;
use crate::support::{Sandbox, require_tool, root};

const FLAKE: &str = "{ outputs = { self }:
  let
    of = system: import ./nix { directory = self; inherit system; };
    here = of \"x86_64-linux\";
  in
  {
    packages.x86_64-linux = {
      kernel-tiny = here.kernels.tiny;
      few = import ./nix/debian-root.nix { id = \"few\"; pin = fromTOML (builtins.readFile ./few.toml); };
    };
    packages.aarch64-linux = (of \"aarch64-linux\").kernels // (of \"aarch64-linux\").roots;
  }; }
";

/// Runs in a test that has the packages of the pin in its cache and has built `tiny` outside of Nix.
pub(super) fn a_kernel_is_built_from_an_empty_store(project: &Project<'_>) {
    if !require_tool("busybox") {
        return;
    }
    let sandbox = project.nix.sandbox;
    let server = Server::start();
    let directory = flake(sandbox, &server);
    let flake = format!("path:{directory}");
    let host = sandbox.path("project/target/kernel/tiny/destdir");
    let pin = debian_root::read(&directory.join("kernel.lock.d/debian-12.toml")).unwrap();
    for (index, nix) in Nix::each(sandbox).into_iter().enumerate() {
        let nix = Nix {
            store: sandbox.path(&format!("nix/alone-{index}")),
            ..nix
        };
        let build = |attribute: &str| {
            let link = sandbox.path(&format!("result-{index}-{attribute}"));
            let installable = format!("{flake}#{attribute}");
            nix.run("nix", &["build", &installable, "--out-link", link.as_str()]);
            let path = std::fs::read_link(&link).unwrap();
            nix.place(path.to_str().unwrap())
        };
        assert!(!nix.place("/nix/store").exists());
        let systems = format!("{flake}#packages.aarch64-linux");
        let names = ["eval", "--json", &systems, "--apply", "builtins.attrNames"];
        // The root's programs are of x86_64.
        assert_eq!(nix.run("nix", &names), "[]");

        // One of them unpacks all packages of the root; the others a few of each kind.
        if index > 0 {
            let few = build("few");
            assert!(few.join("usr/bin/which.debianutils").exists());
            assert_eq!(
                std::fs::read_link(few.join("usr/bin/awk")).unwrap(),
                Utf8Path::new("mawk")
            );
            let cached = sandbox
                .path("cache/root")
                .join(&pin.sha256.to_string()[..16]);
            let cached = cached.join(&pin.name);
            let add = ["--add-fixed", "--recursive", "sha256", cached.as_str()];
            nix.run("nix-store", &add);
        }
        let out = build("kernel-tiny");
        assert_eq!(files(&out, "boot"), files(&host, "boot"));
    }
    let asked = server.requests();
    for name in ["/busybox", "/bootstrap-tools.tar.xz"] {
        assert!(asked.contains(&format!("GET {name}")), "{asked:?}");
    }
}

/// A flake of the project's lock, whose downloads are the server's; its directory.
fn flake(sandbox: &Sandbox, server: &Server) -> Utf8PathBuf {
    let directory = sandbox.path("alone");
    std::fs::create_dir(&directory).unwrap();
    let copies = [
        root().join("nix"),
        sandbox.path("project/kernel.lock"),
        sandbox.path("project/kernel.lock.d"),
    ];
    let mut copy = Command::new("cp");
    copy.arg("-r").args(&copies).arg(&directory);
    assert!(copy.status().unwrap().success());
    sandbox.write("alone/flake.nix", FLAKE);

    let files = sandbox.path("bootstrap");
    let script = root().join("tests/tools/stand-in-bootstrap.sh");
    let made = Command::new("bash").args([&script, &files]).status();
    assert!(made.unwrap().success());
    let mut table = String::from("[x86_64-linux]\n");
    for (key, kind, name) in [
        ("busybox", "path", "busybox"),
        ("tools", "file", "bootstrap-tools.tar.xz"),
    ] {
        let file = files.join(name);
        let mut hash = Command::new("nix");
        hash.args([
            "--extra-experimental-features",
            "nix-command",
            "hash",
            kind,
            file.as_str(),
        ]);
        let hash = printed(hash.output().unwrap());
        table += &format!(
            "{key} = {{ url = \"{}/{name}\", hash = \"{hash}\" }}\n",
            server.url
        );
        server.put(&format!("/{name}"), std::fs::read(&file).unwrap());
    }
    sandbox.write("alone/nix/bootstrap.toml", &table);

    let snapshot = "https://snapshot.debian.org";
    let path = directory.join("kernel.lock.d/debian-12.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text.replace(snapshot, &server.url);
    std::fs::write(&path, &text).unwrap();
    let mut pin = debian_root::read(&path).unwrap();
    for package in &pin.package {
        let name = package.url.strip_prefix(&server.url);
        let name = name.unwrap_or_else(|| panic!("{} is not in the archive", package.url));
        let file = sandbox.path(&format!("cache/download/debs/{}.deb", package.sha256));
        server.put(name, std::fs::read(file).unwrap());
    }

    // What cargo kernel makes of a few packages is what Nix must make of them.
    pin.package
        .retain(|package| ["dash", "debianutils", "mawk"].contains(&package.name.as_str()));
    assert_eq!(pin.package.len(), 3);
    pin.name = "few".to_owned();
    let variables = BTreeMap::from([
        (
            "KERNELKIT_CACHE_DIR".to_owned(),
            sandbox.path("cache").into_string(),
        ),
        ("TMPDIR".to_owned(), sandbox.path("tmp").into_string()),
    ]);
    let environment = Environment::from_variables(directory.clone(), variables);
    let context = Context {
        offline: true,
        ..Context::new(&environment)
    };
    pin.sha256 = debian_root::make(&pin, None, &context, &mut |_| {})
        .unwrap()
        .sha256;
    sandbox.write("alone/few.toml", &to_text(&pin));
    directory
}

//! Certificates that a kernel is to trust.

use super::lock::{commit, git};
use super::{TINY, run, run_json};
use crate::support::{Sandbox, StandIn, root};

const TRUST: &str = "fragments = [\"core/modules\"]\nsign.trust = [\"certs/ours.pem\"]\n";

fn certificate(name: &str) -> String {
    let path = root().join(format!("tests/fixtures/certificates/{name}.pem"));
    std::fs::read_to_string(path).unwrap()
}

/// A kernel of `source` that trusts `certs/ours.pem`, which is `certificate`.
fn trusting(source: &str, certificate: &str) -> Sandbox {
    let kernel = TINY.replace("../tree", source);
    let sandbox = Sandbox::with_kernels(&format!("{kernel}{TRUST}"));
    sandbox.write("project/certs/ours.pem", certificate);
    sandbox
}

fn tree(certificate: &str) -> Sandbox {
    let sandbox = trusting("../tree", certificate);
    StandIn::new(&sandbox, "tree");
    sandbox
}

fn built(sandbox: &Sandbox) -> serde_json::Value {
    let said = run_json(sandbox, &["build"], 0);
    said.message("kernel-finished")["manifest"].clone()
}

/// Whether the kernel that was built last has the certificates at hand in it.
fn holds(sandbox: &Sandbox, certificate: &str) -> bool {
    let kernel = std::fs::read(sandbox.path("project/target/kernel/tiny/build/vmlinux")).unwrap();
    kernel
        .windows(certificate.len())
        .any(|window| window == certificate.as_bytes())
}

#[test]
fn a_certificate_is_in_the_kernel_and_in_the_identity() {
    let [one, two] = ["one", "two"].map(certificate);
    let sandbox = tree(&one);
    let first = built(&sandbox);
    assert!(holds(&sandbox, &one) && !holds(&sandbox, &two));
    assert_eq!(first["identity"]["trust"].as_array().unwrap().len(), 1);
    let config = sandbox.path("project/target/kernel/tiny/build/.config");
    let config = std::fs::read_to_string(config).unwrap();
    for line in [
        "CONFIG_SYSTEM_TRUSTED_KEYS=\"certs/kernelkit-trusted.pem\"\n",
        "CONFIG_SYSTEM_TRUSTED_KEYRING=y\n",
    ] {
        assert!(config.contains(line), "{config}");
    }
    // It can be stored and found again, from any directory, however the file is written.
    let again = tree(&format!(
        "Certificate:\n  some text\n{}",
        one.replace('\n', "\r\n")
    ));
    assert_eq!(built(&again)["digest"], first["digest"]);

    // Another certificate, and one more, in the same build directory.
    sandbox.write("project/certs/ours.pem", &two);
    let second = built(&sandbox);
    assert_ne!(second["digest"], first["digest"]);
    assert!(holds(&sandbox, &two) && !holds(&sandbox, &one));
    let said = run(&sandbox, &["identity", "tiny", "--diff=tiny"]);
    assert_eq!(said.code, 0);
    sandbox.write("project/certs/ours.pem", &format!("{two}{one}"));
    built(&sandbox);
    assert!(holds(&sandbox, &two) && holds(&sandbox, &one));
    let diff = run(
        &sandbox,
        &[
            "identity",
            "tiny",
            &format!("--diff={}", second["release"].as_str().unwrap()),
        ],
    );
    assert!(diff.stdout.contains("trust\n"), "{}", diff.stdout);
    // Taken back, it is found in the store.
    sandbox.write("project/certs/ours.pem", &one);
    let said = run(&sandbox, &["build"]);
    assert!(said.stderr.contains("Reused tiny"), "{}", said.stderr);
}

#[test]
fn certificates_are_locked_with_their_kernel() {
    let [one, two] = ["one", "two"].map(certificate);
    let sandbox = trusting("git+../tree#main", &one);
    let tree = StandIn::new(&sandbox, "tree");
    git(tree.dir(), &["init", "-q", "-b", "main"]);
    commit(&tree);
    let locked = || -> Vec<String> {
        let directory = sandbox.path("project/kernel.lock.d/trust");
        let entries = directory.read_dir_utf8().unwrap();
        let texts = entries.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
        texts.collect()
    };
    assert_eq!(run(&sandbox, &["lock"]).code, 0);
    assert_eq!(locked(), std::slice::from_ref(&one));
    assert_eq!(run(&sandbox, &["plan", "--locked"]).code, 0);
    // Another certificate is another kernel than the locked one.
    sandbox.write("project/certs/ours.pem", &two);
    let said = run(&sandbox, &["plan", "--locked"]);
    assert_eq!(said.code, 101);
    assert!(
        said.stderr.contains("trust.certificates"),
        "{}",
        said.stderr
    );
    assert_eq!(run(&sandbox, &["lock"]).code, 0);
    assert_eq!(locked(), [two], "the file of the other went with it");
    assert_eq!(run(&sandbox, &["plan", "--locked"]).code, 0);
    // A file that is none of ours stays, and so does what lies behind a link.
    sandbox.write("project/kernel.lock.d/trust/notes.pem", "mine");
    let hash = "0".repeat(64);
    let precious = sandbox.write(&format!("precious/{hash}.patch"), "precious");
    let series = sandbox.path("project/kernel.lock.d/series");
    std::os::unix::fs::symlink("../../precious", &series).unwrap();
    sandbox.write("project/certs/ours.pem", &one);
    assert_eq!(run(&sandbox, &["lock"]).code, 0);
    assert_eq!(locked().len(), 2);
    assert_eq!(std::fs::read_to_string(precious).unwrap(), "precious");
}

#[test]
fn what_is_no_certificate_of_the_workspace_is_refused() {
    let one = certificate("one");
    let key = format!("{one}-----BEGIN PRIVATE KEY-----\nTUlJ\n-----END PRIVATE KEY-----\n");
    let sandbox = tree(&key);
    let said = run(&sandbox, &["build"]);
    assert_eq!(said.code, 101);
    assert!(
        said.stderr
            .contains("begins a private key; only certificates belong here")
            && said.stderr.contains("certs/ours.pem")
            && !said.stderr.contains("TUlJ"),
        "{}",
        said.stderr
    );
    let rows = [
        ("hello\n", "neither a PEM file nor a DER certificate"),
        ("", "it holds no certificate"),
    ];
    for (text, wrong) in rows {
        sandbox.write("project/certs/ours.pem", text);
        let said = run(&sandbox, &["plan"]);
        assert_eq!(said.code, 101);
        assert!(said.stderr.contains(wrong), "{}", said.stderr);
    }
    let path = sandbox.path("project/certs/ours.pem");
    std::fs::remove_file(&path).unwrap();
    sandbox.write("outside.pem", &one);
    std::os::unix::fs::symlink("../../outside.pem", &path).unwrap();
    let said = run(&sandbox, &["plan"]);
    assert!(
        said.stderr.contains("lies outside of the workspace"),
        "{}",
        said.stderr
    );
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let said = run(&sandbox, &["plan"]);
    assert!(
        said.stderr.contains("is not a regular file"),
        "{}",
        said.stderr
    );
}

#[test]
fn a_key_that_the_build_would_make_is_an_error_with_a_way_out() {
    let one = certificate("one");
    let fragment = "# summary: signed\nCONFIG_MODULES=y\nCONFIG_MODULE_SIG=y\n";
    let kernel = format!(
        "{TINY}fragments = [\"security/mine\"]\n[workspace.metadata.kernel]\nfragment-dirs = [\"fragments\"]\n"
    );
    let sandbox = Sandbox::with_kernels(&kernel);
    StandIn::new(&sandbox, "tree");
    sandbox.write("project/fragments/security/mine.config", fragment);
    for command in ["plan", "build"] {
        let said = run(&sandbox, &[command]);
        assert_eq!(said.code, 101);
        assert!(
            said.stderr
                .contains("its build would make a key of its own")
                && said.stderr.contains("`sign.trust`"),
            "{}",
            said.stderr
        );
    }
    assert_eq!(run(&sandbox, &["plan", "--no-reproducible"]).code, 0);
    // The way out.
    sandbox.write("project/certs/ours.pem", &one);
    let kernel = kernel.replace(
        "[workspace.metadata.kernel]\n",
        "sign.trust = [\"certs/ours.pem\"]\n[workspace.metadata.kernel]\n",
    );
    sandbox.write(
        "project/Cargo.toml",
        &format!("[workspace]\nmembers = []\n\n{kernel}"),
    );
    let said = run(&sandbox, &["build"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(!said.stderr.contains("not reproducible"), "{}", said.stderr);
    // A fragment that names another file has the last word in the merge, and is found out.
    sandbox.write(
        "project/fragments/storage/other.config",
        "# summary: other\nCONFIG_SYSTEM_TRUSTED_KEYS=\"/etc/keys.pem\"\n",
    );
    let said = run(&sandbox, &["plan", "--fragment", "storage/other"]);
    assert_eq!(said.code, 101);
    assert!(
        said.stderr
            .contains("but CONFIG_SYSTEM_TRUSTED_KEYS is \"/etc/keys.pem\""),
        "{}",
        said.stderr
    );
}

#[test]
fn a_certificate_that_is_not_there_is_named_with_its_place_in_the_file() {
    let sandbox = tree(&certificate("one"));
    let ours = sandbox.path("project/certs/ours.pem");
    let refused = || {
        let said = run(&sandbox, &["plan"]);
        assert_eq!(said.code, 101, "{}", said.stderr);
        said.stderr
    };
    std::fs::remove_file(&ours).unwrap();
    let missing = refused();
    std::os::unix::fs::symlink("nowhere.pem", &ours).unwrap();
    let dangling = refused();
    for stderr in [missing, dangling] {
        for part in [
            "certs/ours.pem, which ",
            "Cargo.toml:",
            " names in `sign.trust`, cannot be read",
            "hint: put the certificate there",
        ] {
            assert!(stderr.contains(part), "{part}: {stderr}");
        }
    }
    std::fs::remove_file(&ours).unwrap();
    std::fs::create_dir(&ours).unwrap();
    assert!(refused().contains("is not a regular file"));
}

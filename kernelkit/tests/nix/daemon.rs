//! The client against real daemons.

use std::collections::BTreeSet;

use kernelkit::effect::environment::Environment;
use kernelkit::effect::nix::daemon::{
    Activity, Address, Daemon, Error, Event, Mode, Options, Status, Target,
};
use kernelkit::effect::nix::nar;
use kernelkit::effect::nix::program::Nix;
use kernelkit::nix::command::{Feature, OLDEST};
use kernelkit::nix::derivation::{Derivation, Recipe};
use kernelkit::nix::failure::Cause;
use kernelkit::nix::kernel::Text;
use kernelkit::nix::nar::Node;
use kernelkit::nix::narinfo::NarInfo;
use kernelkit::nix::store_path::{ContentAddress, StoreDir};
use kernelkit::source::Sha256;

use crate::world::{self, with_each_nix};

/// A derivation that runs a line of shell.
fn shell(name: &str, script: &str) -> Derivation {
    Recipe::new(name, "x86_64-linux", "/bin/sh")
        .args(["-c", script])
        .env("PATH", "/usr/bin:/bin")
        .derive(&StoreDir::default(), |_| None)
        .unwrap()
}

fn build(
    daemon: &mut Daemon,
    derivation: &Derivation,
    mode: Mode,
) -> (Status, String, Vec<String>) {
    let text = Text::derivation(derivation).unwrap();
    daemon.add_text(&text).unwrap();
    let mut lines = Vec::new();
    let mut builds = 0;
    let outcomes = daemon
        .build(&[Target::all(text.path)], mode, &mut |event| match event {
            Event::Line { line, .. } => lines.push(line.to_owned()),
            Event::Started {
                activity: Activity::Build { derivation },
                ..
            } => {
                assert!(derivation.ends_with(".drv"));
                builds += 1;
            }
            _ => {}
        })
        .unwrap();
    let [outcome] = outcomes.as_slice() else {
        panic!("{outcomes:?}")
    };
    assert!(lines.is_empty() || builds == 1);
    (outcome.status, outcome.message.clone(), lines)
}

#[test]
fn a_derivation_is_added_built_and_kept() {
    with_each_nix(|nix| {
        let mut daemon = nix.daemon(&Options::default());
        assert!(daemon.nix_version().starts_with("2."), "{daemon:?}");
        let derivation = shell("a", "echo one; echo two >&2; echo $NIX_BUILD_CORES > $out");
        let output = derivation.output("out").unwrap().clone();
        assert!(!daemon.is_valid(&output).unwrap());
        assert_eq!(daemon.info(&output).unwrap(), None);

        daemon
            .add_text(&Text::derivation(&derivation).unwrap())
            .unwrap();
        let path = derivation.path().unwrap();
        let missing = daemon.missing(&[Target::all(path.clone())]).unwrap();
        assert_eq!(missing.build, BTreeSet::from([path.clone()]));

        let (status, _, lines) = build(&mut daemon, &derivation, Mode::Normal);
        assert_eq!(status, Status::Built);
        assert_eq!(lines, ["one", "two"]);
        assert_eq!(
            build(&mut daemon, &derivation, Mode::Normal).0,
            Status::AlreadyValid
        );
        let info = daemon.info(&output).unwrap().unwrap();
        assert_eq!(info.deriver, Some(path));
        assert_eq!(info.nar, nar::hash(&nix.real(&output)).unwrap());
        let both = [
            output.clone(),
            "9naka7afy74rayridkxzybiid5vmqvkz-w".parse().unwrap(),
        ];
        assert_eq!(
            daemon.valid(&both, false).unwrap(),
            BTreeSet::from([output.clone()])
        );

        let link = nix.root.join("roots/a");
        daemon.add_root(&link, &output).unwrap();
        drop(daemon);
        nix.run("nix-store", &["--gc"]);
        assert!(nix.real(&output).exists());
        std::fs::remove_file(&link).unwrap();
        nix.run("nix-store", &["--gc"]);
        assert!(!nix.real(&output).exists());
    });
}

#[test]
fn a_failed_build_is_an_outcome_with_its_lines() {
    with_each_nix(|nix| {
        let mut daemon = nix.daemon(&Options::default());
        let derivation = shell("a", "echo fatal: the reason; exit 3");
        let (status, message, lines) = build(&mut daemon, &derivation, Mode::Normal);
        assert_eq!((status, status.is_success()), (Status::Failed, false));
        assert_eq!(lines, ["fatal: the reason"]);
        assert!(message.contains("exit code 3"), "{message}");
        // The connection is still good.
        assert_eq!(
            build(&mut daemon, &shell("b", "echo > $out"), Mode::Normal).0,
            Status::Built
        );
    });
}

#[test]
fn building_again_finds_other_bytes() {
    with_each_nix(|nix| {
        let mut daemon = nix.daemon(&Options::default());
        let stable = shell("stable", "echo > $out");
        build(&mut daemon, &stable, Mode::Normal);
        assert!(build(&mut daemon, &stable, Mode::Check).0.is_success());
        let random = shell("random", "cat /proc/sys/kernel/random/uuid > $out");
        build(&mut daemon, &random, Mode::Normal);
        let (status, message, _) = build(&mut daemon, &random, Mode::Check);
        assert!(!status.is_success());
        assert_eq!(
            Cause::of(&message),
            Some(Cause::NotDeterministic),
            "{message}"
        );
    });
}

#[test]
fn files_and_directories_are_added_where_they_were_computed() {
    with_each_nix(|nix| {
        let store = StoreDir::default();
        let mut daemon = nix.daemon(&Options::default());
        let tree = Node::directory([
            ("large", Node::file(vec![7; 9 << 20])),
            ("link", Node::Link(b"large".to_vec())),
        ]);
        let path = nix.root.join("tree");
        nar::unpack(tree.to_bytes().as_slice(), &path).unwrap();
        let added = daemon.add_directory("tree", &path).unwrap();
        assert_eq!(
            added,
            store.source_path("tree", tree.hash().sha256).unwrap()
        );
        assert_eq!(nar::hash(&nix.real(&added)).unwrap(), tree.hash());

        let file = nix.write("file", "hello");
        let added = daemon.add_file("file", &file).unwrap();
        assert_eq!(
            added,
            store.file_path("file", Sha256::of(b"hello")).unwrap()
        );
        let content = daemon.info(&added).unwrap().unwrap().content;
        assert_eq!(content, Some(ContentAddress::flat(Sha256::of(b"hello"))));
        nix.run("nix-store", &["--verify", "--check-contents"]);
    });
}

#[test]
fn a_build_made_elsewhere_becomes_the_derivations_output() {
    with_each_nix(|nix| {
        let mut daemon = nix.daemon(&Options::default());
        let derivation = shell("a", "echo this is never run; exit 1");
        daemon
            .add_text(&Text::derivation(&derivation).unwrap())
            .unwrap();
        let output = derivation.output("out").unwrap();
        let tree = Node::directory([("vmlinuz", Node::file("bytes"))]);
        let path = nix.root.join("tree");
        nar::unpack(tree.to_bytes().as_slice(), &path).unwrap();
        let mut info = NarInfo::new(output.clone(), tree.hash());
        info.deriver = Some(derivation.path().unwrap());
        daemon.import(&info, &path).unwrap();
        assert_eq!(
            build(&mut daemon, &derivation, Mode::Normal).0,
            Status::AlreadyValid
        );

        // Other bytes than the hash says are refused.
        let other = shell("b", "exit 1");
        let info = NarInfo::new(other.output("out").unwrap().clone(), Node::file("x").hash());
        let error = daemon.import(&info, &path).unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{error:?}");
        assert!(error.to_string().contains("mismatch"), "{error}");
    });
}

#[test]
fn a_missing_reference_is_refused_and_said() {
    with_each_nix(|nix| {
        let mut daemon = nix.daemon(&Options::default());
        let store = StoreDir::default();
        let mut text = Text::file(&store, "a", "text").unwrap();
        text.references = BTreeSet::from(["9naka7afy74rayridkxzybiid5vmqvkz-w".parse().unwrap()]);
        text.path = store.text_path("a", b"text", &text.references).unwrap();
        let error = daemon.add_text(&text).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("9naka7afy74rayridkxzybiid5vmqvkz-w"),
            "{error}"
        );
    });
}

#[test]
fn a_killed_daemon_is_said_to_be_gone() {
    with_each_nix(|nix| {
        let pid = nix.root.join("pid");
        // The shell leaves its place, and its number, to the daemon.
        let script = format!("echo $$ > {pid}; exec nix-daemon --stdio");
        let mut call = nix.daemon_call();
        call.program = "sh".to_owned();
        call.args = vec!["-c".to_owned(), script];
        let store = StoreDir::default();
        let mut daemon =
            Daemon::connect(&Address::Process(call), &store, &Options::default()).unwrap();
        let derivation = shell("a", "echo ready; sleep 20");
        let text = Text::derivation(&derivation).unwrap();
        daemon.add_text(&text).unwrap();
        let error = daemon
            .build(
                &[Target::all(text.path.clone())],
                Mode::Normal,
                &mut |event| {
                    if matches!(event, Event::Line { line: "ready", .. }) {
                        let pid = std::fs::read_to_string(&pid).unwrap();
                        nix.run("kill", &["-KILL", pid.trim()]);
                    }
                },
            )
            .unwrap_err();
        assert!(
            matches!(
                error,
                Error::Lost {
                    during: "the build"
                }
            ),
            "{error:?}"
        );
        assert!(error.hint().unwrap().contains("journalctl"));
        assert!(matches!(
            daemon.is_valid(&text.path),
            Err(Error::Lost { .. })
        ));
    });
}

#[test]
fn who_is_no_daemon_or_an_old_one_is_told_apart() {
    let store = StoreDir::default();
    let connect = |script: &str| {
        let call = kernelkit::process::Call::new("sh", "/")
            .args(["-c", script])
            .env("PATH", "/usr/bin:/bin");
        Daemon::connect(&Address::Process(call), &store, &Options::default()).unwrap_err()
    };
    let error = connect("printf 'HTTP/1.1 400 Bad Request'; cat > /dev/null");
    assert!(matches!(error, Error::NotADaemon { .. }), "{error:?}");
    // Protocol 1.32, as of Nix 2.4.
    let error = connect(r"printf 'oixd\0\0\0\0\040\001\0\0\0\0\0\0'; cat > /dev/null");
    assert!(error.to_string().contains("protocol 1.32"), "{error}");
    assert_eq!(error.hint().unwrap(), "Nix 2.8 or newer is needed");
    let error = connect("exit 1");
    assert!(matches!(error, Error::Lost { .. }), "{error:?}");
    let socket = Address::Socket("/does/not/exist".into());
    let error = Daemon::connect(&socket, &store, &Options::default()).unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("systemctl start nix-daemon"));
}

/// Whether what is asked below can be asked at all.
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

/// A daemon that listens, ended when dropped.
struct Listening(std::process::Child);

impl Listening {
    fn start(nix: &world::Nix, socket: &str) -> Self {
        let child = std::process::Command::new("nix-daemon")
            .env_clear()
            .envs(&nix.env)
            .env("NIX_DAEMON_SOCKET_PATH", socket)
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        for _ in 0..1000 {
            if std::os::unix::net::UnixStream::connect(socket).is_ok() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        Listening(child)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn the_nix_on_path_is_found_with_its_version_and_daemon() {
    with_each_nix(|nix| {
        let environment = Environment::from_variables(nix.root.clone(), nix.env.clone());
        let found = Nix::find(&environment).unwrap();
        assert!(found.version >= OLDEST);
        let daemon =
            Daemon::connect(&found.daemon(), &StoreDir::default(), &Options::default()).unwrap();
        assert_eq!(daemon.nix_version().parse(), Ok(found.version));
        let told = found.version.has(Feature::TrustTold);
        assert_eq!(daemon.is_trusted(), told.then_some(true));
    });
    let nowhere = [("PATH".to_owned(), "/does/not/exist".to_owned())];
    let environment = Environment::from_variables("/".into(), nowhere.into());
    let error = Nix::find(&environment).unwrap_err();
    assert!(
        error.hint().unwrap().contains("apt-get install nix-bin"),
        "{error}"
    );
}

#[test]
fn a_socket_serves_as_well() {
    with_each_nix(|nix| {
        if !is_root() {
            eprintln!("skipped: root is needed to be trusted");
            return;
        }
        let socket = nix.root.join("socket");
        let _listening = Listening::start(nix, socket.as_str());
        let store = StoreDir::default();
        let address = Address::Socket(socket);
        let mut daemon = Daemon::connect(&address, &store, &Options::default()).unwrap();
        let derivation = shell("a", "echo one; echo > $out");
        let (status, _, lines) = build(&mut daemon, &derivation, Mode::Normal);
        assert_eq!((status, lines), (Status::Built, vec!["one".to_owned()]));
    });
}

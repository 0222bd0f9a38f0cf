//! Every Nix at hand, each with an empty store in a temporary directory.

use std::collections::BTreeMap;
use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};
use kernelkit::effect::exec;
use kernelkit::effect::nix::daemon::{Address, Daemon, Options};
use kernelkit::nix::store_path::{StoreDir, StorePath};
use kernelkit::process::Call;

pub(crate) struct Nix {
    _guard: tempfile::TempDir,
    /// Everything of this test is below.
    pub(crate) root: Utf8PathBuf,
    pub(crate) env: BTreeMap<String, String>,
}

pub(crate) struct Output {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) success: bool,
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

/// Directories of programs, one for each Nix.
fn directories() -> Vec<String> {
    let path = variable("PATH");
    let on_path = exec::find_on_path("nix-store", &path)
        .and_then(|program| Some(program.parent()?.to_string()));
    let others = variable("KERNELKIT_TEST_NIX");
    let others = others.split(':').filter(|directory| !directory.is_empty());
    on_path
        .into_iter()
        .chain(others.map(|directory| format!("{directory}/bin")))
        .collect()
}

/// Runs the check with every Nix; without any, it is left out with a word, and fails in CI.
pub(crate) fn with_each_nix(check: impl Fn(&Nix)) {
    let directories = directories();
    if directories.is_empty() {
        assert!(
            variable("CI").is_empty(),
            "Nix is needed, and this is CI: install nix-bin"
        );
        eprintln!("skipped: Nix is needed");
    }
    for directory in directories {
        let nix = Nix::new(&directory);
        eprintln!(
            "with {directory}: {}",
            nix.run("nix-store", &["--version"]).stdout.trim()
        );
        check(&nix);
        // Stores are read-only, also for their removal.
        nix.run("chmod", &["-R", "u+w", nix.root.as_str()]);
    }
}

impl Nix {
    fn new(directory: &str) -> Self {
        let guard = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(guard.path().canonicalize().unwrap()).unwrap();
        let mut config =
            "build-users-group =\nsandbox = true\nsandbox-paths = /bin /usr /lib /lib64\n\
                          substituters =\nexperimental-features = nix-command flakes\n"
                .to_owned();
        if !variable("PATH").split(':').any(|known| known == directory) {
            // An unpacked Nix takes its loader for itself, and that is no hook.
            config.push_str(&format!("build-hook = {directory}/nix __build-remote\n"));
        }
        let env = [
            ("PATH", format!("{directory}:/usr/bin:/bin")),
            ("HOME", root.join("home").to_string()),
            ("TMPDIR", root.to_string()),
            ("LC_ALL", "C".to_owned()),
            ("NIX_REMOTE", root.join("root").to_string()),
            ("NIX_CONF_DIR", root.join("conf").to_string()),
            ("NIX_CONFIG", config),
        ];
        std::fs::create_dir_all(root.join("home")).unwrap();
        std::fs::create_dir_all(root.join("conf")).unwrap();
        Nix {
            _guard: guard,
            env: env.map(|(name, value)| (name.to_owned(), value)).into(),
            root,
        }
    }

    pub(crate) fn try_run(&self, program: &str, args: &[&str]) -> Output {
        self.try_run_with(&[], program, args)
    }

    /// With other variables than this Nix has otherwise.
    pub(crate) fn try_run_with(
        &self,
        env: &[(&str, &str)],
        program: &str,
        args: &[&str],
    ) -> Output {
        let output = Command::new(program)
            .args(args)
            .env_clear()
            .envs(&self.env)
            .envs(env.iter().copied())
            .current_dir(&self.root)
            .output()
            .unwrap();
        Output {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            success: output.status.success(),
        }
    }

    /// Runs what must succeed.
    pub(crate) fn run(&self, program: &str, args: &[&str]) -> Output {
        let output = self.try_run(program, args);
        assert!(output.success, "{program} {args:?}: {}", output.stderr);
        output
    }

    /// Evaluates an expression to JSON; derivations that it forces are written to the store.
    pub(crate) fn evaluate(
        &self,
        expression: &str,
        args: &[(&str, &Utf8Path)],
    ) -> serde_json::Value {
        let mut words = vec![
            "--eval",
            "--strict",
            "--json",
            "--read-write-mode",
            "--expr",
            expression,
        ];
        for (name, value) in args {
            words.extend(["--arg", name, value.as_str()]);
        }
        let output = self.run("nix-instantiate", &words);
        serde_json::from_str(&output.stdout).unwrap()
    }

    /// Where the store's file really is.
    pub(crate) fn real(&self, path: &StorePath) -> Utf8PathBuf {
        let path = StoreDir::default().join(path);
        self.root
            .join("root")
            .join(path.as_str().trim_start_matches('/'))
    }

    /// A daemon of its own for the store.
    pub(crate) fn daemon_call(&self) -> Call {
        Call::new("nix-daemon", &self.root)
            .arg("--stdio")
            .envs(&self.env)
    }

    pub(crate) fn daemon(&self, options: &Options) -> Daemon {
        let address = Address::Process(self.daemon_call());
        Daemon::connect(&address, &StoreDir::default(), options).unwrap()
    }

    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> Utf8PathBuf {
        let path = self.root.join(name);
        std::fs::write(&path, contents).unwrap();
        path
    }
}

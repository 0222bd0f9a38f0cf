//! What is configured: a kernel tree, an architecture and a compiler, with the environment
//! that the tree's Makefile gives to its conf.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use kernelkit::effect::{exec, fs, kconfig};
use kernelkit::kconfig::Dialect;
use kernelkit::process::Call;

use crate::Result;
use crate::oracle::Programs;
use crate::workspace::Workspace;

/// `ARCH` values whose directory has another name, as the kernel's Makefile maps them.
const SPELLINGS: &[(&str, &[&str])] = &[
    ("x86", &["x86_64", "i386"]),
    ("sparc", &["sparc64", "sparc"]),
    ("parisc", &["parisc", "parisc64"]),
];

/// What every architecture is configured with; clang only where the kernel supports it.
const COMPILERS: &[&str] = &["gcc", "clang"];

/// What the sample covers: the usual, cross compilation by clang, 6.1's choices (mips).
const SAMPLE: &[(&str, &str)] = &[("x86_64", "gcc"), ("arm64", "clang"), ("mips", "gcc")];

/// Passed on to conf: what make itself adds is left out.
const OF_MAKE: &[&str] = &[
    "_",
    "KBUILD_KCONFIG",
    DUMP,
    "MAKEFLAGS",
    "MAKELEVEL",
    "MAKEOVERRIDES",
    "MAKE_TERMERR",
    "MAKE_TERMOUT",
    "MFLAGS",
    "OLDPWD",
    "PWD",
    "SHLVL",
];

/// Where the environment is written to while make runs conf.
const DUMP: &str = "KCONFIG_ORACLE_DUMP";

/// A kernel tree and the conf built from it.
pub(super) struct Tree {
    pub(super) dir: Utf8PathBuf,
    /// `KERNELVERSION`.
    pub(super) version: String,
    /// The tree's own conf.
    pub(super) conf: Utf8PathBuf,
    /// The same rules, as `kernelkit-conf --dialect` calls them.
    pub(super) dialect: &'static str,
    build: Utf8PathBuf,
}

/// A tree for one architecture and compiler.
pub(super) struct Target {
    pub(super) tree: std::sync::Arc<Tree>,
    pub(super) arch: String,
    /// The directory below `arch/`.
    pub(super) source_arch: String,
    pub(super) compiler: String,
    /// What the Makefile gives to conf.
    pub(super) environment: BTreeMap<String, String>,
    /// The outputs of all probes; none where the tree cannot be configured here,
    /// which both programs must find.
    pub(super) record: Option<Utf8PathBuf>,
}

impl Tree {
    /// Builds the tree's conf below `cache`, outside the tree.
    pub(super) fn prepare(workspace: &Workspace, dir: &Utf8Path, cache: &Utf8Path) -> Result<Self> {
        let dir = dir
            .canonicalize_utf8()
            .map_err(|error| format!("no kernel tree at {dir}: {error}"))?;
        let build = cache.join(dir.as_str().trim_matches('/').replace('/', "_"));
        fs::create_dir_all(&build)?;
        let mut tree = Tree {
            version: String::new(),
            conf: build.join("scripts/kconfig/conf"),
            dialect: dialect(&dir)?,
            build,
            dir,
        };
        let environment = tree.environment(workspace, "x86_64", "gcc")?;
        tree.version = environment
            .get("KERNELVERSION")
            .cloned()
            .unwrap_or_default();
        Ok(tree)
    }

    /// Has make run conf on a file whose only statement writes the environment down.
    fn environment(
        &self,
        workspace: &Workspace,
        arch: &str,
        compiler: &str,
    ) -> Result<BTreeMap<String, String>> {
        let root = self.build.join("environment.kconfig");
        let dump = self.build.join("environment");
        fs::write_if_changed(
            &root,
            format!("mainmenu \"Environment\"\nwritten := $(shell,env -0 >\"${DUMP}\")\n")
                .as_bytes(),
        )?;
        let variables = &workspace.variables;
        let mut call = Call::new("make", &self.build)
            .args(["-s", "-C", self.dir.as_str()])
            .arg(format!("O={}", self.build))
            .arg(format!("ARCH={arch}"))
            .arg(format!("KBUILD_KCONFIG={root}"))
            .env(DUMP, dump.as_str());
        for name in ["PATH", "HOME", "TMPDIR"] {
            if let Some(value) = variables.get(name) {
                call = call.env(name, value);
            }
        }
        if compiler != "gcc" {
            call = call.arg(format!("CC={compiler}"));
        }
        exec::capture(&call.arg("alldefconfig"))?;
        let text = fs::read_to_string(&dump)?;
        fs::remove_file(&dump)?;
        Ok(text
            .split('\0')
            .filter_map(|variable| variable.split_once('='))
            .filter(|(name, _)| !OF_MAKE.contains(name))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            // Configurations of the machine are no part of the test.
            .chain([("KCONFIG_DEFCONFIG_LIST".to_owned(), String::new())])
            .collect())
    }

    /// Architectures and compilers that are configured: `(ARCH, directory, compiler)`.
    pub(super) fn selection(&self, sample: bool) -> Result<Vec<(String, String, &'static str)>> {
        let mut all = Vec::new();
        for entry in self.dir.join("arch").read_dir_utf8()? {
            let entry = entry?;
            if !entry.path().join("Kconfig").is_file() {
                continue;
            }
            let directory = entry.file_name();
            let own = [directory];
            let spellings = SPELLINGS
                .iter()
                .find_map(|(name, spellings)| (*name == directory).then_some(*spellings))
                .unwrap_or(&own);
            for arch in spellings {
                for compiler in COMPILERS {
                    all.push(((*arch).to_owned(), directory.to_owned(), *compiler));
                }
            }
        }
        all.sort();
        if sample {
            all.retain(|(arch, _, compiler)| SAMPLE.contains(&(arch.as_str(), compiler)));
        }
        Ok(all)
    }

    /// Names of an architecture's defconfigs, below its `configs`.
    pub(super) fn defconfigs(&self, source_arch: &str) -> Result<Vec<String>> {
        let directory = self.dir.join("arch").join(source_arch).join("configs");
        let mut found = Vec::new();
        if directory.is_dir() {
            files_below(&directory, &mut |path| {
                if path.as_str().ends_with("defconfig") {
                    found.push(path.to_string());
                }
            })?;
        }
        found.sort();
        Ok(found)
    }
}

impl Target {
    /// Asks make for the environment. An architecture that the tree's Makefile does
    /// not configure with this compiler is none of ours: `Err` says what it says.
    pub(super) fn new(
        workspace: &Workspace,
        tree: &std::sync::Arc<Tree>,
        (arch, source_arch, compiler): (String, String, &str),
    ) -> Result<Self> {
        let program = match compiler {
            "clang" => clang(workspace).ok_or("no clang here")?,
            other => other.to_owned(),
        };
        Ok(Target {
            environment: tree.environment(workspace, &arch, &program)?,
            tree: tree.clone(),
            arch,
            source_arch,
            compiler: compiler.to_owned(),
            record: None,
        })
    }

    /// Runs the probes once, for all later cases. Returns why that failed.
    pub(super) fn record(
        &mut self,
        programs: &Programs,
        scratch: &Utf8Path,
    ) -> Result<Option<String>> {
        let record = scratch.join(format!("{}.probes", self.name()));
        let dir = scratch.join(format!("{}.record", self.name()));
        fs::remove_dir_all(&dir)?;
        fs::write_atomic(dir.join("include/config/auto.conf"), b"")?;
        let call = Call::new(programs.ours.as_str(), &dir)
            .args(["--alldefconfig", "--record-probes", record.as_str()])
            .arg("Kconfig")
            .envs(&self.environment);
        let (output, status) = exec::capture_unchecked(&call)?;
        fs::remove_dir_all(&dir)?;
        if status.success() {
            self.record = Some(record);
            return Ok(None);
        }
        let why = String::from_utf8_lossy(&output.stderr);
        Ok(Some(why.lines().last().unwrap_or("no reason").to_owned()))
    }

    /// `6.12.117-x86_64-gcc`.
    pub(super) fn name(&self) -> String {
        format!("{}-{}-{}", self.tree.version, self.arch, self.compiler)
    }
}

fn dialect(tree: &Utf8Path) -> Result<&'static str> {
    let dialect = kconfig::detect_dialect(tree, Dialect::V7)?;
    Ok(if dialect.choice_is_symbol {
        "6.1"
    } else if dialect.transitional {
        "7"
    } else {
        "6.12"
    })
}

/// `clang`, or the newest of Debian's `clang-N`.
fn clang(workspace: &Workspace) -> Option<String> {
    let path = &workspace.environment.path;
    let numbered = (11..40).rev().map(|version| format!("clang-{version}"));
    numbered
        .chain(["clang".to_owned()])
        .find(|program| exec::find_on_path(program, path).is_some())
}

/// Hands every file below `directory` on, by its path relative to it.
pub(super) fn files_below(directory: &Utf8Path, found: &mut dyn FnMut(&Utf8Path)) -> Result {
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in next.read_dir_utf8()? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open.push(entry.into_path());
            } else {
                found(
                    entry
                        .path()
                        .strip_prefix(directory)
                        .expect("the directory was listed"),
                );
            }
        }
    }
    Ok(())
}

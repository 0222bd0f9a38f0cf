//! Many kernels: what planning them takes, and what they gain from each other.
//!
//! The kernels differ in a handful of symbols, as the flavours of a distribution do.

use camino::{Utf8Path, Utf8PathBuf};
use kernelkit::effect::{exec, fs};
use kernelkit::process::Call;

use super::kconfig::memory;
use super::kernel::{COMPILE_ONLY, Make};
use crate::Result;
use crate::bench::{Goal, Row, Setting, Side, Sides};

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "plan-1000",
        about: "plan of 1,000 kernels of two trees, none resolved before",
        goal: Some(Goal::Seconds(20.0)),
        prepare: |setting| plan_thousand(setting, "plan-1000"),
    },
    Row {
        name: "plan-1000-memory",
        about: "peak memory of the same",
        goal: Some(Goal::Memory(1024.0)),
        prepare: |setting| plan_thousand(setting, "plan-1000-memory").map(memory),
    },
    Row {
        name: "second-flavour",
        about: "a second flavour of a version / the same alone",
        goal: Some(Goal::Ratio(0.2)),
        prepare: |setting| second_flavour(setting, "second-flavour", ""),
    },
    Row {
        name: "second-flavour-header",
        about: "the same where a header of everything uses one of its symbols",
        goal: None,
        prepare: |setting| {
            second_flavour(setting, "second-flavour-header", "CONFIG_PANIC_TIMEOUT=7\n")
        },
    },
    Row {
        name: "matrix-12",
        about: "a batch of 12 kernels from nothing / 12 times make",
        goal: Some(Goal::Ratio(0.7)),
        prepare: matrix_of_twelve,
    },
];

/// What flavours have besides, or have not: the bits of their number say.
const FEATURES: [&str; 3] = ["OVERLAY_FS", "FUSE_FS", "UNIX98_PTYS"];

/// A workspace whose kernels are the flavours of trees, with a cache and a store of its own.
struct Farm<'a> {
    setting: &'a Setting<'a>,
    dir: Utf8PathBuf,
}

impl<'a> Farm<'a> {
    /// `flavours` of each tree; the kernels are `k-<tree>-f<flavour>`.
    fn new(
        setting: &'a Setting<'a>,
        row: &str,
        trees: &[Utf8PathBuf],
        flavours: usize,
        settings: &str,
    ) -> Result<Self> {
        let dir = setting.scratch.join(row);
        fs::remove_dir_all(&dir)?;
        let mut text = format!(
            "[workspace]\nmembers = []\nresolver = \"3\"\n\n[workspace.metadata.kernel]\nfragment-dirs = [\"fragments\"]\n\n\
             [workspace.metadata.kernel.defaults]\npreset = \"tiny\"\n{settings}\n"
        );
        for number in 0..flavours {
            text.push_str(&format!(
                "[workspace.metadata.kernel.flavours.f{number}]\nfragments = [\"misc/f{number}\"]\n"
            ));
            let mut fragment = format!(
                "# summary: flavour {number}\nCONFIG_LOG_BUF_SHIFT={}\nCONFIG_DEFAULT_HOSTNAME=\"f{number}\"\n",
                12 + number % 13
            );
            for (bit, symbol) in FEATURES.into_iter().enumerate() {
                if number >> bit & 1 == 1 {
                    fragment.push_str(&format!("CONFIG_{symbol}=y\n"));
                }
            }
            let path = dir.join(format!("fragments/misc/f{number}.config"));
            fs::write_atomic(&path, fragment.as_bytes())?;
        }
        let sources: Vec<_> = trees
            .iter()
            .enumerate()
            .map(|(number, tree)| format!("t{number} = \"{tree}\""))
            .collect();
        let names: Vec<_> = (0..flavours)
            .map(|number| format!("\"f{number}\""))
            .collect();
        text.push_str(&format!(
            "\n[workspace.metadata.kernel.matrix.k]\naxes.source = {{ {} }}\naxes.flavour = [{}]\n",
            sources.join(", "),
            names.join(", ")
        ));
        fs::write_atomic(dir.join("Cargo.toml"), text.as_bytes())?;
        Ok(Farm { setting, dir })
    }

    fn cache(&self) -> Utf8PathBuf {
        self.dir.join("cache")
    }

    fn state(&self, kernel: &str) -> Utf8PathBuf {
        self.dir.join("target/kernel").join(kernel)
    }

    fn kernel(&self, args: &[&str]) -> Call {
        let workspace = self.setting.workspace;
        let mut call = workspace
            .call(workspace.cargo_kernel().as_str())
            .arg("kernel")
            .args(args.iter().copied())
            .env("CARGO_TARGET_DIR", self.dir.join("target"))
            .env("KERNELKIT_CACHE_DIR", self.cache())
            .env("KERNELKIT_STORE_DIR", self.dir.join("store"));
        call.dir.clone_from(&self.dir);
        call
    }

    fn remove(&self, paths: &[Utf8PathBuf]) -> Call {
        let call = self.setting.workspace.call("rm").arg("-rf");
        call.args(paths.iter().map(|path| path.to_string()))
    }
}

fn plan_thousand(setting: &Setting<'_>, row: &str) -> Result<Sides> {
    let mut trees = setting.workspace.test_trees();
    trees.retain(|tree| *tree != setting.tree);
    trees.insert(0, setting.tree.clone());
    trees.truncate(2);
    let flavours = 1000 / trees.len();
    let farm = Farm::new(setting, row, &trees, flavours, COMPILE_ONLY)?;
    // Both trees are loaded, and what their Kconfig files ask the compiler is known.
    exec::capture(&farm.kernel(&["plan", "k-*-f0", "--quiet"]))?;
    Ok(Sides {
        ours: Side {
            before: vec![farm.remove(&[farm.cache().join("config")])],
            timed: vec![farm.kernel(&["plan", "--quiet"])],
        },
        reference: None,
        goal: None,
        holds: None,
    })
}

fn second_flavour(setting: &Setting<'_>, row: &str, more: &str) -> Result<Sides> {
    let trees = [setting.tree.clone()];
    let settings = COMPILE_ONLY.replace("ccache = false", "reuse = false");
    let farm = Farm::new(setting, row, &trees, 2, &settings)?;
    let fragment = farm.dir.join("fragments/misc/f1.config");
    let text = fs::read_to_string(&fragment)? + more;
    fs::write_atomic(&fragment, text.as_bytes())?;
    exec::capture(&farm.kernel(&["build", "k-t0-f0", "--quiet"]))?;
    // Each run finds what the first flavour left, and nothing of the second.
    let (cache, kept) = (farm.cache().join("ccache"), farm.dir.join("ccache"));
    let copy = |from: &Utf8Path, to: &Utf8Path| {
        let call = setting.workspace.call("cp");
        call.args(["-a", "--reflink=auto", from.as_str(), to.as_str()])
    };
    exec::capture(&copy(&cache, &kept))?;
    let state = farm.state("k-t0-f1");
    Ok(Sides {
        ours: Side {
            before: vec![
                farm.remove(&[state.clone(), cache.clone()]),
                copy(&kept, &cache),
            ],
            timed: vec![farm.kernel(&["build", "k-t0-f1", "--quiet"])],
        },
        reference: Some(Side {
            before: vec![farm.remove(&[state])],
            timed: vec![farm.kernel(&[
                "build",
                "k-t0-f1",
                "--quiet",
                "--no-ccache",
                "--no-borrow-objects",
            ])],
        }),
        goal: None,
        holds: None,
    })
}

fn matrix_of_twelve(setting: &Setting<'_>) -> Result<Sides> {
    const KERNELS: usize = 12;
    let trees = [setting.tree.clone()];
    let settings = COMPILE_ONLY.replace("ccache = false", "reuse = false");
    let farm = Farm::new(setting, "matrix-12", &trees, KERNELS, &settings)?;
    let out = farm.dir.join("make");
    let (mut before, mut timed) = (vec![farm.remove(std::slice::from_ref(&out))], Vec::new());
    for number in 0..KERNELS {
        let name = format!("k-t0-f{number}");
        let plan = farm.kernel(&["plan", &name, "--no-ccache", "--message-format", "json"]);
        let make = Make::of(&plan, &farm.state(&name), out.join(&name))?;
        // What make starts from is a configuration, as for us.
        let config = farm.dir.join(format!("{name}.config"));
        let show = farm.kernel(&["config", "show", &name]);
        fs::write_atomic(&config, &exec::capture(&show)?.stdout)?;
        before.extend(make.start_from(setting.workspace, &config));
        timed.extend([make.configure, make.compile]);
    }
    Ok(Sides {
        ours: Side {
            before: vec![farm.remove(&[
                farm.dir.join("target"),
                farm.cache().join("ccache"),
                farm.cache().join("config"),
            ])],
            timed: vec![farm.kernel(&["build", "--all", "--quiet"])],
        },
        reference: Some(Side { before, timed }),
        goal: None,
        holds: None,
    })
}

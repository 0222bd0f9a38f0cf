//! The Kconfig engine against the kernel's own reader: the same tree (of `--tree`), files,
//! environment and probes.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use kernelkit::effect::kconfig::{Probes, Tree, load_tree};
use kernelkit::effect::{exec, fs};
use kernelkit::process::Call;

use crate::Result;
use crate::bench::{Goal, Row, Setting, Side, Sides};

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "config-cached",
        about: "olddefconfig of a defconfig, probes cached / conf, probes replayed",
        goal: Some(Goal::Ratio(0.05)),
        prepare: |setting| Bench::new(setting)?.olddefconfig(Ours::Cached, Reference::Replayed),
    },
    Row {
        name: "config-make",
        about: "the same / make olddefconfig",
        goal: Some(Goal::Ratio(0.0125)),
        prepare: |setting| Bench::new(setting)?.olddefconfig(Ours::Cached, Reference::Make),
    },
    Row {
        name: "config-uncached",
        about: "olddefconfig, all probes run / conf, all probes run",
        goal: Some(Goal::Ratio(1.0)),
        prepare: |setting| Bench::new(setting)?.olddefconfig(Ours::Uncached, Reference::Conf),
    },
    Row {
        name: "config-1000",
        about: "1,000 sets of fragments over one loaded tree, the load included",
        goal: Some(Goal::Seconds(5.0)),
        prepare: |setting| Bench::new(setting)?.thousand(),
    },
    Row {
        name: "merge-100",
        about: "merging 100 fragments / the tree's merge_config.sh -m",
        goal: None,
        prepare: |setting| Bench::new(setting)?.merge(),
    },
    Row {
        name: "conf-start",
        about: "kernelkit-conf on a Kconfig file of one symbol",
        goal: Some(Goal::Seconds(0.06)),
        prepare: |setting| Bench::new(setting)?.start(),
    },
    Row {
        name: "conf-start-tree",
        about: "kernelkit-conf on the whole tree, probes cached",
        goal: Some(Goal::Seconds(0.06)),
        prepare: |setting| {
            let sides = Bench::new(setting)?.olddefconfig(Ours::Cached, Reference::Replayed)?;
            Ok(Sides {
                reference: None,
                ..sides
            })
        },
    },
    Row {
        name: "conf-memory",
        about: "peak memory of kernelkit-conf on the whole tree / of conf",
        goal: Some(Goal::Memory(100.0)),
        prepare: |setting| {
            let bench = Bench::new(setting)?;
            bench
                .olddefconfig(Ours::Cached, Reference::Replayed)
                .map(memory)
        },
    },
    Row {
        name: "kernel-config-memory",
        about: "peak memory of `cargo kernel config show`, nothing resolved before",
        goal: Some(Goal::Memory(100.0)),
        prepare: |setting| {
            let bench = Bench::new(setting)?;
            bench.kernel(&["config", "show"], true).map(memory)
        },
    },
    Row {
        name: "plan-warm",
        about: "`cargo kernel plan` of make = \"defconfig\", planned before",
        goal: None,
        prepare: |setting| Bench::new(setting)?.kernel(&["plan"], false),
    },
    Row {
        name: "plan-resolve",
        about: "the same, probes cached, the configuration not",
        goal: None,
        prepare: |setting| Bench::new(setting)?.kernel(&["plan"], true),
    },
];

/// How our side gets its probes.
enum Ours {
    Cached,
    Uncached,
}

/// What it is compared with.
enum Reference {
    Replayed,
    Conf,
    Make,
}

/// A configured directory for each side, and what conf is called with.
struct Bench<'a> {
    setting: &'a Setting<'a>,
    dir: Utf8PathBuf,
    /// What the tree's Makefile gives to conf.
    variables: BTreeMap<String, String>,
}

impl<'a> Bench<'a> {
    /// Has make write a defconfig, which builds the tree's conf, and records the probes.
    fn new(setting: &'a Setting<'a>) -> Result<Self> {
        let workspace = setting.workspace;
        let name = setting.tree.as_str().trim_matches('/').replace('/', "_");
        let dir = setting.scratch.join("kconfig").join(name);
        let out = dir.join("theirs");
        fs::create_dir_all(&out)?;
        exec::capture(
            &workspace
                .call("make")
                .args(["-s", "-C", setting.tree.as_str(), "ARCH=x86_64"])
                .arg(format!("O={out}"))
                .arg("defconfig"),
        )?;
        let loaded = load_tree(
            &Tree {
                source: &setting.tree,
                directory: &out,
                arch: "x86_64",
                make_variables: &BTreeMap::new(),
                environment: &workspace.variables,
            },
            &Probes::Run(None),
        )?;
        fs::write_atomic(dir.join("probes"), &loaded.record.to_text())?;
        for side in ["theirs", "ours"] {
            // Without it conf would touch a file for each symbol.
            fs::write_atomic(dir.join(side).join("include/config/auto.conf"), b"")?;
        }
        fs::copy(out.join(".config"), dir.join("config"))?;
        Ok(Bench {
            setting,
            dir,
            variables: loaded.variables,
        })
    }

    fn conf(&self, program: &str, side: &str) -> Call {
        Call::new(program, self.dir.join(side))
            .envs(&self.variables)
            .env("KERNELKIT_CACHE_DIR", self.dir.join("cache").as_str())
            .args(["--olddefconfig", "Kconfig"])
    }

    fn ours(&self) -> Utf8PathBuf {
        self.setting.workspace.target.join("release/kernelkit-conf")
    }

    fn example(&self) -> Call {
        let example = self
            .setting
            .workspace
            .target
            .join("release/examples/many_configs");
        let mut call = self.setting.workspace.call(example.as_str());
        call.dir.clone_from(&self.dir);
        call.env("KERNELKIT_CACHE_DIR", self.dir.join("cache").as_str())
    }

    /// Puts the defconfig into a side's directory.
    fn reset(&self, side: &str) -> Call {
        self.setting.workspace.call("cp").args([
            self.dir.join("config").as_str(),
            self.dir.join(side).join(".config").as_str(),
        ])
    }

    fn olddefconfig(&self, ours: Ours, reference: Reference) -> Result<Sides> {
        let mut call = self.conf(self.ours().as_str(), "ours");
        if let Ours::Uncached = ours {
            call = call.arg("--no-cache");
        } else {
            exec::capture(&self.reset("ours"))?;
            exec::capture(&call)?;
        }
        let theirs = self.dir.join("theirs");
        let conf = self.conf(theirs.join("scripts/kconfig/conf").as_str(), "theirs");
        let reference = match reference {
            Reference::Conf => conf,
            Reference::Replayed => conf
                .env("LD_PRELOAD", self.replay()?.as_str())
                .env("KCONFIG_ORACLE_REPLAY", self.dir.join("probes").as_str()),
            Reference::Make => self
                .setting
                .workspace
                .call("make")
                .args(["-C", self.setting.tree.as_str(), "ARCH=x86_64"])
                .arg(format!("O={theirs}"))
                .arg("olddefconfig"),
        };
        let (mine, other) = (self.dir.join("ours/.config"), theirs.join(".config"));
        Ok(Sides {
            ours: Side {
                before: vec![self.reset("ours")],
                timed: vec![call],
            },
            reference: Some(Side {
                before: vec![self.reset("theirs")],
                timed: vec![reference],
            }),
            goal: None,
            holds: Some(Box::new(move || {
                match fs::read(&mine)? == fs::read(&other)? {
                    true => Ok(()),
                    false => Err(format!("{mine} and {other} differ").into()),
                }
            })),
        })
    }

    /// The library that answers conf's probes from a record.
    fn replay(&self) -> Result<Utf8PathBuf> {
        let workspace = self.setting.workspace;
        let library = self.dir.join("replay.so");
        let source = workspace.root.join("xtask/src/oracle/replay.c");
        exec::capture(
            &workspace
                .call("cc")
                .args(["-shared", "-fPIC", "-O2", "-o"])
                .args([library.as_str(), source.as_str()]),
        )?;
        Ok(library)
    }

    fn thousand(&self) -> Result<Sides> {
        let defconfig = self.dir.join("config");
        let call = self.example().args(["resolve", self.setting.tree.as_str()]);
        let call = call.args([defconfig.as_str(), "1000"]);
        Ok(alone(call))
    }

    fn merge(&self) -> Result<Sides> {
        let directory = self.dir.join("fragments");
        let config = fs::read_to_string(self.dir.join("config"))?;
        let on: Vec<_> = config.lines().filter(|line| line.ends_with("=y")).collect();
        let mut fragments = Vec::new();
        for number in 0..100 {
            let text: String = (0..10)
                .filter_map(|step| on[(number * 13 + step * 97) % on.len()].strip_suffix("=y"))
                .map(|symbol| format!("{symbol}=m\n"))
                .collect();
            let path = directory.join(format!("{number:03}.config"));
            fs::write_atomic(&path, text.as_bytes())?;
            fragments.push(path.into_string());
        }
        let script = self.setting.tree.join("scripts/kconfig/merge_config.sh");
        let by_awk = fs::read_to_string(&script)?.contains("AWK=");
        let (mine, other) = (self.dir.join("ours/merged"), self.dir.join("theirs/merged"));
        let base = self.dir.join("config");
        let ours = self
            .example()
            .args([
                "merge",
                self.setting.tree.as_str(),
                base.as_str(),
                mine.as_str(),
            ])
            .args(fragments.iter().cloned());
        let mut theirs = self
            .setting
            .workspace
            .call(script.as_str())
            .args(["-m", base.as_str()])
            .args(fragments)
            .env("KCONFIG_CONFIG", other.as_str());
        theirs.dir = self.dir.join("theirs");
        // A first run, to compare with.
        exec::capture(&theirs)?;
        Ok(Sides {
            ours: Side {
                before: Vec::new(),
                timed: vec![ours],
            },
            reference: Some(Side {
                before: Vec::new(),
                timed: vec![theirs],
            }),
            goal: Some(Goal::Ratio(if by_awk { 0.05 } else { 0.005 })),
            holds: Some(Box::new(move || {
                match fs::read(&mine)? == fs::read(&other)? {
                    true => Ok(()),
                    false => Err(format!("{mine} and {other} differ").into()),
                }
            })),
        })
    }

    fn start(&self) -> Result<Sides> {
        let directory = self.dir.join("one");
        fs::write_atomic(
            directory.join("Kconfig"),
            b"config A\n\tbool \"A\"\n\tdefault y\n",
        )?;
        let call = Call::new(self.ours().as_str(), directory)
            .args(["--olddefconfig", "Kconfig"])
            .env("KERNELKIT_CACHE_DIR", self.dir.join("cache").as_str());
        Ok(alone(call))
    }

    /// A command of `cargo kernel` on a kernel of `make = "defconfig"`; `resolves`: the
    /// configuration is forgotten before each run.
    fn kernel(&self, args: &[&str], resolves: bool) -> Result<Sides> {
        let workspace = self.setting.workspace;
        let project = self.dir.join("project");
        fs::write_atomic(
            project.join("Cargo.toml"),
            format!(
                "[workspace]\nmembers = []\nresolver = \"3\"\n\n[workspace.metadata.kernel.kernels.bench]\nsource = \"{}\"\narch = \"x86_64\"\nmake = \"defconfig\"\n",
                self.setting.tree
            )
            .as_bytes(),
        )?;
        let cache = self.dir.join("cache");
        let mut call = workspace
            .call(workspace.cargo_kernel().as_str())
            .arg("kernel")
            .args(args.iter().copied())
            .env("CARGO_TARGET_DIR", project.join("target").as_str())
            .env("KERNELKIT_CACHE_DIR", cache.as_str());
        call.dir = project;
        exec::capture(&call)?;
        let forget = workspace
            .call("rm")
            .args(["-rf", cache.join("config").as_str()]);
        let mut sides = alone(call);
        sides.ours.before.extend(resolves.then_some(forget));
        Ok(sides)
    }
}

/// The same commands, each printing its peak memory in KiB.
pub(super) fn memory(mut sides: Sides) -> Sides {
    const PEAK: &str = "\
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)";
    let wrap = |side: &mut Side| {
        for call in &mut side.timed {
            let args = std::mem::take(&mut call.args);
            let program = std::mem::replace(&mut call.program, "python3".to_owned());
            // Of a library that is put before conf, Python must not know.
            let preloaded: Vec<_> = call
                .env
                .remove("LD_PRELOAD")
                .map(|library| format!("LD_PRELOAD={library}"))
                .into_iter()
                .collect();
            call.args = ["-c", PEAK, "env"].map(str::to_owned).to_vec();
            call.args.extend(preloaded);
            call.args.push(program);
            call.args.extend(args);
        }
    };
    wrap(&mut sides.ours);
    if let Some(side) = &mut sides.reference {
        wrap(side);
    }
    sides
}

/// One command that is compared with nothing.
fn alone(call: Call) -> Sides {
    Sides {
        ours: Side {
            before: Vec::new(),
            timed: vec![call],
        },
        reference: None,
        goal: None,
        holds: None,
    }
}

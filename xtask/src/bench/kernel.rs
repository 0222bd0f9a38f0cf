//! `cargo kernel` against plain make: the same tree, configuration, variables and jobs.
//!
//! The reference's command lines are those of `cargo kernel plan`, with the object
//! directory exchanged, so that both sides compile exactly the same thing.

use std::cell::RefCell;

use camino::{Utf8Path, Utf8PathBuf};
use kernelkit::effect::{exec, fs};
use kernelkit::process::Call;
use serde::Deserialize;

use crate::Result;
use crate::bench::{Goal, Row, Setting, Side, Sides};
use crate::workspace::Workspace;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "cold-build",
        about: "build from nothing / make olddefconfig + make",
        goal: Some(Goal::Ratio(1.02)),
        prepare: cold_build,
    },
    Row {
        name: "noop-pinned",
        about: "nothing to do, pinned source / make with nothing to do",
        goal: Some(Goal::Ratio(0.05)),
        prepare: |setting| nothing_to_do(setting, "noop-pinned", "debian:linux-source-6.12"),
    },
    Row {
        name: "noop-directory",
        about: "nothing to do, a directory that must be scanned / make with nothing to do",
        goal: Some(Goal::Ratio(0.2)),
        prepare: |setting| nothing_to_do(setting, "noop-directory", setting.tree.as_str()),
    },
    Row {
        name: "one-edit",
        about: "one edited file, and the release follows / make after the same edit",
        goal: None,
        prepare: |setting| one_edit(setting, "one-edit", ""),
    },
    Row {
        name: "shell-edit",
        about: "the same by the backend shell in a Debian root / make there",
        goal: Some(Goal::Ratio(1.1)),
        prepare: |setting| one_edit(setting, "shell-edit", IN_A_ROOT),
    },
    Row {
        name: "plan-100",
        about: "plan of 100 kernels of one tree",
        goal: None,
        prepare: plan_100,
    },
];

/// Settings that leave what make alone does: compile.
pub(super) const COMPILE_ONLY: &str = "\
ccache = false
compile-commands = false
gdb-scripts = false
rust-analyzer = false
install = false
modules-install = false
";

/// The root whose pin is in this repository, whose shell needs no Nix.
const IN_A_ROOT: &str = "backend = \"shell\"\ntoolchain = \"debian-12\"\n";
const PIN: &str = "kernel.lock.d/debian-12.toml";

/// A folder with kernels, as a user has one, and where its builds lie.
pub(super) struct Project<'a> {
    setting: &'a Setting<'a>,
    pub(super) dir: Utf8PathBuf,
}

impl<'a> Project<'a> {
    /// Writes a workspace whose kernels are `names`, all with `settings`.
    fn new(
        setting: &'a Setting<'a>,
        row: &str,
        source: &str,
        names: &[String],
        settings: &str,
    ) -> Result<Self> {
        let dir = setting.scratch.join(row);
        fs::remove_dir_all(&dir)?;
        let mut text = format!(
            "[workspace]\nmembers = []\nresolver = \"3\"\n\n[workspace.metadata.kernel.defaults]\nsource = \"{source}\"\npreset = \"tiny\"\n{settings}"
        );
        for name in names {
            text.push_str(&format!(
                "\n[workspace.metadata.kernel.kernels.{name}]\nlabel = \"{name}\"\n"
            ));
        }
        fs::write_atomic(dir.join("Cargo.toml"), text.as_bytes())?;
        let pin = fs::read(setting.workspace.root.join(PIN))?;
        fs::write_atomic(dir.join(PIN), &pin)?;
        Ok(Project { setting, dir })
    }

    /// One kernel called `bench`.
    pub(super) fn single(
        setting: &'a Setting<'a>,
        row: &str,
        source: &str,
        settings: &str,
    ) -> Result<Self> {
        Project::new(setting, row, source, &["bench".to_owned()], settings)
    }

    /// `cargo kernel …` with a store and a target directory of the benchmark's own.
    pub(super) fn kernel(&self, args: &[&str]) -> Call {
        let workspace = self.setting.workspace;
        let mut call = workspace
            .call(workspace.cargo_kernel().as_str())
            .arg("kernel")
            .args(args.iter().copied())
            .env("CARGO_TARGET_DIR", self.dir.join("target"))
            .env("KERNELKIT_STORE_DIR", self.setting.scratch.join("store"));
        call.dir.clone_from(&self.dir);
        call
    }

    pub(super) fn build(&self) -> Call {
        self.kernel(&["build", "bench", "--quiet"])
    }

    /// Plain make in `make/`, as the plan has it.
    fn make(&self) -> Result<Make> {
        let plan = self.kernel(&["plan", "bench", "--message-format", "json"]);
        Make::of(&plan, &self.state(), self.dir.join("make"))
    }

    pub(super) fn state(&self) -> Utf8PathBuf {
        self.dir.join("target/kernel/bench")
    }
}

/// The calls of a plan that plain make needs.
pub(super) struct Make {
    out: Utf8PathBuf,
    pub(super) configure: Call,
    pub(super) compile: Call,
}

impl Make {
    /// Reads them from a call of `cargo kernel plan` and moves them from the kernel's state into
    /// `out`.
    pub(super) fn of(plan: &Call, state: &Utf8Path, out: Utf8PathBuf) -> Result<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case", tag = "step")]
        enum Step {
            Configure {
                confirm: Call,
            },
            Compile {
                call: Call,
            },
            #[serde(other)]
            Other,
        }
        #[derive(Deserialize)]
        struct Plan {
            steps: Vec<Step>,
        }
        #[derive(Deserialize)]
        struct Message {
            plan: Plan,
        }
        let printed = exec::capture(plan)?;
        let message = printed
            .text()
            .lines()
            .find_map(|line| serde_json::from_str::<Message>(line).ok())
            .ok_or("`cargo kernel plan` printed no plan")?;
        let build = state.join("build");
        let (mut configure, mut compile) = (None, None);
        for step in message.plan.steps {
            match step {
                Step::Configure { confirm } => configure = Some(moved(confirm, &build, &out)),
                Step::Compile { call } => compile = Some(moved(call, &build, &out)),
                Step::Other => {}
            }
        }
        Ok(Make {
            configure: configure.ok_or("the plan configures nothing")?,
            compile: compile.ok_or("the plan compiles nothing")?,
            out,
        })
    }

    /// An empty object directory with the project's configuration, which is kept aside:
    /// the build directory that it comes from may be gone by then.
    fn start(&self, project: &Project<'_>) -> Result<Vec<Call>> {
        let config = project.dir.join("config");
        fs::copy(project.state().join("build/.config"), &config)?;
        Ok(self.start_from(project.setting.workspace, &config).into())
    }

    /// An empty object directory with that configuration.
    pub(super) fn start_from(&self, workspace: &Workspace, config: &Utf8Path) -> [Call; 3] {
        let dot_config = self.out.join(".config");
        [
            workspace.call("rm").args(["-rf", self.out.as_str()]),
            workspace.call("mkdir").args(["-p", self.out.as_str()]),
            workspace
                .call("cp")
                .args([config.as_str(), dot_config.as_str()]),
        ]
    }

    /// Builds once, untimed.
    fn warm(&self, project: &Project<'_>) -> Result {
        let mut calls = self.start(project)?;
        calls.extend([self.configure.clone(), self.compile.clone()]);
        for call in &calls {
            exec::capture(call)?;
        }
        Ok(())
    }
}

/// The same call with another object directory.
fn moved(mut call: Call, from: &Utf8Path, to: &Utf8Path) -> Call {
    for arg in &mut call.args {
        *arg = arg.replace(from.as_str(), to.as_str());
    }
    if let Some(parent) = to.parent() {
        call.dir = parent.to_owned();
    }
    call
}

fn cold_build(setting: &Setting<'_>) -> Result<Sides> {
    let settings = format!("{COMPILE_ONLY}reuse = false\n");
    let project = Project::single(setting, "cold-build", setting.tree.as_str(), &settings)?;
    exec::capture(&project.build())?;
    let make = project.make()?;
    let remove = setting
        .workspace
        .call("rm")
        .args(["-rf", project.state().as_str()]);
    Ok(Sides {
        ours: Side {
            before: vec![remove],
            timed: vec![project.build()],
        },
        reference: Some(Side {
            before: make.start(&project)?,
            timed: vec![make.configure, make.compile],
        }),
        goal: None,
        holds: None,
    })
}

fn nothing_to_do(setting: &Setting<'_>, row: &str, source: &str) -> Result<Sides> {
    let project = Project::single(setting, row, source, COMPILE_ONLY)?;
    exec::capture(&project.build())?;
    let make = project.make()?;
    make.warm(&project)?;
    Ok(Sides {
        ours: Side {
            before: Vec::new(),
            timed: vec![project.build()],
        },
        reference: Some(Side {
            before: Vec::new(),
            timed: vec![make.compile],
        }),
        goal: None,
        holds: None,
    })
}

fn one_edit(setting: &Setting<'_>, row: &str, more: &str) -> Result<Sides> {
    let tree = writable_tree(setting)?;
    let settings = format!("{COMPILE_ONLY}{more}");
    let project = Project::single(setting, row, tree.as_str(), &settings)?;
    exec::capture(&project.build())?;
    let make = project.make()?;
    make.warm(&project)?;
    let edit = setting.workspace.call("sh").args([
        "-c",
        "echo '/* edited */' >> \"$1\"",
        "sh",
        tree.join("init/main.c").as_str(),
    ]);
    let release = project.state().join("build/include/config/kernel.release");
    let last = RefCell::new(fs::read_to_string(&release)?);
    Ok(Sides {
        ours: Side {
            before: vec![edit.clone()],
            timed: vec![project.build()],
        },
        reference: Some(Side {
            before: vec![edit],
            timed: vec![make.compile],
        }),
        goal: None,
        holds: Some(Box::new(move || {
            let now = fs::read_to_string(&release)?;
            if last.replace(now.clone()) == now {
                return Err(format!("still {} after an edit of init/main.c", now.trim()).into());
            }
            Ok(())
        })),
    })
}

/// A copy of the tree that an edit may change, made once.
fn writable_tree(setting: &Setting<'_>) -> Result<Utf8PathBuf> {
    let tree = setting.scratch.join("tree");
    if !tree.exists() {
        let partial = setting.scratch.join("tree.partial");
        fs::remove_dir_all(&partial)?;
        exec::capture(&setting.workspace.call("cp").args([
            "-a",
            "--reflink=auto",
            setting.tree.as_str(),
            partial.as_str(),
        ]))?;
        fs::rename(&partial, &tree)?;
    }
    Ok(tree)
}

fn plan_100(setting: &Setting<'_>) -> Result<Sides> {
    let names: Vec<_> = (0..100).map(|number| format!("k{number}")).collect();
    let project = Project::new(
        setting,
        "plan-100",
        setting.tree.as_str(),
        &names,
        COMPILE_ONLY,
    )?;
    Ok(Sides {
        ours: Side {
            before: Vec::new(),
            timed: vec![project.kernel(&["plan", "--quiet"])],
        },
        reference: None,
        goal: None,
        holds: None,
    })
}

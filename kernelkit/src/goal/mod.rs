//! What make's configuration goals do, without make.
//!
//! The goals that every tree has (`defconfig`, `olddefconfig`, `X_defconfig`, `X.config` …) are
//! those of `scripts/kconfig/Makefile`; those of one architecture (`virtconfig`,
//! `pseries_le_defconfig`, `rv32_defconfig` …) are read from its own Makefile, as far as
//! their recipes are a fixed list. [`steps`] answers `None` for anything else: then make
//! has to run.
//!
//! Pure: the Makefiles' texts are handed in.

mod makefile;

use camino::{Utf8Path, Utf8PathBuf};

use crate::kconfig::Mode;
use makefile::{Action, Rules, Variables};

/// One step towards a `.config`. Files are named from the top of the source tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// `conf --defconfig=FILE`.
    Defconfig {
        /// The file.
        file: Utf8PathBuf,
    },
    /// `conf --allnoconfig` and its kin.
    Fill {
        /// Which.
        mode: Mode,
        /// `KCONFIG_ALLCONFIG`.
        allconfig: Option<Utf8PathBuf>,
    },
    /// `merge_config.sh -m`, whose result is the next step's `.config`.
    Merge {
        /// What is merged into; the `.config` so far where it is absent.
        base: Option<Utf8PathBuf>,
        /// In order.
        fragments: Vec<Utf8PathBuf>,
    },
    /// `conf --olddefconfig` and its kin on the `.config` so far.
    Update {
        /// Which.
        mode: Mode,
    },
}

/// What a tree says about its goals.
pub struct Tree<'a> {
    /// `ARCH`.
    pub arch: &'a str,
    /// The directory below `arch/`.
    pub source_arch: &'a str,
    /// What `uname -m` prints on this machine; some architectures' `defconfig` is the machine's.
    pub machine: &'a str,
    /// `arch/<source_arch>/Makefile`.
    pub arch_makefile: &'a str,
    /// `scripts/kconfig/Makefile`.
    pub kconfig_makefile: &'a str,
    /// Whether there is a file, named from the top of the tree.
    pub is_file: &'a dyn Fn(&Utf8Path) -> bool,
    /// Names of the files of `arch/<source_arch>/configs` and `kernel/configs`.
    pub configs: &'a [String],
}

/// Why a goal makes no configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The tree has no such goal.
    #[error("this kernel has no configuration `{goal}` for {arch}")]
    Unknown {
        /// The goal.
        goal: String,
        /// `ARCH`.
        arch: String,
        /// What it may have been meant to be.
        suggestion: Option<String>,
    },
    /// It asks questions.
    #[error("`{goal}` is interactive")]
    Interactive {
        /// The goal.
        goal: String,
    },
    /// It writes something else.
    #[error("`{goal}` does not make a configuration")]
    NotConfiguration {
        /// The goal.
        goal: String,
    },
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Unknown {
                suggestion: Some(suggestion),
                ..
            } => Some(format!("did you mean `{suggestion}`?")),
            Error::Unknown {
                suggestion: None,
                arch,
                ..
            } => Some(format!(
                "`make ARCH={arch} help` in the source tree lists the goals"
            )),
            Error::Interactive { .. } => Some(
                "start from `defconfig`, or save what you choose there and name the file as `config`"
                    .to_owned(),
            ),
            Error::NotConfiguration { .. } => Some(
                "a configuration starts from a goal such as `defconfig`; what make builds are `targets`"
                    .to_owned(),
            ),
        }
    }
}

/// Goals that ask the user.
const INTERACTIVE: &[&str] = &[
    "config",
    "menuconfig",
    "nconfig",
    "xconfig",
    "gconfig",
    "kconfig",
];

/// Goals that write something else than a `.config`.
const WRITES_NOTHING: &[&str] = &[
    "savedefconfig",
    "listnewconfig",
    "helpnewconfig",
    "testconfig",
    "testallconfig",
];

/// Goals whose result hangs on the machine or on chance.
const MAKE_ONLY: &[&str] = &["localmodconfig", "localyesconfig", "randconfig"];

/// Every goal that all trees have and that makes a configuration, for suggestions.
const COMMON: &[&str] = &[
    "defconfig",
    "olddefconfig",
    "oldconfig",
    "alldefconfig",
    "allnoconfig",
    "allyesconfig",
    "allmodconfig",
    "tinyconfig",
    "randconfig",
    "localmodconfig",
    "localyesconfig",
    "yes2modconfig",
    "mod2yesconfig",
    "mod2noconfig",
];

/// Goals that go through others, one after the other; a chain longer than this is a circle.
const DEPTH: usize = 8;

/// Refuses goals that make no configuration, whatever the tree.
pub fn check(goal: &str) -> Result<(), Error> {
    let goal_name = || goal.to_owned();
    if INTERACTIVE.contains(&goal) {
        return Err(Error::Interactive { goal: goal_name() });
    }
    if !goal.ends_with("config") || WRITES_NOTHING.contains(&goal) {
        return Err(Error::NotConfiguration { goal: goal_name() });
    }
    Ok(())
}

/// The steps that `goals` come to, in order; `None` where only make knows.
pub fn steps(goals: &[String], tree: &Tree<'_>) -> Result<Option<Vec<Step>>, Error> {
    let rules = Rules::read(tree.arch_makefile);
    let common = Rules::read(tree.kconfig_makefile);
    let reading = Reading {
        tree,
        rules,
        common,
    };
    let mut steps = Vec::new();
    let mut fixed = true;
    for goal in goals {
        check(goal)?;
        fixed &= reading.expand(goal, None, DEPTH, &mut steps)?;
    }
    // Without a `.config`, conf looks for one of this machine's kernels.
    let of_machine = matches!(steps.first(), Some(Step::Update { .. }));
    Ok((fixed && !of_machine && !steps.is_empty()).then_some(steps))
}

struct Reading<'a> {
    tree: &'a Tree<'a>,
    rules: Rules,
    common: Rules,
}

impl Reading<'_> {
    /// Appends the steps of `goal`; false where they are not fixed.
    fn expand(
        &self,
        goal: &str,
        allconfig: Option<&Utf8Path>,
        depth: usize,
        steps: &mut Vec<Step>,
    ) -> Result<bool, Error> {
        if depth == 0 {
            return Ok(false);
        }
        if let Some(actions) = self.rules.actions(goal) {
            return self.follow(actions, depth, steps);
        }
        if let Some(mode) = fill_mode(goal) {
            steps.push(Step::Fill {
                mode,
                allconfig: allconfig.map(Utf8Path::to_owned),
            });
            return Ok(true);
        }
        if allconfig.is_some() || MAKE_ONLY.contains(&goal) {
            return Ok(false);
        }
        if let Some(mode) = update_mode(goal) {
            steps.push(Step::Update { mode });
            return Ok(true);
        }
        if goal == "defconfig" {
            return self.defconfig(depth, steps);
        }
        if goal == "tinyconfig" {
            return match self.common.actions(goal) {
                Some(actions) => self.follow(actions, depth, steps),
                None => Ok(false),
            };
        }
        let own = self.config(goal);
        if goal.ends_with("_defconfig") && (self.tree.is_file)(&own) {
            steps.push(Step::Defconfig { file: own });
            return Ok(true);
        }
        if goal.ends_with(".config") {
            let general = Utf8Path::new("kernel/configs").join(goal);
            let fragments: Vec<_> = [general, own]
                .into_iter()
                .filter(|file| (self.tree.is_file)(file))
                .collect();
            if !fragments.is_empty() {
                steps.push(Step::Merge {
                    base: None,
                    fragments,
                });
                steps.push(Step::Update {
                    mode: Mode::Olddefconfig,
                });
                return Ok(true);
            }
        }
        // An architecture may compute its goals' names.
        if self.rules.computed() {
            return Ok(false);
        }
        Err(Error::Unknown {
            goal: goal.to_owned(),
            arch: self.tree.arch.to_owned(),
            suggestion: self.suggestion(goal),
        })
    }

    fn config(&self, name: &str) -> Utf8PathBuf {
        Utf8Path::new("arch")
            .join(self.tree.source_arch)
            .join("configs")
            .join(name)
    }

    fn defconfig(&self, depth: usize, steps: &mut Vec<Step>) -> Result<bool, Error> {
        let known = [
            ("ARCH", self.tree.arch),
            ("SRCARCH", self.tree.source_arch),
            ("MACHINE", self.tree.machine),
        ];
        let name = match Variables::assigned(self.tree.arch_makefile, &known, "KBUILD_DEFCONFIG") {
            Ok(Some(name)) => name,
            Ok(None) => "defconfig".to_owned(),
            Err(_) => return Ok(false),
        };
        let file = self.config(&name);
        if (self.tree.is_file)(&file) {
            steps.push(Step::Defconfig { file });
            return Ok(true);
        }
        if name == "defconfig" {
            return Ok(false);
        }
        self.expand(&name, None, depth - 1, steps)
    }

    fn follow(
        &self,
        actions: &[Action],
        depth: usize,
        steps: &mut Vec<Step>,
    ) -> Result<bool, Error> {
        for action in actions {
            match action {
                Action::Goals { goals, allconfig } => {
                    for goal in goals {
                        if !self.expand(goal, allconfig.as_deref(), depth - 1, steps)? {
                            return Ok(false);
                        }
                    }
                }
                Action::Merge { base, fragments } => {
                    let base = self.config(base);
                    let fragments: Vec<_> = fragments
                        .iter()
                        .map(|fragment| self.config(&format!("{fragment}.config")))
                        .collect();
                    let is_file = |file: &Utf8PathBuf| (self.tree.is_file)(file);
                    if !is_file(&base) || !fragments.iter().all(is_file) {
                        return Ok(false);
                    }
                    steps.push(Step::Merge {
                        base: Some(base),
                        fragments,
                    });
                    steps.push(Step::Update {
                        mode: Mode::Olddefconfig,
                    });
                }
                Action::Other => return Ok(false),
            }
        }
        Ok(true)
    }

    /// The goal that `wanted` is nearest to.
    fn suggestion(&self, wanted: &str) -> Option<String> {
        let configs = self.tree.configs.iter().map(String::as_str);
        let all = configs
            .chain(self.rules.names())
            .chain(COMMON.iter().copied());
        let most = (wanted.chars().count() / 5).max(1);
        all.map(|name| (strsim::damerau_levenshtein(wanted, name), name))
            .filter(|(distance, _)| *distance <= most)
            .min()
            .map(|(_, name)| name.to_owned())
    }
}

fn fill_mode(goal: &str) -> Option<Mode> {
    Some(match goal {
        "alldefconfig" => Mode::Alldefconfig,
        "allnoconfig" => Mode::Allnoconfig,
        "allyesconfig" => Mode::Allyesconfig,
        "allmodconfig" => Mode::Allmodconfig,
        _ => return None,
    })
}

fn update_mode(goal: &str) -> Option<Mode> {
    Some(match goal {
        "olddefconfig" => Mode::Olddefconfig,
        "oldconfig" | "syncconfig" => Mode::Oldconfig,
        "yes2modconfig" => Mode::Yes2modconfig,
        "mod2yesconfig" => Mode::Mod2yesconfig,
        "mod2noconfig" => Mode::Mod2noconfig,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;

//! Resolves a configuration: natively where it can be, in milliseconds and without a build
//! directory; with the kernel's own make, in a directory beside the build, where only make
//! knows what a goal does. The build confirms either with the kernel's own `conf`.
//!
//! Results are kept in the cache: the same request of the same tree with the same tools has
//! the same answer, so a second `plan` starts no process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use camino::{Utf8Path, Utf8PathBuf};

use super::environment::{Environment, Probing};
use super::lock;
use super::{exec, fs, kconfig, record, toolchain};
use crate::config::{self, DotConfig};
use crate::fragment::Base;
use crate::goal::{self, Step};
use crate::kconfig::{Input, MergeOptions, MergeRules, Mode, Request, Resolution, merge_config};
use crate::make::Kbuild;
use crate::manifest::{Dirs, Resolver};
use crate::merge::Merged;
use crate::request::{self, ConfigRequest, Method};
use crate::source::{Sha256, Tree};
use crate::toolchain::Toolchain;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file.
    #[error(transparent)]
    Fs(#[from] fs::Error),
    /// The kernel's make failed.
    #[error("the kernel's own configuration failed")]
    Make(#[source] exec::Error),
    /// The tree's Kconfig files could not be read.
    #[error(transparent)]
    Kconfig(#[from] kconfig::Error),
    /// A goal that makes no configuration.
    #[error(transparent)]
    Goal(#[from] goal::Error),
    /// Without running the tree's commands there is no answer.
    #[error("only the kernel's own make knows this configuration")]
    OnlyMake,
    /// The result is not a `.config`.
    #[error("{path} is not a kernel configuration")]
    Invalid {
        /// The file.
        path: Utf8PathBuf,
        /// The line.
        #[source]
        source: config::InvalidLine,
    },
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Fs(error) => error.hint(),
            Error::Make(error) => error.hint(),
            Error::Kconfig(error) => error.hint(),
            Error::Goal(error) => error.hint(),
            Error::OnlyMake => {
                Some("leave out `--probes`, if the tree may run its commands".to_owned())
            }
            Error::Invalid { .. } => {
                Some("name a `.config` as the kernel's make leaves it, or a defconfig".to_owned())
            }
        }
    }
}

/// What the Makefile asks the tools for and hands to the Kconfig files.
const ASKED_BY_MAKE: &[&str] = &["RUSTC_VERSION_TEXT", "PAHOLE_VERSION", "CLANG_FLAGS"];

/// Changes when the way of resolving does, so that old answers are not taken for new ones.
const CACHE_FORMAT: &str = "kernelkit-config 5";

/// The `.config` that answers a request.
#[derive(Debug)]
pub struct Resolved {
    /// The configuration.
    pub config: DotConfig,
    /// Who knows it, or knew it.
    pub resolver: Resolver,
    /// Whether it was kept from an earlier run, and the tree's Kconfig files were not read.
    pub kept: bool,
}

/// The `.config` that answers `request`, from the cache, the native engine or the kernel's
/// make.
pub fn resolve(
    request: &ConfigRequest,
    tree: &Tree,
    toolchain: &Toolchain,
    dirs: &Dirs,
    environment: &Environment,
    cores: usize,
    models: Option<&Models>,
) -> Result<Resolved, Error> {
    let start = read_start(request)?;
    let way = way(request, start.as_ref(), tree, toolchain)?;
    let resolver = match way {
        Some(_) => Resolver::Native,
        None => Resolver::Make,
    };
    let runs = matches!(environment.probing, Probing::Run);
    let cached = cached(request, start.as_ref(), tree, toolchain, environment);
    if runs
        && let Some(bytes) = fs::read_optional(&cached).ok().flatten()
        && let Some(text) = record::open_text(&bytes)
        && let Ok(text) = std::str::from_utf8(text)
        && let Ok(config) = DotConfig::parse(text)
    {
        return Ok(Resolved {
            config,
            resolver,
            kept: true,
        });
    }
    let text = match way {
        Some(way) => text(
            &way.walk(tree, toolchain, dirs, environment, models)?
                .resolve(),
        ),
        None if !runs => return Err(Error::OnlyMake),
        None => run(request, start.as_ref(), toolchain, dirs, environment, cores)?,
    };
    let config = DotConfig::parse(&text).map_err(|source| Error::Invalid {
        path: scratch(dirs).join(".config"),
        source,
    })?;
    if runs {
        fs::write_atomic(&cached, &record::seal_text(text.as_bytes()))?;
    }
    Ok(Resolved {
        config,
        resolver,
        kept: false,
    })
}

/// Forgets what is kept for `request`, and what probes once said: the kernel's own conf
/// came to another answer, and the next one shall not be the same again.
pub fn forget(
    request: &ConfigRequest,
    tree: &Tree,
    toolchain: &Toolchain,
    environment: &Environment,
) -> Result<(), Error> {
    let start = read_start(request)?;
    fs::remove_file(cached(
        request,
        start.as_ref(),
        tree,
        toolchain,
        environment,
    ))?;
    Ok(fs::remove_dir_all(probe_cache(environment))?)
}

fn cached(
    request: &ConfigRequest,
    start: Option<&(Utf8PathBuf, String)>,
    tree: &Tree,
    toolchain: &Toolchain,
    environment: &Environment,
) -> Utf8PathBuf {
    let key = key(request, start, tree, toolchain, environment);
    environment
        .cache_dir
        .join("config")
        .join(format!("{key}.config"))
}

fn probe_cache(environment: &Environment) -> Utf8PathBuf {
    environment.cache_dir.join("probes")
}

fn key(
    request: &ConfigRequest,
    start: Option<&(Utf8PathBuf, String)>,
    tree: &Tree,
    toolchain: &Toolchain,
    environment: &Environment,
) -> Sha256 {
    let method = match &request.method {
        Method::AllConfig { base } => format!("allconfig {}", base.make_goal()),
        Method::Goals { goals } => format!("goals {}", goals.join(" ")),
        Method::File { .. } => format!(
            "file {}",
            Sha256::of(start.map(|(_, text)| text.as_bytes()).unwrap_or_default())
        ),
    };
    let text = format!(
        "{CACHE_FORMAT}\ntree {}\ntools {}\nenvironment {:?}\nmethod {method}\n{}",
        tree.id,
        serde_json::to_string(toolchain).expect("a toolchain is plain data"),
        // Probes look for other tools than the toolchain's, such as rustc and bindgen.
        (&environment.path, &environment.home),
        request.merged.to_config_text()
    );
    Sha256::of(text.as_bytes())
}

/// Trees that were read a moment ago: of many kernels of one tree and toolchain, the first reads
/// the Kconfig files for all of them.
#[derive(Debug, Default)]
pub struct Models(Mutex<Vec<(Sha256, Arc<kconfig::Loaded>)>>);

/// So many are held, some 16 MiB each.
const HELD: usize = 8;

impl Models {
    /// Has every tree read again.
    pub(super) fn forget(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    fn get(
        &self,
        tree: &Tree,
        toolchain: &Toolchain,
        environment: &Environment,
        load: impl FnOnce() -> Result<kconfig::Loaded, kconfig::Error>,
    ) -> Result<Arc<kconfig::Loaded>, kconfig::Error> {
        let key = Sha256::of(
            format!(
                "{}\n{}\n{:?}\n{}",
                tree.dir,
                tree.id,
                environment.tool_variables(),
                serde_json::to_string(toolchain).expect("a toolchain is plain data"),
            )
            .as_bytes(),
        );
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, loaded)) = held.iter().find(|(other, _)| *other == key) {
            return Ok(Arc::clone(loaded));
        }
        let loaded = Arc::new(load()?);
        if held.len() == HELD {
            held.remove(0);
        }
        held.push((key, Arc::clone(&loaded)));
        Ok(loaded)
    }
}

/// A kernel's Kconfig files and what is asked of them: values can be looked at and explained.
#[derive(Debug)]
pub struct Native {
    /// The tree's Kconfig files, as the build reads them.
    pub loaded: Arc<kconfig::Loaded>,
    /// How [`Native::text`] becomes a configuration.
    pub mode: Mode,
    /// What messages call the text.
    pub name: String,
    /// The settings asked for; for make's goals, what all but the last step come to.
    pub text: String,
}

impl Native {
    /// What a later load needs to run none of the tree's commands: what they printed, and
    /// under `$NAME` what the Makefile asked the tools for.
    pub fn record(&self) -> kconfig::probe::Record {
        let mut record = self.loaded.record.clone();
        for name in ASKED_BY_MAKE {
            if let Some(text) = self.loaded.variables.get(*name) {
                record.insert(format!("${name}").into_bytes(), text.clone().into_bytes());
            }
        }
        record
    }

    /// Every symbol's value.
    pub fn resolve(&self) -> Resolution<'_> {
        let question = (self.mode, self.name.as_str(), self.text.as_str());
        ask(&self.loaded, question)
    }
}

/// Reads the tree's Kconfig files for `request`; `None` for goals that only make knows, and
/// for a tree that has no `conf`.
pub fn native(
    request: &ConfigRequest,
    tree: &Tree,
    toolchain: &Toolchain,
    dirs: &Dirs,
    environment: &Environment,
) -> Result<Option<Native>, Error> {
    let start = read_start(request)?;
    let Some(way) = way(request, start.as_ref(), tree, toolchain)? else {
        return Ok(None);
    };
    way.walk(tree, toolchain, dirs, environment, None).map(Some)
}

/// How a request is resolved natively.
enum Way {
    /// In one step.
    Ask {
        mode: Mode,
        name: String,
        text: String,
    },
    /// Make's goals, then settings on top.
    Goals {
        name: String,
        steps: Vec<Step>,
        settings: Merged,
    },
}

/// The way `request` is resolved natively; `None` where make has to.
fn way(
    request: &ConfigRequest,
    start: Option<&(Utf8PathBuf, String)>,
    tree: &Tree,
    toolchain: &Toolchain,
) -> Result<Option<Way>, Error> {
    if let Method::Goals { goals } = &request.method {
        goals.iter().try_for_each(|goal| goal::check(goal))?;
    }
    if !tree.dir.join("scripts/kconfig/symbol.c").is_file() {
        return Ok(None);
    }
    Ok(match (&request.method, start) {
        (Method::AllConfig { base }, _) => Some(Way::Ask {
            mode: match base {
                Base::AllNoConfig => Mode::Allnoconfig,
                Base::AllDefConfig => Mode::Alldefconfig,
            },
            name: "request.config".to_owned(),
            text: request.merged.to_config_text(),
        }),
        (Method::File { .. }, Some((path, text))) => Some(Way::Ask {
            mode: Mode::Olddefconfig,
            name: path.to_string(),
            text: request::overlay(text, &request.merged),
        }),
        (Method::File { .. }, None) => None,
        (Method::Goals { goals }, _) => {
            read_steps(goals, &tree.dir, toolchain)?.map(|steps| Way::Goals {
                name: format!("make {}", goals.join(" ")),
                steps,
                settings: request.merged.clone(),
            })
        }
    })
}

/// What the tree's Makefiles say that `goals` do.
fn read_steps(
    goals: &[String],
    tree: &Utf8Path,
    toolchain: &Toolchain,
) -> Result<Option<Vec<Step>>, Error> {
    let row = toolchain.arch.row();
    let read = |path: &str| -> Result<String, fs::Error> {
        let bytes = fs::read_optional(tree.join(path))?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let own_configs = format!("arch/{}/configs", row.srcarch);
    let mut configs = Vec::new();
    for directory in [own_configs.as_str(), "kernel/configs"] {
        // A directory that is not there has no files.
        let entries = tree.join(directory).read_dir_utf8().into_iter().flatten();
        configs.extend(entries.flatten().map(|entry| entry.file_name().to_owned()));
    }
    let machine = toolchain::host_arch().map_or("", |host| host.row().machine);
    Ok(goal::steps(
        goals,
        &goal::Tree {
            arch: row.kernel_arch,
            source_arch: row.srcarch,
            machine,
            arch_makefile: &read(&format!("arch/{}/Makefile", row.srcarch))?,
            kconfig_makefile: &read("scripts/kconfig/Makefile")?,
            is_file: &|path| tree.join(path).is_file(),
            configs: &configs,
        },
    )?)
}

impl Way {
    /// Reads the tree and takes all steps but the last.
    fn walk(
        self,
        tree: &Tree,
        toolchain: &Toolchain,
        dirs: &Dirs,
        environment: &Environment,
        models: Option<&Models>,
    ) -> Result<Native, Error> {
        let directory = scratch(dirs);
        fs::create_dir_all(&directory)?;
        super::run::mark(dirs)?;
        let mut make_variables: BTreeMap<_, _> = toolchain.make_variables().into_iter().collect();
        let cache = probe_cache(environment);
        let probes = environment.probing.probes(&cache);
        if !matches!(environment.probing, Probing::Run) {
            // The compiler is the machine's own, and was asked before.
            let text = toolchain.cc_version_text.replace('#', "");
            make_variables.insert("CC_VERSION_TEXT".to_owned(), text);
        }
        if let Probing::Recorded(record) = &environment.probing {
            for name in ASKED_BY_MAKE {
                if let Some(text) = record.get(format!("${name}").as_bytes()) {
                    let text = String::from_utf8_lossy(text).into_owned();
                    make_variables.insert((*name).to_owned(), text);
                }
            }
        }
        let load = || {
            kconfig::load_tree(
                &kconfig::Tree {
                    source: &tree.dir,
                    directory: &directory,
                    arch: toolchain.arch.row().kernel_arch,
                    make_variables: &make_variables,
                    environment: &environment.tool_variables(),
                },
                &probes,
            )
        };
        let loaded = match models {
            Some(models) => models.get(tree, toolchain, environment, load)?,
            None => Arc::new(load()?),
        };
        let (mode, name, text) = match self {
            Way::Ask { mode, name, text } => (mode, name, text),
            Way::Goals {
                name,
                steps,
                settings,
            } => {
                let (mode, text) = take(&steps, &name, &loaded, &tree.dir)?;
                match settings.requests().is_empty() {
                    true => (mode, name, text),
                    false => {
                        let base = self::text(&ask(&loaded, (mode, &name, &text)));
                        let text = request::overlay(&base, &settings);
                        (Mode::Olddefconfig, name, text)
                    }
                }
            }
        };
        Ok(Native {
            loaded,
            mode,
            name,
            text,
        })
    }
}

/// Takes the steps but the last, and gives what that is asked.
fn take(
    steps: &[Step],
    name: &str,
    loaded: &kconfig::Loaded,
    tree: &Utf8Path,
) -> Result<(Mode, String), Error> {
    let read = |file: &Utf8Path| fs::input_text(tree.join(file));
    let script = fs::read_optional(tree.join("scripts/kconfig/merge_config.sh"))?;
    let rules = match script {
        Some(script) if script.windows(4).any(|word| word == b"AWK=") => MergeRules::Settings,
        _ => MergeRules::Words,
    };
    // What the step before is asked, and what a merge made of its answer.
    let mut question: Option<(Mode, String)> = None;
    let mut merged: Option<String> = None;
    for step in steps {
        let mut before = || match (merged.take(), &question) {
            (Some(merged), _) => merged,
            (None, Some((mode, asked))) => text(&ask(loaded, (*mode, name, asked))),
            (None, None) => String::new(),
        };
        match step {
            Step::Defconfig { file } => question = Some((Mode::Defconfig, read(file)?)),
            Step::Fill { mode, allconfig } => {
                let text = allconfig.as_deref().map(read).transpose()?;
                question = Some((*mode, text.unwrap_or_default()));
            }
            Step::Update { mode } => question = Some((*mode, before())),
            Step::Merge { base, fragments } => {
                let base = match base {
                    Some(base) => read(base)?,
                    None => before(),
                };
                let texts = fragments
                    .iter()
                    .map(|fragment| read(fragment))
                    .collect::<Result<Vec<_>, _>>()?;
                let inputs: Vec<_> = fragments
                    .iter()
                    .zip(&texts)
                    .map(|(fragment, text)| Input {
                        name: fragment.as_str(),
                        text: text.as_bytes(),
                    })
                    .collect();
                let options = MergeOptions::default();
                let result = merge_config(base.as_bytes(), &inputs, "CONFIG_", rules, options);
                merged = Some(String::from_utf8_lossy(&result.text).into_owned());
            }
        }
    }
    Ok(question.expect("a goal ends with a call of conf"))
}

/// Every symbol's value. No text is no file: `KCONFIG_ALLCONFIG` is not set.
fn ask<'l>(loaded: &'l kconfig::Loaded, (mode, name, text): (Mode, &str, &str)) -> Resolution<'l> {
    let input = Input {
        name,
        text: text.as_bytes(),
    };
    loaded.kconfig.resolve(&Request {
        mode,
        inputs: match text {
            "" => &[],
            _ => std::slice::from_ref(&input),
        },
        warn_unknown: false,
    })
}

/// As `.config`.
fn text(resolution: &Resolution<'_>) -> String {
    String::from_utf8_lossy(&resolution.dot_config()).into_owned()
}

/// The file that a request starts from, with its text.
fn read_start(request: &ConfigRequest) -> Result<Option<(Utf8PathBuf, String)>, Error> {
    Ok(match &request.method {
        Method::File { path } => Some((path.clone(), fs::input_text(path)?)),
        _ => None,
    })
}

fn scratch(dirs: &Dirs) -> Utf8PathBuf {
    dirs.state.join("configure")
}

/// Has the kernel's own make answer.
fn run(
    request: &ConfigRequest,
    start: Option<&(Utf8PathBuf, String)>,
    toolchain: &Toolchain,
    dirs: &Dirs,
    environment: &Environment,
    cores: usize,
) -> Result<String, Error> {
    let scratch = scratch(dirs);
    // A directory of its own: up to 6.11, `make X.config` knows no other name than `.config`.
    let build = scratch.join("build");
    let _lock = lock::acquire(&scratch.join("lock"), "cargo kernel plan", &mut |_| {})?;
    fs::create_dir_all(&build)?;
    super::run::mark(dirs)?;
    let dot_config = build.join(".config");
    let kbuild = Kbuild {
        source: dirs.source.clone(),
        build,
        variables: crate::plan::toolchain_variables(toolchain, false),
        environment: environment.tool_variables(),
        jobs: cores,
    };
    let make = |goals: &[&str], allconfig: Option<&Utf8Path>| {
        exec::capture(&kbuild.config_call(allconfig, goals))
            .map(drop)
            .map_err(Error::Make)
    };
    let olddefconfig_over = |base: &str| {
        fs::write_atomic(
            &dot_config,
            request::overlay(base, &request.merged).as_bytes(),
        )?;
        make(&["olddefconfig"], None)
    };
    fs::remove_file(&dot_config)?;
    match (&request.method, start) {
        (Method::AllConfig { base }, _) => {
            let allconfig = scratch.join("request.config");
            fs::write_atomic(&allconfig, request.merged.to_config_text().as_bytes())?;
            make(&[base.make_goal()], Some(&allconfig))?;
        }
        (Method::Goals { goals }, _) => {
            let goals: Vec<_> = goals.iter().map(String::as_str).collect();
            make(&goals, None)?;
            if !request.merged.requests().is_empty() {
                olddefconfig_over(&fs::read_to_string(&dot_config)?)?;
            }
        }
        (Method::File { path }, start) => {
            let base = match start {
                Some((_, text)) => text.clone(),
                None => fs::input_text(path)?,
            };
            olddefconfig_over(&base)?;
        }
    }
    Ok(fs::read_to_string(&dot_config)?)
}

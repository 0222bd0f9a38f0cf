//! Resolves a configuration: natively where it can be, in milliseconds and without a build
//! directory; with the kernel's own make, in a directory beside the build, where the request
//! is for make's own goals. The build confirms either with the kernel's own `conf`.
//!
//! Results are kept in the cache: the same request of the same tree with the same tools has
//! the same answer, so a second `plan` starts no process.

use camino::{Utf8Path, Utf8PathBuf};

use super::environment::Environment;
use super::lock;
use super::{exec, fs, kconfig};
use crate::config::{self, DotConfig};
use crate::fragment::Base;
use crate::kconfig::{Input, Mode, Request, Resolution};
use crate::make::Kbuild;
use crate::manifest::Dirs;
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
            Error::Invalid { .. } => {
                Some("name a `.config` as the kernel's make leaves it, or a defconfig".to_owned())
            }
        }
    }
}

/// Changes when the way of resolving does, so that old answers are not taken for new ones.
const CACHE_FORMAT: &str = "kernelkit-config 2";

/// The `.config` that answers `request`, from the cache, the native engine or the kernel's make.
pub fn resolve(
    request: &ConfigRequest,
    tree: &Tree,
    toolchain: &Toolchain,
    dirs: &Dirs,
    environment: &Environment,
    cores: usize,
) -> Result<DotConfig, Error> {
    let start = read_start(request)?;
    let cached = environment.cache_dir.join("config").join(format!(
        "{}.config",
        key(request, start.as_ref(), tree, toolchain)
    ));
    if let Some(bytes) = fs::read_optional(&cached)?
        && let Ok(text) = String::from_utf8(bytes)
        && let Ok(config) = DotConfig::parse(&text)
    {
        return Ok(config);
    }
    let native = read_native(request, start.as_ref(), tree, toolchain, dirs, environment)?;
    let text = match native.and_then(|native| String::from_utf8(native.resolve().dot_config()).ok())
    {
        Some(text) => text,
        None => run(request, start.as_ref(), toolchain, dirs, environment, cores)?,
    };
    let config = DotConfig::parse(&text).map_err(|source| Error::Invalid {
        path: scratch(dirs).join(".config"),
        source,
    })?;
    fs::write_atomic(&cached, text.as_bytes())?;
    Ok(config)
}

fn key(
    request: &ConfigRequest,
    start: Option<&(Utf8PathBuf, String)>,
    tree: &Tree,
    toolchain: &Toolchain,
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
        "{CACHE_FORMAT}\ntree {}\ntools {}\nmethod {method}\n{}",
        tree.id,
        serde_json::to_string(toolchain).expect("a toolchain is plain data"),
        request.merged.to_config_text()
    );
    Sha256::of(text.as_bytes())
}

/// A kernel's Kconfig files and what is asked of them: values can be looked at and explained.
#[derive(Debug)]
pub struct Native {
    /// The tree's Kconfig files, as the build reads them.
    pub loaded: kconfig::Loaded,
    /// How [`Native::text`] becomes a configuration.
    pub mode: Mode,
    /// What messages call the text.
    pub name: String,
    /// The settings asked for.
    pub text: String,
}

impl Native {
    /// Every symbol's value.
    pub fn resolve(&self) -> Resolution<'_> {
        self.loaded.kconfig.resolve(&Request {
            mode: self.mode,
            inputs: &[Input {
                name: &self.name,
                text: self.text.as_bytes(),
            }],
            warn_unknown: false,
        })
    }
}

/// Reads the tree's Kconfig files for `request`; `None` for make's own goals, whose meaning
/// is in the tree's Makefiles, and for a tree that has no `conf`.
pub fn native(
    request: &ConfigRequest,
    tree: &Tree,
    toolchain: &Toolchain,
    dirs: &Dirs,
    environment: &Environment,
) -> Result<Option<Native>, Error> {
    read_native(
        request,
        read_start(request)?.as_ref(),
        tree,
        toolchain,
        dirs,
        environment,
    )
}

/// The file that a request starts from, with its text.
fn read_start(request: &ConfigRequest) -> Result<Option<(Utf8PathBuf, String)>, Error> {
    Ok(match &request.method {
        Method::File { path } => Some((path.clone(), fs::read_to_string(path)?)),
        _ => None,
    })
}

fn read_native(
    request: &ConfigRequest,
    start: Option<&(Utf8PathBuf, String)>,
    tree: &Tree,
    toolchain: &Toolchain,
    dirs: &Dirs,
    environment: &Environment,
) -> Result<Option<Native>, Error> {
    let (mode, name, text) = match (&request.method, start) {
        (Method::AllConfig { base }, _) => {
            let mode = match base {
                Base::AllNoConfig => Mode::Allnoconfig,
                Base::AllDefConfig => Mode::Alldefconfig,
            };
            (
                mode,
                "request.config".to_owned(),
                request.merged.to_config_text(),
            )
        }
        (Method::File { .. }, Some((path, text))) => (
            Mode::Olddefconfig,
            path.to_string(),
            request::overlay(text, &request.merged),
        ),
        _ => return Ok(None),
    };
    if !tree.dir.join("scripts/kconfig/symbol.c").is_file() {
        return Ok(None);
    }
    let directory = scratch(dirs);
    fs::create_dir_all(&directory)?;
    let loaded = kconfig::load_tree(
        &kconfig::Tree {
            source: &tree.dir,
            directory: &directory,
            arch: toolchain.arch.row().kernel_arch,
            make_variables: &toolchain.make_variables().into_iter().collect(),
            environment: &environment.tool_variables(),
        },
        &kconfig::Probes::Run(Some(&environment.cache_dir.join("probes"))),
    )?;
    Ok(Some(Native {
        loaded,
        mode,
        name,
        text,
    }))
}

fn scratch(dirs: &Dirs) -> Utf8PathBuf {
    dirs.state.join("configure")
}

fn run(
    request: &ConfigRequest,
    start: Option<&(Utf8PathBuf, String)>,
    toolchain: &Toolchain,
    dirs: &Dirs,
    environment: &Environment,
    cores: usize,
) -> Result<String, Error> {
    let scratch = scratch(dirs);
    // The build directory's conf is the one that is built anyway; while a build holds it, another is made.
    let build_is_free = lock::try_acquire(&dirs.state.join("lock"), "cargo kernel plan")?;
    let _lock = lock::acquire(&scratch.join("lock"), "cargo kernel plan", &mut |_| {})?;
    let build = if build_is_free.is_some() {
        dirs.build.clone()
    } else {
        scratch.join("build")
    };
    fs::create_dir_all(&build)?;
    let kbuild = Kbuild {
        source: dirs.source.clone(),
        build,
        variables: crate::plan::toolchain_variables(toolchain, false),
        environment: environment.tool_variables(),
        jobs: cores,
    };
    let dot_config = scratch.join(".config");
    let make = |goals: &[&str], allconfig: Option<&Utf8Path>| {
        exec::capture(&kbuild.config_call(&dot_config, allconfig, goals))
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
                None => fs::read_to_string(path)?,
            };
            olddefconfig_over(&base)?;
        }
    }
    Ok(fs::read_to_string(&dot_config)?)
}

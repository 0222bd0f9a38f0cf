//! A kernel's configuration with its Kconfig files: values can be looked up, explained,
//! compared and saved.
//!
//! ```no_run
//! use kernelkit::effect::build::Session;
//! use kernelkit::effect::environment::Environment;
//! use kernelkit::effect::{library, save, workspace};
//! use kernelkit::kconfig;
//! use kernelkit::spec::{Overrides, parse_source};
//!
//! let environment = Environment::read()?;
//! let spec = workspace::load(&environment, None, &Overrides::default())?;
//! let library = library::load(&[])?;
//! let session = Session::new(&environment, &spec, &library);
//! // A kernel of the workspace's Cargo.toml, as it is and on another tree.
//! let kernel = &spec.kernels[0];
//! let now = session.open(kernel, None, &mut |_| {})?;
//! let source = parse_source("../linux-next", &environment.current_dir)?;
//! let then = session.open(kernel, Some(source), &mut |_| {})?;
//! for change in kconfig::diff(&now.resolve(), &then.resolve()) {
//!     println!("{} {:?} {:?}", change.symbol, change.old_text(), change.new_text());
//! }
//! // The fewest settings over the kernel's base that give an edited file.
//! let base = session.open(&save::base_of(kernel), None, &mut |_| {})?;
//! for setting in save::settings(&base, b"CONFIG_NET=y\n")? {
//!     println!("{setting}");
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::sync::Arc;

use super::build::{Error, Notice, Session};
use super::configure::{self, Native};
use super::{fs, kconfig};
use crate::kconfig::{Input, Mode, Request, Resolution};
use crate::manifest::Dirs;
use crate::plan::Facts;
use crate::source::Source;
use crate::spec::KernelSpec;

/// A kernel's facts and its Kconfig files.
#[derive(Debug)]
pub struct Opened {
    /// What was gathered.
    pub facts: Facts,
    /// The Kconfig files, and what is asked of them.
    pub native: Native,
}

impl Opened {
    /// Every symbol's value.
    pub fn resolve(&self) -> Resolution<'_> {
        self.native.resolve()
    }

    /// The values that `make olddefconfig` gives a file on this tree; `name` is for messages.
    pub fn read(&self, name: &str, text: &[u8]) -> Resolution<'_> {
        self.native.loaded.kconfig.resolve(&Request {
            mode: Mode::Olddefconfig,
            inputs: &[Input { name, text }],
            warn_unknown: true,
        })
    }
}

impl Session<'_> {
    /// Gathers the facts about a kernel and reads its Kconfig files; with `source`, those of
    /// the same kernel from another source. That leaves no trace in the kernel's own build.
    pub fn open(
        &self,
        spec: &KernelSpec,
        source: Option<Source>,
        notify: &mut dyn FnMut(Notice<'_>),
    ) -> Result<Opened, Error> {
        let mut spec = spec.clone();
        let mut state = self.state(&spec);
        if let Some(source) = source {
            spec.source = spec.source.map(|_| source);
            state = state.join("other");
        }
        let facts = self.gather_in(&spec, &state, notify)?;
        let dirs = Dirs::new(&facts.tree.dir, &state);
        let native = configure::native(
            &facts.request,
            &facts.tree,
            &facts.toolchain,
            &dirs,
            &*self.tool_environment(&spec, &facts.compiler, notify)?,
        )?;
        let native = match native {
            Some(native) => native,
            // What the kernel's make has answered is a file like any other.
            None => Native {
                loaded: Arc::new(self.load(&facts, &dirs)?),
                mode: Mode::Olddefconfig,
                name: ".config".to_owned(),
                text: facts.config.text().to_owned(),
            },
        };
        Ok(Opened { facts, native })
    }

    fn load(&self, facts: &Facts, dirs: &Dirs) -> Result<kconfig::Loaded, Error> {
        let directory = dirs.state.join("configure");
        fs::create_dir_all(&directory)?;
        super::run::mark(dirs)?;
        let loaded = kconfig::load_tree(
            &kconfig::Tree {
                source: &facts.tree.dir,
                directory: &directory,
                arch: facts.toolchain.arch.row().kernel_arch,
                make_variables: &facts.toolchain.make_variables().into_iter().collect(),
                environment: &facts.environment,
            },
            &kconfig::Probes::Run(Some(&self.environment.cache_dir.join("probes"))),
        );
        Ok(loaded.map_err(configure::Error::from)?)
    }
}

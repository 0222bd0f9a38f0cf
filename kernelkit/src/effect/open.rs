//! A kernel's configuration with its Kconfig files: values can be looked up, explained,
//! compared and saved.

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
            self.environment,
        )?;
        let native = match native {
            Some(native) => native,
            // What the kernel's make has answered is a file like any other.
            None => Native {
                loaded: self.load(&facts, &dirs)?,
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

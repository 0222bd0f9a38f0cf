//! What one place says about kernels: a defaults table, a kernel's table, the command line.
//!
//! Layers lie over each other; the value of the uppermost that has one counts.

use camino::Utf8PathBuf;

use super::{
    BackendChoice, Compiler, ConfigBase, DirtyRelease, Jobs, KernelName, Mail, NamedCompiler,
    PatchSet, Timestamp, ToolchainName,
};
use crate::arch::Arch;
use crate::config::Symbol;
use crate::release::Template;
use crate::source::Source;
use crate::sourced::{Origin, Sourced};
use crate::version::VersionRange;

macro_rules! layer {
    ($($field:ident: $type:ty,)*) => {
        /// The settings of a kernel that one place makes.
        #[derive(Clone, Debug, Default)]
        pub(super) struct Layer {
            $(pub(super) $field: Option<Sourced<$type>>,)*
        }

        impl Layer {
            /// This layer, with what it leaves open taken from `below`.
            pub(super) fn over(self, below: &Layer) -> Layer {
                Layer { $($field: self.$field.or_else(|| below.$field.clone()),)* }
            }
        }
    };
}

layer! {
    source: Source,
    flavour: KernelName,
    patches: Vec<PatchSet>,
    series: String,
    patch_fuzz: u32,
    arch: Arch,
    base: ConfigBase,
    allnoconfig_base: bool,
    fragments: Vec<String>,
    debug: bool,
    label: String,
    release: Template,
    build: String,
    dist: String,
    trust: Vec<Utf8PathBuf>,
    edit: String,
    dirty_release: DirtyRelease,
    compiler: CompilerName,
    toolchain: ToolchainName,
    backend: BackendChoice,
    make_flags: Vec<String>,
    targets: Vec<String>,
    jobs: Jobs,
    ccache: bool,
    ccache_max_size: String,
    reproducible: bool,
    timestamp: Timestamp,
    compile_commands: bool,
    gdb_scripts: bool,
    rust_analyzer: bool,
    install: bool,
    modules_install: bool,
    source_symlink: bool,
    reuse: bool,
    borrow_objects: bool,
    publish: bool,
}

impl Layer {
    /// The command line over a kernel's table: its patches, fragments and make flags
    /// are added, everything else replaces. Of a make variable the added value stays.
    pub(super) fn adding_to(mut self, below: &Layer) -> Layer {
        prepend(&mut self.patches, &below.patches, |_, _| false);
        prepend(&mut self.fragments, &below.fragments, |below, own| {
            below == own
        });
        prepend(&mut self.make_flags, &below.make_flags, |below, own| {
            variable(below) == variable(own)
        });
        self.over(below)
    }
}

fn variable(make_flag: &str) -> &str {
    make_flag
        .split_once('=')
        .map_or(make_flag, |(name, _)| name)
}

fn prepend<T: Clone>(
    own: &mut Option<Sourced<Vec<T>>>,
    below: &Option<Sourced<Vec<T>>>,
    replaces: impl Fn(&T, &T) -> bool,
) {
    if let (Some(own), Some(below)) = (own, below) {
        let mut all = below.value.clone();
        all.retain(|item| !own.value.iter().any(|added| replaces(item, added)));
        all.append(&mut own.value);
        own.value = all;
    }
}

/// What a workspace says apart from its kernels.
#[derive(Clone, Debug, Default)]
pub(super) struct Common {
    pub(super) default_kernels: Vec<Sourced<KernelName>>,
    pub(super) fragment_dirs: Vec<Sourced<Utf8PathBuf>>,
    pub(super) mail: Mail,
    pub(super) compilers: Vec<Sourced<NamedCompiler>>,
    pub(super) rules: Vec<Sourced<RuleParts>>,
}

/// A compiler's name before it is known what is called so, with its own place: a setting's is
/// that of the key.
#[derive(Clone, Debug)]
pub(super) struct CompilerName {
    pub(super) name: String,
    pub(super) origin: Origin,
}

/// The parts of a table in `compilers`.
#[derive(Clone, Debug, Default)]
pub(super) struct CompilerParts {
    pub(super) family: Option<Compiler>,
    pub(super) prefix: Option<String>,
    pub(super) suffix: Option<String>,
    pub(super) path: Option<Utf8PathBuf>,
}

/// The parts of a table in `toolchains`.
#[derive(Clone, Debug, Default)]
pub(super) struct RuleParts {
    pub(super) when: Option<VersionRange>,
    pub(super) arches: Vec<Arch>,
    pub(super) config: Vec<Symbol>,
    pub(super) compiler: Option<CompilerName>,
}

/// The parts of a `source` table.
#[derive(Clone, Debug, Default)]
pub(super) struct SourceParts {
    pub(super) dir: Option<Sourced<String>>,
    pub(super) tarball: Option<Sourced<String>>,
    pub(super) sha256: Option<Sourced<String>>,
    pub(super) git: Option<Sourced<String>>,
    pub(super) reference: Option<Sourced<String>>,
    pub(super) debian: Option<Sourced<String>>,
    pub(super) version: Option<Sourced<String>>,
}

/// The parts of a table in `patches`.
#[derive(Clone, Debug, Default)]
pub(super) struct PatchParts {
    pub(super) path: Option<Sourced<String>>,
    pub(super) version: Option<Sourced<VersionRange>>,
    pub(super) arches: Vec<Arch>,
    pub(super) flavours: Vec<KernelName>,
    pub(super) debug: Option<Sourced<bool>>,
    pub(super) fuzz: Option<Sourced<u32>>,
}

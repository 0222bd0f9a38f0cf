//! What the command line says about kernels.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeArray, DeValue};

/// The command line's settings. They win over every table and apply to the kernels that
/// the command means; [`SETTINGS`](super::SETTINGS) has the flag of each.
///
/// The values are text as typed: they are read by the same rules as the values in
/// `Cargo.toml`, and errors name the flag. Relative paths are relative to the current
/// directory. `patches`, `fragments`, `make_flags` and `fragment_dirs` are added to what
/// the tables say; everything else replaces it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each field is documented by its row of SETTINGS"
)]
pub struct Overrides {
    /// The name of the kernel that is built where no table declares one; the preset's
    /// name, or `kernel`, where absent.
    pub name: Option<String>,
    pub source: Option<String>,
    pub patches: Vec<String>,
    pub series: Option<String>,
    pub arch: Option<String>,
    pub preset: Option<String>,
    pub make: Vec<String>,
    pub config: Option<String>,
    pub allnoconfig_base: Option<bool>,
    pub fragments: Vec<String>,
    pub fragment_dirs: Vec<String>,
    pub debug: Option<bool>,
    pub label: Option<String>,
    pub release: Option<String>,
    pub build: Option<String>,
    pub dist: Option<String>,
    pub compiler: Option<String>,
    pub toolchain: Option<String>,
    pub backend: Option<String>,
    pub make_flags: Vec<String>,
    pub targets: Vec<String>,
    pub jobs: Option<String>,
    pub ccache: Option<bool>,
    pub ccache_max_size: Option<String>,
    pub reproducible: Option<bool>,
    pub timestamp: Option<String>,
    pub compile_commands: Option<bool>,
    pub gdb_scripts: Option<bool>,
    pub rust_analyzer: Option<bool>,
    pub install: Option<bool>,
    pub modules_install: Option<bool>,
    pub source_symlink: Option<bool>,
    pub reuse: Option<bool>,
    pub borrow_objects: Option<bool>,
    pub publish: Option<bool>,
}

impl Overrides {
    /// Each setting's key and its value as a TOML value, for the readers that the
    /// tables go through.
    pub(super) fn values(&self) -> Vec<(&'static str, Spanned<DeValue<'_>>)> {
        let text = |value: &Option<String>| value.clone().map(string);
        let list = |items: &[String]| {
            let mut array = DeArray::new();
            items
                .iter()
                .for_each(|item| array.push(string(item.clone())));
            (!items.is_empty()).then(|| Spanned::new(0..0, DeValue::Array(array)))
        };
        let switch = |value: Option<bool>| value.map(|on| Spanned::new(0..0, DeValue::Boolean(on)));
        [
            ("source", text(&self.source)),
            ("patches", list(&self.patches)),
            ("series", text(&self.series)),
            ("arch", text(&self.arch)),
            ("preset", text(&self.preset)),
            ("make", list(&self.make)),
            ("config", text(&self.config)),
            ("allnoconfig-base", switch(self.allnoconfig_base)),
            ("fragments", list(&self.fragments)),
            ("fragment-dirs", list(&self.fragment_dirs)),
            ("debug", switch(self.debug)),
            ("label", text(&self.label)),
            ("release", text(&self.release)),
            ("build", text(&self.build)),
            ("dist", text(&self.dist)),
            ("compiler", text(&self.compiler)),
            ("toolchain", text(&self.toolchain)),
            ("backend", text(&self.backend)),
            ("make-flags", list(&self.make_flags)),
            ("targets", list(&self.targets)),
            ("jobs", text(&self.jobs)),
            ("ccache", switch(self.ccache)),
            ("ccache-max-size", text(&self.ccache_max_size)),
            ("reproducible", switch(self.reproducible)),
            ("timestamp", text(&self.timestamp)),
            ("compile-commands", switch(self.compile_commands)),
            ("gdb-scripts", switch(self.gdb_scripts)),
            ("rust-analyzer", switch(self.rust_analyzer)),
            ("install", switch(self.install)),
            ("modules-install", switch(self.modules_install)),
            ("source-symlink", switch(self.source_symlink)),
            ("reuse", switch(self.reuse)),
            ("borrow-objects", switch(self.borrow_objects)),
            ("publish", switch(self.publish)),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect()
    }
}

fn string(text: String) -> Spanned<DeValue<'static>> {
    Spanned::new(0..0, DeValue::String(Cow::Owned(text)))
}

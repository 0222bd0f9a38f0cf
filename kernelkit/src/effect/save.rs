//! Keeps a configuration as a file that gives it again: a defconfig, or a fragment for the
//! kernel it belongs to. Either is tried out before anything is written.

use camino::{Utf8Path, Utf8PathBuf};

use super::build::Session;
use super::open::Opened;
use super::{configure, fs};
use crate::config::{self, DotConfig, Symbol, Value};
use crate::fragment::{self, FragmentName, Library};
use crate::kconfig::{Input, Mode, Request, Resolution, Setting, Unreachable};
use crate::manifest::Dirs;
use crate::merge;
use crate::plan::Facts;
use crate::request::{self, ConfigRequest};
use crate::spec::{ConfigBase, KernelSpec};

/// Why a configuration cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file.
    #[error(transparent)]
    Fs(#[from] fs::Error),
    /// The fragments.
    #[error(transparent)]
    Fragment(#[from] fragment::Error),
    /// The configuration with the fragment.
    #[error(transparent)]
    Configure(#[from] configure::Error),
    /// No fragment gives it.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// The file is there already.
    #[error("{path} exists already")]
    Exists {
        /// The file.
        path: Utf8PathBuf,
    },
    /// A fragment of that name would not win over the kernel's others.
    #[error("as fragment `{name}` the settings would not all hold: {}", symbols.join(", "))]
    Overruled {
        /// The fragment.
        name: FragmentName,
        /// The symbols that would have another value, without prefix.
        symbols: Vec<String>,
    },
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Fs(error) => error.hint(),
            Error::Fragment(error) => error.hint(),
            Error::Configure(error) => error.hint(),
            Error::Unreachable(_) => {
                Some("keep the whole configuration instead: `cargo kernel config save --defconfig`".to_owned())
            }
            Error::Exists { .. } => {
                Some("name another file with `-o`, or replace this one with `--force`".to_owned())
            }
            Error::Overruled { .. } => Some(
                "later fragments win, and `m` does not win over `y`: name a file in `builtin/` of a fragment directory with `-o`"
                    .to_owned(),
            ),
        }
    }
}

/// A minimal defconfig: what `make savedefconfig` writes for the configuration. Also whether
/// `make defconfig` turns it into the same configuration again, which the kernel's own
/// tool does not promise.
pub fn defconfig(opened: &Opened, wanted: &Resolution<'_>) -> (Vec<u8>, bool) {
    let config = wanted.dot_config();
    // The kernel's tool knows the file, not how it came about.
    let defconfig = opened.read(".config", &config).savedefconfig();
    let again = opened.native.loaded.kconfig.resolve(&Request {
        mode: Mode::Defconfig,
        inputs: &[Input {
            name: "defconfig",
            text: &defconfig,
        }],
        warn_unknown: false,
    });
    let same = again.dot_config() == config;
    (defconfig, same)
}

/// The fewest settings that turn the configuration of `base` into `wanted`, a whole `.config`.
pub fn settings(base: &Opened, wanted: &[u8]) -> Result<Vec<Setting>, Unreachable> {
    let native = &base.native;
    let wanted = &base.read(".config", wanted);
    native.loaded.kconfig.fragment(
        &Request {
            mode: native.mode,
            inputs: &[Input {
                name: &native.name,
                text: native.text.as_bytes(),
            }],
            warn_unknown: false,
        },
        wanted,
    )
}

/// The kernel with nothing but the base its configuration starts from.
pub fn base_of(spec: &KernelSpec) -> KernelSpec {
    let mut base = spec.clone();
    base.fragments.value.clear();
    base.debug.value = false;
    base
}

/// What a fragment over [`base_of`] a kernel stands on, in words.
pub fn describe_base(base: &ConfigBase) -> String {
    match base {
        ConfigBase::Fragments { allnoconfig: true } => "allnoconfig".to_owned(),
        ConfigBase::Fragments { allnoconfig: false } => "alldefconfig".to_owned(),
        base => request::describe(base),
    }
}

/// The text of a fragment file.
pub fn to_text(summary: &str, settings: &[Setting]) -> String {
    let lines: String = settings
        .iter()
        .map(|setting| format!("{setting}\n"))
        .collect();
    format!("# summary: {summary}\n\n{lines}")
}

/// A fragment that was tried out and is not written yet.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Where it belongs.
    pub path: Utf8PathBuf,
    /// Its name for `Cargo.toml`; nothing where the file lies in no fragment directory.
    pub name: Option<FragmentName>,
    /// The whole file.
    pub text: String,
    /// Whether the file is there already and is added to.
    pub is_update: bool,
    /// Whether the kernel has it among its fragments.
    pub is_selected: bool,
    /// Whether the directory is among the fragment directories.
    pub is_known: bool,
}

impl Draft {
    /// Writes the file.
    pub fn write(&self) -> Result<(), fs::Error> {
        fs::write_durable(&self.path, self.text.as_bytes())
    }
}

/// Where a fragment goes.
#[derive(Clone, Debug)]
pub enum Target {
    /// To the kernel's own fragment, `local/<kernel>` in the last of the user's fragment
    /// directories, which is added to if it is there; where others would win over that, to
    /// `builtin/<kernel>`.
    Own,
    /// To a file.
    File {
        /// The file.
        path: Utf8PathBuf,
        /// Whether it may be there already.
        replace: bool,
    },
}

/// Finds the place where `settings` turn the configuration of `spec` into `wanted`, a whole
/// `.config`, and makes sure that they do. Requests of other fragments that thereby fall away
/// are taken back, so that the kernel still builds.
pub fn draft(
    session: &Session<'_>,
    spec: &KernelSpec,
    facts: &Facts,
    settings: &[Setting],
    wanted: &str,
    target: &Target,
) -> Result<Draft, Error> {
    let (directory, paths, replaces) = match target {
        Target::Own => {
            let directory = fragment_directory(session);
            let mut paths: Vec<_> = ["local", "builtin"]
                .iter()
                .map(|layer| directory.join(layer).join(format!("{}.config", spec.name)))
                .collect();
            // The one that is in use is the one to add to.
            paths.sort_by_key(|path| !is_selected(spec, name_in(&directory, path).as_ref()));
            (Some(directory), paths, false)
        }
        Target::File { path, replace } => {
            if !replace && path.exists() {
                return Err(Error::Exists { path: path.clone() });
            }
            let around = session.spec.fragment_dirs.iter().rev();
            let directory = around
                .map(|directory| &directory.value)
                .find(|directory| path.starts_with(directory));
            (directory.cloned(), vec![path.clone()], *replace)
        }
    };
    let mut refused = None;
    for path in paths {
        let name = directory
            .as_ref()
            .and_then(|directory| name_in(directory, &path));
        let present = match replaces {
            true => None,
            false => fs::optional_input(&path)?,
        };
        let is_update = present.is_some();
        let present = present.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let Some(name) = name else {
            return Ok(Draft {
                text: to_text(&summary(spec), settings),
                path,
                name,
                is_update,
                is_selected: false,
                is_known: false,
            });
        };
        let mut trial = Trial {
            session,
            spec,
            facts,
            name,
            path,
            settings: settings.to_vec(),
            present,
        };
        match trial.run(wanted)? {
            Ok(text) => {
                let known = session.spec.fragment_dirs.iter();
                return Ok(Draft {
                    is_selected: is_selected(spec, Some(&trial.name)),
                    is_known: known
                        .into_iter()
                        .any(|known| Some(&known.value) == directory.as_ref()),
                    path: trial.path,
                    name: Some(trial.name),
                    text,
                    is_update,
                });
            }
            Err(symbols) => {
                refused.get_or_insert(Error::Overruled {
                    name: trial.name,
                    symbols,
                });
            }
        }
    }
    Err(refused.expect("there is at least one path, and each is returned or refused"))
}

/// Under which of the names `local/<kernel>` and `builtin/<kernel>` a fragment of `settings`
/// turns the configuration of `spec` into `wanted`, and the settings with those that take
/// fallen requests of other fragments back; nothing where neither does.
pub fn placed(
    session: &Session<'_>,
    spec: &KernelSpec,
    facts: &Facts,
    settings: &[Setting],
    wanted: &str,
) -> Result<Option<(FragmentName, Vec<Setting>)>, Error> {
    for layer in ["local", "builtin"] {
        let Ok(name) = format!("{layer}/{}", spec.name).parse() else {
            continue;
        };
        let mut trial = Trial {
            session,
            spec,
            facts,
            name,
            path: Utf8PathBuf::new(),
            settings: settings.to_vec(),
            present: None,
        };
        if trial.run(wanted)?.is_ok() {
            return Ok(Some((trial.name, trial.settings)));
        }
    }
    Ok(None)
}

/// The directory for fragments that `cargo kernel` writes.
fn fragment_directory(session: &Session<'_>) -> Utf8PathBuf {
    let last = session.spec.fragment_dirs.last();
    last.map_or_else(
        || session.spec.root.join("fragments"),
        |directory| directory.value.clone(),
    )
}

fn name_in(directory: &Utf8Path, path: &Utf8Path) -> Option<FragmentName> {
    path.strip_prefix(directory).ok()?.as_str().parse().ok()
}

fn is_selected(spec: &KernelSpec, name: Option<&FragmentName>) -> bool {
    let names = spec.fragments.value.iter();
    let mut names = names.filter_map(|name| name.parse::<FragmentName>().ok());
    name.is_some_and(|wanted| names.any(|name| name == *wanted))
}

fn summary(spec: &KernelSpec) -> String {
    format!("settings of {} alone", spec.name)
}

/// A fragment in the place it would have.
struct Trial<'a> {
    session: &'a Session<'a>,
    spec: &'a KernelSpec,
    facts: &'a Facts,
    name: FragmentName,
    path: Utf8PathBuf,
    settings: Vec<Setting>,
    present: Option<String>,
}

impl Trial<'_> {
    /// The file's text, or the symbols that would have another value than wanted.
    fn run(&mut self, wanted: &str) -> Result<Result<String, Vec<String>>, Error> {
        // Taking back one request may show another.
        for _ in 0..4 {
            let text = self.text();
            let (request, config) = self.resolve(&text)?;
            if config.text() != wanted {
                return Ok(Err(differences(&config, wanted)));
            }
            let unmet = merge::verify(&request.merged, &config);
            let before = merge::verify(&self.facts.request.merged, &self.facts.config);
            let fallen: Vec<Setting> = unmet
                .iter()
                .filter(|unmet| !unmet.optional)
                .filter(|unmet| before.iter().all(|before| before.symbol != unmet.symbol))
                .map(|unmet| Setting {
                    symbol: unmet.symbol.to_string(),
                    value: unmet.got.as_ref().unwrap_or(&Value::No).to_string(),
                })
                .filter(|setting| !self.settings.contains(setting))
                .collect();
            if fallen.is_empty() {
                return Ok(Ok(text));
            }
            self.settings.extend(fallen);
        }
        Ok(Ok(self.text()))
    }

    fn text(&self) -> String {
        match &self.present {
            None => to_text(&summary(self.spec), &self.settings),
            Some(present) => update(present, &self.settings),
        }
    }

    /// The kernel's configuration with the fragment.
    fn resolve(&self, text: &str) -> Result<(ConfigRequest, DotConfig), Error> {
        let mut library: Library = self.session.library.clone();
        let file = (self.name.clone(), self.path.clone(), text.to_owned());
        library.add_directory(Utf8PathBuf::new(), [file]);
        let mut spec = self.spec.clone();
        if !is_selected(&spec, Some(&self.name)) {
            spec.fragments.value.push(self.name.to_string());
        }
        let facts = self.facts;
        let request = request::request(&spec, &library, &facts.tree)?;
        let dirs = Dirs::new(&facts.tree.dir, &self.session.state(&spec));
        let configure::Resolved { config, .. } = configure::resolve(
            &request,
            &facts.tree,
            &facts.toolchain,
            &dirs,
            self.session.environment,
            facts.cores,
            None,
        )?;
        Ok((request, config))
    }
}

/// A fragment's text with settings replaced where they stand, and the others appended.
fn update(present: &str, settings: &[Setting]) -> String {
    let mut missing: Vec<&Setting> = settings.iter().collect();
    let mut text = String::with_capacity(present.len());
    for line in present.lines() {
        let symbol = match config::parse_line(line) {
            Some(Ok((symbol, _))) => Some(symbol),
            _ => None,
        };
        let same = |setting: &&Setting| {
            let own: Option<Symbol> = setting.symbol.parse().ok();
            own.is_some() && own == symbol
        };
        match missing.iter().position(same) {
            Some(index) => text.push_str(&missing.remove(index).to_string()),
            None => text.push_str(line),
        }
        text.push('\n');
    }
    for setting in missing {
        text.push_str(&format!("{setting}\n"));
    }
    text
}

/// The symbols whose values differ, without prefix.
fn differences(config: &DotConfig, wanted: &str) -> Vec<String> {
    let Ok(wanted) = DotConfig::parse(wanted) else {
        return Vec::new();
    };
    let changes = crate::kconfig::diff_texts(&wanted, config);
    changes.into_iter().map(|change| change.symbol).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_replaced_where_they_stand_or_appended() {
        let setting = |symbol: &str, value: &str| Setting {
            symbol: symbol.to_owned(),
            value: value.to_owned(),
        };
        let settings = [setting("CONFIG_B", "n"), setting("CONFIG_C", "7")];
        assert_eq!(
            update("# mine\nCONFIG_A=y\nCONFIG_B=y\n# end", &settings),
            "# mine\nCONFIG_A=y\n# CONFIG_B is not set\n# end\nCONFIG_C=7\n"
        );
        assert_eq!(update("", &settings[..1]), "# CONFIG_B is not set\n");
    }
}

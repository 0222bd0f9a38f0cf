//! What `scripts/kconfig/conf` does, with its options and environment variables.
//!
//! Nothing is printed: a [`Console`] gets what comes before a question, and the outcome carries
//! the rest of both streams and the exit status.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};

use super::super::fs::{self, Context as _};
use super::probe::{NotRecorded, Prober, Record, RecordError, Runner};
use super::{TreeReader, detect_dialect, image};
use crate::kconfig::{
    Answer, CircleLink, Dialect, Error as KconfigError, Extent, Input, Interview, Kconfig, Mode,
    ProbabilityError, ProbeResult, Reader as _, Request, Resolution, Severity, Tristate, Unmet,
    parse_seed,
};

/// What `conf` is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Goal {
    /// `--oldaskconfig`: everything is asked.
    Oldaskconfig,
    /// `--oldconfig`: what is not set yet is asked.
    Oldconfig,
    /// `--syncconfig`: the same, and `auto.conf` and its kin are brought up to date.
    Syncconfig,
    /// `--olddefconfig`.
    Olddefconfig,
    /// `--defconfig=FILE`.
    Defconfig(Utf8PathBuf),
    /// `--savedefconfig=FILE`.
    Savedefconfig(Utf8PathBuf),
    /// `--listnewconfig`.
    Listnewconfig,
    /// `--helpnewconfig`.
    Helpnewconfig,
    /// `--alldefconfig`.
    Alldefconfig,
    /// `--allnoconfig`.
    Allnoconfig,
    /// `--allyesconfig`.
    Allyesconfig,
    /// `--allmodconfig`.
    Allmodconfig,
    /// `--randconfig`.
    Randconfig,
    /// `--yes2modconfig`.
    Yes2modconfig,
    /// `--mod2yesconfig`.
    Mod2yesconfig,
    /// `--mod2noconfig`.
    Mod2noconfig,
}

/// Where the output of `$(shell …)` comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probes {
    /// The commands run.
    Run,
    /// From a [`Record`]'s file; nothing runs.
    Recorded(Utf8PathBuf),
}

/// A call of `conf`.
#[derive(Clone, Debug)]
pub struct Options {
    /// What for.
    pub goal: Goal,
    /// Only warnings and errors are shown.
    pub silent: bool,
    /// The first Kconfig file.
    pub root: String,
    /// Where probes' outputs come from.
    pub probes: Probes,
    /// A file that gets the outputs of all probes.
    pub record: Option<Utf8PathBuf>,
    /// Where outputs of probes are kept from call to call.
    pub cache: Option<Utf8PathBuf>,
    /// Rules to follow where the tree does not say.
    pub dialect: Option<Dialect>,
    /// Directory it runs in.
    pub directory: Utf8PathBuf,
    /// The environment.
    pub variables: BTreeMap<String, String>,
    /// Some number that changes between calls, the seed of a randconfig without one.
    pub now: u64,
}

/// Who sees questions, and answers them.
pub trait Console {
    /// Shows what was printed since the last call: a question comes last.
    fn show(&mut self, stdout: &[u8], stderr: &[u8]);
    /// The next line, with its newline if it has one; nothing where the input ends.
    fn read_line(&mut self) -> Vec<u8>;
    /// Whether what is typed can be seen already.
    fn echoes(&self) -> bool;
}

/// What `conf` would have printed after its last question, and its exit status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// 0 or 1.
    pub status: u8,
}

/// Why nothing was computed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// A record of probes is malformed.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::File(error) => error.hint(),
            Error::Record(_) => Some("make it anew with `--record-probes`".to_owned()),
        }
    }
}

/// Runs it.
pub fn run(options: &Options, console: &mut dyn Console) -> Result<Outcome, Error> {
    let mut outcome = Outcome::default();
    let variable = |name: &str| options.variables.get(name).map(String::as_str);
    let set = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
    let source_tree = variable("srctree").map(|tree| options.directory.join(tree));
    let dialect = match options.dialect {
        Some(dialect) => dialect,
        None => detect_dialect(
            source_tree.as_deref().unwrap_or(&options.directory),
            Dialect::V7,
        )?,
    };
    let seed = variable("KCONFIG_SEED").and_then(parse_seed);
    let seed = seed.unwrap_or(options.now as u32);
    if options.goal == Goal::Randconfig {
        let message = format!("KCONFIG_SEED=0x{seed:X}\n");
        outcome.stdout.extend_from_slice(message.as_bytes());
    }
    let reader = TreeReader::new(options.directory.clone());
    let recorded = match &options.probes {
        Probes::Run => None,
        Probes::Recorded(path) => {
            let path = options.directory.join(path);
            Some(Record::parse(path.as_str(), &fs::read(&path)?)?)
        }
    };
    let runner = Runner {
        directory: options.directory.clone(),
        variables: options.variables.clone(),
    };
    let load = |probe: &mut dyn FnMut(&[u8]) -> ProbeResult| {
        Kconfig::load(&reader, &options.root, probe, &options.variables, dialect)
    };
    let (loaded, record) = match recorded {
        Some(recorded) => {
            let loaded = load(&mut |command| {
                let output = recorded.get(command).ok_or(NotRecorded)?;
                Ok(output.to_vec())
            });
            (loaded, recorded)
        }
        None => {
            let mut prober = Prober::new(runner, options.cache.as_deref());
            let question = image::Question {
                directory: &options.directory,
                root: &options.root,
                variables: &options.variables,
                dialect,
            };
            let loaded = image::load(&question, &mut prober, options.cache.as_deref());
            outcome.stderr.append(&mut prober.stderr);
            (loaded, prober.record)
        }
    };
    if let Some(path) = &options.record {
        fs::write_atomic(options.directory.join(path), &record.to_text())?;
    }
    let kconfig = match loaded {
        Ok(kconfig) => kconfig,
        Err(error) => {
            report(&error, dialect, &mut outcome);
            outcome.status = 1;
            return Ok(outcome);
        }
    };
    show(kconfig.diagnostics(), &mut outcome);
    let session = Session {
        options,
        reader: &reader,
        source_tree: variable("srctree"),
        kconfig: &kconfig,
        seed,
        config: options
            .directory
            .join(variable("KCONFIG_CONFIG").unwrap_or(".config")),
        config_name: variable("KCONFIG_CONFIG").unwrap_or(".config"),
        warn_unknown: set("KCONFIG_WARN_UNKNOWN_SYMBOLS"),
        werror: set("KCONFIG_WERROR"),
        overwrite: set("KCONFIG_OVERWRITECONFIG"),
    };
    session.run(console, &mut outcome)?;
    Ok(outcome)
}

fn show(diagnostics: &[crate::kconfig::Diagnostic], outcome: &mut Outcome) {
    for diagnostic in diagnostics {
        let stream = match diagnostic.severity {
            Severity::Info => &mut outcome.stdout,
            _ => &mut outcome.stderr,
        };
        stream.extend_from_slice(format!("{diagnostic}\n").as_bytes());
    }
}

/// A fatal error in the words of the kernel's reader.
fn report(error: &KconfigError, dialect: Dialect, outcome: &mut Outcome) {
    let text = match error {
        KconfigError::Invalid { diagnostics } => {
            show(diagnostics, outcome);
            return;
        }
        KconfigError::RecursiveInclusion { name, path } => {
            let mut text = format!(
                "Recursive inclusion detected.\nInclusion path:\n  current file : {name}\n"
            );
            for (file, line) in path {
                text.push_str(&format!("  included from: {file}:{line}\n"));
            }
            text
        }
        KconfigError::RepeatedInclusion {
            file,
            line,
            name,
            first_file,
            first_line,
        } => format!(
            "{file}:{line}: error: repeated inclusion of {name}\n\
             {first_file}:{first_line}: note: location of first inclusion of {name}\n"
        ),
        KconfigError::RecursiveDependency { circles } => {
            let mut text = String::new();
            for circle in circles {
                let place = |link: &CircleLink| match dialect.choice_is_symbol {
                    true => format!("{}:{}:", link.file, link.line),
                    false => String::new(),
                };
                text.push_str(&place(&circle[0]));
                text.push_str("error: recursive dependency detected!\n");
                for link in circle {
                    text.push_str(&format!("{}\t{}\n", place(link), link.text));
                }
                text.push_str(
                    "For a resolution refer to Documentation/kbuild/kconfig-language.rst\n\
                     subsection \"Kconfig recursive dependency limitations\"\n\n",
                );
            }
            text
        }
        error => {
            let mut text = format!("{error}\n");
            let mut source = std::error::Error::source(error);
            while let Some(cause) = source {
                text.push_str(&format!("  {cause}\n"));
                source = cause.source();
            }
            text
        }
    };
    outcome.stderr.extend_from_slice(text.as_bytes());
}

/// Warnings of selects against dependencies.
fn describe_unmet(unmet: &[Unmet]) -> Vec<u8> {
    let mut text = String::new();
    for unmet in unmet {
        text.push_str(&format!(
            "\nWARNING: unmet direct dependencies detected for {}\n  Depends on [{}]: {}\n",
            unmet.symbol, unmet.value, unmet.depends
        ));
        for strength in [Tristate::Y, Tristate::M] {
            let selectors: Vec<_> = unmet
                .selected_by
                .iter()
                .filter(|selector| selector.value == strength)
                .collect();
            if !selectors.is_empty() {
                text.push_str(&format!("  Selected by [{strength}]:\n"));
            }
            for selector in selectors {
                text.push_str(&format!("  - {} [={strength}]\n", selector.symbol));
            }
        }
    }
    text.into_bytes()
}

/// Asks to the end; nothing where a symbol is left without a value.
fn ask<'k>(
    mut interview: Interview<'k>,
    console: &mut dyn Console,
    outcome: &mut Outcome,
    mut told: Vec<Unmet>,
    warned: &mut bool,
) -> Option<Resolution<'k>> {
    let mut describe = |interview: &Interview<'_>, outcome: &mut Outcome| {
        let mut unmet = interview.unmet();
        unmet.retain(|unmet| !told.contains(unmet));
        *warned |= !unmet.is_empty();
        outcome.stderr.append(&mut describe_unmet(&unmet));
        told.append(&mut unmet);
    };
    describe(&interview, outcome);
    while interview.is_asking() {
        outcome.stdout.append(&mut interview.take_output());
        console.show(&outcome.stdout, &outcome.stderr);
        (outcome.stdout, outcome.stderr) = (Vec::new(), Vec::new());
        let line = console.read_line();
        let answered = match line.split_last() {
            None => interview.answer(Answer::End),
            Some((b'\n', text)) => interview.answer(Answer::Line(text)),
            Some(_) => interview.answer(Answer::Rest(&line)),
        };
        outcome.stdout.append(&mut interview.take_output());
        outcome.stderr.append(&mut interview.take_errors());
        if let Err(error) = answered {
            let text = format!("\nerror: {error}\n");
            outcome.stderr.extend_from_slice(text.as_bytes());
            return None;
        }
        describe(&interview, outcome);
    }
    outcome.stdout.append(&mut interview.take_output());
    Some(interview.into_resolution())
}

struct Session<'a> {
    options: &'a Options,
    reader: &'a TreeReader,
    source_tree: Option<&'a str>,
    kconfig: &'a Kconfig,
    /// Of a randconfig.
    seed: u32,
    config: Utf8PathBuf,
    config_name: &'a str,
    warn_unknown: bool,
    werror: bool,
    overwrite: bool,
}

impl Session<'_> {
    fn variable(&self, name: &str) -> Option<&str> {
        self.options.variables.get(name).map(String::as_str)
    }

    /// A configuration file: as named, else below the source tree.
    fn read(&self, name: &Utf8Path) -> Option<Vec<u8>> {
        self.reader.read(name).ok().or_else(|| {
            let tree = self.source_tree.filter(|_| !name.is_absolute())?;
            self.reader.read(&Utf8Path::new(tree).join(name)).ok()
        })
    }

    fn resolve(&self, mode: Mode, input: Option<(&str, &[u8])>) -> Resolution<'_> {
        let inputs: Vec<_> = input
            .iter()
            .map(|(name, text)| Input { name, text })
            .collect();
        self.kconfig.resolve(&Request {
            mode,
            inputs: &inputs,
            warn_unknown: self.warn_unknown,
        })
    }

    /// `KCONFIG_NOSILENTUPDATE`: syncconfig must find `.config` up to date.
    fn forbids_updates(&self) -> bool {
        let wanted = self.variable("KCONFIG_NOSILENTUPDATE");
        self.options.goal == Goal::Syncconfig && wanted.is_some_and(|value| !value.is_empty())
    }

    /// Whether the configuration to be written has other values than the one that was read.
    fn is_update(&self, input: Option<(&str, &[u8])>) -> bool {
        let inputs: Vec<_> = input
            .iter()
            .map(|(name, text)| Input { name, text })
            .collect();
        let resolution = self.kconfig.resolve(&Request {
            mode: Mode::Olddefconfig,
            inputs: &inputs,
            warn_unknown: true,
        });
        !resolution.diagnostics().is_empty() || !resolution.is_as_requested()
    }

    /// The present configuration: `.config`, else the first default list entry there is.
    fn current(&self, outcome: &mut Outcome) -> Option<(String, Vec<u8>)> {
        if let Some(text) = self.read(Utf8Path::new(self.config_name)) {
            return Some((self.config_name.to_owned(), text));
        }
        let list = self.variable("KCONFIG_DEFCONFIG_LIST").unwrap_or("");
        for name in list
            .split([' ', '\t', '\n'])
            .filter(|name| !name.is_empty())
        {
            if let Some(text) = self.read(Utf8Path::new(name)) {
                if !self.options.silent {
                    let message = format!("#\n# using defaults found in {name}\n#\n");
                    outcome.stdout.extend_from_slice(message.as_bytes());
                }
                return Some((name.to_owned(), text));
            }
        }
        None
    }

    /// `KCONFIG_ALLCONFIG`: nothing, a file's text, or the names that were not found.
    #[allow(clippy::type_complexity)]
    fn all_config(&self, special: &str) -> Result<Option<(String, Vec<u8>)>, String> {
        let names = match self.variable("KCONFIG_ALLCONFIG") {
            None => return Ok(None),
            Some("" | "1") => vec![special, "all.config"],
            Some(name) => vec![name],
        };
        for name in &names {
            if let Some(text) = self.read(Utf8Path::new(name)) {
                return Ok(Some(((*name).to_owned(), text)));
            }
        }
        Err(match names.as_slice() {
            [name] => format!("*** Can't read seed configuration \"{name}\"!\n"),
            _ => format!(
                "*** KCONFIG_ALLCONFIG set, but no \"{special}\" or \"all.config\" file found\n"
            ),
        })
    }

    /// The random mode, or what is wrong with its variables.
    fn randconfig(&self) -> Result<Mode, String> {
        let probability = self.variable("KCONFIG_PROBABILITY").unwrap_or("");
        let probability = probability
            .parse()
            .map_err(|error: ProbabilityError| format!("KCONFIG_PROBABILITY: {error}\n"))?;
        Ok(Mode::Randconfig {
            seed: self.seed,
            probability,
        })
    }

    fn run(&self, console: &mut dyn Console, outcome: &mut Outcome) -> Result<(), Error> {
        let goal = &self.options.goal;
        let randconfig = match self.randconfig() {
            Ok(mode) => mode,
            Err(message) => {
                outcome.stderr.extend_from_slice(message.as_bytes());
                outcome.status = 1;
                return Ok(());
            }
        };
        let special = match goal {
            Goal::Randconfig => Some((randconfig, "allrandom.config")),
            Goal::Alldefconfig => Some((Mode::Alldefconfig, "alldef.config")),
            Goal::Allnoconfig => Some((Mode::Allnoconfig, "allno.config")),
            Goal::Allyesconfig => Some((Mode::Allyesconfig, "allyes.config")),
            Goal::Allmodconfig => Some((Mode::Allmodconfig, "allmod.config")),
            _ => None,
        };
        let mut before_turning = Vec::new();
        let mut has_input = true;
        let mut needs_update = false;
        let mut resolution = if let Some((mode, special)) = special {
            match self.all_config(special) {
                Err(message) => {
                    outcome.stderr.extend_from_slice(message.as_bytes());
                    outcome.status = 1;
                    return Ok(());
                }
                Ok(input) => {
                    let input = input
                        .as_ref()
                        .map(|(name, text)| (name.as_str(), text.as_slice()));
                    self.resolve(mode, input)
                }
            }
        } else if let Goal::Defconfig(file) = goal {
            let Some(text) = self.read(file) else {
                let message =
                    format!("***\n*** Can't find default configuration \"{file}\"!\n***\n");
                outcome.stdout.extend_from_slice(message.as_bytes());
                outcome.status = 1;
                return Ok(());
            };
            self.resolve(Mode::Defconfig, Some((file.as_str(), &text)))
        } else {
            let mode = match goal {
                Goal::Yes2modconfig => Mode::Yes2modconfig,
                Goal::Mod2yesconfig => Mode::Mod2yesconfig,
                Goal::Mod2noconfig => Mode::Mod2noconfig,
                _ => Mode::Olddefconfig,
            };
            let current = self.current(outcome);
            let input = current
                .as_ref()
                .map(|(name, text)| (name.as_str(), text.as_slice()));
            if mode != Mode::Olddefconfig {
                before_turning = self.resolve(Mode::Olddefconfig, input).unmet();
            }
            needs_update = self.forbids_updates() && self.is_update(input);
            has_input = input.is_some();
            self.resolve(mode, input)
        };
        show(resolution.diagnostics(), outcome);
        outcome.stderr.append(&mut describe_unmet(&before_turning));
        let extent = match goal {
            Goal::Oldaskconfig => Some(Extent::All),
            Goal::Oldconfig | Goal::Syncconfig => Some(Extent::New),
            _ => None,
        };
        // Values that no input is compared with are worked out on the way.
        let is_later = extent.is_some() && !has_input;
        let unmet = match is_later {
            true => Vec::new(),
            false => resolution.unmet(),
        };
        outcome.stderr.append(&mut describe_unmet(&unmet));
        let mut warned = !(resolution.diagnostics().is_empty() && unmet.is_empty());
        if self.werror && !resolution.diagnostics().is_empty() {
            outcome.status = 1;
            return Ok(());
        }
        if needs_update {
            let message = "\n*** The configuration requires explicit update.\n\n";
            outcome.stderr.extend_from_slice(message.as_bytes());
            outcome.status = 1;
            return Ok(());
        }
        if let Some(extent) = extent {
            let interview = Interview::new(resolution, extent, !console.echoes());
            let Some(answered) = ask(interview, console, outcome, unmet, &mut warned) else {
                outcome.status = 1;
                return Ok(());
            };
            resolution = answered;
        }
        if self.werror && warned {
            outcome.status = 1;
            return Ok(());
        }
        let wanted = self.variable("KCONFIG_WARN_CHANGED_INPUT");
        let dropped = resolution.dropped();
        let writes = !matches!(goal, Goal::Listnewconfig | Goal::Helpnewconfig);
        if writes
            && wanted.is_some_and(|value| !value.is_empty())
            && self.kconfig.dialect().transitional
            && !dropped.is_empty()
        {
            let mut text = "warning: user-provided values changed by Kconfig:\n".to_owned();
            let prefix = self.variable("CONFIG_").unwrap_or("CONFIG_");
            for dropped in dropped {
                text.push_str(&format!(
                    "  {prefix}{}: {} -> {}\n",
                    dropped.symbol, dropped.wanted, dropped.actual
                ));
            }
            outcome.stderr.extend_from_slice(text.as_bytes());
        }
        match goal {
            Goal::Savedefconfig(file) => {
                fs::write_atomic(
                    self.options.directory.join(file),
                    &resolution.savedefconfig(),
                )?;
            }
            Goal::Listnewconfig => outcome.stdout.append(&mut resolution.new_symbols()),
            Goal::Helpnewconfig => outcome.stdout.append(&mut resolution.new_symbols_help()),
            _ => {
                // Where updates are forbidden it is up to date.
                if !self.forbids_updates() {
                    self.write_config(&resolution.dot_config(), outcome)?;
                }
                self.write_auto_conf(&resolution)?;
            }
        }
        Ok(())
    }

    fn write_config(&self, text: &[u8], outcome: &mut Outcome) -> Result<(), Error> {
        let name = self.config_name;
        let old = fs::read_optional(&self.config)?;
        let message = if old.as_deref() == Some(text) {
            format!("#\n# No change to {name}\n#\n")
        } else {
            if self.overwrite {
                std::fs::write(&self.config, text).context("write", &self.config)?;
            } else {
                if old.is_some() {
                    fs::rename(&self.config, format!("{}.old", self.config))?;
                }
                fs::write_atomic(&self.config, text)?;
            }
            format!("#\n# configuration written to {name}\n#\n")
        };
        if !self.options.silent && self.options.goal != Goal::Syncconfig {
            outcome.stdout.extend_from_slice(message.as_bytes());
        }
        Ok(())
    }

    /// `auto.conf` and its kin: always for syncconfig, else only where there is no
    /// `auto.conf` yet.
    fn write_auto_conf(&self, resolution: &Resolution<'_>) -> Result<(), Error> {
        let name = |variable, default| self.variable(variable).unwrap_or(default);
        let path = |variable, default| self.options.directory.join(name(variable, default));
        let auto_conf_name = name("KCONFIG_AUTOCONFIG", "include/config/auto.conf");
        let auto_conf = self.options.directory.join(auto_conf_name);
        let old = fs::read_optional(&auto_conf)?;
        if self.options.goal != Goal::Syncconfig && old.is_some() {
            return Ok(());
        }
        let text = resolution.auto_conf();
        fs::write_atomic(
            format!("{auto_conf}.cmd"),
            &resolution.auto_conf_cmd(auto_conf_name),
        )?;
        self.touch_changed(&auto_conf, &old.unwrap_or_default(), &text)?;
        fs::write_atomic(
            path("KCONFIG_AUTOHEADER", "include/generated/autoconf.h"),
            &resolution.autoconf_h(),
        )?;
        fs::write_atomic(
            path("KCONFIG_RUSTCCFG", "include/generated/rustc_cfg"),
            &resolution.rustc_cfg(),
        )?;
        // Last, for it is what says that the others are complete.
        fs::write_atomic(auto_conf, &text)?;
        Ok(())
    }

    /// Touches the file beside `auto.conf` that stands for each symbol that changed:
    /// what objects depend on instead of the whole configuration.
    fn touch_changed(&self, auto_conf: &Utf8Path, old: &[u8], new: &[u8]) -> Result<(), Error> {
        let prefix = self.variable("CONFIG_").unwrap_or("CONFIG_");
        let settings = |text| -> BTreeMap<String, String> {
            let text: std::borrow::Cow<'_, str> = String::from_utf8_lossy(text);
            let setting = |line: &str| {
                let (name, value) = line.strip_prefix(prefix)?.split_once('=')?;
                Some((name.to_owned(), value.to_owned()))
            };
            text.lines().filter_map(setting).collect()
        };
        let (old, new) = (settings(old), settings(new));
        let directory = auto_conf.parent().unwrap_or(Utf8Path::new("."));
        fs::create_dir_all(directory)?;
        let changed = new
            .iter()
            .filter(|(name, value)| old.get(*name) != Some(*value))
            .chain(old.iter().filter(|(name, _)| !new.contains_key(*name)));
        for (name, _) in changed {
            let path = directory.join(name);
            std::fs::write(&path, b"").context("touch", &path)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a tree whose probe makes the file `ran`; whether it is there afterwards.
    fn runs(probes: Probes) -> (bool, Outcome) {
        let temporary = tempfile::tempdir().unwrap();
        let directory = Utf8PathBuf::from_path_buf(temporary.path().to_owned()).unwrap();
        let tree = "config A\n\tstring\n\tdefault \"$(shell,touch ran; echo there)\"\n";
        fs::write_atomic(directory.join("Kconfig"), tree.as_bytes()).unwrap();
        fs::write_atomic(
            directory.join("record"),
            b"touch ran; echo there\trecorded\n",
        )
        .unwrap();
        fs::write_atomic(directory.join("empty"), b"").unwrap();
        let options = Options {
            goal: Goal::Alldefconfig,
            silent: false,
            root: "Kconfig".to_owned(),
            probes,
            record: None,
            cache: None,
            dialect: None,
            directory: directory.clone(),
            variables: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
            now: 0,
        };
        let outcome = run(&options, &mut Script::default()).unwrap();
        (directory.join("ran").exists(), outcome)
    }

    /// Answers in turn, then the end of input; and what was shown.
    #[derive(Default)]
    struct Script {
        answers: Vec<&'static str>,
        shown: Vec<u8>,
    }

    impl Console for Script {
        fn show(&mut self, stdout: &[u8], _: &[u8]) {
            self.shown.extend_from_slice(stdout);
        }

        fn read_line(&mut self) -> Vec<u8> {
            match self.answers.is_empty() {
                true => Vec::new(),
                false => self.answers.remove(0).as_bytes().to_vec(),
            }
        }

        fn echoes(&self) -> bool {
            false
        }
    }

    /// Runs it on a tree of two symbols, of which one is known. Returns the status, everything
    /// on standard output, and the last lines of `.config`.
    fn converse(goal: Goal, variable: &str, answers: &[&'static str]) -> (u8, String, String) {
        let temporary = tempfile::tempdir().unwrap();
        let directory = Utf8PathBuf::from_path_buf(temporary.path().to_owned()).unwrap();
        let tree = "config A\n\tbool \"a\"\nconfig B\n\tbool \"b\"\n";
        fs::write_atomic(directory.join("Kconfig"), tree.as_bytes()).unwrap();
        fs::write_atomic(directory.join(".config"), b"CONFIG_A=y\n").unwrap();
        let options = Options {
            goal,
            silent: false,
            root: "Kconfig".to_owned(),
            probes: Probes::Run,
            record: None,
            cache: None,
            dialect: None,
            directory: directory.clone(),
            variables: BTreeMap::from([(variable.to_owned(), "1".to_owned())]),
            now: 0,
        };
        let mut script = Script {
            answers: answers.to_vec(),
            ..Script::default()
        };
        let outcome = run(&options, &mut script).unwrap();
        let said = String::from_utf8([script.shown, outcome.stdout].concat()).unwrap();
        let config = fs::read_to_string(directory.join(".config")).unwrap();
        let lines = config.lines().filter(|line| line.contains("CONFIG_"));
        let config = lines.collect::<Vec<_>>().join(" ");
        (outcome.status, said, config)
    }

    #[test]
    fn what_is_new_is_asked_on_the_console() {
        let (status, said, config) = converse(Goal::Oldconfig, "X", &["x\n", "y\n"]);
        let expected = "*\n* Restart config...\n*\n*\n* Main menu\n*\na (A) [Y/n/?] y\n\
            b (B) [N/y/?] (NEW) x\nb (B) [N/y/?] (NEW) y\n\
            #\n# configuration written to .config\n#\n";
        assert_eq!((status, said.as_str()), (0, expected));
        assert_eq!(config, "CONFIG_A=y CONFIG_B=y");
        let (_, said, config) = converse(Goal::Oldaskconfig, "X", &["n\n", "y"]);
        let expected = "*\n* Main menu\n*\na (A) [Y/n/?] n\nb (B) [N/y/?] (NEW) y#\n";
        assert!(said.starts_with(expected), "{said}");
        assert_eq!(config, "# CONFIG_A is not set CONFIG_B=y");
    }

    #[test]
    fn an_update_can_be_forbidden() {
        let (status, said, config) = converse(Goal::Syncconfig, "KCONFIG_NOSILENTUPDATE", &[]);
        assert_eq!(
            (status, said.as_str(), config.as_str()),
            (1, "", "CONFIG_A=y")
        );
        let (status, _, config) = converse(Goal::Oldconfig, "KCONFIG_NOSILENTUPDATE", &[]);
        assert_eq!(
            (status, config.as_str()),
            (0, "CONFIG_A=y # CONFIG_B is not set")
        );
    }

    #[test]
    fn recorded_probes_run_nothing() {
        let recorded = |file: &str| runs(Probes::Recorded(file.into()));
        let (ran, outcome) = recorded("record");
        assert_eq!((ran, outcome.status), (false, 0));
        let (ran, outcome) = recorded("empty");
        assert_eq!((ran, outcome.status), (false, 1));
        // Which the test would see.
        assert!(runs(Probes::Run).0);
    }
}

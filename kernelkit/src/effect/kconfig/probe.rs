//! `$(shell …)`: run, recorded, or taken from a record.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use camino::{Utf8Path, Utf8PathBuf};
use sha2::Digest as _;

use super::super::{environment, exec, fs, record};
use super::shell;
use crate::kconfig::ProbeResult;
use crate::limits;
use crate::process::Call;
use crate::root::{self, Root};

/// A record has no answer for a command, and nothing may be run.
#[derive(Debug, thiserror::Error)]
#[error("the command is not among the recorded probes")]
pub struct NotRecorded;

/// A line of a record is not `COMMAND<TAB>OUTPUT`.
#[derive(Debug, thiserror::Error)]
#[error("{name}:{line}: not a recorded probe")]
pub struct RecordError {
    /// The file.
    pub name: String,
    /// Line, from 1.
    pub line: usize,
}

/// Commands and what they print, in the order they were first asked for.
///
/// As text, a line each: `COMMAND<TAB>OUTPUT`, where newline, tab and backslash
/// are written `\n`, `\t` and `\\`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    order: Vec<Vec<u8>>,
    outputs: HashMap<Vec<u8>, Vec<u8>>,
}

impl Record {
    /// Reads the text form; `name` is for errors.
    pub fn parse(name: &str, text: &[u8]) -> Result<Self, RecordError> {
        let mut record = Record::default();
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            if line.is_empty() {
                continue;
            }
            let error = || RecordError {
                name: name.to_owned(),
                line: index + 1,
            };
            let tab = line.iter().position(|byte| *byte == b'\t');
            let tab = tab.ok_or_else(error)?;
            let command = unescape(&line[..tab]).ok_or_else(error)?;
            let output = unescape(&line[tab + 1..]).ok_or_else(error)?;
            record.insert(command, output);
        }
        Ok(record)
    }

    /// The text form.
    pub fn to_text(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for command in &self.order {
            escape(command, &mut out);
            out.push(b'\t');
            escape(&self.outputs[command], &mut out);
            out.push(b'\n');
        }
        out
    }

    /// What `command` prints, if it is known.
    pub fn get(&self, command: &[u8]) -> Option<&[u8]> {
        self.outputs.get(command).map(Vec::as_slice)
    }

    /// Adds an answer; the first one stays.
    pub fn insert(&mut self, command: Vec<u8>, output: Vec<u8>) {
        if !self.outputs.contains_key(&command) {
            self.order.push(command.clone());
            self.outputs.insert(command, output);
        }
    }

    /// How many commands it knows.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether it knows none.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

fn escape(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            byte => out.push(*byte),
        }
    }
}

fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'\\' => match bytes.next()? {
                b'n' => b'\n',
                b't' => b'\t',
                b'\\' => b'\\',
                _ => return None,
            },
            byte => *byte,
        });
    }
    Some(out)
}

/// Runs commands as the kernel's reader does: `/bin/sh -c`, exit status ignored.
#[derive(Clone, Debug)]
pub struct Runner {
    /// Where commands run: the build directory.
    pub directory: Utf8PathBuf,
    /// Their whole environment.
    pub variables: BTreeMap<String, String>,
}

/// What a command printed on both streams.
type Streams = Result<(Vec<u8>, Vec<u8>), Box<dyn std::error::Error + Send + Sync>>;

impl Runner {
    /// Standard output and standard error of `command`.
    pub fn run(&self, command: &[u8]) -> Streams {
        let call = Call::new("/bin/sh", self.directory.clone())
            .args(["-c".to_owned(), String::from_utf8(command.to_vec())?])
            .envs(&self.variables);
        let output = exec::capture_bounded(
            &call,
            limits::SHELL_OUTPUT,
            limits::SHELL_COMPLAINT,
            limits::SHELL_TIME,
        )?;
        Ok((output.stdout, output.stderr))
    }

    fn path(&self) -> &str {
        self.variables.get("PATH").map_or("", String::as_str)
    }

    /// The answer to a command that needs no process.
    fn answer(&self, command: &[u8]) -> Option<Vec<u8>> {
        let command = str::from_utf8(command).ok()?;
        shell::answer(
            command,
            |program| !program.contains('/') && exec::find_on_path(program, self.path()).is_some(),
            |path| {
                let root = self.variables.get(root::VARIABLE).map(Root::new);
                root.map_or_else(
                    || std::fs::metadata(path).is_ok(),
                    |root| root.outside(Utf8Path::new(path)).exists(),
                )
            },
        )
    }
}

/// Answers probes with as few processes as possible, and remembers.
///
/// Outputs are kept across runs in a file for each environment: the variables, the
/// programs they name (path, size, time), the package database. Within it the key is
/// the command and the contents of the files it names. A command that writes to
/// standard error runs every time, for its complaint.
#[derive(Debug)]
pub struct Prober {
    runner: Runner,
    /// What this run was asked.
    pub record: Record,
    /// What the commands wrote to standard error, for the caller to show.
    pub stderr: Vec<u8>,
    known: Record,
    cache: Option<Utf8PathBuf>,
    changed: bool,
}

/// Variables that say nothing about a probe's output, or differ from tree to tree
/// where the command itself names the tree.
const IRRELEVANT: &[&str] = &[
    "_",
    "OLDPWD",
    "PWD",
    "SHLVL",
    "TERM",
    "COLORTERM",
    "COLUMNS",
    "LINES",
    "LS_COLORS",
    "MAKEFLAGS",
    "MAKELEVEL",
    "MAKEOVERRIDES",
    "MFLAGS",
    "MAKE_TERMERR",
    "MAKE_TERMOUT",
    "DISPLAY",
    "TMUX",
    "TMUX_PANE",
    "KERNELVERSION",
    "KERNELRELEASE",
    "VERSION",
    "PATCHLEVEL",
    "SUBLEVEL",
    "srctree",
    "objtree",
    "srcroot",
    "abs_srctree",
    "abs_objtree",
    "VPATH",
    "KBUILD_OUTPUT",
    "KBUILD_EXTMOD",
    "CURDIR",
    "TMPDIR",
    "LANG",
    "LANGUAGE",
    "MAKE",
];

/// Files that change whenever a package is installed: headers and libraries that
/// compilers find without being told.
const PACKAGE_DATABASES: &[&str] = &[
    "/var/lib/dpkg/status",
    "/var/lib/rpm",
    "/usr/lib/sysimage/rpm",
    "/var/lib/pacman/local",
    "/lib/apk/db/installed",
    "/nix/var/nix/profiles",
];

/// Where Python finds modules.
const PYTHON_MODULES: &[&str] = &[
    "/usr/lib/python3*/dist-packages",
    "/usr/lib*/python3*/site-packages",
    "/usr/local/lib/python3*/*-packages",
    "~/.local/lib/python3*/site-packages",
    "~/.pyenv/versions/*/lib/python3*/site-packages",
];

impl Prober {
    /// A prober that runs commands by `runner` and keeps outputs below `cache`.
    pub fn new(runner: Runner, cache: Option<&Utf8Path>) -> Self {
        let cache = cache.map(|cache| cache.join(format!("{}.probes", environment_key(&runner))));
        let known = cache
            .as_ref()
            .and_then(|path| fs::read_optional(path).ok().flatten())
            // A damaged file costs time, nothing else.
            .and_then(|bytes| Record::parse("cache", record::open_text(&bytes)?).ok())
            .unwrap_or_default();
        Prober {
            runner,
            record: Record::default(),
            stderr: Vec::new(),
            known,
            cache,
            changed: false,
        }
    }

    /// The output of `command`, from wherever it comes cheapest.
    pub fn ask(&mut self, command: &[u8]) -> ProbeResult {
        if let Some(output) = self.record.get(command) {
            return Ok(output.to_vec());
        }
        let output = match self.lookup(command) {
            Some(output) => output,
            None => {
                let (output, stderr) = self.runner.run(command)?;
                self.remember(command, &output, stderr);
                output
            }
        };
        self.record.insert(command.to_vec(), output.clone());
        Ok(output)
    }

    fn lookup(&self, command: &[u8]) -> Option<Vec<u8>> {
        self.runner.answer(command).or_else(|| {
            self.known
                .get(&command_key(command, &self.runner.variables))
                .map(<[u8]>::to_vec)
        })
    }

    fn remember(&mut self, command: &[u8], output: &[u8], stderr: Vec<u8>) {
        // A command that complains shall do so again.
        let complains = !stderr.is_empty();
        self.stderr.extend(stderr);
        if !complains {
            let key = command_key(command, &self.runner.variables);
            self.known.insert(key, output.to_vec());
            self.changed = true;
        }
    }

    /// Loads a tree: at once where every answer is known, else after running what is
    /// not. `load` asks through the closure it is given, and may be called again.
    pub fn load<T>(
        &mut self,
        mut load: impl FnMut(&mut dyn FnMut(&[u8]) -> ProbeResult) -> T,
    ) -> T {
        let mut all_known = true;
        let mut record = Record::default();
        let loaded = load(&mut |command| {
            let output = self.lookup(command);
            all_known &= output.is_some();
            let output = output.ok_or(NotRecorded)?;
            record.insert(command.to_vec(), output.clone());
            Ok(output)
        });
        if all_known {
            self.record = record;
            return loaded;
        }
        self.prefetch(|probe| drop(load(probe)));
        load(&mut |command| self.ask(command))
    }

    /// Whether every command of a record is known without running it, and prints the same.
    /// Then the record is what this run was asked.
    pub(super) fn repeats(&mut self, record: Record) -> bool {
        let same = record
            .order
            .iter()
            .all(|command| self.lookup(command).as_deref() == record.get(command));
        if same {
            self.record = record;
        }
        same
    }

    /// Finds out what a load would ask, and runs that side by side.
    ///
    /// The load is repeated, with an empty answer for what is not known yet, until it
    /// asks nothing new. A command's output does not depend on whether another has
    /// run, so the order does not matter; what is asked only because of a wrong
    /// answer is run in vain.
    fn prefetch(&mut self, mut load: impl FnMut(&mut dyn FnMut(&[u8]) -> ProbeResult)) {
        let workers = environment::cores();
        // Every round gets behind one more command that depends on another.
        for _ in 0..16 {
            let mut wanted: Vec<Vec<u8>> = Vec::new();
            load(&mut |command| {
                if let Some(output) = self.record.get(command) {
                    return Ok(output.to_vec());
                }
                if let Some(output) = self.lookup(command) {
                    return Ok(output);
                }
                if !wanted.iter().any(|known| known == command) {
                    wanted.push(command.to_vec());
                }
                Ok(Vec::new())
            });
            if wanted.is_empty() {
                return;
            }
            let next = AtomicUsize::new(0);
            let results: Mutex<Vec<(usize, Streams)>> = Mutex::new(Vec::new());
            std::thread::scope(|scope| {
                for _ in 0..workers.min(wanted.len()) {
                    scope.spawn(|| {
                        loop {
                            let index = next.fetch_add(1, Ordering::Relaxed);
                            let Some(command) = wanted.get(index) else {
                                return;
                            };
                            let streams = self.runner.run(command);
                            results
                                .lock()
                                .unwrap_or_else(PoisonError::into_inner)
                                .push((index, streams));
                        }
                    });
                }
            });
            let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
            results.sort_by_key(|(index, _)| *index);
            for (index, streams) in results {
                // A failure shows again when the command is really needed.
                if let Ok((output, stderr)) = streams {
                    let command = &wanted[index];
                    self.remember(command, &output, stderr);
                    self.record.insert(command.clone(), output);
                }
            }
        }
    }

    /// Writes what was learned to the cache.
    pub fn save(&self) -> Result<(), fs::Error> {
        match &self.cache {
            Some(path) if self.changed => {
                fs::write_atomic(path, &record::seal_text(&self.known.to_text()))
            }
            _ => Ok(()),
        }
    }
}

/// The command, a digest of every file it names by an absolute path, and for Python
/// the times of the directories its modules are in.
fn command_key(command: &[u8], variables: &BTreeMap<String, String>) -> Vec<u8> {
    let mut key = command.to_vec();
    let text = String::from_utf8_lossy(command);
    if text.contains("python") {
        let home = variables.get("HOME").map_or("", String::as_str);
        for directory in PYTHON_MODULES {
            let pattern = directory.replace('~', home);
            for path in glob::glob(&pattern).into_iter().flatten().flatten() {
                let time = std::fs::metadata(&path).and_then(|metadata| metadata.modified());
                key.extend_from_slice(format!("\0{} {time:?}", path.display()).as_bytes());
            }
        }
    }
    let separators = [' ', '"', '\'', '(', ')', ';', '=', '|', '&', '<', '>', '`'];
    for word in text.split(separators) {
        if !word.starts_with('/') || word.starts_with("/dev/") {
            continue;
        }
        key.push(0);
        match fs::read_within(Utf8Path::new(word), limits::PRODUCT) {
            Ok(bytes) => key.extend_from_slice(hex(&sha2::Sha256::digest(&bytes)).as_bytes()),
            Err(error) => key.extend_from_slice(format!("{:?}", error.kind()).as_bytes()),
        }
        // The helper that the others ask for version limits.
        if let Some((directory, _)) = word.rsplit_once("/scripts/")
            && let Ok(bytes) = fs::input(format!("{directory}/scripts/min-tool-version.sh"))
        {
            key.extend_from_slice(hex(&sha2::Sha256::digest(&bytes)).as_bytes());
        }
    }
    key
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A digest of everything but the command that its output may depend on.
fn environment_key(runner: &Runner) -> String {
    let mut text = String::from("kernelkit-probes 1\n");
    let stat = |text: &mut String, path: &str| {
        use std::os::unix::fs::MetadataExt as _;
        let resolved = std::fs::canonicalize(path);
        let metadata = std::fs::metadata(path);
        if let (Ok(resolved), Ok(metadata)) = (resolved, metadata) {
            let (size, time, nanoseconds) =
                (metadata.size(), metadata.mtime(), metadata.mtime_nsec());
            let resolved = resolved.display();
            text.push_str(&format!("{path} {resolved} {size} {time}.{nanoseconds}\n"));
        }
    };
    let mut programs = vec!["sh".to_owned(), "as".to_owned()];
    for (name, value) in &runner.variables {
        let irrelevant = IRRELEVANT.contains(&name.as_str())
            || name.starts_with("KCONFIG_")
            || name.starts_with("SSH_")
            || name.starts_with("XDG_");
        if irrelevant {
            continue;
        }
        text.push_str(&format!("{name}={value}\n"));
        let tool = matches!(
            name.as_str(),
            "CC" | "LD" | "AR" | "NM" | "OBJCOPY" | "HOSTCC" | "RUSTC" | "BINDGEN" | "PAHOLE"
        );
        if tool && let Some(program) = value.split_whitespace().next_back() {
            programs.push(program.to_owned());
            if let Some(prefix) = program.strip_suffix("gcc") {
                programs.push(format!("{prefix}as"));
            }
        }
    }
    for program in programs {
        let path = if program.contains('/') {
            Some(Utf8PathBuf::from(program))
        } else {
            exec::find_on_path(&program, runner.path())
        };
        if let Some(path) = path {
            stat(&mut text, path.as_str());
        }
    }
    for path in PACKAGE_DATABASES {
        stat(&mut text, path);
    }
    hex(&sha2::Sha256::digest(text.as_bytes()))[..32].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_its_text_form() {
        let mut record = Record::default();
        record.insert(b"printf 'a\\tb'\n".to_vec(), b"a\tb\\\n\n".to_vec());
        record.insert(b"true".to_vec(), Vec::new());
        let text = record.to_text();
        assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 2);
        assert_eq!(Record::parse("r", &text).unwrap(), record);
        assert!(Record::parse("r", b"no tab\n").is_err());
        assert!(Record::parse("r", b"a\\x\tb\n").is_err());
    }
}

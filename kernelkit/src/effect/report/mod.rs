//! Gathers what a report tells of finished builds, and writes its files.
//!
//! Every run leaves a report of its own kernel beside its logs; a report over kernels
//! that were built one by one is put together from those ([`gather()`]), and that of a batch is
//! completed from the logs of its runs ([`write()`]).

mod send;

use camino::{Utf8Path, Utf8PathBuf};

use super::fs::{self, Context as _};
use super::log::RunLog;
use super::{environment, exec};
use crate::manifest::{Manifest, OutputKind, Record};
use crate::report::log::Scan;
use crate::report::{self, Address, Ccache, Failure, Kernel, Phase, Report, Status};

pub use send::{Way, send};

/// The file of a report, in a run's logs and in a batch's directory.
pub const FILE: &str = "report.json";

/// The logs of a run in which a compiler's words stand.
const SCANNED: [&str; 4] = [
    "configure.log",
    "compile.log",
    "install.log",
    "devtools.log",
];

/// Where a report's files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// `report.json`.
    pub json: Utf8PathBuf,
    /// `report.xml`: JUnit.
    pub junit: Utf8PathBuf,
    /// `report.html`.
    pub html: Utf8PathBuf,
}

/// Why there is no report, or why it went nowhere.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file.
    #[error(transparent)]
    Fs(#[from] fs::Error),
    /// A file is no report.
    #[error("cannot read {path}")]
    Report {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong.
        #[source]
        source: report::Error,
    },
    /// A batch of that name was not run here.
    #[error("there is no batch `{id}` below {directory}")]
    NoBatch {
        /// The name.
        id: String,
        /// Where batches lie.
        directory: Utf8PathBuf,
    },
    /// `sendmail` did not take the mail.
    #[error("sendmail did not take the mail")]
    Sendmail {
        /// The mail, kept.
        mail: Utf8PathBuf,
        /// How it failed.
        #[source]
        source: exec::Error,
    },
    /// The server is not there, or went away.
    #[error("the mail server {server} does not answer")]
    Unreachable {
        /// Host and port.
        server: String,
        /// The mail, kept.
        mail: Utf8PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The server does not want the mail.
    #[error("the mail server {server} refuses the mail: {said}")]
    Refused {
        /// Host and port.
        server: String,
        /// The mail, kept.
        mail: Utf8PathBuf,
        /// The server's words.
        said: String,
    },
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Fs(error) => error.hint(),
            Error::Report { source, .. } => source.hint(),
            Error::NoBatch { .. } => {
                Some("without a name it is the last batch that is reported".to_owned())
            }
            Error::Sendmail { mail, source } => Some(match source {
                exec::Error::Failed { .. } => format!("the mail is kept in {mail}"),
                _ => format!(
                    "the mail is kept in {mail}; install a sendmail (postfix, msmtp-mta), or name a server: `--mail-server HOST`"
                ),
            }),
            Error::Unreachable { mail, .. } | Error::Refused { mail, .. } => Some(format!(
                "the mail is kept in {mail}; run the same command again to send it"
            )),
        }
    }
}

/// Completes `report` from the logs that it names, and writes `report.json`, `report.xml` and
/// `report.html` into `directory`, which is made.
///
/// # Errors
/// A log cannot be read, or a file cannot be written.
pub fn write(report: &Report, directory: &Utf8Path) -> Result<Written, fs::Error> {
    let mut report = report.clone();
    for kernel in &mut report.kernels {
        complete(kernel)?;
    }
    fs::create_dir_all(directory)?;
    let written = Written {
        json: directory.join(FILE),
        junit: directory.join("report.xml"),
        html: directory.join("report.html"),
    };
    fs::write_atomic(&written.junit, report::junit(&report).as_bytes())?;
    fs::write_atomic(&written.html, report::html(&report, directory).as_bytes())?;
    fs::write_atomic(&written.json, report.to_json().as_bytes())?;
    Ok(written)
}

/// Adds what only the logs and the installed files tell: each warning, the first error, how many
/// modules there are. What the report says already stays.
fn complete(kernel: &mut Kernel) -> Result<(), fs::Error> {
    let Some(log) = kernel.log.clone().map(Utf8PathBuf::from) else {
        return Ok(());
    };
    // `<state>/log/<time>`
    let state = log.parent().and_then(Utf8Path::parent);
    if let Some(state) = state
        && kernel.modules_count.is_none()
        && matches!(kernel.status, Status::Passed | Status::Reused)
    {
        kernel.modules_count = count_modules(&state.join("destdir/lib/modules"))?;
    }
    // What was taken from somewhere was not built by the run whose logs these are.
    if matches!(kernel.status, Status::Reused | Status::Skipped) {
        return Ok(());
    }
    let statistics = log.join("ccache-statistics.log");
    if kernel.ccache.is_none()
        && statistics.exists()
        && let (Some(hits), Some(misses)) = super::run::ccache_statistics(&statistics)?
    {
        kernel.ccache = Some(Ccache { hits, misses });
    }
    let mut directories = Vec::new();
    if let Some(state) = state {
        directories.push(state.join("build").to_string());
    }
    directories.extend(directories_of(&log)?);
    let mut scan = Scan::new(&directories);
    let mut failure = None;
    for name in SCANNED {
        let path = log.join(name);
        let Some(bytes) = fs::read_optional(&path)? else {
            continue;
        };
        for line in bytes.split(|byte| *byte == b'\n') {
            scan.line(&String::from_utf8_lossy(line));
        }
        if failure.is_none() {
            failure = scan.failure().map(|failure| Failure {
                phase: name.strip_suffix(".log").map(str::to_owned),
                log: Some(path.to_string()),
                ..failure
            });
        }
    }
    for (findings, found) in [
        (&mut kernel.warnings, scan.warnings()),
        (&mut kernel.section_mismatches, scan.section_mismatches()),
        (&mut kernel.dtc_warnings, scan.dtc_warnings()),
    ] {
        if findings.top.is_empty() && found.count > 0 {
            *findings = found;
        }
    }
    if let Some(error) = &mut kernel.error {
        error.message = scan.short(&error.message);
        for line in &mut error.context {
            *line = scan.short(line);
        }
    }
    if kernel.status == Status::Failed
        && let Some(found) = failure
    {
        match &mut kernel.error {
            None => kernel.error = Some(found),
            // `compile failed` says less than the compiler does.
            Some(error)
                if error.message.ends_with(" failed")
                    || error.message.ends_with("failed in Nix") =>
            {
                error.message = found.message;
                if error.context.is_empty() {
                    error.context = found.context;
                }
                error.phase = error.phase.take().or(found.phase);
                error.log = error.log.take().or(found.log);
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// The tree that a run compiled, and where it did: `build.log` has make's calls, and those have `-C` and `O=`.
fn directories_of(log: &Utf8Path) -> Result<Vec<String>, fs::Error> {
    let Some(bytes) = fs::read_optional(log.join("build.log"))? else {
        return Ok(Vec::new());
    };
    let text = String::from_utf8_lossy(&bytes);
    let calls = text.lines().find_map(|line| line.split_once(" make -C "));
    let words = calls.map_or("", |(_, rest)| rest).split_whitespace();
    let build = words.clone().find_map(|word| word.strip_prefix("O="));
    let source = words.take(1);
    Ok(source.chain(build).map(str::to_owned).collect())
}

/// Files of modules below a directory; `None` where it is not there.
fn count_modules(directory: &Utf8Path) -> Result<Option<u64>, fs::Error> {
    if !directory.is_dir() {
        return Ok(None);
    }
    let mut count = 0;
    for entry in fs::below(directory) {
        let entry = entry?;
        let kind = entry.file_type().context("look at", entry.path())?;
        if !kind.is_dir() && entry.file_name().contains(".ko") {
            count += 1;
        }
    }
    Ok(Some(count))
}

/// Leaves the report of one run beside its logs. `result` is `passed`, or `failed: ` and why.
pub(super) fn note(
    log: &RunLog,
    record: &Record,
    result: &str,
    ccache: Option<Ccache>,
) -> Result<(), fs::Error> {
    let status = match result {
        "passed" => Status::Passed,
        _ if exec::interrupted() => Status::Interrupted,
        _ => Status::Failed,
    };
    let mut kernel = Kernel {
        seconds: seconds(log.milliseconds()),
        phases: log.phases(),
        log: Some(log.dir().to_string()),
        ccache,
        ..of_record(record, status)
    };
    match status {
        Status::Failed => {
            let message = result.strip_prefix("failed: ").unwrap_or(result);
            let phase = kernel.phases.last().map(|phase| phase.name.clone());
            let path = phase
                .as_ref()
                .map(|phase| log.dir().join(format!("{phase}.log")));
            kernel.error = Some(Failure {
                phase,
                message: message.to_owned(),
                context: Vec::new(),
                log: path
                    .filter(|path| path.exists())
                    .map(Utf8PathBuf::into_string),
            });
        }
        Status::Interrupted => kernel.note = Some("it was stopped".to_owned()),
        _ => {}
    }
    complete(&mut kernel)?;
    let report = report_of(log.started(), vec![kernel]);
    fs::write_atomic(log.dir().join(FILE), report.to_json().as_bytes())
}

fn seconds(milliseconds: u128) -> f64 {
    milliseconds as f64 / 1000.0
}

/// What a record says of a kernel, apart from its files.
pub(super) fn of_record(record: &Record, status: Status) -> Kernel {
    Kernel {
        version: Some(record.version.clone()),
        toolchain: Some(record.toolchain.version.clone()),
        backend: Some(record.backend.to_string()),
        digest: Some(record.digest.to_string()),
        release: Some(record.release.clone()),
        ..Kernel::new(record.name.as_str(), record.arch.name(), status)
    }
}

/// The sizes of what a record lists.
pub(super) fn add_sizes(kernel: &mut Kernel, record: &Record) {
    let size = |kind| record.output(kind).and_then(|output| output.size);
    kernel.image_bytes = size(OutputKind::Image);
    kernel.modules_bytes = size(OutputKind::Modules);
}

/// The report of kernels that were built on this machine, from `started`, in seconds since 1970,
/// until the last of them was over.
fn report_of(started: i64, kernels: Vec<Kernel>) -> Report {
    let end = |kernel: &Kernel| kernel.start + kernel.seconds;
    let seconds = kernels.iter().map(end).fold(0.0, f64::max);
    report_over(started, seconds, kernels)
}

/// The same over a time that is known.
pub(super) fn report_over(started: i64, seconds: f64, kernels: Vec<Kernel>) -> Report {
    Report {
        schema: report::SCHEMA,
        tool: format!("cargo kernel {}", env!("CARGO_PKG_VERSION")),
        started,
        seconds,
        cores: environment::cores(),
        memory_bytes: environment::memory().total,
        kernels,
    }
}

/// A kernel that the workspace declares, as far as its declaration goes.
#[derive(Clone, Debug)]
pub struct Declared {
    /// As reports show it: name, architecture, flavour, debug.
    pub kernel: Kernel,
    /// `target/kernel/<name>`.
    pub state: Utf8PathBuf,
}

/// A report over kernels that were built one by one, from what their last runs left. The time
/// in which none of them was built is left out.
///
/// # Errors
/// A file cannot be read, or is no report.
pub fn gather(declared: &[Declared]) -> Result<Report, Error> {
    let mut built = Vec::new();
    for declared in declared {
        built.push(last(declared)?);
    }
    let mut order: Vec<usize> = (0..built.len())
        .filter(|&index| built[index].0.is_some())
        .collect();
    order.sort_by_key(|&index| built[index].0);
    let first = order.first().and_then(|&index| built[index].0);
    let started = first.unwrap_or_else(|| environment::now().timestamp().as_second());
    let (mut end, mut idle) = (0.0_f64, 0.0);
    for index in order {
        let (at, kernel) = &mut built[index];
        let start = (at.unwrap_or(started) - started) as f64 - idle;
        let gap = (start - end).max(0.0);
        idle += gap;
        let shift = start - gap;
        kernel.start += shift;
        for phase in &mut kernel.phases {
            phase.start += shift;
        }
        end = end.max(kernel.start + kernel.seconds);
    }
    let kernels = built.into_iter().map(|(_, kernel)| kernel).collect();
    Ok(report_of(started, kernels))
}

/// The last run of a kernel, and when it began.
fn last(declared: &Declared) -> Result<(Option<i64>, Kernel), Error> {
    let Declared {
        kernel: known,
        state,
    } = declared;
    let latest = state.join("log/latest");
    let run = read_optional(&latest.join(FILE))?;
    let manifest = fs::read_optional(state.join("manifest.json"))?
        .and_then(|bytes| Manifest::parse(&bytes).ok());
    let told = |kernel: Kernel| Kernel {
        flavour: known.flavour.clone(),
        debug: known.debug,
        ..kernel
    };
    let (at, mut kernel) = match (run, &manifest) {
        (Some(mut run), manifest) if run.kernels.len() == 1 => {
            let kernel = run.kernels.remove(0);
            let is_of =
                |manifest: &Manifest| kernel.digest == Some(manifest.record.digest.to_string());
            match manifest {
                Some(manifest) if kernel.status != Status::Passed || !is_of(manifest) => {
                    (None, reused(manifest))
                }
                _ => (Some(run.started), kernel),
            }
        }
        (_, Some(manifest)) => (None, reused(manifest)),
        (_, None) if latest.exists() => {
            let log = fs::real_path(&latest);
            let kernel = Kernel {
                status: Status::Interrupted,
                note: Some("its last run was killed, or goes on".to_owned()),
                log: Some(log.to_string()),
                ..known.clone()
            };
            (None, kernel)
        }
        (_, None) => {
            let kernel = Kernel {
                status: Status::Skipped,
                note: Some("it has not been built here".to_owned()),
                ..known.clone()
            };
            (None, kernel)
        }
    };
    if let Some(manifest) = manifest {
        add_sizes(&mut kernel, &manifest.record);
        kernel.modules_count = count_modules(&state.join("destdir/lib/modules"))?;
    }
    complete(&mut kernel)?;
    Ok((at, told(kernel)))
}

/// A kernel that lies in the build directory, but was not built by its last run.
fn reused(manifest: &Manifest) -> Kernel {
    Kernel {
        note: Some("taken from where it had been built".to_owned()),
        ..of_record(&manifest.record, Status::Reused)
    }
}

fn read_optional(path: &Utf8Path) -> Result<Option<Report>, Error> {
    let Some(bytes) = fs::read_optional(path)? else {
        return Ok(None);
    };
    let report = Report::parse(&bytes).map_err(|source| Error::Report {
        path: path.to_owned(),
        source,
    })?;
    Ok(Some(report))
}

/// Where the reports of batches lie, below the target directory: a directory for each batch.
fn batches(target: &Utf8Path) -> Utf8PathBuf {
    target.join("kernel/batches")
}

/// The report of a batch with its directory: of the one that is named, or of the one that began last.
///
/// # Errors
/// There is none of that name, or it cannot be read.
pub fn batch(target: &Utf8Path, id: Option<&str>) -> Result<Option<(Report, Utf8PathBuf)>, Error> {
    let directory = batches(target);
    let Some(id) = id else {
        let mut newest: Option<(Report, Utf8PathBuf)> = None;
        let names = match directory.is_dir() {
            true => fs::file_names(&directory)?,
            false => Vec::new(),
        };
        for name in names {
            let directory = directory.join(name);
            if let Some(report) = read_optional(&directory.join(FILE))?
                && newest
                    .as_ref()
                    .is_none_or(|(newest, _)| newest.started <= report.started)
            {
                newest = Some((report, directory));
            }
        }
        return Ok(newest);
    };
    let directory = directory.join(id);
    match read_optional(&directory.join(FILE))? {
        Some(report) => Ok(Some((report, directory))),
        None => Err(Error::NoBatch {
            id: id.to_owned(),
            directory: batches(target),
        }),
    }
}

/// Writes a mail beside the other files of a report and gives its path.
///
/// # Errors
/// The file cannot be written.
pub fn write_mail(
    report: &Report,
    from: &Address,
    to: &[Address],
    directory: &Utf8Path,
) -> Result<Utf8PathBuf, fs::Error> {
    let path = directory.join("report.eml");
    fs::write_atomic(&path, report::mail(report, from, to).as_bytes())?;
    Ok(path)
}

/// A stage that is over, as a phase: stages of one name in a row are one.
pub(super) fn add_phase(phases: &mut Vec<Phase>, name: &str, start: u128, length: u128) {
    let (start, length) = (seconds(start), seconds(length));
    match phases.last_mut() {
        Some(last) if last.name == name => last.seconds = start + length - last.start,
        _ => phases.push(Phase {
            name: name.to_owned(),
            start,
            seconds: length,
        }),
    }
}

//! The logs of one run: `log/<YYYYMMDD_HHMMSS>/{build,configure,compile,install}.log` and
//! `report-summary.log`.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{LineWriter, Write as _};
use std::time::Instant;

use camino::{Utf8Path, Utf8PathBuf};

use super::fs::{self, Context as _, Error};
use super::inside::{self, Last};
use crate::make::Counts;
use crate::report::Phase;

/// How many runs' logs are kept.
const KEPT: usize = 20;

/// An open set of logs.
#[derive(Debug)]
pub struct RunLog {
    dir: Utf8PathBuf,
    build: LineWriter<File>,
    since: i64,
    started: Instant,
    stages: Vec<(&'static str, u128)>,
    phases: Vec<Phase>,
}

impl RunLog {
    /// Makes `<logs>/<time>` (with a counter behind it where the second is taken), points
    /// `<logs>/latest` at it. Of earlier runs the newest stay, `KEPT` with this one.
    pub fn create(logs: &Utf8Path, now: &jiff::Zoned) -> Result<RunLog, Error> {
        fs::create_dir_all(logs)?;
        drop_old(logs)?;
        let stamp = now.strftime("%Y%m%d_%H%M%S").to_string();
        let mut name = stamp.clone();
        for count in 2.. {
            match std::fs::create_dir(logs.join(&name)) {
                Ok(()) => break,
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                    name = format!("{stamp}.{count:03}")
                }
                Err(source) => {
                    return Err(Error {
                        action: "create directory",
                        path: logs.join(name),
                        source,
                    });
                }
            }
        }
        let latest = logs.join("latest");
        fs::remove_file(&latest)?;
        std::os::unix::fs::symlink(&name, &latest).context("link", &latest)?;
        let dir = logs.join(name);
        let path = dir.join("build.log");
        let build = LineWriter::new(File::create(&path).context("write", &path)?);
        Ok(RunLog {
            dir,
            build,
            since: now.timestamp().as_second(),
            started: Instant::now(),
            stages: Vec::new(),
            phases: Vec::new(),
        })
    }

    /// The run's directory.
    pub fn dir(&self) -> &Utf8Path {
        &self.dir
    }

    /// Adds a line to `build.log`.
    pub fn line(&mut self, text: &str) -> Result<(), Error> {
        writeln!(self.build, "{text}")
            .and_then(|()| self.build.flush())
            .context("write", self.dir.join("build.log"))
    }

    /// Opens the log of a stage; a stage may have several calls.
    pub fn open(&self, stage: &str) -> Result<(Utf8PathBuf, LineWriter<File>), Error> {
        let path = self.dir.join(format!("{stage}.log"));
        inside::check(&path, Last::Followed).context("write", &path)?;
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .context("write", &path)?;
        Ok((path, LineWriter::new(file)))
    }

    /// Notes how long a stage took, in milliseconds.
    pub fn finished(&mut self, stage: &'static str, milliseconds: u128) {
        self.stages.push((stage, milliseconds));
        let start = self.milliseconds().saturating_sub(milliseconds);
        super::report::add_phase(&mut self.phases, stage, start, milliseconds);
    }

    /// The stages with their beginnings.
    pub(super) fn phases(&self) -> Vec<Phase> {
        self.phases.clone()
    }

    /// When the run began, in seconds since 1970.
    pub(super) fn started(&self) -> i64 {
        self.since
    }

    /// Milliseconds since the run began.
    pub fn milliseconds(&self) -> u128 {
        self.started.elapsed().as_millis()
    }

    /// Writes `report-summary.log`: the result, durations, counts and what `facts` adds.
    pub fn summarize(
        &self,
        result: &str,
        counts: Counts,
        facts: &[(&str, String)],
    ) -> Result<(), Error> {
        let mut text = String::new();
        let mut row = |name: &str, value: &str| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name:<20} {value}");
        };
        row("result", result);
        row("duration", &seconds(self.milliseconds()));
        for (stage, milliseconds) in &self.stages {
            row(&format!("  {stage}"), &seconds(*milliseconds));
        }
        for (name, value) in facts {
            row(name, value);
        }
        row("commands", &counts.commands.to_string());
        row("warnings", &counts.warnings.to_string());
        row("section mismatches", &counts.section_mismatches.to_string());
        row("DTS warnings", &counts.dts_warnings.to_string());
        fs::write_atomic(self.dir.join("report-summary.log"), text.as_bytes())
    }
}

/// Milliseconds as seconds with one digit, or minutes and seconds.
pub fn seconds(milliseconds: u128) -> String {
    let tenths = (milliseconds + 50) / 100;
    if tenths < 1200 {
        format!("{}.{} s", tenths / 10, tenths % 10)
    } else {
        format!("{} min {} s", tenths / 600, tenths / 10 % 60)
    }
}

fn drop_old(logs: &Utf8Path) -> Result<(), Error> {
    let mut runs = Vec::new();
    for entry in logs.read_dir_utf8().context("read", logs)? {
        let entry = entry.context("read", logs)?;
        if entry
            .file_name()
            .starts_with(|first: char| first.is_ascii_digit())
            && entry.file_type().context("read", entry.path())?.is_dir()
        {
            runs.push(entry.into_path());
        }
    }
    runs.sort();
    for old in &runs[..runs.len().saturating_sub(KEPT - 1)] {
        fs::remove_dir_all(old)?;
    }
    Ok(())
}

/// The machine, for the report: operating system, kernel, cores, memory.
pub fn machine() -> Vec<(&'static str, String)> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let find = |text: &str, key: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(key))
            .map(|value| value.trim().trim_matches('"').to_owned())
    };
    let system =
        find(&read("/etc/os-release"), "PRETTY_NAME=").unwrap_or_else(|| "unknown".to_owned());
    let memory = find(&read("/proc/meminfo"), "MemTotal:").unwrap_or_else(|| "unknown".to_owned());
    let processor = read("/proc/cpuinfo")
        .lines()
        .find_map(|line| {
            line.strip_prefix("model name")?
                .split_once(':')
                .map(|(_, name)| name.trim().to_owned())
        })
        .unwrap_or_else(|| "unknown".to_owned());
    vec![
        ("machine", system),
        (
            "kernel",
            read("/proc/sys/kernel/osrelease").trim().to_owned(),
        ),
        (
            "processor",
            format!("{processor}, {} cores", super::environment::cores()),
        ),
        ("memory", memory),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_in_one_second_have_two_directories_and_old_ones_go() {
        let directory = tempfile::tempdir().unwrap();
        let logs = Utf8Path::from_path(directory.path()).unwrap().join("log");
        let now = jiff::Timestamp::from_second(0)
            .unwrap()
            .to_zoned(jiff::tz::TimeZone::UTC);
        for _ in 0..=KEPT {
            RunLog::create(&logs, &now).unwrap();
        }
        let last = RunLog::create(&logs, &now).unwrap();
        assert!(
            last.dir()
                .file_name()
                .unwrap()
                .starts_with("19700101_000000")
        );
        let count = logs.read_dir_utf8().unwrap().count();
        assert_eq!(count, KEPT + 1, "the kept runs and `latest`");
    }

    #[test]
    fn durations_read_well() {
        for (milliseconds, text) in [
            (49, "0.0 s"),
            (1_250, "1.3 s"),
            (119_000, "119.0 s"),
            (125_000, "2 min 5 s"),
        ] {
            assert_eq!(seconds(milliseconds), text);
        }
    }
}

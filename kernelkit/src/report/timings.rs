//! Where a build's time went: every command that make ran, by tool and by directory, how many ran
//! at a time, and the chain of commands that no number of cores would shorten.
//!
//! Pure: [`effect::timings`](crate::effect::timings) records the commands.

mod critical;
mod page;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::make::{self, Line};

pub use page::html;

/// Version of the schema; it changes when a reader of the old one would misread the new one.
pub const SCHEMA: u32 = 1;

/// A command as it was recorded, with times in microseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// When it began.
    pub start: u64,
    /// When it ended.
    pub end: u64,
    /// Time on processors, its children's included, in microseconds.
    pub cpu: u64,
    /// The most memory that one of its processes held, in kilobytes.
    pub memory: u64,
    /// The beginning of its text.
    pub command: String,
}

/// A line of make's output, `  CC      init/main.o`, and when it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Microseconds since 1970.
    pub at: u64,
    /// `CC`.
    pub verb: String,
    /// `init/main.o`.
    pub target: String,
}

/// The build that was timed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Build {
    /// Name and version of the program.
    pub tool: String,
    /// The kernel's name in the workspace.
    pub kernel: String,
    /// Its `uname -r`.
    pub release: String,
    /// When make began, in seconds since 1970.
    pub started: i64,
    /// How many commands may run at a time.
    pub jobs: usize,
    /// Cores of the machine.
    pub cores: usize,
}

/// `timings.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Timings {
    /// [`SCHEMA`].
    pub schema: u32,
    /// What was built.
    #[serde(flatten)]
    pub build: Build,
    /// From the first command's beginning to the last one's end.
    pub seconds: f64,
    /// The units' time on processors.
    pub cpu_seconds: f64,
    /// What Kbuild announces: `CC init/main.o`, in the order of their beginnings.
    pub units: Vec<Unit>,
    /// How long no unit ran: make read its files and asked its questions, or waited for others.
    pub idle_seconds: f64,
    /// Sums by verb, the longest first.
    pub tools: Vec<Sum>,
    /// Sums by the directory of the target, the longest first.
    pub directories: Vec<Sum>,
    /// How many units ran at a time, on average in each of equal parts of the build.
    pub parallelism: Vec<f64>,
    /// The longest chain of units that wait for each other, as places in `units`.
    pub critical: Vec<usize>,
    /// Its length: the build takes no less, however many cores there are.
    pub critical_seconds: f64,
}

/// One thing that was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Unit {
    /// Kbuild's word for the tool, such as `CC`: with what else the recipe does, as objtool.
    pub verb: String,
    /// What was made, relative to the object directory.
    pub target: String,
    /// When it began, in seconds since the first command did.
    pub start: f64,
    /// How long it took.
    pub seconds: f64,
    /// Time on processors.
    pub cpu_seconds: f64,
    /// The most memory that one of its processes held.
    pub memory_bytes: u64,
    /// What a script announced inside it, as the link of `vmlinux` does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
}

/// A part of a unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// `NM`, `BTF` …
    pub verb: String,
    /// What is made.
    pub target: String,
    /// When it was announced, in seconds since the first command began.
    pub start: f64,
    /// Until the next one.
    pub seconds: f64,
}

impl Unit {
    fn end(&self) -> f64 {
        self.start + self.seconds
    }

    /// The directory of the target; empty at the top.
    pub fn directory(&self) -> &str {
        self.target
            .rsplit_once('/')
            .map_or("", |(directory, _)| directory)
    }
}

/// Several units together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sum {
    /// What they have in common.
    pub name: String,
    /// How many there are.
    pub count: u64,
    /// Their time, one after the other.
    pub seconds: f64,
    /// Their time on processors.
    pub cpu_seconds: f64,
}

/// In how many parts of the build parallelism is told.
const PARTS: usize = 240;

/// Puts together what was recorded; `shown` is what make printed. Targets below `directory`, the
/// object directory, are told without it.
pub fn analyze(build: Build, directory: &str, records: &[Recorded], shown: &[Shown]) -> Timings {
    let first = records
        .iter()
        .map(|record| record.start)
        .min()
        .unwrap_or_default();
    let last = records
        .iter()
        .map(|record| record.end)
        .max()
        .unwrap_or_default();
    let since = |at: u64| seconds(at.saturating_sub(first));
    let unit = |record: &Recorded| {
        let (verb, target) = announced(&record.command)?;
        Some(Unit {
            verb: verb.to_owned(),
            target: relative(target, directory).to_owned(),
            start: since(record.start),
            seconds: seconds(record.end.saturating_sub(record.start)),
            cpu_seconds: seconds(record.cpu),
            memory_bytes: record.memory * 1024,
            steps: Vec::new(),
        })
    };
    let mut units: Vec<Unit> = records.iter().filter_map(unit).collect();
    units.sort_by(|left, right| left.start.total_cmp(&right.start));
    add_steps(&mut units, shown, &since);
    let length = seconds(last.saturating_sub(first));
    let (critical, critical_seconds) = critical::path(&units);
    Timings {
        schema: SCHEMA,
        build,
        seconds: length,
        cpu_seconds: rounded(units.iter().map(|unit| unit.cpu_seconds).sum(), 1e6),
        idle_seconds: rounded(idle(&units), 1e6),
        tools: tools(&units),
        directories: sums(units.iter().map(|unit| {
            let directory = unit.directory();
            let name = if directory.is_empty() { "." } else { directory };
            (name, unit.seconds, unit.cpu_seconds)
        })),
        parallelism: parallelism(&units, length),
        critical,
        critical_seconds: rounded(critical_seconds, 1e6),
        units,
    }
}

impl Timings {
    /// `timings.json`.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("it has finite numbers");
        text.push('\n');
        text
    }
}

/// No more digits than were measured.
fn rounded(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

fn seconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1e6
}

/// Whether a command makes a unit.
pub fn is_unit(command: &str) -> bool {
    announced(command).is_some()
}

/// What Kbuild prints before a recipe: `set -e; echo '  CC      init/main.o'; …`. The script that
/// links a kernel prints for itself.
fn announced(command: &str) -> Option<(&str, &str)> {
    if command.contains("/link-vmlinux.sh") {
        return Some(("LD", "vmlinux"));
    }
    let start = command.find("echo '  ")? + "echo '".len();
    let line = command[start..].split('\'').next()?;
    match make::classify(line) {
        Line::Command { verb, target } => Some((verb, target)),
        _ => None,
    }
}

/// The make of a tool, such as objtool's, names its files in full.
fn relative<'a>(target: &'a str, directory: &str) -> &'a str {
    let below = target.strip_prefix(directory);
    below
        .and_then(|rest| rest.strip_prefix('/'))
        .unwrap_or(target)
}

/// Of the time from the first unit to the last, what is not covered by any.
fn idle(units: &[Unit]) -> f64 {
    let (mut idle, mut end) = (0.0, 0.0_f64);
    for unit in units {
        idle += (unit.start - end).max(0.0);
        end = end.max(unit.end());
    }
    idle
}

/// Lines that belong to no recipe of their own are steps of the link that runs.
fn add_steps(units: &mut [Unit], shown: &[Shown], since: &impl Fn(u64) -> f64) {
    let known: HashSet<(String, String)> = units
        .iter()
        .map(|unit| (unit.verb.clone(), unit.target.clone()))
        .collect();
    let links = units
        .iter_mut()
        .filter(|unit| unit.target == "vmlinux" || unit.target.starts_with("vmlinux."));
    for unit in links {
        let mut steps: Vec<Step> = Vec::new();
        for line in shown {
            let at = since(line.at);
            let inside = at >= unit.start && at <= unit.end();
            if inside && !known.contains(&(line.verb.clone(), line.target.clone())) {
                steps.push(Step {
                    verb: line.verb.clone(),
                    target: line.target.clone(),
                    start: at,
                    seconds: 0.0,
                });
            }
        }
        let ends: Vec<f64> = steps
            .iter()
            .skip(1)
            .map(|step| step.start)
            .chain([unit.end()])
            .collect();
        for (step, end) in steps.iter_mut().zip(ends) {
            step.seconds = end - step.start;
        }
        unit.steps = steps;
    }
}

/// By verb; a unit with steps counts for them as far as they go.
fn tools(units: &[Unit]) -> Vec<Sum> {
    let steps = units.iter().flat_map(|unit| &unit.steps);
    sums(
        units
            .iter()
            .map(|unit| {
                let inner: f64 = unit.steps.iter().map(|step| step.seconds).sum();
                (
                    unit.verb.as_str(),
                    (unit.seconds - inner).max(0.0),
                    unit.cpu_seconds,
                )
            })
            .chain(steps.map(|step| (step.verb.as_str(), step.seconds, 0.0))),
    )
}

fn sums<'a>(parts: impl Iterator<Item = (&'a str, f64, f64)>) -> Vec<Sum> {
    let mut sums: HashMap<&str, Sum> = HashMap::new();
    for (name, seconds, cpu_seconds) in parts {
        let sum = sums.entry(name).or_default();
        sum.count += 1;
        sum.seconds += seconds;
        sum.cpu_seconds += cpu_seconds;
    }
    let named = sums.into_iter().map(|(name, sum)| Sum {
        name: name.to_owned(),
        count: sum.count,
        seconds: rounded(sum.seconds, 1e6),
        cpu_seconds: rounded(sum.cpu_seconds, 1e6),
    });
    let mut sums: Vec<_> = named.collect();
    sums.sort_by(|left, right| {
        let longest = right.seconds.total_cmp(&left.seconds);
        longest.then_with(|| left.name.cmp(&right.name))
    });
    sums
}

fn parallelism(units: &[Unit], length: f64) -> Vec<f64> {
    if length <= 0.0 {
        return Vec::new();
    }
    let part = length / PARTS as f64;
    let mut busy = vec![0.0; PARTS];
    for unit in units {
        let from = ((unit.start / part) as usize).min(PARTS - 1);
        let to = ((unit.end() / part) as usize).min(PARTS - 1);
        for (index, busy) in busy.iter_mut().enumerate().take(to + 1).skip(from) {
            let (begin, end) = (index as f64 * part, (index + 1) as f64 * part);
            *busy += (unit.end().min(end) - unit.start.max(begin)).max(0.0) / part;
        }
    }
    busy.into_iter()
        .map(|count| rounded(count, 100.0))
        .collect()
}

//! What a batch of builds came to, and how that is told: as `report.json`, as JUnit XML, as a
//! table for a terminal, as one page of HTML, and as a mail.
//!
//! Pure: [`effect::report`](crate::effect::report) gathers a report and writes its files. The
//! model is lenient on purpose: what is not known is `None` or empty, so that a build that never
//! began is told of as well as one that passed.

mod escape;
mod html;
mod junit;
pub mod log;
mod mail;
mod page;
mod text;
pub mod timings;

#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use html::html;
pub use junit::junit;
pub use mail::{Address, InvalidAddress, InvalidServer, Server, mail};
pub use text::{bytes, duration, text};

/// Version of the schema; it changes when a reader of the old one would misread the new one.
pub const SCHEMA: u32 = 1;

/// A batch, finished or stopped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Name and version of the program that built, such as `cargo kernel 0.1.0`.
    pub tool: String,
    /// When the batch began, in seconds since 1970.
    pub started: i64,
    /// Wall time of the whole batch.
    pub seconds: f64,
    /// Cores of the machine.
    pub cores: usize,
    /// Memory of the machine.
    pub memory_bytes: u64,
    /// The kernels, in the order of the batch.
    pub kernels: Vec<Kernel>,
}

/// One kernel of a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Kernel {
    /// Its name in the workspace.
    pub name: String,
    /// The architecture, as cargo kernel names it.
    pub arch: String,
    /// What `make kernelversion` prints.
    #[serde(default)]
    pub version: Option<String>,
    /// The flavour.
    #[serde(default)]
    pub flavour: Option<String>,
    /// Whether it has the debug layer.
    #[serde(default)]
    pub debug: bool,
    /// First line of the compiler's `--version`, or what is known of the toolchain.
    #[serde(default)]
    pub toolchain: Option<String>,
    /// `host`, `shell` or `nix`.
    #[serde(default)]
    pub backend: Option<String>,
    /// The short name of the identity.
    #[serde(default)]
    pub digest: Option<String>,
    /// `uname -r`.
    #[serde(default)]
    pub release: Option<String>,
    /// How it ended.
    pub status: Status,
    /// Where it was taken from, or why it was skipped, in words.
    #[serde(default)]
    pub note: Option<String>,
    /// When it began, in seconds since the batch did.
    #[serde(default)]
    pub start: f64,
    /// Wall time.
    #[serde(default)]
    pub seconds: f64,
    /// Its phases, in order.
    #[serde(default)]
    pub phases: Vec<Phase>,
    /// Size of the image.
    #[serde(default)]
    pub image_bytes: Option<u64>,
    /// How many modules were installed.
    #[serde(default)]
    pub modules_count: Option<u64>,
    /// Size of everything that was installed with the modules.
    #[serde(default)]
    pub modules_bytes: Option<u64>,
    /// Warnings of compiler, assembler and linker.
    #[serde(default)]
    pub warnings: Findings,
    /// References between sections that modpost complains of.
    #[serde(default)]
    pub section_mismatches: Findings,
    /// Warnings of the device tree compiler.
    #[serde(default)]
    pub dtc_warnings: Findings,
    /// What ccache did for it.
    #[serde(default)]
    pub ccache: Option<Ccache>,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<Failure>,
    /// The directory of the run's logs, absolute.
    #[serde(default)]
    pub log: Option<String>,
}

/// How a kernel ended.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Its build failed.
    Failed,
    /// The batch was stopped while it was built.
    Interrupted,
    /// It was not begun.
    Skipped,
    /// It was built.
    Passed,
    /// It was there already.
    Reused,
}

impl Status {
    /// Every status, the worst first.
    pub const ALL: [Status; 5] = [
        Status::Failed,
        Status::Interrupted,
        Status::Skipped,
        Status::Passed,
        Status::Reused,
    ];

    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Failed => "failed",
            Status::Interrupted => "interrupted",
            Status::Skipped => "skipped",
            Status::Passed => "passed",
            Status::Reused => "reused",
        }
    }

    /// A sign that tells the states apart without colours.
    pub fn sign(self) -> char {
        match self {
            Status::Failed => '✗',
            Status::Interrupted => '!',
            Status::Skipped => '–',
            Status::Passed => '✓',
            Status::Reused => '↺',
        }
    }
}

/// A part of a build.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Phase {
    /// `configure`, `compile`, `install`, `devtools` …
    pub name: String,
    /// When it began, in seconds since the batch did.
    pub start: f64,
    /// Wall time.
    pub seconds: f64,
}

/// Things of one kind that a log tells of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Findings {
    /// How many lines there are, repetitions included.
    pub count: u64,
    /// The most frequent ones, at most [`TOP`], each once.
    #[serde(default)]
    pub top: Vec<Finding>,
}

/// How many different findings are kept of each kind.
pub const TOP: usize = 20;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// The file that it is about, where it names one.
    #[serde(default)]
    pub file: Option<String>,
    /// The line in it, from 1.
    #[serde(default)]
    pub line: Option<u32>,
    /// The message, without the place.
    pub message: String,
    /// How often it was said: a header's warning comes with every file that includes it.
    pub count: u64,
}

/// What ccache did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ccache {
    /// Calls that it answered.
    pub hits: u64,
    /// Calls that it passed on to the compiler.
    pub misses: u64,
}

impl Ccache {
    /// Hits of all calls, in percent.
    pub fn percent(self) -> Option<u64> {
        (self.hits * 100).checked_div(self.hits + self.misses)
    }
}

/// Why a kernel failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// The phase, where one had begun.
    #[serde(default)]
    pub phase: Option<String>,
    /// One line that says it.
    pub message: String,
    /// Lines of the log around it.
    #[serde(default)]
    pub context: Vec<String>,
    /// The log that they are from, absolute.
    #[serde(default)]
    pub log: Option<String>,
}

impl Kernel {
    /// A kernel of which nothing else is known.
    pub fn new(name: impl Into<String>, arch: impl Into<String>, status: Status) -> Self {
        Kernel {
            name: name.into(),
            arch: arch.into(),
            version: None,
            flavour: None,
            debug: false,
            toolchain: None,
            backend: None,
            digest: None,
            release: None,
            status,
            note: None,
            start: 0.0,
            seconds: 0.0,
            phases: Vec::new(),
            image_bytes: None,
            modules_count: None,
            modules_bytes: None,
            warnings: Findings::default(),
            section_mismatches: Findings::default(),
            dtc_warnings: Findings::default(),
            ccache: None,
            error: None,
            log: None,
        }
    }
}

/// A report that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is none.
    #[error("this is no report")]
    Malformed(#[source] serde_json::Error),
    /// A newer cargo kernel wrote it.
    #[error("the report has schema {found}, this cargo kernel knows {SCHEMA}")]
    Newer {
        /// Its schema.
        found: u64,
    },
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Error::Malformed(_) => "name the `report.json` of a batch".to_owned(),
            Error::Newer { .. } => "update cargo kernel".to_owned(),
        })
    }
}

impl Report {
    /// `report.json`.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self)
            .expect("a report has string keys and finite numbers");
        text.push('\n');
        text
    }

    /// Reads `report.json`.
    ///
    /// # Errors
    /// Not JSON, not a report, or one of a newer schema.
    pub fn parse(json: &[u8]) -> Result<Report, Error> {
        let value: serde_json::Value = serde_json::from_slice(json).map_err(Error::Malformed)?;
        match value.get("schema").and_then(serde_json::Value::as_u64) {
            Some(found) if found > u64::from(SCHEMA) => Err(Error::Newer { found }),
            _ => serde_json::from_value(value).map_err(Error::Malformed),
        }
    }

    /// How many kernels ended so.
    pub fn count(&self, status: Status) -> usize {
        self.kernels
            .iter()
            .filter(|kernel| kernel.status == status)
            .count()
    }

    /// Whether every kernel is there.
    pub fn passed(&self) -> bool {
        self.kernels
            .iter()
            .all(|kernel| matches!(kernel.status, Status::Passed | Status::Reused))
    }

    /// `2 failed, 1 skipped, 9 passed`.
    pub fn tally(&self) -> String {
        let told: Vec<_> = Status::ALL
            .into_iter()
            .map(|status| (self.count(status), status.as_str()))
            .filter(|(count, _)| *count > 0)
            .map(|(count, status)| format!("{count} {status}"))
            .collect();
        match told.is_empty() {
            true => "no kernels".to_owned(),
            false => told.join(", "),
        }
    }

    /// The machine's work, one lane for what ran at the same time: for each kernel that was
    /// begun its index, lane by lane, in the order of time.
    pub fn lanes(&self) -> Vec<Vec<usize>> {
        let mut order: Vec<usize> = (0..self.kernels.len())
            .filter(|&index| self.kernels[index].seconds > 0.0)
            .collect();
        order.sort_by(|&left, &right| {
            self.kernels[left]
                .start
                .total_cmp(&self.kernels[right].start)
        });
        let mut lanes: Vec<(f64, Vec<usize>)> = Vec::new();
        for index in order {
            let kernel = &self.kernels[index];
            let end = kernel.start + kernel.seconds;
            // Clocks of two processes are read one after the other: a tenth is no overlap.
            let free = lanes
                .iter_mut()
                .find(|(busy, _)| *busy <= kernel.start + 0.1);
            match free {
                Some((busy, lane)) => {
                    *busy = end;
                    lane.push(index);
                }
                None => lanes.push((end, vec![index])),
            }
        }
        lanes.into_iter().map(|(_, lane)| lane).collect()
    }
}

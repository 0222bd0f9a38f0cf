//! When a kernel is built because its source has moved: what a source names now is held against
//! what was built of it.
//!
//! Pure: [`effect::watch`](crate::effect::watch) looks at sources and remembers what was built.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::batch::End;
use crate::source::{Source, is_commit};
use crate::version::Selector;

/// The form of a [`Record`].
pub const SCHEMA: u32 = 1;

/// Why a source names the same at any time, as the end of a sentence that begins with it; [`None`] where it
/// may move.
pub fn stays(source: &Source) -> Option<&'static str> {
    let exact = |selector: &str| matches!(selector.parse(), Ok(Selector::Exact(_)));
    match source {
        Source::Directory { .. } => Some("is a directory"),
        Source::Tarball { .. } => Some("is a tarball"),
        Source::Debian { version, .. } => version.as_ref().map(|_| "is one version of a package"),
        Source::Git { reference, .. } => is_commit(reference).then_some("is a commit"),
        Source::Release { selector } => exact(selector).then_some("is one release"),
    }
}

/// What is remembered of a kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: u32,
    /// What its source named when it was last built: a version or a commit.
    pub found: String,
    /// How that went.
    pub end: Settled,
}

/// How a build went that is not done again before the source has moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Settled {
    /// It is there.
    Built,
    /// It does not compile.
    Failed,
}

/// What is done about a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing: it is built.
    Current,
    /// Nothing: it did not compile, and its source is still the same.
    Broken,
    /// It is built.
    Build {
        /// What its source named before, where that is known.
        from: Option<String>,
    },
}

/// What is done about a kernel whose source names `found` now.
pub fn decide(record: Option<&Record>, found: &str) -> Decision {
    match record {
        Some(record) if record.found == found => match record.end {
            Settled::Built => Decision::Current,
            Settled::Failed => Decision::Broken,
        },
        record => Decision::Build {
            from: record.map(|record| record.found.clone()),
        },
    }
}

/// What is remembered of a build of `found`; [`None`] where it is to be tried again. `phase` is where it
/// failed, in the words of a [report](crate::report::Failure).
///
/// What does not compile will not compile the next time either. Everything that goes wrong before that (a
/// fetch, a patch, a symbol, a tool) takes seconds to try and is cured elsewhere than in the source.
pub fn remember(found: &str, end: End, phase: Option<&str>) -> Option<Record> {
    let end = match (end, phase) {
        (End::Passed | End::Reused, _) => Settled::Built,
        (End::Failed, Some("compile")) => Settled::Failed,
        (End::Failed | End::Skipped | End::Interrupted, _) => return None,
    };
    Some(Record {
        schema: SCHEMA,
        found: found.to_owned(),
        end,
    })
}

/// What a round came to, of so many kernels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Looked at.
    pub watched: usize,
    /// Their sources had moved.
    pub moved: usize,
    /// They were to be built and are not there, or nobody could be told of it.
    pub failed: usize,
    /// Nobody says what their sources name.
    pub unknown: usize,
}

impl Round {
    /// The word for it.
    pub fn outcome(self) -> Outcome {
        match self {
            Round {
                failed: 0,
                unknown: 0,
                moved: 0,
                ..
            } => Outcome::Nothing,
            Round {
                failed: 0,
                unknown: 0,
                ..
            } => Outcome::Built,
            _ => Outcome::Incomplete,
        }
    }
}

/// What a round came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No source had moved.
    Nothing,
    /// What had moved is built.
    Built,
    /// Something failed, or could not be looked at.
    Incomplete,
}

/// A version, or the beginning of a commit's id.
pub fn short(found: &str) -> &str {
    match is_commit(found) {
        true => &found[..12],
        false => found,
    }
}

/// How long to wait between two looks: `30m`, `1h 30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval(Duration);

impl Interval {
    /// As a length of time.
    pub fn duration(self) -> Duration {
        self.0
    }
}

/// No length of time that can be waited between two looks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a time of a second at least, such as `90s`, `30m`, `1h 30m` or `1d`")]
pub struct InvalidInterval;

impl FromStr for Interval {
    type Err = InvalidInterval;
    fn from_str(text: &str) -> Result<Self, InvalidInterval> {
        // A day is no fixed time to everybody, but it is one for a server that looks around.
        let days = text
            .trim()
            .strip_suffix('d')
            .and_then(|days| days.parse::<i64>().ok());
        let time = match days {
            Some(days) => jiff::SignedDuration::try_from_hours(days.saturating_mul(24)),
            None => text.parse().ok(),
        };
        let time = time.and_then(|time| Duration::try_from(time).ok());
        time.filter(|time| *time >= Duration::from_secs(1))
            .map(Interval)
            .ok_or(InvalidInterval)
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::SignedDuration::try_from(self.0) {
            Ok(time) => write!(f, "{time:#}"),
            Err(_) => write!(f, "{}s", self.0.as_secs()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::parse_source;

    fn built(found: &str) -> Record {
        remember(found, End::Passed, None).unwrap()
    }

    #[test]
    fn a_kernel_is_built_when_its_source_moves_and_only_then() {
        let build = |from: Option<&str>| Decision::Build {
            from: from.map(str::to_owned),
        };
        let broken = remember("2", End::Failed, Some("compile")).unwrap();
        let rows = [
            (None, "1", build(None)),
            (Some(built("1")), "1", Decision::Current),
            (Some(built("1")), "2", build(Some("1"))),
            // A branch that was set back has moved as well.
            (Some(built("2")), "1", build(Some("2"))),
            (Some(broken.clone()), "2", Decision::Broken),
            (Some(broken), "3", build(Some("2"))),
        ];
        for (record, found, expected) in rows {
            assert_eq!(
                decide(record.as_ref(), found),
                expected,
                "{record:?} {found}"
            );
        }
    }

    #[test]
    fn what_did_not_come_to_the_compiler_is_tried_again() {
        let rows = [
            (End::Passed, None, Some(Settled::Built)),
            (End::Reused, None, Some(Settled::Built)),
            (End::Failed, Some("compile"), Some(Settled::Failed)),
            (End::Failed, Some("plan"), None),
            (End::Failed, Some("configure"), None),
            (End::Failed, None, None),
            (End::Skipped, None, None),
            (End::Interrupted, Some("compile"), None),
        ];
        for (end, phase, expected) in rows {
            let record = remember("1", end, phase);
            assert_eq!(
                record.map(|record| record.end),
                expected,
                "{end:?} {phase:?}"
            );
        }
    }

    #[test]
    fn sources_that_always_name_the_same_are_told_apart() {
        for (text, moves) in [
            ("6.12", true),
            ("6.12.y", true),
            ("stable", true),
            ("mainline", true),
            ("6.12.117", false),
            ("7.3-rc4", false),
            ("debian:linux-source-6.12", true),
            ("debian:linux-source-6.12=6.12.117-1", false),
            ("git+https://example.org/linux.git#master", true),
            ("git+../linux#v6.12", true),
            (
                "git+../linux#0123456789012345678901234567890123456789",
                false,
            ),
            ("../linux", false),
            ("https://example.org/linux-6.12.tar.xz", false),
        ] {
            let source = parse_source(text, "/w".into()).unwrap();
            assert_eq!(stays(&source).is_none(), moves, "{text}");
        }
    }

    #[test]
    fn a_round_that_is_not_whole_is_neither_built_nor_nothing() {
        let round = |moved, failed, unknown| {
            let watched = 4;
            Round {
                watched,
                moved,
                failed,
                unknown,
            }
            .outcome()
        };
        assert_eq!(round(0, 0, 0), Outcome::Nothing);
        assert_eq!(round(2, 0, 0), Outcome::Built);
        assert_eq!(round(2, 1, 0), Outcome::Incomplete);
        assert_eq!(round(0, 0, 1), Outcome::Incomplete);
        assert_eq!(round(2, 0, 1), Outcome::Incomplete);
    }

    #[test]
    fn intervals_are_times_with_units() {
        for (text, seconds) in [
            ("90s", Some(90)),
            ("30m", Some(1800)),
            ("1h 30m", Some(5400)),
            ("1h30m", Some(5400)),
            ("2d", Some(172_800)),
            ("0s", None),
            ("10ms", None),
            ("-1h", None),
            ("30", None),
            ("soon", None),
            ("", None),
        ] {
            let interval = text.parse::<Interval>().ok();
            let expected = seconds.map(Duration::from_secs);
            assert_eq!(interval.map(Interval::duration), expected, "{text}");
            if let Some(interval) = interval {
                assert_eq!(interval.to_string().parse(), Ok(interval));
            }
        }
    }

    #[test]
    fn commits_are_shortened_and_versions_are_not() {
        assert_eq!(
            short("0123456789012345678901234567890123456789"),
            "012345678901"
        );
        assert_eq!(short("6.12.117-1~deb12u1"), "6.12.117-1~deb12u1");
    }
}

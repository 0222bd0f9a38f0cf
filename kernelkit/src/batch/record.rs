//! What is on disk about a batch.

use serde::{Deserialize, Serialize};

use super::End;
use crate::source::Sha256;

/// The form of the files below.
pub const SCHEMA: u32 = 1;

/// `batch.json`: what a batch is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Which one: what [`id`] gives.
    pub id: String,
    /// When its last run began, in seconds since 1970.
    pub started: i64,
    /// How many times it was begun before it was done.
    pub runs: u32,
    /// Whether its last run came to its end.
    pub done: bool,
    /// The kernels, in order.
    pub kernels: Vec<String>,
}

/// `<kernel>.json`: how far a kernel has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelRecord {
    /// `waiting`, `started`, or how it ended.
    pub state: String,
    /// Whether nothing more will happen to it in this run.
    pub done: bool,
    /// What it is called, once it is planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// When it was begun in this run, in milliseconds since the run's beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<u64>,
    /// How long it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub milliseconds: Option<u64>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl KernelRecord {
    /// Not begun.
    pub fn waiting() -> Self {
        KernelRecord {
            state: "waiting".to_owned(),
            done: false,
            release: None,
            start: None,
            milliseconds: None,
            error: None,
        }
    }

    /// Begun, so long after the run's beginning.
    pub fn started(start: u64) -> Self {
        KernelRecord {
            state: "started".to_owned(),
            start: Some(start),
            ..KernelRecord::waiting()
        }
    }

    /// The same, ended.
    #[must_use]
    pub fn ended(self, end: End) -> Self {
        KernelRecord {
            state: end.to_string(),
            done: true,
            ..self
        }
    }
}

/// What names a batch: the same kernels are the same batch, whatever their order, so that the same
/// command goes on with it.
pub fn id<'a>(kernels: impl IntoIterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = kernels.into_iter().collect();
    names.sort_unstable();
    let digest = Sha256::of(names.join("\n").as_bytes()).to_string();
    digest[..12].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_follows_the_kernels_and_not_their_order() {
        assert_eq!(id(["a", "b"]), id(["b", "a"]));
        assert_ne!(id(["a", "b"]), id(["a"]));
        assert_eq!(id(["a"]).len(), 12);
    }

    #[test]
    fn a_record_reads_what_it_writes() {
        let record = KernelRecord::started(3).ended(End::Passed);
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(text, r#"{"state":"passed","done":true,"start":3}"#);
        assert_eq!(serde_json::from_str::<KernelRecord>(&text).unwrap(), record);
    }
}

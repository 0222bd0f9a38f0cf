//! Wall time of a task.
#![allow(
    clippy::disallowed_methods,
    reason = "the library gets the clock as a value; timing its tasks is a task runner's own business"
)]

use std::time::{Duration, Instant};

/// Runs `task` and says how long it took.
pub(crate) fn time<T>(task: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let value = task();
    (value, start.elapsed())
}

//! Counts what passed: tests as their harness counts them, other steps as one each.

use std::fmt;

/// How many tests and checks passed, failed and were left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) passed: usize,
    pub(super) failed: usize,
    pub(super) ignored: usize,
}

impl Tally {
    /// Adds the closing line of a test binary, such as
    /// `test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out`.
    /// Any other line counts nothing.
    pub(super) fn read(&mut self, line: &str) {
        let Some(counts) = line.strip_prefix("test result: ") else {
            return;
        };
        let count = |word: &str| {
            counts
                .split([';', '.'])
                .find_map(|part| part.trim().strip_suffix(word)?.trim().parse().ok())
                .unwrap_or(0)
        };
        self.passed += count("passed");
        self.failed += count("failed");
        self.ignored += count("ignored");
    }

    /// Closes a step: one that ran no test counts as one check, and one that failed
    /// without a failed test (it did not compile) counts as one failure.
    pub(super) fn end_step(&mut self, before: Tally, ok: bool) {
        match ok {
            true if *self == before => self.passed += 1,
            false if self.failed == before.failed => self.failed += 1,
            _ => {}
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        match self.ignored {
            0 => Ok(()),
            ignored => write!(f, ", {ignored} ignored"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(lines: &[&str], ok: bool) -> String {
        let mut tally = Tally::default();
        for line in lines {
            tally.read(line);
        }
        tally.end_step(Tally::default(), ok);
        tally.to_string()
    }

    #[test]
    fn tests_count_as_the_harness_counts_them() {
        let ok = "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        let failed = "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        let rows: &[(&[&str], bool, &str)] = &[
            (&[ok, "12 passed"], true, "12 passed, 0 failed, 1 ignored"),
            (&[ok, failed], false, "15 passed, 2 failed, 1 ignored"),
            (&[ok], false, "12 passed, 1 failed, 1 ignored"),
            (&[], true, "1 passed, 0 failed"),
            (&["error: could not compile"], false, "0 passed, 1 failed"),
        ];
        for (lines, ok, expected) in rows {
            assert_eq!(after(lines, *ok), *expected, "{lines:?}");
        }
    }
}

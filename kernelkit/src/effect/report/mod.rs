//! Gathers what a report tells of finished builds, and writes its files.

use camino::{Utf8Path, Utf8PathBuf};

use super::fs;
use crate::report::{self, Report};

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

/// Writes `report.json`, `report.xml` and `report.html` into `directory`, which is made.
///
/// # Errors
/// A file cannot be written.
pub fn write(report: &Report, directory: &Utf8Path) -> Result<Written, fs::Error> {
    fs::create_dir_all(directory)?;
    let written = Written {
        json: directory.join("report.json"),
        junit: directory.join("report.xml"),
        html: directory.join("report.html"),
    };
    fs::write_atomic(&written.junit, report::junit(report).as_bytes())?;
    fs::write_atomic(&written.html, report::html(report, directory).as_bytes())?;
    fs::write_atomic(&written.json, report.to_json().as_bytes())?;
    Ok(written)
}

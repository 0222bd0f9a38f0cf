//! A report as one page of HTML that needs nothing else.

use camino::Utf8Path;

use super::Report;
use super::escape::Escaped;
use super::text::text;

/// `report.html`, to lie in `directory`, relative to which the logs are linked.
pub fn html(report: &Report, directory: &Utf8Path) -> String {
    let _ = directory;
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/><title>{}</title></head><body><pre>{}</pre></body></html>\n",
        Escaped(&report.tally()),
        Escaped(&text(report))
    )
}

//! A report as a table for a terminal and for the plain part of a mail.

use std::fmt::Write as _;

use super::{Kernel, Report, Status};

/// How many lines of an error's context are shown.
const CONTEXT: usize = 12;

/// The table, the failures below it, and the sum.
pub fn text(report: &Report) -> String {
    let mut rows = vec![
        [
            "", "KERNEL", "VERSION", "ARCH", "TIME", "IMAGE", "MODULES", "WARN", "CCACHE",
        ]
        .map(str::to_owned),
    ];
    rows.extend(report.kernels.iter().map(row));
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            // Names to the left, numbers to the right; a column nobody fills takes no room.
            if rows[1..].iter().all(|row| row[column].is_empty()) {
                continue;
            }
            let _ = match column {
                0..=3 => write!(line, "{cell:<width$}  "),
                _ => write!(line, "{cell:>width$}  "),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    for kernel in &report.kernels {
        failure(&mut text, kernel);
    }
    let _ = writeln!(text, "\n{} in {}", report.tally(), duration(report.seconds));
    text
}

fn row(kernel: &Kernel) -> [String; 9] {
    let or_empty = |value: Option<String>| value.unwrap_or_default();
    let count =
        match kernel.warnings.count + kernel.section_mismatches.count + kernel.dtc_warnings.count {
            0 => String::new(),
            count => count.to_string(),
        };
    [
        format!("{} {}", kernel.status.sign(), kernel.status.as_str()),
        clean(&kernel.name),
        clean(kernel.version.as_deref().unwrap_or_default()),
        clean(&kernel.arch),
        match kernel.seconds > 0.0 {
            true => duration(kernel.seconds),
            false => String::new(),
        },
        or_empty(kernel.image_bytes.map(bytes)),
        or_empty(
            kernel
                .modules_count
                .filter(|count| *count > 0)
                .map(|count| count.to_string()),
        ),
        count,
        or_empty(
            kernel
                .ccache
                .and_then(|ccache| ccache.percent())
                .map(|percent| format!("{percent} %")),
        ),
    ]
}

fn failure(text: &mut String, kernel: &Kernel) {
    let Some(error) = &kernel.error else {
        if let (Status::Skipped | Status::Interrupted, Some(note)) = (kernel.status, &kernel.note) {
            let _ = writeln!(text, "\n{}: {}", clean(&kernel.name), clean(note));
        }
        return;
    };
    let phase = match &error.phase {
        Some(phase) => format!(" ({})", clean(phase)),
        None => String::new(),
    };
    let _ = writeln!(
        text,
        "\n{}{phase}: {}",
        clean(&kernel.name),
        clean(&error.message)
    );
    for line in error.context.iter().take(CONTEXT) {
        let _ = writeln!(text, "    {}", clean(line));
    }
    if let Some(more) = error
        .context
        .len()
        .checked_sub(CONTEXT)
        .filter(|more| *more > 0)
    {
        let _ = writeln!(text, "    … {more} more lines");
    }
    if let Some(log) = error.log.as_ref().or(kernel.log.as_ref()) {
        let _ = writeln!(text, "    log: {}", clean(log));
    }
}

/// What a log says must not steer the terminal.
fn clean(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '\t' => ' ',
            control if control.is_control() => '\u{fffd}',
            other => other,
        })
        .collect()
}

/// Seconds as `9.3 s`, `4 min 07 s` or `1 h 02 min`.
pub fn duration(seconds: f64) -> String {
    let tenths = (seconds.max(0.0) * 10.0).round() as u64;
    let whole = (tenths + 5) / 10;
    match whole {
        0..60 => format!("{}.{} s", tenths / 10, tenths % 10),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole / 60 % 60),
    }
}

/// Bytes as `512 B`, `8.4 MiB` …
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let (mut value, mut unit) = (count as f64 / 1024.0, 0);
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match value < 100.0 {
        true => format!("{value:.1} {}", UNITS[unit]),
        false => format!("{value:.0} {}", UNITS[unit]),
    }
}

//! A report as JUnit XML, as CI systems read it: a suite for each architecture, a test for each
//! kernel.

use std::fmt::Write as _;

use super::escape::Escaped;
use super::text::{bytes, duration};
use super::{Kernel, Report, Status};

/// `report.xml`. Elements and attributes are those that Jenkins, GitLab, GitHub's reporters and
/// the Maven Surefire schema have in common.
pub fn junit(report: &Report) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let all: Vec<&Kernel> = report.kernels.iter().collect();
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(
        xml,
        "<testsuites name=\"{}\" {}>",
        Escaped(&report.tool),
        counts(&all, report.seconds)
    );
    let mut arches: Vec<&str> = Vec::new();
    for kernel in &report.kernels {
        if !arches.contains(&kernel.arch.as_str()) {
            arches.push(&kernel.arch);
        }
    }
    let timestamp = jiff::Timestamp::from_second(report.started).unwrap_or_default();
    for arch in arches {
        let kernels: Vec<&Kernel> = all
            .iter()
            .copied()
            .filter(|kernel| kernel.arch == arch)
            .collect();
        let seconds = kernels.iter().map(|kernel| kernel.seconds).sum();
        let _ = writeln!(
            xml,
            "  <testsuite name=\"{}\" {} timestamp=\"{}\">",
            Escaped(arch),
            counts(&kernels, seconds),
            timestamp.strftime("%Y-%m-%dT%H:%M:%S")
        );
        for kernel in kernels {
            case(&mut xml, kernel);
        }
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

fn counts(kernels: &[&Kernel], seconds: f64) -> String {
    let count = |status| {
        kernels
            .iter()
            .filter(|kernel| kernel.status == status)
            .count()
    };
    format!(
        "tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{seconds:.3}\"",
        kernels.len(),
        count(Status::Failed),
        count(Status::Interrupted),
        count(Status::Skipped),
    )
}

fn case(xml: &mut String, kernel: &Kernel) {
    let class = match &kernel.version {
        Some(version) => format!("kernel.{}.{version}", kernel.arch),
        None => format!("kernel.{}", kernel.arch),
    };
    let _ = writeln!(
        xml,
        "    <testcase name=\"{}\" classname=\"{}\" time=\"{:.3}\">",
        Escaped(&kernel.name),
        Escaped(&class),
        kernel.seconds
    );
    let note = kernel.note.as_deref().unwrap_or_default();
    match kernel.status {
        Status::Passed | Status::Reused => {}
        Status::Skipped => {
            let _ = writeln!(xml, "      <skipped message=\"{}\"/>", Escaped(note));
        }
        Status::Failed | Status::Interrupted => {
            let element = match kernel.status {
                Status::Failed => "failure",
                _ => "error",
            };
            let (message, phase, context) = match &kernel.error {
                Some(error) => (
                    error.message.as_str(),
                    error.phase.as_deref().unwrap_or(element),
                    error.context.join("\n"),
                ),
                None => (note, element, String::new()),
            };
            let message = match message {
                "" => kernel.status.as_str(),
                message => message,
            };
            let _ = writeln!(
                xml,
                "      <{element} message=\"{}\" type=\"{}\">{}</{element}>",
                Escaped(message),
                Escaped(phase),
                Escaped(&context)
            );
        }
    }
    let mut facts = String::new();
    for (name, value) in facts_of(kernel) {
        let _ = writeln!(facts, "{name}: {value}");
    }
    let _ = writeln!(
        xml,
        "      <system-out>{}</system-out>\n    </testcase>",
        Escaped(&facts)
    );
}

/// What is known of a kernel, in words.
fn facts_of(kernel: &Kernel) -> Vec<(&'static str, String)> {
    let mut facts = vec![("status", kernel.status.as_str().to_owned())];
    let mut add = |name, value: Option<String>| facts.extend(value.map(|value| (name, value)));
    add("release", kernel.release.clone());
    add("identity", kernel.digest.clone());
    add("toolchain", kernel.toolchain.clone());
    add("backend", kernel.backend.clone());
    add("note", kernel.note.clone());
    for phase in &kernel.phases {
        add(
            "phase",
            Some(format!("{} {}", phase.name, duration(phase.seconds))),
        );
    }
    add("image", kernel.image_bytes.map(bytes));
    add(
        "modules",
        kernel.modules_count.map(|count| {
            let size = kernel
                .modules_bytes
                .map_or_else(String::new, |size| format!(", {}", bytes(size)));
            format!("{count}{size}")
        }),
    );
    for (name, findings) in [
        ("warnings", &kernel.warnings),
        ("section mismatches", &kernel.section_mismatches),
        ("DTS warnings", &kernel.dtc_warnings),
    ] {
        add(
            name,
            (findings.count > 0).then(|| findings.count.to_string()),
        );
    }
    add(
        "ccache",
        kernel
            .ccache
            .map(|ccache| format!("{} hits, {} misses", ccache.hits, ccache.misses)),
    );
    add("log", kernel.log.clone());
    facts
}

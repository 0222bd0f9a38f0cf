//! A report as one page of HTML.

use std::fmt::Write as _;

use camino::Utf8Path;

use super::escape::Escaped;
use super::page::{axis, fit, moment, page, reference, tiles};
use super::text::{bytes, duration};
use super::{Ccache, Findings, Kernel, Report, Status};

/// `report.html`, to lie in `directory`, relative to which the logs are linked.
pub fn html(report: &Report, directory: &Utf8Path) -> String {
    let place = Place::Directory(directory);
    page(&title(report), &body(report, place), true)
}

/// The page as a part of a mail: without links into this machine and without what mail programs
/// do not show, scripts and drawings.
pub(super) fn mail_html(report: &Report) -> String {
    page(&title(report), &body(report, Place::Mail), false)
}

/// Where a page is read.
#[derive(Clone, Copy)]
enum Place<'a> {
    Directory(&'a Utf8Path),
    Mail,
}

impl Place<'_> {
    /// `path` as a link, or as a word.
    fn link(self, path: &str, words: &str) -> String {
        match self {
            Place::Directory(directory) => format!(
                "<a href=\"{}\">{}</a>",
                reference(directory, Utf8Path::new(path)),
                Escaped(words)
            ),
            Place::Mail => format!("<code>{}</code>", Escaped(path)),
        }
    }
}

/// What the page and a mail's subject say first.
pub(super) fn title(report: &Report) -> String {
    match report.kernels.len() {
        1 => format!("Kernel {}: {}", report.kernels[0].name, report.tally()),
        count => format!("{count} kernels: {}", report.tally()),
    }
}

fn body(report: &Report, place: Place<'_>) -> String {
    let mut html = header(report);
    html.push_str("<main>\n");
    failures(&mut html, report, place);
    if report.kernels.len() > 1 {
        grid(&mut html, report);
    }
    if matches!(place, Place::Directory(_)) {
        timeline(&mut html, report);
    }
    kernels(&mut html, report, place);
    findings(&mut html, report);
    let _ = write!(
        html,
        "</main>\n<footer>Written by {}. Beside this page: <code>report.json</code> for programs, \
         <code>report.xml</code> for CI systems.</footer>\n",
        Escaped(&report.tool)
    );
    html
}

fn header(report: &Report) -> String {
    let mut facts = vec![
        moment(report.started),
        format!("{} cores", report.cores),
        format!("{} of memory", bytes(report.memory_bytes)),
        report.tool.clone(),
    ];
    facts.retain(|fact| fact != "0 cores" && fact != "0 B of memory");
    let mut numbers: Vec<(String, &str)> = Status::ALL
        .into_iter()
        .map(|status| (report.count(status), status))
        .filter(|(count, _)| *count > 0)
        .map(|(count, status)| (format!("{} {count}", status.sign()), status.as_str()))
        .collect();
    numbers.push((duration(report.seconds), "wall time"));
    let work: f64 = report.kernels.iter().map(|kernel| kernel.seconds).sum();
    if report.kernels.len() > 1 {
        numbers.push((duration(work), "sum of the builds"));
    }
    let sum = |of: fn(&Kernel) -> u64| report.kernels.iter().map(of).sum::<u64>();
    let ccache = Ccache {
        hits: sum(|kernel| kernel.ccache.map_or(0, |ccache| ccache.hits)),
        misses: sum(|kernel| kernel.ccache.map_or(0, |ccache| ccache.misses)),
    };
    if let Some(percent) = ccache.percent() {
        numbers.push((format!("{percent} %"), "ccache hits"));
    }
    numbers.push((sum(|kernel| kernel.warnings.count).to_string(), "warnings"));
    for (count, what) in [
        (
            sum(|kernel| kernel.section_mismatches.count),
            "section mismatches",
        ),
        (sum(|kernel| kernel.dtc_warnings.count), "DTS warnings"),
    ] {
        if count > 0 {
            numbers.push((count.to_string(), what));
        }
    }
    format!(
        "<header>\n<h1>{}</h1>\n<div class=\"quiet\">{}</div>\n{}</header>\n",
        Escaped(&title(report)),
        Escaped(&facts.join(" · ")),
        tiles(&numbers)
    )
}

fn state(status: Status) -> String {
    let word = status.as_str();
    format!(
        "<span class=\"state {word}\">{} {word}</span>",
        status.sign()
    )
}

fn failures(html: &mut String, report: &Report, place: Place<'_>) {
    let bad = |kernel: &&Kernel| {
        kernel.error.is_some() || matches!(kernel.status, Status::Failed | Status::Interrupted)
    };
    let bad: Vec<&Kernel> = report.kernels.iter().filter(bad).collect();
    if bad.is_empty() {
        return;
    }
    html.push_str("<section>\n<h2>What went wrong</h2>\n");
    for kernel in bad {
        let _ = write!(
            html,
            "<article class=\"card bad\">\n<h3>{} {}</h3>\n<p class=\"quiet\">{}</p>\n",
            state(kernel.status),
            Escaped(&kernel.name),
            Escaped(&described(kernel))
        );
        let Some(error) = &kernel.error else {
            let note = kernel.note.as_deref().unwrap_or("nothing more is known");
            let _ = writeln!(html, "<p>{}</p>\n</article>", Escaped(note));
            continue;
        };
        let phase = error
            .phase
            .as_deref()
            .map_or(String::new(), |phase| format!("{phase}: "));
        let _ = writeln!(
            html,
            "<p><strong>{}{}</strong></p>",
            Escaped(&phase),
            Escaped(&error.message)
        );
        if !error.context.is_empty() {
            html.push_str("<pre tabindex=\"0\">");
            for line in &error.context {
                let here = line.contains(&error.message)
                    || error.message.contains(line.trim()) && !line.trim().is_empty();
                let _ = match here {
                    true => writeln!(html, "<span class=\"here\">{}</span>", Escaped(line)),
                    false => writeln!(html, "{}", Escaped(line)),
                };
            }
            html.push_str("</pre>\n");
        }
        if let Some(log) = error.log.as_ref().or(kernel.log.as_ref()) {
            let name = Utf8Path::new(log).file_name().unwrap_or("the logs");
            let _ = writeln!(html, "<p>The whole output: {}</p>", place.link(log, name));
        }
        html.push_str("</article>\n");
    }
    html.push_str("</section>\n");
}

/// `6.12.94 · kvm · debug · arm64 · gcc 12.2.0`.
fn described(kernel: &Kernel) -> String {
    let parts = [
        kernel.version.clone(),
        kernel.flavour.clone(),
        kernel.debug.then(|| "debug".to_owned()),
        Some(kernel.arch.clone()),
        kernel.toolchain.as_deref().map(short_toolchain),
        kernel.release.clone(),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

/// `gcc 12.2.0` of the first line of `gcc --version`, and of Clang's in the same way.
pub(super) fn short_toolchain(line: &str) -> String {
    let family = match () {
        () if line.contains("clang") => "clang",
        () if line.contains("gcc") => "gcc",
        () => return line.to_owned(),
    };
    let version = line
        .split_whitespace()
        .rev()
        .find(|word| word.starts_with(|first: char| first.is_ascii_digit()) && word.contains('.'));
    match version {
        Some(version) => format!("{family} {version}"),
        None => family.to_owned(),
    }
}

/// Distinct values in the order of their first appearance.
fn distinct<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut distinct = Vec::new();
    for value in values {
        if !distinct.contains(&value) {
            distinct.push(value);
        }
    }
    distinct
}

fn grid(html: &mut String, report: &Report) {
    fn row(kernel: &Kernel) -> (&str, String) {
        let version = kernel.version.as_deref().unwrap_or("unknown version");
        (version, flavour(kernel))
    }
    // What never came to its compiler stands with the others of its architecture.
    let of_arch = |arch: &str| {
        let mut others = report.kernels.iter().filter(|other| other.arch == arch);
        others.find_map(|other| other.toolchain.as_deref())
    };
    let column = |kernel: &Kernel| {
        let toolchain = kernel
            .toolchain
            .as_deref()
            .or_else(|| of_arch(&kernel.arch));
        (
            kernel.arch.clone(),
            toolchain.map(short_toolchain).unwrap_or_default(),
        )
    };
    let rows = distinct(report.kernels.iter().map(row));
    let columns = distinct(report.kernels.iter().map(column));
    html.push_str(
        "<section>\n<h2>Matrix</h2>\n<div class=\"wide\">\n<table class=\"grid\">\n<thead><tr><th scope=\"col\">Version</th>",
    );
    for (arch, toolchain) in &columns {
        let _ = write!(
            html,
            "<th scope=\"col\">{}{}</th>",
            Escaped(arch),
            small(toolchain)
        );
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for wanted_row in &rows {
        let (version, flavour) = wanted_row;
        let _ = write!(
            html,
            "<tr><th scope=\"row\">{}{}</th>",
            Escaped(version),
            small(flavour)
        );
        for wanted in &columns {
            html.push_str("<td>");
            let mut empty = true;
            for (index, kernel) in report.kernels.iter().enumerate() {
                if row(kernel) != *wanted_row || column(kernel) != *wanted {
                    continue;
                }
                empty = false;
                let time = match kernel.seconds > 0.0 {
                    true => format!("<span class=\"time\">{}</span>", duration(kernel.seconds)),
                    false => String::new(),
                };
                let _ = write!(
                    html,
                    "<div><a href=\"#kernel-{index}\">{}</a>{time}{}</div>",
                    state(kernel.status),
                    small(&kernel.name)
                );
            }
            html.push_str(match empty {
                true => "<span class=\"quiet\">not in the matrix</span></td>",
                false => "</td>",
            });
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody>\n</table>\n</div>\n</section>\n");
}

/// The colour of a phase.
fn colour(phase: &str) -> usize {
    match phase {
        "configure" => 0,
        "compile" => 1,
        "install" => 2,
        "devtools" => 3,
        "fetch" | "unpack" => 5,
        _ => 4,
    }
}

fn timeline(html: &mut String, report: &Report) {
    const LEFT: f64 = 64.0;
    const WIDTH: f64 = 1110.0;
    const LANE: f64 = 44.0;
    let lanes = report.lanes();
    let end = report
        .kernels
        .iter()
        .map(|kernel| kernel.start + kernel.seconds)
        .fold(report.seconds, f64::max);
    if lanes.is_empty() || end <= 0.0 {
        return;
    }
    let height = lanes.len() as f64 * LANE + 4.0;
    let x = |at: f64| LEFT + at / end * WIDTH;
    let _ = write!(
        html,
        "<section>\n<h2>Timeline</h2>\n<div class=\"card wide\">\n\
         <svg viewBox=\"0 0 1200 {:.0}\" role=\"img\" aria-label=\"When each kernel was built; the table below has the same durations\">\n{}",
        height + 22.0,
        axis(LEFT, WIDTH, height, end)
    );
    for (number, lane) in lanes.iter().enumerate() {
        let y = number as f64 * LANE;
        let _ = writeln!(
            html,
            "<text class=\"quiet\" x=\"0\" y=\"{:.0}\">lane {}</text>",
            y + 31.0,
            number + 1
        );
        for (position, &index) in lane.iter().enumerate() {
            let kernel = &report.kernels[index];
            bar(html, kernel, &x, y);
            // The name may go on over the empty time before the next kernel of the lane.
            let next = lane
                .get(position + 1)
                .map_or(LEFT + WIDTH, |&next| x(report.kernels[next].start));
            let bad = matches!(kernel.status, Status::Failed | Status::Interrupted);
            let sign = kernel.status.sign();
            let name = fit(
                &format!("{sign} {}", kernel.name),
                next - x(kernel.start) - 6.0,
            );
            if let Some(name) = name.or_else(|| bad.then(|| sign.to_string())) {
                let class = if bad { " class=\"badtext\"" } else { "" };
                let _ = writeln!(
                    html,
                    "<text{class} x=\"{:.1}\" y=\"{:.0}\">{}</text>",
                    x(kernel.start) + 1.0,
                    y + 15.0,
                    Escaped(&name)
                );
            }
        }
    }
    html.push_str("</svg>\n<ul class=\"legend\">\n");
    let phases = report.kernels.iter().flat_map(|kernel| &kernel.phases);
    for phase in distinct(phases.map(|phase| phase.name.as_str())) {
        let _ = writeln!(
            html,
            "<li><i class=\"p{}\"></i>{}</li>",
            colour(phase),
            Escaped(phase)
        );
    }
    html.push_str(
        "<li><i class=\"p4\" style=\"opacity:.4\"></i>other</li>\n</ul>\n</div>\n</section>\n",
    );
}

/// A kernel in its lane.
fn bar(html: &mut String, kernel: &Kernel, x: &impl Fn(f64) -> f64, y: f64) {
    let from = x(kernel.start);
    let width = (x(kernel.start + kernel.seconds) - from).max(1.5);
    let top = y + 20.0;
    let _ = write!(
        html,
        "<g><title>{}: {}, {} from {}</title><rect class=\"frame\" x=\"{from:.1}\" y=\"{top:.0}\" width=\"{width:.1}\" height=\"18\"/>",
        Escaped(&kernel.name),
        kernel.status.as_str(),
        duration(kernel.seconds),
        duration(kernel.start)
    );
    for phase in &kernel.phases {
        let from = x(phase.start);
        let _ = write!(
            html,
            "<rect class=\"p{}\" x=\"{from:.1}\" y=\"{top:.0}\" width=\"{:.1}\" height=\"18\"><title>{} {}: {}</title></rect>",
            colour(&phase.name),
            (x(phase.start + phase.seconds) - from).max(0.6),
            Escaped(&kernel.name),
            Escaped(&phase.name),
            duration(phase.seconds)
        );
    }
    if matches!(kernel.status, Status::Failed | Status::Interrupted) {
        let _ = write!(
            html,
            "<rect class=\"bad\" x=\"{from:.1}\" y=\"{top:.0}\" width=\"{width:.1}\" height=\"18\"/>"
        );
    }
    html.push_str("</g>\n");
}

/// A cell: what it is sorted by, and what it shows as HTML.
struct Cell {
    value: String,
    shown: String,
}

impl Cell {
    fn text(text: &str, below: &str) -> Cell {
        Cell {
            value: format!("{text} {below}"),
            shown: format!("{}{}", Escaped(text), small(below)),
        }
    }

    fn number(value: Option<u64>, show: impl Fn(u64) -> String) -> Cell {
        Cell {
            value: value.map_or_else(String::new, |value| value.to_string()),
            shown: value.map_or_else(String::new, show),
        }
    }

    fn count(findings: &Findings) -> Cell {
        Cell::number(Some(findings.count), |count| match count {
            0 => String::new(),
            count => count.to_string(),
        })
    }
}

/// The columns of the table, and whether one holds numbers.
const COLUMNS: [(&str, bool); 11] = [
    ("State", false),
    ("Kernel", false),
    ("Version", false),
    ("Architecture", false),
    ("Time", true),
    ("Image", true),
    ("Modules", true),
    ("Warnings", true),
    ("Section mismatches", true),
    ("DTS warnings", true),
    ("ccache hits", true),
];

fn cells(kernel: &Kernel) -> [Cell; COLUMNS.len()] {
    let order = Status::ALL
        .iter()
        .position(|status| *status == kernel.status);
    let toolchain = kernel.toolchain.as_deref().map(short_toolchain);
    let built = [toolchain.as_deref(), kernel.backend.as_deref()];
    let modules = kernel.modules_count.filter(|count| *count > 0);
    [
        Cell {
            value: order.unwrap_or_default().to_string(),
            shown: format!(
                "{}{}",
                state(kernel.status),
                small(kernel.note.as_deref().unwrap_or_default())
            ),
        },
        Cell::text(&kernel.name, kernel.release.as_deref().unwrap_or_default()),
        Cell::text(
            kernel.version.as_deref().unwrap_or_default(),
            &flavour(kernel),
        ),
        Cell::text(
            &kernel.arch,
            &built.into_iter().flatten().collect::<Vec<_>>().join(", "),
        ),
        Cell::number(
            // Whole numbers, as the page's script sorts them.
            Some((kernel.seconds * 1000.0) as u64).filter(|time| *time > 0),
            |time| duration(time as f64 / 1000.0),
        ),
        Cell::number(kernel.image_bytes, bytes),
        Cell::number(modules, |count| {
            format!(
                "{count}{}",
                small(&kernel.modules_bytes.map_or_else(String::new, bytes))
            )
        }),
        Cell::count(&kernel.warnings),
        Cell::count(&kernel.section_mismatches),
        Cell::count(&kernel.dtc_warnings),
        Cell::number(kernel.ccache.and_then(Ccache::percent), |percent| {
            let Ccache { hits, misses } = kernel.ccache.expect("it has a percentage");
            format!(
                "{percent} %{}",
                small(&format!("{hits} of {}", hits + misses))
            )
        }),
    ]
}

/// A second line in a cell.
fn small(text: &str) -> String {
    match text.is_empty() {
        true => String::new(),
        false => format!("<small>{}</small>", Escaped(text)),
    }
}

/// `kvm, debug`.
fn flavour(kernel: &Kernel) -> String {
    let words = [kernel.flavour.as_deref(), kernel.debug.then_some("debug")];
    words.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn kernels(html: &mut String, report: &Report, place: Place<'_>) {
    html.push_str("<section>\n<h2>Kernels</h2>\n");
    if matches!(place, Place::Directory(_)) && report.kernels.len() > 1 {
        html.push_str(
            "<form class=\"filter\" data-table=\"kernels\" hidden=\"hidden\">\
             <label>Show <input name=\"words\" type=\"search\" placeholder=\"name, version, architecture …\"/></label>\
             <label>State <select name=\"state\"><option value=\"\">all</option>",
        );
        for status in Status::ALL
            .into_iter()
            .filter(|status| report.count(*status) > 0)
        {
            let _ = write!(html, "<option>{}</option>", status.as_str());
        }
        html.push_str(
            "</select></label><output class=\"quiet\" aria-live=\"polite\"></output></form>\n",
        );
    }
    let rows: Vec<_> = report.kernels.iter().map(cells).collect();
    // A column in which nobody has anything only takes room.
    let used: Vec<usize> = (0..COLUMNS.len())
        .filter(|&column| rows.iter().any(|row| !row[column].shown.is_empty()))
        .collect();
    let logs = report.kernels.iter().any(|kernel| kernel.log.is_some());
    html.push_str(
        "<div class=\"wide\">\n<table class=\"kernels sorted\" id=\"kernels\">\n<thead><tr>",
    );
    for &column in &used {
        let (name, _) = COLUMNS[column];
        let _ = match place {
            Place::Directory(_) => write!(
                html,
                "<th scope=\"col\"><button type=\"button\">{name}</button></th>"
            ),
            Place::Mail => write!(html, "<th scope=\"col\">{name}</th>"),
        };
    }
    if logs {
        html.push_str("<th scope=\"col\">Logs</th>");
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for (index, (kernel, row)) in report.kernels.iter().zip(&rows).enumerate() {
        let _ = write!(
            html,
            "<tr id=\"kernel-{index}\" data-state=\"{}\">",
            kernel.status.as_str()
        );
        for &column in &used {
            let (_, number) = COLUMNS[column];
            let class = if number { " class=\"n\"" } else { "" };
            let Cell { value, shown } = &row[column];
            let (open, close) = match COLUMNS[column].0 {
                "Kernel" => ("th scope=\"row\"", "th"),
                _ => ("td", "td"),
            };
            let _ = write!(
                html,
                "<{open}{class} data-v=\"{}\">{shown}</{close}>",
                Escaped(value)
            );
        }
        if logs {
            let link = kernel
                .log
                .as_deref()
                .map_or_else(String::new, |log| place.link(log, "logs"));
            let _ = write!(html, "<td>{link}</td>");
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody>\n</table>\n</div>\n</section>\n");
}

fn findings(html: &mut String, report: &Report) {
    let any = |kernel: &&Kernel| {
        kernel.warnings.count + kernel.section_mismatches.count + kernel.dtc_warnings.count > 0
    };
    let noisy: Vec<&Kernel> = report.kernels.iter().filter(any).collect();
    if noisy.is_empty() {
        return;
    }
    html.push_str("<section>\n<h2>Warnings</h2>\n");
    for kernel in noisy {
        for (what, findings) in [
            ("compiler warnings", &kernel.warnings),
            ("section mismatches", &kernel.section_mismatches),
            ("DTS warnings", &kernel.dtc_warnings),
        ] {
            list(html, &kernel.name, what, findings);
        }
    }
    html.push_str("</section>\n");
}

fn list(html: &mut String, name: &str, what: &str, findings: &Findings) {
    if findings.count == 0 {
        return;
    }
    let _ = write!(
        html,
        "<details>\n<summary>{}: {} {what}</summary>\n<div class=\"wide\">\n<table>\n\
         <thead><tr><th scope=\"col\">Times</th><th scope=\"col\">Where</th><th scope=\"col\">What</th></tr></thead>\n<tbody>\n",
        Escaped(name),
        findings.count
    );
    for finding in &findings.top {
        let place = match (&finding.file, finding.line) {
            (Some(file), Some(line)) => format!("{file}:{line}"),
            (Some(file), None) => file.clone(),
            (None, _) => String::new(),
        };
        let _ = writeln!(
            html,
            "<tr><td class=\"n\">{}</td><td><code>{}</code></td><td>{}</td></tr>",
            finding.count,
            Escaped(&place),
            Escaped(&finding.message)
        );
    }
    let shown: u64 = findings.top.iter().map(|finding| finding.count).sum();
    html.push_str("</tbody>\n</table>\n</div>\n");
    if let Some(more) = findings.count.checked_sub(shown).filter(|more| *more > 0) {
        let _ = writeln!(html, "<p class=\"quiet\">and {more} more, in the log</p>");
    }
    html.push_str("</details>\n");
}

//! The page of `--timings`.

use std::collections::HashSet;
use std::fmt::Write as _;

use super::{Sum, Timings, Unit};
use crate::report::escape::Escaped;
use crate::report::page::{axis, fit, moment, page, tiles};
use crate::report::text::{bytes, duration};

/// How many units the chart has at most: those that took longest.
const DRAWN: usize = 2500;

/// How many units and directories are listed.
const LISTED: usize = 60;

/// `timings.html`.
pub fn html(timings: &Timings) -> String {
    let title = format!("Where the time of {} went", timings.build.kernel);
    let mut html = header(timings, &title);
    html.push_str("<main>\n");
    chart(&mut html, timings);
    critical(&mut html, timings);
    sums(
        &mut html,
        "By tool",
        "Kbuild’s word for it. A step of CC is the whole recipe: preprocessor, compiler, assembler, and objtool and fixdep where the kernel has them. Time on processors of steps inside the link is told with LD.",
        &timings.tools,
        "tools",
        "Tool",
    );
    slowest(&mut html, timings);
    sums(
        &mut html,
        "By directory",
        "Of the files that are made, without the directories below.",
        &timings.directories,
        "directories",
        "Directory",
    );
    let _ = write!(
        html,
        "</main>\n<footer>Written by {}. Beside this page: <code>timings.json</code> for programs.</footer>\n",
        Escaped(&timings.build.tool)
    );
    page(&title, &html, true)
}

fn header(timings: &Timings, title: &str) -> String {
    let build = &timings.build;
    let facts = [
        build.release.clone(),
        moment(build.started),
        format!("{} jobs on {} cores", build.jobs, build.cores),
    ];
    let busy: f64 = timings.units.iter().map(|unit| unit.seconds).sum();
    let average = match timings.seconds > 0.0 {
        true => busy / timings.seconds,
        false => 0.0,
    };
    let numbers = [
        (duration(timings.seconds), "wall time of make"),
        (duration(timings.cpu_seconds), "on processors"),
        (format!("{average:.2}"), "units at a time"),
        (duration(timings.critical_seconds), "critical path"),
        (timings.units.len().to_string(), "units"),
        (duration(timings.idle_seconds), "without any unit"),
    ];
    format!(
        "<header>\n<h1>{}</h1>\n<div class=\"quiet\">{}</div>\n{}</header>\n",
        Escaped(title),
        Escaped(&facts.join(" · ")),
        tiles(&numbers)
    )
}

/// The colour of a verb.
fn colour(verb: &str) -> usize {
    match verb {
        "CC" | "RUSTC" => 1,
        "AS" => 2,
        "LD" | "AR" | "MODPOST" => 3,
        verb if verb.starts_with("HOST") => 0,
        "GZIP" | "ZSTD" | "XZMISC" | "XZKERN" | "LZ4" | "LZO" | "BZIP2" | "LZMA" | "OBJCOPY" => 5,
        _ => 4,
    }
}

const LEGEND: [(usize, &str); 6] = [
    (1, "compile"),
    (2, "assemble"),
    (3, "archive and link"),
    (0, "programs of the build"),
    (5, "copy and compress"),
    (4, "other"),
];

const LEFT: f64 = 64.0;
const WIDTH: f64 = 1110.0;
const LANE: f64 = 22.0;
const GRAPH: f64 = 110.0;

/// Lanes of units, and below them how many ran at a time, on one axis.
fn chart(html: &mut String, timings: &Timings) {
    if timings.seconds <= 0.0 {
        return;
    }
    let lanes = lanes(&timings.units);
    let count = lanes.iter().copied().max().map_or(0, |last| last + 1);
    let graph = count as f64 * LANE + 16.0;
    let height = graph + GRAPH;
    let _ = write!(
        html,
        "<section>\n<h2>What ran when</h2>\n<div class=\"card wide\">\n\
         <svg viewBox=\"0 0 1200 {:.0}\" role=\"img\" aria-label=\"The units in lanes, and how many ran at a time; the tables below have the numbers\">\n{}",
        height + 24.0,
        axis(LEFT, WIDTH, height, timings.seconds)
    );
    let x = |at: f64| LEFT + at / timings.seconds * WIDTH;
    let mut order: Vec<usize> = (0..timings.units.len()).collect();
    order.sort_by(|&left, &right| {
        timings.units[right]
            .seconds
            .total_cmp(&timings.units[left].seconds)
    });
    let chain: HashSet<usize> = timings.critical.iter().copied().collect();
    for index in order.into_iter().take(DRAWN) {
        let unit = &timings.units[index];
        let (from, top) = (x(unit.start), lanes[index] as f64 * LANE + 2.0);
        let width = (x(unit.end()) - from).max(0.5);
        let _ = write!(
            html,
            "<rect class=\"p{}\" x=\"{from:.1}\" y=\"{top:.0}\" width=\"{width:.1}\" height=\"15\"><title>{} {}: {}</title></rect>",
            colour(&unit.verb),
            Escaped(&unit.verb),
            Escaped(&unit.target),
            duration(unit.seconds)
        );
        if chain.contains(&index) {
            let _ = write!(
                html,
                "<rect class=\"chain\" x=\"{from:.1}\" y=\"{:.0}\" width=\"{width:.1}\" height=\"3\"/>",
                top + 15.0
            );
        }
        let name = unit.target.rsplit('/').next().unwrap_or_default();
        if let Some(name) = fit(name, width - 8.0).filter(|name| !name.ends_with('…')) {
            let _ = write!(
                html,
                "<text class=\"in\" x=\"{:.1}\" y=\"{:.0}\">{}</text>",
                from + 4.0,
                top + 12.0,
                Escaped(&name)
            );
        }
        html.push('\n');
    }
    graph_of(html, timings, graph);
    html.push_str("</svg>\n<ul class=\"legend\">\n");
    for (colour, what) in LEGEND {
        let _ = writeln!(html, "<li><i class=\"p{colour}\"></i>{what}</li>");
    }
    html.push_str("<li><i class=\"chain\"></i>on the critical path</li>\n</ul>\n");
    if let Some(more) = timings
        .units
        .len()
        .checked_sub(DRAWN)
        .filter(|more| *more > 0)
    {
        let _ = writeln!(
            html,
            "<p class=\"quiet\">The {more} shortest units are not drawn.</p>"
        );
    }
    html.push_str("</div>\n</section>\n");
}

/// How many ran at a time, from `top` on.
fn graph_of(html: &mut String, timings: &Timings, top: f64) {
    let jobs = timings.build.jobs as f64;
    let most = timings
        .parallelism
        .iter()
        .copied()
        .fold(jobs, f64::max)
        .max(1.0);
    let y = |count: f64| top + GRAPH - count / most * (GRAPH - 14.0);
    let part = WIDTH / timings.parallelism.len().max(1) as f64;
    let mut points = format!("{LEFT:.1},{:.1}", y(0.0));
    for (index, count) in timings.parallelism.iter().enumerate() {
        let x = LEFT + index as f64 * part;
        let _ = write!(
            points,
            " {x:.1},{:.1} {:.1},{:.1}",
            y(*count),
            x + part,
            y(*count)
        );
    }
    let _ = writeln!(
        html,
        "<polygon class=\"area\" points=\"{points} {:.1},{:.1}\"/>\
         <line class=\"limit\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{limit:.1}\" y2=\"{limit:.1}\"/>\
         <text class=\"quiet\" x=\"0\" y=\"{:.1}\">{jobs:.0} jobs</text>\
         <text class=\"quiet\" x=\"0\" y=\"{:.1}\">0</text>",
        LEFT + WIDTH,
        y(0.0),
        LEFT + WIDTH,
        y(jobs) + 4.0,
        y(0.0) + 4.0,
        limit = y(jobs)
    );
}

/// A lane for each unit: the first that is free when it begins.
fn lanes(units: &[Unit]) -> Vec<usize> {
    let mut busy: Vec<f64> = Vec::new();
    units
        .iter()
        .map(
            |unit| match busy.iter().position(|end| *end <= unit.start) {
                Some(lane) => {
                    busy[lane] = unit.end();
                    lane
                }
                None => {
                    busy.push(unit.end());
                    busy.len() - 1
                }
            },
        )
        .collect()
}

fn critical(html: &mut String, timings: &Timings) {
    if timings.critical.is_empty() {
        return;
    }
    let _ = write!(
        html,
        "<section>\n<h2>Critical path</h2>\n<p>These wait for each other: the build takes no less than {}, however many cores there are. \
         Who waits for whom is taken from Kbuild’s rules: objects wait for the prepared headers and programs, an archive for what is below its directory, the links at the end for all before.</p>\n\
         <div class=\"wide\">\n<table>\n<thead><tr><th scope=\"col\">Began</th><th scope=\"col\">Took</th><th scope=\"col\">Tool</th><th scope=\"col\">Made</th></tr></thead>\n<tbody>\n",
        duration(timings.critical_seconds)
    );
    for unit in timings.critical.iter().map(|&index| &timings.units[index]) {
        let _ = writeln!(
            html,
            "<tr><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td><td><code>{}</code></td></tr>",
            duration(unit.start),
            duration(unit.seconds),
            Escaped(&unit.verb),
            Escaped(&unit.target)
        );
        for step in &unit.steps {
            let _ = writeln!(
                html,
                "<tr><td class=\"n quiet\">{}</td><td class=\"n quiet\">{}</td><td class=\"quiet\">· {}</td><td><code>{}</code></td></tr>",
                duration(step.start),
                duration(step.seconds),
                Escaped(&step.verb),
                Escaped(&step.target)
            );
        }
    }
    html.push_str("</tbody>\n</table>\n</div>\n</section>\n");
}

/// A table's head whose columns can be sorted.
fn head(html: &mut String, id: &str, columns: &[&str]) {
    let _ = write!(
        html,
        "<div class=\"wide\">\n<table class=\"sorted\" id=\"{id}\">\n<thead><tr>"
    );
    for column in columns {
        let _ = write!(
            html,
            "<th scope=\"col\"><button type=\"button\">{column}</button></th>"
        );
    }
    html.push_str("</tr></thead>\n<tbody>\n");
}

/// A number's cell: sorted by whole microseconds.
fn time(seconds: f64) -> String {
    format!(
        "<td class=\"n\" data-v=\"{:.0}\">{}</td>",
        seconds * 1e6,
        duration(seconds)
    )
}

fn slowest(html: &mut String, timings: &Timings) {
    let mut order: Vec<&Unit> = timings.units.iter().collect();
    order.sort_by(|left, right| right.seconds.total_cmp(&left.seconds));
    let _ = writeln!(
        html,
        "<section>\n<h2>Slowest units</h2>\n<form class=\"filter\" data-table=\"units\" hidden=\"hidden\">\
         <label>Show <input name=\"words\" type=\"search\" placeholder=\"tool, directory, file …\"/></label>\
         <output class=\"quiet\" aria-live=\"polite\"></output></form>"
    );
    head(
        html,
        "units",
        &["Took", "On processors", "Memory", "Tool", "Made"],
    );
    for unit in order.into_iter().take(LISTED) {
        let _ = writeln!(
            html,
            "<tr>{}{}<td class=\"n\" data-v=\"{}\">{}</td><td data-v=\"{verb}\">{verb}</td><td data-v=\"{target}\"><code>{target}</code></td></tr>",
            time(unit.seconds),
            time(unit.cpu_seconds),
            unit.memory_bytes,
            bytes(unit.memory_bytes),
            verb = Escaped(&unit.verb),
            target = Escaped(&unit.target)
        );
    }
    html.push_str("</tbody>\n</table>\n</div>\n</section>\n");
}

fn sums(html: &mut String, title: &str, words: &str, sums: &[Sum], id: &str, what: &str) {
    let all: f64 = sums.iter().map(|sum| sum.seconds).sum();
    let most = sums
        .first()
        .map_or(1.0, |sum| sum.seconds)
        .max(f64::EPSILON);
    let _ = writeln!(html, "<section>\n<h2>{title}</h2>\n<p>{words}</p>");
    head(html, id, &[what, "Units", "Time", "Share", "On processors"]);
    for sum in sums.iter().take(LISTED) {
        let share = if all > 0.0 {
            sum.seconds / all * 100.0
        } else {
            0.0
        };
        let _ = writeln!(
            html,
            "<tr><td data-v=\"{name}\"><code>{name}</code></td><td class=\"n\" data-v=\"{count}\">{count}</td>{}\
             <td data-v=\"{:.0}\"><span class=\"share\"><i class=\"bar\" style=\"width:{:.1}px\"></i>{share:.1} %</span></td>{}</tr>",
            time(sum.seconds),
            sum.seconds * 1e6,
            sum.seconds / most * 160.0,
            time(sum.cpu_seconds),
            name = Escaped(&sum.name),
            count = sum.count
        );
    }
    html.push_str("</tbody>\n</table>\n</div>\n");
    if let Some(more) = sums.len().checked_sub(LISTED).filter(|more| *more > 0) {
        let _ = writeln!(
            html,
            "<p class=\"quiet\">and {more} more, in <code>timings.json</code></p>"
        );
    }
    html.push_str("</section>\n");
}

//! What the pages have in common: one file of HTML that needs nothing else. It is well-formed
//! XML too, which is how the tests know that nothing in it was left unescaped.

use std::fmt::Write as _;

use camino::Utf8Path;

use super::escape::Escaped;

const STYLE: &str = include_str!("html/style.css");
const SCRIPT: &str = include_str!("html/table.js");

/// A whole page. No content of a report can load or start anything: the policy allows this
/// page's own style and script and nothing else.
pub(super) fn page(title: &str, body: &str, script: bool) -> String {
    let script = match script {
        true => format!("<script>\n{SCRIPT}</script>\n"),
        false => String::new(),
    };
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'\"/>\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{body}{script}</body>\n</html>\n",
        Escaped(title)
    )
}

/// The tiles below a title: a number and what it counts.
pub(super) fn tiles(tiles: &[(String, &str)]) -> String {
    let mut html = String::from("<ul class=\"tiles\">\n");
    for (number, what) in tiles {
        let _ = writeln!(
            html,
            "<li><b>{}</b><span>{}</span></li>",
            Escaped(number),
            Escaped(what)
        );
    }
    html.push_str("</ul>\n");
    html
}

/// A moment as `2026-11-21 18:00 UTC`.
pub(super) fn moment(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds)
        .unwrap_or_default()
        .strftime("%Y-%m-%d %H:%M UTC")
        .to_string()
}

/// Marks of an axis from 0 to `length` seconds: at most nine, at round values.
pub(super) fn ticks(length: f64) -> Vec<f64> {
    const STEPS: [f64; 19] = [
        0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0,
        600.0, 1800.0, 3600.0, 7200.0,
    ];
    let step = STEPS
        .into_iter()
        .find(|step| length / step <= 8.0)
        .unwrap_or(length / 8.0);
    (0..=8)
        .map(|index| f64::from(index) * step)
        .take_while(|at| *at <= length)
        .collect()
}

/// An axis' mark in words.
pub(super) fn tick(seconds: f64, step: f64) -> String {
    let whole = seconds.round() as u64;
    match () {
        () if seconds == 0.0 => "0".to_owned(),
        () if step < 1.0 => format!("{seconds:.2} s"),
        () if step < 60.0 && seconds < 60.0 => format!("{whole} s"),
        () if step < 60.0 => format!("{}:{:02} min", whole / 60, whole % 60),
        () if step < 3600.0 => format!("{} min", whole / 60),
        () => format!("{} h", whole / 3600),
    }
}

/// The vertical lines of an axis with their marks; time begins at `left` and takes `width`.
pub(super) fn axis(left: f64, width: f64, height: f64, length: f64) -> String {
    let marks = ticks(length);
    let step = marks.get(1).copied().unwrap_or(length);
    let mut svg = String::new();
    for at in marks {
        let x = left + at / length * width;
        let _ = writeln!(
            svg,
            "<line class=\"tick\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"0\" y2=\"{height:.0}\"/>\
             <text class=\"quiet\" x=\"{x:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{}</text>",
            height + 15.0,
            tick(at, step)
        );
    }
    svg
}

/// How many characters of the pages' font fit into `width` units.
pub(super) fn fit(text: &str, width: f64) -> Option<String> {
    let room = (width / 7.0) as usize;
    match text.chars().count() {
        count if count <= room => Some(text.to_owned()),
        _ if room < 5 => None,
        _ => Some(text.chars().take(room - 1).chain(['…']).collect()),
    }
}

/// The way from `directory` to `path`, both absolute, as a reference in a page that lies in
/// `directory`.
pub(super) fn reference(directory: &Utf8Path, path: &Utf8Path) -> String {
    let common = directory
        .components()
        .zip(path.components())
        .take_while(|(left, right)| left == right)
        .count();
    let up = directory.components().count() - common;
    let mut way: Vec<&str> = vec![".."; up];
    if up == 0 {
        way.push(".");
    }
    way.extend(path.components().skip(common).map(|part| part.as_str()));
    let mut reference = String::new();
    for byte in way.join("/").bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b'+' => {
                reference.push(char::from(byte));
            }
            other => {
                let _ = write!(reference, "%{other:02X}");
            }
        }
    }
    reference
}

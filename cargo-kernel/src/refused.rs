//! Requests that do not hold, shown at their lines.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use kernelkit::effect::explain::{Refused, Repair};
use serde_json::{Value as Json, json};

/// As a message's fields.
pub(crate) fn to_json(kernel: &str, refused: &Refused) -> Json {
    json!({ "kernel": kernel, "unmet": refused, "sentence": refused.sentence() })
}

/// The fragment's line with the reason below it, and the fix to paste.
pub(crate) fn render(refused: &Refused) -> String {
    let request = &refused.request;
    let place = &request.wanted.place;
    let path = match &place.path {
        Some(path) => path.to_string(),
        None => format!("{}.config", place.fragment),
    };
    let (level, subject) = match request.optional {
        true => (Level::NOTE, "optional request"),
        false => (Level::ERROR, "request"),
    };
    let title = format!(
        "{subject} {}={} does not hold",
        request.symbol, request.wanted.value
    );
    let label = match &request.got {
        Some(value) => format!("it is {value}"),
        None => "it is not in the configuration".to_owned(),
    };
    let snippet = Snippet::source(refused.line.as_str())
        .line_start(place.line)
        .path(path)
        .annotation(
            AnnotationKind::Primary
                .span(0..refused.line.len())
                .label(label),
        );
    let mut group = level.primary_title(title).element(snippet);
    if refused.refusal.is_some() {
        group = group.element(Level::NOTE.message(refused.sentence()));
    }
    if let Some(note) = &refused.note {
        group = group.element(Level::NOTE.message(note.as_str()));
    }
    let mut text = Renderer::styled().render(&[group]);
    if let Some(repair) = &refused.repair {
        text.push('\n');
        text.push_str(&render_repair(
            repair,
            &format!("{}.config", place.fragment),
        ));
    } else if refused.refusal.is_some() && refused.absent.is_none() {
        text.push('\n');
        text.push_str(&help("no setting was found that makes it hold".to_owned()));
    }
    text
}

fn help(text: String) -> String {
    let group = Group::with_title(Level::HELP.primary_title(text));
    Renderer::styled().render(&[group])
}

/// What to change. Lines to add stand without indentation, to be pasted.
pub(crate) fn render_repair(repair: &Repair, fragment: &str) -> String {
    let mut out = Vec::new();
    if repair.nearest {
        let settings = repair.change.iter().map(|change| &change.setting);
        for setting in settings.chain(&repair.add) {
            out.push(help(format!("the nearest that can be had is `{setting}`")));
        }
        return out.join("\n");
    }
    if !repair.add.is_empty() {
        out.push(help(format!("add to {fragment}")));
        out.extend(repair.add.iter().map(ToString::to_string));
    }
    for change in &repair.change {
        match &change.place {
            Some(place) => out.push(help(format!("change {place} to `{}`", change.setting))),
            None => out.push(change.setting.to_string()),
        }
    }
    for lost in &repair.drop {
        let place = lost.place.as_ref();
        let place = place
            .map(|place| format!(" at {place}"))
            .unwrap_or_default();
        out.push(help(format!(
            "drop `{}`{place}: both cannot hold",
            lost.setting
        )));
    }
    out.join("\n")
}

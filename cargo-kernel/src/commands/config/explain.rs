//! `cargo kernel config explain`

use std::fmt::Write as _;

use kernelkit::config::Symbol;
use kernelkit::effect::configure::Native;
use kernelkit::effect::explain::{self, Absent};
use kernelkit::kconfig::{
    Explanation, Origin, Refusal, Resolution, Selector, Term, Tristate, Type,
};
use kernelkit::plan::Facts;
use serde_json::json;

use crate::cli::{Global, KernelOption};
use crate::commands::Workspace;
use crate::error::{DONE, Failure, NO};
use crate::refused;
use crate::ui::{GOOD, STRONG, Ui, WARN};

/// Explain a symbol's value, or what it would take to have another one
///
/// Shows who set it, what it depends on down to each symbol, what selects it, and its help.
/// For a request that does not hold, and for SYMBOL=VALUE, also the reason and the smallest fix.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A symbol, or SYMBOL=VALUE; `CONFIG_` may stand before it
    #[arg(value_name = "SYMBOL", required = true)]
    symbols: Vec<String>,

    #[command(flatten)]
    kernels: KernelOption,
}

/// What is asked.
struct Question {
    symbol: Symbol,
    wanted: Option<String>,
}

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<u8, Failure> {
    let questions = args
        .symbols
        .iter()
        .map(|text| question(text))
        .collect::<Result<Vec<_>, _>>()?;
    let workspace = Workspace::load(global, &args.kernels.overrides)?;
    let mut code = DONE;
    let mut first = true;
    let kernels = workspace.select(&args.kernels.names)?;
    for kernel in &kernels {
        let name = kernel.name.as_str();
        let (facts, native) = super::native(&workspace, kernel, ui)?;
        let resolution = explain::resolve(&native, &facts.request)?;
        for question in &questions {
            let answer = answer(question, &facts, &native, &resolution)?;
            ui.message(
                "explanation",
                json!({
                    "kernel": name,
                    "symbol": question.symbol.as_str(),
                    "explanation": answer.explanation,
                    "request": answer.request,
                    "refusal": answer.refusal,
                    "absent": answer.absent,
                }),
            );
            if answer.absent.is_some() {
                code = NO;
            }
            if !ui.is_json() {
                if !std::mem::take(&mut first) {
                    ui.data("");
                }
                if kernels.len() > 1 {
                    ui.data(format_args!("{STRONG}{name}{STRONG:#}"));
                }
                print(question, &answer, &facts, ui);
            }
        }
    }
    Ok(code)
}

fn question(text: &str) -> Result<Question, Failure> {
    let (name, wanted) = match text.split_once('=') {
        Some((name, wanted)) => (name, Some(wanted.to_owned())),
        None => (text, None),
    };
    let symbol = name.parse().map_err(|error| {
        Failure::usage(
            error,
            "a symbol has letters, digits and underscores, such as `EXT4_FS` or `CONFIG_EXT4_FS=m`",
        )
    })?;
    Ok(Question { symbol, wanted })
}

struct Answer<'a> {
    explanation: Option<Explanation>,
    request: Option<&'a kernelkit::merge::Request>,
    refusal: Option<Refusal>,
    absent: Option<Absent>,
}

fn answer<'a>(
    question: &Question,
    facts: &'a Facts,
    native: &Native,
    resolution: &Resolution<'_>,
) -> Result<Answer<'a>, Failure> {
    let name = question.symbol.as_str();
    let request = facts.request.merged.get(&question.symbol);
    let wanted = match (&question.wanted, request) {
        (Some(wanted), _) => Some(wanted.clone()),
        (None, Some(request)) => Some(request.asked.value.to_string()),
        (None, None) => None,
    };
    let requests = explain::requests(&facts.request);
    let requests: Vec<(&str, &str)> = requests
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let refusal = wanted.and_then(|wanted| resolution.check_with(name, &wanted, &requests));
    let explanation = resolution
        .explain(name)
        .filter(|explanation| !explanation.places.is_empty());
    let absent = match explanation {
        Some(_) => None,
        None => Some(explain::absent(resolution, native, &facts.tree.dir, name)?),
    };
    Ok(Answer {
        explanation,
        request,
        refusal,
        absent,
    })
}

fn print(question: &Question, answer: &Answer<'_>, facts: &Facts, ui: &Ui) {
    let name = question.symbol.as_str();
    if let Some(absent) = &answer.absent {
        print_absent(name, absent, answer, ui);
        return;
    }
    let Some(explanation) = &answer.explanation else {
        return;
    };
    print_explanation(explanation, ui);
    if let Some(request) = answer.request {
        let optional = if request.optional {
            ", as an option"
        } else {
            ""
        };
        row(
            ui,
            "asked for",
            format_args!(
                "{} at {}{optional}",
                request.asked.value, request.asked.place
            ),
        );
        for other in &request.others {
            row(
                ui,
                "",
                format_args!("not {} at {}", other.value, other.place),
            );
        }
    }
    match (&answer.refusal, &question.wanted) {
        (Some(refusal), _) => {
            ui.data(format_args!(
                "{WARN}{}={} does not hold{WARN:#}: {}",
                question.symbol, refusal.wanted, refusal.sentence
            ));
            if let Some(fix) = &refusal.fix {
                let repair = explain::repair(fix, &facts.request.merged);
                ui.data(refused::render_repair(&repair, "a fragment"));
            }
        }
        (None, Some(wanted)) => {
            ui.data(format_args!(
                "{GOOD}{}={wanted} holds{GOOD:#}",
                question.symbol
            ));
        }
        (None, None) => {}
    }
}

fn print_absent(name: &str, absent: &Absent, answer: &Answer<'_>, ui: &Ui) {
    let sentence =
        absent
            .sentence(name)
            .unwrap_or_else(|| match (&absent.renamed, &answer.refusal) {
                (Some(rename), _) => {
                    format!("it is gone by {}; {} took its place", rename.by, rename.new)
                }
                _ => "no Kconfig file of this kernel defines it".to_owned(),
            });
    ui.data(format_args!("{STRONG}{name}{STRONG:#}  {sentence}"));
    if let Some(request) = answer.request {
        row(
            ui,
            "asked for",
            format_args!("{} at {}", request.asked.value, request.asked.place),
        );
    }
    if !absent.similar.is_empty() {
        row(ui, "similar", absent.similar.join(", "));
    }
}

const WIDTH: usize = 11;

fn row(ui: &Ui, name: &str, text: impl std::fmt::Display) {
    ui.data(format_args!("{name:<WIDTH$} {text}"));
}

fn print_explanation(explanation: &Explanation, ui: &Ui) {
    let value = match (&explanation.value, explanation.kind) {
        (Some(value), Type::String) => format!("\"{value}\""),
        (Some(value), _) => value.to_string(),
        (None, _) => "?".to_owned(),
    };
    let unwritten = if explanation.written {
        ""
    } else {
        ", not in .config"
    };
    ui.data(format_args!(
        "{STRONG}{}={value}{STRONG:#}  {}{unwritten}",
        explanation.symbol,
        explanation.kind.keyword()
    ));
    for (index, line) in origin_lines(&explanation.origin).into_iter().enumerate() {
        row(ui, if index == 0 { "because" } else { "" }, line);
    }
    match &explanation.prompt {
        Some(prompt) => row(
            ui,
            "prompt",
            format_args!("{prompt}{}", visibility(explanation)),
        ),
        None => row(ui, "prompt", "none"),
    }
    if !explanation.menu.is_empty() {
        row(ui, "menu", explanation.menu.join(" → "));
    }
    for (index, place) in explanation.places.iter().enumerate() {
        row(ui, if index == 0 { "defined" } else { "" }, place);
    }
    if !explanation.choice.is_empty() {
        row(ui, "instead of", explanation.choice.join(", "));
    }
    let several = explanation.places.len() > 1;
    for dependency in &explanation.dependencies {
        let entry = match several {
            true => format!("  for {}", dependency.entry),
            false => String::new(),
        };
        let tree = term_lines(&dependency.term);
        row(
            ui,
            dependency.kind,
            format_args!(
                "{}  {}  {}{entry}",
                mark(dependency.value),
                dependency.condition,
                dependency.place
            ),
        );
        for line in tree {
            row(ui, "", line);
        }
    }
    for (index, default) in explanation.defaults.iter().enumerate() {
        let condition = match default.condition.as_str() {
            "y" => String::new(),
            condition => format!(" if {condition}"),
        };
        let holds = if default.holds {
            ""
        } else {
            "  (does not apply)"
        };
        row(
            ui,
            if index == 0 { "default" } else { "" },
            format_args!("{}{condition}  {}{holds}", default.text, default.place),
        );
    }
    print_selectors("selected by", &explanation.selected_by, ui);
    print_selectors("implied by", &explanation.implied_by, ui);
    if let Some(help) = &explanation.help {
        for (index, line) in help.trim_end().lines().enumerate() {
            let name = if index == 0 { "help" } else { "" };
            ui.data(format!("{name:<WIDTH$} {line}").trim_end());
        }
    }
}

fn visibility(explanation: &Explanation) -> &'static str {
    match (explanation.visible, explanation.kind) {
        (Tristate::N, _) => " (not visible)",
        (Tristate::M, Type::Tristate) => " (m at most)",
        _ => "",
    }
}

/// Where a value comes from, and what set off what selects it.
fn origin_lines(origin: &Origin) -> Vec<String> {
    let mut lines = Vec::new();
    match origin {
        Origin::Selected(selectors) | Origin::Implied(selectors) => {
            for selector in selectors {
                lines.push(chain(selector));
            }
        }
        other => lines.push(other.to_string()),
    }
    lines
}

/// `selected by A (FILE:LINE) ← selected by B (FILE:LINE) ← set at FRAGMENT:LINE`.
fn chain(selector: &Selector) -> String {
    let mut text = String::new();
    let mut at = selector;
    loop {
        let verb = if at.implies { "implied" } else { "selected" };
        let _ = write!(text, "{verb} by {}={} ({})", at.symbol, at.value, at.place);
        match at.origin.as_deref() {
            None => return text,
            Some(Origin::Selected(next) | Origin::Implied(next)) => {
                let Some(first) = next.first() else {
                    return text;
                };
                if next.len() > 1 {
                    let _ = write!(text, " and {} more", next.len() - 1);
                }
                text.push_str(" ← ");
                at = first;
            }
            Some(origin) => {
                let _ = write!(text, " ← {origin}");
                return text;
            }
        }
    }
}

/// Those in force; the others are counted, or named where all are few.
fn print_selectors(title: &str, selectors: &[Selector], ui: &Ui) {
    const FEW: usize = 8;
    let all = ui.is_verbose() || selectors.len() <= FEW;
    let mut name = title;
    let (on, off): (Vec<_>, Vec<_>) = selectors
        .iter()
        .partition(|selector| selector.value != Tristate::N);
    let listed = if all { off.len() } else { 0 };
    for selector in on.iter().chain(off.iter().take(listed)) {
        row(
            ui,
            name,
            format_args!(
                "{}  {}  {}",
                mark(selector.value),
                selector.symbol,
                selector.place
            ),
        );
        name = "";
    }
    let rest = off.len() - listed;
    if rest > 0 {
        let start = if on.is_empty() { "" } else { "and " };
        row(
            ui,
            name,
            format_args!("{start}{rest} that are off; `-v` lists them"),
        );
    }
}

fn mark(value: Tristate) -> String {
    match value {
        Tristate::Y => format!("{GOOD}y{GOOD:#}"),
        Tristate::M => format!("{WARN}m{WARN:#}"),
        Tristate::N => "n".to_owned(),
    }
}

/// A condition's parts as a tree; nothing for what one line has said.
fn term_lines(term: &Term) -> Vec<String> {
    let mut lines = Vec::new();
    match term {
        Term::Symbol { .. } => lines.push(format!("└─ {}", leaf(term, None))),
        Term::All { terms, .. }
        | Term::Any { terms, .. }
        | Term::Not { terms, .. }
        | Term::Comparison { terms, .. } => {
            push_terms(&mut lines, terms, "");
        }
    }
    lines
}

fn push_terms(lines: &mut Vec<String>, terms: &[Term], indent: &str) {
    for (index, term) in terms.iter().enumerate() {
        let last = index + 1 == terms.len();
        let (branch, below) = if last {
            ("└─", "   ")
        } else {
            ("├─", "│  ")
        };
        let (text, inner): (String, &[Term]) = match term {
            Term::Symbol { .. } => (leaf(term, None), &[]),
            Term::Not { value, terms } => match terms.as_slice() {
                [inner @ Term::Symbol { .. }] => (leaf(inner, Some(*value)), &[]),
                inner => (format!("{}  not", mark(*value)), inner),
            },
            Term::All { value, terms } => (format!("{}  all of", mark(*value)), terms),
            Term::Any { value, terms } => (format!("{}  any of", mark(*value)), terms),
            Term::Comparison { text, value, terms } => (format!("{}  {text}", mark(*value)), terms),
        };
        lines.push(format!("{indent}{branch} {text}"));
        push_terms(lines, inner, &format!("{indent}{below}"));
    }
}

/// A symbol, or its negation with the value of that.
fn leaf(term: &Term, negated: Option<Tristate>) -> String {
    let Term::Symbol {
        symbol,
        value,
        origin,
        place,
    } = term
    else {
        return String::new();
    };
    let value = match (negated, value.as_str()) {
        (Some(value), _) => mark(value),
        (None, "y") => mark(Tristate::Y),
        (None, "m") => mark(Tristate::M),
        (None, "") => "\"\"".to_owned(),
        (None, other) => other.to_owned(),
    };
    let sign = if negated.is_some() { "!" } else { "" };
    let place = match place {
        Some(place) => format!("  {place},"),
        None => ",".to_owned(),
    };
    format!("{value}  {sign}{symbol}{place} {origin}")
}

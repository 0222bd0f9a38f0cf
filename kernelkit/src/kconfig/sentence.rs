//! Reasons in words.

use std::fmt::{self, Write as _};

use super::explain::{Origin, Selector};
use super::model::{Tristate, Type};
use super::refusal::{Cause, DefaultLine, Leaf, Reason, Refusal};
use super::renames::renamed;
use super::resolve::Value;

/// Of a list, as many are named.
const NAMED: usize = 4;
/// Longer conditions are cut: their line is named.
const CONDITION: usize = 60;

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = |f: &mut fmt::Formatter<'_>, verb: &str, selectors: &[Selector]| {
            write!(f, "{verb} by {}", symbols(selectors))
        };
        match self {
            Origin::Input(place) => write!(f, "set at {place}"),
            Origin::Mode => f.write_str("what the base gives"),
            Origin::Default(place) => write!(f, "default at {place}"),
            Origin::Selected(selectors) => by(f, "selected", selectors),
            Origin::Implied(selectors) => by(f, "implied", selectors),
            Origin::Choice(place) => write!(f, "left to the choice at {place}"),
            Origin::Unset => f.write_str("nothing sets it"),
            Origin::Undefined => f.write_str("not defined in this kernel"),
        }
    }
}

/// The sentence without its full stop.
pub(super) fn of(refusal: &Refusal) -> String {
    let Refusal {
        symbol,
        wanted,
        actual,
        reason,
        ..
    } = refusal;
    let actual = actual.as_ref().map(Value::to_string).unwrap_or_default();
    match reason {
        Reason::Unknown(similar)
            if renamed(symbol)
                .is_some_and(|rename| similar.iter().any(|name| name == rename.new)) =>
        {
            let rename = renamed(symbol).expect("it was just found");
            format!(
                "{symbol} is gone by {}; {} took its place",
                rename.by, rename.new
            )
        }
        Reason::Unknown(similar) => {
            let mut text = format!("no Kconfig file of this kernel mentions {symbol}");
            if !similar.is_empty() {
                let _ = write!(text, "; did you mean {}?", join(similar, "or"));
            }
            text
        }
        Reason::NotDefined => {
            format!("{symbol} is mentioned, but not defined for this architecture")
        }
        Reason::Untyped => format!("{symbol} is defined without a type, so it has no value"),
        Reason::BadValue(Type::Bool) if wanted == "m" => {
            format!("{symbol} is a bool: it is built in or off, never a module")
        }
        Reason::BadValue(kind) => {
            format!("`{wanted}` is no value for {symbol}, {}", described(*kind))
        }
        Reason::Unquoted => format!("{symbol} is a string, and strings stand in double quotes"),
        Reason::Overwritten(place) => format!("{place} sets it to {}", spelled(&actual)),
        Reason::NotRequested => format!("{symbol} can be set, but nothing asks for it"),
        Reason::Transitional(successors) if successors.is_empty() => {
            format!("{symbol} only carries old configurations over and is never written")
        }
        Reason::Transitional(successors) => format!(
            "{symbol} only hands the value of old configurations on to {}",
            join(successors, "and")
        ),
        Reason::NoPrompt {
            selectors,
            defaults,
        } => no_prompt(symbol, &actual, selectors, defaults),
        Reason::Invisible(causes) => {
            let then = match actual.as_str() {
                value @ ("m" | "y") => format!(", so it keeps its default {value}"),
                _ => String::new(),
            };
            format!("its prompt is not visible{then}: {}", failing(causes))
        }
        Reason::LimitedToModule(causes) => {
            format!("it cannot be more than a module: {}", failing(causes))
        }
        Reason::ModulesOff => format!("MODULES is off, and without modules {symbol}=m means y"),
        Reason::Raised(selectors) => format!(
            "{} select{} it",
            with_places(selectors),
            if selectors.len() == 1 { "s" } else { "" }
        ),
        Reason::ChoiceOther { member, origin } => {
            format!("only one member of its choice can be on, and that is {member} ({origin})")
        }
        Reason::ChoiceModule => {
            "its choice is `m`, so that its members are modules at most".to_owned()
        }
        Reason::ChoiceDefault => {
            "one member of its choice has to be on, and no other one is asked for".to_owned()
        }
        Reason::OutOfRange { low, high, place } => {
            format!("{wanted} is outside of the range {low} to {high} ({place})")
        }
    }
}

fn no_prompt(
    symbol: &str,
    actual: &str,
    selectors: &[Selector],
    defaults: &[DefaultLine],
) -> String {
    let start = "it has no prompt, so that no configuration can set it";
    if let Some(default) = defaults.iter().find(|default| default.holds) {
        return format!(
            "{start}: it is {actual} by the default at {}",
            default.place
        );
    }
    let off: Vec<_> = selectors
        .iter()
        .filter(|selector| selector.value == Tristate::N)
        .cloned()
        .collect();
    match (selectors.is_empty(), defaults) {
        (true, []) => format!("{start}, and nothing selects it"),
        (true, defaults) => {
            let default = &defaults[0];
            let condition = shortened(&default.condition);
            format!(
                "{start}: its default at {} needs `{condition}`",
                default.place
            )
        }
        (false, _) if off.is_empty() => format!("{start}; {} set it", symbols(selectors)),
        (false, _) => format!(
            "{start}; only what selects {symbol} turns it on, and none is on: {}",
            with_places(&off)
        ),
    }
}

fn described(kind: Type) -> &'static str {
    match kind {
        Type::Unknown => "which has no type",
        Type::Bool => "a bool: it is y or n",
        Type::Tristate => "a tristate: it is y, m or n",
        Type::Int => "an integer: decimal digits without leading zeros",
        Type::Hex => "a hexadecimal number",
        Type::String => "a string: text in double quotes",
    }
}

/// The conditions of the entry that is nearest to hold.
fn failing(causes: &[Cause]) -> String {
    let mut entries: Vec<&super::Place> = Vec::new();
    for cause in causes {
        if !entries.contains(&&cause.entry) {
            entries.push(&cause.entry);
        }
    }
    let nearest = entries.iter().min_by_key(|entry| {
        causes
            .iter()
            .filter(|cause| cause.entry == ***entry)
            .count()
    });
    let Some(nearest) = nearest else {
        return "what it depends on does not hold".to_owned();
    };
    let mut text = String::new();
    let mut leaves: Vec<&Leaf> = Vec::new();
    let here: Vec<&Cause> = causes
        .iter()
        .filter(|cause| cause.entry == **nearest)
        .collect();
    for (index, cause) in here.iter().take(NAMED).enumerate() {
        let verb = match cause.kind {
            "depends on" => "it depends on",
            "visible if" => "its menu is visible if",
            _ => "it needs",
        };
        let condition = shortened(&cause.condition);
        let _ = write!(
            text,
            "{}{verb} `{condition}` ({})",
            if index == 0 { "" } else { ", and " },
            cause.place
        );
        for leaf in &cause.leaves {
            if !leaves.contains(&leaf) {
                leaves.push(leaf);
            }
        }
    }
    if here.len() > NAMED {
        let _ = write!(text, " and {} more", here.len() - NAMED);
    }
    let described: Vec<_> = leaves
        .iter()
        .map(|leaf| match &leaf.origin {
            Origin::Unset | Origin::Mode => format!("{} is {}", leaf.symbol, spelled(&leaf.value)),
            Origin::Undefined => format!("{} is not defined in this kernel", leaf.symbol),
            origin => format!("{} is {} ({origin})", leaf.symbol, spelled(&leaf.value)),
        })
        .collect();
    if !described.is_empty() {
        let _ = write!(text, ", but {}", join(&described, "and"));
    }
    text
}

/// A value that can be seen.
fn spelled(value: &str) -> &str {
    if value.is_empty() { "\"\"" } else { value }
}

/// A condition, cut where it is longer than a sentence bears.
fn shortened(condition: &str) -> String {
    if condition.chars().count() <= CONDITION {
        return condition.to_owned();
    }
    let cut: String = condition.chars().take(CONDITION).collect();
    let cut = cut.rfind(' ').map_or(cut.as_str(), |end| &cut[..end]);
    format!("{cut} …")
}

fn symbols(selectors: &[Selector]) -> String {
    let names: Vec<_> = selectors
        .iter()
        .map(|selector| selector.symbol.clone())
        .collect();
    join(&names, "and")
}

fn with_places(selectors: &[Selector]) -> String {
    let names: Vec<_> = selectors
        .iter()
        .map(|selector| format!("{} ({})", selector.symbol, selector.place))
        .collect();
    join(&names, "and")
}

/// `A, B and C`; of many the first ones.
fn join(items: &[String], word: &str) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        many if many.len() > NAMED => format!(
            "{} {word} {} more",
            many[..NAMED].join(", "),
            many.len() - NAMED
        ),
        [first @ .., last] => format!("{} {word} {last}", first.join(", ")),
    }
}

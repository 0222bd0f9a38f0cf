//! Fragments merged into one set of requests.
//!
//! The last fragment wins, in the canonical order of fragments ([`FragmentName`]
//! orders itself so) and not in the order they were selected in. One value is kept
//! against a later one: `y` is not demoted to `m`, unless by a `builtin/` fragment. So
//! a feature that one fragment needs early stays built in when another is content
//! with a module.
//!
//! Nothing is lost: each request knows its place, and those it won over.
//!
//! Without `CONFIG_MODULES` the kernel turns every `m` into `y`. Whether modules are
//! on is known only when the kernel has resolved its configuration (the base and
//! `select` have a say), so the merge leaves `m` alone and [`verify`] takes `y` for it
//! there.
//!
//! [`FragmentName`]: crate::fragment::FragmentName

use std::collections::HashMap;
use std::fmt::{self, Write as _};

use serde::Serialize;

use crate::config::{self, DotConfig, Symbol, Value};
use crate::fragment::{Fragment, Layer, Place};

/// A symbol's value and the line that asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// The value.
    pub value: Value,
    /// The line.
    pub place: Place,
}

/// What the merge asks the kernel for, for one symbol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Request {
    /// The symbol.
    pub symbol: Symbol,
    /// The value that won, and its line.
    pub asked: Asked,
    /// The kernel may lack or refuse it: every fragment that asks for this value says so.
    pub optional: bool,
    /// The lines that set the symbol without winning, in canonical order. Some may
    /// ask for the same value.
    pub others: Vec<Asked>,
}

/// Two fragments ask for different values. `builtin/` and `version/` fragments are
/// made to override, so what they override is not reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// What happened.
    pub kind: Conflict,
    /// The symbol.
    pub symbol: Symbol,
    /// What holds.
    pub kept: Asked,
    /// What was asked for in vain.
    pub dropped: Asked,
}

/// How a difference was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Conflict {
    /// The later line won.
    Redefined,
    /// An earlier `y` was kept against a later `m`.
    NotDemoted,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Diagnostic {
            symbol,
            kept,
            dropped,
            ..
        } = self;
        match self.kind {
            Conflict::Redefined => write!(
                f,
                "{}: {symbol} is {}, which overrides {} from {}",
                kept.place, kept.value, dropped.value, dropped.place
            ),
            Conflict::NotDemoted => write!(
                f,
                "{}: {symbol} stays {} from {}, {} does not demote it",
                dropped.place, kept.value, kept.place, dropped.value
            ),
        }
    }
}

/// The result of a merge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    requests: Vec<Request>,
    index: HashMap<Symbol, usize>,
    diagnostics: Vec<Diagnostic>,
}

/// Merges fragments, whatever order they come in. The same fragment twice counts once.
pub fn merge<'a>(fragments: impl IntoIterator<Item = &'a Fragment>) -> Merged {
    let mut fragments: Vec<_> = fragments.into_iter().collect();
    fragments.sort_by_key(|fragment| fragment.name());
    fragments.dedup_by_key(|fragment| fragment.name());

    // A request's position is that of its winning line: of two members of a choice
    // that are both `y` the kernel takes the one it reads last.
    let mut found: HashMap<&Symbol, (usize, Request)> = HashMap::new();
    let mut diagnostics = Vec::new();
    let settings = fragments.iter().flat_map(|fragment| {
        fragment
            .settings()
            .iter()
            .map(move |setting| (*fragment, setting))
    });
    for (position, (fragment, setting)) in settings.enumerate() {
        let asked = Asked {
            value: setting.value.clone(),
            place: fragment.place(setting.line),
        };
        let Some((winner, request)) = found.get_mut(&setting.symbol) else {
            let request = Request {
                symbol: setting.symbol.clone(),
                asked,
                optional: setting.optional,
                others: Vec::new(),
            };
            found.insert(&setting.symbol, (position, request));
            continue;
        };
        let layer = fragment.name().layer();
        let demotes = (&request.asked.value, &asked.value) == (&Value::Yes, &Value::Module);
        if demotes && layer != Layer::Builtin {
            diagnostics.push(Diagnostic {
                kind: Conflict::NotDemoted,
                symbol: setting.symbol.clone(),
                kept: request.asked.clone(),
                dropped: asked.clone(),
            });
            request.others.push(asked);
            continue;
        }
        *winner = position;
        let agrees = request.asked.value == asked.value;
        request.optional = setting.optional && (request.optional || !agrees);
        let earlier = std::mem::replace(&mut request.asked, asked);
        if !agrees && layer < Layer::Version {
            diagnostics.push(Diagnostic {
                kind: Conflict::Redefined,
                symbol: setting.symbol.clone(),
                kept: request.asked.clone(),
                dropped: earlier.clone(),
            });
        }
        request.others.push(earlier);
    }

    let mut ordered: Vec<_> = found.into_values().collect();
    ordered.sort_unstable_by_key(|(position, _)| *position);
    let requests: Vec<_> = ordered.into_iter().map(|(_, request)| request).collect();
    let index = requests
        .iter()
        .enumerate()
        .map(|(index, request)| (request.symbol.clone(), index))
        .collect();
    Merged {
        requests,
        index,
        diagnostics,
    }
}

impl Merged {
    /// What is asked for, each symbol once, in the canonical order of the winning lines.
    pub fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// What is asked for one symbol.
    pub fn get(&self, symbol: &Symbol) -> Option<&Request> {
        self.index.get(symbol).map(|index| &self.requests[*index])
    }

    /// Whether `symbol` (without prefix) is asked to be on, or to have a value.
    pub fn asks(&self, symbol: &str) -> bool {
        let request = symbol.parse().ok().and_then(|symbol| self.get(&symbol));
        request.is_some_and(|request| request.asked.value != Value::No)
    }

    /// Where fragments ask for different values.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// The requests as a file for `KCONFIG_ALLCONFIG`, grouped under the fragments
    /// they come from. The same fragments give the same bytes wherever they lie.
    pub fn to_config_text(&self) -> String {
        let mut text = String::with_capacity(32 * self.requests.len());
        let mut from = None;
        for request in &self.requests {
            let fragment = &request.asked.place.fragment;
            if from != Some(fragment) {
                let blank = if from.is_some() { "\n" } else { "" };
                let _ = writeln!(text, "{blank}# {fragment}.config");
                from = Some(fragment);
            }
            text.push_str(&config::line(&request.symbol, &request.asked.value));
            text.push('\n');
        }
        text
    }
}

/// A request that the kernel did not honour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unmet {
    /// The symbol.
    pub symbol: Symbol,
    /// What was asked for, and where.
    pub wanted: Asked,
    /// What the result has; `None` where it does not mention the symbol.
    pub got: Option<Value>,
    /// The fragment says that the kernel may lack or refuse it.
    pub optional: bool,
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Unmet { symbol, wanted, .. } = self;
        write!(
            f,
            "{}: {symbol} should be {}, but ",
            wanted.place, wanted.value
        )?;
        match &self.got {
            Some(value) => write!(f, "is {value}"),
            None => f.write_str("is not in the configuration"),
        }
    }
}

/// The requests that a resolved `.config` does not honour, optional ones included, in
/// the order of [`Merged::requests`].
///
/// A value must be there as it was asked for. `n` is met by a symbol that is not
/// mentioned as well. `m` is met by `y` only where modules are off.
pub fn verify(merged: &Merged, result: &DotConfig) -> Vec<Unmet> {
    let modules = result.is_enabled("MODULES");
    let is_met = |wanted: &Value, got: Option<&Value>| match (wanted, got) {
        (Value::No, None) => true,
        (Value::Module, Some(Value::Yes)) => !modules,
        (wanted, got) => got == Some(wanted),
    };
    merged
        .requests
        .iter()
        .map(|request| (request, result.get(&request.symbol)))
        .filter(|(request, got)| !is_met(&request.asked.value, *got))
        .map(|(request, got)| Unmet {
            symbol: request.symbol.clone(),
            wanted: request.asked.clone(),
            got: got.cloned(),
            optional: request.optional,
        })
        .collect()
}

#[cfg(test)]
mod tests;

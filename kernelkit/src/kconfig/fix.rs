//! The fewest settings that make a request hold, found by search and tried out.
//!
//! A search over the expressions proposes settings, an evaluation of the whole tree
//! judges them; what does not hold yet is searched on from where it stands. Of several
//! that hold, the one that costs no other request wins, then the shortest, then the one
//! that changes least.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

use super::eval::{User, Values};
use super::model::{SymbolId, Type};
use super::number;
use super::refusal::{Target, target_holds};
use super::resolve::{Resolution, Value};
use super::ways::{Index, Search, Way};

/// A line of a fragment.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Setting {
    /// The symbol, with its prefix.
    pub symbol: String,
    /// The value as `.config` spells it.
    pub value: String,
}

impl std::fmt::Display for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.value == "n" {
            write!(f, "# {} is not set", self.symbol)
        } else {
            write!(f, "{}={}", self.symbol, self.value)
        }
    }
}

/// A request that held and would not hold with a [`Fix`].
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Lost {
    /// The symbol.
    pub symbol: String,
    /// What is asked for, and holds.
    pub wanted: Value,
    /// What it would become.
    pub becomes: Value,
}

/// Settings that make a request hold.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Fix {
    /// Lines to add, the request itself last; each one is needed.
    pub settings: Vec<Setting>,
    /// Other requests that cannot hold at the same time. Empty wherever that is possible.
    pub loses: Vec<Lost>,
    /// The request cannot hold as it is: this is the nearest to it that can.
    pub nearest: bool,
}

/// A request that is to be kept.
pub(super) type Kept = (SymbolId, Target);

/// Evaluations of the whole tree, at most: each costs about a millisecond.
const TRIALS: u32 = 40;
/// Of those, spent on others as short once one was found that costs no request.
const COMPARED: u32 = 8;
/// How often a proposal that does not hold yet is searched on from.
const ROUNDS: u32 = 3;

/// A proposal, ordered so that the heap gives the cheapest first, and among those the first found.
type Proposal = Reverse<(u32, u32, Vec<(SymbolId, Target)>, u32)>;

/// What speaks against a fix, in the order of weight: requests it loses and dependencies it
/// breaks, its cost, symbols it switches off, symbols whose value it changes.
type Weight = (usize, u32, usize, usize);

struct Trial<'a> {
    before: &'a Values<'a>,
    symbol: SymbolId,
    target: &'a Target,
    kept: &'a [Kept],
    count: u32,
}

/// Settings that make `symbol` what is wanted, tried out.
pub(super) fn find(
    resolution: &Resolution<'_>,
    symbol: SymbolId,
    target: &Target,
    kept: &[Kept],
) -> Option<Fix> {
    let before = &resolution.values;
    let index = Index::new(before.model());
    let kept: Vec<Kept> = kept
        .iter()
        .filter(|(other, wanted)| *other != symbol && is_met(before, *other, wanted))
        .cloned()
        .collect();
    let mut trial = Trial {
        before,
        symbol,
        target,
        kept: &kept,
        count: 0,
    };
    let mut best: Option<(Weight, Way)> = None;
    let mut limit = TRIALS;
    let mut steps = 0;
    let mut seen: HashSet<Vec<(SymbolId, Target)>> = HashSet::new();
    let mut queue: BinaryHeap<Proposal> = BinaryHeap::new();
    queue.push(Reverse((0, 0, Vec::new(), 0)));
    let mut order = 0;
    while let Some(Reverse((cost, _, way, round))) = queue.pop() {
        let settled = best
            .as_ref()
            .is_some_and(|((harm, least, ..), _)| *harm == 0 && cost > *least);
        if settled || trial.count >= limit {
            break;
        }
        let after = trial.run(&way);
        if target_holds(&after, symbol, target) {
            let (weight, way) = trial.prune(&index, way, &after);
            if weight.0 == 0 {
                limit = limit.min(trial.count + COMPARED);
            }
            if best.as_ref().is_none_or(|(least, _)| weight < *least) {
                best = Some((weight, way));
            }
            continue;
        }
        if round == ROUNDS {
            continue;
        }
        let mut search = Search::new(&after, &index, steps);
        let ways = search.towards(symbol, target);
        steps = search.steps();
        for next in ways {
            let combined = combine(&way, next, symbol);
            let mut sorted = combined.clone();
            sorted.sort();
            if seen.insert(sorted) {
                order += 1;
                let cost = index.cost(&combined);
                queue.push(Reverse((cost, order, combined, round + 1)));
            }
        }
    }
    let Some((_, way)) = best else {
        return nearest(&mut trial);
    };
    let after = trial.run(&way);
    let mut settings: Vec<_> = way
        .iter()
        .map(|(symbol, target)| setting(before, *symbol, target))
        .collect();
    if has_prompt(before, symbol) {
        settings.push(setting(before, symbol, target));
    }
    Some(Fix {
        settings,
        loses: trial.lost(&after),
        nearest: false,
    })
}

/// One way with the other on top; the request itself is always set anyway.
fn combine(way: &Way, next: Way, symbol: SymbolId) -> Way {
    let mut combined = way.clone();
    for (other, target) in next {
        if other == symbol {
            continue;
        }
        match combined.iter_mut().find(|(there, _)| *there == other) {
            Some((_, old)) => *old = target,
            None => combined.push((other, target)),
        }
    }
    combined
}

fn has_prompt(values: &Values<'_>, symbol: SymbolId) -> bool {
    values.model().prompts(symbol).next().is_some()
}

/// A setting as a line.
pub(super) fn setting(values: &Values<'_>, symbol: SymbolId, target: &Target) -> Setting {
    let kconfig = values.kconfig;
    let value = match target {
        Target::Tristate(value) => ["n", "m", "y"][usize::from(*value)].to_owned(),
        Target::Text(text) if values.model().symbol(symbol).kind == Type::String => {
            format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
        }
        Target::Text(text) => text.clone(),
    };
    Setting {
        symbol: format!("{}{}", kconfig.prefix, kconfig.name(symbol)),
        value,
    }
}

/// For a number out of range, the bound it is nearest to.
fn nearest(trial: &mut Trial<'_>) -> Option<Fix> {
    let Target::Text(text) = trial.target else {
        return None;
    };
    let values = trial.before;
    let (low, high) = values.range(trial.symbol)?;
    let base = match values.model().symbol(trial.symbol).kind {
        Type::Hex => 16,
        _ => 10,
    };
    let number = |text: &[u8]| number::prefix(text, base);
    let bound = if number(text.as_bytes()) < number(values.bytes_of(low)) {
        low
    } else {
        high
    };
    let target = Target::Text(String::from_utf8_lossy(values.bytes_of(bound)).into_owned());
    let trial = Trial {
        target: &target,
        count: 0,
        ..*trial
    };
    let after = trial.evaluate(&Vec::new());
    target_holds(&after, trial.symbol, &target).then(|| Fix {
        settings: vec![setting(values, trial.symbol, &target)],
        loses: trial.lost(&after),
        nearest: true,
    })
}

/// Whether a number is within the range that holds now.
pub(super) fn within(values: &Values<'_>, symbol: SymbolId, text: &str) -> bool {
    let mut values = values.clone();
    let text = values.add_text(text.as_bytes());
    values.is_within_range(symbol, text)
}

/// Whether a request is met: without modules, `y` is as good as `m`.
pub(super) fn is_met(values: &Values<'_>, symbol: SymbolId, target: &Target) -> bool {
    target_holds(values, symbol, target)
        || (*target == Target::Tristate(1) && values.tristate(symbol) == 2 && values.modules() == 0)
}

impl<'a> Trial<'a> {
    /// The values with `way` and the request set.
    fn run(&mut self, way: &Way) -> Values<'a> {
        self.count += 1;
        self.evaluate(way)
    }

    fn evaluate(&self, way: &Way) -> Values<'a> {
        let mut values = self.before.clone();
        for (symbol, target) in way {
            set(&mut values, *symbol, target);
        }
        set(&mut values, self.symbol, self.target);
        values.evaluate();
        values
    }

    /// The way without what can go without harm, and what speaks against it.
    fn prune(&mut self, index: &Index, mut way: Way, after: &Values<'_>) -> (Weight, Way) {
        let mut weight = self.weigh(index, &way, after);
        for at in (0..way.len()).rev() {
            let mut shorter = way.clone();
            shorter.remove(at);
            let after = self.run(&shorter);
            if target_holds(&after, self.symbol, self.target) {
                let lighter = self.weigh(index, &shorter, &after);
                if lighter < weight {
                    (way, weight) = (shorter, lighter);
                }
            }
        }
        (weight, way)
    }

    fn weigh(&self, index: &Index, way: &Way, after: &Values<'_>) -> Weight {
        let broken = after
            .unmet
            .iter()
            .filter(|symbol| !self.before.unmet.contains(symbol))
            .count();
        let lost = self
            .kept
            .iter()
            .filter(|(symbol, target)| !is_met(after, *symbol, target))
            .count();
        let off = way
            .iter()
            .filter(|(_, target)| *target == Target::Tristate(0))
            .count();
        let symbols = 0..after.model().symbols.len() as SymbolId;
        let changed = symbols
            .filter(|symbol| self.before.tristate(*symbol) != after.tristate(*symbol))
            .count();
        (lost + broken, index.cost(way), off, changed)
    }

    fn lost(&self, after: &Values<'_>) -> Vec<Lost> {
        let value = |symbol, target: &Target| match target {
            Target::Tristate(_) => Value::Tristate(after.value_of(symbol)),
            Target::Text(_) => {
                Value::Text(String::from_utf8_lossy(after.bytes_of(symbol)).into_owned())
            }
        };
        self.kept
            .iter()
            .filter(|(symbol, target)| !is_met(after, *symbol, target))
            .map(|(symbol, target)| Lost {
                symbol: after.kconfig.name(*symbol),
                wanted: target.to_value(),
                becomes: value(*symbol, target),
            })
            .collect()
    }
}

/// Sets a symbol as another line of the input would.
fn set(values: &mut Values<'_>, symbol: SymbolId, target: &Target) {
    let value = match target {
        Target::Tristate(value) => *value,
        Target::Text(text) => {
            let text = values.add_text(text.as_bytes());
            values.user[symbol as usize] = User { text, ..User::NONE };
            return;
        }
    };
    values.user[symbol as usize] = User {
        tristate: value,
        ..User::NONE
    };
    let Some(choice) = values.model().choice_of(symbol) else {
        return;
    };
    if values.kconfig.dialect().choice_is_symbol {
        let own = values.model().choices[choice as usize].symbol as usize;
        if value == 2 {
            values.picked[choice as usize] = symbol;
        }
        let state = values.user[own].tristate().unwrap_or(0).max(value);
        values.user[own] = User {
            tristate: state,
            ..User::NONE
        };
    } else {
        values.prefer(choice, symbol);
    }
}

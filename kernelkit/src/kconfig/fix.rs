//! The fewest settings that make a request hold, found by search and tried out.

use std::collections::HashMap;

use super::eval::{User, Values};
use super::explain::{Reason, Target, target_holds};
use super::model::{Comparison, Expr, ExprId, NONE, PropertyKind, SymbolId, Type, Y};
use super::number;
use super::resolve::Resolution;

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

/// How many symbols deep dependencies are followed.
const DEPTH: u32 = 8;
/// How deep expressions are taken apart.
const NESTING: u32 = 64;
/// Alternatives kept at each step, the shortest first.
const WIDTH: usize = 12;
/// Alternatives that are tried out.
const TRIALS: usize = 40;
/// Steps of the search in all, for trees that are made to keep it busy.
const STEPS: u32 = 50_000;

/// Settings of bools and tristates that belong together.
type Way = Vec<(SymbolId, u8)>;

/// Settings that make `symbol` what is wanted, tried out; the request itself is the last.
pub(super) fn find(
    resolution: &Resolution<'_>,
    symbol: SymbolId,
    target: &Target,
    reason: &Reason,
) -> Option<Vec<Setting>> {
    if matches!(reason, Reason::Transitional(_)) {
        return None;
    }
    let values = &resolution.values;
    let mut search = Search::new(values);
    let entry = values.model().symbol(symbol);
    let mut ways = match target {
        Target::Tristate(wanted) => {
            let mut ways = if *wanted > values.tristate(symbol) {
                search.raise(symbol, *wanted, DEPTH, true)
            } else {
                search.lower(symbol, *wanted, DEPTH)
            };
            if *reason == Reason::ModulesOff {
                ways.push(vec![(values.model().modules, 2), (symbol, 1)]);
            }
            ways.push(vec![(symbol, *wanted)]);
            ways
        }
        Target::Text(_) => search.visibility(symbol, 1, DEPTH),
    };
    ways.sort_by_key(Vec::len);
    for way in ways.iter().take(TRIALS) {
        if !tries(values, way, symbol, target) {
            continue;
        }
        let mut way = way.clone();
        // Whatever can go without harm was not needed.
        for index in (0..way.len()).rev() {
            let mut shorter = way.clone();
            shorter.remove(index);
            if tries(values, &shorter, symbol, target) {
                way = shorter;
            }
        }
        way.retain(|(other, _)| *other != symbol);
        let mut settings: Vec<_> = way
            .iter()
            .map(|(symbol, value)| setting(values, *symbol, ["n", "m", "y"][usize::from(*value)]))
            .collect();
        let prompted = values
            .model()
            .properties(symbol)
            .iter()
            .any(|property| matches!(property.kind, PropertyKind::Prompt(_)));
        if prompted {
            let value = match target {
                Target::Tristate(value) => ["n", "m", "y"][usize::from(*value)].to_owned(),
                Target::Text(text) if entry.kind == Type::String => {
                    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
                }
                Target::Text(text) => text.clone(),
            };
            settings.push(setting(values, symbol, &value));
        }
        return Some(settings);
    }
    nearest(values, symbol, target, reason)
}

fn setting(values: &Values<'_>, symbol: SymbolId, value: &str) -> Setting {
    let kconfig = values.kconfig;
    Setting {
        symbol: format!("{}{}", kconfig.prefix, kconfig.name(symbol)),
        value: value.to_owned(),
    }
}

/// For a number out of range, the bound it is nearest to.
fn nearest(
    values: &Values<'_>,
    symbol: SymbolId,
    target: &Target,
    reason: &Reason,
) -> Option<Vec<Setting>> {
    let (Target::Text(text), Reason::OutOfRange { low, high }) = (target, reason) else {
        return None;
    };
    let base = match values.model().symbol(symbol).kind {
        Type::Hex => 16,
        _ => 10,
    };
    let number = |text: &str| number::prefix(text.as_bytes(), base);
    let bound = if number(text) < number(low) {
        low
    } else {
        high
    };
    let target = Target::Text(bound.clone());
    tries(values, &Vec::new(), symbol, &target).then(|| vec![setting(values, symbol, bound)])
}

/// Whether a number is within the range that holds now.
pub(super) fn within(values: &Values<'_>, symbol: SymbolId, text: &str) -> bool {
    let mut values = values.clone();
    let text = values.add_text(text.as_bytes());
    values.is_within_range(symbol, text)
}

/// Whether the request holds once `way` is set as well.
fn tries(values: &Values<'_>, way: &Way, symbol: SymbolId, target: &Target) -> bool {
    let mut values = values.clone();
    let target_setting = match target {
        Target::Tristate(value) => Some((symbol, *value)),
        Target::Text(_) => None,
    };
    for (symbol, value) in way.iter().copied().chain(target_setting) {
        set(&mut values, symbol, value);
    }
    if let Target::Text(text) = target {
        let text = values.add_text(text.as_bytes());
        values.user[symbol as usize] = User { text, ..User::NONE };
    }
    values.evaluate();
    target_holds(&values, symbol, target)
}

/// Sets a symbol as another line of the input would.
fn set(values: &mut Values<'_>, symbol: SymbolId, value: u8) {
    values.user[symbol as usize] = User {
        tristate: value,
        ..User::NONE
    };
    let choice = values.model().symbol(symbol).choice;
    if choice == NONE {
        return;
    }
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

struct Search<'v, 'k> {
    values: &'v Values<'k>,
    /// Selecting properties by what they select.
    selects: HashMap<SymbolId, Vec<u32>>,
    /// Symbols being worked on, against going round in circles.
    open: Vec<SymbolId>,
    steps: u32,
}

impl<'v, 'k> Search<'v, 'k> {
    fn new(values: &'v Values<'k>) -> Self {
        let mut selects: HashMap<SymbolId, Vec<u32>> = HashMap::new();
        for (index, property) in (0..).zip(&values.model().properties) {
            if let PropertyKind::Select(target) = property.kind {
                selects.entry(target).or_default().push(index);
            }
        }
        Search {
            values,
            selects,
            open: Vec::new(),
            steps: 0,
        }
    }

    /// Ways to see a prompt of `symbol` with at least `level`.
    fn visibility(&mut self, symbol: SymbolId, level: u8, depth: u32) -> Vec<Way> {
        let properties = self.values.model().properties(symbol);
        let mut ways = Vec::new();
        for property in properties {
            if matches!(property.kind, PropertyKind::Prompt(_)) {
                ways.extend(self.at_least(property.condition, level, depth, 0));
            }
        }
        shortest(ways)
    }

    /// Ways to get `symbol` to at least `level`; `anew` even if it is there already.
    fn raise(&mut self, symbol: SymbolId, level: u8, depth: u32, anew: bool) -> Vec<Way> {
        let model = self.values.model();
        let entry = model.symbol(symbol);
        self.steps += 1;
        let hopeless = symbol <= Y
            || depth == 0
            || self.steps > STEPS
            || !entry.kind.is_logical()
            || self.open.contains(&symbol);
        if self.values.tristate(symbol) >= level && !anew {
            return vec![Vec::new()];
        }
        if hopeless {
            return Vec::new();
        }
        self.open.push(symbol);
        let bool = entry.kind == Type::Bool;
        let needed = if bool { 1 } else { level };
        let value = if bool { 2 } else { level };
        let mut ways = self.visibility(symbol, needed, depth - 1);
        for way in &mut ways {
            way.push((symbol, value));
        }
        // Selecting is a last resort: it is how dependencies get broken.
        if ways.is_empty() {
            let selects = self.selects.get(&symbol).cloned().unwrap_or_default();
            for index in selects.into_iter().take(WIDTH) {
                let property = model.properties[index as usize];
                let owner = self.raise(property.owner, needed, depth - 1, false);
                let condition = self.at_least(property.condition, needed, depth - 1, 0);
                ways.extend(both(owner, condition));
            }
            for property in model.properties(symbol) {
                if let PropertyKind::Default(default) = property.kind {
                    let value = self.at_least(default, needed, depth - 1, 0);
                    let condition = self.at_least(property.condition, needed, depth - 1, 0);
                    ways.extend(both(value, condition));
                }
            }
        }
        self.open.pop();
        shortest(ways)
    }

    /// Ways to get `symbol` to at most `level`.
    fn lower(&mut self, symbol: SymbolId, level: u8, depth: u32) -> Vec<Way> {
        let model = self.values.model();
        let entry = model.symbol(symbol);
        self.steps += 1;
        if self.values.tristate(symbol) <= level {
            return vec![Vec::new()];
        }
        let hopeless = symbol <= Y
            || depth == 0
            || self.steps > STEPS
            || !entry.kind.is_logical()
            || self.open.contains(&symbol);
        if hopeless {
            return Vec::new();
        }
        self.open.push(symbol);
        let level = if entry.kind == Type::Bool { 0 } else { level };
        let selected = self.at_most(entry.rev_dep, level, depth - 1, 0);
        let mut ways = Vec::new();
        if self.values.visible(symbol) != 0 {
            ways = both(vec![vec![(symbol, level)]], selected);
            if entry.choice != NONE {
                // A choice keeps one: another member has to take over.
                for member in &model.choices[entry.choice as usize].members {
                    if *member != symbol && self.values.visible(*member) != 0 {
                        ways.push(vec![(symbol, 0), (*member, 2)]);
                    }
                }
            }
        } else {
            let mut defaults = vec![Vec::new()];
            for property in model.properties(symbol) {
                if let PropertyKind::Default(default) = property.kind {
                    let mut off = self.at_most(property.condition, level, depth - 1, 0);
                    off.extend(self.at_most(default, level, depth - 1, 0));
                    defaults = both(defaults, shortest(off));
                }
            }
            ways.extend(both(selected, defaults));
        }
        self.open.pop();
        shortest(ways)
    }

    fn at_least(&mut self, expr: ExprId, level: u8, depth: u32, nesting: u32) -> Vec<Way> {
        self.steps += 1;
        if level == 0 || self.values.expr(expr) >= level {
            return vec![Vec::new()];
        }
        if nesting > NESTING || self.steps > STEPS {
            return Vec::new();
        }
        let index = match expr.split() {
            Ok(symbol) => return self.raise(symbol, level, depth, false),
            Err(index) => index,
        };
        match self.values.model().exprs.get(index) {
            Expr::Not(a) => self.at_most(a, 2 - level, depth, nesting + 1),
            Expr::And(a, b) => {
                let left = self.at_least(a, level, depth, nesting + 1);
                let right = self.at_least(b, level, depth, nesting + 1);
                both(left, right)
            }
            Expr::Or(a, b) => {
                let mut ways = self.at_least(a, level, depth, nesting + 1);
                ways.extend(self.at_least(b, level, depth, nesting + 1));
                shortest(ways)
            }
            Expr::Compare(comparison, a, b) => self.compare(comparison, a, b, depth),
        }
    }

    fn at_most(&mut self, expr: ExprId, level: u8, depth: u32, nesting: u32) -> Vec<Way> {
        self.steps += 1;
        if self.values.expr(expr) <= level {
            return vec![Vec::new()];
        }
        if nesting > NESTING || self.steps > STEPS {
            return Vec::new();
        }
        let index = match expr.split() {
            Ok(symbol) => return self.lower(symbol, level, depth),
            Err(index) => index,
        };
        match self.values.model().exprs.get(index) {
            Expr::Not(a) => self.at_least(a, 2 - level, depth, nesting + 1),
            Expr::Or(a, b) => {
                let left = self.at_most(a, level, depth, nesting + 1);
                let right = self.at_most(b, level, depth, nesting + 1);
                both(left, right)
            }
            Expr::And(a, b) => {
                let mut ways = self.at_most(a, level, depth, nesting + 1);
                ways.extend(self.at_most(b, level, depth, nesting + 1));
                shortest(ways)
            }
            Expr::Compare(Comparison::Equal, a, b) => {
                self.compare(Comparison::Unequal, a, b, depth)
            }
            Expr::Compare(Comparison::Unequal, a, b) => {
                self.compare(Comparison::Equal, a, b, depth)
            }
            Expr::Compare(..) => Vec::new(),
        }
    }

    /// Ways to make a comparison with `y`, `m` or `n` hold; others are left to the user.
    fn compare(
        &mut self,
        comparison: Comparison,
        a: SymbolId,
        b: SymbolId,
        depth: u32,
    ) -> Vec<Way> {
        let (symbol, constant) = match (a <= Y, b <= Y) {
            (false, true) => (a, b as u8),
            (true, false) => (b, a as u8),
            _ => return Vec::new(),
        };
        match (comparison, constant) {
            (Comparison::Equal, 2) => self.raise(symbol, 2, depth, false),
            (Comparison::Equal, 0) => self.lower(symbol, 0, depth),
            (Comparison::Equal, _) if self.values.tristate(symbol) > 1 => {
                self.lower(symbol, 1, depth)
            }
            (Comparison::Equal, _) => self.raise(symbol, 1, depth, false),
            (Comparison::Unequal, 0) => self.raise(symbol, 1, depth, false),
            (Comparison::Unequal, 2) => self.lower(symbol, 1, depth),
            (Comparison::Unequal, _) => self.raise(symbol, 2, depth, false),
            _ => Vec::new(),
        }
    }
}

/// Every way of one with every way of the other, where they do not contradict.
fn both(left: Vec<Way>, right: Vec<Way>) -> Vec<Way> {
    let mut ways = Vec::new();
    for a in &left {
        for b in &right {
            let mut way = a.clone();
            let mut agrees = true;
            for (symbol, value) in b {
                match way.iter_mut().find(|(other, _)| other == symbol) {
                    None => way.push((*symbol, *value)),
                    // Off and on at once cannot be; of m and y, y serves both.
                    Some((_, old)) if (*old == 0) != (*value == 0) => agrees = false,
                    Some((_, old)) => *old = (*old).max(*value),
                }
            }
            if agrees {
                ways.push(way);
            }
        }
    }
    shortest(ways)
}

fn shortest(mut ways: Vec<Way>) -> Vec<Way> {
    ways.sort_by_key(Vec::len);
    ways.dedup();
    ways.truncate(WIDTH);
    ways
}

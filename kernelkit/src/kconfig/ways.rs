//! Settings that could make an expression hold: proposals, which an evaluation then judges.
//!
//! Goes down the expressions from the values as they are. Nothing here knows what a
//! setting does to other symbols, so a proposal may fail, or need more.

use std::collections::HashMap;

use super::eval::{Values, compare_texts};
use super::model::{
    Comparison, Expr, ExprId, Model, NONE, Property, PropertyKind, SymbolId, Type, Y,
};
use super::number;
use super::refusal::Target;

/// Settings that belong together.
pub(super) type Way = Vec<(SymbolId, Target)>;

/// How many symbols deep dependencies are followed.
const DEPTH: u32 = 8;
/// How deep expressions are taken apart.
const NESTING: u32 = 64;
/// Alternatives kept at each step, the cheapest first.
const WIDTH: usize = 12;
/// Selecting symbols that are looked at.
const SELECTORS: usize = 12;
/// Steps for one request, for trees that are made to keep the search busy.
const STEPS: u32 = 30_000;
/// What a symbol costs that is to be avoided: it is meant for nobody's kernel.
const ODD: u32 = 4;

/// What is looked up again and again.
pub(super) struct Index {
    /// Selecting and implying properties by their symbol.
    selects: HashMap<SymbolId, Vec<u32>>,
    implies: HashMap<SymbolId, Vec<u32>>,
    /// Symbols that lift dependencies for the sake of compiling more.
    odd: Vec<SymbolId>,
}

impl Index {
    pub(super) fn new(model: &Model) -> Self {
        let mut index = Index {
            selects: HashMap::new(),
            implies: HashMap::new(),
            odd: [&b"COMPILE_TEST"[..], b"BROKEN"]
                .iter()
                .filter_map(|name| model.names.find(name, false))
                .collect(),
        };
        for (number, property) in (0..).zip(&model.properties) {
            match property.kind {
                PropertyKind::Select(target) => {
                    index.selects.entry(target).or_default().push(number);
                }
                PropertyKind::Imply(target) => {
                    index.implies.entry(target).or_default().push(number);
                }
                _ => {}
            }
        }
        index
    }

    /// Lines, and more for what is to be avoided.
    pub(super) fn cost(&self, way: &Way) -> u32 {
        let odd = way
            .iter()
            .filter(|(symbol, target)| self.odd.contains(symbol) && *target != Target::Tristate(0))
            .count();
        way.len() as u32 + ODD * odd as u32
    }
}

/// A search from the values as they are.
pub(super) struct Search<'v, 'k> {
    values: &'v Values<'k>,
    index: &'v Index,
    /// Symbols being worked on, against going round in circles.
    open: Vec<SymbolId>,
    steps: u32,
}

impl<'v, 'k> Search<'v, 'k> {
    /// `steps` have been taken for the same request before.
    pub(super) fn new(values: &'v Values<'k>, index: &'v Index, steps: u32) -> Self {
        Search {
            values,
            index,
            open: Vec::new(),
            steps,
        }
    }

    /// Steps taken so far.
    pub(super) fn steps(&self) -> u32 {
        self.steps
    }

    /// Ways for `symbol` to get the value that is wanted.
    pub(super) fn towards(&mut self, symbol: SymbolId, target: &Target) -> Vec<Way> {
        match target {
            Target::Tristate(wanted) => self.exactly(symbol, *wanted, DEPTH),
            Target::Text(text) => self.text(symbol, Comparison::Equal, text, DEPTH),
        }
    }

    fn exactly(&mut self, symbol: SymbolId, value: u8, depth: u32) -> Vec<Way> {
        if self.values.tristate(symbol) > value {
            self.lower(symbol, value, depth)
        } else {
            self.raise(symbol, value, depth)
        }
    }

    /// Ways to see a prompt of `symbol` with at least `level`.
    fn visibility(&mut self, symbol: SymbolId, level: u8, depth: u32) -> Vec<Way> {
        let mut ways = Vec::new();
        for property in self.values.model().properties(symbol) {
            if matches!(property.kind, PropertyKind::Prompt(_)) {
                ways.extend(self.at_least(property.condition, level, depth, 0));
            }
        }
        self.cheapest(ways)
    }

    fn is_hopeless(&mut self, symbol: SymbolId, depth: u32) -> bool {
        self.steps += 1;
        symbol <= Y
            || depth == 0
            || self.steps > STEPS
            || !self.values.model().symbol(symbol).kind.is_logical()
            || self.open.contains(&symbol)
    }

    /// Ways to get `symbol` to at least `level`.
    fn raise(&mut self, symbol: SymbolId, level: u8, depth: u32) -> Vec<Way> {
        if self.values.tristate(symbol) >= level {
            return vec![Vec::new()];
        }
        if self.is_hopeless(symbol, depth) {
            return Vec::new();
        }
        self.open.push(symbol);
        let model = self.values.model();
        let bool = self.values.effective(symbol) == Type::Bool;
        let needed = if bool { 1 } else { level };
        let value = if bool { 2 } else { level };
        let mut ways = self.visibility(symbol, needed, depth - 1);
        // A choice is set by its members.
        if !model.is_choice(symbol) {
            for way in &mut ways {
                way.push((symbol, Target::Tristate(value)));
            }
        }
        let direct = ways.first().map(|way| self.index.cost(way));
        ways.extend(self.selected(symbol, needed, depth, direct.is_some()));
        if direct.is_none_or(|cost| cost > 1) {
            for property in model.properties(symbol) {
                if let PropertyKind::Default(default) = property.kind {
                    let value = self.at_least(default, needed, depth - 1, 0);
                    let condition = self.at_least(property.condition, needed, depth - 1, 0);
                    ways.extend(self.both(value, condition));
                }
            }
        }
        self.open.pop();
        self.cheapest(ways)
    }

    /// Ways to have `symbol` selected: by what can just be set if it also has a prompt,
    /// else by anything.
    fn selected(&mut self, symbol: SymbolId, level: u8, depth: u32, shallow: bool) -> Vec<Way> {
        let model = self.values.model();
        let empty = Vec::new();
        let selects = self.index.selects.get(&symbol).unwrap_or(&empty);
        let implies = self.index.implies.get(&symbol).unwrap_or(&empty);
        let properties: Vec<&Property> = selects
            .iter()
            .chain(implies)
            .map(|number| &model.properties[*number as usize])
            .collect();
        let at_hand = |property: &&&Property| {
            let owner = property.owner;
            let condition = self.values.expr(property.condition);
            let direct = model.symbol(symbol).dir_dep;
            self.values.visible(owner) >= level
                && condition >= level
                && self.values.expr(direct) >= level
                && !self.open.contains(&owner)
        };
        let mut ways: Vec<Way> = properties
            .iter()
            .filter(at_hand)
            .take(SELECTORS)
            .map(|property| {
                let bool = self.values.effective(property.owner) == Type::Bool;
                vec![(
                    property.owner,
                    Target::Tristate(if bool { 2 } else { level }),
                )]
            })
            .collect();
        if shallow || !ways.is_empty() {
            return ways;
        }
        for property in properties.into_iter().take(SELECTORS) {
            let owner = self.raise(property.owner, level, depth - 1);
            let condition = self.at_least(property.condition, level, depth - 1, 0);
            ways.extend(self.both(owner, condition));
        }
        ways
    }

    /// Ways to get `symbol` to at most `level`.
    fn lower(&mut self, symbol: SymbolId, level: u8, depth: u32) -> Vec<Way> {
        if self.values.tristate(symbol) <= level {
            return vec![Vec::new()];
        }
        if self.is_hopeless(symbol, depth) {
            return Vec::new();
        }
        self.open.push(symbol);
        let model = self.values.model();
        let entry = model.symbol(symbol);
        let mut ways = Vec::new();
        if level == 1 && entry.kind == Type::Tristate && self.values.modules() == 0 {
            ways = self.raise(model.modules, 2, depth - 1);
            for way in &mut ways {
                way.push((symbol, Target::Tristate(1)));
            }
        }
        let level = if entry.kind == Type::Bool { 0 } else { level };
        let selected = self.at_most(entry.rev_dep, level, depth - 1, 0);
        if self.values.visible(symbol) != 0 {
            let own = vec![vec![(symbol, Target::Tristate(level))]];
            ways.extend(self.both(own, selected));
            if let Some(choice) = model.choice_of(symbol) {
                // A choice keeps one: another member has to take over.
                for member in &model.choices[choice as usize].members {
                    if *member != symbol && self.values.visible(*member) != 0 {
                        ways.push(vec![
                            (symbol, Target::Tristate(0)),
                            (*member, Target::Tristate(2)),
                        ]);
                    }
                }
            }
        } else {
            let mut seen = self.visibility(symbol, 1, depth - 1);
            for way in &mut seen {
                way.push((symbol, Target::Tristate(level)));
            }
            ways.extend(self.both(seen, selected.clone()));
            let mut others = self.at_most(entry.implied, level, depth - 1, 0);
            for property in model.properties(symbol) {
                if let PropertyKind::Default(default) = property.kind {
                    let mut off = self.at_most(property.condition, level, depth - 1, 0);
                    off.extend(self.at_most(default, level, depth - 1, 0));
                    let off = self.cheapest(off);
                    others = self.both(others, off);
                }
            }
            ways.extend(self.both(selected, others));
        }
        self.open.pop();
        self.cheapest(ways)
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
            Ok(symbol) => return self.raise(symbol, level, depth),
            Err(index) => index,
        };
        match self.values.model().exprs.get(index) {
            Expr::Not(a) => self.at_most(a, 2 - level, depth, nesting + 1),
            Expr::And(a, b) => {
                let left = self.at_least(a, level, depth, nesting + 1);
                if left.is_empty() {
                    return left;
                }
                let right = self.at_least(b, level, depth, nesting + 1);
                self.both(left, right)
            }
            Expr::Or(a, b) => {
                let mut ways = self.at_least(a, level, depth, nesting + 1);
                ways.extend(self.at_least(b, level, depth, nesting + 1));
                self.cheapest(ways)
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
                if left.is_empty() {
                    return left;
                }
                let right = self.at_most(b, level, depth, nesting + 1);
                self.both(left, right)
            }
            Expr::And(a, b) => {
                let mut ways = self.at_most(a, level, depth, nesting + 1);
                ways.extend(self.at_most(b, level, depth, nesting + 1));
                self.cheapest(ways)
            }
            Expr::Compare(comparison, a, b) => self.compare(comparison.negated(), a, b, depth),
        }
    }

    /// Ways to make a comparison hold: one side moves, the other stays.
    fn compare(
        &mut self,
        comparison: Comparison,
        a: SymbolId,
        b: SymbolId,
        depth: u32,
    ) -> Vec<Way> {
        let mut ways = self.move_side(a, comparison, b, depth);
        ways.extend(self.move_side(b, mirrored(comparison), a, depth));
        self.cheapest(ways)
    }

    fn move_side(
        &mut self,
        symbol: SymbolId,
        comparison: Comparison,
        other: SymbolId,
        depth: u32,
    ) -> Vec<Way> {
        let model = self.values.model();
        let kind = model.symbol(symbol).kind;
        if model.symbol(symbol).first_node == NONE {
            return Vec::new();
        }
        let text = String::from_utf8_lossy(self.values.bytes_of(other)).into_owned();
        if !kind.is_logical() {
            return self.text(symbol, comparison, &text, depth);
        }
        let other_kind = model.symbol(other).kind;
        let mut ways = Vec::new();
        for value in 0..=2 {
            if value == 1 && self.values.effective(symbol) == Type::Bool {
                continue;
            }
            let letter = [&b"n"[..], b"m", b"y"][usize::from(value)];
            let order = if other_kind.is_logical() {
                value.cmp(&self.values.tristate(other))
            } else {
                compare_texts(kind, letter, other_kind, text.as_bytes())
            };
            if comparison.holds(order) {
                ways.extend(self.exactly(symbol, value, depth));
            }
        }
        ways
    }

    /// Ways to give a number or string a text that compares so.
    fn text(
        &mut self,
        symbol: SymbolId,
        comparison: Comparison,
        wanted: &str,
        depth: u32,
    ) -> Vec<Way> {
        let model = self.values.model();
        let kind = model.symbol(symbol).kind;
        if model.symbol(symbol).first_node == NONE
            || kind.is_logical()
            || kind == Type::Unknown
            || depth == 0
            || self.steps > STEPS
            || self.open.contains(&symbol)
        {
            return Vec::new();
        }
        self.steps += 1;
        self.open.push(symbol);
        let mut ways = Vec::new();
        if let Some(witness) = witness(kind, comparison, wanted) {
            let mut seen = self.visibility(symbol, 1, depth - 1);
            let range = self.range(symbol, &witness, depth - 1);
            for way in &mut seen {
                way.push((symbol, Target::Text(witness.clone())));
            }
            ways = self.both(seen, range);
        }
        for property in model.properties(symbol) {
            if let PropertyKind::Default(default) = property.kind
                && let Ok(default) = default.split()
            {
                let text = self.values.bytes_of(default);
                let order = compare_texts(kind, text, kind, wanted.as_bytes());
                if comparison.holds(order) {
                    ways.extend(self.at_least(property.condition, 1, depth - 1, 0));
                }
            }
        }
        self.open.pop();
        self.cheapest(ways)
    }

    /// Ways to have a range that admits a number.
    fn range(&mut self, symbol: SymbolId, text: &str, depth: u32) -> Vec<Way> {
        let model = self.values.model();
        let kind = model.symbol(symbol).kind;
        let base = match kind {
            Type::Int => 10,
            Type::Hex => 16,
            _ => return vec![Vec::new()],
        };
        let value = number::prefix(text.as_bytes(), base);
        let mut ways = Vec::new();
        let mut off = vec![Vec::new()];
        let mut ranges = 0;
        for property in model.properties(symbol) {
            let PropertyKind::Range(low, high) = property.kind else {
                continue;
            };
            ranges += 1;
            let number = |bound| number::prefix(self.values.bytes_of(bound), base);
            let mut admits = self.at_least(property.condition, 1, depth, 0);
            if value < number(low) {
                let moved = self.text(low, Comparison::LessEqual, text, depth);
                admits = self.both(admits, moved);
            }
            if value > number(high) {
                let moved = self.text(high, Comparison::GreaterEqual, text, depth);
                admits = self.both(admits, moved);
            }
            // The first range whose condition holds is the one that counts.
            ways.extend(self.both(admits, off.clone()));
            let ignored = self.at_most(property.condition, 0, depth, 0);
            off = self.both(off, ignored);
        }
        // Where none holds, any number will do.
        if ranges == 0 || !off.is_empty() {
            ways.extend(off);
        }
        self.cheapest(ways)
    }

    /// Every way of one with every way of the other, where they do not contradict.
    fn both(&mut self, left: Vec<Way>, right: Vec<Way>) -> Vec<Way> {
        let mut ways = Vec::with_capacity(left.len() * right.len());
        for a in &left {
            for b in &right {
                self.steps += 1;
                let mut way = a.clone();
                let agrees = b
                    .iter()
                    .all(|(symbol, target)| add(&mut way, *symbol, target));
                if agrees {
                    ways.push(way);
                }
            }
        }
        self.cheapest(ways)
    }

    fn cheapest(&self, mut ways: Vec<Way>) -> Vec<Way> {
        ways.sort_by_key(|way| self.index.cost(way));
        ways.dedup();
        ways.truncate(WIDTH);
        ways
    }
}

/// Adds a setting unless it contradicts one that is there.
fn add(way: &mut Way, symbol: SymbolId, target: &Target) -> bool {
    let Some((_, old)) = way.iter_mut().find(|(other, _)| *other == symbol) else {
        way.push((symbol, target.clone()));
        return true;
    };
    match (&mut *old, target) {
        // Off and on at once cannot be; of m and y, y serves both.
        (Target::Tristate(old), Target::Tristate(new)) if (*old == 0) == (*new == 0) => {
            *old = (*old).max(*new);
            true
        }
        (old, new) => old == new,
    }
}

/// The same with its sides exchanged.
fn mirrored(comparison: Comparison) -> Comparison {
    match comparison {
        Comparison::Less => Comparison::Greater,
        Comparison::LessEqual => Comparison::GreaterEqual,
        Comparison::Greater => Comparison::Less,
        Comparison::GreaterEqual => Comparison::LessEqual,
        same => same,
    }
}

/// A text that compares so with `wanted`.
fn witness(kind: Type, comparison: Comparison, wanted: &str) -> Option<String> {
    let step = match comparison {
        Comparison::Equal | Comparison::LessEqual | Comparison::GreaterEqual => {
            return Some(wanted.to_owned());
        }
        Comparison::Less => -1,
        Comparison::Unequal | Comparison::Greater => 1,
    };
    match kind {
        Type::Int => {
            let number = number::parse_signed(wanted.as_bytes(), 10)?;
            Some(number.checked_add(step)?.to_string())
        }
        Type::Hex => {
            let number = number::parse_unsigned(wanted.as_bytes(), 16)?;
            Some(format!("{:#x}", number.checked_add_signed(step)?))
        }
        // Which other text is meant is the user's to say.
        _ => None,
    }
}

//! Conditions as the kernel's conf sees them where it decides which entries belong to which:
//! simplified by rules that were observed. See "What conf simplifies" in the book's page on
//! the oracle.

use super::Dialect;
use super::model::{Comparison, Expr, ExprId, M, Model, N, SymbolId, Type, Y};
use Comparison::{Equal, Unequal};

/// An expression whose negations are at its leaves.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Condition {
    /// A symbol, or a constant.
    On(SymbolId),
    Off(SymbolId),
    Compare(Comparison, SymbolId, SymbolId),
    All(Vec<Condition>),
    Any(Vec<Condition>),
}

use Condition::{All, Any, Compare, Off, On};

/// Limits that no tree of this world comes near: parts that are compared with each other,
/// and any within all within any.
pub(super) const MAX_COMPARISONS: usize = 10_000;
const MAX_DEPTH: usize = 100;

impl Model {
    /// What must all hold for `expr` to, simplified; nothing if it is nested too deeply.
    pub(super) fn terms(&self, expr: ExprId, dialect: Dialect) -> Vec<Condition> {
        let Some(mut condition) = self.condition(expr) else {
            return Vec::new();
        };
        let mut folds = !dialect.choice_is_symbol;
        loop {
            let mut changed = self.join(&mut condition);
            // Up to 6.8 constants stay until something else goes.
            folds |= changed;
            if folds {
                changed |= fold(&mut condition);
            }
            if !changed {
                break;
            }
        }
        match condition {
            On(Y) => Vec::new(),
            All(terms) => terms,
            other => vec![other],
        }
    }

    /// Whether the conditions of all its prompts come down to n.
    pub(super) fn is_plainly_off(&self, symbol: SymbolId, dialect: Dialect) -> bool {
        let mut prompts = self.prompts(symbol);
        prompts.all(|prompt| self.terms(prompt.condition, dialect) == [On(N)])
    }

    /// Brings the negations to the leaves; none where it is nested too deeply.
    fn condition(&self, expr: ExprId) -> Option<Condition> {
        enum Task {
            /// An expression, whether it is negated, and whether it is a part of all.
            Enter(ExprId, bool, Option<bool>),
            /// What was done since then are the parts of all, or of any.
            Leave(usize, bool),
        }
        let mut depth = 0;
        let mut tasks = vec![Task::Enter(expr, false, None)];
        let mut done: Vec<Condition> = Vec::new();
        while let Some(task) = tasks.pop() {
            let (expr, negated, around) = match task {
                Task::Enter(expr, negated, around) => (expr, negated, around),
                Task::Leave(start, all) => {
                    let parts = done.drain(start..).collect();
                    done.push(if all { All(parts) } else { Any(parts) });
                    depth -= 1;
                    continue;
                }
            };
            let index = match expr.split() {
                Ok(symbol) => {
                    done.push(if negated { Off(symbol) } else { On(symbol) });
                    continue;
                }
                Err(index) => index,
            };
            let entry = self.exprs.get(index);
            match entry {
                Expr::Not(a) => tasks.push(Task::Enter(a, !negated, around)),
                Expr::Compare(comparison, a, b) => {
                    done.push(self.comparison(comparison, a, b, negated));
                }
                Expr::And(a, b) | Expr::Or(a, b) => {
                    let all = matches!(entry, Expr::And(..)) != negated;
                    if around != Some(all) {
                        depth += 1;
                        if depth > MAX_DEPTH {
                            return None;
                        }
                        tasks.push(Task::Leave(done.len(), all));
                    }
                    tasks.push(Task::Enter(b, negated, Some(all)));
                    tasks.push(Task::Enter(a, negated, Some(all)));
                }
            }
        }
        done.pop()
    }

    /// A bool is on or off, and never m.
    fn comparison(
        &self,
        comparison: Comparison,
        a: SymbolId,
        b: SymbolId,
        negated: bool,
    ) -> Condition {
        let comparison = match negated {
            true => comparison.negated(),
            false => comparison,
        };
        let is_bool = self.symbol(a).kind == Type::Bool;
        match (comparison, b) {
            (Equal, Y) | (Unequal, N) if is_bool => On(a),
            (Equal, N) | (Unequal, Y) if is_bool => Off(a),
            (Equal, M) if is_bool => On(N),
            (Unequal, M) if is_bool => On(Y),
            _ => Compare(comparison, a, b),
        }
    }

    /// Replaces parts of which one can stand for two; whether there were any.
    fn join(&self, condition: &mut Condition) -> bool {
        let all = matches!(condition, All(_));
        let (All(parts) | Any(parts)) = condition else {
            return false;
        };
        let mut joined = false;
        for part in parts.iter_mut() {
            joined |= self.join(part);
        }
        if parts.len() * parts.len() <= MAX_COMPARISONS {
            let mut left = 0;
            while left < parts.len() {
                let mut right = left + 1;
                while right < parts.len() {
                    match self.joined(all, &parts[left], &parts[right]) {
                        Some(one) => {
                            parts[left] = one;
                            parts.remove(right);
                            joined = true;
                        }
                        None => right += 1,
                    }
                }
                left += 1;
            }
        }
        // So that what says the same is the same.
        parts.sort_unstable();
        if let [_] = parts.as_slice() {
            *condition = parts.pop().expect("it has one part");
        }
        joined
    }

    /// What stands for both where all, or any, must hold.
    fn joined(&self, all: bool, a: &Condition, b: &Condition) -> Option<Condition> {
        if a == b {
            return Some(a.clone());
        }
        if let (On(on), Off(off)) | (Off(off), On(on)) = (a, b) {
            let either = !all && on == off && self.symbol(*on).kind == Type::Bool;
            return either.then_some(On(Y));
        }
        let (symbol, held) = self.range_of(a)?;
        let (other, others) = self.range_of(b)?;
        if symbol != other {
            return None;
        }
        let is_equal = |condition: &Condition| matches!(condition, Compare(Equal, ..));
        let is_on = |condition: &Condition| matches!(condition, On(_));
        let values = if all { held & others } else { held | others };
        let one_says_it = match all {
            true if is_on(a) || is_on(b) => values & 1 << Y != 0,
            true => !(is_equal(a) && is_equal(b)),
            false => is_equal(a) && is_equal(b),
        };
        one_says_it.then(|| match values {
            0 => On(N),
            _ if values.is_power_of_two() => Compare(Equal, symbol, values.trailing_zeros()),
            _ => Compare(Unequal, symbol, (!values).trailing_zeros()),
        })
    }

    /// The values a tristate symbol may have, a bit each.
    fn range_of(&self, condition: &Condition) -> Option<(SymbolId, u32)> {
        let (symbol, values) = match *condition {
            On(symbol) => (symbol, 0b110),
            Compare(Equal, symbol, constant @ N..=Y) => (symbol, 1 << constant),
            Compare(Unequal, symbol, constant @ N..=Y) => (symbol, 0b111 & !(1 << constant)),
            _ => return None,
        };
        (self.symbol(symbol).kind == Type::Tristate).then_some((symbol, values))
    }
}

/// Takes constants out; whether there were any.
fn fold(condition: &mut Condition) -> bool {
    match condition {
        Off(N) => *condition = On(Y),
        Off(Y) => *condition = On(N),
        All(_) | Any(_) => {
            let all = matches!(condition, All(_));
            let (decides, says_nothing) = if all { (N, Y) } else { (Y, N) };
            let (All(parts) | Any(parts)) = condition else {
                return false;
            };
            let mut folded = false;
            for part in parts.iter_mut() {
                folded |= fold(part);
            }
            let count = parts.len();
            parts.retain(|part| *part != On(says_nothing));
            folded |= parts.len() < count;
            match parts.as_slice() {
                _ if parts.contains(&On(decides)) => *condition = On(decides),
                [] => *condition = On(says_nothing),
                [_] => *condition = parts.pop().expect("it has one part"),
                _ => return folded,
            }
        }
        _ => return false,
    }
    true
}

impl Condition {
    /// Whether it holds only with the symbol on.
    pub(super) fn asks_for(&self, symbol: SymbolId) -> bool {
        match *self {
            On(on) => on == symbol,
            Compare(Equal, compared, M | Y) | Compare(Unequal, compared, N) => compared == symbol,
            _ => false,
        }
    }

    /// Whether the symbol is anywhere in it.
    pub(super) fn mentions(&self, symbol: SymbolId) -> bool {
        match self {
            On(leaf) | Off(leaf) => *leaf == symbol,
            Compare(_, a, b) => *a == symbol || *b == symbol,
            All(parts) | Any(parts) => parts.iter().any(|part| part.mentions(symbol)),
        }
    }

    /// Whether the symbol is somewhere asked for to be off, or not to be m or y.
    pub(super) fn negates(&self, symbol: SymbolId) -> bool {
        match *self {
            Off(off) => off == symbol,
            Compare(Equal, compared, N) | Compare(Unequal, compared, M | Y) => compared == symbol,
            All(ref parts) | Any(ref parts) => parts.iter().any(|part| part.negates(symbol)),
            _ => false,
        }
    }
}

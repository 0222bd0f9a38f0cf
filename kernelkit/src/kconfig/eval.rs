//! Values: one pass over the schedule gives every symbol its value.

use super::Kconfig;
use super::model::{
    Comparison, Expr, ExprId, Model, NONE, PropertyKind, Step, SymbolId, Tristate, Type,
};
use super::number;

/// A text: a symbol's name, or one of [`Values::own`].
pub(super) type TextId = u32;

/// What an input file says about a symbol.
#[derive(Clone, Copy, Debug)]
pub(super) struct User {
    /// 0 to 2, or [`UNSET`].
    pub(super) tristate: u8,
    /// The text of a number or string, else [`NONE`].
    pub(super) text: TextId,
    /// Which input, and its line; [`NONE`] where a mode set it.
    pub(super) input: u32,
    pub(super) line: u32,
}

const UNSET: u8 = u8::MAX;

impl User {
    pub(super) const NONE: User = User {
        tristate: UNSET,
        text: NONE,
        input: NONE,
        line: 0,
    };

    pub(super) fn is_set(&self) -> bool {
        self.tristate != UNSET || self.text != NONE
    }

    pub(super) fn tristate(self) -> Option<u8> {
        (self.tristate != UNSET).then_some(self.tristate)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Values<'k> {
    pub(super) kconfig: &'k Kconfig,
    exprs: Vec<u8>,
    value: Vec<u8>,
    text: Vec<TextId>,
    visible: Vec<u8>,
    dir: Vec<u8>,
    rev: Vec<u8>,
    imp: Vec<u8>,
    write: Vec<bool>,
    pub(super) user: Vec<User>,
    /// Members in the order of their priority; empty for file order.
    pub(super) priority: Vec<Vec<SymbolId>>,
    /// Before 6.9: the member that was set to y last, or [`NONE`].
    pub(super) picked: Vec<SymbolId>,
    /// Before 6.9: the highest value a member was set to.
    pub(super) choice_value: Vec<u8>,
    /// The member that is y, or [`NONE`].
    pub(super) chosen: Vec<SymbolId>,
    own_bytes: Vec<u8>,
    own: Vec<(u32, u32)>,
    /// Symbols selected against their dependencies.
    pub(super) unmet: Vec<SymbolId>,
    modules: u8,
}

impl<'k> Values<'k> {
    pub(super) fn new(kconfig: &'k Kconfig) -> Self {
        let model = &kconfig.model;
        let symbols = model.symbols.len();
        let mut values = Values {
            kconfig,
            exprs: vec![0; model.exprs.0.len()],
            value: vec![0; symbols],
            text: vec![NONE; symbols],
            visible: vec![0; symbols],
            dir: vec![0; symbols],
            rev: vec![0; symbols],
            imp: vec![0; symbols],
            write: vec![false; symbols],
            user: vec![User::NONE; symbols],
            priority: vec![Vec::new(); model.choices.len()],
            picked: vec![NONE; model.choices.len()],
            choice_value: vec![0; model.choices.len()],
            chosen: vec![NONE; model.choices.len()],
            own_bytes: Vec::new(),
            own: Vec::new(),
            unmet: Vec::new(),
            modules: 0,
        };
        values.value[1] = 1;
        values.value[2] = 2;
        for fixed in [&b""[..], b"0", b"0x0"] {
            values.add_text(fixed);
        }
        values
    }

    pub(super) fn model(&self) -> &'k Model {
        &self.kconfig.model
    }

    pub(super) fn add_text(&mut self, text: &[u8]) -> TextId {
        let start = self.own_bytes.len() as u32;
        self.own_bytes.extend_from_slice(text);
        self.own.push((start, self.own_bytes.len() as u32));
        (self.value.len() + self.own.len() - 1) as TextId
    }

    pub(super) fn text(&self, text: TextId) -> &[u8] {
        match (text as usize).checked_sub(self.value.len()) {
            None => self.model().names.get(text),
            Some(own) => {
                let (start, end) = self.own[own];
                &self.own_bytes[start as usize..end as usize]
            }
        }
    }

    fn fixed(&self, index: u32) -> TextId {
        self.value.len() as TextId + index
    }

    /// The text a number or string has without any value.
    fn empty(&self, kind: Type) -> TextId {
        match kind {
            _ if self.kconfig.dialect.choice_is_symbol => self.fixed(0),
            Type::Int => self.fixed(1),
            Type::Hex => self.fixed(2),
            _ => self.fixed(0),
        }
    }

    pub(super) fn tristate(&self, symbol: SymbolId) -> u8 {
        self.value[symbol as usize]
    }

    /// The value as text: of a symbol without type, its name.
    pub(super) fn text_of(&self, symbol: SymbolId) -> TextId {
        match self.model().symbol(symbol).kind {
            // The constants' ids are their values, and names are texts.
            Type::Bool | Type::Tristate => TextId::from(self.value[symbol as usize]),
            Type::Unknown => symbol,
            _ => match self.text[symbol as usize] {
                NONE => self.fixed(0),
                text => text,
            },
        }
    }

    pub(super) fn bytes_of(&self, symbol: SymbolId) -> &[u8] {
        self.text(self.text_of(symbol))
    }

    pub(super) fn visible(&self, symbol: SymbolId) -> u8 {
        self.visible[symbol as usize]
    }

    pub(super) fn direct(&self, symbol: SymbolId) -> u8 {
        self.dir[symbol as usize]
    }

    pub(super) fn reverse(&self, symbol: SymbolId) -> u8 {
        self.rev[symbol as usize]
    }

    pub(super) fn implied(&self, symbol: SymbolId) -> u8 {
        self.imp[symbol as usize]
    }

    pub(super) fn is_written(&self, symbol: SymbolId) -> bool {
        self.write[symbol as usize]
    }

    pub(super) fn keep_written(&mut self, member: SymbolId) {
        self.write[member as usize] = true;
    }

    /// Whether a member is only seen because it was before.
    pub(super) fn is_kept(&self, member: SymbolId) -> bool {
        self.visible[member as usize] != 0 && self.prompt_visibility(member) == 0
    }

    pub(super) fn modules(&self) -> u8 {
        self.modules
    }

    pub(super) fn effective(&self, symbol: SymbolId) -> Type {
        match self.model().symbol(symbol).kind {
            Type::Tristate if self.modules == 0 => Type::Bool,
            kind => kind,
        }
    }

    /// The value of an expression under the last evaluation.
    pub(super) fn expr(&self, expr: ExprId) -> u8 {
        match expr.split() {
            Ok(symbol) => self.value[symbol as usize],
            Err(index) => self.exprs[index],
        }
    }

    /// Gives every symbol its value.
    pub(super) fn evaluate(&mut self) {
        self.forget();
        let model = self.model();
        for step in &model.schedule {
            self.step(*step);
        }
    }

    /// Before an evaluation: nothing is known about modules or ranges.
    pub(super) fn forget(&mut self) {
        self.unmet.clear();
        self.modules = 0;
        // Only a range that refers to its own symbol could see an old text.
        self.text.fill(NONE);
    }

    pub(super) fn step(&mut self, step: Step) {
        match step {
            Step::Expr(index) => {
                let expr = self.model().exprs.get(index as usize);
                self.exprs[index as usize] = self.evaluate_expr(expr);
            }
            Step::Symbol(symbol) => self.evaluate_symbol(symbol),
            Step::Choice(choice) if self.kconfig.dialect.choice_is_symbol => {
                self.choose_old(choice);
            }
            Step::Choice(choice) => self.choose(choice),
        }
    }

    fn evaluate_expr(&self, expr: Expr) -> u8 {
        match expr {
            Expr::Not(a) => 2 - self.expr(a),
            Expr::And(a, b) => self.expr(a).min(self.expr(b)),
            Expr::Or(a, b) => self.expr(a).max(self.expr(b)),
            Expr::Compare(comparison, a, b) => 2 * u8::from(self.compare(comparison, a, b)),
        }
    }

    fn compare(&self, comparison: Comparison, a: SymbolId, b: SymbolId) -> bool {
        let model = self.model();
        let (left, right) = (model.symbol(a).kind, model.symbol(b).kind);
        let order = if left.is_logical() && right.is_logical() {
            self.value[a as usize].cmp(&self.value[b as usize])
        } else {
            let (left_text, right_text) = (self.bytes_of(a), self.bytes_of(b));
            compare_texts(left, left_text, right, right_text)
        };
        comparison.holds(order)
    }

    /// The visibility its prompts give a symbol.
    fn prompt_visibility(&self, symbol: SymbolId) -> u8 {
        let model = self.model();
        let entry = model.symbol(symbol);
        if entry.transitional {
            return 2;
        }
        let visible = model
            .prompts(symbol)
            .map(|property| self.expr(property.condition))
            .max()
            .unwrap_or(0);
        if visible == 1 && (entry.kind != Type::Tristate || self.modules == 0) {
            2
        } else {
            visible
        }
    }

    pub(super) fn evaluate_symbol(&mut self, symbol: SymbolId) {
        let model = self.model();
        let entry = model.symbol(symbol);
        let index = symbol as usize;
        let old_choices = self.kconfig.dialect.choice_is_symbol;
        if entry.choice != NONE && !old_choices {
            self.value[index] = 2 * u8::from(self.chosen[entry.choice as usize] == symbol);
            self.write[index] = self.visible[index] != 0;
            return;
        }
        let effective = self.effective(symbol);
        let promote = |value: u8| match value {
            1 if effective == Type::Bool => 2,
            value => value,
        };
        let mut visible = self.prompt_visibility(symbol);
        if entry.choice != NONE {
            visible = self.old_member_visibility(symbol, visible);
        }
        self.visible[index] = visible;
        if entry.choice != NONE && visible == 0 {
            // Nothing else can set a member that cannot be seen.
            self.value[index] = 0;
            self.write[index] = false;
            return;
        }
        let dir = promote(self.expr(entry.dir_dep));
        // Nothing selects or implies a member, nor a transitional symbol.
        let (rev, imp) = match entry.choice {
            NONE if !entry.transitional => (
                promote(self.expr(entry.rev_dep)),
                promote(self.expr(entry.implied)),
            ),
            _ => (0, 0),
        };
        self.dir[index] = dir;
        self.rev[index] = rev;
        self.imp[index] = imp;
        let mut write = visible != 0;
        match entry.kind {
            Type::Unknown => write = false,
            Type::Bool | Type::Tristate => {
                let chosen = entry.choice != NONE && visible == 2 && {
                    let choice = model.choices[entry.choice as usize].symbol;
                    self.value[choice as usize] == 2
                };
                if chosen {
                    self.value[index] = 2 * u8::from(self.chosen[entry.choice as usize] == symbol);
                } else {
                    let mut value = 0;
                    match self.user[index].tristate().filter(|_| visible != 0) {
                        Some(user) => value = user.min(visible),
                        None => {
                            write |= rev != 0;
                            if let Some((default, own)) = self.logical_default(symbol) {
                                value = own;
                                write |= value != 0;
                                self.migrate(symbol, default, value);
                            }
                            if imp != 0 {
                                write = true;
                                value = value.max(imp).min(dir);
                            }
                        }
                    }
                    self.value[index] = promote(value.max(rev));
                    if dir < rev {
                        self.unmet.push(symbol);
                    }
                }
                if symbol == model.modules {
                    self.modules = self.value[index];
                }
            }
            kind @ (Type::Int | Type::Hex | Type::String) => {
                let user = self.user[index].text;
                let mut text = self.empty(kind);
                if visible != 0 && user != NONE {
                    text = user;
                } else if let Some(default) = self.text_default(symbol) {
                    write = true;
                    text = self.text_of(default);
                    if self.user_set_transitional(default) && user == NONE {
                        self.user[index].text = text;
                    }
                }
                self.text[index] = self.clamp(symbol, kind, text);
            }
        }
        // A choice is no line of its own, and a transitional symbol none at all.
        self.write[index] = write && !entry.transitional && !model.is_choice(symbol);
    }

    /// The value that `symbol`, no member of a choice, would have with the user value `user`,
    /// all else being as it is.
    pub(super) fn value_with(&mut self, symbol: SymbolId, user: User) -> Vec<u8> {
        let index = symbol as usize;
        let kept = (
            self.user[index],
            self.value[index],
            self.text[index],
            self.write[index],
            self.modules,
            self.unmet.len(),
        );
        self.user[index] = user;
        self.evaluate_symbol(symbol);
        let value = self.bytes_of(symbol).to_vec();
        self.user[index] = kept.0;
        self.value[index] = kept.1;
        self.text[index] = kept.2;
        self.write[index] = kept.3;
        self.modules = kept.4;
        self.unmet.truncate(kept.5);
        value
    }

    /// The first default that holds, and the value it gives.
    pub(super) fn logical_default(&self, symbol: SymbolId) -> Option<(ExprId, u8)> {
        let model = self.model();
        if model.is_choice(symbol) {
            return None;
        }
        model.properties(symbol).iter().find_map(|property| {
            let PropertyKind::Default(default) = property.kind else {
                return None;
            };
            let condition = self.expr(property.condition);
            (condition != 0).then(|| (default, self.expr(default).min(condition)))
        })
    }

    /// The symbol whose text is the first default that holds.
    pub(super) fn text_default(&self, symbol: SymbolId) -> Option<SymbolId> {
        self.model().properties(symbol).iter().find_map(|property| {
            let PropertyKind::Default(default) = property.kind else {
                return None;
            };
            let symbol = default.split().ok()?;
            (self.expr(property.condition) != 0).then_some(symbol)
        })
    }

    fn user_set_transitional(&self, symbol: SymbolId) -> bool {
        self.model().symbol(symbol).transitional && self.user[symbol as usize].is_set()
    }

    /// A default taken from a transitional symbol that the user has set counts as
    /// the user's own value.
    fn migrate(&mut self, symbol: SymbolId, default: ExprId, value: u8) {
        let user = &self.user[symbol as usize];
        if !user.is_set()
            && let Ok(source) = default.split()
            && self.user_set_transitional(source)
        {
            self.user[symbol as usize] = User {
                tristate: value,
                ..self.user[source as usize]
            };
        }
    }

    /// The range that holds, as the symbols of its bounds.
    pub(super) fn range(&self, symbol: SymbolId) -> Option<(SymbolId, SymbolId)> {
        self.model().properties(symbol).iter().find_map(|property| {
            let PropertyKind::Range(low, high) = property.kind else {
                return None;
            };
            (self.expr(property.condition) != 0).then_some((low, high))
        })
    }

    fn bound(&self, symbol: SymbolId, kind: Type) -> i64 {
        let base = match self.model().symbol(symbol).kind {
            Type::Int => 10,
            Type::Hex => 16,
            _ if kind == Type::Hex => 16,
            _ => 10,
        };
        number::prefix(self.bytes_of(symbol), base)
    }

    fn clamp(&self, symbol: SymbolId, kind: Type, text: TextId) -> TextId {
        let base = match kind {
            Type::Int => 10,
            Type::Hex => 16,
            _ => return text,
        };
        let Some((low, high)) = self.range(symbol) else {
            return text;
        };
        let value = number::prefix(self.text(text), base);
        if value < self.bound(low, kind) {
            self.text_of(low)
        } else if value > self.bound(high, kind) {
            self.text_of(high)
        } else {
            text
        }
    }

    /// Whether a text is within the range that holds now.
    pub(super) fn is_within_range(&self, symbol: SymbolId, text: TextId) -> bool {
        let kind = self.model().symbol(symbol).kind;
        self.clamp(symbol, kind, text) == text
    }

    /// The visible member a choice falls back on: its first default that can be
    /// seen, else its first member that can.
    pub(super) fn default_member(&self, choice: u32) -> Option<SymbolId> {
        let model = self.model();
        let choice = &model.choices[choice as usize];
        let seen = |member: &SymbolId| self.visible[*member as usize] != 0;
        model
            .properties(choice.symbol)
            .iter()
            .find_map(|property| match property.kind {
                PropertyKind::Default(default) if self.expr(property.condition) != 0 => {
                    default.split().ok().filter(seen)
                }
                _ => None,
            })
            .or_else(|| choice.members.iter().copied().find(seen))
    }

    fn choose(&mut self, choice: u32) {
        for member in &self.model().choices[choice as usize].members {
            self.look_for(*member);
        }
        self.chosen[choice as usize] = self.choice_among(choice).unwrap_or(NONE);
    }

    /// The same from 6.9 on, when values were worked out before: a choice looks for the member
    /// that was set to y in the order of priorities and no further. What was seen of those
    /// behind it stays so.
    pub(super) fn choose_again(&mut self, choice: u32) {
        for place in 0..self.priorities(choice).len() {
            let member = self.priorities(choice)[place];
            self.look_for(member);
            if self.is_chosen_by_user(member) {
                break;
            }
        }
        self.chosen[choice as usize] = self.choice_among(choice).unwrap_or(NONE);
    }

    /// From 6.9 on: works out whether a member can be seen.
    pub(super) fn look_for(&mut self, member: SymbolId) {
        self.visible[member as usize] = self.prompt_visibility(member);
        self.dir[member as usize] = 2;
    }

    /// From 6.9 on: whether a member was set to y and can be seen, its prompts being known.
    pub(super) fn is_chosen_by_user(&self, member: SymbolId) -> bool {
        self.user[member as usize].tristate() == Some(2) && self.prompt_visibility(member) != 0
    }

    /// The members of a choice, the ones that were set last first.
    pub(super) fn priorities(&self, choice: u32) -> &[SymbolId] {
        match &self.priority[choice as usize] {
            order if order.is_empty() => &self.model().choices[choice as usize].members,
            order => order,
        }
    }

    fn choice_among(&self, choice: u32) -> Option<SymbolId> {
        let members = &self.model().choices[choice as usize].members;
        let priority = self.priorities(choice);
        let visible = |member: &&SymbolId| self.visible[**member as usize] != 0;
        let user = |member: SymbolId| self.user[member as usize].tristate();
        priority
            .iter()
            .filter(visible)
            .find(|member| user(**member) == Some(2))
            .copied()
            .or_else(|| {
                self.default_member(choice)
                    .filter(|member| user(*member) != Some(0))
            })
            .or_else(|| {
                let mut members = members.iter().filter(visible).copied();
                members.find(|member| user(*member).is_none())
            })
            .or_else(|| priority.iter().rfind(visible).copied())
    }

    fn old_member_visibility(&self, member: SymbolId, visible: u8) -> u8 {
        let model = self.model();
        let entry = model.symbol(member);
        let choice = model.choices[entry.choice as usize].symbol;
        let value = self.value[choice as usize];
        let tristate = model.symbol(choice).kind == Type::Tristate;
        if value == 0
            || (tristate && entry.kind != Type::Tristate && value != 2)
            || (visible == 1 && value == 2)
        {
            0
        } else {
            visible
        }
    }

    /// Whether what a choice names can be seen, the prompts of its members being known.
    pub(super) fn can_be_seen(&self, symbol: SymbolId) -> bool {
        match self.model().choice_of(symbol) {
            Some(_) if !self.kconfig.dialect.choice_is_symbol => {
                self.prompt_visibility(symbol) != 0
            }
            Some(_) => self.old_member_visibility(symbol, self.prompt_visibility(symbol)) != 0,
            None => self.visible(symbol) != 0,
        }
    }

    /// Before 6.9: the member that was set to y last, if it can be seen.
    pub(super) fn picked_member(&self, choice: u32) -> Option<SymbolId> {
        let picked = self.picked[choice as usize];
        (picked != NONE && self.can_be_seen(picked)).then_some(picked)
    }

    /// Whether a value was set and nothing is in its way, its prompts being known.
    pub(super) fn is_user_valued(&self, symbol: SymbolId) -> bool {
        self.user[symbol as usize].is_set() && self.prompt_visibility(symbol) != 0
    }

    fn choose_old(&mut self, choice: u32) {
        let model = self.model();
        let entry = &model.choices[choice as usize];
        self.chosen[choice as usize] = NONE;
        if self.value[entry.symbol as usize] != 2 {
            return;
        }
        for member in &entry.members {
            let visible = self.prompt_visibility(*member);
            self.visible[*member as usize] = self.old_member_visibility(*member, visible);
        }
        let chosen = self
            .picked_member(choice)
            .or_else(|| self.default_member(choice));
        match chosen {
            Some(chosen) => self.chosen[choice as usize] = chosen,
            // Nothing to choose from.
            None => self.value[entry.symbol as usize] = 0,
        }
    }

    pub(super) fn value_of(&self, symbol: SymbolId) -> Tristate {
        Tristate::of(self.value[symbol as usize])
    }
}

/// Orders two values of different kinds: as numbers if both are some, else as bytes.
pub(super) fn compare_texts(left: Type, a: &[u8], right: Type, b: &[u8]) -> std::cmp::Ordering {
    if left == Type::String && right == Type::String {
        return a.cmp(b);
    }
    let number = |kind: Type, text: &[u8]| match kind {
        Type::Bool | Type::Tristate => Some(match text {
            b"n" => 0,
            b"m" => 1,
            b"y" => 2,
            _ => -1,
        }),
        Type::Int => number::parse_signed(text, 10),
        // The bits count; which comparison they get is decided below.
        Type::Hex => number::parse_unsigned(text, 16).map(|number| number as i64),
        Type::String | Type::Unknown => number::parse_signed(text, 0),
    };
    match (number(left, a), number(right, b)) {
        (Some(a), Some(b)) if left == Type::Hex || right == Type::Hex => {
            (a as u64).cmp(&(b as u64))
        }
        (Some(a), Some(b)) => a.cmp(&b),
        _ => a.cmp(b),
    }
}

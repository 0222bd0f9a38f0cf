//! What is known of values that change while somebody looks at them.
//!
//! The kernel's conf works a value out when it is looked at, and not again until something
//! changes. Mostly nobody can tell; but of a choice it matters when it was looked at last, and
//! who asked for it. See "What conf asks, as observed" in the book's page on the oracle.

use super::Kconfig;
use super::eval::{User, Values};
use super::link::{Child, Guide, Via, Walk};
use super::menus::Menus;
use super::model::{ExprId, NONE, NodeId, Property, PropertyKind, Step, SymbolId};
use super::resolve::Resolution;

/// Which values are known.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    walk: Walk,
    /// Of each choice, the member that asked for it and so had to wait for it.
    waiting: Vec<SymbolId>,
    /// Members that never ask: their prompts are plainly off.
    silent: Vec<SymbolId>,
}

impl Memory {
    /// What an interview about these values begins with. Where there was no input to compare
    /// them with, nobody has looked at any.
    pub(super) fn new(resolution: &mut Resolution<'_>) -> Self {
        let Resolution { values, inputs, .. } = resolution;
        let is_fresh = inputs.is_empty() && !values.user.iter().any(User::is_set);
        if is_fresh {
            *values = Values::new(values.kconfig);
            return Memory::forgotten(values);
        }
        let model = values.model();
        Memory::of(values.kconfig, Walk::finished(model))
    }

    /// Nothing is known for sure but MODULES.
    pub(super) fn forgotten(values: &mut Values<'_>) -> Self {
        let model = values.model();
        let mut memory = Memory::of(values.kconfig, Walk::finished(model));
        memory.forget(values);
        memory
    }

    fn of(kconfig: &Kconfig, walk: Walk) -> Self {
        let model = &kconfig.model;
        let waiting = vec![NONE; model.choices.len()];
        let mut silent = Vec::new();
        if kconfig.dialect.choice_is_symbol {
            let members = model.choices.iter().flat_map(|choice| &choice.members);
            silent.extend(members.filter(|member| model.is_plainly_off(**member, kconfig.dialect)));
        }
        Memory {
            walk,
            waiting,
            silent,
        }
    }

    /// Something changed.
    pub(super) fn forget(&mut self, values: &mut Values<'_>) {
        let model = values.model();
        values.forget();
        self.walk = Walk::new(model);
        self.waiting.fill(NONE);
        self.look(values, Step::Symbol(model.modules));
    }

    /// Works out a value, and what is needed for it.
    fn look(&mut self, values: &mut Values<'_>, step: Step) {
        let look = &mut Look {
            values,
            waiting: &mut self.waiting,
            silent: &self.silent,
        };
        self.walk.follow(step, look);
    }

    /// Works out a symbol's value; that of a choice with the member that is on.
    pub(super) fn look_at(&mut self, values: &mut Values<'_>, symbol: SymbolId) {
        let model = values.model();
        self.look(values, Step::Symbol(symbol));
        if model.is_choice(symbol) {
            self.look(values, Step::Choice(model.symbol(symbol).own_choice));
        }
    }

    /// [`Values::is_shown`], after a look at what decides it.
    pub(super) fn is_shown(
        &mut self,
        values: &mut Values<'_>,
        menus: &Menus,
        node: NodeId,
    ) -> bool {
        let model = values.model();
        menus.is_shown(node, |node| {
            let entry = model.node(node);
            if node != 0 && entry.prompt != NONE {
                self.look(values, entry.visible.into());
                match entry.symbol {
                    _ if values.expr(entry.visible) == 0 => {}
                    NONE => self.look(values, entry.dep.into()),
                    // From 6.9 on a choice has no value of its own.
                    symbol if !values.kconfig.dialect.choice_is_symbol => {
                        self.look(values, Step::Symbol(symbol));
                    }
                    symbol => self.look_at(values, symbol),
                }
            }
            values.sight(node)
        })
    }

    /// Works out what is not known yet, as a file is written: entry by entry, and a choice when
    /// its first member asks for it.
    pub(super) fn complete(&mut self, values: &mut Values<'_>) {
        let model = values.model();
        for node in &model.nodes {
            if node.symbol != NONE && !model.is_choice(node.symbol) {
                self.look(values, Step::Symbol(node.symbol));
            }
        }
        for step in &model.schedule {
            self.look(values, *step);
        }
    }
}

/// A look at a value, which leads only to what decides it: in this order, as was observed.
struct Look<'a, 'k> {
    values: &'a mut Values<'k>,
    waiting: &'a mut [SymbolId],
    silent: &'a [SymbolId],
}

/// Nothing to look at.
const NOTHING: Child = Child::Of(ExprId::Y, Via::Operand);

impl Guide for Look<'_, '_> {
    fn child(&self, step: Step, index: usize) -> Child {
        match step {
            Step::Expr(_) => {
                let dialect = self.values.kconfig.dialect;
                self.values.model().child(step, index, dialect)
            }
            Step::Symbol(symbol) => self.child_of_symbol(symbol, index),
            Step::Choice(choice) => self.child_of_choice(choice, index),
        }
    }

    fn leave(&mut self, stack: &[(Step, usize)], step: Step) {
        let values = &mut *self.values;
        let old = values.kconfig.dialect.choice_is_symbol;
        match (step, stack) {
            (Step::Symbol(_), [.., (Step::Symbol(member), _), (Step::Choice(choice), _)])
                if old =>
            {
                self.waiting[*choice as usize] = *member;
            }
            (Step::Choice(choice), [.., (Step::Symbol(member), _)]) if !old => {
                self.waiting[choice as usize] = *member;
            }
            _ => {}
        }
        match step {
            Step::Expr(_) => values.step(step),
            Step::Choice(choice) if !old => values.choose_again(choice),
            Step::Choice(choice) => {
                values.step(step);
                values.reopen(choice);
            }
            Step::Symbol(symbol) => {
                let choice = values.model().choice_of(symbol);
                let was_seen = values.visible(symbol) != 0;
                if choice.is_some_and(|choice| !old && self.sees_to_itself(symbol, choice)) {
                    self.values.look_for(symbol);
                }
                let values = &mut *self.values;
                values.step(step);
                let waited = choice.filter(|choice| self.waiting[*choice as usize] == symbol);
                if old && was_seen && waited.is_some_and(|choice| values.is_left_open(choice)) {
                    values.keep_written(symbol);
                }
            }
        }
    }
}

impl Look<'_, '_> {
    /// From 6.9 on, whether it was left to a member to work out whether it can be seen: where
    /// it led to its choice, and where it could not be seen before.
    fn sees_to_itself(&self, member: SymbolId, choice: u32) -> bool {
        self.waiting[choice as usize] == member || self.values.visible(member) == 0
    }

    /// The choice a member is of, prompts, dependencies, selects, implies, then the first
    /// default that holds where one is needed, and the first range that does.
    fn child_of_symbol(&self, symbol: SymbolId, index: usize) -> Child {
        let values = &*self.values;
        let model = values.model();
        let entry = model.symbol(symbol);
        let properties = model.properties(symbol);
        let count = properties.len();
        let Some(index) = index.checked_sub(1) else {
            return match model.choice_of(symbol) {
                Some(_) if self.silent.contains(&symbol) => Child::End,
                choice => choice.map_or(NOTHING, Child::Choice),
            };
        };
        let decided = model
            .choice_of(symbol)
            .filter(|_| !values.kconfig.dialect.choice_is_symbol);
        if decided.is_some_and(|choice| index >= count || !self.sees_to_itself(symbol, choice)) {
            return Child::End;
        }
        if let Some(property) = properties.get(index) {
            return match property.kind {
                PropertyKind::Prompt(_) => Child::Of(property.condition, Via::Prompt),
                _ => NOTHING,
            };
        }
        match index - count {
            0 => return Child::Of(entry.dir_dep, Via::Depends),
            1 => return Child::Of(entry.rev_dep, Via::Select),
            2 => return Child::Of(entry.implied, Via::Imply),
            _ => {}
        }
        let index = index - count - 3;
        let (is_range, index, part) = match index.checked_sub(2 * count) {
            None => (false, index / 2, index % 2),
            Some(index) => (true, index / 3, index % 3),
        };
        let Some(property) = properties.get(index) else {
            return Child::End;
        };
        let counts = |property: &Property| match property.kind {
            PropertyKind::Range(..) => is_range,
            PropertyKind::Default(_) => !is_range,
            _ => false,
        };
        let holds = |property: &Property| counts(property) && values.expr(property.condition) != 0;
        let needed = is_range || (!model.is_choice(symbol) && !values.is_user_valued(symbol));
        if !needed || !counts(property) || properties[..index].iter().any(holds) {
            return NOTHING;
        }
        match (property.kind, part) {
            (_, 0) => Child::Of(property.condition, Via::DefaultCondition),
            _ if !holds(property) => NOTHING,
            (PropertyKind::Default(value), _) => Child::Of(value, Via::Default),
            (PropertyKind::Range(low, _), 1) => Child::Of(ExprId::symbol(low), Via::Range),
            (PropertyKind::Range(_, high), _) => Child::Of(ExprId::symbol(high), Via::Range),
            _ => NOTHING,
        }
    }

    /// Before 6.9 the choice's own value, and no more if that is not y. Then the prompts of the
    /// members, from 6.9 on up to the one that was chosen, and the defaults if none was.
    fn child_of_choice(&self, choice: u32, index: usize) -> Child {
        let values = &*self.values;
        let model = values.model();
        let entry = &model.choices[choice as usize];
        let old = values.kconfig.dialect.choice_is_symbol;
        let Some(mut index) = index.checked_sub(1) else {
            return match old {
                true => Child::Of(ExprId::symbol(entry.symbol), Via::Operand),
                false => NOTHING,
            };
        };
        if old && values.tristate(entry.symbol) != 2 {
            return Child::End;
        }
        let members = match old {
            true => &entry.members,
            false => values.priorities(choice),
        };
        for member in members {
            let properties = model.properties(*member);
            match properties.get(index) {
                Some(property) if matches!(property.kind, PropertyKind::Prompt(_)) => {
                    return Child::Of(property.condition, Via::Prompt);
                }
                Some(_) => return NOTHING,
                None if !old && values.is_chosen_by_user(*member) => return Child::End,
                None => index -= properties.len(),
            }
        }
        let properties = model.properties(entry.symbol);
        let Some(property) = properties.get(index) else {
            return Child::End;
        };
        let decides = |property: &Property| {
            matches!(property.kind, PropertyKind::Default(default)
                if values.expr(property.condition) != 0
                    && default.split().is_ok_and(|member| values.can_be_seen(member)))
        };
        let is_picked = old && values.picked_member(choice).is_some();
        if is_picked || properties[..index].iter().any(decides) {
            return Child::End;
        }
        match property.kind {
            PropertyKind::Default(_) => Child::Of(property.condition, Via::DefaultCondition),
            _ => NOTHING,
        }
    }
}

//! Why a symbol has its value.

use super::eval::User;
use super::model::{
    Expr, ExprId, NONE, NodeId, Property, PropertyKind, SymbolId, Tristate, Type, Y,
};
use super::refusal::DefaultLine;
use super::resolve::{Resolution, Value};
use super::show::Place;

/// A symbol that is selected although what it depends on does not hold.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Unmet {
    /// The symbol.
    pub symbol: String,
    /// What it depends on, as text.
    pub depends: String,
    /// The value of that.
    pub value: Tristate,
    /// What selects it all the same.
    pub selected_by: Vec<Selector>,
}

/// A value of an input that is not the symbol's value.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Dropped {
    /// The symbol.
    pub symbol: String,
    /// What the input says.
    pub wanted: Value,
    /// What it is.
    pub actual: Value,
    /// Where the input says it.
    pub place: Place,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// A line of an input.
    Input(Place),
    /// The mode: `y` by allyesconfig, say.
    Mode,
    /// A `default` line.
    Default(Place),
    /// Other symbols select it.
    Selected(Vec<Selector>),
    /// Other symbols imply it.
    Implied(Vec<Selector>),
    /// Its choice picks it, or another member.
    Choice(Place),
    /// Nothing sets it.
    Unset,
    /// It is a constant, or no file defines it.
    Undefined,
}

/// A `select` or `imply` that is in force.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Selector {
    /// The symbol that selects.
    pub symbol: String,
    /// How strongly.
    pub value: Tristate,
    /// The line that does it.
    pub place: Place,
    /// Whether it is an `imply`, which a user can override.
    pub implies: bool,
    /// Where the value of the selecting symbol comes from, as far as it was followed.
    pub origin: Option<Box<Origin>>,
}

/// A part of a condition.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum Term {
    /// A symbol.
    Symbol {
        /// Its name, as it is written.
        symbol: String,
        /// Its value.
        value: String,
        /// Where its value comes from.
        origin: Origin,
        /// Where it is defined first.
        place: Option<Place>,
    },
    /// `A = B` and the like.
    Comparison {
        /// As it is written.
        text: String,
        /// Whether it holds.
        value: Tristate,
        /// Both sides.
        terms: Vec<Term>,
    },
    /// `!A`.
    Not {
        /// Its value.
        value: Tristate,
        /// The part that is negated.
        terms: Vec<Term>,
    },
    /// `A && B && …`.
    All {
        /// Its value: the lowest of them.
        value: Tristate,
        /// The parts.
        terms: Vec<Term>,
    },
    /// `A || B || …`.
    Any {
        /// Its value: the highest of them.
        value: Tristate,
        /// The parts.
        terms: Vec<Term>,
    },
}

/// A condition on a symbol.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Dependency {
    /// `depends on`, `if` or `visible if`.
    pub kind: &'static str,
    /// The condition as text.
    pub condition: String,
    /// Its value.
    pub value: Tristate,
    /// Where it is written.
    pub place: Place,
    /// The entry it belongs to: a symbol may have several.
    pub entry: Place,
    /// Its parts, down to the symbols.
    pub term: Term,
}

/// Everything about one symbol.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Explanation {
    /// Its name.
    pub symbol: String,
    /// Its declared type.
    pub kind: Type,
    /// Its value; nothing without a type.
    pub value: Option<Value>,
    /// Whether `.config` has a line for it.
    pub written: bool,
    /// Where the value comes from.
    pub origin: Origin,
    /// Where it is defined.
    pub places: Vec<Place>,
    /// The first prompt.
    pub prompt: Option<String>,
    /// Titles of the menus around the first prompt, outermost first.
    pub menu: Vec<String>,
    /// The help text.
    pub help: Option<String>,
    /// What a user could set at most.
    pub visible: Tristate,
    /// Every condition around its entries.
    pub dependencies: Vec<Dependency>,
    /// Its defaults, in order: the first that holds counts.
    pub defaults: Vec<DefaultLine>,
    /// Everything that selects it, whether in force or not.
    pub selected_by: Vec<Selector>,
    /// Everything that implies it.
    pub implied_by: Vec<Selector>,
    /// The other members of its choice.
    pub choice: Vec<String>,
}

/// How far selects are followed back to what set them off.
const CHAIN: u32 = 6;
/// How deep conditions are taken apart.
const NESTING: u32 = 64;

impl Resolution<'_> {
    /// Everything about the symbol `name`, without `CONFIG_`; nothing if no file mentions it.
    pub fn explain(&self, name: &str) -> Option<Explanation> {
        let values = &self.values;
        let kconfig = values.kconfig;
        let model = &kconfig.model;
        let symbol = kconfig.find(name)?;
        let entry = model.symbol(symbol);
        let nodes: Vec<NodeId> = model.nodes_of(symbol).collect();
        let prompted = nodes
            .iter()
            .copied()
            .find(|node| model.node(*node).prompt != NONE);
        let members = match entry.choice {
            NONE => &[][..],
            choice => &model.choices[choice as usize].members,
        };
        Some(Explanation {
            symbol: kconfig.name(symbol),
            kind: entry.kind,
            value: self.value(name),
            written: values.is_written(symbol),
            origin: self.origin_within(symbol, CHAIN),
            places: nodes
                .iter()
                .map(|node| kconfig.place(*node, model.node(*node).position.line))
                .collect(),
            prompt: prompted.and_then(|node| kconfig.prompt_text(node)),
            menu: prompted
                .or(nodes.first().copied())
                .map(|node| kconfig.menu_path(node))
                .unwrap_or_default(),
            help: kconfig.help(symbol),
            visible: Tristate::of(values.visible(symbol)),
            dependencies: self.dependencies(symbol),
            defaults: self.defaults(symbol),
            selected_by: self.all_selectors(symbol, true),
            implied_by: self.all_selectors(symbol, false),
            choice: members
                .iter()
                .filter(|member| **member != symbol)
                .map(|member| kconfig.name(*member))
                .collect(),
        })
    }

    /// Selects that force a symbol whose dependencies do not hold.
    pub fn unmet(&self) -> Vec<Unmet> {
        let values = &self.values;
        let unmet = values.unmet.iter().map(|symbol| Unmet {
            symbol: values.kconfig.name(*symbol),
            depends: values
                .kconfig
                .expression_text(values.model().symbol(*symbol).dir_dep),
            value: Tristate::of(values.direct(*symbol)),
            selected_by: self.selectors(*symbol, true),
        });
        unmet.collect()
    }

    /// The inputs' values that did not come to hold, in menu order; of lines that
    /// contradict each other the last one counts. [`Resolution::check`] says why.
    pub fn dropped(&self) -> Vec<Dropped> {
        let values = &self.values;
        let model = values.model();
        let mut dropped = Vec::new();
        for (index, node) in (0..).zip(&model.nodes) {
            let symbol = node.symbol;
            if symbol == NONE || model.symbol(symbol).first_node != index {
                continue;
            }
            let user = &values.user[symbol as usize];
            let name = values.kconfig.name(symbol);
            let Some((place, actual)) = self.input_place(user).zip(self.value(&name)) else {
                continue;
            };
            let wanted = match user.tristate() {
                Some(value) => Value::Tristate(Tristate::of(value)),
                None => Value::Text(String::from_utf8_lossy(values.text(user.text)).into_owned()),
            };
            if wanted != actual {
                dropped.push(Dropped {
                    symbol: name,
                    wanted,
                    actual,
                    place,
                });
            }
        }
        dropped
    }

    pub(super) fn input_place(&self, user: &User) -> Option<Place> {
        let input = self.inputs.get(user.input as usize)?;
        let told = self.lines.get(user.input as usize);
        let told = told.and_then(|lines| lines.get((user.line as usize).checked_sub(1)?));
        Some(told.cloned().unwrap_or_else(|| Place {
            file: input.clone(),
            line: user.line,
        }))
    }

    fn selecting(&self, target: SymbolId, selects: bool) -> impl Iterator<Item = &Property> {
        let properties = &self.values.model().properties;
        properties
            .iter()
            .filter(move |property| match property.kind {
                PropertyKind::Select(selected) => selects && selected == target,
                PropertyKind::Imply(implied) => !selects && implied == target,
                _ => false,
            })
    }

    fn selector(&self, property: &Property, chain: u32) -> Selector {
        let values = &self.values;
        let value = values
            .tristate(property.owner)
            .min(values.expr(property.condition));
        let follow = chain > 0 && value != 0;
        Selector {
            symbol: values.kconfig.name(property.owner),
            value: Tristate::of(value),
            place: values.kconfig.property_place(property),
            implies: matches!(property.kind, PropertyKind::Imply(_)),
            origin: follow.then(|| Box::new(self.origin_within(property.owner, chain - 1))),
        }
    }

    fn selectors_within(&self, symbol: SymbolId, selects: bool, chain: u32) -> Vec<Selector> {
        self.selecting(symbol, selects)
            .map(|property| self.selector(property, chain))
            .filter(|selector| selector.value != Tristate::N)
            .collect()
    }

    /// The selects, or implies, of `symbol` that are in force.
    pub(super) fn selectors(&self, symbol: SymbolId, selects: bool) -> Vec<Selector> {
        self.selectors_within(symbol, selects, 0)
    }

    pub(super) fn all_selectors(&self, symbol: SymbolId, selects: bool) -> Vec<Selector> {
        self.selecting(symbol, selects)
            .map(|property| self.selector(property, 0))
            .collect()
    }

    /// Where a symbol's value comes from.
    pub(super) fn origin(&self, symbol: SymbolId) -> Origin {
        self.origin_within(symbol, 0)
    }

    /// The same, with selects followed back for `chain` steps.
    fn origin_within(&self, symbol: SymbolId, chain: u32) -> Origin {
        let values = &self.values;
        let model = values.model();
        let kconfig = values.kconfig;
        let entry = model.symbol(symbol);
        if symbol <= Y || entry.first_node == NONE {
            return Origin::Undefined;
        }
        let user = &values.user[symbol as usize];
        let visible = values.visible(symbol) != 0;
        let by_user = visible && user.is_set();
        if entry.kind.is_logical() {
            let value = values.tristate(symbol);
            let selected = values.reverse(symbol);
            if selected != 0 && selected >= value {
                let limited = user.tristate().unwrap_or(0).min(values.visible(symbol));
                if !by_user || limited < selected {
                    return Origin::Selected(self.selectors_within(symbol, true, chain));
                }
            }
            if entry.choice != NONE && !user.is_set() && visible {
                let choice = &model.choices[entry.choice as usize];
                let node = model.symbol(choice.symbol).first_node;
                return Origin::Choice(kconfig.place(node, model.node(node).position.line));
            }
            if !by_user && value != 0 && values.implied(symbol) != 0 {
                let default = values.logical_default(symbol).map_or(0, |(_, value)| value);
                if default < value {
                    return Origin::Implied(self.selectors_within(symbol, false, chain));
                }
            }
        }
        if by_user {
            return self.input_place(user).map_or(Origin::Mode, Origin::Input);
        }
        let default = model.properties(symbol).iter().find(|property| {
            matches!(property.kind, PropertyKind::Default(_))
                && values.expr(property.condition) != 0
        });
        match default {
            Some(property) => Origin::Default(kconfig.property_place(property)),
            None => Origin::Unset,
        }
    }

    fn dependencies(&self, symbol: SymbolId) -> Vec<Dependency> {
        let mut dependencies: Vec<Dependency> = Vec::new();
        for (kind, expr, place, entry) in self.conditions(symbol) {
            let dependency = Dependency {
                kind,
                condition: self.values.kconfig.expression_text(expr),
                value: Tristate::of(self.values.expr(expr)),
                place,
                entry,
                term: self.term(expr, NESTING),
            };
            if !dependencies.contains(&dependency) {
                dependencies.push(dependency);
            }
        }
        dependencies
    }

    fn term(&self, expr: ExprId, nesting: u32) -> Term {
        let model = self.values.model();
        let value = Tristate::of(self.values.expr(expr));
        let index = match expr.split() {
            Ok(symbol) => return self.leaf(symbol),
            // What is nested deeper than anybody writes stays text.
            Err(_) if nesting == 0 || expr == ExprId::M_AND_MODULES => {
                return Term::Comparison {
                    text: self.values.kconfig.expression_text(expr),
                    value,
                    terms: Vec::new(),
                };
            }
            Err(index) => index,
        };
        let nesting = nesting - 1;
        match model.exprs.get(index) {
            Expr::Not(a) => Term::Not {
                value,
                terms: vec![self.term(a, nesting)],
            },
            Expr::And(..) => Term::All {
                value,
                terms: self.parts(expr, true, nesting),
            },
            Expr::Or(..) => Term::Any {
                value,
                terms: self.parts(expr, false, nesting),
            },
            Expr::Compare(_, a, b) => Term::Comparison {
                text: self.values.kconfig.expression_text(expr),
                value,
                terms: [a, b]
                    .into_iter()
                    .filter(|side| model.symbol(*side).first_node != NONE)
                    .map(|side| self.leaf(side))
                    .collect(),
            },
        }
    }

    /// The parts of a chain of `&&`, or of `||`.
    fn parts(&self, expr: ExprId, and: bool, nesting: u32) -> Vec<Term> {
        let mut parts = Vec::new();
        let mut pending = vec![expr];
        while let Some(expr) = pending.pop() {
            let inner = expr.split().err().filter(|_| expr != ExprId::M_AND_MODULES);
            match inner.map(|index| self.values.model().exprs.get(index)) {
                Some(Expr::And(a, b)) if and => pending.extend([b, a]),
                Some(Expr::Or(a, b)) if !and => pending.extend([b, a]),
                _ => parts.push(self.term(expr, nesting)),
            }
        }
        parts
    }

    fn leaf(&self, symbol: SymbolId) -> Term {
        let kconfig = self.values.kconfig;
        let first = self.values.model().symbol(symbol).first_node;
        Term::Symbol {
            symbol: kconfig.operand(symbol),
            value: String::from_utf8_lossy(self.values.bytes_of(symbol)).into_owned(),
            origin: self.origin(symbol),
            place: (first != NONE).then(|| {
                let line = self.values.model().node(first).position.line;
                kconfig.place(first, line)
            }),
        }
    }
}

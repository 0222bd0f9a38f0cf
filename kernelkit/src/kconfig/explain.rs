//! Why a symbol has its value, and why a request was not honoured.

use super::config_file::{is_hex, is_int};
use super::eval::{User, Values};
use super::fix::{self, Setting};
use super::lex::unindent;
use super::model::{
    Comparison, Expr, ExprId, NONE, NodeId, NodeKind, Property, PropertyKind, SymbolId, Tristate,
    Type, Y,
};
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
}

/// A symbol in a condition that keeps it from holding.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Leaf {
    /// Its name.
    pub symbol: String,
    /// Its value.
    pub value: String,
    /// What would help: `y`, `m`, `n` or a comparison.
    pub wanted: String,
    /// Where its value comes from.
    pub origin: Origin,
}

/// A condition that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Cause {
    /// `depends on`, `if` or `visible if`.
    pub kind: &'static str,
    /// The condition as text.
    pub condition: String,
    /// Its value.
    pub value: Tristate,
    /// Where it is written.
    pub place: Place,
    /// The symbols it fails by.
    pub leaves: Vec<Leaf>,
}

/// Why a symbol does not have the value that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// No file mentions it; these names are close.
    Unknown(Vec<String>),
    /// Files mention it, but none that is read for this architecture defines it.
    NotDefined,
    /// It is defined without a type.
    Untyped,
    /// The value does not fit its type.
    BadValue(Type),
    /// A string without quotes.
    Unquoted,
    /// A later line sets it again.
    Overwritten(Place),
    /// Nothing asks for it.
    NotRequested,
    /// It only carries old configurations over to these.
    Transitional(Vec<String>),
    /// It has no prompt: only these set it.
    NoPrompt(Vec<Selector>),
    /// Its prompt is not visible.
    Invisible(Vec<Cause>),
    /// Something it depends on is a module, so it can be one at most.
    LimitedToModule(Vec<Cause>),
    /// Modules are off, so `m` is `y`.
    ModulesOff,
    /// Other symbols select it.
    Raised(Vec<Selector>),
    /// Its choice picked another member.
    ChoiceOther(String),
    /// It is what its choice falls back on.
    ChoiceDefault,
    /// The number is outside the range.
    OutOfRange {
        /// Lowest number allowed.
        low: String,
        /// Highest number allowed.
        high: String,
    },
}

/// A request that was not honoured.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Refusal {
    /// The symbol.
    pub symbol: String,
    /// What was asked for.
    pub wanted: String,
    /// What it is.
    pub actual: Option<Value>,
    /// Why.
    pub reason: Reason,
    /// The fewest further settings found that make the request hold, the request
    /// itself included; each was tried.
    pub fix: Option<Vec<Setting>>,
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
    /// Every condition on its entries with its value now.
    pub conditions: Vec<Cause>,
    /// Selects in force.
    pub selected_by: Vec<Selector>,
    /// Implies in force.
    pub implied_by: Vec<Selector>,
    /// The other members of its choice.
    pub choice: Vec<String>,
}

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
        let help = nodes.iter().rev().find_map(|node| {
            let node = model.node(*node);
            let (start, end) = node.help;
            let text =
                kconfig.contents[node.position.file as usize].get(start as usize..end as usize)?;
            (start < end).then(|| unindent(text))
        });
        let members = match entry.choice {
            NONE => &[][..],
            choice => &model.choices[choice as usize].members,
        };
        Some(Explanation {
            symbol: kconfig.name(symbol),
            kind: entry.kind,
            value: self.value(name),
            written: values.is_written(symbol),
            origin: self.origin(symbol),
            places: nodes
                .iter()
                .map(|node| kconfig.place(*node, model.node(*node).position.line))
                .collect(),
            prompt: prompted.and_then(|node| kconfig.prompt_text(node)),
            menu: prompted
                .or(nodes.first().copied())
                .map(|node| kconfig.menu_path(node))
                .unwrap_or_default(),
            help,
            visible: Tristate::of(values.visible(symbol)),
            conditions: self.conditions(symbol, u8::MAX),
            selected_by: self.selectors(symbol, true),
            implied_by: self.selectors(symbol, false),
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

    /// Why the symbol `name` is not `wanted`, a value as `.config` spells it;
    /// nothing if it is.
    pub fn check(&self, name: &str, wanted: &str) -> Option<Refusal> {
        let symbol = self.values.kconfig.find(name);
        let actual = self.value(name);
        let (reason, target) = match symbol {
            None => (Reason::Unknown(self.similar(name)), None),
            Some(symbol) => match self.target(symbol, wanted) {
                Err(reason) => (reason, None),
                Ok(target) => {
                    if self.holds(symbol, &target) {
                        return None;
                    }
                    (self.reason(symbol, &target), Some((symbol, target)))
                }
            },
        };
        let fix = target.and_then(|(symbol, target)| fix::find(self, symbol, &target, &reason));
        Some(Refusal {
            symbol: name.to_owned(),
            wanted: wanted.to_owned(),
            actual,
            reason,
            fix,
        })
    }

    /// Names of defined symbols close to `name`, the closest first.
    fn similar(&self, name: &str) -> Vec<String> {
        let model = self.values.model();
        let mut close: Vec<(f64, String)> = (Y + 1..model.symbols.len() as SymbolId)
            .filter(|symbol| {
                model.symbol(*symbol).kind != Type::Unknown && !model.is_choice(*symbol)
            })
            .filter_map(|symbol| {
                let other = self.values.kconfig.name(symbol);
                let likeness = strsim::jaro_winkler(name, &other);
                (likeness > 0.88).then_some((likeness, other))
            })
            .collect();
        close.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        close.into_iter().take(3).map(|(_, name)| name).collect()
    }

    /// What a value means for the symbol's type, or why it means nothing.
    fn target(&self, symbol: SymbolId, wanted: &str) -> Result<Target, Reason> {
        let model = self.values.model();
        let entry = model.symbol(symbol);
        let kind = entry.kind;
        match kind {
            Type::Unknown if entry.first_node == NONE => Err(Reason::NotDefined),
            Type::Unknown => Err(Reason::Untyped),
            Type::Bool | Type::Tristate => match (wanted, kind) {
                ("n", _) => Ok(Target::Tristate(0)),
                ("m", Type::Tristate) => Ok(Target::Tristate(1)),
                ("y", _) => Ok(Target::Tristate(2)),
                _ => Err(Reason::BadValue(kind)),
            },
            Type::Int if is_int(wanted.as_bytes()) => Ok(Target::Text(wanted.to_owned())),
            Type::Hex if is_hex(wanted.as_bytes()) => Ok(Target::Text(wanted.to_owned())),
            Type::Int | Type::Hex => Err(Reason::BadValue(kind)),
            Type::String => match wanted
                .strip_prefix('"')
                .and_then(|text| text.strip_suffix('"'))
            {
                None => Err(Reason::Unquoted),
                Some(text) => Ok(Target::Text(unescape(text))),
            },
        }
    }

    pub(super) fn holds(&self, symbol: SymbolId, target: &Target) -> bool {
        target_holds(&self.values, symbol, target)
    }

    fn reason(&self, symbol: SymbolId, target: &Target) -> Reason {
        let values = &self.values;
        let model = values.model();
        let kconfig = values.kconfig;
        let entry = model.symbol(symbol);
        if entry.transitional {
            return Reason::Transitional(self.successors(symbol));
        }
        let prompt = |property: &Property| matches!(property.kind, PropertyKind::Prompt(_));
        if !model.properties(symbol).iter().any(prompt) {
            return Reason::NoPrompt(self.all_selectors(symbol));
        }
        let user = values.user[symbol as usize];
        let differs = match target {
            Target::Tristate(value) => user.tristate().is_some_and(|user| user != *value),
            Target::Text(text) => user.text != NONE && values.text(user.text) != text.as_bytes(),
        };
        if differs && let Some(place) = self.input_place(&user) {
            return Reason::Overwritten(place);
        }
        let visible = values.visible(symbol);
        match target {
            Target::Text(_) if visible == 0 => Reason::Invisible(self.conditions(symbol, 1)),
            Target::Text(text) => {
                let outside = user.text != NONE && values.text(user.text) == text.as_bytes()
                    || !user.is_set();
                match values.range(symbol).filter(|_| outside) {
                    Some((low, high)) if !fix::within(values, symbol, text) => Reason::OutOfRange {
                        low: String::from_utf8_lossy(values.bytes_of(low)).into_owned(),
                        high: String::from_utf8_lossy(values.bytes_of(high)).into_owned(),
                    },
                    _ => Reason::NotRequested,
                }
            }
            Target::Tristate(wanted) => {
                let actual = values.tristate(symbol);
                let level = (*wanted).min(if entry.kind == Type::Bool { 1 } else { 2 });
                if visible == 0 && actual < *wanted {
                    return Reason::Invisible(self.conditions(symbol, 1));
                }
                if actual > *wanted && values.reverse(symbol) > *wanted {
                    return Reason::Raised(self.selectors(symbol, true));
                }
                if entry.choice != NONE && *wanted == 2 {
                    let chosen = values.chosen[entry.choice as usize];
                    if chosen != NONE && chosen != symbol {
                        return Reason::ChoiceOther(kconfig.name(chosen));
                    }
                }
                if entry.choice != NONE && *wanted == 0 {
                    return Reason::ChoiceDefault;
                }
                if *wanted == 1 && actual == 2 && values.modules() == 0 {
                    return Reason::ModulesOff;
                }
                if *wanted == 2 && actual == 1 && visible == 1 {
                    return Reason::LimitedToModule(self.conditions(symbol, level));
                }
                Reason::NotRequested
            }
        }
    }

    /// Symbols whose defaults take a transitional one over.
    fn successors(&self, symbol: SymbolId) -> Vec<String> {
        let model = self.values.model();
        let takes = |property: &&Property| matches!(property.kind, PropertyKind::Default(value) if value == ExprId::symbol(symbol));
        let properties = model.properties.iter().filter(takes);
        properties
            .map(|property| self.values.kconfig.name(property.owner))
            .collect()
    }

    pub(super) fn input_place(&self, user: &User) -> Option<Place> {
        let input = self.inputs.get(user.input as usize)?;
        Some(Place {
            file: input.clone(),
            line: user.line,
        })
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

    fn selector(&self, property: &Property) -> Selector {
        let values = &self.values;
        let value = values
            .tristate(property.owner)
            .min(values.expr(property.condition));
        Selector {
            symbol: values.kconfig.name(property.owner),
            value: Tristate::of(value),
            place: values.kconfig.property_place(property),
        }
    }

    /// The selects, or implies, of `symbol` that are in force.
    pub(super) fn selectors(&self, symbol: SymbolId, selects: bool) -> Vec<Selector> {
        self.selecting(symbol, selects)
            .map(|property| self.selector(property))
            .filter(|selector| selector.value != Tristate::N)
            .collect()
    }

    fn all_selectors(&self, symbol: SymbolId) -> Vec<Selector> {
        self.selecting(symbol, true)
            .map(|property| self.selector(property))
            .collect()
    }

    /// Where a symbol's value comes from.
    pub(super) fn origin(&self, symbol: SymbolId) -> Origin {
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
                    return Origin::Selected(self.selectors(symbol, true));
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
                    return Origin::Implied(self.selectors(symbol, false));
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

    /// The conditions on a symbol's prompts, or on its entries if it has none, whose
    /// value is below `level`.
    fn conditions(&self, symbol: SymbolId, level: u8) -> Vec<Cause> {
        let values = &self.values;
        let model = values.model();
        let mut causes = Vec::new();
        let prompts: Vec<&Property> = model
            .properties(symbol)
            .iter()
            .filter(|property| matches!(property.kind, PropertyKind::Prompt(_)))
            .collect();
        let nodes: Vec<NodeId> = if prompts.is_empty() {
            model.nodes_of(symbol).collect()
        } else {
            prompts.iter().map(|property| property.node).collect()
        };
        for node in nodes {
            for around in std::iter::once(node).chain(model.parents(node)) {
                let entry = model.node(around);
                let kind = if entry.kind == NodeKind::If {
                    "if"
                } else {
                    "depends on"
                };
                for dependency in model.dependencies(around) {
                    self.add_cause(&mut causes, kind, dependency.expr, level, || {
                        values.kconfig.place(around, dependency.line)
                    });
                }
                if around != node && entry.visible != ExprId::Y {
                    self.add_cause(&mut causes, "visible if", entry.visible, level, || {
                        values.kconfig.place(around, entry.visible_line)
                    });
                }
            }
        }
        for property in prompts {
            self.add_cause(&mut causes, "if", property.own, level, || {
                values.kconfig.property_place(property)
            });
        }
        causes
    }

    fn add_cause(
        &self,
        causes: &mut Vec<Cause>,
        kind: &'static str,
        expr: ExprId,
        level: u8,
        place: impl FnOnce() -> Place,
    ) {
        let value = self.values.expr(expr);
        if value >= level || expr == ExprId::Y {
            return;
        }
        let cause = Cause {
            kind,
            condition: self.values.kconfig.expression_text(expr),
            value: Tristate::of(value),
            place: place(),
            leaves: self.leaves(expr, level.min(2)),
        };
        let same = |other: &Cause| {
            other.place.file == cause.place.file && other.condition == cause.condition
        };
        if !causes.iter().any(same) {
            causes.push(cause);
        }
    }

    /// The symbols that keep `expr` below `level`.
    fn leaves(&self, expr: ExprId, level: u8) -> Vec<Leaf> {
        enum Want {
            AtLeast(u8),
            AtMost(u8),
        }
        let values = &self.values;
        let kconfig = values.kconfig;
        let mut leaves: Vec<Leaf> = Vec::new();
        let mut pending = vec![(expr, Want::AtLeast(level))];
        while let Some((expr, want)) = pending.pop() {
            let value = values.expr(expr);
            let (holds, wanted) = match want {
                Want::AtLeast(level) => (value >= level, level),
                Want::AtMost(level) => (value <= level, level),
            };
            if holds {
                continue;
            }
            let mut add = |symbol: SymbolId, wanted: String| {
                let leaf = Leaf {
                    symbol: kconfig.name(symbol),
                    value: String::from_utf8_lossy(values.bytes_of(symbol)).into_owned(),
                    wanted,
                    origin: self.origin(symbol),
                };
                if !leaves.contains(&leaf) {
                    leaves.push(leaf);
                }
            };
            let index = match expr.split() {
                Ok(symbol) => {
                    // A bool knows no m.
                    let wanted = match (&want, values.effective(symbol)) {
                        (Want::AtLeast(_), Type::Bool) => 2,
                        (Want::AtMost(_), Type::Bool) => 0,
                        _ => wanted,
                    };
                    add(symbol, Tristate::of(wanted).to_string());
                    continue;
                }
                Err(index) => index,
            };
            let again = |wanted| match want {
                Want::AtLeast(_) => Want::AtLeast(wanted),
                Want::AtMost(_) => Want::AtMost(wanted),
            };
            match values.model().exprs.get(index) {
                Expr::Not(a) => {
                    let inverse = match want {
                        Want::AtLeast(level) => Want::AtMost(2 - level),
                        Want::AtMost(level) => Want::AtLeast(2 - level),
                    };
                    pending.push((a, inverse));
                }
                Expr::And(a, b) | Expr::Or(a, b) => {
                    pending.push((b, again(wanted)));
                    pending.push((a, again(wanted)));
                }
                Expr::Compare(comparison, a, b) => {
                    let text = kconfig.expression_text(expr);
                    let negated = matches!(want, Want::AtMost(_));
                    let constant =
                        |symbol: SymbolId| values.model().symbol(symbol).first_node == NONE;
                    let symbol = if constant(a) && !constant(b) { b } else { a };
                    let text = match (comparison, negated) {
                        (_, false) => text,
                        (Comparison::Equal, true) => text.replacen('=', "!=", 1),
                        (Comparison::Unequal, true) => text.replacen("!=", "=", 1),
                        (_, true) => format!("!({text})"),
                    };
                    add(symbol, text);
                }
            }
        }
        leaves
    }
}

/// What is wanted of a symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Tristate(u8),
    Text(String),
}

pub(super) fn target_holds(values: &Values<'_>, symbol: SymbolId, target: &Target) -> bool {
    match target {
        Target::Tristate(value) => values.tristate(symbol) == *value,
        // A number or string that is not written has no value to speak of.
        Target::Text(text) => {
            values.is_written(symbol) && values.bytes_of(symbol) == text.as_bytes()
        }
    }
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => out.extend(characters.next()),
            character => out.push(character),
        }
    }
    out
}

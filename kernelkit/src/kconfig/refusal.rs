//! Why a request was not honoured.

use super::config_file::{is_hex, is_int};
use super::eval::Values;
use super::explain::{Origin, Selector};
use super::fix::{self, Fix, Kept};
use super::model::{
    Comparison, Expr, ExprId, NONE, NodeId, NodeKind, Property, PropertyKind, SymbolId, Tristate,
    Type,
};
use super::resolve::{Resolution, Value};
use super::sentence;
use super::show::Place;

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
    /// The entry it keeps back: a symbol may have several, and one would do.
    pub entry: Place,
    /// The symbols it fails by.
    pub leaves: Vec<Leaf>,
}

/// A `default` line.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct DefaultLine {
    /// What it gives, as it is written.
    pub text: String,
    /// What that comes to now.
    pub value: String,
    /// Its whole condition, the entry's dependencies included.
    pub condition: String,
    /// Whether the condition holds.
    pub holds: bool,
    /// Where it is written.
    pub place: Place,
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
    /// It has no prompt: only these lines set it.
    NoPrompt {
        /// What selects or implies it, in force or not.
        selectors: Vec<Selector>,
        /// Its defaults.
        defaults: Vec<DefaultLine>,
    },
    /// Its prompt is not visible.
    Invisible(Vec<Cause>),
    /// Something it depends on is a module, so it can be one at most.
    LimitedToModule(Vec<Cause>),
    /// Modules are off, so `m` is `y`.
    ModulesOff,
    /// Other symbols select it.
    Raised(Vec<Selector>),
    /// Its choice picked another member.
    ChoiceOther {
        /// The member.
        member: String,
        /// Why that one.
        origin: Origin,
    },
    /// Its choice is a module, so that none of its members is built in (before 6.9).
    ChoiceModule,
    /// One member of its choice has to be on, and the others are off.
    ChoiceDefault,
    /// The number is outside the range.
    OutOfRange {
        /// Lowest number allowed.
        low: String,
        /// Highest number allowed.
        high: String,
        /// The line of the range.
        place: Place,
    },
}

/// A request that was not honoured.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Refusal {
    /// The symbol, without its prefix.
    pub symbol: String,
    /// What was asked for.
    pub wanted: String,
    /// What it is; nothing where it has no type.
    pub actual: Option<Value>,
    /// Why.
    pub reason: Reason,
    /// The same in one sentence.
    pub sentence: String,
    /// What would make it hold.
    pub fix: Option<Fix>,
}

/// What is wanted of a symbol.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Target {
    Tristate(u8),
    Text(String),
}

impl Target {
    pub(super) fn to_value(&self) -> Value {
        match self {
            Target::Tristate(value) => Value::Tristate(Tristate::of(*value)),
            Target::Text(text) => Value::Text(text.clone()),
        }
    }
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

impl Resolution<'_> {
    /// Why the symbol `name` is not `wanted`, a value as `.config` spells it; nothing if
    /// it is. The fix keeps what the inputs ask for otherwise, as far as that can be.
    ///
    /// A fix is searched for within bounds: tens of milliseconds on a whole kernel.
    pub fn check(&self, name: &str, wanted: &str) -> Option<Refusal> {
        self.check_among(name, wanted, &self.input_requests())
    }

    /// The same, with a fix that keeps the `requests`, names and values, and nothing else.
    pub fn check_with(
        &self,
        name: &str,
        wanted: &str,
        requests: &[(&str, &str)],
    ) -> Option<Refusal> {
        self.check_among(name, wanted, &self.kept(requests))
    }

    /// Why requests do not hold, in their order, for each that does not. Fixes keep the
    /// other requests, and nothing else.
    pub fn check_all(&self, requests: &[(&str, &str)]) -> Vec<Refusal> {
        let kept = self.kept(requests);
        requests
            .iter()
            .filter_map(|(name, wanted)| self.check_among(name, wanted, &kept))
            .collect()
    }

    fn kept(&self, requests: &[(&str, &str)]) -> Vec<Kept> {
        requests
            .iter()
            .filter_map(|(name, wanted)| {
                let symbol = self.values.kconfig.find(name)?;
                Some((symbol, self.target(symbol, wanted).ok()?))
            })
            .collect()
    }

    fn check_among(&self, name: &str, wanted: &str, kept: &[Kept]) -> Option<Refusal> {
        let symbol = self.values.kconfig.find(name);
        let (reason, fix) = match symbol {
            None => (Reason::Unknown(self.similar(name)), None),
            Some(symbol) => match self.target(symbol, wanted) {
                Err(reason) => {
                    let meant = self.meant(symbol, wanted);
                    let fix = meant.and_then(|target| fix::find(self, symbol, &target, kept));
                    (reason, fix)
                }
                Ok(target) if self.is_honoured(symbol, &target) => return None,
                Ok(target) => {
                    let reason = self.reason(symbol, &target);
                    (reason, self.fix(symbol, &target, kept))
                }
            },
        };
        let mut refusal = Refusal {
            symbol: name.to_owned(),
            wanted: wanted.to_owned(),
            actual: self.value(name),
            reason,
            sentence: String::new(),
            fix,
        };
        refusal.sentence = sentence::of(&refusal);
        Some(refusal)
    }

    /// A transitional symbol has a value, but no line that could show it.
    fn is_honoured(&self, symbol: SymbolId, target: &Target) -> bool {
        let shown = !self.values.model().symbol(symbol).transitional;
        target_holds(&self.values, symbol, target) && (shown || *target == Target::Tristate(0))
    }

    fn fix(&self, symbol: SymbolId, target: &Target, kept: &[Kept]) -> Option<Fix> {
        if self.values.model().symbol(symbol).transitional {
            // What it hands its value on to can be asked for itself.
            let successor = self.successors(symbol).into_iter().next()?;
            return fix::find(self, successor, target, kept);
        }
        fix::find(self, symbol, target, kept)
    }

    /// What the inputs' lines ask for.
    fn input_requests(&self) -> Vec<Kept> {
        let users = (0..).zip(&self.values.user);
        users
            .filter(|(_, user)| self.input_place(user).is_some())
            .filter_map(|(symbol, user)| {
                let target = match user.tristate() {
                    Some(value) => Target::Tristate(value),
                    None => {
                        let text = self.values.text(user.text);
                        Target::Text(String::from_utf8_lossy(text).into_owned())
                    }
                };
                (!self.values.model().is_choice(symbol)).then_some((symbol, target))
            })
            .collect()
    }

    /// What a value means for the symbol's type, or why it means nothing.
    fn target(&self, symbol: SymbolId, wanted: &str) -> Result<Target, Reason> {
        let entry = self.values.model().symbol(symbol);
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

    /// What a value that does not fit was probably meant to be.
    fn meant(&self, symbol: SymbolId, wanted: &str) -> Option<Target> {
        match self.values.model().symbol(symbol).kind {
            Type::Bool if matches!(wanted, "m" | "\"y\"" | "\"m\"" | "1") => {
                Some(Target::Tristate(2))
            }
            Type::Tristate => match wanted.trim_matches('"') {
                "y" | "1" => Some(Target::Tristate(2)),
                "m" => Some(Target::Tristate(1)),
                _ => None,
            },
            Type::String if !wanted.contains('"') => Some(Target::Text(wanted.to_owned())),
            Type::Int => {
                let text = wanted.trim_matches('"');
                let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
                let number = match digits {
                    Some(digits) => i64::from_str_radix(digits, 16).ok()?,
                    None => text.parse().ok()?,
                };
                Some(Target::Text(number.to_string()))
            }
            Type::Hex if is_hex(wanted.trim_matches('"').as_bytes()) => {
                Some(Target::Text(wanted.trim_matches('"').to_owned()))
            }
            _ => None,
        }
    }

    fn reason(&self, symbol: SymbolId, target: &Target) -> Reason {
        let values = &self.values;
        let model = values.model();
        let kconfig = values.kconfig;
        let entry = model.symbol(symbol);
        if entry.transitional {
            let successors = self.successors(symbol).into_iter();
            return Reason::Transitional(successors.map(|other| kconfig.name(other)).collect());
        }
        let wanted = match target {
            Target::Tristate(wanted) => *wanted,
            Target::Text(_) => 0,
        };
        let actual = values.tristate(symbol);
        let raised = entry.kind.is_logical() && actual > wanted && values.reverse(symbol) > wanted;
        if raised {
            return Reason::Raised(self.selectors(symbol, true));
        }
        let prompt = |property: &Property| matches!(property.kind, PropertyKind::Prompt(_));
        if !model.properties(symbol).iter().any(prompt) {
            let mut selectors = self.all_selectors(symbol, true);
            selectors.extend(self.all_selectors(symbol, false));
            let defaults = self.defaults(symbol);
            return Reason::NoPrompt {
                selectors,
                defaults,
            };
        }
        let visible = values.visible(symbol);
        if visible == 0 {
            let causes = self.causes(symbol, 1);
            return match model.choice_of(symbol) {
                Some(_) if causes.is_empty() => Reason::ChoiceModule,
                _ => Reason::Invisible(causes),
            };
        }
        if let Target::Text(text) = target
            && !fix::within(values, symbol, text)
            && let Some(range) = self.active_range(symbol)
        {
            return range;
        }
        if wanted == 2 && visible == 1 {
            let causes = self.causes(symbol, 2);
            return match model.choice_of(symbol) {
                Some(_) if causes.is_empty() => Reason::ChoiceModule,
                _ => Reason::LimitedToModule(causes),
            };
        }
        let user = values.user[symbol as usize];
        let differs = match target {
            Target::Tristate(value) => user.tristate().is_some_and(|user| user != *value),
            Target::Text(text) => user.text != NONE && values.text(user.text) != text.as_bytes(),
        };
        if differs && let Some(place) = self.input_place(&user) {
            return Reason::Overwritten(place);
        }
        if let Some(choice) = model.choice_of(symbol) {
            let chosen = values.chosen[choice as usize];
            if wanted == 2 && chosen != NONE && chosen != symbol {
                return Reason::ChoiceOther {
                    member: kconfig.name(chosen),
                    origin: self.origin(chosen),
                };
            }
            if wanted == 0 {
                return Reason::ChoiceDefault;
            }
            if wanted == 2 {
                return Reason::ChoiceModule;
            }
        }
        if wanted == 1 && actual == 2 && values.modules() == 0 {
            return Reason::ModulesOff;
        }
        Reason::NotRequested
    }

    /// The range that holds, as a reason.
    fn active_range(&self, symbol: SymbolId) -> Option<Reason> {
        let values = &self.values;
        let text = |bound| String::from_utf8_lossy(values.bytes_of(bound)).into_owned();
        let properties = values.model().properties(symbol).iter();
        properties
            .filter(|property| values.expr(property.condition) != 0)
            .find_map(|property| match property.kind {
                PropertyKind::Range(low, high) => Some(Reason::OutOfRange {
                    low: text(low),
                    high: text(high),
                    place: values.kconfig.property_place(property),
                }),
                _ => None,
            })
    }

    /// Symbols whose defaults take a transitional one over.
    fn successors(&self, symbol: SymbolId) -> Vec<SymbolId> {
        let model = self.values.model();
        let takes = |property: &&Property| matches!(property.kind, PropertyKind::Default(value) if value == ExprId::symbol(symbol));
        let properties = model.properties.iter().filter(takes);
        properties.map(|property| property.owner).collect()
    }

    /// Every `default` of a symbol.
    pub(super) fn defaults(&self, symbol: SymbolId) -> Vec<DefaultLine> {
        let values = &self.values;
        let kconfig = values.kconfig;
        let properties = values.model().properties(symbol).iter();
        properties
            .filter_map(|property| {
                let PropertyKind::Default(default) = property.kind else {
                    return None;
                };
                let value = match default.split() {
                    Ok(symbol) => String::from_utf8_lossy(values.bytes_of(symbol)).into_owned(),
                    Err(_) => Tristate::of(values.expr(default)).to_string(),
                };
                Some(DefaultLine {
                    text: kconfig.expression_text(default),
                    value,
                    condition: kconfig.expression_text(property.condition),
                    holds: values.expr(property.condition) != 0,
                    place: kconfig.property_place(property),
                })
            })
            .collect()
    }

    /// The conditions around a symbol's entries: each with its kind, its line and the
    /// entry it belongs to.
    pub(super) fn conditions(&self, symbol: SymbolId) -> Vec<(&'static str, ExprId, Place, Place)> {
        let kconfig = self.values.kconfig;
        let model = self.values.model();
        let old_choices = kconfig.dialect.choice_is_symbol;
        let mut conditions = Vec::new();
        let prompts: Vec<&Property> = model.prompts(symbol).collect();
        let nodes: Vec<NodeId> = if prompts.is_empty() {
            model.nodes_of(symbol).collect()
        } else {
            prompts.iter().map(|property| property.node).collect()
        };
        for (index, node) in nodes.into_iter().enumerate() {
            let entry = kconfig.place(node, model.node(node).position.line);
            let mut push = |kind, expr, place| {
                if expr != ExprId::Y {
                    conditions.push((kind, expr, place, entry.clone()));
                }
            };
            if let Some(property) = prompts.get(index) {
                push("if", property.own, kconfig.property_place(property));
            }
            for around in std::iter::once(node).chain(model.parents(node)) {
                let outer = model.node(around);
                let kind = match outer.kind {
                    NodeKind::If => "if",
                    _ => "depends on",
                };
                for dependency in model.dependencies(around) {
                    push(
                        kind,
                        dependency.expr,
                        kconfig.place(around, dependency.line),
                    );
                }
                if around == node {
                    continue;
                }
                if outer.visible != ExprId::Y {
                    let place = kconfig.place(around, outer.visible_line);
                    push("visible if", outer.visible, place);
                }
                if outer.kind == NodeKind::Choice && old_choices {
                    for property in model.properties(outer.symbol) {
                        if matches!(property.kind, PropertyKind::Prompt(_)) {
                            push("if", property.own, kconfig.property_place(property));
                        }
                    }
                }
            }
        }
        conditions
    }

    /// The conditions around a symbol's entries whose value is below `level`.
    fn causes(&self, symbol: SymbolId, level: u8) -> Vec<Cause> {
        let mut causes: Vec<Cause> = Vec::new();
        for (kind, expr, place, entry) in self.conditions(symbol) {
            let value = self.values.expr(expr);
            if value >= level {
                continue;
            }
            let cause = Cause {
                kind,
                condition: self.values.kconfig.expression_text(expr),
                value: Tristate::of(value),
                place,
                entry,
                leaves: self.leaves(expr, level),
            };
            let same = |other: &Cause| {
                other.entry == cause.entry
                    && other.place.file == cause.place.file
                    && other.condition == cause.condition
            };
            if !causes.iter().any(same) {
                causes.push(cause);
            }
        }
        causes
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
                    if constant(a) && constant(b) {
                        // Nothing can be done about texts that the tree was read with.
                        continue;
                    }
                    let symbol = if constant(a) { b } else { a };
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

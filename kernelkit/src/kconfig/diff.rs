//! What differs between two resolutions, of one tree or of two.

use std::collections::BTreeMap;

use super::model::{NONE, NodeId, SymbolId, Tristate, Type};
use super::resolve::{Resolution, Value};
use crate::config::{self, DotConfig};

/// A symbol whose line differs.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Change {
    /// Its name, without prefix.
    pub symbol: String,
    /// Its declared type, in the second tree where that defines it.
    #[serde(rename = "type")]
    pub kind: Type,
    /// Its first prompt.
    pub prompt: Option<String>,
    /// Titles of the menus around it, outermost first.
    pub menu: Vec<String>,
    /// Its value before; nothing where it had no line.
    pub old: Option<Value>,
    /// Its value now; nothing where it has no line.
    pub new: Option<Value>,
    /// Whether the first tree defines it.
    pub in_old_tree: bool,
    /// Whether the second tree defines it.
    pub in_new_tree: bool,
}

impl Change {
    /// Whether the kernel that is built differs by it: not where the symbol is off on one side
    /// and has no line on the other.
    pub fn has_effect(&self) -> bool {
        let on =
            |value: &Option<Value>| !matches!(value, None | Some(Value::Tristate(Tristate::N)));
        on(&self.old) || on(&self.new)
    }

    /// [`Change::old`] as `.config` spells it.
    pub fn old_text(&self) -> Option<String> {
        self.old.as_ref().map(|value| spell(self.kind, value))
    }

    /// [`Change::new`] as `.config` spells it.
    pub fn new_text(&self) -> Option<String> {
        self.new.as_ref().map(|value| spell(self.kind, value))
    }
}

/// A value of a symbol of type `kind` as `.config` spells it; `n` for "is not set".
pub fn spell(kind: Type, value: &Value) -> String {
    match (kind, value) {
        (Type::String, Value::Text(text)) => config::Value::Text(text.clone()).to_string(),
        (_, value) => value.to_string(),
    }
}

/// Symbols whose lines in `.config` differ, in the order of the second tree's menus; those
/// only the first tree has follow the last entry of the menu that they would be in.
///
/// A missing line and `is not set` are different: only the latter could be changed.
pub fn diff(old: &Resolution<'_>, new: &Resolution<'_>) -> Vec<Change> {
    let mut changes: BTreeMap<(NodeId, NodeId), Change> = BTreeMap::new();
    for (resolution, is_new) in [(new, true), (old, false)] {
        let other = if is_new { old } else { new };
        for symbol in resolution.defined() {
            let kconfig = resolution.values.kconfig;
            let name = kconfig.name(symbol);
            let elsewhere = other.find_defined(&name).is_some();
            if !is_new && elsewhere {
                // Both have it: seen in the first round.
                continue;
            }
            let (before, after) = (old.line(&name), new.line(&name));
            if before == after {
                continue;
            }
            let node = resolution.shown_at(symbol);
            let menu = kconfig.menu_path(node);
            let place = match is_new {
                true => (node, 0),
                false => (new.end_of_menu(&menu), node + 1),
            };
            let change = Change {
                kind: resolution.values.model().symbol(symbol).kind,
                prompt: kconfig.prompt_text(node),
                menu,
                symbol: name,
                old: before,
                new: after,
                in_old_tree: !is_new || elsewhere,
                in_new_tree: is_new || elsewhere,
            };
            changes.insert(place, change);
        }
    }
    changes.into_values().collect()
}

/// The same of two files without any tree: by name, and nothing is known of menus, prompts
/// and trees. Types are guessed from the values.
pub fn diff_texts(old: &DotConfig, new: &DotConfig) -> Vec<Change> {
    let names: std::collections::BTreeSet<_> =
        old.values().keys().chain(new.values().keys()).collect();
    let read = |value: &config::Value| match value {
        config::Value::No => (Type::Bool, Value::Tristate(Tristate::N)),
        config::Value::Module => (Type::Tristate, Value::Tristate(Tristate::M)),
        config::Value::Yes => (Type::Bool, Value::Tristate(Tristate::Y)),
        config::Value::Text(text) => (Type::String, Value::Text(text.clone())),
        config::Value::Number(number) => (Type::Unknown, Value::Text(number.clone())),
    };
    names
        .into_iter()
        .filter(|name| old.get(name) != new.get(name))
        .map(|name| {
            let (before, after) = (old.get(name).map(read), new.get(name).map(read));
            let kind = after.as_ref().or(before.as_ref());
            Change {
                symbol: name.as_str().to_owned(),
                kind: kind.map_or(Type::Unknown, |(kind, _)| *kind),
                prompt: None,
                menu: Vec::new(),
                in_old_tree: before.is_some(),
                in_new_tree: after.is_some(),
                old: before.map(|(_, value)| value),
                new: after.map(|(_, value)| value),
            }
        })
        .collect()
}

impl Resolution<'_> {
    /// The symbols that the tree defines, choices left out.
    pub(super) fn defined(&self) -> impl Iterator<Item = SymbolId> {
        let model = self.values.model();
        (0..)
            .zip(&model.symbols)
            .skip(3)
            .filter(move |(symbol, entry)| {
                entry.first_node != NONE && entry.kind != Type::Unknown && !model.is_choice(*symbol)
            })
            .map(|(symbol, _)| symbol)
    }

    /// The symbol `name`, if the tree defines it.
    pub(super) fn find_defined(&self, name: &str) -> Option<SymbolId> {
        let model = self.values.model();
        let symbol = self.values.kconfig.find(name)?;
        let entry = model.symbol(symbol);
        (entry.first_node != NONE && entry.kind != Type::Unknown).then_some(symbol)
    }

    /// The entry that a user knows a symbol by: the first with a prompt, else the first.
    pub(super) fn shown_at(&self, symbol: SymbolId) -> NodeId {
        let model = self.values.model();
        model
            .nodes_of(symbol)
            .find(|node| model.node(*node).prompt != NONE)
            .unwrap_or(model.symbol(symbol).first_node)
    }

    /// A symbol's value, if `.config` has a line for it.
    pub(super) fn line(&self, name: &str) -> Option<Value> {
        let symbol = self.values.kconfig.find(name)?;
        let written = self.values.is_written(symbol);
        written.then(|| self.value(name)).flatten()
    }

    /// The last node of the deepest menu on `path` that there is; of the whole tree for none.
    fn end_of_menu(&self, path: &[String]) -> NodeId {
        let model = self.values.model();
        let mut around: NodeId = 0;
        for title in path {
            let mut inside = around + 1..model.node(around).end;
            let found = inside.find(|node| {
                let is_around = model.node(*node).end > node + 1;
                is_around && self.values.kconfig.menu_title(*node).as_ref() == Some(title)
            });
            match found {
                Some(menu) => around = menu,
                None => break,
            }
        }
        model.node(around).end.saturating_sub(1)
    }
}

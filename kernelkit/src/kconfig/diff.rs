//! What differs between two resolutions, of one tree or of two.

use std::collections::BTreeMap;

use super::model::{NONE, SymbolId, Type};
use super::resolve::{Resolution, Value};

/// A symbol whose line differs.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Change {
    /// Its name, without prefix.
    pub symbol: String,
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

/// Symbols whose lines in `.config` differ, in the order of the second tree's menus;
/// those only the first tree has come last.
///
/// A missing line and `is not set` are different: only the latter could be changed.
pub fn diff(old: &Resolution<'_>, new: &Resolution<'_>) -> Vec<Change> {
    let mut changes: BTreeMap<(bool, u32), Change> = BTreeMap::new();
    for (resolution, is_new) in [(new, true), (old, false)] {
        let model = resolution.values.model();
        let kconfig = resolution.values.kconfig;
        for (symbol, entry) in (0..).zip(&model.symbols).skip(3) {
            if entry.first_node == NONE || entry.kind == Type::Unknown || model.is_choice(symbol) {
                continue;
            }
            let name = kconfig.name(symbol);
            let other = if is_new { old } else { new };
            let defined = |resolution: &Resolution<'_>| {
                let found = resolution.values.kconfig.find(&name);
                found.is_some_and(|symbol| {
                    resolution.values.model().symbol(symbol).first_node != NONE
                })
            };
            let elsewhere = defined(other);
            if !is_new && elsewhere {
                // Both have it: seen in the first round.
                continue;
            }
            let (before, after) = (line(old, &name), line(new, &name));
            if before == after {
                continue;
            }
            let prompted = model
                .nodes_of(symbol)
                .find(|node| model.node(*node).prompt != NONE)
                .unwrap_or(entry.first_node);
            let change = Change {
                menu: kconfig.menu_path(prompted),
                symbol: name,
                old: before,
                new: after,
                in_old_tree: !is_new || elsewhere,
                in_new_tree: is_new || elsewhere,
            };
            changes.insert((!is_new, entry.first_node), change);
        }
    }
    changes.into_values().collect()
}

fn line(resolution: &Resolution<'_>, name: &str) -> Option<Value> {
    let symbol: SymbolId = resolution.values.kconfig.find(name)?;
    let written = resolution.values.is_written(symbol);
    written.then(|| resolution.value(name)).flatten()
}

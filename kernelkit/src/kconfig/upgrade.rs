//! What becomes of a configuration on another tree.

use std::collections::HashSet;

use super::diff::{Change, diff};
use super::explain::Origin;
use super::model::{ExprId, PropertyKind, SymbolId, Type};
use super::renames::renamed;
use super::resolve::{Input, Mode, Request, Resolution, Value};
use super::show::Place;

/// A symbol that the first tree does not have, or that could not be set there.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct New {
    /// Its name, without prefix.
    pub symbol: String,
    /// Its declared type.
    #[serde(rename = "type")]
    pub kind: Type,
    /// Its first prompt.
    pub prompt: Option<String>,
    /// Titles of the menus around it, outermost first.
    pub menu: Vec<String>,
    /// Where it is defined.
    pub place: Place,
    /// Its value; nothing where it has no line.
    pub value: Option<Value>,
    /// Whether `make listnewconfig` with the old `.config` would list it.
    pub asked: bool,
    /// Whether the first tree defines it too, where its prompt could not be seen.
    pub in_old_tree: bool,
}

/// A symbol that has another name now.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Renamed {
    /// Its name in the first tree.
    pub old: String,
    /// Its names in the second tree: several where it was split up.
    pub new: Vec<String>,
    /// Its value in the first.
    pub old_value: Option<Value>,
    /// The value of each of [`Renamed::new`].
    pub new_values: Vec<Option<Value>>,
    /// Neither the tree nor our [table](super::RENAMES) says so: prompt and menu are the same,
    /// and the old name is gone.
    pub guess: bool,
}

/// A symbol of both trees whose value differs.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Changed {
    /// What differs.
    #[serde(flatten)]
    pub change: Change,
    /// Where the old value comes from.
    pub old_origin: Origin,
    /// Where the new value comes from.
    pub new_origin: Origin,
}

/// The differences between one request's results on two trees, by their causes.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Upgrade {
    /// Symbols to decide about first, in menu order, then the others that have a line.
    pub new: Vec<New>,
    /// Symbols that had a line and that the second tree does not have under any name known.
    pub removed: Vec<Change>,
    /// Symbols with another name.
    pub renamed: Vec<Renamed>,
    /// Symbols of both trees whose lines differ, without those in [`Upgrade::new`].
    pub changed: Vec<Changed>,
}

/// Compares the results of a request on two trees.
pub fn upgrade(old: &Resolution<'_>, new: &Resolution<'_>) -> Upgrade {
    let kconfig = new.values.kconfig;
    let old_text = old.dot_config();
    let carried = kconfig.resolve(&Request {
        mode: Mode::Olddefconfig,
        inputs: &[Input {
            name: ".config",
            text: &old_text,
        }],
        warn_unknown: false,
    });
    let asked: HashSet<SymbolId> = carried.values.new_symbols().into_iter().collect();
    let mut symbols: Vec<SymbolId> = new.defined().collect();
    symbols.sort_by_key(|symbol| (!asked.contains(symbol), new.shown_at(*symbol)));
    let mut found = Upgrade::default();
    for symbol in symbols {
        let name = kconfig.name(symbol);
        let in_old_tree = old.find_defined(&name).is_some();
        let value = new.line(&name);
        let asked = asked.contains(&symbol);
        if !asked && (in_old_tree || value.is_none()) {
            continue;
        }
        let node = new.shown_at(symbol);
        found.new.push(New {
            kind: kconfig.model.symbol(symbol).kind,
            prompt: kconfig.prompt_text(node),
            menu: kconfig.menu_path(node),
            place: kconfig.place(node, kconfig.model.node(node).position.line),
            symbol: name,
            value,
            asked,
            in_old_tree,
        });
    }
    let mut changes = diff(old, new);
    take_renamed(&mut changes, old, new, &mut found);
    for change in changes {
        let listed = |other: &New| other.asked && other.symbol == change.symbol;
        if !change.in_new_tree {
            found.removed.push(change);
        } else if change.in_old_tree && !found.new.iter().any(listed) {
            let origin = |resolution: &Resolution<'_>| {
                let symbol = resolution.values.kconfig.find(&change.symbol);
                symbol.map_or(Origin::Undefined, |symbol| resolution.origin(symbol))
            };
            found.changed.push(Changed {
                old_origin: origin(old),
                new_origin: origin(new),
                change,
            });
        }
    }
    found
}

/// Takes the symbols out of `changes` that only have another name: the tree itself says so by
/// a transitional symbol, or the table of well-known renames, or else prompt and menu do.
fn take_renamed(
    changes: &mut Vec<Change>,
    old: &Resolution<'_>,
    new: &Resolution<'_>,
    found: &mut Upgrade,
) {
    let model = new.values.model();
    let fresh: Vec<New> = found
        .new
        .iter()
        .filter(|new| !new.in_old_tree && new.prompt.is_some())
        .cloned()
        .collect();
    let gone: Vec<Change> = changes
        .iter()
        .filter(|change| !change.in_new_tree && change.prompt.is_some())
        .cloned()
        .collect();
    changes.retain(|change| {
        let transitional = new
            .find_defined(&change.symbol)
            .filter(|symbol| model.symbol(*symbol).transitional);
        let known = match transitional {
            Some(symbol) => Some(successors(new, symbol)),
            None if change.in_new_tree => return true,
            None => successor(new, &change.symbol).map(|name| vec![name]),
        };
        let (names, guess) = match known {
            Some(names) => (names, false),
            None => {
                let alike = |prompt: &Option<String>, menu: &Vec<String>| {
                    prompt.is_some() && *prompt == change.prompt && *menu == change.menu
                };
                let candidates: Vec<&New> = fresh
                    .iter()
                    .filter(|new| {
                        alike(&new.prompt, &new.menu)
                            && new.kind.is_logical() == change.kind.is_logical()
                    })
                    .collect();
                let rivals = gone.iter().filter(|gone| alike(&gone.prompt, &gone.menu));
                match candidates.as_slice() {
                    [only] if rivals.count() == 1 => (vec![only.symbol.clone()], true),
                    _ => return true,
                }
            }
        };
        if names.is_empty() {
            return true;
        }
        found.renamed.push(Renamed {
            old_value: old.line(&change.symbol),
            new_values: names.iter().map(|name| new.line(name)).collect(),
            old: change.symbol.clone(),
            new: names,
            guess,
        });
        false
    });
}

/// What became of a symbol by the table, if the tree has it.
fn successor(resolution: &Resolution<'_>, name: &str) -> Option<String> {
    let rename = renamed(name)?;
    resolution.find_defined(rename.new)?;
    Some(rename.new.to_owned())
}

/// The symbols that take a transitional one's value over.
fn successors(resolution: &Resolution<'_>, transitional: SymbolId) -> Vec<String> {
    let model = resolution.values.model();
    let value = PropertyKind::Default(ExprId::symbol(transitional));
    let properties = model.properties.iter();
    let mut names: Vec<String> = properties
        .filter(|property| property.kind == value)
        .map(|property| resolution.values.kconfig.name(property.owner))
        .collect();
    names.dedup();
    names
}

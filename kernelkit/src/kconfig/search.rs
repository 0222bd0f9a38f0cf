//! Symbols by words and by names that are nearly right.

use super::Kconfig;
use super::lex::unindent;
use super::model::{NONE, SymbolId, Type, Y};
use super::renames;
use super::resolve::{Resolution, Value};
use super::show::Place;

/// Where words were found; better places come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Match {
    /// It is the symbol's name.
    Name,
    /// A whole word of the name, between underscores.
    NameWord,
    /// A whole word of the prompt.
    PromptWord,
    /// Somewhere in the name.
    InName,
    /// Somewhere in the prompt.
    InPrompt,
    /// In the help text.
    Help,
}

/// A symbol that was searched for.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Found {
    /// Its name, without prefix.
    pub symbol: String,
    /// Its declared type.
    pub kind: Type,
    /// Its value.
    pub value: Option<Value>,
    /// The first prompt.
    pub prompt: Option<String>,
    /// Titles of the menus around it, outermost first.
    pub menu: Vec<String>,
    /// Where it is defined first.
    pub place: Place,
    /// Where the word was found that was hardest to find.
    pub matched: Match,
}

impl Resolution<'_> {
    /// Symbols that every one of `words` is found in, upper and lower case alike: in the
    /// name, a prompt or the help. The best come first; without words there are none.
    pub fn search(&self, words: &[&str]) -> Vec<Found> {
        let words: Vec<String> = words
            .iter()
            .map(|word| word.strip_prefix("CONFIG_").unwrap_or(word).to_lowercase())
            .filter(|word| !word.is_empty())
            .collect();
        if words.is_empty() {
            return Vec::new();
        }
        let kconfig = self.values.kconfig;
        let mut found: Vec<_> = kconfig
            .defined()
            .filter_map(|symbol| {
                let matches = kconfig.matches(symbol, &words)?;
                let hidden = !kconfig.has_prompt(symbol);
                let name = kconfig.name(symbol);
                Some((matches, hidden, name.len(), name, symbol))
            })
            .collect();
        found.sort();
        found
            .into_iter()
            .map(|(matches, _, _, name, symbol)| {
                let model = &kconfig.model;
                let entry = model.symbol(symbol);
                let node = model
                    .nodes_of(symbol)
                    .find(|node| model.node(*node).prompt != NONE)
                    .unwrap_or(entry.first_node);
                Found {
                    kind: entry.kind,
                    value: self.value(&name),
                    prompt: kconfig.prompt_text(node),
                    menu: kconfig.menu_path(node),
                    place: kconfig.place(node, model.node(node).position.line),
                    matched: matches[0],
                    symbol: name,
                }
            })
            .collect()
    }

    /// Names of defined symbols that were probably meant by `name`, the likeliest first:
    /// a spelling close to it, or the same words in another order or among others.
    pub fn similar(&self, name: &str) -> Vec<String> {
        let kconfig = self.values.kconfig;
        let upper = name.to_ascii_uppercase();
        let words: Vec<&str> = upper.split('_').filter(|word| !word.is_empty()).collect();
        let mut close: Vec<(u32, usize, String)> = kconfig
            .defined()
            .filter_map(|symbol| {
                let other = kconfig.name(symbol);
                likeness(&upper, &words, &other).map(|distance| (distance, other.len(), other))
            })
            .collect();
        close.sort();
        // An old name in a new tree, or a new name in an old one.
        let newer = renames::renamed(&upper).map(|rename| rename.new);
        let older = renames::RENAMES
            .iter()
            .filter(|rename| rename.new == upper)
            .map(|rename| rename.old);
        let defined = |name: &&str| {
            let symbol = kconfig.find(name);
            symbol.is_some_and(|symbol| kconfig.model.symbol(symbol).first_node != NONE)
        };
        let renamed = newer
            .into_iter()
            .chain(older)
            .filter(defined)
            .map(str::to_owned);
        let others = close.into_iter().map(|(_, _, other)| other);
        let mut names: Vec<String> = Vec::new();
        for other in renamed.chain(others) {
            if !names.contains(&other) && names.len() < 3 {
                names.push(other);
            }
        }
        names
    }
}

/// How far a symbol's name is from what was written; nothing where it is too far.
fn likeness(written: &str, words: &[&str], name: &str) -> Option<u32> {
    if name.eq_ignore_ascii_case(written) {
        return Some(0);
    }
    let longest = written.len().max(name.len());
    if written.len().abs_diff(name.len()) <= 2 {
        let distance = strsim::damerau_levenshtein(written, name);
        if distance <= 1 || (distance == 2 && longest > 6) || (distance == 3 && longest > 14) {
            return Some(10 * distance as u32);
        }
    }
    let others: Vec<&str> = name.split('_').filter(|word| !word.is_empty()).collect();
    // One word alone is in too many names to be a clue, unless it begins one.
    let all = words.iter().all(|word| others.contains(word));
    if all && (words.len() > 1 || others.first() == words.first()) && !words.is_empty() {
        return Some(15 + 5 * (others.len() - words.len().min(others.len())) as u32);
    }
    let fewer = others.iter().all(|word| words.contains(word));
    if fewer && others.len() > 1 && others.len() + 1 == words.len() {
        return Some(28);
    }
    None
}

impl Kconfig {
    /// Every symbol that an entry gives a type.
    fn defined(&self) -> impl Iterator<Item = SymbolId> {
        let model = &self.model;
        (Y + 1..model.symbols.len() as SymbolId).filter(move |symbol| {
            let entry = model.symbol(*symbol);
            entry.kind != Type::Unknown && entry.first_node != NONE && !model.is_choice(*symbol)
        })
    }

    fn has_prompt(&self, symbol: SymbolId) -> bool {
        let mut nodes = self.model.nodes_of(symbol);
        nodes.any(|node| self.model.node(node).prompt != NONE)
    }

    /// Where each word is found, the worst first; nothing unless all are.
    fn matches(&self, symbol: SymbolId, words: &[String]) -> Option<Vec<Match>> {
        let model = &self.model;
        let name = self.name(symbol).to_lowercase();
        let mut prompts = None;
        let mut helps = None;
        let mut matches = Vec::with_capacity(words.len());
        for word in words {
            let prompts: &Vec<String> = prompts.get_or_insert_with(|| {
                let nodes = model.nodes_of(symbol);
                let texts = nodes.filter_map(|node| self.prompt_text(node));
                texts.map(|text| text.to_lowercase()).collect()
            });
            let is_word = |text: &str| {
                text.split(|character: char| !character.is_alphanumeric())
                    .any(|part| part == word)
            };
            let found = if name == *word {
                Match::Name
            } else if name.split('_').any(|part| part == word) {
                Match::NameWord
            } else if prompts.iter().any(|prompt| is_word(prompt)) {
                Match::PromptWord
            } else if name.contains(word.as_str()) {
                Match::InName
            } else if prompts.iter().any(|prompt| prompt.contains(word.as_str())) {
                Match::InPrompt
            } else {
                let helps: &Vec<String> = helps.get_or_insert_with(|| {
                    let nodes = model.nodes_of(symbol);
                    nodes.filter_map(|node| self.help_text(node)).collect()
                });
                if !helps
                    .iter()
                    .any(|help| help.to_lowercase().contains(word.as_str()))
                {
                    return None;
                }
                Match::Help
            };
            matches.push(found);
        }
        matches.sort_by(|a, b| b.cmp(a));
        Some(matches)
    }

    /// How many empty lines follow a node's help, and whether it is the last line of its file.
    pub(super) fn blank_lines_behind_help(&self, node: super::NodeId) -> (usize, bool) {
        let node = self.model.node(node);
        let text = self.contents.get(node.position.file);
        let mut rest = text.get(node.help.1 as usize..).unwrap_or_default();
        let mut lines = 0_usize;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            if !rest[..end].iter().all(|byte| matches!(byte, b' ' | b'\t')) {
                return (lines.saturating_sub(1), false);
            }
            rest = &rest[end + 1..];
            lines += 1;
        }
        // The newline of the last line itself is the first of them.
        (lines.saturating_sub(1), rest.is_empty() && lines > 0)
    }

    /// A node's help, without its indentation.
    pub(super) fn help_text(&self, node: super::NodeId) -> Option<String> {
        let node = self.model.node(node);
        let (start, end) = node.help;
        if start == end {
            return None;
        }
        let text = self.contents.get(node.position.file);
        Some(unindent(text.get(start as usize..end as usize)?))
    }
}

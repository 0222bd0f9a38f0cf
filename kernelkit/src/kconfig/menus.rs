//! Menus as they are shown, and what in them nobody has set.
//!
//! Rules: Documentation/kbuild/kconfig-language.rst, "Menu structure" and `visible if`.

use super::Dialect;
use super::eval::Values;
use super::link::Entry;
use super::model::{Model, NONE, NodeId, NodeKind, SymbolId};

/// Submenus within submenus are not followed further than this.
const MAX_DEPTH: usize = 500;

/// The menus as they are shown, which is not as they are written.
#[derive(Clone, Debug)]
pub(super) struct Menus {
    /// What is shown inside each node, in order.
    pub(super) inside: Vec<Vec<NodeId>>,
    /// What each node is shown in; [`NONE`] for the root.
    pub(super) around: Vec<NodeId>,
}

/// Whether a node is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    Hidden,
    Shown,
    /// If something inside is.
    AsItsInside,
}

impl Model {
    /// What is shown inside each node: entries below the entry they need, and no blocks
    /// without a title.
    pub(super) fn menus(&self, dialect: Dialect) -> Menus {
        let count = self.nodes.len();
        let mut around = vec![NONE; count];
        let mut inside: Vec<Vec<NodeId>> = vec![Vec::new(); count];
        // Entries that the next one may belong to, for each open block.
        let mut holders: Vec<Vec<Entry>> = vec![Vec::new()];
        let mut blocks: Vec<NodeId> = vec![0];
        for node in 1..count as NodeId {
            while let Some(block) = blocks.last()
                && self.node(*block).end <= node
            {
                blocks.pop();
                holders.pop();
            }
            let block = *blocks.last().expect("the root ends behind all");
            let open = holders.last_mut().expect("each block has its own");
            let entry = self.entry(node, dialect);
            let stays = |holder: &Entry| !entry.belongs_to(holder, dialect);
            while open.last().is_some_and(stays) {
                open.pop();
            }
            let parent = open.last().map_or(block, |holder| holder.node);
            around[node as usize] = parent;
            inside[parent as usize].push(node);
            if self.node(node).end > node + 1 {
                blocks.push(node);
                holders.push(Vec::new());
            } else if self.node(node).symbol != NONE && open.len() < MAX_DEPTH {
                open.push(entry);
            }
        }
        // Innermost first: what is inside an untitled one follows it.
        for node in (1..count).rev() {
            if self.nodes[node].prompt != NONE || inside[node].is_empty() {
                continue;
            }
            let lifted = std::mem::take(&mut inside[node]);
            let parent = around[node];
            for child in &lifted {
                around[*child as usize] = parent;
            }
            let siblings = &mut inside[parent as usize];
            let place = siblings.iter().position(|other| *other == node as NodeId);
            let place = place.expect("a node is inside what is around it");
            siblings.splice(place + 1..=place, lifted);
        }
        Menus { inside, around }
    }
}

impl Menus {
    /// Whether a node is shown, where `sight` says what each decides by itself.
    pub(super) fn is_shown(&self, node: NodeId, mut sight: impl FnMut(NodeId) -> Sight) -> bool {
        let mut open = vec![node];
        while let Some(node) = open.pop() {
            match sight(node) {
                Sight::Hidden => {}
                Sight::Shown => return true,
                Sight::AsItsInside => open.extend(self.inside[node as usize].iter().rev()),
            }
        }
        false
    }
}

impl Values<'_> {
    /// Symbols that a user could set and did not, where they are shown.
    pub(super) fn new_symbols(&self) -> Vec<SymbolId> {
        let model = self.model();
        let nodes = self.new_entries(&model.menus(self.kconfig.dialect));
        let symbols = nodes.into_iter().map(|node| model.node(node).symbol);
        symbols.filter(|symbol| !model.is_choice(*symbol)).collect()
    }

    /// Where they are shown, and the choices that before 6.9 are symbols too.
    pub(super) fn new_entries(&self, menus: &Menus) -> Vec<NodeId> {
        let model = self.model();
        let mut nodes = Vec::new();
        let mut open = vec![0];
        while let Some(node) = open.pop() {
            if !self.is_shown(menus, node) {
                continue;
            }
            let entry = model.node(node);
            let symbol = entry.symbol;
            let settable = match entry.kind {
                NodeKind::Config | NodeKind::Menuconfig => {
                    self.visible(symbol) > self.reverse(symbol)
                }
                // One that is not optional is m or y.
                NodeKind::Choice if self.kconfig.dialect.choice_is_symbol => {
                    let choice = model.symbol(symbol).own_choice as usize;
                    self.visible(symbol) > u8::from(!model.choices[choice].optional)
                }
                _ => false,
            };
            if settable && !self.user[symbol as usize].is_set() {
                nodes.push(node);
            }
            open.extend(menus.inside[node as usize].iter().rev());
        }
        nodes
    }

    /// Whether the prompt written at this node is on.
    fn is_prompted(&self, node: NodeId) -> bool {
        let model = self.model();
        let entry = model.node(node);
        if entry.symbol == NONE {
            return node == 0 || self.expr(entry.dep) != 0;
        }
        let member = model.symbol(entry.symbol).choice != NONE;
        if member && self.visible(entry.symbol) == 0 {
            return false;
        }
        if member && self.is_kept(entry.symbol) {
            return true;
        }
        let mut prompts = model.prompts(entry.symbol);
        prompts.any(|prompt| prompt.node == node && self.expr(prompt.condition) != 0)
    }

    /// Whether it is shown: its prompt is on, or it is on itself and holds something shown.
    pub(super) fn is_shown(&self, menus: &Menus, node: NodeId) -> bool {
        menus.is_shown(node, |node| self.sight(node))
    }

    /// Whether it is shown, as far as it alone decides that.
    pub(super) fn sight(&self, node: NodeId) -> Sight {
        let entry = self.model().node(node);
        if node != 0 && (entry.prompt == NONE || self.expr(entry.visible) == 0) {
            Sight::Hidden
        } else if self.is_prompted(node) {
            Sight::Shown
        } else if entry.symbol != NONE && self.logical(entry.symbol) != 0 {
            Sight::AsItsInside
        } else {
            Sight::Hidden
        }
    }

    /// The value of a bool or tristate; n for anything else.
    fn logical(&self, symbol: SymbolId) -> u8 {
        match self.model().symbol(symbol).kind.is_logical() {
            true => self.tristate(symbol),
            false => 0,
        }
    }
}

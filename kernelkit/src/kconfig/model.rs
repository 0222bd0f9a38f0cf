//! What a Kconfig tree says, in arenas: symbols, menu nodes, properties, expressions.
//!
//! Everything is a `u32` index, nothing changes after loading, and every node,
//! property and dependency knows its file and line.

use super::intern::Names;

/// Index of a symbol, in the order of first mention.
pub type SymbolId = u32;
/// Index of a menu node, in file order.
pub type NodeId = u32;

/// The constants come first, so that their ids are their values.
pub(super) const N: SymbolId = 0;
pub(super) const M: SymbolId = 1;
pub(super) const Y: SymbolId = 2;

/// Where something is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Index of the file, for [`Kconfig::file_name`](super::Kconfig::file_name).
    pub file: u32,
    /// Line, from 1.
    pub line: u32,
}

/// `n`, `m` or `y`. AND is the minimum, OR the maximum, NOT `2 - x`.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Tristate {
    /// Off.
    #[default]
    N = 0,
    /// A module.
    M = 1,
    /// Built in.
    Y = 2,
}

impl Tristate {
    pub(super) fn of(value: u8) -> Self {
        match value {
            0 => Tristate::N,
            1 => Tristate::M,
            _ => Tristate::Y,
        }
    }

    /// The letter that stands for it in a `.config`.
    pub fn letter(self) -> char {
        match self {
            Tristate::N => 'n',
            Tristate::M => 'm',
            Tristate::Y => 'y',
        }
    }
}

impl std::fmt::Display for Tristate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.letter())
    }
}

/// Declared type of a symbol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Type {
    /// Used somewhere, but never given a type.
    #[default]
    Unknown,
    /// `n` or `y`.
    Bool,
    /// `n`, `m` or `y`.
    Tristate,
    /// A decimal number.
    Int,
    /// A hexadecimal number.
    Hex,
    /// Text.
    String,
}

impl Type {
    pub(super) fn is_logical(self) -> bool {
        matches!(self, Type::Bool | Type::Tristate)
    }

    /// The keyword that declares it.
    pub fn keyword(self) -> &'static str {
        match self {
            Type::Unknown => "unknown",
            Type::Bool => "bool",
            Type::Tristate => "tristate",
            Type::Int => "integer",
            Type::Hex => "hex",
            Type::String => "string",
        }
    }
}

/// An expression: a symbol itself, or an index into the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ExprId(pub(super) u32);

const SYMBOL_BIT: u32 = 1 << 31;

impl ExprId {
    pub(super) const N: ExprId = ExprId::symbol(N);
    pub(super) const M: ExprId = ExprId::symbol(M);
    pub(super) const Y: ExprId = ExprId::symbol(Y);
    /// `m && MODULES`, what a literal `m` in a condition means. The first
    /// expression of every arena; the symbol is known when parsing is over.
    pub(super) const M_AND_MODULES: ExprId = ExprId(0);

    pub(super) const fn symbol(symbol: SymbolId) -> Self {
        ExprId(symbol | SYMBOL_BIT)
    }

    /// The symbol, or the index into the arena.
    pub(super) fn split(self) -> Result<SymbolId, usize> {
        if self.0 & SYMBOL_BIT != 0 {
            Ok(self.0 & !SYMBOL_BIT)
        } else {
            Err(self.0 as usize)
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Comparison {
    Equal,
    Unequal,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

impl Comparison {
    /// Whether two values in that order compare so.
    pub(super) fn holds(self, order: std::cmp::Ordering) -> bool {
        match self {
            Comparison::Equal => order.is_eq(),
            Comparison::Unequal => order.is_ne(),
            Comparison::Less => order.is_lt(),
            Comparison::LessEqual => order.is_le(),
            Comparison::Greater => order.is_gt(),
            Comparison::GreaterEqual => order.is_ge(),
        }
    }

    /// The one that holds where this does not.
    pub(super) fn negated(self) -> Self {
        match self {
            Comparison::Equal => Comparison::Unequal,
            Comparison::Unequal => Comparison::Equal,
            Comparison::Less => Comparison::GreaterEqual,
            Comparison::LessEqual => Comparison::Greater,
            Comparison::Greater => Comparison::LessEqual,
            Comparison::GreaterEqual => Comparison::Less,
        }
    }

    /// How it is written.
    pub(super) fn sign(self) -> &'static str {
        match self {
            Comparison::Equal => "=",
            Comparison::Unequal => "!=",
            Comparison::Less => "<",
            Comparison::LessEqual => "<=",
            Comparison::Greater => ">",
            Comparison::GreaterEqual => ">=",
        }
    }
}

/// Operands of an arena entry have smaller indices than the entry itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expr {
    Not(ExprId),
    And(ExprId, ExprId),
    Or(ExprId, ExprId),
    Compare(Comparison, SymbolId, SymbolId),
}

#[derive(Debug)]
pub(super) struct Exprs(pub(super) Vec<Expr>);

impl Exprs {
    pub(super) fn new() -> Self {
        Exprs(vec![Expr::And(ExprId::M, ExprId::N)])
    }

    pub(super) fn push(&mut self, expr: Expr) -> ExprId {
        self.0.push(expr);
        ExprId((self.0.len() - 1) as u32)
    }

    pub(super) fn and(&mut self, left: ExprId, right: ExprId) -> ExprId {
        if left == ExprId::Y || left == right {
            right
        } else if right == ExprId::Y {
            left
        } else {
            self.push(Expr::And(left, right))
        }
    }

    pub(super) fn or(&mut self, left: ExprId, right: ExprId) -> ExprId {
        if left == ExprId::N || left == right {
            right
        } else if right == ExprId::N {
            left
        } else {
            self.push(Expr::Or(left, right))
        }
    }

    pub(super) fn get(&self, index: usize) -> Expr {
        self.0[index]
    }

    /// Builds a copy of `expr`, whose arena entries all lie in `start..`, with
    /// every literal `m` outside comparisons turned into `m && MODULES`.
    pub(super) fn with_modules(&mut self, expr: ExprId, start: usize) -> ExprId {
        let end = self.0.len();
        let mut copies = Vec::with_capacity(end - start);
        for index in start..end {
            let copy = |id: ExprId| match id.split() {
                Ok(M) => ExprId::M_AND_MODULES,
                Ok(_) => id,
                Err(index) if index < start => id,
                Err(index) => copies[index - start],
            };
            let copied = match self.0[index] {
                Expr::Not(a) => Expr::Not(copy(a)),
                Expr::And(a, b) => Expr::And(copy(a), copy(b)),
                Expr::Or(a, b) => Expr::Or(copy(a), copy(b)),
                compare @ Expr::Compare(..) => compare,
            };
            copies.push(self.push(copied));
        }
        match expr.split() {
            Ok(M) => ExprId::M_AND_MODULES,
            Ok(_) => expr,
            Err(index) if index < start => expr,
            Err(index) => copies[index - start],
        }
    }

    /// `expr = n`, pushed down to the symbols: what a conditional dependency's
    /// condition is negated with. Entries of `expr` all lie in `start..`.
    pub(super) fn equals_no(&mut self, expr: ExprId, start: usize) -> ExprId {
        let end = self.0.len();
        // Each entry as `= n` and as `!= n`.
        let mut copies: Vec<(ExprId, ExprId)> = Vec::with_capacity(end - start);
        for index in start..=end {
            let operand = |exprs: &mut Self, id: ExprId| match id.split() {
                Ok(symbol) => (
                    exprs.push(Expr::Compare(Comparison::Equal, symbol, N)),
                    exprs.push(Expr::Compare(Comparison::Unequal, symbol, N)),
                ),
                Err(index) => copies[index - start],
            };
            // The last round is for the expression itself.
            if index == end {
                return operand(self, expr).0;
            }
            let copied = match self.0[index] {
                Expr::Not(a) => {
                    let (equal, unequal) = operand(self, a);
                    (unequal, equal)
                }
                Expr::And(a, b) => {
                    let (a, b) = (operand(self, a), operand(self, b));
                    (
                        self.push(Expr::Or(a.0, b.0)),
                        self.push(Expr::And(a.1, b.1)),
                    )
                }
                Expr::Or(a, b) => {
                    let (a, b) = (operand(self, a), operand(self, b));
                    (
                        self.push(Expr::And(a.0, b.0)),
                        self.push(Expr::Or(a.1, b.1)),
                    )
                }
                Expr::Compare(..) => {
                    let same = ExprId(index as u32);
                    (self.push(Expr::Not(same)), same)
                }
            };
            copies.push(copied);
        }
        unreachable!("the last round returns")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PropertyKind {
    /// Index of the text.
    Prompt(u32),
    Default(ExprId),
    Select(SymbolId),
    Imply(SymbolId),
    Range(SymbolId, SymbolId),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Property {
    pub(super) kind: PropertyKind,
    pub(super) owner: SymbolId,
    /// The node it is written in: its file is the property's file.
    pub(super) node: NodeId,
    pub(super) line: u32,
    /// The property's own `if`.
    pub(super) own: ExprId,
    /// `visible if` of the menus around a prompt.
    pub(super) menus: ExprId,
    /// The node's dependency, `own` and `menus`.
    pub(super) condition: ExprId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NodeKind {
    Root,
    Config,
    Menuconfig,
    Choice,
    If,
    Menu,
    Comment,
}

/// One `depends on`, `if` or `visible if`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dependency {
    pub(super) expr: ExprId,
    pub(super) line: u32,
}

pub(super) const NONE: u32 = u32::MAX;

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) kind: NodeKind,
    pub(super) position: Position,
    pub(super) parent: NodeId,
    /// First node behind this one's subtree.
    pub(super) end: NodeId,
    /// The symbol of a config, the nameless symbol of a choice, else [`NONE`].
    pub(super) symbol: SymbolId,
    /// Next node of the same symbol, or [`NONE`].
    pub(super) next: NodeId,
    /// Index of the title of a menu or comment, or of a config's or choice's prompt; else [`NONE`].
    pub(super) prompt: u32,
    /// Range in the dependency list.
    pub(super) dependencies: (u32, u32),
    /// A menu's own `visible if`.
    pub(super) visible: ExprId,
    /// The same as a condition of the prompts inside, where `m` means `m && MODULES`.
    pub(super) visible_inside: ExprId,
    /// Line of the `visible if`.
    pub(super) visible_line: u32,
    /// The dependency of everything around it and its own.
    pub(super) dep: ExprId,
    /// Byte range of the help text in the file; empty without one.
    pub(super) help: (u32, u32),
}

#[derive(Clone, Debug)]
pub(super) struct Symbol {
    pub(super) kind: Type,
    pub(super) transitional: bool,
    /// The choice it is a member of, or [`NONE`].
    pub(super) choice: u32,
    /// The choice whose nameless symbol this is, or [`NONE`].
    pub(super) own_choice: u32,
    pub(super) first_node: NodeId,
    pub(super) last_node: NodeId,
    /// Range in the property list.
    pub(super) properties: (u32, u32),
    pub(super) dir_dep: ExprId,
    pub(super) rev_dep: ExprId,
    pub(super) implied: ExprId,
}

impl Symbol {
    pub(super) fn new(kind: Type) -> Self {
        Symbol {
            kind,
            transitional: false,
            choice: NONE,
            own_choice: NONE,
            first_node: NONE,
            last_node: NONE,
            properties: (0, 0),
            dir_dep: ExprId::Y,
            rev_dep: ExprId::N,
            implied: ExprId::N,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Choice {
    /// Its nameless symbol: prompts and defaults hang there, and in the model of
    /// before 6.9 its value.
    pub(super) symbol: SymbolId,
    pub(super) optional: bool,
    pub(super) members: Vec<SymbolId>,
    /// The member of each entry: a symbol with two entries stands here twice.
    pub(super) entries: Vec<SymbolId>,
    /// When each member's prompts are shown.
    pub(super) prompts: Vec<ExprId>,
}

/// What is evaluated, each after everything it depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Expr(u32),
    Symbol(SymbolId),
    Choice(u32),
}

impl From<ExprId> for Step {
    fn from(expr: ExprId) -> Self {
        match expr.split() {
            Ok(symbol) => Step::Symbol(symbol),
            Err(index) => Step::Expr(index as u32),
        }
    }
}

/// Prompts and titles.
#[derive(Debug, Default)]
pub(super) struct Texts {
    pub(super) bytes: Vec<u8>,
    /// End of each in `bytes`; it starts where the one before ends.
    pub(super) ends: Vec<u32>,
}

impl Texts {
    pub(super) fn push(&mut self, text: &[u8]) -> u32 {
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len() as u32);
        (self.ends.len() - 1) as u32
    }

    pub(super) fn get(&self, index: u32) -> &[u8] {
        let index = index as usize;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start as usize..self.ends[index] as usize]
    }
}

/// The arenas.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) names: Names,
    pub(super) symbols: Vec<Symbol>,
    pub(super) nodes: Vec<Node>,
    pub(super) properties: Vec<Property>,
    pub(super) dependencies: Vec<Dependency>,
    pub(super) choices: Vec<Choice>,
    pub(super) exprs: Exprs,
    pub(super) texts: Texts,
    /// The symbol with `modules`, or [`N`].
    pub(super) modules: SymbolId,
    pub(super) schedule: Vec<Step>,
}

impl Model {
    pub(super) fn symbol(&self, symbol: SymbolId) -> &Symbol {
        &self.symbols[symbol as usize]
    }

    /// The choice that a symbol is a member of.
    pub(super) fn choice_of(&self, symbol: SymbolId) -> Option<u32> {
        let choice = self.symbol(symbol).choice;
        (choice != NONE).then_some(choice)
    }

    pub(super) fn properties(&self, symbol: SymbolId) -> &[Property] {
        let (start, end) = self.symbols[symbol as usize].properties;
        &self.properties[start as usize..end as usize]
    }

    /// Those of its properties that are prompts.
    pub(super) fn prompts(&self, symbol: SymbolId) -> impl DoubleEndedIterator<Item = &Property> {
        let is_prompt = |property: &&Property| matches!(property.kind, PropertyKind::Prompt(_));
        self.properties(symbol).iter().filter(is_prompt)
    }

    pub(super) fn node(&self, node: NodeId) -> &Node {
        &self.nodes[node as usize]
    }

    /// The nodes of a symbol, in file order.
    pub(super) fn nodes_of(&self, symbol: SymbolId) -> impl Iterator<Item = NodeId> {
        let mut next = self.symbols[symbol as usize].first_node;
        std::iter::from_fn(move || {
            let node = (next != NONE).then_some(next)?;
            next = self.nodes[node as usize].next;
            Some(node)
        })
    }

    pub(super) fn dependencies(&self, node: NodeId) -> &[Dependency] {
        let (start, end) = self.nodes[node as usize].dependencies;
        &self.dependencies[start as usize..end as usize]
    }
}

//! Expressions and places as text.

use super::Kconfig;
use super::model::{Expr, ExprId, M, NONE, NodeId, NodeKind, Property, SymbolId};

/// A line of a Kconfig or configuration file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Place {
    /// The file, as it is named where it is included or given.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

impl Kconfig {
    pub(super) fn name(&self, symbol: SymbolId) -> String {
        if self.model.is_choice(symbol) {
            return "<choice>".to_owned();
        }
        String::from_utf8_lossy(self.model.names.get(symbol)).into_owned()
    }

    /// The name as an expression has it: quoted where it was.
    pub(super) fn operand(&self, symbol: SymbolId) -> String {
        let name = self.name(symbol);
        if self.model.names.is_quoted(symbol) {
            format!("\"{name}\"")
        } else {
            name
        }
    }

    pub(super) fn place(&self, node: NodeId, line: u32) -> Place {
        let file = self.model.node(node).position.file;
        Place {
            file: self.files[file as usize].clone(),
            line,
        }
    }

    pub(super) fn property_place(&self, property: &Property) -> Place {
        self.place(property.node, property.line)
    }

    pub(super) fn prompt_text(&self, node: NodeId) -> Option<String> {
        let prompt = self.model.node(node).prompt;
        let text = || String::from_utf8_lossy(self.model.texts.get(prompt)).into_owned();
        (prompt != NONE).then(text)
    }

    /// A symbol's last help text.
    pub(super) fn help(&self, symbol: SymbolId) -> Option<String> {
        let text = |node| self.help_text(node);
        self.model.nodes_of(symbol).filter_map(text).last()
    }

    /// Titles of the menus around a node, outermost first.
    pub(super) fn menu_path(&self, node: NodeId) -> Vec<String> {
        let mut path: Vec<_> = self
            .model
            .parents(node)
            .filter_map(|parent| self.menu_title(parent))
            .collect();
        path.reverse();
        path
    }

    /// What a node puts around those inside: its own title, or that of the `menuconfig`
    /// it belongs to.
    pub(super) fn menu_title(&self, node: NodeId) -> Option<String> {
        self.prompt_text(self.menuconfig_of(node).unwrap_or(node))
    }

    /// The `menuconfig X` whose entries an `if X` behind it holds.
    fn menuconfig_of(&self, node: NodeId) -> Option<NodeId> {
        let entry = self.model.node(node);
        let [only] = self.model.dependencies(node) else {
            return None;
        };
        let symbol = only.expr.split().ok()?;
        let menuconfig = |candidate: &NodeId| {
            let candidate = self.model.node(*candidate);
            candidate.kind == NodeKind::Menuconfig && candidate.parent == entry.parent
        };
        let nodes = || self.model.nodes_of(symbol);
        (entry.kind == NodeKind::If)
            .then(|| nodes().find(menuconfig))
            .flatten()
    }

    /// An expression as it is written, with no more parentheses than needed.
    pub(super) fn expression_text(&self, expr: ExprId) -> String {
        enum Piece {
            Text(&'static str),
            /// An expression, and how tightly what is around it binds.
            Expr(ExprId, u8),
        }
        let mut out = String::new();
        let mut pieces = vec![Piece::Expr(expr, 0)];
        while let Some(piece) = pieces.pop() {
            let (expr, around) = match piece {
                Piece::Text(text) => {
                    out.push_str(text);
                    continue;
                }
                Piece::Expr(expr, around) => (expr, around),
            };
            let index = match expr.split() {
                _ if expr == ExprId::M_AND_MODULES => {
                    out.push_str(&self.operand(M));
                    continue;
                }
                Ok(symbol) => {
                    out.push_str(&self.operand(symbol));
                    continue;
                }
                Err(index) => index,
            };
            let (binds, parts) = match self.model.exprs.get(index) {
                Expr::Or(a, b) => (
                    1,
                    vec![Piece::Expr(a, 1), Piece::Text(" || "), Piece::Expr(b, 1)],
                ),
                Expr::And(a, b) => (
                    2,
                    vec![Piece::Expr(a, 2), Piece::Text(" && "), Piece::Expr(b, 2)],
                ),
                Expr::Not(a) => (3, vec![Piece::Text("!"), Piece::Expr(a, 4)]),
                Expr::Compare(comparison, a, b) => {
                    let sign = comparison.sign();
                    out.push_str(&format!("{}{sign}{}", self.operand(a), self.operand(b)));
                    continue;
                }
            };
            let parentheses = binds < around;
            if parentheses {
                pieces.push(Piece::Text(")"));
            }
            pieces.extend(parts.into_iter().rev());
            if parentheses {
                pieces.push(Piece::Text("("));
            }
        }
        out
    }
}

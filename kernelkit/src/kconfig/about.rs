//! The help text of an entry, as the kernel's conf shows it to who answers `?`.

use super::eval::Values;
use super::menus::Menus;
use super::model::{Expr, ExprId, NONE, NodeId, PropertyKind, SymbolId, Type, Y};

/// Of more menus within menus only the innermost are told.
const MAX_DEPTH: usize = 8;

impl Values<'_> {
    /// What conf prints for a question mark, the empty lines around it included.
    pub(super) fn help_block(&self, node: NodeId, menus: &Menus) -> Vec<u8> {
        let kconfig = self.kconfig;
        let model = self.model();
        let symbol = model.node(node).symbol;
        let named = !model.is_choice(symbol);
        let mut out = String::from("\n");
        match kconfig.help_text(node) {
            Some(help) => {
                if named {
                    out.push_str(&format!("{}{}:\n\n", kconfig.prefix, kconfig.name(symbol)));
                }
                out.push_str(&help);
                let (lines, at_end) = kconfig.blank_lines_behind_help(node);
                out.extend(std::iter::repeat_n('\n', lines + usize::from(at_end)));
            }
            None => out.push_str("There is no help available for this option.\n"),
        }
        if named {
            self.push_symbol(&mut out, symbol);
        }
        for node in model.nodes_of(symbol) {
            self.push_entry(&mut out, symbol, node, menus);
        }
        self.push_targets(&mut out, symbol);
        out.push_str("\n\n\n");
        out.into_bytes()
    }

    fn push_symbol(&self, out: &mut String, symbol: SymbolId) {
        out.push_str(&format!(
            "Symbol: {}\nType  : {}\n",
            self.with_value(symbol),
            self.model().symbol(symbol).kind.keyword()
        ));
        if let Some((low, high)) = self.range(symbol) {
            out.push_str(&format!(
                "Range : [{} {}]\n",
                self.with_value(low),
                self.with_value(high)
            ));
        }
    }

    fn push_entry(&self, out: &mut String, symbol: SymbolId, node: NodeId, menus: &Menus) {
        let kconfig = self.kconfig;
        let model = self.model();
        let entry = model.node(node);
        let place = kconfig.place(node, entry.position.line);
        out.push_str(&format!("Defined at {place}\n"));
        let prompt = model.prompts(symbol).rfind(|prompt| prompt.node == node);
        if let Some(text) = kconfig.prompt_text(node) {
            out.push_str(&format!("  Prompt: {text}\n"));
        }
        let depends = self.valued(entry.dep);
        if depends != "y" {
            out.push_str(&format!("  Depends on: {depends}\n"));
        }
        let Some(prompt) = prompt else { return };
        let visible = self.valued(prompt.condition);
        if visible != depends {
            out.push_str(&format!("  Visible if: {visible}\n"));
        }
        out.push_str("  Location:\n");
        let mut path = vec![node];
        let mut next = menus.around[node as usize];
        while next != 0 && next != NONE {
            path.push(next);
            next = menus.around[next as usize];
        }
        path.truncate(MAX_DEPTH);
        for (depth, node) in path.iter().rev().enumerate() {
            let text = kconfig.prompt_text(*node).unwrap_or_default();
            out.push_str(&format!("{:depth$}    -> {text}", "", depth = 2 * depth));
            let symbol = model.node(*node).symbol;
            if symbol != NONE {
                out.push_str(&format!(
                    " ({} [={}])",
                    kconfig.name(symbol),
                    self.text_value(symbol)
                ));
            }
            out.push('\n');
        }
    }

    fn push_targets(&self, out: &mut String, symbol: SymbolId) {
        let model = self.model();
        let entry = model.symbol(symbol);
        let targets = |out: &mut String, word: &str, selects: bool| {
            let targets: Vec<String> = model
                .properties(symbol)
                .iter()
                .filter_map(|property| match property.kind {
                    PropertyKind::Select(target) if selects => Some(target),
                    PropertyKind::Imply(target) if !selects => Some(target),
                    _ => None,
                })
                .map(|target| self.with_value(target))
                .collect();
            if !targets.is_empty() {
                out.push_str(&format!("{word}: {}\n", targets.join(" && ")));
            }
        };
        targets(out, "Selects", true);
        self.push_reverse(out, "Selected", entry.rev_dep);
        targets(out, "Implies", false);
        self.push_reverse(out, "Implied", entry.implied);
    }

    /// The terms of a reverse dependency, the strong ones first.
    fn push_reverse(&self, out: &mut String, word: &str, expr: ExprId) {
        if expr == ExprId::N {
            return;
        }
        let terms = self.terms(expr, true);
        for (value, letter) in [(2, 'y'), (1, 'm'), (0, 'n')] {
            let terms: Vec<_> = terms
                .iter()
                .filter(|term| self.expr(**term) == value)
                .collect();
            if !terms.is_empty() {
                out.push_str(&format!("{word} by [{letter}]:\n"));
            }
            for term in terms {
                out.push_str(&format!("  - {}\n", self.valued(*term)));
            }
        }
    }

    /// What an OR, or an AND, consists of, in order.
    fn terms(&self, expr: ExprId, or: bool) -> Vec<ExprId> {
        let mut terms = Vec::new();
        let mut open = vec![expr];
        while let Some(expr) = open.pop() {
            let parts = match expr.split() {
                Err(index) => match self.model().exprs.get(index) {
                    Expr::Or(a, b) if or => Some((a, b)),
                    Expr::And(a, b) if !or => Some((a, b)),
                    _ => None,
                },
                Ok(_) => None,
            };
            match parts {
                Some((a, b)) => open.extend([b, a]),
                None => terms.push(expr),
            }
        }
        terms
    }

    /// `NAME [=value]`; of what is no symbol with a type, the name alone.
    fn with_value(&self, symbol: SymbolId) -> String {
        let name = self.kconfig.name(symbol);
        let kind = self.model().symbol(symbol).kind;
        if (kind == Type::Unknown && symbol > Y) || self.model().is_choice(symbol) {
            return name;
        }
        format!("{name} [={}]", self.text_value(symbol))
    }

    fn text_value(&self, symbol: SymbolId) -> String {
        match self.model().is_choice(symbol) {
            true => self.value_of(symbol).to_string(),
            false => String::from_utf8_lossy(self.bytes_of(symbol)).into_owned(),
        }
    }

    /// An expression with the values of its symbols.
    fn valued(&self, expr: ExprId) -> String {
        self.valued_within(expr, 0)
    }

    fn valued_within(&self, expr: ExprId, around: u8) -> String {
        let index = match expr.split() {
            Ok(Y) => return "y".to_owned(),
            Ok(symbol) => return self.with_value(symbol),
            Err(index) => index,
        };
        let (binds, text) = match self.model().exprs.get(index) {
            Expr::Or(..) => {
                let terms = self.terms(expr, true);
                let terms = terms.into_iter().map(|term| self.valued_within(term, 1));
                (1, terms.collect::<Vec<_>>().join(" || "))
            }
            Expr::And(..) => {
                let mut terms: Vec<String> = Vec::new();
                for term in self.terms(expr, false) {
                    let text = self.valued_within(term, 2);
                    terms.retain(|other| *other != text);
                    terms.push(text);
                }
                (2, terms.join(" && "))
            }
            Expr::Not(a) => (3, format!("!{}", self.valued_within(a, 4))),
            Expr::Compare(comparison, a, b) => {
                let sign = comparison.sign();
                return format!("{}{sign}{}", self.with_value(a), self.with_value(b));
            }
        };
        match binds < around {
            true => format!("({text})"),
            false => text,
        }
    }
}

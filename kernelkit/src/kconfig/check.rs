//! What a tree says that is odd, or wrong: found when all of it was read, and told in the words
//! and in the order of the kernel's conf.

use super::Dialect;
use super::diagnostic::Diagnostic;
use super::model::{ExprId, Model, NONE, NodeId, NodeKind, Position, PropertyKind, SymbolId, Type};

pub(super) struct Check<'a> {
    pub(super) model: &'a Model,
    pub(super) dialect: Dialect,
    /// The symbols' types before members shared theirs.
    pub(super) declared: &'a [Type],
    pub(super) files: &'a [String],
    pub(super) diagnostics: &'a mut Vec<Diagnostic>,
}

/// [`Diagnostic::warning`] or [`Diagnostic::error`].
type Severity = fn(&str, u32, String) -> Diagnostic;

impl Check<'_> {
    pub(super) fn run(mut self) {
        let model = self.model;
        let mut open: Vec<NodeId> = Vec::new();
        for node in 0..model.nodes.len() as NodeId {
            while let Some(choice) = open.pop_if(|choice| model.node(*choice).end <= node) {
                self.choice(choice);
            }
            if model.node(node).kind == NodeKind::Choice {
                open.push(node);
            } else if model.is_config(node) {
                self.config(node);
            }
        }
        while let Some(choice) = open.pop() {
            self.choice(choice);
        }
    }

    fn say(&mut self, severity: Severity, place: Position, message: &str) {
        let file = &self.files[place.file as usize];
        let diagnostic = severity(file, place.line, message.to_owned());
        self.diagnostics.push(diagnostic);
    }

    fn config(&mut self, index: NodeId) {
        let model = self.model;
        let node = model.node(index);
        let symbol = model.symbol(node.symbol);
        // What is right below a choice has its type by now, if it has one.
        let parent = model.node(node.parent);
        let is_typed = parent.kind == NodeKind::Choice && self.has_type(parent.symbol);
        let is_untyped = self.declared[node.symbol as usize] == Type::Unknown && !is_typed;
        if is_untyped && symbol.first_node == index {
            let message = "config symbol defined without type";
            self.say(Diagnostic::warning, node.position, message);
        }
        if symbol.transitional {
            let message = "transitional symbols can only have help sections";
            let own = model.properties(node.symbol).iter();
            for property in own.filter(|property| property.node == index) {
                let line = property.line;
                let place = Position {
                    line,
                    ..node.position
                };
                self.say(Diagnostic::error, place, message);
            }
            if node.dep != ExprId::Y {
                self.say(Diagnostic::error, node.position, message);
            }
        }
        let new = !self.dialect.choice_is_symbol;
        match model.choice_around(index).filter(|_| new) {
            None => {}
            Some(_) if self.dialect.transitional => {
                let message = "choice value must not have a prompt in another entry";
                self.member(
                    node.symbol,
                    Diagnostic::error,
                    |node| node == index,
                    message,
                );
            }
            Some(choice) => {
                let is_inside = |node| model.choice_around(node) == Some(choice);
                let message = "choice value has a prompt outside its choice group";
                self.member(node.symbol, Diagnostic::error, is_inside, message);
            }
        }
    }

    /// What a choice is not to have, after what is inside it.
    fn choice(&mut self, index: NodeId) {
        let model = self.model;
        let node = model.node(index);
        if !self.dialect.choice_is_symbol {
            self.defaults(index);
            return;
        }
        let choice = model.symbol(node.symbol).own_choice;
        let is_inside = |node| model.choice_around(node) == Some(index);
        for member in &model.choices[choice as usize].members {
            let first = model.node(model.symbol(*member).first_node);
            if first.prompt == NONE {
                let message = "choice value must have a prompt";
                self.say(Diagnostic::warning, first.position, message);
            }
            let message = "choice value used outside its choice group";
            self.member(*member, Diagnostic::warning, is_inside, message);
        }
        self.defaults(index);
        if !self.has_type(node.symbol) {
            let message = "config symbol defined without type";
            self.say(Diagnostic::warning, node.position, message);
        }
        if node.prompt == NONE {
            let message = "choice must have a prompt";
            self.say(Diagnostic::warning, node.position, message);
        }
    }

    /// Whether a choice was given a type, or one of its members was.
    fn has_type(&self, choice: SymbolId) -> bool {
        let index = self.model.symbol(choice).own_choice;
        let members = &self.model.choices[index as usize].members;
        let mut symbols = std::iter::once(&choice).chain(members);
        symbols.any(|symbol| self.declared[*symbol as usize] != Type::Unknown)
    }

    /// A member is only asked for in the choice, and has no defaults.
    fn member(
        &mut self,
        member: SymbolId,
        severity: Severity,
        is_its_own: impl Fn(NodeId) -> bool,
        outside: &str,
    ) {
        let model = self.model;
        for property in model.properties(member) {
            let message = match property.kind {
                PropertyKind::Default(_) => "defaults for choice values not supported",
                PropertyKind::Prompt(_) if !is_its_own(property.node) => outside,
                _ => continue,
            };
            let place = Position {
                line: property.line,
                ..model.node(property.node).position
            };
            self.say(severity, place, message);
        }
    }

    /// A choice whose default is no member of it may end up without any that is y.
    fn defaults(&mut self, index: NodeId) {
        let model = self.model;
        let node = model.node(index);
        let choice = model.symbol(node.symbol).own_choice;
        let own = model.properties(node.symbol).iter();
        for property in own.filter(|property| property.node == index) {
            if let PropertyKind::Default(default) = property.kind
                && let Ok(symbol) = default.split()
                && model.symbol(symbol).choice != choice
            {
                let name = String::from_utf8_lossy(model.names.get(symbol));
                let message =
                    format!("choice default symbol '{name}' is not contained in the choice");
                let place = Position {
                    line: property.line,
                    ..node.position
                };
                self.say(Diagnostic::warning, place, &message);
            }
        }
    }
}

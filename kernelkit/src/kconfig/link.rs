//! From what was parsed to what is evaluated: dependencies handed down the menu
//! tree, properties sorted to their symbols, reverse dependencies, and an order in
//! which everything comes after what it depends on.

use super::check::Check;
use super::diagnostic::Diagnostic;
use super::model::{
    Expr, ExprId, Model, NONE, NodeId, NodeKind, Position, Property, PropertyKind, Step, SymbolId,
    Type, Y,
};
use super::simplify::{Condition, MAX_COMPARISONS};
use super::{CircleLink, Dialect, Error};

impl Model {
    pub(super) fn link(
        &mut self,
        dialect: Dialect,
        files: &[String],
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        self.exprs.0[0] = Expr::And(ExprId::M, ExprId::symbol(self.modules));
        self.hand_down_dependencies(dialect);
        self.sort_properties();
        let kinds = self.symbols.iter().map(|symbol| symbol.kind);
        let declared: Vec<Type> = kinds.collect();
        self.find_members(dialect);
        self.collect_dependencies(dialect);
        Check {
            model: self,
            dialect,
            declared: &declared,
            files,
            diagnostics,
        }
        .run();
    }

    fn hand_down_dependencies(&mut self, dialect: Dialect) {
        for index in 1..self.nodes.len() {
            let node = &self.nodes[index];
            let parent = &self.nodes[node.parent as usize];
            let mut dep = if parent.kind == NodeKind::Choice && dialect.choice_is_symbol {
                ExprId::symbol(parent.symbol)
            } else {
                parent.dep
            };
            let (start, end) = node.dependencies;
            for dependency in start..end {
                let own = self.dependencies[dependency as usize].expr;
                dep = self.exprs.and(dep, own);
            }
            self.nodes[index].dep = dep;
        }
        for index in 0..self.properties.len() {
            let property = self.properties[index];
            let dep = self.nodes[property.node as usize].dep;
            let own = self.exprs.and(property.own, property.menus);
            self.properties[index].condition = self.exprs.and(dep, own);
        }
    }

    /// Brings the properties into the order of their symbols, file order within one.
    fn sort_properties(&mut self) {
        let mut starts = vec![0u32; self.symbols.len() + 1];
        for property in &self.properties {
            starts[property.owner as usize + 1] += 1;
        }
        for index in 1..starts.len() {
            starts[index] += starts[index - 1];
        }
        for (symbol, range) in self.symbols.iter_mut().zip(starts.windows(2)) {
            symbol.properties = (range[0], range[1]);
        }
        let mut order = vec![0u32; self.properties.len()];
        for (index, property) in self.properties.iter().enumerate() {
            let slot = &mut starts[property.owner as usize];
            order[*slot as usize] = index as u32;
            *slot += 1;
        }
        self.properties = order
            .into_iter()
            .map(|index| self.properties[index as usize])
            .collect();
    }

    fn find_members(&mut self, dialect: Dialect) {
        for index in 0..self.choices.len() {
            let symbol = self.choices[index].symbol;
            let mut members = Vec::new();
            for node in self.nodes_of(symbol) {
                if dialect.choice_is_symbol {
                    self.members_without_submenus(node, dialect, &mut members);
                } else {
                    let inside = node + 1..self.nodes[node as usize].end;
                    members.extend(inside.filter(|node| self.is_config(*node)));
                }
            }
            let mut symbols: Vec<SymbolId> = Vec::with_capacity(members.len());
            let mut entries = Vec::with_capacity(members.len());
            for node in members {
                let member = self.nodes[node as usize].symbol;
                let choice = &mut self.symbols[member as usize].choice;
                // A symbol that stands in two choices stays with the first.
                if *choice == NONE {
                    *choice = index as u32;
                    symbols.push(member);
                }
                if *choice == index as u32 {
                    entries.push(member);
                }
            }
            self.choices[index].entries = entries;
            if dialect.choice_is_symbol {
                self.share_type(symbol, &symbols);
            }
            let prompts = symbols.iter().flat_map(|member| self.prompts(*member));
            let conditions = prompts.map(|prompt| prompt.condition);
            self.choices[index].prompts = conditions.collect();
            self.choices[index].members = symbols;
        }
    }

    pub(super) fn is_choice(&self, symbol: SymbolId) -> bool {
        self.symbols[symbol as usize].own_choice != NONE
    }

    pub(super) fn is_config(&self, node: NodeId) -> bool {
        let kind = self.nodes[node as usize].kind;
        matches!(kind, NodeKind::Config | NodeKind::Menuconfig)
    }

    /// A choice without a type has that of its first member with one; members
    /// without a type have the choice's.
    fn share_type(&mut self, choice: SymbolId, members: &[SymbolId]) {
        if self.symbols[choice as usize].kind == Type::Unknown {
            let typed = members
                .iter()
                .map(|member| self.symbols[*member as usize].kind)
                .find(|kind| *kind != Type::Unknown);
            self.symbols[choice as usize].kind = typed.unwrap_or(Type::Bool);
        }
        let kind = self.symbols[choice as usize].kind;
        for member in members {
            let member = &mut self.symbols[*member as usize];
            if member.kind == Type::Unknown {
                member.kind = kind;
            }
        }
    }

    /// Before 6.9, an entry of a choice that needs the entry before it became that
    /// entry's submenu and no member; such entries are left out here.
    fn members_without_submenus(&self, block: NodeId, dialect: Dialect, members: &mut Vec<NodeId>) {
        let mut blocks = vec![block];
        while let Some(block) = blocks.pop() {
            let mut open: Vec<Entry> = Vec::new();
            let mut node = block + 1;
            while node < self.nodes[block as usize].end {
                let entry = self.entry(node, dialect);
                while open
                    .last()
                    .is_some_and(|holder| !entry.belongs_to(holder, dialect))
                {
                    open.pop();
                }
                if self.nodes[node as usize].kind == NodeKind::If && open.is_empty() {
                    blocks.push(node);
                } else if self.is_config(node) && open.is_empty() {
                    members.push(node);
                }
                if entry.symbol != NONE {
                    open.push(entry);
                }
                node = self.nodes[node as usize].end;
            }
        }
        members.sort_unstable();
    }

    /// A node as what is shown next to it sees it.
    pub(super) fn entry(&self, node: NodeId, dialect: Dialect) -> Entry {
        Entry {
            node,
            symbol: self.nodes[node as usize].symbol,
            is_prompted: self.nodes[node as usize].prompt != NONE,
            terms: self.terms(self.shown_if(node), dialect),
        }
    }

    /// The condition of a node's prompt, or else of the node.
    fn shown_if(&self, node: NodeId) -> ExprId {
        let entry = &self.nodes[node as usize];
        let own = |prompt: &&Property| prompt.node == node;
        let prompt = match entry.symbol {
            NONE => None,
            symbol => self.prompts(symbol).rfind(own),
        };
        prompt.map_or(entry.dep, |prompt| prompt.condition)
    }

    fn collect_dependencies(&mut self, dialect: Dialect) {
        for index in 0..self.properties.len() {
            let property = self.properties[index];
            let source = ExprId::symbol(property.owner);
            match property.kind {
                PropertyKind::Select(target) => {
                    let term = self.exprs.and(source, property.condition);
                    let old = self.symbols[target as usize].rev_dep;
                    self.symbols[target as usize].rev_dep = self.exprs.or(old, term);
                }
                PropertyKind::Imply(target) => {
                    let term = self.exprs.and(source, property.condition);
                    let old = self.symbols[target as usize].implied;
                    self.symbols[target as usize].implied = self.exprs.or(old, term);
                }
                _ => {}
            }
        }
        if dialect.choice_is_symbol {
            for index in 0..self.choices.len() {
                let choice = &self.choices[index];
                if choice.optional {
                    continue;
                }
                let symbol = choice.symbol;
                let (start, end) = self.symbols[symbol as usize].properties;
                for property in start..end {
                    let property = self.properties[property as usize];
                    if let PropertyKind::Prompt(_) = property.kind {
                        let term = self.exprs.and(property.condition, ExprId::M);
                        let old = self.symbols[symbol as usize].rev_dep;
                        self.symbols[symbol as usize].rev_dep = self.exprs.or(old, term);
                    }
                }
            }
        }
        for symbol in Y as usize + 1..self.symbols.len() {
            let mut direct = None;
            let mut next = self.symbols[symbol].first_node;
            while next != NONE {
                let node = &self.nodes[next as usize];
                let dep = node.dep;
                next = node.next;
                if dep == ExprId::Y {
                    continue;
                }
                direct = Some(match direct {
                    None => dep,
                    Some(others) => self.exprs.or(others, dep),
                });
            }
            self.symbols[symbol].dir_dep = direct.unwrap_or(ExprId::Y);
        }
    }

    /// The choice a node is inside of.
    pub(super) fn choice_around(&self, node: NodeId) -> Option<NodeId> {
        let is_choice = |parent: &NodeId| self.nodes[*parent as usize].kind == NodeKind::Choice;
        self.parents(node).find(is_choice)
    }

    /// The nodes around `node`, nearest first.
    pub(super) fn parents(&self, node: NodeId) -> impl Iterator<Item = NodeId> {
        let mut next = self.nodes[node as usize].parent;
        std::iter::from_fn(move || {
            let parent = (next != NONE).then_some(next)?;
            next = self.nodes[parent as usize].parent;
            Some(parent)
        })
    }

    /// Brings everything into an order in which it can be evaluated.
    pub(super) fn order(&mut self, dialect: Dialect, files: &[String]) -> Result<(), Error> {
        let mut walk = Walk::new(self);
        let mut schedule = Vec::with_capacity(self.exprs.0.len() + self.symbols.len());
        // MODULES is evaluated before everything else.
        let rest = (Y + 1..self.symbols.len() as SymbolId).map(Step::Symbol);
        let all = (0..self.exprs.0.len() as u32).map(Step::Expr);
        for start in std::iter::once(Step::Symbol(self.modules))
            .chain(rest)
            .chain(all)
        {
            walk.visit(self, dialect, start, |step| schedule.push(step));
        }
        if walk.circles.links.is_empty() {
            if self.has_stray_default() {
                schedule = self.choices_first(dialect);
            }
            self.schedule = schedule;
            Ok(())
        } else {
            let circles = walk.circles.links.iter();
            let circles = circles.map(|links| self.circle(links, dialect, files));
            Err(Error::RecursiveDependency {
                circles: circles.collect(),
            })
        }
    }

    /// A circle in the kernel's words.
    fn circle(
        &self,
        links: &[(SymbolId, Via)],
        dialect: Dialect,
        files: &[String],
    ) -> Vec<CircleLink> {
        let name = |symbol: SymbolId| match self.names.get(symbol) {
            b"" => "<choice>".to_owned(),
            name => String::from_utf8_lossy(name).into_owned(),
        };
        let place = |symbol: SymbolId| {
            let place = self.place_of(symbol);
            (files[place.file as usize].clone(), place.line)
        };
        let old = dialect.choice_is_symbol;
        let link = |index: usize| {
            let (symbol, via) = links[index];
            let to = links[(index + 1) % links.len()].0;
            let text = match (self.is_choice(symbol), self.symbol(symbol).choice != NONE) {
                (true, _) if old => format!("choice {} contains symbol {}", name(symbol), name(to)),
                (_, true) if old => {
                    format!("symbol {} is part of choice {}", name(symbol), name(to))
                }
                (_, true) if self.is_choice(to) => {
                    let (file, line) = place(to);
                    format!(
                        "symbol {} is part of choice block at {file}:{line}",
                        name(symbol)
                    )
                }
                _ => format!("symbol {} {} {}", name(symbol), via.words(), name(to)),
            };
            let (file, line) = place(symbol);
            CircleLink { file, line, text }
        };
        (0..links.len()).map(link).collect()
    }

    /// Whether a choice's default is no member of it.
    fn has_stray_default(&self) -> bool {
        (0..).zip(&self.choices).any(|(index, choice)| {
            let stray = |property: &Property| {
                matches!(property.kind, PropertyKind::Default(default)
                    if default.split().is_ok_and(|symbol| self.symbol(symbol).choice != index))
            };
            self.properties(choice.symbol).iter().any(stray)
        })
    }

    /// The order of the kernel's tool, where it matters what a choice knows of symbols
    /// that it does not depend on: choices are nameless, and so come first.
    fn choices_first(&self, dialect: Dialect) -> Vec<Step> {
        let mut walk = Walk::new(self);
        let mut schedule = Vec::new();
        let choices = (0..self.choices.len() as u32).rev().map(Step::Choice);
        let rest = (Y + 1..self.symbols.len() as SymbolId).map(Step::Symbol);
        let all = (0..self.exprs.0.len() as u32).map(Step::Expr);
        let modules = std::iter::once(Step::Symbol(self.modules));
        for start in modules.chain(choices).chain(rest).chain(all) {
            walk.visit(self, dialect, start, |step| schedule.push(step));
        }
        schedule
    }

    pub(super) fn child(&self, step: Step, index: usize, dialect: Dialect) -> Child {
        match step {
            Step::Expr(expr) => match (self.exprs.get(expr as usize), index) {
                (Expr::Not(a) | Expr::And(a, _) | Expr::Or(a, _), 0) => Child::Of(a, Via::Operand),
                (Expr::And(_, b) | Expr::Or(_, b), 1) => Child::Of(b, Via::Operand),
                (Expr::Compare(_, a, _), 0) => Child::Of(ExprId::symbol(a), Via::Operand),
                (Expr::Compare(_, _, b), 1) => Child::Of(ExprId::symbol(b), Via::Operand),
                _ => Child::End,
            },
            Step::Symbol(symbol) => {
                let entry = self.symbol(symbol);
                let member = entry.choice != NONE;
                match index {
                    0 => return Child::Of(entry.rev_dep, Via::Select),
                    1 => return Child::Of(entry.implied, Via::Imply),
                    2 if member => return Child::Choice(entry.choice),
                    2 => return Child::Of(entry.dir_dep, Via::Depends),
                    3 if member && dialect.choice_is_symbol => {
                        return Child::Of(entry.dir_dep, Via::Depends);
                    }
                    3 => return Child::Of(ExprId::Y, Via::Operand),
                    _ => {}
                }
                let (property, part) = ((index - 4) / 3, (index - 4) % 3);
                let Some(property) = self.properties(symbol).get(property) else {
                    return Child::End;
                };
                let range = matches!(property.kind, PropertyKind::Range(..));
                match (property.kind, part) {
                    (PropertyKind::Select(_) | PropertyKind::Imply(_), _) => {
                        Child::Of(ExprId::Y, Via::Operand)
                    }
                    (_, 0) if range => Child::Of(property.condition, Via::Range),
                    (PropertyKind::Prompt(_), 0) => Child::Of(property.condition, Via::Prompt),
                    (_, 0) => Child::Of(property.condition, Via::DefaultCondition),
                    // A choice's defaults are members: they are looked at when it chooses.
                    (PropertyKind::Default(_), 1) if self.is_choice(symbol) => {
                        Child::Of(ExprId::Y, Via::Operand)
                    }
                    (PropertyKind::Default(value), 1) => Child::Of(value, Via::Default),
                    (PropertyKind::Range(low, _), 1) => Child::Of(ExprId::symbol(low), Via::Range),
                    (PropertyKind::Range(_, high), 2) => {
                        Child::Of(ExprId::symbol(high), Via::Range)
                    }
                    _ => Child::Of(ExprId::Y, Via::Operand),
                }
            }
            Step::Choice(choice) => {
                let choice = &self.choices[choice as usize];
                let own = self.properties(choice.symbol);
                if index == 0 {
                    return if dialect.choice_is_symbol {
                        Child::Of(ExprId::symbol(choice.symbol), Via::Operand)
                    } else {
                        Child::Of(ExprId::Y, Via::Operand)
                    };
                }
                let mut index = index - 1;
                if let Some(property) = own.get(index) {
                    return Child::Of(property.condition, Via::Operand);
                }
                index -= own.len();
                match choice.prompts.get(index) {
                    Some(condition) => Child::Of(*condition, Via::Prompt),
                    None => Child::End,
                }
            }
        }
    }

    /// Where a symbol is defined; where it is not, where it is selected.
    fn place_of(&self, symbol: SymbolId) -> Position {
        let node = self.symbol(symbol).first_node;
        if node != NONE {
            return self.node(node).position;
        }
        let selects = |property: &&Property| match property.kind {
            PropertyKind::Select(target) | PropertyKind::Imply(target) => target == symbol,
            _ => false,
        };
        let property = self.properties.iter().find(selects);
        let property = property.expect("without a definition only a select makes it depend");
        Position {
            line: property.line,
            ..self.node(property.node).position
        }
    }

    /// Notes the open path from `step` on, if it counts as a circle and is a new one.
    fn check_circle(
        &self,
        stack: &[(Step, usize)],
        step: Step,
        dialect: Dialect,
        circles: &mut Circles,
    ) {
        // The ways into a large circle are many, and each costs its length.
        circles.met += 1;
        let enough = circles.links.len() >= MAX_CIRCLES || circles.met > MAX_MEETINGS;
        if enough && !circles.links.is_empty() {
            return;
        }
        let start = stack
            .iter()
            .position(|(open, _)| *open == step)
            .expect("an open step is on the stack");
        let mut links: Vec<(SymbolId, Via)> = Vec::new();
        for (open, next) in &stack[start..] {
            let via = match self.child(*open, next - 1, dialect) {
                Child::Of(_, via) => via,
                Child::Choice(_) | Child::End => Via::Depends,
            };
            if via == Via::Range {
                return;
            }
            match *open {
                Step::Expr(_) => {}
                Step::Symbol(symbol) => links.push((symbol, via)),
                Step::Choice(choice) => {
                    let symbol = self.choices[choice as usize].symbol;
                    match self.member_at(choice, next - 1) {
                        Some(member) => links.extend([(symbol, Via::Member), (member, via)]),
                        None => links.push((symbol, Via::Prompt)),
                    }
                }
            }
        }
        // Before 6.9 a choice is also a symbol.
        links.dedup_by_key(|(symbol, _)| *symbol);
        if let [(first, _), .., (last, _)] = links.as_slice()
            && first == last
        {
            links.pop();
        }
        // One circle a choice says enough: its members have the same.
        if let Some(choice) = links.iter().position(|(symbol, _)| self.is_choice(*symbol)) {
            links.rotate_left(choice);
            if circles.covers(&[links[0].0]) {
                return;
            }
        }
        let mut symbols: Vec<SymbolId> = links.iter().map(|(symbol, _)| *symbol).collect();
        symbols.sort_unstable();
        if links.is_empty() || circles.covers(&symbols) {
            return;
        }
        circles.known.push(symbols);
        circles.links.push(links);
    }

    /// The member whose prompt is what a choice depends on by its number.
    fn member_at(&self, choice: u32, index: usize) -> Option<SymbolId> {
        let entry = &self.choices[choice as usize];
        let index = index.checked_sub(1 + self.properties(entry.symbol).len())?;
        let mut prompts = entry
            .members
            .iter()
            .flat_map(|member| self.prompts(*member).map(|_| *member));
        prompts.nth(index)
    }
}

impl Circles {
    /// Whether all of `symbols` are in one circle that is known already: a short cut
    /// through it says nothing new.
    fn covers(&self, symbols: &[SymbolId]) -> bool {
        let inside = |known: &Vec<SymbolId>| {
            let mut symbols = symbols.iter();
            symbols.all(|symbol| known.binary_search(symbol).is_ok())
        };
        self.known.iter().any(inside)
    }
}

/// A node, its symbol or [`NONE`], and what must all hold for it to be shown.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) node: NodeId,
    pub(super) symbol: SymbolId,
    is_prompted: bool,
    terms: Vec<Condition>,
}

impl Entry {
    /// Whether it is shown below `holder`: it can only be seen with the holder's symbol on, or
    /// it mentions that and needs all that the holder needs, which is nothing if nobody is
    /// asked for the holder; from 7.3 on not if it avoids it.
    pub(super) fn belongs_to(&self, holder: &Entry, dialect: Dialect) -> bool {
        let symbol = holder.symbol;
        if self.terms.iter().any(|term| term.asks_for(symbol)) {
            return true;
        }
        let avoids = |term: &Condition| dialect.negations_end_submenus && term.negates(symbol);
        let is_term = |needed: &Condition| self.terms.contains(needed);
        self.terms.iter().any(|term| term.mentions(symbol))
            && !self.terms.iter().any(avoids)
            && (!holder.is_prompted
                || self.terms.len() * holder.terms.len() <= MAX_COMPARISONS
                    && holder.terms.iter().all(is_term))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Visit {
    New,
    Open,
    Done,
}

/// What was visited on the way through the dependencies: depth first, children first.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    exprs: Vec<Visit>,
    symbols: Vec<Visit>,
    choices: Vec<Visit>,
    circles: Circles,
}

impl Walk {
    pub(super) fn new(model: &Model) -> Self {
        let mut walk = Walk::all(model, Visit::New);
        walk.symbols[..=Y as usize].fill(Visit::Done);
        walk
    }

    /// Everything was visited.
    pub(super) fn finished(model: &Model) -> Self {
        Walk::all(model, Visit::Done)
    }

    fn all(model: &Model, visit: Visit) -> Self {
        Walk {
            exprs: vec![visit; model.exprs.0.len()],
            symbols: vec![visit; model.symbols.len()],
            choices: vec![visit; model.choices.len()],
            circles: Circles::default(),
        }
    }

    /// Lets the choice and its members be visited again. Expressions are nobody's
    /// memory: they are always worked out anew.
    pub(super) fn reopen(&mut self, model: &Model, choice: u32) {
        let entry = &model.choices[choice as usize];
        self.symbols[entry.symbol as usize] = Visit::New;
        self.choices[choice as usize] = Visit::New;
        for member in &entry.members {
            self.symbols[*member as usize] = Visit::New;
        }
        self.exprs.fill(Visit::New);
    }

    fn state(&mut self, step: Step) -> &mut Visit {
        match step {
            Step::Expr(index) => &mut self.exprs[index as usize],
            Step::Symbol(index) => &mut self.symbols[index as usize],
            Step::Choice(index) => &mut self.choices[index as usize],
        }
    }

    /// Hands `start` and all it depends on to `done`, without what was visited
    /// before. A circle is noted unless it goes through a range, which the kernel's
    /// check does not follow either, and left where it closes.
    pub(super) fn visit(
        &mut self,
        model: &Model,
        dialect: Dialect,
        start: Step,
        done: impl FnMut(Step),
    ) {
        let mut circles = std::mem::take(&mut self.circles);
        self.follow(
            start,
            &mut Everywhere {
                model,
                dialect,
                done,
                circles: &mut circles,
            },
        );
        self.circles = circles;
    }

    /// Goes from `start` where the guide leads, without what was visited before.
    pub(super) fn follow(&mut self, start: Step, guide: &mut impl Guide) {
        let mut stack: Vec<(Step, usize)> = Vec::new();
        let mut entered = Some(start);
        loop {
            if let Some(step) = entered.take() {
                match self.state(step) {
                    state @ Visit::New => {
                        *state = Visit::Open;
                        stack.push((step, 0));
                    }
                    Visit::Open => guide.close(&stack, step),
                    Visit::Done => {}
                }
            }
            let Some((step, child)) = stack.last_mut() else {
                return;
            };
            let (step, index) = (*step, *child);
            *child += 1;
            match guide.child(step, index) {
                Child::Of(expr, _) => entered = Some(expr.into()),
                Child::Choice(choice) => entered = Some(Step::Choice(choice)),
                Child::End => {
                    stack.pop();
                    *self.state(step) = Visit::Done;
                    guide.leave(&stack, step);
                }
            }
        }
    }
}

/// Leads a [`Walk`].
pub(super) trait Guide {
    /// What comes before a step, by its number from 0 on.
    fn child(&self, step: Step, index: usize) -> Child;
    /// All that comes before a step was visited. The stack has those that wait for it, the
    /// nearest last, each with the number of the child that comes next.
    fn leave(&mut self, stack: &[(Step, usize)], step: Step);
    /// The way came back to a step on the stack.
    fn close(&mut self, _stack: &[(Step, usize)], _step: Step) {}
}

/// Leads to all a step depends on.
struct Everywhere<'a, F> {
    model: &'a Model,
    dialect: Dialect,
    done: F,
    circles: &'a mut Circles,
}

impl<F: FnMut(Step)> Guide for Everywhere<'_, F> {
    fn child(&self, step: Step, index: usize) -> Child {
        self.model.child(step, index, self.dialect)
    }

    fn leave(&mut self, _stack: &[(Step, usize)], step: Step) {
        (self.done)(step);
    }

    fn close(&mut self, stack: &[(Step, usize)], step: Step) {
        self.model
            .check_circle(stack, step, self.dialect, self.circles);
    }
}

/// More circles than this help nobody.
const MAX_CIRCLES: usize = 100;
const MAX_MEETINGS: usize = 1000;

/// Recursive dependencies found so far.
#[derive(Clone, Debug, Default)]
struct Circles {
    /// The symbols of each, sorted: one circle is often met on several ways.
    known: Vec<Vec<SymbolId>>,
    /// Each symbol and why it depends on the next; the last on the first.
    links: Vec<Vec<(SymbolId, Via)>>,
    /// How often the way came back to where it had been.
    met: usize,
}

/// What comes before a step.
pub(super) enum Child {
    Of(ExprId, Via),
    Choice(u32),
    End,
}

/// Why a symbol depends on another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Via {
    Operand,
    Depends,
    Select,
    Imply,
    Prompt,
    Default,
    DefaultCondition,
    Range,
    Member,
}

impl Via {
    fn words(self) -> &'static str {
        match self {
            Via::Operand | Via::Depends => "depends on",
            Via::Select => "is selected by",
            Via::Imply => "is implied by",
            Via::Prompt => "prompt is visible depending on",
            Via::Default => "default value contains",
            Via::DefaultCondition => "default is visible depending on",
            Via::Range => "is limited by",
            Via::Member => "unknown is visible depending on",
        }
    }
}

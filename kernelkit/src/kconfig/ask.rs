//! Questions: what `oldconfig` and `oldaskconfig` ask, and what the answers change.
//!
//! The words, marks and indentations are those of the kernel's conf, because scripts and
//! the kernel's own tests read them.

use super::Dialect;
use super::config_file::{is_hex, is_int};
use super::eval::{User, Values};
use super::model::{Model, NONE, NodeId, NodeKind, PropertyKind, SymbolId, Tristate, Type};
use super::resolve::Resolution;

/// Which questions are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Questions {
    /// `oldconfig`, `syncconfig`: the menus in which something is not set, and of them
    /// only what is not.
    New,
    /// `oldaskconfig`: all, then those that have come up meanwhile.
    All,
}

/// Whoever is asked.
pub trait Dialogue {
    /// Takes the next part of the text.
    fn show(&mut self, text: &[u8]);
    /// The next line of the answers with its newline, up to [`MAX_ANSWER`] bytes, shown
    /// if need be; none at their end.
    fn answer(&mut self) -> Option<Vec<u8>>;
    /// Something was answered so that selects force a symbol against its dependencies.
    fn unmet(&mut self, resolution: &Resolution<'_>);
}

/// A longer line is taken for several.
pub const MAX_ANSWER: usize = 127;

/// No answer can end the question: they have ended, and what an empty one stands for is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no value for new symbol '{symbol}' at end of input")]
pub struct Unanswered {
    /// The symbol that was asked for, without prefix.
    pub symbol: String,
}

impl Unanswered {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some("answer it, or set the symbol in the configuration".to_owned())
    }
}

/// Submenus within submenus are not followed further than this.
const MAX_DEPTH: usize = 500;

/// The menus as they are shown: entries below the entry they need, and no blocks
/// without a title.
struct Menus {
    inside: Vec<Vec<NodeId>>,
    around: Vec<NodeId>,
}

impl Model {
    fn menus(&self, dialect: Dialect) -> Menus {
        let count = self.nodes.len();
        let mut around = vec![NONE; count];
        let mut inside: Vec<Vec<NodeId>> = vec![Vec::new(); count];
        // Entries that the next one may belong to, for each open block.
        let mut holders: Vec<Vec<NodeId>> = vec![Vec::new()];
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
            while let Some(holder) = open.last()
                && !(self.needs(node, *holder) && self.stays(node, *holder, dialect))
            {
                open.pop();
            }
            let parent = open.last().copied().unwrap_or(block);
            around[node as usize] = parent;
            inside[parent as usize].push(node);
            if self.node(node).end > node + 1 {
                blocks.push(node);
                holders.push(Vec::new());
            } else if self.node(node).symbol != NONE && open.len() < MAX_DEPTH {
                open.push(node);
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

struct Asking<'a, 'r, 'k> {
    resolution: &'a mut Resolution<'k>,
    dialogue: &'r mut dyn Dialogue,
    menus: Menus,
    questions: Questions,
    /// The menu that is shown although nothing in it need be new.
    root: NodeId,
    indent: usize,
    /// Questions that began anew in this round.
    asked: usize,
    over: bool,
}

impl Values<'_> {
    /// Symbols that a user could set and did not, where they are shown.
    pub(super) fn new_symbols(&self) -> Vec<SymbolId> {
        let model = self.model();
        let menus = model.menus(self.kconfig.dialect);
        let mut symbols = Vec::new();
        let mut open = vec![0];
        while let Some(node) = open.pop() {
            if !self.is_shown(&menus, node) {
                continue;
            }
            let entry = model.node(node);
            let symbol = entry.symbol;
            if matches!(entry.kind, NodeKind::Config | NodeKind::Menuconfig)
                && self.visible(symbol) > self.reverse(symbol)
                && !self.user[symbol as usize].is_set()
            {
                symbols.push(symbol);
            }
            open.extend(menus.inside[node as usize].iter().rev());
        }
        symbols
    }

    /// Whether the prompt written at this node is on.
    fn is_prompted(&self, node: NodeId) -> bool {
        let model = self.model();
        let entry = model.node(node);
        if entry.symbol == NONE {
            return node == 0 || self.expr(entry.dep) != 0;
        }
        let member = model.symbol(entry.symbol).choice != NONE;
        if member && self.kconfig.dialect.choice_is_symbol && self.visible(entry.symbol) == 0 {
            return false;
        }
        if member && self.is_kept(entry.symbol) {
            return true;
        }
        model.properties(entry.symbol).iter().any(|property| {
            matches!(property.kind, PropertyKind::Prompt(_))
                && property.node == node
                && self.expr(property.condition) != 0
        })
    }

    /// Whether it is shown: its prompt is on, or it is on itself and holds something shown.
    fn is_shown(&self, menus: &Menus, node: NodeId) -> bool {
        let model = self.model();
        let mut open = vec![node];
        while let Some(node) = open.pop() {
            let entry = model.node(node);
            if node != 0 && (entry.prompt == NONE || self.expr(entry.visible) == 0) {
                continue;
            }
            if self.is_prompted(node) {
                return true;
            }
            if entry.symbol != NONE && self.logical(entry.symbol) != 0 {
                open.extend(&menus.inside[node as usize]);
            }
        }
        false
    }

    /// The value of a bool or tristate; n for anything else.
    fn logical(&self, symbol: SymbolId) -> u8 {
        match self.model().symbol(symbol).kind.is_logical() {
            true => self.tristate(symbol),
            false => 0,
        }
    }
}

impl Resolution<'_> {
    /// Asks, and takes the answers for the user's own values.
    ///
    /// # Errors
    /// The answers end where only an answer helps.
    pub fn ask(
        &mut self,
        questions: Questions,
        dialogue: &mut dyn Dialogue,
    ) -> Result<(), Unanswered> {
        let model = self.values.model();
        let mut asking = Asking {
            menus: model.menus(self.values.kconfig.dialect),
            resolution: self,
            dialogue,
            questions,
            root: 0,
            indent: 1,
            asked: 0,
            over: false,
        };
        if questions == Questions::All {
            asking.visit(0)?;
            asking.questions = Questions::New;
        }
        loop {
            asking.asked = 0;
            asking.search(0)?;
            if asking.asked == 0 {
                return Ok(());
            }
        }
    }
}

impl<'k> Asking<'_, '_, 'k> {
    fn model(&self) -> &'k Model {
        self.resolution.values.model()
    }

    fn old(&self) -> bool {
        self.resolution.values.kconfig.dialect.choice_is_symbol
    }

    fn show(&mut self, text: &str) {
        self.dialogue.show(text.as_bytes());
    }

    fn title(&self, node: NodeId) -> String {
        let kconfig = self.resolution.values.kconfig;
        match node {
            0 => String::from_utf8_lossy(&kconfig.main_menu).into_owned(),
            node => kconfig.prompt_text(node).unwrap_or_default(),
        }
    }

    fn user(&mut self, symbol: SymbolId) -> &mut User {
        &mut self.resolution.values.user[symbol as usize]
    }

    fn unanswered(&self, symbol: SymbolId) -> Unanswered {
        Unanswered {
            symbol: self.resolution.values.kconfig.name(symbol),
        }
    }

    fn is_new(&self, symbol: SymbolId) -> bool {
        !self.resolution.values.user[symbol as usize].is_set()
    }

    fn is_changeable(&self, symbol: SymbolId) -> bool {
        let values = &self.resolution.values;
        values.visible(symbol) > values.reverse(symbol)
    }

    /// Whether it is shown. Before 6.9, what is shown for the sake of others is not new.
    fn is_shown(&mut self, node: NodeId) -> bool {
        let values = &self.resolution.values;
        let shown = values.is_shown(&self.menus, node);
        if shown && self.old() && !values.is_prompted(node) {
            let symbol = self.model().node(node).symbol;
            if self.is_new(symbol) {
                self.user(symbol).tristate = 0;
            }
        }
        shown
    }

    fn logical(&self, symbol: SymbolId) -> u8 {
        self.resolution.values.logical(symbol)
    }

    /// Whether it has a title of its own; the root ends every search for one.
    fn is_menu(&self, node: NodeId) -> bool {
        let kind = self.model().node(node).kind;
        matches!(kind, NodeKind::Root | NodeKind::Menu | NodeKind::Menuconfig)
    }

    /// Looks for what is new, and asks about the menu it is in.
    fn search(&mut self, node: NodeId) -> Result<(), Unanswered> {
        if !self.is_shown(node) {
            return Ok(());
        }
        let symbol = self.model().node(node).symbol;
        if symbol != NONE && self.is_new(symbol) {
            let choice = self.model().is_choice(symbol);
            let open = match choice {
                true => self.old() && (self.is_changeable(symbol) || self.logical(symbol) == 2),
                false => self.is_changeable(symbol),
            };
            if open {
                if self.asked == 0 {
                    self.show("*\n* Restart config...\n*\n");
                }
                self.asked += 1;
                let mut menu = node;
                while !self.is_menu(menu) {
                    menu = self.menus.around[menu as usize];
                }
                self.root = menu;
                self.visit(menu)?;
            }
        }
        for index in 0..self.menus.inside[node as usize].len() {
            self.search(self.menus.inside[node as usize][index])?;
        }
        Ok(())
    }

    /// Shows a node and what is inside it, with its questions.
    fn visit(&mut self, node: NodeId) -> Result<(), Unanswered> {
        if !self.is_shown(node) {
            return Ok(());
        }
        let entry = self.model().node(node);
        let menu = self.is_menu(node);
        if menu && self.questions == Questions::New && self.root != node {
            return self.search(node);
        }
        if menu || entry.kind == NodeKind::Comment {
            let (title, indent) = (self.title(node), self.indent);
            let star = "*";
            self.show(&format!(
                "{star:>indent$}\n{star:>indent$} {title}\n{star:>indent$}\n"
            ));
        }
        let symbol = entry.symbol;
        if symbol == NONE {
            return self.visit_inside(node);
        }
        if self.model().is_choice(symbol) {
            self.ask_choice(node)?;
            if !self.old() || self.logical(symbol) != 1 {
                return Ok(());
            }
        } else if self.model().symbol(symbol).kind.is_logical() {
            self.ask_logical(node)?;
        } else if self.model().symbol(symbol).kind != Type::Unknown {
            self.ask_text(node)?;
        }
        self.indent += 2;
        let result = self.visit_inside(node);
        self.indent -= 2;
        result
    }

    fn visit_inside(&mut self, node: NodeId) -> Result<(), Unanswered> {
        for index in 0..self.menus.inside[node as usize].len() {
            self.visit(self.menus.inside[node as usize][index])?;
        }
        Ok(())
    }

    /// The next line, as a string of C has it; `otherwise` at the end of the answers.
    fn line(&mut self, otherwise: &[u8]) -> Vec<u8> {
        let line = self.dialogue.answer();
        // A line without its end is the last one.
        self.over = line
            .as_ref()
            .is_none_or(|line| !line.ends_with(b"\n") && line.len() < MAX_ANSWER);
        let mut line = line.unwrap_or_else(|| {
            self.dialogue.show(otherwise);
            otherwise.to_vec()
        });
        if let Some(end) = line.iter().position(|byte| *byte == 0) {
            line.truncate(end);
        }
        line
    }

    /// The answer about a symbol whose value is `value`, or nothing where none is wanted.
    fn answer(&mut self, symbol: SymbolId, value: &str) -> Option<Vec<u8>> {
        if self.is_new(symbol) {
            self.show("(NEW) ");
        }
        let settled = self.questions == Questions::New && !self.is_new(symbol);
        if settled || !self.is_changeable(symbol) {
            self.show(&format!("{value}\n"));
            return None;
        }
        Some(self.line(b"\n"))
    }

    fn value_text(&self, symbol: SymbolId) -> String {
        String::from_utf8_lossy(self.resolution.values.bytes_of(symbol)).into_owned()
    }

    /// `NAME`, with its brackets and a blank; nothing for a choice.
    fn label(&self, symbol: SymbolId) -> String {
        match self.model().names.get(symbol) {
            b"" => String::new(),
            name => format!("({}) ", String::from_utf8_lossy(name)),
        }
    }

    fn ask_text(&mut self, node: NodeId) -> Result<(), Unanswered> {
        let symbol = self.model().node(node).symbol;
        loop {
            let value = self.value_text(symbol);
            self.show(&format!(
                "{:width$}{} {}[{value}] ",
                "",
                self.title(node),
                self.label(symbol),
                width = self.indent - 1
            ));
            let Some(mut answer) = self.answer(symbol, &value) else {
                return Ok(());
            };
            let text = match answer.as_slice() {
                b"\n" => self.resolution.values.bytes_of(symbol).to_vec(),
                b"?\n" => {
                    self.show_help(node);
                    continue;
                }
                _ => {
                    answer.pop();
                    answer
                }
            };
            if self.set_text(symbol, &text) {
                return Ok(());
            }
            if self.over {
                return Err(self.unanswered(symbol));
            }
        }
    }

    fn set_text(&mut self, symbol: SymbolId, text: &[u8]) -> bool {
        let values = &mut self.resolution.values;
        let kind = values.model().symbol(symbol).kind;
        let fits = match kind {
            Type::Int => is_int(text),
            Type::Hex => is_hex(text),
            _ => true,
        };
        let plain = values.add_text(text);
        if !fits || !values.is_within_range(symbol, plain) {
            return false;
        }
        let stored = match (kind, text) {
            (Type::Hex, [b'0', b'x' | b'X', ..]) => plain,
            (Type::Hex, _) => values.add_text(&[b"0x", text].concat()),
            _ => plain,
        };
        values.user[symbol as usize] = User {
            text: stored,
            ..User::NONE
        };
        self.evaluate();
        true
    }

    fn evaluate(&mut self) {
        self.resolution.values.evaluate_again(false);
        if self.old() {
            self.resolution.values.reopen_choices();
        }
        self.dialogue.unmet(self.resolution);
    }

    /// Whether a bool or tristate may be set to `value`.
    fn is_allowed(&self, symbol: SymbolId, value: u8) -> bool {
        let values = &self.resolution.values;
        let (visible, reverse) = (values.visible(symbol), values.reverse(symbol));
        if visible == 0 || visible <= reverse {
            return false;
        }
        if value == 1 && values.effective(symbol) == Type::Bool {
            return false;
        }
        let member = self.old() && values.model().symbol(symbol).choice != NONE;
        if member && visible == 2 {
            return value == 2;
        }
        value >= reverse && value <= visible
    }

    fn ask_logical(&mut self, node: NodeId) -> Result<(), Unanswered> {
        let symbol = self.model().node(node).symbol;
        loop {
            let value = self.logical(symbol);
            let mut question = format!(
                "{:width$}{} {}[{}",
                "",
                self.title(node),
                self.label(symbol),
                Tristate::of(value).letter().to_ascii_uppercase(),
                width = self.indent - 1
            );
            for other in 0..3 {
                if other != value && self.is_allowed(symbol, other) {
                    question.push('/');
                    question.push(Tristate::of(other).letter());
                }
            }
            question.push_str("/?] ");
            self.show(&question);
            let shown = Tristate::of(value).letter().to_string();
            let Some(answer) = self.answer(symbol, &shown) else {
                return Ok(());
            };
            let wanted = match answer.trim_ascii() {
                b"" => value,
                b"n" | b"N" | b"no" | b"No" => 0,
                b"m" | b"M" => 1,
                b"y" | b"Y" | b"yes" | b"Yes" => 2,
                [b'?', ..] => {
                    self.show_help(node);
                    continue;
                }
                _ => continue,
            };
            if self.set_logical(symbol, wanted) {
                return Ok(());
            }
            if self.over {
                return Err(self.unanswered(symbol));
            }
            self.show_help(node);
        }
    }

    fn set_logical(&mut self, symbol: SymbolId, wanted: u8) -> bool {
        let value = self.logical(symbol);
        if value != wanted && !self.is_allowed(symbol, wanted) {
            return false;
        }
        *self.user(symbol) = User {
            tristate: wanted,
            ..User::NONE
        };
        let choice = self.model().symbol(symbol).choice;
        if choice != NONE && wanted == 2 && self.old() {
            self.pick_old(choice, symbol);
        }
        if value != wanted {
            self.evaluate();
        }
        true
    }

    /// Before 6.9: the picked member, and whatever was seen counts as answered.
    fn pick_old(&mut self, choice: u32, member: SymbolId) {
        let entry = &self.model().choices[choice as usize];
        self.resolution.values.picked[choice as usize] = member;
        for symbol in entry.members.iter().chain([&entry.symbol]) {
            let seen = *symbol == entry.symbol || self.resolution.values.visible(*symbol) != 0;
            if seen && self.is_new(*symbol) {
                self.user(*symbol).tristate = 0;
            }
        }
    }

    /// From 6.9 on: every member that is seen is set, the picked one to y.
    fn pick(&mut self, choice: u32, picked: SymbolId) {
        let mut changed = false;
        let entry = &self.model().choices[choice as usize];
        for member in &entry.members {
            if self.resolution.values.visible(*member) == 0 {
                continue;
            }
            let value = 2 * u8::from(*member == picked);
            changed |= self.logical(*member) != value;
            *self.user(*member) = User {
                tristate: value,
                ..User::NONE
            };
            self.resolution.values.prefer(choice, *member);
        }
        if changed {
            self.evaluate();
        }
    }

    fn ask_choice(&mut self, node: NodeId) -> Result<(), Unanswered> {
        let symbol = self.model().node(node).symbol;
        let choice = self.model().symbol(symbol).own_choice;
        let mut new = self.is_new(symbol);
        if self.old() {
            if self.is_changeable(symbol) {
                self.ask_logical(node)?;
            }
            match self.logical(symbol) {
                0 => return Ok(()),
                1 => {
                    if !self.is_changeable(symbol) {
                        let heading = self.heading(node);
                        self.show(&heading);
                    }
                    return Ok(());
                }
                _ => {}
            }
        }
        loop {
            let heading = self.heading(node);
            self.show(&heading);
            let chosen = self.resolution.values.chosen[choice as usize];
            let mut members: Vec<NodeId> = Vec::new();
            let mut default = 0;
            if !self.old() {
                new = false;
            }
            for index in 0..self.menus.inside[node as usize].len() {
                let child = self.menus.inside[node as usize][index];
                if !self.is_shown(child) {
                    continue;
                }
                let member = self.model().node(child).symbol;
                let (title, indent) = (self.title(child), self.indent);
                if member == NONE {
                    self.show(&format!("{:>indent$} {title}\n", "*"));
                    continue;
                }
                members.push(child);
                let mark = match member == chosen {
                    true => {
                        default = members.len();
                        ">"
                    }
                    false => " ",
                };
                let note = match self.is_new(member) {
                    true => " (NEW)",
                    false => "",
                };
                new |= !self.old() && self.is_new(member);
                let label = self.label(member);
                let number = members.len();
                self.show(&format!(
                    "{mark:>indent$} {number}. {title} {}{note}\n",
                    label.trim_end()
                ));
            }
            self.show(&format!("{:width$}choice", "", width = self.indent - 1));
            let mut answer = Vec::new();
            let number = if members.len() == 1 {
                self.show("[1]: 1\n");
                1
            } else {
                self.show(&format!("[1-{}?]: ", members.len()));
                if self.questions == Questions::New && !new {
                    self.show(&format!("{default}\n"));
                    default
                } else {
                    answer = self.line(b"").trim_ascii().to_vec();
                    match answer.as_slice() {
                        [] => default,
                        [b'?', ..] => {
                            self.show_help(node);
                            continue;
                        }
                        [b'0'..=b'9', ..] => {
                            let digits = answer.iter().take_while(|byte| byte.is_ascii_digit());
                            digits.fold(0usize, |number, digit| {
                                number.saturating_mul(10) + usize::from(digit - b'0')
                            })
                        }
                        _ => continue,
                    }
                }
            };
            let picked = number.checked_sub(1).and_then(|index| members.get(index));
            let Some(picked) = picked.copied() else {
                if members.is_empty() {
                    // Where conf never ends.
                    return Ok(());
                }
                if self.over {
                    return Err(self.unanswered(symbol));
                }
                continue;
            };
            if answer.ends_with(b"?") {
                self.show_help(picked);
                continue;
            }
            let member = self.model().node(picked).symbol;
            if self.old() {
                self.set_logical(member, 2);
            } else {
                self.pick(choice, member);
            }
            self.indent += 2;
            let result = self.visit_inside(picked);
            self.indent -= 2;
            return result;
        }
    }

    fn heading(&self, node: NodeId) -> String {
        let width = self.indent - 1;
        format!("{:width$}{}\n", "", self.title(node))
    }

    fn show_help(&mut self, node: NodeId) {
        let symbol = self.model().node(node).symbol;
        let text = self.resolution.values.help_text(symbol);
        self.dialogue.show(b"\n");
        self.dialogue.show(&text);
        self.dialogue.show(b"\n\n\n");
    }
}

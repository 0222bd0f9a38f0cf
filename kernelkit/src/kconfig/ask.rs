//! What `oldconfig`, `oldaskconfig` and `syncconfig` ask, and what answers do.
//!
//! An [`Interview`] is a machine without input or output: it has a [`Question`], takes an
//! [`Answer`] and has the next one. On the way it says what the kernel's `conf` prints, to
//! the byte, for programs that are driven through a pipe; a program with a surface of its
//! own can drop that and look at the questions only.
//!
//! Rules: Documentation/kbuild/kconfig.rst and the usage text of `conf`; what they leave
//! open was observed, see "What conf asks, as observed" in the book's page on the oracle.

use super::config_file::{is_hex, is_int};
use super::eval::{User, Values};
use super::explain::Unmet;
use super::memory::Memory;
use super::menus::Menus;
use super::model::{NONE, NodeId, NodeKind, SymbolId, Tristate, Type};
use super::resolve::Resolution;

/// How much is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// What the inputs do not set: `oldconfig` and `syncconfig`.
    New,
    /// Everything that can be set, once: `oldaskconfig`.
    All,
}

/// What somebody answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// A line, without its newline. An empty one takes the default, `?` asks for help.
    Line(&'a [u8]),
    /// The input ended behind this, without a newline. As in the kernel's conf, a number or
    /// a string loses its last character.
    Rest(&'a [u8]),
    /// The input has ended: the default.
    End,
}

/// The input has ended, and this symbol's default is none that its type and range allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no value for new symbol '{symbol}' at end of input")]
pub struct Unanswered {
    /// The symbol, without its prefix.
    pub symbol: String,
}

impl Unanswered {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(format!("set `{}` in the configuration", self.symbol))
    }
}

/// One of a choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The symbol, without its prefix.
    pub symbol: String,
    /// Its prompt.
    pub prompt: String,
    /// Whether nobody has set it yet.
    pub is_new: bool,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The symbol, without its prefix; none for a choice.
    pub symbol: Option<String>,
    /// The prompt.
    pub prompt: String,
    /// The type; that of a choice's members where one of them is to be chosen.
    pub kind: Type,
    /// What an empty answer gives: a value, or the number of a member.
    pub default: String,
    /// Whether nobody has set it yet.
    pub is_new: bool,
    /// For a bool or tristate, what it may be.
    pub allowed: Vec<Tristate>,
    /// The members to choose from, of which the answer is the number, from 1.
    pub members: Vec<Member>,
    /// The help text.
    pub help: Option<String>,
}

/// A step of the walk through a menu.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Looks for what is new: its menu is walked through.
    Search,
    /// Everything in a menu, from its title on.
    Menu,
    /// An entry in a menu.
    Entry,
    /// What a choice whose own value is decided holds; whether that was new before.
    Choice { was_new: bool },
}

/// What an answer is waited for.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Logical,
    Text,
    Choice,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    kind: Kind,
    node: NodeId,
    indent: usize,
}

/// Why an answer was not taken.
enum Refusal {
    /// It is none.
    Wrong,
    /// It asks for help about this node, or has to be told.
    Help(NodeId),
}

/// A conversation about a configuration.
#[derive(Clone, Debug)]
pub struct Interview<'k> {
    resolution: Resolution<'k>,
    /// What of it is known.
    memory: Memory,
    menus: Menus,
    /// Everything is asked, until the first walk has ended.
    all: bool,
    /// Steps to come with their node and its indentation, the next one last.
    steps: Vec<(Step, NodeId, usize)>,
    /// Whether this round found something new, and another has to follow.
    found: bool,
    /// What was found since a symbol was set for the first time. Only that gets an interview on,
    /// so whatever is found twice before is let be: so many symbols, so many finds, and an end.
    finds: Vec<NodeId>,
    pending: Option<Pending>,
    echo: bool,
    ended: bool,
    output: Vec<u8>,
    errors: Vec<u8>,
}

impl<'k> Interview<'k> {
    /// Begins to talk about a resolution by [`Mode::Olddefconfig`](super::Mode::Olddefconfig).
    ///
    /// `echo` has answers repeated in the output: for input that no terminal shows.
    pub fn new(mut resolution: Resolution<'k>, extent: Extent, echo: bool) -> Self {
        let kconfig = resolution.values.kconfig;
        let mut interview = Interview {
            memory: Memory::new(&mut resolution),
            menus: kconfig.model.menus(kconfig.dialect),
            resolution,
            all: extent == Extent::All,
            steps: match extent {
                Extent::New => Vec::new(),
                Extent::All => vec![(Step::Menu, 0, 0)],
            },
            found: true,
            finds: Vec::new(),
            pending: None,
            echo,
            ended: false,
            output: Vec::new(),
            errors: Vec::new(),
        };
        interview.proceed();
        interview
    }

    /// Whether an answer is waited for.
    pub fn is_asking(&self) -> bool {
        self.pending.is_some()
    }

    /// What is asked; nothing when all is answered.
    pub fn question(&self) -> Option<Question> {
        let Pending { kind, node, .. } = self.pending?;
        let values = self.values();
        let symbol = values.model().node(node).symbol;
        let is_choice = values.model().is_choice(symbol);
        let kconfig = values.kconfig;
        let (mut allowed, mut members) = (Vec::new(), Vec::new());
        let mut default = String::from_utf8_lossy(values.bytes_of(symbol)).into_owned();
        match kind {
            Kind::Text => {}
            Kind::Logical => allowed = values.allowed(symbol).map(Tristate::of).collect(),
            Kind::Choice => {
                let (nodes, chosen) = self.members(node);
                default = (chosen.unwrap_or(0) + 1).to_string();
                for member in nodes {
                    let symbol = values.model().node(member).symbol;
                    members.push(Member {
                        symbol: kconfig.name(symbol),
                        prompt: kconfig.prompt_text(member).unwrap_or_default(),
                        is_new: values.is_labelled_new(symbol),
                    });
                }
            }
        }
        Some(Question {
            symbol: (!is_choice).then(|| kconfig.name(symbol)),
            prompt: kconfig.prompt_text(node).unwrap_or_default(),
            kind: values.model().symbol(symbol).kind,
            default,
            is_new: match kind {
                Kind::Choice => members.iter().any(|member| member.is_new),
                _ => values.is_labelled_new(symbol),
            },
            allowed,
            members,
            help: kconfig.help_text(node),
        })
    }

    /// Answers the question, and goes on to the next. One that cannot be taken has the same
    /// question asked again.
    ///
    /// # Errors
    /// The input has ended and the default is none: the same question would follow for ever.
    pub fn answer(&mut self, answer: Answer<'_>) -> Result<(), Unanswered> {
        let Some(pending) = self.pending else {
            return Ok(());
        };
        let is_choice = matches!(pending.kind, Kind::Choice);
        let (text, newline) = match answer {
            Answer::Line(text) => (text, true),
            Answer::Rest(text) => (text, false),
            Answer::End => {
                self.errors
                    .extend_from_slice(b"\nError in reading or end of file.\n");
                (&b""[..], true)
            }
        };
        self.ended |= !matches!(answer, Answer::Line(_));
        // The kernel's conf sees a text up to its first zero byte.
        let end = text.iter().position(|byte| *byte == 0);
        let newline = newline && end.is_none();
        let text = &text[..end.unwrap_or(text.len())];
        if self.echo && !(is_choice && answer == Answer::End) {
            self.output.extend_from_slice(text);
            if newline {
                self.output.push(b'\n');
            }
        }
        let taken = match pending.kind {
            Kind::Logical => self.take_logical(pending.node, text),
            Kind::Choice => self.take_choice(pending.node, text),
            Kind::Text => self.take_text(pending.node, text, newline),
        };
        match taken {
            Ok(()) => self.pending = None,
            Err(refusal) => {
                if let Refusal::Help(node) = refusal {
                    let help = self.values().help_block(node, &self.menus);
                    self.output.extend_from_slice(&help);
                }
                if self.is_hopeless(pending.kind, answer) {
                    let symbol = self.values().model().node(pending.node).symbol;
                    let symbol = self.values().kconfig.name(symbol);
                    return Err(Unanswered { symbol });
                }
                self.show(pending);
            }
        }
        self.proceed();
        Ok(())
    }

    /// What the kernel's conf would have written to its standard output since the last call.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// The same of standard error.
    pub fn take_errors(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.errors)
    }

    /// The configuration as it is by now.
    pub fn resolution(&self) -> Resolution<'k> {
        self.clone().into_resolution()
    }

    /// The configuration, when all is asked or the rest is to keep its defaults.
    pub fn into_resolution(mut self) -> Resolution<'k> {
        self.memory.complete(&mut self.resolution.values);
        self.resolution
    }

    /// Selects that force a symbol whose dependencies do not hold, as far as was looked.
    pub fn unmet(&self) -> Vec<Unmet> {
        self.resolution.unmet()
    }

    fn is_shown(&mut self, node: NodeId) -> bool {
        let values = &mut self.resolution.values;
        self.memory.is_shown(values, &self.menus, node)
    }

    fn look_at(&mut self, symbol: SymbolId) {
        self.memory.look_at(&mut self.resolution.values, symbol);
    }

    fn values(&self) -> &Values<'k> {
        &self.resolution.values
    }

    /// Whether what comes after a refused answer would be refused as well. Before 6.9 and for
    /// what is no text, the default still has its turn.
    fn is_hopeless(&self, kind: Kind, refused: Answer<'_>) -> bool {
        let old = self.values().kconfig.dialect.choice_is_symbol;
        refused == Answer::End || (self.ended && !old && matches!(kind, Kind::Text))
    }

    /// Walks on to the next question, or to the end.
    fn proceed(&mut self) {
        while self.pending.is_none() {
            let Some((step, node, indent)) = self.steps.pop() else {
                self.all = false;
                if !std::mem::take(&mut self.found) {
                    self.memory.complete(&mut self.resolution.values);
                    return;
                }
                self.steps.push((Step::Search, 0, 0));
                continue;
            };
            match step {
                Step::Search => self.search(node, indent),
                Step::Menu => self.enter(node, indent),
                Step::Entry => self.visit(node, indent),
                Step::Choice { was_new } => self.open_choice(node, indent, was_new),
            }
        }
    }

    /// Looks whether a node is new, for then its menu is walked through, and goes on to what
    /// is inside.
    fn search(&mut self, node: NodeId, indent: usize) {
        if !self.is_shown(node) {
            return;
        }
        self.descend(Step::Search, node, indent);
        if !self.values().is_open_question(node) || self.finds.contains(&node) {
            return;
        }
        self.finds.push(node);
        if !std::mem::replace(&mut self.found, true) {
            self.title(0, b"Restart config...");
        }
        self.steps.push((Step::Menu, self.menu_of(node), indent));
    }

    /// What is inside a node comes next.
    fn descend(&mut self, step: Step, node: NodeId, indent: usize) {
        let inside = self.menus.inside[node as usize].iter().rev();
        self.steps.extend(inside.map(|node| (step, *node, indent)));
    }

    /// The innermost menu that a node is in, or is.
    fn menu_of(&self, node: NodeId) -> NodeId {
        let mut menu = node;
        while !self.is_menu(menu) {
            menu = self.menus.around[menu as usize];
        }
        menu
    }

    fn is_menu(&self, node: NodeId) -> bool {
        matches!(
            self.values().model().node(node).kind,
            NodeKind::Root | NodeKind::Menu | NodeKind::Menuconfig
        )
    }

    /// An entry in a menu that is walked through. Menus in it are only entered for something
    /// new.
    fn visit(&mut self, node: NodeId, indent: usize) {
        if !self.is_shown(node) {
            return;
        }
        if self.is_menu(node) {
            match self.all {
                true => self.enter(node, indent),
                false => self.search(node, indent),
            }
            return;
        }
        let model = self.values().model();
        let entry = model.node(node);
        match entry.kind {
            NodeKind::Comment => self.title(indent, model.texts.get(entry.prompt)),
            NodeKind::Config => {
                self.descend(Step::Entry, node, indent + 2);
                self.talk_about(node, indent);
            }
            NodeKind::Choice => {
                let was_new = !self.values().user[entry.symbol as usize].is_set();
                self.steps.push((Step::Choice { was_new }, node, indent));
                if self.values().kconfig.dialect.choice_is_symbol
                    && self.values().allowed(entry.symbol).count() > 1
                {
                    self.talk_about(node, indent);
                }
            }
            _ => {}
        }
    }

    /// A menu's title, and then what is inside.
    fn enter(&mut self, node: NodeId, indent: usize) {
        let values = self.values();
        let (model, kconfig) = (values.model(), values.kconfig);
        let entry = model.node(node);
        match node {
            0 => self.title(indent, &kconfig.main_menu),
            _ => self.title(indent, model.texts.get(entry.prompt)),
        }
        if entry.kind == NodeKind::Menuconfig {
            self.descend(Step::Entry, node, indent + 2);
            self.talk_about(node, indent);
        } else {
            self.descend(Step::Entry, node, indent);
        }
    }

    fn title(&mut self, indent: usize, text: &[u8]) {
        let space = " ".repeat(indent);
        self.output
            .extend_from_slice(format!("{space}*\n{space}* ").as_bytes());
        self.output.extend_from_slice(text);
        self.output
            .extend_from_slice(format!("\n{space}*\n").as_bytes());
    }

    /// Shows a symbol, and asks for it where that is due.
    fn talk_about(&mut self, node: NodeId, indent: usize) {
        let symbol = self.values().model().node(node).symbol;
        self.look_at(symbol);
        let values = self.values();
        let is_logical = values.model().symbol(symbol).kind.is_logical();
        let settable = match is_logical {
            true => values.allowed(symbol).count() > 1,
            false => values.visible(symbol) != 0,
        };
        let asked = settable && (self.all || !values.user[symbol as usize].is_set());
        let value = values.bytes_of(symbol).to_vec();
        let pending = Pending {
            kind: match is_logical {
                true => Kind::Logical,
                false => Kind::Text,
            },
            node,
            indent,
        };
        self.show(pending);
        if asked {
            self.pending = Some(pending);
        } else {
            self.output.extend_from_slice(&value);
            self.output.push(b'\n');
        }
    }

    fn show(&mut self, pending: Pending) {
        let Pending { kind, node, indent } = pending;
        if matches!(kind, Kind::Choice) {
            self.show_choice(node, indent);
            return;
        }
        let values = &self.resolution.values;
        let model = values.model();
        let symbol = model.node(node).symbol;
        let out = &mut self.output;
        out.resize(out.len() + indent, b' ');
        out.extend_from_slice(model.texts.get(model.node(node).prompt));
        if !model.is_choice(symbol) {
            out.extend_from_slice(b" (");
            out.extend_from_slice(model.names.get(symbol));
            out.push(b')');
        }
        out.extend_from_slice(b" [");
        match kind {
            Kind::Logical => {
                let current = values.tristate(symbol);
                out.push(b"NMY"[usize::from(current)]);
                for other in values.allowed(symbol).filter(|value| *value != current) {
                    out.extend_from_slice(&[b'/', b"nmy"[usize::from(other)]]);
                }
                out.extend_from_slice(b"/?");
            }
            _ => out.extend_from_slice(values.bytes_of(symbol)),
        }
        out.extend_from_slice(b"] ");
        if values.is_labelled_new(symbol) {
            out.extend_from_slice(b"(NEW) ");
        }
    }

    /// The members of a choice that can be seen, and the place of the one that is on: with
    /// members that are no entries of the choice itself, it may be none of them.
    fn members(&self, node: NodeId) -> (Vec<NodeId>, Option<usize>) {
        let values = self.values();
        let model = values.model();
        let inside = self.menus.inside[node as usize].iter().copied();
        let members: Vec<NodeId> = inside
            .filter(|node| model.is_config(*node) && values.is_shown(&self.menus, *node))
            .collect();
        let choice = model.symbol(model.node(node).symbol).own_choice;
        let chosen = values.chosen[choice as usize];
        let chosen = members
            .iter()
            .position(|node| model.node(*node).symbol == chosen);
        (members, chosen)
    }

    /// What a choice holds, now that it is known whether it is on.
    fn open_choice(&mut self, node: NodeId, indent: usize, was_new: bool) {
        let model = self.values().model();
        let symbol = model.node(node).symbol;
        self.look_at(symbol);
        let values = self.values();
        if values.kconfig.dialect.choice_is_symbol && values.tristate(symbol) != 2 {
            if values.tristate(symbol) == 1 {
                let fixed = values.allowed(symbol).count() <= 1;
                self.descend(Step::Entry, node, indent + 2);
                if fixed {
                    self.line(indent, model.texts.get(model.node(node).prompt));
                }
            }
            return;
        }
        for inside in self.menus.inside[node as usize].clone() {
            self.is_shown(inside);
        }
        let (members, chosen) = self.members(node);
        if members.is_empty() {
            // The kernel's conf asks for a number from 1 to 0, for ever.
            return;
        }
        for inside in self.menus.inside[node as usize].clone().iter().rev() {
            self.descend(Step::Entry, *inside, indent + 2);
        }
        let chosen = chosen.unwrap_or(0);
        let is_new = |symbol: SymbolId| !self.values().user[symbol as usize].is_set();
        let mut is_open = members.iter().any(|node| is_new(model.node(*node).symbol));
        is_open |= self.values().kconfig.dialect.choice_is_symbol && was_new;
        let asked = members.len() > 1 && (self.all || is_open);
        self.show_choice(node, indent);
        if asked {
            self.pending = Some(Pending {
                kind: Kind::Choice,
                node,
                indent,
            });
            return;
        }
        self.output
            .extend_from_slice(format!("{}\n", chosen + 1).as_bytes());
        self.choose(node, &members, chosen);
    }

    /// Turns one of the members that can be seen on, and the others off.
    fn choose(&mut self, node: NodeId, members: &[NodeId], place: usize) {
        let model = self.values().model();
        let choice = model.symbol(model.node(node).symbol).own_choice;
        let members: Vec<SymbolId> = members
            .iter()
            .map(|node| model.node(*node).symbol)
            .collect();
        if members
            .iter()
            .any(|member| !self.values().user[*member as usize].is_set())
        {
            self.finds.clear();
        }
        let values = &mut self.resolution.values;
        let changes = values.chosen[choice as usize] != members[place];
        values.choose_member(choice, &members, members[place]);
        self.update(changes);
    }

    /// Lets a change have its effects.
    fn update(&mut self, changes: bool) {
        if changes {
            self.memory.forget(&mut self.resolution.values);
        }
    }

    fn line(&mut self, indent: usize, text: &[u8]) {
        self.output.resize(self.output.len() + indent, b' ');
        self.output.extend_from_slice(text);
        self.output.push(b'\n');
    }

    fn show_choice(&mut self, node: NodeId, indent: usize) {
        let (members, chosen) = self.members(node);
        let model = self.values().model();
        self.line(indent, model.texts.get(model.node(node).prompt));
        for inside in self.menus.inside[node as usize].clone() {
            let entry = model.node(inside);
            if let Some(place) = members.iter().position(|member| *member == inside) {
                let sign = if Some(place) == chosen { '>' } else { ' ' };
                let mut line = format!("{sign} {}. ", place + 1).into_bytes();
                line.extend_from_slice(model.texts.get(entry.prompt));
                line.extend_from_slice(b" (");
                line.extend_from_slice(model.names.get(entry.symbol));
                line.push(b')');
                if self.values().is_labelled_new(entry.symbol) {
                    line.extend_from_slice(b" (NEW)");
                }
                self.line(indent, &line);
            } else if entry.kind == NodeKind::Comment && self.values().is_shown(&self.menus, inside)
            {
                let text = model.texts.get(entry.prompt);
                self.line(indent, &[b"* ", text].concat());
            }
        }
        let range = match members.len() {
            1 => "1".to_owned(),
            count => format!("1-{count}?"),
        };
        self.output
            .extend_from_slice(format!("{}choice[{range}]: ", " ".repeat(indent)).as_bytes());
    }

    fn take_logical(&mut self, node: NodeId, text: &[u8]) -> Result<(), Refusal> {
        let values = &mut self.resolution.values;
        let symbol = values.model().node(node).symbol;
        let value = match trim(text) {
            b"" => values.tristate(symbol),
            b"n" | b"N" | b"no" | b"No" => 0,
            b"m" | b"M" => 1,
            b"y" | b"Y" | b"yes" | b"Yes" => 2,
            [b'?', ..] => return Err(Refusal::Help(node)),
            _ => return Err(Refusal::Wrong),
        };
        // Before 6.9 a default may be more than is allowed, and stays until something changes.
        let same = values.kconfig.dialect.choice_is_symbol && values.tristate(symbol) == value;
        if !same && !values.allowed(symbol).any(|allowed| allowed == value) {
            return Err(Refusal::Help(node));
        }
        let is_first = !values.user[symbol as usize].is_set() && !values.model().is_choice(symbol);
        let changes = values.set_tristate(symbol, value);
        if is_first {
            self.finds.clear();
        }
        self.update(changes);
        Ok(())
    }

    /// The last byte goes, for it should be the newline.
    fn take_text(&mut self, node: NodeId, text: &[u8], newline: bool) -> Result<(), Refusal> {
        let values = &mut self.resolution.values;
        let symbol = values.model().node(node).symbol;
        let text = match text {
            b"" if newline => values.bytes_of(symbol).to_vec(),
            b"?" if newline => return Err(Refusal::Help(node)),
            text if newline => text.to_vec(),
            text => text[..text.len().saturating_sub(1)].to_vec(),
        };
        let is_first = !values.user[symbol as usize].is_set();
        let changes = values.set_text(symbol, text).ok_or(Refusal::Wrong)?;
        if is_first {
            self.finds.clear();
        }
        self.update(changes);
        Ok(())
    }

    fn take_choice(&mut self, node: NodeId, text: &[u8]) -> Result<(), Refusal> {
        let (members, chosen) = self.members(node);
        let text = trim(text);
        let place = match text {
            b"" => chosen.unwrap_or(0),
            [b'?', ..] => return Err(Refusal::Help(node)),
            text => {
                let number = leading_number(text).ok_or(Refusal::Wrong)?;
                let place = usize::try_from(number).ok().and_then(|n| n.checked_sub(1));
                place
                    .filter(|place| *place < members.len())
                    .ok_or(Refusal::Wrong)?
            }
        };
        if text.ends_with(b"?") {
            return Err(Refusal::Help(members[place]));
        }
        self.choose(node, &members, place);
        Ok(())
    }
}

/// Without the blanks on both sides.
fn trim(text: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
    let start = text.iter().position(|byte| !is_blank(byte));
    let end = text.iter().rposition(|byte| !is_blank(byte));
    match (start, end) {
        (Some(start), Some(end)) => &text[start..=end],
        _ => b"",
    }
}

/// The number that a text begins with, as C's `int` holds it.
fn leading_number(text: &[u8]) -> Option<i32> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = (digits > 0).then(|| {
        text[..digits].iter().fold(0_i64, |number, digit| {
            number
                .saturating_mul(10)
                .saturating_add(i64::from(digit - b'0'))
        })
    })?;
    Some(number as i32)
}

impl Values<'_> {
    /// What a bool or tristate may be set to, in order.
    fn allowed(&self, symbol: SymbolId) -> impl Iterator<Item = u8> + use<> {
        let (low, high) = (self.reverse(symbol), self.visible(symbol));
        let two = self.effective(symbol) == Type::Bool;
        (low..=high).filter(move |value| high != 0 && !(two && *value == 1))
    }

    /// Whether a user could set what is shown at this node and did not.
    fn is_open_question(&self, node: NodeId) -> bool {
        let entry = self.model().node(node);
        let is_symbol = match entry.kind {
            NodeKind::Config | NodeKind::Menuconfig => true,
            NodeKind::Choice => self.kconfig.dialect.choice_is_symbol,
            _ => false,
        };
        // A choice that is on can be set: to another of its members.
        let settable = |symbol| {
            self.visible(symbol) > self.reverse(symbol)
                || (entry.kind == NodeKind::Choice && self.tristate(symbol) == 2)
        };
        is_symbol && settable(entry.symbol) && !self.user[entry.symbol as usize].is_set()
    }

    /// Whether it is called new: before 6.9 only what can be seen.
    fn is_labelled_new(&self, symbol: SymbolId) -> bool {
        let old = self.kconfig.dialect.choice_is_symbol;
        let counts = !old || self.visible(symbol) != 0;
        counts && !self.user[symbol as usize].is_set()
    }

    /// Returns whether that changes its value.
    fn set_tristate(&mut self, symbol: SymbolId, value: u8) -> bool {
        self.user[symbol as usize] = User {
            tristate: value,
            ..User::NONE
        };
        self.tristate(symbol) != value
    }

    /// Sets a number or string, if its type and range allow it. Returns whether that is not
    /// what it was set to.
    fn set_text(&mut self, symbol: SymbolId, mut text: Vec<u8>) -> Option<bool> {
        let kind = self.model().symbol(symbol).kind;
        if kind == Type::Hex && !matches!(text.as_slice(), [b'0', b'x' | b'X', ..]) {
            text.splice(..0, *b"0x");
        }
        let spelled = match kind {
            Type::Int => is_int(&text),
            Type::Hex => is_hex(&text),
            _ => true,
        };
        let text = self.add_text(&text);
        if !spelled || !self.is_within_range(symbol, text) {
            return None;
        }
        let old = std::mem::replace(&mut self.user[symbol as usize], User { text, ..User::NONE });
        Some(old.text == NONE || self.text(old.text) != self.text(text))
    }

    /// Turns a member on and the other `members` off.
    fn choose_member(&mut self, choice: u32, members: &[SymbolId], chosen: SymbolId) {
        let model = self.model();
        let set = |tristate| User {
            tristate,
            ..User::NONE
        };
        for member in members {
            self.user[*member as usize] = set(if *member == chosen { 2 } else { 0 });
            self.prefer(choice, *member);
        }
        if self.kconfig.dialect.choice_is_symbol {
            self.picked[choice as usize] = chosen;
            self.user[model.choices[choice as usize].symbol as usize] = set(2);
        }
    }
}

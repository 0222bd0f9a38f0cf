//! Modes and results: what `make olddefconfig` and its kin compute.

use super::Kconfig;
use super::config_file;
use super::diagnostic::Diagnostic;
use super::eval::{User, Values};
use super::link::Walk;
use super::memory::Memory;
use super::model::{NONE, NodeKind, PropertyKind, Step, SymbolId, Tristate, Type};
use super::random::{Probability, Rand};
use super::show::Place;

/// How values are found, as `scripts/kconfig/conf` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The inputs' values, defaults for the rest: `olddefconfig`, `savedefconfig`
    /// and `listnewconfig`.
    Olddefconfig,
    /// `oldconfig` and `syncconfig` with nobody to ask: as [`Mode::Olddefconfig`],
    /// but what is asked for gets its default typed in, a hex number with `0x`.
    Oldconfig,
    /// The same from a defconfig file.
    Defconfig,
    /// Defaults, over the inputs as `KCONFIG_ALLCONFIG`.
    Alldefconfig,
    /// `n` wherever possible, over the inputs.
    Allnoconfig,
    /// `y` wherever possible, over the inputs.
    Allyesconfig,
    /// `m`, else `y`, wherever possible, over the inputs.
    Allmodconfig,
    /// Random values by a seed, over the inputs.
    Randconfig {
        /// Equal seeds give equal configurations.
        seed: u32,
        /// How likely y and m are.
        probability: Probability,
    },
    /// Olddefconfig, then every `y` that can be a module becomes one.
    Yes2modconfig,
    /// Olddefconfig, then every `m` becomes `y`.
    Mod2yesconfig,
    /// Olddefconfig, then every `m` becomes `n`.
    Mod2noconfig,
}

/// A configuration file.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Its name, for messages.
    pub name: &'a str,
    /// What it says.
    pub text: &'a [u8],
}

/// What to resolve.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// How.
    pub mode: Mode,
    /// From what; as if they were one file, so later lines win.
    pub inputs: &'a [Input<'a>],
    /// Whether symbols that do not exist are worth a warning.
    pub warn_unknown: bool,
}

/// Every symbol's value for one [`Request`].
#[derive(Clone, Debug)]
pub struct Resolution<'k> {
    pub(super) values: Values<'k>,
    /// Names of the inputs.
    pub(super) inputs: Vec<String>,
    /// Where the lines of an input come from, by input and line, if that was told.
    pub(super) lines: Vec<Vec<Place>>,
    pub(super) diagnostics: Vec<Diagnostic>,
}

impl Kconfig {
    /// Computes every symbol's value.
    pub fn resolve(&self, request: &Request<'_>) -> Resolution<'_> {
        let mut values = Values::new(self);
        let mut diagnostics = Vec::new();
        let reads_config = matches!(
            request.mode,
            Mode::Olddefconfig
                | Mode::Oldconfig
                | Mode::Defconfig
                | Mode::Yes2modconfig
                | Mode::Mod2yesconfig
                | Mode::Mod2noconfig
        );
        if self.dialect.choice_is_symbol && !request.inputs.is_empty() {
            values.mark_choices();
        }
        for (index, input) in request.inputs.iter().enumerate() {
            config_file::read(
                &mut values,
                index as u32,
                input,
                request.warn_unknown,
                &mut diagnostics,
            );
        }
        if reads_config {
            values.evaluate();
            if self.dialect.choice_is_symbol {
                values.discard_misfits();
            }
        }
        match request.mode {
            Mode::Olddefconfig => {}
            Mode::Oldconfig => values.answer_with_defaults(),
            Mode::Defconfig => {
                if self.dialect.choice_is_symbol {
                    values.set_all(None);
                }
                values.evaluate_again();
            }
            Mode::Alldefconfig => {
                values.set_all(None);
                values.evaluate();
            }
            Mode::Allnoconfig => {
                values.set_all(Some(0));
                values.evaluate();
            }
            Mode::Allyesconfig => {
                values.set_all(Some(2));
                values.evaluate();
            }
            Mode::Allmodconfig => {
                values.set_all(Some(1));
                values.evaluate();
            }
            Mode::Randconfig { seed, probability } => {
                values.randomize(&mut Rand::new(seed), probability);
                values.evaluate();
            }
            Mode::Yes2modconfig => values.rewrite(2, 1),
            Mode::Mod2yesconfig => values.rewrite(1, 2),
            Mode::Mod2noconfig => values.rewrite(1, 0),
        }
        Resolution {
            values,
            inputs: request
                .inputs
                .iter()
                .map(|input| input.name.to_owned())
                .collect(),
            lines: Vec::new(),
            diagnostics,
        }
    }
}

impl Values<'_> {
    /// Moves a member to the front of its choice's priorities.
    pub(super) fn prefer(&mut self, choice: u32, member: SymbolId) {
        let model = self.model();
        let order = &mut self.priority[choice as usize];
        if order.is_empty() {
            order.clone_from(&model.choices[choice as usize].members);
        }
        if let Some(position) = order.iter().position(|other| *other == member) {
            order[..=position].rotate_right(1);
        }
    }

    /// Before 6.9, reading a file gives every choice a user value.
    fn mark_choices(&mut self) {
        for choice in &self.model().choices {
            self.user[choice.symbol as usize].tristate = 0;
        }
    }

    /// Before 6.9, user values out of range are dropped after the first evaluation,
    /// but whatever was computed with them stays; choices with a new member
    /// are open again.
    fn discard_misfits(&mut self) {
        let model = self.model();
        let mut dropped = vec![false; model.symbols.len()];
        for (index, entry) in model.symbols.iter().enumerate() {
            let user = self.user[index].text;
            if matches!(entry.kind, Type::Int | Type::Hex)
                && user != NONE
                && !self.is_within_range(index as SymbolId, user)
            {
                self.user[index] = User::NONE;
                dropped[index] = true;
            }
        }
        if dropped.contains(&true) {
            for step in &model.schedule {
                if let Step::Symbol(symbol) = step
                    && dropped[*symbol as usize]
                {
                    self.evaluate_symbol(*symbol);
                }
            }
        }
        self.reopen_choices();
    }

    fn reopen_choices(&mut self) {
        for choice in 0..self.model().choices.len() as u32 {
            self.reopen(choice);
        }
    }

    /// Before 6.9, a choice that is y is open again when it has a visible member that
    /// nobody has set.
    pub(super) fn reopen(&mut self, choice: u32) {
        let choice = &self.model().choices[choice as usize];
        let unset =
            |member: &SymbolId| self.visible(*member) != 0 && !self.user[*member as usize].is_set();
        if self.tristate(choice.symbol) == 2 && choice.members.iter().any(unset) {
            self.user[choice.symbol as usize] = User::NONE;
        }
    }

    /// Gives symbols without a user value the value of an all*config.
    fn set_all(&mut self, value: Option<u8>) {
        let model = self.model();
        let old = self.kconfig.dialect.choice_is_symbol;
        let fill = |user: &mut User, kind: Type, value: u8| {
            if !user.is_set() {
                user.tristate = match (value, kind) {
                    (1, Type::Bool) => 2,
                    (value, _) => value,
                };
            }
        };
        if old {
            for (index, entry) in model.symbols.iter().enumerate().skip(3) {
                let choice = model.is_choice(index as SymbolId);
                match value {
                    Some(value) if entry.kind.is_logical() => {
                        fill(&mut self.user[index], entry.kind, value);
                    }
                    // What the members said counts again, even where it was doubtful.
                    None if choice => {
                        let value = self.choice_value[entry.own_choice as usize];
                        fill(&mut self.user[index], entry.kind, value);
                    }
                    _ => {}
                }
            }
            return;
        }
        let Some(value) = value else {
            return;
        };
        for node in &model.nodes {
            if !matches!(node.kind, NodeKind::Config | NodeKind::Menuconfig) || node.prompt == NONE
            {
                continue;
            }
            let entry = model.symbol(node.symbol);
            if entry.kind.is_logical() && entry.choice == NONE {
                fill(&mut self.user[node.symbol as usize], entry.kind, value);
            }
        }
    }

    fn randomize(&mut self, rand: &mut Rand, probability: Probability) {
        if self.kconfig.dialect.choice_is_symbol {
            self.randomize_old(rand, probability);
            return;
        }
        let model = self.model();
        for node in &model.nodes {
            if node.prompt == NONE {
                continue;
            }
            match node.kind {
                NodeKind::Choice => self.shuffle(model.symbol(node.symbol).own_choice, rand),
                NodeKind::Config | NodeKind::Menuconfig
                    if model.symbol(node.symbol).choice == NONE =>
                {
                    self.randomize_symbol(node.symbol, rand, probability);
                }
                _ => {}
            }
        }
    }

    fn randomize_symbol(&mut self, symbol: SymbolId, rand: &mut Rand, probability: Probability) {
        let kind = self.model().symbol(symbol).kind;
        if !kind.is_logical() || self.user[symbol as usize].is_set() {
            return;
        }
        let number = rand.next() % 100;
        if self.model().is_choice(symbol) {
            // Decided later, by a number of its own.
            return;
        }
        let (yes, module) = match kind {
            Type::Bool => (probability.bool_yes, 0),
            _ => (probability.tristate_yes, probability.tristate_module),
        };
        self.user[symbol as usize].tristate = match number {
            number if number < yes => 2,
            number if number < yes + module => 1,
            _ => 0,
        };
    }

    /// Puts the members nobody has set in a random order behind the others, all y:
    /// the first that can be seen wins.
    fn shuffle(&mut self, choice: u32, rand: &mut Rand) {
        let model = self.model();
        let entry = &model.choices[choice as usize];
        let priority = match &self.priority[choice as usize] {
            order if order.is_empty() => &entry.members,
            order => order,
        };
        let set = |member: &SymbolId| self.user[*member as usize].is_set();
        let mut order: Vec<_> = priority.iter().copied().filter(set).collect();
        let mut pool = entry.entries.clone();
        pool.retain(|member| !set(member));
        for left in (1..=pool.len()).rev() {
            // A member with two entries counts twice, and leaves with both: some draws
            // find nothing, and some members are never drawn.
            let Some(&member) = pool.get(rand.next() as usize % left) else {
                continue;
            };
            pool.retain(|other| *other != member);
            self.user[member as usize].tristate = 2;
            order.push(member);
        }
        self.priority[choice as usize] = order;
    }

    fn randomize_old(&mut self, rand: &mut Rand, probability: Probability) {
        let model = self.model();
        let order = self.kconfig.hash_order();
        for symbol in &order {
            self.randomize_symbol(*symbol, rand, probability);
        }
        // Each choice sees what was worked out for the ones before, not what their
        // picks have changed since. What they bring into view has its turn in the
        // next round.
        let dialect = self.kconfig.dialect;
        let choices: Vec<_> = order
            .into_iter()
            .filter(|symbol| model.is_choice(*symbol))
            .collect();
        let mut any = true;
        while std::mem::take(&mut any) {
            let mut walk = Walk::new(model);
            self.forget();
            walk.visit(model, dialect, Step::Symbol(model.modules), |step| {
                self.step(step);
            });
            for symbol in &choices {
                let choice = model.symbol(*symbol).own_choice;
                let members = &model.choices[choice as usize].members;
                if self.user[*symbol as usize].is_set() || members.is_empty() {
                    continue;
                }
                walk.visit(model, dialect, Step::Symbol(*symbol), |step| {
                    self.step(step)
                });
                if self.tristate(*symbol) != 2 {
                    continue;
                }
                walk.visit(model, dialect, Step::Choice(choice), |step| self.step(step));
                if self.chosen[choice as usize] == NONE {
                    continue;
                }
                let picked = members[rand.next() as usize % members.len()];
                for member in members {
                    self.user[*member as usize].tristate = 2 * u8::from(*member == picked);
                }
                self.picked[choice as usize] = picked;
                self.user[*symbol as usize].tristate = 2;
                walk.reopen(model, choice);
                any = true;
            }
        }
    }

    /// What a question answered by the end of input does: hex numbers get a prefix.
    fn answer_with_defaults(&mut self) {
        let mut changed = false;
        for symbol in self.new_symbols() {
            let text = self.bytes_of(symbol);
            if self.model().symbol(symbol).kind == Type::Hex
                && !matches!(text, [b'0', b'x' | b'X', ..])
            {
                let prefixed = [b"0x", text].concat();
                self.user[symbol as usize].text = self.add_text(&prefixed);
                changed = true;
            }
        }
        if changed {
            self.evaluate();
        }
    }

    /// Evaluates once more, as a file is written then.
    fn evaluate_again(&mut self) {
        Memory::forgotten(self).complete(self);
    }

    /// Before 6.9: whether a choice that can be seen was not to be y. Then the line of the
    /// member that is asked for its value first, and asks the choice in turn, stays as it was.
    pub(super) fn is_left_open(&self, choice: u32) -> bool {
        let entry = &self.model().choices[choice as usize];
        let told = match self.user[entry.symbol as usize].tristate() {
            Some(value) => value,
            None => 2 * u8::from(!entry.optional),
        };
        self.visible(entry.symbol) != 0 && (told == 0 || self.tristate(entry.symbol) == 1)
    }

    /// Replaces user values of effective tristates, then evaluates again.
    fn rewrite(&mut self, from: u8, to: u8) {
        for index in 3..self.user.len() {
            let symbol = index as SymbolId;
            // Before 6.9, those members of a choice that is y can only be y or n.
            let decided = self.kconfig.dialect.choice_is_symbol
                && self.model().choice_of(symbol).is_some()
                && self.visible(symbol) == 2;
            if self.effective(symbol) == Type::Tristate
                && !decided
                && self.user[index].tristate() == Some(from)
            {
                self.user[index].tristate = to;
            }
        }
        self.evaluate_again();
    }
}

/// A symbol's value.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(untagged)]
pub enum Value {
    /// Of a bool or tristate.
    Tristate(Tristate),
    /// Of an int, hex or string, as it is spelled.
    Text(String),
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Tristate(value) => value.fmt(f),
            Value::Text(text) => f.write_str(text),
        }
    }
}

impl Resolution<'_> {
    /// Says where the lines of an input come from, in order; without it they are
    /// called by the input's own name and number.
    pub fn attribute(&mut self, input: usize, lines: Vec<Place>) {
        if self.lines.len() <= input {
            self.lines.resize(input + 1, Vec::new());
        }
        self.lines[input] = lines;
    }

    /// The `.config` file.
    pub fn dot_config(&self) -> Vec<u8> {
        self.values.dot_config()
    }

    /// `include/config/auto.conf`.
    pub fn auto_conf(&self) -> Vec<u8> {
        self.values.auto_conf()
    }

    /// `include/generated/autoconf.h`.
    pub fn autoconf_h(&self) -> Vec<u8> {
        self.values.autoconf_h()
    }

    /// `include/generated/rustc_cfg`.
    pub fn rustc_cfg(&self) -> Vec<u8> {
        self.values.rustc_cfg()
    }

    /// `include/config/auto.conf.cmd`: rules by which make finds `auto_conf`, the
    /// path of `auto.conf`, out of date.
    pub fn auto_conf_cmd(&self, auto_conf: &str) -> Vec<u8> {
        self.values.auto_conf_cmd(auto_conf)
    }

    /// The smallest file that [`Mode::Defconfig`] turns into the same configuration.
    pub fn savedefconfig(&self) -> Vec<u8> {
        if self.values.kconfig.dialect.choice_is_symbol {
            // The kernel's tool drops every value first, and so gets to see the
            // choices that a new member has opened again.
            let mut values = self.values.clone();
            values.evaluate();
            return values.savedefconfig();
        }
        self.values.savedefconfig()
    }

    /// What `listnewconfig` prints: a line for each symbol that could be set and is not.
    pub fn new_symbols(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for symbol in self.values.new_symbols() {
            self.values.push_line(&mut out, symbol, true);
        }
        out
    }

    /// Whether the inputs set exactly what is to be written, and to these values: nothing is
    /// new, dropped or changed.
    pub fn is_as_requested(&self) -> bool {
        let values = &self.values;
        let model = values.model();
        (0..).zip(&model.symbols).skip(3).all(|(symbol, entry)| {
            if entry.first_node == NONE || model.is_choice(symbol) {
                return true;
            }
            let user = values.user[symbol as usize];
            let asked = match user.tristate() {
                Some(value) => values.tristate(symbol) == value,
                None => user.is_set() && values.text(user.text) == values.bytes_of(symbol),
            };
            match values.is_written(symbol) {
                true => asked,
                false => !user.is_set(),
            }
        })
    }

    /// What `helpnewconfig` prints: the help text of each of these.
    pub fn new_symbols_help(&self) -> Vec<u8> {
        self.values.new_symbols_help()
    }

    /// The value of the symbol `name`, without `CONFIG_`; nothing if no such symbol
    /// has a type.
    pub fn value(&self, name: &str) -> Option<Value> {
        let symbol = self.values.kconfig.find(name)?;
        match self.values.model().symbol(symbol).kind {
            Type::Unknown => None,
            Type::Bool | Type::Tristate => Some(Value::Tristate(self.values.value_of(symbol))),
            _ => Some(Value::Text(
                String::from_utf8_lossy(self.values.bytes_of(symbol)).into_owned(),
            )),
        }
    }

    /// Warnings about the inputs, and selects that force a symbol against its dependencies.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// Whether the symbol has a prompt that can be seen.
    pub fn is_visible(&self, name: &str) -> bool {
        let prompted = |symbol: SymbolId| {
            let properties = self.values.model().properties(symbol);
            let prompt = |kind| matches!(kind, PropertyKind::Prompt(_));
            properties.iter().any(|property| prompt(property.kind))
                && self.values.visible(symbol) != 0
        };
        self.values.kconfig.find(name).is_some_and(prompted)
    }
}

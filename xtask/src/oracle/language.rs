//! Random Kconfig files: small, valid, and full of what kernels hardly ever do.
//!
//! Expressions only name symbols defined before them and selects only later ones, so
//! that there is no circle; everything else is left to chance.

use std::fmt::Write as _;

use kernelkit::process::Call;

use crate::Result;
use crate::oracle::mutate::mutate;
use crate::oracle::pair::{Pair, Sides};
use crate::oracle::{Case, Scope};
use crate::random::Random;

const GOALS: &[&str] = &[
    "--olddefconfig",
    "--defconfig=given",
    "--alldefconfig",
    "--allnoconfig",
    "--allyesconfig",
    "--allmodconfig",
    "--randconfig",
    "--savedefconfig=reduced",
    "--listnewconfig",
    "--oldconfig",
    "--yes2modconfig",
    "--mod2yesconfig",
    "--mod2noconfig",
    "--syncconfig",
];

pub(super) fn cases<'a>(scope: &Scope<'a>, cases: &mut Vec<Case<'a>>) -> Result {
    let dialect = scope.target.tree.dialect;
    let path = scope.workspace.environment.path.as_str();
    let files = scope.count(15, 1000);
    for number in 0..files {
        let random = Random::new(scope.seed, &format!("language {dialect} {number}"));
        cases.push(scope.case("language", &number.to_string(), move |pair| {
            let mut random = random.clone();
            let file = Generator::new(&mut random, dialect, false).file();
            run(pair, &mut random, &file, path)
        }));
    }
    Ok(())
}

fn run(pair: &mut Pair<'_>, random: &mut Random, file: &File, path: &str) -> Result {
    let dialect = pair.target.tree.dialect;
    pair.write("Kconfig", file.text.as_bytes())?;
    pair.write("other.kconfig", file.other.as_bytes())?;
    for round in 0..2 {
        let config = file.config(random);
        let config = match round {
            0 => config.into_bytes(),
            _ => mutate(random, config.as_bytes()),
        };
        pair.write("given", &config)?;
        let seed = random.below(10_000).to_string();
        for goal in GOALS {
            pair.write(".config", &config)?;
            match *goal {
                "--syncconfig" => pair.remove("include/config/auto.conf")?,
                _ => pair.write("include/config/auto.conf", b"")?,
            }
            let call = |program: &str| {
                let mut call = Call::new(program, "")
                    .args([*goal, "Kconfig"])
                    .env("PATH", path)
                    .env("KERNELKIT_CONF_DIALECT", dialect)
                    .env("KCONFIG_SEED", &seed);
                if round == 1 {
                    call = call.env("KCONFIG_ALLCONFIG", "given");
                }
                call
            };
            let sides = Sides {
                theirs: call(pair.target.tree.conf.as_str()),
                ours: call(pair.ours()),
            };
            pair.run(&format!("{round} {goal}"), sides)?;
        }
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bool,
    Tristate,
    Int,
    Hex,
    String,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Bool => "bool",
            Kind::Tristate => "tristate",
            Kind::Int => "int",
            Kind::Hex => "hex",
            Kind::String => "string",
        }
    }

    fn is_logical(self) -> bool {
        matches!(self, Kind::Bool | Kind::Tristate)
    }
}

/// A generated tree: the first file and one that it includes.
pub(super) struct File {
    pub(super) text: String,
    pub(super) other: String,
    kinds: Vec<Kind>,
}

impl File {
    /// A configuration for it.
    pub(super) fn config(&self, random: &mut Random) -> String {
        let mut lines = Vec::new();
        for (number, kind) in self.kinds.iter().enumerate() {
            if random.chance(40) {
                continue;
            }
            let value = match kind {
                Kind::Bool => random.pick(&["y", "n", "y"]),
                Kind::Tristate => random.pick(&["y", "m", "m", "n"]),
                Kind::Int => random.pick(&["0", "3", "7", "42", "-1", "1000"]),
                Kind::Hex => random.pick(&["0x0", "0xff", "ff", "0x1000", "0X1f"]),
                Kind::String => random.pick(&["\"\"", "\"text\"", "\"a \\\"b\\\"\"", "\"3\""]),
            };
            lines.push(match (value, random.chance(50)) {
                ("n", true) => format!("# CONFIG_S{number} is not set\n"),
                _ => format!("CONFIG_S{number}={value}\n"),
            });
        }
        if random.chance(70) {
            lines.push(format!(
                "CONFIG_MODULES={}\n",
                random.pick(&["y", "y", "n"])
            ));
        }
        if random.chance(50) {
            random.shuffle(&mut lines);
        }
        lines.concat()
    }
}

pub(super) struct Generator<'a> {
    random: &'a mut Random,
    dialect: &'static str,
    /// Only expressions in which there is nothing to simplify, and only choices whose
    /// members leave each other alone.
    plain: bool,
    kinds: Vec<Kind>,
    /// Members of choices, and transitional symbols.
    members: Vec<usize>,
    /// Number of the next symbol.
    next: usize,
    /// Whether expressions may name y, m and n. A member that needs the one before it
    /// and never anything is a case that conf decides by what it simplifies.
    constants: bool,
    text: String,
}

impl<'a> Generator<'a> {
    pub(super) fn new(random: &'a mut Random, dialect: &'static str, plain: bool) -> Self {
        let count = 8 + random.below(30);
        let kinds = (0..count)
            .map(|_| match random.below(12) {
                0..=4 => Kind::Bool,
                5..=8 => Kind::Tristate,
                9 => Kind::Int,
                10 => Kind::Hex,
                _ => Kind::String,
            })
            .collect();
        Generator {
            random,
            dialect,
            plain,
            kinds,
            members: Vec::new(),
            next: 0,
            constants: true,
            text: String::new(),
        }
    }

    pub(super) fn file(mut self) -> File {
        if self.random.chance(70) {
            self.line("mainmenu \"Random $(shell,echo menu)\"");
        }
        self.line("config MODULES");
        match self.random.below(5) {
            0 => self.line("\tdef_bool y"),
            1 => self.line("\tbool"),
            _ => self.line("\tbool \"modules\""),
        }
        self.line("\tmodules");
        if self.random.chance(50) {
            self.line("\tdefault y");
        }
        let half = self.kinds.len() / 2;
        self.block(0, half);
        let first = std::mem::take(&mut self.text);
        let last = self.kinds.len();
        self.block(0, last);
        let other = std::mem::replace(&mut self.text, first);
        self.line("source \"other.kconfig\"");
        File {
            text: self.text,
            other,
            kinds: self.kinds,
        }
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Statements until symbol `end` is defined.
    fn block(&mut self, depth: usize, end: usize) {
        let budget = if depth == 0 {
            usize::MAX
        } else {
            1 + self.random.below(5)
        };
        let mut statements = 0;
        while self.next < end && statements < budget {
            statements += 1;
            match self.random.below(20) {
                0..=1 if depth < 3 => {
                    let condition = self.expression(2);
                    self.line(&format!("if {condition}"));
                    self.block(depth + 1, end);
                    self.line("endif");
                }
                2..=3 if depth < 3 => self.menu(depth, end),
                4..=6 => self.choice(end),
                7 => {
                    let number = self.random.below(100);
                    self.line(&format!("comment \"note {number}\""));
                    self.depends(30);
                }
                8 if depth == 0 && self.next > 0 => self.again(),
                _ => self.config(depth),
            }
        }
    }

    fn menu(&mut self, depth: usize, end: usize) {
        let number = self.random.below(100);
        self.line(&format!("menu \"Menu {number}\""));
        self.depends(30);
        if self.random.chance(30) {
            let condition = self.expression(1);
            self.line(&format!("\tvisible if {condition}"));
        }
        self.block(depth + 1, end);
        self.line("endmenu");
    }

    fn depends(&mut self, percent: usize) {
        while self.random.chance(percent) {
            let condition = self.expression(2);
            let mut line = format!("\tdepends on {condition}");
            if self.dialect == "7" && self.random.chance(30) {
                let when = self.expression(1);
                let _ = write!(line, " if {when}");
            }
            self.line(&line);
        }
    }

    fn condition(&mut self) -> String {
        match self.random.chance(35) {
            true => format!(" if {}", self.expression(2)),
            false => String::new(),
        }
    }

    /// A choice of up to five of the next symbols.
    fn choice(&mut self, end: usize) {
        let old = self.dialect == "6.1";
        self.line("choice");
        let condition = self.condition();
        match (old, self.random.below(3)) {
            (true, 0) => self.line(&format!("\ttristate \"choice\"{condition}")),
            (true, 1) => self.line(&format!("\tbool \"choice\"{condition}")),
            _ => self.line(&format!("\tprompt \"choice\"{condition}")),
        }
        if old && self.random.chance(25) {
            self.line("\toptional");
        }
        self.depends(25);
        let members = 1 + self.random.below(5);
        let first = self.next;
        let last = (first + members).min(end);
        while self.random.chance(40) {
            let default = first + self.random.below(last - first);
            let condition = self.condition();
            self.line(&format!("\tdefault S{default}{condition}"));
        }
        let tristate = old && self.random.chance(40);
        while self.next < last {
            let number = self.next;
            self.kinds[number] = match tristate && self.random.chance(80) {
                true => Kind::Tristate,
                false => Kind::Bool,
            };
            self.members.push(number);
            self.line(&format!("config S{number}"));
            // Only symbols before the choice: members may not need each other, except
            // that up to 6.1 such a one belongs to the one before it.
            self.next = first;
            let condition = self.condition();
            let word = self.kinds[number].word();
            self.line(&format!("\t{word} \"member {number}\"{condition}"));
            if old && !self.plain && number > first && self.random.chance(20) {
                self.line(&format!("\tdepends on S{}", number - 1));
                self.constants = false;
            }
            self.depends(25);
            self.constants = true;
            self.next = number;
            // A member that selects another one makes a circle.
            if !self.plain {
                self.selects(20, last - number);
            }
            self.next += 1;
        }
        self.line("endchoice");
    }

    /// Another entry of a symbol there is.
    fn again(&mut self) {
        let next = self.next;
        let number = self.random.below(next);
        // A member must not have defaults, a transitional one nothing at all.
        if self.members.contains(&number) {
            return;
        }
        self.line(&format!("config S{number}"));
        self.next = number;
        self.depends(30);
        self.defaults(number, 60);
        self.next = next;
    }

    fn config(&mut self, depth: usize) {
        let number = self.next;
        let kind = self.kinds[number];
        let word = kind.word();
        if self.dialect == "7" && depth == 0 && self.random.chance(5) {
            self.members.push(number);
            self.line(&format!("config S{number}"));
            self.line(&format!("\t{word}"));
            self.line("\ttransitional");
            self.next += 1;
            return;
        }
        let prompt = self.random.chance(70);
        let entry = match prompt && self.random.chance(15) {
            true => "menuconfig",
            false => "config",
        };
        self.line(&format!("{entry} S{number}"));
        let condition = self.condition();
        match prompt {
            true => self.line(&format!("\t{word} \"symbol {number}\"{condition}")),
            false => self.line(&format!("\t{word}")),
        }
        self.depends(35);
        self.defaults(number, 45);
        while matches!(kind, Kind::Int | Kind::Hex) && self.random.chance(50) {
            let low = self.number(kind);
            let high = self.number(kind);
            let condition = self.condition();
            self.line(&format!("\trange {low} {high}{condition}"));
        }
        if kind.is_logical() {
            self.selects(30, 1);
        }
        if self.random.chance(10) {
            self.line("\thelp");
            self.line("\t  Some words about it.");
        }
        self.next += 1;
    }

    fn defaults(&mut self, number: usize, percent: usize) {
        let kind = self.kinds[number];
        while self.random.chance(percent) {
            let value = match kind {
                Kind::Bool | Kind::Tristate => self.expression(2),
                Kind::Int | Kind::Hex => self.number(kind),
                Kind::String => match self.symbol(|kind| kind == Kind::String) {
                    Some(symbol) if self.random.chance(30) => symbol,
                    _ => self
                        .random
                        .pick(&[
                            "\"\"",
                            "\"text\"",
                            "\"a \\\"b\\\" \\\\\"",
                            "'single'",
                            "word",
                        ])
                        .to_owned(),
                },
            };
            let condition = self.condition();
            self.line(&format!("\tdefault {value}{condition}"));
        }
    }

    /// A number, or an earlier symbol that is one.
    fn number(&mut self, kind: Kind) -> String {
        if self.random.chance(25)
            && let Some(symbol) = self.symbol(|other| other == kind)
        {
            return symbol;
        }
        let numbers: &[&str] = match kind {
            Kind::Hex => &["0x0", "0x10", "0xff", "0x1000", "20"],
            _ => &["0", "1", "5", "42", "500", "-10"],
        };
        self.random.pick(numbers).to_owned()
    }

    /// Selects of symbols at least `nearest` after this one.
    fn selects(&mut self, percent: usize, nearest: usize) {
        while self.random.chance(percent) {
            let distance = nearest + self.random.below(8);
            let target = self.next + distance;
            if self.kinds.get(target).is_none_or(|kind| !kind.is_logical()) {
                continue;
            }
            let word = self.random.pick(&["select", "imply"]);
            let condition = self.condition();
            self.line(&format!("\t{word} S{target}{condition}"));
        }
    }

    /// An earlier symbol of a kind.
    fn symbol(&mut self, wanted: impl Fn(Kind) -> bool) -> Option<String> {
        let found: Vec<_> = (0..self.next)
            .filter(|number| wanted(self.kinds[*number]))
            .collect();
        let index = self.random.below(found.len());
        found.get(index).map(|number| format!("S{number}"))
    }

    /// An expression of symbols that are different and before this one.
    fn plain_expression(&mut self) -> String {
        let Some(symbol) = self.symbol(Kind::is_logical) else {
            return "MODULES".to_owned();
        };
        match (self.random.below(8), self.symbol(Kind::is_logical)) {
            (0, _) => format!("!{symbol}"),
            (1..=2, Some(other)) if other != symbol => format!("{symbol} && {other}"),
            (3, Some(other)) if other != symbol => format!("{symbol} || {other}"),
            _ => symbol,
        }
    }

    fn expression(&mut self, depth: usize) -> String {
        if self.plain {
            return self.plain_expression();
        }
        match self.random.below(if depth == 0 { 6 } else { 12 }) {
            0 if self.constants => self
                .random
                .pick(&["y", "m", "n", "UNDEFINED", "MODULES", "m"])
                .to_owned(),
            1 => self.comparison(),
            0 | 2..=5 => self
                .symbol(Kind::is_logical)
                .unwrap_or_else(|| "MODULES".to_owned()),
            6 => format!("!{}", self.atom(depth - 1)),
            7..=9 => format!("{} && {}", self.atom(depth - 1), self.atom(depth - 1)),
            _ => format!("{} || {}", self.atom(depth - 1), self.atom(depth - 1)),
        }
    }

    fn atom(&mut self, depth: usize) -> String {
        let expression = self.expression(depth);
        match expression.contains(' ') {
            true => format!("({expression})"),
            false => expression,
        }
    }

    fn comparison(&mut self) -> String {
        let Some(left) = self.symbol(|_| true) else {
            return "MODULES".to_owned();
        };
        let right = match self.random.below(3) {
            0 => self.symbol(|_| true).unwrap_or_else(|| "n".to_owned()),
            1 => self.random.pick(&["y", "m", "n", "\"y\""]).to_owned(),
            _ => self
                .random
                .pick(&["5", "42", "0x10", "\"text\"", "\"\"", "-3", "\"0xff\""])
                .to_owned(),
        };
        let operator = self.random.pick(&["=", "!=", "=", "<", "<=", ">", ">="]);
        format!("{left} {operator} {right}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_is_closed_and_every_symbol_defined() {
        for (number, dialect) in ["6.1", "6.12", "7"].iter().cycle().take(60).enumerate() {
            let mut random = Random::new(number as u64, "");
            let file = Generator::new(&mut random, dialect, number % 2 == 0).file();
            let text = [file.text.as_str(), &file.other].concat();
            let count = |word: &str| {
                text.lines()
                    .filter(|line| line.split(' ').next() == Some(word))
                    .count()
            };
            for (open, close) in [
                ("if", "endif"),
                ("menu", "endmenu"),
                ("choice", "endchoice"),
            ] {
                assert_eq!(count(open), count(close), "{text}");
            }
            for symbol in 0..file.kinds.len() {
                let defined = text.lines().any(|line| {
                    line.strip_prefix("config ")
                        .or_else(|| line.strip_prefix("menuconfig "))
                        == Some(&format!("S{symbol}"))
                });
                assert!(defined, "S{symbol} in\n{text}");
            }
        }
    }
}

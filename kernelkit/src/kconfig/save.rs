//! The smallest fragment that turns one configuration into another.

use super::Kconfig;
use super::diff::spell;
use super::eval::{User, Values};
use super::fix::Setting;
use super::model::{NONE, NodeKind, Step, SymbolId, Type};
use super::resolve::{Input, Request, Resolution};

/// No fragment over the base gives the configuration.
///
/// A configuration that was resolved on the same tree can be reached from most bases; one
/// that was not, or a base that sets symbols without a prompt by its mode, may be out of reach.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no fragment over this base gives the configuration: {} stay different", symbols.join(", "))]
pub struct Unreachable {
    /// The symbols whose lines stay different, in menu order, without prefix.
    pub symbols: Vec<String>,
}

/// How often lines that are still missing are added. Each round makes at least one symbol right
/// that others depend on, and in practice the first finds them all.
const ROUNDS: usize = 8;

impl Kconfig {
    /// The fewest settings that, read after the inputs of `base`, give the configuration
    /// `wanted`, in menu order. That they do was tried, and so none is left out; none is
    /// superfluous either: without it its own symbol would have another value.
    ///
    /// # Errors
    /// There is no such fragment.
    pub fn fragment(
        &self,
        base: &Request<'_>,
        wanted: &Resolution<'_>,
    ) -> Result<Vec<Setting>, Unreachable> {
        let start = self.resolve(base);
        let mut lines = needed_lines(&start.values, &wanted.values);
        let mut doubtful = needed_members(&start.values, &wanted.values, &mut lines);
        let expected = wanted.dot_config();
        let gives = |lines: &[bool]| {
            let result = self.resolve_over(base, &wanted.settings(lines));
            (result.dot_config() != expected).then_some(result)
        };
        let mut rounds = 0;
        while let Some(result) = gives(&lines) {
            let differing: Vec<SymbolId> = wanted
                .defined()
                .filter(|symbol| {
                    let name = self.name(*symbol);
                    result.line(&name) != wanted.line(&name)
                })
                .collect();
            let missing: Vec<SymbolId> = differing
                .iter()
                .copied()
                .filter(|symbol| is_settable(&wanted.values, *symbol) && !lines[*symbol as usize])
                .collect();
            rounds += 1;
            if missing.is_empty() || rounds > ROUNDS {
                return Err(Unreachable {
                    symbols: differing.iter().map(|symbol| self.name(*symbol)).collect(),
                });
            }
            for symbol in &missing {
                lines[*symbol as usize] = true;
            }
            doubtful.push(missing);
        }
        for group in doubtful {
            for symbol in group {
                lines[symbol as usize] = false;
                if gives(&lines).is_some() {
                    lines[symbol as usize] = true;
                }
            }
        }
        Ok(wanted.settings(&lines))
    }

    /// `base` with a fragment behind its inputs.
    fn resolve_over(&self, base: &Request<'_>, settings: &[Setting]) -> Resolution<'_> {
        let text: String = settings
            .iter()
            .map(|setting| format!("{setting}\n"))
            .collect();
        let mut inputs = base.inputs.to_vec();
        inputs.push(Input {
            name: "fragment",
            text: text.as_bytes(),
        });
        self.resolve(&Request {
            inputs: &inputs,
            ..*base
        })
    }
}

/// Whether a line of a configuration file counts for the symbol.
fn is_settable(values: &Values<'_>, symbol: SymbolId) -> bool {
    let entry = values.model().symbol(symbol);
    !entry.transitional && values.is_written(symbol) && values.visible(symbol) != 0
}

/// For each symbol whether it needs a line, choices aside: whether with the user value of
/// `start` it would not have the value of `wanted`, all else being as in `wanted`.
///
/// That is exact, because what a symbol depends on does not depend on its own user value.
fn needed_lines(start: &Values<'_>, wanted: &Values<'_>) -> Vec<bool> {
    let model = wanted.model();
    let mut trial = wanted.clone();
    let mut lines = vec![false; model.symbols.len()];
    for (symbol, entry) in (0..).zip(&model.symbols).skip(3) {
        if entry.choice != NONE || model.is_choice(symbol) || !is_settable(wanted, symbol) {
            continue;
        }
        let mut user = start.user[symbol as usize];
        if user.text != NONE {
            user.text = trial.add_text(start.text(user.text));
        }
        lines[symbol as usize] = trial.value_with(symbol, user) != wanted.bytes_of(symbol);
    }
    lines
}

/// The same for the members of choices. Returns groups of which some may be superfluous.
fn needed_members(
    start: &Values<'_>,
    wanted: &Values<'_>,
    lines: &mut [bool],
) -> Vec<Vec<SymbolId>> {
    let model = wanted.model();
    let mut doubtful = Vec::new();
    let mut trial = wanted.clone();
    for (index, choice) in (0..).zip(&model.choices) {
        let seen: Vec<SymbolId> = choice
            .members
            .iter()
            .copied()
            .filter(|member| is_settable(wanted, *member))
            .collect();
        if wanted.kconfig.dialect.choice_is_symbol {
            // Its state is the strongest that any member was set to, so what is on says it
            // all, and where nothing is on, that nothing is.
            let on = |member: &SymbolId| wanted.tristate(*member) != 0;
            let any = seen.iter().any(on);
            let group: Vec<SymbolId> = seen
                .into_iter()
                .filter(|member| !any || on(member))
                .collect();
            for member in &group {
                lines[*member as usize] = true;
            }
            doubtful.push(group);
            continue;
        }
        let chosen = wanted.chosen[index as usize];
        for member in &choice.members {
            trial.user[*member as usize] = User {
                text: NONE,
                ..start.user[*member as usize]
            };
        }
        trial.priority[index as usize].clone_from(&start.priority[index as usize]);
        trial.step(Step::Choice(index));
        if chosen != NONE && trial.chosen[index as usize] != chosen {
            lines[chosen as usize] = true;
        }
    }
    doubtful
}

impl Resolution<'_> {
    /// The lines of the marked symbols, in menu order.
    fn settings(&self, lines: &[bool]) -> Vec<Setting> {
        let model = self.values.model();
        let kconfig = self.values.kconfig;
        let mut settings = Vec::new();
        for (index, node) in (0..).zip(&model.nodes) {
            let is_entry = matches!(node.kind, NodeKind::Config | NodeKind::Menuconfig);
            if !is_entry || !lines[node.symbol as usize] || self.shown_at(node.symbol) != index {
                continue;
            }
            let name = kconfig.name(node.symbol);
            let Some(value) = self.value(&name) else {
                continue;
            };
            let kind: Type = model.symbol(node.symbol).kind;
            settings.push(Setting {
                symbol: format!("{}{name}", kconfig.prefix),
                value: spell(kind, &value),
            });
        }
        settings
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{DIALECTS, load, resolve};
    use super::super::{Dialect, Mode};
    use super::*;

    /// Something of everything that a value can come from.
    const TREE: &str = r#"
config MODULES
	bool "modules"
	modules
	default y
config A
	tristate "a"
	default y
	select S if B
config B
	bool "b"
	depends on A
	default y if !C
config C
	bool "c"
config S
	tristate "s"
config I
	tristate "i"
config J
	bool "j"
	imply I
config HIDDEN
	int
	default 4 if B
	default 2
config N
	int "n"
	range 1 HIDDEN
	default 3
config H
	hex "h" if C
	default 0x10 if B
	default 0x20
config T
	string "t"
	default "x" if A = m
	default "y"
choice
	prompt "one of"
	default TWO if C
config ONE
	bool "one"
config TWO
	bool "two"
config THREE
	bool "three"
	depends on B
endchoice
config AFTER
	bool "after"
	default TWO
"#;

    const SYMBOLS: [&str; 14] = [
        "MODULES", "A", "B", "C", "S", "I", "J", "ONE", "TWO", "THREE", "AFTER", "N", "H", "T",
    ];

    fn line() -> impl Strategy<Value = String> {
        (0..SYMBOLS.len(), 0..4u8).prop_map(|(index, value)| {
            let value = match (SYMBOLS[index], value) {
                ("N" | "H", value) => value.to_string(),
                ("T", value) => format!("\"{value}\""),
                (_, 0) => "n".to_owned(),
                (_, 1) => "m".to_owned(),
                _ => "y".to_owned(),
            };
            format!("CONFIG_{}={value}\n", SYMBOLS[index])
        })
    }

    fn file() -> impl Strategy<Value = String> {
        proptest::collection::vec(line(), 0..12).prop_map(|lines| lines.concat())
    }

    fn lines(settings: &[Setting]) -> String {
        let lines: Vec<_> = settings.iter().map(ToString::to_string).collect();
        lines.join("; ")
    }

    fn check(dialect: Dialect, mode: Mode, base: &str, wanted: &str) -> String {
        let kconfig = load(TREE, dialect);
        let wanted = resolve(&kconfig, Mode::Olddefconfig, wanted);
        let wanted = String::from_utf8(wanted.dot_config()).unwrap();
        let wanted = resolve(&kconfig, Mode::Olddefconfig, &wanted);
        let base = Request {
            mode,
            inputs: &[Input {
                name: "base",
                text: base.as_bytes(),
            }],
            warn_unknown: false,
        };
        let settings = kconfig.fragment(&base, &wanted).unwrap();
        let gives = |settings: &[Setting]| kconfig.resolve_over(&base, settings).dot_config();
        assert_eq!(gives(&settings), wanted.dot_config());
        for index in 0..settings.len() {
            let mut fewer = settings.clone();
            let left_out = fewer.remove(index);
            assert_ne!(gives(&fewer), wanted.dot_config(), "{left_out}");
        }
        lines(&settings)
    }

    #[test]
    fn only_what_was_decided_is_saved() {
        let rows = [
            // (base, wanted, fragment)
            ("", "", ""),
            ("CONFIG_C=y", "CONFIG_C=y", ""),
            // B goes with C, HIDDEN with B, the range with HIDDEN.
            ("", "CONFIG_C=y", "CONFIG_C=y"),
            // What is selected needs no line, what is implied neither.
            ("", "CONFIG_J=y", "CONFIG_J=y"),
            (
                "",
                "CONFIG_J=y\nCONFIG_I=n",
                "# CONFIG_I is not set; CONFIG_J=y",
            ),
            ("CONFIG_T=\"z\"", "", "CONFIG_T=\"y\""),
            ("CONFIG_B=n", "", "CONFIG_B=y"),
        ];
        for (base, wanted, fragment) in rows {
            let found = check(Dialect::V7, Mode::Olddefconfig, base, wanted);
            assert_eq!(found, fragment, "{base:?} to {wanted:?}");
        }
    }

    #[test]
    fn one_line_moves_a_choice() {
        for dialect in DIALECTS {
            let rows = [
                ("", "CONFIG_TWO=y", "CONFIG_TWO=y"),
                ("CONFIG_TWO=y", "CONFIG_ONE=y", "CONFIG_ONE=y"),
                ("CONFIG_TWO=y", "CONFIG_TWO=y", ""),
            ];
            for (base, wanted, fragment) in rows {
                let base = format!("{base}\n# CONFIG_AFTER is not set\n");
                let wanted = format!("{wanted}\n# CONFIG_AFTER is not set\n");
                let found = check(dialect, Mode::Olddefconfig, &base, &wanted);
                assert_eq!(found, fragment, "{base:?} to {wanted:?}");
            }
        }
    }

    #[test]
    fn over_allnoconfig_what_is_on_by_default_is_named() {
        let found = check(Dialect::V6_12, Mode::Allnoconfig, "", "");
        assert_eq!(found, "CONFIG_MODULES=y; CONFIG_A=y; CONFIG_B=y");
    }

    proptest! {
        #[test]
        fn every_configuration_has_a_fragment_without_a_line_too_many(
            dialect in 0..3usize,
            mode in 0..4usize,
            base in file(),
            wanted in file(),
        ) {
            let modes = [Mode::Olddefconfig, Mode::Alldefconfig, Mode::Allnoconfig, Mode::Allmodconfig];
            check(DIALECTS[dialect], modes[mode], &base, &wanted);
        }
    }
}

//! Requests that are not honoured, each with its reason in words and its smallest fix.
//!
//! Every fix is applied and resolved again, and every smaller one is tried in vain.

use super::tests::{load, resolve};
use super::*;

struct Situation {
    about: &'static str,
    dialect: Dialect,
    /// Statements, `;` for the ends of their lines. Modules are on unless the input says otherwise.
    kconfig: &'static str,
    /// Lines, likewise.
    input: &'static str,
    /// `NAME=VALUE`.
    ask: &'static str,
    sentence: &'static str,
    /// Lines joined by blanks, without prefix; `~` before the nearest where nothing will do.
    fix: &'static str,
}

const MODULES: &str = "config MODULES\nbool 'm'\nmodules\ndefault y\n";

fn lines(text: &str) -> String {
    text.split(';')
        .map(|line| format!("{}\n", line.trim()))
        .collect()
}

/// Requests of an input: names and values.
fn requests(input: &str) -> Vec<(String, String)> {
    input
        .lines()
        .filter_map(|line| match line.strip_prefix("# CONFIG_") {
            Some(unset) => Some((
                unset.strip_suffix(" is not set")?.to_owned(),
                "n".to_owned(),
            )),
            None => {
                let (name, value) = line.strip_prefix("CONFIG_")?.split_once('=')?;
                Some((name.to_owned(), value.to_owned()))
            }
        })
        .collect()
}

/// Those that hold.
fn held(resolution: &Resolution<'_>, input: &str) -> Vec<(String, String)> {
    let mut held = requests(input);
    held.retain(|(name, wanted)| holds(resolution, name, wanted));
    held
}

fn holds(resolution: &Resolution<'_>, name: &str, wanted: &str) -> bool {
    resolution.check_all(&[(name, wanted)]).is_empty()
}

fn line(name: &str, value: &str) -> String {
    let symbol = format!("CONFIG_{name}");
    let value = value.to_owned();
    format!("{}\n", Setting { symbol, value })
}

/// Whether fewer than `size` settings, none of them of `avoid`, would do without a loss.
fn smaller(
    kconfig: &Kconfig,
    input: &str,
    ask: (&str, &str),
    size: usize,
    avoid: &[&str],
) -> Option<String> {
    let before = resolve(kconfig, Mode::Olddefconfig, input);
    let kept = held(&before, input);
    let mut settings: Vec<String> = Vec::new();
    let mut names: Vec<String> = Vec::new();
    for symbol in 3..kconfig.model.symbols.len() as SymbolId {
        let name = kconfig.name(symbol);
        if name == ask.0 || avoid.contains(&name.as_str()) || names.contains(&name) {
            continue;
        }
        match kconfig.model.symbol(symbol).kind {
            Type::Bool => settings.extend(["n", "y"].map(|value| line(&name, value))),
            Type::Tristate => settings.extend(["n", "m", "y"].map(|value| line(&name, value))),
            _ => {}
        }
        names.push(name);
    }
    let mut sets: Vec<String> = vec![String::new()];
    for _ in 0..size {
        for set in &sets {
            let text = format!("{input}{set}{}", line(ask.0, ask.1));
            let after = resolve(kconfig, Mode::Olddefconfig, &text);
            let keeps = kept
                .iter()
                .filter(|(name, _)| name != ask.0)
                .all(|(name, wanted)| holds(&after, name, wanted));
            if keeps && holds(&after, ask.0, ask.1) && after.unmet().len() <= before.unmet().len() {
                return Some(set.clone());
            }
        }
        sets = sets
            .iter()
            .flat_map(|set| {
                settings
                    .iter()
                    .map(move |setting| format!("{set}{setting}"))
            })
            .collect();
    }
    None
}

fn check(situation: &Situation) {
    let Situation {
        about,
        dialect,
        sentence,
        fix,
        ..
    } = situation;
    let kconfig = load(&format!("{}{MODULES}", lines(situation.kconfig)), *dialect);
    let input = match situation.input {
        "" => String::new(),
        input => lines(input),
    };
    let (name, wanted) = situation.ask.split_once('=').unwrap();
    let resolution = resolve(&kconfig, Mode::Olddefconfig, &input);
    let refusal = resolution
        .check(name, wanted)
        .unwrap_or_else(|| panic!("{about}: it is honoured"));
    let text = match &refusal.fix {
        None => "-".to_owned(),
        Some(fix) => {
            let nearest = if fix.nearest { "~ " } else { "" };
            let settings: Vec<_> = fix.settings.iter().map(Setting::to_string).collect();
            let loses: Vec<_> = fix
                .loses
                .iter()
                .map(|lost| format!(" loses {}={}", lost.symbol, lost.wanted))
                .collect();
            format!("{nearest}{}{}", settings.join(" "), loses.concat()).replace("CONFIG_", "")
        }
    };
    assert_eq!(refusal.sentence, *sentence, "{about}");
    assert_eq!(text, *fix, "{about}");
    let Some(fix) = refusal.fix else { return };
    let added: String = fix
        .settings
        .iter()
        .map(|setting| format!("{setting}\n"))
        .collect();
    let fixed = resolve(&kconfig, Mode::Olddefconfig, &format!("{input}{added}"));
    let asked = fix.settings.last().unwrap();
    let asked = (
        asked.symbol.trim_start_matches("CONFIG_"),
        asked.value.as_str(),
    );
    assert!(holds(&fixed, asked.0, asked.1), "{about}: {added}");
    // What held still holds, or the fix says that it does not.
    for (other, value) in held(&resolution, &input) {
        let lost = fix.loses.iter().any(|lost| lost.symbol == other);
        if other != name {
            assert_eq!(holds(&fixed, &other, &value), !lost, "{about}: {other}");
        }
    }
    assert_eq!(fixed.unmet(), resolution.unmet(), "{about}");
    if fix.loses.is_empty() && !fix.nearest && asked.0 == name {
        let size = fix.settings.len() - 1;
        let found = smaller(&kconfig, &input, asked, size, &["COMPILE_TEST"]);
        assert_eq!(found, None, "{about}: {added}");
    }
}

#[test]
fn every_refusal_has_its_reason_and_its_smallest_fix() {
    for situation in SITUATIONS {
        check(situation);
    }
}

#[test]
fn requests_that_hold_are_not_refused() {
    let kconfig = load(
        "config A\n\tbool \"a\"\nconfig N\n\tint \"n\"\n\tdefault 8\nconfig T\n\tstring \"t\"\n",
        Dialect::V7,
    );
    let input = "CONFIG_A=y\nCONFIG_T=\"a b\"\n";
    let resolution = resolve(&kconfig, Mode::Olddefconfig, input);
    for (name, wanted) in [("A", "y"), ("N", "8"), ("T", "\"a b\"")] {
        assert_eq!(resolution.check(name, wanted), None, "{name}");
    }
}

const SITUATIONS: &[Situation] = &[
    Situation {
        about: "a misspelt name",
        dialect: Dialect::V7,
        kconfig: "config KASAN;bool 'k'",
        input: "CONFIG_KASN=y",
        ask: "KASN=y",
        sentence: "no Kconfig file of this kernel mentions KASN; did you mean KASAN?",
        fix: "-",
    },
    Situation {
        about: "the same words in another order",
        dialect: Dialect::V7,
        kconfig: "config DEBUG_KASAN;bool 'k'",
        input: "",
        ask: "KASAN_DEBUG=y",
        sentence: "no Kconfig file of this kernel mentions KASAN_DEBUG; did you mean DEBUG_KASAN?",
        fix: "-",
    },
    Situation {
        about: "a renamed symbol",
        dialect: Dialect::V7,
        kconfig: "config MITIGATION_RETPOLINE;bool 'r'",
        input: "",
        ask: "RETPOLINE=y",
        sentence: "RETPOLINE is gone by 6.12; MITIGATION_RETPOLINE took its place",
        fix: "-",
    },
    Situation {
        about: "a name that only conditions mention",
        dialect: Dialect::V7,
        kconfig: "config A;bool 'a';depends on ELSEWHERE",
        input: "",
        ask: "ELSEWHERE=y",
        sentence: "ELSEWHERE is mentioned, but not defined for this architecture",
        fix: "-",
    },
    Situation {
        about: "no type",
        dialect: Dialect::V6_12,
        kconfig: "config A;prompt 'a'",
        input: "",
        ask: "A=y",
        sentence: "A is defined without a type, so it has no value",
        fix: "-",
    },
    Situation {
        about: "a module where the symbol is a bool",
        dialect: Dialect::V7,
        kconfig: "config A;bool 'a'",
        input: "CONFIG_A=m",
        ask: "A=m",
        sentence: "A is a bool: it is built in or off, never a module",
        fix: "A=y",
    },
    Situation {
        about: "a word for a number",
        dialect: Dialect::V7,
        kconfig: "config A;int 'a'",
        input: "CONFIG_A=x",
        ask: "A=x",
        sentence: "`x` is no value for A, an integer: decimal digits without leading zeros",
        fix: "-",
    },
    Situation {
        about: "a hexadecimal number for an integer",
        dialect: Dialect::V7,
        kconfig: "config A;int 'a'",
        input: "CONFIG_A=0x10",
        ask: "A=0x10",
        sentence: "`0x10` is no value for A, an integer: decimal digits without leading zeros",
        fix: "A=16",
    },
    Situation {
        about: "a string without quotes",
        dialect: Dialect::V7,
        kconfig: "config A;string 'a'",
        input: "CONFIG_A=x",
        ask: "A=x",
        sentence: "A is a string, and strings stand in double quotes",
        fix: "A=\"x\"",
    },
    Situation {
        about: "a later line",
        dialect: Dialect::V7,
        kconfig: "config A;bool 'a'",
        input: "CONFIG_A=y;# CONFIG_A is not set",
        ask: "A=y",
        sentence: "in:2 sets it to n",
        fix: "A=y",
    },
    Situation {
        about: "nobody asked",
        dialect: Dialect::V7,
        kconfig: "config A;bool 'a'",
        input: "",
        ask: "A=y",
        sentence: "A can be set, but nothing asks for it",
        fix: "A=y",
    },
    Situation {
        about: "a transitional name",
        dialect: Dialect::V7,
        kconfig: "config NEW;bool 'n';default OLD;config OLD;bool;transitional",
        input: "CONFIG_OLD=y",
        ask: "OLD=y",
        sentence: "OLD only hands the value of old configurations on to NEW",
        fix: "NEW=y",
    },
    Situation {
        about: "no prompt, one selector",
        dialect: Dialect::V7,
        kconfig: "config A;bool;config B;bool 'b';select A",
        input: "CONFIG_A=y",
        ask: "A=y",
        sentence: "it has no prompt, so that no configuration can set it; only what selects A turns it on, and none is on: B (Kconfig:5)",
        fix: "B=y",
    },
    Situation {
        about: "no prompt, the selector needs something itself",
        dialect: Dialect::V7,
        kconfig: "config A;bool;config B;bool 'b';depends on C;select A;config C;bool 'c'",
        input: "",
        ask: "A=y",
        sentence: "it has no prompt, so that no configuration can set it; only what selects A turns it on, and none is on: B (Kconfig:6)",
        fix: "C=y B=y",
    },
    Situation {
        about: "no prompt, of two selectors the one at hand",
        dialect: Dialect::V7,
        kconfig: "config A;bool;config B;bool 'b';depends on C;select A;config C;bool 'c';config D;bool 'd';select A",
        input: "",
        ask: "A=y",
        sentence: "it has no prompt, so that no configuration can set it; only what selects A turns it on, and none is on: B (Kconfig:6) and D (Kconfig:11)",
        fix: "D=y",
    },
    Situation {
        about: "no prompt, a default with a condition",
        dialect: Dialect::V7,
        kconfig: "config A;def_bool y;depends on B;config B;bool 'b'",
        input: "",
        ask: "A=y",
        sentence: "it has no prompt, so that no configuration can set it: its default at Kconfig:2 needs `B`",
        fix: "B=y",
    },
    Situation {
        about: "no prompt, on by default",
        dialect: Dialect::V7,
        kconfig: "config A;def_bool y;depends on B;config B;bool 'b'",
        input: "CONFIG_B=y",
        ask: "A=n",
        sentence: "it has no prompt, so that no configuration can set it: it is y by the default at Kconfig:2",
        fix: "# B is not set loses B=y",
    },
    Situation {
        about: "no prompt, nothing sets it",
        dialect: Dialect::V7,
        kconfig: "config A;bool",
        input: "",
        ask: "A=y",
        sentence: "it has no prompt, so that no configuration can set it, and nothing selects it",
        fix: "-",
    },
    Situation {
        about: "no prompt, implied",
        dialect: Dialect::V7,
        kconfig: "config A;bool;config B;bool 'b';imply A",
        input: "",
        ask: "A=y",
        sentence: "it has no prompt, so that no configuration can set it; only what selects A turns it on, and none is on: B (Kconfig:5)",
        fix: "B=y",
    },
    Situation {
        about: "one dependency",
        dialect: Dialect::V7,
        kconfig: "config A;bool 'a';depends on B;config B;bool 'b'",
        input: "CONFIG_A=y",
        ask: "A=y",
        sentence: "its prompt is not visible: it depends on `B` (Kconfig:3), but B is n",
        fix: "B=y A=y",
    },
    Situation {
        about: "one dependency of an old tree",
        dialect: Dialect::OLD,
        kconfig: "config A;bool 'a';depends on B;config B;bool 'b'",
        input: "CONFIG_A=y",
        ask: "A=y",
        sentence: "its prompt is not visible: it depends on `B` (Kconfig:3), but B is n",
        fix: "B=y A=y",
    },
    Situation {
        about: "a chain of dependencies",
        dialect: Dialect::V7,
        kconfig: "config A;bool 'a';depends on B;config B;bool 'b';depends on C;config C;bool 'c'",
        input: "CONFIG_A=y",
        ask: "A=y",
        sentence: "its prompt is not visible: it depends on `B` (Kconfig:3), but B is n",
        fix: "C=y B=y A=y",
    },
    Situation {
        about: "of two ways the shorter",
        dialect: Dialect::V7,
        kconfig: "config A;bool 'a';depends on B || C;config B;bool 'b';depends on D;config C;bool 'c';config D;bool 'd'",
        input: "CONFIG_A=y",
        ask: "A=y",
        sentence: "its prompt is not visible: it depends on `B || C` (Kconfig:3), but B is n and C is n",
        fix: "C=y A=y",
    },
    Situation {
        about: "of two ways the one that costs no request",
        dialect: Dialect::V7,
        kconfig: "config A;bool 'a';depends on B || C;config B;bool 'b';depends on !KEEP;config C;bool 'c';depends on D;config D;bool 'd';config KEEP;bool 'k'",
        input: "CONFIG_KEEP=y",
        ask: "A=y",
        sentence: "its prompt is not visible: it depends on `B || C` (Kconfig:3), but B is n and C is n",
        fix: "D=y C=y A=y",
    },
    Situation {
        about: "a way that costs a request, where there is no other",
        dialect: Dialect::V7,
        kconfig: "config A;bool 'a';depends on !KEEP;config KEEP;bool 'k'",
        input: "CONFIG_A=y;CONFIG_KEEP=y",
        ask: "A=y",
        sentence: "its prompt is not visible: it depends on `!KEEP` (Kconfig:3), but KEEP is y (set at in:2)",
        fix: "# KEEP is not set A=y loses KEEP=y",
    },
    Situation {
        about: "a dependency that is selected for less",
        dialect: Dialect::V7,
        kconfig: "config A;bool 'a';depends on B && C && D;config B;bool 'b';config C;bool 'c';config D;bool 'd';config ALL;bool 'all';select B;select C;select D",
        input: "",
        ask: "A=y",
        sentence: "its prompt is not visible: it depends on `B && C && D` (Kconfig:3), but B is n, C is n and D is n",
        fix: "ALL=y A=y",
    },
    Situation {
        about: "a dependency that has no prompt",
        dialect: Dialect::V7,
        kconfig: "config A;bool 'a';depends on HAVE;config HAVE;bool;config ARCH;bool 'arch';select HAVE",
        input: "CONFIG_A=y",
        ask: "A=y",
        sentence: "its prompt is not visible: it depends on `HAVE` (Kconfig:3), but HAVE is n",
        fix: "ARCH=y A=y",
    },
    Situation {
        about: "a dependency that must be off",
        dialect: Dialect::V7,
        kconfig: "config A;bool 'a';depends on !B;config B;bool 'b';default y",
        input: "CONFIG_A=y",
        ask: "A=y",
        sentence: "its prompt is not visible: it depends on `!B` (Kconfig:3), but B is y (default at Kconfig:6)",
        fix: "# B is not set A=y",
    },
    Situation {
        about: "a dependency that must be off but is selected",
        dialect: Dialect::V7,
        kconfig: "config A;bool 'a';depends on !B;config B;bool 'b';config C;bool 'c';default y;select B",
        input: "CONFIG_A=y",
        ask: "A=y",
        sentence: "its prompt is not visible: it depends on `!B` (Kconfig:3), but B is y (selected by C)",
        fix: "# C is not set A=y",
    },
    Situation {
        about: "a menu that is not visible",
        dialect: Dialect::V7,
        kconfig: "menu 'm';visible if B;config A;bool 'a';endmenu;config B;bool 'b'",
        input: "CONFIG_A=y",
        ask: "A=y",
        sentence: "its prompt is not visible: its menu is visible if `B` (Kconfig:2), but B is n",
        fix: "B=y A=y",
    },
    Situation {
        about: "a prompt behind EXPERT",
        dialect: Dialect::V7,
        kconfig: "config A;bool 'a' if EXPERT;default y;config EXPERT;bool 'expert'",
        input: "# CONFIG_A is not set",
        ask: "A=n",
        sentence: "its prompt is not visible, so it keeps its default y: it needs `EXPERT` (Kconfig:2), but EXPERT is n",
        fix: "EXPERT=y # A is not set",
    },
    Situation {
        about: "an if block and the prompt's own condition",
        dialect: Dialect::V7,
        kconfig: "if B;config A;bool 'a' if C;endif;config B;bool 'b';config C;bool 'c'",
        input: "CONFIG_B=y;CONFIG_A=y",
        ask: "A=y",
        sentence: "its prompt is not visible: it needs `C` (Kconfig:3), but C is n",
        fix: "C=y A=y",
    },
    Situation {
        about: "two entries, of which one would do",
        dialect: Dialect::V7,
        kconfig: "config A;bool 'a';depends on B && C;config A;bool 'a';depends on D;config B;bool 'b';config C;bool 'c';config D;bool 'd'",
        input: "CONFIG_A=y",
        ask: "A=y",
        sentence: "its prompt is not visible: it depends on `B && C` (Kconfig:3), but B is n and C is n",
        fix: "D=y A=y",
    },
    Situation {
        about: "a dependency only under a condition",
        dialect: Dialect::V7,
        kconfig: "config A;bool 'a';depends on B if C;config B;bool 'b';config C;bool 'c';default y",
        input: "CONFIG_A=y",
        ask: "A=y",
        sentence: "its prompt is not visible: it depends on `B || C=n` (Kconfig:3), but B is n and C is y (default at Kconfig:8)",
        fix: "B=y A=y",
    },
    Situation {
        about: "a module request of something behind a bool",
        dialect: Dialect::V7,
        kconfig: "config A;tristate 'a';depends on B;config B;bool 'b'",
        input: "CONFIG_A=m",
        ask: "A=m",
        sentence: "its prompt is not visible: it depends on `B` (Kconfig:3), but B is n",
        fix: "B=y A=m",
    },
    Situation {
        about: "a module at most",
        dialect: Dialect::V7,
        kconfig: "config A;tristate 'a';depends on B;config B;tristate 'b'",
        input: "CONFIG_B=m;CONFIG_A=y",
        ask: "A=y",
        sentence: "it cannot be more than a module: it depends on `B` (Kconfig:3), but B is m (set at in:1)",
        fix: "B=y A=y loses B=m",
    },
    Situation {
        about: "a module at most, and the other stays one",
        dialect: Dialect::V7,
        kconfig: "config A;bool 'a';depends on B=y;config B;tristate 'b'",
        input: "CONFIG_B=m;CONFIG_A=y",
        ask: "A=y",
        sentence: "its prompt is not visible: it depends on `B=y` (Kconfig:3), but B is m (set at in:1)",
        fix: "B=y A=y loses B=m",
    },
    Situation {
        about: "modules are off",
        dialect: Dialect::V7,
        kconfig: "config A;tristate 'a'",
        input: "# CONFIG_MODULES is not set;CONFIG_A=m",
        ask: "A=m",
        sentence: "MODULES is off, and without modules A=m means y",
        fix: "MODULES=y A=m loses MODULES=n",
    },
    Situation {
        about: "modules are off, and a dependency too",
        dialect: Dialect::V7,
        kconfig: "config A;tristate 'a';depends on B;config B;bool 'b'",
        input: "# CONFIG_MODULES is not set",
        ask: "A=m",
        sentence: "its prompt is not visible: it depends on `B` (Kconfig:3), but B is n",
        fix: "B=y MODULES=y A=m loses MODULES=n",
    },
    Situation {
        about: "a prompt only with modules",
        dialect: Dialect::V7,
        kconfig: "config A;bool 'a';depends on m;config B;bool 'b'",
        input: "# CONFIG_MODULES is not set;CONFIG_A=y",
        ask: "A=y",
        sentence: "its prompt is not visible: it depends on `m` (Kconfig:3), but MODULES is n (set at in:1)",
        fix: "MODULES=y A=y loses MODULES=n",
    },
    Situation {
        about: "selected",
        dialect: Dialect::V7,
        kconfig: "config A;bool 'a';config B;bool 'b';select A",
        input: "CONFIG_B=y;# CONFIG_A is not set",
        ask: "A=n",
        sentence: "B (Kconfig:5) selects it",
        fix: "# B is not set # A is not set loses B=y",
    },
    Situation {
        about: "selected built in",
        dialect: Dialect::V7,
        kconfig: "config A;tristate 'a';config B;tristate 'b';select A",
        input: "CONFIG_B=y;CONFIG_A=m",
        ask: "A=m",
        sentence: "B (Kconfig:5) selects it",
        fix: "B=m A=m loses B=y",
    },
    Situation {
        about: "selected, switched off by default for less",
        dialect: Dialect::V7,
        kconfig: "config A;bool 'a';config B;def_bool y;depends on C;select A;config C;bool 'c';default y",
        input: "# CONFIG_A is not set",
        ask: "A=n",
        sentence: "B (Kconfig:6) selects it",
        fix: "# C is not set # A is not set",
    },
    Situation {
        about: "implied, which a user can refuse",
        dialect: Dialect::V7,
        kconfig: "config A;bool 'a';config B;bool 'b';imply A",
        input: "CONFIG_B=y",
        ask: "A=n",
        sentence: "A can be set, but nothing asks for it",
        fix: "# A is not set",
    },
    Situation {
        about: "the choice has another member",
        dialect: Dialect::V7,
        kconfig: "choice;prompt 'c';config ONE;bool '1';config TWO;bool '2';endchoice",
        input: "CONFIG_ONE=y;CONFIG_TWO=y",
        ask: "ONE=y",
        sentence: "only one member of its choice can be on, and that is TWO (set at in:2)",
        fix: "ONE=y loses TWO=y",
    },
    Situation {
        about: "the choice's default",
        dialect: Dialect::V7,
        kconfig: "choice;prompt 'c';config ONE;bool '1';config TWO;bool '2';endchoice",
        input: "",
        ask: "TWO=y",
        sentence: "only one member of its choice can be on, and that is ONE (left to the choice at Kconfig:1)",
        fix: "TWO=y",
    },
    Situation {
        about: "the choice has another member, in an old tree",
        dialect: Dialect::OLD,
        kconfig: "choice;prompt 'c';config ONE;bool '1';config TWO;bool '2';endchoice",
        input: "CONFIG_ONE=y;CONFIG_TWO=y",
        ask: "ONE=y",
        sentence: "only one member of its choice can be on, and that is TWO (set at in:2)",
        fix: "ONE=y loses TWO=y",
    },
    Situation {
        about: "a member that is not visible",
        dialect: Dialect::V7,
        kconfig: "choice;prompt 'c';config ONE;bool '1';config TWO;bool '2';depends on B;endchoice;config B;bool 'b'",
        input: "CONFIG_TWO=y",
        ask: "TWO=y",
        sentence: "its prompt is not visible: it depends on `B` (Kconfig:7), but B is n",
        fix: "B=y TWO=y",
    },
    Situation {
        about: "a member behind the choice's dependency",
        dialect: Dialect::OLD,
        kconfig: "choice;prompt 'c';depends on B;config ONE;bool '1';config TWO;bool '2';endchoice;config B;bool 'b'",
        input: "CONFIG_TWO=y",
        ask: "TWO=y",
        sentence: "its prompt is not visible: it depends on `B` (Kconfig:3), but B is n",
        fix: "B=y TWO=y",
    },
    Situation {
        about: "a choice whose prompt is hidden, in an old tree",
        dialect: Dialect::OLD,
        kconfig: "choice;prompt 'c' if B;config ONE;bool '1';config TWO;bool '2';endchoice;config B;bool 'b'",
        input: "CONFIG_TWO=y",
        ask: "TWO=y",
        sentence: "its prompt is not visible: it needs `B` (Kconfig:2), but B is n",
        fix: "B=y TWO=y",
    },
    Situation {
        about: "one member has to be on",
        dialect: Dialect::V7,
        kconfig: "choice;prompt 'c';config ONE;bool '1';config TWO;bool '2';endchoice",
        input: "# CONFIG_ONE is not set;# CONFIG_TWO is not set",
        ask: "ONE=n",
        sentence: "one member of its choice has to be on, and no other one is asked for",
        fix: "# ONE is not set loses TWO=n",
    },
    Situation {
        about: "a dependency on a member",
        dialect: Dialect::V7,
        kconfig: "config A;bool 'a';depends on TWO;choice;prompt 'c';config ONE;bool '1';config TWO;bool '2';endchoice",
        input: "CONFIG_A=y",
        ask: "A=y",
        sentence: "its prompt is not visible: it depends on `TWO` (Kconfig:3), but TWO is n (left to the choice at Kconfig:4)",
        fix: "TWO=y A=y",
    },
    Situation {
        about: "a choice that is a module",
        dialect: Dialect::OLD,
        kconfig: "choice;tristate 'c';config ONE;tristate '1';config TWO;tristate '2';endchoice",
        input: "CONFIG_ONE=m;CONFIG_TWO=m",
        ask: "ONE=y",
        sentence: "its choice is `m`, so that its members are modules at most",
        fix: "ONE=y loses TWO=m",
    },
    Situation {
        about: "below the range",
        dialect: Dialect::V7,
        kconfig: "config A;int 'a';range 4 64;default 8",
        input: "CONFIG_A=2",
        ask: "A=2",
        sentence: "2 is outside of the range 4 to 64 (Kconfig:3)",
        fix: "~ A=4",
    },
    Situation {
        about: "above the range, which an old tree discards",
        dialect: Dialect::OLD,
        kconfig: "config A;int 'a';range 4 64;default 8",
        input: "CONFIG_A=99",
        ask: "A=99",
        sentence: "99 is outside of the range 4 to 64 (Kconfig:3)",
        fix: "~ A=64",
    },
    Situation {
        about: "a range that another symbol widens",
        dialect: Dialect::V7,
        kconfig: "config A;int 'a';range 1 64 if !BIG;range 1 4096;config BIG;bool 'big'",
        input: "CONFIG_A=1024",
        ask: "A=1024",
        sentence: "1024 is outside of the range 1 to 64 (Kconfig:3)",
        fix: "BIG=y A=1024",
    },
    Situation {
        about: "a bound that another symbol moves",
        dialect: Dialect::V7,
        kconfig: "config A;int 'a';range 2 TOP;config TOP;int;default 8192 if BIG;default 64;config BIG;bool 'big'",
        input: "CONFIG_A=512",
        ask: "A=512",
        sentence: "512 is outside of the range 2 to 64 (Kconfig:3)",
        fix: "BIG=y A=512",
    },
    Situation {
        about: "a number without a visible prompt",
        dialect: Dialect::V7,
        kconfig: "config A;int 'a';depends on B;default 8;config B;bool 'b'",
        input: "CONFIG_A=4",
        ask: "A=4",
        sentence: "its prompt is not visible: it depends on `B` (Kconfig:3), but B is n",
        fix: "B=y A=4",
    },
    Situation {
        about: "a hexadecimal number out of range",
        dialect: Dialect::V7,
        kconfig: "config A;hex 'a';range 0x10 0x20;default 0x10",
        input: "CONFIG_A=0x30",
        ask: "A=0x30",
        sentence: "0x30 is outside of the range 0x10 to 0x20 (Kconfig:3)",
        fix: "~ A=0x20",
    },
    Situation {
        about: "a dependency on a number",
        dialect: Dialect::V7,
        kconfig: "config A;bool 'a';depends on N >= 16;config N;int 'n';default 8",
        input: "CONFIG_A=y",
        ask: "A=y",
        sentence: "its prompt is not visible: it depends on `N>=16` (Kconfig:3), but N is 8 (default at Kconfig:6)",
        fix: "N=16 A=y",
    },
    Situation {
        about: "a dependency on a text",
        dialect: Dialect::V7,
        kconfig: "config A;bool 'a';depends on S = \"x\";config S;string 's'",
        input: "CONFIG_A=y",
        ask: "A=y",
        sentence: "its prompt is not visible: it depends on `S=\"x\"` (Kconfig:3), but S is \"\"",
        fix: "S=\"x\" A=y",
    },
    Situation {
        about: "a dependency that compares bools",
        dialect: Dialect::V7,
        kconfig: "config A;bool 'a';depends on B = C;config B;bool 'b';default y;config C;bool 'c'",
        input: "CONFIG_A=y",
        ask: "A=y",
        sentence: "its prompt is not visible: it depends on `B=C` (Kconfig:3), but B is y (default at Kconfig:6)",
        fix: "C=y A=y",
    },
    Situation {
        about: "the way through COMPILE_TEST is the last",
        dialect: Dialect::V7,
        kconfig: "config A;bool 'a';depends on (B && C) || COMPILE_TEST;config B;bool 'b';config C;bool 'c';config COMPILE_TEST;bool 'ct'",
        input: "CONFIG_A=y",
        ask: "A=y",
        sentence: "its prompt is not visible: it depends on `B && C || COMPILE_TEST` (Kconfig:3), but B is n, C is n and COMPILE_TEST is n",
        fix: "B=y C=y A=y",
    },
    Situation {
        about: "what is set uncovers what blocks",
        dialect: Dialect::V7,
        kconfig: "config A;bool 'a';depends on B && !C;config B;bool 'b';config C;def_bool y;depends on B && D;config D;bool 'd';default y",
        input: "CONFIG_A=y",
        ask: "A=y",
        sentence: "its prompt is not visible: it depends on `B && !C` (Kconfig:3), but B is n",
        fix: "B=y # D is not set A=y",
    },
];

//! Which entries belong together, circles, and what is said of choices: all as the kernel's conf
//! was seen to do it.

use super::*;

const ALL: &[Dialect] = &[Dialect::OLD, Dialect::V6_12, Dialect::V7];
const SYMBOLS: &str = "config MODULES\n\tbool \"m\"\n\tmodules\nconfig A\n\tbool \"a\"\n\
    config B\n\tbool \"b\"\nconfig T\n\ttristate \"t\"\n";

fn node(kconfig: &Kconfig, name: &str) -> NodeId {
    kconfig.model.symbol(kconfig.find(name).unwrap()).first_node
}

/// Whether `MEMBER`, asked for under a condition, is shown below `HOLDER` before it.
fn belongs(holder: &str, condition: &str, dialect: Dialect) -> bool {
    let text = format!(
        "{SYMBOLS}config HOLDER\n\t{holder}\nconfig MEMBER\n\ttristate \"member\" if {condition}\n"
    );
    let kconfig = load(&text, dialect);
    let menus = kconfig.model.menus(dialect);
    menus.around[node(&kconfig, "MEMBER") as usize] == node(&kconfig, "HOLDER")
}

#[test]
fn an_entry_belongs_to_the_one_that_its_simplified_condition_needs() {
    // The holder has a condition of its own, so that only needing it counts.
    let tristate = "tristate \"holder\" if A != B";
    let bool = "bool \"holder\" if A != B";
    for (holder, condition, old, new) in [
        (tristate, "HOLDER", true, true),
        (tristate, "HOLDER || HOLDER", true, true),
        (tristate, "(A && HOLDER) || (HOLDER && A)", true, true),
        (tristate, "!!HOLDER", true, true),
        (tristate, "!(HOLDER=n)", true, true),
        (tristate, "!(!HOLDER || !A)", true, true),
        (tristate, "HOLDER=y || HOLDER=m", true, true),
        (tristate, "(HOLDER=y || HOLDER=n) && HOLDER", true, true),
        (tristate, "HOLDER || (n && n)", true, true),
        (tristate, "(HOLDER || n) && (A || A)", true, true),
        (bool, "HOLDER || (A && A && !!n)", true, true),
        // Constants alone go from 6.9 on.
        (tristate, "HOLDER || n", false, true),
        (tristate, "HOLDER || (A && n)", false, true),
        // Nothing is taken out of brackets.
        (tristate, "(HOLDER && A) || (HOLDER && B)", false, false),
        (tristate, "HOLDER || (HOLDER && A)", false, false),
        (tristate, "(A || HOLDER) && (A || HOLDER)", false, false),
        (tristate, "y=HOLDER", false, false),
        (tristate, "HOLDER || !HOLDER", false, false),
        (bool, "HOLDER || !HOLDER", false, false),
    ] {
        for dialect in ALL {
            let expected = if dialect.choice_is_symbol { old } else { new };
            let found = belongs(holder, condition, *dialect);
            assert_eq!(found, expected, "{holder}: {condition}, {dialect:?}");
        }
    }
}

#[test]
fn an_entry_that_mentions_one_with_fewer_needs_belongs_to_it() {
    for (holder, condition, before, since) in [
        ("tristate \"holder\"", "A || HOLDER", true, true),
        ("tristate \"holder\" if B", "A || HOLDER", false, false),
        ("tristate \"holder\" if B", "B && (A || HOLDER)", true, true),
        // From 7.3 on not below what it avoids, unless it needs it all the same.
        ("tristate \"holder\"", "A || !HOLDER", true, false),
        ("tristate \"holder\"", "A || HOLDER!=m", true, false),
        (
            "tristate \"holder\"",
            "HOLDER && (A || !HOLDER)",
            true,
            true,
        ),
        // This is neither, and that is the same as needing it.
        ("tristate \"holder\"", "A", false, false),
        ("tristate \"holder\"", "HOLDER!=m && HOLDER!=n", true, true),
    ] {
        for dialect in ALL {
            let expected = if dialect.negations_end_submenus {
                since
            } else {
                before
            };
            let found = belongs(holder, condition, *dialect);
            assert_eq!(found, expected, "{holder}: {condition}, {dialect:?}");
        }
    }
}

#[test]
fn what_nobody_is_asked_for_needs_nothing() {
    // It is not shown itself: what belongs to it is shown below what it belongs to.
    let text = format!(
        "{SYMBOLS}config HOLDER\n\tdef_bool y\n\tdepends on T\n\
         config MEMBER\n\tbool \"member\" if A || HOLDER\n"
    );
    for dialect in ALL {
        let kconfig = load(&text, *dialect);
        let menus = kconfig.model.menus(*dialect);
        assert_eq!(
            menus.around[node(&kconfig, "MEMBER") as usize],
            node(&kconfig, "T")
        );
    }
}

#[test]
fn conditions_that_are_nested_without_end_are_left_alone() {
    for depth in [40, 5_000] {
        let nested = "(A || (HOLDER && ".repeat(depth) + "A" + &"))".repeat(depth);
        // The same twice, which a comparison in both directions would never find out.
        let twice = format!("({nested}) && B && ({nested})");
        assert!(!belongs("bool \"holder\" if B", &nested, Dialect::V7));
        assert_eq!(
            belongs("bool \"holder\" if B", &twice, Dialect::V7),
            depth == 40
        );
    }
}

/// What is said of a tree that does not load, or of one that does.
fn said(text: &str, dialect: Dialect) -> Vec<String> {
    let texts =
        |diagnostics: &[Diagnostic]| diagnostics.iter().map(Diagnostic::to_string).collect();
    match try_load(&[("Kconfig", text.as_bytes())], dialect) {
        Ok(kconfig) => texts(kconfig.diagnostics()),
        Err(Error::Invalid { diagnostics }) => texts(&diagnostics),
        Err(Error::RecursiveDependency { circles }) => {
            let link = |link: &CircleLink| format!("{}:{}: {}", link.file, link.line, link.text);
            circles.concat().iter().map(link).collect()
        }
        Err(error) => vec![error.to_string()],
    }
}

#[test]
fn a_circle_through_a_choice_names_it_and_its_member() {
    let member = "choice\n\tprompt \"c\"\nconfig A\n\tbool \"a\"\nconfig B\n\tbool \"b\"\n\
        config C\n\tbool \"c\"\n\tdepends on A\nendchoice\n";
    let outside = "choice\n\tprompt \"c\"\n\tdepends on X\nconfig A\n\tbool \"a\"\n\
        config B\n\tbool \"b\"\nendchoice\nconfig X\n\tbool \"x\"\n\tdepends on B\n";
    assert_eq!(
        said(member, Dialect::OLD),
        [
            "Kconfig:1: choice <choice> contains symbol C",
            "Kconfig:7: symbol C is part of choice A",
            "Kconfig:3: symbol A is part of choice <choice>",
        ]
    );
    assert_eq!(
        said(outside, Dialect::OLD),
        [
            "Kconfig:1: choice <choice> contains symbol X",
            "Kconfig:9: symbol X depends on B",
            "Kconfig:6: symbol B is part of choice <choice>",
        ]
    );
    for dialect in [Dialect::V6_12, Dialect::V7] {
        assert_eq!(
            said(member, dialect),
            [
                "Kconfig:1: symbol <choice> unknown is visible depending on C",
                "Kconfig:7: symbol C prompt is visible depending on A",
                "Kconfig:3: symbol A is part of choice block at Kconfig:1",
            ]
        );
        assert_eq!(
            said(outside, dialect),
            [
                "Kconfig:1: symbol <choice> prompt is visible depending on X",
                "Kconfig:9: symbol X depends on B",
                "Kconfig:6: symbol B is part of choice block at Kconfig:1",
            ]
        );
    }
}

#[test]
fn members_that_are_no_members_are_told() {
    let outside = "choice\n\tprompt \"c\"\nconfig A\n\tbool \"a\"\nconfig A\n\tbool \"again\"\n\
        config B\n\tbool \"b\"\n\tdefault y\nendchoice\nconfig A\n\tbool \"outside\"\n";
    assert_eq!(
        said(outside, Dialect::OLD),
        [
            "Kconfig:12:warning: choice value used outside its choice group",
            "Kconfig:9:warning: defaults for choice values not supported",
        ]
    );
    assert_eq!(
        said(outside, Dialect::V6_12),
        [
            "Kconfig:12: error: choice value has a prompt outside its choice group",
            "Kconfig:12: error: choice value has a prompt outside its choice group",
            "Kconfig:9: error: defaults for choice values not supported",
        ]
    );
    let another = "error: choice value must not have a prompt in another entry";
    assert_eq!(
        said(outside, Dialect::V7),
        [
            format!("Kconfig:6: {another}"),
            format!("Kconfig:12: {another}"),
            format!("Kconfig:4: {another}"),
            format!("Kconfig:12: {another}"),
            "Kconfig:9: error: defaults for choice values not supported".to_owned(),
        ]
    );
    // What is wrong in a statement comes first, and alone.
    let kinds = "choice\n\tprompt \"c\"\nconfig A\n\tstring \"a\"\n\tdefault \"a\"\n\
        config B\n\tbool \"b\"\nconfig C\n\tint\n\tdefault 3\nendchoice\n";
    for dialect in [Dialect::V6_12, Dialect::V7] {
        assert_eq!(
            said(kinds, dialect),
            [
                "Kconfig:3: error: choice member must be bool",
                "Kconfig:8: error: choice member must have a prompt",
                "Kconfig:8: error: choice member must be bool",
            ]
        );
    }
    assert_eq!(
        said(
            "choice\n\tprompt \"c\"\nconfig A\n\tbool\nif X\nconfig B\n\tprompt \"b\"\nendif\n\
             endchoice\nchoice\nendchoice\n",
            Dialect::OLD
        ),
        [
            "Kconfig:6:warning: config symbol defined without type",
            "Kconfig:3:warning: choice value must have a prompt",
            "Kconfig:10:warning: config symbol defined without type",
            "Kconfig:10:warning: choice must have a prompt",
        ]
    );
}

#[test]
fn warnings_name_the_line_that_they_are_about() {
    let text = "config A\n\tbool \"a\"\n\tprompt \"again\"\nconfig A\n\tdefault y\n\tint\n";
    for dialect in ALL {
        assert_eq!(
            said(text, *dialect),
            [
                "Kconfig:3:warning: prompt redefined",
                "Kconfig:4:warning: ignoring type redefinition of 'A' from 'bool' to 'integer'",
            ]
        );
        assert_eq!(
            said(
                "config A\n\tbool\n\tmodules\nconfig B\n\tbool\n\tmodules\n",
                *dialect
            ),
            [
                "Kconfig:6: error: symbol 'B' redefines option 'modules' already defined by symbol 'A'"
            ]
        );
    }
}

#[test]
fn mod2noconfig_leaves_the_members_of_an_old_choice_that_is_y() {
    // Seen of conf: the choice becomes m, and S4 has not been touched.
    let kconfig = load(
        "config MODULES\n\tbool \"m\"\n\tmodules\nchoice\n\tprompt \"c\" if MODULES\n\tdefault S4\n\
         config S1\n\ttristate \"1\" if !(MODULES && m)\nconfig S2\n\ttristate \"2\"\n\
         config S4\n\ttristate \"4\"\nconfig S5\n\ttristate \"5\"\nendchoice\n",
        Dialect::OLD,
    );
    let input = "CONFIG_S4=m\nCONFIG_MODULES=y\nCONFIG_S1=y\n# CONFIG_S2 is not set\n";
    let resolution = resolve(&kconfig, Mode::Mod2noconfig, input);
    assert_eq!(settings(&resolution), "MODULES=y S1=m S2=n S4=m S5=n");
}

mod ask;
mod hostile;
mod menus;

use std::collections::BTreeMap;

use camino::Utf8Path;
use proptest::prelude::*;

use super::*;

fn try_load(files: &[(&str, &[u8])], dialect: Dialect) -> Result<Kconfig, Error> {
    let reader = |path: &Utf8Path| {
        files
            .iter()
            .find(|(name, _)| *name == path.as_str())
            .map(|(_, text)| text.to_vec())
            .ok_or_else(|| std::io::ErrorKind::NotFound.into())
    };
    let mut probe = |command: &[u8]| -> ProbeResult { Ok(command.to_vec()) };
    let variables = BTreeMap::from([("ARCH".to_owned(), "x86_64".to_owned())]);
    Kconfig::load(&reader, "Kconfig", &mut probe, &variables, dialect)
}

pub(super) fn load(text: &str, dialect: Dialect) -> Kconfig {
    try_load(&[("Kconfig", text.as_bytes())], dialect).unwrap()
}

pub(super) fn resolve<'k>(kconfig: &'k Kconfig, mode: Mode, text: &str) -> Resolution<'k> {
    let inputs = [Input {
        name: "in",
        text: text.as_bytes(),
    }];
    kconfig.resolve(&Request {
        mode,
        inputs: &inputs,
        warn_unknown: false,
    })
}

/// The settings of the resulting `.config`, joined by blanks; `A=n` for "is not set".
fn settings(resolution: &Resolution<'_>) -> String {
    let text = String::from_utf8(resolution.dot_config()).unwrap();
    let lines = text.lines().filter_map(|line| {
        line.strip_prefix("CONFIG_").map(str::to_owned).or_else(|| {
            let name = line
                .strip_prefix("# CONFIG_")?
                .strip_suffix(" is not set")?;
            Some(format!("{name}=n"))
        })
    });
    lines.collect::<Vec<_>>().join(" ")
}

fn check(dialect: Dialect, kconfig: &str, input: &str, expected: &str) {
    let kconfig = load(kconfig, dialect);
    let resolution = resolve(&kconfig, Mode::Olddefconfig, input);
    assert_eq!(settings(&resolution), expected, "{input:?}");
}

const MODULES: &str = "config MODULES\n\tbool \"m\"\n\tmodules\n\tdefault y\n";

#[test]
fn values_follow_dependencies_selects_and_defaults() {
    let rows: &[(&str, &str, &str)] = &[
        ("config A\n\tbool \"a\"\n", "", "MODULES=y A=n"),
        ("config A\n\tbool \"a\"\n", "CONFIG_A=y\n", "MODULES=y A=y"),
        ("config A\n\tbool \"a\"\n", "CONFIG_A=m\n", "MODULES=y A=n"),
        (
            "config A\n\ttristate \"a\"\n",
            "CONFIG_A=m\n",
            "MODULES=y A=m",
        ),
        (
            "config A\n\ttristate \"a\"\n",
            "CONFIG_A=m\n# CONFIG_MODULES is not set\n",
            "MODULES=n A=y",
        ),
        (
            "config A\n\tdef_bool y\n",
            "# CONFIG_A is not set\n",
            "MODULES=y A=y",
        ),
        (
            "config A\n\ttristate \"a\"\nconfig B\n\tbool \"b\"\n\tdepends on A\n",
            "CONFIG_A=m\nCONFIG_B=y\n",
            "MODULES=y A=m B=y",
        ),
        (
            "config A\n\ttristate \"a\"\nconfig B\n\ttristate \"b\"\n\tdepends on A\n",
            "CONFIG_A=m\nCONFIG_B=y\n",
            "MODULES=y A=m B=m",
        ),
        (
            "config A\n\ttristate \"a\"\n\tselect B\nconfig B\n\ttristate\n",
            "CONFIG_A=m\n",
            "MODULES=y A=m B=m",
        ),
        (
            "config A\n\tbool \"a\"\n\timply B\nconfig B\n\tbool \"b\"\n",
            "CONFIG_A=y\n",
            "MODULES=y A=y B=y",
        ),
        (
            "config A\n\tbool \"a\"\n\timply B\nconfig B\n\tbool \"b\"\n",
            "CONFIG_A=y\n# CONFIG_B is not set\n",
            "MODULES=y A=y B=n",
        ),
        (
            "config A\n\tint \"a\"\n\trange 1 9\n\tdefault 5\n",
            "CONFIG_A=12\n",
            "MODULES=y A=9",
        ),
        ("config A\n\tint \"a\"\n", "", "MODULES=y A=0"),
        ("config A\n\thex \"a\"\n", "CONFIG_A=ff\n", "MODULES=y A=ff"),
        (
            "config A\n\tstring \"a\"\n\tdefault \"x\\\"y\"\n",
            "",
            "MODULES=y A=\"x\\\"y\"",
        ),
        (
            "config A\n\tstring \"a\"\n",
            "CONFIG_A=unquoted\n",
            "MODULES=y A=\"\"",
        ),
        (
            "config A\n\tint \"a\"\n\tdefault 10\nconfig B\n\tdef_bool A >= 9\n",
            "",
            "MODULES=y A=10 B=y",
        ),
        (
            "config B\n\tdef_bool UNDEFINED = \"UNDEFINED\"\n",
            "",
            "MODULES=y B=y",
        ),
        (
            "menu \"x\"\n\tvisible if A\nconfig B\n\tbool \"b\"\nendmenu\nconfig A\n\tbool \"a\"\n",
            "CONFIG_B=y\n",
            "MODULES=y A=n",
        ),
        (
            "config A\n\tbool \"a\" if m\n",
            "CONFIG_A=y\n",
            "MODULES=y A=y",
        ),
        (
            "config A\n\ttristate \"a\" if m\n",
            "CONFIG_A=y\n",
            "MODULES=y A=m",
        ),
        (
            "config A\n\tbool \"a\" if m\n",
            "CONFIG_A=y\n# CONFIG_MODULES is not set\n",
            "MODULES=n",
        ),
    ];
    for (kconfig, input, expected) in rows {
        for dialect in [Dialect::V6_12, Dialect::V7] {
            check(dialect, &format!("{MODULES}{kconfig}"), input, expected);
        }
    }
}

#[test]
fn empty_and_misfit_numbers_of_old_trees_are_their_own() {
    check(Dialect::OLD, "config A\n\tint \"a\"\n", "", "A=");
    check(
        Dialect::OLD,
        "config A\n\tint \"a\"\n\trange 1 9\n\tdefault 5\n",
        "CONFIG_A=12\n",
        "A=5",
    );
}

#[test]
fn a_choice_keeps_exactly_one_visible_member() {
    let kconfig = "config D\n\tbool \"d\"\nchoice\n\tprompt \"c\"\n\tdefault B\n\
        config A\n\tbool \"a\"\nconfig B\n\tbool \"b\"\nconfig C\n\tbool \"c\"\n\tdepends on D\nendchoice\n";
    let rows = [
        ("", "D=n A=n B=y"),
        ("CONFIG_A=y\n", "D=n A=y B=n"),
        ("CONFIG_A=y\nCONFIG_B=y\n", "D=n A=n B=y"),
        ("CONFIG_B=y\nCONFIG_A=y\n", "D=n A=y B=n"),
        ("CONFIG_C=y\n", "D=n A=n B=y"),
        ("CONFIG_C=y\nCONFIG_D=y\n", "D=y A=n B=n C=y"),
    ];
    for (input, expected) in rows {
        for dialect in [Dialect::OLD, Dialect::V6_12, Dialect::V7] {
            check(dialect, kconfig, input, expected);
        }
    }
    check(
        Dialect::V6_12,
        kconfig,
        "# CONFIG_B is not set\n",
        "D=n A=y B=n",
    );
    check(
        Dialect::OLD,
        kconfig,
        "# CONFIG_B is not set\n",
        "D=n A=n B=y",
    );
}

#[test]
fn nothing_selects_or_implies_a_member_of_an_old_choice() {
    let choice = "choice\n\tprompt \"c\"\n\ttristate\nconfig A\n\ttristate \"a\"\nconfig B\n\ttristate \"b\"\nendchoice\n";
    for word in ["select", "imply"] {
        let kconfig = format!("{MODULES}{choice}config Q\n\ttristate \"q\"\n\t{word} A\n");
        for (input, expected) in [
            ("CONFIG_B=m\nCONFIG_Q=y\n", "MODULES=y A=n B=m Q=y"),
            ("CONFIG_B=y\nCONFIG_Q=y\n", "MODULES=y A=n B=y Q=y"),
        ] {
            check(Dialect::OLD, &kconfig, input, expected);
        }
        let kconfig = load(&kconfig, Dialect::OLD);
        let resolution = resolve(&kconfig, Mode::Olddefconfig, "CONFIG_B=y\nCONFIG_Q=y\n");
        let saved = String::from_utf8(resolution.savedefconfig()).unwrap();
        assert_eq!(saved, "CONFIG_B=m\nCONFIG_Q=y\n");
    }
}

#[test]
fn nothing_selects_or_implies_a_transitional_symbol() {
    for word in ["select", "imply"] {
        let tree = format!(
            "config D\n\tdef_bool y\n\t{word} S\nconfig S\n\tbool\n\ttransitional\nconfig Z\n\tdef_bool S\n"
        );
        check(Dialect::V7, &tree, "", "D=y");
        check(Dialect::V7, &tree, "CONFIG_S=y\n", "D=y Z=y");
    }
}

/// What the trees' own conf makes of these seeds.
#[test]
fn random_members_are_those_of_conf() {
    let check = |dialect, kconfig: &str, rows: &[(u32, &str)]| {
        let kconfig = load(kconfig, dialect);
        for (seed, expected) in rows {
            let mode = Mode::Randconfig {
                seed: *seed,
                probability: Probability::default(),
            };
            let chosen = settings(&kconfig.resolve(&Request {
                mode,
                inputs: &[],
                warn_unknown: false,
            }));
            let mut chosen = chosen.split(' ').filter(|line| line.ends_with("=y"));
            assert_eq!(chosen.next(), Some(*expected), "seed {seed}");
        }
    };
    let choice = |members: &[&str]| {
        let entries: String = members
            .iter()
            .enumerate()
            .map(|(index, member)| {
                format!(
                    "config {}\n\tbool \"{index}\"\n\tdepends on {}\n",
                    &member[..1],
                    if member.len() > 1 { 'n' } else { 'y' }
                )
            })
            .collect();
        format!("choice\n\tprompt \"c\"\n{entries}endchoice\n")
    };
    // A choice without a member to pick takes no number.
    let blind = choice(&["D", "E", "F", "G"]) + &choice(&["A-", "B-", "C-"]);
    check(
        Dialect::OLD,
        &blind,
        &[(1, "E=y"), (2, "G=y"), (3, "D=y"), (4, "E=y")],
    );
    // A member with two entries: the second is never reached, but was counted.
    check(
        Dialect::V6_12,
        &choice(&["A", "B-", "B-", "C", "D", "E"]),
        &[(4, "E=y"), (5, "A=y"), (6, "C=y")],
    );
}

#[test]
fn a_choice_may_have_a_default_that_is_no_member() {
    let tree = |first: &str| {
        format!(
            "{first}choice\n\tprompt \"c\"\n\tdefault B\nconfig A\n\tbool \"a\"\nconfig C\n\tbool \"c\"\nendchoice\n\
             config B\n\tbool \"b\"\n\tdefault y\n"
        )
    };
    for dialect in DIALECTS {
        check(dialect, &tree(""), "", "A=y C=n B=y");
        let kconfig = load(&tree(""), dialect);
        let warnings: Vec<_> = kconfig
            .diagnostics()
            .iter()
            .map(Diagnostic::to_string)
            .collect();
        assert_eq!(
            warnings,
            ["Kconfig:3:warning: choice default symbol 'B' is not contained in the choice"]
        );
    }
}

#[test]
fn members_that_a_second_evaluation_hides_stay_in_the_file() {
    let kconfig = format!(
        "{MODULES}config T\n\ttristate \"t\"\nchoice\n\tprompt \"c\"\nconfig A\n\tbool \"a\"\n\tdepends on T\n\
         config B\n\tbool \"b\"\n\tdepends on T\nconfig C\n\tbool \"c\"\nendchoice\n"
    );
    for dialect in [Dialect::V6_12, Dialect::V7] {
        let kconfig = load(&kconfig, dialect);
        let resolution = resolve(&kconfig, Mode::Mod2noconfig, "CONFIG_T=m\nCONFIG_C=y\n");
        assert_eq!(settings(&resolution), "MODULES=y T=n B=n C=y");
    }
}

#[test]
fn the_first_member_of_an_old_choice_that_closes_stays_in_the_file() {
    let choice = |head: &str| {
        format!(
            "{MODULES}config P\n\ttristate \"p\"\nchoice\n\ttristate \"c\"{head}\n\
             config A\n\tbool \"a\"\nconfig B\n\tbool \"b\"\nendchoice\n"
        )
    };
    let check = |head: &str, mode, input, expected| {
        let kconfig = load(&choice(head), Dialect::OLD);
        let resolution = resolve(&kconfig, mode, input);
        assert_eq!(settings(&resolution), expected, "{head}");
    };
    // The choice becomes m, where a bool cannot be seen.
    let input = "CONFIG_B=y\n# CONFIG_A is not set\n";
    check("", Mode::Yes2modconfig, input, "MODULES=y P=n A=n");
    check(
        "\n\toptional",
        Mode::Yes2modconfig,
        input,
        "MODULES=y P=n A=n",
    );
    // One that cannot be seen itself leaves nothing behind.
    let input = "CONFIG_P=m\nCONFIG_B=y\n# CONFIG_A is not set\n";
    check(" if P", Mode::Mod2noconfig, input, "MODULES=y P=n");
}

#[test]
fn a_number_without_a_valid_default_needs_an_answer() {
    for (body, expected) in [
        ("int \"a\"\n\tdefault \"x\"", Some("A")),
        ("int \"a\"\n\tdefault 3", None),
        ("hex \"a\"\n\tdefault 0x3", None),
        ("bool \"a\"", None),
        ("int \"a\" if n\n\tdefault \"x\"", None),
    ] {
        let kconfig = load(&format!("config A\n\t{body}\n"), Dialect::V7);
        let resolution = resolve(&kconfig, Mode::Oldconfig, "");
        let mut interview = Interview::new(resolution, Extent::New, true);
        let mut unanswered = None;
        while unanswered.is_none() && interview.is_asking() {
            unanswered = interview.answer(Answer::End).err();
        }
        let symbol = unanswered.map(|unanswered| unanswered.symbol);
        assert_eq!(symbol.as_deref(), expected, "{body}");
    }
}

#[test]
fn a_line_that_is_no_use_still_reassigns() {
    let kconfig = load("config A\n\tbool \"a\"\n", Dialect::V6_12);
    let resolution = resolve(&kconfig, Mode::Olddefconfig, "CONFIG_A=y\nCONFIG_A=x\n");
    let warnings: Vec<_> = resolution
        .diagnostics()
        .iter()
        .map(Diagnostic::to_string)
        .collect();
    assert_eq!(
        warnings,
        [
            "in:2:warning: override: reassigning to symbol A",
            "in:2:warning: symbol value 'x' invalid for A",
        ]
    );
    assert_eq!(settings(&resolution), "A=y");
}

#[test]
fn help_for_what_is_new_shows_old_choices_too() {
    let kconfig =
        "choice\n\tprompt \"c\"\n\thelp\n\t  Of the choice.\nconfig A\n\tbool \"a\"\nendchoice\n";
    for (dialect, expected) in [(Dialect::OLD, true), (Dialect::V6_12, false)] {
        let kconfig = load(kconfig, dialect);
        let resolution = resolve(&kconfig, Mode::Olddefconfig, "");
        let help = String::from_utf8(resolution.new_symbols_help()).unwrap();
        assert_eq!(help.contains("Of the choice."), expected);
        assert_eq!(resolution.new_symbols(), b"CONFIG_A=y\n");
    }
}

#[test]
fn help_for_what_is_new_is_that_of_the_entry_that_is_shown() {
    let kconfig = "config A\n\tbool \"a\" if n\n\thelp\n\t  Elsewhere.\n\n\
        config A\n\tbool \"a\"\n\thelp\n\t  Here.\n";
    for dialect in DIALECTS {
        let kconfig = load(kconfig, dialect);
        let resolution = resolve(&kconfig, Mode::Olddefconfig, "");
        let help = String::from_utf8(resolution.new_symbols_help()).unwrap();
        assert!(help.starts_with("-----\n\nCONFIG_A:\n\nHere.\n"), "{help}");
        assert!(help.ends_with("\n\n\n-----\n"), "{help}");
    }
}

#[test]
fn an_entry_behind_the_one_it_needs_was_no_member() {
    let kconfig = "choice\n\tprompt \"c\"\nconfig A\n\tbool \"a\"\nconfig S\n\tbool \"s\"\n\
        \tdepends on A\nconfig B\n\tbool \"b\"\nendchoice\n";
    check(
        Dialect::OLD,
        kconfig,
        "CONFIG_A=y\nCONFIG_S=y\n",
        "A=y S=y B=n",
    );
}

#[test]
fn transitional_symbols_hand_their_value_on() {
    let kconfig = "config NEW\n\tbool \"new\"\n\tdefault OLD\nconfig OLD\n\tbool\n\ttransitional\n";
    check(Dialect::V7, kconfig, "CONFIG_OLD=y\n", "NEW=y");
    check(
        Dialect::V7,
        kconfig,
        "CONFIG_OLD=y\n# CONFIG_NEW is not set\n",
        "NEW=n",
    );
    let kconfig = load(kconfig, Dialect::V7);
    let resolution = resolve(&kconfig, Mode::Olddefconfig, "CONFIG_OLD=y\n");
    assert_eq!(resolution.new_symbols(), b"");
}

#[test]
fn a_conditional_dependency_counts_only_where_its_condition_holds() {
    let kconfig = format!(
        "{MODULES}config B\n\ttristate \"b\"\nconfig A\n\ttristate \"a\"\n\tdepends on B if B\n\tdefault y\n"
    );
    check(Dialect::V7, &kconfig, "CONFIG_B=m\n", "MODULES=y B=m A=m");
    check(Dialect::V7, &kconfig, "CONFIG_B=y\n", "MODULES=y B=y A=y");
    check(Dialect::V7, &kconfig, "", "MODULES=y B=n A=y");
}

#[test]
fn modes_fill_in_what_inputs_leave_open() {
    let kconfig =
        format!("{MODULES}config A\n\ttristate \"a\"\nconfig B\n\tbool \"b\"\n\tdefault y\n");
    let kconfig = load(&kconfig, Dialect::V6_12);
    let rows = [
        (Mode::Alldefconfig, "", "MODULES=y A=n B=y"),
        (Mode::Allnoconfig, "", "MODULES=n A=n B=n"),
        (Mode::Allnoconfig, "CONFIG_B=y\n", "MODULES=n A=n B=y"),
        (Mode::Allyesconfig, "", "MODULES=y A=y B=y"),
        (Mode::Allmodconfig, "", "MODULES=y A=m B=y"),
        (Mode::Yes2modconfig, "CONFIG_A=y\n", "MODULES=y A=m B=y"),
        (Mode::Mod2yesconfig, "CONFIG_A=m\n", "MODULES=y A=y B=y"),
        (Mode::Mod2noconfig, "CONFIG_A=m\n", "MODULES=y A=n B=y"),
    ];
    for (mode, input, expected) in rows {
        assert_eq!(
            settings(&resolve(&kconfig, mode, input)),
            expected,
            "{mode:?}"
        );
    }
}

#[test]
fn files_have_the_form_of_the_kernels_own() {
    let kconfig = "mainmenu \"Test\"\nmenu \"Outer\"\nconfig A\n\tbool \"a\"\n\tdefault y\nmenu \"Inner\"\n\
        endmenu\nconfig S\n\tstring \"s\"\n\tdefault \"a\\\\b\"\nendmenu\nconfig H\n\thex \"h\"\n\tdefault ff\n\
        comment \"Done\"\n";
    let kconfig = load(kconfig, Dialect::V6_12);
    let resolution = resolve(&kconfig, Mode::Olddefconfig, "");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    assert_eq!(
        text(resolution.dot_config()),
        "#\n# Automatically generated file; DO NOT EDIT.\n# Test\n#\n\n#\n# Outer\n#\nCONFIG_A=y\n\n#\n# Inner\n#\n\
         # end of Inner\n\nCONFIG_S=\"a\\\\b\"\n# end of Outer\n\nCONFIG_H=ff\n\n#\n# Done\n#\n"
    );
    let sorted = |bytes: Vec<u8>| {
        let text = text(bytes);
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.retain(|line| line.contains("CONFIG_"));
        lines.sort();
        lines.join("\n")
    };
    assert_eq!(
        sorted(resolution.auto_conf()),
        "CONFIG_A=y\nCONFIG_H=ff\nCONFIG_S=a\\b"
    );
    assert_eq!(
        sorted(resolution.autoconf_h()),
        "#define CONFIG_A 1\n#define CONFIG_H 0xff\n#define CONFIG_S \"a\\\\b\""
    );
    assert_eq!(
        sorted(resolution.rustc_cfg()),
        "--cfg=CONFIG_A\n--cfg=CONFIG_A=\"y\"\n--cfg=CONFIG_H=\"0xff\"\n--cfg=CONFIG_S=\"a\\\\b\""
    );
    assert_eq!(resolution.savedefconfig(), b"");
}

#[test]
fn errors_name_file_and_line() {
    let check = |text: &str, dialect, expected: &str| {
        let error = try_load(&[("Kconfig", text.as_bytes())], dialect).unwrap_err();
        assert!(format!("{error}").starts_with(expected), "{error}");
        assert!(error.hint().is_some());
    };
    let new = Dialect::V7;
    check("config\n", new, "Kconfig:1: syntax error");
    check(
        "\nif A\n",
        new,
        "Kconfig:2: missing end statement for this 'if' entry",
    );
    check("endmenu\n", new, "Kconfig:1: unexpected 'endmenu'");
    check("source \"none\"\n", new, "Kconfig:1: cannot read `none`");
    check(
        "config A\n\tdepends on (B\n",
        new,
        "Kconfig:2: syntax error: missing ')'",
    );
    check(
        "config A\n\tdepends on B)\n",
        new,
        "Kconfig:2: syntax error: unmatched ')'",
    );
    check("$(error-if,y,stop here)\n", new, "Kconfig:1: stop here");
    check(
        "config A\n\tbool\n\tselect A\n",
        new,
        "Kconfig:1: recursive dependency: symbol A is selected by A",
    );
    check("choice\nendchoice\n", new, "the Kconfig files have errors");
    check(
        "source \"Kconfig\"\n",
        new,
        "Kconfig:1: recursive inclusion of `Kconfig`",
    );
}

#[test]
fn a_second_inclusion_is_an_error_from_seven_on() {
    let files: &[(&str, &[u8])] = &[
        ("Kconfig", b"source \"a\"\nsource \"a\"\n"),
        ("a", b"config A\n\tbool \"a\"\n"),
    ];
    try_load(files, Dialect::V6_12).unwrap();
    let error = try_load(files, Dialect::V7).unwrap_err();
    assert_eq!(error.to_string(), "Kconfig:2: repeated inclusion of a");
}

#[test]
fn an_explanation_names_where_things_come_from() {
    let text = "menu \"Top\"\nconfig A\n\ttristate \"The A\"\n\tdepends on B\n\tdefault y\n\thelp\n\t  About A.\n\n\t    More.\nendmenu\n\
        config B\n\tbool \"b\"\nconfig C\n\tbool \"c\"\n\tselect B\n";
    let kconfig = load(text, Dialect::V6_12);
    let resolution = resolve(&kconfig, Mode::Olddefconfig, "CONFIG_C=y\n");
    let a = resolution.explain("A").unwrap();
    assert_eq!(a.menu, ["Top"]);
    assert_eq!(a.prompt.as_deref(), Some("The A"));
    assert_eq!(a.help.as_deref(), Some("About A.\n\n  More.\n"));
    assert_eq!(a.value, Some(Value::Tristate(Tristate::Y)));
    assert_eq!(a.places[0].to_string(), "Kconfig:2");
    assert_eq!(a.dependencies[0].place.to_string(), "Kconfig:4");
    assert!(matches!(&a.origin, Origin::Default(place) if place.line == 5));
    let b = resolution.explain("B").unwrap();
    assert!(
        matches!(&b.origin, Origin::Selected(by) if by[0].symbol == "C" && by[0].place.line == 15)
    );
    let c = resolution.explain("C").unwrap();
    assert!(matches!(&c.origin, Origin::Input(place) if place.to_string() == "in:1"));
    assert_eq!(resolution.explain("NONE"), None);
}

#[test]
fn a_difference_is_found_across_trees() {
    let old = load(
        "config A\n\tbool \"a\"\nconfig GONE\n\tbool \"g\"\n",
        Dialect::V6_12,
    );
    let new = load(
        "config A\n\tbool \"a\"\n\tdefault y\nmenu \"M\"\nconfig ADDED\n\tbool \"n\"\nendmenu\n",
        Dialect::V7,
    );
    let changes = diff(
        &resolve(&old, Mode::Olddefconfig, ""),
        &resolve(&new, Mode::Olddefconfig, ""),
    );
    let seen: Vec<_> = changes
        .iter()
        .map(|change| {
            (
                change.symbol.as_str(),
                change.in_old_tree,
                change.in_new_tree,
                change.menu.len(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("A", true, true, 0),
            ("ADDED", false, true, 1),
            ("GONE", true, false, 0)
        ]
    );
}

pub(super) const DIALECTS: [Dialect; 3] = [Dialect::OLD, Dialect::V6_12, Dialect::V7];

fn resolves_everything(kconfig: &Kconfig, input: &[u8]) {
    let inputs = [Input {
        name: "in",
        text: input,
    }];
    let random = Mode::Randconfig {
        seed: 7,
        probability: Probability::default(),
    };
    for mode in [
        Mode::Oldconfig,
        Mode::Defconfig,
        Mode::Allmodconfig,
        random,
        Mode::Yes2modconfig,
    ] {
        let resolution = kconfig.resolve(&Request {
            mode,
            inputs: &inputs,
            warn_unknown: true,
        });
        resolution.dot_config();
        resolution.auto_conf();
        resolution.autoconf_h();
        resolution.rustc_cfg();
        resolution.savedefconfig();
        resolution.new_symbols();
        resolution.unmet();
    }
}

/// Texts of a grammar close to the real one, so that most of them parse.
fn kconfig_text() -> impl Strategy<Value = String> {
    let symbol = prop::sample::select(vec!["A", "B", "C", "D", "E", "m", "y", "n", "\"A\"", "8"]);
    let name = prop::sample::select(vec!["A", "B", "C", "D", "E"]);
    let leaf = prop_oneof![
        symbol.clone().prop_map(str::to_owned),
        (
            symbol.clone(),
            prop::sample::select(vec!["=", "!=", "<", ">="]),
            symbol
        )
            .prop_map(|(a, operator, b)| format!("{a}{operator}{b}")),
    ];
    let expr = leaf.prop_recursive(4, 16, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|a| format!("!({a})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("{a} || {b}")),
        ]
    });
    let kind = prop::sample::select(vec!["bool", "tristate", "int", "hex", "string"]);
    let option = prop_oneof![
        expr.clone().prop_map(|e| format!("\tdepends on {e}\n")),
        (expr.clone(), expr.clone()).prop_map(|(a, b)| format!("\tdefault {a} if {b}\n")),
        (name.clone(), expr.clone()).prop_map(|(n, e)| format!("\tselect {n} if {e}\n")),
        name.clone().prop_map(|n| format!("\timply {n}\n")),
        Just("\trange 2 9\n".to_owned()),
        Just("\tmodules\n".to_owned()),
        Just("\thelp\n\t  text\n".to_owned()),
    ];
    let config = (
        name,
        kind,
        prop::bool::ANY,
        prop::collection::vec(option, 0..4),
    )
        .prop_map(|(name, kind, prompt, options)| {
            let prompt = if prompt { " \"p\"" } else { "" };
            format!("config {name}\n\t{kind}{prompt}\n{}", options.concat())
        });
    let block = prop_oneof![
        3 => config.clone(),
        1 => (expr.clone(), prop::collection::vec(config.clone(), 0..3))
            .prop_map(|(e, inner)| format!("if {e}\n{}endif\n", inner.concat())),
        1 => (expr, prop::collection::vec(config.clone(), 0..3))
            .prop_map(|(e, inner)| format!("menu \"m\"\n\tvisible if {e}\n{}endmenu\n", inner.concat())),
        1 => prop::collection::vec(config, 1..4)
            .prop_map(|inner| format!("choice\n\tprompt \"c\"\n\tdefault B\n{}endchoice\n", inner.concat())),
    ];
    prop::collection::vec(block, 1..6).prop_map(|blocks| blocks.concat())
}

fn config_text() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        "CONFIG_[A-E]=(y|m|n|8|0x1f|\"s\")",
        "# CONFIG_[A-E] is not set",
        "[ -~]{0,20}",
    ];
    prop::collection::vec(line, 0..8).prop_map(|lines| lines.join("\n"))
}

/// A tree whose configurations are stable. A choice with a default that is not in it may
/// get no member at all, and another one when that is read again: as in the kernel's conf.
fn lawful(text: &str) -> Option<Kconfig> {
    let kconfig = try_load(&[("Kconfig", text.as_bytes())], Dialect::V6_12).ok()?;
    let stray =
        |diagnostic: &Diagnostic| diagnostic.message.contains("not contained in the choice");
    (!kconfig.diagnostics().iter().any(stray)).then_some(kconfig)
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(text in prop::collection::vec(any::<u8>(), 0..200), input in prop::collection::vec(any::<u8>(), 0..100)) {
        for dialect in DIALECTS {
            if let Ok(kconfig) = try_load(&[("Kconfig", &text)], dialect) {
                resolves_everything(&kconfig, &input);
            }
        }
    }

    #[test]
    fn arbitrary_statements_never_panic(text in "((config|menuconfig|if|endif|menu|endmenu|choice|endchoice|default|depends on|bool|help|source|prompt|\\$\\(|\\)|A|B|=|:=|&&|\"x\"|\t|\n| )){0,60}") {
        for dialect in DIALECTS {
            if let Ok(kconfig) = try_load(&[("Kconfig", text.as_bytes())], dialect) {
                resolves_everything(&kconfig, b"CONFIG_A=y\n");
            }
        }
    }

    #[test]
    fn plausible_trees_resolve_and_explain(text in kconfig_text(), input in config_text(), wanted in "[nmy8]") {
        for dialect in DIALECTS {
            let Ok(kconfig) = try_load(&[("Kconfig", text.as_bytes())], dialect) else {
                continue;
            };
            resolves_everything(&kconfig, input.as_bytes());
            let resolution = resolve(&kconfig, Mode::Olddefconfig, &input);
            for symbol in ["A", "B", "C", "D", "E"] {
                resolution.explain(symbol);
                resolution.check(symbol, &wanted);
            }
        }
    }

    #[test]
    fn resolving_a_result_changes_nothing(text in kconfig_text(), input in config_text()) {
        let Some(kconfig) = lawful(&text) else {
            return Ok(());
        };
        let first = resolve(&kconfig, Mode::Olddefconfig, &input).dot_config();
        let text = String::from_utf8(first.clone()).unwrap();
        prop_assert_eq!(resolve(&kconfig, Mode::Olddefconfig, &text).dot_config(), first);
    }

    #[test]
    fn a_saved_defconfig_makes_the_same_configuration(text in kconfig_text(), input in config_text()) {
        let Some(kconfig) = lawful(&text) else {
            return Ok(());
        };
        let full = resolve(&kconfig, Mode::Olddefconfig, &input);
        let saved = String::from_utf8(full.savedefconfig()).unwrap();
        let again = resolve(&kconfig, Mode::Defconfig, &saved);
        prop_assert_eq!(settings(&again), settings(&full));
    }
}

//! Conversations, row by row as the kernel's conf was seen to hold them.

use proptest::prelude::*;

use super::super::{Answer, Dialect, Extent, Interview, Mode, Resolution};
use super::{DIALECTS, config_text, kconfig_text, load, resolve, settings, try_load};

const MODULES: &str = "config MODULES\n\tdef_bool y\n\tmodules\n";
const BOTH: &str = "config A\n\tbool \"a\"\nconfig B\n\tbool \"b\"\n";
const NUMBERS: &str = "config S\n\tstring \"s\"\n\tdefault \"x y\"\n\
    config I\n\tint \"i\"\n\trange 1 9\n\tdefault 4\nconfig H\n\thex \"h\"\n\tdefault 20\n";
const CHOICE: &str = "choice\n\tprompt \"c\"\n\tdefault B\nconfig A\n\tbool \"a\"\nconfig B\n\tbool \"b\"\n\
    endchoice\nconfig Z\n\tbool \"z\"\n";
const MENUS: &str = "mainmenu \"Top\"\nconfig A\n\tbool \"a\"\nmenu \"M\"\ncomment \"c\"\nconfig B\n\tbool \"b\"\n\
    config C\n\tbool \"c\"\n\tdepends on B\nmenu \"N\"\nconfig D\n\tbool \"d\"\nendmenu\nendmenu\n\
    menuconfig G\n\tbool \"g\"\nconfig H\n\tbool \"h\"\n\tdepends on G\n";
/// A choice that may be off or a module, before 6.9.
const OPTIONAL: &str = "choice\n\tprompt \"c\"\n\toptional\nconfig A\n\ttristate \"a\"\nconfig B\n\ttristate \"b\"\n\
    endchoice\n";

/// Feeds the answers, then the end of input.
fn hold<'k>(
    resolution: Resolution<'k>,
    extent: Extent,
    answers: &[&str],
) -> (String, Resolution<'k>) {
    let mut interview = Interview::new(resolution, extent, true);
    let mut answers = answers.iter();
    let mut rounds = 0;
    while interview.is_asking() {
        let answer = answers.next().map(|text| Answer::Line(text.as_bytes()));
        if let Err(error) = interview.answer(answer.unwrap_or(Answer::End)) {
            let text = String::from_utf8(interview.take_output()).unwrap();
            return (
                format!("{text}!{}", error.symbol),
                interview.into_resolution(),
            );
        }
        rounds += 1;
        assert!(rounds < 1000, "it asks for ever");
    }
    let text = String::from_utf8(interview.take_output()).unwrap();
    (text, interview.into_resolution())
}

/// What is said, without stars, a line each; and the configuration it leads to.
fn check(
    dialect: Dialect,
    extent: Extent,
    tree: &str,
    config: &str,
    answers: &[&str],
    expected: &[&str],
    values: &str,
) {
    let kconfig = load(tree, dialect);
    let (text, resolution) = hold(
        resolve(&kconfig, Mode::Olddefconfig, config),
        extent,
        answers,
    );
    let lines: Vec<&str> = text.lines().filter(|line| line.trim() != "*").collect();
    assert_eq!(lines, expected, "{dialect:?} {answers:?}");
    assert_eq!(settings(&resolution), values, "{answers:?}");
}

fn check_new(tree: &str, config: &str, answers: &[&str], expected: &[&str], values: &str) {
    for dialect in DIALECTS {
        check(
            dialect,
            Extent::New,
            tree,
            config,
            answers,
            expected,
            values,
        );
    }
}

const START: [&str; 2] = ["* Restart config...", "* Main menu"];

#[test]
fn only_what_is_new_is_asked_and_its_menu_is_shown() {
    check_new(
        BOTH,
        "CONFIG_A=y\n# CONFIG_B is not set\n",
        &[],
        &[],
        "A=y B=n",
    );
    let lines = [&START[..], &["a (A) [Y/n/?] y", "b (B) [N/y/?] (NEW) y"]].concat();
    check_new(BOTH, "CONFIG_A=y\n", &["y"], &lines, "A=y B=y");
    let known = "CONFIG_A=y\nCONFIG_B=y\nCONFIG_C=y\nCONFIG_D=y\nCONFIG_G=y\n";
    let lines = [
        "* Restart config...",
        "* g",
        "g (G) [Y/n/?] y",
        "  h (H) [N/y/?] (NEW) n",
    ];
    check_new(MENUS, known, &["n"], &lines, "A=y B=y C=y D=y G=y H=n");
    // The menu M around what is new is not shown, for it has nothing new itself.
    let known = "CONFIG_B=y\nCONFIG_C=n\nCONFIG_G=n\n";
    let lines = [
        "* Restart config...",
        "* Top",
        "a (A) [N/y/?] (NEW) n",
        "* N",
        "d (D) [N/y/?] (NEW) y",
    ];
    check_new(MENUS, known, &["n", "y"], &lines, "A=n B=y C=n D=y G=n");
}

#[test]
fn what_an_answer_brings_up_is_asked_too() {
    let known = "CONFIG_A=n\nCONFIG_D=n\nCONFIG_G=n\n";
    let lines = [
        "* Restart config...",
        "* M",
        "* c",
        "b (B) [N/y/?] (NEW) y",
        "  c (C) [N/y/?] (NEW) y",
    ];
    check_new(MENUS, known, &["y", "y"], &lines, "A=n B=y C=y D=n G=n");
    // What stands before it has its turn in another round.
    let tree = "config A\n\tbool \"a\"\n\tdepends on B\nconfig B\n\tbool \"b\"\n";
    let lines = [
        &START[..],
        &["b (B) [N/y/?] (NEW) y"],
        &START[..],
        &["a (A) [N/y/?] (NEW) n", "b (B) [Y/n/?] y"],
    ];
    check_new(tree, "", &["y", "n"], &lines.concat(), "A=n B=y");
}

#[test]
fn everything_is_asked_once() {
    let lines = ["* Main menu", "a (A) [Y/n/?] n", "b (B) [N/y/?] "];
    for dialect in DIALECTS {
        let config = "CONFIG_A=y\nCONFIG_B=n\n";
        check(
            dialect,
            Extent::All,
            BOTH,
            config,
            &["n", ""],
            &lines,
            "A=n B=n",
        );
    }
}

#[test]
fn answers_of_a_bool() {
    for (answer, value) in [
        ("y", "y"),
        ("Y", "y"),
        ("yes", "y"),
        ("Yes", "y"),
        (" y\t", "y"),
        ("y\r", "y"),
        ("n", "n"),
        ("No", "n"),
        ("", "n"),
        ("  ", "n"),
    ] {
        let line = format!("a (A) [N/y/?] (NEW) {answer}");
        let lines = [&START[..], &[line.trim_end_matches('\r')]].concat();
        let tree = "config A\n\tbool \"a\"\n";
        check_new(tree, "", &[answer], &lines, &format!("A={value}"));
    }
    for refused in ["YES", "NO", "yy", "nx", "1", "help", "-"] {
        let again = format!("a (A) [N/y/?] (NEW) {refused}");
        let lines = [&START[..], &[&again, "a (A) [N/y/?] (NEW) y"]].concat();
        check_new(
            "config A\n\tbool \"a\"\n",
            "",
            &[refused, "y"],
            &lines,
            "A=y",
        );
    }
}

#[test]
fn what_cannot_be_is_not_offered() {
    let tree = format!(
        "{MODULES}config X\n\ttristate \"x\"\n\tselect S\nconfig S\n\ttristate \"s\"\n\
         config L\n\ttristate\n\tdefault m\nconfig T\n\ttristate \"t\"\n\tdepends on L\n"
    );
    let lines = [
        &START[..],
        &[
            "x (X) [M/n/y/?] m",
            "s (S) [M/y/?] (NEW) y",
            "t (T) [N/m/?] (NEW) m",
        ],
    ];
    let values = "MODULES=y X=m S=y L=m T=m";
    check_new(&tree, "CONFIG_X=m\n", &["y", "m"], &lines.concat(), values);
    let lines = [
        &START[..],
        &[
            "x (X) [Y/n/m/?] y",
            "s (S) [Y/?] (NEW) y",
            "t (T) [N/m/?] (NEW) ",
        ],
    ];
    check_new(
        &tree,
        "CONFIG_X=y\n",
        &[""],
        &lines.concat(),
        "MODULES=y X=y S=y L=m T=n",
    );
}

#[test]
fn numbers_and_strings_are_taken_as_they_are_typed() {
    let lines = [
        &START[..],
        &[
            "s (S) [x y] (NEW)  z ",
            "i (I) [4] (NEW) 0",
            "i (I) [4] (NEW) 05",
            "i (I) [4] (NEW)  5",
            "i (I) [4] (NEW) 5",
            "h (H) [20] (NEW) 0xg",
            "h (H) [20] (NEW) ff",
        ],
    ];
    let answers = [" z ", "0", "05", " 5", "5", "0xg", "ff"];
    check_new(
        NUMBERS,
        "",
        &answers,
        &lines.concat(),
        "S=\" z \" I=5 H=0xff",
    );
    let lines = [
        &START[..],
        &[
            "s (S) [x y] (NEW) ",
            "i (I) [4] (NEW) ",
            "h (H) [20] (NEW) ",
        ],
    ];
    check_new(NUMBERS, "", &[], &lines.concat(), "S=\"x y\" I=4 H=0x20");
}

#[test]
fn a_member_is_chosen_by_its_number() {
    let list = ["c", "  1. a (A) (NEW)", "> 2. b (B) (NEW)"];
    for (answer, values) in [
        ("1", "A=y B=n Z=n"),
        ("", "A=n B=y Z=n"),
        (" 01x", "A=y B=n Z=n"),
        ("2 3", "A=n B=y Z=n"),
        ("4294967297", "A=y B=n Z=n"),
    ] {
        let answered = format!("choice[1-2?]: {answer}");
        let lines = [&START[..], &list, &[&answered, "z (Z) [N/y/?] (NEW) "]].concat();
        check_new(CHOICE, "", &[answer, ""], &lines, values);
    }
    for refused in ["0", "3", "x", "-1", "+1", "y", "99999999999"] {
        let again = format!("choice[1-2?]: {refused}");
        let last = ["choice[1-2?]: 1", "z (Z) [N/y/?] (NEW) "];
        let lines = [&START[..], &list, &[&again], &list, &last].concat();
        check_new(CHOICE, "", &[refused, "1", ""], &lines, "A=y B=n Z=n");
    }
    // One that is known is shown only, and so is the only one.
    let known = "CONFIG_A=y\nCONFIG_B=n\n";
    let list = [
        "c",
        "> 1. a (A)",
        "  2. b (B)",
        "choice[1-2?]: 1",
        "z (Z) [N/y/?] (NEW) y",
    ];
    check_new(
        CHOICE,
        known,
        &["y"],
        &[&START[..], &list].concat(),
        "A=y B=n Z=y",
    );
    let tree = "choice\n\tprompt \"c\"\nconfig A\n\tbool \"a\"\nendchoice\n";
    let list = ["c", "> 1. a (A) (NEW)", "choice[1]: 1"];
    check_new(tree, "", &[], &[&START[..], &list].concat(), "A=y");
}

#[test]
fn the_members_that_were_not_chosen_are_known_and_off() {
    let tree = "choice\n\tprompt \"c\"\n\tdefault C\nconfig A\n\tbool \"a\"\n\tdepends on !Q\n\
        config B\n\tbool \"b\"\nconfig C\n\tbool \"c\"\nendchoice\nconfig Q\n\tbool \"q\"\n";
    let list = [
        "c",
        "  1. a (A) (NEW)",
        "  2. b (B) (NEW)",
        "> 3. c (C) (NEW)",
        "choice[1-3?]: 1",
        "q (Q) [N/y/?] (NEW) y",
    ];
    let lines = [&START[..], &list].concat();
    for (dialect, values) in [
        (Dialect::OLD, "B=n C=y Q=y"),
        (Dialect::V6_12, "B=y C=n Q=y"),
        (Dialect::V7, "B=y C=n Q=y"),
    ] {
        check(dialect, Extent::New, tree, "", &["1", "y"], &lines, values);
    }
}

#[test]
fn a_choice_was_asked_for_its_own_value_first() {
    let tree = format!("{MODULES}{OPTIONAL}");
    let rows: [(&[&str], &[&str], &str); 3] = [
        (&["n"], &["c [N/m/y/?] (NEW) n"], "MODULES=y"),
        (
            &["m", "m", "n"],
            &[
                "c [N/m/y/?] (NEW) m",
                "  a (A) [N/m/?] (NEW) m",
                "  b (B) [N/m/?] (NEW) n",
            ],
            "MODULES=y A=m B=n",
        ),
        (
            &["y", "2"],
            &[
                "c [N/m/y/?] (NEW) y",
                "c",
                "> 1. a (A) (NEW)",
                "  2. b (B) (NEW)",
                "choice[1-2?]: 2",
            ],
            "MODULES=y A=n B=y",
        ),
    ];
    for (answers, said, values) in rows {
        let kconfig = load(&tree, Dialect::OLD);
        let fresh = kconfig.resolve(&super::super::Request {
            mode: Mode::Olddefconfig,
            inputs: &[],
            warn_unknown: false,
        });
        let (text, resolution) = hold(fresh, Extent::New, answers);
        let lines: Vec<&str> = text.lines().filter(|line| line.trim() != "*").collect();
        assert_eq!(lines, [&START[..], said].concat());
        assert_eq!(settings(&resolution), values);
    }
}

#[test]
fn help_tells_what_is_asked_about() {
    let tree = "menu \"M\"\nconfig A\n\tbool \"a\"\nconfig B\n\tbool \"b\" if A\n\thelp\n\t  Some\n\t    help.\n\n\
        endmenu\n";
    let kconfig = load(tree, Dialect::V7);
    let resolution = resolve(&kconfig, Mode::Olddefconfig, "CONFIG_A=y\n");
    let (text, _) = hold(resolution, Extent::New, &["?", "y"]);
    let expected = "*\n* Restart config...\n*\n*\n* M\n*\na (A) [Y/n/?] y\n  b (B) [N/y/?] (NEW) ?\n\n\
        CONFIG_B:\n\nSome\n  help.\n\nSymbol: B [=n]\nType  : bool\nDefined at Kconfig:4\n  Prompt: b\n  \
        Visible if: A [=y]\n  Location:\n    -> M\n      -> a (A [=y])\n        -> b (B [=n])\n\n\n\n  \
        b (B) [N/y/?] (NEW) y\n";
    assert_eq!(text, expected);
}

#[test]
fn questions_can_be_asked_in_other_words() {
    let kconfig = load(CHOICE, Dialect::V7);
    let resolution = resolve(&kconfig, Mode::Olddefconfig, "CONFIG_A=n\n");
    let mut interview = Interview::new(resolution, Extent::New, false);
    let question = interview.question().unwrap();
    assert_eq!((question.symbol, question.prompt.as_str()), (None, "c"));
    let members: Vec<_> = question
        .members
        .iter()
        .map(|member| {
            (
                member.symbol.as_str(),
                member.prompt.as_str(),
                member.is_new,
            )
        })
        .collect();
    assert_eq!(members, [("A", "a", false), ("B", "b", true)]);
    assert_eq!(question.default, "2");
    interview.answer(Answer::Line(b"1")).unwrap();
    let question = interview.question().unwrap();
    assert_eq!(question.symbol.as_deref(), Some("Z"));
    assert!(question.is_new && question.allowed.len() == 2);
    interview.answer(Answer::Line(b"y")).unwrap();
    assert_eq!(interview.question(), None);
    assert_eq!(settings(&interview.resolution()), "A=y B=n Z=y");
}

#[test]
fn at_the_end_of_input_a_number_without_a_valid_default_is_an_error() {
    let tree = "config A\n\tint \"a\"\n\tdefault \"x\"\n";
    for dialect in DIALECTS {
        let kconfig = load(tree, dialect);
        let resolution = resolve(&kconfig, Mode::Olddefconfig, "");
        let (text, _) = hold(resolution, Extent::New, &["", "9z"]);
        assert!(
            text.ends_with("a (A) [x] (NEW) \na (A) [x] (NEW) 9z\na (A) [x] (NEW) \n!A"),
            "{text}"
        );
    }
}

#[test]
fn a_line_that_was_cut_off_counts_as_far_as_it_goes() {
    let rows = [
        // A number or string loses its last character.
        ("config A\n\tstring \"a\"\n", "xy", "A=\"x\""),
        ("config A\n\tint \"a\"\n", "55", "A=5"),
        ("config A\n\tbool \"a\"\n", "yes", "A=y"),
    ];
    for (tree, rest, values) in rows {
        let kconfig = load(tree, Dialect::V7);
        let resolution = resolve(&kconfig, Mode::Olddefconfig, "");
        let mut interview = Interview::new(resolution, Extent::New, true);
        interview.answer(Answer::Rest(rest.as_bytes())).unwrap();
        assert!(!interview.is_asking());
        assert_eq!(settings(&interview.resolution()), values);
    }
}

/// Talks about everything in a tree of 6.1, and returns what is said about its choice "c".
#[track_caller]
fn check_old(tree: &str, config: &str, answers: &[&str], said: &str, values: &str) {
    let kconfig = load(tree, Dialect::OLD);
    let resolution = resolve(&kconfig, Mode::Olddefconfig, config);
    let (text, resolution) = hold(resolution, Extent::All, answers);
    let line = text
        .lines()
        .map(str::trim)
        .find(|line| line.starts_with("c ["));
    assert_eq!(
        (line.unwrap_or(""), settings(&resolution).as_str()),
        (said, values)
    );
}

/// An old choice that may be off, then `rest`.
fn optional(condition: &str, rest: &str) -> String {
    format!(
        "choice\n\tbool \"c\"{condition}\n\toptional\nconfig A\n\tbool \"a\"\n\
         config B\n\tbool \"b\"\nendchoice\n{rest}"
    )
}

#[test]
fn an_old_choice_is_open_again_when_somebody_looks_at_it() {
    // B is new. As soon as that is seen the choice is, too, and after the next change it is off.
    let tree = |middle: &str| format!("config P\n\tbool \"p\"\n{middle}{}", optional(" if P", ""));
    let config = "# CONFIG_P is not set\n# CONFIG_Q is not set\nCONFIG_A=y\n";
    let free = tree("config Q\n\tbool \"q\"\n");
    let answers = ["y", "y"];
    check_old(
        &free,
        config,
        &answers,
        "c [Y/n/?] (NEW)",
        "P=y Q=y A=y B=n",
    );
    let looking = tree("config Q\n\tbool \"q\" if A\n");
    check_old(&looking, config, &answers, "c [N/y/?] (NEW)", "P=y");
}

#[test]
fn a_string_that_stays_the_same_changes_nothing() {
    let tree = format!("config S\n\tstring \"s\"\n{}", optional("", ""));
    for (config, said, values) in [
        (
            "CONFIG_S=\"x\"\nCONFIG_A=y\n",
            "c [Y/n/?] (NEW)",
            "S=\"x\" A=y B=n",
        ),
        ("CONFIG_A=y\n", "c [N/y/?] (NEW)", "S=\"\""),
    ] {
        check_old(&tree, config, &[], said, values);
    }
}

#[test]
fn the_member_that_asked_for_a_choice_that_closed_stays_in_the_file_once() {
    let tree = |rest: &str| format!("config S\n\tstring \"s\"\n{}", optional("", rest));
    let string = |name: &str| format!("config {name}\n\tstring \"{name}\"\n");
    let after = |name: &str, needs: &str| format!("config {name}\n\tbool \"{name}\"\n\t{needs}\n");
    let config = "CONFIG_A=y\n";
    let said = "c [N/y/?] (NEW)";
    let rows = [
        // The choice itself is looked at first.
        (String::new(), "S=\"\""),
        (
            string("T") + &after("D", "depends on A"),
            "S=\"\" A=n T=\"\"",
        ),
        (
            string("T") + &after("D", "depends on B"),
            "S=\"\" B=n T=\"\"",
        ),
        (
            string("T") + &after("D", "depends on A") + &string("U") + &after("E", "depends on A"),
            "S=\"\" T=\"\" U=\"\"",
        ),
        // Before, somebody looked at A in vain, or did not.
        (
            after("D", "default A") + &string("T") + &after("E", "depends on A"),
            "S=\"\" D=n T=\"\"",
        ),
        (
            after("D", "default y\n\tdefault A") + &string("T") + &after("E", "depends on A"),
            "S=\"\" A=n D=y T=\"\"",
        ),
        // Prompts come before dependencies, and these before selects.
        (
            string("T") + "config D\n\tbool\n\tdepends on B\nconfig D\n\tbool \"d\" if A\n",
            "S=\"\" A=n T=\"\"",
        ),
    ];
    for (rest, values) in rows {
        check_old(&tree(&rest), config, &[], said, values);
    }
    // What is answered about the choice itself leaves nothing behind.
    let config = "CONFIG_A=y\n# CONFIG_B is not set\n";
    check_old(&optional("", ""), config, &["n"], "c [Y/n/?] n", "");
}

#[test]
fn members_behind_the_chosen_one_stay_as_they_were_seen() {
    // From 6.9 on a choice looks for the member that was set to y and no further.
    let p = "config P\n\tbool \"p\"\n";
    let choice =
        "choice\n\tprompt \"c\"\nconfig A\n\tbool \"a\" if P\nconfig B\n\tbool \"b\"\nendchoice\n";
    let config = "CONFIG_P=y\n# CONFIG_A is not set\nCONFIG_B=y\n";
    let list = ["c", "  1. a (A)", "> 2. b (B)", "choice[1-2?]: "];
    let (start, question) = ("* Main menu", "p (P) [Y/n/?] n");
    for dialect in [Dialect::V6_12, Dialect::V7] {
        let said = [&[start, question], &list[..]].concat();
        let tree = format!("{p}{choice}");
        check(
            dialect,
            Extent::All,
            &tree,
            config,
            &["n"],
            &said,
            "P=n A=n B=y",
        );
        // The search for what is new looks at A first.
        let said = [&[start], &list[..], &[question]].concat();
        let tree = format!("{choice}{p}");
        check(
            dialect,
            Extent::All,
            &tree,
            config,
            &["", "n"],
            &said,
            "B=y P=n",
        );
    }
}

#[test]
fn an_old_choice_whose_members_contradict_each_other_is_asked_for() {
    let tree =
        "choice\n\tbool \"c\"\nconfig A\n\tbool \"a\"\nconfig B\n\ttristate \"b\"\nendchoice\n";
    let said = [
        &START[..],
        &["c", "> 1. a (A)", "  2. b (B)", "choice[1-2?]: 2"],
    ]
    .concat();
    let config = "CONFIG_A=y\nCONFIG_B=m\n";
    check(
        Dialect::OLD,
        Extent::New,
        tree,
        config,
        &["2"],
        &said,
        "A=n B=y",
    );
}

#[test]
fn a_number_out_of_range_is_new_where_it_is_not_seen_either() {
    let tree = "config P\n\tbool \"p\"\nconfig I\n\tint \"i\" if P\n\trange 5 6\n";
    let config = "# CONFIG_P is not set\nCONFIG_I=1000\n";
    let said = ["* Main menu", "p (P) [N/y/?] y", "  i (I) [5] (NEW) 6"];
    check(
        Dialect::OLD,
        Extent::All,
        tree,
        config,
        &["y", "6"],
        &said,
        "P=y I=6",
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Whatever the tree, the input and the answers, it ends.
    #[test]
    fn every_conversation_about_any_tree_ends(
        text in kconfig_text(),
        optional in any::<bool>(),
        config in config_text(),
        all in any::<bool>(),
        answers in proptest::collection::vec("[ynm1-4? ]{0,2}", 0..12),
    ) {
        let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
        let extent = if all { Extent::All } else { Extent::New };
        for dialect in DIALECTS {
            let text = match optional && dialect == Dialect::OLD {
                true => text.replace("prompt \"c\"\n", "prompt \"c\"\n\toptional\n"),
                false => text.clone(),
            };
            if let Ok(kconfig) = try_load(&[("Kconfig", text.as_bytes())], dialect) {
                hold(resolve(&kconfig, Mode::Olddefconfig, &config), extent, &answers);
            }
        }
    }
}

proptest! {
    /// Whatever is answered, it ends, and nothing is left to ask.
    #[test]
    fn every_conversation_ends(
        dialect in 0..3usize,
        all in any::<bool>(),
        answers in proptest::collection::vec("[ynm1-4? ]{0,2}", 0..12),
    ) {
        let tree = format!("{MODULES}{MENUS}").replace("mainmenu \"Top\"\n", "");
        let kconfig = load(&tree, DIALECTS[dialect]);
        let resolution = resolve(&kconfig, Mode::Olddefconfig, "");
        let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
        let extent = if all { Extent::All } else { Extent::New };
        let (_, resolution) = hold(resolution, extent, &answers);
        let again = Interview::new(resolution, Extent::New, true);
        prop_assert!(!again.is_asking());
    }
}

use super::*;
use crate::fragment::{FragmentName, Library, Origin};
use proptest::prelude::*;

fn fragment(name: &str, text: &str) -> Fragment {
    Fragment::parse(name.parse().unwrap(), Origin::Embedded, text)
}

fn merged(files: &[(&str, &str)]) -> Merged {
    let fragments: Vec<_> = files
        .iter()
        .map(|(name, text)| fragment(name, text))
        .collect();
    merge(&fragments)
}

/// The value of `CONFIG_A` with the line that won, and what is reported.
fn check(files: &[(&str, &str)], value: &str, diagnostics: &[&str]) {
    let merged = merged(files);
    let request = merged.get(&"A".parse().unwrap()).unwrap();
    let asked = format!("{} {}", request.asked.value, request.asked.place);
    assert_eq!(asked, value, "{files:?}");
    let reported: Vec<_> = merged
        .diagnostics()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(reported, diagnostics, "{files:?}");
    let mentioned = 1 + request.others.len();
    let lines: usize = files
        .iter()
        .map(|(_, text)| text.matches("CONFIG_A=").count() + text.matches("CONFIG_A is").count())
        .sum();
    assert_eq!(mentioned, lines, "nothing is lost");
}

#[test]
fn the_last_layer_wins_and_the_difference_is_reported() {
    check(
        &[("net/a", "CONFIG_A=1\n"), ("core/a", "\nCONFIG_A=2\n")],
        "1 net/a.config:1",
        &["net/a.config:1: CONFIG_A is 1, which overrides 2 from core/a.config:2"],
    );
    check(
        &[
            ("preset/a", "CONFIG_A=y\n"),
            ("zzz/a", "# CONFIG_A is not set\n"),
        ],
        "n zzz/a.config:1",
        &["zzz/a.config:1: CONFIG_A is n, which overrides y from preset/a.config:1"],
    );
}

#[test]
fn agreement_is_no_conflict_and_the_last_line_answers_for_it() {
    check(
        &[("core/a", "CONFIG_A=y\n"), ("fs/a", "CONFIG_A=y\n")],
        "y fs/a.config:1",
        &[],
    );
}

#[test]
fn built_in_is_not_demoted_to_a_module() {
    check(
        &[("preset/a", "CONFIG_A=y\n"), ("fs/a", "CONFIG_A=m\n")],
        "y preset/a.config:1",
        &["fs/a.config:1: CONFIG_A stays y from preset/a.config:1, m does not demote it"],
    );
    check(
        &[
            ("fs/a", "CONFIG_A=m\n"),
            ("net/a", "# CONFIG_A is not set\n"),
            ("virt/a", "CONFIG_A=m\n"),
        ],
        "m virt/a.config:1",
        &[
            "net/a.config:1: CONFIG_A is n, which overrides m from fs/a.config:1",
            "virt/a.config:1: CONFIG_A is m, which overrides n from net/a.config:1",
        ],
    );
}

#[test]
fn builtin_overrides_module() {
    check(
        &[("builtin/fs/a", "CONFIG_A=y\n"), ("fs/a", "CONFIG_A=m\n")],
        "y builtin/fs/a.config:1",
        &[],
    );
    check(
        &[("builtin/fs/a", "CONFIG_A=m\n"), ("fs/a", "CONFIG_A=y\n")],
        "m builtin/fs/a.config:1",
        &[],
    );
}

#[test]
fn a_request_is_optional_only_if_all_who_make_it_say_so() {
    let strict = "CONFIG_A=y\n";
    let lenient = "# optional: A\n\nCONFIG_A=y\n";
    let rows = [
        (lenient, lenient, true),
        (strict, lenient, false),
        (lenient, strict, false),
        ("# CONFIG_A is not set\n", lenient, true),
    ];
    for (first, second, expected) in rows {
        let merged = merged(&[("core/a", first), ("fs/a", second)]);
        assert_eq!(merged.requests()[0].optional, expected, "{first} {second}");
    }
}

#[test]
fn the_text_is_a_config_file_that_names_its_sources() {
    let merged = merged(&[
        ("core/a", "CONFIG_A=y\nCONFIG_Z=y\n"),
        ("fs/a", "CONFIG_B=\"x \\\"y\\\"\"\nCONFIG_A=y\n"),
        ("net/a", "# CONFIG_C is not set\n"),
    ]);
    insta::assert_snapshot!(merged.to_config_text(), @r#"
    # core/a.config
    CONFIG_Z=y

    # fs/a.config
    CONFIG_B="x \"y\""
    CONFIG_A=y

    # net/a.config
    # CONFIG_C is not set
    "#);
}

#[test]
fn what_the_kernel_dropped_or_added_is_found() {
    let rows = [
        ("CONFIG_A=y", "CONFIG_A=y", None),
        ("CONFIG_A=y", "CONFIG_A=m", Some("should be y, but is m")),
        (
            "CONFIG_A=y",
            "",
            Some("should be y, but is not in the configuration"),
        ),
        ("CONFIG_A=m", "CONFIG_A=m\nCONFIG_MODULES=y", None),
        (
            "CONFIG_A=m",
            "CONFIG_A=y\nCONFIG_MODULES=y",
            Some("should be m, but is y"),
        ),
        (
            "CONFIG_A=m",
            "CONFIG_A=y\n# CONFIG_MODULES is not set",
            None,
        ),
        (
            "CONFIG_A=m",
            "# CONFIG_A is not set",
            Some("should be m, but is n"),
        ),
        ("CONFIG_A=n", "", None),
        ("CONFIG_A=n", "# CONFIG_A is not set", None),
        (
            "# CONFIG_A is not set",
            "CONFIG_A=y",
            Some("should be n, but is y"),
        ),
        ("CONFIG_A=16", "CONFIG_A=16", None),
        ("CONFIG_A=16", "CONFIG_A=8", Some("should be 16, but is 8")),
        (
            "CONFIG_A=\"x\"",
            "CONFIG_A=\"y\"",
            Some("should be \"x\", but is \"y\""),
        ),
        ("CONFIG_A=\"\"", "CONFIG_A=\"\"", None),
    ];
    for (wanted, result, expected) in rows {
        let merged = merged(&[("fs/a", wanted)]);
        let unmet: Vec<_> = verify(&merged, &DotConfig::parse(result).unwrap())
            .iter()
            .map(ToString::to_string)
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|text| format!("fs/a.config:1: CONFIG_A {text}"))
            .collect();
        assert_eq!(unmet, expected, "{wanted} / {result}");
    }
}

/// Fragments of few symbols, so that they meet.
fn fragments() -> impl Strategy<Value = Vec<Fragment>> {
    let names = [
        "preset/a",
        "core/64bit",
        "core/a",
        "fs/a",
        "fs/b",
        "net/a",
        "zzz/a",
        "version/a",
        "builtin/fs/a",
        "builtin/net/a",
    ];
    let line = prop_oneof![
        Just("=y"),
        Just("=m"),
        Just("=n"),
        Just("=3"),
        Just("=\"t\"")
    ];
    let text = proptest::collection::btree_map(0u8..6, line, 0..5).prop_map(|lines| {
        lines
            .iter()
            .map(|(symbol, value)| format!("CONFIG_S{symbol}{value}\n"))
            .collect::<String>()
    });
    proptest::collection::btree_map(proptest::sample::select(names.to_vec()), text, 0..8).prop_map(
        |files| {
            files
                .iter()
                .map(|(name, text)| fragment(name, text))
                .collect()
        },
    )
}

proptest! {
    #[test]
    fn the_order_of_selection_never_matters(
        (fragments, shuffled) in fragments().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle()))
    ) {
        prop_assert_eq!(merge(&fragments), merge(&shuffled));
    }

    #[test]
    fn merging_again_changes_nothing(fragments in fragments()) {
        let once = merge(&fragments);
        prop_assert_eq!(&merge(fragments.iter().chain(&fragments)), &once);
        let text = once.to_config_text();
        let again = merge(&[fragment("core/a", &text)]);
        let values = |merged: &Merged| -> Vec<_> {
            merged.requests().iter().map(|r| (r.symbol.clone(), r.asked.value.clone())).collect()
        };
        prop_assert_eq!(values(&again), values(&once));
        prop_assert_eq!(verify(&once, &DotConfig::parse(&text).unwrap()).iter().filter(|unmet| {
            // Without CONFIG_MODULES in the text, `m` stays `m`, as it was asked for.
            unmet.got.as_ref() != Some(&unmet.wanted.value)
        }).count(), 0);
    }

    #[test]
    fn every_request_names_a_line_that_makes_it(fragments in fragments()) {
        let merged = merge(&fragments);
        for request in merged.requests() {
            for asked in request.others.iter().chain([&request.asked]) {
                let source = fragments.iter().find(|f| *f.name() == asked.place.fragment).unwrap();
                let line = source.text().lines().nth(asked.place.line - 1).unwrap();
                let (symbol, value) = config::parse_line(line).unwrap().unwrap();
                prop_assert_eq!((&symbol, &value), (&request.symbol, &asked.value));
            }
        }
        let asked: usize = merged.requests().iter().map(|request| 1 + request.others.len()).sum();
        let set: usize = fragments.iter().map(|fragment| fragment.settings().len()).sum();
        prop_assert_eq!(asked, set);
    }
}

#[test]
fn names_of_the_library_are_sorted_as_they_merge() {
    let library = Library::embedded();
    let names: Vec<&FragmentName> = library.iter().map(Fragment::name).collect();
    assert!(names.windows(2).all(|pair| pair[0] < pair[1]));
}

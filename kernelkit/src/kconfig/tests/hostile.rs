//! Trees and configurations made to hurt: an error that names file and line, or a
//! result, but no panic, no overflow of the stack, and no time or memory that grows
//! faster than the input.

use super::*;

fn loads(text: &[u8]) -> Result<(), Error> {
    for dialect in DIALECTS {
        let kconfig = try_load(&[("Kconfig", text)], dialect)?;
        resolves_everything(&kconfig, b"CONFIG_S0=y\n");
    }
    Ok(())
}

#[test]
fn nesting_is_an_error_or_costs_no_stack() {
    let refused = |text: String, expected: &str| {
        let error = loads(text.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with("Kconfig:"), "{error}");
        assert!(error.contains(expected), "{error}");
    };
    let blocks =
        |open: &str, close: &str, count| format!("{}{}", open.repeat(count), close.repeat(count));
    refused(blocks("if A\n", "endif\n", 5000), "nested too deeply");
    refused(
        blocks("menu \"m\"\n", "endmenu\n", 5000),
        "nested too deeply",
    );
    refused("$(".repeat(1 << 20), "nested too deeply");
    refused(
        format!("A = {}\n$(A)\n", "$(A)".repeat(1 << 16)),
        "references itself",
    );
    refused(
        format!("f = $(f,$(1)$(1))\nX := $(f,{})\n", "x".repeat(100)),
        "to",
    );
    refused(
        "config A\n\tdepends on ((((\n".to_owned(),
        "expected an expression",
    );
    let expression = |expression: String| {
        let text = format!("config S0\n\tbool \"s\"\n\tdepends on {expression}\n");
        loads(text.as_bytes()).unwrap();
    };
    expression(blocks("(", "y)", 1).replace(
        "y)",
        &format!("{}y{}", "(".repeat(100_000), ")".repeat(100_001)),
    ));
    expression(format!("{}y", "!".repeat(100_001)));
    expression(format!("{}y", "A && ".repeat(100_000)));
    expression(format!("{}y", "A || (B && ".repeat(20_000)) + &")".repeat(20_000));
    loads(
        &[
            blocks("if A\n", "endif\n", 900).as_bytes(),
            b"config S0\n\tbool\n",
        ]
        .concat(),
    )
    .unwrap();
}

#[test]
fn long_chains_and_large_circles_end() {
    let count = 1_000;
    let chain: String = (0..count)
        .map(|number| {
            format!(
                "config S{number}\n\tbool \"s\"\n\tdefault y if S{}\n",
                number + 1
            )
        })
        .collect();
    loads(chain.as_bytes()).unwrap();
    let circle = |extra: &str| -> String {
        (0..count)
            .map(|number| {
                let next = (number + 1) % count;
                format!("config S{number}\n\tbool \"s\"\n\tselect S{next}\n{extra}")
            })
            .collect()
    };
    for extra in ["", "\tdepends on S0\n", "\timply S7\n\tdefault S3 || S9\n"] {
        let error = loads(circle(extra).as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with("Kconfig:"), "{}", &error[..100]);
        assert!(error.contains("recursive dependency"), "{}", &error[..100]);
    }
    let fan: String = (0..count)
        .map(|number| format!("config S{number}\n\ttristate \"s\"\n\tselect T\n"))
        .collect();
    loads(format!("config T\n\tbool\n{fan}").as_bytes()).unwrap();
    let members: String = (0..count)
        .map(|number| format!("config S{number}\n\tbool \"s\"\n"))
        .collect();
    loads(format!("choice\n\tprompt \"c\"\n{members}endchoice\n").as_bytes()).unwrap();
}

#[test]
fn long_lines_and_odd_bytes_are_read() {
    let long = "x".repeat(10 << 20);
    let loads = |text: &[u8]| {
        let kconfig = try_load(&[("Kconfig", text)], Dialect::V7)?;
        resolve(&kconfig, Mode::Olddefconfig, "").dot_config();
        Ok::<(), Error>(())
    };
    loads(format!("config S0\n\tstring \"{long}\"\n\tdefault \"{long}\"\n").as_bytes()).unwrap();
    loads(format!("#{long}\nconfig {long}\n\tbool \"s\"\n").as_bytes()).unwrap();
    let error = loads(format!("A := {long}\n").as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "Kconfig:1: expansion is too long");
    loads(b"config S0\n\0\tbool \"\0\xff\"\n\thelp\n\t  \0\n").unwrap();
    loads(&b"\0".repeat(1000)).unwrap();
    loads(b"config S0\n\tint \"s\"\n\tdefault 99999999999999999999999999\n\trange 99999999999999999999 -99999999999999999999\n").unwrap();
    let kconfig = load(
        "config S0\n\tint \"s\"\nconfig S1\n\tstring \"s\"\nconfig S2\n\thex \"s\"\n",
        Dialect::V7,
    );
    for value in ["9".repeat(10 << 20), long, "\0".repeat(1 << 20)] {
        for line in [
            "CONFIG_S0=",
            "CONFIG_S1=\"",
            "CONFIG_S2=0x",
            "CONFIG_S2=",
            "CONFIG_",
            "# CONFIG_",
        ] {
            resolve(&kconfig, Mode::Olddefconfig, &format!("{line}{value}")).dot_config();
        }
    }
}

#[test]
fn a_symbol_set_a_million_times_is_read_and_merged() {
    let text = b"CONFIG_A=y\n# CONFIG_A is not set\n".repeat(20_000);
    let kconfig = load("config A\n\tbool \"a\"\n", Dialect::V7);
    let input = Input {
        name: "in",
        text: &text,
    };
    let resolution = kconfig.resolve(&Request {
        mode: Mode::Olddefconfig,
        inputs: &[input],
        warn_unknown: false,
    });
    assert_eq!(settings(&resolution), "A=n");
    for rules in [MergeRules::Words, MergeRules::Settings] {
        let merged = merge_config(
            &text,
            &[input, input],
            "CONFIG_",
            rules,
            MergeOptions::default(),
        );
        assert!(merged.text.len() <= text.len() + 2);
    }
}

#[test]
fn a_tree_of_inclusions_without_end_is_an_error() {
    let reader = |path: &Utf8Path| -> std::io::Result<Vec<u8>> {
        Ok(format!("source \"{path}x\"\n").into_bytes())
    };
    let mut probe = |_: &[u8]| -> ProbeResult { Ok(Vec::new()) };
    let variables = BTreeMap::new();
    let error = Kconfig::load(&reader, "K", &mut probe, &variables, Dialect::V7).unwrap_err();
    assert!(
        error.to_string().ends_with(":1: too many included files"),
        "{error}"
    );
}

/// A text with some bytes dropped, doubled, changed or moved.
fn damaged(text: impl Strategy<Value = String>) -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<prop::sample::Index>(), 0..4u8, any::<u8>());
    (text, prop::collection::vec(edit, 1..8)).prop_map(|(text, edits)| {
        let mut bytes = text.into_bytes();
        for (place, kind, byte) in edits {
            let place = place.index(bytes.len() + 1);
            match kind {
                0 => bytes.truncate(place.max(1)),
                1 => bytes.insert(place, byte),
                2 if place < bytes.len() => bytes[place] = byte,
                _ => {
                    let tail = bytes.split_off(place);
                    bytes.extend_from_slice(&tail.repeat(2));
                    bytes.truncate(1 << 14);
                }
            }
        }
        bytes
    })
}

proptest! {
    #[test]
    fn damaged_trees_load_or_say_where(text in damaged(kconfig_text()), input in damaged(config_text())) {
        for dialect in DIALECTS {
            match try_load(&[("Kconfig", &text)], dialect) {
                Ok(kconfig) => resolves_everything(&kconfig, &input),
                Err(Error::Invalid { diagnostics }) => {
                    prop_assert!(diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error && diagnostic.line > 0));
                }
                Err(error) => {
                    let text = error.to_string();
                    prop_assert!(text.starts_with("Kconfig:"), "{}", text);
                }
            }
        }
    }

    #[test]
    fn macros_of_any_form_expand_or_say_where(text in "((A|f|X) ?(=|:=|\\+=) ?|\\$\\((A|f|X|1|2|shell|error-if|warning-if|info|filename|lineno)?,?|\\)|,|y|\\$|\\\\|\"|'|#|\n){0,80}") {
        if let Err(error) = try_load(&[("Kconfig", text.as_bytes())], Dialect::V7) {
            let text = error.to_string();
            prop_assert!(text.starts_with("Kconfig:") || matches!(error, Error::Invalid { .. }), "{}", text);
        }
    }

    #[test]
    fn fragments_of_any_bytes_merge(base in damaged(config_text()), fragment in damaged(config_text()), keep_builtin: bool, report_redundant: bool) {
        for rules in [MergeRules::Words, MergeRules::Settings] {
            let input = Input { name: "f", text: &fragment };
            let merged = merge_config(&base, &[input, input], "CONFIG_", rules, MergeOptions { keep_builtin, report_redundant });
            prop_assert!(merged.text.len() <= base.len() + 2 * fragment.len() + 8);
        }
    }
}

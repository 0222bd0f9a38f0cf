use super::*;
use proptest::prelude::*;

fn fragment(name: &str, text: &str) -> Fragment {
    let origin = Origin::File(format!("mine/{name}.config").into());
    Fragment::parse(name.parse().unwrap(), origin, text)
}

/// What is wrong with a fragment, a line each, with its hint.
fn complaints(name: &str, text: &str) -> String {
    fragment(name, text)
        .diagnostics()
        .iter()
        .map(|diagnostic| {
            format!(
                "{diagnostic}\n  {}\n",
                diagnostic.hint().unwrap_or_default()
            )
        })
        .collect()
}

#[test]
fn a_fragment_is_header_and_settings() {
    let fragment = fragment(
        "fs/x",
        "# summary: a thing\r\n# arch: x86_64\n# arch: arm64\n# versions: >=6.4, <6.9\n# Prose: with a colon.\n\
         # see https://example.org\n# optional: B\n\n# note: prose again\nCONFIG_A=y\r\n# CONFIG_B is not set\nCONFIG_C=\"a b\"\n",
    );
    assert_eq!(fragment.diagnostics(), []);
    let header = fragment.header();
    assert_eq!(header.summary.as_deref(), Some("a thing"));
    assert!(header.applies_to_arch("arm64".parse().unwrap()));
    assert!(!header.applies_to_arch("riscv64".parse().unwrap()));
    assert!(header.applies_to_version(&"6.8.1".parse().unwrap()));
    assert!(!header.applies_to_version(&"6.1.4".parse().unwrap()));
    let settings: Vec<_> = fragment
        .settings()
        .iter()
        .map(|setting| {
            (
                setting.line,
                setting.symbol.as_str(),
                setting.value.to_string(),
                setting.optional,
            )
        })
        .collect();
    assert_eq!(
        settings,
        [
            (10, "A", "y".to_owned(), false),
            (11, "B", "n".to_owned(), true),
            (12, "C", "\"a b\"".to_owned(), false)
        ]
    );
    assert_eq!(fragment.place(12).to_string(), "mine/fs/x.config:12");
}

#[test]
fn what_the_kernels_tools_would_pass_over_is_reported() {
    let rows = [
        (
            "CONFIG_A=",
            "`CONFIG_A=` is neither a setting nor a comment",
        ),
        (
            "CONFIG_A=yes",
            "`CONFIG_A=yes` is neither a setting nor a comment",
        ),
        (
            "CONFIG_A=\"x",
            "`CONFIG_A=\"x` is neither a setting nor a comment",
        ),
        (
            "CONFIG_A = y",
            "`CONFIG_A = y` is neither a setting nor a comment",
        ),
        ("CONFIG_A", "`CONFIG_A` is neither a setting nor a comment"),
        ("A=y", "`A=y` is neither a setting nor a comment"),
        (
            "CONFIG_A=y # why",
            "`CONFIG_A=y # why` is neither a setting nor a comment",
        ),
        (
            "#CONFIG_A is not set",
            "`#CONFIG_A is not set` is neither a setting nor a comment",
        ),
        (
            "# CONFIG_A is not set, why",
            "`# CONFIG_A is not set, why` is neither a setting nor a comment",
        ),
        (" CONFIG_A=y", "blanks around `CONFIG_A=y`"),
        ("CONFIG_A=y\t", "blanks around `CONFIG_A=y`"),
        (
            "# CONFIG_A is not set ",
            "blanks around `# CONFIG_A is not set`",
        ),
        (" # indented", "blanks around `# indented`"),
        (
            "\u{feff}CONFIG_A=y",
            "the file starts with a byte order mark",
        ),
        (
            "CONFIG_A=y\nCONFIG_B=y\nCONFIG_A=y",
            "CONFIG_A was set on line 1 already",
        ),
        (
            "# optional: A\nCONFIG_B=y",
            "CONFIG_A is optional, but the fragment does not set it",
        ),
        ("# CONFIG_A=y", ""),
        ("   ", ""),
        ("# comment  ", ""),
    ];
    for (text, expected) in rows {
        let fragment = fragment("fs/x", text);
        let problems: Vec<_> = fragment
            .diagnostics()
            .iter()
            .map(|diagnostic| diagnostic.problem.to_string())
            .collect();
        assert_eq!(problems.join("; "), expected, "{text:?}");
        assert!(
            fragment
                .diagnostics()
                .iter()
                .all(|diagnostic| diagnostic.hint().is_some())
        );
    }
}

#[test]
fn header_mistakes_say_what_would_be_right() {
    insta::assert_snapshot!(
        complaints("fs/x", "# sumary: a\n# versions: 6.x\n# arch: x86_64 arm46\n# summary: a\n# summary: b\n# optional: CONFIG_A a-b\n# with: fs/y\n# summary:\n# colour: red\n"),
        @"
    mine/fs/x.config:1: unknown header key `sumary`
      did you mean `summary`?
    mine/fs/x.config:2: header key `versions` cannot be `6.x`
      ranges look like `>=4.2, <4.19`, `6.12.y`, `6.12.117` or `*`
    mine/fs/x.config:3: header key `arch` cannot be `arm46`
      did you mean `arm64`?
    mine/fs/x.config:5: header key `summary` was given on line 4 already
      keep one of the two lines
    mine/fs/x.config:6: header key `optional` cannot be `CONFIG_A`
      symbols stand here without `CONFIG_`
    mine/fs/x.config:6: header key `optional` cannot be `a-b`
      write `# optional: SYMBOL…`
    mine/fs/x.config:7: header key `with` means nothing outside of `preset/`
      remove it
    mine/fs/x.config:8: header key `summary` was given on line 4 already
      keep one of the two lines
    mine/fs/x.config:9: unknown header key `colour`
      the keys are summary, arch, versions, optional, base, with, extends; prose belongs below the first empty line
    ");
    insta::assert_snapshot!(
        complaints("preset/x", "# base: tinyconfig\n# with: ext4 arch/@arch\n# extends: fs/x\n"),
        @"
    mine/preset/x.config:1: header key `base` cannot be `tinyconfig`
      write `# base: allnoconfig|alldefconfig`
    mine/preset/x.config:2: header key `with` cannot be `ext4`
      a name is `category/name`, as in `fs/ext4`: letters, digits, `_`, `-`, `.` and `+`, each part starting with a letter or digit
    mine/preset/x.config:3: header key `extends` means nothing outside of `version/`
      remove it
    ");
    insta::assert_snapshot!(complaints("version/x", "# extends: fs/x\n"), @"
    mine/version/x.config:1: header key `versions` is missing
      add a line `# versions: …` at the top
    ");
}

#[test]
fn every_embedded_fragment_is_well_formed() {
    for fragment in Library::embedded().iter() {
        assert_eq!(fragment.diagnostics(), [], "{}", fragment.name());
        assert!(fragment.header().summary.is_some(), "{}", fragment.name());
        assert_ne!(fragment.name().layer(), Layer::Other, "{}", fragment.name());
    }
}

#[test]
fn the_readme_explains_every_key_and_layer() {
    let readme = include_str!("../../fragments/README.md");
    for key in KEYS {
        assert!(
            readme.contains(&format!("\n| `{}` |", key.name)),
            "{}",
            key.name
        );
    }
    let order: Vec<_> = Layer::TABLE
        .iter()
        .map(|(_, directory, _)| readme.find(&format!("`{directory}/`")).unwrap())
        .collect();
    assert!(order.is_sorted(), "{order:?}");
}

#[test]
fn every_embedded_reference_names_a_fragment() {
    let library = Library::embedded();
    let version = "6.12".parse().unwrap();
    for fragment in library.iter() {
        for name in &fragment.header().extends {
            assert!(library.get(name).is_some(), "{}: {name}", fragment.name());
        }
        let name = fragment.name().as_str();
        for arch in &fragment.header().arch {
            if let Some(preset) = name.strip_prefix("preset/") {
                let selection = Selection {
                    preset: Some(preset),
                    fragments: &[],
                    debug: true,
                    trust: false,
                    arch: *arch,
                    version: &version,
                };
                let layers = library.select(&selection).unwrap();
                let skipped: Vec<&str> = layers.skipped.iter().map(|one| one.as_str()).collect();
                let expected: &[&str] = match arch.row().bits {
                    64 => &[],
                    _ => &["core/64bit"],
                };
                assert_eq!(skipped, expected, "{name} {arch}");
            }
        }
    }
}

#[test]
fn builtin_fragments_mirror_their_modules() {
    let library = Library::embedded();
    let settings = |fragment: &Fragment| -> Vec<(Symbol, Value)> {
        fragment
            .settings()
            .iter()
            .map(|setting| match &setting.value {
                Value::Module => (setting.symbol.clone(), Value::Yes),
                value => (setting.symbol.clone(), value.clone()),
            })
            .collect()
    };
    let mirrors: Vec<_> = library
        .iter()
        .filter_map(|fragment| Some((fragment, fragment.name().as_str().strip_prefix("builtin/")?)))
        .collect();
    assert!(!mirrors.is_empty());
    for (mirror, name) in mirrors {
        let original = library.get(&name.parse().unwrap()).unwrap();
        assert_eq!(settings(mirror), settings(original), "{name}");
    }
}

fn settings_text() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        Just("=y".to_owned()),
        Just("=m".to_owned()),
        Just("=n".to_owned()),
        Just("=0x1F".to_owned()),
        "=\"[ -~]{0,6}\"".prop_filter("one quoted text", |text| Value::parse(&text[1..]).is_some()),
    ];
    proptest::collection::btree_map("[A-Z][A-Z0-9_]{0,5}", value, 0..8).prop_map(|settings| {
        settings
            .into_iter()
            .map(|(symbol, value)| format!("CONFIG_{symbol}{value}\n"))
            .collect()
    })
}

proptest! {
    #[test]
    fn a_printed_fragment_parses_back(
        settings in settings_text(),
        summary in proptest::option::of("[a-z:#]([a-z:# ]{0,9}[a-z:#])?"),
        arch in proptest::sample::subsequence(vec!["arm64", "riscv64", "x86_64"], 0..3),
        versions in proptest::option::of("[<>]=?6[.][1-9]"),
        optional in any::<bool>(),
    ) {
        let mut text = String::new();
        if let Some(summary) = &summary {
            text += &format!("# summary: {summary}\n");
        }
        if !arch.is_empty() {
            text += &format!("# arch: {}\n", arch.join(" "));
        }
        if let Some(versions) = &versions {
            text += &format!("# versions: {versions}\n");
        }
        let first = settings.split('=').next().and_then(|line| line.strip_prefix("CONFIG_"));
        if let Some(symbol) = first.filter(|_| optional) {
            text += &format!("# optional: {symbol}\n");
        }
        let parsed = fragment("fs/x", &format!("{text}\n{settings}"));
        prop_assert_eq!(parsed.diagnostics(), []);
        let again = fragment("fs/x", &parsed.to_string());
        prop_assert_eq!(again.diagnostics(), []);
        prop_assert_eq!(again.header(), parsed.header());
        let values = |fragment: &Fragment| -> Vec<_> {
            fragment.settings().iter().map(|s| (s.symbol.clone(), s.value.clone(), s.optional)).collect()
        };
        prop_assert_eq!(values(&again), values(&parsed));
        prop_assert_eq!(again.to_string(), parsed.to_string());
    }

    #[test]
    fn no_text_is_too_strange_to_be_read(text in "([#A-Z_=:\"nym \\r\\t\u{feff}é-]{0,20}\n?){0,8}") {
        let fragment = fragment("version/x", &text);
        let lines = text.lines().count().max(1);
        prop_assert!(fragment.settings().iter().all(|setting| (1..=lines).contains(&setting.line)));
        prop_assert!(fragment.diagnostics().iter().all(|diagnostic| (1..=lines).contains(&diagnostic.place.line)));
    }
}

use super::*;

/// A batch with every status, and with what a hostile log could say.
pub(super) fn batch() -> Report {
    let mut passed = Kernel::new("tiny", "x86_64", Status::Passed);
    passed.version = Some("6.12.94".to_owned());
    passed.seconds = 65.3;
    passed.image_bytes = Some(1_468_006);
    passed.ccache = Some(Ccache { hits: 3, misses: 1 });
    let mut failed = Kernel::new("<script>alert(1)</script>", "arm64", Status::Failed);
    failed.start = 1.0;
    failed.seconds = 5.0;
    failed.error = Some(Failure {
        phase: Some("compile".to_owned()),
        message: "a.c:1:2: error: \"x\" & 'y'".to_owned(),
        context: vec!["]]> \u{1b}[31m<b>\u{0}".to_owned()],
        log: None,
    });
    let mut later = Kernel::new("vm", "arm64", Status::Reused);
    later.start = 6.0;
    later.seconds = 0.5;
    let mut skipped = Kernel::new("last", "riscv64", Status::Skipped);
    skipped.note = Some("stopped before it began".to_owned());
    let stopped = Kernel::new("stopped", "riscv64", Status::Interrupted);
    Report {
        schema: SCHEMA,
        tool: "cargo kernel 0.1.0".to_owned(),
        started: 1_700_000_000,
        seconds: 70.0,
        cores: 2,
        memory_bytes: 8 << 30,
        kernels: vec![passed, failed, later, skipped, stopped],
    }
}

#[test]
fn json_comes_back_as_it_was() {
    let report = batch();
    assert_eq!(Report::parse(report.to_json().as_bytes()).unwrap(), report);
}

#[test]
fn newer_and_broken_reports_are_refused() {
    let newer = br#"{"schema": 2}"#;
    assert!(matches!(
        Report::parse(newer),
        Err(Error::Newer { found: 2 })
    ));
    for broken in [&b"{"[..], b"{\"schema\": 1}", b"[]"] {
        assert!(matches!(Report::parse(broken), Err(Error::Malformed(_))));
    }
}

#[test]
fn what_ran_at_the_same_time_is_in_lanes_of_its_own() {
    assert_eq!(batch().lanes(), [vec![0], vec![1, 2]]);
}

#[test]
fn the_tally_names_what_there_is_the_worst_first() {
    assert_eq!(
        batch().tally(),
        "1 failed, 1 interrupted, 1 skipped, 1 passed, 1 reused"
    );
    let none = Report {
        kernels: Vec::new(),
        ..batch()
    };
    assert_eq!((none.tally().as_str(), none.passed()), ("no kernels", true));
}

#[test]
fn a_terminal_is_not_steered_by_a_log() {
    let text = text(&batch());
    assert!(!text.contains(['\u{1b}', '\u{0}']), "{text}");
    assert!(
        text.contains("(compile): a.c:1:2: error: \"x\" & 'y'"),
        "{text}"
    );
}

#[test]
fn durations_and_sizes_read_well() {
    for (seconds, expected) in [
        (0.04, "0.0 s"),
        (9.26, "9.3 s"),
        (59.97, "1 min 00 s"),
        (247.0, "4 min 07 s"),
        (3_720.0, "1 h 02 min"),
    ] {
        assert_eq!(duration(seconds), expected);
    }
    for (count, expected) in [
        (12, "12 B"),
        (1536, "1.5 KiB"),
        (1_047_000, "1.0 MiB"),
        (8_808_038, "8.4 MiB"),
        (200 << 20, "200 MiB"),
    ] {
        assert_eq!(bytes(count), expected);
    }
}

/// The path of an element, and its attributes.
type Element = (String, Vec<(String, String)>);

/// Elements of a document as paths with attributes, and its text. Panics where it is not
/// well-formed.
fn parse(xml: &str) -> (Vec<Element>, String) {
    use quick_xml::events::Event;
    let mut reader = quick_xml::Reader::from_str(xml);
    let (mut elements, mut text, mut open) = (Vec::new(), String::new(), Vec::new());
    loop {
        let event = reader.read_event().unwrap();
        match &event {
            Event::Start(tag) | Event::Empty(tag) => {
                let attribute =
                    |attribute: Result<quick_xml::events::attributes::Attribute<'_>, _>| {
                        let attribute = attribute.unwrap();
                        let name = String::from_utf8(attribute.key.as_ref().to_vec()).unwrap();
                        (name, attribute.unescape_value().unwrap().into_owned())
                    };
                open.push(String::from_utf8(tag.name().as_ref().to_vec()).unwrap());
                elements.push((open.join("/"), tag.attributes().map(attribute).collect()));
                if matches!(event, Event::Empty(_)) {
                    open.pop();
                }
            }
            Event::End(_) => {
                open.pop();
            }
            Event::Text(part) => text.push_str(&part.decode().unwrap()),
            Event::GeneralRef(reference) => {
                let name = reference.decode().unwrap();
                let resolved = match reference.resolve_char_ref().unwrap() {
                    Some(character) => character.to_string(),
                    None => quick_xml::escape::resolve_predefined_entity(&name)
                        .unwrap()
                        .to_owned(),
                };
                text.push_str(&resolved);
            }
            Event::Eof => break,
            _ => {}
        }
    }
    assert!(open.is_empty(), "{open:?}");
    (elements, text)
}

#[test]
fn what_a_log_says_stays_text_in_every_page() {
    let report = batch();
    let directory = camino::Utf8Path::new("/w/target/kernel/batches/1");
    for (page, scripts) in [(html(&report, directory), 1), (html::mail_html(&report), 0)] {
        let (elements, text) = parse(&page);
        assert!(text.contains("<script>alert(1)</script>") && text.contains("]]> \u{fffd}[31m<b>"));
        let count = |name: &str| {
            elements
                .iter()
                .filter(|(path, _)| path.rsplit('/').next() == Some(name))
                .count()
        };
        assert_eq!((count("script"), count("b") > 0), (scripts, true));
        // Nothing is loaded from anywhere.
        for (path, attributes) in &elements {
            for (name, value) in attributes {
                assert!(
                    !matches!(name.as_str(), "src" | "srcset" | "data" | "action"),
                    "{path} {name}"
                );
                assert!(!value.contains("//"), "{path} {name} {value}");
            }
        }
        assert!(!page.contains("url(") && !page.contains("@import"));
    }
}

#[test]
fn junit_has_what_its_readers_ask_for() {
    let (elements, text) = parse(&junit(&batch()));
    let allowed = [
        "testsuites",
        "testsuites/testsuite",
        "testsuites/testsuite/testcase",
        "testsuites/testsuite/testcase/failure",
        "testsuites/testsuite/testcase/error",
        "testsuites/testsuite/testcase/skipped",
        "testsuites/testsuite/testcase/system-out",
    ];
    for (path, attributes) in &elements {
        assert!(allowed.contains(&path.as_str()), "{path}");
        let value = |name: &str| {
            let found = attributes.iter().find(|(attribute, _)| attribute == name);
            found
                .unwrap_or_else(|| panic!("{path} has no {name}"))
                .1
                .clone()
        };
        match path.rsplit('/').next().unwrap() {
            "testsuites" | "testsuite" => {
                for name in ["tests", "failures", "errors", "skipped"] {
                    value(name).parse::<u32>().unwrap();
                }
                value("time").parse::<f64>().unwrap();
            }
            "testcase" => {
                assert!(!value("name").is_empty() && value("classname").starts_with("kernel."));
                value("time").parse::<f64>().unwrap();
            }
            "failure" | "error" => {
                assert!(!value("message").is_empty() && !value("type").is_empty())
            }
            _ => {}
        }
    }
    let count = |end: &str| {
        elements
            .iter()
            .filter(|(path, _)| path.ends_with(end))
            .count()
    };
    assert_eq!(
        ["/testcase", "/failure", "/error", "/skipped", "/system-out"].map(count),
        [5, 1, 1, 1, 5]
    );
    assert!(text.contains("]]> \u{fffd}[31m<b>\u{fffd}"));
}

#[test]
fn logs_are_linked_relative_to_the_page() {
    for (directory, path, expected) in [
        (
            "/w/kernel/batches/1",
            "/w/kernel/tiny/log/2",
            "../../tiny/log/2",
        ),
        ("/w", "/w/tiny/log", "./tiny/log"),
        ("/w/a", "/w/b c/#?", "../b%20c/%23%3F"),
    ] {
        assert_eq!(page::reference(directory.into(), path.into()), expected);
    }
}

#[test]
fn compilers_have_short_names() {
    for (line, short) in [
        ("gcc (Debian 12.2.0-14+deb12u1) 12.2.0", "gcc 12.2.0"),
        (
            "aarch64-linux-gnu-gcc (Debian 12.2.0-14) 12.2.0",
            "gcc 12.2.0",
        ),
        ("Debian clang version 14.0.6", "clang 14.0.6"),
        ("tcc", "tcc"),
    ] {
        assert_eq!(html::short_toolchain(line), short);
    }
}

#[test]
fn marks_of_an_axis_are_round_and_few() {
    for (length, marks, last) in [
        (0.5, 6, "0.50 s"),
        (70.0, 8, "1:10 min"),
        (476.0, 8, "7 min"),
        (9000.0, 6, "150 min"),
    ] {
        let ticks = page::ticks(length);
        assert!(ticks.len() <= 9 && *ticks.last().unwrap() <= length);
        let shown = page::tick(*ticks.last().unwrap(), ticks[1]);
        assert_eq!((ticks.len(), shown.as_str()), (marks, last), "{ticks:?}");
    }
}

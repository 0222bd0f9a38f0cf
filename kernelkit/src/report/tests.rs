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

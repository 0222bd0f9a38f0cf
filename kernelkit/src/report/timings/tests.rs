use super::*;

fn build() -> Build {
    Build {
        tool: "cargo kernel 0.1.0".to_owned(),
        kernel: "tiny".to_owned(),
        release: "6.12.117-tiny-0123456789ab".to_owned(),
        started: 1_700_000_000,
        jobs: 2,
        cores: 2,
    }
}

/// `(what Kbuild announces, from, to)`, in milliseconds.
fn record(rows: &[(&str, u64, u64)]) -> Vec<Recorded> {
    rows.iter()
        .map(|(line, start, end)| Recorded {
            start: 1_000_000 + start * 1000,
            end: 1_000_000 + end * 1000,
            cpu: (end - start) * 500,
            memory: 1024,
            command: format!("set -e; echo '  {line}'; trap x HUP; gcc -c"),
        })
        .collect()
}

const SMALL: [(&str, u64, u64); 8] = [
    ("HOSTCC  scripts/basic/fixdep", 0, 100),
    ("CC      init/main.o", 100, 400),
    ("CC [M]  lib/test.o", 110, 900),
    ("AR      init/built-in.a", 400, 420),
    ("CC      lib/string.o", 420, 520),
    ("AR      lib/built-in.a", 900, 950),
    ("LD      vmlinux.o", 960, 1000),
    ("LD      vmlinux", 1000, 1500),
];

#[test]
fn units_are_what_kbuild_announces() {
    let mut records = record(&SMALL);
    let mut bare = |command: &str| {
        records.push(Recorded {
            command: command.to_owned(),
            ..records[0].clone()
        });
    };
    bare("make -f ./scripts/Makefile.build obj=init");
    bare("set -e; sh /src/scripts/link-vmlinux.sh \"ld\"");
    bare("gcc --version");
    bare("set -e; echo '  CC      /w/build/tools/objtool/check.o'; gcc");
    let timings = analyze(build(), "/w/build", &records, &[]);
    assert_eq!(timings.units.len(), SMALL.len() + 2);
    let of_a_tool = |unit: &Unit| unit.target == "tools/objtool/check.o";
    assert!(timings.units.iter().any(of_a_tool));
    assert!(
        (timings.idle_seconds - 0.01).abs() < 1e-9,
        "{}",
        timings.idle_seconds
    );
    let module = &timings.units[4];
    assert_eq!(
        (module.verb.as_str(), module.target.as_str()),
        ("CC", "lib/test.o")
    );
    assert_eq!(timings.seconds, 1.5);
    assert!(
        (timings.cpu_seconds - 1.05).abs() < 1e-9,
        "{}",
        timings.cpu_seconds
    );
}

#[test]
fn the_critical_path_goes_by_kbuilds_order() {
    let timings = analyze(build(), "/w/build", &record(&SMALL), &[]);
    let path: Vec<_> = timings
        .critical
        .iter()
        .map(|&index| timings.units[index].target.as_str())
        .collect();
    assert_eq!(
        path,
        [
            "scripts/basic/fixdep",
            "lib/test.o",
            "lib/built-in.a",
            "vmlinux.o",
            "vmlinux"
        ]
    );
    assert!(
        (timings.critical_seconds - 1.48).abs() < 1e-9,
        "{}",
        timings.critical_seconds
    );
    assert!(timings.critical_seconds <= timings.seconds);
}

#[test]
fn what_the_link_announces_are_its_steps() {
    let shown = |at: u64, verb: &str, target: &str| Shown {
        at: 1_000_000 + at * 1000,
        verb: verb.to_owned(),
        target: target.to_owned(),
    };
    let shown = [
        shown(100, "CC", "init/main.o"),
        shown(1000, "LD", "vmlinux"),
        shown(1200, "NM", ".tmp_vmlinux1.syms"),
        shown(1300, "BTF", ".tmp_vmlinux.btf"),
    ];
    let timings = analyze(build(), "/w/build", &record(&SMALL), &shown);
    let link = timings.units.last().unwrap();
    let steps: Vec<_> = link
        .steps
        .iter()
        .map(|step| (step.verb.as_str(), (step.seconds * 1000.0).round()))
        .collect();
    assert_eq!(steps, [("NM", 100.0), ("BTF", 200.0)]);
    let btf = timings.tools.iter().find(|sum| sum.name == "BTF").unwrap();
    assert_eq!((btf.seconds * 1000.0).round(), 200.0);
}

#[test]
fn sums_add_up_to_the_units() {
    let timings = analyze(build(), "/w/build", &record(&SMALL), &[]);
    let units: f64 = timings.units.iter().map(|unit| unit.seconds).sum();
    for sums in [&timings.tools, &timings.directories] {
        let sum: f64 = sums.iter().map(|sum| sum.seconds).sum();
        assert!((sum - units).abs() < 1e-9);
        assert!(
            sums.windows(2)
                .all(|pair| pair[0].seconds >= pair[1].seconds)
        );
    }
    let part = timings.seconds / timings.parallelism.len() as f64;
    let busy: f64 = timings.parallelism.iter().map(|count| count * part).sum();
    assert!((busy - units).abs() < 0.01, "{busy} {units}");
}

#[test]
fn nothing_recorded_is_a_page_too() {
    let timings = analyze(build(), "/w/build", &[], &[]);
    assert!(timings.critical.is_empty());
    assert!(html(&timings).contains("Where the time of tiny went"));
}

#[test]
fn json_comes_back_as_it_was() {
    let timings = analyze(build(), "/w/build", &record(&SMALL), &[]);
    let again: Timings = serde_json::from_str(&timings.to_json()).unwrap();
    assert!(again == timings);
}

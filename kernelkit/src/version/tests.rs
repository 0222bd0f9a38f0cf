use std::hash::{BuildHasher, RandomState};

use proptest::prelude::*;

use super::*;

fn version(text: &str) -> KernelVersion {
    text.parse()
        .unwrap_or_else(|error: InvalidVersion| panic!("{error}"))
}

fn range(text: &str) -> VersionRange {
    text.parse()
        .unwrap_or_else(|error: InvalidRange| panic!("{error}"))
}

/// One of few numbers, so that versions collide; zero often, as it is special.
fn number() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), 0..4u32, 0..200u32]
}

fn plain() -> impl Strategy<Value = String> {
    (number(), number(), number()).prop_map(|(a, b, c)| format!("{a}.{b}.{c}"))
}

fn written() -> impl Strategy<Value = String> {
    let numbers = (0..4u32, 0..4u32, proptest::option::of(0..3u32));
    let extra = prop_oneof![
        Just(String::new()),
        "-rc[1-3]",
        "(-rc[1-3])?-next-2026080[1-3]",
        "(-rc[1-3])?-rt[1-3]",
        "(-rc[1-3])?[-+_~][a-z0-9.+_~-]{1,8}",
        "-rc0?[0-9]{1,2}(-rt0?[0-9])?[+]?",
    ];
    (numbers, extra).prop_map(|((major, patchlevel, sublevel), extra)| {
        let sublevel = sublevel
            .map(|number| format!(".{number}"))
            .unwrap_or_default();
        format!("{major}.{patchlevel}{sublevel}{extra}")
    })
}

#[test]
fn versions_print_as_they_are_written() {
    for text in [
        "6.12.117",
        "6.12",
        "6.12.0",
        "7.3-rc4",
        "7.3.0-rc4",
        "6.6.0-rc1-next-20260801",
        "6.1.71-rt20",
        "2.6.32.71",
        "5.15.153.1-microsoft-standard-WSL2",
        "5.14.0-427.el9",
        "6.12.0+",
        "6.8.0-rc04",
    ] {
        assert_eq!(version(text).to_string(), text);
        assert_eq!(version(&format!("v{text}")).to_string(), text);
    }
}

#[test]
fn what_is_no_version_is_refused() {
    for text in [
        "",
        "6",
        "v",
        "vv6.1",
        "6.",
        "6.12.",
        "6.12.y",
        "6.12.x",
        "6.12rc4",
        "6.012",
        "06.1",
        "6.12-",
        "6.12 ",
        " 6.12",
        "-6.12",
        "6.12-rc/4",
        "next-20260801",
        "6.4294967296",
        "6.12.1.",
        "stable",
    ] {
        assert_eq!(
            text.parse::<KernelVersion>(),
            Err(InvalidVersion(text.to_owned())),
            "{text}"
        );
    }
}

#[test]
fn a_makefile_says_what_make_kernelversion_prints() {
    let check = |lines: &str, expected: &str| {
        let makefile =
            format!("# SPDX-License-Identifier: GPL-2.0\n{lines}\nNAME = Opossum\nVERSION = 99\n");
        let found = KernelVersion::from_makefile(&makefile).unwrap();
        assert_eq!(found.to_string(), expected);
    };
    check(
        "VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 117\nEXTRAVERSION =",
        "6.12.117",
    );
    check(
        "VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 0\nEXTRAVERSION =",
        "6.12.0",
    );
    check(
        "VERSION = 7\nPATCHLEVEL = 3\nSUBLEVEL = 0\nEXTRAVERSION = -rc4",
        "7.3.0-rc4",
    );
    check(
        "VERSION=2\nPATCHLEVEL:=6\nSUBLEVEL = 32\nEXTRAVERSION = .71 # longterm",
        "2.6.32.71",
    );
    check(
        "VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL =\nEXTRAVERSION = -custom",
        "6.12-custom",
    );
}

#[test]
fn a_makefile_without_a_version_is_refused() {
    let full = "VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 1\nEXTRAVERSION =\n";
    for variable in ["VERSION", "PATCHLEVEL", "SUBLEVEL", "EXTRAVERSION"] {
        let makefile: String = full
            .lines()
            .filter(|line| !line.starts_with(variable))
            .map(|line| format!("{line}\n"))
            .collect();
        let error = KernelVersion::from_makefile(&makefile).unwrap_err();
        assert_eq!(error, MakefileError::Missing { variable });
        assert!(error.hint().is_some());
    }
    let error = KernelVersion::from_makefile(&full.replace("= 12", "= $(shell date)")).unwrap_err();
    assert_eq!(
        error,
        MakefileError::Invalid(InvalidVersion("6.$(shell date).1".to_owned()))
    );
}

#[test]
fn versions_are_ordered_as_they_appear() {
    let ascending = [
        "2.6.32.71",
        "4.20",
        "5.15.153",
        "5.15.153-2",
        "5.15.153-10",
        "5.15.153.1-microsoft",
        "6.6-rc1",
        "6.6-rc1+",
        "6.6-rc1-rt1",
        "6.6.0-rc1-next-20231101",
        "6.6.0-rc1-next-20231102",
        "6.6-rc2",
        "6.6-rc10",
        "6.6",
        "6.6.0-427.el9",
        "6.6.0-1000.el9",
        "6.6-rt2",
        "6.6-rt10",
        "6.6.0-next-20231103",
        "6.6.1",
        "6.12",
        "10.0",
    ];
    for pair in ascending.windows(2) {
        let [left, right] = [version(pair[0]), version(pair[1])];
        assert!(left < right, "{left} < {right}");
    }
}

#[test]
fn a_missing_sublevel_is_zero() {
    for (short, long) in [("6.12", "6.12.0"), ("7.3-rc4", "7.3.0-rc4")] {
        let (short, long) = (version(short), version(long));
        assert_eq!(short, long);
        assert_eq!(long.short().to_string(), short.to_string());
        assert_eq!(long.tag(), format!("v{short}"));
    }
    assert_ne!(version("6.12"), version("6.12.1"));
    assert_ne!(version("6.12-rc4"), version("6.12-rc04"));
}

#[test]
fn a_series_is_two_numbers() {
    for text in ["6.12.y", "6.12", "v6.12"] {
        assert_eq!(text.parse::<Series>().unwrap().to_string(), "6.12.y");
    }
    for text in ["6.12.1", "6", "6.12-rc1", "6.12.y.y", "y", ""] {
        assert_eq!(text.parse::<Series>(), Err(InvalidSeries(text.to_owned())));
    }
    let series: Series = "6.12.y".parse().unwrap();
    assert!(series.contains(&version("6.12-rc1")) && series.contains(&version("6.12.117")));
    assert!(!series.contains(&version("6.1.12")));
}

#[test]
fn versions_are_plain_strings_in_json() {
    let version: KernelVersion = serde_json::from_str("\"v6.12.117\"").unwrap();
    assert_eq!(serde_json::to_string(&version).unwrap(), "\"6.12.117\"");
    assert!(serde_json::from_str::<KernelVersion>("\"six\"").is_err());
    let schema = serde_json::to_value(schemars::schema_for!(KernelVersion)).unwrap();
    assert_eq!(schema["type"], "string");
}

#[test]
fn sources_are_where_kernel_org_keeps_them() {
    let mirror = Mirror::default();
    let check = |text: &str, tarball: &str, signature: Option<&str>, checksums: Option<&str>| {
        let version = version(text);
        assert_eq!(mirror.tarball(&version).as_deref(), Some(tarball));
        assert_eq!(mirror.signature(&version).as_deref(), signature);
        assert_eq!(mirror.checksums(&version).as_deref(), checksums);
    };
    let sums = Some("https://cdn.kernel.org/pub/linux/kernel/v6.x/sha256sums.asc");
    check(
        "6.12.117",
        "https://cdn.kernel.org/pub/linux/kernel/v6.x/linux-6.12.117.tar.xz",
        Some("https://cdn.kernel.org/pub/linux/kernel/v6.x/linux-6.12.117.tar.sign"),
        sums,
    );
    check(
        "6.12.0",
        "https://cdn.kernel.org/pub/linux/kernel/v6.x/linux-6.12.tar.xz",
        Some("https://cdn.kernel.org/pub/linux/kernel/v6.x/linux-6.12.tar.sign"),
        sums,
    );
    check(
        "7.3.0-rc4",
        "https://git.kernel.org/torvalds/t/linux-7.3-rc4.tar.gz",
        None,
        None,
    );
    for text in [
        "6.1.71-rt20",
        "6.6.0-rc1-next-20260801",
        "6.12.1-427.el9",
        "7.3-rc4+",
        "2.6.32.71",
        "2.6.39",
    ] {
        assert_eq!(mirror.tarball(&version(text)), None, "{text}");
    }
    let local = Mirror {
        releases: "http://[::1]:80/pub".to_owned(),
        ..Mirror::default()
    };
    assert_eq!(
        local.tarball(&version("4.19.1")).as_deref(),
        Some("http://[::1]:80/pub/v4.x/linux-4.19.1.tar.xz")
    );
    assert_eq!(mirror.index(), "https://www.kernel.org/releases.json");
}

#[test]
fn ranges_hold_for_what_they_say() {
    let check = |text: &str, inside: &[&str], outside: &[&str]| {
        let range = range(text);
        for text in inside {
            assert!(range.contains(&version(text)), "{range} holds for {text}");
        }
        for text in outside {
            assert!(
                !range.contains(&version(text)),
                "{range} does not hold for {text}"
            );
        }
    };
    check("*", &["2.6.32", "7.3-rc4", "6.1.71-rt20"], &[]);
    check(
        ">=4.2, <4.19",
        &["4.2-rc1", "4.2", "4.18.20"],
        &["4.1.52", "4.19-rc1", "4.19", "4.20.17"],
    );
    check(
        "6.12.y",
        &["6.12-rc1", "6.12", "6.12.117", "6.12.1-rt20"],
        &["6.11.11", "6.13-rc1"],
    );
    check("6.12", &["6.12", "6.12.117"], &["6.13", "7.0"]);
    check("=6.12", &["6.12.5"], &["6.13"]);
    check("6.12.0", &["6.12"], &["6.12.1", "6.12-rc1"]);
    check("6.12.117", &["6.12.117"], &["6.12.118", "6.12.117-rt20"]);
    check("<6.12.0", &["6.12-rc1", "6.11.11"], &["6.12", "6.12.1"]);
    check(">6.12", &["6.13-rc1", "7.0"], &["6.12", "6.12.117"]);
    check("<=6.12", &["6.12.117"], &["6.13-rc1"]);
    check(
        ">=7.3-rc2",
        &["7.3-rc2", "7.3-rc4", "7.3"],
        &["7.3-rc1", "7.2.9"],
    );
    check(">= v5, <6", &["5.0-rc1", "5.19"], &["4.20.17", "6.0-rc1"]);
    check("6.*", &["6.0", "6.19.3"], &["5.19", "7.0"]);
    check("6.12.*", &["6.12.3"], &["6.1.12"]);
    check(">6.1.70", &["6.1.70-rt20", "6.1.71"], &["6.1.70"]);
}

#[test]
fn what_is_no_range_names_its_wrong_part() {
    for (text, wrong) in [
        ("", ""),
        (">=", ">="),
        (">=4.2,", ""),
        (">=4.2, <four", "<four"),
        ("^6.12", "^6.12"),
        ("~6.12", "~6.12"),
        ("!=6.12", "!=6.12"),
        (">=*", ">=*"),
        ("6.12.1.*", "6.12.1.*"),
        ("vv6", "vv6"),
        ("> =6.1", "> =6.1"),
    ] {
        let error = text.parse::<VersionRange>().unwrap_err();
        assert_eq!(
            error,
            InvalidRange {
                range: text.to_owned(),
                comparator: wrong.to_owned()
            }
        );
        assert!(error.hint().is_some());
    }
}

#[test]
fn ranges_print_in_one_form() {
    for (text, printed) in [
        ("*", "*"),
        (">=4.2,<4.19", ">=4.2, <4.19"),
        ("= 6.12", "6.12.y"),
        ("6.*", "6.*"),
        ("=v6.12.1", "6.12.1"),
        (">= 7.3-rc2", ">=7.3-rc2"),
        (">=6.12.y", ">=6.12"),
        ("<7", "<7"),
    ] {
        assert_eq!(range(text).to_string(), printed);
    }
}

const LISTING: &str = r#"{
  "latest_stable": { "version": "7.2.9" },
  "releases": [
    { "moniker": "mainline", "version": "7.3-rc4", "iseol": false, "pgp": null,
      "source": "https://git.kernel.org/torvalds/t/linux-7.3-rc4.tar.gz",
      "released": { "timestamp": 1, "isodate": "2026-09-06" } },
    { "moniker": "stable", "version": "7.2.9", "iseol": false,
      "source": "https://cdn.kernel.org/pub/linux/kernel/v7.x/linux-7.2.9.tar.xz",
      "pgp": "https://cdn.kernel.org/pub/linux/kernel/v7.x/linux-7.2.9.tar.sign" },
    { "moniker": "stable", "version": "7.1.14", "iseol": true,
      "source": "https://cdn.kernel.org/pub/linux/kernel/v7.x/linux-7.1.14.tar.xz",
      "pgp": "https://cdn.kernel.org/pub/linux/kernel/v7.x/linux-7.1.14.tar.sign" },
    { "moniker": "longterm", "version": "6.18.40", "iseol": true,
      "source": "https://cdn.kernel.org/pub/linux/kernel/v6.x/linux-6.18.40.tar.xz",
      "pgp": "https://cdn.kernel.org/pub/linux/kernel/v6.x/linux-6.18.40.tar.sign" },
    { "moniker": "longterm", "version": "6.1.192", "iseol": false,
      "source": "https://cdn.kernel.org/pub/linux/kernel/v6.x/linux-6.1.192.tar.xz",
      "pgp": "https://cdn.kernel.org/pub/linux/kernel/v6.x/linux-6.1.192.tar.sign" },
    { "moniker": "longterm", "version": "6.12.117", "iseol": false,
      "source": "https://cdn.kernel.org/pub/linux/kernel/v6.x/linux-6.12.117.tar.xz",
      "pgp": "https://cdn.kernel.org/pub/linux/kernel/v6.x/linux-6.12.117.tar.sign" },
    { "moniker": "linux-next", "version": "next-20260904", "iseol": false,
      "source": null, "pgp": null }
  ]
}"#;

fn resolve(text: &str) -> Result<Release, Error> {
    let selector: Selector = text.parse().unwrap();
    Releases::parse(LISTING).unwrap().resolve(&selector)
}

#[test]
fn selectors_choose_the_release_they_mean() {
    let check = |text: &str, expected: &str, moniker: Option<Moniker>, eol: bool| {
        let release = resolve(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(
            (release.version, release.moniker, release.eol),
            (version(expected), moniker, eol)
        );
        let mirror = Mirror::default();
        assert_eq!(Some(release.url), mirror.tarball(&version(expected)));
        assert_eq!(release.pgp, mirror.signature(&version(expected)));
    };
    use Moniker::{Longterm, Mainline, Stable};
    check("mainline", "7.3-rc4", Some(Mainline), false);
    check("stable", "7.2.9", Some(Stable), false);
    // The newest that is still maintained, wherever the list has it.
    check("longterm", "6.12.117", Some(Longterm), false);
    check("6.12", "6.12.117", Some(Longterm), false);
    check("6.1.y", "6.1.192", Some(Longterm), false);
    check("7.1", "7.1.14", Some(Stable), true);
    check("6.12.117", "6.12.117", Some(Longterm), false);
    check("7.3-rc4", "7.3-rc4", Some(Mainline), false);
    // Not listed, but kernel.org keeps them.
    check("6.12.0", "6.12", Some(Longterm), false);
    check("6.12.60", "6.12.60", Some(Longterm), false);
    check("7.3-rc2", "7.3-rc2", Some(Mainline), false);
    check("7.1.3", "7.1.3", Some(Stable), true);
    check("4.4.302", "4.4.302", None, true);
}

#[test]
fn a_fresh_mainline_release_is_the_stable_one() {
    let listing = LISTING.replace("7.3-rc4", "7.3").replace(
        r#""latest_stable": { "version": "7.2.9" }"#,
        r#""latest_stable": { "version": "7.3" }"#,
    );
    let releases = Releases::parse(&listing).unwrap();
    for selector in ["stable", "mainline", "7.3", "7.3.0"] {
        let release = releases.resolve(&selector.parse().unwrap()).unwrap();
        assert_eq!(release.version, version("7.3"), "{selector}");
        assert_eq!(release.moniker, Some(Moniker::Mainline));
    }
}

#[test]
fn a_release_that_is_not_there_is_answered_with_what_is() {
    let check = |text: &str, message: &str, hint: &str| {
        let error = resolve(text).unwrap_err();
        assert_eq!(
            (error.to_string().as_str(), error.hint().as_deref()),
            (message, Some(hint))
        );
    };
    check(
        "6.13",
        "kernel.org lists no release for `6.13.y`",
        "there are 6.12.117, 6.18.40, 6.1.192, 7.3-rc4, 7.2.9, 7.1.14",
    );
    check(
        "7.3",
        "7.3.y has no release yet, only 7.3-rc4",
        "write `7.3-rc4` or `mainline` to build the candidate",
    );
    check(
        "6.12.118",
        "6.12.118 is not released yet: the newest is 6.12.117",
        "write `6.12.117`",
    );
    check(
        "7.3.1",
        "7.3.1 is not released yet: the newest is 7.3-rc4",
        "write `7.3-rc4`",
    );
    check(
        "8.0.1",
        "8.0.1 is not released yet: the newest is 7.3-rc4",
        "write `7.3-rc4`",
    );
    for text in ["6.1.71-rt20", "6.6.0-rc1-next-20260801"] {
        assert!(
            matches!(resolve(text), Err(Error::NoTarball { .. })),
            "{text}"
        );
    }
}

#[test]
fn a_broken_list_is_refused() {
    for text in ["", "{}", "<html>", r#"{"latest_stable":{"version":"7.2"}}"#] {
        assert!(
            matches!(Releases::parse(text), Err(Error::Json(_))),
            "{text}"
        );
    }
    let text = LISTING.replace("6.1.192\", \"iseol", "six\", \"iseol");
    assert!(
        matches!(Releases::parse(&text), Err(Error::Version(InvalidVersion(six))) if six == "six")
    );
}

#[test]
fn an_empty_list_has_no_hint_to_give() {
    let releases = Releases::parse(r#"{"latest_stable":{"version":"7.2"},"releases":[]}"#).unwrap();
    for selector in [Selector::Stable, Selector::Longterm, Selector::Mainline] {
        let error = releases.resolve(&selector).unwrap_err();
        assert!(matches!(error, Error::NotListed { .. }));
        assert_eq!(error.hint(), None);
    }
}

#[test]
fn selectors_round_trip() {
    for (text, printed) in [
        ("6.12", "6.12.y"),
        ("6.12.y", "6.12.y"),
        ("v6.12.0", "6.12.0"),
        ("6.12.117", "6.12.117"),
        ("7.3-rc4", "7.3-rc4"),
        ("stable", "stable"),
        ("longterm", "longterm"),
        ("mainline", "mainline"),
    ] {
        let selector: Selector = text.parse().unwrap();
        assert_eq!(selector.to_string(), printed);
        assert_eq!(printed.parse(), Ok(selector));
    }
    assert_eq!(Selector::Exact(version("6.12")).to_string(), "6.12.0");
}

#[test]
fn an_unknown_selector_is_answered_with_the_nearest() {
    let check = |text: &str, hint: &str| {
        let error = text.parse::<Selector>().unwrap_err();
        assert!(
            error.hint().unwrap().contains(hint),
            "{text}: {:?}",
            error.hint()
        );
    };
    check("Stable", "did you mean `stable`?");
    check("long-term", "did you mean `longterm`?");
    check("latest", "`6.12.117`");
}

proptest! {
    #[test]
    fn parse_is_the_inverse_of_display(text in written()) {
        prop_assert_eq!(version(&text).to_string(), text);
    }

    #[test]
    fn parsing_never_panics(text in ".{0,24}") {
        let _ = text.parse::<KernelVersion>();
        let _ = text.parse::<VersionRange>();
        let _ = text.parse::<Selector>();
    }

    #[test]
    fn what_parses_prints_itself(text in "v?[0-9.]{1,6}[-+~_.a-z0-9]{0,8}") {
        if let Ok(version) = text.parse::<KernelVersion>() {
            prop_assert_eq!(version.to_string(), text.strip_prefix('v').unwrap_or(&text));
        }
    }

    #[test]
    fn the_order_is_total(a in written(), b in written(), c in written()) {
        let (a, b, c) = (version(&a), version(&b), version(&c));
        prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
        prop_assert_eq!(a.cmp(&b).is_eq(), a == b);
        if a <= b && b <= c {
            prop_assert!(a <= c, "{} {} {}", a, b, c);
        }
    }

    #[test]
    fn equal_versions_hash_alike(a in written(), b in written()) {
        let (a, b) = (version(&a), version(&b));
        let state = RandomState::new();
        prop_assert_eq!(state.hash_one(&a), state.hash_one(a.short()));
        if a == b {
            prop_assert_eq!(state.hash_one(&a), state.hash_one(&b));
        }
    }

    #[test]
    fn a_derivative_comes_after_its_base(base in "[1-3]\\.[0-3](-rc[1-3])?", more in "-next-2026080[1-3]|-rt[1-9]|-[a-q][a-z]*") {
        let derivative = version(&format!("{base}{more}"));
        prop_assert!(version(&base) < derivative);
    }

    #[test]
    fn a_candidate_is_between_its_series_and_the_one_before(
        series in (1..4u32, 1..4u32), rc in 1..9u32, sublevel in 0..300u32,
    ) {
        let (major, patchlevel) = series;
        let candidate = version(&format!("{major}.{patchlevel}-rc{rc}"));
        let before = version(&format!("{major}.{}.{sublevel}", patchlevel - 1));
        let after = version(&format!("{major}.{patchlevel}.{sublevel}"));
        prop_assert!(before < candidate && candidate < after);
    }

    #[test]
    fn the_order_of_plain_releases_is_semvers(a in plain(), b in plain()) {
        let semver = |text: &str| semver::Version::parse(text).unwrap();
        prop_assert_eq!(version(&a).cmp(&version(&b)), semver(&a).cmp(&semver(&b)));
    }

    #[test]
    fn ranges_mean_for_plain_releases_what_they_mean_in_semver(
        terms in proptest::collection::vec(("(>=|<=|>|<|=) ?", plain(), 1..4usize), 1..3),
        release in plain(),
    ) {
        let terms: Vec<String> = terms
            .iter()
            .map(|(operator, bound, parts)| {
                let bound: Vec<&str> = bound.split('.').take(*parts).collect();
                format!("{operator}{}", bound.join("."))
            })
            .collect();
        let text = terms.join(", ");
        let theirs = semver::VersionReq::parse(&text).unwrap();
        prop_assert_eq!(
            range(&text).contains(&version(&release)),
            theirs.matches(&semver::Version::parse(&release).unwrap()),
            "{} {}", text, release
        );
    }

    #[test]
    fn ranges_of_full_versions_agree_with_direct_comparison(bound in written(), other in written()) {
        let bound = match bound.parse::<Series>() {
            Ok(_) => format!("{bound}.0"),
            Err(_) => bound,
        };
        let order = version(&other).cmp(&version(&bound));
        for (operator, expected) in [
            ("<", order.is_lt()),
            ("<=", order.is_le()),
            ("=", order.is_eq()),
            ("", order.is_eq()),
            (">=", order.is_ge()),
            (">", order.is_gt()),
        ] {
            let range = range(&format!("{operator}{bound}"));
            prop_assert_eq!(range.contains(&version(&other)), expected, "{} {}", range, other);
            prop_assert_eq!(range.to_string().parse(), Ok(range));
        }
    }

    #[test]
    fn ranges_of_series_agree_with_the_order_of_series(bound in (0..4u32, 0..4u32), other in written()) {
        let series: Series = format!("{}.{}", bound.0, bound.1).parse().unwrap();
        let other = version(&other);
        let order = other.series().cmp(&series);
        for (operator, expected) in [("<", order.is_lt()), (">=", order.is_ge()), ("", order.is_eq())] {
            let range = range(&format!("{operator}{series}"));
            prop_assert_eq!(range.contains(&other), expected, "{} {}", range, other);
        }
    }
}

use proptest::prelude::*;

use super::*;
use crate::source::Sha256;

fn digest(seed: &str) -> Digest {
    Digest::of(&Sha256::of(seed.as_bytes()))
}

fn words<'a>(version: &'a str, existing: &'a str, label: Option<&'a Label>) -> Words<'a> {
    Words {
        version,
        existing,
        series: "6.12",
        arch: "x86_64",
        label,
        ..Words::default()
    }
}

fn composed(template: &str, words: &Words<'_>) -> String {
    let template: Template = template.parse().unwrap();
    template.pattern(words, 0).unwrap().to_string()
}

#[test]
fn labels_are_slugs() {
    let rows = [
        ("Vanilla", Some("vanilla")),
        ("mirror/hch misc", Some("mirror-hch-misc")),
        ("[PATCH v3] mm: faster", Some("patch-v3-mm-faster")),
        ("--x._", Some("x")),
        ("ü€", None),
        ("", None),
    ];
    for (text, expected) in rows {
        assert_eq!(
            Label::slug(text).as_ref().map(Label::as_str),
            expected,
            "{text}"
        );
    }
}

#[test]
fn a_cut_falls_between_words_and_keeps_the_revision() {
    assert_eq!(cut("one-two-three", 9), Some("one-two".into()));
    assert_eq!(cut("one-two-three", 7), Some("one-two".into()));
    assert_eq!(cut("one-two-three-v12", 12), Some("one-two-v12".into()));
    assert_eq!(cut("one-two-three-v1", 8), Some("one-two".into()));
    assert_eq!(cut("onetwothree", 5), Some("onetw".into()));
    assert_eq!(cut("one", 0), None);
}

#[test]
fn templates_are_read_or_refused_with_what_is_wrong() {
    let rows = [
        ("{version}-{label}-{digest}", None),
        ("{version}-{build}.{dist}", None),
        ("{version}", None),
        ("{version}{digest}", None),
        ("{label}-{version}", Some("does not begin with")),
        ("v{version}", Some("does not begin with")),
        ("", Some("does not begin with")),
        ("{version}-{date}", Some("no field `{date}`")),
        ("{version}-{Label}", Some("no field `{Label}`")),
        ("{version}-{}", Some("no field `{}`")),
        ("{version}-{version}", Some("stands twice")),
        ("{version}-{digest", Some("brace")),
        ("{version}-digest}", Some("brace")),
        ("{version}-a b", Some("` ` cannot be part")),
        ("{version}/x", Some("`/` cannot be part")),
        ("{version}-$(x)", Some("`$` cannot be part")),
    ];
    for (text, wrong) in rows {
        match (text.parse::<Template>(), wrong) {
            (Ok(template), None) => assert_eq!(template.to_string(), text),
            (Err(error), Some(wrong)) => {
                assert!(error.to_string().contains(wrong), "{text}: {error}");
                assert!(!error.hint().is_empty());
            }
            (result, _) => panic!("{text}: {result:?}"),
        }
    }
}

#[test]
fn fields_stand_for_the_kernels_words() {
    let label = Label::slug("tiny").unwrap();
    let words = Words {
        in_tree: "-next",
        flavour: Some("kvm"),
        dist: Some("el8"),
        build: Some("1000"),
        ..words("6.12.117", "-mine", Some(&label))
    };
    let rows = [
        (
            "{version}-{label}-{digest}",
            "6.12.117-next-mine-tiny-{digest}",
        ),
        ("{version}-{build}.{dist}", "6.12.117-next-mine-1000.el8"),
        (
            "{version}+{series}.{flavour}.{arch}",
            "6.12.117-next-mine+6.12.kvm.x86_64",
        ),
        ("{version}", "6.12.117-next-mine"),
    ];
    for (template, expected) in rows {
        assert_eq!(composed(template, &words), expected);
    }
}

#[test]
fn an_absent_field_takes_its_separator_along() {
    let rows = [
        ("{version}-{label}-{digest}", "6.12-{digest}"),
        ("{version}-{digest}.{flavour}", "6.12-{digest}"),
        ("{version}-x-{build}.{dist}", "6.12-x"),
        ("{version}{label}-{digest}", "6.12-{digest}"),
        ("{version}.{flavour}{label}-{digest}", "6.12-{digest}"),
    ];
    for (template, expected) in rows {
        assert_eq!(composed(template, &words("6.12", "", None)), expected);
    }
}

#[test]
fn a_release_fits_or_is_refused() {
    let digest = digest("a");
    let label = Label::slug("a-rather-long-label-of-a-series-v3").unwrap();
    let next = Words {
        in_tree: "-next-20260801",
        ..words("6.6.0-rc1-next-20260801", "-mine", Some(&label))
    };
    let composed = Template::default().pattern(&next, 0).unwrap().with(&digest);
    assert_eq!(
        composed.text,
        format!("6.6.0-rc1-next-20260801-next-20260801-mine-a-v3-{digest}")
    );
    assert_eq!(composed.localversion, format!("-mine-a-v3-{digest}"));
    let own = "x".repeat(46);
    let error = Template::default().pattern(&words("6.12.1", &own, Some(&label)), 0);
    let error = error.unwrap_err();
    assert_eq!((error.prefix.len(), error.room), (52, 51));
    let own = "x".repeat(45);
    let barely = Template::default().pattern(&words("6.12.1", &own, Some(&label)), 0);
    assert_eq!(barely.unwrap().with(&digest).text.len(), RELEASE_LENGTH);
}

#[test]
fn a_localversion_of_the_users_own_stays() {
    let label = Label::slug("vanilla").unwrap();
    let rows = [
        ("{version}-{label}", "-v", "6.12-v-vanilla"),
        (
            "{version}-{build}-{label}",
            "-1000-van",
            "6.12-1000-van-1000-vanilla",
        ),
        (
            "{version}-{label}-{digest}",
            "-v",
            "6.12-v-vanilla-{digest}",
        ),
        ("{version}", "-mine", "6.12-mine"),
    ];
    for (template, own, expected) in rows {
        let words = Words {
            build: Some("1000"),
            ..words("6.12", own, Some(&label))
        };
        assert_eq!(composed(template, &words), expected);
    }
}

#[test]
fn the_release_of_a_build_with_another_number_is_taken_off() {
    let label = Label::slug("vanilla").unwrap();
    let digest = digest("another");
    let open = "{version}-{build}.{dist}";
    let with_digest = format!("-mine-1.el9-vanilla-{digest}");
    let shortened = format!("-1.el9-van-{digest}");
    let rows = [
        (open, "-1.el9", "6.12-2.el10"),
        (open, "-1.el10", "6.12-2.el10"),
        (open, "-1000.7.fc44", "6.12-2.el10"),
        (open, "-mine-1.el9", "6.12-mine-2.el10"),
        (open, "-5.15", "6.12-2.el10"),
        ("{version}.{build}{dist}", ".1el9", "6.12.2el10"),
        (
            "{version}-{dist}.{build}",
            "-mine-el9.1",
            "6.12-mine-el10.2",
        ),
        ("{version}-{build}", "-1", "6.12-2"),
        ("{version}-ours{build}", "-mine-ours1", "6.12-mine-ours2"),
        (
            "{version}-{build}-{label}",
            "-mine-1-vanilla",
            "6.12-mine-2-vanilla",
        ),
        (
            "{version}-{build}.{dist}-{label}-{digest}",
            &with_digest,
            "6.12-mine-2.el10-vanilla-{digest}",
        ),
        (
            "{version}-{build}.{dist}-{label}-{digest}",
            &shortened,
            "6.12-2.el10-vanilla-{digest}",
        ),
        // None of these is a release of the template.
        (open, "-1", "6.12-1-2.el10"),
        (open, "-el9", "6.12-el9-2.el10"),
        (open, "-rc1.el9", "6.12-rc1.el9-2.el10"),
        (open, "-1.el9-mine", "6.12-1.el9-mine-2.el10"),
        // These could be, and could be the user's own.
        (open, "-mine-5.15", "6.12-mine-5.15-2.el10"),
        ("{version}-{build}", "-mine-1", "6.12-mine-1-2"),
        (
            "{version}-{build}-{label}",
            "-mine-1",
            "6.12-mine-1-2-vanilla",
        ),
        (
            "{version}-{build}-{label}",
            "-1-other",
            "6.12-1-other-2-vanilla",
        ),
        // Without `{build}` no other word is taken for an earlier one.
        ("{version}-{dist}", "-el9", "6.12-el9-el10"),
    ];
    for (template, existing, expected) in rows {
        let words = Words {
            build: Some("2"),
            dist: Some("el10"),
            ..words("6.12", existing, Some(&label))
        };
        assert_eq!(
            composed(template, &words),
            expected,
            "{template} {existing}"
        );
    }
}

#[test]
fn an_edited_tree_keeps_the_digest_of_its_base_and_fits() {
    let label = Label::slug("one-two-three-four-five-six-seven-eight").unwrap();
    let words = words("6.12.117", "", Some(&label));
    let base = digest("base");
    let pattern = Template::default().pattern(&words, DIRTY.len()).unwrap();
    let release = pattern.dirty(&base).with(&digest("edited"));
    assert_eq!(
        release.text,
        format!("6.12.117-one-two-three-four-five-six-seven-{base}-dirty")
    );
    assert!(release.text.len() <= RELEASE_LENGTH);
}

proptest! {
    #[test]
    fn a_release_never_exceeds_the_limit_and_keeps_the_digest(
        version in "[0-9.]{1,12}",
        existing in "(-[a-z0-9]{0,20}){0,2}",
        label in "[a-z0-9.-]{0,60}",
        reserved in 0usize..7,
    ) {
        let digest = digest("a");
        let label = Label::slug(&label);
        if let Ok(pattern) = Template::default().pattern(&words(&version, &existing, label.as_ref()), reserved) {
            let release = pattern.with(&digest);
            prop_assert!(release.text.len() <= RELEASE_LENGTH - reserved);
            let tail = format!("-{digest}");
            prop_assert!(release.text.ends_with(&tail));
            prop_assert_eq!(version + &release.localversion, release.text);
        }
    }

    #[test]
    fn baking_twice_is_baking_once(
        existing in "(-[a-z]{1,5}){0,2}",
        label in "[a-z]{1,10}",
        template in prop::sample::select(vec![
            "{version}-{label}-{digest}", "{version}-{build}.{dist}", "{version}.{digest}.{label}", "{version}", "{version}-{dist}-{digest}",
        ]),
        dirty: bool,
    ) {
        let (digest, label) = (digest("a"), Label::slug(&label).unwrap());
        let template: Template = template.parse().unwrap();
        let words = Words { dist: Some("el8"), build: Some("1000"), ..words("6.12", &existing, Some(&label)) };
        let bake = |existing: &str| {
            let pattern = template.pattern(&Words { existing, ..words.clone() }, 6).unwrap();
            if dirty { pattern.dirty(&digest).with(&digest) } else { pattern.with(&digest) }
        };
        let once = bake(&existing);
        let twice = bake(&once.localversion);
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn an_earlier_number_and_dist_leave_no_trace(
        existing in "(-[a-z]{1,5}){0,2}",
        earlier in ("[0-9]{1,6}", "[a-z]{2}[0-9_.]{0,5}"),
        build in "[0-9]{1,6}",
        template in prop::sample::select(vec![
            "{version}-{build}.{dist}", "{version}.{dist}-{build}", "{version}-{build}.{dist}-{label}-{digest}", "{version}-{label}-{digest}-{build}",
        ]),
    ) {
        let (digest, label) = (digest("a"), Label::slug("label").unwrap());
        let template: Template = template.parse().unwrap();
        let bake = |existing: &str, build: &str, dist: &str| {
            let words = Words { dist: Some(dist), build: Some(build), ..words("6.12", existing, Some(&label)) };
            template.pattern(&words, 0).unwrap().with(&digest)
        };
        let before = bake(&existing, &earlier.0, &earlier.1);
        prop_assert_eq!(bake(&before.localversion, &build, "el8"), bake(&existing, &build, "el8"));
    }

    #[test]
    fn templates_are_read_as_they_are_shown(text in r"\{version\}([-._+~a-z0-9]{0,3}(\{(series|arch|label|digest|dist)\})?){0,3}") {
        if let Ok(template) = text.parse::<Template>() {
            prop_assert_eq!(template.to_string(), text);
        }
    }
}

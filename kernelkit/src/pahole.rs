//! The options with which a tree runs pahole, which writes a kernel's BTF.
//!
//! Threads of pahole 1.22 to 1.28 write types in the order in which they end (`-j`): the same inputs give other
//! bytes each time. 1.27 brought `--btf_features=reproducible_build`, and from 1.29 on the output is always the same.
//! Which options there are is written in a makefile or script of the tree. It is read here and not run, as far
//! as pahole's version and a build with a fixed time decide; what else is asked there is taken to hold.
//!
//! Pure: the text is handed in.

/// The files of a tree with the options, the first that is there counts: since 6.9, since 5.16, before.
pub const FILES: [&str; 3] = [
    "scripts/Makefile.btf",
    "scripts/pahole-flags.sh",
    "scripts/link-vmlinux.sh",
];

/// The first version whose output is always the same, as `CONFIG_PAHOLE_VERSION` has it.
pub const SETTLED: u32 = 129;

/// Whether pahole of a version (`124` is 1.24), run as the `text` of one of [`FILES`] has it, writes other bytes
/// each time.
pub fn is_unsettled(text: &str, version: u32) -> bool {
    version < SETTLED && is_parallel(&options(text, version))
}

/// Whether several threads write in the order in which they end.
pub fn is_parallel(options: &[String]) -> bool {
    let jobs = options
        .iter()
        .rev()
        .find(|option| option.starts_with("-j") || option.starts_with("--jobs"));
    let settles = |option: &String| option.contains("reproducible_build");
    jobs.is_some_and(|jobs| !matches!(jobs.as_str(), "-j1" | "--jobs=1"))
        && !options.iter().any(settles)
}

/// The options of pahole of a version.
fn options(text: &str, version: u32) -> Vec<String> {
    let mut options = Vec::new();
    // For each condition around a line: whether its branch is taken, and whether one was.
    let mut around: Vec<(bool, bool)> = Vec::new();
    for line in text.lines() {
        let line = line.trim();
        if line.starts_with('#') {
            continue;
        }
        let holds = || holds(line, version);
        let word = line.split_whitespace().next().unwrap_or_default();
        match word {
            "if" | "ifeq" | "ifneq" | "ifdef" | "ifndef" => {
                let holds = holds();
                around.push((holds, holds));
            }
            "else" | "elif" => {
                if let Some((taken, was)) = around.last_mut() {
                    let alone = word == "else" && line == word;
                    *taken = !*was && (alone || holds());
                    *was |= *taken;
                }
            }
            "fi" | "endif" => drop(around.pop()),
            _ if around.iter().all(|(taken, _)| *taken) => assign(line, version, &mut options),
            _ => {}
        }
    }
    options
}

/// Takes over what a line adds to the options, or has in their place.
fn assign(line: &str, version: u32, options: &mut Vec<String>) {
    let value = if let Some(rest) = line.strip_prefix("pahole-flags-") {
        // The name can hold a call, with blanks and commas in it.
        let end = match rest.starts_with("$(call") {
            true => rest.find(")\t").or_else(|| rest.find(") ")),
            false => rest.find([' ', '\t']),
        };
        let (name, rest) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
        if !holds(name, version) {
            return;
        }
        let rest = rest.trim_start();
        match rest.strip_prefix("+=") {
            Some(added) => added,
            None => {
                options.clear();
                rest.trim_start_matches([':', '='])
            }
        }
    } else if let Some((name, value)) = line.split_once('=')
        && (name.ends_with("paholeopt") || name.ends_with("pahole_opt"))
    {
        value
    } else {
        return;
    };
    let words = value.split(|one: char| one.is_whitespace() || "'\"".contains(one));
    // `-j$(JOBS)` is an option; `${extra_paholeopt}` is what there was.
    options.extend(
        words
            .filter(|word| word.starts_with('-'))
            .map(str::to_owned),
    );
}

/// Whether a condition holds where the time is fixed, and nothing but the kernel itself is built.
fn holds(condition: &str, version: u32) -> bool {
    let one = |part: &str| part.split("&&").all(|part| holds_alone(part, version));
    condition.split("||").any(one)
}

fn holds_alone(condition: &str, version: u32) -> bool {
    let negated = condition.starts_with("ifneq")
        || condition.starts_with("ifdef")
        || condition.contains(" -n ");
    // What is compared with nothing.
    if condition.contains("KBUILD_BUILD_TIMESTAMP") {
        return negated;
    }
    if condition.contains("EXTMOD") {
        return !negated;
    }
    if !condition.contains("pahole") {
        return true;
    }
    type Compare = fn(&u32, &u32) -> bool;
    let comparisons: [(&str, Compare); 6] = [
        ("-ge", u32::ge),
        ("-gt", u32::gt),
        ("-le", u32::le),
        ("-lt", u32::lt),
        ("-eq", u32::eq),
        ("-ne", u32::ne),
    ];
    let found = comparisons.iter().find_map(|(name, compare)| {
        let (_, rest) = condition.split_once(name)?;
        let digits = rest.trim_start_matches(|one: char| !one.is_ascii_digit());
        let end = digits
            .find(|one: char| !one.is_ascii_digit())
            .unwrap_or(digits.len());
        Some(compare(&version, &digits[..end].parse().ok()?))
    });
    // `ifneq ($(call test-le, …),y)` holds where the comparison does not.
    found.is_none_or(|found| found != condition.starts_with("ifneq"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In the form of 5.16 to 6.8.
    const SCRIPT: &str = "#!/bin/sh\nextra_paholeopt=\n\nif ! [ -x \"$(command -v ${PAHOLE})\" ]; then\n\texit 0\nfi\n\npahole_ver=$($(dirname $0)/pahole-version.sh ${PAHOLE})\n\nif [ \"${pahole_ver}\" -ge \"118\" ] && [ \"${pahole_ver}\" -le \"121\" ]; then\n\textra_paholeopt=\"${extra_paholeopt} --no_vars\"\nfi\nif [ \"${pahole_ver}\" -ge \"122\" ]; then\n\textra_paholeopt=\"${extra_paholeopt} -j\"\nfi\n\necho ${extra_paholeopt}\n";

    /// In that of 6.9 to 6.11: whatever the time is.
    const MAKEFILE: &str = "pahole-ver := $(CONFIG_PAHOLE_VERSION)\npahole-flags-y :=\n\n# -j is for speed.\nifeq ($(call test-le, $(pahole-ver), 125),y)\npahole-flags-$(call test-ge, $(pahole-ver), 122)\t+= -j\nelse\npahole-flags-$(call test-ge, $(pahole-ver), 126)  = -j --btf_features=var,float\n\nifneq ($(KBUILD_EXTMOD),)\nmodule-pahole-flags-y += --btf_features=distilled_base\nendif\nendif\n\npahole-flags-$(CONFIG_PAHOLE_HAS_LANG_EXCLUDE)\t\t+= --lang_exclude=rust\n\nexport PAHOLE_FLAGS := $(pahole-flags-y)\n";

    /// In that of later ones, where a fixed time is seen.
    const TIMED: &str = "pahole-flags-y :=\nifeq ($(call test-le, $(pahole-ver), 125),y)\nelse\npahole-flags-$(call test-ge, $(pahole-ver), 126)  = -j --btf_features=var\nendif\nifeq ($(KBUILD_BUILD_TIMESTAMP),)\npahole-flags-$(call test-ge, $(pahole-ver), 122)\t+= -j\nelse\npahole-flags-$(call test-ge, $(pahole-ver), 127)\t+= -j --btf_features=+reproducible_build\nendif\n";

    #[test]
    fn what_a_tree_runs_decides_whether_its_types_are_in_order() {
        for (text, versions) in [
            (SCRIPT, &[122, 123, 124, 125, 126, 127, 128][..]),
            (MAKEFILE, &[122, 123, 124, 125, 126, 127, 128]),
            // Of 1.26 the option is asked for with the features.
            (TIMED, &[126]),
            (
                &MAKEFILE.replace("= -j --btf", "= -j$(JOBS) --btf"),
                &[122, 123, 124, 125, 126, 127, 128],
            ),
            // As distributions patch it.
            (&SCRIPT.replace(" -j\"", " -j1\""), &[]),
            (&SCRIPT.replace(" -j\"", "\""), &[]),
            ("", &[]),
        ] {
            for version in 116..=132 {
                assert_eq!(
                    is_unsettled(text, version),
                    versions.contains(&version),
                    "{version}: {text}"
                );
            }
        }
    }

    #[test]
    fn options_are_those_of_the_version() {
        let rows = [
            (SCRIPT, 118, "--no_vars"),
            (SCRIPT, 122, "-j"),
            (MAKEFILE, 121, "--lang_exclude=rust"),
            (MAKEFILE, 125, "-j --lang_exclude=rust"),
            (
                MAKEFILE,
                126,
                "-j --btf_features=var,float --lang_exclude=rust",
            ),
            (TIMED, 125, ""),
            (
                TIMED,
                127,
                "-j --btf_features=var -j --btf_features=+reproducible_build",
            ),
        ];
        for (text, version, expected) in rows {
            assert_eq!(options(text, version).join(" "), expected, "{version}");
        }
    }
}

//! What a kernel's configuration goes through: every area's cases for one target.

use crate::Result;
use crate::oracle::mutate::mutate;
use crate::oracle::pair::Pair;
use crate::oracle::{Case, Scope};
use crate::random::Random;

/// Where a case starts: conf touches a file a symbol unless there is an auto.conf.
const AUTO_CONF: &str = "include/config/auto.conf";

/// Each of these also takes `KCONFIG_ALLCONFIG`; with the file that it looks for first.
const ALL_CONFIGS: &[(&str, &str)] = &[
    ("--alldefconfig", "alldef.config"),
    ("--allnoconfig", "allno.config"),
    ("--allyesconfig", "allyes.config"),
    ("--allmodconfig", "allmod.config"),
    ("--randconfig", "allrandom.config"),
];

const PROBABILITIES: &[&str] = &["", "10", "15:25", "10:15:15", "70", "90:5:5", "0", "100"];

/// The in-tree defconfigs: read, resolved again, and reduced.
pub(super) fn defconfigs<'a>(scope: &Scope<'a>, cases: &mut Vec<Case<'a>>) -> Result {
    let target = scope.target;
    let names = target.tree.defconfigs(&target.source_arch)?;
    let first = target.compiler == "gcc";
    let wanted = match (scope.sample, first) {
        (true, true) => 2,
        (true, false) => 1,
        (false, _) => names.len(),
    };
    let stride = names.len().div_ceil(wanted.max(1)).max(1);
    for name in names.into_iter().step_by(stride) {
        let argument = format!("--defconfig=arch/{}/configs/{name}", target.source_arch);
        cases.push(scope.case("defconfig", &name, move |pair| {
            pair.write(AUTO_CONF, b"")?;
            pair.conf(&[&argument], &[])?;
            // The compiler changes which symbols there are, not how they are resolved.
            if first {
                pair.conf(&["--olddefconfig"], &[])?;
                pair.conf(&["--savedefconfig=defconfig"], &[])?;
            }
            Ok(())
        }));
    }
    Ok(())
}

/// alldefconfig, allnoconfig, allyesconfig and allmodconfig.
pub(super) fn all_configs<'a>(scope: &Scope<'a>, cases: &mut Vec<Case<'a>>) -> Result {
    let sample = scope.sample;
    for (goal, _) in ALL_CONFIGS.iter().take(4) {
        cases.push(scope.case("all", goal, move |pair| {
            pair.write(AUTO_CONF, b"")?;
            pair.conf(&[goal], &[])?;
            pair.conf(&["--savedefconfig=defconfig"], &[])?;
            if !sample {
                pair.conf(&["--olddefconfig"], &[])?;
                pair.conf(&["--defconfig=defconfig"], &[])?;
            }
            Ok(())
        }));
    }
    Ok(())
}

/// Seeded random configurations.
pub(super) fn random<'a>(scope: &Scope<'a>, cases: &mut Vec<Case<'a>>) -> Result {
    for number in 0..scope.count(1, 6) {
        let random = scope.random("random", number);
        cases.push(scope.case("random", &number.to_string(), move |pair| {
            pair.write(AUTO_CONF, b"")?;
            let mut random = random.clone();
            let config = random_config(pair, &mut random, number)?;
            pair.conf(&["--olddefconfig"], &[])?;
            pair.conf(&["--savedefconfig=defconfig"], &[])?;
            if config.is_empty() {
                return Err("randconfig wrote nothing".into());
            }
            Ok(())
        }));
    }
    Ok(())
}

/// A randconfig, compared, and its text.
pub(super) fn random_config(
    pair: &mut Pair<'_>,
    random: &mut Random,
    number: usize,
) -> Result<Vec<u8>> {
    let seed = match random.below(3) {
        0 => random.below(1000).to_string(),
        1 => format!("{:#x}", random.next()),
        _ => (random.next() as i32).to_string(),
    };
    let mut variables = vec![("KCONFIG_SEED", seed.as_str())];
    let probability = PROBABILITIES[number % PROBABILITIES.len()];
    if !probability.is_empty() {
        variables.push(("KCONFIG_PROBABILITY", probability));
    }
    pair.conf(&["--randconfig"], &variables)?;
    Ok(pair.file(".config"))
}

/// Damaged configurations through everything that reads one.
pub(super) fn mutated<'a>(scope: &Scope<'a>, cases: &mut Vec<Case<'a>>) -> Result {
    const GOALS: &[&str] = &[
        "--savedefconfig=defconfig",
        "--listnewconfig",
        "--helpnewconfig",
        "--yes2modconfig",
        "--mod2yesconfig",
        "--mod2noconfig",
        "--oldconfig",
    ];
    const VARIABLES: &[&[(&str, &str)]] = &[
        &[],
        &[("KCONFIG_WARN_UNKNOWN_SYMBOLS", "1")],
        &[("KCONFIG_WARN_CHANGED_INPUT", "1")],
        &[("KCONFIG_WERROR", "1")],
        &[("KCONFIG_OVERWRITECONFIG", "1")],
    ];
    for number in 0..scope.count(1, 6) {
        let random = scope.random("mutated", number);
        let goals = scope.count(2, 3);
        cases.push(scope.case("mutated", &number.to_string(), move |pair| {
            pair.write(AUTO_CONF, b"")?;
            let mut random = random.clone();
            let base = match number % 3 {
                0 => {
                    pair.conf(&["--allmodconfig"], &[])?;
                    pair.file(".config")
                }
                _ => random_config(pair, &mut random, number)?,
            };
            let text = mutate(&mut random, &base);
            let variables = VARIABLES[number % VARIABLES.len()];
            pair.write("damaged", &text)?;
            pair.conf(&["--defconfig=damaged"], variables)?;
            let rotated = GOALS.iter().cycle().skip(number * goals).take(goals);
            for goal in ["--olddefconfig"].iter().chain(rotated) {
                pair.write(".config", &text)?;
                pair.conf(&[goal], variables)?;
            }
            Ok(())
        }));
    }
    Ok(())
}

/// The all*configs and randconfig with values given.
pub(super) fn allconfig<'a>(scope: &Scope<'a>, cases: &mut Vec<Case<'a>>) -> Result {
    for number in 0..scope.count(1, 2) {
        let random = scope.random("allconfig", number);
        cases.push(scope.case("allconfig", &number.to_string(), move |pair| {
            pair.write(AUTO_CONF, b"")?;
            let mut random = random.clone();
            let base = random_config(pair, &mut random, number)?;
            let kept: Vec<_> = base
                .split(|byte| *byte == b'\n')
                .filter(|_| random.chance(10))
                .collect();
            let text = mutate(&mut random, &kept.join(&b'\n'));
            for (index, (goal, special)) in ALL_CONFIGS.iter().enumerate() {
                let (file, value) = match (number + index) % 5 {
                    0 => (*special, ""),
                    1 => ("all.config", "1"),
                    _ => ("given", "given"),
                };
                pair.write(file, &text)?;
                pair.conf(
                    &[goal],
                    &[("KCONFIG_ALLCONFIG", value), ("KCONFIG_SEED", "7")],
                )?;
                pair.remove(file)?;
            }
            // Not there: an error, or nothing.
            pair.conf(&["--allnoconfig"], &[("KCONFIG_ALLCONFIG", "given")])?;
            pair.conf(&["--allnoconfig"], &[("KCONFIG_ALLCONFIG", "1")])?;
            Ok(())
        }));
    }
    Ok(())
}

/// auto.conf and its kin, written anew and brought up to date.
pub(super) fn sync<'a>(scope: &Scope<'a>, cases: &mut Vec<Case<'a>>) -> Result {
    for number in 0..scope.count(1, 3) {
        let random = scope.random("sync", number);
        cases.push(scope.case("sync", &number.to_string(), move |pair| {
            pair.write(AUTO_CONF, b"")?;
            let mut random = random.clone();
            if number == 0 {
                pair.conf(&["--allmodconfig"], &[])?;
            } else {
                random_config(pair, &mut random, number)?;
            }
            pair.remove(AUTO_CONF)?;
            pair.conf(&["--syncconfig"], &[])?;
            // Then those files are there that the second run touches.
            let names: Vec<_> = pair.files().keys().cloned().collect();
            for name in names {
                if name.starts_with("include/config/") && !name.contains("auto.conf") {
                    pair.remove(&name)?;
                }
            }
            let text = mutate(&mut random, &pair.file(".config"));
            pair.write(".config", &text)?;
            pair.conf(&["--syncconfig"], &[])?;
            if !pair.files().contains_key("include/generated/autoconf.h") {
                return Err("syncconfig wrote no autoconf.h".into());
            }
            Ok(())
        }));
    }
    Ok(())
}

/// Probes run by each side: what the other areas take from a record.
pub(super) fn probes<'a>(scope: &Scope<'a>, cases: &mut Vec<Case<'a>>) -> Result {
    cases.push(scope.case("probes", "run", |pair| {
        pair.write(AUTO_CONF, b"")?;
        pair.conf_with_probes(&["--alldefconfig"])
    }));
    Ok(())
}

//! merge_config.sh: the tree's own script, its `make` replaced by the tree's conf, against
//! [`merge_config`] and kernelkit-conf.

use std::fmt::Write as _;

use kernelkit::effect::{exec, fs};
use kernelkit::kconfig::{
    Input, MergeNote, MergeNoteKind, MergeOptions, MergeRules, Merged, merge_config,
};
use kernelkit::process::{Call, quote};

use crate::Result;
use crate::oracle::cases::random_config;
use crate::oracle::mutate::mutate;
use crate::oracle::pair::{Files, Observed, Pair};
use crate::oracle::target::files_below;
use crate::oracle::{Case, Scope};
use crate::random::Random;

/// The script's options in all combinations that change what it does.
const OPTIONS: &[&[&str]] = &[&[], &["-r"], &["-y"], &["-y", "-r"], &["-n"], &["-s"]];

pub(super) fn cases<'a>(scope: &Scope<'a>, cases: &mut Vec<Case<'a>>) -> Result {
    for number in 0..scope.count(1, 6) {
        let random = scope.random("merge", number);
        cases.push(scope.case("merge", &number.to_string(), move |pair| {
            let mut random = random.clone();
            pair.write("include/config/auto.conf", b"")?;
            let options = OPTIONS[random.below(OPTIONS.len())];
            let names = inputs(pair, &mut random, number)?;
            merge_only(pair, options, &names)?;
            whole(pair, options, &names)
        }));
    }
    Ok(())
}

/// Writes a base and fragments: in-tree ones, damaged ones, and some that repeat each other.
fn inputs(pair: &mut Pair<'_>, random: &mut Random, number: usize) -> Result<Vec<String>> {
    let mut base = random_config(pair, random, number)?;
    // Before 7 the script starts several processes for each line of the result.
    if number > 0 && pair.target.tree.dialect != "7" {
        let lines = base.split_inclusive(|byte| *byte == b'\n');
        base = lines
            .filter(|_| random.chance(15))
            .collect::<Vec<_>>()
            .concat();
    }
    let mut sources = Vec::new();
    let tree = &pair.target.tree.dir;
    for dir in [
        tree.join("kernel/configs"),
        tree.join("arch")
            .join(&pair.target.source_arch)
            .join("configs"),
    ] {
        if dir.is_dir() {
            files_below(&dir, &mut |path| {
                if path.extension() == Some("config") {
                    sources.push(dir.join(path));
                }
            })?;
        }
    }
    sources.sort();
    let mut names = vec!["base".to_owned()];
    pair.write("base", &base)?;
    for fragment in 0..1 + random.below(4) {
        let text = match random.below(3) {
            0 if !sources.is_empty() => fs::read(&sources[random.below(sources.len())])?,
            _ => {
                let lines: Vec<_> = base
                    .split(|byte| *byte == b'\n')
                    .filter(|_| random.chance(2))
                    .collect();
                mutate(random, &lines.join(&b'\n'))
            }
        };
        let name = format!("fragment{fragment}.config");
        pair.write(&name, &text)?;
        names.push(name);
    }
    Ok(names)
}

/// What is merged and what is said about it.
fn merge_only(pair: &mut Pair<'_>, options: &[&str], names: &[String]) -> Result {
    let script = script(pair, &[&["-m"], options].concat(), names);
    let before = pair.files().clone();
    let mut expected = pair.observe(&script)?;
    let strict = options.contains(&"-s");
    let (merged, rules) = merged(pair, &before, options, names);
    let mut files = before;
    let redefined = |note: &MergeNote| note.kind == MergeNoteKind::Redefined;
    let refused = strict && merged.notes.iter().any(redefined);
    if !refused {
        files.insert(".config".to_owned(), merged.text);
    }
    let said = merged.notes.iter().map(|note| say(note, rules));
    expected.stdout = normal(&String::from_utf8_lossy(&expected.stdout)).into_bytes();
    let found = Observed {
        broken: false,
        status: if refused {
            "exit status: 1"
        } else {
            "exit status: 0"
        }
        .to_owned(),
        stdout: normal(&said.collect::<String>()).into_bytes(),
        stderr: Vec::new(),
        files,
    };
    let ours = format!(
        "cargo xtask kconfig-oracle --only merge --tree {} --arch {}",
        quote(pair.target.tree.dir.as_str()),
        pair.target.arch
    );
    let name = format!("merge_config.sh -m {}", options.join(" "));
    pair.compare(&name, [&script.to_string(), &ours], expected, found)
}

/// The configuration that comes out at the end.
fn whole(pair: &mut Pair<'_>, options: &[&str], names: &[String]) -> Result {
    if options.contains(&"-s") {
        return Ok(());
    }
    let before = pair.files().clone();
    let mut script = script(pair, options, names);
    // The script's make is asked for KCONFIG_ALLCONFIG=FILE GOAL.
    let tools = pair.side("theirs").with_file_name("make");
    let text = "#!/bin/sh\nexport \"$1\"\nshift\nLD_PRELOAD=$ORACLE_PRELOAD exec \"$CONF\" \"--$1\" Kconfig\n";
    fs::write_atomic(tools.join("make"), text.as_bytes())?;
    exec::capture(&Call::new("/bin/chmod", &tools).args(["755", "make"]))?;
    let record = pair.record()?.to_owned();
    let path = script.env.get("PATH").cloned().unwrap_or_default();
    script = script
        .env("PATH", format!("{tools}:{path}"))
        .env("CONF", pair.target.tree.conf.as_str())
        .env("KCONFIG_ORACLE_REPLAY", record.as_str())
        .env("ORACLE_PRELOAD", pair.replay());
    let mut expected = pair.observe(&script)?;
    let (merged, _) = merged(pair, &before, options, names);
    let goal = match options.contains(&"-n") {
        true => "--allnoconfig",
        false => "--alldefconfig",
    };
    fs::write_atomic(pair.side("ours").join("merged"), &merged.text)?;
    let ours = Call::new(pair.ours(), pair.side("ours"))
        .envs(&pair.target.environment)
        .env("KCONFIG_ALLCONFIG", "merged")
        .args([goal, "--probes", record.as_str(), "Kconfig"]);
    let mut found = pair.observe(&ours)?;
    fs::remove_file(pair.side("ours").join("merged"))?;
    found.files.remove("merged");
    // What is said on the way is the other step's.
    for observed in [&mut expected, &mut found] {
        observed.stdout.clear();
        observed.stderr.clear();
    }
    let name = format!("merge_config.sh {}", options.join(" "));
    pair.compare(
        &name,
        [&script.to_string(), &ours.to_string()],
        expected,
        found,
    )
}

fn script(pair: &Pair<'_>, options: &[&str], names: &[String]) -> Call {
    let script = pair.target.tree.dir.join("scripts/kconfig/merge_config.sh");
    Call::new("/bin/sh", pair.side("theirs"))
        .arg(script)
        .args(options.iter().copied())
        .args(names)
        .envs(&pair.target.environment)
}

fn merged(
    pair: &Pair<'_>,
    files: &Files,
    options: &[&str],
    names: &[String],
) -> (Merged, MergeRules) {
    let rules = match pair.target.tree.dialect {
        "7" => MergeRules::Settings,
        _ => MergeRules::Words,
    };
    let inputs: Vec<_> = names[1..]
        .iter()
        .map(|name| Input {
            name,
            text: &files[name],
        })
        .collect();
    let options = MergeOptions {
        keep_builtin: options.contains(&"-y"),
        report_redundant: options.contains(&"-r"),
    };
    let merged = merge_config(&files[&names[0]], &inputs, "CONFIG_", rules, options);
    (merged, rules)
}

/// A note in the script's words.
fn say(note: &MergeNote, rules: MergeRules) -> String {
    let MergeNote {
        kind,
        symbol,
        fragment,
        previous,
        new,
    } = note;
    let mut text = String::new();
    match (kind, rules) {
        (MergeNoteKind::Redundant, _) => {
            let _ = writeln!(
                text,
                "Value of {symbol} is redundant by fragment {fragment}:"
            );
            return text;
        }
        (MergeNoteKind::Redefined, _) => {
            let _ = writeln!(
                text,
                "Value of {symbol} is redefined by fragment {fragment}:"
            );
        }
        (MergeNoteKind::NotDemoted, MergeRules::Settings) => {
            let _ = writeln!(text, "{symbol}: -y passed, will not demote y to m");
        }
        (MergeNoteKind::NotDemoted, MergeRules::Words) => {}
    }
    let previous = previous.replace('\n', " ");
    let new = new.replace('\n', " ");
    let _ = writeln!(text, "Previous value: {previous}\nNew value: {new}");
    if (kind, rules) == (&MergeNoteKind::NotDemoted, MergeRules::Words) {
        text.push_str("-y passed, will not demote y to m\n");
    }
    text
}

/// The lines about symbols. The script lets the shell have its values, which then
/// folds blanks and takes backslashes for its own: neither can be told apart here.
fn normal(text: &str) -> String {
    const ABOUT_SYMBOLS: &[&str] = &["Value of ", "Previous value:", "New value:"];
    text.lines()
        .map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            words.join(" ").replace('\\', "")
        })
        .filter(|line| {
            line.contains("-y passed") || ABOUT_SYMBOLS.iter().any(|start| line.starts_with(start))
        })
        .map(|line| line + "\n")
        .collect()
}

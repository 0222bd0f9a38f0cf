//! The tree's own `scripts/kconfig/tests`, run on kernelkit-conf.
//!
//! Its pytest fixture runs `scripts/kconfig/conf` below the directory it is started in,
//! so a directory with another conf is all it takes. The tree's own conf runs too:
//! what fails there as well says nothing.

use std::collections::BTreeMap;

use kernelkit::effect::{exec, fs};
use kernelkit::process::Call;

use crate::Result;
use crate::oracle::pair::Pair;
use crate::oracle::{Case, Scope};

pub(super) fn cases<'a>(scope: &Scope<'a>, cases: &mut Vec<Case<'a>>) -> Result {
    let workspace = scope.workspace;
    let tree = &scope.target.tree;
    // A python of the user's own may hide the one that Debian's packages are for.
    let python = ["python3", "/usr/bin/python3"].into_iter().find(|python| {
        let call = workspace.call(python).args(["-c", "import pytest"]);
        exec::capture_unchecked(&call).is_ok_and(|(_, status)| status.success())
    });
    let Some(python) = python else {
        let text = format!(
            "the tests of {} need pytest (Debian: python3-pytest)",
            tree.dir
        );
        if workspace.environment.ci {
            return Err(text.into());
        }
        println!("left out: {text}");
        return Ok(());
    };
    let path = workspace.environment.path.as_str();
    cases.push(scope.case("upstream-tests", "pytest", move |pair| {
        run(pair, python, path)
    }));
    Ok(())
}

fn run(pair: &mut Pair<'_>, python: &str, path: &str) -> Result {
    let tree = pair.target.tree.clone();
    let mut outcomes = Vec::new();
    let mut calls = Vec::new();
    for (side, conf) in [("theirs", tree.conf.as_str()), ("ours", pair.ours())] {
        let dir = pair
            .kept()
            .join(format!("upstream-{}", tree.version))
            .join(side);
        fs::create_dir_all(dir.join("scripts/kconfig"))?;
        fs::copy(conf, dir.join("scripts/kconfig/conf"))?;
        let call = Call::new(python, &dir)
            .args(["-B", "-m", "pytest", "-rA", "--tb=short"])
            .args(["-p", "no:cacheprovider"])
            .arg(tree.dir.join("scripts/kconfig/tests"))
            .env("PATH", path)
            .env("KERNELKIT_CONF_DIALECT", tree.dialect);
        let text = pytest(&call)?;
        fs::write_atomic(dir.join("output"), text.as_bytes())?;
        outcomes.push(parse(&text));
        calls.push(call);
    }
    let [theirs, ours] = outcomes.as_slice() else {
        unreachable!("there are two sides");
    };
    if !theirs.values().any(|passed| *passed) {
        return Err(format!("no test passes on the tree's own conf; try: {}", calls[0]).into());
    }
    for name in theirs
        .iter()
        .filter(|(_, passed)| **passed)
        .map(|(name, _)| name)
    {
        if ours.get(name) == Some(&true) {
            pair.count.passed += 1;
            continue;
        }
        if let Some((_, why)) = KNOWN.iter().find(|(known, _)| known == name) {
            pair.count.known += 1;
            pair.reports
                .push(format!("known: {name} of {}: {why}\n", tree.version));
            continue;
        }
        pair.count.failed += 1;
        pair.reports.push(format!(
            "DIFFERS area upstream-tests, tree {}, test {name}\n  theirs: {}\n  ours: {}\n",
            tree.version, calls[0], calls[1],
        ));
    }
    Ok(())
}

/// What pytest prints; it runs again where the fixture lost a race against conf.
///
/// The fixture writes newlines until it sees that conf has ended. Where the pipe is full, or
/// conf ends just before a write, that write fails with `EPIPE`, whatever conf did. On a busy
/// machine that is about one run in 300; a test that always fails so stays failed.
fn pytest(call: &Call) -> Result<String> {
    const TRIES: usize = 8;
    let mut text = String::new();
    for _ in 0..TRIES {
        text = exec::capture_unchecked(call)?.0.text();
        if !text.contains("BrokenPipeError") {
            break;
        }
    }
    Ok(text)
}

/// Tests that kernelkit-conf cannot pass, and why.
const KNOWN: &[(&str, &str)] = &[(
    "err_recursive_dep::test",
    "conf of 6.1 names the same circles in the order of its hash table, with each symbol's place",
)];

/// Test functions, as `directory::function`, and whether they passed, from pytest's `-rA` summary.
fn parse(text: &str) -> BTreeMap<String, bool> {
    text.lines()
        .filter_map(|line| {
            let (outcome, rest) = line.split_once(' ')?;
            let passed = match outcome {
                "PASSED" => true,
                "FAILED" | "ERROR" => false,
                _ => return None,
            };
            let (file, function) = rest.split(" - ").next()?.split_once("::")?;
            let directory = file.strip_suffix("/__init__.py")?.rsplit('/').next()?;
            Some((format!("{directory}::{}", function.trim()), passed))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_read_from_the_summary() {
        let text = "tests/choice/__init__.py::test_one PASSED [ 20%]\n\
                    =========== short test summary info ============\n\
                    PASSED ../tests/choice/__init__.py::test_one\n\
                    FAILED ../tests/choice/__init__.py::test_two - assert 1 == 0\n\
                    ====== 1 failed, 1 passed in 0.1s ======\n";
        let expected = [
            ("choice::test_one".to_owned(), true),
            ("choice::test_two".to_owned(), false),
        ];
        assert_eq!(parse(text), expected.into());
    }
}

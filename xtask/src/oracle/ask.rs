//! What oldconfig, oldaskconfig and syncconfig ask: generated trees and a kernel's own
//! configuration with lines left out, and random answers to all of them.

use kernelkit::process::Call;

use crate::Result;
use crate::oracle::language::{File, Generator};
use crate::oracle::pair::{Pair, Sides};
use crate::oracle::{Case, Scope};
use crate::random::Random;

const GOALS: &[&str] = &["--oldconfig", "--oldaskconfig", "--syncconfig"];

/// Lines, of which many do not fit any question.
const ANSWERS: &[&str] = &[
    "",
    "",
    "",
    "y",
    "y",
    "Y",
    "yes",
    "n",
    "n",
    "No",
    "m",
    "m",
    "1",
    "2",
    "3",
    "01",
    "9",
    "0x7",
    "ff",
    "-4",
    "42",
    "text",
    " y ",
    "\ty",
    "  ",
    "nope",
    "1x",
    "a \"b\" \\",
];

/// Answers that get a help text.
const HELP: &[&str] = &["?", "2?", "??"];

pub(super) fn cases<'a>(scope: &Scope<'a>, cases: &mut Vec<Case<'a>>) -> Result {
    let target = scope.target;
    if (target.arch.as_str(), target.compiler.as_str()) != ("x86_64", "gcc") {
        return Ok(());
    }
    let dialect = target.tree.dialect;
    let path = scope.workspace.environment.path.as_str();
    for number in 0..scope.count(8, 1000) {
        let random = Random::new(scope.seed, &format!("ask {dialect} {number}"));
        cases.push(scope.case("ask", &number.to_string(), move |pair| {
            let mut random = random.clone();
            let file = Generator::new(&mut random, dialect, true).file();
            generated(pair, &mut random, &file, path)
        }));
    }
    for number in 0..scope.count(1, 10) {
        let random = scope.random("ask", number);
        cases.push(scope.case("ask", &format!("kernel-{number}"), move |pair| {
            kernel(pair, &mut random.clone())
        }));
    }
    Ok(())
}

fn generated(pair: &mut Pair<'_>, random: &mut Random, file: &File, path: &str) -> Result {
    let dialect = pair.target.tree.dialect;
    pair.limit_output(512);
    pair.write("Kconfig", file.text.as_bytes())?;
    pair.write("other.kconfig", file.other.as_bytes())?;
    for goal in GOALS {
        match random.chance(80) {
            true => pair.write(".config", file.config(random).as_bytes())?,
            false => pair.remove(".config")?,
        }
        pair.write("include/config/auto.conf", b"")?;
        let count = random.pick_number(&[0, 5, 60]);
        pair.answer(&answers(random, count));
        let explicit = *goal == "--syncconfig" && random.chance(20);
        let call = |program: &str| {
            let call = Call::new(program, "")
                .args([*goal, "Kconfig"])
                .env("PATH", path)
                .env("KERNELKIT_CONF_DIALECT", dialect);
            match explicit {
                true => call.env("KCONFIG_NOSILENTUPDATE", "1"),
                false => call,
            }
        };
        let sides = Sides {
            theirs: call(pair.target.tree.conf.as_str()),
            ours: call(pair.ours()),
        };
        pair.run(goal, sides)?;
    }
    Ok(())
}

/// oldconfig on a defconfig of the tree without a few dozen of its lines.
fn kernel(pair: &mut Pair<'_>, random: &mut Random) -> Result {
    pair.write("include/config/auto.conf", b"")?;
    pair.conf(&["--defconfig=arch/x86/configs/x86_64_defconfig"], &[])?;
    let config = pair.file(".config");
    let lines: Vec<_> = config.split_inclusive(|byte| *byte == b'\n').collect();
    let percent = random.pick_number(&[1, 2, 5]);
    let kept: Vec<_> = lines
        .into_iter()
        .filter(|_| !random.chance(percent))
        .collect();
    for goal in ["--oldconfig", "--syncconfig"] {
        pair.write(".config", &kept.concat())?;
        pair.answer(&answers(random, 300));
        pair.conf(&[goal], &[])?;
    }
    Ok(())
}

fn answers(random: &mut Random, count: usize) -> Vec<u8> {
    let mut text = String::new();
    for _ in 0..count {
        let answers = if random.chance(6) { HELP } else { ANSWERS };
        text.push_str(random.pick(answers));
        text.push('\n');
    }
    // The input may end in the middle of a line.
    if random.chance(10) {
        text.pop();
    }
    text.into_bytes()
}

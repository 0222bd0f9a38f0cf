//! One case under way: two directories with the same files, in which the tree's conf and
//! kernelkit-conf run side by side.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use camino::{Utf8Path, Utf8PathBuf};
use kernelkit::effect::{exec, fs};
use kernelkit::process::{Call, quote};

use crate::oracle::target::{Target, files_below};
use crate::oracle::{KNOWN, Programs};
use crate::{Result, stopwatch};

/// What is in a directory, by relative path.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// What a run left behind.
#[derive(PartialEq, Eq)]
pub(super) struct Observed {
    /// Ended by a signal: a crash, or more time or output than any run takes.
    pub(super) broken: bool,
    pub(super) status: String,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
    pub(super) files: Files,
}

/// How the steps of a case ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    pub(super) passed: usize,
    pub(super) known: usize,
    pub(super) failed: usize,
    /// Where the tree's own conf crashed, did not end, or read a wrong place in memory.
    pub(super) broken: usize,
    pub(super) seconds: f64,
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Count) {
        self.passed += other.passed;
        self.known += other.known;
        self.failed += other.failed;
        self.broken += other.broken;
        self.seconds += other.seconds;
    }
}

/// Whether conf says that it met an expression of a kind that there is not. From 6.12 on it
/// changes `A!=y` of a bool in place, also where something else has the same expression; it then
/// crashes, or goes on with some address as an expression's kind, another one in each run.
fn took_an_address_for_an_expression(observed: &Observed) -> bool {
    const KINDS: std::ops::Range<i64> = 0..16;
    let text = String::from_utf8_lossy(&observed.stderr);
    text.lines().any(|line| {
        let kind = line.strip_prefix("Oops! How to check ");
        let kind = kind.and_then(|kind| kind.strip_suffix('?')?.parse().ok());
        kind.is_some_and(|kind: i64| !KINDS.contains(&kind))
    })
}

/// The two programs of a step, without their directory.
pub(super) struct Sides {
    pub(super) theirs: Call,
    pub(super) ours: Call,
}

/// Two directories in step.
pub(super) struct Pair<'a> {
    pub(super) target: &'a Target,
    area: &'static str,
    case: &'a str,
    programs: &'a Programs,
    dir: Utf8PathBuf,
    kept: &'a Utf8Path,
    files: Files,
    answers: Vec<u8>,
    /// Blocks of 512 bytes that a file may have.
    blocks: usize,
    pub(super) count: Count,
    /// Text about each difference.
    pub(super) reports: Vec<String>,
}

impl<'a> Pair<'a> {
    /// Two empty directories below `dir`; what differs is kept below `kept`.
    pub(super) fn new(
        target: &'a Target,
        (area, case): (&'static str, &'a str),
        programs: &'a Programs,
        dir: Utf8PathBuf,
        kept: &'a Utf8Path,
    ) -> Result<Self> {
        fs::remove_dir_all(&dir)?;
        for side in ["theirs", "ours"] {
            fs::create_dir_all(dir.join(side))?;
        }
        Ok(Pair {
            target,
            area,
            case,
            programs,
            dir,
            kept,
            files: Files::new(),
            answers: Vec::new(),
            blocks: 16384,
            count: Count::default(),
            reports: Vec::new(),
        })
    }

    pub(super) fn side(&self, side: &str) -> Utf8PathBuf {
        self.dir.join(side)
    }

    /// kernelkit-conf.
    pub(super) fn ours(&self) -> &'a str {
        self.programs.ours.as_str()
    }

    /// The library that answers probes from a record.
    pub(super) fn replay(&self) -> &'a str {
        self.programs.replay.as_str()
    }

    /// Where results are kept for a look.
    pub(super) fn kept(&self) -> &'a Utf8Path {
        self.kept
    }

    /// The target's probes.
    pub(super) fn record(&self) -> Result<&'a Utf8Path> {
        let record = self.target.record.as_deref();
        Ok(record.ok_or("this target has no probes")?)
    }

    /// The files that both have.
    pub(super) fn files(&self) -> &Files {
        &self.files
    }

    /// The same file for both.
    pub(super) fn write(&mut self, name: &str, bytes: &[u8]) -> Result {
        for side in ["theirs", "ours"] {
            fs::write_atomic(self.dir.join(side).join(name), bytes)?;
        }
        self.files.insert(name.to_owned(), bytes.to_vec());
        Ok(())
    }

    /// What both read from standard input from now on; nothing until then.
    pub(super) fn answer(&mut self, answers: &[u8]) {
        self.answers = answers.to_vec();
    }

    /// Small trees are known to repeat themselves long before others do.
    pub(super) fn limit_output(&mut self, blocks: usize) {
        self.blocks = blocks;
    }

    /// Takes a file from both.
    pub(super) fn remove(&mut self, name: &str) -> Result {
        for side in ["theirs", "ours"] {
            fs::remove_file(self.dir.join(side).join(name))?;
        }
        self.files.remove(name);
        Ok(())
    }

    /// A file of the reference's; empty where there is none.
    pub(super) fn file(&self, name: &str) -> Vec<u8> {
        self.files.get(name).cloned().unwrap_or_default()
    }

    /// Both confs in the target's environment, with recorded probes.
    pub(super) fn conf(&mut self, args: &[&str], variables: &[(&str, &str)]) -> Result {
        let record = self.record()?;
        let sides = self.sides(args, variables);
        let sides = Sides {
            theirs: sides
                .theirs
                .env("LD_PRELOAD", self.programs.replay.as_str())
                .env("KCONFIG_ORACLE_REPLAY", record.as_str()),
            ours: sides.ours.args(["--probes", record.as_str()]),
        };
        self.run(&label(args, variables), sides)
    }

    /// The same, each running its probes.
    pub(super) fn conf_with_probes(&mut self, args: &[&str]) -> Result {
        let sides = self.sides(args, &[]);
        self.run(&label(args, &[]), sides)
    }

    fn sides(&self, args: &[&str], variables: &[(&str, &str)]) -> Sides {
        let call = |program: &Utf8Path| {
            let mut call = Call::new(program.as_str(), "")
                .args(args.iter().copied())
                .envs(&self.target.environment);
            for (name, value) in variables {
                call = call.env(*name, *value);
            }
            call.arg("Kconfig")
        };
        Sides {
            theirs: call(&self.target.tree.conf),
            ours: call(&self.programs.ours),
        }
    }

    /// Runs both in their directories and compares everything they leave behind.
    pub(super) fn run(&mut self, step: &str, sides: Sides) -> Result {
        let Sides {
            mut theirs,
            mut ours,
        } = sides;
        theirs.dir = self.side("theirs");
        ours.dir = self.side("ours");
        let expected = self.observe(&theirs)?;
        let found = self.observe(&ours)?;
        let calls = [theirs.to_string(), ours.to_string()];
        self.compare(step, [&calls[0], &calls[1]], expected, found)
    }

    /// Runs one side in the call's directory.
    pub(super) fn observe(&mut self, call: &Call) -> Result<Observed> {
        let (observed, duration) = stopwatch::time(|| self.limited(call));
        self.count.seconds += duration.as_secs_f64();
        observed
    }

    /// Runs one side. Its streams go to files, where they can be limited.
    fn limited(&self, call: &Call) -> Result<Observed> {
        let streams = self.dir.join("streams");
        fs::write_atomic(streams.with_extension("stdin"), &self.answers)?;
        let limited = Call::new("/bin/sh", &call.dir)
            .args([
                "-c",
                LIMITED,
                "sh",
                &self.blocks.to_string(),
                streams.as_str(),
            ])
            .arg(&call.program)
            .args(call.args.iter().cloned())
            .envs(&call.env);
        let (_, status) = exec::capture_unchecked(&limited)?;
        Ok(Observed {
            broken: status.code().is_none(),
            status: status.to_string(),
            stdout: fs::read(streams.with_extension("stdout"))?,
            stderr: fs::read(streams.with_extension("stderr"))?,
            files: read_files(&call.dir)?,
        })
    }

    /// Counts a step, and keeps what differs. After a difference both sides go on
    /// from the reference's files. `commands` are shell lines that repeat it.
    pub(super) fn compare(
        &mut self,
        step: &str,
        commands: [&str; 2],
        expected: Observed,
        found: Observed,
    ) -> Result {
        let parts = differing_parts(&expected, &found);
        if expected.broken && !found.broken {
            self.count.broken += 1;
        } else if parts.is_empty() {
            self.count.passed += 1;
        } else if parts
            .iter()
            .all(|part| is_known(step, part, &expected, &found))
        {
            self.count.known += 1;
        } else if took_an_address_for_an_expression(&expected) {
            self.count.broken += 1;
        } else {
            self.count.failed += 1;
            let report = self.keep(step, commands, [&expected, &found], &parts)?;
            self.reports.push(report);
        }
        // Found files need not be those of the directory: they may be computed.
        let ours = self.side("ours");
        if !parts.is_empty() || read_files(&ours)? != expected.files {
            fs::remove_dir_all(&ours)?;
            write_files(&ours, &expected.files)?;
        }
        self.files = expected.files;
        Ok(())
    }

    /// Keeps input, results and commands, and says what differs first.
    fn keep(
        &self,
        step: &str,
        commands: [&str; 2],
        observed: [&Observed; 2],
        parts: &[String],
    ) -> Result<String> {
        let name: String = format!("{} {} {} {step}", self.area, self.target.name(), self.case)
            .chars()
            .map(|c| match c {
                'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-' => c,
                _ => '_',
            })
            .take(150)
            .collect();
        let kept = self.kept.join(name);
        fs::remove_dir_all(&kept)?;
        write_files(&kept.join("input"), &self.files)?;
        let answers = kept.join("answers");
        fs::write_atomic(&answers, &self.answers)?;
        let mut report = format!(
            "DIFFERS area {}, tree {}, arch {} ({}), case {}, step {step}\n",
            self.area, self.target.tree.version, self.target.arch, self.target.compiler, self.case
        );
        for part in parts {
            let [expected, found] = observed.map(|observed| observed.part(part));
            report.push_str(&first_difference(part, expected, found));
        }
        for ((side, command), observed) in
            ["theirs", "ours"].into_iter().zip(commands).zip(observed)
        {
            let result = kept.join(side);
            write_files(&result, &observed.files)?;
            for stream in ["status", "stdout", "stderr"] {
                let bytes = observed.part(stream).unwrap_or_default();
                fs::write_atomic(kept.join(format!("{side}.{stream}")), bytes)?;
            }
            let script = kept.join(format!("{side}.sh"));
            let text = format!(
                "# Repeats the step in a fresh copy of its input.\nrm -rf {again}\ncp -r {input} {again}\n{command} <{answers}\n",
                again = quote(kept.join(format!("{side}.again")).as_str()),
                input = quote(kept.join("input").as_str()),
                answers = quote(answers.as_str()),
                command = command.replace(
                    self.side(side).as_str(),
                    kept.join(format!("{side}.again")).as_str()
                ),
            );
            fs::write_atomic(&script, text.as_bytes())?;
            let _ = writeln!(report, "  {side}: sh {}", quote(script.as_str()));
        }
        fs::write_atomic(kept.join("report"), report.as_bytes())?;
        Ok(report)
    }
}

impl Observed {
    fn part(&self, part: &str) -> Option<&[u8]> {
        match part {
            "status" => Some(self.status.as_bytes()),
            "stdout" => Some(&self.stdout),
            "stderr" => Some(&self.stderr),
            file => self.files.get(file).map(Vec::as_slice),
        }
    }
}

/// Some of conf's questions are asked for ever where input ends: seconds of processor
/// time and blocks of 512 bytes a file that no run comes near which ends.
const LIMITED: &str = r#"ulimit -t 10; ulimit -f "$1"; out=$2; shift 2
exec "$@" <"$out.stdin" >"$out.stdout" 2>"$out.stderr""#;

fn read_files(dir: &Utf8Path) -> Result<Files> {
    let mut names = Vec::new();
    files_below(dir, &mut |path| names.push(path.to_string()))?;
    let mut files = Files::new();
    for name in names {
        let bytes = fs::read(dir.join(&name))?;
        files.insert(name, bytes);
    }
    Ok(files)
}

fn write_files(dir: &Utf8Path, files: &Files) -> Result {
    fs::create_dir_all(dir)?;
    for (name, bytes) in files {
        fs::write_atomic(dir.join(name), bytes)?;
    }
    Ok(())
}

/// Whether a part is the same but for differences that are understood.
fn is_known(step: &str, part: &str, expected: &Observed, found: &Observed) -> bool {
    let (Some(theirs), Some(ours)) = (expected.part(part), found.part(part)) else {
        return false;
    };
    let known: Vec<_> = KNOWN
        .iter()
        .filter(|known| step.contains(known.step) && known.part == part)
        .collect();
    let mut ours = String::from_utf8_lossy(ours).into_owned();
    let mut theirs = String::from_utf8_lossy(theirs).into_owned();
    for known in &known {
        theirs = (known.without)(&theirs, &ours);
        ours = (known.ours)(&ours);
    }
    !known.is_empty() && theirs == ours
}

fn differing_parts(expected: &Observed, found: &Observed) -> Vec<String> {
    let streams = ["status", "stdout", "stderr"].map(str::to_owned);
    let files = expected.files.keys().chain(found.files.keys()).cloned();
    let mut parts: Vec<_> = streams
        .into_iter()
        .chain(files)
        .filter(|part| expected.part(part) != found.part(part))
        .collect();
    parts.dedup();
    parts
}

/// The first lines from where two texts part.
fn first_difference(part: &str, expected: Option<&[u8]>, found: Option<&[u8]>) -> String {
    const SHOWN: usize = 4;
    let lines = |text: Option<&[u8]>| -> Vec<String> {
        text.unwrap_or_default()
            .split(|byte| *byte == b'\n')
            .map(|line| line.escape_ascii().to_string())
            .collect()
    };
    let (left, right) = (lines(expected), lines(found));
    let at = left
        .iter()
        .zip(&right)
        .take_while(|(left, right)| left == right)
        .count();
    let mut text = format!("  {part}, line {}:\n", at + 1);
    for (sign, lines, there) in [('-', left, expected), ('+', right, found)] {
        if there.is_none() {
            let _ = writeln!(text, "    {sign} (no such file)");
        }
        for line in lines.iter().skip(at).take(SHOWN) {
            let _ = writeln!(text, "    {sign} {line}");
        }
    }
    text
}

/// A step's name: its arguments and variables.
fn label(args: &[&str], variables: &[(&str, &str)]) -> String {
    let variables = variables
        .iter()
        .map(|(name, value)| format!("{name}={}", quote(value)));
    variables
        .chain(args.iter().map(|arg| (*arg).to_owned()))
        .collect::<Vec<_>>()
        .join(" ")
}

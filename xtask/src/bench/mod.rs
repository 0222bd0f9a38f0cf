//! `cargo xtask bench`: each row runs our command and the one it replaces alternately,
//! in one run on one machine, and compares medians with a goal.
//!
//! The rows are in [`kernel`], [`batch`], [`kconfig`] and [`nix`]; a new area is a new file and a line in [`AREAS`].

mod batch;
mod kconfig;
mod kernel;
mod nix;
mod report;

use camino::Utf8PathBuf;
use clap::builder::PossibleValuesParser;
use kernelkit::effect::{exec, fs};
use kernelkit::process::Call;

use crate::workspace::Workspace;
use crate::{Result, stopwatch};
use report::Outcome;

/// Measure side by side.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Runs of each side
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Run only these rows
    #[arg(long, value_name = "ROW", value_delimiter = ',', value_parser = PossibleValuesParser::new(rows().map(|row| row.name)))]
    only: Vec<String>,
    /// Kernel tree to build [default: the last of KERNELKIT_TEST_TREES]
    #[arg(long, value_name = "DIR")]
    tree: Option<Utf8PathBuf>,
    /// Print one JSON object instead of the table
    #[arg(long)]
    json: bool,
}

/// One measurement.
struct Row {
    /// What `--only` calls it.
    name: &'static str,
    /// What is compared, for the reader of the table.
    about: &'static str,
    /// What should be reached.
    goal: Option<Goal>,
    /// Makes everything ready and names the command lines.
    prepare: fn(&Setting<'_>) -> Result<Sides>,
}

/// What should be reached, at most.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Goal {
    /// Of the reference's time.
    Ratio(f64),
    /// Seconds.
    Seconds(f64),
    /// MiB of memory.
    Memory(f64),
}

const AREAS: &[&[Row]] = &[kernel::ROWS, batch::ROWS, kconfig::ROWS, nix::ROWS];

fn rows() -> impl Iterator<Item = &'static Row> {
    AREAS.iter().copied().flatten()
}

/// What is measured against what.
struct Sides {
    ours: Side,
    reference: Option<Side>,
    /// Instead of the row's, where the tree decides.
    goal: Option<Goal>,
    /// Holds after each of our timed runs: a quick wrong answer is no result.
    holds: Option<Box<dyn Fn() -> Result>>,
}

/// One command line and what has to happen before each of its runs.
struct Side {
    before: Vec<Call>,
    timed: Vec<Call>,
}

/// Where the rows find things.
struct Setting<'a> {
    workspace: &'a Workspace,
    /// The kernel tree.
    tree: Utf8PathBuf,
    /// A directory of the benchmark's own.
    scratch: Utf8PathBuf,
}

impl Side {
    /// Seconds one run takes; where memory is the goal, the MiB that its command prints.
    fn run(&self, goal: Option<Goal>) -> Result<f64> {
        for call in &self.before {
            exec::capture(call)?;
        }
        if let (Some(Goal::Memory(_)), [call]) = (goal, self.timed.as_slice()) {
            let printed = exec::capture(call)?.text();
            let last = printed.lines().last().unwrap_or_default();
            return Ok(last.trim().parse::<f64>()? / 1024.0);
        }
        let (done, duration) = stopwatch::time(|| {
            self.timed
                .iter()
                .try_for_each(|call| exec::capture(call).map(drop))
        });
        done?;
        Ok(duration.as_secs_f64())
    }
}

/// Runs the chosen rows and prints the report.
pub(crate) fn run(args: &Args, workspace: &Workspace) -> Result {
    let tree = args
        .tree
        .as_ref()
        .map(|tree| workspace.environment.current_dir.join(tree))
        .or_else(|| workspace.test_trees().pop())
        .ok_or("no kernel tree: give --tree DIR or set KERNELKIT_TEST_TREES")?;
    for package in [
        &["--package", "cargo-kernel"][..],
        &["--package", "kernelkit", "--example", "many_configs"],
        &["--package", "kernelkit", "--example", "nix"],
    ] {
        let build = workspace.cargo(&[&["build", "--release"], package].concat());
        exec::stream(&build, None, &mut |line| {
            eprintln!("{}", String::from_utf8_lossy(line));
        })?;
    }
    let scratch = workspace.target.join("bench");
    fs::create_dir_all(&scratch)?;
    let setting = Setting {
        workspace,
        tree,
        scratch,
    };
    let mut outcomes = Vec::new();
    for row in rows() {
        if args.only.is_empty() || args.only.iter().any(|name| name == row.name) {
            outcomes.push(measure(row, args.runs, &setting)?);
        }
    }
    match args.json {
        true => println!("{:#}", report::json(&outcomes)),
        false => print!("{}", report::table(&outcomes)),
    }
    Ok(())
}

/// Both sides alternately, so that a busy minute of the machine hits both.
fn measure(row: &Row, runs: u32, setting: &Setting<'_>) -> Result<Outcome> {
    eprintln!("{}: preparing", row.name);
    let sides = (row.prepare)(setting)?;
    let goal = sides.goal.or(row.goal);
    let (mut ours, mut reference) = (Vec::new(), Vec::new());
    for run in 1..=runs {
        eprintln!("{}: run {run} of {runs}", row.name);
        ours.push(sides.ours.run(row.goal)?);
        if let Some(holds) = &sides.holds {
            holds()?;
        }
        if let Some(side) = &sides.reference {
            reference.push(side.run(row.goal)?);
        }
    }
    Ok(Outcome {
        name: row.name,
        about: row.about,
        goal,
        ours,
        reference,
    })
}

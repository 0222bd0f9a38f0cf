//! `cargo xtask kconfig-oracle`: each tree's own `scripts/kconfig/conf` against
//! `kernelkit-conf`, byte for byte: exit status, both streams, and every file.
//!
//! A case is a sequence of runs in two directories, in one environment: the one that
//! the tree's Makefile sets up. Probes run once for a tree, architecture and compiler;
//! both programs then replay them, and one area holds that both ask the same and
//! understand the answers alike.

mod ask;
mod cases;
mod debian;
mod language;
mod merge;
mod mutate;
mod pair;
mod target;
mod upstream;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use camino::{Utf8Path, Utf8PathBuf};
use clap::builder::PossibleValuesParser;
use kernelkit::effect::{exec, fs, lock};

use crate::random::Random;
use crate::workspace::{TEST_TREES, Workspace};
use crate::{Result, describe, stopwatch};
use pair::{Count, Pair};
use target::{Target, Tree};

/// Compare `kernelkit-conf` with each kernel tree's own conf.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A fixed sample for everyday runs
    #[arg(long)]
    sample: bool,
    /// Kernel trees [default: those of KERNELKIT_TEST_TREES]
    #[arg(long, value_name = "DIR")]
    tree: Vec<Utf8PathBuf>,
    /// Where random configurations, damages and Kconfig files start from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Only these areas
    #[arg(long, value_name = "AREA", value_delimiter = ',', value_parser = PossibleValuesParser::new(AREAS.iter().map(|area| area.name)))]
    only: Vec<String>,
    /// Only these architectures
    #[arg(long, value_name = "ARCH", value_delimiter = ',')]
    arch: Vec<String>,
    /// Only the cases of these names, as reports of differences give them
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    case: Vec<String>,
    /// Cases that run at a time
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    jobs: u32,
    /// The kernelkit-conf to compare; built where none is named
    #[arg(long, value_name = "FILE")]
    binary: Option<Utf8PathBuf>,
}

/// A kind of cases.
struct Area {
    /// What `--only` calls it.
    name: &'static str,
    cases: Cases,
}

/// How an area finds its cases.
enum Cases {
    /// For each architecture and compiler whose probes were recorded.
    Configured(for<'a> fn(&Scope<'a>, &mut Vec<Case<'a>>) -> Result),
    /// For each architecture and compiler, configured or not.
    Any(for<'a> fn(&Scope<'a>, &mut Vec<Case<'a>>) -> Result),
    /// Once a tree.
    Tree(for<'a> fn(&Scope<'a>, &mut Vec<Case<'a>>) -> Result),
}

const AREAS: &[Area] = &[
    Area {
        name: "defconfig",
        cases: Cases::Configured(cases::defconfigs),
    },
    Area {
        name: "all",
        cases: Cases::Configured(cases::all_configs),
    },
    Area {
        name: "random",
        cases: Cases::Configured(cases::random),
    },
    Area {
        name: "mutated",
        cases: Cases::Configured(cases::mutated),
    },
    Area {
        name: "allconfig",
        cases: Cases::Configured(cases::allconfig),
    },
    Area {
        name: "sync",
        cases: Cases::Configured(cases::sync),
    },
    Area {
        name: "merge",
        cases: Cases::Configured(merge::cases),
    },
    Area {
        name: "debian",
        cases: Cases::Configured(debian::cases),
    },
    Area {
        name: "probes",
        cases: Cases::Any(cases::probes),
    },
    Area {
        name: "language",
        cases: Cases::Tree(language::cases),
    },
    Area {
        name: "ask",
        cases: Cases::Configured(ask::cases),
    },
    Area {
        name: "upstream-tests",
        cases: Cases::Tree(upstream::cases),
    },
];

/// A difference that is understood and cannot matter. Such steps are counted apart.
struct Known {
    /// What the step's name contains.
    step: &'static str,
    /// A file's name, or `status`, `stdout`, `stderr`.
    part: &'static str,
    /// Theirs as it would be without the difference; the rest must still be ours.
    without: fn(&str, &str) -> String,
    /// Ours, brought into the same form.
    ours: fn(&str) -> String,
    /// Why it cannot matter.
    why: &'static str,
}

const KNOWN: &[Known] = &[
    Known {
        step: "",
        part: "stderr",
        without: |theirs, _| theirs.to_owned(),
        ours: str::to_owned,
        why: "bytes of a bad value that are not UTF-8 are shown as U+FFFD",
    },
    Known {
        step: "",
        part: "stderr",
        without: |theirs, _| without_remarks(theirs),
        ours: str::to_owned,
        why: "conf says which comparisons it simplifies, or cannot look for circles in",
    },
    Known {
        step: "",
        part: "stderr",
        without: |theirs, _| without_repeats(theirs),
        ours: without_repeats,
        why: "of unmet dependencies conf simplifies the expressions, and up to 6.x it repeats them; \
              where symbols select each other in circles, their order is that of its recursion",
    },
    Known {
        step: "",
        part: "stderr",
        without: |theirs, _| without_numbers(theirs),
        ours: str::to_owned,
        why: "conf tells a tree's authors of numbers that are undefined symbols",
    },
    Known {
        step: "config",
        part: "stdout",
        without: |theirs, _| without_places(theirs),
        ours: without_places,
        why: "conf simplifies the expressions in help texts, and so it finds some submenus, which are \
              indented: for people",
    },
];

/// Each warning of unmet dependencies once, in alphabetical order, and of its expressions
/// the symbols that select and the values.
fn without_repeats(text: &str) -> String {
    const START: &str = "\nWARNING: unmet direct dependencies detected for ";
    let mut blocks = text.split(START);
    let mut out = blocks.next().unwrap_or_default().to_owned();
    let mut warnings = BTreeSet::new();
    for block in blocks {
        let head = |line: &str| {
            let end = match line.starts_with("  - ") {
                true => line[4..].find(' ').map(|end| end + 4),
                false => line.find("]:").map(|end| end + 2),
            };
            line[..end.unwrap_or(line.len())].to_owned()
        };
        let (symbol, rest) = block.split_once('\n').unwrap_or((block, ""));
        let mut lines = rest.split_inclusive('\n').peekable();
        let mut about = BTreeSet::new();
        while let Some(line) = lines.next_if(|line| line.starts_with("  ")) {
            about.insert(head(line.trim_end()));
        }
        warnings.insert((symbol, about));
        out.extend(lines);
    }
    for (symbol, about) in warnings {
        out.push_str(&format!("{START}{symbol}\n{about:?}"));
    }
    out
}

fn without_numbers(theirs: &str) -> String {
    theirs
        .split_inclusive('\n')
        .filter(|line| {
            let about = line
                .split_once(":warning: ")
                .map_or("", |(_, about)| about.trim_end());
            about != "range is invalid" && !about.ends_with(": number is invalid")
        })
        .collect()
}

fn without_remarks(theirs: &str) -> String {
    theirs
        .split_inclusive('\n')
        .filter(|line| !(line.starts_with("boolean symbol ") && line.contains(" tested for 'm'? ")))
        .filter(|line| !line.starts_with("Oops! How to check "))
        .collect()
}

/// Help texts without what follows a symbol's type, the paragraph's other lines; no
/// empty lines, no indentation, and no remarks about comparisons.
fn without_places(text: &str) -> String {
    let mut inside = false;
    without_remarks(text)
        .split_inclusive('\n')
        .filter(|line| {
            inside &= *line != "\n";
            inside |= line.starts_with("Range : ")
                || line.starts_with("Defined at ")
                || line.starts_with("Selected by ");
            !inside && *line != "\n"
        })
        .map(str::trim_start)
        .collect()
}

/// The programs that are the same for all trees.
struct Programs {
    ours: Utf8PathBuf,
    /// Library that answers conf's probes from a record.
    replay: Utf8PathBuf,
}

/// What cases are made for.
struct Scope<'a> {
    target: &'a Target,
    workspace: &'a Workspace,
    sample: bool,
    seed: u64,
}

/// A sequence of runs.
struct Case<'a> {
    area: &'static str,
    target: &'a Target,
    name: String,
    run: Box<dyn Fn(&mut Pair<'_>) -> Result + Send + Sync + 'a>,
}

impl<'a> Scope<'a> {
    fn case(
        &self,
        area: &'static str,
        name: &str,
        run: impl Fn(&mut Pair<'_>) -> Result + Send + Sync + 'a,
    ) -> Case<'a> {
        Case {
            area,
            target: self.target,
            name: name.to_owned(),
            run: Box::new(run),
        }
    }

    fn count(&self, sample: usize, all: usize) -> usize {
        if self.sample { sample } else { all }
    }

    /// The random numbers of a case: no other case, tree or architecture has the same.
    fn random(&self, area: &str, number: usize) -> Random {
        Random::new(
            self.seed,
            &format!("{area} {number} {}", self.target.name()),
        )
    }
}

/// The sample of everyday runs, on the trees of the tests.
pub(crate) fn sample(workspace: &Workspace) -> Result {
    if workspace.test_trees().is_empty() && !workspace.environment.ci {
        println!("left out: {TEST_TREES} names no kernel tree");
        return Ok(());
    }
    let args = Args {
        sample: true,
        tree: Vec::new(),
        seed: 1,
        only: Vec::new(),
        arch: Vec::new(),
        case: Vec::new(),
        jobs: 2,
        binary: None,
    };
    run(&args, workspace)
}

/// Runs the chosen areas and reports every difference.
pub(crate) fn run(args: &Args, workspace: &Workspace) -> Result {
    let trees = match args.tree.as_slice() {
        [] => workspace.test_trees(),
        given => given
            .iter()
            .map(|tree| workspace.environment.current_dir.join(tree))
            .collect(),
    };
    if trees.is_empty() {
        return Err(format!("no kernel tree: give --tree DIR or set {TEST_TREES}=DIR:DIR").into());
    }
    let scratch = workspace.target.join("kconfig-oracle");
    fs::create_dir_all(&scratch)?;
    let purpose = "cargo xtask kconfig-oracle";
    let _lock = lock::acquire(&scratch.join("lock"), purpose, &mut |holder| {
        println!("waiting for {holder}, which works in {scratch}");
    })?;
    let kept = scratch.join("differences");
    fs::remove_dir_all(&kept)?;
    let programs = programs(args, workspace, &scratch)?;
    let jobs = args.jobs as usize;
    let (targets, duration) =
        stopwatch::time(|| prepare(args, workspace, &programs, &trees, &scratch));
    let targets = targets?;
    println!("prepared in {:.0} s", duration.as_secs_f64());
    let cases = choose(args, workspace, &targets)?;
    println!("{} cases", cases.len());
    let totals = Mutex::new(BTreeMap::<Row, Count>::new());
    let done = AtomicUsize::new(0);
    let (result, duration) = stopwatch::time(|| {
        parallel(jobs, &cases, |worker, case| {
            let dir = scratch.join("work").join(worker.to_string());
            let pair = run_case(case, &programs, dir, &kept).map_err(|error| describe(&*error))?;
            for report in &pair.reports {
                print!("{report}");
            }
            let area = AREAS
                .iter()
                .position(|area| area.name == case.area)
                .expect("cases come from areas");
            *totals
                .lock()
                .expect("no worker panics with it")
                .entry((area, case.target.tree.version.clone(), compiler(area, case)))
                .or_default() += pair.count;
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            if done.is_multiple_of(100) {
                println!("{done} of {} cases", cases.len());
            }
            Ok(())
        })
    });
    let totals = totals.into_inner().expect("no worker panics with it");
    let text = table(&totals);
    println!("\n{text}");
    println!("cases: {:.0} s", duration.as_secs_f64());
    for known in KNOWN {
        let step = match known.step {
            "" => "any step",
            step => step,
        };
        println!("known: {} of {step}: {}", known.part, known.why);
    }
    let mut all = Count::default();
    for count in totals.values() {
        all += *count;
    }
    let runs = all.passed + all.known + all.failed;
    println!(
        "{} of {} cases, {runs} runs compared: {} passed, {} with known differences, {} failed; \
         in {} more the tree's conf crashed, did not end, or read a wrong place in memory",
        done.into_inner(),
        cases.len(),
        all.passed,
        all.known,
        all.failed,
        all.broken
    );
    result?;
    fs::remove_dir_all(scratch.join("work"))?;
    match all.failed {
        0 if runs == 0 => Err("nothing was compared".into()),
        0 => Ok(()),
        _ => Err(format!("there are differences; they are kept in {kept}").into()),
    }
}

/// Area, tree and compiler.
type Row = (usize, String, String);

/// The compiler of a case; areas that have their cases once a tree use none.
fn compiler(area: usize, case: &Case<'_>) -> String {
    match AREAS[area].cases {
        Cases::Tree(_) => "-".to_owned(),
        Cases::Configured(_) | Cases::Any(_) => case.target.compiler.clone(),
    }
}

/// Runs a case to its end; only what stops all of them is an error.
fn run_case<'a>(
    case: &'a Case<'_>,
    programs: &'a Programs,
    dir: Utf8PathBuf,
    kept: &'a Utf8Path,
) -> Result<Pair<'a>> {
    let mut pair = Pair::new(case.target, (case.area, &case.name), programs, dir, kept)?;
    if let Err(error) = (case.run)(&mut pair) {
        if exec::interrupted() {
            return Err(error);
        }
        pair.count.failed += 1;
        pair.reports.push(format!(
            "FAILED area {}, {}, case {}: {}\n",
            case.area,
            case.target.name(),
            case.name,
            describe(&*error)
        ));
    }
    Ok(pair)
}

/// Builds kernelkit-conf and the library that replays probes.
fn programs(args: &Args, workspace: &Workspace, scratch: &Utf8Path) -> Result<Programs> {
    let ours = match &args.binary {
        Some(binary) => workspace.environment.current_dir.join(binary),
        None => {
            let build = workspace.cargo(&[
                "build",
                "--release",
                "--package",
                "cargo-kernel",
                "--bin",
                "kernelkit-conf",
            ]);
            exec::stream(&build, None, &mut |line| {
                eprintln!("{}", String::from_utf8_lossy(line));
            })?;
            workspace.target.join("release/kernelkit-conf")
        }
    };
    let replay = scratch.join("replay.so");
    let source = workspace.root.join("xtask/src/oracle/replay.c");
    exec::capture(&workspace.call("cc").args([
        "-shared",
        "-fPIC",
        "-O2",
        "-Wall",
        "-o",
        replay.as_str(),
        source.as_str(),
    ]))?;
    Ok(Programs { ours, replay })
}

/// Builds every conf, asks for every environment and runs every probe.
fn prepare(
    args: &Args,
    workspace: &Workspace,
    programs: &Programs,
    trees: &[Utf8PathBuf],
    scratch: &Utf8Path,
) -> Result<Vec<Target>> {
    let targets = Mutex::new(Vec::new());
    let add = |order: (usize, usize), target| {
        let mut targets = targets.lock().expect("no worker panics with it");
        targets.push((order, target));
    };
    let numbered: Vec<_> = trees.iter().enumerate().collect();
    let jobs = args.jobs as usize;
    // One after the other within a tree: they share its build directory.
    parallel(jobs, &numbered, |_, (number, dir)| {
        let prepare = || -> Result {
            let tree = Arc::new(Tree::prepare(workspace, dir, &scratch.join("conf"))?);
            for (place, selected) in tree.selection(args.sample)?.into_iter().enumerate() {
                if !args.arch.is_empty() && !args.arch.contains(&selected.0) {
                    continue;
                }
                let name = format!("{} {} {}", tree.version, selected.0, selected.2);
                match Target::new(workspace, &tree, selected) {
                    Ok(target) => add((*number, place), target),
                    Err(error) if exec::interrupted() => return Err(error),
                    // The sample has what every one of its trees supports.
                    Err(error) if args.sample && workspace.environment.ci => return Err(error),
                    Err(error) => println!("left out: {name}: {}", reason(&describe(&*error))),
                }
            }
            Ok(())
        };
        prepare().map_err(|error| describe(&*error))
    })?;
    let mut targets = targets.into_inner().expect("no worker panics with it");
    targets.sort_by_key(|(order, _)| *order);
    let targets: Vec<_> = targets
        .into_iter()
        .map(|(_, target)| Mutex::new(target))
        .collect();
    parallel(jobs, &targets, |_, target| {
        let mut target = target.lock().expect("no worker panics with it");
        match target.record(programs, &scratch.join("probes")) {
            Ok(None) => Ok(()),
            Ok(Some(why)) => {
                // Which both find: the area of probes compares it.
                println!("cannot be configured here: {}: {why}", target.name());
                Ok(())
            }
            Err(error) => Err(describe(&*error)),
        }
    })?;
    Ok(targets
        .into_iter()
        .map(|target| target.into_inner().expect("no worker panics with it"))
        .collect())
}

/// What make gives as the reason, without where it says so; else the first line.
fn reason(text: &str) -> &str {
    let line = text
        .lines()
        .find_map(|line| line.split_once("*** ").map(|(_, line)| line));
    line.or(text.lines().next()).unwrap_or_default().trim()
}

/// The cases of the chosen areas.
fn choose<'a>(
    args: &Args,
    workspace: &'a Workspace,
    targets: &'a [Target],
) -> Result<Vec<Case<'a>>> {
    let mut cases = Vec::new();
    for area in AREAS {
        if !args.only.is_empty() && !args.only.iter().any(|name| name == area.name) {
            continue;
        }
        let mut tree: Option<&Arc<Tree>> = None;
        for target in targets {
            let scope = Scope {
                target,
                workspace,
                sample: args.sample,
                seed: args.seed,
            };
            match area.cases {
                Cases::Configured(find) if target.record.is_some() => find(&scope, &mut cases)?,
                Cases::Any(find) => find(&scope, &mut cases)?,
                Cases::Tree(find) if tree.is_none_or(|tree| !Arc::ptr_eq(tree, &target.tree)) => {
                    tree = Some(&target.tree);
                    find(&scope, &mut cases)?;
                }
                Cases::Configured(_) | Cases::Tree(_) => {}
            }
        }
    }
    if !args.case.is_empty() {
        cases.retain(|case| args.case.contains(&case.name));
    }
    Ok(cases)
}

/// Hands the items to `jobs` workers, in order. The first error ends all.
fn parallel<T: Sync>(
    jobs: usize,
    items: &[T],
    work: impl Fn(usize, &T) -> std::result::Result<(), String> + Sync,
) -> Result {
    let next = AtomicUsize::new(0);
    let error = Mutex::new(None);
    std::thread::scope(|scope| {
        for worker in 0..jobs {
            let (next, error, work) = (&next, &error, &work);
            scope.spawn(move || {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(text) = work(worker, item) {
                        next.store(items.len(), Ordering::Relaxed);
                        error
                            .lock()
                            .unwrap_or_else(std::sync::PoisonError::into_inner)
                            .get_or_insert(text);
                    }
                }
            });
        }
    });
    let error = error
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    match error {
        Some(text) => Err(text.into()),
        None => Ok(()),
    }
}

/// Runs by area, tree and compiler.
fn table(totals: &BTreeMap<Row, Count>) -> String {
    let mut text = format!(
        "{:<16} {:<10} {:<8} {:>7} {:>7} {:>7} {:>7} {:>9}\n",
        "area", "tree", "compiler", "passed", "known", "failed", "broken", "seconds"
    );
    for ((area, tree, compiler), count) in totals {
        text.push_str(&format!(
            "{:<16} {tree:<10} {compiler:<8} {:>7} {:>7} {:>7} {:>7} {:>9.1}\n",
            AREAS[*area].name, count.passed, count.known, count.failed, count.broken, count.seconds
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_unmet_dependencies_symbols_and_values_stay() {
        let block = |symbol: &str, expression: &str, selector: &str| {
            format!(
                "\nWARNING: unmet direct dependencies detected for {symbol}\n  \
                 Depends on [n]: {expression}\n  Selected by [y]:\n  - {selector}\n"
            )
        };
        let theirs = block("A", "B [=n] && C [=n]", "D [=y] && E [=y]").repeat(2);
        assert_eq!(
            without_repeats(&theirs),
            without_repeats(&block("A", "B && C", "D [=y]"))
        );
        for other in [
            block("A", "B", "F [=y]"),
            block("X", "B", "D"),
            String::new(),
        ] {
            assert_ne!(without_repeats(&theirs), without_repeats(&other));
        }
        assert!(without_repeats(&format!("{theirs}more\n")).starts_with("more\n"));
    }

    #[test]
    fn help_is_compared_without_places() {
        let about = "CONFIG_A:\nSome\nhelp.\nSymbol: A [=n]\nType  : bool\n";
        let text = format!("{about}Defined at Kconfig:1\n  Prompt: a\n\n\n\nb (B) [N/y/?] ");
        assert_eq!(without_places(&text), format!("{about}b (B) [N/y/?] "));
    }
}

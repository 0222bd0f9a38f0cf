//! `cargo xtask torture`: builds kernels while their source, their compiler, caches, store and records are changed
//! under them. Whatever a build says it has built must be, byte for byte, what that source makes from nothing;
//! else the build has to fail and say why.
#![allow(
    clippy::disallowed_methods,
    reason = "it treats files and processes as no careful program would"
)]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use kernelkit::effect::exec;
use kernelkit::source::Sha256;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::random::Random;
use crate::workspace::Workspace;
use crate::{Result, describe};

/// Change sources, toolchains, caches and stores under builds.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Kernel tree [default: the stand-in of the tests, which builds in a second]
    #[arg(long, value_name = "DIR")]
    tree: Option<Utf8PathBuf>,
    /// Steps to take
    #[arg(long, default_value_t = 2000, value_name = "N")]
    steps: usize,
    /// States of the source to go between
    #[arg(long, default_value_t = 24, value_name = "N")]
    states: usize,
    /// Stop after so many minutes
    #[arg(long, value_name = "MINUTES")]
    minutes: Option<u64>,
    /// Decides what happens
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keep the directory and name it
    #[arg(long)]
    keep: bool,
}

/// Files that states differ in, of which a tree has some.
const FILES: [&str; 7] = [
    "init/main.c",
    "lib/string.c",
    "kernel/sched.c",
    "kernel/exit.c",
    "kernel/sys.c",
    "mm/util.c",
    "fs/open.c",
];

/// The kernels, and what is requested of each beyond the preset.
const KERNELS: [(&str, &str); 3] = [
    ("a", ""),
    ("b", "CONFIG_MAGIC_SYSRQ=y\n"),
    ("c", "CONFIG_SMP=y\n"),
];

/// Two workspaces share source, cache and store.
const PROJECTS: [&str; 2] = ["one", "two"];

/// What a source, a link in it and the compiler are at one moment. Every number has one digit: files never change
/// their sizes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    files: Vec<u8>,
    header: u8,
    place: u8,
    compiler: u8,
}

/// A kernel as it was built.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Built {
    /// The digest of its identity.
    digest: String,
    /// A hash of every installed file.
    bytes: Sha256,
}

/// What a build does wrong.
enum Fault {
    WrongKernel(String),
    WrongReason(String),
    Hang(String),
}

/// How a step disturbs.
type Disturbance = fn(&mut Lab, &mut Random, &mut [Running]) -> Result;

const DISTURBANCES: [(&str, Disturbance); 13] = [
    ("nothing", |_, _, _| Ok(())),
    ("files written", Lab::write_files),
    (
        "files replaced, with size and time kept",
        Lab::replace_files,
    ),
    ("files with a date of long ago", Lab::backdate_files),
    ("an edit that is taken back", Lab::take_back),
    ("a directory exchanged", Lab::exchange_directory),
    ("a link led elsewhere", Lab::lead_elsewhere),
    ("something mounted over a directory", Lab::mount),
    ("another compiler", Lab::exchange_compiler),
    ("killed", Lab::kill),
    ("stopped meanwhile", Lab::stop),
    ("the store damaged", Lab::damage_store),
    ("a cache or record damaged", Lab::damage_record),
];

/// What a build may say when it fails, where something was done to it.
const REASONS: [&str; 9] = [
    "changed while it was compiled",
    "was written to each time it was compiled",
    "was exchanged while the kernel was compiled with it",
    "changes while it is read",
    "interrupted",
    "compile failed",
    "no such file or directory",
    "Stale file handle",
    "is damaged",
];

/// What stopped a wrong kernel, by what `build.log` and messages say.
const MECHANISMS: [(&str, &str); 9] = [
    ("object removed before make", " is removed: "),
    (
        "written to while compiled",
        " was written to while it was compiled",
    ),
    (
        "exchanged directory or mount",
        " was exchanged, or something was mounted",
    ),
    (
        "another source meanwhile",
        "another source was in the place",
    ),
    ("compiled afresh", ": compiling afresh"),
    (
        "compiler cache dropped",
        "entries of the compiler cache are dropped",
    ),
    (
        "source changed, build failed",
        " changed while it was compiled (tree",
    ),
    (
        "compiler exchanged, build failed",
        " was exchanged while the kernel was compiled",
    ),
    ("store damaged, built again", "; it is built again"),
];

/// A build that was started.
struct Running {
    child: Child,
    project: &'static str,
    kernel: &'static str,
    output: Utf8PathBuf,
}

struct Lab {
    root: Utf8PathBuf,
    program: Utf8PathBuf,
    variables: BTreeMap<String, String>,
    /// Those of [`FILES`] that there are, and their original text.
    files: Vec<(&'static str, String)>,
    states: Vec<State>,
    /// What the source is now.
    state: State,
    /// Every state since the running builds were started.
    passed: Vec<State>,
    /// What each state makes from nothing.
    references: HashMap<(State, &'static str), Built>,
    /// How long a build takes, about.
    usual: Duration,
    started: usize,
}

/// Runs it.
pub(crate) fn run(args: &Args, workspace: &Workspace) -> Result {
    exec::stream(
        &workspace.cargo(&["build", "--package", "cargo-kernel"]),
        None,
        &mut |line| eprintln!("{}", String::from_utf8_lossy(line)),
    )?;
    let root = workspace.target.join("torture");
    let tree = match &args.tree {
        Some(tree) => workspace.environment.current_dir.join(tree),
        None => workspace.root.join("tests/fixtures/kernel"),
    };
    let mut random = Random::new(args.seed, "torture");
    let mut lab = Lab::new(&root, &tree, workspace, args.states, &mut random)?;
    let begin = Instant::now();
    let mut tally = Tally::default();
    for step in 0..args.steps {
        let over = |minutes| begin.elapsed() >= Duration::from_secs(60 * minutes);
        if args.minutes.is_some_and(over) || exec::interrupted() {
            break;
        }
        let (name, disturb) = DISTURBANCES[random.below(DISTURBANCES.len())];
        let faults = lab.step(disturb, &mut random, &mut tally)?;
        tally.steps += 1;
        *tally.by_disturbance.entry(name).or_default() += 1;
        for fault in faults {
            let (kind, text) = match fault {
                Fault::WrongKernel(text) => (&mut tally.wrong_kernels, text),
                Fault::WrongReason(text) => (&mut tally.wrong_reasons, text),
                Fault::Hang(text) => (&mut tally.hangs, text),
            };
            *kind += 1;
            println!("step {step}, {name}: {text}");
        }
    }
    tally.print(begin.elapsed(), lab.references.len());
    if !args.keep {
        let _ = make_writable(&root);
        fs::remove_dir_all(&root)?;
    }
    match tally.wrong_kernels + tally.wrong_reasons + tally.hangs {
        0 => Ok(()),
        faults => Err(format!(
            "{faults} faults; `--seed {}` repeats the steps, not their times",
            args.seed
        )
        .into()),
    }
}

/// What happened.
#[derive(Default)]
struct Tally {
    steps: usize,
    builds: usize,
    right: usize,
    refused: BTreeMap<&'static str, usize>,
    killed: usize,
    wrong_kernels: usize,
    wrong_reasons: usize,
    hangs: usize,
    by_disturbance: BTreeMap<&'static str, usize>,
    mechanisms: BTreeMap<&'static str, usize>,
}

impl Tally {
    fn print(&self, time: Duration, references: usize) {
        let table = |heading: &str, rows: &BTreeMap<&'static str, usize>| {
            println!("\n{heading}");
            for (name, count) in rows {
                println!("{count:8}  {name}");
            }
        };
        table("steps by what was done", &self.by_disturbance);
        table("builds that failed, by reason", &self.refused);
        table("what noticed (builds in whose log it is)", &self.mechanisms);
        println!(
            "\n{} steps in {:.0} s: {} builds, {} with the bytes of a build from nothing ({references} of those), {} failed with a reason, {} killed; \
             {} wrong kernels, {} wrong reasons, {} hangs",
            self.steps,
            time.as_secs_f64(),
            self.builds,
            self.right,
            self.refused.values().sum::<usize>(),
            self.killed,
            self.wrong_kernels,
            self.wrong_reasons,
            self.hangs
        );
    }
}

impl Lab {
    fn new(
        root: &Utf8Path,
        tree: &Utf8Path,
        workspace: &Workspace,
        states: usize,
        random: &mut Random,
    ) -> Result<Self> {
        if root.exists() {
            make_writable(root)?;
            fs::remove_dir_all(root)?;
        }
        for directory in ["bin", "away", "home", "tmp"] {
            fs::create_dir_all(root.join(directory))?;
        }
        let files: Vec<(&'static str, String)> = FILES
            .iter()
            .filter_map(|file| Some((*file, fs::read_to_string(tree.join(file)).ok()?)))
            .collect();
        let draw = |random: &mut Random| State {
            files: files.iter().map(|_| random.below(10) as u8).collect(),
            header: random.below(10) as u8,
            place: random.below(2) as u8,
            compiler: random.below(2) as u8,
        };
        let states: Vec<State> = (0..states.max(2)).map(|_| draw(random)).collect();
        let mut variables = BTreeMap::new();
        let path = workspace.variables.get("PATH").map_or("", String::as_str);
        variables.insert("PATH".to_owned(), format!("{root}/bin:{path}"));
        for (name, value) in [
            ("HOME", "home"),
            ("TMPDIR", "tmp"),
            ("KERNELKIT_CACHE_DIR", "cache"),
            ("KERNELKIT_STORE_DIR", "store"),
        ] {
            variables.insert(name.to_owned(), root.join(value).into_string());
        }
        for name in ["CARGO_HOME", "RUSTUP_HOME"] {
            if let Some(value) = workspace.variables.get(name) {
                variables.insert(name.to_owned(), value.clone());
            }
        }
        variables.insert("CARGO_NET_OFFLINE".to_owned(), "true".to_owned());
        let home = workspace.variables.get("HOME").map_or("", String::as_str);
        for (name, below) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
            variables
                .entry(name.to_owned())
                .or_insert_with(|| format!("{home}/{below}"));
        }
        let mut lab = Lab {
            root: root.to_owned(),
            program: workspace.target.join("debug/cargo-kernel"),
            variables,
            files,
            state: states[0].clone(),
            states,
            passed: Vec::new(),
            references: HashMap::new(),
            usual: Duration::from_secs(1),
            started: 0,
        };
        lab.lay_out(tree, &root.join("linux"))?;
        lab.lay_out(tree, &root.join("fresh/linux"))?;
        for project in PROJECTS {
            lab.declare(&root.join(project), "../linux", "")?;
        }
        lab.declare(&root.join("fresh/project"), "../linux", "ccache = false\n")?;
        lab.apply(&lab.state.clone(), Write::Plain)?;
        Ok(lab)
    }

    /// A tree with what states need.
    fn lay_out(&self, tree: &Utf8Path, to: &Utf8Path) -> Result {
        fs::create_dir_all(to.parent().unwrap_or(to))?;
        let copied = Command::new("cp")
            .args(["-r", "--reflink=auto", tree.as_str(), to.as_str()])
            .status()?;
        if !copied.success() {
            return Err(format!("{tree} was not copied to {to}").into());
        }
        for (place, number) in [("torture.a", 1), ("torture.b", 2)] {
            let directory = to.join("include").join(place);
            fs::create_dir_all(&directory)?;
            fs::write(
                directory.join("place.h"),
                format!("#define PLACE {number}\n"),
            )?;
        }
        symlink("torture.a", to.join("include/torture"))?;
        Ok(())
    }

    fn declare(&self, project: &Utf8Path, source: &str, settings: &str) -> Result {
        fs::create_dir_all(project.join("fragments/torture"))?;
        let mut manifest =
            "[workspace]\nmembers = []\nresolver = \"3\"\n\n[workspace.metadata.kernel]\nfragment-dirs = [\"fragments\"]\n"
                .to_owned();
        for (name, requests) in KERNELS {
            let fragment = project.join(format!("fragments/torture/{name}.config"));
            fs::write(
                fragment,
                format!("# What kernel {name} has of its own.\n{requests}"),
            )?;
            manifest.push_str(&format!(
                "\n[workspace.metadata.kernel.kernels.{name}]\nsource = \"{source}\"\narch = \"x86_64\"\npreset = \"tiny\"\nfragments = [\"torture/{name}\"]\n{settings}"
            ));
        }
        fs::write(project.join("Cargo.toml"), manifest)?;
        Ok(())
    }

    /// The file's text in a state.
    fn text(&self, number: usize, state: &State) -> String {
        let (_, original) = &self.files[number];
        let compiler = match number {
            0 => {
                "\n#ifdef TORTURE_CC\nconst int torture_cc __attribute__((used)) = TORTURE_CC;\n#endif\n"
            }
            _ => "",
        };
        format!(
            "{original}\n#include <linux/torture.h>\nconst int torture_{number} __attribute__((used)) = TORTURE * 10 + {};\n{compiler}",
            state.files[number]
        )
    }

    fn texts(&self, state: &State) -> Vec<(Utf8PathBuf, String)> {
        let files = self.files.iter().enumerate();
        let header = format!(
            "#include <torture/place.h>\n#define TORTURE ({} * 10 + PLACE)\n",
            state.header
        );
        files
            .map(|(number, (name, _))| (name.into(), self.text(number, state)))
            .chain([("include/linux/torture.h".into(), header)])
            .collect()
    }

    /// Makes the source and the compiler those of a state.
    fn apply(&mut self, state: &State, how: Write) -> Result {
        self.passed.push(state.clone());
        let tree = self.root.join("linux");
        for (name, text) in self.texts(state) {
            write(&tree.join(name), &text, how)?;
        }
        if state.place != self.state.place || how == Write::Plain {
            lead(&tree, state.place)?;
        }
        set_compiler(&self.root.join("bin"), state.compiler)?;
        self.state = state.clone();
        Ok(())
    }

    fn another(&self, random: &mut Random) -> State {
        let mut state = self.states[random.below(self.states.len())].clone();
        // Files alone: the compiler has a disturbance of its own.
        state.compiler = self.state.compiler;
        state
    }

    fn pause(&self, random: &mut Random) {
        let limit = self.usual.as_millis() as usize;
        std::thread::sleep(Duration::from_millis(random.below(limit.max(20)) as u64));
    }

    fn write_files(&mut self, random: &mut Random, _: &mut [Running]) -> Result {
        let state = self.another(random);
        self.apply(&state, Write::Plain)
    }

    fn replace_files(&mut self, random: &mut Random, _: &mut [Running]) -> Result {
        let state = self.another(random);
        self.apply(&state, Write::SameTime)
    }

    fn backdate_files(&mut self, random: &mut Random, _: &mut [Running]) -> Result {
        let state = self.another(random);
        self.apply(&state, Write::LongAgo)
    }

    fn take_back(&mut self, random: &mut Random, _: &mut [Running]) -> Result {
        let (before, state) = (self.state.clone(), self.another(random));
        self.apply(&state, Write::SameTime)?;
        self.pause(random);
        self.apply(&before, Write::SameTime)
    }

    /// The directory of one of the files, with another state of it.
    fn other_directory(&self, random: &mut Random) -> Result<(Utf8PathBuf, Utf8PathBuf, State)> {
        let number = random.below(self.files.len());
        let name = Utf8Path::new(self.files[number].0);
        let directory = name.parent().unwrap_or(name);
        let mut state = self.state.clone();
        for (number, (name, _)) in self.files.iter().enumerate() {
            if Utf8Path::new(name).starts_with(directory) {
                state.files[number] = (state.files[number] + 1 + random.below(9) as u8) % 10;
            }
        }
        let (inside, away) = (
            self.root.join("linux").join(directory),
            self.root.join("away"),
        );
        let other = away.join("other");
        if other.exists() {
            fs::remove_dir_all(&other)?;
        }
        Command::new("cp")
            .args(["-rp", inside.as_str(), other.as_str()])
            .status()?;
        for (number, (name, _)) in self.files.iter().enumerate() {
            if let Ok(name) = Utf8Path::new(name).strip_prefix(directory) {
                write(
                    &other.join(name),
                    &self.text(number, &state),
                    Write::SameTime,
                )?;
            }
        }
        Ok((inside, other, state))
    }

    fn exchange_directory(&mut self, random: &mut Random, _: &mut [Running]) -> Result {
        let (inside, other, state) = self.other_directory(random)?;
        exchange(&inside, &other)?;
        self.passed.push(state.clone());
        match random.chance(50) {
            true => {
                self.pause(random);
                exchange(&inside, &other)?;
            }
            false => self.state = state,
        }
        Ok(())
    }

    fn mount(&mut self, random: &mut Random, _: &mut [Running]) -> Result {
        if !rustix::process::geteuid().is_root() {
            return Ok(());
        }
        let (inside, other, state) = self.other_directory(random)?;
        let status = Command::new("mount")
            .args(["--bind", other.as_str(), inside.as_str()])
            .status()?;
        if !status.success() {
            return Ok(());
        }
        self.passed.push(state);
        self.pause(random);
        std::thread::sleep(Duration::from_millis(50));
        // Compilers that run there hold it.
        let unmounted = Command::new("umount")
            .args(["-l", inside.as_str()])
            .status()?;
        match unmounted.success() {
            true => Ok(()),
            false => Err(format!("{inside} stayed mounted").into()),
        }
    }

    fn lead_elsewhere(&mut self, random: &mut Random, _: &mut [Running]) -> Result {
        let tree = self.root.join("linux");
        let before = self.state.clone();
        let mut state = before.clone();
        state.place = 1 - state.place;
        lead(&tree, state.place)?;
        self.passed.push(state.clone());
        match random.chance(50) {
            true => {
                self.pause(random);
                lead(&tree, before.place)?;
            }
            false => self.state = state,
        }
        Ok(())
    }

    fn exchange_compiler(&mut self, random: &mut Random, _: &mut [Running]) -> Result {
        let bin = self.root.join("bin");
        let before = self.state.clone();
        let mut state = before.clone();
        state.compiler = 1 - state.compiler;
        set_compiler(&bin, state.compiler)?;
        self.passed.push(state.clone());
        match random.chance(50) {
            true => {
                self.pause(random);
                set_compiler(&bin, before.compiler)?;
            }
            false => self.state = state,
        }
        Ok(())
    }

    fn kill(&mut self, _: &mut Random, running: &mut [Running]) -> Result {
        for one in running {
            let _ = kill_process_group(one.pid(), Signal::KILL);
        }
        Ok(())
    }

    fn stop(&mut self, random: &mut Random, running: &mut [Running]) -> Result {
        for one in running.iter() {
            let _ = kill_process_group(one.pid(), Signal::STOP);
        }
        let state = self.another(random);
        let done = self.apply(&state, Write::SameTime);
        for one in running.iter() {
            let _ = kill_process_group(one.pid(), Signal::CONT);
        }
        done
    }

    fn damage_store(&mut self, random: &mut Random, _: &mut [Running]) -> Result {
        damage(
            &self.root.join("store"),
            &|path| !path.as_str().contains("/."),
            random,
        )
    }

    fn damage_record(&mut self, random: &mut Random, _: &mut [Running]) -> Result {
        match random.chance(50) {
            true => damage(
                &self.root.join("cache"),
                &|path| !path.as_str().contains("/ccache/"),
                random,
            ),
            // What a build directory holds is the compiler's; beside it are our records.
            false => {
                let project = self.root.join(random.pick(&PROJECTS)).join("target/kernel");
                let is_record = |path: &Utf8Path| {
                    let inside = path.strip_prefix(&project).unwrap_or(path);
                    inside.components().count() == 2 && path.file_name() != Some("lock")
                };
                damage(&project, &is_record, random)
            }
        }
    }

    fn start(
        &mut self,
        project: &'static str,
        kernel: &'static str,
        words: &[&str],
    ) -> Result<Running> {
        self.started += 1;
        let output = self.root.join(format!("tmp/output-{}", self.started % 64));
        let file = fs::File::create(&output)?;
        let child = Command::new(&self.program)
            .args(["kernel"])
            .args(words)
            .current_dir(self.root.join(project))
            .env_clear()
            .envs(&self.variables)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .process_group(0)
            .spawn()?;
        Ok(Running {
            child,
            project,
            kernel,
            output,
        })
    }

    /// Builds, disturbs meanwhile, and compares.
    fn step(
        &mut self,
        disturb: Disturbance,
        random: &mut Random,
        tally: &mut Tally,
    ) -> Result<Vec<Fault>> {
        self.passed = vec![self.state.clone()];
        let mut running = Vec::new();
        let builds = 1 + usize::from(random.chance(25));
        for _ in 0..builds {
            let kernel = KERNELS[random.below(KERNELS.len())].0;
            running.push(self.start(random.pick(&PROJECTS), kernel, &["build", kernel])?);
        }
        if random.chance(10) {
            let reader = self.start(random.pick(&PROJECTS), "", &["identity"])?;
            running.push(reader);
        }
        self.pause(random);
        disturb(self, random, &mut running)?;
        let mut faults = Vec::new();
        let mut quiet = Vec::new();
        let mut ended = Vec::new();
        for mut one in running {
            match one.wait(20 * self.usual + Duration::from_secs(120))? {
                Some(status) => ended.push((one, status)),
                None => faults.push(Fault::Hang(format!(
                    "{} of {} did not end",
                    one.kernel, one.project
                ))),
            }
        }
        // A reader has no kernel.
        ended.retain(|(one, _)| !one.kernel.is_empty());
        for (one, status) in ended {
            tally.builds += 1;
            let said = one.said();
            self.count_mechanisms(&one, &said, tally);
            if status.success() {
                let built = self.built(one.project, one.kernel)?;
                match built {
                    Some(built) => self.compare(&one, &built, tally, &mut faults)?,
                    // Another build of the same step replaced it.
                    None => quiet.push((one.project, one.kernel)),
                }
            } else if status.signal().is_some() {
                tally.killed += 1;
                quiet.push((one.project, one.kernel));
            } else {
                match REASONS.iter().find(|reason| said.contains(**reason)) {
                    Some(reason) => *tally.refused.entry(reason).or_default() += 1,
                    None => faults.push(Fault::WrongReason(said)),
                }
                quiet.push((one.project, one.kernel));
            }
            if random.chance(20) {
                quiet.push((one.project, one.kernel));
            }
        }
        for (project, kernel) in quiet {
            self.check_quietly(project, kernel, tally, &mut faults)?;
        }
        Ok(faults)
    }

    /// What nothing disturbs is built, and is that of the source as it is now.
    fn check_quietly(
        &mut self,
        project: &'static str,
        kernel: &'static str,
        tally: &mut Tally,
        faults: &mut Vec<Fault>,
    ) -> Result {
        self.passed = vec![self.state.clone()];
        let begin = Instant::now();
        let mut one = self.start(project, kernel, &["build", kernel])?;
        let Some(status) = one.wait(20 * self.usual + Duration::from_secs(120))? else {
            faults.push(Fault::Hang(format!(
                "{kernel} of {project} did not end, undisturbed"
            )));
            return Ok(());
        };
        self.usual = (self.usual * 3 + begin.elapsed()) / 4;
        tally.builds += 1;
        let said = one.said();
        self.count_mechanisms(&one, &said, tally);
        match status
            .success()
            .then(|| self.built(project, kernel))
            .transpose()?
            .flatten()
        {
            Some(built) => self.compare(&one, &built, tally, faults)?,
            None => faults.push(Fault::WrongReason(format!(
                "nothing disturbed {kernel}: {said}"
            ))),
        }
        Ok(())
    }

    fn count_mechanisms(&self, one: &Running, said: &str, tally: &mut Tally) {
        let log = self
            .root
            .join(one.project)
            .join(format!("target/kernel/{}/log/latest/build.log", one.kernel));
        // A kernel that was found built has an older log.
        let log = match said.contains("Building") {
            true => fs::read_to_string(log).unwrap_or_default(),
            false => String::new(),
        };
        for (name, text) in MECHANISMS {
            if log.contains(text) || said.contains(text) {
                *tally.mechanisms.entry(name).or_default() += 1;
            }
        }
    }

    /// What lies in the destination directory.
    fn built(&self, project: &str, kernel: &str) -> Result<Option<Built>> {
        built(&self.root.join(project).join("target/kernel").join(kernel))
    }

    fn compare(
        &mut self,
        one: &Running,
        built: &Built,
        tally: &mut Tally,
        faults: &mut Vec<Fault>,
    ) -> Result {
        let mut passed = self.passed.clone();
        passed.dedup();
        // The last is the likeliest.
        for state in passed.iter().rev() {
            let reference = self.reference(state, one.kernel)?;
            if reference.digest == built.digest {
                match reference.bytes == built.bytes {
                    true => tally.right += 1,
                    false => faults.push(Fault::WrongKernel(format!(
                        "{} of {}: {} has other bytes than a build from nothing of {state:?}",
                        one.kernel, one.project, built.digest
                    ))),
                }
                return Ok(());
            }
        }
        // An exchange of several files passes through states without a name: they can be planned, and not finished.
        faults.push(Fault::WrongKernel(format!(
            "{} of {}: {} is of no state that the source was in ({passed:?})",
            one.kernel, one.project, built.digest
        )));
        Ok(())
    }

    /// The kernel that a state makes from nothing: no objects, no cache, no store.
    fn reference(&mut self, state: &State, kernel: &'static str) -> Result<Built> {
        let key = (state.clone(), kernel);
        if let Some(known) = self.references.get(&key) {
            return Ok(known.clone());
        }
        let fresh = self.root.join("fresh");
        let tree = fresh.join("linux");
        for (name, text) in self.texts(state) {
            write(&tree.join(name), &text, Write::Plain)?;
        }
        lead(&tree, state.place)?;
        fs::create_dir_all(fresh.join("bin"))?;
        set_compiler(&fresh.join("bin"), state.compiler)?;
        for directory in ["project/target", "cache", "store"] {
            let path = fresh.join(directory);
            if path.exists() {
                make_writable(&path)?;
                fs::remove_dir_all(path)?;
            }
        }
        let mut variables = self.variables.clone();
        for (name, value) in [
            ("KERNELKIT_CACHE_DIR", "cache"),
            ("KERNELKIT_STORE_DIR", "store"),
        ] {
            variables.insert(name.to_owned(), fresh.join(value).into_string());
        }
        if let Some(path) = variables.get_mut("PATH") {
            let (own, other) = (self.root.join("bin"), fresh.join("bin"));
            *path = path.replacen(own.as_str(), other.as_str(), 1);
        }
        let output = Command::new(&self.program)
            .args(["kernel", "build", kernel, "--no-reuse"])
            .current_dir(fresh.join("project"))
            .env_clear()
            .envs(&variables)
            .output()?;
        let built = built(&fresh.join("project/target/kernel").join(kernel))?;
        match built.filter(|_| output.status.success()) {
            Some(built) => {
                self.references.insert(key, built.clone());
                Ok(built)
            }
            None => Err(format!(
                "the build from nothing of {state:?} failed: {}",
                String::from_utf8_lossy(&output.stderr)
            )
            .into()),
        }
    }
}

impl Running {
    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Waits; `None` where the time is over, and it was killed.
    fn wait(&mut self, limit: Duration) -> Result<Option<std::process::ExitStatus>> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            if begin.elapsed() > limit {
                let _ = kill_process_group(self.pid(), Signal::KILL);
                let _ = kill_process(self.pid(), Signal::KILL);
                self.child.wait()?;
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn said(&self) -> String {
        fs::read(&self.output)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_else(|error| describe(&error))
    }
}

/// How a file is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Write {
    /// In place.
    Plain,
    /// By another file of its name, with the time of the old one.
    SameTime,
    /// With a date of long ago.
    LongAgo,
}

/// Writes, where the file has another text.
fn write(path: &Utf8Path, text: &str, how: Write) -> Result {
    if fs::read(path).is_ok_and(|before| before == text.as_bytes()) {
        return Ok(());
    }
    let time = fs::metadata(path).and_then(|metadata| metadata.modified());
    let time = match how {
        Write::Plain => {
            fs::write(path, text)?;
            return Ok(());
        }
        Write::SameTime => time.ok(),
        Write::LongAgo => Some(std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000)),
    };
    let new = path.with_extension("torture-new");
    fs::write(&new, text)?;
    if let Some(time) = time {
        fs::File::options()
            .append(true)
            .open(&new)?
            .set_modified(time)?;
    }
    fs::rename(&new, path)?;
    Ok(())
}

fn lead(tree: &Utf8Path, place: u8) -> Result {
    let target = ["torture.a", "torture.b"][usize::from(place)];
    let (link, new) = (
        tree.join("include/torture"),
        tree.join("include/torture.new"),
    );
    if link.read_link_utf8().is_ok_and(|now| now == target) {
        return Ok(());
    }
    let _ = fs::remove_file(&new);
    symlink(target, &new)?;
    fs::rename(new, link)?;
    Ok(())
}

/// A compiler that says the same of its version and defines another number.
fn set_compiler(bin: &Utf8Path, compiler: u8) -> Result {
    let text = format!("#!/bin/sh\nexec /usr/bin/gcc -DTORTURE_CC={compiler} \"$@\"\n");
    let path = bin.join("gcc");
    if fs::read(&path).is_ok_and(|before| before == text.as_bytes()) {
        return Ok(());
    }
    let new = bin.join("gcc.new");
    fs::write(&new, text)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755))?;
    fs::rename(new, path)?;
    Ok(())
}

fn exchange(one: &Utf8Path, other: &Utf8Path) -> Result {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    renameat_with(
        CWD,
        one.as_std_path(),
        CWD,
        other.as_std_path(),
        RenameFlags::EXCHANGE,
    )?;
    Ok(())
}

/// Every file below a directory that is not a link, in order.
fn below(directory: &Utf8Path, files: &mut Vec<Utf8PathBuf>) {
    let Ok(entries) = directory.read_dir_utf8() else {
        return;
    };
    let mut entries: Vec<_> = entries.flatten().collect();
    entries.sort_by(|one, other| one.file_name().cmp(other.file_name()));
    for entry in entries {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => below(entry.path(), files),
            Ok(kind) if kind.is_file() => files.push(entry.into_path()),
            _ => {}
        }
    }
}

/// Changes, empties or shortens a file.
fn damage(directory: &Utf8Path, chosen: &dyn Fn(&Utf8Path) -> bool, random: &mut Random) -> Result {
    let mut files = Vec::new();
    below(directory, &mut files);
    files.retain(|path| chosen(path));
    if files.is_empty() {
        return Ok(());
    }
    let path = &files[random.below(files.len())];
    let (Ok(mut bytes), Ok(metadata)) = (fs::read(path), fs::metadata(path)) else {
        return Ok(());
    };
    match random.below(3) {
        0 => bytes.clear(),
        1 => bytes.truncate(bytes.len() / 2),
        _ => {
            if let Some(at) = bytes.len().checked_sub(1) {
                bytes[random.below(at + 1)] ^= 1;
            }
        }
    }
    // As a disk does it: neither permissions nor times tell.
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))?;
    fs::write(path, bytes)?;
    if let Ok(time) = metadata.modified() {
        fs::File::options()
            .append(true)
            .open(path)?
            .set_modified(time)?;
    }
    fs::set_permissions(path, metadata.permissions())?;
    Ok(())
}

fn make_writable(directory: &Utf8Path) -> Result {
    Command::new("chmod")
        .args(["-R", "u+w", directory.as_str()])
        .status()?;
    Ok(())
}

/// What lies in a kernel's destination directory, and whose it is by its manifest.
fn built(state: &Utf8Path) -> Result<Option<Built>> {
    let Ok(manifest) = fs::read(state.join("manifest.json")) else {
        return Ok(None);
    };
    let manifest: serde_json::Value = serde_json::from_slice(&manifest)?;
    let digest = manifest["digest"].as_str().unwrap_or_default().to_owned();
    let destdir = state.join("destdir");
    let mut files = Vec::new();
    below(&destdir, &mut files);
    let mut listing = String::new();
    for path in files {
        let name = path.strip_prefix(&destdir)?;
        listing.push_str(&format!("{} {name}\n", Sha256::of(&fs::read(&path)?)));
    }
    Ok(Some(Built {
        digest,
        bytes: Sha256::of(listing.as_bytes()),
    }))
}

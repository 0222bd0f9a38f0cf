//! Several kernels as one batch.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;

use serde_json::Value;

use super::lock::{commit, git};
use super::{Said, run, run_json, said};
use crate::support::{Sandbox, StandIn, require_tool, require_user_namespaces, signal, wait_for};

/// A workspace with kernels of a tree that is built in no time: a command is `compile`, a shell line, and
/// a line in `log`, with the kernel's name and what is made.
struct Farm {
    sandbox: Sandbox,
    tree: StandIn,
}

impl Farm {
    fn new(kernels: &[&str], compile: &str) -> Self {
        let mut text = String::from(
            "[workspace.metadata.kernel.defaults]\nsource = \"../tree\"\npreset = \"tiny\"\nccache = false\ncompile-commands = false\nborrow-objects = false\n",
        );
        for name in kernels {
            text.push_str(&format!(
                "[workspace.metadata.kernel.kernels.{name}]\nlabel = \"{name}\"\n"
            ));
        }
        let sandbox = Sandbox::with_kernels(&text);
        sandbox.write("log", "");
        let tree = fast(&sandbox, "tree", compile);
        Farm { sandbox, tree }
    }

    /// How many commands there were for each kernel.
    fn commands(&self) -> BTreeMap<String, usize> {
        let log = std::fs::read_to_string(self.sandbox.path("log")).unwrap();
        let mut count = BTreeMap::new();
        for line in log.lines() {
            *count
                .entry(line.split_once(' ').unwrap().0.to_owned())
                .or_default() += 1;
        }
        count
    }

    fn log_lines(&self) -> usize {
        self.commands().values().sum()
    }

    /// The kernels that are finished: their manifest is there.
    fn finished(&self) -> BTreeSet<String> {
        let directory = self.sandbox.path("project/target/kernel");
        let entries = directory.read_dir_utf8().into_iter().flatten();
        entries
            .map(|entry| entry.unwrap().into_path())
            .filter(|state| state.join("manifest.json").exists())
            .map(|state| state.file_name().unwrap().to_owned())
            .collect()
    }

    /// What the batch's own files say of each kernel.
    fn states(&self) -> BTreeMap<String, (String, bool)> {
        let mut states = BTreeMap::new();
        for entry in self.batch().read_dir_utf8().unwrap() {
            let path = entry.unwrap().into_path();
            let name = path.file_stem().unwrap().to_owned();
            let is_kernel =
                path.extension() == Some("json") && !["batch", "report"].contains(&name.as_str());
            if is_kernel {
                let value = read(&path);
                let state = value["state"].as_str().unwrap().to_owned();
                states.insert(name, (state, value["done"].as_bool().unwrap()));
            }
        }
        states
    }

    /// The directory of the only batch there is.
    fn batch(&self) -> camino::Utf8PathBuf {
        let batches = self.sandbox.path("project/target/kernel/batches");
        let all: Vec<_> = batches.read_dir_utf8().unwrap().collect();
        let [Ok(only)] = all.as_slice() else {
            panic!("{all:?}")
        };
        only.path().to_owned()
    }
}

/// A stand-in tree whose files are compiled by a shell line.
fn fast(sandbox: &Sandbox, name: &str, compile: &str) -> StandIn {
    let log = sandbox.path("log");
    let recipe = format!(
        "\t@{compile}\n\t@echo \"$(notdir $(patsubst %/,%,$(dir $(objtree)))) $(@F)\" >> {log}\n\t@echo > $@\n"
    );
    StandIn::new(sandbox, name).edit("Makefile", |text| {
        let fast = text
            .replace("; $(compile)\n", &format!("\n{recipe}"))
            // The release is read back from the image and the modules: what carries it is real.
            .replace(
                "\t@$(LD) -r --build-id=sha1 -o $@ $(builtin) $(certificates) $(objtree)/init/version-timestamp.o\n",
                "\t@cp $(objtree)/init/version-timestamp.o $@\n",
            )
            .replace(
                "\t@$(LD) -r --build-id=sha1 -o $@ $<\n",
                "\t@$(CC) $(cflags) -c -o $@ $(patsubst $(objtree)/%.ko,$(srctree)/%.c,$@)\n",
            )
            .replace("\t@$(NM) -n $@ | sed '/ [aU] /d' > $(objtree)/System.map\n", "\t@echo > $(objtree)/System.map\n");
        assert!(fast.contains(&recipe));
        assert!(!fast.contains("\t@$(LD)") && !fast.contains("\t@$(NM)"));
        fast
    })
}

fn read(path: &camino::Utf8Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The messages with that reason, as `kernel` and another field.
fn told(said: &Said, reason: &str, field: &str) -> Vec<(String, String)> {
    let messages = said.messages();
    let told = messages
        .iter()
        .filter(|message| message["reason"] == reason);
    told.map(|message| {
        let text = |field: &str| message[field].as_str().unwrap_or_default().to_owned();
        (text("kernel"), text(field))
    })
    .collect()
}

const SIX: [&str; 6] = ["a1", "a2", "a3", "b1", "b2", "b3"];

#[test]
fn a_failure_stops_nobody_else_and_decides_the_exit_code() {
    let mut farm = Farm::new(&SIX, "true");
    let _ = fast(
        &farm.sandbox,
        "broken",
        "case $@ in *string.o) echo 'lib/string.c:1:1: error: no' >&2; false;; esac",
    );
    let toml = farm.sandbox.path("project/Cargo.toml");
    let text = std::fs::read_to_string(&toml).unwrap();
    let text = text.replace(
        "label = \"b2\"\n",
        "label = \"b2\"\nsource = \"../broken\"\n",
    );
    std::fs::write(&toml, text).unwrap();

    let first = run_json(&farm.sandbox, &["build", "--all"], 101);
    let begun = told(&first, "kernel-started", "stage");
    let stages: Vec<_> = begun.iter().map(|(_, stage)| stage.as_str()).collect();
    assert!(
        stages[..6].iter().all(|stage| *stage == "plan"),
        "{begun:?}"
    );
    assert!(!stages[6..].contains(&"plan"), "{begun:?}");
    let mut ended = told(&first, "kernel-ended", "state");
    ended.sort();
    let expected = SIX.map(|name| {
        let state = if name == "b2" { "failed" } else { "passed" };
        (name.to_owned(), state.to_owned())
    });
    assert_eq!(ended, expected);
    let finished = first.message("batch-finished");
    assert_eq!(
        (&finished["passed"], &finished["failed"]),
        (&5.into(), &1.into())
    );
    let error = first.message("error");
    assert_eq!(error["message"], "b2: compile failed");
    assert_eq!(
        farm.states(),
        expected
            .clone()
            .map(|(name, state)| (name, (state, true)))
            .into()
    );
    let report = read(&farm.batch().join("report.json"));
    assert_eq!(report["kernels"].as_array().unwrap().len(), 6);
    assert_eq!(report["kernels"][4]["status"], "failed");
    assert_eq!(report["kernels"][4]["error"]["phase"], "compile");
    assert!(farm.batch().join("report.html").exists() && farm.batch().join("report.xml").exists());

    // The same command once more builds what failed, and nothing else.
    let commands = farm.commands();
    drop(fast(&farm.sandbox, "broken", "true"));
    let again = run_json(&farm.sandbox, &["build", "--all"], 0);
    let finished = again.message("batch-finished");
    assert_eq!(
        (&finished["passed"], &finished["reused"]),
        (&1.into(), &5.into())
    );
    for (name, count) in farm.commands() {
        assert!(count == commands[&name] || name == "b2", "{name}");
    }

    // A plan that fails is told before anything is built; with --fail-fast nothing is.
    farm.tree = farm
        .tree
        .edit("lib/string.c", |text| format!("{text}/* edited */\n"));
    farm.sandbox
        .write("project/wish.config", "CONFIG_NO_SUCH_THING=y\n");
    let text = std::fs::read_to_string(&toml).unwrap();
    std::fs::write(
        &toml,
        text.replace(
            "label = \"a3\"\n",
            "label = \"a3\"\nfragments = [\"x/wish\"]\n",
        ),
    )
    .unwrap();
    let before = farm.log_lines();
    let stopped = run_json(&farm.sandbox, &["build", "--all", "--fail-fast"], 101);
    let states: BTreeMap<_, _> = told(&stopped, "kernel-ended", "state")
        .into_iter()
        .collect();
    assert_eq!(states["a3"], "failed");
    assert_eq!(states["b3"], "skipped");
    assert_eq!(farm.log_lines(), before);
}

#[test]
fn names_and_patterns_choose_and_what_matches_nothing_is_an_error() {
    let farm = Farm::new(&SIX, "true");
    let said = run_json(&farm.sandbox, &["build", "a*", "b3", "a1"], 0);
    let ended: BTreeSet<_> = told(&said, "kernel-ended", "state")
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(ended, ["a1", "a2", "a3", "b3"].map(str::to_owned).into());
    let said = run(&farm.sandbox, &["build", "a*", "c1-*"]);
    assert_eq!(said.code, 101);
    assert!(
        said.stderr
            .contains("error: no kernel matches `c1-*`\nhint: there is: "),
        "{}",
        said.stderr
    );
    assert!(said.stderr.contains("a1"), "{}", said.stderr);
    assert_eq!(run(&farm.sandbox, &["build", "--all", "a1"]).code, 2);
}

#[test]
fn for_people_there_is_a_line_a_kernel_and_a_table() {
    let farm = Farm::new(&SIX[..2], "true");
    let said = run(&farm.sandbox, &["build"]);
    assert_eq!((said.code, said.stdout.as_str()), (0, ""));
    for words in [
        "Batch",
        "Passed a1 6.12.117-a1-",
        "Passed a2",
        "Report",
        "2 passed",
    ] {
        assert!(said.stderr.contains(words), "{words}: {}", said.stderr);
    }
    let said = run(&farm.sandbox, &["build", "-q"]);
    assert_eq!((said.code, said.stderr.as_str()), (0, ""));
}

/// Numbers that look random and are the same every time (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap()
    }
}

#[test]
fn a_batch_killed_ten_times_loses_nothing_and_builds_nothing_twice() {
    let farm = Farm::new(&SIX, "true");
    let mut numbers = Numbers(0x6b65_726e_656c);
    // What was finished at a kill, and how many commands that had taken.
    let mut kept: BTreeMap<String, usize> = BTreeMap::new();
    let mut kills = 0;
    for _ in 0..10 {
        let target = farm.log_lines() + numbers.below(5);
        let mut process = farm
            .sandbox
            .process(&farm.sandbox.path("project"), &["build", "--all", "-j2"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let ended = std::cell::Cell::new(None);
        let handle = std::cell::RefCell::new(&mut process);
        wait_for("progress", || {
            ended.set(handle.borrow_mut().try_wait().unwrap());
            ended.get().is_some() || farm.log_lines() >= target
        });
        match ended.get() {
            Some(status) => assert!(status.success()),
            None => {
                signal("KILL", process.id());
                process.wait().unwrap();
                kills += 1;
            }
        }
        let commands = farm.commands();
        for name in farm.finished() {
            let count = commands[&name];
            assert_eq!(
                *kept.entry(name.clone()).or_insert(count),
                count,
                "{name} was built twice"
            );
        }
    }
    assert!(kills > 4, "only {kills} of ten were in time");
    let last = run_json(&farm.sandbox, &["build", "--all"], 0);
    let finished = last.message("batch-finished");
    assert_eq!(
        finished["passed"].as_u64().unwrap() + finished["reused"].as_u64().unwrap(),
        6
    );
    assert_eq!(farm.finished(), SIX.map(str::to_owned).into());
    let commands = farm.commands();
    for (name, count) in &kept {
        assert_eq!(commands[name], *count, "{name} was built twice");
    }
    assert!(farm.states().values().all(|(_, done)| *done));
    assert!(
        read(&farm.batch().join("batch.json"))["done"]
            .as_bool()
            .unwrap()
    );
}

#[test]
fn ctrl_c_ends_every_kernel_and_the_same_command_goes_on() {
    let farm = Farm::new(&SIX, "true");
    // One kernel's compiler waits for as long as the gate is there.
    let gate = farm.sandbox.path("gate");
    let status = std::process::Command::new("mkfifo")
        .arg(&gate)
        .status()
        .unwrap();
    assert!(status.success());
    let wait =
        format!("test ! -p {gate} || {{ echo waiting >> {gate}.waits; read -r word < {gate}; }}");
    drop(fast(&farm.sandbox, "tree", &wait));
    let mut process = farm
        .sandbox
        .process(&farm.sandbox.path("project"), &["build", "--all", "-j2"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let waits = farm.sandbox.path("gate.waits");
    wait_for("two compilers at the gate", || {
        std::fs::read_to_string(&waits)
            .unwrap_or_default()
            .lines()
            .count()
            == 2
    });
    signal("INT", process.id());
    let mut stderr = String::new();
    std::io::Read::read_to_string(&mut process.stderr.take().unwrap(), &mut stderr).unwrap();
    assert_eq!(process.wait().unwrap().code(), Some(101), "{stderr}");
    assert!(stderr.contains("error: interrupted\n"), "{stderr}");
    assert!(stderr.contains("6 interrupted"), "{stderr}");
    let interrupted = ("interrupted".to_owned(), true);
    assert_eq!(
        farm.states(),
        SIX.map(|name| (name.to_owned(), interrupted.clone()))
            .into()
    );
    assert!(
        !read(&farm.batch().join("batch.json"))["done"]
            .as_bool()
            .unwrap()
    );

    std::fs::remove_file(gate).unwrap();
    let again = run_json(&farm.sandbox, &["build", "--all"], 0);
    assert_eq!(again.message("batch-started")["runs"], 2);
    assert_eq!(again.message("batch-finished")["passed"], 6);
}

/// A compiler that takes a moment and writes down how many run, and for whom.
fn counting(sandbox: &Sandbox) -> String {
    let pool = sandbox.path("pool");
    std::fs::create_dir_all(&pool).unwrap();
    format!(
        "f=$$(mktemp {pool}/XXXXXX); echo \"$(objtree)\" > $$f; ls {pool} | wc -l >> {pool}.counts; \
         cat {pool}/* 2>/dev/null | sort -u | wc -l >> {pool}.kernels; sleep 0.1; rm $$f"
    )
}

fn most(sandbox: &Sandbox, file: &str) -> usize {
    let text = std::fs::read_to_string(sandbox.path(file)).unwrap();
    text.lines()
        .map(|line| line.trim().parse().unwrap())
        .max()
        .unwrap()
}

#[test]
fn a_branch_that_moves_meanwhile_is_built_where_the_batch_found_it() {
    let kernels = ["a", "b"];
    let farm = Farm::new(&kernels, "true");
    let toml = farm.sandbox.path("project/Cargo.toml");
    let text = std::fs::read_to_string(&toml).unwrap();
    let branch = "source = { git = \"../tree\", ref = \"main\" }";
    std::fs::write(&toml, text.replace("source = \"../tree\"", branch)).unwrap();
    let repository = farm.tree.dir().to_owned();
    // Whichever kernel is compiled first moves it.
    let moves = format!("git -C {repository} update-ref refs/heads/main refs/heads/later");
    let tree = fast(&farm.sandbox, "tree", &moves);
    git(&repository, &["init", "-q", "-b", "main"]);
    commit(&tree);
    git(&repository, &["checkout", "-q", "-b", "later"]);
    commit(&tree.version(["6", "12", "118", ""]));
    run_json(&farm.sandbox, &["build", "--all", "--builds", "1"], 0);
    let release = |kernel: &str| {
        let state = farm.sandbox.path("project/target/kernel").join(kernel);
        let manifest = read(&state.join("manifest.json"));
        manifest["release"].as_str().unwrap().to_owned()
    };
    for kernel in kernels {
        assert!(release(kernel).starts_with("6.12.117-"), "{kernel}");
    }
    run_json(&farm.sandbox, &["build", "--all"], 0);
    for kernel in kernels {
        assert!(release(kernel).starts_with("6.12.118-"), "{kernel}");
    }
}

#[test]
fn the_makes_of_a_batch_share_their_jobs() {
    let farm = Farm::new(&SIX, "true");
    drop(fast(&farm.sandbox, "tree", &counting(&farm.sandbox)));
    run_json(
        &farm.sandbox,
        &["build", "--all", "-j3", "--builds", "2"],
        0,
    );
    assert_eq!(most(&farm.sandbox, "pool.counts"), 3);
    assert_eq!(most(&farm.sandbox, "pool.kernels"), 2);
}

#[test]
fn beneath_make_the_jobs_are_that_makes() {
    let farm = Farm::new(&SIX[..4], "true");
    let record = farm.sandbox.path("makeflags");
    let compile = format!(
        "echo '$(MAKEFLAGS)' >> {record}; {}",
        counting(&farm.sandbox)
    );
    drop(fast(&farm.sandbox, "tree", &compile));
    let project = farm.sandbox.path("project");
    let kernel = farm
        .sandbox
        .process(&project, &["build", "--all", "-j2", "--builds", "2"]);
    let words: Vec<_> = std::iter::once(kernel.get_program())
        .chain(kernel.get_args())
        .map(|word| word.to_str().unwrap())
        .collect();
    farm.sandbox.write(
        "project/Makefile",
        &format!(
            "all:\n\t@echo '$(MAKEFLAGS)' > outer\n\t+@{}\nplain:\n\t@{}\n",
            words.join(" "),
            words.join(" ")
        ),
    );
    let make = |goal: &str| {
        let mut command = std::process::Command::new("make");
        command
            .args(["-j4", "--no-print-directory", goal])
            .current_dir(&project)
            .env_clear();
        for (name, value) in kernel.get_envs() {
            command.env(name, value.unwrap());
        }
        said(&farm.sandbox, command.output().unwrap())
    };
    let outer = make("all");
    assert_eq!(outer.code, 0, "{}", outer.stderr);
    let auth = |path: &camino::Utf8Path| {
        let text = std::fs::read_to_string(path).unwrap();
        let words = text
            .split_whitespace()
            .filter(|word| word.starts_with("--jobserver"));
        words.map(str::to_owned).collect::<BTreeSet<_>>()
    };
    assert_eq!(auth(&record), auth(&project.join("outer")));
    let most_at_once = most(&farm.sandbox, "pool.counts");
    assert!((2..=4).contains(&most_at_once), "{most_at_once}");

    // A recipe that make does not take for a make has no jobserver: the batch makes one.
    for file in ["makeflags", "pool.counts"] {
        std::fs::remove_file(farm.sandbox.path(file)).unwrap();
    }
    std::fs::remove_dir_all(project.join("target")).unwrap();
    std::fs::remove_dir_all(farm.sandbox.path("store")).unwrap();
    let plain = make("plain");
    assert_eq!(plain.code, 0, "{}", plain.stderr);
    assert!(most(&farm.sandbox, "pool.counts") <= 2);
}

#[test]
fn builds_can_be_kept_from_the_network_and_from_their_source() {
    if !require_user_namespaces() || !require_tool("mount") {
        return;
    }
    let farm = Farm::new(&SIX[..2], "true");
    let namespaces = farm.sandbox.path("namespaces");
    let look = format!("readlink /proc/self/ns/net >> {namespaces}");
    drop(fast(&farm.sandbox, "tree", &look));
    run_json(
        &farm.sandbox,
        &["build", "--no-network", "--source-readonly"],
        0,
    );
    let seen = std::fs::read_to_string(namespaces).unwrap();
    let own = std::fs::read_link("/proc/self/ns/net").unwrap();
    assert!(
        seen.lines().count() > 5 && !seen.contains(own.to_str().unwrap()),
        "{seen}"
    );

    let mark = "touch $(srctree)/mark";
    drop(fast(&farm.sandbox, "tree", mark));
    let refused = run_json(&farm.sandbox, &["build", "a1", "--source-readonly"], 101);
    assert!(
        refused.stdout.contains("Read-only file system"),
        "{}",
        refused.stdout
    );
    assert!(!farm.sandbox.path("tree/mark").exists());
}

#[test]
fn flavours_begin_with_the_objects_of_the_first_and_have_the_bytes_of_their_own() {
    let sandbox = Sandbox::with_kernels(
        "[workspace.metadata.kernel]\nfragment-dirs = [\"fragments\"]\n\
         [workspace.metadata.kernel.defaults]\nsource = \"../tree\"\npreset = \"tiny\"\nccache = false\n\
         [workspace.metadata.kernel.flavours.plain]\n\
         [workspace.metadata.kernel.flavours.warn]\nfragments = [\"misc/warn\"]\n\
         [workspace.metadata.kernel.matrix.k]\naxes.flavour = [\"plain\", \"warn\"]\n",
    );
    sandbox.write(
        "project/fragments/misc/warn.config",
        "# summary: Another limit\nCONFIG_FRAME_WARN=1000\n",
    );
    let _tree = StandIn::new(&sandbox, "tree");
    let built = run_json(&sandbox, &["build", "--all", "--builds", "2"], 0);
    let borrowed: Vec<_> = built
        .messages()
        .into_iter()
        .filter(|message| message["reason"] == "objects-borrowed")
        .collect();
    let [borrowed] = borrowed.as_slice() else {
        panic!("{borrowed:?}")
    };
    let name = |key: &str| borrowed[key].as_str().unwrap().to_owned();
    let (second, first) = (name("kernel"), name("from"));
    assert_ne!(first, second);
    assert_eq!(borrowed["symbols"], 1);
    let state = |kernel: &str| sandbox.path("project/target/kernel").join(kernel);
    let manifest = |kernel: &str| read(&state(kernel).join("manifest.json"));
    assert_eq!(
        manifest(&second)["statistics"]["objects_of"],
        first.as_str()
    );
    assert_eq!(manifest(&first)["statistics"]["objects_of"], Value::Null);

    let image = || std::fs::read(state(&second).join("build/arch/x86/boot/bzImage")).unwrap();
    let with_objects = image();
    for (flags, borrows) in [
        (&["--no-borrow-objects"][..], false),
        (&["--tmpfs"], false),
        (&[], true),
    ] {
        std::fs::remove_dir_all(state(&second)).unwrap();
        let args = [&["build", &second, "--no-reuse"], flags].concat();
        let said = run(&sandbox, &args);
        assert_eq!(said.code, 0, "{}", said.stderr);
        assert_eq!(
            said.stderr.contains("Borrowing the objects of"),
            borrows,
            "{flags:?}: {}",
            said.stderr
        );
        if flags != ["--tmpfs"] {
            assert_eq!(image(), with_objects, "{flags:?}");
        }
    }
}

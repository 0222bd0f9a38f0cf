//! The explainer on real trees: what experts stumble over, each with a fix that is tried.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test looks at trees, and says what it leaves out"
)]

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use kernelkit::effect::kconfig::{Loaded, Probes, Tree, load_tree};
use kernelkit::kconfig::{Input, Mode, RENAMES, Request, Resolution};

mod trees;

fn load(source: &Utf8Path) -> Loaded {
    let directory = tempfile::tempdir().unwrap();
    let environment =
        BTreeMap::from([("PATH".to_owned(), std::env::var("PATH").unwrap_or_default())]);
    let tree = Tree {
        source,
        directory: Utf8Path::from_path(directory.path()).unwrap(),
        arch: "x86_64",
        make_variables: &BTreeMap::new(),
        environment: &environment,
    };
    load_tree(&tree, &Probes::Run(None)).unwrap()
}

fn resolve<'k>(loaded: &'k Loaded, mode: Mode, text: &str) -> Resolution<'k> {
    let inputs = [Input {
        name: "in",
        text: text.as_bytes(),
    }];
    loaded.kconfig.resolve(&Request {
        mode,
        inputs: &inputs,
        warn_unknown: false,
    })
}

/// The tree's version, such as `6.12`.
fn series(tree: &Utf8Path) -> String {
    let makefile = std::fs::read_to_string(tree.join("Makefile")).unwrap();
    let value = |name: &str| {
        let line = makefile
            .lines()
            .find(|line| line.starts_with(&format!("{name} =")));
        line.unwrap().split_once('=').unwrap().1.trim().to_owned()
    };
    format!("{}.{}", value("VERSION"), value("PATCHLEVEL"))
}

/// Over allnoconfig of x86_64: what is set, what is asked, a word of the reason, and how
/// many lines the fix has at most, the request included.
const SITUATIONS: &[(&str, &str, &str, usize)] = &[
    // Behind a menu, and in a choice.
    (
        "CONFIG_KASAN_INLINE=y",
        "KASAN_INLINE=y",
        "needs `KASAN`",
        4,
    ),
    (
        "CONFIG_DEBUG_INFO_BTF=y",
        "DEBUG_INFO_BTF=y",
        "DEBUG_INFO",
        4,
    ),
    ("CONFIG_PREEMPT_RT=y", "PREEMPT_RT=y", "EXPERT", 3),
    // Hidden unless EXPERT, and on by default.
    (
        "# CONFIG_PRINTK is not set\nCONFIG_EXPERT=n",
        "BUG=n",
        "EXPERT",
        2,
    ),
    // A module where a bool on the way is off.
    ("CONFIG_MODULES=y", "USB_STORAGE=m", "not visible", 6),
    // Modules off.
    (
        "CONFIG_NET=y\nCONFIG_INET=y",
        "WIREGUARD=m",
        "not visible",
        4,
    ),
    // A choice of compression, and one of the timer.
    ("CONFIG_KERNEL_GZIP=y", "KERNEL_XZ=y", "only one member", 1),
    ("CONFIG_HZ_250=y", "HZ_1000=y", "only one member", 1),
    // A driver below subsystems that are off.
    ("", "BTRFS_FS_POSIX_ACL=y", "not visible", 2),
    ("", "VIRTIO_NET=y", "not visible", 6),
    // A helper without a prompt.
    ("", "ZLIB_INFLATE=y", "no prompt", 4),
    // A number out of a range that depends on others.
    ("CONFIG_SMP=y", "NR_CPUS=1024", "outside of the range", 5),
];

#[test]
fn real_trees_refuse_for_reasons_and_yield_to_fixes() {
    for tree in trees::trees() {
        let series = series(&tree);
        let loaded = load(&tree);
        for (input, ask, word, most) in SITUATIONS {
            let (name, wanted) = ask.split_once('=').unwrap();
            let base = format!("CONFIG_64BIT=y\n{input}\n");
            let resolution = resolve(&loaded, Mode::Allnoconfig, &base);
            let Some(refusal) = resolution.check(name, wanted) else {
                panic!("{series}: {ask} holds");
            };
            let about = format!("{series}: {ask}: {refusal:#?}");
            assert!(refusal.sentence.contains(word), "{about}");
            if name == "PREEMPT_RT" && series == "6.1" {
                // It came to x86 in 6.12.
                assert_eq!(refusal.fix, None, "{about}");
                continue;
            }
            let fix = refusal.fix.as_ref().unwrap_or_else(|| panic!("{about}"));
            assert!(fix.settings.len() <= *most, "{about}");
            let lines: String = fix
                .settings
                .iter()
                .map(|setting| format!("{setting}\n"))
                .collect();
            let fixed = resolve(&loaded, Mode::Allnoconfig, &format!("{base}{lines}"));
            assert_eq!(fixed.check(name, wanted), None, "{about}");
        }
    }
}

#[test]
fn a_fix_is_found_in_the_time_of_a_few_resolutions() {
    for tree in trees::trees() {
        let loaded = load(&tree);
        let resolution = resolve(&loaded, Mode::Allnoconfig, "CONFIG_64BIT=y\n");
        let start = std::time::Instant::now();
        let again = resolve(&loaded, Mode::Allnoconfig, "CONFIG_64BIT=y\n");
        let one = start.elapsed();
        drop(again);
        for (_, ask, ..) in SITUATIONS {
            let (name, wanted) = ask.split_once('=').unwrap();
            let start = std::time::Instant::now();
            let refusal = resolution.check(name, wanted);
            let took = start.elapsed();
            println!(
                "{}: {ask}: {took:?} (one resolution: {one:?}) {}",
                tree,
                refusal.is_some()
            );
            // The bound is in evaluations; the clock of a busy machine only shows that there is one.
            assert!(
                took < 300 * one,
                "{ask}: {took:?}, and one resolution takes {one:?}"
            );
        }
    }
}

#[test]
fn renames_are_those_of_the_trees() {
    let trees: Vec<(String, Utf8PathBuf)> = trees::trees()
        .into_iter()
        .map(|tree| (series(&tree), tree))
        .collect();
    let defines = |tree: &Utf8Path, symbol: &str| {
        let entries = [format!("config {symbol}"), format!("menuconfig {symbol}")];
        names(tree).iter().any(|line| entries.contains(line))
    };
    for (series, tree) in &trees {
        let number = |series: &str| -> Vec<u32> {
            series
                .split('.')
                .map(|part| part.parse().unwrap())
                .collect()
        };
        for rename in RENAMES {
            if number(series) >= number(rename.by) {
                assert!(!defines(tree, rename.old), "{series} has {}", rename.old);
                assert!(defines(tree, rename.new), "{series} lacks {}", rename.new);
            }
        }
    }
}

/// The lines of all Kconfig files of a tree that begin entries; read once a tree.
fn names(tree: &Utf8Path) -> &'static std::collections::BTreeSet<String> {
    use std::collections::BTreeSet;
    use std::sync::{LazyLock, Mutex};
    static READ: LazyLock<Mutex<BTreeMap<Utf8PathBuf, &'static BTreeSet<String>>>> =
        LazyLock::new(Mutex::default);
    fn walk(directory: &Utf8Path, lines: &mut BTreeSet<String>) {
        for entry in directory.read_dir_utf8().unwrap().flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if !matches!(entry.file_name(), "tests" | "Documentation" | ".git") {
                    walk(path, lines);
                }
            } else if entry.file_name().starts_with("Kconfig") {
                let text = std::fs::read(path).unwrap();
                let text = String::from_utf8_lossy(&text);
                lines.extend(
                    text.lines()
                        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")),
                );
            }
        }
    }
    READ.lock()
        .unwrap()
        .entry(tree.to_owned())
        .or_insert_with(|| {
            let mut lines = BTreeSet::new();
            walk(tree, &mut lines);
            Box::leak(Box::new(lines))
        })
}

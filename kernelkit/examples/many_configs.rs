//! One kernel tree, many configurations: the tree is read once, and each set of fragments then
//! costs milliseconds.
//!
//! ```sh
//! cargo run --release --example many_configs -- resolve TREE DEFCONFIG COUNT
//! cargo run --release --example many_configs -- merge TREE BASE RESULT FRAGMENT…
//! ```

#![allow(clippy::print_stdout, reason = "an example shows its result")]

use std::collections::BTreeMap;
use std::error::Error;

use camino::{Utf8Path, Utf8PathBuf};
use kernelkit::effect::environment::Environment;
use kernelkit::effect::{fs, kconfig};
use kernelkit::kconfig::{
    Input, MergeOptions, MergeRules, Mode, Request, Tristate, Value, merge_config,
};

fn main() -> Result<(), Box<dyn Error>> {
    let environment = Environment::read()?;
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match *words.as_slice() {
        ["resolve", tree, defconfig, count] => {
            resolve(&environment, tree.into(), defconfig.into(), count.parse()?)
        }
        ["merge", tree, base, result, ref fragments @ ..] => {
            merge(tree.into(), base.into(), result.into(), fragments)
        }
        _ => Err("see the first lines of this file for its arguments".into()),
    }
}

/// Resolves `count` variations of a defconfig over one loaded tree.
fn resolve(
    environment: &Environment,
    tree: &Utf8Path,
    defconfig: &Utf8Path,
    count: usize,
) -> Result<(), Box<dyn Error>> {
    let directory = environment.temp_dir.join("kernelkit-many-configs");
    fs::create_dir_all(&directory)?;
    let loaded = kconfig::load_tree(
        &kconfig::Tree {
            source: tree,
            directory: &directory,
            arch: "x86_64",
            make_variables: &BTreeMap::new(),
            environment: &environment.tool_variables(),
        },
        &kconfig::Probes::Run(Some(&environment.cache_dir.join("probes"))),
    )?;
    let base = fs::read(defconfig)?;
    let base = Input {
        name: "defconfig",
        text: &base,
    };
    let ask = |fragment: &str| {
        loaded.kconfig.resolve(&Request {
            mode: Mode::Olddefconfig,
            inputs: &[
                base,
                Input {
                    name: "fragment",
                    text: fragment.as_bytes(),
                },
            ],
            warn_unknown: false,
        })
    };
    let plain = ask("");
    // What is on in the defconfig is taken away, five symbols at a time.
    let text = String::from_utf8(plain.dot_config())?;
    let on: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("CONFIG_")?.strip_suffix("=y"))
        .collect();
    let mut bytes = 0;
    let mut gone = 0;
    for number in 0..count {
        let names = (0..5).map(|step| on[(number * 7 + step * 131) % on.len()]);
        let fragment: String = names
            .clone()
            .map(|name| format!("# CONFIG_{name} is not set\n"))
            .collect();
        let resolution = ask(&fragment);
        bytes += resolution.dot_config().len();
        let off = |name: &&str| resolution.value(name) != Some(Value::Tristate(Tristate::Y));
        gone += names.filter(off).count();
    }
    println!("{count} configurations, {bytes} bytes, {gone} symbols switched off");
    Ok(())
}

/// `merge_config.sh -m BASE FRAGMENT…`, by the rules of the tree's own script.
fn merge(
    tree: &Utf8Path,
    base: &Utf8Path,
    result: &Utf8Path,
    fragments: &[&str],
) -> Result<(), Box<dyn Error>> {
    let script = fs::read_to_string(tree.join("scripts/kconfig/merge_config.sh"))?;
    let rules = match script.contains("AWK=") {
        true => MergeRules::Settings,
        false => MergeRules::Words,
    };
    let texts: Vec<Vec<u8>> = fragments
        .iter()
        .map(|path| fs::read(Utf8PathBuf::from(*path)))
        .collect::<Result<_, _>>()?;
    let inputs: Vec<_> = fragments
        .iter()
        .zip(&texts)
        .map(|(name, text)| Input { name, text })
        .collect();
    let options = MergeOptions::default();
    let merged = merge_config(&fs::read(base)?, &inputs, "CONFIG_", rules, options);
    fs::write_atomic(result, &merged.text)?;
    println!("{} notes", merged.notes.len());
    Ok(())
}

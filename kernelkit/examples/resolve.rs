//! Asks a kernel tree's configuration: `cargo run --example resolve -- TREE ARCH [FILE [SYMBOL…]]`.
//!
//! Resolves FILE, a `.config` or a defconfig (or nothing at all), as `make olddefconfig` would,
//! and says how many lines the result has, which settings of it are decisions, and what there
//! is to know about each SYMBOL. The tree is only read; its probes run in a temporary directory.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::collections::BTreeMap;
use std::error::Error;

use camino::{Utf8Path, Utf8PathBuf};
use kernelkit::effect::environment::Environment;
use kernelkit::effect::fs;
use kernelkit::effect::kconfig::{Probes, Tree, load_tree};
use kernelkit::kconfig::{Input, Mode, Request};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(tree), Some(arch)) = (arguments.next(), arguments.next()) else {
        return Err("usage: resolve TREE ARCH [FILE [SYMBOL…]]".into());
    };
    let environment = Environment::read()?;
    let scratch = tempfile::tempdir()?;
    let scratch = Utf8PathBuf::try_from(scratch.path().to_owned())?;
    let loaded = load_tree(
        &Tree {
            source: Utf8Path::new(&tree),
            directory: &scratch,
            arch: &arch,
            make_variables: &BTreeMap::new(),
            environment: &environment.tool_variables(),
        },
        &Probes::Run(None),
    )?;

    let name = arguments.next().unwrap_or_default();
    let text = match name.as_str() {
        "" => Vec::new(),
        name => fs::read(name)?,
    };
    let resolution = loaded.kconfig.resolve(&Request {
        mode: Mode::Olddefconfig,
        inputs: &[Input {
            name: &name,
            text: &text,
        }],
        warn_unknown: true,
    });
    for warning in resolution.diagnostics() {
        eprintln!("{warning}");
    }
    let lines = |text: Vec<u8>| text.iter().filter(|byte| **byte == b'\n').count();
    println!(
        "{} lines, of which {} are decisions",
        lines(resolution.dot_config()),
        lines(resolution.savedefconfig()),
    );
    for symbol in arguments {
        match resolution.explain(&symbol) {
            None => println!("{symbol} is not mentioned in this tree"),
            Some(explanation) => println!("{explanation:#?}"),
        }
    }
    Ok(())
}

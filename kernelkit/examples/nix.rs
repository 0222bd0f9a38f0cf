//! Store paths without Nix: of a directory, and of every kernel of a lock.
//!
//! ```sh
//! cargo run --release --example nix -- hash DIRECTORY
//! cargo run --release --example nix -- plan kernel.lock
//! ```

#![allow(clippy::print_stdout, reason = "an example shows its result")]

use std::collections::BTreeMap;

use camino::Utf8Path;
use kernelkit::effect::fs;
use kernelkit::effect::nix::nar;
use kernelkit::lock::{Lock, ToolchainKind};
use kernelkit::nix::hash::Hash;
use kernelkit::nix::kernel::{self, Pin, Toolchain};
use kernelkit::nix::store_path::StoreDir;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match *words.as_slice() {
        ["hash", directory] => {
            let hash = nar::hash(Utf8Path::new(directory))?;
            println!("{}", Hash::from(hash.sha256).to_base32());
            Ok(())
        }
        ["plan", lock] => plan(Utf8Path::new(lock)),
        _ => Err("see the first lines of this file for its arguments".into()),
    }
}

/// Prints the `.drv` of each kernel; those whose toolchain only an evaluator knows are left out.
fn plan(file: &Utf8Path) -> Result {
    let store = StoreDir::default();
    let lock = Lock::parse(&fs::read_to_string(file)?, file)?;
    let directory = file.parent().ok_or("a lock lies in a directory")?;
    let mut toolchains = BTreeMap::new();
    for (id, table) in &lock.toolchains {
        let toolchain = match (table.kind, &table.pin) {
            (ToolchainKind::Host, _) => Toolchain::host(&store, "x86_64-linux")?,
            (ToolchainKind::DebianRoot, Some(pin)) => {
                let pin: Pin = toml::from_str(&fs::read_to_string(directory.join(pin))?)?;
                Toolchain::debian_root(&store, id, &pin)?
            }
            _ => continue,
        };
        toolchains.insert(id, toolchain);
    }
    for (name, entry) in &lock.kernels {
        let config = fs::read_to_string(directory.join(&entry.config.path))?;
        let Some(toolchain) = toolchains.get(&entry.toolchain) else {
            continue;
        };
        let trusted = match &entry.trust {
            Some(trust) => fs::read_to_string(directory.join(&trust.path))?,
            None => String::new(),
        };
        let plan = kernel::plan(&store, name, entry, &config, &trusted, toolchain)?;
        println!("{}", store.display(&plan.path));
    }
    Ok(())
}

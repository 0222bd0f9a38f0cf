//! Names the Kconfig engine by its sources, so that what one keeps for itself in a cache is
//! never read by another.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a build script reads its package"
)]

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

fn main() {
    let directory = "src/kconfig";
    println!("cargo::rerun-if-changed={directory}");
    let entries = std::fs::read_dir(directory).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.is_file());
    paths.sort();
    let mut hasher = DefaultHasher::new();
    for path in paths {
        (path.file_name(), std::fs::read(&path).unwrap()).hash(&mut hasher);
    }
    println!("cargo::rustc-env=KCONFIG_SOURCES={:016x}", hasher.finish());
}

//! Reads the oldest tools that a kernel tree takes, and has its script say why there is
//! no Rust.

use std::collections::BTreeMap;

use camino::Utf8Path;

use super::environment::{Environment, Probing};
use super::{exec, fs};
use crate::arch::Arch;
use crate::doctor::Minimums;
use crate::minimum::{self, SCRIPT, TABLE, TOOLS};
use crate::process::Call;

/// What the tree takes: its table, corrected by its own script. A tree without them takes
/// anything.
///
/// The script is run only where it is not understood ([`minimum::read_script`]) and the
/// tree's commands may run at all.
///
/// # Errors
/// The files are there and cannot be read, or no shell is.
pub fn read(
    tree: &Utf8Path,
    arch: Arch,
    environment: &Environment,
) -> Result<Minimums, super::doctor::Error> {
    let changes = fs::optional_input(tree.join(TABLE))?.unwrap_or_default();
    let mut minimums = Minimums::parse(&String::from_utf8_lossy(&changes));
    let Some(script) = fs::optional_input(tree.join(SCRIPT))? else {
        return Ok(minimums);
    };
    let script = String::from_utf8_lossy(&script);
    let (kernel_arch, srcarch) = (arch.row().kernel_arch, arch.row().srcarch);
    for name in TOOLS {
        let mut version = minimum::read_script(&script, name, kernel_arch, srcarch);
        if version.is_none() && matches!(environment.probing, Probing::Run) {
            let call = Call::new("sh", tree)
                .arg(tree.join(SCRIPT).as_str())
                .arg(name)
                .envs(&environment.tool_variables())
                .env("ARCH", kernel_arch)
                .env("SRCARCH", srcarch);
            // An older script does not know every name.
            let (output, status) = exec::capture_unchecked(&call)?;
            version = match status.success() {
                true => output.text().trim().parse().ok(),
                false => None,
            };
        }
        if let Some(version) = version {
            minimums.set(name, version);
        }
    }
    Ok(minimums)
}

/// What `scripts/rust_is_available.sh` has against this machine's Rust, in its own words, one
/// complaint a line; `None` where it has nothing against it, where the tree has no such
/// script, and where the tree's commands must not run.
///
/// `variables` are those of the tree's Makefile: the script asks the programs that they name.
pub fn rust_is_missing(
    tree: &Utf8Path,
    directory: &Utf8Path,
    variables: &BTreeMap<String, String>,
    environment: &Environment,
) -> Option<String> {
    let script = tree.join("scripts/rust_is_available.sh");
    if !matches!(environment.probing, Probing::Run) || !script.is_file() {
        return None;
    }
    let call = Call::new("sh", directory)
        .arg(script.as_str())
        .envs(variables);
    let (output, status) = exec::capture_unchecked(&call).ok()?;
    if status.success() {
        return None;
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let lines = said
        .lines()
        .map(|line| line.trim_start_matches('*').trim())
        .filter(|line| !line.is_empty());
    // Where to read on is not what is wrong.
    let lines: Vec<&str> = lines
        .take_while(|line| !line.starts_with("Please see Documentation"))
        .collect();
    Some(lines.join("\n")).filter(|text| !text.is_empty())
}

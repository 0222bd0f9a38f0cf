//! This repository on this machine: where things are and how its tools are called.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use kernelkit::effect::environment::Environment;
use kernelkit::process::Call;

use crate::Result;

/// Kernel trees for the tests, colon-separated; set by the user or by the `trees` step.
pub(crate) const TEST_TREES: &str = "KERNELKIT_TEST_TREES";

/// The clone this xtask was built from.
pub(crate) struct Workspace {
    /// The directory of the root `Cargo.toml`.
    pub(crate) root: Utf8PathBuf,
    /// Cargo's target directory.
    pub(crate) target: Utf8PathBuf,
    /// The caller's environment.
    pub(crate) environment: Environment,
    /// What every child is started with: the caller's variables, less those cargo
    /// sets for the program it runs.
    pub(crate) variables: BTreeMap<String, String>,
}

impl Workspace {
    pub(crate) fn read() -> Result<Self> {
        let root = Utf8Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("xtask lies in the workspace")
            .to_owned();
        let environment = Environment::read()?;
        let target = environment.variables.get("CARGO_TARGET_DIR").map_or_else(
            || root.join("target"),
            |dir| environment.current_dir.join(dir),
        );
        let variables = inherited(&environment.variables);
        Ok(Workspace {
            root,
            target,
            environment,
            variables,
        })
    }

    /// A tool started in the root with the caller's environment.
    pub(crate) fn call(&self, program: &str) -> Call {
        Call::new(program, &self.root).envs(&self.variables)
    }

    /// `cargo`, the one that started this xtask.
    pub(crate) fn cargo(&self, args: &[&str]) -> Call {
        let cargo = self.environment.variables.get("CARGO");
        self.call(cargo.map_or("cargo", String::as_str))
            .args(args.iter().copied())
    }

    /// The release binary of the command under test; `cargo build --release` makes it.
    pub(crate) fn cargo_kernel(&self) -> Utf8PathBuf {
        self.target.join("release/cargo-kernel")
    }

    /// The trees in [`TEST_TREES`].
    pub(crate) fn test_trees(&self) -> Vec<Utf8PathBuf> {
        let trees = self.variables.get(TEST_TREES).map_or("", String::as_str);
        trees
            .split(':')
            .filter(|tree| !tree.is_empty())
            .map(Utf8PathBuf::from)
            .collect()
    }
}

/// Cargo describes the running package to the program it runs. Handed on, those
/// variables make build scripts that watch them run again in every nested cargo.
fn inherited(variables: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    const OF_THE_RUNNING_PACKAGE: &[&str] = &[
        "CARGO_PKG_",
        "CARGO_MANIFEST_",
        "CARGO_BIN_NAME",
        "CARGO_CRATE_NAME",
    ];
    variables
        .iter()
        .filter(|(name, _)| {
            !OF_THE_RUNNING_PACKAGE
                .iter()
                .any(|prefix| name.starts_with(prefix))
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nested_cargo_does_not_see_the_running_package() {
        let variables = [
            ("CARGO_PKG_NAME", "xtask"),
            ("CARGO_HOME", "/c"),
            ("PATH", "/bin"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let names: Vec<_> = inherited(&variables).into_keys().collect();
        assert_eq!(names, ["CARGO_HOME", "PATH"]);
    }
}

//! Versions as the trees themselves and their make print them.
#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used)]

use std::fs;
use std::process::Command;

use kernelkit::version::KernelVersion;

mod trees;

#[test]
fn a_trees_version_is_what_make_kernelversion_prints() {
    for tree in trees::trees() {
        let makefile = fs::read_to_string(tree.join("Makefile")).unwrap();
        let version = KernelVersion::from_makefile(&makefile).unwrap();
        let make = Command::new("make")
            .args(["-s", "-C", tree.as_str(), "kernelversion"])
            .env_remove("MAKEFLAGS")
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8(make.stdout).unwrap().trim(),
            version.to_string(),
            "{tree}"
        );
    }
}

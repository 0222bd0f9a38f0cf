//! Make's shell while `cargo kernel build --timings` watches: runs `/bin/sh` and notes how long
//! that took. It is small on purpose: it starts once for every command of a build.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    ExitCode::from(kernelkit::effect::timings::record(&arguments))
}

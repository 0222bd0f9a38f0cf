//! `cargo kernel completions`

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::error::{DONE, Failure};
use crate::ui::Ui;

/// Print a shell completion script for `cargo-kernel`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// For which shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<u8, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "cargo-kernel", &mut script);
    ui.data(String::from_utf8_lossy(&script).trim_end());
    Ok(DONE)
}

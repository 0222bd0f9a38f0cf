//! `cargo kernel store`

use crate::error::{DONE, Failure};
use crate::ui::Ui;

/// Look after the store of finished builds
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<u8, Failure> {
    let _ = (args, ui);
    Ok(DONE)
}

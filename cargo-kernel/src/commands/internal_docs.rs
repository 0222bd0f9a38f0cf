//! The command reference of the book, from the same definitions as `--help`.

use std::fmt::Write as _;

use clap::CommandFactory as _;

use crate::cli::Cli;
use crate::error::{DONE, Failure};
use crate::ui::Ui;

pub(crate) fn run(ui: &Ui) -> Result<u8, Failure> {
    let mut command = Cli::command().term_width(100);
    command.build();
    let mut page = String::from(
        "# Commands\n\nGenerated from the command line's own definitions; `cargo kernel help COMMAND` prints the same.\n",
    );
    describe(&mut command, "cargo kernel", "##", &mut page);
    ui.data(page.trim_end());
    Ok(DONE)
}

/// Adds the help of each subcommand, and below it that of its own.
fn describe(command: &mut clap::Command, words: &str, heading: &str, page: &mut String) {
    for subcommand in command
        .get_subcommands_mut()
        .filter(|subcommand| !subcommand.is_hide_set() && subcommand.get_name() != "help")
    {
        let words = format!("{words} {}", subcommand.get_name());
        // Writing to a string cannot fail.
        let _ = write!(
            page,
            "\n{heading} {words}\n\n```text\n{}\n```\n",
            subcommand.render_long_help().to_string().trim_end()
        );
        describe(subcommand, &words, &format!("{heading}#"), page);
    }
}

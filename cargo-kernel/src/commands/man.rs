//! `cargo kernel man`

use camino::Utf8PathBuf;
use clap::CommandFactory as _;
use kernelkit::effect::fs;

use crate::cli::Cli;
use crate::error::{DONE, Failure};
use crate::ui::Ui;

/// Write the manual pages into a directory
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory, such as ~/.local/share/man/man1
    #[arg(value_name = "DIR")]
    directory: Utf8PathBuf,
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<u8, Failure> {
    let mut command = Cli::command()
        .name("cargo-kernel")
        .disable_help_subcommand(true);
    command.build();
    write(&command, "cargo-kernel", args, ui)?;
    for subcommand in command
        .get_subcommands()
        .filter(|subcommand| !subcommand.is_hide_set())
    {
        write(
            subcommand,
            &format!("cargo-kernel-{}", subcommand.get_name()),
            args,
            ui,
        )?;
    }
    Ok(DONE)
}

fn write(command: &clap::Command, name: &str, args: &Args, ui: &Ui) -> Result<(), Failure> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone())
        .title(name.to_uppercase())
        .render(&mut page)
        .expect("writing to memory does not fail");
    let path = args.directory.join(format!("{name}.1"));
    fs::write_atomic(&path, &page)?;
    ui.status("Wrote", path);
    Ok(())
}

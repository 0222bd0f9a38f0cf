//! `cargo kernel config`

mod check;
mod diff;
mod explain;
mod menu;
mod requests;
mod save;
mod search;
mod show;
mod upgrade;

use kernelkit::effect::configure::Native;
use kernelkit::kconfig::Resolution;
use kernelkit::plan::Facts;
use kernelkit::spec::KernelSpec;

use super::Workspace;
use crate::cli::Global;
use crate::error::Failure;
use crate::ui::Ui;

/// Show, explain, compare and change a kernel's configuration
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Show(show::Args),
    Requests(requests::Args),
    Check(check::Args),
    Diff(diff::Args),
    Upgrade(upgrade::Args),
    Save(save::Args),
    Menu(menu::Args),
    Explain(explain::Args),
    Search(search::Args),
}

pub(crate) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<u8, Failure> {
    match &args.command {
        Command::Show(args) => show::run(args, global, ui),
        Command::Requests(args) => requests::run(args, global, ui),
        Command::Check(args) => check::run(args, global, ui),
        Command::Diff(args) => diff::run(args, global, ui),
        Command::Upgrade(args) => upgrade::run(args, global, ui),
        Command::Save(args) => save::run(args, global, ui),
        Command::Menu(args) => menu::run(args, global, ui),
        Command::Explain(args) => explain::run(args, global, ui),
        Command::Search(args) => search::run(args, global, ui),
    }
}

/// What belongs to one menu together, the menus in the order of their first entries.
fn by_menu<'a, T>(items: &[&'a T], menu: impl Fn(&T) -> &Vec<String>) -> Vec<Vec<&'a T>> {
    let mut groups: Vec<Vec<&T>> = Vec::new();
    for item in items {
        match groups.iter_mut().find(|group| menu(group[0]) == menu(item)) {
            Some(group) => group.push(item),
            None => groups.push(vec![item]),
        }
    }
    groups
}

/// A menu's path as it is shown.
fn menu_title(menu: &[String]) -> String {
    match menu {
        [] => "Main menu".to_owned(),
        menu => menu.join(" → "),
    }
}

/// As many lines of a file that a tree does not take as they are are shown.
const DOUBTS: usize = 8;

/// Says which lines of a file the tree does not take as they are.
fn warn_of_doubts(resolution: &Resolution<'_>, ui: &Ui) {
    let diagnostics = resolution.diagnostics().iter().map(ToString::to_string);
    let dropped = resolution.dropped().into_iter().map(|dropped| {
        format!(
            "{}: CONFIG_{} is {}, not {}",
            dropped.place, dropped.symbol, dropped.actual, dropped.wanted
        )
    });
    let doubts: Vec<String> = diagnostics.chain(dropped).collect();
    for doubt in doubts.iter().take(DOUBTS) {
        ui.warning(doubt);
    }
    if doubts.len() > DOUBTS {
        ui.warning(format!("{} more lines like these", doubts.len() - DOUBTS));
    }
}

/// A kernel's facts and its Kconfig files, to be asked.
fn native(workspace: &Workspace, kernel: &KernelSpec, ui: &Ui) -> Result<(Facts, Native), Failure> {
    let facts = super::gather(workspace, kernel, ui)?;
    let native = workspace.session().native(kernel, &facts)?;
    let native = native.ok_or_else(|| {
        Failure::message(
            format!(
                "the configuration of `{}` comes from the kernel's own make, which explains nothing",
                kernel.name
            ),
            "start from a preset, from fragments or from a `.config` file",
        )
    })?;
    Ok((facts, native))
}

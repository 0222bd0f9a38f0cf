//! `cargo kernel config`

mod check;
mod diff;
mod menu;
mod requests;
mod save;
mod show;
mod upgrade;

use crate::cli::Global;
use crate::error::Failure;
use crate::ui::Ui;

/// Show a kernel's configuration, or check its requests
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

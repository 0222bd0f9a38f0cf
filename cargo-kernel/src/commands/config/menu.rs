//! `cargo kernel config menu`

use camino::{Utf8Path, Utf8PathBuf};
use kernelkit::effect::{menu, save};
use kernelkit::kconfig;
use kernelkit::spec::KernelSpec;

use crate::cli::{Global, Kernels, Overrides};
use crate::commands::{self, Workspace};
use crate::error::{DONE, Failure};
use crate::ui::Ui;

/// Edit a configuration in the kernel's own menus, and keep what was changed as a fragment
///
/// The menus show the resolved configuration. What is changed and saved there becomes a
/// fragment of as few settings as give it, or is added to the one there is.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A kernel by name
    #[arg(value_name = "KERNEL")]
    name: Option<String>,

    /// The kernel's make goal
    #[arg(long, value_name = "GOAL", default_value = "menuconfig", value_parser = interfaces())]
    interface: String,

    /// Write the fragment to this file instead of local/KERNEL.config in the last of the
    /// fragment directories
    #[arg(short, long, value_name = "FILE")]
    output: Option<Utf8PathBuf>,

    /// Replace the file of --output where it is there already
    #[arg(long, requires = "output")]
    force: bool,
}

fn interfaces() -> clap::builder::PossibleValuesParser {
    menu::INTERFACES
        .map(|interface| clap::builder::PossibleValue::new(interface.goal).help(interface.about))
        .into()
}

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<u8, Failure> {
    if ui.is_json() {
        return Err(Failure::message(
            "the menus take the terminal, so there are no messages as JSON",
            "leave `--message-format` out; `cargo kernel config save --fragment --from FILE` has messages",
        ));
    }
    let workspace = Workspace::load(global, &Overrides::default())?;
    let kernel = workspace.select_one(&Kernels {
        names: args.name.iter().cloned().collect(),
        overrides: Overrides::default(),
    })?;
    let target = match &args.output {
        Some(path) => {
            let path = workspace.environment.current_dir.join(path);
            // Better now than after an hour in the menus.
            if !args.force && path.exists() {
                return Err(save::Error::Exists { path }.into());
            }
            save::Target::File {
                path,
                replace: args.force,
            }
        }
        None => save::Target::Own,
    };
    let interface = menu::INTERFACES
        .iter()
        .find(|interface| interface.goal == args.interface)
        .expect("the parser takes nothing else");
    let opened = commands::open(&workspace, kernel, None, ui)?;
    let session = workspace.session();
    let saved = menu::edit(&session, kernel, &opened.facts, interface, &mut |holder| {
        ui.warning(format!("waiting for {holder}"));
    })?;
    let before = opened.resolve();
    let after = opened.read(".config", &saved);
    let changes = kconfig::diff(&before, &after);
    if changes.is_empty() {
        ui.status("Unchanged", &kernel.name);
        return Ok(DONE);
    }
    let settings = save::settings(&opened, &saved).map_err(save::Error::from)?;
    let wanted = String::from_utf8(after.dot_config()).map_err(Failure::new)?;
    let draft = save::draft(&session, kernel, &opened.facts, &settings, &wanted, &target);
    let draft = draft.and_then(|draft| {
        draft.write()?;
        Ok(draft)
    });
    let draft = draft.map_err(|error| {
        let mut failure = Failure::from(error);
        failure.details.push(format!(
            "what was edited is in {}",
            session.state(kernel).join("menu/.config")
        ));
        failure
    })?;
    for setting in &settings {
        ui.data(setting);
    }
    let verb = if draft.is_update { "Updated" } else { "Wrote" };
    ui.status(
        verb,
        format_args!(
            "{} ({}, {} in the result)",
            draft.path,
            match settings.len() {
                1 => "1 setting".to_owned(),
                several => format!("{several} settings"),
            },
            match changes.len() {
                1 => "1 symbol differs".to_owned(),
                several => format!("{several} symbols differ"),
            },
        ),
    );
    if let Some(note) = next(kernel, &workspace.spec.root, &draft) {
        ui.note(note);
    }
    Ok(DONE)
}

/// What is left to do before the fragment counts.
fn next(kernel: &KernelSpec, root: &Utf8Path, draft: &save::Draft) -> Option<String> {
    let Some(name) = &draft.name else {
        return Some(
            "the file lies in no fragment directory: `fragment-dirs` in Cargo.toml names them"
                .to_owned(),
        );
    };
    let directory = draft.path.ancestors().nth(name.as_str().split('/').count());
    let directory = directory
        .filter(|_| !draft.is_known)
        .map(|directory| directory.strip_prefix(root).unwrap_or(directory))
        .map(|directory| format!("\"{directory}\" to `fragment-dirs` and "));
    (!draft.is_selected).then(|| {
        format!(
            "to use it, add {}\"{name}\" to the `fragments` of `{}` in Cargo.toml",
            directory.unwrap_or_default(),
            kernel.name
        )
    })
}

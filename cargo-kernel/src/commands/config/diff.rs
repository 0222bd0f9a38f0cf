//! `cargo kernel config diff`

use anstyle::{AnsiColor, Style};
use camino::Utf8PathBuf;
use kernelkit::config::DotConfig;
use kernelkit::effect::environment::Environment;
use kernelkit::effect::open::Opened;
use kernelkit::effect::{configure, fs};
use kernelkit::kconfig::{self, Change};
use kernelkit::source::Source;
use kernelkit::spec::KernelSpec;
use serde_json::json;

use super::{by_menu, menu_title, warn_of_doubts};
use crate::cli::{Global, Overrides};
use crate::commands::{self, Workspace};
use crate::error::{DONE, Failure, NO};
use crate::ui::Ui;

/// Compare two configurations, grouped by menu; exits with 100 where they differ
///
/// Each is a kernel by name, the same kernel from another source (`NAME@SOURCE`, a source as
/// for --source: `dev@6.1`, `dev@../linux`), or a file: a .config or a defconfig.
///
/// A file is read on the tree of --kernel, or of the kernel it is compared with. Two files
/// without --kernel are compared as text.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The first configuration
    #[arg(value_name = "A")]
    old: String,

    /// The second configuration
    #[arg(value_name = "B")]
    new: String,

    /// Read files on this kernel's tree
    #[arg(long, value_name = "KERNEL")]
    kernel: Option<String>,

    /// Show symbols too that have no prompt, or that are off on one side and not there on the
    /// other
    #[arg(long)]
    all: bool,

    #[command(flatten)]
    overrides: Overrides,
}

/// What a word on the command line means.
enum Side<'a> {
    Kernel(&'a KernelSpec, Option<Source>),
    File(Utf8PathBuf),
}

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<u8, Failure> {
    let words = [&args.old, &args.new];
    let workspace = match Workspace::load(global, &args.overrides) {
        Ok(workspace) => workspace,
        // Two files can be compared anywhere.
        Err(failure) => {
            let current = Environment::read()?.current_dir;
            let [old, new] = words.map(|word| current.join(word));
            if args.kernel.is_none() && old.is_file() && new.is_file() {
                return texts(args, [&old, &new], ui);
            }
            return Err(failure);
        }
    };
    let [old, new] = [side(&workspace, &args.old)?, side(&workspace, &args.new)?];
    let on = match &args.kernel {
        Some(name) => Some(kernel(&workspace, name)?),
        None => None,
    };
    if let (Side::File(old), Side::File(new), None) = (&old, &new, on) {
        return texts(args, [old, new], ui);
    }
    let open = |side: &Side<'_>| match side {
        Side::Kernel(kernel, source) => {
            commands::open(&workspace, kernel, source.clone(), ui).map(Some)
        }
        Side::File(_) => Ok(None),
    };
    let opened = [open(&old)?, open(&new)?];
    let tree = match on {
        Some(kernel) if opened.iter().any(Option::is_none) => {
            Some(commands::open(&workspace, kernel, None, ui)?)
        }
        _ => None,
    };
    let around = |own: usize| {
        let found = opened[own].as_ref().or(tree.as_ref());
        found
            .or(opened[1 - own].as_ref())
            .expect("two files without a kernel were compared as text")
    };
    let trees: [&Opened; 2] = [around(0), around(1)];
    let resolve = |side: &Side<'_>, opened: &'_ Opened| -> Result<Vec<u8>, Failure> {
        Ok(match side {
            Side::Kernel(..) => opened.resolve().dot_config(),
            Side::File(path) => fs::argument(path)?,
        })
    };
    let texts = [resolve(&old, trees[0])?, resolve(&new, trees[1])?];
    let resolution = |index: usize| {
        let side = [&old, &new][index];
        match side {
            Side::Kernel(..) => trees[index].resolve(),
            Side::File(path) => {
                let resolution = trees[index].read(path.as_str(), &texts[index]);
                warn_of_doubts(&resolution, ui);
                resolution
            }
        }
    };
    let changes = kconfig::diff(&resolution(0), &resolution(1));
    let versions = trees.map(|opened| opened.facts.tree.version.to_string());
    let titles: Vec<String> = words
        .iter()
        .zip([&old, &new])
        .zip(&versions)
        .map(|((word, side), version)| match side {
            Side::Kernel(kernel, _) => format!("{} {version}", kernel.name),
            Side::File(_) => format!("{word} on {version}"),
        })
        .collect();
    let same_tree = trees[0].facts.tree.id == trees[1].facts.tree.id;
    let notes = match same_tree {
        true => ["was not in view", "no longer in view"].map(str::to_owned),
        false => [
            format!("not in {}", versions[0]),
            format!("not in {}", versions[1]),
        ],
    };
    report(
        args,
        [&titles[0], &titles[1]],
        &changes,
        Some((same_tree, notes)),
        ui,
    )
}

/// Two files as text.
fn texts(args: &Args, paths: [&Utf8PathBuf; 2], ui: &Ui) -> Result<u8, Failure> {
    let read = |path: &Utf8PathBuf| -> Result<DotConfig, Failure> {
        let text = fs::read_to_string(path)?;
        DotConfig::parse(&text).map_err(|source| {
            let error = configure::Error::Invalid {
                path: path.clone(),
                source,
            };
            kernelkit::effect::build::Error::from(error).into()
        })
    };
    let changes = kconfig::diff_texts(&read(paths[0])?, &read(paths[1])?);
    ui.note("compared as text; `--kernel NAME` reads the files on that kernel's tree");
    report(args, [&args.old, &args.new], &changes, None, ui)
}

fn kernel<'a>(workspace: &'a Workspace, name: &str) -> Result<&'a KernelSpec, Failure> {
    let kernels = workspace.select(&[name.to_owned()])?;
    match kernels.as_slice() {
        [kernel] => Ok(kernel),
        _ => Err(Failure::message(
            format!("`{name}` is more than one kernel"),
            "name one",
        )),
    }
}

fn side<'a>(workspace: &'a Workspace, word: &str) -> Result<Side<'a>, Failure> {
    let find = |name: &str| {
        let mut kernels = workspace.spec.kernels.iter();
        kernels.find(|kernel| kernel.name.as_str() == name)
    };
    if let Some(kernel) = find(word) {
        return Ok(Side::Kernel(kernel, None));
    }
    if let Some((name, source)) = word.split_once('@')
        && let Some(kernel) = find(name)
    {
        let source = commands::parse_source(workspace, source)?;
        return Ok(Side::Kernel(kernel, Some(source)));
    }
    let path = workspace.environment.current_dir.join(word);
    if path.exists() {
        return Ok(Side::File(path));
    }
    let names: Vec<&str> = workspace
        .spec
        .kernels
        .iter()
        .map(|kernel| kernel.name.as_str())
        .collect();
    Err(Failure::message(
        format!("`{word}` is neither a kernel nor a file"),
        format!(
            "kernels here: {}; one of them from another source is `NAME@SOURCE`",
            names.join(", ")
        ),
    ))
}

/// How a change is counted and marked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Changed,
    Added,
    Removed,
}

fn mark(change: &Change) -> Mark {
    match (&change.old, &change.new) {
        (None, _) => Mark::Added,
        (_, None) => Mark::Removed,
        _ => Mark::Changed,
    }
}

/// Prints the changes. `trees` says whether both sides are of one tree, and what to say of
/// a symbol that only the second or only the first has.
fn report(
    args: &Args,
    titles: [&str; 2],
    changes: &[Change],
    trees: Option<(bool, [String; 2])>,
    ui: &Ui,
) -> Result<u8, Failure> {
    // Without a tree nobody knows of prompts.
    let told = |change: &Change| change.prompt.is_some() || trees.is_none();
    let (shown, hidden): (Vec<&Change>, Vec<&Change>) = changes
        .iter()
        .partition(|change| args.all || change.has_effect() && told(change));
    let count = |wanted: Mark| shown.iter().filter(|change| mark(change) == wanted).count();
    for change in &shown {
        ui.message("change", json!({ "change": change }));
    }
    ui.message("diff", json!({ "old": titles[0], "new": titles[1], "changed": count(Mark::Changed), "added": count(Mark::Added), "removed": count(Mark::Removed), "hidden": hidden.len() }));
    if !ui.is_json() {
        print(&shown, trees.as_ref(), ui);
    }
    let off = hidden.iter().filter(|change| !change.has_effect()).count();
    let rest = [
        (hidden.len() - off, "without a prompt"),
        (off, "off on one side and not there on the other"),
    ];
    let mut rest: String = rest
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("; {count} {what}"))
        .collect();
    if !rest.is_empty() {
        rest.push_str(" (`--all`)");
    }
    ui.status(
        "Compared",
        format_args!(
            "{} with {}: {} changed, {} added, {} removed{rest}",
            titles[0],
            titles[1],
            count(Mark::Changed),
            count(Mark::Added),
            count(Mark::Removed),
        ),
    );
    Ok(if changes.is_empty() { DONE } else { NO })
}

fn print(changes: &[&Change], trees: Option<&(bool, [String; 2])>, ui: &Ui) {
    const MENU: Style = Style::new().bold();
    for group in by_menu(changes, |change| &change.menu) {
        let is_indented = trees.is_some();
        if is_indented {
            ui.data(format_args!("{MENU}{}{MENU:#}", menu_title(&group[0].menu)));
        }
        let rows: Vec<(Mark, String, String)> = group
            .iter()
            .map(|change| (mark(change), setting(change), note(change, trees)))
            .collect();
        let width = rows.iter().map(|(_, text, _)| text.chars().count());
        let width = width.filter(|width| *width <= 48).max().unwrap_or(0);
        let indent = if is_indented { "  " } else { "" };
        for (mark, text, note) in rows {
            let (color, sign) = match mark {
                Mark::Changed => (AnsiColor::Yellow, '~'),
                Mark::Added => (AnsiColor::Green, '+'),
                Mark::Removed => (AnsiColor::Red, '-'),
            };
            let color = color.on_default();
            let line = format!("{text:<width$}  {note}");
            ui.data(format_args!(
                "{indent}{color}{sign}{color:#} {}",
                line.trim_end()
            ));
        }
    }
}

fn setting(change: &Change) -> String {
    let name = format!("CONFIG_{}", change.symbol);
    match (change.old_text(), change.new_text()) {
        (Some(old), Some(new)) => format!("{name}: {old} → {new}"),
        (Some(value), None) | (None, Some(value)) => format!("{name}={value}"),
        (None, None) => name,
    }
}

fn note(change: &Change, trees: Option<&(bool, [String; 2])>) -> String {
    let prompt = change.prompt.clone().unwrap_or_default();
    let Some((same_tree, [not_before, not_now])) = trees else {
        return prompt;
    };
    let note = match mark(change) {
        Mark::Added if *same_tree || !change.in_old_tree => not_before,
        Mark::Removed if *same_tree || !change.in_new_tree => not_now,
        _ => return prompt,
    };
    format!("{prompt} ({note})").trim_start().to_owned()
}

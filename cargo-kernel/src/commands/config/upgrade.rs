//! `cargo kernel config upgrade`

use anstyle::Style;
use kernelkit::effect::open::Opened;
use kernelkit::kconfig::{
    self, Change, Origin, Refusal, Renamed, Tristate, Type, Upgrade, Value, spell,
};
use kernelkit::merge;
use serde_json::json;

use super::{by_menu, menu_title};
use crate::cli::{Global, Kernels, Overrides};
use crate::commands::{self, Workspace};
use crate::error::{DONE, Failure, NO};
use crate::ui::Ui;

/// Show what another version does to a kernel's configuration
///
/// Nothing is changed. Exits with 100 where a request of the fragments would no longer hold.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A kernel by name
    #[arg(value_name = "KERNEL")]
    name: Option<String>,

    /// The new source, as for --source: a version, a directory, `debian:PACKAGE` …
    #[arg(long, value_name = "SOURCE")]
    to: String,

    /// Show symbols too that have no prompt, are off, or are set without being asked for
    #[arg(long)]
    all: bool,

    #[command(flatten)]
    overrides: Overrides,
}

/// A request that the new version does not honour.
struct Lost {
    unmet: merge::Unmet,
    refusal: Option<Refusal>,
    /// Neither does the old one.
    before: bool,
}

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<u8, Failure> {
    let workspace = Workspace::load(global, &args.overrides)?;
    let kernel = workspace.select_one(&Kernels {
        names: args.name.iter().cloned().collect(),
        overrides: Overrides::default(),
    })?;
    let source = commands::parse_source(&workspace, &args.to)?;
    let old = commands::open(&workspace, kernel, None, ui)?;
    let new = commands::open(&workspace, kernel, Some(source), ui)?;
    let (before, after) = (old.resolve(), new.resolve());
    let upgrade = kconfig::upgrade(&before, &after);
    let lost = lost(&old, &new);
    let versions = [&old, &new].map(|opened| opened.facts.tree.version.to_string());
    ui.message(
        "upgrade",
        json!({
            "kernel": kernel.name,
            "from": versions[0],
            "to": versions[1],
            "new": upgrade.new,
            "removed": upgrade.removed,
            "renamed": upgrade.renamed,
            "changed": upgrade.changed,
            "lost": lost.iter().map(|lost| json!({
                "unmet": lost.unmet, "refusal": lost.refusal, "before": lost.before,
            })).collect::<Vec<_>>(),
        }),
    );
    if !ui.is_json() {
        print(&upgrade, &lost, args.all, ui);
    }
    let asked = upgrade.new.iter().filter(|new| new.asked).count();
    ui.status(
        "Compared",
        format_args!(
            "{} {} with {}: {asked} symbols to decide about, {} removed, {} renamed, {} changed, {} requests lost",
            kernel.name,
            versions[0],
            versions[1],
            told(&mut upgrade.removed.iter()),
            upgrade.renamed.iter().filter(|renamed| is_on(&renamed.old_value)).count(),
            told(&mut upgrade.changed.iter().map(|changed| &changed.change)),
            lost.iter().filter(|lost| !lost.unmet.optional).count(),
        ),
    );
    let fails = lost.iter().any(|lost| !lost.unmet.optional);
    Ok(if fails { NO } else { DONE })
}

/// How many changes are shown without `--all`.
fn told(changes: &mut dyn Iterator<Item = &Change>) -> usize {
    changes.filter(|change| is_told(change)).count()
}

/// The requests that the new version does not honour, and why.
fn lost(old: &Opened, new: &Opened) -> Vec<Lost> {
    let before = merge::verify(&old.facts.request.merged, &old.facts.config);
    let unmet = merge::verify(&new.facts.request.merged, &new.facts.config);
    let requests = new.facts.request.merged.requests();
    let requests: Vec<(&str, String)> = requests
        .iter()
        .map(|request| (request.symbol.as_str(), request.asked.value.to_string()))
        .collect();
    let requests: Vec<(&str, &str)> = requests
        .iter()
        .map(|(symbol, value)| (*symbol, value.as_str()))
        .collect();
    let refusals = match unmet.as_slice() {
        [] => Vec::new(),
        _ => new.resolve().check_all(&requests),
    };
    unmet
        .into_iter()
        .map(|unmet| Lost {
            refusal: refusals
                .iter()
                .find(|refusal| refusal.symbol == unmet.symbol.as_str())
                .cloned(),
            before: before.iter().any(|before| before.symbol == unmet.symbol),
            unmet,
        })
        .collect()
}

fn print(upgrade: &Upgrade, lost: &[Lost], all: bool, ui: &Ui) {
    const HEADING: Style = Style::new().bold();
    let heading = |text: &str| ui.data(format_args!("{HEADING}{text}{HEADING:#}"));
    if !lost.is_empty() {
        heading("Requests that do not hold");
        for lost in lost {
            let before = if lost.before {
                " (nor did it before)"
            } else {
                ""
            };
            let optional = if lost.unmet.optional {
                " (optional)"
            } else {
                ""
            };
            ui.data(format_args!("  {}{optional}{before}", lost.unmet));
            let Some(refusal) = &lost.refusal else {
                continue;
            };
            ui.data(format_args!("    {}", refusal.sentence));
            let mut renamed = upgrade.renamed.iter().filter(|renamed| renamed.guess);
            if let Some(renamed) = renamed.find(|renamed| renamed.old == refusal.symbol) {
                let new = renamed.new.join(" and CONFIG_");
                ui.data(format_args!("    it is probably CONFIG_{new} now"));
            }
            for setting in refusal.fix.iter().flat_map(|fix| &fix.settings) {
                ui.data(format_args!("    {setting}"));
            }
        }
    }
    let show = |kind: Type, value: &Option<Value>| {
        value
            .as_ref()
            .map_or_else(|| "absent".to_owned(), |value| spell(kind, value))
    };
    let (asked, unasked): (Vec<_>, Vec<_>) = upgrade.new.iter().partition(|new| new.asked);
    for (title, list) in [
        ("To decide about", asked),
        ("Set without being asked for", unasked),
    ] {
        if list.is_empty() {
            continue;
        }
        if title != "To decide about" && !all {
            ui.data(format_args!(
                "{} more new symbols are set without being asked for (`--all`)",
                list.len()
            ));
            continue;
        }
        heading(title);
        for group in by_menu(&list, |new| &new.menu) {
            ui.data(format_args!("  {}", menu_title(&group[0].menu)));
            for new in group {
                let setting = format!("CONFIG_{}={}", new.symbol, show(new.kind, &new.value));
                let prompt = new.prompt.as_deref().unwrap_or_default();
                let known = if new.in_old_tree {
                    " (was not in view)"
                } else {
                    ""
                };
                ui.data(format_args!("    {setting:<36} {prompt}{known}"));
            }
        }
    }
    let renamed: Vec<&Renamed> = upgrade
        .renamed
        .iter()
        .filter(|renamed| all || is_on(&renamed.old_value))
        .collect();
    if !renamed.is_empty() {
        heading("Renamed");
        for renamed in renamed {
            let verb = if renamed.guess { "is probably" } else { "is" };
            let old = show(Type::Unknown, &renamed.old_value);
            let new: Vec<String> = renamed
                .new
                .iter()
                .zip(&renamed.new_values)
                .map(|(name, value)| format!("CONFIG_{name}={}", show(Type::Unknown, value)))
                .collect();
            ui.data(format_args!(
                "  CONFIG_{}={old} {verb} {} now",
                renamed.old,
                new.join(", ")
            ));
        }
    }
    let removed = upgrade
        .removed
        .iter()
        .filter(|change| all || is_told(change));
    for (index, change) in removed.enumerate() {
        if index == 0 {
            heading("Removed");
        }
        let setting = format!(
            "CONFIG_{}={}",
            change.symbol,
            show(change.kind, &change.old)
        );
        let prompt = change.prompt.as_deref().unwrap_or_default();
        ui.data(
            format_args!("  {setting:<38} {prompt}")
                .to_string()
                .trim_end(),
        );
    }
    let changed = upgrade
        .changed
        .iter()
        .filter(|changed| all || is_told(&changed.change));
    for (index, changed) in changed.enumerate() {
        if index == 0 {
            heading("Changed");
        }
        let change = &changed.change;
        let setting = format!(
            "CONFIG_{}: {} → {}",
            change.symbol,
            show(change.kind, &change.old),
            show(change.kind, &change.new)
        );
        ui.data(format_args!(
            "  {setting:<46} {}",
            origins(&changed.old_origin, &changed.new_origin)
        ));
    }
}

/// Whether a change is shown without `--all`: what has no prompt follows from the rest.
fn is_told(change: &Change) -> bool {
    change.has_effect() && change.prompt.is_some()
}

fn is_on(value: &Option<Value>) -> bool {
    !matches!(value, None | Some(Value::Tristate(Tristate::N)))
}

/// Why a value is another one now.
fn origins(old: &Origin, new: &Origin) -> String {
    match (old.to_string(), new.to_string()) {
        (old, new) if old == new => new,
        (old, new) => format!("{new}, was {old}"),
    }
}

//! The report of a configuration that the kernel's own `conf` did not confirm: everything
//! that is needed to find out why, in one file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use camino::Utf8Path;

use super::{fs, kconfig};
use crate::config::{DotConfig, Symbol, Value};
use crate::kconfig::{Input, Mode, Place, Request};
use crate::plan::{Plan, Step};
use crate::process::Call;

/// A symbol that the kernel's `conf` gave another value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The symbol.
    pub symbol: Symbol,
    /// In the prediction; absent where it is not written.
    pub predicted: Option<Value>,
    /// As conf left it.
    pub confirmed: Option<Value>,
    /// Where the tree defines it; empty where its Kconfig files could not be read.
    pub places: Vec<Place>,
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let show =
            |value: &Option<Value>| value.as_ref().map_or("absent".to_owned(), Value::to_string);
        let (predicted, confirmed) = (show(&self.predicted), show(&self.confirmed));
        write!(f, "{} {predicted} → {confirmed}", self.symbol)?;
        if let Some(place) = self.places.first() {
            write!(f, " ({place})")?;
        }
        Ok(())
    }
}

/// What came of a look at a drift.
#[derive(Clone, Debug)]
pub(super) struct Drift {
    pub(super) changes: Vec<Change>,
    /// Whether the engine now agrees with conf: then the tools answer otherwise than when the
    /// configuration was predicted.
    pub(super) tools_changed: bool,
}

/// Compares, asks the tree's probes again, and writes the report to `report`.
pub(super) fn investigate(
    plan: &Plan,
    confirmed: &str,
    report: &Utf8Path,
) -> Result<Drift, fs::Error> {
    let confirm = plan.steps.iter().find_map(|step| match step {
        Step::Configure { confirm, .. } => Some(confirm),
        _ => None,
    });
    let loaded = confirm.map(|confirm| load(plan, confirm));
    let predicted = plan.dot_config.as_str();
    let (mut places, mut tools_changed) = (BTreeMap::new(), false);
    let changed = differences(predicted, confirmed);
    if let Some(Ok(loaded)) = &loaded {
        let resolution = loaded.kconfig.resolve(&Request {
            mode: Mode::Olddefconfig,
            inputs: &[Input {
                name: ".config",
                text: predicted.as_bytes(),
            }],
            warn_unknown: false,
        });
        tools_changed = resolution.dot_config() == confirmed.as_bytes();
        for (symbol, ..) in &changed {
            if let Some(explanation) = resolution.explain(symbol.as_str()) {
                places.insert(symbol.clone(), explanation.places);
            }
        }
    }
    let changes: Vec<_> = changed
        .into_iter()
        .map(|(symbol, predicted, confirmed)| Change {
            places: places.remove(&symbol).unwrap_or_default(),
            symbol,
            predicted,
            confirmed,
        })
        .collect();
    let drift = Drift {
        changes,
        tools_changed,
    };
    let text = describe(plan, confirm, loaded.as_ref(), &drift, confirmed);
    fs::write_atomic(report, text.as_bytes())?;
    Ok(drift)
}

/// Reads the tree as the confirming call did, with every probe run afresh.
fn load(plan: &Plan, confirm: &Call) -> Result<kconfig::Loaded, kconfig::Error> {
    let record = &plan.record;
    let variables = confirm
        .args
        .iter()
        .filter_map(|arg| arg.split_once('='))
        .filter(|(name, _)| *name != "O" && !name.starts_with('-'))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    kconfig::load_tree(
        &kconfig::Tree {
            source: &record.dirs.source,
            directory: &record.dirs.build,
            arch: record.arch.row().kernel_arch,
            make_variables: &variables,
            environment: &confirm.env,
        },
        &kconfig::Probes::Run(None),
    )
}

fn describe(
    plan: &Plan,
    confirm: Option<&Call>,
    loaded: Option<&Result<kconfig::Loaded, kconfig::Error>>,
    drift: &Drift,
    confirmed: &str,
) -> String {
    let record = &plan.record;
    let mut text =
        "The kernel's own conf changed the configuration that cargo kernel had predicted.\n\n"
            .to_owned();
    let mut row = |name: &str, value: &dyn std::fmt::Display| {
        let _ = writeln!(text, "{name:<12} {value}");
    };
    row("kernelkit", &record.kernelkit);
    row(
        "kernel",
        &format_args!("{} of {}", record.version, record.source.description),
    );
    row("tree", &record.identity.source);
    row("arch", &record.arch);
    row(
        "toolchain",
        &format_args!(
            "{} ({})",
            record.toolchain.version, record.identity.toolchain
        ),
    );
    row("variables", &record.toolchain.variables.join(" "));
    row("base", &record.config.base);
    row("fragments", &record.config.fragments.join(" "));
    row("resolver", &record.config.resolver);
    match loaded {
        Some(Ok(loaded)) => row("dialect", &format_args!("{:?}", loaded.kconfig.dialect())),
        Some(Err(error)) => row("dialect", &format_args!("not read: {error}")),
        None => {}
    }
    if let Some(confirm) = confirm {
        row("confirmed by", confirm);
    }
    row(
        "cause",
        &match drift.tools_changed {
            true => "the tools answer otherwise than when the configuration was predicted",
            false => "not known; the engine does not agree with conf",
        },
    );
    text.push_str("\nSymbols: predicted → as conf left them (where they are defined)\n");
    for change in &drift.changes {
        let _ = writeln!(text, "  {change}");
    }
    if drift.changes.is_empty() {
        text.push_str("  none; lines or comments differ\n");
    }
    let mut part = |title: &str, body: &str| {
        let _ = write!(text, "\n----- {title}\n{body}");
        if !body.ends_with('\n') {
            text.push('\n');
        }
    };
    part("requests", &plan.requests);
    if let Some(Ok(loaded)) = loaded {
        let record = loaded.record.to_text();
        part(
            "probes: COMMAND<TAB>OUTPUT",
            &String::from_utf8_lossy(&record),
        );
    }
    part("predicted .config", &plan.dot_config);
    part("confirmed .config", confirmed);
    text
}

type Difference = (Symbol, Option<Value>, Option<Value>);

fn differences(left: &str, right: &str) -> Vec<Difference> {
    let values = |text: &str| {
        DotConfig::parse(text)
            .map(|config| config.values().clone())
            .unwrap_or_default()
    };
    let (left, right) = (values(left), values(right));
    let names: BTreeSet<_> = left.keys().chain(right.keys()).collect();
    let pairs = names.into_iter().map(|name| {
        let value = |values: &BTreeMap<Symbol, Value>| values.get(name).cloned();
        (name.clone(), value(&left), value(&right))
    });
    pairs.filter(|(_, left, right)| left != right).collect()
}

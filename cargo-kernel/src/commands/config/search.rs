//! `cargo kernel config search`

use kernelkit::effect::explain;
use kernelkit::kconfig::{Found, Match};
use serde_json::json;

use crate::cli::{Global, KernelOption};
use crate::commands::Workspace;
use crate::error::{DONE, Failure, NO};
use crate::ui::{STRONG, Ui};

/// Find symbols by words in their name, prompt or help; exits with 100 where there is none
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Words that all have to be found, in upper or lower case
    #[arg(value_name = "WORD", required = true)]
    words: Vec<String>,

    /// Show as many at most, the best first; 0 for all
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,

    #[command(flatten)]
    kernels: KernelOption,
}

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<u8, Failure> {
    let workspace = Workspace::load(global, &args.kernels.overrides)?;
    let words: Vec<&str> = args.words.iter().map(String::as_str).collect();
    let limit = if args.limit == 0 {
        usize::MAX
    } else {
        args.limit
    };
    let mut code = NO;
    let kernels = workspace.select(&args.kernels.names)?;
    for kernel in &kernels {
        let name = kernel.name.as_str();
        let (facts, native) = super::native(&workspace, kernel, ui)?;
        let found = explain::resolve(&native, &facts.request)?.search(&words);
        if kernels.len() > 1 && !ui.is_json() {
            ui.data(format_args!("{STRONG}{name}{STRONG:#}"));
        }
        for symbol in found.iter().take(limit) {
            code = DONE;
            ui.message("symbol", json!({ "kernel": name, "symbol": symbol }));
            if !ui.is_json() {
                print(symbol, ui);
            }
        }
        match found.len().saturating_sub(limit) {
            0 if found.is_empty() => {
                ui.note(format!("{name}: no symbol has {}", words.join(" and ")))
            }
            0 => {}
            more => ui.note(format!("{more} more; `--limit 0` shows all")),
        }
    }
    Ok(code)
}

fn print(found: &Found, ui: &Ui) {
    let value = match &found.value {
        Some(value) => value.to_string(),
        None => "?".to_owned(),
    };
    let prompt = match &found.prompt {
        Some(prompt) => format!("  {prompt}"),
        None => "  (no prompt)".to_owned(),
    };
    ui.data(format_args!(
        "{STRONG}{}{STRONG:#}={value}{prompt}",
        found.symbol
    ));
    let mut line = found.menu.join(" → ");
    if !line.is_empty() {
        line.push_str("  ");
    }
    let help = if found.matched == Match::Help {
        "  (in the help)"
    } else {
        ""
    };
    ui.data(format_args!("    {line}{}{help}", found.place));
}

//! `cargo kernel matrix`

use serde_json::{Value, json};

use kernelkit::spec::KernelSpec;

use super::Workspace;
use crate::cli::{Global, Kernels};
use crate::error::{DONE, Failure};
use crate::ui::Ui;

/// List kernels as the matrix of a CI system
///
/// Every kernel is a job: its name is the variable KERNEL (`kernel` in GitHub Actions), for
/// `cargo kernel build "$KERNEL"`. Nothing is downloaded and nothing is planned.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// For whom
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Json)]
    format: Format,
    #[command(flatten)]
    kernels: Kernels,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A list of kernels with their axes
    Json,
    /// GitHub Actions: `strategy: { matrix: ${{ fromJSON(…) }} }`
    Github,
    /// GitLab CI: a child pipeline's `parallel: { matrix: … }`
    Gitlab,
}

pub(crate) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<u8, Failure> {
    let workspace = Workspace::load(global, &args.kernels.overrides)?;
    let names = match args.kernels.names.as_slice() {
        [] => vec!["*".to_owned()],
        names => names.to_vec(),
    };
    let kernels = workspace.select(&names)?;
    let value = match args.format {
        Format::Json => json!(kernels.iter().map(|kernel| row(kernel)).collect::<Vec<_>>()),
        Format::Github => {
            json!({ "include": kernels.iter().map(|kernel| job(kernel)).collect::<Vec<_>>() })
        }
        Format::Gitlab => {
            let names: Vec<&str> = kernels.iter().map(|kernel| kernel.name.as_str()).collect();
            json!([{ "KERNEL": names }])
        }
    };
    ui.message(
        "matrix",
        json!({ "format": args.format.name(), "matrix": value }),
    );
    if !ui.is_json() {
        ui.data(match args.format {
            // What CI systems read stands on one line.
            Format::Github | Format::Gitlab => value.to_string(),
            Format::Json => format!("{value:#}"),
        });
    }
    Ok(DONE)
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Format::Json => "json",
            Format::Github => "github",
            Format::Gitlab => "gitlab",
        }
    }
}

fn row(kernel: &KernelSpec) -> Value {
    let mut row = json!({
        "name": kernel.name,
        "arch": kernel.arch.value,
        "compiler": kernel.compiler.value.name,
        "debug": kernel.debug.value,
        "flavour": kernel.flavour.as_ref().map(|flavour| &flavour.value),
    });
    if let Some(cell) = &kernel.cell {
        row["matrix"] = json!(cell.matrix);
        row["axes"] = json!(cell.axes);
    }
    row
}

/// Axes are keys of their own, for the job's name and `runs-on`.
fn job(kernel: &KernelSpec) -> Value {
    let mut job = json!({ "kernel": kernel.name, "arch": kernel.arch.value });
    for (axis, value) in kernel.cell.iter().flat_map(|cell| &cell.axes) {
        job[axis] = json!(value);
    }
    job
}

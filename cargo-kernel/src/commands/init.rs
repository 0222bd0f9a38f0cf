//! `cargo kernel init`

use kernelkit::effect::environment::Environment;
use kernelkit::effect::fs;
use kernelkit::fragment::Library;
use kernelkit::spec::{KernelName, StarterPlace, parse_source, starter};

use crate::cli::Global;
use crate::error::{DONE, Failure};
use crate::ui::Ui;

/// Write a commented starter configuration
///
/// It is added to Cargo.toml; where there is none, one is made for a workspace that holds
/// kernels only.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name of the kernel
    #[arg(default_value = "tiny")]
    name: String,

    /// Where its source comes from, as for `cargo kernel build`
    #[arg(long, default_value = "longterm")]
    source: String,

    /// The preset it starts from
    #[arg(long, default_value = "tiny")]
    preset: String,
}

pub(crate) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<u8, Failure> {
    let environment = Environment::read()?;
    let name: KernelName = args.name.parse().map_err(Failure::new)?;
    parse_source(&args.source, &environment.current_dir)
        .map_err(|error| Failure::message(&error, error.hint().unwrap_or_default()))?;
    let library = Library::embedded();
    let presets: Vec<_> = library
        .iter()
        .filter_map(|fragment| fragment.name().as_str().strip_prefix("preset/"))
        .collect();
    if !presets.contains(&args.preset.as_str()) {
        return Err(Failure::message(
            format!("there is no preset `{}`", args.preset),
            format!("there is: {}", presets.join(", ")),
        ));
    }
    let path = match &global.manifest_path {
        Some(path) => environment.current_dir.join(path),
        None => environment.current_dir.join("Cargo.toml"),
    };
    let present = match fs::read_optional(&path)? {
        Some(bytes) => String::from_utf8(bytes).map_err(Failure::new)?,
        None => String::new(),
    };
    if present.contains("metadata.kernel") {
        return Err(Failure::message(
            format!("{path} declares kernels already"),
            "add a `[workspace.metadata.kernel.kernels.NAME]` table by hand",
        ));
    }
    let place = if present.is_empty() {
        StarterPlace::NewWorkspace
    } else if present
        .lines()
        .any(|line| line.trim_start().starts_with("[workspace"))
    {
        StarterPlace::Workspace
    } else {
        StarterPlace::Package
    };
    let gap = if present.is_empty() {
        ""
    } else if present.ends_with('\n') {
        "\n"
    } else {
        "\n\n"
    };
    let text = format!(
        "{present}{gap}{}",
        starter(place, &name, &args.source, &args.preset)
    );
    fs::write_durable(&path, text.as_bytes())?;
    ui.status("Wrote", &path);
    ui.note(format!(
        "next: `cargo kernel doctor`, then `cargo kernel build {name}`"
    ));
    Ok(DONE)
}

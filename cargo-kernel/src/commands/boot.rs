//! `cargo kernel boot`

use std::time::Duration;

use camino::Utf8PathBuf;
use kernelkit::boot::{Accel, Request};
use kernelkit::effect::boot::{self, Event};
use kernelkit::manifest::{Manifest, OutputKind};
use kernelkit::spec::Compiler;
use serde_json::json;

use super::Workspace;
use crate::cli::{Global, Kernels};
use crate::error::{DONE, Failure, NO};
use crate::ui::Ui;

/// Boot a kernel in QEMU, on the serial console
///
/// The kernel is built first where it has to be. Leave the console with Ctrl-A X.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    kernels: Kernels,

    /// Boot unattended, compare `uname -r` and build ids, load a module, end; exits with 100
    /// where something is wrong
    #[arg(long)]
    check: bool,

    /// Install missing tools first
    #[arg(long)]
    setup: bool,

    /// Boot what was built last, whatever has changed since
    #[arg(long)]
    no_build: bool,

    /// More words for the kernel's command line
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    append: Option<String>,

    /// Boot with this initramfs instead of a minimal one
    #[arg(long, value_name = "FILE", conflicts_with = "check")]
    initrd: Option<Utf8PathBuf>,

    /// The guest's memory
    #[arg(long, default_value = "256M", value_name = "SIZE")]
    memory: String,

    /// Wait for GDB on this port
    #[arg(long, value_name = "PORT", num_args = 0..=1, require_equals = true, default_missing_value = "1234", conflicts_with = "check")]
    gdb: Option<u16>,

    /// How the guest's processor is run
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    accel: AccelChoice,

    /// Load this module in a check
    #[arg(long, value_name = "NAME", requires = "check")]
    module: Option<String>,

    /// Seconds until a check is given up
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    timeout: u64,
}

/// How the guest's processor is run.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum AccelChoice {
    /// KVM where a guest really runs under it, else TCG
    #[default]
    Auto,
    /// The host's processor
    Kvm,
    /// Emulation
    Tcg,
}

pub(crate) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<u8, Failure> {
    let workspace = Workspace::load(global, &args.kernels.overrides)?;
    let kernel = workspace.select_one(&args.kernels)?;
    if args.setup {
        super::doctor::set_up(&workspace, &[kernel], true, ui)?;
    }
    let manifest = if args.no_build {
        workspace.session().manifest(kernel)?.ok_or_else(|| {
            Failure::message(
                format!("`{}` has not been built", kernel.name),
                format!("`cargo kernel build {}`", kernel.name),
            )
        })?
    } else {
        super::build::build(&workspace, kernel, ui)?
    };
    let request = request(args, &manifest)?;
    let mut on_event = |event| show(event, args.check, global.verbose, ui);
    if !args.check {
        boot::interactive(&request, &workspace.environment, &mut on_event)?;
        return Ok(DONE);
    }
    let outcome = boot::check(&request, &workspace.environment, &mut on_event)?;
    ui.message("boot", json!({ "kernel": kernel.name, "outcome": outcome }));
    if ui.is_json() {
        return Ok(if outcome.passed { DONE } else { NO });
    }
    if !outcome.passed {
        for problem in &outcome.problems {
            ui.failure(&Failure {
                details: outcome.last_lines.clone(),
                hint: problem.hint(),
                ..Failure::message(problem, "")
            });
        }
        ui.note(format!("the whole console is in {}", outcome.console_log));
        return Ok(NO);
    }
    if let Some(module) = &outcome.module {
        ui.status("Loaded", &module.path);
    }
    ui.status(
        "Booted",
        format_args!(
            "{} with {} in {:.1} s",
            kernel.name, outcome.accelerator, outcome.seconds
        ),
    );
    ui.data(outcome.uname_r.as_deref().unwrap_or_default());
    Ok(DONE)
}

fn request(args: &Args, manifest: &Manifest) -> Result<Request, Failure> {
    let record = &manifest.record;
    let image = record.output_path(OutputKind::Image).ok_or_else(|| {
        Failure::message(
            format!("`{}` has no image", record.name),
            "its `targets` or `install = false` leave it out",
        )
    })?;
    let triple = record.arch.row().llvm_target;
    let cc = match (record.toolchain.compiler, triple) {
        (Compiler::Clang, Some(triple)) => {
            vec![record.toolchain.cc.clone(), format!("--target={triple}")]
        }
        _ => vec![record.toolchain.cc.clone()],
    };
    let vmlinux = record.dirs.build.join("vmlinux");
    Ok(Request {
        arch: record.arch,
        image,
        release: record.release.clone(),
        build_id: manifest.observed.build_id.clone(),
        modules: record.output_path(OutputKind::Modules),
        source: record.dirs.source.clone(),
        tree: Some(record.identity.source.to_string()),
        work: record.dirs.state.join("boot"),
        cc,
        make_variables: record.toolchain.variables.clone(),
        append: args.append.clone(),
        initrd: args.initrd.clone(),
        memory: args.memory.clone(),
        gdb: args.gdb,
        vmlinux: vmlinux.exists().then_some(vmlinux),
        accel: match args.accel {
            AccelChoice::Auto => Accel::Auto,
            AccelChoice::Kvm => Accel::Kvm,
            AccelChoice::Tcg => Accel::Tcg,
        },
        timeout: Duration::from_secs(args.timeout),
        module: args.module.clone(),
    })
}

fn show(event: Event, check: bool, verbose: bool, ui: &Ui) {
    match event {
        Event::Headers => ui.status(
            "Preparing",
            "the kernel's headers for the minimal initramfs",
        ),
        Event::Start { accelerator, call } => {
            ui.message(
                "boot-started",
                json!({ "accelerator": accelerator, "call": call }),
            );
            if verbose {
                ui.note(&call);
            }
            if !check {
                ui.note("leave the console with Ctrl-A X");
            }
        }
        Event::Console(line) => {
            ui.message("console", json!({ "line": line }));
            if verbose && check {
                ui.status("console", line);
            }
        }
        Event::Note(text) => ui.note(text),
        Event::Debugger(call) => ui.note(format!("the kernel waits for: {call}")),
    }
}

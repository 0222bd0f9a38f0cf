//! `cargo kernel doctor`

use std::io::IsTerminal as _;

use kernelkit::doctor::{self, Feature, Finding, Privilege, Query};
use kernelkit::effect::{build, doctor as machine, exec, minimum, toolchain};
use kernelkit::process::Call;
use kernelkit::source::Source;
use kernelkit::spec::KernelSpec;
use serde_json::json;

use super::Workspace;
use crate::cli::{Global, Kernels};
use crate::error::{DONE, Failure, NO};
use crate::ui::Ui;

/// Check that the tools are there that the kernels need
///
/// Exits with 100 where one is missing or too old.
// `--install` is a setting of kernels as well; nothing is installed into a destination
// directory here, so the word is free for what it means to users of a doctor.
#[derive(Debug, clap::Args)]
#[command(mut_arg("install", |argument| argument.hide(false).help("Install what is missing")))]
pub(crate) struct Args {
    #[command(flatten)]
    kernels: Kernels,

    /// Check what booting needs, too
    #[arg(long)]
    boot: bool,
}

pub(crate) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<u8, Failure> {
    let workspace = Workspace::load(global, &args.kernels.overrides)?;
    let kernels = workspace.select(&args.kernels.names)?;
    if args.kernels.overrides.install {
        set_up(&workspace, &kernels, args.boot, ui)?;
    }
    let findings = examine(&workspace, &kernels, args.boot, &[])?;
    for finding in &findings {
        ui.message(
            "tool",
            json!({ "finding": finding, "blocks": finding.blocks() }),
        );
        if !ui.is_json() {
            ui.finding(finding);
        }
    }
    if !findings.iter().any(Finding::blocks) {
        return Ok(DONE);
    }
    let calls = doctor::install_calls(&findings, &machine::system(&workspace.environment));
    if !ui.is_json() && !calls.is_empty() {
        ui.note(format!(
            "`cargo kernel doctor --install` runs: {}",
            calls.iter().map(words).collect::<Vec<_>>().join(" && ")
        ));
    }
    Ok(NO)
}

/// Installs what is missing for `kernels`, in two rounds: which libraries a configuration
/// needs is known only once there is a compiler that can resolve it.
pub(crate) fn set_up(
    workspace: &Workspace,
    kernels: &[&KernelSpec],
    boots: bool,
    ui: &Ui,
) -> Result<(), Failure> {
    let mut updated = false;
    for _ in 0..2 {
        let findings = examine(workspace, kernels, boots, &[Feature::Ccache])?;
        let system = machine::system(&workspace.environment);
        let mut calls = doctor::install_calls(&findings, &system);
        // Lists that are old, or of an image that never had all of them, lack the source.
        if !updated && lists_lack_a_source(kernels, &system)? {
            updated = true;
            calls.splice(0..0, update_lists(&system));
        }
        if calls.is_empty() {
            break;
        }
        if system.privilege == Privilege::None {
            let commands: Vec<_> = calls.iter().map(words).collect();
            return Err(Failure::message(
                "installing packages takes root, and there is no sudo",
                format!("run as root: {}", commands.join(" && ")),
            ));
        }
        for call in calls {
            ui.status("Installing", words(&call));
            run_call(&call, system.privilege)?;
        }
    }
    let findings = examine(workspace, kernels, boots, &[])?;
    let blocking: Vec<_> = findings.iter().filter(|finding| finding.blocks()).collect();
    if blocking.is_empty() {
        return Ok(());
    }
    let hint = blocking
        .iter()
        .find_map(|finding| finding.hint())
        .unwrap_or_else(|| "install what is missing by hand".to_owned());
    let details = blocking.iter().map(ToString::to_string).collect();
    Err(Failure {
        details,
        ..Failure::message("tools are missing that could not be installed", hint)
    })
}

/// `sudo` may ask for a password, which takes the terminal; everything else is quiet.
fn run_call(call: &Call, privilege: Privilege) -> Result<(), Failure> {
    if privilege == Privilege::Sudo && std::io::stdin().is_terminal() {
        let status = exec::interactive(call)?;
        if !status.success() {
            return Err(Failure::message(
                format!("`{}` failed with {status}", words(call)),
                "run it by hand",
            ));
        }
        return Ok(());
    }
    Ok(exec::capture(call).map(drop)?)
}

/// Whether a kernel's source is a package that apt's lists do not have.
fn lists_lack_a_source(kernels: &[&KernelSpec], system: &doctor::System) -> Result<bool, Failure> {
    for kernel in kernels {
        if let Source::Debian { package, .. } = &kernel.source.value {
            let call = Call::new("apt-cache", "/")
                .args(["show", package])
                .envs(&system.variables);
            let (_, status) = exec::capture_unchecked(&call)?;
            if !status.success() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn update_lists(system: &doctor::System) -> Option<Call> {
    let call = match system.privilege {
        Privilege::Root => Call::new("apt-get", "/"),
        Privilege::Sudo => Call::new("sudo", "/").arg("apt-get"),
        Privilege::None => return None,
    };
    Some(call.arg("update").envs(&system.variables))
}

fn words(call: &Call) -> String {
    std::iter::once(&call.program)
        .chain(&call.args)
        .map(|word| kernelkit::process::quote(word))
        .collect::<Vec<_>>()
        .join(" ")
}

/// What the kernels need and what of it is there, each need once.
fn examine(
    workspace: &Workspace,
    kernels: &[&KernelSpec],
    boots: bool,
    extra: &[Feature],
) -> Result<Vec<Finding>, Failure> {
    let environment = &workspace.environment;
    let host = toolchain::host_arch()?;
    let mut needs: Vec<doctor::Need> = Vec::new();
    for kernel in kernels {
        // Without a source or a compiler there are no facts yet; the tools that bring them
        // are what is asked for then.
        let gathered = workspace.session().gather(kernel, &mut |_| {});
        let (tree, compiler) = match &gathered {
            Ok(facts) => (Some(&facts.tree.dir), &facts.compiler),
            Err(build::Error::Outdated(error)) => (Some(&error.tree), &error.compiler),
            Err(_) => (None, &kernel.compiler.value),
        };
        let facts = gathered.as_ref().ok();
        let environment = &toolchain::within(environment, compiler);
        let affixes = toolchain::affixes(kernel.arch.value, compiler, environment)?;
        let minimums = tree
            .map(|tree| minimum::read(tree, kernel.arch.value, environment))
            .transpose()?;
        let mut features = extra.to_vec();
        if boots {
            features.push(Feature::Boot);
        }
        match kernel.source.value {
            Source::Debian { .. } => features.push(Feature::DebianSource),
            Source::Git { .. } => features.push(Feature::Git),
            _ if !kernel.patches.is_empty() => features.push(Feature::Git),
            _ => {}
        }
        let query = Query {
            arch: kernel.arch.value,
            host,
            compiler: compiler.family,
            affixes: &affixes,
            config: facts.map(|facts| &facts.config),
            minimums: minimums.as_ref(),
            features: &features,
        };
        for need in doctor::needs(&query) {
            match needs
                .iter_mut()
                .find(|known| known.name == need.name && known.probe == need.probe)
            {
                Some(known) => {
                    known.certain |= need.certain;
                    // The stricter of two trees' minimums counts.
                    if let Some(minimum) = need.minimum
                        && known
                            .minimum
                            .as_ref()
                            .is_none_or(|old| minimum.satisfies(old))
                    {
                        known.minimum = Some(minimum);
                    }
                }
                None => needs.push(need),
            }
        }
    }
    Ok(machine::inspect(
        &needs,
        &machine::system(environment),
        environment,
    )?)
}

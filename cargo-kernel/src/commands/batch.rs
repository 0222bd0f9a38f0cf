//! `cargo kernel build` of several kernels.

use std::sync::{Mutex, PoisonError};

use indicatif::ProgressBar;
use kernelkit::batch::{End, Record, Stage};
use kernelkit::effect::batch::{self, Event, Finished, Ran};
use kernelkit::effect::build::Notice;
use kernelkit::effect::exec;
use kernelkit::effect::log::seconds;
use kernelkit::effect::run::Event as RunEvent;
use kernelkit::manifest::OutputKind;
use kernelkit::report;
use kernelkit::spec::KernelSpec;
use serde_json::json;

use super::{Workspace, build};
use crate::error::{DONE, FAILED, Failure};
use crate::ui::Ui;

/// How several kernels are built.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Several kernels")]
pub(super) struct Options {
    /// Build the others where one fails
    #[arg(long, overrides_with = "fail_fast", hide = true)]
    keep_going: bool,

    /// Begin nothing more after a failure; what runs is finished
    #[arg(long)]
    fail_fast: bool,

    /// How many kernels are built at once, at most; they share the jobs
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    builds: Option<u16>,

    /// How much memory they may take together, such as 8G; what is free now where this is not given
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    memory: Option<u64>,
}

/// A number of bytes, or of units of 1024 of them: `8G`.
fn parse_size(text: &str) -> Result<u64, String> {
    let split = text.find(|character: char| !character.is_ascii_digit());
    let (number, unit) = text.split_at(split.unwrap_or(text.len()));
    let shift = match unit.to_ascii_uppercase().as_str() {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err("the units are K, M, G and T".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "it is no number".to_owned())?;
    number
        .checked_mul(1 << shift)
        .ok_or_else(|| "it is too much".to_owned())
}

pub(super) fn run(
    args: &build::Args,
    workspace: &Workspace,
    kernels: &[&KernelSpec],
    ui: &Ui,
) -> Result<u8, Failure> {
    let ran = carry_out(&args.batch, args.register, workspace, kernels, ui)?;
    if exec::interrupted() {
        return Err(exec::Error::Interrupted.into());
    }
    // Whatever else went wrong besides, it could not be completed.
    Ok(match ran.kernels.iter().all(|over| over.end.is_good()) {
        true => DONE,
        false => FAILED,
    })
}

/// Builds the kernels, shows how it goes and tells what it came to.
pub(super) fn carry_out(
    options: &Options,
    register: bool,
    workspace: &Workspace,
    kernels: &[&KernelSpec],
    ui: &Ui,
) -> Result<Ran, Failure> {
    workspace.runs_the_tree()?;
    let budget = batch::budget(kernels, options.memory, options.builds.map(usize::from));
    let options = batch::Options {
        keep_going: !options.fail_fast,
        budget,
        register,
    };
    let view = View {
        ui,
        kernels,
        lines: kernels
            .iter()
            .map(|_| Mutex::new(ProgressBar::hidden()))
            .collect(),
    };
    let ran = batch::run(&workspace.session(), kernels, &options, &|kernel, event| {
        view.show(kernel, event);
    });
    ui.clear();
    let ran = ran?;
    let count = |status| ran.report.count(status);
    ui.message(
        "batch-finished",
        json!({
            "id": ran.record.id,
            "directory": ran.dir,
            "seconds": ran.report.seconds,
            "passed": count(report::Status::Passed),
            "reused": count(report::Status::Reused),
            "failed": count(report::Status::Failed),
            "skipped": count(report::Status::Skipped),
            "interrupted": count(report::Status::Interrupted),
            "report": ran.dir.join("report.json"),
        }),
    );
    ui.text(format_args!("\n{}", report::text(&ran.report).trim_end()));
    ui.status("Report", ran.dir.join("report.html"));
    Ok(ran)
}

/// One line for each kernel that is worked on.
struct View<'a> {
    ui: &'a Ui,
    kernels: &'a [&'a KernelSpec],
    lines: Vec<Mutex<ProgressBar>>,
}

impl View<'_> {
    fn show(&self, kernel: usize, event: Event<'_>) {
        let ui = self.ui;
        match event {
            Event::Begun(record) => self.begun(record),
            Event::Stage(stage) => self.stage(kernel, stage),
            Event::Planned(planned) => {
                let name = self.name(kernel);
                ui.message(
                    "kernel-planned",
                    json!({ "kernel": name, "release": planned.release, "backend": planned.backend }),
                );
                if ui.is_verbose() {
                    ui.status("Planned", format_args!("{name} {}", planned.release));
                }
            }
            Event::Notice(notice) => self.notice(kernel, notice),
            Event::Ended(over) => self.ended(kernel, over),
            Event::Failed(error) => {
                let failure = Failure::from(error);
                ui.failure(&Failure {
                    message: format!("{}: {}", self.name(kernel), failure.message),
                    ..failure
                });
            }
        }
    }

    fn name(&self, kernel: usize) -> &str {
        self.kernels[kernel].name.as_str()
    }

    fn begun(&self, record: &Record) {
        let Record {
            id, runs, kernels, ..
        } = record;
        self.ui.message(
            "batch-started",
            json!({ "id": id, "runs": runs, "kernels": kernels }),
        );
        let again = match runs {
            1 => "",
            _ => ", again: what is finished is not built a second time",
        };
        self.ui.status(
            "Batch",
            format_args!("{id} of {} kernels{again}", kernels.len()),
        );
    }

    fn stage(&self, kernel: usize, stage: Stage) {
        let name = self.name(kernel);
        self.ui
            .message("kernel-started", json!({ "kernel": name, "stage": stage }));
        let verb = match stage {
            Stage::Plan => "Planning",
            Stage::Confirm => "Confirming",
            Stage::Build => "Building",
        };
        let line = self.ui.line(name);
        line.set_prefix(verb);
        line.tick();
        self.replace(kernel, line);
    }

    fn replace(&self, kernel: usize, line: ProgressBar) {
        let mut place = self.lines[kernel]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *place, line).finish_and_clear();
    }

    fn line(&self, kernel: usize) -> ProgressBar {
        let line = self.lines[kernel].lock();
        line.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn notice(&self, kernel: usize, notice: Notice<'_>) {
        let (ui, name) = (self.ui, self.name(kernel));
        match notice {
            Notice::Run(RunEvent::Command {
                verb,
                target,
                count,
                expected,
            }) => {
                let of = match expected {
                    0 => String::new(),
                    expected => format!(" of {}", expected.max(count)),
                };
                self.line(kernel)
                    .set_message(format!("{count}{of} {verb} {target}"));
            }
            Notice::Run(RunEvent::Output { line }) => {
                if ui.is_verbose() {
                    ui.text(format_args!("{name}: {line}"));
                }
            }
            Notice::Run(RunEvent::Started { stage, call }) => {
                ui.message(
                    "stage-started",
                    json!({ "kernel": name, "stage": stage, "call": call }),
                );
                self.line(kernel).set_message(stage);
            }
            Notice::Run(RunEvent::Finished {
                stage,
                milliseconds,
            }) => ui.message(
                "stage-finished",
                json!({ "kernel": name, "stage": stage, "milliseconds": milliseconds }),
            ),
            Notice::Warning(message) => ui.warning(format_args!("{name}: {message}")),
            Notice::Run(RunEvent::Borrowed { from, symbols }) => ui.borrowed(name, from, symbols),
            Notice::Run(RunEvent::Removed { object, changed }) => {
                ui.removed(name, object, changed);
            }
            Notice::Run(RunEvent::Warning { message }) => {
                ui.warning(format_args!("{name}: {message}"));
            }
            Notice::Building(plan, reason) => ui.status(
                "Building",
                format_args!(
                    "{name} {} for {}: {reason}",
                    plan.record.release, plan.record.arch
                ),
            ),
            other => super::notice(ui, name, other),
        }
    }

    fn ended(&self, kernel: usize, over: &Finished) {
        self.replace(kernel, ProgressBar::hidden());
        let (ui, name) = (self.ui, self.name(kernel));
        ui.clear();
        let release = over.planned.as_ref().map(|planned| &planned.release);
        ui.message(
            "kernel-ended",
            json!({
                "kernel": name,
                "state": over.end,
                "release": release,
                "milliseconds": over.took.as_millis() as u64,
            }),
        );
        if let Some(manifest) = &over.manifest {
            let outcome = match (over.end, &over.from) {
                (End::Passed, _) => "built",
                (_, Some(_)) => "reused",
                (_, None) => "fresh",
            };
            ui.message(
                "kernel-finished",
                json!({ "kernel": name, "outcome": outcome, "from": over.from, "manifest": manifest }),
            );
        }
        let release = release.map_or("", String::as_str);
        match over.end {
            End::Passed => {
                let took = seconds(over.took.as_millis());
                ui.status("Passed", format_args!("{name} {release} in {took}"));
            }
            End::Reused => match &over.from {
                Some(from) => ui.status("Reused", format_args!("{name} {release} from {from}")),
                None => ui.status("Fresh", format_args!("{name} {release}")),
            },
            End::Failed => {}
            End::Skipped => ui.status("Skipped", name),
            End::Interrupted => ui.status("Interrupted", name),
        }
        if let Some(path) = over
            .manifest
            .as_ref()
            .and_then(|manifest| manifest.record.output_path(OutputKind::Image))
        {
            ui.status("Image", path);
        }
        if !over.layers.is_empty() {
            build::show(
                "published",
                "Published",
                self.kernels[kernel],
                &over.layers,
                ui,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, expected) in [
            ("512", Some(512)),
            ("8G", Some(8 << 30)),
            ("8g", Some(8 << 30)),
            ("300M", Some(300 << 20)),
            ("", None),
            ("G", None),
            ("8GB", None),
            ("-1", None),
            ("99999999999T", None),
        ] {
            assert_eq!(parse_size(text).ok(), expected, "{text}");
        }
    }
}

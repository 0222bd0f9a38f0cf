//! `cargo kernel report`

use camino::{Utf8Path, Utf8PathBuf};
use kernelkit::effect::fs;
use kernelkit::effect::report::{Declared, Way, batch, gather, send, write, write_mail};
use kernelkit::report::{self, Address, Kernel, Report, Server, Status};
use kernelkit::spec::KernelSpec;
use serde_json::json;

use super::Workspace;
use crate::cli::{Global, Overrides};
use crate::error::{DONE, Failure};
use crate::ui::Ui;

/// Tell what a batch or single builds came to: as text, JSON, JUnit, HTML or a mail
///
/// Without names the last batch is reported, or where there was none, every declared kernel. Of
/// kernels that are named, the last build of each is reported.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Kernels by name or glob pattern
    #[arg(value_name = "KERNEL")]
    names: Vec<String>,

    /// A batch by its name
    #[arg(long, value_name = "BATCH", conflicts_with = "names")]
    batch: Option<String>,

    /// Print the report in one form; without it, JSON, JUnit and HTML are written
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,

    /// Write it into a file; its ending decides the form where none is asked for
    #[arg(short, long, value_name = "FILE")]
    out: Option<Utf8PathBuf>,

    #[command(flatten)]
    mail: MailOptions,
}

/// Who gets a mail.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct MailOptions {
    /// Send it to an address (repeatable), or to those that the setting `mail` has
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, action = clap::ArgAction::Append)]
    mail: Option<Vec<Address>>,

    /// The mail's sender
    #[arg(long, value_name = "ADDRESS")]
    mail_from: Option<Address>,

    /// A mail server that takes mail without encryption and password; without it, sendmail
    #[arg(long, value_name = "HOST[:PORT]")]
    mail_server: Option<Server>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A table
    Text,
    /// For programs
    Json,
    /// For CI systems
    Junit,
    /// One page that needs nothing else
    Html,
    /// A mail
    Eml,
}

impl Format {
    /// By a file's ending.
    fn of(path: &Utf8Path) -> Option<Format> {
        Some(match path.extension()? {
            "txt" => Format::Text,
            "json" => Format::Json,
            "xml" => Format::Junit,
            "html" | "htm" => Format::Html,
            "eml" => Format::Eml,
            _ => return None,
        })
    }
}

pub(crate) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<u8, Failure> {
    let workspace = Workspace::load(global, &Overrides::default())?;
    let mail = Mail::new(&args.mail, &workspace)?;
    let (report, directory) = find(args, &workspace)?;
    let out = args.out.as_ref().map(|path| workspace.absolute(path));
    let format = match (args.format, &out) {
        (None, Some(path)) => Some(Format::of(path).ok_or_else(|| {
            Failure::usage(
                format!("no form of a report ends like {path}"),
                "say which: `--format html`",
            )
        })?),
        (format, _) => format,
    };
    match format {
        None => files(&report, &directory, ui)?,
        Some(format) => {
            let beside = out.as_deref().and_then(Utf8Path::parent);
            let beside = beside.map_or_else(|| workspace.absolute(".".into()), Utf8Path::to_owned);
            let text = match format {
                Format::Text => report::text(&report),
                Format::Json => report.to_json(),
                Format::Junit => report::junit(&report),
                Format::Html => report::html(&report, &beside),
                Format::Eml => report::mail(&report, &mail.from, &mail.to),
            };
            match &out {
                Some(path) => {
                    fs::write_atomic(path, text.as_bytes())?;
                    ui.status("Report", path);
                }
                None if !ui.is_json() => ui.data(text.trim_end()),
                None => {}
            }
            ui.message(
                "report",
                json!({ "report": report, "files": out.iter().collect::<Vec<_>>() }),
            );
        }
    }
    mail.send(&report, &directory, &workspace, ui)?;
    Ok(DONE)
}

/// The report that is meant, and where its files lie.
fn find(args: &Args, workspace: &Workspace) -> Result<(Report, Utf8PathBuf), Failure> {
    let target = fs::real_path(&workspace.spec.target_dir);
    if args.names.is_empty()
        && let Some(found) = batch(&target, args.batch.as_deref())?
    {
        return Ok(found);
    }
    let names = match args.names.as_slice() {
        [] => vec!["*".to_owned()],
        names => names.to_vec(),
    };
    let session = workspace.session();
    let kernels = workspace.select(&names)?;
    let declared: Vec<_> = kernels
        .into_iter()
        .map(|kernel| Declared {
            kernel: declared(kernel),
            state: session.state(kernel),
        })
        .collect();
    Ok((gather(&declared)?, target.join("kernel-report")))
}

fn declared(spec: &KernelSpec) -> Kernel {
    let flavour = spec.flavour.as_ref();
    Kernel {
        flavour: flavour.map(|flavour| flavour.value.to_string()),
        debug: spec.debug.value,
        ..Kernel::new(spec.name.as_str(), spec.arch.value.name(), Status::Skipped)
    }
}

/// Writes every file there is and prints the table.
fn files(report: &Report, directory: &Utf8Path, ui: &Ui) -> Result<(), Failure> {
    let written = write(report, directory)?;
    if !ui.is_json() {
        ui.data(report::text(report).trim_end());
    }
    ui.status("Report", &written.html);
    let files = [&written.html, &written.json, &written.junit];
    ui.message("report", json!({ "report": report, "files": files }));
    Ok(())
}

/// Who writes to whom, and how.
pub(super) struct Mail {
    is_asked_for: bool,
    from: Address,
    to: Vec<Address>,
    way: Way,
}

impl Mail {
    /// The command line wins over the settings.
    pub(super) fn new(args: &MailOptions, workspace: &Workspace) -> Result<Mail, Failure> {
        let settings = &workspace.spec.mail;
        let named = args.mail.as_deref().unwrap_or_default();
        let to = if named.is_empty() {
            &settings.to
        } else {
            named
        };
        if to.is_empty() && args.mail.is_some() {
            return Err(Failure::usage(
                "nobody is named to send the mail to",
                "name an address, `--mail you@example.org`, or set `mail = { to = [\"you@example.org\"] }`",
            ));
        }
        let from = args.mail_from.as_ref().or(settings.from.as_ref());
        let server = args.mail_server.as_ref().or(settings.server.as_ref());
        Ok(Mail {
            is_asked_for: args.mail.is_some(),
            from: from.cloned().unwrap_or_else(Address::of_this_machine),
            to: to.to_vec(),
            way: server.cloned().map_or(Way::Sendmail, Way::Server),
        })
    }

    /// Sends a report, where it is to be sent; the mail is kept in `directory`.
    pub(super) fn send(
        &self,
        report: &Report,
        directory: &Utf8Path,
        workspace: &Workspace,
        ui: &Ui,
    ) -> Result<(), Failure> {
        if !self.is_asked_for {
            return Ok(());
        }
        let path = write_mail(report, &self.from, &self.to, directory)?;
        send(
            &path,
            &self.from,
            &self.to,
            &self.way,
            &workspace.environment,
        )?;
        let to: Vec<_> = self.to.iter().map(Address::as_str).collect();
        ui.status("Mailed", to.join(", "));
        ui.message("mailed", json!({ "to": to, "path": path }));
        Ok(())
    }
}

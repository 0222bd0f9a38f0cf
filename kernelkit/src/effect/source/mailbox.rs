//! A mailed series as patches: the mails of a mailbox, taken apart by `git mailsplit` and
//! `git mailinfo` as `git am` does it. Series on a mailing list are fetched by b4.
//!
//! ```text
//! <cache>/series/list-<hash of the name>/   what b4 fetched, kept until it is to be updated
//! <cache>/series/<hash of the mails>/       the patches, a file each, in order
//! ```

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};

use super::git::{self, git};
use super::{Context, Error as SourceError, Progress, cache};
use crate::effect::fs::{self, Context as _};
use crate::effect::{exec, record};
use crate::limits::{self, Exceeded};
use crate::patch::mail::{self, Subject};
use crate::patch::{self, Entry};
use crate::process::Call;
use crate::source::Sha256;

/// Why a series is not there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing in it that changes a file.
    #[error("{series} holds no patches")]
    Empty {
        /// As it was asked for.
        series: String,
    },
    /// Some of `[PATCH 1/5]` … are not there.
    #[error(
        "{series} is incomplete: of {count} patches it lacks {}",
        list(missing, *lacking)
    )]
    Incomplete {
        /// As it was asked for.
        series: String,
        /// How many there should be.
        count: u32,
        /// How many are not there.
        lacking: u32,
        /// The numbers of the first of them, at most 20.
        missing: Vec<u32>,
    },
    /// A patch comes twice.
    #[error("{series} has patch {number} twice")]
    Twice {
        /// As it was asked for.
        series: String,
        /// Its number.
        number: u32,
    },
    /// More than anybody mails.
    #[error("{series} is refused: {limit}")]
    Limit {
        /// As it was asked for.
        series: String,
        /// What is beyond its limit.
        limit: Exceeded,
    },
    /// b4 is not there.
    #[error("b4, which fetches {series}, is not installed")]
    NoB4 {
        /// As it was asked for.
        series: String,
    },
    /// b4 failed, and git does not know who its user is.
    #[error("b4 could not fetch {series}, and git has no user.name and user.email")]
    Nobody {
        /// As it was asked for.
        series: String,
        /// What b4 said.
        #[source]
        source: exec::Error,
    },
    /// b4 came back without one.
    #[error("b4 has fetched no series for {series}")]
    NotFetched {
        /// As it was asked for.
        series: String,
    },
    /// Offline, and not in the cache.
    #[error("{series} is not in the cache, and kernelkit is offline")]
    Offline {
        /// As it was asked for.
        series: String,
    },
}

/// How many missing patches an error names: a subject can claim any number of them.
const SHOWN: usize = 20;

fn list(numbers: &[u32], all: u32) -> String {
    let shown: Vec<_> = numbers.iter().map(u32::to_string).collect();
    let more = all as usize - numbers.len();
    match more {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Error::Empty { .. } | Error::Incomplete { .. } | Error::Twice { .. } => {
                "it must hold every mail of one revision, once: `b4 am` gets them together"
                    .to_owned()
            }
            Error::Limit { .. } => "name the mailbox of this series alone".to_owned(),
            Error::NoB4 { .. } => {
                "install it (`apt install b4`), or save the mails and name the mailbox".to_owned()
            }
            Error::Nobody { .. } => {
                "b4 signs what it makes with git's user: `git config --global user.name \"Your Name\"` and `git config --global user.email you@example.org`".to_owned()
            }
            Error::NotFetched { .. } => {
                "is the message-id right? b4 looks on lore.kernel.org".to_owned()
            }
            Error::Offline { .. } => "run it once without `--offline`".to_owned(),
        })
    }
}

/// A mailed series, as patches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// As it was asked for.
    pub requested: String,
    /// The name of its branch, without `b4/`.
    pub slug: String,
    /// Of the cover letter, or of the first patch.
    pub subject: String,
    /// The `N` of `[PATCH vN]`.
    pub revision: u32,
    /// Of the patches, in order; an empty one where a mail has none.
    pub message_ids: Vec<String>,
    /// The patches, in order.
    pub patches: Vec<Entry>,
}

struct Mail {
    subject: Subject,
    message_id: String,
    /// As `git format-patch` would write it.
    text: Vec<u8>,
    is_patch: bool,
}

/// Reads a series: a mailbox or maildir, relative to `root`, or a message-id or URL, which b4 fetches.
/// What b4 has fetched once is taken again, unless it is to be updated.
pub fn read(
    requested: &str,
    root: &Utf8Path,
    update: bool,
    context: &Context<'_>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Series, SourceError> {
    let cache_dir = context.environment.cache_dir.join("series");
    fs::create_dir_all(&cache_dir)?;
    let _lock = cache::Lock::take(&cache_dir.join("lock"), progress)?;
    let mailbox = if mail::is_on_a_list(requested) {
        fetch(requested, &cache_dir, update, context, progress)?
    } else {
        root.join(requested)
    };
    let mut mails = split(&mailbox, &cache_dir, context)?;
    // Replies are mails, too, and letters before the first patch are the cover.
    mails.retain(|mail| mail.is_patch || mail.subject.place.is_some_and(|(number, _)| number == 0));
    if mails.iter().all(|mail| mail.subject.place.is_some()) {
        mails.sort_by_key(|mail| mail.subject.place);
    }
    let first = mails.first().map(|mail| mail.subject.clone());
    mails.retain(|mail| mail.is_patch);
    let series = || requested.to_owned();
    let (Some(first), false) = (first, mails.is_empty()) else {
        return Err(Error::Empty { series: series() }.into());
    };
    complete(&mails, requested)?;
    let sums: Vec<u8> = mails
        .iter()
        .flat_map(|mail| Sha256::of(&mail.text).as_bytes().to_vec())
        .collect();
    let directory = cache_dir.join(Sha256::of(&sums).to_string());
    let mut patches = Vec::new();
    for (index, mail) in mails.iter().enumerate() {
        let path = directory.join(format!("{:04}.patch", index + 1));
        fs::write_if_changed(&path, &mail.text)?;
        patches.push(Entry {
            mailed: true,
            ..Entry::new(path)
        });
    }
    Ok(Series {
        requested: series(),
        slug: mail::slug(requested),
        subject: first.text,
        revision: first.revision,
        message_ids: mails.into_iter().map(|mail| mail.message_id).collect(),
        patches,
    })
}

/// Whether the mails are all of those that they count.
fn complete(mails: &[Mail], requested: &str) -> Result<(), Error> {
    let places = mails.iter().filter_map(|mail| mail.subject.place);
    let Some(count) = places.clone().map(|(_, count)| count).max() else {
        return Ok(());
    };
    let series = || requested.to_owned();
    // `[PATCH 0/5]` is the cover letter.
    let mut there = BTreeSet::new();
    for number in places.map(|(number, _)| number) {
        if (1..=count).contains(&number) && !there.insert(number) {
            return Err(Error::Twice {
                series: series(),
                number,
            });
        }
    }
    let lacking = count - u32::try_from(there.len()).unwrap_or(count);
    if lacking == 0 {
        return Ok(());
    }
    let missing = (1..=count).filter(|number| !there.contains(number));
    Err(Error::Incomplete {
        series: series(),
        count,
        lacking,
        missing: missing.take(SHOWN).collect(),
    })
}

/// The form of what is kept of a mailbox that was fetched.
const FORMAT: u32 = 1;

/// The mailbox that b4 makes of a message-id or URL.
fn fetch(
    requested: &str,
    cache_dir: &Utf8Path,
    update: bool,
    context: &Context<'_>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Utf8PathBuf, SourceError> {
    let directory = cache_dir.join(format!("list-{}", Sha256::of(requested.as_bytes())));
    let kept = directory.join("series.mbx");
    let sum = directory.join("series.json");
    let is_kept = |sum: Sha256| fs::sha256(&kept).is_ok_and(|now| now == sum);
    if !update && record::read(&sum, FORMAT).is_some_and(is_kept) {
        return Ok(kept);
    }
    let series = || requested.to_owned();
    if context.offline {
        return Err(Error::Offline { series: series() }.into());
    }
    let environment = context.environment;
    if exec::find_on_path("b4", &environment.path).is_none() {
        return Err(Error::NoB4 { series: series() }.into());
    }
    progress(Progress::Note(&format!("b4 fetches {requested}")));
    let fresh = directory.join("new");
    fs::remove_dir_all(&fresh)?;
    fs::create_dir_all(&fresh)?;
    // It reads git's settings and asks servers as git does.
    let call = git::caller("b4", context, &fresh)
        .args(["am", "--outdir", fresh.as_str(), "--mbox-name", "series"])
        .args(["--", requested.trim_matches(['<', '>'])]);
    if let Err(error) = exec::capture(&call) {
        let failed = matches!(error, exec::Error::Failed { .. });
        if failed && !git_knows_its_user(context, &fresh) {
            return Err(Error::Nobody {
                series: series(),
                source: error,
            }
            .into());
        }
        return Err(error.into());
    }
    let names = fs::file_names(&fresh)?;
    let made = |ending: &str| names.iter().find(|name| name.ends_with(ending));
    let Some(mailbox) = made(".mbx") else {
        return Err(Error::NotFetched { series: series() }.into());
    };
    let mut bytes = Vec::new();
    // b4 leaves the cover letter beside the mailbox; it says what the series is called.
    if let Some(cover) = made(".cover") {
        let cover = fs::read_to_string(fresh.join(cover))?;
        let cover = cover.replace("\nFrom ", "\n>From ");
        bytes = format!("From b4@z Thu Jan  1 00:00:00 1970\n{cover}\n\n").into_bytes();
    }
    bytes.extend(fs::read(fresh.join(mailbox))?);
    fs::write_atomic(&kept, &bytes)?;
    record::write(&sum, FORMAT, &Sha256::of(&bytes))?;
    fs::remove_dir_all(&fresh)?;
    Ok(kept)
}

/// Whether git's settings say who its user is; b4 reads them.
fn git_knows_its_user(context: &Context<'_>, directory: &Utf8Path) -> bool {
    ["user.name", "user.email"].iter().all(|key| {
        let call = git(context, directory).args(["config", "--get", key]);
        exec::capture_unchecked(&call).is_ok_and(|(_, status)| status.success())
    })
}

/// The mails of a mailbox or maildir, in their order there.
fn split(
    mailbox: &Utf8Path,
    cache_dir: &Utf8Path,
    context: &Context<'_>,
) -> Result<Vec<Mail>, SourceError> {
    let beyond = |limit| Error::Limit {
        series: mailbox.to_string(),
        limit,
    };
    let mut size = 0;
    let files = match mailbox.is_dir() {
        true => fs::below(mailbox)
            .map(|entry| Ok(entry?.into_path()))
            .collect::<Result<Vec<_>, fs::Error>>()?,
        false => vec![mailbox.to_owned()],
    };
    // Every file of a maildir is a mail.
    limits::MAILS.check(files.len() as u64).map_err(beyond)?;
    for file in files.iter().filter(|file| !file.is_dir()) {
        // Where it is not there, or no file, the error names it.
        size += fs::open(file).context("read", file)?.1;
    }
    limits::MAILBOX.check(size).map_err(beyond)?;
    let work = cache_dir.join(".split");
    fs::remove_dir_all(&work)?;
    fs::create_dir_all(&work)?;
    let plain = |call: Call| {
        call.env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
    };
    let call = plain(git(context, &work)).args(["mailsplit", "-b", "-d8", "-o.", mailbox.as_str()]);
    exec::capture(&call)?;
    let mut mails = Vec::new();
    let names = fs::file_names(&work)?;
    limits::MAILS.check(names.len() as u64).map_err(beyond)?;
    for name in names {
        let call = plain(git::caller("sh", context, &work));
        // It reads the mail from its standard input only.
        let call = call
            .args([
                "-c",
                "exec git mailinfo -k --encoding=UTF-8 message diff < \"$1\"",
                "sh",
            ])
            .arg(&name);
        let info = exec::capture(&call)?.text();
        let field = |wanted: &str| {
            let prefix = format!("{wanted}: ");
            let value = info.lines().find_map(|line| line.strip_prefix(&prefix));
            value.unwrap_or_default().trim().to_owned()
        };
        let raw = fs::read(work.join(&name))?;
        let message_id = patch::header(&raw, "Message-ID").unwrap_or_default();
        let message_id = message_id.trim().trim_matches(['<', '>']).to_owned();
        let date = match field("Date") {
            date if date.is_empty() => "Thu, 1 Jan 1970 00:00:00 +0000".to_owned(),
            date => date,
        };
        let diff = fs::read(work.join("diff"))?;
        let message = fs::read(work.join("message"))?;
        let subject = field("Subject");
        let head = format!(
            "From: {} <{}>\nSubject: {subject}\nDate: {date}\nMessage-ID: <{message_id}>\nContent-Type: text/plain; charset=UTF-8\n\n",
            field("Author"),
            field("Email"),
        );
        mails.push(Mail {
            subject: Subject::parse(&subject),
            message_id,
            is_patch: patch::has_diff(&diff),
            text: [head.as_bytes(), &message, b"\n---\n", &diff].concat(),
        });
    }
    fs::remove_dir_all(&work)?;
    Ok(mails)
}

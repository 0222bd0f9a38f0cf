//! Debian's `linux-source-*` packages, through apt: no root needed, nothing installed.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::{
    Context, LabelHint, Progress, Tree, Verification, archive, cache, download, hash, scan,
    with_unpack_progress,
};
use crate::effect::{exec, fs, record};
use crate::process::Call;
use crate::source::{Archive, Sha256, Source};

/// What apt does not have.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// apt knows no package at all.
    #[error("apt has no package lists, so it does not know {package}")]
    NoLists {
        /// What was asked for.
        package: String,
    },
    /// apt does not know this one.
    #[error("apt knows no package {package}")]
    UnknownPackage {
        /// What was asked for.
        package: String,
        /// The kernel sources that it knows.
        available: Vec<String>,
    },
    /// Not in this version.
    #[error("apt has no version {version} of {package}")]
    UnknownVersion {
        /// What was asked for.
        package: String,
        /// In this version.
        version: String,
        /// The versions that it has, newest first.
        available: Vec<String>,
    },
    /// Not the bytes that the archive's list names.
    #[error("{url} has SHA-1 {actual}, not {hash}")]
    Damaged {
        /// Where it was.
        url: String,
        /// What the list says.
        hash: String,
        /// What came.
        actual: String,
    },
    /// Not a package of a kernel's source.
    #[error("`{package}` cannot be the name of a package")]
    InvalidName {
        /// What was asked for.
        package: String,
    },
    /// apt answered something unforeseen.
    #[error("cannot understand what apt says of {package}: `{answer}`")]
    Answer {
        /// What was asked for.
        package: String,
        /// The line.
        answer: String,
    },
    /// Neither apt nor Debian's archive of all packages gave it.
    #[error("cannot get {package} from apt or from {url}: apt-get failed with `{apt}`")]
    Nowhere {
        /// What was asked for.
        package: String,
        /// Its permanent address.
        url: String,
        /// apt's last line.
        apt: String,
        /// Why the address did not work.
        #[source]
        source: Box<super::Error>,
    },
    /// Offline, and not in the cache.
    #[error("{package} is not in the cache, and kernelkit is offline")]
    Offline {
        /// What was asked for.
        package: String,
    },
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::NoLists { .. } => Some("run `apt-get update` as root".to_owned()),
            Error::UnknownPackage { available, .. } => Some(if available.is_empty() {
                "it knows no linux-source-* at all: are Debian's `main` lists in /etc/apt, and is \
                 `apt-get update` done?"
                    .to_owned()
            } else {
                format!("there are {}", available.join(", "))
            }),
            Error::UnknownVersion { available, .. } => Some(format!(
                "there are {}; snapshot.debian.org, which keeps old versions, does not have it or cannot be reached",
                available.join(", ")
            )),
            Error::InvalidName { .. } => Some("such as `linux-source-6.12`".to_owned()),
            Error::Damaged { .. } => Some("run it again: it was damaged on the way".to_owned()),
            Error::Answer { .. } => None,
            Error::Nowhere { source, .. } => source.hint(),
            Error::Offline { .. } => Some("run it once without `--offline`".to_owned()),
        }
    }
}

/// A package of one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Candidate {
    version: String,
    url: String,
    file: String,
    size: u64,
    sha256: Sha256,
    /// Whether it is from the archive of old packages.
    #[serde(default)]
    archived: bool,
    /// Hexadecimal digits by which that archive names the file; known once it is here.
    #[serde(default)]
    sha1: Option<String>,
}

impl Candidate {
    /// Whether Debian published it.
    fn is_debian(&self) -> bool {
        self.url.starts_with(PUBLIC)
    }
}

/// The server that all of Debian's mirrors stand for.
const PUBLIC: &str = "https://deb.debian.org/";

/// Where Debian's archive of all packages has a file for good. It names files by SHA-1; whoever fetches one
/// compares the SHA-256.
pub(in crate::effect) fn permanent_url(sha1: &str, context: &Context<'_>) -> String {
    format!("{}/file/{sha1}", context.snapshot)
}

/// What was resolved, and under which state of apt's lists.
#[derive(Debug, Serialize, Deserialize)]
struct Resolution {
    candidate: Candidate,
    /// Directories that decide which version is the candidate.
    watched: Vec<Utf8PathBuf>,
    state: Sha256,
}

pub(super) fn prepare(
    package: &str,
    version: Option<&str>,
    context: &Context<'_>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Tree, super::Error> {
    let word = |text: &str| {
        !text.starts_with('-')
            && !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+-.:~".contains(&byte))
    };
    if !word(package) || !version.is_none_or(word) {
        return Err(Error::InvalidName {
            package: package.to_owned(),
        }
        .into());
    }
    let mut candidate = match (resolve(package, version, context), version) {
        (Err(super::Error::Debian(gone @ Error::UnknownVersion { .. })), Some(version)) => {
            match archived(package, version, context, progress)? {
                Some(candidate) => candidate,
                None => return Err(gone.into()),
            }
        }
        (candidate, _) => candidate?,
    };
    let cache_dir = &context.environment.cache_dir;
    let key = format!("sha256-{}", candidate.sha256);
    let cached = cache::tree(cache_dir, &key, progress, |into, progress| {
        let file = fetch(package, &candidate, context, progress)?;
        with_unpack_progress(&file, progress, |read| {
            archive::unpack_package(&file, into, read)
        })?
        .map_err(Into::into)
    })?;
    let url = url(package, version, &mut candidate, context, progress)?;
    let revision = candidate.version.rsplit_once('-').map(|(_, last)| last);
    Ok(Tree {
        dir: cached.dir,
        id: cached.record.id,
        version: cached.record.version,
        localversion: cached.record.localversion,
        config_inputs: None,
        commit: None,
        head: None,
        label: LabelHint::Reference {
            name: format!("debian-{}", revision.unwrap_or(&candidate.version)),
        },
        dirty: false,
        pinned: true,
        verification: if candidate.archived {
            Verification::Unverified
        } else {
            Verification::Apt
        },
        description: format!("{package} {}", candidate.version),
        archive: Some(Archive {
            url,
            sha256: candidate.sha256,
            member: Some(format!("usr/src/{package}.tar.xz")),
        }),
        patches: Vec::new(),
        series: None,
        resolved: Source::Debian {
            package: package.to_owned(),
            version: Some(candidate.version),
        },
    })
}

/// Where to fetch the package for good: a mirror has it only as long as it is the newest. The address follows
/// from the content, so it is the same on every machine and before and after the mirrors drop it.
fn url(
    package: &str,
    version: Option<&str>,
    candidate: &mut Candidate,
    context: &Context<'_>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<String, super::Error> {
    if candidate.archived || !candidate.is_debian() {
        return Ok(candidate.url.clone());
    }
    if candidate.sha1.is_none() {
        let file = match fetch(package, candidate, context, progress) {
            Ok(file) => file,
            Err(super::Error::Interrupted) => return Err(super::Error::Interrupted),
            // The tree is in the cache all the same, where an earlier kernelkit put it.
            Err(_) => return Ok(candidate.url.clone()),
        };
        candidate.sha1 = Some(hash::sha1(&file)?);
        let path = resolution_path(package, version, context);
        if let Some(mut known) = read_resolution(&path) {
            known.candidate = candidate.clone();
            write_resolution(&path, &known)?;
        }
    }
    let sha1 = candidate.sha1.as_deref().unwrap_or_default();
    Ok(permanent_url(sha1, context))
}

/// The version that apt would take now.
pub(super) fn look(package: &str, context: &Context<'_>) -> Result<String, super::Error> {
    Ok(resolve(package, None, context)?.version)
}

/// The candidate, or the version asked for. apt takes half a second to say, so the
/// answer is kept for as long as apt's lists and settings stay as they are.
fn resolve(
    package: &str,
    version: Option<&str>,
    context: &Context<'_>,
) -> Result<Candidate, super::Error> {
    let path = resolution_path(package, version, context);
    let known = read_resolution(&path);
    if let Some(known) = &known
        // A version's content never changes.
        && (version.is_some()
            || context.offline
            || state(&known.watched, context)? == known.state)
    {
        return Ok(known.candidate.clone());
    }
    let watched = watched(context)?;
    let state = state(&watched, context)?;
    let mut candidate = ask(package, version, context)?;
    // Lists come and go more often than packages.
    candidate.sha1 = known
        .filter(|known| known.candidate.sha256 == candidate.sha256)
        .and_then(|known| known.candidate.sha1);
    let resolution = Resolution {
        candidate,
        watched,
        state,
    };
    write_resolution(&path, &resolution)?;
    Ok(resolution.candidate)
}

/// The form of what is kept of a package.
const FORMAT: u32 = 1;

fn read_resolution(path: &Utf8Path) -> Option<Resolution> {
    record::read(path, FORMAT)
}

fn write_resolution(path: &Utf8Path, resolution: &Resolution) -> Result<(), super::Error> {
    Ok(record::write(path, FORMAT, resolution)?)
}

/// A call of one of apt's programs, with what of the environment apt goes by.
pub(in crate::effect) fn apt(program: &str, context: &Context<'_>, dir: &Utf8Path) -> Call {
    let environment = context.environment;
    let mut call = Call::new(program, dir).envs(&environment.tool_variables());
    for (name, value) in &environment.variables {
        if name == "APT_CONFIG" || name.to_ascii_lowercase().ends_with("_proxy") {
            call = call.env(name, value);
        }
    }
    call
}

/// Where a package of a version is kept.
pub(super) fn package_file(package: &str, version: &str, context: &Context<'_>) -> Utf8PathBuf {
    let file = format!("{package}_{}_all.deb", version.replace(':', "%3a"));
    context.environment.cache_dir.join("download").join(file)
}

/// A version that the mirrors have dropped, from Debian's archive of all packages; `None` where
/// that does not have it either. Its list names files by SHA-1
/// (<https://salsa.debian.org/snapshot-team/snapshot/raw/master/API>), so whoever must be sure
/// compares the SHA-256, as a lock does.
fn archived(
    package: &str,
    version: &str,
    context: &Context<'_>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Option<Candidate>, super::Error> {
    #[derive(Deserialize)]
    struct Answer {
        result: Vec<Listed>,
    }
    #[derive(Deserialize)]
    struct Listed {
        hash: String,
    }
    let list = format!(
        "{}/mr/binary/{package}/{}/binfiles",
        context.snapshot,
        version.replace('~', "%7e").replace(':', "%3a")
    );
    // Not being able to ask is no answer; what apt said is the news then.
    let Ok(Some(bytes)) = download::bytes(&list, context) else {
        return Ok(None);
    };
    let hash = serde_json::from_slice::<Answer>(&bytes)
        .ok()
        .and_then(|answer| Some(answer.result.into_iter().next()?.hash))
        .filter(|hash| hash.len() == 40 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let Some(hash) = hash else {
        return Ok(None);
    };
    let url = permanent_url(&hash, context);
    let file = format!("{package}_{}_all.deb", version.replace(':', "%3a"));
    let path = context.environment.cache_dir.join("download").join(&file);
    let sha256 = download::file(&url, &path, None, context, progress)?;
    let actual = hash::sha1(&path)?;
    if actual != hash {
        fs::remove_file(&path)?;
        return Err(Error::Damaged { url, hash, actual }.into());
    }
    let candidate = Candidate {
        version: version.to_owned(),
        url,
        file,
        size: 0,
        sha256,
        archived: true,
        sha1: Some(hash),
    };
    let resolution = Resolution {
        candidate,
        watched: Vec::new(),
        state: Sha256::of(b""),
    };
    write_resolution(
        &resolution_path(package, Some(version), context),
        &resolution,
    )?;
    Ok(Some(resolution.candidate))
}

/// Where the answer for a package is kept.
fn resolution_path(package: &str, version: Option<&str>, context: &Context<'_>) -> Utf8PathBuf {
    let name = version.map_or(package.to_owned(), |version| format!("{package}={version}"));
    context
        .environment
        .cache_dir
        .join("debian")
        .join(format!("{name}.json"))
}

/// apt's lists and settings.
fn watched(context: &Context<'_>) -> Result<Vec<Utf8PathBuf>, super::Error> {
    let call = apt("apt-config", context, Utf8Path::new("/")).args([
        "shell",
        "LISTS",
        "Dir::State::lists/d",
        "ETC",
        "Dir::Etc/d",
    ]);
    let output = exec::capture(&call)?.text();
    Ok(output
        .lines()
        .filter_map(|line| Some(line.split_once("='")?.1.strip_suffix('\'')?.into()))
        .collect())
}

/// Names the state of the files in the watched directories, two levels deep.
fn state(watched: &[Utf8PathBuf], context: &Context<'_>) -> Result<Sha256, super::Error> {
    let mut lines = vec![format!(
        "APT_CONFIG {:?}",
        context.environment.variables.get("APT_CONFIG")
    )];
    for directory in watched {
        note_state(directory, 2, &mut lines)?;
    }
    lines.sort_unstable();
    Ok(Sha256::of(lines.join("\n").as_bytes()))
}

fn note_state(path: &Utf8Path, depth: usize, lines: &mut Vec<String>) -> Result<(), super::Error> {
    let Some(stamp) = scan::stamp(path)? else {
        return Ok(());
    };
    lines.push(format!("{path} {} {:?}", stamp.size, stamp.modified));
    if depth > 0
        && let Ok(entries) = path.read_dir_utf8()
    {
        for entry in entries.flatten() {
            note_state(entry.path(), depth - 1, lines)?;
        }
    }
    Ok(())
}

fn ask(
    package: &str,
    version: Option<&str>,
    context: &Context<'_>,
) -> Result<Candidate, super::Error> {
    let wanted = version.map_or(package.to_owned(), |version| format!("{package}={version}"));
    let call = apt("apt-get", context, Utf8Path::new("/"))
        .args(["--print-uris", "download"])
        .arg(wanted);
    let failure = match exec::capture(&call) {
        Ok(output) => return parse_uri(package, &output.text()).map_err(Into::into),
        Err(failure @ exec::Error::Failed { .. }) => failure,
        Err(other) => return Err(other.into()),
    };
    // Which of the two it was apt says in words; its lists say it better.
    let names = |arguments: &[&str]| -> Result<Vec<String>, super::Error> {
        let call = apt("apt-cache", context, Utf8Path::new("/")).args(arguments.iter().copied());
        let (output, _) = exec::capture_unchecked(&call)?;
        Ok(output.text().lines().map(str::to_owned).collect())
    };
    let mut available = names(&["pkgnames", "linux-source-"])?;
    available.sort_unstable();
    if !available.iter().any(|name| name == package) {
        let nothing = available.is_empty() && names(&["pkgnames", "linux-"])?.is_empty();
        return Err(if nothing {
            Error::NoLists {
                package: package.to_owned(),
            }
        } else {
            Error::UnknownPackage {
                package: package.to_owned(),
                available,
            }
        }
        .into());
    }
    let Some(version) = version else {
        return Err(failure.into());
    };
    let versions = names(&["madison", package])?
        .iter()
        .filter_map(|line| Some(line.split('|').nth(1)?.trim().to_owned()))
        .collect::<Vec<_>>();
    if versions.iter().any(|known| known == version) {
        return Err(failure.into());
    }
    Err(Error::UnknownVersion {
        package: package.to_owned(),
        version: version.to_owned(),
        available: versions,
    }
    .into())
}

/// Reads `'URI' FILE SIZE SHA256:HASH` (apt-get(8), `--print-uris`).
fn parse_uri(package: &str, output: &str) -> Result<Candidate, Error> {
    let line = output
        .lines()
        .find(|line| line.starts_with('\''))
        .unwrap_or_default();
    let parse = || {
        let mut words = line.split_whitespace();
        let url = words.next()?.trim_matches('\'');
        let file = words.next()?;
        let size = words.next()?.parse().ok()?;
        let sha256 = words.next()?.strip_prefix("SHA256:")?.parse().ok()?;
        let version = file.split('_').nth(1)?.replace("%3a", ":");
        let plain = !file.contains('/') && file.ends_with(".deb");
        plain.then(|| Candidate {
            version,
            url: public(url),
            file: file.to_owned(),
            size,
            sha256,
            archived: false,
            sha1: None,
        })
    };
    parse().ok_or_else(|| Error::Answer {
        package: package.to_owned(),
        answer: line.to_owned(),
    })
}

/// The same file on the server that all of Debian's mirrors stand for: what is locked must
/// not depend on which mirror this machine happens to use.
fn public(url: &str) -> String {
    ["/debian/pool/", "/debian-security/pool/"]
        .into_iter()
        .find_map(|path| url.find(path))
        .map_or_else(
            || crate::credentials::public(url),
            |path| format!("{PUBLIC}{}", &url[path + 1..]),
        )
}

/// The package file, in the cache.
fn fetch(
    package: &str,
    candidate: &Candidate,
    context: &Context<'_>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Utf8PathBuf, super::Error> {
    let downloads = context.environment.cache_dir.join("download");
    let path = downloads.join(&candidate.file);
    fs::create_dir_all(&downloads)?;
    let lock = cache::Lock::take(
        &downloads.join(format!("{}.lock", candidate.file)),
        progress,
    )?;
    if path.exists() && hash::sha256(&path)? == candidate.sha256 {
        return Ok(path);
    }
    if context.offline {
        return Err(Error::Offline {
            package: format!("{package} {}", candidate.version),
        }
        .into());
    }
    if candidate.archived {
        // A download takes the same lock itself.
        drop(lock);
        download::file(
            &candidate.url,
            &path,
            Some(candidate.sha256),
            context,
            progress,
        )?;
        return Ok(path);
    }
    // apt names the file itself and leaves part of it when it is stopped.
    let directory = downloads.join(format!(".tmp-{}", candidate.file));
    fs::remove_dir_all(&directory)?;
    fs::create_dir_all(&directory)?;
    let call = apt("apt-get", context, &directory)
        .args(["-q", "download"])
        .arg(format!("{package}={}", candidate.version));
    let arriving = directory.join(&candidate.file);
    let result = std::thread::scope(|scope| {
        let worker = scope.spawn(|| exec::capture(&call));
        while !worker.is_finished() {
            let done = scan::stamp(&arriving).ok().flatten();
            progress(Progress::Downloading {
                name: &candidate.file,
                done: done.map_or(0, |stamp| stamp.size),
                total: Some(candidate.size),
            });
            std::thread::park_timeout(Duration::from_millis(100));
        }
        worker.join().expect("running apt does not panic")
    });
    let fetched = result.map_err(super::Error::from).and_then(|_| {
        let actual = hash::sha256(&arriving)?;
        if actual != candidate.sha256 {
            return Err(super::Error::Hash {
                path: arriving.clone(),
                expected: candidate.sha256,
                actual,
            });
        }
        Ok(fs::rename(&arriving, &path)?)
    });
    fs::remove_dir_all(&directory)?;
    let failed = match &fetched {
        Err(super::Error::Exec(exec::Error::Failed { tail, .. })) => tail.last(),
        _ => None,
    };
    let (Some(sha1), Some(apt)) = (&candidate.sha1, failed) else {
        return fetched.map(|()| path);
    };
    // The mirror has dropped it since apt's lists were read.
    let url = permanent_url(sha1, context);
    let apt = apt.clone();
    drop(lock);
    download::file(&url, &path, Some(candidate.sha256), context, progress).map_err(|source| {
        Error::Nowhere {
            package: format!("{package} {}", candidate.version),
            url,
            apt,
            source: Box::new(source),
        }
    })?;
    Ok(path)
}

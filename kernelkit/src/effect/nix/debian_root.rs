//! Makes Debian roots: fetches pinned packages, unpacks them, adds the tree to the Nix store.
//!
//! No Nix build and no root's rights are needed: a root is the same store path as the flake's,
//! because the path follows from name and content alone.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, symlink};

use camino::{Utf8Path, Utf8PathBuf};
use tar::EntryType;

use super::{nar, program};
use crate::effect::environment::Environment;
use crate::effect::exec;
use crate::effect::fs::{self, Context as _};
use crate::effect::lock;
use crate::effect::source::{self, Progress, archive};
use crate::nix::debian_root::{self, ALTERNATIVES, MERGED, Outside, WANTED};
use crate::nix::kernel::{Package, Pin};
use crate::process::Call;
use crate::source::Sha256;

/// Why there is no root.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file.
    #[error(transparent)]
    Fs(#[from] fs::Error),
    /// A process.
    #[error(transparent)]
    Exec(#[from] exec::Error),
    /// Nix refused the tree.
    #[error("cannot add {tree} to the Nix store")]
    Add {
        /// The root.
        tree: Utf8PathBuf,
        /// Nix's message.
        #[source]
        source: Box<exec::Error>,
    },
    /// A download.
    #[error(transparent)]
    Source(#[from] source::Error),
    /// A package cannot be read.
    #[error(transparent)]
    Archive(#[from] archive::Error),
    /// The tree cannot be hashed.
    #[error(transparent)]
    Nar(#[from] nar::Error),
    /// Not a pin.
    #[error("{path} is not a toolchain's pin")]
    Invalid {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong, with its line.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A member that must not be unpacked.
    #[error("cannot unpack {package}")]
    Outside {
        /// The package file.
        package: Utf8PathBuf,
        /// The member.
        #[source]
        source: Outside,
    },
    /// A member that lies behind a link, or is a device.
    #[error("{package} has a member that {reason}: `{member}`")]
    Refused {
        /// The package file.
        package: Utf8PathBuf,
        /// Its name.
        member: String,
        /// Such as `is a device`.
        reason: &'static str,
    },
    /// The tree is another than the pin says.
    #[error("the packages of {name} unpack to {actual}, and the pin says {expected}")]
    Hash {
        /// The root.
        name: String,
        /// The pin's hash.
        expected: Sha256,
        /// The tree's.
        actual: Sha256,
    },
    /// apt's answer.
    #[error("apt does not say which packages a toolchain of {suite} needs")]
    Answer {
        /// The suite.
        suite: String,
    },
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Fs(error) => error.hint(),
            Error::Exec(error) => error.hint(),
            Error::Add { source, .. } => match program::cause(source) {
                Some(cause) => Some(cause.hint().to_owned()),
                None => source.hint(),
            },
            Error::Source(error) => error.hint(),
            Error::Archive(error) => error.hint(),
            Error::Nar(error) => error.hint(),
            Error::Invalid { .. } | Error::Hash { .. } => {
                Some("`cargo kernel toolchain pin` writes a new one".to_owned())
            }
            Error::Outside { .. } | Error::Refused { .. } => {
                Some("Debian's packages have no such members: where is this one from?".to_owned())
            }
            Error::Answer { .. } => Some(
                "the suite and the mirror must be Debian's, such as `--suite bookworm`".to_owned(),
            ),
        }
    }
}

/// Reads `kernel.lock.d/<id>.toml`.
pub fn read(path: &Utf8Path) -> Result<Pin, Error> {
    let text = fs::read_to_string(path)?;
    toml::from_str(&text).map_err(|source| Error::Invalid {
        path: path.to_owned(),
        source: Box::new(source),
    })
}

/// The pins in a directory, by name.
pub fn list(directory: &Utf8Path) -> Result<Vec<Pin>, Error> {
    let Ok(entries) = directory.read_dir_utf8() else {
        return Ok(Vec::new());
    };
    let mut pins = entries
        .filter_map(|entry| Some(entry.ok()?.into_path()))
        .filter(|path| path.extension() == Some("toml"))
        .map(|path| read(&path))
        .collect::<Result<Vec<_>, _>>()?;
    pins.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(pins)
}

/// An unpacked root.
#[derive(Debug)]
pub struct Root {
    /// Where it is; its last part is the pin's name, unless the caller chose the place.
    pub tree: Utf8PathBuf,
    /// Of its archive. It is not compared with the pin's; see [`check`].
    pub sha256: Sha256,
    /// Removes it, where the caller did not choose the place.
    _scratch: Option<tempfile::TempDir>,
}

/// Unpacks a pin's packages: into `into`, which must not exist, or for as long as the
/// result lives.
pub fn make(
    pin: &Pin,
    into: Option<&Utf8Path>,
    context: &source::Context<'_>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Root, Error> {
    let files = fetch(pin, context, progress)?;
    let (scratch, tree) = match into {
        Some(into) => {
            std::fs::create_dir(into).context("create", into)?;
            (None, into.to_owned())
        }
        None => {
            let parent = &context.environment.temp_dir;
            let scratch = tempfile::tempdir_in(parent).context("create a directory in", parent)?;
            let path = Utf8PathBuf::from_path_buf(scratch.path().to_owned())
                .expect("a random name in a UTF-8 directory is UTF-8");
            let tree = path.join(&pin.name);
            fs::create_dir_all(&tree)?;
            (Some(scratch), tree)
        }
    };
    fill(pin, &files, &tree, progress)?;
    Ok(Root {
        sha256: nar::hash(&tree)?.sha256,
        tree,
        _scratch: scratch,
    })
}

/// A pin's root in the user's cache, where every build of this machine shares it; it is made
/// where it is not there. The last part of its path is the pin's name, so that [`add`] can
/// take it to the Nix store.
pub fn cached(
    pin: &Pin,
    context: &source::Context<'_>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Utf8PathBuf, Error> {
    let parent = context.environment.cache_dir.join("root");
    let place = parent.join(&pin.sha256.to_string()[..16]).join(&pin.name);
    if place.is_dir() {
        return Ok(place);
    }
    fs::create_dir_all(&parent)?;
    let _lock = lock::acquire(&parent.join("lock"), "cargo kernel", &mut |_| {})?;
    if place.is_dir() {
        return Ok(place);
    }
    let unfinished = parent.join(format!(".tmp-{}", pin.name));
    fs::remove_dir_all(&unfinished)?;
    let root = make(pin, Some(&unfinished), context, progress)?;
    check(pin, root.sha256)?;
    fs::create_dir_all(place.parent().unwrap_or(&parent))?;
    fs::rename(&unfinished, &place)?;
    Ok(place)
}

fn fill(
    pin: &Pin,
    files: &[Utf8PathBuf],
    into: &Utf8Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(), Error> {
    fs::create_dir_all(into.join("usr"))?;
    for directory in MERGED {
        fs::create_dir_all(into.join("usr").join(directory))?;
        let link = into.join(directory);
        symlink(format!("usr/{directory}"), &link).context("link", &link)?;
    }
    let total = files.len() as u64;
    for (done, (package, file)) in (0..).zip(pin.package.iter().zip(files)) {
        progress(Progress::Unpacking {
            name: &package.name,
            done,
            total,
        });
        unpack(file, into)?;
    }
    let programs = into.join("usr/bin");
    for (name, program) in ALTERNATIVES {
        let link = programs.join(name);
        if programs.join(program).exists() && link.symlink_metadata().is_err() {
            symlink(program, &link).context("link", &link)?;
        }
    }
    Ok(())
}

/// Compares a tree's hash with the pin's.
pub fn check(pin: &Pin, actual: Sha256) -> Result<(), Error> {
    if actual == pin.sha256 {
        return Ok(());
    }
    Err(Error::Hash {
        name: pin.name.clone(),
        expected: pin.sha256,
        actual,
    })
}

/// Adds a tree to the store; the last part of its path is the store object's name. Returns the store
/// path. `store` is a URL or a directory as Nix takes it.
pub fn add(
    tree: &Utf8Path,
    store: Option<&str>,
    environment: &Environment,
) -> Result<String, Error> {
    let call = Call::new("nix-store", "/")
        .envs(&nix_variables(environment))
        .args(store.iter().flat_map(|store| ["--store", store]))
        .args(["--add-fixed", "--recursive", "sha256", tree.as_str()]);
    let output = exec::capture(&call).map_err(|source| Error::Add {
        tree: tree.to_owned(),
        source: Box::new(source),
    })?;
    Ok(output.text().trim().to_owned())
}

/// What of the caller's environment says where Nix' store and settings are.
fn nix_variables(environment: &Environment) -> BTreeMap<String, String> {
    let mut variables = environment.tool_variables();
    let named = environment
        .variables
        .iter()
        .filter(|(name, _)| name.starts_with("NIX_") || name.as_str() == "XDG_CACHE_HOME");
    variables.extend(named.map(|(name, value)| (name.clone(), value.clone())));
    variables
}

/// Gives the packages of an existing pin their permanent addresses, and their paths on mirrors; which
/// packages they are stays, and so does the root's store path.
pub fn renew_urls(
    pin: &mut Pin,
    context: &source::Context<'_>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(), Error> {
    for package in &mut pin.package {
        if package.path.is_none() {
            package.path = debian_root::mirror_path(&package.url);
        }
    }
    fetch(pin, context, progress)?;
    set_permanent_urls(pin, context)
}

/// Gives every package of a pin whose files are in the cache the address by which Debian's archive of all
/// packages has it for good. That follows from the content, so pinning twice writes the same.
pub fn set_permanent_urls(pin: &mut Pin, context: &source::Context<'_>) -> Result<(), Error> {
    for package in &mut pin.package {
        let file = place(package, context);
        package.url = source::permanent_url(&source::hash::sha1(&file)?, context);
    }
    Ok(())
}

/// Where the file of a package is kept.
fn place(package: &Package, context: &source::Context<'_>) -> Utf8PathBuf {
    let directory = context.environment.cache_dir.join("download/debs");
    directory.join(format!("{}.deb", package.sha256))
}

/// The package files, in the pin's order, each with the pinned hash: from the cache, from apt
/// where it has that very version, from a mirror, else from the pinned URL.
fn fetch(
    pin: &Pin,
    context: &source::Context<'_>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Vec<Utf8PathBuf>, Error> {
    let directory = context.environment.cache_dir.join("download/debs");
    fs::create_dir_all(&directory)?;
    let place = |package: &Package| place(package, context);
    let mut missing = Vec::new();
    for package in &pin.package {
        if !place(package).exists() {
            missing.push(package);
        }
    }
    if !missing.is_empty() && !context.offline {
        from_apt(&missing, &directory, context)?;
    }
    for package in missing {
        let path = place(package);
        if !path.exists() {
            let on_mirror = package
                .path
                .as_ref()
                .map(|path| format!("{}/{path}", context.debian.trim_end_matches('/')));
            let mut urls: Vec<_> = on_mirror.into_iter().collect();
            if !urls.contains(&package.url) {
                urls.push(package.url.clone());
            }
            source::download::first(&urls, &path, package.sha256, context, progress)?;
        }
    }
    let files: Vec<_> = pin.package.iter().map(place).collect();
    for (package, file) in pin.package.iter().zip(&files) {
        let actual = fs::sha256(file)?;
        if actual != package.sha256 {
            return Err(source::Error::Hash {
                path: file.clone(),
                expected: package.sha256,
                actual,
            }
            .into());
        }
    }
    Ok(files)
}

/// Takes what apt has; that it has none, or another version, is no error here.
fn from_apt(
    packages: &[&Package],
    directory: &Utf8Path,
    context: &source::Context<'_>,
) -> Result<(), Error> {
    if exec::find_on_path("apt-get", &context.environment.path).is_none() {
        return Ok(());
    }
    let arriving = directory.join(".arriving");
    fs::remove_dir_all(&arriving)?;
    fs::create_dir_all(&arriving)?;
    let call = source::apt("apt-get", context, &arriving)
        .args(["-qq", "download"])
        .args(
            packages
                .iter()
                .map(|package| format!("{}={}", package.name, package.version)),
        );
    exec::capture_unchecked(&call)?;
    for entry in arriving.read_dir_utf8().context("read", &arriving)? {
        let entry = entry.context("read", &arriving)?;
        let sha256 = fs::sha256(entry.path())?;
        if packages.iter().any(|package| package.sha256 == sha256) {
            fs::rename(entry.path(), directory.join(format!("{sha256}.deb")))?;
        }
    }
    Ok(fs::remove_dir_all(&arriving)?)
}

fn unpack(package: &Utf8Path, into: &Utf8Path) -> Result<(), Error> {
    let (file, _) = fs::open(package).context("read", package)?;
    let damaged = |source| archive::Error::Damaged {
        archive: package.to_owned(),
        source,
    };
    let data = archive::data_member(file).map_err(damaged)?;
    let mut archive = tar::Archive::new(archive::decoder(package, data)?);
    for member in archive.entries().map_err(damaged)? {
        let mut member = member.map_err(damaged)?;
        let name = String::from_utf8_lossy(&member.path_bytes()).into_owned();
        let refused = |reason| Error::Refused {
            package: package.to_owned(),
            member: name.clone(),
            reason,
        };
        let place = |name: &str| {
            debian_root::place(name).map_err(|source| Error::Outside {
                package: package.to_owned(),
                source,
            })
        };
        let Some(relative) = place(&name)? else {
            continue;
        };
        let path = into.join(&relative);
        if is_behind_a_link(into, &relative) {
            return Err(refused("lies behind a link"));
        }
        if member.header().entry_type() == EntryType::Directory {
            if !path.is_dir() {
                fs::create_dir_all(&path)?;
            }
            continue;
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::remove_file(&path)?;
        let link = member
            .link_name_bytes()
            .map(|name| String::from_utf8_lossy(&name).into_owned());
        match (member.header().entry_type(), link) {
            (EntryType::Regular | EntryType::Continuous, _) => {
                let executable = member.header().mode().map_err(damaged)? & 0o100 != 0;
                let mut file = File::options()
                    .write(true)
                    .create_new(true)
                    .mode(if executable { 0o755 } else { 0o644 })
                    .open(&path)
                    .context("write", &path)?;
                io::copy(&mut member, &mut file).context("write", &path)?;
            }
            (EntryType::Symlink, Some(target)) => {
                symlink(target, &path).context("link", &path)?;
            }
            (EntryType::Link, Some(target)) => {
                let target = place(&target)?.ok_or_else(|| refused("links to what is left out"))?;
                std::fs::hard_link(into.join(target), &path).context("link", &path)?;
            }
            _ => return Err(refused("is a device")),
        }
    }
    Ok(())
}

/// Whether a directory on the way to `relative` is a link: it could lead out of the tree.
fn is_behind_a_link(root: &Utf8Path, relative: &str) -> bool {
    Utf8Path::new(relative)
        .ancestors()
        .skip(1)
        .any(|parent| !parent.as_str().is_empty() && root.join(parent).is_symlink())
}

/// Asks apt, with settings and lists of its own, for the packages that make a toolchain of
/// `suite` for x86_64 hosts. Nothing is installed and no root is needed.
pub fn resolve(
    suite: &str,
    mirror: &str,
    context: &source::Context<'_>,
) -> Result<Vec<Package>, Error> {
    let directory = context.environment.cache_dir.join("apt").join(suite);
    for name in ["lists/partial", "archives/partial"] {
        fs::create_dir_all(directory.join(name))?;
    }
    let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
    let list = format!("deb [signed-by={keyring}] {mirror} {suite} main\n");
    fs::write_atomic(directory.join("sources.list"), list.as_bytes())?;
    fs::write_atomic(directory.join("status"), b"")?;
    let options = [
        format!("Dir::Etc::SourceList={directory}/sources.list"),
        "Dir::Etc::SourceParts=/dev/null".to_owned(),
        "Dir::Etc::Preferences=/dev/null".to_owned(),
        "Dir::Etc::PreferencesParts=/dev/null".to_owned(),
        format!("Dir::State={directory}"),
        format!("Dir::State::Lists={directory}/lists"),
        format!("Dir::State::status={directory}/status"),
        format!("Dir::Cache={directory}"),
        "Debug::NoLocking=1".to_owned(),
        "APT::Install-Recommends=0".to_owned(),
        "APT::Architecture=amd64".to_owned(),
        "APT::Architectures::=amd64".to_owned(),
        "APT::Sandbox::User=".to_owned(),
        "Acquire::Languages=none".to_owned(),
        "Acquire::ForceHash=SHA256".to_owned(),
    ];
    let apt = |args: &[&str]| {
        source::apt("apt-get", context, &directory)
            .arg("-qq")
            .args(options.iter().flat_map(|option| ["-o", option.as_str()]))
            .args(args.iter().copied())
    };
    if !context.offline {
        exec::capture(&apt(&["update"]))?;
    }
    let mut args = vec!["--print-uris", "--yes", "install"];
    args.extend(WANTED);
    let output = exec::capture(&apt(&args))?.text();
    debian_root::parse_uris(&output).ok_or_else(|| Error::Answer {
        suite: suite.to_owned(),
    })
}

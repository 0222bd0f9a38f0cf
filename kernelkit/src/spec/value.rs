//! The values of settings as text: what each may be, and how it is written.

use std::fmt;
use std::str::FromStr;

use camino::{Utf8Path, Utf8PathBuf};
use jiff::Timestamp as Instant;

use super::error::suggest;
use super::{Compiler, Jobs, KernelName, Timestamp};
use crate::arch::Arch;
use crate::source::{Sha256, Source};

/// A value that is not what its setting takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InvalidValue {
    message: String,
    hint: String,
}

impl InvalidValue {
    fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        InvalidValue {
            message: message.into(),
            hint: hint.into(),
        }
    }

    /// What it may be instead.
    pub fn hint(&self) -> Option<String> {
        Some(self.hint.clone())
    }
}

impl FromStr for Compiler {
    type Err = InvalidValue;
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        match text {
            "gcc" => Ok(Compiler::Gcc),
            "clang" => Ok(Compiler::Clang),
            _ => Err(InvalidValue::new(
                format!("unknown compiler `{text}`"),
                suggest(text, ["gcc", "clang"]),
            )),
        }
    }
}

impl fmt::Display for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Compiler::Gcc => "gcc",
            Compiler::Clang => "clang",
        })
    }
}

impl FromStr for Jobs {
    type Err = InvalidValue;
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        match text {
            "auto" => Ok(Jobs::Auto),
            "auto+1" => Ok(Jobs::AutoPlusOne),
            _ => match text.parse() {
                Ok(jobs @ 1..) => Ok(Jobs::Exactly(jobs)),
                _ => Err(InvalidValue::new(
                    format!("`{text}` is not a number of jobs"),
                    "use `auto`, `auto+1` or a number from 1 on",
                )),
            },
        }
    }
}

impl fmt::Display for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Jobs::Auto => f.write_str("auto"),
            Jobs::AutoPlusOne => f.write_str("auto+1"),
            Jobs::Exactly(jobs) => jobs.fmt(f),
        }
    }
}

impl FromStr for Timestamp {
    type Err = InvalidValue;

    /// `fixed`, `commit`, seconds since 1970 (with or without a leading `@`), or an
    /// RFC 3339 time with its offset.
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        match text {
            "fixed" => return Ok(Timestamp::Fixed),
            "commit" => return Ok(Timestamp::Commit),
            _ => {}
        }
        let seconds = text.strip_prefix('@').unwrap_or(text).parse().ok();
        seconds
            .or_else(|| Some(text.parse::<Instant>().ok()?.as_second()))
            // What `date` can print, and so what the kernel's build can embed.
            .filter(|seconds| Instant::from_second(*seconds).is_ok())
            .map(Timestamp::At)
            .ok_or_else(|| {
                InvalidValue::new(
                    format!("`{text}` is not a timestamp"),
                    "use `fixed`, `commit`, a time with its offset such as `2026-01-31T12:00:00Z`, or seconds since 1970",
                )
            })
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Timestamp::Fixed => f.write_str("fixed"),
            Timestamp::Commit => f.write_str("commit"),
            Timestamp::At(seconds) => write!(f, "@{seconds}"),
        }
    }
}

/// An architecture of the table.
pub(super) fn arch(text: &str) -> Result<Arch, InvalidValue> {
    text.parse().map_err(|error: crate::arch::UnknownArch| {
        InvalidValue::new(
            error.to_string(),
            suggest(text, ["x86_64", "arm64", "riscv64"]),
        )
    })
}

/// The middle part of a release. What `uname -r` cannot carry is refused rather than
/// rewritten, so that the name one reads is the name one wrote.
pub(super) fn label(text: &str) -> Result<String, InvalidValue> {
    const LONGEST: usize = 40;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if !text.is_empty() && text.len() <= LONGEST && text.bytes().all(fits) {
        return Ok(text.to_owned());
    }
    Err(InvalidValue::new(
        format!("`{text}` cannot be a label"),
        format!("use letters, digits, `.`, `_` and `-`, at most {LONGEST}"),
    ))
}

/// A size as ccache takes it: a number and one of `k M G T Ki Mi Gi Ti`.
pub(super) fn ccache_size(text: &str) -> Result<String, InvalidValue> {
    let unit = text.trim_start_matches(|digit: char| digit.is_ascii_digit() || digit == '.');
    let number = &text[..text.len() - unit.len()];
    let units = ["", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti"];
    if number.parse::<f64>().is_ok() && units.contains(&unit) {
        return Ok(text.to_owned());
    }
    Err(InvalidValue::new(
        format!("`{text}` is not a size"),
        "use a number and a unit, such as `10G` or `512M`; `0` means no limit",
    ))
}

/// The make variables that cargo kernel sets itself, and what to use instead. A
/// name that ends in `*` stands for all that begin so.
const OWNED_VARIABLES: &[(&[&str], &str)] = &[
    (
        &["O", "KBUILD_OUTPUT", "objtree"],
        "builds lie in cargo's target directory: move it with `build.target-dir` or CARGO_TARGET_DIR",
    ),
    (
        &[
            "ARCH",
            "SRCARCH",
            "SUBARCH",
            "UTS_MACHINE",
            "CROSS_COMPILE",
            "CROSS_COMPILE_*",
        ],
        "use `arch`",
    ),
    (
        &[
            "CC",
            "CPP",
            "LD",
            "AR",
            "NM",
            "AS",
            "OBJCOPY",
            "OBJDUMP",
            "READELF",
            "STRIP",
            "LLVM",
            "LLVM_IAS",
            "HOSTCC",
            "HOSTCXX",
            "HOSTAR",
            "HOSTLD",
            "RUSTC",
            "HOSTRUSTC",
            "BINDGEN",
            "PAHOLE",
        ],
        "use `compiler`",
    ),
    (
        &["KCONFIG_*", "KBUILD_DEFCONFIG", "KBUILD_KCONFIG"],
        "use `preset`, `make`, `config` or `fragments`",
    ),
    (
        &["KBUILD_BUILD_*", "SOURCE_DATE_EPOCH"],
        "use `reproducible` and `timestamp`",
    ),
    (
        &["INSTALL_*", "MODLIB"],
        "use `install` and `modules-install`; finished builds are installed below cargo's target directory",
    ),
    (
        &[
            "LOCALVERSION",
            "KERNELRELEASE",
            "KERNELVERSION",
            "VERSION",
            "PATCHLEVEL",
            "SUBLEVEL",
            "EXTRAVERSION",
        ],
        "use `label`",
    ),
    (&["KBUILD_SRC", "srctree", "VPATH"], "use `source`"),
    (
        &["M", "KBUILD_EXTMOD", "KBUILD_EXTMOD_OUTPUT"],
        "use `cargo kernel module`",
    ),
    (
        &["MAKEFLAGS", "GNUMAKEFLAGS", "MFLAGS"],
        "use `jobs`, and `make-flags` for variables",
    ),
];

/// A make variable with its value that is the user's to set.
pub(super) fn make_flag(text: &str) -> Result<String, InvalidValue> {
    if text.starts_with('-') {
        let jobs = text.starts_with("-j") || text.starts_with("--jobs");
        return Err(InvalidValue::new(
            format!("`{text}` is an option of make itself, not a variable of the build"),
            if jobs {
                "use `jobs`"
            } else {
                "only `VARIABLE=value` is taken here; how make runs is set by `jobs`"
            },
        ));
    }
    let valid = |name: &str| {
        name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let Some((name, _)) = text.split_once('=').filter(|(name, _)| valid(name)) else {
        return Err(InvalidValue::new(
            format!("`{text}` is not `VARIABLE=value`"),
            "write it like `W=1`; a goal of make belongs into `targets`",
        ));
    };
    let owned = |pattern: &str| match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == pattern,
    };
    match OWNED_VARIABLES
        .iter()
        .find(|(patterns, _)| patterns.iter().any(|pattern| owned(pattern)))
    {
        Some((_, instead)) => Err(InvalidValue::new(
            format!("the make variable `{name}` is set by cargo kernel"),
            *instead,
        )),
        None => Ok(text.to_owned()),
    }
}

/// A goal of make: not an option, not a variable.
pub(super) fn make_goal(text: &str) -> Result<String, InvalidValue> {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'=';
    if !text.is_empty() && !text.starts_with('-') && text.bytes().all(plain) {
        return Ok(text.to_owned());
    }
    Err(InvalidValue::new(
        format!("`{text}` is not a goal of make"),
        "write one goal an item, such as `defconfig`; variables belong into `make-flags`",
    ))
}

/// Resolves `path` against `base`; `.` components go, `..` and `~` stay as they are.
pub(super) fn resolve(base: &Utf8Path, path: &str) -> Utf8PathBuf {
    base.join(path).components().collect()
}

/// The endings of a file that is a kernel tarball.
const TARBALLS: [&str; 6] = [".tar", ".tar.xz", ".tar.gz", ".tar.zst", ".tgz", ".txz"];

/// Reads a [`Source`] from one string. The first rule that fits wins:
///
/// 1. `git+REPOSITORY#REF`: a git repository (path or URL) and a tag, branch or commit;
/// 2. `debian:PACKAGE` or `debian:PACKAGE=VERSION`: a Debian `linux-source-*` package;
/// 3. `http://…`, `https://…`: a tarball to download, with its hash as `…#sha256=HEX`;
/// 4. a path that ends in `.tar`, `.tar.xz`, `.tar.gz`, `.tar.zst`, `.tgz` or `.txz`: a
///    tarball, which may carry its hash in the same way;
/// 5. `stable`, `longterm`, `mainline`, `6.12`, `6.12.y`, `6.12.117`, `v7.3-rc4`: a release of
///    kernel.org (a directory of such a name is written `./stable`);
/// 6. anything else: a directory.
///
/// Relative paths are relative to `base`.
///
/// # Errors
/// A form that is recognized but incomplete, such as `git+` without a reference.
pub fn parse_source(text: &str, base: &Utf8Path) -> Result<Source, InvalidValue> {
    if let Some(git) = text.strip_prefix("git+") {
        let Some((repository, reference)) = git.rsplit_once('#') else {
            return Err(InvalidValue::new(
                format!("`{text}` names no tag, branch or commit"),
                format!("append it: `{text}#v6.12`"),
            ));
        };
        return git_source(repository, reference, base);
    }
    if let Some(debian) = text.strip_prefix("debian:") {
        return match debian.split_once('=') {
            Some((package, version)) => debian_source(package, Some(version)),
            None => debian_source(debian, None),
        };
    }
    let (location, sha256) = match text.rsplit_once("#sha256=") {
        Some((location, digest)) => (location, Some(sha256(digest)?)),
        None => (text, None),
    };
    if is_url(location) || sha256.is_some() || is_tarball(location) {
        return tarball_source(location, sha256, base);
    }
    if is_release(text) {
        return release_source(text);
    }
    directory_source(text, base)
}

fn is_url(text: &str) -> bool {
    text.contains("://")
}

fn is_tarball(text: &str) -> bool {
    TARBALLS.iter().any(|ending| text.ends_with(ending))
}

/// Whether the text means a release: a name of kernel.org's, or a digit first. What
/// looks like a version and is none had better be told so than be looked for as a directory.
fn is_release(text: &str) -> bool {
    matches!(text, "stable" | "longterm" | "mainline")
        || (text
            .strip_prefix('v')
            .unwrap_or(text)
            .starts_with(|first: char| first.is_ascii_digit())
            && !text.contains('/'))
}

pub(super) fn directory_source(text: &str, base: &Utf8Path) -> Result<Source, InvalidValue> {
    if text.is_empty() {
        return Err(InvalidValue::new(
            "the source is empty",
            "name a directory, a tarball, a version …",
        ));
    }
    Ok(Source::Directory {
        path: resolve(base, text),
    })
}

pub(super) fn sha256(text: &str) -> Result<Sha256, InvalidValue> {
    text.parse().map_err(|error: crate::source::InvalidDigest| {
        InvalidValue::new(
            error.to_string(),
            "`sha256sum FILE` prints it; kernel.org lists it in sha256sums.asc",
        )
    })
}

pub(super) fn tarball_source(
    location: &str,
    sha256: Option<Sha256>,
    base: &Utf8Path,
) -> Result<Source, InvalidValue> {
    let http = location.starts_with("https://") || location.starts_with("http://");
    if is_url(location) && !http {
        return Err(InvalidValue::new(
            format!("`{location}` is not a URL that tarballs are downloaded from"),
            "use `https://…`; for a git repository write `git+URL#REF`",
        ));
    }
    if http && location.ends_with(".git") {
        return Err(InvalidValue::new(
            format!("`{location}` is a git repository, not a tarball"),
            format!("write `git+{location}#v6.12`"),
        ));
    }
    if !http && !is_tarball(location) {
        return Err(InvalidValue::new(
            format!("`{location}` is not a tarball by its name"),
            format!("it must end in one of {}", TARBALLS.join(", ")),
        ));
    }
    let location = if http {
        location.to_owned()
    } else {
        resolve(base, location).into_string()
    };
    Ok(Source::Tarball { location, sha256 })
}

pub(super) fn debian_source(package: &str, version: Option<&str>) -> Result<Source, InvalidValue> {
    let valid = |text: &str, also: &[u8]| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || also.contains(&byte))
    };
    if !package.starts_with("linux-source") || !valid(package, b"+.-") {
        return Err(InvalidValue::new(
            format!("`{package}` is not a Debian package of kernel source"),
            "such a package is called `linux-source-6.12`; `apt-cache search linux-source` lists them",
        ));
    }
    // Debian Policy 5.6.12: the characters of a version.
    if let Some(version) = version.filter(|version| !valid(version, b"+.-~:")) {
        return Err(InvalidValue::new(
            format!("`{version}` is not a version of a Debian package"),
            format!("`apt-cache policy {package}` lists them"),
        ));
    }
    Ok(Source::Debian {
        package: package.to_owned(),
        version: version.map(str::to_owned),
    })
}

pub(super) fn git_source(
    repository: &str,
    reference: &str,
    base: &Utf8Path,
) -> Result<Source, InvalidValue> {
    // A leading `-` would be read by git as an option.
    if repository.is_empty() || repository.starts_with('-') {
        return Err(InvalidValue::new(
            format!("`{repository}` is not a git repository"),
            "name a path or a URL",
        ));
    }
    let plain = |character: char| !character.is_whitespace() && !character.is_control();
    if reference.is_empty() || reference.starts_with('-') || !reference.chars().all(plain) {
        return Err(InvalidValue::new(
            format!("`{reference}` is not a tag, branch or commit"),
            "name one such as `v6.12`, `mainline/master` or a commit's id",
        ));
    }
    // As git tells them apart: `host:path` is remote where no slash precedes the colon.
    let remote = is_url(repository)
        || repository
            .split_once(':')
            .is_some_and(|(host, _)| !host.contains('/'));
    let repository = if remote {
        repository.to_owned()
    } else {
        resolve(base, repository).into_string()
    };
    Ok(Source::Git {
        repository,
        reference: reference.to_owned(),
    })
}

/// A release of kernel.org.
pub(super) fn release_source(text: &str) -> Result<Source, InvalidValue> {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.strip_prefix('v').unwrap_or(text);
    let (numbers, candidate) = number.split_once("-rc").unwrap_or((number, "0"));
    let parts: Vec<&str> = numbers.split('.').collect();
    let version = (2..=3).contains(&parts.len())
        && digits(parts[0])
        && digits(parts[1])
        && parts.get(2).is_none_or(|part| digits(part) || *part == "y")
        && digits(candidate);
    if version || matches!(text, "stable" | "longterm" | "mainline") {
        return Ok(Source::Release {
            selector: text.to_owned(),
        });
    }
    Err(InvalidValue::new(
        format!("`{text}` is not a version of the kernel"),
        "use `6.12.117`, `6.12`, `6.12.y`, `7.3-rc4`, `stable`, `longterm` or `mainline`; a directory of that name is `./…`",
    ))
}

/// A kernel's name.
pub(super) fn kernel_name(text: &str) -> Result<KernelName, InvalidValue> {
    text.parse().map_err(|error: super::InvalidName| {
        InvalidValue::new(error.to_string(), "rename it, for example to `tiny-arm64`")
    })
}

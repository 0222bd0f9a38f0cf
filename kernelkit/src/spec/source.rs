//! Where a tree comes from, as one string or as a table.

use camino::{Utf8Path, Utf8PathBuf};
use toml::de::DeTable;

use super::error::Problem;
use super::input::{Input, Outcome};
use super::layer::SourceParts;
use super::read;
use super::settings::{Read, Table};
use super::value::InvalidValue;
use crate::credentials::public;
use crate::source::{InvalidDigest, Sha256, Source};
use crate::sourced::Sourced;
use crate::version::{InvalidSelector, Mirror, Selector};

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
    if let Some(rest) = text.strip_prefix("git+") {
        let Some((repository, reference)) = rest.rsplit_once('#') else {
            return Err(InvalidValue::new(
                format!("`{text}` names no tag, branch or commit"),
                format!("append it: `{text}#v6.12`"),
            ));
        };
        return Ok(Source::Git {
            repository: git_repository(repository, base)?,
            reference: git_reference(reference)?,
        });
    }
    if let Some(rest) = text.strip_prefix("debian:") {
        let (package, version) = match rest.split_once('=') {
            Some((package, version)) => (package, Some(debian_version(version)?)),
            None => (rest, None),
        };
        return Ok(Source::Debian {
            package: debian_package(package)?,
            version,
        });
    }
    let (location, sha256) = match text.rsplit_once("#sha256=") {
        Some((location, digest)) => (location, Some(sha256(digest)?)),
        None => (text, None),
    };
    if is_url(location) || sha256.is_some() || is_tarball(location) {
        return tarball(location, sha256, base);
    }
    if is_release(text) {
        return release(text)
            .map_err(|error| error.or(format!("a directory of that name is `./{text}`")));
    }
    directory(text, base)
}

/// Refuses a URL whose password is cut short by a character that ends the host's part of a URL (RFC 3986, 3.2): nobody
/// could tell any more what of it is secret. Nothing of it is shown.
fn check_userinfo(text: &str) -> Result<(), InvalidValue> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Ok(());
    };
    let (authority, after) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let is_port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_cut = match authority.rsplit_once(':') {
        Some((_, port)) => !authority.contains('@') && !authority.ends_with(']') && !is_port(port),
        None => false,
    };
    match is_cut && after.contains('@') {
        true => Err(InvalidValue::new(
            format!("the user and password of this {scheme} URL cannot be told from its host"),
            "write `%2F` for `/`, `%3F` for `?`, `%23` for `#` and `%40` for `@` in them",
        )),
        false => Ok(()),
    }
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

pub(super) fn directory(text: &str, base: &Utf8Path) -> Result<Source, InvalidValue> {
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
    text.parse().map_err(|error: InvalidDigest| {
        InvalidValue::new(
            error.to_string(),
            "`sha256sum FILE` prints it; kernel.org lists it in sha256sums.asc",
        )
    })
}

pub(super) fn tarball(
    location: &str,
    sha256: Option<Sha256>,
    base: &Utf8Path,
) -> Result<Source, InvalidValue> {
    check_userinfo(location)?;
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

pub(super) fn debian_package(text: &str) -> Result<String, InvalidValue> {
    if text.starts_with("linux-source") && is_made_of(text, b"+.-") {
        return Ok(text.to_owned());
    }
    Err(InvalidValue::new(
        format!("`{text}` is not a Debian package of kernel source"),
        "such a package is called `linux-source-6.12`; `apt-cache search linux-source` lists them",
    ))
}

/// The version of a Debian package (Debian Policy, 5.6.12).
pub(super) fn debian_version(text: &str) -> Result<String, InvalidValue> {
    if is_made_of(text, b"+.-~:") {
        return Ok(text.to_owned());
    }
    Err(InvalidValue::new(
        format!("`{text}` is not a version of a Debian package"),
        "write it as `apt-cache policy` does, such as `6.12.117-1~deb12u1`",
    ))
}

fn is_made_of(text: &str, also: &[u8]) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || also.contains(&byte);
    !text.is_empty() && text.bytes().all(fits)
}

pub(super) fn git_repository(text: &str, base: &Utf8Path) -> Result<String, InvalidValue> {
    // A leading `-` would be read by git as an option.
    if text.is_empty() || text.starts_with('-') {
        return Err(InvalidValue::new(
            format!("`{text}` is not a git repository"),
            "name a path or a URL",
        ));
    }
    check_userinfo(text)?;
    if is_url(text) && !text.starts_with("ssh:") && has_key(text) {
        return Err(InvalidValue::new(
            format!("git takes no key from the query of `{text}`"),
            "write it before the host, `https://KEY@host/…`, or leave it to git's credential helper",
        ));
    }
    // As git tells them apart: `host:path` is remote where no slash precedes the colon.
    let remote = is_url(text)
        || text
            .split_once(':')
            .is_some_and(|(host, _)| !host.contains('/'));
    Ok(if remote {
        text.to_owned()
    } else {
        resolve(base, text).into_string()
    })
}

/// Whether the query of a URL holds a key.
fn has_key(url: &str) -> bool {
    let query = |url: &str| url.split_once('?').map(|(_, query)| query.to_owned());
    query(url) != query(&public(url))
}

pub(super) fn git_reference(text: &str) -> Result<String, InvalidValue> {
    let plain = |character: char| !character.is_whitespace() && !character.is_control();
    if !text.is_empty() && !text.starts_with('-') && text.chars().all(plain) {
        return Ok(text.to_owned());
    }
    Err(InvalidValue::new(
        format!("`{text}` is not a tag, branch or commit"),
        "name one such as `v6.12`, `mainline/master` or a commit's id",
    ))
}

/// A release of kernel.org.
pub(super) fn release(text: &str) -> Result<Source, InvalidValue> {
    let selector: Selector = text.parse().map_err(|error: InvalidSelector| {
        InvalidValue::new(error.to_string(), error.hint().unwrap_or_default())
    })?;
    if let Selector::Exact(version) = &selector
        && Mirror::default().tarball(version).is_none()
    {
        return Err(InvalidValue::new(
            format!("kernel.org has no release `{text}`"),
            "it has releases such as `6.12.117` and candidates such as `7.3-rc4`; other trees are taken from git or as a tarball",
        ));
    }
    Ok(Source::Release {
        selector: selector.to_string(),
    })
}

/// A source that is written as a table.
pub(super) fn read_table(input: &Input<'_>, table: &DeTable<'_>) -> Outcome<Source> {
    let mut parts = SourceParts::default();
    read::read_table(
        &input.place,
        table,
        Table::Source,
        (input.base, input.root),
        &mut |setting, inner| match setting.read {
            Read::Source(read) => read(&mut parts, inner),
            _ => unreachable!("a row of the source table is read as one"),
        },
    )?;
    let kinds = [&parts.dir, &parts.tarball, &parts.git, &parts.debian];
    if kinds.iter().filter(|kind| kind.is_some()).count() != 1 {
        return Err(vec![
            input
                .problem("`source` must hold one of `dir`, `tarball`, `git` and `debian`")
                .hint(
                    "a release of kernel.org is set by `version`, outside of `source`".to_owned(),
                ),
        ]);
    }
    // Each of the others belongs to one kind.
    for (part, key, owner, its) in [
        (&parts.sha256, "sha256", "tarball", &parts.tarball),
        (&parts.reference, "ref", "git", &parts.git),
        (&parts.version, "version", "debian", &parts.debian),
    ] {
        if let (Some(part), None) = (part, its) {
            return Err(vec![
                Problem::new(
                    format!("`{key}` goes with `{owner}` only"),
                    part.origin.clone(),
                )
                .hint(format!("remove `{key}`, or use `{owner}`")),
            ]);
        }
    }
    // The table may span lines: each complaint stands at its own key.
    fn at<T>(part: &Sourced<String>, result: Result<T, InvalidValue>) -> Outcome<T> {
        result.map_err(|error| {
            vec![Problem::new(error.to_string(), part.origin.clone()).hint(error.hint())]
        })
    }
    if let Some(dir) = &parts.dir {
        return at(dir, directory(dir, input.base));
    }
    if let Some(location) = &parts.tarball {
        let sha256 = match &parts.sha256 {
            Some(digest) => Some(at(digest, sha256(digest))?),
            None => None,
        };
        return at(location, tarball(location, sha256, input.base));
    }
    if let Some(git) = &parts.git {
        let Some(reference) = &parts.reference else {
            return Err(vec![
                Problem::new("`git` needs a `ref`", git.origin.clone())
                    .hint("name a tag, a branch or a commit: `ref = \"v6.12\"`".to_owned()),
            ]);
        };
        return Ok(Source::Git {
            repository: at(git, git_repository(git, input.base))?,
            reference: at(reference, git_reference(reference))?,
        });
    }
    let debian = parts.debian.as_ref().expect("one of the four kinds is set");
    Ok(Source::Debian {
        package: at(debian, debian_package(debian))?,
        version: match &parts.version {
            Some(version) => Some(at(version, debian_version(version))?),
            None => None,
        },
    })
}

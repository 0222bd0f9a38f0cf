//! Tarballs: a file, a URL, or a release of kernel.org.

use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::{
    Context, Error, LabelHint, Progress, Tree, Verification, archive, cache, download, hash, scan,
    sums, with_unpack_progress,
};
use crate::effect::record;
use crate::source::snapshot::Stamp;
use crate::source::{Archive, Sha256, Source};
use crate::version::{KernelVersion, Releases, Selector};

/// The form of what is kept of a URL or a file.
const FORMAT: u32 = 1;

/// A tarball whose hash is known.
struct Known {
    sha256: Sha256,
    verification: Verification,
}

pub(super) fn prepare(
    location: &str,
    sha256: Option<Sha256>,
    context: &Context<'_>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Tree, Error> {
    let pinned = sha256.map(|sha256| Known {
        sha256,
        verification: Verification::Sha256Pinned,
    });
    if !is_url(location) {
        return from_file(Utf8Path::new(location), pinned, context, progress);
    }
    let known = match pinned {
        Some(known) => known,
        None => match listed(location, context)? {
            Some(known) => known,
            None => {
                let target = target(location, context);
                return Err(Error::Unpinned {
                    url: location.to_owned(),
                    actual: download::file(location, &target, None, context, progress)?,
                });
            }
        },
    };
    from_url(location, known, context, progress)
}

/// A release that kernel.org has.
pub(super) fn prepare_release(
    selector: &str,
    context: &Context<'_>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Tree, Error> {
    let selector: Selector = selector.parse().map_err(Error::Selector)?;
    let version = match selector {
        Selector::Exact(version) => version,
        _ => {
            releases(context, progress)?
                .resolve(&selector)
                .map_err(Error::Releases)?
                .version
        }
    };
    let url = context.mirror.tarball(&version).ok_or_else(|| {
        Error::Releases(crate::version::Error::NoTarball {
            version: version.clone(),
        })
    })?;
    let url = context.environment.credentials.learn_url(&url);
    let known = match listed(&url, context)? {
        Some(known) => known,
        // Candidates are cut from a tag on request: nobody lists or signs them.
        None if version.candidate().is_some() => Known {
            sha256: download::file(&url, &target(&url, context), None, context, progress)?,
            verification: Verification::Unverified,
        },
        None => {
            return Err(Error::NotListed {
                url,
                version: version.clone(),
            });
        }
    };
    from_url(&url, known, context, progress)
}

/// kernel.org's list; the last one that was fetched where there is no other.
fn releases(
    context: &Context<'_>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Releases, Error> {
    let error = match fetch_releases(context) {
        Err(error @ Error::Download(_)) => error,
        fetched => return fetched,
    };
    let path = beside(&context.mirror.index(), "releases", context);
    let Some(list) = record::read::<String>(&path, FORMAT) else {
        return Err(error);
    };
    let stamp = scan::stamp(&path)?;
    let age = stamp.map_or(Duration::ZERO, |stamp| age(&stamp, context.now));
    progress(Progress::Note(&format!(
        "{error}: the list of releases is {} old",
        spoken(age)
    )));
    parse_releases(list.as_bytes())
}

/// kernel.org's list as it is now; it is kept for when there is no other.
pub(super) fn fetch_releases(context: &Context<'_>) -> Result<Releases, Error> {
    let url = context.mirror.index();
    let Some(bytes) = download::bytes(&url, context)? else {
        return Err(download::Error::NotFound { url }.into());
    };
    let releases = parse_releases(&bytes)?;
    let list = String::from_utf8_lossy(&bytes);
    record::write(&beside(&url, "releases", context), FORMAT, &list)?;
    Ok(releases)
}

fn parse_releases(bytes: &[u8]) -> Result<Releases, Error> {
    Releases::parse(&String::from_utf8_lossy(bytes)).map_err(Error::Releases)
}

fn spoken(age: Duration) -> String {
    let minutes = age.as_secs() / 60;
    match (minutes / (24 * 60), minutes / 60) {
        (0, 0) => format!("{minutes} minutes"),
        (0, hours) => format!("{hours} hours"),
        (days, _) => format!("{days} days"),
    }
}

fn age(stamp: &Stamp, now: SystemTime) -> Duration {
    let modified = SystemTime::UNIX_EPOCH
        + Duration::from_secs(u64::try_from(stamp.modified.seconds).unwrap_or(0));
    now.duration_since(modified).unwrap_or_default()
}

fn is_url(location: &str) -> bool {
    location.starts_with("https://") || location.starts_with("http://")
}

fn file_name(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    path.rsplit('/')
        .find(|part| !part.is_empty() && !part.starts_with('.'))
        .unwrap_or("archive")
}

/// Where a URL's file is kept: two servers may have files of one name.
pub(super) fn target(url: &str, context: &Context<'_>) -> Utf8PathBuf {
    let digest = Sha256::of(url.as_bytes()).to_string();
    let directory = context.environment.cache_dir.join("download");
    directory.join(&digest[..16]).join(file_name(url))
}

/// Where what is known about a URL is kept.
fn beside(url: &str, kind: &str, context: &Context<'_>) -> Utf8PathBuf {
    let name = format!("{kind}-{}.json", Sha256::of(url.as_bytes()));
    context.environment.cache_dir.join("known").join(name)
}

#[derive(Serialize, Deserialize)]
struct Listed {
    sha256: Sha256,
    /// Fingerprint of the key that signed the list.
    key: Option<String>,
}

/// What `sha256sums.asc` beside the file says of it; `None` where there is none. A
/// released file never changes, so the answer is kept; but one that was not verified
/// is asked for again once there is a keyring.
fn listed(url: &str, context: &Context<'_>) -> Result<Option<Known>, Error> {
    let path = beside(url, "sum", context);
    let keyring = sums::keyring(context)?;
    let kept = record::read::<Listed>(&path, FORMAT)
        .filter(|kept| kept.key.is_some() || keyring.is_none() || context.offline);
    let listed = match kept {
        Some(kept) => kept,
        None => {
            let Some((sha256, key)) = sums::look_up(url, file_name(url), keyring, context)? else {
                return Ok(None);
            };
            let listed = Listed { sha256, key };
            record::write(&path, FORMAT, &listed)?;
            listed
        }
    };
    Ok(Some(Known {
        sha256: listed.sha256,
        verification: match listed.key {
            Some(key) => Verification::SignedSums { key },
            None => Verification::UnsignedSums,
        },
    }))
}

fn from_url(
    url: &str,
    known: Known,
    context: &Context<'_>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Tree, Error> {
    let sha256 = known.sha256;
    let cached = tree(sha256, context, progress, |progress| {
        let target = target(url, context);
        download::file(url, &target, Some(sha256), context, progress)?;
        Ok(target)
    })?;
    Ok(finish(url, file_name(url), cached, known))
}

fn from_file(
    path: &Utf8Path,
    pinned: Option<Known>,
    context: &Context<'_>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Tree, Error> {
    let actual = hash_of(path, context)?;
    let known = pinned.unwrap_or(Known {
        sha256: actual,
        verification: Verification::Unverified,
    });
    if known.sha256 != actual {
        return Err(Error::Hash {
            path: path.to_owned(),
            expected: known.sha256,
            actual,
        });
    }
    let cached = tree(actual, context, progress, |_| Ok(path.to_owned()))?;
    let name = path.file_name().unwrap_or(path.as_str());
    Ok(finish(path.as_str(), name, cached, known))
}

fn tree(
    sha256: Sha256,
    context: &Context<'_>,
    progress: &mut dyn FnMut(Progress<'_>),
    fetch: impl FnOnce(&mut dyn FnMut(Progress<'_>)) -> Result<Utf8PathBuf, Error>,
) -> Result<cache::Cached, Error> {
    let cache_dir = &context.environment.cache_dir;
    let key = format!("sha256-{sha256}");
    cache::tree(cache_dir, &key, progress, |into, progress| {
        let file = fetch(progress)?;
        with_unpack_progress(&file, progress, |read| {
            archive::unpack_file(&file, into, read)
        })?
        .map_err(Into::into)
    })
}

fn finish(location: &str, name: &str, cached: cache::Cached, known: Known) -> Tree {
    let version = cached.record.version;
    Tree {
        dir: cached.dir,
        id: cached.record.id,
        label: label(name, &version),
        version,
        localversion: cached.record.localversion,
        config_inputs: None,
        commit: None,
        head: None,
        dirty: false,
        pinned: true,
        verification: known.verification,
        description: name.to_owned(),
        archive: is_url(location).then(|| Archive {
            url: location.to_owned(),
            sha256: known.sha256,
            member: None,
        }),
        patches: Vec::new(),
        series: None,
        resolved: Source::Tarball {
            location: location.to_owned(),
            sha256: Some(known.sha256),
        },
    }
}

/// A file called as kernel.org calls the tarball of this version is that release.
fn label(name: &str, version: &KernelVersion) -> LabelHint {
    let stem = name.split(".tar").next().unwrap_or(name);
    if stem == version.tree_name() {
        LabelHint::Vanilla
    } else {
        LabelHint::Reference {
            name: stem.to_owned(),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Hashed {
    path: Utf8PathBuf,
    stamp: String,
    sha256: Sha256,
}

/// A file's SHA-256, remembered for as long as the file's times, size and inode are the same.
fn hash_of(path: &Utf8Path, context: &Context<'_>) -> Result<Sha256, Error> {
    let kept_at = beside(path.as_str(), "hash", context);
    let before = scan::stamp(path)?;
    let stamp = format!("{before:?}");
    let kept = record::read::<Hashed>(&kept_at, FORMAT)
        .filter(|kept| kept.path == path && kept.stamp == stamp);
    if let Some(kept) = kept {
        return Ok(kept.sha256);
    }
    let sha256 = hash::sha256(path)?;
    if before.is_some_and(|before| scan::is_settled(&before, context.now))
        && scan::stamp(path)? == before
    {
        let hashed = Hashed {
            path: path.to_owned(),
            stamp,
            sha256,
        };
        record::write(&kept_at, FORMAT, &hashed)?;
    }
    Ok(sha256)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_released_tarball_is_vanilla_by_its_name() {
        let vanilla = |name: &str| label(name, &"6.12.117".parse().unwrap()) == LabelHint::Vanilla;
        assert!(vanilla("linux-6.12.117.tar.xz"));
        assert!(!vanilla("linux-6.12.116.tar.xz"));
        assert!(!vanilla("linux-6.12.117-mine.tar.xz"));
        assert!(label("linux-6.12.tar.gz", &"6.12.0".parse().unwrap()) == LabelHint::Vanilla);
    }

    #[test]
    fn file_names_of_urls_have_no_query() {
        for (url, expected) in [
            ("https://a/b/linux-6.1.tar.xz", "linux-6.1.tar.xz"),
            ("https://a/b/linux-6.1.tar.gz?id=1/2", "linux-6.1.tar.gz"),
            ("https://a/b/..", "b"),
        ] {
            assert_eq!(file_name(url), expected);
        }
    }
}

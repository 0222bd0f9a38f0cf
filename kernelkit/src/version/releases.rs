//! kernel.org's list of current releases, and what can be chosen from it.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{InvalidVersion, KernelVersion, Mirror, Series};

/// How a user names a version that may still have to be looked up.
///
/// `6.12` is the newest release of its series, as `6.12.y` is, because that is what nearly everybody who
/// writes it wants; the first release of the series is `6.12.0`. A version with a suffix is exact.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub enum Selector {
    /// `6.12.117`, `6.12.0`, `7.3-rc4`: this one.
    Exact(KernelVersion),
    /// `6.12`, `6.12.y`: the newest release of the series; never a candidate.
    Series(Series),
    /// `stable`: what kernel.org calls the latest stable.
    Stable,
    /// `longterm`: the newest of the longterm series that are still maintained.
    Longterm,
    /// `mainline`: the newest of Torvalds' tree, often a candidate.
    Mainline,
}

/// Nothing that selects a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` selects no kernel version")]
pub struct InvalidSelector(pub String);

impl InvalidSelector {
    /// What selects one.
    pub fn hint(&self) -> Option<String> {
        let near = ["stable", "longterm", "mainline"]
            .into_iter()
            .find(|name| strsim::damerau_levenshtein(&self.0.to_ascii_lowercase(), name) <= 2);
        Some(match near {
            Some(name) => format!("did you mean `{name}`?"),
            None => "write a version (`6.12.117`, `7.3-rc4`), a series (`6.12`, `6.12.y`), \
                     `stable`, `longterm` or `mainline`"
                .to_owned(),
        })
    }
}

impl FromStr for Selector {
    type Err = InvalidSelector;
    fn from_str(text: &str) -> Result<Self, InvalidSelector> {
        Ok(match text {
            "stable" => Selector::Stable,
            "longterm" => Selector::Longterm,
            "mainline" => Selector::Mainline,
            _ => match (text.parse(), text.parse()) {
                (Ok(series), _) => Selector::Series(series),
                (Err(_), Ok(version)) => Selector::Exact(version),
                (Err(_), Err(_)) => return Err(InvalidSelector(text.to_owned())),
            },
        })
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // `6.12` would be read back as the series.
            Selector::Exact(version) if version.to_string().parse::<Series>().is_ok() => {
                write!(f, "{version}.0")
            }
            Selector::Exact(version) => version.fmt(f),
            Selector::Series(series) => series.fmt(f),
            Selector::Stable => f.write_str("stable"),
            Selector::Longterm => f.write_str("longterm"),
            Selector::Mainline => f.write_str("mainline"),
        }
    }
}

impl TryFrom<String> for Selector {
    type Error = InvalidSelector;
    fn try_from(text: String) -> Result<Self, InvalidSelector> {
        text.parse()
    }
}

impl From<Selector> for String {
    fn from(selector: Selector) -> String {
        selector.to_string()
    }
}

/// Which tree a release comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Moniker {
    /// Torvalds' tree.
    Mainline,
    /// The stable series of the last mainline release or two.
    Stable,
    /// A stable series that is maintained for years.
    Longterm,
}

impl fmt::Display for Moniker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Moniker::Mainline => "mainline",
            Moniker::Stable => "stable",
            Moniker::Longterm => "longterm",
        })
    }
}

/// One version that kernel.org has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Release {
    /// The version.
    pub version: KernelVersion,
    /// Its tarball.
    pub url: String,
    /// The signature of the uncompressed tar; candidates have none.
    pub pgp: Option<String>,
    /// The tree of its series; absent where the list has that series no more.
    pub moniker: Option<Moniker>,
    /// Nobody maintains its series any more: no fix, security or other, will come.
    pub eol: bool,
}

/// What kernel.org lists: the newest release of every series that has not long been abandoned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Releases {
    latest_stable: KernelVersion,
    /// The newest first.
    releases: Vec<Release>,
}

/// Why no release could be chosen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The list is not the JSON that kernel.org serves.
    #[error("the list of kernel releases cannot be read")]
    Json(#[source] serde_json::Error),
    /// A version in the list is none.
    #[error("the list of kernel releases holds an unknown kind of version")]
    Version(#[source] InvalidVersion),
    /// The list has nothing that fits.
    #[error("kernel.org lists no release for `{selector}`")]
    NotListed {
        /// What was asked for.
        selector: Selector,
        /// What there is, the nearest first.
        available: Vec<KernelVersion>,
    },
    /// The series has only candidates so far.
    #[error("{series} has no release yet, only {candidate}")]
    OnlyCandidate {
        /// The series.
        series: Series,
        /// Its newest candidate.
        candidate: KernelVersion,
    },
    /// The version is newer than the newest of its series.
    #[error("{version} is not released yet: the newest is {newest}")]
    NotReleased {
        /// What was asked for.
        version: KernelVersion,
        /// What there is.
        newest: KernelVersion,
    },
    /// kernel.org has no tarball of such a version.
    #[error("kernel.org has no tarball of {version}")]
    NoTarball {
        /// What was asked for.
        version: KernelVersion,
    },
}

impl Error {
    /// The next step.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Json(_) | Error::Version(_) => {
                Some("name an exact version, such as `6.12.117`, which needs no list".to_owned())
            }
            Error::NotListed { available, .. } => {
                let names: Vec<String> = available.iter().map(ToString::to_string).collect();
                (!names.is_empty()).then(|| format!("there are {}", names.join(", ")))
            }
            Error::OnlyCandidate { candidate, .. } => {
                Some(format!("write `{candidate}` or `mainline` to build the candidate"))
            }
            Error::NotReleased { newest, .. } => Some(format!("write `{newest}`")),
            Error::NoTarball { .. } => Some(
                "linux-next, realtime and distributions' kernels come from git or from their own tarball"
                    .to_owned(),
            ),
        }
    }
}

#[derive(Deserialize)]
struct Listing {
    latest_stable: Latest,
    releases: Vec<Listed>,
}

#[derive(Deserialize)]
struct Latest {
    version: String,
}

#[derive(Deserialize)]
struct Listed {
    version: String,
    moniker: String,
    source: Option<String>,
    pgp: Option<String>,
    iseol: bool,
}

impl Releases {
    /// Reads kernel.org's `releases.json`.
    ///
    /// Entries of trees that have no releases, as linux-next, are left out.
    pub fn parse(text: &str) -> Result<Releases, Error> {
        let listing: Listing = serde_json::from_str(text).map_err(Error::Json)?;
        let latest_stable = listing
            .latest_stable
            .version
            .parse()
            .map_err(Error::Version)?;
        let mut releases = Vec::new();
        for listed in listing.releases {
            let moniker = match listed.moniker.as_str() {
                "mainline" => Moniker::Mainline,
                "stable" => Moniker::Stable,
                "longterm" => Moniker::Longterm,
                _ => continue,
            };
            let version: KernelVersion = listed.version.parse().map_err(Error::Version)?;
            let tarball = || Mirror::default().tarball(&version);
            let Some(url) = listed.source.or_else(tarball) else {
                continue;
            };
            releases.push(Release {
                version,
                url,
                pgp: listed.pgp,
                moniker: Some(moniker),
                eol: listed.iseol,
            });
        }
        releases.sort_by(|a, b| b.version.cmp(&a.version));
        Ok(Releases {
            latest_stable,
            releases,
        })
    }

    /// What is listed, the newest first.
    pub fn all(&self) -> &[Release] {
        &self.releases
    }

    /// The one release that is meant.
    ///
    /// An exact version need not be listed: kernel.org keeps them all, and lists the newest of each series.
    pub fn resolve(&self, selector: &Selector) -> Result<Release, Error> {
        let first = |fits: &dyn Fn(&Release) -> bool| {
            self.releases.iter().find(|release| fits(release)).cloned()
        };
        let of = |moniker| move |release: &Release| release.moniker == Some(moniker);
        let found = match selector {
            Selector::Exact(version) => return self.exact(version),
            Selector::Series(series) => {
                let newest = first(&|release| series.contains(&release.version));
                match newest {
                    Some(Release {
                        version: candidate, ..
                    }) if candidate.candidate().is_some() => {
                        return Err(Error::OnlyCandidate {
                            series: *series,
                            candidate,
                        });
                    }
                    found => found,
                }
            }
            Selector::Stable => first(&|release| release.version == self.latest_stable)
                .or_else(|| first(&of(Moniker::Stable))),
            Selector::Longterm => first(&|release| of(Moniker::Longterm)(release) && !release.eol),
            Selector::Mainline => first(&of(Moniker::Mainline)),
        };
        found.ok_or_else(|| Error::NotListed {
            selector: selector.clone(),
            available: self.nearest(selector),
        })
    }

    fn exact(&self, version: &KernelVersion) -> Result<Release, Error> {
        if let Some(release) = self
            .releases
            .iter()
            .find(|release| release.version == *version)
        {
            return Ok(release.clone());
        }
        let mirror = Mirror::default();
        let url = mirror.tarball(version).ok_or_else(|| Error::NoTarball {
            version: version.clone(),
        })?;
        let of_series = self
            .releases
            .iter()
            .find(|release| release.version.series() == version.series());
        // A series that is not listed is old, unless it is newer than all of them.
        let newest = of_series.or(self.releases.first());
        if let Some(newest) = newest.filter(|newest| newest.version < *version) {
            let (version, newest) = (version.clone(), newest.version.clone());
            return Err(Error::NotReleased { version, newest });
        }
        Ok(Release {
            version: version.clone(),
            url,
            pgp: mirror.signature(version),
            moniker: of_series.and_then(|release| release.moniker),
            eol: of_series.is_none_or(|release| release.eol),
        })
    }

    /// What is listed, by the distance of the series from the one that is asked for; else the newest first.
    fn nearest(&self, selector: &Selector) -> Vec<KernelVersion> {
        let mut versions: Vec<KernelVersion> = self
            .releases
            .iter()
            .map(|release| release.version.clone())
            .collect();
        if let Selector::Series(wanted) = selector {
            versions.sort_by_key(|version| {
                let major = version.major().abs_diff(wanted.major);
                (major, version.patchlevel().abs_diff(wanted.patchlevel))
            });
        }
        versions
    }
}

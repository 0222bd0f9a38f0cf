//! Where kernel.org, or a mirror laid out like it, keeps sources.

use super::KernelVersion;

/// Base URLs, without a slash at the end. [`Mirror::default`] is kernel.org.
///
/// No tarball of linux-next, of a realtime tree or of a distribution's kernel is there, nor are those
/// before 3.0 where the others are: the methods answer `None` for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// Of the releases: holds the directories `v6.x`.
    pub releases: String,
    /// Of the release candidates, which are cut from tags on request and have no signature.
    pub candidates: String,
    /// Of `releases.json`.
    pub index: String,
}

impl Default for Mirror {
    fn default() -> Mirror {
        Mirror {
            releases: "https://cdn.kernel.org/pub/linux/kernel".to_owned(),
            candidates: "https://git.kernel.org/torvalds/t".to_owned(),
            index: "https://www.kernel.org".to_owned(),
        }
    }
}

impl Mirror {
    /// A server that is laid out as kernel.org: it has `releases.json`, the releases below
    /// `pub/linux/kernel`, and the candidates below `torvalds/t`.
    pub fn at(url: &str) -> Mirror {
        let url = url.trim_end_matches('/');
        Mirror {
            releases: format!("{url}/pub/linux/kernel"),
            candidates: format!("{url}/torvalds/t"),
            index: url.to_owned(),
        }
    }

    /// The list of current releases, which [`super::Releases::parse`] reads.
    pub fn index(&self) -> String {
        format!("{}/releases.json", self.index)
    }

    /// The source tarball: `….tar.xz` of a release, `….tar.gz` of a candidate.
    pub fn tarball(&self, version: &KernelVersion) -> Option<String> {
        let name = version.tree_name();
        if is_candidate(version) {
            Some(format!("{}/{name}.tar.gz", self.candidates))
        } else {
            Some(format!("{}/{name}.tar.xz", self.directory(version)?))
        }
    }

    /// The detached PGP signature of a release: it covers the tar, uncompressed.
    pub fn signature(&self, version: &KernelVersion) -> Option<String> {
        Some(format!(
            "{}/{}.tar.sign",
            self.directory(version)?,
            version.tree_name()
        ))
    }

    /// The signed list of the SHA-256 sums of every release of the same major number.
    pub fn checksums(&self, version: &KernelVersion) -> Option<String> {
        Some(format!("{}/sha256sums.asc", self.directory(version)?))
    }

    fn directory(&self, version: &KernelVersion) -> Option<String> {
        let released = version.extra().is_empty() && version.major() >= 3;
        released.then(|| format!("{}/v{}.x", self.releases, version.major()))
    }
}

fn is_candidate(version: &KernelVersion) -> bool {
    version
        .candidate()
        .is_some_and(|number| version.extra() == format!("-rc{number}"))
}

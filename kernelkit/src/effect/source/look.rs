//! What sources name at this moment, asked where they come from: no tree is fetched for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Context, Error, debian, git, tarball};
use crate::source::Source;
use crate::version::Releases;
use crate::watch;

/// Looks at the sources of several kernels: at each once, and at kernel.org's list once for all of them.
///
/// Errors are shared, for one server that is down is the reason for every kernel from there.
pub struct Looks<'a> {
    context: Context<'a>,
    releases: Option<Result<Releases, Arc<Error>>>,
    seen: BTreeMap<String, Result<String, Arc<Error>>>,
}

impl<'a> Looks<'a> {
    /// A request that fails is not sent again: whoever looks, looks again later.
    pub fn new(context: Context<'a>) -> Self {
        Looks {
            context: Context {
                attempts: 1,
                ..context
            },
            releases: None,
            seen: BTreeMap::new(),
        }
    }

    /// What `source` names now: a version or a commit. [`None`] where it always names the
    /// same, or where only its files tell.
    pub fn look(&mut self, source: &Source) -> Option<Result<String, Arc<Error>>> {
        if watch::stays(source).is_some() {
            return None;
        }
        let key = source.to_string();
        if let Some(seen) = self.seen.get(&key) {
            return Some(seen.clone());
        }
        let seen = self.ask(source)?;
        self.seen.insert(key, seen.clone());
        Some(seen)
    }

    fn ask(&mut self, source: &Source) -> Option<Result<String, Arc<Error>>> {
        let context = &self.context;
        let source = &context.environment.credentials.learn(source);
        match source {
            Source::Release { selector } => {
                let releases = self
                    .releases
                    .get_or_insert_with(|| tarball::fetch_releases(context).map_err(Arc::new));
                Some(match releases {
                    Ok(releases) => newest(selector, releases).map_err(Arc::new),
                    Err(error) => Err(Arc::clone(error)),
                })
            }
            Source::Git {
                repository,
                reference,
            } => Some(git::look(repository, reference, context).map_err(Arc::new)),
            Source::Debian { package, .. } => {
                Some(debian::look(package, context).map_err(Arc::new))
            }
            Source::Directory { .. } | Source::Tarball { .. } => None,
        }
    }
}

fn newest(selector: &str, releases: &Releases) -> Result<String, Error> {
    let selector = selector.parse().map_err(Error::Selector)?;
    let release = releases.resolve(&selector).map_err(Error::Releases)?;
    Ok(release.version.to_string())
}

//! A directory of the user's as source: a plain one, or a git work tree.

use camino::Utf8Path;

use super::{Context, Error, LabelHint, Progress, Tree, Verification, kernel, scan};
use crate::source::{Sha256, Source};

pub(super) fn prepare(
    path: &Utf8Path,
    context: &Context<'_>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Tree, Error> {
    let (version, localversion) = kernel::identify(path)?;
    kernel::refuse_built(path)?;
    let cache = context
        .environment
        .cache_dir
        .join("scan")
        .join(Sha256::of(path.as_str().as_bytes()).to_string());
    let scan = scan::scan(path, &cache, &scan::Everything, &mut |done, total| {
        progress(Progress::Reading { done, total });
    })?;
    Ok(Tree {
        dir: path.to_owned(),
        id: scan.id,
        version,
        localversion,
        commit: None,
        label: LabelHint::Directory,
        dirty: false,
        pinned: false,
        verification: Verification::Unverified,
        resolved: Source::Directory {
            path: path.to_owned(),
        },
        description: path.to_string(),
    })
}

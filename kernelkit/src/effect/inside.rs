//! Keeps writes and deletions inside of the directories that are ours.
//!
//! An untrusted repository may hold a link in the place of `kernel.lock.d` or of a directory of
//! `target`; following it would write to, or delete, files of the user outside. Every function of
//! [`fs`](super::fs) that changes something asks here first. Our directories (the target directory, the
//! store, the cache, the workspace for its lock) may be reached through links, which the user has made;
//! below them no link may lead out. Links in the way of a *read* are not looked at.

use std::collections::BTreeMap;
use std::io;
use std::sync::{PoisonError, RwLock};

use camino::{Utf8Path, Utf8PathBuf};

/// A link that leads out of the directory that it lies in.
#[derive(Debug, thiserror::Error)]
#[error("the link {link} leads out of {root}, to {target}")]
pub struct LeadsOut {
    /// The link.
    pub link: Utf8PathBuf,
    /// Where it leads.
    pub target: Utf8PathBuf,
    /// What it should have stayed in.
    pub root: Utf8PathBuf,
}

impl LeadsOut {
    /// What to do next.
    pub(super) fn hint(&self) -> String {
        let LeadsOut { link, root, .. } = self;
        format!(
            "nothing is written or removed behind it: remove the link (`rm {link}`), and look who has made it; to have all of {root} on another disk, make that directory itself the link"
        )
    }
}

/// By what we write to: the directory that must not be left.
static ROOTS: RwLock<BTreeMap<Utf8PathBuf, Utf8PathBuf>> = RwLock::new(BTreeMap::new());

/// Whether a change at a path touches what a link there leads to, or the link itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Last {
    /// A directory or file is written to or listed: a link is followed.
    Followed,
    /// The name is made, replaced or removed: a link is not followed.
    Itself,
}

/// From now on, nothing that is written below `area` leaves `root`, which is `area` or a directory above it.
pub(super) fn keep(area: &Utf8Path, root: &Utf8Path) {
    let known = ROOTS.read().unwrap_or_else(PoisonError::into_inner);
    if known.get(area).is_some_and(|known| known == root) {
        return;
    }
    drop(known);
    let mut roots = ROOTS.write().unwrap_or_else(PoisonError::into_inner);
    roots.insert(area.to_owned(), root.to_owned());
}

/// Refuses a change at `path` where a link on the way leads out.
pub(super) fn check(path: &Utf8Path, last: Last) -> io::Result<()> {
    let root = {
        let roots = ROOTS.read().unwrap_or_else(PoisonError::into_inner);
        if roots.is_empty() {
            return Ok(());
        }
        // The innermost area is the one that counts.
        path.ancestors().find_map(|above| roots.get(above)).cloned()
    };
    match root {
        Some(root) => follow(path, &root, last).map_err(io::Error::other),
        None => Ok(()),
    }
}

fn follow(path: &Utf8Path, root: &Utf8Path, last: Last) -> Result<(), LeadsOut> {
    let Ok(below) = path.strip_prefix(root) else {
        return Ok(());
    };
    let mut place = root.to_owned();
    let count = below.components().count();
    for (index, component) in below.components().enumerate() {
        place.push(component.as_str());
        if index + 1 == count && last == Last::Itself {
            break;
        }
        let Ok(metadata) = place.symlink_metadata() else {
            // What is not there is made by us.
            break;
        };
        if !metadata.is_symlink() {
            continue;
        }
        // A link to nowhere leads where it says.
        let target = place
            .canonicalize_utf8()
            .or_else(|_| place.read_link_utf8().map(|to| place.with_file_name(to)));
        let target = target.unwrap_or_else(|_| place.clone());
        let real = root.canonicalize_utf8();
        if !target.starts_with(real.as_deref().unwrap_or(root)) || place.metadata().is_err() {
            return Err(LeadsOut {
                link: place,
                target,
                root: root.to_owned(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::fs;
    use super::*;

    /// A directory of ours behind a link, and one of the user's beside it.
    fn place() -> (tempfile::TempDir, Utf8PathBuf, Utf8PathBuf) {
        let guard = tempfile::tempdir().unwrap();
        let top = Utf8Path::from_path(guard.path()).unwrap();
        let top = top.canonicalize_utf8().unwrap();
        for directory in ["disk/a/b", "precious/b"] {
            fs::create_dir_all(top.join(directory)).unwrap();
        }
        std::fs::write(top.join("precious/b/key"), "key").unwrap();
        std::fs::write(top.join("disk/a/b/key"), "own").unwrap();
        symlink("disk", top.join("ours")).unwrap();
        keep(&top.join("ours"), &top.join("ours"));
        (guard, top.join("ours"), top.join("precious"))
    }

    /// Every change that the module of files offers, below `directory`.
    type Change = fn(&Utf8Path) -> Result<(), fs::Error>;
    const CHANGES: [(&str, Change); 10] = [
        ("create_dir_all", |at| fs::create_dir_all(at.join("new"))),
        ("write_atomic", |at| fs::write_atomic(at.join("key"), b"x")),
        ("write_new", |at| {
            fs::write_new(at.join("new"), b"x").map(drop)
        }),
        ("write_if_changed", |at| {
            fs::write_if_changed(at.join("key"), b"x").map(drop)
        }),
        ("remove_file", |at| fs::remove_file(at.join("key"))),
        ("remove_dir_all", |at| fs::remove_dir_all(at.join("b"))),
        ("copy", |at| fs::copy("/etc/hostname", at.join("key"))),
        ("copy_hashing", |at| {
            fs::copy_hashing("/etc/hostname", at.join("new")).map(drop)
        }),
        ("symlink_atomic", |at| {
            fs::symlink_atomic("x", at.join("key"))
        }),
        ("rename", |at| fs::rename(at.join("key"), at.join("other"))),
    ];

    #[test]
    fn no_change_follows_a_link_out_of_our_directories() {
        // The link is the directory itself, one above it, one above that, and one that leads nowhere yet.
        for (link, target, at) in [
            ("out", "../precious/b", "out"),
            ("out", "../precious", "out/b"),
            ("a/out", "../../precious", "a/out/b"),
            ("absolute", "PRECIOUS", "absolute/b"),
            ("a/b/chain", "../../second", "a/b/chain/b"),
            ("dangling", "../precious/new", "dangling"),
        ] {
            let (_guard, ours, precious) = place();
            symlink(&precious, ours.join("second")).unwrap();
            let to = match target {
                "PRECIOUS" => precious.as_str(),
                target => target,
            };
            symlink(to, ours.join(link)).unwrap();
            for (name, change) in CHANGES {
                let error = change(&ours.join(at)).unwrap_err();
                let text = error.source.to_string();
                let first = format!("the link {} leads out of {ours}, to ", ours.join(link));
                assert!(text.starts_with(&first), "{name} {at}: {text}");
                assert!(
                    error
                        .hint()
                        .unwrap()
                        .contains(&format!("rm {}", ours.join(link)))
                );
            }
            let left = std::fs::read(precious.join("b/key")).unwrap();
            assert_eq!(left, b"key", "{at}");
            let names = fs::file_names(precious.join("b")).unwrap();
            assert_eq!(names, ["key"], "{at}");
            assert!(!precious.join("new").exists());
        }
    }

    #[test]
    fn links_above_and_inside_are_the_users() {
        for (name, change) in CHANGES {
            let (_guard, ours, _) = place();
            symlink("a", ours.join("inside")).unwrap();
            std::fs::write(ours.join("a/key"), "own").unwrap();
            change(&ours.join("inside")).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        }
        // A link goes, or is replaced, without what it leads to.
        let (_guard, ours, precious) = place();
        for change in [
            (|at: &Utf8Path| fs::remove_file(at)) as Change,
            |at| fs::write_atomic(at, b"x"),
            |at| fs::remove_dir_all(at),
        ] {
            let _ = std::fs::remove_file(ours.join("out"));
            symlink(&precious, ours.join("out")).unwrap();
            change(&ours.join("out")).unwrap();
            assert!(!ours.join("out").is_symlink());
            assert!(precious.join("b/key").exists());
        }
    }
}

//! Symbolic links of a tree. What is behind one that leads out of the tree counts as if it were in the link's
//! place, for the compiler reads it. A link within the tree stays what git makes of it, its text; what it leads
//! to counts where it is, even if git ignores it.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use camino::Utf8Path;
use rustix::fs::{AtFlags, CWD, FileType, statat};

use super::scan::{Error, Selection, stamp_of, walk_without};
use crate::effect::fs;
use crate::source::snapshot::{Directory, Snapshot};
use crate::source::tree::Kind;
use crate::source::unlisted::{Unlisted, is_elsewhere, is_entered, is_read_behind};

/// A link that leads out of the tree.
#[derive(Debug)]
pub(in crate::effect) struct Link {
    /// From the top of the tree.
    path: Vec<u8>,
    /// Where it leads, without links.
    target: PathBuf,
    is_directory: bool,
    /// Whether git lists it.
    pub(super) listed: bool,
}

impl Link {
    /// Whether it leads to what is found at `path` of the tree.
    pub(super) fn leads_to(&self, path: &[u8]) -> bool {
        path.strip_prefix(&self.path[..])
            .is_some_and(|rest| match self.is_directory {
                true => rest.first() == Some(&b'/'),
                false => rest.is_empty(),
            })
    }
}

impl std::fmt::Display for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = String::from_utf8_lossy(&self.path);
        write!(f, "{path} -> {}", self.target.display())
    }
}

/// How many links may lead from one to the next.
const DEPTH: usize = 8;

/// Puts what is behind links that lead out of `root` in their place, and returns those links. Of links
/// that `selection` does not list, those lead on that Kbuild can be told to enter.
pub(super) fn follow(
    root: &Utf8Path,
    snapshot: &mut Snapshot,
    selection: &dyn Selection,
) -> Result<Vec<Link>, super::Error> {
    let top = fs::real_path(root).into_std_path_buf();
    let mut links = leaving(&top, &top, b"", snapshot);
    if links.is_empty() {
        return Ok(links);
    }
    let paths: Vec<&[u8]> = links.iter().map(|link| &link.path[..]).collect();
    let listed: HashSet<Vec<u8>> = selection.select_among(&paths)?;
    for link in &mut links {
        // Git is not asked about what a command line cannot name.
        link.listed = listed.contains(&link.path) || std::str::from_utf8(&link.path).is_err();
    }
    links.retain(|link| link.listed || is_of_use(link, &top));
    let mut behind = Vec::new();
    for link in &links {
        if link.is_directory && top.starts_with(&link.target) {
            return Err(Error::Around {
                path: root.join(String::from_utf8_lossy(&link.path).as_ref()),
                target: link.target.to_string_lossy().into_owned().into(),
            }
            .into());
        }
        expand(
            root,
            &top,
            link,
            &mut vec![link.target.clone()],
            &mut behind,
        )?;
    }
    replace(snapshot, &links, behind);
    Ok(links)
}

/// A directory of a top that git does not list is taken for one of the tree's where Kbuild can enter it;
/// another build directory, or what holds the tree itself, never is.
fn is_of_use(link: &Link, top: &Path) -> bool {
    if !link.is_directory {
        return true;
    }
    let Ok(entries) = std::fs::read_dir(&link.target) else {
        return false;
    };
    let names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    let has = |is: fn(&[u8]) -> bool| names.iter().any(|name| is(name.as_bytes()));
    (link.path.contains(&b'/') || has(is_entered))
        && !has(is_elsewhere)
        && !top.starts_with(&link.target)
}

/// The links of `snapshot` that lead out of `home`, where `prefix` is, and out of the tree. Those that
/// lead nowhere, or in a circle, are only their text.
fn leaving(top: &Path, home: &Path, prefix: &[u8], snapshot: &Snapshot) -> Vec<Link> {
    let mut links = Vec::new();
    for (directory, file) in snapshot.files() {
        if file.stamp.kind != Kind::Symlink {
            continue;
        }
        let path = directory.path_of(file);
        let Ok(target) = std::fs::canonicalize(home.join(OsStr::from_bytes(&path))) else {
            continue;
        };
        if target.starts_with(top) || target.starts_with(home) {
            continue;
        }
        let Ok(metadata) = std::fs::metadata(&target) else {
            continue;
        };
        if metadata.is_dir() || metadata.is_file() {
            links.push(Link {
                path: [prefix, &path].concat(),
                target,
                is_directory: metadata.is_dir(),
                listed: true,
            });
        }
    }
    links
}

/// Lists what is behind a link, links in there that lead further on included. `way` has the directories
/// that led here: one that leads back to them is only its text.
fn expand(
    root: &Utf8Path,
    top: &Path,
    link: &Link,
    way: &mut Vec<PathBuf>,
    behind: &mut Vec<Directory>,
) -> Result<(), Error> {
    let split = link
        .path
        .iter()
        .rposition(|byte| *byte == b'/')
        .map_or(0, |at| at + 1);
    if !link.is_directory {
        let stat = statat(CWD, &link.target, AtFlags::empty()).map_err(|source| {
            Error::Fs(fs::Error {
                action: "read",
                path: root.join(String::from_utf8_lossy(&link.path).as_ref()),
                source: source.into(),
            })
        })?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
            let mut directory = Directory::new(link.path[..split].to_vec());
            directory.push(&link.path[split..], stamp_of(&stat), None);
            behind.push(directory);
        }
        return Ok(());
    }
    let shown = link.target.to_string_lossy();
    let mut found = walk_without(Utf8Path::new(&shown), &[])?;
    let prefix = [&link.path[..], b"/"].concat();
    let mut further = match way.len() < DEPTH {
        true => leaving(top, &link.target, &prefix, &found),
        false => Vec::new(),
    };
    further.retain(|link| {
        !top.starts_with(&link.target) && !way.iter().any(|passed| passed.starts_with(&link.target))
    });
    for directory in &mut found.directories {
        directory.path.splice(0..0, prefix.iter().copied());
    }
    let mut deeper = Vec::new();
    for link in &further {
        way.push(link.target.clone());
        expand(root, top, link, way, &mut deeper)?;
        way.pop();
    }
    replace(&mut found, &further, deeper);
    behind.extend(found.directories);
    Ok(())
}

/// A link that leads to a file or directory of the tree.
#[derive(Debug)]
pub(super) struct Inner {
    /// From the top of the tree, as the following.
    path: Vec<u8>,
    /// The links on the way.
    passed: Vec<Vec<u8>>,
    /// The real path; a directory's ends in a slash.
    target: Vec<u8>,
}

/// As many as Linux follows in one path (`MAXSYMLINKS`).
const PASSED: usize = 40;

/// The links of `snapshot` that lead to something else in the tree.
pub(super) fn within(root: &Utf8Path, snapshot: &Snapshot) -> Vec<Inner> {
    let top = fs::real_path(root).into_std_path_buf();
    let links = snapshot
        .files()
        .filter(|(_, file)| file.stamp.kind == Kind::Symlink);
    links
        .filter_map(|(directory, file)| {
            let path = directory.path_of(file);
            let (passed, target) = resolve(&top, &path)?;
            // Behind a link to what holds it there are only paths that have another name already.
            (!path.starts_with(&target)).then_some(Inner {
                path,
                passed,
                target,
            })
        })
        .collect()
}

/// The links on the way of a path to where it leads, itself included, and that place; `None` where that is
/// not in the tree. All is from the top.
fn resolve(top: &Path, path: &[u8]) -> Option<(Vec<Vec<u8>>, Vec<u8>)> {
    let mut open: Vec<Vec<u8>> = parts(path);
    let mut done = top.to_path_buf();
    let mut passed = Vec::new();
    let mut links = 0;
    while let Some(part) = open.pop() {
        if part == b".." {
            done.pop();
            continue;
        }
        let next = done.join(OsStr::from_bytes(&part));
        let Ok(text) = std::fs::read_link(&next) else {
            done = next;
            continue;
        };
        links += 1;
        if links > PASSED {
            return None;
        }
        if let Ok(inside) = next.strip_prefix(top) {
            passed.push(inside.as_os_str().as_bytes().to_vec());
        }
        if text.is_absolute() {
            done = PathBuf::from("/");
        }
        open.extend(parts(text.as_os_str().as_bytes()));
    }
    let metadata = std::fs::symlink_metadata(&done).ok()?;
    let mut target = done.strip_prefix(top).ok()?.as_os_str().as_bytes().to_vec();
    if metadata.is_dir() && !target.is_empty() {
        target.push(b'/');
    }
    Some((passed, target))
}

/// The components of a path, the first one last.
fn parts(path: &[u8]) -> Vec<Vec<u8>> {
    let parts = path.rsplit(|byte| *byte == b'/');
    parts
        .filter(|part| !part.is_empty() && *part != b".")
        .map(<[u8]>::to_vec)
        .collect()
}

/// Adds to `chosen`, which has an answer for each file of `snapshot` in order, the files that count because
/// links within the tree lead to them, and the links on the way.
pub(super) fn choose(
    chosen: &mut [bool],
    snapshot: &Snapshot,
    unlisted: &Unlisted<'_>,
    links: &[Inner],
) {
    let starts: Vec<usize> = snapshot
        .directories
        .iter()
        .scan(0, |next, directory| {
            let start = *next;
            *next += directory.files.len();
            Some(start)
        })
        .collect();
    let at = |path: &[u8]| {
        let split = path.iter().rposition(|byte| *byte == b'/');
        let (parent, name) = path.split_at(split.map_or(0, |at| at + 1));
        let directories = &snapshot.directories;
        let at = directories
            .binary_search_by(|directory| directory.path[..].cmp(parent))
            .ok()?;
        let directory = &directories[at];
        let file = directory
            .files
            .binary_search_by(|file| directory.name(file).cmp(name));
        Some(starts[at] + file.ok()?)
    };
    // The files of a directory and of those in it that a build can read, by number.
    let behind = |target: &[u8]| -> Vec<usize> {
        let directories = &snapshot.directories;
        let first = directories.partition_point(|directory| &directory.path[..] < target);
        let below = directories[first..]
            .iter()
            .zip(&starts[first..])
            .take_while(|(directory, _)| directory.path.starts_with(target));
        below
            .flat_map(|(directory, start)| {
                let files = directory.files.iter().zip(*start..);
                files.filter(|(file, _)| is_read_behind(&directory.path_of(file)[target.len()..]))
            })
            .map(|(_, at)| at)
            .collect()
    };
    let mut open: Vec<(&Inner, usize)> = links
        .iter()
        .filter_map(|link| Some((link, at(&link.path)?)))
        .collect();
    // A file that counts by one link can be another one.
    loop {
        let before = open.len();
        open.retain(|(link, place)| {
            let is_directory = link.target.ends_with(b"/");
            let files = match is_directory {
                true => behind(&link.target),
                false => at(&link.target).into_iter().collect(),
            };
            if !chosen[*place] {
                let names = snapshot
                    .directories
                    .iter()
                    .filter(|directory| directory.path == link.target)
                    .flat_map(|directory| directory.files.iter().map(|file| directory.name(file)));
                if !is_directory || files.is_empty() || !unlisted.follows(&link.path, names) {
                    return true;
                }
            }
            let passed = link.passed.iter().filter_map(|path| at(path));
            for file in files.into_iter().chain(passed) {
                chosen[file] = true;
            }
            false
        });
        if open.len() == before {
            return;
        }
    }
}

/// Takes `links` out of `snapshot` and puts `behind` in.
fn replace(snapshot: &mut Snapshot, links: &[Link], behind: Vec<Directory>) {
    let gone: HashSet<&[u8]> = links.iter().map(|link| &link.path[..]).collect();
    snapshot.remove(|path| gone.contains(path));
    for directory in behind {
        snapshot.add_followed(directory);
    }
    snapshot
        .directories
        .sort_unstable_by(|a, b| a.path.cmp(&b.path));
}

//! What the objects of a build directory were compiled from: the content of every file of the source, beside the
//! directory. Before make runs, objects go whose files have another content now, whatever the times say; make
//! compiles them again. So a directory that was renamed, a file with an old date or an edit during a compile leaves
//! no stale object.
//!
//! The record has one of two states. Of a build that finished, files are compared by content: they were seen before
//! and after it, and nothing wrote to them in between. Of a build that did not finish, or whose source changed under
//! it, nobody knows which content an object has, so a file counts as changed unless device times, inode and size are
//! what they were when the build began.
//!
//! Which object depends on which file is read from Kbuild's `.cmd` files. A changed file that none of them names is
//! left to make where make reads it each time or cannot miss it; else everything is compiled again.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::SystemTime;

use camino::{Utf8Path, Utf8PathBuf};

use super::dependencies::{command_files, lines, object_of, paths};
use super::fs;
use crate::manifest::Dirs;
use crate::source::snapshot::{File, Snapshot, Time};
use crate::source::tree::Kind;
use crate::source::unlisted;

/// The record, beside the build directory.
const RECORD: &str = "contents";

/// The names of the source's headers, which ccache hashes with each file: it knows which headers an object was
/// made of, and not that a new one comes before one of them (ccache(1), "Caveats").
pub(super) const HEADERS: &str = "ccache-headers";

/// Whether the build of a record came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It began.
    Building,
    /// It finished, and the source is what it was when it began.
    Finished,
}

/// What a build directory was last compiled from.
pub(super) struct Record {
    state: State,
    files: Snapshot,
}

impl Record {
    pub(super) fn state(&self) -> State {
        self.state
    }
}

/// What has to go before make runs.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stale {
    /// Nothing.
    Nothing,
    /// These objects.
    Objects(Vec<Object>),
    /// Everything, because this file changed and make would not notice.
    Everything(Utf8PathBuf),
}

/// An object to be compiled again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Object {
    /// From the top of the build directory.
    pub(super) object: Utf8PathBuf,
    /// Its `.cmd` file.
    command: Utf8PathBuf,
    /// The file of the source that changed.
    pub(super) changed: Utf8PathBuf,
}

/// Reads the record; `None` where there is none, or it is damaged or about another source.
pub(super) fn read(dirs: &Dirs) -> Result<Option<Record>, fs::Error> {
    let bytes = fs::read_optional(dirs.beside_build(RECORD))?;
    Ok(bytes.and_then(|bytes| {
        let (header, files) = Snapshot::decode(&bytes)?;
        let header = String::from_utf8(header).ok()?;
        let (state, source) = header.split_once(' ')?;
        let state = match state {
            "building" => State::Building,
            "finished" => State::Finished,
            _ => return None,
        };
        (source == dirs.source).then_some(Record { state, files })
    }))
}

/// Writes the record.
pub(super) fn write(dirs: &Dirs, state: State, files: &Snapshot) -> Result<(), fs::Error> {
    let state = match state {
        State::Building => "building",
        State::Finished => "finished",
    };
    let header = format!("{state} {}", dirs.source);
    fs::write_atomic(dirs.beside_build(RECORD), &files.encode(header.as_bytes()))
}

/// Writes [`HEADERS`], empty where the files are not known.
pub(super) fn write_headers(dirs: &Dirs, now: Option<&Snapshot>) -> Result<(), fs::Error> {
    let mut names = Vec::new();
    for (directory, file) in now.iter().flat_map(|now| now.files()) {
        let name = directory.name(file);
        let kind = name.rsplit(|byte| *byte == b'.').next();
        if file.blob.is_some() && matches!(kind, Some(b"h" | b"inc" | b"def" | b"dtsi")) {
            names.extend_from_slice(&directory.path_of(file));
            names.push(b'\n');
        }
    }
    fs::write_if_changed(dirs.beside_build(HEADERS), &names)?;
    Ok(())
}

/// Removes the record: nothing is known of the objects.
pub(super) fn forget(dirs: &Dirs) -> Result<(), fs::Error> {
    fs::remove_file(dirs.beside_build(RECORD))
}

/// The files that changed between two looks, the first of them the record's.
pub(super) fn changed(record: &Record, now: &Snapshot) -> Changes {
    let same = |before: &File, now: &File| match record.state {
        State::Finished => before.stamp.kind == now.stamp.kind && before.blob == now.blob,
        State::Building => before.stamp == now.stamp && before.blob == now.blob,
    };
    compare(&record.files, now, same)
}

/// The files that somebody wrote to between two looks, with the same content in the end or with another.
pub(super) fn touched(before: &Snapshot, after: &Snapshot) -> Changes {
    compare(before, after, |before, after| {
        before.stamp == after.stamp && before.blob == after.blob
    })
}

/// Files that differ between two looks at a source.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// From the top of the source: with the time of their last change now, where they are there.
    files: BTreeMap<Utf8PathBuf, Option<Time>>,
    /// Those of them that are links, before or now.
    links: Vec<Utf8PathBuf>,
    /// The names of those that were not there before: a header can stand in for another of its name.
    added: HashSet<String>,
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The first of them, for messages.
    pub(super) fn first(&self) -> Option<&Utf8Path> {
        self.files.keys().next().map(Utf8PathBuf::as_path)
    }

    /// Adds every file of a directory that was elsewhere meanwhile.
    pub(super) fn add_below(&mut self, directory: &Utf8Path, now: &Snapshot) {
        for (parent, file) in now.files().filter(|(_, file)| file.blob.is_some()) {
            let path = parent.path_of(file);
            let path = String::from_utf8_lossy(&path);
            if Utf8Path::new(&path).starts_with(directory) {
                self.push(&path, Some(file), Some(file));
            }
        }
    }

    fn push(&mut self, path: &str, before: Option<&File>, now: Option<&File>) {
        let path = Utf8PathBuf::from(path);
        let is_link =
            |file: Option<&File>| file.is_some_and(|file| file.stamp.kind == Kind::Symlink);
        if is_link(before) || is_link(now) {
            self.links.push(path.clone());
        }
        if before.is_none()
            && let Some(name) = path.file_name()
        {
            self.added.insert(name.to_owned());
        }
        self.files.insert(path, now.map(|file| file.stamp.modified));
    }
}

fn compare(before: &Snapshot, now: &Snapshot, same: impl Fn(&File, &File) -> bool) -> Changes {
    // Files that no id covers are nothing that is compiled.
    fn list(snapshot: &Snapshot) -> HashMap<Vec<u8>, &File> {
        let files = snapshot.files().filter(|(_, file)| file.blob.is_some());
        files
            .map(|(directory, file)| (directory.path_of(file), file))
            .collect()
    }
    let (before, now) = (list(before), list(now));
    let mut changes = Changes::default();
    for (path, file) in &now {
        let earlier = before.get(path).copied();
        if !earlier.is_some_and(|earlier| same(earlier, file)) {
            changes.push(&String::from_utf8_lossy(path), earlier, Some(file));
        }
    }
    for (path, file) in &before {
        if !now.contains_key(path) {
            changes.push(&String::from_utf8_lossy(path), Some(file), None);
        }
    }
    changes
}

/// What of the build directory was made from files that changed. `since` is when it was compiled last.
pub(super) fn stale(
    dirs: &Dirs,
    now: &Snapshot,
    changes: &Changes,
    since: Option<SystemTime>,
) -> Result<Stale, fs::Error> {
    if changes.is_empty() {
        return Ok(Stale::Nothing);
    }
    let tree = Tree::new(dirs, now, changes);
    let mut objects = BTreeSet::new();
    let mut named = HashSet::new();
    // Every object names nearly the same headers.
    let mut known: HashMap<String, Vec<Utf8PathBuf>> = HashMap::new();
    for command in command_files(&dirs.build)? {
        let text = fs::read(&command)?;
        let text = String::from_utf8_lossy(&text);
        let mut reason = None;
        for line in lines(&text) {
            if !known.contains_key(line) {
                let found = paths(line).filter_map(|word| tree.changed(word)).collect();
                known.insert(line.to_owned(), found);
            }
            for path in &known[line] {
                named.insert(path.clone());
                reason.get_or_insert_with(|| path.clone());
            }
        }
        if let Some(changed) = reason {
            objects.insert(Object {
                object: object_of(&command, &dirs.build),
                command,
                changed,
            });
        }
    }
    let missed = changes.files.iter().find(|(path, modified)| {
        !named.contains(*path) && !is_make_s(path) && !is_newer(**modified, since)
    });
    Ok(match missed {
        Some((path, _)) => Stale::Everything(path.clone()),
        None if objects.is_empty() => Stale::Nothing,
        None => Stale::Objects(objects.into_iter().collect()),
    })
}

/// Whether a file that no `.cmd` file names is none that an object can be stale by: make reads it anew each
/// time, nobody compiles it, or it would be named.
fn is_make_s(path: &Utf8Path) -> bool {
    const COMPILED: [&str; 8] = ["c", "h", "S", "s", "rs", "dts", "dtsi", "dtso"];
    const READ: [&str; 3] = ["rst", "txt", "md"];
    let name = path.file_name().unwrap_or_default();
    let is = |kinds: &[&str]| path.extension().is_some_and(|kind| kinds.contains(&kind));
    let first = path.iter().next().unwrap_or_default();
    if first == "tools" {
        return !unlisted::is_built_tool(path.as_str().as_bytes());
    }
    ["Makefile", "Kbuild", "Kconfig"]
        .iter()
        .any(|stem| name.starts_with(stem))
        || is(&COMPILED)
        || is(&READ)
        || name.starts_with(".git")
        || ["Documentation", "LICENSES"].contains(&first)
        || ["COPYING", "CREDITS", "MAINTAINERS", "README"].contains(&path.as_str())
}

/// Whether make sees by its time that a file changed since; one that is gone is missed by who needs it.
fn is_newer(modified: Option<Time>, since: Option<SystemTime>) -> bool {
    match (modified, since) {
        (None, _) => true,
        (Some(modified), Some(since)) => modified > Time::from(since),
        (Some(_), None) => false,
    }
}

/// Removes objects, and what Kbuild noted of them.
pub(super) fn remove(dirs: &Dirs, objects: &[Object]) -> Result<(), fs::Error> {
    for one in objects {
        fs::remove_file(dirs.build.join(&one.object))?;
        fs::remove_file(&one.command)?;
    }
    Ok(())
}

/// The paths of a source that changed, and the ways that lead to them.
struct Tree<'a> {
    dirs: &'a Dirs,
    changes: &'a Changes,
    /// The source without links.
    real: Utf8PathBuf,
    /// Every link of the tree.
    links: Vec<String>,
}

impl<'a> Tree<'a> {
    fn new(dirs: &'a Dirs, now: &Snapshot, changes: &'a Changes) -> Self {
        let links = now
            .files()
            .filter(|(_, file)| file.stamp.kind == Kind::Symlink)
            .map(|(directory, file)| {
                String::from_utf8_lossy(&directory.path_of(file)).into_owned()
            });
        Tree {
            dirs,
            changes,
            real: fs::real_path(&dirs.source),
            links: links.collect(),
        }
    }

    /// The changed file that a word of a `.cmd` file names, or may have to name from now on.
    fn changed(&self, word: &str) -> Option<Utf8PathBuf> {
        let path = match word.strip_prefix("../") {
            Some(_) => self.dirs.build.join(word).canonicalize_utf8().ok()?,
            None => Utf8PathBuf::from(word),
        };
        let inside = path
            .strip_prefix(&self.dirs.source)
            .or_else(|_| path.strip_prefix(&self.real))
            .ok()?;
        if self.changes.files.contains_key(inside) {
            return Some(inside.to_owned());
        }
        let below = |link: &str| Utf8Path::new(link) == inside || inside.starts_with(link);
        if let Some(link) = self.changes.links.iter().find(|link| below(link.as_str())) {
            return Some(link.clone());
        }
        let is_indirect =
            inside.as_str().contains("..") || self.links.iter().any(|link| below(link));
        if is_indirect
            && let Ok(real) = path.canonicalize_utf8()
            && let Ok(inside) = real.strip_prefix(&self.real)
            && self.changes.files.contains_key(inside)
        {
            return Some(inside.to_owned());
        }
        let name = inside.file_name()?;
        let stands_in = self.changes.added.contains(name);
        stands_in.then(|| inside.to_owned())
    }
}

/// Drops what ccache wrote or used since a build began whose source changed under it: it hashes a file and has the
/// compiler read it again, so an entry can have the object of another text. Returns how many entries went.
pub(super) fn drop_from_ccache(dir: &Utf8Path, since: SystemTime) -> Result<usize, fs::Error> {
    let mut gone = 0;
    if !dir.is_dir() {
        return Ok(0);
    }
    for entry in fs::below(dir) {
        let Ok(entry) = entry else {
            // Other builds work in it at the same time.
            continue;
        };
        // Results and manifests; statistics and settings stay.
        if !entry.file_name().ends_with(['R', 'M']) {
            continue;
        }
        if fs::modified(entry.path())?.is_some_and(|time| time >= since) {
            fs::remove_file(entry.path())?;
            gone += 1;
        }
    }
    Ok(gone)
}

#[cfg(test)]
pub(super) mod tests;

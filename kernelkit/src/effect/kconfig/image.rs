//! Trees that were read, kept for the next time.
//!
//! What a load does follows from the variables and probes it asked for and the files it
//! read. A kept model holds while all of these are what they were: a file by its path,
//! inode, size and times, as git's index does it.

use std::collections::BTreeMap;
use std::io::{BufReader, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use flate2::CrcReader;
use sha2::Digest as _;

use super::super::{environment, fs};
use super::TreeReader;
use super::probe::{Prober, Record, hex};
use crate::kconfig::{Dialect, Error, Kconfig};

/// First line of a file: the format, and the engine whose model it is.
const HEADER: &str = concat!("kernelkit-kconfig-model 1 ", env!("KCONFIG_SOURCES"), "\n");
/// Time stamps of file systems are as coarse as this: a file that was changed so shortly
/// before it was read may change again without a new one.
const COARSE: Duration = Duration::from_secs(2);
/// Models of so many trees and compilers are kept.
const KEPT: usize = 24;

/// What a tree is read from and in.
pub(super) struct Question<'a> {
    /// Where files are looked for first, and probes run.
    pub(super) directory: &'a Utf8Path,
    /// The first file.
    pub(super) root: &'a str,
    /// The environment; `srctree` in it is where files are looked for then.
    pub(super) variables: &'a BTreeMap<String, String>,
    pub(super) dialect: Dialect,
}

/// Loads a tree, from its kept model where that holds.
pub(super) fn load(
    question: &Question<'_>,
    prober: &mut Prober,
    cache: Option<&Utf8Path>,
) -> Result<Kconfig, Error> {
    let path = cache.map(|cache| question.path(cache));
    if let Some(path) = &path
        && let Some(kconfig) = kept(path, question, prober)
    {
        return Ok(kconfig);
    }
    let started = environment::now();
    let reader = match (cache, question.source_tree()) {
        (Some(cache), Some(tree)) => {
            TreeReader::reading_ahead(question.directory, cache, tree.as_str())
        }
        _ => TreeReader::new(question.directory),
    };
    let loaded = prober.load(|probe| {
        Kconfig::load(
            &reader,
            question.root,
            probe,
            question.variables,
            question.dialect,
        )
    });
    // Without a cache the next call is slower, and that is all.
    let _ = prober.save();
    reader.save();
    if let (Some(path), Ok(kconfig)) = (&path, &loaded)
        && prober.stderr.is_empty()
    {
        let _ = keep(path, question, kconfig, &prober.record, started.into());
    }
    loaded
}

impl Question<'_> {
    fn source_tree(&self) -> Option<Utf8PathBuf> {
        let tree = self.variables.get("srctree")?;
        Some(self.directory.join(tree))
    }

    /// One file for each tree, architecture and compiler.
    fn path(&self, cache: &Utf8Path) -> Utf8PathBuf {
        let mut text = format!("{} {:?} {:?}", self.root, self.source_tree(), self.dialect);
        for name in ["ARCH", "SRCARCH", "CC", "CONFIG_"] {
            text.push_str(&format!(" {:?}", self.variables.get(name)));
        }
        let name = hex(&sha2::Sha256::digest(text.as_bytes())[..12]);
        cache.join(format!("{name}.model"))
    }

    /// A digest of where the files are and what they were, found as a load finds them, and
    /// when one of them was changed last; nothing where one is not there.
    fn stamp<'f>(&self, names: impl Iterator<Item = &'f str>) -> Option<Stamp> {
        let reader = TreeReader::new(self.directory);
        let tree = self.source_tree();
        let mut digest = sha2::Sha256::new();
        let mut changed = i64::MIN;
        for name in names {
            let name = Utf8Path::new(name);
            let inside = reader.place(name).map(|path| (metadata(&path), path));
            let (metadata, path) = match inside {
                Some((Ok(Some(metadata)), path)) => (metadata, path),
                Some((Err(_), _)) => return None,
                Some((Ok(None), _)) | None => {
                    let path = tree.as_deref()?.join(name);
                    (metadata(&path).ok()??, path)
                }
            };
            digest.update(path.as_str());
            let numbers = [
                metadata.dev().cast_signed(),
                metadata.ino().cast_signed(),
                metadata.size().cast_signed(),
                metadata.mtime(),
                metadata.mtime_nsec(),
                metadata.ctime(),
                metadata.ctime_nsec(),
            ];
            for number in numbers {
                digest.update(number.to_le_bytes());
            }
            changed = changed.max(metadata.mtime()).max(metadata.ctime());
        }
        Some(Stamp {
            digest: digest.finalize().into(),
            changed,
        })
    }
}

/// What all files of a load were.
struct Stamp {
    digest: [u8; 32],
    /// Seconds since 1970.
    changed: i64,
}

fn metadata(path: &Utf8Path) -> std::io::Result<Option<std::fs::Metadata>> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The model in the file, if it is what a load would give.
fn kept(path: &Utf8Path, question: &Question<'_>, prober: &mut Prober) -> Option<Kconfig> {
    let mut file = BufReader::with_capacity(1 << 16, fs::open(path).ok()?.0);
    let mut header = [0; HEADER.len()];
    file.read_exact(&mut header).ok()?;
    let mut sum = [0; 4];
    file.read_exact(&mut sum).ok()?;
    if header != HEADER.as_bytes() {
        return None;
    }
    let mut file = CrcReader::new(file);
    let mut digest = [0; 32];
    file.read_exact(&mut digest).ok()?;
    let names = String::from_utf8(section(&mut file)?).ok()?;
    let names: Vec<&str> = names.split('\0').collect();
    let record = section(&mut file)?;
    let (kconfig, same) = std::thread::scope(|scope| {
        let same = scope.spawn(|| {
            let stamp = question.stamp(names.iter().copied())?;
            Some(stamp.digest == digest)
        });
        let kconfig = Kconfig::from_image(&mut file, read_again(question, &names));
        (kconfig, same.join().ok().flatten())
    });
    let kconfig = kconfig?;
    if file.read(&mut [0]).ok()? != 0 || file.crc().sum().to_le_bytes() != sum {
        return None;
    }
    let value = |name: &String| question.variables.get(name);
    let mut set = kconfig.referenced_variables().iter();
    let holds = same == Some(true)
        && set.all(|(name, was)| value(name) == Some(was))
        && kconfig
            .unset_variables()
            .iter()
            .all(|name| value(name).is_none())
        && prober.repeats(Record::parse("model", &record).ok()?);
    holds.then_some(kconfig)
}

/// Reads the text of a file when it is asked for.
fn read_again(question: &Question<'_>, names: &[&str]) -> crate::kconfig::ReadFile {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let directory = question.directory.to_owned();
    let tree = question.source_tree();
    Box::new(move |file| {
        let name = Utf8Path::new(&names[file as usize]);
        let reader = TreeReader::new(&directory);
        let inside = crate::kconfig::Reader::read(&reader, name).ok();
        let below = || fs::input(tree.as_ref()?.join(name)).ok();
        // Its help texts are empty if it went just now.
        inside.or_else(below).unwrap_or_default()
    })
}

/// Keeps a model; `started` is when its load began.
fn keep(
    path: &Utf8Path,
    question: &Question<'_>,
    kconfig: &Kconfig,
    record: &Record,
    started: SystemTime,
) -> Option<()> {
    let names = kconfig.files();
    let stamp = question.stamp(names.iter().map(String::as_str))?;
    let started = started.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    if stamp.changed >= started.saturating_sub(COARSE).as_secs().cast_signed() {
        return None;
    }
    let mut sections = stamp.digest.to_vec();
    for section in [names.join("\0").as_bytes(), &record.to_text()] {
        sections.extend_from_slice(&u32::try_from(section.len()).ok()?.to_le_bytes());
        sections.extend_from_slice(section);
    }
    sections.extend_from_slice(&kconfig.to_image());
    let mut file = HEADER.as_bytes().to_vec();
    file.extend_from_slice(&checksum(&sections));
    file.extend_from_slice(&sections);
    fs::write_atomic(path, &file).ok()?;
    prune(path.parent()?)
}

fn section(file: &mut impl std::io::Read) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    file.read_exact(&mut length).ok()?;
    let length = u32::from_le_bytes(length);
    let mut bytes = Vec::new();
    file.take(length.into()).read_to_end(&mut bytes).ok()?;
    (bytes.len() == length as usize).then_some(bytes)
}

/// Of everything behind it, so that a damaged file is a file that is not there.
fn checksum(bytes: &[u8]) -> [u8; 4] {
    let mut sum = flate2::Crc::new();
    sum.update(bytes);
    sum.sum().to_le_bytes()
}

/// Removes the oldest models where there are too many.
fn prune(cache: &Utf8Path) -> Option<()> {
    let mut models = Vec::new();
    for name in fs::file_names(cache).ok()? {
        let path = cache.join(name);
        if path.extension() == Some("model") {
            let modified = std::fs::metadata(&path).and_then(|metadata| metadata.modified());
            models.push((modified.ok(), path));
        }
    }
    models.sort();
    let old = models.len().saturating_sub(KEPT);
    for (_, path) in models.drain(..old) {
        fs::remove_file(path).ok()?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::probe::Runner;
    use super::*;
    use crate::kconfig::{Input, Mode, Request};

    /// A small tree, what it is read with, and where its model is kept.
    struct World {
        _directory: tempfile::TempDir,
        tree: Utf8PathBuf,
        variables: BTreeMap<String, String>,
    }

    impl World {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let tree = Utf8Path::from_path(directory.path()).unwrap().join("tree");
            let world = World {
                _directory: directory,
                variables: BTreeMap::from([
                    ("srctree".to_owned(), tree.to_string()),
                    ("KEY".to_owned(), "a".to_owned()),
                    ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
                ]),
                tree,
            };
            world.write(
                "Kconfig",
                "mainmenu \"$(KEY) $(UNSET)\"\nsource \"sub/Kconfig\"\n\
                 config A\n\tbool \"A $(shell,cat $(srctree)/said)\"\n\thelp\n\t  Words.\n",
            );
            world.write("sub/Kconfig", "config B\n\tdef_bool y\n");
            world.write("said", "one");
            world
        }

        fn write(&self, name: &str, text: &str) {
            let path = self.tree.join(name);
            fs::write_atomic(&path, text.as_bytes()).unwrap();
            let past = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(past).unwrap();
        }

        fn build(&self) -> Utf8PathBuf {
            let build = self.tree.join("../build");
            fs::create_dir_all(&build).unwrap();
            build
        }

        fn cache(&self) -> Utf8PathBuf {
            self.tree.join("../cache")
        }

        fn question<'a>(&'a self, directory: &'a Utf8Path) -> Question<'a> {
            Question {
                directory,
                root: "Kconfig",
                variables: &self.variables,
                dialect: Dialect::V7,
            }
        }

        fn prober(&self, cache: Option<&Utf8Path>) -> Prober {
            let runner = Runner {
                directory: self.build(),
                variables: self.variables.clone(),
            };
            Prober::new(runner, cache)
        }

        /// Loads it and keeps the model, whatever the clock says of the files.
        fn load(&self) -> (Kconfig, bool) {
            let directory = self.build();
            let question = self.question(&directory);
            let probes = self.tree.join("../probes");
            let mut prober = self.prober(Some(&probes));
            let path = question.path(&self.cache());
            if let Some(kconfig) = kept(&path, &question, &mut prober) {
                assert!(!prober.record.is_empty());
                return (kconfig, true);
            }
            let kconfig = load(&question, &mut prober, None).unwrap();
            let later = SystemTime::now() + Duration::from_secs(10);
            keep(&path, &question, &kconfig, &prober.record, later).unwrap();
            (kconfig, false)
        }
    }

    fn show(kconfig: &Kconfig) -> (Vec<u8>, Option<String>) {
        let text = b"CONFIG_A=y\n";
        let inputs = [Input { name: "c", text }];
        let resolution = kconfig.resolve(&Request {
            mode: Mode::Olddefconfig,
            inputs: &inputs,
            warn_unknown: true,
        });
        let help = resolution.explain("A").unwrap().help;
        (resolution.dot_config(), help)
    }

    #[test]
    fn a_kept_model_is_the_one_that_was_read() {
        let world = World::new();
        let (read, before) = world.load();
        let (kept, after) = world.load();
        assert_eq!((before, after), (false, true));
        assert_eq!(show(&read), show(&kept));
        assert_eq!(show(&kept).1.unwrap(), "Words.\n");
        assert_eq!(read.to_image(), kept.to_image());
        assert_eq!(kept.find("B"), read.find("B"));
    }

    type Edit = fn(&mut World);

    #[test]
    fn whatever_changes_is_noticed() {
        let rows: &[(&str, Edit)] = &[
            ("a file", |world| {
                world.write("sub/Kconfig", "config C\n\tdef_bool y\n");
            }),
            ("a probe", |world| world.write("said", "two")),
            ("a variable", |world| {
                world.variables.insert("KEY".into(), "b".into());
            }),
            ("a variable that was not set", |world| {
                world.variables.insert("UNSET".into(), String::new());
            }),
            ("a file that hides another", |world| {
                fs::write_atomic(world.build().join("sub/Kconfig"), b"").unwrap();
            }),
        ];
        for (what, edit) in rows {
            let mut world = World::new();
            world.load();
            edit(&mut world);
            let (_, kept) = world.load();
            assert!(!kept, "{what}");
            assert!(world.load().1, "{what} is kept in turn");
        }
    }

    #[test]
    fn a_damaged_or_foreign_file_is_none() {
        let world = World::new();
        world.load();
        let name = fs::file_names(world.cache()).unwrap().pop().unwrap();
        let path = world.cache().join(name);
        let whole = fs::read(&path).unwrap();
        let mut rows = vec![Vec::new(), b"kernelkit-kconfig-model 0\n".to_vec()];
        rows.extend(
            (1..whole.len())
                .step_by(97)
                .map(|end| whole[..end].to_vec()),
        );
        rows.extend((0..whole.len()).step_by(53).map(|at| {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            bytes
        }));
        for bytes in rows {
            fs::write_atomic(&path, &bytes).unwrap();
            assert!(!world.load().1);
            assert_eq!(fs::read(&path).unwrap(), whole);
        }
    }

    #[test]
    fn what_was_changed_just_now_is_not_kept() {
        let world = World::new();
        let directory = world.build();
        load(
            &world.question(&directory),
            &mut world.prober(None),
            Some(&world.cache()),
        )
        .unwrap();
        let names = fs::file_names(world.cache()).unwrap();
        assert!(
            names.iter().all(|name| !name.ends_with(".model")),
            "{names:?}"
        );
    }

    #[test]
    fn the_oldest_models_go() {
        let world = World::new();
        for number in 0..KEPT + 2 {
            let path = world.cache().join(format!("{number}.model"));
            fs::write_atomic(&path, b"").unwrap();
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(number as u64);
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(time).unwrap();
        }
        prune(&world.cache()).unwrap();
        let names = fs::file_names(world.cache()).unwrap();
        assert_eq!(names.len(), KEPT);
        assert!(!names.contains(&"1.model".to_owned()));
    }
}

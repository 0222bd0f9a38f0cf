//! Starts a new build directory from the objects of a neighbour: a finished build of the same source by the
//! same toolchain and the same call, whose configuration differs.
//!
//! Kbuild knows of every object which symbols it depends on, and what it was compiled with. Told of the
//! new configuration it compiles what that changes and nothing else, as in a build directory of one's own.
//! A compiler cache has to preprocess every file for that.

use std::borrow::Cow;
use std::collections::HashSet;
use std::os::unix::fs::symlink;

use camino::{Utf8Path, Utf8PathBuf};

use super::exec;
use super::fs::{self, Context as _};
use super::lock::{self, Lock};
use super::run::{Compiled, Error};
use crate::batch::{Objects, Settings};
use crate::config::DotConfig;
use crate::kconfig;
use crate::manifest::Dirs;
use crate::plan::Plan;
use crate::source::Sha256;

/// Says which objects a build directory holds, once its build is finished.
pub(super) const OBJECTS: &str = "objects";

const CONFIG: &str = ".config";

/// Files that every build makes anew, by the end of their names: nobody has to copy them.
const MADE_ANEW: [&str; 6] = [
    "vmlinux",
    "vmlinux.o",
    "vmlinux.unstripped",
    ".ko",
    "compile_commands.json",
    "rust-project.json",
];

/// A finished build beside ours, held until this is dropped.
pub(super) struct Neighbour {
    /// The kernel's name.
    pub(super) name: String,
    /// Symbols that differ.
    pub(super) symbols: usize,
    build: Utf8PathBuf,
    _lock: Lock,
}

/// Of so many neighbours, those with the fewest symbols that differ, objects are counted.
const COUNTED: usize = 8;

/// The neighbour with these objects of which the fewest have to be compiled again, if there is one that nobody
/// builds. What cannot be read is no neighbour: this is for speed alone.
pub(super) fn find(dirs: &Dirs, objects: Sha256, config: &str) -> Option<Neighbour> {
    let config = DotConfig::parse(config).ok()?;
    let mut found: Vec<_> = neighbours(dirs, objects)
        .filter_map(|(name, other)| {
            let there = fs::read_to_string(other.build.join(CONFIG)).ok()?;
            let there = DotConfig::parse(&there).ok()?;
            Some((differing(&config, &there), name, other))
        })
        .collect();
    found.sort_by(|one, other| (one.0.len(), &one.1).cmp(&(other.0.len(), &other.1)));
    // One symbol that a header of everything uses outweighs all others.
    let counted = found.len().min(COUNTED);
    if counted > 1 {
        found[..counted]
            .sort_by_cached_key(|(symbols, _, other)| dependents(&other.build, symbols));
    }
    found.into_iter().find_map(|(symbols, name, other)| {
        let purpose = "cargo kernel build, copying its objects";
        let lock = lock::try_share(&other.state.join("lock"), purpose).ok()??;
        has(&other, objects).then(|| Neighbour {
            name,
            symbols: symbols.len(),
            build: other.build.clone(),
            _lock: lock,
        })
    })
}

/// How many files of a build depend on one of these symbols, by what Kbuild has noted of each.
fn dependents(build: &Utf8Path, symbols: &HashSet<String>) -> usize {
    let commands = fs::below(build).filter_map(|entry| {
        let entry = entry.ok()?;
        let is_command = entry.path().extension() == Some("cmd");
        is_command.then(|| fs::read_to_string(entry.path()).ok())?
    });
    commands
        .filter(|command| {
            let mut noted = command.split(STAMP).skip(1);
            noted.any(|rest| {
                let end = rest.find(')').unwrap_or(rest.len());
                symbols.contains(&*symbol_of(&rest[..end]))
            })
        })
        .count()
}

const STAMP: &str = "$(wildcard include/config/";

/// The symbol of a stamp's path. Up to 5.13, `FOO_BAR` had `foo/bar.h`.
fn symbol_of(stamp: &str) -> Cow<'_, str> {
    match stamp.strip_suffix(".h") {
        Some(path) => path.replace('/', "_").to_uppercase().into(),
        None => stamp.into(),
    }
}

/// The objects that a build makes, and how near those are that it can begin with.
pub(super) fn objects(plan: &Plan) -> Result<Option<Objects>, fs::Error> {
    let dirs = &plan.record.dirs;
    let Some(id) = plan.objects else {
        return Ok(None);
    };
    let settings = Settings::of(&plan.dot_config);
    let nearest = match has_own(dirs)? {
        true => Some(0),
        false => neighbours(dirs, id)
            .take(MEASURED)
            .filter_map(|(_, other)| fs::read_to_string(other.build.join(CONFIG)).ok())
            .map(|config| Settings::of(&config).distance(&settings))
            .min(),
    };
    Ok(Some(Objects {
        id,
        settings,
        nearest,
    }))
}

/// Of so many neighbours a batch looks how near they are.
const MEASURED: usize = 64;

/// Whether what was compiled here is of use for the plan's tree.
pub(super) fn has_own(dirs: &Dirs) -> Result<bool, fs::Error> {
    Ok(Compiled::before(dirs)?.is_some_and(|compiled| compiled.directory == dirs.source))
}

/// Names and places of the others that have these objects.
fn neighbours(dirs: &Dirs, objects: Sha256) -> impl Iterator<Item = (String, Dirs)> {
    let kernels = dirs.state.parent().unwrap_or(&dirs.state);
    let names = fs::file_names(kernels).unwrap_or_default();
    names.into_iter().filter_map(move |name| {
        let other = Dirs::new(&dirs.source, &kernels.join(&name));
        (other.state != dirs.state && has(&other, objects)).then_some((name, other))
    })
}

/// Whether a kernel has these objects on disk.
fn has(dirs: &Dirs, objects: Sha256) -> bool {
    // A link goes to a place in memory.
    fs::is_directory(&dirs.build)
        && fs::read(dirs.beside_build(OBJECTS))
            .is_ok_and(|bytes| bytes == objects.to_string().as_bytes())
}

/// The symbols that two configurations set differently, but for `CONFIG_LOCALVERSION`.
fn differing(one: &DotConfig, other: &DotConfig) -> HashSet<String> {
    let changes = kconfig::diff_texts(one, other).into_iter();
    let symbols = changes.map(|change| change.symbol);
    symbols.filter(|symbol| symbol != "LOCALVERSION").collect()
}

impl Neighbour {
    /// Makes its objects those of `dirs`, whose build directory is replaced; a configuration that lies
    /// there stays, and is the newest file.
    pub(super) fn copy_to(&self, dirs: &Dirs) -> Result<(), Error> {
        let new = unfinished(dirs);
        fs::remove_dir_all(&new)?;
        let copying = Copying {
            from: &self.build,
            to: &dirs.build,
        };
        copying.directory(&self.build, &new)?;
        // Copied, it would be older than what the neighbour has made of its own.
        if let Some(config) = fs::read_optional(dirs.build.join(CONFIG))? {
            fs::write_atomic(new.join(CONFIG), &config)?;
        }
        fs::remove_dir_all(&dirs.build)?;
        Ok(fs::rename(&new, &dirs.build)?)
    }
}

/// Where a copy lies until it is whole.
pub(super) fn unfinished(dirs: &Dirs) -> Utf8PathBuf {
    dirs.beside_build("build.new")
}

/// A build directory on its way to another place.
struct Copying<'a> {
    from: &'a Utf8Path,
    to: &'a Utf8Path,
}

impl Copying<'_> {
    fn directory(&self, from: &Utf8Path, to: &Utf8Path) -> Result<(), Error> {
        fs::create_dir_all(to)?;
        for entry in from.read_dir_utf8().context("read", from)? {
            if exec::interrupted() {
                return Err(Error::Exec(exec::Error::Interrupted));
            }
            // File names that are not UTF-8 are none that Kbuild makes.
            let Ok(entry) = entry else { continue };
            let (from, to) = (entry.path(), to.join(entry.file_name()));
            let kind = entry.file_type().context("read", from)?;
            if kind.is_dir() {
                self.directory(from, &to)?;
            } else if kind.is_symlink() {
                let target = from.read_link_utf8().context("read", from)?;
                let target = match target.strip_prefix(self.from) {
                    Ok(inside) => self.to.join(inside),
                    Err(_) => target,
                };
                symlink(target, &to).context("link", &to)?;
            } else if kind.is_file() && !is_made_anew(entry.file_name()) {
                self.file(from, &to)?;
            }
        }
        Ok(())
    }

    /// Commands name the build directory, and make runs those again that are not the same.
    fn file(&self, from: &Utf8Path, to: &Utf8Path) -> Result<(), Error> {
        if from.extension() == Some("cmd") {
            let renamed = match String::from_utf8(fs::read(from)?) {
                Ok(text) => renamed(&text, self.from.as_str(), self.to.as_str()).into_bytes(),
                Err(bytes) => bytes.into_bytes(),
            };
            std::fs::write(to, renamed).context("write", to)?;
        } else {
            fs::copy(from, to)?;
        }
        if let Some(time) = fs::modified(from)? {
            std::fs::File::options()
                .append(true)
                .open(to)
                .and_then(|file| file.set_modified(time))
                .context("set the time of", to)?;
        }
        Ok(())
    }
}

fn is_made_anew(name: &str) -> bool {
    name == CONFIG || MADE_ANEW.iter().any(|end| name.ends_with(end))
}

/// The text with another path in place of each that is `from` or below it.
fn renamed(text: &str, from: &str, to: &str) -> String {
    let mut parts = text.split(from);
    let mut renamed = parts.next().unwrap_or_default().to_owned();
    for after in parts {
        let goes_on = |next: char| next.is_alphanumeric() || "-_.+~".contains(next);
        renamed.push_str(if after.starts_with(goes_on) { from } else { to });
        renamed.push_str(after);
    }
    renamed
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn a_path_is_renamed_where_it_ends_there() {
        let rows = [
            ("-I/k/a/build -x", "-I/k/b/build -x"),
            ("/k/a/build=/usr", "/k/b/build=/usr"),
            ("/k/a/build/x.o /k/a/build", "/k/b/build/x.o /k/b/build"),
            ("/k/a/build2/x.o", "/k/a/build2/x.o"),
            ("/k/a/build.new", "/k/a/build.new"),
            ("nothing", "nothing"),
        ];
        for (text, expected) in rows {
            assert_eq!(renamed(text, "/k/a/build", "/k/b/build"), expected);
        }
    }

    /// Kernels with objects, each with its configuration.
    struct Kernels(tempfile::TempDir);

    const OURS: &str =
        "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=\"c\"\nCONFIG_LOCALVERSION=\"-x\"\n";

    impl Kernels {
        fn new(kernels: &[(&str, &str)]) -> Self {
            let all = Kernels(tempfile::tempdir().unwrap());
            for (name, config) in kernels {
                let dirs = all.dirs(name);
                fs::write_atomic(dirs.build.join(CONFIG), config.as_bytes()).unwrap();
                let objects = Sha256::of(b"objects").to_string();
                fs::write_atomic(dirs.beside_build(OBJECTS), objects.as_bytes()).unwrap();
            }
            fs::write_atomic(all.dirs("x").state.join("../file"), b"").unwrap();
            all
        }

        fn dirs(&self, name: &str) -> Dirs {
            let root = Utf8Path::from_path(self.0.path()).unwrap();
            fs::create_dir_all(root.join(name)).unwrap();
            Dirs::new("/source".into(), &root.join(name))
        }

        fn found(&self, objects: &[u8]) -> Option<(String, usize)> {
            let found = find(&self.dirs("ours"), Sha256::of(objects), OURS);
            found.map(|found| (found.name.clone(), found.symbols))
        }
    }

    #[test]
    fn the_nearest_finished_neighbour_with_the_same_objects_is_found() {
        let near = OURS.replace("-x", "-y").replace("CONFIG_A=y", "CONFIG_A=m");
        let far = "CONFIG_D=y\n";
        let kernels = Kernels::new(&[("ours", OURS), ("b-near", &near), ("a-far", far)]);
        assert_eq!(kernels.found(b"objects"), Some(("b-near".to_owned(), 1)));
        assert_eq!(kernels.found(b"others"), None);
        let held = kernels.dirs("b-near").state.join("lock");
        let held = lock::try_acquire(&held, "a test").unwrap().unwrap();
        assert_eq!(kernels.found(b"objects"), Some(("a-far".to_owned(), 4)));
        drop(held);
        // Others may copy them at the same time.
        let near = kernels.dirs("b-near").state.join("lock");
        let shared = lock::try_share(&near, "a test").unwrap().unwrap();
        assert_eq!(kernels.found(b"objects"), Some(("b-near".to_owned(), 1)));
        assert!(lock::try_acquire(&near, "a test").unwrap().is_none());
        drop(shared);
        let dirs = kernels.dirs("b-near");
        fs::remove_dir_all(&dirs.build).unwrap();
        symlink("../a-far/build", &dirs.build).unwrap();
        assert_eq!(kernels.found(b"objects"), Some(("a-far".to_owned(), 4)));
    }

    #[test]
    fn of_several_the_one_with_the_fewest_objects_to_compile_is_found() {
        let header = format!("{OURS}CONFIG_IN_A_HEADER=y\n");
        let own = format!("{OURS}CONFIG_D=y\nCONFIG_E=y\n");
        let kernels = Kernels::new(&[("few-symbols", &header), ("many-symbols", &own)]);
        for (symbol, object) in [
            ("IN_A_HEADER", "a"),
            ("in/a/header.h", "b"),
            ("D", "a"),
            ("IN_A_HEADER_TOO", "c"),
            ("A", "d"),
        ] {
            for kernel in ["few-symbols", "many-symbols"] {
                let command = kernels
                    .dirs(kernel)
                    .build
                    .join(format!("lib/.{object}.o.cmd"));
                let before = fs::read_to_string(&command).unwrap_or_default();
                let text = format!("{before}    $(wildcard include/config/{symbol}) \\\n");
                fs::write_atomic(&command, text.as_bytes()).unwrap();
            }
        }
        assert_eq!(kernels.found(b"objects"), Some(("many-symbols".into(), 2)));
        let symbols = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let build = kernels.dirs("few-symbols").build;
        assert_eq!(dependents(&build, &symbols(&["IN_A_HEADER"])), 2);
        assert_eq!(dependents(&build, &symbols(&["D", "A"])), 2);
        assert_eq!(dependents(&build, &symbols(&["NONE"])), 0);
    }

    #[test]
    fn a_copy_has_the_same_times_its_own_paths_and_the_configuration_of_its_place() {
        let kernels = Kernels::new(&[("ours", OURS), ("other", "CONFIG_A=m\n")]);
        let (ours, other) = (kernels.dirs("ours"), kernels.dirs("other"));
        let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let files = [
            "init/main.o",
            "init/.main.o.cmd",
            "scripts/fixdep",
            "vmlinux",
            "lib/test.ko",
        ];
        for name in files {
            let path = other.build.join(name);
            fs::write_atomic(&path, format!("{name} {}", other.build).as_bytes()).unwrap();
            let file = std::fs::File::options().append(true).open(&path).unwrap();
            file.set_modified(old).unwrap();
        }
        symlink("/source", other.build.join("source")).unwrap();
        symlink(other.build.join("init"), other.build.join("link")).unwrap();
        fs::write_atomic(ours.build.join("left.o"), b"").unwrap();
        let found = find(&ours, Sha256::of(b"objects"), OURS).unwrap();
        found.copy_to(&ours).unwrap();
        let read = |name: &str| fs::read_to_string(ours.build.join(name)).unwrap();
        assert_eq!(read(CONFIG), OURS);
        assert_eq!(read("init/main.o"), format!("init/main.o {}", other.build));
        assert_eq!(
            read("init/.main.o.cmd"),
            format!("init/.main.o.cmd {}", ours.build)
        );
        for name in &files[..3] {
            let metadata = std::fs::metadata(ours.build.join(name)).unwrap();
            assert_eq!(metadata.modified().unwrap(), old, "{name}");
        }
        assert_eq!(
            ours.build.join("source").read_link_utf8().unwrap(),
            "/source"
        );
        assert_eq!(
            ours.build.join("link").read_link_utf8().unwrap(),
            ours.build.join("init")
        );
        for name in ["vmlinux", "lib/test.ko", "left.o"] {
            assert!(!ours.build.join(name).exists(), "{name}");
        }
        assert!(!unfinished(&ours).exists());
    }
}

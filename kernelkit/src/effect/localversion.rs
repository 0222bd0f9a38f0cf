//! Gives a configured build directory another `CONFIG_LOCALVERSION` and changes nothing else.
//!
//! Every edit of a source changes the digest in the release, and with it the `.config`. Nothing in Kconfig
//! hangs on that symbol, so neither `olddefconfig` nor `syncconfig` has anything new to find out; they would
//! take seconds, most of them for questions to the compiler.

use camino::Utf8Path;

use super::fs;
use crate::release::is_plain;

/// What object files that use the symbol depend on.
const STAMP: &str = "include/config/LOCALVERSION";

/// What `syncconfig` writes, with what stands before the symbol's value there. `auto.conf` comes last, as the
/// one that make looks at.
const SYNCED: [(&str, Option<&str>); 4] = [
    (RUST, Some("--cfg=CONFIG_LOCALVERSION=")),
    (
        "include/generated/autoconf.h",
        Some("#define CONFIG_LOCALVERSION "),
    ),
    // Make's rules for what `auto.conf` is made from have to be as new as it.
    (DEPENDENCIES, None),
    ("include/config/auto.conf", Some(CONFIG)),
];

/// Trees before Rust do not have it.
const RUST: &str = "include/generated/rustc_cfg";

const DEPENDENCIES: &str = "include/config/auto.conf.cmd";

const CONFIG: &str = "CONFIG_LOCALVERSION=";

/// Writes `config`, which differs from the `.config` of `build` in its `CONFIG_LOCALVERSION` alone, and the files
/// that `syncconfig` makes of it where they are up to date now; else make will make them.
/// `false` where it cannot be done: nothing was written.
pub(super) fn replace(build: &Utf8Path, config: &str) -> Result<bool, fs::Error> {
    let path = build.join(".config");
    let present = fs::read_to_string(&path)?;
    let (Some(old), Some(new)) = (value(&present), value(config)) else {
        return Ok(false);
    };
    if replaced(&present, CONFIG, old, new).as_deref() != Some(config) {
        return Ok(false);
    }
    let synced = synced(build, old, new)?;
    fs::write_atomic(&path, config.as_bytes())?;
    // Whoever is stopped here leaves files that are older than `.config`: make makes them again.
    for (name, text) in synced.into_iter().flatten() {
        fs::write_atomic(build.join(name), &text)?;
    }
    Ok(true)
}

/// Names below the build directory, and contents.
type Files = Vec<(&'static str, Vec<u8>)>;

/// The files to write, in order; `None` where make has to.
fn synced(build: &Utf8Path, old: &str, new: &str) -> Result<Option<Files>, fs::Error> {
    let Some(configured) = fs::modified(build.join(".config"))? else {
        return Ok(None);
    };
    let mut files = vec![(STAMP, Vec::new())];
    for (name, start) in SYNCED {
        let path = build.join(name);
        if name == RUST && !path.exists() {
            continue;
        }
        let text = match fs::modified(&path)? {
            Some(time) if time >= configured => fs::read_to_string(&path).ok(),
            _ => None,
        };
        let text = match start {
            Some(start) => text.and_then(|text| replaced(&text, start, old, new)),
            None => text,
        };
        match text {
            Some(text) => files.push((name, text.into_bytes())),
            None => return Ok(None),
        }
    }
    Ok(Some(files))
}

/// The symbol's value in a `.config`, where it reads the same in make, C and Rust.
fn value(config: &str) -> Option<&str> {
    let line = config.lines().find_map(|line| line.strip_prefix(CONFIG))?;
    let value = line.strip_prefix('"')?.strip_suffix('"')?;
    value.chars().all(is_plain).then_some(value)
}

/// The text with the new value in its line, which has it with or without quotes (`auto.conf` up to 6.9
/// has them, later ones do not). `None` where there is not exactly one such line.
fn replaced(text: &str, start: &str, old: &str, new: &str) -> Option<String> {
    let mut lines = text
        .match_indices(start)
        .filter(|(at, _)| *at == 0 || text.as_bytes()[at - 1] == b'\n');
    let (at, _) = lines.next()?;
    if lines.next().is_some() {
        return None;
    }
    let (before, rest) = text.split_at(at + start.len());
    let (line, after) = rest.split_at(rest.find('\n').unwrap_or(rest.len()));
    let value = if line == old {
        new.to_owned()
    } else if line == format!("\"{old}\"") {
        format!("\"{new}\"")
    } else {
        return None;
    };
    Some([before, &value, after].concat())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    /// What conf of 6.1, and of 6.12 and later writes.
    fn written(localversion: &str, quoted: bool) -> Vec<(&'static str, String)> {
        let quote = if quoted { "\"" } else { "" };
        vec![
            (
                ".config",
                format!(
                    "#\n# General\n#\nCONFIG_A=y\nCONFIG_LOCALVERSION=\"{localversion}\"\n# CONFIG_B is not set\n"
                ),
            ),
            (STAMP, String::new()),
            (
                "include/generated/rustc_cfg",
                format!(
                    "--cfg=CONFIG_A\n--cfg=CONFIG_A=\"y\"\n--cfg=CONFIG_LOCALVERSION=\"{localversion}\"\n"
                ),
            ),
            (
                "include/generated/autoconf.h",
                format!("#define CONFIG_A 1\n#define CONFIG_LOCALVERSION \"{localversion}\"\n"),
            ),
            (
                DEPENDENCIES,
                "autoconfig := include/config/auto.conf\n".to_owned(),
            ),
            (
                "include/config/auto.conf",
                format!("CONFIG_A=y\nCONFIG_LOCALVERSION={quote}{localversion}{quote}\n"),
            ),
        ]
    }

    struct Build(tempfile::TempDir);

    impl Build {
        fn new(files: &[(&str, String)]) -> Self {
            let build = Build(tempfile::tempdir().unwrap());
            for (number, (name, text)) in files.iter().enumerate() {
                fs::write_atomic(build.dir().join(name), text.as_bytes()).unwrap();
                build.touch(name, 1000 + number as u64);
            }
            build
        }

        fn dir(&self) -> &Utf8Path {
            Utf8Path::from_path(self.0.path()).unwrap()
        }

        fn touch(&self, name: &str, seconds: u64) {
            let file = std::fs::File::options()
                .write(true)
                .open(self.dir().join(name));
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            file.unwrap().set_modified(time).unwrap();
        }

        fn read(&self) -> Vec<(&'static str, String)> {
            let names = written("", true).into_iter().map(|(name, _)| name);
            names
                .map(|name| (name, fs::read_to_string(self.dir().join(name)).unwrap()))
                .collect()
        }

        fn time(&self, name: &str) -> SystemTime {
            fs::modified(self.dir().join(name)).unwrap().unwrap()
        }
    }

    fn config(localversion: &str) -> String {
        written(localversion, true).swap_remove(0).1
    }

    #[test]
    fn another_release_is_what_conf_would_write_and_make_finds_it_up_to_date() {
        for quoted in [true, false] {
            let build = Build::new(&written("-a-0123456789ab", quoted));
            assert!(replace(build.dir(), &config("-a-ba9876543210")).unwrap());
            assert_eq!(build.read(), written("-a-ba9876543210", quoted));
            let configured = build.time(".config");
            assert!(configured > SystemTime::UNIX_EPOCH + Duration::from_secs(2000));
            for (name, _) in build.read() {
                assert!(build.time(name) >= configured, "{name}");
            }
        }
    }

    #[test]
    fn what_was_out_of_date_is_left_to_make() {
        for name in [
            DEPENDENCIES,
            "include/config/auto.conf",
            "include/generated/autoconf.h",
        ] {
            let build = Build::new(&written("-old", false));
            build.touch(name, 999);
            assert!(replace(build.dir(), &config("-new")).unwrap(), "{name}");
            let mut expected = written("-old", false);
            expected[0].1 = config("-new");
            assert_eq!(build.read(), expected, "{name}");
        }
    }

    #[test]
    fn any_other_difference_is_not_for_us() {
        let build = Build::new(&written("-old", false));
        let before = build.read();
        for config in [
            config("-new").replace("CONFIG_A=y", "CONFIG_A=m"),
            config("-new") + "CONFIG_C=y\n",
            config("-new").replace("CONFIG_LOCALVERSION", "CONFIG_LOCALVERSION_"),
            config("a b"),
            config("$(x)"),
        ] {
            assert!(!replace(build.dir(), &config).unwrap(), "{config}");
            assert_eq!(build.read(), before);
        }
    }
}

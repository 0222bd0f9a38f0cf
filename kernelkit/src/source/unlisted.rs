//! Which files that git does not list a build reads all the same.
//!
//! Git's answer is about what to commit: an ignored header is compiled like any other, and so is one in a
//! repository inside of the tree. A file counts here by its kind, in the places that Kbuild enters. What
//! Kbuild or `#include` reads beyond that is found after the build, in the `.cmd` files.

use std::collections::HashSet;

use super::snapshot::Snapshot;

/// Extensions of what is compiled, preprocessed, assembled, embedded or run while a kernel is built.
const EXTENSIONS: [&str; 30] = [
    "S", "asn1", "awk", "bc", "c", "dts", "dtsi", "dtso", "h", "inc", "include", "l", "lds", "map",
    "mk", "pbm", "pem", "pgm", "pl", "ppm", "py", "rs", "s", "sed", "sh", "tbl", "tmpl", "uni",
    "x509", "y",
];

/// The directories of `tools/` that a kernel's build enters (`prepare` in its Makefile: objtool and
/// resolve_btfids, with the libraries of both). The others hold programs with builds of their own.
const TOOLS: [&str; 7] = [
    "arch/",
    "bpf/resolve_btfids/",
    "build/",
    "include/",
    "lib/",
    "objtool/",
    "scripts/",
];

/// Decides for the files of one tree.
pub struct Unlisted<'a> {
    /// Top directories that hold a listed file, with the slash.
    tops: HashSet<&'a [u8]>,
    /// Directories in which something was built, and other kernel trees.
    builds: Vec<&'a [u8]>,
}

impl<'a> Unlisted<'a> {
    /// From all files of the tree and those that git lists.
    pub fn new(walked: &'a Snapshot, listed: &'a HashSet<Vec<u8>>) -> Self {
        // A repository inside is listed as a directory.
        let (repositories, listed): (Vec<&Vec<u8>>, Vec<&Vec<u8>>) =
            listed.iter().partition(|path| path.ends_with(b"/"));
        let mut tops: HashSet<&[u8]> = listed.iter().filter_map(|path| top(path)).collect();
        // Where git lists files, a build or another tree has no place.
        let mut own: HashSet<&[u8]> = HashSet::new();
        for path in &listed {
            let ends = path.iter().enumerate().rev();
            for (at, _) in ends.filter(|(_, byte)| **byte == b'/') {
                if !own.insert(&path[..=at]) {
                    break;
                }
            }
        }
        let mut builds = Vec::new();
        for (directory, file) in walked.files() {
            let (path, name) = (&directory.path[..], directory.name(file));
            if is_elsewhere(name) && !path.is_empty() && !own.contains(path) {
                builds.push(path);
            }
            // Kbuild can be told to enter it.
            if is_entered(name)
                && top(path) == Some(path)
                && !repositories
                    .iter()
                    .any(|repository| repository[..] == *path)
            {
                tops.insert(path);
            }
        }
        Unlisted { tops, builds }
    }

    /// Whether the file at `path`, which git does not list, counts.
    pub fn counts(&self, path: &[u8]) -> bool {
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
        let Some(top) = top(path) else {
            return is_read_at_the_top(name);
        };
        is_read(name) && self.is_entered_at(top, path)
    }

    /// Whether a build can read what is behind the link at `path`, which git does not list and which leads to
    /// a directory with files of these names.
    pub fn follows<'b>(&self, path: &[u8], mut names: impl Iterator<Item = &'b [u8]>) -> bool {
        match top(path) {
            Some(top) => self.is_entered_at(top, path) && !names.any(is_elsewhere),
            None => {
                let mut entered = false;
                for name in names {
                    if is_elsewhere(name) {
                        return false;
                    }
                    entered |= is_entered(name);
                }
                entered
            }
        }
    }

    fn is_entered_at(&self, top: &[u8], path: &[u8]) -> bool {
        self.tops.contains(top)
            && !is_hidden(path)
            && !self.builds.iter().any(|build| path.starts_with(build))
            && (!path.starts_with(b"tools/") || is_built_tool(path))
    }
}

/// Whether a build that enters a directory by a link can read the file at `path` of it.
pub fn is_read_behind(path: &[u8]) -> bool {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    is_read(name) && !is_hidden(path)
}

fn is_hidden(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/')
        .any(|part| part.starts_with(b"."))
}

/// Whether a path is one of `tools/` that a kernel's build enters.
pub fn is_built_tool(path: &[u8]) -> bool {
    path.strip_prefix(b"tools/")
        .is_some_and(|below| TOOLS.iter().any(|tool| below.starts_with(tool.as_bytes())))
}

/// Whether a directory of the top that git does not list is one that Kbuild can be told to enter, by
/// the names of its files.
pub fn is_entered(name: &[u8]) -> bool {
    matches!(name, b"Makefile" | b"Kbuild" | b"Kconfig")
}

/// Whether the directory that has a file of this name is one of another build, or of another kernel.
pub fn is_elsewhere(name: &[u8]) -> bool {
    matches!(name, b".config" | b"MAINTAINERS")
}

fn top(path: &[u8]) -> Option<&[u8]> {
    let end = path.iter().position(|byte| *byte == b'/')?;
    Some(&path[..=end])
}

/// Whether files of this name are read by Kbuild.
fn is_read(name: &[u8]) -> bool {
    is_makefile(name)
        || name.ends_with(b"_shipped")
        // modpost writes them anew, into the build directory.
        || (has_extension(name, &EXTENSIONS) && !name.ends_with(b".mod.c"))
}

/// At the top nothing is compiled, and people keep scripts and notes there.
fn is_read_at_the_top(name: &[u8]) -> bool {
    is_makefile(name)
        || has_extension(name, &["mk", "pem", "x509"])
        // As scripts/setlocalversion takes them.
        || (name.starts_with(b"localversion") && !name.contains(&b'~'))
}

fn is_makefile(name: &[u8]) -> bool {
    ["Kbuild", "Kconfig", "Makefile"]
        .iter()
        .any(|stem| name.starts_with(stem.as_bytes()))
        && !name.ends_with(b"~")
        && !has_extension(name, &["bak", "old", "orig", "rej", "save"])
}

fn has_extension(name: &[u8], extensions: &[&str]) -> bool {
    let Some(dot) = name.iter().rposition(|byte| *byte == b'.') else {
        return false;
    };
    dot > 0
        && extensions
            .iter()
            .any(|extension| name[dot + 1..] == *extension.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::snapshot::{Stamp, Time};
    use crate::source::tree::Kind;

    /// A tree of which git lists `Makefile` and what lies in `kernel/`, `scripts/` and `tools/`.
    fn counts(path: &str, others: &[&str]) -> bool {
        let stamp = Stamp {
            kind: Kind::Regular,
            size: 0,
            modified: Time::default(),
            changed: Time::default(),
            inode: 0,
        };
        let listed = ["Makefile", "kernel/fork.c", "scripts/run", "tools/Makefile"];
        let paths = listed.iter().chain(others).chain([&path]);
        let walked = Snapshot::from_files(paths.map(|path| (path.as_bytes(), stamp, None)));
        let listed = listed.iter().map(|path| path.as_bytes().to_vec()).collect();
        Unlisted::new(&walked, &listed).counts(path.as_bytes())
    }

    #[test]
    fn what_a_build_reads_counts() {
        for path in [
            "kernel/local.c",
            "kernel/local/local.h",
            "kernel/entry.S",
            "kernel/bounds.s",
            "kernel/lib.rs",
            "kernel/board.dts",
            "kernel/board.dtsi",
            "kernel/board.dtso",
            "kernel/Kconfig.local",
            "kernel/Makefile",
            "kernel/Kbuild",
            "kernel/tables.c_shipped",
            "kernel/vmlinux.lds",
            "kernel/vmlinux.lds.S",
            "kernel/x509.asn1",
            "kernel/parser.tab.c",
            "kernel/key.pem",
            "scripts/local.sh",
            "scripts/local.pl",
            "tools/objtool/arch/x86/local.c",
            "tools/bpf/resolve_btfids/local.h",
            "Kconfig.local",
            "Makefile.local",
            "localversion-mine",
            "ours.pem",
        ] {
            assert!(counts(path, &[]), "{path}");
        }
        assert!(counts("local/a.c", &["local/Kbuild"]));
    }

    #[test]
    fn leftovers_and_peoples_own_files_do_not_count() {
        for path in [
            "kernel/fork.o",
            "kernel/driver.mod.c",
            "kernel/fork.c.orig",
            "kernel/Makefile.orig",
            "kernel/Makefile~",
            "kernel/.#fork.c",
            "kernel/.fork.c.swp",
            "kernel/.tmp_versions/a.h",
            "kernel/c",
            ".pc/series/kernel/fork.c",
            ".cache/a.h",
            "scratch.c",
            "run.sh",
            "notes.txt",
            "localversion~",
            "rootfs/usr/include/a.h",
            "tools/perf/pmu-events/pmu-events.c",
            "tools/testing/selftests/bpf/a.skel.h",
            "tools/bpf/bpftool/vmlinux.h",
        ] {
            assert!(!counts(path, &[]), "{path}");
        }
        for elsewhere in [
            "build/.config",
            "kernel/build/.config",
            "linux-6.6/MAINTAINERS",
        ] {
            let directory = elsewhere.rsplit_once('/').unwrap().0;
            let header = format!("{directory}/include/generated/autoconf.h");
            let makefile = format!("{directory}/Makefile");
            assert!(!counts(&header, &[elsewhere, &makefile]), "{header}");
        }
    }
}

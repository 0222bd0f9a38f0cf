//! Rules of the repository that no compiler holds.

use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};
use kernelkit::fragment::Library;

use crate::support::{require_tool, root};

/// Every file that git keeps; `None` where there is no git to ask.
fn files() -> Option<Vec<Utf8PathBuf>> {
    if !require_tool("git") {
        return None;
    }
    // A checkout that belongs to somebody else is still the one under test.
    let output = Command::new("git")
        .args([
            "-c",
            "safe.directory=*",
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let files: Vec<_> = String::from_utf8(output.stdout)
        .unwrap()
        .split_terminator('\0')
        .map(Utf8PathBuf::from)
        .filter(|path| root().join(path).is_file())
        .collect();
    assert!(files.len() > 20, "{files:?}");
    Some(files)
}

fn read(path: &Utf8Path) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// The files that `check` finds something in, with what it found.
fn offenders(
    files: &[Utf8PathBuf],
    chosen: impl Fn(&Utf8Path) -> bool,
    check: impl Fn(&Utf8Path, &str) -> Option<String>,
) -> Vec<String> {
    files
        .iter()
        .filter(|path| chosen(path))
        .filter_map(|path| Some(format!("{path}: {}", check(path, &read(path))?)))
        .collect()
}

fn is_text(path: &Utf8Path) -> bool {
    std::fs::read(root().join(path)).is_ok_and(|bytes| std::str::from_utf8(&bytes).is_ok())
}

/// The first line that holds one of `words`, not as part of a longer word.
fn mention(text: &str, words: &[String]) -> Option<String> {
    let is_part = |neighbour: Option<char>| neighbour.is_some_and(char::is_alphanumeric);
    text.lines().enumerate().find_map(|(index, line)| {
        let found = words.iter().find(|word| {
            line.match_indices(word.as_str()).any(|(at, _)| {
                !is_part(line[..at].chars().next_back())
                    && !is_part(line[at + word.len()..].chars().next())
            })
        })?;
        Some(format!("line {}: `{found}`", index + 1))
    })
}

/// Words in two halves, so that this file does not hold them.
fn words(halves: &[(&str, &str)]) -> Vec<String> {
    halves.iter().map(|(a, b)| format!("{a}{b}")).collect()
}

#[test]
fn nothing_speaks_of_the_place_where_it_was_written() {
    let Some(files) = files() else { return };
    let forbidden = words(&[
        ("/work/", "main"),
        ("/work/", "shared"),
        ("/work/", "wt"),
        ("/root/", ".cache"),
        ("/root/", ".cargo"),
        (".cache/", "kdev"),
        ("arti", "factory"),
        ("anth", "ropic"),
        ("cla", "ude"),
        ("chat", "gpt"),
        ("open", "ai"),
        ("co", "pilot"),
        ("language", " model"),
        ("ai", " assistant"),
        ("ai", "-generated"),
        ("co-authored", "-by"),
    ]);
    let found = offenders(&files, is_text, |_, text| {
        mention(&text.to_lowercase(), &forbidden)
    });
    assert_eq!(found, [""; 0]);
}

#[test]
fn sources_hold_no_unfinished_work() {
    let Some(files) = files() else { return };
    let forbidden = words(&[
        ("TO", "DO"),
        ("FIX", "ME"),
        ("to", "do!"),
        ("unimple", "mented!"),
    ]);
    let found = offenders(
        &files,
        |path| {
            path.extension() == Some("rs") && path != "tests/tidy.rs"
                || path.starts_with("fragments")
        },
        |_, text| mention(text, &forbidden),
    );
    assert_eq!(found, [""; 0]);
}

#[test]
fn a_mention_is_a_whole_word() {
    let words = words(&[("bad", "word")]);
    let rows = [
        ("a badword.", true),
        ("a BadWord.", false),
        ("badword", true),
        ("badwords", false),
        ("abadword", false),
        ("ein-badword-ä", true),
    ];
    for (text, expected) in rows {
        assert_eq!(mention(text, &words).is_some(), expected, "{text}");
    }
}

#[test]
fn files_are_small() {
    let Some(files) = files() else { return };
    let large: Vec<_> = files
        .iter()
        .filter(|path| root().join(path).metadata().unwrap().len() > 256 * 1024)
        .collect();
    assert!(large.is_empty(), "{large:?}");
}

#[test]
fn modules_are_named_for_what_they_hold() {
    let Some(files) = files() else { return };
    let vague: Vec<_> = files
        .iter()
        .filter(|path| {
            ["utils.rs", "util.rs", "helpers.rs", "misc.rs", "common.rs"]
                .contains(&path.file_name().unwrap_or_default())
        })
        .collect();
    assert!(vague.is_empty(), "{vague:?}");
}

#[test]
fn every_fragment_says_what_it_is_for() {
    let library = Library::embedded();
    assert!(library.iter().count() > 10);
    for fragment in library.iter() {
        let summary = fragment.header().summary.as_deref().unwrap_or_default();
        assert!(!summary.is_empty(), "{}", fragment.name());
    }
}

#[test]
fn c_sources_and_scripts_name_their_licence() {
    let Some(files) = files() else { return };
    let found = offenders(
        &files,
        |path| {
            matches!(path.extension(), Some("c" | "h" | "S" | "sh" | "py"))
                || path.starts_with("tests/fixtures/kernel/scripts")
        },
        |_, text| {
            let named = text
                .lines()
                .take(2)
                .any(|line| line.contains("SPDX-License-Identifier: MIT OR Apache-2.0"));
            (!named).then(|| "no SPDX line".to_owned())
        },
    );
    assert_eq!(found, [""; 0]);
}

#[test]
fn the_changelog_has_a_place_for_the_next_change() {
    let changelog = read("CHANGELOG.md".into());
    assert!(changelog.contains("\n## [Unreleased]\n"), "{changelog}");
}

/// The targets of `[text](target)` in Markdown that are paths: no URL, no anchor of the
/// same page, and not in a code block.
fn links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    let mut code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            code = !code;
        }
        if code {
            continue;
        }
        for (at, _) in line.match_indices("](") {
            let target = line[at + 2..].split(')').next().unwrap_or_default();
            let path = target.split('#').next().unwrap_or_default();
            if !path.is_empty() && !path.contains("://") {
                links.push(path.to_owned());
            }
        }
    }
    links
}

#[test]
fn every_page_of_the_book_is_in_its_summary() {
    let Some(files) = files() else { return };
    let summary = links(&read("book/src/SUMMARY.md".into()));
    let pages: Vec<_> = files
        .iter()
        .filter_map(|path| path.strip_prefix("book/src").ok())
        .filter(|page| page.extension() == Some("md") && *page != "SUMMARY.md")
        .collect();
    assert!(pages.len() > 5, "{pages:?}");
    for page in pages {
        let times = summary.iter().filter(|link| page == link.as_str()).count();
        assert_eq!(times, 1, "{page} in SUMMARY.md");
    }
}

#[test]
fn links_between_pages_lead_somewhere() {
    let Some(files) = files() else { return };
    let found = offenders(
        &files,
        |path| path.extension() == Some("md"),
        |path, text| {
            let directory = root().join(path.parent().unwrap_or(Utf8Path::new("")));
            let broken = links(text)
                .into_iter()
                .find(|link| !directory.join(link).exists())?;
            Some(format!("link to {broken}"))
        },
    );
    assert_eq!(found, [""; 0]);
}

#[test]
fn links_in_code_are_not_links() {
    let text = "[a](b.md#c) [d](https://e) [f](#g)\n```text\n[h](i)\n```\n[j](../k)\n";
    assert_eq!(links(text), ["b.md", "../k"]);
}

/// Reads that need no limit of `kernelkit::limits`, or state it themselves: file, how many, and why.
const RAW_READS: &[(&str, usize, &str)] = &[
    (
        "boot/module.rs",
        1,
        "up to the limit that is handed in, limits::IMAGE",
    ),
    ("effect/environment.rs", 1, "/proc/meminfo"),
    ("effect/exec.rs", 1, "up to the limit that is handed in"),
    ("effect/fs.rs", 4, "the wrapper itself"),
    ("effect/jobserver.rs", 1, "/proc/self/fdinfo"),
    (
        "effect/kconfig/image.rs",
        1,
        "as long as the record's own header says, of a file of ours",
    ),
    ("effect/log.rs", 1, "/proc/version and its like"),
    ("effect/nix/cache.rs", 1, "32 bytes of /dev/urandom"),
    (
        "effect/nix/daemon.rs",
        1,
        "a file of ours, sent piece by piece",
    ),
    (
        "effect/nix/daemon/channel.rs",
        1,
        "what a program of the user's says as it ends",
    ),
    (
        "effect/nix/nar.rs",
        3,
        "as long as the file was when it was looked at",
    ),
    (
        "effect/places.rs",
        1,
        "the kernel's table of mounts, which is waited for",
    ),
    ("effect/source/archive.rs", 1, "six bytes"),
    ("effect/toolchain.rs", 2, "up to limits::SCRIPT"),
    (
        "kconfig/image.rs",
        1,
        "as long as the record's own header says, of a file of ours",
    ),
];

/// How many reads of a text have no limit by themselves; those of its tests do not count.
fn raw_reads(text: &str) -> usize {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let words = [
        "std::fs::read(",
        "std::fs::read_to_string(",
        "File::open(",
        ".read_to_end(",
        ".read_to_string(",
        "io::read_to_string(",
    ];
    code.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .filter(|line| words.iter().any(|word| line.contains(word)))
        .count()
}

#[test]
fn what_is_read_from_outside_has_a_limit() {
    let Some(files) = files() else { return };
    let sources: Vec<_> = files
        .iter()
        .filter(|path| {
            (path.starts_with("kernelkit/src") || path.starts_with("cargo-kernel/src"))
                && path.extension() == Some("rs")
                && path.file_name() != Some("tests.rs")
                && !path.as_str().contains("/tests/")
        })
        .collect();
    assert!(sources.len() > 100, "{sources:?}");
    let mut known = 0;
    for path in sources {
        let relative = path.strip_prefix("kernelkit/src").unwrap_or(path);
        let row = RAW_READS.iter().find(|(file, ..)| relative == *file);
        known += usize::from(row.is_some());
        let (allowed, why) = row.map_or((0, "none"), |(_, count, why)| (*count, *why));
        assert_eq!(
            raw_reads(&read(path)),
            allowed,
            "{path} reads without kernelkit::effect::fs ({why}): use `fs::input`, `fs::read` or `fs::limited`"
        );
    }
    assert_eq!(known, RAW_READS.len(), "a row names a file that is gone");
}

#[test]
fn a_raw_read_is_found() {
    for (text, expected) in [
        ("let a = std::fs::read(path)?;", 1),
        ("file.read_to_end(&mut bytes)?;\nFile::open(x)", 2),
        ("fs::read(path)?; fs::input(path)?", 0),
        ("// std::fs::read(path)", 0),
        ("x\n#[cfg(test)]\nstd::fs::read(path)", 0),
    ] {
        assert_eq!(raw_reads(text), expected, "{text}");
    }
}

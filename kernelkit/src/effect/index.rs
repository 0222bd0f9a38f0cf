//! `compile_commands.json` from the `.cmd` files that Kbuild leaves beside every object, for a tree that
//! need not be the one that was built: clangd then knows a developer's worktree at once.
//!
//! The format is that of <https://clang.llvm.org/docs/JSONCompilationDatabase.html>.

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use super::fs;

/// One object's entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Entry {
    /// The source, absolute.
    pub file: Utf8PathBuf,
    /// Where the command runs: the build directory.
    pub directory: Utf8PathBuf,
    /// The compiler's command line, as a shell takes it.
    pub command: String,
}

/// The entries of everything that was compiled in `build` from the tree `source`, as if it had been
/// compiled from `tree`, in the order of the files.
pub fn entries(
    build: &Utf8Path,
    source: &Utf8Path,
    tree: &Utf8Path,
) -> Result<Vec<Entry>, fs::Error> {
    let mut entries = Vec::new();
    for entry in fs::below(build) {
        let entry = entry?;
        let name = entry.file_name();
        if name.starts_with('.') && name.ends_with(".o.cmd") {
            let bytes = fs::read(entry.path())?;
            let text = String::from_utf8_lossy(&bytes);
            let moved = |text: &str| replace_path(text, source.as_str(), tree.as_str());
            entries.extend(parse(&text).map(|(command, file)| Entry {
                file: build.join(moved(file)),
                directory: build.to_owned(),
                command: moved(&command),
            }));
        }
    }
    entries.sort_unstable();
    Ok(entries)
}

/// Writes the entries into `tree`, where clangd looks for them. Returns how many there are.
pub fn write(build: &Utf8Path, source: &Utf8Path, tree: &Utf8Path) -> Result<usize, fs::Error> {
    let entries = entries(build, source, tree)?;
    let json = serde_json::to_vec_pretty(&entries).expect("entries are plain data");
    fs::write_if_changed(tree.join("compile_commands.json"), &json)?;
    Ok(entries.len())
}

/// The compiler's command and its source in a `.cmd` file: the line `savedcmd_X := …`
/// (`cmd_X := …` before 6.3), less what runs after the compiler. Only C is of use to clangd.
fn parse(text: &str) -> Option<(String, &str)> {
    let (name, command) = text.lines().next()?.split_once(" := ")?;
    name.strip_prefix("saved")
        .unwrap_or(name)
        .strip_prefix("cmd_")?;
    // make's way to write a number sign.
    let end = command
        .match_indices(".c")
        .map(|(at, _)| at + 2)
        .find(|end| {
            matches!(
                command[*end..].trim_start().chars().next(),
                None | Some(';')
            )
        })?;
    let command = &command[..end];
    let file = &command[command.rfind(' ')? + 1..];
    let file = &text[text.find(file)?..][..file.len()];
    Some((command.replace("$(pound)", "#").replace("\\#", "#"), file))
}

/// Replaces a directory where it stands as one, not as the beginning of a longer name.
fn replace_path(text: &str, from: &str, to: &str) -> String {
    let mut replaced = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(from) {
        let (before, after) = rest.split_at(at);
        let after = &after[from.len()..];
        let whole = !after.starts_with(|next: char| {
            next.is_alphanumeric() || matches!(next, '-' | '_' | '.' | '+')
        });
        replaced.push_str(before);
        replaced.push_str(if whole { to } else { from });
        rest = after;
    }
    replaced + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_ends_with_its_source() {
        let check = |text: &str, expected: Option<(&str, &str)>| {
            let parsed = parse(text);
            let parsed = parsed
                .as_ref()
                .map(|(command, file)| (command.as_str(), *file));
            assert_eq!(parsed, expected, "{text}");
        };
        check(
            "savedcmd_init/main.o := gcc -Wp,-MMD,init/.main.o.d -I/s/include -DX='\"a.c\"' -c -o init/main.o /s/init/main.c  ; ./tools/objtool/objtool init/main.o\n\nsource_init/main.o := /s/init/main.c\n",
            Some((
                "gcc -Wp,-MMD,init/.main.o.d -I/s/include -DX='\"a.c\"' -c -o init/main.o /s/init/main.c",
                "/s/init/main.c",
            )),
        );
        check(
            "cmd_a.o := gcc -DP='$(pound)' -DQ='\\#' -c -o a.o a.c\n",
            Some(("gcc -DP='#' -DQ='#' -c -o a.o a.c", "a.c")),
        );
        check("savedcmd_a.o := gcc -c -o a.o a.S\n", None);
        check("savedcmd_built-in.a := rm -f built-in.a; ar x\n", None);
        check("", None);
    }

    #[test]
    fn only_whole_directories_are_replaced() {
        assert_eq!(
            replace_path(
                "-I/a/b/include -I/a/b -I/a/bc /a/b-2/x /a/b/x.c",
                "/a/b",
                "/n"
            ),
            "-I/n/include -I/n -I/a/bc /a/b-2/x /n/x.c"
        );
    }

    #[test]
    fn an_index_is_for_another_tree_than_the_one_that_was_built() {
        let guard = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(guard.path().to_owned()).unwrap();
        let (build, tree) = (root.join("build"), root.join("dev"));
        fs::create_dir_all(&tree).unwrap();
        for (object, source) in [("b/x", "/s/b/x.c"), ("a", "/s/a.c")] {
            let path = build.join(object);
            let path = path.with_file_name(format!(".{}.o.cmd", path.file_name().unwrap()));
            let text =
                format!("savedcmd_{object}.o := gcc -I/s/include -c -o {object}.o {source}\n");
            fs::write_atomic(path, text.as_bytes()).unwrap();
        }
        assert_eq!(write(&build, "/s".into(), &tree).unwrap(), 2);
        let read = fs::read(tree.join("compile_commands.json")).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&read).unwrap();
        assert_eq!(read[0]["file"], tree.join("a.c").as_str());
        assert_eq!(
            read[1]["command"],
            format!("gcc -I{tree}/include -c -o b/x.o {tree}/b/x.c")
        );
        assert_eq!(read[1]["directory"], build.as_str());
    }
}

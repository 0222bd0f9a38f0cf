//! The oldest tools that a kernel tree takes, held against those at hand.
//!
//! The tree says it in two places: the script `scripts/min-tool-version.sh`, which its Kconfig
//! files go by, and the table in `Documentation/process/changes.rst`, which has more tools.
//! The script is a few branches of one `case`; [`read_script`] understands that much shell,
//! so that no command of the tree has to run for it.

use std::fmt;

use camino::Utf8PathBuf;
use serde::Serialize;

use crate::doctor::{Minimums, Version};
use crate::spec::Compiler;
use crate::toolchain::{Role, Toolchain};

/// The script, below the tree.
pub const SCRIPT: &str = "scripts/min-tool-version.sh";

/// The table, below the tree.
pub const TABLE: &str = "Documentation/process/changes.rst";

/// The tools that the script knows.
pub const TOOLS: [&str; 5] = ["binutils", "gcc", "llvm", "rustc", "bindgen"];

/// What the script prints for `tool`, with `ARCH` and `SRCARCH` as given; `None` where
/// it is more than a `case` with conditions on these two.
pub fn read_script(script: &str, tool: &str, arch: &str, srcarch: &str) -> Option<Version> {
    // A branch may stand on one line.
    let script = script
        .replace(";;", "\n;;\n")
        .replace(") echo ", ")\necho ");
    let lines = script.lines().map(str::trim);
    let mut lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    // Above it the script sees to its arguments, and sets nothing.
    loop {
        let line = lines.next()?;
        if matches!(line, "case \"$1\" in" | "case $1 in") {
            break;
        }
        if line.contains('=') && !line.contains("!=") {
            return None;
        }
    }
    let pattern = format!("{tool})");
    lines.find(|line| *line == pattern)?;
    // Whether a branch was taken, and whether this is it, for each `if` that is open.
    let mut open: Vec<(bool, bool)> = Vec::new();
    let mut printed = None;
    loop {
        let line = lines.next()?;
        let runs = open.iter().all(|(_, here)| *here);
        if line == ";;" {
            return printed.filter(|_| open.is_empty());
        } else if let Some(condition) = line.strip_prefix("if ") {
            let holds = holds(condition, arch, srcarch)?;
            open.push((holds, holds));
        } else if let Some(condition) = line.strip_prefix("elif ") {
            let (taken, here) = open.last_mut()?;
            *here = !*taken && holds(condition, arch, srcarch)?;
            *taken |= *here;
        } else if line == "else" {
            let (taken, here) = open.last_mut()?;
            *here = !*taken;
            *taken = true;
        } else if line == "fi" {
            open.pop()?;
        } else {
            let version = line.strip_prefix("echo ")?.parse().ok()?;
            if runs && printed.replace(version).is_some() {
                return None;
            }
        }
    }
}

/// Whether `[ "$ARCH" = value ]; then` holds.
fn holds(condition: &str, arch: &str, srcarch: &str) -> Option<bool> {
    let test = condition.strip_prefix("[ ")?.strip_suffix(" ]; then")?;
    let (variable, value) = test.split_once(" = ")?;
    let found = match variable {
        "\"$ARCH\"" => arch,
        "\"$SRCARCH\"" => srcarch,
        _ => return None,
    };
    let value = value.trim_matches('"');
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    value.bytes().all(plain).then_some(found == value)
}

/// A tool that is older than the tree takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TooOld {
    /// The tool's name in the tree's words: `gcc`, `llvm`, `binutils`, `rustc`.
    pub tool: String,
    /// The program.
    pub program: String,
    /// Where it was found.
    pub path: Utf8PathBuf,
    /// Its version.
    pub found: Version,
    /// What is needed.
    pub needed: Version,
}

impl fmt::Display for TooOld {
    /// `gcc 4.9.2 (/usr/bin/gcc) is older than gcc 5.1.0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} ({}) is older than {} {}",
            self.program, self.found, self.path, self.tool, self.needed
        )
    }
}

/// The tools of a toolchain that are too old for a tree. Those that only some configurations
/// use count where `asks` says that a symbol is asked for. A version that a tool does not
/// tell is taken for new enough.
pub fn too_old(
    toolchain: &Toolchain,
    minimums: &Minimums,
    asks: impl Fn(&str) -> bool,
) -> Vec<TooOld> {
    let gnu = toolchain.compiler == Compiler::Gcc;
    let mut rows = vec![
        (Role::Cc, if gnu { "gcc" } else { "llvm" }),
        (Role::As, "binutils"),
        (Role::Ld, if gnu { "binutils" } else { "llvm" }),
        (Role::Make, "make"),
    ];
    if asks("RUST") {
        rows.extend([(Role::Rustc, "rustc"), (Role::Bindgen, "bindgen")]);
    }
    if asks("DEBUG_INFO_BTF") {
        rows.push((Role::Pahole, "pahole"));
    }
    let old = rows.into_iter().filter_map(|(role, name)| {
        let tool = toolchain.tool(role)?;
        let needed = minimums.get(name)?;
        let found = Version::find(&tool.version)?;
        (!found.satisfies(needed)).then(|| TooOld {
            tool: name.to_owned(),
            program: tool.program.clone(),
            path: tool.path.clone(),
            found,
            needed: needed.clone(),
        })
    });
    old.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = "\
#!/bin/sh
# Of our own making, in the manner of the kernel's.
set -e

if [ $# != 1 ]; then
	exit 1
fi

case \"$1\" in
binutils)
	echo 2.30.0
	;;
llvm)
	if [ \"$SRCARCH\" = s390 ]; then
		echo 15.0.0
	elif [ \"$ARCH\" = \"loongarch\" ]; then
		echo 18.0.0
	else
		echo 13.0.1
	fi
	;;
gcc)
	echo $gcc_version
	;;
rustc)
	[ -n \"$X\" ] || echo 1.2.3
	;;
*)
	exit 1
	;;
esac
";

    #[test]
    fn the_script_is_understood_as_far_as_it_is_a_case() {
        let read = |tool: &str, arch: &str, srcarch: &str| {
            read_script(SCRIPT, tool, arch, srcarch).map(|version| version.to_string())
        };
        for (tool, arch, srcarch, expected) in [
            ("binutils", "x86_64", "x86", Some("2.30.0")),
            ("llvm", "x86_64", "x86", Some("13.0.1")),
            ("llvm", "s390", "s390", Some("15.0.0")),
            ("llvm", "loongarch", "loongarch", Some("18.0.0")),
            // What would have to be run.
            ("gcc", "x86_64", "x86", None),
            ("rustc", "x86_64", "x86", None),
            ("bindgen", "x86_64", "x86", None),
        ] {
            assert_eq!(
                read(tool, arch, srcarch).as_deref(),
                expected,
                "{tool} {arch}"
            );
        }
        let set_before = format!("binutils=1.0\n{SCRIPT}");
        assert_eq!(read_script(&set_before, "binutils", "arm", "arm"), None);
        assert_eq!(read_script("", "gcc", "arm", "arm"), None);
    }

    fn toolchain(compiler: Compiler, versions: &[(Role, &str)]) -> Toolchain {
        let tool = |(role, version): &(Role, &str)| crate::toolchain::Tool {
            role: *role,
            program: role.row().gnu.to_owned(),
            path: format!("/usr/bin/{}", role.row().gnu).into(),
            version: (*version).to_owned(),
            sha256: crate::source::Sha256::of(b""),
            parts: Vec::new(),
            arguments: Vec::new(),
        };
        Toolchain {
            arch: "x86_64".parse().unwrap(),
            compiler,
            prefix: String::new(),
            suffix: String::new(),
            cc_version_text: String::new(),
            tools: versions.iter().map(tool).collect(),
        }
    }

    #[test]
    fn what_is_too_old_is_told_with_what_is_needed() {
        let mut minimums = Minimums::default();
        for (name, version) in [
            ("gcc", "8.1.0"),
            ("binutils", "2.30.0"),
            ("llvm", "17.0.1"),
            ("make", "4.0"),
            ("rustc", "1.85.0"),
            ("pahole", "1.26"),
        ] {
            minimums.set(name, version.parse().unwrap());
        }
        let tools = [
            (Role::Cc, "gcc (Debian 12.2.0-14) 7.5.0"),
            (Role::As, "GNU assembler (GNU Binutils for Debian) 2.40"),
            (Role::Ld, "GNU ld (GNU Binutils for Debian) 2.29"),
            (Role::Make, "GNU Make 4.3"),
            (Role::Rustc, "rustc 1.63.0 (4b91a6ea7 2022-08-08)"),
            (Role::Pahole, "says nothing"),
        ];
        let old = |compiler, asked: &str| -> Vec<String> {
            let asks = |symbol: &str| asked.split(' ').any(|one| one == symbol);
            let old = too_old(&toolchain(compiler, &tools), &minimums, asks);
            old.iter().map(ToString::to_string).collect()
        };
        let gcc = "gcc 7.5.0 (/usr/bin/gcc) is older than gcc 8.1.0";
        let ld = "ld 2.29 (/usr/bin/ld) is older than binutils 2.30.0";
        assert_eq!(old(Compiler::Gcc, ""), [gcc, ld]);
        assert_eq!(
            old(Compiler::Gcc, "RUST DEBUG_INFO_BTF"),
            [
                gcc,
                ld,
                "rustc 1.63.0 (/usr/bin/rustc) is older than rustc 1.85.0"
            ]
        );
        assert_eq!(
            old(Compiler::Clang, "")[0],
            "gcc 7.5.0 (/usr/bin/gcc) is older than llvm 17.0.1"
        );
    }
}

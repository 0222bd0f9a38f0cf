//! A tree that stands in for a kernel where a test is about cargo kernel, not about a kernel.

use camino::{Utf8Path, Utf8PathBuf};

use super::{Sandbox, root};

/// A copy of `tests/fixtures/kernel`: what cargo kernel asks of a tree, built in a second by
/// the machine's own make and compiler. Its Makefile says which goals it has; its Kconfig
/// has the symbols of `preset/tiny` and of the debug layer.
pub(crate) struct StandIn {
    dir: Utf8PathBuf,
}

impl StandIn {
    /// At `relative` in the sandbox, as 6.12.117.
    pub(crate) fn new(sandbox: &Sandbox, relative: &str) -> Self {
        let dir = sandbox.path(relative);
        copy(&root().join("tests/fixtures/kernel"), &dir);
        StandIn { dir }
    }

    /// Where it is.
    pub(crate) fn dir(&self) -> &Utf8Path {
        &self.dir
    }

    /// Sets the four version lines of the Makefile, as in `["6", "1", "192", ""]`.
    pub(crate) fn version(self, parts: [&str; 4]) -> Self {
        let names = ["VERSION", "PATCHLEVEL", "SUBLEVEL", "EXTRAVERSION"];
        self.edit("Makefile", |text| {
            let line = |line: &str| {
                let found = names
                    .iter()
                    .position(|name| line.starts_with(&format!("{name} =")));
                found.map_or(line.to_owned(), |index| {
                    format!("{} = {}", names[index], parts[index])
                })
            };
            text.lines().map(|text| line(text) + "\n").collect()
        })
    }

    /// Replaces the text of one of its files.
    pub(crate) fn edit(self, file: &str, change: impl FnOnce(&str) -> String) -> Self {
        let path = self.dir.join(file);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        std::fs::write(&path, change(&text)).unwrap();
        self
    }
}

fn copy(from: &Utf8Path, to: &Utf8Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in from.read_dir_utf8().unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// `make -C <tree> O=<sandbox>/out <args>`, its output on success.
    fn make(sandbox: &Sandbox, tree: &StandIn, args: &[&str]) -> Result<String, String> {
        let output = Command::new("make")
            .args(["-C", tree.dir().as_str(), "--no-print-directory"])
            .args([&format!("O={}", sandbox.path("out")), "ARCH=x86_64"])
            .args(args)
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        match output.status.success() {
            true => Ok(text(output.stdout)),
            false => Err(text(output.stderr)),
        }
    }

    fn read(sandbox: &Sandbox, path: &str) -> String {
        std::fs::read_to_string(sandbox.path(path)).unwrap()
    }

    #[test]
    fn the_stand_in_says_its_version_as_a_kernel_does() {
        let sandbox = Sandbox::new();
        let tree = StandIn::new(&sandbox, "tree")
            .version(["7", "3", "0", "-rc4"])
            .edit("localversion-next", |_| "-next-20260801\n".to_owned());
        let ask = |goal| make(&sandbox, &tree, &["-s", goal, "LOCALVERSION="]).unwrap();
        assert_eq!(ask("kernelversion"), "7.3.0-rc4\n");
        assert_eq!(ask("kernelrelease"), "7.3.0-rc4-next-20260801\n");
        assert_eq!(ask("image_name"), "arch/x86/boot/bzImage\n");
    }

    #[test]
    fn the_stand_in_resolves_as_conf_does() {
        let sandbox = Sandbox::new();
        let tree = StandIn::new(&sandbox, "tree");
        let rows = [
            // (goal, request, line that must be there)
            (
                "allnoconfig",
                "CONFIG_EXT4_FS=y",
                "# CONFIG_BLOCK is not set",
            ),
            ("alldefconfig", "CONFIG_EXT4_FS=y", "CONFIG_EXT4_FS=y"),
            ("alldefconfig", "CONFIG_EXT4_FS=m", "CONFIG_EXT4_FS=y"),
            (
                "alldefconfig",
                "CONFIG_MODULES=y\nCONFIG_EXT4_FS=m",
                "CONFIG_EXT4_FS=m",
            ),
            (
                "alldefconfig",
                "CONFIG_LOCALVERSION=\"-x\"",
                "CONFIG_LOCALVERSION=\"-x\"",
            ),
            (
                "allyesconfig",
                "# CONFIG_BLOCK is not set",
                "# CONFIG_BLOCK is not set",
            ),
            ("allmodconfig", "", "CONFIG_TEST_LKM=m"),
            (
                "allnoconfig",
                "CONFIG_FRAME_WARN=1024",
                "CONFIG_FRAME_WARN=1024",
            ),
        ];
        for (goal, request, line) in rows {
            let request_file = sandbox.write("request", &format!("{request}\n"));
            let allconfig = format!("KCONFIG_ALLCONFIG={request_file}");
            make(&sandbox, &tree, &[goal, &allconfig]).unwrap();
            let config = read(&sandbox, "out/.config");
            assert!(
                config.lines().any(|text| text == line),
                "{goal}, {request}: {config}"
            );
            make(&sandbox, &tree, &["olddefconfig"]).unwrap();
            assert_eq!(read(&sandbox, "out/.config"), config, "{goal} is stable");
        }
        let allnoconfig = format!(
            "KCONFIG_ALLCONFIG={}",
            sandbox.write("request", "CONFIG_EXT4_FS=y\n")
        );
        make(&sandbox, &tree, &["allnoconfig", &allnoconfig]).unwrap();
        let unmet = read(&sandbox, "out/.config");
        assert!(
            !unmet.contains("EXT4_FS"),
            "a symbol without its dependencies vanishes: {unmet}"
        );
    }

    #[test]
    fn the_stand_in_builds_what_changed_and_no_more() {
        let sandbox = Sandbox::new();
        let tree = StandIn::new(&sandbox, "tree");
        let pinned = [
            "KBUILD_BUILD_TIMESTAMP=today",
            "KBUILD_BUILD_USER=u",
            "KBUILD_BUILD_HOST=h",
        ];
        let build =
            |tree: &StandIn, goals: &[&str]| make(&sandbox, tree, &[&pinned, goals].concat());
        let missing = build(&tree, &[]).unwrap_err();
        assert!(missing.contains("not found"), "{missing}");
        make(&sandbox, &tree, &["allmodconfig"]).unwrap();
        let cold = build(&tree, &[]).unwrap();
        assert!(cold.contains("  CC      init/main.o\n"), "{cold}");
        assert_eq!(build(&tree, &[]).unwrap(), "");
        let tree = tree.edit("lib/string.c", |text| format!("{text}/* edited */\n"));
        let compiled = build(&tree, &[]).unwrap();
        let compiled: Vec<_> = compiled
            .lines()
            .filter(|line| line.contains("  CC "))
            .collect();
        assert_eq!(compiled, ["  CC      lib/string.o"]);

        let destination = format!("INSTALL_MOD_PATH={}", sandbox.path("destdir"));
        build(&tree, &["modules_install", &destination]).unwrap();
        let module = "destdir/lib/modules/6.12.117/kernel/lib/test_module.ko";
        assert!(sandbox.path(module).exists());
        build(&tree, &["compile_commands.json"]).unwrap();
        let commands: serde_json::Value =
            serde_json::from_str(&read(&sandbox, "out/compile_commands.json")).unwrap();
        assert_eq!(commands.as_array().unwrap().len(), 6);

        let tree = tree.edit("lib/string.c", |text| format!("{text}int broken(\n"));
        let error = build(&tree, &[]).unwrap_err();
        assert!(
            error.contains("lib/string.c") && error.contains("error: "),
            "{error}"
        );
    }
}

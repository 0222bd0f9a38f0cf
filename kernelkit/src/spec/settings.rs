//! Every setting there is, in one table. It drives reading, the suggestions for unknown
//! keys, the reference page and the starter, so that none of them can miss a setting.

use toml::de::DeValue;

use super::error::{Problem, nearest};
use super::input::{Input, Outcome};
use super::layer::{Common, CompilerParts, Layer, PatchParts, RuleParts, SourceParts};
use super::matrix::{self, MatrixParts};
use super::{ConfigBase, compiler, mail, patch, sign, source, value};
use crate::credentials::{public, redact};
use crate::patch::mail::is_on_a_list;
use crate::source::Source;

/// Which table a setting stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// `[workspace.metadata.kernel]`, or `[package.metadata.kernel]` of a member.
    Workspace,
    /// `[….kernels.<name>]`, and `[….defaults]` for all kernels at once.
    Kernel,
    /// A kernel's `source`, where it is a table.
    Source,
    /// An item of a kernel's `patches`, where it is a table.
    Patch,
    /// `[….matrix.<name>]`; the settings of kernels stand in it, too.
    Matrix,
    /// `[….compilers.<name>]`.
    Compiler,
    /// An item of `toolchains`.
    Rule,
}

/// One setting: a row of [`SETTINGS`].
pub struct Setting {
    /// Its key in the table.
    pub key: &'static str,
    /// What its value may be, such as `string or list of strings`.
    pub kind: &'static str,
    /// What holds where it is not set; empty where nothing does.
    pub default: &'static str,
    /// A value as TOML writes it; the starter shows it.
    pub example: &'static str,
    /// The command-line flag that sets it. A boolean one has a `--no-…` twin.
    pub flag: Option<&'static str>,
    /// What it does: Markdown, whole sentences.
    pub doc: &'static str,
    pub(super) read: Read,
}

/// How a setting is read, which also says where it stands.
pub(super) enum Read {
    Workspace(fn(&mut Common, &Input<'_>) -> Outcome<()>),
    /// A table of tables of settings, which the reader walks itself.
    Tables,
    Kernel(fn(&mut Layer, &Input<'_>) -> Outcome<()>),
    Source(fn(&mut SourceParts, &Input<'_>) -> Outcome<()>),
    Patch(fn(&mut PatchParts, &Input<'_>) -> Outcome<()>),
    Compiler(fn(&mut CompilerParts, &Input<'_>) -> Outcome<()>),
    Rule(fn(&mut RuleParts, &Input<'_>) -> Outcome<()>),
    Matrix(for<'a> fn(&mut MatrixParts<'a>, &Input<'a>) -> Outcome<()>),
}

impl Setting {
    /// The table it stands in.
    pub fn table(&self) -> Table {
        match self.read {
            Read::Workspace(_) | Read::Tables => Table::Workspace,
            Read::Kernel(_) => Table::Kernel,
            Read::Source(_) => Table::Source,
            Read::Patch(_) => Table::Patch,
            Read::Matrix(_) => Table::Matrix,
            Read::Compiler(_) => Table::Compiler,
            Read::Rule(_) => Table::Rule,
        }
    }

    /// Whether `table` may hold it: a matrix holds the settings of its kernels, too.
    fn stands_in(&self, table: Table) -> bool {
        let inherited = table == Table::Matrix && self.table() == Table::Kernel;
        self.table() == table || inherited
    }

    /// The flag that turns a boolean setting off: `--no-reuse` for `--reuse`.
    pub fn negative_flag(&self) -> Option<String> {
        let name = self.flag?.strip_prefix("--")?;
        (self.kind == "boolean").then(|| format!("--no-{name}"))
    }
}

/// The setting `key` of `table`.
pub(super) fn find(table: Table, key: &str) -> Option<&'static Setting> {
    SETTINGS
        .iter()
        .find(|setting| setting.stands_in(table) && setting.key == key)
}

/// The hint for a key that `table` does not have.
pub(super) fn suggest_key(table: Table, key: &str) -> String {
    let keys = |table| {
        SETTINGS
            .iter()
            .filter(move |setting| setting.stands_in(table))
            .map(|setting| setting.key)
    };
    match table {
        Table::Workspace if find(Table::Kernel, key).is_some() => {
            format!(
                "`{key}` is a kernel's: put it into the table `defaults`, or into `kernels.<name>`"
            )
        }
        Table::Kernel if find(Table::Workspace, key).is_some() => {
            format!("`{key}` is the workspace's: put it into the table above")
        }
        Table::Kernel if find(Table::Source, key).is_some() => {
            format!("`{key}` is the source's: write `source = {{ {key} = … }}`")
        }
        _ => match nearest(key, keys(table)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => {
                let all: Vec<&str> = keys(table).collect();
                format!("the keys here are: {}", all.join(", "))
            }
        },
    }
}

macro_rules! switch {
    ($field:ident) => {
        Read::Kernel(|layer, input| {
            layer.$field = input.sourced(input.boolean()?);
            Ok(())
        })
    };
}

macro_rules! text {
    ($field:ident) => {
        Read::Source(|parts, input| {
            parts.$field = input.sourced(input.text()?.to_owned());
            Ok(())
        })
    };
}

/// Every setting, in the order in which the reference lists them.
pub static SETTINGS: &[Setting] = &[
    Setting {
        key: "default",
        kind: "string or list of strings",
        default: "every kernel",
        example: "[\"tiny\"]",
        flag: None,
        doc: "The kernels that are meant when a command names none.",
        read: Read::Workspace(|common, input| {
            common
                .default_kernels
                .extend(input.one_or_more(value::kernel_name)?);
            Ok(())
        }),
    },
    Setting {
        key: "fragment-dirs",
        kind: "list of strings",
        default: "",
        example: "[\"kernel/fragments\"]",
        flag: Some("--fragment-dir"),
        doc: "Directories with fragments of your own, laid out like the library. A later directory wins over an earlier one, and all of them over the library.",
        read: Read::Workspace(|common, input| {
            let dirs = input.list(|text| Ok(source::resolve(input.base, text)))?;
            common.fragment_dirs.extend(dirs);
            Ok(())
        }),
    },
    Setting {
        key: "mail",
        kind: "table",
        default: "",
        example: "{ to = [\"kernel@example.org\"], from = \"ci@example.org\", server = \"mail.example.org:25\" }",
        flag: None,
        doc: "Whom `cargo kernel report --mail` writes to. `to` is one address or a list; `from` is the sender, `cargo-kernel@localhost` where it is left out; `server` takes mail without encryption and password. Without a server the mail goes through `sendmail`.",
        read: Read::Workspace(|common, input| mail::read(input).map(|mail| common.mail = mail)),
    },
    Setting {
        key: "defaults",
        kind: "table",
        default: "",
        example: "{ compiler = \"gcc\" }",
        flag: None,
        doc: "Settings for every kernel that does not make them itself. In a package, they hold for the kernels of that package and win over the workspace's.",
        read: Read::Tables,
    },
    Setting {
        key: "kernels",
        kind: "table",
        default: "",
        example: "{ tiny = { version = \"6.12\", preset = \"tiny\" } }",
        flag: None,
        doc: "The kernels, one table each: `kernels.<name>`. A name is made of letters, digits, `_`, `-` and `.`, and is used once in a workspace.",
        read: Read::Tables,
    },
    Setting {
        key: "flavours",
        kind: "table",
        default: "",
        example: "{ kvm = { fragments = [\"virt/guest\"] } }",
        flag: None,
        doc: "Named sets of settings, one table each: `flavours.<name>`. A kernel takes one by `flavour`.",
        read: Read::Tables,
    },
    Setting {
        key: "matrix",
        kind: "table",
        default: "",
        example: "{ tiny = { preset = \"tiny\", version = \"6.12\", axes = { arch = [\"x86_64\", \"arm64\"] } } }",
        flag: None,
        doc: "Kernels by the product of axes, one table for each matrix: `matrix.<name>`, with the keys below and the settings that all of its kernels share.",
        read: Read::Tables,
    },
    Setting {
        key: "compilers",
        kind: "table",
        default: "",
        example: "{ gcc-7 = { path = \"/opt/gcc-7/bin\" } }",
        flag: None,
        doc: "Compilers by name, one table each: `compilers.<name>`. `gcc`, `clang` and those with a version (`gcc-11`, `clang-19`) need none: they are looked for on `PATH` under these names.",
        read: Read::Workspace(compiler::read_compilers),
    },
    Setting {
        key: "toolchains",
        kind: "list of tables",
        default: "",
        example: "[{ when = \">=6.1\", config = \"RUST\", use = \"clang-19\" }, { use = \"gcc\" }]",
        flag: None,
        doc: "Rules that choose the compiler of each kernel that does not name its own, by version, architecture and configuration: the first that matches wins. `compiler` in `defaults` holds for kernels that none matches; without it, such a kernel is an error. So is a rule that can match no kernel of the workspace, but for a last one without conditions.",
        read: Read::Workspace(compiler::read_rules),
    },
    Setting {
        key: "axes",
        kind: "table",
        default: "",
        example: "{ arch = [\"x86_64\", \"arm64\"], debug = [false, true] }",
        flag: None,
        doc: "The settings that vary, with their values: a list, or a table that gives each value a name. There is a kernel for every combination, called `<matrix>-<value>-<value>` in the order of the axes. A switch is called by its setting where it is on, and not at all where it is off.",
        read: Read::Matrix(matrix::read_axes),
    },
    Setting {
        key: "exclude",
        kind: "list of tables",
        default: "",
        example: "[{ arch = \"arm64\", debug = true }]",
        flag: None,
        doc: "Combinations that there are no kernels of: names of values by axis; an axis that is left out means all of its values. An entry that excludes nothing is an error.",
        read: Read::Matrix(matrix::read_exclude),
    },
    Setting {
        key: "include",
        kind: "list of tables",
        default: "",
        example: "[{ arch = \"riscv64\", debug = false, label = \"trial\" }]",
        flag: None,
        doc: "More combinations, after `exclude`. They may have values that the axis does not have, where it is a list, and settings of their own.",
        read: Read::Matrix(matrix::read_include),
    },
    Setting {
        key: "name",
        kind: "string",
        default: "\"<matrix>-{<axis>}-{<axis>}\"",
        example: "\"tiny-{arch}\"",
        flag: None,
        doc: "What its kernels are called; an axis in braces stands for the name of its value.",
        read: Read::Matrix(matrix::read_name),
    },
    Setting {
        key: "source",
        kind: "string or table",
        default: "",
        example: "\"../linux\"",
        flag: Some("--source"),
        doc: "Where the tree comes from: a directory, a tarball (file or URL, with its hash as `…#sha256=HEX`), `git+REPOSITORY#REF`, `debian:linux-source-6.12`, a version, or a table with the keys below. Needed, unless `version` is set.",
        read: Read::Kernel(|layer, input| {
            let source = match input.value.get_ref() {
                DeValue::Table(table) => source::read_table(input, table)?,
                _ => input.parsed(|text| source::parse_source(text, input.base))?,
            };
            set_source(layer, input, source)
        }),
    },
    Setting {
        key: "version",
        kind: "string",
        default: "",
        example: "\"6.12\"",
        flag: None,
        doc: "A release of kernel.org, instead of `source`: a version (`6.12.117`), the newest of a series (`6.12` or `6.12.y`), or the newest `stable`, `longterm` or `mainline`.",
        read: Read::Kernel(|layer, input| {
            let source = input.parsed(source::release)?;
            set_source(layer, input, source)
        }),
    },
    Setting {
        key: "patches",
        kind: "list of strings or tables",
        default: "",
        example: "[\"patches/*.patch\"]",
        flag: Some("--patch"),
        doc: "Patches, applied in order: files, globs, directories, quilt `series` files, or tables with the keys below. Those of tables with `arch`, `flavour` or `debug` come before all others, and those of the command line after.",
        read: Read::Kernel(|layer, input| {
            layer.patches = input.sourced(patch::read(input)?);
            Ok(())
        }),
    },
    Setting {
        key: "series",
        kind: "string",
        default: "",
        example: "\"mails/fast-path.mbox\"",
        flag: Some("--series"),
        doc: "A mailed series, applied before `patches`: a mailbox or maildir, or a message-id or URL of lore.kernel.org, which b4 fetches.",
        read: Read::Kernel(|layer, input| {
            let text = input.text()?;
            if public(text) != text {
                return Err(vec![
                    input
                        .problem(format!("`{}` has credentials", redact(text)))
                        .hint(
                            "the archives of mailing lists are open: write the URL without"
                                .to_owned(),
                        ),
                ]);
            }
            let text = match is_on_a_list(text) || input.base == input.root {
                true => text.to_owned(),
                false => source::resolve(input.base, text).into_string(),
            };
            layer.series = input.sourced(text);
            Ok(())
        }),
    },
    Setting {
        key: "patch-fuzz",
        kind: "integer",
        default: "0",
        example: "1",
        flag: None,
        doc: "How many lines of context at either end of a patch's hunk may differ: 0, 1 or 2.",
        read: Read::Kernel(|layer, input| {
            layer.patch_fuzz = input.sourced(input.parsed_scalar(patch::fuzz)?);
            Ok(())
        }),
    },
    Setting {
        key: "arch",
        kind: "string",
        default: "this machine's",
        example: "\"x86_64\"",
        flag: Some("--arch"),
        doc: "The architecture the kernel is for.",
        read: Read::Kernel(|layer, input| {
            layer.arch = input.sourced(input.parsed(value::arch)?);
            Ok(())
        }),
    },
    Setting {
        key: "preset",
        kind: "string",
        default: "",
        example: "\"tiny\"",
        flag: Some("--preset"),
        doc: "The configuration starts from a whole-kernel configuration of the library (`preset/<name>.config`). One of `preset`, `make` and `config` may be set; with none of them, the configuration is made of `fragments` alone.",
        read: Read::Kernel(|layer, input| {
            let name = input.text()?.to_owned();
            set_base(layer, input, ConfigBase::Preset { name })
        }),
    },
    Setting {
        key: "make",
        kind: "string or list of strings",
        default: "",
        example: "[\"defconfig\", \"kvm_guest.config\"]",
        flag: Some("--make"),
        doc: "The configuration starts from the kernel's own configuration goals, in order: `defconfig`, `X_defconfig`, `X.config`, `tinyconfig`, `allnoconfig` and so on. They are resolved without make where what they do is fixed; `cargo kernel plan -v` says who resolved.",
        read: Read::Kernel(|layer, input| {
            let goals: Vec<_> = input.one_or_more(value::config_goal)?;
            if goals.is_empty() {
                return Err(vec![
                    input
                        .problem("`make` holds no goal")
                        .hint("write it like `make = \"defconfig\"`".to_owned()),
                ]);
            }
            let goals = goals.into_iter().map(|goal| goal.value).collect();
            set_base(layer, input, ConfigBase::Make { goals })
        }),
    },
    Setting {
        key: "config",
        kind: "string",
        default: "",
        example: "\"kernel/my.config\"",
        flag: Some("--config"),
        doc: "The configuration starts from an existing `.config`, brought up to date with `olddefconfig`.",
        read: Read::Kernel(|layer, input| {
            let path = source::resolve(input.base, input.text()?);
            set_base(layer, input, ConfigBase::File { path })
        }),
    },
    Setting {
        key: "fragments",
        kind: "list of strings",
        default: "",
        example: "[\"fs/ext4\", \"fs/overlayfs\"]",
        flag: Some("--fragment"),
        doc: "Fragments that are merged on top, in the canonical order whatever their order here. Those of the command line are added.",
        read: Read::Kernel(|layer, input| {
            layer.fragments = input.sourced(input.values(|text| Ok(text.to_owned()))?);
            Ok(())
        }),
    },
    Setting {
        key: "allnoconfig-base",
        kind: "boolean",
        default: "true",
        example: "true",
        flag: Some("--allnoconfig-base"),
        doc: "For a kernel that is made of `fragments` alone: symbols that no fragment sets are `n` rather than their default.",
        read: switch!(allnoconfig_base),
    },
    Setting {
        key: "flavour",
        kind: "string",
        default: "",
        example: "\"kvm\"",
        flag: None,
        doc: "One of `flavours`: its settings replace the kernel's own; its patches, fragments and make flags are added.",
        read: Read::Kernel(|layer, input| {
            layer.flavour = input.sourced(input.parsed(value::kernel_name)?);
            Ok(())
        }),
    },
    Setting {
        key: "debug",
        kind: "boolean",
        default: "false",
        example: "true",
        flag: Some("--debug"),
        doc: "Adds the debug layer to the configuration.",
        read: switch!(debug),
    },
    Setting {
        key: "label",
        kind: "string",
        default: "derived from the source",
        example: "\"experiment\"",
        flag: Some("--label"),
        doc: "The middle part of the release: `uname -r` is `<version>-<label>-<digest>`.",
        read: Read::Kernel(|layer, input| {
            layer.label = input.sourced(input.parsed(value::label)?);
            Ok(())
        }),
    },
    Setting {
        key: "release",
        kind: "string",
        default: "\"{version}-{label}-{digest}\"",
        example: "\"{version}-{arch}-{digest}\"",
        flag: Some("--release-template"),
        doc: "How the release (`uname -r`) is composed, of `{version}`, with which it begins, `{series}` (`6.12`), `{flavour}`, `{arch}`, `{dist}`, `{build}`, `{label}` and `{digest}`. A label for which there is no room takes the separator before it along. Without `{digest}`, the first identity that goes into the store under a release keeps it.",
        read: Read::Kernel(|layer, input| {
            layer.release = input.sourced(input.parsed(value::release)?);
            Ok(())
        }),
    },
    Setting {
        key: "build",
        kind: "string or integer",
        default: "",
        example: "1000",
        flag: Some("--build-number"),
        doc: "`{build}` in `release` and in the names of packages. In `release` it is part of the identity.",
        read: Read::Kernel(|layer, input| {
            layer.build = input.sourced(input.parsed_scalar(value::word)?);
            Ok(())
        }),
    },
    Setting {
        key: "dist",
        kind: "string",
        default: "",
        example: "\"el8\"",
        flag: Some("--dist"),
        doc: "`{dist}` in `release` and in the names of packages: the distribution the kernel is for. In `release` it is part of the identity.",
        read: Read::Kernel(|layer, input| {
            layer.dist = input.sourced(input.parsed(value::word)?);
            Ok(())
        }),
    },
    Setting {
        key: "sign",
        kind: "table",
        default: "",
        example: "{ trust = [\"certs/ours.pem\"] }",
        flag: None,
        doc: "`trust` is a list of files of the workspace with certificates (PEM or DER) that the kernel is to trust, for modules that are signed after the build. Each certificate is part of the identity. The build makes no key of its own: `CONFIG_MODULE_SIG_KEY` is empty, `CONFIG_MODULE_SIG_ALL` off.",
        read: Read::Kernel(|layer, input| {
            layer.trust = input.sourced(sign::read(input)?);
            Ok(())
        }),
    },
    Setting {
        key: "edit",
        kind: "string",
        default: "",
        example: "\"mine\"",
        flag: None,
        doc: "Says that the source directory is being edited, and gives it a name: the release is that of the name, with `-dirty` at the end, and does not change with the files. Such a kernel is never stored, locked or published. Git work trees with uncommitted edits need no name.",
        read: Read::Kernel(|layer, input| {
            layer.edit = input.sourced(input.parsed(value::word)?);
            Ok(())
        }),
    },
    Setting {
        key: "dirty-release",
        kind: "string",
        default: "\"stable\"",
        example: "\"exact\"",
        flag: None,
        doc: "The release of a git work tree with uncommitted edits: `stable` is that of the commit, with `-dirty` at the end, so that an edit compiles what it changes and nothing else; `exact` is that of the files, as if they were committed: that of the commit to come where a branch is checked out or `label` is set, for a detached HEAD is called by its tag or commit.",
        read: Read::Kernel(|layer, input| {
            layer.dirty_release = input.sourced(input.parsed(value::dirty_release)?);
            Ok(())
        }),
    },
    Setting {
        key: "compiler",
        kind: "string",
        default: "\"gcc\"",
        example: "\"clang\"",
        flag: Some("--compiler"),
        doc: "`gcc` with GNU binutils, `clang` with the LLVM tools, one of a certain version (`gcc-11`, `clang-19`), or one of `compilers`. A kernel that names its own is left alone by the rules of `toolchains`.",
        read: Read::Kernel(|layer, input| {
            layer.compiler = input.sourced(compiler::name(input)?);
            Ok(())
        }),
    },
    Setting {
        key: "toolchain",
        kind: "string",
        default: "\"host\"",
        example: "\"debian-12\"",
        flag: Some("--toolchain"),
        doc: "Where the tools come from: `host` is this machine's, `nixpkgs` and `nixpkgs-clang` are of the flake's nixpkgs; any other name is that of a pinned Debian root (`cargo kernel toolchain list`), which is the same on every machine.",
        read: Read::Kernel(|layer, input| {
            layer.toolchain = input.sourced(input.parsed(value::toolchain)?);
            Ok(())
        }),
    },
    Setting {
        key: "backend",
        kind: "string",
        default: "\"auto\"",
        example: "\"shell\"",
        flag: Some("--backend"),
        doc: "What builds: `host` runs make here, `shell` does so in the environment of the flake's devShell, `nix` builds the derivation of kernel.lock in Nix' sandbox. `auto` is `nix` where Nix can be used, the kernel is as kernel.lock says and its toolchain is a pinned one, else `host`.",
        read: Read::Kernel(|layer, input| {
            layer.backend = input.sourced(input.parsed(str::parse)?);
            Ok(())
        }),
    },
    Setting {
        key: "make-flags",
        kind: "list of strings",
        default: "",
        example: "[\"W=1\"]",
        flag: Some("--make-flag"),
        doc: "More make variables, as `VARIABLE=value`; they are part of the identity. Variables that have a setting of their own here, symbols of the configuration, secrets, and files outside of the source tree are refused. Those of the command line are added.",
        read: Read::Kernel(|layer, input| {
            layer.make_flags = input.sourced(input.values(super::make_flag::parse)?);
            Ok(())
        }),
    },
    Setting {
        key: "targets",
        kind: "list of strings",
        default: "",
        example: "[\"bzImage\"]",
        flag: Some("--make-target"),
        doc: "The goals that make builds, instead of vmlinux, the boot image and the modules.",
        read: Read::Kernel(|layer, input| {
            layer.targets = input.sourced(input.values(value::make_goal)?);
            Ok(())
        }),
    },
    Setting {
        key: "jobs",
        kind: "string or integer",
        default: "\"auto\"",
        example: "\"auto\"",
        flag: Some("--jobs"),
        doc: "How many jobs make runs at once: `\"auto\"` is one a core, `\"auto+1\"` one more, or a number. It does not change the identity.",
        read: Read::Kernel(|layer, input| {
            layer.jobs = input.sourced(input.parsed_scalar(str::parse)?);
            Ok(())
        }),
    },
    Setting {
        key: "ccache",
        kind: "boolean",
        default: "true",
        example: "false",
        flag: Some("--ccache"),
        doc: "Compile through ccache where it is installed. It does not change the identity.",
        read: switch!(ccache),
    },
    Setting {
        key: "ccache-max-size",
        kind: "string",
        default: "\"10G\"",
        example: "\"20G\"",
        flag: Some("--ccache-max-size"),
        doc: "The size that the ccache directory is kept below.",
        read: Read::Kernel(|layer, input| {
            layer.ccache_max_size = input.sourced(input.parsed(value::ccache_size)?);
            Ok(())
        }),
    },
    Setting {
        key: "reproducible",
        kind: "boolean",
        default: "true",
        example: "true",
        flag: Some("--reproducible"),
        doc: "Fix the timestamp, user, host and build number that the kernel embeds.",
        read: switch!(reproducible),
    },
    Setting {
        key: "timestamp",
        kind: "string, integer or time",
        default: "\"fixed\"",
        example: "\"commit\"",
        flag: Some("--timestamp"),
        doc: "The time that a reproducible kernel embeds: `\"fixed\"` (25 August 1991, 20:57:08 UTC), `\"commit\"` (the author date of the source's commit), a time with its offset (`2026-01-31T12:00:00Z`), or seconds since 1970.",
        read: Read::Kernel(|layer, input| {
            layer.timestamp = input.sourced(input.parsed_scalar(str::parse)?);
            Ok(())
        }),
    },
    Setting {
        key: "compile-commands",
        kind: "boolean",
        default: "true",
        example: "false",
        flag: Some("--compile-commands"),
        doc: "Write `compile_commands.json` for clangd and others.",
        read: switch!(compile_commands),
    },
    Setting {
        key: "gdb-scripts",
        kind: "boolean",
        default: "true",
        example: "false",
        flag: Some("--gdb-scripts"),
        doc: "Write the kernel's helper scripts for GDB.",
        read: switch!(gdb_scripts),
    },
    Setting {
        key: "rust-analyzer",
        kind: "boolean",
        default: "true",
        example: "false",
        flag: Some("--rust-analyzer"),
        doc: "Write `rust-project.json` where the configuration has `CONFIG_RUST=y`.",
        read: switch!(rust_analyzer),
    },
    Setting {
        key: "install",
        kind: "boolean",
        default: "true",
        example: "false",
        flag: Some("--install"),
        doc: "Install the image, `System.map` and the configuration below cargo's target directory.",
        read: switch!(install),
    },
    Setting {
        key: "modules-install",
        kind: "boolean",
        default: "true",
        example: "false",
        flag: Some("--modules-install"),
        doc: "Install the modules, too. A kernel without modules is no error.",
        read: switch!(modules_install),
    },
    Setting {
        key: "source-symlink",
        kind: "boolean",
        default: "false",
        example: "true",
        flag: Some("--source-symlink"),
        doc: "Add `/lib/modules/<release>/source`, a link to the source tree, to the installed modules.",
        read: switch!(source_symlink),
    },
    Setting {
        key: "reuse",
        kind: "boolean",
        default: "true",
        example: "false",
        flag: Some("--reuse"),
        doc: "Take a finished build of the same identity from the store instead of compiling.",
        read: switch!(reuse),
    },
    Setting {
        key: "borrow-objects",
        kind: "boolean",
        default: "true",
        example: "false",
        flag: Some("--borrow-objects"),
        doc: "Start a new build directory from the objects of a finished kernel of the same source, toolchain and flags; make compiles what the configuration changes.",
        read: switch!(borrow_objects),
    },
    Setting {
        key: "publish",
        kind: "boolean",
        default: "false",
        example: "true",
        flag: Some("--publish"),
        doc: "Add a finished build to the Nix store, too, where it stays until `cargo kernel store forget`.",
        read: switch!(publish),
    },
    Setting {
        key: "dir",
        kind: "string",
        default: "",
        example: "\"../linux\"",
        flag: None,
        doc: "A directory with a kernel tree. It is read, never written to.",
        read: text!(dir),
    },
    Setting {
        key: "tarball",
        kind: "string",
        default: "",
        example: "\"linux-6.12.tar.xz\"",
        flag: None,
        doc: "A tarball: a file, or a URL.",
        read: text!(tarball),
    },
    Setting {
        key: "sha256",
        kind: "string",
        default: "",
        example: "\"0000000000000000000000000000000000000000000000000000000000000000\"",
        flag: None,
        doc: "With `tarball`: what it must hash to.",
        read: text!(sha256),
    },
    Setting {
        key: "git",
        kind: "string",
        default: "",
        example: "\"../linux\"",
        flag: None,
        doc: "A git repository: a path, or a URL.",
        read: text!(git),
    },
    Setting {
        key: "ref",
        kind: "string",
        default: "",
        example: "\"v6.12\"",
        flag: None,
        doc: "With `git`: a tag, a branch or a commit, looked for in this order.",
        read: text!(reference),
    },
    Setting {
        key: "debian",
        kind: "string",
        default: "",
        example: "\"linux-source-6.12\"",
        flag: None,
        doc: "A Debian package of kernel source, through apt.",
        read: text!(debian),
    },
    Setting {
        key: "version",
        kind: "string",
        default: "apt's candidate",
        example: "\"6.12.117-1~deb12u1\"",
        flag: None,
        doc: "With `debian`: the version of the package.",
        read: text!(version),
    },
    Setting {
        key: "family",
        kind: "string",
        default: "as the name begins",
        example: "\"gcc\"",
        flag: None,
        doc: "`gcc` with GNU binutils, or `clang` with the LLVM tools. Needed where the name is not like `gcc-7` or `clang-19`.",
        read: Read::Compiler(|parts, input| {
            parts.family = Some(input.parsed(str::parse)?);
            Ok(())
        }),
    },
    Setting {
        key: "prefix",
        kind: "string",
        default: "what the architecture's cross compilers are usually called",
        example: "\"aarch64-none-linux-gnu-\"",
        flag: None,
        doc: "What stands before the names of GNU programs, as in `CROSS_COMPILE`.",
        read: Read::Compiler(|parts, input| {
            parts.prefix = Some(input.parsed(value::affix)?);
            Ok(())
        }),
    },
    Setting {
        key: "suffix",
        kind: "string",
        default: "the version in the name, unless `path` is set",
        example: "\"-7\"",
        flag: None,
        doc: "What stands behind `gcc`, or behind the names of all LLVM programs.",
        read: Read::Compiler(|parts, input| {
            parts.suffix = Some(input.parsed(value::affix)?);
            Ok(())
        }),
    },
    Setting {
        key: "path",
        kind: "string",
        default: "",
        example: "\"/opt/gcc-7/bin\"",
        flag: None,
        doc: "A directory that is looked into before `PATH`.",
        read: Read::Compiler(|parts, input| {
            parts.path = Some(source::resolve(input.base, input.text()?));
            Ok(())
        }),
    },
    Setting {
        key: "when",
        kind: "string",
        default: "every version",
        example: "\">=4.2, <4.19\"",
        flag: None,
        doc: "The versions that the rule is for.",
        read: Read::Rule(|parts, input| {
            parts.when = Some(input.parsed(patch::range)?);
            Ok(())
        }),
    },
    Setting {
        key: "arch",
        kind: "string or list of strings",
        default: "every architecture",
        example: "[\"arm64\"]",
        flag: None,
        doc: "The architectures that the rule is for.",
        read: Read::Rule(|parts, input| {
            let arches = input.one_or_more(value::arch)?;
            parts.arches = arches.into_iter().map(|arch| arch.value).collect();
            Ok(())
        }),
    },
    Setting {
        key: "config",
        kind: "string or list of strings",
        default: "every configuration",
        example: "\"RUST\"",
        flag: None,
        doc: "Symbols that the kernel's fragments or preset ask for, all of them. What a make goal or a file sets is not looked at: it may depend on the compiler.",
        read: Read::Rule(|parts, input| {
            let symbols = input.one_or_more(compiler::symbol)?;
            parts.config = symbols.into_iter().map(|symbol| symbol.value).collect();
            Ok(())
        }),
    },
    Setting {
        key: "use",
        kind: "string",
        default: "",
        example: "\"gcc-7\"",
        flag: None,
        doc: "The compiler, as in a kernel's `compiler`. Needed.",
        read: Read::Rule(|parts, input| {
            parts.compiler = Some(compiler::name(input)?);
            Ok(())
        }),
    },
    Setting {
        key: "path",
        kind: "string",
        default: "",
        example: "\"patches/6.12\"",
        flag: None,
        doc: "A patch file, a glob, a quilt `series` file, or a directory: its `series` if it has one, else its `*.patch` and `*.diff` files by name. Needed.",
        read: Read::Patch(|parts, input| {
            parts.path = input.sourced(input.text()?.to_owned());
            Ok(())
        }),
    },
    Setting {
        key: "version",
        kind: "string",
        default: "every version",
        example: "\">=6.1, <6.13\"",
        flag: None,
        doc: "The versions that the patches are for.",
        read: Read::Patch(|parts, input| {
            parts.version = input.sourced(input.parsed(patch::range)?);
            Ok(())
        }),
    },
    Setting {
        key: "arch",
        kind: "string or list of strings",
        default: "every architecture",
        example: "\"arm64\"",
        flag: None,
        doc: "The architectures that the patches are for.",
        read: Read::Patch(|parts, input| {
            let arches = input.one_or_more(value::arch)?;
            parts.arches = arches.into_iter().map(|arch| arch.value).collect();
            Ok(())
        }),
    },
    Setting {
        key: "flavour",
        kind: "string or list of strings",
        default: "every flavour, and none",
        example: "\"kvm\"",
        flag: None,
        doc: "The flavours that the patches are for.",
        read: Read::Patch(|parts, input| {
            let flavours = input.one_or_more(value::kernel_name)?;
            parts.flavours = flavours.into_iter().map(|flavour| flavour.value).collect();
            Ok(())
        }),
    },
    Setting {
        key: "debug",
        kind: "boolean",
        default: "both",
        example: "true",
        flag: None,
        doc: "Whether the patches are for kernels with the debug layer, or for those without.",
        read: Read::Patch(|parts, input| {
            parts.debug = input.sourced(input.boolean()?);
            Ok(())
        }),
    },
    Setting {
        key: "fuzz",
        kind: "integer",
        default: "the kernel's `patch-fuzz`",
        example: "1",
        flag: None,
        doc: "How many lines of context at either end of these patches' hunks may differ.",
        read: Read::Patch(|parts, input| {
            parts.fuzz = input.sourced(input.parsed_scalar(patch::fuzz)?);
            Ok(())
        }),
    },
];

fn set_source(layer: &mut Layer, input: &Input<'_>, source: Source) -> Outcome<()> {
    if layer.source.is_some() {
        return Err(vec![
            Problem::new(
                "`source` and `version` both say where the tree comes from",
                input.place.origin(),
            )
            .hint("keep one of them".to_owned()),
        ]);
    }
    layer.source = input.sourced(source);
    Ok(())
}

fn set_base(layer: &mut Layer, input: &Input<'_>, base: ConfigBase) -> Outcome<()> {
    if let Some(earlier) = &layer.base {
        let earlier = match earlier.value {
            ConfigBase::Preset { .. } => "preset",
            ConfigBase::Make { .. } => "make",
            ConfigBase::File { .. } => "config",
            ConfigBase::Fragments { .. } => "fragments",
        };
        return Err(vec![
            Problem::new(
                format!(
                    "`{earlier}` and `{}` both say where the configuration starts from",
                    input.setting.key
                ),
                input.place.origin(),
            )
            .hint("keep one of them; `fragments` are merged on top of it".to_owned()),
        ]);
    }
    layer.base = input.sourced(base);
    Ok(())
}

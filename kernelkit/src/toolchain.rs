//! A toolchain as a value: which programs build a kernel, and the id under which
//! they enter its identity.
//!
//! This module never looks for a program and never reads one;
//! [`effect::toolchain`](crate::effect::toolchain) does.
//!
//! The id is a fingerprint of *content*. Two machines with the same packages agree on it
//! whatever their paths are, and a compiler that was patched without a new version number
//! gets another id. What counts is decided role by role in [`Role::row`]: a program counts
//! when its output, or a choice it makes, can end up in the image, the modules,
//! `System.map` or `modules.dep`.
//!
//! What stands in front of a compiler under its name counts, and so does what it starts: a script's text says
//! which programs it names ([`named_programs`]), and the compiler says what it is and
//! which words it was given ([`Driver`]).
//!
//! What never counts, and why:
//!
//! - `make`, the host's compiler, `flex`, `bison`, `bc`, `perl`, `python3`, `awk`: they run or
//!   make programs whose output is defined by the kernel's own sources.
//! - `openssl`: PKCS #1 signatures and certificates follow from the key and the data. A key made
//!   during the build is a fault of the config, not a property of the tool.
//! - GCC plugins: their code lies in the kernel tree; that the compiler can load them is a
//!   symbol of the config.
//! - The compiler's own headers but for those that kernels include ([`HEADERS`]), and the programs that
//!   GCC starts for `-flto`, which no mainline kernel asks it for.
//! - The C library and its kin under a tool (see [`is_runtime_library`]): they serve the
//!   program, and a security update of the C library is no reason to rebuild a kernel.

use std::fmt::Write as _;

use camino::Utf8PathBuf;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::arch::Arch;
use crate::config::DotConfig;
use crate::source::Sha256;
use crate::spec::Compiler;

/// What a program does in a build. The order is the order of the canonical text.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "each role is described by its row")]
pub enum Role {
    Cc,
    As,
    Ld,
    Ar,
    Nm,
    Objcopy,
    Objdump,
    Readelf,
    Strip,
    Pahole,
    Rustc,
    Bindgen,
    Gzip,
    Bzip2,
    Lzma,
    Xz,
    Lzop,
    Lz4,
    Zstd,
    Tar,
    Depmod,
    Hostcc,
    Make,
}

/// When a tool's content enters the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// In every kernel.
    Always,
    /// Where one of these symbols (without prefix) is on.
    When(&'static [&'static str]),
    /// In no kernel.
    Never,
}

/// A role's row in the table.
#[derive(Clone, Copy, Debug)]
pub struct RoleRow {
    /// The role.
    pub role: Role,
    /// Its name in the canonical text.
    pub name: &'static str,
    /// The program with GCC and GNU binutils; cross programs have a prefix where `prefixed`.
    pub gnu: &'static str,
    /// The program with Clang and LLVM; empty where Clang does that work itself.
    pub llvm: &'static str,
    /// Whether the program exists once per target architecture.
    pub prefixed: bool,
    /// Whether no kernel can be built without it.
    pub required: bool,
    /// When it enters the id.
    pub reach: Reach,
    /// Why.
    pub why: &'static str,
}

const fn target(
    role: Role,
    name: &'static str,
    gnu: &'static str,
    llvm: &'static str,
    why: &'static str,
) -> RoleRow {
    RoleRow {
        role,
        name,
        gnu,
        llvm,
        prefixed: true,
        required: !llvm.is_empty(),
        reach: Reach::Always,
        why,
    }
}

const fn helper(role: Role, name: &'static str, reach: Reach, why: &'static str) -> RoleRow {
    RoleRow {
        role,
        name,
        gnu: name,
        llvm: name,
        prefixed: false,
        required: false,
        reach,
        why,
    }
}

/// The compressed image, initramfs or module holds the compressor's output; `gzip` and `xz`
/// also pack the config and the headers that a kernel can carry.
const COMPRESSES: &str = "its output is part of the image, the initramfs or the modules";

/// Every role, in the order of [`Role`]. Which tools exist and what they are called is in the
/// kernel's top `Makefile` and `Documentation/kbuild/llvm.rst`.
pub const ROLES: [RoleRow; 23] = [
    target(Role::Cc, "cc", "gcc", "clang", "compiles every object"),
    target(
        Role::As,
        "as",
        "as",
        "",
        "assembles every object; Clang has its own inside",
    ),
    target(
        Role::Ld,
        "ld",
        "ld",
        "ld.lld",
        "links vmlinux and the modules",
    ),
    target(
        Role::Ar,
        "ar",
        "ar",
        "llvm-ar",
        "orders the objects that are linked",
    ),
    target(
        Role::Nm,
        "nm",
        "nm",
        "llvm-nm",
        "feeds kallsyms and System.map",
    ),
    target(
        Role::Objcopy,
        "objcopy",
        "objcopy",
        "llvm-objcopy",
        "makes the image from vmlinux",
    ),
    target(
        Role::Objdump,
        "objdump",
        "objdump",
        "llvm-objdump",
        "measures sections and finds call sites on some architectures",
    ),
    target(
        Role::Readelf,
        "readelf",
        "readelf",
        "llvm-readelf",
        "finds load addresses and build ids",
    ),
    target(
        Role::Strip,
        "strip",
        "strip",
        "llvm-strip",
        "strips modules and boot files",
    ),
    helper(
        Role::Pahole,
        "pahole",
        Reach::When(&["DEBUG_INFO_BTF"]),
        "writes the BTF section",
    ),
    helper(
        Role::Rustc,
        "rustc",
        Reach::When(&["RUST"]),
        "compiles every Rust object",
    ),
    helper(
        Role::Bindgen,
        "bindgen",
        Reach::When(&["RUST"]),
        "writes Rust sources from C headers",
    ),
    helper(
        Role::Gzip,
        "gzip",
        Reach::When(&[
            "KERNEL_GZIP",
            "IKCONFIG",
            "EFI_ZBOOT",
            "MODULE_COMPRESS_GZIP",
            "INITRAMFS_COMPRESSION_GZIP",
        ]),
        COMPRESSES,
    ),
    helper(
        Role::Bzip2,
        "bzip2",
        Reach::When(&["KERNEL_BZIP2", "INITRAMFS_COMPRESSION_BZIP2"]),
        COMPRESSES,
    ),
    helper(
        Role::Lzma,
        "lzma",
        Reach::When(&["KERNEL_LZMA", "INITRAMFS_COMPRESSION_LZMA"]),
        COMPRESSES,
    ),
    helper(
        Role::Xz,
        "xz",
        Reach::When(&[
            "KERNEL_XZ",
            "IKHEADERS",
            "MODULE_COMPRESS_XZ",
            "INITRAMFS_COMPRESSION_XZ",
        ]),
        COMPRESSES,
    ),
    helper(
        Role::Lzop,
        "lzop",
        Reach::When(&["KERNEL_LZO", "INITRAMFS_COMPRESSION_LZO"]),
        COMPRESSES,
    ),
    helper(
        Role::Lz4,
        "lz4",
        Reach::When(&["KERNEL_LZ4", "INITRAMFS_COMPRESSION_LZ4"]),
        COMPRESSES,
    ),
    helper(
        Role::Zstd,
        "zstd",
        Reach::When(&[
            "KERNEL_ZSTD",
            "MODULE_COMPRESS_ZSTD",
            "INITRAMFS_COMPRESSION_ZSTD",
        ]),
        COMPRESSES,
    ),
    helper(
        Role::Tar,
        "tar",
        Reach::When(&["IKHEADERS"]),
        "packs the headers that the kernel carries",
    ),
    helper(
        Role::Depmod,
        "depmod",
        Reach::When(&["MODULES"]),
        "writes modules.dep and its index",
    ),
    RoleRow {
        role: Role::Hostcc,
        name: "hostcc",
        gnu: "gcc",
        llvm: "clang",
        prefixed: false,
        required: true,
        reach: Reach::Never,
        why: "compiles programs that run in the build; their sources are the kernel's",
    },
    RoleRow {
        role: Role::Make,
        name: "make",
        gnu: "make",
        llvm: "make",
        prefixed: false,
        required: true,
        reach: Reach::Never,
        why: "runs the other programs",
    },
];

impl Role {
    /// The role's row.
    pub fn row(self) -> &'static RoleRow {
        &ROLES[self as usize]
    }
}

impl Reach {
    /// Whether a kernel with this config depends on the tool.
    pub fn counts(self, config: &DotConfig) -> bool {
        match self {
            Reach::Always => true,
            Reach::When(symbols) => symbols.iter().any(|symbol| config.is_enabled(symbol)),
            Reach::Never => false,
        }
    }
}

/// One program of a toolchain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tool {
    /// What it does.
    pub role: Role,
    /// Its name as make is told, such as `aarch64-linux-gnu-gcc`.
    pub program: String,
    /// Where it was found.
    #[schemars(with = "String")]
    pub path: Utf8PathBuf,
    /// First line of what it says about its version; empty where it says nothing.
    pub version: String,
    /// SHA-256 of the program file.
    #[schemars(with = "String")]
    pub sha256: Sha256,
    /// What the program consists of beside its own file, in order of names: the programs it
    /// starts (`cc1`) and the libraries it loads (`libbfd`, `libLLVM`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
    /// What a wrapper in front of the compiler adds to its command line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
}

/// A file that a tool's output depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Part {
    /// File name without directory, such as `cc1` or `libbfd-2.40-system.so`.
    pub name: String,
    /// Where it was found.
    #[schemars(with = "String")]
    pub path: Utf8PathBuf,
    /// SHA-256 of the file.
    #[schemars(with = "String")]
    pub sha256: Sha256,
}

/// The programs that build a kernel for one architecture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Toolchain {
    /// What the kernel is built for.
    #[schemars(with = "String")]
    pub arch: Arch,
    /// The family.
    #[schemars(with = "String")]
    pub compiler: Compiler,
    /// What stands before the names of GNU programs, such as `aarch64-linux-gnu-`; empty for a
    /// native build and for Clang.
    pub prefix: String,
    /// What stands behind the names of LLVM programs, such as `-14`, or behind that of GCC.
    pub suffix: String,
    /// The compiler's `--version`, first line: `CONFIG_CC_VERSION_TEXT`, which the kernel
    /// prints at boot.
    pub cc_version_text: String,
    /// The programs, in the order of their roles; what the machine lacks is not in it.
    pub tools: Vec<Tool>,
}

/// What stands around the names of target programs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Affixes {
    /// See [`Toolchain::prefix`].
    pub prefix: String,
    /// See [`Toolchain::suffix`].
    pub suffix: String,
}

/// One line of [`Toolchain::explain`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The role's name.
    pub role: &'static str,
    /// The program as make is told, or the role's usual program where there is none.
    pub program: String,
    /// Its version line, or `not found`.
    pub version: String,
    /// Whether it enters the id with this config.
    pub counts: bool,
    /// Why, or why not.
    pub why: String,
}

impl Toolchain {
    /// The tool in a role.
    pub fn tool(&self, role: Role) -> Option<&Tool> {
        self.tools.iter().find(|tool| tool.role == role)
    }

    /// What the id hashes: one `role content` a line, with the parts behind their tool. A tool
    /// that the config asks for and the machine lacks is `role -`.
    pub fn canonical(&self, config: &DotConfig) -> String {
        let mut text = format!(
            "kernelkit-toolchain 2\ncc-version-text {}\n",
            self.cc_version_text
        );
        let mut line = |name: &str, content: &dyn std::fmt::Display| {
            writeln!(text, "{name} {content}").expect("writing to a string succeeds");
        };
        for row in ROLES
            .iter()
            .filter(|row| self.uses(row) && row.reach.counts(config))
        {
            let Some(tool) = self.tool(row.role) else {
                line(row.name, &"-");
                continue;
            };
            line(row.name, &tool.sha256);
            for part in &tool.parts {
                line(&format!("{}/{}", row.name, part.name), &part.sha256);
            }
            for argument in &tool.arguments {
                line(&format!("{}-argument", row.name), argument);
            }
        }
        text
    }

    /// The fingerprint that enters a kernel's identity: `host-` and the first 16 hexadecimal
    /// digits of the SHA-256 of [`Toolchain::canonical`].
    pub fn id(&self, config: &DotConfig) -> String {
        let digest = Sha256::of(self.canonical(config).as_bytes()).to_string();
        format!("host-{}", &digest[..16])
    }

    /// Every role with its program and why it counts in the id or does not.
    pub fn explain(&self, config: &DotConfig) -> Vec<Explanation> {
        ROLES
            .iter()
            .filter(|row| self.uses(row))
            .map(|row| {
                let tool = self.tool(row.role);
                let (counts, why) = match row.reach {
                    Reach::Always => (true, row.why.to_owned()),
                    Reach::Never => (false, row.why.to_owned()),
                    Reach::When(symbols) => {
                        match symbols.iter().find(|symbol| config.is_enabled(symbol)) {
                            Some(symbol) => (true, format!("CONFIG_{symbol}: {}", row.why)),
                            None => (false, "the config does not use it".to_owned()),
                        }
                    }
                };
                Explanation {
                    role: row.name,
                    program: tool.map_or_else(|| self.program_of(row), |tool| tool.program.clone()),
                    version: tool
                        .map_or_else(|| "not found".to_owned(), |tool| tool.version.clone()),
                    counts,
                    why,
                }
            })
            .collect()
    }

    /// The make variables that select this toolchain. `CC` is among them where the other
    /// variables would mean another compiler.
    ///
    /// `RUSTC` and `DEPMOD` are paths, given only where make would run something else: rustup's
    /// proxy would choose by directory, and `/usr/sbin` may not be on `PATH`. They say where a
    /// program is, never which; the id does that. `HOSTCC` is given where `gcc` is one without
    /// nixpkgs' wrapper, which finds no C library.
    pub fn make_variables(&self) -> Vec<(String, String)> {
        let mut variables = vec![("ARCH".to_owned(), self.arch.row().kernel_arch.to_owned())];
        match self.compiler {
            Compiler::Gcc => {
                if !self.prefix.is_empty() {
                    variables.push(("CROSS_COMPILE".to_owned(), self.prefix.clone()));
                }
                if !self.suffix.is_empty() {
                    variables.push(("CC".to_owned(), self.program_of(Role::Cc.row())));
                }
            }
            Compiler::Clang if self.suffix.is_empty() => {
                variables.push(("LLVM".to_owned(), "1".to_owned()));
            }
            Compiler::Clang => variables.push(("LLVM".to_owned(), self.suffix.clone())),
        }
        if let Some(tool) = self.tool(Role::Hostcc).filter(|tool| tool.program == "cc") {
            variables.push(("HOSTCC".to_owned(), tool.program.clone()));
        }
        for (role, name) in [(Role::Rustc, "RUSTC"), (Role::Depmod, "DEPMOD")] {
            if let Some(tool) = self.tool(role).filter(|tool| tool.program.contains('/')) {
                variables.push((name.to_owned(), tool.program.clone()));
            }
        }
        variables
    }

    fn uses(&self, row: &RoleRow) -> bool {
        !self.program_of(row).is_empty()
    }

    fn program_of(&self, row: &RoleRow) -> String {
        program(row, self.compiler, &self.prefix, &self.suffix)
    }
}

/// A role's program name; empty where the compiler family does without.
pub fn program(row: &RoleRow, compiler: Compiler, prefix: &str, suffix: &str) -> String {
    match compiler {
        // Several GCCs share the binutils.
        Compiler::Gcc if row.role == Role::Cc => format!("{prefix}{}{suffix}", row.gnu),
        Compiler::Gcc if row.prefixed => format!("{prefix}{}", row.gnu),
        Compiler::Gcc => row.gnu.to_owned(),
        Compiler::Clang if row.llvm.is_empty() => String::new(),
        Compiler::Clang if row.prefixed || row.role == Role::Hostcc => {
            format!("{}{suffix}", row.llvm)
        }
        Compiler::Clang => row.llvm.to_owned(),
    }
}

/// Prefixes under which distributions name the GNU programs for `arch`, the usual one first;
/// `[""]` where `host` builds natively, none where only Clang builds it.
pub fn prefixes(arch: Arch, host: Arch) -> Vec<String> {
    if is_native(arch, host) {
        return vec![String::new()];
    }
    let Some(prefix) = arch.row().cross_prefix else {
        return Vec::new();
    };
    let mut prefixes = vec![prefix.to_owned()];
    // Debian says aarch64-linux-gnu-, nixpkgs aarch64-unknown-linux-gnu-, and the compilers
    // on kernel.org aarch64-linux-.
    if let Some((cpu, abi)) = prefix.trim_end_matches('-').split_once("-linux-") {
        prefixes.push(format!("{cpu}-unknown-linux-{abi}-"));
        prefixes.push(format!("{cpu}-linux-"));
    }
    prefixes
}

/// Whether the compiler of `host` builds for `arch` without a prefix. GCC for x86 makes 32-bit
/// code too.
pub fn is_native(arch: Arch, host: Arch) -> bool {
    arch == host || (host.name() == "x86_64" && arch.row().srcarch == "x86")
}

/// Whether a library serves any program rather than computing what this one is for: the C and
/// C++ runtimes, and what tools need for terminals, XML, the network and signatures. `name` is a file name such as `libc.so.6`.
pub fn is_runtime_library(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "libbsd",
        "libc",
        "libcrypt",
        "libcrypto",
        "libcurl",
        "libdl",
        "libedit",
        "libffi",
        "libgcc_s",
        "libicudata",
        "libicuuc",
        "libjansson",
        "libm",
        "libmd",
        "libncursesw",
        "libpthread",
        "libresolv",
        "librt",
        "libstdc++",
        "libtinfo",
        "libxml2",
    ];
    // The dynamic loader, and the C library where the architecture is part of its name.
    const STARTS: &[&str] = &["ld-", "ld64.", "libc-", "libc.musl-"];
    let stem = name.split(".so").next().unwrap_or(name);
    NAMES.contains(&stem) || STARTS.iter().any(|start| name.starts_with(start))
}

/// The libraries in the output of `ldd`: name and path. Lines without a path (the kernel's vDSO)
/// and runtime libraries are left out.
pub fn parse_ldd(output: &str) -> Vec<(String, Utf8PathBuf)> {
    output
        .lines()
        .filter_map(|line| {
            let (name, rest) = line.trim().split_once(" => ")?;
            let path = rest.rsplit_once(" (").map_or(rest, |(path, _)| path);
            // The loader names itself by its path where it was called by another.
            (path.starts_with('/') && !name.starts_with('/') && !is_runtime_library(name))
                .then(|| (name.to_owned(), Utf8PathBuf::from(path)))
        })
        .collect()
}

/// The compiler's own headers that kernels include: those of all kernels before 5.16, and those of
/// vector code (`lib/raid6`, `arch/arm64/crypto`).
pub const HEADERS: [&str; 8] = [
    "altivec.h",
    "arm_bf16.h",
    "arm_fp16.h",
    "arm_neon.h",
    "arm_vector_types.h",
    "stdarg.h",
    "stddef.h",
    "stdint.h",
];

/// What a compiler driver says that it would do (`-###`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Driver {
    /// The driver itself, as it was started; what stands before it under its name starts it.
    pub program: Option<String>,
    /// Files that it takes more options from (Clang's `--config`).
    pub configs: Vec<String>,
    /// The words of the command lines.
    pub words: Vec<String>,
}

impl Driver {
    /// From the standard error of `-###`. GCC says what it is in `COLLECT_GCC` and what it was given in
    /// `COLLECT_GCC_OPTIONS`; Clang starts itself. Commands are indented.
    pub fn parse(text: &str) -> Driver {
        let mut driver = Driver::default();
        for line in text.lines() {
            let unquoted = |word: &str| word.trim_matches(['"', '\'']).to_owned();
            if let Some(program) = line.strip_prefix("COLLECT_GCC=") {
                driver.program = Some(program.to_owned());
            } else if let Some(options) = line.strip_prefix("COLLECT_GCC_OPTIONS=") {
                driver
                    .words
                    .extend(options.split_whitespace().map(unquoted));
            } else if let Some(file) = line.strip_prefix("Configuration file: ") {
                driver.configs.push(file.trim().to_owned());
            } else if let Some(command) = line.strip_prefix(' ') {
                let mut words = command.split_whitespace().map(unquoted).peekable();
                if let (Some(first), Some("-cc1")) =
                    (words.next(), words.peek().map(String::as_str))
                {
                    driver.program.get_or_insert(first);
                }
                driver.words.extend(words);
            }
        }
        driver
    }

    /// The words that `plain`, the driver without what stands before it, does not have, in order.
    pub fn added_to(&self, plain: &Driver) -> Vec<String> {
        let mut known = plain.words.clone();
        let is_new = |word: &&String| match known.iter().position(|other| other == *word) {
            Some(index) => {
                known.swap_remove(index);
                false
            }
            None => true,
        };
        self.words.iter().filter(is_new).cloned().collect()
    }
}

/// The programs and files that a script names: absolute paths, and what stands behind `exec`. Shells
/// and caches of compilers are left out, and so is what variables hold and what is written to.
pub fn named_programs(script: &str) -> Vec<String> {
    const SHELLS: [&str; 6] = ["bash", "busybox", "dash", "env", "ksh", "sh"];
    let mut named = Vec::new();
    // The first line names the interpreter.
    for line in script.lines().skip(1) {
        let mut parts = line.split('>');
        let mut read = parts.next().unwrap_or_default().to_owned();
        for written in parts {
            // `>> FILE` has an empty part between.
            let written = written.trim_start_matches(['&', '|']).trim_start();
            let rest = written
                .find(|character: char| character.is_whitespace() || ";&|)".contains(character));
            read.push(' ');
            read.push_str(rest.map_or("", |at| &written[at..]));
        }
        let mut words = read
            .split(|character: char| {
                character.is_whitespace() || "\"'`;&|()<>={}".contains(character)
            })
            .filter(|word| !word.is_empty());
        let mut after_exec = false;
        while let Some(word) = words.next() {
            let name = word.rsplit('/').next().unwrap_or(word);
            // `exec -a NAME` gives the program another name.
            if after_exec && word == "-a" {
                words.next();
                continue;
            }
            let passes_on = word.starts_with('-') || MASQUERADES.contains(&name);
            if (word.starts_with('/') || after_exec)
                && !passes_on
                && !word.contains(['$', '*'])
                && !SHELLS.contains(&name)
                && !named.iter().any(|known| known == word)
            {
                named.push(word.to_owned());
            }
            after_exec = word == "exec" || after_exec && passes_on;
        }
    }
    named
}

/// Programs that stand in for a compiler under its name and start the next one on `PATH`
/// (`/usr/lib/ccache/gcc`). They are looked through, so that a cache never changes the id.
pub const MASQUERADES: [&str; 5] = ["ccache", "sccache", "distcc", "icecc", "fastbuild"];

/// The Debian packages that have the compiler, its linker and their kin; `suffix` is the
/// version where it is part of the compiler's name (`-12`).
pub fn debian_packages(arch: Arch, host: Arch, compiler: Compiler, suffix: &str) -> Vec<String> {
    match compiler {
        Compiler::Clang => ["clang", "lld", "llvm"]
            .map(|package| format!("{package}{suffix}"))
            .into(),
        Compiler::Gcc if is_native(arch, host) => {
            vec![format!("gcc{suffix}"), "binutils".to_owned()]
        }
        // gcc-aarch64-linux-gnu, gcc-12-aarch64-linux-gnu.
        Compiler::Gcc => arch
            .row()
            .cross_package
            .map(|package| package.replacen("gcc", &format!("gcc{suffix}"), 1))
            .into_iter()
            .collect(),
    }
}

#[cfg(test)]
mod tests;

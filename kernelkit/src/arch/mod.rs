//! Every architecture of the kernel tree, in one table.
//!
//! A row is what a user would name: the kernel builds `riscv32` and `riscv64`
//! from one directory with one `ARCH=riscv`, here they are two rows. Our names
//! are therefore not always the kernel's `ARCH=` ([`Row::kernel_arch`]) nor its
//! directory ([`Row::srcarch`]); nobody outside this module should have to
//! know the difference.
//!
//! The table is a default, not an oracle: which image a configured tree builds
//! can depend on its configuration (`CONFIG_EFI_ZBOOT`, `CONFIG_XIP_KERNEL`, a
//! compression). `make -s image_name` answers for one configuration.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod table;

use table::ROWS;

/// An architecture: a row of the table. Ordered as the table is, by name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Arch(u8);

/// What is known about an architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Our name for it, by which users choose it.
    pub name: &'static str,
    /// Other names that mean the same: Debian's, LLVM's, the machine's own.
    pub aliases: &'static [&'static str],
    /// The value of `ARCH=` on make's command line.
    pub kernel_arch: &'static str,
    /// The directory below `arch/`.
    pub srcarch: &'static str,
    /// What `uname -m` prints under such a kernel.
    pub machine: &'static str,
    /// The width of a pointer in the kernel: 32 or 64.
    pub bits: u8,
    /// The order of bytes.
    pub endian: Endian,
    /// `e_machine` of its ELF objects (the kernel's `include/uapi/linux/elf-em.h`).
    pub elf_machine: u16,
    /// The Nix system, where nixpkgs has one (`lib/systems/doubles.nix`).
    pub nix_system: Option<&'static str>,
    /// What GNU tools' names begin with, the final dash included, for `CROSS_COMPILE=`: Debian's
    /// where it has them, else those of the toolchains on kernel.org. Absent where only clang builds it.
    pub cross_prefix: Option<&'static str>,
    /// Debian's package of the cross compiler of that prefix.
    pub cross_package: Option<&'static str>,
    /// The `--target=` which the kernel gives to clang (`scripts/Makefile.clang`); width and byte
    /// order come from its configuration. Absent where the kernel does not build with clang.
    pub llvm_target: Option<&'static str>,
    /// The make goal that configures this row's width and byte order.
    pub defconfig: &'static str,
    /// The make goal that builds the image we install.
    pub image_target: &'static str,
    /// Where that goal leaves the image, below the build directory.
    pub image_path: &'static str,
    /// What the kernel's packaging takes as the image (`make -s image_name`) with the default
    /// compression, below the build directory.
    pub kbuild_image: &'static str,
    /// What the installed image's name begins with (`vmlinuz-6.12.117`), as the architecture's own
    /// install script says for the image above; where it has none, by the rule they share:
    /// compressed is `vmlinuz`.
    pub install_name: &'static str,
    /// Whether the architecture has device tree sources, so that `make dtbs` builds something.
    pub dtbs: bool,
    /// How QEMU runs it, where it does.
    pub qemu: Option<Qemu>,
}

/// The order of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endian {
    /// The lowest byte first.
    Little,
    /// The highest byte first.
    Big,
}

/// How QEMU emulates an architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Qemu {
    /// The program.
    pub binary: &'static str,
    /// Debian's packages that hold it, the newest release's first: Debian 13 split some off
    /// `qemu-system-misc`.
    pub packages: &'static [&'static str],
    /// `-machine`.
    pub machine: &'static str,
    /// `-cpu`, where the machine's default does not run this kernel.
    pub cpu: Option<&'static str>,
    /// What `-kernel` takes, below the build directory.
    pub kernel: &'static str,
    /// The first serial port's device in the guest, without `/dev/`.
    pub console: &'static str,
    /// The words of the kernel's command line that put its messages on that port.
    pub append: &'static str,
}

/// No such architecture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown architecture `{0}`")]
pub struct UnknownArch(pub String);

impl UnknownArch {
    /// The architectures whose names are nearest, or all of them where none is near.
    pub fn hint(&self) -> Option<String> {
        let wanted = self.0.to_ascii_lowercase();
        let distance = |arch: Arch| arch.names().map(|name| distance(&wanted, name)).min();
        let nearest = Arch::all().filter_map(distance).min()?;
        if nearest > 2.min(wanted.len() / 2) {
            let all: Vec<&str> = Arch::all().map(Arch::name).collect();
            return Some(format!("the architectures are {}", all.join(", ")));
        }
        let near: Vec<String> = Arch::all()
            .filter(|arch| distance(*arch) == Some(nearest))
            .map(|arch| format!("`{arch}`"))
            .collect();
        Some(format!("did you mean {}?", near.join(" or ")))
    }
}

/// Edits between two names; a name that continues the wanted one is near it.
fn distance(wanted: &str, name: &str) -> usize {
    if wanted.len() >= 3 && name.starts_with(wanted) {
        1
    } else {
        strsim::damerau_levenshtein(wanted, name)
    }
}

impl Arch {
    /// Every architecture, by name.
    pub fn all() -> impl Iterator<Item = Arch> {
        (0..).take(ROWS.len()).map(Arch)
    }

    /// The architecture of a running machine, from what `uname -m` prints there.
    ///
    /// A 64-bit kernel may run 32-bit programs only: the answer is the kernel's. `armv6l`,
    /// `armv7l`, `i586` and their like are the one row which builds for all of them. MIPS machines
    /// do not tell their byte order: the answer is the big-endian row.
    pub fn host(uname_machine: &str) -> Result<Arch, UnknownArch> {
        uname_machine
            .parse()
            .or_else(|unknown| match uname_machine {
                machine if machine.starts_with("armv") && machine.ends_with('l') => "arm".parse(),
                machine if machine.starts_with("parisc") => "parisc".parse(),
                machine if machine.starts_with("sh4") && !machine.ends_with('b') => "sh".parse(),
                _ => Err(unknown),
            })
    }

    /// The architecture's row.
    pub fn row(self) -> &'static Row {
        &ROWS[usize::from(self.0)]
    }

    /// Our name, by which users choose it. For make, take [`Row::kernel_arch`].
    pub fn name(self) -> &'static str {
        self.row().name
    }

    fn names(self) -> impl Iterator<Item = &'static str> {
        let row = self.row();
        std::iter::once(row.name).chain(row.aliases.iter().copied())
    }
}

impl FromStr for Arch {
    type Err = UnknownArch;
    fn from_str(text: &str) -> Result<Self, UnknownArch> {
        Arch::all()
            .find(|arch| arch.names().any(|name| name == text))
            .ok_or_else(|| UnknownArch(text.to_owned()))
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Debug for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Arch").field(&self.name()).finish()
    }
}

impl TryFrom<String> for Arch {
    type Error = UnknownArch;
    fn try_from(text: String) -> Result<Self, UnknownArch> {
        text.parse()
    }
}

impl From<Arch> for String {
    fn from(arch: Arch) -> String {
        arch.name().to_owned()
    }
}

#[cfg(test)]
mod tests;

//! The table: what a kernel build uses beside its toolchain, and package names.
//!
//! The programs come from `Documentation/process/changes.rst`, the kernel's own packaging
//! (`scripts/package/`) and the makefiles named below.

use super::{Feature, When};
use crate::toolchain::Role;

/// A row.
pub(super) struct Helper {
    /// Also its name in [`super::Minimums`].
    pub(super) name: &'static str,
    pub(super) probe: Probe,
    pub(super) when: When,
    pub(super) why: &'static str,
    /// apt, dnf, pacman, zypper, nix.
    pub(super) packages: [&'static str; 5],
}

pub(super) enum Probe {
    Program(&'static str),
    Header(&'static str),
    RustSource,
}

const fn program(
    name: &'static str,
    when: When,
    why: &'static str,
    packages: [&'static str; 5],
) -> Helper {
    Helper {
        name,
        probe: Probe::Program(name),
        when,
        why,
        packages,
    }
}

const fn header(
    name: &'static str,
    header: &'static str,
    when: When,
    why: &'static str,
    packages: [&'static str; 5],
) -> Helper {
    Helper {
        name,
        probe: Probe::Header(header),
        when,
        why,
        packages,
    }
}

pub(super) const HELPERS: &[Helper] = &[
    program(
        "bash",
        When::Always,
        "runs some scripts of the build",
        ["bash"; 5],
    ),
    program(
        "flex",
        When::Always,
        "generates the lexers of Kconfig and dtc",
        ["flex"; 5],
    ),
    program(
        "bison",
        When::Always,
        "generates the parsers of Kconfig and dtc",
        ["bison"; 5],
    ),
    program("bc", When::Always, "computes the time constants", ["bc"; 5]),
    program(
        "perl",
        When::Always,
        "writes assembler sources and record tables",
        ["perl"; 5],
    ),
    program(
        "awk",
        When::Always,
        "writes lists of symbols and modules",
        ["gawk"; 5],
    ),
    program(
        "cmp",
        When::Always,
        "tells whether a generated file changed",
        ["diffutils"; 5],
    ),
    program(
        "python3",
        When::Mandatory,
        "writes sources in newer trees",
        ["python3", "python3", "python", "python3", "python3"],
    ),
    program(
        "cpio",
        When::Symbols(&["IKHEADERS"]),
        "packs the headers that the kernel carries",
        ["cpio"; 5],
    ),
    program(
        "openssl",
        When::Symbols(&["MODULE_SIG"]),
        "makes the key that signs modules",
        ["openssl"; 5],
    ),
    // Debian's gcc only recommends it.
    header(
        "libc",
        "stdlib.h",
        When::Always,
        "programs of the build are compiled against it",
        ["libc6-dev", "glibc-devel", "glibc", "glibc-devel", "-"],
    ),
    // tools/objtool/Makefile, tools/bpf/resolve_btfids/Makefile.
    header(
        "libelf",
        "gelf.h",
        When::Symbols(&[
            "OBJTOOL",
            "STACK_VALIDATION",
            "UNWINDER_ORC",
            "DEBUG_INFO_BTF",
        ]),
        "objtool and resolve_btfids read objects with it",
        [
            "libelf-dev",
            "elfutils-libelf-devel",
            "libelf",
            "libelf-devel",
            "elfutils",
        ],
    ),
    header(
        "zlib",
        "zlib.h",
        When::Symbols(&["DEBUG_INFO_BTF"]),
        "resolve_btfids is linked with it",
        ["zlib1g-dev", "zlib-devel", "zlib", "zlib-devel", "zlib"],
    ),
    // scripts/gendwarfksyms/Makefile.
    header(
        "libdw",
        "elfutils/libdw.h",
        When::Symbols(&["GENDWARFKSYMS"]),
        "gendwarfksyms reads debugging information with it",
        [
            "libdw-dev",
            "elfutils-devel",
            "libelf",
            "libdw-devel",
            "elfutils",
        ],
    ),
    // certs/Makefile builds extract-cert, scripts/Makefile sign-file.
    header(
        "libcrypto",
        "openssl/opensslv.h",
        When::Symbols(&[
            "MODULE_SIG_FORMAT",
            "SYSTEM_TRUSTED_KEYRING",
            "SYSTEM_REVOCATION_LIST",
        ]),
        "extract-cert and sign-file are linked with it",
        [
            "libssl-dev",
            "openssl-devel",
            "openssl",
            "libopenssl-devel",
            "openssl",
        ],
    ),
    Helper {
        name: "rust-src",
        probe: Probe::RustSource,
        when: When::Symbols(&["RUST"]),
        why: "the kernel compiles Rust's core library itself",
        packages: [
            "rust-src",
            "rust-src",
            "rust-src",
            "-",
            "rustPlatform.rustLibSrc",
        ],
    },
    program(
        "ccache",
        When::Feature(Feature::Ccache),
        "compiles nothing twice",
        ["ccache"; 5],
    ),
    program(
        "git",
        When::Feature(Feature::Git),
        "reads the source's repository",
        ["git"; 5],
    ),
    program(
        "apt-get",
        When::Feature(Feature::DebianSource),
        "downloads the source package",
        ["apt", "-", "-", "-", "-"],
    ),
    program(
        "dpkg-deb",
        When::Feature(Feature::DebianSource),
        "unpacks the source package",
        ["dpkg", "dpkg", "dpkg", "dpkg", "dpkg"],
    ),
    program(
        "dpkg-buildpackage",
        When::Feature(Feature::DebPackage),
        "builds the packages",
        ["dpkg-dev", "dpkg-dev", "dpkg", "-", "dpkg"],
    ),
    program(
        "dh",
        When::Feature(Feature::DebPackage),
        "builds the packages",
        ["debhelper", "debhelper", "debhelper", "-", "-"],
    ),
    program(
        "rpmbuild",
        When::Feature(Feature::RpmPackage),
        "builds the packages",
        ["rpm", "rpm-build", "rpm-tools", "rpm-build", "rpm"],
    ),
    program(
        "rsync",
        When::Feature(Feature::DebPackage),
        "installs the headers",
        ["rsync"; 5],
    ),
    program(
        "rsync",
        When::Feature(Feature::RpmPackage),
        "installs the headers",
        ["rsync"; 5],
    ),
    program(
        "pkg-config",
        When::Feature(Feature::Menuconfig),
        "finds ncurses",
        [
            "pkg-config",
            "pkgconf-pkg-config",
            "pkgconf",
            "pkgconf-pkg-config",
            "pkg-config",
        ],
    ),
    header(
        "ncurses",
        "ncurses.h",
        When::Feature(Feature::Menuconfig),
        "menuconfig draws with it",
        [
            "libncurses-dev",
            "ncurses-devel",
            "ncurses",
            "ncurses-devel",
            "ncurses",
        ],
    ),
];

/// Packages of roles whose package has another name than the program.
pub(super) const ROLE_PACKAGES: &[(Role, [&str; 5])] = &[
    (Role::Cc, ["gcc"; 5]),
    (Role::Hostcc, ["gcc"; 5]),
    (Role::Make, ["make", "make", "make", "make", "gnumake"]),
    (
        Role::Pahole,
        ["dwarves", "dwarves", "pahole", "dwarves", "pahole"],
    ),
    (Role::Rustc, ["rustc", "rust", "rust", "rust", "rustc"]),
    (
        Role::Bindgen,
        [
            "bindgen",
            "bindgen-cli",
            "rust-bindgen",
            "rust-bindgen",
            "rust-bindgen",
        ],
    ),
    (Role::Lzma, ["xz-utils", "xz-lzma-compat", "xz", "xz", "xz"]),
    (Role::Xz, ["xz-utils", "xz", "xz", "xz", "xz"]),
    (Role::Tar, ["tar", "tar", "tar", "tar", "gnutar"]),
    (Role::Depmod, ["kmod"; 5]),
];

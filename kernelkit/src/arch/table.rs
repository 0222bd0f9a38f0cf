//! The table: sorted by name, one family of rows after a base that they share.

use super::Endian::{Big, Little};
use super::{Qemu, Row};

const MISC: &[&str] = &["qemu-system-misc"];
const RISCV: &[&str] = &["qemu-system-riscv", "qemu-system-misc"];
const S390X: &[&str] = &["qemu-system-s390x", "qemu-system-misc"];

/// What a row says where its architecture has nothing of its own: the image
/// is the ELF file at the root of the build directory.
const PLAIN: Row = Row {
    name: "",
    aliases: &[],
    kernel_arch: "",
    srcarch: "",
    machine: "",
    bits: 32,
    endian: Little,
    elf_machine: 0,
    nix_system: None,
    cross_prefix: None,
    cross_package: None,
    llvm_target: None,
    defconfig: "defconfig",
    image_target: "vmlinux",
    image_path: "vmlinux",
    kbuild_image: "vmlinux",
    install_name: "vmlinux",
    dtbs: false,
    qemu: None,
};

const X86: Row = Row {
    srcarch: "x86",
    llvm_target: Some("x86_64-linux-gnu"),
    image_target: "bzImage",
    image_path: "arch/x86/boot/bzImage",
    kbuild_image: "arch/x86/boot/bzImage",
    install_name: "vmlinuz",
    ..PLAIN
};

const ON_X86: Qemu = Qemu {
    binary: "qemu-system-x86_64",
    packages: &["qemu-system-x86"],
    machine: "q35",
    cpu: None,
    kernel: "arch/x86/boot/bzImage",
    console: "ttyS0",
    append: "console=ttyS0",
};

const LOONGARCH: Row = Row {
    kernel_arch: "loongarch",
    srcarch: "loongarch",
    elf_machine: 258,
    llvm_target: Some("loongarch64-linux-gnusf"),
    // With CONFIG_EFI_ZBOOT, as its defconfigs have it; without, vmlinux.efi.
    image_target: "vmlinuz.efi",
    image_path: "arch/loongarch/boot/vmlinuz.efi",
    kbuild_image: "arch/loongarch/boot/vmlinuz.efi",
    install_name: "vmlinuz",
    dtbs: true,
    ..PLAIN
};

const MIPS: Row = Row {
    kernel_arch: "mips",
    srcarch: "mips",
    elf_machine: 8,
    llvm_target: Some("mipsel-linux-gnu"),
    dtbs: true,
    ..PLAIN
};

const ON_MIPS: Qemu = Qemu {
    binary: "qemu-system-mips",
    packages: &["qemu-system-mips"],
    machine: "malta",
    cpu: None,
    kernel: "vmlinux",
    console: "ttyS0",
    append: "console=ttyS0",
};

const ON_MIPS64: Qemu = Qemu {
    binary: "qemu-system-mips64",
    cpu: Some("MIPS64R2-generic"),
    ..ON_MIPS
};

const PARISC: Row = Row {
    srcarch: "parisc",
    endian: Big,
    elf_machine: 15,
    kbuild_image: "arch/parisc/boot/bzImage",
    ..PLAIN
};

const ON_HPPA: Qemu = Qemu {
    binary: "qemu-system-hppa",
    packages: MISC,
    machine: "hppa",
    cpu: None,
    kernel: "vmlinux",
    console: "ttyS0",
    append: "console=ttyS0",
};

const POWERPC: Row = Row {
    kernel_arch: "powerpc",
    srcarch: "powerpc",
    llvm_target: Some("powerpc64le-linux-gnu"),
    dtbs: true,
    ..PLAIN
};

const ON_PSERIES: Qemu = Qemu {
    binary: "qemu-system-ppc64",
    packages: &["qemu-system-ppc"],
    machine: "pseries",
    cpu: None,
    kernel: "vmlinux",
    console: "hvc0",
    append: "console=hvc0",
};

const RISCV_ROW: Row = Row {
    kernel_arch: "riscv",
    srcarch: "riscv",
    elf_machine: 243,
    cross_prefix: Some("riscv64-linux-gnu-"),
    cross_package: Some("gcc-riscv64-linux-gnu"),
    llvm_target: Some("riscv64-linux-gnu"),
    image_target: "Image",
    image_path: "arch/riscv/boot/Image",
    kbuild_image: "arch/riscv/boot/Image.gz",
    dtbs: true,
    ..PLAIN
};

const ON_RISCV: Qemu = Qemu {
    binary: "qemu-system-riscv64",
    packages: RISCV,
    machine: "virt",
    cpu: None,
    kernel: "arch/riscv/boot/Image",
    console: "ttyS0",
    append: "console=ttyS0",
};

const SPARC: Row = Row {
    srcarch: "sparc",
    endian: Big,
    // One compiler builds both widths.
    cross_prefix: Some("sparc64-linux-gnu-"),
    cross_package: Some("gcc-sparc64-linux-gnu"),
    llvm_target: Some("sparc64-linux-gnu"),
    image_target: "zImage",
    image_path: "arch/sparc/boot/zImage",
    kbuild_image: "arch/sparc/boot/zImage",
    install_name: "vmlinuz",
    ..PLAIN
};

const ON_SPARC: Qemu = Qemu {
    binary: "qemu-system-sparc",
    packages: &["qemu-system-sparc"],
    machine: "SS-5",
    cpu: None,
    kernel: "arch/sparc/boot/image",
    console: "ttyS0",
    append: "console=ttyS0",
};

pub(super) static ROWS: &[Row] = &[
    Row {
        name: "alpha",
        kernel_arch: "alpha",
        srcarch: "alpha",
        machine: "alpha",
        bits: 64,
        elf_machine: 0x9026,
        cross_prefix: Some("alpha-linux-gnu-"),
        cross_package: Some("gcc-alpha-linux-gnu"),
        image_target: "boot",
        image_path: "arch/alpha/boot/vmlinux.gz",
        install_name: "vmlinuz",
        qemu: Some(Qemu {
            binary: "qemu-system-alpha",
            packages: MISC,
            machine: "clipper",
            cpu: None,
            kernel: "vmlinux",
            console: "ttyS0",
            append: "console=ttyS0",
        }),
        ..PLAIN
    },
    Row {
        name: "arc",
        kernel_arch: "arc",
        srcarch: "arc",
        machine: "arc",
        elf_machine: 195,
        cross_prefix: Some("arc-linux-gnu-"),
        cross_package: Some("gcc-arc-linux-gnu"),
        dtbs: true,
        ..PLAIN
    },
    Row {
        name: "arm",
        aliases: &["armhf", "armel", "arm32", "armv7l", "armv7"],
        kernel_arch: "arm",
        srcarch: "arm",
        machine: "armv7l",
        elf_machine: 40,
        nix_system: Some("armv7l-linux"),
        cross_prefix: Some("arm-linux-gnueabihf-"),
        cross_package: Some("gcc-arm-linux-gnueabihf"),
        llvm_target: Some("arm-linux-gnueabi"),
        image_target: "zImage",
        image_path: "arch/arm/boot/zImage",
        kbuild_image: "arch/arm/boot/zImage",
        install_name: "vmlinuz",
        dtbs: true,
        qemu: Some(Qemu {
            binary: "qemu-system-arm",
            packages: &["qemu-system-arm"],
            machine: "virt",
            cpu: None,
            kernel: "arch/arm/boot/zImage",
            console: "ttyAMA0",
            append: "console=ttyAMA0",
        }),
        ..PLAIN
    },
    Row {
        name: "arm64",
        aliases: &["aarch64"],
        kernel_arch: "arm64",
        srcarch: "arm64",
        machine: "aarch64",
        bits: 64,
        elf_machine: 183,
        nix_system: Some("aarch64-linux"),
        cross_prefix: Some("aarch64-linux-gnu-"),
        cross_package: Some("gcc-aarch64-linux-gnu"),
        llvm_target: Some("aarch64-linux-gnu"),
        image_target: "Image",
        image_path: "arch/arm64/boot/Image",
        kbuild_image: "arch/arm64/boot/Image.gz",
        dtbs: true,
        qemu: Some(Qemu {
            binary: "qemu-system-aarch64",
            packages: &["qemu-system-arm"],
            machine: "virt",
            // The machine's default is a 32-bit processor, and `max` spends
            // much of its time emulating pointer authentication.
            cpu: Some("cortex-a57"),
            kernel: "arch/arm64/boot/Image",
            console: "ttyAMA0",
            append: "console=ttyAMA0",
        }),
        ..PLAIN
    },
    Row {
        name: "csky",
        kernel_arch: "csky",
        srcarch: "csky",
        machine: "csky",
        elf_machine: 252,
        cross_prefix: Some("csky-linux-"),
        image_target: "zImage",
        image_path: "arch/csky/boot/zImage",
        install_name: "vmlinuz",
        dtbs: true,
        ..PLAIN
    },
    Row {
        name: "hexagon",
        kernel_arch: "hexagon",
        srcarch: "hexagon",
        machine: "hexagon",
        elf_machine: 164,
        llvm_target: Some("hexagon-linux-musl"),
        ..PLAIN
    },
    Row {
        name: "i386",
        aliases: &["i486", "i586", "i686", "x86_32", "x86-32", "ia32"],
        kernel_arch: "i386",
        machine: "i686",
        elf_machine: 3,
        nix_system: Some("i686-linux"),
        cross_prefix: Some("i686-linux-gnu-"),
        cross_package: Some("gcc-i686-linux-gnu"),
        qemu: Some(Qemu {
            binary: "qemu-system-i386",
            ..ON_X86
        }),
        ..X86
    },
    // Removed in 6.7.
    Row {
        name: "ia64",
        aliases: &["itanium"],
        kernel_arch: "ia64",
        srcarch: "ia64",
        machine: "ia64",
        bits: 64,
        elf_machine: 50,
        cross_prefix: Some("ia64-linux-"),
        image_target: "vmlinux.gz",
        image_path: "vmlinux.gz",
        install_name: "vmlinuz",
        ..PLAIN
    },
    // Since 7.x.
    Row {
        name: "loongarch32",
        aliases: &["la32"],
        machine: "loongarch32",
        cross_prefix: Some("loongarch32-linux-gnu-"),
        defconfig: "loongson32_defconfig",
        ..LOONGARCH
    },
    Row {
        name: "loongarch64",
        aliases: &["loongarch", "loong64", "la64"],
        machine: "loongarch64",
        bits: 64,
        nix_system: Some("loongarch64-linux"),
        cross_prefix: Some("loongarch64-linux-gnu-"),
        cross_package: Some("gcc-loongarch64-linux-gnu"),
        qemu: Some(Qemu {
            binary: "qemu-system-loongarch64",
            packages: MISC,
            machine: "virt",
            cpu: None,
            // QEMU 7 and 8 take nothing but the ELF file.
            kernel: "vmlinux",
            console: "ttyS0",
            append: "console=ttyS0",
        }),
        ..LOONGARCH
    },
    Row {
        name: "m68k",
        aliases: &["m68000"],
        kernel_arch: "m68k",
        srcarch: "m68k",
        machine: "m68k",
        endian: Big,
        elf_machine: 4,
        nix_system: Some("m68k-linux"),
        cross_prefix: Some("m68k-linux-gnu-"),
        cross_package: Some("gcc-m68k-linux-gnu"),
        llvm_target: Some("m68k-linux-gnu"),
        image_target: "zImage",
        image_path: "vmlinux.gz",
        install_name: "vmlinuz",
        qemu: Some(Qemu {
            binary: "qemu-system-m68k",
            packages: MISC,
            machine: "q800",
            cpu: None,
            kernel: "vmlinux",
            console: "ttyS0",
            append: "console=ttyS0",
        }),
        ..PLAIN
    },
    Row {
        name: "microblaze",
        // Its one configuration is little-endian; the compiler does both orders.
        aliases: &["microblazeel"],
        kernel_arch: "microblaze",
        srcarch: "microblaze",
        machine: "microblaze",
        elf_machine: 189,
        nix_system: Some("microblazeel-linux"),
        cross_prefix: Some("microblaze-linux-"),
        image_target: "linux.bin",
        image_path: "arch/microblaze/boot/linux.bin",
        dtbs: true,
        qemu: Some(Qemu {
            binary: "qemu-system-microblazeel",
            packages: MISC,
            machine: "petalogix-s3adsp1800",
            cpu: None,
            kernel: "arch/microblaze/boot/linux.bin",
            console: "ttyUL0",
            append: "console=ttyUL0,115200",
        }),
        ..PLAIN
    },
    Row {
        name: "mips",
        aliases: &["mips32", "mipseb"],
        machine: "mips",
        endian: Big,
        nix_system: Some("mips-linux"),
        cross_prefix: Some("mips-linux-gnu-"),
        cross_package: Some("gcc-mips-linux-gnu"),
        defconfig: "32r2_defconfig",
        qemu: Some(ON_MIPS),
        ..MIPS
    },
    Row {
        name: "mips64",
        aliases: &["mips64eb"],
        machine: "mips64",
        bits: 64,
        endian: Big,
        nix_system: Some("mips64-linux"),
        cross_prefix: Some("mips64-linux-gnuabi64-"),
        cross_package: Some("gcc-mips64-linux-gnuabi64"),
        defconfig: "64r2_defconfig",
        qemu: Some(ON_MIPS64),
        ..MIPS
    },
    Row {
        name: "mips64el",
        aliases: &["mips64le"],
        machine: "mips64",
        bits: 64,
        nix_system: Some("mips64el-linux"),
        cross_prefix: Some("mips64el-linux-gnuabi64-"),
        cross_package: Some("gcc-mips64el-linux-gnuabi64"),
        defconfig: "64r2el_defconfig",
        qemu: Some(Qemu {
            binary: "qemu-system-mips64el",
            ..ON_MIPS64
        }),
        ..MIPS
    },
    Row {
        name: "mipsel",
        aliases: &["mipsle", "mips32el"],
        machine: "mips",
        nix_system: Some("mipsel-linux"),
        cross_prefix: Some("mipsel-linux-gnu-"),
        cross_package: Some("gcc-mipsel-linux-gnu"),
        defconfig: "32r2el_defconfig",
        qemu: Some(Qemu {
            binary: "qemu-system-mipsel",
            ..ON_MIPS
        }),
        ..MIPS
    },
    Row {
        name: "nios2",
        kernel_arch: "nios2",
        srcarch: "nios2",
        machine: "nios2",
        elf_machine: 113,
        cross_prefix: Some("nios2-linux-"),
        image_target: "vmImage",
        image_path: "arch/nios2/boot/vmImage",
        kbuild_image: "arch/nios2/boot/vmImage",
        install_name: "vmlinuz",
        dtbs: true,
        // QEMU 9.1 and later have it no more.
        qemu: Some(Qemu {
            binary: "qemu-system-nios2",
            packages: MISC,
            machine: "10m50-ghrd",
            cpu: None,
            kernel: "vmlinux",
            console: "ttyS0",
            append: "console=ttyS0,115200",
        }),
        ..PLAIN
    },
    Row {
        name: "openrisc",
        aliases: &["or1k"],
        kernel_arch: "openrisc",
        srcarch: "openrisc",
        machine: "openrisc",
        endian: Big,
        elf_machine: 92,
        cross_prefix: Some("or1k-linux-"),
        image_target: "vmlinux.bin",
        image_path: "arch/openrisc/boot/vmlinux.bin",
        dtbs: true,
        qemu: Some(Qemu {
            binary: "qemu-system-or1k",
            packages: MISC,
            machine: "or1k-sim",
            cpu: None,
            kernel: "vmlinux",
            console: "ttyS0",
            append: "console=ttyS0",
        }),
        ..PLAIN
    },
    Row {
        name: "parisc",
        aliases: &["hppa", "parisc32"],
        kernel_arch: "parisc",
        machine: "parisc",
        cross_prefix: Some("hppa-linux-gnu-"),
        cross_package: Some("gcc-hppa-linux-gnu"),
        defconfig: "generic-32bit_defconfig",
        qemu: Some(ON_HPPA),
        ..PARISC
    },
    Row {
        name: "parisc64",
        aliases: &["hppa64"],
        kernel_arch: "parisc64",
        machine: "parisc64",
        bits: 64,
        cross_prefix: Some("hppa64-linux-gnu-"),
        cross_package: Some("gcc-hppa64-linux-gnu"),
        defconfig: "generic-64bit_defconfig",
        // A 64-bit machine: QEMU 9.0 and later.
        qemu: Some(Qemu {
            machine: "C3700",
            ..ON_HPPA
        }),
        ..PARISC
    },
    Row {
        name: "powerpc",
        aliases: &["ppc", "ppc32", "powerpc32"],
        machine: "ppc",
        endian: Big,
        elf_machine: 20,
        nix_system: Some("powerpc-linux"),
        cross_prefix: Some("powerpc-linux-gnu-"),
        cross_package: Some("gcc-powerpc-linux-gnu"),
        defconfig: "pmac32_defconfig",
        qemu: Some(Qemu {
            binary: "qemu-system-ppc",
            machine: "g3beige",
            console: "ttyPZ0",
            append: "console=ttyPZ0",
            ..ON_PSERIES
        }),
        ..POWERPC
    },
    Row {
        name: "powerpc64",
        aliases: &["ppc64"],
        machine: "ppc64",
        bits: 64,
        endian: Big,
        elf_machine: 21,
        nix_system: Some("powerpc64-linux"),
        cross_prefix: Some("powerpc64-linux-gnu-"),
        cross_package: Some("gcc-powerpc64-linux-gnu"),
        defconfig: "ppc64_defconfig",
        qemu: Some(ON_PSERIES),
        ..POWERPC
    },
    Row {
        name: "powerpc64le",
        aliases: &["ppc64le", "ppc64el", "powerpc64el"],
        machine: "ppc64le",
        bits: 64,
        elf_machine: 21,
        nix_system: Some("powerpc64le-linux"),
        cross_prefix: Some("powerpc64le-linux-gnu-"),
        cross_package: Some("gcc-powerpc64le-linux-gnu"),
        defconfig: "ppc64le_defconfig",
        qemu: Some(ON_PSERIES),
        ..POWERPC
    },
    Row {
        name: "riscv32",
        aliases: &["rv32"],
        machine: "riscv32",
        nix_system: Some("riscv32-linux"),
        defconfig: "rv32_defconfig",
        qemu: Some(Qemu {
            binary: "qemu-system-riscv32",
            ..ON_RISCV
        }),
        ..RISCV_ROW
    },
    Row {
        name: "riscv64",
        aliases: &["riscv", "rv64"],
        machine: "riscv64",
        bits: 64,
        nix_system: Some("riscv64-linux"),
        qemu: Some(ON_RISCV),
        ..RISCV_ROW
    },
    Row {
        name: "s390x",
        aliases: &["s390"],
        kernel_arch: "s390",
        srcarch: "s390",
        machine: "s390x",
        bits: 64,
        endian: Big,
        elf_machine: 22,
        nix_system: Some("s390x-linux"),
        cross_prefix: Some("s390x-linux-gnu-"),
        cross_package: Some("gcc-s390x-linux-gnu"),
        llvm_target: Some("s390x-linux-gnu"),
        image_target: "bzImage",
        image_path: "arch/s390/boot/bzImage",
        kbuild_image: "arch/s390/boot/bzImage",
        install_name: "vmlinuz",
        qemu: Some(Qemu {
            binary: "qemu-system-s390x",
            packages: S390X,
            machine: "s390-ccw-virtio",
            cpu: None,
            kernel: "arch/s390/boot/bzImage",
            console: "ttysclp0",
            append: "console=ttysclp0",
        }),
        ..PLAIN
    },
    Row {
        name: "sh",
        aliases: &["sh4", "superh"],
        kernel_arch: "sh",
        srcarch: "sh",
        machine: "sh4",
        elf_machine: 42,
        cross_prefix: Some("sh4-linux-gnu-"),
        cross_package: Some("gcc-sh4-linux-gnu"),
        image_target: "zImage",
        image_path: "arch/sh/boot/zImage",
        kbuild_image: "arch/sh/boot/zImage",
        install_name: "vmlinuz",
        dtbs: true,
        // The board's console is its second serial port: `-serial null -serial stdio`.
        qemu: Some(Qemu {
            binary: "qemu-system-sh4",
            packages: MISC,
            machine: "r2d",
            cpu: None,
            kernel: "arch/sh/boot/zImage",
            console: "ttySC1",
            append: "console=ttySC1,115200 noiotrap",
        }),
        ..PLAIN
    },
    Row {
        name: "sparc",
        aliases: &["sparc32"],
        kernel_arch: "sparc",
        machine: "sparc",
        elf_machine: 2,
        defconfig: "sparc32_defconfig",
        qemu: Some(ON_SPARC),
        ..SPARC
    },
    Row {
        name: "sparc64",
        aliases: &["sun4u"],
        kernel_arch: "sparc64",
        machine: "sparc64",
        bits: 64,
        elf_machine: 43,
        defconfig: "sparc64_defconfig",
        qemu: Some(Qemu {
            binary: "qemu-system-sparc64",
            machine: "sun4u",
            ..ON_SPARC
        }),
        ..SPARC
    },
    // A kernel that is a program of the host, here of a 64-bit x86 one.
    Row {
        name: "um",
        aliases: &["uml"],
        kernel_arch: "um",
        srcarch: "um",
        machine: "x86_64",
        bits: 64,
        elf_machine: 62,
        cross_prefix: Some("x86_64-linux-gnu-"),
        cross_package: Some("gcc-x86-64-linux-gnu"),
        llvm_target: Some("x86_64-linux-gnu"),
        image_target: "linux",
        image_path: "linux",
        install_name: "linux",
        ..PLAIN
    },
    Row {
        name: "x86_64",
        aliases: &["amd64", "x86-64", "x64"],
        kernel_arch: "x86_64",
        machine: "x86_64",
        bits: 64,
        elf_machine: 62,
        nix_system: Some("x86_64-linux"),
        cross_prefix: Some("x86_64-linux-gnu-"),
        cross_package: Some("gcc-x86-64-linux-gnu"),
        qemu: Some(ON_X86),
        ..X86
    },
    Row {
        name: "xtensa",
        kernel_arch: "xtensa",
        srcarch: "xtensa",
        machine: "xtensa",
        elf_machine: 94,
        cross_prefix: Some("xtensa-linux-"),
        image_target: "Image",
        image_path: "arch/xtensa/boot/Image.elf",
        dtbs: true,
        // The simulator's console goes through semihosting: `-semihosting`.
        qemu: Some(Qemu {
            binary: "qemu-system-xtensa",
            packages: MISC,
            machine: "sim",
            cpu: Some("dc232b"),
            kernel: "arch/xtensa/boot/Image.elf",
            console: "ttyS0",
            append: "console=ttyS0",
        }),
        ..PLAIN
    },
];

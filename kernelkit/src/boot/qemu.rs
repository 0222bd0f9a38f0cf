//! The QEMU call that boots a kernel.
//!
//! Options are those of qemu(1) 5.2 and later. No default device is made: the guest has a
//! processor, memory and the serial console, which any kernel with a console can use.

use camino::Utf8Path;
use serde::{Deserialize, Serialize};

use crate::arch::Qemu;
use crate::process::Call;

/// How the guest's processor is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accelerator {
    /// By the host's own processor.
    Kvm,
    /// Emulated: any architecture on any host.
    Tcg,
}

impl std::fmt::Display for Accelerator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Accelerator::Kvm => "KVM",
            Accelerator::Tcg => "TCG",
        })
    }
}

/// Where the guest's serial console goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Console {
    /// Standard output; the guest reads nothing.
    Pipe,
    /// The terminal, together with QEMU's monitor: Ctrl-A X quits, Ctrl-A C switches,
    /// Ctrl-C goes to the guest.
    Terminal,
}

/// What to boot, and how.
#[derive(Clone, Copy, Debug)]
pub struct Guest<'a> {
    /// The architecture's emulator.
    pub qemu: &'a Qemu,
    /// The kernel image.
    pub image: &'a Utf8Path,
    /// The initramfs.
    pub initrd: &'a Utf8Path,
    /// QEMU's `-m`, such as `256M`.
    pub memory: &'a str,
    /// More words for the kernel's command line.
    pub append: Option<&'a str>,
    /// How the processor is run.
    pub accelerator: Accelerator,
    /// Where the console goes.
    pub console: Console,
    /// Wait for gdb on this port of the loopback interface before the first instruction.
    pub gdb: Option<u16>,
}

/// The call that boots `guest`, to be run in `directory`.
///
/// QEMU ends when the guest restarts: small kernels can restart their machine more often
/// than switch it off. For the same reason a panic restarts at once (`panic=-1`).
pub fn call(guest: &Guest<'_>, directory: &Utf8Path) -> Call {
    let qemu = guest.qemu;
    let mut append = format!("{} panic=-1", qemu.append);
    if guest.gdb.is_some() {
        // Breakpoints are set at the addresses in vmlinux.
        append.push_str(" nokaslr");
    }
    if let Some(more) = guest.append {
        append.push(' ');
        append.push_str(more);
    }
    let mut call = Call::new(qemu.binary, directory).args(["-machine", qemu.machine]);
    call = match guest.accelerator {
        Accelerator::Kvm => call.args(["-accel", "kvm", "-cpu", "host"]),
        Accelerator::Tcg => call
            .args(["-accel", "tcg"])
            .args(qemu.cpu.into_iter().flat_map(|cpu| ["-cpu", cpu])),
    };
    call = call
        .args([
            "-m",
            guest.memory,
            "-nodefaults",
            "-display",
            "none",
            "-no-reboot",
        ])
        .args(match guest.console {
            Console::Pipe => ["-serial", "stdio"],
            Console::Terminal => ["-serial", "mon:stdio"],
        });
    if let Some(port) = guest.gdb {
        call = call.args(["-gdb", &format!("tcp:127.0.0.1:{port}"), "-S"]);
    }
    call.args(["-kernel", guest.image.as_str()])
        .args(["-initrd", guest.initrd.as_str()])
        .arg("-append")
        .arg(append)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest(arch: &str) -> Guest<'static> {
        Guest {
            qemu: arch
                .parse::<crate::arch::Arch>()
                .unwrap()
                .row()
                .qemu
                .as_ref()
                .unwrap(),
            image: "/k/image".into(),
            initrd: "/k/initramfs".into(),
            memory: "256M",
            append: None,
            accelerator: Accelerator::Tcg,
            console: Console::Pipe,
            gdb: None,
        }
    }

    fn line(guest: &Guest<'_>) -> String {
        call(guest, "/w".into()).to_string()
    }

    #[test]
    fn each_architecture_has_its_machine_and_console() {
        insta::assert_snapshot!(line(&guest("x86_64")), @"cd /w && env -i qemu-system-x86_64 -machine q35 -accel tcg -m 256M -nodefaults -display none -no-reboot -serial stdio -kernel /k/image -initrd /k/initramfs -append 'console=ttyS0 panic=-1'");
        insta::assert_snapshot!(line(&guest("arm64")), @"cd /w && env -i qemu-system-aarch64 -machine virt -accel tcg -cpu cortex-a57 -m 256M -nodefaults -display none -no-reboot -serial stdio -kernel /k/image -initrd /k/initramfs -append 'console=ttyAMA0 panic=-1'");
        insta::assert_snapshot!(line(&guest("riscv64")), @"cd /w && env -i qemu-system-riscv64 -machine virt -accel tcg -m 256M -nodefaults -display none -no-reboot -serial stdio -kernel /k/image -initrd /k/initramfs -append 'console=ttyS0 panic=-1'");
    }

    #[test]
    fn kvm_runs_the_hosts_own_processor() {
        let guest = Guest {
            accelerator: Accelerator::Kvm,
            ..guest("arm64")
        };
        insta::assert_snapshot!(line(&guest), @"cd /w && env -i qemu-system-aarch64 -machine virt -accel kvm -cpu host -m 256M -nodefaults -display none -no-reboot -serial stdio -kernel /k/image -initrd /k/initramfs -append 'console=ttyAMA0 panic=-1'");
    }

    #[test]
    fn gdb_waits_on_the_loopback_and_the_users_words_come_last() {
        let guest = Guest {
            console: Console::Terminal,
            gdb: Some(1234),
            append: Some("quiet -- one"),
            ..guest("x86_64")
        };
        insta::assert_snapshot!(line(&guest), @"cd /w && env -i qemu-system-x86_64 -machine q35 -accel tcg -m 256M -nodefaults -display none -no-reboot -serial mon:stdio -gdb tcp:127.0.0.1:1234 -S -kernel /k/image -initrd /k/initramfs -append 'console=ttyS0 panic=-1 nokaslr quiet -- one'");
    }
}

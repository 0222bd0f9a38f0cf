use super::*;

fn request(arch: &str, cc: &[&str]) -> Request {
    Request {
        arch: arch.parse().unwrap(),
        image: "/k/image".into(),
        release: "6.12.117-tiny".to_owned(),
        build_id: None,
        modules: None,
        source: "/src".into(),
        tree: None,
        work: "/w".into(),
        cc: cc.iter().map(|word| (*word).to_owned()).collect(),
        make_variables: vec!["ARCH=arm64".to_owned(), "LLVM=1".to_owned()],
        append: None,
        initrd: None,
        memory: "256M".to_owned(),
        gdb: None,
        vmlinux: None,
        accel: Accel::Auto,
        timeout: Duration::from_secs(60),
        module: None,
    }
}

const REPORT: &str = "\
@kernelkit release 6.12.117-tiny
@kernelkit version #1 SMP
@kernelkit machine x86_64
@kernelkit module 0 /lib/needed.ko
@kernelkit module 0 /lib/a.ko
@kernelkit end .
";

fn id(digit: char) -> BuildId {
    String::from(digit).repeat(40).parse().unwrap()
}

/// A transcript and how the guest ended, against the problems' and notes' texts.
#[track_caller]
fn check(console: &str, ended: Ended, named: bool, problems: &[&str], notes: &[&str]) {
    let qemu = "x86_64".parse::<Arch>().unwrap().row().qemu.as_ref();
    let expectation = Expectation {
        release: "6.12.117-tiny",
        build_id: Some(&id('a')),
        module_build_ids: &[("/lib/a.ko".to_owned(), id('b'))],
        module: Some("/lib/a.ko"),
        named,
        qemu: qemu.unwrap(),
    };
    let (found, said) = judge(&console::read(console.as_bytes()), &ended, &expectation);
    let found: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert_eq!(found, problems, "{console}");
    assert_eq!(said, notes, "{console}");
}

#[test]
fn a_complete_report_of_the_right_kernel_passes() {
    check(REPORT, Ended::Off, false, &[], &[]);
    let without_modules: String = REPORT
        .split_inclusive('\n')
        .filter(|line| !line.contains("module"))
        .collect();
    check(&without_modules, Ended::Off, false, &[], &[]);
    check(
        REPORT,
        Ended::Lingered,
        false,
        &[],
        &["the guest did not end by itself after init's report"],
    );
    let warned = format!("[    0.1] WARNING: CPU: 0 at x.c:1\n{REPORT}");
    check(
        &warned,
        Ended::Off,
        false,
        &[],
        &["the kernel said: WARNING: CPU: 0 at x.c:1"],
    );
}

#[test]
fn a_guest_without_a_report_fails_for_the_reason_that_is_known() {
    let limit = || Ended::TimeLimit(Duration::from_secs(60));
    let silent = "the kernel printed nothing on ttyS0";
    let cut = &REPORT[..REPORT.len() - 3];
    check("", limit(), false, &[silent], &[]);
    check("", Ended::Off, false, &[silent], &[]);
    check(
        cut,
        limit(),
        false,
        &["no report from init within 60 s"],
        &[],
    );
    check(
        "Linux version 6.12\n",
        Ended::Off,
        false,
        &["the guest ended without a report from init"],
        &[],
    );
    check(
        "qemu-system-x86_64: could not load kernel\n",
        Ended::Failed("exit status 1".to_owned()),
        false,
        &["QEMU failed with exit status 1"],
        &[],
    );
}

#[test]
fn a_panic_and_a_crash_fail_even_after_a_report() {
    check(
        "[    0.4] Kernel panic - not syncing: No working init found.\n",
        Ended::Lingered,
        false,
        &["kernel panic: No working init found."],
        &[],
    );
    let crashed = format!(
        "[    0.4] BUG: kernel NULL pointer dereference, address: 0\n[    0.4] Oops: 0000 [#1]\n{REPORT}"
    );
    check(
        &crashed,
        Ended::Off,
        false,
        &["the kernel crashed: BUG: kernel NULL pointer dereference, address: 0"],
        &[],
    );
}

#[test]
fn another_kernels_name_is_a_problem() {
    check(
        &REPORT.replace("117-tiny", "117-other"),
        Ended::Off,
        false,
        &["the kernel calls itself `6.12.117-other`, not `6.12.117-tiny`"],
        &[],
    );
}

/// Two states of an edited tree have one release.
#[test]
fn another_build_of_the_same_release_is_a_problem() {
    let with = |sysfs: &str, kernel: &str, module: &str| {
        let ids = format!(
            "@kernelkit sysfs {sysfs}\n@kernelkit build-id kernel {kernel}\n\
             @kernelkit build-id /lib/needed.ko {kernel}\n@kernelkit build-id /lib/a.ko {module}\n"
        );
        REPORT.replace("@kernelkit end", &format!("{ids}@kernelkit end"))
    };
    let [a, b, c] = ['a', 'b', 'c'].map(|digit| id(digit).to_string());
    check(&with("yes", &a, &b), Ended::Off, false, &[], &[]);
    let other = format!("the kernel has the build id {c}, not {a}");
    check(&with("yes", &c, &b), Ended::Off, false, &[&other], &[]);
    let other = format!("the module /lib/a.ko has the build id {c}, not {b}");
    check(&with("yes", &a, &c), Ended::Off, false, &[&other], &[]);
    let none = "the kernel shows no build id: its release alone was compared";
    let no_module = "the kernel shows no build id of the module /lib/a.ko (CONFIG_KALLSYMS)";
    check(
        &with("yes", "-", "-"),
        Ended::Off,
        false,
        &[],
        &[none, no_module],
    );
    let without = REPORT.replace("@kernelkit end", "@kernelkit sysfs no\n@kernelkit end");
    let note = "the kernel has no SYSFS (CONFIG_SYSFS), so its build id cannot be read: its release alone was compared";
    check(&without, Ended::Off, false, &[], &[note]);
}

#[test]
fn a_refused_module_is_a_problem_and_a_missing_device_is_not() {
    let with = |errno: i32, path: &str| {
        REPORT.replace(
            &format!("module 0 {path}"),
            &format!("module -{errno} {path}"),
        )
    };
    let refused = "the module /lib/a.ko does not load: Exec format error (os error 8)";
    let no_device = "the module /lib/a.ko does not load: No such device (os error 19)";
    let needed = "the module /lib/needed.ko does not load: No such device (os error 19)";
    let accepted = "the module /lib/a.ko was accepted and found no device of its own";
    check(&with(8, "/lib/a.ko"), Ended::Off, false, &[refused], &[]);
    check(&with(19, "/lib/a.ko"), Ended::Off, false, &[], &[accepted]);
    check(&with(19, "/lib/a.ko"), Ended::Off, true, &[no_device], &[]);
    check(
        &with(19, "/lib/needed.ko"),
        Ended::Off,
        false,
        &[needed],
        &[],
    );
}

#[test]
fn hints_name_the_option_that_is_missing() {
    let silent = |console: &str| Problem::Silent {
        console: console.to_owned(),
    };
    let panic = |reason: &str| Problem::Panic {
        reason: reason.to_owned(),
    };
    let module = |errno| Problem::Module {
        path: "/a.ko".to_owned(),
        errno,
    };
    let rows = [
        (silent("ttyS0"), "CONFIG_SERIAL_8250_CONSOLE"),
        (silent("ttyAMA0"), "CONFIG_SERIAL_AMBA_PL011_CONSOLE"),
        (
            panic("VFS: Unable to mount root fs on unknown-block(0,0)"),
            "CONFIG_BLK_DEV_INITRD",
        ),
        (
            panic("No working init found.  Try passing init= option to kernel."),
            "CONFIG_BINFMT_ELF",
        ),
        (module(38), "CONFIG_MODULES"),
        (module(129), "CONFIG_MODULE_SIG_FORCE"),
    ];
    for (problem, option) in rows {
        assert!(problem.hint().unwrap().contains(option), "{problem:?}");
    }
}

#[test]
fn init_is_compiled_against_nothing_but_the_kernel() {
    let line = |arch: &str, cc: &[&str]| {
        let call = compile(&request(arch, cc), "/gcc/include", "/w/headers".into());
        call.to_string()
    };
    let i386 = line("i386", &["gcc"]);
    assert!(i386.contains(" -m32 ") && !i386.contains("-lgcc"), "{i386}");
    let riscv = line("riscv64", &["clang-16", "--target=riscv64-linux-gnu"]);
    assert!(riscv.ends_with(" -mno-relax -fuse-ld=lld"), "{riscv}");
    insta::assert_snapshot!(line("arm64", &["aarch64-linux-gnu-gcc"]), @"cd /w && env -i aarch64-linux-gnu-gcc -Os -s -static -nostdlib -nostdinc -fno-builtin -fno-asynchronous-unwind-tables -fno-ident -fno-stack-protector -Wl,--build-id=none -isystem /gcc/include -I/src/tools/include/nolibc -I/w/headers/usr/include -o init init.c -lgcc");
    insta::assert_snapshot!(line("x86_64", &["clang", "--target=x86_64-linux-gnu"]), @"cd /w && env -i clang --target=x86_64-linux-gnu -Os -s -static -nostdlib -nostdinc -fno-builtin -fno-asynchronous-unwind-tables -fno-ident -fno-stack-protector -Wl,--build-id=none -isystem /gcc/include -I/src/tools/include/nolibc -I/w/headers/usr/include -m64 -o init init.c -fuse-ld=lld");
}

#[test]
fn headers_are_made_out_of_tree_with_the_builds_variables() {
    let call = headers(&request("arm64", &[]), "/w/headers".into(), 2);
    insta::assert_snapshot!(call.to_string(), @"cd /w/headers && env -i make -s -C /src O=/w/headers -j2 ARCH=arm64 LLVM=1 headers");
}

#[test]
fn the_debugger_attaches_to_the_waiting_guest() {
    let mut request = request("arm64", &[]);
    let x86_64 = "x86_64".parse().ok();
    insta::assert_snapshot!(debugger(&request, 1234, x86_64), @"gdb-multiarch -ex 'target remote 127.0.0.1:1234'");
    request.vmlinux = Some("/b/vmlinux".into());
    insta::assert_snapshot!(debugger(&request, 1234, Some(request.arch)), @"gdb -iex 'add-auto-load-safe-path /b' /b/vmlinux -ex 'target remote 127.0.0.1:1234'");
}

#[test]
fn the_list_names_every_module_and_its_files_in_load_order() {
    let modules = [GuestModule {
        name: "a".to_owned(),
        files: vec!["/lib/b.ko".to_owned(), "/lib/a.ko".to_owned()],
    }];
    let bytes = initramfs(b"elf", &[], &modules, true);
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("a /lib/b.ko /lib/a.ko\n"));
    assert!(text.contains(CHECK_FILE));
    assert!(
        !String::from_utf8_lossy(&initramfs(b"elf", &[], &modules, false)).contains(CHECK_FILE)
    );
}

#[test]
fn init_and_this_module_name_the_same_files() {
    for file in [MODULE_LIST, CHECK_FILE] {
        assert!(INIT_SOURCE.contains(&format!("\"/{file}\"")), "{file}");
    }
}

use super::*;
use crate::boot::archive::Archive;
use std::collections::BTreeMap;

/// A directory with an empty kernel tree, the request to boot it, and an environment
/// whose tools are scripts: a QEMU that runs `script`, and a make and a compiler that do nothing.
struct Bench {
    _guard: tempfile::TempDir,
    environment: Environment,
    request: Request,
}

impl Bench {
    fn new(script: &str) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let guard = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(guard.path().to_owned()).unwrap();
        for (tool, script) in [
            ("qemu-system-riscv64", script),
            ("make", "echo make >>../made"),
            ("cc", "echo elf >init; echo own"),
        ] {
            let path = root.join("bin").join(tool);
            fs::write_atomic(&path, format!("#!/bin/sh\n{script}\n").as_bytes()).unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::create_dir_all(root.join("tree/tools/include/nolibc")).unwrap();
        let path = format!("{root}/bin:/usr/bin:/bin");
        let variables = BTreeMap::from([("PATH".to_owned(), path)]);
        Bench {
            environment: Environment::from_variables(root.clone(), variables),
            request: Request {
                arch: "riscv64".parse().unwrap(),
                image: root.join("Image"),
                release: "6.12.117".to_owned(),
                build_id: None,
                modules: None,
                source: root.join("tree"),
                tree: None,
                work: root.join("work"),
                cc: vec!["cc".to_owned()],
                make_variables: Vec::new(),
                append: None,
                initrd: None,
                memory: "256M".to_owned(),
                gdb: None,
                vmlinux: None,
                accel: Accel::Tcg,
                timeout: Duration::from_secs(60),
                module: None,
            },
            _guard: guard,
        }
    }

    fn check(&self) -> Result<Outcome, Error> {
        check(&self.request, &self.environment, &mut |_| {})
    }

    /// Installs modules: `modules.dep`, and every file of it.
    fn install(&mut self, dependencies: &str) {
        let directory = self.request.work.join("modules");
        fs::write_atomic(directory.join("modules.dep"), dependencies.as_bytes()).unwrap();
        for path in Modules::parse(dependencies).paths() {
            fs::write_atomic(directory.join(path), path.as_bytes()).unwrap();
        }
        self.request.modules = Some(directory);
    }
}

/// Runs a guest that is `script`, and says how it ended.
#[track_caller]
fn ends(script: &str, timeout: f64, silence: Option<f64>, expected: &Ended) {
    let mut bench = Bench::new(script);
    bench.request.timeout = Duration::from_secs_f64(timeout);
    fs::create_dir_all(&bench.request.work).unwrap();
    let lab = Lab {
        request: &bench.request,
        environment: &bench.environment,
        qemu: find_qemu(&bench.request, &bench.environment).unwrap(),
        initrd: "/initrd".into(),
    };
    let attempt = lab
        .attempt(
            Accelerator::Kvm,
            silence.map(Duration::from_secs_f64),
            &mut |_| {},
        )
        .unwrap();
    assert_eq!(&attempt.ended, expected, "{script}");
}

#[test]
fn a_guest_is_watched_to_its_end() {
    let time_limit = Ended::TimeLimit(Duration::from_millis(300));
    let silent = Ended::Silent(Duration::from_millis(200));
    let failed = Ended::Failed("exit status 1".to_owned());
    ends("echo up", 60.0, Some(30.0), &Ended::Off);
    ends("echo no kernel >&2; exit 1", 60.0, None, &failed);
    ends("echo up; exec sleep 600", 0.3, None, &time_limit);
    ends("exec sleep 600", 60.0, Some(0.2), &silent);
    ends("echo up; exec sleep 600", 60.0, Some(0.2), &silent);
    ends(
        "while echo up; do sleep 0.01; done",
        0.3,
        Some(30.0),
        &time_limit,
    );
    // Long enough for a busy machine to print the one line.
    ends(
        "echo '@kernelkit end .'; exec sleep 600",
        2.0,
        None,
        &Ended::Lingered,
    );
}

#[test]
fn what_the_console_said_is_kept_and_judged() {
    let bench = Bench::new(
        "echo '@kernelkit release 6.12.117'; echo '@kernelkit machine riscv64'; echo '@kernelkit end .'",
    );
    let outcome = bench.check().unwrap();
    assert!(outcome.passed, "{outcome:?}");
    assert_eq!(outcome.uname_m.as_deref(), Some("riscv64"));
    let log = fs::read_to_string(&outcome.console_log).unwrap();
    assert!(log.ends_with("@kernelkit end .\n"));
}

#[test]
fn a_module_is_loaded_after_what_it_needs() {
    let mut bench = Bench::new(
        "p=/lib/modules/6.12.117/kernel; echo '@kernelkit release 6.12.117'; \
         echo \"@kernelkit module 0 $p/b.ko\"; echo \"@kernelkit module -8 $p/a.ko\"; \
         echo '@kernelkit end .'",
    );
    bench.install("kernel/a.ko: kernel/b.ko\nkernel/b.ko:\n");
    bench.request.module = Some("a".to_owned());
    let outcome = bench.check().unwrap();
    let module = outcome.module.unwrap();
    assert_eq!(
        (module.path.as_str(), module.errno),
        ("/lib/modules/6.12.117/kernel/a.ko", 8)
    );
    assert!(!outcome.passed);
    let archive = fs::read(bench.request.work.join("check.cpio")).unwrap();
    let list = "a /lib/modules/6.12.117/kernel/b.ko /lib/modules/6.12.117/kernel/a.ko\n";
    assert!(String::from_utf8_lossy(&archive).contains(list));
}

#[test]
fn headers_are_made_again_only_for_another_tree_or_an_unnamed_one() {
    let mut bench = Bench::new("true");
    for (tree, made) in [
        (Some("one"), 1),
        (Some("one"), 1),
        (Some("two"), 2),
        (None, 3),
        (None, 4),
    ] {
        bench.request.tree = tree.map(str::to_owned);
        bench.check().unwrap();
        let log = fs::read_to_string(bench.request.work.join("made")).unwrap();
        assert_eq!(log.lines().count(), made, "{tree:?}");
    }
}

#[test]
fn what_is_missing_is_named() {
    type Spoil = fn(&mut Bench);
    let rows: [(Spoil, &str, &str); 6] = [
        (
            |bench| bench.environment.path = "/nowhere".to_owned(),
            "`qemu-system-riscv64` was not found on PATH",
            "qemu-system-misc",
        ),
        (
            |bench| bench.request.arch = "csky".parse().unwrap(),
            "QEMU runs no kernel for csky",
            "",
        ),
        (
            |bench| fs::remove_dir_all(bench.request.source.join("tools")).unwrap(),
            "has no tools/include/nolibc",
            "--initrd",
        ),
        (
            |bench| bench.request.module = Some("a".to_owned()),
            "no module `a`: the kernel has no modules",
            "CONFIG_MODULES",
        ),
        (
            |bench| {
                bench.install("kernel/loop.ko:\n");
                bench.request.module = Some("lop".to_owned());
            },
            "no module `lop` in",
            "did you mean `loop`?",
        ),
        (
            |bench| {
                bench.install("kernel/loop.ko:\n");
                let directory = bench.request.modules.clone().unwrap();
                fs::write_atomic(directory.join("modules.builtin"), b"kernel/a/ext4.ko\n").unwrap();
                bench.request.module = Some("ext4".to_owned());
            },
            "no module `ext4` in",
            "built into the image",
        ),
    ];
    for (spoil, message, hint) in rows {
        let mut bench = Bench::new("true");
        spoil(&mut bench);
        let error = bench.check().unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
        assert!(error.hint().unwrap_or_default().contains(hint), "{error:?}");
    }
}

#[test]
fn modules_without_their_dependencies_are_an_error_and_no_modules_are_none() {
    let mut bench = Bench::new("true");
    let directory = bench.request.work.join("modules");
    fs::create_dir_all(&directory).unwrap();
    bench.request.modules = Some(directory.clone());
    assert!(check_modules(&bench.request).unwrap().list.is_empty());
    fs::create_dir_all(directory.join("kernel")).unwrap();
    let error = check_modules(&bench.request).err().unwrap();
    assert!(matches!(error, Error::NoDependencies { .. }));
}

#[test]
fn cpio_reads_the_archive() {
    let environment = Environment::read().unwrap();
    if exec::find_on_path("cpio", &environment.path).is_none() {
        assert!(!environment.ci, "cpio is not installed");
        eprintln!("skipped: cpio is not installed");
        return;
    }
    let guard = tempfile::tempdir().unwrap();
    let root = Utf8PathBuf::from_path_buf(guard.path().to_owned()).unwrap();
    let mut archive = Archive::default();
    archive.character_device("dev/console", 5, 1);
    archive.file("init", 0o755, b"seven b");
    archive.file("lib/modules/x/a.ko", 0o644, b"");
    fs::write_atomic(root.join("archive"), &archive.finish()).unwrap();
    let call = Call::new("cpio", root)
        .args(["-itv", "--numeric-uid-gid", "-F", "archive"])
        .envs(&environment.tool_variables());
    let listing = exec::capture(&call).unwrap().text();
    let listing: Vec<_> = listing
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        listing,
        [
            "drwxr-xr-x 1 0 0 0 Jan 1 1970 dev",
            "crw------- 1 0 0 5, 1 Jan 1 1970 dev/console",
            "-rwxr-xr-x 1 0 0 7 Jan 1 1970 init",
            "drwxr-xr-x 1 0 0 0 Jan 1 1970 lib",
            "drwxr-xr-x 1 0 0 0 Jan 1 1970 lib/modules",
            "drwxr-xr-x 1 0 0 0 Jan 1 1970 lib/modules/x",
            "-rw-r--r-- 1 0 0 0 Jan 1 1970 lib/modules/x/a.ko",
        ]
    );
}

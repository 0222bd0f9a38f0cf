//! Boots a real kernel. `KERNELKIT_TEST_KERNEL` names a directory with
//!
//! - `arch`, `release`: text files, as `Request` takes them
//! - `image`, `source`: the kernel image and its source tree
//! - `cc` (optional): the compiler, `gcc` without it
//! - `modules` (optional): the `lib/modules/<release>` directory
#![allow(clippy::unwrap_used, clippy::print_stderr)] // clippy knows functions under #[test] only

use std::time::Duration;

use camino::Utf8PathBuf;
use kernelkit::boot::{Accel, Accelerator, Problem, Request};
use kernelkit::effect::boot::{Event, check};
use kernelkit::effect::environment::Environment;
use kernelkit::effect::fs;

/// The kernel under test; `None`, with a word about it, on a machine that has none.
/// Where `CI` is set that is a failure.
fn request(environment: &Environment, work: &tempfile::TempDir) -> Option<Request> {
    let Some(directory) = environment.variables.get("KERNELKIT_TEST_KERNEL") else {
        assert!(!environment.ci, "KERNELKIT_TEST_KERNEL is not set");
        eprintln!("skipped: KERNELKIT_TEST_KERNEL is not set");
        return None;
    };
    let directory = Utf8PathBuf::from(directory);
    let text =
        |name: &str| fs::read_to_string(directory.join(name)).map(|text| text.trim().to_owned());
    let arch = text("arch")
        .unwrap()
        .parse::<kernelkit::arch::Arch>()
        .unwrap();
    Some(Request {
        arch,
        image: directory.join("image"),
        release: text("release").unwrap(),
        modules: Some(directory.join("modules")).filter(|modules| modules.is_dir()),
        source: directory.join("source"),
        tree: Some("test".to_owned()),
        work: Utf8PathBuf::from_path_buf(work.path().to_owned()).unwrap(),
        cc: vec![text("cc").unwrap_or_else(|_| "gcc".to_owned())],
        make_variables: vec![format!("ARCH={}", arch.row().kernel_arch)],
        append: None,
        initrd: None,
        memory: "256M".to_owned(),
        gdb: None,
        vmlinux: None,
        accel: Accel::Auto,
        timeout: Duration::from_secs(120),
        module: None,
    })
}

#[test]
fn a_kernel_boots_names_itself_and_loads_a_module() {
    let environment = Environment::read().unwrap();
    let work = tempfile::tempdir().unwrap();
    let Some(request) = request(&environment, &work) else {
        return;
    };
    let mut starts = Vec::new();
    let outcome = check(&request, &environment, &mut |event| match event {
        Event::Start { accelerator, .. } => starts.push(accelerator),
        other => eprintln!("{other:?}"),
    })
    .unwrap();
    eprintln!("{outcome:#?}");
    assert_eq!(outcome.problems, []);
    assert!(outcome.passed);
    assert_eq!(outcome.uname_r.as_deref(), Some(request.release.as_str()));
    assert_eq!(outcome.uname_m.as_deref(), Some(request.arch.row().machine));
    assert_eq!(
        outcome.module.map(|load| load.errno),
        request.modules.as_ref().map(|_| 0)
    );
    // Falling back is said, and what ran is what is reported.
    assert_eq!(starts.last(), Some(&outcome.accelerator));
    assert_eq!(
        starts.len(),
        1 + outcome.notes.iter().filter(|n| n.contains("KVM")).count()
    );

    let wrong = Request {
        release: "6.0.0-another".to_owned(),
        accel: Accel::Tcg,
        modules: None,
        ..request
    };
    let outcome = check(&wrong, &environment, &mut |event| {
        assert_ne!(
            event,
            Event::Headers,
            "the tree's headers are there already"
        );
    })
    .unwrap();
    assert!(!outcome.passed);
    assert!(matches!(
        outcome.problems.as_slice(),
        [Problem::Release { .. }]
    ));
    assert_eq!(outcome.accelerator, Accelerator::Tcg);
}

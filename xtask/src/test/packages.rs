//! The Debian packages that the tests need, installed where they are missing.

use kernelkit::effect::exec;
use kernelkit::process::Call;

use crate::Result;
use crate::test::Session;
use crate::workspace::Workspace;

/// Package and what the tests need it for.
pub(crate) const PACKAGES: &[(&str, &str)] = &[
    ("gcc", "compile kernels"),
    ("libc6-dev", "compile the kernel's host programs"),
    ("make", "build kernels"),
    ("flex", "build the kernel's Kconfig"),
    ("bison", "build the kernel's Kconfig"),
    ("gcc-aarch64-linux-gnu", "kernels for another architecture"),
    ("clang", "configure kernels as clang sees them"),
    ("lld", "configure kernels as clang sees them"),
    ("bc", "kernel/time/timeconst.h"),
    ("libelf-dev", "objtool"),
    ("libssl-dev", "module signing"),
    ("perl", "the kernel's scripts"),
    ("python3", "the kernel's scripts"),
    ("python3-pytest", "the kernel's tests of Kconfig"),
    ("cpio", "initramfs"),
    ("kmod", "depmod"),
    ("rsync", "install headers"),
    ("xz-utils", "unpack sources"),
    ("zstd", "compressed modules and images"),
    ("dwarves", "BTF"),
    ("qemu-system-x86", "boot kernels"),
    ("qemu-system-arm", "boot kernels of another architecture"),
    ("ccache", "builds with and without a compiler cache"),
    ("gpgv", "verify signed sources"),
    ("git", "sources from git, tree ids"),
    ("curl", "ask a test server as others would"),
    ("nix-bin", "kernels as derivations, the flake"),
    (
        "busybox-static",
        "the shell that unpacks a toolchain in Nix' sandbox",
    ),
];

/// Installs what is missing, in one apt-get call.
pub(super) fn install(session: &mut Session) -> Result {
    let workspace = &session.workspace;
    if !apt_is_here(workspace) {
        println!("this is not a Debian system; the tests need what these packages hold:");
        for (package, need) in PACKAGES {
            println!("  {package:<16} {need}");
        }
        return Ok(());
    }
    let missing = missing(workspace)?;
    if missing.is_empty() {
        println!("all {} packages are installed", PACKAGES.len());
        return Ok(());
    }
    println!("missing: {}", missing.join(" "));
    let mut args = vec![
        "install",
        "--yes",
        "--no-install-recommends",
        "-o",
        "DPkg::Lock::Timeout=600",
    ];
    args.extend(missing);
    with_fresh_lists(session, |session| {
        let call = as_root(&session.workspace, &args);
        session.stream(&call)
    })
}

/// Whether packages come from apt here.
pub(super) fn apt_is_here(workspace: &Workspace) -> bool {
    exec::find_on_path("apt-get", &workspace.environment.path).is_some()
}

/// Runs `task`; where it fails, brings the package lists up to date and runs it once
/// more. A fresh machine has no lists, and old ones name packages that are gone.
pub(super) fn with_fresh_lists<T>(
    session: &mut Session,
    task: impl Fn(&mut Session) -> Result<T>,
) -> Result<T> {
    if let Ok(done) = task(session) {
        return Ok(done);
    }
    println!("that failed with the package lists at hand; updating them");
    let update = as_root(&session.workspace, &["update"]);
    session.stream(&update)?;
    task(session)
}

fn missing(workspace: &Workspace) -> Result<Vec<&'static str>> {
    let query = workspace
        .call("dpkg-query")
        .args(["--show", "--showformat=${Package} ${db:Status-Status}\n"])
        .args(PACKAGES.iter().map(|(package, _)| *package));
    // Its exit status tells that some package is unknown: no error here.
    let (output, _) = exec::capture_unchecked(&query)?;
    Ok(not_installed(&output.text()))
}

/// Those of [`PACKAGES`] that dpkg-query does not list as installed.
fn not_installed(listed: &str) -> Vec<&'static str> {
    let installed: Vec<_> = listed
        .lines()
        .filter_map(|line| line.strip_suffix(" installed"))
        .collect();
    PACKAGES
        .iter()
        .map(|(package, _)| *package)
        .filter(|package| !installed.contains(package))
        .collect()
}

/// apt-get as root: through sudo for anyone else. It must not ask for a password,
/// because no child has standard input; the error then shows the command to run.
fn as_root(workspace: &Workspace, args: &[&str]) -> Call {
    let call = if rustix::process::geteuid().is_root() {
        workspace.call("apt-get")
    } else {
        workspace
            .call("sudo")
            .args(["-n", "DEBIAN_FRONTEND=noninteractive", "apt-get"])
    };
    call.args(args.iter().copied())
        .env("DEBIAN_FRONTEND", "noninteractive")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removed_and_unknown_packages_are_missing() {
        let listed: String = PACKAGES
            .iter()
            .filter(|(package, _)| *package != "bison")
            .map(|(package, _)| match *package {
                "flex" => "flex config-files\n".to_owned(),
                _ => format!("{package} installed\n"),
            })
            .collect();
        assert_eq!(not_installed(&listed), ["flex", "bison"]);
    }
}

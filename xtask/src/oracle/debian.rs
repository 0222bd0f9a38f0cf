//! Debian's own kernel configurations, from its `linux-config-*` packages.

use camino::{Utf8Path, Utf8PathBuf};
use kernelkit::effect::{exec, fs};

use crate::Result;
use crate::oracle::target::files_below;
use crate::oracle::{Case, Scope};
use crate::workspace::Workspace;

/// Debian's architectures and the kernel's.
const ARCHITECTURES: &[(&str, &str)] = &[
    ("amd64", "x86_64"),
    ("arm64", "arm64"),
    ("armel", "arm"),
    ("armhf", "arm"),
    ("i386", "i386"),
    ("mips64el", "mips"),
    ("mipsel", "mips"),
    ("ppc64el", "powerpc"),
    ("riscv64", "riscv"),
    ("s390x", "s390"),
];

const ARCHIVE: &str = "http://deb.debian.org/debian";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Each configuration as Debian ships it, resolved and reduced.
pub(super) fn cases<'a>(scope: &Scope<'a>, cases: &mut Vec<Case<'a>>) -> Result {
    let target = scope.target;
    if target.compiler != "gcc" {
        return Ok(());
    }
    let mut numbers = target.tree.version.split('.').map_while(|n| n.parse().ok());
    let (major, minor): (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let package = format!("linux-config-{major}.{minor}");
    // A configuration of the version before serves too: it is one to be upgraded.
    let earlier = format!("linux-config-{major}.{}", minor.saturating_sub(1));
    for (debian, arch) in ARCHITECTURES {
        // Another architecture's packages need its package lists.
        if *arch != target.arch || (scope.sample && *debian != "amd64") {
            continue;
        }
        let found = configs(scope.workspace, &package, debian);
        let configs = match found.or_else(|error| {
            let found = configs(scope.workspace, &earlier, debian);
            found.map_err(|_| error)
        }) {
            Ok(configs) => configs,
            Err(error) if exec::interrupted() => return Err(error),
            Err(error) => {
                println!("left out: {package} for {debian}: {error}");
                continue;
            }
        };
        for (name, text) in configs {
            cases.push(scope.case("debian", &name, move |pair| {
                pair.write("include/config/auto.conf", b"")?;
                pair.write(".config", &text)?;
                pair.conf(&["--olddefconfig"], &[])?;
                pair.conf(&["--listnewconfig"], &[])?;
                pair.conf(&["--savedefconfig=defconfig"], &[])?;
                pair.conf(&["--defconfig=defconfig"], &[])
            }));
        }
    }
    Ok(())
}

/// A package's configurations, downloaded once.
fn configs(
    workspace: &Workspace,
    package: &str,
    architecture: &str,
) -> Result<Vec<(String, Vec<u8>)>> {
    if exec::find_on_path("apt-get", &workspace.environment.path).is_none() {
        return Err("no apt here".into());
    }
    let root = workspace.target.join("kconfig-oracle/debian");
    let dir = root.join(format!("{package}_{architecture}"));
    let mut tried = Err(format!("no release has {package}").into());
    for release in releases(package) {
        if dir.is_dir() {
            break;
        }
        tried = download(workspace, &root, package, architecture, *release, &dir);
    }
    if !dir.is_dir() {
        tried?;
    }
    let mut paths: Vec<Utf8PathBuf> = Vec::new();
    files_below(&dir, &mut |path| {
        if path.extension() == Some("xz") {
            paths.push(dir.join(path));
        }
    })?;
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let name = path.file_stem().unwrap_or_default().to_owned();
            let text = exec::capture(&workspace.call("xz").args(["-dc", path.as_str()]))?.stdout;
            Ok((name, text))
        })
        .collect()
}

/// The releases that may have a package, `None` the one installed here. Those of another
/// architecture are not always whole on a mirror.
fn releases(package: &str) -> &'static [Option<&'static str>] {
    match package.strip_prefix("linux-config-") {
        Some("6.1") => &[None, Some("bookworm")],
        Some("6.12") => &[None, Some("trixie")],
        Some(later) if later.starts_with('7') => {
            &[Some("trixie-backports"), Some("forky"), Some("sid")]
        }
        _ => &[],
    }
}

/// Unpacks the package into `dir`. The machine's apt only knows its own architecture,
/// so the lists of others are fetched into `root`, and nothing is installed.
fn download(
    workspace: &Workspace,
    root: &Utf8Path,
    package: &str,
    architecture: &str,
    release: Option<&str>,
    dir: &Utf8Path,
) -> Result {
    let lists = root
        .join("apt")
        .join(release.unwrap_or("stable"))
        .join(architecture);
    for part in ["state/lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(lists.join(part))?;
    }
    fs::write_atomic(lists.join("state/status"), b"")?;
    let mut sources = Vec::new();
    if let Some(release) = release {
        let list = lists.join("sources.list");
        let text = format!("deb [signed-by={KEYRING}] {ARCHIVE} {release} main\n");
        fs::write_atomic(&list, text.as_bytes())?;
        sources = vec![
            format!("Dir::Etc::sourcelist={list}"),
            "Dir::Etc::sourceparts=-".to_owned(),
        ];
    }
    let apt = |args: &[&str]| {
        let options = [
            format!("APT::Architecture={architecture}"),
            format!("APT::Architectures={architecture}"),
            format!("Dir::State={lists}/state"),
            format!("Dir::State::status={lists}/state/status"),
            format!("Dir::Cache={lists}/cache"),
            "Acquire::Languages=none".to_owned(),
            "APT::Sandbox::User=root".to_owned(),
        ];
        let mut call = workspace.call("apt-get").arg("-q");
        for option in options.iter().chain(&sources) {
            call = call.args(["-o", option]);
        }
        call.dir.clone_from(&lists);
        call.args(args.iter().copied())
    };
    let updated = lists.join("updated");
    if !updated.is_file() {
        exec::capture(&apt(&["update"]))?;
        fs::write_atomic(&updated, b"")?;
    }
    exec::capture(&apt(&["download", package]))?;
    let mut archive = None;
    files_below(&lists, &mut |path| {
        let name = path.file_name().unwrap_or_default();
        if name.starts_with(&format!("{package}_")) && name.ends_with(".deb") {
            archive = Some(lists.join(path));
        }
    })?;
    let archive = archive.ok_or("apt-get download left no package")?;
    let unpacked = dir.with_extension("unpacking");
    fs::remove_dir_all(&unpacked)?;
    fs::create_dir_all(&unpacked)?;
    exec::capture(
        &workspace
            .call("dpkg-deb")
            .args(["-x", archive.as_str(), unpacked.as_str()]),
    )?;
    fs::rename(&unpacked, dir)?;
    Ok(())
}

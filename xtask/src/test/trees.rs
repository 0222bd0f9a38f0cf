//! The kernel trees that the tests read and build, unpacked once into the user's cache.

use camino::Utf8PathBuf;
use kernelkit::effect::{exec, fs};

use crate::Result;
use crate::test::Session;
use crate::test::packages::{apt_is_here, with_fresh_lists};
use crate::workspace::{TEST_TREES, Workspace};

/// One tree for each Kconfig model and build system generation that the tests cover.
const PACKAGES: &[&str] = &["linux-source-6.1", "linux-source-6.12"];

/// Sets [`TEST_TREES`] for the later steps, unless the user did.
pub(super) fn fetch(session: &mut Session) -> Result {
    if !session.workspace.test_trees().is_empty() {
        println!("{TEST_TREES} is set: using those");
    } else if apt_is_here(&session.workspace) {
        let mut trees = Vec::new();
        for package in PACKAGES {
            trees.push(with_fresh_lists(session, |session| {
                debian_tree(&session.workspace, package)
            })?);
        }
        let joined = trees
            .iter()
            .map(|tree| tree.as_str())
            .collect::<Vec<_>>()
            .join(":");
        session
            .workspace
            .variables
            .insert(TEST_TREES.to_owned(), joined);
    } else {
        println!("no apt here: set {TEST_TREES}=DIR:DIR to kernel trees (6.1 and 6.12)");
        return Ok(());
    }
    for tree in session.workspace.test_trees() {
        println!("{tree}");
    }
    Ok(())
}

/// The tree of a Debian `linux-source-*` package, from the cache or unpacked into it.
/// apt checks the download against the signed lists.
fn debian_tree(workspace: &Workspace, package: &str) -> Result<Utf8PathBuf> {
    let cache = workspace.environment.cache_dir.join("test-trees");
    let query = workspace
        .call("apt-get")
        .args(["--print-uris", "download", package]);
    let uris = exec::capture(&query)?.text();
    let file = deb_file(&uris).ok_or_else(|| format!("apt names no file for {package}"))?;
    let tree = cache.join(file.trim_end_matches(".deb"));
    if tree.exists() {
        return Ok(tree);
    }
    println!("fetching {file}");
    let partial = cache.join(format!(".partial-{package}"));
    let unpacked = partial.join("tree");
    fs::remove_dir_all(&partial)?;
    fs::create_dir_all(&unpacked)?;
    let mut download = workspace.call("apt-get").args(["download", package]);
    download.dir.clone_from(&partial);
    exec::capture(&download)?;
    let deb = partial.join(file);
    exec::capture(
        &workspace
            .call("dpkg-deb")
            .args(["--extract", deb.as_str(), partial.as_str()]),
    )?;
    let tarball = partial.join(format!("usr/src/{package}.tar.xz"));
    exec::capture(
        &workspace
            .call("tar")
            .args(["--extract", "--strip-components=1"])
            .args(["--file", tarball.as_str(), "--directory", unpacked.as_str()]),
    )?;
    fs::rename(&unpacked, &tree)?;
    fs::remove_dir_all(&partial)?;
    Ok(tree)
}

/// The file name in a line of `apt-get --print-uris`: `'URI' FILE SIZE HASH`.
fn deb_file(uris: &str) -> Option<&str> {
    uris.lines()
        .filter(|line| line.starts_with('\''))
        .find_map(|line| line.split(' ').nth(1))
        .filter(|file| file.ends_with(".deb"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_the_second_word_of_the_uri_line() {
        let line = "'http://deb.debian.org/debian/pool/main/l/linux/linux-source-6.1_6.1.170-3_all.deb' linux-source-6.1_6.1.170-3_all.deb 138 SHA256:00\n";
        assert_eq!(deb_file(line), Some("linux-source-6.1_6.1.170-3_all.deb"));
        assert_eq!(deb_file("E: no such package\n"), None);
    }
}

//! Build directories in memory: where they can be, and that they are gone afterwards.
//!
//! They lie in a tmpfs that is mounted already. One that is mounted for a build would need a namespace, and would be
//! gone with the first process of it, while a build is several.

use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{StatVfsMountFlags, statfs, statvfs};

use super::environment::{self, Environment};
use super::fs::{self, Context as _};
use super::lock;
use crate::tmpfs::{Reason, Room};

/// `f_type` of a tmpfs and of a ramfs (statfs(2)).
const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];

/// Where a kernel's state says that its build directory was in memory.
const POINTER: &str = "tmpfs";

/// How many bytes its build directory had.
const SIZE: &str = "tmpfs.size";

/// The room that there is now.
pub fn room(environment: &Environment) -> Result<Room, Reason> {
    let dir = fs::real_path(&environment.tmpfs_dir);
    let (Ok(system), Ok(space)) = (statfs(dir.as_std_path()), statvfs(dir.as_std_path())) else {
        return Err(Reason::Missing { dir });
    };
    // The type's width and sign differ between architectures; the numbers have 32 bits.
    if !IN_MEMORY.contains(&(system.f_type as u64 & 0xffff_ffff)) {
        return Err(Reason::NotInMemory { dir });
    }
    if space.f_flag.contains(StatVfsMountFlags::NOEXEC) {
        return Err(Reason::NoExec { dir });
    }
    let user = rustix::process::geteuid().as_raw();
    let own = dir.join(format!("kernelkit-{user}"));
    if own.symlink_metadata().is_ok() && !is_ours(&own) {
        return Err(Reason::NotOurs { dir: own });
    }
    Ok(Room {
        dir: own,
        // Without a limit it says that it has no blocks at all.
        free: match space.f_blocks {
            0 => u64::MAX,
            _ => space.f_bavail.saturating_mul(space.f_frsize),
        },
        memory: environment::memory().available,
    })
}

/// Whether nobody else may put anything there: everybody may write into /dev/shm.
fn is_ours(dir: &Utf8Path) -> bool {
    dir.symlink_metadata().is_ok_and(|metadata| {
        metadata.is_dir()
            && metadata.uid() == rustix::process::geteuid().as_raw()
            && metadata.mode() & 0o077 == 0
    })
}

/// Makes the directory `dir` of a [`Room`] for the kernel whose other files are in `state`.
pub(super) fn make(dir: &Utf8Path, state: &Utf8Path) -> Result<(), fs::Error> {
    let own = dir.parent().unwrap_or(dir);
    let made = std::fs::DirBuilder::new().mode(0o700).create(own);
    if !is_ours(own) {
        let refused = std::io::ErrorKind::PermissionDenied.into();
        return made.and(Err(refused)).context("use", own);
    }
    let before = fs::read_optional(state.join(POINTER))?;
    if before.is_some_and(|before| before != dir.as_str().as_bytes()) {
        remove(state)?;
    }
    // First the note, so that whatever comes to be is found again.
    fs::write_atomic(state.join(POINTER), dir.as_str().as_bytes())?;
    fs::create_dir_all(dir)
}

/// Takes away what is in memory of the kernel whose other files are in `state`, if anything is. The
/// caller holds the lock of `state`.
pub fn remove(state: &Utf8Path) -> Result<(), fs::Error> {
    let Some(bytes) = fs::read_optional(state.join(POINTER))? else {
        return Ok(());
    };
    let dir = Utf8PathBuf::from(String::from_utf8_lossy(&bytes).as_ref());
    // After a restart it may have become anybody's.
    if let Some(own) = dir.parent()
        && own
            .file_name()
            .is_some_and(|name| name.starts_with("kernelkit-"))
        && is_ours(own)
    {
        fs::remove_dir_all(&dir)?;
    }
    fs::remove_file(state.join(POINTER))
}

/// The same where nobody works there at the moment.
pub(super) fn sweep(state: &Utf8Path) -> Result<(), fs::Error> {
    if !state.join(POINTER).exists() {
        return Ok(());
    }
    match lock::try_acquire(&state.join("lock"), "cargo kernel build")? {
        Some(_lock) => remove(state),
        None => Ok(()),
    }
}

/// Keeps in mind how large a build directory became.
pub(super) fn note_size(build: &Utf8Path, state: &Utf8Path) -> Result<(), fs::Error> {
    let size = allocated(build)?.to_string();
    fs::write_atomic(state.join(SIZE), size.as_bytes())
}

/// How large the build directory was the last time, or is on disk; [`None`] where nothing was built.
pub(super) fn measured(state: &Utf8Path) -> Result<Option<u64>, fs::Error> {
    let text = fs::read_optional(state.join(SIZE))?;
    let text = text.and_then(|bytes| String::from_utf8(bytes).ok());
    if let Some(size) = text.and_then(|text| text.trim().parse().ok()) {
        return Ok(Some(size));
    }
    let build = state.join("build");
    match build.join("vmlinux").exists() {
        true => allocated(&build).map(Some),
        false => Ok(None),
    }
}

/// Bytes that the files below `directory` take.
fn allocated(directory: &Utf8Path) -> Result<u64, fs::Error> {
    let mut size = 0;
    for entry in fs::below(directory) {
        let entry = entry?;
        let metadata = entry.metadata().context("look at", entry.path())?;
        size += metadata.blocks() * 512;
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_memory_is_found_again_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(directory.path()).unwrap();
        let (state, own) = (root.join("state"), root.join("kernelkit-0"));
        let dir = own.join("tiny-1");
        assert_eq!(measured(&state).unwrap(), None);
        make(&dir, &state).unwrap();
        assert_eq!(own.metadata().unwrap().mode() & 0o777, 0o700);
        fs::write_atomic(dir.join("build/a"), &[1; 10_000]).unwrap();
        note_size(&dir.join("build"), &state).unwrap();
        assert!(measured(&state).unwrap().unwrap() >= 10_000);
        sweep(&state).unwrap();
        assert!(!dir.exists() && own.exists());
        remove(&state).unwrap();
    }

    #[test]
    fn a_directory_that_others_may_write_to_is_not_used() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(directory.path()).unwrap();
        let own = root.join("kernelkit-0");
        std::fs::create_dir(&own).unwrap();
        std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(make(&own.join("tiny-1"), &root.join("state")).is_err());
        std::fs::remove_dir(&own).unwrap();
        std::os::unix::fs::symlink(root, &own).unwrap();
        assert!(make(&own.join("tiny-1"), &root.join("state")).is_err());
    }
}

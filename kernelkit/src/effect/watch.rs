//! Looks at the sources of kernels, and remembers beside each kernel's build what was built of its source.

use std::sync::Arc;

use camino::Utf8PathBuf;

use super::build::Session;
use super::source::{Error, Looks};
use super::{fs, lock};
use crate::spec::KernelSpec;
use crate::watch::{Record, SCHEMA};

/// What the source of a kernel names now, or why nobody says.
pub type Seen = Result<String, Arc<Error>>;

/// Looks at the sources of `kernels`, what a lock pins aside. [`None`] for a source that always names
/// the same.
pub fn look(session: &Session<'_>, kernels: &[&KernelSpec]) -> Vec<Option<Seen>> {
    let mut looks = Looks::new(session.source_context());
    let sources = kernels.iter().map(|kernel| &kernel.source.value);
    sources.map(|source| looks.look(source)).collect()
}

/// Keeps others from watching the same workspace; in their own words who does, where somebody does.
pub fn only_one(session: &Session<'_>) -> Result<Result<lock::Lock, String>, fs::Error> {
    let path = fs::real_path(&session.spec.target_dir).join("kernel/watch.lock");
    let lock = lock::try_acquire(&path, "cargo kernel watch")?;
    Ok(lock.ok_or_else(|| lock::holder(&path)))
}

/// What was last built of a kernel's source; [`None`] where nothing was, or nothing that this kernelkit reads.
pub fn read(session: &Session<'_>, kernel: &KernelSpec) -> Result<Option<Record>, fs::Error> {
    let bytes = fs::read_optional(path(session, kernel))?;
    let record = bytes.and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok());
    Ok(record.filter(|record| record.schema == SCHEMA))
}

/// Remembers it.
pub fn write(session: &Session<'_>, kernel: &KernelSpec, record: &Record) -> Result<(), fs::Error> {
    let mut text = serde_json::to_string_pretty(record).expect("a record is plain data");
    text.push('\n');
    fs::write_atomic(path(session, kernel), text.as_bytes())
}

/// It goes with the build, so that what is cleaned away is built again.
fn path(session: &Session<'_>, kernel: &KernelSpec) -> Utf8PathBuf {
    session.state(kernel).join("watch.json")
}

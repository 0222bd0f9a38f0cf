//! Records that the cache keeps between runs, each with the SHA-256 of its content.
//!
//! A record that is missing, empty, cut off, damaged or of another format is no record: whoever asks for it finds
//! out again what it said. So a bit that flips on the disk, or a file that a loss of power left without its content,
//! changes no answer and stops nobody.

use camino::Utf8Path;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fs::{self, Error};
use crate::source::Sha256;

/// What is in the file.
#[derive(Serialize, Deserialize)]
struct Sealed {
    /// The form of `record`, which its owner counts up.
    format: u32,
    /// Of the format and the record, without white space.
    sha256: Sha256,
    record: Value,
}

fn digest(format: u32, record: &Value) -> Sha256 {
    Sha256::of(format!("{format}\n{record}").as_bytes())
}

/// The record at `path`; `None` where there is none that can be believed.
pub(super) fn read<T: DeserializeOwned>(path: &Utf8Path, format: u32) -> Option<T> {
    // What cannot be read is asked for again, whatever the reason.
    let bytes = fs::read_optional(path).ok().flatten()?;
    let sealed: Sealed = serde_json::from_slice(&bytes).ok()?;
    let is_whole =
        sealed.format == format && sealed.sha256 == digest(sealed.format, &sealed.record);
    serde_json::from_value(sealed.record)
        .ok()
        .filter(|_| is_whole)
}

/// Writes a record, which is plain data: its maps have strings as keys.
pub(super) fn write<T: Serialize>(path: &Utf8Path, format: u32, record: &T) -> Result<(), Error> {
    let record = serde_json::to_value(record).expect("a record is plain data");
    let sealed = Sealed {
        format,
        sha256: digest(format, &record),
        record,
    };
    let json = serde_json::to_vec_pretty(&sealed).expect("a record is plain data");
    fs::write_atomic(path, &json)
}

/// Before the SHA-256 of the text below it.
const HEADER: &str = "kernelkit sha256 ";

/// A text as [`open_text`] takes it.
pub(super) fn seal_text(text: &[u8]) -> Vec<u8> {
    let mut sealed = format!("{HEADER}{}\n", Sha256::of(text)).into_bytes();
    sealed.extend_from_slice(text);
    sealed
}

/// The text that [`seal_text`] was given; `None` where the bytes are not what it made.
pub(super) fn open_text(sealed: &[u8]) -> Option<&[u8]> {
    let rest = sealed.strip_prefix(HEADER.as_bytes())?;
    let (digest, text) = rest.split_at_checked(64)?;
    let text = text.strip_prefix(b"\n")?;
    (Sha256::of(text).to_string().as_bytes() == digest).then_some(text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use camino::Utf8PathBuf;

    use super::*;

    fn record() -> BTreeMap<String, Vec<u32>> {
        [("a".to_owned(), vec![1, 2]), ("b \"\n".to_owned(), vec![])].into()
    }

    #[test]
    fn a_record_that_differs_by_one_bit_or_is_cut_off_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(directory.path().join("a/record.json")).unwrap();
        let read = || read::<BTreeMap<String, Vec<u32>>>(&path, 3);
        assert_eq!(read(), None);
        write(&path, 3, &record()).unwrap();
        assert_eq!(read(), Some(record()));
        assert_eq!(super::read::<Value>(&path, 4), None, "of another format");
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write_atomic(&path, &whole[..length]).unwrap();
            assert_eq!(read(), None, "{length} bytes of it");
        }
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                fs::write_atomic(&path, &bytes).unwrap();
                // White space between the tokens means nothing.
                assert!(
                    read().is_none_or(|read| read == record()),
                    "bit {bit} of byte {at}"
                );
            }
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir_all(&path).unwrap();
        assert_eq!(read(), None, "a directory");
    }

    #[test]
    fn a_text_that_differs_by_one_bit_or_is_cut_off_is_none() {
        let sealed = seal_text(b"CONFIG_A=y\n");
        assert_eq!(open_text(&sealed), Some(&b"CONFIG_A=y\n"[..]));
        assert_eq!(open_text(b"CONFIG_A=y\n"), None);
        for at in 0..sealed.len() {
            assert_eq!(open_text(&sealed[..at]), None, "{at} bytes of it");
            let mut bytes = sealed.clone();
            bytes[at] ^= 1;
            assert_eq!(open_text(&bytes), None, "byte {at}");
        }
    }
}

//! The fragments that are part of kernelkit.

/// The files below `fragments/` as pairs of name and text.
macro_rules! files {
    ($($name:literal)*) => {
        &[$(($name, include_str!(concat!("../../fragments/", $name, ".config")))),*]
    };
}

/// Every file below `fragments/`, in the order of their paths; a test compares the
/// list with the directory.
pub(super) const FILES: &[(&str, &str)] = files![];

//! Integration tests: the repository's own rules, and the command line end to end.
//!
//! Most tests build the stand-in tree of [`support::stand_in`], which takes a second. Those
//! that need a kernel ask [`support::require_tree`] for one.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test arranges files and processes around the program it tests"
)]

mod cli;
mod nix;
mod support;
mod tidy;

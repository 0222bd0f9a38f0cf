//! Sources from end to end: real files, real git and patch, a web server on this machine.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stderr,
    missing_docs
)]

mod archive;
mod credentials;
mod debian;
mod directory;
mod git;
mod http;
mod patch;
mod release;
mod series;
mod server;
mod world;

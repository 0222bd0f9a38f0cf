//! What kernelkit computes of Nix, against Nix: each test runs with the Nix on PATH and with
//! those in KERNELKIT_TEST_NIX (directories with `bin/nix`), in stores of their own.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stderr,
    clippy::unwrap_used
)]

mod cache;
mod daemon;
mod devel;
mod oracle;
mod parity;
mod world;

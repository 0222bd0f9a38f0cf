//! Nix at work: archives of directories, the daemon, the programs.
//!
//! What a path or a derivation *is* follows from [`crate::nix`], without any of this.

pub mod cache;
pub mod daemon;
pub mod nar;
mod wire;

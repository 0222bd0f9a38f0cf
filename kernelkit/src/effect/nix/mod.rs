//! Nix at work: archives of directories, the daemon, binary caches, toolchains made of packages.
//!
//! What a path or a derivation *is* follows from [`crate::nix`], without any of this.

pub mod cache;
pub mod daemon;
pub mod debian_root;
pub mod flake;
pub mod layer;
pub mod locked;
pub mod nar;
pub mod program;
pub mod realise;
pub mod shell;
mod wire;

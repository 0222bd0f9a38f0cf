//! Nix at work: archives of directories, the daemon, the programs.
//!
//! What a path or a derivation *is* follows from [`crate::nix`], without any of this.

pub mod debian_root;
pub mod nar;

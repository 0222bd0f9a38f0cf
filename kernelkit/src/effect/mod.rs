//! The only module that touches files, processes, the environment or the clock.
//!
//! Everything else in kernelkit is a function of its arguments.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod batch;
pub mod boot;
mod borrow;
pub mod build;
pub mod certificates;
pub mod configure;
mod contents;
pub mod dependencies;
pub mod doctor;
mod drift;
pub mod environment;
pub mod exec;
pub mod explain;
pub mod fs;
pub mod image;
pub mod index;
pub mod inside;
pub mod isolation;
pub mod jobserver;
pub mod kconfig;
pub mod library;
mod localversion;
pub mod lock;
pub mod lockfile;
pub mod log;
pub mod menu;
pub mod minimum;
pub mod nix;
pub mod open;
pub mod patches;
mod places;
mod record;
pub mod report;
pub mod run;
pub mod save;
pub mod source;
mod stage;
pub mod store;
pub mod timings;
pub mod tmpfs;
pub mod toolchain;
pub mod tree;
pub mod verify;
pub mod watch;
pub mod workspace;

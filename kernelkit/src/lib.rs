//! Model, identify, plan and build custom Linux kernels.
//!
//! The way of the data (each step is a module):
//!
//! ```text
//! spec     what the user asked for          Cargo.toml, command line
//! fragment + merge                          the fragments at hand, merged in canonical order
//! effect::facts                             the only reading: tree, toolchain, store
//! plan     pure: Spec + Library + Facts → Plan { config, identity, steps, outputs }
//! reuse    is this build finished already?
//! effect::run                               the only writing: carries out a plan
//! manifest what a plan predicted and a build observed, as `manifest.json`
//! ```
//!
//! Everything outside [`effect`] is pure: it reads no file, no clock, no
//! environment variable and starts no process (`clippy.toml` holds that), so it
//! can be tested and embedded anywhere.

/// The book's examples, compiled and run with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../book/src/guide/embedding.md")]
mod book {}

pub mod arch;
pub mod backend;
pub mod batch;
pub mod boot;
pub mod compare;
pub mod config;
pub mod credentials;
pub mod doctor;
pub mod effect;
pub mod fragment;
pub mod goal;
pub mod hazard;
pub mod identity;
pub mod image;
pub mod kconfig;
pub mod limits;
pub mod lock;
pub mod make;
pub mod manifest;
pub mod merge;
pub mod minimum;
pub mod nix;
pub mod pahole;
pub mod patch;
pub mod plan;
pub mod process;
pub mod release;
pub mod report;
pub mod request;
pub mod reuse;
pub mod root;
pub mod source;
pub mod sourced;
pub mod spec;
pub mod store;
pub mod surroundings;
pub mod tmpfs;
pub mod toolchain;
pub mod trust;
pub mod version;
pub mod watch;

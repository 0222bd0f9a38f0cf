//! The only module that touches files, processes, the environment or the clock.
//!
//! Everything else in kernelkit is a function of its arguments.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod environment;
pub mod exec;
pub mod fs;
pub mod kconfig;

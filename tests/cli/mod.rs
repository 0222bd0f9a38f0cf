//! One module a command.

mod boot;
mod build;

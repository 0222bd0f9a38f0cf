//! The command line end to end, a file for each command.

mod boot;
mod build;

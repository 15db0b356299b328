//! `driftless`: keeps lakehouse tables identical across stores.
//!
//! This binary wires the parts and holds no rules: arguments and configuration in, reports of the
//! engine out.

mod args;
mod client;
mod commands;
mod config;
mod exit;
mod inspector;
mod judge;
mod measured;
mod output;
mod run;
mod units;
mod wire;

use std::process::ExitCode;

#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    ExitCode::from(run::run(std::env::args_os().collect()).code())
}

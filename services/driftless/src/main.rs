//! `driftless`: keeps lakehouse tables identical across stores.
//!
//! This binary wires the parts and holds no rules: arguments and configuration in, reports of the
//! engine out.

mod args;
mod commands;
mod config;
mod exit;
mod judge;
mod output;
mod run;
mod table_log;
mod units;
mod wire;

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(run::run(std::env::args_os().collect()).code())
}

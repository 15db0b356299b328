//! SIGKILL of the real program, at every write that it makes.
//!
//! A child process publishes a table to an S3 server in this process. At the chosen write the
//! server freezes and the child is killed; what it left must be a state that readers may see.
//! Then a second child, which knows nothing of the first, must finish the job.
//!
//! `DRIFTLESS_SOAK=1` takes every write of every table, `DRIFTLESS_ONLY=text` only tables whose
//! name holds the text.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

mod delta;
mod hudi;
mod site;

/// Whether a table is asked for.
fn is_chosen(name: &str) -> bool {
    std::env::var("DRIFTLESS_ONLY").map_or(true, |only| name.contains(&only))
}

/// Whether every write of every table is a kill point.
fn is_soak() -> bool {
    std::env::var_os("DRIFTLESS_SOAK").is_some()
}

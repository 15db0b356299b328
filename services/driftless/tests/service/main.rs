//! The service as its operators see it: real processes, killed and stopped, on real tables.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stderr, clippy::print_stdout, reason = "a test says what it skips")]
#![allow(clippy::too_many_lines, reason = "a story is told in one place")]

mod alerts;
mod counted;
mod engines;
mod nodes;
mod operations;
mod proof;
mod pump;
mod rebuild;
mod tokens;
mod world;

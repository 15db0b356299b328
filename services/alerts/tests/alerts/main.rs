//! Metrics, rules and the notifier, on a catalog in a file and receivers on loopback.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stderr)]

mod cost;
mod delivery;
mod export;
mod files;
mod rules;
mod world;

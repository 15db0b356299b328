//! The API in process, over a SQLite catalog in a folder that goes away.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr
)]

mod access;
mod answers;
mod changes;
mod groups;
mod hints;
mod idempotency;
mod inventory;
mod pages;
mod rules;
mod security_mapping;
mod service;
mod socket;
mod tables;
mod versions;
mod watching;

//! The metastore over a socket, as engines and others use it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stderr)]

mod bad_input;
mod client;
mod fuzz;
mod golden;
mod idle;
mod listings;
mod methods;
mod pinned;
mod place;
mod replays;
mod replicas;
mod tls;

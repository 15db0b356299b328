//! Every kind of store behind one conformance function, and what is special to each.
//!
//! Real servers are used when they are installed: on PATH, or in
//! `${XDG_CACHE_HOME:-~/.cache}/driftless/`. Without one its tests print a SKIPPED line and
//! pass, unless `DRIFTLESS_REQUIRE_SERVERS=1`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::disallowed_methods,
    unreachable_pub
)]

mod azure;
mod bodies;
mod conformance;
mod double;
mod faults;
mod folder;
mod liars;
mod memory;
mod probes;
mod s3_server;
mod secrets;
mod servers;
mod tls;
mod unfinished;

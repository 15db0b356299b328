//! An S3 double for tests, and a sink server for benchmarks.
//!
//! [`S3Double`] is an S3 server in this process, in memory, on a loopback port. It stands in for
//! a real server only where a test must script what the server does: refuse, lose a reply, stop
//! at the n-th mutation, cut a body, lie about conditions, lag in its listings. Whether a client
//! works with a real store is shown against real servers, never against this one.
//!
//! [`sink`] is another thing: a server that does as little as it can, so that a benchmark
//! measures the copier and not the server.
//!
//! # Invariants
//! - A conditional write is decided under one lock, when its body is complete and verified. The
//!   switches of [`Config`] that break this say so.
//! - A body that ends early changes nothing, except with [`Config::keep_truncated`].
//! - Every request is recorded when its head arrives, so also those without an answer.
//! - Every mutation has a number, in the order in which it was asked for, from 1.
//! - After [`Action::Stop`] nothing changes until [`S3Double::resume`].
//!
//! Not here: versioning, ACLs, tags, encryption, presigned URLs, chunk signatures, TLS.
//!
//! Source: Amazon S3 API Reference and User Guide (conditional requests, checking object
//! integrity, multipart upload, authenticating requests).

mod body;
mod checksum;
mod clock;
mod config;
mod double;
mod listing;
mod multipart;
mod object;
mod record;
mod reply;
mod request;
mod server;
mod sigv4;
pub mod sink;
mod state;
mod xml;

pub use config::{Config, Credentials};
pub use double::S3Double;
pub use record::{
    Action, MutationInfo, MutationKind, Outcome, Phase, ReadAction, ReadInfo, RequestRecord,
};

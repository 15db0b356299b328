//! The row judge: do two tables hold the same rows?
//!
//! It reads Delta tables with deltalake and datafusion, and Hudi tables with hudi-core, as a
//! user would, and shares no code with Driftless's own log readers: a mistake there cannot hide
//! here.
//!
//! # Invariants
//! - "The judge cannot read this" ([`RowsError::Unsupported`]) is never taken for "the rows
//!   differ", nor for "the rows are equal".
//! - Nothing is remembered between two reads, so each one sees what the store holds then.
//! - The judge writes nothing, except for the demo's source table ([`demo::write`]).
//!
//! The binary `driftless-rows` is this crate's only user in production: the main binary runs it
//! as a child process, so that deltalake is never linked into the tool.

pub mod demo;
mod error;
pub mod hash;
pub mod hudi;
mod store;
pub mod table;

pub use error::{BoxError, RowsError};
pub use store::{Network, open_store, open_store_over};
pub use table::{RowSummary, commit_versions, newest_version, read};

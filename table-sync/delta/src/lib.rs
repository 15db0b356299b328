//! Delta tables: from log bytes to the types of `table-sync-core`.
//!
//! Sans-I/O at its heart: [`name`], [`commit`], [`reference`], [`deletion_vector`], [`feature`]
//! and [`last_checkpoint`] take bytes and give types. [`DeltaLog`] is the thin reader around
//! them; it describes what a target must be written and never writes.
//!
//! # Invariants
//! - No key reaches a store that is not a confined [`table_sync_core::RelPath`].
//! - Bytes are handed on as they were read; no action is ever written anew.
//! - A log object is read conditionally on the identity that a listing or a first read showed.
//!
//! Source: Delta protocol, <https://github.com/delta-io/delta/blob/master/PROTOCOL.md>.

pub mod action;
pub mod checkpoint;
pub mod commit;
pub mod deletion_vector;
mod describe;
pub mod feature;
mod files;
mod framing;
mod headroom;
mod inspect;
mod jump;
pub mod last_checkpoint;
mod late;
mod listing;
mod live;
mod log;
pub mod name;
mod observe;
mod parquet_file;
pub mod reference;
mod replica;
mod retire;
mod schema;
mod source;
mod verify;

pub use inspect::Inspection;
pub use log::{DeltaLog, Options};
pub use reference::{AbsolutePaths, AliasRoot, AliasRootError};

//! Wiring: from text to opened stores and logs.
//!
//! The only crate that knows table formats and store options by name. [`Opener`] turns the text of
//! a source and its targets into a [`Table`] that the engine takes; the command line and the
//! daemon share it. Nothing is read or written here but the listing that a `*` needs.
//!
//! # Invariants
//! - Tables of one store root and one name share one opened store, and so its connections.
//! - No option value reaches a message. [`Place`], which holds them, cannot be printed.
//!
//! Not here: configuration files, arguments, exit codes.

mod alias;
mod error;
mod opener;
mod options;
mod place;
mod table;
mod table_log;

pub use error::{ErrorKind, OpenError};
pub use opener::Opener;
pub use options::{
    AbsolutePaths, Format, HudiHistory, HudiMetadata, HudiOptions, HudiReaders, HudiV6Window,
    TableOptions, parse_start,
};
pub use place::Place;
pub use table::{Table, refuse_twins};
pub use table_log::TableLog;
/// What a metastore tells of a Hudi table: [`TableLog::hudi`] finds it.
pub use table_sync_hudi::Published;

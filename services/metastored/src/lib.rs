//! A read-only Hive Metastore over the catalog: engines find replicas by name.
//!
//! Trino and Spark ask a metastore where a table is, and for Hudi also which columns and partitions
//! it has. [`serve`] answers them for one project at one site: the database is the namespace, the
//! table is the table, and its location is the replica at that site. Only what is published there
//! is there. A database `NAMESPACE@PIN` holds the namespace's Delta tables as they were: see [`pin`].
//!
//! # Invariants
//! - Nothing is written: every method that would is refused with a text that says where to go.
//! - What a table holds is asked of its replica, never of its source.
//! - Nothing rests on who a client says it is: a listener is bound to one project.
//! - Nothing is allocated for what a client merely claims to send.
//!
//! Not here: registering tables (`services/catalogd`), publishing (`services/syncd`).
//!
//! Source: Hive `hive_metastore.thrift`; Apache Thrift, `thrift-binary-protocol.md`.

mod answer;
mod call;
mod columns;
mod connection;
mod face;
/// Rows and requests, as they go over the wire: generated from `thrift/hive.thrift`.
#[allow(
    missing_docs,
    unreachable_pub,
    unused_imports,
    clippy::all,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    clippy::semicolon_if_nothing_returned
)]
#[rustfmt::skip]
pub mod hive;
mod message;
mod partitioning;
mod pattern;
mod pin;
mod replicas;
mod scan;
mod schema;
mod serve;
mod service;
mod snapshot;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use driftless_catalog::Catalog;

pub use call::{reads, writes};
pub use replicas::{Opens, Replicas};
pub use serve::{listen, serve};
pub use snapshot::{Column, Folder, LookError, Snapshot, Snapshots};
pub use tls::{Tls, TlsError};

/// Reads arbitrary bytes as a connection would, and decodes the arguments: for fuzzing.
///
/// Bytes of the message at the beginning, frame included, and whether its method is known and its
/// arguments decode; `None` where more bytes would have to come.
///
/// # Errors
/// Why the connection would be closed.
pub fn read_message(bytes: &[u8], limit: usize) -> Result<Option<(usize, bool)>, String> {
    let mut receiving = message::Receiving::default();
    let message = receiving.look(bytes, limit).map_err(|refused| refused.to_string())?;
    Ok(message.map(|message| {
        let arguments = bytes.get(message.arguments).unwrap_or_default();
        let method = call::method(&message.head.name);
        (message.bytes, method.is_some_and(|method| method.call(arguments).is_ok()))
    }))
}

/// What a listener serves.
#[derive(Clone)]
pub struct Options {
    /// The catalog.
    pub catalog: Catalog,
    /// The project whose tables are served.
    pub project: String,
    /// The site whose replicas are served.
    pub site: String,
    /// How Trino calls its catalog of Delta tables: views name it.
    pub trino_catalog: String,
    /// Looks at replicas.
    pub snapshots: Arc<dyn Snapshots>,
    /// Encrypts connections, and asks clients for certificates; without it, they are plain.
    pub tls: Option<Tls>,
    /// Limits of connections and messages.
    pub limits: Limits,
}

/// Limits of connections and messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once. One more ends the one that is idle longest.
    pub connections: usize,
    /// Longest message, bytes.
    pub message_bytes: usize,
    /// How long a message may take to arrive whole, or an answer to be taken.
    pub message_time: Duration,
    /// How long a connection may be idle. Spark keeps one for as long as it runs, and connects
    /// again where it was closed.
    pub idle_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            message_bytes: 16 << 20,
            message_time: Duration::from_secs(30),
            idle_time: Duration::from_secs(3_600),
        }
    }
}

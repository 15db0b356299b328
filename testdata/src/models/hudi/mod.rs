//! Reader models for Hudi: how Spark and Trino open a table, as pure functions, and the oracle.
//!
//! Each model takes the objects of one table and answers which slices that reader would merge for
//! a latest-snapshot query, wrong answers included: a listing reader never fails on a missing base
//! file, it shows an older one, and so does the model. The models judge the product, so they share
//! no code with it.
//!
//! # Invariants
//! - A model is a function of the objects and their modification times only.
//! - A model never repairs: whatever the reader would fail on is a [`Loud`] error.
//! - Equal [`Snapshot`]s give equal rows, because a path never has two contents ([`HudiOracle`]
//!   asserts that).
//!
//! Modelled versions: Hudi 0.15 and 1.x with Spark 3.5, Trino 476.
//!
//! Source: Hudi's `HoodieFileGroup`, `AbstractTableFileSystemView`, `CompletionTimeQueryViewV1`,
//! `CompletionTimeQueryViewV2` and `BaseHoodieLogRecordReader`.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

mod archive;
mod hfile;
mod json;
mod log_blocks;
mod metadata_table;
mod names;
mod oracle;
mod readers;
mod recorded;
mod table;
mod timeline;
mod view;

pub use log_blocks::{Block, BlockKind, blocks_of};
pub use names::{BaseName, LogName};
pub use oracle::{Clock, HudiOracle, HudiReader, Modified, Readers};
pub use readers::{LateLogs, metadata_table, reader_0x, reader_1x, trino};
pub use recorded::{Event, Instants, Recorded, Step, recorded_tables};

/// One object of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Content.
    pub bytes: Bytes,
    /// When it was last modified, milliseconds since 1970 in UTC, as the store reports it.
    pub modified_ms: i64,
}

/// The objects of one table: key relative to the table root, raw, to content and time.
pub type HudiObjects = BTreeMap<String, Object>;

/// The blocks of one log file that a reader merges.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MergedLog {
    /// Key relative to the table root.
    pub path: String,
    /// Blocks that are merged, counted from 0 in the file, in merge order.
    pub blocks: Vec<usize>,
}

/// What a reader merges for one file group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slice {
    /// Partition path relative to the table root, empty for an unpartitioned table.
    pub partition: String,
    /// File id.
    pub file_id: String,
    /// Base file, relative to the table root.
    pub base: Option<String>,
    /// Logs in merge order; a log of which no block counts is left out.
    pub logs: Vec<MergedLog>,
}

impl Slice {
    /// The files that the reader opens.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        let logs = self.logs.iter().map(|log| log.path.as_str());
        self.base.as_deref().into_iter().chain(logs)
    }
}

/// A latest-snapshot query as one reader sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Snapshot {
    /// Newest completed write instant of the active timeline.
    pub latest: Option<String>,
    /// The slices that hold rows.
    pub slices: BTreeSet<Slice>,
}

/// Why a reader refuses to open the table. All are loud: a query fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Loud {
    /// Neither `hoodie.properties` nor its backup can be read.
    #[error("not a hudi table: no usable hoodie.properties")]
    NotATable,
    /// The reader does not know the table version, or a bootstrap table.
    #[error("open table version {version}: this reader does not support it")]
    Unsupported {
        /// `hoodie.table.version`.
        version: u32,
    },
    /// The table has no metadata table for its files.
    #[error("read the metadata table: it is not enabled")]
    NoMetadataTable,
    /// An object that the reader needs is absent.
    #[error("{key} is not there")]
    ObjectMissing {
        /// Key relative to the table root.
        key: String,
    },
    /// An object that the reader needs cannot be read.
    #[error("{key} cannot be read: {reason}")]
    Unreadable {
        /// Key relative to the table root.
        key: String,
        /// What is wrong.
        reason: String,
    },
}

/// Objects without times, all modified at one moment.
pub fn stamped(objects: &crate::Objects, modified_ms: i64) -> HudiObjects {
    let stamp = |bytes: &Bytes| Object { bytes: bytes.clone(), modified_ms };
    objects.iter().map(|(key, bytes)| (key.clone(), stamp(bytes))).collect()
}

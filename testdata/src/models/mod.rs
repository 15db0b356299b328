//! Reader models: how Spark, Trino and kernel readers open a Delta table, as pure functions.
//!
//! Each model takes the objects of one table and answers what that reader would see as the latest
//! snapshot, wrong answers included: a kernel reader accepts a log that starts above 0 without a
//! checkpoint, and so does [`kernel`]. The models judge the product, so they share no code with it.
//!
//! # Invariants
//! - A model is a function of the objects only: no clock, no I/O, no state between calls.
//! - A model never repairs: whatever the reader would fail on is an [`OpenError`].
//! - Two models that open the same version of an undamaged table give equal [`Opened`] values.
//!
//! Measured versions: Spark 3.5.9 with Delta 3.3.2, Trino 476, delta-rs 1.6.6 (kernel).
//!
//! Source: `docs/delta.md`; Delta protocol.

use std::collections::BTreeSet;

mod action;
mod checkpoint;
mod features;
pub mod hudi;
mod log;
mod parsed;
mod presence;
mod readers;
mod references;
mod replay;

pub use log::{
    LastCheckpoint, LogName, commit_key, complete_checkpoints, last_checkpoint, log_versions,
};
pub use presence::{Missing, deletion_vector_key, files_present, z85_decode};
pub use readers::{kernel, open_at, spark, trino};
pub use references::{References, references_of};
pub use replay::snapshot_of_source;

/// One file that a reader of the snapshot opens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LiveFile {
    /// Key relative to the table root, percent-decoded once; an absolute reference is untouched.
    pub path: String,
    /// Unique id of the deletion vector: storage type, path or inline data, `@offset` if present.
    pub dv: Option<String>,
    /// Bytes as the log says, or -1 where a hand-made log says nothing.
    pub size: i64,
}

/// The protocol action of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protocol {
    /// `minReaderVersion`.
    pub min_reader: i64,
    /// `minWriterVersion`.
    pub min_writer: i64,
    /// `readerFeatures`, empty below reader version 3.
    pub reader_features: BTreeSet<String>,
    /// `writerFeatures`, empty below writer version 7.
    pub writer_features: BTreeSet<String>,
}

/// A snapshot as one reader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Table version.
    pub version: u64,
    /// The live files.
    pub files: BTreeSet<LiveFile>,
    /// The newest protocol action at or below the version.
    pub protocol: Protocol,
    /// `metaData.id`.
    pub metadata_id: String,
}

/// Why a reader refuses to open the table. All are loud: a query fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// No commit and no checkpoint is there.
    #[error("not a delta table: no log files")]
    NotATable,
    /// Spark: the newest complete checkpoint has no commit at or above it.
    #[error("could not find any delta files for version {version}")]
    NoCommitAtCheckpoint {
        /// Version of the checkpoint.
        version: u64,
    },
    /// A commit file is absent between two that are there.
    #[error("versions are not contiguous: {missing} is missing")]
    NotContiguous {
        /// First version that is missing.
        missing: u64,
    },
    /// Spark: the log starts above 0 and has no checkpoint.
    #[error("transaction log is truncated: first commit is {first} and there is no checkpoint")]
    Truncated {
        /// Lowest commit that is there.
        first: u64,
    },
    /// `_last_checkpoint` names a checkpoint that is not whole.
    #[error("_last_checkpoint names version {version}, which is not there in full")]
    HintDangling {
        /// Version in the hint.
        version: u64,
    },
    /// `_last_checkpoint` cannot be parsed and this reader does not go on without it.
    #[error("_last_checkpoint is not valid: {reason}")]
    HintInvalid {
        /// What is wrong.
        reason: String,
    },
    /// The commits and checkpoint that were read hold no `metaData`.
    #[error("metadata not found in transaction log")]
    MetadataNotFound,
    /// The newest `metaData` has no `schemaString`, or one that is no JSON object.
    #[error("schema of the table cannot be used")]
    SchemaUnusable,
    /// The commits and checkpoint that were read hold no `protocol`.
    #[error("protocol not found in transaction log")]
    ProtocolNotFound,
    /// A log object that the reader needs is absent, for example a sidecar.
    #[error("{key} is not there")]
    ObjectMissing {
        /// Key relative to the table root.
        key: String,
    },
    /// A log object cannot be read.
    #[error("{key} cannot be read: {reason}")]
    Unreadable {
        /// Key relative to the table root.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// Time travel to a version that cannot be built.
    #[error("version {version} cannot be opened")]
    NoSuchVersion {
        /// The version asked for.
        version: u64,
    },
    /// The snapshot is whole, but this reader does not know a feature of it.
    #[error("version {} needs features unknown to this reader: {features:?}", opened.version)]
    Unsupported {
        /// What a reader that knows the features would see.
        opened: Box<Opened>,
        /// The unknown features.
        features: Vec<String>,
    },
}

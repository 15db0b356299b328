//! What is published of a table at a site: the seam to whoever opens replicas.
//!
//! Of a Delta table no engine takes anything from its metastore but the location: columns and
//! partitions come from the log. Only Hudi's are asked for here, and the columns of Delta tables that
//! are shown at one version: they are views, which say their columns.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use driftless_catalog::Table;
use table_sync_core::{BoxError, Position};

/// Looks at replicas.
#[async_trait]
pub trait Snapshots: Send + Sync {
    /// What the replica of a Hudi table at `place` holds now, or held not longer ago than the implementation says.
    ///
    /// # Errors
    /// The replica does not answer, or holds what cannot be served.
    async fn snapshot(&self, table: &Table, place: &str) -> Result<Arc<Snapshot>, LookError>;

    /// Whether a Hudi table is merge-on-read: engines see it under three names. Does not change as
    /// long as the place is the same.
    ///
    /// # Errors
    /// As [`Snapshots::snapshot`].
    async fn merges(&self, table: &Table, place: &str) -> Result<bool, LookError>;

    /// The columns of a Delta table at a version: a schema of Spark, in JSON. `None` where readers
    /// cannot open that version there.
    ///
    /// # Errors
    /// As [`Snapshots::snapshot`].
    async fn schema(
        &self,
        table: &Table,
        place: &str,
        version: u64,
    ) -> Result<Option<Arc<str>>, LookError>;
}

/// A Hudi table, as a replica holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The newest instant.
    pub position: Position,
    /// Whether the table is merge-on-read.
    pub merges: bool,
    /// All columns but those by which it is partitioned, metadata columns first.
    pub columns: Vec<Column>,
    /// The columns by which it is partitioned, in the order of its folders.
    pub partition_columns: Vec<Column>,
    /// The partitions that are listed, by their values: those that hold rows, and those that will,
    /// or did.
    pub partitions: BTreeMap<Vec<String>, Folder>,
    /// Partitions that are no longer listed, while their files are there: a query that began
    /// before may still ask for them.
    pub gone: BTreeMap<Vec<String>, Folder>,
}

/// Where a partition lies below its table: a key, raw.
pub type Folder = String;

/// A column.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, as Hive writes it.
    pub hive: String,
    /// Its type, as Spark writes it in JSON.
    pub spark: serde_json::Value,
    /// Whether values may be missing.
    pub nullable: bool,
}

/// Why a replica was not looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LookError {
    /// It could not be opened or read; a later try may succeed.
    #[error("read the replica of {table}")]
    Unread {
        /// The table.
        table: String,
        /// The cause.
        source: BoxError,
    },
    /// It holds no Hudi table, or one whose schema cannot be told.
    #[error("serve {table}: {what}")]
    Unfit {
        /// The table.
        table: String,
        /// What stands against it.
        what: String,
    },
}

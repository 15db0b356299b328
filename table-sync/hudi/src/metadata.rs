//! What an instant wrote, from its completed file.
//!
//! # Invariants
//! - `logFiles` of a write stat is never read: before table version 8 it lists a whole slice,
//!   files of failed writes among it.
//! - Every path is a [`RelPath`]. Keys are raw: `%20` in a partition's folder stays `%20`.
//! - Complete is not non-empty: zero bytes, `{}` and metadata without stats are good instants.
//!
//! Source: Hudi `HoodieTableMetadataUtil.convertMetadataToFilesPartitionRecords`,
//! `HoodieWriteStat`, `CommitMetadataSerDeV1`, `CommitMetadataSerDeV2`.

mod decode;
mod plan;
mod table_service;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use table_sync_core::RelPath;

use crate::error::DecodeError;
use decode::data_key;
pub(crate) use decode::decode;
pub use plan::{
    CleanPlan, CompactionPlan, FileSlice, ReplacePlan, RestorePlan, RollbackPlan, RolledBack,
};
pub use table_service::{
    CleanMetadata, CleanPolicy, IndexingMetadata, RestoreMetadata, RollbackMetadata,
    SavepointMetadata,
};

/// Largest completed file that is read, in bytes: some two million written files.
pub const METADATA_BYTES_MAX: usize = 1 << 30;

/// Metadata of a completed commit, delta commit or replace commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommitMetadata {
    /// The files that it wrote, ascending by path, each once.
    pub writes: Vec<Written>,
    /// The file groups that it hides: partition and file id, ascending.
    pub replaced: Vec<(String, String)>,
    /// What the writer calls the operation: `UPSERT`, `COMPACT`, ... Some writers leave it out.
    pub operation: Option<String>,
}

/// One file that an instant wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Key below the table's root.
    pub path: RelPath,
    /// Size in bytes; `None` where the writer did not state one. A file of several stats has the
    /// largest: each saw it as far as it was written.
    pub size_bytes: Option<u64>,
    /// Whether it belongs to the change feed.
    pub cdc: bool,
    /// Its partition, empty for a table without partitions. Each has a partition metadata file.
    pub partition: String,
    /// Its file group; empty where the writer did not state one.
    pub file_id: String,
}

impl CommitMetadata {
    /// Decodes a completed file: JSON of layout 1, of a legacy instant under layout 2, or an Avro
    /// container. `object` names it in errors.
    ///
    /// # Errors
    /// [`DecodeError`]; `ForeignPath` when a stat names a file outside the table's root.
    pub fn decode(object: &str, bytes: &[u8]) -> Result<Self, DecodeError> {
        let record: CommitRecord = decode(object, "commit metadata", bytes)?;
        record.into_metadata(object)
    }

    /// The partitions that it wrote to, ascending.
    pub fn partitions(&self) -> BTreeSet<&str> {
        self.writes.iter().map(|written| written.partition.as_str()).collect()
    }
}

/// The fields of commit metadata that replication reads, in both encodings.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct CommitRecord {
    partition_to_write_stats: Option<BTreeMap<String, Option<Vec<Stat>>>>,
    partition_to_replace_file_ids: Option<BTreeMap<String, Option<Vec<String>>>>,
    operation_type: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Stat {
    path: Option<Box<str>>,
    file_id: Option<Box<str>>,
    file_size_in_bytes: Option<i64>,
    cdc_stats: Option<BTreeMap<Box<str>, Option<i64>>>,
}

impl CommitRecord {
    pub(crate) fn into_metadata(self, object: &str) -> Result<CommitMetadata, DecodeError> {
        let mut writes = Writes { object, files: BTreeMap::new() };
        for (partition, stats) in self.partition_to_write_stats.into_iter().flatten() {
            if !partition.is_empty() {
                data_key(object, &partition)?;
            }
            for stat in stats.into_iter().flatten() {
                writes.add(&partition, stat)?;
            }
        }
        let mut replaced = Vec::new();
        for (partition, file_ids) in self.partition_to_replace_file_ids.into_iter().flatten() {
            let file_ids = file_ids.into_iter().flatten();
            replaced.extend(file_ids.map(|file_id| (partition.clone(), file_id)));
        }
        replaced.sort_unstable();
        replaced.dedup();
        let writes = writes.files.into_values().collect();
        Ok(CommitMetadata { writes, replaced, operation: self.operation_type })
    }
}

struct Writes<'a> {
    object: &'a str,
    files: BTreeMap<RelPath, Written>,
}

impl Writes<'_> {
    fn add(&mut self, partition: &str, stat: Stat) -> Result<(), DecodeError> {
        let Stat { path, file_id, file_size_in_bytes, cdc_stats } = stat;
        let file_id = file_id.as_deref().unwrap_or_default();
        if let Some(path) = path {
            self.add_file(partition, file_id, &path, file_size_in_bytes, false)?;
        }
        for (path, size_bytes) in cdc_stats.into_iter().flatten() {
            self.add_file(partition, file_id, &path, size_bytes, true)?;
        }
        Ok(())
    }

    fn add_file(
        &mut self,
        partition: &str,
        file_id: &str,
        path: &str,
        size_bytes: Option<i64>,
        cdc: bool,
    ) -> Result<(), DecodeError> {
        let path = data_key(self.object, path)?;
        // Java's default is 0: no file of a table is empty.
        let size_bytes = size_bytes.and_then(|size| u64::try_from(size).ok()).filter(|s| *s > 0);
        let written = self.files.entry(path.clone()).or_insert_with(|| Written {
            path,
            size_bytes: None,
            cdc,
            partition: partition.to_owned(),
            file_id: file_id.to_owned(),
        });
        written.size_bytes = written.size_bytes.max(size_bytes);
        // A file that rows come from is not only of the change feed.
        written.cdc &= cdc;
        Ok(())
    }
}

/// Decodes arbitrary bytes as every kind of metadata: for fuzzing.
pub fn decode_any(bytes: &[u8]) -> [bool; 11] {
    const OBJECT: &str = "input";
    [
        CommitMetadata::decode(OBJECT, bytes).is_ok(),
        CleanMetadata::decode(OBJECT, bytes).is_ok(),
        CleanPlan::decode(OBJECT, bytes).is_ok(),
        RollbackMetadata::decode(OBJECT, bytes).is_ok(),
        RollbackPlan::decode(OBJECT, bytes).is_ok(),
        RestoreMetadata::decode(OBJECT, bytes).is_ok(),
        RestorePlan::decode(OBJECT, bytes).is_ok(),
        SavepointMetadata::decode(OBJECT, bytes).is_ok(),
        CompactionPlan::decode(OBJECT, bytes).is_ok(),
        ReplacePlan::decode(OBJECT, bytes).is_ok(),
        IndexingMetadata::decode(OBJECT, bytes).is_ok(),
    ]
}

#[cfg(test)]
#[path = "metadata_tests.rs"]
mod tests;

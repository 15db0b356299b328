//! Completed files of actions that write no rows: clean, rollback, restore, savepoint, indexing.
//!
//! Before table version 8 a rollback may append command blocks: those logs, and the failed ones
//! that they cancel, go together or not at all.
//!
//! Source: Hudi `HoodieCleanMetadata.avsc`, `HoodieRollbackMetadata.avsc`,
//! `HoodieRestoreMetadata.avsc`, `HoodieSavepointMetadata.avsc`, `HoodieIndexCommitMetadata.avsc`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use table_sync_core::{InstantTime, RelPath};

use super::decode::{decode, file_in, instant};
use crate::error::DecodeError;

/// What a completed clean deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CleanMetadata {
    /// The oldest commit whose files it kept, where its policy has one.
    pub earliest_retained: Option<InstantTime>,
    /// By what it decided what to keep, as far as it says so.
    pub policy: Option<CleanPolicy>,
    /// The files that it deleted, or tried to, ascending: no retained commit needs them.
    pub deleted: Vec<RelPath>,
    /// The partitions that it deleted as a whole, ascending.
    pub partitions_deleted: Vec<String>,
}

/// By what a cleaner decides what to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CleanPolicy {
    /// The files that the newest commits need, so many of them.
    Commits,
    /// The files that the commits of the last hours need.
    Hours,
    /// So many versions of each file.
    FileVersions,
}

impl CleanPolicy {
    fn parse(name: &str) -> Option<Self> {
        match name {
            "KEEP_LATEST_COMMITS" => Some(Self::Commits),
            "KEEP_LATEST_BY_HOURS" => Some(Self::Hours),
            "KEEP_LATEST_FILE_VERSIONS" => Some(Self::FileVersions),
            _ => None,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct CleanRecord {
    earliest_commit_to_retain: Option<String>,
    partition_metadata: Option<BTreeMap<String, CleanPartition>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct CleanPartition {
    policy: Option<String>,
    delete_path_patterns: Option<Vec<String>>,
    success_delete_files: Option<Vec<String>>,
    failed_delete_files: Option<Vec<String>>,
    is_partition_deleted: Option<bool>,
}

impl CleanMetadata {
    /// Decodes a completed clean. `object` names it in errors.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(object: &str, bytes: &[u8]) -> Result<Self, DecodeError> {
        let record: CleanRecord = decode(object, "clean metadata", bytes)?;
        let mut deleted = BTreeSet::new();
        let mut partitions_deleted = Vec::new();
        let mut policy = None;
        for (partition, files) in record.partition_metadata.into_iter().flatten() {
            policy = policy.or(files.policy.as_deref().and_then(CleanPolicy::parse));
            let lists =
                [files.delete_path_patterns, files.success_delete_files, files.failed_delete_files];
            for file in lists.into_iter().flatten().flatten() {
                deleted.insert(file_in(object, &partition, &file)?);
            }
            if files.is_partition_deleted == Some(true) {
                partitions_deleted.push(partition);
            }
        }
        // Cleaners without a commit to retain write an empty text.
        let retained = record.earliest_commit_to_retain.as_deref().and_then(InstantTime::parse);
        let deleted = deleted.into_iter().collect();
        Ok(Self { earliest_retained: retained, policy, deleted, partitions_deleted })
    }
}

/// What a completed rollback undid.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RollbackMetadata {
    /// The instants that are no more, ascending.
    pub rolled_back: Vec<InstantTime>,
    /// Files that it deleted, ascending.
    pub deleted: Vec<RelPath>,
    /// Files that it failed to delete, ascending.
    pub left: Vec<RelPath>,
    /// Logs of command blocks that it wrote, with their sizes in bytes, ascending.
    pub command_logs: Vec<(RelPath, Option<u64>)>,
    /// Logs of the failed commit that those blocks cancel, with their sizes in bytes, ascending.
    pub cancelled_logs: Vec<(RelPath, Option<u64>)>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RollbackRecord {
    commits_rollback: Option<Vec<String>>,
    instants_rollback: Option<Vec<InstantInfo>>,
    partition_metadata: Option<BTreeMap<String, RollbackPartition>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RollbackPartition {
    success_delete_files: Option<Vec<String>>,
    failed_delete_files: Option<Vec<String>>,
    rollback_log_files: Option<BTreeMap<String, Option<i64>>>,
    log_files_from_failed_commit: Option<BTreeMap<String, Option<i64>>>,
}

/// An instant that a rollback or a restore names.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct InstantInfo {
    pub(super) commit_time: Option<String>,
    pub(super) action: Option<String>,
}

impl RollbackMetadata {
    /// Decodes a completed rollback. `object` names it in errors.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(object: &str, bytes: &[u8]) -> Result<Self, DecodeError> {
        let record: RollbackRecord = decode(object, ROLLBACK, bytes)?;
        Self::from_records(object, [record])
    }

    fn from_records(
        object: &str,
        records: impl IntoIterator<Item = RollbackRecord>,
    ) -> Result<Self, DecodeError> {
        let mut sets = RollbackSets::default();
        for record in records {
            sets.add(object, record)?;
        }
        Ok(Self {
            rolled_back: sets.rolled_back.into_iter().collect(),
            deleted: sets.deleted.into_iter().collect(),
            left: sets.left.into_iter().collect(),
            command_logs: sets.command_logs.into_iter().collect(),
            cancelled_logs: sets.cancelled_logs.into_iter().collect(),
        })
    }
}

const ROLLBACK: &str = "rollback metadata";

#[derive(Default)]
struct RollbackSets {
    rolled_back: BTreeSet<InstantTime>,
    deleted: BTreeSet<RelPath>,
    left: BTreeSet<RelPath>,
    command_logs: BTreeMap<RelPath, Option<u64>>,
    cancelled_logs: BTreeMap<RelPath, Option<u64>>,
}

impl RollbackSets {
    fn add(&mut self, object: &str, record: RollbackRecord) -> Result<(), DecodeError> {
        let infos = record.instants_rollback.into_iter().flatten();
        let times = infos.filter_map(|info| info.commit_time);
        for time in times.chain(record.commits_rollback.into_iter().flatten()) {
            self.rolled_back.insert(instant(object, ROLLBACK, &time)?);
        }
        for (partition, files) in record.partition_metadata.into_iter().flatten() {
            for file in files.success_delete_files.into_iter().flatten() {
                self.deleted.insert(file_in(object, &partition, &file)?);
            }
            for file in files.failed_delete_files.into_iter().flatten() {
                self.left.insert(file_in(object, &partition, &file)?);
            }
            let logs = [
                (&mut self.command_logs, files.rollback_log_files),
                (&mut self.cancelled_logs, files.log_files_from_failed_commit),
            ];
            for (sizes, logs) in logs {
                for (file, size_bytes) in logs.into_iter().flatten() {
                    let size_bytes = size_bytes.and_then(|size| u64::try_from(size).ok());
                    let entry = sizes.entry(file_in(object, &partition, &file)?).or_default();
                    *entry = (*entry).max(size_bytes.filter(|size| *size > 0));
                }
            }
        }
        Ok(())
    }
}

/// What a completed restore undid.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RestoreMetadata {
    /// The instants that are no more, and the files of all its rollbacks.
    pub rollback: RollbackMetadata,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RestoreRecord {
    instants_to_rollback: Option<Vec<String>>,
    hoodie_restore_metadata: Option<BTreeMap<String, Option<Vec<RollbackRecord>>>>,
    restore_instant_info: Option<Vec<InstantInfo>>,
}

impl RestoreMetadata {
    /// Decodes a completed restore. `object` names it in errors.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(object: &str, bytes: &[u8]) -> Result<Self, DecodeError> {
        let record: RestoreRecord = decode(object, "restore metadata", bytes)?;
        let rollbacks = record.hoodie_restore_metadata.into_iter().flatten();
        let own = RollbackRecord {
            commits_rollback: record.instants_to_rollback,
            instants_rollback: record.restore_instant_info,
            partition_metadata: None,
        };
        let rollbacks = rollbacks.flat_map(|(_, rollbacks)| rollbacks.into_iter().flatten());
        let rollback = RollbackMetadata::from_records(object, rollbacks.chain([own]))?;
        Ok(Self { rollback })
    }
}

/// What a savepoint keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SavepointMetadata {
    /// The files that the cleaner must leave, ascending.
    pub files: Vec<RelPath>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SavepointRecord {
    partition_metadata: Option<BTreeMap<String, SavepointPartition>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SavepointPartition {
    savepoint_data_file: Option<Vec<String>>,
}

impl SavepointMetadata {
    /// Decodes a completed savepoint. `object` names it in errors.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(object: &str, bytes: &[u8]) -> Result<Self, DecodeError> {
        let record: SavepointRecord = decode(object, "savepoint metadata", bytes)?;
        let mut files = BTreeSet::new();
        for (partition, named) in record.partition_metadata.into_iter().flatten() {
            for file in named.savepoint_data_file.into_iter().flatten() {
                files.insert(file_in(object, &partition, &file)?);
            }
        }
        Ok(Self { files: files.into_iter().collect() })
    }
}

/// Which partitions of the metadata table were built.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IndexingMetadata {
    /// Partitions of the metadata table, in the writer's order.
    pub partitions: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct IndexingRecord {
    index_partition_infos: Option<Vec<IndexPartition>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct IndexPartition {
    metadata_partition_path: Option<String>,
}

impl IndexingMetadata {
    /// Decodes an indexing plan or a completed indexing. `object` names it in errors.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(object: &str, bytes: &[u8]) -> Result<Self, DecodeError> {
        let record: IndexingRecord = decode(object, "indexing metadata", bytes)?;
        let infos = record.index_partition_infos.into_iter().flatten();
        Ok(Self { partitions: infos.filter_map(|info| info.metadata_partition_path).collect() })
    }
}

//! Requested files: what an action is going to do.
//!
//! Plans of compaction and clustering name file slices that must stay until the plan is done or
//! dropped; those of rollback and restore say what is about to vanish; that of a clean explains
//! a file that is already gone.
//!
//! Source: Hudi `HoodieCompactionPlan.avsc`, `HoodieRequestedReplaceMetadata.avsc`,
//! `HoodieRollbackPlan.avsc`, `HoodieRestorePlan.avsc`, `HoodieCleanerPlan.avsc`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use table_sync_core::{InstantTime, RelPath};

use super::decode::{decode, file_in, instant};
use super::table_service::InstantInfo;
use crate::error::DecodeError;
use crate::instant::Action;

/// A file slice that a plan names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSlice {
    /// Its partition, empty for a table without partitions.
    pub partition: String,
    /// Its file group.
    pub file_id: String,
    /// Its base instant, where the plan states one.
    pub base_instant: Option<InstantTime>,
    /// Its base file, where it has one.
    pub base_file: Option<RelPath>,
    /// Its logs, in the plan's order.
    pub logs: Vec<RelPath>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SliceRecord {
    base_instant_time: Option<String>,
    delta_file_paths: Option<Vec<String>>,
    data_file_path: Option<String>,
    file_id: Option<String>,
    partition_path: Option<String>,
}

impl SliceRecord {
    fn into_slice(self, object: &str, kind: &'static str) -> Result<FileSlice, DecodeError> {
        let partition = self.partition_path.unwrap_or_default();
        let file = |name: &str| file_in(object, &partition, name);
        let base_file = self.data_file_path.filter(|path| !path.is_empty());
        let base_file = base_file.map(|path| file(&path)).transpose()?;
        let logs = self.delta_file_paths.into_iter().flatten();
        let logs = logs.map(|path| file(&path)).collect::<Result<_, _>>()?;
        let base_instant = self.base_instant_time.map(|time| instant(object, kind, &time));
        Ok(FileSlice {
            base_instant: base_instant.transpose()?,
            base_file,
            logs,
            file_id: self.file_id.unwrap_or_default(),
            partition,
        })
    }
}

/// The slices that a compaction or log compaction merges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CompactionPlan {
    /// In the plan's order.
    pub slices: Vec<FileSlice>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct CompactionRecord {
    operations: Option<Vec<SliceRecord>>,
}

impl CompactionPlan {
    /// Decodes a requested compaction. `object` names it in errors.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(object: &str, bytes: &[u8]) -> Result<Self, DecodeError> {
        let kind = "compaction plan";
        let record: CompactionRecord = decode(object, kind, bytes)?;
        let slices = record.operations.into_iter().flatten();
        let slices = slices.map(|slice| slice.into_slice(object, kind));
        Ok(Self { slices: slices.collect::<Result<_, _>>()? })
    }
}

/// What a replace commit is going to do; without slices unless it is a clustering.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplacePlan {
    /// `CLUSTER`, `INSERT_OVERWRITE`, ...
    pub operation: Option<String>,
    /// The slices that a clustering rewrites, in the plan's order.
    pub slices: Vec<FileSlice>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ReplaceRecord {
    operation_type: Option<String>,
    clustering_plan: Option<ClusteringRecord>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ClusteringRecord {
    input_groups: Option<Vec<ClusteringGroup>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ClusteringGroup {
    slices: Option<Vec<SliceRecord>>,
}

impl ReplacePlan {
    /// Decodes a requested replace commit or clustering. `object` names it in errors.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(object: &str, bytes: &[u8]) -> Result<Self, DecodeError> {
        let kind = "replace plan";
        let record: ReplaceRecord = decode(object, kind, bytes)?;
        let groups = record.clustering_plan.and_then(|plan| plan.input_groups);
        let groups = groups.into_iter().flatten();
        let slices = groups.flat_map(|group| group.slices.into_iter().flatten());
        let slices = slices.map(|slice| slice.into_slice(object, kind));
        let slices = slices.collect::<Result<_, _>>()?;
        Ok(Self { operation: record.operation_type, slices })
    }
}

/// An instant that a rollback or a restore undoes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RolledBack {
    /// Its id.
    pub requested: InstantTime,
    /// What it did, where the plan says so.
    pub action: Option<Action>,
}

impl RolledBack {
    fn from_info(
        object: &str,
        kind: &'static str,
        info: InstantInfo,
    ) -> Result<Option<Self>, DecodeError> {
        let Some(time) = info.commit_time else { return Ok(None) };
        let requested = instant(object, kind, &time)?;
        let action = info.action.as_deref().and_then(Action::parse);
        Ok(Some(Self { requested, action }))
    }
}

/// What a rollback is going to undo.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RollbackPlan {
    /// The instant.
    pub instant: Option<RolledBack>,
    /// The files that it is going to delete, ascending.
    pub deletes: Vec<RelPath>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RollbackPlanRecord {
    #[serde(rename = "instantToRollback")]
    instant: Option<InstantInfo>,
    #[serde(rename = "RollbackRequests")]
    requests: Option<Vec<RollbackRequest>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RollbackRequest {
    partition_path: Option<String>,
    files_to_be_deleted: Option<Vec<String>>,
}

impl RollbackPlan {
    /// Decodes a requested rollback. `object` names it in errors.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(object: &str, bytes: &[u8]) -> Result<Self, DecodeError> {
        let kind = "rollback plan";
        let record: RollbackPlanRecord = decode(object, kind, bytes)?;
        let mut deletes = BTreeSet::new();
        for request in record.requests.into_iter().flatten() {
            let partition = request.partition_path.unwrap_or_default();
            for file in request.files_to_be_deleted.into_iter().flatten() {
                deletes.insert(file_in(object, &partition, &file)?);
            }
        }
        let instant = record.instant.map(|info| RolledBack::from_info(object, kind, info));
        let instant = instant.transpose()?.flatten();
        Ok(Self { instant, deletes: deletes.into_iter().collect() })
    }
}

/// What a restore is going to undo.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RestorePlan {
    /// The instants, in the plan's order: newest first.
    pub instants: Vec<RolledBack>,
    /// The savepoint that the table goes back to.
    pub savepoint: Option<InstantTime>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RestorePlanRecord {
    instants_to_rollback: Option<Vec<InstantInfo>>,
    savepoint_to_restore_timestamp: Option<String>,
}

impl RestorePlan {
    /// Decodes a requested restore. `object` names it in errors.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(object: &str, bytes: &[u8]) -> Result<Self, DecodeError> {
        let kind = "restore plan";
        let record: RestorePlanRecord = decode(object, kind, bytes)?;
        let infos = record.instants_to_rollback.into_iter().flatten();
        let instants = infos.map(|info| RolledBack::from_info(object, kind, info));
        let instants: Vec<Option<RolledBack>> = instants.collect::<Result<_, _>>()?;
        let savepoint = record.savepoint_to_restore_timestamp;
        let savepoint = savepoint.map(|time| instant(object, kind, &time)).transpose()?;
        Ok(Self { instants: instants.into_iter().flatten().collect(), savepoint })
    }
}

/// What a clean is going to delete.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CleanPlan {
    /// The oldest commit whose files it keeps, where its policy has one.
    pub earliest_retained: Option<InstantTime>,
    /// The files that it is going to delete, ascending.
    pub deletes: Vec<RelPath>,
    /// The partitions that it is going to delete as a whole, in the plan's order.
    pub partitions_deleted: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct CleanPlanRecord {
    earliest_instant_to_retain: Option<RetainedRecord>,
    files_to_be_deleted_per_partition: Option<BTreeMap<String, Option<Vec<String>>>>,
    file_paths_to_be_deleted_per_partition: Option<BTreeMap<String, Option<Vec<CleanFile>>>>,
    partitions_to_be_deleted: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RetainedRecord {
    timestamp: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct CleanFile {
    file_path: Option<String>,
    is_bootstrap_base_file: Option<bool>,
}

impl CleanPlan {
    /// Decodes a requested clean. `object` names it in errors.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(object: &str, bytes: &[u8]) -> Result<Self, DecodeError> {
        let record: CleanPlanRecord = decode(object, "clean plan", bytes)?;
        let mut deletes = BTreeSet::new();
        for (partition, files) in record.files_to_be_deleted_per_partition.into_iter().flatten() {
            for file in files.into_iter().flatten() {
                deletes.insert(file_in(object, &partition, &file)?);
            }
        }
        let paths = record.file_paths_to_be_deleted_per_partition.into_iter().flatten();
        for (partition, files) in paths {
            // Files of a bootstrap's source lie outside the table.
            let own = |file: &CleanFile| file.is_bootstrap_base_file != Some(true);
            for file in files.into_iter().flatten().filter(own) {
                if let Some(path) = file.file_path {
                    deletes.insert(file_in(object, &partition, &path)?);
                }
            }
        }
        let retained = record.earliest_instant_to_retain.and_then(|retained| retained.timestamp);
        Ok(Self {
            earliest_retained: retained.as_deref().and_then(InstantTime::parse),
            deletes: deletes.into_iter().collect(),
            partitions_deleted: record.partitions_to_be_deleted.unwrap_or_default(),
        })
    }
}

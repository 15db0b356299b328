//! Metadata and plans of everything that is no commit.
//!
//! # Laws
//! - Every file is a data file strictly below the root.
//! - Files, instants and partitions are those of a naive reading: the last segment of whatever a
//!   record names, in its partition.
//! - An instant is one as it was written, or the record is refused.

use std::collections::BTreeSet;

use serde_json::Value;
use table_sync_core::{InstantTime, RelPath};
use table_sync_hudi::metadata::{
    CleanMetadata, CleanPlan, CompactionPlan, FileSlice, IndexingMetadata, ReplacePlan,
    RestoreMetadata, RestorePlan, RollbackMetadata, RollbackPlan, SavepointMetadata, decode_any,
};

use super::confined::assert_data;
use super::naive::{files, in_partition, key_files, record, text_set, texts};
use super::{Verdict, naive};

const OBJECT: &str = "input";

/// Reads the bytes as every kind of metadata and plan. A verdict is that of the kinds that say
/// something: most take any record, with nothing in it.
pub fn target(data: &[u8]) -> Verdict {
    let decoded = decode_any(data);
    let naive = decoded.contains(&true).then(|| record(data)).flatten();
    let naive = naive.as_ref();
    let accepted = [
        clean(data, naive),
        clean_plan(data, naive),
        rollback(data, naive),
        rollback_plan(data, naive),
        restore(data, naive),
        restore_plan(data, naive),
        savepoint(data, naive),
        compaction(data, naive),
        replace(data, naive),
        indexing(data, naive),
    ];
    assert_eq!(decoded[1..], accepted);
    Verdict::of(accepted.iter().all(|accepted| *accepted))
}

/// Asserts that keys ascend and are confined, and that they are those expected, where the naive
/// reading can tell.
#[track_caller]
fn assert_files(keys: &[RelPath], expected: Option<BTreeSet<String>>) {
    keys.iter().for_each(assert_data);
    assert!(keys.windows(2).all(|pair| pair[0] < pair[1]), "they do not ascend");
    if let Some(expected) = expected {
        assert_eq!(
            keys.iter().map(|key| key.as_str().to_owned()).collect::<BTreeSet<_>>(),
            expected
        );
    }
}

#[track_caller]
fn assert_times(times: &[InstantTime], expected: Option<BTreeSet<String>>) {
    if let Some(expected) = expected {
        let times: BTreeSet<String> = times.iter().map(ToString::to_string).collect();
        assert_eq!(times, expected);
    }
}

/// The union of what several paths lead to.
fn union(
    value: Option<&Value>,
    of: fn(&Value, &str) -> Option<BTreeSet<String>>,
    paths: &[&str],
) -> Option<BTreeSet<String>> {
    let sets = paths.iter().map(|path| of(value?, path));
    sets.collect::<Option<Vec<_>>>().map(|sets| sets.into_iter().flatten().collect())
}

fn clean(data: &[u8], naive: Option<&Value>) -> bool {
    let Ok(clean) = CleanMetadata::decode(OBJECT, data) else { return false };
    let paths = [
        "partitionMetadata.*.deletePathPatterns.#",
        "partitionMetadata.*.successDeleteFiles.#",
        "partitionMetadata.*.failedDeleteFiles.#",
    ];
    assert_files(&clean.deleted, union(naive, files, &paths));
    assert!(clean.partitions_deleted.windows(2).all(|pair| pair[0] < pair[1]));
    assert_retained(clean.earliest_retained, naive, "earliestCommitToRetain");
    true
}

/// A text that is no instant is none.
fn assert_retained(found: Option<InstantTime>, naive: Option<&Value>, path: &str) {
    let Some(stated) = naive.and_then(|naive| text_set(naive, path)) else { return };
    let is_instant = |text: &String| {
        matches!(text.len(), 1..=17 | 20) && text.chars().all(|letter| letter.is_ascii_digit())
    };
    assert_eq!(found.map(|time| time.to_string()), stated.into_iter().find(is_instant));
}

fn clean_plan(data: &[u8], naive: Option<&Value>) -> bool {
    let Ok(plan) = CleanPlan::decode(OBJECT, data) else { return false };
    assert_files(&plan.deletes, naive.and_then(clean_plan_files));
    assert_retained(plan.earliest_retained, naive, "earliestInstantToRetain.timestamp");
    let partitions = naive.and_then(|naive| texts(naive, "partitionsToBeDeleted.#"));
    if let Some(partitions) = partitions {
        let expected: Vec<&str> = partitions.into_iter().map(|(_, text)| text).collect();
        assert_eq!(plan.partitions_deleted, expected);
    }
    true
}

fn clean_plan_files(plan: &Value) -> Option<BTreeSet<String>> {
    let mut expected = files(plan, "filesToBeDeletedPerPartition.*.#")?;
    for (keys, file) in naive::at(plan, "filePathsToBeDeletedPerPartition.*.#")? {
        let file = file.as_object()?;
        let foreign =
            file.get("isBootstrapBaseFile").is_some_and(|flag| flag == &Value::Bool(true));
        if let (false, Some(path)) = (foreign, file.get("filePath").filter(|path| !path.is_null()))
        {
            expected.insert(in_partition(keys[0], path.as_str()?));
        }
    }
    Some(expected)
}

fn rollback(data: &[u8], naive: Option<&Value>) -> bool {
    let Ok(rollback) = RollbackMetadata::decode(OBJECT, data) else { return false };
    assert_rollback(&rollback, naive, "partitionMetadata");
    let paths = ["commitsRollback.#", "instantsRollback.#.commitTime"];
    assert_times(&rollback.rolled_back, union(naive, text_set, &paths));
    true
}

/// `at`: path to the map of partitions, whose key is the last on the way.
fn assert_rollback(rollback: &RollbackMetadata, naive: Option<&Value>, at: &str) {
    let files = |field: &str| union(naive, files, &[&format!("{at}.*.{field}.#")]);
    assert_files(&rollback.deleted, files("successDeleteFiles"));
    assert_files(&rollback.left, files("failedDeleteFiles"));
    let keys = |logs: &[(RelPath, Option<u64>)]| {
        logs.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>()
    };
    let logs = |field: &str| union(naive, key_files, &[&format!("{at}.*.{field}")]);
    assert_files(&keys(&rollback.command_logs), logs("rollbackLogFiles"));
    assert_files(&keys(&rollback.cancelled_logs), logs("logFilesFromFailedCommit"));
    let all = rollback.command_logs.iter().chain(&rollback.cancelled_logs);
    assert!(all.clone().all(|(_, size)| *size != Some(0)));
}

fn rollback_plan(data: &[u8], naive: Option<&Value>) -> bool {
    let Ok(plan) = RollbackPlan::decode(OBJECT, data) else { return false };
    let expected = |plan: &Value| {
        let mut expected = BTreeSet::new();
        for (_, request) in naive::at(plan, "RollbackRequests.#")? {
            let partition = texts(request, "partitionPath")?;
            let partition = partition.first().map_or("", |(_, text)| text);
            let named = texts(request, "filesToBeDeleted.#")?;
            expected.extend(named.into_iter().map(|(_, file)| in_partition(partition, file)));
        }
        Some(expected)
    };
    assert_files(&plan.deletes, naive.and_then(expected));
    let times: Vec<_> = plan.instant.iter().map(|instant| instant.requested).collect();
    assert_times(&times, union(naive, text_set, &["instantToRollback.commitTime"]));
    true
}

fn restore(data: &[u8], naive: Option<&Value>) -> bool {
    let Ok(restore) = RestoreMetadata::decode(OBJECT, data) else { return false };
    // The partition is the second key on the way to a file: each rollback is judged by its own.
    let mut all = [BTreeSet::new(), BTreeSet::new()];
    let fields = ["successDeleteFiles", "failedDeleteFiles"];
    let rollbacks = naive.and_then(|naive| naive::at(naive, "hoodieRestoreMetadata.*.#"));
    let mut told = rollbacks.is_some();
    for (_, rollback) in rollbacks.into_iter().flatten() {
        for (set, field) in all.iter_mut().zip(fields) {
            match files(rollback, &format!("partitionMetadata.*.{field}.#")) {
                Some(files) => set.extend(files),
                None => told = false,
            }
        }
    }
    let [deleted, left] = all.map(|files| told.then_some(files));
    assert_files(&restore.rollback.deleted, deleted);
    assert_files(&restore.rollback.left, left);
    let paths = [
        "instantsToRollback.#",
        "restoreInstantInfo.#.commitTime",
        "hoodieRestoreMetadata.*.#.commitsRollback.#",
        "hoodieRestoreMetadata.*.#.instantsRollback.#.commitTime",
    ];
    assert_times(&restore.rollback.rolled_back, union(naive, text_set, &paths));
    true
}

fn restore_plan(data: &[u8], naive: Option<&Value>) -> bool {
    let Ok(plan) = RestorePlan::decode(OBJECT, data) else { return false };
    let times: Vec<_> = plan.instants.iter().map(|instant| instant.requested).collect();
    assert_times(&times, union(naive, text_set, &["instantsToRollback.#.commitTime"]));
    let savepoint: Vec<_> = plan.savepoint.into_iter().collect();
    assert_times(&savepoint, union(naive, text_set, &["savepointToRestoreTimestamp"]));
    true
}

fn savepoint(data: &[u8], naive: Option<&Value>) -> bool {
    let Ok(savepoint) = SavepointMetadata::decode(OBJECT, data) else { return false };
    let path = "partitionMetadata.*.savepointDataFile.#";
    assert_files(&savepoint.files, union(naive, files, &[path]));
    true
}

fn compaction(data: &[u8], naive: Option<&Value>) -> bool {
    let Ok(plan) = CompactionPlan::decode(OBJECT, data) else { return false };
    assert_slices(&plan.slices, naive, "operations.#");
    true
}

fn replace(data: &[u8], naive: Option<&Value>) -> bool {
    let Ok(plan) = ReplacePlan::decode(OBJECT, data) else { return false };
    assert_slices(&plan.slices, naive, "clusteringPlan.inputGroups.#.slices.#");
    if let Some(operation) = naive.and_then(|naive| texts(naive, "operationType")) {
        assert_eq!(plan.operation.as_deref(), operation.first().map(|(_, text)| *text));
    }
    true
}

fn assert_slices(slices: &[FileSlice], naive: Option<&Value>, path: &str) {
    let named = |slice: &FileSlice| {
        let keys = slice.base_file.iter().chain(&slice.logs);
        keys.inspect(|key| assert_data(key)).map(ToString::to_string).collect::<Vec<_>>()
    };
    let found: Vec<Vec<String>> = slices.iter().map(named).collect();
    let Some(expected) = naive.and_then(|naive| naive::at(naive, path)) else { return };
    let expected = expected.into_iter().map(|(_, slice)| {
        let partition = texts(slice, "partitionPath")?;
        let partition = partition.first().map_or("", |(_, text)| text);
        let base = texts(slice, "dataFilePath")?.into_iter().filter(|(_, text)| !text.is_empty());
        let named = base.chain(texts(slice, "deltaFilePaths.#")?);
        Some(named.map(|(_, file)| in_partition(partition, file)).collect::<Vec<_>>())
    });
    if let Some(expected) = expected.collect::<Option<Vec<_>>>() {
        assert_eq!(found, expected);
    }
}

fn indexing(data: &[u8], naive: Option<&Value>) -> bool {
    let Ok(indexing) = IndexingMetadata::decode(OBJECT, data) else { return false };
    let path = "indexPartitionInfos.#.metadataPartitionPath";
    if let Some(expected) = naive.and_then(|naive| texts(naive, path)) {
        assert_eq!(indexing.partitions, expected.into_iter().map(|(_, t)| t).collect::<Vec<_>>());
    }
    true
}

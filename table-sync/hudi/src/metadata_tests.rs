#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use proptest::prelude::*;
use table_sync_core::{InstantTime, PathError};

use super::*;
use crate::instant::Action;

const OBJECT: &str = "20240402123035233.commit";

fn path(text: &str) -> RelPath {
    RelPath::parse(text).unwrap()
}

fn paths(texts: &[&str]) -> Vec<RelPath> {
    texts.iter().map(|text| path(text)).collect()
}

fn time(text: &str) -> InstantTime {
    InstantTime::parse(text).unwrap()
}

fn written(partition: &str, name: &str, size_bytes: Option<u64>, cdc: bool) -> Written {
    let whole = if partition.is_empty() { name.to_owned() } else { format!("{partition}/{name}") };
    let (partition, file_id) = (partition.to_owned(), "f".to_owned());
    Written { path: path(&whole), size_bytes, cdc, partition, file_id }
}

#[track_caller]
fn check(json: &str, expect: &[Written]) -> CommitMetadata {
    let metadata = CommitMetadata::decode(OBJECT, json.as_bytes()).unwrap();
    assert_eq!(metadata.writes, expect);
    metadata
}

#[track_caller]
fn check_error(json: &str) -> DecodeError {
    CommitMetadata::decode(OBJECT, json.as_bytes()).unwrap_err()
}

#[test]
fn complete_is_not_non_empty() {
    for text in [
        "",
        "{}",
        r#"{"partitionToWriteStats":null,"operationType":null}"#,
        r#"{"partitionToWriteStats":{},"partitionToReplaceFileIds":{}}"#,
        r#"{"partitionToWriteStats":{"p":[]}}"#,
        r#"{"partitionToWriteStats":{"p":null}}"#,
        r#"{"partitionToWriteStats":{"p":[{"path":null,"cdcStats":null}]}}"#,
    ] {
        assert_eq!(check(text, &[]), CommitMetadata::default(), "{text}");
    }
}

#[test]
fn paths_and_change_data_count_and_log_files_do_not() {
    let metadata = check(
        r#"{"partitionToWriteStats":{"p=1":[{"fileId":"f","path":"p=1/b","fileSizeInBytes":7,
            "cdcStats":{"p=1/.f_1.log.1_0-0-0.cdc":5},"logFiles":[".failed.log.1"],
            "baseFile":"other","prevCommit":"null","runtimeStats":{"totalScanTime":0}}]},
            "compacted":false,"extraMetadata":{"schema":"{}"},"operationType":"UPSERT"}"#,
        &[
            written("p=1", ".f_1.log.1_0-0-0.cdc", Some(5), true),
            written("p=1", "b", Some(7), false),
        ],
    );
    assert_eq!(metadata.operation.as_deref(), Some("UPSERT"));
    assert_eq!(metadata.partitions().into_iter().collect::<Vec<_>>(), ["p=1"]);
}

#[test]
fn a_file_of_several_stats_has_the_largest_size() {
    check(
        r#"{"partitionToWriteStats":{"":[
            {"fileId":"f","path":"a","fileSizeInBytes":5},
            {"fileId":"f","path":"a","fileSizeInBytes":9},
            {"fileId":"f","path":"a","fileSizeInBytes":0},
            {"fileId":"f","path":"b","fileSizeInBytes":0},
            {"fileId":"f","path":"c","fileSizeInBytes":-1},
            {"fileId":"f","path":"d"}]}}"#,
        &[
            written("", "a", Some(9), false),
            written("", "b", None, false),
            written("", "c", None, false),
            written("", "d", None, false),
        ],
    );
}

#[test]
fn percent_signs_are_no_escapes() {
    check(
        r#"{"partitionToWriteStats":{"p=a%20b":[{"fileId":"f","path":"p=a%20b/%2e%2e"}],
            "p=a b":[{"fileId":"f","path":"p=a b/x"}],
            "ts=2020-01-01 00:00:00":[{"fileId":"f","path":"ts=2020-01-01 00:00:00/x"}]}}"#,
        &[
            written("p=a b", "x", None, false),
            written("p=a%20b", "%2e%2e", None, false),
            written("ts=2020-01-01 00:00:00", "x", None, false),
        ],
    );
}

#[test]
fn files_outside_the_table_are_foreign() {
    let cases = [
        ("s3a://bucket/t/p/x", PathError::Absolute),
        ("file:/tmp/t/p/x", PathError::Absolute),
        ("/tmp/t/p/x", PathError::Absolute),
        ("p/../../x", PathError::Segment),
        ("../x", PathError::Segment),
        ("p//x", PathError::Segment),
        ("", PathError::Empty),
        ("p/x\\u0000", PathError::Control),
    ];
    for (named, expect) in cases {
        for stat in [format!(r#""path":"{named}""#), format!(r#""cdcStats":{{"{named}":1}}"#)] {
            let json = format!(r#"{{"partitionToWriteStats":{{"p":[{{{stat}}}]}}}}"#);
            match check_error(&json) {
                DecodeError::ForeignPath { object, source, .. } => {
                    assert_eq!((object.as_str(), source), (OBJECT, expect), "{named}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
    let json = r#"{"partitionToWriteStats":{"../p":[]}}"#;
    assert!(matches!(check_error(json), DecodeError::ForeignPath { .. }));
}

#[test]
fn data_does_not_lie_in_the_metadata_folder() {
    for named in [".hoodie/hoodie.properties", ".hoodie/timeline/1_2.commit"] {
        let json = format!(r#"{{"partitionToWriteStats":{{"":[{{"path":"{named}"}}]}}}}"#);
        let error = check_error(&json);
        assert!(matches!(error, DecodeError::ReservedPath { .. }), "{error:?}");
    }
    check(
        r#"{"partitionToWriteStats":{".hoodie2":[{"fileId":"f","path":".hoodie2/x"}]}}"#,
        &[written(".hoodie2", "x", None, false)],
    );
}

#[test]
fn replaced_file_groups_are_listed_once() {
    let metadata = check(
        r#"{"partitionToWriteStats":{},"partitionToReplaceFileIds":{"q":["b","a","b"],"p":["c"],
            "r":null,"s":[]},"operationType":"DELETE_PARTITION"}"#,
        &[],
    );
    let pair = |partition: &str, file_id: &str| (partition.to_owned(), file_id.to_owned());
    assert_eq!(metadata.replaced, [pair("p", "c"), pair("q", "a"), pair("q", "b")]);
}

#[test]
fn damage_names_the_object_and_the_way_out() {
    for text in ["{", "[]", "null", "{\"partitionToWriteStats\":1}", "Obj", "Obj\u{1}", "\0"] {
        let error = check_error(text);
        assert!(matches!(error, DecodeError::Damaged { .. }), "{text} {error:?}");
        let error = error.to_string();
        assert!(error.starts_with("decode 20240402123035233.commit as commit metadata: "));
        assert!(error.ends_with("restore it at the source"), "{error}");
    }
}

#[test]
fn cleans_name_files_by_name_or_by_path() {
    let json = r#"{"startCleanTime":"3","earliestCommitToRetain":"20240402123035233",
        "partitionMetadata":{"p":{"partitionPath":"p","policy":"KEEP_LATEST_COMMITS",
            "deletePathPatterns":["a","b"],"successDeleteFiles":["s3a://x/t/p/a"],
            "failedDeleteFiles":["c"],"isPartitionDeleted":null},
          "q":{"deletePathPatterns":[],"isPartitionDeleted":true}}}"#;
    let clean = CleanMetadata::decode(OBJECT, json.as_bytes()).unwrap();
    assert_eq!(clean.deleted, paths(&["p/a", "p/b", "p/c"]));
    assert_eq!(clean.earliest_retained, Some(time("20240402123035233")));
    assert_eq!(clean.partitions_deleted, ["q"]);
    assert_eq!(clean.policy, Some(CleanPolicy::Commits));
    let none = CleanMetadata::decode(OBJECT, br#"{"earliestCommitToRetain":""}"#).unwrap();
    assert_eq!(none, CleanMetadata::default());
}

#[test]
fn clean_plans_leave_out_files_of_a_bootstrap() {
    let json = r#"{"earliestInstantToRetain":{"timestamp":"5","action":"commit"},
        "filesToBeDeletedPerPartition":{"p":["a"]},
        "filePathsToBeDeletedPerPartition":{"q":[{"filePath":"gs://x/t/q/b"},
            {"filePath":"/old/c","isBootstrapBaseFile":true}]},
        "partitionsToBeDeleted":["r"]}"#;
    let plan = CleanPlan::decode(OBJECT, json.as_bytes()).unwrap();
    assert_eq!(plan.deletes, paths(&["p/a", "q/b"]));
    assert_eq!(plan.earliest_retained, Some(time("5")));
    assert_eq!(plan.partitions_deleted, ["r"]);
}

#[test]
fn rollbacks_tell_their_logs_from_those_they_cancel() {
    let json = r#"{"startRollbackTime":"9","commitsRollback":["7"],
        "instantsRollback":[{"commitTime":"7","action":"deltacommit"}],
        "partitionMetadata":{"p":{"partitionPath":"p","successDeleteFiles":["file:/t/p/a"],
            "failedDeleteFiles":["b"],"rollbackLogFiles":{"/t/p/.f_1.log.2_0-0-0":9},
            "logFilesFromFailedCommit":{".f_1.log.1_0-0-0":0}}}}"#;
    let rollback = RollbackMetadata::decode(OBJECT, json.as_bytes()).unwrap();
    let expect = RollbackMetadata {
        rolled_back: vec![time("7")],
        deleted: paths(&["p/a"]),
        left: paths(&["p/b"]),
        command_logs: vec![(path("p/.f_1.log.2_0-0-0"), Some(9))],
        cancelled_logs: vec![(path("p/.f_1.log.1_0-0-0"), None)],
    };
    assert_eq!(rollback, expect);
    let restore = format!(
        r#"{{"startRestoreTime":"10","instantsToRollback":["7","8"],
            "hoodieRestoreMetadata":{{"7":[{json}]}},
            "restoreInstantInfo":[{{"commitTime":"8","action":"commit"}}]}}"#
    );
    let restore = RestoreMetadata::decode(OBJECT, restore.as_bytes()).unwrap();
    let rolled_back = vec![time("7"), time("8")];
    assert_eq!(restore.rollback, RollbackMetadata { rolled_back, ..expect });
}

#[test]
fn plans_of_rollback_and_restore_name_instants() {
    let json = r#"{"instantToRollback":{"commitTime":"7","action":"commit"},
        "RollbackRequests":[{"partitionPath":"p","fileId":"f","latestBaseInstant":"7",
            "filesToBeDeleted":["file:/t/p/a"],"logBlocksToBeDeleted":{}}],"version":1}"#;
    let plan = RollbackPlan::decode(OBJECT, json.as_bytes()).unwrap();
    let undone = RolledBack { requested: time("7"), action: Some(Action::Commit) };
    assert_eq!(plan, RollbackPlan { instant: Some(undone.clone()), deletes: paths(&["p/a"]) });
    let json = r#"{"instantsToRollback":[{"commitTime":"7","action":"commit"}],
        "savepointToRestoreTimestamp":"5"}"#;
    let plan = RestorePlan::decode(OBJECT, json.as_bytes()).unwrap();
    assert_eq!(plan, RestorePlan { instants: vec![undone], savepoint: Some(time("5")) });
    let json = r#"{"instantToRollback":{"commitTime":"yesterday"}}"#;
    let error = RollbackPlan::decode(OBJECT, json.as_bytes()).unwrap_err();
    assert!(error.to_string().contains("\"yesterday\" is not an instant"), "{error}");
}

#[test]
fn plans_of_compaction_and_clustering_name_slices() {
    let slice = r#"{"baseInstantTime":"7","deltaFilePaths":[".f_7.log.1_0-0-0"],
        "dataFilePath":"f_0-0-0_7.parquet","fileId":"f","partitionPath":"p","metrics":{"a":1.0}}"#;
    let expect = FileSlice {
        partition: "p".to_owned(),
        file_id: "f".to_owned(),
        base_instant: Some(time("7")),
        base_file: Some(path("p/f_0-0-0_7.parquet")),
        logs: paths(&["p/.f_7.log.1_0-0-0"]),
    };
    let json = format!(r#"{{"operations":[{slice}],"version":2}}"#);
    let plan = CompactionPlan::decode(OBJECT, json.as_bytes()).unwrap();
    assert_eq!(plan.slices, std::slice::from_ref(&expect));
    let json = r#"{"operationType":"CLUSTER","clusteringPlan":{"inputGroups":[{"slices":[
        {"dataFilePath":"s3://b/t/p/f_0-0-0_7.parquet","deltaFilePaths":[],"fileId":"f",
        "partitionPath":"p"},{"dataFilePath":"","fileId":"g","partitionPath":""}]}]}}"#;
    let plan = ReplacePlan::decode(OBJECT, json.as_bytes()).unwrap();
    assert_eq!(plan.operation.as_deref(), Some("CLUSTER"));
    assert_eq!(plan.slices[0], FileSlice { base_instant: None, logs: Vec::new(), ..expect });
    assert_eq!((plan.slices[1].file_id.as_str(), &plan.slices[1].base_file), ("g", &None));
    // An insert-overwrite requests nothing.
    assert_eq!(ReplacePlan::decode(OBJECT, b"").unwrap(), ReplacePlan::default());
}

#[test]
fn savepoints_and_indexings_are_read() {
    let json = r#"{"savepointedBy":"x","partitionMetadata":{"p":{"partitionPath":"p",
        "savepointDataFile":["b","a"]}}}"#;
    let savepoint = SavepointMetadata::decode(OBJECT, json.as_bytes()).unwrap();
    assert_eq!(savepoint.files, paths(&["p/a", "p/b"]));
    let json = r#"{"indexPartitionInfos":[{"metadataPartitionPath":"column_stats"}]}"#;
    let indexing = IndexingMetadata::decode(OBJECT, json.as_bytes()).unwrap();
    assert_eq!(indexing.partitions, ["column_stats"]);
}

#[test]
fn a_large_commit_decodes() {
    const FILES: usize = 100_000;
    let mut json = String::from(r#"{"partitionToWriteStats":{"p":["#);
    for file in 0..FILES {
        let comma = if file == 0 { "" } else { "," };
        let stat = format!(r#"{comma}{{"fileId":"f","path":"p/{file:08}","fileSizeInBytes":1}}"#);
        json.push_str(&stat);
    }
    json.push_str("]}}");
    let metadata = CommitMetadata::decode(OBJECT, json.as_bytes()).unwrap();
    assert_eq!(metadata.writes.len(), FILES);
    assert_eq!(metadata.writes[FILES - 1].path.as_str(), "p/00099999");
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let some_decode = decode_any(&bytes).contains(&true);
        let may_decode = bytes.is_empty() || bytes.contains(&b'{') || bytes.contains(&b'[');
        prop_assert!(may_decode || !some_decode);
    }
}

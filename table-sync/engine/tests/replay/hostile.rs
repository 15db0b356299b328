//! Hostile tables end to end: what is refused, at which version, and what of it a reader sees.
//!
//! Each case either arrives whole or stops the table with a code before the version that brings
//! it; what was published before stays readable, and nothing of the rest shows.
//!
//! Source: the fault matrix, rows 12 to 14 and 18 to 21 where they concern Delta. Some of these
//! rows have more tests beside the code that they exercise: `races`, and the Delta crate's
//! `hostile` and `fuzz`.

use std::sync::Arc;

use driftless_testdata::Objects;
use driftless_testdata::builder::{
    DataFile, DeletionVector, HOSTILE_PATHS, LAST_CHECKPOINT_KEY, ODD_KEYS, TableBuilder,
    commit_key, nested_line,
};
use driftless_testdata::generate;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use serde_json::json;
use table_sync_core::{BlockCode, Planned, PlannedKind, SourceError, SourceLog as _, TableState};
use table_sync_delta::DeltaLog;
use table_sync_engine::{Level, Quiet, TargetReport, status, verify};

use crate::rig::{Rig, TABLE, put, version};

/// Versions 0 to 2, one small file each.
fn start() -> TableBuilder {
    TableBuilder::new(31).commits(3, "day", 50)
}

/// The last version of [`start`].
const LAST_GOOD: u64 = 2;

/// Publishes a table whose version 3 must be refused, twice: the second look finds the same and
/// writes nothing.
async fn check_blocked(what: &str, table: &TableBuilder, code: BlockCode) -> Rig {
    let rig = Rig::new();
    rig.feed(table.objects()).await;
    let report = rig.pass().await;
    assert_refused(what, &report, code);
    rig.oracle.assert_at(LAST_GOOD);
    assert!(!rig.replica().contains_key(&commit_key(LAST_GOOD + 1)), "{what}");
    let before = rig.replica();
    assert_refused(what, &rig.pass().await, code);
    assert_eq!(rig.replica(), before, "{what}: the second pass wrote");
    rig
}

#[track_caller]
fn assert_refused(what: &str, report: &TargetReport, code: BlockCode) {
    let Some(blocked) = &report.blocked else { panic!("{what}: not blocked: {report:?}") };
    assert_eq!(blocked.code, code, "{what}: {blocked}");
    assert_eq!(blocked.position, Some(version(LAST_GOOD + 1)), "{what}: {blocked}");
    assert_eq!(report.head, Some(version(LAST_GOOD)), "{what}");
    for secret in ["user:pw", "169.254", "passwd"] {
        assert!(!blocked.message.contains(secret), "{what}: {blocked}");
    }
}

/// Publishes a table that must arrive whole: every file byte for byte, the same live set.
async fn check_published(what: &str, table: &TableBuilder) -> Rig {
    let rig = Rig::new();
    rig.feed(table.objects()).await;
    let report = rig.pass().await;
    assert!(report.blocked.is_none() && report.failure.is_none(), "{what}: {report:?}");
    assert_eq!(report.head, Some(version(table.version())), "{what}");
    rig.oracle.assert_at(table.version());
    let replica = rig.replica();
    for key in table.publish_objects(table.version()) {
        assert_eq!(replica.get(&key), table.objects().get(&key), "{what}: {key:?}");
    }
    assert_same_live_set(what, &rig, table.version()).await;
    rig
}

async fn assert_same_live_set(what: &str, rig: &Rig, at: u64) {
    let source = rig.source.log.observe(None).await.unwrap();
    let target = rig.target.reader.observe(None).await.unwrap();
    let source = rig.source.log.live_digest(&source, version(at)).await.unwrap();
    let target = rig.target.reader.live_digest(&target, version(at)).await.unwrap();
    assert_eq!(source, target, "{what}");
}

/// An `add` whose size is written as it stands.
fn add_line(path: &str, size: &str) -> String {
    let rest = r#""partitionValues":{},"modificationTime":1,"dataChange":true"#;
    format!(r#"{{"add":{{"path":{},"size":{size},{rest}}}}}"#, json!(path))
}

// Row 12: a restore is a normal version.
#[tokio::test(start_paused = true)]
async fn row_12_a_restore_is_a_version_like_any_other() {
    let table = start()
        .commit(|c| c.remove("day-0").remove("day-1"))
        .commit(|c| c.operation("RESTORE").add("day-0", 50).add("day-1", 50).remove("day-2"));
    check_published("restore", &table).await;
}

// Row 12: a history that was rolled back, or begun anew, is another history.
#[tokio::test(start_paused = true)]
async fn row_12_a_true_rollback_is_rewound_and_the_old_snapshot_stays() {
    type Change = fn(TableBuilder) -> TableBuilder;
    let cases: [(&str, Change); 4] = [
        ("rolled back", |t| t.roll_back_to(1)),
        ("rolled back and level again", |t| t.roll_back_to(1).commits(1, "other", 9)),
        ("rolled back and gone on", |t| t.roll_back_to(1).commits(4, "other", 9)),
        ("dropped and created", |t| t.recreate().commits(5, "other", 9)),
    ];
    for (what, change) in cases {
        let rig = Rig::new();
        rig.feed(start().objects()).await;
        rig.pass().await;
        let before = rig.replica();
        rig.replace_source(change(start()).objects()).await;
        let report = rig.pass().await;
        let code = report.blocked.as_ref().map(|blocked| blocked.code);
        let known = [BlockCode::Rewound, BlockCode::CommitRewritten];
        assert!(code.is_some_and(|code| known.contains(&code)), "{what}: {report:?}");
        assert_eq!(report.head, Some(version(LAST_GOOD)), "{what}");
        assert_eq!(rig.replica(), before, "{what}");
    }
}

// Row 12: where only commits below the head were replaced, a pass, which compares heads, has
// nothing to do; verification reads every commit and says which ones differ.
#[tokio::test(start_paused = true)]
async fn row_12_history_replaced_below_the_head_is_found_by_verification() {
    let rig = Rig::new();
    rig.feed(start().objects()).await;
    rig.pass().await;
    let before = rig.replica();
    let mixed = start().recreate_over_leftovers(2).commits(2, "other", 9);
    let old_head = start().objects()[&commit_key(2)].clone();
    rig.replace_source(mixed.put_object(&commit_key(2), old_head).objects()).await;
    let report = rig.pass().await;
    assert_eq!((report.state, report.published.len()), (TableState::Ok, 0));
    assert_eq!(rig.replica(), before);
    let found = verify(&rig.source, &rig.target, Level::Log, None, &Quiet).await.unwrap();
    let keys: Vec<_> = found.differences.iter().map(|found| found.key.as_str()).collect();
    assert_eq!(keys, ["commit 0", "commit 1"]);
}

// Row 13: a last line without its newline is whole; what follows the cut is not made up.
#[tokio::test(start_paused = true)]
async fn row_13_a_missing_last_newline_is_no_damage() {
    let table = start().commit(|c| c.add("a", 5));
    let key = commit_key(3);
    let bytes = table.objects()[&key].len();
    let rig = check_published("no newline", &table.truncate(&key, bytes - 1)).await;
    assert_eq!(rig.replica()[&key].len(), bytes - 1);
}

// Row 13: an old commit that is empty, blank, half, or no JSON is called damage.
#[tokio::test(start_paused = true)]
async fn row_13_a_commit_that_stays_unreadable_blocks() {
    let good = start().commit(|c| c.add("a", 5));
    let half = good.objects()[&commit_key(3)].slice(..60);
    let bodies: [(&str, &[u8]); 6] = [
        ("empty", b""),
        ("half", &half),
        ("no JSON", b"PAR1 not a log\n"),
        ("array", b"[{\"add\":{\"path\":\"a\",\"size\":1}}]\n"),
        ("form", b"{\"add\":{\"path\":7}}\n"),
        ("not text", b"{\"add\":{\"path\":\"\xff\xfe\",\"size\":1}}\n"),
    ];
    for (what, body) in bodies {
        let rig = Rig { options: later(), ..Rig::new() };
        rig.feed(start().objects()).await;
        let bad: Objects = [(commit_key(3), body.to_vec().into())].into();
        put(&rig.source_store, TABLE, &bad).await;
        assert_refused(what, &rig.pass().await, BlockCode::CommitDamaged);
        rig.oracle.assert_at(LAST_GOOD);
    }
}

/// Options under which every object is old.
fn later() -> table_sync_engine::Options {
    table_sync_engine::Options {
        commit_settle: std::time::Duration::ZERO,
        ..table_sync_engine::Options::default()
    }
}

// Row 14: what is staged was never committed.
#[tokio::test(start_paused = true)]
async fn row_14_a_staged_commit_is_no_commit() {
    let table = start().staged_commit(|c| c.add("staged", 10));
    let rig = check_published("staged", &table).await;
    assert!(rig.replica().keys().all(|key| !key.contains("staged")), "{:?}", rig.replica());
    check_published("staged, then ratified", &table.commit(|c| c.add("other", 1))).await;
}

// Row 14: the feature that nobody knows is named to the person who must act.
#[tokio::test(start_paused = true)]
async fn row_14_an_unknown_reader_feature_is_named() {
    let table = start().unknown_reader_feature("timeWarp").commits(1, "x", 1);
    let code = BlockCode::UnsupportedReaderFeature;
    let rig = check_blocked("feature", &table, code).await;
    let message = rig.pass().await.blocked.unwrap().message;
    assert!(message.contains("timeWarp"), "{message}");
}

// Row 18: every hostile path, in every action that names a file.
#[tokio::test(start_paused = true)]
async fn row_18_no_path_leaves_the_root() {
    for path in HOSTILE_PATHS {
        let names = [
            ("add", add_line(path, "1")),
            ("remove", json!({"remove": {"path": path, "dataChange": true}}).to_string()),
            ("cdc", json!({"cdc": {"path": path, "size": 1, "dataChange": false}}).to_string()),
            ("vector", vector_line("p", path)),
        ];
        for (name, line) in names {
            let table = start().commit(|c| c.add("good", 5).raw_line(&line));
            let what = format!("{name} of {path:?}");
            let rig = check_blocked(&what, &table, BlockCode::ForeignPath).await;
            assert!(!rig.replica().contains_key("good"), "{what}: a file of the version moved");
        }
    }
}

fn vector_line(storage_type: &str, value: &str) -> String {
    json!({"add": {
        "path": "day-0",
        "partitionValues": {},
        "size": 50,
        "modificationTime": 1,
        "dataChange": true,
        "deletionVector": {
            "storageType": storage_type,
            "pathOrInlineDv": value,
            "offset": 1,
            "sizeInBytes": 34,
            "cardinality": 1,
        },
    }})
    .to_string()
}

// Row 18: a base is checked as a commit is, before anything of it is visible.
#[tokio::test(start_paused = true)]
async fn row_18_no_path_of_a_checkpoint_leaves_the_root() {
    for path in HOSTILE_PATHS {
        let file = DataFile::at_path(path, 1);
        let table = start().commit(|c| c.add_file(file)).checkpoint_classic(3).clean_log_below(3);
        let good = start().commit(|c| c.add("b", 1)).objects()[&commit_key(3)].clone();
        let rig = Rig::new();
        rig.feed(table.put_object(&commit_key(3), good).objects()).await;
        let report = rig.pass().await;
        let code = report.blocked.as_ref().map(|blocked| blocked.code);
        assert_eq!(code, Some(BlockCode::ForeignPath), "{path:?}: {report:?}");
        assert_eq!(report.head, None, "{path:?}");
        assert!(rig.replica().keys().all(|key| !key.ends_with(".json")), "{path:?}");
        rig.oracle.assert_clean();
    }
}

// Row 18: the hint is the one log object that names another without a commit's authority.
#[tokio::test(start_paused = true)]
async fn row_18_a_hostile_hint_is_never_followed() {
    let v2 = |path: &str| {
        json!({"version": 1, "size": 3, "v2Checkpoint": {
            "path": path, "sizeInBytes": 5, "modificationTime": 6,
            "sidecarFiles": [{"path": path, "sizeInBytes": 1, "modificationTime": 1}],
        }})
        .to_string()
    };
    let mut bodies: Vec<String> = HOSTILE_PATHS.iter().map(|path| v2(path)).collect();
    bodies.extend([
        String::new(),
        "{".to_owned(),
        "null".to_owned(),
        r#"{"version":1,"size":1}"#.to_owned(),
        r#"{"version":18446744073709551615,"size":-1,"parts":4294967295}"#.to_owned(),
        r#"{"version":1e400}"#.to_owned(),
        "[".repeat(100_000),
        "x".repeat(5 << 20),
    ]);
    for body in bodies {
        let table = start().put_object(LAST_CHECKPOINT_KEY, body.clone());
        let rig = Rig::new();
        rig.feed(table.objects()).await;
        let report = rig.pass().await;
        let what: String = body.chars().take(120).collect();
        assert_eq!(report.head, Some(version(LAST_GOOD)), "{what}: {report:?}");
        assert!(!rig.replica().contains_key(LAST_CHECKPOINT_KEY), "{what}: the hint dangles");
        rig.oracle.assert_at(LAST_GOOD);
    }
}

// Row 19: twins of normal form, case and encoding are as many files as they are keys.
#[tokio::test(start_paused = true)]
async fn row_19_odd_keys_arrive_byte_for_byte() {
    let all = start().commit(|c| {
        for (at, key) in ODD_KEYS.iter().enumerate() {
            c.add(key, 10 + at as u64);
        }
        c
    });
    let rig = check_published("all", &all).await;
    for key in ODD_KEYS {
        assert_eq!(rig.replica().get(*key), all.objects().get(*key), "{key:?}");
    }
    // And again as folders, by way of a checkpoint.
    let folders = start().commit(|c| {
        for key in ODD_KEYS {
            c.add(&format!("dir/{key}/part-0"), 3).add(&format!("{key}.d/part-0"), 4);
        }
        c
    });
    let folders = folders.checkpoint_classic(3).last_checkpoint(3).clean_log_below(3);
    check_published("folders", &folders).await;
}

// Row 19: an escape of an escape is one name, decoded once.
#[tokio::test(start_paused = true)]
async fn row_19_paths_encoded_twice_are_decoded_once() {
    let key = "p=50%25/letter=%2F%2520/part-0";
    let path = "p=50%2525/letter=%252F%252520/part-0";
    let table =
        start().commit(|c| c.add_file(DataFile::at_path(path, 3)).object(key, b"abc".as_slice()));
    let rig = check_published("twice", &table).await;
    assert_eq!(rig.replica()[key].as_ref(), b"abc");
}

// Row 19: a key that no store can hold is refused, the longest one that they can is not.
#[tokio::test(start_paused = true)]
async fn row_19_overlong_keys_are_refused() {
    // Stores count the whole key, with the table's own path.
    let longest = 1_024 - TABLE.len() - 1;
    for (bytes, fits) in [(longest, true), (1_025, false), (70_000, false)] {
        let key = format!("{}/x", "a".repeat(bytes - 2));
        let file = DataFile::at_path(&key, 3);
        let table = start().commit(|c| c.add_file(file).object(&key, b"abc".as_slice()));
        if fits {
            check_published("longest", &table).await;
        } else {
            // No store takes such an object, so only the log has it.
            let table = table.delete_object(&key);
            check_blocked("too long", &table, BlockCode::ForeignPath).await;
        }
    }
    // 342 letters of three bytes: the limit counts bytes.
    let wide = "\u{20ac}".repeat(342);
    let table = start().commit(|c| c.add_file(DataFile::at_path(&wide, 3)));
    check_blocked("wide letters", &table, BlockCode::ForeignPath).await;
}

// Row 20: nesting is bounded wherever it hides.
#[tokio::test(start_paused = true)]
async fn row_20_deep_nesting_is_a_limit() {
    let deep = nested_line(100_000);
    let table = start().commit(|c| c.raw_line(&deep));
    check_blocked("unknown action", &table, BlockCode::LimitExceeded).await;
    let (open, close) = ("{\"a\":".repeat(200), "}".repeat(200));
    let info = format!("{{\"commitInfo\":{{\"operationParameters\":{open}1{close}}}}}");
    let table = start().commit(|c| c.raw_line(&info));
    check_blocked("commitInfo", &table, BlockCode::LimitExceeded).await;
    let fine = nested_line(120);
    check_published("deep but fine", &start().commit(|c| c.raw_line(&fine).add("a", 1))).await;
}

// Row 20: a checkpoint that unfolds to 500 MB of statistics costs its small columns.
#[tokio::test(start_paused = true)]
async fn row_20_a_checkpoint_bomb_is_read_in_bounds() {
    let mut table = start().checkpoint_bomb(2, 1_000, 500_000).clean_log_below(2);
    for at in 0..1_000 {
        table = table.put_object(&format!("bomb-{at}"), "x");
    }
    let rig = Rig::new();
    rig.feed(table.objects()).await;
    let report = rig.pass().await;
    assert_eq!(report.published, [version(2)], "{report:?}");
    assert_eq!(report.copied_files, 1_001);
    rig.oracle.assert_at(2);
}

// Row 20: sidecars that name sidecars are no base; with commits there is another way in.
#[tokio::test(start_paused = true)]
async fn row_20_recursive_sidecars_are_not_followed() {
    let table = start().feature("v2Checkpoint").commits(1, "x", 1).sidecar_loop(3);
    let rig = Rig::new();
    rig.feed(table.objects()).await;
    // A checkpoint that turns out to be none costs the first pass its position, not the table.
    rig.pass().await;
    let report = rig.pass().await;
    assert_eq!((report.head, report.state), (Some(version(3)), TableState::Ok), "{report:?}");
    assert!(rig.replica().keys().all(|key| !key.contains("_sidecars")));
    rig.oracle.assert_at(3);
    let rig = Rig::new();
    rig.feed(table.clean_log_below(3).objects()).await;
    let report = rig.pass().await;
    let code = report.blocked.as_ref().map(|blocked| blocked.code);
    assert_eq!((code, report.head), (Some(BlockCode::HistoryLost), None), "{report:?}");
    assert!(rig.replica().is_empty());
}

// Row 20: many actions in one commit stream through.
#[tokio::test(start_paused = true)]
async fn row_20_a_commit_of_many_actions_is_published() {
    let line = add_line("day-0", "50");
    let table = start().commit(|c| {
        for _ in 0..20_000 {
            c.raw_line(&line);
        }
        c
    });
    let rig = check_published("many", &table).await;
    assert_eq!(rig.pass().await.copied_files, 0);
}

// Row 21: a descriptor that does not decode stops its version.
#[tokio::test(start_paused = true)]
async fn row_21_invalid_deletion_vectors_stop_their_version() {
    let cases = [
        ("u", "short"),
        ("u", "^-aqEH.-t@S}K{vb[*k~"),
        ("u", "####################"),
        ("u", "../up^-aqEH.-t@S}K{vb[*k^"),
        ("u", "/abs^-aqEH.-t@S}K{vb[*k^"),
        ("u", "a//b^-aqEH.-t@S}K{vb[*k^"),
        ("z", "^-aqEH.-t@S}K{vb[*k^"),
        ("", ""),
    ];
    for (storage_type, value) in cases {
        let line = vector_line(storage_type, value);
        let table = start().commit(|c| c.raw_line(&line));
        check_blocked(&line, &table, BlockCode::ForeignPath).await;
    }
    // A descriptor that decodes to a file that is not there is a file that is not there.
    let table = start().commit(|c| c.raw_line(&vector_line("u", "^-aqEH.-t@S}K{vb[*k^")));
    check_blocked("gone", &table, BlockCode::SourceDamaged).await;
}

// Row 21: sizes that no object has.
#[tokio::test(start_paused = true)]
async fn row_21_impossible_sizes_are_damage_at_the_source() {
    for size in [-1, i64::MIN, i64::MAX, 0, 49, 51] {
        let table = start().commit(|c| c.add_file(DataFile::new("a", 50).logged_size(size)));
        let rig = check_blocked(&size.to_string(), &table, BlockCode::SourceDamaged).await;
        assert!(!rig.replica().contains_key("a") || size >= 0, "{size}");
    }
    for size in ["9223372036854775808", "1.5", "\"50\"", "1e400"] {
        let rig = Rig { options: later(), ..Rig::new() };
        let line = add_line("day-0", size);
        let bad = start().commit(|c| c.raw_line(&line)).objects()[&commit_key(3)].clone();
        rig.feed(start().objects()).await;
        let bad: Objects = [(commit_key(3), bad)].into();
        put(&rig.source_store, TABLE, &bad).await;
        assert_refused(size, &rig.pass().await, BlockCode::CommitDamaged);
        rig.oracle.assert_at(LAST_GOOD);
    }
}

// Row 21: numbers at their edges that mean nothing to a byte copy are carried.
#[tokio::test(start_paused = true)]
async fn row_21_extreme_numbers_are_carried_or_refused_and_never_overflow() {
    for number in [i64::MIN, -1, 0, i64::MAX] {
        let table = start().in_commit_timestamps().commit(|c| {
            let mut add = json!({"add": {
                "path": "day-1", "partitionValues": {}, "size": 50, "dataChange": true,
                "modificationTime": number, "baseRowId": number,
                "defaultRowCommitVersion": number,
            }});
            add["add"]["stats"] = json!({"numRecords": number}).to_string().into();
            c.info("inCommitTimestamp", number.into()).info("timestamp", number.into());
            c.txn("app", number.unsigned_abs()).action(add)
        });
        let rig = check_published(&number.to_string(), &table).await;
        let table = table.commits(1, "next", 4);
        rig.feed(table.objects()).await;
        let targets = std::slice::from_ref(&rig.target);
        let status = status(&rig.source, targets, &rig.options, Arc::new(Quiet)).await;
        assert_eq!(status[0].head, Some(version(3)), "{number}");
        assert_eq!(rig.pass().await.head, Some(version(4)), "{number}");
    }
    for reader in ["-9223372036854775808", "0", "4", "9223372036854775807"] {
        let writer = i64::MAX;
        let versions = format!(r#""minReaderVersion":{reader},"minWriterVersion":{writer}"#);
        let line = format!(r#"{{"protocol":{{{versions}}}}}"#);
        let table = start().commit(|c| c.raw_line(&line));
        check_blocked(reader, &table, BlockCode::UnsupportedVersion).await;
    }
}

// Row 21: version numbers at their edges.
#[tokio::test(start_paused = true)]
async fn row_21_the_largest_version_is_a_hole_and_no_overflow() {
    for name in ["18446744073709551615.json", "18446744073709551614.json"] {
        let key = format!("_delta_log/{name}");
        let table = start();
        let stray = table.objects()[&commit_key(2)].clone();
        let rig = Rig::new();
        rig.feed(table.put_object(&key, stray).objects()).await;
        let report = rig.pass().await;
        let code = report.blocked.as_ref().map(|blocked| blocked.code);
        assert_eq!(code, Some(BlockCode::HistoryLost), "{name}: {report:?}");
        assert_eq!(report.head, Some(version(LAST_GOOD)), "{name}");
        rig.oracle.assert_at(LAST_GOOD);
    }
    // Names that are no versions are no part of the log.
    let stray = start().put_object("_delta_log/99999999999999999999.json", "{}");
    check_published("no version", &stray.put_object("_delta_log/-0000000000000000001.json", "{}"))
        .await;
}

// Row 21: actions that repeat or contradict each other are the source's own, and carried whole.
#[tokio::test(start_paused = true)]
async fn row_21_repeated_and_contradicting_actions_are_carried() {
    let add = add_line("day-1", "50");
    let remove = r#"{"remove":{"path":"day-1","dataChange":true,"deletionTimestamp":1}}"#;
    let vector = |rows| DeletionVector::inline(rows);
    let table = start()
        .commit(|c| c.raw_line(&add).raw_line(&add))
        .commit(|c| c.raw_line(remove).raw_line(remove))
        .commit(|c| c.raw_line(remove).raw_line(&add))
        .commit(|c| c.add("new", 7).add("new", 7).remove("never-there"))
        .commit(|c| c.delete_rows("new", vector(3)))
        .commit(|c| c.delete_rows("new", vector(2)).txn("a", 1).txn("a", 2));
    check_published("repeated", &table).await;
    check_published("checkpointed", &table.checkpoint_classic(8).clean_log_below(8)).await;
}

// Row 21: readers disagree on a commit that adds and removes one file, the copy takes no side.
#[tokio::test(start_paused = true)]
async fn row_21_a_commit_that_adds_and_removes_one_file_is_carried() {
    let add = add_line("day-1", "50");
    let remove = r#"{"remove":{"path":"day-1","dataChange":true,"deletionTimestamp":1}}"#;
    for lines in [[add.as_str(), remove], [remove, add.as_str()]] {
        let table = start().commit(|c| c.raw_line(lines[0]).raw_line(lines[1]));
        check_published(lines[0], &table).await;
    }
}

// Row 21: one object that names the same action twice has no agreed meaning.
#[tokio::test(start_paused = true)]
async fn row_21_an_action_named_twice_in_one_object_is_damage() {
    let rig = Rig { options: later(), ..Rig::new() };
    let line = r#"{"add":{"path":"day-0","size":50},"add":{"path":"day-1","size":50}}"#;
    let bad = start().commit(|c| c.raw_line(line)).objects()[&commit_key(3)].clone();
    rig.feed(start().objects()).await;
    let bad: Objects = [(commit_key(3), bad)].into();
    put(&rig.source_store, TABLE, &bad).await;
    assert_refused("twice", &rig.pass().await, BlockCode::CommitDamaged);
    rig.oracle.assert_at(LAST_GOOD);
}

/// Peak of this process's memory, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Bytes of the long line; the sweep takes the size that the matrix names.
fn long_line_bytes() -> u64 {
    if std::env::var_os("DRIFTLESS_SOAK").is_some() { 1 << 30 } else { 300 << 20 }
}

/// What the child of [`row_20_a_gigantic_line_costs_bounded_memory`] does: nothing by itself.
#[tokio::test]
#[ignore = "run by its parent, in a process of its own"]
async fn a_gigantic_line_in_this_process() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join(TABLE);
    let options = generate::Options::default();
    generate::long_line(&table, long_line_bytes(), &options).unwrap();
    let before_kib = peak_kib();
    let store: Arc<dyn ObjectStore> =
        Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap());
    let spool_dir = folder.path().to_owned();
    let options = table_sync_delta::Options { spool_dir, ..table_sync_delta::Options::default() };
    let log = DeltaLog::new(Arc::clone(&store), TABLE, options).unwrap();
    // Version 1 is looked at as a commit that follows what is published, and as a part of the
    // table's own state.
    let view = log.observe(None).await.unwrap();
    let planned = Planned { position: version(1), kind: PlannedKind::Append };
    let refused = log.describe(&view, &planned).await.unwrap_err();
    let limit = |error: &SourceError| {
        matches!(error, SourceError::Blocked(blocked) if blocked.code == BlockCode::LimitExceeded
            && blocked.position == Some(version(1)))
    };
    assert!(limit(&refused), "{refused:?}");
    let refused = log.live_digest(&view, version(1)).await.unwrap_err();
    assert!(limit(&refused), "{refused:?}");
    println!("PEAK_KIB {}", peak_kib().saturating_sub(before_kib));
}

// Row 20: a line of any length costs at most a few times the limit of a line.
#[test]
#[cfg(target_os = "linux")]
fn row_20_a_gigantic_line_costs_bounded_memory() {
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "hostile::a_gigantic_line_in_this_process", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{output}\n{}", String::from_utf8_lossy(&child.stderr));
    let peak = output.lines().find_map(|line| line.strip_prefix("PEAK_KIB ")).unwrap();
    let peak_kib: u64 = peak.parse().unwrap();
    println!("a line of {} MiB cost {} MiB", long_line_bytes() >> 20, peak_kib >> 10);
    assert!(peak_kib <= 200 << 10, "{peak_kib} KiB for one line");
}

//! The table builder is consistent with itself: objects, commits and checkpoints agree.
//!
//! The comparison reads the objects back: commits through JSON, checkpoints through Parquet.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// A failing random test names its seed on standard output.
#![allow(clippy::print_stdout)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, StructArray};
use bytes::Bytes;
use driftless_testdata::Objects;
use driftless_testdata::builder::{
    DataFile, DeletionVector, HOSTILE_PATHS, LAST_CHECKPOINT_KEY, ODD_KEYS, TableBuilder,
    commit_key, nested_line, put_objects, write_objects,
};
use driftless_testdata::generate::{Options, commit_of, copy_set, long_line, million};
use driftless_testdata::models;
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

/// Live files: (log path, unique id of the deletion vector) to size.
type Live = BTreeMap<(String, String), i64>;

/// A history of every action, with partitions, vectors of each kind, and files that come back.
fn table(seed: u64) -> TableBuilder {
    let features = ["deletionVectors", "v2Checkpoint"];
    TableBuilder::new(seed)
        .protocol(3, 7, &features, &features)
        .metadata(|m| {
            m.name("t").partitioned_by(&["p"]).property("delta.enableChangeDataFeed", "true")
        })
        .commit(|c| c.add("part-0", 100).add("part-1", 0).add("a b%20c", 33))
        .commit(|c| {
            c.add_partitioned(&[("p", "50%")], "x.parquet", 70)
                .add_file(DataFile::partitioned(&[("p", None)], "n.parquet", 5).stats(11))
                .add_dv("part-2", 10, DeletionVector::inline(3))
                .cdc("cdc-1", 12)
        })
        .commit(|c| {
            c.delete_rows("part-0", DeletionVector::prefixed("dv", 0, 2))
                .delete_rows("part-1", DeletionVector::prefixed("dv", 0, 9))
                .delete_rows("part-2", DeletionVector::relative(0, 4))
                .txn("app", 4)
                .domain("d", "{}")
                .domain("gone", "{}")
        })
        .commit(|c| {
            c.remove("a b%20c")
                .remove_domain("gone")
                .add_file(DataFile::new("tracked", 4).row_tracking(1_000, 3))
                .add_absolute("gs://other/part-9", 44)
                .raw_line(r#"{"surprise":{"x":1}}"#)
        })
        .commit(|c| c.add("a b%20c", 33).operation("RESTORE"))
}

/// Replays the commit objects `0..=version`: the test's own reading.
fn replayed(objects: &Objects, version: u64) -> Live {
    let mut live = Live::new();
    for version in 0..=version {
        let log = std::str::from_utf8(&objects[&commit_key(version)]).unwrap();
        for line in log.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            if let Some(add) = line.get("add") {
                live.insert(json_key(add), add["size"].as_i64().unwrap());
            } else if let Some(remove) = line.get("remove") {
                live.remove(&json_key(remove));
            }
        }
    }
    live
}

fn json_key(body: &Value) -> (String, String) {
    let vector = &body["deletionVector"];
    let id = vector["storageType"].as_str().map_or_else(String::new, |kind| {
        let offset = vector["offset"].as_i64();
        unique_id(kind, vector["pathOrInlineDv"].as_str().unwrap(), offset)
    });
    (body["path"].as_str().unwrap().to_owned(), id)
}

fn unique_id(kind: &str, path: &str, offset: Option<i64>) -> String {
    format!("{kind}{path}{}", offset.map_or_else(String::new, |offset| format!("@{offset}")))
}

/// The live files of the Parquet files `keys`.
fn checkpointed<'a>(objects: &Objects, keys: impl IntoIterator<Item = &'a String>) -> Live {
    let mut live = Live::new();
    for key in keys {
        read_adds(objects[key].clone(), &mut live);
    }
    live
}

fn read_adds(file: Bytes, live: &mut Live) {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    for batch in reader {
        let batch = batch.unwrap();
        let add = batch.column_by_name("add").unwrap().as_struct();
        let column = |name: &str| add.column_by_name(name).unwrap();
        let paths = column("path").as_string::<i32>();
        let sizes = column("size").as_primitive::<Int64Type>();
        let vectors = column("deletionVector").as_struct();
        for row in (0..add.len()).filter(|&row| add.is_valid(row)) {
            let id = vector_id(vectors, row);
            let key = (paths.value(row).to_owned(), id);
            assert!(live.insert(key, sizes.value(row)).is_none(), "an add twice");
        }
    }
}

fn vector_id(vectors: &StructArray, row: usize) -> String {
    if vectors.is_null(row) {
        return String::new();
    }
    let text = |name: &str| vectors.column_by_name(name).unwrap().as_string::<i32>().value(row);
    let offsets = vectors.column_by_name("offset").unwrap().as_primitive::<Int32Type>();
    let offset = offsets.is_valid(row).then(|| i64::from(offsets.value(row)));
    unique_id(text("storageType"), text("pathOrInlineDv"), offset)
}

fn keys<'a>(objects: &'a Objects, part: &'a str) -> Vec<&'a String> {
    objects.keys().filter(|key| key.contains(part)).collect()
}

#[test]
fn every_live_file_is_there_with_its_size() {
    let table = table(1);
    for version in 0..=table.version() {
        let files = table.live_files(version);
        assert!(!files.is_empty());
        for file in files {
            let Some(key) = file.key else {
                assert_eq!(file.path, "gs://other/part-9");
                continue;
            };
            assert_eq!(table.objects()[&key].len() as i64, file.size, "{key}");
        }
        for key in table.publish_objects(version) {
            assert!(table.objects().contains_key(&key), "{key}");
        }
    }
    let objects = table.publish_objects(1);
    assert!(objects.contains("_change_data/cdc-1"));
    assert!(objects.contains("p=50%25/x.parquet"));
    assert!(!table.publish_objects(2).contains("_change_data/cdc-1"));
}

#[test]
fn vectors_point_at_their_bitmaps() {
    let table = table(2);
    let vectors: Vec<Value> =
        table.live_files(2).into_iter().filter_map(|file| file.vector).collect();
    assert_eq!(vectors.len(), 3);
    let files: BTreeSet<String> = table
        .snapshot_objects(2)
        .into_iter()
        .filter(|key| key.contains("deletion_vector_"))
        .collect();
    assert_eq!(files.len(), 2, "two of the three vectors share a file");
    let mut found = 0;
    for key in files {
        let bytes = &table.objects()[&key];
        for vector in &vectors {
            let at = vector["offset"].as_u64().unwrap() as usize;
            let size = vector["sizeInBytes"].as_u64().unwrap() as usize;
            let entry = bytes.get(at..at + 4 + size + 4);
            let Some(entry) = entry else { continue };
            let sized = entry[..4] == u32::try_from(size).unwrap().to_be_bytes();
            let magic = entry[4..8] == 1_681_511_377_u32.to_le_bytes();
            found += usize::from(sized && magic);
        }
    }
    assert!(found >= 3, "{found} of 3 vectors were found at their offsets");
}

#[test]
fn checkpoints_equal_the_replay_of_commits() {
    let base = table(3);
    for version in 0..=base.version() {
        let expect = replayed(base.objects(), version);
        assert_eq!(base.live_files(version).len(), expect.len());
        let check = |table: TableBuilder, part: &str| {
            let objects = table.objects();
            let found = keys(objects, part);
            assert!(!found.is_empty(), "no object with {part}");
            assert_eq!(checkpointed(objects, found), expect, "{part} at version {version}");
        };
        check(base.clone().checkpoint_classic(version), ".checkpoint.parquet");
        check(base.clone().checkpoint_multipart(version, 3), ".0000000003.parquet");
        check(base.clone().checkpoint_multipart(version, 50), ".0000000050.parquet");
        check(base.clone().checkpoint_v2_parquet(version, 0), ".checkpoint.");
        check(base.clone().checkpoint_v2_parquet(version, 2), "_sidecars/");
        check(base.clone().checkpoint_v2_json(version, 2), "_sidecars/");
        check(base.clone().checkpoint_v2_classic_name(version, 1), "_sidecars/");
    }
}

/// The reader models share no code with the builder.
#[test]
fn reader_models_open_what_was_built() {
    let base = table(14);
    let last = base.version();
    for (name, table) in [
        ("commits", base.clone()),
        ("classic", base.clone().checkpoint_classic(last)),
        ("multi-part", base.clone().checkpoint_multipart(last, 3)),
        ("v2 json", base.clone().checkpoint_v2_json(last, 2)),
        ("v2 parquet", base.clone().checkpoint_v2_parquet(last, 2)),
        ("v2 inline", base.clone().checkpoint_v2_parquet(last, 0)),
        ("v2 classic name", base.clone().checkpoint_v2_classic_name(last, 2)),
    ] {
        let table = if name == "commits" {
            table
        } else {
            table.last_checkpoint(last).clean_log_below(last)
        };
        let files = table.live_files(last).into_iter();
        let expect: BTreeSet<(String, i64, bool)> = files
            .map(|file| (file.key.unwrap_or(file.path), file.size, file.vector.is_some()))
            .collect();
        let table = table.commit(|c| c).stray_files();
        for (reader, opened) in [
            ("spark", models::spark(table.objects())),
            ("trino", models::trino(table.objects())),
            ("kernel", models::kernel(table.objects())),
        ] {
            let opened = opened.unwrap_or_else(|error| panic!("{reader}, {name}: {error}"));
            let files = opened.files.into_iter();
            let found: BTreeSet<_> =
                files.map(|file| (file.path, file.size, file.dv.is_some())).collect();
            assert_eq!(opened.version, last + 1, "{reader}, {name}");
            assert_eq!(found, expect, "{reader}, {name}");
        }
    }
}

#[test]
fn v2_manifest_names_its_sidecars_with_their_sizes() {
    let table = table(4).checkpoint_v2_json(4, 3).last_checkpoint(4);
    let objects = table.objects();
    let manifest = keys(objects, ".checkpoint.")[0];
    let lines: Vec<Value> = std::str::from_utf8(&objects[manifest])
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["checkpointMetadata"]["version"], 4);
    let sidecars: Vec<&Value> = lines.iter().filter_map(|line| line.get("sidecar")).collect();
    assert_eq!(sidecars.len(), 3);
    for sidecar in sidecars {
        let key = format!("_delta_log/_sidecars/{}", sidecar["path"].as_str().unwrap());
        assert_eq!(objects[&key].len() as u64, sidecar["sizeInBytes"]);
    }
    assert!(lines.iter().any(|line| line["txn"]["appId"] == "app"));
    assert!(!lines.iter().any(|line| line["domainMetadata"]["domain"] == "gone"));
    let hint: Value = serde_json::from_slice(&objects[LAST_CHECKPOINT_KEY]).unwrap();
    assert_eq!(format!("_delta_log/{}", hint["v2Checkpoint"]["path"].as_str().unwrap()), *manifest);
}

#[test]
fn hint_follows_the_kind_of_checkpoint() {
    let hint = |table: TableBuilder| -> Value {
        serde_json::from_slice(&table.last_checkpoint(4).objects()[LAST_CHECKPOINT_KEY]).unwrap()
    };
    assert_eq!(hint(table(5).checkpoint_multipart(4, 2))["parts"], 2);
    let classic = hint(table(5).checkpoint_classic(4));
    assert_eq!(classic["version"], 4);
    assert_eq!(classic["parts"], Value::Null);
    assert!(classic["size"].as_u64().unwrap() > 8);
    assert_eq!(hint(table(5))["version"], 4, "a dangling hint names the version all the same");
}

#[test]
fn checksum_and_compacted_log_equal_the_replay() {
    let table = table(6).crc(4).compacted(1, 3);
    let objects = table.objects();
    let expect = replayed(objects, 4);
    let crc: Value = serde_json::from_slice(&objects[keys(objects, ".crc")[0]]).unwrap();
    assert_eq!(crc["numFiles"], expect.len());
    assert_eq!(crc["tableSizeBytes"], expect.values().sum::<i64>());
    assert_eq!(crc["protocol"]["minReaderVersion"], 3);

    // A log of 0, the compacted 1..3, and 4 gives the same table.
    let mut short = Objects::new();
    let compacted = objects[keys(objects, ".compacted.json")[0]].clone();
    short.insert(commit_key(0), objects[&commit_key(0)].clone());
    short.insert(commit_key(1), compacted);
    short.insert(commit_key(2), objects[&commit_key(4)].clone());
    assert_eq!(replayed(&short, 2), expect);
}

/// Every step that the builder has, for the comparison of bytes.
fn all_steps(seed: u64) -> Objects {
    table(seed)
        .checkpoint_classic(2)
        .checkpoint_multipart(3, 2)
        .checkpoint_v2_json(4, 2)
        .checkpoint_v2_parquet(4, 2)
        .crc(4)
        .compacted(0, 4)
        .last_checkpoint(4)
        .stray_files()
        .in_commit_timestamps()
        .commits(3, "more", 9)
        .redirect()
        .adaptive_metadata()
        .staged_commit(|c| c.add("staged", 3))
        .commit(|c| c)
        .build()
}

#[test]
fn one_seed_gives_one_table() {
    for _ in 0..5 {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        assert_eq!(all_steps(seed), all_steps(seed));
        let other = all_steps(seed.wrapping_add(1));
        assert_ne!(all_steps(seed)[&commit_key(0)], other[&commit_key(0)]);
        assert_ne!(all_steps(seed)["part-0"], other["part-0"]);
    }
}

#[test]
fn random_histories_are_consistent() {
    for _ in 0..20 {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut table = TableBuilder::new(seed).feature("deletionVectors");
        for version in 0..rng.u64(1..12) {
            let live = version.checked_sub(1).map_or_else(Vec::new, |last| table.live_files(last));
            table = table.commit(|c| {
                for n in 0..rng.u64(0..6) {
                    c.add(&format!("part-{version}-{n}"), rng.u64(0..50));
                }
                for key in live.iter().filter_map(|file| file.key.as_deref()) {
                    match rng.u8(0..6) {
                        0 => c.remove(key),
                        1 => c.delete_rows(key, DeletionVector::relative(0, rng.u16(1..20))),
                        2 => c.delete_rows(key, DeletionVector::inline(rng.u16(1..20))),
                        _ => c,
                    };
                }
                c
            });
        }
        let version = table.version();
        let expect = replayed(table.objects(), version);
        let table = table.checkpoint_classic(version).vacuum();
        let objects = table.objects();
        assert_eq!(checkpointed(objects, keys(objects, ".checkpoint.parquet")), expect);
        assert!(table.orphans().is_empty());
        let present: BTreeSet<String> =
            objects.keys().filter(|key| !key.starts_with("_delta_log/")).cloned().collect();
        assert_eq!(present, table.snapshot_objects(version));
    }
}

#[test]
fn log_cleanup_and_vacuum_keep_what_the_head_needs() {
    let table = table(7).checkpoint_v2_json(2, 1).checkpoint_v2_json(4, 2).crc(1).compacted(0, 2);
    let table = table.clean_log_below(4).vacuum();
    let objects = table.objects();
    assert!(!objects.contains_key(&commit_key(3)));
    assert!(objects.contains_key(&commit_key(4)));
    assert_eq!(keys(objects, ".checkpoint.").len(), 1);
    assert_eq!(keys(objects, "_sidecars/").len(), 2);
    assert!(keys(objects, ".crc").is_empty() && keys(objects, ".compacted.json").is_empty());
    assert!(!objects.contains_key("_change_data/cdc-1"));
    for key in table.snapshot_objects(4) {
        assert!(objects.contains_key(&key), "{key}");
    }
}

#[test]
fn surgery_changes_what_it_says() {
    let before = table(8);
    let zero = before.objects()[&commit_key(0)].clone();

    let rewritten = before.clone().rewrite_commit(0);
    assert_ne!(rewritten.objects()[&commit_key(0)], zero);
    assert_eq!(replayed(rewritten.objects(), 4), replayed(before.objects(), 4));

    let other = before.clone().rewrite_commit_with(4, |c| c.add("other", 1));
    assert!(other.snapshot_objects(4).contains("other"));
    assert!(!other.snapshot_objects(4).contains("a b%20c"));

    let again = before.clone().recreate().commit(|c| c.add("part-0", 100));
    assert_eq!(again.version(), 0);
    assert_ne!(again.objects()[&commit_key(0)], zero);
    assert_ne!(again.objects()["part-0"], before.objects()["part-0"]);

    let leftovers = before.clone().recreate_over_leftovers(3).commit(|c| c);
    assert_eq!(leftovers.version(), 0);
    assert!(leftovers.objects().contains_key(&commit_key(4)));
    assert!(!leftovers.objects().contains_key(&commit_key(2)));

    let back = before.clone().roll_back_to(1).commit(|c| c.add("new", 1));
    assert_eq!(back.version(), 2);
    assert_ne!(back.objects()[&commit_key(2)], before.objects()[&commit_key(2)]);

    let cut = before.clone().truncate(&commit_key(4), 10);
    assert_eq!(cut.objects()[&commit_key(4)].len(), 10);
    let flipped = before.clone().flip_bit("part-0", 7);
    assert_ne!(flipped.objects()["part-0"], before.objects()["part-0"]);
    let gone = before.clone().delete_object("part-0");
    assert!(!gone.objects().contains_key("part-0"));

    let strays = before.clone().stray_files();
    assert_eq!(replayed(strays.objects(), 4), replayed(before.objects(), 4));
    assert!(strays.objects().len() > before.objects().len() + 20);
    assert!(!strays.orphans().is_empty());
}

#[test]
fn features_are_in_the_next_commit() {
    let protocol_of = |table: TableBuilder| -> Value {
        let table = table.commit(|c| c);
        let log = table.objects()[&commit_key(table.version())].clone();
        let lines = std::str::from_utf8(&log).unwrap().lines();
        let lines = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter_map(|line| line.get("protocol").cloned()).next().unwrap()
    };
    let new = || TableBuilder::new(9).commit(|c| c);
    for (table, feature) in [
        (new().catalog_managed(), "catalogManaged"),
        (new().unknown_reader_feature("timeTravelToTheFuture"), "timeTravelToTheFuture"),
        (new().redirect(), "redirectReaderWriter-preview"),
        (new().adaptive_metadata(), "adaptiveMetadata-preview"),
    ] {
        let protocol = protocol_of(table);
        assert_eq!(protocol["minReaderVersion"], 3);
        assert_eq!(protocol["minWriterVersion"], 7);
        for side in ["readerFeatures", "writerFeatures"] {
            let names = protocol[side].as_array().unwrap();
            assert!(names.iter().any(|name| name == feature), "{feature} in {side}");
        }
    }
    let staged = new().catalog_managed().staged_commit(|c| c.add("staged", 1));
    assert_eq!(staged.version(), 0);
    assert_eq!(keys(staged.objects(), "_staged_commits/").len(), 1);
}

#[test]
fn hostile_paths_are_in_the_log_as_they_stand() {
    let table = TableBuilder::new(11).commit(|c| {
        for path in HOSTILE_PATHS {
            c.add_file(DataFile::at_path(path, 1));
        }
        c.raw_line(&nested_line(100_000))
    });
    let found: BTreeSet<String> = table.live_files(0).into_iter().map(|file| file.path).collect();
    assert_eq!(found.len(), HOSTILE_PATHS.len());
    assert!(HOSTILE_PATHS.iter().all(|path| found.contains(*path)));
    assert_eq!(table.objects().len(), 1, "no object is made for a hostile path");
}

#[test]
fn odd_keys_come_back_byte_for_byte() {
    let table = TableBuilder::new(12).commit(|c| {
        for key in ODD_KEYS {
            c.add(key, 1);
        }
        c
    });
    let expect: BTreeSet<String> = ODD_KEYS.iter().map(|&key| key.to_owned()).collect();
    assert_eq!(table.snapshot_objects(0), expect);
    assert!(table.orphans().is_empty());
}

#[test]
fn bombs_are_small_until_they_are_opened() {
    let table = TableBuilder::new(13).commit(|c| c.add("part-0", 1));
    let bomb = table.clone().checkpoint_bomb(0, 500, 100_000);
    let key = keys(bomb.objects(), ".checkpoint.")[0];
    assert!(bomb.objects()[key].len() < 200_000);
    assert_eq!(checkpointed(bomb.objects(), [key]).len(), 500);

    let looped = table.sidecar_loop(0);
    let sidecar = keys(looped.objects(), "_sidecars/")[0];
    let name = sidecar.rsplit('/').next().unwrap();
    let file = looped.objects()[sidecar].clone();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let named = reader.map(Result::unwrap).any(|batch| {
        let sidecars = batch.column_by_name("sidecar").unwrap().as_struct();
        let paths = sidecars.column_by_name("path").unwrap().as_string::<i32>();
        paths.iter().flatten().any(|path| path == name)
    });
    assert!(named, "the sidecar names itself");
}

#[tokio::test]
async fn objects_go_into_stores_and_directories_under_their_raw_keys() {
    let table = table(10).checkpoint_classic(4).last_checkpoint(4);
    let store = InMemory::new();
    put_objects(&store, "tables/t", table.objects()).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    write_objects(directory.path(), table.objects()).unwrap();
    for (key, bytes) in table.objects() {
        let path = object_store::path::Path::parse(format!("tables/t/{key}")).unwrap();
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), bytes, "{key}");
        assert_eq!(std::fs::read(directory.path().join(key)).unwrap(), **bytes, "{key}");
    }
}

fn log_lines(table: &Path, version: u64) -> Vec<Value> {
    let log = std::fs::read_to_string(table.join(commit_key(version))).unwrap();
    log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn million_has_the_shape_that_it_claims() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let options = Options::default();
    million(one.path(), 20_000, &options).unwrap();
    million(two.path(), 20_000, &options).unwrap();
    let log = one.path().join("_delta_log");
    let checkpoint =
        Bytes::from(std::fs::read(log.join("00000000000000000010.checkpoint.parquet")).unwrap());
    let reader = ParquetRecordBatchReaderBuilder::try_new(checkpoint.clone()).unwrap();
    assert_eq!(reader.metadata().num_row_groups(), 10);
    let mut live = Live::new();
    read_adds(checkpoint, &mut live);
    assert_eq!(live.len(), 20_000);
    assert_eq!(live.keys().filter(|(_, vector)| !vector.is_empty()).count(), 1_000);
    assert!(live.keys().all(|(path, _)| (70..=120).contains(&path.len())));
    let crc = std::fs::read(log.join("00000000000000000010.crc")).unwrap();
    let crc: Value = serde_json::from_slice(&crc).unwrap();
    assert_eq!(crc["numFiles"], 20_000);
    assert_eq!(crc["tableSizeBytes"], live.values().sum::<i64>());

    // The checkpoint's own commit adds nothing new; the tail removes what was there.
    for line in log_lines(one.path(), 10).iter().filter_map(|line| line.get("add")) {
        assert!(live.contains_key(&json_key(line)));
    }
    for version in 11..=13 {
        for line in log_lines(one.path(), version) {
            if let Some(add) = line.get("add") {
                live.insert(json_key(add), 0);
            } else if let Some(remove) = line.get("remove") {
                assert!(live.remove(&json_key(remove)).is_some());
            }
        }
    }
    assert_eq!(live.len(), 20_000);
    for entry in std::fs::read_dir(&log).unwrap() {
        let entry = entry.unwrap();
        let twin = two.path().join("_delta_log").join(entry.file_name());
        assert_eq!(std::fs::read(entry.path()).unwrap(), std::fs::read(twin).unwrap());
    }
}

#[test]
fn commit_of_writes_as_many_actions_as_asked() {
    let directory = tempfile::tempdir().unwrap();
    commit_of(directory.path(), 500, &Options::default()).unwrap();
    let lines = log_lines(directory.path(), 0);
    let adds: Vec<&Value> = lines.iter().filter_map(|line| line.get("add")).collect();
    assert_eq!(adds.len(), 500);
    for add in &adds {
        let stats: Value = serde_json::from_str(add["stats"].as_str().unwrap()).unwrap();
        assert_eq!(stats["minValues"].as_object().unwrap().len(), 11);
        let place = format!(
            "month={}/day={}/",
            add["partitionValues"]["month"].as_str().unwrap(),
            add["partitionValues"]["day"].as_str().unwrap()
        );
        assert!(add["path"].as_str().unwrap().starts_with(&place));
    }
    assert_eq!(adds.iter().filter(|add| add.get("deletionVector").is_some()).count(), 25);
}

#[test]
fn long_line_is_one_line() {
    let directory = tempfile::tempdir().unwrap();
    long_line(directory.path(), 3_000_000, &Options::default()).unwrap();
    let lines = log_lines(directory.path(), 1);
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["add"]["stats"].as_str().unwrap().len(), 3_000_000);
}

#[test]
fn copy_set_files_exist_with_their_size() {
    let directory = tempfile::tempdir().unwrap();
    let size_bytes = (1 << 20) + 17;
    copy_set(directory.path(), 3, size_bytes, &Options::default()).unwrap();
    let lines = log_lines(directory.path(), 0);
    let adds: Vec<&Value> = lines.iter().filter_map(|line| line.get("add")).collect();
    assert_eq!(adds.len(), 3);
    for add in adds {
        let path = directory.path().join(add["path"].as_str().unwrap());
        assert_eq!(std::fs::metadata(path).unwrap().len(), size_bytes);
        assert_eq!(add["size"], size_bytes);
    }
}

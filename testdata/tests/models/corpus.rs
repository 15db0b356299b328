//! The models over the public corpus and the generated tables.

use std::collections::BTreeMap;
use std::sync::Arc;

use driftless_testdata::Objects;
use driftless_testdata::corpus::{delta_tables, project_tables, replayable_versions};
use driftless_testdata::feed::Feeder;
use driftless_testdata::models::{
    LogName, kernel, last_checkpoint, open_at, references_of, snapshot_of_source, spark, trino,
};
use driftless_testdata::record::{Oracle, Reader, RecordingStore};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, PutMode};

const ALL: &str = "spark trino kernel";

/// Tables that readers refuse: part of the reason, the readers, the tables. All are broken on
/// purpose, without data or out of scope; a table that is not listed must open.
const REFUSED: &[(&str, &str, &[&str])] = &[
    (
        "protocol not found",
        ALL,
        &[
            "delta/golden/deltalog-state-reconstruction-without-protocol",
            "trino/statistics/basic_multi_file",
            "trino/statistics/nan",
            "trino/statistics/nan_multi_file",
            "trino/statistics/negative_infinity",
            "trino/statistics/negative_infinity_nan",
            "trino/statistics/zero_infinity",
            "trino/statistics/zero_nan",
            "trino/statistics/zero_negative_infinity",
        ],
    ),
    ("metadata not found", ALL, &["delta/golden/deltalog-state-reconstruction-without-metadata"]),
    ("schema of the table cannot be used", ALL, &["delta/golden/canonicalized-paths-normal-a"]),
    (
        "not a delta table",
        ALL,
        &[
            "trino/statistics/extended_stats_with_data_size",
            "trino/statistics/extended_stats_without_data_size",
        ],
    ),
    // The commits around the hole are damaged too, and not every reader gets as far as the hole.
    ("versions are not contiguous", "spark", &["delta/golden/versions-not-contiguous"]),
    ("versions are not contiguous", "kernel", &["delta/golden/versions-not-contiguous"]),
    ("schema of the table cannot be used", "trino", &["delta/golden/versions-not-contiguous"]),
    ("catalogOwned", ALL, &["delta-rs/data_err_logs/table_e"]),
    ("catalogOwned", "spark kernel", &["delta-rs/data_err_logs/table_i"]),
    ("catalogManaged", "trino kernel", &["delta-kernel-rs/unity-catalog/catalog_managed_0"]),
    (
        "variantShredding-preview",
        "trino",
        &[
            "delta/spark/variant-stats-nested-no-checkpoint",
            "delta/spark/variant-stats-no-checkpoint",
            "delta/spark/variant-stats-with-struct-no-checkpoint",
        ],
    ),
    // A checkpoint and nothing else.
    (
        "could not find any delta files",
        "spark",
        &[
            "delta-go/checkpoints/singlepart",
            "delta-rs/data/table-with-domain-metadata",
            "trino/statistics/parquet_struct_statistics",
            "trino/statistics/parquet_struct_statistics_nan",
            "trino/statistics/parquet_struct_statistics_null_count",
        ],
    ),
    (
        "metadata not found",
        "trino",
        &["delta-go/checkpoints/singlepart", "delta-rs/data/table-with-domain-metadata"],
    ),
    // The hint does not name the UUID of its checkpoint.
    ("not there in full", "trino", &["delta-kernel-rs/data/v2-classic-checkpoint-json"]),
];

#[test]
#[allow(clippy::print_stdout, reason = "the summary is what a person looks for")]
fn public_tables_open_as_expected() {
    let tables = delta_tables();
    let mut refused = BTreeMap::new();
    let (mut opened, mut replayable) = (BTreeMap::new(), 0);
    for table in &tables {
        let objects = table.objects();
        let answers =
            [("spark", spark(&objects)), ("trino", trino(&objects)), ("kernel", kernel(&objects))];
        for (reader, answer) in answers {
            match answer {
                Ok(snapshot) => {
                    let truth = snapshot_of_source(&objects, snapshot.version);
                    assert_eq!(truth, Ok(snapshot), "{reader} {}", table.name);
                    *opened.entry(reader).or_insert(0) += 1;
                }
                Err(error) => {
                    refused.insert((reader, table.name.clone()), error.to_string());
                }
            }
        }
        let versions = replayable_versions(&objects);
        replayable += usize::from(versions.unusable.is_empty() && !versions.versions.is_empty());
    }
    let total = tables.len();
    println!("{total} public tables, opened {opened:?}, all versions replayable {replayable}");
    if tables.is_empty() {
        return;
    }
    for (text, readers, names) in REFUSED {
        for (reader, name) in readers.split(' ').flat_map(|r| names.iter().map(move |n| (r, *n))) {
            let reason = refused.remove(&(reader, name.to_owned()));
            let matches = reason.as_ref().is_some_and(|reason| reason.contains(text));
            assert!(matches, "{reader} {name}: {reason:?}, expected {text}");
            println!("{name} refused by {reader}: {}", reason.unwrap_or_default());
        }
    }
    assert!(refused.is_empty(), "refused without being listed: {refused:#?}");
}

#[test]
fn generated_tables_open_at_every_version() {
    for table in project_tables() {
        let objects = table.objects();
        let latest = spark(&objects).unwrap();
        assert_eq!(trino(&objects).as_ref(), Ok(&latest), "{}", table.name);
        assert_eq!(kernel(&objects).as_ref(), Ok(&latest), "{}", table.name);
        let readable = replayable_versions(&objects);
        for version in table.expected.versions.keys() {
            let why = readable.unusable.get(version);
            assert!(readable.versions.contains(version), "{} at {version}: {why:?}", table.name);
            let truth = snapshot_of_source(&objects, *version);
            assert_eq!(open_at(&objects, *version), truth, "{} at {version}", table.name);
        }
        for version in table.expected.unreadable.keys() {
            assert!(!readable.versions.contains(version), "{} at {version}", table.name);
        }
    }
}

/// A faithful replicator over real tables: feed the source, append at the target, ask the oracle.
#[tokio::test]
#[allow(clippy::print_stdout, reason = "the summary is what a person looks for")]
async fn appending_real_tables_is_clean() {
    let mut tables: Vec<(String, Objects)> = Vec::new();
    tables.extend(project_tables().into_iter().map(|table| (table.name.clone(), table.objects())));
    tables.extend(delta_tables().into_iter().map(|table| (table.name.clone(), table.objects())));
    let mut appended = 0;
    for (name, objects) in tables {
        let readable = replayable_versions(&objects);
        // Tables without damage whose log starts at 0 can be appended version by version.
        if !readable.unusable.is_empty() || !readable.versions.contains(&0) {
            continue;
        }
        let oracle = Oracle::new("replica");
        oracle.learn(&objects);
        let target = RecordingStore::new(InMemory::new(), vec![oracle.hook()]);
        let source: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let mut feeder = Feeder::new(&objects, 11);
        while let Some(step) = feeder.step(&source, "table").await {
            if oracle_refuses(&step.key, &objects) {
                continue;
            }
            let Ok(path) = Path::parse(format!("replica/{}", step.key)) else { continue };
            let commit = step.commit.is_some();
            let mode = if commit { PutMode::Create } else { PutMode::Overwrite };
            target.put_opts(&path, step.bytes.into(), mode.into()).await.unwrap();
        }
        let found = oracle.violations();
        assert!(found.is_empty(), "{name}: {found:#?}");
        let latest = readable.versions.last();
        assert_eq!(oracle.seen().get(&Reader::Kernel), latest, "{name}");
        appended += 1;
    }
    println!("{appended} tables appended version by version, every state judged");
    assert!(appended >= 10, "only {appended} tables were appended");
}

/// Whether an object is none of the replica's business.
fn oracle_refuses(key: &str, objects: &Objects) -> bool {
    let log = key.strip_prefix("_delta_log/");
    match log {
        // One public table has a hint whose checkpoint is not there: it is held back.
        Some("_last_checkpoint") => last_checkpoint(objects)
            .is_ok_and(|h| h.is_some_and(|h| !h.keys().iter().all(|k| objects.contains_key(k)))),
        Some(name) if name.starts_with("_sidecars/") => !referenced(key, objects),
        Some(name) => LogName::parse(name).is_none(),
        None => !referenced(key, objects),
    }
}

fn referenced(key: &str, objects: &Objects) -> bool {
    let log = objects.keys().filter(|key| key.starts_with("_delta_log/"));
    log.filter_map(|name| references_of(objects, name).ok())
        .any(|found| found.needed.contains(key) || found.change_data.contains(key))
}

#[tokio::test]
async fn feeding_ends_with_the_table() {
    let generated = project_tables().into_iter().map(|table| (table.name.clone(), table.objects()));
    let public = delta_tables().into_iter().map(|table| (table.name.clone(), table.objects()));
    for (name, objects) in generated.chain(public) {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let mut feeder = Feeder::new(&objects, 5);
        let mut newest = None;
        while let Some(step) = feeder.step(&store, "").await {
            if let Ok(opened) = kernel(feeder.revealed()) {
                assert!(newest <= Some(opened.version), "{name} went back at {}", step.key);
                newest = Some(opened.version);
            }
        }
        assert_eq!(feeder.revealed(), &objects, "{name}");
    }
}

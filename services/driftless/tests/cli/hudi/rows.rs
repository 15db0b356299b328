//! Rows of Hudi tables, read at both sides by the judge and held against what Spark read when the
//! table was recorded. A judge that does not know Hudi is said so, and these tests pass.

use std::path::PathBuf;

use driftless_testdata::models::hudi::recorded_tables;
use serde_json::Value;

use super::{ALL, Life, target, world};
use crate::rows::{judge, run};
use crate::{World, s3};

const LINE: &str = "verify source/t target/t --level rows --output json";

/// A judge that reads Hudi tables.
fn hudi_judge() -> Option<PathBuf> {
    let judge = judge()?;
    let (world, _) = world("cow_v8", 2);
    world.done("sync source/t target/t");
    let (code, document) = run(&world, &judge, LINE);
    let required = std::env::var_os("DRIFTLESS_REQUIRE_ROWS").is_some();
    let error = &target(&document)["error"]["code"];
    if code == Some(1) && error == "row_judge_failed" && !required {
        eprintln!("SKIPPED: driftless-rows does not read Hudi tables");
        return None;
    }
    assert_eq!(code, Some(0), "{document:#}");
    Some(judge)
}

/// What the judge cannot read is blocked with the reason; else both sides have Spark's rows.
#[track_caller]
fn check(life: &Life, world: &World, judge: &PathBuf, line: &str) -> bool {
    let name = &life.recorded.name;
    let (code, document) = run(world, judge, line);
    let report = target(&document);
    if code == Some(3) {
        assert_eq!(report["blocked"]["code"], "unsupported_reader_feature", "{name}: {report:#}");
        return false;
    }
    assert_eq!(code, Some(0), "{name}: {report:#}");
    assert_eq!(report["equal"], true);
    let instants = &life.recorded.expected.instants;
    let Some(rows) = instants.last().and_then(|at| at.rows.as_ref()) else { return true };
    assert_eq!(report["rows"]["target"]["count"], rows.count, "{name}");
    assert_eq!(report["rows"]["target"]["hash"], rows.hash.as_str(), "{name}");
    true
}

/// Names of the tables of some versions whose rows could be judged.
fn judged(judge: &PathBuf, versions: &[u32]) -> Vec<String> {
    let mut read = Vec::new();
    let wanted = recorded_tables().into_iter();
    for recorded in wanted.filter(|table| versions.contains(&table.table_version)) {
        let name = recorded.name.clone();
        let (world, life) = world(&name, ALL);
        world.done("sync source/t target/t");
        if check(&life, &world, judge, LINE) {
            read.push(name);
        }
    }
    read
}

#[test]
fn rows_of_replicas_are_those_that_spark_read() {
    let Some(judge) = hudi_judge() else { return };
    let read = judged(&judge, &[8, 9]);
    for name in ["cow_v8", "cow_v9", "mor_v8", "mor_v9"] {
        assert!(read.iter().any(|table| table == name), "{name}: {read:?}");
    }
}

#[test]
fn rows_of_version_6_replicas_are_those_that_spark_read() {
    let Some(judge) = hudi_judge() else { return };
    let read = judged(&judge, &[6]);
    assert!(read.iter().any(|table| table == "cow_v6"), "{read:?}");
}

/// A replica's timeline objects have the times of their copies, which need not be in the order of
/// the source's.
#[test]
fn rows_of_a_version_6_replica_are_compared_whatever_its_times_are() {
    let Some(judge) = hudi_judge() else { return };
    let (world, life) = world("cow_v6", ALL);
    world.done("sync source/t target/t");
    let folder = world.path("target/t/.hoodie");
    let replacing: Vec<_> =
        super::names(&folder).into_iter().filter(|name| name.ends_with(".replacecommit")).collect();
    assert!(!replacing.is_empty());
    for name in replacing {
        let object = std::fs::File::options().append(true).open(folder.join(name)).unwrap();
        let modified = object.metadata().unwrap().modified().unwrap();
        object.set_modified(modified + std::time::Duration::from_secs(60)).unwrap();
    }
    assert!(check(&life, &world, &judge, LINE));
}

#[test]
fn rows_at_an_s3_target_are_compared() {
    let Some(judge) = hudi_judge() else { return };
    let (world, life) = world("mor_v9_metadata", ALL);
    let _double = s3::start(&world);
    world.done("sync source/t lake:deep/t");
    let line = LINE.replace("target/t", "lake:deep/t");
    assert!(check(&life, &world, &judge, &line));
}

#[test]
fn rows_that_differ_end_with_4() {
    let Some(judge) = hudi_judge() else { return };
    let (world, _) = world("cow_v8_unpartitioned", 2);
    world.done("sync source/t target/t");
    let files = crate::data_files(&world.path("target/t"));
    let newest =
        files.iter().max_by_key(|path| path.to_str().map(|p| p.rsplit_once('_').unzip().1));
    let newest = newest.unwrap();
    // An older version of the file under the newer one's name.
    let oldest = files.iter().find(|path| *path != newest);
    let source = crate::data_files(&world.path("source/t"));
    let other = oldest
        .unwrap_or_else(|| source.iter().find(|p| p.file_name() != newest.file_name()).unwrap());
    std::fs::copy(other, newest).unwrap();
    let (code, document) = run(&world, &judge, LINE);
    assert_eq!(code, Some(4), "{document:#}");
    assert_ne!(target(&document)["equal"], Value::Bool(true));
}

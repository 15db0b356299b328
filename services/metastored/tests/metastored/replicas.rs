//! Snapshots of real Hudi tables, from their files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use driftless_catalog::Table;
use driftless_metastored::{Opens, Replicas, Snapshot, Snapshots as _};
use driftless_testdata::builder::TableBuilder;
use driftless_testdata::models::hudi::{Event, HudiObjects, Recorded, recorded_tables};
use driftless_wire::{Opener, TableLog, TableOptions};
use table_sync_core::BoxError;
use table_sync_store::Settings;

use crate::place::Place;

fn recorded(name: &str) -> Recorded {
    let found = recorded_tables().into_iter().find(|table| table.name == name);
    found.unwrap_or_else(|| panic!("no table {name}"))
}

/// Writes the files of a table as they were after `steps` calls of its writer.
fn write(table: &Recorded, steps: usize, folder: &Path) {
    let mut objects = Default::default();
    for step in table.steps.iter().take(steps) {
        for event in &step.events {
            table.apply(event, &mut objects);
        }
    }
    for (key, object) in &objects {
        let path = folder.join(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &object.bytes).unwrap();
    }
}

/// Does to a folder what an event did to a table.
fn change(event: &Event, objects: &HudiObjects, folder: &Path) {
    let (Event::Put { put: key, .. } | Event::Delete { delete: key }) = event;
    let path = folder.join(key);
    match objects.get(key) {
        Some(object) => {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, &object.bytes).unwrap();
        }
        None => std::fs::remove_file(path).unwrap(),
    }
}

struct Opening(Opener);

#[async_trait::async_trait]
impl Opens for Opening {
    async fn open(&self, _: &Table, place: &str) -> Result<Arc<TableLog>, BoxError> {
        Ok(self.0.table(place, &[], &TableOptions::default())?.log)
    }
}

fn replicas(fresh: Duration, grace: Duration) -> Replicas {
    let opener = Opener::new(Settings::default(), Default::default(), None).unwrap();
    Replicas::new(Arc::new(Opening(opener)), fresh, grace)
}

async fn registered() -> Table {
    let place = Place::new().await;
    place.publish("sales.orders", "hudi", None).await;
    let name = driftless_catalog::TableName::parse("lake.sales.orders").unwrap();
    place.catalog.table(&name).await.unwrap()
}

fn names(columns: &[driftless_metastored::Column]) -> Vec<String> {
    columns.iter().map(|column| format!("{} {}", column.name, column.hive)).collect()
}

fn folders(snapshot: &Snapshot) -> BTreeSet<&str> {
    snapshot.partitions.values().map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recorded_table_has_columns_and_partitions() {
    let registered = registered().await;
    let mut count = 0;
    for table in recorded_tables() {
        let folder = tempfile::tempdir().unwrap();
        write(&table, usize::MAX, folder.path());
        let place = format!("file://{}", folder.path().display());
        let replicas = replicas(Duration::ZERO, Duration::ZERO);
        let snapshot = replicas.snapshot(&registered, &place).await;
        let snapshot = snapshot.unwrap_or_else(|error| panic!("{}: {error:?}", table.name));
        let merges = replicas.merges(&registered, &place).await.unwrap();
        assert_eq!(merges, table.kind == "MERGE_ON_READ", "{}", table.name);
        assert_eq!(merges, snapshot.merges, "{}", table.name);
        let columns = names(&snapshot.columns);
        assert_eq!(columns[0], "_hoodie_commit_time string", "{}", table.name);
        assert!(columns.iter().any(|column| column == "id bigint"), "{}: {columns:?}", table.name);
        // The folders of partitions hold what readers of the newest state open.
        let partitioned = !snapshot.partition_columns.is_empty();
        assert_eq!(partitioned, !snapshot.partitions.is_empty(), "{}", table.name);
        for (values, at) in &snapshot.partitions {
            assert!(folder.path().join(at).is_dir(), "{}: {at}", table.name);
            assert_eq!(*at, format!("p={}", values[0]), "{}", table.name);
        }
        count += 1;
    }
    assert!(count > 20, "{count} tables");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_added_column_is_told_from_its_commit_on() {
    let table = recorded("schema_evolution_v8");
    let registered = registered().await;
    let folder = tempfile::tempdir().unwrap();
    let place = format!("file://{}", folder.path().display());
    let replicas = replicas(Duration::ZERO, Duration::ZERO);
    let mut seen = Vec::new();
    for steps in 1..=table.steps.len() {
        write(&table, steps, folder.path());
        let snapshot = replicas.snapshot(&registered, &place).await.unwrap();
        seen.push(names(&snapshot.columns));
    }
    seen.dedup();
    assert!(seen.len() > 1, "{seen:?}");
    let (first, last) = (&seen[0], seen.last().unwrap());
    assert!(last.len() > first.len(), "{first:?} {last:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_partition_is_listed_before_its_commit_and_a_lost_one_can_be_fetched() {
    let table = recorded("cow_v8");
    let registered = registered().await;
    let folder = tempfile::tempdir().unwrap();
    write(&table, 1, folder.path());
    let place = format!("file://{}", folder.path().display());
    let replicas = replicas(Duration::ZERO, Duration::from_secs(3_600));
    let before = replicas.snapshot(&registered, &place).await.unwrap();
    assert!(!folders(&before).contains("p=new"));
    // Its first file is copied; nothing is published.
    std::fs::create_dir(folder.path().join("p=new")).unwrap();
    std::fs::write(folder.path().join("p=new/.hoodie_partition_metadata"), "x").unwrap();
    let during = replicas.snapshot(&registered, &place).await.unwrap();
    assert!(folders(&during).contains("p=new"), "{during:?}");
    assert_eq!(during.position, before.position);
    // The copy is given up.
    std::fs::remove_dir_all(folder.path().join("p=new")).unwrap();
    let after = replicas.snapshot(&registered, &place).await.unwrap();
    assert!(!folders(&after).contains("p=new"));
    assert_eq!(after.gone.get(&vec!["new".to_owned()]).map(String::as_str), Some("p=new"));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asked_right_before_a_commit_knows_the_partitions_that_it_fills() {
    let registered = registered().await;
    let mut new_partitions = 0;
    for table in recorded_tables() {
        let folder = tempfile::tempdir().unwrap();
        let place = format!("file://{}", folder.path().display());
        let replicas = replicas(Duration::ZERO, Duration::ZERO);
        let mut objects = Default::default();
        let mut published: BTreeSet<String> = BTreeSet::new();
        for event in table.steps.iter().flat_map(|step| &step.events) {
            let before = match event.completes() {
                true => replicas.snapshot(&registered, &place).await.ok(),
                false => None,
            };
            table.apply(event, &mut objects);
            change(event, &objects, folder.path());
            let Some(before) = before else { continue };
            // What a query reads that took the names before, and the timeline after.
            let fresh = self::replicas(Duration::ZERO, Duration::ZERO);
            let Ok(after) = fresh.snapshot(&registered, &place).await else { continue };
            let (known, now) = (folders(&before), folders(&after));
            let lost: Vec<_> = now.difference(&known).collect();
            assert!(lost.is_empty(), "{}: {lost:?} came with {event:?}", table.name);
            new_partitions += now.iter().filter(|at| !published.contains(**at)).count();
            published = now.into_iter().map(str::to_owned).collect();
        }
    }
    assert!(new_partitions > 20, "{new_partitions} partitions came");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_found_is_told_again_while_it_is_fresh() {
    let table = recorded("cow_v8");
    let registered = registered().await;
    let folder = tempfile::tempdir().unwrap();
    write(&table, 1, folder.path());
    let place = format!("file://{}", folder.path().display());
    let replicas = replicas(Duration::from_secs(3_600), Duration::ZERO);
    let first = replicas.snapshot(&registered, &place).await.unwrap();
    write(&table, 2, folder.path());
    let second = replicas.snapshot(&registered, &place).await.unwrap();
    assert!(Arc::ptr_eq(&first, &second));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_without_a_table_is_an_error() {
    let registered = registered().await;
    let folder = tempfile::tempdir().unwrap();
    let place = format!("file://{}/nothing", folder.path().display());
    let replicas = replicas(Duration::ZERO, Duration::ZERO);
    let error = replicas.snapshot(&registered, &place).await.unwrap_err();
    assert!(error.to_string().contains("nothing is published"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delta_table_has_the_columns_of_each_version() {
    let table = TableBuilder::new(7)
        .metadata(|table| table.columns(&[("a", "long")]))
        .commit(|commit| commit.add("x", 1))
        .metadata(|table| table.columns(&[("a", "long"), ("b", "string")]))
        .commit(|commit| commit.add("y", 1));
    let folder = tempfile::tempdir().unwrap();
    for (key, object) in table.objects() {
        let path = folder.path().join(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, object).unwrap();
    }
    let registered = registered().await;
    let place = format!("file://{}", folder.path().display());
    let replicas = replicas(Duration::ZERO, Duration::ZERO);
    for (version, columns) in [(0, Some(1)), (1, Some(2)), (1, Some(2)), (0, Some(1)), (2, None)] {
        let schema = replicas.schema(&registered, &place, version).await.unwrap();
        let found = schema.map(|schema| schema.matches("\"nullable\"").count());
        assert_eq!(found, columns, "version {version}");
    }
    let gone = format!("{place}/nothing");
    assert_eq!(replicas.schema(&registered, &gone, 0).await.unwrap(), None);
}

/// Tables of the public corpus, packed or not: their roots. The folder is where they are unpacked.
fn corpus() -> Option<(tempfile::TempDir, Vec<PathBuf>)> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/hudi");
    if !corpus.is_dir() {
        eprintln!("SKIPPED: no corpus at {}", corpus.display());
        return None;
    }
    let unpacked = tempfile::tempdir().unwrap();
    let mut roots = Vec::new();
    for (at, zip) in files(&corpus).iter().filter(|file| file.ends_with(".zip")).enumerate() {
        let folder = unpacked.path().join(at.to_string());
        let done = Command::new("unzip").args(["-q", zip, "-d"]).arg(&folder).status();
        if !done.is_ok_and(|status| status.success()) {
            eprintln!("SKIPPED: unzip failed for {zip}");
            continue;
        }
        let properties = files(&folder);
        let own =
            properties.iter().filter_map(|file| file.strip_suffix("/.hoodie/hoodie.properties"));
        let own = own.filter(|root| !root.contains("/.hoodie/") && !root.contains("__MACOSX"));
        roots.extend(own.map(PathBuf::from));
    }
    Some((unpacked, roots))
}

fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path.to_str().unwrap().to_owned()),
        }
    }
    found.sort();
    found
}

/// Tables of other writers, with other key generators and types.
#[tokio::test(flavor = "multi_thread")]
async fn tables_of_the_corpus_are_told_or_refused_for_a_reason() {
    let Some((_unpacked, roots)) = corpus() else { return };
    let registered = registered().await;
    let mut told = 0;
    for root in &roots {
        let place = format!("file://{}", root.display());
        let replicas = replicas(Duration::ZERO, Duration::ZERO);
        match replicas.snapshot(&registered, &place).await {
            Ok(snapshot) => {
                let fields = snapshot.partition_columns.len();
                for (values, folder) in &snapshot.partitions {
                    assert_eq!(values.len(), fields, "{place}");
                    assert!(root.join(folder).is_dir(), "{place}: {folder}");
                }
                assert_eq!(fields > 0, !snapshot.partitions.is_empty(), "{place}");
                assert!(snapshot.columns.len() > 1, "{place}");
                told += 1;
            }
            Err(error) => {
                let error = table_sync_core::with_causes(&error);
                let known = ["the table has version", "nothing is published there"];
                assert!(known.iter().any(|text| error.contains(text)), "{place}: {error}");
            }
        }
        if root.ends_with("hudi_multi_pt_v8_mor") {
            let snapshot = replicas.snapshot(&registered, &place).await.unwrap();
            let times: BTreeSet<_> =
                snapshot.partitions.keys().map(|key| key[5].as_str()).collect();
            assert!(times.contains("2024-02-20 08:45:10"), "{times:?}");
        }
    }
    eprintln!("{told} of {} tables of the corpus are told", roots.len());
    assert!(told > 40, "{told} of {}", roots.len());
}

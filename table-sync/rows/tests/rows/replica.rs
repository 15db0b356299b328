//! The whole promise: tables that Spark wrote, published by the engine, read back at the target
//! with delta-rs and DataFusion at every version, with the rows that Spark read at the source.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use table_sync_core::{Position, Start};
use table_sync_delta::DeltaLog;
use table_sync_engine::{Options, Quiet, Source, Target, pass};
use table_sync_rows::RowsError;
use table_sync_store::{Location, Settings, Store, open};

use crate::read_local;
use crate::spark::{Expected, UNSUPPORTED, padded_column, padded_hash, tables};

fn opened(table: &Path) -> (Store, Location, DeltaLog) {
    let text = table.to_str().unwrap();
    let location = Location::parse(text, &Default::default()).unwrap();
    let store = open(&location, &Settings::default()).unwrap();
    let options = table_sync_delta::Options::default();
    let log = DeltaLog::new(store.object_store(), location.table(), options).unwrap();
    (store, location, log)
}

/// Publishes the table at `from` to `to`, and says how far.
async fn publish(from: &Path, to: &Path, start: Start) -> table_sync_engine::TargetReport {
    let (store, location, log) = opened(from);
    let source = Source {
        log: Arc::new(log),
        store,
        table: location.table().to_owned(),
        url: location.url().to_owned(),
        roots: Vec::new(),
    };
    let (store, location, log) = opened(to);
    let target = Target {
        log: Arc::new(log.clone()),
        reader: Arc::new(log),
        state: store.clone(),
        store,
        table: location.table().to_owned(),
        url: location.url().to_owned(),
        roots: Vec::new(),
    };
    let options = Options { start, ..Options::default() };
    let report = pass(&source, &[target], &options, Arc::new(Quiet)).await;
    report.targets.into_iter().next().unwrap()
}

/// How many versions of a replica were read and found equal.
async fn check(name: &str, folder: &Path, site: &Path, start: Start) -> usize {
    let replica = site.join(name);
    let report = publish(&folder.join("table"), &replica, start).await;
    assert!(report.failure.is_none(), "{name}: {report:?}");
    let expected = fs::read(folder.join("expected.json")).unwrap();
    let expected: Expected = serde_json::from_slice(&expected).unwrap();
    let Some(head) = report.head else {
        // Only a source that is not whole is not published at all.
        assert!(report.blocked.is_some() && !expected.unreadable.is_empty(), "{name}: {report:?}");
        return 0;
    };
    let newest = expected.versions.keys().next_back().copied().map(Position::Version);
    assert!(Some(head) == newest || report.blocked.is_some(), "{name}: {report:?}");
    let unsupported = UNSUPPORTED.iter().any(|(table, _)| *table == name);
    let mut equal = 0;
    for published in &report.published {
        let Position::Version(version) = published else { panic!("not Delta: {published}") };
        let Some(rows) = expected.versions.get(version) else { continue };
        let found = match read_local(&replica, Some(*version)).await {
            Ok(found) => found,
            Err(RowsError::Unsupported { .. }) if unsupported => continue,
            Err(error) => panic!("{name} version {version}: {}", error.with_causes()),
        };
        let hash = match padded_column(name) {
            Some(column) => padded_hash(&replica, *version, column).await,
            None => found.hash,
        };
        assert_eq!((found.count, hash), (rows.count, rows.hash.clone()), "{name} at {version}");
        equal += 1;
    }
    equal
}

#[tokio::test]
async fn a_replica_has_the_rows_of_its_source_at_every_version() {
    let tables = tables();
    let (mut versions, mut count) = (0, 0);
    let whole = tempfile::tempdir().unwrap();
    let recent = tempfile::tempdir().unwrap();
    for (name, folder) in &tables {
        versions += check(name, folder, whole.path(), Start::Earliest).await;
        versions += check(name, folder, recent.path(), Start::Latest).await;
        count += 1;
    }
    println!("{versions} published versions of {count} tables hold the rows that Spark read");
    assert!(count == 0 || versions > 200, "{versions} versions were compared");
}

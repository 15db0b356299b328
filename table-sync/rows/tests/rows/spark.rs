//! Tables that Spark wrote, at every version, against the counts and hashes that Spark read.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use deltalake::DeltaTableBuilder;
use deltalake::datafusion::prelude::SessionContext;
use serde::Deserialize;
use table_sync_rows::hash::RowHash;
use table_sync_rows::{RowsError, commit_versions, newest_version};

use crate::{local, read_local};

/// Tables with a version that the judge cannot read, and the feature that it lacks.
pub(crate) const UNSUPPORTED: [(&str, &str); 2] = [
    ("type_widening", "typeWidening"),
    // datafusion adds a field to a struct, but not to a struct inside a map.
    ("schema_evolution", "files older than the type of column m"),
];

/// Tables with a CHAR(3) column: Spark pads its values as it reads them, the files hold them as
/// they were written, and so does the judge.
const PADDED: [(&str, &str); 1] = [("all_types", "code")];

#[derive(Deserialize)]
pub(crate) struct Expected {
    pub(crate) versions: BTreeMap<u64, ExpectedRows>,
    #[serde(default)]
    pub(crate) unreadable: BTreeMap<u64, String>,
}

#[derive(Deserialize)]
pub(crate) struct ExpectedRows {
    pub(crate) count: u64,
    pub(crate) hash: String,
}

/// Folders of the test tables by name; empty, and said so, if they are not generated.
pub(crate) fn tables() -> BTreeMap<String, PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/delta");
    let Ok(folder) = folder.canonicalize() else {
        eprintln!("SKIPPED: there are no test tables, run `./dev testdata` to make them");
        return BTreeMap::new();
    };
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries
        .filter(|entry| entry.path().join("expected.json").exists())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
        .collect()
}

/// What is wrong with the judge's answers for one table; empty if nothing is.
async fn check(name: &str, folder: &Path) -> Vec<String> {
    let expected = fs::read(folder.join("expected.json")).unwrap();
    let expected: Expected = serde_json::from_slice(&expected).unwrap();
    let lacks = UNSUPPORTED.iter().find(|(table, _)| *table == name).map(|(_, feature)| *feature);
    let (mut wrong, mut unsupported) = (Vec::new(), 0);
    for (version, expected) in &expected.versions {
        let say = |text: String| format!("{name} version {version}: {text}");
        match (read_local(&folder.join("table"), Some(*version)).await, lacks) {
            (Ok(rows), _) => {
                let hash = match padded_column(name) {
                    Some(column) => padded_hash(&folder.join("table"), *version, column).await,
                    None => rows.hash,
                };
                if (rows.count, &hash) != (expected.count, &expected.hash) {
                    wrong.push(say(format!(
                        "{} rows {hash}, not {} rows {}",
                        rows.count, expected.count, expected.hash
                    )));
                }
            }
            (Err(RowsError::Unsupported { feature }), Some(lacks)) if feature.contains(lacks) => {
                unsupported += 1;
            }
            (Err(error), _) => wrong.push(say(error.with_causes())),
        }
    }
    if lacks.is_some() && unsupported == 0 {
        wrong.push(format!("{name}: readable by now, take it off the list"));
    }
    for version in expected.unreadable.keys() {
        // An error of any kind will do; rows would be rows that never were.
        if let Ok(rows) = read_local(&folder.join("table"), Some(*version)).await {
            wrong.push(format!("{name} version {version}: {} rows, not an error", rows.count));
        }
    }
    wrong
}

/// The column of a table that Spark pads as it reads.
pub(crate) fn padded_column(name: &str) -> Option<&'static str> {
    PADDED.iter().find(|(table, _)| *table == name).map(|(_, column)| *column)
}

/// Hash of the rows with a CHAR(3) column padded.
pub(crate) async fn padded_hash(table: &Path, version: u64, column: &str) -> String {
    let (store, url) = local(table);
    let builder = DeltaTableBuilder::from_url(url.clone()).unwrap();
    let builder = builder.with_storage_backend(store, url).with_version(version);
    let table = builder.load().await.unwrap().table_provider().await.unwrap();
    let session = SessionContext::new();
    session.register_table("t", table).unwrap();
    let padded = format!(
        "SELECT * EXCEPT ({column}), CASE WHEN length({column}) < 3 THEN rpad({column}, 3) \
         ELSE {column} END AS {column} FROM t"
    );
    let mut hash = RowHash::default();
    for batch in session.sql(&padded).await.unwrap().collect().await.unwrap() {
        hash.add(&batch).unwrap();
    }
    hash.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_version_of_every_table_has_the_rows_that_spark_read() {
    let mut wrong = Vec::new();
    for (name, folder) in tables() {
        wrong.extend(check(&name, &folder).await);
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_version_is_the_last_commit() {
    for (name, folder) in tables() {
        let (store, url) = local(&folder.join("table"));
        let versions = commit_versions(store.clone(), url.clone()).await.unwrap();
        match newest_version(store, url).await {
            Ok(newest) => assert_eq!(versions.last(), Some(&newest), "{name}"),
            Err(RowsError::Unsupported { .. }) => {
                assert!(UNSUPPORTED.iter().any(|(table, _)| *table == name), "{name}");
            }
            Err(error) => panic!("{name}: {}", error.with_causes()),
        }
    }
}

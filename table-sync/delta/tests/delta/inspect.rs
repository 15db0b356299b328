//! What an inspection says.

use driftless_testdata::builder::{DeletionVector, TableBuilder};
use table_sync_core::BlockCode;
use table_sync_delta::Inspection;

use crate::site::{log, observe};

async fn inspect(table: &TableBuilder) -> Inspection {
    let log = log(table.objects()).await;
    log.support(&observe(&log).await).await.unwrap()
}

#[tokio::test]
async fn inspection_counts_and_names() {
    let table = TableBuilder::new(1)
        .protocol(3, 7, &["deletionVectors", "typeWidening"], &["deletionVectors", "typeWidening"])
        .metadata(|m| m.name("orders").property("delta.universalFormat.enabledFormats", "iceberg"))
        .commit(|c| c.add("a", 10).add("b", 20))
        .commit(|c| c.delete_rows("a", DeletionVector::relative(0, 1)))
        .checkpoint_classic(1)
        .put_object(".hoodie/hoodie.properties", "x")
        .put_object("metadata/v1.metadata.json", "{}");
    let found = inspect(&table).await;
    assert!(found.is_replicable(), "{found:?}");
    assert_eq!((found.head, found.earliest_readable), (Some(1), Some(0)));
    assert_eq!((found.files, found.bytes, found.deletion_vectors), (2, 30, 1));
    assert_eq!(found.name.as_deref(), Some("orders"));
    assert_eq!(found.checkpoints.get(&1).unwrap(), &["classic"]);
    assert_eq!(found.other_formats.iter().copied().collect::<Vec<_>>(), ["hudi", "iceberg"]);
    let warnings = found.warnings.join("\n");
    for text in ["delta-rs 1.1 does not read typeWidening", "iceberg", "in-commit timestamps"] {
        assert!(warnings.contains(text), "{warnings}");
    }
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["refusal"], serde_json::Value::Null);
}

#[tokio::test]
async fn refusals_are_part_of_the_answer() {
    let start = || TableBuilder::new(2).commit(|c| c.add("a", 1));
    let nothing = TableBuilder::new(3).put_object("_delta_log/info.txt", "x");
    let hole = start().commits(3, "b", 1).delete_object("_delta_log/00000000000000000002.json");
    for (table, code) in [
        (nothing, BlockCode::NotATable),
        (hole, BlockCode::HistoryLost),
        (start().catalog_managed().commits(1, "b", 1), BlockCode::CatalogManaged),
        (start().commit(|c| c.add_absolute("gs://x/y", 1)), BlockCode::ForeignPath),
    ] {
        let found = inspect(&table).await;
        assert_eq!(found.refusal.as_ref().map(|refused| refused.code), Some(code), "{found:?}");
    }
}

#[tokio::test]
async fn what_a_refused_table_is_stays_visible() {
    let table = TableBuilder::new(3)
        .metadata(|m| m.name("orders").partitioned_by(&["day"]))
        .commit(|c| c.add("a", 1))
        .unknown_reader_feature("timeWarp")
        .commit(|c| c.add("b", 1));
    let found = inspect(&table).await;
    assert!(!found.is_replicable());
    assert_eq!(found.reader_version, Some(3));
    assert!(found.features.iter().any(|feature| feature == "timeWarp"), "{found:?}");
    assert_eq!(found.name.as_deref(), Some("orders"));
    assert_eq!(found.partition_columns, ["day"]);
}

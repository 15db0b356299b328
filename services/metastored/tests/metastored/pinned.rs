//! Tables as they were: databases `NAMESPACE@PIN`, and the views in them.

use base64::Engine as _;
use driftless_catalog::status::Condition;
use driftless_catalog::{Pin, Progress, Report, TableName, Version};
use driftless_metastored::hive;
use serde_json::json;
use table_sync_core::Position;

use crate::client::{Client, message, texts};
use crate::listings::snapshot;
use crate::place::{NOW, Place};

/// When a version was committed: they are a minute apart.
fn committed(version: u64) -> i64 {
    NOW + 60_000 * i64::try_from(version).unwrap()
}

/// A moment as a database has it.
fn moment(ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(ms).unwrap().to_rfc3339()
}

fn name(table: &str) -> TableName {
    TableName::parse(&format!("lake.{table}")).unwrap()
}

/// In step since the versions from 1 to `head`, of which the first is no longer readable, and looked
/// at ten minutes later.
fn in_step(head: u64) -> Progress {
    Progress {
        condition: Condition::Well,
        head: Some(Position::Version(head)),
        head_committed_ms: Some(committed(head)),
        source_head: Some(Position::Version(head)),
        earliest_readable: Some(Position::Version(2)),
        pending_versions: Some(0),
        listed_ms: Some(committed(head) + 600_000),
        ..Progress::default()
    }
}

/// Registers a Delta table, and publishes the versions from 1 to its head at `east`.
async fn publish(place: &Place, table: &str, progress: Progress) {
    place.publish(table, "delta", None).await;
    let Some(Position::Version(head)) = progress.head else { panic!("no head") };
    let version = |at| Version {
        position: Position::Version(at),
        kind: "append".to_owned(),
        committed_ms: Some(committed(at)),
        published_ms: committed(at),
        files: 1,
        bytes: 1,
        commit_sha256: None,
        chain_sha256: None,
        live_digest: None,
        ordinal: 0,
    };
    let report = Report {
        table: place.catalog.table(&name(table)).await.unwrap().id,
        site: "east".to_owned(),
        epoch: 1,
        incarnation: 1,
        format: Some("delta"),
        progress: Some(progress),
        versions: (1..=head).map(version).collect(),
        events: Vec::new(),
    };
    assert_eq!(place.catalog.record(&[report], NOW).await.unwrap(), [true]);
}

/// The table that a database shows, or the number of an exception and its text.
async fn table(
    client: &mut Client,
    database: &str,
    table: &str,
) -> Result<hive::Table, (i16, String)> {
    let answer = client.call(&texts("get_table", &[database, table])).await;
    answer.failure().map_or_else(|| Ok(answer.read()), Err)
}

/// The version that Spark reads, and the one that Trino does: they are the same.
#[track_caller]
fn version(row: &hive::Table) -> u64 {
    let spark = row.view_expanded_text.as_deref().unwrap();
    let version: u64 = spark.rsplit_once(" VERSION AS OF ").unwrap().1.parse().unwrap();
    let sql = definition(row)["originalSql"].as_str().unwrap().to_owned();
    assert!(sql.ends_with(&format!(" FOR VERSION AS OF {version}")), "{sql}");
    version
}

fn definition(row: &hive::Table) -> serde_json::Value {
    let text = row.view_original_text.as_deref().unwrap();
    let coded = text.strip_prefix("/* Presto View: ").unwrap().strip_suffix(" */").unwrap();
    let decoded = base64::engine::general_purpose::STANDARD.decode(coded).unwrap();
    serde_json::from_slice(&decoded).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_row_is_a_view_for_trino_and_for_spark() {
    let place = Place::new().await;
    publish(&place, "sales.orders", in_step(5)).await;
    let service = place.serve().await;
    let mut client = Client::new(service.address).await;
    let row = table(&mut client, "Sales@2", "Orders").await.unwrap();
    assert_eq!(row.table_type.as_deref(), Some("VIRTUAL_VIEW"));
    assert_eq!(row.db_name.as_deref(), Some("sales@2"));
    assert_eq!(row.table_name.as_deref(), Some("orders"));
    assert_eq!(row.partition_keys, Some(Vec::new()));
    let spark = row.view_expanded_text.as_deref();
    assert_eq!(spark, Some("SELECT `C0`, `C1` FROM `sales`.`orders` VERSION AS OF 2"));
    let expect = json!({
        "originalSql": r#"SELECT "C0", "C1" FROM "orders" FOR VERSION AS OF 2"#,
        "catalog": "delta",
        "schema": "sales",
        "columns": [{"name": "c0", "type": "bigint"}, {"name": "c1", "type": "bigint"}],
        "runAsInvoker": true,
        "path": [],
    });
    assert_eq!(definition(&row), expect);
    let parameters = row.parameters.unwrap();
    for (key, value) in [
        ("presto_view", "true"),
        ("comment", "Presto View"),
        ("view.query.out.numCols", "2"),
        ("view.query.out.col.0", "C0"),
        ("spark.sql.sources.schema.numParts", "1"),
    ] {
        assert_eq!(parameters.get(key).map(String::as_str), Some(value), "{key}");
    }
    assert!(!parameters.contains_key("spark.sql.sources.provider"));
    let schema = &parameters["spark.sql.sources.schema.part.0"];
    let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
    assert_eq!(schema["fields"][1]["name"], "C1");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_a_moment_and_a_pin_name_one_version() {
    let place = Place::new().await;
    publish(&place, "sales.orders", in_step(5)).await;
    let pin = Pin { name: "close".to_owned(), position: Position::Version(3), created_ms: NOW };
    place.catalog.pin(&name("sales.orders"), &pin, None).await.unwrap();
    let service = place.serve().await;
    let mut client = Client::new(service.address).await;
    for (pin, expect) in [
        ("5".to_owned(), 5),
        ("CLOSE".to_owned(), 3),
        (moment(committed(4) - 1), 3),
        (moment(committed(4)), 4),
        (moment(committed(5)), 5),
        // Up to the last look at the source, less what stores cut off the times of objects.
        (moment(committed(5) + 599_000), 5),
    ] {
        let row = table(&mut client, &format!("sales@{pin}"), "orders").await.unwrap();
        assert_eq!(version(&row), expect, "{pin}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_known_or_cannot_be_read_is_not_there() {
    let place = Place::new().await;
    publish(&place, "sales.orders", in_step(5)).await;
    let behind = Progress {
        source_head: Some(Position::Version(9)),
        pending_versions: Some(4),
        oldest_pending_ms: Some(committed(6)),
        ..in_step(5)
    };
    publish(&place, "sales.behind", behind).await;
    let all = Progress { earliest_readable: None, ..in_step(5) };
    publish(&place, "sales.whole", all).await;
    place.snapshots.tell("sales.hudi", snapshot(false));
    place.publish("sales.hudi", "hudi", None).await;
    let service = place.serve().await;
    let mut client = Client::new(service.address).await;
    let late = moment(committed(6) + 1_000);
    for (pin, name, expect) in [
        ("1", "orders", "version 2 is the first that can be read at east"),
        ("6", "orders", "east has published version 5 only"),
        (&moment(committed(1)), "orders", "version 2 is the first"),
        (&moment(NOW), "orders", "no version of that time is known"),
        (&late, "behind", "complete up to 2025-11-30T10:59:19.999Z only"),
        (&moment(committed(99)), "orders", "is known to be complete up to"),
        // The log does not reach down to it.
        ("0", "whole", "version 0 cannot be read"),
        ("2", "hudi", "does not exist"),
        ("2", "nope", "does not exist"),
        ("2", "a-b", "does not exist"),
    ] {
        let (field, text) = table(&mut client, &format!("sales@{pin}"), name).await.unwrap_err();
        assert_eq!(field, 2, "NoSuchObjectException");
        assert!(text.contains(expect), "{pin} {name}: {text}");
    }
    let shown = table(&mut client, &format!("sales@{late}"), "orders").await.unwrap();
    assert_eq!(version(&shown), 5);
    let names = client.call(&texts("get_all_tables", &[&format!("sales@{late}")])).await.texts();
    assert_eq!(names, ["orders", "whole"]);
    // Nothing is published at the other site.
    let west = place.serve_with("west", Default::default()).await;
    let mut client = Client::new(west.address).await;
    let (_, text) = table(&mut client, "sales@2", "orders").await.unwrap_err();
    assert!(text.contains("not published at west"), "{text}");
    west.stop().await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_begun_anew_shows_what_its_receipts_tell() {
    let place = Place::new().await;
    publish(&place, "sales.orders", in_step(5)).await;
    let serving = r#"{"location":"vast:old/orders","incarnation":0,"head":5,
        "head_committed_ms":1764500300000,"published_ms":null,"earliest_readable":2,"keep_ms":null}"#;
    place.sql("UPDATE replicas SET serving = $1 WHERE site = 'east'", &[serving]).await;
    let service = place.serve().await;
    let mut client = Client::new(service.address).await;
    assert_eq!(version(&table(&mut client, "sales@4", "orders").await.unwrap()), 4);
    let database = format!("sales@{}", moment(committed(6)));
    let (_, text) = table(&mut client, &database, "orders").await.unwrap_err();
    assert!(text.contains("begun_anew"), "{text}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_are_there_for_whoever_names_them() {
    let place = Place::new().await;
    publish(&place, "sales.orders", in_step(5)).await;
    let pin = Pin { name: "close".to_owned(), position: Position::Version(3), created_ms: NOW };
    place.catalog.pin(&name("sales.orders"), &pin, None).await.unwrap();
    let service = place.serve().await;
    let mut client = Client::new(service.address).await;
    for database in ["sales@7", "SALES@close", "sales@20261130T120000Z"] {
        let row: hive::Database = client.call(&texts("get_database", &[database])).await.read();
        assert_eq!(row.name, Some(database.to_lowercase()));
        assert_eq!(row.location_uri.as_deref(), Some("s3a://lake/east/lake/sales"));
    }
    for (database, expect) in [
        ("sales@noon at last", "sales@20261130T120000Z"),
        ("sales@", "write sales@7 for version 7"),
        ("sales@nope", "no table with a pin of this name"),
        ("nope@7", "no such namespace"),
        ("default@7", "no such namespace"),
    ] {
        let answer = client.call(&texts("get_database", &[database])).await;
        let (field, text) = answer.failure().unwrap();
        assert_eq!(field, 1, "NoSuchObjectException");
        assert!(text.contains(expect), "{database}: {text}");
        let (field, text) = table(&mut client, database, "orders").await.unwrap_err();
        assert_eq!(field, 2, "NoSuchObjectException");
        assert!(text.contains(expect), "{database}: {text}");
        // A listing has no exception for that: Trino would ask ten times.
        let names = client.call(&texts("get_tables", &[database, "*"])).await.texts();
        assert_eq!(names, [""; 0]);
    }
    let all = client.call(&message("get_all_databases", &[0])).await.texts();
    assert_eq!(all, ["default", "sales"]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn views_are_listed_as_views() {
    let place = Place::new().await;
    for table in ["sales.items", "sales.orders", "sales.old"] {
        publish(&place, table, in_step(if table == "sales.old" { 2 } else { 5 })).await;
    }
    place.snapshots.tell("sales.mor", snapshot(true));
    place.publish("sales.mor", "hudi", None).await;
    let service = place.serve().await;
    let mut client = Client::new(service.address).await;
    for (call, expect) in [
        (texts("get_all_tables", &["sales@3"]), &["items", "orders"][..]),
        (texts("get_tables", &["SALES@3", "o*"]), &["orders"]),
        (
            texts("get_tables_by_type", &["sales@2", "*", "VIRTUAL_VIEW"]),
            &["items", "old", "orders"],
        ),
        (texts("get_tables_by_type", &["sales@2", "*", "EXTERNAL_TABLE"]), &[]),
        (texts("get_tables_by_type", &["sales", "o*", "VIRTUAL_VIEW"]), &[]),
        (
            texts("get_table_names_by_filter", &["sales@3", "presto_view = \"true\""]),
            &["items", "orders"],
        ),
        (texts("get_table_names_by_filter", &["sales", "presto_view = \"true\""]), &[]),
        (texts("get_partition_names", &["sales@3", "orders"]), &[]),
    ] {
        assert_eq!(client.call(&call).await.texts(), expect, "{}", String::from_utf8_lossy(&call));
    }
    let metas: Vec<hive::TableMeta> =
        client.call(&texts("get_table_meta", &["sales@3", "*"])).await.list();
    assert_eq!(metas.len(), 2);
    for meta in metas {
        assert_eq!(meta.db_name.as_deref(), Some("sales@3"));
        assert_eq!(meta.table_type.as_deref(), Some("VIRTUAL_VIEW"));
        assert_eq!(
            meta.comments.as_deref(),
            Some("Presto View"),
            "else Trino takes it for a table"
        );
    }
    let answer = client.call(&texts("get_partition_names", &["sales@3", "old"])).await;
    assert!(answer.failure().unwrap().1.contains("version 2 only"));
    service.stop().await;
}

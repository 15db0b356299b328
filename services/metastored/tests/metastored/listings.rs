//! What is listed: databases, tables, views of merge-on-read tables, and what each site has.

use std::collections::BTreeMap;

use driftless_metastored::{Column, Snapshot, hive};
use table_sync_core::Position;

use crate::client::{Client, texts};
use crate::place::{NOW, Place};

pub(crate) fn snapshot(merges: bool) -> Snapshot {
    let column = |name: &str, hive: &str, spark: &str| Column {
        name: name.to_owned(),
        hive: hive.to_owned(),
        spark: spark.into(),
        nullable: true,
    };
    let partition = |value: &str| (vec![value.to_owned()], format!("region={value}"));
    Snapshot {
        position: Position::parse("20240102030405678_20240102030405000").unwrap(),
        merges,
        columns: vec![
            column("_hoodie_commit_time", "string", "string"),
            column("id", "bigint", "long"),
            column("Amount", "decimal(10,2)", "decimal(10,2)"),
        ],
        partition_columns: vec![column("region", "string", "string")],
        partitions: BTreeMap::from([partition("eu"), partition("us")]),
        gone: BTreeMap::from([partition("old")]),
    }
}

async fn table(client: &mut Client, database: &str, table: &str) -> Option<hive::Table> {
    let answer = client.call(&texts("get_table", &[database, table])).await;
    (answer.field?.0 == 0).then(|| answer.read())
}

fn read_optimized(table: &hive::Table) -> (String, String) {
    let sd = table.sd.clone().unwrap();
    let view = sd.serde_info.unwrap().parameters.unwrap()["hoodie.query.as.ro.table"].clone();
    (sd.input_format.unwrap().rsplit('.').next().unwrap().to_owned(), view)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_whose_format_nobody_knows_is_not_there() {
    let place = Place::new().await;
    place.publish("sales.orders", "delta", None).await;
    place.sql("UPDATE tables SET format = NULL", &[]).await;
    let service = place.serve().await;
    let mut client = Client::new(service.address).await;
    assert_eq!(table(&mut client, "sales", "orders").await, None);
    let names = client.call(&texts("get_all_tables", &["sales"])).await.texts();
    assert_eq!(names, [""; 0]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_on_read_table_has_three_names() {
    let place = Place::new().await;
    for (name, merges) in [("sales.mor", true), ("sales.cow", false), ("sales.trip", true)] {
        place.snapshots.tell(name, snapshot(merges));
        place.publish(name, "hudi", None).await;
    }
    // A table of its own keeps its name.
    place.publish("sales.trip_ro", "delta", None).await;
    let service = place.serve().await;
    let mut client = Client::new(service.address).await;
    let names = client.call(&texts("get_all_tables", &["sales"])).await.texts();
    assert_eq!(
        names,
        ["cow", "mor", "mor_ro", "mor_rt", "trip", "trip_rt", "trip_ro"],
        "trip_ro is there once"
    );
    let real_time = ("HoodieParquetRealtimeInputFormat".to_owned(), "false".to_owned());
    let base = ("HoodieParquetInputFormat".to_owned(), "true".to_owned());
    let plain = ("HoodieParquetInputFormat".to_owned(), "false".to_owned());
    for (name, expect) in
        [("mor", &real_time), ("mor_rt", &real_time), ("mor_ro", &base), ("cow", &plain)]
    {
        let row = table(&mut client, "sales", name).await.unwrap();
        assert_eq!(row.table_name.as_deref(), Some(name));
        assert_eq!(read_optimized(&row), *expect, "{name}");
        let location = row.sd.unwrap().location.unwrap();
        let table = name.strip_suffix("_ro").or(name.strip_suffix("_rt")).unwrap_or(name);
        assert_eq!(location, format!("s3a://lake/east/lake/sales/{table}"));
    }
    for name in ["cow_ro", "cow_rt", "mor_xx", "_ro", "nothing_ro"] {
        assert_eq!(table(&mut client, "sales", name).await, None, "{name}");
    }
    let own = table(&mut client, "sales", "trip_ro").await.unwrap();
    assert_eq!(own.parameters.unwrap()["spark.sql.sources.provider"], "delta");
    // Engines fold names, and others do not.
    assert!(table(&mut client, "SALES", "Mor_RT").await.is_some());
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_listed_by_value_and_fetched_a_while_longer() {
    let place = Place::new().await;
    place.snapshots.tell("sales.cow", snapshot(false));
    place.publish("sales.cow", "hudi", None).await;
    place.publish("sales.delta", "delta", None).await;
    let service = place.serve().await;
    let mut client = Client::new(service.address).await;
    let names = client.call(&texts("get_partition_names", &["sales", "cow"])).await;
    assert_eq!(names.texts(), ["region=eu", "region=us"]);
    let names = client.call(&texts("get_partition_names", &["sales", "delta"])).await;
    assert_eq!(names.texts(), [""; 0]);
    for (name, there) in [("region=eu", true), ("region=old", true), ("region=apac", false)] {
        let answer = client.call(&texts("get_partition_by_name", &["sales", "cow", name])).await;
        assert_eq!(answer.failure().is_none(), there, "{name}");
        if there {
            let row: hive::Partition = answer.read();
            let location = row.sd.unwrap().location.unwrap();
            assert_eq!(location, format!("s3a://lake/east/lake/sales/cow/{name}"));
        }
    }
    let rows: Vec<hive::Partition> =
        client.call(&texts("get_partitions", &["sales", "cow"])).await.list();
    assert_eq!(rows.len(), 2);
    let filtered =
        client.call(&texts("get_partitions_by_filter", &["sales", "cow", "a = 1"])).await;
    assert_eq!(filtered.failure().map(|failure| failure.0), Some(1));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_site_has_what_it_has_published() {
    let place = Place::new().await;
    place.publish("sales.orders", "delta", None).await;
    let (east, west) = (place.serve().await, place.serve_with("west", Default::default()).await);
    let mut at_east = Client::new(east.address).await;
    let mut at_west = Client::new(west.address).await;
    assert!(table(&mut at_east, "sales", "orders").await.is_some());
    // Registered there, and not published yet.
    assert_eq!(table(&mut at_west, "sales", "orders").await, None);
    assert_eq!(at_west.call(&texts("get_all_tables", &["sales"])).await.texts(), [""; 0]);
    place.sql("UPDATE replicas SET head = '0' WHERE site = $1", &["west"]).await;
    let row = table(&mut at_west, "sales", "orders").await.unwrap();
    assert_eq!(row.sd.unwrap().location.unwrap(), "s3a://lake/west/lake/sales/orders");
    // While a replica is begun anew, readers are sent to the old one.
    let serving = r#"{"location":"vast:old/orders","incarnation":1,"head":3,
        "head_committed_ms":null,"published_ms":null,"earliest_readable":null,"keep_ms":null}"#;
    let sql = "UPDATE replicas SET head = NULL, serving = $1 WHERE site = 'west'";
    place.sql(sql, &[serving]).await;
    let row = table(&mut at_west, "sales", "orders").await.unwrap();
    assert_eq!(row.sd.unwrap().location.unwrap(), "s3a://lake/old/orders");
    let databases = at_west.call(&texts("get_databases", &["*"])).await.texts();
    assert_eq!(databases, ["default", "sales"]);
    let database: hive::Database = at_west.call(&texts("get_database", &["sales"])).await.read();
    assert_eq!(database.location_uri.unwrap(), "s3a://lake/west/lake/sales");
    east.stop().await;
    west.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_does_not_answer_is_an_error_and_no_empty_table() {
    let place = Place::new().await;
    place.publish("sales.lost", "hudi", None).await;
    place.publish("sales.orders", "delta", None).await;
    let service = place.serve().await;
    let mut client = Client::new(service.address).await;
    for method in ["get_table", "get_partition_names", "get_partitions"] {
        let (_, text) = client.call(&texts(method, &["sales", "lost"])).await.failure().unwrap();
        assert!(text.contains("read the replica"), "{method}: {text}");
    }
    // It is listed, and the others are.
    let names = client.call(&texts("get_all_tables", &["sales"])).await.texts();
    assert_eq!(names, ["lost", "orders"]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_tables_are_listed_in_one_call() {
    let place = Place::new().await;
    place.catalog.put_namespace("lake", "sales", NOW).await.unwrap();
    let numbers = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 9999)";
    let policy = serde_json::to_string(&driftless_catalog::Policy::default()).unwrap();
    place
        .sql(
            Box::leak(
                format!(
                    "{numbers} INSERT INTO tables (id, project, namespace, name, source, format, \
                     policy, priority, desired, wake, epoch, revision, created_ms) SELECT \
                     printf('%05d', i), 'lake', 'sales', printf('t_%05d', i), printf('gs://s/%d', \
                     i), 'delta', $1, 'normal', 'active', 0, 0, 1, 0 FROM n"
                )
                .into_boxed_str(),
            ),
            &[&policy],
        )
        .await;
    place
        .sql(
            Box::leak(
                format!(
                    "{numbers} INSERT INTO replicas (table_id, site, location, incarnation, epoch, \
                     condition, condition_since_ms, head, revision) SELECT printf('%05d', i), \
                     'east', printf('vast:east/t_%05d', i), 1, 0, 'well', 0, '3', 1 FROM n"
                )
                .into_boxed_str(),
            ),
            &[],
        )
        .await;
    let service = place.serve().await;
    let mut client = Client::new(service.address).await;
    let began = std::time::Instant::now();
    let metas: Vec<hive::TableMeta> =
        client.call(&texts("get_table_meta", &["sales", "*"])).await.list();
    eprintln!("10,000 tables listed in {:?}", began.elapsed());
    assert_eq!(metas.len(), 10_000);
    assert_eq!(metas[7].table_name.as_deref(), Some("t_00007"));
    let names = client.call(&texts("get_tables", &["sales", "t_0000*"])).await.texts();
    assert_eq!(names.len(), 10);
    service.stop().await;
}

//! Every method: those that read are known, those that write are refused.

use driftless_metastored::hive;
use thrift::protocol::TType;

use crate::client::{Client, message, texts};
use crate::place::Place;

#[tokio::test(flavor = "multi_thread")]
async fn every_method_that_writes_is_refused_with_the_way_out() {
    let place = Place::new().await;
    let service = place.serve().await;
    let mut client = Client::new(service.address).await;
    let mut count = 0;
    for method in driftless_metastored::writes() {
        let answer = client.call(&texts(method, &["sales", "orders"])).await;
        let (field, text) = answer.failure().unwrap_or_else(|| panic!("{method}: {answer:?}"));
        assert!((1..=3).contains(&field), "{method}: {field}");
        assert_eq!(text, "read-only: register tables in Driftless", "{method}");
        count += 1;
    }
    assert!(count > 70, "{count} methods");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_method_that_reads_is_unknown() {
    let place = Place::new().await;
    place.publish("sales.orders", "delta", None).await;
    let service = place.serve().await;
    let mut client = Client::new(service.address).await;
    let mut names: Vec<_> = driftless_metastored::reads().collect();
    for method in &names {
        // Without arguments, and with two names: whatever they mean, there is an answer.
        for call in [message(method, &[0]), texts(method, &["sales", "orders"])] {
            let answer = client.call(&call).await;
            assert_eq!(answer.name, *method);
            let decodes = !answer.exception || answer.value.ends_with(&[8, 0, 2, 0, 0, 0, 7, 0]);
            assert!(decodes, "{method}: {answer:?}");
        }
    }
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all, "a method is there twice");
    // What `hms-calls.md` saw, and what older and newer clients use in its place.
    for method in [
        "set_ugi",
        "get_all_databases",
        "get_databases",
        "get_database",
        "get_tables",
        "get_tables_by_type",
        "get_table_meta",
        "get_table",
        "get_table_req",
        "get_functions",
        "get_function",
        "get_partition_names",
        "get_partition_names_ps",
        "get_partition",
        "get_all_tables",
        "get_table_objects_by_name",
        "get_table_objects_by_name_req",
        "get_partitions",
        "get_partitions_by_names",
        "get_partitions_ps_with_auth",
        "get_config_value",
        "get_table_statistics_req",
        "getName",
        "getStatus",
    ] {
        assert!(names.contains(&method), "{method}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_without_a_table_have_an_answer() {
    let place = Place::new().await;
    let service = place.serve().await;
    let mut client = Client::new(service.address).await;
    let setting = client.call(&texts("get_config_value", &["hive.x", "what I take"])).await;
    assert_eq!(setting.value[4..15], *b"what I take");
    let status = client.call(&texts("getStatus", &[])).await;
    assert_eq!((status.field, &status.value[..4]), (Some((0, TType::I32)), &[0, 0, 0, 2][..]));
    let values = client.call(&texts("partition_name_to_vals", &["a=x%2Fy/b=1"])).await;
    assert_eq!(values.texts(), ["x/y", "1"]);
    let catalogs = client.call(&texts("get_catalogs", &[])).await;
    assert_eq!(catalogs.read::<hive::NamesResult>().names, ["hive"]);
    let function = client.call(&texts("get_function", &["sales", "f"])).await;
    assert_eq!(function.failure(), Some((2, "Function sales.f does not exist".to_owned())));
    let user = message("set_ugi", b"\x0b\0\x01\0\0\0\x01u\x0f\0\x02\x0b\0\0\0\x01\0\0\0\x01g\0");
    assert_eq!(client.call(&user).await.texts(), ["g"]);
    service.stop().await;
}

/// A call whose one argument is a struct of texts, with the fields 1, 2, ...
fn request(name: &str, arguments: &[&str]) -> Vec<u8> {
    let head = message("", &[]).len();
    let fields = &texts("", arguments)[head..];
    message(name, &[&[12, 0, 1], fields, &[0]].concat())
}

/// As Hive 3.1.3 answers: `./dev e2e` compares with one.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_no_empty_answer() {
    let place = Place::new().await;
    place.publish("sales.orders", "delta", None).await;
    let service = place.serve().await;
    let mut client = Client::new(service.address).await;
    // `UnknownDBException` of lists of tables, `NoSuchObjectException` of statistics.
    for (method, names, failure) in [
        ("get_table_objects_by_name_req", &["nowhere"][..], Some(3)),
        ("get_table_objects_by_name_req", &["sales"], None),
        ("get_table_statistics_req", &["nowhere", "orders"], Some(1)),
        ("get_table_statistics_req", &["sales", "nothing"], Some(1)),
        ("get_table_statistics_req", &["sales", "orders"], None),
        ("get_table_statistics_req", &["sales@0", "orders"], None),
        ("get_table_statistics_req", &["sales@9", "orders"], Some(1)),
    ] {
        let answer = client.call(&request(method, names)).await;
        assert_eq!(answer.failure().map(|failure| failure.0), failure, "{method} {names:?}");
        assert!(!answer.exception, "{method} {names:?}: {answer:?}");
    }
    let unknown = client.call(&texts("get_table_objects_by_name", &["nowhere"])).await;
    assert_eq!(unknown.failure(), Some((3, "database nowhere does not exist".to_owned())));
    service.stop().await;
}

/// `MetaStoreUtils.prependCatalogToDbName`, in clients of Hive 3 and later.
#[tokio::test(flavor = "multi_thread")]
async fn names_may_have_a_catalog_in_front() {
    let place = Place::new().await;
    place.publish("sales.orders", "delta", None).await;
    let service = place.serve().await;
    let mut client = Client::new(service.address).await;
    for all in ["@hive#", "@hive#*"] {
        let databases = client.call(&texts("get_databases", &[all])).await.texts();
        assert_eq!(databases, ["default", "sales"], "{all}");
    }
    let some = client.call(&texts("get_databases", &["@hive#s*"])).await.texts();
    assert_eq!(some, ["sales"]);
    let none = client.call(&texts("get_database", &["@hive#!"])).await;
    assert_eq!(none.failure().map(|failure| failure.0), Some(1));
    let database: hive::Database =
        client.call(&texts("get_database", &["@hive#sales"])).await.read();
    assert_eq!(database.name.as_deref(), Some("sales"));
    let names = client.call(&texts("get_all_tables", &["@hive#sales"])).await.texts();
    assert_eq!(names, ["orders"]);
    let metas: Vec<hive::TableMeta> =
        client.call(&texts("get_table_meta", &["@hive#*", "*"])).await.list();
    assert_eq!(metas.len(), 1);
    let table: hive::Table =
        client.call(&texts("get_table", &["@hive#sales", "orders"])).await.read();
    assert_eq!(table.db_name.as_deref(), Some("sales"));
    service.stop().await;
}

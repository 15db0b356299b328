//! The columns of each version, from every base.

use driftless_testdata::builder::TableBuilder;

use crate::site::log;

/// Columns `a`, then `a` and `b`, then `b` of another type.
fn history() -> TableBuilder {
    TableBuilder::new(5)
        .metadata(|table| table.columns(&[("a", "long")]))
        .commit(|commit| commit.add("x", 1))
        .metadata(|table| table.columns(&[("a", "long"), ("b", "integer")]))
        .commit(|commit| commit.add("y", 1))
        .metadata(|table| table.columns(&[("b", "string")]))
        .commit(|commit| commit.add("z", 1))
        .commit(|commit| commit.add("w", 1))
}

async fn check(table: &TableBuilder, expect: &[(u64, Option<&str>)]) {
    let log = log(table.objects()).await;
    for (version, expect) in expect {
        let schema = log.schema(*version).await.unwrap();
        let columns = schema.map(|schema| {
            let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
            let fields = schema["fields"].as_array().unwrap();
            let field = |of: &serde_json::Value| {
                format!("{} {}", of["name"].as_str().unwrap(), of["type"].as_str().unwrap())
            };
            fields.iter().map(field).collect::<Vec<_>>().join(", ")
        });
        assert_eq!(columns.as_deref(), *expect, "version {version}");
    }
}

#[tokio::test]
async fn a_version_has_the_columns_that_it_had() {
    let table = history();
    let last = [(2, Some("b string")), (3, Some("b string")), (4, None)];
    let first = [(0, Some("a long")), (1, Some("a long, b integer"))];
    let all = [&first[..], &last].concat();
    check(&table, &all).await;
    for version in [1, 3] {
        check(&table.clone().checkpoint_classic(version), &all).await;
        check(&table.clone().checkpoint_v2_json(version, 1), &all).await;
        check(&table.clone().checkpoint_v2_parquet(version, 1), &all).await;
    }
    // Below a log that was cleaned, nothing opens.
    let cleaned = table.checkpoint_classic(2).clean_log_below(2);
    check(&cleaned, &[&[(0, None), (1, None)], &last[..]].concat()).await;
}

//! Discovery rules.

use driftless_catalog::{FoundState, FoundTable};
use serde_json::{Value, json};

use crate::service::{Api, NOW};

fn rule(field: &str, value: Value) -> Value {
    let mut rule = json!({
        "pattern": "source:warehouse/**",
        "name": "lake.{-2}.{-1}",
        "sites": ["east"],
    });
    if !field.is_empty() {
        rule[field] = value;
    }
    rule
}

#[tokio::test]
async fn rules_are_made_run_and_removed() {
    let api = Api::new().await;
    api.seed().await;
    let put = "PUT /v1/rules/all";
    let made = api.change(put, rule("", Value::Null)).await.ok();
    assert_eq!((made.status.as_u16(), &made.json()["spec"]["every_seconds"]), (201, &json!(600)));
    assert_eq!(api.get("/v1/rules/all").await.ok().header("etag"), made.header("etag"));
    let changed = api.change(put, rule("paused", json!(true))).await.ok();
    assert_eq!((changed.status.as_u16(), &changed.json()["revision"]), (200, &json!(2)));
    let stale = made.header("etag");
    let body = rule("", Value::Null).to_string();
    let reply = api.send(put, &[("if-match", &stale)], &body).await;
    assert_eq!(reply.refusal(), (412, "changed".to_owned()));
    let run = api.change("POST /v1/rules/all/run", Value::Null).await.ok();
    let operation = run.json();
    assert_eq!(run.status.as_u16(), 202);
    assert_eq!((&operation["kind"], &operation["resource"]), (&json!("discover"), &json!("all")));
    let found = FoundTable {
        source: "source:warehouse/a/b".to_owned(),
        table: Some("lake.a.b".to_owned()),
        state: FoundState::Registered,
        message: None,
        seen_ms: NOW,
    };
    api.catalog.found("all", &[found], None, NOW).await.unwrap();
    let list = api.get("/v1/rules/all/tables").await.ok().json();
    assert_eq!(list["tables"][0]["table"], "lake.a.b");
    assert_eq!(api.change("DELETE /v1/rules/all", Value::Null).await.status.as_u16(), 204);
    for line in ["GET /v1/rules/all", "GET /v1/rules/all/tables", "POST /v1/rules/all/run"] {
        assert_eq!(api.change(line, Value::Null).await.status.as_u16(), 404, "{line}");
    }
}

#[tokio::test]
async fn a_rule_is_checked() {
    let api = Api::new().await;
    api.seed().await;
    for (field, value, expect) in [
        ("pattern", json!("source:warehouse/t"), 422),
        ("pattern", json!("nowhere:warehouse/**"), 422),
        ("pattern", json!("file:///etc/**"), 422),
        ("pattern", json!("s3://key:secret@b/**"), 422),
        ("pattern", json!("s3://b/wh*/t"), 201),
        ("pattern", json!("source:*"), 200),
        ("pattern", json!("file:///allowed/lake/*"), 200),
        ("sites", json!(["north"]), 422),
        ("sites", json!([]), 422),
        ("every_seconds", json!(1), 422),
        ("policy", json!({ "share": 0 }), 422),
        ("colour", json!("red"), 400),
    ] {
        let body = rule(field, value);
        let reply = api.change("PUT /v1/rules/all", body.clone()).await;
        assert_eq!(reply.status.as_u16(), expect, "{body}: {reply:?}");
    }
}

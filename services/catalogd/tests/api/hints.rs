//! Notifications of stores.

use driftless_catalog::Role;
use driftless_catalogd::Auth;
use serde_json::{Value, json};

use crate::service::{Api, ORDERS};

fn record(bucket: &str, key: &str) -> Value {
    json!({ "s3": { "bucket": { "name": bucket }, "object": { "key": key } } })
}

#[tokio::test]
async fn hints_wake_the_tables_that_they_are_about() {
    let api = Api::new().await;
    api.seed().await;
    api.change("PUT /v1/stores/raw", json!({ "url": "s3://raw/wh" })).await.ok();
    for (name, source) in [("lake.sales.a", "raw:a"), ("lake.sales.b", "s3://raw/wh/b")] {
        let body = json!({ "name": name, "source": source, "sites": ["east"] });
        api.change("POST /v1/tables", body).await.ok();
    }
    api.catalog.beat(("node", "one", "0"), 600_000).await.unwrap();
    api.catalog.claim("node", 10).await.unwrap();
    let woken = async || {
        static LAST: std::sync::atomic::AtomicI64 = std::sync::atomic::AtomicI64::new(-1);
        let order = std::sync::atomic::Ordering::SeqCst;
        let mut names = Vec::new();
        for (id, _, wake) in api.catalog.woken("node", LAST.load(order)).await.unwrap() {
            names.push(api.catalog.table_by_id(&id).await.unwrap().name.to_string());
            LAST.fetch_max(wake, order);
        }
        names
    };
    woken().await;
    let hint = async |body: Value| {
        let headers = [("content-type", "text/plain")];
        let reply = api.send("POST /v1/hints", &headers, &body.to_string()).await.ok();
        assert_eq!(reply.status.as_u16(), 202);
        (reply.json()["matched"].as_u64().unwrap(), reply.json()["ignored"].as_u64().unwrap())
    };
    let body = json!({ "Records": [
        record("raw", "wh/a/_delta_log/00000000000000000001.json"),
        record("raw", "wh/a/part-0.parquet"),
        record("raw", "elsewhere/f"),
        null,
    ] });
    assert_eq!(hint(body).await, (2, 2));
    assert_eq!(woken().await, ["lake.sales.a"]);
    assert_eq!(hint(json!({ "Records": [record("raw", "wh/b/f")] })).await, (1, 0));
    assert_eq!(woken().await, ["lake.sales.b"]);
    assert_eq!(hint(json!({})).await, (0, 1));
    assert_eq!(woken().await, Vec::<String>::new());
    // A table that is registered later is found by the next hint.
    let body = json!({ "name": "lake.sales.c", "source": "raw:c", "sites": ["east"] });
    api.change("POST /v1/tables", body).await.ok();
    assert_eq!(hint(json!({ "Records": [record("raw", "wh/c/f")] })).await, (1, 0));
    let reply = api.send("POST /v1/hints", &[], "no JSON").await;
    assert_eq!(reply.refusal(), (400, "invalid".to_owned()));
}

#[tokio::test]
async fn a_subscription_of_event_grid_is_confirmed() {
    let api = Api::new().await;
    let event = json!([{ "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
        "data": { "validationCode": "512d38b6" } }]);
    let reply = api.change("POST /v1/hints", event).await.ok();
    assert_eq!(reply.status.as_u16(), 200);
    assert_eq!(reply.json(), json!({ "validationResponse": "512d38b6" }));
}

#[tokio::test]
async fn a_token_of_a_project_wakes_its_tables_only() {
    let api = Api::new().await;
    api.seed().await;
    api.register(ORDERS).await;
    let guarded = api.beside(|options| options.auth = Auth::Tokens);
    let event = json!({ "message": { "attributes":
        { "bucketId": "lake", "objectId": "lake/sales/orders/_delta_log/1.json" } } });
    for (project, expect) in [(None, 1), (Some("lake"), 1), (Some("mart"), 0)] {
        let token = guarded.token("feed", Role::Operator, project).await;
        let headers = [("authorization", token.as_str())];
        let reply = guarded.send("POST /v1/hints", &headers, &event.to_string()).await.ok();
        assert_eq!(reply.json()["matched"], expect, "{project:?}");
    }
}

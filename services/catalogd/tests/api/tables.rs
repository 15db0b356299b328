//! Tables: registered, looked at, asked for things, forgotten.

use driftless_catalog::status::Condition;
use driftless_catalog::{Report, TableName};
use serde_json::{Value, json};
use table_sync_core::Position;

use crate::service::{Api, NOW, ORDERS, new_table};

#[tokio::test]
async fn a_table_is_registered_and_shown() {
    let api = Api::new().await;
    api.seed().await;
    let reply = api.change("POST /v1/tables", new_table(ORDERS)).await.ok();
    assert_eq!(reply.status.as_u16(), 201);
    assert_eq!(reply.header("location"), format!("/v1/tables/{ORDERS}"));
    let table = reply.json();
    assert_eq!(table["source"], "source:lake/sales/orders");
    assert_eq!(table["sites"][0]["location"], "vast:east/lake/sales/orders");
    assert_eq!((&table["desired"], &table["priority"]), (&json!("active"), &json!("standard")));
    // Nobody works on it, and what is not known is null.
    assert_eq!((&table["owner"], &table["format"]), (&Value::Null, &Value::Null));
    let site = &table["sites"][0];
    assert_eq!((&site["status"], &site["lag_seconds"]), (&json!("stopped"), &Value::Null));
    for path in [ORDERS, table["id"].as_str().unwrap()] {
        assert_eq!(api.get(&format!("/v1/tables/{path}")).await.ok().json(), table);
    }
}

#[tokio::test]
async fn a_registration_is_checked() {
    let api = Api::new().await;
    api.seed().await;
    api.register(ORDERS).await;
    let with = |field: &str, value: Value| {
        let mut body = new_table("lake.sales.other");
        body[field] = value;
        body
    };
    for (body, expect) in [
        (new_table(ORDERS), 409),
        (with("name", json!("lake.sales")), 422),
        (with("name", json!("Lake.sales.t")), 422),
        (with("name", json!("nowhere.sales.t")), 404),
        (with("sites", json!([])), 422),
        (with("sites", json!(["north"])), 422),
        (with("sites", json!(["east", "east"])), 422),
        (with("source", json!("nowhere:t")), 422),
        (with("source", json!("/data/t")), 422),
        (with("source", json!("file:///etc/t")), 422),
        (with("source", json!("s3://key:secret@b/t")), 422),
        // A replica within its own source, and a source within its own replica.
        (with("source", json!("s3://vast/east")), 422),
        (with("source", json!("vast:west/lake/sales/other/inner")), 422),
        (with("policy", json!({ "poll_seconds": 0 })), 422),
        (with("policy", json!({ "colour": "red" })), 400),
        (with("policy", json!({ "priority": "first" })), 400),
        (with("colour", json!("red")), 400),
    ] {
        for line in ["POST /v1/tables?dry_run=true", "POST /v1/tables"] {
            let reply = api.change(line, body.clone()).await;
            assert_eq!(reply.status.as_u16(), expect, "{line} {body}: {reply:?}");
        }
    }
    let paused = api.change("POST /v1/tables", with("paused", json!(true))).await.ok();
    assert_eq!(paused.json()["sites"][0]["status"], "paused");
}

#[tokio::test]
async fn a_store_is_used_by_its_projects() {
    let api = Api::new().await;
    api.seed().await;
    let put = async |projects: Value| {
        let body = json!({ "url": "gs://lake", "projects": projects });
        api.change("PUT /v1/stores/source", body).await
    };
    assert_eq!(put(json!(["nowhere"])).await.refusal(), (422, "invalid".to_owned()));
    let store = put(json!(["mart"])).await.ok().json();
    assert_eq!(store["projects"], json!(["mart"]));
    let mut by_url = new_table(ORDERS);
    by_url["source"] = json!("gs://lake/t");
    for line in ["POST /v1/tables?dry_run=true", "POST /v1/tables"] {
        for body in [new_table(ORDERS), by_url.clone()] {
            let reply = api.change(line, body).await;
            assert_eq!(reply.refusal(), (422, "invalid".to_owned()), "{line}");
            assert!(reply.text.contains("may not use the store source"), "{reply:?}");
        }
        api.change(line, new_table("mart.sales.orders")).await.ok();
    }
    // Whoever sees one project is not told of others.
    let guarded = api.beside(|options| options.auth = driftless_catalogd::Auth::Tokens);
    let token = guarded.token("lake", driftless_catalog::Role::Operator, Some("lake")).await;
    let headers = [("authorization", token.as_str())];
    let shown = guarded.send("GET /v1/stores/source", &headers, "").await.ok();
    assert_eq!(shown.json()["projects"], Value::Null);
    put(json!([])).await.ok();
    api.change("POST /v1/tables", new_table(ORDERS)).await.ok();
}

#[tokio::test]
async fn a_dry_run_looks_and_changes_nothing() {
    let api = Api::new().await;
    api.seed().await;
    let line = "POST /v1/tables?dry_run=true";
    let reply = api.change(line, new_table(ORDERS)).await.ok();
    assert_eq!(reply.status.as_u16(), 200);
    let answer = reply.json();
    assert_eq!(answer["inspection"]["format"], "delta");
    assert_eq!(answer["replicas"][1]["location"], "vast:west/lake/sales/orders");
    assert_eq!(api.get(&format!("/v1/tables/{ORDERS}")).await.status.as_u16(), 404);
    for (source, expect) in [("source:absent", 422), ("source:away", 503)] {
        let mut body = new_table(ORDERS);
        body["source"] = json!(source);
        let reply = api.change(line, body).await;
        assert_eq!(reply.status.as_u16(), expect, "{reply:?}");
        assert_eq!(reply.json()["error"]["details"]["reason"], "not_a_table");
    }
    api.register(ORDERS).await;
    let plan = api.get(&format!("/v1/tables/{ORDERS}/plan")).await.ok().json();
    assert_eq!(plan["table"], ORDERS);
    let alone = api.beside(|options| options.inspector = None);
    for line in [line.to_owned(), format!("GET /v1/tables/{ORDERS}/plan")] {
        let get = line.starts_with("GET");
        let body = if get { Value::Null } else { new_table("lake.sales.other") };
        let reply = alone.change(&line, body).await;
        assert_eq!(reply.refusal(), (503, "unavailable".to_owned()), "{line}");
    }
}

/// What the owner of a table reports is what callers see.
#[tokio::test]
async fn status_lag_and_reason_are_shown() {
    let api = Api::new().await;
    api.seed().await;
    api.register(ORDERS).await;
    api.catalog.beat(("node-1", "one", "0"), 60_000).await.unwrap();
    api.catalog.claim("node-1", 10).await.unwrap();
    api.publish(ORDERS, "west", &[4]).await;
    let table = api.catalog.table(&TableName::parse(ORDERS).unwrap()).await.unwrap();
    let progress = driftless_catalog::Progress {
        condition: Condition::Blocked,
        reason_code: Some("history_lost".to_owned()),
        reason: Some("version 3 is gone".to_owned()),
        reason_position: Some("3".to_owned()),
        source_head: Some(Position::Version(4)),
        checked_ms: Some(NOW),
        head: Some(Position::Version(2)),
        pending_versions: Some(2),
        pending_bytes: Some(20),
        oldest_pending_ms: Some(NOW - 90_000),
        deadline_ms: Some(NOW + 60_000),
        ..driftless_catalog::Progress::default()
    };
    let report = Report {
        table: table.id,
        site: "east".to_owned(),
        epoch: table.epoch,
        incarnation: 1,
        format: None,
        progress: Some(progress),
        versions: Vec::new(),
        events: Vec::new(),
    };
    assert_eq!(api.catalog.record(&[report], NOW).await.unwrap(), [true]);
    api.pass(10_000);
    let table = api.get(&format!("/v1/tables/{ORDERS}")).await.ok().json();
    assert_eq!((&table["owner"], &table["epoch"]), (&json!("node-1"), &json!(1)));
    let (east, west) = (&table["sites"][0], &table["sites"][1]);
    assert_eq!((&east["status"], &east["lag_seconds"]), (&json!("blocked"), &json!(100.0)));
    assert_eq!(east["headroom_seconds"], 50.0);
    assert_eq!(
        (&east["reason"]["code"], &east["reason"]["position"]),
        (&json!("history_lost"), &json!("3"))
    );
    assert!(east["reason"]["action"].as_str().unwrap().starts_with("resync"), "{east}");
    assert_eq!((&west["status"], &west["lag_seconds"]), (&json!("ok"), &json!(0.0)));
    assert_eq!((&west["reason"], &west["head"]), (&Value::Null, &json!(4)));
    // The longest lag first.
    let lag = api.get("/v1/lag?sort=-lag_seconds").await.ok().json();
    let rows: Vec<_> = lag["lag"].as_array().unwrap().iter().map(|row| &row["site"]).collect();
    assert_eq!(rows, ["east", "west"]);
    assert_eq!(
        (&lag["lag"][0]["status"], &lag["lag"][0]["lag_seconds"]),
        (&json!("blocked"), &json!(100.0))
    );
    let headroom = [0, 1].map(|row| lag["lag"][row]["headroom_seconds"].clone());
    assert_eq!(headroom, [json!(50.0), Value::Null]);
    for (query, expect) in [("status=blocked", 1), ("status=ok", 1), ("status=lagging", 0)] {
        let list = api.get(&format!("/v1/tables?{query}")).await.ok().json();
        assert_eq!(list["tables"].as_array().unwrap().len(), expect, "{query}");
    }
    let list = api.get("/v1/tables?status=ok&site=east").await.ok().json();
    assert_eq!(list["tables"], json!([]), "a status counts at the sites that are shown");
    let nodes = api.get("/v1/nodes").await.ok().json();
    assert_eq!(
        (&nodes["nodes"][0]["id"], &nodes["nodes"][0]["tables"]),
        (&json!("node-1"), &json!(1))
    );
}

/// A status that time alone has changed is another answer; an age that grew is not.
#[tokio::test]
async fn a_tag_follows_the_status() {
    let api = Api::new().await;
    api.seed().await;
    api.register(ORDERS).await;
    api.catalog.beat(("node-1", "one", "0"), 60_000).await.unwrap();
    api.catalog.claim("node-1", 10).await.unwrap();
    api.publish(ORDERS, "west", &[4]).await;
    let path = format!("/v1/tables/{ORDERS}");
    let first = api.get(&path).await.ok();
    let (tag, line) = (first.header("etag"), format!("GET {path}"));
    assert_eq!(first.json()["sites"][1]["status"], "ok");
    let headers = [("if-none-match", tag.as_str())];
    api.pass(1_000);
    assert_eq!(api.send(&line, &headers, "").await.status.as_u16(), 304);
    api.pass(600_000);
    let later = api.send(&line, &headers, "").await.ok();
    assert_eq!(later.json()["sites"][1]["status"], "unknown");
}

#[tokio::test]
async fn wishes_and_operations() {
    let api = Api::new().await;
    api.seed().await;
    api.register(ORDERS).await;
    let table = format!("/v1/tables/{ORDERS}");
    let post =
        async |action: &str, body: Value| api.change(&format!("POST {table}/{action}"), body).await;
    assert_eq!(post("pause", Value::Null).await.ok().json()["desired"], "paused");
    assert_eq!(post("sync", Value::Null).await.refusal(), (409, "not_now".to_owned()));
    assert_eq!(post("resume", Value::Null).await.ok().json()["desired"], "active");
    let sync = post("sync", Value::Null).await.ok();
    assert_eq!((sync.status.as_u16(), &sync.json()["kind"]), (202, &json!("sync")));
    let path = sync.header("location");
    assert_eq!(api.get(&path).await.ok().json(), sync.json());
    for (body, expect) in [
        (json!({ "accept": false }), 422),
        (json!({}), 400),
        (json!({ "accept": true, "site": "north" }), 422),
        (json!({ "accept": true, "site": "east" }), 202),
        (json!({ "accept": true }), 202),
    ] {
        let reply = post("resync", body.clone()).await;
        assert_eq!(reply.status.as_u16(), expect, "{body}: {reply:?}");
    }
    let cancel = format!("POST {path}/cancel");
    assert_eq!(api.change(&cancel, Value::Null).await.ok().json()["state"], "cancelled");
    // Cancelling it again changes nothing.
    api.change(&cancel, Value::Null).await.ok();
    let done = post("sync", Value::Null).await.ok().json()["id"].as_str().unwrap().to_owned();
    use driftless_catalog::transition::OperationState::{Running, Succeeded};
    for state in [Running, Succeeded] {
        assert!(api.catalog.advance(&done, state, (None, None), NOW).await.unwrap());
    }
    let reply = api.change(&format!("POST /v1/operations/{done}/cancel"), Value::Null).await;
    assert_eq!(reply.refusal(), (409, "not_now".to_owned()));
    let absent = "/v1/operations/00000000-0000-7000-8000-000000000000";
    assert_eq!(api.get(absent).await.status.as_u16(), 404);
}

#[tokio::test]
async fn replicas_are_deleted_after_a_confirmation_only() {
    let api = Api::new().await;
    api.seed().await;
    api.register(ORDERS).await;
    api.register("lake.sales.other").await;
    let delete = async |name: &str, query: &str| {
        api.change(&format!("DELETE /v1/tables/{name}?{query}"), Value::Null).await
    };
    let confirm = async |name: &str| {
        let reply = delete(name, "replicas=delete&dry_run=true").await.ok().json();
        assert_eq!(reply["locations"].as_array().unwrap().len(), 2);
        format!("replicas=delete&confirm={}", reply["confirm"].as_str().unwrap())
    };
    assert_eq!(delete(ORDERS, "replicas=delete").await.status.as_u16(), 422);
    assert_eq!(delete(ORDERS, "replicas=delete&confirm=abc").await.status.as_u16(), 422);
    let others = confirm("lake.sales.other").await;
    assert_eq!(delete(ORDERS, &others).await.status.as_u16(), 422, "of another table");
    let late = confirm(ORDERS).await;
    api.pass(10 * 60 * 1_000 + 1);
    assert_eq!(delete(ORDERS, &late).await.status.as_u16(), 422, "ten minutes are over");
    let stale = confirm(ORDERS).await;
    api.change(&format!("POST /v1/tables/{ORDERS}/pause"), Value::Null).await.ok();
    assert_eq!(delete(ORDERS, &stale).await.status.as_u16(), 422, "the table was changed");
    assert_eq!(delete(ORDERS, "grace_seconds=999999999").await.status.as_u16(), 400);
    let good = confirm(ORDERS).await;
    let reply = delete(ORDERS, &format!("{good}&grace_seconds=60")).await.ok();
    assert_eq!(reply.status.as_u16(), 202);
    assert_eq!(reply.json()["request"], json!({ "replicas": "delete", "grace_seconds": 60 }));
    let table = api.get(&format!("/v1/tables/{ORDERS}")).await.ok().json();
    assert_eq!(table["desired"], "unregistering");
    let reply = api.change(&format!("POST /v1/tables/{ORDERS}/resume"), Value::Null).await;
    assert_eq!(reply.refusal(), (409, "not_now".to_owned()));
    // To keep them takes no confirmation.
    let reply = delete("lake.sales.other", "replicas=keep").await.ok();
    let request = json!({ "replicas": "keep", "grace_seconds": 604_800 });
    assert_eq!(reply.json()["request"], request);
}

#[tokio::test]
async fn a_policy_is_replaced_whole() {
    let api = Api::new().await;
    api.seed().await;
    api.register(ORDERS).await;
    let line = format!("PUT /v1/tables/{ORDERS}/policy");
    let body = json!({ "priority": "critical", "poll_seconds": 5 });
    let table = api.change(&line, body).await.ok().json();
    assert_eq!((&table["policy"]["poll_seconds"], &table["revision"]), (&json!(5), &json!(2)));
    assert_eq!(table["lag_target_seconds"], 60);
    let table = api.change(&line, json!({})).await.ok().json();
    assert_eq!(table["policy"]["poll_seconds"], 30);
    for (body, expect) in [(json!({ "share": 0 }), 422), (json!({ "colour": 1 }), 400)] {
        assert_eq!(api.change(&line, body).await.status.as_u16(), expect);
    }
}

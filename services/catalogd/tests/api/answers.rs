//! What every answer has: its shape, its id, its limits; and the document that describes them.

use std::time::Duration;

use driftless_catalogd::Limits;
use expect_test::expect_file;
use serde_json::{Value, json};

use crate::service::{Api, new_table, routes};

#[test]
fn the_document_is_the_one_that_is_checked_in() {
    expect_file!["../../openapi.json"].assert_eq(&driftless_catalogd::openapi());
}

/// What is sent is what the document says: derived schemas do not see what a macro renames.
#[test]
fn words_are_described_as_they_are_sent() {
    let document: Value = serde_json::from_str(&driftless_catalogd::openapi()).unwrap();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        for word in schema["enum"].as_array().unwrap_or(&Vec::new()) {
            let word = word.as_str().unwrap();
            assert_eq!(word, word.to_lowercase(), "{name}: the name of a variant");
        }
    }
    assert_eq!(document["components"]["schemas"]["Role"]["enum"][4], "admin");
    assert!(!document.to_string().contains("schemas/Fate"), "not in the components");
}

#[test]
fn every_route_is_described() {
    let mut ids = Vec::new();
    for (route, _, operation) in routes() {
        for field in ["summary", "operationId"] {
            assert!(!operation[field].as_str().unwrap_or_default().is_empty(), "{route} {field}");
        }
        assert_eq!(operation["tags"].as_array().unwrap().len(), 1, "{route}");
        ids.push(operation["operationId"].clone());
        let answers = operation["responses"].as_object().unwrap();
        let public = operation["security"] == json!([{}]);
        let change = !route.starts_with("GET ") && !route.starts_with("OPTIONS ");
        let mut errors = vec!["400", "500", "503"];
        if !public {
            errors.extend(["401", "403"]);
        }
        if change {
            errors.extend(["404", "409", "412", "413", "422"]);
        }
        for error in errors {
            let schema = &answers[error]["content"]["application/json"]["schema"]["$ref"];
            assert_eq!(*schema, "#/components/schemas/Error", "{route} {error}");
        }
        let names: Vec<_> = operation["parameters"].as_array().unwrap().iter().collect();
        let has = |name: &str| names.iter().any(|one| one["name"] == name);
        assert_eq!(has("Idempotency-Key"), change, "{route}");
        assert_eq!(has("If-Match"), change && route.contains('{'), "{route}");
        assert_eq!(has("page_size"), has("page_token"), "{route}");
    }
    let all = ids.len();
    ids.sort_by_key(Value::to_string);
    ids.dedup();
    assert_eq!(ids.len(), all, "operation ids are unique");
}

#[tokio::test]
async fn the_service_describes_itself() {
    let api = Api::new().await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(api.get(path).await.ok().json(), json!({ "status": "ok" }));
    }
    assert_eq!(api.get("/openapi.json").await.ok().text, driftless_catalogd::openapi());
    let config = api.get("/v1/config").await.ok().json();
    assert_eq!(config["api_version"], "v1");
    assert_eq!(config["idempotency_key_lifetime"], "PT30M");
    let endpoints: Vec<_> = config["endpoints"].as_array().unwrap().clone();
    assert!(endpoints.contains(&json!("GET /v1/tables/{table}")), "{endpoints:?}");
    assert_eq!(endpoints.len(), routes().len());
    api.catalog.close().await;
    assert_eq!(api.get("/readyz").await.refusal(), (503, "unavailable".to_owned()));
    assert_eq!(api.get("/healthz").await.status.as_u16(), 200);
}

/// Every refusal has the one shape, whoever refuses.
#[tokio::test]
async fn refusals_have_one_shape() {
    let api = Api::with(|options| options.limits.body_bytes = 1_000).await;
    api.seed().await;
    let large = json!({ "url": "x".repeat(1_000) }).to_string();
    let json_kind = ("content-type", "application/json");
    for (line, headers, body, expect) in [
        ("GET /nowhere", &[][..], "", (404, "not_found")),
        ("GET /v1/nowhere", &[], "", (404, "not_found")),
        ("POST /v1/nowhere", &[], "{}", (404, "not_found")),
        ("PATCH /v1/tables", &[], "{}", (405, "method_not_allowed")),
        ("DELETE /healthz", &[], "", (405, "method_not_allowed")),
        ("GET /v1/stores/absent", &[], "", (404, "not_found")),
        ("GET /v1/tables/absent", &[], "", (404, "not_found")),
        ("GET /v1/tables/a.b.c", &[], "", (404, "not_found")),
        ("GET /v1/stores?colour=red", &[], "", (400, "invalid")),
        ("GET /v1/nodes?page_size=1", &[], "", (400, "invalid")),
        ("GET /v1/stores?page_size=1&page_size=2", &[], "", (400, "invalid")),
        ("GET /v1/stores?page_size=0", &[], "", (400, "invalid")),
        ("GET /v1/stores?page_size=1001", &[], "", (400, "invalid")),
        ("GET /v1/stores?page_size=ten", &[], "", (400, "invalid")),
        ("GET /v1/tables?status=fine", &[], "", (400, "invalid")),
        ("GET /v1/lag?sort=table", &[], "", (400, "invalid")),
        ("GET /v1/events?after=1&before=9", &[], "", (400, "invalid")),
        ("GET /v1/stores/a%00b", &[], "", (400, "invalid")),
        ("GET /v1/stores/a%ffb", &[], "", (400, "invalid")),
        ("GET /v1/tables?project=a%0ab", &[], "", (400, "invalid")),
        ("PUT /v1/stores/ab", &[json_kind], "", (400, "invalid")),
        ("PUT /v1/stores/ab", &[], "{", (400, "invalid")),
        ("PUT /v1/stores/ab", &[], "[]", (400, "invalid")),
        ("PUT /v1/stores/ab", &[], r#"{"url":7}"#, (400, "invalid")),
        ("PUT /v1/stores/ab", &[], r#"{"url":"s3://b","colour":"red"}"#, (400, "invalid")),
        ("PUT /v1/stores/ab", &[], r#"{"url":"s3://b\u0000"}"#, (400, "invalid")),
        ("PUT /v1/stores/ab", &[], r#"{"url":"s3://b\n"}"#, (400, "invalid")),
        ("PUT /v1/stores/ab", &[], "", (415, "unsupported_media_type")),
        (
            "PUT /v1/stores/ab",
            &[("content-type", "text/plain")],
            "{}",
            (415, "unsupported_media_type"),
        ),
        ("PUT /v1/stores/ab", &[], &large, (413, "too_large")),
        ("PUT /v1/stores/A", &[], r#"{"url":"s3://b"}"#, (422, "invalid")),
        ("DELETE /v1/stores/vast", &[], "", (409, "in_use")),
    ] {
        let reply = api.send(line, headers, body).await;
        let (status, word) = reply.refusal();
        assert_eq!((status, word.as_str()), expect, "{line} {body}: {reply:?}");
        let error = &reply.json()["error"];
        assert_eq!(error["code"], status);
        assert_eq!(error["details"]["request_id"], reply.header("x-request-id").as_str());
        assert!(error["message"].as_str().unwrap().len() > 10, "{reply:?}");
        assert_eq!(reply.header("content-type"), "application/json");
    }
    let reply = api.send("PATCH /v1/tables", &[], "{}").await;
    assert!(reply.header("allow").contains("GET"), "{reply:?}");
    let reply = api.get("/v1/stores?colour=red").await.json();
    assert_eq!(reply["error"]["details"]["parameter"], "colour");
    let reply = api.send("PUT /v1/stores/ab", &[], r#"{"url":"s3://b","colour":1}"#).await;
    assert!(reply.text.contains("colour"), "{reply:?}");
}

#[tokio::test]
async fn request_ids_are_kept_or_made() {
    let api = Api::new().await;
    for (given, kept) in [("trace-7.b:2_x", true), ("", false), ("a b", false), ("a\"b", false)] {
        let reply = api.send("GET /healthz", &[("x-request-id", given)], "").await;
        assert_eq!(reply.header("x-request-id") == given, kept, "{given:?}");
        assert!(!reply.header("x-request-id").is_empty());
    }
    let long = "a".repeat(129);
    let reply = api.send("GET /healthz", &[("x-request-id", &long)], "").await;
    assert_ne!(reply.header("x-request-id"), long);
}

fn dry_run(source: &str) -> String {
    let mut body = new_table("lake.sales.orders");
    body["source"] = json!(format!("source:{source}"));
    body.to_string()
}

#[tokio::test]
async fn a_fault_is_an_answer() {
    let api = Api::new().await;
    api.seed().await;
    let line = "POST /v1/tables?dry_run=true";
    let key = ("idempotency-key", "fault");
    let reply = api.send(line, &[key], &dry_run("panics")).await;
    assert_eq!(reply.refusal(), (500, "internal".to_owned()));
    let record = &api.catalog.audit(None, 1).await.unwrap()[0];
    assert_eq!((record.outcome.as_deref(), record.status), (Some("failed"), Some(500)));
    // It is not remembered: the same request is carried out again.
    let reply = api.send(line, &[key], &dry_run("panics")).await;
    assert_eq!(reply.refusal(), (500, "internal".to_owned()));
    assert_eq!(reply.header("idempotency-replayed"), "");
}

#[tokio::test]
async fn a_request_has_its_time() {
    let api = Api::with(|options| {
        let request_time = Duration::from_millis(200);
        options.limits = Limits { request_time, ..Limits::default() };
    })
    .await;
    api.seed().await;
    let key = ("idempotency-key", "slow");
    let line = "POST /v1/tables?dry_run=true";
    let reply = api.send(line, &[key], &dry_run("hangs")).await;
    assert_eq!(reply.refusal(), (503, "unavailable".to_owned()));
    assert_eq!(reply.header("retry-after"), "1");
    // It goes on, and whoever asks again is told so.
    let reply = api.send(line, &[key], &dry_run("hangs")).await;
    assert_eq!(reply.refusal(), (409, "in_progress".to_owned()));
    let record = &api.catalog.audit(None, 2).await.unwrap()[1];
    assert_eq!((&record.outcome, record.status), (&None, None));
}

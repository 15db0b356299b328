//! Requests that are sent again.

use serde_json::json;

use crate::service::{Api, ORDERS};

#[tokio::test]
async fn one_key_is_one_effect() {
    let api = Api::new().await;
    api.seed().await;
    api.register(ORDERS).await;
    let key = [("idempotency-key", "k-1")];
    let line = format!("POST /v1/tables/{ORDERS}/pause");
    let first = api.send(&line, &key, "").await.ok();
    assert_eq!(first.header("idempotency-replayed"), "");
    // Somebody else resumes it; the answer is still the first one.
    api.change(&format!("POST /v1/tables/{ORDERS}/resume"), json!(null)).await.ok();
    let again = api.send(&line, &key, "").await.ok();
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!((&again.text, again.status), (&first.text, first.status));
    assert_eq!(again.header("etag"), first.header("etag"));
    assert_eq!(again.header("content-type"), "application/json");
    let now = api.get(&format!("/v1/tables/{ORDERS}")).await.json();
    assert_eq!(now["desired"], "active");
    // Another request with it is refused: another path, another body, another query.
    let resume = format!("POST /v1/tables/{ORDERS}/resume");
    let reply = api.send(&resume, &key, "").await;
    assert_eq!(reply.refusal(), (422, "idempotency_mismatch".to_owned()));
    let put = [("idempotency-key", "k-2")];
    api.send("PUT /v1/projects/third", &put, r#"{"share":2}"#).await.ok();
    let reply = api.send("PUT /v1/projects/third", &put, r#"{"share":3}"#).await;
    assert_eq!(reply.refusal(), (422, "idempotency_mismatch".to_owned()));
    // After its life it is new.
    api.pass(30 * 60 * 1_000 + 1);
    let late = api.send(&line, &key, "").await.ok();
    assert_eq!(late.header("idempotency-replayed"), "");
}

#[tokio::test]
async fn refusals_are_remembered_too() {
    let api = Api::new().await;
    let key = [("idempotency-key", "k-1")];
    let first = api.send("DELETE /v1/projects/lake", &key, "").await;
    assert_eq!(first.refusal(), (404, "not_found".to_owned()));
    api.change("PUT /v1/projects/lake", json!({})).await.ok();
    let again = api.send("DELETE /v1/projects/lake", &key, "").await;
    assert_eq!((again.header("idempotency-replayed"), again.text), ("true".into(), first.text));
    api.get("/v1/projects/lake").await.ok();
}

#[tokio::test]
async fn answers_without_a_body_are_remembered() {
    let api = Api::new().await;
    api.change("PUT /v1/projects/lake", json!({})).await.ok();
    let key = [("idempotency-key", "k-1")];
    let first = api.send("DELETE /v1/projects/lake", &key, "").await.ok();
    let again = api.send("DELETE /v1/projects/lake", &key, "").await.ok();
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (204, 204));
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!((again.header("content-type"), again.text), (String::new(), String::new()));
}

#[tokio::test]
async fn long_answers_are_not_remembered() {
    let api = Api::new().await;
    api.seed().await;
    api.register(ORDERS).await;
    // 16 folders of 4,096 bytes.
    let roots: Vec<_> = (0..16).map(|at| format!("{at}{}", "x".repeat(4_094))).collect();
    let body = json!({ "absolute_paths": "alias", "alias_roots": roots }).to_string();
    let line = format!("PUT /v1/tables/{ORDERS}/policy");
    let key = [("idempotency-key", "k-1")];
    for revision in [2, 3] {
        let reply = api.send(&line, &key, &body).await.ok();
        assert!(reply.text.len() > 64 * 1024);
        assert_eq!(reply.json()["revision"], revision);
    }
}

#[tokio::test]
async fn a_key_is_a_sane_text() {
    let api = Api::new().await;
    let long = "k".repeat(129);
    for key in ["", "a b", long.as_str()] {
        let reply = api.send("PUT /v1/projects/lake", &[("idempotency-key", key)], "{}").await;
        assert_eq!(reply.refusal(), (400, "invalid".to_owned()), "{key:?}");
    }
}

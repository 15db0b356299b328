//! Lists in pages.

use driftless_catalog::{Alert, FoundState, FoundTable};
use serde_json::{Value, json};

use crate::service::{Api, NOW, ORDERS};

/// Reads a list to its end in pages of `size`, and answers with `key` of its items.
async fn all(api: &Api, path: &str, (things, key): (&str, &str), size: usize) -> Vec<Value> {
    let mut found = Vec::new();
    let mut token = String::new();
    let joint = if path.contains('?') { '&' } else { '?' };
    loop {
        let page = format!("{path}{joint}page_size={size}{token}");
        let reply = api.get(&page).await.ok().json();
        let items = reply[things].as_array().unwrap();
        assert!(items.len() <= size, "{page}");
        found.extend(items.iter().map(|item| item[key].clone()));
        match reply["next_page_token"].as_str() {
            Some(next) => token = format!("&page_token={next}"),
            None => return found,
        }
    }
}

async fn filled() -> Api {
    let api = Api::new().await;
    api.seed().await;
    for at in 0..5 {
        api.change(&format!("PUT /v1/stores/more{at}"), json!({ "url": "s3://b" })).await.ok();
        api.change(&format!("PUT /v1/sites/more{at}"), json!({ "url": "s3://b" })).await.ok();
        api.change(&format!("PUT /v1/projects/more{at}"), json!({})).await.ok();
        api.change(&format!("PUT /v1/projects/lake/namespaces/n{at}"), Value::Null).await.ok();
        let rule = json!({ "pattern": "vast:more/*", "name": "lake.more.{1}", "sites": ["east"] });
        api.change(&format!("PUT /v1/rules/r{at}"), rule).await.ok();
        let body = json!({ "name": format!("t{at}"), "role": "reader" });
        api.change("POST /v1/tokens", body).await.ok();
    }
    for at in 0..5 {
        let name = format!("lake.sales.t{at}");
        api.register(&name).await;
        api.change(&format!("POST /v1/tables/{name}/sync"), Value::Null).await.ok();
    }
    api.register(ORDERS).await;
    api.publish(ORDERS, "east", &[0, 1, 2, 3, 4, 5, 6]).await;
    for at in 0..5 {
        let body = json!({ "position": at });
        api.change(&format!("PUT /v1/tables/{ORDERS}/pins/pin{at}"), body).await.ok();
    }
    let found = |at: i32| FoundTable {
        source: format!("vast:more/{at}"),
        table: None,
        state: FoundState::Refused,
        message: None,
        seen_ms: NOW,
    };
    api.catalog.found("r0", &[found(0), found(1), found(2)], None, NOW).await.unwrap();
    api.catalog.raise_alerts(&alerts()).await.unwrap();
    api
}

/// Two that began at once, one later; one of no project.
pub(crate) fn alerts() -> Vec<Alert> {
    let alert = |fingerprint: &str, project: Option<&str>, starts_ms| Alert {
        fingerprint: fingerprint.to_owned(),
        name: "TableBlocked".to_owned(),
        severity: "ticket".to_owned(),
        project: project.map(str::to_owned),
        labels: [("site".to_owned(), "east".to_owned())].into(),
        annotations: [].into(),
        starts_ms,
        ends_ms: None,
        seen_ms: NOW,
    };
    vec![
        alert("b", Some("lake"), NOW),
        alert("a", Some("lake"), NOW),
        alert("0", Some("mart"), NOW + 1),
        alert("c", None, NOW - 1),
    ]
}

#[tokio::test]
async fn pages_hold_the_whole_list_once() {
    let api = filled().await;
    let versions = format!("/v1/tables/{ORDERS}/versions?site=east");
    let pins = format!("/v1/tables/{ORDERS}/pins");
    for (path, of, expect) in [
        ("/v1/stores", ("stores", "name"), 7),
        ("/v1/sites", ("sites", "name"), 7),
        ("/v1/projects", ("projects", "name"), 7),
        ("/v1/projects/lake/namespaces", ("namespaces", "name"), 6),
        ("/v1/tables", ("tables", "name"), 6),
        ("/v1/tables?site=east&project=lake", ("tables", "name"), 6),
        ("/v1/tables?status=stopped", ("tables", "name"), 6),
        ("/v1/tables?status=ok", ("tables", "name"), 0),
        (&versions, ("versions", "position"), 7),
        (&pins, ("pins", "name"), 5),
        ("/v1/lag?sort=-lag_seconds", ("lag", "table_id"), 12),
        ("/v1/events", ("events", "seq"), 13),
        ("/v1/events?after=3", ("events", "seq"), 10),
        ("/v1/operations", ("operations", "id"), 5),
        ("/v1/operations?table=lake.sales.t3", ("operations", "id"), 1),
        ("/v1/rules", ("rules", "name"), 5),
        ("/v1/rules/r0/tables", ("tables", "source"), 3),
        ("/v1/alerts", ("alerts", "fingerprint"), 4),
        ("/v1/tokens", ("tokens", "id"), 5),
        ("/v1/audit", ("audit", "id"), 52),
    ] {
        let whole = all(&api, path, of, 1_000).await;
        assert_eq!(whole.len(), expect, "{path}: {whole:?}");
        for size in [1, 2, 3, whole.len().max(1)] {
            assert_eq!(all(&api, path, of, size).await, whole, "{path} in pages of {size}");
        }
    }
}

#[tokio::test]
async fn tokens_of_pages_are_for_their_list_only() {
    let api = filled().await;
    let token = async |path: &str| {
        let reply = api.get(path).await.ok().json();
        reply["next_page_token"].as_str().unwrap().to_owned()
    };
    let sites = token("/v1/sites?page_size=1").await;
    let lake = token("/v1/tables?page_size=1&project=lake").await;
    let first = sites.chars().next().unwrap();
    let forged = sites.replacen(first, if first == 'A' { "B" } else { "A" }, 1);
    let other = api.beside(|options| options.page_key = [8; 32]);
    for path in [
        format!("/v1/stores?page_token={sites}"),
        format!("/v1/sites?page_token={forged}"),
        format!("/v1/sites?page_token={}", &sites[..sites.len() - 2]),
        "/v1/sites?page_token=".to_owned(),
        "/v1/sites?page_token=abc".to_owned(),
        format!("/v1/tables?page_token={lake}"),
        format!("/v1/tables?project=mart&page_token={lake}"),
    ] {
        let reply = api.get(&path).await;
        assert_eq!(reply.refusal(), (400, "invalid".to_owned()), "{path}");
    }
    let reply = other.get(&format!("/v1/sites?page_token={sites}")).await;
    assert_eq!(reply.refusal(), (400, "invalid".to_owned()));
    // The size may change between pages.
    api.get(&format!("/v1/tables?project=lake&page_size=5&page_token={lake}")).await.ok();
}

#[tokio::test]
async fn lists_have_tags() {
    let api = Api::new().await;
    api.seed().await;
    for path in ["/v1/stores", "/v1/sites", "/v1/projects", "/v1/config", "/openapi.json"] {
        let tag = api.get(path).await.ok().header("etag");
        assert!(tag.starts_with('"'), "{path} {tag}");
        let headers = [("if-none-match", tag.as_str())];
        let same = api.send(&format!("GET {path}"), &headers, "").await;
        assert_eq!(same.status.as_u16(), 304, "{path}");
    }
    for path in ["/v1/stores", "/v1/stores/vast", "/healthz"] {
        let (head, get) = (api.send(&format!("HEAD {path}"), &[], "").await, api.get(path).await);
        assert_eq!((head.status, head.text.as_str()), (get.status, ""), "{path}");
        // A tag of no bytes would be another resource's.
        assert!(["", &get.header("etag")].contains(&head.header("etag").as_str()), "{path}");
    }
    let tag = api.get("/v1/stores").await.header("etag");
    api.change("PUT /v1/stores/third", json!({ "url": "s3://b" })).await.ok();
    let reply = api.send("GET /v1/stores", &[("if-none-match", &tag)], "").await;
    assert_eq!(reply.status.as_u16(), 200);
}

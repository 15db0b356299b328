//! Keys that are handed to engines: to whom, and that nobody else gets to see them.

use driftless_catalog::Role;
use driftless_catalogd::Auth;
use serde_json::{Value, json};

use crate::service::{Api, Reply};

const EAST: &str = "/v1/sites/east/trino-security-mapping";

/// Two projects with readers at one site, each with keys of its own.
async fn seeded() -> Api {
    let api = Api::new().await;
    api.seed().await;
    for project in ["lake", "mart"] {
        let name = project.to_uppercase();
        let store = json!({ "url": "s3://vast", "projects": [project], "options": {
            "aws_endpoint": "http://vast:9000",
            "aws_access_key_id": { "env": format!("DRIFTLESS_STORE_{name}_KEY") },
            "aws_secret_access_key": { "env": format!("DRIFTLESS_STORE_{name}_SECRET") },
        } });
        api.change(&format!("PUT /v1/stores/{project}-keys"), store).await.ok();
        let readers = json!({ "readers": { "east": format!("{project}-keys") } });
        let made = api.change(&format!("PUT /v1/projects/{project}"), readers.clone()).await.ok();
        assert_eq!(made.json()["readers"], readers["readers"]);
    }
    api.change("PUT /v1/projects/bare", json!({})).await.ok();
    api
}

fn mapping(project: &str) -> Value {
    let name = project.to_uppercase();
    json!({
        "prefix": format!("s3://vast/east/{project}/"),
        "accessKey": format!("in DRIFTLESS_STORE_{name}_KEY"),
        "secretKey": format!("in DRIFTLESS_STORE_{name}_SECRET"),
        "endpoint": "http://vast:9000",
    })
}

#[track_caller]
fn check(reply: Reply, projects: &[&str]) {
    let mappings: Vec<_> = projects.iter().map(|project| mapping(project)).collect();
    assert_eq!(reply.json(), json!({ "mappings": mappings }), "{reply:?}");
    assert_eq!(reply.status.as_u16(), 200);
    assert_eq!(reply.header("cache-control"), "no-store");
    assert_eq!(reply.header("etag"), "", "a tag would tell of what must not be seen");
}

#[tokio::test]
async fn each_project_has_its_folder_and_its_keys() {
    let api = seeded().await;
    check(api.get(EAST).await, &["lake", "mart"]);
    check(api.get(&format!("{EAST}?project=mart")).await, &["mart"]);
    check(api.get(&format!("{EAST}?project=bare")).await, &[]);
    check(api.get("/v1/sites/west/trino-security-mapping").await, &[]);
    for (path, expect) in [
        ("/v1/sites/nowhere/trino-security-mapping".to_owned(), 404),
        (format!("{EAST}?project=nowhere"), 404),
        (format!("{EAST}?colour=red"), 400),
    ] {
        assert_eq!(api.get(&path).await.status.as_u16(), expect, "{path}");
    }
    let without = api.beside(|options| options.secrets = None).get(EAST).await;
    assert_eq!(without.refusal(), (503, "unavailable".to_owned()));
}

#[tokio::test]
async fn a_token_in_the_url_gets_the_keys_of_its_project_and_nothing_else() {
    let api = seeded().await.beside(|options| options.auth = Auth::Tokens);
    let secret = |header: String| header.strip_prefix("Bearer ").unwrap().to_owned();
    let all = secret(api.token("all", Role::Engine, None).await);
    let mart = secret(api.token("mart", Role::Engine, Some("mart")).await);
    check(api.get(&format!("{EAST}?token={all}")).await, &["lake", "mart"]);
    check(api.get(&format!("{EAST}?project=lake&token={all}")).await, &["lake"]);
    check(api.get(&format!("{EAST}?token={mart}")).await, &["mart"]);
    check(api.get(&format!("{EAST}?project=mart&token={mart}")).await, &["mart"]);
    let other = api.get(&format!("{EAST}?project=lake&token={mart}")).await;
    assert_eq!(other.refusal(), (404, "not_found".to_owned()));
    let header = format!("Bearer {mart}");
    check(api.send(&format!("GET {EAST}"), &[("authorization", &header)], "").await, &["mart"]);
    // It is no token for hints, and in no other URL.
    let reply = api.send(&format!("POST /v1/hints?token={all}"), &[], "{}").await;
    assert_eq!(reply.refusal(), (403, "forbidden".to_owned()));
    assert_eq!(api.get(&format!("/v1/sites?token={all}")).await.status.as_u16(), 401);
    // Nor are others taken from this URL, whatever they may do with a header.
    for role in [Role::Hint, Role::Reader, Role::Operator, Role::Admin] {
        let token = secret(api.token(role.as_str(), role, None).await);
        let reply = api.get(&format!("{EAST}?token={token}")).await;
        assert_eq!(reply.refusal(), (403, "forbidden".to_owned()), "{role}");
    }
    let token = secret(api.token("ended", Role::Engine, None).await);
    api.pass(1_000_001);
    assert_eq!(api.get(&format!("{EAST}?token={token}")).await.status.as_u16(), 401);
}

#[tokio::test]
async fn a_key_that_cannot_be_read_ends_no_other_project() {
    let api = seeded().await;
    let guarded = api.beside(|options| options.auth = Auth::Tokens);
    let mut urls = Vec::new();
    for project in [None, Some("mart")] {
        let token = api.token("engine", Role::Engine, project).await;
        urls.push(format!("{EAST}?token={}", token.strip_prefix("Bearer ").unwrap()));
    }
    let whole = json!({ "url": "s3://vast", "options": {
        "access_key_id": { "env": "DRIFTLESS_STORE_K" },
        "secret_access_key": { "env": "DRIFTLESS_STORE_S" },
    } });
    for (field, value, option) in [
        ("access_key_id", json!({ "env": "DRIFTLESS_STORE_ABSENT" }), "access_key_id"),
        ("secret_access_key", json!({ "file": "gone" }), "secret_access_key"),
        ("access_key_id", Value::Null, "aws_access_key_id"),
        ("secret_access_key", Value::Null, "aws_secret_access_key"),
        ("session_token", json!({ "env": "DRIFTLESS_STORE_T" }), "session_token"),
    ] {
        let mut store = whole.clone();
        let options = store["options"].as_object_mut().unwrap();
        match value.is_null() {
            true => drop(options.remove(field)),
            false => drop(options.insert(field.to_owned(), value.clone())),
        }
        api.change("PUT /v1/stores/mart-keys", store).await.ok();
        let reply = api.get(EAST).await;
        assert_eq!(reply.refusal(), (409, "not_now".to_owned()), "{field} {value}");
        let details = &reply.json()["error"]["details"];
        let found = [&details["project"], &details["site"], &details["store"]];
        assert_eq!(found, ["mart", "east", "mart-keys"], "{field} {value}: {reply:?}");
        let message = reply.json()["error"]["message"].as_str().unwrap().to_owned();
        for part in ["project mart", "site east", "store mart-keys", option] {
            assert!(message.contains(part), "{field} {value}: {message}");
        }
        assert!(!reply.text.contains("in DRIFTLESS_STORE_"), "no key is told: {reply:?}");
        check(api.get(&format!("{EAST}?project=lake")).await, &["lake"]);
        // An engine is not told, but served.
        check(guarded.get(&urls[0]).await, &["lake"]);
        check(guarded.get(&urls[1]).await, &[]);
    }
}

#[tokio::test]
async fn readers_name_a_store_that_can_be_theirs() {
    let api = seeded().await;
    api.change("PUT /v1/stores/other", json!({ "url": "s3://other" })).await.ok();
    api.change("PUT /v1/sites/cloud", json!({ "url": "source:site" })).await.ok();
    for (readers, part) in [
        (json!({ "nowhere": "mart-keys" }), "there is no site nowhere"),
        (json!({ "east": "gone" }), "there is no store gone"),
        (json!({ "east": "lake-keys" }), "may not use the store lake-keys"),
        (json!({ "east": "other" }), "the store other is s3://other"),
        (json!({ "cloud": "mart-keys" }), "is not in S3"),
    ] {
        let reply = api.change("PUT /v1/projects/mart", json!({ "readers": readers })).await;
        assert_eq!(reply.refusal(), (422, "invalid".to_owned()), "{reply:?}");
        assert!(reply.text.contains(part), "{reply:?}");
    }
    for (line, by) in [
        ("DELETE /v1/stores/mart-keys", "readers of the project mart"),
        ("DELETE /v1/sites/east", "readers of the project lake"),
    ] {
        let reply = api.change(line, Value::Null).await;
        assert_eq!(reply.refusal(), (409, "in_use".to_owned()), "{reply:?}");
        assert_eq!(reply.json()["error"]["details"]["by"], by);
    }
    // A store that is kept to others later on gives its keys to nobody else.
    let body = json!({ "url": "s3://vast", "projects": ["lake"] });
    api.change("PUT /v1/stores/mart-keys", body).await.ok();
    let reply = api.get(EAST).await;
    assert_eq!(reply.refusal(), (409, "not_now".to_owned()), "{reply:?}");
    // Fetching keys is no change: it is not in the audit, and no value ever was.
    let audit = api.get("/v1/audit").await.ok();
    assert!(!audit.text.contains("trino-security-mapping"), "{audit:?}");
    api.change("PUT /v1/projects/mart", json!({})).await.ok();
    check(api.get(EAST).await, &["lake"]);
}

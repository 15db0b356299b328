//! Who may do what: every route of the OpenAPI document, with every kind of caller.

use driftless_catalog::Role;
use driftless_catalogd::Auth;
use expect_test::expect;
use serde_json::{Value, json};

use crate::pages::alerts;
use crate::service::{Api, NOW, ORDERS, new_table, routes};

/// What a route asks for, as the document says.
fn needs(operation: &Value) -> (Option<Role>, bool) {
    let security = operation["security"].as_array().expect("every route says what it asks for");
    assert_eq!(security.len(), if own(operation).is_some() { 2 } else { 1 });
    let Some(words) = security[0].get("token") else { return (None, false) };
    let words: Vec<_> = words.as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    (Some(Role::parse(words[0]).unwrap()), words.contains(&"all_projects"))
}

/// The role that is made for a route: its token is enough, and may be in the URL.
fn own(operation: &Value) -> Option<Role> {
    let schemes = operation["security"][1].as_object()?;
    Some(Role::parse(schemes.keys().next().unwrap()).unwrap())
}

async fn with_tokens() -> Api {
    let api = Api::new().await;
    api.seed().await;
    api.register(ORDERS).await;
    api.beside(|options| options.auth = Auth::Tokens)
}

#[tokio::test]
async fn every_route_refuses_whoever_may_not() {
    let api = with_tokens().await;
    let mut callers = vec![(None, None, None)];
    for role in Role::ALL {
        for project in [None, Some("lake")] {
            let name = format!("{role}-{}", project.unwrap_or("all"));
            callers.push((Some(*role), project, Some(api.token(&name, *role, project).await)));
        }
    }
    for (route, line, operation) in routes() {
        let (needed, all_projects) = needs(&operation);
        for (role, project, token) in &callers {
            let header = token.as_deref().map(|token| ("authorization", token));
            let reply = api.send(&line, header.as_slice(), "").await;
            let expect = match (needed, role) {
                (None, _) => None,
                (Some(_), None) => Some(401),
                (_, Some(role)) if own(&operation) == Some(*role) => None,
                (Some(needed), Some(role)) if *role < needed => Some(403),
                _ if all_projects && project.is_some() => Some(403),
                _ => None,
            };
            let status = reply.status.as_u16();
            let found = matches!(status, 401 | 403).then_some(status);
            assert_eq!(found, expect, "{route} as {role:?} of {project:?}: {reply:?}");
        }
    }
}

/// What each route asks for, for reviewers.
#[test]
fn routes_ask_for_what_they_should() {
    let mut lines = String::new();
    for (route, _, operation) in routes() {
        let (role, all_projects) = needs(&operation);
        let role = role.map_or("nobody", Role::as_str);
        let role = own(&operation).map_or(role.to_owned(), |own| format!("{own}, {role}"));
        lines += &format!("{role}{} {route}\n", if all_projects { "*" } else { "" });
    }
    expect![[r#"
        nobody GET /healthz
        reader* GET /metrics
        nobody GET /openapi.json
        nobody GET /readyz
        reader GET /v1/alerts
        admin* GET /v1/audit
        reader GET /v1/config
        reader GET /v1/events
        hint, operator OPTIONS /v1/hints
        hint, operator POST /v1/hints
        reader GET /v1/lag
        reader* GET /v1/nodes
        reader GET /v1/operations
        reader GET /v1/operations/{operation}
        operator POST /v1/operations/{operation}/cancel
        reader GET /v1/projects
        admin* DELETE /v1/projects/{project}
        reader GET /v1/projects/{project}
        admin* PUT /v1/projects/{project}
        reader GET /v1/projects/{project}/groups
        reader GET /v1/projects/{project}/groups/{group}/snapshot
        reader GET /v1/projects/{project}/namespaces
        admin DELETE /v1/projects/{project}/namespaces/{namespace}
        admin PUT /v1/projects/{project}/namespaces/{namespace}
        reader* GET /v1/rules
        admin* DELETE /v1/rules/{rule}
        reader* GET /v1/rules/{rule}
        admin* PUT /v1/rules/{rule}
        operator* POST /v1/rules/{rule}/run
        reader* GET /v1/rules/{rule}/tables
        reader GET /v1/sites
        admin* DELETE /v1/sites/{site}
        reader GET /v1/sites/{site}
        admin* PUT /v1/sites/{site}
        engine, admin* GET /v1/sites/{site}/trino-security-mapping
        reader GET /v1/stores
        admin* DELETE /v1/stores/{store}
        reader GET /v1/stores/{store}
        admin* PUT /v1/stores/{store}
        reader GET /v1/tables
        operator POST /v1/tables
        operator DELETE /v1/tables/{table}
        reader GET /v1/tables/{table}
        reader GET /v1/tables/{table}/common-version
        operator POST /v1/tables/{table}/pause
        reader GET /v1/tables/{table}/pins
        operator DELETE /v1/tables/{table}/pins/{pin}
        operator PUT /v1/tables/{table}/pins/{pin}
        reader GET /v1/tables/{table}/plan
        operator PUT /v1/tables/{table}/policy
        operator POST /v1/tables/{table}/resume
        operator POST /v1/tables/{table}/resync
        operator POST /v1/tables/{table}/sync
        reader GET /v1/tables/{table}/versions
        reader GET /v1/tables/{table}/versions/{position}
        admin* GET /v1/tokens
        admin* POST /v1/tokens
        admin* DELETE /v1/tokens/{token}
        reader GET /v1/watch
    "#]]
    .assert_eq(&lines);
}

#[tokio::test]
async fn a_token_must_be_good() {
    let api = with_tokens().await;
    let good = api.token("good", Role::Reader, None).await;
    let secret = good.strip_prefix("Bearer ").unwrap();
    let check = async |header: &str, expect: u16| {
        let reply = api.send("GET /v1/tables", &[("authorization", header)], "").await;
        assert_eq!(reply.status.as_u16(), expect, "{header}: {reply:?}");
        if expect == 401 {
            assert_eq!(reply.refusal(), (401, "unauthenticated".to_owned()));
            assert_eq!(reply.header("www-authenticate"), "Bearer");
        }
    };
    check(&good, 200).await;
    check(&format!("bearer {secret}"), 200).await;
    check(secret, 401).await;
    check(&format!("Basic {secret}"), 401).await;
    check("Bearer ", 401).await;
    check(&format!("Bearer {}", driftless_catalogd::token::secret().unwrap()), 401).await;
    // It ends.
    api.pass(1_000_001);
    check(&good, 401).await;
    api.pass(-1_000_001);
    let id = api.catalog.tokens().await.unwrap()[0].id.clone();
    api.catalog.revoke_token(&id, NOW).await.unwrap();
    check(&good, 401).await;
}

/// A table in each of two projects, with an operation; and tokens of both kinds.
struct Two {
    api: Api,
    admin: String,
    mart: String,
    id: String,
    operation: String,
}

async fn two_projects() -> Two {
    let api = with_tokens().await;
    let admin = api.token("admin", Role::Admin, None).await;
    let mart = api.token("mart", Role::Admin, Some("mart")).await;
    let as_admin = [("authorization", admin.as_str())];
    let as_mart = [("authorization", mart.as_str())];
    let body = new_table("mart.sales.carts").to_string();
    api.send("POST /v1/tables", &as_mart, &body).await.ok();
    let sync = api.send(&format!("POST /v1/tables/{ORDERS}/sync"), &as_admin, "").await.ok();
    let operation = sync.json()["id"].as_str().unwrap().to_owned();
    api.send("POST /v1/tables/mart.sales.carts/sync", &as_mart, "").await.ok();
    let id = api.send(&format!("GET /v1/tables/{ORDERS}"), &as_admin, "").await.ok().json()["id"]
        .as_str()
        .unwrap()
        .to_owned();

    Two { api, admin, mart, id, operation }
}

#[tokio::test]
async fn a_token_of_a_project_changes_that_project() {
    let Two { api, mart, id, operation, .. } = two_projects().await;
    let as_mart = [("authorization", mart.as_str())];
    for path in [
        &format!("/v1/tables/{ORDERS}"),
        &format!("/v1/tables/{id}"),
        &format!("/v1/tables/{ORDERS}/plan"),
        &format!("/v1/tables/{ORDERS}/pins"),
        &format!("/v1/tables/{ORDERS}/versions?site=east"),
        &format!("/v1/tables/{ORDERS}/versions/0"),
        &format!("/v1/tables/{ORDERS}/common-version"),
        &format!("/v1/operations/{operation}"),
        "/v1/projects/lake",
        "/v1/projects/lake/groups",
        "/v1/projects/lake/groups/close/snapshot?site=east",
        "/v1/projects/lake/namespaces",
        "/v1/watch?project=lake",
    ] {
        let reply = api.send(&format!("GET {path}"), &as_mart, "").await;
        assert_eq!(reply.refusal(), (404, "not_found".to_owned()), "{path}");
    }
    for line in [
        format!("POST /v1/tables/{ORDERS}/pause"),
        format!("POST /v1/tables/{ORDERS}/resume"),
        format!("POST /v1/tables/{ORDERS}/sync"),
        format!("DELETE /v1/tables/{ORDERS}"),
        format!("DELETE /v1/tables/{ORDERS}/pins/close"),
        format!("POST /v1/operations/{operation}/cancel"),
        "PUT /v1/projects/lake/namespaces/other".to_owned(),
        "DELETE /v1/projects/lake/namespaces/sales".to_owned(),
    ] {
        let reply = api.send(&line, &as_mart, "").await;
        assert_eq!(reply.refusal(), (404, "not_found".to_owned()), "{line}");
    }
    for (line, body) in [
        (format!("PUT /v1/tables/{ORDERS}/policy"), json!({})),
        (format!("POST /v1/tables/{ORDERS}/resync"), json!({ "accept": true })),
        (format!("PUT /v1/tables/{ORDERS}/pins/close"), json!({ "position": 0 })),
        ("POST /v1/tables".to_owned(), new_table("lake.sales.other")),
    ] {
        let reply = api.send(&line, &as_mart, &body.to_string()).await;
        assert_eq!(reply.refusal(), (404, "not_found".to_owned()), "{line}");
    }
}

#[tokio::test]
async fn a_token_of_a_project_sees_that_project() {
    let Two { api, admin, mart, .. } = two_projects().await;
    let as_admin = [("authorization", admin.as_str())];
    let as_mart = [("authorization", mart.as_str())];
    api.catalog.raise_alerts(&alerts()).await.unwrap();
    for (path, things, key, expect) in [
        ("/v1/alerts", "alerts", "fingerprint", json!(["0"])),
        ("/v1/alerts?project=lake", "alerts", "fingerprint", json!([])),
        ("/v1/tables", "tables", "name", json!(["mart.sales.carts"])),
        ("/v1/tables?project=lake", "tables", "name", json!([])),
        ("/v1/projects", "projects", "name", json!(["mart"])),
        ("/v1/lag", "lag", "table", json!(["mart.sales.carts", "mart.sales.carts"])),
        ("/v1/lag?project=lake", "lag", "table", json!([])),
        ("/v1/events", "events", "table", json!(["mart.sales.carts"])),
        ("/v1/events?project=lake", "events", "table", json!([])),
        ("/v1/operations", "operations", "resource", json!(["mart.sales.carts"])),
    ] {
        let reply = api.send(&format!("GET {path}"), &as_mart, "").await.ok().json();
        let found: Vec<_> =
            reply[things].as_array().unwrap().iter().map(|one| one[key].clone()).collect();
        assert_eq!(json!(found), expect, "{path}");
    }
    // Stores and sites by their names only.
    for path in ["/v1/stores/vast", "/v1/sites/east"] {
        let mine = api.send(&format!("GET {path}"), &as_mart, "").await.ok();
        assert_eq!((&mine.json()["url"], &mine.json()["options"]), (&Value::Null, &Value::Null));
        let whole = api.send(&format!("GET {path}"), &as_admin, "").await.ok();
        assert!(whole.json()["url"].is_string());
        assert_ne!(mine.header("etag"), whole.header("etag"), "{path}");
    }
}

#[tokio::test]
async fn without_tokens_no_web_page_gets_in() {
    let api = Api::new().await;
    for (headers, expect) in [
        (vec![], 200),
        (vec![("host", "127.0.0.1:8080")], 200),
        (vec![("host", "localhost:8080"), ("origin", "http://localhost:8080")], 200),
        (vec![("host", "localhost:8080"), ("origin", "http://localhost:9090")], 403),
        (vec![("host", "localhost:8080"), ("origin", "https://evil.example")], 403),
        (vec![("host", "localhost:8080"), ("origin", "null")], 403),
        (vec![("host", "evil.example:8080"), ("origin", "http://evil.example:8080")], 403),
        (vec![("host", "evil.example")], 403),
    ] {
        for line in ["GET /v1/tables", "PUT /v1/projects/lake"] {
            let body = if line.starts_with("PUT") { "{}" } else { "" };
            let reply = api.send(line, &headers, body).await;
            let status = reply.status.as_u16();
            let status = if status == 201 { 200 } else { status };
            assert_eq!(status, expect, "{line} {headers:?}: {reply:?}");
        }
    }
}

#[tokio::test]
async fn tokens_are_made_shown_once_and_revoked() {
    let api = with_tokens().await;
    let admin = api.token("admin", Role::Admin, None).await;
    let auth = ("authorization", admin.as_str());
    let body = json!({ "name": "ci", "role": "operator", "project": "lake" }).to_string();
    let made = api.send("POST /v1/tokens", &[auth, ("idempotency-key", "k1")], &body).await.ok();
    let secret = made.json()["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("dl_") && secret.len() == 46, "{secret}");
    let life = made.json()["token"]["expires_ms"].as_i64().unwrap() - NOW;
    assert_eq!(life, 90 * 24 * 60 * 60 * 1_000);
    let bearer = format!("Bearer {secret}");
    let reply = api.send("GET /v1/tables", &[("authorization", &bearer)], "").await;
    assert_eq!(reply.status.as_u16(), 200);
    // The secret is nowhere: not in the list, and not behind the idempotency key.
    let list = api.send("GET /v1/tokens", &[auth], "").await.ok();
    assert!(!list.text.contains(&secret) && list.text.contains("\"ci\""), "{list:?}");
    let again = api.send("POST /v1/tokens", &[auth, ("idempotency-key", "k1")], &body).await.ok();
    assert_ne!(again.json()["secret"], made.json()["secret"]);
    assert_eq!(again.header("idempotency-replayed"), "");
    let id = made.json()["token"]["id"].as_str().unwrap().to_owned();
    let line = format!("DELETE /v1/tokens/{id}");
    assert_eq!(api.send(&line, &[auth], "").await.status.as_u16(), 204);
    let reply = api.send("GET /v1/tables", &[("authorization", &bearer)], "").await;
    assert_eq!(reply.status.as_u16(), 401);
    for (body, expect) in [
        (json!({ "name": "ci", "role": "owner" }), 400),
        (json!({ "name": "C I", "role": "reader" }), 422),
        (json!({ "name": "ci", "role": "reader", "expires_seconds": 0 }), 422),
        (json!({ "name": "ci", "role": "reader", "expires_seconds": 31_536_001 }), 422),
        (json!({ "name": "ci", "role": "reader", "project": "nowhere" }), 404),
    ] {
        let reply = api.send("POST /v1/tokens", &[auth], &body.to_string()).await;
        assert_eq!(reply.status.as_u16(), expect, "{body}: {reply:?}");
    }
}

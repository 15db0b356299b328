//! The audit: every route that changes something leaves a record, however it ends. Hints do not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use driftless_catalog::Role;
use driftless_catalogd::Auth;
use serde_json::json;

use crate::service::{Api, NOW, ORDERS, routes};

fn is_no_change(route: &str) -> bool {
    route.starts_with("GET ") || route.ends_with(" /v1/hints")
}

#[tokio::test]
async fn every_change_is_audited() {
    let api = Api::new().await;
    api.seed().await;
    api.register(ORDERS).await;
    let guarded = api.beside(|options| options.auth = Auth::Tokens);
    let reader = guarded.token("looker", Role::Reader, None).await;
    let admin = guarded.token("boss", Role::Admin, None).await;
    let mut changes = 0;
    for (route, line, operation) in routes() {
        let before = api.catalog.audit(None, 1).await.unwrap()[0].id.clone();
        for (token, actor, role) in
            [(None, "-", "-"), (Some(&reader), "looker", "reader"), (Some(&admin), "boss", "admin")]
        {
            let mut headers = vec![("x-request-id", "trace-1")];
            headers.extend(token.map(|token| ("authorization", token.as_str())));
            let reply = guarded.send(&line, &headers, "").await;
            let record = api.catalog.audit(None, 1).await.unwrap()[0].clone();
            if is_no_change(&route) {
                assert_eq!(record.id, before, "{route} is no change");
                continue;
            }
            assert_ne!(record.id, before, "{route} left no record");
            assert_eq!((record.action.as_str(), record.at_ms), (route.as_str(), NOW));
            assert_eq!((record.actor.as_str(), record.role.as_str()), (actor, role), "{route}");
            assert_eq!(record.request_id, "trace-1");
            assert_eq!(format!("{} {}", line.split(' ').next().unwrap(), record.resource), line);
            let status = i64::from(reply.status.as_u16());
            assert_eq!((record.status, record.ended_ms), (Some(status), Some(NOW)), "{route}");
            let expect = if status < 400 { "done" } else { "refused" };
            assert_eq!(record.outcome.as_deref(), Some(expect), "{route}: {reply:?}");
        }
        changes += usize::from(!is_no_change(&route));
        assert!(operation.is_object());
    }
    assert!(changes > 15, "{changes}");
    let audit = guarded.send("GET /v1/audit?page_size=3", &[("authorization", &admin)], "").await;
    assert_eq!(audit.json()["audit"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn nothing_is_changed_that_cannot_be_audited() {
    let api = Api::new().await;
    api.seed().await;
    // As when the disk is full: the audit takes no record.
    let pool = sqlite(&api).await;
    let sql = "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'full'); END";
    sqlx::query(sql).execute(&pool).await.unwrap();
    let reply = api.change("PUT /v1/projects/third", json!({})).await;
    assert_eq!(reply.refusal(), (503, "unavailable".to_owned()));
    assert_eq!(api.get("/v1/projects/third").await.status.as_u16(), 404);
    // Reading goes on.
    assert_eq!(api.get("/v1/projects").await.status.as_u16(), 200);
}

async fn sqlite(api: &Api) -> sqlx::AnyPool {
    sqlx::any::install_default_drivers();
    sqlx::AnyPool::connect(&api.database()).await.unwrap()
}

#[tokio::test]
async fn the_daemon_is_told_of_changes_only() {
    let told = Arc::new(AtomicUsize::new(0));
    let count = told.clone();
    let api = Api::with(|options| {
        options.changed = Some(Arc::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
        }));
    })
    .await;
    api.change("PUT /v1/projects/lake", json!({})).await.ok();
    assert_eq!(told.load(Ordering::SeqCst), 1);
    api.get("/v1/projects").await.ok();
    api.change("PUT /v1/projects/L", json!({})).await;
    assert_eq!(told.load(Ordering::SeqCst), 1);
}

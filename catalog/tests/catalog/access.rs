//! Tokens, the audit, idempotency keys.

use driftless_catalog::{AuditRecord, Catalog, CatalogError, NewToken, Remembered, Role};

use crate::databases::NOW;
use crate::on_both;

on_both!(
    settings_are_made_once,
    tokens_end,
    the_audit_shows_what_did_not_end,
    the_audit_forgets_the_oldest_first,
    keys_are_good_for_one_request,
);

async fn settings_are_made_once(catalog: Catalog) {
    assert_eq!(catalog.setting("key", "first").await.unwrap(), "first");
    assert_eq!(catalog.setting("key", "second").await.unwrap(), "first");
    assert_eq!(catalog.setting("other", "second").await.unwrap(), "second");
}

async fn tokens_end(catalog: Catalog) {
    let new = |name: &str, sha256: &str| NewToken {
        name: name.to_owned(),
        sha256: sha256.to_owned(),
        role: Role::Operator,
        project: Some("lake".to_owned()),
        expires_ms: NOW + 10,
    };
    let token = catalog.add_token(&new("ci", "aa"), NOW).await.unwrap();
    catalog.add_token(&new("other", "bb"), NOW).await.unwrap();
    assert_eq!(catalog.token("aa", NOW + 9).await.unwrap(), Some(token.clone()));
    assert_eq!(catalog.token("aa", NOW + 10).await.unwrap(), None);
    assert_eq!(catalog.token("cc", NOW).await.unwrap(), None);
    catalog.revoke_token(&token.id, NOW + 1).await.unwrap();
    assert_eq!(catalog.token("aa", NOW + 2).await.unwrap(), None);
    let all = catalog.tokens().await.unwrap();
    let all: Vec<_> = all.iter().map(|one| (one.name.as_str(), one.revoked_ms)).collect();
    assert_eq!(all, [("other", None), ("ci", Some(NOW + 1))]);
    let error = catalog.revoke_token("gone", NOW).await.unwrap_err();
    assert!(matches!(error, CatalogError::NotFound { .. }), "{error}");
}

fn record(resource: &str, at_ms: i64) -> AuditRecord {
    AuditRecord {
        id: String::new(),
        at_ms,
        request_id: "r1".to_owned(),
        actor: "ci".to_owned(),
        role: "operator".to_owned(),
        action: "POST /v1/tables".to_owned(),
        resource: resource.to_owned(),
        outcome: None,
        status: None,
        ended_ms: None,
    }
}

async fn the_audit_forgets_the_oldest_first(catalog: Catalog) {
    for (resource, at_ms) in [("third", NOW + 2), ("first", NOW), ("second", NOW + 1)] {
        catalog.attempt(&record(resource, at_ms)).await.unwrap();
    }
    let left = async || {
        let all = catalog.audit(None, 9).await.unwrap();
        let mut left: Vec<_> = all.into_iter().map(|one| one.resource).collect();
        left.sort();
        left
    };
    assert_eq!(catalog.expire_audit(NOW, 9).await.unwrap(), 0);
    assert_eq!(catalog.expire_audit(NOW + 2, 1).await.unwrap(), 1);
    assert_eq!(left().await, ["second", "third"]);
    assert_eq!(catalog.expire_audit(NOW + 2, 9).await.unwrap(), 1);
    assert_eq!(left().await, ["third"]);
}

async fn the_audit_shows_what_did_not_end(catalog: Catalog) {
    let first = catalog.attempt(&record("one", NOW)).await.unwrap();
    catalog.attempt(&record("two", NOW)).await.unwrap();
    catalog.outcome(&first, ("done", 201), NOW + 5).await.unwrap();
    let all = catalog.audit(None, 9).await.unwrap();
    let shown: Vec<_> =
        all.iter().map(|one| (one.resource.as_str(), one.outcome.as_deref(), one.status)).collect();
    assert_eq!(shown, [("two", None, None), ("one", Some("done"), Some(201))]);
    let older = catalog.audit(Some(&all[0].id), 9).await.unwrap();
    assert_eq!(older, all[1..]);
}

async fn keys_are_good_for_one_request(catalog: Catalog) {
    let ask = async |key, fingerprint, now: i64| {
        catalog.remember(("ci", key, fingerprint), now - 100, now).await.unwrap()
    };
    assert_eq!(ask("k", "f", NOW).await, Remembered::New);
    assert_eq!(ask("k", "f", NOW).await, Remembered::Unfinished);
    assert_eq!(ask("k", "g", NOW).await, Remembered::Other);
    catalog.answered(("ci", "k"), Some((201, "{}"))).await.unwrap();
    assert_eq!(ask("k", "f", NOW).await, Remembered::Answer(201, "{}".to_owned()));
    assert_eq!(catalog.remember(("me", "k", "f"), 0, NOW).await.unwrap(), Remembered::New);
    // Its time is over.
    assert_eq!(ask("k", "g", NOW + 101).await, Remembered::New);
    catalog.answered(("ci", "k"), None).await.unwrap();
    assert_eq!(ask("k", "h", NOW + 101).await, Remembered::New);
}

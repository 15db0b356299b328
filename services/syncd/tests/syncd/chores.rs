//! What is not kept for ever.

use std::time::Duration;

use driftless_catalog::AuditRecord;
use driftless_syncd::{Daemon, Options};

use crate::world::{World, now_ms};

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_is_kept_for_its_time() {
    let world = World::new().await;
    let record = |resource: &str, age_ms: i64| AuditRecord {
        id: String::new(),
        at_ms: now_ms() - age_ms,
        request_id: "r1".to_owned(),
        actor: "ci".to_owned(),
        role: "operator".to_owned(),
        action: "POST /v1/tables".to_owned(),
        resource: resource.to_owned(),
        outcome: None,
        status: None,
        ended_ms: None,
    };
    let hour_ms = 60 * 60 * 1_000;
    // More than one batch.
    for _ in 0..1_001 {
        world.catalog.attempt(&record("old", 3 * hour_ms)).await.unwrap();
    }
    world.catalog.attempt(&record("new", hour_ms)).await.unwrap();
    let audit_kept = Duration::from_secs(2 * 60 * 60);
    let daemon = Daemon::start(Options { audit_kept, ..world.options("a") }).await.unwrap();
    let left = loop {
        let left = world.catalog.audit(None, 2_000).await.unwrap();
        if left.len() == 1 {
            break left;
        }
        tokio::time::sleep(Duration::from_millis(15)).await;
    };
    assert_eq!(left[0].resource, "new");
    daemon.stop().await;
}

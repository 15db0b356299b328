//! A table is followed.

use std::time::Duration;

use driftless_catalog::status::Status;
use driftless_catalog::transition::{OperationState, Wish};
use driftless_catalog::{EventFilter, NewOperation, Operation, OperationKind, Page, Policy, Table};
use driftless_syncd::{Daemon, Options, Timetable};
use serde_json::Value;

use crate::world::{World, lag_of, live, name, now_ms, seldom};

#[tokio::test(flavor = "multi_thread")]
async fn every_version_is_published_at_every_site_in_order() {
    let world = World::new().await;
    let mut feed = world.feed("history", "orders");
    let first = feed.commit().await.unwrap();
    let daemon = world.daemon("a").await;
    let policy = Policy { start: "earliest".to_owned(), poll_seconds: 1, ..Policy::default() };
    world.register("orders", policy).await;
    world.until_head("orders", first).await;
    let mut versions = vec![first.to_string()];
    while let Some(version) = feed.commit().await {
        versions.push(version.to_string());
        if version % 5 == 0 {
            world.until_head("orders", version).await;
        }
    }
    world.until_head("orders", versions.len() as u64 - 1).await;
    world.until_status("orders", Status::Ok).await;
    let table = world.table("orders").await;
    for site in ["east", "west"] {
        assert_eq!(world.published(&table, site).await, versions, "{site}");
    }
    let chains: Vec<_> = {
        let mut chains = Vec::new();
        for site in ["east", "west"] {
            let newest = world.catalog.versions((&table.id, site), None, 1).await.unwrap();
            chains.push(newest[0].chain_sha256.clone().unwrap());
        }
        chains
    };
    assert_eq!(chains[0], chains[1]);
    world.verify(&table).await;
    // Each version is told once for each site.
    let events = world.events("orders").await;
    let told = events.iter().filter(|event| event.kind == "version.published").count();
    assert_eq!(told, 2 * versions.len());
    daemon.stop().await;
    // A stop lets go of the tables.
    assert_eq!(world.table("orders").await.lease_node, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hint_is_followed_at_once() {
    let world = World::new().await;
    let mut feed = world.feed("history", "orders");
    feed.commit().await.unwrap();
    let daemon = world.daemon("a").await;
    let table = world.register("orders", seldom()).await;
    world.until_status("orders", Status::Ok).await;
    // Without a hint it would be seen in an hour.
    for _ in 0..3 {
        let version = feed.commit().await.unwrap();
        world.catalog.wake(std::slice::from_ref(&table.id)).await.unwrap();
        world.until_head("orders", version).await;
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_table_is_left_alone_and_its_lag_grows() {
    let world = World::new().await;
    let mut feed = world.feed("history", "orders");
    let first = feed.commit().await.unwrap();
    let daemon = world.daemon("a").await;
    world.register("orders", Policy { poll_seconds: 1, ..Policy::default() }).await;
    world.until_head("orders", first).await;
    let orders = name("lake.sales.orders");
    world.catalog.wish(&orders, Wish::Pause, None, now_ms()).await.unwrap();
    world.until_status("orders", Status::Paused).await;
    for _ in 0..3 {
        feed.commit().await.unwrap();
    }
    let behind = |table: &driftless_catalog::Table| {
        table.replicas.iter().all(|one| one.progress.pending_versions == Some(3))
    };
    world.until("orders", "three versions behind", behind).await;
    let table = world.table("orders").await;
    let before = lag_of(&table, &table.replicas[0]).unwrap();
    let grows = |table: &driftless_catalog::Table| {
        lag_of(table, &table.replicas[0]).is_some_and(|lag| lag > before + 100)
    };
    world.until("orders", "later still", grows).await;
    assert_eq!(table.replicas[0].progress.head, Some(table_sync_core::Position::Version(first)));
    world.catalog.wish(&orders, Wish::Resume, None, now_ms()).await.unwrap();
    world.until_head("orders", first + 3).await;
    world.until_status("orders", Status::Ok).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sync_now_is_an_operation_that_ends() {
    let world = World::new().await;
    let mut feed = world.feed("history", "orders");
    feed.commit().await.unwrap();
    let daemon = world.daemon("a").await;
    let table = world.register("orders", seldom()).await;
    world.until_status("orders", Status::Ok).await;
    let version = feed.commit().await.unwrap();
    let ended = ended(&world, OperationKind::Sync, &table, serde_json::json!({})).await;
    assert_eq!(ended.state, OperationState::Succeeded);
    let heads = serde_json::json!({ "east": version, "west": version });
    assert_eq!(ended.progress["heads"], heads);
    world.until_head("orders", version).await;
    daemon.stop().await;
}

/// An operation's end.
async fn ended(world: &World, kind: OperationKind, table: &Table, request: Value) -> Operation {
    let begun = begin(world, kind, table, request).await;
    end_of(world, &begun).await
}

async fn begin(world: &World, kind: OperationKind, table: &Table, request: Value) -> Operation {
    let new = NewOperation {
        kind,
        table_id: Some(table.id.clone()),
        resource: table.name.to_string(),
        request,
        actor: "test".to_owned(),
    };
    world.catalog.begin_operation(&new, now_ms()).await.unwrap()
}

async fn end_of(world: &World, begun: &Operation) -> Operation {
    loop {
        let operation = world.catalog.operation(&begun.id).await.unwrap();
        if operation.state.is_final() {
            return operation;
        }
        tokio::time::sleep(std::time::Duration::from_millis(15)).await;
    }
}

/// What is asked for while a pass runs needs a pass that begins later, though nothing is new then.
#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_is_asked_for_during_a_pass_ends() {
    let world = World::new().await;
    let version = world.feed("history", "orders").finish().await;
    world.feed("many_files", "slow").finish().await;
    // One pass at a time, and a slow one.
    let bandwidth = Timetable::parse("60000", |text| text.parse().ok()).unwrap();
    let options = Options { passes: std::num::NonZeroUsize::MIN, bandwidth, ..world.options("a") };
    let daemon = Daemon::start(options).await.unwrap();
    let table = world.register("orders", seldom()).await;
    world.until_head("orders", version).await;
    world.until_status("orders", Status::Ok).await;
    world.register("slow", seldom()).await;
    let sync = async |ms| {
        tokio::time::sleep(Duration::from_millis(ms)).await;
        ended(&world, OperationKind::Sync, &table, serde_json::json!({})).await
    };
    // The first waits for its turn when the second comes.
    let both = async { tokio::join!(sync(300), sync(1_000)) };
    let (first, second) = tokio::time::timeout(Duration::from_secs(60), both).await.unwrap();
    assert_eq!(first.state, OperationState::Succeeded, "{first:?}");
    assert_eq!(second.state, OperationState::Succeeded, "{second:?}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_created_anew_is_published_at_a_new_place() {
    let world = World::new().await;
    let version = world.feed("history", "orders").finish().await;
    let daemon = world.daemon("a").await;
    let table = world.register("orders", Policy { poll_seconds: 1, ..Policy::default() }).await;
    world.until_head("orders", version).await;
    std::fs::remove_dir_all(world.path("lake/orders")).unwrap();
    let other = world.feed("deletion_vectors", "orders").finish().await;
    world.catalog.wake(std::slice::from_ref(&table.id)).await.unwrap();
    world.until_status("orders", Status::Rewound).await;
    let operation =
        ended(&world, OperationKind::Resync, &table, serde_json::json!({ "site": null })).await;
    assert_eq!(operation.state, OperationState::Succeeded, "{operation:?}");
    world.until_head("orders", other).await;
    world.until_status("orders", Status::Ok).await;
    let found = world.table("orders").await;
    assert!(found.replicas.iter().all(|one| one.location.ends_with("/lake/sales/orders-2")));
    world.verify(&found).await;
    // Readers were shown the old place until all of the new table was published.
    assert!(found.replicas.iter().all(|one| one.serving.is_none()));
    let events = world.catalog.events(&EventFilter::default(), Page::After(0), 999).await.unwrap();
    for site in ["east", "west"] {
        let of_site = events.iter().filter(|event| event.site.as_deref() == Some(site));
        let told: Vec<_> = of_site.map(|event| event.kind.as_str()).collect();
        let moved = told.iter().position(|kind| *kind == "replica.moved").unwrap();
        let last = told.iter().rposition(|kind| *kind == "version.published").unwrap();
        let switched = told.iter().position(|kind| *kind == "replica.switched").unwrap();
        assert!(moved < last && last < switched, "{site}: {told:?}");
    }
    // Queries that run go on at the old place.
    assert!(world.path("east/lake/sales/orders/_delta_log").is_dir());
    daemon.stop().await;
}

/// Published each on its own, and read together.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_shows_what_its_tables_hold() {
    let world = World::new().await;
    let orders = world.feed("history", "orders").finish().await;
    let items = world.feed("deletion_vectors", "items").finish().await;
    // A second is the difference that times of objects may have.
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    let begun = now_ms();
    let daemon = world.daemon("a").await;
    let policy = Policy { group: Some("close".to_owned()), ..seldom() };
    for table in ["items", "orders"] {
        world.register(table, policy.clone()).await;
    }
    world.until_status("items", Status::Ok).await;
    world.until_status("orders", Status::Ok).await;
    let groups = world.catalog.groups(None, None).await.unwrap();
    assert_eq!(groups.len(), 1);
    let snapshot = world.catalog.snapshot(&groups[0], "west").await.unwrap();
    assert_eq!(snapshot.waits_for, []);
    // Passes end later than they began.
    let as_of = snapshot.as_of_ms.unwrap();
    assert!((begun - 1_000..now_ms() - 1_000).contains(&as_of), "{begun} {as_of}");
    let shown: Vec<_> = snapshot.tables.iter().map(|one| one.position).collect();
    assert_eq!(shown, [items, orders].map(table_sync_core::Position::Version));
    daemon.stop().await;
}

/// What version 6 cannot show in place, since it has one timeline folder: the table waits for a
/// person, who has it begun anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_merge_on_read_table_of_version_6_is_published_at_a_new_place() {
    let world = World::new().await;
    let source = world.path("lake/trips");
    live(&source, "mor_v6_restore", None, "delete");
    let daemon = world.daemon("a").await;
    let table = world.register("trips", Policy { poll_seconds: 1, ..Policy::default() }).await;
    world.until_status("trips", Status::Ok).await;
    live(&source, "mor_v6_restore", Some("delete"), "restore");
    world.catalog.wake(std::slice::from_ref(&table.id)).await.unwrap();
    world.until_status("trips", Status::Blocked).await;
    let reason = world.table("trips").await.replicas[0].progress.clone();
    assert_eq!(reason.reason_code.as_deref(), Some("history_lost"), "{reason:?}");
    let operation =
        ended(&world, OperationKind::Resync, &table, serde_json::json!({ "site": null })).await;
    assert_eq!(operation.state, OperationState::Succeeded, "{operation:?}");
    world.until_status("trips", Status::Ok).await;
    let data = |root: &std::path::Path| {
        let mut objects = driftless_testdata::corpus::load(root);
        objects.retain(|key, _| !key.starts_with(".hoodie/"));
        objects
    };
    for site in ["east", "west"] {
        assert_eq!(data(&world.path(site).join("lake/sales/trips-2")), data(&source), "{site}");
    }
    let restored = world.table("trips").await.replicas[0].progress.head.map(|at| at.requested());
    live(&source, "mor_v6_restore", Some("restore"), "upsert e and clean");
    world.catalog.wake(std::slice::from_ref(&table.id)).await.unwrap();
    let caught_up = |table: &Table| {
        let progress = &table.replicas[0].progress;
        progress.head.map(|at| at.requested()) > restored && progress.pending_versions == Some(0)
    };
    world.until("trips", "caught up", caught_up).await;
    world.until_status("trips", Status::Ok).await;
    world.verify(&world.table("trips").await).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_are_deleted_once_their_time_has_come() {
    let world = World::new().await;
    let version = world.feed("history", "orders").finish().await;
    let daemon = world.daemon("a").await;
    let table = world.register("orders", seldom()).await;
    world.until_head("orders", version).await;
    let request = serde_json::json!({ "replicas": "delete", "grace_seconds": 0 });
    let orders = name("lake.sales.orders");
    let begun = begin(&world, OperationKind::Unregister, &table, request).await;
    world.catalog.wish(&orders, Wish::Unregister, None, now_ms()).await.unwrap();
    end_of(&world, &begun).await;
    daemon.stop().await;
    // A node looks at what is due when it starts.
    let daemon = world.daemon("b").await;
    while !world.catalog.due_locations(now_ms()).await.unwrap().is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(15)).await;
    }
    for site in ["east", "west"] {
        let left = driftless_testdata::corpus::load(&world.path(site).join("lake/sales/orders"));
        assert!(left.is_empty(), "{:?}", left.keys());
        let descriptor = world.path(site).join("_driftless/replicas/lake/sales/orders.json");
        assert!(!descriptor.exists());
    }
    // The place is never used again.
    let table = world.register("orders", seldom()).await;
    assert!(table.replicas[0].location.ends_with("/orders-2"));
    world.until_head("orders", version).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unregistered_table_is_forgotten_and_its_replicas_stay() {
    let world = World::new().await;
    let version = world.feed("history", "orders").finish().await;
    let daemon = world.daemon("a").await;
    world.register("orders", seldom()).await;
    world.until_head("orders", version).await;
    let orders = name("lake.sales.orders");
    world.catalog.wish(&orders, Wish::Unregister, None, now_ms()).await.unwrap();
    while world.catalog.table(&orders).await.is_ok() {
        tokio::time::sleep(std::time::Duration::from_millis(15)).await;
    }
    assert!(world.path("east/lake/sales/orders/_delta_log").is_dir());
    // Registered again with the same source, it goes on with what is there.
    world.register("orders", seldom()).await;
    world.until_head("orders", version).await;
    world.until_status("orders", Status::Ok).await;
    daemon.stop().await;
}

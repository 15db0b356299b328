//! Trouble with one table is no trouble of another.

use driftless_catalog::status::{Condition, Status};
use driftless_catalog::{FromFile, OptionValue, Policy, StoreRecord};

use crate::world::World;

fn often() -> Policy {
    Policy { poll_seconds: 1, ..Policy::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_tables_delay_no_other() {
    let world = World::new().await;
    // One that is no table, one whose newest commit is garbage, one outside the folders that are
    // allowed, and a sound one.
    std::fs::create_dir(world.path("lake/empty")).unwrap();
    let poisoned = world.feed("history", "poisoned").finish().await;
    let next = world.path(&format!("lake/poisoned/_delta_log/{:020}.json", poisoned + 1));
    std::fs::write(&next, "{\"add\": not json").unwrap();
    let mut feed = world.feed("history", "sound");
    feed.commit().await.unwrap();
    let mut options = world.options("a");
    // A commit that does not parse may still be on its way, for this long.
    options.retry_budget = std::time::Duration::from_millis(100);
    let daemon = driftless_syncd::Daemon::start(options).await.unwrap();
    for table in ["empty", "poisoned", "sound"] {
        world.register(table, often()).await;
    }
    let mut outside = driftless_catalog::NewTable {
        name: crate::world::name("lake.sales.outside"),
        source: "file:///etc".to_owned(),
        policy: often(),
        sites: vec!["east".to_owned()],
        rule: None,
        paused: false,
    };
    outside.sites.push("west".to_owned());
    world.catalog.register(&outside, crate::world::now_ms()).await.unwrap();
    while let Some(version) = feed.commit().await {
        if version > 6 {
            break;
        }
        world.until_head("sound", version).await;
    }
    world.until_status("empty", Status::Blocked).await;
    let not_opened = |table: &driftless_catalog::Table| {
        table.replicas.iter().all(|one| one.progress.reason_code.as_deref() == Some("not_opened"))
    };
    world.until("outside", "refused", not_opened).await;
    // What is sound of the poisoned one is published.
    world.until_head("poisoned", poisoned).await;
    let table = world.table("empty").await;
    let progress = &table.replicas[0].progress;
    assert_eq!(progress.reason_code.as_deref(), Some("not_a_table"));
    assert!(progress.reason.as_deref().unwrap().contains("no table log"), "{progress:?}");
    // Nothing was seen, so that nothing is known: not even that nothing is pending.
    assert_eq!(crate::world::lag_of(&table, &table.replicas[0]), None);
    daemon.stop().await;
}

/// This node has no folder of secrets.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_whose_secret_cannot_be_read_holds_up_only_its_tables() {
    let world = World::new().await;
    let mut feed = world.feed("history", "orders");
    let version = feed.commit().await.unwrap();
    let secret = FromFile { file: "key".to_owned() };
    let store = StoreRecord {
        name: "closed".to_owned(),
        url: "s3://closed".to_owned(),
        region: None,
        options: [("aws_secret_access_key".to_owned(), OptionValue::File(secret))].into(),
        projects: Vec::new(),
        revision: 0,
        created_ms: 0,
    };
    world.catalog.put_store(&store, None, crate::world::now_ms()).await.unwrap();
    let daemon = world.daemon("a").await;
    world.register("orders", often()).await;
    for (table, source) in [("named", "closed:t"), ("by_url", "s3a://closed/u")] {
        let new = driftless_catalog::NewTable {
            name: crate::world::name(&format!("lake.sales.{table}")),
            source: source.to_owned(),
            policy: often(),
            sites: vec!["east".to_owned()],
            rule: None,
            paused: false,
        };
        world.catalog.register(&new, crate::world::now_ms()).await.unwrap();
    }
    world.until_head("orders", version).await;
    for table in ["named", "by_url"] {
        let told = |table: &driftless_catalog::Table| {
            let reason = table.replicas[0].progress.reason.as_deref().unwrap_or_default();
            reason.contains("closed") && reason.contains("there is no folder of secrets")
        };
        world.until(table, "refused for its store", told).await;
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_fails_holds_up_no_other() {
    let world = World::new().await;
    let mut feed = world.feed("history", "orders");
    feed.commit().await.unwrap();
    // A file where a folder would be: no one can write below it.
    std::fs::remove_dir(world.path("west")).unwrap();
    std::fs::write(world.path("west"), "in the way").unwrap();
    let daemon = world.daemon("a").await;
    world.register("orders", often()).await;
    let head_of_east = async |version: u64| {
        let head = Some(table_sync_core::Position::Version(version));
        let there = |table: &driftless_catalog::Table| table.replicas[0].progress.head == head;
        world.until("orders", "published in the east", there).await;
    };
    for _ in 0..4 {
        let version = feed.commit().await.unwrap();
        head_of_east(version).await;
    }
    let failed = |table: &driftless_catalog::Table| {
        table.replicas[1].progress.condition == Condition::Failed
    };
    world.until("orders", "failed in the west", failed).await;
    std::fs::remove_file(world.path("west")).unwrap();
    std::fs::create_dir(world.path("west")).unwrap();
    let version = feed.finish().await;
    world.until_head("orders", version).await;
    world.until_status("orders", Status::Ok).await;
    let events = world.events("orders").await;
    let told = |kind: &str| events.iter().any(|event| event.kind == kind);
    assert!(told("table.failed") && told("table.recovered"));
    world.verify(&world.table("orders").await).await;
    daemon.stop().await;
}

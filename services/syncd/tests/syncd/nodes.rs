//! Several nodes share one catalog.

use std::collections::BTreeSet;
use std::time::Duration;

use driftless_catalog::status::Status;
use driftless_catalog::{Catalog, Policy, database_url};
use driftless_syncd::Daemon;

use crate::world::World;

fn often() -> Policy {
    Policy { poll_seconds: 1, start: "earliest".to_owned(), ..Policy::default() }
}

/// Waits until each of the nodes owns some of the tables, and all of them are owned.
async fn until_shared(world: &World, tables: &[String], nodes: &[&Daemon]) {
    loop {
        let mut owners = BTreeSet::new();
        for table in tables {
            owners.insert(world.table(table).await.lease_node.unwrap_or_default());
        }
        if owners == nodes.iter().map(|node| node.node().to_owned()).collect() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_share_the_tables_and_one_takes_over() {
    let world = World::new().await;
    let tables: Vec<String> = (0..24).map(|at| format!("t{at}")).collect();
    let mut feeds = Vec::new();
    for table in &tables {
        let mut feed = world.feed("history", table);
        feed.commit().await.unwrap();
        feeds.push(feed);
    }
    let first = world.daemon("a").await;
    for table in &tables {
        world.register(table, often()).await;
    }
    until_shared(&world, &tables, &[&first]).await;
    let second = world.daemon("b").await;
    until_shared(&world, &tables, &[&first, &second]).await;
    let mut version = 0;
    for _ in 0..3 {
        for feed in &mut feeds {
            version = feed.commit().await.unwrap();
        }
    }
    for table in &tables {
        world.until_head(table, version).await;
    }
    // The first node dies: no word to anybody.
    drop(first);
    for feed in &mut feeds {
        version = feed.commit().await.unwrap();
    }
    until_shared(&world, &tables, &[&second]).await;
    for table in &tables {
        world.until_head(table, version).await;
        world.until_status(table, Status::Ok).await;
        let found = world.table(table).await;
        let expect: Vec<_> = (0..=version).map(|at| at.to_string()).collect();
        for site in ["east", "west"] {
            assert_eq!(world.published(&found, site).await, expect, "{table} at {site}");
        }
    }
    world.verify(&world.table("t7").await).await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_that_was_set_back_goes_on_above_what_sites_have_seen() {
    let mut world = World::new().await;
    let mut feed = world.feed("history", "orders");
    feed.commit().await.unwrap();
    world.register("orders", often()).await;
    // Some owners later the replicas have seen epochs that an older catalog has not.
    for node in ["a", "b", "c"] {
        let version = feed.commit().await.unwrap();
        let daemon = world.daemon(node).await;
        world.until_head("orders", version).await;
        daemon.stop().await;
    }
    assert_eq!(world.table("orders").await.epoch, 3);
    let fresh = Catalog::open(&database_url(&world.path("data/other.db"))).await.unwrap();
    world.inventory(&fresh).await;
    world.catalog = fresh;
    world.register("orders", often()).await;
    let version = feed.commit().await.unwrap();
    let daemon = world.daemon("d").await;
    world.until_head("orders", version).await;
    assert!(world.table("orders").await.epoch > 3);
    world.verify(&world.table("orders").await).await;
    daemon.stop().await;
}

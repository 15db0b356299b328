//! How long the source keeps what is not published, and what is counted of commits and sites.

use std::time::{Duration, UNIX_EPOCH};

use driftless_catalog::status::Status;
use driftless_catalog::transition::Wish;
use driftless_catalog::{Policy, Table};
use driftless_syncd::{Counts, Daemon, Options};

use crate::world::{World, name, now_ms, seldom};

const WEEK_MS: i64 = 7 * 24 * 3_600_000;

fn every_second() -> Policy {
    Policy { poll_seconds: 1, ..Policy::default() }
}

fn deadlines(table: &Table) -> Vec<Option<i64>> {
    table.replicas.iter().map(|one| one.progress.deadline_ms).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_table_says_until_when_its_commits_can_be_had() {
    let world = World::new().await;
    let mut feed = world.feed("history", "orders");
    let first = feed.commit().await.unwrap();
    let daemon = world.daemon("a").await;
    world.register("orders", every_second()).await;
    world.until_status("orders", Status::Ok).await;
    assert_eq!(deadlines(&world.table("orders").await), [None, None]);
    let orders = name("lake.sales.orders");
    world.catalog.wish(&orders, Wish::Pause, None, now_ms()).await.unwrap();
    world.until_status("orders", Status::Paused).await;
    for _ in 0..3 {
        feed.commit().await.unwrap();
    }
    // The second of the commits that wait is the first that can have removed what they need.
    let second = format!("lake/orders/_delta_log/{:020}.json", first + 2);
    let made = std::fs::metadata(world.path(&second)).unwrap().modified().unwrap();
    let made_ms = i64::try_from(made.duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    let expect = Some(made_ms + WEEK_MS);
    let known = |table: &Table| deadlines(table) == [expect, expect];
    world.until("orders", "known until when", known).await;
    world.catalog.wish(&orders, Wish::Resume, None, now_ms()).await.unwrap();
    world.until_head("orders", first + 3).await;
    let none = |table: &Table| deadlines(table) == [None, None];
    world.until("orders", "in no danger", none).await;
    daemon.stop().await;
}

/// Waits until the counters say so.
async fn until(daemon: &Daemon, what: &str, holds: impl Fn(Counts) -> bool) {
    let waiting = async {
        while !holds(daemon.counters().counts()) {
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(60), waiting).await.is_err() {
        panic!("not {what}: {:?}", daemon.counters().counts());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_that_nobody_told_of_are_counted_once() {
    let world = World::new().await;
    let mut feed = world.feed("history", "orders");
    let first = feed.commit().await.unwrap();
    feed.commit().await.unwrap();
    let daemon = world.daemon("a").await;
    world.register("orders", every_second()).await;
    world.until_head("orders", first + 1).await;
    world.until_status("orders", Status::Ok).await;
    let counts = daemon.counters().counts();
    assert_eq!(counts.missed, 0, "what was there at first is no news");
    // The registration itself may be told of until now.
    until(&daemon, "looked at", |now| now.looks > counts.looks + 2).await;
    for count in 1..=3 {
        let version = feed.commit().await.unwrap();
        world.until_head("orders", version).await;
        until(&daemon, "found", |now| now.missed == count).await;
    }
    world.until_status("orders", Status::Ok).await;
    assert_eq!(daemon.counters().counts().missed, 3, "two sites saw each");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_that_were_told_of_are_not_missed() {
    let world = World::new().await;
    let mut feed = world.feed("history", "orders");
    feed.commit().await.unwrap();
    let options = Options { poll_least: Duration::from_secs(3_600), ..world.options("a") };
    let daemon = Daemon::start(options).await.unwrap();
    let table = world.register("orders", seldom()).await;
    world.until_status("orders", Status::Ok).await;
    for _ in 0..3 {
        let version = feed.commit().await.unwrap();
        world.catalog.wake(std::slice::from_ref(&table.id)).await.unwrap();
        world.until_head("orders", version).await;
        world.until_status("orders", Status::Ok).await;
    }
    let counters = daemon.counters();
    daemon.stop().await;
    assert_eq!(counters.counts().missed, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_somebody_wrote_to_is_counted_once() {
    let world = World::new().await;
    let mut feed = world.feed("history", "orders");
    let version = feed.commit().await.unwrap();
    let daemon = world.daemon("a").await;
    let table = world.register("orders", seldom()).await;
    world.until_status("orders", Status::Ok).await;
    let key = format!("lake/sales/orders/_delta_log/{version:020}.json");
    std::fs::write(world.path("east").join(key), "{}").unwrap();
    let told = async || world.catalog.wake(std::slice::from_ref(&table.id)).await.unwrap();
    feed.commit().await.unwrap();
    told().await;
    until(&daemon, "diverged", |now| now.other_writers == 1).await;
    // A second look finds the same, and nothing new.
    let failures = daemon.counters().counts().failures;
    told().await;
    until(&daemon, "looked at again", |now| now.failures > failures).await;
    assert_eq!(daemon.counters().counts().other_writers, 1);
    daemon.stop().await;
}

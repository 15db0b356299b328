//! Who works on what.

use std::collections::BTreeSet;

use driftless_catalog::transition::{Desired, Wish};
use driftless_catalog::{Catalog, Lease};

use crate::databases::NOW;
use crate::on_both;
use crate::tables::{name, new_table, seeded};

on_both!(
    a_table_has_one_owner,
    a_dead_owner_is_replaced_with_a_later_epoch,
    claims_at_once_share_the_tables,
    owners_are_woken,
    epochs_are_raised_above_what_replicas_hold,
);

const MINUTE: i64 = 60_000;

async fn tables(catalog: &Catalog, count: usize) {
    seeded(catalog).await;
    for at in 0..count {
        catalog.register(&new_table(&format!("lake.sales.t{at:03}")), NOW).await.unwrap();
    }
}

async fn alive(catalog: &Catalog, node: &str) {
    catalog.beat((node, "host", "0.1.0"), MINUTE).await.unwrap();
}

async fn a_table_has_one_owner(catalog: Catalog) {
    tables(&catalog, 3).await;
    alive(&catalog, "a").await;
    alive(&catalog, "b").await;
    assert_eq!(catalog.census().await.unwrap(), (3, 2));
    let first = catalog.claim("a", 2).await.unwrap();
    let second = catalog.claim("b", 9).await.unwrap();
    assert_eq!((first.len(), second.len()), (2, 1));
    assert!(first.iter().chain(&second).all(|lease| lease.epoch == 1));
    assert!(catalog.claim("a", 9).await.unwrap().is_empty());
    assert_eq!(catalog.leases("b").await.unwrap(), second);
    let owners = catalog.nodes().await.unwrap();
    let owners: Vec<_> = owners.iter().map(|node| (node.id.as_str(), node.tables)).collect();
    assert_eq!(BTreeSet::from_iter(owners), BTreeSet::from([("a", 2), ("b", 1)]));
    // Only its own.
    catalog.release("a", &[second[0].table.clone()]).await.unwrap();
    assert_eq!(catalog.leases("b").await.unwrap().len(), 1);
    catalog.release("b", &[second[0].table.clone()]).await.unwrap();
    let third = catalog.claim("a", 9).await.unwrap();
    assert_eq!(third, [Lease { table: second[0].table.clone(), epoch: 2 }]);
    catalog.leave("a").await.unwrap();
    assert_eq!(catalog.claim("b", 9).await.unwrap().len(), 3);
}

async fn a_dead_owner_is_replaced_with_a_later_epoch(catalog: Catalog) {
    tables(&catalog, 1).await;
    catalog.beat(("a", "host", "0.1.0"), 0).await.unwrap();
    alive(&catalog, "b").await;
    assert_eq!(catalog.claim("a", 9).await.unwrap()[0].epoch, 1);
    let table = catalog.table(&name("lake.sales.t000")).await.unwrap();
    assert_eq!((table.lease_node.as_deref(), table.owned), (Some("a"), false));
    assert_eq!(catalog.claim("b", 9).await.unwrap()[0].epoch, 2);
    let table = catalog.table(&name("lake.sales.t000")).await.unwrap();
    assert_eq!((table.lease_node.as_deref(), table.owned), (Some("b"), true));
    // It wakes up and finds that it owns nothing.
    alive(&catalog, "a").await;
    assert!(catalog.leases("a").await.unwrap().is_empty());
}

async fn claims_at_once_share_the_tables(catalog: Catalog) {
    tables(&catalog, 40).await;
    for node in ["a", "b"] {
        alive(&catalog, node).await;
    }
    let claim_all = async |node: &'static str| {
        let mut all = Vec::new();
        for _ in 0..20 {
            all.extend(catalog.claim(node, 3).await.unwrap());
        }
        all
    };
    let (a, b) = tokio::join!(claim_all("a"), claim_all("b"));
    let ids: BTreeSet<_> = a.iter().chain(&b).map(|lease| lease.table.clone()).collect();
    assert_eq!((a.len() + b.len(), ids.len()), (40, 40));
    assert!(a.iter().chain(&b).all(|lease| lease.epoch == 1));
}

async fn owners_are_woken(catalog: Catalog) {
    tables(&catalog, 3).await;
    alive(&catalog, "a").await;
    catalog.claim("a", 9).await.unwrap();
    let start = catalog.newest_wake().await.unwrap();
    assert!(catalog.woken("a", start).await.unwrap().is_empty());
    let table = catalog.wish(&name("lake.sales.t001"), Wish::Pause, None, NOW).await.unwrap();
    let woken = catalog.woken("a", start).await.unwrap();
    assert_eq!(woken, [(table.id, Desired::Paused, start + 1)]);
    assert!(catalog.woken("b", start).await.unwrap().is_empty());
    let hinted = catalog.table(&name("lake.sales.t002")).await.unwrap();
    catalog.wake(std::slice::from_ref(&hinted.id)).await.unwrap();
    let woken = catalog.woken("a", start + 1).await.unwrap();
    assert_eq!(woken, [(hinted.id, Desired::Active, start + 2)]);
}

async fn epochs_are_raised_above_what_replicas_hold(catalog: Catalog) {
    tables(&catalog, 1).await;
    alive(&catalog, "a").await;
    let lease = catalog.claim("a", 1).await.unwrap().remove(0);
    catalog.raise_epoch(&lease.table, 41).await.unwrap();
    assert_eq!(catalog.claim("a", 1).await.unwrap()[0].epoch, 42);
    // Never down.
    catalog.raise_epoch(&lease.table, 7).await.unwrap();
    assert_eq!(catalog.leases("a").await.unwrap()[0].epoch, 42);
}

//! Consistency groups, and what they show at a site.

use driftless_catalog::group::Obstacle;
use driftless_catalog::transition::Wish;
use driftless_catalog::{Catalog, CatalogError, Policy, Progress, Snapshot, Table, Version};
use table_sync_core::Position;

use crate::databases::NOW;
use crate::on_both;
use crate::progress::{report, version};
use crate::tables::{name, new_table, seeded};

on_both!(
    groups_are_what_policies_say,
    a_snapshot_is_one_moment_of_all_tables,
    a_replica_that_is_begun_anew_is_in_the_way,
);

/// Ms after the beginning of a test, of commit number n.
fn committed(at: u64) -> i64 {
    NOW + 10_000 * i64::try_from(at).unwrap()
}

async fn grouped(catalog: &Catalog, table: &str, group: Option<&str>) -> Table {
    let policy = Policy { group: group.map(str::to_owned), ..Policy::default() };
    let new = driftless_catalog::NewTable { policy, ..new_table(table) };
    catalog.register(&new, NOW).await.unwrap()
}

/// Publishes versions at the east, where nothing is pending as far as it was looked at.
async fn publish(catalog: &Catalog, table: &Table, versions: &[u64], listed_ms: i64) {
    let at = |at: &u64| Version { committed_ms: Some(committed(*at)), ..version(*at, "append", 1) };
    let versions: Vec<_> = versions.iter().map(at).collect();
    let mut report = report(table, "east", 1, &versions);
    let last_ms = versions.last().and_then(|last| last.committed_ms);
    let progress = report.progress.as_mut().unwrap();
    (progress.head_committed_ms, progress.listed_ms) = (last_ms, Some(listed_ms));
    assert_eq!(catalog.record(&[report], NOW).await.unwrap(), [true]);
}

/// `project/group: tables`
async fn groups(catalog: &Catalog, project: Option<&str>, group: Option<&str>) -> Vec<String> {
    let groups = catalog.groups(project, group).await.unwrap();
    let text = |group: &driftless_catalog::Group| {
        assert_eq!(group.sites(), ["east", "west"]);
        let tables: Vec<_> = group.tables.iter().map(|table| table.name.table()).collect();
        format!("{}/{}: {}", group.project, group.name, tables.join(" "))
    };
    groups.iter().map(text).collect()
}

async fn groups_are_what_policies_say(catalog: Catalog) {
    seeded(&catalog).await;
    assert_eq!(groups(&catalog, None, None).await, [""; 0]);
    for (table, group) in [
        ("lake.sales.orders", Some("close")),
        ("lake.sales.items", Some("close")),
        ("lake.sales.other", Some("audit")),
        ("lake.sales.alone", None),
        ("mart.sales.carts", Some("close")),
    ] {
        grouped(&catalog, table, group).await;
    }
    let all = ["lake/audit: other", "lake/close: items orders", "mart/close: carts"];
    assert_eq!(groups(&catalog, None, None).await, all);
    assert_eq!(groups(&catalog, Some("lake"), None).await, all[..2]);
    assert_eq!(groups(&catalog, Some("lake"), Some("close")).await, all[1..2]);
    assert_eq!(groups(&catalog, Some("mart"), Some("audit")).await, [""; 0]);

    let policy = Policy { group: Some("close".to_owned()), ..Policy::default() };
    catalog.set_policy(&name("lake.sales.alone"), &policy, None, NOW).await.unwrap();
    catalog.set_policy(&name("lake.sales.items"), &Policy::default(), None, NOW).await.unwrap();
    catalog.wish(&name("lake.sales.orders"), Wish::Unregister, None, NOW).await.unwrap();
    assert_eq!(groups(&catalog, Some("lake"), Some("close")).await, ["lake/close: alone"]);
    let bad = Policy { group: Some("Close".to_owned()), ..Policy::default() };
    let error = catalog.set_policy(&name("lake.sales.items"), &bad, None, NOW).await.unwrap_err();
    assert!(matches!(error, CatalogError::Invalid(_)), "{error}");
}

async fn shown(catalog: &Catalog, site: &str) -> Snapshot {
    let group = catalog.groups(Some("lake"), Some("close")).await.unwrap().remove(0);
    catalog.snapshot(&group, site).await.unwrap()
}

/// The cut, and the versions in it.
async fn positions(catalog: &Catalog) -> (Option<i64>, Vec<Position>) {
    let snapshot = shown(catalog, "east").await;
    let positions = snapshot.tables.iter().map(|one| one.position).collect();
    (snapshot.as_of_ms, positions)
}

async fn a_snapshot_is_one_moment_of_all_tables(catalog: Catalog) {
    seeded(&catalog).await;
    let items = grouped(&catalog, "lake.sales.items", Some("close")).await;
    let orders = grouped(&catalog, "lake.sales.orders", Some("close")).await;
    let [second, third, fourth] = [2, 3, 4].map(Position::Version);
    publish(&catalog, &items, &[1, 2, 3, 4], committed(5)).await;
    let snapshot = shown(&catalog, "east").await;
    assert_eq!((snapshot.as_of_ms, snapshot.tables.len()), (None, 0));
    let waits: Vec<_> =
        snapshot.waits_for.iter().map(|one| (one.table.table(), one.reason)).collect();
    assert_eq!(waits, [("orders", Obstacle::NotPublished)]);
    assert_eq!(shown(&catalog, "west").await.waits_for.len(), 2);

    // Looked at a second after their third commit: the items had moved on since.
    publish(&catalog, &orders, &[1, 2, 3], committed(3) + 1_000).await;
    assert_eq!(positions(&catalog).await, (Some(committed(3)), vec![third, third]));
    catalog.checked(std::slice::from_ref(&orders.id), Some(committed(5)), NOW).await.unwrap();
    let both = (Some(committed(5) - 1_000), vec![fourth, third]);
    assert_eq!(positions(&catalog).await, both);

    // The orders' third commit is found to be pending at the east: what was before it counts.
    let mut late = report(&orders, "east", 1, &[]);
    late.progress = Some(Progress {
        head: Some(second),
        head_committed_ms: Some(committed(2)),
        source_head: Some(third),
        pending_versions: Some(1),
        oldest_pending_ms: Some(committed(3)),
        ..late.progress.unwrap()
    });
    assert_eq!(catalog.record(&[late.clone()], NOW).await.unwrap(), [true]);
    assert_eq!(positions(&catalog).await, (Some(committed(3) - 1), vec![second, second]));

    // The items' versions of that time are gone.
    let mut retired = report(&items, "east", 1, &[]);
    retired.progress = Some(Progress {
        head: Some(fourth),
        head_committed_ms: Some(committed(4)),
        source_head: Some(fourth),
        earliest_readable: Some(third),
        listed_ms: Some(committed(5)),
        ..retired.progress.unwrap()
    });
    assert_eq!(catalog.record(&[retired], NOW).await.unwrap(), [true]);
    let snapshot = shown(&catalog, "east").await;
    assert_eq!(snapshot.as_of_ms, None);
    let waits: Vec<_> =
        snapshot.waits_for.iter().map(|one| (one.table.table(), one.reason)).collect();
    assert_eq!(waits, [("items", Obstacle::TooNew)]);
}

async fn a_replica_that_is_begun_anew_is_in_the_way(catalog: Catalog) {
    seeded(&catalog).await;
    let orders = grouped(&catalog, "lake.sales.orders", Some("close")).await;
    publish(&catalog, &orders, &[1, 2], committed(3)).await;
    let before = shown(&catalog, "east").await;
    assert_eq!(before.tables[0].location, "vast:east/lake/sales/orders");
    catalog.new_incarnation(&orders.name, "east", (1, None), NOW).await.unwrap();
    let waits = shown(&catalog, "east").await.waits_for;
    assert_eq!(waits[0].reason, Obstacle::BegunAnew);
    // Once it is whole, it is what readers are shown.
    let mut whole = report(&orders, "east", 1, &[version(1, "append", 1)]);
    whole.incarnation = 2;
    let progress = whole.progress.as_mut().unwrap();
    (progress.head_committed_ms, progress.listed_ms) = (Some(NOW), Some(committed(4)));
    assert_eq!(catalog.record(&[whole], NOW).await.unwrap(), [true]);
    let after = shown(&catalog, "east").await;
    assert_eq!(after.as_of_ms, Some(committed(4) - 1_000));
    assert_eq!(after.tables[0].location, "vast:east/lake/sales/orders-2");
}

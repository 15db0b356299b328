//! Registered tables.

use driftless_catalog::transition::{Desired, Wish};
use driftless_catalog::{
    Catalog, CatalogError, EventFilter, Former, Held, NewTable, Page, Pin, Policy, Priority,
    TableFilter, TableName,
};
use table_sync_core::Position;

use crate::databases::NOW;
use crate::inventory::{site, store};
use crate::on_both;
use crate::progress::{report, version};

on_both!(
    a_table_is_registered_once,
    tables_are_listed_by_name_in_pages,
    wishes_follow_the_rules,
    policies_are_checked_and_versioned,
    a_new_incarnation_has_a_place_of_its_own,
    readers_are_shown_the_old_replica_until_the_new_one_is_whole,
    what_is_published_at_a_site_is_listed,
    a_forgotten_table_leaves_its_place_for_good,
    pins_need_a_published_version,
    every_change_is_an_event,
    a_lost_table_is_registered_again,
);

pub(crate) fn name(text: &str) -> TableName {
    TableName::parse(text).unwrap()
}

pub(crate) fn new_table(text: &str) -> NewTable {
    NewTable {
        name: name(text),
        source: format!("source:{}", text.replace('.', "/")),
        policy: Policy::default(),
        sites: vec!["east".to_owned(), "west".to_owned()],
        rule: None,
        paused: false,
    }
}

/// Two stores, two sites, two projects.
pub(crate) async fn seeded(catalog: &Catalog) {
    for (name, url) in [("source", "gs://lake"), ("vast", "s3://vast")] {
        catalog.put_store(&store(name, url), None, NOW).await.unwrap();
    }
    for name in ["east", "west"] {
        catalog.put_site(&site(name, &format!("vast:{name}")), None, NOW).await.unwrap();
    }
    for name in ["lake", "mart"] {
        catalog.put_project((name, None, 1), None, NOW).await.unwrap();
    }
}

async fn a_table_is_registered_once(catalog: Catalog) {
    seeded(&catalog).await;
    let table = catalog.register(&new_table("lake.sales.orders"), NOW).await.unwrap();
    assert_eq!((table.desired, table.epoch, table.owned), (Desired::Active, 0, false));
    let places: Vec<_> = table.replicas.iter().map(|one| one.location.as_str()).collect();
    assert_eq!(places, ["vast:east/lake/sales/orders", "vast:west/lake/sales/orders"]);
    assert_eq!(catalog.table_by_id(&table.id).await.unwrap(), table);
    let error = catalog.register(&new_table("lake.sales.orders"), NOW).await.unwrap_err();
    assert!(matches!(error, CatalogError::Exists { .. }), "{error}");
    let unknown = NewTable { sites: vec!["north".to_owned()], ..new_table("lake.sales.other") };
    let error = catalog.register(&unknown, NOW).await.unwrap_err();
    assert!(matches!(error, CatalogError::NotFound { .. }), "{error}");
    let error = catalog.register(&new_table("nowhere.sales.orders"), NOW).await.unwrap_err();
    assert!(matches!(error, CatalogError::NotFound { .. }), "{error}");
    let nowhere = NewTable { sites: Vec::new(), ..new_table("lake.sales.other") };
    let error = catalog.register(&nowhere, NOW).await.unwrap_err();
    assert!(matches!(error, CatalogError::Invalid(_)), "{error}");
    // A refused registration leaves nothing behind.
    assert_eq!(catalog.tables(&TableFilter::default(), 10).await.unwrap().len(), 1);
    // A site whose root is the root of another would publish two tables at one place.
    catalog.put_site(&site("twin", "vast:east"), None, NOW).await.unwrap();
    let twin = NewTable { sites: vec!["twin".to_owned()], ..new_table("lake.sales.orders") };
    let error = catalog.register(&twin, NOW).await.unwrap_err();
    assert!(matches!(error, CatalogError::Exists { .. }), "{error}");
}

async fn tables_are_listed_by_name_in_pages(catalog: Catalog) {
    seeded(&catalog).await;
    let texts = ["lake.a.t1", "lake.a.t2", "lake.b.t0", "mart.a.t1"];
    for text in texts.iter().rev() {
        let sites = if text.ends_with('2') { vec!["west"] } else { vec!["east", "west"] };
        let sites = sites.into_iter().map(str::to_owned).collect();
        catalog.register(&NewTable { sites, ..new_table(text) }, NOW).await.unwrap();
    }
    let list = async |filter: TableFilter, limit| {
        let tables = catalog.tables(&filter, limit).await.unwrap();
        tables.into_iter().map(|one| one.name.to_string()).collect::<Vec<_>>()
    };
    let all = TableFilter::default();
    assert_eq!(list(all.clone(), 10).await, texts);
    assert_eq!(list(all.clone(), 2).await, texts[..2]);
    let after = TableFilter { after: Some(name("lake.a.t2")), ..all.clone() };
    assert_eq!(list(after, 10).await, texts[2..]);
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(list(TableFilter { project: some("lake"), ..all.clone() }, 9).await, texts[..3]);
    let east = TableFilter { site: some("east"), project: some("lake"), ..all.clone() };
    assert_eq!(list(east, 9).await, ["lake.a.t1", "lake.b.t0"]);
    let space = TableFilter { namespace: some("a"), project: some("mart"), ..all };
    assert_eq!(list(space, 9).await, ["mart.a.t1"]);
}

async fn wishes_follow_the_rules(catalog: Catalog) {
    seeded(&catalog).await;
    let orders = catalog.register(&new_table("lake.sales.orders"), NOW).await.unwrap();
    let table = name("lake.sales.orders");
    let before = catalog.newest_wake().await.unwrap();
    let paused = catalog.wish(&table, Wish::Pause, Some(1), NOW).await.unwrap();
    assert_eq!((paused.desired, paused.revision), (Desired::Paused, 2));
    assert_eq!(catalog.newest_wake().await.unwrap(), before + 1);
    // Once more is no change.
    let again = catalog.wish(&table, Wish::Pause, None, NOW).await.unwrap();
    assert_eq!(again.revision, 2);
    let error = catalog.wish(&table, Wish::Resume, Some(1), NOW).await.unwrap_err();
    assert!(matches!(error, CatalogError::Changed { .. }), "{error}");
    let error = catalog.forget(&table, None, NOW).await.unwrap_err();
    assert!(matches!(error, CatalogError::Invalid(_)), "{error}");
    catalog.wish(&table, Wish::Unregister, None, NOW).await.unwrap();
    let error = catalog.wish(&table, Wish::Resume, None, NOW).await.unwrap_err();
    assert!(matches!(error, CatalogError::NotNow(_)), "{error}");
    catalog.forget(&table, None, NOW).await.unwrap();
    let error = catalog.table_by_id(&orders.id).await.unwrap_err();
    assert!(matches!(error, CatalogError::NotFound { .. }), "{error}");
}

async fn policies_are_checked_and_versioned(catalog: Catalog) {
    seeded(&catalog).await;
    catalog.register(&new_table("lake.sales.orders"), NOW).await.unwrap();
    let table = name("lake.sales.orders");
    let policy = Policy { priority: Priority::Bulk, poll_seconds: 90, ..Policy::default() };
    let changed = catalog.set_policy(&table, &policy, Some(1), NOW).await.unwrap();
    assert_eq!((changed.policy, changed.revision), (policy.clone(), 2));
    let error = catalog.set_policy(&table, &policy, Some(1), NOW).await.unwrap_err();
    assert!(matches!(error, CatalogError::Changed { .. }), "{error}");
    for wrong in [
        Policy { poll_seconds: 0, ..Policy::default() },
        Policy { share: 0, ..Policy::default() },
        Policy { start: "newest".to_owned(), ..Policy::default() },
        Policy { retention_seconds: Some(1), ..Policy::default() },
        Policy { alias_roots: vec![String::new(); 17], ..Policy::default() },
    ] {
        let error = catalog.set_policy(&table, &wrong, None, NOW).await.unwrap_err();
        assert!(matches!(error, CatalogError::Invalid(_)), "{error}");
    }
}

async fn a_new_incarnation_has_a_place_of_its_own(catalog: Catalog) {
    seeded(&catalog).await;
    let orders = catalog.register(&new_table("lake.sales.orders"), NOW).await.unwrap();
    let table = name("lake.sales.orders");
    let first = report(&orders, "east", 1, &[version(0, "append", 1)]);
    let moved = catalog.new_incarnation(&table, "east", (1, Some(50)), NOW).await.unwrap();
    assert_eq!(moved.replicas[0].location, "vast:east/lake/sales/orders-2");
    // Nobody was shown the old one.
    assert_eq!(moved.replicas[0].serving, None);
    assert_eq!(moved.replicas[0].incarnation, 2);
    assert_eq!(moved.replicas[0].progress.head, None);
    assert_eq!(moved.replicas[1].location, "vast:west/lake/sales/orders");
    // The old owner still reports about the old one.
    assert_eq!(catalog.record(&[first], NOW).await.unwrap(), [false]);
    assert!(catalog.versions((&orders.id, "east"), None, 9).await.unwrap().is_empty());
    let error = catalog.new_incarnation(&table, "east", (1, None), NOW).await.unwrap_err();
    assert!(matches!(error, CatalogError::Changed { .. }), "{error}");
    assert!(catalog.due_locations(NOW + 49).await.unwrap().is_empty());
    let due = catalog.due_locations(NOW + 50).await.unwrap();
    let place = "vast:east/lake/sales/orders".to_owned();
    assert_eq!(due, [(place.clone(), "east".to_owned(), "lake.sales.orders".to_owned())]);
    catalog.location_deleted(&place).await.unwrap();
    assert!(catalog.due_locations(NOW + 50).await.unwrap().is_empty());
}

async fn readers_are_shown_the_old_replica_until_the_new_one_is_whole(catalog: Catalog) {
    seeded(&catalog).await;
    let orders = catalog.register(&new_table("lake.sales.orders"), NOW).await.unwrap();
    let table = name("lake.sales.orders");
    let east = async || catalog.table(&table).await.unwrap().replicas.remove(0);
    let says = async |incarnation, (head, source): (u64, u64), at_ms| {
        let mut said = report(&orders, "east", 1, &[version(head, "append", 1)]);
        said.incarnation = incarnation;
        let progress = said.progress.as_mut().unwrap();
        progress.head = Some(Position::Version(head));
        progress.source_head = Some(Position::Version(source));
        assert_eq!(catalog.record(&[said], at_ms).await.unwrap(), [true]);
    };
    let shown = async || {
        let served = east().await.served();
        (served.location, served.head)
    };
    let place = |suffix: &str| format!("vast:east/lake/sales/orders{suffix}");
    says(1, (4, 4), NOW).await;
    assert_eq!(shown().await, (place(""), Some(Position::Version(4))));
    catalog.new_incarnation(&table, "east", (1, Some(50)), NOW).await.unwrap();
    assert_eq!(east().await.location, place("-2"));
    assert_eq!(shown().await, (place(""), Some(Position::Version(4))));
    // Half way is not enough: readers would go back.
    says(2, (2, 5), NOW + 10).await;
    assert_eq!(shown().await, (place(""), Some(Position::Version(4))));
    // Begun anew once more: nobody was shown the one between, which may go at once.
    catalog.new_incarnation(&table, "east", (2, Some(50)), NOW + 20).await.unwrap();
    assert_eq!(shown().await, (place(""), Some(Position::Version(4))));
    let due = async |at_ms| {
        let due = catalog.due_locations(at_ms).await.unwrap();
        due.into_iter().map(|(location, ..)| location).collect::<Vec<_>>()
    };
    assert_eq!(due(NOW + 69).await, Vec::<String>::new());
    assert_eq!(due(NOW + 1_000_000).await, [place("-2")]);
    says(3, (5, 5), NOW + 100).await;
    assert_eq!(shown().await, (place("-3"), Some(Position::Version(5))));
    assert_eq!(east().await.serving, None);
    assert_eq!(due(NOW + 149).await, [place("-2")]);
    let mut both = due(NOW + 150).await;
    both.sort();
    assert_eq!(both, [place(""), place("-2")]);
    let told = catalog.events(&EventFilter::default(), Page::After(0), 99).await.unwrap();
    let switched: Vec<_> = told.iter().filter(|one| one.kind == "replica.switched").collect();
    assert_eq!(switched.len(), 1);
    assert_eq!(switched[0].body["from"], place(""));
    assert_eq!(switched[0].body["to"], place("-3"));
    // A table that goes while one is begun anew leaves both.
    catalog.new_incarnation(&table, "east", (3, Some(50)), NOW).await.unwrap();
    catalog.wish(&table, Wish::Unregister, None, NOW).await.unwrap();
    catalog.forget(&table, Some(NOW), NOW).await.unwrap();
    let left = due(NOW).await;
    assert!(left.contains(&place("-3")) && left.contains(&place("-4")), "{left:?}");
}

async fn what_is_published_at_a_site_is_listed(catalog: Catalog) {
    seeded(&catalog).await;
    for table in ["lake.sales.orders", "lake.sales.items", "lake.crm.people", "mart.sales.carts"] {
        let table = catalog.register(&new_table(table), NOW).await.unwrap();
        if table.name.table() != "items" {
            let said = report(&table, "east", 1, &[version(4, "append", 1)]);
            assert_eq!(catalog.record(&[said], NOW).await.unwrap(), [true]);
        }
    }
    let check = async |namespace, site, limit, expect: &[&str]| {
        let shown = catalog.shown("lake", namespace, site, limit).await.unwrap();
        let names: Vec<_> = shown.iter().map(|shown| shown.name.to_string()).collect();
        assert_eq!(names, expect, "{namespace:?} {site}");
        assert!(shown.iter().all(|shown| shown.format == "delta"));
    };
    check(None, "east", 9, &["lake.crm.people", "lake.sales.orders"]).await;
    check(None, "east", 1, &["lake.crm.people"]).await;
    check(Some("sales"), "east", 9, &["lake.sales.orders"]).await;
    check(Some("sales"), "west", 9, &[]).await;
    // While it is begun anew, the former one is shown.
    let orders = name("lake.sales.orders");
    catalog.new_incarnation(&orders, "east", (1, Some(50)), NOW).await.unwrap();
    assert_eq!(catalog.table(&orders).await.unwrap().replicas[0].progress.head, None);
    check(Some("sales"), "east", 9, &["lake.sales.orders"]).await;
}

async fn a_forgotten_table_leaves_its_place_for_good(catalog: Catalog) {
    seeded(&catalog).await;
    let table = name("lake.sales.orders");
    let again = async |delete_after| {
        catalog.register(&new_table("lake.sales.orders"), NOW).await.unwrap();
        let wished = catalog.wish(&table, Wish::Unregister, None, NOW).await.unwrap();
        catalog.forget(&table, delete_after, NOW).await.unwrap();
        wished.replicas[0].location.clone()
    };
    // Kept replicas are taken over by the next table of that name, if it has the same source.
    assert_eq!(again(None).await, "vast:east/lake/sales/orders");
    assert_eq!(again(Some(NOW)).await, "vast:east/lake/sales/orders");
    assert_eq!(again(Some(NOW)).await, "vast:east/lake/sales/orders-2");
    catalog.location_deleted("vast:east/lake/sales/orders").await.unwrap();
    assert_eq!(again(None).await, "vast:east/lake/sales/orders-3");
}

async fn pins_need_a_published_version(catalog: Catalog) {
    seeded(&catalog).await;
    let orders = catalog.register(&new_table("lake.sales.orders"), NOW).await.unwrap();
    let table = name("lake.sales.orders");
    let position = Position::Version(3);
    let pin = Pin { name: "audit_q3".to_owned(), position, created_ms: NOW };
    let error = catalog.pin(&table, &pin, None).await.unwrap_err();
    assert!(matches!(error, CatalogError::NotFound { .. }), "{error}");
    let published = report(&orders, "west", 1, &[version(3, "jump", 1)]);
    catalog.record(&[published], NOW).await.unwrap();
    let revision = catalog.table(&table).await.unwrap().revision;
    catalog.pin(&table, &pin, Some(revision)).await.unwrap();
    // The pin made another revision of the table.
    for error in [
        catalog.pin(&table, &pin, Some(revision)).await.unwrap_err(),
        catalog.unpin(&table, "audit_q3", Some(revision)).await.unwrap_err(),
    ] {
        assert!(matches!(error, CatalogError::Changed { .. }), "{error}");
    }
    assert_eq!(catalog.pins(&orders.id).await.unwrap(), [pin]);
    let pinned = catalog.pinned("lake", "sales", "audit_q3").await.unwrap();
    assert_eq!(pinned, [(orders.id.clone(), position)].into());
    for (project, namespace, pin) in
        [("mart", "sales", "audit_q3"), ("lake", "crm", "audit_q3"), ("lake", "sales", "q3")]
    {
        assert!(catalog.pinned(project, namespace, pin).await.unwrap().is_empty());
    }
    catalog.unpin(&table, "audit_q3", Some(revision + 1)).await.unwrap();
    let error = catalog.unpin(&table, "audit_q3", None).await.unwrap_err();
    assert!(matches!(error, CatalogError::NotFound { .. }), "{error}");
}

async fn every_change_is_an_event(catalog: Catalog) {
    seeded(&catalog).await;
    let table = name("lake.sales.orders");
    catalog.register(&new_table("lake.sales.orders"), NOW).await.unwrap();
    catalog.register(&new_table("mart.sales.orders"), NOW).await.unwrap();
    catalog.wish(&table, Wish::Pause, None, NOW).await.unwrap();
    catalog.wish(&table, Wish::Resume, None, NOW).await.unwrap();
    catalog.set_policy(&table, &Policy::default(), None, NOW).await.unwrap();
    catalog.new_incarnation(&table, "east", (1, None), NOW).await.unwrap();
    catalog.wish(&table, Wish::Unregister, None, NOW).await.unwrap();
    catalog.forget(&table, None, NOW).await.unwrap();
    let of = |project: &str| EventFilter { project: Some(project.to_owned()), table: None };
    let events = catalog.events(&of("lake"), Page::After(0), 99).await.unwrap();
    let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(
        kinds,
        [
            "table.registered",
            "table.paused",
            "table.resumed",
            "table.policy_changed",
            "replica.moved",
            "table.unregistering",
            "table.unregistered",
        ]
    );
    let all = catalog.events(&EventFilter::default(), Page::After(0), 99).await.unwrap();
    let numbers: Vec<_> = all.iter().map(|event| event.seq).collect();
    assert_eq!(numbers, (1..=8).collect::<Vec<_>>());
    assert_eq!(catalog.newest_event().await.unwrap(), 8);
    let late = catalog.events(&of("lake"), Page::Before(8), 1).await.unwrap();
    assert_eq!(late[0].kind, "table.unregistering");
    assert_eq!(catalog.expire_events(NOW + 1).await.unwrap(), 8);
    assert_eq!(catalog.oldest_event().await.unwrap(), None);
    // Numbers go on.
    catalog.register(&new_table("lake.sales.orders"), NOW).await.unwrap();
    assert_eq!(catalog.oldest_event().await.unwrap(), Some(9));
}

async fn a_lost_table_is_registered_again(catalog: Catalog) {
    seeded(&catalog).await;
    let held = |site: &str, epoch, incarnation| Held {
        name: name("lake.sales.orders"),
        source: "gs://lake/sales/orders".to_owned(),
        format: "delta".to_owned(),
        site: site.to_owned(),
        incarnation,
        epoch,
        head: Some(Position::Version(7)),
        former: Vec::new(),
    };
    assert!(catalog.restore(&held("east", 9, 2), NOW).await.unwrap());
    assert!(catalog.restore(&held("west", 4, 1), NOW).await.unwrap());
    assert!(!catalog.restore(&held("west", 4, 1), NOW).await.unwrap());
    let table = catalog.table(&name("lake.sales.orders")).await.unwrap();
    assert_eq!((table.desired, table.epoch), (Desired::Paused, 9));
    assert_eq!(table.format.as_deref(), Some("delta"));
    let places: Vec<_> = table.replicas.iter().map(|one| one.location.as_str()).collect();
    assert_eq!(places, ["vast:east/lake/sales/orders-2", "vast:west/lake/sales/orders"]);
    assert_eq!(table.replicas[0].progress.head, Some(Position::Version(7)));
    // The next owner is above every owner that a replica has seen.
    catalog.beat(("a", "host", "0.1.0"), 60_000).await.unwrap();
    assert_eq!(catalog.claim("a", 9).await.unwrap()[0].epoch, 10);
    for wrong in [
        Held { source: "gs://other".to_owned(), ..held("east", 9, 2) },
        Held { site: "north".to_owned(), ..held("east", 9, 2) },
        Held { name: name("gone.sales.orders"), ..held("east", 9, 2) },
    ] {
        assert!(catalog.restore(&wrong, NOW).await.is_err(), "{wrong:?}");
    }
    // A site that was begun anew since the catalog's back-up, and is not whole there.
    let former = vec![
        Former { incarnation: 1, head: Some(Position::Version(6)) },
        Former { incarnation: 2, head: Some(Position::Version(7)) },
    ];
    let anew = Held { head: None, former, ..held("east", 12, 3) };
    assert!(catalog.restore(&anew, NOW).await.unwrap());
    let east = catalog.table(&table.name).await.unwrap().replicas.remove(0);
    assert_eq!(
        (east.location.as_str(), east.progress.head),
        ("vast:east/lake/sales/orders-3", None)
    );
    let served = east.served();
    assert_eq!(served.location, "vast:east/lake/sales/orders-2");
    assert_eq!(served.head, Some(Position::Version(7)));
    // An older one changes nothing.
    assert!(!catalog.restore(&held("east", 9, 2), NOW).await.unwrap());
    assert!(catalog.due_locations(NOW + 1_000_000_000).await.unwrap().is_empty());
}

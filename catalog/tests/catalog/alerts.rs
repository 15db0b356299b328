//! Alerts, what receivers are told, and the walk over all tables.

use std::collections::BTreeMap;

use driftless_catalog::status::Status;
use driftless_catalog::transition::Wish;
use driftless_catalog::{Alert, AlertState, Audience, Catalog, Due, StandingsPage};

use crate::databases::NOW;
use crate::on_both;
use crate::progress::{report, version};
use crate::tables::{name, new_table, seeded};

on_both!(
    standings_are_walked_in_pages,
    an_alert_begins_goes_on_and_ends,
    a_receiver_is_told_once_of_beginning_and_end,
    a_receiver_gets_what_it_wants,
    a_failure_is_tried_again_and_a_lost_claim_too,
    two_notifiers_never_have_the_same_claim,
);

const PAGE: Audience<'static> = Audience {
    receiver: "ops",
    severities: &["page", "ticket"],
    projects: &[],
    repeat_ms: 1_000,
    claim_ms: 50,
};

fn alert(fingerprint: &str, at_ms: i64) -> Alert {
    Alert {
        fingerprint: fingerprint.to_owned(),
        name: "TableBlocked".to_owned(),
        severity: "ticket".to_owned(),
        project: Some("lake".to_owned()),
        labels: BTreeMap::from([("table".to_owned(), "lake.sales.orders".to_owned())]),
        annotations: BTreeMap::from([("summary".to_owned(), "why".to_owned())]),
        starts_ms: at_ms,
        ends_ms: None,
        seen_ms: at_ms,
    }
}

fn told(dues: &[Due]) -> Vec<(&str, AlertState)> {
    dues.iter().map(|due| (due.alert.fingerprint.as_str(), due.state)).collect()
}

async fn standings_are_walked_in_pages(catalog: Catalog) {
    seeded(&catalog).await;
    for text in ["lake.a.t1", "lake.a.t2", "lake.b.t1", "mart.a.t1", "mart.a.t9"] {
        catalog.register(&new_table(text), NOW).await.unwrap();
    }
    catalog.wish(&name("mart.a.t9"), Wish::Unregister, None, NOW).await.unwrap();
    catalog.wish(&name("lake.a.t2"), Wish::Pause, None, NOW).await.unwrap();
    let table = catalog.table(&name("lake.b.t1")).await.unwrap();
    let mut sent = report(&table, "west", 1, &[version(1, "append", 0)]);
    sent.progress.as_mut().unwrap().oldest_pending_ms = Some(NOW - 9);
    catalog.record(&[sent], NOW).await.unwrap();
    for limit in [1, 3, 100] {
        let mut page = StandingsPage::default();
        let mut found = Vec::new();
        loop {
            let next = catalog.standings(&mut page, limit).await.unwrap();
            if next.is_empty() {
                break;
            }
            found.extend(next);
        }
        let names: Vec<_> = found.iter().map(|one| format!("{} {}", one.name, one.site)).collect();
        let expect = ["lake.a.t1", "lake.a.t2", "lake.b.t1", "mart.a.t1"]
            .iter()
            .flat_map(|table| [format!("{table} east"), format!("{table} west")]);
        assert_eq!(names, expect.collect::<Vec<_>>(), "{limit}");
        assert_eq!(found[2].status(NOW), Status::Paused);
        assert_eq!((found[4].is_published, found[5].is_published), (false, true));
        assert_eq!(found[5].lag_ms(NOW + 1), Some(10));
        assert_eq!((found[5].table.as_str(), &*found[5].policy), (&*table.id, &table.policy));
    }
}

async fn an_alert_begins_goes_on_and_ends(catalog: Catalog) {
    catalog.raise_alerts(&[alert("a", NOW), alert("b", NOW + 1)]).await.unwrap();
    let changed = Alert {
        annotations: BTreeMap::from([("summary".to_owned(), "other".to_owned())]),
        ..alert("b", NOW + 5)
    };
    catalog.raise_alerts(std::slice::from_ref(&changed)).await.unwrap();
    catalog.see_alerts(&["a", "gone"], NOW + 7).await.unwrap();
    // Another process, whose clock is behind.
    catalog.see_alerts(&["a"], NOW + 2).await.unwrap();
    let active = catalog.active_alerts().await.unwrap();
    let kept = Alert { seen_ms: NOW + 7, ..alert("a", NOW) };
    assert_eq!(active, [kept, Alert { starts_ms: NOW + 1, ..changed }]);
    assert_eq!(catalog.end_alerts(NOW + 6, NOW + 8).await.unwrap(), 1);
    let active = catalog.active_alerts().await.unwrap();
    assert_eq!(active.iter().map(|one| one.fingerprint.as_str()).collect::<Vec<_>>(), ["a"]);
    // It begins anew.
    catalog.raise_alerts(&[alert("b", NOW + 20)]).await.unwrap();
    assert_eq!(catalog.active_alerts().await.unwrap()[1], alert("b", NOW + 20));
    catalog.end_alerts(NOW + 99, NOW + 30).await.unwrap();
    assert_eq!(catalog.expire_alerts(NOW + 30).await.unwrap(), 0);
    assert_eq!(catalog.expire_alerts(NOW + 31).await.unwrap(), 2);
}

async fn a_receiver_is_told_once_of_beginning_and_end(catalog: Catalog) {
    let due = async |at_ms| catalog.due_notifications(PAGE, NOW + at_ms, 9).await.unwrap();
    let done =
        async |dues: &[Due], at_ms| catalog.notified("ops", dues, NOW + at_ms).await.unwrap();
    catalog.raise_alerts(&[alert("a", NOW)]).await.unwrap();
    let first = due(0).await;
    assert_eq!(told(&first), [("a", AlertState::Firing)]);
    done(&first, 1).await;
    assert_eq!(told(&due(999).await), []);
    // Again, after the interval.
    let again = due(1_001).await;
    assert_eq!(told(&again), [("a", AlertState::Firing)]);
    done(&again, 1_001).await;
    catalog.end_alerts(NOW + 9, NOW + 1_100).await.unwrap();
    let end = due(1_100).await;
    assert_eq!(told(&end), [("a", AlertState::Resolved)]);
    done(&end, 1_100).await;
    assert_eq!(told(&due(9_999).await), []);
    // It begins anew, and ends before anybody was told.
    catalog.raise_alerts(&[alert("a", NOW + 10_000)]).await.unwrap();
    catalog.end_alerts(NOW + 20_000, NOW + 10_001).await.unwrap();
    assert_eq!(told(&due(10_002).await), []);
    catalog.raise_alerts(&[alert("a", NOW + 10_003)]).await.unwrap();
    let anew = due(10_003).await;
    assert_eq!(told(&anew), [("a", AlertState::Firing)]);
    done(&anew, 10_003).await;
    // It ends and begins anew at once: that is another beginning, not a repetition.
    catalog.end_alerts(NOW + 20_000, NOW + 10_004).await.unwrap();
    catalog.raise_alerts(&[alert("a", NOW + 10_005)]).await.unwrap();
    assert_eq!(due(10_005).await[0].alert.starts_ms, NOW + 10_005);
}

async fn a_receiver_gets_what_it_wants(catalog: Catalog) {
    let other = Alert { project: Some("mart".to_owned()), ..alert("b", NOW) };
    let global = Alert { project: None, severity: "page".to_owned(), ..alert("c", NOW) };
    let info = Alert { severity: "info".to_owned(), ..alert("d", NOW) };
    catalog.raise_alerts(&[alert("a", NOW), other, global, info]).await.unwrap();
    let check = async |receiver, severities: &[&str], projects: &[&str], expect: &[&str]| {
        let projects: Vec<_> = projects.iter().map(|one| (*one).to_owned()).collect();
        let audience = Audience { receiver, severities, projects: &projects, ..PAGE };
        let dues = catalog.due_notifications(audience, NOW, 9).await.unwrap();
        let mut found: Vec<_> = told(&dues).into_iter().map(|(name, _)| name).collect();
        found.sort_unstable();
        assert_eq!(found, expect, "{receiver}");
    };
    check("all", &["page", "ticket", "info"], &[], &["a", "b", "c", "d"]).await;
    check("pager", &["page"], &[], &["c"]).await;
    check("mart", &["page", "ticket"], &["mart"], &["b", "c"]).await;
    check("both", &["page", "ticket"], &["mart", "lake"], &["a", "b", "c"]).await;
}

async fn a_failure_is_tried_again_and_a_lost_claim_too(catalog: Catalog) {
    let due = async |at_ms| catalog.due_notifications(PAGE, NOW + at_ms, 9).await.unwrap();
    catalog.raise_alerts(&[alert("a", NOW)]).await.unwrap();
    let first = due(0).await;
    catalog.not_notified("ops", &first, NOW + 20).await.unwrap();
    assert_eq!(told(&due(19).await), []);
    let second = due(20).await;
    assert_eq!(second[0].tries, 1);
    // Its process ends here. Another one takes over, once the claim's time is over.
    assert_eq!(told(&due(69).await), []);
    let third = due(70).await;
    assert_eq!(told(&third), [("a", AlertState::Firing)]);
    // The lost one is back: what it says counts no more.
    catalog.not_notified("ops", &second, NOW).await.unwrap();
    assert_eq!(told(&due(71).await), []);
    catalog.notified("ops", &third, NOW + 72).await.unwrap();
    catalog.notified("ops", &second, NOW + 73).await.unwrap();
    assert_eq!(told(&due(200).await), []);
}

async fn two_notifiers_never_have_the_same_claim(catalog: Catalog) {
    let alerts: Vec<_> = (0..50).map(|at| alert(&format!("{at:02}"), NOW)).collect();
    catalog.raise_alerts(&alerts).await.unwrap();
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let catalog = catalog.clone();
            tokio::spawn(async move {
                let mut mine = Vec::new();
                loop {
                    let dues = catalog.due_notifications(PAGE, NOW, 7).await.unwrap();
                    if dues.is_empty() {
                        return mine;
                    }
                    catalog.notified("ops", &dues, NOW).await.unwrap();
                    mine.extend(dues.into_iter().map(|due| due.alert.fingerprint));
                }
            })
        })
        .collect();
    let mut found = Vec::new();
    for task in tasks {
        found.extend(task.await.unwrap());
    }
    found.sort_unstable();
    assert!(found.windows(2).all(|two| two[0] != two[1]), "told twice: {found:?}");
    // An empty answer to one means only that the others have claimed what it saw.
    let left = catalog.due_notifications(PAGE, NOW, 99).await.unwrap();
    assert_eq!(found.len() + left.len(), alerts.len());
}

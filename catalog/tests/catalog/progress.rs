//! Reports of owners.

use driftless_catalog::status::Condition;
use driftless_catalog::{
    Catalog, EventFilter, NewEvent, Page, Progress, Report, Table, Version, folded,
};
use table_sync_core::{ChainHash, Position, Sha256Digest};

use crate::databases::NOW;
use crate::on_both;
use crate::tables::{name, new_table, seeded};

on_both!(
    reports_become_progress_and_receipts,
    an_older_owner_is_refused,
    what_is_published_shows_before_its_pass_ends,
    chains_are_equal_at_sites_that_published_the_same,
    a_condition_is_told_once,
    the_common_version_is_at_every_site,
    the_longest_lag_comes_first,
    old_receipts_are_forgotten,
);

pub(crate) fn version(at: u64, kind: &str, published_ms: i64) -> Version {
    Version {
        position: Position::Version(at),
        kind: kind.to_owned(),
        committed_ms: Some(NOW),
        published_ms: NOW + published_ms,
        files: 2,
        bytes: 1_000,
        commit_sha256: Some(Sha256Digest::of(&at.to_be_bytes()).to_string()),
        chain_sha256: None,
        live_digest: None,
        ordinal: 0,
    }
}

pub(crate) fn report(table: &Table, site: &str, epoch: u64, versions: &[Version]) -> Report {
    let head = versions.last().map(|version| version.position);
    let progress = Progress {
        condition: Condition::Well,
        head,
        source_head: head,
        checked_ms: Some(NOW),
        pending_versions: Some(0),
        moved_ms: Some(NOW),
        ..Progress::default()
    };
    Report {
        table: table.id.clone(),
        site: site.to_owned(),
        epoch,
        incarnation: 1,
        format: Some("delta"),
        progress: Some(progress),
        versions: versions.to_vec(),
        events: Vec::new(),
    }
}

async fn orders(catalog: &Catalog) -> Table {
    seeded(catalog).await;
    catalog.register(&new_table("lake.sales.orders"), NOW).await.unwrap()
}

async fn reports_become_progress_and_receipts(catalog: Catalog) {
    let table = orders(&catalog).await;
    let instant = Position::parse("20261130000000001_20261130000000000").unwrap();
    let mut hudi = version(0, "append", 5);
    hudi.position = instant;
    let mut sent = report(&table, "east", 7, &[hudi]);
    sent.events.push(NewEvent { kind: "replica.window", body: serde_json::json!({"ms": 4}) });
    let wanted = sent.progress.clone().unwrap();
    assert_eq!(catalog.record(&[sent], NOW + 9).await.unwrap(), [true]);
    let read = catalog.table(&table.name).await.unwrap();
    assert_eq!(read.format.as_deref(), Some("delta"));
    assert_eq!(read.replicas[0].progress, Progress { since_ms: NOW + 9, ..wanted });
    assert_eq!(read.replicas[1].progress.condition, Condition::New);
    let versions = catalog.versions((&table.id, "east"), None, 9).await.unwrap();
    assert_eq!((versions[0].position, versions[0].ordinal), (instant, 1));
    let found = catalog.version(&table.id, &instant.to_string()).await.unwrap();
    assert_eq!(found, [("east".to_owned(), versions[0].clone())]);
    let ids = std::slice::from_ref(&table.id);
    catalog.checked(ids, Some(NOW + 70), NOW + 76).await.unwrap();
    // One that began before is written later; one began at no known time.
    catalog.checked(ids, Some(NOW + 60), NOW + 76).await.unwrap();
    catalog.checked(ids, None, NOW + 77).await.unwrap();
    let read = catalog.table(&table.name).await.unwrap();
    let progress = &read.replicas[0].progress;
    assert_eq!((progress.checked_ms, progress.listed_ms), (Some(NOW + 77), Some(NOW + 70)));
    let all = catalog.events(&EventFilter::default(), Page::After(1), 9).await.unwrap();
    let kinds: Vec<_> = all.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["version.published", "replica.window"]);
    assert_eq!(all[0].site.as_deref(), Some("east"));
}

async fn an_older_owner_is_refused(catalog: Catalog) {
    let table = orders(&catalog).await;
    let new = report(&table, "east", 2, &[version(1, "append", 0)]);
    let old = report(&table, "east", 1, &[version(0, "append", 0)]);
    let gone = Report { table: "gone".to_owned(), ..new.clone() };
    let taken = catalog.record(&[new.clone(), old, gone, new], NOW).await.unwrap();
    assert_eq!(taken, [true, false, false, true]);
    let versions = catalog.versions((&table.id, "east"), None, 9).await.unwrap();
    // The repeated one is there once, and told once.
    assert_eq!(versions.len(), 1);
    let events = catalog.events(&EventFilter::default(), Page::After(1), 9).await.unwrap();
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(versions[0].position, Position::Version(1));
}

async fn what_is_published_shows_before_its_pass_ends(catalog: Catalog) {
    let table = orders(&catalog).await;
    let mut said = report(&table, "east", 1, &[version(4, "append", 3)]);
    said.progress = None;
    catalog.record(&[said], NOW + 7).await.unwrap();
    let progress = catalog.table(&table.name).await.unwrap().replicas[0].progress.clone();
    assert_eq!(progress.head, Some(Position::Version(4)));
    assert_eq!((progress.published_ms, progress.moved_ms), (Some(NOW + 3), Some(NOW + 7)));
    assert_eq!((progress.condition, progress.checked_ms), (Condition::New, None));
}

async fn chains_are_equal_at_sites_that_published_the_same(catalog: Catalog) {
    let table = orders(&catalog).await;
    let versions: Vec<_> = (0..4).map(|at| version(at, "append", 0)).collect();
    // One site in one report, the other in three, one of them sent twice.
    catalog.record(&[report(&table, "east", 1, &versions)], NOW).await.unwrap();
    for part in [&versions[..1], &versions[1..3], &versions[1..3], &versions[3..]] {
        catalog.record(&[report(&table, "west", 1, part)], NOW).await.unwrap();
    }
    let newest = async |site| catalog.versions((&table.id, site), None, 1).await.unwrap().remove(0);
    let (east, west) = (newest("east").await, newest("west").await);
    let expect = (0u64..4)
        .fold(ChainHash::default(), |chain, at| chain.then(Sha256Digest::of(&at.to_be_bytes())));
    assert_eq!(east.chain_sha256, Some(expect.to_string()));
    assert_eq!((west.chain_sha256, west.ordinal), (east.chain_sha256, 4));
    // A jump begins a chain anew.
    catalog.record(&[report(&table, "west", 1, &[version(9, "jump", 0)])], NOW).await.unwrap();
    let jumped = ChainHash::default().then(Sha256Digest::of(&9u64.to_be_bytes()));
    assert_eq!(newest("west").await.chain_sha256, Some(jumped.to_string()));
    let page = catalog.versions((&table.id, "west"), Some(5), 2).await.unwrap();
    let ordinals: Vec<_> = page.iter().map(|version| version.ordinal).collect();
    assert_eq!(ordinals, [4, 3]);
}

async fn a_condition_is_told_once(catalog: Catalog) {
    let table = orders(&catalog).await;
    let blocked = |code: &str| {
        let mut report = report(&table, "east", 1, &[]);
        let progress = Progress {
            condition: Condition::Blocked,
            reason_code: Some(code.to_owned()),
            reason: Some("why".to_owned()),
            ..report.progress.take().unwrap()
        };
        Report { progress: Some(progress), ..report }
    };
    let well = || report(&table, "east", 1, &[]);
    let sent = [well(), blocked("a"), blocked("a"), blocked("b"), well(), well()];
    for (later, report) in sent.into_iter().enumerate() {
        catalog.record(&[report], NOW + later as i64).await.unwrap();
    }
    let all = catalog.events(&EventFilter::default(), Page::After(1), 9).await.unwrap();
    let told: Vec<_> = all.iter().map(|event| (event.kind.as_str(), event.at_ms - NOW)).collect();
    assert_eq!(told, [("table.blocked", 1), ("table.blocked", 3), ("table.recovered", 4)]);
    let read = catalog.table(&table.name).await.unwrap();
    assert_eq!(read.replicas[0].progress.since_ms, NOW + 4);
}

async fn the_common_version_is_at_every_site(catalog: Catalog) {
    let table = orders(&catalog).await;
    let common = async || catalog.common_version(&table.id).await.unwrap();
    assert_eq!(common().await, None);
    let versions: Vec<_> = (0..4).map(|at| version(at, "append", 0)).collect();
    catalog.record(&[report(&table, "east", 1, &versions)], NOW).await.unwrap();
    assert_eq!(common().await, None);
    catalog.record(&[report(&table, "west", 1, &versions[..2])], NOW).await.unwrap();
    assert_eq!(common().await, Some(Position::Version(1)));
    // A site that begins anew has nothing yet.
    catalog.new_incarnation(&table.name, "east", (1, None), NOW).await.unwrap();
    assert_eq!(common().await, None);
    let sources = catalog.sources().await.unwrap();
    assert_eq!(sources, [(table.id.clone(), "lake".to_owned(), table.source.clone())]);
}

async fn the_longest_lag_comes_first(catalog: Catalog) {
    seeded(&catalog).await;
    for (at, text) in ["lake.a.t1", "lake.a.t2", "mart.a.t3"].iter().enumerate() {
        let table = catalog.register(&new_table(text), NOW).await.unwrap();
        for (later, site) in ["east", "west"].iter().enumerate() {
            let mut report = report(&table, site, 1, &[]);
            let lag = (at != 0).then_some(NOW - 10 * at as i64 - later as i64);
            report.progress.as_mut().unwrap().oldest_pending_ms = lag;
            catalog.record(&[report], NOW).await.unwrap();
        }
    }
    type Row = (String, String, String, Option<i64>);
    let page = async |project: Option<&str>, after: Option<Row>, limit| {
        let after = after.as_ref().map(|row| (row.3, row.0.as_str(), row.2.as_str()));
        let rows = catalog.by_lag(project, after, limit).await.unwrap();
        let row = |table: Table| {
            let replica = &table.replicas[0];
            (
                table.id.clone(),
                table.name.table().to_owned(),
                replica.site.clone(),
                replica.progress.oldest_pending_ms,
            )
        };
        rows.into_iter().map(row).collect::<Vec<_>>()
    };
    let short =
        |rows: &[Row]| rows.iter().map(|row| format!("{} {}", row.1, row.2)).collect::<Vec<_>>();
    let all = page(None, None, 9).await;
    assert_eq!(short(&all), ["t3 west", "t3 east", "t2 west", "t2 east", "t1 east", "t1 west"]);
    let mut walked = Vec::new();
    let mut last: Option<Row> = None;
    loop {
        let rows = page(None, last.clone(), 2).await;
        let Some(end) = rows.last() else { break };
        last = Some(end.clone());
        walked.extend(rows);
    }
    assert_eq!(walked, all);
    assert_eq!(short(&page(Some("mart"), None, 9).await), ["t3 west", "t3 east"]);
}

async fn old_receipts_are_forgotten(catalog: Catalog) {
    let table = orders(&catalog).await;
    let versions: Vec<_> = (0..10).map(|at| version(at, "append", 0)).collect();
    catalog.record(&[report(&table, "east", 1, &versions)], NOW).await.unwrap();
    let pin = driftless_catalog::Pin {
        name: "kept".to_owned(),
        position: Position::Version(2),
        created_ms: NOW,
    };
    catalog.pin(&name("lake.sales.orders"), &pin, None).await.unwrap();
    assert_eq!(catalog.expire_versions(3).await.unwrap(), 6);
    let left = catalog.versions((&table.id, "east"), None, 99).await.unwrap();
    let left: Vec<_> = left.iter().map(|version| version.position.to_string()).collect();
    assert_eq!(left, ["9", "8", "7", "2"]);
}

#[test]
fn reports_about_one_replica_are_folded() {
    let one = |epoch, progress, versions: &[u64]| Report {
        table: "t".to_owned(),
        site: "s".to_owned(),
        epoch,
        incarnation: 1,
        format: None,
        progress,
        versions: versions.iter().map(|at| version(*at, "append", 0)).collect(),
        events: Vec::new(),
    };
    let progress = Progress { pending_versions: Some(4), ..Progress::default() };
    let reports = vec![
        one(1, None, &[1]),
        one(1, Some(progress.clone()), &[2]),
        one(1, None, &[3]),
        one(2, None, &[4]),
    ];
    let folded = folded(reports);
    assert_eq!(folded, [one(1, Some(progress), &[1, 2, 3]), one(2, None, &[4])]);
}

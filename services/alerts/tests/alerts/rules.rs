//! What fires when.

use driftless_alerts::{Facts, Samples, evaluate};
use driftless_catalog::status::Condition;
use driftless_catalog::transition::Wish;
use driftless_catalog::{Priority, Progress, TableName};

use crate::world::{MINUTE, NODE, NOW, World, behind, blocked};

const TABLE: &str = "lake.sales.orders";

const HOUR: i64 = 60 * MINUTE;

/// `alertname severity status paused hold-in-seconds` of all that applies.
async fn fires(world: &World) -> Vec<String> {
    let mut samples = Samples::default();
    let now_ms = world.now();
    // A minute alone says nothing of burn rates: what is uncertain is left out.
    let facts = Facts::read(&world.catalog, &mut samples, now_ms).await.unwrap();
    let firings = evaluate(&facts, now_ms).into_iter().filter(|firing| firing.is_certain);
    let mut all: Vec<_> = firings
        .map(|firing| {
            let label = |name: &str| firing.labels.get(name).map_or("-", String::as_str);
            format!(
                "{} {} {} {} {}",
                label("alertname"),
                label("severity"),
                label("status"),
                label("paused"),
                firing.hold_ms / 1_000
            )
        })
        .collect();
    all.sort();
    all
}

async fn check(tier: Priority, change: impl FnOnce(&mut Progress), expect: &[&str]) {
    let world = World::new().await;
    world.table(TABLE, tier, &["east"]).await;
    world.report(TABLE, "east", change).await;
    assert_eq!(fires(&world).await, expect);
}

fn in_condition(condition: Condition) -> impl FnOnce(&mut Progress) {
    move |progress| progress.condition = condition
}

#[tokio::test]
async fn a_table_in_step_fires_nothing() {
    check(Priority::Critical, |_| (), &[]).await;
    check(Priority::Critical, behind(NOW, 59_000), &[]).await;
    check(Priority::Standard, behind(NOW, 299_000), &[]).await;
}

#[tokio::test]
async fn lag_is_judged_by_tier() {
    let late = 6 * MINUTE;
    let critical = ["LagAboveTarget ticket lagging false 120"];
    check(Priority::Critical, behind(NOW, late), &critical).await;
    let standard = ["LagAboveTarget ticket lagging false 600"];
    check(Priority::Standard, behind(NOW, late), &standard).await;
    check(Priority::Bulk, behind(NOW, late), &[]).await;
    let failed = |progress: &mut Progress| {
        behind(NOW, late)(progress);
        progress.condition = Condition::Failed;
    };
    check(Priority::Bulk, failed, &["TableStalled ticket stalled false 60"]).await;
    check(Priority::Critical, failed, &["TableStalled page stalled false 60"]).await;
}

#[tokio::test]
async fn what_needs_a_person_fires_at_once() {
    check(Priority::Standard, blocked, &["TableBlocked ticket blocked false 0"]).await;
    let rewound = in_condition(Condition::Rewound);
    check(Priority::Standard, rewound, &["SourceRewound page rewound false 0"]).await;
    let diverged = in_condition(Condition::Diverged);
    check(Priority::Bulk, diverged, &["SiteDiverged page diverged false 0"]).await;
    check(Priority::Bulk, in_condition(Condition::Held), &[]).await;
}

#[tokio::test]
async fn a_source_that_was_not_looked_at_is_not_in_step() {
    let stale = |progress: &mut Progress| progress.checked_ms = Some(NOW - 61_000);
    check(Priority::Critical, stale, &["SourceUncheckable page unknown false 300"]).await;
}

#[tokio::test]
async fn headroom_is_a_ticket_and_then_a_page_also_while_paused() {
    let left = |ms: i64| move |progress: &mut Progress| progress.deadline_ms = Some(NOW + ms);
    check(Priority::Bulk, left(24 * HOUR), &[]).await;
    let ticket = "RetentionHeadroomLow ticket - false 300";
    check(Priority::Bulk, left(24 * HOUR - 1), &[ticket]).await;
    let page = "RetentionHeadroomLow page - false 60";
    check(Priority::Bulk, left(4 * HOUR - 1), &[page, ticket]).await;
    check(Priority::Bulk, left(-1), &[page, ticket]).await;
    let world = World::new().await;
    world.table(TABLE, Priority::Bulk, &["east"]).await;
    world.report(TABLE, "east", left(HOUR)).await;
    let name = TableName::parse(TABLE).unwrap();
    world.catalog.wish(&name, Wish::Pause, None, NOW).await.unwrap();
    let expect = [page, ticket].map(|text| text.replace("false", "true"));
    assert_eq!(fires(&world).await, expect);
}

#[tokio::test]
async fn the_lag_of_a_paused_table_is_known_to_be_meant() {
    let world = World::new().await;
    world.table(TABLE, Priority::Critical, &["east"]).await;
    world.report(TABLE, "east", behind(NOW, 30_000)).await;
    let name = TableName::parse(TABLE).unwrap();
    world.catalog.wish(&name, Wish::Pause, None, NOW).await.unwrap();
    assert_eq!(fires(&world).await, [""; 0]);
    // Nobody looks at it any more, and its lag goes on growing.
    world.pass(31_000);
    assert_eq!(fires(&world).await, ["LagAboveTarget info paused true 120"]);
}

#[tokio::test]
async fn without_nodes_one_alert_says_so() {
    let world = World::new().await;
    assert_eq!(fires(&world).await, [""; 0]);
    world.table(TABLE, Priority::Standard, &["east", "west"]).await;
    let table = world.catalog.table(&TableName::parse(TABLE).unwrap()).await.unwrap();
    world.catalog.release(NODE, &[table.id]).await.unwrap();
    let stopped = "TableStopped ticket stopped false 300";
    assert_eq!(fires(&world).await, [stopped, stopped]);
    world.catalog.leave(NODE).await.unwrap();
    assert_eq!(fires(&world).await, ["NoHeartbeat page - - 120"]);
}

#[tokio::test]
async fn a_table_that_is_being_forgotten_fires_nothing() {
    let world = World::new().await;
    world.table(TABLE, Priority::Standard, &["east"]).await;
    world.report(TABLE, "east", blocked).await;
    let name = TableName::parse(TABLE).unwrap();
    world.catalog.wish(&name, Wish::Unregister, None, NOW).await.unwrap();
    assert_eq!(fires(&world).await, [""; 0]);
}

/// Burn alerts over minutes; `lag_ms` of each of ten tables in each minute.
async fn burns(tier: Priority, minutes: &[&[i64]]) -> Vec<String> {
    let world = World::new().await;
    let names: Vec<_> = (0..10).map(|at| format!("lake.sales.t{at}")).collect();
    for name in &names {
        world.table(name, tier, &["east"]).await;
    }
    let mut samples = Samples::default();
    let mut said = Vec::new();
    for (minute, lags) in minutes.iter().enumerate() {
        for (name, lag_ms) in names.iter().zip(lags.iter().chain(std::iter::repeat(&0))) {
            world.report(name, "east", behind(world.now(), *lag_ms)).await;
        }
        let now_ms = world.now();
        let facts = Facts::read(&world.catalog, &mut samples, now_ms).await.unwrap();
        for firing in evaluate(&facts, now_ms) {
            if firing.rule.name == "CommitLagBurnFast" && firing.is_certain {
                let label = |name: &str| firing.labels.get(name).unwrap().as_str();
                let group = ["severity", "project", "tier", "site"].map(label).join(" ");
                said.push(format!("{minute} {group}"));
            }
        }
        world.pass(MINUTE);
    }
    said
}

#[tokio::test]
async fn a_budget_that_burns_pages() {
    let late: &[i64] = &[10 * MINUTE; 10];
    // 14.4 x 1 % of an hour are 8.6 minutes of all tables.
    let said = burns(Priority::Standard, &[late; 10]).await;
    assert_eq!(said, ["8 page lake standard east", "9 page lake standard east"]);
    // Half of the tables: twice as long.
    let said = burns(Priority::Standard, &[&late[..5]; 18]).await;
    assert_eq!(said, ["17 page lake standard east"]);
    // For bulk tables that is not late.
    assert_eq!(burns(Priority::Bulk, &[late; 10]).await, [""; 0]);
}

#[tokio::test]
async fn what_is_not_counted_burns_nothing() {
    let world = World::new().await;
    world.table(TABLE, Priority::Critical, &["east", "west"]).await;
    let mut samples = Samples::default();
    for _ in 0..6 {
        // A first copy, and one that waits for the source.
        world
            .report(TABLE, "east", |progress| {
                behind(NOW, HOUR)(progress);
                progress.head = None;
            })
            .await;
        world
            .report(TABLE, "west", |progress| {
                behind(NOW, HOUR)(progress);
                progress.condition = Condition::Held;
            })
            .await;
        let facts = Facts::read(&world.catalog, &mut samples, world.now()).await.unwrap();
        assert!(facts.burns.is_empty(), "{:?}", facts.burns);
        world.pass(MINUTE);
    }
}

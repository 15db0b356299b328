//! What one export and one evaluation cost with 10,000 tables at two sites.

use std::time::Instant;

use driftless_alerts::{Config, Counts, Facts, Samples, evaluate, render};
use driftless_catalog::status::Condition;
use driftless_catalog::{NewTable, Policy, Priority, Progress, Report, TableFilter, TableName};
use table_sync_core::Position;

use crate::world::{MINUTE, NODE, NOW, World};

const TABLES: usize = 10_000;

const ROUNDS: u32 = 10;

/// Run by hand: `cargo test --release -p driftless-alerts cost -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "a measurement"]
async fn ten_thousand_tables() {
    let world = World::new().await;
    for at in 0..TABLES {
        let policy = Policy { priority: Priority::ALL[at % 3], ..Policy::default() };
        let new = NewTable {
            name: TableName::parse(&format!("lake.sales.table_{at:05}")).unwrap(),
            source: format!("gs://lake/sales/table_{at:05}"),
            policy,
            sites: vec!["east".to_owned(), "west".to_owned()],
            rule: None,
            paused: false,
        };
        world.catalog.register(&new, NOW).await.unwrap();
    }
    world.catalog.claim(NODE, TABLES).await.unwrap();
    report(&world).await;
    let mut samples = Samples::default();
    let (mut export_ms, mut read_ms, mut lines, mut firings) = (0, 0, 0, 0);
    let started = Instant::now();
    for _ in 0..ROUNDS {
        let before = cpu_ms();
        let config = Config::default();
        let text = render(&world.catalog, &Counts::default(), NOW, &config).await.unwrap();
        lines = text.lines().count();
        let between = cpu_ms();
        let facts = Facts::read(&world.catalog, &mut samples, NOW).await.unwrap();
        firings = evaluate(&facts, NOW).len();
        export_ms += between - before;
        read_ms += cpu_ms() - between;
    }
    eprintln!(
        "CPU: export {} ms ({lines} lines), evaluation {} ms ({firings} firings); \
         both took {:?} of {} replicas",
        export_ms / u64::from(ROUNDS),
        read_ms / u64::from(ROUNDS),
        started.elapsed() / ROUNDS,
        2 * TABLES
    );
}

/// Every tenth table is late at one site.
async fn report(world: &World) {
    let tables = world.catalog.tables(&TableFilter::default(), TABLES).await.unwrap();
    for chunk in tables.chunks(500) {
        let mut reports = Vec::new();
        for table in chunk {
            for site in ["east", "west"] {
                let is_late = site == "east" && table.name.table().ends_with('0');
                let progress = Progress {
                    condition: Condition::Well,
                    source_head: Some(Position::Version(7)),
                    checked_ms: Some(NOW),
                    head: Some(Position::Version(7)),
                    pending_versions: Some(i64::from(is_late)),
                    oldest_pending_ms: is_late.then_some(NOW - 90 * MINUTE),
                    moved_ms: Some(NOW),
                    ..Progress::default()
                };
                reports.push(Report {
                    table: table.id.clone(),
                    site: site.to_owned(),
                    epoch: table.epoch,
                    incarnation: 1,
                    format: Some("delta"),
                    progress: Some(progress),
                    versions: Vec::new(),
                    events: Vec::new(),
                });
            }
        }
        world.catalog.record(&reports, NOW).await.unwrap();
    }
}

/// CPU time of this process, of all threads, in ms. The kernel counts in ticks of 10 ms.
fn cpu_ms() -> u64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
    10 * (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap())
}

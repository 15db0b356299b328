//! The export.

use std::io::Write as _;
use std::process::Stdio;

use driftless_alerts::{Config, Counts, Format, metric, render};
use driftless_catalog::status::Condition;
use driftless_catalog::transition::Wish;
use driftless_catalog::{Policy, Priority, TableName};
use expect_test::expect_file;

use crate::files::promtool;
use crate::world::{MINUTE, NOW, World, behind, blocked};

/// Six tables in all sorts of states.
async fn world() -> World {
    let world = World::new().await;
    world.table("lake.sales.in_step", Priority::Standard, &["east", "west"]).await;
    // The west was never looked at as a whole.
    world.report("lake.sales.in_step", "east", |now| now.listed_ms = Some(NOW - 2_000)).await;
    let grouped = Policy { group: Some("close".to_owned()), ..Policy::default() };
    let in_step = TableName::parse("lake.sales.in_step").unwrap();
    world.catalog.set_policy(&in_step, &grouped, None, NOW).await.unwrap();
    world.table("lake.sales.late", Priority::Standard, &["east"]).await;
    world.report("lake.sales.late", "east", behind(NOW, 7 * MINUTE)).await;
    world.table("lake.sales.later", Priority::Standard, &["east"]).await;
    world
        .report("lake.sales.later", "east", |progress| {
            behind(NOW, 9 * MINUTE)(progress);
            progress.pending_bytes = Some(2_048);
            progress.deadline_ms = Some(NOW + 60 * MINUTE);
        })
        .await;
    world.table("lake.sales.paused", Priority::Bulk, &["west"]).await;
    world.report("lake.sales.paused", "west", behind(NOW, 61 * MINUTE)).await;
    let paused = TableName::parse("lake.sales.paused").unwrap();
    world.catalog.wish(&paused, Wish::Pause, None, NOW).await.unwrap();
    world.table("mart.a.blocked", Priority::Critical, &["east"]).await;
    world.report("mart.a.blocked", "east", blocked).await;
    world.table("mart.a.held", Priority::Critical, &["east"]).await;
    world
        .report("mart.a.held", "east", |progress| {
            behind(NOW, 5 * MINUTE)(progress);
            progress.condition = Condition::Held;
        })
        .await;
    world
}

fn counts() -> Counts {
    let mut counts = Counts { published_within: 3, published_late: 1, ..Counts::default() };
    for seconds in [0.02, 0.3, 2.0, 4_000.0] {
        counts.publish_latency.observe(seconds);
    }
    counts.hints.insert("matched".to_owned(), 5);
    counts.verify_failures.insert("size".to_owned(), 1);
    counts
}

/// The heartbeat is by the database's clock: its value is checked here and left out.
fn without_heartbeat(text: &str) -> String {
    let (beats, rest): (Vec<&str>, Vec<&str>) =
        text.lines().partition(|line| line.starts_with("tablesync_heartbeat"));
    assert_eq!(beats.len(), 1);
    let value = beats[0].strip_prefix("tablesync_heartbeat_timestamp_seconds{node=\"alpha\"} ");
    assert!(value.unwrap().parse::<f64>().unwrap() > 1_700_000_000.0);
    rest.join("\n") + "\n"
}

#[tokio::test]
async fn everything_is_exported_in_both_formats() {
    let world = world().await;
    for (format, file) in [
        (Format::Prometheus, expect_file!["export.prometheus.txt"]),
        (Format::OpenMetrics, expect_file!["export.openmetrics.txt"]),
    ] {
        let config = Config { format, ..Config::default() };
        let text = render(&world.catalog, &counts(), NOW, &config).await.unwrap();
        file.assert_eq(&without_heartbeat(&text));
        for metric in metric::ALL {
            assert!(text.contains(&metric.full_name()), "{}", metric.name);
        }
    }
}

#[tokio::test]
async fn prometheus_takes_the_text() {
    let world = world().await;
    let text = render(&world.catalog, &counts(), NOW, &Config::default()).await.unwrap();
    let Some(mut promtool) = promtool() else { return };
    let mut child = promtool
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert_eq!(said, "");
}

/// Names of the tables that have series of their own, as often as they do.
async fn named(world: &World, worst_tables: usize, tables: &[&str], metric: &str) -> Vec<String> {
    let tables = tables.iter().map(|name| (*name).to_owned()).collect();
    let config = Config { worst_tables, tables, ..Config::default() };
    let text = render(&world.catalog, &counts(), NOW, &config).await.unwrap();
    let line = |line: &str| {
        let labels = line.strip_prefix(metric)?.split_once("table=\"")?.1;
        Some(labels.split_once('"').unwrap().0.to_owned())
    };
    let mut names: Vec<_> = text.lines().filter_map(line).collect();
    names.sort();
    names
}

#[tokio::test]
async fn only_the_worst_and_the_named_have_series_of_their_own() {
    let world = world().await;
    let check = async |worst, tables: &[&str], expect: &[&str]| {
        let found = named(&world, worst, tables, "tablesync_published_version{").await;
        assert_eq!(found, expect, "{worst} {tables:?}");
    };
    check(0, &[], &[]).await;
    check(1, &[], &["lake.sales.paused"]).await;
    check(2, &[], &["lake.sales.later", "lake.sales.paused"]).await;
    check(99, &[], &["lake.sales.late", "lake.sales.later", "lake.sales.paused", "mart.a.held"])
        .await;
    check(0, &["lake.sales.in_step"], &["lake.sales.in_step", "lake.sales.in_step"]).await;
    check(0, &["mart.*", "mar.*", "lake.sales"], &["mart.a.blocked", "mart.a.held"]).await;
    let deadlines = named(&world, 1, &[], "tablesync_retention_deadline_timestamp_seconds{").await;
    assert_eq!(deadlines, ["lake.sales.later"]);
}

//! When the source may delete what is pending, and what it costs to know.

use std::sync::Arc;

use driftless_testdata::Objects;
use driftless_testdata::builder::{TableBuilder, put_objects};
use driftless_testdata::corpus::project_tables;
use driftless_testdata::fault::{FaultStore, Faults, Op};
use object_store::memory::InMemory;
use table_sync_core::{SourceLog, SourceView};
use table_sync_delta::{AbsolutePaths, DeltaLog};

use crate::site::{ROOT, log, observe, open, version};

const DAY_MS: i64 = 24 * 3_600_000;

const FILES: &str = "delta.deletedFileRetentionDuration";
const LOG: &str = "delta.logRetentionDuration";

async fn deadline(log: &DeltaLog, view: &SourceView, oldest: u64) -> Option<i64> {
    log.deadline_ms(view, version(oldest), 0).await.unwrap()
}

fn committed(view: &SourceView, at: u64) -> i64 {
    view.commits.iter().find(|commit| commit.position == version(at)).unwrap().committed_ms
}

/// So long after which commit what `oldest` needs may go.
async fn check(objects: &Objects, oldest: u64, expect: Option<(u64, i64)>) {
    let log = log(objects).await;
    let view = observe(&log).await;
    let expect = expect.map(|(after, ms)| committed(&view, after) + ms);
    assert_eq!(deadline(&log, &view, oldest).await, expect, "{oldest}");
}

fn table() -> TableBuilder {
    TableBuilder::new(41).commits(4, "f", 1)
}

#[tokio::test]
async fn files_are_kept_for_a_week_after_the_next_commit() {
    let table = table();
    check(table.objects(), 1, Some((2, 7 * DAY_MS))).await;
    check(table.objects(), 2, Some((3, 7 * DAY_MS))).await;
    // Nothing took the newest files out of the table, and its commit is the last.
    check(table.objects(), 3, None).await;
    check(table.objects(), 4, None).await;
}

#[tokio::test]
async fn the_newest_properties_count_wherever_they_are() {
    let short = |table: TableBuilder| {
        table.metadata(|m| m.property(FILES, "interval 2 days")).commits(2, "g", 1)
    };
    let table = short(table());
    check(table.objects(), 1, Some((2, 2 * DAY_MS))).await;
    // The same from a checkpoint alone.
    let table = table.checkpoint_classic(4).commits(3, "h", 1).clean_log_below(4);
    check(table.objects(), 6, Some((7, 2 * DAY_MS))).await;
    // Of a table that cannot be published the headroom matters most.
    let table = table.unknown_reader_feature("unheardOf").commits(2, "i", 1);
    check(table.objects(), 6, Some((7, 2 * DAY_MS))).await;
    // A later statement replaces all properties of an earlier one.
    let table = table.metadata(|m| m.property(LOG, "interval 1 day")).commits(1, "j", 1);
    check(table.objects(), 6, Some((6, DAY_MS))).await;
    let table = table.metadata(|m| m.property(LOG, "a while")).commits(1, "k", 1);
    check(table.objects(), 6, None).await;
}

#[tokio::test]
async fn a_table_of_spark_that_cleans_its_log_every_day() {
    let tables = project_tables();
    let table = tables.iter().find(|table| table.name == "log_cleaned").unwrap();
    // Only its checkpoint still holds the metadata.
    check(&table.objects(), 13, Some((13, DAY_MS))).await;
    check(&table.objects(), 15, None).await;
}

#[tokio::test]
async fn a_commit_is_read_once() {
    let faults = Faults::none();
    let store = Arc::new(FaultStore::new(InMemory::new(), faults.clone()));
    let log = open(Arc::clone(&store) as _, AbsolutePaths::Refuse);
    // How long after the next commit, and what it took to know: lists, reads, heads.
    let ask = async |new: &Objects, oldest| {
        put_objects(store.as_ref(), ROOT, new).await.unwrap();
        let view = observe(&log).await;
        let requests = || [Op::List, Op::Get, Op::Head].map(|op| faults.count(op));
        let before = requests();
        let found = deadline(&log, &view, oldest).await;
        let (now, next) = (requests(), view.commits.get(oldest as usize + 1));
        let cost = [0, 1, 2].map(|op| now[op] - before[op]);
        (found.zip(next).map(|(ms, next)| ms - next.committed_ms), cost)
    };
    let table = TableBuilder::new(42).commits(6, "f", 1);
    let none = Objects::new();
    // Of the newest commit nothing goes, so that nothing is read.
    assert_eq!(ask(table.objects(), 5).await, (None, [0, 0, 0]));
    // The metadata is in the first of six commits.
    assert_eq!(ask(&none, 2).await, (Some(7 * DAY_MS), [0, 6, 0]));
    assert_eq!(ask(&none, 3).await, (Some(7 * DAY_MS), [0, 0, 0]));
    let later = table.clone().commits(2, "g", 1);
    let mut new = later.objects().clone();
    new.retain(|key, _| !table.objects().contains_key(key));
    assert_eq!(ask(&new, 3).await, (Some(7 * DAY_MS), [0, 2, 0]));
    assert_eq!(ask(&none, 3).await, (Some(7 * DAY_MS), [0, 0, 0]));
    // What was known is of other objects: a table that was made anew.
    assert_eq!(ask(later.objects(), 3).await, (Some(7 * DAY_MS), [0, 8, 0]));
}

//! Planning on a large table.
//!
//! `plan` measures it on a store that is made up as it is listed, so that there is no disk in the
//! figures; its last line is one JSON object. Times are CPU time of the process, and what the
//! store itself costs is measured apart. `plan write FOLDER INSTANTS PER_INSTANT PARTITIONS`
//! writes a table of the same kind to a folder, for readers that open nothing else.
#![allow(missing_docs, unreachable_pub, clippy::print_stdout)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod made;
mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use futures::stream::StreamExt as _;
use made::Made;
use store::{MadeStore, ROOT};
use table_sync_core::{
    Hint, PlanInput, Planned, PlannedKind, Position, ReplicaLog, SourceLog, Start, plan,
};
use table_sync_hudi::{HudiLog, Options, Side};

const INSTANTS: u64 = 10_000;
const PER_INSTANT: u64 = 100;
const PARTITIONS: u64 = 1_000;

/// Commits that are planned one after the other, and looks at the timeline.
const MORE: u64 = 100;

/// CPU time of the one thread of this process so far, in seconds.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    let running_ns = stat.split_whitespace().next().unwrap().parse::<f64>().unwrap();
    running_ns / 1e9
}

/// Most memory that this process had so far, in MiB.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

fn log(store: MadeStore, side: Side) -> HudiLog {
    let options = Options { side, ..Options::default() };
    HudiLog::new(Arc::new(store), ROOT, options).unwrap()
}

/// Sums of CPU time, by what was done.
#[derive(Default)]
struct Spent(BTreeMap<&'static str, f64>);

impl Spent {
    /// Adds what was done since `began`.
    fn add(&mut self, what: &'static str, began: f64) {
        *self.0.entry(what).or_default() += cpu() - began;
    }

    /// Milliseconds for each of `MORE`.
    fn ms(&self, what: &str) -> f64 {
        self.0[what] * 1_000.0 / MORE as f64
    }
}

/// Plans the first publication; returns the position and the number of files.
async fn first(store: MadeStore) -> (Position, usize) {
    let log = log(store, Side::Source);
    let view = SourceLog::observe(&log, None).await.unwrap();
    let position = view.head().unwrap();
    let jump = Planned { position, kind: PlannedKind::Jump };
    let described = log.describe(&view, &jump).await.unwrap();
    let mut files = 0;
    let mut needs = (described.needs)();
    while let Some(chunk) = needs.next().await {
        files += chunk.unwrap().len();
    }
    (position, files)
}

/// Follows the table for [`MORE`] commits, each of which a pass would publish; returns the number
/// of files of each.
async fn follow(table: &Made, mut position: Position, spent: &mut Spent) -> usize {
    let store = MadeStore::new(table.clone());
    let replica = MadeStore::replica(table.clone());
    let source_log = log(store.clone(), Side::Source);
    let replica_log = log(replica.clone(), Side::Replica);
    let hint = |head| Some(Hint { head, earliest_readable: head });
    SourceLog::observe(&source_log, None).await.unwrap();
    ReplicaLog::observe(&replica_log, hint(position)).await.unwrap();
    let mut files = 0;
    for more in 1..=MORE {
        store.becomes(table.at(INSTANTS + more));

        let began = cpu();
        let mut held = ReplicaLog::observe(&replica_log, hint(position)).await.unwrap();
        spent.add("replica", began);

        let began = cpu();
        let view = SourceLog::observe(&source_log, Some(position)).await.unwrap();
        spent.add("look", began);

        let began = cpu();
        view.place(&mut held);
        let avoid = BTreeSet::new();
        let (source, replica_view) = (&view, &held);
        let start = Start::Latest;
        let planned =
            plan(&PlanInput { source, replica: replica_view, start, until: None, avoid: &avoid });
        spent.add("plan", began);
        let [append] = planned.publications[..] else { panic!("one commit, not {planned}") };
        position = append.position;

        let began = cpu();
        let described = source_log.describe(&view, &append).await.unwrap();
        let needs = (described.needs)();
        files = needs.map(|chunk| chunk.unwrap().len()).fold(0, async |sum, len| sum + len).await;
        spent.add("describe", began);

        source_log.tailor(&view, &described, &held).await.unwrap();
        // It is published: the replica is looked at again.
        replica.becomes(table.at(INSTANTS + more));
        let began = cpu();
        ReplicaLog::observe(&replica_log, hint(position)).await.unwrap();
        spent.add("replica again", began);
    }
    files
}

/// Looks of processes that know nothing yet.
async fn look_whole(table: &Made, position: Position, spent: &mut Spent) {
    let store = MadeStore::new(table.clone());
    let replica = MadeStore::replica(table.clone());
    for _ in 0..MORE {
        let log_of_source = log(store.clone(), Side::Source);
        let began = cpu();
        SourceLog::observe(&log_of_source, Some(position)).await.unwrap();
        spent.add("whole look", began);
        let log_of_replica = log(replica.clone(), Side::Replica);
        let began = cpu();
        ReplicaLog::observe(&log_of_replica, None).await.unwrap();
        spent.add("whole replica", began);
    }
}

async fn measure() {
    let table = Made::new(INSTANTS, PER_INSTANT, PARTITIONS);
    let store = MadeStore::new(table.clone());
    let began = cpu();
    let mut objects = 0;
    for partition in 0..PARTITIONS {
        objects += store.partition(partition).len();
    }
    let listing_s = cpu() - began;

    let began = cpu();
    let (position, files) = first(store.clone()).await;
    let first_s = cpu() - began;

    let replica = MadeStore::replica(table.clone());
    let mut spent = Spent::default();
    let (mut names, mut page) = (0, 0);
    for _ in 0..MORE {
        let began = cpu();
        names = store.timeline(0).len();
        spent.add("timeline", began);
        let began = cpu();
        let replica_names = replica.timeline(0).len();
        assert_eq!(replica_names as u64, INSTANTS);
        spent.add("replica timeline", began);
        let began = cpu();
        page = store.timeline(INSTANTS - 333).len();
        spent.add("page", began);
    }
    look_whole(&table, position, &mut spent).await;
    let next_files = follow(&table, position, &mut spent).await;
    let report = serde_json::json!({
        "instants": INSTANTS, "groups": table.groups(), "objects": objects, "files": files,
        "listing_cpu_s": listing_s, "first_cpu_s": first_s,
        "timeline_names": names, "timeline_cpu_ms": spent.ms("timeline"),
        "replica_timeline_cpu_ms": spent.ms("replica timeline"),
        "page_names": page, "page_cpu_ms": spent.ms("page"),
        "whole_look_cpu_ms": spent.ms("whole look"),
        "whole_replica_cpu_ms": spent.ms("whole replica"),
        "next_files": next_files,
        "look_cpu_ms": spent.ms("look"), "describe_cpu_ms": spent.ms("describe"),
        "plan_cpu_ms": spent.ms("plan"), "replica_cpu_ms": spent.ms("replica"),
        "replica_again_cpu_ms": spent.ms("replica again"),
        "peak_mib": peak_mib(),
    });
    println!("{report}");
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => measure().await,
        ["write", folder, instants, per_instant, partitions] => {
            let [instants, per_instant, partitions] =
                [instants, per_instant, partitions].map(|word| word.parse().unwrap());
            Made::new(instants, per_instant, partitions).write(Path::new(folder));
        }
        _ => panic!("usage: plan [write FOLDER INSTANTS PER_INSTANT PARTITIONS]"),
    }
}

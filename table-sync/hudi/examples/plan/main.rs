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

use std::path::Path;
use std::sync::Arc;

use futures::stream::StreamExt as _;
use made::Made;
use store::{MadeStore, ROOT};
use table_sync_core::{Planned, PlannedKind, Position, SourceLog as _};
use table_sync_hudi::{HudiLog, Options};

const INSTANTS: u64 = 10_000;
const PER_INSTANT: u64 = 100;
const PARTITIONS: u64 = 1_000;

/// Commits that are planned one after the other, and looks at the timeline.
const MORE: u64 = 100;

/// CPU time of this process so far, in seconds.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).unwrap().parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

/// Most memory that this process had so far, in MiB.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

fn log(store: MadeStore) -> HudiLog {
    HudiLog::new(Arc::new(store), ROOT, Options::default()).unwrap()
}

/// Plans the first publication; returns the position and the number of files.
async fn first(store: MadeStore) -> (Position, usize) {
    let log = log(store);
    let view = log.observe(None).await.unwrap();
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

/// The one commit after `position`: its own position, the number of its files, and the CPU
/// seconds of the look at the timeline and of the description.
async fn next(store: MadeStore, position: Position) -> (Position, usize, [f64; 2]) {
    let log = log(store);
    let began = cpu();
    let view = log.observe(Some(position)).await.unwrap();
    let looked = cpu();
    let position = view.head().unwrap();
    let append = Planned { position, kind: PlannedKind::Append };
    let described = log.describe(&view, &append).await.unwrap();
    let needs = (described.needs)();
    let files = needs.map(|chunk| chunk.unwrap().len()).fold(0, async |sum, len| sum + len).await;
    (position, files, [looked - began, cpu() - looked])
}

async fn measure() {
    let table = Made::new(INSTANTS, PER_INSTANT, PARTITIONS);
    let store = MadeStore::new(table.clone());
    let began = cpu();
    let mut objects = 0;
    for partition in 0..PARTITIONS {
        objects += store.partition(partition).count();
    }
    let listing_s = cpu() - began;

    let began = cpu();
    let (mut position, files) = first(store.clone()).await;
    let first_s = cpu() - began;

    let began = cpu();
    let mut names = 0;
    for _ in 0..MORE {
        names = store.timeline().count();
    }
    let timeline_ms = (cpu() - began) * 1_000.0 / MORE as f64;

    let (mut look_s, mut describe_s, mut next_files) = (0.0, 0.0, 0);
    for more in 1..=MORE {
        let store = MadeStore::new(table.at(INSTANTS + more));
        let spent;
        (position, next_files, spent) = next(store, position).await;
        look_s += spent[0];
        describe_s += spent[1];
    }
    let report = serde_json::json!({
        "instants": INSTANTS, "groups": table.groups(), "objects": objects, "files": files,
        "listing_cpu_s": listing_s, "first_cpu_s": first_s,
        "timeline_names": names, "timeline_cpu_ms": timeline_ms,
        "next_files": next_files,
        "look_cpu_ms": look_s * 1_000.0 / MORE as f64,
        "describe_cpu_ms": describe_s * 1_000.0 / MORE as f64,
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

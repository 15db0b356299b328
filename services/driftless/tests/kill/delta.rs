//! Delta tables, published as a whole.
//!
//! Every write of the project's own tables and of a dozen rich corpus tables, one write chosen by
//! seed elsewhere.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use driftless_testdata::Objects;
use driftless_testdata::corpus::{delta_tables, load, project_tables};
use driftless_testdata::record::{Mutation, Op, Oracle};
use driftless_testdata::s3::{Action, Phase};

use crate::site::{BUCKET, Site, TABLE, below, ending, in_parallel, is_visible};
use crate::{is_chosen, is_soak};

/// Corpus tables with many kinds of objects; every write of them is a kill point.
const RICH: [&str; 12] = [
    "delta/golden/dv-partitioned-with-checkpoint",
    "delta/golden/basic-with-inserts-overwrite-restore",
    "delta/golden/v2-checkpoint-json",
    "delta/golden/v2-checkpoint-parquet",
    "delta/golden/multi-part-checkpoint",
    "delta/golden/data-reader-escaped-chars",
    "delta-kernel-rs/data/cdf-table-with-dv",
    "delta-kernel-rs/data/v2-checkpoints-parquet-with-last-checkpoint",
    "delta-rs/data/simple_table_with_checkpoint",
    "delta-rs/data/delta-0.8.0-special-partition",
    "delta-rs/data/checkpoint-v2-table",
    "dat-0.0.3/with_checkpoint/delta",
];

struct Case {
    name: String,
    root: PathBuf,
    every: bool,
}

fn cases() -> Vec<Case> {
    let own = project_tables().into_iter().map(|table| Case {
        name: format!("own/{}", table.name),
        root: table.root,
        every: true,
    });
    let corpus = delta_tables().into_iter().map(|table| Case {
        every: is_soak() || RICH.contains(&table.name.as_str()),
        name: table.name,
        root: table.root,
    });
    own.chain(corpus).filter(|case| is_chosen(&case.name)).collect()
}

fn oracle_of(source: &Objects) -> Oracle {
    let oracle = Oracle::new(TABLE);
    oracle.learn(source);
    oracle
}

/// Installs the oracle, and the kill after write number `kill` below the table.
fn watch(site: &Site, oracle: &Oracle, kill: Option<u64>) {
    let (double, hook) = (Arc::downgrade(&site.double), oracle.hook());
    let before: Mutex<BTreeMap<String, Bytes>> = Mutex::default();
    let writes = AtomicUsize::new(0);
    site.double.on_mutation(move |_, info| {
        if info.phase != Phase::After || !info.applied() || !is_visible(info) {
            return Action::Continue;
        }
        let Some(double) = double.upgrade() else { return Action::Continue };
        let Some(bytes) = double.object(BUCKET, &info.key) else { return Action::Continue };
        let number = writes.fetch_add(1, Ordering::SeqCst) + 1;
        let previous = before.lock().unwrap().insert(info.key.clone(), bytes.clone());
        let op = if previous.is_some() { Op::PutUpdate } else { Op::PutCreate };
        let key = info.key.clone();
        let mutation = Mutation { number, key, op, bytes: Some(bytes), previous };
        hook(&mutation, &|prefix| below(&double.objects(BUCKET), prefix));
        if kill == Some(number as u64) { Action::Stop } else { Action::Continue }
    });
}

/// The undisturbed run: how it ends, what it leaves, and how many writes it makes.
fn calm(case: &Case, source: &Objects, start: &str) -> (serde_json::Value, Objects, u64) {
    let (site, oracle) = (Site::new(), oracle_of(source));
    watch(&site, &oracle, None);
    let report = site.run(&case.root, start);
    oracle.assert_clean();
    (report, site.replica(), site.writes())
}

fn kill_at(case: &Case, source: &Objects, start: &str, write: u64, calm: &serde_json::Value) {
    let (site, oracle) = (Site::new(), oracle_of(source));
    watch(&site, &oracle, Some(write));
    let stopped = site.run_until_stopped(&case.root, start);
    assert!(stopped, "{}: write {write} never came", case.name);
    oracle.assert_clean();
    watch(&site, &oracle, None);
    let report = site.run(&case.root, start);
    oracle.assert_clean();
    let at = format!("{} --start {start}, killed at write {write}", case.name);
    assert_eq!(ending(&report), ending(calm), "{at}: {report:#}");
}

#[test]
fn killed_at_any_write_nothing_half_is_visible_and_the_next_run_finishes() {
    let (tables, kills) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let queue = cases().into_iter().enumerate().collect();
    in_parallel(queue, |(index, case): (usize, Case)| {
        let source = load(&case.root);
        for start in ["latest", "earliest"] {
            let (report, left, writes) = calm(&case, &source, start);
            let points: Vec<u64> = match writes {
                0 => vec![],
                _ if case.every => (1..=writes).collect(),
                _ => vec![1 + fastrand::Rng::with_seed(index as u64).u64(..writes)],
            };
            for write in points {
                kill_at(&case, &source, start, write, &report);
                kills.fetch_add(1, Ordering::SeqCst);
            }
            assert_eq!(left.is_empty(), writes == 0, "{}", case.name);
        }
        tables.fetch_add(1, Ordering::SeqCst);
    });
    println!("killed {} runs over {} tables", kills.into_inner(), tables.into_inner());
}

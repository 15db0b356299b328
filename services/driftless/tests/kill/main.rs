//! SIGKILL of the real program, at every write that it makes.
//!
//! A child process publishes a table to an S3 server in this process. At the chosen write the
//! server freezes and the child is killed; what it left must be a state that readers may see.
//! Then a second child, which knows nothing of the first, must finish the job.
//!
//! Every write of the project's own tables and of a dozen rich corpus tables, one write chosen by
//! seed elsewhere. `DRIFTLESS_SOAK=1` takes every write of every table, `DRIFTLESS_ONLY=text` only tables
//! whose name holds the text.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use driftless_testdata::Objects;
use driftless_testdata::corpus::{delta_tables, load, project_tables};
use driftless_testdata::record::{Mutation, Op, Oracle};
use driftless_testdata::s3::{Action, Config, MutationInfo, MutationKind, Phase, S3Double};

const BUCKET: &str = "replica";
const TABLE: &str = "wh/orders";
const PROBE: &str = "_driftless/probe.json";

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
    let only = std::env::var("DRIFTLESS_ONLY").ok();
    let chosen = |case: &Case| only.as_ref().is_none_or(|only| case.name.contains(only));
    let soak = std::env::var_os("DRIFTLESS_SOAK").is_some();
    let own = project_tables().into_iter().map(|table| Case {
        name: format!("own/{}", table.name),
        root: table.root,
        every: true,
    });
    let corpus = delta_tables().into_iter().map(|table| Case {
        every: soak || RICH.contains(&table.name.as_str()),
        name: table.name,
        root: table.root,
    });
    own.chain(corpus).filter(chosen).collect()
}

/// One S3 server, with an oracle on every write below the table.
struct Site {
    double: Arc<S3Double>,
    oracle: Oracle,
    config: tempfile::NamedTempFile,
}

impl Site {
    fn new(source: &Objects) -> Self {
        let config = Config { buckets: vec![BUCKET.to_owned()], ..Config::default() };
        let double = Arc::new(S3Double::start(config));
        let oracle = Oracle::new(TABLE);
        oracle.learn(source);
        let text = format!(
            "[stores.site]\nurl = \"s3://{BUCKET}\"\n[stores.site.options]\n\
             aws_endpoint = \"{}\"\naws_allow_http = \"true\"\naws_region = \"us-east-1\"\n\
             aws_access_key_id = \"key\"\naws_secret_access_key = \"secret\"\n",
            double.endpoint()
        );
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Self { double, oracle, config: file }
    }

    /// Installs the oracle, and the kill after write number `kill` below the table.
    fn watch(&self, kill: Option<u64>) {
        let (double, hook) = (Arc::downgrade(&self.double), self.oracle.hook());
        let before: Mutex<BTreeMap<String, Bytes>> = Mutex::default();
        let writes = AtomicUsize::new(0);
        self.double.on_mutation(move |_, info| {
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

    fn writes(&self) -> u64 {
        let mutations = self.double.mutations();
        mutations.iter().filter(|info| info.applied() && is_visible(info)).count() as u64
    }

    fn child(&self, source: &Path, start: &str) -> Child {
        Command::new(env!("CARGO_BIN_EXE_driftless"))
            .arg("--config")
            .arg(self.config.path())
            .args(["--output", "json", "--timeout", "20s", "sync", "--start", start])
            .arg(source)
            .arg(format!("site:{TABLE}"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start driftless")
    }

    fn run(&self, source: &Path, start: &str) -> serde_json::Value {
        let output = self.child(source, start).wait_with_output().expect("run driftless");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            let stderr = String::from_utf8_lossy(&output.stderr);
            panic!("{error}: {:?}\n{stderr}", String::from_utf8_lossy(&output.stdout))
        })
    }

    fn replica(&self) -> Objects {
        below(&self.double.objects(BUCKET), TABLE)
    }
}

/// A write that readers of the table may see.
fn is_visible(info: &MutationInfo) -> bool {
    let whole = matches!(
        info.kind,
        MutationKind::Put
            | MutationKind::CompleteUpload
            | MutationKind::Copy
            | MutationKind::Delete
    );
    whole && info.key.starts_with(TABLE)
}

fn below(objects: &BTreeMap<String, Bytes>, prefix: &str) -> Objects {
    let below = objects.iter().filter_map(|(key, bytes)| {
        let key = key.strip_prefix(prefix)?.strip_prefix('/')?;
        Some((key.to_owned(), bytes.clone()))
    });
    below.collect()
}

/// What a store that was probed before remembers, so that each child starts with the table.
fn probe_result() -> Bytes {
    static RESULT: std::sync::OnceLock<Bytes> = std::sync::OnceLock::new();
    let probed = RESULT.get_or_init(|| {
        let table = project_tables().into_iter().next().expect("a table of the project");
        let site = Site::new(&load(&table.root));
        site.run(&table.root, "latest");
        site.double.object(BUCKET, PROBE).expect("a remembered probe")
    });
    probed.clone()
}

/// The undisturbed run: how it ends, what it leaves, and how many writes it makes.
fn calm(case: &Case, source: &Objects, start: &str) -> (serde_json::Value, Objects, u64) {
    let site = Site::new(source);
    site.double.put_object(BUCKET, PROBE, probe_result());
    site.watch(None);
    let report = site.run(&case.root, start);
    site.oracle.assert_clean();
    (report, site.replica(), site.writes())
}

fn kill_at(case: &Case, source: &Objects, start: &str, write: u64, calm: &serde_json::Value) {
    let site = Site::new(source);
    site.double.put_object(BUCKET, PROBE, probe_result());
    site.watch(Some(write));
    let mut child = site.child(&case.root, start);
    let stopped = site.double.wait_stopped(Duration::from_secs(60));
    // SIGKILL on Unix.
    child.kill().expect("kill driftless");
    child.wait().expect("reap driftless");
    assert!(stopped.is_some(), "{}: write {write} never came", case.name);
    site.double.resume();
    site.oracle.assert_clean();
    site.watch(None);
    let report = site.run(&case.root, start);
    site.oracle.assert_clean();
    let at = format!("{} --start {start}, killed at write {write}", case.name);
    let head = |report: &serde_json::Value| report["targets"][0]["head"].clone();
    assert_eq!(head(&report), head(calm), "{at}: {report:#}");
    let code = |report: &serde_json::Value| report["targets"][0]["blocked"]["code"].clone();
    assert_eq!(code(&report), code(calm), "{at}: {report:#}");
}

#[test]
fn killed_at_any_write_nothing_half_is_visible_and_the_next_run_finishes() {
    let queue = Mutex::new(cases().into_iter().enumerate().collect::<Vec<_>>());
    let (tables, kills) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        while let Some((index, case)) = { queue.lock().unwrap().pop() } {
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
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            if let Err(panic) = worker.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
    println!("killed {} runs over {} tables", kills.into_inner(), tables.into_inner());
}

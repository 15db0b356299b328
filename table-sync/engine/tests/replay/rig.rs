//! A source and a target in memory, with an oracle on the target.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use driftless_testdata::Objects;
use driftless_testdata::fault::{FaultStore, Faults};
use driftless_testdata::record::{Oracle, RecordingStore};
use futures::{FutureExt as _, TryStreamExt as _};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload};
use table_sync_core::{PlannedKind, Position, TableState};
use table_sync_delta::DeltaLog;
use table_sync_engine::{Options, PassReport, Quiet, Source, Target, TargetReport, pass};
use table_sync_store::{ProbeReport, Store, Verdict};

/// The table's path at both sides.
pub(crate) const TABLE: &str = "wh/orders";

/// One replica under test.
pub(crate) struct Rig {
    pub(crate) source_store: Arc<dyn ObjectStore>,
    pub(crate) source_faults: Faults,
    pub(crate) target_faults: Faults,
    pub(crate) recorded: Arc<FaultStore<RecordingStore<InMemory>>>,
    pub(crate) oracle: Oracle,
    pub(crate) source: Source,
    pub(crate) target: Target,
    pub(crate) options: Options,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with_faults(Faults::none(), Faults::none())
    }

    /// A rig whose oracle takes deletes as legal; what readers see is judged all the same.
    pub(crate) fn retiring() -> Self {
        Self::build(Faults::none(), Faults::none(), Oracle::new(TABLE).allowing_deletes())
    }

    pub(crate) fn with_faults(source_faults: Faults, target_faults: Faults) -> Self {
        Self::build(source_faults, target_faults, Oracle::new(TABLE))
    }

    pub(crate) fn build(source_faults: Faults, target_faults: Faults, oracle: Oracle) -> Self {
        let plain: Arc<InMemory> = Arc::new(InMemory::new());
        let source_store: Arc<dyn ObjectStore> = plain.clone();
        let faulty: Arc<dyn ObjectStore> = Arc::new(FaultStore::new(plain, source_faults.clone()));
        let recording = RecordingStore::new(probed(), vec![oracle.hook()]);
        let recorded = Arc::new(FaultStore::new(recording, target_faults.clone()));
        let source = Source {
            log: Arc::new(log(&faulty)),
            store: Store::over(Arc::clone(&faulty), "memory:///source"),
            table: TABLE.to_owned(),
            roots: Vec::new(),
            url: format!("memory:///source/{TABLE}"),
        };
        let target = target_over(recorded.clone(), "memory:///target");
        let options = Options {
            retry_budget: Duration::from_secs(600),
            window: NonZeroUsize::new(4).expect("not zero"),
            ..Options::default()
        };
        Self {
            source_store,
            source_faults,
            target_faults,
            recorded,
            oracle,
            source,
            target,
            options,
        }
    }

    pub(crate) async fn pass(&self) -> TargetReport {
        let report = self.full_pass().await;
        let report = report.targets.into_iter().next().expect("one target, one report");
        check_told(&report);
        report
    }

    pub(crate) async fn full_pass(&self) -> PassReport {
        let targets = std::slice::from_ref(&self.target);
        pass(&self.source, targets, &self.options, Arc::new(Quiet)).await
    }

    /// Everything below the replica's root.
    pub(crate) fn replica(&self) -> Objects {
        self.recorded.inner().objects(TABLE)
    }

    /// Puts objects into the source and tells the oracle.
    pub(crate) async fn feed(&self, objects: &Objects) {
        put(&self.source_store, TABLE, objects).await;
        self.oracle.learn(objects);
    }

    /// Makes the source hold exactly these objects.
    pub(crate) async fn replace_source(&self, objects: &Objects) {
        let root = Path::parse(TABLE).expect("a good table path");
        let found: Vec<_> = self.source_store.list(Some(&root)).try_collect().await.expect("list");
        for meta in found {
            let key = meta.location.as_ref().trim_start_matches(TABLE).trim_start_matches('/');
            if !objects.contains_key(key) {
                self.source_store.delete(&meta.location).await.expect("delete in memory");
            }
        }
        self.feed(objects).await;
    }
}

/// Whatever happened: each published position has its receipt, and a replica in step has nothing
/// to wait for.
#[track_caller]
pub(crate) fn check_told(report: &TargetReport) {
    let told: Vec<_> = report.receipts.iter().map(|receipt| receipt.position).collect();
    assert_eq!(told, report.published);
    for receipt in report.receipts.iter().filter(|it| it.kind == PlannedKind::Append) {
        assert!(receipt.committed_ms.is_some() && receipt.commit_sha256.is_some(), "{receipt:?}");
    }
    if report.state == TableState::Ok {
        let pending = report.pending.map(|pending| pending.versions);
        assert_eq!(pending, Some(0), "{report:?}");
    }
}

/// An empty store in memory that was probed before: what a probe does under faults is the store
/// crate's own matter.
pub(crate) fn probed() -> InMemory {
    let memory = InMemory::new();
    let report = ProbeReport {
        store: "memory:///".to_owned(),
        probed_ms: 0,
        checks: Vec::new(),
        verdict: Verdict::Fit,
    };
    let key = Path::from(table_sync_engine::probe_key());
    let body = serde_json::to_vec(&report).expect("encode a report");
    // A write to memory never waits.
    let put = memory.put(&key, PutPayload::from(body));
    put.now_or_never().expect("no waiting").expect("put in memory");
    memory
}

/// A target over a store.
pub(crate) fn target_over(store: Arc<dyn ObjectStore>, url: &str) -> Target {
    let log = log(&store);
    let store = Store::over(store, url);
    Target {
        log: Arc::new(log.clone()),
        reader: Arc::new(log),
        state: store.clone(),
        store,
        table: TABLE.to_owned(),
        roots: Vec::new(),
        url: format!("{url}/{TABLE}"),
    }
}

fn log(store: &Arc<dyn ObjectStore>) -> DeltaLog {
    let options = table_sync_delta::Options::default();
    DeltaLog::new(Arc::clone(store), TABLE, options).expect("a good table path")
}

pub(crate) async fn put(store: &Arc<dyn ObjectStore>, table: &str, objects: &Objects) {
    for (key, bytes) in objects {
        let path = Path::parse(format!("{table}/{key}")).expect("a key of a table");
        store.put(&path, PutPayload::from_bytes(bytes.clone())).await.expect("put in memory");
    }
}

pub(crate) fn version(at: u64) -> Position {
    Position::Version(at)
}

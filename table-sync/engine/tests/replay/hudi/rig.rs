//! A Hudi source and target in memory, with an oracle on the target.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use driftless_testdata::fault::{FaultStore, Faults};
use driftless_testdata::models::hudi::{
    Event, HudiObjects, HudiOracle, Modified, Object, Readers, Recorded,
};
use driftless_testdata::record::RecordingStore;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload};
use table_sync_engine::{Event as Happened, Options, Progress, Source, Target, TargetReport, pass};
use table_sync_hudi::HudiLog;
use table_sync_store::Store;

use super::stamped::{Stamped, Times};
use crate::rig::{TABLE, probed};

/// One replica under test.
pub(crate) struct Rig {
    source_store: Arc<dyn ObjectStore>,
    /// Times at the source, as they were recorded.
    source_times: Times,
    /// Times at the target: those of its own writes.
    pub(crate) target_times: Times,
    pub(crate) target_faults: Faults,
    pub(crate) oracle: HudiOracle,
    pub(crate) state: HudiObjects,
    source: Source,
    target: Target,
    options: Options,
    reader: Arc<HudiLog>,
    recorded: RecordingStore<InMemory>,
}

impl Rig {
    pub(crate) fn new(target_faults: Faults) -> Self {
        let (source_times, target_times) = (Times::default(), Times::default());
        let plain: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let source_store = Stamped::over(plain, &source_times);
        let oracle = HudiOracle::new(TABLE, Readers::default(), Modified::Seconds);
        let clock = target_times.clone();
        let hook = oracle.hook(Arc::new(move |key: &str| clock.stamp(key)));
        let recording = RecordingStore::new(probed(), vec![hook]);
        let recorded = recording.clone();
        let faulty: Arc<dyn ObjectStore> =
            Arc::new(FaultStore::new(recording, target_faults.clone()));
        let target_store = Stamped::over(faulty, &target_times);
        let source = Source {
            log: Arc::new(log(&source_store)),
            store: Store::over(Arc::clone(&source_store), "memory:///source"),
            table: TABLE.to_owned(),
            roots: Vec::new(),
            url: format!("memory:///source/{TABLE}"),
        };
        let reader = Arc::new(log(&target_store));
        let store = Store::over(target_store, "memory:///target");
        let target = Target {
            log: Arc::clone(&reader) as _,
            reader: Arc::clone(&reader) as _,
            state: store.clone(),
            store,
            table: TABLE.to_owned(),
            roots: Vec::new(),
            url: format!("memory:///target/{TABLE}"),
        };
        let options = Options {
            retry_budget: Duration::from_secs(600),
            window: NonZeroUsize::new(4).expect("not zero"),
            ..Options::default()
        };
        let state = HudiObjects::new();
        Self {
            source_store,
            source_times,
            target_times,
            target_faults,
            oracle,
            state,
            source,
            target,
            options,
            reader,
            recorded,
        }
    }

    /// Applies one event to the source, and tells the oracle.
    pub(crate) async fn apply(&mut self, table: &Recorded, event: &Event) {
        table.apply(event, &mut self.state);
        let key = match event {
            Event::Put { put, modified_ms, .. } => {
                self.source_times.set_now(*modified_ms);
                put
            }
            Event::Delete { delete } => delete,
        };
        let path = Path::parse(format!("{TABLE}/{key}")).expect("a key of a table");
        match self.state.get(key) {
            Some(object) => {
                let payload = PutPayload::from_bytes(object.bytes.clone());
                self.source_store.put(&path, payload).await.expect("put in memory");
                self.source_times.stamp(path.as_ref());
            }
            None => self.source_store.delete(&path).await.expect("delete in memory"),
        }
        self.oracle.see(&self.state);
        if event.completes() {
            self.oracle.learn(&self.state);
        }
    }

    pub(crate) async fn pass(&self) -> TargetReport {
        let targets = std::slice::from_ref(&self.target);
        let report = pass(&self.source, targets, &self.options, self.windows()).await;
        report.targets.into_iter().next().expect("one target, one report")
    }

    /// Tells the oracle which windows are open: nothing else is exempt.
    fn windows(&self) -> Arc<dyn Progress> {
        Arc::new(Windows {
            oracle: self.oracle.clone(),
            recorded: self.recorded.clone(),
            times: self.target_times.clone(),
        })
    }

    /// Time of the source's newest event, ms since the epoch.
    pub(crate) fn source_now(&self) -> i64 {
        self.source_times.now()
    }

    /// The replica's own view, for assertions.
    pub(crate) fn reader(&self) -> &HudiLog {
        &self.reader
    }
}

struct Windows {
    oracle: HudiOracle,
    recorded: RecordingStore<InMemory>,
    times: Times,
}

impl Progress for Windows {
    fn event(&self, event: Happened<'_>) {
        match event {
            Happened::WindowOpened { .. } => self.oracle.open_window(),
            Happened::WindowClosed { .. } => {
                self.oracle.close_window();
                let objects = self.recorded.objects(TABLE).into_iter();
                let stamped = objects.map(|(key, bytes)| {
                    let modified_ms = self.times.of(&format!("{TABLE}/{key}"));
                    (key, Object { bytes, modified_ms })
                });
                self.oracle.check(&stamped.collect());
            }
            _ => {}
        }
    }
}

fn log(store: &Arc<dyn ObjectStore>) -> HudiLog {
    let options = table_sync_hudi::Options::default();
    HudiLog::new(Arc::clone(store), TABLE, options).expect("a good table path")
}

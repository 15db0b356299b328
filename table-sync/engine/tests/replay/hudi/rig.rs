//! A Hudi source and target in memory, with an oracle on the target.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use driftless_testdata::fault::{FaultStore, Faults};
use driftless_testdata::models::hudi::{
    Event, HudiObjects, HudiOracle, Modified, Object, Readers, Recorded,
};
use driftless_testdata::record::{Hook, RecordingStore};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload};
use table_sync_core::{Position, TableState};
use table_sync_engine::{
    Clock, Event as Happened, Level, Options, PartitionLead, Progress, Quiet, Source, Target,
    TargetReport, pass, verify,
};
use table_sync_hudi::{HudiLog, Margin};
use table_sync_store::Store;
use tokio::time::Instant;

use super::stamped::{Stamped, Times};
use super::stopping::{Stopping, Stops};
use crate::rig::{TABLE, check_told, probed};

/// How far the target's clock is ahead of the source's newest event when a pass follows at once.
pub(crate) const CLOSE_MS: i64 = 500;

/// One replica under test.
pub(crate) struct Rig {
    source_store: Arc<dyn ObjectStore>,
    target_store: Arc<dyn ObjectStore>,
    /// Times at the source, as they were recorded.
    source_times: Times,
    /// Times at the target: those of its own writes.
    pub(crate) target_times: Times,
    pub(crate) target_faults: Faults,
    pub(crate) stops: Stops,
    pub(crate) oracle: HudiOracle,
    pub(crate) state: HudiObjects,
    source: Source,
    target: Target,
    options: Options,
    log_options: table_sync_hudi::Options,
    margin: Margin,
    pub(crate) recorded: RecordingStore<InMemory>,
    /// A publication was stopped while some readers may see a mixture.
    in_window: Arc<AtomicBool>,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(Faults::none(), table_sync_hudi::Options::default())
    }

    pub(crate) fn with(target_faults: Faults, log_options: table_sync_hudi::Options) -> Self {
        Self::read_by(Readers::default(), target_faults, log_options)
    }

    /// A replica that only some readers are promised to read.
    pub(crate) fn read_by(
        readers: Readers,
        target_faults: Faults,
        log_options: table_sync_hudi::Options,
    ) -> Self {
        let (source_times, target_times) = (Times::default(), Times::default());
        let margin = Margin::default();
        let plain: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let source_store = Stamped::over(plain, &source_times);
        let oracle = HudiOracle::new(TABLE, readers, Modified::Seconds);
        let clock = target_times.clone();
        let hook = oracle.hook(Arc::new(move |key: &str| clock.stamp(key)));
        // What lies beside the tables has the same clock.
        let clock = target_times.clone();
        let stamp: Hook = Arc::new(move |mutation, _| {
            clock.stamp(&mutation.key);
        });
        let recorded = RecordingStore::new(probed(), vec![stamp, hook]);
        let faulty = Arc::new(FaultStore::new(recorded.clone(), target_faults.clone()));
        let stops = Stops::default();
        let target_store = Stamped::over(Stopping::over(faulty, &stops), &target_times);
        let source = Source {
            log: Arc::new(log(&source_store, &log_options, margin)),
            store: Store::over(Arc::clone(&source_store), "memory:///source"),
            table: TABLE.to_owned(),
            roots: Vec::new(),
            url: format!("memory:///source/{TABLE}"),
        };
        let reader = Arc::new(replica_log(&target_store, &log_options, margin));
        let store = Store::over(Arc::clone(&target_store), "memory:///target");
        let target = Target {
            log: Arc::clone(&reader) as _,
            reader,
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
        Self {
            source_store,
            target_store,
            source_times,
            target_times,
            target_faults,
            stops,
            oracle,
            state: HudiObjects::new(),
            source,
            target,
            options,
            log_options,
            margin,
            recorded,
            in_window: Arc::default(),
        }
    }

    /// From now on passes remove what no state needs that was current within the retention.
    pub(crate) fn retire(&mut self, retention: Duration) {
        self.options.retire = Some(retention);
        self.options.clock = Arc::new(self.target_times.clone());
    }

    /// From now on commits wait for their partitions.
    pub(crate) fn lead(&mut self, time: Duration) {
        self.options.partition_lead = Some(PartitionLead { time, since: Instant::now() });
    }

    /// From now on passes believe that what an earlier one left is as it was.
    pub(crate) fn believe(&mut self, clock: Arc<dyn Clock>) {
        self.options.believe = true;
        self.options.clock = clock;
    }

    /// Writes an object at the target that no pass wrote.
    pub(crate) async fn put_at_target(&self, key: &str, bytes: &'static [u8]) {
        let path = Path::parse(format!("{TABLE}/{key}")).expect("a key of a table");
        let payload = PutPayload::from_static(bytes);
        self.recorded.put(&path, payload).await.expect("put in memory");
    }

    /// Forgets what a process would forget when it ends.
    pub(crate) fn restart(&mut self) {
        self.source.log = Arc::new(log(&self.source_store, &self.log_options, self.margin));
        let reader = replica_log(&self.target_store, &self.log_options, self.margin);
        let reader = Arc::new(reader);
        self.target.log = Arc::clone(&reader) as _;
        self.target.reader = reader;
    }

    /// Goes on as another process, whose looks take all but so much of a timeline for settled.
    pub(crate) fn restart_near(&mut self, margin: Margin) {
        self.margin = margin;
        self.restart();
    }

    /// Goes on as another process with other options.
    pub(crate) fn restart_with(&mut self, log_options: table_sync_hudi::Options) {
        self.log_options = log_options;
        self.restart();
    }

    /// Puts an object at the target by other means than a pass.
    pub(crate) async fn plant(&self, key: &str, bytes: bytes::Bytes) {
        let path = Path::parse(format!("{TABLE}/{key}")).expect("a key of a table");
        self.target_store.put(&path, PutPayload::from_bytes(bytes)).await.expect("put in memory");
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
        // New properties change what readers make of the same instants: an upgrade ends with them.
        let properties = key == ".hoodie/hoodie.properties" && self.state.contains_key(key);
        if event.completes() || properties {
            self.oracle.learn(&self.state);
        }
    }

    /// Applies every event of some calls of a writer.
    pub(crate) async fn apply_steps(&mut self, table: &Recorded, steps: std::ops::Range<usize>) {
        for event in table.steps[steps].iter().flat_map(|step| &step.events) {
            self.apply(table, event).await;
        }
    }

    /// Makes the source hold a whole table at once, and nothing else.
    pub(crate) async fn feed(&mut self, objects: HudiObjects) {
        for key in self.state.keys().filter(|key| !objects.contains_key(*key)) {
            let path = Path::parse(format!("{TABLE}/{key}")).expect("a key of a table");
            self.source_store.delete(&path).await.expect("delete in memory");
        }
        for (key, object) in &objects {
            let path = Path::parse(format!("{TABLE}/{key}")).expect("a key of a table");
            let payload = PutPayload::from_bytes(object.bytes.clone());
            self.source_store.put(&path, payload).await.expect("put in memory");
            self.source_times.set_now(object.modified_ms);
            self.source_times.stamp(path.as_ref());
        }
        self.state = objects;
        self.oracle.learn(&self.state);
    }

    /// One pass, `lag_ms` after the source's newest event.
    pub(crate) async fn pass_after(&self, lag_ms: i64) -> TargetReport {
        self.advance(lag_ms);
        self.pass().await
    }

    /// Sets the target's clock; it never goes back.
    pub(crate) fn advance(&self, lag_ms: i64) {
        let now = self.source_times.now() + lag_ms;
        self.target_times.set_now(now.max(self.target_times.now()));
    }

    /// One pass to its end.
    pub(crate) async fn pass(&self) -> TargetReport {
        let targets = std::slice::from_ref(&self.target);
        let report = pass(&self.source, targets, &self.options, self.windows()).await;
        let report = report.targets.into_iter().next().expect("one target, one report");
        check_told(&report);
        if report.blocked.is_none() && report.failure.is_none() {
            // What a stopped pass left open is closed by the next that ends well.
            if report.windows.iter().all(|window| window.closed) {
                self.in_window.store(false, Ordering::SeqCst);
                self.oracle.close_window();
            }
            self.oracle.check(&self.replica());
        }
        report
    }

    /// One pass that publishes the first of what there is to publish.
    pub(crate) async fn pass_until_first(&mut self) -> TargetReport {
        let held = self.target.log.observe(None).await.expect("read in memory");
        let view = self.source.log.observe(held.head).await.expect("read in memory");
        let holds = held.holds.unwrap_or_default();
        let is_held = |at: &Position| at.requested().is_some_and(|id| holds.contains(&id));
        let positions: Vec<_> = view.commits.iter().map(|commit| commit.position).collect();
        let next = positions.iter().rposition(is_held).map_or(0, |held| held + 1);
        self.options.until = positions.get(next).copied();
        let report = self.pass().await;
        self.options.until = None;
        report
    }

    /// One pass, which is dropped where [`Stops`] says. `None` where it was stopped: what comes
    /// next is another process.
    pub(crate) async fn pass_or_stop(&mut self) -> Option<TargetReport> {
        let reached = self.stops.reached();
        let report = tokio::select! {
            biased;
            report = self.pass() => Some(report),
            () = reached.notified() => None,
        };
        if report.is_none() {
            // Tasks that were aborted end when they are scheduled next.
            for _ in 0..64 {
                tokio::task::yield_now().await;
            }
            self.stops.clear();
            self.restart();
        }
        report
    }

    /// Whether a pass was stopped inside a reported window.
    pub(crate) fn is_in_window(&self) -> bool {
        self.in_window.load(Ordering::SeqCst)
    }

    /// Tells the oracle which windows are open: nothing else is exempt.
    fn windows(&self) -> Arc<dyn Progress> {
        Arc::new(Windows {
            oracle: self.oracle.clone(),
            recorded: self.recorded.clone(),
            times: self.target_times.clone(),
            is_open: Arc::clone(&self.in_window),
        })
    }

    /// Everything below the replica's root, with the times of its objects.
    pub(crate) fn replica(&self) -> HudiObjects {
        objects_of(&self.recorded, &self.target_times)
    }

    /// How many mutations the target has seen.
    pub(crate) fn mutations(&self) -> usize {
        self.recorded.mutations().len()
    }

    /// Holds the replica against the source, bytes included.
    pub(crate) async fn verify(&self) -> Result<(), String> {
        let report = verify(&self.source, &self.target, Level::Bytes, None, &Quiet).await;
        let report = report.map_err(|failure| failure.message)?;
        match report.is_equal() {
            true => Ok(()),
            false => Err(format!("{:?}", report.differences)),
        }
    }
}

struct Windows {
    oracle: HudiOracle,
    recorded: RecordingStore<InMemory>,
    times: Times,
    is_open: Arc<AtomicBool>,
}

impl Progress for Windows {
    fn event(&self, event: Happened<'_>) {
        match event {
            Happened::WindowOpened { .. } => {
                self.is_open.store(true, Ordering::SeqCst);
                self.oracle.open_window();
            }
            Happened::WindowClosed { .. } => {
                self.is_open.store(false, Ordering::SeqCst);
                self.oracle.close_window();
                self.oracle.check(&objects_of(&self.recorded, &self.times));
            }
            _ => {}
        }
    }
}

fn objects_of(recorded: &RecordingStore<InMemory>, times: &Times) -> HudiObjects {
    let objects = recorded.objects(TABLE).into_iter();
    let own = objects.filter(|(key, _)| !key.starts_with("_driftless"));
    let stamped = own.map(|(key, bytes)| {
        let modified_ms = times.of(&format!("{TABLE}/{key}"));
        (key, Object { bytes, modified_ms })
    });
    stamped.collect()
}

fn log(
    store: &Arc<dyn ObjectStore>,
    options: &table_sync_hudi::Options,
    margin: Margin,
) -> HudiLog {
    let log = HudiLog::new(Arc::clone(store), TABLE, options.clone());
    log.expect("a good table path").with_margin(margin)
}

fn replica_log(
    store: &Arc<dyn ObjectStore>,
    options: &table_sync_hudi::Options,
    margin: Margin,
) -> HudiLog {
    let side = table_sync_hudi::Side::Replica;
    log(store, &table_sync_hudi::Options { side, ..options.clone() }, margin)
}

/// How a pass ended, as one line. Instants are replaced by `T`: they are new in each generation of
/// the fixtures.
pub(crate) fn ending(report: &TargetReport) -> String {
    let text = match (&report.blocked, &report.failure) {
        (Some(blocked), _) => format!("{}: {}", blocked.code, blocked.message),
        (None, Some(failure)) => format!("FAILED {}", failure.message),
        (None, None) if report.state == TableState::Ok => "head".to_owned(),
        (None, None) => format!("{:?}: {}", report.state, report.warnings.join("; ")),
    };
    without_instants(&text)
}

pub(crate) fn without_instants(text: &str) -> String {
    let mut out = String::new();
    let mut digits = String::new();
    for character in text.chars().chain(std::iter::once('\n')) {
        if character.is_ascii_digit() {
            digits.push(character);
            continue;
        }
        out.push_str(if digits.len() >= 14 { "T" } else { &digits });
        digits.clear();
        out.push(character);
    }
    out.trim_end().to_owned()
}

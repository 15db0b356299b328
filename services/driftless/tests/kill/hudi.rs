//! Hudi tables, whose recorded life is replayed in two parts: the first is replicated in peace,
//! what is new in the second is published by a child that is killed.
//!
//! The source is a folder with the modification times of the recording: before table version 8
//! they are when an instant completed, and the test server stamps objects with its own clock.
//! Those stamps are the target's, all later than any recorded instant, as on a replica that
//! catches up.
//!
//! # Windows
//! Readers of Hudi 1.x take the slice of a version 6 log from such stamps, so publishing a commit
//! of a merge-on-read table may take a create and deletes, between which they see a mixture. The
//! program says so, but a killed one says nothing. Therefore the oracle excuses these readers, on
//! these tables only, from the write of a completed instant until the next run that ends by
//! itself; after that everything is judged as it lies there. Readers of Hudi 0.x and Trino are
//! never excused.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use driftless_testdata::models::hudi::{
    Event, HudiObjects, HudiOracle, Modified, Object, Readers, Recorded, recorded_tables,
};
use driftless_testdata::record::{Mutation, Op};
use driftless_testdata::s3::{Action, MutationInfo, Phase};

use crate::site::{BUCKET, Site, TABLE, below, ending, in_parallel, is_visible};
use crate::{is_chosen, is_soak};

/// Every write of these is a kill point.
const EVERY: [&str; 5] =
    ["cow_v8", "mor_v8", "mor_v6", "cow_v8_restore", "mor_v6_pending_compaction"];

/// Time of day, ms since the epoch: what the server of this process stamps objects with.
#[expect(clippy::disallowed_methods, reason = "stands for the clock of the test's server")]
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970");
    i64::try_from(since.as_millis()).expect("a time of this age")
}

/// A folder in which a recorded life is lived, told to an oracle.
struct Life<'a> {
    table: &'a Recorded,
    events: std::vec::IntoIter<&'a Event>,
    state: HudiObjects,
    root: tempfile::TempDir,
    oracle: HudiOracle,
}

impl<'a> Life<'a> {
    fn new(table: &'a Recorded) -> Self {
        let events: Vec<&Event> = table.steps.iter().flat_map(|step| &step.events).collect();
        Self {
            table,
            events: events.into_iter(),
            state: HudiObjects::new(),
            root: tempfile::tempdir().unwrap(),
            oracle: HudiOracle::new(TABLE, Readers::default(), Modified::Seconds),
        }
    }

    /// Lives through the next `count` events.
    fn go_on(&mut self, count: usize) {
        for event in self.events.by_ref().take(count) {
            self.table.apply(event, &mut self.state);
            let (Event::Put { put: key, .. } | Event::Delete { delete: key }) = event;
            let path = self.root.path().join(key);
            match self.state.get(key) {
                Some(object) => write(&path, object),
                None => std::fs::remove_file(&path).unwrap(),
            }
            self.oracle.see(&self.state);
            if event.completes() {
                self.oracle.learn(&self.state);
            }
        }
    }
}

fn write(path: &Path, object: &Object) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, &object.bytes).unwrap();
    let modified = UNIX_EPOCH + Duration::from_millis(object.modified_ms.try_into().unwrap());
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_modified(modified).unwrap();
}

/// What lies at the target, by the writes so far.
#[derive(Default)]
struct Mirror {
    objects: HudiObjects,
    writes: usize,
}

struct Trial<'a> {
    life: Life<'a>,
    site: Site,
    mirror: Arc<Mutex<Mirror>>,
}

impl<'a> Trial<'a> {
    fn new(table: &'a Recorded) -> Self {
        Self { life: Life::new(table), site: Site::new(), mirror: Arc::default() }
    }

    /// Installs the oracle, and the kill after write number `kill` below the table from now on.
    fn watch(&self, kill: Option<usize>) {
        let (double, oracle) = (Arc::downgrade(&self.site.double), self.life.oracle.clone());
        let (mirror, has_windows) = (Arc::clone(&self.mirror), has_windows(self.life.table));
        // Counted from here: a late write of a killed child is not the first of the next.
        let kill = kill.map(|write| mirror.lock().unwrap().writes + write);
        self.site.double.on_mutation(move |_, info| {
            if info.phase != Phase::After || !info.applied() || !is_visible(info) {
                return Action::Continue;
            }
            let Some(double) = double.upgrade() else { return Action::Continue };
            // Writes at once are judged one after the other.
            let mut mirror = mirror.lock().unwrap();
            let bytes = double.object(BUCKET, &info.key);
            if has_windows && bytes.is_some() && is_completed(info) {
                oracle.open_window();
            }
            mirror.judge(&oracle, info, bytes);
            if kill == Some(mirror.writes) { Action::Stop } else { Action::Continue }
        });
    }

    /// A run that ends by itself, and ends every window.
    fn run(&self) -> serde_json::Value {
        self.watch(None);
        let report = self.site.run(self.life.root.path(), "latest");
        self.life.oracle.close_window();
        let mirror = self.mirror.lock().unwrap();
        if !mirror.objects.is_empty() {
            self.life.oracle.check(&mirror.objects);
        }
        self.life.oracle.assert_clean();
        report
    }

    /// A run that is killed once it made a number of writes.
    fn killed_run(&self, write: usize) {
        self.watch(Some(write));
        let stopped = self.site.run_until_stopped(self.life.root.path(), "latest");
        assert!(stopped, "{}: write {write} never came", self.life.table.name);
        self.life.oracle.assert_clean();
    }

    /// What makes a commit visible was asked for under the condition that nothing is there.
    fn assert_created(&self) {
        for request in self.site.double.requests() {
            let key = request.key.strip_prefix(TABLE).unwrap_or_default();
            if request.method == "PUT" && key.starts_with("/.hoodie/") && completes(key) {
                let condition = request.headers.get("if-none-match").map(String::as_str);
                assert_eq!(condition, Some("*"), "{}", request.key);
            }
        }
    }
}

impl Mirror {
    fn judge(&mut self, oracle: &HudiOracle, info: &MutationInfo, bytes: Option<bytes::Bytes>) {
        self.writes += 1;
        let key = info.key.strip_prefix(TABLE).and_then(|key| key.strip_prefix('/'));
        let key = key.expect("a key of the table").to_owned();
        let (modified_ms, number) = (now_ms(), self.writes);
        let previous = match bytes.clone() {
            Some(bytes) => self.objects.insert(key, Object { bytes, modified_ms }),
            None => self.objects.remove(&key),
        };
        let previous = previous.map(|object| object.bytes);
        let op = match (&bytes, &previous) {
            (None, _) => Op::Delete,
            (Some(_), None) => Op::PutCreate,
            (Some(_), Some(_)) => Op::PutUpdate,
        };
        let mutation = Mutation { number, key: info.key.clone(), op, bytes, previous };
        let whole =
            |(key, object): (&String, &Object)| (format!("{TABLE}/{key}"), object.bytes.clone());
        let objects: BTreeMap<_, _> = self.objects.iter().map(whole).collect();
        let hook = oracle.hook(Arc::new(move |_: &str| modified_ms));
        hook(&mutation, &|prefix| below(&objects, prefix));
    }
}

/// Whether publishing such a table can have windows.
fn has_windows(table: &Recorded) -> bool {
    table.kind == "MERGE_ON_READ" && (table.table_version < 8 || table.name.starts_with("upgrade"))
}

/// Whether a write makes an instant of a version 6 timeline complete.
fn is_completed(info: &MutationInfo) -> bool {
    let name = info.key.strip_prefix(TABLE).and_then(|key| key.strip_prefix("/.hoodie/"));
    name.is_some_and(|name| !name.contains('/') && completes(name))
}

/// Whether a key's last segment is the name of a completed instant, of either layout.
fn completes(key: &str) -> bool {
    let name = key.rsplit('/').next().unwrap_or(key);
    let Some((times, action)) = name.split_once('.') else { return false };
    let is_time = !times.is_empty() && times.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    is_time && !action.contains('.') && action != "inflight" && action != "parquet"
}

/// How much is lived through before the first run, in eighths; 0 is no run.
type Before = usize;

/// A table of version 6 has no write that replaces a whole timeline, so a replica that is behind
/// what the source's cleaner, archiver or restore left cannot catch up. Such lives are also cut
/// later, until one ends at the head.
const CUTS: [Before; 4] = [4, 5, 6, 7];

/// A trial up to the run that is to be killed.
fn prepared(table: &Recorded, before: Before) -> Trial<'_> {
    let mut trial = Trial::new(table);
    let events = trial.life.events.len();
    if before > 0 {
        trial.life.go_on(events * before / 8);
        trial.run();
    }
    trial.life.go_on(events);
    trial
}

/// The instant of a position `COMPLETION_INSTANT`. The completion of a version 6 instant is a
/// matter of the side that is asked.
fn instant(position: &serde_json::Value) -> &str {
    position.as_str().and_then(|text| text.split_once('_')).map_or("none", |(_, instant)| instant)
}

/// Whether a run published all that there is.
fn is_at_head(report: &serde_json::Value) -> bool {
    let (head, code) = ending(report);
    !head.is_null() && instant(&head) == instant(&report["source_head"]) && code.is_null()
}

/// How a trial ended: what the timeline at the target holds, and why it stopped there.
#[derive(Debug)]
struct Ending {
    completed: BTreeSet<String>,
    code: serde_json::Value,
}

impl Ending {
    fn of(trial: &Trial<'_>, report: &serde_json::Value) -> Self {
        let mirror = trial.mirror.lock().unwrap();
        let timeline = mirror.objects.keys().filter(|key| key.starts_with(".hoodie/"));
        let names = timeline.filter(|key| !key.contains("/metadata/") && completes(key));
        let completed = names.map(|key| key.rsplit('/').next().unwrap_or(key).to_owned());
        Self { completed: completed.collect(), code: ending(report).1 }
    }
}

/// The undisturbed run.
struct Calm {
    report: serde_json::Value,
    ending: Ending,
    /// How many writes it makes.
    writes: usize,
}

fn calm(table: &Recorded, before: Before) -> Calm {
    let trial = prepared(table, before);
    let written = || trial.mirror.lock().unwrap().writes;
    let earlier = written();
    let report = trial.run();
    let writes = written() - earlier;
    if is_at_head(&report) {
        trial.life.oracle.assert_at_head();
    }
    trial.assert_created();
    let ending = Ending::of(&trial, &report);
    Calm { report, ending, writes }
}

fn kill_at(table: &Recorded, before: Before, write: usize, calm: &Calm) {
    let trial = prepared(table, before);
    trial.killed_run(write);
    let report = trial.run();
    let at = format!("{}, {before}/8 before, killed at write {write}", table.name);
    let ending = Ending::of(&trial, &report);
    assert_eq!(is_at_head(&report), is_at_head(&calm.report), "{at}: {report:#}");
    assert_eq!(ending.code, calm.ending.code, "{at}: {report:#}");
    if is_at_head(&report) {
        assert_eq!(ending.completed, calm.ending.completed, "{at}: {report:#}");
        trial.life.oracle.assert_at_head();
    }
    // While publishing waits, what the killed run had still to delete may stay: the oracle has
    // judged that it does no harm.
    assert!(ending.completed.is_superset(&calm.ending.completed), "{at}: {report:#}");
    trial.assert_created();
}

/// The writes after which runs are killed.
fn points(
    table: &Recorded,
    seed: usize,
    before: Before,
    writes: usize,
) -> std::ops::RangeInclusive<usize> {
    if is_soak() || writes == 0 || before > 0 && EVERY.contains(&table.name.as_str()) {
        return 1..=writes;
    }
    let chosen = 1 + fastrand::Rng::with_seed(seed as u64).usize(..writes);
    chosen..=chosen
}

fn tell(table: &Recorded, before: Before, calm: &Calm) {
    let target = &calm.report["targets"][0];
    let (head, blocked, writes) = (&target["head"], &target["blocked"]["message"], calm.writes);
    println!("{}, {before}/8 before: {writes} writes, head {head}, {blocked}", table.name);
}

#[test]
fn killed_at_any_write_a_hudi_replica_is_a_state_of_its_source_and_the_next_run_finishes() {
    let (kills, heads) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let tables: Vec<Recorded> =
        recorded_tables().into_iter().filter(|table| is_chosen(&table.name)).collect();
    assert!(!tables.is_empty() || std::env::var_os("DRIFTLESS_ONLY").is_some(), "no tables");
    let count = tables.len();
    in_parallel(tables.into_iter().enumerate().collect(), |(index, table): (usize, Recorded)| {
        for cuts in [&[0][..], &CUTS] {
            for before in cuts.iter().copied() {
                let calm = calm(&table, before);
                tell(&table, before, &calm);
                for write in points(&table, index, before, calm.writes) {
                    kill_at(&table, before, write, &calm);
                    kills.fetch_add(1, Ordering::SeqCst);
                }
                if is_at_head(&calm.report) {
                    heads.fetch_add(1, Ordering::SeqCst);
                    break;
                }
            }
        }
    });
    let (kills, heads) = (kills.into_inner(), heads.into_inner());
    println!("killed {kills} runs over {count} tables, {heads} of {} lives to the head", 2 * count);
    assert!(kills >= count, "hardly anything was killed");
}

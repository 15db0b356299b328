//! Publishers that are wrong on purpose: the oracle complains of each. Without this nobody knows
//! that a clean oracle means anything.
//!
//! Each publishes by hand what a recorded table wrote, first in an order that is right, then in
//! one that is not. The names X1 to X7 and HI8 are those of `docs/hudi.md`.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use driftless_testdata::models::hudi::{HudiObjects, HudiOracle, Modified, Readers, Recorded};
use driftless_testdata::record::RecordingStore;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore as _, ObjectStoreExt as _, PutMode, PutPayload};

use super::rig::Rig;
use super::stamped::Times;
use crate::rig::TABLE;

/// Completed instants of the timeline, among all keys.
const TIMELINES: [&str; 2] = [".hoodie/timeline/", ".hoodie/"];

/// A target that is written by hand.
struct Hand {
    oracle: HudiOracle,
    store: RecordingStore<InMemory>,
    times: Times,
}

impl Hand {
    fn new(table: &Recorded) -> Self {
        let oracle = HudiOracle::new(TABLE, Readers::Both, Modified::Seconds);
        oracle.learn_recorded(table);
        let times = Times::default();
        let clock = times.clone();
        let hook = oracle.hook(Arc::new(move |key: &str| clock.stamp(key)));
        Self { oracle, store: RecordingStore::new(InMemory::new(), vec![hook]), times }
    }

    /// Puts one object of a state, with the time that it has there.
    async fn put(&self, state: &HudiObjects, key: &str) {
        let object = state.get(key).unwrap_or_else(|| panic!("{key} is in the fixture"));
        self.times.set_now(object.modified_ms);
        let path = Path::parse(format!("{TABLE}/{key}")).expect("a key of a table");
        let mode = if is_instant(key) { PutMode::Create } else { PutMode::Overwrite };
        let payload = PutPayload::from_bytes(object.bytes.clone());
        self.store.put_opts(&path, payload, mode.into()).await.expect("put in memory");
    }

    async fn delete(&self, key: &str) {
        let path = Path::parse(format!("{TABLE}/{key}")).expect("a key of a table");
        self.store.delete(&path).await.expect("delete in memory");
    }

    /// Publishes a whole state, without the keys that are left out.
    async fn copy(&self, state: &HudiObjects, wanted: impl Fn(&str) -> bool) {
        let mut keys: Vec<&String> = state.keys().filter(|key| wanted(key)).collect();
        keys.retain(|key| !is_pending(key) && !key.ends_with(".crc") && !key.contains("/.aux/"));
        keys.retain(|key| !key.ends_with(".backup"));
        keys.sort_by_key(|key| rank(key));
        for key in keys {
            self.put(state, key).await;
        }
    }

    /// Publishes what one state has and another has not: files, then instants.
    async fn copy_new(&self, (before, after): (&HudiObjects, &HudiObjects)) {
        self.copy(after, |key| !before.contains_key(key)).await;
    }

    #[track_caller]
    fn clean(&self) {
        self.oracle.assert_clean();
    }

    /// A reader sees what it must not.
    #[track_caller]
    fn caught(&self) {
        let violations = self.oracle.violations();
        let seen = violations.iter().any(|text| text.contains("sees") || text.contains("fails"));
        assert!(seen, "no reader is wrong: {violations:?}");
    }
}

fn name(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}

pub(crate) fn in_timeline(key: &str) -> bool {
    let folder = TIMELINES.iter().find_map(|folder| key.strip_prefix(folder));
    folder.is_some_and(|rest| !rest.contains('/') && rest.starts_with(|c: char| c.is_ascii_digit()))
}

fn is_pending(key: &str) -> bool {
    in_timeline(key) && (key.ends_with(".requested") || key.ends_with(".inflight"))
}

pub(crate) fn is_instant(key: &str) -> bool {
    in_timeline(key) && !is_pending(key)
}

/// The order of a copy: files, history and metadata table, instants, properties.
fn rank(key: &str) -> u8 {
    match key {
        ".hoodie/hoodie.properties" => 3,
        key if is_instant(key) => 2,
        key if key.starts_with(".hoodie/") => 1,
        _ => 0,
    }
}

/// When an instant was requested.
pub(crate) fn requested(key: &str) -> &str {
    name(key).split(['_', '.']).next().unwrap_or_default()
}

fn table(name: &str) -> Recorded {
    let found = driftless_testdata::models::hudi::recorded_tables().into_iter();
    found.into_iter().find(|table| table.name == name).unwrap_or_else(|| panic!("{name} is there"))
}

/// The states just after each completed instant.
pub(crate) fn completed(table: &Recorded) -> Vec<HudiObjects> {
    let mut states = Vec::new();
    table.replay(|_, event, state| {
        if event.completed_key().is_some_and(is_instant) {
            states.push(state.clone());
        }
    });
    states
}

#[tokio::test]
async fn x2_a_commit_before_its_files() {
    let table = table("cow_v8");
    let states = completed(&table);
    let right = Hand::new(&table);
    right.copy(&states[0], |_| true).await;
    right.copy_new((&states[0], &states[1])).await;
    right.clean();
    let wrong = Hand::new(&table);
    wrong.copy(&states[0], |_| true).await;
    let (before, after) = (&states[0], &states[1]);
    wrong.copy(after, |key| !before.contains_key(key) && is_instant(key)).await;
    wrong.caught();
}

/// Files of a write that failed, copied by their prefix, are rows once the timeline starts later.
#[tokio::test]
async fn x3_a_copy_of_a_prefix_with_an_orphan() {
    let table = table("mor_v8_rollback");
    let mut all = HudiObjects::new();
    let mut ids = BTreeSet::new();
    table.replay(|_, event, state| {
        all.extend(state.iter().map(|(key, object)| (key.clone(), object.clone())));
        ids.extend(event.completed_key().map(|key| requested(key).to_owned()));
    });
    let is_log = |key: &str| name(key).starts_with('.') && name(key).contains(".log.");
    let instant = |key: &str| {
        let at = name(key).split(".log.").next().and_then(|n| n.rsplit('_').next());
        at.unwrap_or_default().to_owned()
    };
    let orphans: Vec<_> =
        all.keys().filter(|key| is_log(key) && !ids.contains(&instant(key))).collect();
    assert!(!orphans.is_empty(), "the fixture has a log of a failed write");
    let mut caught = 0;
    for state in completed(&table) {
        for orphan in &orphans {
            // A timeline that starts after the orphan, as a copy takes it from a later state.
            let later = |key: &str| !is_instant(key) || requested(key) > instant(orphan).as_str();
            if !state.keys().any(|key| is_instant(key) && later(key)) {
                continue;
            }
            let hand = Hand::new(&table);
            hand.copy(&state, later).await;
            let before = hand.oracle.violations().len();
            hand.put(&all, orphan).await;
            caught += usize::from(hand.oracle.violations().len() > before);
        }
    }
    assert!(caught > 0, "no orphan was seen");
}

#[tokio::test]
async fn x1_a_timeline_trimmed_past_a_replace_commit() {
    let table = table("cow_v8_clustering");
    let states = completed(&table);
    let with_replace =
        |state: &&HudiObjects| state.keys().any(|key| key.ends_with(".replacecommit"));
    let state = states.iter().rfind(with_replace).expect("a replace commit");
    let first = states.iter().find(with_replace).expect("a replace commit");
    let hand = Hand::new(&table);
    hand.copy(first, |_| true).await;
    let more = |key: &str| !first.contains_key(key);
    let newest = state.keys().filter(|key| is_instant(key)).map(|key| requested(key)).max();
    let newest = newest.expect("an instant").to_owned();
    let wrong = Hand::new(&table);
    // The replaced files of the first state are still there when the rest is.
    wrong.copy(first, |key| rank(key) < 2).await;
    wrong.copy(state, |key| rank(key) < 2 && more(key)).await;
    wrong.copy(state, |key| rank(key) >= 2).await;
    let before = wrong.oracle.violations().len();
    let gone: Vec<_> =
        state.keys().filter(|key| is_instant(key) && requested(key) < newest.as_str()).collect();
    for key in gone {
        wrong.delete(key).await;
    }
    hand.clean();
    assert_eq!(before, 0, "{:?}", wrong.oracle.violations());
    wrong.caught();
}

/// The base file of a compaction, without its plan, takes the logs of later commits away.
#[tokio::test]
async fn a_base_file_of_a_compaction_before_its_plan() {
    let table = table("mor_v8_pending_compaction");
    let states = completed(&table);
    let last = states
        .iter()
        .position(|state| state.keys().any(|key| is_instant(key) && key.ends_with(".commit")));
    let at = last.expect("a compaction is executed");
    let (before, after) = (&states[at - 1], &states[at]);
    let plan = after.keys().find(|key| key.ends_with(".compaction.requested")).expect("a plan");
    let right = Hand::new(&table);
    right.copy(before, |_| true).await;
    right.put(after, plan).await;
    right.copy_new((before, after)).await;
    right.clean();
    let wrong = Hand::new(&table);
    wrong.copy(before, |_| true).await;
    wrong.clean();
    wrong.copy(after, |key| !before.contains_key(key) && rank(key) == 0).await;
    wrong.caught();
}

/// HI8: an instant in the middle is left out, its files are not.
#[tokio::test]
async fn hi8_a_hole_in_the_timeline() {
    let table = table("cow_v8");
    let states = completed(&table);
    let mut caught = 0;
    for at in 1..states.len().min(6) - 1 {
        let (before, hole, after) = (&states[at - 1], &states[at], &states[at + 1]);
        let left_out = hole.keys().find(|key| is_instant(key) && !before.contains_key(*key));
        let Some(left_out) = left_out else { continue };
        let hand = Hand::new(&table);
        hand.copy(before, |_| true).await;
        hand.copy(hole, |key| !before.contains_key(key) && key != left_out).await;
        hand.copy(after, |key| !hole.contains_key(key)).await;
        caught += usize::from(!hand.oracle.violations().is_empty());
    }
    assert!(caught > 0, "no hole was seen");
}

/// Logs of archived commits find their slice by the history only.
#[tokio::test]
async fn a_copy_without_its_history() {
    let table = table("mor_v8_archived");
    let (mut caught, mut files) = (0, HudiObjects::new());
    for state in completed(&table) {
        // A replica keeps the files that the cleaner takes.
        let new = state.iter().filter(|(key, _)| rank(key) == 0);
        files.extend(new.map(|(key, object)| (key.clone(), object.clone())));
        let all: HudiObjects = files.clone().into_iter().chain(state).collect();
        let right = Hand::new(&table);
        right.copy(&all, |_| true).await;
        right.clean();
        let wrong = Hand::new(&table);
        wrong.copy(&all, |key| !key.contains("/history/")).await;
        caught += usize::from(!wrong.oracle.violations().is_empty());
    }
    assert!(caught > 0, "no missing history was seen");
}

#[tokio::test]
async fn x7_a_metadata_table_one_commit_behind() {
    let table = table("cow_v8_metadata");
    let states = completed(&table);
    let mut caught = 0;
    for pair in states.windows(2) {
        let (before, after) = (&pair[0], &pair[1]);
        let properties = ".hoodie/hoodie.properties";
        if before.get(properties) != after.get(properties) {
            continue;
        }
        let wrong = Hand::new(&table);
        wrong.copy(before, |_| true).await;
        let start = wrong.oracle.violations().len();
        let own = |key: &str| !key.starts_with(".hoodie/metadata/");
        wrong.copy(after, |key| !before.contains_key(key) && own(key)).await;
        caught += usize::from(wrong.oracle.violations().len() > start);
    }
    assert!(caught > 0, "no metadata table behind was seen");
}

/// Without the guard for readers of Hudi 1.x a late copy of a version 6 table misleads them.
#[tokio::test(start_paused = true)]
async fn a_publisher_for_old_readers_only_is_caught() {
    let table = table("mor_v6");
    for (readers, is_right) in
        [(table_sync_hudi::Readers::Zero, false), (table_sync_hudi::Readers::Both, true)]
    {
        let options = table_sync_hudi::Options { readers, ..Default::default() };
        let mut rig = Rig::with(driftless_testdata::fault::Faults::none(), options);
        for at in 0..table.steps.len() {
            rig.apply_steps(&table, at..at + 1).await;
            rig.pass_after(4 * 3_600_000).await;
        }
        let violations = rig.oracle.violations();
        assert_eq!(violations.is_empty(), is_right, "{readers:?}: {violations:?}");
        let modern = |text: &String| text.contains("One") && !text.contains("Zero sees");
        assert!(violations.iter().all(modern), "{violations:?}");
    }
}

/// Bytes that the source never had are seen, whoever reads them.
#[tokio::test]
async fn other_bytes_under_a_known_name() {
    let table = table("cow_v8");
    let states = completed(&table);
    let mut damaged = states[0].clone();
    let file = damaged.keys().find(|key| key.ends_with(".parquet")).expect("a file").clone();
    damaged.get_mut(&file).expect("a file").bytes = Bytes::from_static(b"PAR1PAR1");
    let hand = Hand::new(&table);
    hand.copy(&damaged, |_| true).await;
    assert!(!hand.oracle.violations().is_empty());
}

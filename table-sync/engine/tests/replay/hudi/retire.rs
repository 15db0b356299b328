//! Retirement: what no state needs that was current within the retention goes, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use driftless_testdata::models::hudi::{HudiObjects, HudiReader, Object, Recorded, Snapshot};
use expect_test::expect_file;
use table_sync_core::Position;
use table_sync_engine::TargetReport;

use super::rig::{CLOSE_MS, Rig, ending};
use super::scenarios::{is_wrong, judged, settle};
use super::wrong::{completed, in_timeline, is_instant, requested};
use super::{assert_golden, tables};
use crate::rig::TABLE;

/// Times at the target are whole seconds.
const GRAIN_MS: i64 = 1_000;

const HOUR_MS: i64 = 3_600_000;

const RETENTIONS: [Duration; 3] = [Duration::ZERO, Duration::from_secs(4), Duration::from_secs(15)];

const READERS: [HudiReader; 3] = [HudiReader::Zero, HudiReader::One, HudiReader::Trino];

/// What readers of a replica were shown by the end of one pass.
#[derive(Debug)]
struct Shown {
    at_ms: i64,
    head: Option<Position>,
    /// Its timeline, properties and all.
    meta: HudiObjects,
    /// Everything else.
    data: HudiObjects,
}

/// Every state that readers of a replica were shown, in order.
#[derive(Debug, Default)]
struct Diary {
    shown: Vec<Shown>,
}

fn open(objects: &HudiObjects) -> Vec<Option<Snapshot>> {
    READERS.iter().map(|reader| reader.open(objects).ok()).collect()
}

impl Diary {
    fn note(&mut self, rig: &Rig, report: &TargetReport) {
        let is_meta = |(key, _): &(String, _)| key.starts_with(".hoodie/");
        let (meta, data): (HudiObjects, HudiObjects) = rig.replica().into_iter().partition(is_meta);
        self.shown.push(Shown { at_ms: rig.target_times.now(), head: report.head, meta, data });
    }

    /// Queries that miss what was removed, although they began within the retention, or travel to
    /// a position that is said to be readable.
    fn wrong(&self, rig: &Rig, retention: Duration, earliest: Option<Position>) -> String {
        let mut data = rig.replica();
        data.retain(|key, _| !key.starts_with(".hoodie/"));
        let began_ms = rig.target_times.now() - retention.as_millis() as i64 + GRAIN_MS;
        let id = |at: &Position| at.requested();
        let earliest = earliest.as_ref().and_then(id);
        let from = self.shown.iter().position(|shown| shown.head.as_ref().and_then(id) == earliest);
        let mut wrong = String::new();
        for (at, shown) in self.shown.iter().enumerate() {
            let next_ms = self.shown.get(at + 1).map(|next| next.at_ms);
            let running = next_ms.is_none_or(|next_ms| next_ms > began_ms);
            if !running && from.is_none_or(|from| at < from) {
                continue;
            }
            let (mut now, mut whole) = (shown.meta.clone(), shown.meta.clone());
            now.extend(data.clone());
            for later in &self.shown[at..] {
                whole.extend(later.data.clone());
            }
            if open(&now) != open(&whole) {
                writeln!(wrong, "state {at}, {:?}", shown.head).unwrap();
            }
        }
        wrong
    }
}

/// Plays a table's life with a pass after each completed instant. Answers what was wrong, and how
/// many files were removed.
async fn play(rig: &mut Rig, table: &Recorded, retention: Duration) -> (String, u64) {
    let (mut wrong, mut retired) = (String::new(), 0);
    let mut diary = Diary::default();
    for event in table.steps.iter().flat_map(|step| &step.events) {
        rig.apply(table, event).await;
        if event.completes() {
            let report = rig.pass_after(CLOSE_MS).await;
            retired += report.retired_files;
            diary.note(rig, &report);
            for line in diary.wrong(rig, retention, report.earliest_readable).lines() {
                let then = diary.shown.len() - 1;
                writeln!(wrong, "{}, {retention:?}, after {then}: {line}", table.name).unwrap();
            }
        }
    }
    let ended = match settle(rig).await {
        Ok(report) => judged(rig, ending(&report)).await,
        Err(message) => message,
    };
    let restored = table.name == "mor_v6_restore" && ended.starts_with("history_lost");
    if is_wrong(&ended) || ended.contains("verify") || !(ended == "head" || restored) {
        writeln!(wrong, "{}, {retention:?}: {ended}", table.name).unwrap();
    }
    (wrong, retired)
}

#[tokio::test(start_paused = true)]
async fn queries_within_the_retention_see_what_they_saw() {
    let mut wrong = String::new();
    for table in &tables() {
        for retention in RETENTIONS {
            let mut rig = Rig::new();
            rig.retire(retention);
            let (found, retired) = play(&mut rig, table, retention).await;
            wrong.push_str(&found);
            println!("{}, {retention:?}: {retired} files went", table.name);
            // Lives that are longer than the retention, with slices that end within them.
            let long = ["cow_v6", "cow_v9", "mor_v6", "mor_v9"].contains(&table.name.as_str());
            if long && retention == RETENTIONS[1] && retired == 0 {
                writeln!(wrong, "{}, {retention:?}: nothing went", table.name).unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// A pass after each commit, which lists what is new, leaves no more behind than one look at all.
#[tokio::test(start_paused = true)]
async fn step_by_step_as_much_goes_as_at_once() {
    for table in tables().iter().filter(|table| table.name != "mor_v6_restore") {
        let (mut steps, mut once) = (Rig::new(), Rig::new());
        steps.retire(Duration::ZERO);
        follow(&mut steps, table).await;
        follow(&mut once, table).await;
        retire_all(&mut once).await;
        assert_eq!(data(&steps.replica()), data(&once.replica()), "{}", table.name);
    }
}

/// Data files, without the metadata of their partitions.
fn data(replica: &HudiObjects) -> BTreeSet<String> {
    let keys = replica.keys().filter(|key| !key.contains(".hoodie"));
    keys.cloned().collect()
}

/// What any reader of the newest state opens.
fn live(replica: &HudiObjects) -> BTreeSet<String> {
    let readers = [HudiReader::Zero, HudiReader::One, HudiReader::Trino];
    let opened = readers.iter().filter_map(|reader| reader.open(replica).ok());
    let slices: Vec<_> = opened.flat_map(|snapshot| snapshot.slices).collect();
    slices.iter().flat_map(|slice| slice.paths()).map(str::to_owned).collect()
}

async fn follow(rig: &mut Rig, table: &Recorded) {
    for event in table.steps.iter().flat_map(|step| &step.events) {
        rig.apply(table, event).await;
        if event.completes() {
            rig.pass_after(CLOSE_MS).await;
        }
    }
    settle(rig).await.expect("a table that settles");
}

/// One pass that removes all that the newest state does not need.
async fn retire_all(rig: &mut Rig) -> TargetReport {
    rig.retire(Duration::ZERO);
    rig.target_times.set_now(rig.target_times.now() + 60_000);
    rig.pass().await
}

/// Data files that no reader of the newest state opens, and why they stay.
fn kept(replica: &HudiObjects) -> Vec<String> {
    let saved = replica.keys().filter(|key| key.ends_with(".savepoint"));
    let saved: BTreeSet<_> = saved.map(|key| requested(key)).collect();
    let live = live(replica);
    let why = |key: &String| match key {
        key if key.ends_with(".cdc") => "change data".to_owned(),
        key if saved.iter().any(|id| key.contains(id)) => "a savepoint's".to_owned(),
        key => key.clone(),
    };
    data(replica).difference(&live).map(why).collect()
}

#[tokio::test(start_paused = true)]
async fn a_replica_comes_down_to_its_newest_state() {
    let mut text = String::new();
    for table in &tables() {
        let mut rig = Rig::new();
        follow(&mut rig, table).await;
        let before = data(&rig.replica()).len();
        retire_all(&mut rig).await;
        let replica = rig.replica();
        let (after, live) = (data(&replica), live(&replica));
        assert!(live.is_subset(&after), "{}", table.name);
        let mut kept = kept(&replica).join(", ");
        if table.name == "mor_v6_restore" {
            // Blocked before the restore: the source is not where the replica is.
            kept = "everything".to_owned();
        }
        let left = if kept.is_empty() { "nothing else" } else { &kept };
        writeln!(text, "{}: {before} -> {}, {left}", table.name, live.len()).unwrap();
        let before = rig.mutations();
        assert_eq!(rig.pass().await.retired_files, 0);
        assert_eq!(rig.mutations(), before, "{}: an idle pass wrote", table.name);
    }
    assert_golden(&expect_file!["./retired.txt"], &text);
}

/// The process ends at each delete in turn, before or after its effect: the next pass finishes.
#[tokio::test(start_paused = true)]
async fn a_stopped_retirement_is_finished_by_the_next_pass() {
    let some = ["cow_v6", "cow_v8_clustering", "cow_v8_restore", "mor_v9", "mor_v6_clustering"];
    for table in tables().iter().filter(|table| some.contains(&table.name.as_str())) {
        let mut calm = Rig::new();
        follow(&mut calm, table).await;
        let published = calm.mutations();
        retire_all(&mut calm).await;
        let mutations = (calm.mutations() - published) as u64;
        assert!(mutations > 10, "{}", table.name);
        for nth in (1..=mutations).step_by(3) {
            let mut rig = Rig::new();
            follow(&mut rig, table).await;
            rig.retire(Duration::ZERO);
            rig.target_times.set_now(rig.target_times.now() + 60_000);
            rig.stops.at(nth, nth % 2 == 0);
            assert!(rig.pass_or_stop().await.is_none(), "{}, {nth}", table.name);
            rig.pass().await;
            let (expected, found) = (calm.replica(), rig.replica());
            assert!(found.keys().eq(expected.keys()), "{}, stopped at {nth}", table.name);
            rig.oracle.assert_at_head();
        }
    }
}

fn recorded(name: &str) -> Option<Recorded> {
    tables().into_iter().find(|table| table.name == name)
}

/// Folders that hold a timeline, by how many objects they have.
fn timelines(replica: &HudiObjects) -> BTreeMap<String, usize> {
    let mut folders = BTreeMap::new();
    for key in replica.keys().filter_map(|key| key.strip_prefix(".hoodie/timeline")) {
        let (folder, _) = key.split_once('/').expect("an object of a folder");
        *folders.entry(format!("timeline{folder}")).or_default() += 1;
    }
    folders
}

#[tokio::test(start_paused = true)]
async fn a_timeline_that_a_switch_left_goes_after_the_retention() {
    let hour = Duration::from_secs(3_600);
    for name in ["cow_v8_restore", "upgrade_v6_to_v8"] {
        let Some(table) = recorded(name) else { continue };
        let mut rig = Rig::new();
        follow(&mut rig, &table).await;
        let properties = rig.replica()[".hoodie/hoodie.properties"].bytes.clone();
        let text = String::from_utf8_lossy(&properties).into_owned();
        let path = text.lines().find_map(|line| line.strip_prefix("hoodie.timeline.path="));
        let current = path.expect("a switch").to_owned();
        // Another process may be about to switch: what it has staged says a later position.
        let later = String::from(
            ".hoodie/timeline_99990101000000000_99990101000000000_0a0b0c0d0e0f/_version_",
        );
        rig.put_at_target(&later, b"staged").await;
        let old = |replica: &HudiObjects| {
            let root = replica.keys().filter(|key| key.starts_with(".hoodie/"));
            let root = root.filter(|key| !key.starts_with(".hoodie/timeline") && in_timeline(key));
            let folders = timelines(replica).into_iter();
            let old = folders.filter(|(folder, _)| {
                !later.contains(&format!("/{folder}/")) && *folder != current
            });
            root.count() + old.map(|(_, objects)| objects).sum::<usize>()
        };
        let before = rig.replica();
        assert!(old(&before) > 0, "{name}");
        // The new timeline was there for hours before readers were led to it.
        let switched_ms = rig.target_times.now() + 3 * HOUR_MS;
        rig.target_times.set_now(switched_ms);
        rig.target_times.stamp(&format!("{TABLE}/.hoodie/hoodie.properties"));
        rig.retire(hour);
        rig.target_times.set_now(switched_ms + HOUR_MS - 2_000);
        assert_eq!(rig.pass().await.retired_files, 0, "{name}: within the retention");
        assert!(rig.replica().keys().eq(before.keys()), "{name}: within the retention");
        rig.target_times.set_now(switched_ms + HOUR_MS + 2_000);
        rig.pass().await;
        let after = rig.replica();
        assert_eq!(old(&after), 0, "{name}: {:?}", timelines(&after));
        assert_eq!(timelines(&after).get(&current), timelines(&before).get(&current), "{name}");
        assert!(after.contains_key(&later), "{name}: {later} is not ours to remove");
        rig.oracle.assert_at_head();
        rig.verify().await.expect("an equal replica");
    }
}

/// A base file that is there before its commit is: it neither goes nor makes others go.
#[tokio::test(start_paused = true)]
async fn a_staged_file_is_left_alone() {
    for name in ["cow_v6", "cow_v8", "mor_v8", "mor_v6"] {
        let Some(table) = recorded(name) else { continue };
        let mut rig = Rig::new();
        follow(&mut rig, &table).await;
        let live = live(&rig.replica());
        let base = live.iter().find(|key| key.ends_with(".parquet")).expect("a base file");
        let (group, instant) = base.rsplit_once('_').expect("an instant");
        let instant: u64 = instant.trim_end_matches(".parquet").parse().expect("an instant");
        let mut staged = vec![format!("{group}_99990101000000000.parquet")];
        if name != "mor_v6" {
            // Of a commit that began before the newest: not where the timeline starts later.
            staged.push(format!("{group}_{}.parquet", instant - 1));
        }
        for key in &staged {
            rig.put_at_target(key, b"staged").await;
        }
        let report = retire_all(&mut rig).await;
        assert!(report.retired_files > 0, "{name}");
        let replica = rig.replica();
        assert!(staged.iter().all(|key| replica.contains_key(key)), "{name}: {staged:?}");
        assert!(live.iter().all(|key| replica.contains_key(key)), "{name}");
    }
}

/// A table below the replica's folder has files of the same names: they are not the replica's.
#[tokio::test(start_paused = true)]
async fn a_table_within_the_folder_is_left_alone() {
    let Some(table) = recorded("cow_v8") else { return };
    let mut rig = Rig::new();
    follow(&mut rig, &table).await;
    let nested = [
        "sub/t/.hoodie/hoodie.properties",
        "sub/t/p=1/a-0_0-0-0_20200101000000000.parquet",
        "sub/t/p=1/a-0_0-0-0_20200102000000000.parquet",
    ];
    for key in nested {
        rig.put_at_target(key, b"another table's").await;
    }
    assert!(retire_all(&mut rig).await.retired_files > 0);
    let replica = rig.replica();
    assert!(nested.iter().all(|key| replica.contains_key(*key)));
}

/// The source as a restore leaves it: the state after `kept` commits, and what says that the later
/// ones are no more.
fn restored(table: &Recorded, kept: usize) -> HudiObjects {
    let states = completed(table);
    let (mut state, newest) = (states[kept - 1].clone(), states.last().expect("a state"));
    let gone = newest.keys().filter(|key| is_instant(key) && !state.contains_key(*key));
    let gone = gone.filter(|key| key.ends_with("commit"));
    let gone: Vec<_> = gone.map(|key| format!("\"{}\"", requested(key))).collect();
    assert!(gone.len() > 2, "{}", table.name);
    let bytes = format!("{{\"instantsToRollback\": [{}]}}", gone.join(", "));
    let times = newest.values().map(|object| object.modified_ms);
    let modified_ms = times.max().expect("an object") + 60_000;
    let restore = Object { bytes: bytes.into(), modified_ms };
    state.insert(".hoodie/20991231000000000.restore".to_owned(), restore);
    state
}

/// A version 6 replica goes back commit by commit, and shows every state in between. It must not
/// where some of these are no longer whole.
#[tokio::test(start_paused = true)]
async fn a_restore_across_removed_files_stops_a_version_6_table() {
    let Some(table) = recorded("cow_v6") else { return };
    for stop in [None, Some(u64::MAX), Some(6)] {
        let mut rig = Rig::new();
        follow(&mut rig, &table).await;
        if let Some(stop) = stop {
            let before = rig.replica().len();
            rig.stops.at(stop, true);
            rig.retire(Duration::ZERO);
            rig.target_times.set_now(rig.target_times.now() + 60_000);
            assert_eq!(rig.pass_or_stop().await.is_none(), stop == 6);
            rig.stops.clear();
            assert!(rig.replica().len() < before, "files went");
        }
        rig.feed(restored(&table, 3)).await;
        let report = rig.pass_after(CLOSE_MS).await;
        rig.oracle.assert_clean();
        if stop.is_some() {
            assert!(ending(&report).starts_with("history_lost: "), "{}", ending(&report));
        } else {
            assert_eq!(ending(&report), "head");
            rig.oracle.assert_at_head();
        }
    }
}

/// The state with one id in place of another of the same length, in keys and in content.
fn renamed(state: &HudiObjects, from: &str, to: &str) -> HudiObjects {
    let rename = |(key, object): (&String, &Object)| {
        let mut bytes = object.bytes.to_vec();
        for at in 0..bytes.len().saturating_sub(from.len()) {
            if bytes[at..].starts_with(from.as_bytes()) {
                bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
            }
        }
        let object = Object { bytes: bytes.into(), modified_ms: object.modified_ms };
        (key.replace(from, to), object)
    };
    state.iter().map(rename).collect()
}

/// A write that a compaction overtakes has an older id and completes later: its log is merged with
/// the new base, and stays until there is a newer one.
#[tokio::test(start_paused = true)]
async fn a_log_that_a_compaction_overtook_stays() {
    let Some(table) = recorded("mor_v8_non_blocking") else { return };
    let states = completed(&table);
    let [.., before, newest] = &states[..] else { panic!("{} states", states.len()) };
    let ids: BTreeSet<&str> =
        newest.keys().filter(|key| is_instant(key)).map(|k| requested(k)).collect();
    let mut ids = ids.iter().rev();
    let (last, compaction) = (ids.next().expect("an id"), ids.next().expect("an id"));
    let overtaken = (compaction.parse::<u64>().expect("an id") - 1).to_string();
    let newest = renamed(newest, last, &overtaken);
    let mut rig = Rig::new();
    rig.feed(before.clone()).await;
    rig.pass_after(CLOSE_MS).await;
    rig.feed(newest).await;
    rig.pass_after(CLOSE_MS).await;
    rig.oracle.assert_at_head();
    let log = rig.replica().into_keys().find(|key| key.contains(&format!("_{overtaken}.log.")));
    let log = log.expect("the log of the write");
    assert!(live(&rig.replica()).contains(&log));
    retire_all(&mut rig).await;
    assert!(rig.replica().contains_key(&log), "{log}");
    rig.oracle.assert_at_head();
}

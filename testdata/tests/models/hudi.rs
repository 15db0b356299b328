//! The Hudi models against states made by hand, one for each way to go silently wrong.

use std::sync::Arc;

use bytes::Bytes;
use driftless_testdata::models::hudi::{
    HudiObjects, HudiOracle, HudiReader, LateLogs, Loud, Modified, Readers, Snapshot, reader_0x,
    reader_1x, trino,
};

use driftless_testdata::record::RecordingStore;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload};

use crate::hudi_made::{Made, ms, t};

/// Paths of the slices of a snapshot, with the blocks of each log.
fn shown(snapshot: &Snapshot) -> Vec<String> {
    let mut found = Vec::new();
    for slice in &snapshot.slices {
        found.extend(slice.base.clone());
        found.extend(slice.logs.iter().map(|log| format!("{} {:?}", log.path, log.blocks)));
    }
    found
}

fn one(objects: &HudiObjects) -> Vec<String> {
    shown(&reader_1x(objects, LateLogs::Kept).unwrap())
}

fn strict(objects: &HudiObjects) -> Vec<String> {
    shown(&reader_1x(objects, LateLogs::Ignored).unwrap())
}

fn zero(objects: &HudiObjects) -> Vec<String> {
    shown(&reader_0x(objects).unwrap())
}

fn base(id: &str, time: i64) -> String {
    Made::base_key(id, time)
}

fn log(id: &str, name: i64, version: u32) -> String {
    format!("{} [0]", Made::log_key(id, name, version))
}

/// An oracle that has learned the states.
fn oracle(states: &[&Made]) -> HudiOracle {
    let oracle = HudiOracle::new("", Readers::Both, Modified::Seconds);
    for state in states {
        oracle.learn(&state.objects);
    }
    oracle
}

/// Judges states of a target in turn; the texts must be found in violations of the last one, and
/// without texts nothing may be wrong.
#[track_caller]
fn check(source: &[&Made], target: &[&Made], texts: &[&str]) {
    let oracle = oracle(source);
    let (last, before) = target.split_last().unwrap();
    for state in before {
        oracle.check(&state.objects);
    }
    oracle.assert_clean();
    oracle.check(&last.objects);
    let found = oracle.violations();
    for text in texts {
        assert!(found.iter().any(|v| v.contains(text)), "no {text:?} in {found:#?}");
    }
    assert_eq!(found.is_empty(), texts.is_empty(), "{found:#?}");
}

const UNSEEN: &str = "sees what the source never showed";

/// Two commits of one file group.
fn two_commits(version: u32) -> (Made, Made) {
    let first = Made::new(version).base("a", 10).completed(10, "commit");
    let second = first.clone().base("a", 20).completed(20, "commit");
    (first, second)
}

#[test]
fn equal_states_are_clean() {
    for version in [6, 8, 9] {
        let (first, second) = two_commits(version);
        check(&[&first, &second], &[&first, &second], &[]);
        let oracle = oracle(&[&first, &second]);
        oracle.check(&first.objects);
        oracle.check(&second.objects);
        oracle.assert_at_head();
        assert_eq!(oracle.seen()[&HudiReader::Trino], 1);
        assert_eq!(oracle.seen().contains_key(&HudiReader::Zero), version == 6);
    }
}

#[test]
fn data_without_its_commit_shows_nothing() {
    for version in [6, 8] {
        let (first, second) = two_commits(version);
        let staged = first.clone().base("a", 20);
        check(&[&first, &second], &[&first, &staged, &second], &[]);
    }
}

#[test]
fn going_back_is_found() {
    let (first, second) = two_commits(8);
    check(&[&first, &second], &[&second, &first], &["One went back from state Some(1)"]);
}

#[test]
fn going_back_with_the_source_is_allowed() {
    for version in [6, 8] {
        let (first, second) = two_commits(version);
        let restored = second.clone().uncompleted(20, "commit").delete(&base("a", 20));
        let restored = restored.completed(30, "restore");
        check(&[&first, &second, &restored], &[&second, &first, &restored], &[]);
    }
}

#[test]
fn loud_errors_are_allowed_before_the_first_publish_only() {
    let (first, second) = two_commits(8);
    let unpublished = second.clone().delete(".hoodie/hoodie.properties");
    check(&[&first, &second], &[&unpublished, &second], &[]);
    check(&[&first, &second], &[&second, &unpublished], &["One fails: not a hudi table"]);
    assert_eq!(trino(&unpublished.objects), Err(Loud::NotATable));
    let future = Made::new(10);
    let refused = Err(Loud::Unsupported { version: 10 });
    assert_eq!(reader_1x(&future.objects, LateLogs::Kept), refused);
    assert_eq!(reader_0x(&second.objects), Err(Loud::Unsupported { version: 8 }));
}

#[test]
fn x1_replaced_files_kept_past_their_replacecommit() {
    for version in [6, 8] {
        let first = Made::new(version).base("a", 10).completed(10, "commit");
        let replaced = first.clone().base("b", 20).replaced(20, &["a"]);
        let third = replaced.clone().base("c", 30).completed(30, "commit");
        assert_eq!(one(&third.objects), [base("b", 20), base("c", 30)]);
        let trimmed = third.clone().uncompleted(10, "commit").uncompleted(20, "replacecommit");
        let states = [&first, &replaced, &third];
        check(&states, &[&third, &trimmed], &["One sees what", "Trino sees what", "extra"]);
        let cleaned = third.clone().delete(&base("a", 10));
        let trimmed = cleaned.clone().uncompleted(10, "commit").uncompleted(20, "replacecommit");
        check(&states, &[&third, &cleaned, &trimmed], &[]);
    }
}

#[test]
fn x2_commit_without_a_base_file() {
    for version in [6, 8] {
        let (first, second) = two_commits(version);
        let lacking = first.clone().completed(20, "commit");
        assert_eq!(one(&lacking.objects), [base("a", 10)]);
        check(&[&first, &second], &[&first, &lacking], &[UNSEEN]);
    }
}

#[test]
fn x3_orphan_older_than_the_timeline() {
    for version in [6, 8] {
        let (first, second) = two_commits(version);
        let newer = second.clone().base("orphan", 30);
        check(&[&first, &second], &[&second, &newer], &[]);
        let older = second.clone().base("orphan", 5);
        check(&[&first, &second], &[&second, &older], &["orphan_0-1-2"]);
    }
}

/// A version 6 group: base, a failed log, its rollback, and a log that counts.
fn rolled_back() -> (Made, Made) {
    let first = Made::new(6).base("a", 10).completed(10, "deltacommit");
    let failed = first.clone().log("a", 10, 1, &[(20, None)]);
    let undone = failed.log("a", 10, 2, &[(25, Some(20))]).completed(25, "rollback");
    let third = undone.log("a", 10, 3, &[(30, None)]).completed(30, "deltacommit");
    (first, third)
}

#[test]
fn x5_rolled_back_log_without_its_rollback() {
    let (first, third) = rolled_back();
    let fourth = third.clone().log("a", 10, 4, &[(40, None)]).completed(40, "deltacommit");
    let all = [base("a", 10), log("a", 10, 3), log("a", 10, 4)];
    assert_eq!(one(&fourth.objects), all);
    assert_eq!(zero(&fourth.objects), all);
    let states = [&first, &third, &fourth];
    let trim = |made: Made| {
        let made = made.uncompleted(10, "deltacommit").uncompleted(25, "rollback");
        made.uncompleted(30, "deltacommit")
    };
    let dropped = trim(fourth.clone()).delete(&Made::log_key("a", 10, 2));
    check(&states, &[&fourth, &dropped], &["Zero sees what", "One sees what"]);
    // Without the trimming the failed log is no part of the timeline, so nothing shows yet.
    let early = fourth.clone().delete(&Made::log_key("a", 10, 2));
    check(&states, &[&fourth, &early], &[]);
    check(&states, &[&fourth, &trim(fourth.clone())], &[]);
    let neither = dropped.delete(&Made::log_key("a", 10, 1));
    check(&states, &[&fourth, &neither], &[]);
}

#[test]
fn x8_timeline_folder_flip() {
    let (first, second) = two_commits(8);
    let staged = first.clone().base("a", 20).timeline("timeline_2");
    let staged = staged.completed(10, "commit").completed(20, "commit");
    assert_eq!(one(&staged.objects), [base("a", 10)]);
    let flipped = staged.clone().properties("hoodie.timeline.path=timeline_2\n");
    assert_eq!(one(&flipped.objects), [base("a", 20)]);
    check(&[&first, &second], &[&first, &staged, &flipped], &[]);
}

/// Version 6: two upserts with a compaction after each, and a third upsert.
fn compacted() -> [Made; 5] {
    let first = Made::new(6).base("a", 10).completed(10, "deltacommit");
    let second = first.clone().log("a", 10, 1, &[(20, None)]).completed(20, "deltacommit");
    let third = second.clone().base("a", 30).completed(30, "commit");
    let fourth = third.clone().log("a", 30, 1, &[(40, None)]).completed(40, "deltacommit");
    let fifth = fourth.clone().base("a", 50).completed(50, "commit");
    [first, second, third, fourth, fifth]
}

#[test]
fn late_modification_brings_old_logs_back() {
    let states = compacted();
    let [first, second, third, fourth, fifth] = &states;
    let all = [first, second, third, fourth, fifth];
    for state in all {
        assert_eq!(one(&state.objects), zero(&state.objects));
    }
    let late = fourth.clone().touched(10, "deltacommit", 100);
    assert_eq!(one(&late.objects), [base("a", 30), log("a", 10, 1), log("a", 30, 1)]);
    assert_eq!(zero(&late.objects), [base("a", 30), log("a", 30, 1)]);
    check(&all, &[&late], &["One sees what", "extra"]);
}

#[test]
fn late_modification_hides_the_newest_logs() {
    let states = compacted();
    let [first, second, third, fourth, fifth] = &states;
    let all = [first, second, third, fourth, fifth];
    let late = fourth.clone().touched(30, "commit", 100);
    assert_eq!(strict(&late.objects), [base("a", 30)]);
    assert_eq!(one(&late.objects), zero(&late.objects));
    check(&all, &[&late], &["OneStrict sees what", "lost"]);
    // Only what was requested after the copy heals it.
    let healed = fifth.clone().touched(30, "commit", 45);
    check(&all, &[&healed], &[]);
    let later = fourth.clone().touched(30, "commit", 39);
    check(&all, &[&later], &[]);
}

#[test]
fn minimal_timeline_is_right_whatever_the_times_are() {
    let states = compacted();
    let [first, second, third, fourth, fifth] = &states;
    let all = [first, second, third, fourth, fifth];
    let trims = [(10, "deltacommit"), (20, "deltacommit"), (30, "commit"), (40, "deltacommit")];
    for (newest, state) in all.into_iter().enumerate() {
        let minimal = trims[..newest]
            .iter()
            .fold(state.clone(), |made, (time, action)| made.uncompleted(*time, action));
        let (time, action) = [trims[0], trims[1], trims[2], trims[3], (50, "commit")][newest];
        check(&all, &[&minimal.touched(time, action, 1000)], &[]);
    }
}

#[test]
fn window_of_version_6_is_exempt_while_it_is_open() {
    let states = compacted();
    let [first, second, third, fourth, _] = &states;
    let oracle = oracle(&[first, second, third, fourth]);
    let minimal =
        |made: &Made| made.clone().uncompleted(10, "deltacommit").uncompleted(20, "deltacommit");
    oracle.check(&minimal(third).touched(30, "commit", 100).objects);
    oracle.open_window();
    let both = minimal(fourth).touched(30, "commit", 100).touched(40, "deltacommit", 101);
    oracle.check(&both.objects);
    oracle.assert_clean();
    oracle.close_window();
    oracle.check(&both.clone().uncompleted(30, "commit").objects);
    oracle.assert_at_head();
    oracle.check(&both.objects);
    assert!(oracle.violations()[0].contains("OneStrict"), "{:?}", oracle.violations());
}

#[test]
fn withheld_plan_hides_logs_from_0x_readers_only() {
    let first = Made::new(6).base("a", 10).completed(10, "deltacommit");
    let planned = first.clone().planned(20, &["a"]);
    let written = planned.clone().log("a", 20, 1, &[(30, None)]).completed(30, "deltacommit");
    let both = [base("a", 10), log("a", 20, 1)];
    assert_eq!(zero(&written.objects), both);
    assert_eq!(one(&written.objects), both);
    let withheld = written.clone().delete(&format!(".hoodie/{}.compaction.requested", t(20)));
    assert_eq!(zero(&withheld.objects), [base("a", 10)]);
    assert_eq!(one(&withheld.objects), both);
    let states = [&first, &planned, &written];
    check(&states, &[&first, &withheld], &["Zero sees what"]);
    check(&states, &[&first, &planned, &written], &[]);
    let ones = HudiOracle::new("", Readers::One, Modified::Seconds);
    states.iter().for_each(|state| ones.learn(&state.objects));
    ones.check(&withheld.objects);
    ones.assert_clean();
    let done = written.base("a", 20).completed(20, "commit");
    assert_eq!(zero(&done.objects), [base("a", 20), log("a", 20, 1)]);
    assert_eq!(one(&done.objects), [base("a", 20), log("a", 20, 1)]);
}

#[test]
fn plan_older_than_the_timeline_hides_what_lies_between() {
    let first = Made::new(6).base("a", 10).completed(10, "deltacommit").planned(15, &["b"]);
    let second = first.clone().base("a", 20).completed(20, "deltacommit");
    let third = second.clone().base("c", 30).completed(30, "deltacommit");
    let states = [&first, &second, &third];
    let minimal = third.clone().uncompleted(10, "deltacommit").uncompleted(20, "deltacommit");
    assert_eq!(zero(&minimal.objects), [base("a", 10), base("c", 30)]);
    check(&states, &[&minimal], &["Zero sees what"]);
}

#[test]
fn hi8_hole_between_published_instants() {
    for version in [6, 8] {
        let first = Made::new(version).base("a", 10).completed(10, "commit");
        let second = first.clone().base("b", 20).completed(20, "commit");
        let third = second.clone().base("c", 30).completed(30, "commit");
        let hole = third.clone().uncompleted(20, "commit");
        assert_eq!(one(&hole.objects), [base("a", 10), base("c", 30)]);
        check(&[&first, &second, &third], &[&first, &hole], &[UNSEEN]);
        let archived = third.clone().uncompleted(10, "commit");
        check(&[&first, &second, &third], &[&third, &archived], &[]);
    }
}

#[test]
fn hi9_data_of_an_instant_before_the_start() {
    for version in [6, 8] {
        // The older write is slow: it completes after the newer one.
        let fast = Made::new(version).base("b", 20).completed(20, "commit");
        let both = fast.clone().base("a", 10).base("c", 10).completed(10, "commit");
        let early = fast.clone().base("a", 10);
        assert_eq!(one(&early.objects), [base("a", 10), base("b", 20)]);
        check(&[&fast, &both], &[&fast, &early], &[UNSEEN]);
    }
}

#[test]
fn version_8_slices_by_completion() {
    let first = Made::new(8).base("a", 10).completed(10, "deltacommit");
    let second = first.clone().log("a", 20, 1, &[(20, None)]).completed(20, "deltacommit");
    assert_eq!(one(&second.objects), [base("a", 10), log("a", 20, 1)]);
    // Requested before the compaction and completed after it.
    let slow = second.clone().log("a", 25, 1, &[(25, None)]).base("a", 30);
    let slow = slow.completed(30, "commit");
    let key = format!(".hoodie/timeline/{}_{}.deltacommit", t(25), t(35));
    let done = slow.clone().put(&key, "", 35);
    assert_eq!(one(&slow.objects), [base("a", 30)]);
    assert_eq!(one(&done.objects), [base("a", 30), log("a", 25, 1)]);
    check(&[&first, &second, &slow, &done], &[&second, &slow, &done], &[]);
}

#[test]
fn version_8_needs_the_history_of_archived_logs() {
    let first = Made::new(8).base("a", 10).completed(10, "deltacommit");
    let second = first.clone().log("a", 20, 1, &[(20, None)]).completed(20, "deltacommit");
    let third = second.clone().base("a", 30).completed(30, "commit");
    let archived = third.clone().uncompleted(10, "deltacommit").uncompleted(20, "deltacommit");
    // The completion time is unknown, so the old log joins the newest slice.
    assert_eq!(one(&archived.objects), [base("a", 30), log("a", 20, 1)]);
    check(&[&first, &second, &third], &[&third, &archived], &["One sees what"]);
}

#[test]
fn partition_without_its_marker_is_not_listed_by_spark() {
    let made = Made::new(8).properties("hoodie.table.partition.fields=p\n");
    let made = made.put("p=1/a_0-1-2_20240101000010000.parquet", "rows", 10);
    let made = made.completed(10, "commit");
    assert_eq!(one(&made.objects), Vec::<String>::new());
    let key = "p=1/.hoodie_partition_metadata";
    let marked = made.put(key, "", 10);
    assert_eq!(one(&marked.objects), ["p=1/a_0-1-2_20240101000010000.parquet"]);
}

/// A replica in memory, watched by an oracle, whose clock stands at second 100.
struct Replica {
    store: RecordingStore<InMemory>,
    oracle: HudiOracle,
    source: HudiObjects,
}

impl Replica {
    fn new(states: &[&Made]) -> Self {
        let oracle = HudiOracle::new("t", Readers::Both, Modified::Seconds);
        states.iter().for_each(|state| oracle.learn(&state.objects));
        let hook = oracle.hook(Arc::new(|_| ms(100)));
        let source = states.last().unwrap().objects.clone();
        Self { store: RecordingStore::new(InMemory::new(), vec![hook]), oracle, source }
    }

    async fn copy(&self, keys: &[String]) {
        for key in keys {
            self.put(key, self.source[key].bytes.clone(), PutMode::Create).await;
        }
    }

    async fn put(&self, key: &str, bytes: Bytes, mode: PutMode) {
        let path = Path::parse(format!("t/{key}")).unwrap();
        self.store.put_opts(&path, PutPayload::from_bytes(bytes), mode.into()).await.unwrap();
    }

    #[track_caller]
    fn check(&self, texts: &[&str]) {
        let found = self.oracle.violations();
        for text in texts {
            assert!(found.iter().any(|v| v.contains(text)), "no {text:?} in {found:#?}");
        }
        assert_eq!(found.is_empty(), texts.is_empty(), "{found:#?}");
    }
}

#[tokio::test]
async fn recorded_copies_are_judged_one_by_one() {
    let (first, second) = two_commits(8);
    let commit = |time| second.completed_key(time, "commit");
    let properties = ".hoodie/hoodie.properties".to_owned();
    let bootstrap = [base("a", 10), commit(10), properties.clone()];

    let replica = Replica::new(&[&first, &second]);
    replica.copy(&bootstrap).await;
    replica.copy(&[base("a", 20), commit(20)]).await;
    replica.oracle.assert_at_head();
    replica.store.delete(&Path::from("t/.hoodie/hoodie.properties")).await.unwrap();
    replica.check(&["hoodie.properties was deleted", "One fails"]);

    let early = Replica::new(&[&first, &second]);
    early.copy(std::slice::from_ref(&properties)).await;
    early.check(&["One sees what the source never showed"]);

    let reversed = Replica::new(&[&first, &second]);
    reversed.copy(&bootstrap).await;
    reversed.copy(&[commit(20)]).await;
    reversed.check(&["Trino sees what the source never showed"]);

    let wrong = Replica::new(&[&first, &second]);
    wrong.put(&base("a", 10), Bytes::from_static(b"x"), PutMode::Create).await;
    wrong.check(&["has bytes that the source never had"]);
    wrong.put(&base("a", 10), wrong.source[&base("a", 10)].bytes.clone(), PutMode::Overwrite).await;
    wrong.check(&["was written again with other bytes"]);

    let overwritten = Replica::new(&[&first, &second]);
    overwritten.put(&commit(10), Bytes::new(), PutMode::Overwrite).await;
    overwritten.check(&["not by put-if-absent"]);

    let orphan = Made::new(8).base("b", 15);
    let copied = Replica::new(&[&first, &second]);
    copied.oracle.see(&orphan.objects);
    let key = base("b", 15);
    copied.put(&key, orphan.objects[&key].bytes.clone(), PutMode::Create).await;
    copied.put(".hoodie/.temp/m", Bytes::new(), PutMode::Create).await;
    copied.check(&["which never completed", "is the writer's own"]);
}

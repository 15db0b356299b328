//! What a pass says about what it published, and about what is still to come.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use driftless_testdata::builder::{TableBuilder, commit_key};
use driftless_testdata::fault::{Faults, Kind, Op};
use object_store::ObjectStore;
use sha2::{Digest as _, Sha256};
use table_sync_core::{BlockCode, PlannedKind, Position, Sha256Digest, TableState};
use table_sync_engine::{Clock, Event, Mismatch, Pending, Progress, Quiet, Receipt, pass, status};

use crate::rig::{Rig, TABLE, put, version};

/// A clock that stands still.
struct Noon;

const NOON_MS: i64 = 43_200_000;

impl Clock for Noon {
    fn now_ms(&self) -> i64 {
        NOON_MS
    }
}

/// Keeps the receipts that it is told.
#[derive(Default)]
struct Told(Mutex<Vec<Receipt>>);

impl Progress for Told {
    fn event(&self, event: Event<'_>) {
        if let Event::Published { position, kind, receipt, format, .. } = event {
            assert_eq!((position, kind, format), (receipt.position, receipt.kind, "delta"));
            self.0.lock().unwrap().push(receipt.clone());
        }
    }
}

fn history() -> TableBuilder {
    TableBuilder::new(31)
        .commit(|c| c.add("a", 10).add("b", 20))
        .commit(|c| c.remove("a").add("c", 30).cdc("change", 5))
        .commit(|c| c.operation("SET TBLPROPERTIES"))
}

/// When the source's store took a commit.
async fn committed_ms(rig: &Rig, at: u64) -> Option<i64> {
    let view = rig.source.log.observe(None).await.unwrap();
    let mut commits = view.commits.iter();
    commits.find(|commit| commit.position == version(at)).map(|commit| commit.committed_ms)
}

#[tokio::test(start_paused = true)]
async fn receipts_say_what_the_log_says() {
    let mut rig = Rig::new();
    rig.options.clock = Arc::new(Noon);
    let table = history();
    rig.feed(table.objects()).await;
    let told = Arc::new(Told::default());
    let targets = std::slice::from_ref(&rig.target);
    let report = pass(&rig.source, targets, &rig.options, Arc::clone(&told) as _).await;
    let mut expect = Vec::new();
    for (at, files, bytes) in [(0, 2, 30), (1, 2, 35), (2, 0, 0)] {
        let commit = Sha256::digest(&table.objects()[&commit_key(at)]);
        expect.push(Receipt {
            position: version(at),
            kind: PlannedKind::Append,
            committed_ms: committed_ms(&rig, at).await,
            published_ms: NOON_MS,
            files,
            bytes,
            commit_sha256: Some(Sha256Digest(commit.into())),
        });
    }
    let target = &report.targets[0];
    assert_eq!(target.receipts, expect);
    assert_eq!(*told.0.lock().unwrap(), expect, "each is told when it is published");
    assert!(expect.iter().all(|receipt| receipt.committed_ms.is_some()));
    assert_eq!(report.source_head_ms, expect[2].committed_ms);
    assert_eq!(target.head_committed_ms, expect[2].committed_ms);
    let none = Pending { versions: 0, oldest: None, oldest_ms: None };
    assert_eq!(target.pending, Some(none));
    assert_eq!(target.deadline_ms, None, "nothing is needed any more");
    // What is there already is needed all the same, and nothing is published twice.
    assert!(rig.pass().await.receipts.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_jump_has_a_receipt_over_all_that_its_base_needs() {
    let rig = Rig::new();
    rig.feed(history().checkpoint_classic(2).last_checkpoint(2).objects()).await;
    let report = rig.pass().await;
    let [receipt] = report.receipts.as_slice() else { panic!("one publication: {report:?}") };
    assert_eq!((receipt.position, receipt.kind), (version(2), PlannedKind::Jump));
    assert_eq!((receipt.files, receipt.bytes), (2, 50), "b and c are live");
    assert!(receipt.commit_sha256.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_blocked_pass_says_what_waits() {
    let rig = Rig::new();
    let table = history();
    rig.feed(table.objects()).await;
    rig.pass().await;
    let table = table
        .commit(|c| c.add("short-lived", 100))
        .commit(|c| c.remove("short-lived"))
        .delete_object("short-lived");
    rig.replace_source(table.objects()).await;
    let report = rig.full_pass().await;
    let target = &report.targets[0];
    assert_eq!(target.blocked.as_ref().map(|it| it.code), Some(BlockCode::HistoryLost));
    let oldest_ms = committed_ms(&rig, 3).await;
    let expect = Pending { versions: 2, oldest: Some(version(3)), oldest_ms };
    assert_eq!(target.pending, Some(expect));
    // The source keeps what version 4 removed for a week, as tables do that state nothing else.
    let deadline_ms = committed_ms(&rig, 4).await.map(|ms| ms + 7 * 24 * 3_600_000);
    assert_eq!(target.deadline_ms, deadline_ms);
    let targets = std::slice::from_ref(&rig.target);
    let surveyed = status(&rig.source, targets, &rig.options, Arc::new(Quiet)).await;
    assert_eq!(surveyed[0].deadline_ms, deadline_ms);
    assert_eq!(target.head_committed_ms, committed_ms(&rig, 2).await);
    assert_eq!(report.source_head_ms, committed_ms(&rig, 4).await);
}

/// Keeps the mismatches that it is told.
#[derive(Default)]
struct Mismatches(Mutex<Vec<Mismatch>>);

impl Progress for Mismatches {
    fn event(&self, event: Event<'_>) {
        if let Event::Mismatch { what, .. } = event {
            self.0.lock().unwrap().push(what);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_not_what_it_should_be_is_told() {
    let rig = Rig::new();
    let table = history();
    rig.feed(table.objects()).await;
    // One that was cut short, and one that was there before: it is unproven, and told as nothing.
    let target: Arc<dyn ObjectStore> = rig.recorded.clone();
    let cut = table.objects()["b"].slice(1..);
    let there = [("b".to_owned(), cut), ("a".to_owned(), table.objects()["a"].clone())];
    put(&target, TABLE, &there.into_iter().collect()).await;
    let told = Arc::new(Mismatches::default());
    let targets = std::slice::from_ref(&rig.target);
    let report = pass(&rig.source, targets, &rig.options, Arc::clone(&told) as _).await;
    assert_eq!(report.targets[0].state, TableState::Ok, "{report:?}");
    assert_eq!(*told.0.lock().unwrap(), [Mismatch::Size]);
    assert_eq!(rig.replica()["b"], table.objects()["b"]);
}

/// Makes a store refuse everything until it is healed.
fn gone(faults: &Faults) {
    for op in [Op::List, Op::Get, Op::Head, Op::Put] {
        (1..=100).for_each(|nth| faults.fail_nth(op, nth, Kind::Refused));
    }
}

#[tokio::test(start_paused = true)]
async fn a_side_that_was_not_seen_leaves_nothing_known() {
    let mut rig = Rig::new();
    rig.options.retry_budget = Duration::ZERO;
    rig.feed(history().objects()).await;
    rig.pass().await;
    let known = |report: &table_sync_engine::PassReport| {
        let target = &report.targets[0];
        (report.source_head, target.head, target.pending.map(|pending| pending.versions))
    };
    let at = |at: u64| -> Option<Position> { Some(version(at)) };
    gone(&rig.target_faults);
    assert_eq!(known(&rig.full_pass().await), (at(2), None, None));
    rig.target_faults.heal();
    gone(&rig.source_faults);
    assert_eq!(known(&rig.full_pass().await), (None, at(2), None));
    rig.source_faults.heal();
    assert_eq!(known(&rig.full_pass().await), (at(2), at(2), Some(0)));
}

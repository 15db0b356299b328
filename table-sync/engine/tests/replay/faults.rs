//! Stores that fail: refused requests, lost replies, stale listings, cut bodies; and targets that
//! are slow or gone while others are well.

use std::sync::Arc;
use std::time::Duration;

use driftless_testdata::builder::TableBuilder;
use driftless_testdata::fault::{FaultStore, Faults, Kind, Op};
use driftless_testdata::feed::Feeder;
use driftless_testdata::record::RecordingStore;
use object_store::memory::InMemory;
use object_store::{
    ObjectStore,
    throttle::{ThrottleConfig, ThrottledStore},
};
use table_sync_core::TableState;
use table_sync_engine::{Quiet, pass};

use crate::corpus::tables;
use crate::rig::{Rig, TABLE, probed, target_over, version};

/// Every table again, with one operation in ten failing at either side. Passes may fail; what
/// they leave behind may not.
#[tokio::test(start_paused = true)]
async fn no_fault_makes_a_wrong_state_visible() {
    let rounds = if std::env::var_os("DRIFTLESS_SOAK").is_some() { 40 } else { 1 };
    for round in 0..rounds {
        one_round(round * 1_000).await;
    }
}

async fn one_round(first_seed: u64) {
    for (index, (name, objects)) in tables().into_iter().enumerate() {
        let seed = first_seed + index as u64 + 1;
        let rig = Rig::with_faults(Faults::seeded(seed, 0.05), Faults::seeded(seed + 7, 0.1));
        let mut feeder = Feeder::new(&objects, seed);
        while feeder.step_commit(&rig.source_store, TABLE).await.is_some() {
            rig.oracle.learn(feeder.revealed());
            rig.pass().await;
        }
        feeder.finish(&rig.source_store, TABLE).await;
        rig.oracle.learn(feeder.revealed());
        rig.source_faults.heal();
        rig.target_faults.heal();
        let healed = rig.pass().await;
        let calm = calm_end(&objects, seed).await;
        assert_eq!(healed.head, calm.0, "{name}: {healed:?}\nwithout faults: {:?}", calm.1);
        rig.oracle.assert_clean();
    }
}

/// Where the same table ends without faults.
async fn calm_end(
    objects: &driftless_testdata::Objects,
    seed: u64,
) -> (Option<table_sync_core::Position>, table_sync_engine::TargetReport) {
    let rig = Rig::new();
    let mut feeder = Feeder::new(objects, seed);
    while feeder.step_commit(&rig.source_store, TABLE).await.is_some() {
        rig.pass().await;
    }
    feeder.finish(&rig.source_store, TABLE).await;
    let report = rig.pass().await;
    (report.head, report)
}

/// The reply to each write in turn is lost: the next look settles it, and nothing is written
/// twice with other bytes.
#[tokio::test(start_paused = true)]
async fn a_lost_reply_is_resolved_by_reading_back() {
    let table =
        TableBuilder::new(3).commits(4, "day", 400).checkpoint_classic(2).last_checkpoint(2);
    for nth in 1..=30 {
        let rig = Rig::new();
        rig.feed(table.objects()).await;
        rig.target_faults.fail_nth(Op::Put, nth, Kind::LostReply);
        let report = rig.pass().await;
        assert_eq!(report.head, Some(version(3)), "put {nth}: {report:?}");
        rig.oracle.assert_at(3);
    }
}

/// A listing that lags is no reason to jump.
#[tokio::test(start_paused = true)]
async fn a_stale_listing_never_causes_a_jump() {
    let table = TableBuilder::new(4).commits(6, "day", 100).checkpoint_classic(4);
    for lag in 1..6 {
        let rig = Rig::new();
        let start = TableBuilder::new(4).commits(2, "day", 100);
        rig.feed(start.objects()).await;
        rig.pass().await;
        rig.feed(table.objects()).await;
        rig.source_faults.fail_nth(Op::List, 1, Kind::StaleList(lag));
        let report = rig.pass().await;
        assert!(report.jumped.is_empty(), "lag {lag}: {report:?}");
        let report = rig.pass().await;
        assert_eq!(report.head, Some(version(5)));
        rig.oracle.assert_at(5);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_cut_short_is_never_published() {
    let table = TableBuilder::new(6).commits(3, "day", 4_000);
    for kind in [Kind::Truncated, Kind::BrokenBody] {
        for nth in 1..=9 {
            let rig = Rig::new();
            rig.feed(table.objects()).await;
            rig.source_faults.fail_nth(Op::Get, nth, kind);
            rig.pass().await;
            let report = rig.pass().await;
            assert_eq!(report.head, Some(version(2)), "{kind:?} {nth}: {report:?}");
            rig.oracle.assert_at(2);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_source_byte_is_read_once_for_all_targets() {
    let rig = Rig::new();
    let table = TableBuilder::new(8).commits(5, "day", 2_000);
    rig.feed(table.objects()).await;
    let stores: Vec<Arc<dyn ObjectStore>> =
        (0..3).map(|_| Arc::new(probed()) as Arc<dyn ObjectStore>).collect();
    let targets: Vec<_> = stores
        .iter()
        .enumerate()
        .map(|(at, store)| target_over(Arc::clone(store), &format!("memory:///site{at}")))
        .collect();
    let before = rig.source_faults.count(Op::Get);
    let report = pass(&rig.source, &targets, &rig.options, Arc::new(Quiet)).await;
    for target in &report.targets {
        assert_eq!(target.head, Some(version(4)), "{target:?}");
    }
    // Five data files and five commits; the rest are looks at commits for the fingerprint.
    let data = table.objects().keys().filter(|key| !key.starts_with('_')).count() as u64;
    let reads = rig.source_faults.count(Op::Get) - before;
    assert!(reads <= data + 5 + 2, "{reads} reads for {data} files and 5 commits");
}

#[tokio::test(start_paused = true)]
async fn a_failing_target_does_not_hold_back_the_others() {
    let rig = Rig::new();
    let table = TableBuilder::new(9).commits(5, "day", 2_000);
    rig.feed(table.objects()).await;
    let faults = Faults::seeded(1, 1.0);
    let broken: Arc<dyn ObjectStore> =
        Arc::new(FaultStore::new(RecordingStore::new(InMemory::new(), vec![]), faults));
    let targets = [target_over(broken, "memory:///broken"), rig.target.clone()];
    let start = tokio::time::Instant::now();
    let done = Arc::new(std::sync::Mutex::new(None));
    let seen = Arc::clone(&done);
    let watch = Watch(move |_: &str, position| {
        if position == version(4) {
            *seen.lock().unwrap() = Some(start.elapsed());
        }
    });
    let report = pass(&rig.source, &targets, &rig.options, Arc::new(watch)).await;
    assert_eq!(report.targets[0].state, TableState::Failed);
    assert_eq!(report.targets[1].head, Some(version(4)));
    let done = done.lock().unwrap().expect("the good target was published");
    assert!(done * 10 < rig.options.retry_budget, "the good target waited {done:?}");
    rig.oracle.assert_at(4);
}

#[tokio::test(start_paused = true)]
async fn a_slow_target_goes_on_alone() {
    let rig = Rig::new();
    let table = TableBuilder::new(10).commits(30, "day", 2_000);
    rig.feed(table.objects()).await;
    let config =
        ThrottleConfig { wait_put_per_call: Duration::from_secs(30), ..Default::default() };
    let slow: Arc<dyn ObjectStore> = Arc::new(ThrottledStore::new(probed(), config));
    let targets = [rig.target.clone(), target_over(slow, "memory:///slow")];
    let start = tokio::time::Instant::now();
    let quick_done = Arc::new(std::sync::Mutex::new(None));
    let seen = Arc::clone(&quick_done);
    let watch = Watch(move |target: &str, position| {
        if target.contains("memory:///target") && position == version(29) {
            *seen.lock().unwrap() = Some(start.elapsed());
        }
    });
    let report = pass(&rig.source, &targets, &rig.options, Arc::new(watch)).await;
    for target in &report.targets {
        assert_eq!(target.head, Some(version(29)), "{target:?}");
    }
    let quick = quick_done.lock().unwrap().expect("the quick target was published");
    let all = start.elapsed();
    assert!(quick * 4 < all, "the quick target took {quick:?} of {all:?}");
}

/// A store in memory that takes this long for each write.
fn throttled(wait_ms: u64) -> Arc<dyn ObjectStore> {
    let wait_put_per_call = Duration::from_millis(wait_ms);
    let config = ThrottleConfig { wait_put_per_call, ..Default::default() };
    Arc::new(ThrottledStore::new(probed(), config))
}

/// Small files never fill a buffer between the targets: a slow one is told by the time that the
/// others wait for it, leaves in the middle of a position, and works on its own at once.
#[tokio::test(start_paused = true)]
async fn a_slow_target_leaves_in_the_middle_of_a_position() {
    let rig = Rig::new();
    let table = TableBuilder::new(14).commit(|commit| {
        (0..640).fold(commit, |commit, at| commit.add(&format!("small-{at}"), 50))
    });
    rig.feed(table.objects()).await;
    let targets = [
        target_over(throttled(100), "memory:///quick"),
        target_over(throttled(1_500), "memory:///slow"),
    ];
    let start = tokio::time::Instant::now();
    let quick_done = Arc::new(std::sync::Mutex::new(None));
    let seen = Arc::clone(&quick_done);
    let watch = Watch(move |target: &str, _| {
        if target.contains("quick") {
            *seen.lock().unwrap() = Some(start.elapsed());
        }
    });
    let report = pass(&rig.source, &targets, &rig.options, Arc::new(watch)).await;
    for target in &report.targets {
        assert_eq!(target.head, Some(version(0)), "{target:?}");
    }
    // 640 files by 16 at a time: 4 s at 100 ms each, 60 s at 1.5 s each.
    let quick = quick_done.lock().unwrap().expect("the quick target was published");
    assert!(quick < Duration::from_secs(12), "the quick target took {quick:?}");
    let slow = start.elapsed();
    assert!(slow < Duration::from_secs(70), "the slow target waited before it began: {slow:?}");
}

/// Two equal targets read each byte once to the end, however many files there are.
#[tokio::test(start_paused = true)]
async fn equal_targets_stay_together() {
    let rig = Rig::new();
    let table = TableBuilder::new(15).commit(|commit| {
        (0..400).fold(commit, |commit, at| commit.add(&format!("small-{at}"), 50))
    });
    rig.feed(table.objects()).await;
    let targets = [
        target_over(throttled(300), "memory:///left"),
        target_over(throttled(330), "memory:///right"),
    ];
    let before = rig.source_faults.count(Op::Get);
    let report = pass(&rig.source, &targets, &rig.options, Arc::new(Quiet)).await;
    assert!(report.targets.iter().all(|target| target.head == Some(version(0))), "{report:?}");
    let reads = rig.source_faults.count(Op::Get) - before;
    assert!(reads <= 400 + 5, "{reads} reads for 400 files");
}

/// Tells a test what was published where.
struct Watch<F>(F);

impl<F: Fn(&str, table_sync_core::Position) + Send + Sync> table_sync_engine::Progress
    for Watch<F>
{
    fn event(&self, event: table_sync_engine::Event<'_>) {
        if let table_sync_engine::Event::Published { target, position, .. } = event {
            (self.0)(target, position);
        }
    }
}

/// However large the table is: a listing page and the newest commit at the source; the hint, a
/// listing page and the newest commit at the target.
#[tokio::test(start_paused = true)]
async fn an_idle_pass_costs_two_requests_at_the_source_and_three_at_the_target() {
    let tables = [
        TableBuilder::new(11).commits(3, "day", 10),
        TableBuilder::new(12).commits(150, "day", 10).checkpoint_classic(140).last_checkpoint(140),
        TableBuilder::new(13).commits(20, "day", 10).checkpoint_classic(10).clean_log_below(10),
    ];
    for table in tables {
        let rig = Rig::new();
        rig.feed(table.objects()).await;
        rig.pass().await;
        let requests = |faults: &Faults| -> u64 {
            let all =
                [Op::Get, Op::Head, Op::List, Op::Put, Op::StartMultipart, Op::Copy, Op::Delete];
            all.into_iter().map(|op| faults.count(op)).sum()
        };
        let before = (requests(&rig.source_faults), requests(&rig.target_faults));
        let report = rig.pass().await;
        assert_eq!(report.state, TableState::Ok);
        let after = (requests(&rig.source_faults), requests(&rig.target_faults));
        let cost = (after.0 - before.0, after.1 - before.1);
        assert!(cost.0 <= 2 && cost.1 <= 3, "an idle pass cost {cost:?}");
    }
}

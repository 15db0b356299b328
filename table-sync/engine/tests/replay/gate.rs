//! The gate: files are let in one by one, and a place is held while its file is copied.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use driftless_testdata::builder::TableBuilder;
use driftless_testdata::fault::{Kind, Op};
use table_sync_engine::{
    Admission, Event, Level, Options, Progress, Quiet, TransferGate, descriptors, estimate, follow,
    pass, status, verify,
};

use crate::rig::{Rig, probed, target_over};

/// Counts who comes in, who is inside, and what passes.
#[derive(Default)]
struct Counted {
    admitted: AtomicU64,
    stated_bytes: AtomicU64,
    inside: AtomicU64,
    taken: AtomicU64,
    copied_outside: AtomicU64,
}

/// A place inside.
struct Inside(Arc<Counted>);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Gate(Arc<Counted>);

#[async_trait]
impl TransferGate for Gate {
    async fn admit(&self, bytes: Option<u64>) -> Admission {
        self.0.admitted.fetch_add(1, Ordering::SeqCst);
        self.0.stated_bytes.fetch_add(bytes.unwrap_or(0), Ordering::SeqCst);
        self.0.inside.fetch_add(1, Ordering::SeqCst);
        Box::new(Inside(Arc::clone(&self.0)))
    }

    async fn take(&self, bytes: usize) {
        self.0.taken.fetch_add(bytes as u64, Ordering::SeqCst);
    }
}

impl Progress for Gate {
    fn event(&self, event: Event<'_>) {
        let outside = self.0.inside.load(Ordering::SeqCst) == 0;
        if outside && matches!(event, Event::FileDone { skipped: false, .. }) {
            self.0.copied_outside.fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn history() -> TableBuilder {
    TableBuilder::new(35)
        .commit(|c| c.add("a", 10).add("b", 20))
        .commit(|c| c.remove("a").add("c", 2 << 20))
        .commit(|c| c.add("d", 40))
}

async fn check(rig: &Rig, targets: &[table_sync_engine::Target], copies: u64) {
    let counted = Arc::new(Counted::default());
    let gate: Arc<dyn TransferGate> = Arc::new(Gate(Arc::clone(&counted)));
    let options = Options { transfer_gate: Some(gate), ..rig.options.clone() };
    let progress = Arc::new(Gate(Arc::clone(&counted)));
    let report = pass(&rig.source, targets, &options, progress).await;
    for target in &report.targets {
        assert!(target.failure.is_none() && target.blocked.is_none(), "{target:?}");
        assert_eq!(target.copied_files, copies);
        assert_eq!(counted.taken.load(Ordering::SeqCst), target.copied_bytes, "read once");
        assert_eq!(counted.stated_bytes.load(Ordering::SeqCst), target.copied_bytes);
    }
    assert_eq!(counted.admitted.load(Ordering::SeqCst), copies, "asked once for each file");
    assert_eq!(counted.inside.load(Ordering::SeqCst), 0, "all places were given back");
    assert_eq!(counted.copied_outside.load(Ordering::SeqCst), 0, "copied without a place");
}

#[tokio::test(start_paused = true)]
async fn each_file_is_let_in_once_however_many_targets_take_it() {
    let rig = Rig::new();
    rig.feed(history().objects()).await;
    let others = ["memory:///second", "memory:///third"];
    let mut targets = vec![rig.target.clone()];
    targets.extend(others.map(|url| target_over(Arc::new(probed()), url)));
    check(&rig, &targets, 4).await;
    // What is there needs no place.
    check(&rig, &targets, 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_is_tried_again_keeps_its_place() {
    for nth in 1..=12 {
        let rig = Rig::new();
        rig.feed(history().objects()).await;
        rig.target_faults.fail_nth(Op::Put, nth, Kind::Refused);
        let counted = Arc::new(Counted::default());
        let gate: Arc<dyn TransferGate> = Arc::new(Gate(Arc::clone(&counted)));
        let options = Options { transfer_gate: Some(gate), ..rig.options.clone() };
        let targets = std::slice::from_ref(&rig.target);
        let report = pass(&rig.source, targets, &options, Arc::new(Quiet)).await;
        assert_eq!(report.targets[0].head, report.source_head, "put {nth}");
        assert_eq!(counted.admitted.load(Ordering::SeqCst), 4, "put {nth}");
        assert_eq!(counted.inside.load(Ordering::SeqCst), 0, "put {nth}");
    }
}

/// Whoever runs many tables spawns what works on them.
#[tokio::test]
async fn work_may_move_between_threads() {
    fn is_send(_: &impl Send) {}
    let rig = Rig::new();
    let (source, options) = (&rig.source, &rig.options);
    let targets = std::slice::from_ref(&rig.target);
    let quiet = || Arc::new(Quiet);
    is_send(&pass(source, targets, options, quiet()));
    is_send(&follow(source, targets, options, quiet(), |_| true));
    is_send(&estimate(source, targets, options, quiet()));
    is_send(&status(source, targets, options, quiet()));
    is_send(&verify(source, &rig.target, Level::Bytes, None, &Quiet));
    is_send(&descriptors(&rig.target.state, |_, _| {}));
}

/// Breaks down.
struct Broken;

#[async_trait]
impl TransferGate for Broken {
    async fn admit(&self, _: Option<u64>) -> Admission {
        panic!("the gate broke down");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_goes_up_to_the_caller() {
    let rig = Rig::new();
    rig.feed(history().objects()).await;
    let options = Options { transfer_gate: Some(Arc::new(Broken)), ..rig.options.clone() };
    let (source, target) = (rig.source.clone(), rig.target.clone());
    let task =
        tokio::spawn(async move { pass(&source, &[target], &options, Arc::new(Quiet)).await });
    assert!(task.await.unwrap_err().is_panic());
}

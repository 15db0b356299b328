//! How many requests a look costs, and what it makes of a store that fails.

use std::sync::Arc;

use driftless_testdata::Objects;
use driftless_testdata::builder::{DeletionVector, TableBuilder, put_objects};
use driftless_testdata::corpus::project_tables;
use driftless_testdata::fault::{FaultStore, Faults, Kind, Op};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use table_sync_core::{Hint, ReplicaLog, SourceError, SourceLog, SourceView};
use table_sync_delta::{AbsolutePaths, DeltaLog, Options};

use crate::site::{ROOT, append, jump, log, needs, observe, open, version};

async fn faulty(objects: &Objects, faults: &Faults) -> DeltaLog {
    let store = InMemory::new();
    put_objects(&store, ROOT, objects).await.unwrap();
    open(Arc::new(FaultStore::new(store, faults.clone())), AbsolutePaths::Refuse)
}

fn counts(faults: &Faults) -> [u64; 3] {
    [Op::List, Op::Get, Op::Head].map(|op| faults.count(op))
}

#[tokio::test]
async fn idle_pass_is_one_listing_a_side() {
    let table = TableBuilder::new(1).commits(130, "f", 1).checkpoint_classic(120);
    let table = table.last_checkpoint(120).crc(129);
    let (source_faults, target_faults) = (Faults::none(), Faults::none());
    let source = faulty(table.objects(), &source_faults).await;
    let target = faulty(table.objects(), &target_faults).await;
    let hint = Hint { head: version(129), earliest_readable: version(0) };
    for pass in 0..3 {
        let (before, at_target) = (counts(&source_faults), counts(&target_faults));
        let view = SourceLog::observe(&source, Some(version(129))).await.unwrap();
        let mut replica = ReplicaLog::observe(&target, Some(hint)).await.unwrap();
        replica.pointer = target.pointer(&replica).await.unwrap();
        let late = source.late(&view, &replica, version(129)).await.unwrap();
        assert_eq!(late.publications.len(), 0);
        // The hint is read once a process at each side; the newest commit is read each time.
        let once = u64::from(pass == 0);
        let cost = |now: [u64; 3], then: [u64; 3]| [0, 1, 2].map(|op| now[op] - then[op]);
        assert_eq!(cost(counts(&source_faults), before), [1, once, 0], "pass {pass}");
        assert_eq!(cost(counts(&target_faults), at_target), [1, 1 + once, 0], "pass {pass}");
    }
}

#[tokio::test]
async fn hole_of_a_stale_listing_is_asked_for_by_name() {
    let table = TableBuilder::new(2).commits(5, "f", 1);
    let store = InMemory::new();
    let late = "_delta_log/00000000000000000002.json";
    let mut first = table.objects().clone();
    let bytes = first.remove(late).unwrap();
    put_objects(&store, ROOT, &first).await.unwrap();
    put_objects(&store, ROOT, &[(late.to_owned(), bytes)].into()).await.unwrap();
    let faults = Faults::none();
    let log = open(Arc::new(FaultStore::new(store, faults.clone())), AbsolutePaths::Refuse);
    faults.fail_nth(Op::List, 1, Kind::StaleList(1));
    let view = observe(&log).await;
    assert_eq!(faults.log().len(), 1);
    assert_eq!(view.commits.len(), 5);
    // A hole that is real stays one, at the cost of one request.
    let hole = table.delete_object(late);
    let view = observe(&crate::site::log(hole.objects()).await).await;
    assert_eq!(view.commits.len(), 4);
}

#[tokio::test]
async fn shrunk_log_is_seen_as_it_is() {
    let table = TableBuilder::new(3).commits(5, "f", 1);
    let log = log(table.objects()).await;
    let view = SourceLog::observe(&log, Some(version(500))).await.unwrap();
    assert_eq!((view.head(), view.listed_from), (Some(version(4)), None));
}

#[tokio::test]
async fn failing_store_is_never_taken_for_a_damaged_table() {
    let table = TableBuilder::new(4)
        .protocol(3, 7, &["deletionVectors", "v2Checkpoint"], &["deletionVectors", "v2Checkpoint"])
        .commit(|c| c.add("a", 1).add("b", 2))
        .commit(|c| c.delete_rows("a", DeletionVector::relative(0, 1)))
        .checkpoint_v2_parquet(1, 2)
        .last_checkpoint(1);
    let expect = {
        let log = log(table.objects()).await;
        let description = log.describe(&observe(&log).await, &jump(1)).await.unwrap();
        needs(&description).await.unwrap()
    };
    let (mut whole, mut failed) = (0, 0);
    for seed in 0..200 {
        let faults = Faults::seeded(seed, 0.1);
        let log = faulty(table.objects(), &faults).await;
        let attempt = async {
            let view = SourceLog::observe(&log, None).await?;
            if view.bases.len() != 1 || view.commits.len() != 2 {
                return Ok(None);
            }
            log.describe(&view, &append(1)).await?;
            needs(&log.describe(&view, &jump(1)).await?).await.map(Some)
        };
        match attempt.await {
            Ok(Some(files)) => {
                assert_eq!(files, expect, "seed {seed}");
                whole += 1;
            }
            Ok(None) => {}
            Err(SourceError::Io { .. }) => failed += 1,
            // An object that is answered with "not found" once is looked for again.
            Err(SourceError::Missing { .. }) => {
                assert!(faults.log().iter().any(|fault| fault.contains("NotFound")), "seed {seed}");
            }
            Err(error) => panic!("seed {seed}: {error}; {:?}", faults.log()),
        }
    }
    assert!(whole > 20 && failed > 20, "{whole} {failed}");
}

#[tokio::test]
async fn bit_rot_in_a_checkpoint_is_no_panic_and_no_foreign_key() {
    let key = "_delta_log/00000000000000000001.checkpoint.parquet";
    let table = TableBuilder::new(5).commits(2, "f", 1).checkpoint_classic(1);
    let bytes = table.objects()[key].len();
    let mut outcomes = [0; 3];
    for seed in 0..400 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut rotten = table.clone();
        for _ in 0..rng.usize(1..4) {
            rotten = rotten.flip_bit(key, rng.usize(0..bytes));
        }
        let log = log(rotten.objects()).await;
        let view = observe(&log).await;
        let described = match log.describe(&view, &jump(1)).await {
            Ok(description) => needs(&description).await.map(|_| ()),
            Err(error) => Err(error),
        };
        let outcome = match described {
            Ok(()) => 0,
            Err(SourceError::Missing { .. }) => 1,
            Err(SourceError::Blocked(_)) => 2,
            Err(error) => panic!("seed {seed}: {error}"),
        };
        outcomes[outcome] += 1;
    }
    assert!(outcomes[0] > 0 && outcomes[1] > 0, "{outcomes:?}");
}

#[tokio::test]
async fn local_folder_is_a_store_too() {
    for table in project_tables() {
        let parent = table.root.parent().unwrap();
        let store: Arc<dyn ObjectStore> =
            Arc::new(LocalFileSystem::new_with_prefix(parent).unwrap());
        let local = DeltaLog::new(store, "table", Options::default()).unwrap();
        let memory = log(&table.objects()).await;
        let (left, right) = (observe(&local).await, observe(&memory).await);
        let positions = |view: &SourceView| {
            let commits = view.commits.iter().map(|c| (c.position, c.follows));
            let bases = view.bases.iter().map(|base| base.position);
            (commits.collect::<Vec<_>>(), bases.collect::<Vec<_>>())
        };
        assert_eq!(positions(&left), positions(&right), "{}", table.name);
        let head = left.head().unwrap();
        let at_local = local.live_digest(&left, head).await.unwrap();
        assert_eq!(at_local, memory.live_digest(&right, head).await.unwrap(), "{}", table.name);
        let replica = ReplicaLog::observe(&local, None).await.unwrap();
        assert_eq!(replica.head, Some(head), "{}", table.name);
    }
    let nowhere = tempfile::tempdir().unwrap();
    let store = Arc::new(LocalFileSystem::new_with_prefix(nowhere.path()).unwrap());
    let log = DeltaLog::new(store, "none", Options::default()).unwrap();
    assert_eq!(SourceLog::observe(&log, None).await.unwrap().head(), None);
}

//! Shallow clones: tables that name files of another table, below a declared root.
//!
//! Both stores stand for one bucket at two endpoints, so the oracle's readers follow an absolute
//! reference to the same key of the store that they read.

use std::sync::Arc;
use std::time::Duration;

use driftless_testdata::Objects;
use driftless_testdata::builder::{DataFile, DeletionVector, TableBuilder};
use driftless_testdata::corpus::delta_tables;
use driftless_testdata::fault::{Faults, Kind, Op};
use driftless_testdata::feed::Feeder;
use driftless_testdata::models::log_versions;
use driftless_testdata::record::Oracle;
use table_sync_core::{BlockCode, TableState};
use table_sync_delta::{AbsolutePaths, AliasRoot, DeltaLog};
use table_sync_engine::{Level, Quiet, Root, TargetReport, estimate, status, verify};

use crate::rig::{Rig, TABLE, put, version};

/// The table that is cloned, as the clone's log names it, and where the stores hold it.
const BASE: &str = "s3://lake/base";
const BASE_FOLDER: &str = "base";

/// Where the clone is, at both endpoints.
const CLONE: &str = "s3://lake/wh/orders";

/// A rig for a clone whose log may refer to one other table.
fn rig(base: &str, clone: &str, replica: &str, faults: (Faults, Faults), deletes: bool) -> Rig {
    let oracle = Oracle::new(TABLE).aliasing(base, BASE_FOLDER);
    let oracle = if deletes { oracle.allowing_deletes() } else { oracle };
    let mut rig = Rig::build(faults.0, faults.1, oracle);
    let log = |store: &table_sync_store::Store, replica: Option<&str>| {
        let options = table_sync_delta::Options {
            absolute_paths: AbsolutePaths::Alias(vec![AliasRoot::parse(base).unwrap()]),
            table_url: Some(clone.to_owned()),
            replica_url: replica.map(str::to_owned),
            ..table_sync_delta::Options::default()
        };
        Arc::new(DeltaLog::new(store.object_store(), TABLE, options).unwrap())
    };
    let root = |store: &table_sync_store::Store| {
        vec![Root { store: store.clone(), folder: BASE_FOLDER.to_owned() }]
    };
    rig.source.log = log(&rig.source.store, None);
    rig.source.roots = root(&rig.source.store);
    let target = log(&rig.target.store, Some(replica));
    (rig.target.log, rig.target.reader) = (target.clone(), target);
    rig.target.roots = root(&rig.target.store);
    rig
}

fn clone_rig() -> Rig {
    rig(BASE, CLONE, CLONE, (Faults::none(), Faults::none()), false)
}

/// Two files, one of them with a deletion vector, and one file that no clone refers to.
fn base() -> TableBuilder {
    TableBuilder::new(61)
        .protocol(3, 7, &["deletionVectors"], &["deletionVectors"])
        .commit(|c| c.add("part 0", 300).add("p=1/part-1", 400).add("unused", 50))
        .commit(|c| c.delete_rows("part 0", DeletionVector::relative(0, 2)))
}

/// URL of the base's only deletion vector file.
fn vector_url(base: &TableBuilder) -> String {
    let key = base.objects().keys().find(|key| key.ends_with(".bin")).unwrap();
    format!("{BASE}/{key}")
}

/// A clone of [`base`] that goes on by itself: it adds a file of a name that the base has too,
/// and drops one of the base's.
fn clone_of(base: &TableBuilder) -> TableBuilder {
    let vector = DeletionVector::absolute(&vector_url(base), 2);
    let with_vector = DataFile::at_path("s3://lake/base/part%200", 300).vector(vector);
    TableBuilder::new(62)
        .protocol(3, 7, &["deletionVectors"], &["deletionVectors"])
        .commit(|c| {
            c.operation("CLONE")
                .add_file(with_vector)
                .add_absolute("s3://lake/base/p=1/part-1", 400)
        })
        .commit(|c| c.add("p=1/part-1", 70))
        .commit(|c| c.remove_path("s3://lake/base/p=1/part-1").add("own", 20))
        .checkpoint_classic(2)
        .last_checkpoint(2)
}

/// What the source holds, as the oracle knows it.
fn seen(base: &Objects, url: &str, clone: &Objects) -> Objects {
    let base = base.iter().filter(|(key, _)| !key.starts_with("_delta_log"));
    let base = base.map(|(key, bytes)| (format!("{url}/{key}"), bytes.clone()));
    clone.clone().into_iter().chain(base).collect()
}

async fn feed(rig: &Rig, base: &Objects, clone: &Objects) {
    put(&rig.source_store, BASE_FOLDER, base).await;
    put(&rig.source_store, TABLE, clone).await;
    rig.oracle.learn(&seen(base, BASE, clone));
}

/// What the target holds below the base's folder.
fn copied(rig: &Rig) -> Objects {
    rig.recorded.inner().objects(BASE_FOLDER)
}

async fn digests(rig: &Rig, at: u64) -> (String, String) {
    let (source, target) = (&rig.source.log, &rig.target.reader);
    let there = source.observe(None).await.unwrap();
    let here = target.observe(None).await.unwrap();
    let there = source.live_digest(&there, version(at)).await.unwrap();
    let here = target.live_digest(&here, version(at)).await.unwrap();
    (there.to_string(), here.to_string())
}

#[track_caller]
fn assert_blocked(report: &TargetReport, code: BlockCode) -> String {
    let blocked = report.blocked.as_ref().unwrap_or_else(|| panic!("not blocked: {report:?}"));
    assert_eq!(blocked.code, code, "{blocked}");
    blocked.message.clone()
}

#[tokio::test(start_paused = true)]
async fn a_clone_arrives_with_the_files_of_its_base() {
    let rig = clone_rig();
    let (base, clone) = (base(), clone_of(&base()));
    feed(&rig, base.objects(), clone.objects()).await;
    let report = rig.pass().await;
    assert_eq!(report.head, Some(version(2)), "{report:?}");
    rig.oracle.assert_at(2);
    // Exactly what the clone refers to, under the base's own keys; of two files of one name each
    // at its place. The jump to the checkpoint needs no file that version 2 removed.
    let there = copied(&rig);
    assert_eq!(there.len(), 2, "{:?}", there.keys());
    assert_eq!(there.get("part 0"), base.objects().get("part 0"));
    assert_eq!(rig.replica().get("p=1/part-1"), clone.objects().get("p=1/part-1"));
    let (source, target) = digests(&rig, 2).await;
    assert_eq!(source, target);
    for level in [Level::Log, Level::Files, Level::Bytes] {
        let report = verify(&rig.source, &rig.target, level, None, &Quiet).await.unwrap();
        assert!(report.is_equal(), "{level:?}: {report:?}");
    }
    let before = rig.recorded.inner().mutations().len();
    let again = rig.pass().await;
    assert_eq!((again.state, again.copied_files), (TableState::Ok, 0));
    assert_eq!(rig.recorded.inner().mutations().len(), before, "an idle pass wrote");
}

#[tokio::test(start_paused = true)]
async fn every_version_of_a_clone_is_published_in_order() {
    let mut rig = clone_rig();
    rig.options.start = table_sync_core::Start::Earliest;
    let (base, clone) = (base(), clone_of(&base()));
    feed(&rig, base.objects(), clone.objects()).await;
    let report = rig.pass().await;
    assert_eq!(report.published, [version(0), version(1), version(2)], "{report:?}");
    rig.oracle.assert_at(2);
    assert_eq!(copied(&rig).len(), 3);
    assert_eq!(copied(&rig).get("p=1/part-1"), base.objects().get("p=1/part-1"));
    assert_ne!(copied(&rig).get("p=1/part-1"), rig.replica().get("p=1/part-1"));
}

#[tokio::test(start_paused = true)]
async fn a_version_whose_foreign_file_is_gone_is_not_published() {
    let rig = clone_rig();
    let (base, clone) = (base(), clone_of(&base()));
    let mut damaged = base.objects().clone();
    damaged.remove("part 0");
    feed(&rig, &damaged, clone.objects()).await;
    let report = rig.pass().await;
    let message = assert_blocked(&report, BlockCode::SourceDamaged);
    assert!(message.contains("/base/part 0"), "{message}");
    assert_eq!(report.head, None);
    rig.oracle.assert_clean();
    assert!(rig.replica().keys().all(|key| !key.starts_with("_delta_log")));
    // It is whole again: nothing else was wrong.
    feed(&rig, base.objects(), clone.objects()).await;
    assert_eq!(rig.pass().await.head, Some(version(2)));
    rig.oracle.assert_at(2);
}

#[tokio::test(start_paused = true)]
async fn a_foreign_file_of_another_size_is_not_the_file() {
    let rig = clone_rig();
    let (base, clone) = (base(), clone_of(&base()));
    let mut damaged = base.objects().clone();
    damaged.insert("part 0".to_owned(), vec![0; 299].into());
    feed(&rig, &damaged, clone.objects()).await;
    assert_blocked(&rig.pass().await, BlockCode::SourceDamaged);
    assert!(!copied(&rig).contains_key("part 0"));
    rig.oracle.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn what_no_declared_root_holds_is_refused_before_any_read() {
    for path in [
        "s3://lake/base2/part-0",
        "s3://lake/base/../secret",
        "s3://lake/base/%2e%2e/secret",
        "s3://other/base/part-0",
        "s3://user:pw@lake/base/part-0",
        "s3://lake/base/_delta_log/00000000000000000009.json",
        "s3://lake/base",
    ] {
        let rig = clone_rig();
        let clone = TableBuilder::new(63)
            .commit(|c| c.add("own", 10))
            .commit(|c| c.add("good", 10).add_absolute(path, 10));
        feed(&rig, base().objects(), clone.objects()).await;
        let report = rig.pass().await;
        let message = assert_blocked(&report, BlockCode::ForeignPath);
        assert!(!message.contains("user:pw"), "{message}");
        assert_eq!(report.head, Some(version(0)), "{path}");
        assert!(!rig.replica().contains_key("good"), "{path}: a file of the version moved");
        assert!(copied(&rig).is_empty(), "{path}");
        rig.oracle.assert_at(0);
    }
}

#[tokio::test(start_paused = true)]
async fn equal_bytes_at_the_base_are_present_and_others_are_never_overwritten() {
    let (base, clone) = (base(), clone_of(&base()));
    let rig = clone_rig();
    feed(&rig, base.objects(), clone.objects()).await;
    let target: Arc<dyn object_store::ObjectStore> = rig.recorded.clone();
    let there: Objects =
        base.objects().clone().into_iter().filter(|(key, _)| key == "part 0").collect();
    put(&target, BASE_FOLDER, &there).await;
    let before = rig.recorded.inner().mutations().len();
    let report = rig.pass().await;
    assert_eq!((report.head, report.skipped_files), (Some(version(2)), 1), "{report:?}");
    let mutations = rig.recorded.inner().mutations();
    assert!(mutations[before..].iter().all(|m| m.key != "base/part 0"), "written again");
    rig.oracle.assert_at(2);

    for other in [vec![1; 300], vec![1; 12]] {
        let rig = clone_rig();
        feed(&rig, base.objects(), clone.objects()).await;
        let target: Arc<dyn object_store::ObjectStore> = rig.recorded.clone();
        let strange = Objects::from([("part 0".to_owned(), other.clone().into())]);
        put(&target, BASE_FOLDER, &strange).await;
        let report = rig.pass().await;
        let message = assert_blocked(&report, BlockCode::Diverged);
        assert!(message.contains("base/part 0"), "{message}");
        assert_eq!(report.state, TableState::Diverged);
        assert_eq!(report.head, None);
        assert_eq!(copied(&rig)["part 0"], other, "overwritten");
    }
}

#[tokio::test(start_paused = true)]
async fn retirement_leaves_the_files_of_other_tables() {
    let mut rig = rig(BASE, CLONE, CLONE, (Faults::none(), Faults::none()), true);
    rig.options.start = table_sync_core::Start::Earliest;
    rig.options.retire = Some(Duration::ZERO);
    let (base, clone) = (base(), clone_of(&base()));
    let clone = clone.commit(|c| c.remove("p=1/part-1").remove("own"));
    feed(&rig, base.objects(), clone.objects()).await;
    let report = rig.pass().await;
    assert_eq!(report.head, Some(version(3)));
    assert_eq!(report.retired_files, 2, "the clone's own p=1/part-1 and own");
    assert!(!rig.replica().contains_key("p=1/part-1"));
    assert_eq!(copied(&rig).len(), 3, "the base's files stay, removed by the clone or not");
    rig.oracle.assert_at(3);
}

#[tokio::test(start_paused = true)]
async fn the_base_may_be_replicated_to_the_same_place_before_or_after() {
    for base_first in [true, false] {
        let clones = clone_rig();
        let (base, clone) = (base(), clone_of(&base()));
        feed(&clones, base.objects(), clone.objects()).await;
        let (mut source, mut target) = (clones.source.clone(), clones.target.clone());
        let log = |store: &table_sync_store::Store| {
            let options = table_sync_delta::Options::default();
            Arc::new(DeltaLog::new(store.object_store(), BASE_FOLDER, options).unwrap())
        };
        (source.log, source.table) = (log(&source.store), BASE_FOLDER.to_owned());
        let here = log(&target.store);
        (target.log, target.reader) = (here.clone(), here);
        target.table = BASE_FOLDER.to_owned();
        let targets = [target.clone()];
        let pass = || async {
            let quiet = Arc::new(Quiet);
            let report = table_sync_engine::pass(&source, &targets, &clones.options, quiet).await;
            let report = report.targets.into_iter().next().unwrap();
            assert_eq!(report.head, Some(version(1)), "{report:?}");
        };
        if base_first {
            pass().await;
        }
        let report = clones.pass().await;
        assert_eq!(report.head, Some(version(2)), "base first: {base_first}: {report:?}");
        if !base_first {
            pass().await;
        }
        let verified = verify(&source, &target, Level::Bytes, None, &Quiet).await.unwrap();
        assert!(verified.is_equal(), "{verified:?}");
        let verified = verify(&clones.source, &clones.target, Level::Bytes, None, &Quiet).await;
        assert!(verified.unwrap().is_equal());
    }
}

/// Readers of a replica elsewhere would follow the log out of the site.
#[tokio::test(start_paused = true)]
async fn a_target_that_is_not_mapped_gets_nothing() {
    for replica in ["s3://mirror/wh/orders", "s3://lake/orders", "file:///lake/wh/orders"] {
        let rig = rig(BASE, CLONE, replica, (Faults::none(), Faults::none()), false);
        let (base, clone) = (base(), clone_of(&base()));
        feed(&rig, base.objects(), clone.objects()).await;
        let before = rig.recorded.inner().mutations().len();
        let message = assert_blocked(&rig.pass().await, BlockCode::ForeignPath);
        assert!(message.contains(replica) && message.contains(CLONE), "{message}");
        assert_eq!(rig.recorded.inner().mutations().len(), before, "{replica}: written");
        let targets = std::slice::from_ref(&rig.target);
        let quiet = Arc::new(Quiet);
        let plan = estimate(&rig.source, targets, &rig.options, quiet.clone()).await;
        assert_eq!(plan[0].plan.refusal.as_ref().unwrap().code, BlockCode::ForeignPath);
        let state = status(&rig.source, targets, &rig.options, quiet).await;
        assert_eq!(state[0].blocked.as_ref().unwrap().code, BlockCode::ForeignPath);
    }
    // The protocol may be another one.
    let rig = rig(BASE, CLONE, "gs://lake/wh/orders", (Faults::none(), Faults::none()), false);
    feed(&rig, base().objects(), clone_of(&base()).objects()).await;
    assert_eq!(rig.pass().await.head, Some(version(2)));
}

#[tokio::test(start_paused = true)]
async fn a_plan_counts_foreign_files_that_are_there_as_present() {
    let rig = clone_rig();
    let (base, clone) = (base(), clone_of(&base()));
    feed(&rig, base.objects(), clone.objects()).await;
    let plan = async || {
        let targets = std::slice::from_ref(&rig.target);
        let plans = estimate(&rig.source, targets, &rig.options, Arc::new(Quiet)).await;
        let plan = plans.into_iter().next().unwrap();
        assert!(plan.failure.is_none() && plan.plan.refusal.is_none(), "{plan:?}");
        (plan.copy_files, plan.present_files, plan.unsized_files)
    };
    let (copies, present, unsized_files) = plan().await;
    assert_eq!((present, unsized_files), (0, 1));
    let target: Arc<dyn object_store::ObjectStore> = rig.recorded.clone();
    put(&target, BASE_FOLDER, base.objects()).await;
    assert_eq!(plan().await, (copies - 2, 2, 0));
}

/// The reply to each write in turn is lost, and each read cut short: nothing wrong shows, and the
/// next pass ends well.
#[tokio::test(start_paused = true)]
async fn faults_at_every_step_leave_no_wrong_state() {
    let (base, clone) = (base(), clone_of(&base()));
    for (op, kind) in [
        (Op::Put, Kind::LostReply),
        (Op::Put, Kind::Refused),
        (Op::Get, Kind::Truncated),
        (Op::Get, Kind::BrokenBody),
    ] {
        for nth in 1..=16 {
            let mut rig = clone_rig();
            rig.options.start = table_sync_core::Start::Earliest;
            feed(&rig, base.objects(), clone.objects()).await;
            let faults = if op == Op::Put { &rig.target_faults } else { &rig.source_faults };
            faults.fail_nth(op, nth, kind);
            rig.pass().await;
            rig.oracle.assert_clean();
            let report = rig.pass().await;
            assert_eq!(report.head, Some(version(2)), "{kind:?} {nth}: {report:?}");
            rig.oracle.assert_at(2);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn shallow_clones_of_the_corpus_are_published() {
    let tables = delta_tables();
    let named = |name: &str| tables.iter().find(|table| table.name.ends_with(name));
    let source = named("clone_merge/clone_merge_deletion_vector_source");
    let clone = named("clone_merge/clone_merge_deletion_vector_cloned");
    let (Some(source), Some(clone)) = (source, clone) else { return };
    let at = "s3://test-bucket/tiny/clone_merge_deletion_vector";
    let (base_url, clone_url) = (format!("{at}_source"), format!("{at}_cloned"));
    let (base, objects) = (source.objects(), clone.objects());
    for seed in 0..8 {
        let faults = if seed == 0 {
            (Faults::none(), Faults::none())
        } else {
            println!("seed {seed}");
            (Faults::seeded(seed, 0.1), Faults::seeded(seed + 7, 0.2))
        };
        let rig = rig(&base_url, &clone_url, &clone_url, faults, false);
        put(&rig.source_store, BASE_FOLDER, &base).await;
        let mut feeder = Feeder::new(&objects, seed);
        while feeder.step_commit(&rig.source_store, TABLE).await.is_some() {
            rig.oracle.learn(&seen(&base, &base_url, feeder.revealed()));
            rig.pass().await;
        }
        feeder.finish(&rig.source_store, TABLE).await;
        rig.oracle.learn(&seen(&base, &base_url, feeder.revealed()));
        rig.source_faults.heal();
        rig.target_faults.heal();
        let report = rig.pass().await;
        let newest = log_versions(&objects).last().copied().unwrap();
        assert_eq!(report.head, Some(version(newest)), "{report:?}");
        rig.oracle.assert_at(newest);
        assert_eq!(copied(&rig).len(), 2, "one file and its deletion vector");
        let report = verify(&rig.source, &rig.target, Level::Bytes, None, &Quiet).await.unwrap();
        assert!(report.is_equal(), "{report:?}");
    }
}

//! Races between a source that moves and a pass that copies: each named case of the format notes.

use std::sync::Arc;
use std::time::Duration;

use driftless_testdata::Objects;
use driftless_testdata::builder::{DeletionVector, TableBuilder, commit_key};
use object_store::ObjectStoreExt as _;
use object_store::path::Path;
use table_sync_core::{BlockCode, Start, TableState};
use table_sync_engine::{Clock, FailureCode, TargetReport};

use crate::rig::{Rig, TABLE, put, version};

/// One way to grow or damage a table.
type Change = fn(TableBuilder) -> TableBuilder;

fn history() -> TableBuilder {
    TableBuilder::new(1).commits(4, "day", 500)
}

#[track_caller]
fn blocked(report: &TargetReport) -> (BlockCode, Option<u64>) {
    let Some(blocked) = &report.blocked else { panic!("not blocked: {report:?}") };
    let position = blocked.position.map(|at| at.to_string().parse().unwrap());
    (blocked.code, position)
}

#[tokio::test(start_paused = true)]
async fn a_table_is_published_whole_and_then_every_commit_in_order() {
    let rig = Rig::new();
    let table = history();
    rig.feed(table.objects()).await;
    let first = rig.pass().await;
    assert_eq!(first.published, [0, 1, 2, 3].map(version));
    assert_eq!((first.start, first.head), (None, Some(version(3))));
    assert_eq!(first.earliest_readable, Some(version(0)));
    let table = table.commit(|c| c.add("late", 10)).commit(|c| c.remove("late"));
    rig.feed(table.objects()).await;
    let second = rig.pass().await;
    assert_eq!(second.published, [4, 5].map(version));
    assert_eq!(second.state, TableState::Ok);
    assert_eq!((second.copied_files, second.copied_bytes), (1, 10));
    rig.oracle.assert_at(5);
}

#[tokio::test(start_paused = true)]
async fn a_new_replica_starts_at_the_newest_checkpoint() {
    let rig = Rig::new();
    let table = history().checkpoint_classic(2).last_checkpoint(2);
    rig.feed(table.objects()).await;
    let report = rig.pass().await;
    assert_eq!(report.published, [2, 3].map(version));
    assert_eq!(report.earliest_readable, Some(version(2)));
    assert!(report.jumped.is_empty(), "the first publication is no jump");
    rig.oracle.assert_at(3);
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_checkpoint_can_be_a_base() {
    let kinds: [(&str, Change); 5] = [
        ("classic", |table| table.checkpoint_classic(2)),
        ("multi-part", |table| table.checkpoint_multipart(2, 3)),
        ("v2 json", |table| {
            table.feature("v2Checkpoint").commits(1, "x", 5).checkpoint_v2_json(4, 2)
        }),
        ("v2 parquet", |table| {
            table.feature("v2Checkpoint").commits(1, "x", 5).checkpoint_v2_parquet(4, 2)
        }),
        ("v2 classic name", |table| {
            table.feature("v2Checkpoint").commits(1, "x", 5).checkpoint_v2_classic_name(4, 2)
        }),
    ];
    for (name, with_checkpoint) in kinds {
        println!("{name}");
        let rig = Rig::new();
        let table = with_checkpoint(history()).commit(|c| c.add("after", 7));
        rig.feed(table.objects()).await;
        let report = rig.pass().await;
        assert!(report.blocked.is_none() && report.failure.is_none(), "{report:?}");
        assert!(report.earliest_readable > Some(version(0)), "{name} was not used: {report:?}");
        rig.oracle.assert_at(table.version());
    }
}

#[tokio::test(start_paused = true)]
async fn a_cleaned_log_is_crossed_by_a_jump() {
    let rig = Rig::new();
    let table = history();
    rig.feed(table.objects()).await;
    rig.pass().await;
    let table = table.commits(6, "more", 100).checkpoint_classic(8).last_checkpoint(8);
    let table = table.clean_log_below(8);
    rig.replace_source(table.objects()).await;
    let report = rig.pass().await;
    assert_eq!(report.published, [8, 9].map(version));
    assert_eq!(report.jumped, [version(8)]);
    rig.oracle.assert_at(9);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_vacuum_took_makes_a_jump() {
    let rig = Rig::new();
    let table = history();
    rig.feed(table.objects()).await;
    rig.pass().await;
    let table = table
        .commit(|c| c.add("short-lived", 100))
        .commit(|c| c.remove("short-lived").add("heir", 100))
        .commits(2, "more", 50)
        .checkpoint_classic(7)
        .delete_object("short-lived");
    rig.replace_source(table.objects()).await;
    let report = rig.pass().await;
    assert_eq!(report.published, [version(7)]);
    assert_eq!(report.jumped, [version(7)]);
    rig.oracle.assert_at(7);
}

#[tokio::test(start_paused = true)]
async fn without_a_later_checkpoint_a_vacuumed_version_is_history_lost() {
    let rig = Rig::new();
    let table = history();
    rig.feed(table.objects()).await;
    rig.pass().await;
    let table = table
        .commit(|c| c.add("short-lived", 100))
        .commit(|c| c.remove("short-lived"))
        .delete_object("short-lived");
    rig.replace_source(table.objects()).await;
    let report = rig.pass().await;
    assert_eq!(blocked(&report), (BlockCode::HistoryLost, Some(4)));
    rig.oracle.assert_at(3);
    // The source's next checkpoint is the way out.
    let table = table.commit(|c| c.add("new", 5)).checkpoint_classic(6);
    rig.replace_source(table.objects()).await;
    assert_eq!(rig.pass().await.published, [version(6)]);
    rig.oracle.assert_at(6);
}

#[tokio::test(start_paused = true)]
async fn a_live_file_that_is_gone_is_damage_at_the_source() {
    let rig = Rig::new();
    let table = history();
    rig.feed(table.objects()).await;
    rig.pass().await;
    let table = table.commit(|c| c.add("gone", 100)).delete_object("gone");
    rig.replace_source(table.objects()).await;
    let report = rig.pass().await;
    assert_eq!(blocked(&report), (BlockCode::SourceDamaged, Some(4)));
    rig.oracle.assert_at(3);
}

#[tokio::test(start_paused = true)]
async fn a_file_of_another_size_is_damage_at_the_source() {
    let rig = Rig::new();
    let table = history().commit(|c| c.add("short", 100)).truncate("short", 60);
    rig.feed(table.objects()).await;
    let report = rig.pass().await;
    assert_eq!(blocked(&report), (BlockCode::SourceDamaged, Some(4)));
    assert_eq!(report.head, Some(version(3)));
}

#[tokio::test(start_paused = true)]
async fn a_lost_change_data_file_breaks_the_feed_and_nothing_else() {
    let rig = Rig::new();
    let table = history().commit(|c| c.add("a", 10).cdc("changes", 20));
    let cdc = table.objects().keys().find(|key| key.contains("_change_data")).unwrap().clone();
    rig.feed(table.objects()).await;
    let path = Path::parse(format!("{TABLE}/{cdc}")).unwrap();
    rig.source_store.delete(&path).await.unwrap();
    rig.oracle.lose(&cdc);
    let report = rig.pass().await;
    assert_eq!(report.head, Some(version(4)));
    assert!(report.warnings[0].contains("change data feed is broken at version 4"), "{report:?}");
    rig.oracle.assert_at(4);
}

#[tokio::test(start_paused = true)]
async fn a_table_created_again_is_rewound_and_nothing_is_overwritten() {
    for commits in [2, 4, 9] {
        let rig = Rig::new();
        let table = history();
        rig.feed(table.objects()).await;
        rig.pass().await;
        let before = rig.replica();
        let again = table.recreate().commits(commits, "new", 300);
        rig.replace_source(again.objects()).await;
        let report = rig.pass().await;
        assert_eq!(blocked(&report), (BlockCode::Rewound, Some(3)), "{commits} commits");
        assert_eq!(report.state, TableState::Rewound);
        assert_eq!(rig.replica(), before);
    }
}

#[tokio::test(start_paused = true)]
async fn a_table_created_again_behind_a_cleaned_log_is_rewound() {
    let rig = Rig::new();
    let table = history();
    rig.feed(table.objects()).await;
    rig.pass().await;
    let before = rig.replica();
    let again = table.recreate().commits(12, "new", 30).checkpoint_classic(10).clean_log_below(10);
    rig.replace_source(again.objects()).await;
    assert_eq!(blocked(&rig.pass().await), (BlockCode::Rewound, Some(3)));
    assert_eq!(rig.replica(), before);
}

#[tokio::test(start_paused = true)]
async fn a_commit_rewritten_at_the_source_is_quarantined() {
    let rig = Rig::new();
    let table = history();
    rig.feed(table.objects()).await;
    rig.pass().await;
    let table = table.rewrite_commit(3).commits(1, "more", 10);
    rig.replace_source(table.objects()).await;
    assert_eq!(blocked(&rig.pass().await), (BlockCode::CommitRewritten, Some(3)));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_vanished_is_rewound() {
    let rig = Rig::new();
    rig.feed(history().objects()).await;
    rig.pass().await;
    rig.replace_source(&Objects::new()).await;
    assert_eq!(blocked(&rig.pass().await), (BlockCode::Rewound, Some(3)));
}

/// A clock that a test sets.
struct Fixed(i64);

impl Clock for Fixed {
    fn now_ms(&self) -> i64 {
        self.0
    }
}

#[tokio::test(start_paused = true)]
async fn a_truncated_commit_is_waited_for_and_then_blocks() {
    for cut in [0, 2, 40] {
        let mut rig = Rig::new();
        let table = history();
        let good = table.objects()[&commit_key(3)].clone();
        let short = if cut == 0 { 0 } else { good.len() - cut };
        // The oracle does not learn the half commit: it is no version of the source.
        let half = table.clone().truncate(&commit_key(3), short);
        put(&rig.source_store, TABLE, half.objects()).await;
        let earlier = half.delete_object(&commit_key(3));
        rig.oracle.learn(earlier.objects());
        let report = rig.pass().await;
        assert_eq!(report.head, Some(version(2)), "cut {cut}: {report:?}");
        assert_eq!(report.failure.unwrap().code, FailureCode::CommitUnsettled);
        let later = rig.options.clock.now_ms() + 61_000;
        rig.options.clock = Arc::new(Fixed(later));
        assert_eq!(blocked(&rig.pass().await), (BlockCode::CommitDamaged, Some(3)));
        // The writer finishes after all.
        rig.feed(table.objects()).await;
        assert_eq!(rig.pass().await.published, [version(3)]);
        rig.oracle.assert_at(3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hole_is_never_published_over() {
    let rig = Rig::new();
    let table = history().commits(3, "more", 10).delete_object(&commit_key(4));
    rig.feed(table.objects()).await;
    let report = rig.pass().await;
    assert_eq!(blocked(&report).0, BlockCode::HistoryLost);
    assert_eq!(report.head, Some(version(3)));
    rig.oracle.assert_at(3);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_starts_above_zero_needs_a_checkpoint() {
    let rig = Rig::new();
    let table = history().checkpoint_classic(2).clean_log_below(2);
    rig.feed(table.clone().delete_object(&checkpoint_key(2)).objects()).await;
    assert_eq!(blocked(&rig.pass().await).0, BlockCode::HistoryLost);
    assert!(rig.replica().is_empty());
    rig.feed(table.objects()).await;
    assert_eq!(rig.pass().await.published, [2, 3].map(version));
    rig.oracle.assert_at(3);
}

fn checkpoint_key(version: u64) -> String {
    format!("_delta_log/{version:020}.checkpoint.parquet")
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_whose_commit_was_cleaned_is_a_base_with_the_next_commit() {
    let rig = Rig::new();
    let table = history().checkpoint_classic(2).clean_log_below(2).delete_object(&commit_key(2));
    rig.feed(table.objects()).await;
    let report = rig.pass().await;
    assert_eq!(report.published, [version(3)]);
    rig.oracle.assert_at(3);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_carried_blocks_and_what_is_before_it_stays() {
    let cases: [(&str, BlockCode, Change); 5] = [
        ("unknown", BlockCode::UnsupportedReaderFeature, |t| t.unknown_reader_feature("timeWarp")),
        ("catalog", BlockCode::CatalogManaged, TableBuilder::catalog_managed),
        ("redirect", BlockCode::UnsupportedReaderFeature, TableBuilder::redirect),
        ("adaptive", BlockCode::UnsupportedReaderFeature, TableBuilder::adaptive_metadata),
        ("reader 4", BlockCode::UnsupportedVersion, |t| t.protocol(4, 7, &[], &[])),
    ];
    for (name, code, damage) in cases {
        let rig = Rig::new();
        let table = damage(history()).commits(2, "after", 10);
        rig.feed(table.objects()).await;
        let report = rig.pass().await;
        assert_eq!(blocked(&report), (code, Some(4)), "{name}");
        assert_eq!(report.head, Some(version(3)), "{name}");
        rig.oracle.assert_at(3);
    }
}

#[tokio::test(start_paused = true)]
async fn foreign_paths_block_before_any_file_moves() {
    for path in [
        "s3://other/x.parquet",
        "file:///etc/passwd",
        "http://169.254.169.254/latest",
        "../sibling/x",
        "%2e%2e/x",
        "/abs/x",
        "a//b",
        "a%00b",
        "a%0d%0ab",
        "//host/x",
        "s3://user:pw@host/x",
    ] {
        let rig = Rig::new();
        let table = history().commit(|c| c.add("good", 10).add_absolute(path, 10));
        rig.feed(table.objects()).await;
        let report = rig.pass().await;
        assert_eq!(blocked(&report), (BlockCode::ForeignPath, Some(4)), "{path}");
        let message = report.blocked.unwrap().message;
        assert!(!message.contains("user:pw"), "{message}");
        assert!(!rig.replica().contains_key("good"), "{path}: a file of the version moved");
    }
}

#[tokio::test(start_paused = true)]
async fn derived_objects_that_come_late_are_attached_later() {
    let rig = Rig::new();
    let table = history();
    rig.feed(table.objects()).await;
    rig.pass().await;
    let table = table.checkpoint_classic(3).crc(3).last_checkpoint(3);
    rig.feed(table.objects()).await;
    let report = rig.pass().await;
    assert!(report.published.is_empty());
    let replica = rig.replica();
    for key in [checkpoint_key(3), format!("_delta_log/{:020}.crc", 3)] {
        assert_eq!(replica.get(&key), table.objects().get(&key), "{key}");
    }
    assert!(replica.contains_key("_delta_log/_last_checkpoint"));
    rig.oracle.assert_at(3);
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_that_lies_is_held_back() {
    let rig = Rig::new();
    // The checkpoint of another history with the same version number.
    let liar = TableBuilder::new(2).commits(4, "other", 100).checkpoint_classic(3);
    let table = history();
    rig.feed(table.objects()).await;
    rig.pass().await;
    let lie = liar.objects()[&checkpoint_key(3)].clone();
    let table = table.put_object(&checkpoint_key(3), lie).commits(1, "after", 10);
    rig.feed(table.objects()).await;
    let report = rig.pass().await;
    assert_eq!(report.head, Some(version(4)));
    assert!(!rig.replica().contains_key(&checkpoint_key(3)));
    assert!(report.warnings.iter().any(|text| text.contains("checkpoint")), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn deletion_vectors_travel_with_their_version() {
    let rig = Rig::new();
    let table = TableBuilder::new(5)
        .protocol(3, 7, &["deletionVectors"], &["deletionVectors"])
        .commit(|c| c.add("a", 100).add("b", 100))
        .commit(|c| {
            c.delete_rows("a", DeletionVector::relative(0, 3))
                .delete_rows("b", DeletionVector::prefixed("x y", 1, 2))
        })
        .commit(|c| c.delete_rows("a", DeletionVector::inline(4)));
    rig.feed(table.objects()).await;
    let report = rig.pass().await;
    assert_eq!(report.published, [0, 1, 2].map(version));
    let vectors = rig.replica().keys().filter(|key| key.ends_with(".bin")).count();
    assert_eq!(vectors, 2);
    rig.oracle.assert_at(2);
}

#[tokio::test(start_paused = true)]
async fn until_and_start_are_honoured() {
    let mut rig = Rig::new();
    rig.options.until = Some(version(1));
    let table = history().checkpoint_classic(2);
    rig.feed(table.objects()).await;
    let report = rig.pass().await;
    assert_eq!(report.published, [0, 1].map(version));
    assert_eq!(report.state, TableState::CatchingUp);
    let mut rig = Rig::new();
    rig.options.start = Start::Earliest;
    rig.feed(table.objects()).await;
    assert_eq!(rig.pass().await.published, [0, 1, 2, 3].map(version));
    let mut rig = Rig::new();
    rig.options.start = Start::At(version(3));
    rig.feed(table.objects()).await;
    assert_eq!(rig.pass().await.published, [2, 3].map(version));
}

#[tokio::test(start_paused = true)]
async fn a_stranger_at_the_target_is_found() {
    let rig = Rig::new();
    let table = history();
    rig.feed(table.objects()).await;
    rig.pass().await;
    // Somebody writes a commit of his own at the target.
    let stray = table.clone().commit(|c| c.operation("STRAY"));
    let only = commit_key(4);
    let own: Objects = [(only.clone(), stray.objects()[&only].clone())].into();
    let target: Arc<dyn object_store::ObjectStore> = rig.recorded.clone();
    put(&target, TABLE, &own).await;
    let table = table.commits(2, "real", 10);
    assert_eq!(blocked(&rig.pass().await), (BlockCode::Diverged, Some(4)));
    rig.feed(table.objects()).await;
    let report = rig.pass().await;
    assert_eq!(report.state, TableState::Diverged, "{report:?}");
    assert_eq!(rig.replica()[&only], own[&only], "what the stranger wrote is kept for a person");
}

#[tokio::test(start_paused = true)]
async fn a_table_that_somebody_copied_is_adopted_only_when_it_is_equal() {
    let table = history().checkpoint_classic(2);
    let mut rig = Rig::new();
    rig.feed(table.objects()).await;
    let target: Arc<dyn object_store::ObjectStore> = rig.recorded.clone();
    put(&target, TABLE, table.objects()).await;
    assert_eq!(blocked(&rig.pass().await).0, BlockCode::ForeignReplica);
    rig.options.adopt = true;
    let report = rig.pass().await;
    assert_eq!((report.head, report.state), (Some(version(3)), TableState::Ok));
    rig.options.adopt = false;
    rig.feed(table.clone().commits(1, "more", 10).objects()).await;
    assert_eq!(rig.pass().await.published, [version(4)]);

    let mut rig = Rig::new();
    rig.options.adopt = true;
    rig.feed(table.objects()).await;
    let data = table.objects().keys().find(|key| !key.starts_with('_')).unwrap().clone();
    let bad = table.flip_bit(&data, 3);
    let target: Arc<dyn object_store::ObjectStore> = rig.recorded.clone();
    put(&target, TABLE, bad.objects()).await;
    assert_eq!(blocked(&rig.pass().await).0, BlockCode::Diverged);
}

#[tokio::test(start_paused = true)]
async fn two_publishers_at_once_do_no_harm() {
    for seed in 0..8 {
        let rig = Rig::new();
        let table = TableBuilder::new(seed).commits(6, "day", 500).checkpoint_classic(3);
        rig.feed(table.objects()).await;
        let (left, right) = futures::join!(rig.pass(), rig.pass());
        for report in [&left, &right] {
            let contended = report.failure.as_ref().map(|failure| failure.code);
            assert!(report.blocked.is_none(), "{report:?}");
            assert!(matches!(contended, None | Some(FailureCode::Contended)), "{report:?}");
        }
        let last = rig.pass().await;
        assert_eq!(last.head, Some(version(5)));
        rig.oracle.assert_at(5);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pass_that_is_dropped_midway_is_finished_by_the_next() {
    for after_ms in 0..12 {
        let rig = Rig::new();
        let table = history().checkpoint_classic(2);
        rig.feed(table.objects()).await;
        let _ = tokio::time::timeout(Duration::from_micros(after_ms), rig.pass()).await;
        let report = rig.pass().await;
        assert_eq!(report.head, Some(version(3)));
        rig.oracle.assert_at(3);
    }
}

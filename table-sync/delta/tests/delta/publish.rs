//! Whole passes over built tables.

use driftless_testdata::Objects;
use driftless_testdata::builder::{DeletionVector, TableBuilder};
use table_sync_core::Start;

use crate::site::{sync, sync_against};

/// A fresh target and a full pass; then a second pass finds nothing to do.
#[track_caller]
fn check(source: &Objects, start: Start, expect: &[u64]) -> Objects {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut target = Objects::new();
        let pass = sync(source, &mut target, start).await;
        assert_eq!(pass.published, expect, "{pass:?}");
        assert_eq!(pass.warnings, Vec::<String>::new());
        assert_eq!(pass.refusal, None);
        let before = target.clone();
        let again = sync(source, &mut target, start).await;
        assert_eq!(again.published, [0; 0]);
        let changed: Vec<_> = target.iter().filter(|(k, v)| before.get(*k) != Some(v)).collect();
        assert_eq!(changed.len(), 0, "{:?}", changed.first().map(|(key, _)| key));
        target
    })
}

const CLASSIC: &str = "_delta_log/00000000000000000002.checkpoint.parquet";

fn history(seed: u64) -> TableBuilder {
    TableBuilder::new(seed)
        .protocol(3, 7, &["deletionVectors", "v2Checkpoint"], &["deletionVectors", "v2Checkpoint"])
        .commit(|c| c.add("part-0", 100).add("part-1", 200))
        .commit(|c| c.delete_rows("part-0", DeletionVector::relative(0, 3)).remove("part-1"))
        .commit(|c| c.add("p=50%25/part-2", 7).cdc("cdc-2", 9))
        .commit(|c| c.delete_rows("p=50%25/part-2", DeletionVector::inline(1)))
}

#[test]
fn without_checkpoint_all_versions_are_appended() {
    let source = history(1).build();
    let target = check(&source, Start::Latest, &[0, 1, 2, 3]);
    assert_eq!(target, source);
}

#[test]
fn every_kind_of_checkpoint_is_a_base() {
    type Kind = fn(TableBuilder) -> TableBuilder;
    let kinds: [Kind; 8] = [
        |table| table.checkpoint_classic(2),
        |table| table.checkpoint_multipart(2, 3),
        |table| table.checkpoint_v2_json(2, 0),
        |table| table.checkpoint_v2_json(2, 2),
        |table| table.checkpoint_v2_parquet(2, 2),
        |table| table.checkpoint_v2_classic_name(2, 2),
        |table| table.checkpoint_classic(2).checkpoint_v2_json(2, 1).checkpoint_v2_parquet(2, 2),
        |table| table.checkpoint_multipart(2, 2).checkpoint_classic(2),
    ];
    for kind in kinds {
        let table = kind(history(2));
        check(table.clone().last_checkpoint(2).objects(), Start::Latest, &[2, 3]);
        // The hint is optional.
        check(table.objects(), Start::Latest, &[2, 3]);
        // With all of history, checkpoints and hint come late.
        let whole = table.last_checkpoint(2).crc(0).crc(1).crc(2).crc(3).compacted(0, 3);
        let target = check(whole.objects(), Start::Earliest, &[0, 1, 2, 3]);
        let differs = whole.objects().iter().filter(|(k, v)| target.get(*k) != Some(v));
        let differs: Vec<_> = differs.map(|(key, _)| key.as_str()).collect();
        // A hint that misleads kernel readers is not taken over.
        let parts = target.keys().any(|key| key.contains("0000000002.parquet"));
        let misleading = parts && target.contains_key(CLASSIC);
        let expect: &[&str] = if misleading { &["_delta_log/_last_checkpoint"] } else { &[] };
        assert_eq!(differs, expect);
    }
}

#[test]
fn checkpoint_without_its_commit_is_a_base_for_the_next() {
    let source = history(3).checkpoint_classic(2).last_checkpoint(2).clean_log_below(2);
    let source = source.delete_object("_delta_log/00000000000000000002.json");
    check(source.objects(), Start::Latest, &[3]);
}

#[test]
fn jump_over_a_cleaned_gap_keeps_readers_whole() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let early = history(4);
        let mut target = Objects::new();
        sync(early.objects(), &mut target, Start::Latest).await;
        for parts in [1, 2] {
            let mut target = target.clone();
            let later = early.clone().commits(4, "later", 10);
            let later = match parts {
                1 => later.checkpoint_classic(6),
                parts => later.checkpoint_multipart(6, parts),
            };
            let later = later.last_checkpoint(6);
            let truth = later.clone().build();
            let later = later.clean_log_below(6);
            let pass = sync_against(&truth, later.objects(), &mut target, Start::Latest).await;
            assert_eq!(pass.published, [6, 7]);
            assert_eq!(pass.warnings, Vec::<String>::new());
        }
    });
}

#[test]
fn vacuumed_base_is_avoided_for_a_later_one() {
    let source = TableBuilder::new(5)
        .commit(|c| c.add("a", 1))
        .commit(|c| c.add("b", 1))
        .checkpoint_classic(1)
        .commit(|c| c.remove("a"))
        .commit(|c| c.add("c", 1))
        .checkpoint_classic(3)
        .vacuum();
    check(source.objects(), Start::Earliest, &[3]);
}

#[test]
fn corrupt_checkpoint_is_no_base() {
    let key = CLASSIC;
    let table = history(6).checkpoint_classic(2);
    let bytes = table.objects()[key].len();
    for source in [
        table.clone().truncate(key, bytes / 2),
        table.clone().truncate(key, 3),
        table.clone().put_object(key, ""),
        table.clone().put_object(key, "PAR1 is no Parquet file PAR1"),
        table.clone().flip_bit(key, bytes - 9),
    ] {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut target = Objects::new();
            let pass = sync(source.objects(), &mut target, Start::Latest).await;
            assert_eq!(pass.published, [0, 1, 2, 3], "{pass:?}");
            assert_eq!(pass.warnings.len(), 1);
            assert!(!target.contains_key(key));
        });
    }
}

#[test]
fn multi_part_checkpoint_with_a_part_missing_is_no_base() {
    let source = history(7).checkpoint_multipart(2, 2);
    let part = "_delta_log/00000000000000000002.checkpoint.0000000001.0000000002.parquet";
    check(source.delete_object(part).objects(), Start::Latest, &[0, 1, 2, 3]);
}

#[test]
fn interrupted_jump_is_finished() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let source = history(8).checkpoint_multipart(2, 2).last_checkpoint(2).build();
        let mut whole = Objects::new();
        sync(&source, &mut whole, Start::Latest).await;
        let mut log: Vec<_> = whole.keys().filter(|k| k.starts_with("_delta_log/")).collect();
        // The order of the writes: parts, commit, hint, next commit.
        log.sort_by_key(|key| (!key.contains(".checkpoint."), key.contains("0003."), *key));
        for written in 0..log.len() {
            let mut target = whole.clone();
            for key in &log[written..] {
                target.remove(*key);
            }
            sync(&source, &mut target, Start::Latest).await;
            assert_eq!(target, whole, "after {written} writes");
        }
    });
}

#[test]
fn features_may_go_and_ids_may_change() {
    let source = TableBuilder::new(9)
        .protocol(3, 7, &["deletionVectors"], &["deletionVectors"])
        .commit(|c| c.add("a", 1))
        .protocol(1, 2, &[], &[])
        .commit(|c| c.add("b", 1))
        .replace()
        .commit(|c| c.remove("a").remove("b").add("c", 1))
        .commit(|c| c.add("a", 1));
    check(source.objects(), Start::Latest, &[0, 1, 2, 3]);
}

#[test]
fn stray_files_are_left_alone() {
    let source = history(10).stray_files().checkpoint_classic(2);
    let target = check(source.objects(), Start::Earliest, &[0, 1, 2, 3]);
    let strays = source.objects().keys().filter(|key| !target.contains_key(*key)).count();
    assert!(strays > 0);
}

//! The live file set, against the builder's own history.

use std::collections::BTreeSet;

use driftless_testdata::Objects;
use driftless_testdata::builder::{DeletionVector, TableBuilder};
use driftless_testdata::models;
use futures::TryStreamExt;
use table_sync_core::{FileRef, Place, Role, SetDigest, SourceLog};

use crate::site::{key, log, observe, version};

/// Digest and files at each version, against the model of the source.
#[track_caller]
fn check(objects: &Objects, versions: std::ops::RangeInclusive<u64>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let log = log(objects).await;
        let view = observe(&log).await;
        for at in versions {
            let expect = models::snapshot_of_source(objects, at).unwrap();
            let digest = log.live_digest(&view, version(at)).await.unwrap();
            let mut expected = SetDigest::default();
            for file in &expect.files {
                expected.insert(&file.path, file.dv.as_deref());
            }
            assert_eq!(digest, expected, "version {at}");
            let files = log.live_files(&view, version(at)).await.unwrap();
            let files: Vec<Vec<FileRef>> = files.try_collect().await.unwrap();
            let data = files.iter().flatten().filter(|file| file.role == Role::Data);
            let paths: BTreeSet<_> = data.map(|file| file.path.to_string()).collect();
            let expected: BTreeSet<_> = expect.files.iter().map(|f| f.path.clone()).collect();
            assert_eq!(paths, expected, "version {at}");
        }
    });
}

fn history() -> TableBuilder {
    TableBuilder::new(3)
        .protocol(3, 7, &["deletionVectors", "v2Checkpoint"], &["deletionVectors", "v2Checkpoint"])
        .commit(|c| c.add("a", 1).add("b", 2).add("c", 3))
        .commit(|c| c.delete_rows("a", DeletionVector::relative(0, 3)).remove("b"))
        .commit(|c| c.add("d", 4))
        .commit(|c| c.delete_rows("a", DeletionVector::relative(1, 4)))
        .commit(|c| c.add("b", 2))
        .commit(|c| c.remove("d").remove("a"))
}

#[test]
fn replay_is_the_same_from_every_base() {
    let table = history();
    check(table.objects(), 0..=5);
    check(table.clone().checkpoint_classic(2).objects(), 0..=5);
    check(table.clone().checkpoint_v2_json(2, 2).checkpoint_multipart(4, 3).objects(), 0..=5);
    check(table.clone().checkpoint_v2_parquet(0, 1).objects(), 0..=5);
    check(table.checkpoint_classic(3).clean_log_below(3).objects(), 3..=5);
}

#[test]
fn unreadable_base_falls_back_to_an_older_one() {
    let key = "_delta_log/00000000000000000004.checkpoint.parquet";
    let table = history().checkpoint_classic(1).checkpoint_classic(4);
    check(table.truncate(key, 100).objects(), 0..=5);
}

#[tokio::test]
async fn random_histories_match_the_model() {
    for seed in 0..8 {
        eprintln!("seed {seed}");
        let mut table = TableBuilder::new(seed);
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut live: Vec<String> = Vec::new();
        for step in 0..30_u32 {
            table = table.commit(|c| {
                if live.len() > 3 {
                    c.remove(&live.swap_remove(rng.usize(0..live.len())));
                }
                for n in 0..rng.u32(0..4) {
                    let name = format!("f{step}-{n}");
                    c.add(&name, 1);
                    live.push(name);
                }
                c
            });
            if rng.u32(0..6) == 0 {
                let at = table.version();
                table = table.checkpoint_classic(at);
            }
        }
        let objects = table.build();
        let log = log(&objects).await;
        let view = observe(&log).await;
        let expect = models::snapshot_of_source(&objects, 29).unwrap();
        let digest = log.live_digest(&view, version(29)).await.unwrap();
        let mut expected = SetDigest::default();
        expect.files.iter().for_each(|file| expected.insert(&file.path, file.dv.as_deref()));
        assert_eq!(digest, expected, "seed {seed}");
        assert_eq!(expect.files.len(), live.len(), "seed {seed}");
    }
}

#[tokio::test]
async fn newest_mention_says_whether_a_file_is_live() {
    let table = history().checkpoint_classic(2);
    let source = log(table.objects()).await;
    let view = observe(&source).await;
    let live = async |path: &str, role: Role, since: u64| {
        let file = FileRef { place: Place::Table, path: key(path), size_bytes: None, role };
        source.live_at_head(&view, &file, version(since)).await.unwrap()
    };
    assert!(live("b", Role::Data, 0).await, "added again");
    assert!(live("c", Role::Data, 0).await, "never mentioned again");
    assert!(!live("d", Role::Data, 2).await);
    assert!(!live("a", Role::Data, 0).await);
    assert!(!live("_change_data/x", Role::ChangeData, 0).await);
    let vector = table.objects().keys().find(|key| key.contains("deletion_vector")).unwrap();
    assert!(!live(vector, Role::DeletionVector, 1).await);
    // Commits in between are cleaned: the newest snapshot tells.
    let cleaned = table.checkpoint_classic(4).clean_log_below(4);
    let source = log(cleaned.objects()).await;
    let view = observe(&source).await;
    let file = FileRef { place: Place::Table, path: key("d"), size_bytes: None, role: Role::Data };
    assert!(!source.live_at_head(&view, &file, version(0)).await.unwrap());
}

#[tokio::test]
async fn table_id_is_the_newest_at_or_below() {
    let table = TableBuilder::new(5).commits(3, "a", 1).replace().commits(3, "b", 1);
    let with_base = table.clone().checkpoint_classic(4).clean_log_below(4);
    let ids: Vec<_> = (0..6)
        .map(|at| models::snapshot_of_source(table.objects(), at).unwrap().metadata_id)
        .collect();
    assert_ne!(ids[2], ids[3]);
    let whole = log(table.objects()).await;
    let view = observe(&whole).await;
    for (at, id) in ids.iter().enumerate() {
        let found = SourceLog::table_id(&whole, &view, version(at as u64)).await.unwrap();
        assert_eq!(found.as_ref(), Some(id));
    }
    let cleaned = log(with_base.objects()).await;
    let view = observe(&cleaned).await;
    let found = SourceLog::table_id(&cleaned, &view, version(5)).await.unwrap();
    assert_eq!(found.as_ref(), Some(&ids[5]));
    assert_eq!(SourceLog::table_id(&cleaned, &view, version(1)).await.unwrap(), None);
}

//! Objects that come after their commits.

use driftless_testdata::Objects;
use driftless_testdata::builder::TableBuilder;
use table_sync_core::{Body, Expect, Op, SourceLog, Start};

use crate::site::{log, look, observe, steps, sync, version};

fn table() -> TableBuilder {
    TableBuilder::new(1)
        .protocol(3, 7, &["v2Checkpoint"], &["v2Checkpoint"])
        .commit(|c| c.add("a", 1).add("b", 1))
        .commit(|c| c.remove("a"))
        .commit(|c| c.add("c", 1))
}

/// The target as it stands after the commits alone.
async fn published(table: &TableBuilder) -> Objects {
    let mut target = Objects::new();
    sync(table.objects(), &mut target, Start::Earliest).await;
    target
}

/// Names of the objects that are attached, and the warnings.
async fn late(source: &Objects, target: &Objects, through: u64) -> (Vec<String>, Vec<String>) {
    let log = log(source).await;
    let view = observe(&log).await;
    let late = log.late(&view, &look(target).await, version(through)).await.unwrap();
    let again = log.late(&view, &look(target).await, version(through)).await.unwrap();
    assert_eq!(late.warnings, again.warnings, "verdicts are remembered");
    let names = late.publications.iter().flat_map(steps);
    (names.map(|(name, _)| name).collect(), late.warnings)
}

#[tokio::test]
async fn order_is_derived_after_primary_and_hint_last() {
    let base = table();
    let target = published(&base).await;
    let source = base.crc(0).crc(2).compacted(0, 2).checkpoint_v2_json(1, 1).last_checkpoint(1);
    let (names, warnings) = late(source.objects(), &target, 2).await;
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(names.len(), 6, "{names:?}");
    assert_eq!(names[0], "00000000000000000000.crc");
    assert!(names[1].starts_with("_sidecars/"));
    assert!(names[2].starts_with("00000000000000000001.checkpoint."));
    let mut rest = names[3..5].to_vec();
    rest.sort();
    let compacted = "00000000000000000000.00000000000000000002.compacted.json";
    assert_eq!(rest, [compacted, "00000000000000000002.crc"]);
    assert_eq!(names[5], "_last_checkpoint");
}

#[tokio::test]
async fn nothing_is_attached_above_what_is_published() {
    let base = table();
    let mut target = published(&base).await;
    target.remove("_delta_log/00000000000000000002.json");
    let source = base.crc(2).compacted(0, 2).checkpoint_classic(2).last_checkpoint(2);
    let (names, warnings) = late(source.objects(), &target, 1).await;
    assert_eq!((names, warnings), (Vec::new(), Vec::new()));
}

#[tokio::test]
async fn checkpoint_that_lies_is_held_back() {
    let base = table();
    let target = published(&base).await;
    // The checkpoint of another history under the same name.
    let other = base.clone().commit(|c| c.add("x", 1)).checkpoint_classic(3);
    let lie = &other.objects()["_delta_log/00000000000000000003.checkpoint.parquet"];
    let key = "_delta_log/00000000000000000002.checkpoint.parquet";
    let source = base.put_object(key, lie.clone()).last_checkpoint(2);
    let (names, warnings) = late(source.objects(), &target, 2).await;
    assert_eq!(names, [""; 0]);
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("00000000000000000002.checkpoint"), "{warnings:?}");
}

#[tokio::test]
async fn compacted_file_that_lies_is_held_back() {
    let base = table();
    let target = published(&base).await;
    let key = "_delta_log/00000000000000000000.00000000000000000001.compacted.json";
    let first = base.objects()["_delta_log/00000000000000000000.json"].clone();
    let (names, warnings) = late(base.put_object(key, first).objects(), &target, 2).await;
    assert_eq!(names, [""; 0]);
    assert_eq!(warnings.len(), 1);
}

#[tokio::test]
async fn checksum_with_foreign_files_is_held_back() {
    let base = table();
    let target = published(&base).await;
    let key = "_delta_log/00000000000000000001.crc";
    for (body, held) in [
        (r#"{"numFiles":1,"allFiles":[{"path":"a","size":1}]}"#, false),
        (r#"{"numFiles":1,"allFiles":[{"path":"gs://other/a","size":1}]}"#, true),
        (r#"{"numFiles":1"#, true),
    ] {
        let (names, warnings) =
            late(base.clone().put_object(key, body).objects(), &target, 2).await;
        assert_eq!((names.len(), warnings.len()), (usize::from(!held), usize::from(held)));
    }
}

#[tokio::test]
async fn hint_moves_forward_only_and_replaces_what_was_seen() {
    let base = table().checkpoint_classic(1).last_checkpoint(1);
    let target = published(&base).await;
    assert!(target.contains_key("_delta_log/_last_checkpoint"));
    let newer = base.clone().checkpoint_classic(2).last_checkpoint(2);
    let source = log(newer.objects()).await;
    let view = observe(&source).await;
    let replica = look(&target).await;
    let found = source.late(&view, &replica, version(2)).await.unwrap();
    let last = found.publications.last().unwrap().steps.last().unwrap();
    let identity = replica.objects[&last.key].identity.clone();
    assert_eq!(last.op, Op::Replace { expect: Expect::Identity(identity) });
    let newest = published(&newer).await;
    // The source's hint went back: the replica's stays.
    let (names, _) = late(base.objects(), &newest, 2).await;
    assert_eq!(names, [""; 0]);
}

#[tokio::test]
async fn hint_to_what_is_not_whole_here_waits() {
    let base = table();
    let target = published(&base).await;
    let source = base.commit(|c| c.add("d", 1)).checkpoint_classic(3).last_checkpoint(3);
    let (names, _) = late(source.objects(), &target, 2).await;
    assert_eq!(names, [""; 0]);
}

#[tokio::test]
async fn lost_hint_of_a_base_is_composed_anew() {
    let source = table().checkpoint_classic(1).last_checkpoint(1);
    let mut target = Objects::new();
    sync(source.objects(), &mut target, Start::Latest).await;
    target.remove("_delta_log/_last_checkpoint");
    // The source's own hint has moved on to what is not here.
    let later = source.commit(|c| c.add("d", 1)).checkpoint_classic(3).last_checkpoint(3);
    let log = log(later.objects()).await;
    let view = observe(&log).await;
    let found = log.late(&view, &look(&target).await, version(2)).await.unwrap();
    let step = &found.publications[0].steps[0];
    let Body::Bytes(body) = &step.body else { panic!() };
    assert!(body.starts_with(br#"{"version":1,"size":"#), "{body:?}");
    assert_eq!(step.op, Op::Replace { expect: Expect::Absent });
}

#[tokio::test]
async fn version_that_the_hint_names_gets_no_second_checkpoint() {
    let base = table();
    let first = base.clone().checkpoint_multipart(2, 2).last_checkpoint(2);
    let mut target = Objects::new();
    sync(first.objects(), &mut target, Start::Earliest).await;
    assert!(look(&target).await.pointer.is_some(), "the first checkpoint is named");
    let both = first.checkpoint_v2_json(2, 1);
    let (names, _) = late(both.objects(), &target, 2).await;
    assert!(!names.iter().any(|name| name.contains(".checkpoint.")), "{names:?}");
}

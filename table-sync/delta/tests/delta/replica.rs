//! What a replica's log says about itself, on every state that publishing passes through.

use driftless_testdata::Objects;
use driftless_testdata::builder::TableBuilder;
use table_sync_core::{
    BlockCode, Hint, Position, ReplicaError, ReplicaLog, ReplicaView, Sha256Digest,
};

use crate::site::{log, look, version};

fn table() -> TableBuilder {
    TableBuilder::new(1).commits(13, "f", 1)
}

/// Only these objects, by the start of their names below `_delta_log/`.
fn only(table: &TableBuilder, names: &[&str]) -> Objects {
    let keep = |key: &str| {
        let name = key.trim_start_matches("_delta_log/");
        !key.starts_with("_delta_log/") || names.iter().any(|wanted| name.starts_with(wanted))
    };
    let objects = table.objects().iter().filter(|(key, _)| keep(key));
    objects.map(|(key, bytes)| (key.clone(), bytes.clone())).collect()
}

fn commit(version: u64) -> String {
    format!("{version:020}.json")
}

fn checkpoint(version: u64) -> String {
    format!("{version:020}.checkpoint")
}

fn state(view: &ReplicaView) -> (Option<Position>, Option<Position>, Option<Position>) {
    (view.head, view.unfinished, view.earliest_readable)
}

#[track_caller]
fn check(names: &[String], head: Option<u64>, unfinished: Option<u64>, earliest: Option<u64>) {
    let table = table().checkpoint_classic(5).checkpoint_multipart(9, 2).last_checkpoint(9);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let view = runtime.block_on(look(&only(&table, &names)));
    let expect = (head.map(version), unfinished.map(version), earliest.map(version));
    assert_eq!(state(&view), expect);
    let fingerprint = head.map(|head| {
        let key = format!("_delta_log/{head:020}.json");
        Sha256Digest::of(&table.objects()[&key])
    });
    assert_eq!(view.fingerprint, fingerprint);
}

#[test]
fn states_of_a_bootstrap() {
    check(&[], None, None, None);
    check(&[format!("{:020}.checkpoint.0000000001", 9)], None, None, None);
    check(&[checkpoint(9)], None, Some(9), None);
    check(&[checkpoint(9), commit(9)], Some(9), None, Some(9));
    check(&[checkpoint(9), commit(10)], Some(10), None, Some(10));
    check(&[checkpoint(9), commit(9), commit(10)], Some(10), None, Some(9));
    check(&[commit(0)], Some(0), None, Some(0));
    check(&[commit(0), commit(1), checkpoint(0)], Some(1), None, Some(0));
}

#[test]
fn states_of_a_jump() {
    let tail = [commit(0), commit(1), commit(2)];
    let with = |more: &[String]| [tail.as_slice(), more].concat();
    check(&with(&[format!("{:020}.checkpoint.0000000001", 9)]), Some(2), None, Some(0));
    check(&with(&[checkpoint(9)]), Some(2), Some(9), Some(0));
    check(&with(&[checkpoint(9), commit(9)]), Some(9), None, Some(0));
    check(&with(&[checkpoint(9), commit(9), commit(10)]), Some(10), None, Some(0));
    check(&with(&[checkpoint(5), commit(5), checkpoint(9)]), Some(5), Some(9), Some(0));
}

#[track_caller]
fn diverged(names: &[String], named: &str) {
    let table = table().checkpoint_classic(5).crc(7).compacted(2, 7);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let found = runtime
        .block_on(async { ReplicaLog::observe(&log(&only(&table, &names)).await, None).await });
    let Err(ReplicaError::Blocked(blocked)) = found else { panic!("{found:?}") };
    assert_eq!(blocked.code, BlockCode::Diverged);
    assert!(blocked.message.contains(named), "{blocked}");
}

#[test]
fn what_no_publication_leaves_stops_the_table() {
    diverged(&[commit(11), commit(12)], "00000000000000000011.json");
    diverged(&[commit(0), commit(1), commit(3)], "00000000000000000003.json");
    diverged(&[commit(0), commit(6), checkpoint(5), commit(8)], "00000000000000000008.json");
    diverged(&[commit(0), format!("{:020}.crc", 7)], "00000000000000000007.crc");
    let compacted = format!("{:020}.{:020}.compacted", 2, 7);
    diverged(&[commit(0), commit(1), commit(2), compacted], "compacted.json");
}

#[tokio::test]
async fn hint_saves_listing_what_lies_below() {
    let table = TableBuilder::new(2).commits(130, "f", 1);
    let hint = |head: u64| Hint { head: version(head), earliest_readable: version(0) };
    let target = log(table.objects()).await;
    let view = ReplicaLog::observe(&target, Some(hint(120))).await.unwrap();
    assert_eq!(state(&view), (Some(version(129)), None, Some(version(0))));
    assert_eq!(view.listed_from, Some(version(20)));
    // A hint that the log does not show is ignored.
    let view = ReplicaLog::observe(&target, Some(hint(500))).await.unwrap();
    assert_eq!(state(&view), (Some(version(129)), None, Some(version(0))));
    assert_eq!(view.listed_from, None);
}

#[tokio::test]
async fn hint_does_not_hide_a_hole() {
    let table = TableBuilder::new(2).commits(130, "f", 1);
    let table = table.delete_object(&format!("_delta_log/{:020}.json", 125));
    let target = log(table.objects()).await;
    let hint = Hint { head: version(120), earliest_readable: version(0) };
    let found = ReplicaLog::observe(&target, Some(hint)).await;
    assert!(matches!(found, Err(ReplicaError::Blocked(b)) if b.code == BlockCode::Diverged));
}

#[tokio::test]
async fn pointer_and_table_id_are_read() {
    let table = table().checkpoint_classic(5).last_checkpoint(5);
    let target = log(table.objects()).await;
    let view = ReplicaLog::observe(&target, None).await.unwrap();
    let pointer = target.pointer(&view).await.unwrap().unwrap();
    let body = &table.objects()["_delta_log/_last_checkpoint"];
    assert_eq!((pointer.position, pointer.sha256), (version(5), Sha256Digest::of(body)));
    assert!(ReplicaLog::table_id(&target, &view).await.unwrap().is_some());
    let broken = table.put_object("_delta_log/_last_checkpoint", "{");
    let broken = log(broken.objects()).await;
    let view = ReplicaLog::observe(&broken, None).await.unwrap();
    assert_eq!(broken.pointer(&view).await.unwrap(), None);
}

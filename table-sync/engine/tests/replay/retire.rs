//! Retirement: what no promised version needs goes, and nothing else, ever.

use std::time::Duration;

use driftless_testdata::builder::{DeletionVector, TableBuilder};

use crate::rig::{Rig, version};

fn keys(rig: &Rig) -> Vec<String> {
    let data = rig.replica().into_keys().filter(|key| !key.starts_with("_delta_log"));
    data.collect()
}

fn history() -> TableBuilder {
    TableBuilder::new(21)
        .commit(|c| c.add("a", 10).add("b", 10))
        .commit(|c| c.remove("a").add("c", 10).cdc("change", 5))
        .commit(|c| c.remove("b").add("d", 10))
}

#[tokio::test(start_paused = true)]
async fn nothing_is_removed_unless_it_is_asked_for() {
    let rig = Rig::new();
    rig.feed(history().objects()).await;
    rig.pass().await;
    assert_eq!(keys(&rig).len(), 5);
    rig.oracle.assert_at(2);
}

#[tokio::test(start_paused = true)]
async fn a_version_within_the_retention_keeps_its_files() {
    let mut rig = Rig::retiring();
    rig.options.retire = Some(Duration::from_secs(3600));
    rig.feed(history().objects()).await;
    let report = rig.pass().await;
    assert_eq!((report.retired_files, keys(&rig).len()), (0, 5));
    assert_eq!(report.earliest_readable, Some(version(0)));
}

#[tokio::test(start_paused = true)]
async fn what_only_old_versions_need_is_removed() {
    let mut rig = Rig::retiring();
    rig.options.retire = Some(Duration::ZERO);
    rig.feed(history().objects()).await;
    let report = rig.pass().await;
    assert_eq!(keys(&rig), ["c", "d"]);
    assert_eq!(report.retired_files, 3, "a, b and the change data of version 1");
    assert_eq!(report.earliest_readable, Some(version(2)));
    rig.oracle.assert_at(2);
    let again = rig.pass().await;
    assert_eq!((again.retired_files, again.earliest_readable), (0, Some(version(2))));
}

#[tokio::test(start_paused = true)]
async fn a_restored_file_comes_back_before_its_version() {
    let mut rig = Rig::retiring();
    rig.options.retire = Some(Duration::ZERO);
    let table = history();
    rig.feed(table.objects()).await;
    rig.pass().await;
    assert!(!keys(&rig).contains(&"a".to_owned()));
    let table = table.commit(|c| c.operation("RESTORE").add("a", 10).remove("c"));
    rig.feed(table.objects()).await;
    let report = rig.pass().await;
    assert_eq!(report.head, Some(version(3)));
    assert_eq!(keys(&rig), ["a", "d"]);
    rig.oracle.assert_at(3);
}

#[tokio::test(start_paused = true)]
async fn a_shared_deletion_vector_file_stays_while_one_vector_lives() {
    let mut rig = Rig::retiring();
    rig.options.retire = Some(Duration::ZERO);
    let table = TableBuilder::new(22)
        .protocol(3, 7, &["deletionVectors"], &["deletionVectors"])
        .commit(|c| c.add("a", 10).add("b", 10))
        .commit(|c| {
            c.delete_rows("a", DeletionVector::relative(0, 2))
                .delete_rows("b", DeletionVector::relative(0, 3))
        })
        .commit(|c| c.delete_rows("a", DeletionVector::relative(1, 4)));
    rig.feed(table.objects()).await;
    rig.pass().await;
    let vectors = |rig: &Rig| keys(rig).iter().filter(|key| key.ends_with(".bin")).count();
    assert_eq!(vectors(&rig), 2, "the first file still serves b");
    let table = table.commit(|c| c.remove("b"));
    rig.feed(table.objects()).await;
    rig.pass().await;
    assert_eq!(vectors(&rig), 1);
    rig.oracle.assert_at(3);
}

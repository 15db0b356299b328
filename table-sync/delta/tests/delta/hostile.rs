//! What must stop a table, with its code, and what must not.

use driftless_testdata::Objects;
use driftless_testdata::builder::{
    DataFile, DeletionVector, HOSTILE_PATHS, ODD_KEYS, TableBuilder, nested_line,
};
use table_sync_core::{BlockCode, SourceError, SourceLog, Start};
use table_sync_delta::AbsolutePaths;

use crate::site::{append, jump, log, log_with, needs, observe, sync};

/// Publishes what can be published; gives the code of the refusal.
#[track_caller]
fn check(table: &TableBuilder, expect: BlockCode, published: &[u64]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut target = Objects::new();
        let pass = sync(table.objects(), &mut target, Start::Latest).await;
        assert_eq!(pass.refusal.as_ref().map(|blocked| blocked.code), Some(expect), "{pass:?}");
        assert_eq!(pass.published, published);
    });
}

fn start() -> TableBuilder {
    TableBuilder::new(1).commit(|c| c.add("a", 1))
}

#[test]
fn paths_outside_the_root_stop_the_table() {
    for path in HOSTILE_PATHS {
        let file = || DataFile::at_path(path, 1).without_object();
        check(&start().commit(|c| c.add_file(file())), BlockCode::ForeignPath, &[0]);
        let cdc = format!(r#"{{"cdc":{{"path":"{path}","partitionValues":{{}},"size":1}}}}"#);
        check(&start().commit(|c| c.raw_line(&cdc)), BlockCode::ForeignPath, &[0]);
        // The same in a checkpoint, which may say what no commit says.
        let bad = start().commit(|c| c.add_file(file())).checkpoint_classic(1);
        let good = start().commit(|c| c.add("b", 1));
        let key = "_delta_log/00000000000000000001.json";
        let mixed = bad.put_object(key, good.objects()[key].clone());
        check(&mixed, BlockCode::ForeignPath, &[]);
    }
}

#[test]
fn absolute_deletion_vectors_stop_the_table() {
    let vector = || DeletionVector::absolute("s3://user:pw@other/dv.bin", 1);
    let table = start().commit(|c| c.add_dv("b", 1, vector()));
    check(&table, BlockCode::ForeignPath, &[0]);
}

#[tokio::test]
async fn alias_takes_the_own_root_only() {
    let own = start().commit(|c| c.add_absolute("s3://bucket/lake/t/dir/x", 5));
    let log = log_with(own.objects(), AbsolutePaths::own_root()).await;
    let view = observe(&log).await;
    let description = log.describe(&view, &append(1)).await.unwrap();
    let files = needs(&description).await.unwrap();
    let paths: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["dir/x"]);
    let clone = start().commit(|c| c.add_absolute("s3://bucket/lake/other/x", 5));
    let log = log_with(clone.objects(), AbsolutePaths::own_root()).await;
    let refused = log.describe(&observe(&log).await, &append(1)).await;
    assert!(matches!(refused, Err(SourceError::Blocked(b)) if b.code == BlockCode::ForeignPath));
}

#[tokio::test]
async fn odd_keys_arrive_byte_for_byte() {
    let mut table = TableBuilder::new(2).commit(|c| {
        for key in ODD_KEYS {
            c.add(key, 3);
        }
        c
    });
    table = table.checkpoint_classic(0);
    let log = log(table.objects()).await;
    let view = observe(&log).await;
    for planned in [append(0), jump(0)] {
        let description = log.describe(&view, &planned).await.unwrap();
        let files = needs(&description).await.unwrap();
        let mut paths: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
        let mut expect = ODD_KEYS.to_vec();
        paths.sort_unstable();
        expect.sort_unstable();
        assert_eq!(paths, expect);
    }
}

#[test]
fn features_stop_the_version_that_brings_them() {
    let unsupported = BlockCode::UnsupportedReaderFeature;
    let one = |table: TableBuilder| table.commit(|c| c.add("b", 1));
    check(&one(start().unknown_reader_feature("newThing")), unsupported, &[0]);
    check(&one(start().redirect()), unsupported, &[0]);
    check(&one(start().adaptive_metadata()), unsupported, &[0]);
    check(&one(start().catalog_managed()), BlockCode::CatalogManaged, &[0]);
    check(&one(start().protocol(4, 7, &[], &[])), BlockCode::UnsupportedVersion, &[0]);
    check(&one(start().metadata(|m| m.provider("orc"))), unsupported, &[0]);
    // In a checkpoint as well.
    let base = one(start().unknown_reader_feature("newThing")).checkpoint_classic(1);
    check(&base, unsupported, &[]);
    let writer_only = one(start().writer_feature("newWriterThing"));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut target = Objects::new();
    let pass = runtime.block_on(sync(writer_only.objects(), &mut target, Start::Latest));
    assert_eq!((pass.published.as_slice(), pass.refusal), ([0, 1].as_slice(), None));
}

#[test]
fn sizes_and_nesting_are_bounded() {
    let negative = DataFile::at_path("b", 1).logged_size(-1);
    check(&start().commit(|c| c.add_file(negative)), BlockCode::SourceDamaged, &[0]);
    let deep = nested_line(100_000);
    check(&start().commit(|c| c.raw_line(&deep)), BlockCode::LimitExceeded, &[0]);
}

#[test]
fn first_version_without_protocol_is_refused() {
    let lines = r#"{"add":{"path":"a","partitionValues":{},"size":1,"dataChange":true}}"#;
    let table = TableBuilder::new(3).raw_commit(lines);
    check(&table, BlockCode::SourceDamaged, &[]);
}

#[tokio::test]
async fn half_written_commit_is_damage_with_its_age() {
    let key = "_delta_log/00000000000000000001.json";
    let table = start().commit(|c| c.add("b", 1));
    let bytes = table.objects()[key].len();
    for (cut, damaged) in [(bytes - 1, false), (bytes - 2, true), (bytes / 2, true), (0, true)] {
        let log = log(table.clone().truncate(key, cut).objects()).await;
        let described = log.describe(&observe(&log).await, &append(1)).await;
        match described {
            Err(SourceError::Damaged { position, modified_ms, .. }) => {
                assert!(damaged && modified_ms > 0, "cut to {cut}");
                assert_eq!(position, crate::site::version(1));
            }
            other => assert!(other.is_ok() && !damaged, "cut to {cut}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn sidecar_that_names_sidecars_is_no_base() {
    let table = start().sidecar_loop(0);
    let log = log(table.objects()).await;
    let view = observe(&log).await;
    let described = log.describe(&view, &jump(0)).await;
    assert!(matches!(described, Err(SourceError::Missing { .. })), "{described:?}");
}

#[tokio::test]
async fn checkpoint_bomb_streams_in_small_batches() {
    let table = start().checkpoint_bomb(0, 5_000, 100_000);
    let log = log(table.objects()).await;
    let view = observe(&log).await;
    let description = log.describe(&view, &jump(0)).await.unwrap();
    assert_eq!(needs(&description).await.unwrap().len(), 5_001);
}

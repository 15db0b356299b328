//! Recording store, oracle, feeder and faults, put together and one by one.

use std::sync::Arc;

use bytes::Bytes;
use driftless_testdata::Objects;
use driftless_testdata::fault::{FaultStore, Faults, Kind, Op as FaultOp};
use driftless_testdata::feed::Feeder;
use driftless_testdata::models::kernel;
use driftless_testdata::record::{Op, Oracle, Reader, RecordingStore};
use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload};

use crate::state::Table;

fn source() -> Table {
    let hint = Table::default().commits(0..=12).checkpoint(5).checkpoint(10).hint(10);
    hint.put("_delta_log/00000000000000000012.crc", "{}").put("stray", "x")
}

/// A replica of [`source`] and the oracle that watches it.
struct Replica {
    store: RecordingStore<InMemory>,
    oracle: Oracle,
    source: Objects,
}

impl Replica {
    fn new() -> Self {
        let (oracle, source) = (Oracle::new("t"), source().0);
        oracle.learn(&source);
        let store = RecordingStore::new(InMemory::new(), vec![oracle.hook()]);
        Self { store, oracle, source }
    }

    async fn copy(&self, key: &str) {
        self.put(key, self.source[key].clone()).await;
    }

    async fn put(&self, key: &str, bytes: Bytes) {
        let path = Path::parse(format!("t/{key}")).unwrap();
        let commit = key.ends_with(".json");
        let mode = if commit { PutMode::Create } else { PutMode::Overwrite };
        self.store.put_opts(&path, PutPayload::from_bytes(bytes), mode.into()).await.unwrap();
    }

    async fn commits(&self, versions: std::ops::RangeInclusive<u64>) {
        for v in versions {
            self.copy(&format!("f{v}")).await;
            self.copy(&format!("_delta_log/{v:020}.json")).await;
        }
    }

    async fn data(&self, versions: std::ops::RangeInclusive<u64>) {
        for v in versions {
            self.copy(&format!("f{v}")).await;
        }
    }

    #[track_caller]
    fn check(&self, texts: &[&str]) {
        let found = self.oracle.violations();
        for text in texts {
            assert!(found.iter().any(|v| v.contains(text)), "no {text:?} in {found:#?}");
        }
        assert_eq!(found.is_empty(), texts.is_empty(), "{found:#?}");
    }
}

const CHECKPOINT_10: &str = "_delta_log/00000000000000000010.checkpoint.parquet";
const COMMIT_10: &str = "_delta_log/00000000000000000010.json";
const HINT: &str = "_delta_log/_last_checkpoint";

#[tokio::test]
async fn sequential_append_is_clean() {
    let replica = Replica::new();
    replica.commits(0..=10).await;
    replica.copy(CHECKPOINT_10).await;
    replica.copy(HINT).await;
    replica.commits(11..=12).await;
    replica.copy("_delta_log/00000000000000000012.crc").await;
    replica.oracle.assert_at(12);
    let log = replica.store.mutations();
    assert_eq!(log.len(), 29);
    assert_eq!(log[1].op, Op::PutCreate);
    assert_eq!(kernel(&replica.store.objects("t")).unwrap().version, 12);
}

#[tokio::test]
async fn bootstrap_and_jump_are_clean() {
    let bootstrap = Replica::new();
    bootstrap.data(0..=10).await;
    for key in [CHECKPOINT_10, COMMIT_10, HINT] {
        bootstrap.copy(key).await;
    }
    bootstrap.commits(11..=12).await;
    bootstrap.oracle.assert_at(12);
    let jump = Replica::new();
    jump.commits(0..=4).await;
    jump.data(5..=10).await;
    for key in [CHECKPOINT_10, COMMIT_10, HINT] {
        jump.copy(key).await;
    }
    jump.oracle.assert_at(10);
}

#[tokio::test]
async fn wrong_orders_are_found() {
    let commit_before_data = Replica::new();
    commit_before_data.copy("_delta_log/00000000000000000000.json").await;
    commit_before_data.check(&["opens 0 without f0: absent", "refers to f0"]);

    let gap = Replica::new();
    gap.commits(0..=2).await;
    gap.commits(4..=4).await;
    gap.check(&["Spark fails: versions are not contiguous", "Kernel fails"]);

    let early_hint = Replica::new();
    early_hint.commits(0..=10).await;
    early_hint.copy(HINT).await;
    early_hint.check(&["Trino fails", "Kernel fails", "which is not there"]);

    let early_checkpoint = Replica::new();
    early_checkpoint.commits(0..=9).await;
    early_checkpoint.data(10..=10).await;
    early_checkpoint.copy(CHECKPOINT_10).await;
    early_checkpoint.check(&["in steady state", "Spark fails"]);

    let early_tail = Replica::new();
    early_tail.commits(11..=11).await;
    early_tail.check(&["log starts at 11 without a base checkpoint"]);
}

/// A clone that names a file of another table by its URL: readers follow it to the same store.
#[tokio::test]
async fn objects_of_another_table_are_judged_too() {
    let clone = Table::default().commits(0..=0).0;
    let key = "_delta_log/00000000000000000000.json";
    let log = String::from_utf8(clone[key].to_vec()).unwrap();
    let log = log.replace("\"f0\"", "\"s3a://lake/base/f%200\"");
    let url = "s3://lake/base/f 0".to_owned();
    let source = Objects::from([(key.to_owned(), log.into()), (url, clone["f0"].clone())]);
    let replica = || {
        let oracle = Oracle::new("t").aliasing("s3://lake/base", "base");
        oracle.learn(&source);
        let store = RecordingStore::new(InMemory::new(), vec![oracle.hook()]);
        Replica { store, oracle, source: source.clone() }
    };
    let foreign = async |replica: &Replica, bytes: &Bytes| {
        let path = Path::parse("base/f 0").unwrap();
        replica.store.put(&path, PutPayload::from_bytes(bytes.clone())).await.unwrap();
    };

    let good = replica();
    foreign(&good, &clone["f0"]).await;
    good.copy(key).await;
    good.oracle.assert_at(0);

    let missing = replica();
    missing.copy(key).await;
    missing.check(&["opens 0 without s3a://lake/base/f%200", "refers to s3://lake/base/f 0"]);

    let replaced = replica();
    foreign(&replaced, &clone["f0"]).await;
    foreign(&replaced, &clone["f0"]).await;
    replaced.check(&["is of another table and was replaced or deleted"]);

    let strange = replica();
    foreign(&strange, &Bytes::from_static(b"x")).await;
    strange.check(&["has bytes that the source never had"]);
}

#[tokio::test]
async fn wrong_objects_are_found() {
    let replica = Replica::new();
    replica.commits(0..=1).await;
    replica.put("stray", Bytes::from_static(b"x")).await;
    replica.check(&["stray is no part of the table"]);

    let replica = Replica::new();
    replica.commits(0..=1).await;
    replica.put("f1", Bytes::from_static(b"xx")).await;
    replica.check(&["f1 has bytes that the source never had", "f1 was overwritten"]);

    let replica = Replica::new();
    replica.commits(0..=1).await;
    replica.store.delete(&Path::from("t/f0")).await.unwrap();
    replica.check(&["f0 was deleted", "without f0"]);

    let replica = Replica::new();
    replica.copy("f0").await;
    let path = Path::from("t/_delta_log/00000000000000000000.json");
    let bytes = replica.source["_delta_log/00000000000000000000.json"].clone();
    replica.store.put(&path, PutPayload::from_bytes(bytes)).await.unwrap();
    replica.check(&["written by PutOverwrite, not by put-if-absent"]);

    let replica = Replica::new();
    replica.commits(0..=10).await;
    replica.copy(CHECKPOINT_10).await;
    replica.copy(HINT).await;
    replica.copy("_delta_log/00000000000000000005.checkpoint.parquet").await;
    replica.check(&[]);
    replica.put(HINT, Bytes::from_static(b"{\"version\":5,\"size\":8}")).await;
    replica.check(&["_last_checkpoint went from 10 to 5"]);
    assert_eq!(replica.oracle.seen()[&Reader::Trino], 10);
}

#[tokio::test]
async fn recording_sees_copies_and_multipart() {
    let store = RecordingStore::new(InMemory::new(), Vec::new());
    let mut upload = store.put_multipart(&Path::from("a")).await.unwrap();
    upload.put_part("one".into()).await.unwrap();
    upload.put_part("two".into()).await.unwrap();
    assert!(store.mutations().is_empty());
    upload.complete().await.unwrap();
    store.copy(&Path::from("a"), &Path::from("p/b")).await.unwrap();
    store.copy_if_not_exists(&Path::from("a"), &Path::from("p/b")).await.unwrap_err();
    store.delete(&Path::from("a")).await.unwrap();
    let ops: Vec<Op> = store.mutations().iter().map(|m| m.op).collect();
    assert_eq!(ops, [Op::Multipart, Op::Copy, Op::Delete]);
    let expect = Objects::from([("b".to_owned(), Bytes::from_static(b"onetwo"))]);
    assert_eq!(store.objects("p"), expect);
    let again = RecordingStore::with_content(store, Vec::new()).await.unwrap();
    assert_eq!(again.objects("p"), expect);
}

#[tokio::test]
async fn feeder_reveals_committed_states_only() {
    for seed in [1, 2, 3, 4, 5, 6, 7, 8] {
        let table = source().0;
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let mut feeder = Feeder::new(&table, seed);
        let mut last = None;
        while let Some(step) = feeder.step(&store, "s/t").await {
            let Ok(opened) = kernel(feeder.revealed()) else {
                assert_eq!(last, None, "{step:?}");
                continue;
            };
            assert!(last.is_none_or(|last| last <= opened.version), "{step:?}");
            assert_eq!(opened.files.len() as u64, opened.version + 1);
            last = Some(opened.version);
        }
        assert_eq!((last, feeder.remaining()), (Some(12), 0));
        let mut found = Objects::new();
        for meta in store.list(None).try_collect::<Vec<_>>().await.unwrap() {
            let bytes = store.get(&meta.location).await.unwrap().bytes().await.unwrap();
            found.insert(meta.location.as_ref().strip_prefix("s/t/").unwrap().to_owned(), bytes);
        }
        assert_eq!(found, table, "seed {seed}");
    }
}

#[tokio::test]
async fn faults_do_what_they_say() {
    let faults = Faults::none();
    let store = FaultStore::new(InMemory::new(), faults.clone());
    let (a, b) = (Path::from("a"), Path::from("b"));
    faults.fail_nth(FaultOp::Put, 1, Kind::Refused);
    store.put(&a, "body".into()).await.unwrap_err();
    assert!(store.inner().head(&a).await.is_err());
    faults.fail_nth(FaultOp::Put, 2, Kind::LostReply);
    store.put(&b, "body".into()).await.unwrap();
    store.put(&a, "body".into()).await.unwrap_err();
    assert!(store.inner().head(&a).await.is_ok());

    faults.fail_nth(FaultOp::Head, 1, Kind::NotFound);
    let missing = store.head(&a).await;
    assert!(matches!(missing, Err(object_store::Error::NotFound { .. })), "{missing:?}");
    assert!(store.head(&a).await.is_ok());

    faults.fail_nth(FaultOp::List, 1, Kind::StaleList(1));
    let list = async || store.list(None).map_ok(|m| m.location).try_collect::<Vec<_>>().await;
    assert_eq!(list().await.unwrap().len(), 1);
    assert_eq!(list().await.unwrap().len(), 2);

    let read = async |kind| {
        faults.fail_nth(FaultOp::Get, 1, kind);
        store.get(&a).await.unwrap().bytes().await
    };
    assert_eq!(read(Kind::Truncated).await.unwrap(), "bo");
    assert_eq!(read(Kind::WrongBytes).await.unwrap(), "bodx");
    assert!(read(Kind::BrokenBody).await.is_err());
    assert_eq!(faults.log().len(), 7);

    let seeded = Faults::seeded(7, 0.5);
    let store = FaultStore::new(InMemory::new(), seeded.clone());
    let mut failed = 0;
    for _ in 0..100 {
        failed += usize::from(store.put(&a, "x".into()).await.is_err());
    }
    assert_eq!(failed, seeded.log().len());
    assert!((20..80).contains(&failed), "{failed}");
    seeded.heal();
    for _ in 0..100 {
        store.put(&a, "x".into()).await.unwrap();
    }
}

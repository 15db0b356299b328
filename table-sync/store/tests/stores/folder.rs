//! A folder as a store.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use table_sync_store::{Location, ReadError, Settings, Store, StoreKind, WriteError, expand, open};

use crate::conformance::{Limits, conforms};

fn store(root: &Path) -> Store {
    let text = format!("{}/table", root.display());
    let location = Location::parse(&text, &BTreeMap::new()).unwrap();
    open(&location, &Settings::default()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folder_conforms() {
    let root = tempfile::tempdir().unwrap();
    let store = store(root.path());
    assert_eq!(store.kind(), StoreKind::File);
    conforms(&store, Limits { large_bytes: 20 << 20, keeps_crc32c: false }).await;
    let left = std::fs::read_dir(root.path().join("_driftless/tmp")).unwrap().count();
    assert_eq!(left, 0, "temporary files stay");
}

#[tokio::test]
async fn root_is_made_when_it_is_written_to() {
    let root = tempfile::tempdir().unwrap();
    let store = store(&root.path().join("a b/c%20d"));
    assert_eq!(store.head("x").await.unwrap(), None);
    store.create("x/y", Bytes::from_static(b"1")).await.unwrap();
    assert!(root.path().join("a b/c%20d/x/y").is_file());
}

#[tokio::test]
async fn links_out_of_the_root_are_not_followed() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "x").unwrap();
    let root = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(outside.path(), root.path().join("out")).unwrap();
    let store = store(root.path());
    let error = store.read("out/secret", None, None).await.unwrap_err();
    assert!(matches!(error, ReadError::Denied { .. }), "{error:?}");
    let error = store.create("out/new", Bytes::new()).await.unwrap_err();
    assert!(matches!(error, WriteError::Denied { .. }), "{error:?}");
    let error = store.create("out/deep/new", Bytes::new()).await.unwrap_err();
    assert!(matches!(error, WriteError::Denied { .. }), "{error:?}");
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
    let mut seen = 0;
    let each = |_| {
        seen += 1;
        std::ops::ControlFlow::Continue(())
    };
    store.list("", None, each).await.unwrap();
    assert_eq!(seen, 0);
}

#[tokio::test]
async fn old_temporary_files_are_swept() {
    let root = tempfile::tempdir().unwrap();
    let tmp = root.path().join("_driftless/tmp");
    std::fs::create_dir_all(&tmp).unwrap();
    let age = |name: &str, hours: u64| {
        let file = std::fs::File::create(tmp.join(name)).unwrap();
        let then = std::time::SystemTime::now() - std::time::Duration::from_secs(hours * 3600);
        file.set_modified(then).unwrap();
    };
    age("00000000-0000-4000-8000-000000000001", 25);
    age("00000000-0000-4000-8000-000000000002", 23);
    age("not-ours", 25);
    store(root.path()).create("x", Bytes::new()).await.unwrap();
    let mut left: Vec<_> = std::fs::read_dir(&tmp)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["00000000-0000-4000-8000-000000000002", "not-ours"]);
}

#[tokio::test]
async fn one_pattern_finds_tables() {
    let root = tempfile::tempdir().unwrap();
    for folder in
        ["wh/a/_delta_log", "wh/b/.hoodie", "wh/c/data", "wh/d/deep/_delta_log", "x/_delta_log"]
    {
        std::fs::create_dir_all(root.path().join(folder)).unwrap();
        std::fs::write(root.path().join(folder).join("x"), "").unwrap();
    }
    let tables = async |pattern: &str| {
        let text = format!("{}/{pattern}", root.path().display());
        let location = Location::parse(&text, &BTreeMap::new()).unwrap();
        let found = expand(&location, &Settings::default()).await.unwrap();
        found.iter().map(|l| l.table().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(tables("wh/*").await, ["a", "b"]);
    assert_eq!(tables("*/a").await, ["wh/a"]);
    assert_eq!(tables("*/*/deep").await, ["wh/d/deep"]);
    assert_eq!(tables("*").await, ["x"]);
    assert_eq!(tables("none*").await, Vec::<String>::new());
    assert_eq!(tables("wh/nothing").await, ["nothing"]);
    // Nothing is looked for inside a table, nor in hidden folders.
    for folder in ["wh/a/inner/_delta_log", "wh/.hidden/t/_delta_log", "wh/_tmp/t/_delta_log"] {
        std::fs::create_dir_all(root.path().join(folder)).unwrap();
        std::fs::write(root.path().join(folder).join("x"), "").unwrap();
    }
    assert_eq!(tables("wh/**").await, ["a", "b", "d/deep"]);
    assert_eq!(tables("**").await, ["wh/a", "wh/b", "wh/d/deep", "x"]);
    assert_eq!(tables("w*/**").await, ["wh/a", "wh/b", "wh/d/deep"]);
    assert_eq!(tables("wh/a/**").await, ["inner"]);
}

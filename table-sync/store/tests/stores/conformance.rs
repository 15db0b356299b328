//! What every store must do, seen through the public API only.

use std::ops::ControlFlow;

use bytes::Bytes;
use table_sync_core::ObjectIdentity;
use table_sync_store::{Precondition, ReadError, Store, WriteError};

use crate::bodies::{Planned, breaking, is_pattern, pattern, whole};

/// What a store is known not to do.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Size of an upload that this store cuts into parts.
    pub large_bytes: u64,
    /// The store publishes CRC-32C of what was uploaded.
    pub keeps_crc32c: bool,
}

pub async fn conforms(store: &Store, limits: Limits) {
    absent(store).await;
    create(store).await;
    replace(store).await;
    read(store).await;
    upload(store, limits).await;
    failed_bodies(store, limits).await;
    list(store).await;
    awkward_keys(store).await;
    bad_keys(store).await;
    delete(store).await;
    copy(store).await;
    race(store).await;
    spooled(store).await;
    let counters = store.counters();
    assert!(counters.gets > 0 && counters.puts > 0 && counters.lists > 0, "{counters:?}");
    assert!(counters.read_bytes > 0 && counters.written_bytes > 0, "{counters:?}");
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

async fn content(store: &Store, key: &str) -> Option<String> {
    let found = store.get(key, 1 << 20).await.unwrap();
    found.map(|(bytes, _)| String::from_utf8(bytes.to_vec()).unwrap())
}

pub async fn keys(store: &Store, prefix: &str, start_after: Option<&str>) -> Vec<String> {
    let mut keys = Vec::new();
    let each = |listed: table_sync_store::Listed| {
        keys.push(listed.key);
        ControlFlow::Continue(())
    };
    store.list(prefix, start_after, each).await.unwrap();
    keys
}

async fn absent(store: &Store) {
    assert_eq!(store.head("absent/x").await.unwrap(), None);
    assert!(store.get("absent/x", 10).await.unwrap().is_none());
    let error = store.read("absent/x", None, None).await.unwrap_err();
    assert!(matches!(error, ReadError::NotFound { .. }), "{error:?}");
    assert_eq!(keys(store, "absent", None).await, Vec::<String>::new());
    store.delete("absent/x", None).await.unwrap();
}

async fn create(store: &Store) {
    let made = store.create("create/a", bytes("one")).await.unwrap();
    assert_eq!(made.identity.size_bytes, 3);
    let error = store.create("create/a", bytes("two")).await.unwrap_err();
    assert!(matches!(error, WriteError::Exists { .. }), "{error:?}");
    assert_eq!(content(store, "create/a").await.as_deref(), Some("one"));
    let seen = store.head("create/a").await.unwrap().unwrap();
    assert_eq!(seen.identity.e_tag, made.identity.e_tag);
    assert!(seen.modified_ms > 1_600_000_000_000, "{seen:?}");
    let error = store.get("create/a", 2).await.unwrap_err();
    assert!(matches!(error, ReadError::TooLarge { object_bytes: 3, .. }), "{error:?}");
    store.create("create/empty", Bytes::new()).await.unwrap();
    assert_eq!(content(store, "create/empty").await.as_deref(), Some(""));
}

async fn replace(store: &Store) {
    let first = store.replace("replace/a", bytes("one"), None).await.unwrap().identity;
    let error = store.replace("replace/a", bytes("two"), None).await.unwrap_err();
    assert!(matches!(error, WriteError::Exists { .. }), "{error:?}");
    let second = store.replace("replace/a", bytes("two"), Some(&first)).await.unwrap().identity;
    let error = store.replace("replace/a", bytes("xxx"), Some(&first)).await.unwrap_err();
    assert!(matches!(error, WriteError::Changed { .. }), "{error:?}");
    assert_eq!(content(store, "replace/a").await.as_deref(), Some("two"));
    // The identity that a read gives is as good as the one that the write gave.
    let (_, seen) = store.get("replace/a", 10).await.unwrap().unwrap();
    assert_eq!(seen.identity.e_tag, second.e_tag);
    store.replace("replace/a", bytes("three"), Some(&seen.identity)).await.unwrap();
    let error = store.replace("replace/none", bytes("x"), Some(&second)).await.unwrap_err();
    assert!(matches!(error, WriteError::Changed { .. }), "{error:?}");
    assert_eq!(content(store, "replace/none").await, None);
}

async fn read(store: &Store) {
    let made = store.create("read/a", bytes("0123456789")).await.unwrap().identity;
    let range = async |range| {
        let reading = store.read("read/a", Some(range), Some(&made)).await.unwrap();
        assert_eq!(reading.object_bytes, 10);
        whole(reading).await.unwrap()
    };
    assert_eq!(range(0..10).await, b"0123456789");
    assert_eq!(range(3..5).await, b"34");
    assert_eq!(range(9..10).await, b"9");
    let other = ObjectIdentity { e_tag: Some("\"0f0f\"".to_owned()), ..made.clone() };
    let error = store.read("read/a", None, Some(&other)).await.unwrap_err();
    assert!(matches!(error, ReadError::Changed { .. }), "{error:?}");
    // A pin holds against a content of the same size.
    store.replace("read/a", bytes("9876543210"), Some(&made)).await.unwrap();
    let error = store.read("read/a", None, Some(&made)).await.unwrap_err();
    assert!(matches!(error, ReadError::Changed { .. }), "{error:?}");
}

async fn upload(store: &Store, limits: Limits) {
    for (name, size_bytes) in
        [("zero", 0), ("one", 1), ("mid", 3_000_001), ("large", limits.large_bytes)]
    {
        let key = format!("upload/{name}");
        let body = pattern(size_bytes);
        let done = store.upload(&key, size_bytes, body, Precondition::Absent).await.unwrap();
        assert_eq!((done.size_bytes, done.identity.size_bytes), (size_bytes, size_bytes));
        let seen = store.head(&key).await.unwrap().unwrap();
        assert_eq!(seen.identity.size_bytes, size_bytes);
        assert_eq!(seen.identity.e_tag, done.identity.e_tag, "{name}");
        if limits.keeps_crc32c {
            assert_eq!(seen.crc32c, Some(done.crc32c), "{name}");
        }
        let reading = store.read(&key, None, Some(&done.identity)).await.unwrap();
        assert!(is_pattern(reading, 0, size_bytes).await, "{name}");
        let body = pattern(size_bytes);
        let error = store.upload(&key, size_bytes, body, Precondition::Absent).await.unwrap_err();
        let exists = matches!(error, WriteError::Exists { .. });
        assert!(exists || is_lost_refusal(&error, size_bytes), "{name} {error:?}");
        let stale = ObjectIdentity { e_tag: Some("\"0f0f\"".to_owned()), ..done.identity.clone() };
        let body = pattern(size_bytes);
        let error =
            store.upload(&key, size_bytes, body, Precondition::Match(stale)).await.unwrap_err();
        let changed = matches!(error, WriteError::Changed { .. });
        assert!(changed || is_lost_refusal(&error, size_bytes), "{name} {error:?}");
        let after = store.head(&key).await.unwrap().unwrap();
        assert_eq!(after.identity.e_tag, done.identity.e_tag, "{name} was overwritten");
        let on = Precondition::Match(done.identity);
        store.upload(&key, size_bytes, pattern(size_bytes), on).await.unwrap();
        store.upload(&key, size_bytes, pattern(size_bytes), Precondition::Any).await.unwrap();
    }
    let large = limits.large_bytes;
    let tail = store.read("upload/large", Some(large - 1000..large), None).await.unwrap();
    assert!(is_pattern(tail, large - 1000, 1000).await);
}

/// A body that fails, or is not as long as announced, commits nothing and is told apart.
async fn failed_bodies(store: &Store, limits: Limits) {
    let large = limits.large_bytes;
    let cases = [
        ("short", 1000, pattern(999)),
        ("short-large", large, pattern(large - 1)),
        ("long", 1000, pattern(1001)),
        ("long-large", large, pattern(large + 1)),
        ("breaks-at-once", 1000, breaking(0)),
        ("breaks-mid", 3_000_000, breaking(1_500_000)),
        ("breaks-mid-large", large, breaking(large / 2)),
        ("breaks-behind-the-last-byte", 1000, breaking(1000)),
        ("breaks-behind-the-last-byte-large", large, breaking(large)),
    ];
    for (name, size_bytes, body) in cases {
        let key = format!("failed/{name}");
        let error = store.upload(&key, size_bytes, body, Precondition::Absent).await.unwrap_err();
        let WriteError::Body { source } = &error else { panic!("{name}: {error:?}") };
        assert_eq!(source.is::<Planned>(), name.starts_with("breaks"), "{name}: {error:?}");
        assert_eq!(store.head(&key).await.unwrap(), None, "{name}");
    }
    assert_eq!(keys(store, "failed", None).await, Vec::<String>::new());
}

async fn list(store: &Store) {
    let names = ["a", "a.b", "a/b", "a/c/d", "b", "b0", "c"];
    // On a folder `a` and `a/b` exclude each other, as on servers over one.
    let names: Vec<_> = names.iter().filter(|name| **name != "a").collect();
    for name in &names {
        store.create(&format!("list/{name}"), bytes("x")).await.unwrap();
    }
    store.create("list2", bytes("x")).await.unwrap();
    store.create("list.x", bytes("x")).await.unwrap();
    let expect: Vec<String> = names.iter().map(|name| format!("list/{name}")).collect();
    assert_eq!(keys(store, "list", None).await, expect);
    assert_eq!(keys(store, "list/", None).await, expect);
    for (at, key) in expect.iter().enumerate() {
        assert_eq!(keys(store, "list", Some(key)).await, expect[at + 1..], "after {key}");
    }
    assert_eq!(keys(store, "list", Some("list/a/a")).await, expect[1..]);
    assert_eq!(keys(store, "list", Some("list/a/bb")).await, expect[2..]);
    assert_eq!(keys(store, "list", Some("list/zzz")).await, Vec::<String>::new());
    let mut seen = 0;
    let each = |_| {
        seen += 1;
        if seen == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    store.list("list", None, each).await.unwrap();
    assert_eq!(seen, 2);
}

async fn awkward_keys(store: &Store) {
    let names = [
        "p=1/a b",
        "a%20b",
        "a%2Fb",
        "%25",
        "\u{e9}",
        "e\u{301}",
        "\u{1F600}",
        "x+y&z",
        "t:0",
        "#x",
        "[x]",
        "~t",
        "'q'",
        "a,b;c",
        "(1)",
        "@",
        "p=__HIVE_DEFAULT_PARTITION__/x",
        "a!",
        "ts=2020-01-01 00%3A00",
        "$x",
        "{y}",
    ];
    for name in names {
        let key = format!("awkward/{name}");
        store.create(&key, bytes(name)).await.unwrap();
        assert_eq!(content(store, &key).await.as_deref(), Some(name), "{key}");
        let path = object_store::path::Path::parse(&key).unwrap();
        let plane = store.object_store();
        let meta = object_store::ObjectStoreExt::head(&plane, &path).await.unwrap();
        assert_eq!(meta.location.as_ref(), key);
    }
    let mut expect: Vec<String> = names.iter().map(|name| format!("awkward/{name}")).collect();
    expect.sort();
    assert_eq!(keys(store, "awkward", None).await, expect);
}

async fn bad_keys(store: &Store) {
    for key in ["", "/x", "../x", "a/../x", "a//b", "a/", "./a", "a\0b", "a\nb"] {
        let error = store.read(key, None, None).await.unwrap_err();
        assert!(matches!(error, ReadError::BadKey { .. }), "{key:?} {error:?}");
        let error = store.create(key, bytes("x")).await.unwrap_err();
        assert!(matches!(error, WriteError::Refused { .. }), "{key:?} {error:?}");
    }
}

async fn delete(store: &Store) {
    let first = store.create("delete/a", bytes("one")).await.unwrap().identity;
    let second = store.replace("delete/a", bytes("two"), Some(&first)).await.unwrap().identity;
    let error = store.delete("delete/a", Some(&first)).await.unwrap_err();
    assert!(matches!(error, WriteError::Changed { .. }), "{error:?}");
    assert_eq!(content(store, "delete/a").await.as_deref(), Some("two"));
    store.delete("delete/a", Some(&second)).await.unwrap();
    assert_eq!(store.head("delete/a").await.unwrap(), None);
    let error = store.delete("delete/a", Some(&second)).await.unwrap_err();
    assert!(matches!(error, WriteError::Changed { .. }), "{error:?}");
    store.delete("delete/a", None).await.unwrap();
    store.create("delete/a", bytes("three")).await.unwrap();
}

async fn copy(store: &Store) {
    assert!(store.same_store(store));
    let first = store.create("copy/from x", bytes("one")).await.unwrap().identity;
    let made = store.copy_within("copy/from x", "copy/p=1/to", &first, 3).await.unwrap();
    assert_eq!(made.identity.size_bytes, 3);
    assert_eq!(content(store, "copy/p=1/to").await.as_deref(), Some("one"));
    store.replace("copy/from x", bytes("two"), Some(&first)).await.unwrap();
    let error = store.copy_within("copy/from x", "copy/to2", &first, 3).await.unwrap_err();
    assert!(matches!(error, WriteError::Changed { .. }), "{error:?}");
    assert_eq!(store.head("copy/to2").await.unwrap(), None);
    let error = store.copy_within("copy/none", "copy/to3", &first, 3).await.unwrap_err();
    assert!(matches!(error, WriteError::Changed { .. }), "{error:?}");
}

/// Many creators of one key: one wins, and its bytes are what stays.
async fn race(store: &Store) {
    for round in 0..5 {
        let key = format!("race/{round}");
        let writers = (0..16).map(|writer| {
            let (store, key) = (store.clone(), key.clone());
            tokio::spawn(async move { store.create(&key, bytes(&format!("{writer:04}"))).await })
        });
        let mut won = Vec::new();
        for (writer, outcome) in futures::future::join_all(writers).await.into_iter().enumerate() {
            match outcome.unwrap() {
                Ok(_) => won.push(writer),
                // A conflict is a refusal that the caller repeats.
                Err(WriteError::Exists { .. } | WriteError::Refused { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        assert_eq!(won.len(), 1, "round {round}: {won:?}");
        assert_eq!(content(store, &key).await, Some(format!("{:04}", won[0])));
    }
}

/// A server may refuse before it took a large body and close the connection; its answer is lost
/// when the last bytes were on their way already. The caller then reads back, as it must.
fn is_lost_refusal(error: &WriteError, size_bytes: u64) -> bool {
    size_bytes > 1_000_000 && matches!(error, WriteError::Unknown { .. })
}

async fn spooled(store: &Store) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), vec![7; 2_500_000]).unwrap();
    store.create_file("spooled/a", file.path(), 2_500_000).await.unwrap();
    let reading = store.read("spooled/a", None, None).await.unwrap();
    assert_eq!(whole(reading).await.unwrap(), vec![7; 2_500_000]);
    let first = store.head("spooled/a").await.unwrap().unwrap().identity;
    let error = store.create_file("spooled/a", file.path(), 2_500_000).await.unwrap_err();
    let exists = matches!(error, WriteError::Exists { .. });
    assert!(exists || is_lost_refusal(&error, 2_500_000), "{error:?}");
    assert_eq!(store.head("spooled/a").await.unwrap().unwrap().identity, first);
    let error = store.create_file("spooled/b", file.path(), 2_500_001).await.unwrap_err();
    assert!(matches!(error, WriteError::Body { .. }), "{error:?}");
    assert_eq!(store.head("spooled/b").await.unwrap(), None);
}

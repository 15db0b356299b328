//! S3 against a real server.

use bytes::Bytes;
use table_sync_store::{Precondition, Settings, StoreKind, WriteError};

use crate::bodies::{breaking, is_pattern, pattern};
use crate::conformance::{Limits, conforms};
use crate::servers::{Opens as _, SECRET, Server, versitygw};

fn settings(part_bytes: u64) -> Settings {
    let retry_timeout = std::time::Duration::from_secs(10);
    Settings { part_bytes, retry_timeout, ..Settings::default() }
}

/// Files below the server's bucket that are not objects, such as parts of open uploads.
fn open_uploads(server: &Server) -> usize {
    let folder = server.folder.path().join("lake/.sgwtmp/multipart");
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries.flatten().filter(|e| e.path().read_dir().is_ok_and(|mut d| d.next().is_some())).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versitygw_conforms() {
    for (keep_alive, chunk_bytes) in [(true, None), (false, None), (true, Some(1 << 20))] {
        let Some(server) = versitygw("versitygw_conforms", keep_alive) else { return };
        let mut settings = settings(5 << 20);
        settings.chunk_bytes = chunk_bytes;
        let store = server.s3("root x/p=1", &settings);
        assert_eq!(store.kind(), StoreKind::S3);
        conforms(&store, Limits { large_bytes: 12_000_000, keeps_crc32c: true }).await;
        assert_eq!(open_uploads(&server), 0, "given up uploads stay open");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_go_from_store_to_store() {
    let Some(server) = versitygw("bytes_go_from_store_to_store", true) else { return };
    let source = server.s3("source", &settings(64 << 20));
    let target = server.s3("target", &settings(5 << 20));
    assert!(!source.same_store(&target) && target.can_copy_from(&source));
    let size_bytes = 23_456_789;
    let sent = source.upload("a", size_bytes, pattern(size_bytes), Precondition::Absent).await;
    let sent = sent.unwrap();
    let reading = source.read("a", None, Some(&sent.identity)).await.unwrap();
    assert_eq!(reading.crc32c, Some(sent.crc32c));
    let body = {
        use futures::StreamExt as _;
        reading.body.map(|chunk| Ok(chunk?)).boxed()
    };
    let body = table_sync_store::verify_crc32c(body, sent.crc32c);
    let got = target.upload("b", size_bytes, body, Precondition::Absent).await.unwrap();
    assert_eq!(got.crc32c, sent.crc32c);
    let reading = target.read("b", None, None).await.unwrap();
    assert!(is_pattern(reading, 0, size_bytes).await);
    let copied = target.copy_from(&source, "a", "c", &sent.identity, size_bytes).await.unwrap();
    assert_eq!(copied.identity.size_bytes, size_bytes);
    let wrong = table_sync_store::verify_crc32c(pattern(size_bytes), !sent.crc32c);
    let error = target.upload("d", size_bytes, wrong, Precondition::Absent).await.unwrap_err();
    assert!(matches!(error, WriteError::Body { .. }), "{error:?}");
    assert_eq!(target.head("d").await.unwrap(), None);
}

/// A 200 MiB object in parts needs far less than 200 MiB: sizes are those of this process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_upload_needs_little_memory() {
    let Some(server) = versitygw("large_upload_needs_little_memory", true) else { return };
    let store = server.s3("big", &settings(64 << 20));
    let before = peak_bytes();
    let size_bytes = 200 << 20;
    store.upload("a", size_bytes, pattern(size_bytes), Precondition::Absent).await.unwrap();
    let reading = store.read("a", None, None).await.unwrap();
    assert!(is_pattern(reading, 0, size_bytes).await);
    // Other tests of this binary run beside this one, hence the room.
    let grown = peak_bytes().saturating_sub(before);
    assert!(grown < 150 << 20, "peak grew by {grown} bytes");
}

fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    let kib = line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap_or_default();
    kib << 10
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racing_creators_of_parts() {
    let Some(server) = versitygw("racing_creators_of_parts", true) else { return };
    let store = server.s3("race", &settings(5 << 20));
    let size_bytes = 6 << 20;
    let writers = (0..8).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            store.upload("a", size_bytes, pattern(size_bytes), Precondition::Absent).await
        })
    });
    let outcomes: Vec<_> = futures::future::join_all(writers).await;
    let outcomes: Vec<_> = outcomes.into_iter().map(Result::unwrap).collect();
    let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(won, 1, "{outcomes:?}");
    assert_eq!(open_uploads(&server), 0);
}

#[tokio::test]
async fn wrong_credentials_are_denied_and_not_repeated() {
    let Some(server) = versitygw("wrong_credentials_are_denied", true) else { return };
    let options = [
        ("endpoint", format!("http://127.0.0.1:{}", server.port)),
        ("access_key_id", "nobody-at-all".to_owned()),
        ("secret_access_key", SECRET.to_owned()),
    ];
    let store = crate::servers::named("s3://lake", &options, &settings(5 << 20));
    let read = store.read("a", None, None).await.unwrap_err();
    assert!(matches!(read, table_sync_store::ReadError::Denied { .. }), "{read:?}");
    let write = store.create("a", Bytes::new()).await.unwrap_err();
    assert!(matches!(write, WriteError::Denied { .. }), "{write:?}");
    let mut each = |_| std::ops::ControlFlow::Continue(());
    let list = store.list("a", None, &mut each).await.unwrap_err();
    for text in [
        format!("{read:?} {read}"),
        format!("{write:?} {write}"),
        format!("{list:?} {list}"),
        format!("{store:?}"),
        format!("{:?}", std::error::Error::source(&list).map(ToString::to_string)),
    ] {
        assert!(!text.contains(SECRET), "{text}");
        assert!(!text.contains("nobody-at-all"), "{text}");
    }
}

#[tokio::test]
async fn missing_bucket_is_no_missing_key() {
    let Some(server) = versitygw("missing_bucket_is_no_missing_key", true) else { return };
    std::fs::remove_dir(server.folder.path().join("lake")).unwrap();
    let store = server.s3("x", &settings(5 << 20));
    let error = store.read("a", None, None).await.unwrap_err();
    assert!(matches!(error, table_sync_store::ReadError::Io { .. }), "{error:?}");
    let error = store.create("a", Bytes::new()).await.unwrap_err();
    assert!(matches!(error, WriteError::Refused { .. }), "{error:?}");
}

#[tokio::test]
async fn unreachable_server_is_refused_not_unknown() {
    let mut settings = settings(5 << 20);
    settings.retry_timeout = std::time::Duration::from_millis(300);
    let options = [
        // Discard: nothing listens there.
        ("endpoint", "http://127.0.0.1:9".to_owned()),
        ("access_key_id", "a".to_owned()),
        ("secret_access_key", SECRET.to_owned()),
    ];
    let store = crate::servers::named("s3://lake", &options, &settings);
    let error = store.create("a", Bytes::from_static(b"x")).await.unwrap_err();
    assert!(matches!(error, WriteError::Refused { .. }), "{error:?}");
    let error = store.head("a").await.unwrap_err();
    assert!(matches!(error, table_sync_store::ReadError::Io { .. }), "{error:?}");
}

/// The server goes away in mid-body: no half object when it is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_body_leaves_nothing_on_disk() {
    let Some(server) = versitygw("broken_body_leaves_nothing", true) else { return };
    let store = server.s3("cut", &settings(64 << 20));
    for good_bytes in [0, 50_000, 131_071, 131_072] {
        let body = breaking(good_bytes);
        let error = store.upload("k", 131_072, body, Precondition::Absent).await.unwrap_err();
        assert!(matches!(error, WriteError::Body { .. }), "{error:?}");
    }
    assert_eq!(store.head("k").await.unwrap(), None);
    assert!(!server.folder.path().join("lake/cut/k").exists());
}

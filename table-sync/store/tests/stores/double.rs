//! Stores over the S3 double, for what no real server can be made to do.

use std::time::Duration;

use driftless_testdata::s3::{Config, Credentials, S3Double};
use table_sync_store::{Settings, Store};

use crate::conformance::{Limits, conforms, keys};
use crate::servers::{KEY_ID, SECRET, named};

/// Small parts, and no time-out that a busy machine could meet.
pub fn settings() -> Settings {
    Settings { part_bytes: 5 << 20, ..Settings::default() }
}

/// Time-outs short enough to be waited for.
pub fn impatient() -> Settings {
    let request_timeout = Duration::from_millis(1500);
    Settings { request_timeout, retry_timeout: Duration::from_secs(10), ..settings() }
}

pub fn config() -> Config {
    Config { buckets: vec!["lake".to_owned()], ..Config::default() }
}

pub fn store(double: &S3Double, settings: &Settings) -> Store {
    let options = [
        ("endpoint", double.endpoint()),
        ("region", "us-east-1".to_owned()),
        ("access_key_id", KEY_ID.to_owned()),
        ("secret_access_key", SECRET.to_owned()),
    ];
    named("s3://lake/root", &options, settings)
}

/// With signatures verified, small pages, and nothing on the wire without a checksum.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn double_conforms() {
    let credentials = Some(Credentials::new(KEY_ID, SECRET));
    let double = S3Double::start(Config { credentials, page_size: 3, ..config() });
    let store = store(&double, &settings());
    conforms(&store, Limits { large_bytes: 12_000_000, keeps_crc32c: true }).await;
    assert_eq!(double.uploads("lake").len(), 0);
    for request in double.requests() {
        let header = |name: &str| request.headers.get(name).map(String::as_str);
        let is_upload = request.method == "PUT" && header("x-amz-copy-source").is_none();
        if is_upload {
            let payload = header("x-amz-content-sha256");
            assert_eq!(payload, Some("STREAMING-UNSIGNED-PAYLOAD-TRAILER"), "{request:?}");
            assert_eq!(header("x-amz-trailer"), Some("x-amz-checksum-crc32c"), "{request:?}");
        }
    }
}

/// What Hadoop's file systems keep for folders is no object of a table: on no page, and not where a
/// page has nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folder_objects_are_not_listed() {
    let double = S3Double::start(Config { page_size: 2, ..config() });
    let folders = ["t/", "t/.hoodie/", "t/.hoodie/.schema/", "t/.hoodie/.temp/", "t/p=1/"];
    let files = ["t/.hoodie/a.inflight", "t/p=1/b"];
    for key in folders.iter().chain(&files) {
        double.put_object("lake", &format!("root/{key}"), "");
    }
    let store = store(&double, &settings());
    assert_eq!(keys(&store, "t", None).await, files);
    assert_eq!(keys(&store, "t/.hoodie/.schema", None).await, [""; 0]);
    assert_eq!(keys(&store, "t", Some("t/.hoodie/a.inflight")).await, files[1..]);
    let path = object_store::path::Path::from("t/p=1");
    let level = store.object_store().list_with_delimiter(Some(&path)).await.unwrap();
    let found: Vec<_> = level.objects.iter().map(|meta| meta.location.as_ref()).collect();
    assert_eq!(found, ["t/p=1/b"]);
}

/// What the counters say is what the server saw.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_are_requests() {
    let double = S3Double::start(config());
    let store = store(&double, &settings());
    store.create("a", bytes::Bytes::from_static(b"123")).await.unwrap();
    store.get("a", 10).await.unwrap();
    store.head("a").await.unwrap();
    store.list("", None, |_| std::ops::ControlFlow::Continue(())).await.unwrap();
    let plane = store.object_store();
    let path = object_store::path::Path::from("a");
    object_store::ObjectStoreExt::head(&plane, &path).await.unwrap();
    let body = crate::bodies::pattern(11 << 20);
    store.upload("b", 11 << 20, body, table_sync_store::Precondition::Absent).await.unwrap();
    store.delete("b", None).await.unwrap();
    let counters = store.counters();
    assert_eq!(counters.requests(), double.requests().len() as u64, "{counters:?}");
    // One small object; three parts between two small requests.
    assert_eq!((counters.gets, counters.heads, counters.lists), (1, 2, 1));
    assert_eq!((counters.puts, counters.deletes), (1 + 5, 1));
    assert_eq!((counters.read_bytes, counters.written_bytes), (3, 3 + (11 << 20)));
}

//! Uploads in parts that were not finished: given up at once, or swept later.

use std::fs::File;
use std::time::{Duration, SystemTime};

use driftless_testdata::s3::{MutationKind, Outcome, ReadAction, S3Double};
use futures::stream::{self, StreamExt as _};
use object_store::ObjectStoreExt as _;
use table_sync_store::{Precondition, Settings, Store};

use crate::bodies::pattern;
use crate::double::{config, settings, store};
use crate::servers::{Opens as _, versitygw};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Begins an upload as a process does that is killed: nobody aborts it.
async fn begin(store: &Store, key: &str) {
    let path = object_store::path::Path::parse(key).unwrap();
    let mut upload = store.object_store().put_multipart(&path).await.unwrap();
    upload.put_part(vec![7; 5 << 20].into()).await.unwrap();
}

fn keys(double: &S3Double) -> Vec<String> {
    let mut keys: Vec<_> = double.uploads("lake").into_values().map(|(key, _)| key).collect();
    keys.sort();
    keys
}

/// The future of an upload is dropped in the middle of a part, as Ctrl-C does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_upload_is_aborted() {
    let double = S3Double::start(config());
    let store = store(&double, &settings());
    let (reached, at) = tokio::sync::oneshot::channel();
    let tail = stream::once(async move {
        reached.send(()).unwrap();
        std::future::pending().await
    });
    let body = pattern(7 << 20).chain(tail).boxed();
    let upload = store.upload("t/cut", 12 << 20, body, Precondition::Absent);
    tokio::select! {
        done = upload => panic!("{done:?}"),
        begun = at => begun.unwrap(),
    }
    let aborted = || {
        let mutations = double.mutations();
        mutations.iter().any(|info| info.kind == MutationKind::AbortUpload && info.applied())
    };
    while !aborted() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(keys(&double), Vec::<String>::new());
    assert_eq!(double.objects("lake").len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_takes_old_uploads_of_one_folder_over_several_pages() {
    let mut config = config();
    config.page_size = 2;
    let double = S3Double::start(config);
    let store = store(&double, &settings());
    // Two uploads of one key, odd names, and the folders beside.
    for key in ["t/a", "t/a", "t/b'&c", "t/p=1/d e", "t/z", "t2/a", "s/a"] {
        begin(&store, key).await;
    }
    assert_eq!(store.sweep_uploads("t", DAY).await, 0);
    double.age_uploads(DAY + Duration::from_secs(60));
    begin(&store, "t/c").await;
    double.take_requests();
    assert_eq!(store.sweep_uploads("t/", DAY).await, 5);
    assert_eq!(keys(&double), ["root/s/a", "root/t/c", "root/t2/a"]);
    let requests = double.take_requests();
    assert_eq!(requests.iter().filter(|request| request.method == "GET").count(), 3);
    assert_eq!(requests.len(), 3 + 5, "{requests:#?}");
    assert_eq!(store.sweep_uploads("none", DAY).await, 0);
    // The store's own root is a folder of its own too.
    assert_eq!(store.sweep_uploads("", DAY).await, 2);
    assert_eq!(keys(&double), ["root/t/c"]);
}

/// Servers without the call, or without the permission: one request, and nothing is wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_list_uploads_is_left_alone() {
    for (status, code) in [(501, "NotImplemented"), (403, "AccessDenied"), (503, "SlowDown")] {
        let double = S3Double::start(config());
        let store = store(&double, &settings());
        begin(&store, "t/a").await;
        double.age_uploads(2 * DAY);
        double.on_read(move |_| ReadAction::Refuse(status, code));
        double.take_requests();
        assert_eq!(store.sweep_uploads("t", DAY).await, 0);
        let requests = double.take_requests();
        assert_eq!(requests.len(), 1, "{requests:#?}");
        assert_eq!(requests[0].outcome, Outcome::Answered(status));
        assert_eq!(keys(&double), ["root/t/a"]);
    }
}

#[tokio::test]
async fn other_stores_have_nothing_to_sweep() {
    let memory = std::sync::Arc::new(object_store::memory::InMemory::new());
    let store = Store::over(memory, "memory:///");
    assert_eq!(store.sweep_uploads("t", Duration::ZERO).await, 0);
    assert_eq!(store.counters().requests(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versitygw_is_swept() {
    let Some(server) = versitygw("versitygw_is_swept", true) else { return };
    let store = server.s3("root", &Settings { part_bytes: 5 << 20, ..Settings::default() });
    for key in ["t/a", "t/b'&c", "t/p=1/d e", "t2/a"] {
        begin(&store, key).await;
    }
    assert_eq!(store.sweep_uploads("t", DAY).await, 0);
    // The server tells an upload's age by its folder.
    let uploads = server.folder.path().join("lake/.sgwtmp/multipart");
    let old = SystemTime::now() - DAY - Duration::from_secs(60);
    let folders = || {
        let objects = std::fs::read_dir(&uploads).unwrap().map(|entry| entry.unwrap().path());
        let ids = objects.flat_map(|object| std::fs::read_dir(object).unwrap());
        ids.map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
    };
    assert_eq!(folders().len(), 4);
    for folder in folders() {
        File::open(folder).unwrap().set_modified(old).unwrap();
    }
    begin(&store, "t/c").await;
    assert_eq!(store.sweep_uploads("t", DAY).await, 3);
    assert_eq!(folders().len(), 2);
    assert_eq!(store.sweep_uploads("t", DAY).await, 0);
}

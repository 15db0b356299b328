//! A store whose modification times the test decides: version 6 readers depend on them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::DateTime;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use table_sync_engine::Clock;

/// Modification times by key, and the time of the next write, ms since the epoch.
#[derive(Debug, Clone, Default)]
pub(crate) struct Times {
    by_key: Arc<Mutex<BTreeMap<String, i64>>>,
    now_ms: Arc<AtomicI64>,
}

impl Times {
    pub(crate) fn set_now(&self, now_ms: i64) {
        self.now_ms.store(now_ms, Ordering::SeqCst);
    }

    pub(crate) fn now(&self) -> i64 {
        self.now_ms.load(Ordering::SeqCst)
    }

    /// Notes that a key is written now.
    pub(crate) fn stamp(&self, key: &str) -> i64 {
        let now = self.now();
        self.by_key.lock().expect("times").insert(key.to_owned(), now);
        now
    }

    /// When a key was written.
    pub(crate) fn of(&self, key: &str) -> i64 {
        self.by_key.lock().expect("times").get(key).copied().unwrap_or_default()
    }

    fn fix(&self, meta: &mut ObjectMeta) {
        // As S3 reports it: whole seconds.
        let known = self.by_key.lock().expect("times").get(meta.location.as_ref()).copied();
        let Some(known) = known else { return };
        let seconds = known - known.rem_euclid(1_000);
        meta.last_modified = DateTime::from_timestamp_millis(seconds).expect("a time");
    }
}

impl Clock for Times {
    fn now_ms(&self) -> i64 {
        self.now()
    }
}

/// Shows the times of [`Times`] instead of the inner store's.
pub(crate) struct Stamped {
    inner: Arc<dyn ObjectStore>,
    times: Times,
}

impl Stamped {
    pub(crate) fn over(inner: Arc<dyn ObjectStore>, times: &Times) -> Arc<dyn ObjectStore> {
        Arc::new(Self { inner, times: times.clone() })
    }
}

impl fmt::Debug for Stamped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stamped")
    }
}

impl fmt::Display for Stamped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stamped")
    }
}

#[async_trait]
impl ObjectStore for Stamped {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let mut found = self.inner.get_opts(location, options).await?;
        self.times.fix(&mut found.meta);
        Ok(found)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let times = self.times.clone();
        let fix = move |mut meta: ObjectMeta| {
            times.fix(&mut meta);
            meta
        };
        self.inner.list(prefix).map(move |meta| meta.map(&fix)).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let mut found = self.inner.list_with_delimiter(prefix).await?;
        found.objects.iter_mut().for_each(|meta| self.times.fix(meta));
        Ok(found)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

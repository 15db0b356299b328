//! A store at which a process can be stopped: at a chosen mutation it never answers.

use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::sync::Notify;

/// Where the next stop is, shared between the test and its store.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stops {
    stop: Arc<Mutex<Option<Stop>>>,
    reached: Arc<Notify>,
}

#[derive(Debug)]
struct Stop {
    /// Mutations that are let through before it.
    left: u64,
    /// Whether the mutation takes effect.
    takes_effect: bool,
}

impl Stops {
    /// Stops at the `nth` mutation from now on, counted from 1: before its effect, or after it.
    pub(crate) fn at(&self, nth: u64, takes_effect: bool) {
        *self.stop.lock().expect("stops") =
            Some(Stop { left: nth.saturating_sub(1), takes_effect });
    }

    pub(crate) fn clear(&self) {
        *self.stop.lock().expect("stops") = None;
    }

    /// Notified when the stop is there.
    pub(crate) fn reached(&self) -> Arc<Notify> {
        Arc::clone(&self.reached)
    }

    /// Whether this mutation is the one, or comes after it; and then whether it takes effect.
    fn draw(&self) -> Option<bool> {
        let mut stop = self.stop.lock().expect("stops");
        let found = stop.as_mut()?;
        if found.left > 0 {
            found.left -= 1;
            return None;
        }
        // Nothing else happens from here on: the process is gone.
        Some(std::mem::take(&mut found.takes_effect))
    }

    async fn pass<T>(&self, effect: impl Future<Output = Result<T>>) -> Result<T> {
        let Some(takes_effect) = self.draw() else { return effect.await };
        if takes_effect {
            let _ = effect.await;
        }
        self.reached.notify_one();
        std::future::pending().await
    }
}

/// See [`Stops`].
pub(crate) struct Stopping {
    inner: Arc<dyn ObjectStore>,
    stops: Stops,
}

impl Stopping {
    pub(crate) fn over(inner: Arc<dyn ObjectStore>, stops: &Stops) -> Arc<dyn ObjectStore> {
        Arc::new(Self { inner, stops: stops.clone() })
    }
}

impl fmt::Debug for Stopping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stopping")
    }
}

impl fmt::Display for Stopping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stopping")
    }
}

#[async_trait]
impl ObjectStore for Stopping {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        self.stops.pass(self.inner.put_opts(location, payload, opts)).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let (inner, stops) = (Arc::clone(&self.inner), self.stops.clone());
        let delete = move |location: Path| {
            let (inner, stops) = (Arc::clone(&inner), stops.clone());
            async move {
                stops.pass(inner.delete(&location)).await?;
                Ok(location)
            }
        };
        locations.and_then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.stops.pass(self.inner.copy_opts(from, to, options)).await
    }
}

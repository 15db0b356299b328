//! A store that tells what was listed and read, and in which something may happen between the
//! first page of a listing and the last.

use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// A change of one object: what is put, or `None` where it is deleted.
pub(crate) type Change = (String, Option<&'static [u8]>);

/// See the module. Clones are the same store.
#[derive(Debug, Clone, Default)]
pub(crate) struct Listings {
    inner: Arc<InMemory>,
    requests: Arc<Mutex<Vec<String>>>,
    between: Arc<Mutex<Vec<Change>>>,
}

impl Listings {
    /// Requests since the last time, in order.
    pub(crate) fn taken(&self) -> Vec<String> {
        std::mem::take(&mut *self.requests.lock().unwrap())
    }

    /// Happens in the next listing of everything, after its first page.
    pub(crate) fn between_pages(&self, changes: Vec<Change>) {
        *self.between.lock().unwrap() = changes;
    }

    /// Applies changes, of which nothing is told.
    pub(crate) async fn change(&self, changes: &[Change]) {
        change(&self.inner, changes).await;
    }

    fn tell(&self, request: String) {
        self.requests.lock().unwrap().push(request);
    }
}

async fn change(inner: &InMemory, changes: &[Change]) {
    for (key, bytes) in changes {
        let path = Path::parse(key).unwrap();
        match bytes {
            Some(bytes) => {
                inner.put(&path, PutPayload::from_static(bytes)).await.unwrap();
            }
            None => inner.delete(&path).await.unwrap(),
        }
    }
}

fn name(prefix: Option<&Path>) -> String {
    prefix.map(ToString::to_string).unwrap_or_default()
}

impl fmt::Display for Listings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("listings")
    }
}

#[async_trait]
impl ObjectStore for Listings {
    async fn put_opts(&self, at: &Path, body: PutPayload, how: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(at, body, how).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        how: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, how).await
    }

    async fn get_opts(&self, at: &Path, how: GetOptions) -> Result<GetResult> {
        self.tell(format!("{} {at}", if how.head { "HEAD" } else { "GET" }));
        self.inner.get_opts(at, how).await
    }

    fn delete_stream(
        &self,
        all: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(all)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.tell(format!("LIST {}", name(prefix)));
        let changes = std::mem::take(&mut *self.between.lock().unwrap());
        if changes.is_empty() {
            return self.inner.list(prefix);
        }
        let (inner, prefix) = (Arc::clone(&self.inner), prefix.cloned());
        let pages = async move {
            let mut listed: Vec<_> = inner.list(prefix.as_ref()).try_collect().await?;
            change(&inner, &changes).await;
            // What sorts behind the first page is on a later one.
            let first = listed.last().map(|last| last.location.to_string()).unwrap_or_default();
            let later = changes.iter().filter(|(key, bytes)| *key > first && bytes.is_some());
            for (key, _) in later {
                listed.push(inner.head(&Path::parse(key).unwrap()).await?);
            }
            Ok::<_, object_store::Error>(stream::iter(listed).map(Ok))
        };
        stream::once(pages).try_flatten().boxed()
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.tell(format!("LIST {} from {}", name(prefix), offset.filename().unwrap_or_default()));
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.tell(format!("LEVEL {}", name(prefix)));
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, how: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, how).await
    }
}

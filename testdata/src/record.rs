//! Recording store: numbers every mutation and shows the state after it.
//!
//! # Invariants
//! - A mutation is recorded if and only if the inner store applied it; recording, hooks and the
//!   mutation are one step, so hooks see each intermediate state exactly once, in order.
//! - The mirror equals the inner store as long as all writes go through here. Injected faults
//!   belong outside: `FaultStore<RecordingStore<InMemory>>`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    Result, UploadPart,
};

use crate::Objects;

mod oracle;

pub use oracle::{Oracle, Reader};

/// How an object was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Op {
    /// One PUT, whatever was there.
    PutOverwrite,
    /// One PUT, put-if-absent.
    PutCreate,
    /// One PUT, if the tag still matches.
    PutUpdate,
    /// Completion of a multipart upload.
    Multipart,
    /// Server-side copy.
    Copy,
    /// Server-side copy, copy-if-absent.
    CopyCreate,
    /// Removal.
    Delete,
}

/// One applied change.
#[derive(Debug, Clone)]
pub struct Mutation {
    /// From 0, without gaps.
    pub number: usize,
    /// Whole key in the store, raw.
    pub key: String,
    /// How.
    pub op: Op,
    /// Content after the change; `None` after a delete.
    pub bytes: Option<Bytes>,
    /// Content before the change.
    pub previous: Option<Bytes>,
}

impl fmt::Display for Mutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.bytes.as_ref().map_or(0, Bytes::len);
        let again = if self.previous.is_some() { ", was there" } else { "" };
        write!(f, "#{} {:?} {} ({bytes} bytes{again})", self.number, self.op, self.key)
    }
}

/// Reads the state after a mutation: the objects below a prefix, keys relative to it.
pub type StateOf<'a> = dyn Fn(&str) -> Objects + 'a;

/// Called after each mutation, before its answer reaches the caller.
pub type Hook = Arc<dyn Fn(&Mutation, &StateOf<'_>) + Send + Sync>;

#[derive(Default)]
struct Mirror {
    objects: BTreeMap<String, Bytes>,
    log: Vec<Mutation>,
}

struct Shared<T> {
    inner: T,
    /// Held from before the inner mutation until the hooks returned.
    turn: tokio::sync::Mutex<()>,
    mirror: Mutex<Mirror>,
    hooks: Vec<Hook>,
}

/// Passes everything through and records what changes.
pub struct RecordingStore<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Clone for RecordingStore<T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<T: ObjectStore> RecordingStore<T> {
    /// Records the mutations of an empty store.
    pub fn new(inner: T, hooks: Vec<Hook>) -> Self {
        let (turn, mirror) = Default::default();
        Self { shared: Arc::new(Shared { inner, turn, mirror, hooks }) }
    }

    /// Records the mutations of a store that holds objects; what is there is no mutation.
    ///
    /// # Errors
    /// Those of listing and reading the inner store.
    pub async fn with_content(inner: T, hooks: Vec<Hook>) -> Result<Self> {
        let store = Self::new(inner, hooks);
        let inner = &store.shared.inner;
        let found: Vec<ObjectMeta> = inner.list(None).try_collect().await?;
        for meta in found {
            let bytes = inner.get(&meta.location).await?.bytes().await?;
            let mut mirror = store.shared.mirror.lock().expect("no hook panicked");
            mirror.objects.insert(meta.location.as_ref().to_owned(), bytes);
        }
        Ok(store)
    }

    /// Every mutation so far.
    pub fn mutations(&self) -> Vec<Mutation> {
        self.shared.mirror.lock().expect("no hook panicked").log.clone()
    }

    /// The objects below a prefix now, keys relative to it. The empty prefix is the whole store.
    pub fn objects(&self, prefix: &str) -> Objects {
        below(&self.shared.mirror.lock().expect("no hook panicked").objects, prefix)
    }
}

fn below(objects: &BTreeMap<String, Bytes>, prefix: &str) -> Objects {
    let folder = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
    let found = objects.range(folder.clone()..);
    let found = found.map_while(|(key, bytes)| Some((key.strip_prefix(&folder)?, bytes)));
    found.map(|(key, bytes)| (key.to_owned(), bytes.clone())).collect()
}

impl<T> Shared<T> {
    fn record(&self, key: &Path, op: Op, bytes: Option<Bytes>) {
        let (mutation, objects) = {
            let mut mirror = self.mirror.lock().expect("no hook panicked");
            let key = key.as_ref().to_owned();
            let previous = match &bytes {
                Some(bytes) => mirror.objects.insert(key.clone(), bytes.clone()),
                None => mirror.objects.remove(&key),
            };
            let mutation = Mutation { number: mirror.log.len(), key, op, bytes, previous };
            mirror.log.push(mutation.clone());
            (mutation, mirror.objects.clone())
        };
        for hook in &self.hooks {
            hook(&mutation, &|prefix| below(&objects, prefix));
        }
    }

    fn content(&self, key: &Path) -> Option<Bytes> {
        self.mirror.lock().expect("no hook panicked").objects.get(key.as_ref()).cloned()
    }
}

impl<T: ObjectStore> fmt::Debug for RecordingStore<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordingStore({:?})", self.shared.inner)
    }
}

impl<T: ObjectStore> fmt::Display for RecordingStore<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordingStore({})", self.shared.inner)
    }
}

fn joined(payload: &PutPayload) -> Bytes {
    let mut bytes = BytesMut::with_capacity(payload.content_length());
    for chunk in payload {
        bytes.extend_from_slice(chunk);
    }
    bytes.freeze()
}

#[async_trait]
impl<T: ObjectStore> ObjectStore for RecordingStore<T> {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        let op = match opts.mode {
            PutMode::Overwrite => Op::PutOverwrite,
            PutMode::Create => Op::PutCreate,
            PutMode::Update(_) => Op::PutUpdate,
        };
        let bytes = joined(&payload);
        let _turn = self.shared.turn.lock().await;
        let result = self.shared.inner.put_opts(location, payload, opts).await?;
        self.shared.record(location, op, Some(bytes));
        Ok(result)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let inner = self.shared.inner.put_multipart_opts(location, opts).await?;
        let shared = self.shared.clone();
        Ok(Box::new(Upload { shared, inner, location: location.clone(), parts: Vec::new() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.shared.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let shared = self.shared.clone();
        locations
            .and_then(move |location| {
                let shared = shared.clone();
                async move {
                    let _turn = shared.turn.lock().await;
                    shared.inner.delete(&location).await?;
                    shared.record(&location, Op::Delete, None);
                    Ok(location)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.shared.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.shared.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.shared.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let op = match options.mode {
            CopyMode::Create => Op::CopyCreate,
            CopyMode::Overwrite => Op::Copy,
        };
        let _turn = self.shared.turn.lock().await;
        let bytes = self.shared.content(from);
        self.shared.inner.copy_opts(from, to, options).await?;
        self.shared.record(to, op, bytes);
        Ok(())
    }
}

struct Upload<T> {
    shared: Arc<Shared<T>>,
    inner: Box<dyn MultipartUpload>,
    location: Path,
    parts: Vec<Bytes>,
}

impl<T> fmt::Debug for Upload<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upload({}, {} parts)", self.location, self.parts.len())
    }
}

#[async_trait]
impl<T: ObjectStore> MultipartUpload for Upload<T> {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.parts.push(joined(&data));
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let shared = self.shared.clone();
        let _turn = shared.turn.lock().await;
        let result = self.inner.complete().await?;
        shared.record(&self.location, Op::Multipart, Some(self.parts.concat().into()));
        Ok(result)
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}

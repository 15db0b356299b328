//! A store that makes its one table up as it is listed. Nothing can be written.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result,
};

use crate::made::Made;

/// The table's root in the store.
pub const ROOT: &str = "t";

/// Newest commits whose bytes are made before anything is measured.
const PREPARED: u64 = 10;

/// A table as it is at some time of its life. Clones of a store share it.
#[derive(Clone)]
pub struct MadeStore {
    now: Arc<Mutex<Now>>,
    /// Of the timeline only completed instants are here.
    is_replica: bool,
}

#[derive(Clone)]
struct Now {
    table: Made,
    prepared: Arc<BTreeMap<u64, Bytes>>,
}

impl Now {
    fn of(table: Made) -> Self {
        let newest = table.instants.saturating_sub(PREPARED)..table.instants;
        let prepared = newest.map(|instant| (instant, table.commit(instant)));
        Self { prepared: Arc::new(prepared.collect()), table }
    }
}

fn meta(key: &str, size: u64) -> ObjectMeta {
    let location = Path::from(format!("{ROOT}/{key}"));
    let last_modified = chrono::DateTime::from_timestamp(1_704_067_200, 0).unwrap();
    ObjectMeta { location, last_modified, size, e_tag: Some("\"1\"".to_owned()), version: None }
}

fn refuse<T>(operation: &str) -> Result<T> {
    Err(Error::NotImplemented { operation: operation.into(), implementer: "made".into() })
}

impl MadeStore {
    pub fn new(table: Made) -> Self {
        Self { now: Arc::new(Mutex::new(Now::of(table))), is_replica: false }
    }

    /// A replica of the table.
    pub fn replica(table: Made) -> Self {
        Self { is_replica: true, ..Self::new(table) }
    }

    /// Makes the table what it is at a later time.
    pub fn becomes(&self, table: Made) {
        *self.now.lock().unwrap() = Now::of(table);
    }

    fn now(&self) -> Now {
        self.now.lock().unwrap().clone()
    }

    pub fn partition(&self, partition: u64) -> Vec<ObjectMeta> {
        let table = self.now().table;
        let marker = format!("p={partition:04}/.hoodie_partition_metadata");
        let files = table.partition(partition).map(|file| meta(&file.key, file.size));
        files.chain([meta(&marker, table.marker_bytes())]).collect()
    }

    /// The timeline from an instant on.
    pub fn timeline(&self, from: u64) -> Vec<ObjectMeta> {
        let table = self.now().table;
        let key = |(name, size): (String, u64)| meta(&format!(".hoodie/timeline/{name}"), size);
        match self.is_replica {
            true => table.completed(from).map(key).collect(),
            false => table.timeline(from).map(key).collect(),
        }
    }

    fn bytes(&self, key: &str) -> Option<Bytes> {
        if key.ends_with("/hoodie.properties") {
            return Some(self.now().table.properties());
        }
        let name = key.rsplit('/').next().filter(|name| name.ends_with(".deltacommit"))?;
        let instant = Made::instant_of(name);
        let Now { table, prepared } = self.now();
        Some(prepared.get(&instant).cloned().unwrap_or_else(|| table.commit(instant)))
    }
}

impl fmt::Debug for MadeStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MadeStore")
    }
}

impl fmt::Display for MadeStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("made")
    }
}

#[async_trait]
impl ObjectStore for MadeStore {
    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        refuse("put")
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        refuse("put")
    }

    async fn get_opts(&self, location: &Path, _: GetOptions) -> Result<GetResult> {
        let key = location.as_ref();
        let Some(bytes) = self.bytes(key) else {
            return Err(Error::NotFound { path: key.to_owned(), source: "not made".into() });
        };
        let size = bytes.len() as u64;
        Ok(GetResult {
            meta: ObjectMeta { location: location.clone(), ..meta("", size) },
            range: 0..size,
            payload: GetResultPayload::Stream(stream::iter([Ok(bytes)]).boxed()),
            attributes: Attributes::default(),
        })
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        locations.map(|_| refuse("delete")).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let store = self.clone();
        let prefix = prefix.map(ToString::to_string).unwrap_or_default();
        if prefix.ends_with("timeline") {
            return stream::iter(store.timeline(0).into_iter().map(Ok)).boxed();
        }
        let partition = prefix.rsplit("p=").next().and_then(|text| text.parse().ok());
        let found = partition.map(|at| store.partition(at)).unwrap_or_default();
        stream::iter(found.into_iter().map(Ok)).boxed()
    }

    fn list_with_offset(
        &self,
        _: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        // Asked of timelines only, from an instant on.
        let from = Made::instant_of(offset.filename().unwrap_or_default());
        stream::iter(self.timeline(from).into_iter().map(Ok)).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let whole = prefix.is_some_and(|prefix| prefix.as_ref() == ROOT);
        let partitions = if whole { self.now().table.partitions } else { 0 };
        let folders = (0..partitions).map(|at| Path::from(format!("{ROOT}/p={at:04}")));
        Ok(ListResult { common_prefixes: folders.collect(), objects: Vec::new() })
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        refuse("copy")
    }
}

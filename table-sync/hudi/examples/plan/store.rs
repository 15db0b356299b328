//! A store that makes its one table up as it is listed. Nothing can be written.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

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

#[derive(Clone)]
pub struct MadeStore {
    table: Made,
    prepared: Arc<BTreeMap<u64, Bytes>>,
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
        let newest = table.instants.saturating_sub(PREPARED)..table.instants;
        let prepared = newest.map(|instant| (instant, table.commit(instant)));
        let prepared = Arc::new(prepared.collect());
        Self { table, prepared }
    }

    pub fn partition(&self, partition: u64) -> impl Iterator<Item = ObjectMeta> {
        let marker = format!("p={partition:04}/.hoodie_partition_metadata");
        let files = self.table.partition(partition).map(|file| meta(&file.key, file.size));
        files.chain([meta(&marker, self.table.marker_bytes())])
    }

    pub fn timeline(&self) -> impl Iterator<Item = ObjectMeta> {
        let names = self.table.timeline();
        names.map(|(name, size)| meta(&format!(".hoodie/timeline/{name}"), size))
    }

    fn bytes(&self, key: &str) -> Option<Bytes> {
        if key.ends_with("/hoodie.properties") {
            return Some(self.table.properties());
        }
        let name = key.rsplit('/').next().filter(|name| name.ends_with(".deltacommit"))?;
        let instant = Made::instant_of(name);
        Some(self.prepared.get(&instant).cloned().unwrap_or_else(|| self.table.commit(instant)))
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
            let found: Vec<_> = store.timeline().map(Ok).collect();
            return stream::iter(found).boxed();
        }
        let partition = prefix.rsplit("p=").next().and_then(|text| text.parse().ok());
        let found = partition.map(|at| store.partition(at).map(Ok).collect::<Vec<_>>());
        stream::iter(found.unwrap_or_default()).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let whole = prefix.is_some_and(|prefix| prefix.as_ref() == ROOT);
        let partitions = if whole { self.table.partitions } else { 0 };
        let folders = (0..partitions).map(|at| Path::from(format!("{ROOT}/p={at:04}")));
        Ok(ListResult { common_prefixes: folders.collect(), objects: Vec::new() })
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        refuse("copy")
    }
}

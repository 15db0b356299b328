//! A folder as an `ObjectStore`, for the control plane: the same paths, the same confinement.

use std::fmt;
use std::ops::Range;

use chrono::{DateTime, Utc};
use futures::stream::{BoxStream, StreamExt as _};
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result,
};
use table_sync_core::ObjectIdentity;

use super::Folder;
use crate::body::{Facts, Listed, Precondition};
use crate::error::{ReadError, WriteError};

const STORE: &str = "file";

#[derive(Debug, Clone)]
pub(crate) struct FileObjects(pub(crate) Folder);

impl fmt::Display for FileObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(STORE)
    }
}

#[async_trait::async_trait]
impl ObjectStore for FileObjects {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let on = match options.mode {
            PutMode::Create => Precondition::Absent,
            PutMode::Overwrite => Precondition::Any,
            PutMode::Update(version) => {
                let found = self.0.head(location.as_ref()).await.map_err(read_failure)?;
                let size_bytes = found.map_or(0, |facts| facts.identity.size_bytes);
                let e_tag = version.e_tag;
                Precondition::Match(ObjectIdentity { e_tag, version: None, size_bytes })
            }
        };
        let size_bytes = payload.content_length() as u64;
        let body = futures::stream::iter(payload.into_iter().map(Ok)).boxed();
        let put = self.0.upload(location.as_ref(), size_bytes, body, on).await;
        let put = put.map_err(write_failure)?;
        Ok(PutResult { e_tag: put.identity.e_tag, version: None })
    }

    async fn put_multipart_opts(
        &self,
        _location: &Path,
        _options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(not_implemented("put_multipart_opts"))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let key = location.as_ref();
        let facts = self.0.head(key).await.map_err(read_failure)?;
        let facts = facts.ok_or_else(|| read_failure(ReadError::not_found(key)))?;
        let meta = meta(location.clone(), &facts);
        options.check_preconditions(&meta)?;
        let range = range(options.range.as_ref(), meta.size);
        let attributes = Attributes::default();
        if options.head {
            let payload = GetResultPayload::Stream(futures::stream::empty().boxed());
            return Ok(GetResult { payload, meta, range, attributes });
        }
        let reading = self.0.read(key, Some(range.clone()), Some(&facts.identity)).await;
        let body = reading.map_err(read_failure)?.body.map(|chunk| chunk.map_err(read_failure));
        let payload = GetResultPayload::Stream(body.boxed());
        Ok(GetResult { payload, meta, range, attributes })
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let folder = self.0.clone();
        locations
            .then(move |location| {
                let folder = folder.clone();
                async move {
                    let location = location?;
                    folder.delete(location.as_ref(), None).await.map_err(write_failure)?;
                    Ok(location)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        list(&self.0, prefix, None)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        list(&self.0, prefix, Some(offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let under = prefix.map(Path::as_ref).unwrap_or_default();
        let level = self.0.level(under).await.map_err(read_failure)?;
        // A file name that is no key of `object_store` is not one of ours either.
        let folders = level.folders.iter().filter_map(|key| Path::parse(key).ok());
        let files = level
            .files
            .iter()
            .filter_map(|(key, facts)| Path::parse(key).ok().map(|location| meta(location, facts)));
        Ok(ListResult { common_prefixes: folders.collect(), objects: files.collect() })
    }

    async fn copy_opts(&self, _from: &Path, _to: &Path, _options: CopyOptions) -> Result<()> {
        Err(not_implemented("copy_opts"))
    }
}

fn list(
    folder: &Folder,
    prefix: Option<&Path>,
    start_after: Option<&Path>,
) -> BoxStream<'static, Result<ObjectMeta>> {
    let prefix = prefix.map(Path::as_ref).unwrap_or_default();
    let listed = folder.walk(prefix, start_after.map(Path::as_ref));
    futures::stream::unfold(listed, |mut listed| async move {
        let entry = listed.recv().await?;
        Some((entry, listed))
    })
    .filter_map(|entry| async move {
        match entry {
            Ok(Listed { key, identity, modified_ms }) => {
                let location = Path::parse(&key).ok()?;
                Some(Ok(meta(location, &Facts { identity, crc32c: None, modified_ms })))
            }
            Err(error) => Some(Err(read_failure(error))),
        }
    })
    .boxed()
}

fn meta(location: Path, facts: &Facts) -> ObjectMeta {
    let last_modified: DateTime<Utc> =
        DateTime::from_timestamp_millis(facts.modified_ms).unwrap_or_default();
    ObjectMeta {
        location,
        last_modified,
        size: facts.identity.size_bytes,
        e_tag: facts.identity.e_tag.clone(),
        version: None,
    }
}

fn range(wanted: Option<&GetRange>, size: u64) -> Range<u64> {
    match wanted {
        None => 0..size,
        Some(GetRange::Bounded(range)) => range.start.min(size)..range.end.min(size),
        Some(GetRange::Offset(start)) => (*start).min(size)..size,
        Some(GetRange::Suffix(bytes)) => size.saturating_sub(*bytes)..size,
    }
}

fn read_failure(error: ReadError) -> Error {
    match error {
        ReadError::NotFound { ref key } => {
            Error::NotFound { path: key.clone(), source: Box::new(error) }
        }
        ReadError::Changed { ref key } => {
            Error::Precondition { path: key.clone(), source: Box::new(error) }
        }
        ReadError::Denied { ref key, .. } => {
            Error::PermissionDenied { path: key.clone(), source: Box::new(error) }
        }
        _ => Error::Generic { store: STORE, source: Box::new(error) },
    }
}

fn write_failure(error: WriteError) -> Error {
    match error {
        WriteError::Exists { ref key } => {
            Error::AlreadyExists { path: key.clone(), source: Box::new(error) }
        }
        WriteError::Changed { ref key } => {
            Error::Precondition { path: key.clone(), source: Box::new(error) }
        }
        WriteError::Denied { ref key, .. } => {
            Error::PermissionDenied { path: key.clone(), source: Box::new(error) }
        }
        _ => Error::Generic { store: STORE, source: Box::new(error) },
    }
}

fn not_implemented(operation: &str) -> Error {
    Error::NotImplemented { operation: operation.to_owned(), implementer: STORE.to_owned() }
}

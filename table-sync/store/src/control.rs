//! The control plane: an [`ObjectStore`] that counts its requests and cleans its errors.
//!
//! What the log readers use, and what every store other than S3 and a folder writes through.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt as _};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    UploadPart,
};

use crate::counters::{Class, Meter};
use crate::secret::Redactor;

#[derive(Clone)]
pub(crate) struct ControlPlane {
    pub(crate) inner: Arc<dyn ObjectStore>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) redactor: Redactor,
}

impl ControlPlane {
    fn clean<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| clean(&self.redactor, error))
    }

    fn clean_each<T: 'static>(
        &self,
        stream: BoxStream<'static, Result<T>>,
    ) -> BoxStream<'static, Result<T>> {
        let redactor = self.redactor.clone();
        stream.map(move |item| item.map_err(|error| clean(&redactor, error))).boxed()
    }
}

/// The same kind of error with cleaned text.
fn clean(redactor: &Redactor, error: Error) -> Error {
    let source = Box::new(redactor.error(&error));
    match error {
        Error::NotFound { path, .. } => Error::NotFound { path, source },
        Error::AlreadyExists { path, .. } => Error::AlreadyExists { path, source },
        Error::Precondition { path, .. } => Error::Precondition { path, source },
        Error::NotModified { path, .. } => Error::NotModified { path, source },
        Error::PermissionDenied { path, .. } => Error::PermissionDenied { path, source },
        Error::Unauthenticated { path, .. } => Error::Unauthenticated { path, source },
        Error::NotSupported { .. } => Error::NotSupported { source },
        Error::Generic { store, .. } => Error::Generic { store, source },
        // These hold no text of a server or of a URL.
        Error::InvalidPath { .. }
        | Error::JoinError { .. }
        | Error::NotImplemented { .. }
        | Error::UnknownConfigurationKey { .. } => error,
        _ => Error::Generic { store: "store", source },
    }
}

impl fmt::Debug for ControlPlane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ControlPlane")
    }
}

impl fmt::Display for ControlPlane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("store")
    }
}

#[async_trait::async_trait]
impl ObjectStore for ControlPlane {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.meter.request(Class::Put);
        let bytes = payload.content_length() as u64;
        let result = self.clean(self.inner.put_opts(location, payload, options).await);
        if result.is_ok() {
            self.meter.wrote(bytes);
        }
        result
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.meter.request(Class::Put);
        let upload = self.clean(self.inner.put_multipart_opts(location, options).await)?;
        Ok(Box::new(Counted { inner: upload, plane: self.clone() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.meter.request(if options.head { Class::Head } else { Class::Get });
        let mut result = self.clean(self.inner.get_opts(location, options).await)?;
        // `PrefixStore` of object_store 0.13 gives the whole key here.
        result.meta.location = location.clone();
        result.payload = match result.payload {
            GetResultPayload::Stream(stream) => {
                let meter = Arc::clone(&self.meter);
                let counted = self.clean_each(stream).inspect(move |chunk| {
                    if let Ok(chunk) = chunk {
                        meter.read(chunk.len());
                    }
                });
                GetResultPayload::Stream(counted.boxed())
            }
            other => other,
        };
        Ok(result)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.meter.request(Class::Get);
        let found = self.clean(self.inner.get_ranges(location, ranges).await)?;
        self.meter.read(found.iter().map(Bytes::len).sum());
        Ok(found)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let meter = Arc::clone(&self.meter);
        let counted = locations.inspect(move |_| meter.request(Class::Delete)).boxed();
        self.clean_each(self.inner.delete_stream(counted))
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.meter.request(Class::List);
        self.clean_each(self.inner.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.meter.request(Class::List);
        self.clean_each(self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.meter.request(Class::List);
        self.clean(self.inner.list_with_delimiter(prefix).await)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.meter.request(Class::Copy);
        self.clean(self.inner.copy_opts(from, to, options).await)
    }
}

struct Counted {
    inner: Box<dyn MultipartUpload>,
    plane: ControlPlane,
}

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Counted")
    }
}

#[async_trait::async_trait]
impl MultipartUpload for Counted {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.plane.meter.request(Class::Put);
        self.plane.meter.wrote(data.content_length() as u64);
        let plane = self.plane.clone();
        let part = self.inner.put_part(data);
        Box::pin(async move { plane.clean(part.await) })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.plane.meter.request(Class::Put);
        let result = self.inner.complete().await;
        self.plane.clean(result)
    }

    async fn abort(&mut self) -> Result<()> {
        self.plane.meter.request(Class::Delete);
        let result = self.inner.abort().await;
        self.plane.clean(result)
    }
}

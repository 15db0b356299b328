//! A store, opened: one set of operations whatever is behind it.
//!
//! All keys are raw, relative to the store root.
//!
//! # Invariants
//! - No operation repeats a write whose outcome is unknown: the caller reads back and decides.
//! - An upload commits only after its body ended with exactly the announced number of bytes.
//! - A read never mixes two contents of one key.

use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream::StreamExt as _;
use object_store::ObjectStore;
use object_store::prefix::PrefixStore;
use table_sync_core::ObjectIdentity;

use crate::body::{Body, Facts, Listed, Precondition, Reading, Uploaded, of_bytes};
use crate::control::ControlPlane;
use crate::counters::{Class, Counters, Meter};
use crate::error::{ReadError, WriteError};
use crate::file::Folder;
use crate::objects::Objects;
use crate::s3::S3;
use crate::secret::Redactor;
use crate::settings::Settings;

/// What is behind a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StoreKind {
    /// A folder of a local file system.
    File,
    /// S3, or a store that speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
    /// Whatever was passed to [`Store::over`].
    Other,
}

/// An open store. Clones share connections and counters.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    url: String,
    kind: StoreKind,
    /// Equal for stores that one server-side copy can span; with `prefix` it names the root.
    realm: String,
    prefix: String,
    plane: ControlPlane,
    /// The control plane without a time-out for whole requests.
    bulk: ControlPlane,
    /// Longest wait for an answer or for the next bytes of a body.
    patience: Duration,
    meter: Arc<Meter>,
    backend: Backend,
}

enum Backend {
    File(Folder),
    S3(S3),
    Objects,
}

/// What [`open`](crate::open()) puts together.
pub(crate) struct Parts {
    pub(crate) url: String,
    pub(crate) kind: StoreKind,
    pub(crate) realm: String,
    /// Key prefix of the root in its bucket, without slashes at its ends.
    pub(crate) prefix: String,
    /// Rooted at the bucket.
    pub(crate) objects: Arc<dyn ObjectStore>,
    /// The same without a time-out for whole requests, where there is a difference.
    pub(crate) bulk: Option<Arc<dyn ObjectStore>>,
    pub(crate) patience: Duration,
    pub(crate) s3: Option<S3>,
    pub(crate) folder: Option<Folder>,
    pub(crate) redactor: Redactor,
    pub(crate) meter: Arc<Meter>,
}

impl Store {
    /// A store over anything that is an [`ObjectStore`], rooted at its root: for tests, and for
    /// wrappers. Everything goes through the trait.
    pub fn over(object_store: Arc<dyn ObjectStore>, url: &str) -> Self {
        // Two handles of one object are one store; nothing else is known to be.
        let realm = format!("{:p}", Arc::as_ptr(&object_store).cast::<()>());
        Self::assemble(Parts {
            url: url.to_owned(),
            kind: StoreKind::Other,
            realm,
            prefix: String::new(),
            objects: object_store,
            bulk: None,
            patience: Settings::default().request_timeout,
            s3: None,
            folder: None,
            redactor: Redactor::default(),
            meter: Arc::default(),
        })
    }

    pub(crate) fn assemble(parts: Parts) -> Self {
        let Parts { url, kind, realm, prefix, patience, s3, folder, meter, .. } = parts;
        let plane = |objects: Arc<dyn ObjectStore>| ControlPlane {
            inner: rooted(objects, &prefix, kind),
            meter: Arc::clone(&meter),
            redactor: parts.redactor.clone(),
        };
        let bulk = plane(parts.bulk.unwrap_or_else(|| Arc::clone(&parts.objects)));
        let plane = plane(parts.objects);
        let backend = match (folder, s3) {
            (Some(folder), _) => Backend::File(folder),
            (None, Some(s3)) => Backend::S3(s3),
            (None, None) => Backend::Objects,
        };
        let inner = Inner { url, kind, realm, prefix, plane, bulk, patience, meter, backend };
        Self { inner: Arc::new(inner) }
    }

    /// URL of the root. Never holds credentials.
    pub fn url(&self) -> &str {
        &self.inner.url
    }

    /// What is behind it.
    pub fn kind(&self) -> StoreKind {
        self.inner.kind
    }

    /// The control plane: the same root, counted, with cleaned errors.
    pub fn object_store(&self) -> Arc<dyn ObjectStore> {
        Arc::new(self.inner.plane.clone())
    }

    /// Whether both are one root of one store under the same credentials: then a key means the
    /// same object in both, and [`Store::copy_within`] works.
    pub fn same_store(&self, other: &Self) -> bool {
        self.can_copy_from(other) && self.inner.prefix == other.inner.prefix
    }

    /// Whether [`Store::copy_from`] works: one bucket under the same credentials, whatever the
    /// roots.
    pub fn can_copy_from(&self, source: &Self) -> bool {
        self.inner.kind == source.inner.kind && self.inner.realm == source.inner.realm
    }

    /// What was asked of it so far.
    pub fn counters(&self) -> Counters {
        self.inner.meter.counters()
    }

    fn objects(&self) -> Objects {
        let pins_version = self.inner.kind == StoreKind::Gcs;
        let bulk = Arc::new(self.inner.bulk.clone());
        let patience = self.inner.patience;
        Objects { store: self.object_store(), bulk, patience, pins_version }
    }

    pub(crate) fn s3(&self) -> Option<&S3> {
        match &self.inner.backend {
            Backend::S3(s3) => Some(s3),
            Backend::File(_) | Backend::Objects => None,
        }
    }

    /// Key prefix of the root in its bucket, without slashes at its ends.
    pub(crate) fn prefix(&self) -> &str {
        &self.inner.prefix
    }

    pub(crate) fn folder(&self) -> Option<&Folder> {
        match &self.inner.backend {
            Backend::File(folder) => Some(folder),
            Backend::S3(_) | Backend::Objects => None,
        }
    }

    /// The same store, cutting uploads into parts of another size.
    pub(crate) fn with_part_bytes(&self, part_bytes: u64) -> Self {
        let Backend::S3(s3) = &self.inner.backend else { return self.clone() };
        let inner = Inner {
            url: self.inner.url.clone(),
            kind: self.inner.kind,
            realm: self.inner.realm.clone(),
            prefix: self.inner.prefix.clone(),
            plane: self.inner.plane.clone(),
            bulk: self.inner.bulk.clone(),
            patience: self.inner.patience,
            meter: Arc::clone(&self.inner.meter),
            backend: Backend::S3(s3.with_part_bytes(part_bytes)),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Removes empty folders, where a store has folders.
    pub(crate) async fn remove_folders(&self, folder: &str) {
        if let Some(files) = self.folder() {
            files.remove_folders(folder).await;
        }
    }

    fn count(&self, class: Class) {
        self.inner.meter.request(class);
    }

    /// Lists all objects below the folder `prefix` (with or without its trailing slash) until
    /// `each` breaks. In key order on every supported store; `start_after` is a whole key.
    ///
    /// # Errors
    /// [`ReadError`]; `each` may have seen some entries.
    pub async fn list(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        each: impl FnMut(Listed) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        match &self.inner.backend {
            Backend::File(folder) => {
                self.count(Class::List);
                folder.list(prefix, start_after, each).await
            }
            Backend::S3(_) | Backend::Objects => {
                self.objects().list(prefix, start_after, each).await
            }
        }
    }

    /// Facts of an object; `None` when there is none.
    ///
    /// # Errors
    /// [`ReadError`], but never `NotFound`.
    pub async fn head(&self, key: &str) -> Result<Option<Facts>, ReadError> {
        match &self.inner.backend {
            Backend::File(folder) => {
                self.count(Class::Head);
                folder.head(key).await
            }
            Backend::S3(s3) => s3.head(key).await,
            Backend::Objects => self.objects().head(key).await,
        }
    }

    /// A small object whole; `None` when there is none.
    ///
    /// # Errors
    /// [`ReadError::TooLarge`] above `bytes_max`, before its bytes are read.
    pub async fn get(
        &self,
        key: &str,
        bytes_max: u64,
    ) -> Result<Option<(Bytes, Facts)>, ReadError> {
        let reading = match self.read(key, None, None).await {
            Ok(reading) => reading,
            Err(ReadError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let object_bytes = reading.object_bytes;
        if object_bytes > bytes_max {
            return Err(ReadError::TooLarge { key: key.to_owned(), object_bytes, bytes_max });
        }
        let Reading { identity, crc32c, modified_ms, mut body, .. } = reading;
        let mut whole = BytesMut::new();
        while let Some(chunk) = body.next().await {
            whole.extend_from_slice(&chunk?);
        }
        Ok(Some((whole.freeze(), Facts { identity, crc32c, modified_ms })))
    }

    /// Opens an object, or a half-open byte range of it, on the condition that it is the pinned
    /// one.
    ///
    /// # Errors
    /// [`ReadError::NotFound`]; [`ReadError::Changed`] when the pin does not hold, here or later
    /// from the body.
    pub async fn read(
        &self,
        key: &str,
        range: Option<Range<u64>>,
        pin: Option<&ObjectIdentity>,
    ) -> Result<Reading, ReadError> {
        match &self.inner.backend {
            Backend::File(folder) => {
                self.count(Class::Get);
                let mut reading = folder.read(key, range, pin).await?;
                let meter = Arc::clone(&self.inner.meter);
                let counted = reading.body.inspect(move |chunk| {
                    if let Ok(chunk) = chunk {
                        meter.read(chunk.len());
                    }
                });
                reading.body = counted.boxed();
                Ok(reading)
            }
            Backend::S3(s3) => s3.read(key, range, pin).await,
            Backend::Objects => self.objects().read(key, range, pin).await,
        }
    }

    /// Creates a small object if its key is free, with one request.
    ///
    /// # Errors
    /// [`WriteError::Exists`]; [`WriteError::Unknown`] asks for reading back.
    pub async fn create(&self, key: &str, bytes: Bytes) -> Result<Facts, WriteError> {
        self.put(key, bytes, Precondition::Absent).await
    }

    /// Creates an object from a local file if its key is free, with one request.
    ///
    /// # Errors
    /// As [`Store::create`]; [`WriteError::TooLarge`] when one request cannot take `size_bytes`.
    pub async fn create_file(
        &self,
        key: &str,
        file: &Path,
        size_bytes: u64,
    ) -> Result<Facts, WriteError> {
        match &self.inner.backend {
            Backend::File(folder) => {
                self.count(Class::Put);
                let body = Self::local_file(file);
                let put = folder.upload(key, size_bytes, body, Precondition::Absent).await?;
                self.inner.meter.wrote(size_bytes);
                Ok(facts(put))
            }
            Backend::S3(s3) => {
                let body = Self::local_file(file);
                s3.put(key, size_bytes, body, &Precondition::Absent).await.map(facts)
            }
            Backend::Objects => self.objects().put_file(key, file, size_bytes).await,
        }
    }

    /// Replaces a small object: `expect` must be there, or nothing for `None`.
    ///
    /// # Errors
    /// [`WriteError::Changed`], or [`WriteError::Exists`] for `None`.
    pub async fn replace(
        &self,
        key: &str,
        bytes: Bytes,
        expect: Option<&ObjectIdentity>,
    ) -> Result<Facts, WriteError> {
        let on = expect.map_or(Precondition::Absent, |pin| Precondition::Match(pin.clone()));
        self.put(key, bytes, on).await
    }

    async fn put(&self, key: &str, bytes: Bytes, on: Precondition) -> Result<Facts, WriteError> {
        let size_bytes = bytes.len() as u64;
        match &self.inner.backend {
            Backend::File(folder) => {
                self.count(Class::Put);
                let put = folder.upload(key, size_bytes, of_bytes(bytes), on).await?;
                self.inner.meter.wrote(size_bytes);
                Ok(facts(put))
            }
            Backend::S3(s3) => s3.put(key, size_bytes, of_bytes(bytes), &on).await.map(facts),
            Backend::Objects => self.objects().put(key, vec![bytes], &on).await,
        }
    }

    /// Streams a body into an object of exactly `size_bytes`; large ones in parts. Memory does
    /// not grow with the size.
    ///
    /// # Errors
    /// [`WriteError::Body`] with the body's own error: nothing was committed.
    pub async fn upload(
        &self,
        key: &str,
        size_bytes: u64,
        body: Body,
        on: Precondition,
    ) -> Result<Uploaded, WriteError> {
        match &self.inner.backend {
            Backend::File(folder) => {
                self.count(Class::Put);
                let put = folder.upload(key, size_bytes, body, on).await?;
                self.inner.meter.wrote(size_bytes);
                Ok(put)
            }
            Backend::S3(s3) => s3.upload(key, size_bytes, body, on).await,
            Backend::Objects => self.objects().upload(key, size_bytes, body, on).await,
        }
    }

    /// Lets the store copy by itself. Overwrites: for data files, never for a commit.
    ///
    /// # Errors
    /// [`WriteError::Changed`] when `from` is not the pinned object.
    pub async fn copy_within(
        &self,
        from: &str,
        to: &str,
        pin: &ObjectIdentity,
        size_bytes: u64,
    ) -> Result<Facts, WriteError> {
        self.copy_from(self, from, to, pin, size_bytes).await
    }

    /// As [`Store::copy_within`], with `from` below the root of `source`. Needs
    /// [`Store::can_copy_from`].
    ///
    /// # Errors
    /// As [`Store::copy_within`].
    pub async fn copy_from(
        &self,
        source: &Self,
        from: &str,
        to: &str,
        pin: &ObjectIdentity,
        size_bytes: u64,
    ) -> Result<Facts, WriteError> {
        if !self.can_copy_from(source) {
            return Err(WriteError::refused(to, NotOneStore));
        }
        match (&self.inner.backend, &source.inner.backend) {
            (Backend::File(target), Backend::File(source)) => {
                self.count(Class::Copy);
                target.copy(source, from, to, pin).await
            }
            (Backend::S3(target), Backend::S3(source)) => {
                target.copy(source, from, to, pin, size_bytes).await
            }
            _ if self.inner.prefix == source.inner.prefix => {
                self.objects().copy(from, to, pin).await
            }
            _ => Err(WriteError::refused(to, NotOneStore)),
        }
    }

    /// Deletes an object, or only `expect`. Deleting nothing without `expect` is no error.
    ///
    /// # Errors
    /// [`WriteError::Changed`] when `expect` is not there. On GCS, Azure and stores that ignore
    /// `If-Match` on DELETE this is a look before the delete, not a condition on it.
    pub async fn delete(
        &self,
        key: &str,
        expect: Option<&ObjectIdentity>,
    ) -> Result<(), WriteError> {
        match &self.inner.backend {
            Backend::File(folder) => {
                self.count(Class::Delete);
                folder.delete(key, expect).await
            }
            Backend::S3(s3) => s3.delete(key, expect).await,
            Backend::Objects => self.objects().delete(key, expect).await,
        }
    }

    /// The bytes of a local file outside any store, as a body.
    pub fn local_file(path: &Path) -> Body {
        crate::file::local_file(path)
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("url", &self.inner.url).finish_non_exhaustive()
    }
}

/// An object store seen from a key prefix. A folder is rooted by itself.
fn rooted(objects: Arc<dyn ObjectStore>, prefix: &str, kind: StoreKind) -> Arc<dyn ObjectStore> {
    if prefix.is_empty() || kind == StoreKind::File {
        return objects;
    }
    // A location's prefix is a valid path.
    let at = object_store::path::Path::parse(prefix).unwrap_or_default();
    Arc::new(PrefixStore::new(objects, at))
}

#[derive(Debug, thiserror::Error)]
#[error("source and target are not one store; read and upload instead")]
struct NotOneStore;

fn facts(put: Uploaded) -> Facts {
    let Uploaded { identity, crc32c, .. } = put;
    Facts { identity, crc32c: Some(crc32c), modified_ms: crate::clock::now_ms() }
}

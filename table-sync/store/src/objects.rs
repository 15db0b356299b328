//! Stores that are reached through `object_store` alone: GCS, Azure, and any other.
//!
//! Such a store verifies no CRC-32C of ours. Its multipart upload knows no condition, so a large
//! body is written after a look at the key; single writes, and with them every commit object, are
//! conditional.

use std::ops::{ControlFlow, Range};
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{FuturesUnordered, StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode,
    PutMultipartOptions, PutPayload, UpdateVersion,
};
use table_sync_core::ObjectIdentity;

use crate::body::{Body, Crc32c, Facts, Listed, Precondition, Reading, Tally, Uploaded};
use crate::bulk::Source;
use crate::error::{LengthError, ReadError, WriteError};
use crate::key::checked;

/// Size of a part, and of the largest body that is held whole. In bytes.
const BLOCK_BYTES: u64 = 8 << 20;
/// Most parts of one object that S3 and GCS take.
const PARTS_MAX: u64 = 10_000;
/// Parts of one object that are under way at a time.
const PARTS_IN_FLIGHT: usize = 4;
/// Largest spooled body that is sent in the one request that a condition needs. In bytes.
const SINGLE_BYTES_MAX: u64 = 256 << 20;

#[derive(Debug, Clone)]
pub(crate) struct Objects {
    pub(crate) store: Arc<dyn ObjectStore>,
    /// The same store for long bodies: without a time-out for whole requests.
    pub(crate) bulk: Arc<dyn ObjectStore>,
    /// Longest wait for an answer or for the next bytes of a body.
    pub(crate) patience: Duration,
    /// Reads name the pinned version (GCS generation).
    pub(crate) pins_version: bool,
}

impl Objects {
    pub(crate) async fn list(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        mut each: impl FnMut(Listed) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let folder = prefix.trim_end_matches('/');
        let parse = |key: &str| Path::parse(key).map_err(|error| ReadError::io(key, error));
        let at = if folder.is_empty() { None } else { Some(parse(folder)?) };
        let mut found = match start_after {
            Some(key) => self.store.list_with_offset(at.as_ref(), &parse(key)?),
            None => self.store.list(at.as_ref()),
        };
        while let Some(meta) = found.next().await {
            let meta = meta.map_err(|error| read_error(prefix, error))?;
            // Some servers take no notice of where a listing starts.
            if start_after.is_some_and(|start| meta.location.as_ref() <= start) {
                continue;
            }
            let listed = Listed {
                key: meta.location.as_ref().to_owned(),
                identity: identity(&meta),
                modified_ms: meta.last_modified.timestamp_millis(),
            };
            if each(listed).is_break() {
                break;
            }
        }
        Ok(())
    }

    pub(crate) async fn head(&self, key: &str) -> Result<Option<Facts>, ReadError> {
        match self.store.head(&read_path(key)?).await {
            Ok(meta) => Ok(Some(facts(&meta, None))),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(read_error(key, error)),
        }
    }

    pub(crate) async fn read(
        &self,
        key: &str,
        range: Option<Range<u64>>,
        pin: Option<&ObjectIdentity>,
    ) -> Result<Reading, ReadError> {
        let source = Source {
            store: Arc::clone(&self.bulk),
            path: read_path(key)?,
            if_match: pin.and_then(|pin| pin.e_tag.clone()),
            version: pin.filter(|_| self.pins_version).and_then(|pin| pin.version.clone()),
            patience: self.patience,
        };
        if range.as_ref().is_some_and(Range::is_empty) {
            return read_nothing(key, self.head(key).await?, pin);
        }
        let opened = source.open(range).await?;
        let Facts { identity, modified_ms, .. } = facts(&opened.meta, None);
        check_pin(key, &identity, pin)?;
        let (object_bytes, body) = (opened.meta.size, source.body(opened));
        Ok(Reading { identity, object_bytes, crc32c: None, modified_ms, body })
    }

    pub(crate) async fn put(
        &self,
        key: &str,
        chunks: Vec<Bytes>,
        on: &Precondition,
    ) -> Result<Facts, WriteError> {
        let size_bytes = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        let mut crc = Crc32c::new();
        for chunk in &chunks {
            crc.update(chunk);
        }
        let mode = match on {
            Precondition::Absent => PutMode::Create,
            Precondition::Any => PutMode::Overwrite,
            Precondition::Match(identity) => PutMode::Update(UpdateVersion {
                e_tag: identity.e_tag.clone(),
                version: identity.version.clone(),
            }),
        };
        let payload: PutPayload = chunks.into_iter().collect();
        let put = self.store.put_opts(&write_path(key)?, payload, mode.into()).await;
        let put = put.map_err(|error| write_error(key, error, on))?;
        Ok(Facts {
            identity: ObjectIdentity { e_tag: put.e_tag, version: put.version, size_bytes },
            crc32c: Some(crc.value()),
            modified_ms: crate::clock::now_ms(),
        })
    }

    pub(crate) async fn put_file(
        &self,
        key: &str,
        file: &FilePath,
        size_bytes: u64,
    ) -> Result<Facts, WriteError> {
        if size_bytes > SINGLE_BYTES_MAX {
            let bytes_max = SINGLE_BYTES_MAX;
            return Err(WriteError::TooLarge { key: key.to_owned(), size_bytes, bytes_max });
        }
        let body = crate::file::local_file(file);
        let (chunks, _) = collect(body, size_bytes).await?;
        self.put(key, chunks, &Precondition::Absent).await
    }

    pub(crate) async fn upload(
        &self,
        key: &str,
        size_bytes: u64,
        body: Body,
        on: Precondition,
    ) -> Result<Uploaded, WriteError> {
        if size_bytes <= BLOCK_BYTES {
            let (chunks, crc32c) = collect(body, size_bytes).await?;
            let facts = self.put(key, chunks, &on).await?;
            return Ok(Uploaded { identity: facts.identity, crc32c, size_bytes });
        }
        self.check(key, &on).await?;
        let path = write_path(key)?;
        let options = PutMultipartOptions::default();
        let opened = self.store.put_multipart_opts(&path, options).await;
        let mut upload = opened.map_err(|error| write_error(key, error, &Precondition::Any))?;
        let sent = send_parts(key, size_bytes, body, upload.as_mut()).await;
        let crc32c = match sent {
            Ok(crc32c) => crc32c,
            Err(error) => {
                if let Err(error) = upload.abort().await {
                    tracing::debug!(key, %error, "multipart upload was not given up cleanly");
                }
                return Err(error);
            }
        };
        if let Err(error) = upload.complete().await {
            return Err(WriteError::unknown(key, error));
        }
        match self.head(key).await {
            Ok(Some(facts)) if facts.identity.size_bytes == size_bytes => {
                Ok(Uploaded { identity: facts.identity, crc32c, size_bytes })
            }
            Ok(_) => Err(WriteError::changed(key)),
            Err(error) => Err(WriteError::unknown(key, error)),
        }
    }

    /// The look before a write that knows no condition.
    async fn check(&self, key: &str, on: &Precondition) -> Result<(), WriteError> {
        if *on == Precondition::Any {
            return Ok(());
        }
        let there = self.head(key).await.map_err(|error| WriteError::refused(key, error))?;
        match (on, there) {
            (Precondition::Absent, Some(_)) => Err(WriteError::exists(key)),
            (Precondition::Match(pin), Some(facts)) if contradicts(pin, &facts.identity) => {
                Err(WriteError::changed(key))
            }
            (Precondition::Match(_), None) => Err(WriteError::changed(key)),
            _ => Ok(()),
        }
    }

    pub(crate) async fn copy(
        &self,
        from: &str,
        to: &str,
        pin: &ObjectIdentity,
    ) -> Result<Facts, WriteError> {
        self.check(from, &Precondition::Match(pin.clone())).await?;
        let options = CopyOptions::new().with_mode(CopyMode::Overwrite);
        let copied = self.store.copy_opts(&write_path(from)?, &write_path(to)?, options).await;
        copied.map_err(|error| write_error(to, error, &Precondition::Any))?;
        match self.head(to).await {
            Ok(Some(facts)) => Ok(facts),
            Ok(None) => Err(WriteError::changed(to)),
            Err(error) => Err(WriteError::unknown(to, error)),
        }
    }

    /// Deletes after a look: `object_store` knows no conditional delete.
    pub(crate) async fn delete(
        &self,
        key: &str,
        expect: Option<&ObjectIdentity>,
    ) -> Result<(), WriteError> {
        if let Some(identity) = expect {
            self.check(key, &Precondition::Match(identity.clone())).await?;
        }
        match self.store.delete(&write_path(key)?).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(write_error(key, error, &Precondition::Any)),
        }
    }
}

/// Takes a small body whole, as the chunks that it came in.
pub(crate) async fn collect(
    mut body: Body,
    size_bytes: u64,
) -> Result<(Vec<Bytes>, u32), WriteError> {
    let mut chunks = Vec::new();
    let mut tally = Tally::new(size_bytes);
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|source| WriteError::Body { source })?;
        tally.take(&chunk).map_err(body_error)?;
        chunks.push(chunk);
    }
    let crc32c = tally.finish().map_err(body_error)?;
    Ok((chunks, crc32c))
}

pub(crate) fn body_error(error: LengthError) -> WriteError {
    WriteError::Body { source: error.into() }
}

/// Sends the body as parts built from its own chunks. Memory: [`PARTS_IN_FLIGHT`] parts.
async fn send_parts(
    key: &str,
    size_bytes: u64,
    mut body: Body,
    upload: &mut dyn object_store::MultipartUpload,
) -> Result<u32, WriteError> {
    let part_bytes = BLOCK_BYTES.max(size_bytes.div_ceil(PARTS_MAX));
    let mut tally = Tally::new(size_bytes);
    let mut in_flight = FuturesUnordered::new();
    let mut part: Vec<Bytes> = Vec::new();
    let mut room = part_bytes;
    let refuse = |error: Error| write_error(key, error, &Precondition::Any);
    while let Some(chunk) = body.next().await {
        let mut chunk = chunk.map_err(|source| WriteError::Body { source })?;
        tally.take(&chunk).map_err(body_error)?;
        while chunk.len() as u64 >= room {
            // `room` is no more than the chunk's length.
            part.push(chunk.split_to(usize::try_from(room).unwrap_or(chunk.len())));
            room = part_bytes;
            if in_flight.len() >= PARTS_IN_FLIGHT {
                in_flight.try_next().await.map_err(refuse)?;
            }
            in_flight.push(upload.put_part(std::mem::take(&mut part).into_iter().collect()));
        }
        room -= chunk.len() as u64;
        if !chunk.is_empty() {
            part.push(chunk);
        }
    }
    let crc32c = tally.finish().map_err(body_error)?;
    if !part.is_empty() {
        in_flight.push(upload.put_part(part.into_iter().collect()));
    }
    while in_flight.try_next().await.map_err(refuse)?.is_some() {}
    Ok(crc32c)
}

/// Whether two identities cannot be of one content. What one of them does not know says nothing.
pub(crate) fn contradicts(pin: &ObjectIdentity, found: &ObjectIdentity) -> bool {
    let differ = |a: Option<&String>, b: Option<&String>| match (a, b) {
        (Some(a), Some(b)) => a.trim_matches('"') != b.trim_matches('"'),
        _ => false,
    };
    pin.size_bytes != found.size_bytes
        || differ(pin.e_tag.as_ref(), found.e_tag.as_ref())
        || differ(pin.version.as_ref(), found.version.as_ref())
}

/// Refuses a content that is not the pinned one.
pub(crate) fn check_pin(
    key: &str,
    found: &ObjectIdentity,
    pin: Option<&ObjectIdentity>,
) -> Result<(), ReadError> {
    match pin {
        Some(pin) if contradicts(pin, found) => Err(ReadError::changed(key)),
        _ => Ok(()),
    }
}

/// Reads a range without bytes from what a look at the object found: stores have no request for
/// it.
pub(crate) fn read_nothing(
    key: &str,
    there: Option<Facts>,
    pin: Option<&ObjectIdentity>,
) -> Result<Reading, ReadError> {
    let facts = there.ok_or_else(|| ReadError::not_found(key))?;
    check_pin(key, &facts.identity, pin)?;
    let Facts { identity, crc32c, modified_ms } = facts;
    let body = futures::stream::empty().boxed();
    Ok(Reading { object_bytes: identity.size_bytes, identity, crc32c, modified_ms, body })
}

fn identity(meta: &ObjectMeta) -> ObjectIdentity {
    ObjectIdentity {
        e_tag: meta.e_tag.clone(),
        version: meta.version.clone(),
        size_bytes: meta.size,
    }
}

fn facts(meta: &ObjectMeta, crc32c: Option<u32>) -> Facts {
    let modified_ms = meta.last_modified.timestamp_millis();
    Facts { identity: identity(meta), crc32c, modified_ms }
}

fn read_path(key: &str) -> Result<Path, ReadError> {
    checked(key)
        .map_err(|error| ReadError::BadKey { key: key.to_owned(), source: error.into() })?;
    Path::parse(key)
        .map_err(|error| ReadError::BadKey { key: key.to_owned(), source: error.into() })
}

fn write_path(key: &str) -> Result<Path, WriteError> {
    checked(key).map_err(|error| WriteError::refused(key, error))?;
    Path::parse(key).map_err(|error| WriteError::refused(key, error))
}

/// The HTTP status that `object_store` gives only in the text of its errors.
fn status(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("status code: ")?;
    rest.get(..3)?.parse().ok()
}

pub(crate) fn read_error(key: &str, error: Error) -> ReadError {
    let key = key.to_owned();
    match error {
        Error::NotFound { .. } => ReadError::NotFound { key },
        Error::Precondition { .. } | Error::NotModified { .. } => ReadError::Changed { key },
        Error::PermissionDenied { source, .. } | Error::Unauthenticated { source, .. } => {
            ReadError::Denied { key, source }
        }
        error => match status(&error.to_string()) {
            Some(429 | 503) => ReadError::Throttled { key, source: error.into() },
            _ => ReadError::Io { key, source: error.into() },
        },
    }
}

pub(crate) fn write_error(key: &str, error: Error, on: &Precondition) -> WriteError {
    let key = key.to_owned();
    match (error, on) {
        (Error::AlreadyExists { .. } | Error::Precondition { .. }, Precondition::Absent) => {
            WriteError::Exists { key }
        }
        (
            Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotFound { .. },
            Precondition::Match(_),
        ) => WriteError::Changed { key },
        (Error::PermissionDenied { source, .. } | Error::Unauthenticated { source, .. }, _) => {
            WriteError::Denied { key, source }
        }
        (
            error @ (Error::NotSupported { .. }
            | Error::NotImplemented { .. }
            | Error::InvalidPath { .. }
            | Error::UnknownConfigurationKey { .. }
            | Error::NotFound { .. }
            | Error::AlreadyExists { .. }
            | Error::Precondition { .. }),
            _,
        ) => WriteError::Refused { key, source: error.into() },
        (error, _) => match status(&error.to_string()) {
            // A request that timed out may still be applied.
            Some(408) => WriteError::Unknown { key, source: error.into() },
            Some(400..=499) => WriteError::Refused { key, source: error.into() },
            _ => WriteError::Unknown { key, source: error.into() },
        },
    }
}

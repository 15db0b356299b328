//! Large uploads: parts, one after the other from one body, then one conditional completion.
//!
//! Nothing is visible before the completion, and the completion is what the condition guards. An
//! upload that fails, or whose future is dropped, is aborted. Parts that a killed process leaves
//! are swept later: see `sweep`.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use table_sync_core::ObjectIdentity;

use super::S3;
use super::body::Feed;
use super::client::{Call, Reply, SendError, Shared, header};
use super::framing::{Framing, TRAILER, decode, encode};
use super::put::{conditional, refusal, streamed};
use super::xml;
use crate::body::{Body, Precondition, Uploaded};
use crate::counters::Class;
use crate::error::WriteError;
use crate::secret::Foreign;

/// Most parts of one upload.
///
/// Source: Amazon S3 User Guide, "Amazon S3 multipart upload limits".
const PARTS_MAX: u64 = 10_000;
/// Smallest and largest part. In bytes.
const PART_BYTES: (u64, u64) = (5 << 20, 5 << 30);
/// Part sizes are multiples of this. In bytes.
const PART_STEP: u64 = 1 << 20;

/// Sizes of the parts of one upload; all are equal but the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PartPlan {
    size_bytes: u64,
    part_bytes: u64,
}

impl PartPlan {
    /// `None` when the object is too large for parts.
    pub(super) fn new(size_bytes: u64, part_bytes: u64) -> Option<Self> {
        let least = size_bytes.div_ceil(PARTS_MAX).next_multiple_of(PART_STEP);
        let part_bytes = part_bytes.max(PART_BYTES.0).max(least);
        (part_bytes <= PART_BYTES.1).then_some(Self { size_bytes, part_bytes })
    }

    /// Sizes in order; none is empty.
    pub(super) fn sizes(self) -> impl ExactSizeIterator<Item = u64> {
        let parts = self.size_bytes.div_ceil(self.part_bytes);
        // No more than `PARTS_MAX`.
        let parts = u32::try_from(parts).unwrap_or(u32::MAX);
        (0..parts).map(move |part| {
            let start = u64::from(part) * self.part_bytes;
            self.part_bytes.min(self.size_bytes - start)
        })
    }
}

/// Largest object. In bytes.
pub(super) const OBJECT_BYTES_MAX: u64 = PARTS_MAX * PART_BYTES.1;

/// An open multipart upload. Dropped before it is closed, it is aborted in the background.
pub(super) struct Open<'a> {
    pub(super) s3: &'a S3,
    pub(super) key: &'a str,
    /// The server keeps one checksum over all parts, not a checksum of checksums.
    whole_checksum: bool,
    upload: Upload,
    /// Completed or aborted: nothing is left to give up.
    is_closed: bool,
}

/// Names one multipart upload of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Upload {
    /// Key in the bucket.
    pub(super) key: String,
    pub(super) id: String,
}

impl Upload {
    /// Gives the upload up; whether it is gone. What stays is swept by a later pass.
    pub(super) async fn abort(&self, shared: &Shared) -> bool {
        let call = Call::new(Class::Delete, Method::DELETE, self.key.clone())
            .query("uploadId", self.id.clone());
        match shared.send_small(&call, Bytes::new()).await {
            Ok(reply) if reply.status.is_success() || reply.status == StatusCode::NOT_FOUND => true,
            Ok(reply) => {
                let answer = shared.answer(&reply);
                tracing::debug!(key = self.key, %answer, "multipart upload stays");
                false
            }
            Err(error) => {
                tracing::debug!(key = self.key, %error, "multipart upload stays");
                false
            }
        }
    }
}

/// What a part's reply says, for the completion.
pub(super) struct Part {
    pub(super) e_tag: String,
    pub(super) crc32c: Option<u32>,
}

impl S3 {
    pub(crate) async fn upload(
        &self,
        key: &str,
        size_bytes: u64,
        body: Body,
        on: Precondition,
    ) -> Result<Uploaded, WriteError> {
        if size_bytes <= self.part_bytes.clamp(PART_BYTES.0, PART_BYTES.1) {
            return self.put(key, size_bytes, body, &on).await;
        }
        let Some(plan) = PartPlan::new(size_bytes, self.part_bytes) else {
            let bytes_max = OBJECT_BYTES_MAX;
            return Err(WriteError::TooLarge { key: key.to_owned(), size_bytes, bytes_max });
        };
        let open = self.create_multipart(key).await?;
        let sent = open.send_all(plan, body, &on).await;
        open.close(sent.is_ok()).await;
        sent
    }

    pub(super) async fn create_multipart<'a>(
        &'a self,
        key: &'a str,
    ) -> Result<Open<'a>, WriteError> {
        let whole_key = self.write_key(key)?;
        let call = |whole: bool| {
            let mut call = Call::new(Class::Put, Method::POST, whole_key.clone())
                .query("uploads", "")
                .amz("x-amz-checksum-algorithm", "CRC32C");
            if whole {
                call = call.amz("x-amz-checksum-type", "FULL_OBJECT");
            }
            call.headers.extend(self.on_create());
            call
        };
        let mut whole_checksum = true;
        let mut reply = self.small(key, &call(true), Bytes::new()).await?;
        if matches!(reply.status, StatusCode::BAD_REQUEST | StatusCode::NOT_IMPLEMENTED) {
            whole_checksum = false;
            reply = self.small(key, &call(false), Bytes::new()).await?;
        }
        if !reply.status.is_success() {
            // An upload that was opened unknown to us commits nothing.
            return Err(refusal(&self.shared, key, &reply, &Precondition::Any, false));
        }
        let said = header(&reply.headers, "x-amz-checksum-type");
        whole_checksum &= said.is_none_or(|kind| kind == "FULL_OBJECT");
        let id = xml::text(&reply.body, "UploadId").ok_or_else(|| {
            WriteError::refused(key, Foreign("the store gave no upload id".to_owned()))
        })?;
        let upload = Upload { key: whole_key, id };
        Ok(Open { s3: self, key, whole_checksum, upload, is_closed: false })
    }

    /// A small request that commits nothing by itself.
    pub(super) async fn small(
        &self,
        key: &str,
        call: &Call,
        body: Bytes,
    ) -> Result<Reply, WriteError> {
        let sent = self.shared.send_small(call, body).await;
        sent.map_err(|error| WriteError::refused(key, error))
    }
}

impl Open<'_> {
    async fn send_all(
        &self,
        plan: PartPlan,
        body: Body,
        on: &Precondition,
    ) -> Result<Uploaded, WriteError> {
        let feed = Feed::new(body);
        let mut parts = Vec::new();
        let sizes = plan.sizes();
        let count = sizes.len();
        for (index, bytes) in sizes.enumerate() {
            let framing = Framing::new(bytes, self.s3.chunk_bytes);
            let call = Call::new(Class::Put, Method::PUT, self.upload.key.clone())
                .query("partNumber", (index + 1).to_string())
                .query("uploadId", self.upload.id.clone());
            let call = streamed(call, framing);
            let is_last = index + 1 == count;
            let any = Precondition::Any;
            let reply = self.s3.stream(self.key, &call, &feed, framing, is_last, &any).await;
            let reply = reply.map_err(not_committed)?;
            self.s3.shared.meter.wrote(bytes);
            parts.push(self.part(&reply.headers, feed.part_crc32c())?);
        }
        let crc32c = feed.crc32c();
        let identity = self.complete(&parts, plan.size_bytes, Some(crc32c), on).await?;
        Ok(Uploaded { identity, crc32c, size_bytes: plan.size_bytes })
    }

    fn part(&self, headers: &HeaderMap, ours: u32) -> Result<Part, WriteError> {
        let refused = |text: &str| WriteError::refused(self.key, Foreign(text.to_owned()));
        let e_tag = header(headers, "etag").ok_or_else(|| refused("the part has no ETag"))?;
        let stored = header(headers, TRAILER).and_then(|text| decode(&text));
        match stored {
            Some(stored) if stored != ours => Err(refused("the part has another checksum")),
            _ => Ok(Part { e_tag, crc32c: Some(ours) }),
        }
    }

    /// Makes the object of the parts, on a condition.
    pub(super) async fn complete(
        &self,
        parts: &[Part],
        size_bytes: u64,
        crc32c: Option<u32>,
        on: &Precondition,
    ) -> Result<ObjectIdentity, WriteError> {
        let mut call = Call::new(Class::Put, Method::POST, self.upload.key.clone())
            .query("uploadId", self.upload.id.clone());
        if let Some(crc32c) = crc32c.filter(|_| self.whole_checksum) {
            call = call
                .amz("x-amz-checksum-crc32c", encode(crc32c))
                .amz("x-amz-checksum-type", "FULL_OBJECT");
        }
        let call = conditional(call, self.key, on)?.slow();
        let body = completion(parts);
        let reply = match self.s3.shared.send_small(&call, body.into()).await {
            Ok(reply) => reply,
            Err(SendError::NotSent(source)) => return Err(WriteError::refused(self.key, source)),
            Err(SendError::Lost(source)) => return Err(WriteError::unknown(self.key, source)),
        };
        if !reply.status.is_success() {
            return Err(refusal(&self.s3.shared, self.key, &reply, on, true));
        }
        if xml::is_error(&reply.body) {
            return Err(self.late_refusal(&reply, on));
        }
        let whole = xml::text(&reply.body, "ETag").or_else(|| header(&reply.headers, "etag"));
        Ok(ObjectIdentity {
            e_tag: whole,
            version: header(&reply.headers, "x-amz-version-id").filter(|v| v != "null"),
            size_bytes,
        })
    }

    /// S3 may answer 200 before it has tried, and put the error into the body.
    fn late_refusal(&self, reply: &Reply, on: &Precondition) -> WriteError {
        let answer = self.s3.shared.answer(reply);
        match (answer.code.as_str(), on) {
            ("PreconditionFailed", Precondition::Absent) => WriteError::exists(self.key),
            ("PreconditionFailed", _) => WriteError::changed(self.key),
            ("ConditionalRequestConflict" | "SlowDown" | "BadDigest", _) => {
                WriteError::refused(self.key, answer)
            }
            _ => WriteError::unknown(self.key, answer),
        }
    }

    /// Ends the upload; one that was not completed is aborted.
    pub(super) async fn close(mut self, is_complete: bool) {
        if !is_complete {
            self.upload.abort(&self.s3.shared).await;
        }
        self.is_closed = true;
    }

    /// A part of this upload, addressed for a copy inside the store.
    pub(super) fn part_call(&self, number: usize) -> Call {
        Call::new(Class::Copy, Method::PUT, self.upload.key.clone())
            .query("partNumber", number.to_string())
            .query("uploadId", self.upload.id.clone())
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if self.is_closed {
            return;
        }
        // Without a runtime the process ends: a later pass sweeps.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (shared, upload) = (Arc::clone(&self.s3.shared), self.upload.clone());
        runtime.spawn(async move { upload.abort(&shared).await });
    }
}

/// A part alone makes nothing visible: its unknown outcome is none for the object.
pub(super) fn not_committed(error: WriteError) -> WriteError {
    match error {
        WriteError::Unknown { key, source } => WriteError::Refused { key, source },
        other => other,
    }
}

fn completion(parts: &[Part]) -> String {
    let mut document = String::from("<CompleteMultipartUpload>");
    for (index, part) in parts.iter().enumerate() {
        let (number, e_tag) = (index + 1, xml::escape(&part.e_tag));
        document.push_str("<Part>");
        if let Some(crc32c) = part.crc32c {
            let crc32c = encode(crc32c);
            document.push_str(&format!("<ChecksumCRC32C>{crc32c}</ChecksumCRC32C>"));
        }
        document.push_str(&format!("<ETag>{e_tag}</ETag><PartNumber>{number}</PartNumber></Part>"));
    }
    document.push_str("</CompleteMultipartUpload>");
    document
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// `expect`: number of parts, size of each but the last, size of the last.
    #[track_caller]
    fn check(size_bytes: u64, part_bytes: u64, expect: (usize, u64, u64)) {
        let plan = PartPlan::new(size_bytes, part_bytes).unwrap();
        let sizes: Vec<u64> = plan.sizes().collect();
        let (first, last) = (*sizes.first().unwrap(), *sizes.last().unwrap());
        assert_eq!((sizes.len(), first, last), expect);
        // Complete, within the limits, and equal but for the last.
        assert_eq!(sizes.iter().sum::<u64>(), size_bytes);
        assert!(sizes.len() as u64 <= PARTS_MAX);
        assert!(sizes.iter().all(|size| (1..=PART_BYTES.1).contains(size)));
        assert!(sizes.iter().rev().skip(1).all(|size| *size == first && *size >= PART_BYTES.0));
    }

    #[test]
    fn parts_cover_the_object() {
        check(65 * MIB, 64 * MIB, (2, 64 * MIB, MIB));
        check(128 * MIB, 64 * MIB, (2, 64 * MIB, 64 * MIB));
        check(128 * MIB + 1, 64 * MIB, (3, 64 * MIB, 1));
        check(12 * MIB, MIB, (3, 5 * MIB, 2 * MIB));
    }

    #[test]
    fn parts_grow_with_the_object() {
        check(10_000 * 64 * MIB, 64 * MIB, (10_000, 64 * MIB, 64 * MIB));
        check(10_000 * 64 * MIB + 1, 64 * MIB, (9_847, 65 * MIB, 10 * MIB + 1));
        check(OBJECT_BYTES_MAX, 64 * MIB, (10_000, 5 << 30, 5 << 30));
        assert_eq!(PartPlan::new(OBJECT_BYTES_MAX + 1, 64 * MIB), None);
    }

    #[test]
    fn completion_document() {
        let part = Part { e_tag: "\"a\"".to_owned(), crc32c: Some(0xe306_9283) };
        assert_eq!(
            completion(&[part]),
            "<CompleteMultipartUpload><Part><ChecksumCRC32C>4waSgw==</ChecksumCRC32C>\
             <ETag>&quot;a&quot;</ETag><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>"
        );
    }
}

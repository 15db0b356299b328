//! What needs no body of ours: copies inside the store, and deletes.

use bytes::Bytes;
use http::header::IF_MATCH;
use http::{Method, StatusCode};
use table_sync_core::ObjectIdentity;

use super::S3;
use super::client::{Call, SendError};
use super::multipart::{OBJECT_BYTES_MAX, Part, PartPlan, not_committed};
use super::put::{SINGLE_BYTES_MAX, conditional, refusal};
use super::sign::encode_key;
use super::xml;
use crate::body::{Facts, Precondition};
use crate::counters::Class;
use crate::error::WriteError;
use crate::objects::contradicts;
use crate::secret::Foreign;

/// Size of the parts of a copy: no byte passes here, so large ones cost nothing. In bytes.
const COPY_PART_BYTES: u64 = 512 << 20;

impl S3 {
    /// Copies inside the store, on the condition that the source is the pinned object.
    ///
    /// No server honours a condition on the *target* of a copy: it overwrites.
    pub(crate) async fn copy(
        &self,
        source: &Self,
        from: &str,
        to: &str,
        pin: &ObjectIdentity,
        size_bytes: u64,
    ) -> Result<Facts, WriteError> {
        let bucket = &source.shared.endpoint.bucket;
        let whole_from = source.write_key(from)?;
        let copy_source = format!("/{bucket}/{}", encode_key(&whole_from));
        let pinned = |call: Call| {
            let call = call.amz("x-amz-copy-source", copy_source.clone()).slow();
            match &pin.e_tag {
                Some(e_tag) => call.amz("x-amz-copy-source-if-match", e_tag.clone()),
                None => call,
            }
        };
        if size_bytes <= SINGLE_BYTES_MAX {
            let mut call = pinned(Call::new(Class::Copy, Method::PUT, self.write_key(to)?));
            call.headers.extend(self.on_create());
            self.copy_request(from, to, &call).await?;
        } else {
            self.copy_parts(from, to, size_bytes, pinned).await?;
        }
        let facts = self.head(to).await.map_err(|error| WriteError::unknown(to, error))?;
        match facts {
            Some(facts) if facts.identity.size_bytes == size_bytes => Ok(facts),
            _ => Err(WriteError::changed(to)),
        }
    }

    /// Sends one copy request; the reply's document comes back.
    async fn copy_request(&self, from: &str, to: &str, call: &Call) -> Result<String, WriteError> {
        let reply = match self.shared.send_small(call, Bytes::new()).await {
            Ok(reply) => reply,
            Err(SendError::NotSent(source)) => return Err(WriteError::refused(to, source)),
            Err(SendError::Lost(source)) => return Err(WriteError::unknown(to, source)),
        };
        match reply.status {
            StatusCode::PRECONDITION_FAILED | StatusCode::NOT_FOUND => {
                Err(WriteError::changed(from))
            }
            status if !status.is_success() => {
                Err(refusal(&self.shared, to, &reply, &Precondition::Any, true))
            }
            // S3 may answer 200 before it has tried, and put the error into the body.
            _ if xml::is_error(&reply.body) => {
                Err(WriteError::unknown(to, self.shared.answer(&reply)))
            }
            _ => Ok(reply.body),
        }
    }

    async fn copy_parts(
        &self,
        from: &str,
        to: &str,
        size_bytes: u64,
        pinned: impl Fn(Call) -> Call,
    ) -> Result<(), WriteError> {
        let Some(plan) = PartPlan::new(size_bytes, COPY_PART_BYTES) else {
            let bytes_max = OBJECT_BYTES_MAX;
            return Err(WriteError::TooLarge { key: to.to_owned(), size_bytes, bytes_max });
        };
        let open = self.create_multipart(to).await?;
        let copied = async {
            let mut parts = Vec::new();
            let mut start = 0;
            for (index, bytes) in plan.sizes().enumerate() {
                let range = format!("bytes={start}-{}", start + bytes - 1);
                let call = pinned(open.part_call(index + 1)).amz("x-amz-copy-source-range", range);
                let document = self.copy_request(from, to, &call).await.map_err(not_committed)?;
                let e_tag = xml::text(&document, "ETag").ok_or_else(|| {
                    WriteError::refused(to, Foreign("the part has no ETag".to_owned()))
                })?;
                let crc32c = xml::text(&document, "ChecksumCRC32C");
                let crc32c = crc32c.and_then(|text| super::framing::decode(&text));
                parts.push(Part { e_tag, crc32c });
                start += bytes;
            }
            open.complete(&parts, size_bytes, None, &Precondition::Any).await.map(drop)
        };
        let copied = copied.await;
        open.close(copied.is_ok()).await;
        copied
    }

    pub(crate) async fn delete(
        &self,
        key: &str,
        expect: Option<&ObjectIdentity>,
    ) -> Result<(), WriteError> {
        let call = Call::new(Class::Delete, Method::DELETE, self.write_key(key)?);
        let Some(pin) = expect else {
            return self.delete_request(key, &call, &Precondition::Any).await;
        };
        // Some servers delete whatever If-Match says: the look comes first everywhere.
        let there = self.head(key).await.map_err(|error| WriteError::refused(key, error))?;
        match there {
            Some(facts) if !contradicts(pin, &facts.identity) => {}
            _ => return Err(WriteError::changed(key)),
        }
        let on = Precondition::Match(pin.clone());
        let conditional = conditional(call, key, &on)?;
        self.delete_request(key, &conditional, &on).await
    }

    pub(super) async fn delete_request(
        &self,
        key: &str,
        call: &Call,
        on: &Precondition,
    ) -> Result<(), WriteError> {
        let reply = match self.shared.send_small(call, Bytes::new()).await {
            Ok(reply) => reply,
            Err(SendError::NotSent(source)) => return Err(WriteError::refused(key, source)),
            Err(SendError::Lost(source)) => return Err(WriteError::unknown(key, source)),
        };
        let has_condition = call.headers.iter().any(|(name, _)| *name == IF_MATCH);
        match reply.status {
            status if status.is_success() => Ok(()),
            StatusCode::NOT_FOUND if *on == Precondition::Any => Ok(()),
            StatusCode::NOT_IMPLEMENTED if has_condition => {
                let plain = Call::new(Class::Delete, Method::DELETE, call.key.clone());
                Box::pin(self.delete_request(key, &plain, &Precondition::Any)).await
            }
            _ => Err(refusal(&self.shared, key, &reply, on, true)),
        }
    }
}

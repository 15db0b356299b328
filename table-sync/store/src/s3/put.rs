//! Single writes: one request, streamed, conditional, verified by the server.

use http::header::{CONTENT_ENCODING, IF_MATCH, IF_NONE_MATCH};
use http::{Method, StatusCode};
use table_sync_core::ObjectIdentity;

use super::S3;
use super::body::{Fate, Feed, PartBody};
use super::client::{Call, Reply, SendError, Shared, header};
use super::framing::{Framing, PAYLOAD, TRAILER, decode};
use crate::body::{Body, Precondition, Uploaded};
use crate::counters::Class;
use crate::error::WriteError;
use crate::objects::contradicts;
use crate::secret::Foreign;

/// Largest body of one PUT. In bytes.
///
/// Source: Amazon S3 User Guide, "Uploading objects".
pub(crate) const SINGLE_BYTES_MAX: u64 = 5 << 30;

impl S3 {
    /// Writes with one request.
    pub(crate) async fn put(
        &self,
        key: &str,
        size_bytes: u64,
        body: Body,
        on: &Precondition,
    ) -> Result<Uploaded, WriteError> {
        if size_bytes > SINGLE_BYTES_MAX {
            let bytes_max = SINGLE_BYTES_MAX;
            return Err(WriteError::TooLarge { key: key.to_owned(), size_bytes, bytes_max });
        }
        let framing = Framing::new(size_bytes, self.chunk_bytes);
        let mut call = streamed(Call::new(Class::Put, Method::PUT, self.write_key(key)?), framing);
        call.headers.extend(self.on_create());
        let call = conditional(call, key, on)?;
        let feed = Feed::new(body);
        let reply = self.stream(key, &call, &feed, framing, true, on).await?;
        self.shared.meter.wrote(size_bytes);
        let crc32c = feed.crc32c();
        check_crc(key, &reply, crc32c)?;
        let identity = ObjectIdentity {
            e_tag: header(&reply.headers, "etag"),
            version: header(&reply.headers, "x-amz-version-id").filter(|v| v != "null"),
            size_bytes,
        };
        Ok(Uploaded { identity, crc32c, size_bytes })
    }

    pub(super) fn on_create(&self) -> impl Iterator<Item = (http::HeaderName, String)> + use<'_> {
        self.shared.endpoint.on_create.iter().filter_map(|(name, value)| {
            value.to_str().ok().map(|value| (name.clone(), value.to_owned()))
        })
    }

    /// Sends the next bytes of a feed. A request whose connection broke before it took a byte is
    /// sent once more: it cannot have been applied.
    pub(super) async fn stream(
        &self,
        key: &str,
        call: &Call,
        feed: &Feed,
        framing: Framing,
        is_last: bool,
        on: &Precondition,
    ) -> Result<Reply, WriteError> {
        let before = feed.taken();
        let part = |feed: &Feed| -> PartBody { feed.part(framing, is_last) };
        let mut sent = self.shared.send_feed(call, feed, part(feed)).await;
        if sent.is_err() && feed.taken() == before && !feed.has_ended() {
            tracing::debug!(key, "the connection was dead; the request is sent again");
            sent = self.shared.send_feed(call, feed, part(feed)).await;
        }
        let fate = feed.fate();
        let cut = matches!(sent, Err(SendError::Lost(_))) && !fate.finished;
        let outcome = self.judge(key, sent, fate, on);
        let Err(error) = outcome else { return outcome };
        // An early refusal leaves a connection that still wants the body.
        feed.stop();
        match error {
            WriteError::Refused { .. } if cut => Err(self.explain(key, error, on).await),
            error => Err(error),
        }
    }

    /// A server that refuses before it took the body may close the connection, and its answer is
    /// lost while we still send. What is at the key tells whether the condition was the reason.
    async fn explain(&self, key: &str, error: WriteError, on: &Precondition) -> WriteError {
        if *on == Precondition::Any {
            return error;
        }
        match (self.head(key).await, on) {
            (Ok(Some(_)), Precondition::Absent) => WriteError::exists(key),
            (Ok(Some(facts)), Precondition::Match(pin)) if contradicts(pin, &facts.identity) => {
                WriteError::changed(key)
            }
            (Ok(None), Precondition::Match(_)) => WriteError::changed(key),
            _ => error,
        }
    }

    fn judge(
        &self,
        key: &str,
        sent: Result<Reply, SendError>,
        fate: Fate,
        on: &Precondition,
    ) -> Result<Reply, WriteError> {
        if let Some(source) = fate.failure {
            return Err(WriteError::Body { source });
        }
        match sent {
            Ok(reply) if reply.status.is_success() => Ok(reply),
            Ok(reply) => Err(refusal(&self.shared, key, &reply, on, fate.finished)),
            Err(SendError::NotSent(source)) => Err(WriteError::refused(key, source)),
            // Without its last byte no server acts on a request: the trailer is missing.
            Err(SendError::Lost(source)) if !fate.finished => Err(WriteError::refused(key, source)),
            Err(SendError::Lost(source)) => Err(WriteError::unknown(key, source)),
        }
    }
}

/// Announces a body in the `aws-chunked` form.
pub(super) fn streamed(call: Call, framing: Framing) -> Call {
    call.header(CONTENT_ENCODING, "aws-chunked")
        .amz("x-amz-decoded-content-length", framing.size_bytes.to_string())
        .amz("x-amz-trailer", TRAILER)
        .amz("x-amz-content-sha256", PAYLOAD)
}

/// Adds the condition of a write.
pub(super) fn conditional(call: Call, key: &str, on: &Precondition) -> Result<Call, WriteError> {
    match on {
        Precondition::Any => Ok(call),
        Precondition::Absent => Ok(call.header(IF_NONE_MATCH, "*")),
        Precondition::Match(ObjectIdentity { e_tag: Some(e_tag), .. }) => {
            Ok(call.header(IF_MATCH, e_tag.clone()))
        }
        Precondition::Match(_) => {
            let text = "the observed object had no ETag to write on the condition of";
            Err(WriteError::refused(key, Foreign(text.to_owned())))
        }
    }
}

/// What a reply other than success means. `finished`: the server had all it needs to act.
pub(super) fn refusal(
    shared: &Shared,
    key: &str,
    reply: &Reply,
    on: &Precondition,
    finished: bool,
) -> WriteError {
    let answer = shared.answer(reply);
    if answer.is_denial() {
        return WriteError::Denied { key: key.to_owned(), source: answer.into() };
    }
    match (reply.status, on) {
        (StatusCode::PRECONDITION_FAILED | StatusCode::NOT_MODIFIED, Precondition::Absent) => {
            WriteError::exists(key)
        }
        (StatusCode::PRECONDITION_FAILED | StatusCode::NOT_MODIFIED, _) => WriteError::changed(key),
        // With If-Match on a key that holds nothing.
        (_, Precondition::Match(_)) if answer.is_missing_key() => WriteError::changed(key),
        // S3 throttles before it acts.
        (StatusCode::SERVICE_UNAVAILABLE, _) if answer.code == "SlowDown" => {
            WriteError::refused(key, answer)
        }
        (status, _) if status.is_server_error() && finished => WriteError::unknown(key, answer),
        (StatusCode::REQUEST_TIMEOUT, _) if finished => WriteError::unknown(key, answer),
        _ => WriteError::refused(key, answer),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the store reports another checksum than that of the bytes that were sent")]
struct OtherChecksum;

/// Holds the checksum that the store reports, if any, against ours.
pub(super) fn check_crc(key: &str, reply: &Reply, crc32c: u32) -> Result<(), WriteError> {
    let stored = header(&reply.headers, TRAILER).and_then(|text| decode(&text));
    match stored {
        Some(stored) if stored != crc32c => Err(WriteError::unknown(key, OtherChecksum)),
        _ => Ok(()),
    }
}

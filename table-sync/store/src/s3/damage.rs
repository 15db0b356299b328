//! Requests that are damaged on purpose, for the probe. Nothing else may send them.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::stream::StreamExt as _;
use http::Method;
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt as _, Full};
use table_sync_core::{BoxError, ObjectIdentity};

use super::S3;
use super::client::Call;
use super::framing::{CHUNK_END, Framing, PAYLOAD, end};
use super::put::{conditional, streamed};
use crate::body::{Body, Crc32c, Precondition};
use crate::counters::Class;
use crate::error::WriteError;

impl S3 {
    /// Uploads bytes with a trailer that does not fit them. The status of the answer comes back.
    pub(crate) async fn put_with_wrong_checksum(
        &self,
        key: &str,
        bytes: Bytes,
    ) -> Result<u16, WriteError> {
        let framing = Framing::new(bytes.len() as u64, None);
        let mut crc = Crc32c::new();
        crc.update(&bytes);
        let head = framing.chunk_head(0).0;
        let tail = end(!crc.value());
        let framed = [head.as_bytes(), &bytes, CHUNK_END.as_bytes(), tail.as_bytes()].concat();
        let call = Call::new(Class::Put, Method::PUT, self.write_key(key)?);
        let call = streamed(call, framing);
        let body = Full::new(Bytes::from(framed)).map_err(|never| match never {}).boxed_unsync();
        let reply = self.shared.send_raw(&call, PAYLOAD, body).await;
        let reply = reply.map_err(|error| WriteError::unknown(key, error))?;
        Ok(reply.status.as_u16())
    }

    /// Uploads a body without any checksum. What becomes of the request is of no interest.
    pub(crate) async fn put_unsigned(&self, key: &str, size_bytes: u64, body: Body) {
        let Ok(whole_key) = self.write_key(key) else { return };
        let call = Call::new(Class::Put, Method::PUT, whole_key);
        let body = Plain { body, size_bytes }.boxed_unsync();
        if let Err(error) = self.shared.send_raw(&call, "UNSIGNED-PAYLOAD", body).await {
            tracing::debug!(key, %error, "upload without a checksum was cut");
        }
    }

    /// Deletes with `If-Match` alone, without the look that [`S3::delete`] takes first.
    pub(crate) async fn delete_on_condition(
        &self,
        key: &str,
        pin: &ObjectIdentity,
    ) -> Result<(), WriteError> {
        let call = Call::new(Class::Delete, Method::DELETE, self.write_key(key)?);
        let on = Precondition::Match(pin.clone());
        self.delete_request(key, &conditional(call, key, &on)?, &on).await
    }
}

/// A body as it is, of a size that it may not keep.
struct Plain {
    body: Body,
    size_bytes: u64,
}

impl http_body::Body for Plain {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.body.poll_next_unpin(context).map(|next| next.map(|data| data.map(Frame::data)))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.size_bytes)
    }
}

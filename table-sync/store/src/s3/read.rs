//! Reading: facts and bytes of one content of a key.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use chrono::DateTime;
use futures::stream::{BoxStream, StreamExt as _};
use http::header::{IF_MATCH, RANGE};
use http::{HeaderMap, Method, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use table_sync_core::ObjectIdentity;
use tokio::time::timeout;

use super::S3;
use super::client::{Call, Reply, SendError, Shared, content_length, header};
use super::framing::{TRAILER, decode};
use crate::body::{Facts, Reading};
use crate::counters::Class;
use crate::error::{LengthError, ReadError};
use crate::objects::{check_pin, read_nothing};
use crate::secret::Foreign;

/// How often one body is taken up again after its connection broke.
const RESUMES_MAX: u32 = 5;

impl S3 {
    pub(crate) async fn head(&self, key: &str) -> Result<Option<Facts>, ReadError> {
        let call = Call::new(Class::Head, Method::HEAD, self.read_key(key)?)
            .amz("x-amz-checksum-mode", "ENABLED");
        let response = self.shared.repeat(&call).await.map_err(|e| ReadError::io(key, e))?;
        match response.status() {
            StatusCode::OK => Ok(Some(facts(response.headers(), content_length))),
            // A HEAD reply has no body that could tell a missing key from a missing bucket.
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(self.read_failure(key, response).await),
        }
    }

    pub(crate) async fn read(
        &self,
        key: &str,
        range: Option<Range<u64>>,
        pin: Option<&ObjectIdentity>,
    ) -> Result<Reading, ReadError> {
        if range.as_ref().is_some_and(Range::is_empty) {
            return read_nothing(key, self.head(key).await?, pin);
        }
        let whole_key = self.read_key(key)?;
        let if_match = pin.and_then(|pin| pin.e_tag.clone());
        let call = get(&whole_key, range.as_ref(), if_match);
        let response = self.shared.repeat(&call).await.map_err(|e| ReadError::io(key, e))?;
        let found = match (response.status(), &range) {
            (StatusCode::OK, None) => facts(response.headers(), content_length),
            (StatusCode::PARTIAL_CONTENT, Some(_)) => {
                Facts { crc32c: None, ..facts(response.headers(), total_bytes) }
            }
            _ => return Err(self.read_failure(key, response).await),
        };
        check_pin(key, &found.identity, pin)?;
        let Facts { identity, crc32c, modified_ms } = found;
        let object_bytes = identity.size_bytes;
        let range = range.unwrap_or(0..object_bytes);
        let end = range.end.min(object_bytes);
        let body = Resuming {
            shared: Arc::clone(&self.shared),
            key: key.to_owned(),
            whole_key,
            e_tag: identity.e_tag.clone(),
            at: range.start,
            end,
            resumes: 0,
            incoming: Some(response.into_body()),
        };
        Ok(Reading { identity, object_bytes, crc32c, modified_ms, body: body.stream() })
    }

    async fn read_failure(&self, key: &str, response: Response<Incoming>) -> ReadError {
        match self.shared.take(response).await {
            Ok(reply) => read_error(&self.shared, key, &reply),
            Err(error) => ReadError::io(key, error),
        }
    }
}

fn read_error(shared: &Shared, key: &str, reply: &Reply) -> ReadError {
    let answer = shared.answer(reply);
    let key = key.to_owned();
    if answer.is_missing_key() {
        return ReadError::NotFound { key };
    }
    if answer.is_denial() {
        return ReadError::Denied { key, source: answer.into() };
    }
    match reply.status {
        // The object is shorter than the range starts: not the one that was observed.
        StatusCode::PRECONDITION_FAILED | StatusCode::RANGE_NOT_SATISFIABLE => {
            ReadError::Changed { key }
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            ReadError::Throttled { key, source: answer.into() }
        }
        _ => ReadError::Io { key, source: answer.into() },
    }
}

fn get(whole_key: &str, range: Option<&Range<u64>>, if_match: Option<String>) -> Call {
    let mut call = Call::new(Class::Get, Method::GET, whole_key.to_owned());
    match range {
        Some(range) => {
            let last = range.end.saturating_sub(1);
            call = call.header(RANGE, format!("bytes={}-{last}", range.start));
        }
        // A part has no checksum of the whole.
        None => call = call.amz("x-amz-checksum-mode", "ENABLED"),
    }
    match if_match {
        Some(e_tag) => call.header(IF_MATCH, e_tag),
        None => call,
    }
}

pub(super) fn facts(headers: &HeaderMap, size: fn(&HeaderMap) -> Option<u64>) -> Facts {
    let identity = ObjectIdentity {
        e_tag: header(headers, "etag"),
        version: header(headers, "x-amz-version-id").filter(|version| version != "null"),
        size_bytes: size(headers).unwrap_or_default(),
    };
    let modified = header(headers, "last-modified");
    let modified = modified.and_then(|text| DateTime::parse_from_rfc2822(&text).ok());
    let is_whole = header(headers, "x-amz-checksum-type").is_none_or(|kind| kind == "FULL_OBJECT");
    let crc32c = header(headers, TRAILER).filter(|_| is_whole);
    Facts {
        identity,
        crc32c: crc32c.and_then(|text| decode(&text)),
        modified_ms: modified.map(|time| time.timestamp_millis()).unwrap_or_default(),
    }
}

/// Size of the whole object out of `Content-Range: bytes 0-9/100`.
fn total_bytes(headers: &HeaderMap) -> Option<u64> {
    header(headers, "content-range")?.rsplit_once('/')?.1.parse().ok()
}

/// A body that is taken up again where its connection broke, as long as the object is the same.
struct Resuming {
    shared: Arc<Shared>,
    key: String,
    whole_key: String,
    e_tag: Option<String>,
    at: u64,
    end: u64,
    resumes: u32,
    incoming: Option<Incoming>,
}

impl Resuming {
    fn stream(self) -> BoxStream<'static, Result<Bytes, ReadError>> {
        futures::stream::unfold(Some(self), |state| async move {
            let mut state = state?;
            match state.next().await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some(state))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed()
    }

    async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        loop {
            if self.at >= self.end {
                return self.finish().await;
            }
            let broken = match self.frame().await {
                Ok(bytes) => return Ok(Some(bytes)),
                Err(broken) => broken,
            };
            let can_resume = self.e_tag.is_some() && self.resumes < RESUMES_MAX;
            if !can_resume {
                return Err(ReadError::io(&self.key, broken));
            }
            self.resumes += 1;
            tracing::debug!(key = self.key, at = self.at, %broken, "body is taken up again");
            self.resume().await?;
        }
    }

    /// The rest of the reply is nothing; taking it frees the connection for the next request.
    async fn finish(&mut self) -> Result<Option<Bytes>, ReadError> {
        let Some(mut incoming) = self.incoming.take() else { return Ok(None) };
        match timeout(self.shared.request_timeout, incoming.frame()).await {
            Ok(Some(Ok(frame))) if frame.data_ref().is_some_and(|data| !data.is_empty()) => {
                let long = LengthError::Long { expected: self.end };
                Err(ReadError::io(&self.key, long))
            }
            _ => Ok(None),
        }
    }

    /// The next bytes of the connection.
    async fn frame(&mut self) -> Result<Bytes, Foreign> {
        let short = || Foreign("the connection was closed in mid-body".to_owned());
        let incoming = self.incoming.as_mut().ok_or_else(short)?;
        loop {
            let frame = match timeout(self.shared.request_timeout, incoming.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(error))) => return Err(self.shared.redactor.error(&error)),
                Ok(None) => return Err(short()),
                Err(_) => return Err(Foreign("no byte within the request time-out".to_owned())),
            };
            let Ok(bytes) = frame.into_data() else { continue };
            if bytes.is_empty() {
                continue;
            }
            if bytes.len() as u64 > self.end - self.at {
                return Err(Foreign("the reply holds more bytes than announced".to_owned()));
            }
            self.at += bytes.len() as u64;
            self.shared.meter.read(bytes.len());
            return Ok(bytes);
        }
    }

    async fn resume(&mut self) -> Result<(), ReadError> {
        self.incoming = None;
        let call = get(&self.whole_key, Some(&(self.at..self.end)), self.e_tag.clone());
        let response = self.shared.repeat(&call).await;
        let response = response.map_err(|error: SendError| ReadError::io(&self.key, error))?;
        if response.status() != StatusCode::PARTIAL_CONTENT {
            let reply = self.shared.take(response).await;
            let reply = reply.map_err(|error| ReadError::io(&self.key, error))?;
            return Err(read_error(&self.shared, &self.key, &reply));
        }
        if header(response.headers(), "etag") != self.e_tag {
            return Err(ReadError::changed(&self.key));
        }
        self.incoming = Some(response.into_body());
        Ok(())
    }
}

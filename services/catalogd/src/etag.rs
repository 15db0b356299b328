//! Entity tags: strong, `"THING-REVISION-SHAPE"`.
//!
//! `THING` tells resources apart, also those of one name made at different times. `REVISION` grows
//! with each change that a caller made: `If-Match` compares these two, so that publishing, which
//! goes on all the time, does not spoil a change. `SHAPE` covers what else `If-None-Match` must
//! notice: the published heads, the statuses, and what the caller may see, but no ages, which
//! change with every look. Lists are tagged by their bytes.

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sha2::{Digest as _, Sha256};

use crate::error::{Answer, ApiError};
use crate::hex;
use crate::idempotency::Secret;

/// Longest list of tags.
const TAGS_BYTES_MAX: usize = 4_096;

/// The tag of one resource as one caller sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tag {
    thing: String,
    revision: i64,
    shape: String,
}

impl Tag {
    /// `thing`: what identifies the resource for good. `shape`: what else is shown of it.
    pub(crate) fn new(thing: &[&str], revision: i64, shape: &[&str]) -> Self {
        Self { thing: digest(thing), revision, shape: digest(shape) }
    }

    fn text(&self) -> String {
        format!("\"{}-{}-{}\"", self.thing, self.revision, self.shape)
    }

    /// Sets it as the answer's.
    pub(crate) fn on(&self, answer: impl IntoResponse) -> Response {
        let mut response = answer.into_response();
        if let Ok(value) = HeaderValue::from_str(&self.text()) {
            response.headers_mut().insert(ETAG, value);
        }
        response
    }

    /// Sets it as the answer's to a PUT: 201 where this made the resource.
    pub(crate) fn on_put(&self, answer: impl IntoResponse) -> Response {
        let status = if self.revision == 1 { StatusCode::CREATED } else { StatusCode::OK };
        (status, self.on(answer)).into_response()
    }

    fn has_revision_of(&self, tag: &str) -> bool {
        let parts = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
        let mut parts = parts.unwrap_or_default().split('-');
        let (thing, revision) = (parts.next(), parts.next());
        thing == Some(&self.thing) && revision == Some(self.revision.to_string().as_str())
    }
}

fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex(hash.finalize().get(..8).unwrap_or_default())
}

/// What a caller expects of the resource that is changed.
#[derive(Debug, Clone)]
pub(crate) struct Expect {
    there: Option<String>,
    absent: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for Expect {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Answer<Self> {
        let there = joined(&parts.headers, IF_MATCH)?;
        match joined(&parts.headers, IF_NONE_MATCH)?.as_deref() {
            None => Ok(Self { there, absent: false }),
            Some("*") => Ok(Self { there, absent: true }),
            Some(_) => Err(ApiError::malformed("If-None-Match of a change is *, or left out")),
        }
    }
}

fn joined(headers: &HeaderMap, name: HeaderName) -> Answer<Option<String>> {
    let mut texts = Vec::new();
    for value in headers.get_all(&name) {
        let text = value.to_str();
        texts.push(text.map_err(|_| ApiError::malformed(format!("{name} is not ASCII")))?);
    }
    match texts.iter().map(|text| text.len()).sum() {
        0..=TAGS_BYTES_MAX => Ok((!texts.is_empty()).then(|| texts.join(", "))),
        _ => Err(ApiError::malformed(format!("{name} is longer than {TAGS_BYTES_MAX} bytes"))),
    }
}

impl Expect {
    /// The revision that the change is to be made to: `None` = any, 0 = the resource is not there.
    /// `now`: the resource's tag, where it is there.
    pub(crate) fn revision(&self, now: Option<&Tag>) -> Answer<Option<i64>> {
        if self.absent {
            return match now {
                None => Ok(Some(0)),
                Some(_) => Err(ApiError::changed("it is there already, against If-None-Match")),
            };
        }
        let Some(there) = &self.there else { return Ok(None) };
        let matches = |now: &&Tag| {
            there.trim() == "*" || there.split(',').any(|tag| now.has_revision_of(tag.trim()))
        };
        match now.filter(matches) {
            Some(tag) if there.trim() != "*" => Ok(Some(tag.revision)),
            Some(_) => Ok(None),
            None => Err(ApiError::changed("it is not what If-Match says: read it again")),
        }
    }
}

/// Finishes an answer to GET: 304 where the caller has it already. One without a tag is tagged by
/// its bytes; not one with a secret, since a tag is shown to more than the bytes are.
pub(crate) async fn finish(response: Response, headers: &HeaderMap) -> Answer<Response> {
    let secret = response.extensions().get::<Secret>().is_some();
    if response.status() != StatusCode::OK || is_stream(&response) || secret {
        return Ok(response);
    }
    let (mut parts, body) = response.into_parts();
    let bytes = collect(body).await?;
    if !parts.headers.contains_key(ETAG) {
        let text = format!("\"{}\"", hex(Sha256::digest(&bytes).get(..16).unwrap_or_default()));
        if let Ok(value) = HeaderValue::from_str(&text) {
            parts.headers.insert(ETAG, value);
        }
    }
    let tag = parts.headers.get(ETAG).and_then(|tag| tag.to_str().ok()).unwrap_or_default();
    let asked = joined(headers, IF_NONE_MATCH)?.unwrap_or_default();
    // A weak comparison, as RFC 9110 has it for this header.
    let same = |asked: &str| asked == "*" || asked.trim_start_matches("W/") == tag;
    if asked.split(',').any(|one| same(one.trim())) {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(http::header::CONTENT_TYPE);
        parts.headers.remove(http::header::CONTENT_LENGTH);
        return Ok(Response::from_parts(parts, Body::empty()));
    }
    Ok(Response::from_parts(parts, Body::from(bytes)))
}

fn is_stream(response: &Response) -> bool {
    let kind = response.headers().get(http::header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

/// The bytes of an answer that a handler has made: it is in memory already.
pub(crate) async fn collect(body: Body) -> Answer<Bytes> {
    axum::body::to_bytes(body, usize::MAX).await.map_err(|_| ApiError::internal())
}

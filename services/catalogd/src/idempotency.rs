//! Requests that are sent again: one `Idempotency-Key`, one effect, one answer.
//!
//! A key belongs to its caller. It is good for [`LIFETIME_MS`]; the same request with it gets the
//! answer of the first, another request is refused. Answers of 5xx are not remembered, so that the
//! request can be sent again; nor are those with a secret, or longer than [`ANSWER_BYTES_MAX`].
//! A request whose process died stays in progress until the key's life ends.

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use driftless_catalog::Remembered;
use http::header::{CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH, LOCATION};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::auth::Caller;
use crate::error::{Answer, ApiError, Written};
use crate::{Service, etag, hex};

/// How long a key is good.
const LIFETIME_MS: i64 = 30 * 60 * 1_000;

/// The same as an ISO 8601 duration.
pub(crate) const LIFETIME: &str = "PT30M";

/// Longest answer that is remembered.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Longest key.
const KEY_BYTES_MAX: usize = 128;

pub(crate) const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Marks an answer that nothing may keep.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Secret;

/// An answer as the catalog keeps it.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    body: String,
    etag: Option<String>,
    location: Option<String>,
}

/// What is to be done with a request.
pub(crate) enum Turn {
    /// Carry it out; the key, where there is one, waits for [`finish`].
    Go(Option<String>),
    /// It was carried out.
    Done(Response),
}

/// Takes the request's key.
pub(crate) async fn begin(
    api: &Service,
    caller: &Caller,
    parts: &Parts,
    body: &[u8],
) -> Answer<Turn> {
    let Some(key) = key(&parts.headers)? else { return Ok(Turn::Go(None)) };
    let mut hash = Sha256::new();
    for part in [parts.method.as_str(), "\n", &parts.uri.to_string(), "\n"] {
        hash.update(part);
    }
    for name in [IF_MATCH, IF_NONE_MATCH] {
        for value in parts.headers.get_all(&name) {
            hash.update(value);
        }
        hash.update("\n");
    }
    hash.update(body);
    let fingerprint = hex(&hash.finalize());
    let now_ms = api.now_ms();
    let request = (caller.id.as_str(), key.as_str(), fingerprint.as_str());
    match api.catalog().remember(request, now_ms - LIFETIME_MS, now_ms).await? {
        Remembered::New => Ok(Turn::Go(Some(key))),
        Remembered::Unfinished => Err(ApiError::in_progress()),
        Remembered::Other => Err(ApiError::idempotency_mismatch()),
        Remembered::Answer(status, text) => replay(status, &text).map(Turn::Done),
    }
}

fn key(headers: &HeaderMap) -> Answer<Option<String>> {
    let Some(value) = headers.get(&KEY) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    let sane = text.bytes().all(|byte| byte.is_ascii_graphic());
    match sane && (1..=KEY_BYTES_MAX).contains(&text.len()) {
        true => Ok(Some(text.to_owned())),
        false => {
            let message = format!("Idempotency-Key is 1 to {KEY_BYTES_MAX} visible characters");
            Err(ApiError::malformed(message))
        }
    }
}

fn replay(status: i64, text: &str) -> Answer<Response> {
    let kept: Kept = serde_json::from_str(text).map_err(|_| ApiError::internal())?;
    let status = u16::try_from(status).ok().and_then(|code| StatusCode::from_u16(code).ok());
    let mut response = status.ok_or_else(ApiError::internal)?.into_response();
    // An error is answered as it was, with the id of the request that it answered first.
    response.extensions_mut().insert(Written);
    let headers = response.headers_mut();
    for (name, value) in [(ETAG, kept.etag), (LOCATION, kept.location)] {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
            headers.insert(name, value);
        }
    }
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    if !kept.body.is_empty() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    *response.body_mut() = Body::from(kept.body);
    Ok(response)
}

/// Keeps the answer, or lets the key go.
pub(crate) async fn finish(
    api: &Service,
    caller: &Caller,
    key: &str,
    response: Response,
) -> Answer<Response> {
    let id = (caller.id.as_str(), key);
    let secret = response.extensions().get::<Secret>().is_some();
    let (parts, body) = response.into_parts();
    let bytes = etag::collect(body).await?;
    let text = |name| parts.headers.get(name)?.to_str().ok().map(str::to_owned);
    let kept = Kept {
        body: String::from_utf8_lossy(&bytes).into_owned(),
        etag: text(ETAG),
        location: text(LOCATION),
    };
    let keep = !secret && !parts.status.is_server_error() && bytes.len() <= ANSWER_BYTES_MAX;
    let kept = serde_json::to_string(&kept).map_err(|_| ApiError::internal())?;
    let answer = keep.then_some((i64::from(parts.status.as_u16()), kept.as_str()));
    if let Err(error) = api.catalog().answered(id, answer).await {
        // The change was made: its answer is sent, though it cannot be sent a second time.
        tracing::error!(error = &error as &dyn std::error::Error, "keep an answer failed");
    }
    Ok(Response::from_parts(parts, Body::from(bytes)))
}

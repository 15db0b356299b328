//! Bodies and texts of requests: what is taken, and how long it may be.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use http::header::CONTENT_TYPE;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Answer, ApiError};

/// Longest text in a body or a query.
const TEXT_BYTES_MAX: usize = 4_096;

/// Longest name of a region.
const REGION_CHARS_MAX: usize = 128;

/// Longest path of a request.
const PATH_BYTES_MAX: usize = 2_048;

/// A JSON body. Unknown fields, control characters and long texts are refused.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Answer<Self> {
        let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        if !kind.is_some_and(is_json) {
            return Err(ApiError::media_type());
        }
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|error| ApiError::malformed(error.body_text()))?;
        read(&bytes).map(Self)
    }
}

fn is_json(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Answer<T> {
    let refused = |error: serde_json::Error| ApiError::malformed(format!("read the body: {error}"));
    check_value(&serde_json::from_slice(bytes).map_err(refused)?)?;
    serde_json::from_slice(bytes).map_err(refused)
}

/// Checks every text of a JSON value. Its depth is bounded by the parser.
fn check_value(value: &Value) -> Answer<()> {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
        Value::String(text) => check_text(text),
        Value::Array(items) => items.iter().try_for_each(check_value),
        Value::Object(fields) => fields.iter().try_for_each(|(name, value)| {
            check_text(name)?;
            check_value(value)
        }),
    }
}

fn check_text(text: &str) -> Answer<()> {
    if text.len() > TEXT_BYTES_MAX {
        let message = format!("a text has {} bytes: use {TEXT_BYTES_MAX} at most", text.len());
        return Err(ApiError::malformed(message));
    }
    match text.chars().any(char::is_control) {
        true => Err(ApiError::malformed("a text has a control character: leave it out")),
        false => Ok(()),
    }
}

/// Checks the name of a region: free text, but short.
pub(crate) fn check_region(region: Option<&str>) -> Answer<()> {
    match region.map(|region| region.chars().count()) {
        None | Some(0..=REGION_CHARS_MAX) => Ok(()),
        Some(_) => {
            let message = format!("region is too long: use {REGION_CHARS_MAX} characters at most");
            Err(ApiError::invalid(message).with("field", "region"))
        }
    }
}

/// Checks the path of a request.
pub(crate) fn check_path(path: &str) -> Answer<()> {
    if path.len() > PATH_BYTES_MAX {
        let message = format!("the path is longer than {PATH_BYTES_MAX} bytes");
        return Err(ApiError::malformed(message));
    }
    let decoded = percent_decode_str(path).decode_utf8();
    check_text(&decoded.map_err(|_| ApiError::malformed("the path is not UTF-8"))?)
}

/// Checks the query of a request: its texts, and that each parameter is one of `known`, once.
pub(crate) fn check_query(query: Option<&str>, known: &[String]) -> Answer<()> {
    let mut seen = Vec::new();
    for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        check_text(&name)?;
        check_text(&value)?;
        if !known.iter().any(|known| *known == name) {
            let error = ApiError::malformed(format!("the parameter {name:?} is not known here"));
            return Err(error.with("parameter", name.as_ref()).with("known", known.to_vec()));
        }
        if seen.contains(&name) {
            return Err(ApiError::malformed(format!("the parameter {name:?} is given twice")));
        }
        seen.push(name);
    }
    Ok(())
}

//! Refusals and failures, in the one shape that callers see.
//!
//! A handler answers with an [`ApiError`]; the guard writes the body, since it knows the request's
//! id. What axum refuses by itself is brought into the same shape there.

use axum::response::{IntoResponse, Response};
use driftless_catalog::CatalogError;
use http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// The body of every answer that is no success.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Error)]
pub(crate) struct ErrorBody {
    /// What went wrong.
    pub(crate) error: ErrorDetail,
}

/// See [`ErrorBody`].
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ErrorDetail {
    /// For people: what was refused and what to do.
    pub(crate) message: String,
    /// Stable word for machines: `not_found`, `invalid`, ...
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// The HTTP status.
    pub(crate) code: u16,
    /// `request_id`, and what else helps.
    #[schema(value_type = Object)]
    pub(crate) details: Map<String, Value>,
}

/// Marks an answer whose error has its body already.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written;

/// Why a request was not carried out.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    status: StatusCode,
    kind: &'static str,
    message: String,
    details: Map<String, Value>,
    retry_after_seconds: Option<u32>,
}

pub(crate) type Answer<T> = Result<T, ApiError>;

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        let (message, details) = (message.into(), Map::new());
        Self { status, kind, message, details, retry_after_seconds: None }
    }

    /// The request cannot be read: syntax, types, names of fields and parameters.
    pub(crate) fn malformed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", message)
    }

    /// The request can be read and makes no sense.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", message)
    }

    pub(crate) fn not_found(of: &str, name: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is no {of} {name}"))
    }

    pub(crate) fn not_now(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "not_now", message)
    }

    pub(crate) fn changed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, "changed", message)
    }

    pub(crate) fn unauthenticated() -> Self {
        let message = "send a valid token: Authorization: Bearer dl_...";
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", message)
    }

    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    pub(crate) fn idempotency_mismatch() -> Self {
        let message = "this Idempotency-Key was sent with another request: take a new one";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_mismatch", message)
    }

    pub(crate) fn in_progress() -> Self {
        let message = "the request with this Idempotency-Key is being carried out: ask again later";
        Self {
            retry_after_seconds: Some(1),
            ..Self::new(StatusCode::CONFLICT, "in_progress", message)
        }
    }

    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    pub(crate) fn long_head(most: usize) -> Self {
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        let message = format!("the target and the headers are too long: use {most} bytes at most");
        Self::new(status, "too_large", message)
    }

    pub(crate) fn media_type() -> Self {
        let message = "send the body as Content-Type: application/json";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message)
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self { retry_after_seconds: Some(1), ..Self::new(status, "unavailable", message) }
    }

    pub(crate) fn internal() -> Self {
        let message = "carry out the request: a fault of this program; its log has this request id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }

    /// What axum refused by itself.
    pub(crate) fn of_status(status: StatusCode, text: String) -> Self {
        let (kind, message) = match status {
            StatusCode::NOT_FOUND => ("not_found", "there is no such path: see /openapi.json"),
            StatusCode::METHOD_NOT_ALLOWED => {
                ("method_not_allowed", "this path does not take this method: see Allow")
            }
            StatusCode::PAYLOAD_TOO_LARGE => ("too_large", "send a smaller body"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => return Self::media_type(),
            status if status.is_server_error() => return Self::internal(),
            _ => ("invalid", "the request cannot be read"),
        };
        let message = if text.is_empty() { message.to_owned() } else { text };
        Self::new(status, kind, message)
    }

    pub(crate) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.details.insert(key.to_owned(), value.into());
        self
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn retry_after_seconds(&self) -> Option<u32> {
        self.retry_after_seconds
    }

    /// The body, for the request with this id.
    pub(crate) fn body(mut self, request_id: &str) -> ErrorBody {
        self.details.insert("request_id".to_owned(), request_id.into());
        ErrorBody {
            error: ErrorDetail {
                message: self.message,
                kind: self.kind.to_owned(),
                code: self.status.as_u16(),
                details: self.details,
            },
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<CatalogError> for ApiError {
    fn from(error: CatalogError) -> Self {
        let message = error.to_string();
        match error {
            CatalogError::NotFound { .. } => Self::new(StatusCode::NOT_FOUND, "not_found", message),
            CatalogError::Exists { .. } => {
                Self::new(StatusCode::CONFLICT, "already_exists", message)
            }
            CatalogError::Changed { .. } => Self::changed(message),
            CatalogError::InUse { by, .. } => {
                Self::new(StatusCode::CONFLICT, "in_use", message).with("by", by)
            }
            CatalogError::Invalid(_) | CatalogError::Name(_) => Self::invalid(message),
            CatalogError::NotNow(_) => Self::not_now(message),
            error if error.is_transient() => {
                tracing::error!(error = &error as &dyn std::error::Error, "catalog failed");
                Self::unavailable("the catalog's database did not answer as it should")
            }
            error => {
                tracing::error!(error = &error as &dyn std::error::Error, "catalog failed");
                Self::internal()
            }
        }
    }
}

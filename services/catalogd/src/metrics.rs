//! The metrics of this process and its catalog: a seam, since they are made elsewhere.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};

use crate::Service;
use crate::error::{Answer, ApiError};

/// Makes the text of the metrics.
#[async_trait::async_trait]
pub trait Metrics: Send + Sync {
    /// The text, and its content type. `accept`: what the caller takes, as its header says.
    async fn render(&self, accept: &str) -> Result<(&'static str, String), MetricsError>;
}

/// The metrics cannot be told.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct MetricsError {
    /// Why, for people.
    pub message: String,
}

/// Get the metrics, as Prometheus reads them
#[utoipa::path(get, path = "/metrics", tag = "service", operation_id = "metrics",
    responses((status = 200, description = "Text", body = String, content_type = "text/plain")),
    security(("token" = ["reader", "all_projects"])))]
pub(crate) async fn metrics(
    State(api): State<Arc<Service>>,
    headers: HeaderMap,
) -> Answer<Response> {
    let Some(metrics) = &api.options.metrics else {
        return Err(ApiError::unavailable("this process has no metrics"));
    };
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let rendered = metrics.render(accept).await;
    let (kind, text) = rendered.map_err(|error| ApiError::unavailable(error.message))?;
    Ok(([(CONTENT_TYPE, kind)], text).into_response())
}

//! The metrics of this process and its catalog: a seam, since they are made elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};

use crate::Service;
use crate::error::{Answer, ApiError};

/// Makes the text of the metrics.
#[async_trait::async_trait]
pub trait Metrics: Send + Sync {
    /// The text, and its content type. `accept`: what the caller takes, as its header says;
    /// `hints`: what this API was told.
    async fn render(
        &self,
        accept: &str,
        hints: HintCounts,
    ) -> Result<(&'static str, String), MetricsError>;
}

/// Records of notifications since this process was started, by what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HintCounts {
    /// They were about a table.
    pub matched: u64,
    /// They were about none that their sender may see.
    pub unmatched: u64,
    /// They said nothing of an object, or did not read at all.
    pub refused: u64,
}

/// Counts records of notifications.
#[derive(Debug, Default)]
pub(crate) struct HintCounters {
    matched: AtomicU64,
    unmatched: AtomicU64,
    refused: AtomicU64,
}

impl HintCounters {
    pub(crate) fn add(&self, counts: HintCounts) {
        self.matched.fetch_add(counts.matched, Ordering::Relaxed);
        self.unmatched.fetch_add(counts.unmatched, Ordering::Relaxed);
        self.refused.fetch_add(counts.refused, Ordering::Relaxed);
    }

    fn counts(&self) -> HintCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        HintCounts {
            matched: read(&self.matched),
            unmatched: read(&self.unmatched),
            refused: read(&self.refused),
        }
    }
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
    let rendered = metrics.render(accept, api.feed.counters.counts()).await;
    let (kind, text) = rendered.map_err(|error| ApiError::unavailable(error.message))?;
    Ok(([(CONTENT_TYPE, kind)], text).into_response())
}

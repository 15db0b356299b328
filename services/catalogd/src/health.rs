//! Whether the service is there, what it can do, and its own description.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_TYPE;
use serde::Serialize;
use utoipa::ToSchema;

use crate::Service;
use crate::error::{Answer, ApiError};
use crate::idempotency;

/// Whether it is well.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`.
    status: &'static str,
}

/// Tell whether the process answers
#[utoipa::path(get, path = "/healthz", tag = "service", operation_id = "health",
    responses((status = 200, description = "It does", body = Health)), security(()))]
pub(crate) async fn alive() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Tell whether the catalog's database answers
#[utoipa::path(get, path = "/readyz", tag = "service", operation_id = "ready",
    responses((status = 200, description = "It does", body = Health)), security(()))]
pub(crate) async fn ready(State(api): State<Arc<Service>>) -> Answer<Json<Health>> {
    match api.catalog().ping().await {
        Ok(()) => Ok(Json(Health { status: "ok" })),
        Err(_) => Err(ApiError::unavailable("the catalog's database does not answer")),
    }
}

/// What clients can count on.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Config {
    /// Version of this API.
    api_version: &'static str,
    /// Version of the program.
    product_version: &'static str,
    /// How long an `Idempotency-Key` is good, as an ISO 8601 duration.
    idempotency_key_lifetime: &'static str,
    /// Methods and paths.
    endpoints: Vec<String>,
}

/// Tell what clients can count on
#[utoipa::path(get, path = "/v1/config", tag = "service", operation_id = "config",
    responses((status = 200, description = "The configuration", body = Config)),
    security(("token" = ["reader"])))]
pub(crate) async fn config(State(api): State<Arc<Service>>) -> Json<Config> {
    Json(Config {
        api_version: "v1",
        product_version: env!("CARGO_PKG_VERSION"),
        idempotency_key_lifetime: idempotency::LIFETIME,
        endpoints: api.rules.actions(),
    })
}

/// Get this document
#[utoipa::path(get, path = "/openapi.json", tag = "service", operation_id = "openapi",
    responses((status = 200, description = "OpenAPI 3.1", body = Object)), security(()))]
pub(crate) async fn document(State(api): State<Arc<Service>>) -> Response {
    ([(CONTENT_TYPE, "application/json")], api.document.clone()).into_response()
}
